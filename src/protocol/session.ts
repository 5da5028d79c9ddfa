/**
 * One connection with the kernel: INIT, requests in flight, interrupts, notifications, the end. It knows
 * neither which transport it has nor which filesystem.
 *
 * A request that is answered at once leaves no trace here. One whose handler returned a promise gets a
 * record in `inflight`, from which INTERRUPT finds it, a time limit ends it, and a test sees that nothing
 * is left. Errors come in three kinds: a filesystem's answer (an errno: sent), a bug (EIO, and reported
 * once), the connection's end (no error at all).
 */
import { EINTR, EIO, ENOTCONN, EPROTO, type Errno, ESTALE, ETIMEDOUT } from '../abi/errno.ts';
import { type fuse_forget_one, fuse_in_header, type fuse_init_in, type fuse_init_out } from '../abi/fuse.ts';
import { FUSE_UNIQUE_RESEND, type InitFlag } from '../abi/fuse-constants.ts';
import { BackingFiles } from './backing.ts';
import type { Connection } from './connection.ts';
import { type Answer, answersNothing, beforeInit, type Server, type Steps, serve, stepsFor } from './dispatch.ts';
import { EarlyInterrupts } from './early.ts';
import type { Filesystem } from './filesystem.ts';
import {
  type Agreement,
  bufferSizes,
  type ConnectionOptions,
  isLaterMajor,
  NegotiationError,
  negotiate,
  OUR_VERSION,
  payloadSize,
  wishes,
} from './init.ts';
import { Notifications, type Relay } from './notify.ts';
import type { Args, OperationName, ReplyDefaults } from './operations.ts';
import { operationOf, Refused } from './refused.ts';
import { Request } from './request.ts';
import type { Slot } from './slot.ts';
import { isFatal, knownErrno } from './thrown.ts';
import { wireTime } from './times.ts';
import { type Observer, Tracer } from './trace.ts';
import type { Begun, End, Transport, TransportKind } from './transport.ts';

export interface SessionOptions extends ConnectionOptions {
  /** Seconds, fractions allowed, that the kernel may use an entry without asking again, where the filesystem does not say. Default: its `timeouts`, else 1. */
  readonly entryTimeout?: number | undefined;
  /** The same for attributes. */
  readonly attrTimeout?: number | undefined;
  /** Seconds after which a handler that has not settled is answered for, with ETIMEDOUT. Default: never. */
  readonly handlerTimeout?: number | undefined;
  /** Gets each error that is no errno, once. Default: printed with its stack. */
  readonly onError?: ((error: unknown, operation: string) => void) | undefined;
  /** Gets what the user should know, one line each. Default: printed. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Why requests do not come over io_uring, where `ring` is absent: for people to read. */
  readonly transportReason?: string | undefined;
  /** Gets an event for each request, reply and notification. Costs nothing when absent. */
  readonly trace?: Observer | undefined;
  /** In one of several threads that serve a connection: how notifications are sent. @internal */
  readonly relay?: Relay | undefined;
}

/** What comes to this thread and may concern another one of those that serve a connection. */
export interface Elsewhere {
  interrupt(unique: bigint): void;
  retrieved(unique: bigint, offset: number, data: Buffer): void;
}

/** A request that has not been answered yet. */
export interface InFlight {
  readonly operation: OperationName;
  readonly unique: bigint;
  readonly nodeid: number;
  readonly pid: number;
  /** When its handler began, as performance.now(): milliseconds. */
  readonly since: number;
}
interface Pending extends InFlight {
  unique: bigint;
  readonly slot: Slot;
  /** Answered without its handler, whose result is dropped when it comes. */
  over: boolean;
}

/** What setTimeout takes; longer, it fires at once. */
const LONGEST = 0x7fff_ffff;
const WARNINGS_KEPT = 100;

export class Session implements Server {
  readonly filesystem: Filesystem;
  readonly options: SessionOptions;
  readonly own: object;
  readonly defaults: ReplyDefaults;
  steps: Steps = [];
  /** Resolves when INIT is done; rejects when that failed. */
  readonly ready: Promise<Agreement>;
  /** Resolves when the connection is over and the filesystem destroyed. */
  readonly closed: Promise<End>;
  readonly #backing = new BackingFiles(() => this.#io!.duplicate());
  readonly notify: Notifications;
  /** What was agreed; undefined before INIT. */
  agreement: Agreement | undefined;
  /** What carries the requests: known when INIT is done. */
  transport: TransportKind = 'device';
  /** Why it is that one and not the other. */
  transportReason: string;

  #io: Transport | undefined;
  #tracer: Tracer | undefined;
  readonly #inflight = new Map<bigint, Pending>();
  readonly #early = new EarlyInterrupts();
  readonly #refused: Refused;
  readonly #strangers = new Set<number>();
  /** What the user was told so far, a line each: why something is not as it could be. */
  readonly warnings: string[] = [];
  #unknown = new Set<number>();
  #timer: NodeJS.Timeout | undefined;
  #over: End | undefined;
  /** Whether the filesystem's init was called, so that destroy is due. */
  #begun = false;
  #resolveReady!: (agreement: Agreement) => void;
  #rejectReady!: (error: unknown) => void;
  #resolveClosed!: (end: End) => void;
  /** The other threads that serve this connection. @internal */
  elsewhere: Elsewhere | undefined;
  /** How many requests have been served, in a place where other threads may look. */
  counts: Float64Array = new Float64Array(1);
  /** Called with the thread id of each caller that was not seen before. */
  onCaller: ((pid: number) => void) | undefined;

  /** Throws a NegotiationError when filesystem and options ask for what the kernel would refuse. */
  constructor(filesystem: Filesystem, options: SessionOptions = {}) {
    wishes(filesystem, options);
    this.filesystem = filesystem;
    this.options = options;
    this.transportReason = options.transportReason ?? '';
    const entry = wireTime(options.entryTimeout ?? filesystem.timeouts?.entry ?? 1);
    const attr = wireTime(options.attrTimeout ?? filesystem.timeouts?.attr ?? 1);
    this.defaults = { entry_valid: entry.s, entry_valid_nsec: entry.ns, attr_valid: attr.s, attr_valid_nsec: attr.ns };
    this.own = {
      init: (_: Request, init: fuse_init_in) => this.#init(init),
      destroy: () => undefined, // the filesystem's is called at the end, however that comes
      forget: (request: Request, { nlookup }: Args<'FORGET'>) =>
        this.#forget(request, { nodeid: request.nodeid, nlookup }),
      batch_forget: (request: Request, { forgets }: Args<'BATCH_FORGET'>) => {
        for (const one of forgets) if (this.#over === undefined) this.#forget(request, one);
      },
      interrupt: (_: Request, { unique }: Args<'INTERRUPT'>) => {
        if (!this.interrupt(unique)) this.elsewhere?.interrupt(unique);
      },
      notify_reply: ({ unique }: Request, { offset, data }: Args<'NOTIFY_REPLY'>) => {
        if (!this.notify.retrieved(unique, offset, data)) this.elsewhere?.retrieved(unique, offset, data);
      },
    };
    this.ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve;
      this.#rejectReady = reject;
    });
    this.ready.catch(() => {}); // `closed` tells it too: nobody has to listen here
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    if (options.trace) this.#tracer = new Tracer(options.trace);
    this.notify = new Notifications(() => this.#io!.duplicate(), this.#tracer, options.relay);
    this.#refused = new Refused({
      resent: () => this.notify.resent,
      forget: (request, one) => this.#forget(request, one),
      release: (method, request, fh) => {
        const args = { fh, flags: 0, release_flags: 0, lock_owner: 0n };
        const operation = method === 'release' ? 'RELEASE' : 'RELEASEDIR';
        this.#unanswered(operation, request, () => this.filesystem[method]?.(request, args));
      },
    });
    this.steps = beforeInit;
  }

  /** Requests not answered yet, oldest first. */
  get inflight(): readonly InFlight[] {
    // A request that came again stands last in the map.
    return [...this.#inflight.values()].sort((a, b) => a.since - b.since);
  }
  /** Resolves when nothing of the connection is left in this process; `closed` does not wait for that. */
  get gone(): Promise<unknown> {
    return Promise.all([this.notify.gone, this.#io?.gone]);
  }
  /** Whether a handler is waiting for something: a transport that spins then burns what the handler needs. */
  get waiting(): boolean {
    return this.#inflight.size > 0;
  }

  /** Called by the transport, before its first request. */
  attach(transport: Transport): void {
    this.#io = transport;
  }

  /** Serves the request in the slot: answers it, now or when its handler is done. Called by the transport; never throws. */
  serve(slot: Slot): void {
    const { view } = slot;
    this.counts[0]!++;
    this.#tracer?.request(slot);
    if (this.onCaller !== undefined) this.#caller(view.getUint32(32, true));
    if (view.getUint32(12, true) >= 0x8000_0000 && this.#joined(slot)) return;
    if (this.#early.size > 0 && this.#early.take(slot.request.unique)) slot.request.abort(EINTR);
    // No node of ours: nodeids are numbers. Said here, so that no handler meets it.
    if (view.getUint32(20, true) > 0x1f_ffff)
      return this.#settle(slot, answersNothing(slot.request.opcode) ? undefined : -ESTALE.errno);
    const answer = serve(this, slot);
    if (typeof answer === 'object') this.#wait(slot, answer);
    else this.#settle(slot, answer);
  }

  #settle(slot: Slot, answer: Answer): void {
    if (answer !== undefined) {
      this.#tracer?.reply(slot, answer);
      this.#io!.answer(slot, answer);
    }
    this.#io!.release(slot);
  }

  #wait(slot: Slot, answer: Promise<Answer>): void {
    const { request } = slot;
    const [operation, row] = operationOf(request.opcode)!;
    const { unique, nodeid, pid } = request;
    const pending: Pending = { operation, unique, nodeid, pid, since: performance.now(), slot, over: false };
    const other = this.#inflight.get(unique);
    if (other !== undefined) this.#answer(other, EIO); // no kernel gives an id out twice
    this.#inflight.set(unique, pending);
    const refusal = this.#io!.park(slot, row.data !== undefined || row.reply !== undefined);
    if (this.#over !== undefined)
      this.#end(pending, ENOTCONN); // by the handler itself
    else if (refusal !== undefined) this.#answer(pending, refusal);
    else if (this.options.handlerTimeout !== undefined) this.#limit();
    answer.then((value) => this.#late(pending, value));
  }

  #late(pending: Pending, answer: Answer): void {
    const { slot } = pending;
    try {
      if (!pending.over) {
        this.#inflight.delete(pending.unique);
        this.#settle(slot, answer);
      } else {
        if (answer !== undefined && answer >= 0) this.#refused.takeBack(slot, answer);
        this.#io!.release(slot);
      }
      this.#io!.resume();
    } catch (error) {
      this.end({ reason: 'failed', error }); // as for a request that is answered at once: never a rejection that nobody handles
    }
  }

  /** Sees to the time limit of the oldest request in flight. */
  #limit(): void {
    if (this.#timer !== undefined || this.#inflight.size === 0) return;
    const limit = this.options.handlerTimeout! * 1000;
    const left = limit - (performance.now() - this.inflight[0]!.since);
    const timedOut = () => {
      this.#timer = undefined;
      const due = performance.now() - limit;
      for (const pending of [...this.#inflight.values()]) {
        // A signal's listener may have ended the session, or more.
        if (pending.since > due || pending.over) continue;
        this.#answer(pending, ETIMEDOUT);
      }
      this.#limit();
    };
    this.#timer = setTimeout(timedOut, Math.min(LONGEST, Math.max(0, Math.ceil(left))));
    this.#timer.unref();
  }

  /** Answers a request in place of its handler. */
  #answer(pending: Pending, error: Errno): void {
    this.#end(pending, error);
    this.#tracer?.reply(pending.slot, -error.errno);
    this.#io!.answer(pending.slot, -error.errno);
  }

  /** The request is over for its caller; its handler may still run, and holds the slot's buffers until it is done. */
  #end(pending: Pending, reason: Errno): void {
    pending.over = true;
    this.#inflight.delete(pending.unique);
    pending.slot.request.abort(reason);
  }

  // Session operations.

  #init(init: fuse_init_in): fuse_init_out | Promise<fuse_init_out> {
    if (this.#begun) throw EIO;
    if (isLaterMajor(init)) return OUR_VERSION;
    try {
      const offer = negotiate(init, this.filesystem, this.options);
      const begun =
        this.options.ring && (this.#io!.begin?.(offer) ?? { begun: false, what: 'this transport has none' });
      if (!(begun instanceof Promise) && this.#io!.agreed === undefined)
        return this.#agreed(this.#agree(init, offer, begun));
      return this.#initLater(init, offer, begun).catch((error) => this.#disagree(error));
    } catch (error) {
      return this.#disagree(error);
    }
  }

  /** Where setting up takes a while. */
  async #initLater(init: fuse_init_in, offer: Agreement, begun: Promise<Begun> | Begun | undefined) {
    const agreement = this.#agree(init, offer, await begun);
    await this.#io!.agreed?.(agreement, this.transport);
    return this.#agreed(agreement);
  }

  #agreed(agreement: Agreement): fuse_init_out {
    this.#serveUnder(agreement);
    this.#tracer?.agreed(agreement, this);
    // The reply goes out first: who waits for `ready` may send notifications at once.
    setImmediate(() => this.#resolveReady(agreement));
    return agreement.reply;
  }

  #disagree(error: unknown): never {
    setImmediate(() => this.end({ reason: 'failed', error }));
    throw error instanceof NegotiationError ? EPROTO : error;
  }

  #serveUnder(agreement: Agreement): void {
    this.#begun = true;
    const warn = (message: string) => this.warn(message);
    const note = this.#tracer && ((message: string) => this.#tracer!.note(message));
    const watch: Connection['watch'] = (fd, ready) => this.#io!.watch!(fd, ready);
    const own = { notify: this.notify, warn, note, backing: this.#backing, watch };
    const done: unknown = this.filesystem.init?.({ ...agreement, ...own });
    if (done instanceof Promise) done.catch((error) => this.report(error, 'INIT'));
    this.agreement = agreement;
    this.steps = stepsFor(agreement.agreed.has('SETXATTR_EXT'));
    this.#io!.resize(bufferSizes(agreement.reply));
  }

  /** Serves under what another thread has agreed with the kernel, in place of INIT. @internal */
  adopt(agreement: Agreement, transport: TransportKind, reason: string): void {
    this.transport = transport;
    this.transportReason = reason;
    if (transport === 'uring') this.notify.overRing(payloadSize(agreement.reply));
    this.#tracer?.extended(agreement);
    this.#serveUnder(agreement);
    this.#resolveReady(agreement);
  }

  /** What is agreed. With OVER_IO_URING only if the ring is there: the kernel would let all requests wait for it. */
  #agree(init: fuse_init_in, agreement: Agreement, ring: Begun | undefined): Agreement {
    if (ring === undefined) return agreement;
    const { begun, what } = ring;
    this.transportReason = what;
    if (begun) {
      this.transport = 'uring';
      this.notify.overRing(payloadSize(agreement.reply));
      return agreement;
    }
    if (this.options.ring === 'must') throw noRing(what);
    return negotiate(init, this.filesystem, { ...this.options, ring: undefined });
  }

  /** The kernel has taken back what was agreed: all requests come over the device. Called by the transport. */
  withoutRing(why: string): void {
    if (this.options.ring === 'must') return this.end({ reason: 'failed', error: noRing(why) });
    this.overDevice(why);
    this.warn(`requests come over /dev/fuse: ${why}`);
  }

  /** From now on they do: the transport knows. @internal */
  overDevice(why: string): void {
    this.transport = 'device';
    this.transportReason = why;
    this.notify.overRing(undefined);
  }

  /** Never throws: the lookups beside this one are to be taken back too, but for where it is the end of all: each would wait for the same lock. */
  #forget(request: Request, one: fuse_forget_one): void {
    this.#unanswered('FORGET', request, () => this.filesystem.forget?.(request, one));
  }

  /** Calls a method whose result goes nowhere: an errno means nothing there, and a bug is reported. */
  #unanswered(operation: OperationName, request: Request, call: () => unknown): void {
    const failed = (error: unknown) => void this.#errnoOf(error, operation, request);
    try {
      const done = call();
      if (done instanceof Promise) done.catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  /** Lookups that the kernel takes back, told to another thread: nodeids, each with its count. @internal */
  forget(pairs: Float64Array): void {
    for (let i = 0; i < pairs.length && this.#over === undefined; i += 2)
      this.#forget(FORGETTING, { nodeid: pairs[i]!, nlookup: pairs[i + 1]! });
  }

  /**
   * INTERRUPT may come before its request, during it, or after its answer; with the request's old id or with its new one.
   * Whether it concerns one that runs. @internal
   */
  interrupt(unique: bigint): boolean {
    const pending = this.#running(unique);
    if (pending !== undefined) {
      pending.slot.request.abort(EINTR);
      return true;
    }
    this.#early.add(unique);
    return false;
  }

  /** The request with that id, whether it came once or again. */
  #running(unique: bigint): Pending | undefined {
    return this.#inflight.get(unique) ?? this.#inflight.get(unique ^ FUSE_UNIQUE_RESEND);
  }

  /**
   * A request came a second time, because of NOTIFY_RESEND. True if it needs no handler: the first one
   * still runs, or its answer was refused and is sent now.
   */
  #joined(slot: Slot): boolean {
    const { unique, opcode } = slot.request;
    const pending = this.#running(unique);
    if (pending !== undefined && pending.slot.request.opcode === opcode) {
      // Only the new unique is answered from now on. The transport takes it from the request's header.
      pending.slot.view.setBigUint64(8, unique, true);
      this.#inflight.delete(pending.unique);
      pending.unique = unique;
      this.#inflight.set(unique, pending);
      this.#io!.release(slot);
      return true;
    }
    const answer = this.#refused.again(slot);
    if (answer === undefined) return false;
    this.#settle(slot, answer);
    return true;
  }

  /** The kernel knows no such request (any more), so it did not get the lookup or the handle in the reply. Called by the transport. */
  refused(slot: Slot, answer: number): void {
    this.#refused.take(slot, answer, this.#over !== undefined);
  }

  // What dispatch needs.

  promises(flag: InitFlag): boolean {
    return (this.filesystem.promises as readonly InitFlag[] | undefined)?.includes(flag) ?? false;
  }

  failed(thrown: unknown, { request }: Slot): number {
    return this.#errnoOf(thrown, operationOf(request.opcode)?.[0] ?? 'unknown', request);
  }

  /** What to answer for something thrown; reports what is no errno, and ends with what is fatal. Never throws, whatever that is. */
  #errnoOf(thrown: unknown, operation: string, { aborted }: Request): number {
    try {
      const errno = knownErrno(thrown, aborted);
      if (errno !== undefined) return errno;
    } catch {
      // a getter or a proxy that throws
    }
    if (isFatal(thrown)) this.end({ reason: 'failed', error: thrown });
    else this.report(thrown, operation);
    return EIO.errno;
  }

  unknown(opcode: number): void {
    if (this.#unknown.has(opcode) || this.#unknown.size > 64) return;
    this.#unknown.add(opcode);
    this.warn(`the kernel sent an operation that rawfuse does not know: ${opcode}; answered ENOSYS`);
  }

  /** Tells of an error that is no errno. @internal */
  report(error: unknown, operation: string): void {
    const { onError } = this.options;
    try {
      if (onError) onError(error, operation);
      else console.error(`rawfuse: ${operation} failed with an error that is no errno:`, error);
    } catch {
      console.error(`rawfuse: ${operation} failed with an error that is no errno, and reporting it failed too`);
    }
  }

  /** Tells the user something once. */
  warn(message: string): void {
    if (this.warnings.length < WARNINGS_KEPT) this.warnings.push(message);
    this.#tracer?.warning(message);
    try {
      if (this.options.onWarning) this.options.onWarning(message);
      else console.error(`rawfuse: ${message}`);
    } catch (error) {
      this.report(error, 'onWarning');
    }
  }

  #caller(pid: number): void {
    if (this.#strangers.has(pid) || pid === this.notify.writer) return;
    if (this.#strangers.size > 1000) this.#strangers.clear();
    this.#strangers.add(pid);
    this.onCaller!(pid);
  }

  /**
   * The connection is over. Called by the transport, or to fail from this side; a second call does nothing.
   * Handlers that still run are told by their signal, and what they come to afterwards is taken back. `destroy`
   * is called if `init` was, or would have been.
   */
  end(end: End): void {
    if (this.#over !== undefined) return;
    this.#over = end;
    clearTimeout(this.#timer);
    this.#early.end();
    this.notify.close(); // first: what follows runs code of the filesystem's, and the descriptor is about to go
    this.#backing.end();
    this.#io!.close();
    for (const pending of [...this.#inflight.values()]) this.#end(pending, ENOTCONN);
    this.#refused.end();
    this.#tracer?.ended(end);
    this.#rejectReady(end.error ?? new NegotiationError('the connection ended before INIT'));
    // Handlers that heed their signal settle first.
    setImmediate(async () => {
      try {
        if (this.#begun) await this.filesystem.destroy?.();
      } catch (error) {
        this.report(error, 'DESTROY');
      }
      this.#resolveClosed(end);
    });
  }
}

/** FORGETs that another thread has read come without their header, in which nobody is named. */
const FORGETTING = new Request(new DataView(new ArrayBuffer(fuse_in_header.size)));

const noRing = (why: string): NegotiationError => new NegotiationError(`FUSE over io_uring can't be had: ${why}`);
