/**
 * What a filesystem is to this library: an object with a method for each operation it serves. Every
 * method is optional, is named as the opcode in lower case, and is called `method(request, args, reply?)`:
 *
 * - `request` says who asks about which node; it is valid until the answer (see request.ts);
 * - `args` are the decoded members under their wire names, with names and data;
 * - `reply`, where bytes go out, is memory to fill, or a sink for directory entries.
 *
 * The answer is what the method returns, or what its promise resolves to. An error is thrown: `throw ENOENT`
 * for one that the caller shall see, a Node system error (its `code` is taken), a signal's AbortError (EINTR).
 * A FatalError ends the session, with itself as the reason. Anything else thrown is a bug: the caller gets EIO, and the
 * session's `onError` the error.
 *
 * Nodes. The kernel knows files by nodeid, chosen by the filesystem (1 is the root, 0 never). Each answer
 * that carries an entry (lookup, mknod, mkdir, symlink, link, create, tmpfile, and each entry of readdir
 * given with a lookup) counts one lookup of its nodeid, and `forget` takes them back: until the count is 0
 * the nodeid must go on meaning the same file, unlinked or not. `NodeTable` in rawfuse/fs keeps the books.
 */
import type { InitFlag } from '../abi/fuse-constants.ts';
import type { Connection } from './connection.ts';
import type { DirectoryReply } from './dirent.ts';
import type { Args, OperationName, Result } from './operations.ts';
import type { Request } from './request.ts';

type Answerable<T> = T | Promise<T>;
type Method<N extends OperationName> = (request: Request, args: Args<N>) => Answerable<Result<N>>;
type Filling<N extends OperationName> = (request: Request, args: Args<N>, reply: Buffer) => Answerable<Result<N>>;
type Listing<N extends OperationName> = (request: Request, args: Args<N>, reply: DirectoryReply) => Answerable<void>;

/** INIT flags that put a duty on the filesystem: asked for only where it says that it fulfils it. */
export type Promised = Extract<
  InitFlag,
  | 'ATOMIC_O_TRUNC'
  | 'POSIX_LOCKS'
  | 'FLOCK_LOCKS'
  | 'EXPORT_SUPPORT'
  | 'NO_EXPORT_SUPPORT'
  | 'DONT_MASK'
  | 'POSIX_ACL'
  | 'HANDLE_KILLPRIV'
  | 'HANDLE_KILLPRIV_V2'
  | 'WRITEBACK_CACHE'
  | 'CACHE_SYMLINKS'
  | 'EXPLICIT_INVAL_DATA'
  | 'NO_OPEN_SUPPORT'
  | 'NO_OPENDIR_SUPPORT'
  | 'PASSTHROUGH'
  | 'ALLOW_IDMAP'
  | 'HAS_IOCTL_DIR'
>;

/** Seconds, fractions allowed. */
export interface Timeouts {
  /** For the name of a file. */
  readonly entry: number;
  readonly attr: number;
  /** For a name that there is not. */
  readonly negative: number;
}

export interface Filesystem {
  /**
   * The duties this filesystem takes on, each the name of an INIT flag (see `PROMISES` in protocol/init.ts
   * for what each one means). The session asks the kernel for these where it offers them, and for none of
   * the others: a filesystem that knows nothing of O_TRUNC or of setuid bits must not lose either.
   */
  readonly promises?: readonly Promised[];

  /** How long the kernel may believe what it was told, where neither an answer nor the mount's options say. Default: 1 second, absent names not at all. */
  readonly timeouts?: Timeouts;

  /**
   * Called once, when the kernel and the session have agreed and before the first request. `connection`
   * holds what was offered, wanted and agreed, the limits, and the notifications to send. It returns a
   * value, not a promise: the kernel waits for the INIT reply.
   */
  init?(connection: Connection): void;
  /** Called once, at the session's end, however it ended, if kernel and session had agreed. Lookups that were never forgotten end here. */
  destroy?(): Answerable<void>;

  /** Finds `name` in the directory `request.nodeid`. Counts a lookup; nodeid 0 says "absent, and remember that" for `entry_valid`. ENOENT. */
  lookup?: Method<'LOOKUP'>;
  /** Takes `nlookup` lookups of `nodeid` back. Not answered. Serves FORGET and each item of BATCH_FORGET. */
  forget?(request: Request, args: { readonly nodeid: number; readonly nlookup: number }): void;
  /** The attributes of a node; `fh` is there where the caller has it open. stat(2). */
  getattr?: Method<'GETATTR'>;
  /** Attributes with more than stat(2) has: birth time, attribute bits. Absent: the kernel asks getattr. statx(2). */
  statx?: Method<'STATX'>;
  /** Changes what `valid` (FATTR_ flags) names; the other members are undefined. No bit at all still clears setuid where promised. chmod, chown, truncate, utimensat. */
  setattr?: Method<'SETATTR'>;
  /** The target of a symlink, without a NUL. At most 4095 bytes. readlink(2). */
  readlink?: (request: Request, args: Args<'READLINK'>) => Answerable<Result<'READLINK'>>;
  /** Makes the symlink `name` to `target`. Counts a lookup. symlink(2). */
  symlink?: Method<'SYMLINK'>;
  /** Makes a file, fifo, socket or device node; `umask` is applied already unless DONT_MASK was promised. Counts a lookup. mknod(2). */
  mknod?: Method<'MKNOD'>;
  /** Makes a directory. `mode` lacks S_IFDIR. Counts a lookup. mkdir(2). */
  mkdir?: Method<'MKDIR'>;
  /** Removes the name of a file. ENOENT, EISDIR. unlink(2). */
  unlink?: Method<'UNLINK'>;
  /** Removes an empty directory. ENOENT, ENOTDIR, ENOTEMPTY. rmdir(2). */
  rmdir?: Method<'RMDIR'>;
  /** Renames in `request.nodeid` to `newname` in `newdir`; `flags` are RENAME_ flags, EINVAL for those not served. renameat2(2). */
  rename?: Method<'RENAME2'>;
  /** A further name, in `request.nodeid`, of the node `oldnodeid`. Counts a lookup. link(2). */
  link?: Method<'LINK'>;
  /** Opens a file. Absent: handle 0, no flags. `flags` are open(2)'s without O_CREAT and O_EXCL; `open_flags` in the result are FOPEN_ flags. */
  open?: Method<'OPEN'>;
  /** Reads at most `size` bytes at `offset`, less only at the end of the file: into `reply` with their count as the result, or returned. pread(2). */
  read?: Filling<'READ'>;
  /** Writes `data` (valid until the answer) at `offset`. `write_flags` say whether the page cache writes (FUSE_WRITE_CACHE). pwrite(2). */
  write?: Method<'WRITE'>;
  /** statvfs(3). Absent: zeros, block size 512, names of 255 bytes. */
  statfs?: Method<'STATFS'>;
  /** The last user of an open file is gone; the result is ignored by the kernel. `release_flags`: FUSE_RELEASE_FLUSH, FUSE_RELEASE_FLOCK_UNLOCK. */
  release?: Method<'RELEASE'>;
  /** Makes the file's data durable, with `fsync_flags & FUSE_FSYNC_FDATASYNC` the data alone. Absent: success without effect. fsync(2). */
  fsync?: Method<'FSYNC'>;
  /** close(2) of one descriptor; its error is close's. Locks of `lock_owner` end here. Absent: success. */
  flush?: Method<'FLUSH'>;
  /** Sets an extended attribute; `flags` XATTR_CREATE, XATTR_REPLACE. EEXIST, ENODATA. setxattr(2). */
  setxattr?: Method<'SETXATTR'>;
  /** The value of an extended attribute, into `reply` or returned. Size 0 and ERANGE are the dispatcher's. ENODATA. getxattr(2). */
  getxattr?: Filling<'GETXATTR'>;
  /** The names of all extended attributes, each ended by a NUL. listxattr(2). */
  listxattr?: Filling<'LISTXATTR'>;
  /** ENODATA. removexattr(2). */
  removexattr?: Method<'REMOVEXATTR'>;
  /** Opens a directory. Absent: handle 0, no flags. */
  opendir?: Method<'OPENDIR'>;
  /** Adds to `reply` the entries that come after the cookie `offset` (0n: all), until it is full. Serves READDIRPLUS too where there is no readdirplus. */
  readdir?: Listing<'READDIR'>;
  /** The same with a lookup for each entry: `reply.add(entry, lookup)`. Declares that READDIRPLUS is served; serves READDIR too where there is no readdir. */
  readdirplus?: Listing<'READDIRPLUS'>;
  /** The last user of an open directory is gone. */
  releasedir?: Method<'RELEASEDIR'>;
  /** fsync(2) of a directory. Absent: success without effect. */
  fsyncdir?: Method<'FSYNCDIR'>;
  /** access(2) and chdir(2), where the mount is without default_permissions; `mask` R_OK, W_OK, X_OK. Absent: allowed. */
  access?: Method<'ACCESS'>;
  /** Makes and opens a file in one. Counts a lookup. Absent: mknod, then open. open(2) with O_CREAT. */
  create?: Method<'CREATE'>;
  /** Makes and opens a file without a name. Counts a lookup. open(2) with O_TMPFILE. */
  tmpfile?: Method<'TMPFILE'>;
  /** The lock that would be in the way, or one of type F_UNLCK. Needs the promise POSIX_LOCKS. fcntl(2) F_GETLK. */
  getlk?: Method<'GETLK'>;
  /** Locks or unlocks (`lk.type` F_UNLCK); with `sleep` it waits, until `request.signal` says EINTR. `lk_flags & FUSE_LK_FLOCK`: flock(2). EAGAIN. */
  setlk?: Method<'SETLKW'>;
  /** The device block of a file's block; sent only on a fuseblk mount. */
  bmap?: Method<'BMAP'>;
  /** An ioctl whose argument's size its number tells: `data` in, `data` of the result out. ioctl(2). */
  ioctl?: Method<'IOCTL'>;
  /** Which of `events` are ready; with FUSE_POLL_SCHEDULE_NOTIFY, `connection.notify.poll(kh)` later. poll(2). */
  poll?: Method<'POLL'>;
  /** fallocate(2); `mode` FALLOC_FL_ flags. EOPNOTSUPP for those not served. */
  fallocate?: Method<'FALLOCATE'>;
  /** SEEK_DATA and SEEK_HOLE. ENXIO past the end. Not asked where WRITEBACK_CACHE was promised. lseek(2). */
  lseek?: Method<'LSEEK'>;
  /** Copies within the filesystem and says how much. Serves both forms. copy_file_range(2). */
  copy_file_range?(request: Request, args: Args<'COPY_FILE_RANGE_64'>): Answerable<Result<'COPY_FILE_RANGE_64'>>;
  /** syncfs(2); sent on fuseblk and virtiofs alone. */
  syncfs?: Method<'SYNCFS'>;
  /** DAX: maps a range of the file into the shared window (virtiofs). */
  setupmapping?: Method<'SETUPMAPPING'>;
  /** DAX: unmaps ranges (virtiofs). */
  removemapping?: Method<'REMOVEMAPPING'>;
  /** What a character device in user space answers instead of init; `info` holds `DEVNAME=...`, NUL-separated. */
  cuse_init?: Method<'CUSE_INIT'>;
}

/** The compiler holds the methods above to the table: one for each operation that a filesystem serves. */
type Served = {
  [N in OperationName as typeof import('./operations.ts').operations[N] extends { session: true }
    ? never
    : typeof import('./operations.ts').operations[N] extends { method: infer M extends string }
      ? M
      : Lowercase<N>]: true;
};
type Declared = { [K in Exclude<keyof Filesystem, 'promises' | 'timeouts' | 'init' | 'destroy' | 'forget'>]: true };
true satisfies keyof Served extends keyof Declared ? (keyof Declared extends keyof Served ? true : never) : never;
