/**
 * Directories that are open, for all threads: the handle is a number in a table, and behind it stand the node and a block with the
 * names as they were when the directory was read from its beginning.
 *
 * The kernel has one READDIR of a handle at a time. The block begins with a word for each place: where in it the entry is, 0 of a place that is empty. An entry is its type and branch, its number there,
 * and its name.
 */
import { EBADF } from '../../abi/errno.ts';
import { FUSE_ROOT_ID } from '../../abi/fuse-constants.ts';
import { encodeName } from '../../protocol/names.ts';
import type { Heap } from '../shared/heap.ts';
import { openNodes, type SharedNode, type SharedNodes } from '../shared/nodes.ts';
import type { UnionShared } from './shared.ts';
import type { UnionNode, UnionTree } from './tree.ts';
import { OPENED, openedLayout } from './words.ts';

/** A name that was found in a directory. */
export interface Entry {
  readonly name: string;
  /** A DT_ constant. */
  readonly type: number;
  /** The number of the branch that it was found on, and its number there. */
  readonly branch: number;
  readonly ino: bigint;
}

/** Words of an entry: type and branch, number, length of the name in bytes, which follow. */
const KIND = 0;
const INO = 1; // and 2
const LENGTH = 3;
const NAME = 4;
const TYPES = 16;

/** A directory that is open, for the thread that asked for it. */
export class OpenDirectory {
  readonly #shared: SharedNode<undefined, number>;
  readonly #nodes: SharedNodes<undefined, number>;
  readonly #heap: Heap;

  constructor(shared: SharedNode<undefined, number>, nodes: SharedNodes<undefined, number>, heap: Heap) {
    this.#shared = shared;
    this.#nodes = nodes;
    this.#heap = heap;
  }
  get nodeid(): number {
    return this.#shared.value;
  }
  /** Whether it was read. */
  get read(): boolean {
    return this.#word(OPENED.BLOCK) !== 0;
  }
  /** Places of names, empty ones too. */
  get size(): number {
    return this.#word(OPENED.PLACES);
  }
  #word(at: number): number {
    return this.#nodes.view.getInt32(this.#shared.valueAt + at * 4, true);
  }
  #put(at: number, value: number): void {
    this.#nodes.view.setInt32(this.#shared.valueAt + at * 4, value, true);
  }

  /** What is at a place; undefined of an empty one, and behind the last. */
  at(place: number): Entry | undefined {
    const heap = this.#heap;
    const block = this.#word(OPENED.BLOCK);
    const entry = place < this.size ? heap.get(block + place) : 0;
    if (entry === 0) return undefined;
    const at = block + entry;
    const kind = heap.get(at + KIND);
    return {
      name: heap.text(at + NAME, heap.get(at + LENGTH)),
      type: kind % TYPES,
      branch: Math.floor(kind / TYPES),
      ino: (BigInt(heap.get(at + INO + 1) >>> 0) << 32n) | BigInt(heap.get(at + INO) >>> 0),
    };
  }
  /** All places. */
  all(): (Entry | undefined)[] {
    return Array.from({ length: this.size }, (_, place) => this.at(place));
  }
  /** Puts these in their place. */
  replace(entries: readonly (Entry | undefined)[]): void {
    const heap = this.#heap;
    const names = entries.map((entry) => (entry === undefined ? undefined : encodeName(entry.name)));
    const words = names.reduce((sum, name) => sum + (name === undefined ? 0 : NAME + Math.ceil(name.length / 4)), 0);
    const block = heap.take(Math.max(1, entries.length + words));
    let next = entries.length;
    for (const [place, entry] of entries.entries()) {
      const name = names[place];
      if (entry === undefined || name === undefined) continue;
      heap.set(block + place, next);
      const at = block + next;
      heap.set(at + KIND, entry.branch * TYPES + entry.type);
      heap.set(at + INO, Number(entry.ino & 0xffff_ffffn) | 0);
      heap.set(at + INO + 1, Number(entry.ino >> 32n) | 0);
      heap.set(at + LENGTH, name.length);
      heap.put(at + NAME, name);
      next += NAME + Math.ceil(name.length / 4);
    }
    heap.give(this.#word(OPENED.BLOCK));
    this.#put(OPENED.BLOCK, block);
    this.#put(OPENED.PLACES, entries.length);
  }
}

export class Directories {
  readonly #table: SharedNodes<undefined, number>;
  readonly #tree: UnionTree;
  readonly #heap: Heap;

  constructor({ directories }: Pick<UnionShared, 'directories'>, tree: UnionTree, heap: Heap) {
    this.#heap = heap;
    this.#tree = tree;
    this.#table = openNodes(openedLayout, directories, ({ valueAt }) =>
      heap.give(this.#table.view.getInt32(valueAt + OPENED.BLOCK * 4, true)),
    );
  }
  /** The handle of a directory that is opened. */
  open(node: UnionNode): number {
    this.#tree.opened(node);
    const open = this.#table.add(node.nodeid);
    this.#table.hold(open);
    return open.nodeid;
  }
  /** EBADF. */
  get(fh: number): OpenDirectory {
    return new OpenDirectory(this.#get(fh), this.#table, this.#heap);
  }
  #get(fh: number): SharedNode<undefined, number> {
    const open = fh === FUSE_ROOT_ID ? undefined : this.#table.peek(fh);
    if (open === undefined) throw EBADF;
    return open;
  }
  /** EBADF. */
  release(fh: number): void {
    const open = this.#get(fh);
    const node = this.#tree.get(open.value);
    this.#table.letGo(open);
    this.#tree.closed(node);
  }
  get size(): number {
    return this.#table.size - 1;
  }
}
