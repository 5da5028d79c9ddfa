/**
 * The directory that is served, and all that its threads have in common: its descriptor, whether its filesystem has file
 * handles, the table of nodes, what is open. Made once, on the mounting thread; every part is shared memory or a
 * descriptor of the process, so that it can be given to any thread.
 */
import { getrlimit } from '../../abi/credentials.ts';
import { closeQuietly, nameToHandleAt, openByHandleAt, statx } from '../../abi/files.ts';
import { fuse_statx } from '../../abi/fuse.ts';
import {
  AT_EMPTY_PATH,
  MAX_HANDLE_SZ,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
  RLIMIT_NOFILE,
  STATX_BASIC_STATS,
} from '../../abi/posix.ts';
import { type Infer, struct, u32 } from '../../abi/struct.ts';
import { open } from '../../abi/syscall.ts';
import { type Codec, type NodesHandle, shareNodes } from '../shared/layout.ts';
import { openNodes } from '../shared/nodes.ts';
import { deviceOf } from './attributes.ts';
import { openChanges, WATCHED } from './changes.ts';
import { Descriptors } from './descriptors.ts';
import { checkPassthroughOptions, type PassthroughOptions } from './options.ts';
import { done, Scratch } from './scratch.ts';

/** Words of a file handle that a node has room for: ext4's have 2, XFS's 3, btrfs' 5. */
const HANDLE_WORDS = 8;
/** Bytes of a handle that is longer are none of ours. */
export const HANDLE_MOST = HANDLE_WORDS * 4;

/**
 * What a lower file is found by. Where it has a file handle that is a hash of it, of 128 bits: it has the inode's generation in it, so that
 * two files are told apart that had the same number one after the other; and who has a handle alone finds the node. Else it is the number, and
 * as `check` the birth time. The root is found by its number, with a `check` of 0: it is held, so that nothing else can have that.
 */
const key = struct({ device: u32, device_high: u32, ino: u32, ino_high: u32, check: u32, check_high: u32 });
export type Key = Infer<typeof key>;

/** Puts the hash of a struct file_handle into a key, and the handle itself, zeros behind it, into `handle`. */
export function takeHandle(from: DataView, at: number, into: Key, handle: Uint32Array): void {
  const length = 2 + Math.ceil(from.getUint32(at, true) / 4);
  let [a, b, c, d] = [0x9e37_79b9, 0x85eb_ca6b, 0xc2b2_ae35, 0x27d4_eb2f];
  for (let i = 0; i < handle.length; i++) {
    const word = i < length ? from.getUint32(at + i * 4, true) : 0;
    handle[i] = word;
    a = Math.imul(a ^ word, 0x21f0_aaad);
    a ^= a >>> 15;
    b = Math.imul(b ^ word, 0x735a_2d97);
    b ^= b >>> 13;
    c = Math.imul(c ^ word ^ a, 0x7feb_352d);
    c ^= c >>> 16;
    d = Math.imul(d ^ word ^ b, 0x846c_a68b);
    d ^= d >>> 14;
  }
  into.check = a >>> 0;
  into.check_high = (b | 1) >>> 0; // never the root's
  into.ino = c >>> 0;
  into.ino_high = d >>> 0;
}

/** How a lower file is held: by a descriptor, or by its file handle. */
export interface Held {
  /** -1 where there is none. */
  fd: number;
  directory: boolean;
  /** A struct file_handle: its bytes, its type, itself. */
  readonly handle: Uint32Array;
}
export const makeHeld = (fd: number, directory: boolean): Held => ({
  ...{ fd, directory },
  handle: new Uint32Array(2 + HANDLE_WORDS),
});
/**
 * Where in a node's value its members are: `opens` and `backing` are those of handed.ts, the others what ways.ts has seen of a file
 * at its last open. A new node has none of them.
 */
export const HELD = {
  ...{ fd: 0, directory: 4, handle: 8, handleBytes: 4 * (2 + HANDLE_WORDS) },
  ...{ opens: 4 * (4 + HANDLE_WORDS), backing: 4 * (5 + HANDLE_WORDS) },
  ...{ size: 4 * (6 + HANDLE_WORDS), mtime: 4 * (8 + HANDLE_WORDS), mtimensec: 4 * (10 + HANDLE_WORDS) },
} as const;
/** `mtimensec` of a file that was not opened yet. */
export const UNSEEN = 0xffff_ffff;
/** By hand: as a struct each of these words would be a member of its own. */
const value: Codec<Held> = {
  size: 4 * (11 + HANDLE_WORDS),
  encode(view, at, { fd, directory, handle }) {
    view.setInt32(at, fd, true);
    view.setInt32(at + 4, directory ? 1 : 0, true);
    for (let i = 0; i < handle.length; i++) view.setUint32(at + 8 + i * 4, handle[i]!, true);
    view.setInt32(at + HELD.opens, 0, true);
    view.setUint32(at + HELD.mtimensec, UNSEEN, true);
  },
  decode(view, at) {
    const held = makeHeld(view.getInt32(at, true), view.getInt32(at + 4, true) === 1);
    for (let i = 0; i < held.handle.length; i++) held.handle[i] = view.getUint32(at + 8 + i * 4, true);
    return held;
  },
};
export const layout = { key, value };

/** What the threads share. */
export interface Source {
  readonly options: PassthroughOptions;
  /** A descriptor of the source, open for reading: also what file handles are opened by. */
  readonly root: number;
  readonly rootKey: Key;
  /** Its filesystem. */
  readonly device: number;
  /** Whether nodes of its filesystem are held as file handles. */
  readonly handles: boolean;
  readonly nodes: NodesHandle;
  readonly descriptors: SharedArrayBuffer;
  /** Words: see COUNTS. */
  readonly counts: SharedArrayBuffer;
  /** Nodes may be held as so many descriptors. */
  readonly most: number;
  /** Changes in the source are read from it; -1 where they are not watched. @see watch.ts */
  readonly changes: number;
  /** Tells this mount's file handles from those of another. */
  readonly generation: number;
}
/**
 * Words of `counts`: nodes held as descriptors; threads that have begun and not ended; whether the user was told that there are none left;
 * whether `changes` has who closes it.
 */
export const COUNTS = { HELD: 0, THREADS: 1, TOLD: 2, WATCHED } as const;

/** Opens the source. TypeError, RangeError; ENOENT, ENOTDIR, EACCES; an Error where handles are asked for and don't work. */
export function openSource(options: PassthroughOptions): Source {
  checkPassthroughOptions(options);
  const { source, inodeHandles = 'auto' } = options;
  // Not by node:fs, which would warn when another thread closes it.
  const root = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const scratch = new Scratch();
  try {
    done(statx(root, scratch.empty, AT_EMPTY_PATH, STATX_BASIC_STATS, scratch.stat));
    const device = deviceOf(scratch.view, scratch.statAt);
    const why = inodeHandles === 'descriptors' ? 'not asked for' : whyNoHandles(root, scratch);
    if (inodeHandles === 'handles' && why !== undefined)
      throw new Error(`inodeHandles is handles, but ${source} has no file handles to open files by: ${why}`);
    if (options.watch && why !== undefined)
      throw new Error(
        `watch can't be had: ${source} has no file handles, by which the kernel says what has changed: ${why}`,
      );
    const nodes = shareNodes(layout);
    const { offset } = fuse_statx;
    const rootKey: Key = {
      ...{ device: device >>> 0, device_high: Math.floor(device / 2 ** 32) },
      ino: scratch.view.getUint32(scratch.statAt + offset.ino, true),
      ino_high: scratch.view.getUint32(scratch.statAt + offset.ino + 4, true),
      ...{ check: 0, check_high: 0 },
    };
    openNodes(layout, nodes).add(makeHeld(root, true), rootKey);
    return {
      ...{ options, root, rootKey, device, handles: why === undefined, nodes },
      descriptors: Descriptors.share(),
      counts: new SharedArrayBuffer(4 * Object.keys(COUNTS).length),
      most: mostHeld(scratch),
      changes: options.watch ? openChanges(root) : -1,
      generation: Math.floor(Math.random() * 2 ** 32),
    };
  } catch (error) {
    closeQuietly(root);
    throw error;
  } finally {
    scratch.free();
  }
}

/** Why files of the source can't be opened by file handles; undefined where they can. */
function whyNoHandles(root: number, scratch: Scratch): string | undefined {
  scratch.view.setUint32(scratch.handleAt, MAX_HANDLE_SZ, true);
  try {
    done(nameToHandleAt(root, scratch.empty, scratch.handle, scratch.words, AT_EMPTY_PATH));
    if (scratch.view.getUint32(scratch.handleAt, true) > HANDLE_WORDS * 4) return 'they are too long';
    closeQuietly(done(openByHandleAt(root, scratch.handle, O_PATH | O_CLOEXEC)));
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Descriptors that nodes may take: three quarters, so that there are some for open files and for the rest of the process. */
function mostHeld(scratch: Scratch): number {
  done(getrlimit(RLIMIT_NOFILE, scratch.words));
  const limit = Math.min(Number(scratch.view.getBigUint64(scratch.wordsAt, true)), 2 ** 20);
  return Math.max(1, Math.floor((limit * 3) / 4));
}
