/**
 * Listings that were merged before, for as long as nothing is put into their directories or taken out: of a large directory that is listed
 * again, to read it on its branches and to merge it would be most of the cost.
 *
 * A listing is what it was where each branch has the very directory that was read, with the times it had: ctime is nobody's to set. Only what
 * comes within one tick of a filesystem's clock after another change has the same time again. So a directory is remembered if it had
 * been left alone for longer than any tick when its reading began; and on those filesystems alone that were tested to have every change of a directory
 * in its times, and that nobody changes elsewhere (test/fs/union-remembered.test.ts). Each thread remembers for itself.
 * @see fs/fuse/readdir.c: fuse_readdir_cached, by which the kernel judges what it keeps of a directory
 */
import { errno } from '../../abi/errno.ts';
import { closeQuietly, fstatfs, statx } from '../../abi/files.ts';
import { fuse_statx, fuse_sx_time } from '../../abi/fuse.ts';
import { AT_EMPTY_PATH, STATX_ATTR_ENCRYPTED, STATX_BASIC_STATS } from '../../abi/posix.ts';
import type { Scratch } from '../passthrough/scratch.ts';
import { typeIn } from '../passthrough/statfs.ts';
import type { Branch, Lower } from './lower.ts';
import { isNone, type Listed } from './merged.ts';
import type { Values } from './options.ts';

/** Bytes of listings that a thread remembers at most: some 100,000 names. Of one directory half of it. */
const MOST = 4 * 2 ** 20;
/** Of one directory at least: a walk that finds none again would cost a third more with 20 names in each (54 us a listing, and 70), with 600 it is 6 %. */
const LEAST = 16 * 2 ** 10;
/** The longest tick in ms, and some more: ext3, and ext4 with inodes of 128 bytes, keep times in seconds. */
const TICK = 3000;

/** By the type that statfs(2) tells. @see include/uapi/linux/magic.h */
const TELLING = new Set([
  0xef53, // ext2, ext3, ext4
  0x5846_5342, // XFS
  0x9123_683e, // Btrfs
  0x0102_1994, // tmpfs
]);

const { offset: AT } = fuse_statx;
const { offset: TIME } = fuse_sx_time;
/** What of a directory's statx tells whether it is the same, and as it was: places of words. */
const STAMP = [
  ...[AT.dev_major, AT.dev_minor, AT.ino, AT.ino + 4],
  ...[AT.ctime, AT.mtime].flatMap((at) => [at + TIME.tv_sec, at + TIME.tv_sec + 4, at + TIME.tv_nsec]),
];
/** Of a directory on a branch; undefined where there was none. */
type Stamp = readonly number[] | undefined;

interface Entry {
  readonly listed: Listed;
  /** Another array where anything about them was set. */
  readonly branches: readonly Branch[];
  readonly stamps: readonly Stamp[];
  readonly inodecalc: Values['inodecalc'];
  readonly bytes: number;
}

export class Remembered {
  readonly #lower: Lower;
  readonly #values: Values;
  readonly #scratch: Scratch;
  /** By path, those that were asked for last at the end. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  constructor(lower: Lower, values: Values, scratch: Scratch) {
    this.#lower = lower;
    this.#values = values;
    this.#scratch = scratch;
  }

  /** The listing of a directory, if it is what would be read. */
  get(path: string): Listed | undefined {
    const entry = this.#entries.get(path);
    if (entry === undefined) return undefined;
    this.#forget(path, entry);
    if (!this.#isStill(entry, path)) return undefined;
    this.#put(path, entry);
    return entry.listed;
  }
  #isStill({ branches, stamps, inodecalc }: Entry, path: string): boolean {
    return (
      branches === this.#lower.branches &&
      inodecalc === this.#values.inodecalc &&
      branches.every((branch, i) => this.#isAsItWas(branch, path, stamps[i]))
    );
  }
  #isAsItWas(branch: Branch, path: string, stamp: Stamp): boolean {
    const fd = this.#lower.open(branch, path);
    if (fd < 0) return stamp === undefined && isNone(errno(-fd));
    const { view, statAt } = this.#scratch;
    const is = this.#stat(fd) && stamp?.every((word, i) => view.getInt32(statAt + STAMP[i]!, true) === word);
    closeQuietly(fd);
    return is === true;
  }

  /**
   * What was read of a directory, on all branches that have it, and since when (Date.now); for each branch the descriptor that it was read by, or an
   * errno negated. It is remembered if nothing can have changed it from a tick before then until now.
   */
  keep(path: string, { records, index }: Listed, since: number, fds: readonly number[]): void {
    const bytes = records.length + index.byteLength;
    if (bytes < LEAST || bytes > MOST / 2) return;
    const stamps: Stamp[] = [];
    for (const fd of fds) {
      if (fd >= 0 && !this.#isQuiet(fd, since)) return;
      stamps.push(fd < 0 ? undefined : this.#stamp());
    }
    const listed = { records: new Uint8Array(records), index };
    this.#put(path, { listed, branches: this.#lower.branches, stamps, inodecalc: this.#values.inodecalc, bytes });
    for (const [other, entry] of this.#entries) {
      if (this.#bytes <= MOST) return;
      this.#forget(other, entry);
    }
  }
  #put(path: string, entry: Entry): void {
    this.#entries.set(path, entry);
    this.#bytes += entry.bytes;
  }
  #forget(path: string, { bytes }: Entry): void {
    this.#entries.delete(path);
    this.#bytes -= bytes;
  }

  /** Whether a directory has been left alone since a tick before then, and would tell if it were not. */
  #isQuiet(fd: number, since: number): boolean {
    const { view, statAt, statfs, statfsAt } = this.#scratch;
    if (!this.#stat(fd)) return false;
    const changed = Number(view.getBigInt64(statAt + AT.ctime + TIME.tv_sec, true)) * 1000;
    const after = view.getUint32(statAt + AT.ctime + TIME.tv_nsec, true) / 1e6;
    // With a key that comes or goes the names of an encrypted directory are others, at the same time.
    const encrypted = (view.getUint32(statAt + AT.attributes, true) & STATX_ATTR_ENCRYPTED) !== 0;
    if (changed + after + TICK > since || encrypted) return false;
    return fstatfs(fd, statfs) >= 0 && TELLING.has(typeIn(view, statfsAt));
  }
  #stat(fd: number): boolean {
    const { empty, stat } = this.#scratch;
    return statx(fd, empty, AT_EMPTY_PATH, STATX_BASIC_STATS, stat) >= 0;
  }
  #stamp(): Stamp {
    const { view, statAt } = this.#scratch;
    return STAMP.map((at) => view.getInt32(statAt + at, true));
  }
}
