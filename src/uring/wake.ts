/**
 * What wakes a thread that waits in io_uring_enter(2). Node can neither end nor reach a thread inside a system call, and
 * at exit it waits for all of them; so a thread may wait there only together with a wake-up that others hold. It is an
 * eventfd that the waiting ring polls, and a word in shared memory that says whether the waiting is over for good.
 *
 * Made by the thread that starts the waiting one, which gives it `handle`; ended at the latest when the process exits.
 */
import { atExit } from '../abi/exit.ts';
import { close, eventfd, writeBytes } from '../abi/syscall.ts';

/** What the waiting thread gets: can be posted. */
export interface WakeHandle {
  readonly fd: number;
  /** Not 0 from the end on. */
  readonly over: Int32Array;
}

// Not by an address that was asked for once: bytes that no function refers to are collected when the module has run.
const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);
/** Adds 1 to an eventfd: whoever waits for it is woken. */
export const signal = (eventfd: number): void => void writeBytes(eventfd, ONE);

/** Wakes the thread: from any thread. */
export const wake = ({ fd }: WakeHandle): void => signal(fd);

export class Wake {
  readonly handle: WakeHandle;
  readonly #forget: () => void;

  constructor() {
    this.handle = { fd: eventfd(), over: new Int32Array(new SharedArrayBuffer(4)) };
    this.#forget = atExit(() => this.end());
  }

  /** Ends the waiting for good: the thread's next wait, and the one that it is in, return. */
  end(): void {
    Atomics.store(this.handle.over, 0, 1);
    wake(this.handle);
  }

  /** Gives the descriptor back. The thread must have ended. */
  close(): void {
    this.#forget();
    close(this.handle.fd);
  }
}
