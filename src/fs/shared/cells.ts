/**
 * Shared memory as one thread sees it: words of 32 bits, all that the lock and the node table are made of. It is an
 * interface because what is written against it can be run in a memory that a test schedules, every step of every
 * thread in every order; at work it is `SharedCells`, which is Atomics over a SharedArrayBuffer.
 *
 * `get` and `set` are for what a lock protects, or what nobody else sees yet: 1 ns, where `load` costs 7 and an atomic
 * change 11 to 16. A word that one thread may read while another changes it is left to the others.
 *
 * The memory grows in place and moves nowhere: address space is reserved for the most it may become. A view of a fixed
 * length costs what one over a buffer of a fixed length does (one that follows the length: 14 ns a read), so
 * each thread keeps such a view, and takes a longer one when it is to touch a word beyond it (`reach`). Nobody has
 * to be told that the memory has grown, and a thread that waits, or is busy, holds nobody up.
 */
import { threadId } from 'node:worker_threads';
import { ENOMEM } from '../../abi/errno.ts';

export interface Cells {
  /** The thread in its locks: from 1. */
  readonly me: number;
  /**
   * How often a thread looks again for a lock before it sleeps: half a microsecond, where to sleep and be woken takes ten. On
   * two busy CPUs 0, 10, 40 and 200 can't be told apart; it is for machines where the holder runs meanwhile.
   */
  readonly spins: number;
  /** How long a thread waits for one that holds a lock and does nothing, in ms. @see LockError */
  readonly patience: number;
  get(at: number): number;
  set(at: number, value: number): void;
  load(at: number): number;
  store(at: number, value: number): void;
  add(at: number, value: number): number;
  exchange(at: number, value: number): number;
  /** Puts a value in the place of the expected one; whether that was there. */
  replace(at: number, expected: number, value: number): boolean;
  /** Sleeps as long as the value is there, until notified. Whether it has slept for so long that nobody notified it. */
  wait(at: number, value: number, ms: number): boolean;
  /** Wakes so many who sleep. */
  notify(at: number, count: number): void;
  /** The same memory as bytes, for structs. Good until the next call of `reach`. */
  readonly view: DataView;
  /** Whether there are so many words. To be asked before a word is touched that may be newer than the view. */
  reach(words: number): boolean;
  /** Sees to it that there are so many words; new ones are 0. ENOMEM. */
  grow(words: number): void;
}

/** What other threads get of a memory, as a message or in workerData. */
export interface CellsHandle {
  readonly buffer: SharedArrayBuffer;
}

/** Bytes that are added at least: a page's worth of nodes would be asked for too often. */
const LEAST = 65_536;
/** The largest shared memory there is. @see V8: JSArrayBuffer::kMaxByteLength, 4 GiB on Node 20. */
export const MOST = 2 ** 32;

/** A memory of so many words that can become `most`. Where so much address space is not to be had, of as many as are. */
export function reserve(words: number, most: number): CellsHandle {
  const bytes = Math.max(words * 4, 4);
  for (let maxByteLength = Math.max(bytes, Math.min(most * 4, MOST)); ; ) {
    try {
      return { buffer: new SharedArrayBuffer(bytes, { maxByteLength }) };
    } catch (error) {
      if (maxByteLength === bytes) throw error;
      maxByteLength = Math.max(bytes, Math.floor(maxByteLength / 8) * 4);
    }
  }
}

/** So many words of shared memory, all 0, of which none is touched yet: one of a fixed length would be filled with zeros, page by page. */
export const untouched = (words: number): SharedArrayBuffer => reserve(words, words).buffer;

export interface Waiting {
  /** @see Cells.spins */
  readonly spins?: number | undefined;
  /** @see Cells.patience */
  readonly patience?: number | undefined;
}

export class SharedCells implements Cells {
  readonly me = threadId + 1;
  readonly spins: number;
  readonly patience: number;
  readonly #buffer: SharedArrayBuffer;
  #words: Int32Array;
  #view: DataView | undefined;

  constructor({ buffer }: CellsHandle, { spins = 40, patience = 10_000 }: Waiting = {}) {
    this.spins = spins;
    this.patience = patience;
    this.#buffer = buffer;
    this.#words = new Int32Array(buffer, 0, buffer.byteLength >> 2);
  }

  get view(): DataView {
    this.#view ??= new DataView(this.#buffer, 0, this.#words.byteLength);
    return this.#view;
  }

  get(at: number): number {
    return this.#words[at]!;
  }
  set(at: number, value: number): void {
    this.#words[at] = value;
  }
  /** Makes so many words 0. */
  clear(at: number, words: number): void {
    this.#words.fill(0, at, at + words);
  }
  load(at: number): number {
    return Atomics.load(this.#words, at);
  }
  store(at: number, value: number): void {
    Atomics.store(this.#words, at, value);
  }
  add(at: number, value: number): number {
    return Atomics.add(this.#words, at, value);
  }
  exchange(at: number, value: number): number {
    return Atomics.exchange(this.#words, at, value);
  }
  replace(at: number, expected: number, value: number): boolean {
    return Atomics.compareExchange(this.#words, at, expected, value) === expected;
  }
  wait(at: number, value: number, ms: number): boolean {
    return Atomics.wait(this.#words, at, value, ms) === 'timed-out';
  }
  notify(at: number, count: number): void {
    Atomics.notify(this.#words, at, count);
  }

  reach(words: number): boolean {
    return words <= this.#words.length || this.#look(words);
  }
  #look(words: number): boolean {
    const { byteLength } = this.#buffer;
    if (words * 4 > byteLength) return false;
    this.#words = new Int32Array(this.#buffer, 0, byteLength >> 2);
    this.#view = undefined;
    return true;
  }

  /** By an eighth at least, so that a table of a million nodes has grown a hundred times, not fifteen thousand: 3 µs each. */
  grow(words: number): void {
    const { maxByteLength } = this.#buffer;
    if (words * 4 > maxByteLength) throw ENOMEM;
    while (!this.reach(words)) {
      const { byteLength } = this.#buffer;
      const more = Math.max(words * 4 - byteLength, byteLength / 8, LEAST);
      try {
        this.#buffer.grow(Math.min(maxByteLength, Math.ceil((byteLength + more) / LEAST) * LEAST));
      } catch {
        // Another thread has grown it meanwhile, maybe by less: the next look says. Or there is no memory.
        if (this.#buffer.byteLength === byteLength) throw ENOMEM;
      }
    }
  }
}
