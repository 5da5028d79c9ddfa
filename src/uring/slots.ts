/**
 * Who gets which completion: a slot for each operation in flight, and how often it has been used. What comes late for an
 * operation that has left its slot carries another number, and reaches nobody.
 */
import type { Ticket } from './engine.ts';

/** Slots that there can be, and uses of one before the numbers come round: at a million operations a second, 2 s for a single slot. */
export const SLOTS = 2 ** 24;
export const GENERATIONS = 2 ** 21;

/** `T` is what is kept of an operation: who gets its completion, or more. */
export class Slots<T> {
  /** Slots in use. */
  inFlight = 0;
  readonly #owners: (T | undefined)[] = [];
  readonly #generations: number[] = [];
  readonly #free: number[] = [];

  /** A slot for an operation. RangeError where there are as many as can be numbered. */
  take(owner: T): Ticket {
    const slot = this.#free.pop() ?? this.#owners.length;
    if (slot === SLOTS) throw new RangeError(`${SLOTS} operations are in flight: no more can be numbered`);
    this.#owners[slot] = owner;
    this.#generations[slot] ??= 1;
    this.inFlight++;
    return { slot, generation: this.#generations[slot]! };
  }

  /** What is kept of an operation; undefined where it is not in flight any more. */
  get({ slot, generation }: Ticket): T | undefined {
    return this.#generations[slot] === generation ? this.#owners[slot] : undefined;
  }

  /** Who is to be told of a completion; undefined where nobody is any more. With the last one the slot is free again. */
  completed(slot: number, generation: number, last: boolean): T | undefined {
    if (this.#generations[slot] !== generation) return undefined;
    const owner = this.#owners[slot];
    if (last && owner !== undefined) {
      this.#owners[slot] = undefined;
      this.#generations[slot] = (generation + 1) % GENERATIONS;
      this.#free.push(slot);
      this.inFlight--;
    }
    return owner;
  }

  /** Gives the completion to somebody else. */
  disown(ticket: Ticket, heir: T): void {
    if (this.get(ticket) !== undefined) this.#owners[ticket.slot] = heir;
  }

  /** All that are in flight. */
  *tickets(): Generator<Ticket> {
    for (const [slot, owner] of this.#owners.entries()) if (owner) yield { slot, generation: this.#generations[slot]! };
  }
}
