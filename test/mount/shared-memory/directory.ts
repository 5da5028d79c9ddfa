/**
 * A directory in shared memory: its names in a hash table, to find them, and in the order of their cookies, to list
 * them. All of it is under the lock of names (tree.ts).
 *
 * As in MemoryFs a cookie is given once, from a count that only grows, and a name that goes leaves its place in the order
 * empty until such places are more than the others. So a listing that goes on behind a cookie neither skips nor
 * repeats a name that was there all along, and whoever lists in the meantime need not be known.
 *
 * It is three blocks and one for each name: the words of the whole, the buckets, the order.
 */
import type { Heap } from '../../../src/fs/shared/heap.ts';
import { type Name, NameTable, OWN, TABLE } from '../../../src/fs/shared/names.ts';

/** Words of the whole, behind those of its table of names. */
const ORDER = TABLE;
/** Places of the order that are used, empty ones among them. */
const PLACES = TABLE + 1;
const NEXT_COOKIE = TABLE + 2; // and the next
const HEAD = TABLE + 4;

/** What we have of each name: its cookie, its type. */
const COOKIE = OWN; // and the next
const TYPE = OWN + 2;

/** Words of a place in the order: the cookie, and the name's block or 0. */
const PLACE = 3;

/** The cookies of "." and ".."; those of names come after. */
export const DOT = 1n;
export const DOT_DOT = 2n;
const FIRST = 3;
/** So many empty places are never too many. */
const SPARE = 16;

/** What a name means. */
export interface Entry {
  readonly name: string;
  readonly nodeid: number;
  readonly off: bigint;
  /** A DT_ constant. */
  readonly type: number;
  readonly ino: bigint;
}

export class Directory {
  readonly #heap: Heap;
  readonly #at: number;
  readonly #table: NameTable;

  /** The one whose words begin at `at`. */
  constructor(heap: Heap, at: number) {
    this.#heap = heap;
    this.#at = at;
    this.#table = new NameTable(heap, at, 3);
  }

  /** A new one, without names: where it is. ENOMEM. */
  static make(heap: Heap): number {
    const at = heap.take(HEAD);
    heap.setWide(at + NEXT_COOKIE, FIRST);
    return at;
  }

  /** Gives back what it takes; there are no names in it. */
  free(): void {
    for (const at of this.blocks()) this.#heap.give(at);
  }

  get size(): number {
    return this.#table.size;
  }

  /** Where a name is; 0 if it is not here. */
  find(name: Name): number {
    return this.#table.find(name);
  }
  nodeid(at: number): number {
    return this.#table.nodeid(at);
  }
  /** Makes a name mean another node; it keeps its place in the listing. */
  turn(at: number, nodeid: number, type: number): void {
    this.#table.turn(at, nodeid);
    this.#heap.set(at + TYPE, type);
  }

  /** A name that is not here. ENOMEM, and then nothing has happened. */
  add(name: Name, nodeid: number, type: number): void {
    const heap = this.#heap;
    this.#makeRoom();
    const at = this.#table.add(name, nodeid);
    const cookie = heap.getWide(this.#at + NEXT_COOKIE);
    heap.setWide(this.#at + NEXT_COOKIE, cookie + 1);
    heap.setWide(at + COOKIE, cookie);
    heap.set(at + TYPE, type);
    const places = heap.get(this.#at + PLACES);
    const place = heap.get(this.#at + ORDER) + places * PLACE;
    heap.setWide(place, cookie);
    heap.set(place + 2, at);
    heap.set(this.#at + PLACES, places + 1);
  }

  /** Sees to it that there is a place for one more. */
  #makeRoom(): void {
    const heap = this.#heap;
    const order = heap.get(this.#at + ORDER);
    const places = heap.get(this.#at + PLACES);
    if (order === 0) heap.set(this.#at + ORDER, heap.take(8 * PLACE));
    else if ((places + 1) * PLACE > heap.room(order)) {
      const larger = heap.take(2 * places * PLACE);
      for (let i = 0; i < places * PLACE; i++) heap.set(larger + i, heap.get(order + i));
      heap.set(this.#at + ORDER, larger);
      heap.give(order);
    }
  }

  remove(at: number): void {
    const heap = this.#heap;
    const place = this.#behind(heap.getWide(at + COOKIE) - 1);
    heap.set(heap.get(this.#at + ORDER) + place * PLACE + 2, 0);
    this.#table.remove(at);
    if (heap.get(this.#at + PLACES) > 2 * this.size + SPARE) this.#compact();
  }
  /** Makes the order anew, without empty places. */
  #compact(): void {
    const heap = this.#heap;
    const order = heap.get(this.#at + ORDER);
    let to = order;
    for (const at of this.#names()) {
      heap.setWide(to, heap.getWide(at + COOKIE));
      heap.set(to + 2, at);
      to += PLACE;
    }
    heap.set(this.#at + PLACES, (to - order) / PLACE);
  }

  /** The blocks of the names that come after a cookie, in their order. */
  *#names(after = 0): Generator<number> {
    const heap = this.#heap;
    const order = heap.get(this.#at + ORDER);
    for (let i = this.#behind(after); i < heap.get(this.#at + PLACES); i++) {
      const at = heap.get(order + i * PLACE + 2);
      if (at !== 0) yield at;
    }
  }
  /** The names that come after a cookie. */
  *entries(after = 0n): Generator<Entry> {
    for (const at of this.#names(Number(after))) yield this.#entry(at);
  }
  #entry(at: number): Entry {
    const nodeid = this.nodeid(at);
    const off = BigInt(this.#heap.getWide(at + COOKIE));
    return { name: this.#table.text(at), nodeid, off, type: this.#heap.get(at + TYPE), ino: BigInt(nodeid) };
  }

  /** Where in the order the first cookie is that is greater. */
  #behind(cookie: number): number {
    const heap = this.#heap;
    const order = heap.get(this.#at + ORDER);
    let low = 0;
    let high = heap.get(this.#at + PLACES);
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (heap.getWide(order + middle * PLACE) <= cookie) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** All blocks that it takes. */
  *blocks(): Generator<number> {
    yield* this.#table.blocks();
    const order = this.#heap.get(this.#at + ORDER);
    if (order !== 0) yield order;
    yield this.#at;
  }

  /** Throws where an invariant does not hold. */
  check(): void {
    const heap = this.#heap;
    this.#table.check();
    let last = 0;
    const order = heap.get(this.#at + ORDER);
    for (let i = 0; i < heap.get(this.#at + PLACES); i++) {
      const cookie = heap.getWide(order + i * PLACE);
      if (cookie <= last) throw new Error(`cookie ${cookie} comes after ${last}`);
      last = cookie;
    }
    if (last >= heap.getWide(this.#at + NEXT_COOKIE)) throw new Error(`cookie ${last} was not given yet`);
    const count = [...this.#names()].length;
    if (count !== this.size) throw new Error(`${this.size} names are counted, ${count} are in order`);
  }
}
