/**
 * A server under test, a process of its own: `node server.js WHICH DIR errno|negative sync|async TRANSPORT`. Mounts,
 * says `ready` over its channel, and answers the bench's questions about itself. Ends when the
 * channel does.
 */
import { spawn } from 'node:child_process';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { O_CLOEXEC, O_RDWR } from '../../src/abi/posix.ts';
import { open, mount as sysMount } from '../../src/abi/syscall.ts';
import { MemoryFs, PassthroughFs, UnionFs } from '../../src/fs/index.ts';
import { type Filesystem, type Mount, mount } from '../../src/index.ts';
import { DeviceTransport } from '../../src/protocol/device.ts';
import { Session } from '../../src/protocol/session.ts';
import { type Absent, canned, cannedAsync } from './canned.ts';
import { fill } from './memory-fill.ts';
import { rawLoop } from './raw-loop.ts';
import { branchesOf, sourceOf, UNION_OPTIONS } from './servers.ts';
import shared, { share } from './threads-fs.ts';

/**
 * The canned filesystem, the raw loop; MemoryFs by default, where it lists names alone, where the kernel may keep nothing, and with the data
 * left to the kernel; shared memory served by a thread a CPU, or by this one; a directory beside the mount by this thread, by one a CPU, or by many, as for a
 * slow one, its data by requests; and by this thread with the data left to the kernel; a union of so many directories there, by this thread
 * or by one a CPU.
 */
export type Which =
  | 'ours'
  | 'loop'
  | 'memory'
  | 'listing'
  | 'uncached'
  | 'memory kernel'
  | 'threads'
  | 'single'
  | 'passthrough'
  | 'passthrough threads'
  | 'passthrough 16 threads'
  | 'passthrough kernel'
  | `union ${number}`
  | `union threads ${number}`;
/** How it is talked to; `sleeping` is the device without a look for more before it sleeps. */
export type Transport = 'device' | 'uring' | 'sleeping';
/** What the bench may ask; each answer is a number. `fill` takes one, how many files to make; `served` a thread. */
export type Question = 'cpu' | 'gap' | 'worst gap' | 'rss' | 'fill' | 'served';
export interface Asked {
  readonly id: number;
  readonly question: Question;
  readonly count: number;
}
export interface Answered {
  readonly id: number;
  readonly value: number;
}

const [, , which, directory, absent, handlers, transport] = process.argv as string[] as [
  string,
  string,
  Which,
  string,
  Absent,
  'sync' | 'async',
  Transport,
];

/** CPU time of this process so far, in us. */
function cpu(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

let timer: NodeJS.Timeout | undefined;
let worst = 0;
/** Watches a timer of 1 ms from now on. */
function watchTimer(): number {
  let last = performance.now();
  worst = 0;
  timer = setInterval(() => {
    const now = performance.now();
    worst = Math.max(worst, now - last);
    last = now;
  }, 1);
  return 0;
}

/** Bytes that are resident when all that nobody holds has been given back. */
function rss(): number {
  setFlagsFromString('--expose-gc'); // here and not for the process: V8 is to collect when it would
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage.rss();
}

/** MemoryFs with room for a million files whatever memory the machine has. */
function memoryFs(): MemoryFs {
  const filesystem = new MemoryFs({ nrInodes: 2_000_000, kernelPassthrough: which === 'memory kernel' });
  if (which === 'listing') Object.defineProperty(filesystem, 'readdirplus', { value: undefined });
  return filesystem;
}
const memory = ['memory', 'listing', 'uncached', 'memory kernel'].includes(which) ? memoryFs() : undefined;
let mounted: Mount | undefined;

const answers: Record<Question, (count: number) => number | Promise<number>> = {
  cpu,
  rss,
  fill: (count) => fill(memory!, count),
  served: (thread) => mounted?.served[thread] ?? 0,
  gap: watchTimer,
  'worst gap': () => {
    clearInterval(timer);
    return worst;
  },
};

process.on('message', async ({ id, question, count }: Asked) => {
  process.send!({ id, value: await answers[question](count) } satisfies Answered);
});

function choose(): Filesystem | URL {
  if (memory !== undefined) return memory;
  // What this was compiled to.
  if (which === 'threads') return new URL(import.meta.url.replace(/server(\.\w+)$/u, 'threads-fs$1'));
  if (which === 'passthrough') return new PassthroughFs({ source: sourceOf(directory), kernelPassthrough: false });
  if (which === 'passthrough kernel')
    return new PassthroughFs({ source: sourceOf(directory), kernelPassthrough: true });
  if (which.startsWith('union threads'))
    return new URL(`../../src/fs/union/union-module.${import.meta.url.split('.').at(-1)}`, import.meta.url);
  if (which.startsWith('union')) return new UnionFs({ branches: branchesOf(directory, which), options: UNION_OPTIONS });
  if (which.startsWith('passthrough'))
    return new URL(`../../src/fs/passthrough/passthrough-module.${import.meta.url.split('.').at(-1)}`, import.meta.url);
  if (which === 'single') return shared({ shared: share() });
  return handlers === 'async' ? cannedAsync(absent) : canned(absent);
}

/** A mount whose transport we have in hand, so as to take its spin away. */
async function sleepingDevice(filesystem: Filesystem): Promise<Session> {
  const fd = open('/dev/fuse', O_RDWR | O_CLOEXEC);
  sysMount('bench', directory, 'fuse', 0, `fd=${fd},rootmode=40000,user_id=0,group_id=0,allow_other`);
  const session = new Session(filesystem);
  const device = new DeviceTransport(fd, session);
  device.start();
  await session.ready;
  device.beside();
  return session;
}

let unmount: () => void;
if (which === 'loop') {
  rawLoop(directory, absent, () => process.exit());
  unmount = () => spawn('umount', ['-l', directory], { stdio: 'ignore' });
} else if (transport === 'sleeping') {
  const session = await sleepingDevice(choose() as Filesystem);
  session.closed.then(() => process.exit());
  unmount = () => spawn('umount', ['-l', directory], { stdio: 'ignore' });
} else {
  const filesystem = choose();
  const timeouts = which === 'uncached' ? { entryTimeout: 0, attrTimeout: 0 } : {};
  const count = Number(/(\d+) threads/u.exec(which)?.[1]) || ('cpus' as const);
  const threads = which.includes('threads') ? { threads: count } : {};
  const served = /^passthrough.*threads$/u.test(which)
    ? { filesystem: { source: sourceOf(directory), kernelPassthrough: false } }
    : which.startsWith('union threads')
      ? { filesystem: { branches: branchesOf(directory, which), options: UNION_OPTIONS } }
      : {};
  const options = { allowOther: true, transport, ...timeouts, ...threads, ...served } as const;
  const mine = await mount(filesystem as URL, directory, options);
  mounted = mine;
  mine.closed.then(() => process.exit());
  unmount = () => void mine.unmount({ lazy: true });
}
process.on('disconnect', unmount);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, unmount);
process.send!('ready');
