/**
 * What the mounting thread and the threads that serve say to each other, and what they share. Nothing here is on the path
 * of a request.
 */

import type { MountOptions } from '../options.ts';
import type { Agreement } from '../protocol/init.ts';
import type { NotificationName } from '../protocol/notify.ts';
import type { InFlight, SessionOptions } from '../protocol/session.ts';
import type { TraceEvent } from '../protocol/trace.ts';
import type { Begun, End, TransportKind } from '../protocol/transport.ts';
import type { WakeHandle } from '../uring/wake.ts';

/** What the default export of a filesystem's module gets, in each thread. */
export interface WorkerContext<Shared = unknown, Options = unknown> {
  /** Which thread this is: 0 to `count - 1`. */
  readonly index: number;
  /** How many threads serve the mount. */
  readonly count: number;
  /** What the module's `share` has returned: the same memory in all threads. */
  readonly shared: Shared;
  /** `filesystem` of the options of `mount`. */
  readonly options: Options;
}

/** The word of a thread's shared state. */
export const STATE = 0;
/** Values of STATE: whether the thread may have something open that must not be torn from it. */
export const RUNNING = 0;
export const LEFT = 1;

/** What a thread is started with. */
export interface Start {
  readonly index: number;
  readonly count: number;
  /** The filesystem's module. */
  readonly module: string;
  readonly shared: unknown;
  readonly options: unknown;
  readonly mount: MountOptions;
  readonly session: SessionOptions;
  readonly traced: boolean;
  readonly wake: WakeHandle;
  readonly words: Int32Array;
  /** How many requests it has served. */
  readonly counts: Float64Array;
}

/** A message without what it is about. */
type Of<K extends string, T = object> = { readonly kind: K } & Readonly<T>;

export type ToWorker =
  /** Set a ring up, for these queues, and run on these CPUs. Answered by `prepared`. */
  | Of<'prepare', { fd: number; agreement: Agreement; queues: readonly number[]; cpus: readonly number[] }>
  /** This is what was agreed. Over the device, `fd` is the thread's own descriptor. Answered by `adopted`. */
  | Of<'adopt', { agreement: Agreement; transport: TransportKind; reason: string; fd: number }>
  /** The kernel knows of it: requests may come. Answered by `begun`. */
  | Of<'go'>
  /** The kernel has taken the ring back: requests come over this descriptor. */
  | Of<'device', { fd: number; reason: string }>
  /** Tell of each thread that calls and was not seen before, from now on. */
  | Of<'callers'>
  | Of<'forget', { pairs: Float64Array }>
  | Of<'interrupt', { unique: bigint }>
  | Of<'retrieved', { unique: bigint; offset: number; data: Uint8Array }>
  /** What the kernel said to a notification. */
  | Of<'written', { id: number; error: unknown }>
  | Of<'in flight', { id: number }>
  /** The connection is over. */
  | Of<'end'>
  /** The process exits. */
  | Of<'leave'>;

export type FromWorker =
  /** The filesystem is made: its handlers, and what it promises. */
  | Of<'made', { handlers: readonly string[]; promises: readonly string[] }>
  | Of<'not made', { error: unknown }>
  | Of<'prepared', Begun>
  | Of<'adopted', { error: unknown }>
  /** The kernel has what it needs of this thread, or has refused it. */
  | Of<'begun', { refused: string | undefined }>
  | Of<'trace', { event: TraceEvent }>
  | Of<'error', { error: unknown; operation: string }>
  | Of<'warning', { message: string }>
  | Of<'caller', { pid: number }>
  | Of<'notify', { id: number; name: NotificationName; message: Uint8Array }>
  | Of<'interrupt', { unique: bigint }>
  | Of<'retrieved', { unique: bigint; offset: number; data: Uint8Array }>
  | Of<'in flight', { id: number; requests: readonly InFlight[] }>
  /** The kernel's entries come back: the device knows how the connection ended. */
  | Of<'look'>
  | Of<'over', { end: End }>
  /** The filesystem is destroyed. */
  | Of<'destroyed'>;

export type Kind<M extends { kind: string }, K extends M['kind']> = Extract<M, { kind: K }>;
