/**
 * Where the kernel finds what an operation on a path is told (paths and names, each with a NUL behind it, and struct
 * open_how) and puts what it answers (struct statx). A piece belongs to one operation in flight; then it is for the next,
 * so an operation neither allocates nor asks for an address.
 */
import { isAbsolute } from 'node:path';
import { EINVAL, ENAMETOOLONG } from '../abi/errno.ts';
import { AT_FDCWD, PATH_MAX } from '../abi/posix.ts';
import { addressOf } from '../abi/syscall.ts';
import { encodeName } from '../protocol/names.ts';
import type { Operation } from './operation.ts';
import { STATX_BYTES } from './stat.ts';

/** Two paths, in the kernel's limit and one beyond it: that one is too long is for the kernel to say. */
const BYTES = STATX_BYTES + 2 * (PATH_MAX + 2);

export class Scratch {
  /** Where the struct is, of STATX_BYTES. */
  readonly address: number;
  readonly view: DataView;
  readonly #bytes: Buffer;
  #end = STATX_BYTES;

  constructor() {
    this.#bytes = Buffer.allocUnsafeSlow(BYTES);
    this.address = addressOf(this.#bytes);
    this.view = new DataView(this.#bytes.buffer, 0, STATX_BYTES);
  }

  /** Forgets the paths of the operation before. */
  clear(): void {
    this.#end = STATX_BYTES;
  }

  /** Puts a path or a name behind what is there: its address. ENAMETOOLONG where the kernel would say so. */
  put(path: string): number {
    const name = encodeName(path);
    if (name.length > PATH_MAX) throw ENAMETOOLONG;
    const at = this.#end;
    this.#bytes.set(name, at);
    this.#bytes[at + name.length] = 0;
    this.#end = at + name.length + 1;
    return this.address + at;
  }
}

/** EINVAL for a NUL in a path, at which the kernel would end it. */
export function checkPath(path: string): void {
  if (path.includes('\0')) throw EINVAL;
}

// What is told before an operation is submitted, by the shape of its sqe.

/** One path, or two. */
export function preparePaths(operation: Operation, scratch: Scratch): void {
  operation.addr = scratch.put(operation.path!);
  if (operation.path2 !== undefined) operation.off = scratch.put(operation.path2);
}

/** These calls take no directory: it is told as its descriptor's path. */
export function prepareAttribute(operation: Operation, scratch: Scratch): void {
  const { fd } = operation;
  operation.addr = scratch.put(operation.path2!);
  operation.addr3 = scratch.put(
    fd === AT_FDCWD || isAbsolute(operation.path!) ? operation.path! : `/proc/self/fd/${fd}/${operation.path}`,
  );
  operation.fd = 0;
}

export interface OpenHow {
  readonly flags: number;
  readonly mode: number;
  readonly resolve: number;
}
/** Bytes of struct open_how. */
export const OPEN_HOW = 24;
export function prepareHow(operation: Operation, scratch: Scratch): void {
  const { flags, mode, resolve } = operation.held as OpenHow;
  for (const [i, value] of [flags, mode, resolve].entries()) scratch.view.setBigUint64(8 * i, BigInt(value), true);
  operation.addr = scratch.put(operation.path!);
  operation.off = scratch.address;
}

/** The path, and where the answer goes. */
export function prepareStat(operation: Operation, scratch: Scratch): void {
  operation.addr = scratch.put(operation.path!);
  operation.off = scratch.address;
}

/** The name of an attribute. */
export function prepareName(operation: Operation, scratch: Scratch): void {
  operation.addr = scratch.put(operation.path2!);
}
