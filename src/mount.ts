/**
 * Mounting: from a directory and a filesystem to a served mount, and back. Here the kernel's mount, the
 * session and its transport come together, and here every end is seen to: unmounted from inside or from
 * outside, aborted, failed, or the process gone.
 */
import { realpath, stat, statfs } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { EACCES, EBUSY, ENODEV, ENOENT, ENOTCONN, ENXIO, EPERM, Errno, SystemError } from './abi/errno.ts';
import { atExit } from './abi/exit.ts';
import {
  MNT_DETACH,
  MNT_FORCE,
  O_CLOEXEC,
  O_NONBLOCK,
  O_PATH,
  O_RDWR,
  S_IFDIR,
  S_IFMT,
  UMOUNT_NOFOLLOW,
} from './abi/posix.ts';
import { close, open, mount as sysMount, umount2 } from './abi/syscall.ts';
import {
  abortConnection,
  connectionInode,
  connectionOf,
  isFuse,
  isOwnThread,
  type MountEntry,
  mountAt,
  mountEntries,
} from './mountinfo.ts';
import { kernelOptions, type MountOptions, mountFlags } from './options.ts';
import type { Filesystem } from './protocol/filesystem.ts';
import { wishes } from './protocol/init.ts';
import type { InFlight, Session } from './protocol/session.ts';
import type { End } from './protocol/transport.ts';
import {
  type Hooks,
  type ModuleOptions,
  MountError,
  noThreads,
  type Prepared,
  prepare,
  type Serving,
  start,
  withHanging,
} from './serve.ts';
import { startThreads } from './threads/module.ts';
import type { Workers } from './threads/workers.ts';
import { umountElsewhere } from './umount.ts';

/** Where the documentation explains why a program must not use its own mount. */
export const OWN_MOUNT_PAGE = 'docs/own-mount.md';
/** How long umount -f is given to unmount what it has aborted, in ms. */
const FORCE_GRACE = 250;

/**
 * Mounts a filesystem on a directory, as root: an object, which this thread serves, or the URL of a module, which
 * `threads` of its own do (FilesystemModule). Resolves when INIT is done and the mount answers; rejects
 * with a MountError, OptionError or NegotiationError, whose message is one line that says what to do.
 */
export async function mount(
  filesystem: Filesystem | URL,
  directory: string,
  options: MountOptions & Hooks & ModuleOptions = {},
): Promise<Mount> {
  if (!(filesystem instanceof URL)) {
    const prepared = prepare(options);
    noThreads(prepared.mount);
    return mountOn(filesystem, directory, prepared);
  }
  const prepared = prepare({ threads: 1, ...options });
  const workers = await startThreads(filesystem, options.filesystem, prepared.mount, prepared.session);
  try {
    return await mountOn(workers.shape, directory, prepared, workers);
  } catch (error) {
    workers.end();
    await workers.gone;
    throw error;
  }
}

async function mountOn(
  filesystem: Filesystem,
  directory: string,
  prepared: Prepared,
  workers?: Workers,
): Promise<Mount> {
  wishes(filesystem, prepared.session); // what can't be agreed is refused before anything is mounted
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
  const entry = mountOf(fd, path);
  if (entry === undefined) {
    close(fd);
    throw new MountError('failed', `${path} was unmounted at once`);
  }
  const { session } = start(filesystem, fd, prepared, workers);
  const mounted = new Mount(path, entry, session, workers);
  try {
    await session.ready;
    await answers(path, session);
  } catch (error) {
    session.end({ reason: 'failed', error });
    await mounted.closed;
    throw error;
  }
  session.onCaller = (tid) => mounted.sawCaller(tid);
  workers?.post({ kind: 'callers' });
  return mounted;
}

/** The directory's absolute path and mode. The calls go through libuv's pool: it may be in a mount that this thread serves. */
async function mountPoint(directory: string): Promise<{ path: string; mode: number }> {
  try {
    const path = await realpath(directory);
    const { mode } = await stat(path);
    if ((mode & S_IFMT) !== S_IFDIR) throw new MountError('not-a-directory', `${directory} is not a directory`);
    const there = mountAt(path);
    if (there && isFuse(there)) await statfs(path); // a dead mount's attributes may be cached: stat says all is well
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

/** The mount that was just made: the visible one at its path, unless the kernel says that this is another's already. */
function mountOf(fd: number, path: string): MountEntry | undefined {
  const entries = mountEntries();
  const made = connectionOf(fd);
  if (made === undefined) return mountAt(path, entries);
  return entries.find((each) => each.path === path && each.major === made.major && each.minor === made.minor);
}

/** Waits for the first answer that a client gets, an error included; for no longer than the connection lives. */
async function answers(path: string, session: Session): Promise<void> {
  const end = await Promise.race([stat(path).catch(() => undefined), session.closed]);
  if (end !== undefined && 'reason' in end)
    throw end.error ?? new MountError('failed', `${path} was unmounted before it answered`);
}

export class Mount implements Serving {
  /** The absolute path it was mounted on. */
  readonly path: string;
  readonly session: Session;
  readonly closed: Promise<End>;
  readonly #workers: Workers | undefined;
  readonly #mounted: MountEntry;
  /** @see connectionInode */
  readonly #connection: number | undefined;
  /** Whether the connection is ended by `unmount({ force: true })`. */
  #forced = false;
  /** From here on another mount may have our numbers. */
  #over = false;

  /** @internal */
  constructor(path: string, entry: MountEntry, session: Session, workers?: Workers) {
    this.#workers = workers;
    this.path = path;
    this.session = session;
    this.#mounted = entry;
    this.#connection = connectionInode(entry);
    const forget = atExit(() => this.#leave());
    this.closed = session.closed.then(async (end) => {
      const seen = await this.#ended(end);
      await session.gone;
      forget();
      return withHanging(seen, session, workers);
    });
  }

  async inFlight(): Promise<readonly InFlight[]> {
    return this.#workers?.inFlight() ?? this.session.inflight;
  }
  get served(): readonly number[] {
    return this.#workers?.served ?? [this.session.counts[0]!];
  }

  /** Whether the connection that has our number now is ours. Where fusectl can't tell, it has to be taken for ours. */
  get #ours(): boolean {
    if (this.#over) return false;
    const now = connectionInode(this.#mounted);
    return now === undefined || this.#connection === undefined || now === this.#connection;
  }

  /**
   * This very mount as it stands now; undefined when it is detached. `clear` tells whether it is the
   * visible one at its path: umount2 takes a path, and would detach what another has mounted on top.
   */
  #entry(): { path: string; clear: boolean } | undefined {
    if (this.#over) return undefined;
    const entries = mountEntries();
    // Ids and device numbers are given out anew at once, to mounts of any kind.
    const { id, major, minor, type } = this.#mounted;
    const entry = entries.find(
      (each) => each.id === id && each.major === major && each.minor === minor && each.type === type,
    );
    if (entry === undefined || !this.#ours) return undefined;
    return { path: entry.path, clear: mountAt(entry.path, entries) === entry };
  }

  /**
   * Unmounts; resolves when the session has ended. Rejects with EBUSY while files are open in it, unless
   * `lazy`: then it is detached at once, goes on serving what is open, and resolves when it is detached.
   * `force` aborts the connection first: what is in flight fails. All three reject with EBUSY while
   * another mount stands on top of this one.
   */
  async unmount({ lazy = false, force = false } = {}): Promise<void> {
    if (force) {
      this.#forced = true;
      this.abort();
      await this.#ringGone();
      this.#detach();
    }
    if (this.#entry() !== undefined) {
      const errno = await umountElsewhere(() => {
        const entry = this.#entry();
        if (entry?.clear === false) throw new SystemError(EBUSY.errno, `unmount ${entry.path}, under another mount`);
        return entry && { target: entry.path, flags: UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0) };
      });
      if (errno !== 0 && this.#entry() !== undefined) throw new SystemError(errno, `unmount ${this.path}`);
    }
    if (!lazy) await this.closed;
  }

  /** Ends the connection by force: every request in it fails, and the mount is detached. */
  abort(): void {
    this.#sever();
    this.session.end({ reason: 'aborted' });
  }

  /**
   * Makes the kernel end the connection. Closing our descriptor would not do: the thread that writes
   * notifications has another, and may be held up inside a write by a request that only this frees.
   */
  #sever(): void {
    try {
      // Lazily unmounted it is detached, but lives on.
      if (this.#ours && abortConnection(this.#mounted)) return;
      const entry = this.#entry();
      if (entry?.clear) this.#force(entry.path);
    } catch {
      // It is gone already; or EBUSY, which MNT_FORCE says after it has aborted.
    }
  }

  /** umount -f. With a ring it shall abort only, and not wait for the entries as well: an open directory keeps it from that. */
  #force(path: string): void {
    const held = this.session.transport === 'uring' ? open(path, O_PATH | O_CLOEXEC) : undefined;
    try {
      umount2(path, MNT_FORCE | UMOUNT_NOFOLLOW);
    } finally {
      if (held !== undefined) close(held);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unmount({ lazy: true });
  }

  /** Sees to what the end of the connection left behind, and tells what end it was. */
  async #ended(end: End): Promise<End> {
    // umount -f ends the connection, then unmounts, unless the mount is busy: give it the time to.
    if (end.reason === 'unmounted')
      for (let waited = 0; this.#entry() !== undefined && waited < FORCE_GRACE; waited += 10) await sleep(10);
    const attached = this.#entry() !== undefined;
    if (attached || end.reason === 'failed') this.#sever(); // the kernel's side may still stand
    await this.#ringGone();
    this.#detach();
    this.#over = true;
    if (end.reason === 'unmounted' && attached) return { reason: 'aborted' };
    return end.reason === 'aborted' && this.#forced ? { reason: 'unmounted' } : end;
  }

  /** The last umount waits in the kernel for a ring's entries; on this thread, which has to give them back, it would for ever. */
  async #ringGone(): Promise<void> {
    if (this.session.transport === 'uring') await this.session.gone;
  }

  /** Detaches a mount whose connection is over: nothing in there can make us wait any more. */
  #detach(): void {
    const entry = this.#entry();
    if (entry === undefined) return;
    // It would wait in the kernel for what that thread has of the ring.
    if (this.#workers?.hanging && this.session.transport === 'uring')
      return this.session.warn(
        `${entry.path} stays behind as a dead mount: rawfuse unmount cleans it when this process is gone`,
      );
    try {
      if (entry.clear) umount2(entry.path, MNT_DETACH | UMOUNT_NOFOLLOW);
      else this.session.warn(`${entry.path} stays behind as a dead mount, under another mount`);
    } catch (error) {
      if (!(error instanceof Errno)) throw error;
    }
  }

  /**
   * The process exits, perhaps with a thread of ours inside a system call that only this mount's requests
   * would end, and Node waits for its threads: so the connection goes first, and with it our descriptor.
   */
  #leave(): void {
    this.abort();
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

/**
 * Unmounts the FUSE mount at a path, whoever serves it; `lazy` detaches it although files are open. Asks the
 * server nothing: it may be dead, or hang.
 */
export async function unmountPath(path: string, { lazy = false } = {}): Promise<void> {
  const entry = mountAt(path);
  if (entry === undefined) throw new MountError('not-mounted', `nothing is mounted at ${path}`);
  if (!isFuse(entry)) throw new MountError('not-fuse', `${path} is not a FUSE mount but ${entry.type}`);
  const flags = UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0);
  const errno = await umountElsewhere(() => ({ target: path, flags }));
  if (errno === EBUSY.errno)
    throw new MountError('busy', `${path} is busy, files are open in it: close them, or use --lazy`);
  if (errno === EPERM.errno)
    throw new MountError('not-root', 'unmounting needs root: run this as root, for example with sudo');
  if (errno !== 0)
    throw new MountError('failed', `cannot unmount ${path}: ${new SystemError(errno, 'umount').message}`);
}
