/**
 * The system calls on files: that each does what its manual says with the arguments in the right places, and that a failure is
 * its errno, negated. And those of a thread's ids, which must be that thread's alone.
 */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { capget, capset, getrlimit, setfsgid, setfsuid, setgroups, umask } from '../../src/abi/credentials.ts';
import { EBADF, EEXIST, EISDIR, ENODATA, ENOENT, ENOTTY, ERANGE, ESTALE, EXDEV } from '../../src/abi/errno.ts';
import * as files from '../../src/abi/files.ts';
import { fuse_statx } from '../../src/abi/fuse.ts';
import { Memory } from '../../src/abi/memory.ts';
import * as posix from '../../src/abi/posix.ts';
import { temporary } from '../support.ts';

const memory = new Memory(65_536);
const view = new DataView(memory.buffer);
const bytes = Buffer.from(memory.buffer);
/** Puts text with its NUL where nothing else lies; its address. */
let next = 1024;
function text(of: string): number {
  const at = next;
  next = at + bytes.write(`${of}\0`, at) + 1;
  return memory.address + at;
}
const NO_FD = 1_000_000;
const root = process.getuid?.() === 0;

let dir: string;
let fd: number;
beforeAll(() => {
  dir = temporary();
  fd = openSync(dir, 'r');
});
afterAll(() => {
  closeSync(fd);
  rmSync(dir, { recursive: true });
  memory.free();
});
const path = (name: string) => join(dir, name);

describe('names', () => {
  test('openat, mkdirat, mknodat, symlinkat, linkat, renameat2, unlinkat', () => {
    const made = files.openat(fd, text('made'), posix.O_CREAT | posix.O_WRONLY, 0o640);
    expect(fstatSync(made).mode & 0o777).toBe(0o640 & ~process.umask());
    expect(files.closeQuietly(made)).toBe(0);
    expect(files.closeQuietly(made)).toBe(-EBADF.errno);
    expect(files.openat(fd, text('absent'), posix.O_RDONLY, 0)).toBe(-ENOENT.errno);

    expect(files.mkdirat(fd, text('sub'), 0o750)).toBe(0);
    expect(files.mkdirat(fd, text('sub'), 0o750)).toBe(-EEXIST.errno);
    expect(files.mknodat(fd, text('fifo'), posix.S_IFIFO | 0o600, 0)).toBe(0);
    expect(lstatSync(path('fifo')).isFIFO()).toBe(true);
    expect(files.symlinkat(text('made'), fd, text('link'))).toBe(0);
    expect(readlinkSync(path('link'))).toBe('made');
    const target = new Uint8Array(100);
    expect(files.readlinkat(fd, text('link'), target)).toBe(4);
    expect(Buffer.from(target.subarray(0, 4)).toString()).toBe('made');
    expect(files.linkat(fd, text('made'), fd, text('sub/other'), 0)).toBe(0);
    expect(statSync(path('made')).nlink).toBe(2);
    expect(files.renameat2(fd, text('made'), fd, text('link'), posix.RENAME_NOREPLACE)).toBe(-EEXIST.errno);
    expect(files.renameat2(fd, text('made'), fd, text('sub/moved'), 0)).toBe(0);
    expect(existsSync(path('sub/moved'))).toBe(true);
    expect(files.unlinkat(fd, text('sub'), 0)).toBe(-EISDIR.errno);
    for (const name of ['sub/moved', 'sub/other', 'fifo', 'link']) expect(files.unlinkat(fd, text(name), 0)).toBe(0);
    expect(files.unlinkat(fd, text('sub'), posix.AT_REMOVEDIR)).toBe(0);
  });

  test('openat2 stays beneath', () => {
    view.setBigUint64(0, BigInt(posix.O_PATH), true);
    view.setBigUint64(8, 0n, true);
    view.setBigUint64(16, BigInt(posix.RESOLVE_BENEATH), true);
    expect(files.openat2(fd, text('..'), memory.address)).toBe(-EXDEV.errno);
    const self = files.openat2(fd, text('.'), memory.address);
    expect(fstatSync(self).ino).toBe(fstatSync(fd).ino);
    closeSync(self);
  });

  test('getdents64 and a cookie of lseek', () => {
    mkdirSync(path('listed'));
    for (const name of ['a', 'b', 'c']) writeFileSync(path(`listed/${name}`), '');
    const listed = openSync(path('listed'), 'r');
    const names = () => {
      const found: [string, bigint][] = [];
      const length = files.getdents64(listed, memory.address + 32_768, 32_768);
      for (let at = 32_768; at < 32_768 + length; at += view.getUint16(at + 16, true))
        found.push([bytes.toString('latin1', at + 19, bytes.indexOf(0, at + 19)), view.getBigUint64(at + 8, true)]);
      return found;
    };
    const all = names();
    expect(all.map(([name]) => name).sort()).toEqual(['.', '..', 'a', 'b', 'c']);
    expect(names()).toEqual([]);
    expect(files.lseek(listed, all[2]![1], posix.SEEK_SET)).toBeGreaterThanOrEqual(0);
    expect(names()).toEqual(all.slice(3));
    expect(files.getdents64(NO_FD, memory.address, 100)).toBe(-EBADF.errno);
    closeSync(listed);
  });

  test.runIf(root)('a file by its handle, and no other one in its place', () => {
    writeFileSync(path('held'), 'held');
    const handle = memory.address + 64;
    view.setUint32(64, posix.MAX_HANDLE_SZ, true);
    expect(files.nameToHandleAt(fd, text('held'), handle, memory.address, 0)).toBe(0);
    const held = files.openByHandleAt(fd, handle, posix.O_RDONLY);
    expect(readFileSync(held, 'utf8')).toBe('held');
    closeSync(held);
    rmSync(path('held'));
    writeFileSync(path('held'), 'another one');
    expect(files.openByHandleAt(fd, handle, posix.O_RDONLY)).toBe(-ESTALE.errno);
  });
});

describe('attributes', () => {
  test('statx, chmod, fchownat, utimensat, truncate', () => {
    writeFileSync(path('file'), 'content');
    const at = files.openat(fd, text('file'), posix.O_PATH, 0);
    const nothing = text('');
    const whole = () => {
      expect(files.statx(at, nothing, posix.AT_EMPTY_PATH, posix.STATX_BASIC_STATS, memory.address)).toBe(0);
      return fuse_statx.decode(view, 0);
    };
    expect(whole()).toMatchObject({ size: 7, nlink: 1, ino: statSync(path('file'), { bigint: true }).ino });
    const proc = text(`/proc/self/fd/${at}`);
    expect(files.chmod(proc, 0o604)).toBe(0);
    expect(files.truncate(proc, 3)).toBe(0);
    view.setBigUint64(512, 1n, true);
    view.setBigUint64(520, 2n, true);
    view.setBigUint64(528, 0n, true);
    view.setBigUint64(536, BigInt(posix.UTIME_OMIT), true);
    expect(files.utimensat(posix.AT_FDCWD, proc, memory.address + 512, 0)).toBe(0);
    expect(whole()).toMatchObject({ mode: posix.S_IFREG | 0o604, size: 3, atime: { tv_sec: 1, tv_nsec: 2 } });
    if (root) expect(files.chown(at, nothing, 12, 0xffff_ffff)).toBe(0);
    if (root) expect(whole()).toMatchObject({ uid: 12, gid: process.getgid?.() });
    expect(files.faccessat2(posix.AT_FDCWD, proc, posix.R_OK, posix.AT_EACCESS)).toBe(0);
    expect(files.statx(NO_FD, nothing, posix.AT_EMPTY_PATH, 0, memory.address)).toBe(-EBADF.errno);
    closeSync(at);
  });

  test('extended attributes', () => {
    writeFileSync(path('attributed'), '');
    const [file, name, value] = [text(path('attributed')), text('user.a'), Buffer.from('value')];
    expect(files.getxattr(file, name, value, 5)).toBe(-ENODATA.errno);
    expect(files.setxattr(file, name, value, posix.XATTR_CREATE)).toBe(0);
    expect(files.setxattr(file, name, value, posix.XATTR_CREATE)).toBe(-EEXIST.errno);
    const into = Buffer.alloc(16);
    expect(files.getxattr(file, name, into, 16)).toBe(5);
    expect(into.toString('latin1', 0, 5)).toBe('value');
    expect(files.getxattr(file, name, into, 2)).toBe(-ERANGE.errno);
    expect(files.getxattr(file, name, into, 0)).toBe(5);
    expect(files.listxattr(file, into, 16)).toBe(7);
    expect(into.toString('latin1', 0, 7)).toBe('user.a\0');
    expect(files.removexattr(file, name)).toBe(0);
    expect(files.listxattr(file, into, 0)).toBe(0);
  });

  test('fstatfs', () => {
    expect(files.fstatfs(fd, memory.address)).toBe(0);
    expect(view.getBigUint64(8, true)).toBe(BigInt(execFileSync('stat', ['-f', '-c', '%s', dir]).toString().trim()));
  });
});

test('data: pread, pwrite, fallocate, lseek, copy_file_range, fsync, flock, fcntl, ioctl', () => {
  const file = openSync(path('data'), 'w+');
  const other = openSync(path('copy'), 'w+');
  expect(files.pwrite(file, Buffer.from('abcdef'), 6, 2 ** 33)).toBe(6);
  const into = Buffer.alloc(8);
  expect(files.pread(file, into, 8, 2 ** 33 + 2)).toBe(4);
  expect(into.toString('latin1', 0, 4)).toBe('cdef');
  expect(files.pread(NO_FD, into, 8, 0)).toBe(-EBADF.errno);
  expect(files.lseek(file, 0, posix.SEEK_DATA)).toBe(2 ** 33);
  expect(files.ftruncate(file, 8192)).toBe(0);
  expect(files.fallocate(file, 0, 0, 10_000)).toBe(0);
  expect(fstatSync(file).size).toBe(10_000);
  files.pwrite(file, Buffer.from('copied'), 6, 100);
  view.setBigInt64(0, 100n, true);
  view.setBigInt64(8, 3n, true);
  expect(files.copyFileRange(file, memory.address, other, memory.address + 8, 6)).toBe(6);
  expect(view.getBigInt64(8, true)).toBe(9n);
  expect(readFileSync(path('copy'), 'latin1')).toBe('\0\0\0copied');
  expect([files.fsync(file), files.fdatasync(file), files.syncfs(file)]).toEqual([0, 0, 0]);
  expect(files.flock(file, posix.LOCK_EX | posix.LOCK_NB)).toBe(0);
  expect(files.ioctlAt(file, posix.FS_IOC_FSGETXATTR + 1, memory.address)).toBe(-ENOTTY.errno);
  // struct flock: type, whence, start, len, pid
  bytes.fill(0, 0, 32);
  view.setInt16(0, posix.F_WRLCK, true);
  expect(files.fcntlAt(file, posix.F_OFD_SETLK, memory.address)).toBe(0);
  closeSync(file);
  closeSync(other);
});

describe('in whose name', () => {
  test.runIf(root)('fsuid, fsgid, groups and capabilities are those of the calling thread', async () => {
    const status = (thread: string) => readFileSync(`/proc/${thread}/status`, 'latin1');
    const line = (name: string, thread = 'thread-self') =>
      new RegExp(`^${name}:[ \\t]*(.*)$`, 'mu').exec(status(thread))![1]!.trim();
    const [groups, effective] = [line('Groups'), line('CapEff')];
    view.setUint32(0, posix._LINUX_CAPABILITY_VERSION_3, true);
    view.setUint32(4, 0, true);
    expect(capget(memory.address, memory.address + 16)).toBe(0);
    const low = view.getUint32(16, true);
    view.setUint32(16, low & ~(1 << posix.CAP_FSETID), true);
    expect(capset(memory.address, memory.address + 16)).toBe(0);
    expect(BigInt(`0x${line('CapEff')}`)).toBe(BigInt(`0x${effective}`) & ~(1n << BigInt(posix.CAP_FSETID)));
    expect(line('CapEff', 'self')).toBe(line('CapEff')); // vitest runs us on the main thread of a process
    view.setUint32(16, low, true);
    expect(capset(memory.address, memory.address + 16)).toBe(0);
    expect(line('CapEff')).toBe(effective);

    const before = groups.split(' ').filter(Boolean).map(Number);
    view.setUint32(32, 4321, true);
    expect(setgroups(1, memory.address + 32)).toBe(0);
    expect([setfsgid(77), setfsuid(78)]).toEqual([process.getegid!(), process.geteuid!()]);
    const elsewhere = await new Promise((resolve) => {
      const script = `require('node:worker_threads').parentPort.postMessage(require('node:fs').readFileSync('/proc/self/task/${process.pid}/status', 'latin1'))`;
      new Worker(script, { eval: true }).once('message', resolve);
    });
    expect(elsewhere).toMatch(/^Groups:\s*4321\s*$/mu);
    expect([line('Uid').split('\t')[3], line('Gid').split('\t')[3], line('Groups')]).toEqual(['78', '77', '4321']);
    expect([setfsuid(0), setfsgid(0)]).toEqual([78, 77]);
    before.forEach((group, i) => {
      view.setUint32(32 + i * 4, group, true);
    });
    expect(setgroups(before.length, memory.address + 32)).toBe(0);
    expect([line('Groups'), line('CapEff')]).toEqual([groups, effective]);
  });

  test('umask, getrlimit', () => {
    const before = umask(0o077);
    expect(umask(before)).toBe(0o077);
    expect(getrlimit(posix.RLIMIT_NOFILE, memory.address)).toBe(0);
    expect(view.getBigUint64(0, true)).toBe(BigInt(execFileSync('sh', ['-c', 'ulimit -n']).toString().trim()));
  });

  test('a symlink at the end is not followed with O_NOFOLLOW', () => {
    symlinkSync('/', path('to-root'));
    const at = files.openat(fd, text('to-root'), posix.O_PATH | posix.O_NOFOLLOW, 0);
    expect(readlinkSync(`/proc/self/fd/${at}`)).toBe(path('to-root'));
    closeSync(at);
  });
});
