/**
 * The names of a directory as they are merged: what getdents64(2) gives of one branch after the other becomes what READDIR tells, records of
 * fuse_dirent, each name as the first branch has it. No name becomes a string on the way, and nothing is made for one.
 *
 * A record's cookie is one more than its place. `arrange` has the places of a directory that was read before.
 */

import { randomInt } from 'node:crypto';
import { FUSE_REC_ALIGN } from '../../abi/align.ts';
import { ELOOP, ENOENT, ENOTDIR, type Errno } from '../../abi/errno.ts';
import { fuse_dirent } from '../../abi/fuse.ts';
import { FUSE_NAME_OFFSET } from '../../abi/fuse-constants.ts';
import { PATH_MAX } from '../../abi/posix.ts';
import { encodeName } from '../../protocol/names.ts';
import { linux_dirent64 } from '../passthrough/directory.ts';
import type { InodeNumbers } from './inodes.ts';
import type { Branch } from './lower.ts';
import { parentOf } from './policies.ts';

const { offset: FROM } = linux_dirent64;
const { offset: TO } = fuse_dirent;
const DOT = 0x2e;
/** Bytes, and records, that there is room for at first. */
const ROOM = 65_536;
const FEW = 1024;
/** So many empty places are kept in any case. */
const SPARE = 1000;
/** Who chooses names does not know which of them meet in the table. */
const SEED = randomInt(2 ** 31);

/** Records, and where each place's is; the last number is where they end. A place that is empty has the next one's. */
export interface Listed {
  readonly records: Uint8Array;
  readonly index: Int32Array;
}

/** What a directory had when it was read before, if it was. */
export interface Places {
  readonly read: boolean;
  /** Places, empty ones too. */
  readonly size: number;
  /** The place of each name, which is a character for each of its bytes. */
  names(): ReadonlyMap<string, number>;
}

/** Filled again for each listing: what `all` answers is good until then. */
export class Merged {
  readonly #numbers: InodeNumbers;
  #bytes = Buffer.alloc(ROOM);
  #view = viewOf(this.#bytes);
  #end = 0;
  #count = 0;
  /** Where each record begins. */
  #starts = new Int32Array(FEW);
  #hashes = new Int32Array(FEW);
  /** For each hash, in the first that is free from there on: 1 more than a record's number. Twice as many as there is room for records. */
  #table = new Int32Array(2 * FEW);
  /** The directory's path, with a slash behind it unless it is the root, and room for a name. */
  #path: Buffer = Buffer.alloc(0);
  #directory = 0;
  #above = '';
  #failure: Errno = ENOENT;
  #there = 0;
  #failed = 0;

  constructor(numbers: InodeNumbers) {
    this.#numbers = numbers;
  }

  begin(path: string): this {
    const prefix = encodeName(path === '' ? '' : `${path}/`);
    this.#path = Buffer.alloc(prefix.length + PATH_MAX);
    this.#path.set(prefix);
    this.#directory = prefix.length;
    this.#above = parentOf(path);
    // What a large directory has taken is not kept for small ones.
    if (this.#table.length > 16 * Math.max(FEW, this.#count)) {
      this.#bytes = Buffer.alloc(ROOM);
      this.#view = viewOf(this.#bytes);
      this.#starts = new Int32Array(FEW);
      this.#hashes = new Int32Array(FEW);
      this.#table = new Int32Array(2 * FEW);
    } else this.#table.fill(0);
    this.#end = 0;
    this.#count = 0;
    this.#failure = ENOENT;
    this.#there = 0;
    this.#failed = 0;
    return this;
  }

  /** Adds what a call of getdents64(2) has given, of one branch: records of linux_dirent64 from `at` to `end`. */
  add(branch: Branch, from: Buffer, at: number, end: number): void {
    const view = viewOf(from);
    while (at < end) {
      const next = at + view.getUint16(at + FROM.d_reclen, true);
      const begin = at + FROM.d_name;
      // The NUL is among the last eight bytes: what follows it is padding, and may be anything.
      let nul = Math.max(begin, next - 8);
      while (from[nul] !== 0) nul++;
      if (this.#put(from, begin, nul - begin)) {
        const type = from[at + FROM.d_type]!;
        const [lo, hi] = [view.getUint32(at + FROM.d_ino, true), view.getUint32(at + FROM.d_ino + 4, true)];
        this.#finish(branch, type, lo, hi);
      }
      at = next;
    }
  }

  /** Puts a name where the next record's is, unless it is there already: whether it was not. The record is not there before `#finish`. */
  #put(from: Buffer, at: number, length: number): boolean {
    this.#makeRoom(FUSE_NAME_OFFSET + length + 8);
    const bytes = this.#bytes;
    const name = this.#end + FUSE_NAME_OFFSET;
    let hash = SEED;
    for (let i = 0; i < length; i++) {
      const byte = from[at + i]!;
      bytes[name + i] = byte;
      hash = Math.imul(hash ^ byte, 0x0100_0193); // FNV-1a
    }
    hash ^= hash >>> 15;
    const table = this.#table;
    const mask = table.length - 1;
    let place = hash & mask;
    for (; table[place] !== 0; place = (place + 1) & mask) {
      const other = table[place]! - 1;
      if (this.#hashes[other] === hash && this.#same(this.#starts[other]!, name, length)) return false;
    }
    table[place] = this.#count + 1;
    this.#hashes[this.#count] = hash;
    this.#view.setUint32(this.#end + TO.namelen, length, true);
    return true;
  }
  #same(record: number, name: number, length: number): boolean {
    const bytes = this.#bytes;
    if (this.#view.getUint32(record + TO.namelen, true) !== length) return false;
    for (let i = 0; i < length; i++) if (bytes[record + FUSE_NAME_OFFSET + i] !== bytes[name + i]) return false;
    return true;
  }

  /** The rest of a record whose name is in its place. */
  #finish(branch: Branch, type: number, lo: number, hi: number): void {
    const at = this.#end;
    const view = this.#view;
    const numbers = this.#numbers;
    const name = at + FUSE_NAME_OFFSET;
    const end = name + view.getUint32(at + TO.namelen, true);
    const ino = numbers.byPath(type << 12) ? numbers.ofPath(this.#pathOf(name, end)) : numbers.ofFile(branch, lo, hi);
    view.setUint32(at + TO.ino, ino.lo, true);
    view.setUint32(at + TO.ino + 4, ino.hi, true);
    view.setUint32(at + TO.off, this.#count + 1, true);
    view.setUint32(at + TO.off + 4, 0, true);
    view.setUint32(at + TO.type, type, true);
    const next = FUSE_REC_ALIGN(end);
    for (let i = end; i < next; i++) this.#bytes[i] = 0;
    this.#starts[this.#count++] = at;
    this.#end = next;
  }
  /** The path that a number is made of: the root has nothing above it that is anybody's business. */
  #pathOf(name: number, end: number): Buffer {
    const bytes = this.#bytes;
    const length = end - name;
    const dots = bytes[name] === DOT && (length === 1 || (length === 2 && bytes[name + 1] === DOT)) ? length : 0;
    if (dots === 2) return encodeName(this.#above);
    const directory = this.#directory;
    if (dots === 1) return this.#path.subarray(0, Math.max(0, directory - 1));
    bytes.copy(this.#path, directory, name, end);
    return this.#path.subarray(0, directory + length);
  }

  #makeRoom(bytes: number): void {
    if (this.#end + bytes > this.#bytes.length) {
      const larger = Buffer.alloc(2 * this.#bytes.length);
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = viewOf(larger);
    }
    if (this.#count < this.#starts.length) return;
    this.#starts = twice(this.#starts);
    this.#hashes = twice(this.#hashes);
    const table = new Int32Array(2 * this.#table.length);
    const mask = table.length - 1;
    for (let i = 0; i < this.#count; i++) {
      let place = this.#hashes[i]! & mask;
      while (table[place] !== 0) place = (place + 1) & mask;
      table[place] = i + 1;
    }
    this.#table = table;
  }

  /** A branch has been read, or could not be. */
  ended(failure: Errno | undefined): void {
    if (failure === undefined) this.#there++;
    else if (!isNone(failure)) {
      this.#failure = failure;
      this.#failed++;
    }
  }

  /**
   * All of it, each at the place that its name had before, others behind all that were there. Where that would leave many places empty, all are
   * given anew. The last error, where more branches could not be read than could; ENOENT, where none has the directory.
   */
  all(before: Places): Listed {
    if (this.#there === 0 || this.#failed > this.#there) throw this.#failure;
    return (before.read ? this.#arrange(before) : undefined) ?? this.#inTurn();
  }
  #inTurn(): Listed {
    const index = new Int32Array(this.#count + 1);
    index.set(this.#starts.subarray(0, this.#count));
    index[this.#count] = this.#end;
    return { index, records: this.#bytes.subarray(0, this.#end) };
  }
  #arrange(before: Places): Listed | undefined {
    const places = before.names();
    const records = Array.from({ length: this.#count }, (_, i) => {
      const begin = this.#starts[i]!;
      const end = i + 1 < this.#count ? this.#starts[i + 1]! : this.#end;
      return { begin, end, place: places.get(nameIn(this.#bytes, this.#view, begin)) ?? -1 };
    });
    let { size } = before;
    for (const record of records) if (record.place < 0) record.place = size++;
    if (size > 2 * records.length + SPARE) return undefined;
    records.sort((a, b) => a.place - b.place);
    const [index, arranged] = [new Int32Array(size + 1), Buffer.alloc(this.#end)];
    let [next, end] = [0, 0];
    for (const record of records) {
      while (next <= record.place) index[next++] = end;
      this.#view.setUint32(record.begin + TO.off, next, true);
      end += this.#bytes.copy(arranged, end, record.begin, record.end);
    }
    while (next <= size) index[next++] = end;
    return { index, records: arranged };
  }
}

/** Whether a branch has no such directory: nothing, a file, or a symlink. */
export const isNone = (failure: Errno): boolean => failure === ENOENT || failure === ENOTDIR || failure === ELOOP;

/** The name in a record of fuse_dirent, a character for each of its bytes: to be compared. */
export const nameIn = (bytes: Buffer, view: DataView, record: number): string => {
  const name = record + FUSE_NAME_OFFSET;
  return bytes.latin1Slice(name, name + view.getUint32(record + TO.namelen, true));
};

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
function twice(words: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(2 * words.length);
  larger.set(words);
  return larger;
}
