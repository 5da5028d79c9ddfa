/**
 * What the kernel may keep of files that change elsewhere, too: a policy, from which timeouts, the flags of each open and what
 * is promised at INIT follow. For filesystems that stand on files of others.
 *
 * - `none`: nothing. Each lookup, stat and read asks.
 * - `auto`: names and attributes for a second. Data for as long as a file's size and time of change are at each open what they
 *   were at the one before; and the kernel drops it too when it learns of another time.
 * - `always`: all of it, for a day: the files change through this mount alone, or the filesystem tells of what changes.
 *
 * Data that the kernel reads from another file itself (handed.ts) it keeps there, whatever the policy: here is nothing of it
 * that could be old. With `writeback` it also keeps what is written, and decides of sizes and times itself.
 *
 * @see docs/caching.md for what can be stale in which
 */
import {
  FOPEN_CACHE_DIR,
  FOPEN_DIRECT_IO,
  FOPEN_KEEP_CACHE,
  FOPEN_NOFLUSH,
  FOPEN_PARALLEL_DIRECT_WRITES,
} from '../abi/fuse-constants.ts';
import { O_ACCMODE, O_DIRECT, O_RDONLY, O_RDWR, O_WRONLY } from '../abi/posix.ts';
import type { Promised, Timeouts } from '../protocol/filesystem.ts';
import { checkKernelPassthrough, type KernelPassthrough } from './handed.ts';

export const CACHES = ['none', 'auto', 'always'] as const;
export type Cache = (typeof CACHES)[number];

export interface CachingOptions {
  /**
   * What the kernel keeps: `none`, nothing; `auto`, names and attributes for a second and data while size and mtime stay the same;
   * `always`, all for a day. The mount's entryTimeout, attrTimeout and negativeTimeout hold before these. Default `auto`.
   */
  readonly cache?: Cache | undefined;
  /**
   * Whether written data stays in the kernel until it is flushed, as on a disk, and sizes and times are the kernel's to know: nobody else
   * may change the files meanwhile. Excludes kernelPassthrough. Default false.
   */
  readonly writeback?: boolean | undefined;
  /**
   * Whether changes that are made elsewhere are noticed, and what the kernel has of them dropped at once. Means something where it keeps
   * something. Default false.
   */
  readonly watch?: boolean | undefined;
  /**
   * Whether the kernel reads and writes open files itself (Linux 6.9, CAP_SYS_ADMIN), so that no request for their data comes: `'auto'`,
   * where it can, and what keeps it from that is told; true, or there is no mount; false. Default `'auto'`.
   */
  readonly kernelPassthrough?: KernelPassthrough | undefined;
}

const DAY = 86_400;
interface Policy {
  readonly timeouts: Timeouts;
  /** Whether an open finds what was cached before: `compare` where the file is the same still. */
  readonly keeps: boolean | 'compare';
}
const POLICIES: Readonly<Record<Cache, Policy>> = {
  none: { timeouts: { entry: 0, attr: 0, negative: 0 }, keeps: false },
  auto: { timeouts: { entry: 1, attr: 1, negative: 0 }, keeps: 'compare' },
  always: { timeouts: { entry: DAY, attr: DAY, negative: DAY }, keeps: true },
};

/** Wishes that can't be, each in one line. RangeError. */
export function checkCaching(options: CachingOptions): void {
  const { cache = 'auto', writeback, watch, kernelPassthrough = 'auto' } = options;
  if (!CACHES.includes(cache)) throw new RangeError(`cache is ${cache}: one of ${CACHES.join(', ')} is needed`);
  checkKernelPassthrough(kernelPassthrough);
  if (watch && cache === 'none')
    throw new RangeError('watch and cache none exclude each other: nothing is kept that could be old');
  if (!writeback) return;
  if (watch)
    throw new RangeError('writeback and watch exclude each other: the kernel hears of no sizes and times then');
  if (kernelPassthrough === true)
    throw new RangeError('writeback and kernelPassthrough exclude each other: the kernel has one or the other');
  if (cache === 'none') throw new RangeError('writeback and cache none exclude each other: what is written is cached');
}

/** FOPEN_ flags of a file whose reads and writes all come here; several may then write to it at once. */
const DIRECT = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES;

export class Caching {
  readonly timeouts: Timeouts;
  /** The duties that come with it. */
  readonly promises: readonly Promised[];
  /** Whether files are to be handed to the kernel: they must be, or `'auto'`. */
  readonly hands: KernelPassthrough;
  readonly #policy: Policy;
  readonly #cache: Cache;
  readonly #writeback: boolean;

  /** Options that `checkCaching` has seen. */
  constructor({ cache = 'auto', writeback = false, kernelPassthrough = 'auto' }: CachingOptions) {
    this.#cache = cache;
    this.#policy = POLICIES[cache];
    this.#writeback = writeback;
    this.timeouts = this.#policy.timeouts;
    this.hands = writeback ? false : kernelPassthrough;
    const promises: Promised[] = [];
    if (cache !== 'none') promises.push('CACHE_SYMLINKS'); // the target of a symlink never changes
    // Else each write of one's own would be news, and the data be dropped.
    if (cache === 'always') promises.push('EXPLICIT_INVAL_DATA');
    if (writeback) promises.push('WRITEBACK_CACHE');
    if (this.hands) promises.push('PASSTHROUGH');
    this.promises = promises;
  }

  /** The FOPEN_ flags of a file that is opened with `flags`. `same` tells whether it is what it was at the last open, and is asked where it matters. */
  file(flags: number, same: () => boolean): number {
    if (flags & O_DIRECT || this.#cache === 'none') return DIRECT;
    return this.#kept(same) ? FOPEN_KEEP_CACHE : 0;
  }
  /** The same of a directory. */
  directory(same: () => boolean): number {
    if (this.#cache === 'none') return 0;
    return FOPEN_CACHE_DIR | (this.#kept(same) ? FOPEN_KEEP_CACHE : 0);
  }
  #kept(same: () => boolean): boolean {
    const { keeps } = this.#policy;
    return keeps === 'compare' ? same() : keeps;
  }

  /** The access mode to open a file with: where the kernel writes pages back it reads what is around, of files too that are opened for writing. */
  access(flags: number): number {
    const access = flags & O_ACCMODE;
    return this.#writeback && access === O_WRONLY ? O_RDWR : access;
  }
}

/** FOPEN_NOFLUSH for who can't have written anything: one request less when he closes. */
export const unflushed = (flags: number): number => ((flags & O_ACCMODE) === O_RDONLY ? FOPEN_NOFLUSH : 0);
