/**
 * The POSIX table: open(2) with all its flags, creat(2) and openat2(2); O_TMPFILE and how such a file gets a name.
 * What a bad path gives is in names-paths.ts, for open as for every other call.
 */
import { MOUNTS } from './names-paths.ts';
import type { Table } from './table.ts';
import { py } from './words.ts';

/** `opens` is open and close; `makes` the same with O_CREAT. */
export const OPENS = py`
  def opens(name, flags, mode=0o666, **at):
      os.close(os.open(name, flags, mode, **at))
  def makes(name, mode=0o666, flags=0):
      opens(name, O_CREAT | O_WRONLY | flags, mode)`;

/** Names for the nameless: linkat(2) of a descriptor in its two ways. */
const TMPFILE = py`
  ${OPENS}
  def tmpfile(where='.', flags=O_RDWR, mode=0o644):
      return os.open(where, O_TMPFILE | flags, mode)
  def name_it(fd, name):
      call('linkat', AT_FDCWD, f'/proc/thread-self/fd/{fd}', AT_FDCWD, name, AT_SYMLINK_FOLLOW)
  def name_it_empty(fd, name):
      call('linkat', fd, '', AT_FDCWD, name, AT_EMPTY_PATH)`;

/** `sleep` is a program, and `running()` a process that executes it. */
const RUNNING = py`
  # nanosleep and clock_nanosleep, on x86-64 and arm64
  NANOSLEEP = ('35', '230', '101', '115')
  write('sleep', read('/bin/sleep'))
  os.chmod('sleep', 0o755)
  def running():
      # Closed by the exec, that is when the program runs. It needs its pages until it sleeps, and dies without them.
      reader, writer = os.pipe()
      def program():
          os.close(reader)
          os.execv('./sleep', ['sleep', '19'])
      it = spawn(program)
      os.close(writer)
      os.read(reader, 1)
      until = time.monotonic() + 5
      while open(f'/proc/{it.pid}/syscall').read().split()[0] not in NANOSLEEP and time.monotonic() < until:
          time.sleep(0.01)
      return it`;

/** openat2(2) has no libc function; its number is the same on every architecture. */
const OPENAT2 = py`
  NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH, IN_ROOT, CACHED = 1, 2, 4, 8, 16, 32
  def openat2(name, flags=O_RDONLY, mode=0, resolve=0, size=24, tail=b''):
      how = ctypes.create_string_buffer(struct.pack('<QQQ', flags, mode, resolve) + tail)
      while True:
          try:
              return os.close(call('syscall', 437, AT_FDCWD, name, how, size))
          except OSError as error:
              # Somebody renames or mounts something, anywhere: whether '..' leads out can't be told at the moment.
              if error.errno != errno.EAGAIN or resolve & CACHED: raise`;

export const rows: Table = {
  'open: what is not there is ENOENT in every mode': py`
    ${OPENS}
    out(t(opens, 'absent', O_RDONLY), t(opens, 'absent', O_WRONLY), t(opens, 'absent', O_RDWR | O_TRUNC))
    out(t(opens, 'absent', O_PATH), ls())`,
  'open: O_CREAT makes an empty file, its mode less the umask': py`
    ${OPENS}
    makes('a', 0o666)
    makes('b', 0o7777)
    os.umask(0o077)
    makes('c', 0o777)
    os.umask(0)
    makes('d', 0o666)
    makes('e', 0)
    out([mode(name) for name in ls()], stat_of('a', 'size', 'nlink', 'uid', 'gid', 'blocks'))`,
  'open: O_CREAT with a mode that forbids it gives a descriptor that writes all the same': py`
    os.umask(0)
    def user():
        fd = os.open('mine', O_CREAT | O_RDWR, 0)
        os.write(fd, b'text')
        return [os.pread(fd, 10, 0), t(os.open, 'mine', O_RDONLY)]
    os.chmod('.', 0o777)
    out(as_user(ALICE, user), mode('mine'))`,
  'open: O_CREAT leaves what is there as it is': py`
    ${OPENS}
    write('file', 'text')
    os.chmod('file', 0o604)
    makes('file', 0o777)
    out(read('file'), mode('file'))`,
  'open: O_CREAT gives the file to the one who makes it, with the primary group': py`
    ${OPENS}
    os.chmod('.', 0o777)
    as_user(ALICE, lambda: makes('a'))
    as_user(ALICE_STAFF, lambda: makes('b'))
    as_user(BOB, lambda: makes('c'))
    out([stat_of(name, 'uid', 'gid') for name in ls()])`,
  'open: O_CREAT with O_EXCL of what is there is EEXIST, whatever it is': py`
    ${OPENS}
    write('file'); os.mkdir('dir'); os.mkfifo('fifo'); os.symlink('file', 'link'); os.symlink('absent', 'dangling')
    os.symlink('dir', 'dirlink')
    out([t(makes, name, 0o666, O_EXCL) for name in ('file', 'dir', 'fifo', 'link', 'dangling', 'dirlink')])
    out(t(makes, 'new', 0o666, O_EXCL), ls())`,
  'open: of eight processes with O_CREAT and O_EXCL one makes the file': py`
    ${OPENS}
    them = [spawn(lambda: t(makes, 'one', 0o666, O_EXCL)) for _ in range(8)]
    out(sorted(join(each) for each in them))`,
  'open: O_CREAT through a dangling symlink makes what it names': py`
    ${OPENS}
    os.mkdir('dir')
    os.symlink('dir/made', 'link'); os.symlink('link', 'second'); os.symlink('absent/made', 'nowhere')
    out(t(makes, 'second'), t(makes, 'nowhere'), ls(), ls('dir'), stat.S_ISLNK(os.lstat('link').st_mode))`,
  'open: a directory for writing is EISDIR': py`
    ${OPENS}
    os.mkdir('dir')
    os.symlink('dir', 'link')
    out([t(opens, name, flags) for name in ('dir', 'link', '.', 'dir/')
        for flags in (O_WRONLY, O_RDWR, O_RDONLY | O_CREAT, O_RDONLY | O_TRUNC)])
    out(t(opens, 'dir', O_RDWR | O_DIRECTORY))`,
  'open: a directory for reading, which read(2) then refuses': py`
    os.mkdir('dir')
    fd = os.open('dir', O_RDONLY)
    out(t(os.read, fd, 10), t(os.pread, fd, 10, 0), t(os.write, fd, b'x'), t(os.ftruncate, fd, 0), os.listdir(fd))`,
  'open: a slash after the name': py`
    ${OPENS}
    write('file', 'text'); os.mkdir('dir'); os.symlink('file', 'link'); os.symlink('dir', 'dirlink')
    out([t(opens, name + '/', O_RDONLY) for name in ('file', 'dir', 'link', 'dirlink', 'absent')])
    out([t(makes, name + '/') for name in ('file', 'dir', 'link', 'dirlink', 'absent')])
    out(t(makes, 'absent/', 0o666, O_EXCL), ls())`,
  'open: O_DIRECTORY is ENOTDIR for all but directories': py`
    ${OPENS}
    write('file'); os.mkdir('dir'); os.mkfifo('fifo'); os.symlink('file', 'link'); os.symlink('dir', 'dirlink')
    os.symlink('absent', 'dangling')
    os.mknod('zero', stat.S_IFCHR | 0o666, os.makedev(1, 5))
    out([t(opens, name, O_RDONLY | O_DIRECTORY) for name in ('file', 'dir', 'fifo', 'zero', 'link', 'dirlink',
        'dangling', 'absent')])`,
  'open: O_CREAT with O_DIRECTORY is EINVAL': py`
    ${OPENS}
    os.mkdir('dir'); write('file')
    out([t(opens, name, O_RDONLY | O_CREAT | O_DIRECTORY) for name in ('dir', 'file', 'absent')], ls())`,
  'open: O_NOFOLLOW is ELOOP for a symlink at the end, but follows those on the way': py`
    ${OPENS}
    os.mkdir('dir'); write('dir/file'); os.symlink('dir', 'link'); os.symlink('file', 'dir/inner')
    os.symlink('absent', 'dangling')
    out([t(opens, name, O_RDONLY | O_NOFOLLOW) for name in ('link', 'link/file', 'link/inner', 'dangling', 'dir',
        'link/', 'dir/inner')])
    out(t(opens, 'dangling', O_WRONLY | O_CREAT | O_NOFOLLOW), t(opens, 'link', O_RDONLY | O_NOFOLLOW | O_DIRECTORY))
    out(ls())`,
  'open: O_PATH with O_NOFOLLOW is the symlink itself': py`
    os.symlink('target', 'link')
    fd = os.open('link', O_PATH | O_NOFOLLOW)
    out(oct(os.fstat(fd).st_mode), os.readlink('', dir_fd=fd), t(os.read, fd, 1))
    out(os.readlink(f'/proc/self/fd/{fd}') == p('link'))
    out(t(os.open, f'/proc/self/fd/{fd}', O_RDONLY))`,
  'open: an O_PATH descriptor can be looked at and walked from, no more': py`
    os.mkdir('dir'); write('dir/file', 'text')
    at, fd = os.open('dir', O_PATH), os.open('dir/file', O_PATH | O_CREAT | O_TRUNC)
    out(os.fstat(fd).st_size, t(os.read, fd, 1), t(os.write, fd, b'x'), t(os.ftruncate, fd, 0), t(os.fchmod, fd, 0o600))
    out(t(os.fchown, fd, 0, 0))
    out(t(os.fsync, fd), t(os.lseek, fd, 0, 0), t(os.getxattr, fd, 'user.a'), t(mmap.mmap, fd, 4))
    out(t(fcntl.flock, fd, LOCK_SH))
    out(t(call, 'getdents64', at, ctypes.create_string_buffer(1024), 1024), os.stat('file', dir_fd=at).st_size)
    out(t(os.fchdir, at), read('file'))`,
  'open: O_PATH needs no right on the file, reopening it does': py`
    ${OPENS}
    write('file', 'text')
    os.chmod('file', 0o600)
    def user():
        fd = os.open('file', O_PATH)
        return [os.fstat(fd).st_size, t(opens, f'/proc/thread-self/fd/{fd}', O_RDONLY)]
    out(as_user(ALICE, user))
    fd = os.open('file', O_PATH)
    out(read(f'/proc/self/fd/{fd}'))`,
  'open: O_PATH of what is not there is ENOENT, and O_CREAT does not count': py`
    ${OPENS}
    out(t(opens, 'absent', O_PATH), t(opens, 'absent', O_PATH | O_CREAT), ls())`,
  'open: O_TRUNC empties the file and keeps its mode, for other descriptors too': py`
    write('file', 'text')
    os.chmod('file', 0o604)
    other = os.open('file', O_RDONLY)
    out(os.read(other, 2))
    fd = os.open('file', O_RDWR | O_TRUNC)
    out(os.fstat(other).st_size, os.read(other, 2), oct(os.fstat(fd).st_mode))
    os.write(fd, b'new text')
    out(os.read(other, 20))`,
  'open: O_TRUNC with O_RDONLY empties the file, for those who may write': py`
    ${OPENS}
    write('a', 'text'); write('b', 'text')
    out(t(opens, 'a', O_RDONLY | O_TRUNC), os.stat('a').st_size)
    out(as_user(ALICE, lambda: opens('b', O_RDONLY | O_TRUNC)), os.stat('b').st_size)`,
  'open: O_TRUNC of a fifo and of a device does nothing': py`
    ${OPENS}
    os.mkfifo('fifo')
    os.mknod('null', stat.S_IFCHR | 0o666, os.makedev(1, 3))
    out(t(opens, 'fifo', O_RDWR | O_TRUNC), t(opens, 'null', O_WRONLY | O_TRUNC))`,
  'open: access mode 3 needs both rights and gives neither': py`
    write('file', 'text')
    os.chmod('file', 0o444)
    fd = os.open('file', 3)
    out(t(os.read, fd, 1), t(os.write, fd, b'x'), os.fstat(fd).st_size, as_user(ALICE, lambda: os.open('file', 3)))
    out(read('file'))`,
  'open: descriptors read and write as they were opened': py`
    write('file', 'text')
    r, w, rw = os.open('file', O_RDONLY), os.open('file', O_WRONLY), os.open('file', O_RDWR)
    out(t(os.write, r, b'x'), t(os.read, w, 1), t(os.write, rw, b'T'), os.read(r, 4))
    out([fcntl.fcntl(fd, F_GETFL) & os.O_ACCMODE for fd in (r, w, rw)])`,
  'open: three links in a circle are ELOOP': py`
    ${OPENS}
    os.symlink('b', 'a'); os.symlink('c', 'b'); os.symlink('a', 'c')
    out(t(opens, 'a', O_RDONLY), t(makes, 'a'), t(opens, 'a', O_PATH))`,
  'open: 40 symlinks in a row are followed, 41 are ELOOP': py`
    ${OPENS}
    write('l0', 'text')
    for i in range(41):
        os.symlink(f'l{i}', f'l{i + 1}')
    def patiently():
        # A walk that the kernel begins anew, as names change elsewhere meanwhile, goes on counting symlinks (6.18).
        for tries in range(20):
            try: return read('l40')
            except OSError as error:
                if error.errno != errno.ELOOP: raise
        return read('l40')
    out(patiently(), t(opens, 'l41', O_RDONLY))`,
  'open: a name of 255 bytes is a name, and a path of 4,095 bytes is a path': py`
    ${OPENS}
    makes('n' * 255); makes('é' * 127 + 'x')
    makes('./' * 2046 + 'abc')
    out(ls(), t(opens, './' * 2046 + 'abc', O_RDONLY))`,
  'open: the other end of a fifo must be there for O_WRONLY and O_NONBLOCK, or it is ENXIO': py`
    os.mkfifo('fifo')
    out(t(os.open, 'fifo', O_WRONLY | O_NONBLOCK))
    r = os.open('fifo', O_RDONLY | O_NONBLOCK)
    w = os.open('fifo', O_WRONLY | O_NONBLOCK)
    out(os.write(w, b'text'), os.read(r, 10), t(os.read, r, 10))`,
  'open: a socket is ENXIO, a device without driver too': py`
    ${OPENS}
    socket.socket(socket.AF_UNIX).bind('sock')
    os.mknod('chr', stat.S_IFCHR | 0o666, 0)
    os.mknod('blk', stat.S_IFBLK | 0o666, os.makedev(4095, 1048575))
    out([t(opens, name, flags) for name in ('sock', 'chr', 'blk')
        for flags in (O_RDONLY, O_RDWR | O_NONBLOCK, O_PATH)])`,
  'open: a fifo waits for its other end until a signal comes, which is EINTR': py`
    os.mkfifo('fifo')
    signal.signal(signal.SIGUSR1, lambda *_: None)
    parent = os.getpid()
    def kick():
        while True:
            os.kill(parent, signal.SIGUSR1)
            time.sleep(0.01)
    kicker = spawn(kick)
    out(t(call, 'open', 'fifo', O_RDONLY), t(call, 'open', 'fifo', O_WRONLY))
    os.kill(kicker.pid, signal.SIGKILL)`,
  'open: the mode bits decide, and EACCES is what is missing': py`
    ${OPENS}
    for bits in (0, 4, 2, 6):
        write(f'f{bits}')
        os.chmod(f'f{bits}', 0o600 | bits)
    out(as_user(ALICE, lambda: [[t(opens, f'f{bits}', flags) for flags in (O_RDONLY, O_WRONLY, O_RDWR)]
        for bits in (0, 4, 2, 6)]))
    out([t(opens, 'f0', flags) for flags in (O_RDONLY, O_WRONLY, O_RDWR)])`,
  'open: O_CREAT in a directory that may not be written is EACCES, but not of what is there': py`
    ${OPENS}
    write('file')
    os.chmod('file', 0o666)
    out(as_user(ALICE, lambda: [t(makes, 'new'), t(makes, 'file'), t(makes, 'file', 0o666, O_EXCL)]), ls())`,
  'open: a directory needs its read bit, for O_PATH not': py`
    ${OPENS}
    os.mkdir('dir')
    os.chmod('dir', 0o711)
    out(as_user(ALICE, lambda: [t(opens, 'dir', O_RDONLY), t(opens, 'dir', O_PATH),
        t(opens, 'dir', O_PATH | O_DIRECTORY)]))`,
  'open: O_NOATIME is EPERM for whoever does not own the file': py`
    ${OPENS}
    write('file')
    os.chmod('file', 0o644)
    out(as_user(ALICE, lambda: opens('file', O_RDONLY | O_NOATIME)), t(opens, 'file', O_RDONLY | O_NOATIME))
    os.chown('file', 12345, 12345)
    out(as_user(ALICE, lambda: opens('file', O_RDONLY | O_NOATIME)))`,
  'open: a program that runs is ETXTBSY for writing, and a file open for writing does not run': py`
    ${OPENS}
    ${RUNNING}
    fd = os.open('sleep', O_WRONLY)
    out(t(os.execv, './sleep', ['sleep', '0']))
    os.close(fd)
    it = running()
    out(t(opens, 'sleep', O_WRONLY), t(opens, 'sleep', O_RDWR | O_TRUNC), t(opens, 'sleep', O_RDONLY))
    out(t(os.truncate, 'sleep', 0), os.stat('sleep').st_size > 0)
    os.kill(it.pid, signal.SIGKILL)
    os.waitpid(it.pid, 0)
    out(t(opens, 'sleep', O_WRONLY))`,
  'open: a program that runs is ETXTBSY for O_RDONLY with O_TRUNC, and stays whole': {
    script: py`
      ${OPENS}
      ${RUNNING}
      it = running()
      out(t(opens, 'sleep', O_RDONLY | O_TRUNC), os.stat('sleep').st_size > 0)`,
    // do_open in fs/namei.c calls vfs_open, whose OPEN carries O_TRUNC to the server (ATOMIC_O_TRUNC), before
    // handle_truncate, which is the first to ask whether the file runs.
    fuse: { out: ['ETXTBSY', false], why: 'O_TRUNC of a program that runs' },
  },
  'open: no descriptor left is EMFILE, and makes no file': py`
    ${OPENS}
    import resource
    fd = os.open('.', O_RDONLY)
    resource.setrlimit(resource.RLIMIT_NOFILE, (fd + 1, fd + 1))
    os.dup2(fd, fd)
    used = []
    while True:
        try:
            used.append(os.dup(fd))
        except OSError as error:
            out(name_of(error))
            break
    found = t(makes, 'new')
    for each in used:
        os.close(each)
    os.close(fd)
    out(found, ls())`,
  'open: a lease makes others wait, or EAGAIN with O_NONBLOCK': py`
    ${OPENS}
    signal.signal(signal.SIGIO, lambda *_: None)
    write('file', 'text')
    fd = os.open('file', O_RDONLY)
    out(t(fcntl.fcntl, fd, F_SETLEASE, F_RDLCK))
    def other():
        return [t(opens, 'file', O_RDONLY | O_NONBLOCK), t(opens, 'file', O_WRONLY | O_NONBLOCK)]
    out(join(spawn(other)), t(fcntl.fcntl, fd, F_SETLEASE, F_UNLCK), join(spawn(other)))`,
  'open: in a directory that is gone is ENOENT': py`
    ${OPENS}
    os.mkdir('dir')
    at = os.open('dir', O_RDONLY)
    os.rmdir('dir')
    out(t(opens, 'new', O_WRONLY | O_CREAT, 0o666, dir_fd=at), t(opens, 'new', O_RDONLY, 0o666, dir_fd=at))
    out(t(opens, '.', O_RDONLY, 0o666, dir_fd=at))`,
  'open: an unlinked file opens again through /proc': py`
    write('file', 'text')
    fd = os.open('file', O_RDONLY)
    os.unlink('file')
    other = os.open(f'/proc/self/fd/{fd}', O_RDWR)
    os.write(other, b'TEXT and more')
    out(os.read(fd, 20), os.fstat(fd).st_nlink, ls())`,
  'open: two opens have offsets of their own, a dup has not': py`
    write('file', 'abcdef')
    a, b = os.open('file', O_RDONLY), os.open('file', O_RDONLY)
    c = os.dup(a)
    out(os.read(a, 2), os.read(b, 2), os.read(c, 2), os.read(a, 2))`,
  'creat: makes, empties, and only writes': py`
    fd = call('creat', 'file', 0o666)
    os.write(fd, b'text')
    out(t(os.read, fd, 1), read('file'), mode('file'))
    call('creat', 'file', 0o600)
    out(read('file'), mode('file'))`,
  'creat: a directory is EISDIR': py`
    os.mkdir('dir')
    out(t(call, 'creat', 'dir', 0o644), t(call, 'creat', '.', 0o644), t(call, 'creat', 'dir/', 0o644))
    out(t(call, 'creat', 'new/', 0o644))`,
  'creat: of what may not be written, and where nothing may be made, is EACCES': py`
    write('file', 'text')
    out(as_user(ALICE, lambda: [t(call, 'creat', 'file', 0o644), t(call, 'creat', 'new', 0o644)]), read('file'), ls())`,
  'openat2: finds what open finds, and makes what it makes': py`
    ${OPENAT2}
    write('file', 'text')
    out(t(openat2, 'file'), t(openat2, 'new', O_CREAT | O_WRONLY, 0o640), mode('new'), t(openat2, 'absent'))`,
  'openat2: unknown flags, a mode without O_CREAT and a struct too short are EINVAL, one too long E2BIG': py`
    ${OPENAT2}
    write('file')
    out(t(openat2, 'file', 1 << 40), t(openat2, 'file', O_RDONLY, 0o644), t(openat2, 'file', O_CREAT, 0o1000000))
    out(t(openat2, 'file', resolve=1 << 20))
    out(t(openat2, 'file', size=16), t(openat2, 'file', size=32, tail=bytes(8)))
    out(t(openat2, 'file', size=32, tail=b'x' * 8))`,
  'openat2: RESOLVE_NO_SYMLINKS is ELOOP for each symlink on the way': py`
    ${OPENAT2}
    os.mkdir('dir'); write('dir/file'); os.symlink('dir', 'link'); os.symlink('file', 'dir/inner')
    out([t(openat2, name, resolve=NO_SYMLINKS) for name in ('dir/file', 'link/file', 'dir/inner')])
    out(t(openat2, 'dir/inner', O_PATH | O_NOFOLLOW, resolve=NO_SYMLINKS))`,
  'openat2: RESOLVE_BENEATH and RESOLVE_NO_XDEV do not leave: EXDEV': py`
    ${OPENAT2}
    os.mkdir('dir'); write('dir/file'); os.symlink('/proc', 'proc'); os.symlink('../dir/file', 'dir/out')
    out([t(openat2, name, resolve=BENEATH) for name in ('dir/file', 'dir/../dir/file', '../x', '/', 'proc', 'dir/out',
        '..')])
    out([t(openat2, name, resolve=NO_XDEV) for name in ('dir/file', 'proc', '/proc/self')])`,
  'openat2: RESOLVE_IN_ROOT makes the directory the root': py`
    ${OPENAT2}
    os.mkdir('dir'); write('file'); os.symlink('/file', 'link'); os.symlink('../../../file', 'up')
    out([t(openat2, name, resolve=IN_ROOT) for name in ('/file', 'link', 'up', '../../file', '/absent',
        '/dir/../../dir')])`,
  'O_TMPFILE: a file without a name, as other files but with no link': py`
    ${TMPFILE}
    fd = tmpfile(mode=0o666)
    os.write(fd, b'text')
    out(stat_of(fd, 'nlink', 'size', 'uid', 'gid'), oct(os.fstat(fd).st_mode), os.pread(fd, 10, 0), ls())
    out(stat_of('.', 'nlink'))
    os.ftruncate(fd, 100)
    os.fchmod(fd, 0o600)
    out(stat_of(fd, 'size', 'mode'), read(f'/proc/self/fd/{fd}')[:5])`,
  'O_TMPFILE: must be for writing, or it is EINVAL': py`
    ${TMPFILE}
    out(t(tmpfile, '.', O_RDONLY), t(opens, '.', O_RDWR | (O_TMPFILE & ~O_DIRECTORY)))
    out(t(opens, '.', O_TMPFILE | O_RDWR | O_CREAT), t(opens, '.', O_TMPFILE | O_WRONLY))`,
  'O_TMPFILE: in what is not there is ENOENT, in what is no directory ENOTDIR': py`
    ${TMPFILE}
    write('file'); os.symlink('file', 'link'); os.symlink('absent', 'dangling')
    out([t(tmpfile, name) for name in ('absent', 'file', 'link', 'dangling', 'file/x')])`,
  'O_TMPFILE: through a symlink to a directory': py`
    ${TMPFILE}
    os.mkdir('dir'); os.symlink('dir', 'link')
    name_it(tmpfile('link'), 'dir/named')
    out(ls('dir'), t(tmpfile, 'link', O_RDWR | O_NOFOLLOW))`,
  'O_TMPFILE: where nothing may be made is EACCES': py`
    ${TMPFILE}
    out(as_user(ALICE, tmpfile))
    os.chmod('.', 0o777)
    out(as_user(ALICE, lambda: stat_of(tmpfile(mode=0o600), 'nlink', 'uid', 'gid', 'mode')))`,
  'O_TMPFILE: linkat of /proc/self/fd with AT_SYMLINK_FOLLOW gives it a name': py`
    ${TMPFILE}
    fd = tmpfile()
    os.write(fd, b'text')
    out(t(name_it, fd, 'named'), stat_of(fd, 'nlink'), read('named'), os.path.samestat(os.fstat(fd), os.stat('named')))
    out(t(name_it, fd, 'again'), stat_of('named', 'nlink'), ls())
    os.write(fd, b' and more')
    os.close(fd)
    out(read('again'))`,
  'O_TMPFILE: without AT_SYMLINK_FOLLOW linkat would link the symlink in /proc: EXDEV': py`
    ${TMPFILE}
    fd = tmpfile()
    out(t(call, 'linkat', AT_FDCWD, f'/proc/self/fd/{fd}', AT_FDCWD, 'named', 0), ls())`,
  'O_TMPFILE: linkat with AT_EMPTY_PATH gives it a name': py`
    ${TMPFILE}
    fd = tmpfile()
    os.write(fd, b'text')
    out(t(name_it_empty, fd, 'named'), read('named'), stat_of('named', 'nlink'), t(name_it_empty, fd, 'named'))`,
  'O_TMPFILE: a user names it through /proc, and by AT_EMPTY_PATH as this kernel likes': py`
    ${TMPFILE}
    os.chmod('.', 0o777)
    def user():
        fd = tmpfile()
        return [t(name_it, fd, 'a'), t(name_it_empty, fd, 'b')]
    out(as_user(ALICE, user), stat_of('a', 'uid', 'gid'), ls())`,
  'O_TMPFILE: a name that is there is EEXIST, and the file can still get another': py`
    ${TMPFILE}
    write('there', 'old'); os.symlink('absent', 'dangling')
    fd = tmpfile()
    out(t(name_it, fd, 'there'), t(name_it, fd, 'dangling'), stat_of(fd, 'nlink'), t(name_it, fd, 'new'), read('there'))
    out(ls())`,
  'O_TMPFILE: with O_EXCL it never gets a name: ENOENT': py`
    ${TMPFILE}
    fd = tmpfile(flags=O_RDWR | O_EXCL)
    out(t(name_it, fd, 'named'), t(name_it_empty, fd, 'named'), stat_of(fd, 'nlink'), ls(), os.write(fd, b'text'))`,
  'O_TMPFILE: once named and unlinked it gets no second name: ENOENT': py`
    ${TMPFILE}
    fd = tmpfile()
    name_it(fd, 'named')
    os.unlink('named')
    out(stat_of(fd, 'nlink'), t(name_it, fd, 'again'), t(name_it_empty, fd, 'again'), ls())`,
  'O_TMPFILE: a file that had a name and lost it gets none by linkat: ENOENT': py`
    ${TMPFILE}
    fd = os.open('file', O_CREAT | O_RDWR)
    os.unlink('file')
    out(t(name_it, fd, 'again'), t(name_it_empty, fd, 'again'), stat_of(fd, 'nlink'), ls())`,
  'O_TMPFILE: named in another directory of the filesystem, but not on another: EXDEV': py`
    ${TMPFILE}
    ${MOUNTS}
    os.mkdir('a'); os.mkdir('b'); os.mkdir('other')
    other('other')
    fd = tmpfile('a')
    out(t(name_it, fd, 'b/named'), t(name_it, fd, 'other/named'), t(name_it_empty, fd, 'other/named'), ls('a'), ls('b'))
    out(ls('other'))`,
  'O_TMPFILE: in a directory that is gone still makes a file, which gets a name elsewhere': {
    script: py`
      ${TMPFILE}
      os.mkdir('dir')
      at = os.open('dir', O_RDONLY)
      os.rmdir('dir')
      made = t(os.open, '.', O_TMPFILE | O_RDWR, 0o644, dir_fd=at)
      out(t(name_it, made, 'named'), ls(), [stat_of(name, 'nlink', 'size') for name in ls()])`,
    like: 'tmpfs',
  },
  'O_TMPFILE: the mode loses the umask, and a setgid directory gives its group': py`
    ${TMPFILE}
    os.mkdir('dir')
    os.chown('dir', 0, 2000)
    os.chmod('dir', 0o2777)
    os.umask(0o027)
    fd = tmpfile('dir', mode=0o6777)
    out(oct(os.fstat(fd).st_mode), stat_of(fd, 'uid', 'gid'))
    out(as_user(ALICE, lambda: stat_of(tmpfile('dir', mode=0o2775), 'mode', 'uid', 'gid')))`,
  'O_TMPFILE: many at once are files of their own': py`
    ${TMPFILE}
    them = [tmpfile() for _ in range(50)]
    for i, fd in enumerate(them):
        os.write(fd, b'%d' % i)
    out(len({os.fstat(fd).st_ino for fd in them}))
    out([os.pread(fd, 10, 0) for fd in them] == [b'%d' % i for i in range(50)], ls())`,
};
