/**
 * mergerfs' policies: which branches an operation goes to. A policy is a line of one table: how it chooses among the branches
 * that may be taken, and from where the path of a new file has to be there. What may be taken is the same for all policies and
 * depends on the category: `create` for what makes a file, `action` for what changes one, `search` for what looks.
 *
 * Nothing here touches a file: what is known of a branch is asked of a `Sight`, and only when it is needed, so that a policy
 * that can stop at the first branch does. Hence a test may have branches that are numbers in an array.
 *
 * A path is relative to the root, without a slash at either end; the root is the empty path.
 */
import { ENOENT, ENOSPC, EROFS, type Errno } from '../../abi/errno.ts';

/** What clients may do there: all; nothing that changes it; no new files. */
export const MODES = ['RW', 'RO', 'NC'] as const;
export type Mode = (typeof MODES)[number];
export const CATEGORIES = ['action', 'create', 'search'] as const;
export type Category = (typeof CATEGORIES)[number];

/** Of a branch, what it is set to. */
export interface Settings {
  readonly mode: Mode;
  /** Bytes that must be available for new files. */
  readonly minFreeSpace: number;
}
/** Of a branch, how full it is. Bytes. */
export interface Space {
  /** Whether its filesystem is mounted read-only. */
  readonly readonly: boolean;
  readonly available: number;
  readonly used: number;
}
/** How branches are looked at. */
export interface Sight<B> {
  exists(branch: B, path: string): boolean;
  /** Undefined where that can't be found out. */
  space(branch: B): Space | undefined;
  /** When a path that exists was modified, in seconds. */
  mtime(branch: B, path: string): number;
}
/** A number from 0 to 1, without 1. */
export type Random = () => number;

/** The worst that was found of a branch: EROFS before ENOSPC before ENOENT. */
class Refusals {
  error: Errno = ENOENT;
  add(error: Errno): false {
    if (error === EROFS || (error === ENOSPC && this.error === ENOENT)) this.error = error;
    return false;
  }
}

interface Question<B> {
  readonly branches: readonly B[];
  readonly path: string;
  readonly sight: Sight<B>;
  readonly random: Random;
}
type Choice = <B extends Settings>(candidates: Iterable<B>, question: Question<B>) => B[];

const every: Choice = (candidates) => [...candidates];
const first: Choice = (candidates) => {
  for (const branch of candidates) return [branch];
  return [];
};
/** The one that is better than, or as good as, all before it. */
const best =
  <K>(
    key: <B extends Settings>(branch: B, of: Question<B>) => K | undefined,
    better: (a: K, b: K) => boolean,
  ): Choice =>
  (candidates, question) => {
    let [chosen, most]: [(typeof question.branches)[number] | undefined, K | undefined] = [undefined, undefined];
    for (const branch of candidates) {
      const value = key(branch, question);
      if (value === undefined || (most !== undefined && !better(value, most))) continue;
      [chosen, most] = [branch, value];
    }
    return chosen === undefined ? [] : [chosen];
  };
const available = <B>(branch: B, { sight }: Question<B>): number | undefined => sight.space(branch)?.available;
const used = <B>(branch: B, { sight }: Question<B>): number | undefined => sight.space(branch)?.used;
/** Of two branches with the same, the later is taken; of two that are as full, the earlier. */
const least = (a: number, b: number): boolean => a <= b;
const most = (a: number, b: number): boolean => a >= b;
const fullness = <B>(branch: B, { sight }: Question<B>): Space | undefined => sight.space(branch);
/** Compared as fractions: a quotient would make two that differ a little the same. */
function lessFull(a: Space, b: Space): boolean {
  const part = ({ used: part, available: rest }: Space): [bigint, bigint] =>
    part + rest === 0 ? [0n, 1n] : [BigInt(part), BigInt(part + rest)];
  const [[partA, wholeA], [partB, wholeB]] = [part(a), part(b)];
  return partA * wholeB < partB * wholeA;
}
const anyOne: Choice = (candidates, { random }) => {
  const all = [...candidates];
  return all.length === 0 ? [] : [all[Math.floor(random() * all.length)]!];
};
/** Any one, the more likely the more is available there. */
const weighted: Choice = (candidates, question) => {
  const all = [...candidates].flatMap((branch) => {
    const space = question.sight.space(branch);
    return space === undefined ? [] : [{ branch, available: space.available }];
  });
  let left = question.random() * all.reduce((sum, each) => sum + each.available, 0);
  for (const each of all) {
    left -= each.available;
    if (left < 0) return [each.branch];
  }
  return all.slice(0, 1).map(({ branch }) => branch);
};
const newest: Choice = best((branch, { sight, path }) => sight.mtime(branch, path), most);
const none: Choice = () => [];

interface Row {
  readonly choose: Choice;
  /** Where a new file may go: on any branch, on one that has its directory, or else on one that has a directory above that. */
  readonly create: 'anywhere' | 'path' | 'ancestors';
  /** Whether a path is kept to the branches that it is on. */
  readonly preserving: boolean;
  /** What it says where nothing is chosen; else the worst that was found. */
  readonly refusal?: Errno;
}
const leastAvailable = best(available, least);
const mostAvailable = best(available, most);
const leastUsed = best(used, least);

// biome-ignore format: a table, a policy a line
export const POLICIES = {
  all:     { choose: every,           create: 'anywhere',  preserving: false },
  epall:   { choose: every,           create: 'path',      preserving: true },
  epff:    { choose: first,           create: 'path',      preserving: true },
  eplfs:   { choose: leastAvailable,  create: 'path',      preserving: true },
  eplus:   { choose: leastUsed,       create: 'path',      preserving: true },
  epmfs:   { choose: mostAvailable,   create: 'path',      preserving: true },
  eppfrd:  { choose: weighted,        create: 'path',      preserving: true },
  eprand:  { choose: anyOne,          create: 'path',      preserving: true },
  erofs:   { choose: none,            create: 'anywhere',  preserving: false, refusal: EROFS },
  ff:      { choose: first,           create: 'anywhere',  preserving: false },
  lfs:     { choose: leastAvailable,  create: 'anywhere',  preserving: false },
  lup:     { choose: best(fullness, lessFull), create: 'anywhere', preserving: false },
  lus:     { choose: leastUsed,       create: 'anywhere',  preserving: false },
  mfs:     { choose: mostAvailable,   create: 'anywhere',  preserving: false },
  msplfs:  { choose: leastAvailable,  create: 'ancestors', preserving: true },
  msplus:  { choose: leastUsed,       create: 'ancestors', preserving: true },
  mspmfs:  { choose: mostAvailable,   create: 'ancestors', preserving: true },
  msppfrd: { choose: weighted,        create: 'ancestors', preserving: true },
  newest:  { choose: newest,          create: 'path',      preserving: false },
  pfrd:    { choose: weighted,        create: 'anywhere',  preserving: false },
  rand:    { choose: anyOne,          create: 'anywhere',  preserving: false },
} as const satisfies Record<string, Row>;
export type PolicyName = keyof typeof POLICIES;
export const POLICY_NAMES = Object.keys(POLICIES) as PolicyName[];
export const isPolicy = (name: string): name is PolicyName => Object.hasOwn(POLICIES, name);

/**
 * The branches that a policy chooses for a path: for `create` that of the directory which the new file goes to, else the file's
 * own. Never none: EROFS, ENOSPC, ENOENT.
 */
export function choose<B extends Settings>(name: PolicyName, category: Category, question: Question<B>): B[] {
  const { choose: choice, create, refusal }: Row = POLICIES[name];
  const refusals = new Refusals();
  for (let { path } = question; ; path = parentOf(path)) {
    const asked = { ...question, path };
    const chosen = choice(candidates(category, create !== 'anywhere', asked, refusals), asked);
    if (chosen.length > 0) return chosen;
    if (category !== 'create' || create !== 'ancestors' || path === '') throw refusal ?? refusals.error;
  }
}

/** The branches that may be taken, as one after the other is asked for. */
function* candidates<B extends Settings>(
  category: Category,
  needsPath: boolean,
  { branches, path, sight }: Question<B>,
  refusals: Refusals,
): Generator<B> {
  for (const branch of branches) if (fits(branch)) yield branch;

  function fits(branch: B): boolean {
    const { mode, minFreeSpace } = branch;
    const creates = category === 'create';
    if (category !== 'search' && (mode === 'RO' || (creates && mode === 'NC'))) return refusals.add(EROFS);
    if ((!creates || needsPath) && !sight.exists(branch, path)) return refusals.add(ENOENT);
    if (category === 'search') return true;
    const space = sight.space(branch);
    if (space === undefined) return refusals.add(ENOENT);
    if (space.readonly) return refusals.add(EROFS);
    if (creates && space.available < minFreeSpace) return refusals.add(ENOSPC);
    return true;
  }
}

/** The directory that a path is in; the root is its own. */
export const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));
/** The last part of a path. */
export const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/** Numbers that the same seed gives again. @see Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8 (2003) */
export function seeded(seed: number): Random {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
