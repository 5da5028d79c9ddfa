/**
 * Replies that the kernel did not take: it knows no such request any more. Whoever gave it a lookup or a handle in
 * that reply has to have it back, or the books never end at zero.
 *
 * Unless the request may come again. RESEND gives a request a new id, and the answer under the old one is refused; so
 * for as long as that may happen the answer is kept, and sent when its request comes.
 */
import { fuse_create_out, fuse_entry_out, type fuse_forget_one, fuse_in_header, fuse_open_out } from '../abi/fuse.ts';
import { FUSE_UNIQUE_RESEND } from '../abi/fuse-constants.ts';
import { lookupsIn } from './dirent.ts';
import { type Operation, type OperationName, operations } from './operations.ts';
import { Request } from './request.ts';
import type { Slot } from './slot.ts';

/** How long a refused reply is kept for its request to come again, in ms. */
const KEPT = 5_000;

const byCode = new Map<number, [OperationName, Operation]>();
for (const [name, row] of Object.entries(operations) as [OperationName, Operation][])
  if (row.compat !== true) byCode.set(row.code, [name, row]);
/** The operation of an opcode: its name, and its line in the table. */
export const operationOf = (opcode: number): [OperationName, Operation] | undefined => byCode.get(opcode);

/** A reply and the request it was for: a slot, or what is left of one. */
type Carried = Pick<Slot, 'out' | 'outAt' | 'request'>;
interface Kept extends Carried {
  readonly answer: number;
}

/** What it needs of its session. */
export interface Books {
  /** Whether requests that were sent again may still be on their way. */
  resent(): boolean;
  forget(request: Request, one: fuse_forget_one): void;
  release(method: 'release' | 'releasedir', request: Request, fh: number): void;
}

export class Refused {
  readonly #books: Books;
  /** By the id that the request came with first. */
  readonly #kept = new Map<bigint, Kept>();

  constructor(books: Books) {
    this.#books = books;
  }

  /** A reply was refused. */
  take(slot: Slot, answer: number, over: boolean): void {
    // An error is kept too: the handler that failed must not be started a second time.
    if (over || !this.#books.resent()) return this.takeBack(slot, answer);
    const { unique, view } = slot.request;
    const header = new DataView(view.buffer.slice(view.byteOffset, view.byteOffset + fuse_in_header.size));
    const body = new Uint8Array(slot.body.subarray(0, Math.max(0, answer))).buffer;
    const kept: Kept = { request: new Request(header), out: new DataView(body), outAt: 0, answer };
    const first = unique & ~FUSE_UNIQUE_RESEND;
    this.#kept.set(first, kept);
    setTimeout(() => this.#drop(first, kept), KEPT).unref();
  }

  /** The answer for a request that came again, put into its slot; undefined where none was refused. */
  again(slot: Slot): number | undefined {
    const { unique, opcode } = slot.request;
    const first = unique & ~FUSE_UNIQUE_RESEND;
    const kept = this.#kept.get(first);
    if (kept === undefined || kept.request.opcode !== opcode) return undefined;
    this.#kept.delete(first);
    slot.body.set(new Uint8Array(kept.out.buffer));
    return kept.answer;
  }

  /** The session is over: nothing comes again. */
  end(): void {
    for (const [first, kept] of [...this.#kept]) this.#drop(first, kept);
  }

  /** Its request did not come again. */
  #drop(first: bigint, kept: Kept): void {
    if (this.#kept.get(first) !== kept) return;
    this.#kept.delete(first);
    this.takeBack(kept, kept.answer);
  }

  /** Gives the filesystem back what a reply that nobody got would have given to the kernel. Never throws. */
  takeBack({ out, outAt, request }: Carried, answer: number): void {
    if (answer < 0) return;
    const row = operationOf(request.opcode)?.[1];
    const forget = (nodeid: number) => {
      if (nodeid !== 0) this.#books.forget(request, { nodeid, nlookup: 1 });
    };
    if (row?.out === fuse_entry_out) forget(fuse_entry_out.decode(out, outAt).nodeid);
    else if (row?.out === fuse_create_out) {
      const { entry, open } = fuse_create_out.decode(out, outAt);
      this.#close('release', entry.nodeid, open.fh, request);
      forget(entry.nodeid);
    } else if (row?.out === fuse_open_out) {
      const { fh } = fuse_open_out.decode(out, outAt);
      this.#close(row === operations.OPEN ? 'release' : 'releasedir', request.nodeid, fh, request);
    } else if (row === operations.READDIRPLUS)
      for (const nodeid of lookupsIn(out, outAt, outAt + answer)) forget(nodeid);
  }

  #close(method: 'release' | 'releasedir', nodeid: number, fh: number, { view }: Request): void {
    // A header of its own, on another node: an asynchronous method outlives the slot.
    const header = new DataView(view.buffer.slice(view.byteOffset, view.byteOffset + fuse_in_header.size));
    const closing = new Request(header);
    header.setBigUint64(16, BigInt(nodeid), true);
    this.#books.release(method, closing, fh);
  }
}
