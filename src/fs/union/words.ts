/** How what the threads of a union share is laid out: words of the whole, and of each node and each open directory. */
import type { Codec } from '../shared/layout.ts';
import { RWLOCK } from '../shared/rwlock.ts';
import { STATE } from './state.ts';

let next = 0;
const take = (words: number): number => {
  next += words;
  return next - words;
};
/** Words of `words`. */
export const WORDS = {
  /** The lock of nodes' names, values and handles. Held for a moment. */
  TREE: take(1),
  /** Counts renames of directories: paths that were known before are not any more. */
  PATHS: take(1),
  /** Which node a file has that has several names. */
  IDENTITIES: take(1),
  /** @see State */
  STATE: take(STATE),
  /** Who looks at paths, and who changes them. @see Turns */
  PATHS_LOCK: take(RWLOCK),
  /** Who changes what is in files, and who moves files. */
  DATA_LOCK: take(RWLOCK),
  /** Threads that have begun and not ended; and whether one has ended, so that the others are about to. */
  THREADS: take(1),
  ENDING: take(1),
} as const;
/** How many there are. */
export const ALL_WORDS = next;

/** Words of a node's value. A new node has its type and no more. */
export const VALUE = {
  /** The bits of S_IFMT. */
  TYPE: 0,
  /** The block of its first name, and how many names it has. */
  FIRST: 1,
  NAMES: 2,
  /** The block of the table of what is in it; 0 where nothing ever was. */
  CHILDREN: 3,
  /** How a file without a name is reached: 1 more than a descriptor of O_PATH, and the branch that it is on. */
  HELD: 4,
  BRANCH: 5,
  /** The inode number that was shown last: two words. */
  INO: 6,
  /** Handles that are open: how many, and 1 more than the descriptor of the first. */
  OPENS: 8,
  HANDLES: 9,
  /** @see HandedFiles */
  HANDED: 10,
  BACKING: 11,
  /** Where it stands among IDENTITIES; 0 where it does not. */
  IDENTITY: 12,
  /** Size, time of modification and its nanoseconds when it was last opened: five words. */
  VERSION: 13,
} as const;
const VALUES = 18;

/** A new node is told by its type. */
const value: Codec<number> = {
  size: 4 * VALUES,
  encode(view, at, type) {
    for (let i = 0; i < VALUES; i++) view.setInt32(at + i * 4, 0, true);
    view.setInt32(at, type, true);
  },
  decode: (view, at) => view.getInt32(at, true),
};
export const layout = { value };

/** A directory that is open: its node, in two words, and the block of its names and how many places there are in it. */
export const OPENED = { NODE: 0, BLOCK: 2, PLACES: 3 } as const;
const opened: Codec<number> = {
  size: 16,
  encode(view, at, nodeid) {
    view.setUint32(at, nodeid >>> 0, true);
    view.setUint32(at + 4, Math.floor(nodeid / 2 ** 32), true);
    view.setInt32(at + 8, 0, true);
    view.setInt32(at + 12, 0, true);
  },
  decode: (view, at) => view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true),
};
export const openedLayout = { value: opened };
