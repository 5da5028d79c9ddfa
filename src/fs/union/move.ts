/**
 * moveonenospc: a file that a write found no space for goes to another branch, with all that it is, and whoever has it open goes on
 * with the same handle. It happens within the write, on the thread that serves, so nobody sees half of it. A file with several links
 * stays, for its other names would be left behind; so does one without a name.
 *
 * Whatever fails: the original is as it was, and nothing is left elsewhere.
 */
import { ENOSPC } from '../../abi/errno.ts';
import { closeQuietly, dup3 } from '../../abi/files.ts';
import { fuse_statx } from '../../abi/fuse.ts';
import { O_RDONLY, O_TRUNC, RENAME_NOREPLACE, S_IFMT, S_IFREG } from '../../abi/posix.ts';
import { done, type Scratch } from '../passthrough/scratch.ts';
import type { Calls } from './calls.ts';
import type { Cloner } from './clone.ts';
import type { Branch, Lower } from './lower.ts';
import { nameOf, type PolicyName, parentOf } from './policies.ts';

const { offset: AT } = fuse_statx;
/** Bytes of a block in st_blocks. */
const BLOCK = 512;

/** A handle of the file that is open. */
export interface Opened {
  readonly fd: number;
  readonly flags: number;
  /** Its number. */
  branch: number;
}

export class Mover {
  readonly #lower: Lower;
  readonly #cloner: Cloner;
  readonly #scratch: Scratch;
  readonly #calls: Calls;

  constructor(lower: Lower, cloner: Cloner, scratch: Scratch, calls: Calls) {
    this.#lower = lower;
    this.#cloner = cloner;
    this.#scratch = scratch;
    this.#calls = calls;
  }

  /** Moves the file at a path, of which these are all handles, to where there are `more` bytes for it. An Errno where that can't be. */
  move(path: string, from: Branch, handles: readonly Opened[], more: number, policy: PolicyName): Branch {
    return this.#lower.during(() => {
      const source = this.#lower.look(from, path);
      this.#lower.stat(source);
      const { view, statAt } = this.#scratch;
      if (view.getUint32(statAt + AT.nlink, true) !== 1) throw ENOSPC;
      if ((view.getUint16(statAt + AT.mode, true) & S_IFMT) !== S_IFREG) throw ENOSPC;
      const needs = Number(view.getBigUint64(statAt + AT.blocks, true)) * BLOCK + more;
      const to = this.#target(path, from, needs, policy);
      const made = this.#cloner.path(from, to, parentOf(path));
      try {
        this.#copy(source, path, from, to, handles);
      } catch (error) {
        this.#cloner.unmake(to, made);
        throw error;
      }
      return to;
    });
  }
  #target(path: string, from: Branch, needs: number, policy: PolicyName): Branch {
    const candidates = this.#lower.branches.filter(
      (branch) =>
        branch !== from && !this.#lower.exists(branch, path) && (this.#lower.space(branch)?.available ?? 0) > needs,
    );
    return this.#lower.chooseBy(policy, 'create', parentOf(path), candidates)[0]!;
  }
  #copy(source: number, path: string, from: Branch, to: Branch, handles: readonly Opened[]): void {
    const reading = done(this.#lower.reopen(source, O_RDONLY));
    const opened: number[] = [];
    const { dirfd } = this.#lower.parent(to, path);
    let made: { readonly fd: number; readonly name: string } | undefined;
    let named = '';
    try {
      made = this.#cloner.file(reading, dirfd);
      named = made.name;
      const [old, next] = [this.#scratch.name(made.name), this.#scratch.other(nameOf(path))];
      done(this.#calls.renameat2(dirfd, old, dirfd, next, RENAME_NOREPLACE));
      named = nameOf(path);
      for (const { flags } of handles) opened.push(done(this.#lower.reopen(made.fd, flags & ~O_TRUNC)));
      const place = this.#lower.parent(from, path);
      done(this.#calls.unlinkat(place.dirfd, this.#scratch.name(place.name), 0));
    } catch (error) {
      for (const fd of opened) closeQuietly(fd);
      if (named !== '') this.#calls.unlinkat(dirfd, this.#scratch.name(named), 0);
      throw error;
    } finally {
      closeQuietly(reading);
      if (made) closeQuietly(made.fd);
    }
    for (const [i, handle] of handles.entries()) {
      dup3(opened[i]!, handle.fd);
      closeQuietly(opened[i]!);
      handle.branch = to.number;
    }
  }

  /** Gives a file with several links, which is about to be written to, a copy of its own. */
  unshare(path: string, branch: Branch): void {
    this.#lower.during(() => {
      const source = this.#lower.look(branch, path);
      this.#lower.stat(source);
      if (this.#scratch.view.getUint32(this.#scratch.statAt + AT.nlink, true) < 2) return;
      const { dirfd, name } = this.#lower.parent(branch, path);
      const reading = done(this.#lower.reopen(source, O_RDONLY));
      try {
        const made = this.#cloner.file(reading, dirfd);
        closeQuietly(made.fd);
        const result = this.#calls.renameat2(dirfd, this.#scratch.name(made.name), dirfd, this.#scratch.other(name), 0);
        if (result < 0) this.#calls.unlinkat(dirfd, this.#scratch.name(made.name), 0);
        done(result);
      } finally {
        closeQuietly(reading);
      }
    });
  }
}
