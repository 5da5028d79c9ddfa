/**
 * A small model of a filesystem, to hold MemoryFs to: plain objects and Maps, nothing fast, nothing shared with
 * what it is compared with. Its rules are those of Linux, and where Linux leaves a choice, of the comments in
 * src/fs/memory: space is counted in pages, of data and of promises (fallocate), and of xattrs together.
 *
 * For each change the model says which errors there is a reason for. A call must fail with one of them, and
 * succeed where there is none: which of several reasons is found first is nobody's promise.
 */
import { EEXIST, EINVAL, EISDIR, ENOENT, ENOSPC, ENOTDIR, ENOTEMPTY, EPERM, type Errno } from '../../src/abi/errno.ts';
import { RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT, S_IFCHR, S_IFDIR, S_IFMT } from '../../src/abi/posix.ts';

export const PAGE = 4096;
/** Pages in a file at most, and their bytes. */
const PAGES = 24;
export const MOST = PAGES * PAGE;

type PageState = 'hole' | 'data' | 'promised';

/** A file's bytes, zeros behind its size, and what there is of its pages. */
export class ModelContent {
  readonly bytes = Buffer.alloc(MOST);
  readonly pages: PageState[] = new Array(PAGES).fill('hole');

  get count(): number {
    return this.pages.filter((page) => page !== 'hole').length;
  }
}

export class ModelNode {
  readonly nodeid: number;
  mode: number;
  nlink = 0;
  /** What the kernel counts. */
  nlookup = 1;
  size = 0;
  target = '';
  readonly content = new ModelContent();
  readonly names = new Map<string, ModelNode>();
  readonly xattrs = new Map<string, Buffer>();
  /** Handles that are open: for as long the kernel does not forget the node. */
  readonly open: number[] = [];

  constructor(nodeid: number, mode: number) {
    this.nodeid = nodeid;
    this.mode = mode;
  }
  get isDirectory(): boolean {
    return (this.mode & S_IFMT) === S_IFDIR;
  }
  get xattrBytes(): number {
    return [...this.xattrs].reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  }
  /** Pages that are counted for it. */
  get space(): number {
    return this.content.count + Math.ceil(this.xattrBytes / PAGE);
  }
  /** Links of a directory that has a name: that one, ".", and the ".." of each directory in it. */
  get links(): number {
    if (!this.isDirectory || this.nlink === 0) return this.nlink;
    return 2 + [...this.names.values()].filter(({ isDirectory }) => isDirectory).length;
  }
}

/** Why a change must fail. */
type Reasons = (Errno | false | undefined)[];

export class Model {
  readonly root = new ModelNode(1, S_IFDIR | 0o755);
  readonly nodes = new Set<ModelNode>([this.root]);
  readonly limit: number;
  readonly inodes: number;

  constructor(limit: number, inodes: number) {
    this.limit = limit;
    this.inodes = inodes;
    this.root.nlink = 1;
  }

  get used(): number {
    return [...this.nodes].reduce((sum, { space }) => sum + space, 0);
  }
  get free(): number {
    return this.limit - this.used;
  }
  get full(): boolean {
    return this.nodes.size >= this.inodes;
  }

  /** A node goes when nobody needs it. */
  drop(node: ModelNode): void {
    if (node.nlink === 0 && node.nlookup === 0) this.nodes.delete(node);
  }

  whyNotFound(parent: ModelNode, name: string): Reasons {
    if (!parent.isDirectory) return [ENOTDIR];
    return [!parent.names.has(name) && ENOENT];
  }
  whyNotPlaced(parent: ModelNode): Reasons {
    if (!parent.isDirectory) return [ENOTDIR];
    return [parent.nlink === 0 && ENOENT];
  }
  whyNotMade(parent: ModelNode, name: string): Reasons {
    return [...this.whyNotPlaced(parent), parent.names.has(name) && EEXIST, this.full && ENOSPC];
  }
  make(parent: ModelNode, name: string, nodeid: number, mode: number): ModelNode {
    const node = this.add(nodeid, mode);
    node.nlink = 1;
    parent.names.set(name, node);
    return node;
  }
  /** A node without a name. */
  add(nodeid: number, mode: number): ModelNode {
    const node = new ModelNode(nodeid, mode);
    this.nodes.add(node);
    return node;
  }

  whyNotLinked(node: ModelNode, parent: ModelNode, name: string): Reasons {
    return [...this.whyNotPlaced(parent), node.isDirectory && EPERM, parent.names.has(name) && EEXIST];
  }
  link(node: ModelNode, parent: ModelNode, name: string): void {
    node.nlink++;
    parent.names.set(name, node);
  }

  whyNotUnlinked(parent: ModelNode, name: string): Reasons {
    return [...this.whyNotFound(parent, name), parent.names.get(name)?.isDirectory && EISDIR];
  }
  whyNotRemoved(parent: ModelNode, name: string): Reasons {
    return [...this.whyNotFound(parent, name), ...this.whyNotEmpty(parent.names.get(name))];
  }
  whyNotEmpty(node: ModelNode | undefined): Reasons {
    if (node === undefined) return [];
    return [node.isDirectory ? node.names.size > 0 && ENOTEMPTY : ENOTDIR];
  }
  remove(parent: ModelNode, name: string): void {
    const node = parent.names.get(name)!;
    parent.names.delete(name);
    node.nlink--;
    this.drop(node);
  }

  whyNotRenamed(from: ModelNode, oldname: string, to: ModelNode, newname: string, flags: number): Reasons {
    const node = from.names.get(oldname);
    const there = to.names.get(newname);
    const reasons = [...this.whyNotFound(from, oldname), ...this.whyNotPlaced(to)];
    if (node === undefined) return reasons;
    reasons.push(this.#holds(node, to) && EINVAL, flags & RENAME_NOREPLACE && there ? EEXIST : undefined);
    if (flags & RENAME_EXCHANGE) return [...reasons, there ? this.#holds(there, from) && EINVAL : ENOENT];
    if (there === undefined || there === node)
      return [...reasons, flags & RENAME_WHITEOUT && there === undefined && this.full ? ENOSPC : undefined];
    if (node.isDirectory) reasons.push(...this.whyNotEmpty(there));
    else reasons.push(there.isDirectory && EISDIR);
    return [...reasons, flags & RENAME_WHITEOUT && this.full ? ENOSPC : undefined];
  }
  /** `whiteout` is the nodeid of the one that was made. */
  rename(
    from: ModelNode,
    oldname: string,
    to: ModelNode,
    newname: string,
    flags: number,
    whiteout: () => number,
  ): void {
    const node = from.names.get(oldname)!;
    const there = to.names.get(newname);
    if (there === node) return;
    if (flags & RENAME_EXCHANGE) {
      from.names.set(oldname, there!);
      to.names.set(newname, node);
      return;
    }
    if (there) this.remove(to, newname);
    from.names.delete(oldname);
    to.names.set(newname, node);
    if (flags & RENAME_WHITEOUT) this.make(from, oldname, whiteout(), S_IFCHR).nlookup = 0;
  }
  /** Whether a directory is another one or holds it at some depth. */
  #holds(node: ModelNode, other: ModelNode): boolean {
    return node === other || [...node.names.values()].some((child) => this.#holds(child, other));
  }

  /** How many bytes of a write there is space for. */
  fitting(node: ModelNode, offset: number, length: number): number {
    let { free } = this;
    for (let page = Math.floor(offset / PAGE); page * PAGE < offset + length; page++)
      if (node.content.pages[page] === 'hole' && free-- === 0) return Math.max(0, page * PAGE - offset);
    return length;
  }
  write(node: ModelNode, offset: number, data: Buffer): void {
    if (data.length === 0) return;
    data.copy(node.content.bytes, offset);
    for (let page = Math.floor(offset / PAGE); page * PAGE < offset + data.length; page++)
      node.content.pages[page] = 'data';
    node.size = Math.max(node.size, offset + data.length);
  }
  /** What lies behind the size goes, promises too, when it shrinks or stays. @see mm/shmem.c: shmem_setattr */
  resize(node: ModelNode, size: number): void {
    if (size <= node.size) {
      node.content.bytes.fill(0, size);
      node.content.pages.fill('hole', Math.ceil(size / PAGE));
    }
    node.size = size;
  }
  lacking(node: ModelNode, offset: number, length: number): number {
    return node.content.pages
      .slice(Math.floor(offset / PAGE), Math.ceil((offset + length) / PAGE))
      .filter((page) => page === 'hole').length;
  }
  promise(node: ModelNode, offset: number, length: number): void {
    const { pages } = node.content;
    for (let page = Math.floor(offset / PAGE); page * PAGE < offset + length; page++)
      if (pages[page] === 'hole') pages[page] = 'promised';
  }
  /** Zeros a range; its whole pages become what is said. */
  clear(node: ModelNode, offset: number, length: number, to: PageState): void {
    node.content.bytes.fill(0, offset, offset + length);
    for (let page = Math.ceil(offset / PAGE); (page + 1) * PAGE <= offset + length; page++)
      node.content.pages[page] = to;
  }
  /** Copies for as long as there is space: how much. What is a hole stays one. */
  copy(source: ModelNode, from: number, target: ModelNode, to: number, length: number): number {
    const isData = (at: number): boolean => source.content.pages[Math.floor(at / PAGE)] === 'data';
    for (let done = 0; done < length; ) {
      const data = isData(from + done);
      let end = done + 1;
      while (end < length && isData(from + end) === data) end++;
      if (!data) this.clear(target, to + done, end - done, 'hole');
      const fits = data ? this.fitting(target, to + done, end - done) : 0;
      if (data) this.write(target, to + done, source.content.bytes.subarray(from + done, from + done + fits));
      if (data && fits < end - done) return done + fits;
      done = end;
    }
    return length;
  }

  /** Where data or a hole is at or behind `offset`; undefined for none. */
  seek(node: ModelNode, offset: number, data: boolean): number | undefined {
    const { pages } = node.content;
    let page = Math.floor(offset / PAGE);
    while (page * PAGE < node.size && (pages[page] === 'data') !== data) page++;
    if (page * PAGE >= node.size) return data ? undefined : Math.max(offset, node.size);
    return Math.max(offset, page * PAGE);
  }
}
