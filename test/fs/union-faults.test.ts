/**
 * Renames over branches with each of their steps failing in turn, and each two of them: a branch that had the old name has the old or
 * the new one afterwards, never none and never both; what was cloned in vain is gone; the caller gets an error exactly where no branch has done it;
 * and the trace names each branch that went its own way. The same of moving a file to where there is space: it is here or there,
 * whole.
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EIO, Errno } from '../../src/abi/errno.ts';
import { O_RDWR, RENAME_EXCHANGE } from '../../src/abi/posix.ts';
import { UnionFs } from '../../src/fs/index.ts';
import { Scratch } from '../../src/fs/passthrough/scratch.ts';
import { CALLS, type Calls } from '../../src/fs/union/calls.ts';
import { Cloner } from '../../src/fs/union/clone.ts';
import { Lower } from '../../src/fs/union/lower.ts';
import { Mover } from '../../src/fs/union/move.ts';
import { Options } from '../../src/fs/union/options.ts';
import { temporary } from '../support.ts';
import { Client } from './union-support.ts';

const BRANCHES = ['a', 'b', 'c'] as const;
let dir: string;
beforeEach(() => {
  dir = realpathSync(temporary());
});
afterEach(() => rmSync(dir, { recursive: true }));
const on = (path: string) => join(dir, path);

/** The calls of the system, of which those with these places in their order fail with EIO. Tells how many there were. */
function failing(places: readonly number[]) {
  let made = 0;
  const calls = Object.fromEntries(
    Object.entries(CALLS).map(([name, call]) => [
      name,
      (...args: never[]) => (places.includes(made++) ? -EIO.errno : (call as (...args: never[]) => number)(...args)),
    ]),
  ) as unknown as Calls;
  return { calls, made: () => made };
}

/** Serves branches that are fresh; what the call has thrown, what the trace says, and how many calls were made. */
function attempt(prepare: () => void, places: readonly number[], act: (u: Client) => void, create = 'ff') {
  for (const branch of BRANCHES) {
    rmSync(on(branch), { recursive: true, force: true });
    mkdirSync(on(branch));
  }
  prepare();
  const { calls, made } = failing(places);
  const branches = BRANCHES.map(on).join(':');
  const fs = new UnionFs({ branches, options: { minfreespace: '0', 'category.create': create } }, calls);
  try {
    const u = new Client(fs);
    let error: unknown;
    try {
      act(u);
    } catch (thrown) {
      if (!(thrown instanceof Errno)) throw thrown;
      error = thrown;
    }
    return { error, notes: u.notes, made: made() };
  } finally {
    fs.destroy();
  }
}
/** All sets of one or two of so many places. */
const faults = (most: number): number[][] =>
  Array.from({ length: most }, (_, i) => [
    [i],
    ...Array.from({ length: most - i - 1 }, (_, j) => [i, i + j + 1]),
  ]).flat();

const cases = {
  'in one directory': { prepare: () => files('a/f', 'b/f', 'c/f'), to: 'g', create: 'ff' },
  'to a directory that is cloned': { prepare: () => files('b/f', 'c/f', 'a/d/e/x'), to: 'd/e/g', create: 'ff' },
  'over a file that is elsewhere, too': { prepare: () => files('b/f', 'a/g', 'b/g', 'c/g'), to: 'g', create: 'ff' },
  'with a policy that clones on one branch': {
    prepare: () => files('b/f', 'c/f', 'a/d/x', 'c/d/x'),
    to: 'd/g',
    create: 'mspmfs',
  },
} as const;
function files(...paths: string[]): void {
  for (const path of paths) {
    mkdirSync(join(on(path), '..'), { recursive: true });
    writeFileSync(on(path), path);
  }
}

describe.each(Object.entries(cases))('rename %s', (_, { prepare, to, create }) => {
  const rename = (u: Client) => u.rename('f', to);
  test('every branch holds the old or the new name, never neither', () => {
    const { made } = attempt(prepare, [], rename, create);
    expect(made).toBeGreaterThan(0);
    let failed = 0;
    // A fault may lead to further calls: those fail in turn, too.
    const every = Array.from({ length: made + 4 }, (_, i) => i);
    for (const places of [[], ...faults(made + 4), every]) {
      const { error, notes } = attempt(prepare, places, rename, create);
      const at = `calls ${places} fail`;
      prepareExpected(prepare);
      const had = BRANCHES.filter((each) => before.includes(`${each}/f`));
      const moved = had.filter((each) => !existsSync(on(`${each}/f`)));
      for (const each of had) {
        const here = moved.includes(each) ? `${each}/${to}` : `${each}/f`;
        expect(readFileSync(on(here), 'utf8'), `${at}: ${each}`).toBe(`${each}/f`);
        // What the new name was before is still there where the old one was not moved.
        if (here.endsWith('/f') && before.includes(`${each}/${to}`) && error)
          expect(readFileSync(on(`${each}/${to}`), 'utf8'), at).toBe(`${each}/${to}`);
      }
      expect(error !== undefined, at).toBe(moved.length === 0);
      if (error === undefined)
        for (const each of had.filter((branch) => !moved.includes(branch)))
          expect(notes.filter((note) => note.includes(on(each))).length, `${at}: ${notes}`).toBeGreaterThan(0);
      // Directories that are of no use are gone, where to remove them was not what failed.
      if (places.length === 1)
        for (const each of BRANCHES.filter((branch) => !moved.includes(branch)))
          expect(existsSync(on(`${each}/d`)), `${at}: ${each}`).toBe(
            before.some((path) => path.startsWith(`${each}/d/`)),
          );
      if (error) failed++;
    }
    expect(failed).toBeGreaterThan(0);
  });

  let before: string[] = [];
  /** What was there, by preparing it again beside. */
  function prepareExpected(again: () => void): void {
    if (before.length > 0) return;
    const kept = dir;
    dir = join(kept, 'expected');
    mkdirSync(dir);
    again();
    before = readdirSync(dir, { recursive: true, encoding: 'utf8' });
    rmSync(dir, { recursive: true });
    dir = kept;
  }
});

test('an exchange that fails on one branch is taken back on the others', () => {
  const prepare = () => files('a/f', 'b/f', 'b/g', 'c/g');
  const exchange = (u: Client) => u.rename('f', 'g', RENAME_EXCHANGE);
  const all = () => BRANCHES.flatMap((each) => readdirSync(on(each)).map((name) => `${each}/${name}`));
  expect(attempt(prepare, [], exchange).error).toBe(undefined);
  expect([all(), readFileSync(on('a/g'), 'utf8'), readFileSync(on('b/g'), 'utf8')]).toEqual([
    ...[['a/g', 'b/f', 'b/g', 'c/f'], 'a/f', 'b/f'],
  ]);
  for (let i = 0; i < 3; i++) {
    expect(attempt(prepare, [i], exchange).error).toBe(EIO);
    expect(all()).toEqual(['a/f', 'b/f', 'b/g', 'c/g']);
    for (const path of all()) expect(readFileSync(on(path), 'utf8')).toBe(path);
  }
});

test('a link whose clone fails leaves nothing of it', () => {
  const prepare = () => files('b/f', 'a/d/e/x');
  const { made } = attempt(prepare, [], (u) => void u.link('f', 'd/e/g'));
  for (let i = 0; i < made; i++) {
    const { error } = attempt(prepare, [i], (u) => void u.link('f', 'd/e/g'));
    expect([error, readdirSync(on('b'))]).toEqual([EIO, ['f']]);
  }
});

test('a file that moves to another branch is here or there, whole, whichever call fails', () => {
  const text = 'text'.repeat(1000);
  const all = () =>
    readdirSync(dir, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.length > 1)
      .sort();
  function move(places: readonly number[]) {
    for (const branch of BRANCHES) rmSync(on(branch), { recursive: true, force: true });
    for (const branch of BRANCHES) mkdirSync(on(branch));
    files('a/d/e/f');
    writeFileSync(on('a/d/e/f'), text);
    const { calls, made } = failing(places);
    const scratch = new Scratch();
    const options = new Options();
    options.set('minfreespace', '0');
    options.set('branches', BRANCHES.map(on).join(':'));
    const lower = new Lower(options.values, Math.random, scratch);
    lower.serve(options.values.branches);
    const fd = openSync(on('a/d/e/f'), 'r+');
    const handle = { fd, flags: O_RDWR, branch: lower.branches[0]!.number };
    let error: unknown;
    try {
      const mover = new Mover(lower, new Cloner(lower, scratch, calls), scratch, calls);
      mover.move('d/e/f', lower.branches[0]!, [handle], 10, 'ff');
    } catch (thrown) {
      error = thrown;
    }
    const { ino } = fstatSync(fd); // who has it open has the one that is there
    closeSync(fd);
    lower.close();
    return { error, made: made(), ino, branch: lower.numbered(handle.branch).path };
  }
  const { made, branch, ino } = move([]);
  expect([branch, all(), readFileSync(on('b/d/e/f'), 'utf8') === text, ino]).toEqual([
    ...[on('b'), ['a/d', 'a/d/e', 'b/d', 'b/d/e', 'b/d/e/f'], true, statSync(on('b/d/e/f')).ino],
  ]);
  for (let i = 0; i < made; i++) {
    const failed = move([i]);
    expect([failed.error, failed.branch, all()], `call ${i} fails`).toEqual([
      EIO,
      on('a'),
      ['a/d', 'a/d/e', 'a/d/e/f'],
    ]);
    expect([readFileSync(on('a/d/e/f'), 'utf8') === text, statSync(on('a/d/e/f')).ino]).toEqual([true, failed.ino]);
  }
});
