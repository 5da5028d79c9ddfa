/**
 * Several directories as one. Each operation asks a policy which branches it goes to (policies.ts), does on each what PassthroughFs
 * would do there, and makes one answer of what they said. This file is that; tree.ts knows which path a nodeid means, lower.ts how
 * a path becomes a file on a branch, and the rest has a file for each thing that takes more than one call: rename.ts, move.ts,
 * clone.ts, listing.ts, files.ts.
 *
 * What several branches say is one answer so: all have done it, and it is done. None has, and the caller gets an error. Some
 * have: then a name that was made or removed is made or removed, and what was changed of a file is told by the branch that
 * `getattr` would show. The trace is told of each that failed.
 *
 * Permissions are the kernel's to check, as in PassthroughFs; what is made belongs to who has made it.
 *
 * @see docs/union.md
 */
import { EACCES, ENOENT, ESTALE, EXDEV } from '../../abi/errno.ts';
import { closeQuietly, fdatasync, fsync, readlinkat, syncfs, truncate } from '../../abi/files.ts';
import {
  FATTR_ATIME,
  FATTR_ATIME_NOW,
  FATTR_GID,
  FATTR_KILL_SUIDGID,
  FATTR_MODE,
  FATTR_MTIME,
  FATTR_MTIME_NOW,
  FATTR_SIZE,
  FATTR_UID,
  FOPEN_CACHE_DIR,
  FUSE_FSYNC_FDATASYNC,
  FUSE_IOCTL_DIR,
  FUSE_OPEN_KILL_SUIDGID,
} from '../../abi/fuse-constants.ts';
import { O_ACCMODE, O_DIRECTORY, O_RDONLY, O_TRUNC, S_IFREG } from '../../abi/posix.ts';
import type { Connection } from '../../protocol/connection.ts';
import type { DirectoryReply } from '../../protocol/dirent.ts';
import type { Filesystem, Promised } from '../../protocol/filesystem.ts';
import { encodeName } from '../../protocol/names.ts';
import type { Args, Result } from '../../protocol/operations.ts';
import type { Request } from '../../protocol/request.ts';
import { HandleTable } from '../nodes.ts';
import { Once } from '../once.ts';
import { Credentials } from '../passthrough/credentials.ts';
import { ioctl } from '../passthrough/ioctl.ts';
import { done, Scratch } from '../passthrough/scratch.ts';
import { setOwnerModeTimes } from '../passthrough/setattr.ts';
import { LowerXattrs } from '../passthrough/xattrs.ts';
import { Across } from './across.ts';
import { Answers, type Entry, fullPath } from './answers.ts';
import { CALLS, type Calls } from './calls.ts';
import { Cloner } from './clone.ts';
import { CONTROL_FILE, Control } from './control.ts';
import { OpenFiles } from './files.ts';
import { InodeNumbers } from './inodes.ts';
import { Listing, type OpenDirectory } from './listing.ts';
import { type Branch, Lower } from './lower.ts';
import { Mover } from './move.ts';
import { component, Names } from './names.ts';
import type { FunctionName, Values } from './options.ts';
import { type Mode, type Random, type Space, seeded } from './policies.ts';
import { Renamer } from './rename.ts';
import { mountOptionsOf, type Served, servedOptions, type UnionMountOptions, type UnionOptions } from './served.ts';
import { statfsOf } from './statfs.ts';
import { type UnionNode, UnionTree } from './tree.ts';
import { UnionXattrs } from './xattrs.ts';

/** The parts of SETATTR, each with the function whose policy says where it is done; in this order, for a change of the owner takes setuid away. */
const SETS: readonly (readonly [FunctionName, number])[] = [
  ['chown', FATTR_UID | FATTR_GID],
  ['chmod', FATTR_MODE],
  ['utimens', FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW | FATTR_MTIME_NOW],
];

export class UnionFs implements Filesystem {
  readonly promises: readonly Promised[];
  readonly #served: Served;
  readonly #scratch = new Scratch();
  readonly #tree = new UnionTree();
  readonly #lower: Lower;
  readonly #across: Across;
  readonly #answers: Answers;
  readonly #renamer: Renamer;
  readonly #listing: Listing;
  readonly #mover: Mover;
  readonly #files: OpenFiles;
  readonly #names: Names;
  readonly #xattrs: UnionXattrs;
  readonly #directories = new HandleTable<OpenDirectory>();
  readonly #controlNode = this.#tree.add(S_IFREG);
  #notify: Connection['notify'] | undefined;
  #own: Credentials | undefined;
  readonly #once = new Once();

  /** Serves branches, on one thread. RangeError and SystemError, in one line. `calls` and `chance` are in place of the system's. */
  constructor(options: UnionOptions, calls: Partial<Calls> = {}, chance: Random = chanceOf(options)) {
    const served = servedOptions(options);
    const { values } = served.options;
    const [scratch, tree, all] = [this.#scratch, this.#tree, { ...CALLS, ...calls }];
    const lower = new Lower(values, chance, scratch);
    const numbers = new InodeNumbers(values);
    const cloner = new Cloner(lower, scratch, all);
    const across = new Across(lower, tree, cloner);
    const mover = new Mover(lower, cloner, scratch, all);
    const listing = new Listing({ lower, numbers, values, scratch });
    const common = { served, values, scratch, tree, lower, numbers, cloner, across, mover, listing };
    const answers = new Answers(common);
    const renamer = new Renamer(common, all, (path) => listing.isEmpty(path));
    const files = new OpenFiles(common);
    const parts = { ...common, answers, renamer, files, xattrs: new LowerXattrs(scratch) };
    const control = new Control(served.options, this.#commands);
    this.#served = served;
    this.#lower = lower;
    this.#across = across;
    this.#answers = answers;
    this.#listing = listing;
    this.#renamer = renamer;
    this.#mover = mover;
    this.#files = files;
    this.#names = new Names({ ...parts, credentials: () => this.#credentials });
    this.#xattrs = new UnionXattrs(parts, control, this.#controlNode);
    this.#controlNode.opens = 1; // it is always there
    lower.serve(values.branches);
    served.options.changed = (name) => {
      served.check();
      if (name === 'branches' || name === 'config') lower.serve(values.branches);
    };
    this.promises = promisesOf(values);
  }
  readonly #commands = {
    gc: () => this.#forgetSpace(),
    gc1: () => this.#forgetSpace(),
    'invalidate-all-nodes': () => this.#invalidate(),
  };

  get nodes() {
    return this.#tree.table;
  }
  /** What of its options is the mount's: for `mount(filesystem, directory, { ...filesystem.mountOptions })`. */
  get mountOptions(): UnionMountOptions {
    return mountOptionsOf(this.#served.options);
  }
  /** How many files and directories are open through the mount. */
  get opened(): number {
    return this.#files.size + this.#directories.size;
  }
  /** The branches as they are now. */
  get branches(): readonly Branch[] {
    return this.#lower.branches;
  }
  /** Reads an option as it would be written, undefined for one that there is not. */
  get(name: string): string | undefined {
    return this.#served.options.get(name);
  }
  /** Changes an option while it is served, as the control file does. ENODATA, EROFS, EINVAL. */
  set(name: string, text: string): void {
    this.#served.options.change(name, text);
  }
  /** Where the create policy would put a file in a directory now. EROFS, ENOSPC, ENOENT. */
  wouldCreate(directory = ''): readonly Branch[] {
    return this.#lower.during(() => this.#lower.choose('create', directory));
  }
  /** How full the branches are, undefined where that can't be found out. */
  spaces(): readonly { path: string; mode: Mode; minFreeSpace: number; space: Space | undefined }[] {
    return this.#lower.branches.map((branch) => {
      const { path, mode, minFreeSpace } = branch;
      return { path, mode, minFreeSpace, space: this.#lower.space(branch) };
    });
  }
  get #values() {
    return this.#served.options.values;
  }
  get #credentials(): Credentials {
    this.#own ??= new Credentials();
    return this.#own;
  }

  init(connection: Connection): void {
    this.#once.begin('UnionFs', 'make one for each mount');
    this.#notify = connection.notify;
    this.#across.note = connection.note;
    this.#renamer.note = connection.note;
    this.#files.note = connection.note;
    this.#files.begin(connection);
    if (!this.#credentials.changes)
      connection.warn('not privileged to act for others: what clients make belongs to the user of this process');
  }
  /** Closes all that is open. Also for one that was never mounted. */
  destroy(): void {
    if (!this.#once.end()) return;
    this.#files.closeAll();
    this.#listing.close();
    for (const { node } of this.#directories.all()) node.opens--;
    this.nodes.forgetAll();
    this.#lower.close();
  }
  #forgetSpace(): void {
    for (const branch of this.#lower.branches) branch.found = undefined;
  }
  #invalidate(): void {
    for (const node of this.nodes.all())
      for (const { parent, name } of node.names) this.#notify?.inval_entry(parent.nodeid, name).catch(() => {});
  }

  #node(nodeid: number): UnionNode {
    return this.nodes.get(nodeid);
  }

  lookup({ nodeid }: Request, { name }: Args<'LOOKUP'>): Entry {
    const node = this.#node(nodeid);
    // Whoever opens a file by its handle asks for these two; of the kernel's path walks none gets here.
    if (name === '.') {
      // A file that is removed and closed is gone, though the kernel has not forgotten it yet.
      if (node.held !== undefined && node.opens === 0) throw ESTALE;
      return this.#names.known(node);
    }
    if (name === '..') return this.#names.known(node.names[0]?.parent ?? this.#tree.root);
    component(name);
    if (node === this.#tree.root && name === CONTROL_FILE) return this.#controlEntry();
    try {
      return this.#names.enter(node, name);
    } catch (error) {
      if (error !== ENOENT || this.#lower.unsure) throw error;
      this.#tree.detach(node, name); // removed by somebody else
      const absent = this.#answers.absent();
      if (absent === undefined) throw error;
      return absent;
    }
  }
  #controlEntry(): Entry {
    this.#names.attributes(this.#tree.root);
    return this.#answers.control(this.nodes.lookup(this.#controlNode));
  }
  forget(_: Request, one: { nodeid: number; nlookup: number }) {
    this.nodes.forget(one);
  }

  getattr({ nodeid }: Request, { fh }: Args<'GETATTR'>): Result<'GETATTR'> {
    const node = this.#node(nodeid);
    if (node === this.#controlNode) {
      this.#names.attributes(this.#tree.root);
      return this.#answers.got(this.#answers.control(node).attr);
    }
    if (fh === undefined) return this.#answers.got(this.#names.attributes(node));
    const { branch } = this.#files.get(fh);
    const path = node.held === undefined && node.names.length > 0 ? this.#tree.path(node) : '';
    return this.#answers.got(this.#answers.attributes(fh, branch, path, node));
  }
  statx({ nodeid }: Request, args: Args<'STATX'>): Result<'STATX'> {
    const node = this.#node(nodeid);
    const statx = (of: UnionNode) =>
      this.#across.search('getattr', of, (fd, branch, path) => this.#answers.statx(fd, branch, path, of, args));
    return node === this.#controlNode ? this.#answers.controlStatx(node, statx(this.#tree.root)) : statx(node);
  }

  setattr(request: Request, set: Args<'SETATTR'>): Result<'GETATTR'> {
    const node = this.#node(request.nodeid);
    const { valid, fh, size } = set;
    if (node === this.#controlNode) throw EACCES;
    const clears = (valid & FATTR_KILL_SUIDGID) !== 0;
    if (fh !== undefined) {
      const { fd } = this.#files.get(fh);
      if (valid & FATTR_SIZE) this.#credentials.clearing(request, clears, () => this.#files.data.truncate(fh, size!));
      setOwnerModeTimes(fd, set, this.#scratch);
      return this.getattr(request, { fh, getattr_flags: 0 });
    }
    if (valid & FATTR_SIZE)
      this.#across.change('truncate', node, (fd) =>
        this.#credentials.clearing(request, clears, () => done(truncate(this.#scratch.proc(fd), size!))),
      );
    for (const [name, bits] of SETS) if (valid & bits) this.#set(name, node, { ...set, valid: valid & bits });
    // No bit at all is a chown(2) that changes nothing, or a write on behalf of somebody without privileges.
    if (valid === 0) this.#set('chown', node, set);
    return this.#answers.got(this.#names.attributes(node));
  }
  #set(name: FunctionName, node: UnionNode, set: Args<'SETATTR'>): void {
    this.#across.change(name, node, (fd) => setOwnerModeTimes(fd, set, this.#scratch));
  }

  mknod(request: Request, args: Args<'MKNOD'>) {
    return this.#names.mknod(request, args);
  }
  mkdir(request: Request, args: Args<'MKDIR'>) {
    return this.#names.mkdir(request, args);
  }
  symlink(request: Request, args: Args<'SYMLINK'>) {
    return this.#names.symlink(request, args);
  }
  create(request: Request, args: Args<'CREATE'>) {
    return this.#names.create(request, args);
  }
  tmpfile(request: Request, args: Args<'TMPFILE'>) {
    return this.#names.tmpfile(request, args);
  }
  unlink(request: Request, args: Args<'UNLINK'>) {
    this.#names.unlink(request, args);
  }
  rmdir(request: Request, args: Args<'RMDIR'>) {
    this.#names.rmdir(request, args);
  }
  rename(request: Request, args: Args<'RENAME2'>) {
    this.#names.rename(request, args);
  }
  link(request: Request, args: Args<'LINK'>) {
    if (args.oldnodeid === this.#controlNode.nodeid) throw EXDEV;
    return this.#names.link(request, args);
  }
  readlink({ nodeid }: Request): Uint8Array | string {
    const { list, empty } = this.#scratch;
    return this.#across.search('readlink', this.#node(nodeid), (fd, branch, path) => {
      if (this.#values.symlinkify && this.#lower.typeOf(fd) === S_IFREG) return encodeName(fullPath(branch, path));
      return list.subarray(0, done(readlinkat(fd, empty, list)));
    });
  }

  open(request: Request, { flags, open_flags }: Args<'OPEN'>): Result<'OPEN'> {
    const node = this.#node(request.nodeid);
    if (node === this.#controlNode) throw EACCES;
    const clears = (flags & O_TRUNC) !== 0 && (open_flags & FUSE_OPEN_KILL_SUIDGID) !== 0;
    if (this.#values['link-cow'] && (flags & O_ACCMODE) !== O_RDONLY && node.held === undefined) {
      const path = this.#tree.path(node);
      this.#mover.unshare(
        path,
        this.#lower.during(() => this.#lower.choose('open', path)[0]!),
      );
    }
    return this.#across.search('open', node, (fd, branch) =>
      this.#credentials.clearing(request, clears, () => this.#files.open(request, node, branch, fd, flags)),
    );
  }
  flush(_: Request, args: Args<'FLUSH'>) {
    this.#files.flush(args);
  }
  release(_: Request, { fh }: Args<'RELEASE'>) {
    this.#files.release(fh);
  }
  read(_: Request, args: Args<'READ'>, reply: Buffer): number {
    return this.#files.read(args, reply);
  }
  write(request: Request, args: Args<'WRITE'>) {
    return this.#files.write(request, args, this.#credentials);
  }
  fsync(_: Request, args: Args<'FSYNC'>) {
    this.#files.data.fsync(args);
  }
  fallocate(_: Request, args: Args<'FALLOCATE'>) {
    this.#files.data.fallocate(args);
  }
  lseek(_: Request, args: Args<'LSEEK'>) {
    return this.#files.data.lseek(args);
  }
  copy_file_range(_: Request, args: Args<'COPY_FILE_RANGE_64'>) {
    return this.#files.data.copy(args);
  }
  ioctl({ nodeid }: Request, args: Args<'IOCTL'>): Result<'IOCTL'> {
    if (!(args.flags & FUSE_IOCTL_DIR)) return ioctl(this.#files.get(args.fh).fd, args, this.#scratch);
    return this.#across.search('ioctl', this.#node(nodeid), (fd) =>
      this.#opened(fd, (own) => ioctl(own, args, this.#scratch)),
    );
  }
  /** Calls with a directory open for reading. */
  #opened<T>(fd: number, call: (fd: number) => T): T {
    const own = done(this.#lower.reopen(fd, O_RDONLY | O_DIRECTORY));
    try {
      return call(own);
    } finally {
      closeQuietly(own);
    }
  }

  opendir({ nodeid }: Request): Result<'OPENDIR'> {
    const node = this.#node(nodeid);
    this.#across.search('getattr', node, () => {});
    node.opens++;
    const fh = this.#directories.add({ node, entries: undefined });
    return { fh, open_flags: this.#values['cache.readdir'] ? FOPEN_CACHE_DIR : 0 };
  }
  /** Never with lookups: each would ask a policy of a file that a listing does not need. */
  readdir(_: Request, { fh, offset }: Args<'READDIR'>, reply: DirectoryReply): void | Promise<void> {
    const open = this.#directories.get(fh);
    return this.#listing.list(open, this.#pathOrNone(open.node), offset, reply);
  }
  #pathOrNone(node: UnionNode): string | undefined {
    return node.held === undefined ? this.#tree.path(node) : undefined;
  }
  releasedir(_: Request, { fh }: Args<'RELEASEDIR'>) {
    const { node } = this.#directories.release(fh);
    node.opens--;
    this.nodes.drop(node);
  }
  fsyncdir({ nodeid }: Request, { fsync_flags }: Args<'FSYNCDIR'>) {
    const node = this.#node(nodeid);
    if (node.held !== undefined) return;
    const path = this.#tree.path(node);
    const sync = fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync : fsync;
    this.#onAll((branch) => {
      if (this.#lower.exists(branch, path)) this.#opened(this.#lower.descriptor(branch), (fd) => done(sync(fd)));
    });
  }
  /** Calls for each branch, also where one fails: the first error is thrown at the end. */
  #onAll(call: (branch: Branch) => void): void {
    const errors: unknown[] = [];
    this.#lower.during(() => {
      for (const branch of this.#lower.branches) {
        try {
          call(branch);
        } catch (error) {
          errors.push(error);
        }
      }
    });
    if (errors.length > 0) throw errors[0];
  }

  statfs({ nodeid }: Request): Result<'STATFS'> {
    return statfsOf(this.#lower, this.#values, this.#pathOrNone(this.#node(nodeid)) ?? '', this.#scratch);
  }
  syncfs() {
    this.#onAll(({ fd }) => done(syncfs(fd)));
  }

  setxattr({ nodeid }: Request, args: Args<'SETXATTR'>) {
    this.#xattrs.set(this.#node(nodeid), args);
  }
  getxattr({ nodeid }: Request, args: Args<'GETXATTR'>, reply: Buffer) {
    return this.#xattrs.get(this.#node(nodeid), args, reply);
  }
  listxattr({ nodeid, uid }: Request) {
    return this.#xattrs.list(this.#node(nodeid), uid);
  }
  removexattr({ nodeid }: Request, args: Args<'REMOVEXATTR'>) {
    this.#xattrs.remove(this.#node(nodeid), args);
  }
}

const chanceOf = ({ seed }: UnionOptions): Random => (seed === undefined ? Math.random : seeded(seed));

/** The duties that a union with these options takes on. */
function promisesOf(values: Values): Promised[] {
  const promises: Promised[] = ['ATOMIC_O_TRUNC', 'HANDLE_KILLPRIV_V2', 'HAS_IOCTL_DIR', 'DONT_MASK'];
  if (values['posix-acl']) promises.push('POSIX_ACL');
  if (values['allow-idmap']) promises.push('ALLOW_IDMAP');
  if (values['export-support']) promises.push('EXPORT_SUPPORT');
  if (values['cache.symlinks']) promises.push('CACHE_SYMLINKS');
  if (values['cache.writeback']) promises.push('WRITEBACK_CACHE');
  if (values['passthrough.io'] !== 'off') promises.push('PASSTHROUGH');
  return promises;
}
