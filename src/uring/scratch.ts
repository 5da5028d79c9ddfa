/**
 * Where the kernel finds what an operation on a path is told (paths and names, each with a NUL behind it, and struct
 * open_how) and puts what it answers (struct statx). A piece belongs to one operation in flight; then it is for the next,
 * so an operation neither allocates nor asks for an address.
 */
import { EINVAL, ENAMETOOLONG } from '../abi/errno.ts';
import { PATH_MAX } from '../abi/posix.ts';
import { addressOf } from '../abi/syscall.ts';
import { encodeName } from '../protocol/names.ts';
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
