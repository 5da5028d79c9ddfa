/** Handlers that the tests of sessions share: ones that wait, ones that give out what must be taken back. */
import type { Filesystem } from '../../src/protocol/filesystem.ts';
import type { Request } from '../../src/protocol/request.ts';

/** The least that attributes need. */
export const attr = { ino: 7n, mode: 0o100644 };
export const entry = (nodeid: number) => ({ nodeid, attr });

/** Something to be settled later, once for each call: what a handler waits for. */
export class Gate<T> {
  readonly waiting: { resolve(value: T): void; reject(error: unknown): void }[] = [];
  wait = (): Promise<T> => new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  release(value: T): void {
    for (const each of this.waiting.splice(0)) each.resolve(value);
  }
}

/** A handler that ends when its request is interrupted, as setlk of a filesystem does. */
export const untilAborted = ({ signal }: Request): Promise<never> =>
  new Promise((_, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop);
  });

/** A filesystem of handlers that give lookups and handles out, and the calls that take them back. */
export function lending(extra: Filesystem = {}): { calls: unknown[]; filesystem: Filesystem } {
  const calls: unknown[] = [];
  const filesystem: Filesystem = {
    lookup: () => entry(21),
    mkdir: () => entry(22),
    mknod: () => entry(23),
    symlink: () => entry(24),
    link: () => entry(25),
    create: () => ({ entry: entry(26), open: { fh: 36 } }),
    tmpfile: () => ({ entry: entry(27), open: { fh: 37 } }),
    open: () => ({ fh: 38 }),
    opendir: () => ({ fh: 39 }),
    readdirplus: (_, __, reply) => {
      for (const [i, name] of ['.', '..', 'a', 'bb', 'c'.repeat(100)].entries())
        reply.add({ name, ino: 1n, type: 0, off: BigInt(i + 1) }, () => entry(40 + i));
    },
    forget: (_, { nodeid, nlookup }) => void calls.push(['forget', nodeid, nlookup]),
    release: ({ nodeid }, { fh }) => void calls.push(['release', nodeid, fh]),
    releasedir: ({ nodeid }, { fh }) => void calls.push(['releasedir', nodeid, fh]),
    ...extra,
  };
  return { calls, filesystem };
}

/** A write lock on the whole file. */
export const lock = { start: 0n, end: (1n << 63n) - 1n, type: 1, pid: 1 };

export function raise(error: unknown): never {
  throw error;
}
