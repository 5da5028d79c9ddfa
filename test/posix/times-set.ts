/** Rows about times that a program sets: utimensat and futimens, to which nanosecond, by whom, and what they refuse. */
import type { Table } from './table.ts';
import { MOVED, py } from './words.ts';

/**
 * utimens(name, atime, mtime): utimensat(2) with (seconds, nanoseconds), or None for both. NOW and OMIT stand for a
 * time. Without a name it is futimens(3) of `at`.
 * set_to(name): atime and mtime in nanoseconds, as text, because JSON's numbers would round them.
 */
const UTIMENS = py`
  NOW, OMIT = (0, (1 << 30) - 1), (0, (1 << 30) - 2)

  def utimens(name, atime, mtime, flags=0, at=AT_FDCWD):
      both = None if atime is None else ctypes.create_string_buffer(struct.pack('<qqqq', *atime, *mtime))
      if name is None:
          call('futimens', at, both)
      else:
          call('utimensat', at, name, both, flags)

  def set_to(name):
      found = os.lstat(name)
      return [str(found.st_atime_ns), str(found.st_mtime_ns)]
`;

export const rows: Table = {
  'utimensat: sets both times to the nanosecond': py`
    ${UTIMENS}
    write('f')
    os.mkdir('d')
    for name in ('f', 'd'):
        utimens(name, (1234567890, 123456789), (987654321, 999999999))
        out(set_to(name), os.stat(name).st_ctime > 1e9)
    utimens('f', (0, 0), (0, 1))
    out(set_to('f'))`,
  'utimensat: one of the times, the other with UTIME_OMIT': py`
    ${UTIMENS}
    write('f')
    utimens('f', (1, 2), (3, 4))
    utimens('f', OMIT, (5, 6))
    out(set_to('f'))
    utimens('f', (7, 8), OMIT)
    out(set_to('f'))`,
  'utimensat: UTIME_NOW and no times at all': py`
    ${UTIMENS}
    write('f')
    start = time.time_ns() - 10**8
    near = lambda ns: start <= ns <= time.time_ns() + 10**8
    for both in ((NOW, (5, 5)), ((5, 5), NOW), (NOW, NOW), (None, None)):
        utimens('f', (1, 1), (1, 1))
        utimens('f', *both)
        out([near(int(ns)) or ns for ns in set_to('f')])`,
  'utimensat: UTIME_NOW and UTIME_OMIT together': py`
    ${UTIMENS}
    write('f')
    for both in ((NOW, OMIT), (OMIT, NOW)):
        utimens('f', (1, 1), (1, 1))
        utimens('f', *both)
        out([ns == str(10**9 + 1) for ns in set_to('f')])`,
  'utimensat: UTIME_OMIT twice changes nothing, not even ctime, whatever the file': py`
    ${UTIMENS}
    ${MOVED}
    write('f')
    out(moved(lambda: utimens('f', OMIT, OMIT), 'f'), t(utimens, 'absent', OMIT, OMIT),
        as_user(ALICE, lambda: utimens('f', OMIT, OMIT)))`,
  'utimensat: moves ctime': py`
    ${UTIMENS}
    ${MOVED}
    write('f')
    out(moved(lambda: utimens('f', (OLD // 10**9, 0), (OLD // 10**9, 0)), 'f', '.'),
        moved(lambda: utimens('f', NOW, OMIT), 'f'))`,
  'utimensat: times before 1970': py`
    ${UTIMENS}
    write('f')
    for at in ((-1, 0), (-1, 999999999), (-86400, 5), (-(1 << 31), 0)):
        utimens('f', at, at)
        out(set_to('f') == [str(at[0] * 10**9 + at[1])] * 2, statx('f')['mtime'] == at)`,
  'utimensat: times over 31 and 32 bits': py`
    ${UTIMENS}
    write('f')
    for seconds in ((1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 33) + 1, 15032385534):
        utimens('f', (seconds, 1), (seconds, 999999999))
        out(set_to('f') == [str(seconds * 10**9 + 1), str(seconds * 10**9 + 999999999)],
            statx('f')['atime'] == (seconds, 1))`,
  'utimensat: times over 34 bits, and under 31 bits before 1970': {
    script: py`
      ${UTIMENS}
      write('f')
      for seconds in (1 << 34, 1 << 40, -(1 << 31) - 1, -(1 << 40)):
          utimens('f', (seconds, 1), (seconds, 2))
          out(statx('f')['atime'] == (seconds, 1), statx('f')['mtime'] == (seconds, 2))`,
    like: 'tmpfs',
  },
  'utimensat: of a symlink itself, or of what it points to': py`
    ${UTIMENS}
    write('f')
    os.symlink('f', 's')
    utimens('f', (1, 1), (1, 1))
    utimens('s', (2, 2), (2, 2), AT_SYMLINK_NOFOLLOW)
    out(set_to('f'), set_to('s'))
    utimens('s', (3, 3), (3, 3))
    out(set_to('f'), set_to('s')[1])`,
  'utimensat: of a fifo, a socket and a device': py`
    ${UTIMENS}
    os.mkfifo('p')
    os.mknod('c', stat.S_IFCHR | 0o666, os.makedev(1, 3))
    socket.socket(socket.AF_UNIX).bind('s')
    for name in ('p', 'c', 's'):
        utimens(name, (1, 2), (3, 4))
        out(set_to(name))`,
  'futimens: by a descriptor for reading, of a directory, of an unlinked file': py`
    write('f')
    fd = os.open('f', O_RDONLY)
    os.utime(fd, ns=(123456789, 987654321))
    out([os.fstat(fd).st_atime_ns, os.fstat(fd).st_mtime_ns])
    os.unlink('f')
    os.utime(fd, ns=(5, 6))
    out([os.fstat(fd).st_atime_ns, os.fstat(fd).st_mtime_ns])
    here = os.open('.', O_RDONLY)
    os.utime(here, ns=(7, 8))
    out([os.fstat(here).st_atime_ns, os.fstat(here).st_mtime_ns])`,
  'futimens: O_PATH and a closed descriptor are EBADF, with AT_EMPTY_PATH the first is not': py`
    ${UTIMENS}
    write('f')
    fd = os.open('f', O_PATH)
    out(t(utimens, None, (1, 1), (1, 1), 0, fd), t(utimens, None, (1, 1), (1, 1), 0, 999),
        t(utimens, 'f', NOW, NOW, 0, 999))
    out(t(utimens, '', (1, 2), (3, 4), AT_EMPTY_PATH, fd), set_to('f'))`,
  'utimensat: nanoseconds out of range and unknown flags are EINVAL': py`
    ${UTIMENS}
    write('f')
    utimens('f', (1, 1), (1, 1))
    out(t(utimens, 'f', (5, 10**9), (5, 0)), t(utimens, 'f', (5, 0), (5, -1)), t(utimens, 'f', (5, 0), (5, 0), 0x8000),
        set_to('f'))`,
  'utimensat: ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, EFAULT': py`
    ${UTIMENS}
    write('f')
    os.symlink('loop', 'loop')
    os.symlink('absent', 'dangling')
    both = ((1, 1), (1, 1))
    out(t(utimens, 'absent', *both), t(utimens, '', *both), t(utimens, 'dangling', *both), t(utimens, 'f/x', *both),
        t(utimens, 'x', *both, 0, os.open('f', O_RDONLY)))
    out(t(utimens, 'loop', *both), t(utimens, 'loop', *both, AT_SYMLINK_NOFOLLOW), t(utimens, 'n' * 256, *both),
        t(call, 'utimensat', AT_FDCWD, 1, None, 0), t(call, 'utimensat', AT_FDCWD, 'f', 1, 0))`,
  'utimensat: to a chosen time by another than the owner is EPERM, also with permission to write': py`
    ${UTIMENS}
    write('f')
    os.chmod('f', 0o666)
    for both in (((1, 1), (1, 1)), ((1, 1), OMIT), (NOW, OMIT), (OMIT, NOW), (NOW, (1, 1))):
        out(as_user(ALICE, lambda: utimens('f', *both)))`,
  'utimensat: to now by another than the owner needs permission to write, else EACCES': py`
    ${UTIMENS}
    write('f')
    out(as_user(ALICE, lambda: utimens('f', None, None)), as_user(ALICE, lambda: utimens('f', NOW, NOW)))
    os.chmod('f', 0o666)
    out(as_user(ALICE, lambda: utimens('f', None, None)), as_user(ALICE, lambda: utimens('f', NOW, NOW)))`,
  'utimensat: the owner needs no permission to write': py`
    ${UTIMENS}
    write('f')
    os.chown('f', *ALICE[:2])
    os.chmod('f', 0)
    out(as_user(ALICE, lambda: utimens('f', (1, 2), (3, 4))), set_to('f'),
        as_user(ALICE, lambda: utimens('f', None, None)), as_user(ALICE, lambda: utimens('f', NOW, OMIT)),
        set_to('f')[1] != '3000000004')`,
  'utimensat: a directory that may not be searched is EACCES': py`
    ${UTIMENS}
    os.mkdir('d', 0o700)
    write('d/f')
    os.chmod('d/f', 0o666)
    out(as_user(ALICE, lambda: utimens('d/f', None, None)), as_user(ALICE, lambda: utimens('d', None, None)),
        as_user(ALICE, lambda: utimens('d', (1, 1), (1, 1))))`,
  'futimens: of a descriptor for writing, by another than the owner': py`
    ${UTIMENS}
    write('f')
    fd = os.open('f', O_RDWR)
    out(as_user(ALICE, lambda: utimens(None, NOW, NOW, 0, fd)),
        as_user(ALICE, lambda: utimens(None, (1, 1), (1, 1), 0, fd)))`,
  'times: survive what does not change them: close, rename, link, another open': py`
    ${UTIMENS}
    write('f', 'hello')
    utimens('f', (1111111111, 111), (1222222222, 222))
    os.link('f', 'g')
    os.rename('f', 'h')
    os.close(os.open('h', O_RDWR))
    os.unlink('g')
    out(set_to('h'))`,
  'times: that utimensat sets hold against writes before, through a descriptor that stays open': py`
    ${UTIMENS}
    fd = os.open('f', O_RDWR | O_CREAT)
    os.write(fd, b'hello')
    utimens('f', (1, 1), (2, 2))
    os.close(fd)
    out(set_to('f'))
    memory = mmap.mmap(os.open('f', O_RDWR), 5)
    memory[0] = 65
    memory.flush()
    utimens('f', (1, 1), (2, 2))
    memory.close()
    out(set_to('f'))`,
};
