/**
 * Extended attributes, ACLs and capabilities among them: those of the lower file, by its path in /proc, which a descriptor
 * of O_PATH has too.
 */
import { getxattr, listxattr, removexattr, setxattr } from '../../abi/files.ts';
import { done, type Scratch } from './scratch.ts';

const TRUSTED = 'trusted.';
export const ACCESS_ACL = 'system.posix_acl_access';
export const DEFAULT_ACL = 'system.posix_acl_default';

export class LowerXattrs {
  readonly #scratch: Scratch;

  constructor(scratch: Scratch) {
    this.#scratch = scratch;
  }

  set(fd: number, name: string, value: Uint8Array, flags: number): void {
    const attribute = this.#scratch.text(name);
    done(setxattr(this.#scratch.proc(fd), attribute, value, flags));
  }
  /** The value into `reply`, and its size; with a size of 0 that alone. */
  get(fd: number, name: string, reply: Uint8Array, size: number): number {
    const attribute = this.#scratch.text(name);
    return done(getxattr(this.#scratch.proc(fd), attribute, reply, size));
  }
  has(fd: number, name: string): boolean {
    return getxattr(this.#scratch.proc(fd), this.#scratch.text(name), this.#scratch.list, 0) >= 0;
  }
  remove(fd: number, name: string): void {
    const attribute = this.#scratch.text(name);
    done(removexattr(this.#scratch.proc(fd), attribute));
  }

  /** The names. `trusted` ones are root's to know of, and the kernel above does not take them out. */
  list(fd: number, trusted: boolean): Uint8Array {
    const { list } = this.#scratch;
    const length = done(listxattr(this.#scratch.proc(fd), list, list.length));
    if (trusted) return list.subarray(0, length);
    let kept = 0;
    for (let at = 0; at < length; ) {
      const next = list.indexOf(0, at) + 1;
      if (list.latin1Slice(at, at + TRUSTED.length) !== TRUSTED) {
        list.copyWithin(kept, at, next);
        kept += next - at;
      }
      at = next;
    }
    return list.subarray(0, kept);
  }
}
