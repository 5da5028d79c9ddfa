/**
 * A filesystem in memory that can what tmpfs can and FUSE can carry. It is what `npm start` mounts, and the
 * first filesystem to read. This file turns operations into calls of the tree (tree.ts), which has the rules
 * of names and links; inode.ts has those of times and modes, content.ts is what files are made of (in memory of ours by
 * paged.ts, in a tmpfs that the kernel reads and writes itself by tmpfs.ts), access.ts the ACLs, ../locks.ts the locks.
 * The program that owns it works with the same tree through `files`.
 *
 * Who may do what is not asked here: with POSIX_ACL the kernel checks every permission itself.
 *
 * @see docs/posix.md for where a mount of it differs from tmpfs, and why
 */
import { totalmem } from 'node:os';
import { EFBIG, EINVAL, EISDIR, ENODATA, ENOENT, ENXIO, EOPNOTSUPP, Errno, ESTALE } from '../../abi/errno.ts';
import {
  FATTR_SIZE,
  FOPEN_DIRECT_IO,
  FOPEN_PARALLEL_DIRECT_WRITES,
  FUSE_OPEN_KILL_SUIDGID,
  FUSE_POLL_SCHEDULE_NOTIFY,
  FUSE_ROOT_ID,
  FUSE_SETXATTR_ACL_KILL_SGID,
  FUSE_WRITE_CACHE,
  FUSE_WRITE_KILL_SUIDGID,
} from '../../abi/fuse-constants.ts';
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  NAME_MAX,
  O_DIRECT,
  O_NOATIME,
  O_TRUNC,
  POLLIN,
  POLLOUT,
  POLLPRI,
  POLLRDNORM,
  POLLWRNORM,
  S_IFDIR,
  S_IFLNK,
  S_IFREG,
  SEEK_DATA,
  SEEK_HOLE,
} from '../../abi/posix.ts';
import type { Connection } from '../../protocol/connection.ts';
import type { DirectoryReply } from '../../protocol/dirent.ts';
import type { Filesystem, Promised } from '../../protocol/filesystem.ts';
import { NegotiationError } from '../../protocol/init.ts';
import { encodeName } from '../../protocol/names.ts';
import type { Args, Result } from '../../protocol/operations.ts';
import type { Request } from '../../protocol/request.ts';
import {
  areHanded,
  checkKernelPassthrough,
  HandedFiles,
  type KernelPassthrough,
  type OpenBooks,
  type Way,
} from '../handed.ts';
import { Locks } from '../locks.ts';
import { HandleTable, MAP_MAX } from '../nodes.ts';
import { isAcl, setAcl } from './access.ts';
import { Content, type Store } from './content.ts';
import { DOT, DOT_DOT, type Entry } from './directory.ts';
import { MemoryFiles } from './files.ts';
import type { Atime } from './inode.ts';
import type { MemoryNode } from './node.ts';
import { PagedStore } from './paged.ts';
import { PAGE } from './pages.ts';
import { TmpfsContent, TmpfsStore } from './tmpfs.ts';
import { SIZE_MAX, Tree } from './tree.ts';
import { checkXattrName } from './xattrs.ts';

export interface MemoryOptions {
  /** Bytes of file data and extended attributes at most, rounded up to pages of 4 KiB. Default: half of the memory that the process may use. */
  readonly size?: number | undefined;
  /** Files of all kinds at most, the root included; 8,388,608 or fewer. Default: as many as `size` has pages. */
  readonly nrInodes?: number | undefined;
  /** When reading moves access times. Default: as the mount says (noatime, strictatime), else relatime. */
  readonly atime?: Atime | undefined;
  /**
   * Tells its files from those of another filesystem that was mounted here before, so that no file handle
   * (open_by_handle_at(2)) of that one opens a file of this one. 32 bits. Default: random.
   */
  readonly generation?: number | undefined;
  /**
   * Whether the kernel reads and writes open files itself (Linux 6.9, CAP_SYS_ADMIN), so that no request for their data comes: `'auto'`,
   * where it can, and what keeps it from that is told; true, or there is no mount; false. What is in files is then in a tmpfs that nobody else
   * sees. Default false.
   */
  readonly kernelPassthrough?: KernelPassthrough | undefined;
}

/** Bytes of memory that this process may use: the machine's, or what its control group leaves of it. */
export const memoryHere = (): number => Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY);

/** How much one COPY_FILE_RANGE copies at most, so that others need not wait for long: 2 ms. The caller asks again. */
const COPY_MOST = 8 << 20;
/** What a file is always ready for. */
const READY = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;

/**
 * How a file is opened that was opened with O_DIRECT: direct it is anyway, and so several may write to it at once, where the
 * kernel would let them wait for each other (4 KiB by four clients: 41,000 a second, so 124,000). @see fs/fuse/file.c: fuse_dio_lock
 */
const DIRECT = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES;

/** In any case. */
const PROMISES: readonly Promised[] = [
  'ATOMIC_O_TRUNC',
  'POSIX_LOCKS',
  'FLOCK_LOCKS',
  'EXPORT_SUPPORT',
  'POSIX_ACL',
  'HANDLE_KILLPRIV_V2',
  'CACHE_SYMLINKS',
  'EXPLICIT_INVAL_DATA',
];

/** An open file. */
interface Open {
  readonly node: MemoryNode;
  /** The node's version at open, or that was read or told last. */
  seen: number;
  /** The kernel's name of the poll that waits for the next one. */
  kh: bigint | undefined;
}

export class MemoryFs implements Filesystem {
  readonly promises: readonly Promised[];
  readonly tree: Tree;
  readonly locks = new Locks();
  /** The files, by path, for the program that owns them. */
  readonly files: MemoryFiles;
  readonly #ownAtime: Atime | undefined;
  /** When reading moves the access times of directories. */
  #diratime: Atime;
  readonly #kernelPassthrough: KernelPassthrough;
  /** Why there is no tmpfs, where files are to be handed over. */
  #lacking: string | undefined;
  #handed: HandedFiles | undefined;
  #connection: Connection | undefined;
  #handles = new HandleTable<Open>();
  /** One for all: nodeids are not given twice. */
  readonly #generation: number;

  constructor(options: MemoryOptions = {}) {
    const { size = memoryHere() / 2, nrInodes, atime, generation, kernelPassthrough = false } = options;
    const pages = Math.ceil(size / PAGE);
    const inodes = nrInodes ?? Math.min(MAP_MAX, Math.max(1, pages));
    if (!Number.isSafeInteger(pages) || size < 0) throw new RangeError(`size is ${size}: a number of bytes is needed`);
    if (!Number.isInteger(inodes) || inodes < 1 || inodes > MAP_MAX)
      throw new RangeError(`nrInodes is ${inodes}: a whole number from 1 to ${MAP_MAX} is needed`);
    checkKernelPassthrough(kernelPassthrough);
    this.#kernelPassthrough = kernelPassthrough;
    const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    this.tree = new Tree(this.#store(pages), inodes, owner, (kh) => void this.#connection?.notify.poll(kh));
    this.files = new MemoryFiles(this.tree, owner, () => this.#connection?.notify);
    this.#generation = (generation ?? Math.floor(Math.random() * 2 ** 32)) >>> 0;
    this.#ownAtime = atime;
    this.tree.atime = atime ?? 'relatime';
    this.#diratime = this.tree.atime;
    const hands = this.tree.store instanceof TmpfsStore;
    this.promises = hands ? [...PROMISES, 'PASSTHROUGH'] : PROMISES;
  }
  /** Where files are kept. */
  #store(pages: number): Store {
    if (this.#kernelPassthrough)
      try {
        return new TmpfsStore(pages);
      } catch (error) {
        if (!(error instanceof Errno)) throw error;
        this.#lacking = `there is no tmpfs for them: ${error.message}`;
      }
    return new PagedStore(pages);
  }

  get nodes() {
    return this.tree.nodes;
  }
  /** How many files are open through the mount. */
  get opened(): number {
    return this.#handles.size;
  }

  init(connection: Connection): void {
    if (this.#connection)
      throw new NegotiationError('this MemoryFs is mounted already: to see it in two places use a bind mount');
    if (areHanded(connection, this.#kernelPassthrough, this.#lacking)) this.#handed = this.#handing(connection);
    this.#connection = connection;
    this.tree.atime = this.#ownAtime ?? connection.atime ?? 'relatime';
    this.#diratime = connection.diratime || this.#ownAtime ? this.tree.atime : 'none';
  }
  #handing(connection: Connection): HandedFiles {
    const books: OpenBooks = { change: (nodeid, use) => use((this.nodes.get(nodeid).body as TmpfsContent).opened) };
    // Setuid bits and owners are ours: what is in the tmpfs has none, and nobody has a quota there.
    return new HandedFiles(connection, books, () => undefined, 'whole');
  }
  destroy(): void {
    this.#connection = undefined;
    this.#handed = undefined;
    for (const { node } of this.#handles.all()) if (node.body instanceof TmpfsContent) node.body.left();
    this.#handles = new HandleTable();
    this.locks.clear();
    this.nodes.forgetAll();
  }

  /** Throws where an invariant does not hold, and says which. */
  check(): void {
    this.tree.check();
    this.locks.check();
  }

  /** A node as it is now. */
  #node(nodeid: number): MemoryNode {
    return this.tree.look(this.nodes.get(nodeid));
  }
  /** What a lookup answers, and its count. */
  #given(node: MemoryNode) {
    const { nodeid } = this.nodes.lookup(this.tree.look(node));
    // The root's generation is always 0. @see fs/fuse/inode.c: fuse_get_root_inode
    return { nodeid, generation: nodeid === FUSE_ROOT_ID ? 0 : this.#generation, attr: node };
  }
  #opened(node: MemoryNode, flags: number) {
    const way = this.#way(node, flags);
    return { fh: this.#handles.add({ node, seen: node.version, kh: undefined }), ...way };
  }
  /** How an open file goes on. ENOMEM. */
  #way(node: MemoryNode, flags: number): Way | { open_flags: number } {
    const content = this.#handed && this.tree.content(node);
    const handed =
      content instanceof TmpfsContent ? content.open(flags, (fd) => this.#handed!.open(node.nodeid, fd)) : undefined;
    return handed ?? { open_flags: flags & O_DIRECT ? DIRECT : 0 };
  }
  /** Answers with a file that was just made, and is open. */
  #born(node: MemoryNode, flags: number) {
    const entry = this.#given(node);
    try {
      return { entry, open: this.#opened(node, flags) };
    } catch (error) {
      this.nodes.forget({ nodeid: node.nodeid, nlookup: 1 });
      throw error;
    }
  }

  lookup({ nodeid }: Request, { name }: Args<'LOOKUP'>) {
    const node = this.nodes.get(nodeid);
    // Whoever opens a file by its handle asks for these two; of the kernel's path walks none gets here.
    if (name === '.') return this.#given(this.#reachable(node));
    if (name === '..') return this.#given(this.#parent(node));
    return this.#given(this.tree.find(node, name).node);
  }
  /**
   * ESTALE for a file that was removed and is not open, but still counted: whoever asks for one by its handle has dropped it, and its FORGET
   * is on the way, behind other requests perhaps. One that is in use the kernel knows without asking.
   * @see fs/fuse/inode.c: fuse_get_dentry
   */
  #reachable(node: MemoryNode): MemoryNode {
    if (!node.linked && !this.#handles.all().some((open) => open.node === node)) throw ESTALE;
    return node;
  }
  #parent(node: MemoryNode): MemoryNode {
    const parent = node === this.tree.root ? node : node.parent;
    if (parent === undefined) throw ENOENT;
    return parent;
  }
  forget(_: Request, one: { nodeid: number; nlookup: number }) {
    this.nodes.forget(one);
  }

  getattr({ nodeid }: Request) {
    return { attr: this.#node(nodeid) };
  }
  statx({ nodeid }: Request): Result<'STATX'> {
    return { flags: 0, stat: this.#node(nodeid).statx };
  }

  setattr({ nodeid }: Request, set: Args<'SETATTR'>) {
    const node = this.#node(nodeid);
    if (set.valid & FATTR_SIZE) {
      if (node.isDirectory) throw EISDIR;
      this.tree.resize(node, set.size!);
    }
    node.change(set);
    return { attr: node };
  }

  mknod(request: Request, { name, mode, rdev, umask }: Args<'MKNOD'>) {
    return this.#given(this.tree.make(this.nodes.get(request.nodeid), name, mode, request, { umask, rdev }));
  }
  mkdir(request: Request, { name, mode, umask }: Args<'MKDIR'>) {
    return this.#given(this.tree.make(this.nodes.get(request.nodeid), name, S_IFDIR | mode, request, { umask }));
  }
  symlink(request: Request, { name, target }: Args<'SYMLINK'>) {
    return this.#given(this.tree.make(this.nodes.get(request.nodeid), name, S_IFLNK | 0o777, request, { target }));
  }
  create(request: Request, { name, mode, umask, flags }: Args<'CREATE'>) {
    const node = this.tree.make(this.nodes.get(request.nodeid), name, S_IFREG | mode, request, { umask });
    return this.#born(node, flags);
  }
  tmpfile(request: Request, { mode, umask, flags }: Args<'TMPFILE'>) {
    const node = this.tree.makeUnnamed(this.nodes.get(request.nodeid), mode, request, umask);
    return this.#born(node, flags);
  }
  link({ nodeid }: Request, { oldnodeid, newname }: Args<'LINK'>) {
    const node = this.nodes.get(oldnodeid);
    this.tree.link(node, this.nodes.get(nodeid), newname);
    return this.#given(node);
  }
  unlink({ nodeid }: Request, { name }: Args<'UNLINK'>) {
    this.tree.unlink(this.nodes.get(nodeid), name);
  }
  rmdir({ nodeid }: Request, { name }: Args<'RMDIR'>) {
    this.tree.rmdir(this.nodes.get(nodeid), name);
  }
  rename(request: Request, { newdir, oldname, newname, flags }: Args<'RENAME2'>) {
    const from = this.nodes.get(request.nodeid);
    this.tree.rename(from, oldname, this.nodes.get(newdir), newname, flags, request);
  }
  readlink({ nodeid }: Request) {
    const node = this.nodes.get(nodeid);
    if (typeof node.body !== 'string') throw EINVAL;
    node.accessed(this.tree.atime);
    return node.body;
  }

  open({ nodeid }: Request, { flags, open_flags }: Args<'OPEN'>) {
    const node = this.#node(nodeid);
    if (flags & O_TRUNC) {
      this.tree.resize(node, 0);
      if (open_flags & FUSE_OPEN_KILL_SUIDGID) node.killPrivileges();
    }
    return this.#opened(node, flags);
  }
  flush({ nodeid }: Request, { lock_owner }: Args<'FLUSH'>) {
    this.locks.flush(nodeid, lock_owner);
  }
  release({ nodeid }: Request, args: Args<'RELEASE'>) {
    this.locks.release(nodeid, args);
    const { node, kh } = this.#handles.release(args.fh);
    this.tree.look(node); // for the last time, perhaps
    this.#handed?.release(node.nodeid);
    if (kh !== undefined) node.waiting?.delete(kh);
  }

  read({ nodeid }: Request, { fh, offset, size, flags }: Args<'READ'>, reply: Buffer): number {
    const node = this.#node(nodeid);
    this.#handles.get(fh).seen = node.version;
    if (!(flags & O_NOATIME)) node.accessed(this.tree.atime);
    const length = Math.min(size, node.size - offset);
    if (length <= 0) return 0;
    if (node.body instanceof Content) node.body.read(offset, reply, length);
    else reply.fill(0, 0, length);
    return length;
  }
  write({ nodeid }: Request, { offset, data, write_flags, flags }: Args<'WRITE'>) {
    const node = this.#node(nodeid);
    // The kernel makes EIO of a direct write that is done in part. @see fs/fuse/file.c: fuse_aio_complete
    const size = this.tree.write(node, offset, data, (flags & O_DIRECT) !== 0);
    if (write_flags & FUSE_WRITE_KILL_SUIDGID) node.killPrivileges();
    // Whoever writes takes capabilities, root too. The kernel asks for that before it writes to the page cache, but not
    // before it writes to a file that is opened as direct. @see fs/fuse/file.c: fuse_direct_write_iter
    else if (!(write_flags & FUSE_WRITE_CACHE)) node.xattrs?.remove('security.capability');
    return { size };
  }

  fallocate({ nodeid }: Request, { offset, length, mode }: Args<'FALLOCATE'>) {
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) throw EOPNOTSUPP;
    const end = offset + length;
    if (end > SIZE_MAX) throw EFBIG;
    const node = this.#node(nodeid);
    const content = this.tree.content(node);
    if (mode & FALLOC_FL_PUNCH_HOLE) content.punch(offset, length);
    else if (mode & FALLOC_FL_ZERO_RANGE) content.zero(offset, length);
    else content.allocate(offset, length);
    this.tree.changed(node, mode & FALLOC_FL_KEEP_SIZE ? node.size : Math.max(node.size, end));
  }
  lseek({ nodeid }: Request, { offset, whence }: Args<'LSEEK'>) {
    const { body, size } = this.#node(nodeid);
    if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw EINVAL;
    if (offset >= size) throw ENXIO;
    const content = body instanceof Content ? body : undefined;
    if (whence === SEEK_HOLE) return { offset: Math.min(size, content?.hole(offset) ?? offset) };
    const data = content?.data(offset) ?? size;
    if (data >= size) throw ENXIO;
    return { offset: data };
  }
  copy_file_range({ nodeid }: Request, { off_in, nodeid_out, off_out, len }: Args<'COPY_FILE_RANGE_64'>) {
    const source = this.#node(nodeid);
    const target = this.#node(nodeid_out);
    const length = Math.min(len, COPY_MOST, source.size - off_in);
    if (length <= 0) return { bytes_copied: 0 };
    if (off_out + length > SIZE_MAX) throw EFBIG;
    const bytes_copied = this.tree.content(target).copy(this.tree.content(source), off_in, off_out, length);
    this.tree.changed(target, Math.max(target.size, off_out + bytes_copied));
    source.accessed(this.tree.atime);
    return { bytes_copied };
  }

  setxattr({ nodeid }: Request, { name, value, flags, setxattr_flags }: Args<'SETXATTR'>) {
    const node = this.nodes.get(nodeid);
    if (isAcl(name))
      setAcl(node, name, value, (setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID) !== 0, this.tree.xattrsOf);
    else {
      checkXattrName(name);
      this.tree.xattrsOf(node).set(name, value, flags);
    }
    node.touchInode();
  }
  getxattr({ nodeid }: Request, { name }: Args<'GETXATTR'>): Buffer {
    const { xattrs } = this.nodes.get(nodeid);
    if (!isAcl(name)) checkXattrName(name);
    const value = xattrs?.get(name);
    if (value === undefined) throw ENODATA;
    return value;
  }
  listxattr({ nodeid, uid }: Request): Buffer {
    const { xattrs } = this.nodes.get(nodeid);
    // The kernel asks CAP_SYS_ADMIN of who reads or sets a trusted one, but does not take it out of the list.
    const names = [...(xattrs?.names() ?? [])].filter((name) => uid === 0 || !name.startsWith('trusted.'));
    return encodeName(names.map((name) => `${name}\0`).join(''));
  }
  removexattr({ nodeid }: Request, { name }: Args<'REMOVEXATTR'>) {
    const node = this.nodes.get(nodeid);
    if (!isAcl(name)) checkXattrName(name);
    // To remove an ACL that is not there is no error. @see fs/posix_acl.c: vfs_remove_acl
    if (!node.xattrs?.remove(name) && !isAcl(name)) throw ENODATA;
    node.touchInode();
  }

  readdir(request: Request, args: Args<'READDIR'>, reply: DirectoryReply) {
    this.#list(this.nodes.get(request.nodeid), args, reply);
  }
  readdirplus(request: Request, args: Args<'READDIRPLUS'>, reply: DirectoryReply) {
    this.#list(this.nodes.get(request.nodeid), args, reply, ({ node }) => this.#given(node));
  }
  #list(
    node: MemoryNode,
    { offset, flags }: Args<'READDIR'>,
    reply: DirectoryReply,
    lookup?: (entry: Entry) => Result<'LOOKUP'>,
  ): void {
    const directory = this.tree.directory(node);
    if (!(flags & O_NOATIME)) node.accessed(this.#diratime);
    const { ino } = node;
    const type = S_IFDIR >> 12;
    if (offset < DOT && !reply.add({ name: '.', ino, type, off: DOT })) return;
    const up = (node.parent ?? node).ino;
    if (offset < DOT_DOT && !reply.add({ name: '..', ino: up, type, off: DOT_DOT })) return;
    directory.list(offset, (entry) => reply.add(entry, lookup));
  }

  getlk({ nodeid }: Request, args: Args<'GETLK'>) {
    return this.locks.getlk(nodeid, args);
  }
  setlk(request: Request, args: Args<'SETLKW'>) {
    return this.locks.setlk(request, args);
  }

  /**
   * A file is always ready to be read and written. Who asks for POLLPRI is told once of each change of its content since
   * it was opened, as by the files of sysfs and cgroups; tmpfs has nothing like it. A READ counts as being told, but most
   * reads are answered by the page cache and don't come here.
   */
  poll({ nodeid }: Request, { fh, kh, flags, events }: Args<'POLL'>) {
    const node = this.nodes.get(nodeid);
    const open = this.#handles.get(fh);
    const revents = (READY | (node.version === open.seen ? 0 : POLLPRI)) & events;
    if (revents & POLLPRI) open.seen = node.version;
    else if (events & POLLPRI && flags & FUSE_POLL_SCHEDULE_NOTIFY) {
      open.kh = kh;
      node.waiting ??= new Set();
      node.waiting.add(kh);
    }
    return { revents };
  }

  statfs() {
    const { limit, free } = this.tree.store;
    return {
      blocks: limit,
      bfree: free,
      bavail: free,
      files: this.tree.inodes,
      ffree: this.tree.inodes - this.nodes.size,
      bsize: PAGE,
      frsize: PAGE,
      namelen: NAME_MAX,
    };
  }
}
