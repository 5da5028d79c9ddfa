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
  FUSE_ROOT_ID,
} from '../../abi/fuse-constants.ts';
import { O_ACCMODE, O_DIRECTORY, O_RDONLY, O_TRUNC, S_IFREG } from '../../abi/posix.ts';
import type { Connection } from '../../protocol/connection.ts';
import type { DirectoryReply } from '../../protocol/dirent.ts';
import type { Filesystem, Promised } from '../../protocol/filesystem.ts';
import { encodeName } from '../../protocol/names.ts';
import type { Args, Result } from '../../protocol/operations.ts';
import type { Request } from '../../protocol/request.ts';
import { Once } from '../once.ts';
import { Credentials } from '../passthrough/credentials.ts';
import { ioctl } from '../passthrough/ioctl.ts';
import { done, Scratch } from '../passthrough/scratch.ts';
import { setOwnerModeTimes } from '../passthrough/setattr.ts';
import { LowerXattrs } from '../passthrough/xattrs.ts';
import { clearsAlone } from '../setattr.ts';
import { SharedCells, type Waiting } from '../shared/cells.ts';
import { Heap } from '../shared/heap.ts';
import { Across } from './across.ts';
import { Answers, type Entry, fullPath } from './answers.ts';
import { CALLS, type Calls } from './calls.ts';
import { Cloner } from './clone.ts';
import { CONTROL_FILE, Control } from './control.ts';
import { Directories } from './directories.ts';
import { OpenFiles } from './files.ts';
import { InodeNumbers } from './inodes.ts';
import { Listing } from './listing.ts';
import type { Branch, Lower } from './lower.ts';
import { Mover } from './move.ts';
import { component, Names } from './names.ts';
import type { FunctionName, Values } from './options.ts';
import { type Mode, type Random, type Space, seeded } from './policies.ts';
import { Renamer } from './rename.ts';
import { mountOptionsOf, type UnionMountOptions, type UnionOptions } from './served.ts';
import { Settings } from './settings.ts';
import { shareUnion, type UnionShared } from './shared.ts';
import { statfsOf } from './statfs.ts';
import { type UnionNode, UnionTree } from './tree.ts';
import { SPINS, Turns } from './turns.ts';
import { WORDS } from './words.ts';
import { UnionXattrs } from './xattrs.ts';

/** The parts of SETATTR, each with the function whose policy says where it is done; in this order, for a change of the owner takes setuid away. */
const SETS: readonly (readonly [FunctionName, number])[] = [
  ['chown', FATTR_UID | FATTR_GID],
  ['chmod', FATTR_MODE],
  ['utimens', FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW | FATTR_MTIME_NOW],
];

export class UnionFs implements Filesystem {
  readonly promises: readonly Promised[];
  readonly #scratch = new Scratch();
  readonly #tree: UnionTree;
  readonly #cells: SharedCells;
  readonly #settings: Settings;
  readonly #turns: Turns;
  readonly #lower: Lower;
  readonly #across: Across;
  readonly #answers: Answers;
  readonly #renamer: Renamer;
  readonly #listing: Listing;
  readonly #mover: Mover;
  readonly #files: OpenFiles;
  readonly #names: Names;
  readonly #xattrs: UnionXattrs;
  readonly #directories: Directories;
  readonly #controlNode: number;
  #notify: Connection['notify'] | undefined;
  #own: Credentials | undefined;
  readonly #once = new Once();

  /**
   * Serves branches, on one thread; or takes part in serving what threads share (union-module.ts). RangeError and SystemError, in one
   * line. `calls` and `chance` are in place of the system's, `waiting` says how locks of threads are waited for.
   */
  constructor(
    served: UnionOptions | UnionShared,
    calls: Partial<Calls> = {},
    chance: Random = chanceOf(served),
    waiting?: Waiting,
  ) {
    const alone = !('nodes' in served);
    const shared = alone ? shareUnion(served) : served;
    const cells = new SharedCells(shared.words, { spins: SPINS, ...waiting });
    const heap = new Heap(shared.heap);
    const [scratch, all] = [this.#scratch, { ...CALLS, ...calls }];
    const settings = new Settings(shared.mountpoint, cells, heap, scratch, chance);
    const { values, lower } = settings;
    const tree = new UnionTree(shared);
    const turns = new Turns(cells, !alone);
    this.#tree = tree;
    this.#cells = cells;
    this.#settings = settings;
    this.#turns = turns;
    this.#controlNode = shared.control;
    const numbers = new InodeNumbers(values);
    const cloner = new Cloner(lower, scratch, all);
    const across = new Across({ lower, tree, cloner, turns }, (branch) => settings.markReadonly(branch));
    const mover = new Mover(lower, cloner, scratch, all);
    const listing = new Listing({ lower, numbers, values, scratch });
    const { generation } = shared;
    const common = { values, scratch, tree, turns, lower, numbers, cloner, across, mover, listing, generation };
    const answers = new Answers(common);
    const renamer = new Renamer(common, all, (path) => listing.isEmpty(path));
    const files = new OpenFiles(common, shared);
    const parts = { ...common, served: settings.served, answers, renamer, files, xattrs: new LowerXattrs(scratch) };
    const control = new Control(settings.options, this.#commands);
    this.#lower = lower;
    this.#across = across;
    this.#answers = answers;
    this.#listing = listing;
    this.#renamer = renamer;
    this.#mover = mover;
    this.#files = files;
    this.#names = new Names({ ...parts, credentials: () => this.#credentials });
    this.#directories = new Directories(shared, tree, heap);
    this.#xattrs = new UnionXattrs(parts, control, shared.control);
    settings.begin();
    this.promises = promisesOf(values);
  }
  readonly #commands = {
    gc: () => this.#settings.forgetSpace(),
    gc1: () => this.#settings.forgetSpace(),
    'invalidate-all-nodes': () => this.#invalidate(),
  };

  get nodes() {
    return this.#tree.table;
  }
  /** How many files that have lost their names are held by descriptors. */
  get held(): number {
    return this.#tree.held;
  }
  /** What of its options is the mount's: for `mount(filesystem, directory, { ...filesystem.mountOptions })`. */
  get mountOptions(): UnionMountOptions {
    return mountOptionsOf(this.#settings.options);
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
    return this.#settings.options.get(name);
  }
  /** Changes an option while it is served, as the control file does. ENODATA, EROFS, EINVAL. */
  set(name: string, text: string): void {
    this.#settings.update(() => this.#settings.options.change(name, text));
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
    return this.#settings.values;
  }
  get #credentials(): Credentials {
    this.#own ??= new Credentials();
    return this.#own;
  }

  init(connection: Connection): void {
    this.#once.begin('UnionFs', 'make one for each mount');
    this.#cells.add(WORDS.THREADS, 1);
    this.#notify = connection.notify;
    this.#across.note = connection.note;
    this.#renamer.note = connection.note;
    this.#files.note = connection.note;
    this.#files.begin(connection);
    if (!this.#credentials.changes)
      connection.warn('not privileged to act for others: what clients make belongs to the user of this process');
  }
  /** Closes all that is open; the last thread of several what they share. Also for one that was never mounted. */
  destroy(): void {
    if (!this.#once.end()) return;
    this.#listing.close();
    this.#lower.close();
    this.#cells.store(WORDS.ENDING, 1);
    if (this.#cells.add(WORDS.THREADS, -1) > 1) return;
    this.#files.closeAll();
    this.#tree.forgetAll();
  }
  #invalidate(): void {
    for (const [parent, name] of this.#tree.names()) this.#notify?.inval_entry(parent, name).catch(() => {});
  }

  #node(nodeid: number): UnionNode {
    return this.#tree.get(nodeid);
  }

  /** Looks at what other threads have changed, and calls together with them. */
  #together<T>(call: () => T): T {
    this.#settings.look();
    return this.#turns.together(call);
  }
  #making<T>(call: () => T): T {
    this.#settings.look();
    return this.#turns.making(call);
  }
  #alone<T>(call: () => T): T {
    this.#settings.look();
    return this.#turns.alone(call);
  }

  lookup({ nodeid }: Request, args: Args<'LOOKUP'>): Entry {
    return this.#together(() => this.#lookup(nodeid, args));
  }
  #lookup(nodeid: number, { name }: Args<'LOOKUP'>): Entry {
    const node = this.#node(nodeid);
    // Whoever opens a file by its handle asks for these two; of the kernel's path walks none gets here.
    if (name === '.') {
      // A file that is removed and closed is gone, though the kernel has not forgotten it yet.
      if (node.held !== undefined && node.opens === 0) throw ESTALE;
      return this.#names.known(node);
    }
    if (name === '..') return this.#names.known(this.#tree.parent(node) ?? this.#tree.root);
    component(name);
    if (nodeid === FUSE_ROOT_ID && name === CONTROL_FILE) return this.#controlEntry();
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
    const node = this.#node(this.#controlNode);
    this.nodes.lookup(node.shared);
    return this.#answers.control(node);
  }
  forget(_: Request, one: { nodeid: number; nlookup: number }) {
    this.nodes.forget(one);
  }

  getattr({ nodeid }: Request, args: Args<'GETATTR'>): Result<'GETATTR'> {
    return this.#together(() => this.#getattr(nodeid, args));
  }
  #getattr(nodeid: number, { fh }: Args<'GETATTR'>): Result<'GETATTR'> {
    const node = this.#node(nodeid);
    if (nodeid === this.#controlNode) {
      this.#names.attributes(this.#tree.root);
      return this.#answers.got(this.#answers.control(node).attr);
    }
    if (fh === undefined) return this.#answers.got(this.#names.attributes(node));
    const branch = this.#files.branch(fh);
    const path = node.held === undefined && node.names > 0 ? this.#tree.path(node) : '';
    return this.#answers.got(this.#answers.attributes(fh, branch, path, node));
  }
  statx({ nodeid }: Request, args: Args<'STATX'>): Result<'STATX'> {
    const node = this.#node(nodeid);
    const statx = (of: UnionNode) =>
      this.#across.search('getattr', of, (fd, branch, path) => this.#answers.statx(fd, branch, path, of, args));
    return this.#together(() =>
      nodeid === this.#controlNode ? this.#answers.controlStatx(node, statx(this.#tree.root)) : statx(node),
    );
  }

  setattr(request: Request, set: Args<'SETATTR'>): Result<'GETATTR'> {
    return this.#together(() => this.#setattr(request, set));
  }
  #setattr(request: Request, set: Args<'SETATTR'>): Result<'GETATTR'> {
    const node = this.#node(request.nodeid);
    const { valid, fh, size } = set;
    if (node.nodeid === this.#controlNode) throw EACCES;
    const clears = (valid & FATTR_KILL_SUIDGID) !== 0;
    if (fh !== undefined) {
      const { fd } = this.#files.get(fh);
      if (valid & FATTR_SIZE)
        this.#files.changing(() =>
          this.#credentials.clearing(request, clears, () => this.#files.data.truncate(fh, size!)),
        );
      setOwnerModeTimes(fd, set, this.#scratch);
      return this.#getattr(request.nodeid, { fh, getattr_flags: 0 });
    }
    if (valid & FATTR_SIZE)
      this.#across.change('truncate', node, (fd) =>
        this.#credentials.clearing(request, clears, () => done(truncate(this.#scratch.proc(fd), size!))),
      );
    for (const [name, bits] of SETS) if (valid & bits) this.#set(name, node, { ...set, valid: valid & bits });
    if (clearsAlone(valid)) this.#set('chown', node, set);
    return this.#answers.got(this.#names.attributes(node));
  }
  #set(name: FunctionName, node: UnionNode, set: Args<'SETATTR'>): void {
    this.#across.change(name, node, (fd) => setOwnerModeTimes(fd, set, this.#scratch));
  }

  mknod(request: Request, args: Args<'MKNOD'>) {
    return this.#making(() => this.#names.mknod(request, args));
  }
  mkdir(request: Request, args: Args<'MKDIR'>) {
    return this.#making(() => this.#names.mkdir(request, args));
  }
  symlink(request: Request, args: Args<'SYMLINK'>) {
    return this.#making(() => this.#names.symlink(request, args));
  }
  create(request: Request, args: Args<'CREATE'>) {
    return this.#making(() => this.#names.create(request, args));
  }
  tmpfile(request: Request, args: Args<'TMPFILE'>) {
    return this.#making(() => this.#names.tmpfile(request, args));
  }
  unlink(request: Request, args: Args<'UNLINK'>) {
    this.#alone(() => this.#names.unlink(request, args));
  }
  rmdir(request: Request, args: Args<'RMDIR'>) {
    this.#alone(() => this.#names.rmdir(request, args));
  }
  rename(request: Request, args: Args<'RENAME2'>) {
    this.#alone(() => this.#names.rename(request, args));
  }
  link(request: Request, args: Args<'LINK'>) {
    if (args.oldnodeid === this.#controlNode) throw EXDEV;
    return this.#alone(() => this.#names.link(request, args));
  }
  readlink({ nodeid }: Request): Uint8Array | string {
    const { list, empty } = this.#scratch;
    return this.#together(() =>
      this.#across.search('readlink', this.#node(nodeid), (fd, branch, path) => {
        if (this.#values.symlinkify && this.#lower.typeOf(fd) === S_IFREG) return encodeName(fullPath(branch, path));
        return list.subarray(0, done(readlinkat(fd, empty, list)));
      }),
    );
  }

  open(request: Request, args: Args<'OPEN'>): Result<'OPEN'> {
    if (request.nodeid === this.#controlNode) throw EACCES;
    const node = this.#node(request.nodeid);
    // Whoever writes to one of a file's names gets a file of his own.
    if (this.#values['link-cow'] && (args.flags & O_ACCMODE) !== O_RDONLY && node.held === undefined)
      return this.#alone(() => {
        const path = this.#tree.path(node);
        this.#mover.unshare(
          path,
          this.#lower.during(() => this.#lower.choose('open', path)[0]!),
        );
        return this.#open(request, node, args);
      });
    return this.#together(() => this.#open(request, node, args));
  }
  #open(request: Request, node: UnionNode, { flags, open_flags }: Args<'OPEN'>): Result<'OPEN'> {
    const clears = (flags & O_TRUNC) !== 0 && (open_flags & FUSE_OPEN_KILL_SUIDGID) !== 0;
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
    this.#files.changing(() => this.#files.data.fallocate(args));
  }
  lseek(_: Request, args: Args<'LSEEK'>) {
    return this.#files.data.lseek(args);
  }
  copy_file_range(_: Request, args: Args<'COPY_FILE_RANGE_64'>) {
    return this.#files.changing(() => this.#files.data.copy(args));
  }
  ioctl({ nodeid }: Request, args: Args<'IOCTL'>): Result<'IOCTL'> {
    if (!(args.flags & FUSE_IOCTL_DIR)) return ioctl(this.#files.get(args.fh).fd, args, this.#scratch);
    return this.#together(() =>
      this.#across.search('ioctl', this.#node(nodeid), (fd) =>
        this.#opened(fd, (own) => ioctl(own, args, this.#scratch)),
      ),
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
    this.#together(() => this.#across.search('getattr', node, () => {}));
    return { fh: this.#directories.open(node), open_flags: this.#values['cache.readdir'] ? FOPEN_CACHE_DIR : 0 };
  }
  /** Never with lookups: each would ask a policy of a file that a listing does not need. */
  readdir(_: Request, { fh, offset }: Args<'READDIR'>, reply: DirectoryReply): void | Promise<void> {
    const open = this.#directories.get(fh);
    const path = () => this.#pathOrNone(this.#node(open.nodeid));
    return this.#together(() => this.#listing.list(open, path, offset, reply));
  }
  #pathOrNone(node: UnionNode): string | undefined {
    return node.held === undefined ? this.#tree.path(node) : undefined;
  }
  releasedir(_: Request, { fh }: Args<'RELEASEDIR'>) {
    this.#directories.release(fh);
  }
  fsyncdir({ nodeid }: Request, { fsync_flags }: Args<'FSYNCDIR'>) {
    const node = this.#node(nodeid);
    if (node.held !== undefined) return;
    const sync = fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync : fsync;
    this.#together(() => {
      const path = this.#tree.path(node);
      this.#across.all((branch) => {
        if (this.#lower.exists(branch, path)) this.#opened(this.#lower.descriptor(branch), (fd) => done(sync(fd)));
      });
    });
  }

  statfs({ nodeid }: Request): Result<'STATFS'> {
    return this.#together(() =>
      statfsOf(this.#lower, this.#values, this.#pathOrNone(this.#node(nodeid)) ?? '', this.#scratch),
    );
  }
  syncfs() {
    this.#settings.look();
    this.#across.all(({ fd }) => done(syncfs(fd)));
  }

  setxattr({ nodeid }: Request, args: Args<'SETXATTR'>) {
    const set = () => this.#xattrs.set(this.#node(nodeid), args);
    if (nodeid === this.#controlNode) this.#settings.update(set);
    else this.#together(set);
  }
  getxattr({ nodeid }: Request, args: Args<'GETXATTR'>, reply: Buffer) {
    return this.#together(() => this.#xattrs.get(this.#node(nodeid), args, reply));
  }
  listxattr({ nodeid, uid }: Request) {
    return this.#together(() => this.#xattrs.list(this.#node(nodeid), uid));
  }
  removexattr({ nodeid }: Request, args: Args<'REMOVEXATTR'>) {
    this.#together(() => this.#xattrs.remove(this.#node(nodeid), args));
  }
}

const chanceOf = ({ seed }: UnionOptions | UnionShared): Random => (seed === undefined ? Math.random : seeded(seed));

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
