/**
 * The POSIX table: extended attributes in the four namespaces. What is in `system` here is the affair of acl.ts.
 * ext4 keeps all attributes of a file in one block, so that of the larger ones only tmpfs can show the way.
 */
import { MOUNTS } from './names-paths.ts';
import type { Row, Table } from './table.ts';

/** Words for xattrs, by path without following symlinks, or by descriptor. */
const XATTRS = `
import subprocess
# cap_net_bind_service=ep, as setcap(8) writes it: struct vfs_cap_data, include/uapi/linux/capability.h
CAPABILITY = struct.pack('<5I', 0x02000001, 0x400, 0, 0, 0)
def put(name, key, value=b'value', flags=0):
    os.setxattr(name, key, value, flags, follow_symlinks=isinstance(name, int))
def get(name, key):
    return t(os.getxattr, name, key, follow_symlinks=isinstance(name, int))
def drop(name, key):
    os.removexattr(name, key, follow_symlinks=isinstance(name, int))
def names(name):
    return t(lambda: sorted(os.listxattr(name, follow_symlinks=isinstance(name, int))))
def make(name, bits=0o644, uid=0, gid=0):
    write(name, b'text')
    os.chown(name, uid, gid)
    os.chmod(name, bits)
def make_dir(name, bits=0o755, uid=0, gid=0):
    os.mkdir(name)
    os.chown(name, uid, gid)
    os.chmod(name, bits)
def make_others():
    """One of each kind that is neither file nor directory."""
    os.symlink('nowhere', 'symlink')
    os.mkfifo('fifo', 0o666)
    os.mknod('socket', stat.S_IFSOCK | 0o666)
    os.mknod('chr', stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod('blk', stat.S_IFBLK | 0o666, os.makedev(7, 200))
OTHERS = ('symlink', 'fifo', 'socket', 'chr', 'blk')
buffer = ctypes.create_string_buffer(70000)
def sh(command):
    made = subprocess.run(['sh', '-c', command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, 'LC_ALL': 'C'})
    return [made.returncode, made.stdout, made.stderr]
def without(capability, f):
    """f's value, made by root without one of his capabilities."""
    def body():
        header, data = struct.pack('<Ii', 0x20080522, 0), ctypes.create_string_buffer(24)
        call('capget', header, data)
        effective, = struct.unpack_from('<I', data)
        struct.pack_into('<I', data, 0, effective & ~(1 << capability))
        call('capset', header, data)
        return f()
    return spawn(body)()
SYS_ADMIN, SETFCAP = 21, 31
`;

const values: Table = {
  'setxattr: a value is read as it was set, in user, trusted and security': `
make('file')
for key in ('user.a', 'trusted.a', 'security.a'):
    put('file', key, key.encode())
out([get('file', key) for key in ('user.a', 'trusted.a', 'security.a')], names('file'))
`,
  'setxattr: of a directory': `
make_dir('dir')
for key in ('user.a', 'trusted.a', 'security.a'):
    put('dir', key, key.encode())
out([get('dir', key) for key in ('user.a', 'trusted.a', 'security.a')], names('dir'))
`,
  'setxattr: a value of all bytes, NUL included': `
make('file')
put('file', 'user.a', bytes(range(256)))
out(get('file', 'user.a') == bytes(range(256)))
`,
  'setxattr: a value of no bytes is there all the same': `
make('file')
put('file', 'user.a', b'')
out(get('file', 'user.a'), names('file'), t(lambda: call('getxattr', 'file', 'user.a', buffer, 100)))
call('setxattr', 'file', 'user.b', 0, 0, 0)
out(get('file', 'user.b'))
`,
  'setxattr: replaces the value, with a longer and a shorter one': `
make('file')
for value in (b'short', b'x' * 2000, b'', b'y'):
    put('file', 'user.a', value)
    out(get('file', 'user.a') == value, names('file'))
`,
  'setxattr: a value of 3,000 bytes': `
make('file')
put('file', 'user.a', b'0123456789' * 300)
out(get('file', 'user.a') == b'0123456789' * 300)
`,
  'setxattr: a value of 65,536 bytes is the longest, more is E2BIG': {
    script: `
make('file')
for key in ('user.a', 'trusted.a', 'security.a'):
    out(t(put, 'file', key, b'x' * 65535 + b'y'), t(put, 'file', key, b'x' * 65537))
    value = get('file', key)
    out(len(value), value[-2:])
`,
    like: 'tmpfs',
  },
  'setxattr: many of them': `
make('file')
for i in range(60):
    put('file', 'user.%d' % i, b'%d' % (i * i))
out(len(names('file')), all(get('file', 'user.%d' % i) == b'%d' % (i * i) for i in range(60)))
for i in range(0, 60, 2):
    drop('file', 'user.%d' % i)
out(len(names('file')), get('file', 'user.0'), get('file', 'user.59'))
`,
  'setxattr: 1,000 of 1,000 bytes each': {
    script: `
make('file')
for i in range(1000):
    put('file', 'trusted.%d' % i, b'%04d' % i * 250)
out(len(names('file')), all(get('file', 'trusted.%d' % i) == b'%04d' % i * 250 for i in range(1000)))
`,
    like: 'tmpfs',
  },
  'getxattr: one that is not there is ENODATA': `
make('file')
put('file', 'user.ab')
out([get('file', key) for key in ('user.a', 'user.abc', 'user.AB', 'trusted.ab', 'security.ab')])
`,
  'getxattr: a size of 0 asks for the length': `
make('file')
put('file', 'user.a', b'12345')
out(call('getxattr', 'file', 'user.a', 0, 0), call('getxattr', 'file', 'user.a', buffer, 0), buffer.raw[:1])
`,
  'getxattr: a size that is too small is ERANGE': `
make('file')
put('file', 'user.a', b'12345')
f = lambda size: call('getxattr', 'file', 'user.a', buffer, size)
out([t(f, size) for size in (1, 4, 5, 6, 65536, 65537)], buffer.raw[:6])
`,
  'getxattr, setxattr: an address that is none is EFAULT': `
make('file')
put('file', 'user.a', b'12345')
out(t(lambda: call('getxattr', 'file', 'user.a', 1, 100)), t(lambda: call('getxattr', 'file', 1, buffer, 100)))
out(t(lambda: call('setxattr', 'file', 'user.a', 1, 100, 0)), t(lambda: call('setxattr', 'file', 1, buffer, 1, 0)))
out(t(lambda: call('listxattr', 'file', 1, 100)), t(lambda: call('removexattr', 'file', 1)), get('file', 'user.a'))
`,
  'setxattr: the same name in two namespaces is two attributes': `
make('file')
put('file', 'user.a', b'users')
put('file', 'trusted.a', b'roots')
drop('file', 'user.a')
out(get('file', 'user.a'), get('file', 'trusted.a'))
`,
};

const flags: Table = {
  'setxattr XATTR_CREATE: one that is there is EEXIST': `
make('file')
out(t(put, 'file', 'user.a', b'one', XATTR_CREATE), t(put, 'file', 'user.a', b'two', XATTR_CREATE), get('file', 'user.a'))
drop('file', 'user.a')
out(t(put, 'file', 'user.a', b'three', XATTR_CREATE), get('file', 'user.a'))
`,
  'setxattr XATTR_REPLACE: one that is not there is ENODATA': `
make('file')
out(t(put, 'file', 'user.a', b'one', XATTR_REPLACE), names('file'))
put('file', 'user.a', b'two')
out(t(put, 'file', 'user.a', b'three', XATTR_REPLACE), get('file', 'user.a'))
`,
  'setxattr: both flags together are EEXIST or ENODATA': `
make('file')
out(t(put, 'file', 'user.a', b'one', XATTR_CREATE | XATTR_REPLACE))
put('file', 'user.a', b'two')
out(t(put, 'file', 'user.a', b'three', XATTR_CREATE | XATTR_REPLACE), get('file', 'user.a'))
`,
  'setxattr: a flag that is none is EINVAL': `
make('file')
out(t(put, 'file', 'user.a', b'one', 4), t(put, 'file', 'user.a', b'one', 0x80), names('file'))
`,
  'removexattr: one that is not there is ENODATA': `
make('file')
put('file', 'user.a')
out(t(drop, 'file', 'user.b'), t(drop, 'file', 'user.a'), t(drop, 'file', 'user.a'), names('file'))
`,
};

const listing: Table = {
  'listxattr: of a new file, directory, symlink and fifo is empty': `
make('file')
make_dir('dir')
make_others()
out([names(name) for name in ('file', 'dir') + OTHERS])
`,
  'listxattr: a size of 0 asks for the length, each name with a NUL': `
make('file')
out(call('listxattr', 'file', 0, 0))
put('file', 'user.a')
put('file', 'trusted.bcd')
out(call('listxattr', 'file', 0, 0), call('listxattr', 'file', buffer, 70000))
out(sorted(buffer.raw[:19].split(bytes(1))))
`,
  'listxattr: a size that is too small is ERANGE': `
make('file')
put('file', 'user.a')
put('file', 'user.b')
f = lambda size: call('listxattr', 'file', buffer, size)
out([t(f, size) for size in (1, 7, 13, 14, 15)])
`,
  'listxattr: names of more than 65,536 bytes together are E2BIG': {
    script: `
make('file')
for i in range(262):
    put('file', 'trusted.%03d' % i + 'n' * 240, b'')
f = lambda size: call('listxattr', 'file', buffer, size)
out(t(f, 65536), t(f, 70000), get('file', 'trusted.259' + 'n' * 240))
for i in range(3, 262):
    drop('file', 'trusted.%03d' % i + 'n' * 240)
out(t(f, 0), t(f, 70000))
`,
    like: 'tmpfs',
  },
  // fs/fuse/xattr.c: fuse_listxattr says no more than XATTR_LIST_MAX.
  'listxattr: a size of 0 asks for the length, also of more than 65,536 bytes': {
    script: `
make('file')
for i in range(262):
    put('file', 'trusted.%03d' % i + 'n' * 240, b'')
out(call('listxattr', 'file', 0, 0))
`,
    like: 'tmpfs',
    fuse: { out: [65536], why: 'The list of extended attributes' },
  },
  'listxattr: needs no permission on the file': `
make('file', 0)
put('file', 'user.a')
out(as_user(ALICE, lambda: names('file')))
`,
};

const naming: Table = {
  'setxattr: a name of 255 bytes is the longest, 256 and 0 are ERANGE': `
make('file')
longest, longer = 'user.' + 'n' * 250, 'user.' + 'n' * 251
out(t(put, 'file', longest), names('file') == [longest], t(put, 'file', longer), t(put, 'file', ''))
out(get('file', longest), get('file', longer), get('file', ''), t(drop, 'file', longer), t(drop, 'file', ''), t(drop, 'file', longest))
`,
  'setxattr, getxattr, removexattr: a namespace that is none is EOPNOTSUPP': `
make('file')
for name in ('other.a', 'user', 'a', 'USER.a', '.a', 'userx.a', 'system.a', 'system.', 'trusted', 'btrfs.a'):
    out([t(put, 'file', name), get('file', name), t(drop, 'file', name)])
out(names('file'))
`,
  'setxattr, getxattr, removexattr: a namespace without a name is EINVAL': `
make('file')
for name in ('user.', 'trusted.', 'security.'):
    out([t(put, 'file', name), get('file', name), t(drop, 'file', name)])
out(names('file'))
`,
  'setxattr: a name may hold any bytes, dots and slashes, and be no UTF-8': `
make('file')
for name in (b'user.a.b', b'user..', b'user./', b'user.a b', 'user.é'.encode(), b'user.\\xff\\xfe', b'user.\\x01'):
    os.setxattr('file', name, name)
    out(get('file', name))
out(sorted(os.fsencode(name).decode('latin-1') for name in os.listxattr('file')))
`,
};

const kinds: Table = {
  'setxattr: user of what is neither file nor directory is EPERM, and getxattr ENODATA': `
make_others()
out([[t(put, name, 'user.a'), get(name, 'user.a'), t(drop, name, 'user.a'), names(name)] for name in OTHERS])
`,
  'setxattr: trusted and security of what is neither file nor directory': `
make_others()
for name in OTHERS:
    put(name, 'trusted.a', b'one')
    put(name, 'security.a', b'two')
    out(get(name, 'trusted.a'), get(name, 'security.a'), names(name))
    drop(name, 'trusted.a')
    out(names(name))
`,
  'setxattr, getxattr, listxattr, removexattr: follow a symlink, their l sisters do not': `
make('file')
os.symlink('file', 'link')
os.setxattr('link', 'user.a', b'one')
put('link', 'trusted.b', b'two')
out(names('file'), names('link'), os.listxattr('link'), t(os.getxattr, 'link', 'trusted.b'))
os.removexattr('link', 'user.a')
out(names('file'), names('link'))
`,
  'fsetxattr, fgetxattr, flistxattr, fremovexattr: of an open file, also without a name': `
make('file')
fd = os.open('file', O_RDONLY)
put(fd, 'user.a', b'one')
out(get('file', 'user.a'))
os.unlink('file')
put(fd, 'user.b', b'two')
out(get(fd, 'user.a'), get(fd, 'user.b'), names(fd), t(put, fd, 'user.a', b'', XATTR_CREATE))
drop(fd, 'user.a')
out(names(fd))
`,
  'fsetxattr, fgetxattr, flistxattr, fremovexattr: of a file made by O_TMPFILE, until it has a name': `
fd = os.open('.', O_TMPFILE | O_RDWR, 0o644)
put(fd, 'user.a', b'one')
put(fd, 'trusted.a', b'two')
call('linkat', AT_FDCWD, '/proc/self/fd/%d' % fd, AT_FDCWD, 'file', AT_SYMLINK_FOLLOW)
out(get('file', 'user.a'), names('file'))
`,
  'fsetxattr, fgetxattr, flistxattr, fremovexattr: a descriptor of O_PATH, and a closed one, are EBADF': `
make('file')
put('file', 'user.a')
fd = os.open('file', O_PATH)
tried = lambda: [t(put, fd, 'user.b'), get(fd, 'user.a'), names(fd), t(drop, fd, 'user.a')]
out(tried())
os.close(fd)
out(tried(), names('file'))
`,
  'setxattr: through /proc/self/fd a descriptor of O_PATH will do': `
make('file')
fd = os.open('file', O_PATH)
os.setxattr('/proc/self/fd/%d' % fd, 'user.a', b'one')
out(get('file', 'user.a'))
`,
  'setxattr, removexattr: on a filesystem mounted read-only is EROFS': `${MOUNTS}
make('file')
put('file', 'user.a')
read_only()
out(t(put, 'file', 'user.a'), t(put, 'file', 'trusted.b'), t(drop, 'file', 'user.a'), t(put, 'file', 'user.a', b'', XATTR_CREATE))
out(get('file', 'user.a'), names('file'))
`,
};

const permissions: Table = {
  'setxattr, removexattr: user needs write permission, else EACCES': `
make('file', 0o644)
put('file', 'user.a')
f = lambda: [t(put, 'file', 'user.b'), t(drop, 'file', 'user.a'), get('file', 'user.a')]
out(as_user(ALICE, f))
os.chmod('file', 0o666)
out(as_user(ALICE, f), names('file'))
`,
  'setxattr: user of an own file that may not be written to is EACCES': `
make('file', 0o444, 12345, 12345)
out(as_user(ALICE, lambda: put('file', 'user.a')), names('file'))
`,
  'getxattr: user needs read permission, else EACCES': `
make('file', 0o622)
put('file', 'user.a')
out(as_user(ALICE, lambda: get('file', 'user.a')), as_user(ALICE, lambda: get('file', 'user.b')))
os.chmod('file', 0o644)
out(as_user(ALICE, lambda: get('file', 'user.a')))
`,
  'fsetxattr, fgetxattr: ask for the permission on the file, not for how it is open': `
make('file', 0o600, 12345, 12345)
fd = os.open('file', O_RDWR)
out(as_user(BOB, lambda: [t(put, fd, 'user.a'), get(fd, 'user.a')]))
reading = os.open('file', O_RDONLY)
out(as_user(ALICE, lambda: [t(put, reading, 'user.a'), get(reading, 'user.a')]))
writing = os.open('file', O_WRONLY)
out(as_user(ALICE, lambda: [t(put, writing, 'user.b'), get(writing, 'user.a')]))
`,
  'setxattr: user of a sticky directory by another than its owner is EPERM, though he may write to it': `
make_dir('dir', 0o1777, 12345, 12345)
out(as_user(BOB, lambda: put('dir', 'user.a')), as_user(ALICE, lambda: put('dir', 'user.a')), as_user(ROOT, lambda: put('dir', 'user.b')))
out(as_user(BOB, lambda: get('dir', 'user.a')), as_user(BOB, lambda: drop('dir', 'user.a')), names('dir'))
os.chmod('dir', 0o777)
out(as_user(BOB, lambda: put('dir', 'user.c')), names('dir'))
`,
  'setxattr: user of a sticky file by another than its owner, who may write to it': `
make('file', 0o1666, 12345, 12345)
out(as_user(BOB, lambda: put('file', 'user.a')), names('file'))
`,
  'setxattr, removexattr: trusted by a user is EPERM, and getxattr ENODATA, even of an own file': `
make('file', 0o666, 12345, 12345)
put('file', 'trusted.a')
out(as_user(ALICE, lambda: [t(put, 'file', 'trusted.a'), t(put, 'file', 'trusted.b'), t(drop, 'file', 'trusted.a'), get('file', 'trusted.a')]))
out(get('file', 'trusted.a'))
`,
  'listxattr: leaves trusted out for users': `
make('file', 0o666, 12345, 12345)
put('file', 'trusted.a')
put('file', 'user.a')
put('file', 'trusted.b')
f = lambda size: call('listxattr', 'file', buffer, size)
out(as_user(ALICE, lambda: [names('file'), t(f, 0), t(f, 7), t(f, 6)]), names('file'))
drop('file', 'user.a')
out(as_user(ALICE, lambda: [names('file'), t(f, 0)]))
`,
  'setxattr, removexattr: security by a user is EPERM, and anybody may read it': `
make('file', 0o666, 12345, 12345)
put('file', 'security.a')
out(as_user(ALICE, lambda: [t(put, 'file', 'security.a'), t(put, 'file', 'security.b'), t(drop, 'file', 'security.a'), get('file', 'security.a'), names('file')]))
os.chmod('file', 0)
out(as_user(BOB, lambda: [get('file', 'security.a'), names('file')]))
`,
  'setxattr, getxattr, removexattr: that root has trusted and sets security is CAP_SYS_ADMIN': `
make('file')
put('file', 'trusted.a')
put('file', 'security.a')
f = lambda name: [t(put, 'file', name), get('file', name), t(drop, 'file', name)]
out(without(SYS_ADMIN, lambda: [f('trusted.a'), f('security.a')]), names('file'))
`,
  // FUSE tells the server who asks, but not with which capabilities: fs/fuse/xattr.c, fuse_listxattr.
  'listxattr: leaves trusted out for root without CAP_SYS_ADMIN': {
    script: `
make('file')
put('file', 'trusted.a')
put('file', 'user.a')
out(without(SYS_ADMIN, lambda: names('file')))
`,
    fuse: { out: [['trusted.a', 'user.a']], why: 'The list of extended attributes' },
  },
  'getxattr, setxattr: in a directory that may not be searched is EACCES': `
make_dir('dir', 0o744)
make('dir/file', 0o666)
put('dir/file', 'user.a')
out(as_user(ALICE, lambda: [get('dir/file', 'user.a'), t(put, 'dir/file', 'user.b'), names('dir/file'), t(drop, 'dir/file', 'user.a')]))
`,
};

const capability: Table = {
  'security.capability: is kept and read as set, and getcap(8) tells it': `
make('file', 0o755)
put('file', 'security.capability', CAPABILITY)
out(get('file', 'security.capability') == CAPABILITY, names('file'), sh('getcap file'))
out(sh('setcap cap_net_raw+ep file && getcap file && setcap -r file && getcap file'), names('file'))
`,
  'security.capability: one of version 3 for root reads as version 2': `
make('file', 0o755)
put('file', 'security.capability', struct.pack('<6I', 0x03000001, 0x400, 0, 0, 0, 0))
out(get('file', 'security.capability') == CAPABILITY)
`,
  'security.capability: what is none is EINVAL, but for no bytes at all': `
make('file', 0o755)
out([t(put, 'file', 'security.capability', value) for value in (b'', b'x', CAPABILITY[:-1], CAPABILITY + b'x', b'x' * 20)])
out(names('file'))
`,
  'security.capability: by a user, and by root without CAP_SETFCAP, is EPERM': `
make('file', 0o755, 12345, 12345)
out(as_user(ALICE, lambda: put('file', 'security.capability', CAPABILITY)))
out(without(SETFCAP, lambda: put('file', 'security.capability', CAPABILITY)))
put('file', 'security.capability', CAPABILITY)
out(as_user(ALICE, lambda: drop('file', 'security.capability')), without(SETFCAP, lambda: drop('file', 'security.capability')), names('file'))
`,
  'security.capability: goes with a direct write, by root too': `
make('file', 0o755)
put('file', 'security.capability', CAPABILITY)
fd = os.open('file', O_RDWR | O_DIRECT)
out(os.preadv(fd, [mmap.mmap(-1, 4096)], 0), names('file'))
out(os.pwritev(fd, [mmap.mmap(-1, 4096)], 0), names('file'))
`,
  'security.capability: goes with the first write, other attributes stay': `
make('file', 0o755)
for name in ('user.a', 'trusted.a', 'security.a'):
    put('file', name)
put('file', 'security.capability', CAPABILITY)
fd = os.open('file', O_WRONLY)
out(len(names('file')))
os.write(fd, b'x')
out(names('file'))
os.write(fd, b'y')
put('file', 'security.capability', CAPABILITY)
out(len(names('file')))
os.write(fd, b'z')
out(names('file'))
`,
  'security.capability: goes with chown and truncate, other attributes stay': `
make('file', 0o755)
put('file', 'user.a')
for change in (lambda: os.chown('file', 12345, 0), lambda: os.truncate('file', 1), lambda: write('file', b'x')):
    put('file', 'security.capability', CAPABILITY)
    change()
    out(names('file'))
`,
  'security.capability: chmod, rename and link leave it': `
make('file', 0o755)
put('file', 'security.capability', CAPABILITY)
os.chmod('file', 0o700)
os.rename('file', 'new')
os.link('new', 'link')
os.utime('new')
out(names('new'), names('link'))
`,
  'security.capability: chown leaves that of a directory': `
make_dir('dir')
put('dir', 'security.capability', CAPABILITY)
os.chown('dir', 12345, 12345)
out(names('dir'))
`,
  'write: takes neither mode bits nor attributes of others away, where there are none to take': `
make('file', 0o755)
put('file', 'security.a')
put('file', 'user.a')
fd = os.open('file', O_WRONLY)
os.write(fd, b'x')
os.ftruncate(fd, 0)
os.fchown(fd, 12345, 12345)
out(names('file'), mode('file'))
`,
};

const lives: Table = {
  'setxattr, removexattr: move ctime, not mtime; getxattr, listxattr and failures move nothing': `
def moved(f):
    before = os.stat('file')
    time.sleep(0.02)
    f()
    after = os.stat('file')
    return [after.st_ctime_ns > before.st_ctime_ns, after.st_mtime_ns > before.st_mtime_ns]
make('file')
out(moved(lambda: put('file', 'user.a')), moved(lambda: put('file', 'user.a', b'other')))
out(moved(lambda: get('file', 'user.a')), moved(lambda: names('file')), moved(lambda: t(drop, 'file', 'user.b')))
out(moved(lambda: t(put, 'file', 'user.a', b'', XATTR_CREATE)), moved(lambda: drop('file', 'user.a')))
`,
  'link: all names of a file have its attributes': `
make('file')
put('file', 'user.a', b'one')
os.link('file', 'link')
put('link', 'user.b', b'two')
out(names('file'), names('link'))
os.unlink('file')
out(get('link', 'user.a'), get('link', 'user.b'))
`,
  'rename: attributes go with the file, and those of the replaced one are gone': `
make('one')
make('two')
put('one', 'user.one')
put('two', 'user.two')
os.rename('one', 'two')
out(names('two'))
make_dir('dir')
put('dir', 'user.dir')
os.rename('dir', 'moved')
out(names('moved'))
`,
  'renameat2 EXCHANGE: attributes go with their files': `
make('one')
make_dir('two')
put('one', 'user.one')
put('two', 'user.two')
renameat2('one', 'two', RENAME_EXCHANGE)
out(names('one'), names('two'))
`,
  'unlink, open O_CREAT: a new file of the same name has no attributes': `
make('file')
put('file', 'user.a')
os.unlink('file')
make('file')
out(names('file'))
`,
  'open O_TRUNC, write, chmod: leave the attributes': `
make('file')
put('file', 'user.a', b'one')
put('file', 'trusted.a', b'two')
write('file', b'other')
os.chmod('file', 0o600)
out(names('file'), get('file', 'user.a'), get('file', 'trusted.a'))
`,
  'mkdir, open: attributes of a directory are not inherited': `
make_dir('dir')
put('dir', 'user.a')
put('dir', 'trusted.a')
os.mkdir('dir/sub')
make('dir/file')
out(names('dir/sub'), names('dir/file'))
`,
  'cp -a: takes user attributes along, and trusted ones for root': `
make('file')
put('file', 'user.a', b'one')
put('file', 'trusted.a', bytes(range(256)))
make_dir('dir')
put('dir', 'user.b', b'two')
out(sh('cp -a file copy && cp -a dir dircopy && cp file plain'))
out(names('copy'), get('copy', 'trusted.a') == bytes(range(256)), names('dircopy'), names('plain'))
`,
  'getxattr: what another process sets is seen at once': `
make('file')
seen = []
for value in (b'one', b'two', b'three'):
    spawn(lambda: put('file', 'user.a', value))()
    seen.append(get('file', 'user.a'))
spawn(lambda: drop('file', 'user.a'))()
out(seen, get('file', 'user.a'), names('file'))
`,
};

const table: Table = {
  ...values,
  ...flags,
  ...listing,
  ...naming,
  ...kinds,
  ...permissions,
  ...capability,
  ...lives,
};

const prefixed = (each: string | Row): string | Row =>
  typeof each === 'string' ? `${XATTRS}${each}` : { ...each, script: `${XATTRS}${each.script}` };

export const rows: Table = Object.fromEntries(Object.entries(table).map(([name, each]) => [name, prefixed(each)]));
