/**
 * `npm run bench -- memory`: MemoryFs, on one thread, against libfuse's in-memory example on many (memory-baseline.ts), in
 * turns. First each as it is mounted by default: ours lets the kernel keep names and attributes for a second, has it
 * check permissions (POSIX_ACL), and serves locks, so that each close sends a FLUSH; the other does nothing of that. Then
 * both with the same options, default_permissions and no caches, where the work for each request is compared: there the
 * kernel asks for the attributes of each directory on the way, and create + unlink is 20 requests.
 *
 * The first reply of a listing brings attributes of ours (READDIRPLUS, for 204 entries), which costs more than names and
 * saves what comes next; so that row has no target, and there is one for names alone.
 *
 * Behind that: whether listing stays as fast, entry by entry, in large directories, and what a file costs in memory.
 * There listings are of names alone: with attributes a thousand entries take twice as long, and anything would look flat.
 */
import { type Bench, median, paired, type Row, type Sample } from './measure.ts';
import { HOW_TO_BUILD, MemfsFailed, MemfsLl, RECORDED } from './memory-baseline.ts';
import { memoryHandedRows } from './memory-kernel.ts';
import type { Which } from './server.ts';
import { type Loaded, Server } from './servers.ts';

interface Operation {
  readonly name: string;
  /** What the load client does (metabench.c). */
  readonly op: string;
  readonly unit?: string;
  /** Which server of ours, where it is not the one of the round. */
  readonly which?: Which;
  /** Whether it only informs. */
  readonly informs?: true;
}

const operations: readonly Operation[] = [
  { name: 'create + unlink', op: 'create_unlink' },
  { name: 'mkdir + rmdir', op: 'mkdir_rmdir' },
  { name: 'statx', op: 'statx_sync' },
  { name: 'open + close', op: 'open_close' },
  { name: 'rename', op: 'rename' },
  { name: 'readdir of 1,000 entries, names alone', op: 'readdir', which: 'listing' },
  { name: 'readdir of 1,000 entries, with READDIRPLUS', op: 'readdir', informs: true },
  { name: 'read 4 KiB, direct', op: 'read4k' },
  { name: 'write 4 KiB, direct', op: 'write4k' },
  { name: 'read sequentially', op: 'seqread', unit: 'MiB/s' },
  { name: 'write sequentially', op: 'seqwrite', unit: 'MiB/s' },
  { name: 'statfs', op: 'statfs' },
];

interface Round {
  readonly suffix: string;
  readonly which: Which;
  /** The mount options of memfs_ll. */
  readonly options: string;
  /** Which operations; whether the rows are held to a target. */
  readonly operations: readonly Operation[];
  readonly informs: boolean;
}
const rounds: readonly Round[] = [
  { suffix: '', which: 'memory', options: 'allow_other', operations, informs: false },
  {
    suffix: ', no caches',
    which: 'uncached',
    options: 'allow_other,default_permissions',
    operations: operations.filter(({ op }) => /create|mkdir|statx|open|rename/u.test(op)),
    informs: true,
  },
];

type Figures = Omit<Row, 'bench' | 'case' | 'clients' | 'unit' | 'target'>;
const row = (name: string, clients: number, figures: Figures, unit: string, target?: string): Row => ({
  ...{ bench: 'memory', case: name, clients },
  ...figures,
  ...{ unit, target },
});

export const memory: Bench = {
  name: 'memory',
  async *rows(quick) {
    const program = process.env.MEMFS_LL;
    if (!program) console.error(HOW_TO_BUILD);
    for (const round of rounds)
      if (program || !round.informs)
        yield* comparison(quick, round, program ? new MemfsLl(program, round.options) : undefined);
    yield* memoryHandedRows(quick);
    yield* listings(quick);
  },
};

async function* comparison(quick: boolean, round: Round, memfs: MemfsLl | undefined): AsyncGenerator<Row> {
  const servers = new Map<Which, Server>();
  try {
    for (const clients of [4, 1] as const)
      for (const { name, op, unit = 'ops/s', which = round.which, informs = round.informs } of round.operations) {
        const load: Load = (server, seconds) => server.load(op, clients, seconds);
        const ours = servers.get(which) ?? (await Server.start(which));
        servers.set(which, ours);
        await load(ours, 0.05); // makes the files, compiles
        const figures =
          (await inTurns(quick, load, ours, memfs)) ?? (await alone(quick, load, ours, RECORDED[op]![clients]));
        yield row(name + round.suffix, clients, figures, unit, informs ? undefined : '>= 1');
      }
  } finally {
    await Promise.all([...servers.values(), memfs].map((server) => server?.stop()));
  }
}
type Load = (server: Server | MemfsLl, seconds: number) => Promise<Loaded>;

/** Undefined where there is no memfs_ll, or where it can't do it. */
async function inTurns(quick: boolean, load: Load, ours: Server, memfs?: MemfsLl): Promise<Figures | undefined> {
  if (memfs === undefined) return undefined;
  const seconds = quick ? 0.06 : 0.15;
  try {
    await load(memfs, 0.05);
    return await paired(
      quick ? { rounds: 3, most: 900 } : { rounds: 25, most: 20_000 },
      () => load(ours, seconds),
      () => load(memfs, seconds),
    );
  } catch (error) {
    if (!(error instanceof MemfsFailed)) throw error;
    console.error(error.message);
    return undefined;
  }
}

/** Ours against what memfs_ll did elsewhere. */
async function alone(quick: boolean, load: Load, ours: Server, recorded: Loaded): Promise<Figures> {
  const loads: Loaded[] = [];
  for (let i = 0; i < (quick ? 3 : 9); i++) loads.push(await load(ours, quick ? 0.1 : 0.3));
  const value = median(loads.map(({ value }) => value));
  const serverCpuUs = median(loads.map(({ cpu }) => cpu));
  const { value: baseline, cpu: baselineCpuUs } = recorded;
  return { ours: value, baseline, ratio: value / baseline, serverCpuUs, baselineCpuUs };
}

/** The smallest directory, with whose listing the others are compared. */
const SMALL = 1000;
const MANY = 1_000_000;
/** Bytes that an empty file may cost. */
const FILE = 600;

/** In a server of its own: how long an entry takes in directories of different sizes; what each of a million files costs. */
async function* listings(quick: boolean): AsyncGenerator<Row> {
  const server = await Server.start('listing');
  try {
    await server.ask('fill', SMALL);
    for (const count of [10_000, 100_000]) {
      await server.ask('fill', count);
      yield await listing(server, count, quick);
    }
    const before = await server.ask('rss');
    // Through the mount the kernel knows each file, and the server counts what it knows.
    if (quick) await server.ask('fill', MANY);
    else await server.load(`list${MANY}`, 1, 0, 600_000);
    const each = ((await server.ask('rss')) - before) / MANY;
    const figures = { ours: each, baseline: FILE, ratio: each / FILE, serverCpuUs: null, baselineCpuUs: null };
    yield row(`RSS for each of ${MANY.toLocaleString('en')} empty files`, 0, figures, 'bytes', `ours <= ${FILE}`);
    yield await listing(server, MANY, quick);
  } finally {
    await server.stop();
  }
}

async function listing(server: Server, count: number, quick: boolean): Promise<Row> {
  const entry = async (entries: number): Promise<Sample> => {
    const { value, cpu } = await server.load(`list${entries}`, 1, quick ? 0.1 : 0.5);
    return { value: 1e9 / (value * entries), cpu: cpu / entries };
  };
  for (const entries of [SMALL, count]) await entry(entries); // compiles
  const figures = await paired(
    quick ? { rounds: 3, most: 3000 } : { rounds: 9, most: 20_000 },
    () => entry(count),
    () => entry(SMALL),
  );
  const name = `readdir, an entry of ${count.toLocaleString('en')} against one of ${SMALL.toLocaleString('en')}`;
  return row(name, 1, figures, 'ns', '<= 1.5');
}
