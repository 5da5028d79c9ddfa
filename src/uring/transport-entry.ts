/**
 * The entries of a FUSE ring: the memory that the kernel writes requests to and reads replies from, with its views.
 *
 * An entry is what the kernel knows: headers and a payload at fixed addresses, registered once. A slot is what the session
 * knows. Mostly an entry's slot lies in the entry's own memory. Where a request may be answered while its handler still
 * runs (`handlerTimeout`), that would not do: with the answer the memory is the kernel's again, for the next request, and the
 * handler would write into that one. Such requests get a slot apart, in memory of its own.
 */
import { fuse_in_header, fuse_notify_retrieve_in, fuse_uring_req_header } from '../abi/fuse.ts';
import { Memory } from '../abi/memory.ts';
import { pageSize } from '../abi/syscall.ts';
import { type Buffers, Slot } from '../protocol/slot.ts';
import { HEADERS, type Plan } from './transport-plan.ts';

const { offset, size: HEADER } = fuse_uring_req_header;
/** Where the operation's struct lies. */
export const OP_IN: number = offset.op_in;
/** Where the iovecs lie that REGISTER reads, behind the headers. */
const IOVECS = 320;

/** Words of the headers, of 32 bits. */
export const WORD = {
  length: fuse_in_header.offset.len / 4,
  opcode: fuse_in_header.offset.opcode / 4,
  /** In a reply, where the opcode was. */
  error: 1,
  commitLow: (offset.ring_ent_in_out + 8) / 4,
  commitHigh: (offset.ring_ent_in_out + 12) / 4,
  payloadSize: (offset.ring_ent_in_out + 16) / 4,
} as const;

/** Where an entry is. */
export const STATES = ['new', 'kernel', 'here'] as const;
export type EntryState = (typeof STATES)[number];

export class EntryBuffers implements Buffers {
  readonly view: DataView;
  readonly bytes: Buffer;
  readonly out: DataView;
  readonly body: Buffer;
  readonly words: Int32Array;
  /** Whose request is in here. */
  entry: Entry | undefined;

  constructor(memory: Memory, headers: number, payload: number, length: number) {
    const { buffer } = memory;
    this.view = new DataView(buffer, headers, HEADER);
    this.words = new Int32Array(buffer, headers, HEADER / 4);
    this.bytes = Buffer.from(buffer, payload, length);
    this.body = this.bytes;
    this.out = new DataView(buffer, payload, length);
  }

  /** Copies a request into other memory, which then belongs to the same entry. */
  copyTo(other: EntryBuffers, size: number): void {
    other.words.set(this.words);
    this.bytes.copy(other.bytes, 0, 0, size);
    other.entry = this.entry;
  }
}

/** In a ring the operation's struct has a place of its own, and a body begins with the payload. */
export const slotIn = (buffers: EntryBuffers): Slot => new Slot(buffers, OP_IN, 0, 0, 0);

export class Entry {
  /** Its number in the ring: what a completion names. */
  readonly index: number;
  readonly queue: number;
  readonly buffers: EntryBuffers;
  slot: Slot;
  /** Where its iovecs lie. */
  readonly iovecs: number;
  state: EntryState = 'new';
  /** The command that the kernel has, or had last. */
  command = 0;
  /** Registered after the others, and never used yet. */
  fresh = false;
  /** Whether its request's handler has not settled. */
  waiting = false;
  /** What is to be committed: bytes of the body, or a negated errno. */
  answer: number | undefined = undefined;
  /** The request's opcode, which the reply's error overwrites. */
  opcode = 0;

  constructor(index: number, queue: number, memory: Memory, headers: number, payload: number, length: number) {
    this.index = index;
    this.queue = queue;
    this.buffers = new EntryBuffers(memory, headers, payload, length);
    this.buffers.entry = this;
    this.slot = slotIn(this.buffers);
    this.iovecs = memory.address + headers + IOVECS;
    const iovecs = new BigUint64Array(memory.buffer, headers + IOVECS, 4);
    iovecs.set([memory.address + headers, HEADER, memory.address + payload, length].map(BigInt));
  }
}

/** A view of 4 GiB or more is more than V8 takes, and ends the process. */
const PIECE = 2 ** 30;

/** The memory of all entries, in pieces. `reserve` is replaced by tests. */
export class EntryMemory {
  readonly #plan: Plan;
  readonly #reserve: (bytes: number) => Memory;
  readonly #pieces: Memory[] = [];

  constructor(of: Plan, reserve: (bytes: number) => Memory = (bytes) => new Memory(bytes)) {
    this.#plan = of;
    this.#reserve = reserve;
  }

  /** More entries, numbered from `first` on, each for the queue that `queueOf` says. */
  *entries(first: number, count: number, queueOf: (i: number) => number): Generator<Entry> {
    const { payload, entry } = this.#plan;
    const pages = Math.ceil(payload / pageSize) * pageSize;
    const each = Math.max(1, Math.floor(PIECE / entry));
    for (let from = 0; from < count; from += each) {
      const here = Math.min(each, count - from);
      const memory = this.#reserve(here * entry);
      this.#pieces.push(memory);
      // Payloads first, each on a page of its own; then the headers of all.
      for (let i = 0; i < here; i++)
        yield new Entry(first + from + i, queueOf(from + i), memory, here * pages + i * HEADERS, i * pages, payload);
    }
  }

  /** A slot in memory of its own. */
  apart(): Slot {
    const { payload } = this.#plan;
    const pages = Math.ceil(payload / pageSize) * pageSize;
    return slotIn(new EntryBuffers(this.#reserve(pages + HEADERS), pages, 0, payload));
  }

  /** Gives the pages back. The addresses go when nobody has a view of them any more: a handler may have kept one. */
  drop(): void {
    for (const memory of this.#pieces.splice(0)) memory.clear();
  }
}

/** NOTIFY_REPLY alone has its struct in the payload, before the data: puts both where those of other requests are. */
export function unpack({ view, bytes }: EntryBuffers, size: number): number {
  const { size: struct } = fuse_notify_retrieve_in;
  if (size < struct) return 0;
  bytes.copy(Buffer.from(view.buffer, view.byteOffset, view.byteLength), OP_IN, 0, struct);
  bytes.copyWithin(0, struct, size);
  return size - struct;
}
