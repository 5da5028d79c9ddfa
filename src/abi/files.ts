/**
 * The system calls on files that a filesystem makes to serve another one's: relative to a directory's descriptor, by file
 * handle, and with addresses for all that is larger than a number. None throws: each returns what the call did, or
 * its errno negated, for most errors are an answer that somebody waits for. Nothing is allocated.
 *
 * A `path` or `name` is the address of its bytes, which end with a NUL.
 */
import { AT_EMPTY_PATH, O_CLOEXEC } from './posix.ts';
import { define, negated, SYS } from './syscall.ts';

const libc = {
  openat: define('openat', 'int', ['int', 'uintptr_t', 'int', 'uint']),
  openat2: define('syscall', 'int64', ['int64', 'int', 'uintptr_t', 'uintptr_t', 'size_t']),
  name_to_handle_at: define('name_to_handle_at', 'int', ['int', 'uintptr_t', 'uintptr_t', 'uintptr_t', 'int']),
  open_by_handle_at: define('open_by_handle_at', 'int', ['int', 'uintptr_t', 'int']),
  statx: define('statx', 'int', ['int', 'uintptr_t', 'int', 'uint', 'uintptr_t']),
  fstatfs: define('fstatfs', 'int', ['int', 'uintptr_t']),
  getdents64: define('syscall', 'int64', ['int64', 'int', 'uintptr_t', 'size_t']),
  faccessat2: define('syscall', 'int64', ['int64', 'int', 'uintptr_t', 'int', 'int']),
  readlinkat: define('readlinkat', 'int64', ['int', 'uintptr_t', 'void *', 'size_t']),
  mkdirat: define('mkdirat', 'int', ['int', 'uintptr_t', 'uint']),
  mknodat: define('mknodat', 'int', ['int', 'uintptr_t', 'uint', 'uint64']),
  symlinkat: define('symlinkat', 'int', ['uintptr_t', 'int', 'uintptr_t']),
  linkat: define('linkat', 'int', ['int', 'uintptr_t', 'int', 'uintptr_t', 'int']),
  unlinkat: define('unlinkat', 'int', ['int', 'uintptr_t', 'int']),
  renameat2: define('renameat2', 'int', ['int', 'uintptr_t', 'int', 'uintptr_t', 'uint']),
  chmod: define('chmod', 'int', ['uintptr_t', 'uint']),
  fchownat: define('fchownat', 'int', ['int', 'uintptr_t', 'uint', 'uint', 'int']),
  utimensat: define('utimensat', 'int', ['int', 'uintptr_t', 'uintptr_t', 'int']),
  truncate: define('truncate', 'int', ['uintptr_t', 'int64']),
  ftruncate: define('ftruncate', 'int', ['int', 'int64']),
  setxattr: define('setxattr', 'int', ['uintptr_t', 'uintptr_t', 'void *', 'size_t', 'int']),
  getxattr: define('getxattr', 'int64', ['uintptr_t', 'uintptr_t', 'void *', 'size_t']),
  listxattr: define('listxattr', 'int64', ['uintptr_t', 'void *', 'size_t']),
  removexattr: define('removexattr', 'int', ['uintptr_t', 'uintptr_t']),
  pread: define('pread', 'int64', ['int', 'void *', 'size_t', 'int64']),
  pwrite: define('pwrite', 'int64', ['int', 'void *', 'size_t', 'int64']),
  fallocate: define('fallocate', 'int', ['int', 'int', 'int64', 'int64']),
  lseek: define('lseek', 'int64', ['int', 'int64', 'int']),
  copy_file_range: define('copy_file_range', 'int64', ['int', 'uintptr_t', 'int', 'uintptr_t', 'size_t', 'uint']),
  fsync: define('fsync', 'int', ['int']),
  fdatasync: define('fdatasync', 'int', ['int']),
  syncfs: define('syncfs', 'int', ['int']),
  flock: define('flock', 'int', ['int', 'int']),
  fcntl: define('fcntl', 'int', ['int', 'int', 'uintptr_t']),
  ioctl: define('ioctl', 'int', ['int', 'uint64', 'uintptr_t']),
  dup3: define('dup3', 'int', ['int', 'int', 'int']),
  posix_fadvise: define('posix_fadvise', 'int', ['int', 'int64', 'int64', 'int']),
  close: define('close', 'int', ['int']),
};

/** openat(2): a descriptor. */
export const openat = (dirfd: number, path: number, flags: number, mode: number): number =>
  negated(libc.openat(dirfd, path, flags, mode));
/** openat2(2), with an open_how at an address: a descriptor. ENOSYS before Linux 5.6. */
export const openat2 = (dirfd: number, path: number, how: number): number =>
  negated(libc.openat2(SYS.openat2, dirfd, path, how, OPEN_HOW));
/** Bytes of struct open_how: flags, mode and resolve. */
export const OPEN_HOW = 24;
/** close(2). */
export const closeQuietly = (fd: number): number => negated(libc.close(fd));

/**
 * name_to_handle_at(2): into a file_handle whose `handle_bytes` says how much room it has, and the mount's id (an int).
 * EOVERFLOW where there is too little, and `handle_bytes` then says how much is needed; EOPNOTSUPP.
 */
export const nameToHandleAt = (dirfd: number, path: number, handle: number, mountId: number, flags: number): number =>
  negated(libc.name_to_handle_at(dirfd, path, handle, mountId, flags));
/** open_by_handle_at(2); `mount` is a descriptor of anything on the filesystem, not of O_PATH. ESTALE for a file that is gone; EPERM without CAP_DAC_READ_SEARCH. */
export const openByHandleAt = (mount: number, handle: number, flags: number): number =>
  negated(libc.open_by_handle_at(mount, handle, flags));

/** statx(2), into 256 bytes. */
export const statx = (dirfd: number, path: number, flags: number, mask: number, buffer: number): number =>
  negated(libc.statx(dirfd, path, flags, mask, buffer));
/** fstatfs(2), into 120 bytes. Takes descriptors of O_PATH. */
export const fstatfs = (fd: number, buffer: number): number => negated(libc.fstatfs(fd, buffer));
/** getdents64(2): bytes of linux_dirent64 structs, 0 at the end. */
export const getdents64 = (fd: number, buffer: number, size: number): number =>
  negated(libc.getdents64(SYS.getdents64, fd, buffer, size));
/** faccessat2(2), as the kernel has it: libc's would ask for the process's ids in place of the thread's. ENOSYS before Linux 5.8. */
export const faccessat2 = (dirfd: number, path: number, mask: number, flags: number): number =>
  negated(libc.faccessat2(SYS.faccessat2, dirfd, path, mask, flags));

/** readlinkat(2): the number of bytes. With the empty path, of a descriptor of O_PATH. */
export const readlinkat = (dirfd: number, path: number, into: Uint8Array): number =>
  negated(libc.readlinkat(dirfd, path, into, into.length));
export const mkdirat = (dirfd: number, name: number, mode: number): number => negated(libc.mkdirat(dirfd, name, mode));
/** mknodat(2); `rdev` of 32 bits, as FUSE has it. */
export const mknodat = (dirfd: number, name: number, mode: number, rdev: number): number =>
  negated(libc.mknodat(dirfd, name, mode, rdev));
export const symlinkat = (target: number, dirfd: number, name: number): number =>
  negated(libc.symlinkat(target, dirfd, name));
export const linkat = (dirfd: number, path: number, newDirfd: number, name: number, flags: number): number =>
  negated(libc.linkat(dirfd, path, newDirfd, name, flags));
export const unlinkat = (dirfd: number, name: number, flags: number): number =>
  negated(libc.unlinkat(dirfd, name, flags));
export const renameat2 = (dirfd: number, name: number, newDirfd: number, newName: number, flags: number): number =>
  negated(libc.renameat2(dirfd, name, newDirfd, newName, flags));

export const chmod = (path: number, mode: number): number => negated(libc.chmod(path, mode));
/** fchownat(2) of a descriptor, which may be of O_PATH. 4294967295 leaves an id as it is. */
export const chown = (fd: number, emptyPath: number, uid: number, gid: number): number =>
  negated(libc.fchownat(fd, emptyPath, uid, gid, AT_EMPTY_PATH));
/** utimensat(2), with two timespecs at an address. */
export const utimensat = (dirfd: number, path: number, times: number, flags: number): number =>
  negated(libc.utimensat(dirfd, path, times, flags));
export const truncate = (path: number, size: number): number => negated(libc.truncate(path, size));
export const ftruncate = (fd: number, size: number): number => negated(libc.ftruncate(fd, size));

export const setxattr = (path: number, name: number, value: Uint8Array, flags: number): number =>
  negated(libc.setxattr(path, name, value, value.length, flags));
/** getxattr(2): the size of the value; a `count` of 0 asks for that alone. ERANGE where it is larger than `count`. */
export const getxattr = (path: number, name: number, into: Uint8Array, count: number): number =>
  negated(libc.getxattr(path, name, into, count));
/** listxattr(2): as getxattr. */
export const listxattr = (path: number, into: Uint8Array, count: number): number =>
  negated(libc.listxattr(path, into, count));
export const removexattr = (path: number, name: number): number => negated(libc.removexattr(path, name));

/** pread(2): the number of bytes. */
export const pread = (fd: number, into: Uint8Array, count: number, offset: number): number =>
  negated(libc.pread(fd, into, count, offset));
/** pwrite(2): the number of bytes. On a descriptor of O_APPEND Linux ignores the offset. */
export const pwrite = (fd: number, bytes: Uint8Array, count: number, offset: number): number =>
  negated(libc.pwrite(fd, bytes, count, offset));
export const fallocate = (fd: number, mode: number, offset: number, length: number): number =>
  negated(libc.fallocate(fd, mode, offset, length));
/** lseek(2); a bigint for a directory's cookie, which may have 63 bits. */
export const lseek = (fd: number, offset: number | bigint, whence: number): number =>
  negated(libc.lseek(fd, offset, whence));
/** copy_file_range(2), with both offsets at addresses: the number of bytes. */
export const copyFileRange = (from: number, offsetIn: number, to: number, offsetOut: number, length: number): number =>
  negated(libc.copy_file_range(from, offsetIn, to, offsetOut, length, 0));
export const fsync = (fd: number): number => negated(libc.fsync(fd));
export const fdatasync = (fd: number): number => negated(libc.fdatasync(fd));
export const syncfs = (fd: number): number => negated(libc.syncfs(fd));

export const flock = (fd: number, operation: number): number => negated(libc.flock(fd, operation));
/** dup3(2) with O_CLOEXEC: `to` becomes a second descriptor of what `from` is of, and what it was of is closed. */
export const dup3 = (from: number, to: number): number => negated(libc.dup3(from, to, O_CLOEXEC));
/** posix_fadvise(2) of a whole file. */
export const fadvise = (fd: number, advice: number): number => -libc.posix_fadvise(fd, 0, 0, advice);
/** fcntl(2) with a struct at an address: the commands of locks. */
export const fcntlAt = (fd: number, command: number, argument: number): number =>
  negated(libc.fcntl(fd, command, argument));
/** ioctl(2) with a struct at an address. */
export const ioctlAt = (fd: number, request: number, argument: number): number =>
  negated(libc.ioctl(fd, request, argument));
