/**
 * The second transport: requests come as completions in an io_uring, replies go as commands. Since Linux 6.14, where
 * fuse.enable_uring is Y. A command commits the reply of an entry and waits for its next request, so that one system call
 * takes the replies of a whole turn and brings the requests that have come meanwhile.
 *
 * /dev/fuse is read beside it for ever, by the first transport (protocol/device.ts): INIT, FORGET and INTERRUPT come
 * nowhere else, and notifications are written there. What carried a request carries its reply.
 *
 * An entry is lent until its reply: a handler that waits keeps it, and with all of a queue's entries kept nothing comes
 * from that CPU any more, not even the unlock that others wait for. So further entries are registered while some are left,
 * up to a limit, and the last of all never waits for a lock: it is answered ENOLCK. The kernel does not give further entries
 * what waits in its queue already; only a commit there takes that out. Where no entry is left that will be committed, a
 * request of our own making is: a RETRIEVE of nothing, written on the queue's CPU, whose NOTIFY_REPLY comes to one of them.
 * @see fs/fuse/dev_uring.c
 */
import {
  EAGAIN,
  ECANCELED,
  ECONNABORTED,
  EINTR,
  EIO,
  ENOENT,
  ENOLCK,
  ENOTCONN,
  type Errno,
  errno,
  SystemError,
} from '../abi/errno.ts';
import { fuse_lk_in, fuse_out_header } from '../abi/fuse.ts';
import { FUSE_IO_URING_CMD_COMMIT_AND_FETCH, FUSE_IO_URING_CMD_REGISTER } from '../abi/fuse-constants.ts';
import { F_UNLCK } from '../abi/posix.ts';
import { close, duplicate } from '../abi/syscall.ts';
import { DeviceTransport } from '../protocol/device.ts';
import { type Agreement, payloadSize } from '../protocol/init.ts';
import { encodeNotification } from '../protocol/notify.ts';
import { type Operation, operations } from '../protocol/operations.ts';
import type { Session } from '../protocol/session.ts';
import type { Slot } from '../protocol/slot.ts';
import type { Transport } from '../protocol/transport.ts';
import { SUBSYSTEM, slotOf } from './queues.ts';
import type { Ring } from './ring.ts';
import { Commands, holdFile } from './transport-command.ts';
import { type Entry, EntryBuffers, EntryMemory, OP_IN, slotIn, unpack, WORD } from './transport-entry.ts';
import { Lookout } from './transport-lookout.ts';
import { describe, type Plan, type PlanOptions, plan } from './transport-plan.ts';
import type { Beside, Share } from './transport-share.ts';
import { LostSignals } from './transport-signals.ts';
import { linux, type TransportSystem, whyNotOffered } from './transport-system.ts';

/** Places for commands in the submission queue: more go in with another system call. */
const PLACES = 256;
/** Bytes of a reply from which on it is not kept until the turn's end: written now, it is still in the CPU's cache. */
const LARGE = 64 << 10;
/** Bytes of a request that waits outside of its entry. */
const SMALL = 8192;

/** The operations whose handlers hold the entry's payload: data that came, or room for the reply. */
const holding = new Uint8Array(0x1_0000);
for (const { code, data, reply } of Object.values(operations) as Operation[])
  if (code < holding.length && (data !== undefined || reply !== undefined)) holding[code] = 1;
const SETLKW = operations.SETLKW.code;
const NOTIFY_REPLY = operations.NOTIFY_REPLY.code;
const LOCK_TYPE = fuse_lk_in.offset.lk + 16;

/** What is known of the entries of a queue. */
interface Queue {
  readonly index: number;
  entries: number;
  /** Those registered later, and never used yet: they take nothing out of a queue that was full. */
  fresh: number;
  /** Those whose handler has not settled. */
  waiting: number;
  /** A request of our own making is on its way. */
  nudged: boolean;
}
/** The ids of those requests: even, the queue's number in it, and neither the kernel's nor a RETRIEVE's of the session. */
const NUDGE = 1n << 61n;
const NUDGE_HIGH = Number(NUDGE >> 32n);

export class UringTransport implements Transport {
  readonly gone: Promise<void>;
  /** Of what `begin` has set up. */
  plan: Plan | undefined;
  readonly #session: Session;
  readonly #device: Beside;
  readonly #share: Share | undefined;
  readonly #deviceFd: number;
  readonly #options: PlanOptions;
  readonly #system: TransportSystem;
  #ring: Ring | undefined;
  #commands: Commands | undefined;
  #memory: EntryMemory | undefined;
  /** The ring's own descriptor: commands may be on their way when the other is closed already. */
  #fd = -1;
  #entries: Entry[] = [];
  #queues: Queue[] = [];
  /** Whether the kernel has been given the entries. */
  #registered = false;
  /** Whether a request has ever come: then the ring is ready. */
  #ready = false;
  /** Whether a handler has waited for a lock. */
  #locks = false;
  /** Why there are to be no further entries. */
  #limited = false;
  #warned = false;
  /** Whether a lock was refused. */
  #full = false;
  /** Commands that the kernel has, or is about to get. */
  #outstanding = 0;
  /** Commands that found no place. */
  #backlog: Entry[] = [];
  /** Requests that the session has. */
  #held = 0;
  /** Slots without an entry, and memory for requests that wait outside of theirs. */
  #spare: Slot[] = [];
  #apart: Slot[] = [];
  #small: EntryBuffers[] = [];
  #served = 0;
  readonly #lookout = new Lookout();
  readonly #signals = new LostSignals();
  #closed = false;
  #ended = false;
  #free: (() => void) | undefined;
  #resolveGone!: () => void;

  /** Takes the descriptor over: it is closed when the connection ends. With a `share` it is another's, and not closed. */
  constructor(fd: number, session: Session, options: PlanOptions = {}, system: TransportSystem = linux, share?: Share) {
    this.#deviceFd = fd;
    this.#session = session;
    this.#options = options;
    this.#system = system;
    this.#share = share;
    this.#device = share?.beside ?? new DeviceTransport(fd, session);
    session.attach(this);
    this.gone = new Promise((resolve) => {
      this.#resolveGone = resolve;
    });
  }

  start(): void {
    this.#device.start();
  }

  // Setting up.

  begin({ agreed, reply }: Agreement): { begun: boolean; what: string } {
    if (!agreed.has('OVER_IO_URING')) return { begun: false, what: whyNotOffered(this.#system) };
    try {
      const of = plan(this.#system.cpus(), payloadSize(reply), this.#options);
      this.plan = of;
      this.#memory = new EntryMemory(of, this.#system.reserve);
      this.#queues = Array.from({ length: of.queues }, (_, index) => ({
        index,
        entries: 0,
        fresh: 0,
        waiting: 0,
        nudged: false,
      }));
      // One for each queue first: the kernel begins when none is without.
      const mine = this.#share?.queues ?? this.#queues.map(({ index }) => index);
      this.#add(mine.length * of.depth, (i) => mine[i % mine.length]!);
      // An entry has one completion to come at most, so that none is ever without a place.
      const completions = Math.min(65_536, Math.max(2 * PLACES, mine.length * of.most));
      this.#ring = this.#system.ring({ entries: PLACES, completions, sqe128: true });
      this.#fd = duplicate(this.#deviceFd);
      // A ring of a thread of its own is nobody else's either: it can hold the file.
      if (this.#share) holdFile(this.#ring, this.#fd, this.#system);
      this.#commands = new Commands(this.#ring.queues, this.#share ? 'held' : this.#fd);
      this.#ring.attach(SUBSYSTEM.fuse, this.#reaped, this.#again);
      this.#free = this.#ring.occupy();
      return { begun: true, what: describe(of) };
    } catch (error) {
      this.drop();
      return { begun: false, what: (error as Error).message };
    }
  }

  /** Gives back what was set up in vain. */
  drop(): void {
    this.plan = undefined;
    this.#entries = [];
    this.#memory?.drop();
    this.#memory = undefined;
    this.#free?.();
    this.#free = undefined;
    this.#ring?.close();
    this.#ring = undefined;
    if (this.#fd >= 0) close(this.#fd);
    this.#fd = -1;
  }

  /** Makes entries; they are registered with `#register`. */
  #add(count: number, queueOf: (i: number) => number): Entry[] {
    const made = [...this.#memory!.entries(this.#entries.length, count, queueOf)];
    for (const entry of made) {
      this.#entries.push(entry);
      this.#queues[entry.queue]!.entries++;
    }
    return made;
  }

  /** Gives entries to the kernel. */
  #register(entries: readonly Entry[]): void {
    for (const entry of entries) this.#command(entry, FUSE_IO_URING_CMD_REGISTER);
    this.#ring!.flush();
  }

  /** INIT's reply is out: only now are entries taken. What is wrong with them is known at once. */
  begun(): void {
    this.#registered = true;
    this.#device.beside();
    this.#register(this.#entries);
    this.#ring?.poll();
  }

  /** Further entries for a queue, as many as it may have. */
  #grow(queue: Queue, wanted: number): void {
    if (this.#share?.queues.includes(queue.index) === false) return; // another thread's
    const count = Math.min(wanted, this.plan!.most - queue.entries);
    if (count <= 0 || this.#limited || this.#closed) return;
    try {
      const made = this.#add(count, () => queue.index);
      for (const entry of made) entry.fresh = true;
      queue.fresh += count;
      this.#register(made);
    } catch (error) {
      this.#noMore((error as Error).message);
    }
  }
  #noMore(why: string): void {
    if (!this.#limited) this.#session.warn(`no further entries for the FUSE ring: ${why}`);
    this.#limited = true;
  }

  // Commands.

  #command(entry: Entry, command: number): void {
    entry.command = command;
    entry.state = 'kernel';
    this.#outstanding++;
    const ring = this.#ring!;
    if (ring.queues.full) ring.flush();
    if (this.#backlog.length > 0 || ring.queues.full) this.#backlog.push(entry);
    else this.#commands!.place(entry);
    ring.later();
  }

  /** Sends an entry's reply and lets it wait for the next request. Its memory is the kernel's from now on. */
  #commit(entry: Entry, answer: number): void {
    if (entry.waiting) {
      entry.waiting = false;
      this.#queues[entry.queue]!.waiting--;
    }
    if (this.#closed) return;
    const { words } = entry.buffers;
    const size = answer < 0 ? 0 : answer;
    entry.answer = answer;
    entry.opcode = words[WORD.opcode]!;
    words[WORD.length] = fuse_out_header.size + size;
    words[WORD.error] = answer < 0 ? answer : 0;
    // unique stands where the request had it
    words[WORD.payloadSize] = size;
    this.#command(entry, FUSE_IO_URING_CMD_COMMIT_AND_FETCH);
    if (size >= LARGE) this.#ring!.flush();
  }

  // Completions.

  readonly #reaped = (low: number, _high: number, res: number): void => {
    const entry = this.#entries[slotOf(low)];
    if (entry === undefined || entry.state !== 'kernel') return;
    this.#outstanding--;
    entry.state = 'here';
    try {
      if (this.#closed) this.#endIfDone();
      else if (res >= 0) this.#deliver(entry);
      else this.#failed(entry, res);
    } catch (error) {
      this.#session.end({ reason: 'failed', error });
    }
  };

  #deliver(entry: Entry): void {
    this.#served++;
    this.#ready = true;
    if (entry.fresh) {
      entry.fresh = false;
      this.#queues[entry.queue]!.fresh--;
    }
    entry.answer = undefined;
    const { words, bytes } = entry.buffers;
    const size = words[WORD.payloadSize]! >>> 0;
    if (size > bytes.length) {
      this.#session.warn(`a request in the ring says that ${size} bytes are in a payload of ${bytes.length}`);
      return this.#commit(entry, -EIO.errno);
    }
    const opcode = words[WORD.opcode]!;
    if (opcode === NOTIFY_REPLY && words[WORD.commitHigh] === NUDGE_HIGH) {
      this.#queues[entry.queue]!.nudged = false;
      return this.#commit(entry, 0);
    }
    this.#held++;
    if (this.#session.options.handlerTimeout !== undefined && holding[opcode & 0xffff] === 1)
      return this.#session.serve(this.#setApart(entry, size));
    entry.slot.end = opcode === NOTIFY_REPLY ? unpack(entry.buffers, size) : size;
    this.#session.serve(entry.slot);
  }

  /** The request in a slot of its own: it may be answered while its handler holds the payload. */
  #setApart(entry: Entry, size: number): Slot {
    const slot = this.#apart.pop() ?? this.#memory!.apart();
    const buffers = slot.buffers as EntryBuffers;
    entry.buffers.copyTo(buffers, size);
    slot.end = size;
    return slot;
  }

  #failed(entry: Entry, res: number): void {
    const { command } = entry;
    if (res === -EAGAIN.errno || res === -EINTR.errno) return this.#command(entry, command);
    if (res === -ENOTCONN.errno || res === -ECONNABORTED.errno || res === -ECANCELED.errno) return this.#over(res);
    const name = command === FUSE_IO_URING_CMD_REGISTER ? 'REGISTER' : 'COMMIT_AND_FETCH';
    const what = `${name} of entry ${entry.index}, queue ${entry.queue}: ${errno(-res).code}`;
    const queue = this.#queues[entry.queue]!;
    queue.entries--;
    if (entry.fresh) queue.fresh--;
    entry.fresh = false;
    if (command === FUSE_IO_URING_CMD_REGISTER) {
      // A queue without any keeps the ring from ever being ready, and the kernel then asks over the device.
      if (this.#ready) this.#noMore(what);
      else if (queue.entries === 0) this.#session.withoutRing(what);
      return;
    }
    // The reply's error stands where the request had its opcode.
    entry.buffers.words[WORD.opcode] = entry.opcode;
    if (entry.answer !== undefined) this.#session.refused(entry.slot, entry.answer);
    if (res === -ENOENT.errno && queue.entries > 0) {
      if (!this.#warned) this.#session.warn(`the kernel knows no such request: ${what}`);
      this.#warned = true;
      return this.#grow(queue, 1);
    }
    const state = `answer ${entry.answer}, opcode ${entry.opcode}, ${queue.waiting} of ${queue.entries} waiting`;
    this.#session.end({ reason: 'failed', error: new Error(`the FUSE ring failed: ${what} (${state})`) });
  }

  /** The kernel takes its entries down: the connection is over, and the device says how it ended. */
  #over(res: number): void {
    this.#device.look();
    if (!this.#closed) this.#session.end({ reason: res === -ECONNABORTED.errno ? 'aborted' : 'unmounted' });
  }

  /** Whether the ring is to be looked at again before the loop goes on. */
  readonly #again = (round: number): boolean => {
    if (this.#closed) return false;
    const { queues } = this.#ring!;
    while (this.#backlog.length > 0 && queues.space > 0) this.#commands!.place(this.#backlog.shift()!);
    const served = this.#served;
    this.#served = 0;
    // One of several threads sleeps in the kernel at once: there, on its own CPU, it is in nobody's way.
    return this.#share === undefined && this.#lookout.again(round, served, queues, this.#session.waiting);
  };

  // What the session calls.

  answer(slot: Slot, answer: number): void {
    if (slot.opAt !== OP_IN) {
      this.#device.answer(slot, answer);
      if (!this.#registered && this.plan !== undefined && answer >= 0 && !this.#closed) this.begun();
      return;
    }
    if (this.#closed) return this.#session.refused(slot, answer);
    const buffers = slot.buffers as EntryBuffers;
    const { entry } = buffers;
    if (entry === undefined) return; // answered already
    if (entry.buffers === buffers) {
      // With the reply the memory is the kernel's, so it goes when the session has released the slot.
      entry.answer ??= answer;
      return;
    }
    if (answer > 0) buffers.body.copy(entry.buffers.body, 0, 0, answer);
    buffers.entry = undefined;
    this.#commit(entry, answer);
  }

  release(slot: Slot): void {
    if (slot.opAt !== OP_IN) return this.#device.release(slot);
    this.#held--;
    if (this.#signals.size > 0) this.#signals.delete(slot.request);
    slot.request.reset();
    const buffers = slot.buffers as EntryBuffers;
    const { entry } = buffers;
    if (entry?.buffers === buffers) return this.#commit(entry, entry.answer ?? 0); // 0: what has no reply has one here
    buffers.entry = undefined;
    if (entry !== undefined) this.#commit(entry, 0);
    if (this.#closed) return;
    if (buffers.body.length === SMALL) {
      this.#small.push(buffers);
      this.#spare.push(slot);
    } else this.#apart.push(slot);
  }

  park(slot: Slot, whole: boolean): Errno | undefined {
    if (slot.opAt !== OP_IN) return this.#device.park(slot, whole);
    const buffers = slot.buffers as EntryBuffers;
    const entry = buffers.entry!;
    const queue = this.#queues[entry.queue]!;
    entry.waiting = true;
    queue.waiting++;
    this.#signals.add(slot.request);
    const lock = slot.request.opcode === SETLKW && slot.view.getUint32(OP_IN + LOCK_TYPE, true) !== F_UNLCK;
    if (!whole && entry.buffers === buffers && slot.end <= SMALL) this.#moveOut(entry, slot);
    // Locks are waited for without end, and what ends the waiting comes through the same queues: all get what they may have.
    if (lock && !this.#locks) {
      this.#locks = true;
      for (const each of this.#queues) this.#grow(each, this.plan!.most);
    } else if (2 * queue.waiting > queue.entries) this.#grow(queue, queue.entries);
    if (queue.waiting < queue.entries - queue.fresh || (queue.fresh > 0 && this.#nudge(queue, slot))) return undefined;
    if (!lock) return undefined;
    if (!this.#full)
      this.#session.warn(
        `${queue.waiting} requests of CPU ${queue.index} wait: further ones for a lock are answered ENOLCK; ring_limit raises that`,
      );
    this.#full = true;
    return ENOLCK;
  }

  /**
   * Makes a request on a queue's CPU, whose commit takes out what may wait in that queue. False where it can't be made: of
   * what is no regular file the kernel retrieves nothing.
   */
  #nudge(queue: Queue, { request: { nodeid } }: Slot): boolean {
    if (queue.nudged) return true;
    try {
      const values = { notify_unique: NUDGE + BigInt(2 * queue.index), nodeid, offset: 0, size: 0 };
      this.#ring!.flush(); // the entries that it is to come to
      this.#system.notify(this.#deviceFd, encodeNotification('RETRIEVE', values), queue.index);
      queue.nudged = true;
      return true;
    } catch (error) {
      if (error instanceof SystemError) return false; // a CPU that this process may not run on
      throw error;
    }
  }

  /** The request, with its slot, to memory of its own: it may be answered whatever its handler still does. */
  #moveOut(entry: Entry, slot: Slot): void {
    const small = this.#small.pop() ?? new EntryBuffers(this.#system.reserve(2 * SMALL), SMALL, 0, SMALL);
    entry.buffers.copyTo(small, slot.end);
    slot.use(small);
    entry.slot = this.#spare.pop() ?? slotIn(entry.buffers);
    entry.slot.use(entry.buffers);
  }

  resume(): void {
    this.#device.resume();
    if (this.#ring === undefined || this.#closed) return;
    this.#served++; // late, but as much a reason to look out for the next
    this.#ring.later();
  }

  resize(sizes: { request: number; reply: number }): void {
    this.#device.resize(sizes);
  }

  duplicate(): number {
    return this.#device.duplicate();
  }

  watch(fd: number, ready: () => void): () => void {
    return this.#ring === undefined ? this.#device.watch(fd, ready) : this.#ring.watch(fd, ready);
  }

  // The end.

  /** Lets everything stand as it is: the thread is about to end, and the kernel takes back what is its. */
  leave(): void {
    this.#closed = true;
    this.#signals.end();
    this.#free?.();
    this.#free = undefined;
    this.#ring?.unwatch();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#signals.end();
    this.#device.close();
    const ring = this.#ring;
    if (ring === undefined) return this.#resolveGone();
    ring.flush(); // replies that are on their way
    this.#outstanding -= this.#backlog.length;
    this.#backlog = [];
    setImmediate(() => this.#cancel(ring));
    this.#endIfDone();
  }

  /** Where the connection lives on in the kernel, entries have to be asked to come back. */
  #cancel(ring: Ring): void {
    if (this.#ended) return;
    ring.poll();
    for (const { state, index } of this.#entries) if (state === 'kernel') ring.cancelOf(SUBSYSTEM.fuse, index, 0);
  }

  /** When the kernel has no entry any more, the ring goes, and with it the last descriptor. */
  #endIfDone(): void {
    if (!this.#closed || this.#ended || this.#outstanding > 0) return;
    this.#ended = true;
    // Not now: the ring may be in the middle of telling us.
    setImmediate(async () => {
      this.#free?.();
      await this.#ring?.close();
      if (this.#fd >= 0) close(this.#fd);
      if (this.#held === 0) this.#memory?.drop();
      this.#memory = undefined;
      this.#entries = [];
      this.#resolveGone();
    });
  }
}
