/**
 * `npm run bench -- passthrough`: first what passthrough-kernel.ts measures, then, with data by requests: PassthroughFs over a directory of the machine's own, by one thread and by one a CPU, over the device and
 * over io_uring, and by sixteen threads as for a slow source, in turns with libfuse's passthrough_ll in C. That one is not part of this project: the environment variable PASSTHROUGH_LL
 * says where the program is. Without it there are the figures that it was measured with once, on two CPUs with
 * Linux 6.18, which say little on another machine; so for io_uring, which its released versions do not have.
 *
 * Behind each row, how often the same client does the same in a directory where no server is between. Files lie in the directory for
 * temporary files: TMPDIR=/dev/shm has them in memory. What is direct on the mount is from the page cache below. WAY='device, threads' measures
 * one way alone.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Bench, median, paired, type Row } from './measure.ts';
import { handedRows } from './passthrough-kernel.ts';
import { Peer } from './peer.ts';
import type { Which } from './server.ts';
import { loadMount, Server, type Timed } from './servers.ts';

interface Way {
  readonly which: Which;
  readonly transport: 'device' | 'sleeping' | 'uring';
  readonly title: string;
}
const WAYS: readonly Way[] = [
  { which: 'passthrough', transport: 'device', title: 'device' },
  // Without a look for more before it sleeps: what the work itself costs, where there is too little of it to keep a server awake.
  { which: 'passthrough', transport: 'sleeping', title: 'device, no spin' },
  { which: 'passthrough threads', transport: 'device', title: 'device, threads' },
  { which: 'passthrough 16 threads', transport: 'device', title: 'device, 16 threads' },
  { which: 'passthrough', transport: 'uring', title: 'io_uring' },
  { which: 'passthrough threads', transport: 'uring', title: 'io_uring, threads' },
];

/** passthrough_ll over the device and over io_uring: thousands of operations (MiB of the larger ones) a second and us of its CPU, for 1 client and for 4. */
// biome-ignore format: a table, an operation a line
const RECORDED = {
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
type Recorded = keyof typeof RECORDED;
interface Operation {
  readonly name: string;
  /** What the load client does (metabench.c). */
  readonly op: Recorded | 'read1m';
  readonly unit?: string;
  /** What is aimed at with one thread over the device, for 1 client and for 4. */
  readonly targets?: readonly [string, string?];
}
const OPERATIONS: readonly Operation[] = [
  { name: 'read 4 KiB, direct', op: 'read4k', targets: ['ours >= 75000', 'ours >= 170000'] },
  { name: 'write 4 KiB, direct', op: 'write4k' },
  { name: 'read 1 MiB, direct', op: 'read1m', unit: 'MiB/s', targets: ['ours >= 2861'] },
  { name: 'read 1 MiB, buffered', op: 'seqread', unit: 'MiB/s' },
  { name: 'write 1 MiB, buffered', op: 'seqwrite', unit: 'MiB/s' },
  { name: 'statx', op: 'statx_sync' },
  { name: 'open + close', op: 'open_close' },
  { name: 'create + unlink', op: 'create_unlink' },
  { name: 'mkdir + rmdir', op: 'mkdir_rmdir' },
  { name: 'readdir of 1,000 entries', op: 'readdir' },
];

export const passthrough: Bench = {
  name: 'passthrough',
  async *rows(quick) {
    if (process.env.WAY === undefined) yield* handedRows(quick);
    const program = process.env.PASSTHROUGH_LL;
    if (!program)
      console.error('PASSTHROUGH_LL is not set: the baseline is what libfuse’s example passthrough_ll did elsewhere');
    const place = await mkdtemp(join(tmpdir(), 'rawfuse-bench-'));
    const [native, source] = [join(place, 'native'), join(place, 'source')];
    for (const each of [native, source]) await mkdir(each);
    const peer = program ? await Peer.start(program, ['-f', '-o', `source=${source}`]) : undefined;
    try {
      for (const way of WAYS.filter(({ title }) => (process.env.WAY ?? title) === title)) {
        const server = await Server.start(way.which, 'errno', 'sync', way.transport);
        try {
          for (const clients of [1, 4])
            for (const operation of OPERATIONS) yield await row(quick, way, operation, clients, server, native, peer);
        } finally {
          await server.stop();
        }
      }
    } finally {
      await peer?.stop();
      await rm(place, { recursive: true, force: true });
    }
  },
};

async function row(
  quick: boolean,
  { transport, title }: Way,
  { name, op, unit = 'ops/s', targets }: Operation,
  clients: number,
  server: Server,
  native: string,
  peer: Peer | undefined,
): Promise<Row> {
  const seconds = quick ? 0.1 : 0.4;
  const load = () => server.load(op, clients, seconds);
  const inTurn = transport === 'uring' ? undefined : peer;
  await server.load(op, clients, 0.2); // makes the files, and compiles: that would count as the server's CPU time
  await inTurn?.load(op, clients, 0.05);
  const without = await loadMount(native, async () => 0, op, clients, seconds);
  const figures =
    inTurn === undefined
      ? alone(await several(quick ? 1 : 5, load), recorded(op, transport, clients))
      : await paired({ rounds: quick ? 1 : 5, most: 20_000 }, load, () => inTurn.load(op, clients, seconds));
  const target = title === 'device' ? targets?.[clients === 1 ? 0 : 1] : undefined;
  return {
    ...{ bench: 'passthrough', case: `${name}: ${title}`, clients },
    ...figures,
    ...{ unit, target, details: { natively: [figures.ours, without.value] } },
  };
}

async function several(count: number, load: () => Promise<Timed>): Promise<Timed[]> {
  const loads: Timed[] = [];
  for (let i = 0; i < count; i++) loads.push(await load());
  return loads;
}

function recorded(op: Operation['op'], transport: Way['transport'], clients: number) {
  if (op === 'read1m') return { value: Number.NaN, cpu: null };
  const [value, cpu] = RECORDED[op][transport === 'uring' ? 'uring' : 'device'][clients === 1 ? 0 : 1];
  return { value: op.startsWith('seq') ? value : value * 1000, cpu };
}

const alone = (loads: readonly Timed[], { value, cpu }: { value: number; cpu: number | null }) => {
  const ours = median(loads.map((each) => each.value));
  const serverCpuUs = median(loads.map((each) => each.cpu));
  return { ours, baseline: value, ratio: ours / value, serverCpuUs, baselineCpuUs: cpu };
};
