/**
 * The memory that files are made of: pages of 4 KiB, cut from segments of 16 MiB that the kernel gives us, and
 * numbered from 1. What a page holds when it is taken is undefined: whoever takes it fills it.
 *
 * Space is counted apart from memory. `reserve` is the promise that a page can be had (it is what ENOSPC comes
 * from, and what fallocate(2) buys); `take` redeems it. So a file that is all reservation costs no memory.
 */
import { ENOSPC } from '../../abi/errno.ts';
import { Memory } from '../../abi/memory.ts';

/** Bytes in a page: the grain of holes and of `st_blocks`, whatever the machine's own page size is. */
export const PAGE = 4096;
/** Pages in a segment: a page number holds the segment above these bits, and the place in it below. */
const SEGMENT_BITS = 12;
const SEGMENT = 1 << SEGMENT_BITS;
/** An empty segment keeps so much memory (in pages): a file that comes and goes does not cost a system call each time. */
const KEPT = 64;

class Segment {
  readonly memory = new Memory(SEGMENT * PAGE);
  readonly bytes = Buffer.from(this.memory.buffer);
  /** Pages from here on were never taken since the segment was empty. */
  fresh = 0;
  /** Pages below `fresh` that were given back: the last one goes out first. */
  readonly free: number[] = [];

  get used(): number {
    return this.fresh - this.free.length;
  }
}

export class Pages {
  /** How many pages may be reserved at most. */
  readonly limit: number;
  /** INVARIANT: pages taken and pages promised but not taken yet; at most `limit`. */
  reserved = 0;
  readonly #segments: Segment[] = [];
  /** Where the next page is looked for first. */
  #at = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Promises so many pages. ENOSPC, and then nothing has happened. */
  reserve(count: number): void {
    if (count > this.limit - this.reserved) throw ENOSPC;
    this.reserved += count;
  }
  /** Takes a promise back. */
  unreserve(count: number): void {
    this.reserved -= count;
  }

  /** A page that was reserved; its number. What it holds is undefined. */
  take(): number {
    let segment = this.#segments[this.#at];
    if (segment === undefined || segment.used === SEGMENT) segment = this.#withSpace();
    const { free } = segment;
    const page = free.length > 0 ? free.pop()! : segment.fresh++;
    return (this.#at << SEGMENT_BITS) + page + 1;
  }

  #withSpace(): Segment {
    const found = this.#segments.findIndex(({ used }) => used < SEGMENT);
    this.#at = found < 0 ? this.#segments.length : found;
    if (found < 0) this.#segments.push(new Segment());
    return this.#segments[this.#at]!;
  }

  /** Gives a page back. Its reservation stays: see `unreserve`. */
  give(number: number): void {
    const segment = this.#segments[(number - 1) >>> SEGMENT_BITS]!;
    segment.free.push((number - 1) & (SEGMENT - 1));
    if (segment.used > 0) return;
    if (segment.fresh > KEPT) segment.memory.clear();
    segment.fresh = 0;
    segment.free.length = 0;
  }

  /** Whether the page after this one in memory is the next in number: not at the end of a segment. */
  continues(number: number): boolean {
    return number % SEGMENT !== 0;
  }

  /** The segment's bytes that hold a page, and (`start`) where in it the page begins. */
  bytes(number: number): Buffer {
    return this.#segments[(number - 1) >>> SEGMENT_BITS]!.bytes;
  }
  start(number: number): number {
    return ((number - 1) & (SEGMENT - 1)) * PAGE;
  }

  /** Pages in memory now. */
  get taken(): number {
    return this.#segments.reduce((sum, { used }) => sum + used, 0);
  }
}
