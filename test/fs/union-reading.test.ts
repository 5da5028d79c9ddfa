/** Directories of branches that are opened, or read, at once: as if one after the other, and nothing is left when it ends in the middle. */
import { linkSync, mkdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ENOENT, ENOTCONN } from '../../src/abi/errno.ts';
import { UnionFs } from '../../src/fs/index.ts';
import { seeded } from '../../src/fs/union/policies.ts';
import { Readers, readingWay } from '../../src/fs/union/reading.ts';
import type { Dirent } from '../../src/protocol/dirent.ts';
import { seed } from '../random/random.ts';
import { openBelow, temporary, until } from '../support.ts';
import { at, Client, Told } from './union-support.ts';

const BRANCHES = ['a', 'b', 'c', 'd'];
let dir: string;
const made: UnionFs[] = [];
beforeEach(() => {
  dir = realpathSync(temporary());
  for (const branch of BRANCHES) mkdirSync(on(branch));
});
afterEach(() => {
  vi.restoreAllMocks();
  for (const fs of made.splice(0)) fs.destroy();
  rmSync(dir, { recursive: true });
});
const on = (path: string) => join(dir, path);
const serve = (options: Record<string, string> = {}) => {
  const fs = new UnionFs({ branches: BRANCHES.map(on).join(':'), options });
  made.push(fs);
  return new Client(fs);
};
/** Threads have others of their own. */
const descriptors = () => openBelow(dir).length;

/** Reads an open directory from its beginning; the entries, when they are there. */
async function entries(u: Client, fh: number): Promise<Dirent[]> {
  const told = new Told();
  await u.fs.readdir(at(1), { fh, offset: 0n } as never, told.reply);
  return told.entries;
}
async function listed(u: Client, path: string): Promise<Dirent[]> {
  const fh = u.opendir(path);
  try {
    return await entries(u, fh);
  } finally {
    u.fs.releasedir(at(1), { fh } as never);
  }
}

test('a listing is the same whichever way it was read', async () => {
  const random = seeded(seed);
  const names = Array.from({ length: 12 }, (_, i) => `${'nöß'[i % 3]}${i}`);
  const some = <T>(from: readonly T[]) => from[Math.floor(random() * from.length)]!;
  const places: string[] = [''];
  for (let i = 0; i < 150; i++) {
    const [place, name] = [some(places), some(names)];
    const path = place === '' ? name : `${place}/${name}`;
    try {
      const place = on(`${some(BRANCHES)}/${path}`);
      const kind = random();
      if (kind < 0.3) mkdirSync(place, { recursive: true });
      else if (kind < 0.4) symlinkSync('.', place);
      else writeFileSync(place, '');
      if (kind < 0.3) places.push(path);
    } catch {
      // there is something else on the way
    }
  }
  for (const follow of ['never', 'all']) {
    const u = serve({ 'follow-symlinks': follow });
    for (const place of new Set(places)) {
      const list = async (way: string) => {
        u.fs.set('func.readdir', way);
        return listed(u, place).catch((error) => error);
      };
      const inTurn = await list('seq');
      for (const way of ['cosr:2', 'cor:2']) expect(await list(way), `seed ${seed}: ${way} ${place}`).toEqual(inTurn);
    }
  }
}, 60_000);

test('what no branch has is ENOENT, and a directory that was removed is empty', async () => {
  mkdirSync(on('b/d'));
  const u = serve({ 'func.readdir': 'cor:2' });
  const fh = u.opendir('d');
  expect((await entries(u, fh)).map(({ name }) => name)).toEqual(['.', '..']);
  rmSync(on('b/d'), { recursive: true });
  await expect(entries(u, fh)).rejects.toBe(ENOENT);
  mkdirSync(on('b/d'));
  u.rmdir('d');
  expect(await entries(u, fh)).toEqual([]);
  u.fs.releasedir(at(1), { fh } as never);
});

test.each(['cosr:2', 'cor:2'])(
  '%s: two directories whose answers come at once are not mistaken for each other',
  async (way) => {
    for (const name of ['one', 'other']) {
      mkdirSync(on(`a/${name}`));
      writeFileSync(on(`a/${name}/in ${name}`), '');
    }
    const u = serve({ 'func.readdir': way });
    const [one, other] = ['one', 'other'].map((name) => u.opendir(name)) as [number, number];
    // Both are answered when the second is there.
    const ask = Readers.prototype.ask;
    const asked: Promise<unknown>[] = [];
    vi.spyOn(Readers.prototype, 'ask').mockImplementation(function (this: Readers, ...of) {
      const answers = ask.apply(this, of);
      asked.push(answers);
      return until(() => asked.length === 2, 'the other')
        .then(() => Promise.all(asked))
        .then(() => answers);
    });
    const listed = await Promise.all([entries(u, one), entries(u, other)]);
    expect(listed.map((each) => each.map(({ name }) => name).sort())).toEqual([
      ['.', '..', 'in one'],
      ['.', '..', 'in other'],
    ]);
    for (const fh of [one, other]) u.fs.releasedir(at(1), { fh } as never);
  },
);

test.each(['cosr:1', 'cor:1'])('%s: an end in the middle leaves nothing open', async (way) => {
  for (const branch of BRANCHES) writeFileSync(on(`${branch}/of ${branch}`), '');
  const u = serve({ 'func.readdir': way });
  const before = descriptors();
  await listed(u, ''); // its thread is there
  const fh = u.opendir('');
  const reading = entries(u, fh).catch((error) => error);
  expect(descriptors()).toBeGreaterThan(before);
  u.fs.destroy();
  // The first was under way; the thread has not begun with the others.
  expect(await reading).toBe(ENOTCONN);
  await until(() => descriptors() === 0, 'all to be closed');
});

test.each(['cosr:2', 'cor:2'])('%s: branches that go in the middle are read as they were', async (way) => {
  for (const branch of BRANCHES) writeFileSync(on(`${branch}/of ${branch}`), '');
  const u = serve({ 'func.readdir': way });
  const fh = u.opendir('');
  const reading = entries(u, fh);
  u.fs.set('branches', on('d'));
  mkdirSync(on('other'));
  u.fs.set('branches', on('other'));
  expect((await reading).map(({ name }) => name).sort()).toEqual([
    ...['.', '..', ...BRANCHES.map((branch) => `of ${branch}`)],
  ]);
  expect((await entries(u, fh)).map(({ name }) => name)).toEqual(['.', '..']);
  u.fs.releasedir(at(1), { fh } as never);
  expect(descriptors()).toBe(1); // the root of the branch
});

test('how many threads there are', () => {
  const cpus = availableParallelism();
  const ways = ['seq', 'cosr', 'cor', 'cosr:3', 'cor:3:5', 'cor:0:2', 'cosr:-1', 'cor:-1000'].map(readingWay);
  expect(ways).toEqual([
    undefined,
    { read: false, threads: cpus },
    { read: true, threads: cpus },
    { read: false, threads: 3 },
    { read: true, threads: 3 },
    { read: true, threads: cpus },
    { read: false, threads: cpus },
    { read: true, threads: 1 },
  ]);
});

test.each(['seq', 'cosr:2', 'cor:2'])('%s: a directory that no one call of getdents64(2) gives', async (way) => {
  const names = Array.from({ length: 6000 }, (_, i) => `${'n'.repeat(i % 200)}${i}`);
  writeFileSync(on('a/first'), '');
  for (const [i, name] of names.entries()) linkSync(on('a/first'), on(`${i % 2 === 0 ? 'a' : 'c'}/${name}`));
  const u = serve({ 'func.readdir': way });
  expect((await listed(u, '')).map(({ name }) => name).sort()).toEqual(['.', '..', 'first', ...names].sort());
});
