/**
 * From a key to its node: a hash table in shared memory that many threads use at once and that grows by one bucket
 * at a time.
 *
 * It is `stripes` tables, each with a lock of its own, and a hash's lowest bits say in which it belongs. So two
 * threads meet only where their keys are of one stripe, and a stripe grows by itself: when it holds more nodes than
 * it has buckets, the next of its buckets in turn is split in two (linear hashing), which moves a node or
 * two under the lock that the thread holds anyway. Nothing is ever copied as a whole, and nobody stops.
 *
 * A bucket is the place of its first node, the others follow by WORD.NEXT. The words of a stripe are 64 bytes apart, so that
 * two locks share no cache line. Bucket b of stripe s is word `HEAD * stripes + b * stripes + s`.
 *
 * INVARIANT: a node is in a chain exactly while its NEXT is not OUT.
 */
import { ENOMEM } from '../../abi/errno.ts';
import { type Cells, type CellsHandle, reserve } from './cells.ts';
import { acquire, release } from './lock.ts';
import { type Records, WORD } from './records.ts';

/** WORD.NEXT of a node that is in no bucket. */
export const OUT = -1;
/** Words of a stripe, before the buckets: its lock, its nodes, its buckets but one. */
const HEAD = 16;
const ENTRIES = 1;
const MORE = 2;

export class Buckets {
  readonly #cells: Cells;
  readonly #records: Records;
  readonly #stripes: number;
  readonly #shift: number;

  /** `stripes` is a power of two. */
  constructor(cells: Cells, records: Records, stripes: number) {
    this.#cells = cells;
    this.#records = records;
    this.#stripes = stripes;
    this.#shift = Math.log2(stripes);
  }

  /** Memory for so many stripes, and so many nodes in all. Stripes do not fill evenly: the fullest says what is needed. */
  static reserve(stripes: number, nodes: number): CellsHandle {
    return reserve((HEAD + 1) * stripes, (HEAD + 64) * stripes + 2 * nodes);
  }

  /** Takes the lock of all keys with this hash's stripe. It comes before a record's BOOKS and before the places' lock. */
  lock(hash: number): void {
    acquire(this.#cells, this.#stripe(hash));
  }
  unlock(hash: number): void {
    release(this.#cells, this.#stripe(hash));
  }

  // All that follows: under the lock.

  /** The first record of a hash for which `is` holds; 0 if there is none. */
  find(hash: number, is: (at: number) => boolean): number {
    const { cells } = this.#records;
    const stripe = this.#stripe(hash);
    for (let slot = this.#cells.get(this.#bucket(stripe, this.#number(hash, this.#count(stripe)))); slot !== 0; ) {
      const at = this.#records.at(slot);
      if (cells.get(at + WORD.HASH) === hash && is(at)) return at;
      slot = cells.get(at + WORD.NEXT);
    }
    return 0;
  }

  /** Puts a record in, whose WORD.HASH is set. */
  put(hash: number, at: number): void {
    const stripe = this.#stripe(hash);
    const count = this.#count(stripe);
    this.#push(this.#bucket(stripe, this.#number(hash, count)), at);
    const entries = this.#cells.get(stripe + ENTRIES) + 1;
    this.#cells.set(stripe + ENTRIES, entries);
    if (entries > count && this.#room(stripe, count)) this.#split(stripe, count);
  }

  /** Takes a record out, if it is in. */
  take(hash: number, at: number): void {
    const { cells, row } = this.#records;
    if (cells.get(at + WORD.NEXT) === OUT) return;
    const stripe = this.#stripe(hash);
    const bucket = this.#bucket(stripe, this.#number(hash, this.#count(stripe)));
    const next = cells.get(at + WORD.NEXT);
    const first = this.#cells.get(bucket);
    if (first === at / row) this.#cells.set(bucket, next);
    else {
      let before = this.#records.at(first);
      for (let slot = cells.get(before + WORD.NEXT); slot !== at / row; slot = cells.get(before + WORD.NEXT))
        before = this.#records.at(slot);
      cells.set(before + WORD.NEXT, next);
    }
    cells.set(at + WORD.NEXT, OUT);
    this.#cells.set(stripe + ENTRIES, this.#cells.get(stripe + ENTRIES) - 1);
  }

  /** Whether there is memory for one more bucket. Without it the chains get longer: no reason to refuse a node. */
  #room(stripe: number, count: number): boolean {
    try {
      this.#cells.grow(this.#bucket(stripe, count) + 1);
      return true;
    } catch (error) {
      if (error === ENOMEM) return false;
      throw error;
    }
  }

  /** Parts the bucket whose turn it is, by one more bit of the hash. */
  #split(stripe: number, created: number): void {
    const { cells } = this.#records;
    const old = this.#bucket(stripe, created & ~highest(created));
    let slot = this.#cells.get(old);
    this.#cells.set(old, 0);
    this.#cells.set(this.#bucket(stripe, created), 0);
    this.#cells.set(stripe + MORE, created);
    while (slot !== 0) {
      const at = this.#records.at(slot);
      slot = cells.get(at + WORD.NEXT);
      this.#push(this.#bucket(stripe, this.#number(cells.get(at + WORD.HASH), created + 1)), at);
    }
  }

  #push(bucket: number, at: number): void {
    this.#records.cells.set(at + WORD.NEXT, this.#cells.get(bucket));
    this.#cells.set(bucket, at / this.#records.row);
  }

  /** Where the words of a hash's stripe are. */
  #stripe(hash: number): number {
    return (hash & (this.#stripes - 1)) * HEAD;
  }
  #count(stripe: number): number {
    return this.#cells.get(stripe + MORE) + 1;
  }
  /** Which of so many buckets a hash belongs in: by as many bits as the later half has, or one less where that isn't there yet. */
  #number(hash: number, count: number): number {
    const bits = hash >>> this.#shift;
    const number = bits & (highest(count) * 2 - 1);
    return number < count ? number : number & (highest(count) - 1);
  }
  #bucket(stripe: number, number: number): number {
    const at = (HEAD + number) * this.#stripes + stripe / HEAD;
    this.#cells.reach(at + 1);
    return at;
  }

  /** Throws where an invariant does not hold; the nodes that are in. Takes all locks, so that nothing moves meanwhile. */
  check(): number {
    const locked: number[] = [];
    try {
      for (let hash = 0; hash < this.#stripes; hash++) {
        this.lock(hash);
        locked.push(hash);
      }
      return locked.reduce((sum, hash) => sum + this.#check(this.#stripe(hash), hash), 0);
    } finally {
      for (const hash of locked) this.unlock(hash);
    }
  }
  #check(stripe: number, low: number): number {
    const { cells } = this.#records;
    const entries = this.#cells.get(stripe + ENTRIES);
    let found = 0;
    for (let number = 0; number < this.#count(stripe); number++) {
      for (let slot = this.#cells.get(this.#bucket(stripe, number)); slot !== 0; found++) {
        if (found > entries) throw new Error(`stripe ${low} goes round, or has more than its ${entries} nodes`);
        const at = this.#records.at(slot);
        const hash = cells.get(at + WORD.HASH);
        if ((hash & (this.#stripes - 1)) !== low || this.#number(hash, this.#count(stripe)) !== number)
          throw new Error(`place ${slot} is in a bucket of other keys`);
        if (!(cells.load(at + WORD.STAMP) & 1)) throw new Error(`place ${slot} is in a bucket, and is not there`);
        slot = cells.get(at + WORD.NEXT);
      }
    }
    if (found !== entries) throw new Error(`stripe ${low} has ${found} nodes, and counts ${entries}`);
    return found;
  }
}

/** The highest bit that is set. */
const highest = (n: number): number => 1 << (31 - Math.clz32(n));

/** The hash of a key's words: MurmurHash3's steps, which leave no bit without influence on the low ones. */
export function hashOf(words: Int32Array, count: number): number {
  let hash = 0;
  for (let i = 0; i < count; i++) {
    const mixed = Math.imul(words[i]!, 0xcc9e2d51);
    hash ^= Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593);
    hash = Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64;
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
