/**
 * How operations of several threads keep out of each other's way. A file is reached by its path, on branches, one system call after the other; so
 * whoever renames or removes names does it alone, and all others who go by path do it together. The kernel sees to the rest: of two who make or look up
 * the same name in a directory one waits.
 *
 * - `together`: looks names up, and what they lead to.
 * - `making`: makes a name. Together with others, unless a directory has to be cloned for it: that takes several calls, and what
 *   fails is taken back.
 * - `alone`: renames, removes, links.
 * - `beginChanging` and `endChanging`, `moving`: what is in files; and a file goes to another branch (moveonenospc), which nobody may write to meanwhile.
 *
 * A thread that is alone comes into all of them. On one thread there is nothing to wait for, and nothing is counted.
 *
 * What one does alone takes as long as its disks do: minutes, where a file is copied. So who waits does not take it for dead as long as no thread has
 * ended. Where one has, the mount is at its end, and who waits for a lock that was left behind gives up.
 */
import { availableParallelism } from 'node:os';
import type { Cells } from '../shared/cells.ts';
import { LockError } from '../shared/lock.ts';
import { acquireAlone, acquireShared, releaseAlone, releaseShared } from '../shared/rwlock.ts';
import { WORDS } from './words.ts';

/**
 * How often a thread looks again before it sleeps: some 35 us, as long as most of what another does meanwhile takes. With four clients that make and remove
 * files on two CPUs 40 looks were 0.68 of mergerfs' rate, 500 0.75, 2,000 and more 0.95, at four fifths of the CPU: to sleep and to be woken takes more than to look. Where there is one
 * CPU nobody can have done anything meanwhile.
 */
export const SPINS = availableParallelism() > 1 ? 4000 : 0;

/** What is to be done needs to be done alone: `making` begins again. */
const ALONE = new Error('this is to be done alone');

export class Turns {
  readonly #cells: Cells;
  readonly #several: boolean;
  #alone = false;

  constructor(cells: Cells, several: boolean) {
    this.#cells = cells;
    this.#several = several;
  }

  together<T>(call: () => T): T {
    if (!this.#several || this.#alone) return call();
    this.#patiently(acquireShared, WORDS.PATHS_LOCK);
    try {
      return call();
    } finally {
      releaseShared(this.#cells, WORDS.PATHS_LOCK);
    }
  }
  alone<T>(call: () => T): T {
    if (!this.#several || this.#alone) return call();
    this.#patiently(acquireAlone, WORDS.PATHS_LOCK);
    this.#alone = true;
    try {
      return call();
    } finally {
      this.#alone = false;
      releaseAlone(this.#cells, WORDS.PATHS_LOCK);
    }
  }
  making<T>(call: () => T): T {
    if (!this.#several) return call();
    try {
      return this.together(call);
    } catch (error) {
      if (error !== ALONE) throw error;
    }
    return this.alone(call);
  }
  /** For what `making` calls, before it has done anything that it would not do again: unless this is so, it is to be done alone. */
  aloneUnless(is: () => boolean): void {
    if (this.#several && !this.#alone && !is()) throw ALONE;
  }

  /** Whether it is to be ended: on one thread it is not even begun. */
  beginChanging(): boolean {
    if (this.#several) this.#patiently(acquireShared, WORDS.DATA_LOCK);
    return this.#several;
  }
  endChanging(): void {
    releaseShared(this.#cells, WORDS.DATA_LOCK);
  }
  moving<T>(call: () => T): T {
    return this.alone(() => {
      if (!this.#several) return call();
      this.#patiently(acquireAlone, WORDS.DATA_LOCK);
      try {
        return call();
      } finally {
        releaseAlone(this.#cells, WORDS.DATA_LOCK);
      }
    });
  }
  #patiently(acquire: (cells: Cells, at: number) => void, lock: number): void {
    for (;;) {
      try {
        return acquire(this.#cells, lock);
      } catch (error) {
        if (!(error instanceof LockError) || this.#cells.load(WORDS.ENDING) !== 0) throw error;
      }
    }
  }
}
