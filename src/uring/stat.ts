/**
 * What a file is, as statx(2) has it: decoded at once, for the kernel's copy is used again; times become bigints only
 * when somebody asks.
 */
import { fuse_statx } from '../abi/fuse.ts';
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, STATX_BTIME, STATX_DIOALIGN } from '../abi/posix.ts';
import { statx } from '../abi/statx.ts';

export const STATX_BYTES = statx.size;

/** What O_DIRECT asks of a read or write, in bytes. */
export interface Alignment {
  /** Addresses are multiples of it. */
  readonly memory: number;
  /** Offsets and lengths are multiples of it. */
  readonly offset: number;
}

interface Time {
  readonly tv_sec: number;
  readonly tv_nsec: number;
}
const nanoseconds = ({ tv_sec, tv_nsec }: Time): bigint => BigInt(tv_sec) * 1_000_000_000n + BigInt(tv_nsec);

export class UringStat {
  /** All that the kernel said, with C's names; `statx.mask` says which of it the filesystem has. */
  readonly statx: ReturnType<typeof fuse_statx.decode>;
  /** What O_DIRECT asks on this file: zeros where it has none, undefined where the filesystem or the kernel (before Linux 6.1) does not say. */
  readonly alignment: Alignment | undefined;

  /** @internal */
  constructor(view: DataView) {
    this.statx = fuse_statx.decode(view, 0); // which has the beginning of C's struct, without its prefix
    const { stx_dio_mem_align, stx_dio_offset_align } = statx.offset;
    this.alignment =
      this.statx.mask & STATX_DIOALIGN
        ? { memory: view.getUint32(stx_dio_mem_align, true), offset: view.getUint32(stx_dio_offset_align, true) }
        : undefined;
  }

  /** Bytes. */
  get size(): number {
    return this.statx.size;
  }
  /** Type and permissions: S_IF bits and below. */
  get mode(): number {
    return this.statx.mode;
  }
  get uid(): number {
    return this.statx.uid;
  }
  get gid(): number {
    return this.statx.gid;
  }
  /** Hard links. */
  get nlink(): number {
    return this.statx.nlink;
  }
  /** The inode's number, of 64 bits. */
  get ino(): bigint {
    return this.statx.ino;
  }
  /** Units of 512 bytes that it takes up. */
  get blocks(): number {
    return this.statx.blocks;
  }
  /** Last access, in nanoseconds since 1970. */
  get atimeNs(): bigint {
    return nanoseconds(this.statx.atime);
  }
  /** Last change of the contents, in nanoseconds since 1970. */
  get mtimeNs(): bigint {
    return nanoseconds(this.statx.mtime);
  }
  /** Last change of contents or attributes, in nanoseconds since 1970. */
  get ctimeNs(): bigint {
    return nanoseconds(this.statx.ctime);
  }
  /** When it was made, in nanoseconds since 1970; undefined on a filesystem that does not keep it. */
  get birthtimeNs(): bigint | undefined {
    return this.statx.mask & STATX_BTIME ? nanoseconds(this.statx.btime) : undefined;
  }
  isFile(): boolean {
    return (this.mode & S_IFMT) === S_IFREG;
  }
  isDirectory(): boolean {
    return (this.mode & S_IFMT) === S_IFDIR;
  }
  isSymbolicLink(): boolean {
    return (this.mode & S_IFMT) === S_IFLNK;
  }
}
