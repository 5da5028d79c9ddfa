/**
 * What the threads of a pool are told and what they answer, in memory that they share: calls wait in one queue, from
 * which each thread takes the next when it is free, and their results in another. So nothing is posted: a thread that
 * finds no call sleeps until one is put, and of results the submitter is told once, by an eventfd, until it looks.
 *
 * A call lies in a place. Both queues hold numbers of places, and have room for all of them.
 */
import type { Sqe } from './engine.ts';
import { signal } from './wake.ts';

/** An sqe as a thread gets it, whole. What the call changes of it the submitter gets back. */
export interface Told {
  opcode: number;
  fd: number;
  off: number;
  addr: number;
  len: number;
  op_flags: number;
  buf_index: number;
  personality: number;
  file_index: number;
  addr3: number;
  flags: number;
  ioprio: number;
  /** Descriptors that are the operation's own, to be closed at its end: HELD_FD, HELD_FILE_INDEX. */
  held: number;
  /** Not 0: what it is about can't be polled, so that the call may as well wait. */
  insist: number;
}
export const HELD_FD = 1;
export const HELD_FILE_INDEX = 2;
/** 64-bit numbers of a place. */
const MEMBERS = 14;

/** Calls that can be with the threads at a time; a power of two. */
export const PLACES = 128;
const MASK = PLACES - 1;

/** States of a place: in the queue, with a thread, taken back by the submitter. */
const QUEUED = 1;
const RUNNING = 2;
const TAKEN_BACK = 3;

// 32-bit words
const HEAD = 0; // the queue's, which threads advance
const TAIL = 1; // the submitter's
const ANSWERED = 2; // the tail of the results, which threads advance
const ASLEEP = 3; // threads that sleep, or are about to
const NOTIFIED = 4; // not 0 when the submitter will look by itself
const OVER = 5;
const NEWS = 6; // counts what a sleeping thread may have missed
const QUEUE = 8;
const RESULTS = QUEUE + PLACES; // numbers of places, plus one: 0 is none yet
const STATES = RESULTS + PLACES;
const RES = STATES + PLACES;
const WORDS = RES + PLACES;

/** The queue is empty for good. */
const AFTER_THE_LAST = 1;
/** No call is begun any more. */
const AT_ONCE = 2;

export class PoolQueue {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #told: Float64Array;
  /** Becomes readable when there are results. */
  readonly #eventfd: number;
  #answersHead = 0;

  constructor(eventfd: number, memory = new SharedArrayBuffer(WORDS * 4 + PLACES * MEMBERS * 8)) {
    this.#eventfd = eventfd;
    this.memory = memory;
    this.#words = new Int32Array(memory, 0, WORDS);
    this.#told = new Float64Array(memory, WORDS * 4);
  }

  // The submitter's side.

  /** Puts a call into a free place, and the place into the queue. */
  put(place: number, opcode: number, sqe: Sqe, held: number, insist: boolean): void {
    const { fd = 0, off = 0, addr = 0, len = 0, op_flags = 0, buf_index = 0, personality = 0 } = sqe;
    const { file_index = 0, addr3 = 0, flags = 0, ioprio = 0 } = sqe;
    const words = this.#words;
    const told = this.#told;
    const at = place * MEMBERS;
    told[at] = opcode;
    told[at + 1] = fd | 0;
    told[at + 2] = off;
    told[at + 3] = addr;
    told[at + 4] = len >>> 0;
    told[at + 5] = op_flags | 0;
    told[at + 6] = buf_index;
    told[at + 7] = personality;
    told[at + 8] = file_index | 0;
    told[at + 9] = addr3;
    told[at + 10] = flags;
    told[at + 11] = ioprio;
    told[at + 12] = held;
    told[at + 13] = insist ? 1 : 0;
    Atomics.store(words, STATES + place, QUEUED);
    const tail = words[TAIL]!;
    words[QUEUE + (tail & MASK)] = place;
    Atomics.store(words, TAIL, (tail + 1) | 0);
    Atomics.add(words, NEWS, 1);
    if (Atomics.load(words, ASLEEP) > 0) Atomics.notify(words, NEWS, 1);
  }

  /** Takes a call back that no thread has begun. False where one has. Its place is answered for all the same. */
  takeBack(place: number): boolean {
    return Atomics.compareExchange(this.#words, STATES + place, QUEUED, TAKEN_BACK) === QUEUED;
  }

  /** Takes out the results that are there. What `answered` does not free with a new `put` is free. */
  answers(answered: (place: number, res: number) => void): void {
    const words = this.#words;
    Atomics.store(words, NOTIFIED, 0); // before looking: what comes after is told again
    for (;;) {
      const at = RESULTS + (this.#answersHead & MASK);
      const place = Atomics.exchange(words, at, 0) - 1;
      if (place < 0) return;
      this.#answersHead = (this.#answersHead + 1) | 0;
      answered(place, words[RES + place]!);
    }
  }

  /** What the call has changed in its place: descriptors that it made its own. */
  changed(place: number): { fd: number; file_index: number; held: number } {
    const at = place * MEMBERS;
    return { fd: this.#told[at + 1]!, file_index: this.#told[at + 8]!, held: this.#told[at + 12]! };
  }

  /** Forgets all that was put, and its results. There must be no threads. */
  clear(): void {
    const words = this.#words;
    Atomics.store(words, HEAD, words[TAIL]!);
    Atomics.store(words, ASLEEP, 0);
    words.fill(0, RESULTS, RESULTS + PLACES);
    this.#answersHead = words[ANSWERED]!;
  }

  /** Ends the threads: when nothing is left in the queue, or, at exit, as soon as they have done what they are at. */
  end(atOnce = false): void {
    Atomics.store(this.#words, OVER, atOnce ? AT_ONCE : AFTER_THE_LAST);
    if (atOnce) return; // Node ends those that sleep
    Atomics.add(this.#words, NEWS, 1);
    Atomics.notify(this.#words, NEWS);
  }

  // A thread's side.

  /** Takes the next call out, into `told`: its place; -1 when it is over. Sleeps until there is one. */
  take(told: Told): number {
    const words = this.#words;
    for (;;) {
      const news = Atomics.load(words, NEWS);
      const over = Atomics.load(words, OVER);
      if (over === AT_ONCE) return -1;
      const head = Atomics.load(words, HEAD);
      if (head === Atomics.load(words, TAIL)) {
        if (over !== 0) return -1;
        Atomics.add(words, ASLEEP, 1);
        Atomics.wait(words, NEWS, news);
        Atomics.sub(words, ASLEEP, 1);
        continue;
      }
      const place = Atomics.load(words, QUEUE + (head & MASK));
      if (Atomics.compareExchange(words, HEAD, head, (head + 1) | 0) !== head) continue;
      if (Atomics.compareExchange(words, STATES + place, QUEUED, RUNNING) !== QUEUED) {
        this.answer(place, 0); // nobody's any more
        continue;
      }
      this.#read(place, told);
      return place;
    }
  }

  #read(place: number, told: Told): void {
    const from = this.#told;
    const at = place * MEMBERS;
    told.opcode = from[at]!;
    told.fd = from[at + 1]!;
    told.off = from[at + 2]!;
    told.addr = from[at + 3]!;
    told.len = from[at + 4]!;
    told.op_flags = from[at + 5]!;
    told.buf_index = from[at + 6]!;
    told.personality = from[at + 7]!;
    told.file_index = from[at + 8]!;
    told.addr3 = from[at + 9]!;
    told.flags = from[at + 10]!;
    told.ioprio = from[at + 11]!;
    told.held = from[at + 12]!;
    told.insist = from[at + 13]!;
  }

  /** Tells of descriptors that the call made its own. Before `answer`. */
  change(place: number, { fd, file_index, held }: Told): void {
    const at = place * MEMBERS;
    this.#told[at + 1] = fd;
    this.#told[at + 8] = file_index;
    this.#told[at + 12] = held;
  }

  answer(place: number, res: number): void {
    const words = this.#words;
    words[RES + place] = res;
    const tail = Atomics.add(words, ANSWERED, 1);
    Atomics.store(words, RESULTS + (tail & MASK), place + 1);
    if (Atomics.exchange(words, NOTIFIED, 1) === 0) signal(this.#eventfd);
  }
}
