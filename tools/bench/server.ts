/**
 * A server under test, a process of its own: `node server.js ours|loop DIR errno|negative sync|async`. Mounts,
 * says `ready` over its channel, and answers the bench's questions about itself. Ends when the channel does.
 */
import { spawn } from 'node:child_process';
import { mount } from '../../src/index.ts';
import { type Absent, canned, cannedAsync } from './canned.ts';
import { rawLoop } from './raw-loop.ts';

/** What the bench may ask; each answer is a number. */
export type Question = 'cpu' | 'gap' | 'worst gap';
export interface Asked {
  readonly id: number;
  readonly question: Question;
}
export interface Answered {
  readonly id: number;
  readonly value: number;
}

const [, , which, directory, absent, handlers] = process.argv as string[] as [
  string,
  string,
  'ours' | 'loop',
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

const answers: Record<Question, () => number | Promise<number>> = {
  cpu,
  gap: watchTimer,
  'worst gap': () => {
    clearInterval(timer);
    return worst;
  },
};

process.on('message', async ({ id, question }: Asked) => {
  process.send!({ id, value: await answers[question]() } satisfies Answered);
});

let unmount: () => void;
if (which === 'loop') {
  rawLoop(directory, absent, () => process.exit());
  unmount = () => spawn('umount', ['-l', directory], { stdio: 'ignore' });
} else {
  const mounted = await mount(handlers === 'async' ? cannedAsync(absent) : canned(absent), directory, {
    allowOther: true,
  });
  mounted.closed.then(() => process.exit());
  unmount = () => void mounted.unmount({ lazy: true });
}
process.on('disconnect', unmount);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, unmount);
process.send!('ready');
