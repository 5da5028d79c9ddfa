/**
 * What a filesystem says of an open file, and what the kernel says back; and what the kernel and a session
 * agree on at INIT, as a process sees it. Each flag is seen by what it changes.
 */
import { expect } from 'vitest';
import {
  FOPEN_CACHE_DIR,
  FOPEN_DIRECT_IO,
  FOPEN_KEEP_CACHE,
  FOPEN_NOFLUSH,
  FOPEN_NONSEEKABLE,
  FOPEN_PARALLEL_DIRECT_WRITES,
  FOPEN_STREAM,
  FUSE_IOCTL_DIR,
  FUSE_READ_LOCKOWNER,
  FUSE_RELEASE_FLOCK_UNLOCK,
  FUSE_SETXATTR_ACL_KILL_SGID,
  FUSE_WRITE_CACHE,
  FUSE_WRITE_LOCKOWNER,
} from '../../src/abi/fuse-constants.ts';
import {
  O_ACCMODE,
  O_APPEND,
  O_CREAT,
  O_EXCL,
  O_NONBLOCK,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  S_IFREG,
  S_ISGID,
  STATX_BASIC_STATS,
  STATX_BTIME,
  XATTR_CREATE,
} from '../../src/abi/posix.ts';
import { pageSize } from '../../src/abi/syscall.ts';
import type { DirectoryReply } from '../../src/protocol/dirent.ts';
import type { Filesystem, Promised } from '../../src/protocol/filesystem.ts';
import type { Args } from '../../src/protocol/operations.ts';
import type { Request } from '../../src/protocol/request.ts';
import { kernelTest, mounted, until } from '../support.ts';
import { Client, python } from './python.ts';
import { type Deferred, deferred, type Entries, Recorder, Tree } from './tree.ts';

/** A tree that opens each file with the flags that a test sets for its name; handles count up from 100. */
class Files extends Tree {
  readonly flags: Readonly<Record<string, number>>;
  #fh = 100;
  constructor(flags: Readonly<Record<string, number>>, entries?: Entries) {
    super(entries ?? Object.fromEntries(Object.keys(flags).map((name) => [name, 'content'])));
    this.flags = flags;
  }
  open({ nodeid }: Request, _: Args<'OPEN'>) {
    const open_flags = Object.entries(this.flags).find(([name]) => this.at(name).nodeid === nodeid)?.[1] ?? 0;
    return { fh: this.#fh++, open_flags };
  }
  release(_: Request, __: Args<'RELEASE'>) {}
  flush(_: Request, __: Args<'FLUSH'>) {}
}

async function recorded(filesystem: Filesystem, options: Parameters<typeof mounted>[1] = {}) {
  const recorder = new Recorder(filesystem);
  const m = await mounted(recorder.filesystem, options);
  return { ...m, recorder, [Symbol.asyncDispose]: () => m[Symbol.asyncDispose]() };
}

kernelTest('DIRECT_IO sends each read as it is, and caches nothing', async () => {
  await using m = await recorded(new Files({ direct: FOPEN_DIRECT_IO, cached: 0 }));
  const script = (name: string) => `
file = os.open(P('${name}'), os.O_RDONLY)
say([os.pread(file, 3, 2), os.pread(file, 3, 2)])`;
  const reads = () => m.recorder.of('read').map(({ args: { offset, size } }) => [offset, size]);
  expect(await python(m.dir, script('direct'))).toEqual([['nte', 'nte']]);
  expect(reads()).toEqual([
    [2, 3],
    [2, 3],
  ]);
  m.recorder.calls.length = 0;
  expect(await python(m.dir, script('cached'))).toEqual([['nte', 'nte']]);
  expect(reads()).toEqual([[0, pageSize]]);
});

kernelTest('a DIRECT_IO file can be mapped and shared, as DIRECT_IO_ALLOW_MMAP is agreed', async () => {
  await using m = await recorded(new Files({ direct: FOPEN_DIRECT_IO }));
  const script = `
import mmap
file = os.open(P('direct'), os.O_RDWR)
map = mmap.mmap(file, 7)
map[0:3] = b'CON'
map.flush()
say(map[:])`;
  expect(await python(m.dir, script)).toEqual(['CONtent']);
  const { args } = m.recorder.last('write');
  expect(args.data.toString()).toBe('CONtent');
  expect(args.write_flags & FUSE_WRITE_CACHE, 'the page cache wrote').toBe(FUSE_WRITE_CACHE);
});

kernelTest('KEEP_CACHE keeps what was read for the next open', async () => {
  await using m = await recorded(new Files({ kept: FOPEN_KEEP_CACHE, dropped: 0 }));
  const reads = async (name: string) => {
    m.recorder.calls.length = 0;
    await python(m.dir, `for i in range(3): assert slurp('${name}') == 'content'`);
    // A READ at the end of the file may come beside the one that brings the page.
    return m.recorder.of('read').filter(({ args }) => args.offset === 0).length;
  };
  expect(await reads('kept')).toBe(1);
  expect(await reads('dropped')).toBe(3);
});

kernelTest('NONSEEKABLE refuses to seek and to read at an offset', async () => {
  await using m = await recorded(new Files({ pipe: FOPEN_NONSEEKABLE, file: 0 }));
  const script = (name: string) => `
file = os.open(P('${name}'), os.O_RDONLY)
say([result(os.lseek, file, 1, 0), result(os.pread, file, 1, 0), result(os.read, file, 2)])`;
  expect(await python(m.dir, script('pipe'))).toEqual([['ESPIPE', 'ESPIPE', 'co']]);
  expect(await python(m.dir, script('file'))).toEqual([[1, 'c', 'on']]);
});

/** Files whose reads and writes wait until the test lets them go on. */
class Held extends Files {
  hold: Deferred<void> | undefined = deferred();
  override async read(request: Request, args: Args<'READ'>) {
    await this.hold?.promise;
    return super.read(request, args);
  }
}

kernelTest('STREAM lets a write pass a read that waits on the same open file', async () => {
  const tree = new Held({
    stream: FOPEN_STREAM | FOPEN_DIRECT_IO,
    file: FOPEN_DIRECT_IO,
  });
  await using m = await recorded(tree);
  const script = (name: string) => `
import threading
file = os.open(P('${name}'), os.O_RDWR)
reader = threading.Thread(target=lambda: say(os.read(file, 3)))
reader.start()
told()
say(os.write(file, b'written'))
reader.join()`;
  await using stream = new Client(m.dir, script('stream'));
  await until(() => m.recorder.count('read') === 1, 'a READ');
  stream.tell();
  expect(await stream.said()).toBe(7);
  expect(m.mount.session.inflight.map(({ operation }) => operation)).toEqual(['READ']);
  await using file = new Client(m.dir, script('file'));
  await until(() => m.recorder.count('read') === 2, 'another READ');
  file.tell();
  expect(await python(m.dir, `say(len(os.listdir(DIR)))`)).toEqual([2]);
  expect(m.recorder.count('write')).toBe(1);
  tree.hold!.resolve();
  expect(await stream.said()).toBe('wri'); // read after the write had changed it
  expect(new Set([await file.said(), await file.said()])).toEqual(new Set(['con', 7])); // two threads say it
});

kernelTest('CACHE_DIR lists a directory without asking again', async () => {
  class Directories extends Tree {
    opendir({ nodeid }: Request, _: Args<'OPENDIR'>) {
      return { fh: 1, open_flags: nodeid === this.at('cached').nodeid ? FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE : 0 };
    }
  }
  const tree = new Directories({ cached: { a: '', b: '' }, not: { c: '' } });
  await using m = await recorded(tree, { entryTimeout: 3600, attrTimeout: 3600 });
  const listed = async (name: string) => {
    m.recorder.calls.length = 0;
    const names = await python(m.dir, `for i in range(3): say(sorted(os.listdir(P('${name}'))))`);
    return { names, times: m.recorder.of('readdir').filter(({ args }) => args.offset === 0n).length };
  };
  expect(await listed('cached')).toEqual({ names: Array(3).fill(['a', 'b']), times: 1 });
  expect(await listed('not')).toEqual({ names: Array(3).fill(['c']), times: 3 });
});

kernelTest('NOFLUSH closes without a FLUSH', async () => {
  const tree = new Files({ noflush: FOPEN_NOFLUSH, flush: 0 });
  await using m = await recorded(tree);
  await python(m.dir, `slurp('noflush'); slurp('flush')`);
  await until(() => m.recorder.count('release') === 2, 'both files are released');
  expect(m.recorder.of('flush').map(({ nodeid }) => nodeid)).toEqual([tree.at('flush').nodeid]);
});

kernelTest('PARALLEL_DIRECT_WRITES lets two writes of one file be under way', async () => {
  class Writes extends Files {
    hold = deferred();
    override write(request: Request, args: Args<'WRITE'>): ReturnType<Files['write']> {
      return this.hold.promise.then(() => super.write(request, args)) as never;
    }
  }
  const tree = new Writes({ parallel: FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES, serial: FOPEN_DIRECT_IO });
  await using m = await recorded(tree);
  const script = (name: string) => `say(os.pwrite(os.open(P('${name}'), os.O_WRONLY), b'xy', 2))`;
  const writes = (name: string) => m.recorder.count('write', tree.at(name).nodeid);
  await using a = new Client(m.dir, script('parallel'));
  await using b = new Client(m.dir, script('parallel'));
  await until(() => writes('parallel') === 2, 'two WRITEs of one file');
  await using c = new Client(m.dir, script('serial'));
  await until(() => writes('serial') === 1, 'a WRITE');
  await using d = new Client(m.dir, script('serial'));
  await until(() => m.recorder.count('open', tree.at('serial').nodeid) === 2, 'another client that opens it');
  await python(m.dir, `os.stat(P('parallel')); os.listdir(DIR)`);
  expect(writes('serial')).toBe(1);
  tree.hold.resolve();
  for (const client of [a, b, c, d]) expect(await client.said()).toBe(2);
  expect(writes('serial')).toBe(2);
});

kernelTest('flags, handle and lock owner of an open file come with each request for it', async () => {
  class Created extends Files {
    readonly promises: readonly Promised[] = ['FLOCK_LOCKS'];
    create(request: Request, { name, mode }: Args<'CREATE'>) {
      const node = this.add('');
      node.mode = mode;
      this.node(request.nodeid).entries.set(name, node);
      return { entry: this.given(node), open: { fh: 55 } };
    }
    setlk() {}
  }
  const tree = new Created({ direct: FOPEN_DIRECT_IO, cached: 0 });
  await using m = await recorded(tree);
  await python(
    m.dir,
    `
direct = os.open(P('direct'), os.O_RDWR | os.O_APPEND | os.O_NONBLOCK)
os.read(direct, 1)
os.write(direct, b'x')
os.close(direct)
cached = os.open(P('cached'), os.O_RDONLY)
os.read(cached, 1)
fcntl.flock(cached, fcntl.LOCK_SH)
os.close(cached)
made = os.open(P('made'), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)
os.write(made, b'x')
os.close(made)`,
  );
  await until(() => m.recorder.count('release') === 3, 'all are released');
  const calls = (name: string) =>
    Object.fromEntries(
      ['open', 'read', 'write', 'flush', 'setlk', 'release'].map((method) => [
        method,
        m.recorder.of(method, tree.at(name).nodeid)[0]?.args,
      ]),
    );

  const { open, read, write, flush, release } = calls('direct');
  expect(open.flags & (O_ACCMODE | O_APPEND | O_NONBLOCK)).toBe(O_RDWR | O_APPEND | O_NONBLOCK);
  for (const { flags } of [read, write, release]) expect(flags & ~O_CREAT).toBe(open.flags);
  for (const { fh } of [read, write, flush, release]) expect(fh).toBe(100);
  expect(read.read_flags & FUSE_READ_LOCKOWNER).not.toBe(0);
  expect(write.write_flags & FUSE_WRITE_LOCKOWNER).not.toBe(0);
  expect(flush.lock_owner).not.toBe(0n);
  expect([read.lock_owner, write.lock_owner]).toEqual([flush.lock_owner, flush.lock_owner]);
  expect(release.release_flags).toBe(0);

  const cached = calls('cached');
  expect(cached.read.lock_owner, 'the page cache reads for nobody').toBeUndefined();
  expect(cached.release.release_flags).toBe(FUSE_RELEASE_FLOCK_UNLOCK);
  expect(cached.release.lock_owner).toBe(cached.setlk.owner);

  const { args } = m.recorder.last('create');
  expect(args).toMatchObject({ name: 'made', mode: S_IFREG | 0o640 });
  expect(args.flags & (O_CREAT | O_EXCL | O_ACCMODE)).toBe(O_CREAT | O_EXCL | O_WRONLY);
  const made = calls('made');
  expect([made.write.fh, made.flush.fh, made.release.fh]).toEqual([55, 55, 55]);
});

kernelTest('files and directories are opened without a message only where that was promised', async () => {
  class Plain extends Tree {
    readonly promises: readonly Promised[];
    constructor(promises: readonly Promised[]) {
      super({ file: 'content' });
      this.promises = promises;
    }
  }
  const requests = async (promises: readonly Promised[]) => {
    const counts = { OPEN: 0, RELEASE: 0, OPENDIR: 0, RELEASEDIR: 0 } as Record<string, number>;
    {
      await using m = await mounted(new Plain(promises), {
        trace: (event) => {
          if (event.kind === 'request' && event.operation in counts) counts[event.operation]!++;
        },
      });
      const script = `for i in range(3): say([slurp('file'), os.listdir(DIR)])`;
      expect(await python(m.dir, script)).toEqual(Array(3).fill(['content', ['file']]));
    }
    return counts;
  };
  expect(await requests([])).toEqual({ OPEN: 3, RELEASE: 3, OPENDIR: 3, RELEASEDIR: 3 });
  expect(await requests(['NO_OPEN_SUPPORT', 'NO_OPENDIR_SUPPORT'])).toEqual({
    OPEN: 1,
    RELEASE: 0,
    OPENDIR: 1,
    RELEASEDIR: 0,
  });
});

kernelTest('O_TRUNC comes with the open only where that was promised; else as a change of size', async () => {
  class Truncating extends Files {
    readonly promises: readonly Promised[] = ['ATOMIC_O_TRUNC'];
    override open(request: Request, args: Args<'OPEN'>) {
      if (args.flags & O_TRUNC) this.node(request.nodeid).data = Buffer.alloc(0);
      return super.open(request, args);
    }
  }
  for (const [Kind, truncs, sizes] of [
    [Files, 0, [0]],
    [Truncating, O_TRUNC, []],
  ] as const) {
    const tree = new Kind({ file: 0 });
    await using m = await recorded(tree);
    expect(await python(m.dir, `open(P('file'), 'w').close(); say(os.stat(P('file')).st_size)`)).toEqual([0]);
    expect(tree.at('file').data).toHaveLength(0);
    expect(m.recorder.last('open').args.flags & O_TRUNC).toBe(truncs);
    expect(m.recorder.of('setattr').map(({ args }) => args.size)).toEqual(sizes);
  }
});

kernelTest('an ioctl of a directory says that it is one', async () => {
  class Directories extends Tree {
    readonly promises: readonly Promised[] = ['HAS_IOCTL_DIR'];
    ioctl(_: Request, __: Args<'IOCTL'>) {
      return { result: 0, data: Buffer.from('answer') };
    }
  }
  await using m = await recorded(new Directories({}));
  const own = `(2 << 30) | (6 << 16) | (ord('r') << 8) | 1`; // _IOR('r', 1, char[6])
  const script = `say(fcntl.ioctl(os.open(DIR, os.O_RDONLY), ${own}, b'      '))`;
  expect(await python(m.dir, script)).toEqual(['answer']);
  expect(m.recorder.last('ioctl')).toMatchObject({ nodeid: 1, args: { flags: FUSE_IOCTL_DIR, out_size: 6 } });
  expect(m.mount.session.agreement!.agreed.has('HAS_IOCTL_DIR')).toBe(true);
});

kernelTest(
  'directories are read with attributes where readdirplus is served and the reader looks at them',
  async () => {
    class Plus extends Tree {
      readdirplus({ nodeid }: Request, { offset }: Args<'READDIRPLUS'>, reply: DirectoryReply): void {
        let off = 0n;
        for (const [name, node] of this.node(nodeid).entries)
          if (++off > offset && !reply.add({ name, ino: BigInt(node.nodeid), type: 8, off }, () => this.given(node)))
            return;
      }
    }
    const many = Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`a file with number ${i}`, '']));
    {
      const tree = new Plus({ names: many, attributes: many });
      await using m = await recorded(tree, { attrTimeout: 3600, entryTimeout: 3600 });
      const kinds = (name: string) =>
        m.recorder
          .of('readdirplus', tree.at(name).nodeid)
          .map(() => 'plus')
          .concat(m.recorder.of('readdir', tree.at(name).nodeid).map(() => 'plain'));
      expect(await python(m.dir, `say(len(os.listdir(P('names'))))`)).toEqual([2000]);
      expect(kinds('names').filter((kind) => kind === 'plus')).toHaveLength(1); // the first is, to see whether it pays
      expect(kinds('names')).toContain('plain');
      const script = `say(sum(entry.stat().st_nlink for entry in os.scandir(P('attributes'))))`;
      expect(await python(m.dir, script)).toEqual([2000]);
      expect(kinds('attributes').filter((kind) => kind === 'plus').length).toBeGreaterThan(1);
    }
    {
      await using m = await recorded(new Tree({ a: '', b: '' }));
      expect(m.mount.session.agreement!.wanted.has('DO_READDIRPLUS')).toBe(false);
      expect(await python(m.dir, `say(sum(1 for entry in os.scandir(DIR) if entry.stat()))`)).toEqual([2]);
      expect(m.recorder.count('readdir')).toBeGreaterThan(0);
    }
  },
);

kernelTest('what a session wants by itself is agreed with this kernel, and nothing else', async () => {
  await using m = await mounted(new Tree({}));
  const { agreed, offered, wanted, reply, minor } = m.mount.session.agreement!;
  expect(minor).toBeGreaterThanOrEqual(31);
  expect([...agreed].sort()).toEqual([...wanted].filter((flag) => offered.has(flag)).sort());
  // Since 7.40 all of them are offered.
  if (minor >= 40) expect([...wanted].filter((flag) => !offered.has(flag))).toEqual([]);
  for (const duty of ['ATOMIC_O_TRUNC', 'POSIX_LOCKS', 'WRITEBACK_CACHE', 'DONT_MASK', 'NO_OPEN_SUPPORT'] as const)
    expect(wanted.has(duty), duty).toBe(false);
  expect(reply.max_write).toBe(1 << 20);
});

kernelTest('a write of 1 MiB is one request', async () => {
  await using m = await recorded(new Files({ direct: FOPEN_DIRECT_IO, cached: 0 }));
  // Whole pages that are there: of others the kernel takes what it finds.
  const script = `
import mmap
data = mmap.mmap(-1, 1 << 20)
data[:] = b'x' * (1 << 20)
for name in 'direct', 'cached':
    os.write(os.open(P(name), os.O_WRONLY), data)`;
  await python(m.dir, script);
  expect(m.recorder.of('write').map(({ args }) => args.size)).toEqual([1 << 20, 1 << 20]);
});

kernelTest('statx asks for a birth time, and stat shows it', async () => {
  class Born extends Files {
    statx({ nodeid }: Request, _: Args<'STATX'>) {
      const { mode, size, ino, mtime } = this.attr(this.node(nodeid));
      const time = (tv_sec: number) => ({ tv_sec, tv_nsec: 7 });
      const times = { atime: time(1), btime: time(2_000_000_001), ctime: time(3), mtime: time(mtime) };
      return { flags: 0, stat: { mask: STATX_BASIC_STATS | STATX_BTIME, mode, size, ino, ...times } };
    }
  }
  await using m = await recorded(new Born({ file: 0 }));
  expect(
    await python(m.dir, `import subprocess; say(subprocess.check_output(['stat', '-c', '%W %s', P('file')]).strip())`),
  ).toEqual(['2000000001 7']);
  expect(m.recorder.last('statx').args.sx_mask & STATX_BTIME).toBe(STATX_BTIME);
});

kernelTest('setxattr comes in its long form, and says when it has to clear setgid', async () => {
  class Xattrs extends Files {
    readonly promises: readonly Promised[] = ['POSIX_ACL'];
    setxattr(_: Request, __: Args<'SETXATTR'>) {}
    removexattr(_: Request, __: Args<'REMOVEXATTR'>) {}
  }
  const tree = new Xattrs({ file: 0 });
  Object.assign(tree.at('file'), { mode: S_IFREG | S_ISGID | 0o775, uid: 1000, gid: 2000 });
  await using m = await recorded(tree, { allowOther: true });
  await python(
    m.dir,
    `
os.setxattr(P('file'), 'user.name', b'value', os.XATTR_CREATE)
os.setgroups([]); os.setgid(1000); os.setuid(1000)
entries = [(1, 7, 0xffffffff), (2, 4, 1234), (4, 5, 0xffffffff), (16, 7, 0xffffffff), (32, 5, 0xffffffff)]
acl = struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *entry) for entry in entries)
os.setxattr(P('file'), 'system.posix_acl_access', acl)`,
  );
  const [plain, acl] = m.recorder.of('setxattr');
  expect(plain!.args).toMatchObject({ name: 'user.name', flags: XATTR_CREATE, setxattr_flags: 0, size: 5 });
  expect(plain!.args.value).toEqual(Buffer.from('value'));
  expect(acl!.args).toMatchObject({ name: 'system.posix_acl_access', size: 44 });
  expect(acl!.args.setxattr_flags).toBe(FUSE_SETXATTR_ACL_KILL_SGID);
});

kernelTest(
  'who creates comes with the group that it shares with the directory, and with security contexts',
  async () => {
    const tree = new Tree({ shared: {}, other: {} });
    tree.at('shared').gid = 4242;
    tree.at('other').gid = 4343;
    await using m = await recorded(tree, { allowOther: true });
    await python(
      m.dir,
      `
os.setgroups([4141, 4242]); os.setgid(1000); os.setuid(1001)
os.mkdir(P('shared/a'), 0o750)
os.mkdir(P('other/b'))`,
    );
    const [shared, other] = m.recorder.of('mkdir');
    expect(shared).toMatchObject({ uid: 1001, gid: 1000, args: { name: 'a', mode: 0o750, umask: 0o022 } });
    expect(shared!.extensions).toEqual({ contexts: [], groups: [4242] });
    expect(other!.extensions).toEqual({ contexts: [], groups: [] });
  },
);
