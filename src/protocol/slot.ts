/**
 * One request in hand and the room for its reply, in the three pieces that io_uring has: header,
 * operation struct, payload. The device transport cuts its one buffer in the same three. One class
 * for all transports, so that the code that serves stays monomorphic; its views are made once a buffer,
 * because a DataView costs more (97 ns) than decoding a header (26 to 62 ns).
 */
import type { DirectoryReply } from './dirent.ts';
import { Request } from './request.ts';

/** A buffer pair with its views. A slot moves from one to another when its request has to wait. */
export interface Buffers {
  /** The header at 0, the operation's struct at the slot's `opAt`. */
  readonly view: DataView;
  /** Names, data and extensions, from the slot's `tailAt` on. */
  readonly bytes: Buffer;
  /** The reply, its body at the slot's `outAt`. */
  readonly out: DataView;
  /** The reply's body. */
  readonly body: Buffer;
}

export class Slot {
  view: DataView;
  bytes: Buffer;
  out: DataView;
  body: Buffer;
  /** Where the operation's struct begins in `view`: 40 on the device, 128 in a ring. */
  readonly opAt: number;
  /** Where what follows the struct begins in `bytes`: on the device behind the struct, in a ring at 0. */
  readonly tailAt: number;
  /** 1 where the struct itself lies in `bytes` before the tail (the device), 0 in a ring. */
  readonly structInBytes: number;
  /** Where the body begins in `out`: 16 on the device, 0 in a ring. */
  readonly outAt: number;
  /** What the views above are of; its transport knows more of it. */
  buffers: Buffers;
  /** Where the message ends in `bytes`. */
  end = 0;
  readonly request: Request;
  /** What READDIR's handlers add to; made when the first one comes. */
  entries: DirectoryReply | undefined = undefined;

  constructor(buffers: Buffers, opAt: number, tailAt: number, structInBytes: number, outAt: number) {
    this.view = buffers.view;
    this.bytes = buffers.bytes;
    this.out = buffers.out;
    this.body = buffers.body;
    this.buffers = buffers;
    this.opAt = opAt;
    this.tailAt = tailAt;
    this.structInBytes = structInBytes;
    this.outAt = outAt;
    this.request = new Request(buffers.view);
  }

  /** Changes the buffers under a request. Its message must be in the new ones already. */
  use(buffers: Buffers): void {
    this.view = buffers.view;
    this.bytes = buffers.bytes;
    this.out = buffers.out;
    this.body = buffers.body;
    this.buffers = buffers;
    this.request.view = buffers.view;
  }
}
