/**
 * What loads a disk for `npm run bench -- uring`: a process of its own, so that it can be pinned, and that its CPU time
 * and its heap are those of what is measured. It does what it is told over its channel, and ends with it.
 *
 * Both sides run the same loops over the same random numbers: each loop has one operation in flight, at a buffer of its
 * own, and begins the next when that is done. A block carries its number, which each read looks at: a few ns for both.
 */
import { type FileHandle, open, stat } from 'node:fs/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Memory } from '../../src/abi/memory.ts';
import { O_DIRECT, O_RDONLY } from '../../src/abi/posix.ts';
import { UringFiles } from '../../src/uring/files.ts';
import { SharedEngine, SharedRing } from '../../src/uring/shared.ts';
import { ThreadsEngine } from '../../src/uring/threads.ts';

type UringFile = Awaited<ReturnType<UringFiles['open']>>;

/** How our files are made, and what the ring knows of them. */
export type Variant = keyof typeof variants;
const variants = {
  plain: () => ({}),
  'unregistered files': () => ({ registeredFiles: 0 }),
  'registered buffers': () => ({}),
  SQPOLL: () => ({ sqpoll: { idle: 100 } }),
  'ring of another thread': async () => ({ engine: new SharedEngine((await SharedRing.start()).connect()) }),
  'threads instead of a ring': () => ({ engine: new ThreadsEngine() }),
} as const;

/** What to do. */
export interface Load {
  readonly what: 'read' | 'statx';
  readonly side: 'ours' | 'node';
  /** The file; or the directory, of files that have numbers for names. */
  readonly path: string;
  /** Blocks of the file; files of the directory. */
  readonly count: number;
  readonly inFlight: number;
  /** It ends after so many ms, or so many operations. */
  readonly ms?: number;
  readonly operations?: number;
  readonly direct?: boolean;
  readonly variant?: Variant;
}
/** What it took. */
export interface Loaded {
  readonly operations: number;
  readonly seconds: number;
  /** CPU time of the process, in us; and what of it was not the kernel's, but JavaScript's, koffi's and libuv's. */
  readonly cpuUs: number;
  readonly userUs: number;
  /** By how much V8's heap has grown when it had been collected before, and as it was left; and when it was collected again. */
  readonly allocated: number;
  readonly kept: number;
}
export interface Asked {
  readonly id: number;
  readonly load: Load;
}
export interface Answered {
  readonly id: number;
  readonly loaded?: Loaded;
  readonly error?: string;
}

export const BLOCK = 4096;

/** xorshift32: numbers below `count`. */
function randomBelow(count: number, seed: number): () => number {
  let x = Math.imul(seed + 1, 0x9e37_79b9) | 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % count;
  };
}

/** Counts operations, and says when there have been enough. */
class Run {
  operations = 0;
  #end = Number.POSITIVE_INFINITY;
  readonly #ms: number;
  readonly #most: number;
  constructor({ ms = Number.POSITIVE_INFINITY, operations = Number.POSITIVE_INFINITY }: Load) {
    this.#ms = ms;
    this.#most = operations;
  }
  /** The time counts from now on. */
  begin(): void {
    this.#end = performance.now() + this.#ms;
  }
  /** Whether another is to be made. Looks at the clock every now and then. */
  next(): boolean {
    if (this.operations >= this.#most) return false;
    if ((this.operations & 63) === 0 && performance.now() >= this.#end) return false;
    this.operations++;
    return true;
  }
}

/** A place for a block; O_DIRECT wants it at the beginning of a page. */
interface Place {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
}
const memory = new Memory(256 * BLOCK);
const places: readonly Place[] = Array.from({ length: 256 }, (_, i) => ({
  bytes: new Uint8Array(memory.buffer, i * BLOCK, BLOCK),
  words: new Uint32Array(memory.buffer, i * BLOCK, BLOCK / 4),
}));

/** A block carries its number in its first and in its last word. */
function check({ words }: Place, block: number, bytes: number): void {
  if (bytes !== BLOCK || words[0] !== block || words[BLOCK / 4 - 1] !== block)
    throw new Error(`${bytes} bytes of block ${words[0]} instead of ${BLOCK} of ${block}`);
}

// A loop for each side, so that the calls in it are of one kind.

async function readOurs(run: Run, file: UringFile, place: Place, random: () => number): Promise<void> {
  while (run.next()) {
    const block = random();
    const { bytes } = await file.read(place.bytes, block * BLOCK);
    check(place, block, bytes);
  }
}
async function readNode(run: Run, file: FileHandle, place: Place, random: () => number): Promise<void> {
  while (run.next()) {
    const block = random();
    const { bytesRead } = await file.read(place.bytes, 0, BLOCK, block * BLOCK);
    check(place, block, bytesRead);
  }
}
async function statOurs(run: Run, files: UringFiles, directory: string, count: number): Promise<void> {
  while (run.next()) {
    const number = run.operations % count;
    const { size } = await files.statx(`${directory}/${number}`);
    if (size !== number) throw new Error(`file ${number} has ${size} bytes`);
  }
}
async function statNode(run: Run, directory: string, count: number): Promise<void> {
  while (run.next()) {
    const number = run.operations % count;
    const { size } = await stat(`${directory}/${number}`);
    if (size !== number) throw new Error(`file ${number} has ${size} bytes`);
  }
}

const all = (count: number, loop: (i: number) => Promise<void>): Promise<unknown> =>
  Promise.all(Array.from({ length: count }, (_, i) => loop(i)));

type Measured = (run: () => Promise<unknown>) => Promise<void>;

/** Opens what is needed, and does the work between the measurement's beginning and end. */
async function perform(load: Load, run: Run, measured: Measured): Promise<void> {
  const { what, side, path, count, inFlight, direct, variant = 'plain' } = load;
  const flags = O_RDONLY | (direct ? O_DIRECT : 0);
  if (side === 'node') {
    if (what === 'statx') return measured(() => all(inFlight, () => statNode(run, path, count)));
    const file = await open(path, flags);
    try {
      return await measured(() => all(inFlight, (i) => readNode(run, file, places[i]!, randomBelow(count, i))));
    } finally {
      await file.close();
    }
  }
  const files = await filesOf(variant);
  if (what === 'statx') return measured(() => all(inFlight, () => statOurs(run, files, path, count)));
  await using file = await files.open(path, flags);
  return await measured(() => all(inFlight, (i) => readOurs(run, file, places[i]!, randomBelow(count, i))));
}

/** Kept from load to load, as a program would. */
const kept = new Map<Variant, UringFiles>();
async function filesOf(variant: Variant): Promise<UringFiles> {
  let files = kept.get(variant);
  if (files === undefined) {
    files = new UringFiles({ maxInFlight: places.length, ...(await variants[variant]()) });
    if (variant === 'registered buffers') files.registerBuffers([new Uint8Array(memory.buffer)]);
    kept.set(variant, files);
  }
  return files;
}

setFlagsFromString('--expose-gc'); // here and not for the process: V8 is to collect when it would
const collect = runInNewContext('gc') as () => void;
const heap = (): number => process.memoryUsage().heapUsed;

async function loaded(load: Load): Promise<Loaded> {
  const run = new Run(load);
  let result!: Loaded;
  await perform(load, run, async (work) => {
    const counting = load.operations !== undefined;
    if (counting) collect();
    const held = heap();
    const used = process.cpuUsage();
    const start = performance.now();
    run.begin();
    await work();
    const seconds = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(used);
    const allocated = heap() - held;
    if (counting) collect();
    result = {
      operations: run.operations,
      seconds,
      cpuUs: user + system,
      userUs: user,
      allocated,
      kept: heap() - held,
    };
  });
  return result;
}

process.on('message', async ({ id, load }: Asked) => {
  const answer = await loaded(load).then(
    (done) => ({ id, loaded: done }),
    (error: Error) => ({ id, error: error.message }),
  );
  process.send!(answer satisfies Answered);
});
process.on('disconnect', () => process.exit());
process.send!('ready');
