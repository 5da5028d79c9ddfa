/**
 * So many at once and no more: what comes beyond waits for its turn, in the order in which it came. A place that is
 * given back goes to whoever has waited longest, so nobody overtakes, and nobody who gave up is in the way.
 */
export class Limit<W> {
  readonly most: number;
  readonly #begin: (waiter: W) => void;
  readonly #waiting = new Set<W>();
  #used = 0;
  #serving = false;

  /** `begin` gets who has waited, once there is a place for it. */
  constructor(name: string, most: number, begin: (waiter: W) => void) {
    if (!Number.isInteger(most) || most < 1)
      throw new RangeError(`${name} is ${most}: a whole number from 1 is needed`);
    this.most = most;
    this.#begin = begin;
  }

  /** Places that are taken. */
  get used(): number {
    return this.#used;
  }
  /** Those who wait for one. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Takes a place: false where there is none, or others have waited for it already. */
  take(): boolean {
    if (this.#used >= this.most || this.#waiting.size > 0) return false;
    this.#used++;
    return true;
  }
  /** Waits for a place; then `begin`. */
  wait(waiter: W): void {
    this.#waiting.add(waiter);
  }
  /** No longer waits: false where it had its turn already. */
  forget(waiter: W): boolean {
    return this.#waiting.delete(waiter);
  }

  /** Gives a place back. */
  give(): void {
    this.#used--;
    if (this.#waiting.size === 0 || this.#serving) return;
    // One that begins may fail and give its place back at once: a loop here instead of a recursion.
    this.#serving = true;
    for (const waiter of this.#waiting) {
      if (this.#used >= this.most) break;
      this.#waiting.delete(waiter);
      this.#used++;
      this.#begin(waiter);
    }
    this.#serving = false;
  }
}
