/**
 * What carries out operations: a ring on the event loop, a ring of another thread, or threads where there is no
 * io_uring. An operation is told in io_uring's own words, an opcode and an sqe, whoever carries it out; so what stands
 * on an engine, as files do, knows only one of them.
 */
import { IORING_OP, type UringOpcode } from '../abi/uring-constants.ts';

/** What an operation is told, as io_uring_sqe has it; what is left out is 0. Addresses are numbers; -1 as `off` is the file's own position. */
export interface Sqe {
  readonly fd?: number;
  readonly off?: number;
  readonly addr?: number;
  readonly len?: number;
  /** rw_flags, open_flags, statx_flags, ...: the union's 32 bits. */
  readonly op_flags?: number;
  readonly buf_index?: number;
  readonly personality?: number;
  /** file_index, splice_fd_in. */
  readonly file_index?: number;
  readonly addr3?: number;
  /** IOSQE_ bits. */
  readonly flags?: number;
  readonly ioprio?: number;
  /** The command of IORING_OP_URING_CMD, at most 80 bytes: on a ring with `sqe128`, and nowhere else. */
  readonly cmd?: Uint8Array;
}
/** Those members that an sqe of 64 bytes has. */
export type SmallSqe = Omit<Sqe, 'cmd'>;

/** An opcode by name, or as a number where the header has none yet. */
export const opcodeNumber = (opcode: UringOpcode | number): number =>
  typeof opcode === 'number' ? opcode : IORING_OP[opcode];

/** Gets a completion: `res`, a negated errno where it failed, and IORING_CQE_F_ flags. Must not throw. */
export type Completed = (res: number, flags: number) => void;

/** An operation that was submitted; for `cancel` and `disown`. */
export interface Ticket {
  readonly slot: number;
  readonly generation: number;
}

/** An operation of a chain. */
export interface Linked {
  readonly opcode: UringOpcode | number;
  readonly sqe: Sqe;
  readonly done: Completed;
}

export interface Engine {
  /** `ring`: io_uring on this thread; `shared`: io_uring on another; `threads`: no io_uring. */
  readonly kind: 'ring' | 'shared' | 'threads';
  /** Operations that have been submitted and not completed. */
  readonly inFlight: number;
  /** Operations that it takes at once in `submitLinked`. */
  readonly longestChain: number;
  /** Submits an operation. `done` gets its completion, never before this returns. ECANCELED where the engine is closed. */
  submit(opcode: UringOpcode | number, sqe: Sqe, done: Completed): Ticket;
  /**
   * Submits operations each of which begins when the one before has succeeded; those after one that fails complete
   * with ECANCELED. A short read or write counts as failed. RangeError for more than the engine takes at once.
   *
   * Not every failure breaks a chain: what follows an FSYNC, FTRUNCATE, FALLOCATE, SYNC_FILE_RANGE, RENAMEAT, STATX or an
   * xattr operation is done whether that failed or not (seen on Linux 6.18; they complete without req_set_fail). So a
   * rename that must not happen unless the data is on the disk is not linked to an FSYNC, but submitted once that
   * has succeeded.
   */
  submitLinked(operations: readonly Linked[]): Ticket[];
  /**
   * Asks for an operation to end. It completes as it would have, or with ECANCELED, later: until then the kernel may
   * use what it was given. Nothing happens where it has completed already.
   */
  cancel(ticket: Ticket): void;
  /** Gives the completion of an operation to somebody else, as when its owner has gone and a buffer must stay. */
  disown(ticket: Ticket, heir: Completed): void;
  /**
   * io_uring_register(2) on the engine's ring: the result, or an Errno thrown. Absent where there is no ring, or none of
   * this thread's: files, buffers and personalities can't be registered there.
   */
  register?(opcode: number, argument: number, count: number): number;
  /** Cancels what is in flight, waits for its completions, and gives all back. */
  close(): Promise<void>;
}
