/**
 * Messages that the server begins: "this inode has changed", "this name is gone". Nine of them, each a
 * method that settles with the kernel's answer.
 *
 * They are written by a thread of their own. INVAL_INODE, INVAL_ENTRY, DELETE and STORE wait in the kernel
 * for the lock of a directory or a page, which any unanswered request may hold, even one that nobody has
 * read: written by the thread that answers requests, such a write would wait for itself. One at a time, in
 * the order of the calls, so that whoever ends the session knows which were written.
 *
 * A handler may send one but must not wait for it: its own request may be what the notification waits for.
 * So whoever only sends need not catch either: a refusal that nobody looks at is no unhandled rejection.
 * @see fs/fuse/dev.c: fuse_notify
 */
import type { Worker } from 'node:worker_threads';
import { EINVAL, ENOTCONN, EOPNOTSUPP, SystemError } from '../abi/errno.ts';
import * as f from '../abi/fuse.ts';
import * as c from '../abi/fuse-constants.ts';
import type { AnyStruct } from '../abi/struct.ts';
import { close } from '../abi/syscall.ts';
import { startWorker } from '../abi/worker.ts';
import { encodeName } from './names.ts';
import type { Tracer } from './trace.ts';

/** What a notification is made of: one line a notification. */
export interface NotificationRow {
  readonly code: number;
  readonly out?: AnyStruct;
  /** What follows the struct: a name with its NUL, raw data, or nodeids. */
  readonly tail?: 'name' | 'data' | 'nodeids';
}
// biome-ignore format: a table, a notification a line
export const notifications = {
  POLL:        { code: c.FUSE_NOTIFY_POLL,        out: f.fuse_notify_poll_wakeup_out },
  INVAL_INODE: { code: c.FUSE_NOTIFY_INVAL_INODE, out: f.fuse_notify_inval_inode_out },
  INVAL_ENTRY: { code: c.FUSE_NOTIFY_INVAL_ENTRY, out: f.fuse_notify_inval_entry_out, tail: 'name' },
  STORE:       { code: c.FUSE_NOTIFY_STORE,       out: f.fuse_notify_store_out,       tail: 'data' },
  RETRIEVE:    { code: c.FUSE_NOTIFY_RETRIEVE,    out: f.fuse_notify_retrieve_out },
  DELETE:      { code: c.FUSE_NOTIFY_DELETE,      out: f.fuse_notify_delete_out,      tail: 'name' },
  RESEND:      { code: c.FUSE_NOTIFY_RESEND },
  INC_EPOCH:   { code: c.FUSE_NOTIFY_INC_EPOCH },
  PRUNE:       { code: c.FUSE_NOTIFY_PRUNE,       out: f.fuse_notify_prune_out,       tail: 'nodeids' },
} as const satisfies Record<string, NotificationRow>;
export type NotificationName = keyof typeof notifications;

/** A notification as it goes to the kernel. Its code is positive, and `unique` 0 tells it from a reply. */
export function encodeNotification(name: NotificationName, values: object, tail: Uint8Array = EMPTY): Buffer {
  const { code, out }: NotificationRow = notifications[name];
  const head = f.fuse_out_header.size;
  const message = Buffer.alloc(head + (out?.size ?? 0) + tail.length);
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  f.fuse_out_header.encode(view, 0, { len: message.length, error: code, unique: 0n });
  out?.encode(view, head, values as never);
  message.set(tail, head + (out?.size ?? 0));
  return message;
}
const EMPTY = new Uint8Array(0);

/** The ids of our RETRIEVEs: even, and far from the kernel's own, which count up from 2. */
const FIRST_RETRIEVE = 1n << 62n;
/** How long after a RESEND its requests may still be on their way, in ms. */
const RESENDING = 5_000;

interface Waiting {
  readonly message: Buffer;
  readonly name: NotificationName;
  resolve(): void;
  reject(error: unknown): void;
}
interface Retrieving {
  resolve(data: { offset: number; data: Buffer }): void;
  reject(error: unknown): void;
}

/** In one of several threads that serve a connection: another one writes what it sends. */
export interface Relay {
  /** The first id of its RETRIEVEs. */
  readonly firstRetrieve: bigint;
  send(name: NotificationName, message: Buffer): Promise<void>;
}
/** The first RETRIEVE of one of several threads, and whose one is. */
export const firstRetrieveOf = (index: number): bigint => FIRST_RETRIEVE + (BigInt(index + 1) << 40n);
export const retrieverOf = (unique: bigint): number => Number((unique - FIRST_RETRIEVE) >> 40n) - 1;

export class Notifications {
  readonly #relay: Relay | undefined;
  readonly #duplicate: () => number;
  readonly #tracer: Tracer | undefined;
  readonly #queue: Waiting[] = [];
  readonly #retrieves = new Map<bigint, Retrieving>();
  #nextRetrieve: bigint;
  #worker: Worker | undefined;
  #gone: Promise<void> = Promise.resolve();
  /** The writing thread's id, which it puts here before it writes. */
  readonly #tid = new Int32Array(new SharedArrayBuffer(4));
  #writing: Waiting | undefined;
  #closed = false;
  #resends: boolean;
  #resentUntil = 0;
  /** Where requests come over a ring: the bytes of a payload there. */
  #payload: number | undefined;

  /** `duplicate` gives a descriptor of the connection for the writing thread alone. */
  constructor(duplicate: () => number, tracer?: Tracer, relay?: Relay) {
    this.#duplicate = duplicate;
    this.#tracer = tracer;
    this.#relay = relay;
    this.#resends = relay === undefined;
    this.#nextRetrieve = relay?.firstRetrieve ?? FIRST_RETRIEVE;
  }

  /** A file that POLL was asked about is ready now; `kh` is from its request. */
  poll(kh: bigint): Promise<void> {
    return this.#send('POLL', { kh });
  }
  /**
   * Attributes of the node have changed, and its data from `off` for `len` bytes (0 or less: to the end);
   * with a negative `off` the attributes alone. ENOENT if the kernel does not know the node.
   */
  inval_inode(nodeid: number, off = 0, len = 0): Promise<void> {
    return this.#send('INVAL_INODE', { ino: nodeid, off, len });
  }
  /** The name may mean something else now. With `expire` it is looked up again at its next use instead of dropped. ENOENT. */
  inval_entry(parent: number, name: string, { expire = false } = {}): Promise<void> {
    const bytes = encodeName(name);
    const values = { parent, namelen: bytes.length, flags: expire ? c.FUSE_EXPIRE_ONLY : 0 };
    return this.#send('INVAL_ENTRY', values, withNul(bytes));
  }
  /** The name of `child` is gone: watchers (inotify) are told. ENOENT, ENOTEMPTY. */
  delete(parent: number, child: number, name: string): Promise<void> {
    const bytes = encodeName(name);
    return this.#send('DELETE', { parent, child, namelen: bytes.length }, withNul(bytes));
  }
  /** Puts data into the page cache of the node, as if it had been read. ENOENT. */
  store(nodeid: number, offset: number, data: Uint8Array): Promise<void> {
    return this.#send('STORE', { nodeid, offset, size: data.length }, data);
  }
  /** Takes data out of the page cache: what is there at `offset`, at most `size` bytes (a copy). ENOENT. */
  async retrieve(nodeid: number, offset: number, size: number): Promise<{ offset: number; data: Buffer }> {
    const notify_unique = this.#nextRetrieve;
    this.#nextRetrieve += 2n;
    // In a ring the reply's struct lies in the payload, before the data, and the kernel does not look whether both fit.
    const most = this.#payload === undefined ? size : this.#payload - f.fuse_notify_retrieve_in.size;
    const data = new Promise<{ offset: number; data: Buffer }>((resolve, reject) =>
      this.#retrieves.set(notify_unique, { resolve, reject }),
    );
    data.catch(() => {});
    try {
      await this.#send('RETRIEVE', { notify_unique, nodeid, offset, size: Math.min(size, most) });
    } catch (error) {
      this.#retrieves.delete(notify_unique);
      throw error;
    }
    return data;
  }
  /**
   * Asks (7.40 and later) for every unanswered request once more: each comes with bit 63 of `unique` set, and only that
   * one is to be answered. EOPNOTSUPP where requests come over io_uring: the kernel (6.18) would take it, and do nothing;
   * and where several threads serve, of which another one would get the request.
   */
  resend(): Promise<void> {
    if ((this.#payload !== undefined || !this.#resends) && !this.#closed) return optional(Promise.reject(EOPNOTSUPP));
    this.#resentUntil = Number.POSITIVE_INFINITY;
    const over = () => {
      this.#resentUntil = performance.now() + RESENDING;
    };
    const sent = this.#send('RESEND', {});
    sent.then(over, over);
    return sent;
  }
  /** Every name that the kernel (7.44 and later) has cached is to be looked up again. */
  inc_epoch(): Promise<void> {
    return this.#send('INC_EPOCH', {});
  }
  /** The kernel (7.45 and later) is to forget these nodes where nobody uses them. EINVAL for none. */
  prune(nodeids: readonly number[]): Promise<void> {
    const tail = Buffer.alloc(nodeids.length * 8);
    for (const [i, nodeid] of nodeids.entries()) tail.writeBigUInt64LE(BigInt(nodeid), i * 8);
    return nodeids.length === 0
      ? optional(Promise.reject(EINVAL))
      : this.#send('PRUNE', { count: nodeids.length }, tail);
  }

  /** Requests come over a ring, with payloads of so many bytes; or, undefined, not. @internal */
  overRing(payload: number | undefined): void {
    this.#payload = payload;
  }
  /** Requests that are sent again may come to another thread than the first time. @internal */
  withoutResend(): void {
    this.#resends = false;
  }
  /** Whether requests that were sent again may still be on their way. @internal */
  get resent(): boolean {
    return performance.now() < this.#resentUntil;
  }

  /** NOTIFY_REPLY has brought what a RETRIEVE asked for. Whether it was asked for here. @internal */
  retrieved(unique: bigint, offset: number, data: Uint8Array): boolean {
    const retrieving = this.#retrieves.get(unique);
    this.#retrieves.delete(unique);
    retrieving?.resolve({ offset, data: Buffer.from(data) });
    return retrieving !== undefined;
  }

  /** The session is over: what is not written yet never will be. @internal */
  close(): void {
    this.#closed = true;
    const refused = this.#queue.splice(0);
    if (this.#writing) refused.unshift(this.#writing);
    this.#writing = undefined;
    for (const waiting of refused) waiting.reject(ENOTCONN);
    for (const retrieving of this.#retrieves.values()) retrieving.reject(ENOTCONN);
    this.#retrieves.clear();
    this.#worker?.postMessage(undefined); // it ends
  }
  /** The id of the thread that writes: what comes of a notification (NOTIFY_REPLY, a WRITE of dirty pages) is sent in its name. @internal */
  get writer(): number {
    return this.#tid[0]!;
  }
  /** Whether one is being written: the kernel may hold the writing thread up. @internal */
  get writing(): boolean {
    return this.#writing !== undefined;
  }
  /** Resolves when the writing thread is gone and its descriptor closed. Held up in a write it goes only when the kernel's connection does. @internal */
  get gone(): Promise<void> {
    return this.#gone;
  }

  #send(name: NotificationName, values: object, tail?: Uint8Array): Promise<void> {
    return optional(this.#enqueue(name, values, tail));
  }

  /** Queued when this returns; what can't be encoded or written at all rejects. */
  async #enqueue(name: NotificationName, values: object, tail?: Uint8Array): Promise<void> {
    const message = encodeNotification(name, values, tail);
    return this.pass(name, message);
  }

  /** Sends what is encoded already. @internal */
  async pass(name: NotificationName, message: Buffer): Promise<void> {
    if (this.#closed) throw ENOTCONN;
    if (this.#relay !== undefined) return this.#relay.send(name, message);
    this.#worker ??= this.#start();
    return new Promise((resolve, reject) => {
      this.#queue.push({ message, name, resolve, reject });
      this.#next();
    });
  }

  #next(): void {
    if (this.#writing !== undefined) return;
    this.#writing = this.#queue.shift();
    if (this.#writing !== undefined) this.#worker!.postMessage(this.#writing.message);
  }

  #start(): Worker {
    const fd = this.#duplicate();
    let worker: Worker;
    try {
      worker = startWorker(import.meta.url, './notify-thread', { workerData: { fd, tid: this.#tid } });
    } catch (error) {
      close(fd);
      throw error;
    }
    worker.unref();
    // Closed here, when nobody can be writing to it any more, however the thread ended.
    this.#gone = new Promise((resolve) =>
      worker.once('exit', () => {
        close(fd);
        resolve();
      }),
    );
    worker.on('message', (errno: number) => this.#written(errno));
    worker.on('error', (error) => {
      this.#writing?.reject(error);
      this.close();
    });
    return worker;
  }

  #written(errno: number): void {
    const written = this.#writing;
    if (written === undefined) return;
    this.#writing = undefined;
    this.#tracer?.notification(written.name, written.message, errno);
    if (errno === 0) written.resolve();
    else written.reject(new SystemError(errno, written.name));
    this.#next();
  }
}

/** A promise that nobody needs to look at. */
const optional = <T>(promise: Promise<T>): Promise<T> => {
  promise.catch(() => {});
  return promise;
};
const withNul = (bytes: Uint8Array): Buffer => Buffer.concat([bytes, Buffer.of(0)]);
