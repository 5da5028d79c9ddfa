/**
 * Files over io_uring, as promises: each operation is one opcode, done by the kernel without a thread of ours. Where
 * there is no io_uring, threads carry the same operations out, with the same results.
 *
 * Memory that the kernel was given belongs to the operation until its completion has arrived, whatever became of the
 * promise: a cancelled one rejects at once, but its buffer, path and result are held on to (`abandoned` counts them), and
 * a file that is opened after all is closed. A buffer comes back in the result; until then it is not to be touched.
 *
 * A path operation takes a directory to start from, and paths are bytes as everywhere here (see protocol/names.ts).
 * Errors are errnos. io_uring has no opcode that lists a directory, reads a symlink or changes owner, permissions or times.
 *
 * A thread that serves a mount and works in that mount needs `offload`: else the kernel may wait for the answer in the
 * very call by which this thread submits (it does so in open, and in reading and writing), and nobody is left to give it.
 */

import { EBADF, EBUSY, EMFILE, EOPNOTSUPP } from '../abi/errno.ts';
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_FOLLOW,
  AT_SYMLINK_NOFOLLOW,
  O_CLOEXEC,
  O_CREAT,
  O_TRUNC,
  O_WRONLY,
} from '../abi/posix.ts';
import { addressOf } from '../abi/syscall.ts';
import {
  IORING_FILE_INDEX_ALLOC,
  IORING_OP,
  IORING_REGISTER_BUFFERS,
  IORING_REGISTER_PERSONALITY,
  IORING_UNREGISTER_BUFFERS,
  IORING_UNREGISTER_PERSONALITY,
  type UringOpcode,
} from '../abi/uring-constants.ts';
import { closeLater, Descriptor } from './descriptor.ts';
import type { Engine, Sqe } from './engine.ts';
import { asStat, attributeSqe, getAttribute, STATX_MASK, UringFile, whole } from './file.ts';
import { asNothing, asNumber, type Finish, type OperationOptions, type Prepare, TRANSFER_MOST } from './operation.ts';
import { Operations } from './operations.ts';
import { checkPath, OPEN_HOW, type OpenHow, prepareAttribute, prepareHow, preparePaths, prepareStat } from './paths.ts';
import { checkSlots } from './registered.ts';
import { Ring } from './ring.ts';
import { type RingOptions, UringError } from './setup.ts';
import type { UringStat } from './stat.ts';
import { ThreadsEngine } from './threads.ts';

export interface UringFilesOptions extends RingOptions {
  /** What carries the operations out. Default: a ring of its own, made at the first operation; threads where there is none to be had. */
  readonly engine?: Engine | undefined;
  /** Files open at once: further opens wait until one is closed. Default 64. */
  readonly maxFiles?: number | undefined;
  /** Operations in flight at once: more wait for their turn, in order. Default 256. */
  readonly maxInFlight?: number | undefined;
  /** False: what would have to wait fails instead, an open with EMFILE, an operation with EAGAIN. Default true. */
  readonly wait?: boolean | undefined;
  /** Files that the ring keeps registered, of those that are used most; 0 for none. Default 64. */
  readonly registeredFiles?: number | undefined;
  /** Every operation goes to a thread of the kernel's at once (IOSQE_ASYNC): slower, and needed where this thread serves the mount that it works in. Default false. */
  readonly offload?: boolean | undefined;
}

export interface PathOptions extends OperationOptions {
  /** The directory that a relative path starts from. Default: the working directory. */
  readonly dir?: UringFile | undefined;
}
export interface OpenOptions extends PathOptions {
  /** Permissions of a file that is made, less the umask. Default 0o666. */
  readonly mode?: number | undefined;
  /**
   * The file gets no descriptor, only a number of the ring's: nothing else of the process sees it, and it can't be a `dir`.
   * It is closed without the filesystem's being asked to flush. Where the engine has no such numbers it is an ordinary one.
   */
  readonly direct?: boolean | undefined;
}
export interface TwoPathsOptions extends PathOptions {
  /** Where the second path starts from. Default: `dir`. */
  readonly todir?: UringFile | undefined;
}
export interface SpliceOptions extends OperationOptions {
  /** Where to read, and to write; null, the default, is the file's own position, and the only place of a pipe. */
  readonly from?: number | null | undefined;
  readonly to?: number | null | undefined;
  /** SPLICE_F_ flags. */
  readonly flags?: number | undefined;
}

export class UringFiles implements AsyncDisposable {
  readonly #operations: Operations;
  readonly #own: boolean;

  /** RangeError for limits that are none. */
  constructor({
    engine,
    maxFiles = 64,
    maxInFlight = 256,
    wait = true,
    registeredFiles = 64,
    offload = false,
    ...ring
  }: UringFilesOptions = {}) {
    checkSlots(registeredFiles);
    this.#own = engine === undefined;
    const makeEngine = () => engine ?? ringOrThreads(ring);
    this.#operations = new Operations({ makeEngine, maxFiles, maxInFlight, registeredFiles, wait, offload });
  }

  /** What carries the operations out: made when the first needs it. UringError where there is none to be had. */
  get engine(): Engine {
    return this.#operations.engine;
  }
  /** Operations that were cancelled and have not completed: what they hold is still the kernel's. */
  get abandoned(): number {
    return this.#operations.abandoned;
  }
  /** Operations in flight, abandoned ones included. */
  get inFlight(): number {
    return this.#operations.inFlight;
  }
  /** Operations that wait for their turn. */
  get waiting(): number {
    return this.#operations.waiting;
  }
  /** Files that are open, or about to be. */
  get openFiles(): number {
    return this.#operations.open.used;
  }
  /** Calls of io_uring_register(2) that registered files have cost. */
  get registerCalls(): number {
    return this.#operations.made ? (this.#operations.files?.calls ?? 0) : 0;
  }

  /** open(2); `flags` are O_ flags. A descriptor is close-on-exec. */
  open(path: string, flags: number, options: OpenOptions = {}): Promise<UringFile> {
    return this.#open(path, flags, options);
  }
  /** Makes a file, or empties the one that is there, to be written. creat(2) */
  create(path: string, options: OpenOptions = {}): Promise<UringFile> {
    return this.open(path, O_CREAT | O_WRONLY | O_TRUNC, options);
  }
  /** openat2(2): as `open`, with RESOLVE_ flags that keep the path where it belongs. Without `mode`, 0. */
  openat2(
    path: string,
    { flags, mode = 0, resolve = 0 }: { readonly flags: number; readonly mode?: number; readonly resolve?: number },
    options: Omit<OpenOptions, 'mode'> = {},
  ): Promise<UringFile> {
    return this.#open(path, flags, options, { flags, mode, resolve });
  }
  #open(path: string, flags: number, options: OpenOptions, how?: OpenHow): Promise<UringFile> {
    let direct = false;
    try {
      direct = options.direct === true && this.#operations.files?.takesDirect() === true;
    } catch (error) {
      return Promise.reject(error);
    }
    const cloexec = direct ? 0 : O_CLOEXEC; // which the kernel refuses for what is no descriptor
    const [sqe, prepare] = how
      ? [{ len: OPEN_HOW }, prepareHow]
      : [{ len: options.mode ?? 0o666, op_flags: flags | cloexec }, preparePaths];
    const file_index = direct ? IORING_FILE_INDEX_ALLOC : 0;
    return this.#path(how ? 'OPENAT2' : 'OPENAT', path, { ...sqe, file_index }, options, {
      prepare,
      held: how && { ...how, flags: flags | cloexec },
      opens: true,
      finish: direct ? this.#openedDirect : this.#opened,
      unwanted: direct ? this.#unwantedDirect : this.#unwanted,
    });
  }
  readonly #opened: Finish = (_, fd) => new UringFile(this.#operations, new Descriptor(fd, -1));
  readonly #openedDirect: Finish = (_, slot) => new UringFile(this.#operations, new Descriptor(-1, slot));
  /** A file that was opened after all. */
  readonly #unwanted = (fd: number): void => {
    closeLater(fd);
    this.#operations.open.give();
  };
  readonly #unwantedDirect = (slot: number): void => {
    const give = () => this.#operations.open.give();
    if (this.#operations.closed) return give(); // the ring closes it
    const close = this.#operations.take(IORING_OP.CLOSE, asNothing);
    close.fill({ file_index: slot + 1 });
    this.#operations.start<void>(close, undefined, true).then(give, give);
  };
  /** A descriptor that came from elsewhere, as an open file: it is this library's to close from now on. EMFILE where `maxFiles` are open. */
  adopt(fd: number): UringFile {
    const descriptor = new Descriptor(whole(fd), -1);
    if (!this.#operations.open.take()) throw EMFILE;
    return new UringFile(this.#operations, descriptor);
  }

  /** statx(2) of a path; of a symlink itself with `follow` false. `flags`: AT_STATX_ flags, for what is on a network. */
  statx(
    path: string,
    options: PathOptions & { readonly follow?: boolean | undefined; readonly flags?: number | undefined } = {},
  ): Promise<UringStat> {
    const op_flags = (options.follow === false ? AT_SYMLINK_NOFOLLOW : 0) | (options.flags ?? 0);
    return this.#path('STATX', path, { len: STATX_MASK, op_flags }, options, { prepare: prepareStat, finish: asStat });
  }

  /** renameat2(2); `flags` are RENAME_ flags. */
  rename(from: string, to: string, options: TwoPathsOptions & { readonly flags?: number | undefined } = {}) {
    return this.#path('RENAMEAT', from, { op_flags: options.flags ?? 0 }, options, { path2: to });
  }
  /** A hard link at `path`; to what a symlink names with `follow`, else to the symlink itself. linkat(2) */
  link(existing: string, path: string, options: TwoPathsOptions & { readonly follow?: boolean | undefined } = {}) {
    const sqe = { op_flags: options.follow ? AT_SYMLINK_FOLLOW : 0 };
    return this.#path('LINKAT', existing, sqe, options, { path2: path });
  }
  /** A symlink at `path` that says `target`. symlinkat(2) */
  symlink(target: string, path: string, options: PathOptions = {}) {
    return this.#path('SYMLINKAT', target, {}, options, { path2: path });
  }
  /** unlinkat(2) */
  unlink(path: string, options: PathOptions = {}) {
    return this.#path('UNLINKAT', path, {}, options);
  }
  /** Removes a directory, which must be empty. unlinkat(2) */
  rmdir(path: string, options: PathOptions = {}) {
    return this.#path('UNLINKAT', path, { op_flags: AT_REMOVEDIR }, options);
  }
  /** mkdirat(2); `mode` less the umask, default 0o777. */
  mkdir(path: string, options: PathOptions & { readonly mode?: number | undefined } = {}) {
    return this.#path('MKDIRAT', path, { len: options.mode ?? 0o777 }, options);
  }

  /** An extended attribute's value, of what a symlink names. ENODATA where there is none. getxattr(2) */
  getxattr(path: string, name: string, options: PathOptions = {}): Promise<Buffer> {
    return getAttribute((value, sqe) => {
      const more = { path2: name, prepare: prepareAttribute, finish: asNumber, held: value };
      return this.#path<number>('GETXATTR', path, sqe, options, more);
    });
  }
  /** Sets an extended attribute; `flags`: XATTR_CREATE, XATTR_REPLACE. setxattr(2) */
  async setxattr(path: string, name: string, value: Uint8Array, flags = 0, options: PathOptions = {}): Promise<void> {
    const more = { path2: name, prepare: prepareAttribute, held: value };
    return this.#path('SETXATTR', path, attributeSqe(value, flags), options, more);
  }

  /** Moves bytes from one file to another, one of which is a pipe, without copying them: how many. splice(2) */
  async splice(source: UringFile, sink: UringFile, length: number, options: SpliceOptions = {}): Promise<number> {
    const [from, to] = [source.descriptor, sink.descriptor];
    if (from.closed || to.closed) throw EBADF;
    const operation = this.#operations.take(IORING_OP.SPLICE, asNumber);
    const off = options.to == null ? -1 : whole(options.to);
    const addr = options.from == null ? -1 : whole(options.from);
    const op_flags = (options.flags ?? 0) | (from.slot < 0 ? 0 : SPLICE_F_FD_IN_FIXED);
    const file_index = from.slot < 0 ? from.fd : from.slot;
    operation.fill({ off, addr, len: Math.min(whole(length), TRANSFER_MOST), op_flags, file_index });
    this.#operations.on(operation, to);
    operation.other = from;
    return this.#operations.start(operation, options);
  }

  /**
   * Registers buffers: the kernel looks their pages up once, and all reads and writes within one of them are fixed ones from
   * now on. All of them or none: EBUSY while others are, ENOMEM beyond RLIMIT_MEMLOCK, EFAULT for one beyond 1 GiB,
   * RangeError for one of no bytes, which the kernel would take for a gap. Where the engine has no such thing they are used
   * as any other.
   */
  registerBuffers(buffers: readonly Uint8Array[]): void {
    const { engine, buffers: known } = this.#operations;
    if (known.registered.length > 0) throw EBUSY;
    if (buffers.some(({ byteLength }) => byteLength === 0)) throw new RangeError('a buffer of no bytes is none');
    if (engine.register) {
      const vectors = Buffer.alloc(16 * buffers.length); // struct iovec
      for (const [i, address] of known.addresses(buffers).entries()) {
        vectors.writeBigUInt64LE(BigInt(address), 16 * i);
        vectors.writeBigUInt64LE(BigInt(buffers[i]!.byteLength), 16 * i + 8);
      }
      engine.register(IORING_REGISTER_BUFFERS, addressOf(vectors), buffers.length);
    }
    known.register(buffers, engine.register !== undefined);
  }
  /** Lets the registered buffers go; what is in flight on them goes on. */
  unregisterBuffers(): void {
    const { engine, buffers } = this.#operations;
    if (buffers.registered.length > 0) engine.register?.(IORING_UNREGISTER_BUFFERS, 0, 0);
    buffers.register([], false);
  }

  /** Keeps who this process is now (ids, capabilities) under a number, for operations to be done as: EOPNOTSUPP where the engine can't. */
  registerPersonality(): number {
    if (!this.engine.register) throw EOPNOTSUPP;
    return this.engine.register(IORING_REGISTER_PERSONALITY, 0, 0);
  }
  unregisterPersonality(personality: number): void {
    this.engine.register?.(IORING_UNREGISTER_PERSONALITY, 0, personality);
  }

  /** An operation on a path. */
  #path<T = void>(
    opcode: UringOpcode,
    path: string,
    sqe: Sqe,
    options: TwoPathsOptions,
    { path2, finish = asNothing, prepare = preparePaths, held, opens = false, unwanted }: PathOperation = {},
  ): Promise<T> {
    const { dir, todir = dir } = options;
    try {
      checkPath(path);
      if (path2 !== undefined) checkPath(path2);
      const operation = this.#operations.take(IORING_OP[opcode], finish);
      operation.fill(sqe);
      operation.fd = dir?.fd ?? AT_FDCWD;
      if (opcode === 'RENAMEAT' || opcode === 'LINKAT') operation.len = todir?.fd ?? AT_FDCWD;
      operation.path = path;
      operation.path2 = path2;
      operation.file = dir?.descriptor;
      operation.other = todir?.descriptor;
      operation.prepare = prepare;
      operation.held = held;
      operation.opens = opens;
      operation.unwanted = unwanted;
      return this.#operations.start(operation, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Cancels what is in flight, waits for its completions, and gives the ring back; an engine that was given stays. Open
   * files stay open until they are closed, direct ones end with the ring.
   */
  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }
  async #end(): Promise<void> {
    await this.#operations.close(this.#own);
    if (!this.#own && this.#operations.made) this.unregisterBuffers();
  }
  #closing: Promise<void> | undefined;
  get closed(): boolean {
    return this.#operations.closed;
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** What sets an operation on a path apart. */
interface PathOperation {
  readonly path2?: string | undefined;
  readonly finish?: Finish | undefined;
  readonly prepare?: Prepare | undefined;
  readonly held?: unknown;
  readonly opens?: boolean | undefined;
  readonly unwanted?: ((result: number) => void) | undefined;
}

/** io_uring's own flag of SPLICE: the descriptor to read from is a registered one. */
const SPLICE_F_FD_IN_FIXED = 0x8000_0000;

function ringOrThreads(options: RingOptions): Engine {
  try {
    return new Ring(options);
  } catch (error) {
    if (error instanceof UringError) return new ThreadsEngine();
    throw error;
  }
}
