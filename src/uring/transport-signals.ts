/**
 * Signals that the kernel forgets to tell of. Who waits for an answer and gets a signal makes an INTERRUPT, unless the
 * request is still on its way into the ring: then none is ever sent (Linux 6.18), and who waits for a lock waits for ever,
 * killed or not. But the signal stays pending, which /proc shows. So who has waited for a while is looked at there, and the
 * request is aborted as INTERRUPT would have done.
 * @see fs/fuse/dev.c: request_wait_answer; only fuse_dev_do_read looks at FR_INTERRUPTED after it has set FR_SENT
 */
import { readFileSync } from 'node:fs';
import { EINTR } from '../abi/errno.ts';
import type { Request } from '../protocol/request.ts';

type Waiting = Pick<Request, 'pid' | 'aborted' | 'abort'>;

/** How often is looked, in ms: a request that waits less than that is not looked at. */
const EVERY = 500;

export class LostSignals {
  /** Requests that wait, and whether they did when it was looked last. */
  readonly #waiting = new Map<Waiting, boolean>();
  #timer: NodeJS.Timeout | undefined;

  /** How many wait. */
  get size(): number {
    return this.#waiting.size;
  }

  /** A request waits. */
  add(request: Waiting): void {
    this.#waiting.set(request, false);
    this.#timer ??= setInterval(() => this.#look(), EVERY).unref();
  }

  /** It waits no more. */
  delete(request: Waiting): void {
    this.#waiting.delete(request);
  }

  /** Nobody is to be looked at any more. */
  end(): void {
    this.#waiting.clear();
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #look(): void {
    if (this.#waiting.size === 0) return this.end(); // not with the last that waits: the next may come at once
    for (const [request, before] of [...this.#waiting]) {
      if (!before) this.#waiting.set(request, true);
      else if (request.aborted === undefined && isSignalled(request.pid)) request.abort(EINTR);
    }
  }
}

/** Whether a signal that it does not block is pending for a thread. */
function isSignalled(tid: number): boolean {
  let status: string;
  try {
    status = readFileSync(`/proc/${tid}/status`, 'latin1');
  } catch {
    return false; // of another pid namespace
  }
  const bits = (name: string) => BigInt(`0x${new RegExp(`^${name}:\\s*([0-9a-f]+)$`, 'mu').exec(status)?.[1] ?? '0'}`);
  return ((bits('SigPnd') | bits('ShdPnd')) & ~bits('SigBlk')) !== 0n;
}
