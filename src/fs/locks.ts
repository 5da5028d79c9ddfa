/**
 * The locks of a filesystem, for a server that keeps them itself: record locks and locks of open files (fcntl(2):
 * F_SETLK and F_OFD_SETLK) and flock(2). No I/O and nothing of any filesystem: a nodeid names a file.
 *
 * A lock is a range of bytes that an owner has for reading or for writing. Two locks conflict where they overlap,
 * belong to two owners, and one of them writes. An owner has each byte once at most: what it asks for replaces what
 * it had there, so ranges split, merge, and change from reading to writing and back. @see fs/locks.c: posix_lock_inode
 *
 * flock is the same in a table of its own, where every range is the whole file, but for two things: to change a lock it
 * is given up first, and nobody looks for deadlocks. @see fs/locks.c: flock_lock_inode
 *
 * Who must wait stands in the queue of the file. Whenever something there becomes free the queue is gone through,
 * the oldest first, and whoever has nothing in the way gets what it asked for. As on Linux a wait keeps no lock
 * from others: a reader passes a writer that waits.
 *
 * Owners. The wire names an owner by 64 bits, which stand for a process (its table of descriptors) or, for OFD locks and
 * flock, for an open file; it does not say for which. Two things follow.
 *
 * - What an open file holds ends with it, but the kernel sends no unlock for OFD locks. So the RELEASE of a handle ends all
 *   that was last asked for through it. That takes nothing from a process: it has sent FLUSH, which ends what it had, when
 *   it closed its descriptor. A filesystem with locks must give each open file a handle of its own.
 * - EDEADLK is for processes: a process that waits does nothing else, while an open file may be unlocked by a thread that
 *   does not wait; Linux lets those wait. Two owners whose locks name one process are not both that process, and an
 *   owner whose locks name several processes is none: a circle with such owners is no deadlock here. That lets threads
 *   with an open file each wait, and processes that share one. Left is a circle of processes each of which waits with an open
 *   file: it looks like one of record locks, and gets EDEADLK where Linux would let it wait for ever.
 *   Threads of a process that have a table of descriptors each (CLONE_FILES unset) are taken for open files.
 *
 * @see fs/fuse/file.c: fuse_lk_fill, fuse_file_lock, fuse_file_flock, fuse_prepare_release
 */
import { EAGAIN, EDEADLK, EINVAL, ENOTCONN } from '../abi/errno.ts';
import { FUSE_LK_FLOCK, FUSE_RELEASE_FLOCK_UNLOCK } from '../abi/fuse-constants.ts';
import { F_RDLCK, F_UNLCK, F_WRLCK } from '../abi/posix.ts';
import type { Args, Result } from '../protocol/operations.ts';
import type { Request } from '../protocol/request.ts';

/** How many owners that wait are asked whom they wait for, before a wait is allowed unexamined. Linux asks 10. */
const OWNERS_MOST = 1000;
/** An owner whose locks name more than one process. */
const SEVERAL = -1;

/** Bytes, the last one included, and what for: F_RDLCK or F_WRLCK, and in a wish F_UNLCK. */
interface Range {
  readonly start: bigint;
  readonly end: bigint;
  readonly type: number;
}

/** INVARIANT: is in its table's `owners` exactly while it holds or waits for something. */
interface Owner {
  readonly id: bigint;
  /** The process that its locks and waits name, 0 for one that the mount's pid namespace does not have, or SEVERAL. */
  pid: number;
  /** In how many files it has locks. */
  holds: number;
  readonly waits: Set<Wait>;
}

/** What one owner has in one file. */
interface Holder {
  readonly owner: Owner;
  /** The handle that was used last. */
  fh: number;
  /** INVARIANT: not empty, ascending, without overlap; where two touch their types differ. */
  readonly ranges: Range[];
}

/** INVARIANT: is in its file's `queue` and its owner's `waits`, or in neither, and then is answered. */
interface Wait extends Range {
  readonly file: File;
  readonly owner: Owner;
  readonly fh: number;
  readonly granted: () => void;
  readonly refused: (reason: unknown) => void;
}

/** INVARIANT: is in its table's `files` exactly while it has a holder or a wait. */
interface File {
  readonly nodeid: number;
  /** By the owner's id, who came first first: that is who GETLK tells of. INVARIANT: no two conflict. */
  readonly holders: Map<bigint, Holder>;
  /** The oldest first. INVARIANT: each has a lock of another owner in its way. */
  readonly queue: Set<Wait>;
  /** How many of the ranges are for writing. */
  writes: number;
  /** INVARIANT: all that is waited for lies from here ... */
  low: bigint;
  /** ... to here. */
  high: bigint;
}

/** What somebody asks for. */
interface Wish extends Range {
  readonly nodeid: number;
  readonly owner: bigint;
  readonly fh: number;
  readonly pid: number;
}

export class Locks {
  readonly #records = new Table();
  readonly #flocks = new Table();

  /** The lock in the way, or one of type F_UNLCK. A wish of that type asks for what the owner itself has (F_OFD_GETLK). */
  getlk(nodeid: number, { owner, lk }: Args<'GETLK'>): Result<'GETLK'> {
    const found = this.#records.find(nodeid, owner, lk);
    return { lk: found ?? { start: lk.start, end: lk.end, type: F_UNLCK, pid: 0 } };
  }

  /**
   * Locks or unlocks. A promise where it has to wait, nothing where it is done at once. EAGAIN; EDEADLK; while waiting
   * what `request.signal` is aborted with, EINTR for a signal.
   */
  setlk(request: Request, { fh, owner, lk, lk_flags, sleep }: Args<'SETLKW'>): void | Promise<void> {
    const { start, end, type, pid } = lk;
    if (type !== F_RDLCK && type !== F_WRLCK && type !== F_UNLCK) throw EINVAL;
    const wish = { nodeid: request.nodeid, owner, fh, pid, start, end, type };
    const flock = (lk_flags & FUSE_LK_FLOCK) !== 0;
    const table = flock ? this.#flocks : this.#records;
    if (type === F_UNLCK) return table.unlock(wish);
    if (flock ? table.exchange(wish) : table.lock(wish)) return;
    if (!sleep) throw EAGAIN;
    if (!flock && table.deadlocks(wish)) throw EDEADLK;
    return table.wait(wish, request.signal);
  }

  /** What an owner has locked in a file by fcntl(2), ascending. */
  rangesOf(nodeid: number, owner: bigint): readonly Range[] {
    return this.#records.rangesOf(nodeid, owner);
  }

  /** FLUSH: a process closed a descriptor of the file, which ends its record locks there. */
  flush(nodeid: number, owner: bigint): void {
    this.#records.drop(nodeid, owner);
  }

  /** RELEASE: an open file is gone, and with it what was locked through it. */
  release(nodeid: number, { fh, release_flags, lock_owner }: Args<'RELEASE'>): void {
    this.#records.dropHandle(nodeid, fh);
    if (release_flags & FUSE_RELEASE_FLOCK_UNLOCK) this.#flocks.drop(nodeid, lock_owner);
  }

  /** The session is over: nothing is locked, and who waits gets what the session answers at its end, ENOTCONN. */
  clear(): void {
    this.#records.clear();
    this.#flocks.clear();
  }

  /** How many ranges are locked. */
  get held(): number {
    return this.#records.held + this.#flocks.held;
  }
  get waiting(): number {
    return this.#records.waiting + this.#flocks.waiting;
  }

  /** Throws where an invariant does not hold, and says which. */
  check(): void {
    this.#records.check();
    this.#flocks.check();
  }
}

/** Locks of one kind, in all files. */
class Table {
  readonly #files = new Map<number, File>();
  readonly #owners = new Map<bigint, Owner>();

  /** The first lock in the way of a range; of an F_UNLCK, the first of the owner's own that it overlaps. */
  find(nodeid: number, owner: bigint, range: Range): (Range & { readonly pid: number }) | undefined {
    const file = this.#files.get(nodeid);
    if (file === undefined) return undefined;
    const own = range.type === F_UNLCK;
    const holder = own ? file.holders.get(owner) : inTheWay(file, owner, range);
    const found = holder && overlap(holder.ranges, range, own ? everything : conflicting);
    return found && { start: found.start, end: found.end, type: found.type, pid: Math.max(0, holder.owner.pid) };
  }

  rangesOf(nodeid: number, owner: bigint): readonly Range[] {
    return this.#files.get(nodeid)?.holders.get(owner)?.ranges.slice() ?? [];
  }

  /** Takes what is wished for; false, and nothing changed, where another lock is in the way. */
  lock(wish: Wish): boolean {
    const file = this.#file(wish.nodeid);
    if (inTheWay(file, wish.owner, wish) !== undefined) return false;
    if (this.#take(file, this.#owner(wish), wish)) this.#wake(file);
    return true;
  }

  /** The way of flock: what the owner had goes first, even if it then does not get the other. */
  exchange(wish: Wish): boolean {
    const file = this.#file(wish.nodeid);
    const had = file.holders.get(wish.owner);
    if (had) this.#remove(file, had);
    const free = inTheWay(file, wish.owner, wish) === undefined;
    if (free) this.#take(file, this.#owner(wish), wish);
    if (had) this.#wake(file); // not before: it is the first to try
    return free;
  }

  unlock({ nodeid, owner, start, end }: Wish): void {
    const file = this.#files.get(nodeid);
    const holder = file?.holders.get(owner);
    if (file === undefined || holder === undefined) return;
    const freed = cover(file, holder.ranges, { start, end, type: F_UNLCK });
    if (holder.ranges.length === 0) this.#remove(file, holder);
    if (freed) this.#wake(file);
  }

  drop(nodeid: number, owner: bigint): void {
    const file = this.#files.get(nodeid);
    const holder = file?.holders.get(owner);
    if (file === undefined || holder === undefined) return;
    this.#remove(file, holder);
    this.#wake(file);
  }
  dropHandle(nodeid: number, fh: number): void {
    const file = this.#files.get(nodeid);
    if (file === undefined) return;
    const before = file.holders.size;
    for (const holder of file.holders.values()) if (holder.fh === fh) this.#remove(file, holder);
    if (file.holders.size < before) this.#wake(file);
  }

  /** Waits for what `lock` or `exchange` has just refused. */
  wait(wish: Wish, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    const { fh, start, end, type } = wish;
    const file = this.#file(wish.nodeid);
    const owner = this.#owner(wish);
    return new Promise((resolve, reject) => {
      const interrupted = () => {
        this.#leave(wait);
        this.#tidy(file, owner);
        reject(signal.reason);
      };
      const answered = () => signal.removeEventListener('abort', interrupted);
      const granted = () => {
        answered();
        resolve();
      };
      const refused = (reason: unknown) => {
        answered();
        reject(reason);
      };
      const wait: Wait = { file, owner, fh, start, end, type, granted, refused };
      signal.addEventListener('abort', interrupted);
      if (file.queue.size === 0 || start < file.low) file.low = start;
      if (file.queue.size === 0 || end > file.high) file.high = end;
      file.queue.add(wait);
      owner.waits.add(wait);
      this.#owners.set(owner.id, owner);
    });
  }

  /**
   * Whether the wish would wait for somebody who waits, directly or through others, for its owner. Asked when a
   * wait begins, and not again: who gets a lock runs on, and will give it back.
   */
  deadlocks(wish: Wish): boolean {
    const first = this.#owners.get(wish.owner);
    if (first === undefined || first.holds === 0) return false; // nobody waits for one that has nothing
    this.#name(first, wish.pid);
    const path: Step = { owner: first, from: undefined };
    const steps = this.#waitedFor(this.#file(wish.nodeid), first, wish).map((owner) => ({ owner, from: path }));
    const seen = new Set<Owner>();
    for (let step = steps.pop(); step !== undefined && seen.size < OWNERS_MOST; step = steps.pop()) {
      if (step.owner === first) return true;
      if (seen.has(step.owner) || !mayBeProcesses(step)) continue;
      seen.add(step.owner);
      for (const wait of step.owner.waits)
        for (const owner of this.#waitedFor(wait.file, step.owner, wait)) steps.push({ owner, from: step });
    }
    return false;
  }
  /** Whose locks are in the way of a range. */
  #waitedFor({ holders }: File, owner: Owner, range: Range): Owner[] {
    const found: Owner[] = [];
    for (const holder of holders.values())
      if (holder.owner !== owner && overlap(holder.ranges, range, conflicting)) found.push(holder.owner);
    return found;
  }

  clear(): void {
    const waits = [...this.#files.values()].flatMap(({ queue }) => [...queue]);
    this.#files.clear();
    this.#owners.clear();
    for (const { refused } of waits) refused(ENOTCONN);
  }

  /** What is there of a file; a new one is in the table only when something is put into it. */
  #file(nodeid: number): File {
    return this.#files.get(nodeid) ?? { nodeid, holders: new Map(), queue: new Set(), writes: 0, low: 0n, high: 0n };
  }
  #owner({ owner: id, pid }: Wish): Owner {
    const owner = this.#owners.get(id) ?? { id, pid, holds: 0, waits: new Set() };
    this.#name(owner, pid);
    return owner;
  }
  #name(owner: Owner, pid: number): void {
    if (pid !== owner.pid) owner.pid = SEVERAL;
  }

  /** Gives a range to an owner that nobody is in the way of. Whether that made something free. */
  #take(file: File, owner: Owner, { fh, start, end, type }: Range & { readonly fh: number }): boolean {
    let holder = file.holders.get(owner.id);
    if (holder === undefined) {
      holder = { owner, fh, ranges: [] };
      file.holders.set(owner.id, holder);
      owner.holds++;
      this.#files.set(file.nodeid, file);
      this.#owners.set(owner.id, owner);
    }
    holder.fh = fh;
    return cover(file, holder.ranges, { start, end, type });
  }
  #remove(file: File, { owner, ranges }: Holder): void {
    file.writes -= countWrites(ranges);
    file.holders.delete(owner.id);
    owner.holds--;
    this.#tidy(file, owner);
  }
  #leave(wait: Wait): void {
    wait.file.queue.delete(wait);
    wait.owner.waits.delete(wait);
  }
  /** Forgets what is empty. */
  #tidy(file: File, owner: Owner): void {
    if (owner.holds === 0 && owner.waits.size === 0) this.#owners.delete(owner.id);
    if (file.holders.size === 0 && file.queue.size === 0) this.#files.delete(file.nodeid);
  }

  /** Something of the file became free: gives it to those who wait for it. */
  #wake(file: File): void {
    while (this.#wakeOnce(file));
  }
  /** True if it has to be done again from the start: what somebody got made something else free. */
  #wakeOnce(file: File): boolean {
    for (const wait of file.queue) {
      const { owner } = wait;
      if (inTheWay(file, owner.id, wait) !== undefined) continue;
      this.#leave(wait);
      const freed = this.#take(file, owner, wait);
      wait.granted();
      if (freed) return true;
      // All others wait for this one now. Without this, n who wait for one lock after the other cost n^2 looks.
      if (wait.type === F_WRLCK && wait.start <= file.low && wait.end >= file.high && owner.waits.size === 0) break;
    }
    return false;
  }

  get held(): number {
    let held = 0;
    for (const { holders } of this.#files.values()) for (const { ranges } of holders.values()) held += ranges.length;
    return held;
  }
  get waiting(): number {
    let waiting = 0;
    for (const { queue } of this.#files.values()) waiting += queue.size;
    return waiting;
  }

  check(): void {
    const holds = new Map<Owner, number>();
    const waits = new Map<Owner, number>();
    for (const [nodeid, file] of this.#files) {
      assert(nodeid === file.nodeid && file.holders.size + file.queue.size > 0, `file ${nodeid} has nothing locked`);
      checkFile(file);
      for (const { owner } of file.holders.values()) holds.set(owner, (holds.get(owner) ?? 0) + 1);
      for (const { owner } of file.queue) waits.set(owner, (waits.get(owner) ?? 0) + 1);
    }
    for (const owner of [...holds.keys(), ...waits.keys()])
      assert(this.#owners.get(owner.id) === owner, `owner ${owner.id} is not in the table`);
    for (const owner of this.#owners.values()) {
      assert(owner.holds + owner.waits.size > 0, `owner ${owner.id} has nothing`);
      assert(owner.holds === (holds.get(owner) ?? 0), `owner ${owner.id} holds ${owner.holds}`);
      assert(owner.waits.size === (waits.get(owner) ?? 0), `owner ${owner.id} waits ${owner.waits.size} times`);
    }
  }
}

/** How a search for a deadlock came to an owner. */
interface Step {
  readonly owner: Owner;
  readonly from: Step | undefined;
}
/** Whether all owners of a path can be processes. @see the top of this file */
function mayBeProcesses({ owner, from }: Step): boolean {
  if (owner.pid === SEVERAL) return false;
  for (let step = from; step !== undefined; step = step.from)
    if (step.owner.pid === SEVERAL || (step.owner.pid !== 0 && step.owner.pid === owner.pid)) return false;
  return true;
}

/** The first who has a lock that conflicts with a range. */
function inTheWay({ holders, writes }: File, owner: bigint, range: Range): Holder | undefined {
  if (range.type === F_RDLCK && writes === 0) return undefined;
  for (const holder of holders.values())
    if (holder.owner.id !== owner && overlap(holder.ranges, range, conflicting)) return holder;
  return undefined;
}

const conflicting = (a: Range, b: Range): boolean => a.type === F_WRLCK || b.type === F_WRLCK;
const everything = (): boolean => true;

/** The first of `ranges` that overlaps a range in a way that counts. */
function overlap(
  ranges: readonly Range[],
  range: Range,
  counts: (one: Range, other: Range) => boolean,
): Range | undefined {
  for (let i = firstFrom(ranges, range.start); i < ranges.length; i++) {
    const one = ranges[i]!;
    if (one.start > range.end) return undefined;
    if (counts(one, range)) return one;
  }
  return undefined;
}

/** The index of the first range that reaches to a byte or beyond. */
function firstFrom(ranges: readonly Range[], at: bigint): number {
  let low = 0;
  for (let high = ranges.length; low < high; ) {
    const middle = (low + high) >> 1;
    if (ranges[middle]!.end < at) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Makes a range of an owner's what is asked for, F_UNLCK included: cuts what overlaps it, joins what it then overlaps or
 * touches with the same type. Whether something became free for others.
 */
function cover(file: File, ranges: Range[], { start, end, type }: Range): boolean {
  const from = firstFrom(ranges, start - 1n);
  const pieces: Range[] = [];
  const whole = { start, end, type };
  let after: Range | undefined;
  let to = from;
  let freed = false;
  for (; to < ranges.length && ranges[to]!.start <= end + 1n; to++) {
    const old = ranges[to]!;
    if (old.type === type) {
      if (old.start < start) whole.start = old.start;
      if (old.end > end) whole.end = old.end;
      continue;
    }
    if (old.start < start) pieces.push({ start: old.start, end: start - 1n, type: old.type });
    if (old.end > end) after = { start: end + 1n, end: old.end, type: old.type };
    if (old.start <= end && old.end >= start && type !== F_WRLCK) freed = true;
  }
  if (type !== F_UNLCK) pieces.push(whole);
  if (after) pieces.push(after);
  file.writes += countWrites(pieces) - countWrites(ranges.splice(from, to - from, ...pieces));
  return freed;
}

function countWrites(ranges: readonly Range[]): number {
  let count = 0;
  for (const { type } of ranges) if (type === F_WRLCK) count++;
  return count;
}

function checkFile({ nodeid, holders, queue, writes, low, high }: File): void {
  let counted = 0;
  for (const [id, { owner, ranges }] of holders) {
    assert(id === owner.id && ranges.length > 0, `owner ${id} holds nothing in file ${nodeid}`);
    for (const [i, range] of ranges.entries()) {
      const { start, end, type } = range;
      const next = ranges[i + 1];
      assert(start <= end && (type === F_RDLCK || type === F_WRLCK), `${start}-${end} of type ${type} is no lock`);
      assert(!next || next.start > end, `${start}-${end} of owner ${id} overlaps the next`);
      assert(!next || next.start > end + 1n || next.type !== type, `${start}-${end} of owner ${id} is not joined`);
      for (const other of type === F_WRLCK ? holders.values() : [])
        assert(
          other.owner === owner || !overlap(other.ranges, range, conflicting),
          `${start}-${end} of owner ${id} conflicts with one of owner ${other.owner.id}`,
        );
    }
    counted += countWrites(ranges);
  }
  assert(writes === counted, `file ${nodeid} counts ${writes} locks for writing, has ${counted}`);
  for (const wait of queue) {
    const { owner, start, end } = wait;
    assert(owner.waits.has(wait), `owner ${owner.id} does not know that it waits for ${start}-${end}`);
    assert(start >= low && end <= high, `${start}-${end} is waited for, outside of ${low}-${high}`);
    assert(
      inTheWay({ nodeid, holders, queue, writes, low, high }, owner.id, wait),
      `owner ${owner.id} waits for ${start}-${end}, where nothing is in the way`,
    );
  }
}
function assert(holds: unknown, what: string): void {
  if (!holds) throw new Error(`locks: ${what}`);
}
