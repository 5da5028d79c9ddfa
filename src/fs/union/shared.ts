/**
 * What the threads of a union have in common: nodes and their names, what is open, the options and branches as they are now, and the locks by
 * which operations that go by path keep out of each other's way. Made once, on the mounting thread; every part is shared memory, so that it can be given
 * to any thread. A union on one thread is made of the same.
 */

import { S_IFDIR, S_IFREG } from '../../abi/posix.ts';
import { Descriptors } from '../passthrough/descriptors.ts';
import { type CellsHandle, reserve, SharedCells } from '../shared/cells.ts';
import { Heap } from '../shared/heap.ts';
import { type NodesHandle, shareNodes } from '../shared/layout.ts';
import { TABLE } from '../shared/names.ts';
import { openNodes } from '../shared/nodes.ts';
import { Handles } from './handles.ts';
import { servedOptions, type UnionOptions } from './served.ts';
import { State } from './state.ts';
import { ALL_WORDS, layout, openedLayout, WORDS } from './words.ts';

export interface UnionShared {
  readonly mountpoint: string;
  readonly seed: number | undefined;
  readonly nodes: NodesHandle;
  readonly directories: NodesHandle;
  readonly heap: CellsHandle;
  readonly words: CellsHandle;
  readonly descriptors: SharedArrayBuffer;
  readonly handles: SharedArrayBuffer;
  /** The node of the control file. */
  readonly control: number;
  /** Tells this mount's file handles from those of another. The root's is always 0. @see fs/fuse/inode.c: fuse_get_root_inode */
  readonly generation: number;
}

/** The memory of a union that is to serve these. RangeError, in one line. */
export function shareUnion(options: UnionOptions): UnionShared {
  const { options: checked } = servedOptions(options);
  const shared: UnionShared = {
    mountpoint: options.mountpoint ?? '',
    seed: options.seed,
    nodes: shareNodes(layout),
    directories: shareNodes(openedLayout),
    heap: Heap.share(),
    words: reserve(ALL_WORDS, ALL_WORDS),
    descriptors: Descriptors.share(),
    handles: Handles.share(),
    control: 0,
    generation: Math.floor(Math.random() * 2 ** 32),
  };
  const [cells, heap] = [new SharedCells(shared.words), new Heap(shared.heap)];
  cells.store(WORDS.IDENTITIES, heap.take(TABLE));
  openNodes(openedLayout, shared.directories).add(0); // the first never leaves, and is nobody's handle
  const nodes = openNodes(layout, shared.nodes);
  nodes.add(S_IFDIR);
  const control = nodes.add(S_IFREG);
  nodes.hold(control); // it is always there
  new State(cells, heap, WORDS.STATE).update(
    () => {},
    () => checked.kept([], 0),
  );
  return { ...shared, control: control.nodeid };
}
