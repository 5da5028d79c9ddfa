/**
 * A lock in a word of shared memory: 0 when it is free, else who holds it, with `CONTENDED` set when somebody may sleep
 * for it. The holder's release tells a sleeper only then, so that a lock nobody waits for costs two atomic steps and
 * no system call.
 *
 * INVARIANT: while a thread sleeps, the word has CONTENDED, or a thread that was woken is on its way to take it with
 * CONTENDED. That is why whoever has slept takes the lock as contended: it can't know whether it was the last sleeper.
 *
 * It is held for a few hundred nanoseconds. So a thread looks a few times more before it sleeps, and one that sleeps
 * for seconds while the holder stays the same concludes that the holder is no more (a thread can be terminated at any
 * point): it throws a LockError that names it. What the lock protects is then in an unknown state, so the error ends
 * the session whose handler it leaves (FatalError), and no other thread hangs for longer either. A process that was
 * stopped for that long wakes with every sleep over at once: patience is therefore counted in short sleeps, of which
 * a stop costs one.
 */
import { FatalError } from '../../protocol/thrown.ts';
import type { Cells } from './cells.ts';

const CONTENDED = 1 << 30;
const SLEEP = 100; // ms

/** A lock whose holder does not come back. */
export class LockError extends FatalError {
  override readonly name = 'LockError';
  /** The `threadId` of the holder; undefined where that is one of several. */
  readonly holder: number | undefined;
  constructor(holder: number | undefined, ms: number) {
    const who = holder === undefined ? 'a thread' : `thread ${holder}`;
    super(`${who} has held a lock in shared memory for ${ms / 1000} s: it has ended, or hangs`);
    this.holder = holder;
  }
}

/** Takes the lock in word `at`, waiting for it. LockError; an Error where the thread holds it already. */
export function acquire(cells: Cells, at: number): void {
  if (!cells.replace(at, 0, cells.me)) contend(cells, at);
}

/** Gives it back. */
export function release(cells: Cells, at: number): void {
  const was = cells.exchange(at, 0);
  if (was & CONTENDED) cells.notify(at, 1);
  if ((was & ~CONTENDED) !== cells.me) throw new Error(`thread ${cells.me - 1} released a lock that it did not hold`);
}

function contend(cells: Cells, at: number): void {
  const { me } = cells;
  for (let look = 0; look < cells.spins; look++) if (cells.load(at) === 0 && cells.replace(at, 0, me)) return;
  let slept = 0;
  let same = 0;
  for (;;) {
    const word = cells.load(at);
    if (word === 0) {
      if (cells.replace(at, 0, me | CONTENDED)) return;
      continue;
    }
    const holder = word & ~CONTENDED;
    if (holder === me) throw new Error(`thread ${me - 1} waits for a lock that it holds itself`);
    if (!(word & CONTENDED) && !cells.replace(at, word, holder | CONTENDED)) continue;
    slept = cells.wait(at, holder | CONTENDED, SLEEP) && holder === same ? slept + SLEEP : 0;
    same = holder;
    if (slept >= cells.patience) throw new LockError(holder - 1, slept);
  }
}

/** The thread that holds the lock now, as its `threadId`; undefined when it is free. */
export function holder(cells: Cells, at: number): number | undefined {
  const word = cells.load(at);
  return word === 0 ? undefined : (word & ~CONTENDED) - 1;
}
