/**
 * Directories that are open: a snapshot of the names on all branches, each once, taken when the directory is read from its beginning.
 * A cookie is a place in it, so that it stays good whatever comes and goes meanwhile. It does when the beginning is read again,
 * too: names that are still there keep their places, those of others stay empty. Memory is bounded by one directory's names, and as
 * many empty places: where there are more, all places are given anew (merged.ts). Whether branches are read one after the other or at once
 * (reading.ts), what is merged is the same: the first that has a name shows it.
 *
 * The snapshot is kept as READDIR tells it (directories.ts), so that an answer is a copy of a part of it. Some are remembered for
 * who opens the directory next (remembered.ts).
 */
import { type Errno, errno } from '../../abi/errno.ts';
import { closeQuietly } from '../../abi/files.ts';
import type { DirectoryReply } from '../../protocol/dirent.ts';
import { Dirents } from '../passthrough/directory.ts';
import type { Scratch } from '../passthrough/scratch.ts';
import type { OpenDirectory } from './directories.ts';
import type { InodeNumbers } from './inodes.ts';
import type { Branch, Lower } from './lower.ts';
import { isNone, type Listed, Merged } from './merged.ts';
import type { Values } from './options.ts';
import { closing, failureOf, Getdents, openDirectory, Readers, readingWay } from './reading.ts';
import { Remembered } from './remembered.ts';

const EMPTY: Listed = { records: new Uint8Array(0), index: new Int32Array(1) };

export class Listing {
  readonly #lower: Lower;
  readonly #values: Values;
  readonly #dirents: Dirents;
  readonly #merged: Merged;
  readonly #remembered: Remembered;
  readonly #getdents = new Getdents();
  readonly #readers = new Readers();

  constructor({
    lower,
    numbers,
    values,
    scratch,
  }: { lower: Lower; numbers: InodeNumbers; values: Values; scratch: Scratch }) {
    this.#lower = lower;
    this.#values = values;
    this.#dirents = new Dirents(scratch);
    this.#merged = new Merged(numbers);
    this.#remembered = new Remembered(lower, values, scratch);
  }
  /** Ends the threads that read. */
  close(): void {
    this.#readers.close();
  }

  /** Adds what comes after a cookie until the reply is full; `path` answers undefined of a directory that was removed. */
  list(
    open: OpenDirectory,
    path: () => string | undefined,
    offset: bigint,
    reply: DirectoryReply,
  ): void | Promise<void> {
    if (offset !== 0n && open.read) return open.show(offset, reply);
    const now = path();
    const read = now === undefined ? open.replace(EMPTY) : this.#read(open, now);
    if (read instanceof Promise) return read.then(() => open.show(offset, reply));
    open.show(offset, reply);
  }

  /** Takes the snapshot. What is merged is put away before anything else runs: the next directory is merged in the same memory. */
  #read(open: OpenDirectory, path: string): void | Promise<void> {
    const { branches } = this.#lower;
    const way = readingWay(this.#values['func.readdir']);
    if (way !== undefined && branches.length > 1) return this.#readAtOnce(open, branches, path, way);
    // Of one that is read again names keep their places: that is this handle's alone.
    const known = open.read ? undefined : this.#remembered.get(path);
    if (known !== undefined) return open.replace(known);
    const merged = this.#merged.begin(path);
    const since = Date.now();
    const fds = branches.map((branch) => openDirectory(this.#lower, branch, path));
    try {
      for (const [i, fd] of fds.entries())
        merged.ended(fd < 0 ? errno(-fd) : failureOf(() => this.#add(merged, branches[i]!, fd)));
      const listed = merged.all(open);
      if (!open.read && merged.isWhole) this.#remembered.keep(path, listed, since, fds);
      open.replace(listed);
    } finally {
      for (const fd of fds) if (fd >= 0) closeQuietly(fd);
    }
  }
  async #readAtOnce(
    open: OpenDirectory,
    branches: readonly Branch[],
    path: string,
    { read, threads }: { read: boolean; threads: number },
  ): Promise<void> {
    const task = { path, read, follow: this.#values['follow-symlinks'] };
    const answers = await this.#readers.ask(branches, task, threads);
    const merged = this.#merged.begin(path);
    for (const [i, answer] of answers.entries()) {
      const branch = branches[i]!;
      if (typeof answer === 'number')
        merged.ended(answer < 0 ? errno(-answer) : closing(answer, () => this.#add(merged, branch, answer)));
      else {
        merged.add(branch, Buffer.from(answer.buffer, answer.byteOffset, answer.length), answer.length);
        merged.ended(undefined);
      }
    }
    open.replace(merged.all(open));
  }
  /** Adds what an open directory of a branch has. An Errno. */
  #add(merged: Merged, branch: Branch, fd: number): void {
    this.#getdents.read(fd, (bytes, length) => merged.add(branch, bytes, length));
  }

  /** Whether a directory has nothing in it on any branch. Why that can't be known of one that has it. */
  isEmpty(path: string): boolean {
    return this.#lower.branches.every((branch) => {
      let empty = true;
      const failure = this.#each(branch, path, (name) => {
        empty &&= name === '.' || name === '..';
        return empty;
      });
      if (failure !== undefined && !isNone(failure) && this.#lower.during(() => this.#lower.exists(branch, path)))
        throw failure;
      return empty;
    });
  }
  /** Calls with each name of a directory on a branch, while that is answered true; why it can't be read. */
  #each(branch: Branch, path: string, visit: (name: string) => boolean): Errno | undefined {
    const fd = openDirectory(this.#lower, branch, path);
    return fd < 0 ? errno(-fd) : closing(fd, () => this.#dirents.each(fd, 0n, ({ name }) => visit(name)));
  }
}
