/**
 * How many entries a FUSE ring has. The kernel has a queue for each CPU that this machine could ever have, and before
 * each of them holds an entry it lets all requests wait: so no queue may be left out, and with hundreds of them each
 * entry of a megabyte counts. A pure function, from what is known to what is made.
 *
 * The memory is reserved and not taken: a page is there once something was written to it, and the kernel gives a queue's
 * requests to the entry that came back last, so that idle entries cost addresses and nothing else.
 */
import { pageSize } from '../abi/syscall.ts';

/** What a plan is made from. */
export interface PlanOptions {
  /** Entries of a queue to begin with; the kernel hands out so many requests of a CPU at a time. Default: 64 shared out, 2 to 4 a queue. */
  readonly ringDepth?: number | undefined;
  /** Entries of a queue at most, when handlers wait. Default: 512 shared out, 4 to 256 a queue. */
  readonly ringLimit?: number | undefined;
  /** Whether threads of their own serve the queues. */
  readonly threaded?: boolean | undefined;
}

export interface Plan {
  /** One for each possible CPU. */
  readonly queues: number;
  /** Entries of a queue to begin with. */
  readonly depth: number;
  /** Entries of a queue at most. */
  readonly most: number;
  /** Bytes of an entry's payload. */
  readonly payload: number;
  /** Bytes of an entry in all. */
  readonly entry: number;
  /** Bytes reserved to begin with, and at most. */
  readonly bytes: number;
  readonly mostBytes: number;
}

/** Bytes of an entry beside its payload: the headers, and the iovecs that tell the kernel of both. */
export const HEADERS = 512;
/** All entries to begin with, shared out. More bring nothing to one thread, and 32 of 1 MiB each no longer fit a CPU's cache. */
const SHARED = 64;
const DEPTH = { least: 2, most: 4 };
/** Where each queue has a thread of its own, or few have one: with more at hand it takes more in a system call (16 clients on 2 CPUs: 0.13 calls for each request with 8, 0.49 with 4). */
const DEPTH_OF_THREADS = 8;
/** All entries at most, shared out. */
const SHARED_LIMIT = 512;
const LIMIT = { least: 4, most: 256 };
/** What an option may be: the kernel has no limit, our numbering does. */
export const MOST_ENTRIES = 4096;

const within = ({ least, most }: { least: number; most: number }, value: number): number =>
  Math.min(most, Math.max(least, Math.floor(value)));

/** RangeError for options that can't be. */
export function plan(queues: number, payload: number, { ringDepth, ringLimit, threaded }: PlanOptions = {}): Plan {
  for (const [name, value] of Object.entries({ ringDepth, ringLimit }))
    if (value !== undefined && !(Number.isInteger(value) && value >= 1 && value <= MOST_ENTRIES))
      throw new RangeError(`${name} is ${value}: a whole number from 1 to ${MOST_ENTRIES} is needed`);
  const limit = ringLimit ?? within(LIMIT, SHARED_LIMIT / queues);
  // A limit below what there would be to begin with is meant: who gives both gives them in order.
  const depth = ringDepth ?? Math.min(limit, threaded ? DEPTH_OF_THREADS : within(DEPTH, SHARED / queues));
  const most = Math.max(depth, limit);
  const pages = Math.ceil(payload / pageSize) * pageSize;
  const entry = pages + HEADERS;
  return { queues, depth, most, payload, entry, bytes: queues * depth * entry, mostBytes: queues * most * entry };
}

/** A plan in words. */
export function describe({ queues, depth, most, bytes, mostBytes }: Plan): string {
  const mib = (n: number) => `${n < 10 << 20 ? (n / 2 ** 20).toFixed(1) : Math.round(n / 2 ** 20)} MiB`;
  return `${queues} ${queues === 1 ? 'queue' : 'queues'} of ${depth} entries, ${mib(bytes)} reserved; at most ${most}, ${mib(mostBytes)}`;
}

/** How many CPUs the kernel counts as possible, from what it says of them: `0-3,8`. */
export function countCpus(list: string): number {
  let count = 0;
  for (const part of list.trim().split(',')) {
    const [, from, to = from] = /^(\d+)(?:-(\d+))?$/u.exec(part) ?? [];
    count += Number(to) - Number(from) + 1;
  }
  if (!(count >= 1)) throw new RangeError(`not a list of CPUs: ${list}`);
  return count;
}
