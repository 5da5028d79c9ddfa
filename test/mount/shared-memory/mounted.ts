/** A mount of SharedMemoryFs for a test: over the transport that is tested, served by as many threads as are asked for. */

import type { MountOptions } from '../../../src/options.ts';
import type { Hooks } from '../../../src/serve.ts';
import { mounted, type TestMount, type Watch } from '../../support.ts';
import { check } from './check.ts';
import { allocate, type SharedMemoryOptions } from './module.ts';
import { SharedTree } from './tree.ts';

const MODULE = new URL('./module.ts', import.meta.url);

/** How many threads the tests of threads are run with. */
export const THREADS = [1, 2, 'cpus'] as const;
export type Threads = (typeof THREADS)[number];

export interface SharedMemoryMount extends TestMount {
  /** The filesystem's memory, as the test sees it. */
  readonly tree: SharedTree;
  /** Throws where an invariant does not hold. Nobody may use the mount meanwhile. */
  check(): void;
}

/** `await using m = await sharedMemory(...)`: at its end the memory has to be as it should be, and no lookup be left. */
export async function sharedMemory(
  options: MountOptions & Hooks = {},
  { size, inodes, ...filesystem }: Omit<SharedMemoryOptions, 'memory'> & Parameters<typeof allocate>[0] = {},
  watch: Watch = {},
): Promise<SharedMemoryMount> {
  const memory = allocate({ size, inodes });
  const tree = new SharedTree(memory);
  const all = { threads: 'cpus', ...options, filesystem: { memory, ...filesystem } } as const;
  const mount = await mounted(MODULE, all, { nodes: tree.nodes, ...watch });
  return {
    ...mount,
    tree,
    check: () => check(tree),
    async [Symbol.asyncDispose]() {
      await mount[Symbol.asyncDispose]();
      check(tree);
    },
  };
}
