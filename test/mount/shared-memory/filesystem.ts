/**
 * A complete filesystem in shared memory, which any number of threads serve: it can what MemoryFs can but for locks,
 * which it leaves to the kernel (right for one mount), and poll. Tests of threads stand on it. This file turns operations
 * into calls of the tree (tree.ts) for what has to do with names, and of single files (inode.ts) for the rest.
 *
 * Each thread has one of these over the same memory. Nothing is kept here that outlives a request: that a file is open
 * is a count in its node.
 */
import { EFBIG, EINVAL, EISDIR, ENODATA, ENOENT, ENXIO, EOPNOTSUPP, ESTALE } from '../../../src/abi/errno.ts';
import {
  FATTR_SIZE,
  FOPEN_DIRECT_IO,
  FOPEN_PARALLEL_DIRECT_WRITES,
  FUSE_OPEN_KILL_SUIDGID,
  FUSE_ROOT_ID,
  FUSE_SETXATTR_ACL_KILL_SGID,
  FUSE_WRITE_CACHE,
  FUSE_WRITE_KILL_SUIDGID,
} from '../../../src/abi/fuse-constants.ts';
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  NAME_MAX,
  O_DIRECT,
  O_NOATIME,
  O_TRUNC,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  SEEK_DATA,
  SEEK_HOLE,
} from '../../../src/abi/posix.ts';
import { isAcl, setAcl } from '../../../src/fs/memory/access.ts';
import type { Atime } from '../../../src/fs/memory/inode.ts';
import { SIZE_MAX } from '../../../src/fs/memory/tree.ts';
import { checkXattrName } from '../../../src/fs/memory/xattrs.ts';
import type { Connection } from '../../../src/protocol/connection.ts';
import type { DirectoryReply } from '../../../src/protocol/dirent.ts';
import type { Filesystem, Promised } from '../../../src/protocol/filesystem.ts';
import { decodeName, encodeName } from '../../../src/protocol/names.ts';
import type { Args, Result } from '../../../src/protocol/operations.ts';
import type { Request } from '../../../src/protocol/request.ts';
import { DOT, DOT_DOT, type Entry } from './directory.ts';
import { type Node, type SharedInode, xattrsOf } from './inode.ts';
import { PAGE } from './pages.ts';
import type { SharedTree } from './tree.ts';

/** How much one COPY_FILE_RANGE copies at most: others wait for the file meanwhile. */
const COPY_MOST = 8 << 20;
const DIRECT = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES;

/** An open file: that it is open is counted in its node, and there is no more to know of it. */
const opened = (flags: number) => ({ fh: 0, open_flags: flags & O_DIRECT ? DIRECT : 0 });
const itself = (inode: SharedInode): SharedInode => inode;

export class SharedMemoryFs implements Filesystem {
  readonly promises: readonly Promised[] = [
    'ATOMIC_O_TRUNC',
    'EXPORT_SUPPORT',
    'POSIX_ACL',
    'HANDLE_KILLPRIV_V2',
    'CACHE_SYMLINKS',
    'EXPLICIT_INVAL_DATA',
  ];
  readonly #tree: SharedTree;
  readonly #threads: number;
  readonly #ownAtime: Atime | undefined;
  #atime: Atime = 'relatime';
  /** The same for directories. */
  #diratime: Atime = 'relatime';

  constructor(tree: SharedTree, threads: number, atime: Atime | undefined) {
    this.#tree = tree;
    this.#threads = threads;
    this.#ownAtime = atime;
  }

  init(connection: Connection): void {
    this.#atime = this.#ownAtime ?? connection.atime ?? 'relatime';
    this.#diratime = connection.diratime || this.#ownAtime ? this.#atime : 'none';
  }
  destroy(): void {
    this.#tree.leave(this.#threads);
  }

  #node(nodeid: number): Node {
    return this.#tree.nodes.get(nodeid);
  }
  #look<T>(nodeid: number, use: (inode: SharedInode) => T): T {
    return this.#tree.store.look(this.#node(nodeid), use);
  }
  #change<T>(nodeid: number, use: (inode: SharedInode) => T): T {
    return this.#tree.store.change(this.#node(nodeid), use);
  }

  /** What a lookup answers, which is counted. */
  #given(node: Node) {
    const { nodeid } = node;
    const generation = nodeid === FUSE_ROOT_ID ? 0 : this.#tree.generation;
    return { nodeid, generation, attr: this.#tree.store.look(node, itself) };
  }

  lookup({ nodeid }: Request, { name }: Args<'LOOKUP'>) {
    const tree = this.#tree;
    return this.#given(tree.named(() => tree.nodes.lookup(this.#find(this.#node(nodeid), name))));
  }
  #find(node: Node, name: string): Node {
    // Whoever opens a file by its handle asks for these two; of the kernel's path walks none gets here.
    if (name === '.') return this.#reachable(node);
    if (name !== '..') return this.#tree.find(node, name).node;
    const parent = node.nodeid === FUSE_ROOT_ID ? node : this.#tree.parent(node);
    if (parent === undefined) throw ENOENT;
    return parent;
  }
  /** ESTALE for a file that was removed and is not open. @see MemoryFs */
  #reachable(node: Node): Node {
    if (this.#tree.store.look(node, ({ nlink, opens }) => nlink + opens === 0)) throw ESTALE;
    return node;
  }
  forget(_: Request, one: { nodeid: number; nlookup: number }) {
    this.#tree.nodes.forget(one);
  }

  getattr({ nodeid }: Request) {
    return { attr: this.#look(nodeid, itself) };
  }
  statx({ nodeid }: Request): Result<'STATX'> {
    return { flags: 0, stat: this.#look(nodeid, ({ statx }) => statx) };
  }
  setattr({ nodeid }: Request, set: Args<'SETATTR'>) {
    const attr = this.#change(nodeid, (inode) => {
      if (set.valid & FATTR_SIZE) {
        if (inode.isDirectory) throw EISDIR;
        inode.resize(set.size!);
      }
      inode.change(set);
      return inode;
    });
    return { attr };
  }

  mknod(request: Request, { name, mode, rdev, umask }: Args<'MKNOD'>) {
    return this.#made(request, name, mode, { umask, rdev });
  }
  mkdir(request: Request, { name, mode, umask }: Args<'MKDIR'>) {
    return this.#made(request, name, S_IFDIR | mode, { umask });
  }
  symlink(request: Request, { name, target }: Args<'SYMLINK'>) {
    return this.#made(request, name, S_IFLNK | 0o777, { target });
  }
  create(request: Request, { name, mode, umask, flags }: Args<'CREATE'>) {
    const entry = this.#made(request, name, S_IFREG | mode, { umask, opens: 1 });
    return { entry, open: opened(flags) };
  }
  #made(request: Request, name: string, mode: number, more: Parameters<SharedTree['make']>[4]) {
    const tree = this.#tree;
    return this.#given(tree.named(() => tree.make(this.#node(request.nodeid), name, mode, request, more)));
  }
  tmpfile(request: Request, { mode, umask, flags }: Args<'TMPFILE'>) {
    const tree = this.#tree;
    const node = tree.named(() => tree.makeUnnamed(this.#node(request.nodeid), mode, request, umask));
    return { entry: this.#given(node), open: opened(flags) };
  }
  link({ nodeid }: Request, { oldnodeid, newname }: Args<'LINK'>) {
    const tree = this.#tree;
    const node = this.#node(oldnodeid);
    tree.named(() => {
      tree.link(node, this.#node(nodeid), newname);
      tree.nodes.lookup(node);
    });
    return this.#given(node);
  }
  unlink({ nodeid }: Request, { name }: Args<'UNLINK'>) {
    this.#tree.named(() => this.#tree.unlink(this.#node(nodeid), name));
  }
  rmdir({ nodeid }: Request, { name }: Args<'RMDIR'>) {
    this.#tree.named(() => this.#tree.rmdir(this.#node(nodeid), name));
  }
  rename(request: Request, { newdir, oldname, newname, flags }: Args<'RENAME2'>) {
    const tree = this.#tree;
    const from = this.#node(request.nodeid);
    tree.named(() => tree.rename(from, oldname, this.#node(newdir), newname, flags, request));
  }
  readlink({ nodeid }: Request) {
    return this.#change(nodeid, (inode) => {
      if ((inode.mode & S_IFMT) !== S_IFLNK) throw EINVAL;
      inode.accessed(this.#atime);
      return decodeName(this.#tree.store.heap.copy(inode.body, inode.size), 0, inode.size);
    });
  }

  open({ nodeid }: Request, { flags, open_flags }: Args<'OPEN'>) {
    this.#change(nodeid, (inode) => {
      if (flags & O_TRUNC) {
        inode.resize(0);
        if (open_flags & FUSE_OPEN_KILL_SUIDGID) inode.killPrivileges();
      }
      inode.opens++;
    });
    return opened(flags);
  }
  release({ nodeid }: Request) {
    this.#change(nodeid, (inode) => {
      inode.opens--;
    });
  }

  read({ nodeid }: Request, { offset, size, flags }: Args<'READ'>, reply: Buffer): number {
    return this.#change(nodeid, (inode) => {
      if (!(flags & O_NOATIME)) inode.accessed(this.#atime);
      const length = Math.min(size, inode.size - offset);
      if (length <= 0) return 0;
      inode.content.read(offset, reply, length);
      return length;
    });
  }
  write({ nodeid }: Request, { offset, data, write_flags, flags }: Args<'WRITE'>) {
    return this.#change(nodeid, (inode) => {
      // The kernel makes EIO of a direct write that is done in part. @see fs/fuse/file.c: fuse_aio_complete
      const size = inode.write(offset, data, (flags & O_DIRECT) !== 0);
      if (write_flags & FUSE_WRITE_KILL_SUIDGID) inode.killPrivileges();
      // Who writes takes capabilities, also where the kernel did not ask. @see MemoryFs
      else if (!(write_flags & FUSE_WRITE_CACHE)) inode.xattrs.remove('security.capability');
      return { size };
    });
  }

  fallocate({ nodeid }: Request, { offset, length, mode }: Args<'FALLOCATE'>) {
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) throw EOPNOTSUPP;
    const end = offset + length;
    if (end > SIZE_MAX) throw EFBIG;
    this.#change(nodeid, (inode) => {
      if (mode & FALLOC_FL_PUNCH_HOLE) inode.content.punch(offset, length);
      else if (mode & FALLOC_FL_ZERO_RANGE) inode.content.zero(offset, length);
      else inode.content.allocate(offset, length);
      inode.changed(mode & FALLOC_FL_KEEP_SIZE ? inode.size : Math.max(inode.size, end));
    });
  }
  lseek({ nodeid }: Request, { offset, whence }: Args<'LSEEK'>) {
    if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw EINVAL;
    return this.#look(nodeid, ({ content, size }) => {
      if (offset >= size) throw ENXIO;
      if (whence === SEEK_HOLE) return { offset: Math.min(size, content.hole(offset)) };
      const data = content.data(offset);
      if (data >= size) throw ENXIO;
      return { offset: data };
    });
  }
  copy_file_range({ nodeid }: Request, { off_in, nodeid_out, off_out, len }: Args<'COPY_FILE_RANGE_64'>) {
    return this.#tree.store.changeBoth(this.#node(nodeid), this.#node(nodeid_out), (source, target) => {
      const length = Math.min(len, COPY_MOST, source.size - off_in);
      if (length <= 0) return { bytes_copied: 0 };
      if (off_out + length > SIZE_MAX) throw EFBIG;
      const bytes_copied = target.content.copy(source.content, off_in, off_out, length);
      target.changed(Math.max(target.size, off_out + bytes_copied));
      source.accessed(this.#atime);
      return { bytes_copied };
    });
  }

  setxattr({ nodeid }: Request, { name, value, flags, setxattr_flags }: Args<'SETXATTR'>) {
    this.#change(nodeid, (inode) => {
      const dropSetgid = (setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID) !== 0;
      if (isAcl(name)) setAcl(inode, name, value, dropSetgid, xattrsOf);
      else {
        checkXattrName(name);
        inode.xattrs.set(name, value, flags);
      }
      inode.touchInode();
    });
  }
  getxattr({ nodeid }: Request, { name }: Args<'GETXATTR'>): Buffer {
    if (!isAcl(name)) checkXattrName(name);
    const value = this.#look(nodeid, ({ xattrs }) => xattrs.get(name));
    if (value === undefined) throw ENODATA;
    return value;
  }
  listxattr({ nodeid, uid }: Request): Buffer {
    const names = this.#look(nodeid, ({ xattrs }) => xattrs.names());
    // The kernel asks CAP_SYS_ADMIN of who reads or sets a trusted one, but does not take it out of the list.
    const told = names.filter((name) => uid === 0 || !name.startsWith('trusted.'));
    return encodeName(told.map((name) => `${name}\0`).join(''));
  }
  removexattr({ nodeid }: Request, { name }: Args<'REMOVEXATTR'>) {
    if (!isAcl(name)) checkXattrName(name);
    this.#change(nodeid, (inode) => {
      // To remove an ACL that is not there is no error. @see fs/posix_acl.c: vfs_remove_acl
      if (!inode.xattrs.remove(name) && !isAcl(name)) throw ENODATA;
      inode.touchInode();
    });
  }

  readdir(request: Request, args: Args<'READDIR'>, reply: DirectoryReply) {
    this.#list(request.nodeid, args, reply);
  }
  readdirplus(request: Request, args: Args<'READDIRPLUS'>, reply: DirectoryReply) {
    const { nodes } = this.#tree;
    this.#list(request.nodeid, args, reply, ({ nodeid }) => this.#given(nodes.lookup(nodes.get(nodeid))));
  }
  #list(
    nodeid: number,
    { offset, flags }: Args<'READDIR'>,
    reply: DirectoryReply,
    lookup?: (entry: Entry) => Result<'LOOKUP'>,
  ): void {
    const tree = this.#tree;
    const ino = BigInt(nodeid);
    const type = S_IFDIR >> 12;
    tree.named(() => {
      if (!(flags & O_NOATIME)) this.#change(nodeid, (inode) => inode.accessed(this.#diratime));
      if (offset < DOT && !reply.add({ name: '.', ino, type, off: DOT })) return;
      const up = BigInt(tree.parent(this.#node(nodeid))?.nodeid ?? nodeid);
      if (offset < DOT_DOT && !reply.add({ name: '..', ino: up, type, off: DOT_DOT })) return;
      tree.list(this.#node(nodeid), offset, (entry) => reply.add(entry, lookup));
    });
  }

  statfs() {
    const { nodes, inodes, store } = this.#tree;
    const { limit, reserved } = store.pages;
    const free = limit - reserved;
    return {
      ...{ blocks: limit, bfree: free, bavail: free, files: inodes, ffree: inodes - nodes.size },
      ...{ bsize: PAGE, frsize: PAGE, namelen: NAME_MAX },
    };
  }
}
