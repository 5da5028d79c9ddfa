/**
 * A filesystem in memory: files, directories, symbolic links. It is what `npm start` mounts, and the
 * first filesystem to read. Nothing here knows of opcodes or buffers: methods take names and numbers,
 * return attributes, and throw errnos.
 *
 * Entries of a directory stand in a Map in the order they were made, each with a cookie that only grows.
 * Readdir goes on behind a cookie, so that an entry made or removed meanwhile makes it neither skip nor
 * repeat another.
 */
import { EEXIST, EFBIG, EINVAL, EISDIR, ENAMETOOLONG, ENOENT, ENOTDIR, ENOTEMPTY, EPERM } from '../../abi/errno.ts';
import {
  FATTR_ATIME,
  FATTR_CTIME,
  FATTR_GID,
  FATTR_MODE,
  FATTR_MTIME,
  FATTR_SIZE,
  FATTR_UID,
} from '../../abi/fuse-constants.ts';
import { NAME_MAX, RENAME_NOREPLACE, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../../abi/posix.ts';
import type { DirectoryReply, Dirent } from '../../protocol/dirent.ts';
import type { Filesystem } from '../../protocol/filesystem.ts';
import { encodeName } from '../../protocol/names.ts';
import type { Args } from '../../protocol/operations.ts';
import type { Request } from '../../protocol/request.ts';
import { type Node, NodeTable } from '../nodes.ts';

/** A name in a directory. */
class Entry implements Dirent {
  readonly name: string;
  readonly bytes: Buffer;
  readonly off: bigint;
  readonly node: MemoryNode;
  constructor(name: string, off: bigint, node: MemoryNode) {
    this.name = name;
    this.bytes = encodeName(name);
    this.off = off;
    this.node = node;
  }
  get ino(): bigint {
    return this.node.attr.ino;
  }
  get type(): number {
    return (this.node.attr.mode & S_IFMT) >> 12;
  }
}

class MemoryNode implements Node {
  readonly nodeid: number;
  nlookup = 0;
  /** The content of a file or the target of a link: `attr.size` bytes of it count, the rest is room. */
  data: Buffer = EMPTY;
  /** The entries of a directory. INVARIANT: in the order of their cookies. */
  readonly entries: Map<string, Entry> | undefined;
  parent: MemoryNode | undefined;
  readonly attr;
  constructor(
    nodeid: number,
    mode: number,
    { uid, gid }: { uid: number; gid: number },
    parent: MemoryNode | undefined,
  ) {
    const { s, ns } = now();
    const directory = (mode & S_IFMT) === S_IFDIR;
    this.nodeid = nodeid;
    this.parent = parent;
    this.entries = directory ? new Map() : undefined;
    const times = { atime: s, mtime: s, ctime: s, atimensec: ns, mtimensec: ns, ctimensec: ns };
    this.attr = { ino: BigInt(nodeid), size: 0, blocks: 0, ...times, mode, nlink: directory ? 2 : 1, uid, gid };
  }
  get linked(): boolean {
    return this.attr.nlink > 0;
  }
  /** The inode has changed, and with `data` what is in it. */
  changed({ data = true } = {}): void {
    const { s, ns } = now();
    Object.assign(this.attr, { ctime: s, ctimensec: ns });
    if (data) Object.assign(this.attr, { mtime: s, mtimensec: ns });
  }
}

const EMPTY = Buffer.alloc(0);
const BLOCK = 4096;
/** The largest file: what one Buffer can hold on every Node. Bytes. */
const SIZE_MAX = 0x7fff_ffff;
/** The kernel sends longer names than Linux's filesystems have. A code unit has three bytes at most. */
const checkLength = (name: string): void => {
  if (name.length * 3 > NAME_MAX && encodeName(name).length > NAME_MAX) throw ENAMETOOLONG;
};
const now = () => {
  const ms = Date.now();
  return { s: Math.floor(ms / 1000), ns: (ms % 1000) * 1_000_000 };
};

export class MemoryFs implements Filesystem {
  readonly nodes = new NodeTable<MemoryNode>((node) => this.#resize(node, 0));
  #nextOff = 3n; // 1 and 2 are "." and ".."
  #bytes = 0;

  constructor() {
    const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    this.nodes.add((nodeid) => new MemoryNode(nodeid, S_IFDIR | 0o755, owner, undefined));
  }

  #entries(nodeid: number): Map<string, Entry> {
    const { entries } = this.nodes.get(nodeid);
    if (entries === undefined) throw ENOTDIR;
    return entries;
  }

  #find(nodeid: number, name: string): Entry {
    checkLength(name);
    const entry = this.#entries(nodeid).get(name);
    if (entry === undefined) throw ENOENT;
    return entry;
  }

  /** What a lookup answers, and its count. */
  #given(node: MemoryNode) {
    return { nodeid: this.nodes.lookup(node).nodeid, attr: node.attr };
  }

  /** The directory where a new name is to go. */
  #place(nodeid: number, name: string): MemoryNode {
    const parent = this.nodes.get(nodeid);
    if (parent.entries === undefined) throw ENOTDIR;
    if (!parent.linked) throw ENOENT; // removed while somebody was in it
    checkLength(name);
    return parent;
  }

  #make(request: Request, name: string, mode: number): MemoryNode {
    const parent = this.#place(request.nodeid, name);
    if (parent.entries!.has(name)) throw EEXIST;
    const node = this.nodes.add((nodeid) => new MemoryNode(nodeid, mode, request, parent));
    this.#put(parent, name, node);
    return node;
  }

  #put(parent: MemoryNode, name: string, node: MemoryNode): void {
    if (node.entries) {
      node.parent = parent;
      parent.attr.nlink++;
    }
    parent.entries!.set(name, new Entry(name, this.#nextOff++, node));
    parent.changed();
    node.changed({ data: false });
  }

  /** Takes a name away, and with `links` the link that it was. */
  #take(parent: MemoryNode, { name, node }: Entry, links: number): void {
    parent.entries!.delete(name);
    if (node.entries) parent.attr.nlink--;
    parent.changed();
    node.changed({ data: false });
    node.attr.nlink -= links;
    this.nodes.drop(node);
  }

  #resize(node: MemoryNode, size: number): void {
    if (size > SIZE_MAX) throw EFBIG;
    const { data, attr } = node;
    if (size > data.length) {
      node.data = Buffer.alloc(Math.min(SIZE_MAX, Math.max(size, data.length * 2, BLOCK)));
      data.copy(node.data, 0, 0, attr.size);
    } else if (size < attr.size / 4) node.data = Buffer.from(data.subarray(0, size));
    else data.fill(0, size, attr.size); // what is cut off must read as zeros when the file grows again
    this.#bytes += size - attr.size;
    attr.size = size;
    attr.blocks = Math.ceil(size / BLOCK) * (BLOCK / 512);
  }

  lookup({ nodeid }: Request, { name }: Args<'LOOKUP'>) {
    return this.#given(this.#find(nodeid, name).node);
  }
  forget(_: Request, one: { nodeid: number; nlookup: number }) {
    this.nodes.forget(one);
  }
  getattr({ nodeid }: Request) {
    return { attr: this.nodes.get(nodeid).attr };
  }

  setattr({ nodeid }: Request, set: Args<'SETATTR'>) {
    const node = this.nodes.get(nodeid);
    const { attr } = node;
    const { s, ns } = now();
    if (set.valid & FATTR_SIZE) {
      if (node.entries) throw EISDIR;
      this.#resize(node, set.size!);
      node.changed();
    }
    if (set.valid & FATTR_MODE) attr.mode = (attr.mode & S_IFMT) | (set.mode! & 0o7777);
    if (set.valid & FATTR_UID) attr.uid = set.uid!;
    if (set.valid & FATTR_GID) attr.gid = set.gid!;
    if (set.valid & FATTR_ATIME) Object.assign(attr, { atime: set.atime, atimensec: set.atimensec });
    if (set.valid & FATTR_MTIME) Object.assign(attr, { mtime: set.mtime, mtimensec: set.mtimensec });
    const changed =
      set.valid & FATTR_CTIME ? { ctime: set.ctime, ctimensec: set.ctimensec } : { ctime: s, ctimensec: ns };
    Object.assign(attr, changed);
    return { attr };
  }

  mknod(request: Request, { name, mode }: Args<'MKNOD'>) {
    if ((mode & S_IFMT) !== S_IFREG) throw EPERM;
    return this.#given(this.#make(request, name, mode));
  }
  create(request: Request, { name, mode }: Args<'CREATE'>) {
    return { entry: this.#given(this.#make(request, name, S_IFREG | (mode & 0o7777))), open: { fh: 0 } };
  }
  mkdir(request: Request, { name, mode }: Args<'MKDIR'>) {
    return this.#given(this.#make(request, name, S_IFDIR | (mode & 0o7777)));
  }
  symlink(request: Request, { name, target }: Args<'SYMLINK'>) {
    const node = this.#make(request, name, S_IFLNK | 0o777);
    node.data = encodeName(target);
    node.attr.size = node.data.length;
    this.#bytes += node.attr.size;
    return this.#given(node);
  }
  readlink({ nodeid }: Request) {
    return this.nodes.get(nodeid).data;
  }
  link({ nodeid }: Request, { oldnodeid, newname }: Args<'LINK'>) {
    const node = this.nodes.get(oldnodeid);
    if (node.entries) throw EPERM;
    const parent = this.#place(nodeid, newname);
    if (parent.entries!.has(newname)) throw EEXIST;
    node.attr.nlink++;
    this.#put(parent, newname, node);
    return this.#given(node);
  }

  unlink({ nodeid }: Request, { name }: Args<'UNLINK'>) {
    const entry = this.#find(nodeid, name);
    if (entry.node.entries) throw EISDIR;
    this.#take(this.nodes.get(nodeid), entry, 1);
  }
  rmdir({ nodeid }: Request, { name }: Args<'RMDIR'>) {
    const entry = this.#find(nodeid, name);
    this.#removable(entry.node);
    this.#take(this.nodes.get(nodeid), entry, 2);
  }
  #removable({ entries }: MemoryNode): void {
    if (entries === undefined) throw ENOTDIR;
    if (entries.size > 0) throw ENOTEMPTY;
  }

  rename({ nodeid }: Request, { newdir, oldname, newname, flags }: Args<'RENAME2'>) {
    if (flags & ~RENAME_NOREPLACE) throw EINVAL;
    const from = this.nodes.get(nodeid);
    const to = this.#place(newdir, newname);
    const entry = this.#find(nodeid, oldname);
    const { node } = entry;
    for (let up: MemoryNode | undefined = to; up; up = up.parent) if (up === node) throw EINVAL;
    const there = to.entries!.get(newname);
    if (there?.node === node) return; // two names of one file: nothing happens, rename(2)
    if (there) {
      if (flags & RENAME_NOREPLACE) throw EEXIST;
      if (node.entries) this.#removable(there.node);
      else if (there.node.entries) throw EISDIR;
      this.#take(to, there, there.node.entries ? 2 : 1);
    }
    this.#take(from, entry, 0);
    this.#put(to, newname, node);
  }

  read({ nodeid }: Request, { offset, size }: Args<'READ'>, reply: Buffer): number {
    const { data, attr } = this.nodes.get(nodeid);
    if (offset >= attr.size) return 0;
    return data.copy(reply, 0, offset, Math.min(offset + size, attr.size));
  }
  write({ nodeid }: Request, { offset, data }: Args<'WRITE'>) {
    const node = this.nodes.get(nodeid);
    if (offset + data.length > node.attr.size) this.#resize(node, offset + data.length);
    data.copy(node.data, offset);
    node.changed();
    return { size: data.length };
  }

  readdir(request: Request, args: Args<'READDIR'>, reply: DirectoryReply) {
    this.#list(this.nodes.get(request.nodeid), args.offset, reply);
  }
  readdirplus(request: Request, args: Args<'READDIRPLUS'>, reply: DirectoryReply) {
    this.#list(this.nodes.get(request.nodeid), args.offset, reply, (entry) => this.#given(entry.node));
  }
  #list(
    node: MemoryNode,
    offset: bigint,
    reply: DirectoryReply,
    lookup?: (entry: Entry) => { nodeid: number; attr: MemoryNode['attr'] },
  ): void {
    if (node.entries === undefined) throw ENOTDIR;
    if (offset < 1n && !reply.add(new Entry('.', 1n, node))) return;
    if (offset < 2n && !reply.add(new Entry('..', 2n, node.parent ?? node))) return;
    for (const entry of node.entries.values()) if (entry.off > offset && !reply.add(entry, lookup)) return;
  }

  statfs() {
    const used = Math.ceil(this.#bytes / BLOCK);
    const blocks = Math.max(used, 1 << 20);
    return {
      blocks,
      bfree: blocks - used,
      bavail: blocks - used,
      files: this.nodes.size,
      ffree: 1 << 20,
      bsize: BLOCK,
      frsize: BLOCK,
      namelen: NAME_MAX,
    };
  }
}
