/**
 * A filesystem that holds descriptors serves one mount and no other: its `init` and `destroy` ask here which they are. A mount that
 * is refused ends as well, and must not take the other's descriptors with it.
 */
import { NegotiationError } from '../protocol/init.ts';

export class Once {
  #state: 'made' | 'mounted' | 'over' = 'made';
  /** Mounts that were refused, whose sessions are still to call `destroy`. */
  #refused = 0;

  /** For `init`. NegotiationError where it was mounted before; `instead` is what to do then. */
  begin(name: string, instead: string): void {
    if (this.#state !== 'made') {
      this.#refused++;
      throw new NegotiationError(`this ${name} was mounted before: ${instead}`);
    }
    this.#state = 'mounted';
  }
  /** For `destroy`: whether all is to be closed now. */
  end(): boolean {
    if (this.#refused > 0) {
      this.#refused--;
      return false;
    }
    const ends = this.#state !== 'over';
    this.#state = 'over';
    return ends;
  }
}
