/**
 * Rows about times: which of a file's a call moves and which not, and when a file was born.
 *
 * To see what moves, everything is first set back to 2001. Only ctime can't be set: it must differ from what it was.
 * A read counts for atime when it is the first after a change (relatime, the way of every mount here).
 */
import type { Table } from './table.ts';
import { MOVED, py } from './words.ts';

const bytes: Table = {
  'times: write moves mtime and ctime, and nothing of the directory': py`
    ${MOVED}
    os.mkdir('d')
    write('d/f', 'hello')
    fd = os.open('d/f', O_RDWR)
    out(moved(lambda: os.write(fd, b'x'), 'd/f', 'd'), moved(lambda: os.pwrite(fd, b'x', 100), 'd/f'),
        moved(lambda: os.writev(fd, [b'a', b'b']), 'd/f'))`,
  'times: write with O_APPEND, O_SYNC or O_DIRECT moves mtime and ctime': py`
    ${MOVED}
    write('f', 'x' * 4096)
    page = mmap.mmap(-1, 4096)
    for flags in (O_APPEND, os.O_SYNC, O_DIRECT):
        fd = os.open('f', O_RDWR | flags)
        out(moved(lambda: os.write(fd, page), 'f'))`,
  'times: write of nothing moves nothing': py`
    ${MOVED}
    write('f', 'hello')
    fd = os.open('f', O_RDWR)
    out(moved(lambda: os.write(fd, b''), 'f'), moved(lambda: os.pwrite(fd, b'', 100), 'f'))`,
  'times: write that is refused moves nothing': py`
    ${MOVED}
    import resource
    write('f', 'hello')
    fd, reader = os.open('f', O_RDWR), os.open('f', O_RDONLY)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5, 5))
    out(moved(lambda: out(t(os.pwrite, fd, b'x', 5), t(os.write, reader, b'x')), 'f'))`,
  'times: read moves atime': py`
    ${MOVED}
    write('f', 'hello')
    out(moved(lambda: reading('f'), 'f', '.'), moved(lambda: reading('f', lambda fd: os.pread(fd, 2, 1)), 'f'),
        moved(lambda: reading('f', lambda fd: os.readv(fd, [bytearray(2)])), 'f'))`,
  // tmpfs counts even that (shmem_file_read_iter ends in file_accessed).
  'times: read of nothing moves nothing': {
    script: py`
      ${MOVED}
      write('f', 'hello')
      out(moved(lambda: reading('f', lambda fd: os.read(fd, 0)), 'f'))`,
    like: 'ext4',
  },
  // mm/filemap.c, filemap_read: what lies behind the end is asked of nobody.
  'times: read at the end of a file moves atime': {
    script: py`
      ${MOVED}
      write('f')
      write('g', 'hello')
      out(moved(lambda: reading('f'), 'f'), moved(lambda: reading('g', lambda fd: os.pread(fd, 5, 4096)), 'g'))`,
    fuse: { out: [[''], ['']], why: 'Access times' },
  },
  'times: read with O_DIRECT, sendfile and splice move atime': py`
    ${MOVED}
    write('f', 'x' * 8192)
    def raw():
        fd = os.open('f', O_RDONLY | O_DIRECT)
        os.readv(fd, [mmap.mmap(-1, 4096)])
        os.close(fd)
    target = os.open('g', O_RDWR | O_CREAT)
    out(moved(raw, 'f'), moved(lambda: reading('f', lambda fd: os.sendfile(target, fd, 0, 100)), 'f'),
        moved(lambda: reading('f', lambda fd: os.splice(fd, os.pipe()[1], 100)), 'f'))`,
  'times: a second read moves nothing, one after a write or a chmod does': py`
    ${MOVED}
    write('f', 'hello')
    def again():
        before = times('f')['a']
        time.sleep(0.02)
        reading('f')
        return times('f')['a'] > before
    out(moved(lambda: reading('f'), 'f'), again(), again())
    time.sleep(0.02)
    with open('f', 'r+b') as file:
        file.write(b'J')
    out(again(), again())
    time.sleep(0.02)
    os.chmod('f', 0o600)
    out(again(), again())`,
  'times: an atime that lies ahead is not moved by read': py`
    ${MOVED}
    write('f', 'hello')
    ahead = time.time_ns() + 3600 * 10**9
    os.utime('f', ns=(ahead, OLD))
    reading('f')
    out(times('f')['a'] == ahead)`,
  'times: read with O_NOATIME moves nothing': py`
    ${MOVED}
    write('f', 'hello')
    def quietly():
        fd = os.open('f', O_RDONLY | O_NOATIME)
        out(os.read(fd, 9))
        os.close(fd)
    out(moved(quietly, 'f'))`,
  'times: readdir with O_NOATIME moves nothing': py`
    ${MOVED}
    os.mkdir('d')
    write('d/f')
    def quietly():
        fd = os.open('d', O_RDONLY | O_DIRECTORY | O_NOATIME)
        out(os.listdir(fd))
        os.close(fd)
    out(moved(quietly, 'd'))`,
  "open: O_NOATIME of another's file is EPERM, of one's own not": py`
    write('f', 'hello')
    write('own', 'hello')
    os.chown('own', *ALICE[:2])
    os.chmod('.', 0o777)
    out(as_user(ALICE, lambda: os.open('f', O_RDONLY | O_NOATIME)),
        as_user(ALICE, lambda: os.read(os.open('own', O_RDONLY | O_NOATIME), 9)))
    out(t(fcntl.fcntl, os.open('f', O_RDONLY), F_SETFL, O_NOATIME),
        as_user(ALICE, lambda: fcntl.fcntl(os.open('f', O_RDONLY), F_SETFL, O_NOATIME)))`,
  'times: fcntl takes O_NOATIME for reads that follow': py`
    ${MOVED}
    write('f', 'hello')
    def quietly(fd):
        fcntl.fcntl(fd, F_SETFL, O_NOATIME)
        os.read(fd, 9)
    out(moved(lambda: reading('f', quietly), 'f'))`,
  'times: copy_file_range moves mtime and ctime of the target': py`
    ${MOVED}
    write('a', 'hello')
    write('b', 'world')
    a, b = os.open('a', O_RDONLY), os.open('b', O_RDWR)
    out(moved(lambda: os.copy_file_range(a, b, 5), 'b'))`,
  'times: copy_file_range moves atime of the source': py`
    ${MOVED}
    write('a', 'hello')
    fd, FORCE_SYNC = os.open('a', O_RDONLY), 0x2000
    os.utime('a', ns=(OLD, OLD))
    os.copy_file_range(fd, os.open('b', O_RDWR | O_CREAT), 5)
    out(statx('a', flags=FORCE_SYNC)['atime'] > (OLD // 10**9, 0))`,
  // fs/fuse/file.c, __fuse_copy_file_range: forgets the attributes that it has of the target, and keeps the source's.
  'times: copy_file_range moves atime of the source, and who just looked sees it': {
    script: py`
      ${MOVED}
      write('a', 'hello')
      a, b = os.open('a', O_RDONLY), os.open('b', O_RDWR | O_CREAT)
      out(moved(lambda: os.copy_file_range(a, b, 5), 'a'))`,
    fuse: { out: [['']], why: 'Access times' },
  },
  'times: copy_file_range of nothing leaves the target': py`
    ${MOVED}
    write('a', 'hello')
    write('b', 'world')
    a, b = os.open('a', O_RDONLY), os.open('b', O_RDWR)
    out(moved(lambda: os.copy_file_range(a, b, 5, 5, 0), 'b'), moved(lambda: os.copy_file_range(a, b, 0, 0, 0), 'b'))`,
  'times: splice and sendfile into a file move its mtime and ctime': py`
    ${MOVED}
    write('a', 'hello')
    b = os.open('b', O_RDWR | O_CREAT)
    r, w = os.pipe()
    os.write(w, b'data')
    out(moved(lambda: os.splice(r, b, 4), 'b'), moved(lambda: os.sendfile(b, os.open('a', O_RDONLY), 0, 5), 'b'))`,
  // fs/fuse/file.c, fuse_file_mmap: touches atime, which fuse_iget has switched off (S_NOATIME).
  'times: mmap alone moves atime': {
    script: py`
      ${MOVED}
      write('f', 'x' * 4096)
      out(moved(lambda: reading('f', lambda fd: mmap.mmap(fd, 4096, MAP_SHARED, PROT_READ).close()), 'f'))`,
    fuse: { out: [['']], why: 'Access times' },
  },
  'times: reading a mapping moves atime': py`
    ${MOVED}
    write('f', 'x' * 4096)
    out(moved(lambda: reading('f', lambda fd: mmap.mmap(fd, 4096, MAP_SHARED, PROT_READ)[0]), 'f'))`,
  // tmpfs learns nothing of a write to a page that a read has mapped. Without that read, ours would count for atime.
  'times: writing to a mapping moves mtime and ctime, by msync at the latest': {
    script: py`
      ${MOVED}
      write('f', 'x' * 8192)
      memory = mmap.mmap(os.open('f', O_RDWR), 8192)
      out(memory[5000])
      def change():
          memory[5000] = 65
          memory.flush()
      out(moved(change, 'f'))`,
    like: 'ext4',
  },
  'times: truncate moves mtime and ctime when the size changes': py`
    ${MOVED}
    write('f', 'hello')
    out(moved(lambda: os.truncate('f', 3), 'f'), moved(lambda: os.truncate('f', 10), 'f'),
        moved(lambda: os.truncate('f', 0), 'f', '.'))`,
  // Not by the VFS, which asks for no mtime (vfs_truncate), but by shmem_truncate_range and ext4_truncate.
  'times: truncate moves mtime and ctime, also to the size that the file has': py`
    ${MOVED}
    write('f', 'hello')
    out(moved(lambda: os.truncate('f', 5), 'f'), moved(lambda: as_user(ROOT, lambda: os.truncate('f', 5)), 'f'))`,
  'times: truncate of an empty file to nothing': {
    script: py`
      ${MOVED}
      write('f')
      out(moved(lambda: os.truncate('f', 0), 'f'))`,
    like: 'ext4',
  },
  'times: ftruncate moves mtime and ctime, also to the size that it has': py`
    ${MOVED}
    write('f', 'hello')
    fd = os.open('f', O_RDWR)
    for size in (3, 3, 10, 0, 0):
        out(*moved(lambda: os.ftruncate(fd, size), 'f'))`,
  'times: O_TRUNC moves mtime and ctime, also of an empty file': py`
    ${MOVED}
    write('f', 'hello')
    empty = lambda: os.close(os.open('f', O_WRONLY | O_TRUNC))
    out(moved(empty, 'f', '.'), moved(empty, 'f'),
        moved(lambda: os.close(os.open('f', O_WRONLY | O_TRUNC | O_CREAT, 0o600)), 'f'))`,
  'times: fallocate that grows the file and PUNCH_HOLE move mtime and ctime': py`
    ${MOVED}
    write('f', 'x' * 20000)
    fd = os.open('f', O_RDWR)
    out(moved(lambda: fallocate(fd, 0, 0, 30000), 'f'),
        moved(lambda: fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 4096, 4096), 'f'))`,
  'times: fallocate with KEEP_SIZE': py`
    ${MOVED}
    write('f', 'x')
    fd = os.open('f', O_RDWR)
    out(moved(lambda: fallocate(fd, KEEP_SIZE, 4096, 8192), 'f'))`,
  'times: ZERO_RANGE moves mtime and ctime': {
    script: py`
      ${MOVED}
      write('f', 'x' * 20000)
      fd = os.open('f', O_RDWR)
      out(moved(lambda: t(fallocate, fd, ZERO_RANGE, 4096, 4096), 'f'))`,
    like: 'ext4',
  },
  'times: open, close, stat, access, lseek, fsync, locks and statvfs move nothing': py`
    ${MOVED}
    write('f', 'hello')
    def look():
        fd = os.open('f', O_RDWR | O_CREAT)
        os.lseek(fd, 0, SEEK_END)
        os.lseek(fd, 0, SEEK_DATA)
        os.fsync(fd)
        setlk(fd, F_WRLCK)
        fcntl.flock(fd, LOCK_EX)
        os.fstatvfs(fd)
        os.access('f', os.W_OK)
        os.stat('f')
        os.posix_fadvise(fd, 0, 0, 4)
        os.close(fd)
    out(moved(look, 'f', '.'))`,
  'times: what another process writes is seen': py`
    ${MOVED}
    write('f', 'hello')
    fd = os.open('f', O_RDONLY)
    out(moved(lambda: as_user(ROOT, lambda: os.write(os.open('f', O_WRONLY), b'x')), fd, 'f'))`,
};

const metadata: Table = {
  'times: chmod moves ctime, also to the mode that it has': py`
    ${MOVED}
    write('f')
    os.mkdir('d')
    out(moved(lambda: os.chmod('f', 0o600), 'f', '.'), moved(lambda: os.chmod('f', 0o600), 'f'),
        moved(lambda: os.chmod('d', 0o700), 'd'), moved(lambda: os.fchmod(os.open('f', O_RDONLY), 0o640), 'f'))`,
  'times: chown moves ctime, also to the owner that it has': py`
    ${MOVED}
    write('f')
    os.symlink('f', 's')
    out(moved(lambda: os.chown('f', 5, 6), 'f', '.'), moved(lambda: os.chown('f', 5, 6), 'f'),
        moved(lambda: os.lchown('s', 5, 6), 's', 'f'))`,
  'times: chown of neither moves ctime': py`
    ${MOVED}
    write('f')
    os.mkdir('d')
    out(moved(lambda: os.chown('f', -1, -1), 'f'), moved(lambda: os.chown('d', -1, -1), 'd'))`,
  'times: chmod and chown that are refused move nothing': py`
    ${MOVED}
    write('f')
    def refused():
        out(as_user(ALICE, lambda: os.chmod('f', 0o777)), as_user(ALICE, lambda: os.chown('f', 12345, -1)))
    out(moved(refused, 'f'))`,
  'times: setxattr and removexattr move ctime, getxattr and listxattr nothing': py`
    ${MOVED}
    write('f')
    out(moved(lambda: os.setxattr('f', 'user.a', b'1'), 'f', '.'), moved(lambda: os.setxattr('f', 'user.a', b'2'), 'f'),
        moved(lambda: (os.getxattr('f', 'user.a'), os.listxattr('f')), 'f'),
        moved(lambda: os.removexattr('f', 'user.a'), 'f'))`,
  'times: an xattr call that is refused moves nothing': py`
    ${MOVED}
    write('f')
    refused = lambda: out(t(os.setxattr, 'f', 'user.a', b'1', os.XATTR_REPLACE), t(os.removexattr, 'f', 'user.a'))
    out(moved(refused, 'f'))`,
  'times: link moves ctime of the file, mtime and ctime of the directory': py`
    ${MOVED}
    write('f')
    os.mkdir('d')
    out(moved(lambda: os.link('f', 'd/g'), 'f', 'd', '.'))`,
  'times: unlink moves ctime of what remains, mtime and ctime of the directory': py`
    ${MOVED}
    os.mkdir('d')
    write('f')
    os.link('f', 'd/g')
    out(moved(lambda: os.unlink('d/g'), 'f', 'd', '.'))`,
  'times: unlink moves ctime of the open file that has no name any more': py`
    ${MOVED}
    write('f')
    fd = os.open('f', O_RDONLY)
    out(moved(lambda: os.unlink('f'), fd))`,
  'times: unlink, rmdir and mkdir that are refused move nothing': py`
    ${MOVED}
    os.mkdir('d')
    write('d/f')
    def refused():
        out(t(os.rmdir, 'd'), t(os.mkdir, 'd'), t(os.unlink, 'd'), t(os.unlink, 'd/absent'))
        out(t(os.open, 'd/f', O_CREAT | O_EXCL))
    out(moved(refused, 'd', 'd/f', '.'))`,
  'times: creating a file, opening it again, moves mtime and ctime of the directory once': py`
    ${MOVED}
    os.mkdir('d')
    create = lambda: os.close(os.open('d/f', O_CREAT | O_WRONLY))
    out(moved(create, 'd', '.'), moved(create, 'd', 'd/f'))`,
  'times: mkdir, rmdir, symlink and mknod move mtime and ctime of the directory': py`
    ${MOVED}
    os.mkdir('d')
    out(moved(lambda: os.mkdir('d/d'), 'd'), moved(lambda: os.symlink('x', 'd/s'), 'd'),
        moved(lambda: os.mkfifo('d/p'), 'd'), moved(lambda: os.rmdir('d/d'), 'd'))`,
  'times: a socket that is bound moves mtime and ctime of the directory': py`
    ${MOVED}
    os.mkdir('d')
    out(moved(lambda: socket.socket(socket.AF_UNIX).bind('d/s'), 'd'))`,
  'times: O_TMPFILE moves nothing of the directory': py`
    ${MOVED}
    os.mkdir('d')
    out(moved(lambda: os.open('d', O_TMPFILE | O_RDWR), 'd'))`,
  'times: rename moves ctime of the file, mtime and ctime of both directories': py`
    ${MOVED}
    os.mkdir('a')
    os.mkdir('b')
    write('a/f')
    out(moved(lambda: os.rename('a/f', 'b/g'), ('a/f', 'b/g'), 'a', 'b', '.'))`,
  'times: rename within a directory, of a directory too': py`
    ${MOVED}
    write('f')
    os.mkdir('d')
    out(moved(lambda: os.rename('f', 'g'), ('f', 'g'), '.'), moved(lambda: os.rename('d', 'e'), ('d', 'e'), '.'))`,
  'times: rename over a file moves ctime of the link that the loser keeps': py`
    ${MOVED}
    write('f')
    write('g')
    os.link('g', 'kept')
    out(moved(lambda: os.rename('f', 'g'), ('f', 'g'), 'kept', '.'))`,
  'times: rename over another link of the same file moves nothing': py`
    ${MOVED}
    write('f')
    os.link('f', 'g')
    out(moved(lambda: os.rename('f', 'g'), 'f', '.'), ls())`,
  'times: rename that is refused moves nothing': py`
    ${MOVED}
    write('f')
    os.mkdir('d')
    out(moved(lambda: out(t(os.rename, 'f', 'd'), t(renameat2, 'f', 'd', RENAME_NOREPLACE)), 'f', 'd', '.'))`,
  'times: EXCHANGE moves ctime of both and mtime and ctime of the directories': py`
    ${MOVED}
    os.mkdir('a')
    os.mkdir('b')
    write('a/f')
    write('b/g')
    out(moved(lambda: renameat2('a/f', 'b/g', RENAME_EXCHANGE), ('a/f', 'b/g'), ('b/g', 'a/f'), 'a', 'b'))`,
  'times: readlink moves atime of the symlink, not of its target': py`
    ${MOVED}
    write('f', 'hello')
    os.symlink('f', 's')
    out(moved(lambda: os.readlink('s'), 's', 'f', '.'))`,
  'times: following a symlink moves its atime': py`
    ${MOVED}
    os.mkdir('d')
    os.symlink('d', 's')
    out(moved(lambda: os.stat('s'), 's', 'd'))`,
  'times: readlink a second time moves nothing': py`
    ${MOVED}
    os.symlink('f', 's')
    time.sleep(0.02)
    os.readlink('s')
    before = times('s')
    time.sleep(0.02)
    os.readlink('s')
    out(times('s') == before)`,
  'times: reading a directory moves its atime, once': py`
    ${MOVED}
    os.mkdir('d')
    write('d/f')
    out(moved(lambda: os.listdir('d'), 'd', 'd/f', '.'))
    before = times('d')
    time.sleep(0.02)
    os.listdir('d')
    out(times('d') == before)`,
  'times: reading a directory after it changed moves its atime again': py`
    ${MOVED}
    os.mkdir('d')
    time.sleep(0.02)
    os.listdir('d')
    before = times('d')['a']
    time.sleep(0.02)
    write('d/f')
    time.sleep(0.02)
    os.listdir('d')
    out(times('d')['a'] > before)`,
  'times: looking a name up moves nothing of the directory': py`
    ${MOVED}
    os.mkdir('d')
    write('d/f')
    out(moved(lambda: (os.stat('d/f'), t(os.stat, 'd/absent'), os.close(os.open('d/f', O_RDONLY))), 'd', 'd/f'))`,
  'times: executing a file moves its atime': py`
    ${MOVED}
    import shutil
    shutil.copy('/bin/true', 'program')
    out(moved(lambda: os.spawnv(os.P_WAIT, p('program'), ['program']), 'program'))`,
};

const births: Table = {
  'times: a new file, directory, symlink or node has one time for all four': py`
    ${MOVED}
    start = time.time_ns()
    os.close(os.open('f', O_CREAT | O_WRONLY))
    os.mkdir('d')
    os.symlink('f', 's')
    os.mkfifo('p')
    end = time.time_ns()
    for name in ('f', 'd', 's', 'p'):
        four = list(times(name).values())
        out(len(set(four)), start - 10**8 <= four[0] <= end + 10**8)`,
  'statx: has the birth time, with its bit': py`
    write('f')
    os.mkdir('d')
    out([statx(name)['mask'] & 0x800 for name in ('f', 'd')], statx('f')['btime'] != (0, 0))`,
  'statx: the birth time stays through write, chmod, chown, utimensat, link, rename and truncate': py`
    ${MOVED}
    write('f')
    born = times('f')['b']
    time.sleep(0.02)
    write('f', 'hello')
    os.chmod('f', 0o600)
    os.chown('f', 1, 1)
    os.utime('f', ns=(5, 5))
    os.link('f', 'g')
    os.rename('f', 'h')
    os.truncate('h', 1)
    os.setxattr('h', 'user.a', b'1')
    out(times('h')['b'] == born, times('g')['b'] == born)`,
  "statx: a file that takes another's name keeps its own birth time": py`
    ${MOVED}
    write('old')
    time.sleep(0.02)
    write('new')
    old, new = times('old')['b'], times('new')['b']
    os.rename('new', 'old')
    out(old < new, times('old')['b'] == new)
    os.unlink('old')
    time.sleep(0.02)
    write('old')
    out(times('old')['b'] > new)`,
  'statx: O_TMPFILE has a birth time, and keeps it when it gets a name': py`
    ${MOVED}
    fd = os.open('.', O_TMPFILE | O_RDWR)
    born = times(fd)['b']
    time.sleep(0.02)
    call('linkat', AT_FDCWD, f'/proc/self/fd/{fd}', AT_FDCWD, 'f', AT_SYMLINK_FOLLOW)
    out(born > OLD, times('f')['b'] == born)`,
};

export const rows: Table = { ...bytes, ...metadata, ...births };
