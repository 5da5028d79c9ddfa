/**
 * Memory that a thread's system calls read their arguments from and leave their results in, at addresses that never move.
 * Each part is good until the next call that uses it: handlers run one at a time, and none of them waits in the middle.
 */
import { EINVAL, ENAMETOOLONG, errno } from '../../abi/errno.ts';
import { Memory } from '../../abi/memory.ts';
import {
  MAX_HANDLE_SZ,
  O_CLOEXEC,
  O_NOFOLLOW,
  O_PATH,
  PATH_MAX,
  RESOLVE_BENEATH,
  RESOLVE_NO_XDEV,
  XATTR_LIST_MAX,
} from '../../abi/posix.ts';
import { encodeName } from '../../protocol/names.ts';

/** Where the parts lie, in bytes. Names have room for a path of PATH_MAX. */
const NAME = 0;
const NAME_2 = 2 * PATH_MAX;
const PROC = 4 * PATH_MAX;
const EMPTY = PROC + 64;
const STAT = EMPTY + 64;
const HANDLE = STAT + 256;
const WORDS = HANDLE + 8 + MAX_HANDLE_SZ;
const HOW = WORDS + 64;
const LIST = 5 * PATH_MAX;
const DIRENTS = LIST + XATTR_LIST_MAX;
/** Bytes of directory entries that are read at once: what the kernel asks for in a READDIR. */
export const DIRENTS_ROOM = 32_768;

const SLASH = 0x2f;
const PROC_SELF_FD = '/proc/self/fd/';

export class Scratch {
  readonly view: DataView;
  readonly bytes: Buffer;
  /** Address of the path of no characters. */
  readonly empty: number;
  /** Where `stat` is in `view`, and its address: a struct statx. */
  readonly statAt = STAT;
  readonly stat: number;
  /** The same of a file_handle with room for the largest. */
  readonly handleAt = HANDLE;
  readonly handle: number;
  /** The same of 64 bytes for whatever a call takes or gives: two offsets, times, a lock. */
  readonly wordsAt = WORDS;
  readonly words: number;
  /** Address of the open_how of a lookup: one component, nothing followed, no way out. */
  readonly how: number;
  /** Where a struct statfs goes: where lists do. */
  readonly statfsAt: number;
  readonly statfs: number;
  /** Room for a list of extended attributes, or the target of a symlink. */
  readonly list: Buffer;
  readonly direntsAt = DIRENTS;
  readonly dirents: number;
  readonly #memory = new Memory(DIRENTS + DIRENTS_ROOM);

  constructor() {
    const { address, buffer } = this.#memory;
    this.view = new DataView(buffer);
    this.bytes = Buffer.from(buffer);
    this.empty = address + EMPTY;
    this.stat = address + STAT;
    this.handle = address + HANDLE;
    this.words = address + WORDS;
    this.how = address + HOW;
    this.view.setBigUint64(HOW, BigInt(O_PATH | O_NOFOLLOW | O_CLOEXEC), true);
    this.view.setBigUint64(HOW + 16, BigInt(RESOLVE_BENEATH | RESOLVE_NO_XDEV), true);
    this.statfs = address + LIST;
    this.statfsAt = LIST;
    this.list = this.bytes.subarray(LIST, LIST + XATTR_LIST_MAX);
    this.dirents = address + DIRENTS;
    this.bytes.write(PROC_SELF_FD, PROC, 'latin1');
  }

  /**
   * The address of a name of one component. EINVAL where it would be a path: the kernel sends none, and whoever does shall
   * not get out of the directory. "." and ".." are for the caller to look at.
   */
  name(name: string): number {
    return this.#put(name, NAME, SLASH);
  }
  /** A second one, beside the first. */
  other(name: string): number {
    return this.#put(name, NAME_2, SLASH);
  }
  /** The address of any text beside a name: the target of a symlink, the name of an attribute. */
  text(text: string): number {
    return this.#put(text, NAME_2, 0);
  }

  /** The address of `/proc/self/fd/N`: a path to what a descriptor of O_PATH holds, symlinks too, for calls that take no such descriptor. */
  proc(fd: number): number {
    let digits = 1;
    for (let left = fd; left >= 10; left = Math.floor(left / 10)) digits++;
    const end = PROC + PROC_SELF_FD.length + digits;
    this.bytes[end] = 0;
    for (let at = end - 1, left = fd; at >= end - digits; at--, left = Math.floor(left / 10))
      this.bytes[at] = 0x30 + (left % 10);
    return this.#memory.address + PROC;
  }

  /** Puts text with its NUL at `at`, where no byte of it may be `refused`. */
  #put(text: string, at: number, refused: number): number {
    const { bytes } = this;
    if (text.length >= PATH_MAX) throw ENAMETOOLONG;
    let all = 0;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code === 0 || code === refused) throw EINVAL;
      all |= code;
      bytes[at + i] = code;
    }
    let { length } = text;
    if (all > 0x7f) {
      const encoded = encodeName(text);
      if (encoded.length >= PATH_MAX) throw ENAMETOOLONG;
      bytes.set(encoded, at);
      length = encoded.length;
    }
    bytes[at + length] = 0;
    return this.#memory.address + at;
  }

  free(): void {
    this.#memory.free();
  }
}

/** What a call did, its errno thrown where it failed. */
export function done(result: number): number {
  if (result < 0) throw errno(-result);
  return result;
}
