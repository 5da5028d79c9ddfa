/**
 * What statx(2) says of a lower file, as FUSE's attributes: one object, filled again for each answer. An answer
 * is encoded before the next request is served, so nobody sees it change.
 *
 * The inode number is the lower one on the source's own filesystem. On others that are mounted inside of it the same
 * numbers come again, and tar and rsync would see hard links: there it is mixed from device and number, with
 * the top bit set, which no Linux filesystem uses. Two of a million such files share a number once in 18 million trees.
 */
import { EOVERFLOW } from '../../abi/errno.ts';
import { fuse_statx } from '../../abi/fuse.ts';
import type { Result } from '../../protocol/operations.ts';

const { offset: AT } = fuse_statx;
const TIME = 8; // bytes of tv_sec, before tv_nsec
const TOP = 1n << 63n;
const ALL = (1n << 64n) - 1n;

/** A device's number in one. Exact: majors have 12 bits and minors 20. */
export const deviceOf = (view: DataView, at: number): number =>
  view.getUint32(at + AT.dev_major, true) * 2 ** 20 + view.getUint32(at + AT.dev_minor, true);

export class Attributes {
  ino = 0n;
  size = 0;
  blocks = 0;
  atime = 0;
  mtime = 0;
  ctime = 0;
  atimensec = 0;
  mtimensec = 0;
  ctimensec = 0;
  mode = 0;
  nlink = 0;
  uid = 0;
  gid = 0;
  rdev = 0;
  blksize = 0;
  readonly #source: number | undefined;

  /** `source` is the source's device; without one all numbers are shown as they are. */
  constructor(source?: number) {
    this.#source = source;
  }

  /** Takes over a struct statx. EOVERFLOW for a size past 2^53. */
  read(view: DataView, at: number): this {
    const device = deviceOf(view, at);
    this.ino = this.shown(view.getBigUint64(at + AT.ino, true), device);
    this.size = unsigned(view, at + AT.size);
    this.blocks = unsigned(view, at + AT.blocks);
    this.atime = seconds(view, at + AT.atime);
    this.mtime = seconds(view, at + AT.mtime);
    this.ctime = seconds(view, at + AT.ctime);
    this.atimensec = view.getUint32(at + AT.atime + TIME, true);
    this.mtimensec = view.getUint32(at + AT.mtime + TIME, true);
    this.ctimensec = view.getUint32(at + AT.ctime + TIME, true);
    this.mode = view.getUint16(at + AT.mode, true);
    this.nlink = view.getUint32(at + AT.nlink, true);
    this.uid = view.getUint32(at + AT.uid, true);
    this.gid = view.getUint32(at + AT.gid, true);
    this.rdev = encodeDevice(view.getUint32(at + AT.rdev_major, true), view.getUint32(at + AT.rdev_minor, true));
    this.blksize = view.getUint32(at + AT.blksize, true);
    return this;
  }

  /** The inode number that is shown for a number on a device. */
  shown(ino: bigint, device: number): bigint {
    return this.#source === undefined || device === this.#source ? ino : TOP | mix(ino ^ mix(BigInt(device)));
  }

  /** The whole of a struct statx, for STATX. */
  whole(view: DataView, at: number): Result<'STATX'> {
    const stat = fuse_statx.decode(view, at);
    stat.ino = this.shown(stat.ino, deviceOf(view, at));
    // Of what getattr does not tell the kernel takes the birth time, and nothing else.
    return { flags: 0, stat };
  }
}

/** One to one, each bit of the result depends on all. The mixing of SplitMix64. */
function mix(n: bigint): bigint {
  let z = (n + 0x9e37_79b9_7f4a_7c15n) & ALL;
  z = ((z ^ (z >> 30n)) * 0xbf58_476d_1ce4_e5b9n) & ALL;
  z = ((z ^ (z >> 27n)) * 0x94d0_49bb_1331_11ebn) & ALL;
  return z ^ (z >> 31n);
}

/** As the kernel packs a device number into 32 bits. @see include/linux/kdev_t.h: new_encode_dev */
const encodeDevice = (major: number, minor: number): number =>
  ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;

function unsigned(view: DataView, at: number): number {
  const high = view.getUint32(at + 4, true);
  if (high > 0x1f_ffff) throw EOVERFLOW;
  return high * 2 ** 32 + view.getUint32(at, true);
}
const seconds = (view: DataView, at: number): number =>
  view.getInt32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
