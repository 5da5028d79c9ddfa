/** PassthroughFs without a mount, its methods called directly: what a kernel would not ask, and its books. Needs root for what it makes as others. */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EBADF, EEXIST, EINVAL, ELOOP, ENAMETOOLONG, ENOENT, ENOTTY, EPERM, ESTALE } from '../../src/abi/errno.ts';
import { FUSE_POLL_SCHEDULE_NOTIFY, FUSE_SETXATTR_ACL_KILL_SGID } from '../../src/abi/fuse-constants.ts';
import {
  O_EXCL,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  POLLERR,
  POLLIN,
  POLLOUT,
  POLLPRI,
  S_IFDIR,
  S_IFIFO,
  S_IFMT,
  S_IFREG,
} from '../../src/abi/posix.ts';
import { type Watch, watch } from '../../src/abi/syscall.ts';
import { encodeAcl, PassthroughFs, type PassthroughOptions } from '../../src/fs/index.ts';
import type { Connection } from '../../src/protocol/connection.ts';
import type { DirectoryReply, Dirent } from '../../src/protocol/dirent.ts';
import { temporary, until } from '../support.ts';
import { at } from './requests.ts';

const ROOT = 1;
const FLAGS = { flags: O_RDONLY, open_flags: 0 };
const NEW = { mode: S_IFREG | 0o644, umask: 0, open_flags: 0 };

let source: string;
let made: PassthroughFs[];
beforeEach(() => {
  source = temporary();
  made = [];
});
afterEach(() => {
  for (const fs of made) fs.destroy();
  rmSync(source, { recursive: true });
});
function serve(options: Partial<PassthroughOptions> = {}): PassthroughFs {
  const fs = new PassthroughFs({ source, ...options });
  made.push(fs);
  return fs;
}
/** A reply that takes all entries. */
function listing() {
  const names = new Map<string, bigint>();
  const reply = { add: ({ name, ino }: Dirent) => Boolean(names.set(name, ino)) } as unknown as DirectoryReply;
  return { names, reply };
}

const root = process.geteuid?.() === 0;
const ways = root ? (['handles', 'descriptors'] as const) : (['descriptors'] as const);

describe.each(ways)('held as %s', (inodeHandles) => {
  test('no name leads out of the directory', () => {
    const fs = serve({ inodeHandles });
    mkdirSync(join(source, 'd'));
    writeFileSync(join(source, 'd/f'), '');
    for (const name of ['d/f', '/etc/passwd', '../x', 'd/..', 'a\0b']) {
      expect(() => fs.lookup(at(ROOT), { name })).toThrow(EINVAL);
      expect(() => fs.unlink(at(ROOT), { name })).toThrow(EINVAL);
      expect(() => fs.create(at(ROOT), { ...NEW, name, flags: O_RDWR })).toThrow(EINVAL);
      expect(() => fs.rename(at(ROOT), { oldname: 'd', newname: name, newdir: ROOT, flags: 0 })).toThrow(EINVAL);
      expect(() => fs.link(at(ROOT), { oldnodeid: ROOT, newname: name })).toThrow(EINVAL);
      expect(() => fs.symlink(at(ROOT), { name, target: 'anywhere/at/all' })).toThrow(EINVAL);
    }
    expect(() => fs.lookup(at(ROOT), { name: '' })).toThrow(ENOENT);
    expect(() => fs.lookup(at(ROOT), { name: 'x'.repeat(5000) })).toThrow(ENAMETOOLONG);
    expect(() => fs.lookup(at(ROOT), { name: 'é'.repeat(3000) })).toThrow(ENAMETOOLONG);
    expect(readdirSync(source)).toEqual(['d']);
  });

  test('".." ends at the source, also for a directory that was moved out of it', () => {
    const fs = serve({ inodeHandles });
    mkdirSync(join(source, 'd/e'), { recursive: true });
    const d = fs.lookup(at(ROOT), { name: 'd' }).nodeid;
    const e = fs.lookup(at(d), { name: 'e' }).nodeid;
    expect(fs.lookup(at(e), { name: '..' }).nodeid).toBe(d);
    expect(fs.lookup(at(d), { name: '..' }).nodeid).toBe(ROOT);
    expect(fs.lookup(at(ROOT), { name: '..' }).nodeid).toBe(ROOT);
    const outside = `${source}-outside`;
    renameSync(join(source, 'd'), outside);
    const before = readdirSync('/proc/self/fd').length;
    try {
      expect(() => fs.lookup(at(d), { name: '..' })).toThrow(ESTALE);
      // One that is beneath is not in the source any more either; but it is its parent.
      expect(() => fs.lookup(at(e), { name: '..' })).toThrow(ESTALE);
      expect(readdirSync('/proc/self/fd').length).toBe(before);
    } finally {
      rmSync(outside, { recursive: true });
    }
  });

  test('the root shows itself as the directory above', () => {
    const fs = serve({ inodeHandles });
    const { fh } = fs.opendir(at(ROOT), FLAGS);
    const { names, reply } = listing();
    fs.readdir(at(ROOT), { fh, offset: 0n, size: 4096, read_flags: 0, lock_owner: undefined, flags: 0 }, reply);
    const { ino } = statSync(source, { bigint: true });
    expect([...names].sort()).toEqual([
      ['.', ino],
      ['..', ino],
    ]);
  });

  test('a symlink is never followed', () => {
    const fs = serve({ inodeHandles });
    const secret = `${source}-secret`;
    writeFileSync(secret, 'secret');
    symlinkSync(secret, join(source, 'link'));
    try {
      const { nodeid, attr } = fs.lookup(at(ROOT), { name: 'link' });
      expect(attr.mode & S_IFMT).not.toBe(S_IFREG);
      for (const flags of [O_RDONLY, O_RDWR])
        expect(() => fs.open(at(nodeid), { flags, open_flags: 0 })).toThrow(ELOOP);
      expect(() => fs.create(at(ROOT), { ...NEW, name: 'link', flags: O_RDWR })).toThrow(ESTALE);
      expect(() => fs.lookup(at(nodeid), { name: 'x' })).toThrow();
      expect(fs.readlink(at(nodeid)).toString()).toBe(secret);
      expect(readFileSync(secret, 'latin1')).toBe('secret');
    } finally {
      rmSync(secret);
    }
  });

  test('CREATE never opens what is there already: the kernel has to look again', () => {
    const fs = serve({ inodeHandles });
    writeFileSync(join(source, 'f'), 'somebody’s', { mode: 0o600 });
    expect(() => fs.create(at(ROOT, 1000, 1000), { ...NEW, name: 'f', flags: O_RDWR })).toThrow(ESTALE);
    expect(() => fs.create(at(ROOT, 1000, 1000), { ...NEW, name: 'f', flags: O_RDWR | O_EXCL })).toThrow(EEXIST);
  });

  test('a file that gets the number of one before it is another node', () => {
    const fs = serve({ inodeHandles });
    const path = join(source, 'f');
    const nodeids = new Set<number>();
    const numbers = new Set<bigint>();
    for (let i = 0; i < 100; i++) {
      writeFileSync(path, `${i}`);
      const { nodeid, attr } = fs.lookup(at(ROOT), { name: 'f' });
      nodeids.add(nodeid);
      numbers.add(attr.ino);
      rmSync(path);
    }
    expect(nodeids.size).toBe(100);
    if (inodeHandles === 'handles') console.log(`100 files, one after the other, had ${numbers.size} numbers`);
    for (const nodeid of nodeids) fs.forget(at(nodeid), { nodeid, nlookup: 1 });
    expect([fs.nodes.size, fs.held]).toEqual([1, 0]);
  });

  test('lookups are counted, of links as one file, and taken back', () => {
    const fs = serve({ inodeHandles });
    writeFileSync(join(source, 'f'), '');
    const { nodeid } = fs.lookup(at(ROOT), { name: 'f' });
    expect(fs.link(at(ROOT), { oldnodeid: nodeid, newname: 'g' }).nodeid).toBe(nodeid);
    expect(fs.lookup(at(ROOT), { name: 'g' }).nodeid).toBe(nodeid);
    expect(fs.nodes.get(nodeid).nlookup).toBe(3);
    expect(fs.held).toBe(inodeHandles === 'handles' ? 0 : 1);
    // Removed, the last name: it stays for who has it.
    fs.unlink(at(ROOT), { name: 'f' });
    fs.unlink(at(ROOT), { name: 'g' });
    expect(fs.held).toBe(1);
    expect(fs.getattr(at(nodeid), { getattr_flags: 0, fh: undefined }).attr.nlink).toBe(0);
    fs.forget(at(nodeid), { nodeid, nlookup: 3 });
    expect([fs.nodes.size, fs.held]).toEqual([1, 0]);
    expect(() => fs.getattr(at(nodeid), { getattr_flags: 0, fh: undefined })).toThrow(ESTALE);
  });

  test('what fails leaves no file and no descriptor', () => {
    const fs = serve({ inodeHandles });
    const before = readdirSync('/proc/self/fd').length;
    const attempts = [
      () => fs.lookup(at(ROOT), { name: 'absent' }),
      () => fs.unlink(at(ROOT), { name: 'absent' }),
      () => fs.mkdir(at(ROOT), { name: 'x'.repeat(300), mode: 0o755, umask: 0 }),
      () => fs.mknod(at(ROOT), { name: 'd', mode: S_IFDIR, rdev: 0, umask: 0 }),
      () => fs.open(at(999), FLAGS),
      () => fs.readlink(at(ROOT)),
    ];
    for (const attempt of attempts) expect(attempt).toThrow();
    expect(readdirSync('/proc/self/fd').length).toBe(before);
    expect(readdirSync(source)).toEqual([]);
    expect([fs.nodes.size, fs.held, fs.opened]).toEqual([1, 0, 0]);
  });

  test('a handle that is none touches no descriptor of somebody else', () => {
    const fs = serve({ inodeHandles });
    const own = openSync(join(source, 'own'), 'w');
    const rest = { offset: 0, write_flags: 0, lock_owner: undefined, flags: 0 };
    for (const fh of [own, 0, 123_456, 2 ** 40]) {
      expect(() => fs.write(at(ROOT), { ...rest, fh, size: 1, data: Buffer.from('x') })).toThrow(EBADF);
      expect(() => fs.release(at(ROOT), { fh, flags: 0, release_flags: 0, lock_owner: 0n })).toThrow(EBADF);
    }
    expect(readFileSync(join(source, 'own'), 'latin1')).toBe('');
  });

  test('only the ioctls that are known are made', () => {
    const fs = serve({ inodeHandles });
    const { open } = fs.create(at(ROOT), { ...NEW, name: 'f', flags: O_RDWR });
    const data = Buffer.alloc(4);
    const rest = { fh: open.fh, flags: 0, arg: 0n, in_size: 4, data };
    expect(() => fs.ioctl(at(ROOT), { ...rest, cmd: 0x1234, out_size: 4 })).toThrow(ENOTTY);
    expect(fs.ioctl(at(ROOT), { ...rest, cmd: 0x8008_6601, out_size: 4 }).data).toHaveLength(4);
    fs.release(at(ROOT), { fh: open.fh, flags: 0, release_flags: 0, lock_owner: 0n });
    expect(fs.opened).toBe(0);
  });

  test.runIf(root)('trusted attributes are told to root alone', () => {
    const fs = serve({ inodeHandles });
    writeFileSync(join(source, 'f'), '');
    const { nodeid } = fs.lookup(at(ROOT), { name: 'f' });
    const value = Buffer.from('v');
    for (const name of ['user.a', 'trusted.b', 'user.c'])
      fs.setxattr(at(nodeid), { name, value, size: 1, flags: 0, setxattr_flags: 0 });
    const list = (uid: number) =>
      Buffer.from(fs.listxattr(at(nodeid, uid)))
        .toString()
        .split('\0')
        .filter(Boolean)
        .sort();
    expect(list(0)).toEqual(['trusted.b', 'user.a', 'user.c']);
    expect(list(1000)).toEqual(['user.a', 'user.c']);
  });

  test.runIf(root)('an ACL of one who is not in the group takes setgid away where the kernel says so', () => {
    const fs = serve({ inodeHandles });
    const { nodeid } = fs.mknod(at(ROOT), { name: 'f', mode: S_IFREG | 0o2755, rdev: 0, umask: 0 });
    // Owner, group, others: no more than a mode.
    const acl = [1, 4, 32].map((tag) => ({ tag, perm: tag === 1 ? 7 : 5, id: 0xffff_ffff }));
    const value = encodeAcl(acl);
    const args = { name: 'system.posix_acl_access', value, size: value.length, flags: 0 };
    fs.setxattr(at(nodeid), { ...args, setxattr_flags: 0 });
    expect(lstatSync(join(source, 'f')).mode & 0o7777).toBe(0o2755);
    fs.setxattr(at(nodeid), { ...args, setxattr_flags: FUSE_SETXATTR_ACL_KILL_SGID });
    expect(lstatSync(join(source, 'f')).mode & 0o7777).toBe(0o755);
  });

  test.runIf(root)('an id that there is not makes nothing in the name of another', () => {
    const fs = serve({ inodeHandles });
    for (const [uid, gid] of [
      [0xffff_ffff, 1000],
      [1000, 0xffff_ffff],
    ] as const)
      expect(() => fs.mkdir(at(ROOT, uid, gid), { name: 'd', mode: 0o755, umask: 0 })).toThrow(EPERM);
    expect(readdirSync(source)).toEqual([]);
  });

  test.runIf(root)('what a call is made as is undone when it fails', () => {
    const fs = serve({ inodeHandles });
    mkdirSync(join(source, 'there'));
    const status = () =>
      /^(Uid|Gid|Groups|CapEff):.*$/gmu[Symbol.match](readFileSync('/proc/thread-self/status', 'latin1'));
    const before = status();
    expect(() => fs.mkdir(at(ROOT, 1234, 1234), { name: 'there', mode: 0o755, umask: 0 })).toThrow(EEXIST);
    expect(status()).toEqual(before);
    fs.mkdir(at(ROOT, 1234, 5678), { name: 'made', mode: 0o755, umask: 0o022 });
    expect(statSync(join(source, 'made'))).toMatchObject({ uid: 1234, gid: 5678 });
    expect(status()).toEqual(before);
    expect(existsSync(join(source, 'made'))).toBe(true);
  });
});

test('options that can’t be are refused in one line', () => {
  const refused: [Partial<PassthroughOptions>, RegExp][] = [
    [{ source: '' }, /^source is needed: the directory to serve$/u],
    [{ inodeHandles: 'some' as never }, /^inodeHandles is some: one of auto, handles, descriptors is needed$/u],
    [{ uid: -1 }, /^uid is -1: a whole number from 0 to 4294967294 is needed$/u],
    [{ gid: 2 ** 32 - 1 }, /^gid is 4294967295/u],
    [{ idmap: true, callerChecks: true }, /^idmap and callerChecks exclude each other/u],
    [{ idmap: true, gid: 1 }, /^idmap excludes uid and gid/u],
    [{ callerChecks: true, uid: 1 }, /^callerChecks excludes uid and gid/u],
    [{ callerChecks: true, writeback: true }, /^callerChecks and writeback exclude each other/u],
    [{ writeback: true, kernelPassthrough: true }, /^writeback and kernelPassthrough exclude each other/u],
  ];
  for (const [options, message] of refused) expect(() => serve(options)).toThrow(message);
  expect(() => new PassthroughFs({ source: join(source, 'absent') })).toThrow('open: no such file or directory');
  expect(() => new PassthroughFs({ source: '/proc', inodeHandles: 'handles' })).toThrow(
    /no file handles to open files by/u,
  );
});

/** A connection that notes which polls were told of. */
class PlayedConnection {
  readonly told: bigint[] = [];
  readonly watched = new Set<Watch>();
  readonly agreed = new Set<string>();
  readonly minor = 38;
  readonly notify = { poll: async (kh: bigint) => void this.told.push(kh) };
  readonly warn = () => {};
  readonly watch = (fd: number, ready: () => void) => {
    const mine = watch(fd, { readable: true }, ready);
    this.watched.add(mine);
    return () => {
      this.watched.delete(mine);
      mine.close();
    };
  };
  /** Waits until these were told of, and then a while for more. */
  async tells(...khs: bigint[]): Promise<void> {
    await until(() => this.told.length >= khs.length, `${khs.length} to be told of`);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(this.told).toEqual(khs);
  }
}

describe('poll', () => {
  const SCHEDULE = FUSE_POLL_SCHEDULE_NOTIFY;
  const closing = { flags: 0, release_flags: 0, lock_owner: 0n };
  /** With a FIFO, of which the kernel itself would take care: here it is a lower file that is not always ready. */
  function withFifo() {
    const fs = serve();
    const connection = new PlayedConnection();
    fs.init(connection as unknown as Connection);
    fs.mknod(at(ROOT), { name: 'fifo', mode: S_IFIFO | 0o600, rdev: 0, umask: 0 });
    const { nodeid } = fs.lookup(at(ROOT), { name: 'fifo' });
    const { fh } = fs.open(at(nodeid), { flags: O_RDWR | O_NONBLOCK, open_flags: 0 });
    const poll = (events: number, flags = SCHEDULE, kh = 7n) => fs.poll(at(nodeid), { fh, kh, flags, events }).revents;
    return { fs, connection, nodeid, fh, poll };
  }

  test('says what the lower file says, and tells once who waits', async () => {
    const { fs, connection, nodeid, fh, poll } = withFifo();
    expect(poll(POLLIN, 0)).toBe(0);
    expect(connection.watched.size).toBe(0); // nobody waits
    expect(poll(POLLIN | POLLOUT, 0)).toBe(POLLOUT);
    expect(poll(POLLIN)).toBe(0);
    await connection.tells();
    writeFileSync(join(source, 'fifo'), 'x');
    await connection.tells(7n);
    // Who has not asked again waits for nothing.
    writeFileSync(join(source, 'fifo'), 'x');
    await connection.tells(7n);
    expect([poll(POLLIN), poll(POLLIN)]).toEqual([POLLIN, POLLIN]);
    writeFileSync(join(source, 'fifo'), 'x');
    await connection.tells(7n, 7n);
    fs.release(at(nodeid), { fh, ...closing });
  });

  test('an open file that gets the descriptor of one before it is watched anew', async () => {
    const { fs, connection, nodeid, fh: first, poll } = withFifo();
    expect(poll(POLLIN)).toBe(0);
    // When the thread that waits has told, it has all descriptors that it takes: none of them is the one that is free then.
    writeFileSync(join(source, 'fifo'), 'x');
    await connection.tells(7n);
    const open = () => fs.open(at(nodeid), { flags: O_RDWR | O_NONBLOCK, open_flags: 0 }).fh;
    const release = (fh: number) => fs.release(at(nodeid), { fh, ...closing });
    release(first); // and what is in the FIFO goes
    // What else this process has may have taken numbers meanwhile, that one too: then it comes back.
    const before: number[] = [];
    await until(() => {
      for (let i = 0; i < 8; i++) before.push(open());
      const found = before.indexOf(first);
      for (const fh of before.splice(0)) if (fh !== first) release(fh);
      return found >= 0;
    }, 'the descriptor to be free');
    expect(poll(POLLIN, SCHEDULE, 8n)).toBe(0);
    writeFileSync(join(source, 'fifo'), 'x');
    await connection.tells(7n, 8n);
    release(first);
  });

  test('a file without a poll of its own is always ready, and is watched by nobody', () => {
    const { fs, connection, nodeid, fh } = withFifo();
    const file = fs.create(at(ROOT), { ...NEW, name: 'f', flags: O_RDWR });
    const { revents } = fs.poll(at(file.entry.nodeid), {
      ...{ fh: file.open.fh, kh: 9n, flags: SCHEDULE, events: POLLIN | POLLOUT | POLLPRI },
    });
    expect(revents).toBe(POLLIN | POLLOUT);
    expect(connection.watched.size).toBe(0);
    fs.release(at(file.entry.nodeid), { fh: file.open.fh, ...closing });
    fs.release(at(nodeid), { fh, ...closing });
  });

  test('nothing is left of it', async () => {
    const use = async () => {
      const { fs, connection, nodeid, fh, poll } = withFifo();
      expect(poll(POLLIN)).toBe(0);
      fs.release(at(nodeid), { fh, ...closing });
      made.pop()!.destroy();
      expect([connection.watched.size, fs.opened]).toEqual([0, 0]);
      rmSync(join(source, 'fifo'));
      // Its thread has no other way to say that it is gone.
      const open = () => readdirSync('/proc/self/fd').length;
      for (let before = 0; before !== open(); await new Promise((resolve) => setTimeout(resolve, 200))) before = open();
      return open();
    };
    const first = await use();
    await until(async () => (await use()) <= first, 'all descriptors to be closed', 25_000);
  });

  const hostname = '/proc/sys/kernel/hostname';
  test.runIf(root && existsSync(hostname))(
    'news that asking ends is told until somebody was told, or has read',
    async () => {
      const fs = new PassthroughFs({ source: '/proc/sys/kernel' });
      made.push(fs);
      const connection = new PlayedConnection();
      fs.init(connection as unknown as Connection);
      const { nodeid } = fs.lookup(at(ROOT), { name: 'hostname' });
      const { fh } = fs.open(at(nodeid), { flags: O_RDONLY, open_flags: 0 });
      const poll = () => fs.poll(at(nodeid), { fh, kh: 7n, flags: SCHEDULE, events: POLLPRI }).revents;
      // In a namespace of its own, and told of everywhere.
      const change = () => execFileSync('unshare', ['--uts', 'hostname', 'rawfuse-test']);
      poll();
      expect(poll()).toBe(0);
      change();
      await connection.tells(7n);
      expect([poll(), poll()]).toEqual([POLLPRI | POLLERR, 0]);
      change();
      await connection.tells(7n, 7n);
      const args = { fh, offset: 0, size: 64, read_flags: 0, lock_owner: undefined, flags: 0 };
      expect(fs.read(at(nodeid), args, Buffer.alloc(64))).toBeGreaterThan(0);
      expect(poll()).toBe(0);
      fs.release(at(nodeid), { fh, ...closing });
    },
  );
});
