/**
 * What goes to the kernel for the writes of a durable file: those that follow each other in the file are one WRITEV, and
 * all are linked, in the order in which they were asked for. What comes back is told to each of them: how far it got.
 *
 * No I/O is done here.
 */
import { ECANCELED, EIO, type Errno, errno } from '../abi/errno.ts';
import { addressOf } from '../abi/syscall.ts';
import { IORING_OP } from '../abi/uring-constants.ts';
import { detached, type Loan, type Region } from './buffers.ts';
import { type Link, TRANSFER_MOST } from './operation.ts';

/** How a write is made durable. @see DurableFile */
export type SyncMethod = 'linked' | 'separate' | 'rwf_dsync';
export type Durability = 'none' | SyncMethod;

/** A write that somebody waits for. It is lent its bytes. */
export class Write implements Loan {
  readonly bytes: Uint8Array;
  readonly byteLength: number;
  readonly durability: Durability;
  readonly appends: boolean;
  /** Where it goes; of an append, once it has begun. */
  offset: number;
  /** Bytes that are written. */
  done = 0;
  addr: number;
  len: number;
  readonly filled = false;
  region: Region | undefined = undefined;
  before: Loan | undefined = undefined;
  after: Loan | undefined = undefined;
  readonly promise: Promise<number>;
  #resolve!: (offset: number) => void;
  #reject!: (error: unknown) => void;

  constructor(bytes: Uint8Array, addr: number, offset: number | undefined, durability: Durability) {
    this.bytes = bytes;
    this.byteLength = this.len = bytes.byteLength;
    this.addr = addr;
    this.appends = offset === undefined;
    this.offset = offset ?? 0;
    this.durability = durability;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** It is over, and its bytes are whose they were. */
  settle(error?: unknown): void {
    this.region?.giveBack(this);
    if (error !== undefined) this.#reject(error);
    else if (this.detached) this.#reject(detached());
    else this.#resolve(this.offset);
  }

  /** The file reaches at least so far when it is written: nothing to write moves no end. */
  get end(): number {
    return this.byteLength === 0 ? 0 : this.offset + this.byteLength;
  }
  get left(): number {
    return this.byteLength - this.done;
  }
  /** Its bytes are not there any more. */
  get detached(): boolean {
    return this.bytes.byteLength !== this.byteLength;
  }
}

/** Writes that follow each other in the file. */
interface Run {
  readonly offset: number;
  length: number;
  readonly writes: Write[];
}

/** The kernel takes no more in one WRITEV. @see include/uapi/linux/uio.h: UIO_MAXIOV */
const VECTORS = 1024;
/** Linked at most: a chain is submitted as a whole. */
const RUNS = 64;

/** struct iovec, for as many as there may be: there is one plan at a time. */
export class Vectors {
  readonly #bytes = Buffer.allocUnsafeSlow(16 * VECTORS);
  readonly #view = new DataView(this.#bytes.buffer);
  readonly #address = addressOf(this.#bytes);
  #used = 0;

  clear(): void {
    this.#used = 0;
  }
  /** Puts those of a run behind what is there: where they begin. */
  put(writes: readonly Write[]): number {
    const start = this.#address + 16 * this.#used;
    for (const { addr, done, left } of writes) {
      const at = 16 * this.#used++;
      this.#view.setBigUint64(at, BigInt(addr + done), true);
      this.#view.setBigUint64(at + 8, BigInt(left), true);
    }
    return start;
  }
}

export class Plan {
  /** How many of the writes are done with it: the first ones. */
  readonly count: number;
  readonly #runs: Run[] = [];

  /** Appends that have not begun follow each other from `end` on. There are `most` runs at most. */
  constructor(writes: readonly Write[], end: number, most: number) {
    let append = end;
    let count = 0;
    for (; count < Math.min(writes.length, VECTORS); count++) {
      const write = writes[count]!;
      if (write.appends && write.done === 0) write.offset = append;
      if (write.left > 0 && !this.#place(write, most)) break;
      append = Math.max(append, write.end);
    }
    this.count = count;
  }

  #place(write: Write, most: number): boolean {
    const offset = write.offset + write.done;
    const last = this.#runs.at(-1);
    if (last !== undefined && last.offset + last.length === offset && last.length + write.left <= TRANSFER_MOST) {
      last.writes.push(write);
      last.length += write.left;
    } else if (this.#runs.length < Math.min(most, RUNS))
      this.#runs.push({ offset, length: write.left, writes: [write] });
    else return false;
    return true;
  }

  get runs(): number {
    return this.#runs.length;
  }
  /** Where in the file the first begins; Infinity where there is none. */
  get start(): number {
    return this.#runs[0]?.offset ?? Number.POSITIVE_INFINITY;
  }

  /** What the kernel is told; `op_flags` are RWF_ flags. */
  links(vectors: Vectors, op_flags: number): Link[] {
    vectors.clear();
    return this.#runs.map((run) => link(run, vectors, op_flags));
  }

  /** Tells the writes what their runs gave. Whether `all` are written, and those that failed, each with its own error. */
  tell(results: readonly number[]): { readonly all: boolean; readonly failed: readonly (readonly [Write, Errno])[] } {
    const failed: [Write, Errno][] = [];
    let all = true;
    for (const [i, { length, writes }] of this.#runs.entries()) {
      const result = results[i]!;
      if (result === length) for (const write of writes) write.done = write.byteLength;
      else {
        // What is linked behind it was cancelled for it. That is nobody's error: it is done again.
        const cancelled = result === -ECANCELED.errno && !all;
        all = false;
        if (result > 0) credit(writes, result);
        else if (!cancelled) failed.push([writes[0]!, result === 0 ? EIO : errno(-result)]);
      }
    }
    return { all, failed };
  }
}

function credit(writes: readonly Write[], bytes: number): void {
  let left = bytes;
  for (const write of writes) {
    const part = Math.min(left, write.left);
    write.done += part;
    left -= part;
  }
}

function link({ offset, length, writes }: Run, vectors: Vectors, op_flags: number): Link {
  const [first] = writes as [Write];
  if (writes.length > 1)
    return {
      opcode: IORING_OP.WRITEV,
      sqe: { off: offset, addr: vectors.put(writes), len: writes.length, op_flags },
    };
  const addr = first.addr + first.done;
  const len = Math.min(length, TRANSFER_MOST);
  const buf_index = first.region!.registeredAt(addr, len);
  if (buf_index < 0) return { opcode: IORING_OP.WRITE, sqe: { off: offset, addr, len, op_flags } };
  return { opcode: IORING_OP.WRITE_FIXED, sqe: { off: offset, addr, len, op_flags, buf_index } };
}
