/**
 * `npm run bench -- uring`: files over io_uring against Node's own file API, with its thread pool as it comes, and
 * against fio, which is C and does nothing with what it reads. Same file, same number of operations in flight, each at a
 * buffer of its own; in turns, ours and the other.
 *
 * The rows without a target inform: fio that hands over and takes in 32 at a time, as our ring does; what an operation
 * leaves in V8's heap; the variants of the ring.
 */
import { mkdir, open, statfs, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { O_DIRECT, O_RDONLY } from '../../src/abi/posix.ts';
import { inDirectory } from './directory.ts';
import { type Bench, paired, type Row, type Sample } from './measure.ts';
import type { Load, Loaded } from './uring-load.ts';
import { fio, hasFio, Loader, lastCpu } from './uring-processes.ts';

const BLOCK = 4096;
const DEPTH = 32;
const FILES = 10_000;
const TMPFS = 0x0102_1994;
/** So few operations that V8 need not collect while they run, in a process with room for this many MiB of new objects. */
const SHORT = 10_000;
const YOUNG = 64;

export const uring: Bench = {
  name: 'uring',
  unprivileged: true,
  rows: (quick) => inDirectory((directory) => measured(directory, quick)),
};

async function* measured(directory: string, quick: boolean): AsyncGenerator<Row> {
  const blocks = (quick ? 256 : 1024) * 256; // of 4 KiB: 256 MiB, or 1 GiB
  const ms = quick ? 150 : 500;
  const rounds = quick ? { rounds: 3, most: 1200 } : { rounds: 15, most: 40_000 };
  const many = quick ? 100_000 : 1_000_000; // operations, after which what each of them keeps would show
  const path = await fileOf(join(directory, 'file'), blocks);
  const tree = await filesIn(join(directory, 'files'));
  const cpu = lastCpu();
  const roomy = { node: [`--min-semi-space-size=${YOUNG}`, `--max-semi-space-size=${YOUNG}`] };
  const loaders = await Promise.all([{}, {}, { cpu }, roomy].map((options) => Loader.start(options)));
  const [ours, node, pinned, counting] = loaders as [Loader, Loader, Loader, Loader];
  const read = { what: 'read', path, count: blocks, inFlight: DEPTH, ms } as const;
  try {
    const against = async (name: string, target: string | undefined, one: Turn, other: Turn): Promise<Row> => {
      for (const turn of [one, other]) await turn(100); // compiles
      return row(
        name,
        await paired(
          rounds,
          () => one(ms),
          () => other(ms),
        ),
        'ops/s',
        target,
      );
    };
    const loads =
      (loader: Loader, load: Load): Turn =>
      (duration) =>
        loader.rate({ ...load, ms: duration });
    const fioReads =
      (options: readonly string[], on?: number): Turn =>
      (duration) =>
        fio(path, duration, [`--iodepth=${DEPTH}`, ...options], on);

    yield await against(
      'read 4 KiB, cached, against FileHandle.read',
      '>= 4',
      loads(ours, { ...read, side: 'ours' }),
      loads(node, { ...read, side: 'node' }),
    );
    const outside = (loader: Loader, side: Load['side']) => async () => {
      const { userUs, operations } = await loader.load({ ...read, side });
      return { value: userUs / operations };
    };
    const times = await paired(rounds, outside(ours, 'ours'), outside(node, 'node'));
    yield row('CPU time of such a read outside the kernel', times, 'us');
    const withFio = await hasFio();
    if (!withFio) console.error('no fio: the rows against it are left out');
    if (withFio) {
      const reads = loads(pinned, { ...read, side: 'ours' });
      // Otherwise fio drops the file from the page cache first.
      const cached = ['--invalidate=0'];
      yield await against('read 4 KiB, cached, on one CPU, against fio', '>= 0.6', reads, fioReads(cached, cpu));
      const batches = [...cached, `--iodepth_batch_submit=${DEPTH}`, `--iodepth_batch_complete_max=${DEPTH}`];
      yield await against('the same against fio in batches of 32', undefined, reads, fioReads(batches, cpu));
    }
    for (const inFlight of [DEPTH, 256]) {
      const statx = { what: 'statx', path: tree, count: FILES, inFlight } as const;
      yield await against(
        `statx of ${FILES.toLocaleString('en')} files, ${inFlight} in flight, against stat`,
        '>= 3',
        loads(ours, { ...statx, side: 'ours' }),
        loads(node, { ...statx, side: 'node' }),
      );
    }
    for (const variant of variants)
      yield await against(
        `read 4 KiB, cached, ${variant}, against plain`,
        undefined,
        loads(ours, { ...read, variant, side: 'ours' }),
        loads(ours, { ...read, side: 'ours' }),
      );
    for (const [name, load] of [
      ['read', read],
      ['statx', { what: 'statx', path: tree, count: FILES, inFlight: DEPTH }],
    ] as const)
      yield* heap(name, load, counting, many);
    if (withFio && (await takesDirect(path)))
      yield await against(
        'read 4 KiB, O_DIRECT, against fio',
        '>= 0.9',
        loads(ours, { ...read, direct: true, side: 'ours' }),
        fioReads(['--direct=1']),
      );
  } finally {
    await Promise.all(loaders.map((loader) => loader.stop()));
  }
}
const variants = [
  'unregistered files',
  'registered buffers',
  'SQPOLL',
  'ring of another thread',
  'threads instead of a ring',
] as const;
/** One side's turn, of so many ms. */
type Turn = (ms: number) => Promise<Sample>;

/** What an operation leaves in V8's heap: until it is collected, and for good. */
async function* heap(
  name: string,
  { what, path, count, inFlight }: Omit<Load, 'side'>,
  loader: Loader,
  many: number,
): AsyncGenerator<Row> {
  const each = async (operations: number, of: (loaded: Loaded) => number) => {
    const sample = (side: Load['side']) => async () => ({
      value: Math.max(0, of(await loader.load({ what, path, count, inFlight, side, operations }))) / operations,
    });
    return paired({ rounds: 3, most: 5000 }, sample('ours'), sample('node'));
  };
  await each(SHORT, () => 0); // compiles
  const taken = await each(SHORT, ({ allocated }) => allocated);
  yield row(`heap that a ${name} takes`, taken, 'bytes');
  const kept = await each(many, ({ kept }) => kept);
  yield row(`heap that a ${name} keeps, of ${many.toLocaleString('en')}`, kept, 'bytes', 'ours < 1');
}

type Figures = Awaited<ReturnType<typeof paired>>;
const row = (name: string, figures: Figures, unit: string, target?: string): Row => ({
  ...{ bench: 'uring', case: name, clients: 0 },
  ...figures,
  ...{ unit, target },
});

/** A file whose blocks carry their numbers in their first and last words, in page cache and on the disk. */
async function fileOf(path: string, blocks: number): Promise<string> {
  const chunk = Buffer.alloc(1 << 22);
  const words = new Uint32Array(chunk.buffer, chunk.byteOffset, chunk.length / 4);
  const file = await open(path, 'w');
  try {
    for (let first = 0; first < blocks; first += chunk.length / BLOCK) {
      for (let i = 0; i < chunk.length / BLOCK; i++)
        words[(i * BLOCK) / 4] = words[((i + 1) * BLOCK) / 4 - 1] = first + i;
      await file.writeFile(chunk);
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return path;
}

/** Files named by numbers, each of as many bytes. */
async function filesIn(directory: string): Promise<string> {
  await mkdir(directory);
  for (let i = 0; i < FILES; i++) {
    await writeFile(join(directory, `${i}`), '');
    if (i > 0) await truncate(join(directory, `${i}`), i);
  }
  return directory;
}

async function takesDirect(path: string): Promise<boolean> {
  if ((await statfs(path)).type === TMPFS) {
    console.error('temporary files are in memory: the row with O_DIRECT is left out; TMPDIR moves them');
    return false;
  }
  try {
    await (await open(path, O_RDONLY | O_DIRECT)).close();
    return true;
  } catch {
    console.error('the filesystem of temporary files has no O_DIRECT: its row is left out; TMPDIR moves them');
    return false;
  }
}
