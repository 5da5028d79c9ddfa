/**
 * What the threads of the bench serve: the names of the canned filesystem (canned.ts), and attributes that lie in shared memory,
 * each node's under a lock of its own, as a filesystem's would that changes them.
 */
import type { Filesystem } from '../../src/index.ts';
import type { WorkerContext } from '../../src/threads/messages.ts';
import { canned, KEPT } from './canned.ts';

const NODES = 4096;
/** Words of a node. */
const WORDS = 8;
const [LOCK, MODE, SIZE, NLINK, UID, GID] = [0, 1, 2, 3, 4, 5];
const attrAt = (words: Int32Array, at: number) => ({
  ino: 1n,
  mode: words[at + MODE]!,
  size: words[at + SIZE]!,
  nlink: words[at + NLINK]!,
  uid: words[at + UID]!,
  gid: words[at + GID]!,
  blksize: 4096,
});

export function share(): Int32Array {
  const words = new Int32Array(new SharedArrayBuffer((NODES + 1) * WORDS * 4));
  const { getattr } = canned('errno');
  for (let nodeid = 1; nodeid < NODES; nodeid++) {
    const { attr } = getattr({ nodeid } as never, {} as never) as { attr?: { mode: number; size: number } };
    words.set([0, attr?.mode ?? 0, attr?.size ?? 0, 1, 0, 0], nodeid * WORDS);
  }
  return words;
}

export default function make({ shared: words }: Pick<WorkerContext<Int32Array>, 'shared'>): Filesystem {
  const plain = canned('errno');
  return {
    ...plain,
    statfs: () => ({ blocks: Atomics.load(words, 0), bsize: 4096, namelen: 255 }),
    getattr({ nodeid }) {
      const at = nodeid * WORDS;
      while (Atomics.compareExchange(words, at + LOCK, 0, 1) !== 0) Atomics.wait(words, at + LOCK, 1);
      const attr = attrAt(words, at);
      Atomics.store(words, at + LOCK, 0);
      Atomics.notify(words, at + LOCK, 1);
      return { attr_valid: KEPT, attr };
    },
  };
}
