/**
 * Rows about holes: where lseek finds data and holes, what fallocate does to bytes, size and space, what st_blocks
 * counts, and what statvfs tells. Files have few extents, because ext4 counts the blocks of a larger extent tree.
 */
import type { Table } from './table.ts';
import { LIMIT, PAGES, py, SIGNAL } from './words.ts';

/** blocks(fd): pages of space that a file takes; ext4 knows after fsync. */
const BLOCKS = py`
  def blocks(fd):
      os.fsync(fd)
      return os.fstat(fd).st_blocks / 8
`;

/**
 * tries(once, wanted): what once(name) gives, with five chances, because others may use the same filesystem meanwhile.
 * soon(f): whether f becomes true; FUSE tells of a close and of an inode's end (RELEASE, FORGET) when the call is over.
 */
const FREE = py`
  def tries(once, wanted):
      for i in range(5):
          found = once(f'file{i}')
          if found == wanted:
              break
      return found

  def soon(f):
      return any(f() or time.sleep(0.005) for _ in range(60))
`;

const seeking: Table = {
  'lseek: a file that is all data has its hole at the end': py`
    ${PAGES}
    write('f', pages('ab') + b'c' * 100)
    fd, end = os.open('f', O_RDONLY), 2 * PAGE + 100
    out(layout(fd), [os.lseek(fd, at, SEEK_DATA) for at in (0, 1, PAGE, PAGE + 1, end - 1)],
        [os.lseek(fd, at, SEEK_HOLE) for at in (0, 1, PAGE, end - 1)])`,
  'lseek: SEEK_DATA and SEEK_HOLE at the end and past it are ENXIO': py`
    write('f', 'hello')
    fd = os.open('f', O_RDONLY)
    out([t(os.lseek, fd, at, whence) for at in (5, 6, 1 << 40) for whence in (SEEK_DATA, SEEK_HOLE)],
        os.lseek(fd, 0, SEEK_CUR))`,
  'lseek: SEEK_DATA and SEEK_HOLE before the start are ENXIO': py`
    write('f', 'hello')
    fd = os.open('f', O_RDONLY)
    out(t(os.lseek, fd, -1, SEEK_DATA), t(os.lseek, fd, -1, SEEK_HOLE), t(os.lseek, fd, -1 << 63, SEEK_DATA))`,
  'lseek: SEEK_DATA and SEEK_HOLE in an empty file are ENXIO': py`
    write('f')
    fd = os.open('f', O_RDONLY)
    out(t(os.lseek, fd, 0, SEEK_DATA), t(os.lseek, fd, 0, SEEK_HOLE))`,
  'lseek: a file that is all hole': py`
    ${PAGES}
    write('f')
    os.truncate('f', 100000)
    fd = os.open('f', O_RDONLY)
    out(t(os.lseek, fd, 0, SEEK_DATA), os.lseek(fd, 0, SEEK_HOLE), os.lseek(fd, 99999, SEEK_HOLE),
        t(os.lseek, fd, 99999, SEEK_DATA), layout(fd))`,
  'lseek: data after a hole, a hole after data, by turns': py`
    ${PAGES}
    fd = os.open('f', O_RDWR | O_CREAT)
    for page in (3, 7, 8, 20):
        os.pwrite(fd, b'x' * PAGE, page * PAGE)
    os.ftruncate(fd, 30 * PAGE)
    out([[a / PAGE, b / PAGE] for a, b in layout(fd)])
    out(os.lseek(fd, 100, SEEK_HOLE), os.lseek(fd, 3 * PAGE + 1, SEEK_DATA),
        os.lseek(fd, 3 * PAGE + 1, SEEK_HOLE) / PAGE, os.lseek(fd, 4 * PAGE, SEEK_DATA) / PAGE,
        t(os.lseek, fd, 21 * PAGE, SEEK_DATA))`,
  'lseek: a few bytes make a page of data': py`
    ${PAGES}
    fd = os.open('f', O_RDWR | O_CREAT)
    os.pwrite(fd, b'xyz', 5 * PAGE + 100)
    out(layout(fd))
    os.pwrite(fd, b'xy', 3 * PAGE - 1)
    out(layout(fd))`,
  'lseek: data at 1 TiB': py`
    ${PAGES}
    fd = os.open('f', O_RDWR | O_CREAT)
    os.pwrite(fd, b'x', 1 << 40)
    os.pwrite(fd, b'x', 0)
    out([[a, b - a] for a, b in layout(fd)], os.lseek(fd, PAGE, SEEK_DATA), os.lseek(fd, PAGE + 1, SEEK_HOLE))`,
  'lseek: zeros that were written are data': py`
    ${PAGES}
    write('f', bytes(3 * PAGE))
    out(layout(os.open('f', O_RDONLY)))`,
  'lseek: SEEK_DATA and SEEK_HOLE move the offset, also of a descriptor for writing': py`
    ${PAGES}
    fd = os.open('f', O_WRONLY | O_CREAT)
    os.pwrite(fd, b'x' * PAGE, PAGE)
    os.ftruncate(fd, 3 * PAGE)
    out(os.lseek(fd, 0, SEEK_DATA), os.lseek(fd, 0, SEEK_CUR), os.lseek(fd, PAGE, SEEK_HOLE), os.lseek(fd, 0, SEEK_CUR),
        os.write(fd, b'y'), layout(fd))`,
  'lseek: SEEK_DATA on a fifo is ESPIPE, on a closed descriptor EBADF': py`
    os.mkfifo('fifo')
    fd = os.open('fifo', O_RDWR)
    out(t(os.lseek, fd, 0, SEEK_DATA), t(os.lseek, fd, 0, SEEK_HOLE))
    os.close(fd)
    out(t(os.lseek, fd, 0, SEEK_DATA))`,
  'lseek: data, after truncate down and up': py`
    ${PAGES}
    write('f', pages('abcd'))
    os.truncate('f', 2 * PAGE + 1)
    os.truncate('f', 6 * PAGE)
    fd = os.open('f', O_RDWR)
    out(layout(fd))
    os.ftruncate(fd, PAGE)
    os.ftruncate(fd, 6 * PAGE)
    out(layout(fd))`,
  'lseek: SEEK_END is not moved by holes': py`
    ${PAGES}
    write('f', pages('ab'))
    fd = os.open('f', O_RDWR)
    fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 0, 2 * PAGE)
    out(os.lseek(fd, 0, SEEK_END), layout(fd), os.lseek(fd, 5, SEEK_HOLE))`,
};

const allocating: Table = {
  'fallocate: makes the file grow, with zeros': py`
    write('f', 'hello')
    fd = os.open('f', O_RDWR)
    out(t(fallocate, fd, 0, 0, 8), read('f'), t(fallocate, fd, 0, 10, 2), read('f'), t(fallocate, fd, 0, 0, 3),
        read('f'), os.lseek(fd, 0, SEEK_CUR))`,
  'fallocate: leaves what is there': py`
    ${PAGES}
    data = pattern(3 * PAGE)
    write('f', data)
    fd = os.open('f', O_RDWR)
    out(t(fallocate, fd, 0, 100, 5 * PAGE), read('f') == data + bytes(2 * PAGE + 100))`,
  'fallocate: what it allocates is a hole for lseek until written': py`
    ${PAGES}
    fd = os.open('f', O_RDWR | O_CREAT)
    fallocate(fd, 0, 0, 4 * PAGE)
    out(layout(fd), t(os.lseek, fd, 0, SEEK_DATA), os.lseek(fd, PAGE, SEEK_HOLE))
    os.pwrite(fd, b'x' * PAGE, PAGE)
    out(layout(fd), read('f') == bytes(PAGE) + b'x' * PAGE + bytes(2 * PAGE))`,
  'fallocate: KEEP_SIZE takes space and leaves the size': py`
    ${PAGES}
    ${BLOCKS}
    write('f', 'hello')
    fd = os.open('f', O_RDWR)
    out(blocks(fd), t(fallocate, fd, KEEP_SIZE, 0, 4 * PAGE), blocks(fd), os.fstat(fd).st_size, read('f'), layout(fd))
    os.ftruncate(fd, 3 * PAGE)
    out(read('f') == b'hello' + bytes(3 * PAGE - 5))`,
  'fallocate: KEEP_SIZE far past the end, then a write there': py`
    ${PAGES}
    ${BLOCKS}
    fd = os.open('f', O_RDWR | O_CREAT)
    out(t(fallocate, fd, KEEP_SIZE, 10 * PAGE, 2 * PAGE), os.fstat(fd).st_size, blocks(fd),
        os.pwrite(fd, b'x', 10 * PAGE + 1), os.fstat(fd).st_size, blocks(fd), layout(fd))`,
  'fallocate: PUNCH_HOLE makes zeros, whole pages of them a hole': py`
    ${PAGES}
    data = pattern(5 * PAGE)
    write('f', data)
    fd = os.open('f', O_RDWR)
    out(t(fallocate, fd, PUNCH_HOLE | KEEP_SIZE, PAGE, 2 * PAGE),
        read('f') == data[:PAGE] + bytes(2 * PAGE) + data[3 * PAGE:], layout(fd), os.fstat(fd).st_size)`,
  'fallocate: PUNCH_HOLE within a page makes zeros and no hole': py`
    ${PAGES}
    data = pattern(2 * PAGE)
    write('f', data)
    fd = os.open('f', O_RDWR)
    out(t(fallocate, fd, PUNCH_HOLE | KEEP_SIZE, 100, 200), read('f') == data[:100] + bytes(200) + data[300:],
        layout(fd))`,
  'fallocate: PUNCH_HOLE from within a page to within another': py`
    ${PAGES}
    data = pattern(5 * PAGE)
    for start, end in ((100, PAGE + 1), (PAGE - 1, PAGE + 1), (10, 3 * PAGE + 10), (PAGE, 3 * PAGE + 1), (1, 2 * PAGE)):
        write('f', data)
        fd = os.open('f', O_RDWR)
        out(t(fallocate, fd, PUNCH_HOLE | KEEP_SIZE, start, end - start),
            read('f') == data[:start] + bytes(end - start) + data[end:], layout(fd))`,
  'fallocate: PUNCH_HOLE over the end and behind it leaves the size': py`
    ${PAGES}
    write('f', pages('ab') + b'c')
    fd = os.open('f', O_RDWR)
    out(t(fallocate, fd, PUNCH_HOLE | KEEP_SIZE, 5 * PAGE, PAGE),
        t(fallocate, fd, PUNCH_HOLE | KEEP_SIZE, PAGE, 9 * PAGE), os.fstat(fd).st_size,
        read('f') == pages('a') + bytes(PAGE + 1))`,
  'fallocate: PUNCH_HOLE gives the space back': py`
    ${PAGES}
    ${BLOCKS}
    write('f', pages('abcdef'))
    fd = os.open('f', O_RDWR)
    out(blocks(fd), t(fallocate, fd, PUNCH_HOLE | KEEP_SIZE, PAGE, 2 * PAGE), blocks(fd),
        t(fallocate, fd, PUNCH_HOLE | KEEP_SIZE, 0, 6 * PAGE), blocks(fd), os.pwrite(fd, b'x', 3 * PAGE), blocks(fd))`,
  'fallocate: PUNCH_HOLE without KEEP_SIZE is EOPNOTSUPP': py`
    write('f', 'hello')
    fd = os.open('f', O_RDWR)
    out(t(fallocate, fd, PUNCH_HOLE, 0, 3), read('f'))`,
  'fallocate: PUNCH_HOLE of what was allocated and never written': py`
    ${PAGES}
    ${BLOCKS}
    fd = os.open('f', O_RDWR | O_CREAT)
    fallocate(fd, 0, 0, 4 * PAGE)
    out(blocks(fd), t(fallocate, fd, PUNCH_HOLE | KEEP_SIZE, PAGE, PAGE), blocks(fd), os.fstat(fd).st_size)`,
  'fallocate: ZERO_RANGE makes zeros, and grows the file': {
    script: py`
      ${PAGES}
      data = pattern(3 * PAGE)
      write('f', data)
      fd = os.open('f', O_RDWR)
      out(t(fallocate, fd, ZERO_RANGE, 100, PAGE), read('f') == data[:100] + bytes(PAGE) + data[PAGE + 100:])
      out(t(fallocate, fd, ZERO_RANGE, 2 * PAGE, 3 * PAGE), os.fstat(fd).st_size,
          read('f') == data[:100] + bytes(PAGE) + data[PAGE + 100:2 * PAGE] + bytes(3 * PAGE))`,
    like: 'ext4',
  },
  'fallocate: ZERO_RANGE with KEEP_SIZE leaves the size': {
    script: py`
      ${PAGES}
      ${BLOCKS}
      write('f', pages('ab'))
      fd = os.open('f', O_RDWR)
      out(t(fallocate, fd, ZERO_RANGE | KEEP_SIZE, PAGE + 1, 3 * PAGE), os.fstat(fd).st_size,
          read('f') == pages('a') + b'b' + bytes(PAGE - 1), blocks(fd))`,
    like: 'ext4',
  },
  'fallocate: ZERO_RANGE keeps the space that was there': {
    script: py`
      ${PAGES}
      ${BLOCKS}
      write('f', pages('abcd'))
      fd = os.open('f', O_RDWR)
      out(blocks(fd), t(fallocate, fd, ZERO_RANGE, PAGE, 2 * PAGE), blocks(fd),
          read('f') == pages('a') + bytes(2 * PAGE) + pages('d'))
      out(t(fallocate, fd, ZERO_RANGE, 4 * PAGE, 2 * PAGE), blocks(fd), os.fstat(fd).st_size)`,
    like: 'ext4',
  },
  'fallocate: ZERO_RANGE of a hole takes space': {
    script: py`
      ${PAGES}
      ${BLOCKS}
      fd = os.open('f', O_RDWR | O_CREAT)
      os.ftruncate(fd, 10 * PAGE)
      out(blocks(fd), t(fallocate, fd, ZERO_RANGE, 2 * PAGE, 3 * PAGE), blocks(fd), os.fstat(fd).st_size,
          read('f') == bytes(10 * PAGE))`,
    like: 'ext4',
  },
  'fallocate: ZERO_RANGE of whole pages is a hole for lseek': {
    script: py`
      ${PAGES}
      write('f', pages('abcd'))
      fd = os.open('f', O_RDWR)
      os.fsync(fd)
      out(t(fallocate, fd, ZERO_RANGE, PAGE, 2 * PAGE), layout(fd))`,
    like: 'ext4',
  },
  'fallocate: COLLAPSE_RANGE, INSERT_RANGE and UNSHARE_RANGE are EOPNOTSUPP': {
    script: py`
      ${PAGES}
      write('f', pages('abcd'))
      fd = os.open('f', O_RDWR)
      out([t(fallocate, fd, how, PAGE, PAGE) for how in (COLLAPSE_RANGE, INSERT_RANGE, UNSHARE_RANGE)],
          read('f') == pages('abcd'))`,
    like: 'tmpfs',
  },
  'fallocate: flags that exclude each other, or that nobody knows, are EOPNOTSUPP': py`
    write('f', 'hello')
    fd = os.open('f', O_RDWR)
    out([t(fallocate, fd, how, 0, 3) for how in (PUNCH_HOLE | ZERO_RANGE | KEEP_SIZE, 0x1000, 4)], read('f'))`,
  'fallocate: COLLAPSE_RANGE and INSERT_RANGE together with KEEP_SIZE are refused': {
    script: py`
      write('f', 'hello')
      fd = os.open('f', O_RDWR)
      out([t(fallocate, fd, how | KEEP_SIZE, 0, 4096) for how in (COLLAPSE_RANGE, INSERT_RANGE)], read('f'))`,
    like: 'tmpfs',
  },
  'fallocate: no length, a negative one or a negative offset is EINVAL': py`
    write('f', 'hello')
    fd = os.open('f', O_RDWR)
    out(t(fallocate, fd, 0, 0, 0), t(fallocate, fd, 0, 0, -1), t(fallocate, fd, KEEP_SIZE, -1, 10),
        t(fallocate, fd, PUNCH_HOLE | KEEP_SIZE, 0, 0), read('f'))`,
  'fallocate: a descriptor for reading, of O_PATH, of a directory or closed is EBADF': py`
    write('f', 'hello')
    fd = os.open('f', O_RDONLY)
    out(t(fallocate, fd, 0, 0, 1), t(fallocate, os.open('f', O_PATH), 0, 0, 1),
        t(fallocate, os.open('.', O_RDONLY), 0, 0, 1))
    os.close(fd)
    out(t(fallocate, fd, 0, 0, 1))`,
  'fallocate: a pipe and a fifo are ESPIPE, a device ENODEV': py`
    os.mkfifo('fifo')
    out(t(fallocate, os.pipe()[1], 0, 0, 1), t(fallocate, os.open('fifo', O_RDWR), 0, 0, 1),
        t(fallocate, os.open('/dev/null', O_RDWR), 0, 0, 1))`,
  'fallocate: an end past the largest offset is EFBIG': py`
    write('f', 'hello')
    fd = os.open('f', O_RDWR)
    out(t(fallocate, fd, 0, (1 << 63) - 10, 100), t(fallocate, fd, PUNCH_HOLE | KEEP_SIZE, (1 << 63) - 10, 100),
        t(fallocate, fd, KEEP_SIZE, 1, (1 << 63) - 1), read('f'))`,
  'fallocate: beyond RLIMIT_FSIZE is EFBIG': py`
    ${LIMIT}
    fd = os.open('f', O_RDWR | O_CREAT)
    file_limit(10000)
    out(t(fallocate, fd, 0, 0, 10001), t(fallocate, fd, 0, 20000, 1), t(fallocate, fd, 0, 0, 10000),
        os.fstat(fd).st_size)`,
  'fallocate: beyond RLIMIT_FSIZE sends SIGXFSZ': py`
    ${LIMIT}
    ${SIGNAL}
    fd = os.open('f', O_RDWR | O_CREAT)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    file_limit(10)
    out(signal_of(lambda: fallocate(fd, 0, 0, 11)), os.fstat(fd).st_size)`,
  'posix_fallocate: grows with zeros, never shrinks': py`
    ${PAGES}
    ${BLOCKS}
    write('f', 'hello')
    fd = os.open('f', O_RDWR)
    out(t(os.posix_fallocate, fd, 0, 7), read('f'), t(os.posix_fallocate, fd, 0, 2), read('f'),
        t(os.posix_fallocate, fd, 2 * PAGE, 2 * PAGE), os.fstat(fd).st_size, blocks(fd))`,
  'posix_fallocate: EBADF, EINVAL, ENODEV, ESPIPE, EFBIG': py`
    fd = os.open('f', O_RDWR | O_CREAT)
    out(t(os.posix_fallocate, os.open('f', O_RDONLY), 0, 1), t(os.posix_fallocate, fd, 0, 0),
        t(os.posix_fallocate, fd, -1, 1), t(os.posix_fallocate, fd, 0, -1))
    out(t(os.posix_fallocate, os.open('/dev/null', O_RDWR), 0, 1), t(os.posix_fallocate, os.pipe()[1], 0, 1),
        t(os.posix_fallocate, fd, (1 << 63) - 10, 100))`,
};

const space: Table = {
  'stat: st_blocks counts pages of data, not holes': py`
    ${PAGES}
    ${BLOCKS}
    fd = os.open('f', O_RDWR | O_CREAT)
    counts = [blocks(fd)]
    for at in (0, 10 * PAGE, 1 << 40):
        os.pwrite(fd, b'x', at)
        counts.append(blocks(fd))
    out(counts, os.fstat(fd).st_size)`,
  'stat: st_blocks after writing the same again, and a page border': py`
    ${PAGES}
    ${BLOCKS}
    fd = os.open('f', O_RDWR | O_CREAT)
    counts = []
    for at, length in ((0, PAGE), (0, PAGE), (100, 1), (PAGE - 1, 2), (PAGE, 2 * PAGE + 1)):
        os.pwrite(fd, b'x' * length, at)
        counts.append(blocks(fd))
    out(counts)`,
  'stat: st_blocks after truncate': py`
    ${PAGES}
    ${BLOCKS}
    write('f', pages('abcd'))
    fd = os.open('f', O_RDWR)
    counts = [blocks(fd)]
    for size in (3 * PAGE, 2 * PAGE + 1, 100 * PAGE, PAGE - 1, 0, 1 << 30):
        os.ftruncate(fd, size)
        counts.append(blocks(fd))
    out(counts)`,
  'stat: st_blocks of what fallocate took is given back by truncate': py`
    ${PAGES}
    ${BLOCKS}
    fd = os.open('f', O_RDWR | O_CREAT)
    fallocate(fd, 0, 0, 8 * PAGE)
    counts = [blocks(fd)]
    for size in (4 * PAGE, 0):
        os.ftruncate(fd, size)
        counts.append(blocks(fd))
    out(counts)`,
  'stat: st_blocks after O_TRUNC, and of 1 MiB': py`
    ${BLOCKS}
    fd = os.open('f', O_RDWR | O_CREAT)
    os.write(fd, b'x' * (1 << 20))
    out(blocks(fd), os.close(os.open('f', O_WRONLY | O_TRUNC)) or blocks(fd), os.fstat(fd).st_blksize)`,
  'statvfs: block size and longest name': py`
    found = os.statvfs('.')
    out(found.f_bsize, found.f_frsize, found.f_namemax, found.f_blocks >= found.f_bfree >= found.f_bavail > 0)`,
  'statvfs: of a file, a descriptor and a symlink is that of the filesystem': py`
    write('f', 'x')
    os.symlink('f', 'symlink')
    same = lambda found: [found.f_bsize, found.f_blocks, found.f_namemax,
        found.f_fsid] == [(whole := os.statvfs('.')).f_bsize, whole.f_blocks, whole.f_namemax, whole.f_fsid]
    out(same(os.statvfs('f')), same(os.statvfs('symlink')), same(os.fstatvfs(os.open('f', O_RDONLY))),
        same(os.fstatvfs(os.open('f', O_PATH))))`,
  'statvfs: ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, EACCES, EFAULT; fstatvfs: EBADF': py`
    write('f', 'x')
    os.symlink('loop', 'loop')
    os.mkdir('d', 0o700)
    buffer = ctypes.create_string_buffer(256)
    out(t(os.statvfs, 'absent'), t(os.statvfs, ''), t(os.statvfs, 'f/x'), t(os.statvfs, 'loop'),
        t(os.statvfs, 'n' * 256), as_user(ALICE, lambda: os.statvfs('d/x')))
    out(t(call, 'statfs', 1, buffer), t(call, 'statfs', '.', 1), t(os.fstatvfs, 999))`,
  'statvfs: free space goes down with data and comes back': py`
    ${FREE}
    def once(name):
        before = os.statvfs('.').f_bfree
        fd = os.open(name, O_RDWR | O_CREAT)
        os.write(fd, b'x' * (8 << 20))
        os.fsync(fd)
        taken = before - os.statvfs('.').f_bfree
        os.close(fd)
        os.unlink(name)
        return [2048 <= taken <= 2064, soon(lambda: abs(before - os.statvfs('.').f_bfree) <= 16)]

    out(tries(once, [True, True]))`,
  'statvfs: space that fallocate took is not free': py`
    ${FREE}
    def once(name):
        before = os.statvfs('.').f_bfree
        fd = os.open(name, O_RDWR | O_CREAT)
        fallocate(fd, KEEP_SIZE, 0, 8 << 20)
        taken = before - os.statvfs('.').f_bfree
        os.ftruncate(fd, 1)
        os.ftruncate(fd, 0)
        return [2048 <= taken <= 2064, soon(lambda: abs(before - os.statvfs('.').f_bfree) <= 16)]

    out(tries(once, [True, True]))`,
  'statvfs: the space of an unlinked file is taken until its last descriptor is closed': py`
    ${FREE}
    def once(name):
        fd = os.open(name, O_RDWR | O_CREAT)
        os.write(fd, b'x' * (8 << 20))
        os.fsync(fd)
        before = os.statvfs('.').f_bfree
        os.unlink(name)
        held = os.statvfs('.').f_bfree - before
        os.close(fd)
        return [held <= 16, soon(lambda: os.statvfs('.').f_bfree - before >= 2000)]

    out(tries(once, [True, True]))`,
  'statvfs: free inodes go down with files and come back': py`
    ${FREE}
    def once(name):
        before = os.statvfs('.').f_ffree
        for i in range(50):
            write(f'{name}-{i}')
        taken = before - os.statvfs('.').f_ffree
        for i in range(50):
            os.unlink(f'{name}-{i}')
        return [taken, soon(lambda: os.statvfs('.').f_ffree == before)]

    out(tries(once, [50, True]))`,
};

export const rows: Table = { ...seeking, ...allocating, ...space };
