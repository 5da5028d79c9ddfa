/**
 * What the threads of the bench serve: the names of the canned filesystem (canned.ts), and attributes that lie in the shared
 * node table, read under the lock of their node, as a filesystem's would that changes them.
 */
import { struct, u32, u53 } from '../../src/abi/struct.ts';
import { type NodesHandle, shareNodes } from '../../src/fs/shared/layout.ts';
import { openNodes, type SharedNode } from '../../src/fs/shared/nodes.ts';
import type { Filesystem, WorkerContext } from '../../src/index.ts';
import { canned, KEPT } from './canned.ts';

const NODES = 4096;
const layout = { value: struct({ mode: u32, nlink: u32, size: u53, uid: u32, gid: u32 }) };
type Value = ReturnType<typeof layout.value.decode>;

interface Shared {
  readonly nodes: NodesHandle;
  /** Of the whole filesystem: the number of its blocks. */
  readonly words: Int32Array;
}

export function share(): Shared {
  const nodes = shareNodes(layout);
  const table = openNodes(layout, nodes);
  const { getattr } = canned('errno');
  // Nodeids count up from 1.
  for (let nodeid = 1; nodeid < NODES; nodeid++) {
    const { attr } = getattr({ nodeid } as never, {} as never) as { attr?: { mode: number; size: number } };
    table.hold(table.add({ mode: attr?.mode ?? 0, size: attr?.size ?? 0, nlink: 1, uid: 0, gid: 0 }));
  }
  return { nodes, words: new Int32Array(new SharedArrayBuffer(4)) };
}

const attributes = ({ value }: SharedNode<undefined, Value>): Value => value;

export default function make({ shared: { nodes, words } }: Pick<WorkerContext<Shared>, 'shared'>): Filesystem {
  const table = openNodes<undefined, Value>(layout, nodes);
  return {
    ...canned('errno'),
    statfs: () => ({ blocks: Atomics.load(words, 0), bsize: 4096, namelen: 255 }),
    getattr: ({ nodeid }) => ({
      attr_valid: KEPT,
      attr: { ino: 1n, blksize: 4096, ...table.locked(table.get(nodeid), attributes) },
    }),
  };
}
