/**
 * A filesystem that lives in threads of its own: a module, which each of them loads. Its default export makes the
 * filesystem of one thread; what the threads have in common is made once, by `share`, in memory that all of them see.
 */
import { usableCpus } from '../abi/syscall.ts';
import { type MountOptions, OptionError } from '../options.ts';
import type { Connection } from '../protocol/connection.ts';
import type { Filesystem } from '../protocol/filesystem.ts';
import type { SessionOptions } from '../protocol/session.ts';
import type { WorkerContext } from './messages.ts';
import { Workers } from './workers.ts';

/** What such a module exports. */
export interface FilesystemModule<Shared = unknown, Options = unknown> {
  /** Makes the filesystem of one thread. */
  readonly default: (worker: WorkerContext<Shared, Options>) => Filesystem | Promise<Filesystem>;
  /** Called once, on the mounting thread: what it returns all threads get, and can be copied to them or is shared memory. */
  readonly share?: (options: Options) => Shared | Promise<Shared>;
  /**
   * Called once, on the mounting thread, when the kernel has agreed: for what waits for something beside requests, since a thread that serves may sleep.
   * What it returns is called when the connection is over.
   */
  readonly attend?: (shared: Shared, connection: Connection) => (() => void) | undefined;
  /** How many threads can serve it at most. Absent: any number. */
  readonly maxThreads?: number;
}

/** How many threads were asked for. */
export function threadsOf({ threads = 1, maxThreads = Number.POSITIVE_INFINITY }: MountOptions): number {
  return Math.min(threads === 'cpus' ? usableCpus().length : threads, maxThreads);
}

/** Loads the module and starts its threads. */
export async function startThreads(
  module: URL,
  filesystem: unknown,
  mount: MountOptions,
  session: SessionOptions,
): Promise<Workers> {
  const loaded = (await import(module.href)) as Partial<FilesystemModule>;
  if (typeof loaded.default !== 'function')
    throw new OptionError(`${module.pathname} exports no function as its default, which would make the filesystem`);
  const count = threadsOf(mount);
  const { maxThreads = Number.POSITIVE_INFINITY } = loaded;
  if (count > maxThreads)
    throw new OptionError(
      `${module.pathname} can be served by ${maxThreads} threads at most: threads is ${mount.threads}`,
    );
  const shared = await loaded.share?.(filesystem);
  const { attend } = loaded;
  const attended = attend && ((connection: Connection) => attend(shared, connection));
  return Workers.start({ module, count, shared, attend: attended, filesystem, mount, session });
}
