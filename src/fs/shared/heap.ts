/**
 * An allocator in shared memory: blocks of words, by which all that is not of one size is kept (names, tables of names,
 * listings). A block is known by the word where it begins, which any thread may be told.
 *
 * A block has a power of two of words, and before them one word of ours: its class (how many, as a power) and whether it
 * is taken. Free blocks of a class are a list. Nothing is ever joined or moved: who has freed a block of a class gets it
 * again.
 *
 * INVARIANT: from FIRST to FRESH the memory is blocks, one after another; each is taken or in the list of its class.
 */
import { ENOMEM } from '../../abi/errno.ts';
import { decodeName } from '../../protocol/names.ts';
import { type CellsHandle, MOST, reserve, SharedCells, type Waiting } from './cells.ts';
import { acquire, release } from './lock.ts';

/** Words of the whole: a lock for all that follows, where the next new block comes, how many are taken, a list for each class. */
const LOCK = 0;
const FRESH = 1;
const TAKEN = 2;
const LISTS = 8;
const CLASSES = 30;
const FIRST = LISTS + CLASSES;

/** The smallest block: 4 words. */
const LEAST = 2;
/** In a block's own word. */
const IS_TAKEN = 1 << 8;

export class Heap {
  readonly cells: SharedCells;
  /** All of the memory that was seen so far. @see bytes */
  #whole: Buffer = Buffer.alloc(0);
  #of: DataView | undefined;

  constructor(handle: CellsHandle, waiting?: Waiting) {
    this.cells = new SharedCells(handle, waiting);
  }

  static share(): CellsHandle {
    const handle = reserve(FIRST, MOST / 4);
    new SharedCells(handle).store(FRESH, FIRST);
    return handle;
  }

  /** A block of at least so many words: all of them 0, or whatever was in it. ENOMEM. */
  take(words: number, clear = true): number {
    const { cells } = this;
    const size = Math.max(LEAST, words <= 1 ? 0 : 32 - Math.clz32(words - 1));
    if (size >= CLASSES) throw ENOMEM;
    acquire(cells, LOCK);
    let at: number;
    try {
      at = cells.get(LISTS + size);
      if (at !== 0) cells.set(LISTS + size, this.get(at));
      else {
        const fresh = cells.get(FRESH);
        cells.grow(fresh + 1 + (1 << size));
        cells.set(FRESH, fresh + 1 + (1 << size));
        at = fresh + 1;
      }
      this.set(at - 1, size | IS_TAKEN);
      cells.set(TAKEN, cells.get(TAKEN) + 1);
    } finally {
      release(cells, LOCK);
    }
    cells.reach(at + (1 << size));
    if (clear) cells.clear(at, 1 << size);
    return at;
  }

  /** Gives a block back; 0 is none. */
  give(at: number): void {
    if (at === 0) return;
    const { cells } = this;
    acquire(cells, LOCK);
    try {
      const own = this.get(at - 1);
      if (!(own & IS_TAKEN)) throw new Error(`block ${at} is given back twice`);
      const size = own & ~IS_TAKEN;
      this.set(at - 1, size);
      this.set(at, cells.get(LISTS + size));
      cells.set(LISTS + size, at);
      cells.set(TAKEN, cells.get(TAKEN) - 1);
    } finally {
      release(cells, LOCK);
    }
  }

  /** How many words a block has. */
  room(at: number): number {
    return 1 << (this.get(at - 1) & ~IS_TAKEN);
  }

  get(at: number): number {
    this.cells.reach(at + 1);
    return this.cells.get(at);
  }
  set(at: number, value: number): void {
    this.cells.reach(at + 1);
    this.cells.set(at, value);
  }
  /** A number to 2^53 in two words: a nodeid, a cookie. */
  getWide(at: number): number {
    return (this.get(at + 1) >>> 0) * 2 ** 32 + (this.cells.get(at) >>> 0);
  }
  setWide(at: number, value: number): void {
    this.set(at + 1, Math.floor(value / 2 ** 32));
    this.cells.set(at, value | 0);
  }

  /** Puts bytes into a block, from one of its words on. */
  put(at: number, bytes: Uint8Array): void {
    this.bytes(at, bytes.length).set(bytes, at * 4);
  }
  /** A copy of bytes in a block. */
  copy(at: number, length: number): Buffer {
    const copy = Buffer.allocUnsafeSlow(length);
    this.bytes(at, length).copy(copy, 0, at * 4, at * 4 + length);
    return copy;
  }
  /** The string of bytes in a block, as of a name. */
  text(at: number, length: number): string {
    return decodeName(this.bytes(at, length), at * 4, at * 4 + length);
  }
  /** The memory, as long as it has to be for these bytes: those of a word begin at four times its number. Good until more is taken. */
  bytes(at: number, length: number): Buffer {
    this.cells.reach(at + Math.ceil(length / 4));
    const { view } = this.cells;
    if (view !== this.#of) {
      this.#of = view;
      this.#whole = Buffer.from(view.buffer, 0, view.byteLength);
    }
    return this.#whole;
  }

  /** Throws where the invariant does not hold, or where other blocks are taken than those in `used`. */
  check(used: ReadonlySet<number>): void {
    const { cells } = this;
    acquire(cells, LOCK);
    try {
      const free = new Set<number>();
      for (let size = 0; size < CLASSES; size++)
        for (let at = cells.get(LISTS + size); at !== 0; at = this.get(at)) {
          if (free.has(at)) throw new Error(`the list of free blocks of class ${size} goes round`);
          if (this.get(at - 1) !== size) throw new Error(`block ${at} is in the list of class ${size}`);
          free.add(at);
        }
      let taken = 0;
      let at = FIRST + 1;
      for (const end = cells.get(FRESH) + 1; at < end; at += this.room(at) + 1) {
        if (!(this.get(at - 1) & IS_TAKEN)) {
          if (!free.has(at)) throw new Error(`block ${at} is free, and in no list`);
          continue;
        }
        taken++;
        if (!used.has(at)) throw new Error(`block ${at} of ${this.room(at)} words is taken by nobody`);
      }
      if (at !== cells.get(FRESH) + 1) throw new Error('the last block goes beyond the end');
      if (taken !== used.size) throw new Error(`${used.size} blocks are in use, ${taken} of them taken`);
      if (taken !== cells.get(TAKEN)) throw new Error(`${cells.get(TAKEN)} blocks are counted, ${taken} are taken`);
    } finally {
      release(cells, LOCK);
    }
  }
}
