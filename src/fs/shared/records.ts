/**
 * Where the records of nodes lie, and what their nodeids are. A record is a row of words in shared memory: those
 * named here, then what the filesystem keeps of a node (its key, its value). Records are taken, given back and
 * taken again.
 *
 * A nodeid is `generation * SLOTS + slot`: where the record is, and how often the place has been taken before. So a
 * nodeid leads to its record without a search, and never comes back; a place whose generations are used up is left
 * alone. At 50,000 files a second, made and removed in the one place, that is once in 45 minutes, for 48 bytes or so.
 *
 * In record 0 are the words of the whole: a lock for the list of free places, how many were ever used, how many are.
 */
import { ENOMEM } from '../../abi/errno.ts';
import { type Cells, type CellsHandle, MOST, reserve } from './cells.ts';
import { acquire, release } from './lock.ts';

/** Places there can be, and so what a nodeid's generation is multiplied by. */
export const SLOTS = 2 ** 26;
const GENERATIONS = 2 ** 27;

/** Words of a record. */
export const WORD = {
  /** `generation * 2 + 1` while the node is there; even while it is not. Changed under BOOKS, read by everybody. */
  STAMP: 0,
  /** The lock of this row's words. Held for nanoseconds, and none is waited for meanwhile. */
  BOOKS: 1,
  /** A lock for the filesystem: of the node's value, or of what the filesystem keeps elsewhere. */
  LOCK: 2,
  /** Lookups that the kernel has not taken back, in two words. Under BOOKS. */
  LOOKUPS: 3,
  LOOKUPS_HIGH: 4,
  /** Reasons for which the filesystem needs the node without the kernel. Under BOOKS. */
  HOLDS: 5,
  /** The next free place, or the next node of the same bucket. Under the lock of the list that it is in. */
  NEXT: 6,
  /** Of the key. It stays the same as long as the node is there. */
  HASH: 7,
} as const;
export const HEADER = 8;

/** Words of record 0. */
const FREE_LOCK = 0;
const FREE = 1;
/** The first place that was never used. */
const FRESH = 2;
const TAKEN = 3;

export class Records {
  readonly cells: Cells;
  /** Words of a record. */
  readonly row: number;

  constructor(cells: Cells, row: number) {
    this.cells = cells;
    this.row = row;
  }

  /** Memory for records of so many words, up to `most` of them. */
  static reserve(row: number, most = SLOTS): CellsHandle {
    return reserve(row, Math.min(MOST / 4, row * (Math.min(most, SLOTS - 1) + 1)));
  }

  /** Where the record of a place is, which some thread has taken once. */
  at(slot: number): number {
    const at = slot * this.row;
    if (!this.cells.reach(at + this.row)) throw new Error(`there is no place ${slot}`);
    return at;
  }

  /** Where the record of a nodeid is; 0 if there is none, or none any more. */
  find(nodeid: number): number {
    const slot = nodeid & (SLOTS - 1);
    const at = slot * this.row;
    if (slot === 0 || !this.cells.reach(at + this.row)) return 0;
    return this.cells.load(at + WORD.STAMP) === ((nodeid - slot) / SLOTS) * 2 + 1 ? at : 0;
  }

  /** The nodeid of a record that is, or will be, or was there. */
  nodeid(at: number): number {
    return (this.cells.load(at + WORD.STAMP) >> 1) * SLOTS + at / this.row;
  }

  /** A place for a node, its words as the last one left them. It is not there until it is stamped. ENOMEM. */
  take(): number {
    const { cells } = this;
    acquire(cells, FREE_LOCK);
    try {
      const free = cells.get(FREE);
      if (free !== 0) {
        const at = this.at(free);
        cells.set(FREE, cells.get(at + WORD.NEXT));
        cells.add(TAKEN, 1);
        return at;
      }
      const fresh = Math.max(1, cells.load(FRESH));
      if (fresh === SLOTS) throw ENOMEM;
      cells.grow((fresh + 1) * this.row);
      cells.store(FRESH, fresh + 1);
      cells.add(TAKEN, 1);
      return fresh * this.row;
    } finally {
      release(cells, FREE_LOCK);
    }
  }

  /** The node is there from now on: what was written before is seen by whoever finds it. */
  stamp(at: number): void {
    this.cells.store(at + WORD.STAMP, this.cells.load(at + WORD.STAMP) | 1);
  }

  /** The node is not there any more, and its nodeid means nothing. Under BOOKS. */
  unstamp(at: number): void {
    this.cells.store(at + WORD.STAMP, (this.cells.load(at + WORD.STAMP) | 1) + 1);
  }

  /** Gives back the place of a node that is not there. */
  give(at: number): void {
    const { cells } = this;
    acquire(cells, FREE_LOCK);
    cells.add(TAKEN, -1);
    if (cells.load(at + WORD.STAMP) < GENERATIONS * 2) {
      cells.set(at + WORD.NEXT, cells.get(FREE));
      cells.set(FREE, at / this.row);
    }
    release(cells, FREE_LOCK);
  }

  /** Places that are taken. */
  get taken(): number {
    return this.cells.load(TAKEN);
  }

  /** The records that are there, in the order of their places; of those that come and go meanwhile, some. */
  *all(): Generator<number> {
    for (let slot = 1; slot < this.cells.load(FRESH); slot++) {
      const at = this.at(slot);
      if (this.cells.load(at + WORD.STAMP) & 1) yield at;
    }
  }

  /** The free places, the next to be taken first; under their lock, for a check. */
  free(): number[] {
    const { cells } = this;
    acquire(cells, FREE_LOCK);
    try {
      const free: number[] = [];
      const most = cells.load(FRESH);
      for (let slot = cells.get(FREE); slot !== 0; slot = cells.get(this.at(slot) + WORD.NEXT)) {
        free.push(slot);
        if (free.length > most) throw new Error('the list of free places goes round');
      }
      if (free.length + cells.load(TAKEN) > Math.max(0, most - 1))
        throw new Error(`${free.length} free places and ${cells.load(TAKEN)} taken of ${most - 1}`);
      return free;
    } finally {
      release(cells, FREE_LOCK);
    }
  }
}
