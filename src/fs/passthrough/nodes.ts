/**
 * Which lower file a nodeid means. A node is found by the file's key (source.ts), never by a path, so that whatever is renamed,
 * removed or replaced below the mount, a node goes on meaning the file that it meant, or ESTALE where that is gone.
 *
 * A file is held by its file handle, and opened by it for each call; or by a descriptor of O_PATH, for as long as the kernel
 * knows it. What is removed through the mount while the kernel knows it gets a descriptor: somebody may stand in that
 * directory, and its handle would lead nowhere. A node's descriptor is closed when the kernel has taken its last lookup
 * back, and no request for it can be under way then, in any thread.
 *
 * Names are looked up one component at a time with openat2(2): no symlink, no "..", no way into another mount unseen.
 */
import { readFileSync } from 'node:fs';
import { ELOOP, EMFILE, ENFILE, ENOSYS, ESTALE, EXDEV } from '../../abi/errno.ts';
import { closeQuietly, nameToHandleAt, openat, openat2, openByHandleAt, statx } from '../../abi/files.ts';
import { fuse_statx } from '../../abi/fuse.ts';
import { FUSE_ROOT_ID } from '../../abi/fuse-constants.ts';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_STATX_DONT_SYNC,
  O_CLOEXEC,
  O_NOFOLLOW,
  O_PATH,
  S_IFDIR,
  S_IFMT,
  STATX_BASIC_STATS,
  STATX_BTIME,
} from '../../abi/posix.ts';
import { openNodes, type SharedNode, type SharedNodes } from '../shared/nodes.ts';
import { deviceOf } from './attributes.ts';
import { done, type Scratch } from './scratch.ts';
import { COUNTS, HELD, type Held, type Key, layout, makeHeld, type Source, takeHandle } from './source.ts';

const { offset: AT } = fuse_statx;
const ALL_STATS = STATX_BASIC_STATS | STATX_BTIME;
const PATH = O_PATH | O_CLOEXEC;
/** Directories that a thread keeps open where nodes are held as handles: to open one takes longer than most of what is then done in it. */
const DIRECTORIES = 64;

/** From which part of the descriptors that nodes may take on the kernel is asked to forget some, and which part of them. */
const SCARCE = 1 / 2;
const PRUNED = 1 / 4;

export type LowerNode = SharedNode<Key, Held>;

export class LowerNodes {
  readonly table: SharedNodes<Key, Held>;
  /** Told once what the user should know of. */
  warn: (message: string) => void = () => {};
  /** Has the kernel forget nodes that nobody uses, where it can be asked to. */
  prune: ((nodeids: readonly number[]) => Promise<void>) | undefined;
  readonly #source: Source;
  readonly #scratch: Scratch;
  readonly #counts: Int32Array;
  /** Descriptors of directories by nodeid, the oldest first. */
  readonly #directories = new Map<number, number>();
  /** How many `use` are under way, whose directories are not to be closed. */
  #depth = 0;
  #lookup = openat2;
  /** All nodes, from where the last `prune` has ended; undefined where that was the last one. */
  #rest: Generator<LowerNode> | undefined;
  #pruning = false;
  /** What is on its way into the table: filled again for each. */
  readonly #key: Key;
  readonly #held = makeHeld(-1, false);

  constructor(source: Source, scratch: Scratch) {
    this.#source = source;
    this.#scratch = scratch;
    this.#counts = new Int32Array(source.counts);
    this.#key = { ...source.rootKey };
    this.table = openNodes(layout, source.nodes, (node) => this.#removed(node));
  }

  /** Calls with a descriptor of a node's file, of O_PATH: good during the call, which returns no promise. ESTALE, ENFILE. */
  use<T>(nodeid: number, call: (fd: number) => T): T {
    const at = this.table.get(nodeid).valueAt;
    const { view } = this.table;
    const held = view.getInt32(at + HELD.fd, true);
    if (held >= 0) return call(held);
    this.#depth++;
    try {
      if (view.getInt32(at + HELD.directory, true)) return call(this.#directory(nodeid, at));
      const fd = this.#byHandle(at, PATH);
      try {
        return call(fd);
      } finally {
        closeQuietly(fd);
      }
    } finally {
      if (--this.#depth === 0 && this.#directories.size > DIRECTORIES) this.#closeOldest();
    }
  }

  /** Opens a node's file, as this thread's user is allowed to: a descriptor for the caller to close. ESTALE, ENFILE. */
  open(nodeid: number, flags: number): number {
    const at = this.table.get(nodeid).valueAt;
    const held = this.table.view.getInt32(at + HELD.fd, true);
    return held < 0 ? this.#byHandle(at, flags) : this.reopen(held, flags);
  }
  /** Opens anew what a descriptor, of O_PATH perhaps, is of. ENFILE. */
  reopen(fd: number, flags: number): number {
    return this.opened(openat(AT_FDCWD, this.#scratch.proc(fd), flags | O_CLOEXEC, 0));
  }

  #directory(nodeid: number, at: number): number {
    const kept = this.#directories.get(nodeid);
    if (kept !== undefined) return kept;
    const fd = this.#byHandle(at, PATH);
    this.#directories.set(nodeid, fd);
    return fd;
  }
  #closeOldest(): void {
    for (const [nodeid, fd] of this.#directories) {
      if (this.#directories.size <= DIRECTORIES) return;
      this.#directories.delete(nodeid);
      closeQuietly(fd);
    }
  }
  #byHandle(at: number, flags: number): number {
    const { view, handleAt, handle } = this.#scratch;
    const from = this.table.view;
    for (let i = 0; i < HELD.handleBytes; i += 4)
      view.setUint32(handleAt + i, from.getUint32(at + HELD.handle + i, true), true);
    return this.opened(openByHandleAt(this.#source.root, handle, flags | O_CLOEXEC));
  }

  /** A descriptor of O_PATH of a name in a directory, for the caller to close. ENOENT; EXDEV, ELOOP at a mount that is not entered. */
  component(dirfd: number, name: string): number {
    const { how } = this.#scratch;
    const path = this.#scratch.name(name);
    const fd = this.#lookup(dirfd, path, how);
    if (fd >= 0) return fd;
    if (fd === -ENOSYS.errno)
      this.#lookup = () => -EXDEV.errno; // before Linux 5.6: as if each were a mount
    else if (fd !== -EXDEV.errno) return this.opened(fd);
    return this.#cross(dirfd, path);
  }

  /**
   * The same where something is mounted. Not where that is FUSE: it may be this very mount, and a question about it would wait
   * for its own answer. Nor is it asked whose it is: the device is known without.
   */
  #cross(dirfd: number, path: number): number {
    const { empty, stat, view, statAt } = this.#scratch;
    const fd = this.opened(openat(dirfd, path, PATH | O_NOFOLLOW, 0));
    try {
      done(statx(fd, empty, AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, stat));
      if (deviceOf(view, statAt) === this.#source.device) return fd;
      if (this.#source.options.xdev) throw EXDEV;
      if (isFuse(view.getUint32(statAt + AT.dev_major, true), view.getUint32(statAt + AT.dev_minor, true))) throw ELOOP;
      return fd;
    } catch (error) {
      closeQuietly(fd);
      throw error;
    }
  }

  /** The directory above, which is never one above the source: who gets there by ".." has been moved out, and gets ESTALE. */
  above(nodeid: number): number {
    const { empty, stat } = this.#scratch;
    const dots = () => this.#scratch.name('..');
    return this.use(nodeid, (fd) => {
      const parent = this.opened(openat(fd, dots(), PATH, 0));
      let at = parent;
      let before: string | undefined;
      for (;;) {
        done(statx(at, empty, AT_EMPTY_PATH, ALL_STATS, stat));
        this.#number();
        const here = `${this.#key.device_high}:${this.#key.device}:${this.#key.ino_high}:${this.#key.ino}`;
        const top = this.#isRoot();
        const next = top || here === before ? -1 : this.opened(openat(at, dots(), PATH, 0));
        if (at !== parent) closeQuietly(at);
        if (top) return parent;
        if (next < 0) {
          closeQuietly(parent);
          throw ESTALE;
        }
        [at, before] = [next, here];
      }
    });
  }

  /**
   * The node of an open file, with a lookup counted; its attributes are left in the scratch's `stat`. With `mine` the
   * descriptor is of O_PATH, and the node's to have or to close; `hold` keeps one in any case. ENFILE, ENOMEM.
   */
  adopt(fd: number, mine: boolean, hold = false): LowerNode {
    let close = mine ? fd : -1;
    let reserved = false;
    try {
      const handled = this.#identify(fd);
      this.#held.fd = -1;
      if (!handled || hold) {
        this.#reserve(() => this.table.find(this.#key) !== undefined);
        reserved = true;
        close = mine ? fd : this.reopen(fd, PATH);
        this.#held.fd = close;
      }
      const node = this.table.findOrAdd(this.#key, this.#held);
      if (reserved && node.added) {
        reserved = false;
        close = -1;
      }
      return node;
    } finally {
      if (reserved) Atomics.sub(this.#counts, COUNTS.HELD, 1);
      if (close >= 0) closeQuietly(close);
    }
  }

  /** Does what removes a name, and keeps the file for those who have it in use when it was the last one. */
  removing(dirfd: number, name: string, remove: () => void): void {
    if (!this.#source.handles) return remove();
    let fd = -1;
    try {
      fd = this.component(dirfd, name);
    } catch {
      return remove(); // which says what is wrong
    }
    try {
      this.#identify(fd);
      const node = this.#isLast() ? this.table.find(this.#key) : undefined;
      remove();
      if (node !== undefined && this.#pin(node, fd)) fd = -1;
    } finally {
      if (fd >= 0) closeQuietly(fd);
    }
  }
  /** Gives a node that is held as a handle a descriptor; whether it took it. */
  #pin(node: LowerNode, fd: number): boolean {
    try {
      this.table.hold(node); // it may be about to leave, with no descriptor to close
      try {
        this.#reserve(() => false);
        const taken = this.table.locked(node, () => {
          const { view } = this.table;
          if (view.getInt32(node.valueAt + HELD.fd, true) >= 0) return false;
          view.setInt32(node.valueAt + HELD.fd, fd, true);
          return true;
        });
        if (!taken) Atomics.sub(this.#counts, COUNTS.HELD, 1);
        return taken;
      } finally {
        this.table.letGo(node);
      }
    } catch (error) {
      if (error === ESTALE || error === ENFILE) return false; // nobody needs it any more, or there is none to give
      throw error;
    }
  }
  #isLast(): boolean {
    const { view, statAt } = this.#scratch;
    return this.#isDirectory() || view.getUint32(statAt + AT.nlink, true) <= 1;
  }

  /** Asks who an open file is: its key and, as what is returned says, its handle. */
  #identify(fd: number): boolean {
    const { empty, stat, view, statAt, handle, handleAt, words } = this.#scratch;
    done(statx(fd, empty, AT_EMPTY_PATH, ALL_STATS, stat));
    this.#number();
    this.#held.directory = this.#isDirectory();
    if (this.#isRoot()) {
      [this.#key.check, this.#key.check_high] = [0, 0];
      return true;
    }
    if (this.#source.handles && deviceOf(view, statAt) === this.#source.device) {
      view.setUint32(handleAt, HELD.handleBytes - 8, true);
      if (nameToHandleAt(fd, empty, handle, words, AT_EMPTY_PATH) === 0) {
        takeHandle(view, handleAt, this.#key, this.#held.handle);
        return true;
      }
    }
    this.#key.check = view.getUint32(statAt + AT.btime, true);
    this.#key.check_high = view.getUint32(statAt + AT.btime + 8, true);
    return false;
  }
  #number(): void {
    const { view, statAt } = this.#scratch;
    const device = deviceOf(view, statAt);
    this.#key.device = device >>> 0;
    this.#key.device_high = Math.floor(device / 2 ** 32);
    this.#key.ino = view.getUint32(statAt + AT.ino, true);
    this.#key.ino_high = view.getUint32(statAt + AT.ino + 4, true);
  }
  #isRoot(): boolean {
    const { rootKey } = this.#source;
    const { device, device_high, ino, ino_high } = this.#key;
    return (
      ino === rootKey.ino &&
      ino_high === rootKey.ino_high &&
      device === rootKey.device &&
      device_high === rootKey.device_high
    );
  }
  #isDirectory(): boolean {
    return (this.#scratch.view.getUint16(this.#scratch.statAt + AT.mode, true) & S_IFMT) === S_IFDIR;
  }

  /** A descriptor that a call has opened, or its errno thrown; that there are none left is told once. ENFILE. */
  opened(result: number): number {
    if (result === -EMFILE.errno || result === -ENFILE.errno) this.#full('the process has no descriptor left');
    return done(result);
  }
  /** Counts a node that is to be held as a descriptor. ENFILE, but for one that is `held` already and needs none. */
  #reserve(held: () => boolean): void {
    const before = Atomics.add(this.#counts, COUNTS.HELD, 1);
    if (before >= this.#source.most * SCARCE) this.#makeRoom();
    if (before < this.#source.most || held()) return;
    Atomics.sub(this.#counts, COUNTS.HELD, 1);
    this.#full(
      `${this.#source.most} files are held as descriptors, and RLIMIT_NOFILE leaves room for no more; file handles would need none`,
    );
  }
  /** The kernel keeps what it knows until memory is scarce, and knows nothing of descriptors. */
  #makeRoom(): void {
    if (this.#pruning || this.prune === undefined) return;
    const nodeids: number[] = [];
    this.#rest ??= this.table.all();
    while (nodeids.length < this.#source.most * PRUNED) {
      const { value: node, done: last } = this.#rest.next();
      if (last) {
        this.#rest = undefined;
        break;
      }
      if (node.nodeid !== FUSE_ROOT_ID) nodeids.push(node.nodeid);
    }
    if (nodeids.length === 0) return;
    this.#pruning = true;
    const over = () => {
      this.#pruning = false;
    };
    this.prune(nodeids).then(over, over);
  }
  #full(why: string): never {
    if (Atomics.exchange(this.#counts, COUNTS.TOLD, 1) === 0) this.warn(`a client got ENFILE: ${why}`);
    throw ENFILE;
  }
  /** How many nodes are held as descriptors. */
  get held(): number {
    return Atomics.load(this.#counts, COUNTS.HELD);
  }

  #removed(node: LowerNode): void {
    const fd = this.table.view.getInt32(node.valueAt + HELD.fd, true);
    if (fd >= 0) {
      closeQuietly(fd);
      Atomics.sub(this.#counts, COUNTS.HELD, 1);
    }
    const directory = this.#directories.get(node.nodeid);
    if (directory === undefined) return;
    closeQuietly(directory);
    this.#directories.delete(node.nodeid);
  }

  /** Closes what this thread has kept for itself. */
  close(): void {
    for (const fd of this.#directories.values()) closeQuietly(fd);
    this.#directories.clear();
  }
}

/** Whether a device is a mount of FUSE. */
export function isFuse(major: number, minor: number): boolean {
  const device = ` ${major}:${minor} `;
  return readFileSync('/proc/self/mountinfo', 'latin1')
    .split('\n')
    .some((line) => line.includes(device) && / - fuse/u.test(line));
}
