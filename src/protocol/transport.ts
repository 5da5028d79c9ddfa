/**
 * What a session needs of a transport, and all it knows of one. A transport brings slots to
 * `session.serve` and takes answers; a slot is never reused before it is released. There is one over
 * read and write on /dev/fuse (device.ts) and one over io_uring (uring/transport.ts).
 */
import type { Errno } from '../abi/errno.ts';
import type { Agreement } from './init.ts';
import type { Slot } from './slot.ts';

/** Read and write on /dev/fuse, or its commands in an io_uring. */
export type TransportKind = 'device' | 'uring';

/** Whether something was set up; what it is, or why there is nothing. */
export interface Begun {
  readonly begun: boolean;
  readonly what: string;
}

export interface Transport {
  /** Sends an answer, the size of the body or a negated errno. The kernel may refuse it: then `session.refused` is called. */
  answer(slot: Slot, answer: number): void;
  /** The slot is free again: nobody holds its buffers any more. */
  release(slot: Slot): void;
  /**
   * The slot's request has to wait. Unless `whole`, its handler needs neither the payload nor the reply's
   * memory, and the transport may move it to a smaller buffer and go on with the large one. An errno says that the
   * request may not wait, and is its answer.
   */
  park(slot: Slot, whole: boolean): Errno | undefined;
  /** An answer came late, on a turn of the loop of its own: more requests may be waiting. */
  resume(): void;
  /**
   * Where the session would have OVER_IO_URING: sets up what that needs, before the kernel is told that it is agreed.
   * `what` is what was set up, or why nothing was: then the session does without.
   */
  begin?(agreement: Agreement): Begun | Promise<Begun>;
  /** What was agreed in the end, and by what the requests come. INIT's reply waits for the promise; to reject is to fail. */
  agreed?(agreement: Agreement, kind: TransportKind): Promise<void>;
  /** What INIT has agreed: bytes of the largest request, and of the largest reply's body. */
  resize(sizes: { request: number; reply: number }): void;
  /** A descriptor of the connection that another thread may write notifications to, until it closes it. */
  duplicate(): number;
  /**
   * Calls `ready` on the thread that serves while a descriptor is readable, again and again, until what is returned is called or
   * the transport ends. It does not throw. Absent where no filesystem is served.
   */
  watch?(fd: number, ready: () => void): () => void;
  /** Ends the transport from this side. */
  close(): void;
  /** Resolves when the kernel uses nothing of the transport's any more and its descriptors are closed. Absent: when `close` returns. */
  readonly gone?: Promise<void>;
}

/** How a connection ended. */
export interface End {
  /** `unmounted`: by umount, from anywhere. `aborted`: by force, with requests unanswered. `failed`: by `error`. */
  readonly reason: 'unmounted' | 'aborted' | 'failed';
  readonly error?: unknown;
}
