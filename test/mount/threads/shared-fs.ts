/**
 * A filesystem in shared memory, as small as can be: a root directory of a fixed number of files. Each has a size, a count
 * of its lookups and of its forgets, and its data, all in one SharedArrayBuffer, which the test that mounts it made and
 * can look into. Some names are for what a test wants to happen: see `lookup`.
 */
import {
  type Connection,
  EFBIG,
  EINTR,
  ENOENT,
  ESTALE,
  type Filesystem,
  type Request,
  S_IFDIR,
  S_IFREG,
} from '../../../src/index.ts';
import type { WorkerContext } from '../../../src/threads/messages.ts';

export const FILES = 64;
/** Bytes of a file at most. */
export const ROOM = 4096;

/** What `mount` is told, and the test sees. */
export interface SharedFsOptions {
  readonly memory: SharedArrayBuffer;
  /** `async`: each handler a promise that is there at once; `slow`: one that takes a turn of the event loop. */
  readonly handlers?: 'sync' | 'async' | 'slow';
  /** A word: `destroy` waits until it is not 0. */
  readonly destroyed?: SharedArrayBuffer;
}

/** The words of a file, and where its data begins. */
export class Files {
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
  constructor(memory: SharedArrayBuffer) {
    this.words = new Int32Array(memory, 0, FILES * 4);
    this.bytes = new Uint8Array(memory, FILES * 16);
  }
  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer(FILES * (16 + ROOM));
  }
  lookups = (i: number): number => Atomics.load(this.words, i * 4 + 1);
  forgets = (i: number): number => Atomics.load(this.words, i * 4 + 2);
  size = (i: number): number => Atomics.load(this.words, i * 4);
  data = (i: number): Uint8Array => this.bytes.subarray(i * ROOM, (i + 1) * ROOM);
}

export const share = ({ memory }: SharedFsOptions): SharedArrayBuffer => memory;

export default function make({
  shared,
  options,
  index,
}: WorkerContext<SharedArrayBuffer, SharedFsOptions>): Filesystem {
  const files = new Files(shared);
  const at = (nodeid: number): number => {
    if (nodeid < 2 || nodeid >= FILES + 2) throw ESTALE;
    return nodeid - 2;
  };
  const attr = (nodeid: number) =>
    nodeid === 1
      ? { ino: 1n, mode: S_IFDIR | 0o755, nlink: 2, size: 0 }
      : { ino: BigInt(nodeid), mode: S_IFREG | 0o644, nlink: 1, size: files.size(at(nodeid)) };
  const own: Record<string, (request: Request) => unknown> = {
    throw: () => {
      setImmediate(() => {
        throw new Error(`thread ${index} was told to throw`);
      });
      throw ENOENT;
    },
    /** A promise that nobody catches. */
    reject: () => {
      void Promise.reject(new Error(`thread ${index} was told to reject`));
      throw ENOENT;
    },
    exit: () => process.exit(3),
    bug: () => {
      throw new TypeError('a bug');
    },
    hang: () => new Promise(() => {}),
    /** Has the kernel drop what it knows of f0, and says in f1's size what came of it: 1 for well, 2 for an error. */
    notify: () => {
      const said = (what: number) => () => Atomics.store(files.words, 4, what);
      connection!.notify.inval_inode(2).then(said(1), said(2));
      throw ENOENT;
    },
    /** Stores in the page cache of f2 and retrieves it, and says how many bytes in f1's size. */
    retrieve: () => {
      const { notify } = connection!;
      notify
        .store(4, 0, Buffer.from('stored'))
        .then(() => notify.retrieve(4, 0, 100))
        .then(({ data }) => Atomics.store(files.words, 4, data.toString() === 'stored' ? 6 : 1000 + data.length))
        .catch((error) => Atomics.store(files.words, 4, 2000 + error.errno));
      throw ENOENT;
    },
    interrupted: ({ signal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason ?? EINTR))),
  };
  let connection: Connection | undefined;
  const served: Filesystem = {
    init(made) {
      connection = made;
    },
    async destroy() {
      const over = new Int32Array(options.destroyed ?? Int32Array.of(1).buffer);
      while (Atomics.load(over, 0) === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    },
    statfs: () => ({ blocks: index, bsize: 4096, namelen: 255 }),
    getattr: ({ nodeid }) => ({ attr_valid: 0, attr: attr(nodeid) }),
    lookup(request, { name }) {
      const special = own[name];
      if (special) return special(request) as never;
      const i = /^f\d+$/u.test(name) ? Number(name.slice(1)) : FILES;
      if (i >= FILES) throw ENOENT;
      Atomics.add(files.words, i * 4 + 1, 1);
      return { nodeid: i + 2, entry_valid: 0, attr_valid: 0, attr: attr(i + 2) };
    },
    forget(_, { nodeid, nlookup }) {
      if (nodeid > 1) Atomics.add(files.words, at(nodeid) * 4 + 2, Number(nlookup));
    },
    setattr({ nodeid }, { size }) {
      if (size !== undefined) Atomics.store(files.words, at(nodeid) * 4, Math.min(size, ROOM));
      return { attr_valid: 0, attr: attr(nodeid) };
    },
    open: () => ({ fh: 0, open_flags: 1 }), // FOPEN_DIRECT_IO
    read({ nodeid }, { offset, size }) {
      const i = at(nodeid);
      return files.data(i).slice(Math.min(offset, files.size(i)), Math.min(offset + size, files.size(i)));
    },
    write({ nodeid }, { offset, data }) {
      const i = at(nodeid);
      if (offset + data.length > ROOM) throw EFBIG;
      files.data(i).set(data, offset);
      for (;;) {
        const size = files.size(i);
        if (size >= offset + data.length) break;
        if (Atomics.compareExchange(files.words, i * 4, size, offset + data.length) === size) break;
      }
      return { size: data.length };
    },
    readdir(_, { offset }, reply) {
      for (let i = Number(offset); i < FILES; i++)
        if (!reply.add({ name: `f${i}`, ino: BigInt(i + 2), off: BigInt(i + 1), type: 8 })) return;
    },
  };
  if (options.handlers === 'async' || options.handlers === 'slow')
    for (const name of ['statfs', 'getattr', 'lookup', 'read', 'write', 'setattr'] as const) {
      const plain = served[name] as (...args: unknown[]) => unknown;
      const slow = options.handlers === 'slow';
      (served as Record<string, unknown>)[name] = async (...args: unknown[]) => {
        if (slow) await new Promise((resolve) => setImmediate(resolve));
        return plain(...args);
      };
    }
  return served;
}
