/**
 * What comes out of a pipe, a socket or a terminal, chunk by chunk, as it comes: one READ_MULTISHOT that the kernel
 * completes again and again, each time with another buffer of a ring. Where there is no such thing (an older kernel,
 * another engine, a file that is always readable) the same comes by one read after the other.
 *
 * A multishot read of a pipe that was opened without O_NONBLOCK is not told of its end (seen on Linux 6.18). So a poll for
 * the hang-up is beside it; after that what is left is read plainly, to the end.
 */
import { EBADF, EBADFD, EINVAL, ENOBUFS, EOPNOTSUPP, errno } from '../abi/errno.ts';
import { POLLHUP } from '../abi/posix.ts';
import {
  IORING_CQE_BUFFER_SHIFT,
  IORING_CQE_F_BUFFER,
  IORING_CQE_F_MORE,
  IOSQE_BUFFER_SELECT,
  IOSQE_FIXED_FILE,
} from '../abi/uring-constants.ts';
import { BufferRing } from './buffer-ring.ts';
import type { Descriptor } from './descriptor.ts';
import type { Sqe, Ticket } from './engine.ts';
import type { Operations } from './operations.ts';

export interface ChunkOptions {
  /** Bytes of a buffer, the most that a chunk has. Default 65,536, what a pipe holds. */
  readonly size?: number | undefined;
  /** Buffers that may be full at once, a power of two up to 32,768. Default 8. */
  readonly count?: number | undefined;
  /** Aborted, the iteration throws its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** @see UringFile.chunks */
export async function* chunks(
  operations: Operations,
  descriptor: Descriptor,
  { size = 65_536, count = 8, signal }: ChunkOptions = {},
): AsyncGenerator<Buffer, void, undefined> {
  if (!Number.isInteger(size) || size < 1 || size > 0x7fff_ffff) throw new RangeError(`size is ${size}`);
  if (!Number.isInteger(count) || count < 1 || count > 32_768 || count & (count - 1))
    throw new RangeError(`count is ${count}: a power of two from 1 to 32,768 is needed`);
  if (descriptor.closed) throw EBADF;
  signal?.throwIfAborted();
  const over = new AbortController();
  const abort = () => over.abort(signal!.reason);
  const stream = { descriptor, end: () => over.abort(ENDED) };
  signal?.addEventListener('abort', abort);
  operations.streams.add(stream);
  try {
    if (!(yield* multishot(operations, descriptor, size, count, over.signal)))
      yield* oneByOne(operations, descriptor, size, over.signal);
  } catch (error) {
    if (error !== ENDED) throw error;
  } finally {
    operations.streams.delete(stream);
    signal?.removeEventListener('abort', abort);
  }
}
/** Why an iteration is over whose file is closed. */
const ENDED = new Error('the file was closed');

async function* oneByOne(operations: Operations, descriptor: Descriptor, size: number, signal: AbortSignal) {
  for (;;) {
    signal.throwIfAborted();
    const buffer = Buffer.allocUnsafeSlow(size);
    const { bytes } = await operations.transfer('READ', descriptor, buffer, 0, size, null, { signal });
    if (bytes === 0) return;
    yield bytes > size / 2 ? buffer.subarray(0, bytes) : Buffer.from(buffer.subarray(0, bytes));
  }
}

/** What a multishot read says when the file or the kernel has none. */
const NONE: ReadonlySet<number> = new Set([EBADFD, EINVAL, EOPNOTSUPP].map(({ errno }) => -errno));

/** Whether the end was seen. */
async function* multishot(
  operations: Operations,
  descriptor: Descriptor,
  size: number,
  count: number,
  signal: AbortSignal,
): AsyncGenerator<Buffer, boolean, undefined> {
  const { engine } = operations;
  const ring = BufferRing.make(engine, count, size);
  if (ring === undefined) return false;
  const on: Sqe = descriptor.slot < 0 ? { fd: descriptor.fd } : { fd: descriptor.slot, flags: IOSQE_FIXED_FILE };
  const filled: { id: number; bytes: number }[] = [];
  let reading: Ticket | undefined;
  let polling: Ticket | undefined;
  let result = 1; // what the read ended with: more is to come
  let hungUp = false;
  let wake = () => {};
  const woken = () =>
    new Promise<void>((resolve) => {
      wake = resolve;
    });
  const read = () => {
    result = 1;
    const sqe = { ...on, off: -1, buf_index: ring.group, flags: (on.flags ?? 0) | IOSQE_BUFFER_SELECT };
    reading = engine.submit('READ_MULTISHOT', sqe, (res, flags) => {
      if (!(flags & IORING_CQE_F_MORE)) reading = undefined;
      if (flags & IORING_CQE_F_BUFFER && res > 0) filled.push({ id: flags >>> IORING_CQE_BUFFER_SHIFT, bytes: res });
      else if (flags & IORING_CQE_F_BUFFER) ring.give(flags >>> IORING_CQE_BUFFER_SHIFT);
      if (res <= 0) result = res;
      wake();
    });
  };
  const aborted = () => wake();
  signal.addEventListener('abort', aborted);
  descriptor.acquire();
  try {
    polling = engine.submit('POLL_ADD', { ...on, op_flags: POLLHUP }, (res) => {
      polling = undefined;
      hungUp = res > 0;
      wake();
    });
    for (;;) {
      for (let each = filled.shift(); each !== undefined; each = filled.shift()) {
        const chunk = ring.copy(each.id, each.bytes);
        ring.give(each.id);
        yield chunk;
      }
      signal.throwIfAborted();
      if (result === 0) return true;
      if (NONE.has(result) || (hungUp && reading === undefined)) return false;
      if (hungUp) engine.cancel(reading!);
      else if (result < 0 && result !== -ENOBUFS.errno) throw errno(-result);
      else if (reading === undefined) read();
      await woken();
    }
  } finally {
    signal.removeEventListener('abort', aborted);
    if (reading) engine.cancel(reading);
    if (polling) engine.cancel(polling);
    while (reading || polling) await woken();
    ring.free();
    descriptor.release();
  }
}
