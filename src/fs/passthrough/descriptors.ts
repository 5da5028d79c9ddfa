/**
 * The descriptors of files that clients have open, as all threads know them: descriptors are the process's, so any thread
 * may use, and close, what another one has opened. A handle is the descriptor's number.
 *
 * It is known of each number whether it is a client's, so that a handle which is none never touches a descriptor of somebody
 * else, and what a lost connection leaves open is closed.
 */
import { EBADF, ENFILE } from '../../abi/errno.ts';
import { closeQuietly } from '../../abi/files.ts';
import { untouched } from '../shared/cells.ts';

/** Numbers that can be kept: as many as a process can have where nobody has raised fs.nr_open. */
export const MOST = 2 ** 20;
const CLOSED = 0;
/** Open; above it, by how much, the descriptor of the same file that is for direct I/O. */
const OPEN = 1;

export class Descriptors {
  readonly #words: Int32Array;
  /** Of each, events of poll(2) that were seen, and nobody was told of. @see polls.ts */
  readonly #news: Int32Array;
  /** In a word: 1 more than the highest number that was ever kept. */
  readonly #top: Int32Array;

  constructor(shared: SharedArrayBuffer) {
    this.#words = new Int32Array(shared, 0, MOST);
    this.#news = new Int32Array(shared, 4 * MOST, MOST);
    this.#top = new Int32Array(shared, 8 * MOST, 1);
  }
  static share(): SharedArrayBuffer {
    return untouched(2 * MOST + 1);
  }

  /** Keeps an open file, and the descriptor for its direct I/O: the handle to give to the kernel. ENFILE, and then the file is the caller's still. */
  add(fd: number, direct = 0): number {
    if (fd >= MOST) {
      if (direct) closeQuietly(direct);
      throw ENFILE;
    }
    this.dropNews(fd);
    Atomics.store(this.#words, fd, OPEN + direct);
    for (let top = Atomics.load(this.#top, 0); top <= fd; top = Atomics.load(this.#top, 0))
      Atomics.compareExchange(this.#top, 0, top, fd + 1);
    return fd;
  }
  /** The descriptor of a handle. EBADF. */
  get(fh: number): number {
    if (!(fh < MOST && Atomics.load(this.#words, fh) !== CLOSED)) throw EBADF;
    return fh;
  }
  /** Its descriptor for direct I/O, 0 where it has none. */
  direct(fh: number): number {
    return Atomics.load(this.#words, fh) - OPEN;
  }
  keepNews(fd: number, events: number): void {
    if (events !== 0) Atomics.or(this.#news, fd, events);
  }
  /** Those of `events` that there are. */
  takeNews(fd: number, events: number): number {
    return this.#news[fd] === 0 ? 0 : Atomics.and(this.#news, fd, ~events) & events;
  }
  dropNews(fd: number): void {
    if (this.#news[fd] !== 0) Atomics.store(this.#news, fd, 0);
  }
  /** Closes what a handle stands for. */
  release(fh: number): void {
    this.get(fh);
    this.#close(fh);
  }
  #close(fd: number): void {
    const was = Atomics.exchange(this.#words, fd, CLOSED);
    if (was === CLOSED) return;
    if (was > OPEN) closeQuietly(was - OPEN);
    closeQuietly(fd);
  }
  /** Closes what is left. */
  closeAll(): void {
    for (let fd = 0; fd < Atomics.load(this.#top, 0); fd++) if (this.#words[fd] !== CLOSED) this.#close(fd);
  }
  /** How many are open. For tests. */
  get size(): number {
    return this.#words
      .subarray(0, Atomics.load(this.#top, 0))
      .reduce((sum, word) => sum + (word === CLOSED ? 0 : 1), 0);
  }
}
