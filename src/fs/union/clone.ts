/**
 * Copies between branches: a directory path with its metadata, and a file with its data, holes, metadata, extended attributes and
 * ACLs. Owners, modes and times are those of the original.
 */
import { threadId } from 'node:worker_threads';
import { EEXIST, EINVAL, ENOTSUP, ENXIO, EOPNOTSUPP, EXDEV, errno } from '../../abi/errno.ts';
import {
  chmod,
  chown,
  closeQuietly,
  copyFileRange,
  ftruncate,
  getxattr,
  listxattr,
  lseek,
  openat,
  pread,
  pwrite,
  removexattr,
  setxattr,
  utimensat,
} from '../../abi/files.ts';
import { fuse_statx } from '../../abi/fuse.ts';
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_RDWR,
  SEEK_DATA,
  SEEK_HOLE,
  XATTR_LIST_MAX,
  XATTR_SIZE_MAX,
} from '../../abi/posix.ts';
import { done, type Scratch } from '../passthrough/scratch.ts';
import { PERMISSIONS } from '../passthrough/setattr.ts';
import { ACCESS_ACL, DEFAULT_ACL } from '../passthrough/xattrs.ts';
import type { Calls } from './calls.ts';
import type { Branch, Lower } from './lower.ts';
import { parentOf } from './policies.ts';

const { offset: AT } = fuse_statx;
const CHUNK = 1 << 20;

export class Cloner {
  readonly #lower: Lower;
  readonly #scratch: Scratch;
  readonly #calls: Calls;
  #names = 0;

  constructor(lower: Lower, scratch: Scratch, calls: Calls) {
    this.#lower = lower;
    this.#scratch = scratch;
    this.#calls = calls;
  }

  /**
   * Makes a directory on a branch that another one has, with all above it that are missing. What was made, the outermost
   * first; what fails is taken back.
   */
  path(from: Branch, to: Branch, path: string): string[] {
    const made: string[] = [];
    if (from === to) return made;
    try {
      this.#path(from, to, path, made);
    } catch (error) {
      this.unmake(to, made);
      throw error;
    }
    return made;
  }
  /** The same on one branch, below another directory of it. */
  below(branch: Branch, path: string, directory: string): string[] {
    const made: string[] = [];
    try {
      this.#path(branch, branch, path, made, directory);
    } catch (error) {
      this.unmake(branch, made);
      throw error;
    }
    return made;
  }
  #path(from: Branch, to: Branch, path: string, made: string[], directory = ''): void {
    const target = directory === '' ? path : `${directory}/${path}`;
    if (path === '' || this.#lower.during(() => this.#lower.exists(to, target))) return;
    this.#path(from, to, parentOf(path), made, directory);
    this.#lower.during(() => {
      const original = this.#lower.look(from, path);
      const { dirfd, name } = this.#lower.parent(to, target);
      const result = this.#calls.mkdirat(dirfd, this.#scratch.name(name), 0o700);
      if (result === -EEXIST.errno) return;
      done(result);
      made.push(target);
      this.metadata(original, this.#lower.look(to, target));
    });
  }
  /** Removes directories that `path` has made, as far as nobody has put anything into them. */
  unmake(branch: Branch, made: readonly string[]): void {
    for (const path of made.toReversed())
      this.#lower.during(() => {
        try {
          const { dirfd, name } = this.#lower.parent(branch, path);
          this.#calls.unlinkat(dirfd, this.#scratch.name(name), AT_REMOVEDIR);
        } catch {
          // it is gone, or can't be reached any more
        }
      });
  }

  /** Gives a file what another one has, all but its data. Attributes that the filesystem there has not are left out. */
  metadata(from: number, to: number): void {
    const { view, statAt, empty, words, wordsAt } = this.#scratch;
    // What it has from the directory that it was made in: there may be none of it in the original.
    for (const name of [ACCESS_ACL, DEFAULT_ACL]) removexattr(this.#scratch.proc(to), this.#scratch.text(name));
    this.#xattrs(from, to);
    this.#lower.stat(from);
    done(chown(to, empty, view.getUint32(statAt + AT.uid, true), view.getUint32(statAt + AT.gid, true)));
    done(chmod(this.#scratch.proc(to), view.getUint16(statAt + AT.mode, true) & PERMISSIONS));
    for (const [i, at] of [AT.atime, AT.mtime].entries()) {
      view.setBigInt64(wordsAt + i * 16, view.getBigInt64(statAt + at, true), true);
      view.setBigUint64(wordsAt + i * 16 + 8, BigInt(view.getUint32(statAt + at + 8, true)), true);
    }
    done(utimensat(AT_FDCWD, this.#scratch.proc(to), words, 0));
  }
  #xattrs(from: number, to: number): void {
    const list = Buffer.alloc(XATTR_LIST_MAX);
    const length = listxattr(this.#scratch.proc(from), list, list.length);
    if (length <= 0) return;
    const value = Buffer.alloc(XATTR_SIZE_MAX);
    for (const name of list.toString('latin1', 0, length - 1).split('\0')) {
      const attribute = this.#scratch.text(Buffer.from(name, 'latin1').toString());
      const size = getxattr(this.#scratch.proc(from), attribute, value, value.length);
      if (size < 0) continue;
      const result = setxattr(this.#scratch.proc(to), attribute, value.subarray(0, size), 0);
      if (result < 0 && result !== -ENOTSUP.errno) throw errno(-result);
    }
  }

  /**
   * Copies an open file, which is open for reading, to a new one in a directory; its descriptor, open for both, and the name that
   * it has there for now. What fails leaves nothing.
   */
  file(from: number, dirfd: number): { readonly fd: number; readonly name: string } {
    const name = `.rawfuse-copy-${process.pid}-${threadId}-${this.#names++}`;
    const fd = done(openat(dirfd, this.#scratch.name(name), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600));
    try {
      this.#data(from, fd);
      this.metadata(from, fd);
      return { fd, name };
    } catch (error) {
      closeQuietly(fd);
      this.#calls.unlinkat(dirfd, this.#scratch.name(name), 0);
      throw error;
    }
  }
  #data(from: number, to: number): void {
    this.#lower.stat(from);
    const size = Number(this.#scratch.view.getBigUint64(this.#scratch.statAt + AT.size, true));
    done(ftruncate(to, size));
    for (let at = 0; at < size; ) {
      const data = lseek(from, at, SEEK_DATA);
      if (data === -ENXIO.errno) return; // a hole up to the end
      const begin = data < 0 ? at : data; // a filesystem that does not tell
      const hole = data < 0 ? size : done(lseek(from, begin, SEEK_HOLE));
      this.#range(from, to, begin, Math.min(hole, size));
      at = hole;
    }
  }
  #range(from: number, to: number, begin: number, end: number): void {
    const { view, wordsAt, words } = this.#scratch;
    let buffer: Buffer | undefined;
    for (let at = begin; at < end; ) {
      view.setBigUint64(wordsAt, BigInt(at), true);
      view.setBigUint64(wordsAt + 8, BigInt(at), true);
      // Not from every filesystem to every other one, and some say so by copying nothing.
      let moved = buffer ? 0 : copyFileRange(from, words, to, words + 8, end - at);
      if (moved === 0 || moved === -EXDEV.errno || moved === -EINVAL.errno || moved === -EOPNOTSUPP.errno) {
        buffer ??= Buffer.allocUnsafeSlow(CHUNK);
        const length = done(pread(from, buffer, Math.min(CHUNK, end - at), at));
        if (length === 0) return; // it was cut meanwhile
        moved = done(pwrite(to, buffer, length, at));
      }
      done(moved);
      at += moved;
    }
  }
}
