/**
 * The branches as they are served: a descriptor of each root, and how a path below it becomes a descriptor. Nothing of this
 * follows a symlink or leaves its branch, unless `follow-symlinks` says so; what is mounted inside of a branch belongs to it, but
 * for mounts of FUSE, of which one may be ours.
 *
 * Descriptors are of O_PATH. What a policy has looked at stays open until the operation is over (`during`), so that what is done
 * next is done on the very file that was chosen.
 */
import { ELOOP, ENOENT, ENOSYS, ENOTDIR, EXDEV } from '../../abi/errno.ts';
import { closeQuietly, fstatfs, openat, openat2, statx } from '../../abi/files.ts';
import { fuse_statx } from '../../abi/fuse.ts';
import { Memory } from '../../abi/memory.ts';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_STATX_DONT_SYNC,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  PATH_MAX,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  STATX_BASIC_STATS,
  STATX_BTIME,
} from '../../abi/posix.ts';
import { open } from '../../abi/syscall.ts';
import { deviceOf } from '../passthrough/attributes.ts';
import { isFuse } from '../passthrough/nodes.ts';
import { done, type Scratch } from '../passthrough/scratch.ts';
import { readonlyIn, statfsIn } from '../passthrough/statfs.ts';
import type { BranchSetting } from './branches.ts';
import { FUNCTIONS, type FunctionName, POLICY_OPTION, type Values } from './options.ts';
import {
  choose,
  type Mode,
  nameOf,
  type PolicyName,
  parentOf,
  type Random,
  type Sight,
  type Space,
} from './policies.ts';

export const ALL_STATS = STATX_BASIC_STATS | STATX_BTIME;
const { offset: AT } = fuse_statx;
/** Of longer paths the kernel may be given too many bytes at once. */
const LONG = PATH_MAX / 4;
const PATH = O_PATH | O_NOFOLLOW | O_CLOEXEC;
const BELOW = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;

/** A branch that is served. */
export class Branch {
  readonly path: string;
  /** The same in all threads. */
  readonly number: number;
  /** Its root, open for reading; -1 of one that is not served any more, or could not be opened. */
  fd = -1;
  mode: Mode;
  /** Its own; undefined is what holds for all. */
  least: number | undefined;
  readonly #values: Values;
  /** The filesystem that its root is on, where somebody has asked: that of an open file never changes. */
  device: number | undefined;
  /** In which operation a path was last found not to be there. */
  absent = 0;
  /** What was last found of its filesystem, when, and in which operation. */
  found: { readonly space: Space | undefined; readonly at: number; readonly turn: number } | undefined;

  constructor({ path, mode, minFreeSpace }: BranchSetting, number: number, values: Values) {
    this.path = path;
    this.number = number;
    this.mode = mode;
    this.least = minFreeSpace;
    this.#values = values;
  }
  /** Opens the root. SystemError. */
  open(): void {
    this.fd = open(this.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }
  close(): void {
    if (this.fd >= 0) closeQuietly(this.fd);
    this.fd = -1;
    this.device = undefined;
  }
  get minFreeSpace(): number {
    return this.least ?? this.#values.minfreespace;
  }
}

export class Lower implements Sight<Branch> {
  branches: Branch[] = [];
  /** All that there ever were, by number. */
  readonly #all: Branch[] = [];
  readonly #values: Values;
  readonly #random: Random;
  readonly #scratch: Scratch;
  readonly #memory = new Memory(24);
  /** What is open for the operation that is under way: a branch and its descriptor by turns. */
  readonly #looked: { readonly branch: Branch; fd: number }[] = [];
  #turn = 0;
  /** Whether a branch, in the choice that was made last, could not say whether it has the file: then it has not, but is not known not to. */
  unsure = false;

  constructor(values: Values, random: Random, scratch: Scratch) {
    this.#values = values;
    this.#random = random;
    this.#scratch = scratch;
    const how = new DataView(this.#memory.buffer);
    how.setBigUint64(0, BigInt(PATH), true);
    how.setBigUint64(16, BigInt(BELOW), true);
  }

  /** Serves these from now on, those that stay with the descriptors that they have. SystemError, and then all is as it was. */
  serve(settings: readonly BranchSetting[]): void {
    const next = settings.map((each) => this.#branch(each));
    const opened: Branch[] = [];
    try {
      for (const branch of next) {
        if (branch.fd >= 0) continue;
        branch.open();
        opened.push(branch);
      }
    } catch (error) {
      for (const branch of opened) branch.close();
      throw error;
    }
    this.#serve(next, settings);
  }
  /** The same for what another thread serves already: a branch that can't be opened any more has nothing in it. */
  follow(settings: readonly BranchSetting[], known: readonly string[]): void {
    for (const path of known) this.#branch({ path, mode: 'NC', minFreeSpace: undefined });
    const next = settings.map((each) => this.#branch(each));
    for (const branch of next) {
      try {
        if (branch.fd < 0) branch.open();
      } catch {
        // the descriptor stays -1, on which nothing is found
      }
    }
    this.#serve(next, settings);
  }
  #serve(next: Branch[], settings: readonly BranchSetting[]): void {
    for (const branch of this.branches) if (!next.includes(branch)) branch.close();
    this.branches = next;
    for (const [i, { mode, minFreeSpace }] of settings.entries())
      Object.assign(next[i]!, { mode, least: minFreeSpace });
  }
  #branch(setting: BranchSetting): Branch {
    let branch = this.#all.find(({ path }) => path === setting.path);
    if (branch === undefined) {
      branch = new Branch(setting, this.#all.length, this.#values);
      this.#all.push(branch);
    }
    return branch;
  }
  /** Paths of all branches that there ever were, by number. */
  get known(): string[] {
    return this.#all.map(({ path }) => path);
  }
  /** The branch with a number: one that is not served any more has the files that are open on it. */
  numbered(number: number): Branch {
    return this.#all[number]!;
  }
  /** A branch's filesystem has turned out to be read-only. */
  markReadonly(branch: Branch): void {
    branch.mode = 'RO';
    this.#values.branches = this.#values.branches.map((each) =>
      each.path === branch.path ? { ...each, mode: 'RO' as const } : each,
    );
  }
  /** What is known of how full branches are. */
  forgetSpace(): void {
    for (const branch of this.branches) branch.found = undefined;
  }
  close(): void {
    for (const branch of this.branches) branch.close();
    this.branches = [];
    this.#memory.free();
  }

  /** What is looked at in the call stays open until it is over. Calls may be in each other. */
  during<T>(call: () => T): T {
    const before = this.#looked.length;
    try {
      return call();
    } finally {
      while (this.#looked.length > before) {
        const { fd } = this.#looked.pop()!;
        if (fd >= 0) closeQuietly(fd);
      }
    }
  }
  /** The descriptor that was opened last of a branch: the operation's own, to be closed at its end. */
  descriptor(branch: Branch): number {
    for (let i = this.#looked.length - 1; i >= 0; i--)
      if (this.#looked[i]!.branch === branch) return this.#looked[i]!.fd;
    throw ENOENT;
  }
  /** A descriptor of the operation is the caller's to close from now on. */
  keep(fd: number): number {
    const looked = this.#looked.find((each) => each.fd === fd);
    if (looked) looked.fd = -1;
    return fd;
  }
  /** Opens a path on a branch for the operation. ENOENT and its like. */
  look(branch: Branch, path: string): number {
    return this.hold(branch, done(this.open(branch, path)));
  }
  /** Takes a descriptor over, to be closed when the operation is over. */
  hold(branch: Branch, fd: number): number {
    this.#looked.push({ branch, fd });
    return fd;
  }

  /** The branches that the policy of a function chooses; for what makes a file, of its directory. EROFS, ENOSPC, ENOENT. */
  choose(name: FunctionName, path: string): Branch[] {
    return this.chooseBy(this.#values[POLICY_OPTION[name]], FUNCTIONS[name], path);
  }
  chooseBy(
    name: PolicyName,
    category: (typeof FUNCTIONS)[FunctionName],
    path: string,
    branches = this.branches,
  ): Branch[] {
    this.#turn++;
    this.unsure = false;
    return choose(name, category, { branches, path, sight: this, random: this.#random });
  }

  exists(branch: Branch, path: string): boolean {
    const fd = this.open(branch, path);
    if (fd < 0) {
      if (fd === -ENOENT.errno || fd === -ENOTDIR.errno || fd === -ELOOP.errno) branch.absent = this.#turn;
      else this.unsure = true;
      return false;
    }
    this.#looked.push({ branch, fd });
    return true;
  }
  /** Whether the choice that was made last has found a branch not to have its path. */
  saidAbsent(branch: Branch): boolean {
    return branch.absent === this.#turn;
  }
  mtime(branch: Branch): number {
    const { empty, stat, view, statAt } = this.#scratch;
    if (statx(this.descriptor(branch), empty, AT_EMPTY_PATH, STATX_BASIC_STATS, stat) < 0)
      return Number.NEGATIVE_INFINITY;
    return Number(view.getBigInt64(statAt + AT.mtime, true));
  }
  /** Asked once an operation, or as long as `cache.statfs` says. */
  space(branch: Branch): Space | undefined {
    const { found } = branch;
    const kept = this.#values['cache.statfs'] * 1000;
    if (found && (found.turn === this.#turn || (kept > 0 && performance.now() - found.at < kept))) return found.space;
    const space = this.#space(branch);
    branch.found = { space, at: kept > 0 ? performance.now() : 0, turn: this.#turn };
    return space;
  }
  #space({ fd }: Branch): Space | undefined {
    const { statfs, statfsAt, view } = this.#scratch;
    if (fstatfs(fd, statfs) < 0) return undefined;
    const { blocks, bavail, frsize } = statfsIn(view, statfsAt);
    return {
      readonly: readonlyIn(view, statfsAt),
      available: Math.min(bavail * frsize, Number.MAX_SAFE_INTEGER),
      used: Math.min((blocks - bavail) * frsize, Number.MAX_SAFE_INTEGER),
    };
  }

  /** A descriptor of O_PATH for the caller to close, or an errno negated: of the root, or of what is below it. */
  open({ fd }: Pick<Branch, 'fd'>, path: string): number {
    if (path === '') return openat(fd, this.#scratch.name('.'), PATH, 0);
    if (path.length > LONG) return this.#byPieces(fd, path);
    const text = this.#scratch.text(path);
    const found = openat2(fd, text, this.#memory.address);
    if (found === -EXDEV.errno || found === -ENOSYS.errno) return this.#walk(fd, path);
    if (this.#values['follow-symlinks'] === 'never') return found;
    return found >= 0 ? this.#followed(found, fd, text) : found === -ELOOP.errno ? this.#through(fd, text) : found;
  }
  /** By pieces of a path, that are short enough to be given to the kernel. */
  #byPieces(root: number, path: string): number {
    let at = root;
    for (let begin = 0; begin < path.length; ) {
      const slash = path.length - begin <= LONG ? -1 : path.lastIndexOf('/', begin + LONG);
      const end = slash < 0 ? path.length : slash;
      const piece = path.slice(begin, end);
      const found = openat2(at, this.#scratch.text(piece), this.#memory.address);
      const next = found === -EXDEV.errno || found === -ENOSYS.errno ? this.#walk(at, piece) : found;
      if (at !== root) closeQuietly(at);
      if (next < 0) return next;
      at = next;
      begin = end + 1;
    }
    return at;
  }
  /** One component at a time: where something is mounted on the way, and before Linux 5.6. */
  #walk(root: number, path: string): number {
    let at = root;
    for (const part of path.split('/')) {
      const name = this.#scratch.name(part);
      const found = openat2(at, name, this.#memory.address);
      const next = found === -EXDEV.errno || found === -ENOSYS.errno ? this.#cross(at, name) : found;
      if (at !== root) closeQuietly(at);
      if (next < 0) return next;
      at = next;
    }
    return at;
  }
  /** Whoever asked a mount of ours would wait for himself. */
  #cross(dirfd: number, name: number): number {
    const { empty, stat, view, statAt } = this.#scratch;
    const fd = openat(dirfd, name, PATH, 0);
    if (fd < 0 || statx(fd, empty, AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, stat) < 0) return fd;
    const here = deviceOf(view, statAt);
    const [major, minor] = [view.getUint32(statAt + AT.dev_major, true), view.getUint32(statAt + AT.dev_minor, true)];
    statx(dirfd, empty, AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, stat);
    if (deviceOf(view, statAt) === here || !isFuse(major, minor)) return fd;
    closeQuietly(fd);
    return -ELOOP.errno;
  }

  /** What a symlink leads to, where it is to be shown in its place; else itself. */
  #followed(fd: number, root: number, path: number): number {
    if (this.typeOf(fd) !== S_IFLNK) return fd;
    const target = openat(root, path, O_PATH | O_CLOEXEC, 0);
    if (target < 0) return fd;
    const how = this.#values['follow-symlinks'];
    const type = this.typeOf(target);
    const shown = how === 'all' || type === (how === 'directory' ? S_IFDIR : S_IFREG);
    closeQuietly(shown ? fd : target);
    return shown ? target : fd;
  }
  /** A path over symlinks, where those to directories are followed. */
  #through(root: number, path: number): number {
    if (this.#values['follow-symlinks'] === 'regular') return -ELOOP.errno;
    const fd = openat(root, path, PATH, 0);
    return fd < 0 ? fd : this.#followed(fd, root, path);
  }

  /** The filesystem that a branch's root is on. */
  device(branch: Branch): number {
    branch.device ??= this.deviceOf(branch.fd);
    return branch.device;
  }
  /** The filesystem that a descriptor's file is on. */
  deviceOf(fd: number): number {
    this.stat(fd);
    return deviceOf(this.#scratch.view, this.#scratch.statAt);
  }
  /** The attributes of a descriptor's file, into the scratch. */
  stat(fd: number): void {
    const { empty, stat } = this.#scratch;
    done(statx(fd, empty, AT_EMPTY_PATH, ALL_STATS, stat));
  }
  /** The mode of a descriptor's file. */
  modeOf(fd: number): number {
    this.stat(fd);
    return this.#scratch.view.getUint16(this.#scratch.statAt + AT.mode, true);
  }
  /** The bits of S_IFMT in it. */
  typeOf(fd: number): number {
    return this.modeOf(fd) & S_IFMT;
  }
  /** Opens anew what a descriptor is of, to read or write. An errno negated. */
  reopen(fd: number, flags: number): number {
    return openat(AT_FDCWD, this.#scratch.proc(fd), flags | O_CLOEXEC, 0);
  }
  /** The directory that a path is in, on a branch, for the operation. */
  parent(branch: Branch, path: string): { readonly dirfd: number; readonly name: string } {
    return { dirfd: this.look(branch, parentOf(path)), name: nameOf(path) };
  }
}
