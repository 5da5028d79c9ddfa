/**
 * The time of day in whole seconds and nanoseconds, for the times of files. Date.now() ends at milliseconds,
 * and a double holds the epoch in milliseconds to a quarter of a microsecond only: so the seconds and what is
 * below them are kept apart. Read without allocating: `tick()`, then the two members.
 */

/** How far, in ms, ours may run from the system's clock, which counts whole ms here, before it is set anew. */
const AHEAD = 1.5;
const BEHIND = 0.5;
/** Two readings no farther apart, in ms, are of one time. */
const AT_ONCE = 0.1;

class Clock {
  /** Since 1970, of the last tick. */
  seconds = 0;
  nanoseconds = 0;
  /** The time of day, in ms, when performance.now() was 0; its whole part and its fraction. */
  #whole = Math.floor(performance.timeOrigin);
  #fraction = performance.timeOrigin % 1;

  /** Reads the clock. It runs forward, but for when somebody sets the system's. */
  tick(): this {
    let elapsed = performance.now();
    let system = Date.now();
    if (this.#isOff(elapsed, system)) {
      // Or this thread was held up between the two readings.
      do {
        elapsed = performance.now();
        system = Date.now();
      } while (performance.now() - elapsed > AT_ONCE);
      if (this.#isOff(elapsed, system)) this.#set(system + 0.5 - elapsed);
    }
    const ms = this.#fraction + elapsed;
    const below = ms % 1;
    const total = this.#whole + (ms - below);
    this.seconds = Math.floor(total / 1000);
    this.nanoseconds = (total - this.seconds * 1000) * 1_000_000 + Math.floor(below * 1_000_000);
    return this;
  }

  #isOff(elapsed: number, system: number): boolean {
    const difference = this.#whole + this.#fraction + elapsed - system;
    return difference >= AHEAD || difference < -BEHIND;
  }
  #set(origin: number): void {
    this.#whole = Math.floor(origin);
    this.#fraction = origin % 1;
  }
}

export const clock = new Clock();
