/**
 * Changes in the source that were not made through the mount, told to the kernel above: what it keeps of them is stale.
 *
 * fanotify(7) tells what happens on the whole filesystem of the source. It names files by their handles, by which nodes are
 * found (source.ts), so that no path is needed, and what no client knows is passed over. What this process did itself,
 * it did for a client, whose kernel knows. Names are expired and not dropped: they are looked up at their next use, and whoever stands in a
 * directory stays there.
 *
 * Events are read when the notifications for those before are written. Meanwhile the kernel puts equal ones together; when its queue is full
 * it says so, and then all that is known counts as stale.
 */
import { type FileEvent, fileEvents } from '../../abi/fanotify.ts';
import { closeQuietly, nameToHandleAt } from '../../abi/files.ts';
import { FUSE_ROOT_ID } from '../../abi/fuse-constants.ts';
import { Memory } from '../../abi/memory.ts';
import { AT_EMPTY_PATH, FAN_MODIFY, FAN_Q_OVERFLOW, MAX_HANDLE_SZ } from '../../abi/posix.ts';
import { read, type Watch, watch } from '../../abi/syscall.ts';
import type { Connection } from '../../protocol/connection.ts';
import { decodeName } from '../../protocol/names.ts';
import type { SharedNodes } from '../shared/nodes.ts';
import { claimChanges, ITSELF, NAMES } from './changes.ts';
import { done, Scratch } from './scratch.ts';
import { HANDLE_MOST, type Held, type Key, makeHeld, type Source, takeHandle } from './source.ts';

/** Bytes of events that are read at once. */
const ROOM = 1 << 16;
/** The minor version of the protocol from which on all names can be told to be stale. */
const EPOCHS = 44;
/** Nodes that are told to be stale at a time. */
const AT_ONCE = 1000;
/** A node that a thread is about to make is known after so long, in ms. */
const SOON = 100;

/** Begins to watch a source, if it is to be, and nobody else does. `threads`: others make nodes while events are looked at. */
export const watchSource = (
  source: Source,
  nodes: Nodes,
  connection: Pick<Connection, 'notify' | 'warn' | 'minor'>,
  threads = false,
): SourceWatch | undefined => claimChanges(source, (fd) => new SourceWatch(fd, source, nodes, connection, threads));

type Nodes = Pick<SharedNodes<Key, Held>, 'find' | 'all'>;

export class SourceWatch {
  readonly #fd: number;
  readonly #connection: Pick<Connection, 'notify' | 'warn' | 'minor'>;
  readonly #nodes: Nodes;
  /** Whether other threads make nodes while events are looked at. */
  readonly #threads: boolean;
  readonly #memory = new Memory(ROOM);
  readonly #view = new DataView(this.#memory.buffer);
  readonly #bytes = Buffer.from(this.#memory.buffer);
  /** Filled again for each. */
  readonly #key: Key;
  readonly #held = makeHeld(-1, false);
  /** What the root would be found by if it were found by its handle. */
  readonly #root: Key;
  #watch: Watch | undefined;
  #closed = false;

  /** Takes over what `openChanges` gave: it is closed here. */
  constructor(
    fd: number,
    { root, rootKey }: Pick<Source, 'root' | 'rootKey'>,
    nodes: Nodes,
    connection: Pick<Connection, 'notify' | 'warn' | 'minor'>,
    threads: boolean,
  ) {
    this.#fd = fd;
    this.#connection = connection;
    this.#nodes = nodes;
    this.#threads = threads;
    this.#key = { ...rootKey };
    this.#root = { ...rootKey };
    const scratch = new Scratch();
    scratch.view.setUint32(scratch.handleAt, MAX_HANDLE_SZ, true);
    done(nameToHandleAt(root, scratch.empty, scratch.handle, scratch.words, AT_EMPTY_PATH));
    takeHandle(scratch.view, scratch.handleAt, this.#root, this.#held.handle);
    scratch.free();
    this.#arm();
  }

  #arm(): void {
    this.#watch = watch(this.#fd, { readable: true }, () => {
      this.#watch?.close();
      this.#watch = undefined;
      void this.#turn();
    });
    this.#watch.unref();
  }

  async #turn(): Promise<void> {
    const changes = new Changes(this.#connection);
    for (;;) {
      const length = read(this.#fd, this.#memory.address, ROOM);
      if (length <= 0) break; // EAGAIN, mostly
      for (const event of fileEvents(this.#view, length)) this.#look(event, changes);
      if (changes.size >= AT_ONCE) break;
    }
    if (changes.all) await this.#allStale();
    await changes.told();
    if (!this.#closed) this.#arm();
  }

  #look(event: FileEvent, changes: Changes): void {
    const { mask, pid, name } = event;
    if (mask & FAN_Q_OVERFLOW) changes.all = true;
    if (pid === process.pid) return;
    const directory = this.#nodeid(event.directory);
    const text = name && decodeName(this.#bytes, ...name);
    if (mask & NAMES && directory !== undefined) {
      changes.node(directory, true);
      if (text !== undefined) changes.name(directory, text);
    }
    if (!(mask & ITSELF)) return;
    const object = this.#nodeid(event.object) ?? (text === '.' ? directory : undefined);
    if (object !== undefined) changes.node(object, (mask & FAN_MODIFY) !== 0);
    else if (this.#threads) this.#soon(event.object ?? event.directory);
  }

  /** The number of the node with a handle in the bytes that were read; undefined where no client knows it. */
  #nodeid(at: number | undefined): number | undefined {
    if (at === undefined || this.#view.getUint32(at, true) > HANDLE_MOST) return undefined;
    takeHandle(this.#view, at, this.#key, this.#held.handle);
    return this.#find(this.#key);
  }
  #find(key: Key): number | undefined {
    return sameFile(key, this.#root) ? FUSE_ROOT_ID : this.#nodes.find(key)?.nodeid;
  }

  /** Looks once more later: another thread may have asked how the file is before it changed, and be about to make its node. */
  #soon(at: number | undefined): void {
    if (at === undefined || this.#view.getUint32(at, true) > HANDLE_MOST) return;
    takeHandle(this.#view, at, this.#key, this.#held.handle);
    const key = { ...this.#key };
    setTimeout(() => {
      const nodeid = this.#closed ? undefined : this.#find(key);
      if (nodeid !== undefined) void this.#connection.notify.inval_inode(nodeid);
    }, SOON).unref();
  }

  /** Events were lost: nothing that the kernel above has is known to be as it is below. */
  async #allStale(): Promise<void> {
    const { notify, minor, warn } = this.#connection;
    if (minor >= EPOCHS) await notify.inc_epoch().catch(() => {});
    else
      warn(
        'changes in the source were too many: names may be old for as long as they are believed (Linux 6.16 forgets them)',
      );
    let told: Promise<void>[] = [];
    for (const { nodeid } of this.#nodes.all()) {
      told.push(notify.inval_inode(nodeid));
      if (told.length < AT_ONCE) continue;
      await Promise.allSettled(told);
      if (this.#closed) return;
      told = [];
    }
    await Promise.allSettled(told);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#watch?.close();
    closeQuietly(this.#fd);
    this.#memory.free();
  }
}

const sameFile = (a: Key, b: Key): boolean =>
  a.check === b.check && a.check_high === b.check_high && a.ino === b.ino && a.ino_high === b.ino_high;

/** What is to be told of some events, each once. */
class Changes {
  /** All that there is. */
  all = false;
  readonly #notify: Connection['notify'];
  /** Whether the data of a node has changed, or what is said of it alone. */
  readonly #nodes = new Map<number, boolean>();
  readonly #names = new Map<number, Set<string>>();

  constructor({ notify }: Pick<Connection, 'notify'>) {
    this.#notify = notify;
  }

  get size(): number {
    return this.#nodes.size;
  }
  node(nodeid: number, data: boolean): void {
    this.#nodes.set(nodeid, data || this.#nodes.get(nodeid) === true);
  }
  name(directory: number, name: string): void {
    const names = this.#names.get(directory) ?? new Set();
    this.#names.set(directory, names.add(name));
  }

  /** Tells them. A refusal means that the kernel has nothing to drop, or is gone. */
  async told(): Promise<void> {
    const told: Promise<void>[] = [];
    for (const [directory, names] of this.#names)
      for (const name of names) told.push(this.#notify.inval_entry(directory, name, { expire: true }));
    for (const [nodeid, data] of this.#nodes) told.push(this.#notify.inval_inode(nodeid, data ? 0 : -1));
    await Promise.allSettled(told);
  }
}
