/**
 * Directories that are open: a snapshot of the names on all branches, each once, taken when the directory is read from its beginning.
 * A cookie is a place in it, so that it stays good whatever comes and goes meanwhile. It does when the beginning is read again,
 * too: names that are still there keep their places, those of others stay empty. Memory is bounded by one directory's names, and as
 * many empty places: where there are more, all places are given anew (directories.ts has them). Whether branches are read one after the other or at once
 * (reading.ts), what is merged is the same: the first that has a name shows it.
 */
import { ELOOP, ENOENT, ENOTDIR, type Errno, errno } from '../../abi/errno.ts';
import type { DirectoryReply } from '../../protocol/dirent.ts';
import { Dirents } from '../passthrough/directory.ts';
import type { Scratch } from '../passthrough/scratch.ts';
import type { Entry, OpenDirectory } from './directories.ts';
import type { InodeNumbers } from './inodes.ts';
import type { Branch, Lower } from './lower.ts';
import type { Values } from './options.ts';
import { parentOf } from './policies.ts';
import { type Found, openDirectory, Readers, readDirectory, readingWay } from './reading.ts';

/** So many empty places are kept in any case. */
const SPARE = 1000;

export class Listing {
  readonly #lower: Lower;
  readonly #numbers: InodeNumbers;
  readonly #values: Values;
  readonly #dirents: Dirents;
  readonly #readers = new Readers();
  readonly #shown = { name: '', ino: 0n, type: 0, off: 0n };

  constructor({
    lower,
    numbers,
    values,
    scratch,
  }: { lower: Lower; numbers: InodeNumbers; values: Values; scratch: Scratch }) {
    this.#lower = lower;
    this.#numbers = numbers;
    this.#values = values;
    this.#dirents = new Dirents(scratch);
  }
  /** Ends the threads that read. */
  close(): void {
    this.#readers.close();
  }

  /** Adds what comes after a cookie until the reply is full; `path` is undefined of a directory that was removed. */
  list(open: OpenDirectory, path: string | undefined, offset: bigint, reply: DirectoryReply): void | Promise<void> {
    if (offset !== 0n && open.read) return this.#show(open, path, offset, reply);
    const show = (now: readonly Entry[]) => {
      open.replace(inPlace(open.read ? open.all() : undefined, now));
      this.#show(open, path, offset, reply);
    };
    const read = path === undefined ? [] : this.#read(path);
    return read instanceof Promise ? read.then(show) : show(read);
  }
  #show(open: OpenDirectory, path = '', offset: bigint, reply: DirectoryReply): void {
    for (let at = Number(offset), end = open.size; at < end; at++) {
      const entry = open.at(at);
      if (entry === undefined) continue;
      const { name, type, branch, ino } = entry;
      const shown = this.#shown;
      shown.name = name;
      shown.type = type;
      shown.ino = this.#numbers.of(type << 12, pathOf(path, name), this.#lower.numbered(branch), ino);
      shown.off = BigInt(at + 1);
      if (!reply.add(shown)) return;
    }
  }

  #read(path: string): Entry[] | Promise<Entry[]> {
    const { branches } = this.#lower;
    const way = readingWay(this.#values['func.readdir']);
    if (way !== undefined && branches.length > 1) return this.#readAtOnce(branches, path, way);
    const merged = new Merged();
    for (const branch of branches) merged.ended(this.each(branch, path, (found) => merged.add(branch, found)));
    return merged.all();
  }
  async #readAtOnce(
    branches: readonly Branch[],
    path: string,
    { read, threads }: { read: boolean; threads: number },
  ): Promise<Entry[]> {
    const task = { path, read, follow: this.#values['follow-symlinks'] };
    const answers = await this.#readers.ask(branches, task, threads);
    const merged = new Merged();
    for (const [i, answer] of answers.entries()) {
      const visit = (found: Found) => merged.add(branches[i]!, found);
      if (typeof answer !== 'number') merged.ended(void answer.forEach(visit));
      else merged.ended(answer < 0 ? errno(-answer) : readDirectory(this.#dirents, answer, visit));
    }
    return merged.all();
  }
  /** Whether a directory has nothing in it on any branch. Why that can't be known of one that has it. */
  isEmpty(path: string): boolean {
    return this.#lower.branches.every((branch) => {
      let empty = true;
      const failure = this.each(branch, path, ({ name }) => {
        empty &&= name === '.' || name === '..';
        return empty;
      });
      if (failure !== undefined && !isNone(failure) && this.#lower.during(() => this.#lower.exists(branch, path)))
        throw failure;
      return empty;
    });
  }
  /** Calls with each name of a directory on a branch, while that is answered true; why it can't be read. */
  each(branch: Branch, path: string, visit: (found: Found) => boolean): Errno | undefined {
    const fd = openDirectory(this.#lower, branch, path);
    return fd < 0 ? errno(-fd) : readDirectory(this.#dirents, fd, visit);
  }
}

/** Whether a branch has no such directory: nothing, a file, or a symlink. */
const isNone = (failure: Errno): boolean => failure === ENOENT || failure === ENOTDIR || failure === ELOOP;

/** What branches have in a directory, one after the other. */
class Merged {
  readonly #entries: Entry[] = [];
  readonly #seen = new Set<string>();
  #failure: Errno = ENOENT;
  #there = 0;
  #failed = 0;

  add(branch: Branch, { name, ino, type }: Found): true {
    if (!this.#seen.has(name)) {
      this.#seen.add(name);
      this.#entries.push({ name, type, branch: branch.number, ino });
    }
    return true;
  }
  /** A branch has been read, or could not be. */
  ended(failure: Errno | undefined): void {
    if (failure === undefined) this.#there++;
    else if (!isNone(failure)) {
      this.#failure = failure;
      this.#failed++;
    }
  }
  /** All of it. The last error, where more branches could not be read than could; ENOENT, where none has it. */
  all(): Entry[] {
    if (this.#there === 0 || this.#failed > this.#there) throw this.#failure;
    return this.#entries;
  }
}

/** The entries that are there now, each where it was before. */
function inPlace(before: readonly (Entry | undefined)[] | undefined, now: readonly Entry[]): (Entry | undefined)[] {
  if (before === undefined) return [...now];
  const left = new Map(now.map((entry) => [entry.name, entry]));
  const placed = before.map((old) => {
    const entry = old && left.get(old.name);
    if (entry) left.delete(entry.name);
    return entry;
  });
  return placed.length + left.size > 2 * now.length + SPARE ? [...now] : [...placed, ...left.values()];
}

/** What the number of an entry is made of: the root has nothing above it that is anybody's business. */
function pathOf(directory: string, name: string): string {
  if (name === '.') return directory;
  if (name === '..') return parentOf(directory);
  return directory === '' ? name : `${directory}/${name}`;
}
