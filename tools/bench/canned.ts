/**
 * What both servers under test serve: the few names that the load client (metabench.c) looks for, with
 * constant answers, so that a round trip costs what the protocol costs and nothing else. Directories and
 * files may be cached for an hour, so that one operation of the client is one request; an absent name is
 * never cached. Files are opened for direct I/O: a read of 1 MiB is one READ.
 *
 * This is the filesystem for the session; the raw loop (raw-loop.ts) answers the same in bytes.
 */
import { FOPEN_DIRECT_IO, FOPEN_PARALLEL_DIRECT_WRITES } from '../../src/abi/fuse-constants.ts';
import { ENOENT, type Filesystem } from '../../src/index.ts';

/** How an absent name is answered: the errno, or a negative entry (nodeid 0). */
export type Absent = 'errno' | 'negative';

/** The node of DIR/mb, and of what lies in it. */
export const nodes = { mb: 2, files: 3, rw64m: 4, seq256m: 5 } as const;
/** t0, t1, ...: a directory for each thread of the client. */
export const THREADS_AT = 100;
/** f0000 to f0999. */
export const FILES_AT = 1000;
export const RW_SIZE = 64 << 20;
export const SEQ_SIZE = 256 << 20;
export const isDirectory = (nodeid: number): boolean =>
  nodeid < nodes.rw64m || (nodeid >= THREADS_AT && nodeid < FILES_AT);
export const OPEN_FLAGS = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES;
/** Seconds that the kernel keeps what exists. */
export const KEPT = 3600;

/** The nodes by name. */
const names = new Map<string, number>([
  ...Object.entries(nodes),
  ...Array.from({ length: 256 }, (_, i) => [`t${i}`, THREADS_AT + i] as const),
  ...Array.from({ length: 1000 }, (_, i) => [`f${`${i}`.padStart(4, '0')}`, FILES_AT + i] as const),
]);

/** The same inode number for all: who asks for nothing but the type, the size and that it is there does not mind. */
const like = (mode: number, size: number) => ({ ino: 1n, size, mode, nlink: 1, uid: 0, gid: 0, blksize: 4096 });
const directory = like(0o40755, 0);
const file = like(0o100644, 0);
const large = { [nodes.rw64m]: like(0o100644, RW_SIZE), [nodes.seq256m]: like(0o100644, SEQ_SIZE) };
const attrOf = (nodeid: number) =>
  isDirectory(nodeid) ? directory : nodeid < THREADS_AT ? large[nodeid as keyof typeof large] : file;

/** The canned filesystem. */
export function canned(
  absent: Absent,
): Required<Pick<Filesystem, 'statfs' | 'getattr' | 'lookup' | 'read' | 'write'>> & Filesystem {
  const statfs = { blocks: 0, bsize: 4096, namelen: 255 };
  const negative = { nodeid: 0, entry_valid: 0, attr: directory };
  const open = { fh: 1, open_flags: OPEN_FLAGS };
  return {
    statfs: () => statfs,
    getattr: ({ nodeid }) => ({ attr_valid: KEPT, attr: attrOf(nodeid) }),
    lookup(_, { name }) {
      const nodeid = names.get(name);
      if (nodeid !== undefined) return { nodeid, entry_valid: KEPT, attr_valid: KEPT, attr: attrOf(nodeid) };
      if (absent === 'negative') return negative;
      throw ENOENT;
    },
    open: () => open,
    read: (_, { size }) => size,
    write: (_, { size }) => ({ size }),
  };
}

/** The same with asynchronous handlers: each a promise that is there at once. */
export function cannedAsync(absent: Absent): Filesystem {
  const { statfs, getattr, lookup, open, read, write } = canned(absent);
  return {
    statfs: async (...args) => statfs(...args),
    getattr: async (...args) => getattr(...args),
    lookup: async (...args) => lookup(...args),
    open: open!,
    read: async (...args) => read(...args),
    write: async (...args) => write(...args),
  };
}
