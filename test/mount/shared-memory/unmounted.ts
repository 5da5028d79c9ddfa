/** SharedMemoryFs without a mount and on one thread, for tests that call its methods as the kernel does. */
import { check } from './check.ts';
import { SharedMemoryFs } from './filesystem.ts';
import { allocate } from './module.ts';
import { SharedTree } from './tree.ts';

export class Unmounted extends SharedMemoryFs {
  readonly #tree: SharedTree;

  constructor({ size, nrInodes: inodes }: { readonly size?: number; readonly nrInodes?: number } = {}) {
    const tree = new SharedTree(allocate({ size, inodes }));
    super(tree, 1, undefined);
    this.#tree = tree;
  }

  get nodes(): SharedTree['nodes'] {
    return this.#tree.nodes;
  }
  /** How many files are open. */
  get opened(): number {
    return [...this.nodes.all()].reduce((sum, { value }) => sum + value.opens, 0);
  }
  /** It has no locks, so there is nothing to do. */
  flush(): void {}
  check(): void {
    check(this.#tree);
  }
}
