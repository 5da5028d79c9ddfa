/**
 * An open file: what can be asked of it, each a promise of one operation of the kernel's.
 *
 * A buffer is lent from the call until the promise settles, and comes back in the result; after a cancellation, until
 * `abandoned` of the UringFiles says that nothing is held any more. A file that is closed is EBADF, for ever.
 */
import { EBADF, ECANCELED, EINVAL, EIO, ERANGE, Errno } from '../abi/errno.ts';
import { AT_EMPTY_PATH, STATX_BASIC_STATS, STATX_BTIME, STATX_DIOALIGN, XATTR_SIZE_MAX } from '../abi/posix.ts';
import { addressOf } from '../abi/syscall.ts';
import { IORING_FSYNC_DATASYNC, IORING_OP, type UringOpcode } from '../abi/uring-constants.ts';
import { detached } from './buffers.ts';
import { type ChunkOptions, chunks } from './chunks.ts';
import { closeLater, type Descriptor } from './descriptor.ts';
import type { Sqe } from './engine.ts';
import {
  asNothing,
  asNumber,
  type Finish,
  type OperationOptions,
  type TransferOptions,
  type Transferred,
} from './operation.ts';
import type { Operations } from './operations.ts';
import { prepareName, prepareStat } from './paths.ts';
import { UringStat } from './stat.ts';

export const STATX_MASK = STATX_BASIC_STATS | STATX_BTIME | STATX_DIOALIGN;

/** Open files that were collected: a mistake of the program, which is told, and a descriptor, which is closed. */
const forgotten = new FinalizationRegistry<{ operations: Operations; descriptor: Descriptor }>(
  ({ operations, descriptor }) => {
    const which = descriptor.direct ? 'direct descriptor' : `descriptor ${descriptor.fd}`;
    process.emitWarning(`a UringFile was collected while it was open; its ${which} is closed now`);
    closeDescriptor(operations, descriptor, false).catch(() => {});
  },
);

/** Waits for what is in flight on a file, or cancels it; then closes. */
async function closeDescriptor(operations: Operations, descriptor: Descriptor, cancel: boolean): Promise<void> {
  descriptor.closed = true;
  for (const stream of operations.streams) if (stream.descriptor === descriptor) stream.end();
  if (cancel) operations.cancel(descriptor);
  if (descriptor.busy > 0)
    await new Promise<void>((resolve) => {
      descriptor.idle = resolve;
    });
  const { direct, fd, slot } = descriptor;
  try {
    if (!operations.closed) {
      operations.files?.release(descriptor);
      const close = operations.take(IORING_OP.CLOSE, asNothing);
      close.fill(direct ? { file_index: slot + 1 } : { fd });
      await operations.start<void>(close, undefined, true);
    } else if (!direct) closeLater(fd);
  } catch (error) {
    if (error !== ECANCELED) throw error; // what the filesystem had kept for now (EIO, EDQUOT): it is closed all the same
    if (!direct) closeLater(fd);
  } finally {
    operations.open.give();
  }
}

export class UringFile implements AsyncDisposable {
  /** @internal */
  readonly descriptor: Descriptor;
  readonly #operations: Operations;

  /** @internal */
  get operations(): Operations {
    return this.#operations;
  }
  /** @internal */
  constructor(operations: Operations, descriptor: Descriptor) {
    this.#operations = operations;
    this.descriptor = descriptor;
    forgotten.register(this, { operations, descriptor }, this);
  }

  /** The descriptor's number; it stays this object's. EBADF where the file is closed, or is a direct one, which has none. */
  get fd(): number {
    return this.descriptor.number;
  }
  get closed(): boolean {
    return this.descriptor.closed;
  }

  /**
   * Reads at most as many bytes as `buffer` has, at `offset`: fewer, or none, at the end of the file. `null` is the
   * file's own position, which moves; a pipe has no other. preadv2(2)
   */
  read<B extends Uint8Array>(buffer: B, offset: number | null, options?: TransferOptions): Promise<Transferred<B>> {
    return this.#operations.transfer('READ', this.descriptor, buffer, 0, buffer.byteLength, offset, options);
  }
  /** Writes at `offset` (`null`: at the file's own position): how many bytes, perhaps fewer than there are. pwritev2(2) */
  write<B extends Uint8Array>(buffer: B, offset: number | null, options?: TransferOptions): Promise<Transferred<B>> {
    return this.#operations.transfer('WRITE', this.descriptor, buffer, 0, buffer.byteLength, offset, options);
  }
  /** Reads until `buffer` is full or the file ends: `bytes` says which. */
  readExactly<B extends Uint8Array>(
    buffer: B,
    offset: number | null,
    options?: TransferOptions,
  ): Promise<Transferred<B>> {
    return this.#whole('READ', buffer, offset, options);
  }
  /** Writes all of `buffer`; EIO from a file that takes no more and gives no error. */
  writeAll<B extends Uint8Array>(buffer: B, offset: number | null, options?: TransferOptions): Promise<Transferred<B>> {
    return this.#whole('WRITE', buffer, offset, options);
  }

  /**
   * Reads into a part of a registered buffer, by its number in `registerBuffers`: `length` bytes from `start` on.
   * RangeError for a part outside of it.
   */
  readFixed(
    index: number,
    start: number,
    length: number,
    offset: number | null,
    options?: TransferOptions,
  ): Promise<Transferred<Uint8Array>> {
    return this.#fixed('READ', index, start, length, offset, options);
  }
  /** Writes from a part of a registered buffer. */
  writeFixed(
    index: number,
    start: number,
    length: number,
    offset: number | null,
    options?: TransferOptions,
  ): Promise<Transferred<Uint8Array>> {
    return this.#fixed('WRITE', index, start, length, offset, options);
  }
  async #fixed(
    opcode: 'READ' | 'WRITE',
    index: number,
    start: number,
    length: number,
    offset: number | null,
    options: TransferOptions | undefined,
  ): Promise<Transferred<Uint8Array>> {
    const buffer = this.#operations.buffers.registered[index];
    if (buffer === undefined) throw new RangeError(`no buffer ${index} is registered`);
    const whole = Number.isSafeInteger(start) && Number.isSafeInteger(length) && start >= 0 && length >= 0;
    if (!whole || start + length > buffer.byteLength)
      throw new RangeError(`${length} bytes from ${start} on are not in buffer ${index} of ${buffer.byteLength}`);
    return this.#operations.transfer(opcode, this.descriptor, buffer, start, length, offset, options);
  }

  async #whole<B extends Uint8Array>(
    opcode: 'READ' | 'WRITE',
    buffer: B,
    offset: number | null,
    options: TransferOptions | undefined,
  ): Promise<Transferred<B>> {
    const { byteLength } = buffer;
    let done = 0;
    do {
      const at = offset === null ? null : offset + done;
      const rest = byteLength - done;
      const { bytes } = await this.#operations.transfer(opcode, this.descriptor, buffer, done, rest, at, options);
      if (bytes === 0) break;
      done += bytes;
      if (buffer.byteLength !== byteLength) throw detached();
    } while (done < byteLength);
    if (opcode === 'WRITE' && done < byteLength) throw EIO;
    return { bytes: done, buffer };
  }

  /** Reads into several buffers, one after the other; at most 1024. preadv2(2) */
  readv<B extends Uint8Array>(
    buffers: readonly B[],
    offset: number | null,
    options?: TransferOptions,
  ): Promise<{ bytes: number; buffers: readonly B[] }> {
    return this.#vector('READV', buffers, offset, options);
  }
  /** Writes several buffers, one after the other; at most 1024. pwritev2(2) */
  writev<B extends Uint8Array>(
    buffers: readonly B[],
    offset: number | null,
    options?: TransferOptions,
  ): Promise<{ bytes: number; buffers: readonly B[] }> {
    return this.#vector('WRITEV', buffers, offset, options);
  }
  async #vector<B extends Uint8Array>(
    opcode: 'READV' | 'WRITEV',
    buffers: readonly B[],
    offset: number | null,
    options: TransferOptions | undefined,
  ): Promise<{ bytes: number; buffers: readonly B[] }> {
    const off = offset === null ? -1 : whole(offset);
    const lengths = buffers.map(({ byteLength }) => byteLength);
    const vectors = Buffer.allocUnsafeSlow(Math.max(16, 16 * buffers.length)); // struct iovec
    for (const [i, address] of this.#operations.buffers.addresses(buffers).entries()) {
      vectors.writeBigUInt64LE(BigInt(address), 16 * i);
      vectors.writeBigUInt64LE(BigInt(lengths[i]!), 16 * i + 8);
    }
    const sqe = { off, addr: addressOf(vectors), len: buffers.length, op_flags: options?.rwFlags ?? 0 };
    const bytes = await this.#run<number>(opcode, sqe, options, { finish: asNumber, held: [vectors, buffers] });
    if (buffers.some(({ byteLength }, i) => byteLength !== lengths[i])) throw detached();
    return { bytes, buffers };
  }

  /** Until the file is on the disk. fsync(2) */
  fsync(options?: OperationOptions): Promise<void> {
    return this.#run('FSYNC', {}, options);
  }
  /** Until what is needed to read its contents back is on the disk. fdatasync(2) */
  fdatasync(options?: OperationOptions): Promise<void> {
    return this.#run('FSYNC', { op_flags: IORING_FSYNC_DATASYNC }, options);
  }
  /** Starts or awaits the writing of dirty pages, no more: not durable. `flags` are SYNC_FILE_RANGE_; length 0 is to the end. sync_file_range(2) */
  async syncFileRange(offset: number, length: number, flags: number, options?: OperationOptions): Promise<void> {
    // The kernel takes 32 bits of a length: more is to the end, which is more than was asked for and never less.
    const len = whole(length) > 0xffff_ffff ? 0 : length;
    return this.#run('SYNC_FILE_RANGE', { off: whole(offset), len, op_flags: flags }, options);
  }
  /** Room for bytes, holes, zeros: `mode` is FALLOC_FL_ flags. fallocate(2) */
  async fallocate(mode: number, offset: number, length: number, options?: OperationOptions): Promise<void> {
    return this.#run('FALLOCATE', { off: whole(offset), addr: whole(length), len: mode }, options);
  }
  /** Cuts or lengthens: Linux 6.9, EINVAL before. ftruncate(2) */
  async ftruncate(size: number, options?: OperationOptions): Promise<void> {
    return this.#run('FTRUNCATE', { off: whole(size) }, options);
  }
  /** What the program will do with a range; `advice` is one of POSIX_FADV_, length 0 is to the end. posix_fadvise(2) */
  async fadvise(offset: number, length: number, advice: number, options?: OperationOptions): Promise<void> {
    // 64 bits of length stand in `addr` since Linux 6.10, and there was nothing else before than 32 in `len`.
    const wide = whole(length) > 0xffff_ffff;
    const sqe = { off: whole(offset), addr: wide ? length : 0, len: wide ? 0 : length, op_flags: advice };
    return this.#run('FADVISE', sqe, options);
  }

  /** What the file is. Of a direct one, through a descriptor for as long as it takes (Linux 6.8). statx(2) */
  async statx(options?: OperationOptions & { readonly flags?: number }): Promise<UringStat> {
    const { descriptor } = this;
    if (descriptor.closed) throw EBADF;
    const install = { finish: asNumber, unwanted: closeLater };
    const of = descriptor.direct ? await this.#run<number>('FIXED_FD_INSTALL', {}, options, install) : -1;
    try {
      const operation = this.#operations.take(IORING_OP.STATX, asStat);
      operation.fill({
        fd: of < 0 ? descriptor.number : of,
        len: STATX_MASK,
        op_flags: AT_EMPTY_PATH | (options?.flags ?? 0),
      });
      operation.path = '';
      operation.prepare = prepareStat;
      operation.file = descriptor;
      return await this.#operations.start<UringStat>(operation, options);
    } finally {
      if (of >= 0) closeLater(of);
    }
  }

  /** An extended attribute's value. ENODATA where there is none. fgetxattr(2) */
  getxattr(name: string, options?: OperationOptions): Promise<Buffer> {
    return getAttribute((value, sqe) => {
      const held = { value };
      return this.#run<number>('FGETXATTR', sqe, options, { finish: asNumber, held, path2: name });
    });
  }
  /** Sets an extended attribute; `flags`: XATTR_CREATE, XATTR_REPLACE. fsetxattr(2) */
  async setxattr(name: string, value: Uint8Array, flags = 0, options?: OperationOptions): Promise<void> {
    return this.#run('FSETXATTR', attributeSqe(value, flags), options, { held: value, path2: name });
  }

  /**
   * What a pipe, a socket or a terminal gives, as it comes, in chunks of the kernel's choosing up to `size` bytes; of a
   * regular file, what is there from its own position to its end. Ends at the end, or when the file is closed. The
   * chunks are the taker's. One multishot operation with a ring of buffers where the kernel has both (Linux 6.7).
   */
  chunks(options?: ChunkOptions): AsyncGenerator<Buffer, void, undefined> {
    return chunks(this.#operations, this.descriptor, options);
  }

  #run<T = void>(
    opcode: UringOpcode,
    sqe: Sqe,
    options: OperationOptions | undefined,
    more?: FileOperation,
  ): Promise<T> {
    return runOn(this.#operations, opcode, this.descriptor, sqe, options, more);
  }

  /**
   * Waits for the operations in flight on the file, or with `cancel` asks them to end, and closes it. From now on it is
   * EBADF. What the filesystem had put off (EIO, ENOSPC, EDQUOT) may come out here; the file is closed all the same. A
   * direct one is closed without the filesystem's being asked to flush, so such an error comes out of fsync alone.
   */
  async close({ cancel = false }: { readonly cancel?: boolean } = {}): Promise<void> {
    if (this.descriptor.closed) throw EBADF;
    forgotten.unregister(this);
    return closeDescriptor(this.#operations, this.descriptor, cancel);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.descriptor.closed) await this.close();
  }
}

/** What sets an operation on an open file apart. */
interface FileOperation {
  readonly finish?: Finish;
  readonly held?: unknown;
  /** The name of an attribute. */
  readonly path2?: string;
  readonly unwanted?: (result: number) => void;
}

function runOn<T>(
  operations: Operations,
  opcode: UringOpcode,
  file: Descriptor,
  sqe: Sqe,
  options: OperationOptions | undefined,
  { finish = asNothing, held, path2, unwanted }: FileOperation = {},
): Promise<T> {
  if (file.closed) return Promise.reject(EBADF);
  if (path2?.includes('\0')) return Promise.reject(EINVAL);
  const operation = operations.take(IORING_OP[opcode], finish);
  operation.fill(sqe);
  operations.on(operation, file);
  operation.held = held;
  operation.unwanted = unwanted;
  if (path2 !== undefined) {
    operation.path2 = path2;
    operation.prepare = prepareName;
  }
  return operations.start(operation, options);
}

export const asStat: Finish = ({ scratch }) => new UringStat(scratch!.view);

/** Bytes that an attribute's value may have before its size is asked for. */
const USUAL = 256;
/**
 * The value of an attribute, by `get`, which puts it into a buffer: mostly it fits. Where it does not (ERANGE), with
 * size 0 the kernel says how long it is, and meanwhile it may grow again.
 */
export async function getAttribute(get: (value: Buffer, sqe: Sqe) => Promise<number>): Promise<Buffer> {
  let size = USUAL;
  for (;;) {
    const value = Buffer.allocUnsafeSlow(size);
    try {
      return value.subarray(0, await get(value, attributeSqe(value, 0)));
    } catch (error) {
      if (!(error instanceof Errno) || error.errno !== ERANGE.errno || size === XATTR_SIZE_MAX) throw error;
    }
    size = Math.min(Math.max(1, await get(value, { ...attributeSqe(value, 0), len: 0 })), XATTR_SIZE_MAX);
  }
}
export function attributeSqe(value: Uint8Array, flags: number): Sqe {
  return { off: value.byteLength === 0 ? 0 : addressOf(value), len: value.byteLength, op_flags: flags };
}

/** A size or an offset: EINVAL for a negative one, one beyond 2^53, or none at all. */
export function whole(n: number): number {
  if (!(Number.isSafeInteger(n) && n >= 0)) throw EINVAL;
  return n;
}
