/**
 * The POSIX table: who may do what. Owners, modes and the three special bits: what changes them, what they allow,
 * and what takes them away again. The row's directory is root's; `home` below it is Alice's, `common` everybody's.
 */
import type { Row, Table } from './table.ts';

/** Directories, and words for making files in them. */
const PLACES = `
os.mkdir('home')
os.chown('home', 12345, 12345)
os.mkdir('common')
os.chmod('common', 0o777)
def make(name, bits=0o644, uid=0, gid=0, data=b''):
    """A file of an owner and a mode."""
    write(name, data)
    os.chown(name, uid, gid)
    os.chmod(name, bits)
    return name
def make_dir(name, bits=0o755, uid=0, gid=0):
    os.mkdir(name)
    os.chown(name, uid, gid)
    os.chmod(name, bits)
    return name
def opened(name, flags=O_RDONLY, bits=0o644):
    os.close(os.open(name, flags, bits))
def bits_of(name):
    return oct(stat.S_IMODE(os.lstat(name).st_mode))
# cap_net_bind_service=ep, as setcap(8) writes it: struct vfs_cap_data, include/uapi/linux/capability.h
CAPABILITY = struct.pack('<5I', 0x02000001, 0x400, 0, 0, 0)
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
def moved_ctime(name, f):
    """Whether f moves the ctime of a file, and whether its mtime."""
    before = os.lstat(name)
    time.sleep(0.02)
    f()
    after = os.lstat(name)
    return [after.st_ctime_ns > before.st_ctime_ns, after.st_mtime_ns > before.st_mtime_ns]
`;

const row = (script: string): string => `${PLACES}${script}`;
const placed = (rows: Table): Table =>
  Object.fromEntries(
    Object.entries(rows).map(([name, each]) => [
      name,
      typeof each === 'string' ? row(each) : { ...each, script: row(each.script) },
    ]),
  );

/**
 * The kernel tells that the bits are to go, and leaves it to the server what that is for S_ISGID, without saying
 * which groups the caller is in. @see fs/fuse/file.c: fuse_send_write_pages; FUSE_HANDLE_KILLPRIV_V2 in fuse.h
 */
const SGID = 'S_ISGID where the group may not execute';

const chmod: Table = {
  'chmod: sets and clears each of the twelve bits of a file': `
make('file')
for bit in range(12):
    os.chmod('file', 1 << bit)
    out(bits_of('file'))
for bits in (0o7777, 0o4711, 0, 0o1000, 0o644):
    os.chmod('file', bits)
    out(mode('file'))
`,
  'chmod: sets and clears each of the twelve bits of a directory': `
os.mkdir('dir')
for bit in range(12):
    os.chmod('dir', 1 << bit)
    out(bits_of('dir'))
for bits in (0o7777, 0o3770, 0, 0o755):
    os.chmod('dir', bits)
    out(mode('dir'))
`,
  'chmod: of fifos, sockets and devices keeps the type': `
os.mkfifo('fifo')
socket.socket(socket.AF_UNIX).bind('socket')
os.mknod('chr', stat.S_IFCHR | 0o644, os.makedev(1, 3))
os.mknod('blk', stat.S_IFBLK | 0o644, os.makedev(7, 200))
for name in ('fifo', 'socket', 'chr', 'blk'):
    os.chmod(name, 0o7640)
    out(mode(name))
`,
  'chmod: the type in the mode is not looked at': `
make('file')
call('chmod', 'file', 0o0170600)
out(mode('file'))
call('chmod', 'file', stat.S_IFDIR | 0o711)
out(mode('file'))
`,
  'chmod: follows a symlink, whose own mode is always 0777': `
make('file')
os.symlink('file', 'link')
os.chmod('link', 0o600)
out(mode('file'), mode('link'))
`,
  'fchmodat2: AT_SYMLINK_NOFOLLOW changes a file, and a symlink is EOPNOTSUPP': `
make('file')
os.symlink('file', 'link')
f = lambda n: call('syscall', 452, AT_FDCWD, n, 0o611, AT_SYMLINK_NOFOLLOW)
out(t(f, 'file'), t(f, 'link'), mode('file'), mode('link'))
`,
  'fchmodat2: a flag that is none is EINVAL': `
make('file')
out(t(lambda: call('syscall', 452, AT_FDCWD, 'file', 0o611, 0x40000000)), mode('file'))
`,
  'fchmod: changes an open file, and one that has no name any more': `
make('file')
fd = os.open('file', O_RDONLY)
os.fchmod(fd, 0o4711)
out(mode('file'))
os.unlink('file')
os.fchmod(fd, 0o2640)
out(oct(os.fstat(fd).st_mode))
`,
  'fchmod: a descriptor of O_PATH, and one that is closed, are EBADF': `
make('file')
fd = os.open('file', O_PATH)
out(t(os.fchmod, fd, 0o600))
os.close(fd)
out(t(os.fchmod, fd, 0o600), mode('file'))
`,
  'chmod: whoever is neither owner nor root gets EPERM, also for the mode that is there': `
make('file', 0o666, 12345, 2000)
out(as_user(BOB, lambda: os.chmod('file', 0o600)), as_user(BOB, lambda: os.chmod('file', 0o666)))
make('roots', 0o777)
out(as_user(ALICE, lambda: os.chmod('roots', 0o777)), bits_of('file'), bits_of('roots'))
`,
  'fchmod: a descriptor that may write does not make an owner: EPERM': `
make('file', 0o666, 12345, 12345)
fd = os.open('file', O_RDWR)
out(as_user(BOB, lambda: os.fchmod(fd, 0o600)), as_user(ALICE, lambda: os.fchmod(fd, 0o600)), bits_of('file'))
`,
  'chmod: the owner may, with no permission on the file at all': `
make('file', 0, 12345, 12345)
out(as_user(ALICE, lambda: os.chmod('file', 0o4640)), bits_of('file'))
`,
  'chmod: a user may make his file setuid and sticky': `
make('file', 0o644, 12345, 12345)
out(as_user(ALICE, lambda: os.chmod('file', 0o5755)), bits_of('file'))
`,
  'chmod: an owner outside of the group does not get S_ISGID, and no error': `
make('file', 0o644, 12345, 2000)
make_dir('dir', 0o755, 12345, 2000)
out(as_user(ALICE, lambda: os.chmod('file', 0o2755)), bits_of('file'))
out(as_user(ALICE, lambda: os.chmod('file', 0o7644)), bits_of('file'))
out(as_user(ALICE, lambda: os.chmod('dir', 0o3775)), bits_of('dir'))
`,
  'chmod: an owner outside of the group loses an S_ISGID that was there': `
make('file', 0o2755, 12345, 2000)
make_dir('dir', 0o2755, 12345, 2000)
out(as_user(ALICE, lambda: os.chmod('file', 0o2755)), bits_of('file'))
out(as_user(ALICE, lambda: os.chmod('dir', 0o2755)), bits_of('dir'))
`,
  'chmod: an owner in the group, first or supplementary, gets S_ISGID': `
make('own', 0o644, 12345, 12345)
make('supplementary', 0o644, 12345, 3000)
make('staff', 0o644, 12345, 2000)
out(as_user(ALICE, lambda: os.chmod('own', 0o2755)), bits_of('own'))
out(as_user(ALICE, lambda: os.chmod('supplementary', 0o2745)), bits_of('supplementary'))
out(as_user(ALICE_STAFF, lambda: os.chmod('staff', 0o2755)), bits_of('staff'))
`,
  'chmod: root gives S_ISGID of any group': `
make('file', 0o644, 12345, 2000)
os.chmod('file', 0o6755)
out(bits_of('file'))
`,
  'chmod: moves ctime, not mtime, even to the same mode': `
make('file')
out(moved_ctime('file', lambda: os.chmod('file', 0o600)), moved_ctime('file', lambda: os.chmod('file', 0o600)))
`,
  'chmod: an open descriptor keeps what it was opened for': `
make('file', 0o600, 12345, 12345, b'text')
def f():
    fd = os.open('file', O_RDWR)
    os.chmod('file', 0)
    return [os.read(fd, 10), os.pwrite(fd, b'TEXT', 0), t(os.open, 'file', O_RDONLY)]
out(as_user(ALICE, f), read('file'))
`,
  'chmod: all names of a file have the new mode': `
make('file')
os.link('file', 'other')
os.chmod('other', 0o711)
out(bits_of('file'), bits_of('other'))
`,
};

const chown: Table = {
  'chown: root sets both, or one and keeps the other with -1': `
make('file')
os.chown('file', 12345, 2000)
out(stat_of('file', 'uid', 'gid'))
os.chown('file', -1, 3000)
out(stat_of('file', 'uid', 'gid'))
os.chown('file', 12346, -1)
out(stat_of('file', 'uid', 'gid'))
os.chown('file', -1, -1)
out(stat_of('file', 'uid', 'gid'))
`,
  'chown: ids of 32 bits are kept': `
make('file')
for uid, gid in ((0xfffffffe, 0xfffffffe), (0x80000000, 0x7fffffff), (65536, 65535), (0, 0)):
    os.chown('file', uid, gid)
    out(stat_of('file', 'uid', 'gid'))
`,
  'chown: of directories, fifos and devices': `
os.mkdir('dir')
os.mkfifo('fifo')
os.mknod('chr', stat.S_IFCHR | 0o644, os.makedev(1, 3))
for name in ('dir', 'fifo', 'chr'):
    os.chown(name, 12345, 2000)
    out(stat_of(name, 'uid', 'gid'))
`,
  'chown: follows a symlink, lchown changes the symlink itself': `
make('file')
os.symlink('file', 'link')
os.chown('link', 12345, 12345)
os.lchown('link', 12346, 2000)
out(stat_of('file', 'uid', 'gid'), stat_of('link', 'uid', 'gid'))
`,
  'lchown: of a symlink that leads nowhere': `
os.symlink('nowhere', 'link')
out(t(os.chown, 'link', 1, 1), t(os.lchown, 'link', 12345, 2000), stat_of('link', 'uid', 'gid'))
`,
  'fchown: changes an open file, also one that has no name any more': `
make('file')
fd = os.open('file', O_RDONLY)
os.fchown(fd, 12345, 2000)
out(stat_of('file', 'uid', 'gid'))
os.unlink('file')
os.fchown(fd, 12346, -1)
out(stat_of(fd, 'uid', 'gid'))
`,
  'fchown: a descriptor of O_PATH, and one that is closed, are EBADF': `
make('file')
fd = os.open('file', O_PATH)
out(t(os.fchown, fd, 1, 1))
os.close(fd)
out(t(os.fchown, fd, 1, 1), stat_of('file', 'uid', 'gid'))
`,
  'fchownat: AT_EMPTY_PATH changes what a descriptor of O_PATH means, even a symlink': `
make('file')
os.symlink('file', 'link')
fd = os.open('link', O_PATH | O_NOFOLLOW)
out(t(lambda: call('fchownat', fd, '', 12345, 2000, AT_EMPTY_PATH)))
out(stat_of('link', 'uid', 'gid'), stat_of('file', 'uid', 'gid'))
`,
  'fchownat: a flag that is none is EINVAL': `
make('file')
out(t(lambda: call('fchownat', AT_FDCWD, 'file', 1, 1, 0x40000000)), stat_of('file', 'uid', 'gid'))
`,
  'chown: the owner may give his file to groups that he is in': `
make('file', 0o644, 12345, 12345)
out(as_user(ALICE, lambda: os.chown('file', -1, 3000)), stat_of('file', 'uid', 'gid'))
out(as_user(ALICE, lambda: os.chown('file', 12345, 12345)), stat_of('file', 'uid', 'gid'))
out(as_user(ALICE_STAFF, lambda: os.chown('file', -1, 2000)), stat_of('file', 'uid', 'gid'))
`,
  'chown: the owner gets EPERM for a group that he is not in, but not for the one that the file has': `
make('file', 0o644, 12345, 4000)
out(as_user(ALICE, lambda: os.chown('file', -1, 2000)), as_user(ALICE, lambda: os.chown('file', -1, 0)))
out(as_user(ALICE, lambda: os.chown('file', -1, 4000)), as_user(ALICE, lambda: os.chown('file', 12345, 4000)))
out(stat_of('file', 'uid', 'gid'))
`,
  'chown: the owner can not give his file away: EPERM': `
make('file', 0o644, 12345, 12345)
out(as_user(ALICE, lambda: os.chown('file', 12346, -1)), as_user(ALICE, lambda: os.chown('file', 0, 12345)))
out(as_user(ALICE, lambda: os.chown('file', 12345, -1)), stat_of('file', 'uid', 'gid'))
`,
  'chown: whoever is neither owner nor root gets EPERM, even to the owner that is there': `
make('file', 0o666, 12345, 2000)
out(as_user(BOB, lambda: os.chown('file', 12346, -1)), as_user(BOB, lambda: os.chown('file', -1, 2000)))
out(as_user(BOB, lambda: os.chown('file', -1, 12346)), as_user(BOB, lambda: os.chown('file', 12345, 2000)))
out(stat_of('file', 'uid', 'gid'))
`,
  'lchown, fchown: whoever is neither owner nor root gets EPERM': `
make('file', 0o666, 12345, 2000)
os.symlink('file', 'link')
fd = os.open('file', O_RDWR)
out(as_user(BOB, lambda: os.lchown('link', 12346, -1)), as_user(BOB, lambda: os.fchown(fd, 12346, -1)))
out(stat_of('file', 'uid'), stat_of('link', 'uid'))
`,
  'chown: -1 for both is nothing that one must own the file for': `
make('file', 0o644, 12345, 12345)
out(as_user(BOB, lambda: os.chown('file', -1, -1)))
`,
  'chown: moves ctime, not mtime': `
make('file')
out(moved_ctime('file', lambda: os.chown('file', 12345, -1)))
`,
  'chown: by root takes S_ISUID, and S_ISGID where the group may execute': `
for bits in (0o6777, 0o4755, 0o2755, 0o4644, 0o6711):
    make('file', bits)
    os.chown('file', 12345, 12345)
    out(bits_of('file'))
`,
  'chown: by root leaves S_ISGID where the group may not execute': `
for bits in (0o2644, 0o6644, 0o2701):
    make('file', bits)
    os.chown('file', 12345, 2000)
    out(bits_of('file'))
`,
  'chown: to the ids that are there, and to -1, takes the bits as well': `
make('file', 0o6755)
os.chown('file', 0, 0)
out(bits_of('file'))
os.chmod('file', 0o6755)
os.chown('file', -1, -1)
out(bits_of('file'))
os.chmod('file', 0o6755)
os.chown('file', -1, 0)
out(bits_of('file'))
`,
  'chown: by the owner takes S_ISUID and S_ISGID': `
for bits in (0o6777, 0o4755, 0o2755):
    make('file', bits, 12345, 12345)
    out(as_user(ALICE, lambda: os.chown('file', -1, 3000)), bits_of('file'))
    os.unlink('file')
`,
  'chown: by the owner leaves S_ISGID where the group may not execute and he is in it': `
make('file', 0o2644, 12345, 12345)
out(as_user(ALICE, lambda: os.chown('file', -1, 3000)), bits_of('file'))
`,
  'chown: by an owner outside of the group takes S_ISGID where the group may not execute, too': {
    script: `
make('file', 0o2644, 12345, 2000)
out(as_user(ALICE, lambda: os.chown('file', -1, 3000)), bits_of('file'), stat_of('file', 'gid'))
`,
    fuse: { out: ['ok', '0o2644', [3000]], why: SGID },
  },
  'chown: by the owner with -1 for both takes the bits': `
make('file', 0o6755, 12345, 12345)
out(as_user(ALICE, lambda: os.chown('file', -1, -1)), bits_of('file'))
`,
  // The mode is left to the server and taken out of what is checked: fs/fuse/dir.c, fuse_setattr. On the wire the
  // request is the same that goes before a write by somebody who may write, so that the server can't refuse it.
  'chown: by another with -1 for both is EPERM where there are bits to take': {
    script: `
make('file', 0o6755, 12345, 12345)
out(as_user(BOB, lambda: os.chown('file', -1, -1)), bits_of('file'))
`,
    fuse: { out: ['ok', '0o755'], why: 'chown(2) with -1 for both' },
  },
  'chown: leaves the bits of directories': `
make_dir('dir', 0o7777)
os.chown('dir', 12345, 12345)
out(bits_of('dir'))
out(as_user(ALICE, lambda: os.chown('dir', -1, 3000)), bits_of('dir'), stat_of('dir', 'uid', 'gid'))
`,
  'chown: takes the bits of fifos and devices, too': `
os.mkfifo('fifo')
os.mknod('chr', stat.S_IFCHR, os.makedev(1, 3))
for name in ('fifo', 'chr'):
    os.chmod(name, 0o6755)
    os.chown(name, 12345, 12345)
    out(bits_of(name))
`,
  'chown: leaves the sticky bit': `
make('file', 0o7755)
os.chown('file', 12345, 12345)
out(bits_of('file'))
`,
  'lchown, fchown: take the bits as chown does': `
make('file', 0o6755)
os.lchown('file', 12345, 12345)
out(bits_of('file'))
os.chmod('file', 0o6755)
fd = os.open('file', O_RDONLY)
os.fchown(fd, 0, 0)
out(bits_of('file'))
`,
  'chown: takes security.capability': `
make('file', 0o755)
os.setxattr('file', 'security.capability', CAPABILITY)
os.chown('file', 12345, 12345)
out(t(os.getxattr, 'file', 'security.capability'))
os.setxattr('file', 'security.capability', CAPABILITY)
out(as_user(ALICE, lambda: os.chown('file', -1, 3000)), t(os.getxattr, 'file', 'security.capability'))
`,
};

/** What changes a file's content, or seems to: `f` makes the call on 'file', of 8,192 bytes. */
// biome-ignore format: a table, one call a line
const changes: Readonly<Record<string, string>> = {
  write: `fd = os.open('file', O_WRONLY); os.write(fd, b'x')`,
  'write of nothing': `fd = os.open('file', O_WRONLY); os.write(fd, b'')`,
  'write with O_APPEND': `fd = os.open('file', O_WRONLY | O_APPEND); os.write(fd, b'x')`,
  pwrite: `fd = os.open('file', O_RDWR); os.pwrite(fd, b'x', 20000)`,
  writev: `fd = os.open('file', O_WRONLY); os.writev(fd, [b'x', b'y'])`,
  truncate: `os.truncate('file', 10)`,
  'truncate to the same size': `os.truncate('file', 8192)`,
  'truncate to more': `os.truncate('file', 20000)`,
  ftruncate: `fd = os.open('file', O_WRONLY); os.ftruncate(fd, 10)`,
  'open O_TRUNC': `opened('file', O_WRONLY | O_TRUNC)`,
  'open O_TRUNC of an empty file': `os.truncate('file', 0); os.chmod('file', bits); opened('file', O_RDWR | O_TRUNC)`,
  'open O_TRUNC for reading': `opened('file', O_RDONLY | O_TRUNC)`,
  'open O_WRONLY': `opened('file', O_WRONLY)`,
  'open O_CREAT of what is there': `opened('file', O_RDWR | O_CREAT, 0o600)`,
  fallocate: `fd = os.open('file', O_WRONLY); fallocate(fd, 0, 0, 20000)`,
  'fallocate KEEP_SIZE': `fd = os.open('file', O_WRONLY); fallocate(fd, KEEP_SIZE, 8192, 8192)`,
  'fallocate PUNCH_HOLE': `fd = os.open('file', O_WRONLY); fallocate(fd, KEEP_SIZE | PUNCH_HOLE, 0, 4096)`,
  copy_file_range: `fd = os.open('file', O_WRONLY); copy_range(source, 0, fd, 0, 5000)`,
  sendfile: `fd = os.open('file', O_WRONLY); os.sendfile(fd, source, 0, 5000)`,
  'a write through mmap': `fd = os.open('file', O_RDWR); m = mmap.mmap(fd, 4096); m[0:4] = b'text'; m.flush(); m.close()`,
  read: `fd = os.open('file', O_RDONLY); os.read(fd, 10)`,
  utimensat: `os.utime('file', (1, 1))`,
  link: `os.link('file', 'common/other'); os.unlink('common/other')`,
  rename: `os.rename('file', 'common/other'); os.rename('common/other', 'file')`,
};
/** Those that only the owner can make. */
const OWNERS = new Set(['utimensat', 'open O_TRUNC of an empty file', 'link']);

/** Those of which one stands for all that go the same way into the kernel. */
const SAMPLES = ['write', 'truncate', 'open O_TRUNC', 'fallocate', 'copy_file_range'];

/** What a change by each user leaves of the bits of a file that is Alice's and of her supplementary group. */
function afterChange(change: string, users: readonly string[], modes: readonly string[]): string {
  return `
ALICE_OUTSIDE = (12345, 12345, [12345])
os.chmod('.', 0o777)
make('source', 0o644, 0, 0, b's' * 8192)
source = os.open('source', O_RDONLY)
bits = 0
def f():
    ${change.replaceAll('; ', '\n    ')}
for who in (${users.join(', ')}):
    left = []
    for bits in (${modes.join(', ')}):
        make('file', bits, 12345, 3000, b'f' * 8192)
        left += [as_user(who, f), bits_of('file')]
        os.unlink('file')
    out(left)
`;
}

/** What it leaves of security.capability, by root and by the owner. */
function capabilityAfterChange(change: string): string {
  return `
os.chmod('.', 0o777)
make('source', 0o644, 0, 0, b's' * 8192)
source = os.open('source', O_RDONLY)
bits = 0o755
def f():
    ${change.replaceAll('; ', '\n    ')}
for who in (ROOT, ALICE):
    make('file', bits, 12345, 12345, b'f' * 8192)
    os.setxattr('file', 'security.capability', CAPABILITY)
    out(as_user(who, f), 'security.capability' in os.listxattr('file'))
    os.unlink('file')
`;
}

function* afterChanges(): Generator<[string, string | Row]> {
  for (const [name, change] of Object.entries(changes)) {
    const users = ['ROOT', 'ALICE', 'ALICE_OUTSIDE', ...(OWNERS.has(name) ? [] : ['BOB'])];
    yield [
      `${name}: what it leaves of S_ISUID, and of S_ISGID where the group may execute`,
      afterChange(change, users, ['0o6777', '0o4666', '0o2676', '0o7757']),
    ];
    yield [`${name}: whether it leaves security.capability`, capabilityAfterChange(change)];
  }
  for (const name of SAMPLES)
    yield [
      `${name}: takes S_ISGID where the group may not execute from whoever is not in the group`,
      {
        script: afterChange(changes[name]!, ['ROOT', 'ALICE', 'ALICE_OUTSIDE', 'BOB'], ['0o2666', '0o7767']),
        fuse: {
          out: [
            ['ok', '0o2666', 'ok', '0o7767'],
            ['ok', '0o2666', 'ok', '0o3767'],
            ['ok', '0o2666', 'ok', '0o3767'],
            ['ok', '0o2666', 'ok', '0o3767'],
          ],
          why: SGID,
        },
      },
    ];
}

/** Each call that makes a file, in the directory `d`. */
// biome-ignore format: a table, one call a line
const makers: Readonly<Record<string, string>> = {
  open: `opened(d + '/open', O_CREAT | O_WRONLY, 0o7777)`,
  creat: `os.close(call('creat', d + '/creat', 0o666))`,
  mkdir: `os.mkdir(d + '/mkdir', 0o7777)`,
  'mknod of a file': `os.mknod(d + '/mknod', stat.S_IFREG | 0o7777)`,
  'mknod of a socket': `os.mknod(d + '/sock', stat.S_IFSOCK | 0o7777)`,
  'mknod of a device 0:0': `os.mknod(d + '/dev', stat.S_IFCHR | 0o7777, 0)`,
  mkfifo: `os.mkfifo(d + '/fifo', 0o7777)`,
  bind: `socket.socket(socket.AF_UNIX).bind(d + '/bound')`,
  symlink: `os.symlink('x', d + '/link')`,
};

function* makings(): Generator<[string, string]> {
  for (const [name, making] of Object.entries(makers)) {
    yield [
      `${name}: the new file's mode under umasks, and its owner`,
      `
def f():
    for umask in (0, 0o022, 0o077, 0o777, 0o027):
        d = 'common/%o' % umask
        os.mkdir(d)
        os.umask(umask)
        ${making}
        os.umask(0)
    return 'ok'
out(as_user(ALICE_STAFF, f))
for d in sorted(os.listdir('common')):
    for name in ls('common/' + d):
        out([d, name, mode(f'common/{d}/{name}'), stat_of(f'common/{d}/{name}', 'uid', 'gid')])
`,
    ];
    yield [
      `${name}: in a setgid directory the group is the directory's`,
      `
def f():
    ${making}
for name, gid in (('member', 3000), ('outside', 2000)):
    d = make_dir(name, 0o2777, 0, gid)
    out(as_user(ALICE, f))
    for name in ls(d):
        out([d, name, mode(f'{d}/{name}'), stat_of(f'{d}/{name}', 'uid', 'gid')])
d = make_dir('roots', 0o2777, 0, 2000)
f()
for name in ls(d):
    out([d, name, mode(f'{d}/{name}'), stat_of(f'{d}/{name}', 'uid', 'gid')])
`,
    ];
    yield [
      `${name}: in a directory that the user may not write to, or not search, is EACCES`,
      `
def f():
    ${making}
for bits in (0o755, 0o776, 0o772, 0o773, 0o777):
    d = make_dir('d%o' % bits, bits)
    out([d, as_user(ALICE, f), len(os.listdir(d))])
`,
    ];
  }
}

const setgid: Table = {
  "open O_TMPFILE: in a setgid directory the group is the directory's": `
make_dir('dir', 0o2777, 0, 2000)
def f():
    fd = os.open('dir', O_TMPFILE | O_RDWR, 0o2775)
    return [stat_of(fd, 'uid', 'gid'), oct(os.fstat(fd).st_mode)]
out(as_user(ALICE, f), as_user(BOB, f), f())
`,
  'open: a setgid file for the group to execute needs its maker in the group of the setgid directory': `
make_dir('dir', 0o2777, 0, 2000)
def f(name, bits):
    os.umask(0)
    opened('dir/' + name, O_CREAT | O_WRONLY, bits)
    return bits_of('dir/' + name)
for who, name in ((ALICE, 'alice'), (BOB, 'bob'), (ROOT, 'root')):
    out([as_user(who, lambda: f(name + '%o' % bits, bits)) for bits in (0o2755, 0o2745, 0o6777, 0o2767)])
`,
  'open: in a directory that is not setgid, anybody makes a setgid file of his group': `
def f():
    os.umask(0)
    opened('common/file', O_CREAT | O_WRONLY, 0o2775)
    return [bits_of('common/file'), stat_of('common/file', 'gid')]
out(as_user(ALICE, f))
`,
  'mkdir: S_ISGID in its mode is not looked at, the sticky bit is': `
os.umask(0)
os.mkdir('dir', 0o7777)
out(bits_of('dir'))
`,
  'mkdir: S_ISGID goes down all levels of a setgid directory, and its group with it': `
make_dir('dir', 0o2777, 0, 2000)
def f():
    os.umask(0)
    os.makedirs('dir/a/b/c')
    return [[bits_of('dir/' + name), stat_of('dir/' + name, 'uid', 'gid')] for name in ('a', 'a/b', 'a/b/c')]
out(as_user(ALICE, f))
`,
  'rename: into a setgid directory changes neither group nor bits': `
make_dir('dir', 0o2777, 0, 2000)
make('file', 0o640, 12345, 12345)
make_dir('other', 0o750, 12345, 12345)
os.rename('file', 'dir/file')
os.rename('other', 'dir/other')
for name in ('file', 'other'):
    out(bits_of('dir/' + name), stat_of('dir/' + name, 'uid', 'gid'))
`,
  'link: into a setgid directory changes neither group nor bits': `
make_dir('dir', 0o2777, 0, 2000)
make('file', 0o640, 12345, 12345)
os.link('file', 'dir/file')
out(bits_of('dir/file'), stat_of('dir/file', 'uid', 'gid'))
`,
};

/** What removes or moves an entry `d/it`, which is a file or a directory. */
// biome-ignore format: a table, one call a line
const removals: Readonly<Record<string, { readonly call: string; readonly it: 'file' | 'dir' }>> = {
  unlink: { call: `os.unlink(d + '/it')`, it: 'file' },
  rmdir: { call: `os.rmdir(d + '/it')`, it: 'dir' },
  'rename of a file': { call: `os.rename(d + '/it', d + '/new')`, it: 'file' },
  'rename of a directory': { call: `os.rename(d + '/it', d + '/new')`, it: 'dir' },
  'rename over a file': { call: `os.rename(own, d + '/it')`, it: 'file' },
  'renameat2 EXCHANGE': { call: `renameat2(own, d + '/it', RENAME_EXCHANGE)`, it: 'file' },
};

function* sticky(): Generator<[string, string]> {
  for (const [name, { call, it }] of Object.entries(removals)) {
    yield [
      `${name}: in a sticky directory only by the entry's owner, the directory's owner or root, else EPERM`,
      `
CAROL = (12347, 12347, [12347])
count = 0
for who in (ALICE, BOB, CAROL, ROOT):
    count += 1
    d = make_dir('dir%d' % count, 0o1777, 12345, 12345)
    ${it === 'file' ? `make(d + '/it', 0o666, 12346, 12346)` : `make_dir(d + '/it', 0o777, 12346, 12346)`}
    own = make('common/own%d' % count, 0o666, who[0], who[1])
    def f():
        ${call}
    out(as_user(who, f), ls(d))
`,
    ];
    yield [
      `${name}: needs write and search permission on the directory, none on the entry`,
      `
for bits in (0o755, 0o772, 0o774, 0o776, 0o771, 0o773):
    d = make_dir('d%o' % bits, bits)
    ${it === 'file' ? `make(d + '/it', 0, 12346, 12346)` : `make_dir(d + '/it', 0, 12346, 12346)`}
    own = make('common/own%o' % bits, 0, 12345, 12345)
    def f():
        ${call}
    out([d, as_user(ALICE, f), ls(d)])
`,
    ];
  }
}

const directories: Table = {
  'rename: needs write permission on both directories': `
for one, other in ((0o777, 0o755), (0o755, 0o777), (0o777, 0o777)):
    a, b = make_dir('a%o%o' % (one, other), one), make_dir('b%o%o' % (one, other), other)
    make(a + '/file')
    out(as_user(ALICE, lambda: os.rename(a + '/file', b + '/file')), ls(a), ls(b))
`,
  'rename: a directory that moves to another needs to be writable, for its .. changes': `
make_dir('common/roots', 0o755)
make_dir('common/place', 0o777)
make_dir('common/hers', 0o755, 12345, 12345)
out(as_user(ALICE, lambda: os.rename('common/roots', 'common/place/roots')))
out(as_user(ALICE, lambda: os.rename('common/roots', 'common/still')))
out(as_user(ALICE, lambda: os.rename('common/hers', 'common/place/hers')), ls('common'), ls('common/place'))
`,
  'renameat2 EXCHANGE: both directories that change places need to be writable': `
make_dir('a', 0o777)
make_dir('b', 0o777)
make_dir('a/roots', 0o755)
make_dir('b/hers', 0o755, 12345, 12345)
make_dir('b/also', 0o755, 12345, 12345)
out(as_user(ALICE, lambda: renameat2('a/roots', 'b/hers', RENAME_EXCHANGE)))
out(as_user(ALICE, lambda: renameat2('b/hers', 'a/roots', RENAME_EXCHANGE)))
os.chmod('a/roots', 0o777)
out(as_user(ALICE, lambda: renameat2('b/hers', 'a/roots', RENAME_EXCHANGE)))
out(stat_of('a/roots', 'uid'), stat_of('b/hers', 'uid'))
`,
  'renameat2 WHITEOUT: a user may leave the mark of a whiteout': `
make('home/file', 0o644, 12345, 12345)
out(as_user(ALICE, lambda: renameat2('home/file', 'home/new', RENAME_WHITEOUT)))
out(mode('home/file'), stat_of('home/file', 'rdev', 'uid', 'gid'))
`,
  'link: into a directory that may not be written to is EACCES': `
make('home/file', 0o644, 12345, 12345)
make_dir('dir', 0o755)
make_dir('blind', 0o776)
out(as_user(ALICE, lambda: os.link('home/file', 'dir/file')), as_user(ALICE, lambda: os.link('home/file', 'blind/file')))
out(as_user(ALICE, lambda: os.link('home/file', 'home/other')), ls('home'))
`,
  'mknod: a device by a user is EPERM, but for the character device 0:0': `
f = lambda kind, rdev: os.mknod('common/node', kind | 0o666, rdev)
out(as_user(ALICE, lambda: f(stat.S_IFCHR, os.makedev(1, 3))), as_user(ALICE, lambda: f(stat.S_IFBLK, os.makedev(7, 0))))
out(as_user(ALICE, lambda: f(stat.S_IFBLK, 0)), as_user(ALICE, lambda: f(stat.S_IFCHR, 0)), mode('common/node'))
`,
  'open: a directory is listed with read permission, and its names are of use with search permission': `
make_dir('listed', 0o754)
make_dir('searched', 0o751)
make('listed/file')
make('searched/file')
out(as_user(ALICE, lambda: ls('listed')), as_user(ALICE, lambda: stat_of('listed/file', 'size')))
out(as_user(ALICE, lambda: ls('searched')), as_user(ALICE, lambda: stat_of('searched/file', 'size')))
`,
  'chdir: needs search permission': `
make_dir('listed', 0o754)
make_dir('searched', 0o751)
out(as_user(ALICE, lambda: os.chdir('listed')), as_user(ALICE, lambda: os.chdir('searched')))
`,
  'fchdir: needs search permission at the time of the call': `
make_dir('dir', 0o744)
def f():
    fd = os.open('dir', O_RDONLY)
    return [t(os.fchdir, fd), t(os.fchdir, searched)]
searched = os.open(make_dir('searched', 0o701), O_RDONLY)
out(as_user(ALICE, f))
`,
  'openat: the directory of a descriptor needs search permission each time': `
make_dir('dir', 0o755)
make('dir/file')
fd = os.open('dir', O_RDONLY)
f = lambda: as_user(ALICE, lambda: os.close(os.open('file', O_RDONLY, dir_fd=fd)))
out(f())
os.chmod('dir', 0o744)
out(f(), as_user(ALICE, lambda: sorted(os.listdir(fd))))
`,
  'path: every directory on the way needs search permission, also those that .. leaves': `
make_dir('a', 0o755)
make_dir('a/closed', 0o744)
make('a/file', 0o644)
make('a/closed/file', 0o644)
f = lambda name: as_user(ALICE, lambda: opened(name))
out(f('a/file'), f('a/closed/file'), f('a/closed/../file'), f('a/closed/.'), f('a/closed'))
`,
  'path: a directory whose permission has gone is closed at once': `
make_dir('dir', 0o755)
make('dir/file', 0o644)
f = lambda: as_user(ALICE, lambda: opened('dir/file'))
out(f())
os.chmod('dir', 0o700)
out(f())
os.chmod('dir', 0o755)
out(f())
os.chown('dir', 12346, 12346)
os.chmod('dir', 0o700)
out(f())
`,
};

const opening: Table = {
  'open: which of the three bits each access mode needs': `
def f(bits):
    made = []
    for flags in (O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_WRONLY | O_APPEND):
        made.append(t(opened, 'common/%o' % bits, flags))
    return made
for bits in range(8):
    make('common/%o' % bits, bits)
    out([bits, as_user(ALICE, lambda: f(bits))])
`,
  'open: a directory with each of the three bits': `
def f(bits):
    return [t(opened, 'common/%o' % bits, flags) for flags in (O_RDONLY, O_RDONLY | O_DIRECTORY, O_WRONLY, O_PATH)]
for bits in range(8):
    make_dir('common/%o' % bits, bits)
    out([bits, as_user(ALICE, lambda: f(bits))])
`,
  'open: the owner has the bits of the owner alone, though group and others have more': `
make('file', 0o077, 12345, 12345)
out(as_user(ALICE, lambda: opened('file')), as_user(ALICE, lambda: opened('file', O_WRONLY)))
`,
  'open: a member of the group has the bits of the group alone, though others have more': `
make('file', 0o707, 0, 2000)
out(as_user(BOB, lambda: opened('file')), as_user(ALICE_STAFF, lambda: opened('file')), as_user(ALICE, lambda: opened('file')))
`,
  'open: a supplementary group counts like the first': `
make('file', 0o640, 0, 2000)
out(as_user(BOB, lambda: opened('file')), as_user(BOB, lambda: opened('file', O_WRONLY)))
out(as_user(ALICE, lambda: opened('file')), as_user(ALICE_STAFF, lambda: opened('file')))
`,
  'open: any of many supplementary groups counts': `
make('file', 0o060, 0, 4040)
groups = list(range(4000, 4100))
out(as_user((12345, 12345, groups), lambda: opened('file', O_RDWR)))
groups.remove(4040)
out(as_user((12345, 12345, groups), lambda: opened('file', O_RDWR)))
`,
  'open: root reads and writes what has no permission bit': `
make('file', 0, 12345, 12345, b'text')
out(t(opened, 'file', O_RDWR), read('file'))
make_dir('dir', 0, 12345, 12345)
write('dir/file', b'x')
out(ls('dir'))
`,
  'open O_CREAT: the descriptor is open as asked for, whatever the new mode says': `
def f():
    fd = os.open('home/file', O_RDWR | O_CREAT, 0o444)
    return [os.write(fd, b'text'), os.pread(fd, 10, 0), t(opened, 'home/file', O_WRONLY), bits_of('home/file')]
out(as_user(ALICE, f))
def g():
    fd = os.open('home/none', O_RDWR | O_CREAT, 0)
    return [os.write(fd, b'text'), os.pread(fd, 10, 0), t(opened, 'home/none'), bits_of('home/none')]
out(as_user(ALICE, g))
`,
  'open O_CREAT: a file that is there needs the permission on itself, none on the directory': `
make('file', 0o644)
make('open', 0o666)
out(as_user(ALICE, lambda: opened('file', O_CREAT | O_RDWR)), as_user(ALICE, lambda: opened('open', O_CREAT | O_RDWR)))
`,
  'open O_CREAT | O_EXCL: what is there is EEXIST, also in a directory that may not be written to': `
make('file', 0o644)
out(as_user(ALICE, lambda: opened('file', O_CREAT | O_EXCL | O_RDWR)))
`,
  'open O_TMPFILE: needs write and search permission on the directory': `
for bits in (0o755, 0o772, 0o774, 0o773, 0o777):
    d = make_dir('d%o' % bits, bits)
    out([d, as_user(ALICE, lambda: opened(d, O_TMPFILE | O_RDWR, 0o600))])
`,
  'open O_TMPFILE: its mode is subject to the umask': `
for umask in (0, 0o022, 0o077, 0o777):
    os.umask(umask)
    fd = os.open('.', O_TMPFILE | O_RDWR, 0o7777)
    out(oct(os.fstat(fd).st_mode))
    os.close(fd)
`,
  'open O_PATH: needs no permission on the file': `
make('file', 0)
out(as_user(ALICE, lambda: opened('file', O_PATH)))
`,
  'open: through /proc/self/fd a descriptor of O_PATH needs the permission': `
make('file', 0o640)
def f():
    fd = os.open('file', O_PATH)
    return [t(opened, '/proc/thread-self/fd/%d' % fd), t(os.access, '/proc/thread-self/fd/%d' % fd, os.R_OK)]
out(as_user(ALICE, f))
`,
  'open O_NOATIME: by whoever is neither owner nor root is EPERM': `
make('file', 0o666, 12345, 12345)
f = lambda: opened('file', O_RDONLY | O_NOATIME)
out(as_user(BOB, f), as_user(ALICE, f), as_user(ROOT, f))
`,
  'fcntl F_SETFL O_NOATIME: by whoever is neither owner nor root is EPERM': `
make('file', 0o666, 12345, 12345)
def f():
    fd = os.open('file', O_RDONLY)
    return fcntl.fcntl(fd, F_SETFL, O_NOATIME)
out(as_user(BOB, f), as_user(ALICE, f))
`,
  'open: a fifo and a device ask for their permission, too': `
os.mkfifo('fifo', 0o600)
os.mknod('null', stat.S_IFCHR | 0o640, os.makedev(1, 3))
out(as_user(ALICE, lambda: opened('fifo', O_RDONLY | O_NONBLOCK)), as_user(ALICE, lambda: opened('null', O_RDONLY)))
`,
  'connect: to a socket without write permission is EACCES': `
server = socket.socket(socket.AF_UNIX)
server.bind('socket')
server.listen()
def f():
    socket.socket(socket.AF_UNIX).connect('socket')
os.chmod('socket', 0o755)
out(as_user(ALICE, f))
os.chmod('socket', 0o722)
out(as_user(ALICE, f))
`,
  'bind: in a directory that may not be written to is EACCES': `
out(as_user(ALICE, lambda: socket.socket(socket.AF_UNIX).bind('socket')))
`,
  'truncate: without write permission is EACCES': `
make('file', 0o644, 0, 0, b'text')
out(as_user(ALICE, lambda: os.truncate('file', 0)), read('file'))
os.chmod('file', 0o622)
out(as_user(ALICE, lambda: os.truncate('file', 2)), read('file'))
`,
  'stat, readlink: need no permission on the file': `
make('file', 0, 12346, 12346, b'text')
os.symlink('target', 'link')
out(as_user(ALICE, lambda: [stat_of('file', 'size', 'uid'), os.readlink('link')]))
`,
  'statfs: needs no permission on the file': `
make('file', 0)
out(as_user(ALICE, lambda: os.statvfs('file').f_namemax))
`,
};

const access: Table = {
  'access: each mode with each of the three bits': `
def f(bits):
    return [os.access('common/%o' % bits, how) for how in range(8)]
for bits in range(8):
    make('common/%o' % bits, bits)
    out([bits, as_user(ALICE, lambda: f(bits))])
`,
  'access: of a directory': `
def f(bits):
    return [os.access('common/%o' % bits, how) for how in range(8)]
for bits in range(8):
    make_dir('common/%o' % bits, bits)
    out([bits, as_user(ALICE, lambda: f(bits))])
`,
  'access: the errno of what is not allowed is EACCES': `
make('file', 0o600)
out([as_user(ALICE, lambda: call('access', 'file', how)) for how in (0, 1, 2, 4, 7)])
`,
  'access: owner, group and others, each by its own bits': `
make('file', 0o421, 12345, 2000)
for who in (ALICE, BOB, (12347, 12347, [12347])):
    out(as_user(who, lambda: [os.access('file', how) for how in (os.R_OK, os.W_OK, os.X_OK)]))
`,
  'access: root may read and write anything, and execute what has an x bit': `
for bits in (0, 0o666, 0o100, 0o010, 0o001):
    make('file', bits, 12345, 12345)
    out([os.access('file', how) for how in (os.R_OK | os.W_OK, os.X_OK)])
make_dir('dir', 0)
out([os.access('dir', how) for how in (os.R_OK | os.W_OK, os.X_OK)])
`,
  'access: a mode that is none is EINVAL': `
make('file')
out(t(lambda: call('access', 'file', 8)), t(lambda: call('access', 'file', -1)))
`,
  'faccessat2: a flag that is none is EINVAL': `
make('file')
out(t(lambda: call('syscall', 439, AT_FDCWD, 'file', 4, 0x40000000)))
`,
  'access: asks for the real user, faccessat2 AT_EACCESS for the effective one': `
make('file', 0o600, 12345, 12345)
def f():
    os.setgroups([])
    os.setresuid(12346, 12345, 12345)
    at = lambda flags: t(lambda: call('syscall', 439, AT_FDCWD, 'file', 4, flags))
    return [t(lambda: call('access', 'file', 4)), at(0), at(0x200), t(opened, 'file')]
out(spawn(f)())
def g():
    os.setgroups([])
    os.setresuid(12345, 12346, 0)
    at = lambda flags: t(lambda: call('syscall', 439, AT_FDCWD, 'file', 4, flags))
    return [t(lambda: call('access', 'file', 4)), at(0), at(0x200), t(opened, 'file')]
out(spawn(g)())
`,
  'access: asks for the real group': `
make('file', 0o060, 0, 2000)
def f():
    os.setgroups([])
    os.setresgid(2000, 12345, 12345)
    os.setresuid(12345, 12345, 12345)
    at = lambda flags: t(lambda: call('syscall', 439, AT_FDCWD, 'file', 4, flags))
    return [at(0), at(0x200)]
out(spawn(f)())
`,
  'faccessat2: AT_SYMLINK_NOFOLLOW asks for the symlink itself': `
make('file', 0)
os.symlink('file', 'link')
os.symlink('nowhere', 'dangling')
at = lambda name, flags: as_user(ALICE, lambda: call('syscall', 439, AT_FDCWD, name, 4, flags))
out(at('link', 0), at('link', AT_SYMLINK_NOFOLLOW), at('dangling', 0), at('dangling', AT_SYMLINK_NOFOLLOW))
`,
  'faccessat2: AT_EMPTY_PATH asks for a descriptor': `
make('file', 0o640)
def f():
    fd = os.open('file', O_PATH)
    return [t(lambda: call('syscall', 439, fd, '', how, AT_EMPTY_PATH)) for how in (0, 4, 2)]
out(as_user(ALICE, f), f())
`,
  'access: what chmod and chown change is seen at once': `
make('file', 0o600)
f = lambda: as_user(ALICE, lambda: os.access('file', os.R_OK))
out(f())
os.chmod('file', 0o604)
out(f())
os.chmod('file', 0o600)
out(f())
os.chown('file', 12345, -1)
out(f())
`,
};

const times: Table = {
  'utimensat: to now by whoever may write, else EACCES': `
make('written', 0o622)
make('read', 0o644)
now = lambda name: as_user(ALICE, lambda: os.utime(name))
out(now('written'), now('read'))
os.chown('read', 12345, -1)
os.chmod('read', 0)
out(now('read'))
`,
  'utimensat: to a given time by the owner alone, else EPERM': `
make('file', 0o666, 12345, 12345)
f = lambda: os.utime('file', (1, 2))
out(as_user(BOB, f), as_user(ALICE, f), stat_of('file', 'atime', 'mtime'), as_user(ROOT, lambda: os.utime('file', (3, 4))))
out(stat_of('file', 'atime', 'mtime'))
`,
  'utimensat: one to now and one left is for the owner, too': `
make('file', 0o666, 12345, 12345)
NOW, OMIT = (1 << 30) - 1, (1 << 30) - 2
def f(a, m):
    return call('utimensat', AT_FDCWD, 'file', struct.pack('<4q', 0, a, 0, m), 0)
for a, m in ((NOW, OMIT), (OMIT, NOW), (NOW, NOW), (OMIT, OMIT), (0, OMIT)):
    out([as_user(BOB, lambda: f(a, m)), as_user(ALICE, lambda: f(a, m))])
`,
  'utimensat: both left is nothing, not even a permission is asked for': `
make('file', 0)
OMIT = (1 << 30) - 2
def f():
    call('utimensat', AT_FDCWD, 'file', struct.pack('<4q', 0, OMIT, 0, OMIT), 0)
before = stat_of('file', 'ctime_ns')
time.sleep(0.02)
out(as_user(ALICE, f), stat_of('file', 'ctime_ns') == before)
`,
  'futimens: a descriptor that may write is enough for now, not for a given time': `
make('file', 0o600, 12345, 12345)
make('open', 0o666, 12345, 12345)
fd, other = os.open('file', O_RDWR), os.open('open', O_RDWR)
out(as_user(BOB, lambda: os.utime(fd)), as_user(BOB, lambda: os.utime(other)), as_user(BOB, lambda: os.utime(other, (1, 1))))
`,
  'utimensat: AT_SYMLINK_NOFOLLOW on a symlink by its owner, else EPERM': `
os.symlink('nowhere', 'link')
f = lambda: os.utime('link', (1, 2), follow_symlinks=False)
out(as_user(ALICE, f))
os.lchown('link', 12345, 12345)
out(as_user(ALICE, f), stat_of('link', 'mtime'))
`,
};

const executing: Table = {
  'execve: a file without an x bit is EACCES, for root as well': `
make('script', 0o644, 0, 0, b'#!/bin/sh\\nexit 0\\n')
f = lambda: os.execv(p('script'), ['script'])
out(as_user(ROOT, f), as_user(ALICE, f))
`,
  'execve: the x bit of the one who runs it counts; for root any does': `
def f():
    pid = os.fork()
    if pid == 0:
        try:
            os.execv(p('script'), ['script'])
        except OSError as error:
            os._exit(100 + error.errno)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
for bits in (0o744, 0o654, 0o645, 0o755):
    make('script', bits, 12345, 2000, b'#!/bin/sh\\nexit 7\\n')
    out([oct(bits)] + [as_user(who, f) for who in (ALICE, BOB, (12347, 12347, [12347]), ROOT)])
`,
  'execve: a program needs no read permission': `
with open('/bin/true', 'rb') as program:
    make('true', 0o711, 0, 0, program.read())
def f():
    pid = os.fork()
    if pid == 0:
        try:
            os.execv('true', ['true'])
        except OSError as error:
            os._exit(100 + error.errno)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), t(opened, 'true')]
out(as_user(ALICE, f))
`,
  'execve: a directory is EACCES, an empty file ENOEXEC, a script of no program ENOENT': `
os.mkdir('dir')
make('empty', 0o755)
make('script', 0o755, 0, 0, b'#!/no/such/program\\n')
out([spawn(lambda: os.execv(p(name), [name]))() for name in ('dir', 'empty', 'script')])
`,
  'execve: in a directory that may not be searched is EACCES': `
make_dir('closed', 0o744)
make('closed/script', 0o755, 0, 0, b'#!/bin/sh\\nexit 0\\n')
out(as_user(ALICE, lambda: os.execv(p('closed/script'), ['script'])))
`,
  'open: a program that runs is ETXTBSY for writing, and truncate as well': `
with open('/bin/sleep', 'rb') as program:
    make('sleep', 0o755, 0, 0, program.read())
reader, writer = os.pipe()
pid = os.fork()
if pid == 0:
    os.set_inheritable(writer, False)
    os.execv('./sleep', ['sleep', '10'])
os.close(writer)
os.read(reader, 1)
out(t(opened, 'sleep', O_WRONLY), t(os.truncate, 'sleep', 0), t(opened, 'sleep'))
os.kill(pid, 9)
os.waitpid(pid, 0)
out(t(opened, 'sleep', O_WRONLY))
`,
  'execve: a program that is open for writing is ETXTBSY': `
with open('/bin/true', 'rb') as program:
    make('true', 0o755, 0, 0, program.read())
fd = os.open('true', O_WRONLY)
out(spawn(lambda: os.execv('true', ['true']))())
`,
};

/** What of root's powers is which capability's. @see capabilities(7) */
const capabilities: Table = {
  'open: what root may despite the mode is CAP_DAC_OVERRIDE': `
DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2
make('file', 0o400, 12345, 12345)
make_dir('dir', 0o700, 12345, 12345)
make('dir/file', 0o644, 12345, 12345)
f = lambda: [t(opened, 'file'), t(opened, 'file', O_WRONLY), t(ls, 'dir'), t(opened, 'dir/file'), t(opened, 'dir/new', O_CREAT)]
out(without(DAC_OVERRIDE, f), without(DAC_OVERRIDE, lambda: without(DAC_READ_SEARCH, f)))
`,
  'chmod: what root may with the files of others is CAP_FOWNER': `
FOWNER = 3
make('file', 0o666, 12345, 12345)
make_dir('sticky', 0o1777, 12345, 12345)
make('sticky/file', 0o666, 12345, 12345)
out(without(FOWNER, lambda: os.chmod('file', 0o600)), without(FOWNER, lambda: os.utime('file', (1, 1))))
out(without(FOWNER, lambda: opened('file', O_NOATIME)), without(FOWNER, lambda: os.unlink('sticky/file')))
`,
  'chown: that root gives files away is CAP_CHOWN': `
CHOWN = 0
make('file')
out(without(CHOWN, lambda: os.chown('file', 12345, -1)), without(CHOWN, lambda: os.chown('file', -1, 2000)))
`,
  'mknod: that root makes devices is CAP_MKNOD': `
MKNOD = 27
f = lambda: os.mknod('null', stat.S_IFCHR | 0o666, os.makedev(1, 3))
out(without(MKNOD, f), t(f))
`,
  'write: that root leaves S_ISUID and S_ISGID is CAP_FSETID': `
FSETID = 4
def f(name, change):
    make(name, 0o6755, 0, 0, b'text')
    return [without(FSETID, change), bits_of(name)]
def writing():
    write_fd = os.open('written', O_WRONLY)
    os.write(write_fd, b'x')
out(f('written', writing), f('cut', lambda: os.truncate('cut', 1)), f('emptied', lambda: opened('emptied', O_WRONLY | O_TRUNC)))
`,
  'chmod: that root gives S_ISGID of any group is CAP_FSETID': `
FSETID = 4
make('file', 0o644, 0, 2000)
out(without(FSETID, lambda: os.chmod('file', 0o2755)), bits_of('file'))
make_dir('dir', 0o2777, 0, 2000)
out(without(FSETID, lambda: opened('dir/file', O_CREAT | O_WRONLY, 0o2755)), bits_of('dir/file'))
`,
};

export const rows: Table = placed({
  ...chmod,
  ...chown,
  ...Object.fromEntries(afterChanges()),
  ...Object.fromEntries(makings()),
  ...setgid,
  ...Object.fromEntries(sticky()),
  ...directories,
  ...opening,
  ...access,
  ...times,
  ...executing,
  ...capabilities,
});
