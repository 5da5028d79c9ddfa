/**
 * The two queues of an io_uring, in memory that we share with the kernel: places for what is to be done, and what has
 * been done. All barriers are here, and nothing of what the entries mean.
 *
 * Of the submission queue we own the tail and the kernel the head, of the completion queue the other way round; each
 * side publishes its index with a store that nothing before it may pass, and reads the other's so that nothing after
 * it may come before (Atomics are stronger than needed and cost 15 ns). Indexes count up through all 32 bits and wrap;
 * only their difference means anything.
 *
 * Several subsystems may use one ring: what a completion is for stands in its user_data, the subsystem in the upper 8
 * bits of the lower word, a slot of the subsystem's below them, and in the upper word how often that slot has been used.
 * So a completion that comes late, for an operation that its owner has given up, reaches nobody. 53 bits in all: the
 * whole is a number, which is what IORING_OP_ASYNC_CANCEL takes.
 * @see io_uring(7), io_uring_enter(2)
 */
import { EAGAIN, EBUSY, EINTR, SystemError } from '../abi/errno.ts';
import { ioUringEnter } from '../abi/syscall.ts';
import {
  IORING_CQ_EVENTFD_DISABLED,
  IORING_CQE_F_32,
  IORING_CQE_F_SKIP,
  IORING_ENTER_GETEVENTS,
  IORING_ENTER_SQ_WAKEUP,
  IORING_OP,
  IORING_SQ_CQ_OVERFLOW,
  IORING_SQ_NEED_WAKEUP,
  IORING_SQ_TASKRUN,
  IOSQE_CQE_SKIP_SUCCESS,
} from '../abi/uring-constants.ts';
import type { SmallSqe, Sqe } from './engine.ts';
import { type RingMemory, type RingOptions, setUp } from './setup.ts';
import { SLOTS } from './slots.ts';

/** Whose a completion is. */
export const SUBSYSTEM = { nobody: 0, operation: 1, wake: 2, fuse: 3 } as const;
export type Subsystem = (typeof SUBSYSTEM)[keyof typeof SUBSYSTEM];

export const subsystemOf = (low: number): number => low >>> 24;
export const slotOf = (low: number): number => low & (SLOTS - 1);
/** The lower word of user_data. */
export const lowWord = (subsystem: Subsystem, slot: number): number => (subsystem << 24) | slot;
/** user_data as a number, for an sqe that names another. */
export const userData = (low: number, high: number): number => high * HIGH + (low >>> 0);
const HIGH = 0x1_0000_0000;

/** What a ring needs of the system: replaced by tests that play the kernel. */
export interface RingSystem {
  setUp(options: RingOptions): RingMemory;
  enter(fd: number, submit: number, complete: number, flags: number): number;
}
const linux: RingSystem = { setUp, enter: ioUringEnter };

/** Takes completions. `low` and `high` are the words of user_data. Must not throw. */
export type Reaped = (low: number, high: number, res: number, flags: number) => void;

/** 32-bit words in an sqe of 64 bytes, and in a cqe of 16. */
export const SQE_WORDS = 16;
export const CQE_WORDS = 4;
/** Where the command of IORING_OP_URING_CMD begins: at `addr3`, and through the second half. */
const CMD_AT = 48;
/** What has an sqe of 128 bytes in a ring whose others have 64. */
const LARGE: ReadonlySet<number> = new Set([IORING_OP.NOP128, IORING_OP.URING_CMD128]);
/** The kernel has more than the completion queue shows: for want of room, or until it is asked. */
const HELD = IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN;

/** Writes the 64 bytes of an sqe. */
export function writeSqe(words: Int32Array, at: number, opcode: number, sqe: Sqe, low: number, high: number): void {
  const { fd = 0, off = 0, addr = 0, len = 0, op_flags = 0, buf_index = 0, personality = 0 } = sqe;
  const { file_index = 0, addr3 = 0, flags = 0, ioprio = 0 } = sqe;
  words[at] = opcode | (flags << 8) | (ioprio << 16);
  words[at + 1] = fd;
  words[at + 2] = off;
  words[at + 3] = off < 0 ? -1 : off / HIGH;
  words[at + 4] = addr;
  words[at + 5] = addr < 0 ? -1 : addr / HIGH; // splice_off_in
  words[at + 6] = len;
  words[at + 7] = op_flags;
  words[at + 8] = low;
  words[at + 9] = high;
  words[at + 10] = buf_index | (personality << 16);
  words[at + 11] = file_index;
  words[at + 12] = addr3;
  words[at + 13] = addr3 / HIGH;
  words[at + 14] = 0;
  words[at + 15] = 0;
}

/** The same, read. */
export function readSqe(
  words: Int32Array,
  at: number,
): { opcode: number; sqe: Required<SmallSqe>; low: number; high: number } {
  const first = words[at]!;
  const wide = (i: number) => words[at + i + 1]! * HIGH + (words[at + i]! >>> 0);
  const tenth = words[at + 10]!;
  const sqe = {
    ...{ flags: (first >>> 8) & 0xff, ioprio: first >>> 16, fd: words[at + 1]!, off: wide(2), addr: wide(4) },
    ...{ len: words[at + 6]! >>> 0, op_flags: words[at + 7]!, buf_index: tenth & 0xffff, personality: tenth >>> 16 },
    ...{ file_index: words[at + 11]!, addr3: wide(12) },
  };
  return { opcode: first & 0xff, sqe, low: words[at + 8]!, high: words[at + 9]! };
}

export class Queues {
  readonly memory: RingMemory;
  /** Places in the submission queue. */
  readonly entries: number;
  /** The SQEs. A place begins at the word that `place` returns. */
  readonly sqes: Int32Array<ArrayBuffer>;
  /** Words in an sqe. */
  readonly stride: number;
  /** Places that the kernel has not been told of yet. */
  ready = 0;
  /** The second half of a completion of 32 bytes, for as long as it is being told. */
  readonly extra = new Int32Array(CQE_WORDS);
  readonly #system: RingSystem;
  readonly #words: Int32Array<ArrayBuffer>;
  readonly #sqHead: number;
  readonly #sqTail: number;
  readonly #sqFlags: number;
  readonly #cqHead: number;
  readonly #cqTail: number;
  readonly #cqFlags: number;
  readonly #cqes: number;
  readonly #sqMask: number;
  readonly #cqMask: number;
  readonly #cqeStride: number;
  /** Large entries take two places (Linux 6.18 for completions, 6.19 for submissions). */
  readonly #mixed: { readonly sqe: boolean; readonly cqe: boolean };
  /** A thread of the kernel's takes what is published. */
  readonly #polled: boolean;
  /** Our tail, ahead of the one that is published by `ready`. */
  #tail: number;
  /** The kernel's head as it was seen last: it may have moved on. */
  #seen: number;
  /** Our head, ahead of the one that is published while completions are told. */
  #head: number;

  /** UringError where there is no ring to be had. */
  constructor(options: RingOptions, system: RingSystem = linux) {
    this.#system = system;
    this.memory = system.setUp(options);
    const { params, words, tier } = this.memory;
    const { sq_off, cq_off } = params;
    this.#words = words;
    this.#polled = tier === 'sqpoll';
    this.sqes = new Int32Array(this.memory.sqes);
    this.#sqHead = sq_off.head >> 2;
    this.#sqTail = sq_off.tail >> 2;
    this.#sqFlags = sq_off.flags >> 2;
    this.#cqHead = cq_off.head >> 2;
    this.#cqTail = cq_off.tail >> 2;
    this.#cqFlags = cq_off.flags >> 2;
    this.#cqes = cq_off.cqes >> 2;
    this.#sqMask = words[sq_off.ring_mask >> 2]!;
    this.#cqMask = words[cq_off.ring_mask >> 2]!;
    this.stride = options.sqe128 === true ? 2 * SQE_WORDS : SQE_WORDS;
    this.#cqeStride = options.cqe32 === true ? 2 * CQE_WORDS : CQE_WORDS;
    this.#mixed = { sqe: options.sqe128 === 'mixed', cqe: options.cqe32 === 'mixed' };
    this.entries = this.#sqMask + 1;
    // The queue holds numbers of SQEs. Ours are used in their order, so each place holds its own.
    for (let i = 0; i < this.entries; i++) words[(sq_off.array >> 2) + i] = i;
    this.#tail = words[this.#sqTail]!;
    this.#seen = words[this.#sqHead]!;
    this.#head = words[this.#cqHead]!;
  }

  /** Places that are left in the submission queue. */
  get space(): number {
    return this.entries - ((this.#tail - Atomics.load(this.#words, this.#sqHead)) | 0);
  }

  /** Whether no place is left. Where there is one by what was seen last nothing is read that the kernel writes to. */
  get full(): boolean {
    if (((this.#tail - this.#seen) | 0) < this.entries) return false;
    this.#seen = Atomics.load(this.#words, this.#sqHead);
    return ((this.#tail - this.#seen) | 0) >= this.entries;
  }

  /** Places that an operation may need: a large one among small ones takes two, which must not be torn by the queue's end. */
  needs(opcode: number): number {
    return this.#mixed.sqe && LARGE.has(opcode) ? 3 : 1;
  }

  /** Takes the next place: the word in `sqes` where it begins, with whatever was there. There must be `space`. */
  place(): number {
    const at = (this.#tail & this.#sqMask) * this.stride;
    this.#tail = (this.#tail + 1) | 0;
    this.ready++;
    return at;
  }

  /** Puts an operation into the next place. There must be `space` for what it `needs`. */
  put(opcode: number, sqe: Sqe, low: number, high: number): void {
    const large = this.#mixed.sqe && LARGE.has(opcode);
    if (large && (this.#tail & this.#sqMask) === this.#sqMask)
      writeSqe(
        this.sqes,
        this.place(),
        IORING_OP.NOP,
        { flags: IOSQE_CQE_SKIP_SUCCESS },
        lowWord(SUBSYSTEM.nobody, 0),
        0,
      );
    const at = this.place();
    writeSqe(this.sqes, at, opcode, sqe, low, high);
    if (large) this.place();
    if (large || this.stride > SQE_WORDS) this.sqes.fill(0, at + SQE_WORDS, at + 2 * SQE_WORDS);
    if (sqe.cmd !== undefined) this.#putCommand(at, sqe.cmd, large || this.stride > SQE_WORDS);
  }

  #putCommand(at: number, cmd: Uint8Array, wide: boolean): void {
    if (!wide || cmd.length > 80) throw new RangeError(`there is no room for a command of ${cmd.length} bytes`);
    new Uint8Array(this.sqes.buffer).set(cmd, at * 4 + CMD_AT);
  }

  /**
   * Tells the kernel of what was placed, and waits until `complete` completions are there. False where it has no room
   * now (EBUSY: completions must be taken out first; EAGAIN: no memory for requests): the rest stays, for another time.
   */
  submit(complete = 0): boolean {
    Atomics.store(this.#words, this.#sqTail, this.#tail);
    if (this.#polled) return this.#wakePoller(complete);
    const n = this.#enter(this.ready, complete, IORING_ENTER_GETEVENTS);
    if (n === undefined) return false;
    this.ready -= n;
    return this.ready === 0;
  }

  /** The kernel's thread sees what was published, unless it sleeps. */
  #wakePoller(complete: number): boolean {
    this.ready = 0;
    const asleep = Atomics.load(this.#words, this.#sqFlags) & IORING_SQ_NEED_WAKEUP;
    const flags = (asleep ? IORING_ENTER_SQ_WAKEUP : 0) | (complete > 0 ? IORING_ENTER_GETEVENTS : 0);
    if (flags !== 0) this.#enter(0, complete, flags);
    return true;
  }

  /** How many were taken; undefined where it can't be now. A wait that a signal interrupts ends as if it had waited for nothing. */
  #enter(submit: number, complete: number, flags: number): number | undefined {
    for (;;) {
      const n = this.#system.enter(this.memory.fd, submit, complete, flags);
      if (n >= 0) return n;
      if (n === -EINTR.errno) {
        if (complete > 0) return submit === 0 ? 0 : undefined;
        continue;
      }
      if (n !== -EBUSY.errno && n !== -EAGAIN.errno) throw new SystemError(-n, 'io_uring_enter');
      return undefined;
    }
  }

  /** Whether the kernel tells a registered eventfd of completions (Linux 5.8). */
  set telling(on: boolean) {
    if (this.#cqFlags > 0) Atomics.store(this.#words, this.#cqFlags, on ? 0 : IORING_CQ_EVENTFD_DISABLED);
  }

  /** Whether there are completions to take out, or the kernel has some that it would give if asked. */
  get pending(): boolean {
    return (
      this.#head !== Atomics.load(this.#words, this.#cqTail) || (Atomics.load(this.#words, this.#sqFlags) & HELD) !== 0
    );
  }

  /** Whether what was placed last has completed, and nothing after it. */
  get completedAtOnce(): boolean {
    const last = (Atomics.load(this.#words, this.#cqTail) - 1) & this.#cqMask;
    const completion = this.#cqes + last * this.#cqeStride;
    const placed = ((this.#tail - 1) & this.#sqMask) * this.stride;
    return this.#words[completion] === this.sqes[placed + 8] && this.#words[completion + 1] === this.sqes[placed + 9];
  }

  /**
   * Takes out all completions that are there, and those that the kernel holds back: how many they were. It is asked again
   * only as long as that brings some: TASKRUN may be set after the work was done, and then stays until there is new work.
   * @see io_uring/io_uring.c: io_req_normal_work_add
   */
  reap(reaped: Reaped): number {
    const words = this.#words;
    let count = 0;
    for (;;) {
      count += this.#takeOut(reaped);
      if (!(Atomics.load(words, this.#sqFlags) & HELD)) return count;
      if (this.#enter(0, 0, IORING_ENTER_GETEVENTS) === undefined) return count;
      if (this.#head === Atomics.load(words, this.#cqTail)) return count;
    }
  }

  #takeOut(reaped: Reaped): number {
    const words = this.#words;
    for (let count = 0; ; ) {
      const tail = Atomics.load(words, this.#cqTail);
      if (this.#head === tail) return count;
      // Who is told may submit, and reap.
      while (((tail - this.#head) | 0) > 0) {
        const head = this.#head;
        const at = this.#cqes + (head & this.#cqMask) * this.#cqeStride;
        const low = words[at]!;
        const high = words[at + 1]!;
        const res = words[at + 2]!;
        const flags = words[at + 3]!;
        const large = this.#cqeStride > CQE_WORDS || (flags & IORING_CQE_F_32) !== 0;
        if (large) for (let i = 0; i < CQE_WORDS; i++) this.extra[i] = words[at + CQE_WORDS + i]!;
        this.#head = (head + (large && this.#mixed.cqe ? 2 : 1)) | 0;
        if (this.#mixed.cqe && (flags & IORING_CQE_F_SKIP) !== 0) continue; // fills the end, before a large one
        count++;
        reaped(low, high, res, flags);
      }
      Atomics.store(words, this.#cqHead, this.#head);
    }
  }
}
