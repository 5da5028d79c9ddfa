/**
 * One operation, from what a file is asked to its value: its own sqe, its paths, what it is lent, who waits for it. It is an
 * object that is used again and again, and all have one shape, so that a read allocates no more than its promise.
 */
import { detached, type Loan, type Region } from './buffers.ts';
import type { Descriptor } from './descriptor.ts';
import type { Completed, SmallSqe, Sqe, Ticket } from './engine.ts';
import type { Limit, Waiter } from './limits.ts';
import type { Scratch } from './paths.ts';

/** What every operation takes. */
export interface OperationOptions {
  /** Aborted, the operation is cancelled and its promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** As whom: a number that `registerPersonality` gave. */
  readonly personality?: number | undefined;
}
export interface TransferOptions extends OperationOptions {
  /** RWF_ flags: RWF_DSYNC for a write that is durable when it completes, RWF_NOWAIT, RWF_APPEND, ... preadv2(2) */
  readonly rwFlags?: number | undefined;
}

/** A read or write: how much was done, perhaps less than was asked for, and the buffer that was lent. */
export interface Transferred<B> {
  readonly bytes: number;
  readonly buffer: B;
}

/** Puts the paths of an operation where the kernel finds them: once it has its place, just before it is submitted. */
export type Prepare = (operation: Operation, scratch: Scratch) => void;
/** The value of an operation that succeeded. */
export type Finish = (operation: Operation, result: number) => unknown;

/** The kernel does no more in one operation; more is done in parts. @see include/linux/fs.h: MAX_RW_COUNT */
export const TRANSFER_MOST = 0x7fff_f000;

/** One of a chain of operations on a file: which, and what it is told; the file is filled in. */
export interface Link {
  readonly opcode: number;
  readonly sqe: Sqe;
}

/** What an operation is doing. */
export const STATE = { over: 0, waiting: 1, inFlight: 2, abandoned: 3 } as const;

/** Who is told how it goes on. */
export interface OperationOwner {
  completed(operation: Operation, result: number): void;
  abandon(operation: Operation, reason: unknown): void;
}

export class Operation implements Required<SmallSqe>, Loan, Waiter<Operation> {
  opcode = 0;
  fd = 0;
  off = 0;
  addr = 0;
  len = 0;
  op_flags = 0;
  buf_index = 0;
  personality = 0;
  file_index = 0;
  addr3 = 0;
  flags = 0;
  ioprio = 0;

  prepare: Prepare | undefined = undefined;
  finish: Finish = asNumber;
  path: string | undefined = undefined;
  path2: string | undefined = undefined;
  scratch: Scratch | undefined = undefined;
  /** Files that it uses: they are not closed before it is over. */
  file: Descriptor | undefined = undefined;
  other: Descriptor | undefined = undefined;
  /** What it was lent, and how long that was then. */
  buffer: Uint8Array | undefined = undefined;
  byteLength = 0;
  filled = false;
  region: Region | undefined = undefined;
  before: Loan | undefined = undefined;
  after: Loan | undefined = undefined;
  /** Anything else that has to live as long. */
  held: unknown = undefined;
  /** It is a chain of several, which are submitted together; and what each gave. */
  links: readonly Link[] | undefined = undefined;
  results: number[] | undefined = undefined;
  /** What is to be done with a result that nobody waits for any more. */
  unwanted: ((result: number) => void) | undefined = undefined;
  /** It needs a place among the open files; it has one, and gives it back unless it succeeds. */
  opens = false;
  placed = false;

  state: (typeof STATE)[keyof typeof STATE] = STATE.over;
  waitsFor: Limit<Operation> | undefined = undefined;
  ahead: Operation | undefined = undefined;
  behind: Operation | undefined = undefined;
  ticket: Ticket | undefined = undefined;
  /** Those of a chain. */
  tickets: readonly Ticket[] | undefined = undefined;
  signal: AbortSignal | undefined = undefined;
  resolve: (value: unknown) => void = nothing;
  reject: (reason: unknown) => void = nothing;
  /** Where it is in the list of all. */
  index = 0;
  readonly #owner: OperationOwner;
  readonly done: Completed = (result) => this.#owner.completed(this, result);

  constructor(owner: OperationOwner) {
    this.#owner = owner;
  }

  /** Fills the sqe in. */
  fill(sqe: Sqe): void {
    this.fd = sqe.fd ?? 0;
    this.off = sqe.off ?? 0;
    this.addr = sqe.addr ?? 0;
    this.len = sqe.len ?? 0;
    this.op_flags = sqe.op_flags ?? 0;
    this.buf_index = sqe.buf_index ?? 0;
    this.file_index = sqe.file_index ?? 0;
    this.addr3 = sqe.addr3 ?? 0;
    this.flags = sqe.flags ?? 0;
  }

  /** The signal was aborted. */
  handleEvent(): void {
    this.#owner.abandon(this, this.signal!.reason);
  }
}

export function nothing(): void {}
export function asNumber(_: Operation, result: number): number {
  return result;
}
export function asNothing(): void {}
export function asResults({ results }: Operation): readonly number[] {
  return results!;
}
export function asTransfer({ buffer, byteLength }: Operation, bytes: number): Transferred<Uint8Array> {
  // The kernel had the memory as it was. Whoever took it away meanwhile is told that this buffer has nothing of it.
  if (buffer!.byteLength !== byteLength) throw detached();
  return { bytes, buffer: buffer! };
}
