/**
 * INTERRUPTs whose request has not come, for it may still come: with one thread the kernel sends both in order, but after a
 * RESEND, over a ring or to several threads the second may be seen first. Most of them, though, are for requests that have
 * been answered meanwhile; so only so many are kept, and none for long.
 */

/** How many are kept, and for how long (ms). */
const MOST = 128;
const KEPT = 10_000;
/** Looks in vain after which what is outdated goes also where no timer fires: on a thread that waits in the kernel. */
const LOOKS = 256;

export class EarlyInterrupts {
  /** When each came: the oldest first. */
  readonly #came = new Map<bigint, number>();
  #timer: NodeJS.Timeout | undefined;
  #looks = 0;

  get size(): number {
    return this.#came.size;
  }

  add(unique: bigint): void {
    this.#came.delete(unique);
    this.#came.set(unique, performance.now());
    if (this.#came.size > MOST) this.#came.delete(this.#came.keys().next().value!);
    if (this.#timer === undefined) this.#await(KEPT);
  }

  /** Whether there is one for this request, which is then taken out. */
  take(unique: bigint): boolean {
    if (this.#came.delete(unique)) return true;
    if (++this.#looks % LOOKS === 0) this.#sweep();
    return false;
  }

  /** Drops what is outdated; the time that is left for the oldest of the others. */
  #sweep(): number | undefined {
    const now = performance.now();
    for (const [unique, since] of this.#came) {
      if (now - since < KEPT) return Math.ceil(since + KEPT - now);
      this.#came.delete(unique);
    }
    return undefined;
  }

  #await(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const left = this.#sweep();
      if (left !== undefined) this.#await(left);
    }, ms).unref();
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#came.clear();
  }
}
