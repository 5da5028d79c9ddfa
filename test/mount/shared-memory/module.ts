/**
 * SharedMemoryFs as a module, for `mount(url, directory, { threads, filesystem: options })`. Whoever mounts it has made the
 * memory, and can look into it: `allocate`, and `new SharedTree(memory)`.
 */
import type { Atime } from '../../../src/fs/memory/inode.ts';
import type { WorkerContext } from '../../../src/threads/messages.ts';
import { SharedMemoryFs } from './filesystem.ts';
import { SharedTree, type TreeHandle } from './tree.ts';

export interface SharedMemoryOptions {
  readonly memory: TreeHandle;
  /** When reading moves access times. Default: as the mount says. */
  readonly atime?: Atime | undefined;
  /** How long a thread waits for a lock in vain, in ms. */
  readonly patience?: number | undefined;
}

/** Memory for so many bytes of data and so many files. */
export const allocate = ({ size = 1 << 30, inodes = 1_000_000 } = {}): TreeHandle =>
  SharedTree.share(Math.ceil(size / 4096), inodes, { uid: process.getuid!(), gid: process.getgid!() });

export const share = ({ memory }: SharedMemoryOptions): TreeHandle => memory;

export default function make({
  shared,
  count,
  options: { atime, patience },
}: WorkerContext<TreeHandle, SharedMemoryOptions>): SharedMemoryFs {
  return new SharedMemoryFs(new SharedTree(shared, { patience }), count, atime);
}
