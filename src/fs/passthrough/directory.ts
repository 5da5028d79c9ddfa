/**
 * Reading directories: getdents64(2) on the client's descriptor, with the lower filesystem's own cookies of 64 bits, so
 * that they are as stable as they are there. READDIRPLUS looks each name up on the way.
 */
import { Errno } from '../../abi/errno.ts';
import { getdents64, lseek } from '../../abi/files.ts';
import { FUSE_ROOT_ID } from '../../abi/fuse-constants.ts';
import { SEEK_SET } from '../../abi/posix.ts';
import { struct, u8, u16, u64 } from '../../abi/struct.ts';
import type { DirectoryReply, Dirent } from '../../protocol/dirent.ts';
import { decodeName } from '../../protocol/names.ts';
import type { Result } from '../../protocol/operations.ts';
import type { Attributes } from './attributes.ts';
import type { LowerNode } from './nodes.ts';
import { DIRENTS_ROOM, done, type Scratch } from './scratch.ts';
import type { Key } from './source.ts';

/** struct linux_dirent64, up to its name. The kernel packs the rest of the last word with it. */
export const linux_dirent64 = struct({
  ...{ d_ino: u64, d_off: u64, d_reclen: u16, d_type: u8, d_name: u8 },
  ...{ rest: u16, rest_2: u16 },
});
const { offset: AT } = linux_dirent64;

/** What is put into a reply: filled again for each name. */
interface Entry extends Dirent {
  name: string;
  ino: bigint;
  type: number;
  off: bigint;
}

/** Reads directories, whoever serves them. */
export class Dirents {
  readonly #scratch: Scratch;
  readonly #entry: Entry = { name: '', ino: 0n, type: 0, off: 0n };

  constructor(scratch: Scratch) {
    this.#scratch = scratch;
  }

  /** Calls with what comes after the cookie `offset`, one after the other in the same object, while that is answered true. */
  each(fd: number, offset: bigint, visit: (entry: Entry) => boolean): void {
    const { view, bytes, dirents, direntsAt } = this.#scratch;
    done(lseek(fd, offset, SEEK_SET));
    const entry = this.#entry;
    for (;;) {
      const length = done(getdents64(fd, dirents, DIRENTS_ROOM));
      if (length === 0) return;
      for (let at = direntsAt; at < direntsAt + length; at += view.getUint16(at + AT.d_reclen, true)) {
        const begin = at + AT.d_name;
        let end = begin;
        while (bytes[end] !== 0) end++;
        entry.name = decodeName(bytes, begin, end);
        entry.ino = view.getBigUint64(at + AT.d_ino, true);
        entry.type = view.getUint8(at + AT.d_type);
        entry.off = view.getBigUint64(at + AT.d_off, true);
        if (!visit(entry)) return;
      }
    }
  }
}

/** Those of a source. */
export class Directories {
  readonly #dirents: Dirents;
  readonly #attr: Attributes;
  /** The root's number. */
  readonly #root: bigint;

  constructor(scratch: Scratch, attr: Attributes, { ino, ino_high }: Key) {
    this.#dirents = new Dirents(scratch);
    this.#attr = attr;
    this.#root = BigInt(ino_high) * 0x1_0000_0000n + BigInt(ino);
  }

  /**
   * Adds what comes after the cookie `offset` until the reply is full. `lookup` says what LOOKUP would, or throws an errno: then the
   * name is told without it.
   */
  list(
    { nodeid, key: { device, device_high } }: LowerNode,
    fd: number,
    offset: bigint,
    reply: DirectoryReply,
    lookup?: (name: string) => Result<'LOOKUP'>,
  ): void {
    const here = device_high * 2 ** 32 + device;
    // What lies above the root is nobody's business.
    const top = nodeid === FUSE_ROOT_ID;
    const found = lookup && (({ name }: Dirent) => lookup(name));
    this.#dirents.each(fd, offset, (entry) => {
      entry.ino = top && entry.name === '..' ? this.#root : this.#attr.shown(entry.ino, here);
      return add(entry, reply, found);
    });
  }
}

/** Adds an entry with what its lookup gave, or alone where that failed: gone meanwhile, or not to be entered. */
function add(entry: Dirent, reply: DirectoryReply, lookup?: (entry: Dirent) => Result<'LOOKUP'>): boolean {
  try {
    return reply.add(entry, lookup);
  } catch (error) {
    if (lookup === undefined || !(error instanceof Errno)) throw error;
    return reply.add(entry);
  }
}
