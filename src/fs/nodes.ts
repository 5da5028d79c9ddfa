/**
 * The books of a filesystem: which nodeid means which file, and how often the kernel has been given it.
 *
 * INVARIANT: a node is in the table from `add` until its lookup count is 0 and the filesystem has let go
 * of it (`linked` is false); until then its nodeid means nothing else. Nodeids never come back, so a generation
 * number is never needed.
 *
 * `Nodes` is the table, and who only reads and counts need not know where it is kept: by several threads in shared
 * memory (shared/nodes.ts), or by one, as `NodeTable` here does, whose nodes are objects with their count in
 * them. A filesystem on one thread could have its objects beside the shared books instead. That was measured, with a
 * million nodes: finding one takes a fifth to a half of the time, making and forgetting all of them two thirds to three
 * quarters, and 10 bytes more a node; but to count a lookup and take it back takes 135 ns instead of 45, for the locks, on
 * the path of each LOOKUP, and a nodeid with a generation in it soon needs more than 32 bits, where MemoryFs shows it
 * as the inode number.
 *
 * Here, and in HandleTable, is the one place where an unknown node is ESTALE and an unknown handle EBADF.
 */
import { EBADF, ESTALE } from '../abi/errno.ts';
import { FUSE_ROOT_ID } from '../abi/fuse-constants.ts';

/**
 * What a Map holds at least, whatever comes and goes. It has places for 2^24 entries, and one that was deleted keeps its place
 * until half of them are such: with more than 2^23 alive that may never be, and then set() is a RangeError.
 */
export const MAP_MAX = 2 ** 23;

/** What the books say of a file. */
export interface Counted {
  readonly nodeid: number;
  /** How many lookups the kernel has not taken back yet. */
  readonly nlookup: number;
  /** Whether the filesystem still needs the node without the kernel: it has a name, or is open. */
  readonly linked: boolean;
}

/** The books themselves, wherever they are kept: on one thread (`NodeTable`) or by several (`SharedNodes`). */
export interface Nodes<N extends Counted> {
  /** The node of a nodeid. ESTALE where there is none, or none any more. */
  get(nodeid: number): N;
  /** Counts a lookup: the node is about to be given to the kernel. */
  lookup(node: N): N;
  /** Takes lookups back; of a node that is not here, nothing. */
  forget(one: { readonly nodeid: number; readonly nlookup: number }): void;
  /** Removes a node if nobody needs it any more. To be called when the filesystem lets go of one. */
  drop(node: N): void;
  readonly size: number;
  /** All nodes. */
  all(): IterableIterator<N>;
  /** The kernel is gone, and with it all that it counted. */
  forgetAll(): void;
  /** The nodes that the kernel still counts, for a test's leak check. */
  readonly counted: N[];
}

/** A file as NodeTable keeps it: an object with its count in it. A filesystem's own node type extends it. */
export interface Node extends Counted {
  nlookup: number;
}

/** Nodeids count up: 2^53 of them last 285 years at a million a second. */
export class NodeTable<N extends Node> implements Nodes<N> {
  readonly #nodes = new Map<number, N>();
  #next = FUSE_ROOT_ID;
  readonly #removed: ((node: N) => void) | undefined;

  /** `removed` is told when a node leaves the table. */
  constructor(removed?: (node: N) => void) {
    this.#removed = removed;
  }

  /** Puts in what `make` makes of a fresh nodeid. The first is the root, which the kernel never looks up nor forgets. */
  add(make: (nodeid: number) => N): N {
    const node = make(this.#next++);
    this.#nodes.set(node.nodeid, node);
    return node;
  }

  /** The node of a nodeid. ESTALE where there is none, or none any more. */
  get(nodeid: number): N {
    const node = this.#nodes.get(nodeid);
    if (node === undefined) throw ESTALE;
    return node;
  }

  /** Counts a lookup: the node is about to be given to the kernel. */
  lookup(node: N): N {
    node.nlookup++;
    return node;
  }

  /** Takes lookups back; of a node that is not here, nothing. */
  forget({ nodeid, nlookup }: { readonly nodeid: number; readonly nlookup: number }): void {
    const node = this.#nodes.get(nodeid);
    if (node === undefined) return;
    node.nlookup = Math.max(0, node.nlookup - nlookup);
    this.drop(node);
  }

  /** Removes a node that nobody needs any more. To be called when the filesystem lets go of one. */
  drop(node: N): void {
    if (node.nlookup > 0 || node.linked || node.nodeid === FUSE_ROOT_ID) return;
    if (this.#nodes.delete(node.nodeid)) this.#removed?.(node);
  }

  get size(): number {
    return this.#nodes.size;
  }

  /** All nodes, the oldest first. */
  all(): IterableIterator<N> {
    return this.#nodes.values();
  }

  /** The kernel is gone, and with it all that it counted. */
  forgetAll(): void {
    for (const node of this.#nodes.values()) {
      node.nlookup = 0;
      this.drop(node);
    }
  }

  /** The nodes that the kernel still counts, for a test's leak check. */
  get counted(): N[] {
    return [...this.#nodes.values()].filter((node) => node.nlookup > 0 && node.nodeid !== FUSE_ROOT_ID);
  }
}

/** Open files by handle. Handles are small numbers; 0 is never given. */
export class HandleTable<H> {
  readonly #open: (H | undefined)[] = [undefined];
  readonly #free: number[] = [];

  /** Keeps an open file; the handle to give to the kernel. */
  add(open: H): number {
    const fh = this.#free.pop() ?? this.#open.length;
    this.#open[fh] = open;
    return fh;
  }

  /** The open file of a handle. EBADF where there is none, or none any more. */
  get(fh: number): H {
    const open = this.#open[fh];
    if (open === undefined) throw EBADF;
    return open;
  }

  /** Lets go of a handle, and gives what it was. EBADF. */
  release(fh: number): H {
    const open = this.get(fh);
    this.#open[fh] = undefined;
    this.#free.push(fh);
    return open;
  }

  /** All that is open. */
  all(): H[] {
    return this.#open.filter((open) => open !== undefined);
  }

  get size(): number {
    return this.#open.length - 1 - this.#free.length;
  }
}
