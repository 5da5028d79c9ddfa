/**
 * System calls that wait for somebody else: reading what nobody has written yet, writing where nobody reads, opening a
 * FIFO alone. A thread inside one can't be reached: a few of them would hold up everything else, and the process's exit
 * for ever. So here they never wait. What would have to says so with a result that is none, below the errnos:
 * the submitter waits in its place, on the event loop, and lets the call be made again.
 *
 * Meanwhile the operation has descriptors of its own, as one of io_uring's has a reference to the file: who closes the
 * number that it was given, or opens another file under it, changes nothing for it.
 *
 * Pipes and sockets are asked not to wait, call by call: O_NONBLOCK would be everybody's. What can't be asked is polled
 * first, which leaves a gap: another may take in between what was there, and the thread waits. Nor is there a way not
 * to wait for a disk, or for the server of a network's or FUSE's file.
 */
import { EAGAIN, ENXIO, EOPNOTSUPP, ESPIPE } from '../abi/errno.ts';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_NO_AUTOMOUNT,
  AT_STATX_DONT_SYNC,
  AT_SYMLINK_NOFOLLOW,
  F_DUPFD_CLOEXEC,
  F_GETFL,
  F_SETFL,
  MSG_DONTWAIT,
  O_ACCMODE,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  POLLIN,
  POLLOUT,
  RWF_NOWAIT,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  SPLICE_F_NONBLOCK,
  STATX_TYPE,
} from '../abi/posix.ts';
import { addressOf, SYS, systemCall, wordAt } from '../abi/syscall.ts';
import { HELD_FD, HELD_FILE_INDEX, type Told } from './pool-queue.ts';

/** What is below this is no result. */
export const NOT_YET = -0x10000;
/** The call has to wait until `fd` is writable, .. */
export const UNTIL_WRITABLE = -0x10001;
/** .. until `fd` is readable, or of a splice `file_index`, .. */
export const UNTIL_READABLE = -0x10002;
/** .. for a while, since nothing tells when it may be made again. */
export const A_WHILE = -0x10003;

/** What a call here is given of this thread's: memory that stays where it is. */
const scratch = Buffer.allocUnsafeSlow(1024);
const IOVEC = 0; // one
const POLLFD = 16;
const NO_TIME = 32; // a timespec
const OFF_IN = 48;
const OFF_OUT = 56;
const MSGHDR = 64;
const PIPE = 128; // two descriptors
const HOW = 136; // open_how
const EMPTY = 160;
const NAME = 168;
const STATX = 256;
const at = (place: number): number => base + place;
const base = addressOf(scratch);
scratch.fill(0);
const STX_MODE = 28;
const OPEN_HOW = 24;

/** The S_IF type of an open file, or a negated errno. Asks no server. */
function typeOf(fd: number, path = at(EMPTY), flags = AT_EMPTY_PATH): number {
  const r = systemCall(SYS.statx, fd, path, flags | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE, at(STATX));
  return r < 0 ? r : scratch.readUInt16LE(STATX + STX_MODE) & S_IFMT;
}
/** Whether a call on such a file ends without somebody else's doing. */
const endsByItself = (type: number): boolean => type === S_IFREG || type === S_IFBLK || type === S_IFDIR;

/** Whether a descriptor is readable or writable, or broken. */
function ready(fd: number, events: number): boolean {
  scratch.writeInt32LE(fd, POLLFD);
  scratch.writeInt16LE(events, POLLFD + 4);
  scratch.fill(0, NO_TIME, NO_TIME + 16);
  return systemCall(SYS.ppoll, at(POLLFD), 1, at(NO_TIME)) !== 0;
}

/** Has the operation wait, on descriptors of its own. Where there are none to be had, on those it was given. */
function until(result: number, told: Told, both = false): number {
  if (!(told.held & HELD_FD)) {
    const fd = systemCall(SYS.fcntl, told.fd, F_DUPFD_CLOEXEC, 0);
    if (fd >= 0) [told.fd, told.held] = [fd, told.held | HELD_FD];
  }
  if (both && !(told.held & HELD_FILE_INDEX)) {
    const fd = systemCall(SYS.fcntl, told.file_index, F_DUPFD_CLOEXEC, 0);
    if (fd >= 0) [told.file_index, told.held] = [fd, told.held | HELD_FILE_INDEX];
  }
  return result;
}

const nonblocking = (fd: number): boolean => (systemCall(SYS.fcntl, fd, F_GETFL) & O_NONBLOCK) !== 0;

/** read, readv and pread, write, writev and pwrite, with their flags. */
export function transfer(told: Told, write: boolean, vectored: boolean): number {
  const { fd, off, addr, len, op_flags } = told;
  const type = typeOf(fd);
  if (type < 0) return type;
  const disk = endsByItself(type);
  if (disk && !vectored && op_flags === 0) {
    const done =
      off === -1
        ? systemCall(write ? SYS.write : SYS.read, fd, addr, len)
        : systemCall(write ? SYS.pwrite64 : SYS.pread64, fd, addr, len, off);
    if (done !== -ESPIPE.errno) return done;
  }
  if (!vectored) {
    scratch.writeBigUInt64LE(BigInt(addr), IOVEC);
    scratch.writeBigUInt64LE(BigInt(len), IOVEC + 8);
  }
  const call = write ? SYS.pwritev2 : SYS.preadv2;
  const iov = vectored ? addr : at(IOVEC);
  const count = vectored ? len : 1;
  if (type === S_IFSOCK && off !== 0 && off !== -1) return -ESPIPE.errno;
  let place = type === S_IFIFO || type === S_IFSOCK ? -1 : off;
  let asks = !disk && !told.insist;
  const attempt = () => systemCall(call, fd, iov, count, place, 0, asks ? op_flags | RWF_NOWAIT : op_flags);
  let done = attempt();
  if (done === -ESPIPE.errno && place !== -1) {
    // What has no places is read and written as it comes, wherever that was to be.
    place = -1;
    asks = !told.insist;
    done = attempt();
  }
  if (!asks || op_flags & RWF_NOWAIT) return done;
  if (done === -EOPNOTSUPP.errno) {
    if (type === S_IFCHR && nonblocking(fd)) return systemCall(call, fd, iov, count, place, 0, op_flags);
    done = unasked({ ...told, off: place }, type, write, iov, count);
  }
  return done === -EAGAIN.errno ? until(write ? UNTIL_WRITABLE : UNTIL_READABLE, told) : done;
}

/** A transfer on what can't be asked not to wait: devices, and before Linux 6.5 pipes and sockets. */
function unasked({ fd, off, op_flags }: Told, type: number, write: boolean, iov: number, count: number): number {
  if (type === S_IFSOCK && op_flags === 0) {
    scratch.fill(0, MSGHDR, MSGHDR + 56);
    scratch.writeBigUInt64LE(BigInt(iov), MSGHDR + 16);
    scratch.writeBigUInt64LE(BigInt(count), MSGHDR + 24);
    return systemCall(write ? SYS.sendmsg : SYS.recvmsg, fd, at(MSGHDR), MSG_DONTWAIT);
  }
  const call = write ? SYS.pwritev2 : SYS.preadv2;
  if (type === S_IFIFO) {
    // Opened again it is the same pipe with flags of its own.
    scratch.fill(0, NAME, STATX);
    scratch.write(`/proc/self/fd/${fd}`, NAME);
    const own = (write ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_CLOEXEC;
    const again = systemCall(SYS.openat, AT_FDCWD, at(NAME), own);
    if (again >= 0) {
      const done = systemCall(call, again, iov, count, -1, 0, op_flags);
      systemCall(SYS.close, again);
      return done;
    }
  }
  if (!ready(fd, write ? POLLOUT : POLLIN)) return -EAGAIN.errno;
  if (write && systemCall(SYS.ioctl, fd, TCGETS, at(STATX)) === 0) return writeTerminal(fd, iov, count);
  return systemCall(call, fd, iov, count, off, 0, op_flags);
}

const TCGETS = 0x5401;
/** What a terminal that is writable has room for at least: a pty 256 bytes, a serial line some kilobytes. */
const ROOM = 64;
/** Writes to a terminal what it takes without waiting. It is writable, and the iovecs are sound. */
function writeTerminal(fd: number, iov: number, count: number): number {
  let done = 0;
  for (let i = 0; i < count; i++) {
    const from = wordAt(iov + i * 16);
    const length = wordAt(iov + i * 16 + 8);
    for (let written = 0; written < length; ) {
      if (done > 0 && !ready(fd, POLLOUT)) return done;
      const n = systemCall(SYS.write, fd, from + written, Math.min(ROOM, length - written));
      if (n <= 0) return done > 0 ? done : n;
      written += n;
      done += n;
    }
  }
  return done;
}

/** splice(2) and, without places, tee(2), from `file_index` to `fd`. */
export function splice(told: Told, tee: boolean): number {
  const { fd, file_index, off, addr, len, op_flags } = told;
  const to = typeOf(fd);
  if (to < 0) return to;
  const from = typeOf(file_index);
  if (from < 0) return from;
  if (len === 0) return 0;
  const call = (most: number): number => {
    if (tee) return systemCall(SYS.tee, file_index, fd, most, op_flags | SPLICE_F_NONBLOCK);
    scratch.writeBigInt64LE(BigInt(addr), OFF_IN);
    scratch.writeBigInt64LE(BigInt(off), OFF_OUT);
    const places = [addr === -1 ? 0 : at(OFF_IN), off === -1 ? 0 : at(OFF_OUT)] as const;
    return systemCall(SYS.splice, file_index, places[0], fd, places[1], most, op_flags | SPLICE_F_NONBLOCK);
  };
  if (from !== S_IFIFO && to !== S_IFIFO) return call(len); // EINVAL
  // The flag is for the pipes. What else there is gets no more than it takes.
  const waitsFrom = from !== S_IFIFO && !endsByItself(from) && !told.insist;
  const waitsTo = to !== S_IFIFO && !endsByItself(to) && !told.insist;
  if (waitsFrom && !ready(file_index, POLLIN)) return until(UNTIL_READABLE, told, true);
  if (waitsTo && !ready(fd, POLLOUT)) return until(UNTIL_WRITABLE, told, true);
  let done = 0;
  let n: number;
  const most = waitsTo ? PIECE : len;
  do {
    n = call(Math.min(most, len - done));
    if (n > 0) done += n;
  } while (n === most && done < len && ready(fd, POLLOUT));
  if (done > 0) return done;
  if (n !== -EAGAIN.errno || op_flags & SPLICE_F_NONBLOCK || nonblocking(fd) || nonblocking(file_index)) return n;
  return until(from === S_IFIFO && !ready(file_index, POLLIN) ? UNTIL_READABLE : UNTIL_WRITABLE, told, true);
}
/** Bytes that a socket which is writable has room for. */
const PIECE = 4096;

/** openat(2), and openat2(2) with an open_how of `len` bytes at `off`. */
export function open(told: Told, how: boolean): number {
  const { fd, addr, len, off, op_flags } = told;
  if (told.held & HELD_FD) return opened(told); // the FIFO, which waits for a writer
  const plain = () =>
    how ? systemCall(SYS.openat2, fd, addr, off, len) : systemCall(SYS.openat, fd, addr, op_flags, len);
  if (how && (len < OPEN_HOW || !copy(off, HOW, OPEN_HOW))) return plain();
  const flags = how ? scratch.readUInt32LE(HOW) : op_flags;
  const mode = flags & O_ACCMODE;
  if (flags & (O_NONBLOCK | O_PATH | O_DIRECTORY) || mode === O_RDWR || mode === O_ACCMODE) return plain();
  if (lookedAt(told, how, flags) !== S_IFIFO) return plain();
  if (how) scratch.writeUInt32LE((flags | O_NONBLOCK) >>> 0, HOW);
  const fifo = how
    ? systemCall(SYS.openat2, fd, addr, at(HOW), OPEN_HOW)
    : systemCall(SYS.openat, fd, addr, op_flags | O_NONBLOCK, len);
  if (fifo === -ENXIO.errno && mode === O_WRONLY) return A_WHILE;
  if (fifo < 0) return fifo;
  if (mode === O_WRONLY) return blocking(fifo);
  told.fd = fifo;
  told.held |= HELD_FD;
  return opened(told);
}

/** The type of what an open would open, or a negated errno. */
function lookedAt({ fd, addr }: Told, how: boolean, flags: number): number {
  if (!how) return typeOf(fd, addr, flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0);
  // `resolve`, which leads elsewhere, is in the how.
  const before = Buffer.from(scratch.subarray(HOW, HOW + OPEN_HOW));
  scratch.writeBigUInt64LE(BigInt(O_PATH | O_CLOEXEC | (flags & O_NOFOLLOW)), HOW);
  scratch.writeBigUInt64LE(0n, HOW + 8);
  const path = systemCall(SYS.openat2, fd, addr, at(HOW), OPEN_HOW);
  before.copy(scratch, HOW);
  if (path < 0) return path;
  const type = typeOf(path);
  systemCall(SYS.close, path);
  return type;
}

/** Whether the FIFO, open for reading, has or has had a writer: then it is as if it had been opened just now. */
function opened(told: Told): number {
  const { fd } = told;
  if (!ready(fd, POLLIN)) {
    // Neither bytes nor a writer that has gone. tee(2), which takes nothing, says EAGAIN where there is one, or 0.
    if (systemCall(SYS.pipe2, at(PIPE), O_CLOEXEC) < 0) return A_WHILE;
    const [into, from] = [scratch.readInt32LE(PIPE + 4), scratch.readInt32LE(PIPE)];
    const n = systemCall(SYS.tee, fd, into, 1, SPLICE_F_NONBLOCK);
    systemCall(SYS.close, into);
    systemCall(SYS.close, from);
    if (n === 0) return A_WHILE;
  }
  told.held &= ~HELD_FD;
  return blocking(fd);
}
function blocking(fd: number): number {
  systemCall(SYS.fcntl, fd, F_SETFL, systemCall(SYS.fcntl, fd, F_GETFL) & ~O_NONBLOCK);
  return fd;
}

/** Copies bytes from an address that may be none. The kernel says so; to read there ourselves would end the process. */
function copy(from: number, to: number, bytes: number): boolean {
  if (systemCall(SYS.pipe2, at(PIPE), O_CLOEXEC) < 0) return false;
  const [out, into] = [scratch.readInt32LE(PIPE), scratch.readInt32LE(PIPE + 4)];
  const copied = systemCall(SYS.write, into, from, bytes) === bytes;
  if (copied) systemCall(SYS.read, out, at(to), bytes);
  systemCall(SYS.close, into);
  systemCall(SYS.close, out);
  return copied;
}
