/**
 * Serving: from a descriptor of /dev/fuse and a filesystem to a session with its transport, on this thread or on threads of its own. Whether the
 * descriptor is of a mount of ours (mount.ts) or of somebody else's makes no difference here.
 */
import { fstatSync, type Stats } from 'node:fs';
import { atExit } from './abi/exit.ts';
import { withOverrides } from './fs/overrides.ts';
import { abortConnection, connectionInode, connectionOf } from './mountinfo.ts';
import { checkOptions, type MountOptions, OptionError } from './options.ts';
import { DeviceTransport } from './protocol/device.ts';
import type { Filesystem } from './protocol/filesystem.ts';
import { type InFlight, Session, type SessionOptions } from './protocol/session.ts';
import type { End } from './protocol/transport.ts';
import { startThreads } from './threads/module.ts';
import { standIn, ThreadsTransport } from './threads/transport.ts';
import type { Workers } from './threads/workers.ts';
import { UringTransport } from './uring/transport.ts';

/** Why there is no mount: one line, for the user. */
export class MountError extends Error {
  override readonly name = 'MountError';
  /** What kind of reason: `not-found`, `not-a-directory`, `not-root`, `no-device`, `dead-mount`, `failed`. */
  readonly reason: string;
  constructor(reason: string, message: string, cause?: unknown) {
    super(message, { cause });
    this.reason = reason;
  }
}

/** What a session reports to, beside a mount's options. */
export type Hooks = Pick<SessionOptions, 'onError' | 'onWarning' | 'trace'>;

/** What a filesystem that is a module is told. */
export interface ModuleOptions {
  /** Reaches the module's `share` and its default export, in each thread: something that can be copied to them. */
  readonly filesystem?: unknown;
}

/** A session over a descriptor. */
export interface Serving {
  readonly session: Session;
  /** How it ended, when it has: unmounted, aborted or failed. Never rejects. */
  readonly closed: Promise<End>;
  /** Requests not answered yet, of all threads that serve, oldest first. `session.inflight` has those of this thread alone. */
  inFlight(): Promise<readonly InFlight[]>;
  /** How many requests each thread has served. */
  readonly served: readonly number[];
}

/**
 * Serves a filesystem over a descriptor that somebody else opened: a mount helper's, a socketpair's. It is closed at the end. By threads, as `mount` does,
 * where the filesystem is the URL of a module: over /dev/fuse alone, for each has a descriptor of its own of the same connection. Resolves when they are there.
 */
export function serve(filesystem: Filesystem, fd: number, options?: MountOptions & Hooks): Serving;
export function serve(module: URL, fd: number, options?: MountOptions & Hooks & ModuleOptions): Promise<Serving>;
export function serve(
  either: Filesystem | URL,
  fd: number,
  options?: MountOptions & Hooks & ModuleOptions,
): Serving | Promise<Serving>;
export function serve(
  filesystem: Filesystem | URL,
  fd: number,
  options: MountOptions & Hooks & ModuleOptions = {},
): Serving | Promise<Serving> {
  if (filesystem instanceof URL) return serveByThreads(filesystem, fd, options);
  const prepared = prepare(options);
  noThreads(prepared.mount);
  pollable(fd);
  return serving(filesystem, fd, prepared);
}

async function serveByThreads(
  module: URL,
  fd: number,
  options: MountOptions & Hooks & ModuleOptions,
): Promise<Serving> {
  const prepared = prepare({ threads: 1, ...options });
  if (pollable(fd).isSocket())
    throw new MountError('no-device', `descriptor ${fd} is a socket, and threads need /dev/fuse: each opens it`);
  const workers = await startThreads(module, options.filesystem, prepared.mount, prepared.session);
  try {
    return serving(workers.shape, fd, prepared, workers);
  } catch (error) {
    workers.end();
    await workers.gone;
    throw error;
  }
}

function serving(filesystem: Filesystem, fd: number, prepared: Prepared, workers?: Workers): Serving {
  const { session } = start(filesystem, fd, prepared, workers);
  const connection = connectionOf(fd);
  const inode = connection && connectionInode(connection);
  // The mount is not ours to detach. But a notification held up in the kernel must not hold up our exit; and a ring goes
  // with us, after which nobody else could serve.
  const forget = atExit(() => {
    if (connection === undefined || (!session.notify.writing && session.transport === 'device')) return;
    if (connectionInode(connection) === inode) abortConnection(connection);
  });
  const closed = session.closed.then(async (end) => {
    await session.gone;
    forget();
    return withHanging(end, session, workers);
  });
  return {
    ...{ session, closed },
    inFlight: async () => workers?.inFlight() ?? session.inflight,
    get served() {
      return workers?.served ?? [session.counts[0]!];
    },
  };
}

/** A thread that hangs is told of, and is the reason where there is no other. */
export function withHanging(end: End, session: Session, workers: Workers | undefined): End {
  const hanging = workers?.hanging;
  if (hanging === undefined) return end;
  session.warn(hanging.message);
  return end.reason === 'failed' ? end : { reason: 'failed', error: hanging };
}

/** Refuses what is neither a device nor a socket: koffi's poll ends the process over a regular file. */
function pollable(fd: number): Stats {
  let what: Stats;
  try {
    what = fstatSync(fd); // of the open file itself: no question to a mount of ours
  } catch (error) {
    throw new MountError('no-device', `descriptor ${fd} is not open`, error);
  }
  if (!what.isCharacterDevice() && !what.isSocket())
    throw new MountError('no-device', `descriptor ${fd} is neither /dev/fuse nor a socket`);
  return what;
}

/** Options, parted: the mount's, and the session's. */
export interface Prepared {
  readonly mount: MountOptions;
  readonly session: SessionOptions;
}
export function prepare({
  onError,
  onWarning,
  trace,
  filesystem: _,
  ...mount
}: MountOptions & Hooks & ModuleOptions): Prepared {
  checkOptions(mount);
  return { mount, session: { ...mount, ...wayOf(mount), onError, onWarning, trace } };
}

/**
 * Which way requests shall come. By itself it is the device as long as one thread serves: with one client the ring gains
 * nothing there (docs/performance.md), and a program that calls into its own mount by mistake could not be ended: the
 * kernel copies a request into the ring on the ring's own thread, which is the one that waits.
 */
function wayOf({ transport = 'auto', threads }: MountOptions): Pick<SessionOptions, 'ring' | 'transportReason'> {
  if (transport === 'uring') return { ring: 'must' };
  if (transport === 'auto' && threads !== undefined) return { ring: 'try' };
  return { transportReason: transport === 'device' ? 'asked for' : 'one thread serves' };
}

/** Begins a session over a descriptor. */
export function start(
  filesystem: Filesystem,
  fd: number,
  { mount, session: options }: Prepared,
  workers?: Workers,
): { session: Session } {
  if (workers !== undefined) {
    const session = new Session(standIn(workers), options);
    new ThreadsTransport(fd, session, workers, mount).start();
    return { session };
  }
  const session = new Session(withOverrides(filesystem, mount), options);
  const transport = options.ring ? new UringTransport(fd, session, mount) : new DeviceTransport(fd, session);
  transport.start();
  return { session };
}

/** An object lives where it was made. */
export function noThreads({ threads }: MountOptions): void {
  if (threads !== undefined && threads !== 1)
    throw new OptionError(
      `threads is ${threads}, and this filesystem is an object, on one thread: give mount the URL of a module that makes one`,
    );
}
