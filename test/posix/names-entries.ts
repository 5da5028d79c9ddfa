/**
 * The POSIX table: calls that make and remove entries: mkdir, rmdir, link, unlink, symlink, readlink; and what is
 * left of files and directories that have lost their last name. Special files are in names-nodes.ts, what a bad path
 * gives is in names-paths.ts.
 */
import { MOUNTS } from './names-paths.ts';
import type { Table } from './table.ts';
import { py } from './words.ts';

/** One of each kind of entry, to try a call on all of them. */
const KINDS = py`
  write('file'), os.mkdir('dir'), os.mkfifo('fifo'), os.symlink('file', 'link'), os.symlink('dir', 'dirlink')
  os.symlink('absent', 'dangling')
  kinds = ('file', 'dir', 'fifo', 'link', 'dirlink', 'dangling')`;

/** linkat(2) and unlinkat(2) with all their arguments. */
const AT = py`
  AT_REMOVEDIR = 0x200
  def linkat(old, new, flags=0, at=AT_FDCWD):
      call('linkat', at, old, AT_FDCWD, new, flags)
  def unlinkat(name, flags=0):
      call('unlinkat', AT_FDCWD, name, flags)`;

export const rows: Table = {
  'mkdir: an empty directory of two links, one more for its parent': py`
    os.mkdir('dir')
    out(stat_of('dir', 'nlink', 'uid', 'gid'), mode('dir'), ls('dir'), stat_of('.', 'nlink'))
    os.mkdir('dir/a'); os.mkdir('dir/b'); write('dir/file')
    out(stat_of('dir', 'nlink'), stat_of('dir/a', 'nlink'), stat_of('.', 'nlink'))`,
  'mkdir: the mode loses the umask, and suid and sgid, but not the sticky bit': py`
    os.mkdir('a', 0o7777)
    os.umask(0o077)
    os.mkdir('b', 0o777)
    os.umask(0)
    os.mkdir('c', 0); os.mkdir('d', 0o777); os.mkdir('e', 0o1700)
    out([mode(name) for name in ls()])`,
  'mkdir: what is there is EEXIST, whatever it is': py`
    ${KINDS}
    out([t(os.mkdir, name) for name in kinds])
    out([t(os.mkdir, name) for name in ('.', '..', '/', 'dir/', 'dir/.', 'dir/..')], stat_of('.', 'nlink'))`,
  'mkdir: slashes after the name do not matter': py`
    out(t(os.mkdir, 'a/'), t(os.mkdir, 'b///'), t(os.mkdir, 'a//c/'), ls(), ls('a'))`,
  'mkdir: below a dangling symlink is ENOENT, at one EEXIST, with a slash too': py`
    os.symlink('absent', 'dangling')
    out(t(os.mkdir, 'dangling/x'), t(os.mkdir, 'dangling'), t(os.mkdir, 'dangling/'), ls())`,
  'mkdir: where one may not write is EACCES': py`
    os.mkdir('open')
    os.chmod('open', 0o777)
    out(as_user(ALICE, lambda: [t(os.mkdir, 'new'), t(os.mkdir, 'open/new'), t(os.mkdir, 'open')]))
    out(stat_of('open/new', 'uid', 'gid', 'mode'))`,
  'mkdir: of eight processes one makes the directory': py`
    them = [spawn(lambda: t(os.mkdir, 'one')) for _ in range(8)]
    out(sorted(join(each) for each in them), stat_of('.', 'nlink'))`,
  'mkdir: in a directory that is gone is ENOENT': py`
    os.mkdir('dir')
    os.chdir('dir')
    os.rmdir('../dir')
    out(t(os.mkdir, 'new'), t(os.mkdir, '.'), t(os.mkdir, '..'), t(os.mkdir, '../other'), ls('..'))`,
  'rmdir: takes the directory away, and its link of the parent': py`
    os.mkdir('dir'); os.mkdir('dir/inner')
    out(stat_of('dir', 'nlink'), t(os.rmdir, 'dir/inner'), stat_of('dir', 'nlink'), t(os.rmdir, 'dir'))
    out(stat_of('.', 'nlink'), ls())`,
  'rmdir: a directory that is not empty is ENOTEMPTY': py`
    os.mkdir('a'); write('a/file'); os.mkdir('b'); os.mkdir('b/dir'); os.mkdir('c'); os.symlink('absent', 'c/dangling')
    out([t(os.rmdir, name) for name in ls()])
    os.unlink('a/file')
    out(t(os.rmdir, 'a'), ls())`,
  'rmdir: what is no directory is ENOTDIR': py`
    ${KINDS}
    out([t(os.rmdir, name) for name in kinds if name != 'dir'], t(os.rmdir, 'file/'), t(os.rmdir, 'dirlink/'), ls())`,
  'rmdir: what is not there is ENOENT': py`
    os.mkdir('dir')
    os.rmdir('dir')
    out(t(os.rmdir, 'dir'), t(os.rmdir, 'absent'), t(os.rmdir, 'absent/'))`,
  'rmdir: "." is EINVAL, ".." ENOTEMPTY, "/" EBUSY': py`
    os.mkdir('dir')
    out([t(os.rmdir, name) for name in ('.', 'dir/.', '..', 'dir/..', '/', '//', './')], ls())`,
  'rmdir: a mount point is EBUSY': py`
    ${MOUNTS}
    os.mkdir('dir')
    other('dir')
    out(t(os.rmdir, 'dir'), t(os.rename, 'dir', 'new'))
    os.mkdir('empty')
    out(t(os.rename, 'empty', 'dir'), t(renameat2, 'empty', 'dir', RENAME_EXCHANGE), ls())
    call('umount', 'dir')
    out(t(os.rmdir, 'dir'))`,
  "rmdir: where one may not write is EACCES, though the directory be one's own": py`
    os.mkdir('dir')
    os.chown('dir', 12345, 12345)
    out(as_user(ALICE, lambda: os.rmdir('dir')), ls())
    os.chmod('.', 0o777)
    out(as_user(BOB, lambda: os.rmdir('dir')), ls())`,
  "rmdir: in a sticky directory another one's directory is EPERM": py`
    os.chmod('.', 0o1777)
    os.mkdir('mine')
    os.chown('mine', 12345, 12345)
    out(as_user(BOB, lambda: os.rmdir('mine')), as_user(ALICE, lambda: os.rmdir('mine')), ls())`,
  'rmdir: an open directory lives on, empty and without links': py`
    os.mkdir('dir')
    fd = os.open('dir', O_RDONLY)
    os.rmdir('dir')
    out(stat_of(fd, 'nlink', 'mode'), t(os.listdir, fd), t(os.stat, 'x', dir_fd=fd), t(os.mkdir, 'x', dir_fd=fd))
    out(t(os.symlink, 'a', 'x', dir_fd=fd))
    out(t(os.fchmod, fd, 0o700), t(os.fchown, fd, 1, 1), stat_of(fd, 'mode', 'uid', 'gid'))
    out(os.path.samestat(os.stat('..', dir_fd=fd), os.stat('.')))`,
  'rmdir: the working directory may go; nothing is made in it, and ".." still leads out': py`
    write('file', 'text')
    os.mkdir('dir'); os.chdir('dir')
    os.rmdir('../dir')
    out(t(os.getcwd), stat_of('.', 'nlink'), t(os.listdir, '.'))
    out([t(f, 'x') for f in (os.mkdir, os.mknod, os.mkfifo, os.stat, os.unlink, os.rmdir)])
    out(t(os.open, 'x', O_CREAT | O_WRONLY), t(os.symlink, 'a', 'x'), t(os.link, '../file', 'x'))
    out(t(os.rename, '../file', 'x'), t(os.chdir, '.'), read('../file'))
    os.chdir('..')
    out(ls())`,
  'rmdir: a directory made again under the same name is another one': py`
    os.mkdir('dir')
    fd = os.open('dir', O_RDONLY)
    os.rmdir('dir'); os.mkdir('dir'); write('dir/file')
    out(os.path.samestat(os.fstat(fd), os.stat('dir')), t(os.listdir, fd), ls('dir'), t(os.stat, 'file', dir_fd=fd))`,
  'link: two names of one file': py`
    write('a', 'text')
    os.link('a', 'b')
    out(stat_of('a', 'nlink'), os.path.samestat(os.stat('a'), os.stat('b')), read('b'))
    write('b', 'new'); os.chmod('b', 0o600)
    out(read('a'), mode('a'))
    os.unlink('a')
    out(stat_of('b', 'nlink'), read('b'), ls())`,
  'link: a thousand names of one file': py`
    write('file')
    for i in range(1000):
        os.link('file', f'l{i}')
    out(stat_of('file', 'nlink'), len({entry.inode() for entry in os.scandir('.')}), len(ls()))
    for i in range(0, 1000, 2):
        os.unlink(f'l{i}')
    out(stat_of('file', 'nlink'), stat_of('l999', 'nlink'))`,
  'link: a name that is there is EEXIST, whatever it is, itself too': py`
    ${KINDS}
    out([t(os.link, 'file', name) for name in kinds], stat_of('file', 'nlink'), t(os.link, 'file', '.'))
    out(t(os.link, 'file', 'dir/..'))`,
  'link: what is not there is ENOENT': py`
    os.mkdir('dir')
    out(t(os.link, 'absent', 'new'), t(os.link, 'dir/absent', 'new'), ls())`,
  'link: a directory is EPERM, for root and for its owner': py`
    ${AT}
    os.mkdir('dir'); os.symlink('dir', 'link')
    out(t(os.link, 'dir', 'new'), t(linkat, 'link', 'new', AT_SYMLINK_FOLLOW), t(os.link, '.', 'new'))
    out(t(linkat, 'dir', 'dir/new'))
    os.chmod('.', 0o777); os.chown('dir', 12345, 12345)
    out(as_user(ALICE, lambda: os.link('dir', 'new')), stat_of('dir', 'nlink'), ls())`,
  'link: of a symlink is another name of the symlink': py`
    write('file'); os.symlink('file', 'link'); os.symlink('absent', 'dangling')
    call('link', 'link', 'a'); call('link', 'dangling', 'b')
    out(os.readlink('a'), os.readlink('b'), stat_of('link', 'nlink'), stat_of('file', 'nlink'))
    out(os.path.samestat(os.lstat('a'), os.lstat('link')))
    os.unlink('link')
    out(os.readlink('a'), stat_of('a', 'nlink'))`,
  'linkat: with AT_SYMLINK_FOLLOW links what the symlink leads to': py`
    ${AT}
    write('file'); os.symlink('file', 'link'); os.symlink('absent', 'dangling')
    out(t(linkat, 'link', 'a', AT_SYMLINK_FOLLOW), t(linkat, 'dangling', 'b', AT_SYMLINK_FOLLOW))
    out(stat_of('file', 'nlink'), mode('a'), ls())`,
  "linkat: with AT_EMPTY_PATH links the descriptor's file, but no directory": py`
    ${AT}
    write('file', 'text'); os.mkdir('dir')
    fd, plain_fd, directory = os.open('file', O_PATH), os.open('file', O_RDONLY), os.open('dir', O_RDONLY)
    out(t(linkat, '', 'a', AT_EMPTY_PATH, fd), t(linkat, '', 'b', AT_EMPTY_PATH, plain_fd))
    out(t(linkat, '', 'c', AT_EMPTY_PATH, directory), t(linkat, '', 'd', 0, fd))
    out(stat_of('file', 'nlink'), ls())`,
  'linkat: unknown flags are EINVAL': py`
    ${AT}
    write('file')
    out(t(linkat, 'file', 'new', 1), t(linkat, 'file', 'new', AT_SYMLINK_NOFOLLOW), ls())`,
  'link: a slash after either name is ENOTDIR or ENOENT': py`
    write('file')
    out(t(os.link, 'file/', 'new'), t(os.link, 'file', 'new/'), t(os.link, 'file', 'file/'), ls())`,
  'link: to another filesystem is EXDEV': py`
    ${MOUNTS}
    write('file'); os.mkdir('there')
    other('there')
    write('there/file')
    out(t(os.link, 'file', 'there/new'), t(os.link, 'there/file', 'new'), t(os.link, 'file', 'there/file'))
    out(stat_of('file', 'nlink'))`,
  'link: where one may not write is EACCES': py`
    os.mkdir('open'); os.chmod('open', 0o777)
    write('file'); os.chown('file', 12345, 12345)
    out(as_user(ALICE, lambda: [t(os.link, 'file', 'new'), t(os.link, 'file', 'open/new')]), stat_of('file', 'nlink'))`,
  "link: another one's file that one may not write is EPERM where links are protected": py`
    os.chmod('.', 0o777)
    write('secret'); os.chmod('secret', 0o600)
    write('suid'); os.chmod('suid', 0o4777)
    write('shared'); os.chmod('shared', 0o666)
    os.mkfifo('fifo'); os.chmod('fifo', 0o666)
    out(as_user(ALICE, lambda: [t(os.link, name, name + '2') for name in ('secret', 'suid', 'shared', 'fifo')]))`,
  'link: fifos, sockets and devices have several names too': py`
    os.mkfifo('fifo'); socket.socket(socket.AF_UNIX).bind('sock')
    os.mknod('null', stat.S_IFCHR | 0o666, os.makedev(1, 3))
    for name in ls():
        os.link(name, name + '2')
    out([stat_of(name, 'nlink', 'mode', 'rdev') for name in ls()])
    r = os.open('fifo', O_RDONLY | O_NONBLOCK)
    w = os.open('fifo2', O_WRONLY)
    os.write(w, b'text')
    out(os.read(r, 10))`,
  'link: into a directory that is gone is ENOENT': py`
    write('file'); os.mkdir('dir')
    at = os.open('dir', O_RDONLY)
    os.rmdir('dir')
    out(t(os.link, 'file', 'new', dst_dir_fd=at), stat_of('file', 'nlink'))`,
  'link: a file that three processes link and unlink ends with the links it has': py`
    write('file', 'text')
    def churn(name):
        for _ in range(50):
            os.link('file', name)
            os.unlink(name)
        os.link('file', name)
    them = [spawn(lambda name=name: churn(name)) for name in ('a', 'b', 'c')]
    out([join(each) for each in them], stat_of('file', 'nlink'), ls())`,
  'unlink: takes one name away, the file lives under the others': py`
    write('a', 'text'); os.link('a', 'b')
    fd = os.open('a', O_RDONLY)
    out(t(os.unlink, 'a'), stat_of(fd, 'nlink'), read('b'), t(os.stat, 'a'), t(os.unlink, 'a'), ls())`,
  'unlink: a directory is EISDIR': py`
    os.mkdir('dir'); os.symlink('dir', 'link')
    out([t(os.unlink, name) for name in ('dir', 'dir/', '.', '..', '/', 'dir/.', 'link/')], ls())`,
  'unlink: takes any kind of file, and the symlink itself': py`
    ${KINDS}
    os.mknod('null', stat.S_IFCHR, os.makedev(1, 3)); socket.socket(socket.AF_UNIX).bind('sock')
    out([t(os.unlink, name) for name in ls() if name != 'file' and name != 'dir'], ls())`,
  'unlink: a file with a slash after it is ENOTDIR': py`
    write('file'); os.symlink('file', 'link')
    out(t(os.unlink, 'file/'), t(os.unlink, 'link/'), t(os.unlink, 'absent/'), ls())`,
  "unlink: where one may not write is EACCES, though the file be one's own": py`
    write('file'); os.chown('file', 12345, 12345)
    out(as_user(ALICE, lambda: os.unlink('file')), ls())
    os.chmod('.', 0o777)
    os.chmod('file', 0)
    out(as_user(BOB, lambda: os.unlink('file')), ls())`,
  "unlink: in a sticky directory another one's file is EPERM": py`
    os.chmod('.', 0o1777)
    write('hers'); os.chown('hers', 12345, 12345); write('roots'); os.chmod('roots', 0o777)
    out(as_user(BOB, lambda: os.unlink('hers')), as_user(ALICE, lambda: [t(os.unlink, 'roots'), t(os.unlink, 'hers')]))
    out(t(os.unlink, 'roots'), ls())`,
  'unlink: a file that is a mount point is EBUSY': py`
    ${MOUNTS}
    write('file'); write('over'); write('third')
    bind('over', 'file')
    out(t(os.unlink, 'file'), t(os.rename, 'third', 'file'), t(os.unlink, 'over'), ls())`,
  'unlink: an open file lives on': py`
    write('file', 'text')
    fd = os.open('file', O_RDWR)
    os.unlink('file')
    out(stat_of(fd, 'nlink', 'size'), os.read(fd, 10), os.pwrite(fd, b' and more', 4), os.pread(fd, 20, 0))
    out(os.fstat(fd).st_size)
    out(t(os.ftruncate, fd, 2), t(os.fchmod, fd, 0o640), t(os.fchown, fd, 5, 6), t(os.utime, fd, (1, 2)))
    out(t(os.fsync, fd))
    out(oct(os.fstat(fd).st_mode), stat_of(fd, 'size', 'uid', 'gid', 'mtime'), os.pread(fd, 20, 0), ls())`,
  'unlink: the name is free at once, and what takes it is another file': py`
    write('file', 'old')
    fd = os.open('file', O_RDWR)
    os.unlink('file')
    write('file', 'new')
    out(os.read(fd, 10), read('file'), os.path.samestat(os.fstat(fd), os.stat('file')), stat_of('file', 'nlink'))`,
  'unlink: an open file is seen by the process that has it and by its children': py`
    write('file', 'text')
    fd = os.open('file', O_RDWR)
    os.unlink('file')
    out(join(spawn(lambda: os.pwrite(fd, b'TEXT', 0))), os.pread(fd, 10, 0))
    out(as_user(ALICE, lambda: os.pread(fd, 10, 0)))`,
  'unlink: a mapped file lives on without name and descriptor': py`
    write('file', 'x' * 4096)
    fd = os.open('file', O_RDWR)
    memory = mmap.mmap(fd, 4096)
    os.unlink('file'); os.close(fd)
    memory[0:4] = b'text'
    memory.flush()
    out(memory[0:6])`,
  'unlinkat: AT_REMOVEDIR makes it rmdir': py`
    ${AT}
    os.mkdir('dir'); write('file'); os.mkdir('full'); write('full/file')
    out(t(unlinkat, 'dir'), t(unlinkat, 'file', AT_REMOVEDIR), t(unlinkat, 'full', AT_REMOVEDIR))
    out(t(unlinkat, '.', AT_REMOVEDIR))
    out(t(unlinkat, 'dir', AT_REMOVEDIR), t(unlinkat, 'absent', AT_REMOVEDIR), ls())`,
  'unlinkat: unknown flags are EINVAL': py`
    ${AT}
    write('file')
    out(t(unlinkat, 'file', 1), t(unlinkat, 'file', AT_EMPTY_PATH), t(unlinkat, 'file', AT_REMOVEDIR | 1), ls())`,
  'symlink: a name that holds a path': py`
    os.symlink('some/path', 'link')
    out(stat_of('link', 'size', 'nlink', 'uid', 'gid'), mode('link'), os.readlink('link'), t(os.stat, 'link'))
    os.umask(0o077)
    os.symlink('/', 'root')
    out(mode('root'), os.readlink('root'), os.path.samestat(os.stat('root'), os.stat('/')))`,
  'symlink: belongs to the one who makes it': py`
    os.chmod('.', 0o777)
    as_user(ALICE, lambda: os.symlink('x', 'a')); as_user(ALICE_STAFF, lambda: os.symlink('x', 'b'))
    out([stat_of(name, 'uid', 'gid') for name in ls()], t(os.lchown, 'a', 7, 8), stat_of('a', 'uid', 'gid'))`,
  'symlink: any bytes but NUL are a target, and come back as they were': py`
    targets = [b'/', b'.', b'..', b'///', b' ', b'\n', b'\\', b'a/b/', b'\xff\xfe', 'é'.encode(), bytes(range(1, 256))]
    for i, target in enumerate(targets):
        os.symlink(target, b'l%d' % i)
    out([os.readlink(b'l%d' % i) == target for i, target in enumerate(targets)])
    out([os.lstat(b'l%d' % i).st_size for i in range(len(targets))])`,
  'symlink: short and long targets, to 4,095 bytes': py`
    for size in (1, 15, 16, 59, 60, 61, 127, 128, 1000, 4000, 4094, 4095):
        os.symlink('t' * size, f'l{size}')
        out(os.readlink(f'l{size}') == 't' * size, os.lstat(f'l{size}').st_size)`,
  'symlink: a target of 4,096 bytes is ENAMETOOLONG, an empty one ENOENT': py`
    out(t(os.symlink, 't' * 4096, 'link'), t(os.symlink, '', 'link'), t(call, 'symlink', 1, 'link'), ls())`,
  'symlink: what is there is EEXIST, whatever it is': py`
    ${KINDS}
    out([t(os.symlink, 'x', name) for name in kinds], [t(os.symlink, 'x', name) for name in ('.', '..', '/', 'dir/')])
    out(os.readlink('link'))`,
  'symlink: a slash after the name is ENOENT': py`
    out(t(os.symlink, 'x', 'new/'), ls())`,
  'symlink: where one may not write is EACCES': py`
    out(as_user(ALICE, lambda: os.symlink('x', 'new')), ls())`,
  'symlink: a relative target counts from the directory of the link': py`
    os.mkdir('a'); os.mkdir('a/b'); write('file', 'outer'); write('a/file', 'inner')
    os.symlink('file', 'a/link'); os.symlink('../file', 'a/b/up'); os.symlink('../../file', 'a/b/top')
    os.symlink('b/../file', 'a/around')
    out(read('a/link'), read('a/b/up'), read('a/b/top'), read('a/around'))
    os.rename('a/link', 'link')
    out(read('link'))`,
  'symlink: to a directory is walked through, ".." of it is that of the directory': py`
    os.mkdir('a'); os.mkdir('a/b'); write('a/file', 'text'); os.symlink('a/b', 'link')
    out(ls('link'), read('link/../file'), os.path.samestat(os.stat('link/..'), os.stat('a')))
    out(stat.S_ISLNK(os.lstat('link').st_mode), stat.S_ISDIR(os.lstat('link/').st_mode))`,
  'readlink: what is no symlink is EINVAL': py`
    write('file'); os.mkdir('dir'); os.mkfifo('fifo'); os.symlink('dir', 'link')
    out([t(os.readlink, name) for name in ('file', 'dir', 'fifo', '.', 'link/', 'absent')])`,
  'readlink: a buffer too small gets the beginning, none at all is EINVAL': py`
    os.symlink('some/target', 'link')
    buffer = ctypes.create_string_buffer(b'.' * 20)
    out(call('readlink', 'link', buffer, 4), buffer.raw[:8], t(call, 'readlink', 'link', buffer, 0))
    out(t(call, 'readlink', 'link', buffer, -1), t(call, 'readlink', 'link', 1, 10))`,
  'readlink: needs no right on the link, and the search right on its directory': py`
    os.mkdir('dir'); os.symlink('target', 'dir/link')
    out(as_user(ALICE, lambda: os.readlink('dir/link')))
    os.chmod('dir', 0o700)
    out(as_user(ALICE, lambda: os.readlink('dir/link')))`,
  'readlinkat: an empty path reads the link of the descriptor, and is ENOENT beside a file': py`
    os.symlink('target', 'link'); write('file')
    link, file = os.open('link', O_PATH | O_NOFOLLOW), os.open('file', O_PATH)
    out(os.readlink('', dir_fd=link), t(os.readlink, '', dir_fd=file))
    out(t(os.readlink, '', dir_fd=os.open('.', O_RDONLY)))`,
};
