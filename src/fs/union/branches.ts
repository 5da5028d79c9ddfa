/**
 * Branches as they are written: `/a=RW:/b=NC,10G:/disks/*=RO`, and the instructions by which the list is changed while it is
 * served. All of this is text and the paths that it names; what is held of a branch that is served, lower.ts knows.
 */
import { realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import { directories, pattern } from './glob.ts';
import { MODES, type Mode } from './policies.ts';

/** A branch as it is set. */
export interface BranchSetting {
  /** Absolute, without symlinks. */
  readonly path: string;
  readonly mode: Mode;
  /** Bytes; undefined is what holds for all. */
  readonly minFreeSpace: number | undefined;
}

const UNITS = ['', 'K', 'M', 'G', 'T', 'P'] as const;

/** A size of bytes: a number, with K, M, G, T or P of 1024 behind it or nothing. RangeError. */
export function parseSize(text: string): number {
  const [, digits, unit] = /^(\d+)([KMGTP]?)B?$/iu.exec(text) ?? [];
  const size = Number(digits) * 1024 ** UNITS.indexOf((unit ?? '').toUpperCase() as (typeof UNITS)[number]);
  if (!Number.isSafeInteger(size))
    throw new RangeError(
      `${text === '' ? 'nothing' : text} is no size: a number is needed, with K, M, G, T or P behind it or nothing`,
    );
  return size;
}
/** The shortest that parses to it. */
export function printSize(size: number): string {
  let unit = 0;
  while (size > 0 && size % 1024 === 0 && unit < UNITS.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${size}${UNITS[unit]}`;
}

/** The branches of a list with colons between them. Patterns stand for the directories that match now. RangeError, in one line. */
export function parseBranches(text: string): BranchSetting[] {
  const parts = text.split(':').filter(Boolean);
  if (parts.length === 0) throw new RangeError('no branch is named: A=RW:B=RO is what a list of branches looks like');
  return parts.flatMap(parseBranch);
}

function parseBranch(text: string): BranchSetting[] {
  const equals = text.lastIndexOf('=');
  const path = equals < 0 ? text : text.slice(0, equals);
  const [mode = 'RW', size, ...more] = equals < 0 ? [] : text.slice(equals + 1).split(',');
  if (path === '') throw new RangeError(`branch ${text} has no path: PATH=${MODES.join('|')}[,SIZE] is needed`);
  if (!isMode(mode))
    throw new RangeError(
      `branch ${text} has the mode ${mode || 'of no letters'}: one of ${MODES.join(', ')} is needed`,
    );
  if (more.length > 0)
    throw new RangeError(`branch ${text} has too many commas: PATH=${MODES.join('|')}[,SIZE] is needed`);
  const found = directories(resolve(path));
  if (found.length === 0) throw new RangeError(`branch ${path} is not there, or no directory`);
  const minFreeSpace = size === undefined ? undefined : sizeOf(text, size);
  return found.map((each) => ({ path: realpathSync(each), mode, minFreeSpace }));
}
const isMode = (text: string): text is Mode => MODES.some((each) => each === text);
function sizeOf(branch: string, text: string): number {
  try {
    return parseSize(text);
  } catch (error) {
    throw new RangeError(`branch ${branch}: ${(error as Error).message}`);
  }
}

export const printBranches = (branches: readonly BranchSetting[]): string =>
  branches
    .map(
      ({ path, mode, minFreeSpace }) =>
        `${path}=${mode}${minFreeSpace === undefined ? '' : `,${printSize(minFreeSpace)}`}`,
    )
    .join(':');

/** What an instruction makes of a list, from what is written behind it. */
const INSTRUCTIONS: Readonly<
  Record<string, (old: readonly BranchSetting[], text: string) => readonly BranchSetting[]>
> = {
  '': (_, text) => parseBranches(text),
  '=': (_, text) => parseBranches(text),
  '+': (old, text) => [...old, ...parseBranches(text)],
  '+>': (old, text) => [...old, ...parseBranches(text)],
  '+<': (old, text) => [...parseBranches(text), ...old],
  '-': (old, text) => {
    const patterns = text
      .split(':')
      .filter(Boolean)
      .map((each) => pattern(each));
    return old.filter(({ path }) => !patterns.some((each) => each.test(path)));
  },
  '->': (old) => old.slice(0, -1),
  '-<': (old) => old.slice(1),
};

/**
 * The list after a change: `LIST` or `=LIST` sets it, `+<LIST` adds before, `+>LIST` or `+LIST` behind, `-LIST` takes out what
 * these patterns match, `-<` and `->` the first and the last. RangeError, also where no branch would be left.
 */
export function editBranches(old: readonly BranchSetting[], text: string): readonly BranchSetting[] {
  const [, instruction, rest] = /^([-+=<>]{0,2})(.*)$/su.exec(text)!;
  const edit = INSTRUCTIONS[instruction!];
  if (edit === undefined)
    throw new RangeError(
      `${instruction} is no instruction: one of ${Object.keys(INSTRUCTIONS).filter(Boolean).join(' ')} is needed`,
    );
  const branches = edit(old, rest!);
  if (branches.length === 0) throw new RangeError('no branch would be left: there has to be one');
  const twice = branches.find(({ path }, i) => branches.findIndex((each) => each.path === path) !== i);
  if (twice) throw new RangeError(`branch ${twice.path} is named twice`);
  return branches;
}
