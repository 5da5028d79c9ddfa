/**
 * A small kernel's half for tests of whole connections: a socketpair stands for /dev/fuse, with a session
 * and its device transport at one end and a `TestKernel`, which asks and collects replies, at the other. All
 * in one thread, because nothing in here waits: what a full socket does not take is sent on a later turn.
 *
 * It is no simulator: it keeps no inodes and never thinks about what it sends.
 */
import { EAGAIN } from '../../src/abi/errno.ts';
import { fuse_out_header } from '../../src/abi/fuse.ts';
import { Memory } from '../../src/abi/memory.ts';
import { F_GETFL, F_SETFL, O_NONBLOCK } from '../../src/abi/posix.ts';
import { close, fcntl, read, socketpair, type Watch, watch, writeBytes } from '../../src/abi/syscall.ts';
import { DeviceTransport } from '../../src/protocol/device.ts';
import type { Filesystem } from '../../src/protocol/filesystem.ts';
import type { OperationName } from '../../src/protocol/operations.ts';
import { Session, type SessionOptions } from '../../src/protocol/session.ts';
import { encodeRequest, type Head, initRequest, type Sent } from './support.ts';

/** Bytes that a reply may have: 1 MiB of data and its header, and more. */
const ROOM = (1 << 20) + 8192;
/** Bytes on their way in each direction, where the process may ask for so much (root). */
const SOCKET = 8 << 20;

export class TestKernel {
  readonly session: Session;
  readonly device: DeviceTransport;
  /** What the session reported to onError and onWarning. */
  readonly errors: { error: unknown; operation: string }[] = [];
  readonly warnings: string[] = [];
  /** Replies in the order of their coming, all of them; a unique that is here twice was answered twice. */
  readonly replies: Sent[] = [];
  /** Messages that the session began. */
  readonly notifications: Buffer[] = [];
  /** Replies whose form is wrong: a length that is not the message's, an error that the kernel refuses. */
  readonly malformed: Buffer[] = [];
  /** The descriptor of the session's end, while it is open. */
  readonly served: number;
  readonly #fd: number;
  readonly #memory = new Memory(ROOM);
  readonly #bytes = Buffer.from(this.#memory.buffer, 0, ROOM);
  readonly #waiting = new Map<bigint, (reply: Sent) => void>();
  #outgoing: Uint8Array[] = [];
  #retry: NodeJS.Timeout | undefined;
  #watch: Watch | undefined;
  #next = 2n;
  #closed = false;

  constructor(filesystem: Filesystem, options: SessionOptions = {}) {
    const [fd, served] = socketpair(SOCKET);
    this.#fd = fd;
    this.served = served;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0) | O_NONBLOCK);
    this.session = new Session(filesystem, {
      onError: (error, operation) => this.errors.push({ error, operation }),
      onWarning: (message) => this.warnings.push(message),
      ...options,
    });
    this.device = new DeviceTransport(served, this.session);
    this.device.start();
    this.listen();
  }

  /** A kernel whose INIT is done. */
  static async start(filesystem: Filesystem, options: SessionOptions = {}): Promise<TestKernel> {
    const kernel = new TestKernel(filesystem, options);
    await kernel.asked(initRequest({}, kernel.unique()));
    await kernel.session.ready;
    return kernel;
  }

  /** A request id that was not used yet: even, as the kernel's are. */
  unique(): bigint {
    const unique = this.#next;
    this.#next += 2n;
    return unique;
  }

  /** Sends a request; its id. */
  send(operation: OperationName, args: Readonly<Record<string, unknown>> = {}, head: Head = {}): bigint {
    const unique = head.unique ?? this.unique();
    this.post(encodeRequest(operation, args, { ...head, unique }));
    return unique;
  }

  /** Sends a request and waits for its reply. */
  ask(operation: OperationName, args: Readonly<Record<string, unknown>> = {}, head: Head = {}): Promise<Sent> {
    return this.asked(encodeRequest(operation, args, { ...head, unique: head.unique ?? this.unique() }));
  }

  /** Sends a whole message and waits for its reply. */
  asked(message: Buffer): Promise<Sent> {
    const reply = this.reply(message.readBigUInt64LE(8));
    this.post(message);
    return reply;
  }

  /** The next reply with that id, of those that have come or will. */
  reply(unique: bigint): Promise<Sent> {
    const come = this.replies.find((reply) => reply.unique === unique);
    if (come !== undefined) return Promise.resolve(come);
    return new Promise((resolve) => this.#waiting.set(unique, resolve));
  }

  /** Sends bytes as one message, whatever they are. Messages keep their order. */
  post(message: Uint8Array): void {
    this.#outgoing.push(message);
    if (this.#retry === undefined) this.#flush();
  }

  #flush(): void {
    this.#retry = undefined;
    let sent = 0;
    while (sent < this.#outgoing.length && !this.#closed) {
      const n = writeBytes(this.#fd, this.#outgoing[sent]!);
      if (n === -EAGAIN.errno) break;
      sent++; // a session that is gone loses what is sent to it
    }
    this.#outgoing = this.#outgoing.slice(sent);
    if (this.#outgoing.length > 0 && !this.#closed) this.#retry = setTimeout(() => this.#flush(), 2);
  }

  /** Reads replies as they come. */
  listen(): void {
    this.#watch ??= watch(this.#fd, { readable: true }, () => this.#collect());
  }
  /** Reads no replies until `listen`: the socket fills. */
  ignore(): void {
    this.#watch?.close();
    this.#watch = undefined;
  }

  #collect(): void {
    for (;;) {
      const n = read(this.#fd, this.#memory.address, ROOM);
      if (n === 0) return this.ignore(); // the session has closed its end
      if (n < 0) return;
      const message = Buffer.from(this.#bytes.subarray(0, n));
      if (n >= fuse_out_header.size && message.readUInt32LE(0) === n && message.readBigUInt64LE(8) === 0n) {
        this.notifications.push(message);
        continue;
      }
      const error = n < fuse_out_header.size ? 1 : message.readInt32LE(4);
      const fits = n >= fuse_out_header.size && message.readUInt32LE(0) === n && error <= 0 && error > -512;
      if (!fits || (error !== 0 && n !== fuse_out_header.size)) {
        this.malformed.push(message);
        continue;
      }
      const reply = { unique: message.readBigUInt64LE(8), error, body: message.subarray(fuse_out_header.size) };
      this.replies.push(reply);
      this.#waiting.get(reply.unique)?.(reply);
      this.#waiting.delete(reply.unique);
    }
  }

  /** How often a request was answered. */
  answers(unique: bigint): number {
    return this.replies.filter((reply) => reply.unique === unique).length;
  }

  /** Ends the connection from the kernel's side, as an unmount does. */
  hangUp(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#retry);
    this.ignore();
    close(this.#fd);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.hangUp();
    await this.session.closed;
  }
}

/** Lets what is ready happen: a few turns of the event loop. */
export async function turns(count = 5): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}
