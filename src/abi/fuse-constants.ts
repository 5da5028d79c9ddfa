/**
 * The numbers of FUSE 7.45, with the names of <linux/fuse.h>. Opcodes are in protocol/operations.ts,
 * beside what they carry. A test holds every value against the header's.
 */

/** The protocol this library speaks. */
export const FUSE_KERNEL_VERSION = 7;
export const FUSE_KERNEL_MINOR_VERSION = 45;
/** The oldest minor this library serves: Linux 5.4's. */
export const OLDEST_MINOR = 31;

/** The node id of the mount's root directory. */
export const FUSE_ROOT_ID = 1;
/** What a request's uid and gid are where the kernel gives no caller: with ALLOW_IDMAP, all but creations. */
export const FUSE_INVALID_UIDGID = 0xffff_ffff;
/** No buffer for read(2) on /dev/fuse may be smaller. Bytes. */
export const FUSE_MIN_READ_BUFFER = 8192;
/** Set in `unique` when a request comes a second time, after NOTIFY_RESEND. */
export const FUSE_UNIQUE_RESEND = 1n << 63n;

/**
 * INIT flags by bit; 32 and up travel in flags2. What each promises: see `Promises` in protocol/init.ts.
 * @see fs/fuse/inode.c, process_init_reply
 */
export const INIT_FLAGS = {
  ASYNC_READ: 0,
  POSIX_LOCKS: 1,
  FILE_OPS: 2,
  ATOMIC_O_TRUNC: 3,
  EXPORT_SUPPORT: 4,
  BIG_WRITES: 5,
  DONT_MASK: 6,
  SPLICE_WRITE: 7,
  SPLICE_MOVE: 8,
  SPLICE_READ: 9,
  FLOCK_LOCKS: 10,
  HAS_IOCTL_DIR: 11,
  AUTO_INVAL_DATA: 12,
  DO_READDIRPLUS: 13,
  READDIRPLUS_AUTO: 14,
  ASYNC_DIO: 15,
  WRITEBACK_CACHE: 16,
  NO_OPEN_SUPPORT: 17,
  PARALLEL_DIROPS: 18,
  HANDLE_KILLPRIV: 19,
  POSIX_ACL: 20,
  ABORT_ERROR: 21,
  MAX_PAGES: 22,
  CACHE_SYMLINKS: 23,
  NO_OPENDIR_SUPPORT: 24,
  EXPLICIT_INVAL_DATA: 25,
  MAP_ALIGNMENT: 26,
  SUBMOUNTS: 27,
  HANDLE_KILLPRIV_V2: 28,
  SETXATTR_EXT: 29,
  INIT_EXT: 30,
  SECURITY_CTX: 32,
  HAS_INODE_DAX: 33,
  CREATE_SUPP_GROUP: 34,
  HAS_EXPIRE_ONLY: 35,
  DIRECT_IO_ALLOW_MMAP: 36,
  PASSTHROUGH: 37,
  NO_EXPORT_SUPPORT: 38,
  HAS_RESEND: 39,
  ALLOW_IDMAP: 40,
  OVER_IO_URING: 41,
  REQUEST_TIMEOUT: 42,
} as const;
export type InitFlag = keyof typeof INIT_FLAGS;

// fuse_attr.flags
export const FUSE_ATTR_SUBMOUNT = 1 << 0;
export const FUSE_ATTR_DAX = 1 << 1;

// fuse_setattr_in.valid
export const FATTR_MODE = 1 << 0;
export const FATTR_UID = 1 << 1;
export const FATTR_GID = 1 << 2;
export const FATTR_SIZE = 1 << 3;
export const FATTR_ATIME = 1 << 4;
export const FATTR_MTIME = 1 << 5;
export const FATTR_FH = 1 << 6;
export const FATTR_ATIME_NOW = 1 << 7;
export const FATTR_MTIME_NOW = 1 << 8;
export const FATTR_LOCKOWNER = 1 << 9;
export const FATTR_CTIME = 1 << 10;
export const FATTR_KILL_SUIDGID = 1 << 11;

// fuse_open_out.open_flags
export const FOPEN_DIRECT_IO = 1 << 0;
export const FOPEN_KEEP_CACHE = 1 << 1;
export const FOPEN_NONSEEKABLE = 1 << 2;
export const FOPEN_CACHE_DIR = 1 << 3;
export const FOPEN_STREAM = 1 << 4;
export const FOPEN_NOFLUSH = 1 << 5;
export const FOPEN_PARALLEL_DIRECT_WRITES = 1 << 6;
export const FOPEN_PASSTHROUGH = 1 << 7;

// fuse_open_in.open_flags, fuse_create_in.open_flags
export const FUSE_OPEN_KILL_SUIDGID = 1 << 0;
// fuse_release_in.release_flags
export const FUSE_RELEASE_FLUSH = 1 << 0;
export const FUSE_RELEASE_FLOCK_UNLOCK = 1 << 1;
// fuse_getattr_in.getattr_flags, fuse_statx_in.getattr_flags
export const FUSE_GETATTR_FH = 1 << 0;
// fuse_lk_in.lk_flags
export const FUSE_LK_FLOCK = 1 << 0;
// fuse_write_in.write_flags
export const FUSE_WRITE_CACHE = 1 << 0;
export const FUSE_WRITE_LOCKOWNER = 1 << 1;
export const FUSE_WRITE_KILL_SUIDGID = 1 << 2;
/** The old name of FUSE_WRITE_KILL_SUIDGID. */
export const FUSE_WRITE_KILL_PRIV = FUSE_WRITE_KILL_SUIDGID;
// fuse_read_in.read_flags
export const FUSE_READ_LOCKOWNER = 1 << 1;
// fuse_ioctl_in.flags, fuse_ioctl_out.flags
export const FUSE_IOCTL_COMPAT = 1 << 0;
export const FUSE_IOCTL_UNRESTRICTED = 1 << 1;
export const FUSE_IOCTL_RETRY = 1 << 2;
export const FUSE_IOCTL_32BIT = 1 << 3;
export const FUSE_IOCTL_DIR = 1 << 4;
export const FUSE_IOCTL_COMPAT_X32 = 1 << 5;
/** The most iovecs that a retried ioctl may ask for. */
export const FUSE_IOCTL_MAX_IOV = 256;
// fuse_poll_in.flags
export const FUSE_POLL_SCHEDULE_NOTIFY = 1 << 0;
// fuse_fsync_in.fsync_flags
export const FUSE_FSYNC_FDATASYNC = 1 << 0;
// fuse_setxattr_in.setxattr_flags
export const FUSE_SETXATTR_ACL_KILL_SGID = 1 << 0;
// fuse_notify_inval_entry_out.flags
export const FUSE_EXPIRE_ONLY = 1 << 0;
// fuse_setupmapping_in.flags
export const FUSE_SETUPMAPPING_FLAG_WRITE = 1n << 0n;
export const FUSE_SETUPMAPPING_FLAG_READ = 1n << 1n;

// fuse_ext_header.type: up to 31 it is the number of security contexts (fuse_secctx_header.nr_secctx).
export const FUSE_MAX_NR_SECCTX = 31;
export const FUSE_EXT_GROUPS = 32;

// Messages that the server begins: fuse_out_header.error, positive.
export const FUSE_NOTIFY_POLL = 1;
export const FUSE_NOTIFY_INVAL_INODE = 2;
export const FUSE_NOTIFY_INVAL_ENTRY = 3;
export const FUSE_NOTIFY_STORE = 4;
export const FUSE_NOTIFY_RETRIEVE = 5;
export const FUSE_NOTIFY_DELETE = 6;
export const FUSE_NOTIFY_RESEND = 7;
export const FUSE_NOTIFY_INC_EPOCH = 8;
export const FUSE_NOTIFY_PRUNE = 9;

// ioctl(2) on /dev/fuse.
export const FUSE_DEV_IOC_MAGIC = 229;
export const FUSE_DEV_IOC_CLONE = 0x8004_e500;
export const FUSE_DEV_IOC_BACKING_OPEN = 0x4010_e501;
export const FUSE_DEV_IOC_BACKING_CLOSE = 0x4004_e502;
export const FUSE_DEV_IOC_SYNC_INIT = 0xe503;

// FUSE over io_uring.
export const FUSE_IO_URING_CMD_INVALID = 0;
export const FUSE_IO_URING_CMD_REGISTER = 1;
export const FUSE_IO_URING_CMD_COMMIT_AND_FETCH = 2;
export const FUSE_URING_IN_OUT_HEADER_SZ = 128;
export const FUSE_URING_OP_IN_OUT_SZ = 128;

// Sizes of older, shorter forms. This library meets only the last: the others ended before 7.31.
export const FUSE_COMPAT_ENTRY_OUT_SIZE = 120;
export const FUSE_COMPAT_ATTR_OUT_SIZE = 96;
export const FUSE_COMPAT_MKNOD_IN_SIZE = 8;
export const FUSE_COMPAT_WRITE_IN_SIZE = 24;
export const FUSE_COMPAT_STATFS_SIZE = 48;
export const FUSE_COMPAT_INIT_OUT_SIZE = 8;
export const FUSE_COMPAT_22_INIT_OUT_SIZE = 24;
export const FUSE_COMPAT_SETXATTR_IN_SIZE = 8;

// Directory entries: where the name begins.
export const FUSE_NAME_OFFSET = 24;
export const FUSE_NAME_OFFSET_DIRENTPLUS = 152;

// CUSE, and the opcodes that a kernel of the other byte order would send.
export const CUSE_INIT_INFO_MAX = 4096;
export const CUSE_UNRESTRICTED_IOCTL = 1 << 0;
export const CUSE_INIT_BSWAP_RESERVED = 1048576;
export const FUSE_INIT_BSWAP_RESERVED = 436207616;

/** The old name of bit 36, DIRECT_IO_ALLOW_MMAP. */
export const FUSE_DIRECT_IO_RELAX = 1n << 36n;
/** Bit 31, never used: it would be the sign of a 32-bit int. */
export const FUSE_INIT_RESERVED = 1n << 31n;
