/**
 * Files that the kernel reads and writes itself (FUSE_PASSTHROUGH). Its rules are those of a node: all opens of it are passed
 * through, by one number, or none is. So the first open of a node chooses, and the choice stands until the last release, in
 * books that the filesystem may keep where its threads see them.
 *
 *     init(connection) { this.handed = new HandedFiles(connection); }
 *     open({ nodeid }) { const fd = ...; return { fh: fd, ...this.handed.open(nodeid, fd) }; }
 *     release({ nodeid }, { fh }) { close(fh); this.handed.release(nodeid); }
 *
 * CREATE and TMPFILE open a node, too. What `open` returns goes with the flags FOPEN_NOFLUSH and those of direct I/O, and no other.
 * @see protocol/backing.ts
 */
import { hasCapability } from '../abi/credentials.ts';
import { ELOOP, ENOTTY, EPERM, Errno } from '../abi/errno.ts';
import { FOPEN_PASSTHROUGH } from '../abi/fuse-constants.ts';
import { CAP_SYS_ADMIN } from '../abi/posix.ts';
import type { BackingRights } from '../protocol/backing.ts';
import type { Connection } from '../protocol/connection.ts';
import { NegotiationError } from '../protocol/init.ts';
import type { SharedNodes } from './shared/nodes.ts';

/** What OPEN says beside the handle. */
export interface Way {
  readonly open_flags: number;
  readonly backing_id: number;
}
/** How a node is open. */
export interface Opened {
  /** How often. */
  opens: number;
  /** The kernel's number for its file, SERVED where it goes by requests. */
  id: number;
}
/** Through the server. */
const SERVED = 0;

/** Where it stands how nodes are open. */
export interface OpenBooks {
  /** Calls with what stands there of a node, none at first, and keeps what it is changed to. Nobody else may change it meanwhile. */
  change<T>(nodeid: number, use: (opened: Opened) => T): T;
}

/** The books of one thread. */
class OwnBooks implements OpenBooks {
  readonly #opened = new Map<number, Opened>();
  change<T>(nodeid: number, use: (opened: Opened) => T): T {
    const opened = this.#opened.get(nodeid) ?? { opens: 0, id: SERVED };
    const result = use(opened);
    if (opened.opens === 0) this.#opened.delete(nodeid);
    else this.#opened.set(nodeid, opened);
    return result;
  }
}

/** The books of several threads: in the values of the filesystem's nodes, two words of each. */
export class SharedBooks<K, V> implements OpenBooks {
  readonly #table: SharedNodes<K, V>;
  readonly #at: { readonly opens: number; readonly id: number };
  /** Filled again for each. */
  readonly #opened: Opened = { opens: 0, id: SERVED };

  /** `at` is where in a value they are, in bytes; `opens` is 0 in a new one. */
  constructor(table: SharedNodes<K, V>, at: { readonly opens: number; readonly id: number }) {
    this.#table = table;
    this.#at = at;
  }
  change<T>(nodeid: number, use: (opened: Opened) => T): T {
    const table = this.#table;
    return table.locked(table.get(nodeid), ({ valueAt }) => {
      const [opens, id] = [valueAt + this.#at.opens, valueAt + this.#at.id];
      const opened = this.#opened;
      opened.opens = table.view.getInt32(opens, true);
      opened.id = table.view.getInt32(id, true);
      const result = use(opened);
      table.view.setInt32(opens, opened.opens, true);
      table.view.setInt32(id, opened.id, true);
      return result;
    });
  }
}

/** Why the kernel takes no files from here; undefined where it may. Known when the connection is there; what it says of a file is another matter. */
export function whyNotHanded({ agreed }: Pick<Connection, 'agreed'>): string | undefined {
  if (!agreed.has('PASSTHROUGH')) return 'the kernel has no FUSE_PASSTHROUGH (Linux 6.9)';
  return hasCapability(CAP_SYS_ADMIN) ? undefined : 'that needs CAP_SYS_ADMIN';
}

/** Whether files are to be handed over: they must be, where that can be had, or not at all. */
export type KernelPassthrough = boolean | 'auto';

/** RangeError. */
export function checkKernelPassthrough(wish: KernelPassthrough): void {
  if (wish !== 'auto' && typeof wish !== 'boolean')
    throw new RangeError(`kernelPassthrough is ${wish}: true, false or auto is needed`);
}

/**
 * Whether files are handed over, as wished; what keeps them from it is told: what the filesystem itself is `lacking`, or what the kernel
 * says. NegotiationError where they must be, and can't.
 */
export function areHanded(connection: Connection, wish: KernelPassthrough, lacking?: string): boolean {
  if (wish === false) return false;
  const why = lacking ?? whyNotHanded(connection);
  if (why === undefined) return true;
  if (wish === true) throw new NegotiationError(`kernelPassthrough can't be had: ${why}`);
  connection.warn(`files are read and written by requests, not by the kernel: ${why}`);
  return false;
}

export class HandedFiles {
  readonly #connection: Pick<Connection, 'backing' | 'warn'>;
  readonly #books: OpenBooks;
  readonly #unfit: (fd: number) => string | undefined;
  readonly #rights: BackingRights;
  /** What a node's opens are answered with. */
  readonly #ways = new Map<number, Way>();
  /** The kernel takes none at all from us. */
  #refused = false;
  /** What keeps files from it, and was told. */
  readonly #told = new Set<string>();

  /** `unfit` says why the kernel is not even to be asked for an open file; undefined where it is. `rights` are those that it uses files with. */
  constructor(
    connection: Pick<Connection, 'backing' | 'warn'>,
    books: OpenBooks = new OwnBooks(),
    unfit: (fd: number) => string | undefined = () => undefined,
    rights: BackingRights = 'reduced',
  ) {
    this.#connection = connection;
    this.#books = books;
    this.#unfit = unfit;
    this.#rights = rights;
  }

  /**
   * Counts an open of a node, of whose file this is a descriptor: how it goes on; undefined is by requests. What is not `wanted` is
   * not handed over by this open, and goes as the others do where the node is open.
   */
  open(nodeid: number, fd: number, wanted = true): Way | undefined {
    const id = this.#books.change(nodeid, (opened) => {
      if (opened.opens === 0) opened.id = wanted ? this.#register(fd) : SERVED;
      opened.opens++;
      return opened.id;
    });
    return id === SERVED ? undefined : this.#way(id);
  }
  #way(id: number): Way {
    let way = this.#ways.get(id);
    if (way === undefined) {
      // Numbers are given out again: there are no more of them than there were nodes open at once.
      way = { open_flags: FOPEN_PASSTHROUGH, backing_id: id };
      this.#ways.set(id, way);
    }
    return way;
  }

  /** Takes an open back. */
  release(nodeid: number): void {
    this.#books.change(nodeid, (opened) => {
      opened.opens--;
      if (opened.opens === 0 && opened.id !== SERVED) this.#connection.backing.close(opened.id);
    });
  }

  /** A number for a file; SERVED where the kernel has none for this one. */
  #register(fd: number): number {
    if (this.#refused) return SERVED;
    const unfit = this.#unfit(fd);
    if (unfit !== undefined) return this.#tell(unfit);
    try {
      return this.#connection.backing.open(fd, this.#rights);
    } catch (error) {
      if (!(error instanceof Errno)) throw error;
      this.#refused = error.errno === EPERM.errno || error.errno === ENOTTY.errno;
      return this.#tell(error.errno === ELOOP.errno ? STACKED : error.message);
    }
  }
  #tell(why: string): typeof SERVED {
    const which = this.#refused ? 'files' : 'some files';
    if (!this.#told.has(why))
      this.#connection.warn(`${which} are read and written by requests, not by the kernel: ${why}`);
    this.#told.add(why);
    return SERVED;
  }
}

const STACKED = 'they are on a filesystem that stands on another one, as overlayfs does';
