/**
 * Descriptors that an object owns for as long as it is there: closed when it is collected, as `Memory` is unmapped then. A
 * worker's heap goes without a word, and its objects' descriptors would stay: they are closed at its end.
 */
import { isMainThread } from 'node:worker_threads';
import { closeQuietly } from './files.ts';

type Held = readonly number[];

/** What this thread, a worker, holds. */
const held = new Set<Held>();
const dropped = new FinalizationRegistry<Held>(closeAll);

function closeAll(fds: Held): void {
  held.delete(fds);
  for (const fd of fds) closeQuietly(fd);
}

/** Leaves descriptors to an object. */
export function hold(owner: object, fds: Held): void {
  dropped.register(owner, fds);
  if (!isMainThread) held.add(fds);
}

/** Closes all that this thread, a worker, holds. Among the last things that it does. */
export function closeHeld(): void {
  for (const fds of held) closeAll(fds);
}
