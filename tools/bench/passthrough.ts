/**
 * `npm run bench -- passthrough`: first what passthrough-kernel.ts measures, then with data by requests: PassthroughFs over a directory of the machine's own, on one thread over the device, and by a
 * thread a CPU over io_uring, against libfuse's passthrough_ll in C. That one is not part of this project: its figures
 * were measured once, on two CPUs with Linux 6.18, and say little on another machine. Behind that, how often the same
 * client does the same in the directory itself, where no server is between.
 *
 * read 4 KiB is direct on the mount, and from the page cache below.
 */
import { type Bench, median, type Row } from './measure.ts';
import { handedRows } from './passthrough-kernel.ts';
import { Server, type Timed } from './servers.ts';

const WAYS = [
  { which: 'passthrough', transport: 'device', title: '' },
  { which: 'passthrough threads', transport: 'uring', title: ', io_uring, threads' },
] as const;

/** passthrough_ll over the device and over io_uring: thousands of operations (MB of the last two) a second and us of its CPU, for 1 client and for 4. */
// biome-ignore format: a table, an operation a line
const RECORDED = {
  statfs:        { device: [[98.9, 5.9],  [227.9, 4.7]],   uring: [[88.9, 5.3],  [336.3, 3.3]] },
  statx_sync:    { device: [[80.8, 6.7],  [176.7, 5.8]],   uring: [[72.5, 6.3],  [317.4, 2.9]] },
  open_close:    { device: [[31.1, 24.3], [66.6, 17.9]],   uring: [[36.3, 14.3], [104.1, 11.6]] },
  create_unlink: { device: [[13.2, 61.5], [21.4, 56.0]],   uring: [[18.6, 33.6], [41.0, 29.1]] },
  mkdir_rmdir:   { device: [[17.1, 44.8], [26.6, 45.7]],   uring: [[26.2, 26.1], [53.7, 23.0]] },
  readdir:       { device: [[1.1, 623.9], [1.4, 583.5]],   uring: [[1.5, 437.3], [1.7, 478.3]] },
  read4k:        { device: [[91.9, 7.2],  [190.7, 6.3]],   uring: [[83.6, 6.3],  [307.4, 3.6]] },
  write4k:       { device: [[86.8, 7.7],  [155.2, 8.0]],   uring: [[82.8, 6.5],  [268.9, 4.5]] },
  seqread:       { device: [[908, 1218],  [858, 1373]],    uring: [[1674, 348],  [2751, 346]] },
  seqwrite:      { device: [[1217, 521],  [1007, 603]],    uring: [[1594, 395],  [1566, 398]] },
} as const;
type Op = keyof typeof RECORDED;

export const passthrough: Bench = {
  name: 'passthrough',
  async *rows(quick) {
    yield* handedRows(quick);
    for (const { which, transport, title } of WAYS) {
      const server = await Server.start(which, 'errno', 'sync', transport);
      try {
        for (const clients of [1, 4])
          for (const op of Object.keys(RECORDED) as Op[]) {
            const [kops, baselineCpuUs] = RECORDED[op][transport][clients === 1 ? 0 : 1];
            const bytes = op.startsWith('seq');
            const { value, cpu } = await measured(quick, (seconds) => server.load(op, clients, seconds));
            const baseline = bytes ? kops : kops * 1000;
            yield {
              ...{ bench: 'passthrough', case: `${op}${title}, against passthrough_ll`, clients },
              ...{ ours: value, baseline, ratio: value / baseline, serverCpuUs: cpu, baselineCpuUs },
              unit: bytes ? 'MB/s' : 'ops/s',
            } satisfies Row;
          }
        for (const op of ['open_close', 'create_unlink', 'readdir'] as const) {
          const [ours, native] = [
            await measured(quick, (seconds) => server.load(op, 1, seconds)),
            await measured(quick, (seconds) => server.loadSource(op, 1, seconds)),
          ];
          yield {
            ...{ bench: 'passthrough', case: `${op}${title}, against the directory itself`, clients: 1, unit: 'ops/s' },
            ...{ ours: ours.value, baseline: native.value, ratio: ours.value / native.value },
            ...{ serverCpuUs: ours.cpu, baselineCpuUs: null },
          } satisfies Row;
        }
      } finally {
        await server.stop();
      }
    }
  },
};

/** The median of a few, after one that compiles: code that is compiled meanwhile counts as the server's CPU time. */
async function measured(
  quick: boolean,
  load: (seconds: number) => Promise<Timed>,
): Promise<{ value: number; cpu: number }> {
  await load(0.3);
  const loads: Timed[] = [];
  for (let i = 0; i < (quick ? 1 : 5); i++) loads.push(await load(quick ? 0.2 : 0.5));
  return { value: median(loads.map(({ value }) => value)), cpu: median(loads.map(({ cpu }) => cpu)) };
}
