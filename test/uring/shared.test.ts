/** A ring that threads share: in order, bounded, each completion to its thread, and an end when the last has closed. */
import { once } from 'node:events';
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { EBADF, ECANCELED, errno } from '../../src/abi/errno.ts';
import { startWorker } from '../../src/abi/worker.ts';
import type { SmallSqe, Sqe, Ticket } from '../../src/uring/engine.ts';
import { readSqe, writeSqe } from '../../src/uring/queues.ts';
import { SharedEngine, SharedRing, type SharedRingHandle } from '../../src/uring/shared.ts';
import { ASK, SharedQueue } from '../../src/uring/shared-queue.ts';
import { compiled } from '../compiled.ts';
import { run, until } from '../support.ts';
import type { Task } from './ring-user.ts';
import { forever, uring } from './support.ts';

let dir: string;
const at = (name: string) => join(dir, name);
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'rawfuse-shared-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const result = (engine: SharedEngine, opcode: Parameters<SharedEngine['submit']>[0], sqe: Sqe = {}): Promise<number> =>
  new Promise((resolve) => engine.submit(opcode, sqe, resolve));
const user = (handle: SharedRingHandle | undefined, what: Task['what'], path: string) =>
  startWorker(import.meta.url, './ring-user', {
    workerData: { ...(handle && { handle }), what, path } satisfies Task,
    transferList: handle ? [handle.port] : [],
  });

uring('one thread', () => {
  test('gets each completion, and the errors', async () => {
    await using shared = await SharedRing.start();
    await using engine = new SharedEngine(shared.connect());
    expect(await result(engine, 'NOP')).toBe(0);
    expect(await result(engine, 'READ', { fd: -1, len: 1 })).toBe(-EBADF.errno);
    const fd = openSync('/dev/null', 'w');
    const sizes = await Promise.all(
      Array.from({ length: 100 }, (_, i) => result(engine, 'WRITE', { fd, addr: 1, len: i, off: -1 })),
    );
    expect(sizes).toEqual(Array.from({ length: 100 }, (_, i) => i));
    closeSync(fd);
    expect(engine.inFlight).toBe(0);
  });

  test('has a queue with bounds: what has no place waits, and keeps its order', async () => {
    await using shared = await SharedRing.start({ capacity: 2, entries: 2 });
    await using engine = new SharedEngine(shared.connect());
    const order: number[] = [];
    for (let i = 0; i < 2000; i++) engine.submit('NOP', {}, () => order.push(i));
    await until(() => order.length === 2000, 'completions');
    expect(order).toEqual(Array.from({ length: 2000 }, (_, i) => i));
  });

  test('links operations, and never tears a chain apart', async () => {
    await using shared = await SharedRing.start({ capacity: 4, entries: 4 });
    await using engine = new SharedEngine(shared.connect());
    const failed: number[] = [];
    let done = 0;
    for (let i = 0; i < 100; i++) {
      for (let j = 0; j < i % 4; j++) engine.submit('NOP', {}, () => done++);
      engine.submitLinked([
        { opcode: 'READ', sqe: { fd: -1, len: 1 }, done: () => done++ },
        { opcode: 'NOP', sqe: {}, done: (res) => failed.push(res) },
      ]);
    }
    await until(() => failed.length === 100 && engine.inFlight === 0, 'all chains');
    expect(new Set(failed)).toEqual(new Set([-ECANCELED.errno]));
    expect(done).toBe(100 + 150);
    const nop = { opcode: 'NOP', sqe: {}, done: () => {} } as const;
    expect(() => engine.submitLinked(Array(5).fill(nop))).toThrow(RangeError);
  });

  test('cancels what is in flight, and gives completions to an heir', async () => {
    await using shared = await SharedRing.start();
    await using engine = new SharedEngine(shared.connect());
    const { sqe, memory } = forever();
    const seen: string[] = [];
    const told = (who: string) => (res: number) => seen.push(`${who} ${errno(-res).code}`);
    const first: Ticket = engine.submit('TIMEOUT', sqe, told('owner'));
    const second = engine.submit('TIMEOUT', sqe, told('nobody'));
    engine.disown(second, told('heir'));
    await result(engine, 'NOP');
    expect(engine.inFlight).toBe(2);
    engine.cancel(first);
    engine.cancel(second);
    await until(() => seen.length === 2, 'the cancelled');
    expect(seen.sort()).toEqual(['heir ECANCELED', 'owner ECANCELED']);
    engine.cancel(first); // is over
    expect(await result(engine, 'NOP')).toBe(0);
    memory.free();
  });

  test('closes with operations in flight: they are cancelled first', async () => {
    const shared = await SharedRing.start();
    const engine = new SharedEngine(shared.connect());
    const { sqe, memory } = forever();
    const ended: number[] = [];
    for (let i = 0; i < 10; i++) engine.submit('TIMEOUT', sqe, (res) => ended.push(res));
    await engine.close();
    expect(ended).toEqual(Array(10).fill(-ECANCELED.errno));
    expect(() => engine.submit('NOP', {}, () => {})).toThrow(ECANCELED);
    await engine.close(); // again
    await shared.closed; // it was the last
    memory.free();
  });
});

uring('several threads', () => {
  test('and several engines of one: each closes by itself', async () => {
    await using shared = await SharedRing.start();
    const [one, other] = [new SharedEngine(shared.connect()), new SharedEngine(shared.connect())];
    await one.close();
    expect(await result(other, 'NOP')).toBe(0);
    await other.close();
    await shared.closed;
  });

  test('read at once, each its own file; the owner ends with the last, and leaves nothing', async () => {
    const count = () => [readdirSync('/proc/self/fd').length, readdirSync('/proc/self/task').length];
    const round = async () => {
      const shared = await SharedRing.start({ entries: 8 });
      const answers = await Promise.all(
        [0, 1, 2].map(async (i) => {
          writeFileSync(at(`${i}`), Buffer.from(Uint32Array.from({ length: 4096 }, (_, word) => word).buffer));
          const worker = user(shared.connect(), 'read', at(`${i}`));
          const [[answer]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')]);
          return answer as number;
        }),
      );
      await shared.closed;
      return answers;
    };
    expect(await round()).toEqual([-1, -1, -1]);
    const before = count();
    await round();
    await until(() => `${count()}` === `${before}`, 'descriptors and threads to be as before');
  });

  test.each(['a shared ring', 'a ring of its own'])(
    'one that ends with an operation in flight on %s waits for it: the kernel writes no more to its memory',
    async (which) => {
      await run('mkfifo', [at('fifo')]);
      const fd = openSync(at('fifo'), constants.O_RDWR | constants.O_NONBLOCK);
      await using shared = await SharedRing.start();
      const worker = user(which === 'a shared ring' ? shared.connect() : undefined, 'abandon', at('fifo'));
      const said: number[] = [];
      worker.on('message', (res: number) => said.push(res));
      await once(worker, 'exit');
      expect(said).toEqual([-ECANCELED.errno]);
      writeSync(fd, 'data');
      const rest = Buffer.alloc(10);
      expect(readSync(fd, rest)).toBe(4); // nobody has taken it
      closeSync(fd);
    },
  );
});

uring('the owner', () => {
  const script = (body: string) =>
    `import('${compiled('src/uring/shared.ts')}').then(async ({ SharedEngine, SharedRing }) => { const shared = await SharedRing.start(); const engine = new SharedEngine(shared.connect()); ${body} });`;
  const POLL = "engine.submit('POLL_ADD', { fd: 0, op_flags: 0 }, () => {});";

  test.each([
    ['an idle one keeps no process alive', '', ''],
    ['an operation does until it has completed', "engine.submit('NOP', {}, () => console.log('done'));", 'done\n'],
    ['process.exit waits for none', `${POLL} setTimeout(() => process.exit(), 100);`, ''],
    [
      'nor does an exception',
      `${POLL} process.on('uncaughtException', ({ message }) => { console.log(message); process.exit(); });
        setTimeout(() => { throw new Error('lost'); }, 100);`,
      'lost\n',
    ],
  ])('and the process: %s', async (_, body, said) => {
    expect(await run(process.execPath, ['-e', script(body)], { timeout: 15_000 })).toBe(said);
  });

  test('that can’t be started says why, and leaves no thread', async () => {
    const tasks = () => readdirSync('/proc/self/task').length;
    const before = tasks();
    await expect(SharedRing.start({ entries: 40_000 })).rejects.toThrow(/entries is 40000/u);
    await expect(SharedRing.start({ capacity: 3 })).rejects.toThrow(RangeError);
    await until(() => tasks() <= before, 'the thread to end');
  });

  test('ends without users when it is closed; who comes too late is told', async () => {
    const shared = await SharedRing.start();
    await shared.close();
    expect(() => shared.connect()).toThrow(ECANCELED);
    await shared.close(); // again
  });
});

test('a queue carries what an sqe has, wraps, and tells when there is room', () => {
  const writer = new SharedQueue(4);
  const reader = new SharedQueue(4, writer.memory);
  const sqe: Required<SmallSqe> = {
    ...{ fd: -100, off: 2 ** 53 - 1, addr: 2 ** 47 + 5, len: 0xffff_fff0, op_flags: 7, buf_index: 8, personality: 9 },
    ...{ file_index: 10, addr3: 2 ** 40 + 11, flags: 12, ioprio: 13 },
  };
  const taken: unknown[] = [];
  for (let i = 0; i < 100; i++) {
    expect(writer.space).toBe(4);
    writeSqe(writer.memory, writer.place(ASK.submit), 200, sqe, i, i + 1);
    writeSqe(writer.memory, writer.place(ASK.cancel), 1, { off: -1 }, i, i + 2);
    expect(reader.pending).toBe(false); // not shown yet
    writer.publish();
    expect(reader.pending).toBe(true);
    reader.take((what, from) => taken.push([what, readSqe(reader.memory, from)]));
  }
  expect(taken).toHaveLength(200);
  expect(taken.at(-2)).toEqual([ASK.submit, { opcode: 200, sqe, low: 99, high: 100 }]);
  expect(taken.at(-1)).toEqual([ASK.cancel, expect.objectContaining({ sqe: expect.objectContaining({ off: -1 }) })]);
  expect(writer.awaitRoom(1)).toBe(false);
  expect(reader.takeRoomAwaited()).toBe(true);
  expect(reader.takeRoomAwaited()).toBe(false);
  for (let i = 0; i < 4; i++) writer.place(ASK.close);
  expect(writer.awaitRoom(1)).toBe(true);
});
