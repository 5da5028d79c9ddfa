/**
 * What of a union can be changed while it is served, as all its threads are to see it: options, branches, and how often what is known of
 * their space was to be forgotten. It stands in shared memory as text. A thread looks before an operation whether another has changed it, which is one
 * word, and then takes all of it over.
 */
import type { Cells } from '../shared/cells.ts';
import type { Heap } from '../shared/heap.ts';
import { acquire, release } from '../shared/lock.ts';
import type { Values } from './options.ts';

/** Words of it. */
export const STATE = 4;
const LOCK = 0;
const VERSION = 1;
const BLOCK = 2;
const LENGTH = 3;

export interface Kept {
  readonly values: Values;
  /** Which were set, by their own name. */
  readonly given: readonly string[];
  /** The configuration file that was read last. */
  readonly config: string;
  /** Paths of all branches that there ever were: a branch's number is its place here. */
  readonly known: readonly string[];
  /** How often what is known of the branches' space was forgotten. */
  readonly forgotten: number;
}

export class State {
  readonly #cells: Cells;
  readonly #heap: Heap;
  readonly #at: number;
  /** Of what was taken over last. */
  #version = 0;

  /** The one whose words begin at `at`. */
  constructor(cells: Cells, heap: Heap, at: number) {
    this.#cells = cells;
    this.#heap = heap;
    this.#at = at;
  }

  /** Takes over what has changed, if something has. */
  look(take: (kept: Kept) => void): void {
    if (this.#cells.load(this.#at + VERSION) === this.#version) return;
    this.#locked(() => this.#take(take));
  }
  /** Changes it: by `change`, which gives what it then is, from what it was. No thread changes it meanwhile, and none sees half of it. */
  update(take: (kept: Kept) => void, change: () => Kept): void {
    this.#locked(() => {
      this.#take(take);
      const bytes = Buffer.from(JSON.stringify(change()));
      const before = this.#cells.get(this.#at + BLOCK);
      const block = this.#heap.take(Math.ceil(bytes.length / 4));
      this.#heap.put(block, bytes);
      this.#cells.set(this.#at + BLOCK, block);
      this.#cells.set(this.#at + LENGTH, bytes.length);
      this.#version = this.#cells.add(this.#at + VERSION, 1) + 1;
      this.#heap.give(before);
    });
  }
  #take(take: (kept: Kept) => void): void {
    const version = this.#cells.load(this.#at + VERSION);
    if (version === this.#version) return;
    take(JSON.parse(this.#heap.copy(this.#cells.get(this.#at + BLOCK), this.#cells.get(this.#at + LENGTH)).toString()));
    this.#version = version;
  }
  #locked(call: () => void): void {
    acquire(this.#cells, this.#at + LOCK);
    try {
      call();
    } finally {
      release(this.#cells, this.#at + LOCK);
    }
  }
}
