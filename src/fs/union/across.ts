/**
 * An operation over branches: chosen by the policy of its function, done on each, and what they said made one answer.
 *
 * All have done it, and it is done. None has: what is thrown is the first error of those that changed a file, the last
 * of those that made or removed a name. Some have: then a name is made or removed, and of a change it is told what the branch said
 * that `getattr` would show. The trace is told of each branch that failed where others did not.
 */
import { EROFS, Errno } from '../../abi/errno.ts';
import type { Cloner } from './clone.ts';
import type { Branch, Lower } from './lower.ts';
import type { FunctionName } from './options.ts';
import type { UnionNode, UnionTree } from './tree.ts';
import type { Turns } from './turns.ts';

export interface Failure {
  readonly branch: Branch;
  readonly error: Errno;
}

export class Across {
  readonly #lower: Lower;
  readonly #tree: UnionTree;
  readonly #cloner: Cloner;
  readonly #turns: Turns;
  readonly #markReadonly: (branch: Branch) => void;
  /** Tells the trace. */
  note: ((message: string) => void) | undefined;

  constructor(
    { lower, tree, cloner, turns }: { lower: Lower; tree: UnionTree; cloner: Cloner; turns: Turns },
    markReadonly: (branch: Branch) => void,
  ) {
    this.#lower = lower;
    this.#tree = tree;
    this.#cloner = cloner;
    this.#turns = turns;
    this.#markReadonly = markReadonly;
  }

  /** Calls with a descriptor of O_PATH of a node's file, on the branch that the function's policy looks at; good during the call. */
  search<T>(name: FunctionName, node: UnionNode, call: (fd: number, branch: Branch, path: string) => T): T {
    const { held } = node;
    if (held !== undefined) return call(held.fd, this.#lower.numbered(held.branch), '');
    return this.searchPath(name, this.#tree.path(node), call);
  }
  searchPath<T>(name: FunctionName, path: string, call: (fd: number, branch: Branch, path: string) => T): T {
    return this.#lower.during(() => {
      const branch = this.#lower.choose(name, path)[0]!;
      return call(this.#lower.descriptor(branch), branch, path);
    });
  }

  /** Changes a node's file on each branch that the function's policy names. */
  change(name: FunctionName, node: UnionNode, call: (fd: number) => void): void {
    const { held } = node;
    if (held !== undefined) return call(held.fd);
    const path = this.#tree.path(node);
    this.#lower.during(() => {
      const branches = this.#lower.choose(name, path);
      const files = branches.map((branch) => this.#lower.descriptor(branch));
      const failures = this.#each(branches, (_, i) => call(files[i]!));
      if (failures.length === 0) return;
      if (failures.length === branches.length) throw failures[0]!.error;
      this.#tell(name, path, failures);
      const shown = this.#lower.choose('getattr', path)[0];
      const failed = failures.find(({ branch }) => branch === shown);
      if (failed) throw failed.error;
    });
  }

  /**
   * Removes what is at a path from each branch; where it is done, the files that were there, good during the call. `allowed` is asked
   * before, with what was chosen, and may throw.
   */
  remove(
    name: 'unlink' | 'rmdir',
    path: string,
    call: (dirfd: number, name: string) => void,
    removed: (fd: number, branch: Branch) => void,
    allowed: (branches: readonly Branch[]) => void = () => {},
  ): void {
    this.#lower.during(() => {
      const branches = this.#lower.choose(name, path);
      allowed(branches);
      const files = branches.map((branch) => this.#lower.descriptor(branch));
      const failures = this.#each(branches, (branch) => {
        const { dirfd, name: last } = this.#lower.parent(branch, path);
        call(dirfd, last);
      });
      if (failures.length === branches.length) throw failures.at(-1)!.error;
      this.#tell(name, path, failures);
      const i = branches.findIndex((branch) => failures.every((each) => each.branch !== branch));
      removed(files[i]!, branches[i]!);
    });
  }

  /**
   * Makes something in a directory: on each branch that the policy of the function names, or on the first, with the directory
   * cloned to where it is missing. A branch that turns out to be read-only is marked so, and the policy asked again.
   */
  make<T>(name: FunctionName, directory: string, act: (branch: Branch, dirfd: number) => T, onlyFirst = false): T {
    for (;;) {
      const { results, failures } = this.#lower.during(() => this.#make(name, directory, act, onlyFirst));
      if (results.length > 0) return results[0]!;
      const readonly = failures.filter(({ branch, error }) => error === EROFS && branch.mode === 'RW');
      if (readonly.length === 0) throw failures.at(-1)!.error;
      for (const { branch } of readonly) {
        this.#markReadonly(branch);
        this.note?.(`${name}: ${branch.path} is read-only, and RO from now on`);
      }
    }
  }
  #make<T>(name: FunctionName, directory: string, act: (branch: Branch, dirfd: number) => T, onlyFirst: boolean) {
    const from = this.#lower.choose('getattr', directory)[0]!;
    const chosen = this.#lower.choose(name, directory);
    const branches = onlyFirst ? chosen.slice(0, 1) : chosen;
    const known = this.#lower.descriptor(from); // which was looked at last
    const there = branches.map((branch) => (branch === from ? known : this.#look(branch, directory)));
    this.#turns.aloneUnless(() => there.every((dirfd) => dirfd !== undefined));
    const results: T[] = [];
    const failures = this.#each(branches, (branch, i) => {
      results.push(this.#cloning(from, branch, directory, there[i], (dirfd) => act(branch, dirfd)));
    });
    if (results.length > 0) this.#tell(name, directory, failures);
    return { results, failures };
  }
  /** Makes something in a directory on one branch, with the directory cloned to it if it is missing there. */
  makeOn<T>(branch: Branch, directory: string, act: (dirfd: number) => T): T {
    return this.#lower.during(() => {
      const from = this.#lower.choose('getattr', directory)[0]!;
      const there = this.#look(branch, directory);
      this.#turns.aloneUnless(() => there !== undefined);
      return this.#cloning(from, branch, directory, there, act);
    });
  }
  /** A descriptor of a directory on a branch, for the operation; undefined where it is not there. */
  #look(branch: Branch, directory: string): number | undefined {
    return this.#lower.exists(branch, directory) ? this.#lower.descriptor(branch) : undefined;
  }
  /** Acts on a directory of a branch: where it was not `there` it is cloned, with all above it. */
  #cloning<T>(
    from: Branch,
    branch: Branch,
    directory: string,
    there: number | undefined,
    act: (dirfd: number) => T,
  ): T {
    if (there !== undefined) return act(there);
    const made = this.#cloner.path(from, branch, directory);
    try {
      return act(this.#lower.look(branch, directory));
    } catch (error) {
      this.#cloner.unmake(branch, made);
      throw error;
    }
  }

  /** Calls for each branch that is served, also where one fails: the first error is thrown at the end. */
  all(call: (branch: Branch) => void): void {
    const [failure] = this.#lower.during(() => this.#each(this.#lower.branches, call));
    if (failure) throw failure.error;
  }
  #each(branches: readonly Branch[], call: (branch: Branch, i: number) => void): Failure[] {
    const failures: Failure[] = [];
    for (const [i, branch] of branches.entries()) {
      try {
        call(branch, i);
      } catch (error) {
        if (!(error instanceof Errno)) throw error;
        failures.push({ branch, error });
      }
    }
    return failures;
  }
  #tell(name: FunctionName, path: string, failures: readonly Failure[]): void {
    for (const { branch, error } of failures)
      this.note?.(`${name}: ${branch.path} says ${error.code} of ${path || '/'}`);
  }
}
