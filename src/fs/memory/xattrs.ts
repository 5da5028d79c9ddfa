/**
 * The extended attributes of one file, of all namespaces. The two that hold POSIX ACLs are kept like the others:
 * what they mean is the affair of access.ts.
 */
import { EEXIST, EINVAL, ENODATA, EOPNOTSUPP } from '../../abi/errno.ts';
import { XATTR_CREATE, XATTR_REPLACE } from '../../abi/posix.ts';
import { encodeName } from '../../protocol/names.ts';
import type { XattrStore } from './access.ts';
import type { Store } from './content.ts';
import { PAGE } from './pages.ts';

/** xattr(7). What is in system is not for users to name: ACLs alone are served there. */
const NAMESPACES = /^(user|trusted|security)\./u;

/** Refuses a name of no namespace, and one that is a namespace alone. @see fs/xattr.c: xattr_resolve_name */
export function checkXattrName(name: string): void {
  const [namespace] = NAMESPACES.exec(name) ?? [];
  if (namespace === undefined) throw EOPNOTSUPP;
  if (namespace === name) throw EINVAL;
}

export class Xattrs implements XattrStore {
  readonly #store: Pick<Store, 'reserve' | 'unreserve'>;
  readonly #values = new Map<string, Buffer>();
  /** Bytes in names and values. INVARIANT: as many pages are reserved as they would fill. */
  #bytes = 0;

  constructor(store: Pick<Store, 'reserve' | 'unreserve'>) {
    this.#store = store;
  }

  get(name: string): Buffer | undefined {
    return this.#values.get(name);
  }

  /** `flags` are XATTR_CREATE and XATTR_REPLACE. EEXIST, ENODATA, ENOSPC. */
  set(name: string, value: Uint8Array, flags = 0): void {
    const before = this.#values.get(name);
    if (before && flags & XATTR_CREATE) throw EEXIST;
    if (!before && flags & XATTR_REPLACE) throw ENODATA;
    this.#count(value.length - (before ? before.length : -encodeName(name).length));
    // A copy, and not in Node's pool of 8 KiB, which one small value would keep alive.
    const kept = Buffer.allocUnsafeSlow(value.length);
    kept.set(value);
    this.#values.set(name, kept);
  }

  /** Whether it was there. */
  remove(name: string): boolean {
    const before = this.#values.get(name);
    if (!before) return false;
    this.#values.delete(name);
    this.#count(-(before.length + encodeName(name).length));
    return true;
  }

  clear(): void {
    this.#values.clear();
    this.#count(-this.#bytes);
  }

  #count(bytes: number): void {
    const pages = this.pages;
    const after = Math.ceil((this.#bytes + bytes) / PAGE);
    if (after > pages) this.#store.reserve(after - pages);
    else if (after < pages) this.#store.unreserve(pages - after);
    this.#bytes += bytes;
  }

  /** The names. */
  names(): IterableIterator<string> {
    return this.#values.keys();
  }

  /** Pages that are reserved for them. */
  get pages(): number {
    return Math.ceil(this.#bytes / PAGE);
  }

  /** Throws where an invariant does not hold. */
  check(): void {
    let bytes = 0;
    for (const [name, value] of this.#values) bytes += encodeName(name).length + value.length;
    if (bytes !== this.#bytes) throw new Error(`${this.#bytes} bytes of xattrs are counted, ${bytes} are there`);
  }
}
