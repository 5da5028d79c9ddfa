/**
 * An open file as the operations on it see it: its descriptor, its place among the ring's registered files, and how many
 * operations are in flight on it. It is never used for another file, so it is the generation of its descriptor: one that
 * is closed is EBADF for ever, whoever has its number by then. The public UringFile stands before it; what is in flight
 * holds only this, so that a UringFile nobody has any more is collected, and told of.
 */
import { close } from 'node:fs';
import { EBADF } from '../abi/errno.ts';

export class Descriptor {
  /** -1 where it has none: a direct one. */
  readonly fd: number;
  /** Its place among the ring's registered files; -1 while it has none. */
  slot: number;
  /** It is in its slot and nowhere else, from when it was opened until it is closed. */
  readonly direct: boolean;
  /** Operations that use it, from when they are asked for until they have completed. */
  busy = 0;
  /** Reads and writes, and when the last was: what a slot is given for, and taken for. */
  uses = 0;
  used = 0;
  closed = false;
  /** Waits for `busy` to be 0. */
  idle: (() => void) | undefined = undefined;

  constructor(fd: number, slot: number) {
    this.fd = fd;
    this.slot = slot;
    this.direct = fd < 0;
  }

  /** The descriptor's number. EBADF where it is closed, or has none. */
  get number(): number {
    if (this.closed || this.fd < 0) throw EBADF;
    return this.fd;
  }

  acquire(): void {
    this.busy++;
  }
  release(): void {
    if (--this.busy === 0) this.idle?.();
  }
}

/** Closes where nobody waits for it. Not at once: to close a file of a mount that this thread serves waits for this thread. */
export const closeLater = (fd: number): void => close(fd, () => {});
