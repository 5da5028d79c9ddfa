/**
 * The files of a MemoryFs by path, for the program that owns it. Reading gives values at once; a change is made
 * at once too, and its promise settles when the kernel has dropped what it had cached of it: whoever awaits it
 * knows that the mount shows the change.
 *
 * Paths are absolute within the filesystem, with or without a leading slash. Symlinks are followed, but for the
 * last name where stat(2)'s sisters of the same name would not. Permissions do not hold here. Errors are errnos.
 *
 * What came through the mount needs no invalidation: the kernel knows it. So the tree says nothing by itself;
 * each method here names what it changed.
 */
import { EINVAL, EISDIR, ELOOP, ENODATA, ENOENT, ENOTDIR } from '../../abi/errno.ts';
import { FUSE_ROOT_ID } from '../../abi/fuse-constants.ts';
import { S_IFDIR, S_IFLNK, S_IFREG } from '../../abi/posix.ts';
import type { Notifications } from '../../protocol/notify.ts';
import { changeMode, isAcl, setAcl } from './access.ts';
import { Content } from './content.ts';
import { Directory, type Entry } from './directory.ts';
import type { MemoryNode } from './node.ts';
import type { Maker, Tree } from './tree.ts';
import { checkXattrName } from './xattrs.ts';

/** Symlinks that a path may go through. @see path_resolution(7) */
const SYMLINKS_MAX = 40;

/** What a file is. Times in seconds since 1970 and nanoseconds beside them. */
export type MemoryStat = Readonly<
  Pick<
    MemoryNode,
    | 'nodeid'
    | 'mode'
    | 'nlink'
    | 'uid'
    | 'gid'
    | 'rdev'
    | 'size'
    | 'blocks'
    | 'atime'
    | 'atimensec'
    | 'mtime'
    | 'mtimensec'
    | 'ctime'
    | 'ctimensec'
    | 'btime'
    | 'btimensec'
  >
>;

/** A place where a name may be: its directory, and the entry if it is there. */
interface Place {
  readonly parent: MemoryNode;
  readonly name: string;
  readonly entry: Entry | undefined;
}

export class MemoryFiles {
  readonly #tree: Tree;
  readonly #owner: Maker;
  readonly #notify: () => Notifications | undefined;

  /** @internal */
  constructor(tree: Tree, owner: Maker, notify: () => Notifications | undefined) {
    this.#tree = tree;
    this.#owner = owner;
    this.#notify = notify;
  }

  /** The node of a path. ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG. */
  nodeid(path: string): number {
    return this.#node(path).nodeid;
  }

  /** All paths of a node, one for each of its hard links, in no order; none where it has no name. ESTALE. */
  paths(nodeid: number): string[] {
    const node = this.#tree.nodes.get(nodeid);
    if (nodeid === FUSE_ROOT_ID) return ['/'];
    const paths: string[] = [];
    for (let link = node.links; link; link = link.next) paths.push(this.#path(link));
    return paths;
  }

  #path({ name, parent }: Entry): string {
    const names = [name];
    for (let up = parent!.links; up; up = up.parent!.links) names.unshift(up.name);
    return `/${names.join('/')}`;
  }

  exists(path: string): boolean {
    try {
      this.#node(path);
      return true;
    } catch {
      return false;
    }
  }
  stat(path: string): MemoryStat {
    return this.#stat(this.#node(path));
  }
  lstat(path: string): MemoryStat {
    return this.#stat(this.#node(path, false));
  }
  #stat({ nodeid, mode, nlink, uid, gid, rdev, size, blocks, ...node }: MemoryNode): MemoryStat {
    const { atime, atimensec, mtime, mtimensec, ctime, ctimensec, btime, btimensec } = node;
    const times = { atime, atimensec, mtime, mtimensec, ctime, ctimensec, btime, btimensec };
    return { nodeid, mode, nlink, uid, gid, rdev, size, blocks, ...times };
  }

  /** The names in a directory, in the order in which they were made. ENOTDIR. */
  readdir(path: string): string[] {
    return Array.from(this.#tree.directory(this.#node(path)).entries(), ({ name }) => name);
  }
  /** EINVAL for what is no symlink. */
  readlink(path: string): string {
    const { body } = this.#node(path, false);
    if (typeof body !== 'string') throw EINVAL;
    return body;
  }
  /** The content of a file, or `length` bytes of it from `offset` on, fewer at its end: a copy. EISDIR, EINVAL. */
  readFile(path: string, offset = 0, length = Number.POSITIVE_INFINITY): Buffer {
    const node = this.#file(path);
    const bytes = Buffer.alloc(Math.max(0, Math.min(length, node.size - offset)));
    if (node.body instanceof Content) node.body.read(offset, bytes, bytes.length);
    return bytes;
  }
  /** ENODATA. */
  getxattr(path: string, name: string): Buffer {
    const value = this.#node(path).xattrs?.get(name);
    if (value === undefined) throw ENODATA;
    return Buffer.from(value);
  }
  listxattr(path: string): string[] {
    return [...(this.#node(path).xattrs?.names() ?? [])];
  }

  /** Makes the file what `data` is; a file that is not there is made, with `mode`. EISDIR, ENOENT, ENOSPC: what fitted is there then. */
  async writeFile(path: string, data: Uint8Array | string, { mode = 0o644 } = {}): Promise<void> {
    const { node, made } = this.#opened(path, mode);
    this.#tree.resize(node, 0);
    await this.#filled(node, 0, data, made);
  }
  /** Writes at the end, or at `offset`. As writeFile. */
  async write(path: string, data: Uint8Array | string, offset?: number): Promise<void> {
    const { node, made } = this.#opened(path, 0o644);
    await this.#filled(node, offset ?? node.size, data, made);
  }
  async #filled(node: MemoryNode, offset: number, data: Uint8Array | string, made: Promise<void>): Promise<void> {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    try {
      for (let done = 0; done < bytes.length; )
        done += this.#tree.write(node, offset + done, done === 0 ? bytes : bytes.subarray(done));
    } finally {
      await Promise.all([made, this.#data(node)]);
    }
  }
  /** EISDIR, EINVAL, EFBIG. */
  async truncate(path: string, size: number): Promise<void> {
    const node = this.#file(path);
    this.#tree.resize(node, size);
    await this.#data(node);
  }

  /** Makes a directory; with `recursive` those above it too, and none where it is there. EEXIST. */
  async mkdir(path: string, { recursive = false, mode = 0o755 } = {}): Promise<void> {
    if (recursive) {
      const above = /^(.*[^/])\/+[^/]+\/*$/su.exec(path)?.[1];
      if (above !== undefined && !this.exists(above)) await this.mkdir(above, { recursive, mode });
      if (this.exists(path) && this.#node(path).isDirectory) return;
    }
    const { parent, name } = this.#place(path);
    this.#tree.make(parent, name, S_IFDIR | mode, this.#owner);
    await this.#name(parent, name);
  }
  /** EEXIST. */
  async symlink(target: string, path: string): Promise<void> {
    const { parent, name } = this.#place(path);
    this.#tree.make(parent, name, S_IFLNK | 0o777, this.#owner, { target });
    await this.#name(parent, name);
  }
  /** Makes a file of any kind: a fifo, a socket, a device (`rdev` as the kernel packs it). EEXIST. */
  async mknod(path: string, mode: number, rdev = 0): Promise<void> {
    const { parent, name } = this.#place(path);
    this.#tree.make(parent, name, mode, this.#owner, { rdev });
    await this.#name(parent, name);
  }
  /** A hard link. EPERM, EEXIST. */
  async link(existing: string, path: string): Promise<void> {
    const node = this.#node(existing, false);
    const { parent, name } = this.#place(path);
    this.#tree.link(node, parent, name);
    await Promise.all([this.#name(parent, name), this.#attributes(node)]);
  }
  /** Removes a file, or an empty directory; with `recursive` all that is in it first. ENOENT, ENOTEMPTY. */
  async rm(path: string, { recursive = false } = {}): Promise<void> {
    const { parent, name, entry } = this.#place(path);
    if (entry === undefined) throw ENOENT;
    await this.#remove(parent, name, entry.node, recursive);
  }
  async #remove(parent: MemoryNode, name: string, node: MemoryNode, recursive: boolean): Promise<void> {
    const { body } = node;
    if (recursive && body instanceof Directory)
      for (const child of [...body.entries()]) await this.#remove(node, child.name, child.node, true);
    if (node.isDirectory) this.#tree.rmdir(parent, name);
    else this.#tree.unlink(parent, name);
    await Promise.all([this.#gone(parent, name, node), this.#attributes(node)]);
  }
  /** renameat2(2); `flags` are RENAME_ flags. */
  async rename(from: string, to: string, flags = 0): Promise<void> {
    const source = this.#place(from);
    const target = this.#place(to);
    const moved = source.entry?.node;
    const there = target.entry?.node;
    this.#tree.rename(source.parent, source.name, target.parent, target.name, flags, this.#owner);
    await Promise.all([
      this.#name(source.parent, source.name),
      this.#name(target.parent, target.name),
      ...[moved, there].map((node) => node && this.#attributes(node)),
    ]);
  }

  async chmod(path: string, mode: number): Promise<void> {
    await this.#changed(path, (node) => changeMode(node, mode & 0o7777));
  }
  async chown(path: string, uid: number, gid: number): Promise<void> {
    await this.#changed(path, (node) => {
      node.killPrivileges();
      node.uid = uid;
      node.gid = gid;
    });
  }
  /** Access and modification time in seconds since 1970, with fractions. */
  async utimes(path: string, atime: number, mtime: number): Promise<void> {
    await this.#changed(path, (node) => {
      [node.atime, node.atimensec] = parted(atime);
      [node.mtime, node.mtimensec] = parted(mtime);
    });
  }
  /** Sets an extended attribute, an ACL too; `flags` XATTR_CREATE and XATTR_REPLACE. */
  async setxattr(path: string, name: string, value: Uint8Array, flags = 0): Promise<void> {
    await this.#changed(path, (node) => {
      if (isAcl(name)) return setAcl(node, name, value, false, this.#tree.xattrsOf);
      checkXattrName(name);
      this.#tree.xattrsOf(node).set(name, value, flags);
    });
  }
  /** ENODATA. */
  async removexattr(path: string, name: string): Promise<void> {
    await this.#changed(path, ({ xattrs }) => {
      if (!xattrs?.remove(name)) throw ENODATA;
    });
  }
  async #changed(path: string, change: (node: MemoryNode) => void): Promise<void> {
    const node = this.#node(path);
    change(node);
    node.touchInode();
    await this.#attributes(node);
  }

  #node(path: string, follow = true): MemoryNode {
    const { parent, name, entry } = this.#walk(path, follow);
    if (name === '') return parent;
    if (entry === undefined) throw ENOENT;
    return this.#tree.look(entry.node);
  }
  #file(path: string): MemoryNode {
    const node = this.#node(path);
    if (node.isDirectory) throw EISDIR;
    if (!node.isFile) throw EINVAL;
    return node;
  }
  /** A file to write to, and the promise that the kernel knows of it. */
  #opened(path: string, mode: number): { node: MemoryNode; made: Promise<void> } {
    const { parent, name, entry } = this.#walk(path, true);
    if (entry !== undefined || name === '') return { node: this.#file(path), made: Promise.resolve() };
    const node = this.#tree.make(parent, name, S_IFREG | mode, this.#owner);
    return { node, made: this.#name(parent, name) };
  }
  /** Where a name is, or is to be. */
  #place(path: string): Place {
    const place = this.#walk(path, false);
    if (place.name === '') throw EINVAL; // the root has no name
    return place;
  }

  /** Goes along a path to its last name; to the root as the parent of nothing. */
  #walk(path: string, follow: boolean): Place {
    let at: Place = { parent: this.#tree.root, name: '', entry: undefined };
    let symlinks = 0;
    const names = namesIn(path);
    while (names.length > 0) {
      const name = names.shift()!;
      // Into what the last name was.
      const parent = at.name === '' ? at.parent : at.entry?.node;
      if (parent === undefined) throw ENOENT;
      const directory = this.#tree.directory(parent);
      if (name === '..') {
        at = this.#as(parent.parent ?? parent);
        continue;
      }
      const entry = directory.get(name);
      if (typeof entry?.node.body === 'string' && (follow || names.length > 0)) {
        if (++symlinks > SYMLINKS_MAX) throw ELOOP;
        const target = entry.node.body;
        names.unshift(...namesIn(target));
        at = target.startsWith('/') ? this.#as(this.#tree.root) : this.#as(parent);
      } else at = { parent, name, entry };
    }
    if (/[^/]\/+$/u.test(path) && at.entry && !at.entry.node.isDirectory) throw ENOTDIR;
    return at;
  }
  #as(directory: MemoryNode): Place {
    return { parent: directory, name: '', entry: undefined };
  }

  /** A name came, or means another node now. */
  #name(parent: MemoryNode, name: string): Promise<void> {
    const notify = this.#notify();
    if (notify === undefined || !known(parent)) return Promise.resolve();
    return all([notify.inval_entry(parent.nodeid, name), notify.inval_inode(parent.nodeid)]);
  }
  /** A name is gone: whoever watches it is told, too. */
  #gone(parent: MemoryNode, name: string, node: MemoryNode): Promise<void> {
    const notify = this.#notify();
    if (notify === undefined || !known(parent)) return Promise.resolve();
    // DELETE is refused where the kernel has the name for another node, or not at all: INVAL_ENTRY fits all.
    return all([
      notify.delete(parent.nodeid, node.nodeid, name),
      notify.inval_entry(parent.nodeid, name),
      notify.inval_inode(parent.nodeid),
    ]);
  }
  #attributes(node: MemoryNode): Promise<void> {
    return known(node) ? all([this.#notify()?.inval_inode(node.nodeid, -1)]) : Promise.resolve();
  }
  #data(node: MemoryNode): Promise<void> {
    return known(node) ? all([this.#notify()?.inval_inode(node.nodeid)]) : Promise.resolve();
  }
}

/** Whether the kernel may have something of a node in its caches. */
const known = (node: MemoryNode): boolean => node.nlookup > 0 || node.nodeid === FUSE_ROOT_ID;

/** Waits for notifications. That one is refused means that the kernel has nothing to drop, or is gone. */
async function all(notifications: readonly (Promise<void> | undefined)[]): Promise<void> {
  await Promise.allSettled(notifications);
}

const namesIn = (path: string): string[] => path.split('/').filter((name) => name !== '' && name !== '.');
const parted = (time: number): [number, number] => {
  const seconds = Math.floor(time);
  return [seconds, Math.floor((time - seconds) * 1e9)];
};
