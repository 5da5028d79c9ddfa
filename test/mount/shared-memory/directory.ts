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
import { hashOf } from '../../../src/fs/shared/buckets.ts';
import { decodeName, encodeName } from '../../../src/protocol/names.ts';
import type { Heap } from './heap.ts';

/** Words of the whole. */
const COUNT = 0;
const BUCKETS = 1;
const ORDER = 2;
/** Places of the order that are used, empty ones among them. */
const PLACES = 3;
const NEXT_COOKIE = 4; // and 5
const HEAD = 6;

/** Words of a name: the next one in its bucket, its hash, what it means, its cookie, its length in bytes, and these. */
const NEXT = 0;
const HASH = 1;
const NODEID = 2; // and 3
const COOKIE = 4; // and 5
const TYPE = 6;
const LENGTH = 7;
const NAME = 8;

/** Words of a place in the order: the cookie, and the name's block or 0. */
const PLACE = 3;

/** The cookies of "." and ".."; those of names come after. */
export const DOT = 1n;
export const DOT_DOT = 2n;
const FIRST = 3;
/** So many empty places are never too many. */
const SPARE = 16;

/** A name that is looked for: its bytes in words, the length in the first. */
export class Name {
  readonly words: Int32Array;
  readonly length: number;
  readonly hash: number;

  constructor(name: string) {
    const bytes = encodeName(name);
    this.length = bytes.length;
    this.words = new Int32Array(Math.ceil(bytes.length / 4));
    new Uint8Array(this.words.buffer).set(bytes);
    this.hash = hashOf(this.words, this.words.length);
  }
}

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

  /** The one whose words begin at `at`. */
  constructor(heap: Heap, at: number) {
    this.#heap = heap;
    this.#at = at;
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
    return this.#heap.get(this.#at + COUNT);
  }

  /** Where a name is; 0 if it is not here. */
  find(name: Name): number {
    const heap = this.#heap;
    const buckets = heap.get(this.#at + BUCKETS);
    if (buckets === 0) return 0;
    let at = heap.get(this.#bucket(buckets, name.hash));
    while (at !== 0 && !this.#is(at, name)) at = heap.get(at + NEXT);
    return at;
  }
  #is(at: number, { hash, length, words }: Name): boolean {
    const heap = this.#heap;
    if (heap.get(at + HASH) !== hash || heap.get(at + LENGTH) !== length) return false;
    for (let i = 0; i < words.length; i++) if (heap.get(at + NAME + i) !== words[i]) return false;
    return true;
  }
  #bucket(buckets: number, hash: number): number {
    return buckets + ((hash >>> 0) & (this.#heap.room(buckets) - 1));
  }

  nodeid(at: number): number {
    return this.#heap.getWide(at + NODEID);
  }
  /** Makes a name mean another node; it keeps its place in the listing. */
  turn(at: number, nodeid: number, type: number): void {
    this.#heap.setWide(at + NODEID, nodeid);
    this.#heap.set(at + TYPE, type);
  }

  /** A name that is not here. ENOMEM, and then nothing has happened. */
  add(name: Name, nodeid: number, type: number): void {
    const heap = this.#heap;
    this.#makeRoom();
    const at = heap.take(NAME + name.words.length);
    const cookie = heap.getWide(this.#at + NEXT_COOKIE);
    heap.setWide(this.#at + NEXT_COOKIE, cookie + 1);
    heap.set(at + HASH, name.hash);
    heap.setWide(at + COOKIE, cookie);
    heap.set(at + LENGTH, name.length);
    for (let i = 0; i < name.words.length; i++) heap.set(at + NAME + i, name.words[i]!);
    this.turn(at, nodeid, type);
    this.#chain(at);
    const places = heap.get(this.#at + PLACES);
    const place = heap.get(this.#at + ORDER) + places * PLACE;
    heap.setWide(place, cookie);
    heap.set(place + 2, at);
    heap.set(this.#at + PLACES, places + 1);
    heap.set(this.#at + COUNT, this.size + 1);
  }
  #chain(at: number): void {
    const heap = this.#heap;
    const bucket = this.#bucket(heap.get(this.#at + BUCKETS), heap.get(at + HASH));
    heap.set(at + NEXT, heap.get(bucket));
    heap.set(bucket, at);
  }

  /** Sees to it that there is a place and a bucket for one more. */
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
    const buckets = heap.get(this.#at + BUCKETS);
    if (buckets === 0) heap.set(this.#at + BUCKETS, heap.take(8));
    else if (this.size >= heap.room(buckets)) {
      heap.set(this.#at + BUCKETS, heap.take(2 * heap.room(buckets)));
      heap.give(buckets);
      for (const at of this.#names()) this.#chain(at);
    }
  }

  remove(at: number): void {
    const heap = this.#heap;
    let link = this.#bucket(heap.get(this.#at + BUCKETS), heap.get(at + HASH));
    while (heap.get(link) !== at) link = heap.get(link) + NEXT;
    heap.set(link, heap.get(at + NEXT));
    const place = this.#behind(heap.getWide(at + COOKIE) - 1);
    heap.set(heap.get(this.#at + ORDER) + place * PLACE + 2, 0);
    heap.set(this.#at + COUNT, this.size - 1);
    heap.give(at);
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
    const heap = this.#heap;
    const length = heap.get(at + LENGTH);
    const nodeid = this.nodeid(at);
    const name = decodeName(heap.copy(at + NAME, length), 0, length);
    const off = BigInt(heap.getWide(at + COOKIE));
    return { name, nodeid, off, type: heap.get(at + TYPE), ino: BigInt(nodeid) };
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
    yield* this.#names();
    for (const word of [BUCKETS, ORDER]) {
      const at = this.#heap.get(this.#at + word);
      if (at !== 0) yield at;
    }
    yield this.#at;
  }

  /** Throws where an invariant does not hold. */
  check(): void {
    const heap = this.#heap;
    let last = 0;
    let count = 0;
    const order = heap.get(this.#at + ORDER);
    for (let i = 0; i < heap.get(this.#at + PLACES); i++) {
      const cookie = heap.getWide(order + i * PLACE);
      if (cookie <= last) throw new Error(`cookie ${cookie} comes after ${last}`);
      last = cookie;
    }
    if (last >= heap.getWide(this.#at + NEXT_COOKIE)) throw new Error(`cookie ${last} was not given yet`);
    for (const at of this.#names()) {
      count++;
      const { name } = this.#entry(at);
      if (this.find(new Name(name)) !== at) throw new Error(`${name} is in its order, and not found`);
    }
    if (count !== this.size) throw new Error(`${this.size} names are counted, ${count} are in order`);
    let chained = 0;
    const buckets = heap.get(this.#at + BUCKETS);
    for (let i = 0; buckets !== 0 && i < heap.room(buckets); i++)
      for (let at = heap.get(buckets + i); at !== 0; at = heap.get(at + NEXT))
        if (++chained > count) throw new Error('a bucket goes round, or has a name that is not in order');
    if (chained !== count) throw new Error(`${count} names are in order, ${chained} in buckets`);
  }
}
