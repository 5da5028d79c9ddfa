/**
 * One io_uring on Node's event loop: operations go in, each is answered by one completion (or several, where it is
 * multishot), and every completion goes to whoever submitted it.
 *
 * The two queues lie in memory that we share with the kernel. Of the submission queue we own the tail and the kernel
 * the head, of the completion queue the other way round; each side publishes its index with a store that nothing
 * before it may pass, and reads the other's so that nothing after it may come before (Atomics are stronger than needed
 * and cost 15 ns). Indexes count up through all 32 bits and wrap; only their difference means anything.
 *
 * What is submitted in one turn of the loop goes to the kernel with one system call, at the turn's end. The ring's
 * descriptor becomes readable when there are completions; then all that are there are handled. A ring with nothing in
 * flight costs nothing and keeps no process alive.
 *
 * An operation's id is in its user_data: which slot, and how often that slot has been used. So a completion that
 * comes late, for an operation that its owner has given up, finds another number there and reaches nobody.
 * @see io_uring(7), io_uring_enter(2)
 */
import { EAGAIN, EBUSY, ECANCELED, EINTR, SystemError } from '../abi/errno.ts';
import { ioUringEnter, type Watch, watch } from '../abi/syscall.ts';
import {
  IORING_CQE_F_MORE,
  IORING_ENTER_GETEVENTS,
  IORING_OP,
  IORING_SQ_CQ_OVERFLOW,
  IORING_SQ_TASKRUN,
  IOSQE_IO_LINK,
  type UringOpcode,
} from '../abi/uring-constants.ts';
import { type RingMemory, type RingOptions, setUp, type Tier } from './setup.ts';

/** What an operation is told, as io_uring_sqe has it; what is left out is 0. Addresses are numbers, -1 as `off` is the file's own position. */
export interface Sqe {
  readonly fd?: number;
  readonly off?: number;
  readonly addr?: number;
  readonly len?: number;
  /** rw_flags, open_flags, statx_flags, ...: the union's 32 bits. */
  readonly op_flags?: number;
  readonly buf_index?: number;
  readonly personality?: number;
  /** file_index, splice_fd_in. */
  readonly file_index?: number;
  readonly addr3?: number;
  /** IOSQE_ bits. */
  readonly flags?: number;
  readonly ioprio?: number;
}

/** Gets a completion: `res`, a negated errno where it failed, and IORING_CQE_F_ flags. Must not throw. */
export type Completed = (res: number, flags: number) => void;

/** An operation that was submitted; for `cancel`. */
export interface Ticket {
  readonly slot: number;
  readonly generation: number;
}

/** An operation on its way into the submission queue. */
interface Operation {
  readonly opcode: number;
  readonly sqe: Sqe;
  readonly ticket: Ticket;
}

/** What a ring needs of the system: replaced by tests that start its indexes near their end. */
export interface RingSystem {
  setUp(options: RingOptions): RingMemory;
  enter(fd: number, submit: number, complete: number, flags: number): number;
}
const linux: RingSystem = { setUp, enter: ioUringEnter };

/** 32-bit words in an sqe of 64 bytes, and in a cqe of 16. */
const SQE_WORDS = 16;
const CQE_WORDS = 4;
/** The user_data of what nobody waits for: no slot has generation 0. */
const NOBODY: Ticket = { slot: 0, generation: 0 };
const HIGH = 0x1_0000_0000;
/** The kernel has more than the completion queue shows. */
const HELD = IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN;

export class Ring implements AsyncDisposable {
  readonly tier: Tier;
  readonly #system: RingSystem;
  readonly #memory: RingMemory;
  readonly #words: Int32Array<ArrayBuffer>;
  readonly #sqes: Int32Array<ArrayBuffer>;
  /** Where in #words the indexes are, and the masks and strides that go with them. */
  readonly #at: Readonly<Record<'sqHead' | 'sqTail' | 'sqFlags' | 'cqHead' | 'cqTail' | 'cqes', number>>;
  readonly #sqMask: number;
  readonly #cqMask: number;
  readonly #sqeStride: number;
  readonly #cqeStride: number;
  /** Our tail, ahead of the one that is published by #ready. */
  #tail: number;
  /** SQEs that the kernel has not been told of yet. */
  #ready = 0;
  /** Who gets the completion, by slot; undefined in slots that are free. */
  readonly #owners: (Completed | undefined)[] = [];
  readonly #generations: number[] = [];
  readonly #free: number[] = [];
  /** What waits for its place: chains of linked operations, mostly of one, each of which goes in as a whole. */
  readonly #backlog: (readonly Operation[])[] = [];
  #inFlight = 0;
  #watch: Watch;
  #flushing: NodeJS.Immediate | undefined;
  #closing: { resolve: () => void; promise: Promise<void> } | undefined;
  #closed = false;

  /** UringError where there is none to be had. */
  constructor(options: RingOptions = {}, system: RingSystem = linux) {
    this.#system = system;
    const memory = system.setUp(options);
    const { params, words } = memory;
    const { sq_off, cq_off } = params;
    this.#memory = memory;
    this.tier = memory.tier;
    this.#words = words;
    this.#sqes = new Int32Array(memory.sqes);
    this.#at = {
      sqHead: sq_off.head >> 2,
      sqTail: sq_off.tail >> 2,
      sqFlags: sq_off.flags >> 2,
      cqHead: cq_off.head >> 2,
      cqTail: cq_off.tail >> 2,
      cqes: cq_off.cqes >> 2,
    };
    this.#sqMask = words[sq_off.ring_mask >> 2]!;
    this.#cqMask = words[cq_off.ring_mask >> 2]!;
    this.#sqeStride = options.sqe128 ? 2 * SQE_WORDS : SQE_WORDS;
    this.#cqeStride = options.cqe32 ? 2 * CQE_WORDS : CQE_WORDS;
    // The queue holds numbers of SQEs. Ours are used in their order, so each place holds its own.
    for (let i = 0; i <= this.#sqMask; i++) words[(sq_off.array >> 2) + i] = i;
    this.#tail = words[this.#at.sqTail]!;
    // Held, so that it is not collected; it counts for the process only while something is in flight.
    this.#watch = watch(memory.fd, { readable: true }, () => this.#turn());
    this.#watch.unref();
  }

  get fd(): number {
    return this.#memory.fd;
  }
  /** IORING_FEAT_ bits of the kernel. */
  get features(): number {
    return this.#memory.features;
  }
  /** Operations that have been submitted and not completed. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Submits an operation, at the end of this turn of the loop. `done` gets its completion, never before this returns. */
  submit(opcode: UringOpcode | number, sqe: Sqe, done: Completed): Ticket {
    if (this.#closing) throw ECANCELED;
    const ticket = this.#take(done);
    this.#enqueue([{ opcode: typeof opcode === 'number' ? opcode : IORING_OP[opcode], sqe, ticket }]);
    return ticket;
  }

  /**
   * Submits operations each of which begins when the one before has succeeded; those after one that fails complete
   * with ECANCELED. They go to the kernel together, so there may be no more of them than the queue has entries.
   */
  submitLinked(
    operations: readonly { readonly opcode: UringOpcode; readonly sqe: Sqe; readonly done: Completed }[],
  ): Ticket[] {
    if (this.#closing) throw ECANCELED;
    if (operations.length > this.#sqMask + 1) throw new RangeError(`${operations.length} are too many to be linked`);
    const tickets = operations.map(({ done }) => this.#take(done));
    this.#enqueue(
      operations.map(({ opcode, sqe }, i) => {
        const link = i < operations.length - 1 ? IOSQE_IO_LINK : 0;
        return { opcode: IORING_OP[opcode], sqe: { ...sqe, flags: (sqe.flags ?? 0) | link }, ticket: tickets[i]! };
      }),
    );
    return tickets;
  }

  /**
   * Asks for an operation to end. It completes as it would have, or with ECANCELED, later: until then the kernel may
   * use what it was given. Nothing happens where it has completed already.
   */
  cancel(ticket: Ticket): void {
    if (this.#owner(ticket.slot, ticket.generation) === undefined) return;
    this.#enqueue([{ opcode: IORING_OP.ASYNC_CANCEL, sqe: { addr: userData(ticket) }, ticket: NOBODY }]);
  }

  /** Gives the completion of an operation to somebody else, as when its owner has gone and a buffer must stay. */
  disown(ticket: Ticket, heir: Completed): void {
    if (this.#owner(ticket.slot, ticket.generation) !== undefined) this.#owners[ticket.slot] = heir;
  }

  /** Cancels what is in flight, waits for its completions, and gives all back. */
  close(): Promise<void> {
    if (this.#closing) return this.#closing.promise;
    let resolve!: () => void;
    const promise = new Promise<void>((done) => {
      resolve = done;
    });
    for (const [slot, owner] of this.#owners.entries())
      if (owner) this.cancel({ slot, generation: this.#generations[slot]! });
    this.#closing = { resolve, promise };
    this.#flush();
    this.#reap();
    this.#endIfDone();
    return promise;
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** A slot for an operation. */
  #take(done: Completed): Ticket {
    const slot = this.#free.pop() ?? this.#owners.length;
    this.#owners[slot] = done;
    this.#generations[slot] ??= 1;
    if (this.#inFlight++ === 0) this.#watch.ref();
    return { slot, generation: this.#generations[slot]! };
  }
  #owner(slot: number, generation: number): Completed | undefined {
    return this.#generations[slot] === generation ? this.#owners[slot] : undefined;
  }
  /** The slot is for another operation from now on: what still comes for this one reaches nobody. */
  #release(slot: number): void {
    this.#owners[slot] = undefined;
    // 21 bits: user_data is a number of 53 bits with the slot's 32. At a million operations a second one slot comes round in 2 s.
    this.#generations[slot] = (this.#generations[slot]! % GENERATIONS) + 1;
    this.#free.push(slot);
    if (--this.#inFlight === 0) this.#watch.unref();
  }

  /** Places that are left in the submission queue. */
  get #space(): number {
    return this.#sqMask + 1 - ((this.#tail - Atomics.load(this.#words, this.#at.sqHead)) | 0);
  }

  /** A chain goes in as a whole: where a submission ends, the kernel ends a chain. */
  #enqueue(chain: readonly Operation[]): void {
    if (this.#backlog.length === 0 && this.#space < chain.length) this.#flush();
    if (this.#backlog.length > 0 || this.#space < chain.length) this.#backlog.push(chain);
    else for (const operation of chain) this.#write(operation);
    this.#later();
  }

  /** Sees to it that there is a turn soon. */
  #later(): void {
    this.#flushing ??= setImmediate(() => {
      this.#flushing = undefined;
      if (!this.#closed) this.#turn();
    });
  }

  #write({ opcode, sqe, ticket }: Operation): void {
    const { fd = 0, off = 0, addr = 0, len = 0, op_flags = 0, buf_index = 0, personality = 0 } = sqe;
    const { file_index = 0, addr3 = 0, flags = 0, ioprio = 0 } = sqe;
    const words = this.#sqes;
    const at = (this.#tail & this.#sqMask) * this.#sqeStride;
    words[at] = opcode | (flags << 8) | (ioprio << 16);
    words[at + 1] = fd;
    words[at + 2] = off;
    words[at + 3] = off < 0 ? -1 : off / HIGH;
    words[at + 4] = addr;
    words[at + 5] = addr / HIGH;
    words[at + 6] = len;
    words[at + 7] = op_flags;
    words[at + 8] = ticket.slot;
    words[at + 9] = ticket.generation;
    words[at + 10] = buf_index | (personality << 16);
    words[at + 11] = file_index;
    words[at + 12] = addr3;
    words[at + 13] = addr3 / HIGH;
    words.fill(0, at + 14, at + this.#sqeStride);
    this.#tail = (this.#tail + 1) | 0;
    this.#ready++;
  }

  /** Tells the kernel of what is in the queue, and puts in what waited for a place. */
  #flush(): void {
    for (;;) {
      while (this.#backlog.length > 0 && this.#backlog[0]!.length <= this.#space)
        for (const operation of this.#backlog.shift()!) this.#write(operation);
      if (this.#ready === 0) return;
      Atomics.store(this.#words, this.#at.sqTail, this.#tail);
      const n = this.#enter(this.#ready);
      if (n === undefined) return;
      this.#ready -= n;
      if (n === 0) return this.#later();
    }
  }

  /** How many were taken; undefined where the kernel has no room now, and it is tried again next turn. */
  #enter(submit: number): number | undefined {
    for (;;) {
      const n = this.#system.enter(this.fd, submit, 0, IORING_ENTER_GETEVENTS);
      if (n >= 0) return n;
      if (n === -EINTR.errno) continue;
      // EBUSY: completions must be taken out first. EAGAIN: no memory for requests just now.
      if (n !== -EBUSY.errno && n !== -EAGAIN.errno) throw new SystemError(-n, 'io_uring_enter');
      this.#later();
      return undefined;
    }
  }

  /** What is to be done when there are completions, or something to submit. */
  #turn(): void {
    try {
      this.#flush();
      this.#reap();
      this.#flush(); // what the completions' owners have submitted
      this.#endIfDone();
    } catch (error) {
      thrown(error);
    }
  }

  /** Handles all completions that are there, and those that the kernel holds back: for want of room, or until it is asked. */
  #reap(): void {
    do {
      let head = this.#words[this.#at.cqHead]!;
      while (head !== Atomics.load(this.#words, this.#at.cqTail)) {
        const at = this.#at.cqes + (head & this.#cqMask) * this.#cqeStride;
        const slot = this.#words[at]!;
        const generation = this.#words[at + 1]!;
        const res = this.#words[at + 2]!;
        const flags = this.#words[at + 3]!;
        head = (head + 1) | 0;
        Atomics.store(this.#words, this.#at.cqHead, head); // before the owner is called: it may submit
        this.#complete(slot, generation, res, flags);
      }
    } while (Atomics.load(this.#words, this.#at.sqFlags) & HELD && this.#enter(0) !== undefined);
  }

  #complete(slot: number, generation: number, res: number, flags: number): void {
    const owner = this.#owner(slot, generation);
    if (owner === undefined) return;
    if (!(flags & IORING_CQE_F_MORE)) this.#release(slot);
    try {
      owner(res, flags);
    } catch (error) {
      thrown(error);
    }
  }

  #endIfDone(): void {
    if (!this.#closing || this.#closed || this.#inFlight > 0) return;
    this.#closed = true;
    if (this.#flushing) clearImmediate(this.#flushing);
    this.#watch.close();
    this.#memory.free();
    this.#closing.resolve();
  }
}

/** For an error that nobody is there to catch: thrown in the watch's callback it would end the watch without a word. */
function thrown(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}

const GENERATIONS = 2 ** 21 - 1;
/** What stands in user_data: the slot in the lower half, the generation in the upper. */
const userData = ({ slot, generation }: Ticket): number => generation * HIGH + slot;
