/**
 * Every operation that an ordinary mount can send: made to come by a real process, seen at its handler with
 * the arguments that the process gave, its answer accepted by the kernel and seen by the process. A line a
 * case: what the client does, what it gets, what the handler got.
 */
import { expect } from 'vitest';
import { EEXIST, ENODATA, ENOENT, ENOLCK, ENOSYS, ENXIO } from '../../src/abi/errno.ts';
import * as c from '../../src/abi/fuse-constants.ts';
import * as p from '../../src/abi/posix.ts';
import { pageSize } from '../../src/abi/syscall.ts';
import type { Promised } from '../../src/protocol/filesystem.ts';
import type { Args } from '../../src/protocol/operations.ts';
import type { Request } from '../../src/protocol/request.ts';
import { kernelTest, mounted } from '../support.ts';
import { Client } from './python.ts';
import { Recorder, Tree, type TreeNode } from './tree.ts';

/** A tree with an answer to everything. */
class Everything extends Tree {
  readonly promises: readonly Promised[] = ['POSIX_LOCKS', 'FLOCK_LOCKS'];
  readonly xattrs = new Map<string, Buffer>();
  #fh = 10;

  #made(request: Request, name: string, mode: number): TreeNode {
    const node = this.add('');
    Object.assign(node, { mode, uid: request.uid, gid: request.gid });
    this.node(request.nodeid).entries.set(name, node);
    return node;
  }
  symlink(request: Request, { name, target }: Args<'SYMLINK'>) {
    const node = this.#made(request, name, p.S_IFLNK | 0o777);
    node.data = Buffer.from(target);
    return this.given(node);
  }
  readlink({ nodeid }: Request) {
    return this.node(nodeid).data;
  }
  mknod(request: Request, { name, mode }: Args<'MKNOD'>) {
    return this.given(this.#made(request, name, mode));
  }
  link({ nodeid }: Request, { oldnodeid, newname }: Args<'LINK'>) {
    const node = this.node(oldnodeid);
    this.node(nodeid).entries.set(newname, node);
    return this.given(node);
  }
  unlink({ nodeid }: Request, { name }: Args<'UNLINK'>) {
    this.node(nodeid).entries.delete(name);
  }
  rmdir({ nodeid }: Request, { name }: Args<'RMDIR'>) {
    this.node(nodeid).entries.delete(name);
  }
  rename({ nodeid }: Request, { newdir, oldname, newname, flags }: Args<'RENAME2'>) {
    const from = this.node(nodeid).entries;
    const to = this.node(newdir).entries;
    const there = to.get(newname);
    if (flags & p.RENAME_NOREPLACE && there) throw EEXIST;
    to.set(newname, from.get(oldname)!);
    if (flags & p.RENAME_EXCHANGE) from.set(oldname, there!);
    else from.delete(oldname);
  }
  open(_: Request, __: Args<'OPEN'>) {
    return { fh: this.#fh++ };
  }
  create(request: Request, { name, mode }: Args<'CREATE'>) {
    return { entry: this.given(this.#made(request, name, mode)), open: { fh: this.#fh++ } };
  }
  tmpfile(request: Request, { mode }: Args<'TMPFILE'>) {
    const node = this.add('');
    Object.assign(node, { mode, uid: request.uid, gid: request.gid });
    return { entry: this.given(node), open: { fh: this.#fh++ } };
  }
  flush() {}
  release() {}
  fsync() {}
  opendir() {
    return { fh: 7 };
  }
  releasedir() {}
  fsyncdir() {}
  access(_: Request, { mask }: Args<'ACCESS'>) {
    if (mask & p.W_OK) throw Object.assign(new Error('not to be written'), { code: 'EACCES' });
  }
  statfs() {
    return { bsize: 4096, frsize: 512, blocks: 1000, bfree: 600, bavail: 500, files: 70, ffree: 30, namelen: 143 };
  }
  statx({ nodeid }: Request, _: Args<'STATX'>) {
    const { ino, mode, size } = this.attr(this.node(nodeid));
    const time = (tv_sec: number) => ({ tv_sec, tv_nsec: 0 });
    const times = { atime: time(1), btime: time(77), ctime: time(3), mtime: time(4) };
    return { flags: 0, stat: { mask: p.STATX_BASIC_STATS | p.STATX_BTIME, ino, mode, size, ...times } };
  }
  fallocate(_: Request, __: Args<'FALLOCATE'>) {}
  lseek({ nodeid }: Request, { offset, whence }: Args<'LSEEK'>) {
    if (offset >= this.node(nodeid).data.length) throw ENXIO;
    return { offset: whence === p.SEEK_DATA ? offset : this.node(nodeid).data.length };
  }
  copy_file_range({ nodeid }: Request, { nodeid_out, off_in, off_out, len }: Args<'COPY_FILE_RANGE_64'>) {
    const data = this.node(nodeid).data.subarray(off_in, off_in + len);
    const target = this.node(nodeid_out);
    target.data = Buffer.concat([target.data], Math.max(target.data.length, off_out + data.length));
    data.copy(target.data, off_out);
    return { bytes_copied: data.length };
  }
  setxattr(_: Request, { name, value, flags }: Args<'SETXATTR'>) {
    if (flags & p.XATTR_CREATE && this.xattrs.has(name)) throw EEXIST;
    if (flags & p.XATTR_REPLACE && !this.xattrs.has(name)) throw ENODATA;
    this.xattrs.set(name, Buffer.from(value));
  }
  getxattr(_: Request, { name }: Args<'GETXATTR'>) {
    const value = this.xattrs.get(name);
    if (value === undefined) throw ENODATA;
    return value;
  }
  listxattr(_: Request, __: Args<'LISTXATTR'>) {
    return Buffer.from([...this.xattrs.keys()].map((name) => `${name}\0`).join(''));
  }
  removexattr(_: Request, { name }: Args<'REMOVEXATTR'>) {
    if (!this.xattrs.delete(name)) throw ENODATA;
  }
  getlk(_: Request, { lk }: Args<'GETLK'>) {
    return { lk: lk.start === 5n ? { start: 2n, end: 8n, type: p.F_WRLCK, pid: 1 } : { ...lk, type: p.F_UNLCK } };
  }
  setlk(_: Request, { lk }: Args<'SETLKW'>) {
    if (lk.start === 5n) throw ENOLCK;
  }
  ioctl(_: Request, { cmd, data, out_size }: Args<'IOCTL'>) {
    if (cmd === FS_IOC_GETFLAGS) return { data: Buffer.from([0x10, 0, 0, 0, 0, 0, 0, 0]).subarray(0, out_size) };
    return { result: data.length, data: Buffer.from(data).reverse().subarray(0, out_size) };
  }
  poll(_: Request, { events }: Args<'POLL'>) {
    return { revents: events & p.POLLOUT };
  }
}
const FS_IOC_GETFLAGS = 0x8008_6601;

/** What a client does, in Python; what it gets; and the calls that this brought: method, node, some of its arguments. */
type Case = readonly [script: string, gets: unknown, ...calls: readonly Expected[]];
type Expected = readonly [method: string, at: string, args: object];

/** Functions that Python lacks. */
const LIBRARY = `
AT_FDCWD = -100
u64, i64 = ctypes.c_ulonglong, ctypes.c_longlong
def renameat2(old, new, flags):
    return C('renameat2', AT_FDCWD, P(old), AT_FDCWD, P(new), flags)
def fallocate(file, mode, offset, length):
    return C('fallocate', file, mode, i64(offset), i64(length))
def getxattr(name, attribute, size):
    buffer = ctypes.create_string_buffer(size + 1)
    length = C('getxattr', P(name), attribute, buffer if size else None, size)
    return buffer.raw[:length] if size else length
def listxattr(name, size):
    buffer = ctypes.create_string_buffer(size + 1)
    length = C('listxattr', P(name), buffer if size else None, size)
    return buffer.raw[:length] if size else length
def opened(name, flags=os.O_RDWR, mode=0o600):
    fd = os.open(P(name), flags, mode)
    return fd
def statx(name, mask):
    buffer = ctypes.create_string_buffer(256)
    C('statx', AT_FDCWD, P(name), 0, mask, buffer)
    return struct.unpack_from('q', buffer, 80)[0]
def flock(type, start, length):
    return struct.pack('hhqqi', type, 0, start, length, 0)
def lock(file, command, *lock):
    return list(struct.unpack('hhqqi', fcntl.fcntl(file, command, flock(*lock))))[:4]
while line := told():
    try:
        say(eval(json.loads(line)))
    except OSError as error:
        say(errno.errorcode[error.errno])
`;

/** Does one case after the other on one mount, each of them seen by itself. Nothing is cached: all requests come. */
async function perform(tree: Tree, cases: readonly Case[]): Promise<void> {
  const recorder = new Recorder(tree);
  await using m = await mounted(recorder.filesystem, { attrTimeout: 0, entryTimeout: 0 });
  await using client = new Client(m.dir, LIBRARY);
  for (const [script, gets, ...calls] of cases) {
    recorder.calls.length = 0;
    client.tell(JSON.stringify(script));
    expect(await client.said(), script).toEqual(gets);
    for (const [method, at, args] of calls) {
      const seen = recorder.of(method).map((call) => ({ nodeid: call.nodeid, args: call.args }));
      expect(seen, `${script}: ${method}`).toContainEqual({
        nodeid: tree.at(at).nodeid,
        args: expect.objectContaining(args),
      });
    }
  }
}

kernelTest('names: from lookup to rename', async () => {
  const tree = new Everything({ file: 'content', dir: { inner: '' }, empty: {} });
  const id = (path: string) => tree.at(path).nodeid;
  await perform(tree, [
    [`os.stat(P('file')).st_ino`, id('file'), ['lookup', '', { name: 'file' }]],
    [`os.stat(P('dir/inner')).st_ino`, id('dir/inner'), ['lookup', 'dir', { name: 'inner' }]],
    [`os.stat(P(b'\\xff\\xc3\\xa9'))`, 'ENOENT', ['lookup', '', { name: '\udcffé' }]],
    [`os.mkdir(P('new'), 0o751)`, null, ['mkdir', '', { name: 'new', mode: 0o751, umask: 0o022 }]],
    [`os.rmdir(P('empty'))`, null, ['rmdir', '', { name: 'empty' }]],
    [`os.symlink('the/target', P('link'))`, null, ['symlink', '', { name: 'link', target: 'the/target' }]],
    [`os.readlink(P('link'))`, 'the/target', ['readlink', 'link', {}]],
    [
      `os.mkfifo(P('fifo'), 0o640)`,
      null,
      ['mknod', '', { name: 'fifo', mode: p.S_IFIFO | 0o640, rdev: 0, umask: 0o022 }],
    ],
    [
      `os.mknod(P('device'), 0o20600, os.makedev(1, 3))`,
      null,
      ['mknod', '', { name: 'device', mode: p.S_IFCHR | 0o600, rdev: 0x103 }],
    ],
    [`os.link(P('file'), P('dir/linked'))`, null, ['link', 'dir', { oldnodeid: id('file'), newname: 'linked' }]],
    [`os.unlink(P('dir/linked'))`, null, ['unlink', 'dir', { name: 'linked' }]],
    [
      `os.rename(P('fifo'), P('dir/moved'))`,
      null,
      ['rename', '', { oldname: 'fifo', newname: 'moved', newdir: id('dir'), flags: 0 }],
    ],
    [`renameat2('link', 'dir/moved', 1)`, 'EEXIST'], // the kernel has looked already
    [
      `renameat2('link', 'dir/free', 1)`,
      0,
      ['rename', '', { oldname: 'link', newname: 'free', newdir: id('dir'), flags: p.RENAME_NOREPLACE }],
    ],
    [
      `renameat2('dir/moved', 'file', 2)`,
      0,
      ['rename', 'dir', { oldname: 'moved', newname: 'file', newdir: 1, flags: p.RENAME_EXCHANGE }],
    ],
    [`os.stat(P('dir/moved')).st_ino`, id('file')],
    [
      `os.close(opened('made', os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o640))`,
      null,
      ['create', '', { name: 'made', mode: p.S_IFREG | 0o640, umask: 0o022 }],
    ],
    [`os.close(opened('dir', os.O_TMPFILE | os.O_RDWR, 0o600))`, null, ['tmpfile', 'dir', { mode: p.S_IFREG | 0o600 }]],
    [
      `sorted(os.listdir(P('dir')))`,
      ['free', 'inner', 'moved'],
      ['opendir', 'dir', {}],
      ['readdir', 'dir', { fh: 7, offset: 0n }],
    ],
    [`os.fsync(opened('dir', os.O_RDONLY))`, null, ['fsyncdir', 'dir', { fh: 7, fsync_flags: 0 }]],
  ]);
});

kernelTest('attributes: getattr, statx, setattr, access, statfs', async () => {
  const tree = new Everything({ file: 'content' });
  const { FATTR_MODE, FATTR_UID, FATTR_GID, FATTR_SIZE, FATTR_FH, FATTR_ATIME, FATTR_MTIME } = c;
  const valid = (...flags: number[]) => {
    const all = flags.reduce((sum, flag) => sum | flag, 0);
    // ctime and lock owner may come beside what was asked for
    return expect.toSatisfy((bits: number) => (bits & ~(c.FATTR_CTIME | c.FATTR_LOCKOWNER)) === all);
  };
  await perform(tree, [
    [`os.stat(P('file')).st_size`, 7, ['getattr', 'file', { getattr_flags: 0, fh: undefined }]],
    [`os.lseek(opened('file'), 0, os.SEEK_END)`, 7, ['getattr', 'file', { getattr_flags: c.FUSE_GETATTR_FH, fh: 10 }]],
    [`statx('file', 0xfff)`, 77, ['statx', 'file', { sx_mask: 0xfff, getattr_flags: 0, fh: undefined }]],
    [`os.chmod(P('file'), 0o4712)`, null, ['setattr', 'file', { valid: valid(FATTR_MODE), mode: p.S_IFREG | 0o4712 }]],
    [
      `os.chown(P('file'), 12, 34)`,
      null,
      // the kernel itself clears setuid: HANDLE_KILLPRIV is not promised
      [
        'setattr',
        'file',
        { valid: valid(FATTR_UID, FATTR_GID, FATTR_MODE), uid: 12, gid: 34, mode: p.S_IFREG | 0o712 },
      ],
    ],
    [`os.chown(P('file'), -1, 35)`, null, ['setattr', 'file', { valid: valid(FATTR_GID), uid: undefined, gid: 35 }]],
    [`os.truncate(P('file'), 5)`, null, ['setattr', 'file', { valid: valid(FATTR_SIZE), size: 5, fh: undefined }]],
    [
      `os.ftruncate(opened('file'), 4)`,
      null,
      ['setattr', 'file', { valid: valid(FATTR_SIZE, FATTR_FH), size: 4, fh: 11 }],
    ],
    [
      `os.utime(P('file'), ns=(5_000_000_006, -7_000_000_001))`,
      null,
      [
        'setattr',
        'file',
        {
          valid: valid(FATTR_ATIME, FATTR_MTIME),
          ...{ atime: 5, atimensec: 6, mtime: -8, mtimensec: 999_999_999 },
        },
      ],
    ],
    [
      `os.utime(P('file'))`,
      null,
      ['setattr', 'file', { valid: valid(FATTR_ATIME, FATTR_MTIME, c.FATTR_ATIME_NOW, c.FATTR_MTIME_NOW) }],
    ],
    [`os.access(P('file'), os.R_OK)`, true, ['access', 'file', { mask: p.R_OK }]],
    [`os.access(P('file'), os.W_OK)`, false, ['access', 'file', { mask: p.W_OK }]],
    [`[os.chdir(P()), os.chdir('/')]`, [null, null], ['access', '', { mask: p.X_OK }]],
    [
      `list(os.statvfs(P('file')))[:8] + [os.statvfs(P('file')).f_namemax]`,
      [4096, 512, 1000, 600, 500, 70, 30, 30, 143],
      ['statfs', 'file', {}],
    ],
  ]);
});

kernelTest('data: from open to copy_file_range', async () => {
  const tree = new Everything({ file: '0123456789', target: '' });
  const own = `(3 << 30) | (4 << 16) | (ord('r') << 8) | 9`; // _IOWR('r', 9, char[4])
  const cmd = ((3 << 30) | (4 << 16) | (0x72 << 8) | 9) >>> 0;
  await perform(tree, [
    [`(file := opened('file')) > 2`, true, ['open', 'file', { open_flags: 0 }]],
    [`(target := opened('target')) > 2`, true, ['open', 'target', {}]],
    [`os.pread(file, 4, 3)`, '3456', ['read', 'file', { fh: 10, offset: 0, size: pageSize }]],
    [`os.pwrite(file, b'abc', 8)`, 3, ['write', 'file', { fh: 10, offset: 8, size: 3, data: Buffer.from('abc') }]],
    [`os.fsync(file)`, null, ['fsync', 'file', { fh: 10, fsync_flags: 0 }]],
    [`os.fdatasync(file)`, null, ['fsync', 'file', { fh: 10, fsync_flags: c.FUSE_FSYNC_FDATASYNC }]],
    [`fallocate(file, 0, 5, 1 << 33)`, 0, ['fallocate', 'file', { fh: 10, mode: 0, offset: 5, length: 2 ** 33 }]],
    [`fallocate(file, 3, 1 << 12, 99)`, 0, ['fallocate', 'file', { mode: 3, offset: 4096, length: 99 }]],
    [`os.lseek(file, 2, os.SEEK_DATA)`, 2, ['lseek', 'file', { fh: 10, offset: 2, whence: p.SEEK_DATA }]],
    [`os.lseek(file, 2, os.SEEK_HOLE)`, 11, ['lseek', 'file', { offset: 2, whence: p.SEEK_HOLE }]],
    [`os.lseek(file, 11, os.SEEK_DATA)`, 'ENXIO', ['lseek', 'file', { offset: 11 }]],
    [
      `os.copy_file_range(file, target, 5, 6, 1)`,
      5,
      ['copy_file_range', 'file', { fh_in: 10, off_in: 6, nodeid_out: 3, fh_out: 11, off_out: 1, len: 5, flags: 0n }],
    ],
    [`slurp('target')`, '\u000067abc'],
    [
      `fcntl.ioctl(file, ${own}, b'wxyz')`,
      'zyxw',
      ['ioctl', 'file', { fh: 10, cmd, flags: 0, in_size: 4, out_size: 4, data: Buffer.from('wxyz') }],
    ],
    [
      `list(fcntl.ioctl(file, ${FS_IOC_GETFLAGS}, bytes(4)))`,
      [0x10, 0, 0, 0],
      ['ioctl', 'file', { cmd: FS_IOC_GETFLAGS, in_size: 0 }],
    ],
    [
      `[(p := select.poll()), p.register(file, select.POLLIN | select.POLLOUT), p.poll()[0][1]][2]`,
      p.POLLOUT,
      ['poll', 'file', { fh: 10 }],
    ],
    [`os.close(file)`, null, ['flush', 'file', { fh: 10 }]],
  ]);
});

kernelTest('extended attributes, with the sizes that getxattr and listxattr are asked for', async () => {
  const tree = new Everything({ file: '' });
  await perform(tree, [
    [`os.listxattr(P('file'))`, []],
    [
      `os.setxattr(P('file'), 'user.one', b'value', os.XATTR_CREATE)`,
      null,
      ['setxattr', 'file', { name: 'user.one', value: Buffer.from('value'), flags: p.XATTR_CREATE, size: 5 }],
    ],
    [`os.setxattr(P('file'), 'user.one', b'', os.XATTR_CREATE)`, 'EEXIST'],
    [
      `os.setxattr(P('file'), 'user.two', b'x', os.XATTR_REPLACE)`,
      'ENODATA',
      ['setxattr', 'file', { flags: p.XATTR_REPLACE }],
    ],
    [`os.setxattr(P('file'), 'trusted.two', b'')`, null, ['setxattr', 'file', { value: Buffer.alloc(0), flags: 0 }]],
    [`getxattr('file', b'user.one', 0)`, 5, ['getxattr', 'file', { name: 'user.one', size: 0 }]],
    [`getxattr('file', b'user.one', 5)`, 'value', ['getxattr', 'file', { name: 'user.one', size: 5 }]],
    [`getxattr('file', b'user.one', 4)`, 'ERANGE', ['getxattr', 'file', { size: 4 }]],
    [`getxattr('file', b'trusted.two', 0)`, 0],
    [`getxattr('file', b'user.absent', 9)`, 'ENODATA'],
    [`listxattr('file', 0)`, 21, ['listxattr', 'file', { size: 0 }]],
    [`listxattr('file', 21)`, 'user.one\0trusted.two\0', ['listxattr', 'file', { size: 21 }]],
    [`listxattr('file', 20)`, 'ERANGE', ['listxattr', 'file', { size: 20 }]],
    [`os.setxattr(P('file'), 'user.big', b'b' * 65536)`, null, ['setxattr', 'file', { size: 65536 }]],
    [`os.getxattr(P('file'), 'user.big') == b'b' * 65536`, true],
    [`os.removexattr(P('file'), 'user.one')`, null, ['removexattr', 'file', { name: 'user.one' }]],
    [`os.removexattr(P('file'), 'user.one')`, 'ENODATA'],
    [`sorted(os.listxattr(P('file')))`, ['trusted.two', 'user.big']],
  ]);
});

kernelTest('locks: getlk, setlk, flock', async () => {
  const tree = new Everything({ file: 'content' });
  const lk = (type: number, start: bigint, end: bigint) => ({ lk: expect.objectContaining({ type, start, end }) });
  await perform(tree, [
    [`(file := opened('file')) > 2`, true],
    [
      `lock(file, fcntl.F_GETLK, fcntl.F_WRLCK, 5, 2)[:4]`,
      [p.F_WRLCK, 0, 2, 7],
      ['getlk', 'file', { fh: 10, ...lk(p.F_WRLCK, 5n, 6n), lk_flags: 0 }],
    ],
    [
      `lock(file, fcntl.F_GETLK, fcntl.F_RDLCK, 6, 0)[0]`,
      p.F_UNLCK,
      ['getlk', 'file', lk(p.F_RDLCK, 6n, p.OFFSET_MAX)],
    ],
    [
      `fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 100)`,
      null,
      ['setlk', 'file', { ...lk(p.F_WRLCK, 100n, 109n), sleep: false, lk_flags: 0 }],
    ],
    [`fcntl.lockf(file, fcntl.LOCK_SH, 1, 5)`, 'ENOLCK', ['setlk', 'file', { ...lk(p.F_RDLCK, 5n, 5n), sleep: true }]],
    [`fcntl.lockf(file, fcntl.LOCK_UN)`, null, ['setlk', 'file', lk(p.F_UNLCK, 0n, p.OFFSET_MAX)]],
    [
      `fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)`,
      null,
      ['setlk', 'file', { ...lk(p.F_RDLCK, 0n, p.OFFSET_MAX), sleep: false, lk_flags: c.FUSE_LK_FLOCK }],
    ],
    [`fcntl.flock(file, fcntl.LOCK_EX)`, null, ['setlk', 'file', { ...lk(p.F_WRLCK, 0n, p.OFFSET_MAX), sleep: true }]],
  ]);
});

kernelTest('offsets and sizes past 2^53 are answered as Linux would, and reach no handler', async () => {
  class Direct extends Everything {
    override open(request: Request, args: Args<'OPEN'>) {
      return { ...super.open(request, args), open_flags: c.FOPEN_DIRECT_IO };
    }
  }
  const tree = new Direct({ file: 'content', target: 'target' });
  const recorder = new Recorder(tree);
  await using m = await mounted(recorder.filesystem, { attrTimeout: 0 });
  await using client = new Client(m.dir, LIBRARY);
  const cases: [string, unknown][] = [
    [`(file := opened('file')) > 2`, true],
    [`(target := opened('target')) > 2`, true],
    [`os.pread(file, 10, 1 << 60)`, ''],
    [`os.pwrite(file, b'x', 1 << 60)`, 'EFBIG'],
    [`os.lseek(file, 1 << 60, os.SEEK_DATA)`, 'ENXIO'],
    [`os.lseek(file, 1 << 60, os.SEEK_HOLE)`, 'ENXIO'],
    [`fallocate(file, 1, 1 << 60, 1)`, 'EFBIG'],
    [`fallocate(file, 1, 0, 1 << 60)`, 'EFBIG'],
    [`os.truncate(P('file'), 1 << 60)`, 'EFBIG'],
    [`os.copy_file_range(file, target, 1, 0, 1 << 60)`, 'EFBIG'],
    [`os.copy_file_range(file, target, 1, 1 << 60, 0)`, 0],
  ];
  for (const [script, gets] of cases) {
    client.tell(JSON.stringify(script));
    expect(await client.said(), script).toEqual(gets);
  }
  const reached = new Set(recorder.calls.map(({ method }) => method));
  for (const method of ['read', 'write', 'lseek', 'fallocate', 'setattr', 'copy_file_range'])
    expect(reached, method).not.toContain(method);
});

kernelTest('copy_file_range comes in its 64-bit form, and in the other where that is answered ENOSYS', async () => {
  let refused = 0;
  class Older extends Everything {
    override copy_file_range(request: Request, args: Args<'COPY_FILE_RANGE_64'>) {
      if (refused++ === 0) throw ENOSYS;
      return super.copy_file_range(request, args);
    }
  }
  for (const [Kind, forms] of [
    [Everything, ['COPY_FILE_RANGE_64', 'COPY_FILE_RANGE_64']],
    [Older, ['COPY_FILE_RANGE_64', 'COPY_FILE_RANGE', 'COPY_FILE_RANGE']],
  ] as const) {
    const seen: string[] = [];
    const tree = new Kind({ file: 'content', target: '' });
    await using m = await mounted(tree, {
      trace: (event) => {
        if (event.kind === 'request' && event.operation.startsWith('COPY')) seen.push(event.operation);
      },
    });
    await using client = new Client(m.dir, LIBRARY);
    for (let i = 0; i < 2; i++) {
      client.tell(JSON.stringify(`os.copy_file_range(opened('file'), opened('target'), 1 << 40, 2, 0)`));
      expect(await client.said()).toBe(5);
    }
    expect(tree.at('target').data.toString()).toBe('ntent');
    if (m.mount.session.agreement!.minor >= 45) expect(seen).toEqual(forms);
    else expect(seen).toContain('COPY_FILE_RANGE');
  }
});

/** What the kernel makes of ENOSYS, for each operation that it then asks for no more: what clients get, twice. */
const ABSENT: readonly (readonly [operation: string, script: string, gets: unknown, times: number])[] = [
  ['FLUSH', `os.close(opened('file'))`, null, 1],
  ['FSYNC', `os.fsync(opened('file'))`, null, 1],
  ['FSYNCDIR', `os.fsync(opened('', os.O_RDONLY))`, null, 1],
  ['ACCESS', `os.access(P('file'), os.W_OK)`, true, 1],
  ['SETXATTR', `os.setxattr(P('file'), 'user.x', b'')`, 'ENOTSUP', 1],
  ['GETXATTR', `os.getxattr(P('file'), 'user.x')`, 'ENOTSUP', 1],
  ['LISTXATTR', `listxattr('file', 9)`, 'ENOTSUP', 1],
  ['REMOVEXATTR', `os.removexattr(P('file'), 'user.x')`, 'ENOTSUP', 1],
  ['STATX', `statx('file', 0xfff)`, 0, 1],
  ['FALLOCATE', `fallocate(opened('file'), 0, 0, 1)`, 'ENOTSUP', 1],
  ['LSEEK', `os.lseek(opened('file'), 1, os.SEEK_HOLE)`, 7, 1],
  ['POLL', `[(p := select.poll()), p.register(opened('file')), p.poll()[0][1]][2]`, p.POLLIN | p.POLLOUT, 1],
  ['COPY_FILE_RANGE', `os.copy_file_range(opened('file'), opened('file'), 1, 0, 5)`, 1, 1],
  ['TMPFILE', `opened('', os.O_TMPFILE | os.O_RDWR)`, 'ENOTSUP', 1],
  ['RENAME2', `renameat2('file', 'other', 1)`, 'EINVAL', 1],
  ['IOCTL', `fcntl.ioctl(opened('file'), ${FS_IOC_GETFLAGS >>> 0} + 5, b'')`, 'ENOTTY', 2],
  ['READLINK', `os.readlink(P('link'))`, 'ENOSYS', 2],
  ['UNLINK', `os.unlink(P('file'))`, 'ENOSYS', 2],
  ['MKNOD', `os.mkfifo(P('fifo'))`, 'ENOSYS', 2],
  ['LINK', `os.link(P('file'), P('other'))`, 'EPERM', 1],
];

kernelTest('an absent method is what the kernel makes of ENOSYS, and most are asked for once', async () => {
  const tree = new Tree({ file: 'content', link: '' });
  tree.at('link').mode = p.S_IFLNK | 0o777;
  const seen: string[] = [];
  await using m = await mounted(tree, {
    attrTimeout: 0,
    entryTimeout: 0,
    trace: (event) => {
      if (event.kind === 'request') seen.push(event.operation);
    },
  });
  await using client = new Client(m.dir, LIBRARY);
  const results: unknown[] = [];
  for (const [operation, script] of ABSENT) {
    const all = [];
    for (let i = 0; i < 2; i++) {
      client.tell(JSON.stringify(script));
      all.push(await client.said());
    }
    results.push([operation, ...all, seen.filter((each) => each === operation).length]);
  }
  expect(results).toEqual(ABSENT.map(([operation, , gets, times]) => [operation, gets, gets, times]));
});

kernelTest(
  'without create a file is made by mknod and opened; without opendir and statfs defaults answer',
  async () => {
    class NoCreate extends Tree {
      mknod(request: Request, { name, mode }: Args<'MKNOD'>) {
        const node = this.add('');
        node.mode = mode;
        this.node(request.nodeid).entries.set(name, node);
        return this.given(node);
      }
    }
    const tree = new NoCreate({});
    const recorder = new Recorder(tree);
    await using m = await mounted(recorder.filesystem);
    await using client = new Client(m.dir, LIBRARY);
    const does = async (script: string) => {
      client.tell(JSON.stringify(script));
      return client.said();
    };
    expect(await does(`os.write(opened('new', os.O_CREAT | os.O_WRONLY, 0o640), b'data')`)).toBe(4);
    expect(recorder.last('mknod').args).toMatchObject({ name: 'new', mode: p.S_IFREG | 0o640 });
    expect(tree.at('new').data.toString()).toBe('data');
    expect(await does(`os.listdir(P())`)).toEqual(['new']);
    expect(await does(`[os.statvfs(P()).f_bsize, os.statvfs(P()).f_namemax, os.statvfs(P()).f_blocks]`)).toEqual([
      512, 255, 0,
    ]);
  },
);

kernelTest('an error that a handler throws is what the client gets, whatever kind it is', async () => {
  const errors: unknown[] = [];
  class Failing extends Tree {
    override lookup(_: Request, { name }: Args<'LOOKUP'>): never | Promise<never> {
      if (name === 'errno') throw ENOENT;
      if (name === 'node') throw Object.assign(new Error('busy'), { code: 'EBUSY' });
      if (name === 'rejects') return Promise.reject(EEXIST);
      throw new TypeError('a bug');
    }
  }
  await using m = await mounted(new Failing({}), { onError: (error, operation) => errors.push([error, operation]) });
  await using client = new Client(m.dir, LIBRARY);
  const results: unknown[] = [];
  for (const name of ['errno', 'node', 'rejects', 'bug']) {
    client.tell(JSON.stringify(`os.stat(P('${name}'))`));
    results.push(await client.said());
  }
  expect(results).toEqual(['ENOENT', 'EBUSY', 'EEXIST', 'EIO']);
  expect(errors).toEqual([[new TypeError('a bug'), 'LOOKUP']]);
});
