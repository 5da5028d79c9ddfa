/**
 * A server under test, a process of its own: `node server.js WHICH DIR errno|negative sync|async`. Mounts,
 * says `ready` over its channel, and answers the bench's questions about itself. Ends when the
 * channel does.
 */
import { spawn } from 'node:child_process';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MemoryFs } from '../../src/fs/index.ts';
import { type Filesystem, type Mount, mount } from '../../src/index.ts';
import { DeviceTransport } from '../../src/protocol/device.ts';
import { type Absent, canned, cannedAsync } from './canned.ts';
import { fill } from './memory-fill.ts';
import { rawLoop } from './raw-loop.ts';
import shared, { share } from './threads-fs.ts';

/**
 * The canned filesystem, the raw loop; MemoryFs by default, where it lists names alone, and where the kernel may keep nothing;
 * shared memory served by several threads, by one over the device, and by that without a spin.
 */
export type Which = 'ours' | 'loop' | 'memory' | 'listing' | 'uncached' | 'threads' | 'single' | 'no spin';
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

const [, , which, directory, absent, handlers] = process.argv as string[] as [
  string,
  string,
  Which,
  string,
  Absent,
  'sync' | 'async',
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
  const filesystem = new MemoryFs({ nrInodes: 2_000_000 });
  if (which === 'listing') Object.defineProperty(filesystem, 'readdirplus', { value: undefined });
  return filesystem;
}
const memory = ['memory', 'listing', 'uncached'].includes(which) ? memoryFs() : undefined;
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
  if (which === 'single' || which === 'no spin') return shared({ shared: share() });
  return handlers === 'async' ? cannedAsync(absent) : canned(absent);
}

if (which === 'no spin') {
  const { start } = DeviceTransport.prototype;
  DeviceTransport.prototype.start = function () {
    this.beside();
    start.call(this);
  };
}

let unmount: () => void;
if (which === 'loop') {
  rawLoop(directory, absent, () => process.exit());
  unmount = () => spawn('umount', ['-l', directory], { stdio: 'ignore' });
} else {
  const filesystem = choose();
  const timeouts = which === 'uncached' ? { entryTimeout: 0, attrTimeout: 0 } : {};
  const threads = which === 'threads' ? ({ threads: 'cpus', transport: 'uring' } as const) : {};
  const mine = await mount(filesystem, directory, { allowOther: true, ...timeouts, ...threads });
  mounted = mine;
  mine.closed.then(() => process.exit());
  unmount = () => void mine.unmount({ lazy: true });
}
process.on('disconnect', unmount);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, unmount);
process.send!('ready');
