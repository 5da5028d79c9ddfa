/**
 * poll(2) on the mount says what the lower file says. Most have no poll of their own, and are always ready; those of sysfs, of
 * cgroups and some of proc tell of a change by POLLPRI and POLLERR.
 *
 * Who waits has the kernel ask with FUSE_POLL_SCHEDULE_NOTIFY. The file is then put into an epoll, once and until it is closed, and its
 * next change is told by a notification, upon which the kernel asks again. A thread of its own sleeps in that epoll: an event
 * loop, or a ring, that looked out for it would itself ask the files in it, and to ask may be what ends their news. Files
 * of proc tell each change to the first who asks. So what the epoll has seen is kept, in memory that all serving threads share,
 * until somebody was told, or has read the file from its start, upon which a file of sysfs has no news either.
 *
 * What comes in the microseconds after a file was first asked, and before it is in the epoll, is lost where it is news of that kind.
 * @see fs/fuse/file.c: fuse_file_poll, fs/kernfs/file.c: kernfs_generic_poll, fs/proc_namespace.c: mounts_poll, fs/eventpoll.c
 */
import { isMainThread, type Worker } from 'node:worker_threads';
import { EEXIST, EPERM } from '../../abi/errno.ts';
import { FUSE_POLL_SCHEDULE_NOTIFY } from '../../abi/fuse-constants.ts';
import {
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_MOD,
  EPOLL_EVENT,
  EPOLLET,
  POLLERR,
  POLLIN,
  POLLPRI,
} from '../../abi/posix.ts';
import { addressOf, close, eventfd, read, SYS, systemCall } from '../../abi/syscall.ts';
import { startWorker } from '../../abi/worker.ts';
import type { Connection } from '../../protocol/connection.ts';
import type { Args, Result } from '../../protocol/operations.ts';
import { Wake, type WakeHandle } from '../../uring/wake.ts';
import type { Descriptors } from './descriptors.ts';
import { done, type Scratch } from './scratch.ts';

/** The bits of poll(2): above them are epoll's own. */
const BITS = 0xffff;
/** What may be gone by asking. */
const NEWS = POLLPRI | POLLERR;
/** struct pollfd, and a timespec of nothing behind it. */
const POLLFD = { fd: 0, events: 4, revents: 6, size: 8 } as const;
/** How long the end of the thread is waited for at most, in ms. */
const PATIENCE = 1_000;

/** Words that the thread hands over: how many there are until they are taken, whether it has ended, the pairs. */
export const CAME = { count: 0, ended: 1, pairs: 2, most: 64 } as const;
/** What the thread gets. */
export interface PollsThread {
  readonly epoll: number;
  /** An eventfd: that something came. */
  readonly tell: number;
  readonly wake: WakeHandle;
  readonly came: Int32Array;
}

/** An open file that somebody has waited for. */
interface Watched {
  readonly kh: bigint;
  readonly events: number;
  /** Whether somebody waits now. */
  waits: boolean;
}

interface Thread {
  readonly worker: Worker;
  readonly tell: number;
  readonly wake: Wake;
  readonly came: Int32Array;
  unwatch(): void;
}

export class Polls {
  readonly #descriptors: Descriptors;
  readonly #scratch: Scratch;
  readonly #connection: Pick<Connection, 'notify' | 'watch'>;
  /** -1 before somebody waits. */
  #epoll = -1;
  /** From when on there is something to wait for. */
  #thread: Thread | undefined;
  /** By descriptor. Of one that another thread has closed it is what was, until the number is used again. */
  readonly #watched = new Map<number, Watched>();
  readonly #event = Buffer.allocUnsafeSlow(EPOLL_EVENT.size);
  readonly #eventAt = addressOf(this.#event);

  constructor(descriptors: Descriptors, scratch: Scratch, connection: Pick<Connection, 'notify' | 'watch'>) {
    this.#descriptors = descriptors;
    this.#scratch = scratch;
    this.#connection = connection;
  }

  poll({ fh, kh, flags, events }: Args<'POLL'>): Result<'POLL'> {
    const fd = this.#descriptors.get(fh);
    const asked = events & BITS;
    let revents = this.#now(fd, asked);
    if (flags & FUSE_POLL_SCHEDULE_NOTIFY) {
      this.#wait(fd, kh, asked);
      // Again: what has come before it was watched nobody tells.
      revents |= this.#now(fd, asked);
    }
    return { revents: revents | this.#descriptors.takeNews(fd, asked | POLLERR) };
  }

  /** What is ready. */
  #now(fd: number, events: number): number {
    const { view, wordsAt, words } = this.#scratch;
    view.setInt32(wordsAt + POLLFD.fd, fd, true);
    view.setUint16(wordsAt + POLLFD.events, events, true);
    view.setBigUint64(wordsAt + POLLFD.size, 0n, true);
    view.setBigUint64(wordsAt + POLLFD.size + 8, 0n, true);
    const ready = done(systemCall(SYS.ppoll, words, 1, words + POLLFD.size, 0));
    return ready === 0 ? 0 : view.getUint16(wordsAt + POLLFD.revents, true);
  }

  /** Has the next change of the file told. */
  #wait(fd: number, kh: bigint, events: number): void {
    const before = this.#watched.get(fd);
    const same = before?.kh === kh ? before : undefined;
    if (same !== undefined && (events & ~same.events) === 0) {
      same.waits = true;
      return;
    }
    const all = events | (same?.events ?? 0);
    if (this.#epoll < 0) this.#epoll = done(systemCall(SYS.epoll_create1, EPOLL_CLOEXEC));
    let result = this.#put(EPOLL_CTL_ADD, fd, (all | EPOLLET) >>> 0);
    if (result === -EEXIST.errno) result = this.#put(EPOLL_CTL_MOD, fd, (all | EPOLLET) >>> 0);
    if (result === -EPERM.errno) return; // it has no poll of its own
    done(result);
    this.#watched.set(fd, { kh, events: all, waits: true });
    this.#thread ??= this.#start();
  }
  #put(operation: number, fd: number, events: number): number {
    this.#event.writeUInt32LE(events, 0);
    this.#event.writeInt32LE(fd, EPOLL_EVENT.data);
    return systemCall(SYS.epoll_ctl, this.#epoll, operation, fd, this.#eventAt);
  }

  #start(): Thread {
    const tell = eventfd();
    const came = new Int32Array(new SharedArrayBuffer(4 * (CAME.pairs + 2 * CAME.most)));
    const wake = new Wake();
    done(this.#put(EPOLL_CTL_ADD, wake.handle.fd, POLLIN));
    const workerData: PollsThread = { epoll: this.#epoll, tell, wake: wake.handle, came };
    const worker = startWorker(import.meta.url, './polls-thread', { workerData });
    worker.unref();
    return { worker, tell, came, wake, unwatch: this.#connection.watch(tell, () => this.#came()) };
  }

  /** Takes what the thread hands over. */
  #came(): void {
    const { tell, came } = this.#thread!;
    read(tell, this.#scratch.words, 8);
    const count = Atomics.load(came, CAME.count);
    for (let at: number = CAME.pairs; at < CAME.pairs + 2 * count; at += 2) {
      const fd = came[at]!;
      const watched = this.#watched.get(fd);
      if (watched === undefined) continue;
      this.#descriptors.keepNews(fd, came[at + 1]! & NEWS);
      if (watched.waits) void this.#connection.notify.poll(watched.kh);
      watched.waits = false;
    }
    Atomics.store(came, CAME.count, 0);
    Atomics.notify(came, CAME.count);
  }

  /** Before an open file is closed. */
  forget(fh: number): void {
    this.#watched.delete(fh);
  }

  /** Ends the thread, which closes what it sleeps in. */
  close(): void {
    if (this.#thread !== undefined) end(this.#thread);
    else if (this.#epoll >= 0) close(this.#epoll);
    this.#thread = undefined;
    this.#epoll = -1;
  }
}

function end({ worker, came, wake, unwatch }: Thread): void {
  unwatch();
  wake.end();
  Atomics.store(came, CAME.count, 0);
  Atomics.notify(came, CAME.count);
  if (isMainThread) return void worker.once('exit', () => wake.close());
  // A thread of the mount ends next, and would stop that one before it has closed anything.
  Atomics.wait(came, CAME.ended, 0, PATIENCE);
  wake.close();
}
