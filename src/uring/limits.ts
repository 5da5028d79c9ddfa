/**
 * So many at once and no more: what comes beyond waits for its turn, in the order in which it came. A place that is
 * given back goes to whoever has waited longest, so nobody overtakes, and nobody who gave up is in the way.
 */
export interface Waiter<W> {
  /** Who waits before it, and after it: a list that goes through those who wait. */
  ahead: W | undefined;
  behind: W | undefined;
}

export class Limit<W extends Waiter<W>> {
  readonly most: number;
  readonly #begin: (waiter: W) => void;
  // Not a Set, which goes over all that were taken out of it when it is asked for its first.
  #first: W | undefined;
  #last: W | undefined;
  #waiting = 0;
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
    return this.#waiting;
  }

  /** Takes a place: false where there is none, or others have waited for it already. */
  take(): boolean {
    if (this.#used >= this.most || this.#waiting > 0) return false;
    this.#used++;
    return true;
  }
  /** Waits for a place; then `begin`. */
  wait(waiter: W): void {
    waiter.ahead = this.#last;
    if (this.#last !== undefined) this.#last.behind = waiter;
    else this.#first = waiter;
    this.#last = waiter;
    this.#waiting++;
  }
  /** No longer waits. */
  forget(waiter: W): void {
    const { ahead, behind } = waiter;
    if (ahead !== undefined) ahead.behind = behind;
    else this.#first = behind;
    if (behind !== undefined) behind.ahead = ahead;
    else this.#last = ahead;
    waiter.ahead = waiter.behind = undefined;
    this.#waiting--;
  }

  /** Gives a place back. */
  give(): void {
    this.#used--;
    if (this.#waiting === 0 || this.#serving) return;
    // One that begins may fail and give its place back at once: a loop here instead of a recursion.
    this.#serving = true;
    while (this.#first !== undefined && this.#used < this.most) {
      const waiter = this.#first;
      this.forget(waiter);
      this.#used++;
      this.#begin(waiter);
    }
    this.#serving = false;
  }
}
