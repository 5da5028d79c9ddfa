/**
 * Operations without io_uring: threads make the system calls of the same meaning, on the addresses that an sqe has. For
 * where io_uring is forbidden, with the same results and the same durability.
 *
 * Calls go to the threads through memory that they share, in order, and each is taken by the first that is free. There
 * is a thread when the first call needs one, and one more, up to `threads`, when a call finds all busy. What would wait
 * for somebody else (a pipe's other end, say) holds no thread: it comes back, waits on the event loop, and is tried again.
 * So a thread is only ever in calls that end by themselves, and its process can end.
 *
 * It differs from io_uring in what belongs to a ring: registered files are EBADF; personalities, provided buffers, drains
 * and skipped completions EINVAL; `ioprio` changes nothing. A chain ends with any operation that fails, and not before:
 * on a ring a senseless sqe anywhere in it cancels the whole. And a descriptor is looked up when the call is made, not
 * when it is submitted: it may be closed when the operation has completed.
 */
import { ECANCELED, EIO, EPERM } from '../abi/errno.ts';
import { IORING_OP, IOSQE_IO_HARDLINK, type UringOpcode } from '../abi/uring-constants.ts';
import { type Completed, type Engine, type Linked, opcodeNumber, type Sqe, type Ticket } from './engine.ts';
import { EventPoll } from './event-poll.ts';
import { Pool } from './pool.ts';
import { HELD_FD, HELD_FILE_INDEX, PLACES } from './pool-queue.ts';
import { Slots } from './slots.ts';
import { failed } from './system-calls.ts';
import { NOT_YET, UNTIL_READABLE, UNTIL_WRITABLE } from './waiting-calls.ts';

export interface ThreadsOptions {
  /** Threads at most: 1 to 64. Default 4. */
  readonly threads?: number | undefined;
}

/** An operation until it has completed. */
class Operation {
  /** What begins when this has succeeded. */
  next: Operation | undefined = undefined;
  /** Behind another of its chain, in the backlog, with the threads, between two tries, or over. */
  state: 'behind' | 'backlog' | 'placed' | 'waiting' | 'over' = 'behind';
  /** Where it is with the threads. */
  place = -1;
  /** Descriptors in `sqe` that are its own: HELD_ bits. A thread closes them when it has a result. */
  held = 0;
  /** What it is about can't be polled, so the call may wait. */
  insist = false;
  /** How often it was tried with nothing to tell when to try again. */
  tries = 0;
  /** Ends its waiting for another try. */
  unwait: (() => void) | undefined = undefined;
  cancelled = false;
  readonly opcode: number;
  sqe: Sqe;
  /** Nobody has one for what the engine itself needs. */
  ticket: Ticket | undefined = undefined;
  done: Completed | undefined;

  constructor(opcode: number, sqe: Sqe, done?: Completed) {
    this.opcode = opcode;
    this.sqe = sqe;
    this.done = done;
  }
}

/** Milliseconds from one try to the next, where nothing tells when: at most. */
const PAUSE = 64;

export class ThreadsEngine implements Engine, AsyncDisposable {
  readonly kind = 'threads';
  readonly #most: number;
  readonly #slots = new Slots<Operation>();
  /** What waits for a place with the threads, in order. */
  #backlog: Operation[] = [];
  /** By place. */
  readonly #placed: (Operation | undefined)[] = [];
  /** Places that are free. */
  readonly #places = Array.from({ length: PLACES }, (_, i) => i);
  /** What was cancelled, to be told at the end of this turn. */
  #cancelled: Operation[] = [];
  #pool: Pool | undefined;
  #poll: EventPoll | undefined;
  #closing: { resolve: (ended?: Promise<void>) => void; promise: Promise<void> } | undefined;
  #ending = false;

  constructor({ threads = 4 }: ThreadsOptions = {}) {
    if (!Number.isInteger(threads) || threads < 1 || threads > 64)
      throw new RangeError(`threads is ${threads}: a whole number from 1 to 64 is needed`);
    this.#most = threads;
  }

  get inFlight(): number {
    return this.#slots.inFlight;
  }
  readonly longestChain = Number.POSITIVE_INFINITY;
  /** Threads that were started. */
  get threads(): number {
    return this.#pool?.threads ?? 0;
  }

  submit(opcode: UringOpcode | number, sqe: Sqe, done: Completed): Ticket {
    if (this.#closing) throw ECANCELED;
    const operation = this.#take(opcode, sqe, done);
    this.#begin(operation);
    return operation.ticket!;
  }

  submitLinked(operations: readonly Linked[]): Ticket[] {
    if (this.#closing) throw ECANCELED;
    const chain = operations.map(({ opcode, sqe, done }) => this.#take(opcode, sqe, done));
    for (const [i, each] of chain.entries()) each.next = chain[i + 1];
    if (chain[0]) this.#begin(chain[0]);
    return chain.map(({ ticket }) => ticket!);
  }

  cancel(ticket: Ticket): void {
    const operation = this.#slots.get(ticket);
    if (operation === undefined || operation.cancelled) return;
    operation.cancelled = true;
    if (operation.state === 'behind') return; // when its turn comes
    if (operation.state === 'placed') {
      if (!this.#pool!.queue.takeBack(operation.place)) return; // a thread is at it
      this.#placed[operation.place] = undefined; // the place is free when a thread has seen it
    }
    operation.unwait?.();
    this.#endSoon(operation);
  }
  #endSoon(operation: Operation): void {
    operation.state = 'over';
    if (this.#cancelled.push(operation) === 1) setImmediate(() => this.#endCancelled());
  }
  #endCancelled(): void {
    const cancelled = this.#cancelled;
    this.#cancelled = [];
    for (const operation of cancelled) {
      this.#closeHeld(operation);
      this.#complete(operation, -ECANCELED.errno);
    }
    this.#endIfDone();
  }

  disown(ticket: Ticket, heir: Completed): void {
    const operation = this.#slots.get(ticket);
    if (operation) operation.done = heir;
  }

  close(): Promise<void> {
    if (this.#closing) return this.#closing.promise;
    let resolve!: (ended?: Promise<void>) => void;
    const promise = new Promise<void>((done) => {
      resolve = done;
    });
    for (const ticket of this.#slots.tickets()) this.cancel(ticket);
    this.#closing = { resolve, promise };
    this.#pool?.hold(true);
    this.#endIfDone();
    return promise;
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #take(opcode: UringOpcode | number, sqe: Sqe, done: Completed): Operation {
    const operation = new Operation(opcodeNumber(opcode), sqe, done);
    operation.ticket = this.#slots.take(operation);
    this.#pool ??= new Pool(this.#most, this);
    if (this.#slots.inFlight === 1) this.#pool.hold(true);
    return operation;
  }

  /** Gives an operation to the threads, or to the backlog where they have no place. */
  #begin(operation: Operation): void {
    if (operation.cancelled) {
      this.#complete(operation, -ECANCELED.errno);
      return;
    }
    const place = this.#backlog.length === 0 ? this.#places.pop() : undefined;
    if (place === undefined) {
      operation.state = 'backlog';
      this.#backlog.push(operation);
    } else this.#place(operation, place);
  }
  #place(operation: Operation, place: number): void {
    operation.state = 'placed';
    operation.place = place;
    this.#placed[place] = operation;
    const pool = this.#pool!;
    pool.queue.put(place, operation.opcode, operation.sqe, operation.held, operation.insist);
    pool.grow(PLACES - this.#places.length);
  }

  /** @internal */
  answered(): void {
    this.#pool!.queue.answers(this.#answered);
    this.#endIfDone();
  }
  readonly #answered = (place: number, res: number): void => {
    const operation = this.#placed[place];
    this.#placed[place] = undefined;
    if (operation && res < NOT_YET) this.#wait(operation, res);
    this.#freed(place);
    if (operation && res >= NOT_YET) this.#complete(operation, res);
  };
  /** The place is for the backlog's first, where there is one. */
  #freed(place: number): void {
    while (this.#backlog.length > 0) {
      const first = this.#backlog.shift()!;
      if (first.cancelled) continue;
      this.#place(first, place);
      return;
    }
    this.#places.push(place);
  }

  /** The call would wait: it is tried again when what it waits for is there. */
  #wait(operation: Operation, until: number): void {
    const { fd, file_index, held } = this.#pool!.queue.changed(operation.place);
    operation.sqe = { ...operation.sqe, fd, file_index };
    operation.held = held;
    if (operation.cancelled) {
      this.#endSoon(operation);
      return;
    }
    operation.state = 'waiting';
    const again = () => {
      operation.unwait = undefined;
      this.#begin(operation);
    };
    if (until === UNTIL_READABLE || until === UNTIL_WRITABLE) {
      this.#poll ??= new EventPoll();
      const spliced = operation.opcode === IORING_OP.SPLICE || operation.opcode === IORING_OP.TEE;
      const on = until === UNTIL_READABLE && spliced ? file_index : fd;
      const r = this.#poll.wait(on, until === UNTIL_READABLE ? 'readable' : 'writable', again);
      operation.unwait = () => this.#poll!.forget(on);
      if (r === 0) return;
      operation.insist = r === -EPERM.errno;
    }
    // Nothing tells when; or it can't be polled (EPERM), or there is no room to (ENOSPC, EEXIST).
    const timer = setTimeout(again, operation.insist ? 0 : Math.min(2 ** operation.tries++, PAUSE));
    operation.unwait = () => clearTimeout(timer);
  }

  /** Tells of the result, and begins what was behind it, or ends that too. */
  #complete(operation: Operation, result: number): void {
    let res = result;
    for (let each: Operation | undefined = operation; each !== undefined; each = each.next) {
      each.state = 'over';
      // Before it is told: who is told may free what the sqe points to.
      const ends =
        each.next !== undefined && failed(each.opcode, each.sqe, res) && !((each.sqe.flags ?? 0) & IOSQE_IO_HARDLINK);
      this.#release(each);
      tell(each.done, res);
      if (each.next !== undefined && !ends) {
        this.#begin(each.next);
        return;
      }
      res = -ECANCELED.errno;
    }
  }
  #release({ ticket }: Operation): void {
    if (ticket === undefined) return;
    this.#slots.completed(ticket.slot, ticket.generation, true);
    if (this.#slots.inFlight === 0 && !this.#closing) this.#pool!.hold(false);
  }

  /** Closes the descriptors of an operation that no thread will be at any more: on a thread, since closing may take its time. */
  #closeHeld({ sqe, held }: Operation): void {
    for (const [bit, fd] of [
      [HELD_FD, sqe.fd],
      [HELD_FILE_INDEX, sqe.file_index],
    ] as const)
      if (held & bit) this.#begin(new Operation(IORING_OP.CLOSE, { fd: fd! }));
  }

  /** @internal No thread can be had. What comes later will try again. */
  lost(): void {
    const operations = [...this.#placed, ...this.#backlog.splice(0)];
    this.#placed.length = 0;
    this.#pool!.queue.clear();
    this.#places.splice(0, PLACES, ...Array.from({ length: PLACES }, (_, i) => i));
    for (const operation of operations)
      if (operation && operation.state !== 'over') this.#complete(operation, -EIO.errno);
    this.#endIfDone();
  }

  #endIfDone(): void {
    if (!this.#closing || this.#ending || this.#slots.inFlight > 0) return;
    if (this.#backlog.length > 0 || this.#placed.some((operation) => operation !== undefined)) return;
    this.#ending = true;
    this.#poll?.close();
    this.#closing.resolve(this.#pool?.end());
  }
}

/** What the owner throws has nobody to catch it: in the watch's callback it would end the watch without a word. */
function tell(done: Completed | undefined, res: number): void {
  try {
    done?.(res, 0);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
