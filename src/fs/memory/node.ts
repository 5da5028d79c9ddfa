/**
 * A file of any kind in memory: its attributes (inode.ts), its names, and what is in it.
 */
import type { Node } from '../nodes.ts';
import type { Content } from './content.ts';
import { Directory, type Entry } from './directory.ts';
import { Inode } from './inode.ts';
import type { Xattrs } from './xattrs.ts';

export class MemoryNode extends Inode implements Node {
  readonly nodeid: number;
  nlookup = 0;
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
    super(BigInt(nodeid), mode, uid, gid);
    this.nodeid = nodeid;
    if (this.isDirectory) this.body = new Directory();
  }

  /** @see Node.linked */
  get linked(): boolean {
    return this.nlink > 0;
  }
  /** The directory that a directory is in; undefined for the root and for one that was removed. */
  get parent(): MemoryNode | undefined {
    return this.links?.parent;
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
