/**
 * Crash safety, shown: records are appended to a file in a mount whose filesystem stands for the disk. It writes down what
 * comes, writes with their bytes and fsyncs as the trace shows them, and beside them when each record was acknowledged. A cut
 * is a place in that list: what an fsync had covered by then is there, of everything after it each sector is, or is not. Then
 * the file is read as after a crash. Every record that was acknowledged before the cut must be found, and none that is not whole.
 *
 * 10,000 cuts for the library, all of whose ways are in them; and for two that are broken on purpose, of which each must lose
 * something, or the test would not see a loss: one makes no fsync, one links nothing and is otherwise the same.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { expect } from 'vitest';
import { IORING_OP } from '../../src/abi/uring-constants.ts';
import { MemoryFs } from '../../src/fs/memory/memory.ts';
import type { Observer } from '../../src/protocol/trace.ts';
import { DurableFile } from '../../src/uring/durable.ts';
import type { Durability } from '../../src/uring/durable-plan.ts';
import type { Engine, Linked } from '../../src/uring/engine.ts';
import { UringFiles } from '../../src/uring/files.ts';
import { Ring } from '../../src/uring/ring.ts';
import { ThreadsEngine } from '../../src/uring/threads.ts';
import { Random, seed } from '../random/random.ts';
import { kernelTest, mounted } from '../support.ts';
import { FaultyEngine } from './faulty-engine.ts';
import { uring } from './support.ts';

const CUTS = 10_000;
const RECORDS = 48;
const SECTOR = 512;

type Event =
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: Buffer }
  | { readonly kind: 'sync begins' | 'sync ends'; readonly unique: bigint }
  | { readonly kind: 'acknowledged'; readonly record: number };

/** A filesystem that stands for a disk. */
class Disk extends MemoryFs {
  events: Event[] = [];
  override write(...[request, args]: Parameters<MemoryFs['write']>) {
    this.events.push({ kind: 'write', offset: args.offset, bytes: Buffer.from(args.data) });
    return super.write(request, args);
  }
  fsync() {} // there is nothing to do; without it the kernel would send no second one
  readonly trace: Observer = (event) => {
    if ((event.kind !== 'request' && event.kind !== 'reply') || event.operation !== 'FSYNC') return;
    if (event.kind === 'reply') expect(event.error).toBeUndefined();
    this.events.push({ kind: event.kind === 'request' ? 'sync begins' : 'sync ends', unique: event.unique });
  };
}

// A record: its length, its number, the beginning of a hash of both and of its payload, and the payload.
const HEAD = 16;
const hash = (number: number, payload: Uint8Array): Buffer =>
  createHash('sha1').update(`${number} ${payload.length} `).update(payload).digest().subarray(0, 8);
function record(number: number, payload: Buffer): Buffer {
  const made = Buffer.allocUnsafeSlow(HEAD + payload.length);
  made.writeUInt32LE(payload.length, 0);
  made.writeUInt32LE(number, 4);
  made.set(hash(number, payload), 8);
  made.set(payload, HEAD);
  return made;
}
/** The payloads of the records up to the first that is not whole. */
function recover(file: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at + HEAD <= file.length; ) {
    const length = file.readUInt32LE(at);
    const payload = file.subarray(at + HEAD, at + HEAD + length);
    if (payload.length < length || file.readUInt32LE(at + 4) !== found.length) break;
    if (!hash(found.length, payload).equals(file.subarray(at + 8, at + HEAD))) break;
    found.push(payload);
    at += HEAD + length;
  }
  return found;
}

/** What a cut leaves: of the next one's bytes it is made again. */
const DISK = Buffer.alloc(RECORDS * 4096);
/** What is in the file when the power has gone after the first `cut` events, and what was acknowledged by then. */
function cutAt(events: readonly Event[], cut: number, random: Random): { file: Buffer; acknowledged: number[] } {
  let size = 0;
  const put = (offset: number, bytes: Uint8Array) => {
    DISK.set(bytes, offset);
    size = Math.max(size, offset + bytes.length);
  };
  DISK.fill(0);
  const before = events.slice(0, cut);
  const ended = new Set(before.flatMap((event) => (event.kind === 'sync ends' ? [event.unique] : [])));
  // What had been written when the last of the fsyncs that ended began.
  const covered = before.findLastIndex((event) => event.kind === 'sync begins' && ended.has(event.unique));
  for (const [i, event] of before.entries()) {
    if (event.kind !== 'write') continue;
    const { offset, bytes } = event;
    const fate = i < covered ? 'whole' : random.of(['none', 'whole', 'torn', 'torn'] as const);
    if (fate === 'whole') put(offset, bytes);
    if (fate !== 'torn') continue;
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + SECTOR - ((offset + at) % SECTOR));
      if (random.chance(2)) put(offset + at, bytes.subarray(at, end));
      at = end;
    }
  }
  return {
    file: DISK.subarray(0, size),
    acknowledged: before.flatMap((event) => (event.kind === 'acknowledged' ? [event.record] : [])),
  };
}

interface Way {
  readonly make: () => Engine & { close(): Promise<void> };
  readonly durability: Durability;
  /** Who append at the same time. */
  readonly callers: number;
}

/** Appends records in one of the ways: how many of `cuts` cuts lost one that was acknowledged. */
async function losses(disk: Disk, path: string, { make, durability, callers }: Way, cuts: number, random: Random) {
  disk.events = [];
  const payloads = Array.from({ length: RECORDS }, () => random.bytes(1 + random.below(random.chance(4) ? 3000 : 300)));
  const engine = make();
  {
    // This very thread serves the mount.
    await using files = new UringFiles({ engine, offload: engine.kind === 'ring' });
    await using log = await DurableFile.open(files, path, { durability });
    let next = 0;
    const caller = async () => {
      for (let number = next++; number < RECORDS; number = next++) {
        await log.append(record(number, payloads[number]!));
        disk.events.push({ kind: 'acknowledged', record: number });
      }
    };
    await Promise.all(Array.from({ length: callers }, caller));
  }
  await engine.close();
  const { events } = disk;
  let lost = 0;
  for (let i = 0; i < cuts; i++) {
    const { file, acknowledged } = cutAt(events, random.below(events.length + 1), random);
    const found = recover(file);
    const mistaken = found.findIndex((payload, number) => !payload.equals(payloads[number]!));
    if (mistaken >= 0) throw new Error(`record ${mistaken} is another: SEED=${seed}`);
    if (acknowledged.some((number) => number >= found.length)) lost++;
  }
  return lost;
}

type Chain = (engine: FaultyEngine, operations: readonly Linked[]) => ReturnType<Engine['submitLinked']>;
/** An engine that makes something else of chains. */
class Broken extends FaultyEngine {
  readonly #chain: Chain;
  constructor(engine: Engine, chain: Chain) {
    super(engine);
    this.#chain = chain;
  }
  override submitLinked(operations: readonly Linked[]) {
    return this.#chain(this, operations);
  }
}

const ring = () => new Ring({ entries: 64 });

uring('crashes', () => {
  kernelTest('after any of 10,000 cuts all that was acknowledged is there, and nothing by halves', async () => {
    const random = new Random(seed);
    const disk = new Disk();
    await using m = await mounted(disk, { trace: disk.trace, onWarning: () => {} });
    const ways: Way[] = [ring, () => new ThreadsEngine()].flatMap((make) =>
      (['linked', 'separate', 'rwf_dsync'] as const).flatMap((durability) =>
        [1, 8].map((callers) => ({ make, durability, callers })),
      ),
    );
    const cuts = Math.ceil(CUTS / ways.length);
    const lost: number[] = [];
    for (const [i, way] of ways.entries()) lost.push(await losses(disk, join(m.dir, `${i}`), way, cuts, random));
    expect(lost, `SEED=${seed}`).toEqual(ways.map(() => 0));
  });

  for (const [name, chain] of [
    [
      'without the fsync',
      (engine: FaultyEngine, operations: readonly Linked[]) =>
        FaultyEngine.prototype.submitLinked.call(
          engine,
          operations.map((each) =>
            each.opcode === IORING_OP.FSYNC ? { ...each, opcode: IORING_OP.NOP, sqe: {} } : each,
          ),
        ),
    ],
    [
      'with only the link flag taken out',
      (engine: FaultyEngine, operations: readonly Linked[]) =>
        operations.map(({ opcode, sqe, done }) => engine.submit(opcode, sqe, done)),
    ],
  ] as const)
    kernelTest(`the same ${name} loses records`, async () => {
      const random = new Random(seed);
      const disk = new Disk();
      await using m = await mounted(disk, { trace: disk.trace, onWarning: () => {} });
      const way: Way = { make: () => new Broken(ring(), chain), durability: 'linked', callers: 1 };
      let lost = 0;
      // The fsync overtakes the write now and then: it may take several logs until it has.
      for (let i = 0; lost === 0 && i < 20; i++) lost = await losses(disk, join(m.dir, `${i}`), way, 1000, random);
      expect(lost, `SEED=${seed}`).toBeGreaterThan(0);
    });
});
