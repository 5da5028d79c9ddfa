/** Rows about bytes that go from one descriptor to another inside the kernel: copy_file_range, sendfile and splice. */
import type { Table } from './table.ts';
import { LIMIT, PAGES, py } from './words.ts';

const copying: Table = {
  'copy_file_range: from file to file, at the offsets of both, which move': py`
    write('a', '0123456789')
    write('b', 'abc')
    a, b = os.open('a', O_RDONLY), os.open('b', O_RDWR)
    os.lseek(a, 2, SEEK_SET)
    os.lseek(b, 3, SEEK_SET)
    out(os.copy_file_range(a, b, 4), os.copy_file_range(a, b, 2), os.lseek(a, 0, SEEK_CUR), os.lseek(b, 0, SEEK_CUR),
        read('b'))`,
  'copy_file_range: at given offsets, which leaves those of the files': py`
    write('a', '0123456789')
    write('b', 'abcdef')
    a, b = os.open('a', O_RDONLY), os.open('b', O_RDWR)
    out(os.copy_file_range(a, b, 3, 5, 1), os.lseek(a, 0, SEEK_CUR), os.lseek(b, 0, SEEK_CUR), read('b'))`,
  'copy_file_range: tells how far it came through its pointers': py`
    write('a', '0123456789')
    a, b = os.open('a', O_RDONLY), os.open('b', O_RDWR | O_CREAT)
    off_in, off_out = ctypes.c_int64(7), ctypes.c_int64(100)
    out(call('copy_file_range', a, ctypes.byref(off_in), b, ctypes.byref(off_out), 50, 0), off_in.value, off_out.value,
        os.fstat(b).st_size)`,
  'copy_file_range: stops at the end of the source, and at it copies nothing': py`
    write('a', '0123456789')
    write('b', 'abc')
    a, b = os.open('a', O_RDONLY), os.open('b', O_RDWR)
    out(os.copy_file_range(a, b, 100, 8, 0), os.copy_file_range(a, b, 100, 10, 0),
        os.copy_file_range(a, b, 100, 1 << 40, 0), os.copy_file_range(a, b, 0, 0, 0), read('b'))`,
  'copy_file_range: of an empty file is nothing': py`
    write('a')
    write('b', 'abc')
    out(os.copy_file_range(os.open('a', O_RDONLY), os.open('b', O_RDWR), 10), read('b'))`,
  'copy_file_range: a length larger than any file copies what there is': py`
    write('a', '0123456789')
    a, b = os.open('a', O_RDONLY), os.open('b', O_RDWR | O_CREAT)
    out(os.copy_file_range(a, b, 1 << 62), read('b'))`,
  'copy_file_range: behind the end of the target leaves zeros between': py`
    ${PAGES}
    write('a', 'hello')
    write('b', 'xy')
    a, b = os.open('a', O_RDONLY), os.open('b', O_RDWR)
    out(os.copy_file_range(a, b, 5, 0, 2 * PAGE + 3), read('b') == b'xy' + bytes(2 * PAGE + 1) + b'hello')`,
  'copy_file_range: within a file, before and behind': py`
    ${PAGES}
    data = pattern(4 * PAGE)
    write('f', data)
    fd = os.open('f', O_RDWR)
    out(copy_range(fd, 0, fd, 2 * PAGE, 2 * PAGE), read('f') == data[:2 * PAGE] * 2)
    write('f', data)
    out(copy_range(fd, 3 * PAGE + 100, fd, 10, 1000),
        read('f') == data[:10] + data[3 * PAGE + 100:3 * PAGE + 1100] + data[1010:])
    out(copy_range(fd, 0, fd, 4 * PAGE, PAGE), os.fstat(fd).st_size)`,
  'copy_file_range: within a file over itself is EINVAL, next to itself not': py`
    write('f', '0123456789')
    fd, other = os.open('f', O_RDWR), os.open('f', O_RDWR)
    out(t(os.copy_file_range, fd, fd, 4, 0, 2), t(os.copy_file_range, fd, other, 4, 2, 0),
        t(os.copy_file_range, fd, fd, 1, 3, 3), t(os.copy_file_range, fd, fd, 3, 0, 3), read('f'))`,
  'copy_file_range: every alignment gives the bytes of the source': py`
    ${PAGES}
    data, old = pattern(3 * PAGE), pattern(4 * PAGE, 9)
    write('a', data)
    a = os.open('a', O_RDONLY)
    good = 0
    for start, target, length in ((0, 0, PAGE), (1, 0, PAGE), (0, 1, PAGE), (100, PAGE - 1, 2 * PAGE),
        (PAGE - 1, 3, 2 * PAGE + 1), (PAGE, 2 * PAGE, 7), (3, PAGE + 3, PAGE - 6)):
        write('b', old)
        b = os.open('b', O_RDWR)
        good += copy_range(a, start, b, target,
            length) == length and read('b') == old[:target] + data[start:start + length] + old[target + length:]
    out(good)`,
  'copy_file_range: 3 MiB and some': py`
    ${PAGES}
    data = pattern((3 << 20) + 77)
    write('a', data)
    a, b = os.open('a', O_RDONLY), os.open('b', O_RDWR | O_CREAT)
    out(copy_range(a, 5, b, 3, 1 << 30), read('b') == bytes(3) + data[5:])`,
  'copy_file_range: holes come as zeros, over data too': py`
    ${PAGES}
    a, b = os.open('a', O_RDWR | O_CREAT), os.open('b', O_RDWR | O_CREAT)
    os.pwrite(a, b'x' * PAGE, 2 * PAGE)
    os.ftruncate(a, 5 * PAGE)
    os.write(b, b'o' * 6 * PAGE)
    out(copy_range(a, 0, b, 0, 5 * PAGE), read('b') == bytes(2 * PAGE) + pages('x') + bytes(2 * PAGE) + pages('o'))
    out(copy_range(a, 3 * PAGE, b, 8 * PAGE, 2 * PAGE), os.fstat(b).st_size,
        os.pread(b, 2 * PAGE, 8 * PAGE) == bytes(2 * PAGE))`,
  'copy_file_range: what allocates and is not written comes as zeros': py`
    ${PAGES}
    a, b = os.open('a', O_RDWR | O_CREAT), os.open('b', O_RDWR | O_CREAT)
    fallocate(a, 0, 0, 2 * PAGE)
    os.write(b, b'o' * 3 * PAGE)
    out(copy_range(a, 0, b, 1, 2 * PAGE), read('b') == b'o' + bytes(2 * PAGE) + b'o' * (PAGE - 1))`,
  'copy_file_range: the copy is apart from its source': py`
    write('a', '0123456789')
    a, b = os.open('a', O_RDWR), os.open('b', O_RDWR | O_CREAT)
    copy_range(a, 0, b, 0, 10)
    os.pwrite(a, b'A', 0)
    os.pwrite(b, b'B', 9)
    out(read('a'), read('b'))`,
  'copy_file_range: sees and shows what is in mappings and caches': py`
    ${PAGES}
    write('a', pages('ab'))
    write('b', pages('yz'))
    a, b = os.open('a', O_RDWR), os.open('b', O_RDWR)
    source, target = mmap.mmap(a, 2 * PAGE), mmap.mmap(b, 2 * PAGE)
    source[0:5], target[0:5], before = b'HELLO', b'WORLD', target[PAGE:PAGE + 3]
    out(before, copy_range(a, 0, b, PAGE, PAGE), target[PAGE:PAGE + 6], target[:6], os.pread(b, 6, PAGE))`,
  'copy_file_range: of an unlinked file into an unlinked file': py`
    write('a', 'hello')
    a, b = os.open('a', O_RDONLY), os.open('b', O_RDWR | O_CREAT)
    os.unlink('a')
    os.unlink('b')
    out(os.copy_file_range(a, b, 9), os.pread(b, 9, 0))`,
  'copy_file_range: a source for writing or a target for reading is EBADF': py`
    write('a', 'hello')
    write('b', 'world')
    r, w, path = os.open('a', O_RDONLY), os.open('b', O_WRONLY), os.open('a', O_PATH)
    out(t(os.copy_file_range, w, w, 1, 0, 3), t(os.copy_file_range, r, os.open('b', O_RDONLY), 1),
        t(os.copy_file_range, path, w, 1), t(os.copy_file_range, r, path, 1), t(os.copy_file_range, r, 999, 1),
        read('b'))`,
  'copy_file_range: a target with O_APPEND is EBADF': py`
    write('a', 'hello')
    write('b', 'world')
    out(t(os.copy_file_range, os.open('a', O_RDONLY), os.open('b', O_RDWR | O_APPEND), 3), read('b'))`,
  'copy_file_range: a directory is EISDIR': py`
    write('a', 'hello')
    directory, fd = os.open('.', O_RDONLY), os.open('a', O_RDWR)
    out(t(os.copy_file_range, directory, fd, 1), t(os.copy_file_range, directory, directory, 1))`,
  'copy_file_range: a fifo or a device is EINVAL': py`
    write('a', 'hello')
    os.mkfifo('fifo')
    fd, fifo, null = os.open('a', O_RDWR), os.open('fifo', O_RDWR), os.open('/dev/null', O_RDWR)
    out(t(os.copy_file_range, fd, fifo, 1), t(os.copy_file_range, fifo, fd, 1), t(os.copy_file_range, fd, null, 1),
        t(os.copy_file_range, null, fd, 1))`,
  'copy_file_range: an unknown flag is EINVAL': py`
    write('a', 'hello')
    a, b = os.open('a', O_RDONLY), os.open('b', O_RDWR | O_CREAT)
    out(t(call, 'copy_file_range', a, None, b, None, 3, 2), read('b'))`,
  'copy_file_range: an end that wraps around is EOVERFLOW, a negative offset refused': py`
    write('a', 'hello')
    a, b = os.open('a', O_RDONLY), os.open('b', O_RDWR | O_CREAT)
    at = lambda offset: ctypes.byref(ctypes.c_int64(offset))
    out(t(call, 'copy_file_range', a, at(1), b, at(0), -1, 0), t(call, 'copy_file_range', a, at(0), b, at(3), -2, 0))
    out(t(call, 'copy_file_range', a, at(-1), b, at(0), 3, 0), t(call, 'copy_file_range', a, at(0), b, at(-5), 3, 0),
        read('b'))`,
  'copy_file_range: offsets in memory that is not there is EFAULT': py`
    write('a', 'hello')
    a, b = os.open('a', O_RDONLY), os.open('b', O_RDWR | O_CREAT)
    out(t(call, 'copy_file_range', a, 1, b, 0, 3, 0), t(call, 'copy_file_range', a, 0, b, 1, 3, 0))`,
  'copy_file_range: goes to RLIMIT_FSIZE, and at it is EFBIG': py`
    ${LIMIT}
    write('a', 'x' * 100)
    a, b = os.open('a', O_RDONLY), os.open('b', O_RDWR | O_CREAT)
    file_limit(60)
    out(t(os.copy_file_range, a, b, 100), os.fstat(b).st_size, t(os.copy_file_range, a, b, 40, 60, 60),
        t(os.copy_file_range, a, b, 10, 0, 0))`,
  'copy_file_range: from another filesystem is EXDEV, and into it': py`
    write('a', 'hello')
    a, other = os.open('a', O_RDWR), os.memfd_create('other')
    os.write(other, b'other')
    out(t(os.copy_file_range, other, a, 3, 0, 0), t(os.copy_file_range, a, other, 3, 0, 0), read('a'))`,
};

const splicing: Table = {
  'sendfile: from file to file': py`
    write('a', '0123456789')
    a, b = os.open('a', O_RDONLY), os.open('b', O_RDWR | O_CREAT)
    out(os.sendfile(b, a, 2, 5), os.lseek(a, 0, SEEK_CUR), os.lseek(b, 0, SEEK_CUR), os.sendfile(b, a, None, 4),
        os.lseek(a, 0, SEEK_CUR), read('b'))`,
  'sendfile: at the end of the source is nothing': py`
    write('a', '0123456789')
    a, b = os.open('a', O_RDONLY), os.open('b', O_RDWR | O_CREAT)
    out(os.sendfile(b, a, 8, 50), os.sendfile(b, a, 10, 5), os.sendfile(b, a, 1 << 40, 5), read('b'))`,
  'sendfile: 1 MiB and some into a socket': py`
    ${PAGES}
    data = pattern((1 << 20) + 321)
    write('a', data)
    near, far = socket.socketpair()

    def receive():
        near.close()
        return b''.join(iter(lambda: far.recv(1 << 16), b'')) == data

    receiver = spawn(receive)
    far.close()
    a, sent = os.open('a', O_RDONLY), 0
    while sent < len(data):
        sent += os.sendfile(near.fileno(), a, sent, len(data) - sent)
    near.close()
    out(join(receiver), sent == len(data))`,
  'sendfile: of a hole gives zeros': py`
    ${PAGES}
    a, b = os.open('a', O_RDWR | O_CREAT), os.open('b', O_RDWR | O_CREAT)
    os.pwrite(a, b'x', PAGE)
    os.ftruncate(a, 3 * PAGE)
    out(os.sendfile(b, a, 0, 3 * PAGE), read('b') == bytes(PAGE) + b'x' + bytes(2 * PAGE - 1))`,
  'sendfile: EBADF, EINVAL for O_APPEND and a directory, ESPIPE for a fifo with an offset': py`
    write('a', 'hello')
    write('b', 'world')
    os.mkfifo('fifo')
    a, fifo = os.open('a', O_RDONLY), os.open('fifo', O_RDWR)
    out(t(os.sendfile, os.open('b', O_RDONLY), a, 0, 3),
        t(os.sendfile, os.open('b', O_RDWR), os.open('a', O_WRONLY), 0, 3),
        t(os.sendfile, os.open('b', O_PATH), a, 0, 3))
    out(t(os.sendfile, os.open('b', O_RDWR | O_APPEND), a, 0, 3),
        t(os.sendfile, os.open('b', O_RDWR), os.open('.', O_RDONLY), 0, 3),
        t(os.sendfile, os.open('b', O_RDWR), fifo, 0, 3), t(os.sendfile, os.open('b', O_RDWR), a, -1, 3), read('b'))`,
  'sendfile and splice: into a full pipe that does not wait is EAGAIN': py`
    write('a', 'hello')
    a = os.open('a', O_RDONLY)
    r, w = os.pipe2(O_NONBLOCK)
    while t(os.write, w, b'x' * 4096) == 4096:
        pass
    out(t(os.sendfile, w, a, 0, 5), t(os.splice, a, w, 5, offset_src=0),
        t(os.splice, a, w, 5, offset_src=0, flags=os.SPLICE_F_NONBLOCK), os.lseek(a, 0, SEEK_CUR))`,
  'splice: from file to pipe and from pipe to file': py`
    write('a', '0123456789')
    a, b = os.open('a', O_RDONLY), os.open('b', O_RDWR | O_CREAT)
    r, w = os.pipe()
    out(os.splice(a, w, 5), os.splice(a, w, 3, offset_src=1), os.lseek(a, 0, SEEK_CUR), os.splice(r, b, 6),
        os.splice(r, b, 9, offset_dst=20), os.lseek(b, 0, SEEK_CUR), read('b'))`,
  'splice: at the end of the file is nothing': py`
    write('a', 'hello')
    a = os.open('a', O_RDONLY)
    r, w = os.pipe()
    out(os.splice(a, w, 100), os.splice(a, w, 100), os.splice(a, w, 5, offset_src=1 << 40), os.read(r, 100))`,
  'splice: what is in the pipe is what the file was read as, and the pipe may fill': py`
    ${PAGES}
    data = pattern(1 << 20)
    write('a', data)
    a, b = os.open('a', O_RDONLY), os.open('b', O_RDWR | O_CREAT)
    r, w = os.pipe()
    moved = 0
    while (n := os.splice(a, w, 1 << 20)) > 0:
        while n > 0:
            got = os.splice(r, b, n)
            n, moved = n - got, moved + got
    out(moved, read('b') == data)`,
  'splice: over cached bytes of the target': py`
    write('b', 'abcdefghij')
    b = os.open('b', O_RDWR)
    r, w = os.pipe()
    os.write(w, b'XYZ')
    out(os.read(b, 4), os.splice(r, b, 3, offset_dst=2), os.pread(b, 20, 0))`,
  'splice: EBADF, EINVAL without a pipe or with O_APPEND, ESPIPE for a pipe with an offset': py`
    write('a', 'hello')
    write('b', 'world')
    a, b = os.open('a', O_RDONLY), os.open('b', O_RDWR)
    r, w = os.pipe()
    os.write(w, b'data')
    out(t(os.splice, a, b, 3), t(os.splice, r, os.open('b', O_RDWR | O_APPEND), 3), t(os.splice, r, a, 3),
        t(os.splice, os.open('a', O_WRONLY), w, 3), t(os.splice, os.open('a', O_PATH), w, 3))
    out(t(os.splice, a, w, 3, offset_dst=0), t(os.splice, r, b, 3, offset_src=0), t(os.splice, r, w, 3), read('b'))`,
  'tee and splice: copy a pipe into two files': py`
    a, b = os.open('a', O_RDWR | O_CREAT), os.open('b', O_RDWR | O_CREAT)
    r, w = os.pipe()
    r2, w2 = os.pipe()
    os.write(w, b'twice')
    out(call('tee', r, w2, 5, 0), os.splice(r, a, 5), os.splice(r2, b, 5), read('a'), read('b'))`,
};

export const rows: Table = { ...copying, ...splicing };
