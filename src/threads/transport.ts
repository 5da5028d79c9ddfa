/**
 * The mounting thread's transport where others serve. It has the device: INIT comes there and is answered here, when every
 * thread is ready for what is agreed. Over io_uring it then reads on for ever, for FORGET and INTERRUPT come nowhere else,
 * and hands those to the threads; over the device each thread reads from a descriptor of its own, and this one rests.
 */
import { SystemError } from '../abi/errno.ts';
import { FUSE_DEV_IOC_CLONE } from '../abi/fuse-constants.ts';
import { Memory } from '../abi/memory.ts';
import { O_CLOEXEC, O_RDWR } from '../abi/posix.ts';
import { close, ioctl, open, usableCpus } from '../abi/syscall.ts';
import { DeviceTransport } from '../protocol/device.ts';
import type { Filesystem } from '../protocol/filesystem.ts';
import { type Agreement, payloadSize } from '../protocol/init.ts';
import { retrieverOf } from '../protocol/notify.ts';
import type { Session } from '../protocol/session.ts';
import type { Slot } from '../protocol/slot.ts';
import type { Begun, Transport, TransportKind } from '../protocol/transport.ts';
import { describe, type PlanOptions, plan } from '../uring/transport-plan.ts';
import { linux, whyNotOffered } from '../uring/transport-system.ts';
import type { FromWorker } from './messages.ts';
import { shareOut } from './share-out.ts';
import type { Workers } from './workers.ts';

export class ThreadsTransport implements Transport {
  readonly gone: Promise<void>;
  readonly #fd: number;
  readonly #session: Session;
  readonly #workers: Workers;
  readonly #options: PlanOptions;
  readonly #device: DeviceTransport;
  #kind: TransportKind | undefined;
  #going = false;
  #closed = false;
  /** Warnings that one thread has given: another's are no news. */
  readonly #warned = new Set<string>();

  /** Takes the descriptor over: it is closed when the connection ends. */
  constructor(fd: number, session: Session, workers: Workers, options: PlanOptions) {
    this.#fd = fd;
    this.#session = session;
    this.#workers = workers;
    this.#options = options;
    this.#device = new DeviceTransport(fd, session);
    session.attach(this);
    session.notify.withoutResend();
    session.elsewhere = {
      interrupt: (unique) => workers.post({ kind: 'interrupt', unique }),
      retrieved: (unique, offset, data) => this.#retrieved(unique, offset, Uint8Array.from(data)),
    };
    workers.onTold = (message, index) => this.#told(message, index);
    workers.onFailed = (error) => session.end({ reason: 'failed', error });
    this.gone = workers.gone;
  }

  start(): void {
    this.#device.start();
  }

  async begin(agreement: Agreement): Promise<Begun> {
    if (!agreement.agreed.has('OVER_IO_URING')) return { begun: false, what: whyNotOffered() };
    const of = plan(linux.cpus(), payloadSize(agreement.reply), { ...this.#options, threaded: true });
    const parts = shareOut(of.queues, usableCpus(), this.#workers.count);
    const answers = await this.#workers.ask('prepared', (index) => {
      const { queues, cpus } = parts[index] ?? { queues: [], cpus: [] }; // more threads than queues
      return { kind: 'prepare', fd: this.#fd, agreement, queues, cpus };
    });
    const refused = answers.find(({ begun }) => !begun);
    if (refused) return { begun: false, what: refused.what };
    return { begun: true, what: `${describe(of)}, for ${counted(parts.length)}` };
  }

  async agreed(agreement: Agreement, transport: TransportKind): Promise<void> {
    this.#kind = transport;
    const { transportReason: reason } = this.#session;
    const answers = await this.#workers.ask('adopted', () => {
      const fd = transport === 'device' ? clone(this.#fd) : -1;
      return { kind: 'adopt', agreement, transport, reason, fd };
    });
    for (const { error } of answers) if (error !== undefined) throw error;
  }

  answer(slot: Slot, answer: number): void {
    const agreed = this.#kind !== undefined && !this.#going && answer >= 0;
    // Over io_uring too, until it is known that the kernel takes the entries: else it would ask here.
    if (agreed) this.#device.rest();
    this.#device.answer(slot, answer);
    if (!agreed) return;
    this.#going = true;
    this.#go().catch((error) => this.#session.end({ reason: 'failed', error }));
  }

  async #go(): Promise<void> {
    const answers = await this.#workers.ask('begun', () => ({ kind: 'go' }));
    if (this.#kind === 'device' || this.#closed) return;
    const refused = answers.find(({ refused }) => refused !== undefined)?.refused;
    if (refused === undefined) {
      this.#device.beside();
      this.#device.gathering();
      this.#device.start();
      return;
    }
    this.#kind = 'device';
    this.#session.withoutRing(refused); // which ends it, where nothing but a ring will do
    if (!this.#closed) this.#workers.each(() => ({ kind: 'device', fd: clone(this.#fd), reason: refused }));
  }

  release(slot: Slot): void {
    this.#device.release(slot);
  }
  park(slot: Slot, whole: boolean): undefined {
    return this.#device.park(slot, whole);
  }
  resume(): void {
    this.#device.resume();
  }
  resize(sizes: { request: number; reply: number }): void {
    this.#device.resize(sizes);
  }
  duplicate(): number {
    return this.#device.duplicate();
  }

  close(): void {
    this.#closed = true;
    this.#device.close();
    this.#workers.end();
  }

  /** What a thread says. */
  #told(message: FromWorker, index: number): void {
    const { onError, trace } = this.#session.options;
    const session = this.#session;
    switch (message.kind) {
      case 'trace':
        return trace?.(message.event);
      case 'error':
        return onError ? onError(message.error, message.operation) : session.report(message.error, message.operation);
      case 'warning':
        if (this.#warned.has(message.message)) return;
        this.#warned.add(message.message);
        return session.warn(message.message);
      case 'caller':
        if (message.pid !== session.notify.writer) session.onCaller?.(message.pid);
        return;
      case 'notify':
        return void this.#notify(message, index);
      case 'interrupt':
        return this.#workers.others({ kind: 'interrupt', unique: message.unique }, index);
      case 'retrieved':
        return this.#retrieved(message.unique, message.offset, message.data);
      case 'look':
        return this.#kind === 'uring' ? this.#device.look() : undefined;
      case 'over':
        // Of the end of the connection the device knows best.
        if (this.#kind === 'uring' && message.end.reason !== 'failed') this.#device.look();
        return session.end(message.end);
    }
  }

  async #notify({ id, name, message }: Extract<FromWorker, { kind: 'notify' }>, index: number): Promise<void> {
    let error: unknown;
    try {
      await this.#session.notify.pass(name, Buffer.from(message));
    } catch (refused) {
      error = refused;
    }
    this.#workers.post({ kind: 'written', id, error: error instanceof SystemError ? error.errno : error }, index);
  }

  #retrieved(unique: bigint, offset: number, data: Uint8Array): void {
    const index = retrieverOf(unique);
    if (index >= 0) this.#workers.post({ kind: 'retrieved', unique, offset, data }, index);
    else this.#session.notify.retrieved(unique, offset, data);
  }
}

const counted = (threads: number): string => (threads === 1 ? 'one thread' : `${threads} threads`);

/** A descriptor of the same connection that has requests of its own. */
function clone(fd: number): number {
  const cloned = open('/dev/fuse', O_RDWR | O_CLOEXEC);
  const of = new Memory(4);
  try {
    new DataView(of.buffer).setUint32(0, fd, true);
    ioctl(cloned, FUSE_DEV_IOC_CLONE, of.address);
    return cloned;
  } catch (error) {
    close(cloned);
    throw error;
  } finally {
    of.free();
  }
}

/** FORGETs in a message at most: the first ones are not to wait for the last. */
const MOST = 1024;

/** What the mounting thread's session serves: it has FORGETs handed on, to one thread after the other, all of a turn in one message. */
export function standIn(workers: Workers): Filesystem {
  let pairs: number[] = [];
  let next = 0;
  let leave: (() => void) | undefined;
  const send = () => {
    if (pairs.length > 0) workers.post({ kind: 'forget', pairs: Float64Array.from(pairs) }, next++ % workers.count);
    pairs = [];
  };
  return {
    ...workers.shape,
    init(connection) {
      leave = workers.attend?.(connection);
    },
    forget(_, { nodeid, nlookup }) {
      if (pairs.length === 0) setImmediate(send);
      pairs.push(nodeid, nlookup);
      if (pairs.length >= 2 * MOST) send();
    },
    destroy() {
      leave?.();
      return workers.destroyed;
    },
  };
}
