/**
 * What stands in a thread with a ring where the device would be: the mounting thread reads that, and sends what comes there
 * as messages. So no request is ever in its hands.
 */
import { duplicate } from '../abi/syscall.ts';
import type { Beside } from '../uring/transport-share.ts';

const nothing = (): undefined => undefined;

export class Post implements Beside {
  readonly #fd: number;
  readonly look: () => void;
  readonly start: () => void = nothing;
  readonly beside: () => void = nothing;
  readonly answer: Beside['answer'] = nothing;
  readonly release: Beside['release'] = nothing;
  readonly park: Beside['park'] = nothing;
  readonly resume: () => void = nothing;
  readonly resize: Beside['resize'] = nothing;
  readonly watch: Beside['watch'] = () => nothing; // the ring does
  readonly close: () => void = nothing;

  /** `look` has the mounting thread look how the connection ended. */
  constructor(fd: number, look: () => void) {
    this.#fd = fd;
    this.look = look;
  }

  duplicate(): number {
    return duplicate(this.#fd);
  }
}
