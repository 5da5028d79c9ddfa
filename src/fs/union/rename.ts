/**
 * rename(2) and link(2) over branches. Each branch that the policy names does it by itself, so that a file stays where it is; what is
 * missing there of the new path is cloned. With a create policy that keeps paths to their branches nothing is cloned but where
 * that policy would.
 *
 * INVARIANT: a branch that had the old name has the old or the new one afterwards, whatever fails. So where one branch has done it and another one
 * has not, the call has succeeded and the old name stays there: mergerfs would remove it, and with it perhaps the only
 * copy of what differs. What was cloned in vain is removed again. The trace is told of each branch that went its own way.
 */
import { EEXIST, EINVAL, ENOENT, ENOTEMPTY, type Errno, EXDEV, errno } from '../../abi/errno.ts';
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_FOLLOW,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  RENAME_WHITEOUT,
  S_IFDIR,
} from '../../abi/posix.ts';
import { done, type Scratch } from '../passthrough/scratch.ts';
import type { Calls } from './calls.ts';
import type { Cloner } from './clone.ts';
import type { Branch, Lower } from './lower.ts';
import type { Values } from './options.ts';
import { POLICIES, parentOf } from './policies.ts';

/** Where rename-exdev puts what can't be renamed. */
export const EXDEV_DIRECTORY = '.mergerfs_rename_exdev';

export class Renamer {
  readonly #lower: Lower;
  readonly #cloner: Cloner;
  readonly #values: Values;
  readonly #scratch: Scratch;
  readonly #calls: Calls;
  readonly #isEmpty: (path: string) => boolean;
  /** Tells the trace. */
  note: ((message: string) => void) | undefined;

  constructor(
    { lower, cloner, values, scratch }: { lower: Lower; cloner: Cloner; values: Values; scratch: Scratch },
    calls: Calls,
    isEmpty: (path: string) => boolean,
  ) {
    this.#lower = lower;
    this.#cloner = cloner;
    this.#values = values;
    this.#scratch = scratch;
    this.#calls = calls;
    this.#isEmpty = isEmpty;
  }

  rename(oldPath: string, newPath: string, flags: number): void {
    if (flags === RENAME_EXCHANGE) return this.#exchange(oldPath, newPath);
    if (flags & ~(RENAME_NOREPLACE | RENAME_WHITEOUT)) throw EINVAL;
    this.#lower.during(() => {
      const sources = this.#lower.choose('rename', oldPath);
      this.#mayReplace(sources[0]!, oldPath, newPath, flags);
      const move = (branch: Branch) => this.#move(branch, oldPath, newPath, flags & RENAME_WHITEOUT);
      this.#onEach('rename', sources, oldPath, newPath, move);
      for (const branch of this.#lower.branches) if (!sources.includes(branch)) this.#removeReplaced(branch, newPath);
    });
  }
  /** The kernel knows of types; of what is on which branch it does not. */
  #mayReplace(source: Branch, oldPath: string, newPath: string, flags: number): void {
    const target = this.#lower.branches.find((branch) => this.#lower.exists(branch, newPath));
    if (target === undefined) return;
    if (flags & RENAME_NOREPLACE) throw EEXIST;
    const isDirectory = this.#lower.typeOf(this.#lower.look(source, oldPath)) === S_IFDIR;
    if (isDirectory && !this.#isEmpty(newPath)) throw ENOTEMPTY;
  }
  #move(branch: Branch, oldPath: string, newPath: string, flags: number): number {
    return this.#at(branch, oldPath, newPath, (old, next) =>
      this.#calls.renameat2(old.dirfd, this.#scratch.name(old.name), next.dirfd, this.#scratch.other(next.name), flags),
    );
  }
  /** What is left of the file that was replaced, on branches that had none to rename; on one that clients may not change it stays. */
  #removeReplaced(branch: Branch, path: string): void {
    this.#lower.during(() => {
      if (!this.#lower.exists(branch, path)) return;
      const say = (why: string) => this.note?.(`rename: ${branch.path} keeps another ${path}: ${why}`);
      if (branch.mode === 'RO') return say('it is RO');
      const directory = this.#lower.typeOf(this.#lower.descriptor(branch)) === S_IFDIR;
      const { dirfd, name } = this.#lower.parent(branch, path);
      const result = this.#calls.unlinkat(dirfd, this.#scratch.name(name), directory ? AT_REMOVEDIR : 0);
      if (result < 0) say(errno(-result).code);
    });
  }

  /** A branch that has both exchanges them, one that has the one name gives it the other. What fails is taken back. */
  #exchange(oldPath: string, newPath: string): void {
    this.#lower.during(() => {
      const [sources, targets] = [this.#lower.choose('rename', oldPath), this.#lower.choose('rename', newPath)];
      const undos: (() => void)[] = [];
      for (const branch of this.#lower.branches) {
        const [has, gets] = [sources.includes(branch), targets.includes(branch)];
        if (!has && !gets) continue;
        const [from, to, flags] = has ? [oldPath, newPath, gets ? RENAME_EXCHANGE : 0] : [newPath, oldPath, 0];
        const error = this.#clonedMove(branch, from, to, flags);
        if (error === undefined) undos.push(() => this.#move(branch, to, from, flags));
        else {
          for (const undo of undos) undo();
          throw error;
        }
      }
    });
  }
  #clonedMove(branch: Branch, from: string, to: string, flags: number): Errno | undefined {
    const directory = parentOf(to);
    const original = this.#lower.choose('getattr', directory)[0]!;
    return this.#cloning(branch, original, directory, (each) => this.#move(each, from, to, flags));
  }

  link(oldPath: string, newPath: string): void {
    this.#lower.during(() => {
      const sources = this.#lower.choose('link', oldPath);
      this.#onEach('link', sources, oldPath, newPath, (branch) => {
        const fd = this.#lower.look(branch, oldPath);
        return this.#at(branch, oldPath, newPath, (_, next) =>
          this.#calls.linkat(
            AT_FDCWD,
            this.#scratch.proc(fd),
            next.dirfd,
            this.#scratch.name(next.name),
            AT_SYMLINK_FOLLOW,
          ),
        );
      });
    });
  }

  /** Does something on each branch, with clones of the new path's directory where they are needed. The first error, where none has done it. */
  #onEach(
    what: 'rename' | 'link',
    branches: readonly Branch[],
    oldPath: string,
    newPath: string,
    act: (branch: Branch) => number,
  ): void {
    const directory = parentOf(newPath);
    const keeps = POLICIES[this.#values['func.create']].preserving && !this.#values.ignorepponrename;
    const from = this.#lower.choose('getattr', directory)[0]!;
    const failed: { readonly branch: Branch; readonly error: Errno }[] = [];
    for (const branch of branches) {
      const error = keeps ? this.#keeping(branch, from, directory, act) : this.#cloning(branch, from, directory, act);
      if (error !== undefined) failed.push({ branch, error });
    }
    if (failed.length === branches.length) throw failed[0]!.error;
    for (const { branch, error } of failed)
      this.note?.(`${what}: ${branch.path} has no ${newPath} and keeps ${oldPath}: ${error.code}`);
  }
  #cloning(branch: Branch, from: Branch, directory: string, act: (branch: Branch) => number): Errno | undefined {
    const result = act(branch);
    if (result >= 0) return undefined;
    if (result !== -ENOENT.errno) return errno(-result);
    let made: string[] = [];
    try {
      made = this.#cloner.path(from, branch, directory);
      done(act(branch));
      return undefined;
    } catch (error) {
      this.#cloner.unmake(branch, made);
      return error as Errno;
    }
  }
  #keeping(branch: Branch, from: Branch, directory: string, act: (branch: Branch) => number): Errno | undefined {
    const result = act(branch);
    if (result >= 0) return undefined;
    if (result !== -ENOENT.errno) return errno(-result);
    try {
      if (!this.#lower.choose('create', directory).includes(branch)) return EXDEV;
    } catch (error) {
      return error as Errno;
    }
    return this.#cloning(branch, from, directory, act);
  }

  /** Calls with both directories open, or gives the errno of one that is not there, negated. */
  #at(
    branch: Branch,
    oldPath: string,
    newPath: string,
    call: (old: { dirfd: number; name: string }, next: { dirfd: number; name: string }) => number,
  ): number {
    return this.#lower.during(() => {
      try {
        return call(this.#lower.parent(branch, oldPath), this.#lower.parent(branch, newPath));
      } catch (error) {
        return -(error as Errno).errno;
      }
    });
  }

  /** Puts a file away on the branches that it is on, for a symlink to lead to; the path that it has then. EXDEV, and all is as it was. */
  putAway(path: string): string {
    const away = `${EXDEV_DIRECTORY}/${path}`;
    this.#lower.during(() => {
      const moved: Branch[] = [];
      for (const branch of this.#lower.choose('rename', path)) {
        if (this.#away(branch, path, away)) moved.push(branch);
        else {
          for (const each of moved) this.#move(each, away, path, 0);
          throw EXDEV;
        }
      }
    });
    return away;
  }
  #away(branch: Branch, path: string, away: string): boolean {
    const { fd } = branch;
    const made = this.#calls.mkdirat(fd, this.#scratch.name(EXDEV_DIRECTORY), 0o1777);
    if (made < 0 && made !== -EEXIST.errno) return false;
    try {
      this.#cloner.below(branch, parentOf(path), EXDEV_DIRECTORY);
      return this.#move(branch, path, away, RENAME_NOREPLACE) >= 0;
    } catch {
      return false;
    }
  }
  /** Brings back what was put away. */
  bringBack(path: string): void {
    this.#lower.during(() => {
      const away = `${EXDEV_DIRECTORY}/${path}`;
      for (const branch of this.#lower.branches)
        if (this.#lower.exists(branch, away)) this.#move(branch, away, path, RENAME_NOREPLACE);
    });
  }
}
