/**
 * The policies of UnionFs against a model that is written from mergerfs' tables and shares nothing with them: all of two
 * branches, random ones of more. Branches are numbers in an array here.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ENOENT, ENOSPC, EROFS, Errno } from '../../src/abi/errno.ts';
import {
  CATEGORIES,
  type Category,
  choose,
  MODES,
  type Mode,
  POLICIES,
  POLICY_NAMES,
  type PolicyName,
  seeded,
} from '../../src/fs/union/policies.ts';

interface Fake {
  readonly mode: Mode;
  readonly minFreeSpace: number;
  /** Paths that are there, with their mtimes. */
  readonly has: Readonly<Record<string, number>>;
  readonly space: { readonly readonly: boolean; readonly available: number; readonly used: number } | undefined;
}
const PATHS = ['d/e', 'd', ''] as const;

function asked(name: PolicyName, category: Category, branches: readonly Fake[], random: () => number) {
  const looks: string[] = [];
  const sight = {
    exists: (branch: Fake, path: string) => {
      looks.push(`${branches.indexOf(branch)} ${path}`);
      return Object.hasOwn(branch.has, path);
    },
    space: (branch: Fake) => branch.space,
    mtime: (branch: Fake, path: string) => branch.has[path]!,
  };
  try {
    const chosen = choose(name, category, { branches, path: 'd/e', sight, random });
    return { result: chosen.map((each) => branches.indexOf(each)), looks };
  } catch (error) {
    if (error instanceof Errno) return { result: error.code, looks };
    throw error;
  }
}

/** What may come out: one result, or where chance decides all that are possible. */
function model(name: PolicyName, category: Category, branches: readonly Fake[]): { results: (number[] | string)[] } {
  if (name === 'erofs') return { results: ['EROFS'] };
  let worst = 0; // ENOENT, ENOSPC, EROFS
  const refuse = (how: number) => {
    worst = Math.max(worst, how);
  };
  const usable = (path: string | undefined): number[] => {
    const good: number[] = [];
    for (let i = 0; i < branches.length; i++) {
      const b = branches[i]!;
      if (category === 'create' && b.mode !== 'RW') refuse(2);
      else if (category === 'action' && b.mode === 'RO') refuse(2);
      else if (path !== undefined && b.has[path] === undefined) refuse(0);
      else if (category === 'search') good.push(i);
      else if (!b.space) refuse(0);
      else if (b.space.readonly) refuse(2);
      else if (category === 'create' && b.space.available < b.minFreeSpace) refuse(1);
      else good.push(i);
    }
    return good;
  };
  const kind = name.replace(/^(ep|msp)/u, '');
  let good: number[] = [];
  if (category !== 'create' || /^ep|newest/u.test(name)) good = usable('d/e');
  else if (name.startsWith('msp')) {
    for (const path of PATHS) {
      good = usable(path);
      if (good.length > 0) break;
    }
  } else good = usable(undefined);
  if (/fs$|lu[sp]|pfrd/u.test(kind) && kind !== 'ff') good = good.filter((i) => branches[i]!.space !== undefined);
  if (good.length === 0) return { results: [['ENOENT', 'ENOSPC', 'EROFS'][worst]!] };
  const space = (i: number) => branches[i]!.space!;
  const lastOf = (better: (a: number, b: number) => boolean) => good.reduce((a, b) => (better(a, b) ? a : b));
  switch (kind) {
    case 'all':
      return { results: [good] };
    case 'ff':
      return { results: [[good[0]!]] };
    case 'lfs':
      return { results: [[lastOf((a, b) => space(a).available < space(b).available)]] };
    case 'mfs':
      return { results: [[lastOf((a, b) => space(a).available > space(b).available)]] };
    case 'lus':
      return { results: [[lastOf((a, b) => space(a).used < space(b).used)]] };
    case 'lup': {
      const full = (i: number) => space(i).used / (space(i).used + space(i).available || 1);
      return { results: [[good.reduce((a, b) => (full(b) < full(a) ? b : a))]] };
    }
    case 'newest':
      return { results: [[lastOf((a, b) => branches[a]!.has['d/e']! > branches[b]!.has['d/e']!)]] };
    case 'rand':
      return { results: good.map((i) => [i]) };
    case 'pfrd': {
      const some = good.filter((i) => space(i).available > 0);
      return { results: some.length > 0 ? some.map((i) => [i]) : [[good[0]!]] };
    }
    default:
      throw new Error(`the model lacks ${name}`);
  }
}

function check(branches: readonly Fake[], random: () => number): void {
  for (const name of POLICY_NAMES)
    for (const category of CATEGORIES) {
      const { result } = asked(name, category, branches, random);
      expect(model(name, category, branches).results, `${name} ${category} ${JSON.stringify(branches)}`).toContainEqual(
        result,
      );
    }
}

const presences = [{ '': 1 }, { '': 1, d: 2 }, { '': 1, d: 2, 'd/e': 3 }, { '': 1, d: 2, 'd/e': 4 }];
const spaces = [
  undefined,
  { readonly: true, available: 9, used: 1 },
  { readonly: false, available: 0, used: 0 },
  { readonly: false, available: 9, used: 2 },
  { readonly: false, available: 5, used: 1 },
];

test('there are the 21 of mergerfs', () => {
  expect(POLICY_NAMES).toHaveLength(21);
  const preserving = POLICY_NAMES.filter((name) => POLICIES[name].preserving);
  expect(preserving).toEqual(POLICY_NAMES.filter((name) => /^(ep|msp)/u.test(name)));
});

test('each form of each policy chooses as the model does, on all there is of one branch and two', () => {
  const random = seeded(7);
  const one: Fake[] = MODES.flatMap((mode) =>
    presences.flatMap((has) => spaces.map((space) => ({ mode, minFreeSpace: 6, has, space }))),
  );
  for (const a of one) check([a], random);
  // Of two, the modes and presences that differ in what is refused.
  const few = one.filter(({ has }) => has !== presences[1]);
  for (const a of few) for (const b of few) for (const name of POLICY_NAMES) compare(name, a, { ...b });

  function compare(name: PolicyName, a: Fake, b: Fake): void {
    for (const category of CATEGORIES) {
      const { result } = asked(name, category, [a, b], random);
      const { results } = model(name, category, [a, b]);
      if (!results.some((each) => String(each) === String(result)))
        expect.fail(`${name} ${category} gave ${result}, not ${results.join(' or ')}: ${JSON.stringify([a, b])}`);
    }
  }
});

test('and on random ones of many', () => {
  const number = fc.integer({ min: 0, max: 12 });
  const branch: fc.Arbitrary<Fake> = fc.record({
    mode: fc.constantFrom(...MODES),
    minFreeSpace: number,
    has: fc.constantFrom(...presences),
    space: fc.option(fc.record({ readonly: fc.boolean(), available: number, used: number }), { nil: undefined }),
  });
  fc.assert(
    fc.property(fc.array(branch, { minLength: 1, maxLength: 6 }), fc.integer(), (branches, seed) => {
      check(branches, seeded(seed));
    }),
  );
});

describe('chance', () => {
  const branches: Fake[] = [1000, 3000, 0, 6000].map((available) => ({
    ...{ mode: 'RW', minFreeSpace: 0, has: presences[2]! },
    space: { readonly: false, available, used: 0 },
  }));
  const counts = (name: PolicyName, seed: number) => {
    const [random, hits] = [seeded(seed), [0, 0, 0, 0]];
    for (let i = 0; i < 10_000; i++) hits[(asked(name, 'create', branches, random).result as number[])[0]!]!++;
    return hits;
  };
  test('goes by what is available, or does not', () => {
    const near = (hits: number[], wanted: number[]) => {
      for (const [i, hit] of hits.entries()) expect(Math.abs(hit - wanted[i]!), `${hits}`).toBeLessThan(250);
    };
    near(counts('pfrd', 3), [1000, 3000, 0, 6000]);
    near(counts('eppfrd', 4), [1000, 3000, 0, 6000]);
    near(counts('msppfrd', 5), [1000, 3000, 0, 6000]);
    near(counts('rand', 6), [2500, 2500, 2500, 2500]);
  });
  test('comes again with its seed', () => {
    expect(counts('rand', 11)).toEqual(counts('rand', 11));
    expect(counts('rand', 11)).not.toEqual(counts('rand', 12));
  });
});

test('a policy that can stop early does', () => {
  const branches = presences.map((has): Fake => ({ mode: 'RW', minFreeSpace: 0, has, space: spaces[3] }));
  expect(asked('ff', 'search', branches, Math.random).looks).toEqual(['0 d/e', '1 d/e', '2 d/e']);
  expect(asked('ff', 'create', branches, Math.random).looks).toEqual([]);
  expect(asked('all', 'search', branches, Math.random).looks).toHaveLength(4);
});

test('the worst that was found is told: EROFS, then ENOSPC, then ENOENT', () => {
  const with_ = (mode: Mode, space: Fake['space'], has = presences[0]!): Fake => ({
    mode,
    minFreeSpace: 6,
    has,
    space,
  });
  const [ro, full, absent] = [with_('RO', spaces[3]), with_('RW', spaces[4], presences[2]), with_('RW', spaces[3])];
  const told = (...branches: Fake[]) => asked('epmfs', 'create', branches, Math.random).result;
  expect([told(absent), told(full, absent), told(absent, full), told(ro, full, absent), told(full, ro)]).toEqual([
    ENOENT.code,
    ...[ENOSPC.code, ENOSPC.code, EROFS.code, EROFS.code],
  ]);
});
