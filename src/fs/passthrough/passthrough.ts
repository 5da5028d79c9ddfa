/**
 * A real directory behind FUSE: each operation is done on the file of a lower filesystem, and what that answers is the answer.
 * This file turns operations into calls; nodes.ts knows which file a node means and how a name becomes one, credentials.ts
 * in whose name a call runs, data.ts what is in files, directory.ts and xattrs.ts the rest.
 *
 * It is the same on one thread and on many: what outlives a request is in shared memory or a descriptor of the process
 * (source.ts), and each thread has one of these over it.
 *
 * Permissions are the kernel's to check, as POSIX_ACL has it do, from the modes and ACLs that it gets from below; then this
 * process does what was asked with its own rights. What it makes for a client belongs to the client.
 *
 * @see docs/passthrough.md for what a mount of it promises, and where it differs from the directory itself
 */
import { EEXIST, ELOOP, ENOSYS, ESTALE } from '../../abi/errno.ts';
import {
  chmod,
  closeQuietly,
  faccessat2,
  linkat,
  mkdirat,
  mknodat,
  openat,
  readlinkat,
  renameat2,
  statx,
  symlinkat,
  syncfs,
  truncate,
  unlinkat,
} from '../../abi/files.ts';
import {
  FATTR_KILL_SUIDGID,
  FATTR_SIZE,
  FUSE_OPEN_KILL_SUIDGID,
  FUSE_ROOT_ID,
  FUSE_SETXATTR_ACL_KILL_SGID,
  FUSE_WRITE_KILL_SUIDGID,
} from '../../abi/fuse-constants.ts';
import {
  AT_EACCESS,
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_FOLLOW,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_TMPFILE,
  O_TRUNC,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  RENAME_WHITEOUT,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_ISGID,
  STATX_BASIC_STATS,
  STATX_BTIME,
} from '../../abi/posix.ts';
import type { Connection } from '../../protocol/connection.ts';
import type { DirectoryReply } from '../../protocol/dirent.ts';
import type { Filesystem, Promised, Timeouts } from '../../protocol/filesystem.ts';
import type { Args, Result } from '../../protocol/operations.ts';
import type { Request } from '../../protocol/request.ts';
import { Caching } from '../caching.ts';
import { ofType } from '../made.ts';
import { Once } from '../once.ts';
import { Attributes } from './attributes.ts';
import { claimChanges } from './changes.ts';
import { Credentials } from './credentials.ts';
import { Data } from './data.ts';
import { Descriptors } from './descriptors.ts';
import { Directories } from './directory.ts';
import { ioctl } from './ioctl.ts';
import { LowerLocks } from './locks.ts';
import { type LowerNode, LowerNodes } from './nodes.ts';
import { type PassthroughOptions, promisesOf } from './options.ts';
import { Polls } from './polls.ts';
import { done, Scratch } from './scratch.ts';
import { PERMISSIONS, setOwnerModeTimes } from './setattr.ts';
import { COUNTS, openSource, type Source } from './source.ts';
import { statfsOf } from './statfs.ts';
import { type SourceWatch, watchSource } from './watch.ts';
import { Ways } from './ways.ts';
import { ACCESS_ACL, DEFAULT_ACL, LowerXattrs } from './xattrs.ts';

const ALL_STATS = STATX_BASIC_STATS | STATX_BTIME;
/** The minor version of the protocol from which on the kernel can be asked to forget nodes. */
const PRUNES = 45;
/** Groups that a request tells of, where it tells of none. */
const NO_GROUPS: readonly number[] = [];

export class PassthroughFs implements Filesystem {
  readonly promises: readonly Promised[];
  readonly timeouts: Timeouts;
  readonly #source: Source;
  readonly #options: PassthroughOptions;
  readonly #scratch = new Scratch();
  readonly #lower: LowerNodes;
  readonly #descriptors: Descriptors;
  readonly #data: Data;
  readonly #directories: Directories;
  readonly #xattrs = new LowerXattrs(this.#scratch);
  readonly #locks: LowerLocks | undefined;
  /** From `init` on. */
  #polls: Polls | undefined;
  readonly #ways: Ways;
  /** Whether the source is this object's alone. */
  readonly #alone: boolean;
  #watch: SourceWatch | undefined;
  readonly #attr: Attributes;
  /** What answers a lookup: filled again for each. The root's generation is always 0. @see fs/fuse/inode.c: fuse_get_root_inode */
  readonly #entry: {
    nodeid: number;
    generation: number;
    readonly attr: Attributes;
    readonly entry_valid?: number;
    readonly entry_valid_nsec?: number;
  };
  /** Of the thread that serves. */
  #own: Credentials | undefined;
  readonly #once = new Once();

  /** Serves a directory, on one thread; or takes part in serving a source that threads share (module.ts). As openSource. */
  constructor(served: PassthroughOptions | Source) {
    this.#alone = !('descriptors' in served);
    const source = 'descriptors' in served ? served : openSource(served);
    this.#source = source;
    this.#options = source.options;
    this.promises = promisesOf(source.options);
    this.#lower = new LowerNodes(source, this.#scratch);
    this.#descriptors = new Descriptors(source.descriptors);
    const { lowerLocks = false, allowDirectIo } = source.options;
    const caching = new Caching(source.options);
    this.timeouts = caching.timeouts;
    this.#ways = new Ways(this.#lower, this.#scratch, caching, lowerLocks);
    this.#data = new Data(this.#lower, this.#descriptors, this.#scratch, this.#ways, allowDirectIo);
    this.#locks = lowerLocks ? new LowerLocks(this.#scratch, (...file) => this.#lower.open(...file)) : undefined;
    this.#attr = new Attributes(source.device);
    this.#directories = new Directories(this.#scratch, this.#attr, source.rootKey);
    // Whoever walks over a name is asked below whether he may: the kernel must not know the name already, from somebody else.
    const unkept = source.options.callerChecks ? { entry_valid: 0, entry_valid_nsec: 0 } : {};
    this.#entry = { nodeid: 0, generation: 0, attr: this.#attr, ...unkept };
  }

  get nodes() {
    return this.#lower.table;
  }
  /** How many nodes are held as descriptors. */
  get held(): number {
    return this.#lower.held;
  }
  /** How many files and directories are open through the mount. */
  get opened(): number {
    return this.#descriptors.size;
  }
  get #credentials(): Credentials {
    this.#own ??= new Credentials();
    return this.#own;
  }

  init(connection: Connection): void {
    this.#once.begin('PassthroughFs', 'make one for each mount, or use a bind mount');
    Atomics.add(new Int32Array(this.#source.counts), COUNTS.THREADS, 1);
    this.#lower.warn = (message) => connection.warn(message);
    this.#polls = new Polls(this.#descriptors, this.#scratch, connection);
    this.#ways.begin(connection);
    // Several threads have a reader on the thread that mounts (passthrough-module.ts).
    if (this.#alone) this.#watch = watchSource(this.#source, this.nodes, connection);
    if (connection.minor >= PRUNES) this.#lower.prune = (nodeids) => connection.notify.prune(nodeids);
    if (!this.#credentials.changes)
      connection.warn('not privileged to act for others: what clients make belongs to the user of this process');
  }
  /** Closes all that is open; the last thread of several what they share. Also for one that was never mounted. */
  destroy(): void {
    if (!this.#once.end()) return;
    this.#polls?.close();
    this.#lower.close();
    this.#locks?.clear();
    this.#watch?.close();
    if (Atomics.sub(new Int32Array(this.#source.counts), COUNTS.THREADS, 1) > 1) return;
    claimChanges(this.#source, closeQuietly);
    this.#descriptors.closeAll();
    this.nodes.forgetAll();
    closeQuietly(this.#source.root);
  }

  /** Calls as the client, where the lower filesystem is to check what it may. */
  #as<T>(request: Request, call: () => T): T {
    return this.#options.callerChecks ? this.#credentials.asCaller(request, call) : call();
  }
  /** Calls what makes a file that shall belong to the client. */
  #making<T>(request: Request, call: () => T): T {
    if (this.#options.callerChecks) return this.#credentials.unmasked(() => this.#credentials.asCaller(request, call));
    const { uid = request.uid, gid = request.gid } = this.#options;
    return this.#credentials.as(uid, gid, request.extensions?.groups ?? NO_GROUPS, call);
  }

  #stat(fd: number): Attributes {
    const { empty, stat, view, statAt } = this.#scratch;
    done(statx(fd, empty, AT_EMPTY_PATH, ALL_STATS, stat));
    return this.#attr.read(view, statAt);
  }
  /** Answers with a node that was counted, and whose attributes are in the scratch. */
  #given(node: LowerNode) {
    const { nodeid } = node;
    try {
      if (nodeid !== FUSE_ROOT_ID) this.#attr.read(this.#scratch.view, this.#scratch.statAt);
    } catch (error) {
      this.nodes.forget({ nodeid, nlookup: 1 });
      throw error;
    }
    this.#entry.nodeid = nodeid;
    this.#entry.generation = nodeid === FUSE_ROOT_ID ? 0 : this.#source.generation;
    return this.#entry;
  }
  /** Answers with the node that is known to have this descriptor. */
  #known(nodeid: number, fd: number) {
    this.#stat(fd);
    return this.#given(this.nodes.lookup(this.nodes.get(nodeid)));
  }
  #enter(request: Request, dirfd: number, name: string) {
    const fd = this.#as(request, () => this.#lower.component(dirfd, name));
    const node = this.#lower.adopt(fd, true);
    if (node.nodeid === FUSE_ROOT_ID) throw ELOOP; // the source is mounted in itself
    return this.#given(node);
  }

  lookup(request: Request, { name }: Args<'LOOKUP'>) {
    const { nodeid } = request;
    // Whoever opens a file by its handle asks for these two; of the kernel's path walks none gets here.
    if (name === '.') return this.#lower.use(nodeid, (fd) => this.#reachable(this.#known(nodeid, fd)));
    if (name !== '..') return this.#lower.use(nodeid, (fd) => this.#enter(request, fd, name));
    if (nodeid === FUSE_ROOT_ID) return this.#lower.use(nodeid, (fd) => this.#known(nodeid, fd));
    return this.#above(nodeid);
  }
  #above(nodeid: number) {
    const node = this.#lower.adopt(this.#lower.above(nodeid), true);
    this.#attr.read(this.#scratch.view, this.#scratch.statAt);
    return this.#given(node);
  }
  /** ESTALE for what was removed: a file that is in use the kernel knows without asking. */
  #reachable(entry: Result<'LOOKUP'>) {
    if (this.#attr.nlink > 0) return entry;
    this.nodes.forget({ nodeid: entry.nodeid, nlookup: 1 });
    throw ESTALE;
  }
  forget(_: Request, one: { nodeid: number; nlookup: number }) {
    this.nodes.forget(one);
  }

  getattr({ nodeid }: Request, { fh }: Args<'GETATTR'>) {
    if (fh !== undefined) return { attr: this.#stat(this.#descriptors.get(fh)) };
    return this.#lower.use(nodeid, (fd) => ({ attr: this.#stat(fd) }));
  }
  statx({ nodeid }: Request, { sx_flags, sx_mask }: Args<'STATX'>): Result<'STATX'> {
    const { empty, stat, view, statAt } = this.#scratch;
    return this.#lower.use(nodeid, (fd) => {
      done(statx(fd, empty, AT_EMPTY_PATH | sx_flags, sx_mask | STATX_BASIC_STATS, stat));
      return this.#attr.whole(view, statAt);
    });
  }

  setattr(request: Request, set: Args<'SETATTR'>) {
    return this.#lower.use(request.nodeid, (fd) => {
      this.#as(request, () => this.#set(request, fd, set));
      return { attr: this.#stat(fd) };
    });
  }
  #set(request: Request, fd: number, set: Args<'SETATTR'>): void {
    const { valid, fh, size } = set;
    if (valid & FATTR_SIZE)
      this.#credentials.clearing(request, (valid & FATTR_KILL_SUIDGID) !== 0, () =>
        fh === undefined ? done(truncate(this.#scratch.proc(fd), size!)) : this.#data.truncate(fh, size!),
      );
    setOwnerModeTimes(fd, set, this.#scratch);
  }

  /** The mode to make a file with: the client's umask counts where the directory has no default ACL. */
  #mode(dirfd: number, mode: number, mask: number): number {
    return (mode & mask) === 0 || this.#xattrs.has(dirfd, DEFAULT_ACL) ? mode : mode & ~mask;
  }
  /** Makes a file by `make`, which may not follow the last name, and answers with it. */
  #made(request: Request, name: string, type: number, make: (dirfd: number) => number) {
    const entry = this.#lower.use(request.nodeid, (dirfd) => {
      done(this.#making(request, () => make(dirfd)));
      try {
        this.#label(request, dirfd, name); // first: what is entered is counted
        return this.#enter(request, dirfd, name);
      } catch (error) {
        // Nobody has seen it yet.
        if (unlinkat(dirfd, this.#scratch.name(name), 0) < 0) unlinkat(dirfd, this.#scratch.name(name), AT_REMOVEDIR);
        throw error;
      }
    });
    return ofType(type, entry, this.nodes);
  }
  /** Gives a new file the security contexts that came with the request. */
  #label({ extensions }: Request, dirfd: number, name: string): void {
    if (extensions === undefined || extensions.contexts.length === 0) return;
    const fd = this.#lower.component(dirfd, name);
    try {
      for (const context of extensions.contexts) this.#xattrs.set(fd, context.name, context.value, 0);
    } finally {
      closeQuietly(fd);
    }
  }

  mknod(request: Request, { name, mode, rdev, umask: mask }: Args<'MKNOD'>) {
    return this.#made(request, name, mode & S_IFMT, (dirfd) => {
      const made = this.#mode(dirfd, mode, mask);
      return mknodat(dirfd, this.#scratch.name(name), made, rdev);
    });
  }
  mkdir(request: Request, { name, mode, umask: mask }: Args<'MKDIR'>) {
    return this.#made(request, name, S_IFDIR, (dirfd) => {
      const made = this.#mode(dirfd, mode, mask);
      return mkdirat(dirfd, this.#scratch.name(name), made);
    });
  }
  symlink(request: Request, { name, target }: Args<'SYMLINK'>) {
    return this.#made(request, name, S_IFLNK, (dirfd) => {
      const path = this.#scratch.name(name);
      return symlinkat(this.#scratch.text(target), dirfd, path);
    });
  }
  /**
   * Always a new file: one that somebody else has made meanwhile was not asked about above, whether this client may
   * open it. ESTALE makes the kernel look again, and ask.
   */
  create(request: Request, { name, mode, umask: mask, flags }: Args<'CREATE'>) {
    return this.#lower.use(request.nodeid, (dirfd) => {
      const made = this.#mode(dirfd, mode, mask);
      const lower = this.#data.lower(flags) | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
      const fd = this.#making(request, () => openat(dirfd, this.#scratch.name(name), lower, made));
      if (fd === -EEXIST.errno && !(flags & O_EXCL)) throw ESTALE;
      try {
        return this.#born(this.#lower.opened(fd), flags, false, () => this.#label(request, dirfd, name));
      } catch (error) {
        if (fd >= 0) unlinkat(dirfd, this.#scratch.name(name), 0);
        throw error;
      }
    });
  }
  tmpfile(request: Request, { mode, umask: mask, flags }: Args<'TMPFILE'>) {
    return this.#lower.use(request.nodeid, (dirfd) => {
      const made = this.#mode(dirfd, mode, mask);
      const lower = this.#data.lower(flags) | O_TMPFILE | (flags & O_EXCL) | O_CLOEXEC;
      const fd = this.#making(request, () => openat(dirfd, this.#scratch.name('.'), lower, made));
      // Nothing but this handle would hold it: when it is closed the kernel may know of it still.
      return this.#born(this.#lower.opened(fd), flags, true, () => {});
    });
  }
  /** Answers with a file that was just made and is open, when it is `finished`. Where that fails it is closed. */
  #born(fd: number, flags: number, hold: boolean, finish: () => void) {
    let entry: Result<'LOOKUP'>;
    try {
      finish();
      entry = this.#given(this.#lower.adopt(fd, false, hold));
    } catch (error) {
      closeQuietly(fd);
      throw error;
    }
    try {
      return { entry, open: this.#data.opened(entry.nodeid, fd, flags) };
    } catch (error) {
      this.nodes.forget({ nodeid: entry.nodeid, nlookup: 1 });
      throw error;
    }
  }
  link(request: Request, { oldnodeid, newname }: Args<'LINK'>) {
    return this.#lower.use(oldnodeid, (fd) => {
      this.#lower.use(request.nodeid, (dirfd) => {
        const name = this.#scratch.name(newname);
        done(this.#as(request, () => linkat(AT_FDCWD, this.#scratch.proc(fd), dirfd, name, AT_SYMLINK_FOLLOW)));
      });
      return this.#known(oldnodeid, fd);
    });
  }
  unlink(request: Request, { name }: Args<'UNLINK'>) {
    this.#remove(request, name, 0);
  }
  rmdir(request: Request, { name }: Args<'RMDIR'>) {
    this.#remove(request, name, AT_REMOVEDIR);
  }
  #remove(request: Request, name: string, flags: number): void {
    this.#lower.use(request.nodeid, (dirfd) =>
      this.#lower.removing(dirfd, name, () =>
        this.#as(request, () => done(unlinkat(dirfd, this.#scratch.name(name), flags))),
      ),
    );
  }
  rename(request: Request, { newdir, oldname, newname, flags }: Args<'RENAME2'>) {
    this.#lower.use(request.nodeid, (from) =>
      this.#lower.use(newdir, (to) => {
        const rename = () => {
          const [old, next] = [this.#scratch.name(oldname), this.#scratch.other(newname)];
          const move = () => done(renameat2(from, old, to, next, flags));
          // A whiteout is made, and so belongs to the client.
          if (flags & RENAME_WHITEOUT) this.#making(request, move);
          else this.#as(request, move);
        };
        if (flags & (RENAME_EXCHANGE | RENAME_NOREPLACE)) rename();
        else this.#lower.removing(to, newname, rename);
      }),
    );
  }
  readlink(request: Request) {
    const { list, empty } = this.#scratch;
    const length = this.#lower.use(request.nodeid, (fd) => done(readlinkat(fd, empty, list)));
    return list.subarray(0, length);
  }

  open(request: Request, { flags, open_flags }: Args<'OPEN'>) {
    const clears = (flags & O_TRUNC) !== 0 && (open_flags & FUSE_OPEN_KILL_SUIDGID) !== 0;
    const fd = this.#credentials.clearing(request, clears, () => this.#open(request, flags));
    return this.#data.opened(request.nodeid, fd, flags);
  }
  #open(request: Request, flags: number): number {
    if (!this.#options.callerChecks) return this.#data.open(request.nodeid, flags);
    return this.#lower.use(request.nodeid, (fd) => this.#as(request, () => this.#data.reopen(fd, flags)));
  }
  flush({ nodeid }: Request, args: Args<'FLUSH'>) {
    this.#locks?.flush(nodeid, args.lock_owner);
    this.#data.flush(args);
  }
  release({ nodeid }: Request, args: Args<'RELEASE'>) {
    this.#locks?.release(nodeid, args);
    this.#polls?.forget(args.fh);
    this.#data.release(nodeid, args);
  }
  /** Sent with `lowerLocks` alone, as setlk. */
  getlk({ nodeid }: Request, args: Args<'GETLK'>) {
    if (this.#locks === undefined) throw ENOSYS;
    return this.#locks.getlk(nodeid, args);
  }
  setlk(request: Request, args: Args<'SETLKW'>) {
    if (this.#locks === undefined) throw ENOSYS;
    return this.#locks.setlk(request, args);
  }
  read(_: Request, args: Args<'READ'>, reply: Buffer): number {
    return this.#data.read(args, reply);
  }
  write(request: Request, args: Args<'WRITE'>) {
    if (!(args.write_flags & FUSE_WRITE_KILL_SUIDGID)) return this.#data.write(args);
    return this.#credentials.clearing(request, true, () => this.#data.write(args));
  }
  fsync(_: Request, args: Args<'FSYNC'>) {
    this.#data.fsync(args);
  }
  fallocate(_: Request, args: Args<'FALLOCATE'>) {
    this.#data.fallocate(args);
  }
  lseek(_: Request, args: Args<'LSEEK'>) {
    return this.#data.lseek(args);
  }
  copy_file_range(_: Request, args: Args<'COPY_FILE_RANGE_64'>) {
    return this.#data.copy(args);
  }
  ioctl(_: Request, args: Args<'IOCTL'>) {
    return ioctl(this.#descriptors.get(args.fh), args, this.#scratch);
  }

  poll(_: Request, args: Args<'POLL'>) {
    return this.#polls!.poll(args);
  }

  opendir(request: Request, { flags }: Args<'OPENDIR'>) {
    const fd = this.#open(request, flags | O_DIRECTORY);
    try {
      return { ...this.#ways.directory(request.nodeid, fd), fh: this.#descriptors.add(fd) };
    } catch (error) {
      closeQuietly(fd);
      throw error;
    }
  }
  readdir({ nodeid }: Request, { fh, offset }: Args<'READDIR'>, reply: DirectoryReply) {
    this.#directories.list(this.nodes.get(nodeid), this.#descriptors.get(fh), offset, reply);
  }
  readdirplus(request: Request, args: Args<'READDIRPLUS'>, reply: DirectoryReply) {
    const fd = this.#descriptors.get(args.fh);
    const enter = (name: string) => this.#enter(request, fd, name);
    this.#directories.list(this.nodes.get(request.nodeid), fd, args.offset, reply, enter);
  }
  releasedir(_: Request, { fh }: Args<'RELEASEDIR'>) {
    this.#descriptors.release(fh);
  }
  fsyncdir(_: Request, args: Args<'FSYNCDIR'>) {
    this.#data.fsync(args);
  }

  statfs({ nodeid }: Request) {
    return this.#lower.use(nodeid, (fd) => statfsOf(fd, this.#scratch));
  }
  syncfs() {
    done(syncfs(this.#source.root));
  }
  /** Sent where the kernel does not check permissions itself. */
  access(request: Request, { mask }: Args<'ACCESS'>) {
    this.#lower.use(request.nodeid, (fd) => {
      const result = this.#as(request, () => faccessat2(AT_FDCWD, this.#scratch.proc(fd), mask, AT_EACCESS));
      if (result !== -ENOSYS.errno) done(result); // before Linux 5.8: what is done then says it
    });
  }

  setxattr(request: Request, { name, value, flags, setxattr_flags }: Args<'SETXATTR'>) {
    this.#lower.use(request.nodeid, (fd) => {
      this.#as(request, () => this.#xattrs.set(fd, name, value, flags));
      if (name !== ACCESS_ACL || !(setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID)) return;
      const { mode } = this.#stat(fd);
      if (mode & S_ISGID) done(chmod(this.#scratch.proc(fd), mode & PERMISSIONS & ~S_ISGID));
    });
  }
  getxattr(request: Request, { name, size }: Args<'GETXATTR'>, reply: Buffer): number {
    return this.#lower.use(request.nodeid, (fd) =>
      this.#as(request, () => this.#xattrs.get(fd, name, reply, Math.min(size, reply.length))),
    );
  }
  listxattr({ nodeid, uid }: Request): Uint8Array {
    return this.#lower.use(nodeid, (fd) => this.#xattrs.list(fd, uid === 0));
  }
  removexattr(request: Request, { name }: Args<'REMOVEXATTR'>) {
    this.#lower.use(request.nodeid, (fd) => this.#as(request, () => this.#xattrs.remove(fd, name)));
  }
}
