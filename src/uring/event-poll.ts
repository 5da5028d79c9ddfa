/**
 * Waiting for descriptors on the event loop by an epoll of our own: libuv's own poll would make what it watches
 * O_NONBLOCK, for whoever else has it. One epoll for all; a descriptor is in it once, until it is ready.
 */

import { isMainThread } from 'node:worker_threads';
import { SystemError } from '../abi/errno.ts';
import { atExit } from '../abi/exit.ts';
import { EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_EVENT, POLLIN, POLLOUT } from '../abi/posix.ts';
import { addressOf, close, SYS, systemCall, type Watch, watch } from '../abi/syscall.ts';

const { size: EVENT, data: DATA } = EPOLL_EVENT;
/** Events that are taken at a time; the rest comes with the next turn. */
const MOST = 64;

export class EventPoll {
  readonly #fd: number;
  readonly #watch: Watch;
  readonly #forget: () => void;
  readonly #waiting = new Map<number, () => void>();
  readonly #events = Buffer.allocUnsafeSlow(EVENT * MOST);
  readonly #eventsAt = addressOf(this.#events);

  constructor() {
    const fd = systemCall(SYS.epoll_create1, EPOLL_CLOEXEC);
    if (fd < 0) throw new SystemError(-fd, 'epoll_create1');
    this.#fd = fd;
    // Whoever waits keeps the process alive by itself.
    this.#watch = watch(this.#fd, { readable: true }, () => this.#turn());
    this.#watch.unref();
    this.#forget = atExit(() => {
      if (!isMainThread) this.#watch.close();
    });
  }

  /** Calls back once, when the descriptor is readable, or writable, or broken: 0; or the negated errno for which it can't. */
  wait(fd: number, until: 'readable' | 'writable', ready: () => void): number {
    this.#events.writeUInt32LE(until === 'readable' ? POLLIN : POLLOUT, 0);
    this.#events.writeInt32LE(fd, DATA);
    const r = systemCall(SYS.epoll_ctl, this.#fd, EPOLL_CTL_ADD, fd, this.#eventsAt);
    if (r === 0) this.#waiting.set(fd, ready);
    return r;
  }

  /** Waits no longer. Before the descriptor is closed. */
  forget(fd: number): void {
    if (this.#waiting.delete(fd)) systemCall(SYS.epoll_ctl, this.#fd, EPOLL_CTL_DEL, fd, this.#eventsAt);
  }

  #turn(): void {
    const count = systemCall(SYS.epoll_pwait, this.#fd, this.#eventsAt, MOST, 0);
    const fds = Array.from({ length: Math.max(count, 0) }, (_, i) => this.#events.readInt32LE(i * EVENT + DATA));
    for (const fd of fds) {
      const ready = this.#waiting.get(fd);
      this.forget(fd);
      ready?.();
    }
  }

  close(): void {
    this.#forget();
    this.#watch.close();
    close(this.#fd);
  }
}
