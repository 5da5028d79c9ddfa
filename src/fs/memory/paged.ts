/**
 * The content of a file in memory of ours: which page stands for which 4 KiB of it. What has no page is a hole. A
 * page may also be promised without being there yet.
 *
 * The size of a file is not known here. All that is asked of its owner: that what lies beyond the size is cut
 * off (`cut`) when the size shrinks, so that it reads as zeros when it grows again.
 */
import { ENOSPC } from '../../abi/errno.ts';
import { type Checked, Content, type Store } from './content.ts';
import { PAGE, Pages } from './pages.ts';

/** Pages in a table. A small file has one short table; a huge sparse one has tables where it has data. */
const TABLE = 512;
/** In a table: nothing here, or a page that is promised. Else the number of a page. */
const HOLE = 0;
const PROMISED = -1;

type Table = number[];

export class PagedContent extends Content {
  readonly #pages: Pages;
  count = 0;
  /** The table of the first 2 MiB, and those of the others by their place. Most files have but the first. */
  readonly #first: Table = [];
  #others: Map<number, Table> | undefined = undefined;

  constructor(pages: Pages) {
    super();
    this.#pages = pages;
  }

  /** The page, by its place in the file: its number, or HOLE or PROMISED. */
  #at(index: number): number {
    if (index < TABLE) return this.#first[index] ?? HOLE;
    return this.#others?.get(Math.floor(index / TABLE))?.[index % TABLE] ?? HOLE;
  }

  #put(index: number, page: number): void {
    const table = index < TABLE ? this.#first : this.#tableAt(Math.floor(index / TABLE));
    const place = index % TABLE;
    while (table.length < place) table.push(HOLE);
    table[place] = page;
  }

  #tableAt(key: number): Table {
    this.#others ??= new Map();
    const table = this.#others.get(key) ?? [];
    this.#others.set(key, table);
    return table;
  }

  /** How many pages from here on lie one after another in memory, or are all holes; at most `most`. */
  #run(index: number, page: number, most: number): number {
    let length = 1;
    if (page > HOLE)
      while (length < most && this.#pages.continues(page + length - 1) && this.#at(index + length) === page + length)
        length++;
    else while (length < most && this.#at(index + length) <= HOLE) length++;
    return length;
  }

  read(offset: number, into: Buffer, length: number): void {
    for (let done = 0; done < length; ) {
      const index = Math.floor((offset + done) / PAGE);
      const within = (offset + done) % PAGE;
      const page = this.#at(index);
      const run = this.#run(index, page, Math.ceil((within + length - done) / PAGE));
      const bytes = Math.min(run * PAGE - within, length - done);
      if (page > HOLE) {
        const start = this.#pages.start(page) + within;
        this.#pages.bytes(page).copy(into, done, start, start + bytes);
      } else into.fill(0, done, done + bytes);
      done += bytes;
    }
  }

  write(offset: number, data: Uint8Array, whole = false): number {
    // Looked at page by page only where space is short.
    if (whole && data.length > (this.#pages.limit - this.#pages.reserved - 1) * PAGE)
      this.allocate(offset, data.length);
    const length = this.#prepare(offset, data.length);
    const source = data instanceof Buffer ? data : Buffer.from(data.buffer, data.byteOffset, data.length);
    for (let done = 0; done < length; ) {
      const index = Math.floor((offset + done) / PAGE);
      const within = (offset + done) % PAGE;
      const page = this.#at(index);
      const run = this.#run(index, page, Math.ceil((within + length - done) / PAGE));
      const bytes = Math.min(run * PAGE - within, length - done);
      source.copy(this.#pages.bytes(page), this.#pages.start(page) + within, done, done + bytes);
      done += bytes;
    }
    return length;
  }

  /** Sees to it that bytes to be written have pages, and that the rest of a new page is zeros; for how many bytes that was possible. */
  #prepare(offset: number, length: number): number {
    const end = offset + length;
    for (let index = Math.floor(offset / PAGE); index * PAGE < end; index++) {
      const there = this.#at(index);
      if (there > HOLE) continue;
      if (there === HOLE) {
        if (this.#pages.reserved >= this.#pages.limit) {
          if (index * PAGE <= offset) throw ENOSPC;
          return index * PAGE - offset;
        }
        this.#pages.reserve(1);
        this.count++;
      }
      const page = this.#pages.take();
      this.#put(index, page);
      const start = this.#pages.start(page);
      const before = Math.max(0, offset - index * PAGE);
      const after = Math.min(PAGE, end - index * PAGE);
      if (before > 0) this.#pages.bytes(page).fill(0, start, start + before);
      if (after < PAGE) this.#pages.bytes(page).fill(0, start + after, start + PAGE);
    }
    return length;
  }

  cut(size: number): void {
    const index = Math.ceil(size / PAGE);
    if (size % PAGE > 0) this.#clear(index - 1, size % PAGE, PAGE);
    this.#drop(index, Number.POSITIVE_INFINITY);
    this.#others?.forEach((table, key, tables) => {
      if (table.length === 0) tables.delete(key);
    });
  }

  punch(offset: number, length: number): void {
    this.#each(offset, length, (from, to) => this.#drop(from, to));
  }

  zero(offset: number, length: number): void {
    this.allocate(offset, length);
    this.#each(offset, length, (from, to) => {
      for (let index = from; index < to; index++) {
        const page = this.#at(index);
        if (page > HOLE) this.#pages.give(page);
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
    if (page <= HOLE) return;
    const start = this.#pages.start(page);
    this.#pages.bytes(page).fill(0, start + from, start + to);
  }

  /** Gives back the pages from one index to before another. Backwards, so that they are taken again in order. */
  #drop(from: number, to: number): void {
    for (const [key, table] of this.#tables()) {
      const base = key * TABLE;
      const least = Math.max(0, from - base);
      for (let place = Math.min(table.length, to - base) - 1; place >= least; place--) {
        const page = table[place]!;
        if (page === HOLE) continue;
        if (page > HOLE) this.#pages.give(page);
        this.#pages.unreserve(1);
        this.count--;
        table[place] = HOLE;
      }
      if (to >= base + table.length && least < table.length) table.length = least;
    }
  }

  *#tables(): Generator<[number, Table]> {
    yield [0, this.#first];
    if (this.#others) yield* this.#others;
  }

  allocate(offset: number, length: number): void {
    const from = Math.floor(offset / PAGE);
    const to = Math.ceil((offset + length) / PAGE);
    // Before anything is counted: a range may be larger than any memory.
    if (to - from - this.count > this.#pages.limit - this.#pages.reserved) throw ENOSPC;
    let lacking = 0;
    for (let index = from; index < to; index++) if (this.#at(index) === HOLE) lacking++;
    this.#pages.reserve(lacking);
    this.count += lacking;
    if (lacking > 0)
      for (let index = from; index < to; index++) if (this.#at(index) === HOLE) this.#put(index, PROMISED);
  }

  /** A byte that has a page. */
  data(offset: number): number {
    const index = Math.floor(offset / PAGE);
    // By tables, not by pages: a hole may be of petabytes.
    let found = Number.POSITIVE_INFINITY;
    for (const [key, table] of this.#tables()) {
      const base = key * TABLE;
      if (base >= found || base + table.length <= index) continue;
      const place = table.findIndex((page, at) => page > HOLE && base + at >= index);
      if (place >= 0) found = Math.min(found, base + place);
    }
    return Math.max(offset, found * PAGE);
  }

  hole(offset: number): number {
    let index = Math.floor(offset / PAGE);
    while (this.#at(index) > HOLE) index++;
    return Math.max(offset, index * PAGE);
  }

  copy(source: PagedContent, from: number, to: number, length: number): number {
    for (let done = 0; done < length; ) {
      const index = Math.floor((from + done) / PAGE);
      const within = (from + done) % PAGE;
      const page = source.#at(index);
      const run = source.#run(index, page, Math.ceil((within + length - done) / PAGE));
      const bytes = Math.min(run * PAGE - within, length - done);
      if (page > HOLE) {
        const start = this.#pages.start(page) + within;
        const written = this.#writeMost(to + done, this.#pages.bytes(page).subarray(start, start + bytes), done);
        done += written;
        if (written < bytes) return done;
      } else {
        this.punch(to + done, bytes);
        done += bytes;
      }
    }
    return length;
  }

  /** Writes what fits; where something was written `before`, nothing more fitting is no error. */
  #writeMost(offset: number, data: Buffer, before: number): number {
    try {
      return this.write(offset, data);
    } catch (error) {
      if (error === ENOSPC && before > 0) return 0;
      throw error;
    }
  }

  /** Nothing is kept of it: what lies behind the end is zeros. */
  settle(size: number): number {
    return size;
  }

  free(): void {
    this.cut(0);
  }

  /** Throws where an invariant does not hold for a file of this size. Each page's number is given to `seen`. */
  check(size: number, seen: (page: number) => void): void {
    let count = 0;
    for (const [key, table] of this.#tables())
      for (const [place, page] of table.entries()) {
        if (page === HOLE) continue;
        count++;
        if (page < HOLE) continue;
        seen(page);
        // INVARIANT: what lies behind the size is zeros, so that a file that grows reads as zeros there.
        const beyond = Math.max(0, Math.min(PAGE, size - (key * TABLE + place) * PAGE));
        const start = this.#pages.start(page);
        if (
          this.#pages
            .bytes(page)
            .subarray(start + beyond, start + PAGE)
            .some((byte) => byte !== 0)
        )
          throw new Error(`page ${key * TABLE + place}: there is something behind the end of the file`);
      }
    // INVARIANT: `count` is how many pages the tables name.
    if (count !== this.count) throw new Error(`${this.count} pages are counted, ${count} are there`);
  }
}

/** Files in memory of ours. INVARIANT: what is reserved is what files hold or were promised, and what extended attributes fill. */
export class PagedStore implements Store {
  readonly pages: Pages;

  constructor(limit: number) {
    this.pages = new Pages(limit);
  }
  get limit(): number {
    return this.pages.limit;
  }
  get free(): number {
    return this.pages.limit - this.pages.reserved;
  }
  reserve(pages: number): void {
    this.pages.reserve(pages);
  }
  unreserve(pages: number): void {
    this.pages.unreserve(pages);
  }
  content(): PagedContent {
    return new PagedContent(this.pages);
  }

  check(files: Iterable<Checked>, others: number): void {
    const { reserved, taken, limit } = this.pages;
    const pages = new Set<number>();
    let needed = others;
    for (const { nodeid, size, content } of files) {
      try {
        (content as PagedContent).check(size, (page) => {
          if (pages.has(page)) throw new Error(`page ${page} is in two places`);
          pages.add(page);
        });
      } catch (error) {
        throw new Error(`node ${nodeid}: ${(error as Error).message}`);
      }
      needed += content.count;
    }
    if (needed !== reserved) throw new Error(`${reserved} pages reserved, ${needed} needed`);
    if (pages.size !== taken) throw new Error(`${taken} pages taken, ${pages.size} in files`);
    if (reserved > limit) throw new Error('the limit of pages is exceeded');
  }
}
