/**
 * A ring that one thread owns and others use. The owner does nothing else: it sleeps in io_uring_enter and is woken by
 * completions or by those who have something for it. Each user has a bounded queue to it in shared memory, in whose
 * order operations are submitted, and gets completions as messages, many in one; a message wakes an event loop without a
 * descriptor to watch. What has no place in the queue waits at the user's side.
 *
 * `SharedRing.start()` starts the owner. `connect()` makes a handle, to be posted to another thread or used on this one;
 * `new SharedEngine(handle)` is then an engine like any other. The owner ends when the last engine has been closed.
 *
 * Buffers lie in the memory of the thread that lent them. A worker closes its engine before it ends; where it ends by
 * itself without, its exit waits for what it has in flight. Of `terminate()` nobody is told: it must not be used on a
 * thread with operations in flight.
 */
import { isMainThread, MessageChannel, type MessagePort, receiveMessageOnPort, type Worker } from 'node:worker_threads';
import { ECANCELED } from '../abi/errno.ts';
import { atExit } from '../abi/exit.ts';
import { IORING_CQE_F_MORE, type UringOpcode } from '../abi/uring-constants.ts';
import { startWorker } from '../abi/worker.ts';
import { type Completed, type Engine, type Linked, opcodeNumber, type Sqe, type Ticket } from './engine.ts';
import { writeSqe } from './queues.ts';
import { type RingOptions, UringError } from './setup.ts';
import { ASK, type Ask, SharedQueue } from './shared-queue.ts';
import { Slots } from './slots.ts';
import { Wake, type WakeHandle, wake } from './wake.ts';

/** What a thread needs to use a shared ring. To be posted with `transfer: [handle.port]`. */
export interface SharedRingHandle {
  readonly port: MessagePort;
  readonly queue: Int32Array;
  readonly capacity: number;
  readonly owner: OwnerHandle;
}
/** What all who use a ring see of its owner. */
export interface OwnerHandle {
  readonly wake: WakeHandle;
  readonly state: Int32Array;
  /** Operations that can be linked. */
  readonly chain: number;
}
/** What the owner is started with, and what it says first. */
export interface OwnerData {
  readonly options: RingOptions;
  readonly wake: WakeHandle;
  readonly state: Int32Array;
}
export type OwnerReady =
  | { readonly chain: number }
  | { readonly reason: UringError['reason']; readonly message: string };
/** A new user, for the owner. */
export type NewUser = Pick<SharedRingHandle, 'port' | 'queue' | 'capacity'>;
/**
 * The words of `state`. Whether the owner sleeps, or is about to: who changes that to AWAKE has to wake it. And how many
 * handles have been made and not closed, or ENDED.
 */
export const SLEEP = 0;
export const AWAKE = 0;
export const ASLEEP = 1;
export const USERS = 1;
export const ENDED = -1;
/** Instead of a new user: none will come any more. */
export const NO_MORE = 'no more';
/** Words of a completion in a message: slot, generation, res, flags. A message without any says that there is room. */
export const COMPLETION = 4;

export interface SharedRingOptions extends RingOptions {
  /** Operations of one thread that are on their way to the owner at most; a power of two. Default 256. */
  readonly capacity?: number | undefined;
}

export class SharedRing implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #owner: OwnerHandle;
  readonly #capacity: number;
  /** Resolves when the owner has ended; rejects with what ended it, if it was an error. */
  readonly closed: Promise<void>;

  private constructor(worker: Worker, waker: Wake, owner: OwnerHandle, capacity: number) {
    this.#worker = worker;
    this.#owner = owner;
    this.#capacity = capacity;
    let failed: unknown;
    this.closed = new Promise((resolve, reject) => {
      worker.once('error', (error) => {
        failed = error;
      });
      worker.once('exit', () => {
        if (failed !== undefined) return reject(failed); // others may wake it still: the descriptor stays what it is
        waker.close();
        resolve();
      });
    });
    this.closed.catch(() => {}); // told to whoever asks; the engines' operations fail anyway
  }

  /** Starts the owner and its ring. UringError where there is none to be had, RangeError for options that can't be. */
  static async start({ capacity = 256, ...options }: SharedRingOptions = {}): Promise<SharedRing> {
    if (!Number.isInteger(Math.log2(capacity)) || capacity < 2 || capacity > 65_536)
      throw new RangeError(`capacity is ${capacity}: a power of two from 2 to 65536 is needed`);
    const waker = new Wake();
    const state = new Int32Array(new SharedArrayBuffer(8));
    const workerData: OwnerData = { options, wake: waker.handle, state };
    const worker = startWorker(import.meta.url, './shared-thread', { workerData });
    try {
      const ready = await new Promise<OwnerReady>((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
      });
      if ('reason' in ready) throw new UringError(ready.reason, ready.message);
      worker.unref(); // what is in flight keeps its own thread alive
      worker.removeAllListeners();
      return new SharedRing(worker, waker, { wake: waker.handle, state, chain: ready.chain }, capacity);
    } catch (error) {
      await worker.terminate(); // it waits for nothing yet
      waker.close();
      throw error;
    }
  }

  /** A handle for one thread. The owner lives until each has been used and closed. ECANCELED where it has ended. */
  connect(): SharedRingHandle {
    const { state } = this.#owner;
    for (let users = Atomics.load(state, USERS); ; ) {
      if (users === ENDED) throw ECANCELED;
      const now = Atomics.compareExchange(state, USERS, users, users + 1);
      if (now === users) break;
      users = now;
    }
    const { port1, port2 } = new MessageChannel();
    const { memory, capacity } = new SharedQueue(this.#capacity);
    const user: NewUser = { port: port2, queue: memory, capacity };
    this.#worker.postMessage(user, [port2]);
    wake(this.#owner.wake);
    return { port: port1, queue: memory, capacity, owner: this.#owner };
  }

  /** Says that no more threads will connect: the owner ends with the last engine, or now where there is none. */
  async close(): Promise<void> {
    if (Atomics.load(this.#owner.state, USERS) !== ENDED) {
      this.#worker.postMessage(NO_MORE);
      wake(this.#owner.wake);
    }
    await this.closed;
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Entries that wait for room, in one piece: an operation, a chain, a cancellation. */
type Entries = readonly { readonly what: Ask; readonly opcode: number; readonly sqe: Sqe; readonly ticket: Ticket }[];

export class SharedEngine implements Engine, AsyncDisposable {
  readonly kind = 'shared';
  readonly #handle: SharedRingHandle;
  readonly #queue: SharedQueue;
  readonly #slots = new Slots<Completed>();
  readonly #backlog: Entries[] = [];
  #publishing: NodeJS.Immediate | undefined;
  #closing: { resolve: () => void; promise: Promise<void> } | undefined;
  /** Nothing can be submitted any more. */
  #over = false;
  /** The owner knows us no more. */
  #gone = false;
  readonly #forget: () => void;

  constructor(handle: SharedRingHandle) {
    this.#handle = handle;
    this.#queue = new SharedQueue(handle.capacity, handle.queue);
    const { port } = handle;
    port.on('message', (completions: Int32Array | null) => this.#got(completions));
    port.on('close', () => this.#ended());
    port.unref(); // until something is in flight
    this.#forget = atExit(() => this.#leave());
  }

  get inFlight(): number {
    return this.#slots.inFlight;
  }
  get longestChain(): number {
    return Math.min(this.#handle.owner.chain, this.#queue.capacity);
  }

  submit(opcode: UringOpcode | number, sqe: Sqe, done: Completed): Ticket {
    this.#alive();
    const ticket = this.#take(done);
    this.#send([{ what: ASK.submit, opcode: opcodeNumber(opcode), sqe, ticket }]);
    return ticket;
  }

  submitLinked(operations: readonly Linked[]): Ticket[] {
    this.#alive();
    if (operations.length > this.longestChain) throw new RangeError(`${operations.length} are too many to be linked`);
    const tickets = operations.map(({ done }) => this.#take(done));
    const last = operations.length - 1;
    this.#send(
      operations.map(({ opcode, sqe }, i) => {
        const what = i < last ? ASK.linked : ASK.submit;
        return { what, opcode: opcodeNumber(opcode), sqe, ticket: tickets[i]! };
      }),
    );
    return tickets;
  }

  cancel(ticket: Ticket): void {
    if (this.#slots.get(ticket)) this.#send([{ what: ASK.cancel, opcode: 0, sqe: {}, ticket }]);
  }

  disown(ticket: Ticket, heir: Completed): void {
    this.#slots.disown(ticket, heir);
  }

  close(): Promise<void> {
    if (this.#closing) return this.#closing.promise;
    let resolve!: () => void;
    const promise = new Promise<void>((done) => {
      resolve = done;
    });
    for (const ticket of this.#slots.tickets()) this.cancel(ticket);
    this.#closing = { resolve, promise };
    this.#handle.port.ref();
    if (this.#gone) resolve();
    else this.#endIfDone();
    return promise;
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #alive(): void {
    if (this.#closing || this.#over) throw ECANCELED;
  }

  #take(done: Completed): Ticket {
    const ticket = this.#slots.take(done);
    if (this.#slots.inFlight === 1) this.#handle.port.ref();
    return ticket;
  }

  #send(entries: Entries): void {
    if (this.#backlog.length > 0 || this.#queue.space < entries.length) this.#backlog.push(entries);
    else this.#place(entries);
    // At the end of the turn: one look at whether the owner sleeps for all that was submitted.
    this.#publishing ??= setImmediate(() => this.#publish());
  }

  #place(entries: Entries): void {
    for (const { what, opcode, sqe, ticket } of entries) {
      const at = this.#queue.place(what);
      writeSqe(this.#queue.memory, at, opcode, sqe, ticket.slot, ticket.generation);
    }
  }

  #publish(): void {
    this.#publishing = undefined;
    const queue = this.#queue;
    do {
      while (this.#backlog.length > 0 && this.#backlog[0]!.length <= queue.space) this.#place(this.#backlog.shift()!);
      queue.publish();
    } while (this.#backlog.length > 0 && !queue.awaitRoom(this.#backlog[0]!.length));
    const { state, wake: handle } = this.#handle.owner;
    if (Atomics.exchange(state, SLEEP, AWAKE) === ASLEEP) wake(handle);
  }

  /** Completions; null when the owner has let go of us. */
  #got(completions: Int32Array | null): void {
    if (completions !== null) this.#completed(completions);
    else {
      this.#ended();
      this.#handle.port.close();
    }
  }

  #completed(completions: Int32Array): void {
    for (let at = 0; at < completions.length; at += COMPLETION) {
      const flags = completions[at + 3]!;
      const last = (flags & IORING_CQE_F_MORE) === 0;
      const owner = this.#slots.completed(completions[at]!, completions[at + 1]!, last);
      if (this.#slots.inFlight === 0 && !this.#closing) this.#handle.port.unref();
      try {
        owner?.(completions[at + 2]!, flags);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
    if (this.#backlog.length > 0) this.#publish();
    this.#endIfDone();
  }

  /** Tells the owner that this was all. It closes the port then. */
  #endIfDone(): void {
    if (!this.#closing || this.#over || this.#slots.inFlight > 0 || this.#backlog.length > 0) return;
    this.#over = true;
    this.#send([{ what: ASK.close, opcode: 0, sqe: {}, ticket: { slot: 0, generation: 0 } }]);
  }

  /** The end: because we asked for it, or because the owner has ended. */
  #ended(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#over = true;
    this.#forget();
    if (this.#publishing) clearImmediate(this.#publishing);
    const left = [...this.#slots.tickets()];
    for (const { slot, generation } of left) this.#slots.completed(slot, generation, true)?.(-ECANCELED.errno, 0);
    this.#closing?.resolve();
  }

  /** The thread exits, and with it goes the memory that the kernel may still write to. */
  #leave(): void {
    if (isMainThread || this.#over) return;
    void this.close();
    this.#publish();
    const pause = new Int32Array(new SharedArrayBuffer(4));
    while (!this.#over) {
      const message = receiveMessageOnPort(this.#handle.port)?.message as Int32Array | undefined;
      if (message) this.#completed(message);
      else Atomics.wait(pause, 0, 0, 1);
    }
    this.#publish(); // that this was all
  }
}
