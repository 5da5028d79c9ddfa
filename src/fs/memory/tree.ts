/**
 * The tree of names and nodes, and all that changes it. It knows paths' pieces, not opcodes: MemoryFs serves
 * the kernel from it, and MemoryFiles the program that owns it, so that both obey one set of rules.
 *
 * A change is refused before anything has happened, or it happens as a whole. What may be refused for lack of
 * space is therefore asked first.
 */
import {
  EEXIST,
  EFBIG,
  EINVAL,
  EISDIR,
  EMLINK,
  ENAMETOOLONG,
  ENOENT,
  ENOSPC,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
} from '../../abi/errno.ts';
import { FUSE_ROOT_ID } from '../../abi/fuse-constants.ts';
import {
  NAME_MAX,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  RENAME_WHITEOUT,
  S_IFCHR,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_ISGID,
} from '../../abi/posix.ts';
import { encodeName } from '../../protocol/names.ts';
import { NodeTable } from '../nodes.ts';
import { endow, inherited } from './access.ts';
import { type Checked, Content, SECTORS, type Store } from './content.ts';
import { Directory, type Entry } from './directory.ts';
import type { Atime } from './inode.ts';
import { MemoryNode } from './node.ts';
import { Xattrs } from './xattrs.ts';

/** Who makes a file, and what of its mode the caller's umask takes away. */
export interface Maker {
  readonly uid: number;
  readonly gid: number;
}

/** `st_size` of a directory: what tmpfs counts for a name. @see mm/shmem.c: BOGO_DIRENT_SIZE */
const NAME_SIZE = 20;
/** The largest `st_nlink`: 32 bits on the wire. */
const LINK_MAX = 0xffff_ffff;
/** Bytes in a file at most: what a number holds exactly. */
export const SIZE_MAX = Number.MAX_SAFE_INTEGER;

/** The kernel sends longer names than Linux's filesystems have. A code unit has three bytes at most. */
export function checkLength(name: string): void {
  if (name.length * 3 > NAME_MAX && encodeName(name).length > NAME_MAX) throw ENAMETOOLONG;
}

export class Tree {
  readonly nodes = new NodeTable<MemoryNode>((node) => this.#free(node));
  /** Where the contents of files are. */
  readonly store: Store;
  /** When reading moves access times. */
  atime: Atime = 'relatime';
  /** How many nodes there may be, the root included. */
  readonly inodes: number;
  readonly root: MemoryNode;
  /** Told who waits for a file that has changed. */
  readonly #wake: (kh: bigint) => void;

  constructor(store: Store, inodes: number, owner: Maker, wake: (kh: bigint) => void) {
    this.store = store;
    this.inodes = inodes;
    this.#wake = wake;
    this.root = this.nodes.add((nodeid) => new MemoryNode(nodeid, S_IFDIR | 0o755, owner.uid, owner.gid));
    this.root.nlink = 2;
  }

  /** A node has left the table: nobody can reach it any more. */
  #free(node: MemoryNode): void {
    if (node.body instanceof Content) node.body.free();
    node.xattrs?.clear();
  }

  /** The names of a directory. ENOTDIR. */
  directory({ body }: MemoryNode): Directory {
    if (!(body instanceof Directory)) throw ENOTDIR;
    return body;
  }

  /** The entry of a name. ENOENT, ENOTDIR, ENAMETOOLONG. */
  find(parent: MemoryNode, name: string): Entry {
    checkLength(name);
    const entry = this.directory(parent).get(name);
    if (entry === undefined) throw ENOENT;
    return entry;
  }

  /**
   * What a name means in a directory, where one may be made. ENOENT (the directory was removed while somebody was in it), ENOTDIR,
   * ENAMETOOLONG.
   */
  #place(parent: MemoryNode, name: string): Entry | undefined {
    const directory = this.directory(parent);
    if (!parent.linked) throw ENOENT;
    checkLength(name);
    return directory.get(name);
  }

  /** Refuses what would be a name too many: to be asked before anything has happened. ENOSPC. */
  #room(parent: MemoryNode): void {
    if (this.directory(parent).full) throw ENOSPC;
  }

  /** A node without a name yet: its mode, group and ACLs as its directory has it. ENOSPC. */
  #create(parent: MemoryNode, mode: number, { uid, gid }: Maker, umask: number): MemoryNode {
    if (this.nodes.size >= this.inodes) throw ENOSPC;
    const { mode: granted, access } = inherited(parent, mode, umask);
    const setgid = parent.mode & S_ISGID;
    const directory = (mode & S_IFMT) === S_IFDIR;
    const node = this.nodes.add(
      (nodeid) => new MemoryNode(nodeid, granted | (directory ? setgid : 0), uid, setgid ? parent.gid : gid),
    );
    try {
      endow(node, parent, access, this.xattrsOf);
    } catch (error) {
      this.nodes.drop(node);
      throw error;
    }
    return node;
  }

  /** Makes a file of any kind. EEXIST, ENOENT, ENOTDIR, ENAMETOOLONG, ENOSPC, EMLINK. */
  make(
    parent: MemoryNode,
    name: string,
    mode: number,
    maker: Maker,
    { umask = 0, rdev = 0, target = '' } = {},
  ): MemoryNode {
    if (this.#place(parent, name)) throw EEXIST;
    this.#room(parent);
    const isDirectory = (mode & S_IFMT) === S_IFDIR;
    if (isDirectory && parent.nlink >= LINK_MAX) throw EMLINK;
    const node = this.#create(parent, mode, maker, umask);
    node.rdev = rdev;
    if ((mode & S_IFMT) === S_IFLNK) {
      node.body = target;
      node.size = encodeName(target).length;
    }
    node.nlink = isDirectory ? 2 : 1;
    this.#put(parent, name, node);
    return node;
  }

  /** Makes a file without a name, in a directory that was removed too. open(2): O_TMPFILE. ENOTDIR, ENOSPC. */
  makeUnnamed(parent: MemoryNode, mode: number, maker: Maker, umask: number): MemoryNode {
    this.directory(parent);
    return this.#create(parent, S_IFREG | (mode & ~S_IFMT), maker, umask);
  }

  /** Gives a file a further name. EPERM (a directory), EEXIST, ENOENT, ENOTDIR, ENAMETOOLONG, ENOSPC, EMLINK. */
  link(node: MemoryNode, parent: MemoryNode, name: string): void {
    if (node.isDirectory) throw EPERM;
    if (this.#place(parent, name)) throw EEXIST;
    this.#room(parent);
    if (node.nlink >= LINK_MAX) throw EMLINK;
    node.nlink++;
    this.#put(parent, name, node);
    node.touchInode();
  }

  /** Removes the name of anything but a directory. ENOENT, EISDIR. */
  unlink(parent: MemoryNode, name: string): MemoryNode {
    const entry = this.find(parent, name);
    const { node } = entry;
    if (node.isDirectory) throw EISDIR;
    this.#take(entry);
    this.#release(node);
    return node;
  }

  /** Removes an empty directory. ENOENT, ENOTDIR, ENOTEMPTY. */
  rmdir(parent: MemoryNode, name: string): MemoryNode {
    const entry = this.find(parent, name);
    const { node } = entry;
    this.#removable(node);
    this.#take(entry);
    this.#release(node);
    return node;
  }

  #removable(node: MemoryNode): void {
    if (this.directory(node).size > 0) throw ENOTEMPTY;
  }

  /** A link of a node has gone; a directory goes with its only one. */
  #release(node: MemoryNode): void {
    node.nlink = node.isDirectory ? 0 : node.nlink - 1;
    node.touchInode();
    this.nodes.drop(node);
  }

  /** A name for a node, whose count of links has it already. */
  #put(parent: MemoryNode, name: string, node: MemoryNode): void {
    node.linkedBy(this.directory(parent).add(name, node, parent));
    if (node.isDirectory) parent.nlink++;
    parent.size += NAME_SIZE;
    parent.touch();
  }

  /** Takes a name away; the count of links stays. */
  #take(entry: Entry): void {
    const parent = entry.parent!;
    entry.node.unlinkedBy(entry);
    this.directory(parent).remove(entry);
    if (entry.node.isDirectory) parent.nlink--;
    parent.size -= NAME_SIZE;
    parent.touch();
  }

  /** Makes a name mean another node; the name keeps its place in the listing. */
  #turn(entry: Entry, node: MemoryNode): void {
    const parent = entry.parent!;
    entry.node.unlinkedBy(entry);
    if (entry.node.isDirectory) parent.nlink--;
    entry.node = node;
    node.linkedBy(entry);
    if (node.isDirectory) parent.nlink++;
    parent.touch();
  }

  /**
   * renameat2(2) with all its flags. EINVAL (into itself), EEXIST (NOREPLACE), ENOENT, ENOTDIR, EISDIR, ENOTEMPTY,
   * ENAMETOOLONG, ENOSPC.
   */
  rename(from: MemoryNode, oldname: string, to: MemoryNode, newname: string, flags: number, maker: Maker): void {
    if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) throw EINVAL;
    const there = this.#place(to, newname);
    const entry = this.find(from, oldname);
    const { node } = entry;
    this.#outside(node, to);
    if (flags & RENAME_EXCHANGE) {
      if (there === undefined) throw ENOENT;
      return this.#exchange(entry, there);
    }
    if (there && flags & RENAME_NOREPLACE) throw EEXIST;
    if (there?.node === node) return; // two names of one file: nothing happens, rename(2)
    if (there && node.isDirectory) this.#removable(there.node);
    else if (there?.node.isDirectory) throw EISDIR;
    // A name that leaves its own directory makes the room that it needs.
    if (!there && (to !== from || flags & RENAME_WHITEOUT)) this.#room(to);
    // An overlay's mark that there is nothing here: a character device 0:0. The last that may be refused.
    const whiteout = flags & RENAME_WHITEOUT ? this.#create(from, S_IFCHR, maker, 0) : undefined;

    if (whiteout) {
      whiteout.nlink = 1;
      this.#turn(entry, whiteout);
    } else this.#take(entry);
    if (there) {
      const replaced = there.node;
      this.#turn(there, node);
      this.#release(replaced);
    } else this.#put(to, newname, node);
    node.touchInode();
  }

  #exchange(one: Entry, other: Entry): void {
    const [first, second] = [one.node, other.node];
    this.#outside(second, one.parent!);
    if (first === second) return;
    this.#turn(one, second);
    this.#turn(other, first);
    first.touchInode();
    second.touchInode();
  }

  /** Refuses to put a directory into itself. */
  #outside(node: MemoryNode, directory: MemoryNode): void {
    if (!node.isDirectory) return;
    for (let up: MemoryNode | undefined = directory; up; up = up.parent) if (up === node) throw EINVAL;
  }

  /** The extended attributes of a file, made when the first is set. */
  readonly xattrsOf = (node: MemoryNode): Xattrs => {
    node.xattrs ??= new Xattrs(this.store);
    return node.xattrs;
  };

  /** The content of a file, made when first needed. */
  content(node: MemoryNode): Content {
    if (!(node.body instanceof Content)) node.body = this.store.content(node);
    return node.body;
  }

  /** A node, with what the kernel has done to its content by itself: to be asked for before its attributes are. */
  look(node: MemoryNode): MemoryNode {
    if (node.body instanceof Content && node.body.look(node, this.atime)) this.#news(node);
    return node;
  }

  /** Writes; how many bytes, fewer than there are where space ends, unless it is to be done as a `whole`. EFBIG, ENOSPC. */
  write(node: MemoryNode, offset: number, data: Uint8Array, whole = false): number {
    if (offset + data.length > SIZE_MAX) throw EFBIG;
    const written = data.length === 0 ? 0 : this.content(node).write(offset, data, whole);
    if (written > 0) this.changed(node, Math.max(node.size, offset + written));
    return written;
  }

  /** Cuts a file off, or lets it grow by a hole. EFBIG. */
  resize(node: MemoryNode, size: number): void {
    if (size > SIZE_MAX) throw EFBIG;
    // At the same size too: what was promised behind the end goes.
    if (size <= node.size && node.body instanceof Content) node.body.cut(size);
    this.changed(node, size);
  }

  /** The content has changed. */
  changed(node: MemoryNode, size: number): void {
    node.size = size;
    if (node.body instanceof Content) {
      node.size = node.body.settle(size);
      node.blocks = node.body.count * SECTORS;
    }
    node.touch();
    this.#news(node);
  }
  /** Whoever polls for a change hears of it. */
  #news(node: MemoryNode): void {
    node.version++;
    if (node.waiting === undefined) return;
    const { waiting } = node;
    node.waiting = undefined;
    for (const kh of waiting) this.#wake(kh);
  }

  /** Throws where an invariant of the tree, or of what is in it, does not hold. */
  check(): void {
    let others = 0;
    const names = new Map<MemoryNode, number>();
    const files: Checked[] = [];
    for (const node of this.nodes.all()) {
      const { nodeid, size, body } = this.look(node);
      if (body instanceof Content) files.push({ nodeid, size, content: body });
      try {
        this.#check(node, names);
        others += node.xattrs?.pages ?? 0;
      } catch (error) {
        throw new Error(`node ${node.nodeid}: ${(error as Error).message}`);
      }
    }
    for (const node of this.nodes.all()) {
      // INVARIANT: a file's links are its names; a directory has one name, one link for it, one for ".", one for each "..".
      const found = names.get(node) ?? 0;
      const wanted = node.isDirectory ? (node.linked && node.nodeid !== FUSE_ROOT_ID ? 1 : 0) : node.nlink;
      if (found !== wanted) throw new Error(`node ${node.nodeid}: ${node.nlink} links, ${found} names`);
      // INVARIANT: a node is there because it has a name or because the kernel counts it.
      if (!node.linked && node.nlookup === 0) throw new Error(`node ${node.nodeid}: nobody needs it`);
    }
    this.store.check(files, others);
    if (this.nodes.size > this.inodes) throw new Error('the limit of inodes is exceeded');
  }

  /** Checks one node, and counts the names it has in it. */
  #check(node: MemoryNode, names: Map<MemoryNode, number>): void {
    const { body, xattrs } = node;
    xattrs?.check();
    let links = 0;
    for (let link = node.links; link; link = link.next) {
      links++;
      if (link.node !== node) throw new Error(`its name ${link.name} means another`);
      if (link.next && link.next.previous !== link) throw new Error('the chain of names is broken');
      if (link.parent === undefined || this.directory(link.parent).get(link.name) !== link)
        throw new Error(`its name ${link.name} is in no directory`);
    }
    if (node.isDirectory !== body instanceof Directory) throw new Error('mode and body differ');
    if (body instanceof Directory) {
      body.check();
      let directories = 0;
      for (const { node: child } of body.entries()) {
        names.set(child, (names.get(child) ?? 0) + 1);
        if (child.isDirectory) directories++;
      }
      const wanted = node.linked ? 2 + directories : 0;
      if (node.nlink !== wanted) throw new Error(`${node.nlink} links, ${directories} directories in it`);
      if (node.size !== body.size * NAME_SIZE) throw new Error(`size ${node.size} with ${body.size} names`);
      return;
    }
    if (links !== node.nlink) throw new Error(`${node.nlink} links, ${links} names in its chain`);
    if (typeof body === 'string' && node.size !== encodeName(body).length)
      throw new Error(`size ${node.size} of a link to ${body}`);
    if (body instanceof Content && node.blocks !== body.count * SECTORS)
      throw new Error(`${node.blocks} blocks, ${body.count} pages`);
  }
}
