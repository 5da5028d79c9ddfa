/**
 * The tree of names and nodes in shared memory, as one of several threads works with it. All names are under one lock,
 * `names`; what a node has is under the node's own (inode.ts). So who reads, writes, or asks for attributes meets others
 * only in the same file, and two who change names wait for each other.
 *
 * Locks are taken in this order: `names`, nodes' own (several at once: `changeBoth`), those of the memories.
 *
 * INVARIANT: who works with a node knows that it stays: the kernel counts it (it has it open, or in a path, while it asks
 * us), or it has a name and we hold `names`. A node is held once for each of its names. So when a node leaves, nobody
 * is in its lock, and nobody gets there.
 *
 * The rules of names are those of MemoryFs's tree: a change is refused before anything has happened, or it happens
 * as a whole.
 */
import {
  EEXIST,
  EINVAL,
  EISDIR,
  EMLINK,
  ENAMETOOLONG,
  ENOENT,
  ENOSPC,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
} from '../../../src/abi/errno.ts';
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
} from '../../../src/abi/posix.ts';
import { endow, inherited } from '../../../src/fs/memory/access.ts';
import type { Maker } from '../../../src/fs/memory/tree.ts';
import { type CellsHandle, reserve, SharedCells, type Waiting } from '../../../src/fs/shared/cells.ts';
import { acquire, release } from '../../../src/fs/shared/lock.ts';
import { Name } from '../../../src/fs/shared/names.ts';
import { encodeName } from '../../../src/protocol/names.ts';
import { Directory, type Entry } from './directory.ts';
import { type Node, SharedInode, Store, type StoreHandle, xattrsOf } from './inode.ts';

/** Words of the whole. */
export const NAMES = 0;
const INODES = 1;
const GENERATION = 2;
const LEFT = 3;

/** `st_size` of a directory: so much for each name. @see mm/shmem.c: BOGO_DIRENT_SIZE */
export const NAME_SIZE = 20;
const LINK_MAX = 0xffff_ffff;

export interface TreeHandle {
  readonly store: StoreHandle;
  readonly words: CellsHandle;
}

/** A name that was found: the directory, where in it, and the node it means. */
interface Found {
  readonly parent: Node;
  readonly at: number;
  readonly node: Node;
}

export class SharedTree {
  readonly store: Store;
  readonly #words: SharedCells;

  constructor({ store, words }: TreeHandle, waiting?: Waiting) {
    this.store = new Store(store, waiting);
    this.#words = new SharedCells(words, waiting);
  }

  /** The memory of a tree of so many pages of data and so many nodes, with a root. */
  static share(pages: number, inodes: number, { uid, gid }: Maker): TreeHandle {
    const handle = { store: Store.share(pages, inodes), words: reserve(4, 4) };
    const words = new SharedCells(handle.words);
    words.store(INODES, inodes);
    words.store(GENERATION, Math.floor(Math.random() * 2 ** 32));
    const { store } = new SharedTree(handle);
    const root = new SharedInode(store, 0n, S_IFDIR | 0o755, uid, gid);
    root.body = Directory.make(store.heap);
    root.nlink = 2;
    store.nodes.hold(store.add(root));
    return handle;
  }

  get nodes() {
    return this.store.nodes;
  }
  /** How many nodes there may be, the root included. */
  get inodes(): number {
    return this.#words.load(INODES);
  }
  /** Tells its files from those of another filesystem. */
  get generation(): number {
    return this.#words.load(GENERATION) >>> 0;
  }

  /** One of `count` threads is done with the mount. The last one sees to it that what the kernel has counted, and had open, is forgotten. */
  leave(count: number): void {
    if (this.#words.add(LEFT, 1) + 1 < count) return;
    this.#words.store(LEFT, 0);
    const closed = (inode: SharedInode) => {
      inode.opens = 0;
    };
    for (const node of this.nodes.all()) this.store.change(node, closed);
    this.nodes.forgetAll();
  }

  /** Runs `use` while no other thread looks at names or changes any. */
  named<T>(use: () => T): T {
    acquire(this.#words, NAMES);
    try {
      return use();
    } finally {
      release(this.#words, NAMES);
    }
  }

  // All that follows: under `names`.

  /** The names of a directory. ENOTDIR. */
  directory(node: Node): Directory {
    return this.store.look(node, (inode) => this.#directory(inode));
  }
  #directory(inode: SharedInode): Directory {
    if (!inode.isDirectory) throw ENOTDIR;
    return new Directory(this.store.heap, inode.body);
  }

  /** What a name means. ENOENT, ENOTDIR, ENAMETOOLONG. */
  find(parent: Node, name: string): Found {
    const found = this.#look(parent, named(name));
    if (found === undefined) throw ENOENT;
    return found;
  }
  #look(parent: Node, name: Name): Found | undefined {
    const directory = this.directory(parent);
    const at = directory.find(name);
    return at === 0 ? undefined : { parent, at, node: this.nodes.get(directory.nodeid(at)) };
  }

  /** What a name means in a directory where one may be made. ENOENT (the directory was removed), ENOTDIR. */
  #place(parent: Node, name: Name): Found | undefined {
    const { nlink, isDirectory } = this.store.look(parent, (inode) => inode);
    if (!isDirectory) throw ENOTDIR;
    if (nlink === 0) throw ENOENT;
    return this.#look(parent, name);
  }

  /** A node without a name yet: its mode, group and ACLs as its directory has it. ENOSPC. */
  #create(parent: Node, mode: number, { uid, gid }: Maker, umask: number, more: (inode: SharedInode) => void): Node {
    if (this.nodes.size >= this.inodes) throw ENOSPC;
    return this.store.look(parent, (above) => {
      const { mode: granted, access } = inherited(above, mode, umask);
      const setgid = above.mode & S_ISGID;
      const own = granted | ((mode & S_IFMT) === S_IFDIR ? setgid : 0);
      const inode = new SharedInode(this.store, 0n, own, uid, setgid ? above.gid : gid);
      try {
        endow(inode, above, access, xattrsOf);
        if (inode.isDirectory) inode.body = Directory.make(this.store.heap);
        more(inode);
        return this.store.add(inode);
      } catch (error) {
        this.store.release(inode);
        throw error;
      }
    });
  }

  /** Makes a file of any kind, and counts a lookup of it. EEXIST, ENOENT, ENOTDIR, ENAMETOOLONG, ENOSPC, EMLINK. */
  make(
    parent: Node,
    text: string,
    mode: number,
    maker: Maker,
    { umask = 0, rdev = 0, target = '', opens = 0 } = {},
  ): Node {
    const name = named(text);
    if (this.#place(parent, name)) throw EEXIST;
    const isDirectory = (mode & S_IFMT) === S_IFDIR;
    if (isDirectory && this.store.look(parent, ({ nlink }) => nlink >= LINK_MAX)) throw EMLINK;
    const node = this.#create(parent, mode, maker, umask, (inode) => {
      inode.nlink = isDirectory ? 2 : 1;
      inode.rdev = rdev;
      inode.opens = opens;
      if ((mode & S_IFMT) !== S_IFLNK) return;
      const bytes = encodeName(target);
      inode.size = bytes.length;
      inode.body = this.store.heap.take(Math.ceil(bytes.length / 4));
      this.store.heap.put(inode.body, bytes);
    });
    this.nodes.lookup(node);
    try {
      this.#put(parent, name, node);
    } catch (error) {
      this.nodes.forget({ nodeid: node.nodeid, nlookup: 1 });
      throw error;
    }
    return node;
  }

  /** Makes an open file without a name, and counts a lookup of it. open(2): O_TMPFILE. ENOTDIR, ENOSPC. */
  makeUnnamed(parent: Node, mode: number, maker: Maker, umask: number): Node {
    this.directory(parent);
    const open = (inode: SharedInode) => {
      inode.opens = 1;
    };
    return this.nodes.lookup(this.#create(parent, S_IFREG | (mode & ~S_IFMT), maker, umask, open));
  }

  /** Gives a file a further name. EPERM (a directory), EEXIST, ENOENT, ENOTDIR, ENAMETOOLONG, EMLINK. */
  link(node: Node, parent: Node, text: string): void {
    const name = named(text);
    const { isDirectory, nlink } = this.store.look(node, (inode) => inode);
    if (isDirectory) throw EPERM;
    if (this.#place(parent, name)) throw EEXIST;
    if (nlink >= LINK_MAX) throw EMLINK;
    this.#put(parent, name, node);
    this.store.change(node, (inode) => {
      inode.nlink++;
      inode.touchInode();
    });
  }

  /** Removes the name of anything but a directory. ENOENT, EISDIR. */
  unlink(parent: Node, name: string): void {
    const found = this.find(parent, name);
    if (this.#isDirectory(found.node)) throw EISDIR;
    this.#take(found);
    this.#release(found.node);
  }

  /** Removes an empty directory. ENOENT, ENOTDIR, ENOTEMPTY. */
  rmdir(parent: Node, name: string): void {
    const found = this.find(parent, name);
    this.#removable(found.node);
    this.#take(found);
    this.#release(found.node);
  }

  #isDirectory(node: Node): boolean {
    return this.store.look(node, ({ isDirectory }) => isDirectory);
  }
  #removable(node: Node): void {
    if (this.directory(node).size > 0) throw ENOTEMPTY;
  }

  /** A name of a node has gone, and the link with it; a directory goes with its only one. */
  #release(node: Node): void {
    this.store.change(node, (inode) => {
      inode.nlink = inode.isDirectory ? 0 : inode.nlink - 1;
      inode.touchInode();
    });
    this.nodes.letGo(node);
  }

  /** A name for a node, whose count of links has it already or will. ENOMEM, and then nothing has happened. */
  #put(parent: Node, name: Name, node: Node): void {
    const mode = this.#modeOf(node);
    this.directory(parent).add(name, node.nodeid, mode >> 12);
    this.nodes.hold(node);
    this.#into(parent, node, mode, NAME_SIZE);
  }
  /** Takes a name away. The count of links stays, and the hold. */
  #take({ parent, at, node }: Found): void {
    this.directory(parent).remove(at);
    this.#outOf(parent, node, -NAME_SIZE);
  }
  /** Makes a name mean another node. The old one's hold stays. */
  #turn({ parent, at, node: old }: Found, node: Node): void {
    const mode = this.#modeOf(node);
    this.#outOf(parent, old, 0);
    this.directory(parent).turn(at, node.nodeid, mode >> 12);
    this.nodes.hold(node);
    this.#into(parent, node, mode, 0);
  }
  #modeOf(node: Node): number {
    return this.store.look(node, ({ mode }) => mode);
  }
  /** What a name more changes in its directory, and in a directory that it means. */
  #into(parent: Node, node: Node, mode: number, more: number): void {
    const directory = (mode & S_IFMT) === S_IFDIR;
    if (directory) this.#parentOf(node, parent.nodeid);
    this.#counted(parent, directory ? 1 : 0, more);
  }
  #outOf(parent: Node, node: Node, more: number): void {
    const directory = this.#isDirectory(node);
    if (directory) this.#parentOf(node, 0);
    this.#counted(parent, directory ? -1 : 0, more);
  }
  #parentOf(node: Node, parent: number): void {
    this.store.change(node, (inode) => {
      inode.parent = parent;
    });
  }
  #counted(parent: Node, links: number, bytes: number): void {
    this.store.change(parent, (inode) => {
      inode.nlink += links;
      inode.size += bytes;
      inode.touch();
    });
  }

  /** renameat2(2) with all its flags. EINVAL (into itself), EEXIST (NOREPLACE), ENOENT, ENOTDIR, EISDIR, ENOTEMPTY, ENAMETOOLONG, ENOSPC. */
  rename(from: Node, oldname: string, to: Node, newname: string, flags: number, maker: Maker): void {
    if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) throw EINVAL;
    const name = named(newname);
    const there = this.#place(to, name);
    const found = this.find(from, oldname);
    const { node } = found;
    this.#outside(node, to);
    if (flags & RENAME_EXCHANGE) {
      if (there === undefined) throw ENOENT;
      return this.#exchange(found, there);
    }
    if (there && flags & RENAME_NOREPLACE) throw EEXIST;
    if (there?.node.nodeid === node.nodeid) return; // two names of one file: nothing happens, rename(2)
    if (there && this.#isDirectory(node)) this.#removable(there.node);
    else if (there && this.#isDirectory(there.node)) throw EISDIR;
    // An overlay's mark that there is nothing here: a character device 0:0.
    const whiteout =
      flags & RENAME_WHITEOUT
        ? this.#create(from, S_IFCHR, maker, 0, (inode) => {
            inode.nlink = 1;
          })
        : undefined;
    // First the new name, which may be refused: both are there for a moment, under the lock.
    if (there) this.#turn(there, node);
    else this.#named(to, name, node, whiteout);
    if (whiteout) this.#turn(found, whiteout);
    else this.#take(found);
    this.nodes.letGo(node); // of the old name
    if (there) this.#release(there.node);
    this.store.change(node, (inode) => {
      if (inode.isDirectory) inode.parent = to.nodeid;
      inode.touchInode();
    });
  }
  #named(to: Node, name: Name, node: Node, whiteout: Node | undefined): void {
    try {
      this.#put(to, name, node);
    } catch (error) {
      if (whiteout) this.nodes.drop(whiteout);
      throw error;
    }
  }

  #exchange(one: Found, other: Found): void {
    this.#outside(other.node, one.parent);
    if (one.node.nodeid === other.node.nodeid) return;
    this.#turn(one, other.node);
    this.#turn(other, one.node);
    for (const { node } of [one, other]) this.nodes.letGo(node); // of the old name
    this.store.change(one.node, (inode) => {
      if (inode.isDirectory) inode.parent = other.parent.nodeid;
      inode.touchInode();
    });
    this.store.change(other.node, (inode) => {
      if (inode.isDirectory) inode.parent = one.parent.nodeid;
      inode.touchInode();
    });
  }

  /** Refuses to put a directory into itself. */
  #outside(node: Node, directory: Node): void {
    if (!this.#isDirectory(node)) return;
    for (let up: Node | undefined = directory; up; up = this.parent(up)) if (up.nodeid === node.nodeid) throw EINVAL;
  }
  /** The directory that a directory is in; undefined for the root and for one that was removed. */
  parent(node: Node): Node | undefined {
    const parent = this.store.look(node, (inode) => inode.parent);
    return parent === 0 ? undefined : this.nodes.get(parent);
  }

  /** Calls `add` for each name that comes after a cookie, until it says false. ENOTDIR. */
  list(node: Node, after: bigint, add: (entry: Entry) => boolean): void {
    for (const entry of this.directory(node).entries(after)) if (!add(entry)) return;
  }
}

/** ENAMETOOLONG. */
function named(text: string): Name {
  const name = new Name(text);
  if (name.length > NAME_MAX) throw ENAMETOOLONG;
  return name;
}
