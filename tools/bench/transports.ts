/**
 * `npm run bench -- transports`: FUSE over io_uring against read and write on /dev/fuse, the same MemoryFs behind both, each
 * on one thread and in a process of its own, in turns. With one client there is a second comparison, with a device that
 * sleeps as soon as nothing is there to read: what both transports gain by looking on for a while is then seen apart.
 *
 * FUSE over io_uring has to be switched on; `rawfuse doctor` says how. The bench does not touch that.
 */
import { type Bench, median, type Row } from './measure.ts';
import type { Transport } from './server.ts';
import { Server, type Timed } from './servers.ts';

interface Operation {
  readonly name: string;
  /** What the load client does (metabench.c). */
  readonly op: string;
  /** What the ratio is held to, with clients enough to keep the server busy. */
  readonly target: string;
}
const operations: readonly Operation[] = [
  { name: 'statfs', op: 'statfs', target: '>= 0.9' },
  { name: 'lookup', op: 'stat_enoent', target: '>= 0.9' },
  { name: 'getattr', op: 'statx_sync', target: '>= 0.9' },
  { name: 'create + unlink', op: 'create_unlink', target: '>= 0.9' },
  { name: 'read 4 KiB', op: 'read4k', target: '>= 0.9' },
  { name: 'write 4 KiB', op: 'write4k', target: '>= 0.9' },
  { name: 'read 1 MiB', op: 'seqread', target: '>= 1' },
  { name: 'write 1 MiB', op: 'seqwrite', target: '>= 1' },
];

const of = (loads: readonly Timed[], figure: (load: Timed) => number): number => median(loads.map(figure));

async function compared(ours: Server, baseline: Server, op: string, clients: number, quick: boolean) {
  const seconds = quick ? 0.1 : 0.3;
  const mine: Timed[] = [];
  const theirs: Timed[] = [];
  for (const server of [ours, baseline]) await server.load(op, clients, 0.1); // compiles
  for (let round = 0; round < (quick ? 3 : 11); round++) {
    const turns: [Server, Timed[]][] = [
      [ours, mine],
      [baseline, theirs],
    ];
    for (const [server, loads] of round % 2 === 0 ? turns : turns.reverse())
      loads.push(await server.load(op, clients, seconds));
  }
  return {
    ours: of(mine, ({ value }) => value),
    baseline: of(theirs, ({ value }) => value),
    ratio: median(mine.map(({ value }, i) => value / theirs[i]!.value)),
    serverCpuUs: of(mine, ({ cpu }) => cpu),
    baselineCpuUs: of(theirs, ({ cpu }) => cpu),
    details: {
      'p50 us': [of(mine, ({ p50 }) => p50), of(theirs, ({ p50 }) => p50)],
      'p99 us': [of(mine, ({ p99 }) => p99), of(theirs, ({ p99 }) => p99)],
      'client CPU us/op': [of(mine, ({ clientCpu }) => clientCpu), of(theirs, ({ clientCpu }) => clientCpu)],
    } as const,
  };
}

export const transports: Bench = {
  name: 'transports',
  async *rows(quick) {
    const started: Server[] = [];
    const start = async (transport: Transport) => {
      const server = await Server.start('memory', 'errno', 'sync', transport);
      started.push(server);
      return server;
    };
    try {
      const uring = await start('uring');
      const device = await start('device');
      const sleeping = await start('sleeping');
      for (const clients of [1, 4, 16])
        for (const { name, op, target } of operations) {
          const row = { bench: 'transports', clients, unit: 'ops/s' } as const;
          const figures = await compared(uring, device, op, clients, quick);
          yield { ...row, case: name, ...figures, target: clients === 1 ? undefined : target } satisfies Row;
          if (clients > 1) continue;
          const slow = await compared(uring, sleeping, op, clients, quick);
          yield { ...row, case: `${name}, device without spin`, ...slow, target: '>= 0.9' } satisfies Row;
        }
    } finally {
      await Promise.all(started.map((server) => server.stop()));
    }
  },
};
