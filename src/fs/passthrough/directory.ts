/**
 * Reading directories: getdents64(2) on the client's descriptor, with the lower filesystem's own cookies of 64 bits, so
 * that they are as stable as they are there. READDIRPLUS looks each name up on the way.
 */
import { Errno } from '../../abi/errno.ts';
import { getdents64, lseek } from '../../abi/files.ts';
import { SEEK_SET } from '../../abi/posix.ts';
import { struct, u8, u16, u64 } from '../../abi/struct.ts';
import type { DirectoryReply, Dirent } from '../../protocol/dirent.ts';
import { decodeName } from '../../protocol/names.ts';
import type { Result } from '../../protocol/operations.ts';
import { DIRENTS_ROOM, done, type Scratch } from './scratch.ts';

/** struct linux_dirent64, up to its name. The kernel packs the rest of the last word with it. */
const AT = struct({ d_ino: u64, d_off: u64, d_reclen: u16, d_type: u8, d_name: u8, rest: u16, rest_2: u16 }).offset;

/** What is put into a reply: filled again for each name. */
interface Entry extends Dirent {
  name: string;
  ino: bigint;
  type: number;
  off: bigint;
}

export class Directories {
  readonly #scratch: Scratch;
  readonly #entry: Entry = { name: '', ino: 0n, type: 0, off: 0n };

  constructor(scratch: Scratch) {
    this.#scratch = scratch;
  }

  /**
   * Adds what comes after the cookie `offset` until the reply is full. `shown` says which number is shown for a name's;
   * `lookup` what LOOKUP would, or throws an errno: then the name is told without it.
   */
  list(
    fd: number,
    offset: bigint,
    reply: DirectoryReply,
    shown: (name: string, ino: bigint) => bigint,
    lookup?: (name: string) => Result<'LOOKUP'>,
  ): void {
    const found = lookup && (({ name }: Dirent) => lookup(name));
    this.each(fd, offset, (entry) => {
      entry.ino = shown(entry.name, entry.ino);
      return add(entry, reply, found);
    });
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

/** Adds an entry with what its lookup gave, or alone where that failed: gone meanwhile, or not to be entered. */
function add(entry: Dirent, reply: DirectoryReply, lookup?: (entry: Dirent) => Result<'LOOKUP'>): boolean {
  try {
    return reply.add(entry, lookup);
  } catch (error) {
    if (lookup === undefined || !(error instanceof Errno)) throw error;
    return reply.add(entry);
  }
}
