/**
 * The POSIX table: mknod(2) and what it makes: fifos that are pipes between processes, sockets that are bound and
 * connected to, device nodes that are devices. And stat(2) of everything there is.
 */
import { OPENS } from './names.ts';
import type { Table } from './table.ts';
import { py } from './words.ts';

const UNIX = py`
  def listening(name, kind=socket.SOCK_STREAM):
      it = socket.socket(socket.AF_UNIX, kind)
      it.bind(name)
      if kind != socket.SOCK_DGRAM:
          it.listen(8)
      return it
  def connected(name, kind=socket.SOCK_STREAM):
      it = socket.socket(socket.AF_UNIX, kind)
      it.connect(name)
      return it`;

export const rows: Table = {
  'mknod: makes files, fifos, sockets and devices, the mode less the umask': py`
    for name, kind in dict(file=stat.S_IFREG, fifo=stat.S_IFIFO, sock=stat.S_IFSOCK, chr=stat.S_IFCHR, blk=stat.S_IFBLK,
        zero=0).items():
        os.mknod(name, kind | 0o666, os.makedev(7, 9))
        out(name, mode(name), stat_of(name, 'nlink', 'size', 'uid', 'gid', 'rdev'))`,
  'mknod: suid, sgid and sticky bits are kept': py`
    os.mknod('a', stat.S_IFREG | 0o7777); os.mknod('b', stat.S_IFIFO | 0o7777)
    os.mknod('c', stat.S_IFCHR | 0o7777, os.makedev(1, 3))
    out([mode(name) for name in ls()])`,
  'mknod: device numbers of all sizes come back': py`
    numbers = [(0, 1), (1, 0), (1, 3), (255, 255), (256, 256), (4095, 1048575), (8, 65536), (511, 257)]
    for i, number in enumerate(numbers):
        os.mknod(f'c{i}', stat.S_IFCHR | 0o600, os.makedev(*number))
        os.mknod(f'b{i}', stat.S_IFBLK | 0o600, os.makedev(*number))
    for kind in 'cb':
        found = [os.lstat(f'{kind}{i}').st_rdev for i in range(len(numbers))]
        out([[os.major(each), os.minor(each)] for each in found])`,
  'mknod: devices are EPERM for users, all else is not, nor the device 0:0': py`
    os.chmod('.', 0o777)
    kinds = [(stat.S_IFCHR, 1), (stat.S_IFBLK, 1), (stat.S_IFCHR, 0), (stat.S_IFBLK, 0), (stat.S_IFREG, 0),
        (stat.S_IFIFO, 0), (stat.S_IFSOCK, 0)]
    out(as_user(ALICE, lambda: [t(os.mknod, f'n{i}', kind | 0o644, number) for i, (kind, number) in enumerate(kinds)]))
    out([stat_of(name, 'mode', 'uid', 'gid') for name in ls()])`,
  'mknod: a directory is EPERM, a symlink and other types are EINVAL': py`
    out([t(os.mknod, 'new', kind | 0o644) for kind in (stat.S_IFDIR, stat.S_IFLNK, 0o030000, 0o170000)], ls())`,
  'mknod: what is there is EEXIST, whatever it is': py`
    write('file', 'text'); os.mkdir('dir'); os.symlink('absent', 'dangling'); os.mkfifo('fifo')
    out([t(os.mknod, name) for name in ('file', 'dir', 'dangling', 'fifo', '.', '..', '/')])
    out([t(os.mkfifo, name) for name in ('file', 'dir', 'dangling', 'fifo')], ls())`,
  'mknod: a slash after the name is ENOENT': py`
    out(t(os.mknod, 'new/'), t(os.mkfifo, 'new/'), ls())`,
  'mknod: where one may not write is EACCES': py`
    out(as_user(ALICE, lambda: [t(os.mknod, 'new'), t(os.mkfifo, 'new')]), ls())`,
  'mknod: in a directory that is gone is ENOENT': py`
    os.mkdir('dir')
    at = os.open('dir', O_RDONLY)
    os.rmdir('dir')
    out(t(os.mknod, 'x', dir_fd=at), t(os.mkfifo, 'x', dir_fd=at))`,
  'fifo: a pipe between processes': py`
    os.mkfifo('fifo')
    def writer():
        with open('fifo', 'wb') as file:
            for i in range(100):
                file.write(b'%d\n' % i * 100)
    it = spawn(writer)
    with open('fifo', 'rb') as file:
        got = file.read()
    out(join(it), len(got), got[:5], got[-4:], stat_of('fifo', 'size'))`,
  'fifo: an open waits for the other end': py`
    os.mkfifo('fifo')
    it = spawn(lambda: os.write(os.open('fifo', O_WRONLY), b'text'))
    fd = os.open('fifo', O_RDONLY)
    out(os.read(fd, 10), join(it), os.read(fd, 10))`,
  'fifo: no reader left is EPIPE, no writer left the end': py`
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    os.mkfifo('fifo')
    r, w = os.open('fifo', O_RDONLY | O_NONBLOCK), os.open('fifo', O_WRONLY)
    os.write(w, b'text'); os.close(w)
    out(os.read(r, 10), os.read(r, 10))
    w = os.open('fifo', O_WRONLY)
    os.close(r)
    out(t(os.write, w, b'text'))`,
  'fifo: cannot be sought, read at an offset, truncated or mapped': py`
    os.mkfifo('fifo')
    fd = os.open('fifo', O_RDWR)
    out(t(os.lseek, fd, 0, 0), t(os.pread, fd, 1, 0), t(os.pwrite, fd, b'x', 0), t(os.ftruncate, fd, 0))
    out(t(os.truncate, 'fifo', 0), t(mmap.mmap, fd, 4096), t(os.fsync, fd))`,
  'fifo: lives on unlinked, and what is left in it goes with the last descriptor': py`
    os.mkfifo('fifo'); os.link('fifo', 'other')
    fd = os.open('fifo', O_RDWR | O_NONBLOCK)
    os.write(fd, b'text')
    os.unlink('fifo')
    out(os.read(os.open('other', O_RDONLY | O_NONBLOCK), 2), stat_of(fd, 'nlink'))
    os.unlink('other')
    out(os.read(fd, 10), stat_of(fd, 'nlink'), t(os.read, fd, 10))
    os.mkfifo('fifo')
    out(t(os.read, os.open('fifo', O_RDWR | O_NONBLOCK), 10))`,
  'fifo: a user needs the rights of the file': py`
    ${OPENS}
    os.mkfifo('fifo'); os.chmod('fifo', 0o604)
    out(as_user(ALICE, lambda: [t(opens, 'fifo', flags | O_NONBLOCK) for flags in (O_RDONLY, O_WRONLY, O_RDWR)]))`,
  'socket: bound, listened at, connected to': py`
    ${UNIX}
    server = listening('sock')
    client = connected('sock')
    peer = server.accept()[0]
    client.sendall(b'text')
    out(peer.recv(10), peer.send(b'answer'), client.recv(10), server.getsockname(), mode('sock'))
    out(stat_of('sock', 'nlink', 'size', 'uid', 'gid'))`,
  'socket: between processes, under another name, from another directory': py`
    ${UNIX}
    server = listening('sock')
    os.mkdir('dir'); os.rename('sock', 'dir/moved'); os.link('dir/moved', 'dir/link'); os.symlink('moved', 'dir/sym')
    def client(name):
        with connected(name) as it:
            it.sendall(name.encode())
    for name in ('dir/moved', 'dir/link', 'dir/sym'):
        it = spawn(lambda: client(name))
        out(server.accept()[0].recv(20), join(it))`,
  'socket: a name that is there is EADDRINUSE': py`
    ${UNIX}
    listening('sock'); write('file'); os.symlink('absent', 'dangling')
    out([t(listening, name) for name in ('sock', 'file', 'dangling')], t(listening, 'absent/sock'))
    out(t(listening, 'file/sock'), ls())`,
  'socket: with nobody behind it is ECONNREFUSED, and a file too': py`
    ${UNIX}
    listening('sock').close()
    os.mknod('made', stat.S_IFSOCK | 0o666); write('file'); os.mkdir('dir'); os.mkfifo('fifo')
    out([t(connected, name) for name in ('sock', 'made', 'file', 'dir', 'fifo', 'absent', 'file/x')])`,
  'socket: unlinked it is not found any more, who is connected stays so': py`
    ${UNIX}
    server = listening('sock')
    client = connected('sock')
    os.unlink('sock')
    peer = server.accept()[0]
    client.sendall(b'text')
    out(peer.recv(10), t(connected, 'sock'))
    again = listening('sock')
    second = connected('sock')
    second.sendall(b'again')
    out(again.accept()[0].recv(10))`,
  'socket: connecting needs the write right': py`
    ${UNIX}
    server = listening('sock')
    os.chmod('sock', 0o755)
    out(as_user(ALICE, lambda: connected('sock') and 'connected'))
    os.chmod('sock', 0o722)
    out(as_user(ALICE, lambda: connected('sock') and 'connected'))`,
  'socket: made with the umask, and only where one may write': py`
    ${UNIX}
    os.umask(0o027)
    listening('sock')
    out(mode('sock'), as_user(ALICE, lambda: listening('hers') and 'bound'))`,
  'socket: datagrams and sequenced packets': py`
    ${UNIX}
    a, b = listening('a', socket.SOCK_DGRAM), listening('b', socket.SOCK_DGRAM)
    a.sendto(b'text', 'b')
    out(b.recvfrom(10), t(a.sendto, b'x', 'absent'), t(connected, 'a'))
    server = listening('c', socket.SOCK_SEQPACKET)
    client = connected('c', socket.SOCK_SEQPACKET)
    client.send(b'one'); client.send(b'two')
    peer = server.accept()[0]
    out(peer.recv(10), peer.recv(10))`,
  'device: the numbers of /dev/null, /dev/zero and /dev/full are those devices': py`
    for name, minor in dict(null=3, zero=5, full=7).items():
        os.mknod(name, stat.S_IFCHR | 0o666, os.makedev(1, minor))
    null, zero, full = (os.open(name, O_RDWR) for name in ('null', 'zero', 'full'))
    out(os.read(null, 4), os.write(null, b'text'), os.read(zero, 4), os.write(zero, b'text'), os.read(full, 4))
    out(t(os.write, full, b'text'))
    out([stat_of(name, 'size') for name in ls()], mmap.mmap(zero, 4096)[:4], stat_of(null, 'rdev', 'mode'))`,
  'device: a user needs the rights of the file': py`
    ${OPENS}
    os.mknod('null', stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.chmod('null', 0o604)
    out(as_user(ALICE, lambda: [t(opens, 'null', flags) for flags in (O_RDONLY, O_WRONLY, O_RDWR)]))`,
  'device: renamed and linked it is the device still': py`
    os.mknod('a', stat.S_IFCHR | 0o666, os.makedev(1, 5))
    os.rename('a', 'b'); os.link('b', 'c'); os.chmod('c', 0o640)
    out(os.read(os.open('c', O_RDONLY), 2), stat_of('b', 'rdev', 'nlink', 'mode'))`,
  'stat: of each kind of file': py`
    write('file', 'text'); os.mkdir('dir'); os.symlink('file', 'link'); os.mkfifo('fifo')
    os.mknod('chr', stat.S_IFCHR | 0o600, os.makedev(1, 3)); os.mknod('blk', stat.S_IFBLK | 0o600, os.makedev(7, 0))
    socket.socket(socket.AF_UNIX).bind('sock')
    for name in ls():
        out(name, mode(name), stat_of(name, 'nlink', 'uid', 'gid', 'rdev'))
        out(-1 if name == 'dir' else os.lstat(name).st_size)`,
  'stat: follows symlinks, lstat does not': py`
    write('file', 'text'); os.mkdir('dir'); os.symlink('file', 'link'); os.symlink('dir', 'dirlink')
    os.symlink('link', 'second'); os.symlink('absent', 'dangling')
    for name in ('link', 'second', 'dirlink', 'dangling', 'dirlink/', 'dirlink/.'):
        out(name, t(lambda: oct(os.stat(name).st_mode)), oct(os.lstat(name).st_mode))`,
  'stat: needs no right on the file, and search on the way': py`
    os.mkdir('dir'); write('dir/file', 'text'); os.chmod('dir/file', 0); os.chmod('dir', 0o711)
    out(as_user(ALICE, lambda: stat_of('dir/file', 'size', 'mode')))
    os.chmod('dir', 0o744)
    out(as_user(ALICE, lambda: [t(os.stat, 'dir/file'), t(os.lstat, 'dir/file'), t(os.stat, 'dir/absent'), ls('dir'),
        stat_of('dir', 'mode')]))`,
  'fstat: of descriptors of all kinds, and EBADF': py`
    write('file', 'text'); os.mkdir('dir'); os.mkfifo('fifo')
    out([oct(os.fstat(os.open(name, O_RDONLY | O_NONBLOCK)).st_mode) for name in ls()], t(os.fstat, 999))
    out(t(os.fstat, -1))
    fd = os.open('file', O_RDONLY)
    os.rename('file', 'moved')
    write('moved', 'longer text')
    out(os.fstat(fd).st_size)`,
  'fstatat: AT_EMPTY_PATH, and unknown flags are EINVAL': py`
    write('file', 'text'); os.symlink('file', 'link')
    buffer = ctypes.create_string_buffer(256)
    file = os.open('file', O_PATH)
    out(t(call, 'fstatat', file, '', buffer, AT_EMPTY_PATH), t(call, 'fstatat', file, '', buffer, 0))
    out(t(call, 'fstatat', AT_FDCWD, 'file', buffer, 1 << 20))
    out(t(call, 'fstatat', AT_FDCWD, 'file', 1, 0))`,
  'statx: finds the same as lstat, and says what it found': py`
    write('file', 'text'); os.link('file', 'other')
    found = statx('file')
    out(found['nlink'], oct(found['mode']), found['size'], found['uid'], found['gid'], found['mask'] & 0xFFF == 0xFFF)
    out(found['mtime'][0] == int(os.stat('file').st_mtime))`,
  'statx: reserved bits of the mask and bad flags are EINVAL': py`
    write('file')
    out(t(lambda: statx('file', mask=1 << 31)), t(lambda: statx('file', flags=0x6000)))
    out(t(lambda: statx('file', flags=1)), t(lambda: statx('file', flags=0x2000)['size']))
    out(t(lambda: statx('file', flags=0x4000)['size']))`,
  'stat: the same file has the same number under all its names, others have others': py`
    write('a'); os.link('a', 'b'); write('c'); os.mkdir('d'); os.mkdir('d/e'); os.symlink('a', 'f')
    numbers = {name: os.lstat(name).st_ino for name in ('a', 'b', 'c', 'd', 'd/e', 'f', '.')}
    out(numbers['a'] == numbers['b'], len(set(numbers.values())), os.stat('f').st_ino == numbers['a'])
    out(len({os.lstat(name).st_dev for name in numbers}))`,
  'stat: st_blksize is a power of two, st_blocks of an empty file 0': py`
    write('file')
    size = os.stat('file').st_blksize
    out(size >= 512 and size & (size - 1) == 0, os.stat('file').st_blocks)`,
};
