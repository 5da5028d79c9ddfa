/**
 * Rows about a file's bytes: read and write in all their forms, offsets, O_APPEND, O_TRUNC, truncate, and lseek but
 * for SEEK_DATA and SEEK_HOLE, which are in data-space.ts with the calls that make holes.
 */
import type { Table } from './table.ts';
import { LIMIT, PAGES, py, SIGNAL } from './words.ts';

const reading: Table = {
  'read: as much as there is, and nothing at the end or past it': py`
    write('f', 'hello')
    fd = os.open('f', O_RDONLY)
    out(os.read(fd, 3), os.read(fd, 10), os.read(fd, 10), os.lseek(fd, 0, SEEK_CUR))
    out(os.pread(fd, 3, 4), os.pread(fd, 4, 5), os.pread(fd, 4, 1 << 40), os.pread(fd, 0, 2))`,
  'read: of an empty file, also far behind its end': py`
    write('f')
    fd = os.open('f', O_RDONLY)
    out(os.read(fd, 100), os.pread(fd, 100, 4095), os.pread(fd, 1 << 20, 1 << 50))`,
  'read: a page border, the last byte, and one byte at a time': py`
    ${PAGES}
    data = pattern(3 * PAGE + 17)
    write('f', data)
    fd = os.open('f', O_RDONLY)
    ends = [0, 1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE - 1, 3 * PAGE, 3 * PAGE + 16, 3 * PAGE + 17]
    out(all(os.pread(fd, b - a, a) == data[a:b] for a in ends for b in ends if a <= b))
    out(b''.join(os.read(fd, 1) for _ in range(100)) == data[:100])`,
  'read: a descriptor for writing, of O_PATH, or closed is EBADF': py`
    write('f', 'x')
    fd = os.open('f', O_WRONLY)
    out(t(os.read, fd, 1), t(os.pread, fd, 1, 0), t(os.readv, fd, [bytearray(1)]), t(os.read, os.open('f', O_PATH), 1))
    os.close(fd)
    out(t(os.read, fd, 1), t(os.pread, fd, 1, 0))`,
  'read: of a directory is EISDIR': py`
    fd = os.open('.', O_RDONLY)
    out(t(os.read, fd, 1), t(os.pread, fd, 1, 0), t(os.readv, fd, [bytearray(1)]),
        t(os.preadv, fd, [bytearray(1)], 0))`,
  'read: into memory that is not there is EFAULT, and the offset stays': py`
    write('f', 'hello')
    fd = os.open('f', O_RDONLY)
    out(t(call, 'read', fd, 1, 5), t(call, 'pread', fd, 1, 5, 0), os.lseek(fd, 0, SEEK_CUR), os.read(fd, 5))`,
  'pread: leaves the offset where it is': py`
    write('f', '0123456789')
    fd = os.open('f', O_RDONLY)
    out(os.read(fd, 2), os.pread(fd, 3, 5), os.read(fd, 2))`,
  'pread and pwrite: a negative offset is EINVAL': py`
    write('f', 'x')
    fd = os.open('f', O_RDWR)
    out(t(os.pread, fd, 1, -1), t(os.pwrite, fd, b'y', -1), t(os.pwrite, fd, b'', -1), t(os.pread, fd, 1, -1 << 63),
        read('f'))`,
  'pread and pwrite: on a fifo is ESPIPE': py`
    os.mkfifo('fifo')
    fd = os.open('fifo', O_RDWR)
    out(t(os.pread, fd, 1, 0), t(os.pwrite, fd, b'y', 0), t(os.preadv, fd, [bytearray(1)], 0),
        t(os.pwritev, fd, [b'y'], 0))`,
  'read: a fifo with no data and O_NONBLOCK is EAGAIN, without a writer the end': py`
    os.mkfifo('fifo')
    reader = os.open('fifo', O_RDONLY | O_NONBLOCK)
    out(os.read(reader, 1))
    writer = os.open('fifo', O_WRONLY | O_NONBLOCK)
    out(t(os.read, reader, 1), os.write(writer, b'abc'), os.read(reader, 10))
    os.close(writer)
    out(os.read(reader, 1))`,
  'write: a fifo without a reader is EPIPE, a full one with O_NONBLOCK EAGAIN': py`
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    os.mkfifo('fifo')
    reader = os.open('fifo', O_RDONLY | O_NONBLOCK)
    writer = os.open('fifo', O_WRONLY | O_NONBLOCK)
    while t(os.write, writer, b'x' * 65536) == 65536:
        pass
    out(t(os.write, writer, b'x'))
    os.close(reader)
    out(t(os.write, writer, b'x'))`,
  'readv: fills one buffer after the other, empty ones too': py`
    write('f', '0123456789')
    fd = os.open('f', O_RDONLY)
    them = [bytearray(3), bytearray(0), bytearray(4), bytearray(10)]
    out(os.readv(fd, them), *[bytes(each).rstrip(bytes(1)) for each in them], os.readv(fd, them),
        os.lseek(fd, 0, SEEK_CUR))`,
  'preadv: at an offset, over the end, past it': py`
    write('f', '0123456789')
    fd = os.open('f', O_RDONLY)
    a, b = bytearray(2), bytearray(2)
    out(os.preadv(fd, [a, b], 7), bytes(a), bytes(b[:1]), os.preadv(fd, [a, b], 10), os.preadv(fd, [a], 1 << 45),
        os.lseek(fd, 0, SEEK_CUR))`,
  'readv and writev: more than IOV_MAX buffers is EINVAL': py`
    fd = os.open('f', O_RDWR | O_CREAT)
    out(t(os.writev, fd, [b'x'] * 1025), t(os.writev, fd, [b'x'] * 1024), t(os.preadv, fd, [bytearray(1)] * 1025, 0),
        t(os.preadv, fd, [bytearray(1)] * 1024, 0))`,
  'preadv2: an unknown flag is EOPNOTSUPP, and so it is for pwritev2': py`
    write('f', 'x')
    fd = os.open('f', O_RDWR)
    out(t(os.preadv, fd, [bytearray(1)], 0, 1 << 30), t(os.pwritev, fd, [b'y'], 0, 1 << 30), read('f'))`,
  'preadv2 and pwritev2: RWF_NOWAIT, RWF_DONTCACHE and RWF_ATOMIC are for filesystems that know them': {
    script: py`
      write('f', 'x')
      fd = os.open('f', O_RDWR)
      for flag in (os.RWF_NOWAIT, 0x80, 0x40):
          out(t(os.preadv, fd, [bytearray(1)], 0, flag), t(os.pwritev, fd, [b'y'], 0, flag))
      out(read('f'))`,
    like: 'tmpfs',
  },
  'preadv2 and pwritev2: offset -1 is the current one, and moves it': py`
    fd = os.open('f', O_RDWR | O_CREAT)
    flag, a = os.RWF_HIPRI, bytearray(2)
    out(os.pwritev(fd, [b'01', b'2345'], -1, os.RWF_DSYNC), os.lseek(fd, 1, SEEK_SET), os.preadv(fd, [a], -1, flag),
        bytes(a), os.lseek(fd, 0, SEEK_CUR), t(os.preadv, fd, [a], -2, flag))`,
};

const writing: Table = {
  'write: over what is there, over the end, and after it': py`
    write('f', 'hello')
    fd = os.open('f', O_RDWR)
    out(os.pwrite(fd, b'J', 0), os.pwrite(fd, b'ow!!', 4), os.pwrite(fd, b'end', 10), read('f'), os.fstat(fd).st_size)`,
  'write: past the end leaves zeros between': py`
    ${PAGES}
    write('f', 'abc')
    fd = os.open('f', O_RDWR)
    out(os.lseek(fd, 3 * PAGE + 5, SEEK_SET), os.write(fd, b'xyz'), os.fstat(fd).st_size,
        read('f') == b'abc' + bytes(3 * PAGE + 2) + b'xyz')`,
  'write: zero bytes past the end do not make the file grow': py`
    write('f', 'abc')
    fd = os.open('f', O_RDWR)
    os.lseek(fd, 100, SEEK_SET)
    out(os.write(fd, b''), os.pwrite(fd, b'', 5000), os.writev(fd, [b'', b'']), os.fstat(fd).st_size,
        os.lseek(fd, 0, SEEK_CUR))`,
  'write: a descriptor for reading, of O_PATH, of a directory or closed is EBADF': py`
    write('f', 'x')
    fd, directory = os.open('f', O_RDONLY), os.open('.', O_RDONLY)
    out(t(os.write, fd, b'y'), t(os.pwrite, fd, b'y', 0), t(os.writev, fd, [b'y']),
        t(os.write, os.open('f', O_PATH), b'y'), t(os.write, directory, b'y'))
    os.close(fd)
    out(t(os.write, fd, b'y'), read('f'))`,
  // Not past the end: there tmpfs and ext4 let the file grow up to the offset.
  'write: from memory that is not there is EFAULT, and changes nothing': py`
    write('f', 'hello')
    fd = os.open('f', O_RDWR)
    out(t(call, 'write', fd, 1, 5), t(call, 'pwrite', fd, 1, 3, 2), t(call, 'pwrite', fd, 1, 10000, 0),
        os.lseek(fd, 0, SEEK_CUR), read('f'))`,
  'write: what one descriptor writes the other reads, at once': py`
    a, b = os.open('f', O_RDWR | O_CREAT), os.open('f', O_RDWR)
    out(os.write(a, b'one'), os.read(b, 10), os.write(b, b'two'), os.read(a, 10), os.pwrite(a, b'T', 3),
        os.pread(b, 10, 0))`,
  'write: to a file that another process has open': py`
    write('f', 'before')
    fd = os.open('f', O_RDONLY)
    out(os.read(fd, 100), as_user(ROOT, lambda: os.pwrite(os.open('f', O_WRONLY), b'behind and more', 0)),
        os.pread(fd, 100, 0), os.fstat(fd).st_size)`,
  'write: unaligned pieces in any order make the file that a model makes': py`
    ${PAGES}
    fd, model = os.open('f', O_RDWR | O_CREAT), bytearray()
    for i in range(200):
        at, length = i * 7919 % 70000, i * 104729 % 9000 + 1
        piece = pattern(length, i)
        model.extend(bytes(max(0, at + length - len(model))))
        model[at:at + length] = piece
        os.pwrite(fd, piece, at)
    out(read('f') == model, os.fstat(fd).st_size)`,
  'write: 3 MiB and some at once, unaligned, come back in pieces of another size': py`
    ${PAGES}
    data = pattern(3 * 1048576 + 123)
    fd = os.open('f', O_RDWR | O_CREAT)
    out(os.pwrite(fd, data, 777), os.fstat(fd).st_size, os.pread(fd, 4 * 1048576, 777) == data)
    out(all(os.pread(fd, 99991, 777 + at) == data[at:at + 99991] for at in range(0, len(data), 99991)),
        os.pread(fd, 777, 0) == bytes(777))`,
  'write: 1 MiB in the middle of 3 MiB leaves what is around it': py`
    ${PAGES}
    a, b = pattern(3 << 20), pattern(1 << 20, 2)
    write('f', a)
    fd = os.open('f', O_RDWR)
    out(os.pwrite(fd, b, (1 << 20) + 1), read('f') == a[:(1 << 20) + 1] + b + a[(2 << 20) + 1:])`,
  'writev: one piece after the other': py`
    fd = os.open('f', O_RDWR | O_CREAT)
    out(os.writev(fd, [b'abc', b'', b'defg', b'h']), os.writev(fd, [b'i']), read('f'), os.writev(fd, [b'x' * 5000] * 3),
        os.fstat(fd).st_size)`,
  'pwritev: at an offset, which stays': py`
    write('f', '0123456789')
    fd = os.open('f', O_RDWR)
    out(os.pwritev(fd, [b'ab', b'cd'], 3), os.pwritev(fd, [b'X', b'Y'], 12), os.lseek(fd, 0, SEEK_CUR), read('f'))`,
  'pwritev2: RWF_APPEND writes at the end, whatever the offset': py`
    write('f', '0123')
    fd = os.open('f', O_RDWR)
    out(os.pwritev(fd, [b'ab'], 0, os.RWF_APPEND), os.pwritev(fd, [b'c', b'd'], 100, os.RWF_APPEND),
        os.lseek(fd, 0, SEEK_CUR), read('f'))`,
  'pwritev2: RWF_NOAPPEND writes at its offset, O_APPEND or not': py`
    write('f', '0123456789')
    fd, NOAPPEND = os.open('f', O_RDWR | O_APPEND), 0x20
    out(os.pwritev(fd, [b'ab'], 2, NOAPPEND), os.pwritev(fd, [b'cd'], 2), read('f'),
        t(os.pwritev, fd, [b'x'], 0, NOAPPEND | os.RWF_APPEND))`,
  'pwritev2: RWF_DSYNC and RWF_SYNC write': py`
    fd = os.open('f', O_RDWR | O_CREAT)
    out(os.pwritev(fd, [b'ab'], 0, os.RWF_DSYNC), os.pwritev(fd, [b'cd'], 2, os.RWF_SYNC),
        os.pwritev(fd, [b'ef'], 4, os.RWF_SYNC | os.RWF_DSYNC), read('f'))`,
  'open: O_SYNC and O_DSYNC write, read and append as without': py`
    a = os.open('f', O_RDWR | O_CREAT | O_SYNC)
    b = os.open('f', O_RDWR | O_DSYNC | O_APPEND)
    out(os.write(a, b'one'), os.write(b, b'two'), os.pread(a, 10, 0), os.pwrite(a, b'three', 5000),
        os.fstat(b).st_size)`,
  'write: to a file that is executed is ETXTBSY, at open and truncate': py`
    import shutil, subprocess
    shutil.copy('/bin/sleep', 'program')
    program = subprocess.Popen([p('program'), '10'])
    out(t(os.open, 'program', O_WRONLY), t(os.open, 'program', O_RDWR | O_TRUNC), t(os.truncate, 'program', 0),
        os.access('program', os.R_OK))
    program.kill()
    program.wait()
    out(t(os.truncate, 'program', 0))`,
  'execve: of a file that is open for writing is ETXTBSY': py`
    import shutil
    shutil.copy('/bin/true', 'program')
    fd = os.open('program', O_WRONLY)
    run = lambda: os.spawnv(os.P_WAIT, p('program'), ['program'])
    out(t(os.execv, 'program', ['program']))
    os.close(fd)
    out(run())`,
};

const offsets: Table = {
  'write: at 1 TiB, and all before it is zeros': py`
    fd = os.open('f', O_RDWR | O_CREAT)
    at = 1 << 40
    out(os.pwrite(fd, b'far', at), os.fstat(fd).st_size, os.pread(fd, 10, at), os.pread(fd, 3, at - 3),
        os.pread(fd, 4096, 123456789) == bytes(4096), os.pread(fd, 6, at - 3))
    out(os.fstat(fd).st_blocks < 100)`,
  'write: on both sides of 2 GiB and 4 GiB': py`
    fd = os.open('f', O_RDWR | O_CREAT)
    for border in (1 << 31, 1 << 32):
        out(os.pwrite(fd, b'abcdef', border - 3), os.pread(fd, 6, border - 3), os.pread(fd, 3, border),
            os.fstat(fd).st_size, os.lseek(fd, -2, SEEK_END), os.read(fd, 9))`,
  'truncate: to 15 TiB and back': py`
    write('f', 'abc')
    os.truncate('f', 15 << 40)
    fd = os.open('f', O_RDWR)
    out(os.fstat(fd).st_size, os.pread(fd, 5, 0), os.pread(fd, 3, (15 << 40) - 3), os.pread(fd, 3, (15 << 40) - 1),
        os.fstat(fd).st_blocks < 100)
    os.truncate('f', 2)
    out(read('f'))`,
  'pread and pwrite: over the largest offset there is is EINVAL': py`
    fd = os.open('f', O_RDWR | O_CREAT)
    last = (1 << 63) - 1
    out(t(os.pwrite, fd, b'x', last), t(os.pwrite, fd, b'xyz', last - 1), t(os.pread, fd, 10, last - 5),
        os.fstat(fd).st_size)`,
  'write: over 16 TiB, at 2^50 and short of 2^53': {
    script: py`
      fd = os.open('f', O_RDWR | O_CREAT)
      for at in (1 << 44, 1 << 50, (1 << 53) - 4096):
          out(t(os.pwrite, fd, b'far', at), t(os.pread, fd, 9, at - 1), os.fstat(fd).st_size == at + 3)
      out(t(os.lseek, fd, 1, SEEK_DATA) == 1 << 44, t(os.ftruncate, fd, 5), os.pread(fd, 9, 0),
          os.fstat(fd).st_blocks)`,
    like: 'tmpfs',
  },
  'write: an offset larger than files can be is EFBIG': {
    script: py`
      write('f', 'abc')
      fd = os.open('f', O_RDWR)
      out(t(os.pwrite, fd, b'x', 1 << 60), t(os.pwrite, fd, b'x', (1 << 63) - 10), t(os.truncate, 'f', 1 << 60),
          t(os.ftruncate, fd, (1 << 63) - 1), os.fstat(fd).st_size)`,
    like: 'ext4',
  },
  'read: an offset larger than files can be is the end': py`
    write('f', 'abc')
    fd = os.open('f', O_RDWR)
    out(os.pread(fd, 10, 1 << 60), os.pread(fd, 10, (1 << 63) - 4096), os.pread(fd, 10, (1 << 53) + 1))`,
  'write: beyond RLIMIT_FSIZE goes to the limit, then is EFBIG': py`
    ${LIMIT}
    fd = os.open('f', O_RDWR | O_CREAT)
    file_limit(10000)
    out(t(os.pwrite, fd, b'x' * 8000, 0), t(os.pwrite, fd, b'y' * 8000, 8000), t(os.pwrite, fd, b'z', 10000),
        t(os.pwrite, fd, b'z', 20000), t(os.pwrite, fd, b'z', 9999), os.fstat(fd).st_size)`,
  'truncate: beyond RLIMIT_FSIZE is EFBIG, within it not': py`
    ${LIMIT}
    fd = os.open('f', O_RDWR | O_CREAT)
    file_limit(10000)
    out(t(os.ftruncate, fd, 10001), t(os.truncate, 'f', 1 << 40), t(os.ftruncate, fd, 10000), os.fstat(fd).st_size)`,
  'write: beyond RLIMIT_FSIZE sends SIGXFSZ': py`
    ${LIMIT}
    ${SIGNAL}
    fd = os.open('f', O_RDWR | O_CREAT)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    file_limit(10)
    out(signal_of(lambda: os.pwrite(fd, b'0123456789ab', 0)), read('f'), signal_of(lambda: os.pwrite(fd, b'x', 10)),
        signal_of(lambda: os.ftruncate(fd, 11)))`,
  'lseek: SEEK_SET, SEEK_CUR and SEEK_END': py`
    write('f', '0123456789')
    fd = os.open('f', O_RDWR)
    out(os.lseek(fd, 4, SEEK_SET), os.read(fd, 1), os.lseek(fd, 2, SEEK_CUR), os.read(fd, 1),
        os.lseek(fd, -3, SEEK_END), os.read(fd, 9), os.lseek(fd, 5, SEEK_END), os.fstat(fd).st_size)`,
  'lseek: SEEK_END sees what others wrote': py`
    write('f', '0123456789')
    fd = os.open('f', O_RDWR)
    as_user(ROOT, lambda: write('f', 'x' * 5000))
    out(os.lseek(fd, 0, SEEK_END))
    os.truncate('f', 7)
    out(os.lseek(fd, -1, SEEK_END))`,
  'lseek: before the start is EINVAL, and the offset stays': py`
    write('f', '0123456789')
    fd = os.open('f', O_RDWR)
    os.lseek(fd, 5, SEEK_SET)
    out(t(os.lseek, fd, -1, SEEK_SET), t(os.lseek, fd, -6, SEEK_CUR), t(os.lseek, fd, -11, SEEK_END),
        os.lseek(fd, 0, SEEK_CUR))`,
  'lseek: over the largest offset and an unknown whence are EINVAL': py`
    write('f', '0123456789')
    fd, last = os.open('f', O_RDWR), (1 << 63) - 1
    os.lseek(fd, 5, SEEK_SET)
    out(t(os.lseek, fd, last, SEEK_CUR), t(os.lseek, fd, last, SEEK_END), t(os.lseek, fd, 0, 5), t(os.lseek, fd, 0, 99),
        t(os.lseek, fd, 0, -1), os.lseek(fd, 0, SEEK_CUR))`,
  'lseek: EBADF and ESPIPE': py`
    os.mkfifo('fifo')
    write('f', 'x')
    fd = os.open('f', O_RDONLY)
    os.close(fd)
    out(t(os.lseek, fd, 0, SEEK_SET), t(os.lseek, os.open('f', O_PATH), 0, SEEK_SET),
        t(os.lseek, os.open('fifo', O_RDWR), 0, SEEK_CUR))`,
  'dup: shares the offset and O_APPEND': py`
    a = os.open('f', O_RDWR | O_CREAT)
    b = os.dup(a)
    out(os.write(a, b'one'), os.write(b, b'two'), os.lseek(a, 0, SEEK_CUR), os.lseek(b, 1, SEEK_SET), os.read(a, 2))
    fcntl.fcntl(a, F_SETFL, O_APPEND)
    os.lseek(b, 0, SEEK_SET)
    out(os.write(b, b'end'), os.close(a) or os.write(b, b'!'), read('f'))`,
  'open: twice has two offsets': py`
    write('f', '0123456789')
    a, b = os.open('f', O_RDWR), os.open('f', O_RDWR)
    out(os.read(a, 4), os.read(b, 2), os.write(a, b'AB'), os.read(b, 6), os.lseek(a, 0, SEEK_CUR),
        os.lseek(b, 0, SEEK_CUR))`,
  'fork: shares the offset': py`
    write('f', '0123456789')
    fd = os.open('f', O_RDWR)
    out(os.read(fd, 2), as_user(ROOT, lambda: os.read(fd, 3)), os.read(fd, 1),
        as_user(ROOT, lambda: os.write(fd, b'ab')), os.write(fd, b'c'), read('f'))`,
  'dup: closing one leaves the other': py`
    write('f', 'hello')
    a = os.open('f', O_RDWR)
    b = os.dup(a)
    os.close(a)
    out(t(os.read, a, 1), os.read(b, 5), os.write(b, b'!'), read('f'))`,
};

const appending: Table = {
  'write: O_APPEND writes at the end, wherever the offset is, and leaves it there': py`
    write('f', 'abc')
    fd = os.open('f', O_RDWR | O_APPEND)
    out(os.lseek(fd, 0, SEEK_CUR), os.write(fd, b'd'), os.lseek(fd, 0, SEEK_CUR), os.lseek(fd, 1, SEEK_SET),
        os.write(fd, b'e'), os.lseek(fd, 0, SEEK_CUR), read('f'))`,
  'write: O_APPEND after the file shrank and grew elsewhere': py`
    write('f', '0123456789')
    fd = os.open('f', O_WRONLY | O_APPEND)
    os.truncate('f', 4)
    out(os.write(fd, b'a'), read('f'))
    as_user(ROOT, lambda: os.truncate('f', 8))
    out(os.write(fd, b'b'), read('f'))`,
  'pwrite: O_APPEND appends, whatever the offset': py`
    write('f', 'abc')
    fd = os.open('f', O_RDWR | O_APPEND)
    out(os.pwrite(fd, b'X', 0), os.pwrite(fd, b'Y', 100), os.pwritev(fd, [b'Z'], 1), os.lseek(fd, 0, SEEK_CUR),
        read('f'))`,
  'write: O_APPEND of two descriptors in turn loses nothing': py`
    a, b = os.open('f', O_WRONLY | O_CREAT | O_APPEND), os.open('f', O_WRONLY | O_APPEND)
    for i in range(5):
        os.write(a, b'a%d ' % i)
        os.write(b, b'b%d ' % i)
    out(read('f'))`,
  'write: O_APPEND of four processes at once loses nothing and mixes no record': py`
    write('f')

    def appender(letter):
        fd = os.open('f', O_WRONLY | O_APPEND)
        for _ in range(50):
            os.write(fd, letter * 99 + b'\n')

    them = [spawn(lambda letter=letter: appender(letter)) for letter in (b'a', b'b', b'c', b'd')]
    out(*[join(each) for each in them])
    lines = read('f').split(b'\n')
    out(len(lines), [lines.count(letter * 99) for letter in (b'a', b'b', b'c', b'd')])`,
  'fcntl: F_SETFL sets O_APPEND and takes it away': py`
    write('f', '0123')
    fd = os.open('f', O_RDWR)
    out(fcntl.fcntl(fd, F_GETFL) & O_APPEND, fcntl.fcntl(fd, F_SETFL, O_APPEND), fcntl.fcntl(fd, F_GETFL) & O_APPEND,
        os.pwrite(fd, b'x', 0))
    out(fcntl.fcntl(fd, F_SETFL, 0), os.pwrite(fd, b'y', 0), read('f'))`,
  'write: O_APPEND counts for RLIMIT_FSIZE': py`
    ${LIMIT}
    write('f', 'x' * 9)
    fd = os.open('f', O_RDWR | O_APPEND)
    file_limit(10)
    out(t(os.pwrite, fd, b'yz', 0), t(os.pwrite, fd, b'z', 0), read('f'))`,
};

const truncating: Table = {
  'open: O_TRUNC empties, also for reading alone, and keeps the inode': py`
    write('f', 'hello')
    before = os.stat('f').st_ino
    os.close(os.open('f', O_WRONLY | O_TRUNC))
    out(read('f'), os.stat('f').st_ino == before)
    write('f', 'again')
    os.close(os.open('f', O_RDONLY | O_TRUNC))
    out(read('f'), os.stat('f').st_ino == before)`,
  'open: O_TRUNC under another descriptor, whose next write leaves zeros': py`
    fd = os.open('f', O_RDWR | O_CREAT)
    os.write(fd, b'hello')
    os.close(os.open('f', O_WRONLY | O_TRUNC))
    out(os.fstat(fd).st_size, os.read(fd, 9), os.lseek(fd, 0, SEEK_CUR), os.write(fd, b'!'), read('f'))`,
  'open: O_TRUNC without permission to write is EACCES and changes nothing': py`
    write('f', 'hello')
    os.chmod('f', 0o444)
    out(as_user(ALICE, lambda: os.open('f', O_RDONLY | O_TRUNC)),
        as_user(ALICE, lambda: os.open('f', O_WRONLY | O_TRUNC)), read('f'))`,
  'truncate: grows with zeros, shrinks, and stays': py`
    write('f', 'hello')
    for size in (8, 3, 3, 0, 0, 5):
        out(t(os.truncate, 'f', size), read('f'))`,
  'truncate: what was cut off is zeros when it comes back, within a page and over pages': py`
    ${PAGES}
    data = pattern(3 * PAGE)
    for cut in (0, 1, 100, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE + 5, 3 * PAGE - 1):
        write('f', data)
        os.truncate('f', cut)
        os.truncate('f', 4 * PAGE)
        out(read('f') == data[:cut] + bytes(4 * PAGE - cut))`,
  'truncate: what was cut off stays zeros when a write brings it back': py`
    ${PAGES}
    write('f', pages('abc'))
    fd = os.open('f', O_RDWR)
    os.ftruncate(fd, 10)
    os.pwrite(fd, b'x', 100)
    os.pwrite(fd, b'y', 2 * PAGE)
    out(read('f') == b'a' * 10 + bytes(90) + b'x' + bytes(2 * PAGE - 101) + b'y')`,
  'ftruncate: as truncate, and the offset stays': py`
    fd = os.open('f', O_RDWR | O_CREAT)
    os.write(fd, b'hello')
    out(t(os.ftruncate, fd, 2), os.lseek(fd, 0, SEEK_CUR), os.read(fd, 9), t(os.ftruncate, fd, 7), os.read(fd, 9),
        read('f'))`,
  'truncate: through a symlink and another link': py`
    write('f', 'hello')
    os.symlink('f', 'symlink')
    os.link('f', 'link')
    os.truncate('symlink', 4)
    out(read('f'))
    os.truncate('link', 2)
    out(read('f'), os.stat('symlink').st_size, os.lstat('symlink').st_size)`,
  'truncate: a negative length is EINVAL': py`
    fd = os.open('f', O_RDWR | O_CREAT)
    out(t(os.truncate, 'f', -1), t(os.ftruncate, fd, -1), t(os.truncate, 'f', -1 << 63))`,
  'truncate: a directory is EISDIR': py`
    os.mkdir('d')
    out(t(os.truncate, 'd', 0), t(os.truncate, '.', 10))`,
  'truncate: a fifo, a socket and a device are EINVAL': py`
    os.mkfifo('fifo')
    socket.socket(socket.AF_UNIX).bind('socket')
    os.mknod('null', stat.S_IFCHR | 0o666, os.makedev(1, 3))
    out(t(os.truncate, 'fifo', 0), t(os.truncate, 'socket', 0), t(os.truncate, 'null', 0))`,
  'truncate: ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, EFAULT': py`
    write('f', 'x')
    os.symlink('loop', 'loop')
    os.symlink('absent', 'dangling')
    out(t(os.truncate, 'absent', 0), t(os.truncate, '', 0), t(os.truncate, 'dangling', 0), t(os.truncate, 'f/x', 0),
        t(os.truncate, 'loop', 0), t(os.truncate, 'n' * 256, 0), t(call, 'truncate', 1, 0))`,
  'truncate: without permission to write, or to search, is EACCES': py`
    write('f', 'hello')
    os.mkdir('d', 0o700)
    write('d/f', 'x')
    os.chmod('d/f', 0o666)
    out(as_user(ALICE, lambda: os.truncate('f', 0)), as_user(ALICE, lambda: os.truncate('d/f', 0)), read('f'),
        read('d/f'))`,
  'ftruncate: needs no permission, only a descriptor for writing': py`
    write('f', 'hello')
    fd = os.open('f', O_RDWR)
    os.chmod('f', 0)
    out(as_user(ALICE, lambda: os.ftruncate(fd, 2)), read('f'))`,
  'ftruncate: a descriptor for reading, of a directory or of a pipe is EINVAL': py`
    write('f', 'hello')
    out(t(os.ftruncate, os.open('f', O_RDONLY), 0), t(os.ftruncate, os.open('.', O_RDONLY), 0),
        t(os.ftruncate, os.pipe()[1], 0), read('f'))
    os.mkfifo('fifo')
    out(t(os.ftruncate, os.open('fifo', O_RDWR), 0))`,
  'ftruncate: a descriptor of O_PATH, or closed, is EBADF': py`
    write('f', 'hello')
    fd = os.open('f', O_PATH)
    out(t(os.ftruncate, fd, 0))
    os.close(fd)
    out(t(os.ftruncate, fd, 0), read('f'))`,
  'truncate: others see the new size and content at once': py`
    ${PAGES}
    write('f', pages('ab'))
    fd = os.open('f', O_RDONLY)
    out(len(os.read(fd, 3 * PAGE)), as_user(ROOT, lambda: os.truncate('f', PAGE + 1)), os.fstat(fd).st_size,
        os.pread(fd, 10, PAGE), os.pread(fd, 10, 2 * PAGE))
    as_user(ROOT, lambda: os.truncate('f', 2 * PAGE))
    out(os.pread(fd, 4, PAGE), os.stat('f').st_size)`,
};

const unlinked: Table = {
  'unlink: an open file reads, grows and shrinks on': py`
    ${PAGES}
    write('f', 'hello')
    fd = os.open('f', O_RDWR)
    os.unlink('f')
    out(os.read(fd, 9), os.pwrite(fd, b'more', 3 * PAGE), os.fstat(fd).st_size, os.fstat(fd).st_nlink,
        t(os.ftruncate, fd, 3), os.pread(fd, 9, 0), os.path.exists('f'))`,
  'unlink: two descriptors of it share its bytes, a new file of that name has its own': py`
    write('f', 'old')
    a, b = os.open('f', O_RDWR), os.open('f', O_RDWR)
    os.unlink('f')
    write('f', 'new')
    out(os.write(a, b'OLDER'), os.read(b, 9), read('f'), os.close(a) or os.pread(b, 9, 0))`,
  'unlink: an open file can be opened again by /proc/self/fd': py`
    write('f', 'hello')
    fd = os.open('f', O_RDONLY)
    os.unlink('f')
    again = os.open(f'/proc/self/fd/{fd}', O_RDWR | O_APPEND)
    out(os.write(again, b'!'), os.read(fd, 9), os.fstat(again).st_nlink)`,
  'rename: over an open file leaves its bytes to who has it open': py`
    write('a', 'of a')
    write('b', 'of b')
    fd = os.open('b', O_RDWR)
    os.rename('a', 'b')
    out(os.read(fd, 9), os.write(fd, b'!'), os.pread(fd, 9, 0), read('b'))`,
  'mmap: of a file that was unlinked and closed keeps its bytes': py`
    ${PAGES}
    write('f', pages('ab'))
    fd = os.open('f', O_RDWR)
    memory = mmap.mmap(fd, 2 * PAGE)
    os.close(fd)
    os.unlink('f')
    memory[0:5] = b'hello'
    out(memory[:6], memory[PAGE:PAGE + 3], t(memory.flush))`,
};

export const rows: Table = { ...reading, ...writing, ...offsets, ...appending, ...truncating, ...unlinked };
