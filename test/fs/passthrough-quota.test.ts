/**
 * PassthroughFs where the lower filesystem says EDQUOT, at each call that may: the answer is EDQUOT, what was there before is there
 * still, and nothing is left of what failed, neither below nor in the books. Faults are put between it and the system calls.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { EDQUOT } from '../../src/abi/errno.ts';
import type { pwrite } from '../../src/abi/files.ts';
import { O_RDWR, S_IFIFO, S_IFREG } from '../../src/abi/posix.ts';
import { PassthroughFs } from '../../src/fs/index.ts';
import { temporary } from '../support.ts';
import { at } from './requests.ts';

/** What each system call does in place of itself. */
const faults = vi.hoisted(() => new Map<string, (...args: never[]) => number>());
vi.mock('../../src/abi/files.ts', async (original) => {
  const real: Record<string, unknown> = await original();
  const faulty = Object.entries(real).map(([name, call]) => [
    name,
    typeof call === 'function' ? (...args: never[]) => (faults.get(name) ?? (call as () => number))(...args) : call,
  ]);
  return Object.fromEntries(faulty);
});
const files = await vi.importActual<typeof import('../../src/abi/files.ts')>('../../src/abi/files.ts');
const full = () => -EDQUOT.errno;

const ROOT = 1;
const CLIENT = [1234, 5678] as const;
const NEW = { umask: 0, open_flags: 0, flags: O_RDWR };
const CLOSING = { flags: 0, release_flags: 0, lock_owner: 0n };
let source: string;
let fs: PassthroughFs;
let before: unknown;
/** All that must be as it was: what lies below, the books, descriptors, and in whose name this thread runs. */
const state = () => ({
  ...{ names: readdirSync(source), nodes: fs.nodes.size, held: fs.held, opened: fs.opened },
  descriptors: readdirSync('/proc/self/fd').length,
  status: readFileSync('/proc/thread-self/status', 'latin1').match(/^(Uid|Gid|Groups|CapEff|Umask):.*$/gmu),
});

beforeEach(() => {
  source = temporary();
  writeFileSync(join(source, 'kept'), 'kept', { mode: 0o644 });
  fs = new PassthroughFs({ source });
  // Directories that it keeps open, and whatever this process opens once.
  fs.mkdir(at(ROOT, ...CLIENT), { name: 'd', mode: 0o755, umask: 0 });
  fs.rmdir(at(ROOT), { name: 'd' });
  for (const { nodeid, nlookup } of [...fs.nodes.all()])
    if (nodeid !== ROOT) fs.forget(at(nodeid), { nodeid, nlookup });
  before = state();
});
afterEach(() => {
  faults.clear();
  fs.destroy();
  rmSync(source, { recursive: true });
});

/** What LSMs send with a request that makes a file. */
const labelled = () => {
  const request = at(ROOT, ...CLIENT);
  const contexts = [{ name: 'user.label', value: Buffer.from('label') }];
  request.extensions = { contexts, groups: [] };
  return request;
};
const makes: Record<string, (request: ReturnType<typeof at>) => unknown> = {
  mkdir: (request) => fs.mkdir(request, { name: 'new', mode: 0o755, umask: 0o22 }),
  mknod: (request) => fs.mknod(request, { name: 'new', mode: S_IFIFO | 0o644, rdev: 0, umask: 0o22 }),
  symlink: (request) => fs.symlink(request, { name: 'new', target: 'kept' }),
  create: (request) => fs.create(request, { ...NEW, name: 'new', mode: S_IFREG | 0o644 }),
};
for (const [name, call] of [
  ['mkdir', 'mkdirat'],
  ['mknod', 'mknodat'],
  ['symlink', 'symlinkat'],
  ['create', 'openat'],
] as const) {
  test(`${name}: no entry, no node, no handle, and the thread is itself again`, () => {
    faults.set(call, full);
    expect(() => makes[name]!(at(ROOT, ...CLIENT))).toThrow(EDQUOT);
    expect(state()).toEqual(before);
  });
  // A symlink, and a FIFO, has no room for an attribute of user.
  if (name === 'mkdir' || name === 'create')
    test(`${name}: what was made already goes again where the label of it finds no room`, () => {
      faults.set('setxattr', full);
      expect(() => makes[name]!(labelled())).toThrow(EDQUOT);
      expect(state()).toEqual(before);
      faults.clear();
      makes[name]!(labelled());
      expect(readdirSync(source).sort()).toEqual(['kept', 'new']);
      expect(statSync(join(source, 'new'))).toMatchObject({ uid: CLIENT[0], gid: CLIENT[1] });
    });
}

test('tmpfile, link and rename into a directory that can’t grow', () => {
  mkdirSync(join(source, 'd'));
  before = state();
  faults.set('openat', full);
  expect(() => fs.tmpfile(at(ROOT, ...CLIENT), { ...NEW, name: '', mode: S_IFREG | 0o644 })).toThrow(EDQUOT);
  faults.clear();
  const { nodeid } = fs.lookup(at(ROOT), { name: 'kept' });
  faults.set('linkat', full);
  faults.set('renameat2', full);
  expect(() => fs.link(at(ROOT), { oldnodeid: nodeid, newname: 'new' })).toThrow(EDQUOT);
  expect(() => fs.rename(at(ROOT), { oldname: 'kept', newname: 'new', newdir: ROOT, flags: 0 })).toThrow(EDQUOT);
  // One lookup, and it is ours.
  expect(fs.nodes.get(nodeid).nlookup).toBe(1);
  fs.forget(at(nodeid), { nodeid, nlookup: 1 });
  expect(state()).toEqual(before);
});

test('write: what fits is written and counted, the rest is refused, and nothing of before is lost', () => {
  const { nodeid } = fs.lookup(at(ROOT), { name: 'kept' });
  const { fh } = fs.open(at(nodeid), { flags: O_RDWR, open_flags: 0 });
  const write = (data: string, offset: number) =>
    fs.write(at(nodeid), {
      ...{ fh, offset, size: data.length, data: Buffer.from(data) },
      ...{ write_flags: 0, lock_owner: undefined, flags: O_RDWR },
    });
  let room = 6;
  faults.set('pwrite', ((...[fd, bytes, count, offset]: Parameters<typeof pwrite>) => {
    if (room === 0) return -EDQUOT.errno;
    const written = files.pwrite(fd, bytes, Math.min(count, room), offset);
    room -= written;
    return written;
  }) as never);
  expect(write('0123456789', 4)).toEqual({ size: 6 });
  expect(() => write('6789', 10)).toThrow(EDQUOT);
  expect(readFileSync(join(source, 'kept'), 'latin1')).toBe('kept012345');
  for (const call of ['fallocate', 'ftruncate', 'copyFileRange']) faults.set(call, full);
  expect(() => fs.fallocate(at(nodeid), { fh, offset: 0, length: 4096, mode: 0 })).toThrow(EDQUOT);
  const copy = { fh_in: fh, off_in: 0, nodeid_out: nodeid, fh_out: fh, off_out: 100, len: 4, flags: 0n };
  expect(() => fs.copy_file_range(at(nodeid), copy)).toThrow(EDQUOT);
  // What some filesystems find out late, and keep for these.
  for (const call of ['fsync', 'fdatasync', 'closeQuietly']) faults.set(call, full);
  expect(() => fs.fsync(at(nodeid), { fh, fsync_flags: 0 })).toThrow(EDQUOT);
  expect(() => fs.flush(at(nodeid), { fh, lock_owner: 0n })).toThrow(EDQUOT);
  faults.clear();
  expect(write('6789', 10)).toEqual({ size: 4 });
  expect(readFileSync(join(source, 'kept'), 'latin1')).toBe('kept0123456789');
  fs.release(at(nodeid), { fh, ...CLOSING });
  fs.forget(at(nodeid), { nodeid, nlookup: 1 });
});

test('setxattr and setattr: the value and the owner of before stay', () => {
  const { nodeid } = fs.lookup(at(ROOT), { name: 'kept' });
  const set = (value: string) =>
    fs.setxattr(at(nodeid), {
      ...{ name: 'user.a', value: Buffer.from(value), size: value.length, flags: 0, setxattr_flags: 0 },
    });
  set('old');
  faults.set('setxattr', full);
  expect(() => set('new')).toThrow(EDQUOT);
  faults.set('chown', full); // to one who has used up his own
  expect(() => fs.setattr(at(nodeid), { valid: 2, uid: 1234, lock_owner: undefined } as never)).toThrow(EDQUOT);
  const value = Buffer.alloc(16);
  expect(value.toString('latin1', 0, fs.getxattr(at(nodeid), { name: 'user.a', size: 16 }, value))).toBe('old');
  expect(statSync(join(source, 'kept')).uid).toBe(0);
  fs.forget(at(nodeid), { nodeid, nlookup: 1 });
  expect(state()).toEqual(before);
});
