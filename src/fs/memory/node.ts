/**
 * A file of any kind: its attributes, which are the node's own members under their wire names (so that a node
 * is its own `fuse_attr`), its names, and what is in it. Here are the rules of single attributes: which times
 * move, when setuid goes, what an access time is worth.
 */
import { S_IFDIR, S_IFMT, S_IFREG, S_ISGID, S_ISUID, S_IXGRP } from '../../abi/posix.ts';
import type { Node } from '../nodes.ts';
import { clock } from './clock.ts';
import type { Content } from './content.ts';
import { Directory, type Entry } from './directory.ts';
import type { Xattrs } from './xattrs.ts';

/** When reading moves the access time: when it is not later than the other two or a day old, always, or never. mount(8). */
export type Atime = 'relatime' | 'strict' | 'none';

const DAY = 86_400;

export class MemoryNode implements Node {
  readonly nodeid: number;
  nlookup = 0;
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
  /**
   * What is in it: names, the target of a symlink, or data; undefined for a file that was never written, a
   * fifo, a socket, a device.
   */
  body: Directory | Content | string | undefined = undefined;
  xattrs: Xattrs | undefined = undefined;
  /**
   * Its names, chained by `Entry.next`, in no order. INVARIANT: as many as `nlink` for all but directories;
   * a directory has one, or none when it is the root or removed.
   */
  links: Entry | undefined = undefined;
  /** How often the content was changed. @see MemoryFs.poll */
  version = 0;
  /** Who polls for the next change: FUSE's handles of polls. */
  waiting: Set<bigint> | undefined = undefined;

  constructor(nodeid: number, mode: number, uid: number, gid: number) {
    this.nodeid = nodeid;
    this.ino = BigInt(nodeid);
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
    if (this.isDirectory) this.body = new Directory();
  }

  /** @see Node.linked */
  get linked(): boolean {
    return this.nlink > 0;
  }
  get isDirectory(): boolean {
    return (this.mode & S_IFMT) === S_IFDIR;
  }
  get isFile(): boolean {
    return (this.mode & S_IFMT) === S_IFREG;
  }
  /** The directory that a directory is in; undefined for the root and for one that was removed. */
  get parent(): MemoryNode | undefined {
    return this.links?.parent;
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
  /** It was read. @see fs/inode.c: relatime_need_update */
  accessed(rule: Atime): void {
    if (rule === 'none') return;
    if (
      rule === 'relatime' &&
      isLater(this.atime, this.atimensec, this.mtime, this.mtimensec) &&
      isLater(this.atime, this.atimensec, this.ctime, this.ctimensec) &&
      Date.now() / 1000 - this.atime < DAY // to the second will do, and costs a third of a tick
    )
      return;
    const { seconds, nanoseconds } = clock.tick();
    this.atime = seconds;
    this.atimensec = nanoseconds;
  }

  /** Takes away what runs with the owner's power: setuid, setgid where the group may execute, capabilities. chown(2), write(2). */
  killPrivileges(): void {
    if (this.isDirectory) return;
    this.mode &= ~S_ISUID;
    if (this.mode & S_IXGRP) this.mode &= ~S_ISGID;
    this.xattrs?.remove('security.capability');
  }

  /** A further name. */
  linkedBy(entry: Entry): void {
    entry.next = this.links;
    if (this.links) this.links.previous = entry;
    this.links = entry;
  }
  /** One name less. */
  unlinkedBy(entry: Entry): void {
    if (entry.previous) entry.previous.next = entry.next;
    else this.links = entry.next;
    if (entry.next) entry.next.previous = entry.previous;
    entry.next = undefined;
    entry.previous = undefined;
  }
}

const isLater = (s: number, ns: number, thanS: number, thanNs: number): boolean =>
  s > thanS || (s === thanS && ns > thanNs);
