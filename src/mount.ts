/**
 * Mounting: from a directory and a filesystem to a served mount, and back. Here the kernel's mount, the
 * session and its transport come together, and here every end is seen to: unmounted from inside or from
 * outside, aborted, failed, or the process gone.
 */
import { realpath, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { EACCES, EBUSY, ENODEV, ENOENT, ENOTCONN, ENXIO, EPERM, Errno, SystemError } from './abi/errno.ts';
import { atExit } from './abi/exit.ts';
import { MNT_DETACH, MNT_FORCE, O_CLOEXEC, O_NONBLOCK, O_RDWR, S_IFMT, UMOUNT_NOFOLLOW } from './abi/posix.ts';
import { close, open, mount as sysMount, umount2 } from './abi/syscall.ts';
import { startWorker } from './abi/worker.ts';
import { withOverrides } from './fs/overrides.ts';
import { abortConnection, isFuse, isOwnThread, type MountEntry, mountAt, mountEntries } from './mountinfo.ts';
import { checkOptions, kernelOptions, type MountOptions, mountFlags } from './options.ts';
import { DeviceTransport } from './protocol/device.ts';
import type { Filesystem } from './protocol/filesystem.ts';
import { Session, type SessionOptions } from './protocol/session.ts';
import type { End } from './protocol/transport.ts';

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

/** Where the documentation explains why a program must not use its own mount. */
export const OWN_MOUNT_PAGE = 'docs/own-mount.md';
/** How long an abort is given to turn out to be a forced unmount, in ms. */
const ABORT_GRACE = 250;

/** A session over a descriptor. */
export interface Serving {
  readonly session: Session;
  /** How it ended, when it has: unmounted, aborted or failed. Never rejects. */
  readonly closed: Promise<End>;
}

/** Serves a filesystem over a descriptor that somebody else opened: a mount helper's, a socketpair's. It is closed at the end. */
export function serve(filesystem: Filesystem, fd: number, options: MountOptions & Hooks = {}): Serving {
  const { session } = start(filesystem, fd, prepare(options));
  return { session, closed: session.closed };
}

interface Prepared {
  readonly mount: MountOptions;
  readonly session: SessionOptions;
}
function prepare({ onError, onWarning, trace, ...mount }: MountOptions & Hooks): Prepared {
  checkOptions(mount);
  return { mount, session: { ...mount, onError, onWarning, trace } };
}

function start(
  filesystem: Filesystem,
  fd: number,
  { mount, session: options }: Prepared,
): { session: Session; transport: DeviceTransport } {
  const session = new Session(withOverrides(filesystem, mount), options);
  const transport = new DeviceTransport(fd, session);
  transport.start();
  return { session, transport };
}

/**
 * Mounts a filesystem on a directory, as root. Resolves when INIT is done and the mount answers; rejects
 * with a MountError, OptionError or NegotiationError, whose message is one line that says what to do.
 */
export async function mount(
  filesystem: Filesystem,
  directory: string,
  options: MountOptions & Hooks = {},
): Promise<Mount> {
  const prepared = prepare(options);
  new Session(filesystem, prepared.session); // what can't be agreed is refused before anything is mounted
  const { path, mode } = await mountPoint(directory);
  if (process.geteuid?.() !== 0)
    throw new MountError('not-root', 'mounting needs root: run this as root, for example with sudo');
  const fd = openDevice();
  try {
    kernelMount(fd, path, mode, prepared.mount);
  } catch (error) {
    close(fd);
    throw new MountError('failed', `cannot mount on ${path}: ${(error as Error).message}`, error);
  }
  const entry = mountAt(path);
  if (entry === undefined) throw new MountError('failed', `${path} was unmounted at once`);
  const { session } = start(filesystem, fd, prepared);
  const mounted = new Mount(path, entry, session);
  try {
    await session.ready;
    await answers(path, session);
  } catch (error) {
    session.end({ reason: 'failed', error });
    await mounted.closed;
    throw error;
  }
  session.onCaller = (tid) => mounted.sawCaller(tid);
  return mounted;
}

/** The directory's absolute path and mode. The calls go through libuv's pool: it may be in a mount that this thread serves. */
async function mountPoint(directory: string): Promise<{ path: string; mode: number }> {
  try {
    const path = await realpath(directory);
    const { mode } = await stat(path);
    if ((mode & S_IFMT) !== 0o040000) throw new MountError('not-a-directory', `${directory} is not a directory`);
    return { path, mode };
  } catch (error) {
    if (error instanceof MountError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === ENOENT.code) throw new MountError('not-found', `no such directory: ${directory}`, error);
    if (code === 'ENOTDIR') throw new MountError('not-a-directory', `${directory} is not a directory`, error);
    if (code === ENOTCONN.code || code === 'ECONNABORTED')
      throw new MountError(
        'dead-mount',
        `${directory} is a dead mount, its server is gone: clean it with rawfuse unmount ${directory}`,
        error,
      );
    throw new MountError('failed', `cannot mount on ${directory}: ${(error as Error).message}`, error);
  }
}

function openDevice(): number {
  try {
    return open('/dev/fuse', O_RDWR | O_NONBLOCK | O_CLOEXEC);
  } catch (error) {
    const { errno } = error as SystemError;
    if (errno === ENOENT.errno || errno === ENODEV.errno || errno === ENXIO.errno)
      throw new MountError(
        'no-device',
        'no /dev/fuse: load the module with modprobe fuse, or give it to the container with --device /dev/fuse',
        error,
      );
    if (errno === EPERM.errno || errno === EACCES.errno)
      throw new MountError(
        'no-device',
        '/dev/fuse may not be opened: check its mode, and the device rules of the container',
        error,
      );
    throw new MountError('no-device', `/dev/fuse: ${(error as Error).message}`, error);
  }
}

/** mount(2). rootmode is octal; the ids are those of who mounts. @see fs/fuse/inode.c: fuse_parse_param */
function kernelMount(fd: number, path: string, mode: number, options: MountOptions): void {
  const subtype = options.subtype ?? 'rawfuse';
  const rootmode = (mode & S_IFMT).toString(8);
  const data = [`fd=${fd}`, `rootmode=${rootmode}`, `user_id=${process.getuid!()}`, `group_id=${process.getgid!()}`];
  const type = `${options.blkdev ? 'fuseblk' : 'fuse'}.${subtype}`;
  sysMount(options.fsname ?? subtype, path, type, mountFlags(options), [...data, ...kernelOptions(options)].join());
}

/** Waits for the first answer that a client gets, an error included; for no longer than the connection lives. */
async function answers(path: string, session: Session): Promise<void> {
  const end = await Promise.race([stat(path).catch(() => undefined), session.closed]);
  if (end !== undefined && 'reason' in end)
    throw end.error ?? new MountError('failed', `${path} was unmounted before it answered`);
}

export class Mount implements Serving {
  /** The absolute path it is mounted on. */
  readonly path: string;
  readonly session: Session;
  readonly closed: Promise<End>;
  readonly #entry: MountEntry;

  /** @internal */
  constructor(path: string, entry: MountEntry, session: Session) {
    this.path = path;
    this.session = session;
    this.#entry = entry;
    const forget = atExit(() => this.#leave());
    this.closed = session.closed.then(async (end) => {
      const seen = await this.#ended(end);
      forget();
      return seen;
    });
  }

  /** Whether this very mount is still attached somewhere. */
  get #attached(): boolean {
    return mountEntries().some(({ id }) => id === this.#entry.id);
  }

  /**
   * Unmounts; resolves when the session has ended. Rejects with EBUSY while files are open in it, unless
   * `lazy`: then it is detached at once, goes on serving what is open, and resolves when it is detached.
   * `force` aborts the connection first: what is in flight fails.
   */
  async unmount({ lazy = false, force = false } = {}): Promise<void> {
    if (force) this.abort();
    if (this.#attached) {
      const errno = await umountElsewhere(this.path, UMOUNT_NOFOLLOW | (lazy || force ? MNT_DETACH : 0));
      if (errno === EBUSY.errno) throw new SystemError(errno, `unmount ${this.path}`);
      if (errno !== 0 && this.#attached) throw new SystemError(errno, `unmount ${this.path}`);
    }
    if (!lazy) await this.closed;
  }

  /** Ends the connection by force: every request in it fails, and the mount is detached. */
  abort(): void {
    try {
      if (abortConnection(this.#entry)) return;
    } catch {
      // gone already
    }
    this.session.end({ reason: 'aborted' }); // closing the descriptor aborts it too
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unmount({ lazy: true });
  }

  /** Sees to what the end of the connection left behind. */
  async #ended(end: End): Promise<End> {
    if (end.reason === 'unmounted') return end;
    // umount -f aborts before it unmounts: give it the time to.
    for (let waited = 0; end.reason === 'aborted' && waited < ABORT_GRACE; waited += 10) {
      if (!this.#attached) return { reason: 'unmounted' };
      await sleep(10);
    }
    this.#detach();
    return end;
  }

  /** Detaches a mount whose connection is over: nothing in there can make us wait any more. */
  #detach(): void {
    try {
      if (this.#attached) umount2(this.path, MNT_DETACH | UMOUNT_NOFOLLOW);
    } catch (error) {
      if (!(error instanceof Errno)) throw error;
    }
  }

  /**
   * The process exits, perhaps with a thread of ours inside a system call that only this mount's requests
   * would end, and Node waits for its threads: so the connection goes first.
   */
  #leave(): void {
    if (!this.#attached) return;
    try {
      if (!abortConnection(this.#entry)) umount2(this.path, MNT_FORCE | UMOUNT_NOFOLLOW);
    } catch {
      // MNT_FORCE aborts, and then says EBUSY where files are open
    }
    this.#detach();
  }

  /** A thread that we have not seen used the mount. @internal */
  sawCaller(tid: number): void {
    if (!isOwnThread(tid)) return;
    this.session.onCaller = undefined;
    this.session.warn(
      `this process uses its own mount at ${this.path}: a synchronous call would wait for itself for ever; see ${OWN_MOUNT_PAGE}`,
    );
  }
}

/** umount2 on another thread: this one may have to answer what it waits for. */
function umountElsewhere(target: string, flags: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const worker = startWorker(import.meta.url, './abi/umount-thread', { workerData: { target, flags } });
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

/** Removes the mount at a path whose server is dead, or asks for a living one to go. Resolves to what it was. */
export async function unmountPath(path: string, { lazy = false } = {}): Promise<'dead' | 'alive'> {
  const entry = mountAt(path);
  if (entry === undefined) throw new MountError('not-mounted', `nothing is mounted at ${path}`);
  if (!isFuse(entry)) throw new MountError('not-fuse', `${path} is not a FUSE mount but ${entry.type}`);
  const dead = await isDead(path);
  const errno = await umountElsewhere(path, UMOUNT_NOFOLLOW | (lazy || dead ? MNT_DETACH : 0));
  if (errno === EBUSY.errno)
    throw new MountError('busy', `${path} is busy, files are open in it: close them, or use --lazy`);
  if (errno !== 0)
    throw new MountError('failed', `cannot unmount ${path}: ${new SystemError(errno, 'umount').message}`);
  return dead ? 'dead' : 'alive';
}

/** Whether the server of a mount is gone. */
export async function isDead(path: string): Promise<boolean> {
  try {
    await stat(path);
    return false;
  } catch (error) {
    return ['ENOTCONN', 'ECONNABORTED'].includes((error as NodeJS.ErrnoException).code ?? '');
  }
}
