/**
 * The POSIX table: POSIX ACLs. Lists are written as setfacl(1) takes them, `u::rw-,u:12345:r--,g::r--,m::rw-,o::---`,
 * and go through the xattrs raw, so that a row sees what the filesystem keeps; some rows use setfacl and getfacl.
 */
import { MOUNTS } from './names-paths.ts';
import type { Row, Table } from './table.ts';

/** Words for ACLs. `get` and `put` do not follow symlinks. */
const ACLS = `
ACCESS, DEFAULT = 'system.posix_acl_access', 'system.posix_acl_default'
NOBODY = 0xffffffff
CAROL = (12347, 12347, [12347])
def entry(tag, perm, id=NOBODY):
    return struct.pack('<HHI', tag, perm, id)
def entries(text):
    for each in text.split(','):
        who, id, rwx = each.split(':')
        tag = {'u': 1, 'g': 4, 'm': 16, 'o': 32}[who] << (id != '')
        yield entry(tag, sum(4 >> i for i in range(3) if rwx[i] != '-'), int(id or NOBODY))
def acl(text):
    return struct.pack('<I', 2) + b''.join(entries(text))
def text_of(value):
    assert struct.unpack_from('<I', value) == (2,), value
    told = []
    for at in range(4, len(value), 8):
        tag, perm, id = struct.unpack_from('<HHI', value, at)
        assert (id == NOBODY) == (tag not in (2, 8)), value
        rwx = ''.join('rwx'[i] if perm & 4 >> i else '-' for i in range(3))
        told.append('%s:%s:%s' % ({1: 'u', 2: 'u', 4: 'g', 8: 'g', 16: 'm', 32: 'o'}[tag], '' if id == NOBODY else id, rwx))
    return ','.join(told)
def put(name, text, which=ACCESS):
    os.setxattr(name, which, acl(text), follow_symlinks=isinstance(name, int))
def get(name, which=ACCESS):
    return t(lambda: text_of(os.getxattr(name, which, follow_symlinks=isinstance(name, int))))
def make(name, bits=0o600, uid=0, gid=0, data=b'text'):
    write(name, data)
    os.chown(name, uid, gid)
    os.chmod(name, bits)
def make_dir(name, bits=0o755, uid=0, gid=0):
    os.mkdir(name)
    os.chown(name, uid, gid)
    os.chmod(name, bits)
def opened(name, flags=O_RDONLY, bits=0o644):
    os.close(os.open(name, flags, bits))
def may(who, name='file'):
    """What of rwx somebody may."""
    return as_user(who, lambda: ''.join(rwx for rwx, how in (('r', 4), ('w', 2), ('x', 1)) if os.access(name, how)))
def all_of(name):
    """Mode, access ACL and default ACL."""
    return [mode(name), get(name), get(name, DEFAULT)]
def sh(command):
    import subprocess
    made = subprocess.run(['sh', '-c', command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, 'LC_ALL': 'C'})
    return [made.returncode, made.stdout, made.stderr]
`;

/** All named: Alice, group 2000 (Bob's supplementary one), and a mask. */
const FULL = 'u::rw-,u:12345:rw-,g::r--,g:2000:r--,m::rw-,o::---';
const DEFAULTS = 'u::rwx,u:12345:rwx,g::r-x,g:2000:rwx,m::rwx,o::r--';

const allowing: Table = {
  'ACL: a named user has what others have not': `
make('file')
out(may(ALICE), may(BOB))
put('file', 'u::rw-,u:12345:r-x,g::---,m::rwx,o::---')
out(may(ALICE), may(BOB))
`,
  'ACL: a named user has not what others have': `
make('file', 0o606)
out(may(ALICE), may(BOB))
put('file', 'u::rw-,u:12345:---,g::---,m::rwx,o::rw-')
out(may(ALICE), may(BOB))
`,
  'ACL: a named group has what others have not, first or supplementary': `
make('file')
put('file', 'u::rw-,g::---,g:2000:rw-,g:3000:r--,m::rwx,o::---')
out(may(ALICE), may(ALICE_STAFF), may(BOB), may(CAROL))
`,
  'ACL: a named group has not what others have': `
make('file', 0o606)
put('file', 'u::rw-,g::---,g:2000:---,m::rwx,o::rw-')
out(may(ALICE), may(ALICE_STAFF), may(BOB), may(CAROL))
`,
  "ACL: a member of the file's group has not what others have": `
make('file', 0o606, 0, 2000)
put('file', 'u::rw-,u:12347:rwx,g::r--,m::rwx,o::rwx')
out(may(ALICE), may(BOB), may(CAROL))
`,
  'ACL: the owner has the bits of the owner, even where he is named': `
make('file', 0o600, 12345, 12345)
put('file', 'u::r--,u:12345:rwx,g::rwx,g:12345:rwx,m::rwx,o::rwx')
out(may(ALICE), may(BOB))
`,
  'ACL: whoever is named has nothing from his groups': `
make('file', 0o600, 0, 12345)
put('file', 'u::rw-,u:12345:r--,g::rwx,g:3000:rwx,m::rwx,o::rwx')
out(may(ALICE), may(BOB))
`,
  'ACL: of several groups one must have all that is asked for': `
make('file', 0o600, 0, 12345)
put('file', 'u::rw-,g::--x,g:3000:r--,g:12345:-w-,m::rwx,o::rwx')
f = lambda how: as_user(ALICE, lambda: os.access('file', how))
out(f(os.R_OK), f(os.W_OK), f(os.X_OK), f(os.R_OK | os.W_OK), may(BOB))
out(as_user(ALICE, lambda: opened('file', O_RDWR)), as_user(ALICE, lambda: opened('file', O_WRONLY)))
`,
  'ACL: the mask bounds named users, named groups and the group': `
make('file', 0o600, 0, 12346)
put('file', 'u::rwx,u:12345:rwx,g::rwx,g:12347:rwx,m::r--,o::rwx')
out(may(ALICE), may(BOB), may(CAROL))
`,
  'ACL: the mask bounds neither the owner nor others': `
make('file', 0o600, 12345, 2000)
put('file', 'u::rwx,u:7:rwx,g::rwx,m::---,o::rw-')
out(may(ALICE), may(BOB), may(CAROL))
`,
  'ACL: an empty mask turns the list off: who is named has what others have': `
make('file', 0o600)
put('file', 'u::rwx,u:12345:rwx,g::---,g:2000:rwx,m::---,o::rwx')
out(may(ALICE), may(BOB), may(CAROL))
`,
  'ACL: of a user who is named twice the first entry counts': `
make('file')
put('file', 'u::rw-,u:12345:r--,u:12345:rwx,g::---,m::rwx,o::---')
out(may(ALICE), get('file'))
`,
  'ACL: root reads and writes in spite of it, and executes with any x bit': `
make('file', 0o600, 12345, 12345)
put('file', 'u::---,u:0:---,g::---,g:0:---,m::---,o::---')
out(may(ROOT), read('file'))
put('file', 'u::---,u:0:---,g::---,g:2000:--x,m::--x,o::---')
out(may(ROOT))
`,
  'ACL: open follows it, each access mode': `
make('file')
put('file', 'u::rw-,u:12345:r--,u:12346:-w-,g::---,m::rwx,o::---')
modes = (O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC)
out([as_user(who, lambda: opened('file', flags)) for who in (ALICE, BOB, CAROL) for flags in modes])
`,
  'ACL: truncate and utimensat to now follow it': `
make('file')
put('file', 'u::rw-,u:12345:rw-,u:12346:r--,g::---,m::rwx,o::rwx')
out([as_user(who, f) for who in (ALICE, BOB) for f in (lambda: os.truncate('file', 1), lambda: os.utime('file'))])
`,
  'ACL: execve follows it': `
make('script', 0o600, 0, 0, b'#!/bin/sh\\nexit 7\\n')
put('script', 'u::rw-,u:12345:r-x,g::---,m::rwx,o::r--')
def f():
    pid = os.fork()
    if pid == 0:
        try:
            os.execv('script', ['script'])
        except OSError as error:
            os._exit(100 + error.errno)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
out(as_user(ALICE, f), as_user(BOB, f))
`,
  'ACL: of a directory, for searching, listing and writing': `
make_dir('dir', 0o700)
make('dir/file', 0o644)
f = lambda: [t(ls, 'dir'), t(opened, 'dir/file'), t(os.mkdir, 'dir/%d' % os.getuid()), t(os.chdir, 'dir')]
put('dir', 'u::rwx,u:12345:--x,u:12346:r--,u:12347:-wx,g::---,m::rwx,o::---')
out(as_user(ALICE, f), as_user(BOB, f), as_user(CAROL, f))
`,
  'ACL: unlink and rename follow that of the directory': `
make_dir('dir', 0o700)
make('dir/a', 0)
make('dir/b', 0)
put('dir', 'u::rwx,u:12345:-wx,u:12346:r-x,g::---,m::rwx,o::---')
out([as_user(who, f) for who in (BOB, ALICE) for f in (lambda: os.unlink('dir/a'), lambda: os.rename('dir/b', 'dir/c'))])
out(ls('dir'))
`,
  'ACL: of a sticky directory, gives no right to remove what others own': `
make_dir('dir', 0o1700)
make('dir/file', 0)
put('dir', 'u::rwx,u:12345:rwx,g::---,m::rwx,o::---')
out(as_user(ALICE, lambda: os.unlink('dir/file')), as_user(ALICE, lambda: os.mkdir('dir/new')))
`,
  'ACL: what is set, changed and removed is seen at once': `
make('file')
seen = [may(ALICE)]
for text in ('u::rw-,u:12345:r--,g::---,m::r--,o::---', 'u::rw-,u:12345:rw-,g::---,m::rw-,o::---', 'u::rw-,g::---,o::---'):
    put('file', text)
    seen.append(may(ALICE))
put('file', 'u::rw-,u:12345:rwx,g::---,m::rwx,o::---')
seen.append(may(ALICE))
os.removexattr('file', ACCESS)
out(seen, may(ALICE))
`,
  'ACL: an open descriptor keeps what it was opened for': `
make('file')
put('file', 'u::rw-,u:12345:rw-,g::---,m::rw-,o::---')
fd = os.open('file', O_RDWR)
put('file', 'u::---,g::---,o::---')
out(as_user(ALICE, lambda: [os.read(fd, 10), os.pwrite(fd, b'TEXT', 0)]), as_user(ALICE, lambda: opened('file')))
`,
  'ACL: connect to a socket and open of a fifo follow it': `
server = socket.socket(socket.AF_UNIX)
server.bind('socket')
server.listen()
os.mkfifo('fifo')
for name in ('socket', 'fifo'):
    os.chmod(name, 0o600)
    put(name, 'u::rw-,u:12345:rw-,g::---,m::rw-,o::---')
def f():
    return [t(lambda: socket.socket(socket.AF_UNIX).connect('socket')), t(opened, 'fifo', O_RDWR)]
out(as_user(ALICE, f), as_user(BOB, f), get('socket'), get('fifo'))
`,
};

const modes: Table = {
  'setxattr ACL: is kept as it is, and the mode shows owner, mask and others': `
make('file', 0o600)
put('file', '${FULL}')
out(all_of('file'))
put('file', 'u::rwx,u:12345:rwx,g::rwx,m::--x,o::-w-')
out(all_of('file'))
`,
  'setxattr ACL: leaves S_ISUID, S_ISGID and the sticky bit': `
make('file', 0o7600)
put('file', '${FULL}')
out(mode('file'))
make_dir('dir', 0o7700)
put('dir', 'u::rwx,u:12345:rwx,g::r-x,m::rwx,o::---')
out(mode('dir'))
`,
  'setxattr ACL: one that says no more than a mode becomes the mode, and is not kept': `
make('file', 0o600)
put('file', 'u::rwx,g::r-x,o::--x')
out(all_of('file'), os.listxattr('file'))
`,
  'setxattr ACL: one that says no more than a mode removes the one that was there': `
make('file', 0o600)
put('file', '${FULL}')
put('file', 'u::rw-,g::r--,o::---')
out(all_of('file'), os.listxattr('file'), may(ALICE))
`,
  'setxattr ACL: one with a mask, though nobody is named, says more than a mode': `
make('file', 0o600)
put('file', 'u::rw-,g::rwx,m::r--,o::---')
out(all_of('file'))
put('file', 'u::rw-,g::r--,m::r--,o::---')
out(all_of('file'))
`,
  'setxattr ACL: XATTR_CREATE and XATTR_REPLACE are not looked at': `
make('file')
f = lambda flags: os.setxattr('file', ACCESS, acl('${FULL}'), flags)
out(t(f, XATTR_REPLACE), t(f, XATTR_CREATE), t(f, XATTR_CREATE), get('file'))
`,
  'setxattr ACL: whatever id an entry of nobody has, it reads as -1': `
make('file')
value = struct.pack('<I', 2) + entry(1, 6, 7) + entry(2, 4, 12345) + entry(4, 4, 0) + entry(16, 6, 9) + entry(32, 0, 12345)
os.setxattr('file', ACCESS, value)
out(get('file'))
`,
  'setxattr ACL: ids of 32 bits': `
make('file')
put('file', 'u::rw-,u:0:r--,u:65536:r--,u:4294967294:-w-,g::---,g:2147483648:r--,m::rw-,o::---')
out(get('file'), may((0xfffffffe, 5, [5])), may((5, 0x80000000, [5])))
`,
  'setxattr ACL: entries of one kind keep their order': `
make('file')
put('file', 'u::rw-,u:9:r--,u:7:rw-,u:8:r--,g::---,g:3:r--,g:1:r--,m::rw-,o::---')
out(get('file'))
`,
  'chmod: changes owner, mask and others of the ACL, the group and the named stay': `
make('file', 0o600)
put('file', '${FULL}')
os.chmod('file', 0o751)
out(all_of('file'))
os.chmod('file', 0)
out(all_of('file'), may(ALICE))
os.chmod('file', 0o4660)
out(all_of('file'), may(ALICE))
`,
  'chmod: of a file without ACL leaves it without': `
make('file', 0o600)
os.chmod('file', 0o777)
out(all_of('file'))
`,
  'fchmod: changes the mask as chmod does': `
make('file', 0o600)
put('file', '${FULL}')
fd = os.open('file', O_RDONLY)
os.fchmod(fd, 0o640)
out(all_of('file'), get(fd))
`,
  'chmod: of a directory changes its access ACL, not its default ACL': `
make_dir('dir')
put('dir', '${DEFAULTS}')
put('dir', '${DEFAULTS}', DEFAULT)
os.chmod('dir', 0o1500)
out(all_of('dir'))
`,
  'chown: leaves the ACL, and takes the special bits': `
make('file', 0o6700)
put('file', 'u::rwx,u:12345:rwx,g::---,m::--x,o::---')
os.chown('file', 12346, 2000)
out(all_of('file'))
make('maskless', 0o6700)
put('maskless', 'u::rwx,u:12345:rwx,g::--x,m::---,o::---')
os.chown('maskless', 12346, 2000)
out(all_of('maskless'))
`,
  'write: takes the special bits of a file with an ACL as the mode has them': `
make('file', 0o6700, 12345, 12345)
put('file', 'u::rwx,u:12346:rwx,g::rwx,m::rwx,o::---')
def f():
    fd = os.open('file', O_WRONLY)
    os.write(fd, b'x')
out(as_user(ALICE, f), all_of('file'))
`,
  'ACL: truncate, rename and link leave it': `
make('file')
put('file', '${FULL}')
os.truncate('file', 0)
os.link('file', 'link')
os.rename('file', 'new')
out(all_of('new'), all_of('link'))
put('new', 'u::rw-,u:12346:r--,g::---,m::r--,o::---')
out(all_of('link'))
`,
  'ACL: of an open file that has no name any more': `
make('file')
fd = os.open('file', O_RDWR)
os.unlink('file')
put(fd, '${FULL}')
out(get(fd), oct(os.fstat(fd).st_mode))
os.removexattr(fd, ACCESS)
out(get(fd), os.listxattr(fd))
`,
  'setxattr, removexattr ACL: move ctime, not mtime': `
def moved(f):
    before = os.stat('file')
    time.sleep(0.02)
    f()
    after = os.stat('file')
    return [after.st_ctime_ns > before.st_ctime_ns, after.st_mtime_ns > before.st_mtime_ns]
make('file')
out(moved(lambda: put('file', '${FULL}')), moved(lambda: os.removexattr('file', ACCESS)), moved(lambda: put('file', 'u::r--,g::---,o::---')))
`,
};

const removing: Table = {
  'removexattr ACL: the mode stays, the mask as the bits of the group': `
make('file', 0o600, 0, 12346)
put('file', 'u::rw-,u:12345:rw-,g::---,m::rw-,o::r--')
os.removexattr('file', ACCESS)
out(all_of('file'), may(ALICE), may(BOB))
`,
  'removexattr ACL: one that is not there is no error': `
make('file')
make_dir('dir')
out([t(os.removexattr, name, which) for name, which in (('file', ACCESS), ('dir', ACCESS), ('dir', DEFAULT))])
`,
  'removexattr ACL: a default ACL of a file is no error': `
make('file')
out(t(os.removexattr, 'file', DEFAULT))
`,
  'setxattr ACL: of no bytes, and of no entries, removes it': `
make('file')
for value in (b'', struct.pack('<I', 2)):
    put('file', '${FULL}')
    out(t(os.setxattr, 'file', ACCESS, value), all_of('file'))
make_dir('dir')
for value in (b'', struct.pack('<I', 2)):
    put('dir', '${DEFAULTS}', DEFAULT)
    out(t(os.setxattr, 'dir', DEFAULT, value), all_of('dir'))
`,
  'removexattr ACL: by whoever is neither owner nor root is EPERM': `
make_dir('dir', 0o777, 12345, 12345)
put('dir', '${DEFAULTS}')
put('dir', '${DEFAULTS}', DEFAULT)
out([as_user(BOB, lambda: os.removexattr('dir', which)) for which in (ACCESS, DEFAULT)])
out([as_user(ALICE, lambda: os.removexattr('dir', which)) for which in (ACCESS, DEFAULT)], all_of('dir'))
`,
  'getxattr ACL: one that is not there is ENODATA': `
make('file')
make_dir('dir')
out(get('file'), get('dir'), get('dir', DEFAULT), get('file', DEFAULT))
`,
  'getxattr ACL: a size of 0 asks for the length, one that is too small is ERANGE': `
make('file')
put('file', '${FULL}')
buffer = ctypes.create_string_buffer(100)
f = lambda size: call('getxattr', 'file', ACCESS, buffer, size)
out([t(f, size) for size in (0, 51, 52, 100)])
`,
  'getxattr ACL: whoever may not read the file may read its ACL': `
make('file', 0o600)
put('file', 'u::rw-,u:12345:---,g::---,m::---,o::---')
out(as_user(ALICE, lambda: get('file')), as_user(BOB, lambda: get('file')))
`,
  'listxattr: tells of ACLs that are kept': `
make_dir('dir')
out(sorted(os.listxattr('dir')))
put('dir', '${DEFAULTS}')
out(sorted(os.listxattr('dir')))
put('dir', '${DEFAULTS}', DEFAULT)
os.setxattr('dir', 'user.a', b'')
out(sorted(os.listxattr('dir')), as_user(ALICE, lambda: sorted(os.listxattr('dir'))))
os.removexattr('dir', ACCESS)
out(sorted(os.listxattr('dir')))
`,
};

const refusing: Table = {
  'setxattr ACL: by whoever is neither owner nor root is EPERM': `
make('file', 0o666, 12345, 2000)
make_dir('dir', 0o777, 12345, 2000)
out(as_user(BOB, lambda: put('file', '${FULL}')), as_user(BOB, lambda: put('dir', '${FULL}')), as_user(BOB, lambda: put('dir', '${FULL}', DEFAULT)))
out(as_user(BOB, lambda: put('file', 'u::rw-,g::rw-,o::rw-')), all_of('file'), all_of('dir'))
`,
  'setxattr ACL: the owner may, with no permission on the file at all': `
make('file', 0, 12345, 12345)
out(as_user(ALICE, lambda: put('file', '${FULL}')), all_of('file'))
make_dir('dir', 0, 12345, 12345)
out(as_user(ALICE, lambda: put('dir', '${FULL}', DEFAULT)), all_of('dir'))
`,
  'setxattr ACL: by another than the owner is EPERM though it is no ACL, EINVAL though it is not even one in form': `
make('file', 0o666, 12345, 12345)
out(as_user(BOB, lambda: put('file', 'u::rw-')), as_user(BOB, lambda: os.setxattr('file', ACCESS, b'x')))
`,
  'setxattr ACL: a default ACL of what is no directory is EACCES': `
make('file')
os.mkfifo('fifo')
out(t(put, 'file', '${FULL}', DEFAULT), t(put, 'fifo', '${FULL}', DEFAULT), all_of('file'))
`,
  'setxattr, getxattr, removexattr ACL: of a symlink itself is EOPNOTSUPP': `
make('file')
os.symlink('file', 'link')
out(t(put, 'link', '${FULL}'), t(put, 'link', '${FULL}', DEFAULT), get('link'), get('link', DEFAULT))
out(t(os.removexattr, 'link', ACCESS, follow_symlinks=False), all_of('file'))
`,
  "setxattr, getxattr, removexattr ACL: through a symlink are the file's": `
make('file')
os.symlink('file', 'link')
os.setxattr('link', ACCESS, acl('${FULL}'))
out(get('file'), text_of(os.getxattr('link', ACCESS)), os.listxattr('link'))
os.removexattr('link', ACCESS)
out(all_of('file'))
`,
  'setxattr ACL: of fifos, sockets and devices': `
os.mkfifo('fifo')
os.mknod('socket', stat.S_IFSOCK | 0o600)
os.mknod('chr', stat.S_IFCHR | 0o600, os.makedev(1, 3))
for name in ('fifo', 'socket', 'chr'):
    put(name, '${FULL}')
    out(all_of(name))
`,
  'setxattr, removexattr ACL: on a filesystem mounted read-only is EROFS': `${MOUNTS}
make('file')
put('file', '${FULL}')
read_only()
out(t(put, 'file', '${FULL}'), t(os.removexattr, 'file', ACCESS), get('file'))
`,
  'setxattr ACL: a name that begins as one is EOPNOTSUPP': `
make('file')
names = ('system.posix_acl', 'system.posix_acl_accessx', 'system.posix_acl_default2', 'system.', 'system')
out([t(os.setxattr, 'file', name, acl('${FULL}')) for name in names])
`,
  'setxattr ACL: S_ISGID goes where an owner outside of the group sets it, and no error': `
make('file', 0o2755, 12345, 2000)
make_dir('dir', 0o2755, 12345, 2000)
for name in ('file', 'dir'):
    out(as_user(ALICE, lambda: put(name, '${DEFAULTS}')), all_of(name))
make('minimal', 0o2755, 12345, 2000)
out(as_user(ALICE, lambda: put('minimal', 'u::rwx,g::r-x,o::---')), all_of('minimal'))
`,
  'setxattr ACL: S_ISGID stays where an owner in the group, or root, sets it': `
make('file', 0o2755, 12345, 3000)
make_dir('dir', 0o2755, 12345, 2000)
out(as_user(ALICE, lambda: put('file', '${DEFAULTS}')), all_of('file'))
out(as_user(ALICE_STAFF, lambda: put('dir', '${DEFAULTS}')), all_of('dir'))
make('roots', 0o6755, 12345, 2000)
put('roots', '${DEFAULTS}')
out(all_of('roots'))
`,
  'setxattr ACL: a default ACL leaves S_ISGID, whoever sets it': `
make_dir('dir', 0o2755, 12345, 2000)
out(as_user(ALICE, lambda: put('dir', '${DEFAULTS}', DEFAULT)), all_of('dir'))
`,
  // tmpfs takes it, for it sets an ACL of nothing. FUSE has no flag for it in REMOVEXATTR, and most filesystems do as ext4.
  'removexattr ACL: leaves S_ISGID, whoever does it': {
    script: `
make('file', 0o2755, 12345, 2000)
put('file', '${DEFAULTS}')
out(as_user(ALICE, lambda: os.removexattr('file', ACCESS)), all_of('file'))
`,
    like: 'ext4',
  },
};

/** What is no ACL, as Python that makes the xattr's bytes. */
const invalid: Readonly<Record<string, string>> = {
  'half a header': "b'\\2\\0'",
  'a version that is not 2': `struct.pack('<I', 1) + acl('${FULL}')[4:]`,
  'no entries and a version that is not 2': `struct.pack('<I', 3)`,
  'an entry that is cut short': `acl('${FULL}')[:-1]`,
  'a byte too many': `acl('${FULL}') + b'x'`,
  'no owner': `acl('g::r--,o::---')`,
  'no group': `acl('u::rw-,o::---')`,
  'no others': `acl('u::rw-,g::r--')`,
  'two owners': `acl('u::rw-,u::rw-,g::r--,o::---')`,
  'two groups': `acl('u::rw-,g::r--,g::r--,o::---')`,
  'two masks': `acl('u::rw-,g::r--,m::rw-,m::rw-,o::---')`,
  'two others': `acl('u::rw-,g::r--,o::---,o::---')`,
  'a named user without a mask': `acl('u::rw-,u:12345:r--,g::r--,o::---')`,
  'a named group without a mask': `acl('u::rw-,g::r--,g:2000:r--,o::---')`,
  'the owner after a named user': `acl('u:12345:r--,u::rw-,g::r--,m::rw-,o::---')`,
  'a named user after the group': `acl('u::rw-,g::r--,u:12345:r--,m::rw-,o::---')`,
  'a named group before the group': `acl('u::rw-,g:2000:r--,g::r--,m::rw-,o::---')`,
  'the mask before a named group': `acl('u::rw-,g::r--,m::rw-,g:2000:r--,o::---')`,
  'the mask after others': `acl('u::rw-,g::r--,o::---,m::rw-')`,
  'a user of id -1': `acl('u::rw-,u:4294967295:r--,g::r--,m::rw-,o::---')`,
  'a group of id -1': `acl('u::rw-,g::r--,g:4294967295:r--,m::rw-,o::---')`,
  'a permission that is none': `struct.pack('<I', 2) + entry(1, 8) + entry(4, 0) + entry(32, 0)`,
  'a tag that is none': `acl('u::rw-,g::r--') + entry(64, 0)`,
  'a tag of 0': `acl('u::rw-,g::r--') + entry(0, 0) + entry(32, 0)`,
};

function* refusals(): Generator<[string, string]> {
  for (const [what, bytes] of Object.entries(invalid))
    yield [
      `setxattr ACL: ${what} is ${what.includes('version') ? 'EOPNOTSUPP' : 'EINVAL'}`,
      `
make('file')
put('file', '${FULL}')
make_dir('dir')
value = ${bytes}
out(t(os.setxattr, 'file', ACCESS, value), t(os.setxattr, 'dir', ACCESS, value), t(os.setxattr, 'dir', DEFAULT, value))
out(all_of('file'), all_of('dir'))
`,
    ];
}

/** Each call that makes a file, `n`. */
// biome-ignore format: a table, one call a line
const makers: Readonly<Record<string, string>> = {
  open: `opened(n, O_CREAT | O_WRONLY, bits)`,
  creat: `os.close(call('creat', n, bits))`,
  mkdir: `os.mkdir(n, bits)`,
  'mknod of a file': `os.mknod(n, stat.S_IFREG | bits)`,
  'mknod of a socket': `os.mknod(n, stat.S_IFSOCK | bits)`,
  'mknod of a device': `os.mknod(n, stat.S_IFCHR | bits, os.makedev(1, 3))`,
  mkfifo: `os.mkfifo(n, bits)`,
  bind: `socket.socket(socket.AF_UNIX).bind(n)`,
};

function* inheriting(): Generator<[string, string]> {
  for (const [name, making] of Object.entries(makers)) {
    yield [
      `${name}: a default ACL is inherited, bounded by the mode, whatever the umask is`,
      `
make_dir('dir', 0o777)
put('dir', '${DEFAULTS}', DEFAULT)
for umask in (0, 0o077, 0o777):
    os.umask(umask)
    for bits in (0o777, 0o666, 0o640, 0o1705, 0):
        n = 'dir/%o-%o' % (umask, bits)
        ${making}
        out(all_of(n))
`,
    ];
    yield [
      `${name}: a default ACL that says no more than a mode gives the mode alone, whatever the umask is`,
      `
make_dir('dir', 0o777)
put('dir', 'u::rw-,g::-wx,o::r-x', DEFAULT)
for umask in (0, 0o077):
    os.umask(umask)
    for bits in (0o777, 0o640, 0):
        n = 'dir/%o-%o' % (umask, bits)
        ${making}
        out(all_of(n))
`,
    ];
  }
}

const inheritance: Table = {
  'symlink: inherits no ACL': `
make_dir('dir')
put('dir', '${DEFAULTS}', DEFAULT)
os.symlink('nowhere', 'dir/link')
out(mode('dir/link'), os.listxattr('dir/link', follow_symlinks=False))
`,
  'open O_TMPFILE: inherits a default ACL, and has it once it is linked': `
make_dir('dir')
put('dir', '${DEFAULTS}', DEFAULT)
os.umask(0o077)
fd = os.open('dir', O_TMPFILE | O_RDWR, 0o666)
out(oct(os.fstat(fd).st_mode), get(fd))
call('linkat', AT_FDCWD, '/proc/self/fd/%d' % fd, AT_FDCWD, 'file', AT_SYMLINK_FOLLOW)
out(all_of('file'))
`,
  'open O_TMPFILE: a default ACL that says no more than a mode gives the mode alone': `
make_dir('dir')
put('dir', 'u::rw-,g::-wx,o::r-x', DEFAULT)
os.umask(0o077)
fd = os.open('dir', O_TMPFILE | O_RDWR, 0o666)
out(oct(os.fstat(fd).st_mode), get(fd))
`,
  'setxattr ACL: a default ACL changes no mode, allows nothing, and is kept even if a mode would do': `
make_dir('dir', 0o700)
put('dir', '${DEFAULTS}', DEFAULT)
out(all_of('dir'), may(ALICE, 'dir'))
put('dir', 'u::rwx,g::r-x,o::---', DEFAULT)
out(all_of('dir'))
`,
  'ACL: the access ACL of a directory is not inherited, and the umask applies': `
make_dir('dir')
put('dir', '${DEFAULTS}')
write('dir/file')
os.mkdir('dir/sub')
out(all_of('dir/file'), all_of('dir/sub'))
`,
  'mkdir: default ACLs go down all levels': `
make_dir('dir')
put('dir', '${DEFAULTS}', DEFAULT)
os.makedirs('dir/a/b')
write('dir/a/b/file')
out(all_of('dir/a'), all_of('dir/a/b'), all_of('dir/a/b/file'))
`,
  'ACL: who is named in the default ACL may what it says of the new file': `
make_dir('dir', 0o777)
put('dir', 'u::rwx,u:12345:rw-,u:12347:---,g::---,g:2000:r--,m::rwx,o::-w-', DEFAULT)
write('dir/file')
out(mode('dir/file'), may(ALICE, 'dir/file'), may(BOB, 'dir/file'), may(CAROL, 'dir/file'))
`,
  'ACL: a later change of the default ACL leaves what is there': `
make_dir('dir')
put('dir', '${DEFAULTS}', DEFAULT)
write('dir/before')
put('dir', 'u::rwx,u:12346:r--,g::---,m::r--,o::---', DEFAULT)
write('dir/between')
os.removexattr('dir', DEFAULT)
write('dir/after')
out([all_of('dir/' + name) for name in ('before', 'between', 'after')])
`,
  'open O_CREAT: of what is there inherits nothing': `
make_dir('dir')
make('dir/file', 0o640)
put('dir', '${DEFAULTS}', DEFAULT)
opened('dir/file', O_CREAT | O_RDWR | O_TRUNC, 0o777)
out(all_of('dir/file'))
`,
  'link, rename: into a directory with a default ACL inherit nothing': `
make_dir('dir')
put('dir', '${DEFAULTS}', DEFAULT)
make('one')
make('two')
make_dir('sub')
os.link('one', 'dir/one')
os.rename('two', 'dir/two')
os.rename('sub', 'dir/sub')
out([all_of('dir/' + name) for name in ('one', 'two', 'sub')])
`,
  'mkdir: in a setgid directory with a default ACL, S_ISGID and group are inherited as well': `
make_dir('dir', 0o2777, 0, 2000)
put('dir', '${DEFAULTS}', DEFAULT)
out(as_user(ALICE, lambda: os.mkdir('dir/sub', 0o750)), all_of('dir/sub'), stat_of('dir/sub', 'uid', 'gid'))
`,
  'open: a setgid file for the group to execute loses S_ISGID, a default ACL or not': `
make_dir('dir', 0o2777, 0, 2000)
put('dir', '${DEFAULTS}', DEFAULT)
f = lambda name: as_user(ALICE if name == 'alice' else BOB, lambda: opened('dir/' + name, O_CREAT | O_WRONLY, 0o2770))
out(f('alice'), all_of('dir/alice'), f('bob'), all_of('dir/bob'))
`,
  'open: the new descriptor is open as asked for, whatever the inherited ACL says': `
make_dir('dir', 0o777)
put('dir', 'u::---,u:12345:---,g::---,m::---,o::---', DEFAULT)
def f():
    fd = os.open('dir/file', O_RDWR | O_CREAT, 0o666)
    return [os.write(fd, b'text'), os.pread(fd, 10, 0), t(opened, 'dir/file')]
out(as_user(ALICE, f), all_of('dir/file'))
`,
  "rmdir, mkdir: a new directory of the same name has nothing of the old one's ACLs": `
make_dir('dir')
put('dir', '${DEFAULTS}')
put('dir', '${DEFAULTS}', DEFAULT)
os.rmdir('dir')
os.mkdir('dir')
out(all_of('dir'))
`,
  'renameat2 EXCHANGE: ACLs go with their files': `
make('one')
make('two')
put('one', '${FULL}')
renameat2('one', 'two', RENAME_EXCHANGE)
out(all_of('one'), all_of('two'))
`,
};

const sizes: Readonly<Record<string, string | Row>> = {
  'ACL: of 400 entries': {
    script: `
make('file')
value = 'u::rw-,' + ','.join('u:%d:r--' % id for id in range(20000, 20396)) + ',g::---,m::rw-,o::---'
put('file', value)
out(get('file') == value, may((20000, 7, [7])), may((20395, 7, [7])), may((20396, 7, [7])))
`,
    like: 'tmpfs',
  },
  'ACL: that is longer than a page': {
    script: `
make('file')
value = 'u::rw-,' + ','.join('u:%d:r--' % id for id in range(20000, 20600)) + ',g::---,m::rw-,o::---'
out(t(put, 'file', value), get('file') == value)
`,
    like: 'tmpfs',
    // fs/fuse/acl.c: fuse_set_acl
    fuse: { out: ['E2BIG', false], why: 'ACLs longer than a page' },
  },
};

const tools: Table = {
  'setfacl, getfacl: what one sets the other tells': `
make('file', 0o640, 12345, 2000)
out(sh('setfacl -m u:12346:rw,g:3000:r file && getfacl -n file'))
out(sh('setfacl -m m::r file && getfacl -cn file'), sh('setfacl -x u:12346 file && getfacl -cn file'))
out(sh('setfacl -b file && getfacl -cn file'), all_of('file'))
`,
  'setfacl -d, -k: default ACLs': `
make_dir('dir', 0o750)
out(sh('setfacl -d -m u:12345:rwx dir && getfacl -cn dir'), all_of('dir'))
out(sh('touch dir/file && mkdir dir/sub && getfacl -cn dir/file dir/sub'))
out(sh('setfacl -k dir && getfacl -cn dir'), all_of('dir'))
`,
  'setfacl: without -n makes the mask that all need': `
make('file', 0o600)
out(sh('setfacl -m u:12345:rwx file'), all_of('file'))
out(sh('setfacl -n -m u:12345:rwx,m::--- file'), all_of('file'))
`,
  'setfacl: by another than the owner says so': `
make('file', 0o666)
out(as_user(ALICE, lambda: sh('setfacl -m u:12345:rwx file')), all_of('file'))
`,
  'chmod(1), ls(1): the bits of the group are the mask, and a + tells of the ACL': `
make('file', 0o640)
out(sh('setfacl -m u:12345:rw file && chmod g=r file && getfacl -cn file && ls -l file | cut -c 1-11'))
out(sh('setfacl -b file && ls -l file | cut -c 1-11'))
`,
  'mkdir -m, install -m: a mode in spite of the default ACL': `
make_dir('dir')
put('dir', '${DEFAULTS}', DEFAULT)
make('file')
out(sh('umask 077; mkdir -m 711 dir/a && mkdir dir/b && mkdir -p -m 700 dir/c/d && install -m 640 file dir/e && cp file dir/f'))
out([all_of('dir/' + name) for name in ('a', 'b', 'c', 'c/d', 'e', 'f')])
`,
  'setfacl -R, getfacl -R, setfacl --restore: a whole tree': `
os.makedirs('tree/a/b')
for name in ('tree/file', 'tree/a/file', 'tree/a/b/file'):
    make(name, 0o640, 12345, 2000)
os.symlink('file', 'tree/link')
out(sh('setfacl -R -m u:12345:rwX,g:3000:rX,d:u:12346:r-x tree && getfacl -Rn tree | sort'))
told = sh('getfacl -Rn tree > saved; setfacl -Rb tree; getfacl -Rcn tree | sort -u')
out(told, sh('setfacl --restore=saved; getfacl -Rn tree | cmp - saved'))
`,
  'cp -a: takes access and default ACLs along': `
make_dir('dir', 0o2750, 12345, 2000)
put('dir', '${DEFAULTS}')
put('dir', '${DEFAULTS}', DEFAULT)
write('dir/file')
put('dir/file', '${FULL}')
out(sh('cp -a dir copy'), all_of('copy'), all_of('copy/file'), stat_of('copy', 'uid', 'gid'))
`,
  'mv, cp -p: into a directory with a default ACL keep what the file had': `
make_dir('dir')
put('dir', '${DEFAULTS}', DEFAULT)
make('plain', 0o640)
make('listed')
put('listed', '${FULL}')
out(sh('cp -p plain listed dir && mv plain dir/moved'))
out([all_of('dir/' + name) for name in ('plain', 'listed', 'moved')])
`,
};

const table: Table = {
  ...allowing,
  ...modes,
  ...removing,
  ...refusing,
  ...Object.fromEntries(refusals()),
  ...Object.fromEntries(inheriting()),
  ...inheritance,
  ...sizes,
  ...tools,
};

export const rows: Table = Object.fromEntries(
  Object.entries(table).map(([name, each]) => [
    name,
    typeof each === 'string' ? `${ACLS}${each}` : { ...each, script: `${ACLS}${each.script}` },
  ]),
);
