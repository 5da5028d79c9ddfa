/**
 * How long a FUSE ring on an event loop goes on before the loop does: while requests come, but for no more than 128 of them,
 * and then for a little longer. Who made the last request may be about to make the next, and to sleep and to be woken
 * takes longer than that does.
 *
 * To look costs no system call: where the kernel has something for this thread, it says so in the ring's memory. The budget
 * halves when nothing came and is restored when something did, or after 32 wakes, so that idle and paced loads cost nothing.
 */
import type { Queues } from './queues.ts';

/** Requests served in one turn of the loop, as for the device. */
const TURN = 128;
/**
 * Looks after work: some 25 us, which a client needs to be woken and to ask again. With one client statfs comes to 0.3 of the
 * rate with 400 and 0.6 with 1000 (npm run bench -- transports); four find the server awake more often, too.
 */
const SPIN = 2000;
/** Wakes after which a spent budget is tried again. */
const RETRY = 32;

export class Lookout {
  #turn = 0;
  #spins = 0;
  #budget = SPIN;
  #wakes = 0;

  /** Whether there is to be another round in this turn, after `served` requests in this one. */
  again(round: number, served: number, queues: Pick<Queues, 'pending'>, waiting: boolean): boolean {
    if (round === 0) {
      this.#turn = 0;
      this.#spins = 0;
      if (this.#budget < SPIN && ++this.#wakes >= RETRY) {
        this.#wakes = 0;
        this.#budget = SPIN;
      }
    }
    if (served > 0) {
      if (this.#spins > 0) {
        this.#spins = 0;
        this.#budget = SPIN;
      }
      this.#turn += served;
      return this.#turn < TURN;
    }
    // A handler that waits needs the loop.
    if (this.#turn === 0 || waiting) return false;
    while (this.#spins < this.#budget) {
      this.#spins++;
      if (queues.pending) return true;
    }
    this.#budget >>= 1;
    return false;
  }
}
