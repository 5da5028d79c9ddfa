/**
 * Directories that are open, for all threads: the handle is a number in a table, and behind it stand the node and a block with the
 * names as they were when the directory was read from its beginning.
 *
 * The kernel has one READDIR of a handle at a time. The block begins with a word for each place, and one more: where the first record at that
 * place or behind it begins, in bytes. Then come the records, as READDIR tells them, in the order of their places (merged.ts).
 */
import { EBADF } from '../../abi/errno.ts';
import { FUSE_ROOT_ID } from '../../abi/fuse-constants.ts';
import type { DirectoryReply } from '../../protocol/dirent.ts';
import type { Heap } from '../shared/heap.ts';
import { openNodes, type SharedNode, type SharedNodes } from '../shared/nodes.ts';
import { type Listed, nameIn, type Places } from './merged.ts';
import type { UnionShared } from './shared.ts';
import type { UnionNode, UnionTree } from './tree.ts';
import { OPENED, openedLayout } from './words.ts';

/** A directory that is open, for the thread that asked for it. */
export class OpenDirectory implements Places {
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
  get read(): boolean {
    return this.#word(OPENED.BLOCK) !== 0;
  }
  get size(): number {
    return this.#word(OPENED.PLACES);
  }
  #word(at: number): number {
    return this.#nodes.view.getInt32(this.#shared.valueAt + at * 4, true);
  }
  #put(at: number, value: number): void {
    this.#nodes.view.setInt32(this.#shared.valueAt + at * 4, value, true);
  }

  /** Where the record of a place begins, in the block's records; of the place behind the last, where they end. */
  #begin(place: number): number {
    return this.#heap.get(this.#word(OPENED.BLOCK) + place);
  }
  /** Where in the memory the records are, in bytes. */
  get #records(): number {
    return (this.#word(OPENED.BLOCK) + this.size + 1) * 4;
  }
  get #bytes(): Buffer {
    const { size } = this;
    return this.#heap.bytes(this.#word(OPENED.BLOCK), (size + 1) * 4 + this.#begin(size));
  }

  names(): ReadonlyMap<string, number> {
    const bytes = this.#bytes;
    const names = new Map<string, number>();
    for (let place = 0; place < this.size; place++)
      if (this.#begin(place) < this.#begin(place + 1))
        names.set(nameIn(bytes, this.#records + this.#begin(place)), place);
    return names;
  }
  /** Adds what is at the places from this one on, until the reply is full. */
  show(place: bigint, reply: DirectoryReply): void {
    const { size } = this;
    if (place >= size) return;
    const records = this.#records;
    reply.addRecords(this.#bytes, records + this.#begin(Number(place)), records + this.#begin(size));
  }
  /** What was read. */
  replace({ records, index }: Listed): void {
    const heap = this.#heap;
    const block = heap.take(index.length + Math.ceil(records.length / 4), false); // what is read of it is put there now
    heap.put(block, new Uint8Array(index.buffer, index.byteOffset, index.byteLength));
    heap.put(block + index.length, records);
    heap.give(this.#word(OPENED.BLOCK));
    this.#put(OPENED.BLOCK, block);
    this.#put(OPENED.PLACES, index.length - 1);
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
