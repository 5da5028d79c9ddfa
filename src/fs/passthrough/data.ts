/**
 * What is in files: reads go from the page cache of the lower filesystem into the reply's own memory, writes from the request's to
 * the file, and nothing is copied in between. A handle is a descriptor of the process (descriptors.ts).
 */
import { EINVAL, EPERM, errno } from '../../abi/errno.ts';
import {
  closeQuietly,
  copyFileRange,
  fallocate,
  fdatasync,
  fsync,
  ftruncate,
  lseek,
  pread,
  pwrite,
} from '../../abi/files.ts';
import { FOPEN_PASSTHROUGH, FUSE_FSYNC_FDATASYNC } from '../../abi/fuse-constants.ts';
import {
  O_DIRECT,
  O_DIRECTORY,
  O_DSYNC,
  O_NOATIME,
  O_NONBLOCK,
  O_SYNC,
  O_TRUNC,
  SEEK_DATA,
  SEEK_HOLE,
} from '../../abi/posix.ts';
import { addressOf, duplicate } from '../../abi/syscall.ts';
import type { Args } from '../../protocol/operations.ts';
import type { Descriptors } from './descriptors.ts';
import type { LowerNodes } from './nodes.ts';
import { done, type Scratch } from './scratch.ts';
import type { Opening, Ways } from './ways.ts';

/**
 * The flags of a client's open that mean something below. Not O_APPEND: the kernel above sends the offset, and pwrite(2) on such a
 * descriptor ignores it. Not O_DIRECT, see `allowDirectIo`; nor O_CREAT and its like, which are done when a file is opened.
 */
const LOWER = O_TRUNC | O_NONBLOCK | O_DSYNC | O_SYNC | O_NOATIME | O_DIRECTORY;
/** How much one COPY_FILE_RANGE copies at most, so that others need not wait for long. The caller asks again. */
const COPY_MOST = 8 << 20;
/** What O_DIRECT needs memory, offset and length to be multiples of: the largest sector there is. */
const ALIGNED = 4096;

export class Data {
  readonly #nodes: Pick<LowerNodes, 'open' | 'reopen'>;
  readonly #descriptors: Descriptors;
  readonly #scratch: Scratch;
  readonly #ways: Pick<Ways, 'access' | 'file' | 'release'>;
  readonly #allowDirectIo: boolean;

  constructor(
    nodes: Pick<LowerNodes, 'open' | 'reopen'>,
    descriptors: Descriptors,
    scratch: Scratch,
    ways: Pick<Ways, 'access' | 'file' | 'release'>,
    allowDirectIo = false,
  ) {
    this.#nodes = nodes;
    this.#descriptors = descriptors;
    this.#scratch = scratch;
    this.#ways = ways;
    this.#allowDirectIo = allowDirectIo;
  }

  /** The flags to open a lower file with for a client's. */
  lower(flags: number): number {
    return (flags & LOWER) | this.#ways.access(flags);
  }

  /** Opens a file by one of its descriptors, of O_PATH perhaps. */
  reopen(fd: number, flags: number): number {
    return this.#opening(flags, (lower) => this.#nodes.reopen(fd, lower));
  }
  /** The same for a node. */
  open(nodeid: number, flags: number): number {
    return this.#opening(flags, (lower) => this.#nodes.open(nodeid, lower));
  }
  /** O_NOATIME is for owners: the client is one as far as the kernel above knows, and this process need not be. */
  #opening(flags: number, open: (lower: number) => number): number {
    const lower = this.lower(flags);
    try {
      return open(lower);
    } catch (error) {
      if (error !== EPERM || !(lower & O_NOATIME)) throw error;
      return open(lower & ~O_NOATIME);
    }
  }

  /** What OPEN answers for a node and its descriptor, which is closed where it throws. */
  opened(nodeid: number, fd: number, flags: number): Opening & { readonly fh: number } {
    let way: Opening | undefined;
    try {
      way = this.#ways.file(nodeid, fd, flags);
      return { fh: this.#descriptors.add(fd, this.#direct(fd, flags, way)), ...way };
    } catch (error) {
      closeQuietly(fd);
      if (way !== undefined) this.#ways.release(nodeid);
      throw error;
    }
  }
  /** A second descriptor for what is aligned; 0 where none is wanted, or the lower filesystem has no direct I/O. */
  #direct(fd: number, flags: number, { open_flags }: Opening): number {
    if (!this.#allowDirectIo || !(flags & O_DIRECT) || open_flags & FOPEN_PASSTHROUGH) return 0;
    try {
      return this.#nodes.reopen(fd, this.#ways.access(flags) | (flags & (O_DSYNC | O_SYNC)) | O_DIRECT);
    } catch (error) {
      if (error === EINVAL) return 0;
      throw error;
    }
  }
  /** The descriptor to read or write with. */
  #for(fh: number, bytes: Uint8Array, offset: number, length: number): number {
    const fd = this.#descriptors.get(fh);
    if (!this.#allowDirectIo) return fd;
    const direct = this.#descriptors.direct(fh);
    return direct && (addressOf(bytes) | length | (offset % ALIGNED)) % ALIGNED === 0 ? direct : fd;
  }

  read({ fh, offset, size }: Args<'READ'>, reply: Buffer): number {
    const fd = this.#for(fh, reply, offset, size);
    if (offset === 0) this.#descriptors.dropNews(fh);
    let at = done(pread(fd, reply, size, offset));
    while (at > 0 && at < size) {
      // The end of the file, most likely. Fewer bytes would be taken for it.
      const more = pread(fd, reply.subarray(at), size - at, offset + at);
      if (more <= 0) break;
      at += more;
    }
    return at;
  }

  /** Writes all, or what fits: then the client gets the number, and asks again for the reason. */
  write({ fh, offset, data, flags }: Args<'WRITE'>): { size: number } {
    const fd = this.#for(fh, data, offset, data.length);
    let at = done(pwrite(fd, data, data.length, offset));
    while (at < data.length) {
      const more = pwrite(fd, data.subarray(at), data.length - at, offset + at);
      // The kernel makes EIO of a direct write that is done in part. @see fs/fuse/file.c: fuse_aio_complete
      if (more < 0 && flags & O_DIRECT) throw errno(-more);
      if (more <= 0) break;
      at += more;
    }
    return { size: at };
  }

  truncate(fh: number, size: number): void {
    done(ftruncate(this.#descriptors.get(fh), size));
  }
  /** Closes a copy, which is what tells errors that a filesystem keeps for close(2). */
  flush({ fh }: Args<'FLUSH'>): void {
    done(closeQuietly(duplicate(this.#descriptors.get(fh))));
  }
  release(nodeid: number, { fh }: Args<'RELEASE'>): void {
    this.#descriptors.release(fh);
    this.#ways.release(nodeid);
  }
  fsync({ fh, fsync_flags }: Args<'FSYNC'>): void {
    const fd = this.#descriptors.get(fh);
    done(fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(fd) : fsync(fd));
  }

  fallocate({ fh, mode, offset, length }: Args<'FALLOCATE'>): void {
    done(fallocate(this.#descriptors.get(fh), mode, offset, length));
  }
  lseek({ fh, offset, whence }: Args<'LSEEK'>): { offset: number } {
    if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw EINVAL;
    return { offset: done(lseek(this.#descriptors.get(fh), offset, whence)) };
  }
  copy({ fh_in, off_in, fh_out, off_out, len }: Args<'COPY_FILE_RANGE_64'>): { bytes_copied: number } {
    const { view, wordsAt, words } = this.#scratch;
    view.setBigUint64(wordsAt, BigInt(off_in), true);
    view.setBigUint64(wordsAt + 8, BigInt(off_out), true);
    const [from, to] = [this.#descriptors.get(fh_in), this.#descriptors.get(fh_out)];
    return { bytes_copied: done(copyFileRange(from, words, to, words + 8, Math.min(len, COPY_MOST))) };
  }
}
