/**
 * Every FUSE operation on one line: its number, what the kernel sends after the header, what goes back.
 * The wire grammar of a request is: one fixed struct, then NUL-ended names, then raw data or a list of
 * structs, then extensions. Dispatch, the handlers' types, the trace and the encoding of requests for
 * tests all follow from this table.
 *
 * @see fs/fuse/dev.c and dir.c, file.c, xattr.c, ... for what the kernel puts into each
 */
import * as f from '../abi/fuse.ts';
import {
  FATTR_ATIME,
  FATTR_CTIME,
  FATTR_FH,
  FATTR_GID,
  FATTR_LOCKOWNER,
  FATTR_MODE,
  FATTR_MTIME,
  FATTR_SIZE,
  FATTR_UID,
  FUSE_GETATTR_FH,
  FUSE_READ_LOCKOWNER,
  FUSE_WRITE_LOCKOWNER,
  type InitFlag,
} from '../abi/fuse-constants.ts';
import type { AnyStruct, Infer } from '../abi/struct.ts';

export interface Operation {
  readonly code: number;
  /** The fixed struct after the header, if any. */
  readonly in?: AnyStruct;
  /** How short `in` may be: the form of an older kernel. What it lacks reads as 0. Bytes. */
  readonly shortest?: number;
  /** The NUL-ended names after that, in wire order. */
  readonly names?: readonly string[];
  /** What the raw bytes that come last are called. */
  readonly data?: string;
  /** The member that says how many bytes of data there are: another number is a malformed message. */
  readonly length?: string;
  /** A list of structs comes last: what it is called, what it holds, and the member that counts it. */
  readonly list?: { readonly name: string; readonly of: AnyStruct; readonly count: string };
  /** Whether extensions (security contexts, groups) may come at the very end. */
  readonly extensions?: true;
  /** Members that mean something only where a bit of another member says so: undefined elsewhere. */
  readonly only?: Readonly<Record<string, readonly [member: string, bit: number]>>;
  /** Members past 2^53 that Linux has an answer for: an errno, or `0` for an empty success. */
  readonly past?: Readonly<Record<string, 'EFBIG' | 'ENXIO' | 0>>;
  /** Members that the reply has no room for beyond this: cut to it. */
  readonly most?: Readonly<Record<string, number>>;
  /** Members that the wire lacks, and their value: what tells two opcodes of one method apart. */
  readonly also?: Readonly<Record<string, number | boolean>>;
  /** Handler memory: what the handler gets as third argument to put bytes into. */
  readonly reply?: 'bytes' | 'entries' | 'entries plus';
  /** The reply's body: a struct, raw bytes, nothing (the default), or no reply at all. */
  readonly out?: AnyStruct | 'bytes' | 'no reply';
  /** Raw bytes that follow the struct of `out`, from this member of the result. */
  readonly tail?: string;
  /** Result members that may not be more than a member of the request: the kernel would make EIO of it, and tell nobody. */
  readonly limit?: Readonly<Record<string, string>>;
  /** The xattr rule: `size` 0 asks for the size alone, and more bytes than `size` are ERANGE. */
  readonly sized?: true;
  /** The method that serves it, where that is not the opcode in lower case. */
  readonly method?: string;
  /** The session answers it, not the filesystem. */
  readonly session?: true;
  /** The method that stands in where the first is absent. */
  readonly or?: string;
  /** What an absent method answers; ENOSYS where nothing stands here. */
  readonly absent?: Readonly<Record<string, number>>;
  /** The promise under which an absent method answers ENOSYS after all. */
  readonly unless?: InitFlag;
  /** The promise under which it is the kernel's alone: ENOSYS, whoever would serve it. */
  readonly never?: InitFlag;
  /** The struct before a negotiated extension: chosen by the session, not by the opcode. */
  readonly compat?: true;
}

const only = {
  fh: ['getattr_flags', FUSE_GETATTR_FH],
} as const;
const setattr = {
  fh: ['valid', FATTR_FH],
  size: ['valid', FATTR_SIZE],
  lock_owner: ['valid', FATTR_LOCKOWNER],
  atime: ['valid', FATTR_ATIME],
  atimensec: ['valid', FATTR_ATIME],
  mtime: ['valid', FATTR_MTIME],
  mtimensec: ['valid', FATTR_MTIME],
  ctime: ['valid', FATTR_CTIME],
  ctimensec: ['valid', FATTR_CTIME],
  mode: ['valid', FATTR_MODE],
  uid: ['valid', FATTR_UID],
  gid: ['valid', FATTR_GID],
} as const;
const NOTHING = {};

// biome-ignore-start format: a table, an operation a line
export const operations = {
  LOOKUP: { code: 1, names: ['name'], out: f.fuse_entry_out },
  FORGET: { code: 2, in: f.fuse_forget_in, out: 'no reply', session: true },
  GETATTR: { code: 3, in: f.fuse_getattr_in, only, out: f.fuse_attr_out },
  SETATTR: { code: 4, in: f.fuse_setattr_in, only: setattr, past: { size: 'EFBIG' }, out: f.fuse_attr_out },
  READLINK: { code: 5, out: 'bytes' },
  SYMLINK: { code: 6, names: ['name', 'target'], extensions: true, out: f.fuse_entry_out },
  MKNOD: { code: 8, in: f.fuse_mknod_in, names: ['name'], extensions: true, out: f.fuse_entry_out },
  MKDIR: { code: 9, in: f.fuse_mkdir_in, names: ['name'], extensions: true, out: f.fuse_entry_out },
  UNLINK: { code: 10, names: ['name'] },
  RMDIR: { code: 11, names: ['name'] },
  RENAME: { code: 12, in: f.fuse_rename_in, names: ['oldname', 'newname'], also: { flags: 0 } },
  LINK: { code: 13, in: f.fuse_link_in, names: ['newname'], out: f.fuse_entry_out },
  OPEN: { code: 14, in: f.fuse_open_in, out: f.fuse_open_out, absent: { fh: 0 }, unless: 'NO_OPEN_SUPPORT' },
  READ: {
    code: 15,
    in: f.fuse_read_in,
    only: { lock_owner: ['read_flags', FUSE_READ_LOCKOWNER] },
    past: { offset: 0 },
    reply: 'bytes',
    out: 'bytes',
  },
  WRITE: {
    code: 16,
    in: f.fuse_write_in,
    only: { lock_owner: ['write_flags', FUSE_WRITE_LOCKOWNER] },
    past: { offset: 'EFBIG' },
    data: 'data',
    length: 'size',
    out: f.fuse_write_out,
    limit: { size: 'size' },
  },
  STATFS: { code: 17, out: f.fuse_kstatfs, absent: { bsize: 512, namelen: 255 } },
  RELEASE: { code: 18, in: f.fuse_release_in, absent: NOTHING },
  FSYNC: { code: 20, in: f.fuse_fsync_in },
  SETXATTR: { code: 21, in: f.fuse_setxattr_in, names: ['name'], data: 'value', length: 'size' },
  SETXATTR_COMPAT: {
    code: 21,
    in: f.fuse_setxattr_compat_in,
    names: ['name'],
    data: 'value',
    length: 'size',
    also: { setxattr_flags: 0 },
    method: 'setxattr',
    compat: true,
  },
  GETXATTR: { code: 22, in: f.fuse_getxattr_in, names: ['name'], reply: 'bytes', out: 'bytes', sized: true },
  LISTXATTR: { code: 23, in: f.fuse_getxattr_in, reply: 'bytes', out: 'bytes', sized: true },
  REMOVEXATTR: { code: 24, names: ['name'] },
  FLUSH: { code: 25, in: f.fuse_flush_in },
  INIT: { code: 26, in: f.fuse_init_in, shortest: 16, out: f.fuse_init_out, session: true },
  OPENDIR: { code: 27, in: f.fuse_open_in, out: f.fuse_open_out, absent: { fh: 0 }, unless: 'NO_OPENDIR_SUPPORT' },
  READDIR: {
    code: 28,
    in: f.fuse_readdir_in,
    only: { lock_owner: ['read_flags', FUSE_READ_LOCKOWNER] },
    reply: 'entries',
    out: 'bytes',
    or: 'readdirplus',
  },
  RELEASEDIR: { code: 29, in: f.fuse_release_in, absent: NOTHING },
  FSYNCDIR: { code: 30, in: f.fuse_fsync_in },
  GETLK: { code: 31, in: f.fuse_lk_in, out: f.fuse_lk_out },
  SETLK: { code: 32, in: f.fuse_lk_in, also: { sleep: false } },
  SETLKW: { code: 33, in: f.fuse_lk_in, also: { sleep: true }, method: 'setlk' },
  ACCESS: { code: 34, in: f.fuse_access_in },
  CREATE: { code: 35, in: f.fuse_create_in, names: ['name'], extensions: true, out: f.fuse_create_out },
  INTERRUPT: { code: 36, in: f.fuse_interrupt_in, out: 'no reply', session: true },
  BMAP: { code: 37, in: f.fuse_bmap_in, out: f.fuse_bmap_out },
  DESTROY: { code: 38, session: true },
  IOCTL: { code: 39, in: f.fuse_ioctl_in, data: 'data', length: 'in_size', out: f.fuse_ioctl_out, tail: 'data' },
  POLL: { code: 40, in: f.fuse_poll_in, out: f.fuse_poll_out },
  NOTIFY_REPLY: {
    code: 41,
    in: f.fuse_notify_retrieve_in,
    data: 'data',
    length: 'size',
    out: 'no reply',
    session: true,
  },
  BATCH_FORGET: {
    code: 42,
    in: f.fuse_batch_forget_in,
    list: { name: 'forgets', of: f.fuse_forget_one, count: 'count' },
    out: 'no reply',
    session: true,
  },
  FALLOCATE: { code: 43, in: f.fuse_fallocate_in, past: { offset: 'EFBIG', length: 'EFBIG' } },
  READDIRPLUS: {
    code: 44,
    in: f.fuse_readdir_in,
    only: { lock_owner: ['read_flags', FUSE_READ_LOCKOWNER] },
    reply: 'entries plus',
    out: 'bytes',
    or: 'readdir',
  },
  RENAME2: { code: 45, in: f.fuse_rename2_in, names: ['oldname', 'newname'], method: 'rename' },
  // What the kernel has not written yet nobody else finds, and it does not write it for this: fs/fuse/file.c: fuse_lseek.
  LSEEK: { code: 46, in: f.fuse_lseek_in, past: { offset: 'ENXIO' }, out: f.fuse_lseek_out, never: 'WRITEBACK_CACHE' },
  COPY_FILE_RANGE: {
    code: 47,
    in: f.fuse_copy_file_range_in,
    past: { off_out: 'EFBIG', off_in: 0 },
    most: { len: 0xffff_f000 },
    out: f.fuse_copy_file_range_compat_out,
    limit: { bytes_copied: 'len' },
  },
  SETUPMAPPING: { code: 48, in: f.fuse_setupmapping_in },
  REMOVEMAPPING: {
    code: 49,
    in: f.fuse_removemapping_in,
    list: { name: 'mappings', of: f.fuse_removemapping_one, count: 'count' },
  },
  SYNCFS: { code: 50, in: f.fuse_syncfs_in },
  TMPFILE: { code: 51, in: f.fuse_create_in, names: ['name'], extensions: true, out: f.fuse_create_out },
  STATX: { code: 52, in: f.fuse_statx_in, only, out: f.fuse_statx_out },
  COPY_FILE_RANGE_64: {
    code: 53,
    in: f.fuse_copy_file_range_in,
    past: { off_out: 'EFBIG', off_in: 0 },
    out: f.fuse_copy_file_range_out,
    limit: { bytes_copied: 'len' },
    method: 'copy_file_range',
  },
  CUSE_INIT: { code: 4096, in: f.cuse_init_in, out: f.cuse_init_out, tail: 'info' },
} as const satisfies Record<string, Operation>;
// biome-ignore-end format: .

export type OperationName = keyof typeof operations;
type Row<N extends OperationName> = (typeof operations)[N];

/** Members without a value in `K` are there but may be undefined. */
type Maybe<T, K> = { readonly [P in keyof T]: P extends K ? T[P] | undefined : T[P] };
type Fixed<O> = O extends { in: infer S }
  ? O extends { only: infer K }
    ? Maybe<Infer<S>, keyof K>
    : Infer<S>
  : unknown;

/** What a handler of the operation gets as its second argument. */
export type Args<N extends OperationName> = Readonly<
  Fixed<Row<N>> &
    (Row<N> extends { names: readonly (infer S extends string)[] } ? Record<S, string> : unknown) &
    (Row<N> extends { data: infer S extends string } ? Record<S, Buffer> : unknown) &
    (Row<N> extends { list: { name: infer S extends string; of: infer E } }
      ? Record<S, readonly Infer<E>[]>
      : unknown) &
    (Row<N> extends { also: infer A }
      ? { [K in keyof A]: A[K] extends boolean ? boolean : A[K] extends number ? number : never }
      : unknown)
>;

/**
 * Result members that a filesystem may leave out, and what stands in. `d` are the session's defaults
 * (mount options). One table: the types below and the code that encodes a result both follow it.
 */
export const DEFAULTS = {
  generation: '0',
  entry_valid: 'd.entry_valid',
  entry_valid_nsec: 'd.entry_valid_nsec',
  attr_valid: 'd.attr_valid',
  attr_valid_nsec: 'd.attr_valid_nsec',
  open_flags: '0',
  backing_id: '0',
  // fuse_attr, fuse_statx, fuse_kstatfs
  size: '0',
  blocks: '0',
  atime: '0',
  mtime: '0',
  ctime: '0',
  atimensec: '0',
  mtimensec: '0',
  ctimensec: '0',
  nlink: '1',
  uid: '0',
  gid: '0',
  rdev: '0',
  blksize: '0',
  flags: '0',
  bfree: '0',
  bavail: '0',
  files: '0',
  ffree: '0',
  frsize: '0',
  // fuse_statx's times, where those above are structs themselves: the 0 in place of one has no members either
  btime: '0',
  tv_sec: '0',
  tv_nsec: '0',
  // fuse_statx alone
  attributes: '0n',
  attributes_mask: '0n',
  rdev_major: '0',
  rdev_minor: '0',
  dev_major: '0',
  dev_minor: '0',
  // fuse_ioctl_out
  result: '0',
  in_iovs: '0',
  out_iovs: '0',
  // cuse_init_out
  unused: '0',
} as const;

/** Members whose default is a session's option, so that the wire struct alone can't know it. */
export interface ReplyDefaults {
  entry_valid: number;
  entry_valid_nsec: number;
  attr_valid: number;
  attr_valid_nsec: number;
}

/** Replies where a default would hide a mistake: `size` of WRITE's reply is the answer itself. */
export const WITHOUT_DEFAULTS: readonly AnyStruct[] = [f.fuse_write_out, f.fuse_init_out, f.fuse_lk_out];

type Lenient<T> = T extends object
  ? T extends bigint | Uint8Array
    ? T
    : { readonly [K in keyof T as K extends keyof typeof DEFAULTS ? never : K]: Lenient<T[K]> } & {
        readonly [K in keyof T as K extends keyof typeof DEFAULTS ? K : never]?: Lenient<T[K]> | undefined;
      }
  : T;
type Strict = typeof f.fuse_write_out | typeof f.fuse_init_out | typeof f.fuse_lk_out;

/** What a handler of the operation returns. */
export type Result<N extends OperationName> =
  Row<N> extends { reply: 'bytes' }
    ? Uint8Array | number
    : Row<N> extends { reply: string }
      ? void
      : Row<N> extends { out: 'bytes' }
        ? Uint8Array | string
        : Row<N> extends { out: 'no reply' }
          ? void
          : Row<N> extends { out: infer S }
            ? (S extends Strict ? Readonly<Infer<S>> : Lenient<Infer<S>>) &
                (Row<N> extends { tail: infer D extends string } ? { readonly [K in D]?: Uint8Array } : unknown)
            : void;
