/**
 * UnionFs whose branches say EIO, at the system call that each function comes down to: the first of two branches, the second, both. What
 * the caller gets follows from the kind of function, the trace names the branch, and nothing is left of what failed: no file, no
 * descriptor, no node. Faults are put between it and the system calls.
 */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { EIO, ENOENT, Errno } from '../../src/abi/errno.ts';
import { FATTR_MODE, FATTR_MTIME, FATTR_SIZE, FATTR_UID, FUSE_IOCTL_DIR } from '../../src/abi/fuse-constants.ts';
import { FS_IOC_GETFLAGS, O_RDONLY, O_RDWR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG } from '../../src/abi/posix.ts';
import { UnionFs } from '../../src/fs/index.ts';
import { temporary } from '../support.ts';
import { at, Client } from './union-support.ts';

/** Which calls of a name fail, by their place among those that were made since. */
const faults = vi.hoisted(() => new Map<string, { fails: (place: number) => boolean; made: number }>());
vi.mock('../../src/abi/files.ts', async (original) => {
  const real: Record<string, unknown> = await original();
  const faulty = Object.entries(real).map(([name, call]) => [
    name,
    typeof call !== 'function'
      ? call
      : (...args: never[]) => {
          const fault = faults.get(name);
          return fault?.fails(fault.made++) ? -5 : (call as (...args: never[]) => number)(...args);
        },
  ]);
  return Object.fromEntries(faulty);
});
/** Which of the calls fail: that of the first branch, of the second, or all. */
type Which = 'first' | 'second' | 'both';
const FAILS: Readonly<Record<Which, (place: number) => boolean>> = {
  first: (place) => place === 0,
  second: (place) => place === 1,
  both: () => true,
};

let dir: string;
let u: Client;
beforeEach(() => {
  dir = realpathSync(temporary());
  for (const branch of 'ab') {
    mkdirSync(on(`${branch}/d`), { recursive: true });
    mkdirSync(on(`${branch}/d/e`));
    writeFileSync(on(`${branch}/d/f`), `text of ${branch}`);
    symlinkSync(branch, on(`${branch}/d/l`));
  }
});
afterEach(() => {
  faults.clear();
  u.fs.destroy();
  expect(u.fs.nodes.counted).toEqual([]);
  rmSync(dir, { recursive: true });
});
const on = (path: string) => join(dir, path);
const serve = (options: Record<string, string> = {}, branches = `${on('a')}:${on('b')}`) => {
  u = new Client(new UnionFs({ branches, options: { minfreespace: '0', 'category.create': 'ff', ...options } }));
};
const tree = () => readdirSync(dir, { recursive: true, encoding: 'utf8' }).sort();
/** Acts with each of the branches alone. */
function onEach(act: (branch: string) => void): void {
  for (const branch of 'ab') {
    u.fs.set('branches', on(branch));
    act(branch);
  }
  u.fs.set('branches', `${on('a')}:${on('b')}`);
}
/** All that must be as it was. */
const state = () => [tree(), readdirSync('/proc/self/fd').length, u.fs.nodes.size, u.fs.opened];

/** What an act gives with a call that fails on some branches: its value, or what it throws. */
function failing(call: string, which: Which, act: () => unknown): unknown {
  faults.set(call, { fails: FAILS[which], made: 0 });
  try {
    return act();
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    return error;
  } finally {
    const { made } = faults.get(call)!;
    faults.clear();
    expect(made, `calls of ${call}`).toBeGreaterThan(0);
  }
}

describe('a function that searches', () => {
  const text = (value: Uint8Array | number, reply: Buffer) =>
    typeof value === 'number' ? reply.toString('latin1', 0, value) : Buffer.from(value).toString('latin1');
  const reply = Buffer.alloc(100);
  /** By function: its call, and an act that tells of which branch it is. access(2) is for the kernel to answer. */
  const SEARCHES: Readonly<Record<string, readonly [string, () => () => unknown]>> = {
    getattr: [
      'statx',
      () => {
        const node = at(u.node('d/f'));
        return () => u.fs.getattr(node, { fh: undefined, getattr_flags: 0 }).attr.ino;
      },
    ],
    open: [
      'openat',
      () => {
        const node = at(u.node('d/f'));
        return () => {
          const { fh } = u.fs.open(node, { flags: O_RDONLY, open_flags: 0 });
          const read = u.read(fh);
          u.fs.release(node, { fh } as never);
          return read;
        };
      },
    ],
    readlink: [
      'readlinkat',
      () => {
        const node = at(u.node('d/l'));
        return () => text(u.fs.readlink(node) as Uint8Array, reply);
      },
    ],
    getxattr: [
      'getxattr',
      () => {
        onEach((branch) => u.setxattr('d/f', 'user.of', branch));
        const node = at(u.node('d/f'));
        return () => text(u.fs.getxattr(node, { name: 'user.of', size: 100 } as never, reply), reply);
      },
    ],
    listxattr: [
      'listxattr',
      () => {
        onEach((branch) => u.setxattr('d/f', `user.${branch}`, ''));
        const node = at(u.node('d/f'));
        return () => text(u.fs.listxattr(node), reply);
      },
    ],
    ioctl: [
      'ioctlAt',
      () => {
        const node = at(u.node('d'));
        const args = { fh: 0, flags: FUSE_IOCTL_DIR, cmd: FS_IOC_GETFLAGS, arg: 0n, in_size: 0, out_size: 4 };
        return () => {
          try {
            return Buffer.from(u.fs.ioctl(node, { ...args, data: Buffer.alloc(0) } as never).data!).length;
          } catch (error) {
            if (error === EIO || error === ENOENT) throw error;
            return 4; // a filesystem that has no such bits has said so
          }
        };
      },
    ],
  };
  test.each(Object.entries(SEARCHES))(
    '%s: looks on where a branch does not find the file, and not where the file fails',
    (_, [call, prepare]) => {
      serve();
      const act = prepare();
      const [before, here] = [state(), act()];
      u.fs.set('branches', `${on('b')}:${on('a')}`);
      const there = act();
      u.fs.set('branches', `${on('a')}:${on('b')}`);
      act();
      // As mergerfs: whatever a branch says to the question whether it has the file, but yes, is no.
      expect(failing('openat2', 'first', act)).toEqual(there);
      expect(failing('openat2', 'second', act)).toEqual(here);
      expect(failing('openat2', 'both', act)).toBe(ENOENT);
      expect(failing(call, 'first', act)).toBe(EIO);
      if (call !== 'ioctlAt') expect(here).not.toEqual(there);
      expect([act(), state()]).toEqual([here, before]);
    },
  );
});

test('a file that no branch could be asked for is not gone: who has it open goes on, and nobody believes that it is absent', () => {
  serve({ 'cache.negative-entry': '60' });
  const { fh } = u.open('d/f', O_RDONLY);
  const [parent, node] = [at(u.node('d')), u.node('d/f')];
  expect(failing('openat2', 'both', () => u.fs.lookup(parent, { name: 'f' }))).toBe(ENOENT);
  expect(u.fs.getattr(at(node), { fh: undefined, getattr_flags: 0 }).attr.size).toBe(9);
  expect(u.node('d/f')).toBe(node);
  u.close('d/f', fh);
  expect(u.fs.lookup(parent, { name: 'never there' })).toMatchObject({ nodeid: 0, entry_valid: 60 });
});

describe('a function that changes', () => {
  const set = (values: object) => {
    const node = at(u.node('d/f'));
    return () => void u.fs.setattr(node, { fh: undefined, ...values } as never);
  };
  const modes = () => ['a', 'b'].map((branch) => (lstatSync(on(`${branch}/d/f`)).mode & 0o777) === 0o600);
  const sizes = () => ['a', 'b'].map((branch) => lstatSync(on(`${branch}/d/f`)).size === 3);
  const times = () => ['a', 'b'].map((branch) => lstatSync(on(`${branch}/d/f`)).mtimeMs === 7000);
  const owners = () => ['a', 'b'].map((branch) => lstatSync(on(`${branch}/d/f`)).uid === 12);
  const value = (name: string, branch: string) => {
    u.fs.set('branches', on(branch));
    try {
      return u.xattr('d/f', name);
    } catch {
      return undefined;
    } finally {
      u.fs.set('branches', `${on('a')}:${on('b')}`);
    }
  };
  const attribute = (args: object) => {
    const node = at(u.node('d/f'));
    return () => void u.fs.setxattr(node, { flags: 0, setxattr_flags: 0, ...args } as never);
  };
  /** By function: its call, the act, and on which branches it is done. */
  const CHANGES: Readonly<Record<string, readonly [string, () => () => void, () => boolean[]]>> = {
    chmod: ['chmod', () => set({ valid: FATTR_MODE, mode: S_IFREG | 0o600 }), modes],
    chown: ['chown', () => set({ valid: FATTR_UID, uid: 12 }), owners],
    utimens: ['utimensat', () => set({ valid: FATTR_MTIME, mtime: 7, mtimensec: 0 }), times],
    truncate: ['truncate', () => set({ valid: FATTR_SIZE, size: 3 }), sizes],
    setxattr: [
      'setxattr',
      () => attribute({ name: 'user.x', value: Buffer.from('1'), size: 1 }),
      () => ['a', 'b'].map((branch) => value('user.x', branch) === '1'),
    ],
    removexattr: [
      'removexattr',
      () => {
        u.setxattr('d/f', 'user.x', '1');
        const node = at(u.node('d/f'));
        return () => u.fs.removexattr(node, { name: 'user.x' } as never);
      },
      () => ['a', 'b'].map((branch) => value('user.x', branch) === undefined),
    ],
  };
  test.runIf(process.geteuid?.() === 0).each(Object.entries(CHANGES))(
    '%s: is told by the branch that is shown, and done on the other',
    (name, [call, prepare, where]) => {
      const outcomes = (['first', 'second', 'both'] as const).map((which) => {
        if (u) u.fs.destroy();
        serve();
        for (const branch of 'ab') {
          rmSync(on(`${branch}/d/f`));
          writeFileSync(on(`${branch}/d/f`), `text of ${branch}`);
        }
        const act = prepare();
        const before = state();
        const outcome = failing(call, which, act);
        expect(state(), which).toEqual(before);
        return [which, outcome, where(), u.notes];
      });
      const note = (branch: string) => [`${name}: ${on(branch)} says EIO of d/f`];
      expect(outcomes).toEqual([
        ['first', EIO, [false, true], note('a')],
        ['second', undefined, [true, false], note('b')],
        ['both', EIO, [false, false], []],
      ]);
    },
  );

  /** By function: its call, the act, and the branches on which the old name is still. */
  const NAMES: Readonly<Record<string, readonly [string, () => void, string]>> = {
    unlink: ['unlinkat', () => u.fs.unlink(at(u.node('d')), { name: 'f' }), 'f'],
    rmdir: ['unlinkat', () => u.fs.rmdir(at(u.node('d')), { name: 'e' }), 'e'],
    rename: [
      'renameat2',
      () => u.fs.rename(at(u.node('d')), { oldname: 'f', newname: 'g', newdir: u.node('d'), flags: 0 }),
      'f',
    ],
  };
  test.each(Object.entries(NAMES))('%s: is done where one branch has done it', (name, [call, act, file]) => {
    const outcomes = (['first', 'second', 'both'] as const).map((which) => {
      if (u) u.fs.destroy();
      rmSync(dir, { recursive: true });
      for (const branch of 'ab') {
        mkdirSync(on(`${branch}/d/e`), { recursive: true });
        writeFileSync(on(`${branch}/d/f`), '');
      }
      serve();
      u.node(`d/${file}`);
      const descriptors = readdirSync('/proc/self/fd').length;
      const outcome = failing(call, which, act);
      // What one branch has removed is held for those who have it, as long as the kernel counts it.
      expect(readdirSync('/proc/self/fd').length, which).toBe(descriptors + u.fs.held);
      return [which, outcome, ['a', 'b'].filter((branch) => existsSync(on(`${branch}/d/${file}`))), u.notes.length];
    });
    expect(outcomes, name).toEqual([
      ['first', undefined, ['a'], 1],
      ['second', undefined, ['b'], 1],
      ['both', EIO, ['a', 'b'], 0],
    ]);
  });
  test('link: is done where one branch has done it', () => {
    serve();
    const link = () => u.link('d/f', 'd/g');
    expect(failing('linkat', 'both', link)).toBe(EIO);
    expect(tree().filter((path) => path.endsWith('g'))).toEqual([]);
    failing('linkat', 'first', link);
    expect(tree().filter((path) => path.endsWith('g'))).toEqual(['b/d/g']);
    expect(u.notes).toEqual([`link: ${on('a')} has no d/g and keeps d/f: EIO`]);
  });
});

describe('a function that makes', () => {
  const NEW = { mode: 0o644, umask: 0 };
  /** By function: its call, the act. */
  const MAKES: Readonly<Record<string, readonly [string, (parent: ReturnType<typeof at>) => number]>> = {
    mkdir: ['mkdirat', (parent) => u.fs.mkdir(parent, { name: 'new', ...NEW }).nodeid],
    mknod: ['mknodat', (parent) => u.fs.mknod(parent, { name: 'new', ...NEW, mode: S_IFIFO | 0o644, rdev: 0 }).nodeid],
    symlink: ['symlinkat', (parent) => u.fs.symlink(parent, { name: 'new', target: 't' }).nodeid],
  };
  const places = () => tree().filter((path) => path.endsWith('new'));
  test.each(Object.entries(MAKES))('%s: is done where one branch has done it', (name, [call, make]) => {
    serve({ 'category.create': 'all' });
    const parent = at(u.node('d'));
    const before = state();
    expect(failing(call, 'both', () => make(parent))).toBe(EIO);
    expect([state(), u.notes]).toEqual([before, []]);
    expect(failing(call, 'first', () => make(parent))).toBeTypeOf('number');
    expect([places(), u.notes]).toEqual([['b/d/new'], [`${name}: ${on('a')} says EIO of d`]]);
    expect(u.entry('d/new').attr.mode & S_IFMT).not.toBe(name === 'symlink' ? S_IFREG : S_IFLNK);
  });

  const create = (parent: ReturnType<typeof at>) => {
    const { entry, open } = u.fs.create(parent, { name: 'new', ...NEW, flags: O_RDWR, open_flags: 0 });
    u.fs.release(at(entry.nodeid), { fh: open.fh } as never);
    return entry.nodeid;
  };
  test('create: is for one branch, and its error is the error', () => {
    serve();
    const parent = at(u.node('d'));
    const before = state();
    expect(failing('openat', 'first', () => create(parent))).toBe(EIO);
    // It was made, and nothing can be said of it.
    expect(failing('statx', 'both', () => create(parent))).toBe(EIO);
    expect([state(), u.notes]).toEqual([before, []]);
  });
  test.each(['mkdir', 'mknod', 'symlink', 'create'])('%s: what was cloned for it is gone', (name) => {
    serve();
    rmSync(on('a/d'), { recursive: true });
    const parent = at(u.node('d'));
    const before = state();
    const [call, make] = MAKES[name] ?? ['openat', create];
    // The first directory that is made is the clone.
    faults.set(call, { fails: (place) => place === (name === 'mkdir' ? 1 : 0), made: 0 });
    expect(() => make(parent)).toThrow(EIO);
    faults.clear();
    expect([state(), u.notes]).toEqual([before, []]);
    make(parent);
    expect(places()).toEqual(['a/d/new']);
  });
  test('a branch of whose filesystem nothing can be learnt is not for new files', () => {
    serve();
    const parent = at(u.node('d'));
    expect(failing('fstatfs', 'both', () => create(parent))).toBe(ENOENT);
    expect(failing('fstatfs', 'first', () => create(parent))).toBeTypeOf('number');
    expect(places()).toEqual(['b/d/new']);
  });
});

describe('a directory', () => {
  test.each([
    ['fsync', 0],
    ['fdatasync', 1],
    ['syncfs', 0],
  ])('%s: is done on all branches, also where one fails', (call, fsync_flags) => {
    serve();
    const node = at(u.node('d'));
    const before = state();
    const sync = () => (call === 'syncfs' ? u.fs.syncfs() : u.fs.fsyncdir(node, { fh: 0, fsync_flags } as never));
    let made = 0;
    faults.set(call, { fails: () => made++ === 0, made: 0 });
    expect(sync).toThrow(EIO);
    expect([made, state()]).toEqual([2, before]);
    faults.clear();
    sync();
  });
  test('has the names of the branches that can be read, and the error where most can’t', () => {
    serve();
    writeFileSync(on('a/d/only a'), '');
    writeFileSync(on('b/d/only b'), '');
    const fh = u.opendir('d');
    const before = state();
    const names = () => u.readdir(fh).map(({ name }) => name);
    for (const call of ['openat', 'openat2', 'getdents64']) {
      const first = failing(call, 'first', names);
      expect(first, call).toContain('only b');
      expect(first, call).not.toContain('only a');
      expect(failing(call, 'both', names), call).toBe(EIO);
    }
    expect(names()).toEqual(expect.arrayContaining(['only a', 'only b']));
    expect(state()).toEqual(before);
    u.fs.releasedir(at(1), { fh } as never);
  });
  test('of which a branch can’t be read is not empty for all we know', () => {
    serve();
    writeFileSync(on('b/d/e/file'), '');
    // The first three are for a and for whether b has it; then b is to be opened.
    for (const [call, act] of [
      ['openat', () => u.rmdir('d/e')],
      ['getdents64', () => u.rmdir('d/e')],
    ] as const)
      expect(failing(call, 'both', act), call).toBe(EIO);
    u.mkdir('d/other');
    expect(failing('getdents64', 'both', () => u.rename('d/other', 'd/e'))).toBe(EIO);
    expect(tree().filter((path) => path.includes('/e'))).toEqual(['a/d/e', 'b/d/e', 'b/d/e/file']);
  });
});
