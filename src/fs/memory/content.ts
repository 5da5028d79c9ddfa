/**
 * What is in a file, wherever it is kept: in pages of ours (paged.ts), or in a file of a tmpfs that the kernel reads and writes
 * itself as well (tmpfs.ts). One filesystem keeps all of its files in one store, which counts what they and their extended attributes take.
 *
 * What has nothing is a hole, reads as zeros and costs nothing. Space may also be promised (fallocate): a hole still, but one that
 * writing can't fail in.
 */

import type { Atime, Inode } from './inode.ts';
import { PAGE } from './pages.ts';

/** Blocks of 512 bytes in a page. */
export const SECTORS = PAGE / 512;

export abstract class Content {
  /** Pages that are there or promised. */
  abstract readonly count: number;

  /** Copies `length` bytes from `offset` on to the start of `into`. */
  abstract read(offset: number, into: Buffer, length: number): void;
  /** Writes at `offset`: how many bytes, fewer than `data` has where space ends. ENOSPC when it is none, or not all of a `whole`. */
  abstract write(offset: number, data: Uint8Array, whole?: boolean): number;
  /** Ends the content at `size` bytes: what comes after is a hole. */
  abstract cut(size: number): void;
  /** Makes a hole: whole pages go, what is left of others becomes zeros. */
  abstract punch(offset: number, length: number): void;
  /** Makes a range read as zeros that can be written without asking for space. ENOSPC, and then nothing has happened. */
  abstract zero(offset: number, length: number): void;
  /** Promises the pages that a range lacks. ENOSPC, and then nothing has happened. */
  abstract allocate(offset: number, length: number): void;
  /** Where the first data is at or behind `offset`; Infinity if there is none. */
  abstract data(offset: number): number;
  /** Where the first hole is at or behind `offset`. */
  abstract hole(offset: number): number;
  /**
   * Copies from another content of the same store (or this one, elsewhere); holes stay holes. How many bytes: fewer than `length` where
   * space ends, ENOSPC when it is none.
   */
  abstract copy(source: Content, from: number, to: number, length: number): number;
  /**
   * Told after each change that the file has so many bytes; how many it has, which may be more where the kernel writes as well. What is to
   * be fewer is cut.
   */
  abstract settle(size: number): number;
  /** The file is gone. */
  abstract free(): void;

  /** Takes over what was done to the content without a word to us; whether it was changed so. */
  look(_inode: Inode, _atime: Atime): boolean {
    return false;
  }
}

/** A file as `check` is told of it. */
export interface Checked {
  readonly nodeid: number;
  readonly size: number;
  readonly content: Content;
}

/** Where contents are kept, and room is counted in pages. */
export interface Store {
  /** Pages of contents and of extended attributes at most. */
  readonly limit: number;
  /** Those that nobody has. */
  readonly free: number;
  /** Takes room for extended attributes. ENOSPC, and then nothing has happened. */
  reserve(pages: number): void;
  /** Gives it back. */
  unreserve(pages: number): void;
  /** A content for a file that has none yet. */
  content(file: { readonly nodeid: number; readonly size: number }): Content;
  /** Throws where an invariant does not hold: these are all files, and their extended attributes take so many pages. */
  check(files: Iterable<Checked>, others: number): void;
}
