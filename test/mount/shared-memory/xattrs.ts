/**
 * The extended attributes of one file in shared memory: a list of blocks, each a name and its value. Under the lock of
 * the file's node.
 */
import { EEXIST, ENODATA } from '../../../src/abi/errno.ts';
import { XATTR_CREATE, XATTR_REPLACE } from '../../../src/abi/posix.ts';
import type { XattrStore } from '../../../src/fs/memory/access.ts';
import { decodeName, encodeName } from '../../../src/protocol/names.ts';
import type { SharedInode, Store } from './inode.ts';
import { PAGE } from './pages.ts';

/** Words of a block: the next one, the lengths of name and value in bytes; then the name, and the value from a word of its own on. */
const NEXT = 0;
const NAME = 1;
const VALUE = 2;
const HEAD = 3;

const inWords = (bytes: number): number => Math.ceil(bytes / 4);

export class SharedXattrs implements XattrStore {
  readonly #store: Store;
  readonly #inode: SharedInode;

  constructor(store: Store, inode: SharedInode) {
    this.#store = store;
    this.#inode = inode;
  }

  get(name: string): Buffer | undefined {
    const at = this.#find(name);
    return at === 0 ? undefined : this.#value(at);
  }

  set(name: string, value: Uint8Array, flags = 0): void {
    const { heap } = this.#store;
    const before = this.#find(name);
    if (before !== 0 && flags & XATTR_CREATE) throw EEXIST;
    if (before === 0 && flags & XATTR_REPLACE) throw ENODATA;
    const bytes = encodeName(name);
    const more = value.length - (before === 0 ? -bytes.length : heap.get(before + VALUE));
    const at = heap.take(HEAD + inWords(bytes.length) + inWords(value.length));
    try {
      this.#count(more);
    } catch (error) {
      heap.give(at);
      throw error;
    }
    heap.set(at + NAME, bytes.length);
    heap.set(at + VALUE, value.length);
    heap.put(at + HEAD, bytes);
    heap.put(at + HEAD + inWords(bytes.length), value);
    if (before !== 0) this.#unlink(before);
    heap.set(at + NEXT, this.#inode.xattr);
    this.#inode.xattr = at;
  }

  remove(name: string): boolean {
    const at = this.#find(name);
    if (at === 0) return false;
    const { heap } = this.#store;
    this.#count(-(heap.get(at + NAME) + heap.get(at + VALUE)));
    this.#unlink(at);
    return true;
  }

  clear(): void {
    while (this.#inode.xattr !== 0) this.#unlink(this.#inode.xattr);
    this.#count(-this.#inode.xattrBytes);
  }

  /** The names, the latest first. */
  names(): string[] {
    return [...this.blocks()].map((at) => this.#name(at));
  }

  /** Pages that are reserved for them. */
  get pages(): number {
    return Math.ceil(this.#inode.xattrBytes / PAGE);
  }

  *blocks(): Generator<number> {
    const { heap } = this.#store;
    for (let at = this.#inode.xattr; at !== 0; at = heap.get(at + NEXT)) yield at;
  }

  #find(name: string): number {
    for (const at of this.blocks()) if (this.#name(at) === name) return at;
    return 0;
  }
  #name(at: number): string {
    const { heap } = this.#store;
    const length = heap.get(at + NAME);
    return decodeName(heap.copy(at + HEAD, length), 0, length);
  }
  #value(at: number): Buffer {
    const { heap } = this.#store;
    return heap.copy(at + HEAD + inWords(heap.get(at + NAME)), heap.get(at + VALUE));
  }

  #unlink(at: number): void {
    const { heap } = this.#store;
    const next = heap.get(at + NEXT);
    if (this.#inode.xattr === at) this.#inode.xattr = next;
    else for (const each of this.blocks()) if (heap.get(each + NEXT) === at) heap.set(each + NEXT, next);
    heap.give(at);
  }

  /** INVARIANT: as many pages are reserved as names and values would fill. */
  #count(bytes: number): void {
    const { pages } = this;
    const after = Math.ceil((this.#inode.xattrBytes + bytes) / PAGE);
    if (after > pages) this.#store.pages.reserve(after - pages);
    else this.#store.pages.unreserve(pages - after);
    this.#inode.xattrBytes += bytes;
  }

  /** Throws where an invariant does not hold. */
  check(): void {
    const { heap } = this.#store;
    const names = this.names();
    if (new Set(names).size !== names.length) throw new Error(`an xattr is there twice: ${names}`);
    let bytes = 0;
    for (const at of this.blocks()) bytes += heap.get(at + NAME) + heap.get(at + VALUE);
    if (bytes !== this.#inode.xattrBytes)
      throw new Error(`${this.#inode.xattrBytes} bytes of xattrs are counted, ${bytes} are there`);
  }
}
