/**
 * Files that are open, as all threads know them: of each descriptor that is a handle its node, its branch and the flags that it was opened with,
 * and of each node all its handles, in a list. In shared memory, a row of words for each number that a descriptor may have; under the
 * lock of the tree.
 */
import { MOST } from '../passthrough/descriptors.ts';
import { untouched } from '../shared/cells.ts';
import type { UnionNode, UnionTree } from './tree.ts';
import { VALUE } from './words.ts';

/** Words of a row: the node, branch and flags, and 1 more than the next and the last descriptor of the same node. */
const NODE = 0; // and 1
const BRANCH = 2;
const FLAGS = 3;
const NEXT = 4;
const BEFORE = 5;
const ROW = 6;

/** An open file: a handle of the kernel's, and a descriptor of ours. */
export class Handle {
  readonly fd: number;
  readonly #rows: Int32Array;

  constructor(fd: number, rows: Int32Array) {
    this.fd = fd;
    this.#rows = rows;
  }
  get nodeid(): number {
    const at = this.fd * ROW + NODE;
    return (this.#rows[at + 1]! >>> 0) * 2 ** 32 + (this.#rows[at]! >>> 0);
  }
  /** What it was opened with below. */
  get flags(): number {
    return this.#rows[this.fd * ROW + FLAGS]!;
  }
  /** The number of the branch that it is on. */
  get branch(): number {
    return Atomics.load(this.#rows, this.fd * ROW + BRANCH);
  }
  set branch(branch: number) {
    Atomics.store(this.#rows, this.fd * ROW + BRANCH, branch);
  }
}

export class Handles {
  readonly #tree: UnionTree;
  readonly #rows: Int32Array;

  constructor(shared: SharedArrayBuffer, tree: UnionTree) {
    this.#rows = new Int32Array(shared, 0, MOST * ROW);
    this.#tree = tree;
  }
  static share(): SharedArrayBuffer {
    return untouched(MOST * ROW);
  }

  /** The handle of a descriptor that is one. */
  get(fd: number): Handle {
    return new Handle(fd, this.#rows);
  }
  /** The number of the branch that the file of a descriptor is on, which is a handle. */
  branch(fd: number): number {
    return Atomics.load(this.#rows, fd * ROW + BRANCH);
  }
  /** A descriptor is a handle from now on. */
  add(fd: number, node: UnionNode, branch: number, flags: number): void {
    const rows = this.#rows;
    const at = fd * ROW;
    this.#tree.opened(node);
    this.#tree.locked(() => {
      const first = node.word(VALUE.HANDLES);
      rows[at + NODE] = node.nodeid | 0;
      rows[at + NODE + 1] = Math.floor(node.nodeid / 2 ** 32);
      rows[at + BRANCH] = branch;
      rows[at + FLAGS] = flags;
      rows[at + NEXT] = first;
      rows[at + BEFORE] = 0;
      if (first !== 0) rows[(first - 1) * ROW + BEFORE] = fd + 1;
      node.put(VALUE.HANDLES, fd + 1);
    });
  }
  /** It is none any more. The node may leave by that. */
  remove(fd: number): void {
    const rows = this.#rows;
    const at = fd * ROW;
    const node = this.#tree.get(this.get(fd).nodeid);
    this.#tree.locked(() => {
      const [next, before] = [rows[at + NEXT]!, rows[at + BEFORE]!];
      if (next !== 0) rows[(next - 1) * ROW + BEFORE] = before;
      if (before !== 0) rows[(before - 1) * ROW + NEXT] = next;
      else node.put(VALUE.HANDLES, next);
    });
    this.#tree.closed(node);
  }
  /** All of a node, the newest first. */
  of(node: UnionNode): Handle[] {
    return this.#tree.locked(() => {
      const all: Handle[] = [];
      for (let next = node.word(VALUE.HANDLES); next !== 0; next = this.#rows[(next - 1) * ROW + NEXT]!)
        all.push(this.get(next - 1));
      return all;
    });
  }
}
