/** Open files of a UnionFs without a mount: what options do when one is opened and closed, and that nothing is left where that fails. */
import { mkdirSync, readdirSync, realpathSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { EACCES, ENFILE } from '../../src/abi/errno.ts';
import { FOPEN_NOFLUSH, FOPEN_PASSTHROUGH } from '../../src/abi/fuse-constants.ts';
import {
  O_ACCMODE,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  POSIX_FADV_DONTNEED,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from '../../src/abi/posix.ts';
import { UnionFs } from '../../src/fs/index.ts';
import { Data } from '../../src/fs/passthrough/data.ts';
import { Descriptors } from '../../src/fs/passthrough/descriptors.ts';
import { BackingFiles } from '../../src/protocol/backing.ts';
import type { Connection } from '../../src/protocol/connection.ts';
import { temporary } from '../support.ts';
import { at, Client } from './union-support.ts';

const advised = vi.hoisted(() => [] as number[][]);
vi.mock('../../src/abi/files.ts', async (original) => {
  const real: Record<string, unknown> = await original();
  const fadvise = real.fadvise as (fd: number, advice: number) => number;
  return {
    ...real,
    fadvise(fd: number, advice: number) {
      advised.push([fd, advice]);
      return fadvise(fd, advice);
    },
  };
});

let dir: string;
const made: UnionFs[] = [];
beforeEach(() => {
  dir = temporary();
  for (const branch of 'ab') mkdirSync(join(dir, branch));
  writeFileSync(join(dir, 'a/f'), 'text');
});
afterEach(() => {
  vi.restoreAllMocks();
  for (const fs of made.splice(0)) fs.destroy();
  rmSync(dir, { recursive: true });
});
const union = (options: Record<string, string> = {}) => {
  const branches = `${join(dir, 'a')}:${join(dir, 'b')}`;
  const fs = new UnionFs({ branches, options: { minfreespace: '0', 'category.create': 'ff', ...options } });
  made.push(fs);
  return fs;
};
const serve = (options?: Record<string, string>) => new Client(union(options));
const descriptors = () => readdirSync('/proc/self/fd').length;

describe('a file that is made and can not be kept', () => {
  test.each(['create', 'tmpfile'] as const)('%s: is gone, closed and not counted', (how) => {
    const u = serve();
    u.put('warm'); // what is made once
    const before = [descriptors(), u.fs.nodes.size];
    vi.spyOn(Descriptors.prototype, 'add').mockImplementation(() => {
      throw ENFILE;
    });
    const args = { name: 'g', mode: S_IFREG | 0o644, umask: 0, flags: O_RDWR, open_flags: 0 };
    expect(() => u.fs[how](at(1), args)).toThrow(ENFILE);
    expect([descriptors(), u.fs.nodes.size]).toEqual(before);
    expect(u.fs.nodes.counted.map(({ nodeid }) => nodeid)).toEqual([u.node('warm')]);
    expect([readdirSync(join(dir, 'a')).sort(), u.fs.opened]).toEqual([['f', 'warm'], 0]);
  });
});

describe('flush-on-close', () => {
  test.each([
    ['never', 0, 0],
    ['opened-for-write', 0, 1],
    ['always', 1, 1],
  ])('%s', (how, reading, writing) => {
    const u = serve({ 'flush-on-close': how });
    const flush = vi.spyOn(Data.prototype, 'flush');
    const flushed = (flags: number) => {
      const { fh, open_flags } = u.open('f', flags);
      const asked = (open_flags! & FOPEN_NOFLUSH) === 0;
      u.fs.flush(at(u.node('f')), { fh, lock_owner: 0n } as never);
      u.close('f', fh);
      const { length } = flush.mock.calls.splice(0);
      expect(asked).toBe(length > 0);
      return length;
    };
    expect([flushed(O_RDONLY), flushed(O_WRONLY)]).toEqual([reading, writing]);
  });
});

test.each([
  ['true', 1],
  ['false', 0],
])('dropcacheonclose=%s', (value, times) => {
  const u = serve({ dropcacheonclose: value });
  const { fh } = u.open('f', O_RDONLY);
  u.close('f', fh);
  expect(advised.splice(0)).toEqual(Array(times).fill([fh, POSIX_FADV_DONTNEED]));
});

describe('nfsopenhack', () => {
  /** A branch that refuses to open a file for writing that its owner may not write to, as NFS does. */
  function likeNfs() {
    const { reopen } = Data.prototype;
    vi.spyOn(Data.prototype, 'reopen').mockImplementation(function (this: Data, fd: number, flags: number) {
      if (flags & O_ACCMODE && !(statSync(`/proc/self/fd/${fd}`).mode & 0o200)) throw EACCES;
      return reopen.call(this, fd, flags);
    });
  }

  test.each([
    ['off', 'r', false],
    ['all', 'r', true],
    ['git', 'r', false],
    ['git', '.git/r', true],
  ])('%s: %s', (how, path, opens) => {
    const u = serve({ nfsopenhack: how });
    if (path.includes('/')) u.mkdir('.git');
    u.put(path, 'text');
    u.setattr(path, { valid: 1, mode: S_IFREG | 0o444 });
    likeNfs();
    const open = () => u.open(path, O_RDWR).fh;
    if (!opens) expect(open).toThrow(EACCES);
    else {
      const fh = open();
      expect(u.write(path, fh, 0, 'more')).toBe(4);
      u.close(path, fh);
    }
    expect(u.entry(path).attr.mode & 0o7777, 'what it was').toBe(0o444);
  });
});

describe('symlinkify', () => {
  const old = (mode: number) => {
    writeFileSync(join(dir, 'a/old'), 'text', { mode });
    utimesSync(join(dir, 'a/old'), 1, 1);
  };
  /** ctime can't be set: it is now. */
  const later = (u: Client) => {
    vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 3_601_000);
    const { mode, size } = u.entry('old').attr;
    return [mode & S_IFMT, size, String(u.fs.readlink(at(u.node('old'))))];
  };

  test('a file that nobody may write to, and has not for long, is a symlink to itself', () => {
    old(0o444);
    const u = serve({ symlinkify: 'true' });
    expect(u.entry('old').attr.mode & S_IFMT, 'not yet').toBe(S_IFREG);
    const path = join(realpathSync(dir), 'a/old');
    expect(later(u)).toEqual([S_IFLNK, path.length, path]);
  });
  test.each([
    ['who may write to it', 0o644, 'true'],
    ['without the option', 0o444, 'false'],
  ])('%s sees the file', (_, mode, symlinkify) => {
    old(mode);
    const u = serve({ symlinkify });
    vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 3_601_000);
    expect(u.entry('old').attr.mode & S_IFMT).toBe(S_IFREG);
  });
});

test.runIf(process.geteuid?.() === 0)(
  'passthrough.io: a connection that is over has given back what is open still',
  () => {
    const fs = union({ 'passthrough.io': 'rw' });
    const backing = new BackingFiles(() => -1);
    vi.spyOn(backing, 'open').mockReturnValue(7);
    fs.init({ agreed: new Set(['PASSTHROUGH']), backing, warn: () => {} } as unknown as Connection);
    const { nodeid } = fs.lookup(at(1), { name: 'f' });
    expect(fs.open(at(nodeid), { flags: O_RDONLY, open_flags: 0 })).toMatchObject({
      open_flags: FOPEN_PASSTHROUGH | FOPEN_NOFLUSH,
      backing_id: 7,
    });
    backing.end();
    fs.destroy();
    expect([fs.opened, fs.nodes.counted]).toEqual([0, []]);
  },
);
