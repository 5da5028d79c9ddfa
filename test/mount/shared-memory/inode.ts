/**
 * A file as it lies in the value of its node, and as an object for as long as a thread works with it: loaded under the
 * node's lock, changed, and put back before that is given up (`Store.change`).
 */
import { EFBIG } from '../../../src/abi/errno.ts';
import { i53, struct, u32, u53 } from '../../../src/abi/struct.ts';
import { Inode } from '../../../src/fs/memory/inode.ts';
import { SIZE_MAX } from '../../../src/fs/memory/tree.ts';
import type { CellsHandle, Waiting } from '../../../src/fs/shared/cells.ts';
import { Heap } from '../../../src/fs/shared/heap.ts';
import { type NodesHandle, shareNodes } from '../../../src/fs/shared/layout.ts';
import { openNodes, type SharedNode, type SharedNodes } from '../../../src/fs/shared/nodes.ts';
import { Content } from './content.ts';
import { Directory } from './directory.ts';
import { SharedPages } from './pages.ts';
import { SharedXattrs } from './xattrs.ts';

const value = struct({
  size: u53,
  blocks: u53,
  atime: i53,
  mtime: i53,
  ctime: i53,
  btime: i53,
  atimensec: u32,
  mtimensec: u32,
  ctimensec: u32,
  btimensec: u32,
  mode: u32,
  nlink: u32,
  uid: u32,
  gid: u32,
  rdev: u32,
  /** A block of the heap: a directory (directory.ts), the bytes of a target, a file's table of pages (content.ts); 0 for none. */
  body: u32,
  /** Levels of a file's table. */
  levels: u32,
  /** The first block of the xattrs (xattrs.ts), and the bytes in their names and values. */
  xattr: u32,
  xattrBytes: u32,
  /** How many files are open. */
  opens: u32,
  /** The nodeid of the directory that a directory is in; 0 for the root and for one that was removed. */
  parent: u53,
});
const layout = { value };
export type Value = ReturnType<typeof value.decode>;
export type Node = SharedNode<unknown, Value>;

export class SharedInode extends Inode {
  body = 0;
  levels = 0;
  xattr = 0;
  xattrBytes = 0;
  opens = 0;
  parent = 0;
  readonly #store: Store;

  constructor(store: Store, ino: bigint, mode: number, uid: number, gid: number) {
    super(ino, mode, uid, gid);
    this.#store = store;
  }

  get xattrs(): SharedXattrs {
    return new SharedXattrs(this.#store, this);
  }
  get content(): Content {
    return new Content(this.#store, this);
  }

  /** Writes; how many bytes, fewer than there are where space ends, unless it is to be done as a `whole`. EFBIG, ENOSPC. */
  write(offset: number, data: Uint8Array, whole: boolean): number {
    if (offset + data.length > SIZE_MAX) throw EFBIG;
    const written = data.length === 0 ? 0 : this.content.write(offset, data, whole);
    if (written > 0) this.changed(Math.max(this.size, offset + written));
    return written;
  }
  /** Cuts a file off, or lets it grow by a hole. EFBIG. */
  resize(size: number): void {
    if (size > SIZE_MAX) throw EFBIG;
    // At the same size too: what was promised behind the end goes.
    if (size <= this.size) this.content.cut(size);
    this.changed(size);
  }
  /** The content has changed. */
  changed(size: number): void {
    this.size = size;
    this.touch();
  }
}
/** What `endow` and `setAcl` set ACLs in. */
export const xattrsOf = ({ xattrs }: SharedInode): SharedXattrs => xattrs;

/** All memory of a filesystem, to be given to its threads. */
export interface StoreHandle {
  readonly nodes: NodesHandle;
  readonly heap: CellsHandle;
  readonly pages: CellsHandle;
}

/** The memories of a filesystem, as one thread sees them, and its nodes in them. */
export class Store {
  readonly nodes: SharedNodes<unknown, Value>;
  readonly heap: Heap;
  readonly pages: SharedPages;

  constructor({ nodes, heap, pages }: StoreHandle, waiting?: Waiting) {
    this.heap = new Heap(heap, waiting);
    this.pages = new SharedPages(pages, waiting);
    this.nodes = openNodes(layout, nodes, (node) => this.#free(node), waiting);
  }

  static share(pages: number, inodes: number): StoreHandle {
    return { nodes: shareNodes(layout, { most: inodes }), heap: Heap.share(), pages: SharedPages.share(pages) };
  }

  /** What `use` makes of a file, no other thread changing it meanwhile. ESTALE. */
  look<T>(node: Node, use: (inode: SharedInode) => T): T {
    return this.nodes.locked(node, () => use(this.#load(node)));
  }
  /** The same, and what `use` changes is put back. */
  change<T>(node: Node, use: (inode: SharedInode) => T): T {
    return this.nodes.locked(node, () => this.#changing(node, use));
  }
  /** The same with two, which may be one. */
  changeBoth<T>(node: Node, other: Node, use: (inode: SharedInode, other: SharedInode) => T): T {
    return this.nodes.lockedAll([node, other], () =>
      this.#changing(node, (inode) =>
        node.nodeid === other.nodeid ? use(inode, inode) : this.#changing(other, (second) => use(inode, second)),
      ),
    );
  }
  /** A new node of an inode that is in none. ENOMEM. */
  add(inode: SharedInode): Node {
    return this.nodes.add(inode);
  }

  #load(node: Node): SharedInode {
    return Object.assign(new SharedInode(this, BigInt(node.nodeid), 0, 0, 0), node.value);
  }
  /** Where it throws, what has happened so far has happened: an inode names what it has at every moment. */
  #changing<T>(node: Node, use: (inode: SharedInode) => T): T {
    const inode = this.#load(node);
    try {
      return use(inode);
    } finally {
      node.value = inode;
    }
  }

  /** A node has left the table. Nobody is in its lock, and nobody finds it: see tree.ts. */
  #free(node: Node): void {
    this.release(this.#load(node));
  }

  /** Gives back all that an inode has: it has left, or has never been in a node. */
  release(inode: SharedInode): void {
    if (inode.isFile) inode.content.cut(0);
    else if (inode.isDirectory) new Directory(this.heap, inode.body).free();
    else this.heap.give(inode.body);
    inode.body = 0;
    inode.xattrs.clear();
  }
}
