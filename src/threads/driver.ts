/**
 * What a thread with a ring does: with nothing of its own to wait for it sleeps in the kernel, in the same system call that
 * takes the replies of what came before; with a handler pending it waits on its event loop, where that handler's timers,
 * files and sockets are.
 *
 * A handler that is done as soon as the microtasks have run is no reason to go there: so this is a function that awaits,
 * and lets them run where it stands. And a filesystem may have something on the loop that no handler waits for, a timer, a
 * socket, a promise that nobody has caught. To look there costs as much as some requests, so it is done when a while has
 * gone by since the last look and there have been requests; where something is found the thread stays on the loop.
 */
import { Memory } from '../abi/memory.ts';
import type { Session } from '../protocol/session.ts';
import type { Ring } from '../uring/ring.ts';

/** Turns of the microtask queue that a handler gets before the thread goes to its event loop: an `async` one needs three. */
const TICKS = 16;
/** After how long, in ms, the event loop gets a turn; only while requests come. */
const WHILE = 10;

/** What an event loop lives for and is ours: the port to the mounting thread, what is to be done in the next turn. */
const OURS = new Set(['MessagePort', 'Immediate']);

/** Whether something of the filesystem's is on the event loop. */
const busy = (): boolean => process.getActiveResourcesInfo().some((each) => !OURS.has(each));

export class Driver {
  readonly #ring: Ring;
  readonly #session: Session;
  /** Takes what has been posted. */
  readonly #take: () => void;
  readonly #pause = new Memory(16);
  /** Whether such a turn is to come. */
  #asking = false;
  /** How many requests had been served when that was so last. */
  #served = 0;
  #due = false;
  #back: (() => void) | undefined;
  #backing: NodeJS.Immediate | undefined;
  /** Nothing more comes by the ring: the thread stays on its event loop. */
  #over = false;

  constructor(ring: Ring, session: Session, take: () => void) {
    this.#ring = ring;
    this.#session = session;
    this.#take = take;
    new DataView(this.#pause.buffer).setBigInt64(8, BigInt(WHILE) * 1_000_000n, true);
  }

  /** Serves until it is ended; false where the process exits. */
  async run(): Promise<boolean> {
    const session = this.#session;
    const ring = this.#ring;
    this.#due = true;
    for (;;) {
      if (this.#due) await this.#loop();
      // Before it sleeps: on the loop a wake-up may have been seen before its message was.
      if (ring.woken) await this.#mail();
      if (this.#over) return true;
      if (!this.#asking && session.counts[0] !== this.#served) this.#ask();
      if (!ring.wait()) return false;
      for (let ticks = 0; session.waiting && ticks < TICKS; ticks++) await undefined;
      if (session.waiting && !this.#over) await this.#loop();
    }
  }

  /** The session is over, or the kernel has taken the ring back: what is left comes on the event loop. */
  end(): void {
    this.#over = true;
    this.#ring.attend(true);
    this.#back?.();
  }

  /** Takes what was posted; who waited for that gets to run. */
  async #mail(): Promise<void> {
    this.#ring.woken = false;
    this.#take();
    for (let ticks = 0; ticks < TICKS; ticks++) await undefined;
  }

  /** Once a while has gone by, and once only: who sleeps is not to be woken again and again for nothing. */
  #ask(): void {
    this.#asking = true;
    this.#served = this.#session.counts[0]!;
    this.#ring.submit('TIMEOUT', { addr: this.#pause.address, len: 1 }, () => {
      this.#asking = false;
      this.#due = true;
    });
  }

  /** On the event loop, until nothing there is waited for. */
  #loop(): Promise<void> {
    this.#due = false;
    this.#ring.attend(true);
    this.#ring.onTurn = this.#turned;
    return new Promise((resolve) => {
      this.#back = () => {
        this.#ring.onTurn = undefined;
        this.#back = undefined;
        if (!this.#over) this.#ring.attend(false);
        resolve();
      };
      this.#turned();
    });
  }

  readonly #turned = (): void => {
    if (this.#session.waiting || this.#backing !== undefined) return;
    // Not at once: the loop is to have a whole turn.
    this.#backing = setImmediate(() => {
      this.#backing = undefined;
      if (!this.#session.waiting && !busy()) this.#back?.();
    });
  };
}
