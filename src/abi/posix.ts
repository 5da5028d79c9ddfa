/**
 * Numbers of the Linux system-call interface that a filesystem meets: file modes, open flags, lock and
 * seek and rename and fallocate flags, poll events, mount flags. Names are those of the C headers.
 */

// st_mode, <linux/stat.h>
export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;
export const S_ISUID = 0o4000;
export const S_ISGID = 0o2000;
export const S_ISVTX = 0o1000;
export const S_IXGRP = 0o0010;

// fuse_dirent.type, <dirent.h>: the file type bits of a mode, shifted down.
export const DT_UNKNOWN = 0;
export const DT_FIFO = S_IFIFO >> 12;
export const DT_CHR = S_IFCHR >> 12;
export const DT_DIR = S_IFDIR >> 12;
export const DT_BLK = S_IFBLK >> 12;
export const DT_REG = S_IFREG >> 12;
export const DT_LNK = S_IFLNK >> 12;
export const DT_SOCK = S_IFSOCK >> 12;

/**
 * open(2) flags of an architecture. Four differ between x86-64 and arm64.
 * @see include/uapi/asm-generic/fcntl.h, arch/arm64/include/uapi/asm/fcntl.h
 */
export const openFlagsOf = (arch: string) => {
  const arm = arch === 'arm64';
  return {
    O_RDONLY: 0o0,
    O_WRONLY: 0o1,
    O_RDWR: 0o2,
    O_ACCMODE: 0o3,
    O_CREAT: 0o100,
    O_EXCL: 0o200,
    O_NOCTTY: 0o400,
    O_TRUNC: 0o1000,
    O_APPEND: 0o2000,
    O_NONBLOCK: 0o4000,
    O_DSYNC: 0o10000,
    O_ASYNC: 0o20000,
    O_DIRECT: arm ? 0o200000 : 0o40000,
    O_LARGEFILE: arm ? 0o400000 : 0o100000,
    O_DIRECTORY: arm ? 0o40000 : 0o200000,
    O_NOFOLLOW: arm ? 0o100000 : 0o400000,
    O_NOATIME: 0o1000000,
    O_CLOEXEC: 0o2000000,
    O_SYNC: 0o4010000,
    O_PATH: 0o10000000,
    O_TMPFILE: 0o20000000 | (arm ? 0o40000 : 0o200000),
  } as const;
};
export const {
  O_RDONLY,
  O_WRONLY,
  O_RDWR,
  O_ACCMODE,
  O_CREAT,
  O_EXCL,
  O_NOCTTY,
  O_TRUNC,
  O_APPEND,
  O_NONBLOCK,
  O_DSYNC,
  O_ASYNC,
  O_DIRECT,
  O_LARGEFILE,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NOATIME,
  O_CLOEXEC,
  O_SYNC,
  O_PATH,
  O_TMPFILE,
} = openFlagsOf(process.arch);

// The *at() calls, <linux/fcntl.h>
export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_EACCESS = 0x200;
export const AT_REMOVEDIR = 0x200;
export const AT_SYMLINK_FOLLOW = 0x400;
export const AT_NO_AUTOMOUNT = 0x800;
export const AT_EMPTY_PATH = 0x1000;
export const AT_STATX_SYNC_TYPE = 0x6000;
export const AT_STATX_SYNC_AS_STAT = 0x0000;
export const AT_STATX_FORCE_SYNC = 0x2000;
export const AT_STATX_DONT_SYNC = 0x4000;

// access(2): fuse_access_in.mask
export const F_OK = 0;
export const X_OK = 1;
export const W_OK = 2;
export const R_OK = 4;

// fcntl(2) locks: fuse_file_lock.type
export const F_RDLCK = 0;
export const F_WRLCK = 1;
export const F_UNLCK = 2;
/** fuse_file_lock.end of a lock to the end of the file, however far that moves. */
export const OFFSET_MAX = 0x7fff_ffff_ffff_ffffn;
export const F_GETFL = 3;
export const F_SETFL = 4;
export const F_DUPFD_CLOEXEC = 1030;
/** Locks that belong to an open file; their flock.l_pid has to be 0. */
export const F_OFD_GETLK = 36;
export const F_OFD_SETLK = 37;

// flock(2)
export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const LOCK_UN = 8;

// utimensat(2): in place of nanoseconds
export const UTIME_NOW = 0x3fff_ffff;
export const UTIME_OMIT = 0x3fff_fffe;

// name_to_handle_at(2): bytes in a handle at most
export const MAX_HANDLE_SZ = 128;

// getrlimit(2)
export const RLIMIT_NOFILE = 7;

// capabilities(7), as bits of a set
export const CAP_CHOWN = 0;
export const CAP_DAC_OVERRIDE = 1;
export const CAP_DAC_READ_SEARCH = 2;
export const CAP_FOWNER = 3;
export const CAP_FSETID = 4;
export const CAP_SETGID = 6;
export const CAP_SETUID = 7;
export const CAP_LINUX_IMMUTABLE = 9;
export const CAP_SYS_ADMIN = 21;
export const CAP_SYS_RESOURCE = 24;
export const CAP_MKNOD = 27;
/** The version of capget(2) and capset(2) whose sets have 64 bits. */
export const _LINUX_CAPABILITY_VERSION_3 = 0x2008_0522;

// ioctls of files, <linux/fs.h>: the same on x86-64 and arm64
export const FS_IOC_GETFLAGS = 0x8008_6601;
export const FS_IOC_SETFLAGS = 0x4008_6602;
export const FS_IOC_GETVERSION = 0x8008_7601;
export const FS_IOC_FSGETXATTR = 0x801c_581f;
export const FS_IOC_FSSETXATTR = 0x401c_5820;

// lseek(2): fuse_lseek_in.whence
export const SEEK_SET = 0;
export const SEEK_CUR = 1;
export const SEEK_END = 2;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

// renameat2(2): fuse_rename2_in.flags
export const RENAME_NOREPLACE = 1 << 0;
export const RENAME_EXCHANGE = 1 << 1;
export const RENAME_WHITEOUT = 1 << 2;

// fallocate(2): fuse_fallocate_in.mode
export const FALLOC_FL_KEEP_SIZE = 0x01;
export const FALLOC_FL_PUNCH_HOLE = 0x02;
export const FALLOC_FL_COLLAPSE_RANGE = 0x08;
export const FALLOC_FL_ZERO_RANGE = 0x10;
export const FALLOC_FL_INSERT_RANGE = 0x20;
export const FALLOC_FL_UNSHARE_RANGE = 0x40;

// posix_fadvise(2)
export const POSIX_FADV_NORMAL = 0;
export const POSIX_FADV_RANDOM = 1;
export const POSIX_FADV_SEQUENTIAL = 2;
export const POSIX_FADV_WILLNEED = 3;
export const POSIX_FADV_DONTNEED = 4;
export const POSIX_FADV_NOREUSE = 5;

// sync_file_range(2)
export const SYNC_FILE_RANGE_WAIT_BEFORE = 1;
export const SYNC_FILE_RANGE_WRITE = 2;
export const SYNC_FILE_RANGE_WAIT_AFTER = 4;

// splice(2)
export const SPLICE_F_MOVE = 1;
export const SPLICE_F_NONBLOCK = 2;
export const SPLICE_F_MORE = 4;

// preadv2(2), pwritev2(2)
export const RWF_HIPRI = 0x01;
export const RWF_DSYNC = 0x02;
export const RWF_SYNC = 0x04;
export const RWF_NOWAIT = 0x08;
export const RWF_APPEND = 0x10;
export const RWF_NOAPPEND = 0x20;
export const RWF_ATOMIC = 0x40;
export const RWF_DONTCACHE = 0x80;

// openat2(2)
export const RESOLVE_NO_XDEV = 0x01;
export const RESOLVE_NO_MAGICLINKS = 0x02;
export const RESOLVE_NO_SYMLINKS = 0x04;
export const RESOLVE_BENEATH = 0x08;
export const RESOLVE_IN_ROOT = 0x10;
export const RESOLVE_CACHED = 0x20;

// setxattr(2): fuse_setxattr_in.flags; and the limits of <linux/limits.h>, in bytes
export const XATTR_CREATE = 1;
export const XATTR_REPLACE = 2;
export const XATTR_NAME_MAX = 255;
export const XATTR_SIZE_MAX = 65536;
export const XATTR_LIST_MAX = 65536;
/** The longest name, in bytes. */
export const NAME_MAX = 255;
/** The longest path with its NUL, in bytes. */
export const PATH_MAX = 4096;

// statx(2): fuse_statx.mask, fuse_statx_in.sx_mask
export const STATX_TYPE = 1;
export const STATX_BASIC_STATS = 0x7ff;
export const STATX_BTIME = 0x800;
export const STATX_DIOALIGN = 0x2000;
export const STATX_ATTR_ENCRYPTED = 0x800;

// poll(2): fuse_poll_in.events, fuse_poll_out.revents
export const POLLIN = 0x0001;
export const POLLPRI = 0x0002;
export const POLLOUT = 0x0004;
export const POLLERR = 0x0008;
export const POLLHUP = 0x0010;
export const POLLRDNORM = 0x0040;
export const POLLWRNORM = 0x0100;

// recvmsg(2)
export const MSG_DONTWAIT = 0x40;

// epoll_ctl(2); its events are poll's
export const EPOLL_CLOEXEC = O_CLOEXEC;
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
/** Told of once for each time that it becomes ready. */
export const EPOLLET = 2 ** 31;
/** struct epoll_event, in bytes, and where its data begins: packed on x86-64. */
export const EPOLL_EVENT = process.arch === 'x64' ? { size: 12, data: 4 } : { size: 16, data: 8 };

// fanotify_init(2), fanotify_mark(2), and the masks of events
export const FAN_CLOEXEC = 0x01;
export const FAN_NONBLOCK = 0x02;
export const FAN_REPORT_FID = 0x200;
export const FAN_REPORT_DIR_FID = 0x400;
export const FAN_REPORT_NAME = 0x800;
export const FAN_MARK_ADD = 0x01;
export const FAN_MARK_FILESYSTEM = 0x100;
export const FAN_MODIFY = 0x02;
export const FAN_ATTRIB = 0x04;
export const FAN_MOVED_FROM = 0x40;
export const FAN_MOVED_TO = 0x80;
export const FAN_CREATE = 0x100;
export const FAN_DELETE = 0x200;
export const FAN_MOVE_SELF = 0x800;
export const FAN_Q_OVERFLOW = 0x4000;
export const FAN_ONDIR = 0x4000_0000;
export const FAN_EVENT_INFO_TYPE_FID = 1;
export const FAN_EVENT_INFO_TYPE_DFID_NAME = 2;
export const FAN_EVENT_INFO_TYPE_DFID = 3;

// mount(2), <linux/mount.h>
export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;
export const MS_SYNCHRONOUS = 16;
export const MS_DIRSYNC = 128;
export const MS_NOSYMFOLLOW = 256;
export const MS_NOATIME = 1024;
export const MS_NODIRATIME = 2048;
export const MS_RELATIME = 1 << 21;
export const MS_STRICTATIME = 1 << 24;
export const MS_LAZYTIME = 1 << 25;
// umount2(2)
export const MNT_FORCE = 1;
export const MNT_DETACH = 2;
export const UMOUNT_NOFOLLOW = 8;

// mmap(2), madvise(2)
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 0x01;
export const MAP_PRIVATE = 0x02;
export const MAP_ANONYMOUS = 0x20;
export const MAP_NORESERVE = 0x4000;
export const MAP_POPULATE = 0x8000;
export const MADV_DONTNEED = 4;
