/**
 * INIT: what the kernel offers, what we want, what is agreed. A pure function from the kernel's
 * fuse_init_in to our fuse_init_out, so that all of it is tested without a mount.
 *
 * A flag is wanted for one of two reasons: the library itself keeps what it promises, or the filesystem
 * says that it does (`Filesystem.promises`). Nothing else is ever asked for.
 * @see fs/fuse/inode.c: fuse_new_init, process_init_reply
 */
import type { fuse_init_in, fuse_init_out } from '../abi/fuse.ts';
import {
  FUSE_KERNEL_MINOR_VERSION,
  FUSE_KERNEL_VERSION,
  FUSE_MIN_READ_BUFFER,
  INIT_FLAGS,
  type InitFlag,
  OLDEST_MINOR,
} from '../abi/fuse-constants.ts';
import { pageSize } from '../abi/syscall.ts';
import type { Filesystem, Promised } from './filesystem.ts';

/** What each promise of a filesystem means: what it takes over, or what the kernel then does. */
export const PROMISES: Readonly<Record<Promised, string>> = {
  ATOMIC_O_TRUNC: 'open honours O_TRUNC; no SETATTR of the size comes before it',
  POSIX_LOCKS:
    'getlk and setlk serve fcntl locks, flush ends those of its owner; otherwise the kernel keeps them for this mount alone',
  FLOCK_LOCKS: 'setlk serves flock(2), release unlocks with RELEASE_FLOCK_UNLOCK',
  EXPORT_SUPPORT: 'lookup answers "." and "..", so that file handles (NFS) work after a node was forgotten',
  NO_EXPORT_SUPPORT: 'file handles of this filesystem can never be opened again',
  DONT_MASK: 'create, mkdir, mknod and tmpfile apply the umask themselves',
  POSIX_ACL:
    'the system.posix_acl_* xattrs are served and kept in step with the mode; brings DONT_MASK and default_permissions',
  HANDLE_KILLPRIV: 'write, truncate and chown clear setuid, setgid and security.capability',
  HANDLE_KILLPRIV_V2: 'the same, when WRITE_KILL_SUIDGID, FATTR_KILL_SUIDGID or OPEN_KILL_SUIDGID says so',
  WRITEBACK_CACHE:
    'the kernel owns size and times of a file that is open; reads come on write-only handles too; to SEEK_DATA and SEEK_HOLE all is data, as only the kernel knows what it has yet to write',
  CACHE_SYMLINKS: "a symlink's target may be cached until its inode is invalidated",
  EXPLICIT_INVAL_DATA: 'cached data is dropped only when the filesystem says so; replaces AUTO_INVAL_DATA',
  NO_OPEN_SUPPORT: 'files need no open: OPEN is answered ENOSYS once, and comes no more',
  NO_OPENDIR_SUPPORT: 'directories need no open: OPENDIR is answered ENOSYS once, and comes no more',
  PASSTHROUGH: 'open may return a backing_id, whose file the kernel then reads and writes itself',
  ALLOW_IDMAP: 'works without knowing the caller (uid and gid are FUSE_INVALID_UIDGID); needs default_permissions',
  HAS_IOCTL_DIR: 'ioctl serves directories too',
};

/** Wanted wherever offered: this library keeps what they promise. */
const OURS: readonly InitFlag[] = [
  'ASYNC_READ',
  'BIG_WRITES',
  'MAX_PAGES',
  'PARALLEL_DIROPS',
  'ASYNC_DIO',
  'AUTO_INVAL_DATA',
  'SETXATTR_EXT',
  'INIT_EXT',
  'CREATE_SUPP_GROUP',
  'SECURITY_CTX',
  'HAS_RESEND',
  'HAS_EXPIRE_ONLY',
  'DIRECT_IO_ALLOW_MMAP',
  'ABORT_ERROR',
];

/** What a session may be told about the connection. Absent: the default named. */
export interface ConnectionOptions {
  /** Bytes in a WRITE at most: 4096 to 1 MiB, or more with maxPages. Default 1 MiB. */
  readonly maxWrite?: number | undefined;
  /** Bytes read ahead at most; the kernel's own limit holds too. Default: what the kernel offers. */
  readonly maxReadahead?: number | undefined;
  /** Pages in a request at most, 1 to 65535; the kernel allows fs.fuse.max_pages_limit, usually 256. Default: as maxWrite needs. */
  readonly maxPages?: number | undefined;
  /** Background requests (readahead, writeback, release) in flight at most. Default 64. */
  readonly maxBackground?: number | undefined;
  /** From how many of them on the kernel holds back. Default three quarters. */
  readonly congestionThreshold?: number | undefined;
  /** Resolution of times in nanoseconds, a power of ten from 1 to 1e9. Default 1. */
  readonly timeGran?: number | undefined;
  /** Whether reads of one file may come in parallel and out of order. Default true. */
  readonly asyncRead?: boolean | undefined;
  /** Seconds (1 to 65535) after which the kernel aborts the connection because of one unanswered request. Default none. */
  readonly requestTimeout?: number | undefined;
  /** Whether the mount has default_permissions; this does not set it. */
  readonly defaultPermissions?: boolean | undefined;
  /** False where the mount has noatime, which the kernel does not tell a server; this does not set it. */
  readonly atime?: boolean | undefined;
  /** False where the mount has nodiratime; this does not set it. */
  readonly diratime?: boolean | undefined;
  /** Whether the mount has strictatime; this does not set it. */
  readonly strictatime?: boolean | undefined;
  /**
   * Whether requests shall come over io_uring: `must` fails where they can't, `try` then does with /dev/fuse. Absent:
   * over /dev/fuse.
   */
  readonly ring?: 'must' | 'try' | undefined;
  /** Whether only root and the mounting user may enter; needs callers that the kernel names. */
  readonly allowRoot?: boolean | undefined;
}

/** What kernel and session have agreed. */
export interface Agreement {
  /** The kernel's minor version: it speaks 7.`minor`. */
  readonly minor: number;
  readonly offered: ReadonlySet<InitFlag>;
  readonly wanted: ReadonlySet<InitFlag>;
  readonly agreed: ReadonlySet<InitFlag>;
  /** All bits that the kernel offered, those without a name here included. */
  readonly offeredBits: bigint;
  /** What the mount says of access times, which the kernel leaves to the filesystem: never (noatime), always (strictatime), or nothing. */
  readonly atime: 'none' | 'strict' | undefined;
  /** Whether directories have access times, as far as the mount says: not with nodiratime. */
  readonly diratime: boolean;
  /** The reply to INIT: max_write, max_pages, max_background, ... */
  readonly reply: Readonly<fuse_init_out>;
}

/** The session can't go on: no kernel, filesystem or option of ours fits. */
export class NegotiationError extends Error {
  override readonly name = 'NegotiationError';
}

const bitsOf = (flags: Iterable<InitFlag>): bigint => {
  let bits = 0n;
  for (const flag of flags) bits |= 1n << BigInt(INIT_FLAGS[flag]);
  return bits;
};
export const flagsIn = (bits: bigint): InitFlag[] =>
  (Object.keys(INIT_FLAGS) as InitFlag[]).filter((flag) => bits & (1n << BigInt(INIT_FLAGS[flag])));

/** The flags a filesystem and its options ask for. Throws a NegotiationError for what the kernel would refuse. */
export function wishes(filesystem: Filesystem, options: ConnectionOptions): Set<InitFlag> {
  const wanted = new Set<InitFlag>(OURS);
  if (options.asyncRead === false) wanted.delete('ASYNC_READ');
  if (filesystem.readdirplus) wanted.add('DO_READDIRPLUS').add('READDIRPLUS_AUTO');
  for (const promise of filesystem.promises ?? []) {
    if (!Object.hasOwn(PROMISES, promise)) throw new NegotiationError(`unknown promise ${promise}`);
    wanted.add(promise);
  }
  if (wanted.has('POSIX_ACL')) wanted.add('DONT_MASK');
  if (wanted.has('EXPLICIT_INVAL_DATA')) wanted.delete('AUTO_INVAL_DATA');
  if (options.requestTimeout) wanted.add('REQUEST_TIMEOUT');
  if (options.ring) wanted.add('OVER_IO_URING');
  for (const [wrong, why] of conflicts(wanted, options)) if (wrong) throw new NegotiationError(why);
  return wanted;
}

/** Combinations for which the kernel ends the connection, or which mean nothing. */
function* conflicts(wanted: ReadonlySet<InitFlag>, options: ConnectionOptions): Generator<[boolean, string]> {
  const idmap = wanted.has('ALLOW_IDMAP');
  const permissions = options.defaultPermissions === true || wanted.has('POSIX_ACL');
  yield [
    idmap && !permissions,
    'ALLOW_IDMAP needs the mount option default_permissions: the filesystem is not told who calls',
  ];
  yield [idmap && options.allowRoot === true, 'allow_root and ALLOW_IDMAP exclude each other: the caller is hidden'];
  yield [
    wanted.has('PASSTHROUGH') && wanted.has('WRITEBACK_CACHE'),
    'PASSTHROUGH and WRITEBACK_CACHE exclude each other',
  ];
  yield [
    wanted.has('EXPORT_SUPPORT') && wanted.has('NO_EXPORT_SUPPORT'),
    'EXPORT_SUPPORT and NO_EXPORT_SUPPORT exclude each other',
  ];
  for (const [name, least, most] of LIMITS) {
    const value = options[name];
    const fits = value === undefined || (Number.isInteger(value) && value >= least && value <= most);
    yield [!fits, `${name} is ${value}: a whole number from ${least} to ${most} is needed`];
  }
  const { timeGran = 1 } = options;
  yield [!Number.isInteger(Math.log10(timeGran)), `timeGran is ${timeGran}: a power of ten is needed`];
  const { congestionThreshold: congestion, maxBackground: background } = options;
  yield [
    congestion !== undefined && congestion > (background ?? BACKGROUND),
    'congestion_threshold is above max_background',
  ];
}

const BACKGROUND = 64;
/** FUSE_DEFAULT_MAX_PAGES_PER_REQ */
const DEFAULT_PAGES = 32;
const MIB = 1 << 20;
const LIMITS = [
  ['maxWrite', 4096, 0xffff * 4096],
  ['maxReadahead', 0, 0xffff_ffff],
  ['maxPages', 1, 0xffff],
  ['maxBackground', 1, 0xffff],
  ['congestionThreshold', 1, 0xffff],
  ['timeGran', 1, 1e9],
  ['requestTimeout', 0, 0xffff],
] as const;

/** Whether INIT speaks of a later major version: it is answered with ours, and a second INIT follows. */
export const isLaterMajor = (init: fuse_init_in): boolean => init.major > FUSE_KERNEL_VERSION;

/** The answer to a kernel of a later major version. */
export const OUR_VERSION: fuse_init_out = {
  ...{ major: FUSE_KERNEL_VERSION, minor: FUSE_KERNEL_MINOR_VERSION, max_readahead: 0, flags: 0, flags2: 0 },
  ...{ max_background: 0, congestion_threshold: 0, max_write: 0, time_gran: 0, max_pages: 0, map_alignment: 0 },
  ...{ max_stack_depth: 0, request_timeout: 0 },
};

export function negotiate(init: fuse_init_in, filesystem: Filesystem, options: ConnectionOptions): Agreement {
  const { major, minor } = init;
  if (major < FUSE_KERNEL_VERSION || minor < OLDEST_MINOR) {
    const ours = `${FUSE_KERNEL_VERSION}.${OLDEST_MINOR}`;
    throw new NegotiationError(`the kernel speaks FUSE ${major}.${minor}; rawfuse needs ${ours} (Linux 5.4) or later`);
  }
  const wanted = wishes(filesystem, options);
  const low = BigInt(init.flags);
  const extended = (low >> BigInt(INIT_FLAGS.INIT_EXT)) & 1n;
  const offeredBits = low | (extended ? BigInt(init.flags2) << 32n : 0n);
  const offered = new Set(flagsIn(offeredBits));
  const agreed = new Set([...wanted].filter((flag) => offered.has(flag)));
  if (!agreed.has('DO_READDIRPLUS')) agreed.delete('READDIRPLUS_AUTO');
  // POSIX_ACL would have brought the default_permissions that this needs, and was not offered.
  if (options.defaultPermissions !== true && !agreed.has('POSIX_ACL')) agreed.delete('ALLOW_IDMAP');

  const bits = bitsOf(agreed);
  const background = options.maxBackground ?? BACKGROUND;
  let pages = agreed.has('MAX_PAGES') ? pagesFor(options) : DEFAULT_PAGES;
  // In a ring the payload holds an xattr's name with its value of 64 KiB, and the kernel does not look whether it fits.
  if (agreed.has('OVER_IO_URING')) pages = Math.max(pages, DEFAULT_PAGES);
  const reply: fuse_init_out = {
    major: FUSE_KERNEL_VERSION,
    minor: FUSE_KERNEL_MINOR_VERSION,
    max_readahead: Math.min(init.max_readahead, options.maxReadahead ?? Number.POSITIVE_INFINITY),
    flags: Number(bits & 0xffff_ffffn),
    max_background: background,
    congestion_threshold: options.congestionThreshold ?? Math.max(1, Math.floor((background * 3) / 4)),
    max_write: Math.min(options.maxWrite ?? MIB, pages * pageSize),
    time_gran: options.timeGran ?? 1,
    max_pages: agreed.has('MAX_PAGES') ? pages : 0,
    map_alignment: 0,
    flags2: Number(bits >> 32n),
    max_stack_depth: agreed.has('PASSTHROUGH') ? 1 : 0,
    request_timeout: agreed.has('REQUEST_TIMEOUT') ? options.requestTimeout! : 0,
  };
  const atime = options.atime === false ? 'none' : options.strictatime ? 'strict' : undefined;
  return { minor, offered, wanted, agreed, offeredBits, atime, diratime: options.diratime !== false, reply };
}

const pagesFor = ({ maxPages, maxWrite }: ConnectionOptions): number =>
  maxPages ?? Math.min(0xffff, Math.max(1, Math.ceil((maxWrite ?? MIB) / pageSize)));

/** Bytes that a request, and the body of a reply, may have under an agreement. */
export function bufferSizes(reply: Pick<fuse_init_out, 'max_write' | 'max_pages'>): { request: number; reply: number } {
  const pages = (reply.max_pages || DEFAULT_PAGES) * pageSize;
  // Beside the largest write: header, struct, names and extensions. A value of SETXATTR may have 64 KiB.
  const largest = Math.max(reply.max_write, 1 << 16);
  return { request: largest + 3 * pageSize, reply: Math.max(largest, pages) };
}

/** Bytes that the payload of an entry in a ring must have: no more and no less than the kernel assumes. @see fs/fuse/dev_uring.c: fuse_uring_create */
export const payloadSize = ({ max_write, max_pages }: Pick<fuse_init_out, 'max_write' | 'max_pages'>): number =>
  Math.max(FUSE_MIN_READ_BUFFER, max_write, (max_pages || DEFAULT_PAGES) * pageSize);
