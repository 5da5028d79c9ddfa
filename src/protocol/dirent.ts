/**
 * The body of READDIR and READDIRPLUS: directory entries, each padded to 8 bytes, as many as fit. A
 * handler gets one of these to add entries to, and need not know which of the two was asked for.
 *
 * Names go in character by character: 1,000 names of 5 characters take 40 us so, of 60 characters 200 us; 138 and
 * 243 us where each becomes a Buffer first, 40 and 135 us where that is at hand.
 */
import { FUSE_REC_ALIGN } from '../abi/align.ts';
import { fuse_dirent, fuse_entry_out } from '../abi/fuse.ts';
import { FUSE_NAME_OFFSET, FUSE_NAME_OFFSET_DIRENTPLUS } from '../abi/fuse-constants.ts';
import { encodeName } from './names.ts';
import type { Result } from './operations.ts';
import type { Slot } from './slot.ts';

export interface Dirent {
  readonly name: string;
  /** The inode number that readdir(3) shows; 0n is skipped by some programs. */
  readonly ino: bigint;
  /** A DT_ constant. */
  readonly type: number;
  /** The cookie: the kernel asks for what comes after this entry with it. Opaque, not 0n, and stable under insert and delete. */
  readonly off: bigint;
}

export class DirectoryReply {
  /** Bytes added so far. */
  length = 0;
  #slot: Slot;
  #limit = 0;
  #plus = false;
  #encode: EncodeEntry;

  constructor(slot: Slot, encode: EncodeEntry) {
    this.#slot = slot;
    this.#encode = encode;
  }

  /** The bytes added; none are left afterwards, and none can be added: a handler may still hold this. @internal */
  take(): number {
    const { length } = this;
    this.length = 0;
    this.#limit = 0;
    return length;
  }

  /** Ready for the next request. @internal */
  begin(size: number, plus: boolean): this {
    this.length = 0;
    this.#limit = Math.min(size, this.#slot.body.length);
    this.#plus = plus;
    return this;
  }

  /**
   * Adds an entry; false when it does not fit any more, and then nothing has happened.
   *
   * `lookup` answers what LOOKUP of the name would answer, and counts one lookup as LOOKUP does. It is
   * called exactly when the kernel will take that answer for one: the request is READDIRPLUS, the entry
   * fits, and it is neither "." nor "..". Without it READDIRPLUS tells names alone, which is allowed.
   */
  add<D extends Dirent>(entry: D, lookup?: (entry: D) => Result<'LOOKUP'>): boolean {
    const { name, ino, off, type } = entry;
    const head = this.#plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
    const begin = this.length + head;
    const end = this.#putName(name, begin);
    const next = FUSE_REC_ALIGN(end);
    if (next > this.#limit) return false;
    const { body, out, outAt } = this.#slot;
    for (let i = end; i < next; i++) body[i] = 0;
    const at = outAt + this.length;
    const dirent = at + head - FUSE_NAME_OFFSET;
    out.setBigUint64(dirent + fuse_dirent.offset.ino, ino, true);
    out.setBigUint64(dirent + fuse_dirent.offset.off, off, true);
    out.setUint32(dirent + fuse_dirent.offset.namelen, end - begin, true);
    out.setUint32(dirent + fuse_dirent.offset.type, type, true);
    if (this.#plus) {
      // Last, when nothing else can fail: a lookup is counted.
      if (lookup !== undefined && !isDot(name)) this.#encode(out, at, lookup(entry));
      else body.fill(0, this.length, this.length + fuse_entry_out.size); // nodeid 0: no inode given, none counted
    }
    this.length = next;
    return true;
  }

  /**
   * Adds entries that are encoded already: records of fuse_dirent, each padded to 8 bytes, from `at` to `end`, as many as fit. READDIRPLUS tells their
   * names alone. What is in them is the caller's to answer for: a name of no bytes, or with a slash, fails the whole listing with EIO.
   */
  addRecords(records: Uint8Array, at: number, end: number): void {
    const { body } = this.#slot;
    const extra = this.#plus ? fuse_entry_out.size : 0;
    let begun = at;
    for (let room = this.#limit - this.length; at < end; ) {
      const namelen = at + fuse_dirent.offset.namelen; // of which no name needs more than two bytes
      const next = at + FUSE_REC_ALIGN(FUSE_NAME_OFFSET + records[namelen]! + records[namelen + 1]! * 256);
      room -= next - at + extra;
      if (room < 0) break;
      if (extra > 0) {
        body.fill(0, this.length, this.length + extra); // nodeid 0: no inode given, none counted
        this.#copy(records, at, next, this.length + extra);
        begun = next;
      }
      at = next;
    }
    this.#copy(records, begun, at, this.length);
  }
  #copy(records: Uint8Array, at: number, end: number, to: number): void {
    this.#slot.body.set(records.subarray(at, end), to);
    this.length = to + end - at;
  }

  /** Puts a name's bytes at `begin` where they fit; in any case, where they end. */
  #putName(name: string, begin: number): number {
    if (FUSE_REC_ALIGN(begin + name.length) > this.#limit) return begin + name.length; // and no name has fewer bytes than code units
    if (name.length === 0) throw unusable(name);
    const { body } = this.#slot;
    let all = 0;
    for (let i = 0; i < name.length; i++) {
      const code = name.charCodeAt(i);
      if (code === SLASH || code === 0) throw unusable(name); // the kernel would fail the whole listing with EIO
      all |= code;
      body[begin + i] = code;
    }
    if (all <= 0x7f) return begin + name.length;
    const bytes = encodeName(name);
    const end = begin + bytes.length;
    if (FUSE_REC_ALIGN(end) <= this.#limit) for (let i = begin; i < end; i++) body[i] = bytes[i - begin]!;
    return end;
  }
}

/** Puts what a lookup answered at `at`, with the session's defaults. */
export type EncodeEntry = (out: DataView, at: number, entry: Result<'LOOKUP'>) => void;

const SLASH = 0x2f;
const unusable = (name: string) => new RangeError(`a directory entry can't be called ${JSON.stringify(name)}`);
const isDot = (name: string): boolean => name === '.' || name === '..';

/** Walks the nodeids that a READDIRPLUS body gave to the kernel, each of which counts one lookup. */
export function* lookupsIn(out: DataView, at: number, end: number): Generator<number> {
  while (at < end) {
    const nodeid = fuse_entry_out.decode(out, at).nodeid;
    if (nodeid !== 0) yield nodeid;
    at += FUSE_REC_ALIGN(
      FUSE_NAME_OFFSET_DIRENTPLUS + out.getUint32(at + fuse_entry_out.size + fuse_dirent.offset.namelen, true),
    );
  }
}
