/** Each operation without io_uring answers and does what it does with it: the same sqes, on two copies of one tree. */
import { closeSync, constants, mkdirSync, openSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_REMOVEDIR,
  RWF_APPEND,
  RWF_DSYNC,
  RWF_HIPRI,
  RWF_NOWAIT,
} from '../../src/abi/posix.ts';
import {
  IORING_FSYNC_DATASYNC,
  IORING_NOP_INJECT_RESULT,
  IOSQE_ASYNC,
  IOSQE_FIXED_FILE,
  type UringOpcode,
} from '../../src/abi/uring-constants.ts';
import type { Engine, Sqe } from '../../src/uring/engine.ts';
import { Ring } from '../../src/uring/ring.ts';
import { SERVED } from '../../src/uring/system-calls.ts';
import { ThreadsEngine } from '../../src/uring/threads.ts';
import { temporary } from '../support.ts';
import { address, bytes, cString, iovecs, one, openHow, snapshot } from './engines.ts';
import { uring } from './support.ts';

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_WRONLY, O_DIRECTORY } = constants;

let root: string;
beforeEach(() => {
  root = temporary('rawfuse-threads-');
});
afterEach(() => rmSync(root, { recursive: true }));

/** What the operations are done on: a directory and a few descriptors. */
interface Subject {
  readonly dir: number;
  readonly file: number;
  readonly readonly: number;
  readonly appended: number;
  readonly path: string;
}

const into = bytes(4096);
const DATA = bytes(Buffer.from('the bytes that are written, of which there are some'));
const path = (name: string): number => address(cString(name));

/**
 * Operations in an order, each [what it is, opcode, sqe], done one after another: a result is a number, or, where it is a
 * descriptor, closed and called one.
 */
type Row = readonly [name: string, opcode: UringOpcode | number, sqe: (s: Subject) => Sqe];
const rows: readonly Row[] = [
  ['nop', 'NOP', () => ({})],
  ['nop with a result', 'NOP', () => ({ op_flags: IORING_NOP_INJECT_RESULT, len: 42 })],
  ['nop with an error', 'NOP', () => ({ op_flags: IORING_NOP_INJECT_RESULT, len: -5 })],
  ['nop, unknown flag', 'NOP', () => ({ op_flags: 1 << 20 })],

  ['write', 'WRITE', ({ file }) => ({ fd: file, addr: address(DATA), len: 20, off: 100 })],
  [
    'write, synchronous',
    'WRITE',
    ({ file }) => ({ fd: file, addr: address(DATA), len: 20, off: 200, op_flags: RWF_DSYNC }),
  ],
  ['write at the position', 'WRITE', ({ file }) => ({ fd: file, addr: address(DATA), len: 3, off: -1 })],
  ['write at the position again', 'WRITE', ({ file }) => ({ fd: file, addr: address(DATA), len: 4, off: -1 })],
  [
    'write, appended by flag',
    'WRITE',
    ({ file }) => ({ fd: file, addr: address(DATA), len: 5, off: 0, op_flags: RWF_APPEND }),
  ],
  ['write, O_APPEND', 'WRITE', ({ appended }) => ({ fd: appended, addr: address(DATA), len: 5, off: 0 })],
  ['write nothing', 'WRITE', ({ file }) => ({ fd: file, addr: address(DATA), len: 0, off: 0 })],
  ['write, read-only', 'WRITE', ({ readonly }) => ({ fd: readonly, addr: address(DATA), len: 5 })],
  ['write, bad address', 'WRITE', ({ file }) => ({ fd: file, addr: 8, len: 5, off: 0 })],
  ['write far out', 'WRITE', ({ file }) => ({ fd: file, addr: address(DATA), len: 5, off: 2 ** 52 })],
  ['write, for devices', 'WRITE', ({ file }) => ({ fd: file, addr: address(DATA), len: 5, op_flags: RWF_HIPRI })],
  ['write, unknown flag', 'WRITE', ({ file }) => ({ fd: file, addr: address(DATA), len: 5, op_flags: 1 << 30 })],
  [
    'writev',
    'WRITEV',
    ({ file }) => ({ fd: file, addr: address(iovecs(DATA.subarray(0, 7), DATA.subarray(9, 20))), len: 2, off: 400 }),
  ],
  [
    'writev, synchronous',
    'WRITEV',
    ({ file }) => ({ fd: file, addr: address(iovecs(DATA)), len: 1, off: 500, op_flags: RWF_DSYNC }),
  ],
  ['writev of none', 'WRITEV', ({ file }) => ({ fd: file, addr: 0, len: 0, off: 500 })],
  ['writev of too many', 'WRITEV', ({ file }) => ({ fd: file, addr: address(iovecs(DATA)), len: 5000, off: 500 })],
  ['read', 'READ', ({ file }) => ({ fd: file, addr: address(into), len: 300, off: 10 })],
  ['read at the position', 'READ', ({ file }) => ({ fd: file, addr: address(into), len: 50, off: -1 })],
  [
    'read without waiting',
    'READ',
    ({ file }) => ({ fd: file, addr: address(into), len: 50, off: 0, op_flags: RWF_NOWAIT }),
  ],
  ['read short', 'READ', ({ file }) => ({ fd: file, addr: address(into), len: 4096, off: 500 })],
  ['read past the end', 'READ', ({ file }) => ({ fd: file, addr: address(into), len: 50, off: 2 ** 40 })],
  ['read a directory', 'READ', ({ dir }) => ({ fd: dir, addr: address(into), len: 50 })],
  ['read, no file', 'READ', () => ({ fd: -1, addr: address(into), len: 50 })],
  ['read, registered', 'READ', ({ file }) => ({ fd: file, addr: address(into), len: 50, flags: IOSQE_FIXED_FILE })],
  ['read, elsewhere', 'READ', ({ file }) => ({ fd: file, addr: address(into), len: 50, flags: IOSQE_ASYNC })],
  ['read, bad address', 'READ', ({ file }) => ({ fd: file, addr: 8, len: 50 })],
  [
    'readv',
    'READV',
    ({ file }) => ({ fd: file, addr: address(iovecs(into.subarray(0, 70), into.subarray(100, 200))), len: 2, off: 30 }),
  ],
  [
    'readv at the position',
    'READV',
    ({ file }) => ({ fd: file, addr: address(iovecs(into.subarray(0, 70))), len: 1, off: -1 }),
  ],
  ['readv, bad address', 'READV', ({ file }) => ({ fd: file, addr: 8, len: 1, off: 0 })],

  ['fsync', 'FSYNC', ({ file }) => ({ fd: file })],
  ['fsync of a range', 'FSYNC', ({ file }) => ({ fd: file, off: 0, len: 100 })],
  ['fdatasync', 'FSYNC', ({ file }) => ({ fd: file, op_flags: IORING_FSYNC_DATASYNC })],
  ['fsync, unknown flag', 'FSYNC', ({ file }) => ({ fd: file, op_flags: 2 })],
  ['fsync, no file', 'FSYNC', () => ({ fd: -1 })],
  ['sync_file_range', 'SYNC_FILE_RANGE', ({ file }) => ({ fd: file, off: 0, len: 100, op_flags: 7 })],
  ['sync_file_range, unknown flag', 'SYNC_FILE_RANGE', ({ file }) => ({ fd: file, op_flags: 64 })],
  ['fallocate', 'FALLOCATE', ({ file }) => ({ fd: file, off: 1000, addr: 5000 })],
  ['fallocate, size kept', 'FALLOCATE', ({ file }) => ({ fd: file, off: 10_000, addr: 5000, len: 1 })],
  ['fallocate nothing', 'FALLOCATE', ({ file }) => ({ fd: file, off: 10_000, addr: 0 })],
  ['fallocate, unknown mode', 'FALLOCATE', ({ file }) => ({ fd: file, addr: 10, len: 1 << 20 })],
  ['ftruncate', 'FTRUNCATE', ({ file }) => ({ fd: file, off: 700 })],
  ['ftruncate below 0', 'FTRUNCATE', ({ file }) => ({ fd: file, off: -5 })],
  ['ftruncate, read-only', 'FTRUNCATE', ({ readonly }) => ({ fd: readonly, off: 7 })],
  ['ftruncate a directory', 'FTRUNCATE', ({ dir }) => ({ fd: dir, off: 7 })],
  ['fadvise', 'FADVISE', ({ file }) => ({ fd: file, off: 0, len: 4096, op_flags: 3 })],
  ['fadvise, long', 'FADVISE', ({ file }) => ({ fd: file, off: 0, addr: 2 ** 40, op_flags: 3 })],
  ['fadvise, unknown', 'FADVISE', ({ file }) => ({ fd: file, op_flags: 77 })],
  ['madvise', 'MADVISE', () => ({ addr: 0, len: 0, op_flags: 3 })],
  ['madvise where nothing is', 'MADVISE', () => ({ addr: 4096, len: 4096, op_flags: 3 })],
  ['madvise, unknown', 'MADVISE', () => ({ addr: 0, off: 4096, op_flags: 77 })],

  ['open', 'OPENAT', ({ dir }) => ({ fd: dir, addr: path('file'), op_flags: O_RDONLY })],
  ['open from where we are', 'OPENAT', (s) => ({ fd: AT_FDCWD, addr: path(join(s.path, 'file')), op_flags: O_RDONLY })],
  [
    'open to make',
    'OPENAT',
    ({ dir }) => ({ fd: dir, addr: path('made'), op_flags: O_RDWR | O_CREAT | O_EXCL, len: 0o640 }),
  ],
  [
    'open to make, there already',
    'OPENAT',
    ({ dir }) => ({ fd: dir, addr: path('made'), op_flags: O_RDWR | O_CREAT | O_EXCL, len: 0o640 }),
  ],
  ['open, absent', 'OPENAT', ({ dir }) => ({ fd: dir, addr: path('absent'), op_flags: O_RDONLY })],
  ['open a directory to write', 'OPENAT', ({ dir }) => ({ fd: dir, addr: path('sub'), op_flags: O_WRONLY })],
  ['open no directory as one', 'OPENAT', ({ dir }) => ({ fd: dir, addr: path('file'), op_flags: O_DIRECTORY })],
  ['open, bad path', 'OPENAT', ({ dir }) => ({ fd: dir, addr: 8 })],
  ['open, no directory', 'OPENAT', () => ({ fd: -5, addr: path('file') })],
  [
    'openat2',
    'OPENAT2',
    ({ dir }) => ({ fd: dir, addr: path('sub/../file'), off: address(openHow(O_RDONLY, 0, 8)), len: 24 }),
  ],
  [
    'openat2, out of its tree',
    'OPENAT2',
    ({ dir }) => ({ fd: dir, addr: path('../x'), off: address(openHow(O_RDONLY, 0, 8)), len: 24 }),
  ],
  [
    'openat2, no symlinks',
    'OPENAT2',
    ({ dir }) => ({ fd: dir, addr: path('symlink'), off: address(openHow(O_RDONLY, 0, 4)), len: 24 }),
  ],
  [
    'openat2, mode without making',
    'OPENAT2',
    ({ dir }) => ({ fd: dir, addr: path('file'), off: address(openHow(O_RDONLY, 0o600, 0)), len: 24 }),
  ],
  [
    'openat2, small',
    'OPENAT2',
    ({ dir }) => ({ fd: dir, addr: path('file'), off: address(openHow(O_RDONLY, 0, 0)), len: 16 }),
  ],
  ['openat2, bad how', 'OPENAT2', ({ dir }) => ({ fd: dir, addr: path('file'), off: 8, len: 24 })],
  ['close, no file', 'CLOSE', () => ({ fd: -1 })],

  ['statx', 'STATX', ({ dir }) => ({ fd: dir, addr: path('file'), len: 0x7ff, off: address(into) })],
  [
    'statx of a descriptor',
    'STATX',
    ({ file }) => ({ fd: file, addr: path(''), len: 0x7ff, op_flags: AT_EMPTY_PATH, off: address(into) }),
  ],
  ['statx, absent', 'STATX', ({ dir }) => ({ fd: dir, addr: path('absent'), len: 0x7ff, off: address(into) })],
  [
    'statx, unknown mask',
    'STATX',
    ({ dir }) => ({ fd: dir, addr: path('file'), len: 0x8000_0000, off: address(into) }),
  ],
  ['statx, bad address', 'STATX', ({ dir }) => ({ fd: dir, addr: path('file'), len: 0x7ff, off: 8 })],
  ['mkdir', 'MKDIRAT', ({ dir }) => ({ fd: dir, addr: path('dir'), len: 0o751 })],
  ['mkdir again', 'MKDIRAT', ({ dir }) => ({ fd: dir, addr: path('dir'), len: 0o751 })],
  ['symlink', 'SYMLINKAT', ({ dir }) => ({ fd: dir, addr: path('where/ever'), off: path('dir/s') })],
  ['symlink again', 'SYMLINKAT', ({ dir }) => ({ fd: dir, addr: path('where/ever'), off: path('dir/s') })],
  ['link', 'LINKAT', ({ dir }) => ({ fd: dir, addr: path('file'), len: dir, off: path('dir/linked') })],
  ['link of a directory', 'LINKAT', ({ dir }) => ({ fd: dir, addr: path('sub'), len: dir, off: path('dir/l') })],
  [
    'link, unknown flag',
    'LINKAT',
    ({ dir }) => ({ fd: dir, addr: path('file'), len: dir, off: path('l'), op_flags: 1 }),
  ],
  ['rename', 'RENAMEAT', ({ dir }) => ({ fd: dir, addr: path('made'), len: dir, off: path('dir/moved') })],
  [
    'rename to what is there',
    'RENAMEAT',
    ({ dir }) => ({ fd: dir, addr: path('file'), len: dir, off: path('dir/moved'), op_flags: 1 }),
  ],
  [
    'rename, exchanged',
    'RENAMEAT',
    ({ dir }) => ({ fd: dir, addr: path('other'), len: dir, off: path('dir/moved'), op_flags: 2 }),
  ],
  [
    'rename, absent',
    'RENAMEAT',
    (s) => ({ fd: s.dir, addr: path('absent'), len: AT_FDCWD >>> 0, off: path(join(s.path, 'x')) }),
  ],
  [
    'rename from here to there',
    'RENAMEAT',
    (s) => ({ fd: AT_FDCWD, addr: path(join(s.path, 'other')), len: AT_FDCWD, off: path(join(s.path, 'renamed')) }),
  ],
  ['unlink', 'UNLINKAT', ({ dir }) => ({ fd: dir, addr: path('dir/linked') })],
  ['unlink a directory', 'UNLINKAT', ({ dir }) => ({ fd: dir, addr: path('sub') })],
  ['rmdir', 'UNLINKAT', ({ dir }) => ({ fd: dir, addr: path('sub/empty'), op_flags: AT_REMOVEDIR })],
  ['rmdir, not empty', 'UNLINKAT', ({ dir }) => ({ fd: dir, addr: path('dir'), op_flags: AT_REMOVEDIR })],
  ['unlink, unknown flag', 'UNLINKAT', ({ dir }) => ({ fd: dir, addr: path('file'), op_flags: 1 })],

  [
    'setxattr',
    'SETXATTR',
    (s) => ({ addr3: path(join(s.path, 'file')), addr: path('user.one'), off: address(DATA), len: 10 }),
  ],
  [
    'setxattr to make, there already',
    'SETXATTR',
    (s) => ({ addr3: path(join(s.path, 'file')), addr: path('user.one'), off: address(DATA), len: 10, op_flags: 1 }),
  ],
  [
    'setxattr, unknown flag',
    'SETXATTR',
    (s) => ({ addr3: path(join(s.path, 'file')), addr: path('user.one'), off: address(DATA), len: 10, op_flags: 8 }),
  ],
  [
    'setxattr, too big',
    'SETXATTR',
    (s) => ({ addr3: path(join(s.path, 'file')), addr: path('user.one'), off: address(DATA), len: 70_000 }),
  ],
  ['fsetxattr', 'FSETXATTR', ({ file }) => ({ fd: file, addr: path('user.two'), off: address(DATA), len: 20 })],
  [
    'fsetxattr, no such space',
    'FSETXATTR',
    ({ file }) => ({ fd: file, addr: path('nowhere.two'), off: address(DATA), len: 20 }),
  ],
  [
    'getxattr',
    'GETXATTR',
    (s) => ({ addr3: path(join(s.path, 'file')), addr: path('user.two'), off: address(into), len: 100 }),
  ],
  ['getxattr, its size', 'GETXATTR', (s) => ({ addr3: path(join(s.path, 'file')), addr: path('user.two') })],
  [
    'getxattr, absent',
    'GETXATTR',
    (s) => ({ addr3: path(join(s.path, 'file')), addr: path('user.three'), off: address(into), len: 100 }),
  ],
  ['fgetxattr', 'FGETXATTR', ({ file }) => ({ fd: file, addr: path('user.one'), off: address(into), len: 100 })],
  [
    'fgetxattr, too small',
    'FGETXATTR',
    ({ file }) => ({ fd: file, addr: path('user.one'), off: address(into), len: 2 }),
  ],
  [
    'fgetxattr, a flag',
    'FGETXATTR',
    ({ file }) => ({ fd: file, addr: path('user.one'), off: address(into), len: 100, op_flags: 1 }),
  ],

  ['no such opcode', 200, () => ({})],
  [
    'splice between files',
    'SPLICE',
    ({ file, readonly }) => ({ fd: file, off: 0, file_index: readonly, addr: 0, len: 10 }),
  ],
  [
    'splice of nothing',
    'SPLICE',
    ({ file, readonly }) => ({ fd: file, off: 0, file_index: readonly, addr: 0, len: 0 }),
  ],
  ['splice from nowhere', 'SPLICE', ({ file }) => ({ fd: file, off: 0, file_index: -1, addr: 0, len: 10 })],
  [
    'splice from a registered file',
    'SPLICE',
    ({ file }) => ({ fd: file, off: 0, file_index: 0, addr: 0, len: 10, op_flags: 1 << 31 }),
  ],
  ['tee between files', 'TEE', ({ file, readonly }) => ({ fd: file, file_index: readonly, len: 10 })],
];

/** The same tree, wherever it is. */
function plant(dir: string): Subject {
  mkdirSync(join(dir, 'sub/empty'), { recursive: true });
  writeFileSync(join(dir, 'file'), Buffer.alloc(600, 'file '));
  writeFileSync(join(dir, 'other'), 'other');
  symlinkSync('file', join(dir, 'symlink'));
  return {
    dir: openSync(dir, O_RDONLY | O_DIRECTORY),
    file: openSync(join(dir, 'file'), O_RDWR),
    readonly: openSync(join(dir, 'other'), O_RDONLY),
    appended: openSync(join(dir, 'other'), O_WRONLY | constants.O_APPEND),
    path: dir,
  };
}
const uproot = ({ dir, file, readonly, appended }: Subject): void => {
  for (const fd of [dir, file, readonly, appended]) closeSync(fd);
};

async function done(engine: Engine, subject: Subject): Promise<string[]> {
  const seen: string[] = [];
  for (const [name, opcode, sqe] of rows) {
    into.fill(0);
    const res = await one(engine, opcode, sqe(subject));
    const fd = typeof opcode === 'string' && /^OPEN/u.test(opcode) && res >= 0;
    if (fd) closeSync(res);
    const read = typeof opcode === 'string' && /^READ|GETX/u.test(opcode) ? into.toString('latin1', 0, 300) : '';
    seen.push(`${name}: ${fd ? 'a descriptor' : res} ${read}`);
  }
  return seen;
}

uring('an operation', () => {
  test('of every opcode in the table has its results and its effects', async () => {
    expect(SERVED.filter((opcode) => opcode !== 'CLOSE' && !rows.some(([, each]) => each === opcode))).toEqual([]);
    const results: string[][] = [];
    const trees: string[][] = [];
    for (const name of ['ring', 'threads']) {
      const dir = join(root, name);
      const subject = plant(dir);
      await using engine = name === 'ring' ? new Ring() : new ThreadsEngine();
      results.push((await done(engine, subject)).map((line) => line.replaceAll(dir, '')));
      trees.push(snapshot(dir));
      uproot(subject);
    }
    expect(results[1]).toEqual(results[0]);
    expect(trees[1]).toEqual(trees[0]);
    expect(trees[0]!.length).toBeGreaterThan(5);
  });

  // Each of them with one member more, which is mostly for nothing there.
  test.each(SERVED.filter((opcode) => opcode !== 'CLOSE'))('%s with a member of no meaning', async (opcode) => {
    const seen: string[][] = [];
    for (const name of ['ring', 'threads']) {
      const subject = plant(join(root, name));
      await using engine = name === 'ring' ? new Ring() : new ThreadsEngine({ threads: 1 });
      const results: string[] = [];
      for (const member of [
        'buf_index',
        'personality',
        'file_index',
        'op_flags',
        'addr3',
        'ioprio',
        'len',
        'addr',
        'off',
      ] as const) {
        const [, , good] = rows.find(([, each]) => each === opcode)!;
        const sqe = good(subject);
        if (sqe[member] !== undefined || (opcode === 'MADVISE' && member === 'addr')) continue;
        const res = await one(engine, opcode, { ...sqe, [member]: member === 'op_flags' ? 1 << 29 : 8 });
        if (/^OPEN/u.test(opcode) && res >= 0) closeSync(res);
        results.push(`${member} ${/^OPEN/u.test(opcode) && res >= 0 ? 'a descriptor' : res}`);
      }
      seen.push(results);
      uproot(subject);
    }
    expect(seen[1]).toEqual(seen[0]);
  });
});
