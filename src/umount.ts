/**
 * umount2(2) on another thread: who serves a mount may have to answer what it waits for.
 *
 * That thread is kept for the next time. To start one takes 40 ms, and of each that has ended koffi keeps some megabytes of addresses in three
 * mappings, of which a process has 65,530 (vm.max_map_count). It keeps no process alive. While it waits in the kernel the next one
 * is unmounted by another, which is then one too many, and ends.
 */
import { once } from 'node:events';
import type { Worker } from 'node:worker_threads';
import { startWorker } from './abi/worker.ts';

/** What to unmount, and umount2's flags. */
export interface Unmounted {
  readonly target: string;
  readonly flags: number;
}

let idle: Worker | undefined;

/**
 * Unmounts what `find` says when a thread is there to do it, so that what it has seen stands still; undefined is for nothing.
 * Resolves to 0 or the errno.
 */
export async function umountElsewhere(find: () => Unmounted | undefined): Promise<number> {
  const kept = idle;
  idle = undefined;
  const worker = kept ?? start();
  worker.ref();
  const gone = ended(worker);
  try {
    if (kept === undefined) await Promise.race([once(worker, 'message'), gone.promise]); // it is ready
    const what = find();
    if (what === undefined) return 0;
    worker.postMessage(what);
    const [errno] = (await Promise.race([once(worker, 'message'), gone.promise])) as [number];
    return errno;
  } finally {
    gone.forget();
    rest(worker);
  }
}

function rest(worker: Worker): void {
  worker.unref();
  if (worker.threadId < 0) return; // it has ended
  if (idle !== undefined) return worker.postMessage(undefined);
  idle = worker;
}

function start(): Worker {
  const worker = startWorker(import.meta.url, './abi/umount-thread');
  worker.once('exit', () => {
    if (idle === worker) idle = undefined;
  });
  return worker;
}

/** Rejects when the thread ends, which it does not while it is asked for something. */
function ended(worker: Worker): { promise: Promise<never>; forget: () => void } {
  let onExit!: (code: number) => void;
  const promise = new Promise<never>((_, reject) => {
    onExit = (code) => reject(new Error(`the thread that unmounts ended with status ${code}`));
    worker.once('exit', onExit);
  });
  promise.catch(() => {}); // nobody may wait any more
  return { promise, forget: () => worker.off('exit', onExit) };
}
