/**
 * The operations of io_uring that are system calls, as system calls: for each opcode the call of the same meaning, which
 * takes what the sqe says where io_uring takes it, refuses what it refuses, and answers as it does: a result, or a
 * negated errno. What is not in the table is answered as by a kernel that does not know it.
 * @see io_uring/opdef.c, and the io_*_prep functions that it names
 */
import { EBADF, EINVAL, ENXIO } from '../abi/errno.ts';
import { AT_REMOVEDIR, RWF_HIPRI } from '../abi/posix.ts';
import { SYS, systemCall, wordAt } from '../abi/syscall.ts';
import {
  IORING_FSYNC_DATASYNC,
  IORING_NOP_INJECT_RESULT,
  IORING_OP,
  IOSQE_ASYNC,
  IOSQE_FIXED_FILE,
  IOSQE_IO_HARDLINK,
  IOSQE_IO_LINK,
  type UringOpcode,
} from '../abi/uring-constants.ts';
import type { SmallSqe, Sqe } from './engine.ts';
import type { Told } from './pool-queue.ts';
import { open, splice, transfer } from './waiting-calls.ts';

interface SystemCall {
  readonly call: (told: Told) => number;
  /** Members that have no meaning here: EINVAL where they are not 0. */
  readonly zero: readonly (keyof SmallSqe)[];
  /** The result of a transfer that is not short. A chain ends with one that is. */
  readonly whole?: (sqe: Sqe) => number;
}

/** splice_flags: `file_index` is a registered file. */
const SPLICE_F_FD_IN_FIXED = 1 << 31;

/** 32 bits, signed, as C's int: a descriptor in an unsigned place. */
const int = (word: number): number => word | 0;
/** The most bytes that one call reads or writes. @see include/linux/fs.h */
const MAX_RW_COUNT = 0x7fff_f000;
const length = ({ len = 0 }: Sqe): number => Math.min(len, MAX_RW_COUNT);
function lengths({ addr = 0, len = 0 }: Sqe): number {
  let sum = 0;
  for (let i = 0; i < len; i++) sum += wordAt(addr + i * 16 + 8);
  return Math.min(sum, MAX_RW_COUNT);
}

function moves(write: boolean, vectored: boolean): SystemCall {
  return {
    // RWF_HIPRI is for rings that poll devices.
    call: (told) => (told.op_flags & RWF_HIPRI ? -EINVAL.errno : transfer(told, write, vectored)),
    zero: [],
    whole: vectored ? lengths : length,
  };
}

const NO_FILE = ['buf_index', 'file_index', 'ioprio'] as const;
const NO_FLAGS = [...NO_FILE, 'op_flags'] as const;

const SYSTEM_CALLS: { readonly [opcode in UringOpcode]?: SystemCall } = {
  NOP: {
    call: ({ op_flags, len }) =>
      op_flags === 0 ? 0 : op_flags === IORING_NOP_INJECT_RESULT ? int(len) : -EINVAL.errno,
    zero: ['ioprio'],
  },
  READ: moves(false, false),
  WRITE: moves(true, false),
  READV: moves(false, true),
  WRITEV: moves(true, true),
  SPLICE: {
    call: (told) => (told.op_flags & SPLICE_F_FD_IN_FIXED ? -EBADF.errno : splice(told, false)),
    zero: ['ioprio'],
    whole: ({ len = 0 }) => len,
  },
  TEE: {
    call: (told) => (told.op_flags & SPLICE_F_FD_IN_FIXED ? -EBADF.errno : splice(told, true)),
    zero: ['addr', 'off', 'ioprio'],
    whole: ({ len = 0 }) => len,
  },

  // There is no table of registered files to open into.
  OPENAT: {
    call: (told) => (told.file_index !== 0 ? -ENXIO.errno : open(told, false)),
    zero: ['buf_index', 'ioprio'],
  },
  OPENAT2: {
    call: (told) => (told.file_index !== 0 ? -ENXIO.errno : open(told, true)),
    zero: ['buf_index', 'ioprio'],
  },
  CLOSE: { call: ({ fd }) => systemCall(SYS.close, fd), zero: [...NO_FLAGS, 'off', 'addr', 'len'] },

  FSYNC: {
    // All of the file is more than the range that io_uring takes.
    call: ({ fd, op_flags }) =>
      op_flags & ~IORING_FSYNC_DATASYNC ? -EINVAL.errno : systemCall(op_flags === 0 ? SYS.fsync : SYS.fdatasync, fd),
    zero: [...NO_FILE, 'addr'],
  },
  SYNC_FILE_RANGE: {
    call: ({ fd, off, len, op_flags }) => systemCall(SYS.sync_file_range, fd, off, len, op_flags),
    zero: [...NO_FILE, 'addr'],
  },
  FALLOCATE: {
    call: ({ fd, len, off, addr }) => systemCall(SYS.fallocate, fd, len, off, addr),
    zero: NO_FLAGS,
  },
  FTRUNCATE: {
    call: ({ fd, off }) => systemCall(SYS.ftruncate, fd, off),
    zero: [...NO_FLAGS, 'addr', 'len', 'addr3'],
  },
  FADVISE: {
    call: ({ fd, off, addr, len, op_flags }) => systemCall(SYS.fadvise64, fd, off, addr || len, op_flags),
    zero: NO_FILE,
  },
  MADVISE: {
    call: ({ addr, off, len, op_flags }) => systemCall(SYS.madvise, addr, off || len, op_flags),
    zero: NO_FILE,
  },

  STATX: {
    call: ({ fd, addr, op_flags, len, off }) => systemCall(SYS.statx, fd, addr, op_flags, len, off),
    zero: NO_FILE,
  },
  RENAMEAT: {
    call: ({ fd, addr, len, off, op_flags }) => systemCall(SYS.renameat2, fd, addr, int(len), off, op_flags),
    zero: NO_FILE,
  },
  LINKAT: {
    call: ({ fd, addr, len, off, op_flags }) => systemCall(SYS.linkat, fd, addr, int(len), off, op_flags),
    zero: NO_FILE,
  },
  SYMLINKAT: {
    call: ({ addr, fd, off }) => systemCall(SYS.symlinkat, addr, fd, off),
    zero: [...NO_FLAGS, 'len'],
  },
  UNLINKAT: {
    call: ({ fd, addr, op_flags }) =>
      op_flags & ~AT_REMOVEDIR ? -EINVAL.errno : systemCall(SYS.unlinkat, fd, addr, op_flags),
    zero: [...NO_FILE, 'off', 'len'],
  },
  MKDIRAT: {
    call: ({ fd, addr, len }) => systemCall(SYS.mkdirat, fd, addr, len),
    zero: [...NO_FLAGS, 'off'],
  },

  GETXATTR: {
    call: ({ addr3, addr, off, len }) => systemCall(SYS.getxattr, addr3, addr, off, len),
    zero: ['ioprio', 'op_flags'],
  },
  FGETXATTR: {
    call: ({ fd, addr, off, len }) => systemCall(SYS.fgetxattr, fd, addr, off, len),
    zero: ['ioprio', 'op_flags'],
  },
  SETXATTR: {
    call: ({ addr3, addr, off, len, op_flags }) => systemCall(SYS.setxattr, addr3, addr, off, len, op_flags),
    zero: ['ioprio'],
  },
  FSETXATTR: {
    call: ({ fd, addr, off, len, op_flags }) => systemCall(SYS.fsetxattr, fd, addr, off, len, op_flags),
    zero: ['ioprio'],
  },
};

const byNumber: (SystemCall | undefined)[] = [];
for (const [name, row] of Object.entries(SYSTEM_CALLS)) byNumber[IORING_OP[name as UringOpcode]] = row;

/** The opcodes that are in the table. */
export const SERVED = Object.keys(SYSTEM_CALLS) as readonly UringOpcode[];

/** Flags of an sqe that say nothing of files and completions; links are the submitter's affair. */
const FLAGS = IOSQE_ASYNC | IOSQE_IO_LINK | IOSQE_IO_HARDLINK;

/** Makes the call: its result, or one of those below the errnos that say that it has to wait. */
export function perform(told: Told): number {
  const row = byNumber[told.opcode];
  if (row === undefined || told.personality !== 0 || told.flags & ~(FLAGS | IOSQE_FIXED_FILE)) return -EINVAL.errno;
  if (told.flags & IOSQE_FIXED_FILE) return -EBADF.errno; // no file is registered
  for (const name of row.zero) if (told[name] !== 0) return -EINVAL.errno;
  return row.call(told);
}

/** Whether an operation ends the chain that it is in. */
export const failed = (opcode: number, sqe: Sqe, res: number): boolean =>
  res < 0 || (byNumber[opcode]?.whole?.(sqe) ?? res) !== res;
