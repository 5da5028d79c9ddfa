/**
 * Rows about memory that is a file: mmap in its forms and msync, how it goes together with read, write and truncate,
 * and the calls that bring bytes to the disk or past the cache: fsync and its kin, advice, O_DIRECT.
 */
import type { Table } from './table.ts';
import { PAGES, py, SIGNAL } from './words.ts';

/** mapped(...): mmap(2) itself, whose address is of no interest; Python's own checks sizes first. */
const RAW = py`
  LONG.update(('mmap',))

  def mapped(length, prot, flags, fd, offset=0):
      call('mmap', 0, length, prot, flags, fd, offset)
`;

const mapping: Table = {
  'mmap: a shared mapping shows the file, and zeros after its end': py`
    ${PAGES}
    data = pattern(2 * PAGE + 100)
    write('f', data)
    fd = os.open('f', O_RDONLY)
    memory = mmap.mmap(fd, len(data), MAP_SHARED, PROT_READ)
    out(memory[:] == data)
    write('g', 'abc')
    short = mmap.mmap(os.open('g', O_RDWR), 3)
    out(ctypes.string_at(ctypes.addressof(ctypes.c_char.from_buffer(short)), PAGE) == b'abc' + bytes(PAGE - 3))`,
  'mmap: what is written to a shared mapping is read from the file at once': py`
    ${PAGES}
    write('f', pages('abc'))
    fd, other = os.open('f', O_RDWR), os.open('f', O_RDONLY)
    memory = mmap.mmap(fd, 3 * PAGE)
    memory[PAGE - 2:PAGE + 2] = b'1234'
    out(os.pread(other, 6, PAGE - 3), as_user(ROOT, lambda: os.pread(os.open('f', O_RDONLY), 6, PAGE - 3)),
        read('f') == b'a' * (PAGE - 2) + b'1234' + b'b' * (PAGE - 2) + pages('c'))`,
  'mmap: what is written to the file is in the mapping at once': py`
    ${PAGES}
    write('f', pages('ab'))
    fd = os.open('f', O_RDWR)
    memory = mmap.mmap(fd, 2 * PAGE)
    out(memory[PAGE - 1:PAGE + 1], os.pwrite(fd, b'XYZ', PAGE - 1), memory[PAGE - 2:PAGE + 3])
    as_user(ROOT, lambda: os.pwrite(os.open('f', O_WRONLY), b'other', 10))
    out(memory[9:16])`,
  'mmap: writes of both kinds by turns, as a model has it': py`
    ${PAGES}
    size = 20 * PAGE
    write('f', bytes(size))
    fd, model = os.open('f', O_RDWR), bytearray(size)
    memory, good = mmap.mmap(fd, size), 0
    for i in range(150):
        at, length = i * 7919 % (size - 5000), i * 104729 % 5000 + 1
        piece = pattern(length, i)
        model[at:at + length] = piece
        if i % 2:
            memory[at:at + length] = piece
        else:
            os.pwrite(fd, piece, at)
        there = i * 31337 % (size - 1000)
        good += os.pread(fd, 1000, there) == model[there:there + 1000] == memory[there:there + 1000]
    memory.flush()
    out(good, memory[:] == model, read('f') == model)`,
  'mmap: a private mapping is written for itself alone': py`
    ${PAGES}
    write('f', pages('ab'))
    fd = os.open('f', O_RDONLY)
    memory = mmap.mmap(fd, 2 * PAGE, mmap.MAP_PRIVATE, PROT_READ | PROT_WRITE)
    memory[0:3] = b'XYZ'
    out(memory[:5], read('f') == pages('ab'))
    as_user(ROOT, lambda: os.pwrite(os.open('f', O_WRONLY), b'new', 0))
    out(memory[:5], os.pread(fd, 5, 0))`,
  'mmap: a private mapping shows what others write to pages it did not touch': py`
    ${PAGES}
    write('f', pages('ab'))
    fd = os.open('f', O_RDWR)
    memory = mmap.mmap(fd, 2 * PAGE, mmap.MAP_PRIVATE, PROT_READ | PROT_WRITE)
    memory[0] = 65
    os.pwrite(fd, b'new', PAGE)
    out(memory[PAGE:PAGE + 4], memory[:2])`,
  'mmap: two processes share the bytes': py`
    ${PAGES}
    write('f', pages('ab'))
    memory = mmap.mmap(os.open('f', O_RDWR), 2 * PAGE)

    def other():
        theirs = mmap.mmap(os.open('f', O_RDWR), 2 * PAGE)
        seen = theirs[:3]
        theirs[PAGE:PAGE + 3] = b'yes'
        return seen

    memory[:3] = b'mee'
    out(as_user(ROOT, other), memory[PAGE:PAGE + 4], read('f')[PAGE:PAGE + 4])`,
  'mmap: is shared over fork': py`
    ${PAGES}
    write('f', pages('a'))
    memory = mmap.mmap(os.open('f', O_RDWR), PAGE)

    def child():
        memory[1:4] = b'CCC'

    out(as_user(ROOT, child), memory[:5], read('f')[:5])`,
  'mmap: two mappings of one file, at different offsets': py`
    ${PAGES}
    write('f', pages('abcd'))
    fd = os.open('f', O_RDWR)
    whole, part = mmap.mmap(fd, 4 * PAGE), mmap.mmap(fd, PAGE, offset=2 * PAGE)
    part[0:3] = b'XYZ'
    whole[3 * PAGE - 1] = 33
    out(whole[2 * PAGE:2 * PAGE + 4], part[PAGE - 2:])`,
  'mmap: at 1 TiB': py`
    ${PAGES}
    fd = os.open('f', O_RDWR | O_CREAT)
    os.ftruncate(fd, (1 << 40) + PAGE)
    memory = mmap.mmap(fd, PAGE, offset=1 << 40)
    out(memory[:3])
    memory[5:8] = b'far'
    out(os.pread(fd, 10, (1 << 40) + 3), t(memory.flush), layout(fd) == [[1 << 40, (1 << 40) + PAGE]])`,
  'mmap: outlives its descriptor': py`
    ${PAGES}
    write('f', pages('a'))
    fd = os.open('f', O_RDWR)
    memory = mmap.mmap(fd, PAGE)
    os.close(fd)
    memory[:2] = b'AB'
    memory.flush()
    memory.close()
    out(read('f')[:3])`,
  'mmap: what was written is there when it is unmapped without msync': py`
    ${PAGES}
    write('f', pages('ab'))
    fd = os.open('f', O_RDWR)
    memory = mmap.mmap(fd, 2 * PAGE)
    memory[PAGE:PAGE + 4] = b'kept'
    memory.close()
    out(os.pread(fd, 5, PAGE))
    os.close(fd)
    out(read('f')[PAGE:PAGE + 5])`,
  'mmap: writing to a hole takes space and makes data': py`
    ${PAGES}
    fd = os.open('f', O_RDWR | O_CREAT)
    os.ftruncate(fd, 4 * PAGE)
    memory = mmap.mmap(fd, 4 * PAGE)
    memory[2 * PAGE + 5] = 65
    memory.flush()
    os.fsync(fd)
    out(layout(fd), os.fstat(fd).st_blocks)`,
  'mmap: MAP_POPULATE and MAP_NORESERVE': py`
    ${PAGES}
    write('f', pages('abc'))
    fd = os.open('f', O_RDWR)
    memory = mmap.mmap(fd, 3 * PAGE, MAP_SHARED | mmap.MAP_POPULATE | 0x4000)
    memory[PAGE] = 65
    out(memory[PAGE - 1:PAGE + 2], os.pread(fd, 3, PAGE - 1))`,
  'mmap: a file that is executed from the mount': py`
    import shutil, subprocess
    shutil.copy('/bin/echo', 'program')
    out(subprocess.run([p('program'), 'hello'], capture_output=True).stdout)`,
};

const ends: Table = {
  'mmap: past the last page of the file is SIGBUS, within it not': py`
    ${PAGES}
    ${SIGNAL}
    write('f', b'a' * (PAGE + 10))
    fd = os.open('f', O_RDWR)
    os.ftruncate(fd, 4 * PAGE)
    memory = mmap.mmap(fd, 4 * PAGE)
    os.ftruncate(fd, PAGE + 10)
    out(memory[PAGE:PAGE + 20] == b'a' * 10 + bytes(10), memory[2 * PAGE - 1])
    out(signal_of(lambda: memory[2 * PAGE]), signal_of(lambda: memory[4 * PAGE - 1]),
        signal_of(lambda: memory.__setitem__(3 * PAGE, 1)))`,
  'mmap: what truncate cuts off is SIGBUS, and zeros when the file grows again': py`
    ${PAGES}
    ${SIGNAL}
    write('f', pages('abc'))
    fd = os.open('f', O_RDWR)
    memory = mmap.mmap(fd, 3 * PAGE)
    out(memory[2 * PAGE:2 * PAGE + 2], t(os.ftruncate, fd, PAGE), signal_of(lambda: memory[PAGE]))
    os.ftruncate(fd, 3 * PAGE)
    out(memory[PAGE - 1:PAGE + 2], memory[PAGE:] == bytes(2 * PAGE))`,
  'mmap: truncate within a page leaves zeros in the mapping': py`
    ${PAGES}
    write('f', pages('ab'))
    fd = os.open('f', O_RDWR)
    memory = mmap.mmap(fd, 2 * PAGE)
    memory[0] = 65
    os.ftruncate(fd, 100)
    out(memory[98:PAGE] == b'aa' + bytes(PAGE - 100), memory[0])`,
  'mmap: another process truncates, and the mapping follows': py`
    ${PAGES}
    ${SIGNAL}
    write('f', pages('ab'))
    memory = mmap.mmap(os.open('f', O_RDWR), 2 * PAGE)
    out(memory[PAGE], as_user(ROOT, lambda: os.truncate('f', 10)), signal_of(lambda: memory[PAGE]), memory[8:12])
    as_user(ROOT, lambda: write('f', 'x' * 2 * PAGE))
    out(memory[PAGE:PAGE + 2])`,
  'mmap: of a file that a write lets grow': py`
    ${PAGES}
    fd = os.open('f', O_RDWR | O_CREAT)
    os.ftruncate(fd, 2 * PAGE)
    memory = mmap.mmap(fd, 2 * PAGE)
    os.ftruncate(fd, 0)
    os.pwrite(fd, b'grown', PAGE + 7)
    out(memory[PAGE + 6:PAGE + 13], memory[:3])`,
  'mmap: PUNCH_HOLE empties the mapping': py`
    ${PAGES}
    write('f', pages('abc'))
    fd = os.open('f', O_RDWR)
    memory = mmap.mmap(fd, 3 * PAGE)
    memory[PAGE:PAGE + 3] = b'new'
    fallocate(fd, PUNCH_HOLE | KEEP_SIZE, PAGE, PAGE + 10)
    out(memory[PAGE - 1:PAGE + 3], memory[2 * PAGE:2 * PAGE + 11])
    memory[PAGE + 1] = 65
    memory.flush()
    out(read('f')[PAGE:PAGE + 3])`,
  'mmap: fallocate and copy_file_range under a mapping': py`
    ${PAGES}
    write('f', pages('ab') + b'c')
    write('g', pages('XYZ'))
    fd = os.open('f', O_RDWR)
    os.ftruncate(fd, 4 * PAGE)
    memory = mmap.mmap(fd, 4 * PAGE)
    memory[0] = 48
    os.ftruncate(fd, 2 * PAGE + 1)
    out(t(fallocate, fd, 0, 0, 4 * PAGE), memory[2 * PAGE:2 * PAGE + 3], memory[0], memory[3 * PAGE])
    out(copy_range(os.open('g', O_RDONLY), 0, fd, PAGE, 3 * PAGE), memory[PAGE - 1:PAGE + 1], memory[2 * PAGE],
        memory[4 * PAGE - 1])`,
  'mmap: keeps to its file over rename, and over a file that takes the name': py`
    ${PAGES}
    write('f', pages('a'))
    write('g', pages('g'))
    memory = mmap.mmap(os.open('f', O_RDWR), PAGE)
    os.rename('f', 'moved')
    memory[0:2] = b'11'
    os.rename('g', 'moved')
    memory[2:4] = b'22'
    out(memory[:5], read('moved')[:5], t(memory.flush))`,
};

const refusals: Table = {
  'mmap: a shared mapping for writing needs a descriptor for both, any needs reading: EACCES': py`
    ${PAGES}
    write('f', pages('a'))
    r, w = os.open('f', O_RDONLY), os.open('f', O_WRONLY)
    both = PROT_READ | PROT_WRITE
    for fd in (r, w):
        for flags in (MAP_SHARED, MAP_PRIVATE):
            out([t(lambda: mmap.mmap(fd, PAGE, flags, prot).close()) for prot in (PROT_READ, both)])`,
  'mprotect: a mapping of a descriptor for reading does not become writable: EACCES': py`
    ${PAGES}
    write('f', pages('a'))
    fd = os.open('f', O_RDONLY)
    libc.mmap.restype = ctypes.c_void_p
    address = libc.mmap(None, ctypes.c_size_t(PAGE), PROT_READ, MAP_SHARED, fd, ctypes.c_long(0))
    out(t(call, 'mprotect', address, PAGE, PROT_READ | PROT_WRITE), t(call, 'mprotect', address, PAGE, 0))`,
  'mmap: O_PATH or a closed descriptor is EBADF, a directory and a fifo ENODEV': py`
    ${RAW}
    write('f', 'x')
    os.mkfifo('fifo')
    out(t(mapped, 4096, PROT_READ, MAP_SHARED, os.open('f', O_PATH)), t(mapped, 4096, PROT_READ, MAP_SHARED, 999))
    out(t(mapped, 4096, PROT_READ, MAP_SHARED, os.open('.', O_RDONLY)),
        t(mapped, 4096, PROT_READ, MAP_SHARED, os.open('fifo', O_RDWR)))`,
  'mmap: no length, an offset within a page, and neither shared nor private are EINVAL': py`
    ${RAW}
    write('f', 'x' * 8192)
    fd = os.open('f', O_RDWR)
    out(t(mapped, 0, PROT_READ, MAP_SHARED, fd), t(mapped, 4096, PROT_READ, MAP_SHARED, fd, 100),
        t(mapped, 4096, PROT_READ, 0, fd))`,
  'mmap: a length that no memory has is ENOMEM, an end over the largest offset EOVERFLOW': py`
    ${RAW}
    write('f', 'x')
    fd = os.open('f', O_RDWR)
    out(t(mapped, 1 << 60, PROT_READ, MAP_SHARED, fd), t(mapped, 8192, PROT_READ, MAP_SHARED, fd, -4096))`,
  'mmap: behind the end of the file is allowed': py`
    ${RAW}
    write('f')
    out(t(mapped, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, os.open('f', O_RDWR)), os.stat('f').st_size)`,
  'mmap: MAP_SYNC without memory that lasts is EOPNOTSUPP, and so is an unknown flag': py`
    ${RAW}
    write('f', 'x')
    fd, VALIDATE, MAP_SYNC = os.open('f', O_RDWR), 3, 0x80000
    out(t(mapped, 4096, PROT_READ, VALIDATE | MAP_SYNC, fd), t(mapped, 4096, PROT_READ, VALIDATE | 0x2000000, fd),
        t(mapped, 4096, PROT_READ, VALIDATE, fd))`,
  'mmap: MAP_FIXED_NOREPLACE over a mapping is EEXIST; msync MS_INVALIDATE of a locked one EBUSY': py`
    ${PAGES}
    LONG.update(('mmap',))
    write('f', pages('a'))
    fd = os.open('f', O_RDWR)
    memory = mmap.mmap(fd, PAGE)
    address, NOREPLACE, INVALIDATE = ctypes.addressof(ctypes.c_char.from_buffer(memory)), 0x100000, 2
    out(t(call, 'mmap', address, PAGE, PROT_READ, MAP_SHARED | NOREPLACE, fd, 0))
    out(t(call, 'mlock', address, PAGE), t(call, 'msync', address, PAGE, INVALIDATE), t(call, 'munlock', address, PAGE),
        t(call, 'msync', address, PAGE, INVALIDATE))`,
  'msync: MS_SYNC, MS_ASYNC and MS_INVALIDATE': py`
    ${PAGES}
    write('f', pages('ab'))
    fd = os.open('f', O_RDWR)
    memory = mmap.mmap(fd, 2 * PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    ASYNC, INVALIDATE, SYNC = 1, 2, 4
    for i, how in enumerate((ASYNC, SYNC, SYNC | INVALIDATE, INVALIDATE)):
        memory[PAGE + i] = 65 + i
        out(t(call, 'msync', address, 2 * PAGE, how), os.pread(fd, 5, PAGE))`,
  'msync: EINVAL for its flags and its address, ENOMEM where nothing is mapped': py`
    ${PAGES}
    write('f', pages('ab'))
    memory = mmap.mmap(os.open('f', O_RDWR), 2 * PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    ASYNC, INVALIDATE, SYNC = 1, 2, 4
    out(t(call, 'msync', address, PAGE, ASYNC | SYNC), t(call, 'msync', address, PAGE, 64),
        t(call, 'msync', address + 1, PAGE, SYNC), t(call, 'msync', 4096, PAGE, SYNC))`,
};

const syncing: Table = {
  'fsync and fdatasync: of files open for reading or writing, and of a directory': py`
    write('f', 'x')
    for fd in (os.open('f', O_RDONLY), os.open('f', O_WRONLY), os.open('.', O_RDONLY)):
        out(t(os.fsync, fd), t(os.fdatasync, fd))
    out(t(os.sync))`,
  'fsync: after writes, to a mapping too, everything is there': py`
    ${PAGES}
    fd = os.open('f', O_RDWR | O_CREAT)
    os.pwrite(fd, pages('ab'), 0)
    memory = mmap.mmap(fd, 2 * PAGE)
    memory[PAGE:PAGE + 2] = b'BB'
    out(t(os.fsync, fd), os.pread(os.open('f', O_RDONLY), 3, PAGE), t(os.fdatasync, fd))`,
  'fsync: of a file that was unlinked': py`
    fd = os.open('f', O_RDWR | O_CREAT)
    os.unlink('f')
    out(os.write(fd, b'x'), t(os.fsync, fd), t(os.fdatasync, fd), os.pread(fd, 1, 0))`,
  'fsync and fdatasync: a fifo, a pipe and a socket are EINVAL, O_PATH and closed ones EBADF': py`
    os.mkfifo('fifo')
    write('f', 'x')
    for fd in (os.open('fifo', O_RDWR), os.pipe()[1], socket.socket(socket.AF_UNIX).detach(), os.open('f', O_PATH),
        999):
        out(t(os.fsync, fd), t(os.fdatasync, fd))`,
  'syncfs: by any descriptor, EBADF without one': py`
    write('f', 'x')
    out(t(call, 'syncfs', os.open('f', O_RDONLY)), t(call, 'syncfs', os.open('.', O_RDONLY)), t(call, 'syncfs', 999))`,
  'sync_file_range: with all its flags and none': py`
    fd = os.open('f', O_RDWR | O_CREAT)
    os.write(fd, b'x' * 10000)
    BEFORE, WRITE, AFTER = 1, 2, 4
    for at, length, flags in ((0, 0, 0), (0, 4096, WRITE), (100, 0, BEFORE | WRITE | AFTER), (1 << 40, 10, WRITE)):
        out(t(call, 'sync_file_range', fd, at, length, flags))`,
  'sync_file_range: EBADF, EINVAL and ESPIPE': py`
    fd = os.open('f', O_RDWR | O_CREAT)
    out(t(call, 'sync_file_range', 999, 0, 0, 2), t(call, 'sync_file_range', fd, 0, 0, 8),
        t(call, 'sync_file_range', fd, -1, 0, 2), t(call, 'sync_file_range', fd, 0, -1, 2))
    out(t(call, 'sync_file_range', os.pipe()[1], 0, 0, 2), t(call, 'sync_file_range', os.open('f', O_PATH), 0, 0, 2))`,
  'posix_fadvise: every advice, and the bytes stay': py`
    ${PAGES}
    write('f', pages('ab'))
    fd = os.open('f', O_RDWR)
    memory = mmap.mmap(fd, 2 * PAGE)
    memory[1] = 65
    for advice in range(6):
        out([t(os.posix_fadvise, fd, at, length, advice) for at, length in ((0, 0), (PAGE, PAGE), (1 << 40, 5))])
    out(os.pread(fd, 3, 0), read('f')[PAGE:] == pages('b'))`,
  'posix_fadvise: EBADF, EINVAL and ESPIPE': py`
    fd = os.open('f', O_RDWR | O_CREAT)
    out(t(os.posix_fadvise, 999, 0, 0, 0), t(os.posix_fadvise, os.open('f', O_PATH), 0, 0, 0),
        t(os.posix_fadvise, fd, 0, 0, 99), t(os.posix_fadvise, fd, 0, -1, 0),
        t(os.posix_fadvise, os.pipe()[0], 0, 0, 0))`,
  'readahead: EBADF without reading, EINVAL for a directory and a fifo': py`
    write('f', 'x' * 10000)
    os.mkfifo('fifo')
    out(t(call, 'readahead', os.open('f', O_RDONLY), 0, 10000), t(call, 'readahead', os.open('f', O_WRONLY), 0, 10),
        t(call, 'readahead', os.open('.', O_RDONLY), 0, 10), t(call, 'readahead', os.open('fifo', O_RDWR), 0, 10))`,
  'madvise: MADV_DONTNEED reads the file again, MADV_REMOVE punches a hole': py`
    ${PAGES}
    write('f', pages('abc'))
    fd = os.open('f', O_RDWR)
    memory = mmap.mmap(fd, 3 * PAGE)
    memory[0] = 65
    out(t(memory.madvise, mmap.MADV_DONTNEED), memory[:2], t(memory.madvise, mmap.MADV_WILLNEED),
        t(memory.madvise, mmap.MADV_REMOVE, PAGE, PAGE),
        read('f') == b'A' + b'a' * (PAGE - 1) + bytes(PAGE) + pages('c'), layout(fd))`,
};

/** buffer(data): page-aligned memory that holds it, as O_DIRECT wants. */
const ALIGNED = py`
  def buffer(data):
      memory = mmap.mmap(-1, len(data))
      memory[:] = data
      return memory
`;

const direct: Table = {
  'O_DIRECT: writes and reads whole pages': py`
    ${PAGES}
    ${ALIGNED}
    data = pattern(8 * PAGE)
    fd, got = os.open('f', O_RDWR | O_CREAT | O_DIRECT), buffer(bytes(8 * PAGE))
    out(os.pwrite(fd, buffer(data), 0), os.preadv(fd, [got], 0), got[:] == data, read('f') == data)
    out(os.pwrite(fd, buffer(pages('x')), 3 * PAGE), os.preadv(fd, [memoryview(got)[:2 * PAGE]], 2 * PAGE),
        got[:2 * PAGE] == data[2 * PAGE:3 * PAGE] + pages('x'))`,
  'O_DIRECT: a read at the end is short, past it empty': py`
    ${PAGES}
    ${ALIGNED}
    write('f', 'x' * (PAGE + 100))
    fd, got = os.open('f', O_RDONLY | O_DIRECT), buffer(pages('???'))
    out(os.preadv(fd, [got], 0), os.preadv(fd, [got], PAGE), got[98:100], os.preadv(fd, [got], 2 * PAGE),
        os.preadv(fd, [got], 1 << 40))`,
  'O_DIRECT: a write past the end leaves a hole of zeros': py`
    ${PAGES}
    ${ALIGNED}
    fd, got = os.open('f', O_RDWR | O_CREAT | O_DIRECT), buffer(pages('????'))
    out(os.pwrite(fd, buffer(pages('x')), 3 * PAGE), os.fstat(fd).st_size, os.preadv(fd, [got], 0),
        got[:] == bytes(3 * PAGE) + pages('x'), layout(fd))`,
  'O_DIRECT: reads what was written without it, and the other way round': py`
    ${PAGES}
    ${ALIGNED}
    plain_, raw, got = os.open('f', O_RDWR | O_CREAT), os.open('f', O_RDWR | O_DIRECT), buffer(pages('??'))
    out(os.write(plain_, pages('ab')), os.preadv(raw, [got], 0), got[:] == pages('ab'))
    out(os.pwrite(plain_, b'123', PAGE - 1), os.preadv(raw, [got], 0), got[PAGE - 2:PAGE + 3])
    out(os.pread(plain_, 3, PAGE), os.pwrite(raw, buffer(pages('X')), PAGE), os.pread(plain_, 3, PAGE - 1))`,
  'O_DIRECT: and a mapping see each other': py`
    ${PAGES}
    ${ALIGNED}
    write('f', pages('ab'))
    memory, raw, got = mmap.mmap(os.open('f', O_RDWR), 2 * PAGE), os.open('f', O_RDWR | O_DIRECT), buffer(pages('??'))
    memory[PAGE:PAGE + 3] = b'map'
    out(os.preadv(raw, [got], 0), got[PAGE - 1:PAGE + 4], os.pwrite(raw, buffer(pages('X')), 0),
        memory[PAGE - 1:PAGE + 4])`,
  'O_DIRECT: with O_APPEND': py`
    ${PAGES}
    ${ALIGNED}
    write('f', pages('a'))
    fd = os.open('f', O_RDWR | O_DIRECT | O_APPEND)
    out(os.write(fd, buffer(pages('b'))), os.pwrite(fd, buffer(pages('c')), 0), read('f') == pages('abc'))`,
  'O_DIRECT: 3 MiB at once, and many small pieces': py`
    ${PAGES}
    ${ALIGNED}
    data = pattern(3 << 20)
    fd, got = os.open('f', O_RDWR | O_CREAT | O_DIRECT), buffer(bytes(3 << 20))
    out(os.pwrite(fd, buffer(data), 0), os.preadv(fd, [got], 0), got[:] == data)
    for i in range(30):
        os.pwrite(fd, buffer(pages('p')), (i * 37 % 700) * PAGE)
        data = data[:(at := (i * 37 % 700) * PAGE)] + pages('p') + data[at + PAGE:]
    out(read('f') == data)`,
  'O_DIRECT: F_SETFL turns it on and off': py`
    ${PAGES}
    ${ALIGNED}
    write('f', pages('ab'))
    fd, got = os.open('f', O_RDWR), buffer(pages('?'))
    out(t(fcntl.fcntl, fd, F_SETFL, O_DIRECT), fcntl.fcntl(fd, F_GETFL) & O_DIRECT != 0, os.preadv(fd, [got], PAGE),
        got[:3], t(fcntl.fcntl, fd, F_SETFL, 0), os.pread(fd, 3, 5))`,
  'O_DIRECT: without alignment, as tmpfs takes it': {
    script: py`
      write('f', '0123456789')
      fd = os.open('f', O_RDWR | O_DIRECT)
      out(t(os.pread, fd, 3, 2), t(os.pwrite, fd, b'abc', 8), read('f'), t(os.pread, fd, 100, 5))`,
    like: 'tmpfs',
  },
  'O_DIRECT: readv and writev of several pages': py`
    ${PAGES}
    ${ALIGNED}
    fd, a, b = os.open('f', O_RDWR | O_CREAT | O_DIRECT), buffer(pages('??')), buffer(pages('?'))
    out(os.writev(fd, [buffer(pages('x')), buffer(pages('yz'))]), os.lseek(fd, 0, SEEK_SET), os.readv(fd, [a, b]),
        a[:] == pages('xy'), b[:] == pages('z'))`,
};

export const rows: Table = { ...mapping, ...ends, ...refusals, ...syncing, ...direct };
