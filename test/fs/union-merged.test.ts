/** Names of branches merged, on bytes: what getdents64(2) would give goes in, what READDIR tells comes out. See merged.ts. */
import { expect, test } from 'vitest';
import { EIO, ENOENT, ENOTDIR } from '../../src/abi/errno.ts';
import { linux_dirent64 } from '../../src/fs/passthrough/directory.ts';
import { InodeNumbers } from '../../src/fs/union/inodes.ts';
import type { Branch } from '../../src/fs/union/lower.ts';
import { type Listed, Merged, type Places } from '../../src/fs/union/merged.ts';
import { Options } from '../../src/fs/union/options.ts';
import { encodeName } from '../../src/protocol/names.ts';
import { operations, Random, seed } from '../random/random.ts';
import { Told } from './requests.ts';

const DIRECTORY = 4;
const FILE = 8;
interface Given {
  readonly name: string;
  readonly ino: bigint;
  readonly type?: number;
}
const branch = (path: string) => ({ path }) as Branch;
const [A, B] = [branch('/a'), branch('/b')];
const NEW: Places = { read: false, size: 0, names: () => new Map() };

/** Records as the kernel writes them: what is behind a name's NUL is whatever was there. */
function dirents(given: readonly Given[]): Buffer {
  return Buffer.concat(
    given.map(({ name, ino, type = FILE }) => {
      const bytes = encodeName(name);
      const { offset } = linux_dirent64;
      const record = Buffer.alloc((offset.d_name + bytes.length + 8) & ~7, 0xee);
      record.writeBigUInt64LE(ino, offset.d_ino);
      record.writeUInt16LE(record.length, offset.d_reclen);
      record[offset.d_type] = type;
      record.set(bytes, offset.d_name);
      record[offset.d_name + bytes.length] = 0;
      return record;
    }),
  );
}
function add(merged: Merged, of: Branch, given: readonly Given[]): void {
  const bytes = dirents(given);
  merged.add(of, bytes, bytes.length);
  merged.ended(undefined);
}
function told({ records, index }: Listed, place = 0) {
  const told = new Told();
  told.addRecords(records, index[place]!, index.at(-1)!);
  return told.entries;
}
const merging = (options: Record<string, string> = {}) => {
  const { values } = new Options();
  Object.assign(values, options);
  const numbers = new InodeNumbers(values);
  return { merged: new Merged(numbers), numbers };
};

test('each name once, as the first branch has it, with the number that it is looked up with', () => {
  for (const inodecalc of ['passthrough', 'path-hash', 'path-hash32', 'devino-hash32', 'hybrid-hash', 'hybrid-hash32'])
    for (const path of ['', 'd', 'd/ä']) {
      const { merged, numbers } = merging({ inodecalc });
      merged.begin(path);
      const [big, odd] = [2n ** 64n - 2n, '\udcff'.repeat(254)];
      add(merged, A, [
        { name: '.', ino: 1n, type: DIRECTORY },
        { name: '..', ino: 2n, type: DIRECTORY },
        { name: 'sub', ino: 3n, type: DIRECTORY },
        { name: 'file', ino: big },
      ]);
      add(merged, B, [
        { name: '..', ino: 9n, type: DIRECTORY },
        { name: 'file', ino: 8n },
        { name: 'sub', ino: 7n },
        { name: 'fil', ino: 6n },
        { name: odd, ino: 5n, type: 0 },
      ]);
      const below = (name: string) => (path === '' ? name : `${path}/${name}`);
      const [dir, file] = [DIRECTORY << 12, FILE << 12];
      const above = path === 'd/ä' ? 'd' : '';
      expect(told(merged.all(NEW)), `${inodecalc} ${path}`).toEqual([
        { name: '.', type: DIRECTORY, off: 1n, ino: numbers.of(dir, path, A, 1n) },
        { name: '..', type: DIRECTORY, off: 2n, ino: numbers.of(dir, above, A, 2n) },
        { name: 'sub', type: DIRECTORY, off: 3n, ino: numbers.of(dir, below('sub'), A, 3n) },
        { name: 'file', type: FILE, off: 4n, ino: numbers.of(file, below('file'), A, big) },
        { name: 'fil', type: FILE, off: 5n, ino: numbers.of(file, below('fil'), B, 6n) },
        { name: odd, type: 0, off: 6n, ino: numbers.of(0, below(odd), B, 5n) },
      ]);
    }
});

test('a large directory after a small one and before it, as many bytes as its names have', () => {
  const { merged } = merging();
  for (const count of [3, 5000, 2, 40_000, 40_000, 1, 0]) {
    merged.begin('d');
    const given = Array.from({ length: count }, (_, i) => ({ name: `${i}-${'x'.repeat(i % 100)}`, ino: BigInt(i) }));
    add(merged, A, given);
    add(merged, B, given);
    const { records, index } = merged.all(NEW);
    expect(records.length).toBe(given.reduce((sum, { name }) => sum + 24 + ((name.length + 7) & ~7), 0));
    expect(index.length).toBe(count + 1);
    expect(told({ records, index }).map(({ name }) => name)).toEqual(given.map(({ name }) => name));
  }
});

test('a branch that has no such directory is left out, one that can’t be read is told of where most can’t', () => {
  const { merged } = merging();
  const ended = (...failures: (typeof EIO | undefined)[]) => {
    merged.begin('');
    for (const failure of failures) merged.ended(failure);
    return () => merged.all(NEW);
  };
  expect(ended(ENOTDIR, ENOENT)).toThrow(ENOENT);
  expect(ended(EIO, ENOENT)).toThrow(EIO);
  expect(ended(EIO, undefined, EIO)).toThrow(EIO);
  expect(ended(EIO, undefined, ENOENT)()).toMatchObject({ index: new Int32Array(1) });
});

test('read again and again, a name that stays keeps its place, and none is told twice or left out', () => {
  const random = new Random(seed);
  const { merged } = merging();
  const name = (i: number) => `${['n', 'ä', '\udc80'][i % 3]}${i}`;
  let present = new Set<number>();
  let before = NEW;
  let places = new Map<string, bigint>();
  let anew = 0;
  for (let round = Math.max(60, operations(60)); round > 0; round--) {
    const many = round % 7 === 0 ? 3000 : 20;
    const next = new Set([...present].filter(() => random.next() % 3 > 0));
    for (let i = random.next() % many; i >= 0; i--) next.add(random.next() % (2 * many));
    merged.begin('d');
    const given = [...next].sort(() => (random.next() % 2) - 0.5).map((i) => ({ name: name(i), ino: 1n }));
    const half = given.length >> 1;
    add(merged, A, given.slice(0, half));
    add(merged, B, given.slice(half));
    const listed = merged.all(before);
    const all = told(listed);
    const why = `seed ${seed}, ${round} rounds left`;
    expect(all.map((each) => each.name).sort(), why).toEqual(given.map((each) => each.name).sort());
    expect(listed.index.length - 1, why).toBeLessThanOrEqual(2 * given.length + 1000);
    const again = new Map(all.map((each) => [each.name, each.off]));
    // All places anew, where they would have become too many: else none has moved.
    const fresh = given.filter((each) => !places.has(each.name)).length;
    if (before.size + fresh > 2 * given.length + 1000) anew++;
    else for (const [each, off] of again) expect(places.get(each) ?? off, why).toBe(off);
    for (let i = 0; i < all.length; i += 1 + (random.next() % all.length))
      expect(told(listed, Number(all[i]!.off)), why).toEqual(all.slice(i + 1));
    const names = new Map(all.map((each) => [encodeName(each.name).toString('latin1'), Number(each.off) - 1]));
    [present, places, before] = [next, again, { read: true, size: listed.index.length - 1, names: () => names }];
  }
  expect(anew).toBeGreaterThan(0);
});
