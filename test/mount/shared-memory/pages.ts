/**
 * The pages that files in shared memory are made of: 4 KiB each, numbered from 1; page 0 holds the words of the whole.
 * What a page holds when it is taken is undefined: whoever takes it fills it.
 *
 * As in MemoryFs space is counted apart from memory: `reserve` is the promise that a page can be had, `take`
 * redeems it.
 *
 * INVARIANT: pages taken are at most those reserved, and those at most `limit`; each page from 1 to before FRESH is taken or
 * in the list of free ones, which goes through their first words.
 */
import { ENOSPC } from '../../../src/abi/errno.ts';
import { type CellsHandle, MOST, reserve, SharedCells, type Waiting } from '../../../src/fs/shared/cells.ts';
import { acquire, release } from '../../../src/fs/shared/lock.ts';

export const PAGE = 4096;
const WORDS = PAGE / 4;

/** Words of the whole: a lock for all of them, the first free page, the first that was never taken, counts. */
const LOCK = 0;
const FREE = 1;
const FRESH = 2;
const TAKEN = 3;
const RESERVED = 4;
const LIMIT = 5;

export class SharedPages {
  readonly #cells: SharedCells;
  #whole: Buffer = Buffer.alloc(0);
  #of: DataView | undefined;

  constructor(handle: CellsHandle, waiting?: Waiting) {
    this.#cells = new SharedCells(handle, waiting);
  }

  /** Memory for so many pages. */
  static share(limit: number): CellsHandle {
    if (limit >= MOST / PAGE) throw new RangeError(`shared memory has ${MOST / PAGE - 1} pages at most, not ${limit}`);
    const handle = reserve(WORDS, (limit + 1) * WORDS);
    const cells = new SharedCells(handle);
    cells.store(FRESH, 1);
    cells.store(LIMIT, limit);
    return handle;
  }

  get limit(): number {
    return this.#cells.load(LIMIT);
  }
  get reserved(): number {
    return this.#cells.load(RESERVED);
  }

  /** Promises so many pages. ENOSPC, and then nothing has happened. */
  reserve(count: number): void {
    for (;;) {
      const reserved = this.reserved;
      if (count > this.limit - reserved) throw ENOSPC;
      if (this.#cells.replace(RESERVED, reserved, reserved + count)) return;
    }
  }
  /** Takes a promise back. */
  unreserve(count: number): void {
    this.#cells.add(RESERVED, -count);
  }

  /** A page that was reserved; its number. ENOMEM where the machine has none. */
  take(): number {
    const cells = this.#cells;
    acquire(cells, LOCK);
    try {
      let page = cells.get(FREE);
      if (page !== 0) {
        cells.reach((page + 1) * WORDS);
        cells.set(FREE, cells.get(page * WORDS));
      } else {
        page = cells.get(FRESH);
        cells.grow((page + 1) * WORDS);
        cells.set(FRESH, page + 1);
      }
      cells.set(TAKEN, cells.get(TAKEN) + 1);
      return page;
    } finally {
      release(cells, LOCK);
    }
  }

  /** Gives a page back. Its reservation stays. */
  give(page: number): void {
    const cells = this.#cells;
    acquire(cells, LOCK);
    cells.reach((page + 1) * WORDS);
    cells.set(page * WORDS, cells.get(FREE));
    cells.set(FREE, page);
    cells.set(TAKEN, cells.get(TAKEN) - 1);
    release(cells, LOCK);
  }

  /** Memory that has the page, at `page * PAGE`. Good until the next call of anything here. */
  bytes(page: number): Buffer {
    const cells = this.#cells;
    cells.reach((page + 1) * WORDS);
    const { view } = cells;
    if (view !== this.#of) {
      this.#of = view;
      this.#whole = Buffer.from(view.buffer, 0, view.byteLength);
    }
    return this.#whole;
  }

  /** Throws where the invariant does not hold, or where other pages are taken than those in `used`, or more reserved than `reserved`. */
  check(used: ReadonlySet<number>, reserved: number): void {
    const cells = this.#cells;
    acquire(cells, LOCK);
    try {
      const free = new Set<number>();
      for (let page = cells.get(FREE); page !== 0; page = cells.get(page * WORDS)) {
        if (free.has(page)) throw new Error('the list of free pages goes round');
        if (used.has(page)) throw new Error(`page ${page} is free, and in a file`);
        free.add(page);
        cells.reach((page + 1) * WORDS);
      }
      if (cells.get(TAKEN) !== used.size)
        throw new Error(`${cells.get(TAKEN)} pages are taken, ${used.size} are in files`);
      if (used.size + free.size !== cells.get(FRESH) - 1) throw new Error('a page is neither free nor in a file');
      if (this.reserved !== reserved) throw new Error(`${this.reserved} pages are reserved, ${reserved} needed`);
      if (reserved > this.limit) throw new Error('more pages are reserved than there may be');
    } finally {
      release(cells, LOCK);
    }
  }
}
