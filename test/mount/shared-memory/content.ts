/**
 * The content of a file in shared memory: which page stands for which 4 KiB of it, in a tree of tables that is as high as
 * the last page needs. What has no page is a hole; a page may be promised without being there. All of it is under the lock
 * of the file's node, whose inode knows the root of the tree.
 *
 * The size is not known here: what lies behind it is to be cut off when it shrinks, so that it reads as zeros later.
 */
import { ENOSPC } from '../../../src/abi/errno.ts';
import type { SharedInode, Store } from './inode.ts';
import { PAGE } from './pages.ts';

/** In a table of the lowest level: nothing here, or a page that is promised. Else the number of a page. Above: a table, or 0. */
const HOLE = 0;
const PROMISED = -1;
/** Entries of a table. A small file has one: 256 bytes. */
const TABLE = 64;
const SECTORS = 8; // of 512 bytes in a page

/** How many pages an entry of a table of some level stands for. */
const span = (level: number): number => TABLE ** level;

export class Content {
  readonly #store: Store;
  readonly #inode: SharedInode;

  constructor(store: Store, inode: SharedInode) {
    this.#store = store;
    this.#inode = inode;
  }

  /** Pages that are there or promised. */
  get count(): number {
    return this.#inode.blocks / SECTORS;
  }

  #at(index: number): number {
    const { heap } = this.#store;
    const { body, levels } = this.#inode;
    if (body === 0 || index >= span(levels)) return HOLE;
    let entry = body;
    for (let level = levels - 1; level >= 0; level--) {
      entry = heap.get(entry + (Math.floor(index / span(level)) % TABLE));
      if (entry === 0) return HOLE;
    }
    return entry;
  }

  /** ENOMEM, and then there may be tables without pages. */
  #put(index: number, page: number): void {
    const { heap } = this.#store;
    const inode = this.#inode;
    while (inode.body === 0 || index >= span(inode.levels)) {
      const root = heap.take(TABLE);
      heap.set(root, inode.body);
      inode.body = root;
      inode.levels++;
    }
    let table = inode.body;
    for (let level = inode.levels - 1; level > 0; level--) {
      const at = table + (Math.floor(index / span(level)) % TABLE);
      if (heap.get(at) === 0) heap.set(at, heap.take(TABLE));
      table = heap.get(at);
    }
    heap.set(table + (index % TABLE), page);
  }

  /** Puts promises where pages are lacking that were reserved; `lacking` of them. */
  #promise(from: number, to: number, lacking: number): void {
    let done = 0;
    try {
      for (let index = from; done < lacking && index < to; index++) {
        if (this.#at(index) !== HOLE) continue;
        this.#put(index, PROMISED);
        this.#inode.blocks += SECTORS;
        done++;
      }
    } finally {
      this.#store.pages.unreserve(lacking - done);
    }
  }

  /** Copies `length` bytes from `offset` on to the start of `into`. */
  read(offset: number, into: Buffer, length: number): void {
    const { pages } = this.#store;
    for (let done = 0; done < length; ) {
      const within = (offset + done) % PAGE;
      const bytes = Math.min(PAGE - within, length - done);
      const page = this.#at(Math.floor((offset + done) / PAGE));
      const start = page * PAGE + within;
      if (page > HOLE) pages.bytes(page).copy(into, done, start, start + bytes);
      else into.fill(0, done, done + bytes);
      done += bytes;
    }
  }

  /** Writes at `offset`: how many bytes, fewer than `data` has where space ends. ENOSPC when it is none, or not all of a `whole`. */
  write(offset: number, data: Uint8Array, whole = false): number {
    if (whole) this.allocate(offset, data.length);
    const length = this.#prepare(offset, data.length);
    const { pages } = this.#store;
    for (let done = 0; done < length; ) {
      const within = (offset + done) % PAGE;
      const bytes = Math.min(PAGE - within, length - done);
      const page = this.#at(Math.floor((offset + done) / PAGE));
      pages.bytes(page).set(data.subarray(done, done + bytes), page * PAGE + within);
      done += bytes;
    }
    return length;
  }

  /** Sees to it that bytes to be written have pages, and that the rest of a new page is zeros; for how many bytes that was possible. */
  #prepare(offset: number, length: number): number {
    const { pages } = this.#store;
    const end = offset + length;
    for (let index = Math.floor(offset / PAGE); index * PAGE < end; index++) {
      const there = this.#at(index);
      if (there > HOLE) continue;
      try {
        if (there === HOLE) this.allocate(index * PAGE, 1);
      } catch (error) {
        if (error !== ENOSPC || index * PAGE <= offset) throw error;
        return index * PAGE - offset;
      }
      const page = pages.take();
      this.#put(index, page);
      if (offset > index * PAGE || end < (index + 1) * PAGE) pages.bytes(page).fill(0, page * PAGE, (page + 1) * PAGE);
    }
    return length;
  }

  /** Ends the content at `size` bytes: what comes after is a hole. */
  cut(size: number): void {
    const index = Math.ceil(size / PAGE);
    if (size % PAGE > 0) this.#clear(index - 1, size % PAGE, PAGE);
    this.#drop(index, Number.POSITIVE_INFINITY);
  }

  /** Makes a hole: whole pages go, what is left of others becomes zeros. */
  punch(offset: number, length: number): void {
    this.#each(offset, length, (from, to) => this.#drop(from, to));
  }

  /** Makes a range read as zeros that can be written without asking for space. ENOSPC, and then nothing has happened. */
  zero(offset: number, length: number): void {
    this.allocate(offset, length);
    this.#each(offset, length, (from, to) => {
      for (let index = from; index < to; index++) {
        const page = this.#at(index);
        if (page > HOLE) this.#store.pages.give(page);
        this.#put(index, PROMISED);
      }
    });
  }

  /** Calls `pages` for the whole pages of a range, and zeroes what it has of others. */
  #each(offset: number, length: number, pages: (from: number, to: number) => void): void {
    const end = offset + length;
    const from = Math.ceil(offset / PAGE);
    const to = Math.floor(end / PAGE);
    if (from > to) return this.#clear(to, offset % PAGE, end % PAGE);
    if (offset % PAGE > 0) this.#clear(from - 1, offset % PAGE, PAGE);
    if (end % PAGE > 0) this.#clear(to, 0, end % PAGE);
    pages(from, to);
  }

  /** Zeroes bytes of one page. */
  #clear(index: number, from: number, to: number): void {
    const page = this.#at(index);
    if (page > HOLE) this.#store.pages.bytes(page).fill(0, page * PAGE + from, page * PAGE + to);
  }

  /** Gives back the pages from one index to before another, and the tables that are then empty. */
  #drop(from: number, to: number): void {
    const inode = this.#inode;
    if (inode.body === 0 || !this.#dropIn(inode.body, inode.levels - 1, 0, from, to)) return;
    this.#store.heap.give(inode.body);
    inode.body = 0;
    inode.levels = 0;
  }
  /** The same in one table; whether nothing is left in it. */
  #dropIn(table: number, level: number, base: number, from: number, to: number): boolean {
    const { heap, pages } = this.#store;
    let empty = true;
    for (let i = 0; i < TABLE; i++) {
      const entry = heap.get(table + i);
      if (entry === 0) continue;
      const start = base + i * span(level);
      let gone = start + span(level) > from && start < to;
      if (gone && level > 0) {
        gone = this.#dropIn(entry, level - 1, start, from, to);
        if (gone) heap.give(entry);
      } else if (gone) {
        if (entry > HOLE) pages.give(entry);
        pages.unreserve(1);
        this.#inode.blocks -= SECTORS;
      }
      if (gone) heap.set(table + i, 0);
      else empty = false;
    }
    return empty;
  }

  /** Promises the pages that a range lacks. ENOSPC, and then nothing has happened. */
  allocate(offset: number, length: number): void {
    const { pages } = this.#store;
    const from = Math.floor(offset / PAGE);
    const to = Math.ceil((offset + length) / PAGE);
    // Before anything is counted: a range may be larger than any memory.
    if (to - from - this.count > pages.limit - pages.reserved) throw ENOSPC;
    let lacking = 0;
    for (let index = from; index < to; index++) if (this.#at(index) === HOLE) lacking++;
    pages.reserve(lacking);
    this.#promise(from, to, lacking);
  }

  /** Where the first data is at or behind `offset`: a byte that has a page; Infinity if there is none. */
  data(offset: number): number {
    const { body, levels } = this.#inode;
    const index = Math.floor(offset / PAGE);
    for (const [at, page] of this.#pages(body, levels - 1, 0, index))
      if (page > HOLE) return Math.max(offset, at * PAGE);
    return Number.POSITIVE_INFINITY;
  }

  /** Where the first hole is at or behind `offset`. */
  hole(offset: number): number {
    let index = Math.floor(offset / PAGE);
    while (this.#at(index) > HOLE) index++;
    return Math.max(offset, index * PAGE);
  }

  /** What is there or promised below a table, from an index on; by tables, for a hole may be of petabytes. */
  *#pages(table: number, level: number, base: number, from: number): Generator<[index: number, page: number]> {
    for (let i = 0; table !== 0 && i < TABLE; i++) {
      const entry = this.#store.heap.get(table + i);
      const start = base + i * span(level);
      if (entry === 0 || start + span(level) <= from) continue;
      if (level === 0) yield [start, entry];
      else yield* this.#pages(entry, level - 1, start, from);
    }
  }

  /** Copies from another content (or this one, elsewhere); holes stay holes. How many bytes: fewer where space ends, ENOSPC when it is none. */
  copy(source: Content, from: number, to: number, length: number): number {
    for (let done = 0; done < length; ) {
      const within = (from + done) % PAGE;
      const bytes = Math.min(PAGE - within, length - done);
      const page = source.#at(Math.floor((from + done) / PAGE));
      if (page > HOLE) {
        const start = page * PAGE + within;
        const copied = Buffer.from(this.#store.pages.bytes(page).subarray(start, start + bytes));
        const written = this.#writeMost(to + done, copied, done);
        done += written;
        if (written < bytes) return done;
      } else {
        const hole = source.#holeAt(from + done, length - done);
        this.punch(to + done, hole);
        done += hole;
      }
    }
    return length;
  }
  /** How long the hole at `offset` is, at most `most`: to be punched as a whole, for page by page no page of another grid would go. */
  #holeAt(offset: number, most: number): number {
    let end = (Math.floor(offset / PAGE) + 1) * PAGE;
    while (end < offset + most && this.#at(end / PAGE) <= HOLE) end += PAGE;
    return Math.min(end - offset, most);
  }
  /** Writes; nothing where there is no space and something was done before. ENOSPC. */
  #writeMost(offset: number, data: Uint8Array, done: number): number {
    try {
      return this.write(offset, data);
    } catch (error) {
      if (error !== ENOSPC || done === 0) throw error;
      return 0;
    }
  }

  /** The blocks of its tables. */
  *blocks(): Generator<number> {
    const { body, levels } = this.#inode;
    yield* this.#tables(body, levels - 1);
  }
  *#tables(table: number, level: number): Generator<number> {
    if (table === 0) return;
    yield table;
    for (let i = 0; level > 0 && i < TABLE; i++) yield* this.#tables(this.#store.heap.get(table + i), level - 1);
  }

  /** Throws where an invariant does not hold. Each page's number is given to `seen`. */
  check(seen: (page: number) => void): void {
    const { body, levels, size } = this.#inode;
    let count = 0;
    for (const [index, page] of this.#pages(body, levels - 1, 0, 0)) {
      count++;
      if (page < HOLE) continue;
      seen(page);
      // INVARIANT: what lies behind the size is zeros, so that a file that grows reads as zeros there.
      const beyond = Math.max(0, Math.min(PAGE, size - index * PAGE));
      const rest = this.#store.pages.bytes(page).subarray(page * PAGE + beyond, (page + 1) * PAGE);
      if (rest.some((byte) => byte !== 0))
        throw new Error(`page ${index}: there is something behind the end of the file`);
    }
    if (count !== this.count) throw new Error(`${this.count} pages are counted, ${count} are there`);
  }
}
