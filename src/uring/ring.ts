/**
 * One io_uring: operations go in, each is answered by one completion (or several, where it is multishot), and every
 * completion goes to whoever submitted it.
 *
 * On Node's event loop, the default: what is submitted in one turn of the loop goes to the kernel with one system call,
 * at the turn's end; only where the kernel has little else to do, the first of it goes at once. The ring's descriptor
 * becomes readable when there are completions; then all that are there are handled. A ring with nothing in flight costs
 * nothing and keeps no process alive.
 *
 * On a thread that does nothing else, with `blocking`: `wait` submits, sleeps in the kernel until something completes or
 * somebody wakes it, and handles what has completed. There is no loop, and no promise is settled before the thread
 * returns to its own. Where that thread has something else to wait for, `attend` has its loop do what `wait` did.
 *
 * What has no place in the queues waits here, in order. No operation is refused for want of room.
 */
import { isMainThread } from 'node:worker_threads';
import { ECANCELED } from '../abi/errno.ts';
import { atExit } from '../abi/exit.ts';
import { Memory } from '../abi/memory.ts';
import { POLLIN } from '../abi/posix.ts';
import { close, eventfd, ioUringRegister, read, type Watch, watch } from '../abi/syscall.ts';
import {
  IORING_CQE_F_MORE,
  IORING_OP,
  IORING_POLL_ADD_MULTI,
  IORING_REGISTER_EVENTFD,
  IOSQE_IO_LINK,
  type UringOpcode,
} from '../abi/uring-constants.ts';
import { type Completed, type Engine, type Linked, opcodeNumber, type Sqe, type Ticket } from './engine.ts';
import {
  lowWord,
  Queues,
  type Reaped,
  type RingSystem,
  SUBSYSTEM,
  type Subsystem,
  slotOf,
  subsystemOf,
  userData,
} from './queues.ts';
import type { RingOptions, Tier } from './setup.ts';
import { Slots } from './slots.ts';
import type { WakeHandle } from './wake.ts';

/** An operation on its way into the submission queue. */
interface Operation {
  readonly opcode: number;
  readonly sqe: Sqe;
  readonly low: number;
  readonly high: number;
}

/** The kernel is told early of what is more than this part of what it has. */
const EARLY = 2;
/** Turns for which it is told once a turn when operations complete at once. */
const PATIENCE = 32;

export class Ring implements Engine, AsyncDisposable {
  readonly kind = 'ring';
  /** For a subsystem that places its own entries. It has to say `later()` afterwards. */
  readonly queues: Queues;
  readonly #slots = new Slots<Completed>();
  /** What waits for its place: chains of linked operations, mostly of one, each of which goes in as a whole. */
  readonly #backlog: (readonly Operation[])[] = [];
  /** Other subsystems on this ring, by number. */
  readonly #others: (Reaped | undefined)[] = [];
  /** @see attach */
  #again: ((round: number) => boolean) | undefined;
  #watch: Watch | undefined;
  readonly #wake: WakeHandle | undefined;
  /** Whether somebody has woken a ring that waits. Whoever looks takes it back. */
  woken = false;
  /** Called at the end of each turn on the event loop. */
  onTurn: (() => void) | undefined;
  readonly #count = new Memory(8); // what an eventfd is read into
  /** What tells an event loop of completions where the kernel tells nobody who polls the ring; -1 before it is needed. */
  #told = -1;
  /** The event loop's own look at the wake-up. @see attend */
  #wakeWatch: Watch | undefined;
  /** Whether the ring is on its thread's event loop: always, but for a ring that `wait`s. */
  #attended = true;
  #flushing: NodeJS.Immediate | undefined;
  #patience = 0;
  #closing: { resolve: () => void; promise: Promise<void> } | undefined;
  #closed = false;
  /** Whether a turn is on, at whose end all goes to the kernel. */
  #turning = false;
  readonly #forget: () => void;

  /** UringError where there is none to be had. */
  constructor(options: RingOptions = {}, system?: RingSystem) {
    this.queues = new Queues(options, system);
    this.#wake = options.blocking;
    if (this.#wake) {
      this.#attended = false;
      this.#armWake();
    } else {
      // Held, so that it is not collected; it counts for the process only while something is in flight.
      this.#watch = watch(this.fd, { readable: true }, () => this.#turn());
      this.#watch.unref();
    }
    this.#forget = atExit(() => this.#leave());
  }

  get fd(): number {
    return this.queues.memory.fd;
  }
  /** What wakes a ring that waits. */
  get wake(): WakeHandle | undefined {
    return this.#wake;
  }
  get tier(): Tier {
    return this.queues.memory.tier;
  }
  /** IORING_FEAT_ bits of the kernel. */
  get features(): number {
    return this.queues.memory.features;
  }
  get inFlight(): number {
    return this.#slots.inFlight;
  }
  get longestChain(): number {
    return this.queues.entries;
  }

  /** @see Engine.submit. On the event loop it goes to the kernel at the latest at the end of this turn. */
  submit(opcode: UringOpcode | number, sqe: Sqe, done: Completed): Ticket {
    if (this.#closing) throw ECANCELED;
    const ticket = this.#take(done);
    const { slot, generation } = ticket;
    const low = lowWord(SUBSYSTEM.operation, slot);
    this.#enqueue(opcodeNumber(opcode), sqe, low, generation);
    return ticket;
  }

  /** @see Engine.submitLinked. They go to the kernel together, so there may be no more of them than the queue has entries. */
  submitLinked(operations: readonly Linked[]): Ticket[] {
    if (this.#closing) throw ECANCELED;
    if (operations.length > this.queues.entries) throw new RangeError(`${operations.length} are too many to be linked`);
    const tickets = operations.map(({ done }) => this.#take(done));
    const chain = operations.map(({ opcode, sqe }, i) => {
      const link = i < operations.length - 1 ? IOSQE_IO_LINK : 0;
      const { slot, generation } = tickets[i]!;
      const flags = (sqe.flags ?? 0) | link;
      const low = lowWord(SUBSYSTEM.operation, slot);
      return { opcode: opcodeNumber(opcode), sqe: { ...sqe, flags }, low, high: generation };
    });
    // Where a submission ends, the kernel ends a chain: so it goes in as a whole.
    if (this.#backlog.length === 0 && !this.#fits(chain)) this.#flush();
    if (this.#backlog.length > 0 || !this.#fits(chain)) this.#backlog.push(chain);
    else for (const { opcode, sqe, low, high } of chain) this.queues.put(opcode, sqe, low, high);
    this.#soon();
    return tickets;
  }

  cancel(ticket: Ticket): void {
    if (this.#slots.get(ticket)) this.cancelOf(SUBSYSTEM.operation, ticket.slot, ticket.generation);
  }

  /** Calls `ready` while a descriptor is readable, until what is returned is called or the ring is closed: also on a thread that sleeps in `wait`. */
  watch(fd: number, ready: () => void): () => void {
    let over = false;
    let ticket!: Ticket;
    const wait = () => {
      ticket = this.submit('POLL_ADD', { fd, op_flags: POLLIN }, (res) => {
        if (res < 0 || over || this.#closing) return;
        ready();
        if (!over) wait();
      });
    };
    wait();
    return () => {
      over = true;
      this.cancel(ticket);
    };
  }

  /** Cancels an operation of another subsystem's. */
  cancelOf(subsystem: Subsystem, slot: number, generation: number): void {
    const addr = userData(lowWord(subsystem, slot), generation);
    this.#enqueue(IORING_OP.ASYNC_CANCEL, { addr }, lowWord(SUBSYSTEM.nobody, 0), 0);
  }

  disown(ticket: Ticket, heir: Completed): void {
    this.#slots.disown(ticket, heir);
  }

  register(opcode: number, argument: number, count: number): number {
    if (this.#closed) throw ECANCELED; // the descriptor may be another's
    return ioUringRegister(this.fd, opcode, argument, count);
  }

  /**
   * Lets another subsystem use the ring: it gets the completions that carry its number. `again` is asked on the event
   * loop, each time that all of them have been handled, whether to submit and to look for more before the loop goes on;
   * `round` says how often it has been asked in this turn.
   */
  attach(subsystem: Subsystem, reaped: Reaped, again?: (round: number) => boolean): void {
    this.#others[subsystem] = reaped;
    this.#again = again;
  }

  /** Counts something of another subsystem's as in flight, until what is returned is called: then the process lives, and `close` waits. */
  occupy(): () => void {
    if (this.#slots.inFlight++ === 0) this.#watch?.ref();
    return () => {
      if (--this.#slots.inFlight === 0) this.#watch?.unref();
      this.later(); // which sees whether it can close
    };
  }

  /** Tells the kernel of what was placed, now. */
  flush(): void {
    if (!this.#closed) this.#flush();
  }

  /** Does now what would be done at this turn's end: submits, and handles what has completed. */
  poll(): void {
    if (!this.#closed && !this.#turning) this.#turn();
  }

  /** Sees to it that what was placed goes to the kernel: at the end of this turn, or with the next wait. */
  later(): void {
    if (!this.#turning) this.#schedule();
  }

  #schedule(): void {
    if (this.#attended)
      this.#flushing ??= setImmediate(() => {
        this.#flushing = undefined;
        if (!this.#closed) this.#turn();
      });
  }

  /**
   * In a thread that does nothing else: submits, waits until something has completed or somebody wakes, and handles it.
   * False when the wake-up says that it is over: then it never waits again.
   */
  wait(): boolean {
    const { over } = this.#wake!;
    this.#flush(Atomics.load(over, 0) === 0 && this.#backlog.length === 0 ? 1 : 0);
    this.#reap();
    return Atomics.load(over, 0) === 0;
  }

  /**
   * Puts a ring that waits on its thread's event loop, or back: nobody may call `wait` meanwhile. With DEFER_TASKRUN the
   * ring's own descriptor tells nothing to who polls it, so an eventfd does. It tells when the first completion is there to be
   * asked for, not of those that come to that one. And of one that another eventfd has brought about, as a wake-up does,
   * it tells once in a ring's life: IO_EVENTFD_OP_SIGNAL_BIT is never taken back (Linux 6.18). Then nothing is told any more.
   * So the loop looks at the wake-up itself. @see io_uring/eventfd.c: __io_eventfd_signal
   */
  attend(on: boolean): void {
    if (this.#attended === on || this.#closed) return;
    this.#attended = on;
    if (this.#told < 0) this.#tell();
    this.queues.telling = on;
    if (!on) this.#watch?.unref();
    else if (this.#slots.inFlight > 0) this.#watch?.ref();
    if (on) this.#schedule(); // what came before: nobody tells of that
  }

  #tell(): void {
    this.#told = eventfd();
    this.queues.telling = false;
    new DataView(this.#count.buffer).setInt32(0, this.#told, true);
    this.register(IORING_REGISTER_EVENTFD, this.#count.address, 1);
    const turn = () => {
      if (this.#attended && !this.#closed) this.#turn();
    };
    this.#watch = watch(this.#told, { readable: true }, () => {
      read(this.#told, this.#count.address, 8);
      turn();
    });
    this.#wakeWatch = watch(this.#wake!.fd, { readable: true }, turn); // the turn reads it
    this.#watch.unref();
    this.#wakeWatch.unref();
  }

  /** Ends the watch on this thread's event loop, which then hears of nothing any more: the thread is about to end. */
  unwatch(): void {
    this.#watch?.close();
    this.#watch = undefined;
    this.#wakeWatch?.close();
    this.#wakeWatch = undefined;
    if (this.#told >= 0) close(this.#told);
    this.#told = -1;
  }

  close(): Promise<void> {
    if (this.#closing) return this.#closing.promise;
    let resolve!: () => void;
    const promise = new Promise<void>((done) => {
      resolve = done;
    });
    this.#cancelAll();
    this.#closing = { resolve, promise };
    this.#flush();
    this.#reap();
    if (this.#wake) while (!this.#closed) this.#drain();
    this.#endIfDone();
    return promise;
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #cancelAll(): void {
    for (const ticket of this.#slots.tickets()) this.cancel(ticket);
  }

  /** Waits, whatever the wake-up says, for what the kernel still has. */
  #drain(): void {
    this.#flush(this.#slots.inFlight > 0 ? 1 : 0);
    this.#reap();
    this.#endIfDone();
  }

  /**
   * The thread exits. Of a process that ends with it the kernel takes care. But of a worker's memory the process makes
   * something else, so what the kernel may still write to has to be done first.
   */
  #leave(): void {
    if (this.#closed || isMainThread) return;
    this.#cancelAll();
    while (this.#slots.inFlight > 0) this.#drain();
    this.unwatch();
  }

  /** A slot for an operation. */
  #take(done: Completed): Ticket {
    const ticket = this.#slots.take(done);
    if (this.#slots.inFlight === 1) this.#watch?.ref();
    return ticket;
  }

  #enqueue(opcode: number, sqe: Sqe, low: number, high: number): void {
    const needed = this.queues.needs(opcode);
    if (this.#backlog.length === 0 && this.queues.space < needed) this.#flush();
    if (this.#backlog.length > 0 || this.queues.space < needed) this.#backlog.push([{ opcode, sqe, low, high }]);
    else this.queues.put(opcode, sqe, low, high);
    this.#soon();
  }
  /** The kernel is to be told of what was placed: now, or later. */
  #soon(): void {
    if (this.#wake === undefined && !this.#turning && this.#early()) return;
    this.later();
  }
  #fits(chain: readonly Operation[]): boolean {
    return chain.reduce((sum, { opcode }) => sum + this.queues.needs(opcode), 0) <= this.queues.space;
  }

  /**
   * Tells the kernel at once where it has little to do, so that a disk works while the rest of this turn's operations are
   * made: of 32 after the 1st, 2nd, 4th, 7th, 11th, ... Not where they complete within the call, as reads of what is in
   * memory do: then it is told once a turn, for a while. False where this turn has something left to do.
   * 4 KiB reads with O_DIRECT, 32 in flight, against fio's: 0.72 without, 0.88 with it, 0.81 where each is told at once; of those
   * in memory nothing changes (npm run bench -- uring).
   */
  #early(): boolean {
    const { queues } = this;
    if (this.#patience > 0 || queues.ready <= (this.inFlight - queues.ready) / EARLY) return false;
    this.#flush();
    if (!queues.completedAtOnce) return queues.ready === 0;
    this.#patience = PATIENCE;
    return false;
  }

  /** Tells the kernel of what is in the queue, puts in what waited for a place, and waits for `complete` completions. */
  #flush(complete = 0, ask = false): void {
    const { queues } = this;
    for (;;) {
      while (this.#backlog.length > 0 && this.#fits(this.#backlog[0]!))
        for (const { opcode, sqe, low, high } of this.#backlog.shift()!) queues.put(opcode, sqe, low, high);
      if (queues.ready === 0 && complete === 0 && !ask) return;
      if (!queues.submit(complete)) return this.#schedule();
      if (this.#backlog.length === 0 || queues.space === 0) break;
    }
    if (this.#backlog.length > 0) this.#schedule(); // a kernel's thread has not taken out what is there yet
  }

  /** What is to be done when there are completions, or something to submit. */
  #turn(): void {
    this.#turning = true;
    if (this.#patience > 0) this.#patience--;
    try {
      let round = 0;
      do {
        this.#flush(0, this.#wake !== undefined && round === 0); // with DEFER_TASKRUN completions come to who asks
        this.#reap();
      } while (this.#again?.(round++));
      this.#flush(); // what the completions' owners have submitted
    } catch (error) {
      thrown(error);
    } finally {
      this.#turning = false;
    }
    this.onTurn?.();
    this.#endIfDone();
  }

  #reap(): void {
    this.queues.reap(this.#reaped);
  }

  readonly #reaped = (low: number, high: number, res: number, flags: number): void => {
    const subsystem = subsystemOf(low);
    const slot = slotOf(low);
    try {
      if (subsystem === SUBSYSTEM.operation) {
        const owner = this.#slots.completed(slot, high, !(flags & IORING_CQE_F_MORE));
        if (this.#slots.inFlight === 0) this.#watch?.unref();
        owner?.(res, flags);
      } else if (subsystem === SUBSYSTEM.wake) {
        read(this.#wake!.fd, this.#count.address, 8);
        this.woken = true;
        if (!(flags & IORING_CQE_F_MORE) && !this.#closed) this.#armWake();
      } else this.#others[subsystem]?.(low, high, res, flags);
    } catch (error) {
      thrown(error);
    }
  };

  #armWake(): void {
    const sqe = { fd: this.#wake!.fd, op_flags: POLLIN, len: IORING_POLL_ADD_MULTI };
    this.#enqueue(IORING_OP.POLL_ADD, sqe, lowWord(SUBSYSTEM.wake, 0), 0);
  }

  #endIfDone(): void {
    if (!this.#closing || this.#closed || this.#slots.inFlight > 0) return;
    this.#closed = true;
    if (this.#flushing) clearImmediate(this.#flushing);
    this.#forget();
    this.unwatch();
    this.queues.memory.free();
    this.#count.free();
    this.#closing.resolve();
  }
}

/** For an error that nobody is there to catch: thrown in the watch's callback it would end the watch without a word. */
function thrown(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
