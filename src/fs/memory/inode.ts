/**
 * The attributes of a file, as members under their wire names (so that an inode is its own `fuse_attr`), and the
 * rules of single attributes: which times move, when setuid goes, what an access time is worth, what SETATTR changes.
 * Wherever a filesystem keeps them: MemoryFs has them in its nodes (node.ts).
 */
import {
  FATTR_ATIME,
  FATTR_ATIME_NOW,
  FATTR_CTIME,
  FATTR_GID,
  FATTR_KILL_SUIDGID,
  FATTR_MODE,
  FATTR_MTIME,
  FATTR_MTIME_NOW,
  FATTR_UID,
} from '../../abi/fuse-constants.ts';
import {
  S_IFDIR,
  S_IFMT,
  S_IFREG,
  S_ISGID,
  S_ISUID,
  S_IXGRP,
  STATX_BASIC_STATS,
  STATX_BTIME,
} from '../../abi/posix.ts';
import type { Args, Result } from '../../protocol/operations.ts';
import { clearsAlone } from '../setattr.ts';
import { changeMode, type Guarded } from './access.ts';
import { clock } from './clock.ts';
import { PAGE } from './pages.ts';

/** When reading moves the access time: when it is not later than the other two or a day old, always, or never. mount(8). */
export type Atime = 'relatime' | 'strict' | 'none';

const DAY = 86_400;
/** How far, in ms, the clock that Linux stamps files with may be behind ours: a tick of 4 ms before Linux 6.13, and what ours runs ahead. */
const BEHIND = 10;

export abstract class Inode implements Guarded {
  readonly ino: bigint;
  mode: number;
  nlink = 0;
  uid: number;
  gid: number;
  rdev = 0;
  size = 0;
  /** Of 512 bytes. INVARIANT: eight for each page of the content. */
  blocks = 0;
  atime: number;
  mtime: number;
  ctime: number;
  btime: number;
  atimensec: number;
  mtimensec: number;
  ctimensec: number;
  btimensec: number;
  abstract readonly xattrs: Guarded['xattrs'];

  /** Made now. */
  constructor(ino: bigint, mode: number, uid: number, gid: number) {
    this.ino = ino;
    this.mode = mode;
    this.uid = uid;
    this.gid = gid;
    const { seconds, nanoseconds } = clock.tick();
    this.atime = seconds;
    this.mtime = seconds;
    this.ctime = seconds;
    this.btime = seconds;
    this.atimensec = nanoseconds;
    this.mtimensec = nanoseconds;
    this.ctimensec = nanoseconds;
    this.btimensec = nanoseconds;
  }

  get isDirectory(): boolean {
    return (this.mode & S_IFMT) === S_IFDIR;
  }
  get isFile(): boolean {
    return (this.mode & S_IFMT) === S_IFREG;
  }

  /** What statx(2) says of it. */
  get statx(): Result<'STATX'>['stat'] {
    const time = (tv_sec: number, tv_nsec: number) => ({ tv_sec, tv_nsec });
    return {
      ...{ mask: STATX_BASIC_STATS | STATX_BTIME, ino: this.ino, mode: this.mode, nlink: this.nlink },
      ...{ uid: this.uid, gid: this.gid, size: this.size, blocks: this.blocks, blksize: PAGE },
      ...{ rdev_major: major(this.rdev), rdev_minor: minor(this.rdev) },
      atime: time(this.atime, this.atimensec),
      mtime: time(this.mtime, this.mtimensec),
      ctime: time(this.ctime, this.ctimensec),
      btime: time(this.btime, this.btimensec),
    };
  }

  /** The inode changed. */
  touchInode(): void {
    const { seconds, nanoseconds } = clock.tick();
    this.ctime = seconds;
    this.ctimensec = nanoseconds;
  }
  /** What is in it changed, and with it the inode. */
  touch(): void {
    this.touchInode();
    this.mtime = this.ctime;
    this.mtimensec = this.ctimensec;
  }
  /** It was read. */
  accessed(rule: Atime): void {
    if (!this.#movesAtime(rule)) return;
    const { seconds, nanoseconds } = clock.tick();
    this.atime = seconds;
    this.atimensec = nanoseconds;
  }
  /** @see fs/inode.c: relatime_need_update */
  #movesAtime(rule: Atime): boolean {
    return (
      rule !== 'none' &&
      !(
        rule === 'relatime' &&
        isLater(this.atime, this.atimensec, this.mtime, this.mtimensec) &&
        isLater(this.atime, this.atimensec, this.ctime, this.ctimensec) &&
        Date.now() / 1000 - this.atime < DAY
      ) // to the second will do, and costs a third of a tick
    );
  }

  /** Linux has stamped a change of what is in it, which it made by itself. */
  touchedAt(seconds: number, nanoseconds: number): void {
    const ahead = this.#ahead(seconds, nanoseconds);
    if (ahead >= 0 && ahead < BEHIND) return this.touch();
    this.mtime = seconds;
    this.mtimensec = nanoseconds;
    if (ahead >= 0) return; // the inode has changed since
    this.ctime = seconds;
    this.ctimensec = nanoseconds;
  }
  /** Linux has stamped that it was read. */
  accessedAt(rule: Atime, seconds: number, nanoseconds: number): void {
    const ahead = this.#ahead(seconds, nanoseconds);
    if (ahead >= 0 && ahead < BEHIND) return this.accessed(rule);
    if (!this.#movesAtime(rule)) return;
    this.atime = seconds;
    this.atimensec = nanoseconds;
  }
  /** How much later than a time, in ms, the inode was changed. */
  #ahead(seconds: number, nanoseconds: number): number {
    return (this.ctime - seconds) * 1000 + (this.ctimensec - nanoseconds) / 1e6;
  }

  /** Takes away what runs with the owner's power: setuid, setgid where the group may execute, capabilities. chown(2), write(2). */
  killPrivileges(): void {
    if (this.isDirectory) return;
    this.mode &= ~S_ISUID;
    if (this.mode & S_IXGRP) this.mode &= ~S_ISGID;
    this.xattrs?.remove('security.capability');
  }

  /** All that SETATTR changes but the size. */
  change(set: Args<'SETATTR'>): void {
    const { valid } = set;
    // No bit at all is a chown(2) that changes nothing, or a write on behalf of somebody without privileges.
    if (valid & (FATTR_UID | FATTR_GID | FATTR_KILL_SUIDGID) || clearsAlone(valid)) this.killPrivileges();
    if (valid & FATTR_UID) this.uid = set.uid!;
    if (valid & FATTR_GID) this.gid = set.gid!;
    if (valid & FATTR_MODE) changeMode(this, set.mode!);
    const { seconds, nanoseconds } = clock.tick();
    if (valid & FATTR_ATIME) {
      const given = !(valid & FATTR_ATIME_NOW);
      this.atime = given ? set.atime! : seconds;
      this.atimensec = given ? set.atimensec! : nanoseconds;
    }
    if (valid & FATTR_MTIME) {
      const given = !(valid & FATTR_MTIME_NOW);
      this.mtime = given ? set.mtime! : seconds;
      this.mtimensec = given ? set.mtimensec! : nanoseconds;
    }
    this.ctime = valid & FATTR_CTIME ? set.ctime! : seconds;
    this.ctimensec = valid & FATTR_CTIME ? set.ctimensec! : nanoseconds;
  }
}

const isLater = (s: number, ns: number, thanS: number, thanNs: number): boolean =>
  s > thanS || (s === thanS && ns > thanNs);

/** The halves of a device number as the kernel packs it into 32 bits. @see include/linux/kdev_t.h: new_encode_dev */
const major = (rdev: number): number => (rdev >>> 8) & 0xfff;
const minor = (rdev: number): number => (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
