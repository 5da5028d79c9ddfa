/**
 * Locks that hold against processes which use the source directory, too. Among the users of the mount they are kept as ever
 * (../locks.ts: who waits for whom, EDEADLK, what ends with a close), and each is also taken below: by the lock of an open file
 * (F_OFD_SETLK) or flock(2) on a descriptor that belongs to the owner in the file. Below nobody ever waits: a call that
 * waits would hold up all that this thread serves. It is tried again, when something here is unlocked, and for the
 * sake of others after a pause that grows.
 *
 * INVARIANT: what an owner has below it has here. So what is free below is free here, and is taken in both at once. Who waits has it
 * here first, and gives it back where it can't be had below. It is one thread's: see passthrough-module.ts.
 */
import { EACCES, EAGAIN, EISDIR, EROFS, ETXTBSY, errno } from '../../abi/errno.ts';
import { closeQuietly, fcntlAt, flock } from '../../abi/files.ts';
import { FUSE_LK_FLOCK, FUSE_RELEASE_FLOCK_UNLOCK } from '../../abi/fuse-constants.ts';
import {
  F_OFD_GETLK,
  F_OFD_SETLK,
  F_RDLCK,
  F_UNLCK,
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
  LOCK_UN,
  O_RDONLY,
  O_RDWR,
  OFFSET_MAX,
} from '../../abi/posix.ts';
import type { Args, Result } from '../../protocol/operations.ts';
import type { Request } from '../../protocol/request.ts';
import { Locks } from '../locks.ts';
import { done, type Scratch } from './scratch.ts';

/** How long a wait for somebody outside of the mount rests between two tries, in ms. */
const PAUSE_LEAST = 1;
const PAUSE_MOST = 100;
/** Members of struct flock, in bytes. The same on x86-64 and arm64. */
const FLOCK = { l_type: 0, l_whence: 2, l_start: 8, l_len: 16, l_pid: 24 } as const;

type Range = Args<'SETLKW'>['lk'];

/** What an owner has in a file, below. */
interface Below {
  readonly owner: bigint;
  readonly flock: boolean;
  readonly fd: number;
  /** The handle that was used last. */
  fh: number;
}

export class LowerLocks {
  readonly #locks = new Locks();
  /** The same without what is waited for: what is had below. */
  readonly #had = new Locks();
  readonly #scratch: Scratch;
  readonly #open: (nodeid: number, flags: number) => number;
  readonly #files = new Map<number, Below[]>();
  /** Those who rest. */
  readonly #resting = new Set<() => void>();

  /** `open` opens the lower file of a node. */
  constructor(scratch: Scratch, open: (nodeid: number, flags: number) => number) {
    this.#scratch = scratch;
    this.#open = open;
  }

  /** The lock in the way, here or below. */
  getlk(nodeid: number, args: Args<'GETLK'>): Result<'GETLK'> {
    const { lk } = this.#locks.getlk(nodeid, args);
    // F_UNLCK asks for what the owner itself has: that is here.
    if (lk.type !== F_UNLCK || args.lk.type === F_UNLCK) return { lk };
    const below = this.#below(nodeid, args.owner, args.fh, false);
    const { view, wordsAt } = this.#scratch;
    done(this.#fcntl(below.fd, F_OFD_GETLK, args.lk));
    const type = view.getInt16(wordsAt + FLOCK.l_type, true);
    const start = view.getBigInt64(wordsAt + FLOCK.l_start, true);
    const length = view.getBigInt64(wordsAt + FLOCK.l_len, true);
    const pid = Math.max(0, view.getInt32(wordsAt + FLOCK.l_pid, true));
    this.#close(nodeid, below);
    if (type === F_UNLCK) return { lk };
    return { lk: { type, start, end: length === 0n ? OFFSET_MAX : start + length - 1n, pid } };
  }

  /** As Locks.setlk. */
  setlk(request: Request, args: Args<'SETLKW'>): void | Promise<void> {
    const { nodeid } = request;
    const { owner, fh, lk, lk_flags, sleep } = args;
    const whole = (lk_flags & FUSE_LK_FLOCK) !== 0;
    if (lk.type === F_UNLCK) {
      const below = this.#find(nodeid, owner, whole);
      if (below) this.#unlock(request, args, below);
      return this.#locks.setlk(request, args);
    }
    const below = this.#below(nodeid, owner, fh, whole);
    const result = this.#try(below, lk);
    if (result === 0) {
      this.#had.setlk(request, { ...args, sleep: false });
      return this.#locks.setlk(request, { ...args, sleep: false });
    }
    // What flock(2) changes is given up first, there and here.
    if (whole)
      for (const each of [this.#had, this.#locks]) each.setlk(request, { ...args, lk: { ...lk, type: F_UNLCK } });
    this.#close(nodeid, below);
    if (!isBusy(result)) throw errno(-result);
    if (!sleep) throw EAGAIN;
    return this.#wait(request, args);
  }

  async #wait(request: Request, args: Args<'SETLKW'>): Promise<void> {
    const { nodeid } = request;
    const { owner, fh, lk, lk_flags } = args;
    const whole = (lk_flags & FUSE_LK_FLOCK) !== 0;
    await this.#locks.setlk(request, args);
    try {
      for (let pause = PAUSE_LEAST; ; pause = Math.min(2 * pause, PAUSE_MOST)) {
        const below = this.#below(nodeid, owner, fh, whole);
        const result = this.#try(below, lk);
        if (result === 0) return this.#had.setlk(request, { ...args, sleep: false });
        this.#close(nodeid, below);
        if (!isBusy(result)) throw errno(-result);
        await this.#rest(pause, request.signal);
      }
    } catch (error) {
      this.#giveBack(request, args);
      throw error;
    }
  }

  /** What was had here, and can't be had below, becomes again what the owner has there. */
  #giveBack(request: Request, args: Args<'SETLKW'>): void {
    const { start, end, pid } = args.lk;
    const set = (from: bigint, to: bigint, type: number) => {
      if (from > to) return;
      try {
        this.#locks.setlk(request, { ...args, sleep: false, lk: { start: from, end: to, type, pid } });
      } catch (error) {
        if (error !== EAGAIN) throw error; // a reader has come where it wrote: that one is refused below
      }
    };
    const whole = (args.lk_flags & FUSE_LK_FLOCK) !== 0;
    let at = start;
    for (const range of whole ? [] : this.#had.rangesOf(request.nodeid, args.owner)) {
      if (range.end < start || range.start > end) continue;
      set(at, range.start - 1n, F_UNLCK);
      set(at > range.start ? at : range.start, end < range.end ? end : range.end, range.type);
      at = range.end + 1n;
    }
    set(at, end, F_UNLCK);
  }

  /** FLUSH: a process closed a descriptor of the file. */
  flush(nodeid: number, owner: bigint): void {
    this.#locks.flush(nodeid, owner);
    this.#had.flush(nodeid, owner);
    this.#drop(nodeid, (below) => !below.flock && below.owner === owner);
  }
  /** RELEASE: an open file is gone. */
  release(nodeid: number, args: Args<'RELEASE'>): void {
    this.#locks.release(nodeid, args);
    this.#had.release(nodeid, args);
    const flocks = (args.release_flags & FUSE_RELEASE_FLOCK_UNLOCK) !== 0;
    this.#drop(nodeid, (below) => (below.flock ? flocks && below.owner === args.lock_owner : below.fh === args.fh));
  }
  #drop(nodeid: number, which: (below: Below) => boolean): void {
    const file = this.#files.get(nodeid);
    if (file === undefined) return;
    for (const below of file.filter(which)) this.#remove(nodeid, below);
    this.#wake();
  }
  /** The session is over: nothing is locked. */
  clear(): void {
    this.#locks.clear();
    this.#had.clear();
    for (const [nodeid, file] of this.#files) for (const below of [...file]) this.#remove(nodeid, below);
  }
  /** Descriptors in use. For tests. */
  get open(): number {
    return [...this.#files.values()].reduce((sum, file) => sum + file.length, 0);
  }

  #find(nodeid: number, owner: bigint, whole: boolean): Below | undefined {
    return this.#files.get(nodeid)?.find((below) => below.owner === owner && below.flock === whole);
  }
  /** What an owner has in a file, with a descriptor for it. To lock for writing it must be open for that, which a file may refuse. */
  #below(nodeid: number, owner: bigint, fh: number, whole: boolean): Below {
    const there = this.#find(nodeid, owner, whole);
    if (there) {
      there.fh = fh;
      return there;
    }
    const below = { owner, flock: whole, fd: this.#opened(nodeid), fh };
    const file = this.#files.get(nodeid);
    if (file) file.push(below);
    else this.#files.set(nodeid, [below]);
    return below;
  }
  #opened(nodeid: number): number {
    try {
      return this.#open(nodeid, O_RDWR);
    } catch (error) {
      if (error !== EACCES && error !== EROFS && error !== ETXTBSY && error !== EISDIR) throw error;
      return this.#open(nodeid, O_RDONLY);
    }
  }
  /** Closes the descriptor of an owner that has nothing. */
  #close(nodeid: number, below: Below): void {
    if (below.flock || this.#had.rangesOf(nodeid, below.owner).length === 0) this.#remove(nodeid, below);
  }
  #remove(nodeid: number, below: Below): void {
    const file = this.#files.get(nodeid)!;
    file.splice(file.indexOf(below), 1);
    if (file.length === 0) this.#files.delete(nodeid);
    closeQuietly(below.fd);
  }

  #unlock(request: Request, args: Args<'SETLKW'>, below: Below): void {
    this.#try(below, args.lk);
    this.#had.setlk(request, args);
    this.#close(request.nodeid, below);
    this.#wake();
  }
  /** One try below: 0, or a negated errno. */
  #try(below: Below, lk: Range): number {
    if (!below.flock) return this.#fcntl(below.fd, F_OFD_SETLK, lk);
    return flock(below.fd, (lk.type === F_UNLCK ? LOCK_UN : lk.type === F_RDLCK ? LOCK_SH : LOCK_EX) | LOCK_NB);
  }
  #fcntl(fd: number, command: number, { type, start, end }: Range): number {
    const { bytes, view, wordsAt, words } = this.#scratch;
    bytes.fill(0, wordsAt, wordsAt + 32); // whence SEEK_SET, pid 0 as OFD locks need it
    view.setInt16(wordsAt + FLOCK.l_type, type, true);
    view.setBigUint64(wordsAt + FLOCK.l_start, start, true);
    view.setBigUint64(wordsAt + FLOCK.l_len, end === OFFSET_MAX ? 0n : end - start + 1n, true);
    return fcntlAt(fd, command, words);
  }

  /** Rests for so long, or until something is unlocked here. What the signal is aborted with, where it is. */
  #rest(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (over: () => void) => {
        clearTimeout(timer);
        this.#resting.delete(wake);
        signal.removeEventListener('abort', aborted);
        over();
      };
      const wake = () => end(resolve);
      const aborted = () => end(() => reject(signal.reason));
      const timer = setTimeout(wake, ms);
      this.#resting.add(wake);
      if (signal.aborted) aborted();
      else signal.addEventListener('abort', aborted);
    });
  }
  #wake(): void {
    for (const wake of [...this.#resting]) wake();
  }
}

const isBusy = (result: number): boolean => result === -EAGAIN.errno || result === -EACCES.errno;
