/**
 * Files over a ring, as promises: each operation is one opcode of io_uring, done by the kernel without a thread of ours.
 *
 * Memory that the kernel was given belongs to the operation until its completion has arrived, whatever became of the
 * promise: a cancelled one rejects at once, but its buffer, path and result are held on to (`abandoned` counts them), and
 * a file that is opened after all is closed. A buffer comes back in the result; until then it is not to be touched.
 *
 * A path operation takes a directory to start from, and paths are bytes as everywhere here (see protocol/names.ts).
 * Errors are errnos. A closed file is EBADF here, and its descriptor is never used again: it may be another's by then.
 */
import { close } from 'node:fs';
import { EBADF, ECANCELED, EINVAL, EOVERFLOW, errno } from '../abi/errno.ts';
import { fuse_statx } from '../abi/fuse.ts';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  O_CLOEXEC,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  STATX_BASIC_STATS,
  STATX_BTIME,
} from '../abi/posix.ts';
import { addressOf } from '../abi/syscall.ts';
import { IORING_FSYNC_DATASYNC, type UringOpcode } from '../abi/uring-constants.ts';
import { encodeName } from '../protocol/names.ts';
import type { Sqe } from './engine.ts';
import { Ring } from './ring.ts';
import type { RingOptions } from './setup.ts';

/** What every operation takes. */
export interface OperationOptions {
  /** Aborted, the operation is cancelled and its promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}
export interface PathOptions extends OperationOptions {
  /** The directory that a relative path starts from. Default: the working directory. */
  readonly dir?: UringFile | undefined;
}

/** A read or write: how much was done, and the buffer that was lent. */
export interface Transferred<B extends Uint8Array> {
  readonly bytes: number;
  readonly buffer: B;
}

/** The kernel does no more in one operation; more is done in parts by readExactly and writeAll. @see MAX_RW_COUNT */
const TRANSFER_MOST = 0x7fff_f000;

/** What a file is, as statx(2) has it. Times have seconds and nanoseconds. */
export class UringStat {
  readonly statx: ReturnType<typeof fuse_statx.decode>;
  constructor(bytes: Buffer) {
    this.statx = fuse_statx.decode(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0);
  }
  get size(): number {
    return this.statx.size;
  }
  /** Type and permissions. */
  get mode(): number {
    return this.statx.mode;
  }
  isFile(): boolean {
    return (this.mode & S_IFMT) === S_IFREG;
  }
  isDirectory(): boolean {
    return (this.mode & S_IFMT) === S_IFDIR;
  }
  isSymbolicLink(): boolean {
    return (this.mode & S_IFMT) === S_IFLNK;
  }
}

/** What is held until the completion, and what is to be done with a result that nobody waits for any more. */
interface Holding extends OperationOptions {
  readonly held?: readonly unknown[];
  readonly unwanted?: (result: number) => void;
}

export class UringFiles implements AsyncDisposable {
  readonly #options: RingOptions;
  #ring: Ring | undefined;
  #abandoned = 0;
  #closed = false;

  constructor(options: RingOptions = {}) {
    this.#options = options;
  }

  /** Built when the first operation needs it. UringError where there is none to be had. */
  get ring(): Ring {
    if (this.#closed) throw ECANCELED;
    this.#ring ??= new Ring(this.#options);
    return this.#ring;
  }
  /** Operations that were cancelled and have not completed: what they hold is still the kernel's. */
  get abandoned(): number {
    return this.#abandoned;
  }

  /** open(2); `flags` are O_ flags, `mode` is for a file that is made. Descriptors are close-on-exec. */
  async open(path: string, flags: number, { mode = 0o666, ...options }: PathOptions & { mode?: number } = {}) {
    const at = bytesOf(path);
    const sqe = { fd: dirOf(options), addr: addressOf(at), len: mode, op_flags: flags | O_CLOEXEC };
    const fd = await this.run('OPENAT', sqe, { ...options, held: [at], unwanted: closeLater });
    return new UringFile(this, fd);
  }
  /** openat2(2): as `open`, with RESOLVE_ flags that keep the path where it belongs. */
  async openat2(
    path: string,
    { flags, mode = 0, resolve = 0 }: { flags: number; mode?: number; resolve?: number },
    options: PathOptions = {},
  ): Promise<UringFile> {
    const at = bytesOf(path);
    const how = Buffer.alloc(OPEN_HOW);
    how.writeBigUInt64LE(BigInt(flags | O_CLOEXEC), 0);
    how.writeBigUInt64LE(BigInt(mode), 8);
    how.writeBigUInt64LE(BigInt(resolve), 16);
    const sqe = { fd: dirOf(options), addr: addressOf(at), len: OPEN_HOW, off: addressOf(how) };
    const fd = await this.run('OPENAT2', sqe, { ...options, held: [at, how], unwanted: closeLater });
    return new UringFile(this, fd);
  }

  /** statx(2) of a path; of the symlink itself with `follow` false. */
  async statx(
    path: string,
    { follow = true, ...options }: PathOptions & { follow?: boolean } = {},
  ): Promise<UringStat> {
    return this.statxAt(dirOf(options), path, follow ? 0 : AT_SYMLINK_NOFOLLOW, options);
  }
  /** @internal */
  async statxAt(fd: number, path: string, flags: number, options: OperationOptions): Promise<UringStat> {
    const at = bytesOf(path);
    const into = Buffer.alloc(fuse_statx.size);
    const mask = STATX_BASIC_STATS | STATX_BTIME;
    const sqe = { fd, addr: addressOf(at), len: mask, op_flags: flags, off: addressOf(into) };
    await this.run('STATX', sqe, { ...options, held: [at, into] });
    return new UringStat(into);
  }

  /** renameat2(2); `flags` are RENAME_ flags. `todir` is where the new path starts from, by default `dir`. */
  rename(
    from: string,
    to: string,
    { flags = 0, todir, ...options }: PathOptions & { flags?: number; todir?: UringFile } = {},
  ) {
    return this.#twoPaths(
      'RENAMEAT',
      from,
      to,
      { fd: dirOf(options), len: todir?.fd ?? dirOf(options), op_flags: flags },
      options,
    );
  }
  /** A hard link. link(2) */
  link(existing: string, path: string, options: PathOptions = {}) {
    return this.#twoPaths('LINKAT', existing, path, { fd: dirOf(options), len: dirOf(options) }, options);
  }
  /** symlink(2) */
  symlink(target: string, path: string, options: PathOptions = {}) {
    return this.#twoPaths('SYMLINKAT', target, path, { fd: dirOf(options) }, options);
  }
  async #twoPaths(opcode: UringOpcode, one: string, other: string, sqe: Sqe, options: OperationOptions): Promise<void> {
    const held = [bytesOf(one), bytesOf(other)] as const;
    await this.run(opcode, { ...sqe, addr: addressOf(held[0]), off: addressOf(held[1]) }, { ...options, held });
  }

  unlink(path: string, options: PathOptions = {}): Promise<void> {
    return this.#path('UNLINKAT', path, {}, options);
  }
  rmdir(path: string, options: PathOptions = {}): Promise<void> {
    return this.#path('UNLINKAT', path, { op_flags: AT_REMOVEDIR }, options);
  }
  mkdir(path: string, { mode = 0o777, ...options }: PathOptions & { mode?: number } = {}): Promise<void> {
    return this.#path('MKDIRAT', path, { len: mode }, options);
  }
  async #path(opcode: UringOpcode, path: string, sqe: Sqe, options: PathOptions): Promise<void> {
    const at = bytesOf(path);
    await this.run(opcode, { fd: dirOf(options), addr: addressOf(at), ...sqe }, { ...options, held: [at] });
  }

  /** Any operation: its result, or its errno thrown. `held` lives until the completion. */
  run(opcode: UringOpcode | number, sqe: Sqe, { signal, held, unwanted }: Holding = {}): Promise<number> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const completed = (result: number) => {
        signal?.removeEventListener('abort', aborted);
        void held; // until here
        if (result >= 0) resolve(result);
        else reject(errno(-result));
      };
      const aborted = () => {
        this.#abandoned++;
        this.ring.disown(ticket, (result) => {
          this.#abandoned--;
          void held;
          if (result >= 0) unwanted?.(result);
        });
        this.ring.cancel(ticket);
        reject(signal!.reason);
      };
      const ticket = this.ring.submit(opcode, sqe, completed);
      signal?.addEventListener('abort', aborted, { once: true });
    });
  }

  /** Cancels what is in flight, and gives the ring back when all of it has completed. Open files stay open until they are closed. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#ring?.close();
  }
  get closed(): boolean {
    return this.#closed;
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Open files that were collected: a mistake of the program, which is told, and a descriptor, which is closed. */
const forgotten = new FinalizationRegistry<number>((fd) => {
  process.emitWarning(`a UringFile was collected while it was open; its descriptor ${fd} is closed now`);
  closeLater(fd);
});

/** An open file. */
export class UringFile implements AsyncDisposable {
  readonly #files: UringFiles;
  #fd: number;
  #busy = 0;
  #idle: (() => void) | undefined;

  /** @internal */
  constructor(files: UringFiles, fd: number) {
    this.#files = files;
    this.#fd = fd;
    forgotten.register(this, fd, this);
  }

  /** The descriptor. EBADF where it is closed. */
  get fd(): number {
    if (this.#fd < 0) throw EBADF;
    return this.#fd;
  }

  /** Reads at most as many bytes as `buffer` has, at `offset`: fewer, or none, at the end of the file. pread(2) */
  async read<B extends Uint8Array>(buffer: B, offset: number, options: OperationOptions = {}): Promise<Transferred<B>> {
    return this.#transfer('READ', buffer, offset, options);
  }
  /** Writes at `offset`: how many bytes, perhaps fewer than there are. pwrite(2) */
  async write<B extends Uint8Array>(
    buffer: B,
    offset: number,
    options: OperationOptions = {},
  ): Promise<Transferred<B>> {
    return this.#transfer('WRITE', buffer, offset, options);
  }
  /** Reads until `buffer` is full or the file ends: `bytes` says which. */
  readExactly<B extends Uint8Array>(
    buffer: B,
    offset: number,
    options: OperationOptions = {},
  ): Promise<Transferred<B>> {
    return this.#whole('READ', buffer, offset, options);
  }
  /** Writes all of `buffer`. */
  writeAll<B extends Uint8Array>(buffer: B, offset: number, options: OperationOptions = {}): Promise<Transferred<B>> {
    return this.#whole('WRITE', buffer, offset, options);
  }

  async #whole<B extends Uint8Array>(opcode: 'READ' | 'WRITE', buffer: B, offset: number, options: OperationOptions) {
    let done = 0;
    while (done < buffer.length) {
      const { bytes } = await this.#transfer(opcode, buffer.subarray(done), offset + done, options);
      if (bytes === 0) break;
      done += bytes;
    }
    return { bytes: done, buffer };
  }

  async #transfer<B extends Uint8Array>(
    opcode: 'READ' | 'WRITE',
    buffer: B,
    offset: number,
    options: OperationOptions,
  ): Promise<Transferred<B>> {
    if (!Number.isSafeInteger(offset) || offset < 0) throw EINVAL;
    if (offset + buffer.length > Number.MAX_SAFE_INTEGER) throw EOVERFLOW;
    const { byteLength } = buffer;
    if (byteLength === 0) return { bytes: 0, buffer };
    const sqe = { fd: this.fd, addr: addressOf(buffer), len: Math.min(byteLength, TRANSFER_MOST), off: offset };
    const bytes = await this.#run(opcode, sqe, { ...options, held: [buffer] });
    // The kernel had the memory as it was. Whoever took it away meanwhile is told that this buffer has nothing of it.
    if (buffer.byteLength !== byteLength) throw new TypeError('the buffer was detached or resized while it was lent');
    return { bytes, buffer };
  }

  /** fsync(2) */
  async fsync(options: OperationOptions = {}): Promise<void> {
    await this.#run('FSYNC', { fd: this.fd }, options);
  }
  /** fdatasync(2) */
  async fdatasync(options: OperationOptions = {}): Promise<void> {
    await this.#run('FSYNC', { fd: this.fd, op_flags: IORING_FSYNC_DATASYNC }, options);
  }
  /** fallocate(2); `mode` FALLOC_FL_ flags. */
  async fallocate(mode: number, offset: number, length: number, options: OperationOptions = {}): Promise<void> {
    await this.#run('FALLOCATE', { fd: this.fd, off: offset, addr: length, len: mode }, options);
  }
  /** ftruncate(2): Linux 6.9. */
  async ftruncate(size: number, options: OperationOptions = {}): Promise<void> {
    await this.#run('FTRUNCATE', { fd: this.fd, off: size }, options);
  }
  statx(options: OperationOptions = {}): Promise<UringStat> {
    return this.#while(this.#files.statxAt(this.fd, '', AT_EMPTY_PATH, options));
  }

  #run(opcode: UringOpcode, sqe: Sqe, holding: Holding): Promise<number> {
    return this.#while(this.#files.run(opcode, sqe, holding));
  }
  async #while<T>(operation: Promise<T>): Promise<T> {
    this.#busy++;
    try {
      return await operation;
    } finally {
      if (--this.#busy === 0) this.#idle?.();
    }
  }

  /** Waits for the operations in flight on the file, and closes it. From now on it is EBADF. */
  async close(): Promise<void> {
    const { fd } = this;
    this.#fd = -1;
    forgotten.unregister(this);
    if (this.#busy > 0)
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    if (this.#files.closed) closeLater(fd);
    else await this.#files.run('CLOSE', { fd });
  }
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#fd >= 0) await this.close();
  }
}

/** Closes where nobody waits for it. Not at once: to close a file of a mount that this thread serves waits for this thread. */
const closeLater = (fd: number): void => close(fd, () => {});

/** struct open_how */
const OPEN_HOW = 24;
const dirOf = ({ dir }: PathOptions): number => dir?.fd ?? AT_FDCWD;

/** A path as the kernel takes it. EINVAL for a NUL in it, at which the kernel would end it. */
function bytesOf(path: string): Buffer {
  if (path.includes('\0')) throw EINVAL;
  const name = encodeName(path);
  const bytes = Buffer.allocUnsafeSlow(name.length + 1);
  bytes.set(name);
  bytes[name.length] = 0;
  return bytes;
}
