/**
 * Names in shared memory, and the node that each means: a hash table whose parts are blocks of a heap. It is what a directory's
 * names are kept in, or anything else that is found by a string. The caller holds the lock of what it belongs to.
 *
 * The table is two words of the caller's (how many names, where the buckets are), which are 0 of an empty one; the buckets, a power of two of them;
 * and a block for each name, in which the caller may have words of its own.
 */
import { encodeName } from '../../protocol/names.ts';
import { hashOf } from './buckets.ts';
import type { Heap } from './heap.ts';

/** Words of the table, and what they are. */
export const TABLE = 2;
const COUNT = 0;
const BUCKETS = 1;
const FEWEST = 8;

/** Words of a name: the next one in its bucket, its hash, what it means, its length in bytes; the caller's, and the bytes. */
const NEXT = 0;
const HASH = 1;
const NODEID = 2; // and 3
const LENGTH = 4;
export const OWN = 5;

/** Words of the longest name of a file. */
const ROOM = 64;

/** A name that is looked for, as its bytes are compared: of ASCII they are its characters, which spares a Buffer. May be another one later. */
export class Name {
  words = new Int32Array(ROOM);
  /** Of `words`, how many it has. */
  count = 0;
  /** In bytes. */
  length = 0;
  hash = 0;

  constructor(name = '') {
    this.is(name);
  }
  /** Is this one from now on. */
  is(name: string): this {
    const words = this.#room(name.length);
    let all = 0;
    for (let i = 0; i < name.length; i++) {
      const code = name.charCodeAt(i);
      all |= code;
      words[i >> 2]! |= code << ((i & 3) * 8);
    }
    this.length = name.length;
    if (all > 0x7f) {
      const bytes = encodeName(name);
      this.length = bytes.length;
      new Uint8Array(this.#room(bytes.length).buffer).set(bytes);
    }
    this.hash = hashOf(this.words, this.count);
    return this;
  }
  /** Words for so many bytes, all 0. */
  #room(bytes: number): Int32Array {
    this.count = (bytes + 3) >> 2;
    if (this.count > this.words.length) this.words = new Int32Array(this.count);
    for (let i = 0; i < this.count; i++) this.words[i] = 0;
    return this.words;
  }
}

export class NameTable {
  readonly #heap: Heap;
  readonly #at: number;
  /** Word of a name's block where its bytes begin. */
  readonly #bytes: number;

  /** The one whose words begin at `at`; each of its names has so many words of the caller's, from `OWN` on. */
  constructor(heap: Heap, at: number, own = 0) {
    this.#heap = heap;
    this.#at = at;
    this.#bytes = OWN + own;
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
  #is(at: number, { hash, length, words, count }: Name): boolean {
    const heap = this.#heap;
    if (heap.get(at + HASH) !== hash || heap.get(at + LENGTH) !== length) return false;
    for (let i = 0; i < count; i++) if (heap.get(at + this.#bytes + i) !== words[i]) return false;
    return true;
  }
  #bucket(buckets: number, hash: number): number {
    return buckets + ((hash >>> 0) & (this.#heap.room(buckets) - 1));
  }

  nodeid(at: number): number {
    return this.#heap.getWide(at + NODEID);
  }
  /** Makes a name mean another node. */
  turn(at: number, nodeid: number): void {
    this.#heap.setWide(at + NODEID, nodeid);
  }
  text(at: number): string {
    return this.#heap.text(at + this.#bytes, this.#heap.get(at + LENGTH));
  }

  /** Adds a name that is not here: where it is. ENOMEM, and then nothing has happened. */
  add(name: Name, nodeid: number): number {
    const heap = this.#heap;
    this.#makeRoom();
    const at = heap.take(this.#bytes + name.count);
    heap.set(at + HASH, name.hash);
    heap.set(at + LENGTH, name.length);
    for (let i = 0; i < name.count; i++) heap.set(at + this.#bytes + i, name.words[i]!);
    this.turn(at, nodeid);
    this.#chain(at);
    heap.set(this.#at + COUNT, this.size + 1);
    return at;
  }
  #chain(at: number): void {
    const heap = this.#heap;
    const bucket = this.#bucket(heap.get(this.#at + BUCKETS), heap.get(at + HASH));
    heap.set(at + NEXT, heap.get(bucket));
    heap.set(bucket, at);
  }
  /** Sees to it that there is a bucket for one more. */
  #makeRoom(): void {
    const heap = this.#heap;
    const buckets = heap.get(this.#at + BUCKETS);
    if (buckets === 0) heap.set(this.#at + BUCKETS, heap.take(FEWEST));
    else if (this.size >= heap.room(buckets)) {
      const larger = heap.take(2 * heap.room(buckets));
      const names = [...this.all()];
      heap.set(this.#at + BUCKETS, larger);
      heap.give(buckets);
      for (const at of names) this.#chain(at);
    }
  }

  /** Takes a name out; its block stays, and is the caller's to give back. The buckets go with the last one. */
  take(at: number): void {
    const heap = this.#heap;
    const buckets = heap.get(this.#at + BUCKETS);
    let link = this.#bucket(buckets, heap.get(at + HASH));
    while (heap.get(link) !== at) link = heap.get(link) + NEXT;
    heap.set(link, heap.get(at + NEXT));
    heap.set(this.#at + COUNT, this.size - 1);
    if (this.size > 0) return;
    heap.give(buckets);
    heap.set(this.#at + BUCKETS, 0);
  }
  remove(at: number): void {
    this.take(at);
    this.#heap.give(at);
  }

  /** The blocks of all names, in no order. */
  *all(): Generator<number> {
    const heap = this.#heap;
    const buckets = heap.get(this.#at + BUCKETS);
    if (buckets === 0) return;
    for (let i = heap.room(buckets) - 1; i >= 0; i--)
      for (let at = heap.get(buckets + i); at !== 0; at = heap.get(at + NEXT)) yield at;
  }
  /** All blocks that it takes. */
  *blocks(): Generator<number> {
    yield* this.all();
    const buckets = this.#heap.get(this.#at + BUCKETS);
    if (buckets !== 0) yield buckets;
  }

  /** Throws where an invariant does not hold. */
  check(): void {
    const heap = this.#heap;
    const names = [...this.all()];
    if (new Set(names).size !== names.length) throw new Error('a name is in two buckets');
    if (names.length !== this.size) throw new Error(`${this.size} names are counted, ${names.length} are in buckets`);
    for (const at of names)
      if (this.find(new Name(this.text(at))) !== at) throw new Error(`${this.text(at)} is there, and not found`);
    if (names.length === 0 && heap.get(this.#at + BUCKETS) !== 0) throw new Error('buckets without names');
  }
}
