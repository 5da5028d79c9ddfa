/**
 * The same random operations by a ring and by threads, on two copies of one tree: every result, every byte read and the
 * trees at the end are equal. The seed is printed; SEED= repeats a run, OPERATIONS= makes it longer.
 */
import { closeSync, constants, mkdirSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { AT_EMPTY_PATH, AT_REMOVEDIR, AT_SYMLINK_NOFOLLOW, RWF_APPEND, RWF_DSYNC } from '../../src/abi/posix.ts';
import { addressOf } from '../../src/abi/syscall.ts';
import { IORING_OP, type UringOpcode } from '../../src/abi/uring-constants.ts';
import type { Engine, Sqe } from '../../src/uring/engine.ts';
import { Ring } from '../../src/uring/ring.ts';
import { ThreadsEngine } from '../../src/uring/threads.ts';
import { operations, patience, Random, seed } from '../random/random.ts';
import { temporary } from '../support.ts';
import { snapshot } from './engines.ts';
import { uring } from './support.ts';

const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_DIRECTORY, O_NOFOLLOW } = constants;

/** Bytes in a file at most. */
const MOST = 40_000;
const NAMES = [
  'a',
  'b',
  'c',
  'd',
  'e',
  'sub/a',
  'sub/b',
  'sub/c',
  'sub/deep',
  'sub/deep/a',
  '',
  '.',
  '..',
  'x'.repeat(256),
];
const XATTRS = ['user.one', 'user.two', 'trusted.one', 'nothing.one'];

/** A side: its engine, its tree, its open files; and the memory of the operation at hand. */
class Side {
  readonly into = Buffer.allocUnsafeSlow(MOST);
  readonly files: number[] = [];
  readonly root: number;
  readonly engine: Engine;
  readonly dir: string;
  held: Buffer[] = [];

  constructor(engine: Engine, dir: string) {
    mkdirSync(join(dir, 'sub/deep'), { recursive: true });
    this.engine = engine;
    this.dir = dir;
    this.root = openSync(dir, O_RDONLY | O_DIRECTORY);
  }
  at(bytes: Buffer): number {
    const own = Buffer.allocUnsafeSlow(bytes.length);
    own.set(bytes);
    this.held.push(own);
    return addressOf(own);
  }
  path(name: string): number {
    return this.at(Buffer.from(`${name}\0`));
  }
  absolute(name: string): number {
    return this.path(join(this.dir, name));
  }
  /** An open file; -1 of those there are not. */
  file(which: number): number {
    return this.files[which] ?? -1;
  }
}

/** An operation, for either side. */
type Made = readonly [UringOpcode, (side: Side) => Sqe];

function make(random: Random, linked: boolean): Made {
  const [drawn, another, xattr] = [random.of(NAMES), random.of(NAMES), random.of(XATTRS)];
  // Of a chain the ring looks at all that is told before it begins: an empty name in it would cancel the whole.
  const name = linked ? drawn || 'a' : drawn;
  // Two faults at a time are avoided: which of them is found first may differ. And so is reading nothing from a directory.
  const other = name === '' || name.length > 255 ? 'b' : another || 'b';
  const which = random.below(7);
  const off = random.of([-1, 0, random.below(MOST), random.below(MOST)]);
  const len = 1 + random.below(random.of([10, 1000, MOST - 1]));
  const data = random.bytes(len);
  const mode = random.of([0o644, 0o600, 0o755]);
  const any = random.next();
  const flags =
    random.of([O_RDONLY, O_WRONLY, O_RDWR, O_RDWR]) |
    random.of([0, O_CREAT, O_CREAT, O_CREAT | O_EXCL, O_TRUNC, O_APPEND, O_CREAT | O_APPEND, O_DIRECTORY, O_NOFOLLOW]);
  const into = (side: Side) => addressOf(side.into);
  const iovecs = (side: Side, base: number) => {
    const cut = Math.floor(len / 3);
    const words = [BigInt(base), BigInt(cut), BigInt(base + cut), BigInt(len - cut)];
    return side.at(Buffer.from(new BigUint64Array(words).buffer));
  };
  const size = random.below(MOST);
  const how = random.of([0, 1, 3, 3, 16, 2]);
  return random.of<Made>([
    ['OPENAT', (s) => ({ fd: s.root, addr: s.path(name), op_flags: flags, len: mode })],
    ['OPENAT', (s) => ({ fd: s.root, addr: s.path(name), op_flags: O_RDWR | O_CREAT, len: mode })],
    [
      'OPENAT2',
      (s) => {
        const words = new BigUint64Array([BigInt(flags), flags & O_CREAT ? BigInt(mode) : 0n, BigInt(any & 0x1c)]);
        return { fd: s.root, addr: s.path(name || 'a'), len: 24, off: s.at(Buffer.from(words.buffer)) };
      },
    ],
    ['CLOSE', (s) => ({ fd: s.files.splice(which, 1)[0] ?? -1 })],
    ['READ', (s) => ({ fd: s.file(which), addr: into(s), len, off })],
    ['READV', (s) => ({ fd: s.file(which), addr: iovecs(s, into(s)), len: 2, off })],
    ['WRITE', (s) => ({ fd: s.file(which), addr: s.at(data), len, off })],
    ['WRITE', (s) => ({ fd: s.file(which), addr: s.at(data), len, off, op_flags: any & (RWF_DSYNC | RWF_APPEND) })],
    ['WRITEV', (s) => ({ fd: s.file(which), addr: iovecs(s, s.at(data)), len: 2, off, op_flags: any & RWF_DSYNC })],
    ['FSYNC', (s) => ({ fd: s.file(which), op_flags: any & 3 })],
    ['SYNC_FILE_RANGE', (s) => ({ fd: s.file(which), off: size, len, op_flags: any & 15 })],
    ['FALLOCATE', (s) => ({ fd: s.file(which), off: size, addr: len, len: how })],
    ['FTRUNCATE', (s) => ({ fd: s.file(which), off: size })],
    ['FADVISE', (s) => ({ fd: s.file(which), len, op_flags: any & 7 })],
    [
      'STATX',
      (s) => ({ fd: s.root, addr: s.path(name), op_flags: any & AT_SYMLINK_NOFOLLOW, len: 0x207, off: into(s) }),
    ],
    ['STATX', (s) => ({ fd: s.file(which), addr: s.path(''), op_flags: AT_EMPTY_PATH, len: 0x207, off: into(s) })],
    ['RENAMEAT', (s) => ({ fd: s.root, addr: s.path(name), len: s.root, off: s.path(other), op_flags: how % 3 })],
    ['LINKAT', (s) => ({ fd: s.root, addr: s.path(name), len: s.root, off: s.path(other) })],
    ['SYMLINKAT', (s) => ({ fd: s.root, addr: s.path(name), off: s.path(other) })],
    ['UNLINKAT', (s) => ({ fd: s.root, addr: s.path(name), op_flags: any & AT_REMOVEDIR })],
    ['MKDIRAT', (s) => ({ fd: s.root, addr: s.path(name), len: mode })],
    [
      'SETXATTR',
      (s) => ({ addr3: s.absolute(name), addr: s.path(xattr), off: s.at(data), len: len % 99, op_flags: any & 3 }),
    ],
    ['FSETXATTR', (s) => ({ fd: s.file(which), addr: s.path(xattr), off: s.at(data), len: len % 99 })],
    ['GETXATTR', (s) => ({ addr3: s.absolute(name), addr: s.path(xattr), off: into(s), len: any & 127 })],
    ['FGETXATTR', (s) => ({ fd: s.file(which), addr: s.path(xattr), off: into(s), len: any & 127 })],
  ]);
}

/** Operations whose failure ends a chain on the ring too. @see ThreadsEngine.submitLinked */
const ENDS: readonly UringOpcode[] = ['OPENAT', 'OPENAT2', 'READ', 'READV', 'WRITE', 'WRITEV', 'CLOSE'];

/** Does them one after another, or linked: results, and what was read. Opened files are the side's. */
async function perform(side: Side, made: readonly Made[], linked: boolean): Promise<string[]> {
  side.into.fill(0);
  const each = made.map(([opcode, sqe]) => ({ opcode, sqe: sqe(side) }));
  const results: number[] = [];
  await new Promise<void>((resolve) => {
    const done = (i: number) => (res: number) => {
      results[i] = res;
      if (Object.keys(results).length === each.length) resolve();
    };
    if (linked) side.engine.submitLinked(each.map((one, i) => ({ ...one, done: done(i) })));
    else for (const [i, { opcode, sqe }] of each.entries()) side.engine.submit(IORING_OP[opcode], sqe, done(i));
  });
  side.held = [];
  return each.map(({ opcode }, i) => {
    const res = results[i]!;
    if (opcode.startsWith('OPEN') && res >= 0) {
      side.files.push(res);
      if (side.files.length > 6) closeSync(side.files.shift()!);
      return `${opcode} opened`;
    }
    // Of a statx what is not the inode's own: mode, size, and links.
    const read =
      opcode === 'STATX' ? side.into.subarray(16, 20).toString('hex') : side.into.toString('hex', 0, Math.max(res, 0));
    return `${opcode} ${res} ${/^READ|^F?GETX|STATX/u.test(opcode) && res >= 0 ? read : ''}`;
  });
}

uring('random operations', () => {
  const COUNT = operations(3000);
  test(`do the same by a ring and by threads: ${COUNT}`, { timeout: patience(COUNT) }, async () => {
    const root = temporary('rawfuse-threads-');
    await using ring = new Ring();
    await using threads = new ThreadsEngine();
    const sides = [new Side(ring, join(root, 'ring/tree')), new Side(threads, join(root, 'threads/tree'))] as const;
    const random = new Random(seed);
    const seen = new Map<string, number>();
    for (let i = 0; i < COUNT; i++) {
      const linked = random.chance(8);
      let made = [make(random, linked)];
      if (linked)
        made = Array.from({ length: 2 + random.below(3) }, () => make(random, true)).filter(([op]) =>
          ENDS.includes(op),
        );
      if (made.length === 0) continue;
      const [expected, found] = [await perform(sides[0], made, linked), await perform(sides[1], made, linked)];
      expect(found, `operation ${i} of SEED=${seed}`).toEqual(expected);
      for (const each of found) {
        const outcome = each.split(' ').slice(0, 1).join() + (/ (-|0 $)/u.test(each) ? ' failed or 0' : ' done');
        seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
      }
    }
    expect(snapshot(sides[1].dir)).toEqual(snapshot(sides[0].dir));
    for (const opcode of ['READ', 'READV', 'WRITE', 'WRITEV', 'OPENAT', 'OPENAT2', 'GETXATTR', 'FGETXATTR'])
      expect([opcode, seen.get(`${opcode} done`) ?? 0]).not.toEqual([opcode, 0]);
    for (const side of sides) for (const fd of [...side.files, side.root]) closeSync(fd);
    rmSync(root, { recursive: true });
  });
});
