/**
 * The threads that make system calls, and what wakes the submitter: started when they are needed, asleep when there is
 * nothing to do, and holding no process. @see pool-queue.ts
 */
import { isMainThread, type Worker } from 'node:worker_threads';
import { atExit } from '../abi/exit.ts';
import { addressOf, close, eventfd, read, type Watch, watch } from '../abi/syscall.ts';
import { startWorker } from '../abi/worker.ts';
import { PoolQueue } from './pool-queue.ts';

export interface PoolOwner {
  /** There are answers in the queue. Must not throw. */
  answered(): void;
  /** No thread could be started: what was put won't be taken. */
  lost(): void;
}

export class Pool {
  readonly queue: PoolQueue;
  readonly #most: number;
  readonly #owner: PoolOwner;
  readonly #eventfd = eventfd();
  readonly #count = Buffer.allocUnsafeSlow(8); // what the eventfd is read into
  readonly #countAt = addressOf(this.#count);
  readonly #watch: Watch;
  readonly #workers = new Set<Worker>();
  readonly #forget: () => void;
  #ended: (() => void) | undefined;

  constructor(most: number, owner: PoolOwner) {
    this.#most = most;
    this.#owner = owner;
    this.queue = new PoolQueue(this.#eventfd);
    this.#watch = watch(this.#eventfd, { readable: true }, () => {
      read(this.#eventfd, this.#countAt, 8);
      // Who is told may exit, which must not be in the watch's callback of a thread.
      if (isMainThread) owner.answered();
      else setImmediate(() => owner.answered());
    });
    this.#watch.unref();
    // A thread asleep is ended by Node, and no call that a thread is in waits for somebody else; it begins no other.
    this.#forget = atExit(() => {
      this.queue.end(true);
      if (!isMainThread) this.#watch.close();
    });
  }

  get threads(): number {
    return this.#workers.size;
  }

  /** Keeps the process alive, or lets it go. */
  hold(held: boolean): void {
    if (held) this.#watch.ref();
    else this.#watch.unref();
  }

  /** Sees to it that there is a thread for one of `calls`, which are with the pool: one more where all are busy. */
  grow(calls: number): void {
    if (calls <= this.#workers.size || this.#workers.size === this.#most) return;
    const workerData = { eventfd: this.#eventfd, memory: this.queue.memory };
    const worker = startWorker(import.meta.url, './threads-thread', { workerData });
    this.#workers.add(worker);
    worker.unref();
    worker.once('error', (error) => {
      process.emitWarning(`a thread for files has ended: ${(error as Error).message}`);
    });
    worker.once('exit', () => {
      this.#workers.delete(worker);
      if (this.#ended) this.#endIfDone();
      else if (this.#workers.size === 0) this.#owner.lost();
    });
  }

  /** Ends the threads, when nothing is left in the queue, and gives all back. */
  end(): Promise<void> {
    const promise = new Promise<void>((resolve) => {
      this.#ended = resolve;
    });
    this.queue.end();
    for (const worker of this.#workers) worker.ref();
    this.#endIfDone();
    return promise;
  }
  #endIfDone(): void {
    if (this.#workers.size > 0) return;
    this.#forget();
    this.#watch.close();
    close(this.#eventfd);
    this.#ended!();
  }
}
