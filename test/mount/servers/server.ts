/**
 * A process that serves a mount and ends, or hangs, as its test wants: `server.ts DIRECTORY BEHAVIOUR`. It
 * prints `ready` when the mount answers, and then one line for each thing that a test waits for. With a third
 * argument `descriptor` it serves a descriptor that it mounted as a mount helper would.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { O_RDWR } from '../../../src/abi/posix.ts';
import { open, mount as sysMount } from '../../../src/abi/syscall.ts';
import { MemoryFs } from '../../../src/fs/index.ts';
import type { Mount } from '../../../src/mount.ts';
import type { Args } from '../../../src/protocol/operations.ts';
import type { Request } from '../../../src/protocol/request.ts';
import { type Serving, serve } from '../../../src/serve.ts';
import { assertTransport, mountOver, over } from '../../transport.ts';

/** Looks up the name `never` for ever; the kernel holds the directory's lock meanwhile. */
class Stuck extends MemoryFs {
  override lookup(request: Request, args: Args<'LOOKUP'>) {
    if (args.name !== 'never') return super.lookup(request, args);
    console.log('stuck');
    return new Promise<never>(() => {}) as never;
  }
}

export type Behaviour =
  | 'serve'
  | 'exit'
  | 'throw'
  | 'exit while notifying'
  | 'throw while notifying'
  | 'exit while lazily unmounted'
  | 'spin';

const [directory, behaviour, how] = process.argv.slice(2) as [string, Behaviour, 'descriptor' | undefined];

async function descriptor(): Promise<Serving> {
  const fd = open('/dev/fuse', O_RDWR);
  sysMount('helped', directory, 'fuse', 0, `fd=${fd},rootmode=40000,user_id=0,group_id=0`);
  const serving = serve(new Stuck(), fd, over({}));
  await serving.session.ready;
  assertTransport(serving.session);
  return serving;
}

const mine = how === 'descriptor' ? await descriptor() : await mountOver(new Stuck(), directory);
process.once('SIGUSR2', () => process.exit(0));
console.log('ready');

/** Resolves once a client hangs in a LOOKUP of the root, and a notification about the root hangs behind it. */
async function notifying(): Promise<void> {
  while (mine.session.inflight.length === 0) await sleep(5);
  mine.session.notify.inval_entry(1, 'x').catch(() => {});
  const lookup = mine.session.inflight[0];
  // Blocked, the thread sleeps for ever; how soon it gets there is not ours to see.
  await sleep(300);
  if (mine.session.inflight[0] !== lookup) throw new Error('the LOOKUP did not wait');
  console.log('notifying');
}

// biome-ignore format: a behaviour a line
const behaviours: Record<Behaviour, () => unknown> = {
  serve: () => {},
  exit: () => process.exit(0),
  throw: () => setImmediate(() => { throw new Error('thrown on purpose'); }),
  'exit while notifying': () => notifying().then(() => process.exit(0)),
  'throw while notifying': () => notifying().then(() => setImmediate(() => { throw new Error('thrown on purpose'); })),
  'exit while lazily unmounted': () => notifying().then(() => (mine as Mount).unmount({ lazy: true })).then(() => process.exit(0)),
  // One turn later: the answers of this one are out.
  spin: () => setTimeout(() => { console.log('spinning'); for (;;); }, 50),
};
await behaviours[behaviour]();
