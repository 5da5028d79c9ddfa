/**
 * The memory that reads and writes are lent: where it is, to whom it is lent now, and whether the ring has it registered.
 *
 * An address costs 300 ns to ask for, so that of an ArrayBuffer is asked once. It holds as long as the ArrayBuffer does:
 * one that is detached has no bytes left and is refused for that, and what got its memory is another object; one that is
 * resized stays where it is. What nobody can do is to hold memory that was detached while it is lent: the kernel goes on
 * writing where it was, so that is for the program to leave undone, and an error at the end says that it was done.
 *
 * Memory that is read into is lent to one operation. A second that is given any of the same bytes meanwhile, to read into
 * or to write from, is refused: what it would find there is anybody's guess. The last LOOKED_AT operations on the
 * same ArrayBuffer are looked at, so that thousands of buffers cut from one cost no more.
 */
import { addressOf } from '../abi/syscall.ts';

/** What is lent, and the others of the same ArrayBuffer: a list that goes through the operations themselves. */
export interface Loan {
  addr: number;
  len: number;
  /** The kernel writes to it. */
  filled: boolean;
  region: Region | undefined;
  before: Loan | undefined;
  after: Loan | undefined;
}

/** Operations that are looked at for the same bytes. */
const LOOKED_AT = 64;

/** A registered buffer: addresses from `start` to `end`. */
interface Registered {
  readonly index: number;
  readonly start: number;
  readonly end: number;
}

/** The memory of an ArrayBuffer. */
export class Region {
  readonly address: number;
  registered: Registered[] | undefined = undefined;
  #last: Loan | undefined = undefined;

  constructor(address: number) {
    this.address = address;
  }

  /** Whether any of the bytes is lent in a way that forbids to lend it again. */
  lent(addr: number, len: number, filled: boolean): boolean {
    let loan = this.#last;
    for (let i = 0; loan !== undefined && i < LOOKED_AT; i++, loan = loan.before)
      if ((filled || loan.filled) && addr < loan.addr + loan.len && loan.addr < addr + len) return true;
    return false;
  }
  lend(loan: Loan): void {
    const last = this.#last;
    loan.region = this;
    loan.before = last;
    if (last !== undefined) last.after = loan;
    this.#last = loan;
  }
  giveBack(loan: Loan): void {
    const { before, after } = loan;
    if (before !== undefined) before.after = after;
    if (after !== undefined) after.before = before;
    else this.#last = before;
    loan.region = loan.before = loan.after = undefined;
  }

  /** The registered buffer that bytes lie in, or -1. */
  registeredAt(addr: number, len: number): number {
    if (this.registered !== undefined)
      for (const { index, start, end } of this.registered) if (addr >= start && addr + len <= end) return index;
    return -1;
  }
}

export class Buffers {
  readonly #regions = new WeakMap<ArrayBufferLike, Region>();
  /** Held: the kernel has their pages. */
  #registered: readonly Uint8Array[] = [];
  readonly #inUse = new Set<Region>();

  /** The region of a buffer, which must have bytes. */
  of(buffer: Uint8Array): Region {
    const memory = buffer.buffer;
    const known = this.#regions.get(memory);
    if (known !== undefined) return known;
    const region = new Region(addressOf(buffer) - buffer.byteOffset);
    this.#regions.set(memory, region);
    return region;
  }

  /** Where each buffer begins. */
  addresses(buffers: readonly Uint8Array[]): number[] {
    return buffers.map((buffer) => (buffer.byteLength === 0 ? 0 : this.of(buffer).address + buffer.byteOffset));
  }

  get registered(): readonly Uint8Array[] {
    return this.#registered;
  }
  /** What the ring has registered, in its order; with `used` false it is remembered and not used. */
  register(buffers: readonly Uint8Array[], used: boolean): void {
    for (const region of this.#inUse) region.registered = undefined;
    this.#inUse.clear();
    this.#registered = [...buffers];
    if (!used) return;
    for (const [index, buffer] of buffers.entries()) {
      const region = this.of(buffer);
      const start = region.address + buffer.byteOffset;
      region.registered ??= [];
      region.registered.push({ index, start, end: start + buffer.byteLength });
      this.#inUse.add(region);
    }
  }
}

/** The bytes were gone. */
export const detached = (): TypeError => new TypeError('the buffer was detached or resized while it was lent');
/** Somebody has them. */
export const lentAlready = (): TypeError =>
  new TypeError('some of these bytes are lent to an operation that has not completed');
