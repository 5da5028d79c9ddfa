/**
 * Operations in flight, and their promises: the way from what a file is asked to what its engine is told, and back.
 *
 * An operation goes through few states: it waits for a place where `maxInFlight` are under way, it is in flight, and
 * it is over; cancelled, its promise is settled at once while what it holds (buffer, path, descriptor) is held on to
 * until the completion has really arrived (`abandoned` counts these).
 */
import { setMaxListeners } from 'node:events';
import { EAGAIN, EBADF, ECANCELED, EINVAL, EMFILE, EOVERFLOW, errno } from '../abi/errno.ts';
import { IORING_OP, IOSQE_ASYNC, IOSQE_FIXED_FILE } from '../abi/uring-constants.ts';
import { Buffers, detached, lentAlready, type Region } from './buffers.ts';
import type { Descriptor } from './descriptor.ts';
import type { Engine } from './engine.ts';
import { Limit } from './limits.ts';
import {
  asResults,
  asTransfer,
  type Finish,
  type Link,
  nothing,
  Operation,
  type OperationOptions,
  STATE,
  TRANSFER_MOST,
  type TransferOptions,
  type Transferred,
} from './operation.ts';
import { Scratch } from './paths.ts';
import { RegisteredFiles } from './registered.ts';

/** Operations over that are kept for those to come. */
const KEPT = 4096;

/** The functions of the promise that was made last: what a closure for each would cost a tenth of a read's time. */
let resolveLast: (value: never) => void = nothing;
let rejectLast: (reason: unknown) => void = nothing;
const capture = (resolve: (value: never) => void, reject: (reason: unknown) => void): void => {
  resolveLast = resolve;
  rejectLast = reject;
};

export interface OperationsOptions {
  readonly makeEngine: () => Engine;
  readonly maxFiles: number;
  readonly maxInFlight: number;
  readonly registeredFiles: number;
  readonly wait: boolean;
  readonly offload: boolean;
}

export class Operations {
  /** Places for open files. */
  readonly open: Limit<Operation>;
  readonly buffers = new Buffers();
  /** What goes on until it is told to end, as `chunks` does. */
  readonly streams = new Set<{ readonly descriptor: Descriptor; end(): void }>();
  /** Operations that were cancelled and have not completed. */
  abandoned = 0;
  closed = false;
  readonly #options: OperationsOptions;
  readonly #flags: number;
  readonly #flying: Limit<Operation>;
  readonly #all: Operation[] = [];
  readonly #free: Operation[] = [];
  readonly #scratches: Scratch[] = [];
  #engine: Engine | undefined;
  #files: RegisteredFiles | undefined;
  #ended: (() => void) | undefined;

  constructor(options: OperationsOptions) {
    this.#options = options;
    this.#flags = options.offload ? IOSQE_ASYNC : 0;
    this.open = new Limit('maxFiles', options.maxFiles, (operation) => {
      operation.placed = true;
      this.#enter(operation, true);
    });
    this.#flying = new Limit('maxInFlight', options.maxInFlight, (operation) => this.#submit(operation));
  }

  /** What carries them out: made when the first needs it. UringError where there is none to be had. */
  get engine(): Engine {
    if (this.#engine !== undefined) return this.#engine;
    if (this.closed) throw ECANCELED;
    const engine = this.#options.makeEngine();
    const { registeredFiles, maxFiles } = this.#options;
    if (engine.register && registeredFiles > 0)
      this.#files = new RegisteredFiles(engine.register.bind(engine), registeredFiles, maxFiles);
    this.#engine = engine;
    return engine;
  }
  get made(): boolean {
    return this.#engine !== undefined;
  }
  /** The ring's table of files, where there may be one. */
  get files(): RegisteredFiles | undefined {
    void this.engine;
    return this.#files;
  }
  get inFlight(): number {
    return this.#flying.used;
  }
  get waiting(): number {
    return this.#flying.waiting + this.open.waiting;
  }

  /** An operation, whose sqe is then to be filled in. */
  take(opcode: number, finish: Finish): Operation {
    let operation = this.#free.pop();
    if (operation === undefined) {
      operation = new Operation(this);
      operation.index = this.#all.push(operation) - 1;
    }
    operation.opcode = opcode;
    operation.finish = finish;
    return operation;
  }

  /** Starts an operation: the promise of its value. `patient`: it waits for a place even where others would fail. */
  start<T>(operation: Operation, options: OperationOptions | undefined, patient = this.#options.wait): Promise<T> {
    operation.flags |= this.#flags;
    operation.personality = 0;
    operation.file?.acquire();
    operation.other?.acquire();
    if (options !== undefined) {
      const { signal, personality } = options;
      if (personality !== undefined) operation.personality = personality;
      if (signal !== undefined) {
        if (signal.aborted) {
          this.#over(operation);
          return Promise.reject(signal.reason);
        }
        operation.signal = signal;
        setMaxListeners(0, signal); // one signal may well be that of many operations
        signal.addEventListener('abort', operation);
      }
    }
    const promise = new Promise<T>(capture);
    operation.resolve = resolveLast as (value: unknown) => void;
    operation.reject = rejectLast;
    if (this.closed) this.#settle(operation, ECANCELED);
    else if (operation.opens && !this.open.take()) this.#wait(operation, this.open, patient, EMFILE);
    else {
      operation.placed = operation.opens;
      this.#enter(operation, patient);
    }
    return promise;
  }

  /** A read or write of `length` bytes of a buffer from `start` on: the hot path. */
  transfer<B extends Uint8Array>(
    opcode: 'READ' | 'WRITE',
    file: Descriptor,
    buffer: B,
    start: number,
    length: number,
    offset: number | null,
    options: TransferOptions | undefined,
  ): Promise<Transferred<B>> {
    if (file.closed) return Promise.reject(EBADF);
    if (offset !== null && !(Number.isSafeInteger(offset) && offset >= 0)) return Promise.reject(EINVAL);
    if (offset !== null && offset + length > Number.MAX_SAFE_INTEGER) return Promise.reject(EOVERFLOW);
    if (length === 0) return nothingOf(buffer);
    const reads = opcode === 'READ';
    let region: Region;
    try {
      // Before the buffer is lent: a ring that can't be had is the operation's error.
      if (this.#engine === undefined) void this.engine;
      region = this.buffers.of(buffer);
    } catch (error) {
      return Promise.reject(error);
    }
    const addr = region.address + buffer.byteOffset + start;
    const len = length > TRANSFER_MOST ? TRANSFER_MOST : length;
    if (region.lent(addr, len, reads)) return Promise.reject(lentAlready());
    if (this.#files !== undefined) this.#files.use(file);

    const operation = this.take(reads ? IORING_OP.READ : IORING_OP.WRITE, asTransfer);
    const index = region.registered === undefined ? -1 : region.registeredAt(addr, len);
    operation.buf_index = 0;
    if (index >= 0) {
      operation.opcode = reads ? IORING_OP.READ_FIXED : IORING_OP.WRITE_FIXED;
      operation.buf_index = index;
    }
    this.on(operation, file);
    operation.off = offset === null ? -1 : offset;
    operation.addr = addr;
    operation.len = len;
    operation.op_flags = options?.rwFlags ?? 0;
    operation.file_index = 0;
    operation.addr3 = 0;
    operation.buffer = buffer;
    operation.byteLength = buffer.byteLength;
    operation.filled = reads;
    region.lend(operation);
    return this.start(operation, options);
  }

  /**
   * Operations on one file, linked: each begins when the one before has succeeded, and no read or write that was short
   * counts as that. All of their results, in order, negated errnos among them. They take one place among those in flight; what
   * they point to is for the caller to hold.
   */
  chain(file: Descriptor, links: readonly Link[]): Promise<readonly number[]> {
    if (file.closed) return Promise.reject(EBADF);
    try {
      this.files?.use(file);
    } catch (error) {
      return Promise.reject(error);
    }
    const operation = this.take(IORING_OP.NOP, asResults);
    operation.links = links;
    this.on(operation, file);
    return this.start(operation, undefined, true);
  }

  /** Makes an operation one on a file. */
  on(operation: Operation, file: Descriptor): void {
    operation.file = file;
    operation.fd = file.slot < 0 ? file.fd : file.slot;
    operation.flags = file.slot < 0 ? 0 : IOSQE_FIXED_FILE;
  }

  #enter(operation: Operation, patient: boolean): void {
    if (this.#flying.take()) this.#submit(operation);
    else this.#wait(operation, this.#flying, patient, EAGAIN);
  }
  #wait(operation: Operation, limit: Limit<Operation>, patient: boolean, full: Error): void {
    if (!patient) return this.#settle(operation, full);
    operation.state = STATE.waiting;
    operation.waitsFor = limit;
    limit.wait(operation);
  }

  #submit(operation: Operation): void {
    try {
      const engine = this.engine;
      if (operation.prepare !== undefined) {
        const scratch = this.#scratches.pop() ?? new Scratch();
        operation.scratch = scratch;
        scratch.clear();
        operation.prepare(operation, scratch);
      }
      operation.state = STATE.inFlight;
      if (operation.links !== undefined) this.#submitChain(operation, operation.links);
      else operation.ticket = engine.submit(operation.opcode, operation, operation.done);
    } catch (error) {
      this.#settle(operation, error);
      this.#flying.give();
      this.#end();
    }
  }

  #submitChain(operation: Operation, links: readonly Link[]): void {
    const { fd, flags } = operation;
    const results = links.map(() => 0);
    let left = links.length;
    operation.results = results;
    operation.tickets = this.engine.submitLinked(
      links.map(({ opcode, sqe }, i) => ({
        opcode,
        sqe: { ...sqe, fd, flags },
        done: (result) => {
          results[i] = result;
          if (--left === 0) this.completed(operation, 0);
        },
      })),
    );
  }

  /** @internal */
  completed(operation: Operation, result: number): void {
    if (operation.state === STATE.abandoned) {
      this.abandoned--;
      if (operation.placed && result < 0) this.open.give();
      const { unwanted } = operation;
      this.#over(operation);
      if (result >= 0) unwanted?.(result);
    } else if (result < 0) this.#settle(operation, errno(-result));
    else this.#succeed(operation, result);
    this.#flying.give();
    if (this.#ended !== undefined) this.#end();
  }

  #succeed(operation: Operation, result: number): void {
    const { resolve, reject } = operation;
    let value: unknown;
    try {
      value = operation.finish(operation, result);
    } catch (error) {
      this.#over(operation);
      return reject(error);
    }
    this.#over(operation);
    resolve(value);
  }

  /** It failed, with or without having been in flight. */
  #settle(operation: Operation, error: unknown): void {
    const { reject, placed } = operation;
    this.#over(operation);
    if (placed) this.open.give();
    reject(error);
  }

  /** Its signal was aborted: now to the one who waits, later to the kernel. */
  abandon(operation: Operation, reason: unknown): void {
    if (operation.state === STATE.waiting) {
      operation.waitsFor!.forget(operation);
      return this.#settle(operation, reason);
    }
    if (operation.state !== STATE.inFlight) return;
    operation.state = STATE.abandoned;
    operation.signal?.removeEventListener('abort', operation);
    this.abandoned++;
    this.#cancel(operation);
    operation.reject(reason);
  }
  #cancel({ ticket, tickets = [ticket!] }: Operation): void {
    for (const each of tickets) this.#engine!.cancel(each);
  }

  /** Cancels what is under way, on a file or at all: each ends as it would have, or with ECANCELED. */
  cancel(file?: Descriptor): void {
    for (const operation of [...this.#all]) {
      if (file !== undefined && operation.file !== file && operation.other !== file) continue;
      if (operation.state === STATE.waiting) this.abandon(operation, ECANCELED);
      // Not a close, after which the descriptor would still be there.
      else if (operation.state === STATE.inFlight && operation.opcode !== IORING_OP.CLOSE) this.#cancel(operation);
    }
  }

  /** The operation is another's from now on: it lets go of all that it held. */
  #over(operation: Operation): void {
    const { file, other, region, scratch, signal } = operation;
    if (region !== undefined) region.giveBack(operation);
    operation.state = STATE.over;
    operation.buffer = operation.ticket = operation.waitsFor = undefined;
    if (signal !== undefined) {
      signal.removeEventListener('abort', operation);
      operation.signal = undefined;
    }
    if (operation.finish !== asTransfer) {
      operation.prepare = operation.path = operation.path2 = operation.scratch = undefined;
      operation.held = operation.unwanted = operation.other = undefined;
      operation.links = operation.results = operation.tickets = undefined;
      operation.opens = operation.placed = false;
      if (scratch !== undefined) this.#scratches.push(scratch);
      other?.release();
    }
    operation.file = undefined;
    operation.resolve = operation.reject = nothing;
    if (this.#free.length < KEPT) this.#free.push(operation);
    else this.#drop(operation);
    file?.release();
  }
  /** More were under way than are worth keeping. */
  #drop({ index }: Operation): void {
    const last = this.#all.pop()!;
    if (last.index === index) return;
    this.#all[index] = last;
    last.index = index;
  }

  /** Ends what waits, cancels what is in flight, and returns when the last has completed and the kernel holds nothing of ours. */
  async close(own: boolean): Promise<void> {
    this.closed = true;
    const engine = this.#engine;
    if (engine === undefined) return;
    for (const stream of this.streams) stream.end();
    this.cancel();
    if (own) await engine.close();
    else if (this.#flying.used > 0)
      await new Promise<void>((resolve) => {
        this.#ended = resolve;
      });
    this.#files?.free(own);
    this.#files = undefined;
  }
  #end(): void {
    if (this.#flying.used === 0) this.#ended?.();
  }
}

/** Nothing is asked for, or the bytes have gone. */
function nothingOf<B extends Uint8Array>(buffer: B): Promise<Transferred<B>> {
  try {
    if (buffer.byteLength === 0) new Uint8Array(buffer.buffer); // throws where it is detached
  } catch {
    return Promise.reject(detached());
  }
  return Promise.resolve({ bytes: 0, buffer });
}
