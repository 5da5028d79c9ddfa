/** Rows about readiness (poll, select, epoll) and about handles of files (name_to_handle_at, open_by_handle_at). */
import type { Table } from './table.ts';
import { py } from './words.ts';

/** polled(fd, wanted): what poll(2) says at once, as text: 'in', 'out', 'pri', 'err', 'hup', 'nval' and their relations. */
const POLL = py`
  NAMES = {'in': 1, 'pri': 2, 'out': 4, 'err': 8, 'hup': 16, 'nval': 32, 'rdnorm': 64, 'rdband': 128, 'wrnorm': 256, 'wrband': 512, 'rdhup': 0x2000}
  ALL = sum(NAMES.values())

  def polled(fd, wanted=ALL, timeout=0):
      it = select.poll()
      it.register(fd, wanted)
      found = dict(it.poll(timeout)).get(fd, 0)
      return ' '.join(name for name, bit in NAMES.items() if found & bit)

  READY = 'in out rdnorm wrnorm'
`;

const readiness: Table = {
  'poll: a file is ready for reading and writing, and for nothing else': py`
    ${POLL}
    out(polled(os.open('f', O_RDWR | O_CREAT)))`,
  'poll: whatever its mode, its length and the place in it': py`
    ${POLL}
    write('f', 'abc')
    fds = [os.open('f', flags) for flags in (O_RDONLY, O_WRONLY, O_RDWR | O_APPEND, O_RDWR | O_NONBLOCK)]
    os.lseek(fds[0], 100, SEEK_SET)
    out([polled(fd) for fd in fds])`,
  'poll: tells of what was asked for alone': py`
    ${POLL}
    fd = os.open('f', O_RDWR | O_CREAT)
    out(polled(fd, 1), polled(fd, 4), polled(fd, 64 | 4), polled(fd, 0), polled(fd, 128 | 2))`,
  'poll: does not wait for a file': py`
    ${POLL}
    fd = os.open('f', O_RDWR | O_CREAT)
    out(polled(fd, 1, -1), polled(fd, 4, -1))`,
  'poll: a wait for what never comes ends with its time': py`
    ${POLL}
    fd = os.open('f', O_RDWR | O_CREAT)
    out(polled(fd, 128, 20), polled(fd, 0, 20))`,
  'poll: a directory is as ready as a file': py`
    ${POLL}
    out(polled(os.open('.', O_RDONLY)))`,
  'poll: what is no descriptor, or only a path, is POLLNVAL': py`
    ${POLL}
    write('f')
    os.symlink('f', 's')
    out(polled(999), polled(os.open('f', O_PATH)), polled(os.open('s', O_PATH | O_NOFOLLOW)))`,
  'poll: an unlinked file stays ready': py`
    ${POLL}
    fd = os.open('f', O_RDWR | O_CREAT)
    os.unlink('f')
    out(polled(fd), polled(os.open('.', O_RDWR | O_TMPFILE)))`,
  'poll: a fifo of the filesystem is a pipe': py`
    ${POLL}
    os.mkfifo('p')
    r = os.open('p', O_RDONLY | O_NONBLOCK)
    w = os.open('p', O_WRONLY | O_NONBLOCK)
    out(polled(r), polled(w))
    os.write(w, b'x')
    out(polled(r))
    os.close(w)
    out(polled(r), os.read(r, 5), polled(r))`,
  'poll: many files at once': py`
    ${POLL}
    it = select.poll()
    for i in range(50):
        it.register(os.open(f'f{i}', O_RDWR | O_CREAT), 1)
    out(sorted({event for _, event in it.poll(0)}), len(it.poll(0)))`,
  'poll: a change of the content by another is news only on the mount': {
    script: py`
      ${POLL}
      fd = os.open('f', O_RDONLY | O_CREAT)
      before = polled(fd)
      write('f', 'new')
      out(before == READY, polled(fd, 2))`,
    fuse: { out: [true, 'pri'], why: 'Poll' },
  },
  'select: a file is ready for reading and writing, and has nothing exceptional': py`
    fd = os.open('f', O_RDWR | O_CREAT)
    out([len(each) for each in select.select([fd], [fd], [fd], 5)], [len(each) for each in select.select([], [], [fd], 0)])`,
  'select: what is no descriptor is EBADF': py`
    fd = os.open('f', O_RDWR | O_CREAT)
    os.close(fd)
    out(t(select.select, [fd], [], [], 0))`,
  'epoll_ctl: a file is EPERM, but not on the mount': {
    script: py`
      ${POLL}
      ep, fd = select.epoll(), os.open('f', O_RDWR | O_CREAT)
      added = t(ep.register, fd, select.EPOLLIN | select.EPOLLOUT)
      out(added, [events for _, events in ep.poll(0)])`,
    fuse: { out: ['ok', [5]], why: 'Poll' },
  },
  'epoll_ctl: a directory is EPERM': py`
    ep = select.epoll()
    out(t(ep.register, os.open('.', O_RDONLY), select.EPOLLIN))`,
  'epoll_ctl: what is no descriptor, or only a path, is EBADF': py`
    write('f')
    ep = select.epoll()
    out(t(ep.register, 999, 1), t(ep.register, os.open('f', O_PATH), 1))`,
  'epoll_ctl: changing or removing what was never added': {
    script: py`
      ep, fd = select.epoll(), os.open('f', O_RDWR | O_CREAT)
      out(t(ep.modify, fd, select.EPOLLIN), t(ep.unregister, fd))`,
    fuse: { out: ['ENOENT', 'ENOENT'], why: 'Poll' },
  },
  'epoll_ctl: adding a file twice': {
    script: py`
      ep, fd = select.epoll(), os.open('f', O_RDWR | O_CREAT)
      out(t(ep.register, fd, select.EPOLLIN), t(ep.register, fd, select.EPOLLIN))`,
    fuse: { out: ['ok', 'EEXIST'], why: 'Poll' },
  },
};

/**
 * handle(name, flags, size, at): name_to_handle_at(2) as it is: (size, type, bytes, mount id), or an errno's name, with the size that
 * is asked for where it is EOVERFLOW. by_handle(size, type, bytes, flags, mount): open_by_handle_at(2) likewise.
 */
const HANDLE = py`
  def handle(name, flags=0, size=128, at=AT_FDCWD):
      buffer = ctypes.create_string_buffer(8 + 128)
      struct.pack_into('<Ii', buffer, 0, size, 0)
      mount = ctypes.c_int()
      try:
          call('name_to_handle_at', at, name, buffer, ctypes.byref(mount), flags)
      except OSError as error:
          return [name_of(error), struct.unpack_from('<I', buffer)[0]] if error.errno == errno.EOVERFLOW else name_of(error)
      length, kind = struct.unpack_from('<Ii', buffer)
      return length, kind, buffer.raw[8 : 8 + length], mount.value

  def by_handle(size, kind, data, flags=O_RDONLY, mount=None):
      buffer = ctypes.create_string_buffer(struct.pack('<Ii', size, kind) + data.ljust(128, b'\0'))
      at = os.open('.', O_RDONLY) if mount is None else mount
      try:
          return call('open_by_handle_at', at, buffer, flags)
      finally:
          if mount is None:
              os.close(at)

  def opened(found, flags=O_RDONLY):
      try:
          fd = open_handle(found, flags)
      except OSError as error:
          return name_of(error)
      try:
          return os.read(fd, 100)
      finally:
          os.close(fd)
`;

const handles: Table = {
  'name_to_handle_at: the handle of a file opens it again': py`
    ${HANDLE}
    write('f', 'content')
    out(opened(name_to_handle('f')))
    fd = open_handle(name_to_handle('f'), O_RDWR | O_APPEND)
    os.write(fd, b'!')
    out(read('f'), os.fstat(fd).st_ino == os.stat('f').st_ino)`,
  'name_to_handle_at: all names of a file have one handle, other files others': py`
    ${HANDLE}
    write('f'), write('g')
    os.link('f', 'h')
    out(name_to_handle('f') == name_to_handle('h'), name_to_handle('f') == name_to_handle('g'), name_to_handle('f') == name_to_handle('f'))`,
  'name_to_handle_at: a handle follows its file through a rename, into another directory too': py`
    ${HANDLE}
    write('f', 'content')
    os.mkdir('d')
    found = name_to_handle('f')
    os.rename('f', 'g')
    first = opened(found)
    os.rename('g', 'd/f')
    out(first, opened(found), name_to_handle('d/f') == found)`,
  'name_to_handle_at: the handle of a directory': py`
    ${HANDLE}
    os.mkdir('d')
    write('d/f', 'content')
    fd = open_handle(name_to_handle('d'), O_RDONLY | O_DIRECTORY)
    out(os.listdir(fd), os.read(os.open('f', O_RDONLY, dir_fd=fd), 10), os.fstat(fd).st_ino == os.stat('d').st_ino)
    os.rename('d', 'e')
    out(os.path.basename(os.readlink(f'/proc/self/fd/{open_handle(name_to_handle("e"))}')))`,
  'name_to_handle_at: of the directory one stands in, by a dot': py`
    ${HANDLE}
    fd = open_handle(name_to_handle('.'))
    out(os.fstat(fd).st_ino == os.stat('.').st_ino, os.readlink(f'/proc/self/fd/{fd}') == os.getcwd())`,
  'name_to_handle_at: of a symlink unless told to follow it': py`
    ${HANDLE}
    write('f', 'content')
    os.symlink('f', 's')
    own, followed = name_to_handle('s'), name_to_handle('s', AT_SYMLINK_FOLLOW)
    out(followed == name_to_handle('f'), own == followed, t(open_handle, own), os.readlink('', dir_fd=open_handle(own, O_PATH | O_NOFOLLOW)))`,
  'name_to_handle_at: of a descriptor by an empty path': py`
    ${HANDLE}
    write('f', 'content')
    fd = os.open('f', O_PATH)
    out(handle('', AT_EMPTY_PATH, at=fd)[:3] == handle('f')[:3], handle('', at=fd))`,
  'name_to_handle_at: a fifo, a socket and a device have handles too': py`
    ${HANDLE}
    os.mkfifo('p'), os.mknod('c', stat.S_IFCHR | 0o600, os.makedev(1, 3))
    socket.socket(socket.AF_UNIX).bind('s')
    found = [name_to_handle(name) for name in 'pcs']
    out([oct(os.fstat(open_handle(each, O_PATH)).st_mode) for each in found])`,
  'name_to_handle_at: names the mount': py`
    ${HANDLE}
    write('f')
    ids = {handle(name)[3] for name in ('f', '.')}
    mounts = [line.split() for line in open('/proc/self/mountinfo')]
    out(len(ids), [os.getcwd().startswith(each[4]) for each in mounts if int(each[0]) in ids])`,
  'name_to_handle_at: too little room is EOVERFLOW, and tells how much is needed': py`
    ${HANDLE}
    write('f')
    needed = handle('f')[0]
    out(handle('f', size=0) == ['EOVERFLOW', needed], handle('f', size=needed - 1) == ['EOVERFLOW', needed], handle('f', size=needed)[0] == needed, needed % 4)`,
  'name_to_handle_at: more room than a handle can have, and unknown flags, are EINVAL': py`
    ${HANDLE}
    write('f')
    out(handle('f', size=129), handle('f', 0x80000000 - (1 << 32)), handle('f', 8))`,
  'name_to_handle_at: ENOENT, ENOTDIR, EBADF, ELOOP, ENAMETOOLONG, as for all paths': py`
    ${HANDLE}
    write('f')
    os.symlink('l', 'l')
    fd = os.open('f', O_RDONLY)
    out(handle('none'), handle(''), handle('f/x'), handle('f', at=fd), handle('f', at=999), handle('l', AT_SYMLINK_FOLLOW), handle('n' * 256))`,
  'name_to_handle_at: a bad address is EFAULT': py`
    write('f')
    out(t(call, 'name_to_handle_at', AT_FDCWD, 'f', 1, ctypes.byref(ctypes.c_int()), 0), t(call, 'name_to_handle_at', AT_FDCWD, 1, ctypes.create_string_buffer(136), ctypes.byref(ctypes.c_int()), 0))`,
  'name_to_handle_at: anybody may ask, who gets to the file': py`
    ${HANDLE}
    write('f')
    os.mkdir('d', 0o700)
    write('d/f')
    out(as_user(ALICE, lambda: handle('f')[0] > 0), as_user(ALICE, lambda: handle('d/f')))`,
  'open_by_handle_at: as a user is EPERM': py`
    ${HANDLE}
    write('f')
    found = name_to_handle('f')
    out(as_user(ALICE, lambda: os.close(open_handle(found))))`,
  'open_by_handle_at: flags are as for open': py`
    ${HANDLE}
    write('f', 'content')
    os.mkdir('d')
    found = name_to_handle('f')
    out(t(open_handle, name_to_handle('d'), O_WRONLY), t(open_handle, found, O_DIRECTORY))
    fd = open_handle(found, O_WRONLY | O_TRUNC)
    out(os.stat('f').st_size, t(os.read, fd, 1), fcntl.fcntl(fd, F_GETFL) & os.O_ACCMODE)`,
  'open_by_handle_at: after the last unlink it is ESTALE': py`
    ${HANDLE}
    write('f')
    os.mkdir('d')
    os.symlink('f', 's')
    found = [name_to_handle(name) for name in 'fds']
    os.unlink('f'), os.rmdir('d'), os.unlink('s')
    out([t(open_handle, each, O_PATH) for each in found])`,
  'open_by_handle_at: after an unlink another name is enough': py`
    ${HANDLE}
    write('f', 'content')
    os.link('f', 'g')
    found = name_to_handle('f')
    os.unlink('f')
    out(opened(found))`,
  'open_by_handle_at: an unlinked file that is open opens again': py`
    ${HANDLE}
    write('f', 'content')
    found, fd = name_to_handle('f'), os.open('f', O_RDONLY)
    os.unlink('f')
    out(opened(found), os.fstat(fd).st_nlink)
    os.close(fd)
    # FUSE's RELEASE comes after close(2) has returned, and holds the file until it is answered.
    for _ in range(500):
        if opened(found) == 'ESTALE': break
        time.sleep(0.01)
    out(opened(found))`,
  'open_by_handle_at: a new file of the old name is not the old one': py`
    ${HANDLE}
    write('f', 'old')
    found = name_to_handle('f')
    os.unlink('f')
    write('f', 'new')
    out(opened(found), name_to_handle('f') == found)`,
  'open_by_handle_at: one that never was is ESTALE': py`
    ${HANDLE}
    write('f')
    kind, data = name_to_handle('f')
    out(t(open_handle, (kind, b'\xfe' * len(data))), t(open_handle, (kind, b'\0' * len(data))), t(open_handle, (kind, bytes(data[:-1]) + bytes([data[-1] ^ 0x55]))))`,
  'open_by_handle_at: a type of another filesystem is ESTALE': {
    script: py`
      ${HANDLE}
      write('f')
      _, data = name_to_handle('f')
      out(t(open_handle, (0x42, data)), t(open_handle, (0xff, data)))`,
    like: 'ext4', // tmpfs does not look at it. @see mm/shmem.c: shmem_fh_to_dentry
  },
  'open_by_handle_at: one that is too short is ESTALE': py`
    ${HANDLE}
    write('f')
    kind, data = name_to_handle('f')
    out(t(open_handle, (kind, data[:4])))`,
  'open_by_handle_at: a size of nothing, or more than there can be, is EINVAL': py`
    ${HANDLE}
    write('f')
    _, kind, data, _ = handle('f')
    out(t(by_handle, 0, kind, data), t(by_handle, 129, kind, data), t(by_handle, 1 << 31, kind, data))`,
  'open_by_handle_at: a bad address is EFAULT': py`
    out(t(call, 'open_by_handle_at', os.open('.', O_RDONLY), 1, 0))`,
  'open_by_handle_at: the mount is named by any descriptor in it, EBADF by none': py`
    ${HANDLE}
    write('f', 'content'), write('g')
    length, kind, data, _ = handle('f')
    out(os.read(by_handle(length, kind, data, O_RDONLY, os.open('g', O_RDONLY)), 10), t(by_handle, length, kind, data, O_RDONLY, 999))`,
  'open_by_handle_at: the permissions of the file do not keep root out': py`
    ${HANDLE}
    write('f', 'content')
    os.chmod('f', 0)
    os.mkdir('d', 0)
    found = [name_to_handle('f'), name_to_handle('d')]
    out(opened(found[0]), os.listdir(open_handle(found[1])))`,
  'open_by_handle_at: descriptors run out with EMFILE': py`
    ${HANDLE}
    import resource
    write('f')
    length, kind, data, _ = handle('f')
    at = os.open('.', O_RDONLY)
    resource.setrlimit(resource.RLIMIT_NOFILE, (at + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    held = []
    while t(lambda: held.append(os.dup(at))) == 'ok':
        pass
    out(t(by_handle, length, kind, data, O_RDONLY, at))`,
};

export const rows: Table = { ...readiness, ...handles };
