/**
 * Directories that are open: a snapshot of the names on all branches, each once, taken when the directory is read from its beginning.
 * A cookie is a place in it, so that it stays good whatever comes and goes meanwhile. It does when the beginning is read again,
 * too: names that are still there keep their places, those of others stay empty. Memory is bounded by one directory's names, and as
 * many empty places: where there are more, all places are given anew.
 */
import { ELOOP, ENOENT, ENOTDIR, type Errno, errno } from '../../abi/errno.ts';
import { closeQuietly } from '../../abi/files.ts';
import { O_DIRECTORY, O_RDONLY } from '../../abi/posix.ts';
import type { DirectoryReply } from '../../protocol/dirent.ts';
import { Dirents } from '../passthrough/directory.ts';
import type { Scratch } from '../passthrough/scratch.ts';
import type { InodeNumbers } from './inodes.ts';
import type { Branch, Lower } from './lower.ts';
import { parentOf } from './policies.ts';
import type { UnionNode } from './tree.ts';

interface Entry {
  readonly name: string;
  readonly type: number;
  readonly branch: Branch;
  readonly ino: bigint;
}
export interface OpenDirectory {
  readonly node: UnionNode;
  entries: (Entry | undefined)[] | undefined;
}

/** So many empty places are kept in any case. */
const SPARE = 1000;

export class Listing {
  readonly #lower: Lower;
  readonly #numbers: InodeNumbers;
  readonly #dirents: Dirents;
  readonly #shown = { name: '', ino: 0n, type: 0, off: 0n };

  constructor(lower: Lower, numbers: InodeNumbers, scratch: Scratch) {
    this.#lower = lower;
    this.#numbers = numbers;
    this.#dirents = new Dirents(scratch);
  }

  /** Adds what comes after a cookie until the reply is full; `path` is undefined of a directory that was removed. */
  list(open: OpenDirectory, path: string | undefined, offset: bigint, reply: DirectoryReply): void {
    if (offset === 0n || open.entries === undefined)
      open.entries = inPlace(open.entries, path === undefined ? [] : this.#read(path));
    for (let at = Number(offset); at < open.entries.length; at++) {
      const entry = open.entries[at];
      if (entry === undefined) continue;
      const { name, type, branch, ino } = entry;
      const shown = this.#shown;
      shown.name = name;
      shown.type = type;
      shown.ino = this.#numbers.of(type << 12, pathOf(path ?? '', name), branch, ino);
      shown.off = BigInt(at + 1);
      if (!reply.add(shown)) return;
    }
  }

  #read(path: string): Entry[] {
    const entries: Entry[] = [];
    const seen = new Set<string>();
    let failure: Errno = ENOENT;
    let [there, failed] = [0, 0];
    for (const branch of this.#lower.branches) {
      const result = this.each(branch, path, ({ name, ino, type }) => {
        if (!seen.has(name)) {
          seen.add(name);
          entries.push({ name, type, branch, ino });
        }
        return true;
      });
      if (result === undefined) there++;
      else if (result !== ENOENT) {
        failure = result;
        failed++;
      }
    }
    if (there === 0 || failed > there) throw failure;
    return entries;
  }
  /** Whether a directory has nothing in it on any branch. Why that can't be known of one that has it. */
  isEmpty(path: string): boolean {
    return this.#lower.branches.every((branch) => {
      let empty = true;
      const failure = this.each(branch, path, ({ name }) => {
        empty &&= name === '.' || name === '..';
        return empty;
      });
      const none = failure === undefined || failure === ENOTDIR || failure === ELOOP;
      if (!none && this.#lower.during(() => this.#lower.exists(branch, path))) throw failure;
      return empty;
    });
  }
  /** Calls with each name of a directory on a branch, while that is answered true; why it can't be read. */
  each(
    branch: Branch,
    path: string,
    visit: (entry: { name: string; ino: bigint; type: number }) => boolean,
  ): Errno | undefined {
    const at = this.#lower.open(branch, path);
    if (at < 0) return errno(-at);
    const fd = this.#lower.reopen(at, O_RDONLY | O_DIRECTORY);
    closeQuietly(at);
    if (fd < 0) return errno(-fd);
    try {
      this.#dirents.each(fd, 0n, visit);
      return undefined;
    } catch (error) {
      return error as Errno;
    } finally {
      closeQuietly(fd);
    }
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
