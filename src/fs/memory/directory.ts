/**
 * A directory: its names in a Map, to find them, and in the order of their cookies, to list them.
 *
 * A cookie is given once, from a count that only grows. So a listing that goes on behind a cookie neither
 * skips nor repeats a name that was there all along, whatever was made or removed meanwhile. A name that goes
 * stays in the order, without a parent, until such names are more than the others; then the order is made
 * anew. To find a cookie takes a binary search: 20 steps for a million names.
 */
import { S_IFMT } from '../../abi/posix.ts';
import type { Dirent } from '../../protocol/dirent.ts';
import { MAP_MAX } from '../nodes.ts';
import type { MemoryNode } from './node.ts';

/** The cookies of "." and ".."; those of names come after. */
export const DOT = 1n;
export const DOT_DOT = 2n;
const FIRST = 3n;
/** So many removed names are never too many. */
const SPARE = 16;

/** A name in a directory: one link of a node. */
export class Entry implements Dirent {
  readonly name: string;
  readonly off: bigint;
  /** What the name means. It changes when another file is renamed to it. */
  node: MemoryNode;
  /** The directory it is in; undefined when it was removed. */
  parent: MemoryNode | undefined;
  /** The other names of the same node. @see MemoryNode.links */
  next: Entry | undefined = undefined;
  previous: Entry | undefined = undefined;

  constructor(name: string, off: bigint, node: MemoryNode, parent: MemoryNode | undefined) {
    this.name = name;
    this.off = off;
    this.node = node;
    this.parent = parent;
  }
  get ino(): bigint {
    return this.node.ino;
  }
  get type(): number {
    return (this.node.mode & S_IFMT) >> 12;
  }
}

export class Directory {
  readonly #names = new Map<string, Entry>();
  /** INVARIANT: in the order of their cookies; each of #names is in it, the others have no parent. */
  #order: Entry[] = [];
  #next = FIRST;

  get size(): number {
    return this.#names.size;
  }
  /** Whether no further name can be added. */
  get full(): boolean {
    return this.#names.size >= MAP_MAX;
  }
  get(name: string): Entry | undefined {
    return this.#names.get(name);
  }
  /** The names, in the order in which they were made. */
  entries(): IterableIterator<Entry> {
    return this.#names.values();
  }

  add(name: string, node: MemoryNode, parent: MemoryNode): Entry {
    const entry = new Entry(name, this.#next++, node, parent);
    this.#names.set(name, entry);
    this.#order.push(entry);
    return entry;
  }

  remove(entry: Entry): void {
    this.#names.delete(entry.name);
    entry.parent = undefined;
    if (this.#order.length > 2 * this.#names.size + SPARE) this.#order = this.#order.filter(({ parent }) => parent);
  }

  /** Calls `add` for each name that comes after a cookie, until it says false. */
  list(after: bigint, add: (entry: Entry) => boolean): void {
    const order = this.#order;
    for (let i = this.#behind(after); i < order.length; i++) {
      const entry = order[i]!;
      if (entry.parent !== undefined && !add(entry)) return;
    }
  }

  /** Where in the order the first cookie is that is greater. */
  #behind(off: bigint): number {
    let low = 0;
    let high = this.#order.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#order[middle]!.off <= off) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Throws where an invariant does not hold. */
  check(): void {
    for (const [i, entry] of this.#order.entries()) {
      const last = this.#order[i - 1];
      if (last && last.off >= entry.off) throw new Error(`cookie ${entry.off} comes after ${last.off}`);
      if ((this.#names.get(entry.name) === entry) !== (entry.parent !== undefined))
        throw new Error(`${entry.name} is in one of names and order alone`);
    }
    const there = this.#order.filter(({ parent }) => parent).length;
    if (there !== this.#names.size) throw new Error(`${this.#names.size} names, ${there} in order`);
  }
}
