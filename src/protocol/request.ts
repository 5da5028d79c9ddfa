/**
 * The first argument of every handler: who asks, about which node, under which id. Its members are read
 * from the message when asked for, from a view that belongs to the slot: nothing is made per request.
 * It is therefore valid until the request is answered, and no longer.
 */
import { ESTALE } from '../abi/errno.ts';
import type { Extensions } from './extensions.ts';

/**
 * A user or group id, or FUSE_INVALID_UIDGID (4294967295): that is what the kernel sends where it gives
 * no caller, which is every request but creations on a mount with ALLOW_IDMAP.
 */
export type CallerId = number & { readonly mayBe?: 'FUSE_INVALID_UIDGID' };

export class Request {
  /** Where the message's header lies. Changes when a waiting request moves to a smaller buffer. */
  view: DataView;
  /** Set before the handler runs, where the message has any. */
  extensions: Extensions | undefined = undefined;
  /** Why the request is over for its caller; undefined while it is not. */
  aborted: Error | undefined = undefined;
  #controller: AbortController | undefined = undefined;

  constructor(view: DataView) {
    this.view = view;
  }

  /** fuse_in_header.len: bytes in the whole message. */
  get len(): number {
    return this.view.getUint32(0, true);
  }
  get opcode(): number {
    return this.view.getUint32(4, true);
  }
  /** The request's id: even, never reused; bit 63 is set when it comes a second time after NOTIFY_RESEND. */
  get unique(): bigint {
    return this.view.getBigUint64(8, true);
  }
  /** The node it is about: for a name, its directory. */
  get nodeid(): number {
    const high = this.view.getUint32(20, true);
    if (high > 0x1f_ffff) throw ESTALE; // no node of ours: ids are numbers
    return this.view.getUint32(16, true) + high * 0x1_0000_0000;
  }
  /** The caller's file-system uid. */
  get uid(): CallerId {
    return this.view.getUint32(24, true);
  }
  /** The caller's file-system gid. */
  get gid(): CallerId {
    return this.view.getUint32(28, true);
  }
  /** The thread that called, in the pid namespace of the mount; 0 where there is none to name. */
  get pid(): number {
    return this.view.getUint32(32, true);
  }
  /** fuse_in_header.total_extlen, in units of 8 bytes. */
  get total_extlen(): number {
    return this.view.getUint16(36, true);
  }

  /**
   * Aborted when the caller was interrupted by a signal (reason: EINTR) or the session is over (ENOTCONN);
   * `signal.throwIfAborted()` then throws what shall be answered. Made when first asked for.
   */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.aborted !== undefined) this.#controller.abort(this.aborted);
    }
    return this.#controller.signal;
  }

  /** @internal */
  abort(reason: Error): void {
    this.aborted ??= reason;
    this.#controller?.abort(reason);
  }

  /** Ready for the next message. @internal */
  reset(): void {
    this.extensions = undefined;
    if (this.aborted !== undefined) this.aborted = undefined;
    if (this.#controller !== undefined) this.#controller = undefined;
  }
}
