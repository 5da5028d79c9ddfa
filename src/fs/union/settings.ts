/**
 * The options and branches of a union as one of its threads has them. What is changed here the others follow at their next operation, and
 * so does this what they have changed (state.ts).
 */
import type { Scratch } from '../passthrough/scratch.ts';
import type { Cells } from '../shared/cells.ts';
import type { Heap } from '../shared/heap.ts';
import { type Branch, Lower } from './lower.ts';
import { Options, type Values } from './options.ts';
import type { Random } from './policies.ts';
import { type Served, servedAs } from './served.ts';
import { type Kept, State } from './state.ts';
import { WORDS } from './words.ts';

export class Settings {
  readonly served: Served;
  readonly lower: Lower;
  readonly #state: State;
  /** How often what is known of the branches' space was forgotten, by any thread. */
  #forgotten = 0;

  /** Nothing is served yet. */
  constructor(mountpoint: string, cells: Cells, heap: Heap, scratch: Scratch, chance: Random) {
    const options = new Options();
    this.served = servedAs(options, mountpoint);
    this.lower = new Lower(options.values, chance, scratch);
    this.#state = new State(cells, heap, WORDS.STATE);
  }
  /** Serves what is to be served. SystemError where a branch can't be opened. */
  begin(): void {
    const { options, check } = this.served;
    const { values } = options;
    this.#state.look((kept) => {
      options.take(kept);
      this.lower.serve(values.branches);
    });
    options.changed = (name) => {
      check();
      if (name === 'branches' || name === 'config') this.lower.serve(values.branches);
    };
  }
  get options(): Options {
    return this.served.options;
  }
  get values(): Values {
    return this.served.options.values;
  }

  /** Follows what another thread has changed. */
  look(): void {
    this.#state.look(this.#follow);
  }
  readonly #follow = (kept: Kept): void => {
    const { values, known, forgotten } = kept;
    this.options.take(kept);
    this.lower.follow(values.branches, known);
    if (forgotten !== this.#forgotten) this.lower.forgetSpace();
    this.#forgotten = forgotten;
  };
  /** Changes what all threads are to see. Not to be nested. */
  update(change: () => void): void {
    this.#state.update(this.#follow, () => {
      change();
      return this.options.kept(this.lower.known, this.#forgotten);
    });
  }
  /** Within `update`: what is known of how full branches are is asked anew. */
  forgetSpace(): void {
    this.#forgotten++;
    this.lower.forgetSpace();
  }
  /** A branch's filesystem has turned out to be read-only. */
  markReadonly(branch: Branch): void {
    this.update(() => this.lower.markReadonly(branch));
  }
}
