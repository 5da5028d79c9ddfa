/**
 * A file whose writes are on the disk when their promise resolves: for logs, journals, whatever has to be there after the
 * power went.
 *
 * Writes are done in the order in which they were asked for, and one batch is under way at a time: what is asked for
 * meanwhile gathers, and is the next one. So callers who come together share an fsync; each gets its own result. And an append
 * that is acknowledged has nothing before it that is not: whoever reads a log up to the first gap loses none of it.
 *
 * One batch, one fsync, for a second reason. Linux tells of a failed write-back once, to the first fsync that comes: a second
 * one, at the same time, would return 0 for data that is lost. After that first failure nobody knows what is on the disk: the
 * pages are clean, though they were not written, and an fsync that is tried again succeeds. So the file is poisoned: it takes
 * nothing more until it is opened again. @see docs/durable.md
 */
import { open as openPath, readlink, statfs } from 'node:fs/promises';
import { EBADF, EBUSY, ECANCELED, EFBIG, EINVAL, EOPNOTSUPP, Errno, errno } from '../abi/errno.ts';
import { O_CREAT, O_DIRECT, O_DIRECTORY, O_RDONLY, O_RDWR, RWF_DSYNC } from '../abi/posix.ts';
import { addressOf } from '../abi/syscall.ts';
import { IORING_FSYNC_DATASYNC, IORING_OP } from '../abi/uring-constants.ts';
import { detached, lentAlready } from './buffers.ts';
import { type Durability, Plan, Vectors, Write } from './durable-plan.ts';
import { type UringFile, whole } from './file.ts';
import type { UringFiles } from './files.ts';
import type { Link } from './operation.ts';
import type { Alignment } from './stat.ts';

export interface DurableFileOptions {
  /** How writes are made durable that don't say it. Default `rwf_dsync`, the fastest (docs/performance.md); on a FUSE filesystem `linked`. */
  readonly durability?: Durability | undefined;
  /** Past the page cache: addresses, offsets and lengths have to be aligned. Default false. @see DurableFile.alignment */
  readonly direct?: boolean | undefined;
  /** Made where it is not there. Default true. */
  readonly create?: boolean | undefined;
  /** Permissions of a file that is made, less the umask. Default 0o666. */
  readonly mode?: number | undefined;
}

/** What O_DIRECT is held to where nobody says what it needs: the largest blocks that disks in use have. */
const USUAL: Alignment = { memory: 4096, offset: 4096 };
/** A write with RWF_DSYNC that ended so has written nothing, and synced nothing. */
const UNDONE: ReadonlySet<number> = new Set([EBADF, ECANCELED, EFBIG, EINVAL, EOPNOTSUPP].map((each) => each.errno));
const FSYNC: Link = { opcode: IORING_OP.FSYNC, sqe: { op_flags: IORING_FSYNC_DATASYNC } };

/** An fsync of the file has failed: what it holds is unknown, and it takes no more. `cause` is what the fsync said. */
export class PoisonedError extends Errno {
  override readonly name = 'PoisonedError';
  override readonly cause: Errno;
  constructor(cause: Errno) {
    super(cause.code, cause.errno, `an fsync of this file failed (${cause.code}): open it again and see what it holds`);
    this.cause = cause;
  }
}

export class DurableFile implements AsyncDisposable {
  /** To read from. What is written through it is not in order with what is written here. */
  readonly file: UringFile;
  /** What bytes, offsets and lengths are held to; undefined without `direct`. */
  readonly alignment: Alignment | undefined;
  readonly #durability: Durability;
  /** What waits for the next batch, in order. */
  #queue: Write[] = [];
  /** A batch is under way, or about to be. */
  #busy = false;
  /** Until then it is waited for more to come, with nothing under way. */
  #gathering: NodeJS.Immediate | undefined;
  /** Where the next append goes. */
  #end: number;
  /** Bytes were written that no fsync has covered. */
  #dirty = false;
  #poison: PoisonedError | undefined;
  #closed: Promise<void> | undefined;
  #idle: (() => void) | undefined;
  readonly #vectors = new Vectors();

  private constructor(file: UringFile, size: number, durability: Durability, alignment: Alignment | undefined) {
    this.file = file;
    this.#end = size;
    this.#durability = durability;
    this.alignment = alignment;
  }

  /**
   * Opens a file to write to. What it holds by then is made durable first, and so is its name: what a process that crashed
   * had written may be in memory alone, and who reads it would believe in it. Errors of open(2) and fsync(2); EINVAL for
   * `direct` on a file that has no such thing.
   */
  static async open(
    files: UringFiles,
    path: string,
    { durability, direct = false, create = true, mode }: DurableFileOptions = {},
  ): Promise<DurableFile> {
    const flags = O_RDWR | (create ? O_CREAT : 0) | (direct ? O_DIRECT : 0);
    const file = await files.open(path, flags, { mode });
    try {
      await file.fsync();
      if (create) await syncDirectoryOf(file.fd);
      const { size, alignment = USUAL } = await file.statx();
      if (direct && alignment.offset === 0) throw EINVAL;
      const how = durability ?? (await usualOf(file.fd));
      return new DurableFile(file, size, how, direct ? alignment : undefined);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Where the next append goes: the end of the file, as far as it was written here. */
  get size(): number {
    return this.#end;
  }
  /** What an fsync has failed with: from then on everything is refused. */
  get poisoned(): Errno | undefined {
    return this.#poison?.cause;
  }

  /**
   * Writes at the end of the file: the offset where, once all of it is as durable as asked, and all that was appended before.
   * The bytes are lent until then. What is appended at the same time goes one behind the other. One that fails leaves
   * its place to the next.
   *
   * `durability`: `none`, it is written and no more; `linked`, a write and an fsync that are submitted together; `separate`,
   * one after the other; `rwf_dsync`, one write with RWF_DSYNC. With the last, an error may be that of the sync: the file is poisoned by any,
   * unless it has become no longer, so that nothing was written. Of a batch the first that asks for any says how.
   *
   * RangeError for what O_DIRECT would not take, PoisonedError after an fsync that failed, EBADF for a closed file.
   */
  append(bytes: Uint8Array, durability = this.#durability): Promise<number> {
    return this.#write(bytes, undefined, durability);
  }
  /** Writes at an offset: when it resolves the bytes are as durable as asked. All else is as with `append`. */
  async writeAt(bytes: Uint8Array, offset: number, durability = this.#durability): Promise<void> {
    await this.#write(bytes, whole(offset), durability);
  }
  /** Until all is durable that was written before. */
  async sync(): Promise<void> {
    await this.#write(NOTHING, 0, 'linked');
  }

  /** Cuts the file, or lengthens it with zeros, durably. EBUSY while something is written; EINVAL before Linux 6.9. */
  async truncate(size: number): Promise<void> {
    this.#refuse();
    if (this.#queue.length > 0 || (this.#busy && this.#gathering === undefined)) throw EBUSY;
    if (this.alignment) this.#aligned('size', whole(size), this.alignment.offset);
    clearImmediate(this.#gathering);
    this.#gathering = undefined;
    this.#busy = true;
    try {
      await this.file.ftruncate(size);
      this.#end = size;
      await this.file.fsync().catch((error: Errno) => {
        this.#syncFailed([], -error.errno);
        throw error;
      });
    } finally {
      this.#next();
    }
  }

  /** A buffer of so many bytes, all 0, that lies where O_DIRECT can take it. */
  buffer(length: number): Buffer {
    const { memory } = this.alignment ?? { memory: 1 };
    const room = Buffer.alloc(whole(length) + memory - 1);
    const start = (memory - (addressOf(room) % memory)) % memory;
    return room.subarray(start, start + length);
  }

  /** Waits for what is under way, and closes. What was written with `none` is as durable as it was. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
  async #close(): Promise<void> {
    if (this.#busy)
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    await this.file.close();
  }

  #refuse(): void {
    if (this.#poison !== undefined) throw this.#poison;
    if (this.#closed !== undefined || this.file.closed) throw EBADF;
  }
  #aligned(what: string, value: number, to: number): void {
    if (value % to !== 0) throw new RangeError(`${what} ${value} is no multiple of ${to}, as O_DIRECT needs it`);
  }

  async #write(bytes: Uint8Array, offset: number | undefined, durability: Durability): Promise<number> {
    this.#refuse();
    const { buffers } = this.file.operations;
    const { byteLength } = bytes;
    const region = byteLength === 0 ? undefined : buffers.of(bytes);
    const addr = region === undefined ? 0 : region.address + bytes.byteOffset;
    if (this.alignment !== undefined) {
      this.#aligned('the address', addr, this.alignment.memory);
      this.#aligned('length', byteLength, this.alignment.offset);
      this.#aligned('offset', offset ?? this.#end, this.alignment.offset);
    }
    if (region?.lent(addr, byteLength, false)) throw lentAlready();
    const write = new Write(bytes, addr, offset, durability);
    region?.lend(write);
    this.#queue.push(write);
    if (!this.#busy) this.#next();
    return write.promise;
  }

  /** Begins the next batch, if there is something for one. */
  #next(): void {
    this.#gathering = undefined;
    this.#busy = this.#queue.length > 0;
    if (this.#busy) void this.#batch();
    else this.#idle?.();
  }

  /** Does what has gathered. Never rejects: whatever happens is somebody's result. */
  async #batch(): Promise<void> {
    for (const write of this.#queue) if (write.detached) write.settle(detached());
    this.#queue = this.#queue.filter((write) => !write.detached);
    let writes: Write[] = [];
    let several = false;
    try {
      const { longestChain } = this.file.operations.engine;
      const plan = this.#plan(this.#queue, longestChain);
      writes = this.#queue.splice(0, plan.count);
      several = writes.length > 1;
      for (let next = plan; writes.length > 0; next = this.#plan(writes, longestChain))
        writes = await this.#attempt(writes, next, longestChain);
    } catch (error) {
      for (const write of writes) write.settle(error); // there is no engine any more
    }
    // Those who were answered may well come again at once, and with them the next batch is a full one.
    if (several || this.#queue.length > 0) this.#gathering = setImmediate(() => this.#next());
    else this.#next();
  }
  #plan(writes: readonly Write[], longestChain: number): Plan {
    return new Plan(writes, this.#end, Math.max(1, longestChain - 1));
  }

  /** One try at a batch: those that it leaves to be done, or only to be synced. */
  async #attempt(writes: Write[], plan: Plan, longestChain: number): Promise<Write[]> {
    const method = this.#method(writes, plan, longestChain);
    const links = plan.links(this.#vectors, method === 'rwf_dsync' ? RWF_DSYNC : 0);
    if (method === 'linked') links.push(FSYNC);
    const results = links.length === 0 ? [] : await this.#submit(links);
    const { all, failed } = plan.tell(results);
    if (method !== 'rwf_dsync') this.#dirty ||= results.some((result) => result > 0);
    else if (results[0]! < 0 && !UNDONE.has(-results[0]!) && !(await this.#untouched(plan)))
      return this.#syncFailed(writes, results[0]!);
    for (const [write, error] of failed) write.settle(error);
    if (!all) return writes.filter((write) => !failed.some(([each]) => each === write));

    let sync = method === 'linked' ? results.at(-1)! : 0;
    if (method === 'separate') sync = (await this.#submit([FSYNC]))[0]!;
    if (sync < 0) return this.#syncFailed(writes, sync);
    if (method === 'linked' || method === 'separate') this.#dirty = false;
    for (const write of writes) {
      this.#end = Math.max(this.#end, write.end);
      write.settle();
    }
    return [];
  }
  /**
   * Whether nothing came to be written by what failed: it would have made the file longer, and the sync, which comes after, has not
   * been tried. So a full disk is no reason to give up a log. @see mm/filemap.c: generic_file_write_iter, fs/iomap/direct-io.c: iomap_dio_complete
   */
  async #untouched({ start }: Plan): Promise<boolean> {
    const { size } = await this.file.statx().catch(() => ({ size: Number.POSITIVE_INFINITY }));
    return size <= start;
  }
  #submit(links: readonly Link[]): Promise<readonly number[]> {
    const { operations, descriptor } = this.file;
    return operations.chain(descriptor, links);
  }

  /** What a batch is made durable by: all of it, and what nobody has yet. */
  #method(writes: readonly Write[], { runs }: Plan, longestChain: number): Durability {
    const asked = writes.find(({ durability }) => durability !== 'none')?.durability ?? 'none';
    // RWF_DSYNC syncs the range that it writes: what was left before would be a gap in front of it.
    const method = asked === 'rwf_dsync' && (this.#dirty || runs !== 1) ? 'linked' : asked;
    return method === 'linked' && runs + 1 > longestChain ? 'separate' : method;
  }

  /** Nobody knows what of the batch is on the disk, nor of what was there before it. */
  #syncFailed(writes: readonly Write[], result: number): [] {
    const error = errno(-result);
    // Cancelled, as when the engine is closed: there was none.
    if (error !== ECANCELED) this.#poison = new PoisonedError(error);
    this.#dirty = true;
    for (const write of writes) write.settle(write.durability === 'none' ? undefined : error);
    if (this.#poison !== undefined) for (const write of this.#queue.splice(0)) write.settle(this.#poison);
    return [];
  }
}

const NOTHING = new Uint8Array(0);

/** @see include/uapi/linux/magic.h */
const FUSE_SUPER_MAGIC = 0x65735546;
/** How writes to an open file are best made durable. RWF_DSYNC is not passed on by FUSE where a file is opened for direct I/O there. */
async function usualOf(fd: number): Promise<Durability> {
  return (await statfs(`/proc/self/fd/${fd}`)).type === FUSE_SUPER_MAGIC ? 'linked' : 'rwf_dsync';
}

/** Makes the name of an open file durable: where it is, not by which symlink it was found. */
async function syncDirectoryOf(fd: number): Promise<void> {
  const path = await readlink(`/proc/self/fd/${fd}`, { encoding: 'buffer' }); // it may not be UTF-8
  await using directory = await openPath(path.subarray(0, Math.max(1, path.lastIndexOf('/'))), O_RDONLY | O_DIRECTORY);
  await directory.sync();
}
