/**
 * The threads that serve a mount together, as the mounting thread sees them: it starts them on the filesystem's module,
 * tells them what was agreed, hands on what only it can read, does for them what is done in one place, and sees to it that
 * the end of any of them is the end of all.
 *
 * A thread may sleep in the kernel. So what is posted to one is posted with a wake-up; and at exit, when Node would wait for
 * threads in system calls for ever, and a thread that is stopped with a watch open may take the process with it (koffi),
 * each is woken and given a moment to close what it has open.
 */
import type { Worker } from 'node:worker_threads';
import { atExit } from '../abi/exit.ts';
import { forThreads, startWorker } from '../abi/worker.ts';
import type { MountOptions } from '../options.ts';
import type { Connection } from '../protocol/connection.ts';
import type { Filesystem, Promised } from '../protocol/filesystem.ts';
import type { InFlight, SessionOptions } from '../protocol/session.ts';
import { Wake, wake } from '../uring/wake.ts';
import { type FromWorker, type Kind, RUNNING, STATE, type Start, type ToWorker } from './messages.ts';

/** How long the process waits at exit for a thread that does not answer, in ms. */
const PATIENCE = 1000;
/** How often a thread that is to end is asked for a sign of life, in ms, and after how many without one it is left behind. */
const ASKED = 1000;
const SILENT = 10;

export interface WorkersOptions {
  readonly module: URL;
  readonly count: number;
  readonly shared: unknown;
  /** What is to be done on the mounting thread while the connection stands; what it returns ends that. */
  readonly attend: Workers['attend'];
  /** What `mount` was told for the filesystem. */
  readonly filesystem: unknown;
  readonly mount: MountOptions;
  readonly session: SessionOptions;
}

/** Takes what the threads say, but for answers. */
export type Told = (message: FromWorker, index: number) => void;

class Thread {
  readonly index: number;
  readonly waker = new Wake();
  readonly words = new Int32Array(new SharedArrayBuffer(4));
  readonly worker: Worker;
  ended = false;
  destroyed = false;
  /** How often it was asked and has said nothing since. */
  silent = 0;
  /** Nobody waits for its end any more. */
  left = false;
  /** Who waits for an answer of its. */
  readonly waiting = new Map<
    FromWorker['kind'],
    { resolve: (message: FromWorker) => void; reject: (error: unknown) => void }
  >();

  constructor(
    start: Omit<Start, 'wake' | 'words'>,
    told: (message: FromWorker) => void,
    ended: (error: Error) => void,
  ) {
    this.index = start.index;
    const workerData: Start = { ...start, wake: this.waker.handle, words: this.words };
    this.worker = startWorker(import.meta.url, './serve-thread', { workerData, name: `rawfuse ${start.index}` });
    let failed: unknown;
    this.worker.on('message', (message: FromWorker) => {
      this.silent = 0;
      const waiting = this.waiting.get(message.kind);
      this.waiting.delete(message.kind);
      if (waiting) waiting.resolve(message);
      else told(message);
    });
    this.worker.on('error', (error) => {
      failed = error;
    });
    this.worker.on('exit', (code) => {
      this.ended = true;
      this.waker.close();
      const why = failed === undefined ? `it ended with status ${code}` : `${(failed as Error)?.message ?? failed}`;
      const error = new Error(`thread ${this.index} of the mount failed: ${why}`, { cause: failed });
      for (const { reject } of this.waiting.values()) reject(error);
      ended(error);
    });
  }

  post(message: ToWorker): void {
    if (this.ended) return;
    this.worker.postMessage(message);
    wake(this.waker.handle);
  }

  /** What it says of its filesystem. Where it has none its end follows at once: why not must be known before that is heard of. */
  made(): Promise<Kind<FromWorker, 'made'>> {
    const made = this.answer('made');
    const { reject } = this.waiting.get('made')!;
    this.waiting.set('not made', {
      resolve: (message) => reject((message as Kind<FromWorker, 'not made'>).error),
      reject,
    });
    return made;
  }

  /** Its next message of this kind. */
  answer<K extends FromWorker['kind']>(kind: K): Promise<Kind<FromWorker, K>> {
    return new Promise((resolve, reject) => {
      this.waiting.set(kind, { resolve: resolve as (message: FromWorker) => void, reject });
    });
  }
}

export class Workers {
  readonly #threads: Thread[] = [];
  readonly #counts: Float64Array[] = [];
  #asked = 0;
  readonly #asking = new Map<string, (requests: readonly InFlight[]) => void>();
  #ending = false;
  #looking: NodeJS.Timeout | undefined;
  /** Which threads hang, where any was left behind at the end. */
  hanging: Error | undefined;
  readonly #forget: () => void;
  /** Where messages go; before somebody is there they are kept. */
  onTold: Told | undefined;
  /** Called when a thread has ended that was not to. */
  onFailed: ((error: Error) => void) | undefined;
  #shape: Filesystem = {};
  #failed: Error | undefined;
  #resolveDestroyed!: () => void;
  #resolveGone!: () => void;
  /** Resolves when the filesystem of each thread is destroyed. */
  readonly destroyed: Promise<void>;
  /** Resolves when all threads have ended, but for those that are left behind. */
  readonly gone: Promise<void>;

  /** @see WorkersOptions */
  readonly attend: ((connection: Connection) => (() => void) | undefined) | undefined;

  private constructor(attend: Workers['attend']) {
    this.attend = attend;
    this.#forget = atExit(() => this.#leave());
    this.destroyed = new Promise((resolve) => {
      this.#resolveDestroyed = resolve;
    });
    this.gone = new Promise((resolve) => {
      this.#resolveGone = resolve;
    });
  }

  /** Starts them, the first one first: what it can't the others can't. Rejects with what a factory has thrown. */
  static async start(options: WorkersOptions): Promise<Workers> {
    const workers = new Workers(options.attend);
    try {
      const { handlers, promises } = await workers.#make(0, options);
      workers.#shape = shapeOf(handlers, promises as Promised[]);
      await Promise.all(Array.from({ length: options.count - 1 }, (_, i) => workers.#make(i + 1, options)));
      return workers;
    } catch (error) {
      workers.end();
      await workers.gone;
      throw error;
    }
  }

  async #make(index: number, { module, count, shared, filesystem, mount, session }: WorkersOptions) {
    const counts = new Float64Array(new SharedArrayBuffer(8));
    const { onError, onWarning, trace, ...plain } = session;
    const start = {
      index,
      count,
      module: forThreads(module).href,
      shared,
      options: filesystem,
      mount,
      session: plain,
      counts,
    };
    const thread = new Thread(
      { ...start, traced: trace !== undefined },
      (message) => this.#hear(message, index),
      (error) => this.#over(thread, error),
    );
    this.#threads.push(thread);
    this.#counts.push(counts);
    return thread.made().finally(() => thread.waiting.clear());
  }

  get count(): number {
    return this.#threads.length;
  }
  /** What all of them serve, for negotiation: handlers that are there and never called. */
  get shape(): Filesystem {
    return this.#shape;
  }
  /** How many requests each has served. */
  get served(): readonly number[] {
    return this.#counts.map(([count]) => count!);
  }

  /** What each has in flight. */
  async inFlight(): Promise<InFlight[]> {
    const id = this.#asked++;
    const all = await Promise.all(
      this.#threads.map(
        (thread) =>
          new Promise<readonly InFlight[]>((resolve) => {
            if (thread.ended) return resolve([]);
            this.#asking.set(`${thread.index} ${id}`, resolve);
            thread.post({ kind: 'in flight', id });
          }),
      ),
    );
    return all.flat();
  }

  #hear(message: FromWorker, index: number): void {
    if (message.kind === 'in flight') {
      const key = `${index} ${message.id}`;
      this.#asking.get(key)?.(message.requests);
      this.#asking.delete(key);
    } else if (message.kind === 'destroyed') this.#destroyed(this.#threads[index]!);
    else this.onTold?.(message, index);
  }

  post(message: ToWorker, index?: number): void {
    for (const thread of this.#threads) if (index === undefined || thread.index === index) thread.post(message);
  }

  /** Posts to each something of its own. */
  each(message: () => ToWorker): void {
    for (const thread of this.#threads) thread.post(message());
  }

  /** Posts to all but one. */
  others(message: ToWorker, index: number): void {
    for (const thread of this.#threads) if (thread.index !== index) thread.post(message);
  }

  /** Asks each for something, and what all have answered. */
  ask<K extends FromWorker['kind']>(kind: K, question: (index: number) => ToWorker): Promise<Kind<FromWorker, K>[]> {
    return Promise.all(
      this.#threads.map((thread) => {
        if (this.#failed) throw this.#failed;
        const answer = thread.answer(kind);
        thread.post(question(thread.index));
        return answer;
      }),
    );
  }

  #destroyed(thread: Thread): void {
    thread.destroyed = true;
    if (this.#threads.every((each) => each.destroyed)) this.#resolveDestroyed();
  }

  #over(thread: Thread, error: Error): void {
    this.#without(thread);
    if (!this.#ending) {
      this.#failed ??= error;
      this.onFailed?.(error);
    }
    this.#goneIfAll();
  }

  /** Nothing is to come from the thread any more. */
  #without(thread: Thread): void {
    this.#destroyed(thread);
    for (const [key, resolve] of this.#asking) if (key.startsWith(`${thread.index} `)) resolve([]);
  }

  #goneIfAll(): void {
    if (!this.#ending || !this.#threads.every(({ ended, left }) => ended || left)) return;
    clearInterval(this.#looking);
    if (this.hanging === undefined) this.#forget();
    this.#resolveGone();
  }

  /** The connection is over, or there will be none: each ends. */
  end(): void {
    if (this.#ending) return;
    this.#ending = true;
    this.post({ kind: 'end' });
    this.#looking = setInterval(() => this.#look(), ASKED);
    this.#goneIfAll();
  }

  /**
   * Whether those that are to end still live. One whose filesystem takes its time to be destroyed answers, if not at once; one
   * that is in a loop, or in a system call, does not, and might be waited for as long as the process lives. It can't be stopped either: with a watch on
   * a descriptor that has something to tell it would take the process with it (koffi). So it stays, and ends with the process, or by itself.
   */
  #look(): void {
    for (const thread of this.#threads) {
      if (thread.ended || thread.left) continue;
      if (++thread.silent <= SILENT) {
        thread.post({ kind: 'in flight', id: -1 }); // what it says does not matter
        continue;
      }
      thread.left = true;
      thread.worker.unref();
      const also = this.hanging === undefined ? '' : `${this.hanging.message}; `;
      this.hanging = new Error(
        `${also}thread ${thread.index} of the mount hangs: it has not come to its event loop for ${(SILENT * ASKED) / 1000} s`,
      );
      this.#without(thread);
    }
    this.#goneIfAll();
  }

  /** The process exits: all are told, then each is waited for. */
  #leave(): void {
    this.#ending = true;
    for (const thread of this.#threads) {
      thread.post({ kind: 'leave' });
      thread.waker.end();
    }
    const end = performance.now() + PATIENCE;
    for (const { words, ended } of this.#threads)
      while (!ended && Atomics.load(words, STATE) === RUNNING) {
        const left = end - performance.now();
        if (left <= 0) return;
        Atomics.wait(words, STATE, RUNNING, left);
      }
  }
}

/** A filesystem that has these handlers, none of which is ever called: what requests need stays with the threads. */
function shapeOf(handlers: readonly string[], promises: readonly Promised[]): Filesystem {
  const absent = () => {
    throw new Error('a request came to the thread that does not serve');
  };
  const own = handlers.filter((name) => !['init', 'destroy', 'forget', 'constructor'].includes(name));
  return { ...Object.fromEntries(own.map((name) => [name, absent])), promises };
}
