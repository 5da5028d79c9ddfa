/**
 * A bounded queue of operations from one thread to another, in memory that both see: one writes, one reads, so neither
 * locks, and a thread that is ended in the middle holds nobody up. An entry is the 16 words of an sqe, in which
 * user_data stands for the slot and generation that the writer has given it, and a word that says what to do.
 */
import { SQE_WORDS } from './queues.ts';

/** What an entry asks for. A chain is all its entries but the last as `linked`. */
export const ASK = { submit: 0, linked: 1, cancel: 2, close: 3 } as const;
export type Ask = (typeof ASK)[keyof typeof ASK];

/** Words of an entry: an sqe, and what to do. */
const ENTRY = SQE_WORDS + 1;
/** Where the indexes are, and that the writer waits for room. */
const HEAD = 0;
const TAIL = 1;
const FULL = 2;
const ENTRIES = 3;

export class SharedQueue {
  readonly memory: Int32Array;
  /** Entries that fit. */
  readonly capacity: number;
  /** The writer's tail, ahead of the one that is published. */
  #tail: number;

  /** `capacity` must be a power of two. */
  constructor(
    capacity: number,
    memory: Int32Array = new Int32Array(new SharedArrayBuffer(4 * (ENTRIES + capacity * ENTRY))),
  ) {
    this.capacity = capacity;
    this.memory = memory;
    this.#tail = Atomics.load(memory, TAIL);
  }

  /** Entries that fit now. */
  get space(): number {
    return this.capacity - ((this.#tail - Atomics.load(this.memory, HEAD)) | 0);
  }
  /** The writer's: where the next entry begins; `what` is said of it. There must be space. */
  place(what: Ask): number {
    const at = ENTRIES + (this.#tail & (this.capacity - 1)) * ENTRY;
    this.#tail = (this.#tail + 1) | 0;
    this.memory[at + SQE_WORDS] = what;
    return at;
  }
  /** The writer's: shows the reader what was placed. */
  publish(): void {
    Atomics.store(this.memory, TAIL, this.#tail);
  }
  /** The writer's: asks to be told of room. False where there is some by now. */
  awaitRoom(needed: number): boolean {
    Atomics.store(this.memory, FULL, 1);
    return this.space < needed;
  }

  /** The reader's: whether there is something. */
  get pending(): boolean {
    return this.memory[HEAD] !== Atomics.load(this.memory, TAIL);
  }
  /** The reader's: gives each entry to `taken`, as what is asked and where its words begin. */
  take(taken: (what: Ask, at: number) => void): void {
    const { memory } = this;
    const tail = Atomics.load(memory, TAIL);
    for (let head = memory[HEAD]!; head !== tail; ) {
      const at = ENTRIES + (head & (this.capacity - 1)) * ENTRY;
      taken(memory[at + SQE_WORDS] as Ask, at);
      head = (head + 1) | 0;
      Atomics.store(memory, HEAD, head);
    }
  }
  /** The reader's: whether the writer waits for room, and is to be told now. */
  takeRoomAwaited(): boolean {
    return Atomics.exchange(this.memory, FULL, 0) === 1;
  }
}
