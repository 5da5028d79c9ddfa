/**
 * A thread that serves a mount with others (see workers.ts): it loads the filesystem's module, makes its filesystem, and has a
 * session of its own, which takes over what the mounting thread has agreed with the kernel. Over io_uring it has the
 * entries of its queues and a ring; over the device a descriptor of its own, on its event loop.
 *
 * What is to be seen or asked in one place goes to the mounting thread: errors, warnings, the trace, notifications.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { EIO } from '../abi/errno.ts';
import { atExit } from '../abi/exit.ts';
import { closeHeld } from '../abi/held.ts';
import { unmapAll } from '../abi/memory.ts';
import { pinTo } from '../abi/syscall.ts';
import { importHere } from '../abi/worker.ts';
import { withOverrides } from '../fs/overrides.ts';
import { DeviceTransport } from '../protocol/device.ts';
import type { Filesystem } from '../protocol/filesystem.ts';
import { bufferSizes } from '../protocol/init.ts';
import { firstRetrieveOf, type NotificationName } from '../protocol/notify.ts';
import { Session } from '../protocol/session.ts';
import type { Observer } from '../protocol/trace.ts';
import type { End } from '../protocol/transport.ts';
import { Ring } from '../uring/ring.ts';
import { UringTransport } from '../uring/transport.ts';
import { linux } from '../uring/transport-system.ts';
import { Driver } from './driver.ts';
import { type FromWorker, type Kind, LEFT, STATE, type Start, type ToWorker, type WorkerContext } from './messages.ts';
import { Post } from './post.ts';

const start = workerData as Start;
const { index, words, wake } = start;
const port = parentPort!;

function tell(message: FromWorker): void {
  try {
    port.postMessage(message);
  } catch {
    port.postMessage(plain(message)); // something in there can't be copied
  }
}
/** The same, of text where need be. */
const plain = (message: FromWorker): FromWorker => {
  if ('error' in message) return { ...message, error: new Error(String(message.error)) } as FromWorker;
  return JSON.parse(JSON.stringify(message, (_, value) => (typeof value === 'bigint' ? `${value}` : value)));
};

/** Notifications that the mounting thread writes for us. */
const writing = new Map<number, { resolve: () => void; reject: (error: unknown) => void }>();
let written = 0;
const relay = {
  firstRetrieve: firstRetrieveOf(index),
  send(name: NotificationName, message: Buffer): Promise<void> {
    const id = written++;
    tell({ kind: 'notify', id, name, message });
    return new Promise((resolve, reject) => writing.set(id, { resolve, reject }));
  },
};

class WorkerSession extends Session {
  #over = false;
  override end(end: End): void {
    if (!this.#over) tell({ kind: 'over', end });
    this.#over = true;
    super.end(end);
    driver?.end();
  }
  /** Why the kernel has refused the ring, which it says when it is given the entries: the mounting thread then knows what is to be done. */
  withoutOne: string | undefined;
  /** The mounting thread has been told. */
  begun = false;
  override withoutRing(why: string): void {
    // Nobody here could serve what comes over the device.
    if (this.begun) this.end({ reason: 'failed', error: new Error(`FUSE over io_uring can't be had: ${why}`) });
    this.withoutOne ??= why;
  }
}

/** Made with the filesystem: before, there is nothing to end. */
let session: WorkerSession;
let ring: Ring | undefined;
let post: Post | undefined;
let transport: UringTransport | DeviceTransport | undefined;
let driver: Driver | undefined;

/** That the connection is over, and what the user is told, the mounting thread tells once for all. */
const traced: Observer = (event) =>
  event.kind === 'end' || event.kind === 'warning' ? undefined : tell({ kind: 'trace', event });

/** Something went wrong outside of a handler: the end of the mount, in order. */
function fail(error: unknown): void {
  const what = error instanceof Error ? error.message : String(error);
  const failure = new Error(`thread ${index} of the mount failed: ${what}`, { cause: error });
  if (session === undefined) tell({ kind: 'not made', error });
  if (transport === undefined) return exit(1);
  session.end({ reason: 'failed', error: failure });
}
process.on('uncaughtException', fail);

/**
 * A thread that is stopped in the midst of a watch's callback takes the process with it (koffi). So what a filesystem means
 * by process.exit is done when the callback is left, which the EIO sees to.
 */
const exit = process.exit.bind(process);
process.exit = (code) => {
  fail(new Error(`it ended with status ${code ?? 0}`));
  throw EIO;
};

/** Closes what must not be torn from this thread, and says that it is. */
function leave(): void {
  if (transport instanceof UringTransport) transport.leave();
  else transport?.rest();
  closeHeld();
  unmapAll();
  Atomics.store(words, STATE, LEFT);
  Atomics.notify(words, STATE);
}
// First of all hooks: the ring's, which comes later, would wait for the kernel's entries. With the thread they end anyway.
atExit(leave);

async function make(): Promise<void> {
  const { default: factory } = (await importHere(start.module)) as {
    default: (worker: WorkerContext) => Filesystem | Promise<Filesystem>;
  };
  const { count, shared, options } = start;
  const made = await factory({ index, count, shared, options });
  const filesystem = withOverrides(made, start.mount);
  session = new WorkerSession(filesystem, {
    ...start.session,
    relay,
    onError: (error, operation) => tell({ kind: 'error', error, operation }),
    onWarning: (message) => tell({ kind: 'warning', message }),
    trace: start.traced ? traced : undefined,
  });
  session.counts = start.counts;
  session.elsewhere = {
    interrupt: (unique) => tell({ kind: 'interrupt', unique }),
    retrieved: (unique, offset, data) => tell({ kind: 'retrieved', unique, offset, data: Uint8Array.from(data) }),
  };
  session.closed.then(async () => {
    tell({ kind: 'destroyed' });
    await session.gone;
    exit(0);
  });
  const handlers: string[] = [];
  for (let each: object = filesystem; each !== Object.prototype; each = Object.getPrototypeOf(each))
    for (const name of Object.getOwnPropertyNames(each))
      if (typeof (filesystem as unknown as Record<string, unknown>)[name] === 'function') handlers.push(name);
  tell({ kind: 'made', handlers, promises: filesystem.promises ?? [] });
}

/** A ring that this thread waits in. */
function waitingRing(...[options]: Parameters<typeof linux.ring>): Ring {
  ring = new Ring({ ...options, blocking: wake });
  ring.flush(); // that it can be woken, before its places are made ready for commands
  return ring;
}

function prepare({ fd, agreement, queues, cpus }: Kind<ToWorker, 'prepare'>): void {
  const system = { ...linux, ring: waitingRing };
  post = new Post(fd, () => tell({ kind: 'look' }));
  const share = { queues, beside: post };
  if (cpus.length > 0) pinTo(cpus); // where a cpuset forbids it the thread goes where it may
  const uring = new UringTransport(fd, session, { ...start.mount, threaded: true }, system, share);
  transport = uring;
  tell({ kind: 'prepared', ...uring.begin(agreement) });
}

function adopt({ agreement, transport: kind, reason, fd }: Kind<ToWorker, 'adopt'>): void {
  try {
    if (kind === 'device') {
      if (transport instanceof UringTransport) transport.drop();
      ring = undefined;
      transport = new DeviceTransport(fd, session);
    }
    session.adopt(agreement, kind, reason);
    tell({ kind: 'adopted', error: undefined });
  } catch (error) {
    tell({ kind: 'adopted', error });
  }
}

async function go(): Promise<void> {
  if (ring === undefined) transport!.start();
  else (transport as UringTransport).begun();
  session.begun = true;
  tell({ kind: 'begun', refused: session.withoutOne });
  if (ring === undefined) return;
  driver = new Driver(ring, session, () => {
    for (let got = receiveMessageOnPort(port); got !== undefined; got = receiveMessageOnPort(port)) take(got.message);
  });
  if (!(await driver.run())) exit(0);
}

/** The ring stays, with what of its entries the kernel has taken; nothing comes from there. */
function device({ fd, reason }: Kind<ToWorker, 'device'>): void {
  const own = new DeviceTransport(fd, session);
  session.attach(transport!);
  session.overDevice(reason);
  own.resize(bufferSizes(session.agreement!.reply));
  driver!.end();
  post!.become(own);
}

const handlers: { readonly [K in ToWorker['kind']]: (message: Kind<ToWorker, K>) => unknown } = {
  prepare,
  adopt,
  go,
  device,
  forget: ({ pairs }) => session.forget(pairs),
  interrupt: ({ unique }) => session.interrupt(unique),
  retrieved: ({ unique, offset, data }) => session.notify.retrieved(unique, offset, data),
  written({ id, error }) {
    const waiting = writing.get(id);
    writing.delete(id);
    if (error === undefined) waiting?.resolve();
    else waiting?.reject(error);
  },
  'in flight': ({ id }) => tell({ kind: 'in flight', id, requests: session.inflight.map(known) }),
  callers() {
    session.onCaller = (pid) => tell({ kind: 'caller', pid });
  },
  end: () => (transport === undefined ? exit(0) : session.end({ reason: 'unmounted' })),
  leave: () => exit(0),
};
const known = ({ operation, unique, nodeid, pid, since }: Session['inflight'][number]) => ({
  ...{ operation, unique, nodeid, pid, since },
});
const take = (message: ToWorker): void => void handlers[message.kind](message as never);

port.on('message', take);
make().catch((error) => {
  tell({ kind: 'not made', error });
  exit(0);
});
