/**
 * No exit in the middle of what must not be stopped. When a process exits, Node stops its other threads wherever they are.
 * koffi throws where it is stopped while it loads, while it declares a function and while it makes a view of memory; a thread
 * that is being stopped can't, which is fatal: the process ends with SIGABRT in place of its status. So a thread is
 * counted while it is in there, and an exit waits until nobody is, some milliseconds at most. Who comes later does not
 * get in. The calls of what is declared may be stopped.
 */
import { getEnvironmentData, isMainThread, setEnvironmentData } from 'node:worker_threads';

/** Under this name every thread finds the count: how many are in there; negative when the process exits. */
const KEY = 'rawfuse: threads not to be stopped';
const EXITING = 1 << 31;
/** How long an exit waits at most, in ms: koffi on a disk that hangs must not keep it for ever. */
const PATIENCE = 2_000;

const shared = () => getEnvironmentData(KEY) as unknown as Int32Array | undefined;

/** Threads that are started from here on are counted. */
export function countThreads(): void {
  if (shared() === undefined) setEnvironmentData(KEY, new Int32Array(new SharedArrayBuffer(4)) as never);
}

/** This thread is not to be stopped until it calls what is returned. Does not return in a process that exits already. */
export function enterCritical(): () => void {
  const count = isMainThread ? undefined : shared(); // nobody stops the main thread
  if (count === undefined) return nothing;
  let before = Atomics.load(count, 0);
  while (before < 0 || Atomics.compareExchange(count, 0, before, before + 1) !== before) {
    if (before < 0) Atomics.wait(count, 0, before); // until it is stopped
    before = Atomics.load(count, 0);
  }
  return () => {
    Atomics.sub(count, 0, 1);
    Atomics.notify(count, 0);
  };
}
const nothing = () => {};

/** This thread exits, and with it stop those that it has started: waits until none of them is in there. */
export function awaitCritical(): void {
  const count = shared();
  if (count === undefined) return;
  if (isMainThread) Atomics.or(count, 0, EXITING);
  for (const end = performance.now() + PATIENCE; performance.now() < end; ) {
    const now = Atomics.load(count, 0);
    if ((now & ~EXITING) === 0) return;
    Atomics.wait(count, 0, now, end - performance.now());
  }
}
