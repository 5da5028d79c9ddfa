/**
 * `npm run bench -- threads`: a filesystem whose state is shared memory, served by one thread a CPU over io_uring, against
 * the same served by one thread over the device: with the spin that it has, and without.
 */
import { type Bench, paired, type Row } from './measure.ts';
import { Server } from './servers.ts';

const loads = [
  { name: 'statfs', op: 'statfs' },
  { name: 'getattr', op: 'statx_sync' },
] as const;

export const threads: Bench = {
  name: 'threads',
  async *rows(quick) {
    const rounds = quick ? { rounds: 5, most: 2000 } : { rounds: 25, most: 20_000 };
    const seconds = quick ? 0.1 : 0.2;
    const baselines = {
      'one thread': await Server.start('single'),
      'one thread, no spin': await Server.start('single', 'errno', 'sync', 'sleeping'),
    };
    const server = await Server.start('threads', 'errno', 'sync', 'uring');
    try {
      for (const clients of [4, 16, 1])
        for (const { name, op } of loads)
          for (const [baseline, single] of Object.entries(baselines)) {
            for (const each of [server, single]) await each.load(op, clients, 0.1); // compiles
            const figures = await paired(
              rounds,
              () => server.load(op, clients, seconds),
              () => single.load(op, clients, seconds),
            );
            const target = baseline === 'one thread' ? (clients === 1 ? 0.95 : 1.5) : clients === 1 ? 1.3 : undefined;
            const row: Row = {
              bench: 'threads',
              case: `${name}, against ${baseline}`,
              clients,
              ...figures,
              unit: 'ops/s',
            };
            yield target === undefined ? row : { ...row, target: `>= ${target}` };
          }
      const served = await Promise.all([0, 1].map((index) => server.ask('served', index)));
      const least = Math.min(...served);
      yield {
        ...{ bench: 'threads', case: 'requests that each of two threads has served', clients: 0, unit: '' },
        ...{ ours: served[0]!, baseline: served[1]!, ratio: least / Math.max(...served), target: '> 0' },
        ...{ serverCpuUs: null, baselineCpuUs: null },
      };
    } finally {
      await Promise.all([server, ...Object.values(baselines)].map((each) => each.stop()));
    }
  },
};
