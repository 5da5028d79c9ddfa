/**
 * A lock in two words of shared memory that many may hold together, or one alone: the lock of lock.ts, and how many are in
 * together. Who comes to be in with others takes the lock for the moment in which it is counted; who is to be alone keeps it, so
 * that nobody else comes in, and waits for those who are in to leave. So it gets its turn, however many come.
 *
 * INVARIANT: nobody is counted in while the lock is held, but those who were when it was taken. Who leaves looks at the lock after it
 * has counted itself out, who waits looks at the count after it has the lock: one of them sees the other.
 *
 * Neither may be taken by a thread that has it.
 */
import type { Cells } from './cells.ts';
import { acquire, LockError, release } from './lock.ts';

/** Words of it. */
export const RWLOCK = 2;
const COUNT = 1;
const SLEEP = 100; // ms

/** Takes it together with others. LockError. */
export function acquireShared(cells: Cells, at: number): void {
  acquire(cells, at);
  cells.add(at + COUNT, 1);
  release(cells, at);
}
export function releaseShared(cells: Cells, at: number): void {
  const left = cells.add(at + COUNT, -1) - 1;
  if (left === 0 && cells.load(at) !== 0) cells.notify(at + COUNT, 1);
}

/** Takes it alone. LockError, and then it is free again. */
export function acquireAlone(cells: Cells, at: number): void {
  acquire(cells, at);
  for (let look = 0; look < cells.spins; look++) if (cells.load(at + COUNT) === 0) return;
  let slept = 0;
  let before = 0;
  for (;;) {
    const inside = cells.load(at + COUNT);
    if (inside === 0) return;
    slept = cells.wait(at + COUNT, inside, SLEEP) && inside === before ? slept + SLEEP : 0;
    before = inside;
    if (slept < cells.patience) continue;
    release(cells, at);
    throw new LockError(undefined, slept);
  }
}
export function releaseAlone(cells: Cells, at: number): void {
  release(cells, at);
}
