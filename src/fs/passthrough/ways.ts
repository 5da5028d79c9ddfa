/**
 * Which way an open file goes on: read and written by the kernel itself, where it takes it, or by requests, and then with what the
 * page cache above has of it or without. What is known of a node for that stands in its value, where all threads see it.
 */
import { nameToHandleAt, statx } from '../../abi/files.ts';
import { fuse_statx } from '../../abi/fuse.ts';
import { AT_EMPTY_PATH, MAX_HANDLE_SZ, STATX_BASIC_STATS } from '../../abi/posix.ts';
import type { Connection } from '../../protocol/connection.ts';
import { type Caching, unflushed } from '../caching.ts';
import { areHanded, HandedFiles, SharedBooks, type Way } from '../handed.ts';
import type { LowerNodes } from './nodes.ts';
import { done, type Scratch } from './scratch.ts';
import { HELD, UNSEEN } from './source.ts';

const { offset: AT } = fuse_statx;
/** Where a struct statx has what is compared, and a node's value keeps it: words. */
const SEEN = [
  [AT.size, HELD.size],
  [AT.size + 4, HELD.size + 4],
  [AT.mtime, HELD.mtime],
  [AT.mtime + 4, HELD.mtime + 4],
  [AT.mtime + 8, HELD.mtimensec],
] as const;

/** What OPEN says beside the handle. */
export type Opening = Way | { readonly open_flags: number };

/** How nodes are open: the same for all threads. */
export const booksOf = ({ table }: Pick<LowerNodes, 'table'>) =>
  new SharedBooks(table, { opens: HELD.opens, id: HELD.backing });

export class Ways {
  readonly #nodes: LowerNodes;
  readonly #scratch: Scratch;
  readonly #caching: Caching;
  /** Whether a client's last close is to be told: it ends locks. */
  readonly #flushes: boolean;
  #handed: HandedFiles | undefined;

  constructor(nodes: LowerNodes, scratch: Scratch, caching: Caching, flushes: boolean) {
    this.#nodes = nodes;
    this.#scratch = scratch;
    this.#caching = caching;
    this.#flushes = flushes;
  }

  /** From now on files are handed to the kernel, if they are to be. NegotiationError where they must be, and can't. */
  begin(connection: Connection): void {
    if (areHanded(connection, this.#caching.hands))
      this.#handed = new HandedFiles(connection, booksOf(this.#nodes), (fd) => this.#unfit(fd));
  }

  /** Counts an open of a node, of whose file this is a descriptor, and says how it goes on. ESTALE. */
  file(nodeid: number, fd: number, flags: number): Opening {
    const quiet = this.#flushes ? 0 : unflushed(flags);
    const handed = this.#handed?.open(nodeid, fd);
    if (handed !== undefined) return { ...handed, open_flags: handed.open_flags | quiet };
    return { open_flags: quiet | this.#caching.file(flags, () => this.#same(nodeid, fd)) };
  }
  directory(nodeid: number, fd: number): Opening {
    return { open_flags: this.#caching.directory(() => this.#same(nodeid, fd)) };
  }
  /** Takes back what `file` has counted. */
  release(nodeid: number): void {
    this.#handed?.release(nodeid);
  }

  /** The access mode to open a lower file with for a client's. */
  access(flags: number): number {
    return this.#caching.access(flags);
  }

  /** Whether a file is as it was when it was opened last, through whichever thread; and takes down how it is. */
  #same(nodeid: number, fd: number): boolean {
    const { empty, stat, view, statAt } = this.#scratch;
    done(statx(fd, empty, AT_EMPTY_PATH, STATX_BASIC_STATS, stat));
    const { table } = this.#nodes;
    return table.locked(table.get(nodeid), ({ valueAt }) => {
      let same = table.view.getUint32(valueAt + HELD.mtimensec, true) !== UNSEEN;
      for (const [from, to] of SEEN) {
        const word = view.getUint32(statAt + from, true);
        if (table.view.getUint32(valueAt + to, true) !== word) same = false;
        table.view.setUint32(valueAt + to, word, true);
      }
      return same;
    });
  }

  /** Files that are made up when they are read (procfs) the kernel could open and not read: those have no file handles, as what is stored has. */
  #unfit(fd: number): string | undefined {
    const { empty, view, handle, handleAt, words } = this.#scratch;
    view.setUint32(handleAt, MAX_HANDLE_SZ, true);
    const stored = nameToHandleAt(fd, empty, handle, words, AT_EMPTY_PATH) >= 0;
    return stored ? undefined : 'they have no file handles, as on procfs and overlayfs';
  }
}
