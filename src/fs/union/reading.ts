/**
 * Directories of several branches that are opened, or opened and read, at once: `func.readdir=cosr` and `cor`. On disks that have to
 * spin up, or on the other side of a network, one after the other would take the sum of their times. Each branch is one task for
 * a thread of our own: libuv's pool of four is the whole program's, and a disk that hangs would take it away from all of it. So threads are started when
 * there is a task and none is idle, up to the number that was asked for, and stay until the union is closed.
 *
 * A thread that is in a call when the process exits holds the exit up until the disk has answered, as the thread that serves would. No
 * call of it waits for us.
 *
 * INVARIANT: a task has descriptors of its own. The branch's root may be closed meanwhile, since branches come and go, and its number be
 * another file's: so the task has a duplicate, which is closed when its answer has come, or when it is clear that none will. What it has
 * opened belongs to who asked, who gets it in any case.
 */
import { availableParallelism } from 'node:os';
import type { Worker } from 'node:worker_threads';
import { EIO, ENOTCONN, type Errno } from '../../abi/errno.ts';
import { closeQuietly, fcntlAt, getdents64 } from '../../abi/files.ts';
import { Memory } from '../../abi/memory.ts';
import { F_DUPFD_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../../abi/posix.ts';
import { startWorker } from '../../abi/worker.ts';
import { done } from '../passthrough/scratch.ts';
import type { Branch, Lower } from './lower.ts';
import type { Values } from './options.ts';

/** Opens a directory of a branch for reading: a descriptor, or an errno negated. */
export function openDirectory(lower: Lower, branch: Pick<Branch, 'fd'>, path: string): number {
  const at = lower.open(branch, path);
  if (at < 0) return at;
  const fd = lower.reopen(at, O_RDONLY | O_DIRECTORY);
  closeQuietly(at);
  return fd;
}
/** Calls what reads a directory; why it can't be read. */
export function failureOf(read: () => void): Errno | undefined {
  try {
    read();
    return undefined;
  } catch (error) {
    return error as Errno;
  }
}
/** The same of one that is then closed. */
export function closing(fd: number, read: () => void): Errno | undefined {
  try {
    return failureOf(read);
  } finally {
    closeQuietly(fd);
  }
}

/**
 * Bytes that a call of getdents64(2) gives at most: a large directory is read in few pieces. In pieces of 32 KiB, with merging in between, the
 * listing of 10,000 names takes 1.06 times the CPU time.
 */
const ROOM = 262_144;

/** Reads directories as the kernel tells them. */
export class Getdents {
  readonly #memory = new Memory(ROOM);
  readonly #bytes = Buffer.from(this.#memory.buffer);

  /** Calls with all that there is: records of linux_dirent64, so many bytes, good during the call. An Errno. */
  read(fd: number, take: (bytes: Buffer, length: number) => void): void {
    for (;;) {
      const length = done(getdents64(fd, this.#memory.address, ROOM));
      if (length === 0) return;
      take(this.#bytes, length);
    }
  }
}

/** What a thread is told: to open a directory of a branch, by a descriptor of its root, or to read it, too. */
export interface Task {
  readonly root: number;
  readonly path: string;
  readonly follow: Values['follow-symlinks'];
  readonly read: boolean;
}
/** A descriptor, or an errno negated; or what there is: records of linux_dirent64. */
export type Answer = number | Uint8Array;

/** How directories are read, of what `func.readdir` says: undefined is one after the other, on the thread that serves. */
export function readingWay(text: string): { readonly read: boolean; readonly threads: number } | undefined {
  const [way, count = '0'] = text.split(':');
  if (way === 'seq') return undefined;
  const [number, cpus] = [Number(count), availableParallelism()];
  const threads = number > 0 ? number : number < 0 ? Math.max(1, Math.floor(cpus / -number)) : cpus;
  return { read: way === 'cor', threads };
}

interface Waiting {
  readonly task: Task;
  readonly answered: (answer: Answer) => void;
}

export class Readers {
  readonly #idle: Worker[] = [];
  readonly #busy = new Map<Worker, (answer: Answer) => void>();
  readonly #waiting: Waiting[] = [];
  #most = 0;
  #closed = false;

  /** Has a directory of each of these branches opened, or read, by so many threads at most. An answer for each branch, when all are there. */
  ask(
    branches: readonly Branch[],
    { path, follow, read }: Omit<Task, 'root'>,
    threads: number,
  ): Promise<readonly Answer[]> {
    this.#most = threads;
    return Promise.all(
      branches.map(({ fd }) => {
        const root = fcntlAt(fd, F_DUPFD_CLOEXEC, 0);
        return root < 0 ? root : this.#put({ root, path, follow, read });
      }),
    );
  }
  #put(task: Task): Promise<Answer> {
    return new Promise((resolve) => {
      const answered = (answer: Answer) => {
        closeQuietly(task.root);
        resolve(answer);
      };
      this.#waiting.push({ task, answered });
      this.#next();
    });
  }
  /** Gives tasks that wait to threads that are idle, or are started, as long as not so many are at work as may be. */
  #next(): void {
    while (this.#waiting.length > 0 && this.#busy.size < this.#most) {
      const worker = this.#idle.pop() ?? this.#start();
      const { task, answered } = this.#waiting.shift()!;
      this.#busy.set(worker, answered);
      worker.postMessage(task);
    }
  }
  #start(): Worker {
    const worker = startWorker(import.meta.url, './reading-thread');
    worker.unref(); // who waits for an answer keeps the process, or does not
    worker.on('message', (answer: Answer) => {
      this.#answered(worker, answer);
      if (this.#closed) return worker.postMessage(undefined);
      this.#idle.push(worker);
      this.#next();
    });
    worker.once('error', (error) => {
      process.emitWarning(`a thread for directories has ended: ${(error as Error).message}`);
    });
    worker.once('exit', () => {
      if (this.#idle.includes(worker)) this.#idle.splice(this.#idle.indexOf(worker), 1);
      this.#answered(worker, -EIO.errno);
      this.#next();
    });
    return worker;
  }
  #answered(worker: Worker, answer: Answer): void {
    const answered = this.#busy.get(worker);
    this.#busy.delete(worker);
    answered?.(answer);
  }

  /** Ends the threads, those that have a task when they have done it. Tasks that wait are answered ENOTCONN. */
  close(): void {
    this.#closed = true;
    for (const { answered } of this.#waiting.splice(0)) answered(-ENOTCONN.errno);
    for (const worker of this.#idle.splice(0)) worker.postMessage(undefined);
  }
}
