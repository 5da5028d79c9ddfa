/**
 * A process that serves a filesystem in memory at each of its DIRECTORIES, for a union to have as branches, and behaves as its test says
 * by messages: says EIO to operations, takes its time for some, refuses what an NFS server would. Each message is answered with what
 * was asked of it since the one before. It ends when its test does. @see ../faulty.ts
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { EACCES, EIO } from '../../../src/abi/errno.ts';
import { O_ACCMODE, O_RDONLY } from '../../../src/abi/posix.ts';
import { MemoryFs } from '../../../src/fs/index.ts';
import { mount } from '../../../src/mount.ts';
import type { Filesystem } from '../../../src/protocol/filesystem.ts';
import type { Request } from '../../../src/protocol/request.ts';

/** How a branch is to behave from now on. */
export interface Orders {
  /** Which of them. */
  readonly branch: number;
  /** Operations that it says EIO to: names of handlers. */
  readonly fail?: readonly string[];
  /** Operations that take their time: a while, or until a second one is under way, as long as that may come. */
  readonly slow?: Readonly<Record<string, 'a while' | 'for another'>>;
  /** Whether a file that its owner may not write to is refused to everybody who would. */
  readonly likeNfs?: boolean;
}
/** By operation: how often each branch was asked, and how many were under way at once at most, on all of them. */
export interface Figures {
  readonly asked: readonly Readonly<Record<string, number>>[];
  readonly atOnce: Readonly<Record<string, number>>;
}

/** In ms. */
const SLOW = { 'a while': 50, 'for another': 10_000 } as const;
/** The test is gone, or hangs in a mount of this process: its end is the end of that. */
const WATCHDOG = 120_000;
const OWNER_WRITES = 0o200;

type Method = (request: Request, args: { readonly flags?: number }, reply: unknown) => unknown;
const directories = process.argv.slice(2);
const orders: Orders[] = directories.map((_, branch) => ({ branch }));
let asked: Record<string, number>[] = directories.map(() => ({}));
let atOnce: Record<string, number> = {};
const underWay: Record<string, AbortController[]> = {};

/** MemoryFs, with all that it is asked seen here first. Without readdirplus: a directory is then read by one operation. */
function faulty(branch: number): Filesystem {
  const inner = new MemoryFs();
  const own: Record<string, Method | undefined> = {
    opendir: () => ({ fh: 0 }),
    fsync: () => {},
    ...Object.fromEntries(
      NAMES.map((name) => [name, (inner as never)[name] && ((inner as never)[name] as Method).bind(inner)]),
    ),
    readdirplus: undefined,
  };
  const served = Object.entries(own).flatMap(([name, call]) => (call === undefined ? [] : [[name, seen(name, call)]]));
  const { promises } = inner;
  return { ...Object.fromEntries(served), promises, init: (connection) => inner.init?.(connection) };

  function seen(name: string, call: Method): Method {
    return (request, args, reply) => {
      const { fail = [], slow = {}, likeNfs = false } = orders[branch]!;
      asked[branch]![name] = (asked[branch]![name] ?? 0) + 1;
      if (fail.includes(name)) throw EIO;
      if (likeNfs && name === 'open' && ((args.flags ?? O_RDONLY) & O_ACCMODE) !== O_RDONLY) {
        const { mode } = inner.getattr(request).attr;
        if (!(mode & OWNER_WRITES)) throw EACCES;
      }
      const result = call(request, args, reply);
      const how = slow[name];
      return how === undefined ? result : slowly(name, how, result);
    };
  }
}
async function slowly(name: string, how: keyof typeof SLOW, result: unknown): Promise<unknown> {
  underWay[name] ??= [];
  const others = underWay[name];
  const alone = new AbortController();
  others.push(alone);
  atOnce[name] = Math.max(atOnce[name] ?? 0, others.length);
  // Who has met another one is gone at once: the next of the same client is to meet the next of the other.
  if (how === 'for another' && others.length > 1) for (const each of others.splice(0)) each.abort();
  await sleep(SLOW[how], undefined, { signal: alone.signal }).catch(() => {});
  if (others.includes(alone)) others.splice(others.indexOf(alone), 1);
  return result;
}
const NAMES = [
  ...['lookup', 'forget', 'getattr', 'statx', 'setattr', 'readlink', 'symlink', 'mknod', 'mkdir', 'unlink', 'rmdir'],
  ...['rename', 'link', 'open', 'read', 'write', 'statfs', 'release', 'flush', 'setxattr', 'getxattr', 'listxattr'],
  ...['removexattr', 'readdir', 'create', 'tmpfile', 'fallocate', 'lseek', 'ioctl', 'destroy'],
];

setTimeout(() => process.exit(1), WATCHDOG).unref();
const options = { transport: 'device', allowOther: true, entryTimeout: 0, attrTimeout: 0, directIo: true } as const;
const mounts = await Promise.all(directories.map((directory, i) => mount(faulty(i), directory, options)));
process.on('message', (next: Orders) => {
  orders[next.branch] = next;
  process.send!({ asked, atOnce } satisfies Figures);
  asked = directories.map(() => ({}));
  atOnce = {};
});
process.once('disconnect', () => void Promise.all(mounts.map((each) => each.unmount({ lazy: true }))));
process.send!('ready');
