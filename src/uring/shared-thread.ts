/**
 * The thread that owns a shared ring (see shared.ts). It takes what its users have queued, submits it, sleeps until
 * something has completed or somebody wakes it, and sends each user its completions: one message for all that came
 * together. It ends when it has had users and the last of them has closed.
 */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { IORING_CQE_F_MORE } from '../abi/uring-constants.ts';
import type { Linked, Ticket } from './engine.ts';
import { readSqe } from './queues.ts';
import { Ring } from './ring.ts';
import { UringError } from './setup.ts';
import {
  ASLEEP,
  AWAKE,
  ENDED,
  type NewUser,
  NO_MORE,
  type OwnerData,
  type OwnerReady,
  SLEEP,
  USERS,
} from './shared.ts';
import { ASK, type Ask, SharedQueue } from './shared-queue.ts';

class User {
  readonly port: MessagePort;
  readonly queue: SharedQueue;
  readonly #ring: Ring;
  /** Where the ring has what the user calls by its own slots. */
  readonly #tickets: (Ticket | undefined)[] = [];
  readonly #completions: number[] = [];
  #chain: (Linked & { readonly slot: number })[] = [];
  closed = false;

  constructor({ port, queue, capacity }: NewUser, ring: Ring) {
    this.port = port;
    this.queue = new SharedQueue(capacity, queue);
    this.#ring = ring;
  }

  /** Submits what is in the queue. */
  take(): void {
    if (this.queue.pending) this.queue.take(this.#taken);
  }

  readonly #taken = (what: Ask, at: number): void => {
    const { opcode, sqe, low: slot, high: generation } = readSqe(this.queue.memory, at);
    if (what === ASK.close) this.closed = true;
    else if (what === ASK.cancel) {
      const ticket = this.#tickets[slot];
      if (ticket) this.#ring.cancel(ticket);
    } else {
      const done = (res: number, flags: number) => {
        if (!(flags & IORING_CQE_F_MORE)) this.#tickets[slot] = undefined;
        this.#completions.push(slot, generation, res, flags);
      };
      if (what === ASK.submit && this.#chain.length === 0) this.#tickets[slot] = this.#ring.submit(opcode, sqe, done);
      else {
        this.#chain.push({ opcode, sqe, done, slot });
        if (what === ASK.submit) this.#link();
      }
    }
  };

  #link(): void {
    const chain = this.#chain;
    this.#chain = [];
    for (const [i, ticket] of this.#ring.submitLinked(chain).entries()) this.#tickets[chain[i]!.slot] = ticket;
  }

  /** Sends what has completed, or that there is room. */
  send(): void {
    const room = this.queue.takeRoomAwaited();
    if (this.#completions.length > 0 || room) this.port.postMessage(Int32Array.from(this.#completions));
    this.#completions.length = 0;
  }
}

/** The thread's whole life. */
function own({ options, wake, state }: OwnerData): void {
  const say = (ready: OwnerReady) => parentPort!.postMessage(ready);
  let ring: Ring;
  try {
    ring = new Ring({ ...options, blocking: wake });
  } catch (error) {
    if (!(error instanceof UringError)) throw error;
    return say({ reason: error.reason, message: error.message });
  }
  say({ chain: ring.queues.entries });
  let users: User[] = [];
  let used = false;
  /** No more users come. */
  let complete = false;
  const news = () => {
    for (let next = receiveMessageOnPort(parentPort!); next; next = receiveMessageOnPort(parentPort!)) {
      if (next.message === NO_MORE) complete = true;
      else {
        users.push(new User(next.message as NewUser, ring));
        used = true;
      }
    }
  };
  for (;;) {
    news();
    for (const user of users) {
      user.take();
      user.send();
    }
    for (const { port, closed } of users) {
      if (!closed) continue;
      port.postMessage(null); // this thread never returns to its loop, where the port's end would be told
      port.close();
      Atomics.sub(state, USERS, 1);
    }
    users = users.filter(({ closed }) => !closed);
    // A user may be on its way: then the count is not 0.
    if ((used || complete) && Atomics.compareExchange(state, USERS, 0, ENDED) === 0) break;
    // Said before the last look: who queues something after it sees that, and wakes.
    Atomics.store(state, SLEEP, ASLEEP);
    if (users.some(({ queue }) => queue.pending)) ring.poll();
    else if (!ring.wait()) return; // the process exits, and takes all with it
    Atomics.store(state, SLEEP, AWAKE);
  }
  void ring.close();
}

own(workerData as OwnerData);
