/** Threads instead of a ring: what an engine promises, whoever makes the calls. */
import { closeSync, constants, openSync, readdirSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EBADF, ECANCELED } from '../../src/abi/errno.ts';
import { IOSQE_IO_HARDLINK, type UringOpcode } from '../../src/abi/uring-constants.ts';
import type { Engine, Sqe } from '../../src/uring/engine.ts';
import { Ring } from '../../src/uring/ring.ts';
import { ThreadsEngine } from '../../src/uring/threads.ts';
import { compiled } from '../compiled.ts';
import { run, temporary, until } from '../support.ts';
import { address, bytes, cString, iovecs, one, pipe } from './engines.ts';
import { lacking } from './support.ts';

let root: string;
beforeEach(() => {
  root = temporary('rawfuse-threads-');
});
afterEach(() => rmSync(root, { recursive: true }));

/** Waits until an engine of one thread has tried all that it was given: what is in flight then waits for others. */
const tried = async (engine: Engine): Promise<void> => expect(await one(engine, 'NOP', {})).toBe(0);
const descriptors = () => readdirSync('/proc/self/fd').length;
const threads = () => readdirSync('/proc/self/task').length;
const fifo = async (name: string): Promise<string> => {
  await run('mkfifo', [join(root, name)]);
  return join(root, name);
};

describe('operations', () => {
  test('complete, each to its owner: more than there are places, in the order of one thread', async () => {
    await using engine = new ThreadsEngine({ threads: 1 });
    const order: number[] = [];
    const results: number[] = [];
    for (let i = 0; i < 5000; i++)
      engine.submit('NOP', { op_flags: 1, len: i }, (res) => {
        order.push(i);
        results.push(res);
      });
    expect([order.length, engine.inFlight]).toEqual([0, 5000]);
    await until(() => order.length === 5000, 'completions');
    expect(order).toEqual(Array.from({ length: 5000 }, (_, i) => i));
    expect(results).toEqual(order);
    expect([engine.inFlight, engine.threads]).toEqual([0, 1]);
  });

  test('that a completion submits go on from there, on no more threads than are busy', async () => {
    await using engine = new ThreadsEngine();
    expect(engine.threads).toBe(0);
    let left = 2000;
    await new Promise<void>((resolve) => {
      const next = () => (left-- > 0 ? void engine.submit('NOP', {}, next) : resolve());
      next();
    });
    expect([engine.inFlight, engine.threads]).toEqual([0, 1]);
    await Promise.all(Array.from({ length: 100 }, () => one(engine, 'NOP', {})));
    expect(engine.threads).toBe(4);
  });

  test('whose owner throws end nothing but that', async () => {
    const thrown: unknown[] = [];
    const seen = (error: unknown) => void thrown.push(error);
    const others = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException').on('uncaughtException', seen);
    try {
      await using engine = new ThreadsEngine({ threads: 1 });
      engine.submit('NOP', {}, () => {
        throw new Error('the owner');
      });
      expect(await one(engine, 'NOP', {})).toBe(0);
      await until(() => thrown.length > 0, 'the error');
      expect(String(thrown)).toBe('Error: the owner');
    } finally {
      process.removeListener('uncaughtException', seen);
      for (const other of others) process.on('uncaughtException', other);
    }
  });

  test.each([{ threads: 0 }, { threads: 65 }, { threads: 1.5 }])('refuses %j', (options) =>
    expect(() => new ThreadsEngine(options)).toThrow(RangeError),
  );
});

describe('linked ones', () => {
  const seenOf = async (engine: Engine, chain: readonly (readonly [UringOpcode, Sqe])[]) => {
    const seen: (readonly [number, number])[] = [];
    engine.submitLinked(
      chain.map(([opcode, sqe], i) => ({ opcode, sqe, done: (res: number) => void seen.push([i, res]) })),
    );
    await until(() => seen.length === chain.length, 'the chain');
    return seen;
  };
  const CANCELED = -ECANCELED.errno;

  test('run in order, and what comes after one that fails or is short is cancelled, as of a ring', async () => {
    writeFileSync(join(root, 'file'), 'ten bytes.');
    const fd = openSync(join(root, 'file'), 'r+');
    const into = bytes(100);
    const read = (len: number, off = 0): readonly [UringOpcode, Sqe] => ['READ', { fd, addr: address(into), len, off }];
    const readv = (...lengths: number[]): readonly [UringOpcode, Sqe] => [
      'READV',
      { fd, addr: address(iovecs(...lengths.map((n) => into.subarray(0, n)))), len: lengths.length },
    ];
    const nop = ['NOP', {}] as const;
    const chains: (readonly (readonly [UringOpcode, Sqe])[])[] = [
      [nop, nop, nop],
      [read(10), nop],
      [read(11), nop, nop],
      [nop, ['READ', { fd: -1, len: 1 }], nop, nop],
      [readv(3, 7), nop],
      [readv(3, 8), nop],
      [read(5, 8), nop],
      [['READ', { fd, addr: address(into), len: 11, flags: IOSQE_IO_HARDLINK }], nop],
      [['NOP', { op_flags: 1, len: 5 }], nop],
      [['OPENAT', { fd: -1, addr: address(cString('x')) }], nop],
    ];
    await using engine = new ThreadsEngine();
    const results = [];
    for (const chain of chains) results.push(await seenOf(engine, chain));
    expect(results[2]!.map(([, res]) => res)).toEqual([10, CANCELED, CANCELED]);
    for (const each of results) expect(each.map(([i]) => i)).toEqual(each.map((_, i) => i));
    if (lacking === undefined || process.env.CI === 'true') {
      await using ring = new Ring();
      const expected = [];
      for (const chain of chains) expected.push((await seenOf(ring, chain)).toSorted(([a], [b]) => a - b));
      expect(results).toEqual(expected);
    }
    // The 6.18 ring goes on after these; a chain that makes a file durable must not.
    const truncate = ['FTRUNCATE', { fd, off: -1 }] as const;
    expect(await seenOf(engine, [truncate, nop])).toEqual([
      [0, -22],
      [1, CANCELED],
    ]);
    closeSync(fd);
  });

  test('begin only when the one before is done: a file is written, made durable, renamed', async () => {
    await using engine = new ThreadsEngine();
    const fd = openSync(join(root, 'new'), 'w');
    const data = bytes(Buffer.from('durable'));
    const from = cString(join(root, 'new'));
    const to = cString(join(root, 'file'));
    const seen = await seenOf(engine, [
      ['WRITE', { fd, addr: address(data), len: 7 }],
      ['FSYNC', { fd }],
      ['RENAMEAT', { fd: -100, addr: address(from), len: -100, off: address(to) }],
      ['CLOSE', { fd }],
    ]);
    expect(seen).toEqual([
      [0, 7],
      [1, 0],
      [2, 0],
      [3, 0],
    ]);
    expect(statSync(join(root, 'file')).size).toBe(7);
  });
});

describe('cancelling', () => {
  test('ends what has not begun, and what waits for others; what has been done is what it is', async () => {
    const before = descriptors();
    const engine = new ThreadsEngine({ threads: 1 });
    const path = await fifo('fifo');
    const { read, write, close } = pipe();
    const other = pipe();
    const into = bytes(100);
    const results: number[] = [];
    const cancelled = (opcode: UringOpcode, sqe: Sqe) => engine.submit(opcode, sqe, (res) => results.push(res));
    const waiting = [
      cancelled('READ', { fd: read, addr: address(into), len: 8 }),
      cancelled('SPLICE', { fd: other.write, off: -1, file_index: read, addr: -1, len: 8 }),
      cancelled('OPENAT', { fd: -100, addr: address(cString(path)), op_flags: constants.O_RDONLY }),
    ];
    await tried(engine);
    expect(engine.inFlight).toBe(3);
    for (const ticket of waiting) engine.cancel(ticket);
    expect(results).toEqual([]);
    await until(() => results.length === 3, 'the cancelled');
    // More than there are places: some are in the queue, some behind it.
    const many = Array.from({ length: 500 }, () => cancelled('NOP', {}));
    for (const ticket of many) engine.cancel(ticket);
    for (const ticket of many) engine.cancel(ticket);
    await until(() => results.length === 503, 'the cancelled');
    expect(results.filter((res) => res === -ECANCELED.errno).length).toBeGreaterThanOrEqual(3 + 500 - 128);
    expect(engine.inFlight).toBe(0);
    expect(await one(engine, 'NOP', {})).toBe(0);
    // Nothing of theirs is in the way of what comes later.
    writeSync(write, 'x');
    expect(await one(engine, 'READ', { fd: read, addr: address(into), len: 8 })).toBe(1);
    await engine.close();
    close();
    other.close();
    expect(descriptors()).toBe(before);
  });

  test('in a chain ends what is behind it', async () => {
    await using engine = new ThreadsEngine({ threads: 1 });
    const { read, close } = pipe();
    const results: number[] = [];
    const done = (res: number) => void results.push(res);
    const [first] = engine.submitLinked([
      { opcode: 'READ', sqe: { fd: read, addr: address(bytes(8)), len: 8 }, done },
      { opcode: 'NOP', sqe: {}, done },
    ]);
    await tried(engine);
    engine.cancel(first!);
    await until(() => results.length === 2, 'the chain');
    expect(results).toEqual([-ECANCELED.errno, -ECANCELED.errno]);
    const [, second] = engine.submitLinked([
      { opcode: 'NOP', sqe: {}, done },
      { opcode: 'NOP', sqe: {}, done },
    ]);
    engine.cancel(second!);
    await until(() => results.length === 4, 'the chain');
    expect(results.slice(2)).toEqual([0, -ECANCELED.errno]);
    close();
  });

  test('with an old ticket is nobody’s, and who disowns gives the completion away', async () => {
    await using engine = new ThreadsEngine({ threads: 1 });
    const { read, close } = pipe();
    const sqe = { fd: read, addr: address(bytes(8)), len: 8 };
    const seen: string[] = [];
    const old = engine.submit('NOP', {}, () => seen.push('nop'));
    await until(() => seen.length === 1, 'the first');
    const next = engine.submit('READ', sqe, () => seen.push('owner'));
    expect([next.slot, next.generation]).toEqual([old.slot, old.generation + 1]);
    engine.cancel(old);
    engine.disown(old, () => seen.push('nobody'));
    await tried(engine);
    expect(engine.inFlight).toBe(1);
    engine.disown(next, () => seen.push('heir'));
    engine.cancel(next);
    await until(() => seen.length === 2, 'the end');
    expect(seen).toEqual(['nop', 'heir']);
    close();
  });
});

describe('the end', () => {
  test('comes with operations in flight: they are cancelled or done first', async () => {
    const { read, close } = pipe();
    const engine = new ThreadsEngine({ threads: 1 });
    const results: number[] = [];
    for (let i = 0; i < 10; i++)
      engine.submit('READ', { fd: read, addr: address(bytes(8)), len: 8 }, (res) => results.push(res));
    await tried(engine);
    for (let i = 0; i < 300; i++) engine.submit('FSYNC', { fd: -1 }, (res) => results.push(res));
    await engine.close();
    expect(results.length).toBe(310);
    expect(results.filter((res) => res !== -ECANCELED.errno && res !== -EBADF.errno)).toEqual([]);
    expect(() => engine.submit('NOP', {}, () => {})).toThrow(ECANCELED);
    expect(() => engine.submitLinked([])).toThrow(ECANCELED);
    expect([engine.inFlight, engine.threads]).toEqual([0, 0]);
    await engine.close(); // again
    await new ThreadsEngine().close(); // never used
    close();
  });

  test('of 20 engines leaves no descriptor and no thread', async () => {
    const { read, close } = pipe();
    await using _first = new ThreadsEngine({ threads: 1 });
    await one(_first, 'NOP', {});
    const before = [descriptors(), threads()];
    for (let i = 0; i < 20; i++) {
      const engine = new ThreadsEngine({ threads: 2 });
      if (i % 2 === 0) engine.submit('READ', { fd: read, addr: address(bytes(8)), len: 8 }, () => {});
      if (i % 4 === 0) await Promise.all([1, 2, 3].map(() => one(engine, 'NOP', {})));
      await engine.close();
    }
    expect([descriptors(), threads()]).toEqual(before);
    close();
  }, 60_000);

  /** Runs a body in a process of its own; what it says. `engine` is there, and `read`, an empty pipe's end. */
  const child = (body: string): Promise<string> => {
    const script = `Promise.all([import('${compiled('src/uring/threads.ts')}'), import('${compiled('test/uring/engines.ts')}')]).then(([{ ThreadsEngine }, { pipe, bytes, address }]) => {
      const engine = new ThreadsEngine(); const { read } = pipe(); const sqe = { fd: read, addr: address(bytes(8)), len: 8 }; ${body} });`;
    return run(process.execPath, ['-e', script], { timeout: 20_000 });
  };
  test('of the process: an engine with nothing in flight keeps it not alive, one with something does', async () => {
    expect(await child("console.log('idle');")).toBe('idle\n');
    expect(await child("engine.submit('NOP', {}, () => console.log('completed'));")).toBe('completed\n');
    expect(await child("engine.submit('NOP', {}, () => engine.close().then(() => console.log('closed')));")).toBe(
      'closed\n',
    );
  });
  test('of the process comes at once, whatever waits', async () => {
    const waits = "for (let i = 0; i < 10; i++) engine.submit('READ', sqe, () => console.log('never'));";
    expect(await child(`${waits} setTimeout(() => process.exit(0), 1000);`)).toBe(''); // it is killed where it hangs
    const thrown = child(`${waits} setTimeout(() => { throw new Error('uncaught'); }, 1000);`);
    await expect(thrown).rejects.toThrow('Error: uncaught');
  });
});

test('a thread can tell of a result after a collection', async () => {
  const script = `
    import { eventfd, read, view } from './src/abi/syscall.ts';
    import { Memory } from './src/abi/memory.ts';
    import { PoolQueue } from './src/uring/pool-queue.ts';
    const fd = eventfd();
    const queue = new PoolQueue(fd);
    const told = {};
    const count = new Memory(8);
    const kept = [];
    for (let i = 0; i < 10; i++) {
      gc();
      for (let n = 0; n < 1000; n++) kept.push(new ArrayBuffer(8)); // zeros, where something was freed
      await new Promise(setImmediate);
      queue.put(0, 0, {}, 0, false);
      queue.answer(queue.take(told), 0);
      queue.answers(() => {});
      if (read(fd, count.address, 8) !== 8 || new DataView(count.buffer).getBigUint64(0, true) !== 1n) throw new Error('not told');
    }`;
  await run(process.execPath, ['--expose-gc', '--import', 'tsx', '--input-type=module', '-e', script]);
});
