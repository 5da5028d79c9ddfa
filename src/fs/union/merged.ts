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
/** The same in words. */
const [INO, OFF] = [TO.ino / 4, TO.off / 4];
const [NAMELEN, TYPE, NAME] = [TO.namelen / 4, TO.type / 4, FUSE_NAME_OFFSET / 4];
/** The bytes of a linux_dirent64 with a name of up to four. */
const SHORTEST = 24;
const DOT = 0x2e;
/** Bytes, and records, that there is room for at first. */
const ROOM = 65_536;
const FEW = 1024;
/** So many empty places are kept in any case. */
const SPARE = 1000;
/** Who chooses names does not know which of them meet in the table: by chance, and by that in both products, since one alone leaves the highest bit where it is. */
const SEED = randomInt(2 ** 31);
const FACTOR = randomInt(2 ** 30, 2 ** 31) | 1;

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
  /** The records, as words and as bytes. */
  #words = new Int32Array(ROOM / 4);
  #bytes = Buffer.from(this.#words.buffer);
  /** In words, as all places of records are here. */
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
      this.#take(ROOM);
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

  /** Adds what a call of getdents64(2) has given, of one branch: so many bytes of records of linux_dirent64. */
  add(branch: Branch, from: Buffer, length: number): void {
    this.#makeRoom(length);
    const view = viewOf(from);
    const [words, table, hashes] = [this.#words, this.#table, this.#hashes];
    const mask = table.length - 1;
    const seed = this.#numbers.seed(branch);
    for (let at = 0; at < length; ) {
      const next = at + view.getUint16(at + FROM.d_reclen, true);
      const name = at + FROM.d_name;
      // The NUL is among the last eight bytes: what follows it is padding, and may be anything.
      let nul = Math.max(name, next - 8);
      while (from[nul] !== 0) nul++;
      const bytes = nul - name;
      // The name goes to where the next record's is: the record is there if it is counted.
      const record = this.#end;
      let to = record + NAME;
      let hash = SEED;
      for (let left = bytes; left > 0; left -= 4) {
        const word = view.getInt32(nul - left, true) & (left < 4 ? (1 << (8 * left)) - 1 : -1);
        words[to++] = word;
        hash = Math.imul(hash ^ word, FACTOR);
        hash ^= Math.imul(hash >>> 15, FACTOR);
      }
      let place = hash & mask;
      let other = table[place]!;
      while (other !== 0 && !(hashes[other - 1] === hash && this.#same(this.#starts[other - 1]!, record, bytes))) {
        place = (place + 1) & mask;
        other = table[place]!;
      }
      if (other === 0) {
        const number = this.#count++;
        table[place] = number + 1;
        hashes[number] = hash;
        this.#starts[number] = record;
        words[to] = 0;
        this.#end = FUSE_REC_ALIGN(to * 4) / 4;
        words[record + OFF] = number + 1;
        words[record + OFF + 1] = 0;
        words[record + NAMELEN] = bytes;
        const type = from[at + FROM.d_type]!;
        words[record + TYPE] = type;
        const ino = at + FROM.d_ino;
        if (this.#numbers.byPath(type << 12)) this.#numbers.putOfPath(this.#pathOf(record), words, record + INO);
        else this.#numbers.putOfFile(view.getInt32(ino, true), view.getInt32(ino + 4, true), seed, words, record + INO);
      }
      at = next;
    }
  }
  /** Whether the name of one record is that of another, which has no length yet. */
  #same(record: number, other: number, length: number): boolean {
    const words = this.#words;
    if (words[record + NAMELEN] !== length) return false;
    const end = record + NAME + Math.ceil(length / 4);
    for (let at = record + NAME, to = other + NAME; at < end; at++, to++) if (words[at] !== words[to]) return false;
    return true;
  }
  /** The path that a record's number is made of: the root has nothing above it that is anybody's business. */
  #pathOf(record: number): Buffer {
    const bytes = this.#bytes;
    const name = record * 4 + FUSE_NAME_OFFSET;
    const length = this.#words[record + NAMELEN]!;
    const dots = bytes[name] === DOT && (length === 1 || (length === 2 && bytes[name + 1] === DOT)) ? length : 0;
    if (dots === 2) return encodeName(this.#above);
    const directory = this.#directory;
    if (dots === 1) return this.#path.subarray(0, Math.max(0, directory - 1));
    bytes.copy(this.#path, directory, name, name + length);
    return this.#path.subarray(0, directory + length);
  }

  /** For all of so many bytes of linux_dirent64: a record is at most eight bytes longer here, and none is shorter than 24. */
  #makeRoom(bytes: number): void {
    const count = this.#count + Math.ceil(bytes / SHORTEST);
    const size = this.#end * 4 + bytes + 8 * Math.ceil(bytes / SHORTEST) + 8;
    if (size > this.#bytes.length) {
      const before = this.#words;
      this.#take(2 * size);
      this.#words.set(before);
    }
    if (count <= this.#starts.length) return;
    const most = 2 ** Math.ceil(Math.log2(count));
    this.#starts = longer(this.#starts, most);
    this.#hashes = longer(this.#hashes, most);
    const table = new Int32Array(2 * most);
    const mask = table.length - 1;
    for (let i = 0; i < this.#count; i++) {
      let place = this.#hashes[i]! & mask;
      while (table[place] !== 0) place = (place + 1) & mask;
      table[place] = i + 1;
    }
    this.#table = table;
  }
  /** Memory for so many bytes of records. */
  #take(bytes: number): void {
    this.#words = new Int32Array(Math.ceil(bytes / 4));
    this.#bytes = Buffer.from(this.#words.buffer);
  }

  /** A branch has been read, or could not be. */
  ended(failure: Errno | undefined): void {
    if (failure === undefined) this.#there++;
    else if (!isNone(failure)) {
      this.#failure = failure;
      this.#failed++;
    }
  }

  /** Whether it was read on every branch that has it. */
  get isWhole(): boolean {
    return this.#failed === 0;
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
    for (let i = 0; i <= this.#count; i++) index[i] = 4 * this.#begin(i);
    return { index, records: this.#bytes.subarray(0, 4 * this.#end) };
  }
  /** Where a record begins; of the one behind the last, where that ends. */
  #begin(number: number): number {
    return number < this.#count ? this.#starts[number]! : this.#end;
  }
  #arrange(before: Places): Listed | undefined {
    const places = before.names();
    const records = Array.from({ length: this.#count }, (_, i) => {
      const [begin, end] = [4 * this.#begin(i), 4 * this.#begin(i + 1)];
      return { begin, end, place: places.get(nameIn(this.#bytes, begin)) ?? -1 };
    });
    let { size } = before;
    for (const record of records) if (record.place < 0) record.place = size++;
    if (size > 2 * records.length + SPARE) return undefined;
    records.sort((a, b) => a.place - b.place);
    const [index, arranged] = [new Int32Array(size + 1), Buffer.alloc(4 * this.#end)];
    let [next, end] = [0, 0];
    for (const record of records) {
      while (next <= record.place) index[next++] = end;
      this.#words[record.begin / 4 + OFF] = next;
      end += this.#bytes.copy(arranged, end, record.begin, record.end);
    }
    while (next <= size) index[next++] = end;
    return { index, records: arranged };
  }
}

/** Whether a branch has no such directory: nothing, a file, or a symlink. */
export const isNone = (failure: Errno): boolean => failure === ENOENT || failure === ENOTDIR || failure === ELOOP;

/** The name in a record of fuse_dirent, a character for each of its bytes: to be compared. */
export const nameIn = (bytes: Buffer, record: number): string => {
  const name = record + FUSE_NAME_OFFSET;
  return bytes.latin1Slice(name, name + bytes.readUInt32LE(record + TO.namelen));
};

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
function longer(words: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const all = new Int32Array(length);
  all.set(words);
  return all;
}
