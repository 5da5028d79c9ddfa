/**
 * Which open files the kernel reads and writes itself (FUSE_PASSTHROUGH). Its rules are those of a node: all opens of it are passed
 * through, by one number, or none is. So the way is chosen by the first open of a node and stands in its value, under its
 * lock, until the last release: any thread may see the one or the other.
 *
 * The kernel keeps the rights of the thread that registers a file, and writes with them. So that is done without those by which root keeps
 * setuid bits and passes by quotas.
 * @see protocol/backing.ts
 */
import { ENOTTY, EPERM, Errno } from '../../abi/errno.ts';
import { FOPEN_PASSTHROUGH } from '../../abi/fuse-constants.ts';
import type { Connection } from '../../protocol/connection.ts';
import type { Credentials } from './credentials.ts';
import type { LowerNode, LowerNodes } from './nodes.ts';
import { HELD } from './source.ts';

/** What OPEN says beside the handle. */
export interface Way {
  readonly open_flags: number;
  readonly backing_id: number;
}
/** Through the server. */
const SERVED = 0;

export class HandedFiles {
  readonly #nodes: LowerNodes;
  readonly #credentials: Credentials;
  readonly #connection: Pick<Connection, 'backing' | 'warn'>;
  /** What a node's opens are answered with. */
  readonly #ways = new Map<number, Way>();
  /** The kernel takes none at all from us. */
  #refused = false;

  constructor(nodes: LowerNodes, credentials: Credentials, connection: Pick<Connection, 'backing' | 'warn'>) {
    this.#nodes = nodes;
    this.#credentials = credentials;
    this.#connection = connection;
  }

  /** Counts an open of a node, of whose file this is a descriptor: how it goes on; undefined is by requests. ESTALE. */
  open(nodeid: number, fd: number): Way | undefined {
    const { table } = this.#nodes;
    const id = table.locked(table.get(nodeid), ({ valueAt }) => {
      const { view } = table;
      const opens = view.getInt32(valueAt + HELD.opens, true);
      const chosen = opens > 0 ? view.getInt32(valueAt + HELD.backing, true) : this.#register(fd);
      view.setInt32(valueAt + HELD.backing, chosen, true);
      view.setInt32(valueAt + HELD.opens, opens + 1, true);
      return chosen;
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
    const { table } = this.#nodes;
    table.locked(table.get(nodeid), ({ valueAt }: LowerNode) => {
      const { view } = table;
      const opens = view.getInt32(valueAt + HELD.opens, true) - 1;
      view.setInt32(valueAt + HELD.opens, opens, true);
      const id = view.getInt32(valueAt + HELD.backing, true);
      if (opens === 0 && id !== SERVED) this.#connection.backing.close(id);
    });
  }

  /** A number for a file; SERVED where the kernel has none for this one. */
  #register(fd: number): number {
    if (this.#refused) return SERVED;
    try {
      return this.#credentials.forOthers(() => this.#connection.backing.open(fd));
    } catch (error) {
      if (!(error instanceof Errno)) throw error;
      // Else it is this file that can't be had so: of a filesystem that is stacked itself, say.
      if (error.errno === EPERM.errno || error.errno === ENOTTY.errno) {
        this.#refused = true;
        this.#connection.warn(`files are read and written by requests, the kernel takes none: ${error.message}`);
      }
      return SERVED;
    }
  }
}
