/** Threads and what would wait for others: no thread does, and no descriptor becomes O_NONBLOCK for it. */
import { closeSync, constants, openSync, readdirSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EAGAIN, EIO, EPIPE } from '../../src/abi/errno.ts';
import { F_GETFL, O_NONBLOCK, RWF_NOWAIT, SPLICE_F_NONBLOCK } from '../../src/abi/posix.ts';
import { fcntl, ioctl, socketpair } from '../../src/abi/syscall.ts';
import type { Engine } from '../../src/uring/engine.ts';
import { ThreadsEngine } from '../../src/uring/threads.ts';
import { run, temporary } from '../support.ts';
import { address, bytes, cString, iovecs, one, openHow, pipe } from './engines.ts';

let root: string;
beforeEach(() => {
  root = temporary('rawfuse-threads-');
});
afterEach(() => rmSync(root, { recursive: true }));

/** Waits until an engine of one thread has tried all that it was given: what is in flight then waits for others. */
const tried = async (engine: Engine): Promise<void> => expect(await one(engine, 'NOP', {})).toBe(0);
const descriptors = () => readdirSync('/proc/self/fd').length;
const fifo = async (name: string): Promise<string> => {
  await run('mkfifo', [join(root, name)]);
  return join(root, name);
};

describe('what would wait', () => {
  test('for a pipe holds no thread: a hundred reads and their writes on one', async () => {
    await using engine = new ThreadsEngine({ threads: 1 });
    const pipes = Array.from({ length: 100 }, () => pipe());
    const into = bytes(100 * 8);
    const data = bytes(Buffer.from('12345678'));
    const reads = pipes.map(({ read }, i) =>
      one(engine, 'READ', { fd: read, addr: address(into) + i * 8, len: 8, off: i % 2 ? -1 : 0 }),
    );
    await tried(engine);
    expect(engine.inFlight).toBe(100);
    const written = await Promise.all(
      pipes.map(({ write }) => one(engine, 'WRITE', { fd: write, addr: address(data), len: 8 })),
    );
    expect([new Set(written), new Set(await Promise.all(reads))]).toEqual([new Set([8]), new Set([8])]);
    expect(into.toString()).toBe('12345678'.repeat(100));
    for (const each of pipes) {
      expect(fcntl(each.read, F_GETFL, 0) & O_NONBLOCK, 'a flag that is everybody’s').toBe(0);
      each.close();
    }
  });

  test('for a full pipe, or for a socket’s other end, is the same', async () => {
    await using engine = new ThreadsEngine({ threads: 1 });
    const { read, write, close } = pipe();
    const big = bytes(1 << 20);
    expect(await one(engine, 'WRITE', { fd: write, addr: address(big), len: 1 << 20 })).toBe(65536);
    const more = one(engine, 'WRITEV', { fd: write, addr: address(iovecs(big.subarray(0, 100))), len: 1 });
    await tried(engine);
    expect(engine.inFlight).toBe(1);
    expect(await one(engine, 'READ', { fd: read, addr: address(big), len: 1 << 20 })).toBe(65536);
    expect(await more).toBe(100);
    close();
    const [a, b] = socketpair(1 << 16);
    const got = one(engine, 'READ', { fd: a, addr: address(big), len: 50 });
    await tried(engine);
    expect(await one(engine, 'WRITE', { fd: b, addr: address(big), len: 20 })).toBe(20);
    expect(await got).toBe(20);
    const end = one(engine, 'READ', { fd: a, addr: address(big), len: 50 });
    await tried(engine);
    closeSync(b);
    expect(await end).toBe(0);
    expect(await one(engine, 'WRITE', { fd: a, addr: address(big), len: 20 })).toBe(-EPIPE.errno);
    closeSync(a);
  });

  test('has its own hold of the file: who closes the number, and opens another under it, changes nothing', async () => {
    await using engine = new ThreadsEngine({ threads: 1 });
    const { read, write } = pipe();
    const into = bytes(8);
    const got = one(engine, 'READ', { fd: read, addr: address(into), len: 8 });
    await tried(engine);
    const before = descriptors();
    closeSync(read);
    const other = openSync(join(root, 'other'), 'w+');
    expect(other).toBe(read);
    writeSync(write, 'hello');
    expect(await got).toBe(5);
    expect(into.toString('latin1', 0, 5)).toBe('hello');
    closeSync(other);
    closeSync(write);
    expect(descriptors(), 'both ends, and its own').toBe(before - 3);
  });

  test('says EAGAIN instead where it is asked to', async () => {
    await using engine = new ThreadsEngine();
    const { read, write, close } = pipe();
    const into = bytes(8);
    expect(await one(engine, 'READ', { fd: read, addr: address(into), len: 8, op_flags: RWF_NOWAIT })).toBe(
      -EAGAIN.errno,
    );
    const sqe = { fd: write, off: -1, file_index: read, addr: -1, len: 8, op_flags: SPLICE_F_NONBLOCK };
    expect(await one(engine, 'TEE', { ...sqe, off: 0, addr: 0 })).toBeLessThan(0);
    close();
  });

  test('to splice goes on when both sides are ready', async () => {
    await using engine = new ThreadsEngine({ threads: 1 });
    const [from, to] = [pipe(), pipe()];
    const [a, b] = socketpair(1 << 20);
    const file = openSync(join(root, 'file'), 'w+');
    writeSync(file, Buffer.alloc(300_000, 'x'));
    const splice = (fd: number, file_index: number, len: number, { off = -1, addr = -1 } = {}) =>
      one(engine, 'SPLICE', { fd, off, file_index, addr, len });
    const waiting = splice(to.write, from.read, 1000);
    await tried(engine);
    expect(engine.inFlight).toBe(1);
    writeSync(from.write, 'spliced');
    expect(await waiting).toBe(7);
    expect(await splice(to.write, file, 1 << 20, { addr: 0 })).toBe(61440); // a page holds 'spliced'
    const full = splice(to.write, file, 5000, { addr: 0 });
    await tried(engine);
    expect(engine.inFlight).toBe(1);
    const sink = bytes(1 << 20);
    expect(await one(engine, 'READ', { fd: to.read, addr: address(sink), len: 1 << 20 })).toBe(61447);
    expect(await full).toBe(5000);
    const teed = one(engine, 'TEE', { fd: from.write, file_index: to.read, len: 2000 });
    expect(await teed).toBe(2000);
    expect(await splice(a, to.read, 5000)).toBe(5000);
    const socket = splice(to.write, a, 100);
    await tried(engine);
    writeSync(b, 'over the wire');
    expect(await socket).toBe(13);
    for (const each of [from, to]) each.close();
    for (const fd of [a, b, file]) closeSync(fd);
  });

  test('on a terminal, too', async () => {
    const TIOCSPTLCK = 0x40045431;
    const TIOCGPTPEER = 0x5441;
    const master = openSync('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY);
    ioctl(master, TIOCSPTLCK, address(bytes(4)));
    const slave = ioctl(master, TIOCGPTPEER, constants.O_RDWR | constants.O_NOCTTY);
    await using engine = new ThreadsEngine({ threads: 1 });
    const into = bytes(1 << 20);
    const got = one(engine, 'READ', { fd: slave, addr: address(into), len: 100, off: -1 });
    await tried(engine);
    expect(engine.inFlight).toBe(1);
    writeSync(master, 'a line\n');
    expect(await got).toBe(7);
    // Nobody reads: it takes what it has room for, and the thread is free again.
    let last = 0;
    let never: Promise<number>;
    do {
      never = one(engine, 'WRITE', { fd: slave, addr: address(into), len: 1 << 20, off: -1 });
      void never.then((res) => {
        last = res;
      });
      await tried(engine);
      expect(last).toBeLessThan(1 << 20);
    } while (engine.inFlight === 0);
    expect(last).toBeGreaterThan(0);
    closeSync(master);
    expect(await never).toBe(-EIO.errno);
    closeSync(slave);
  });

  test.each(['OPENAT', 'OPENAT2'] as const)('to open a FIFO goes on when the other side does: %s', async (opcode) => {
    await using engine = new ThreadsEngine({ threads: 1 });
    const path = await fifo('fifo');
    const open = (flags: number) =>
      one(
        engine,
        opcode,
        opcode === 'OPENAT'
          ? { fd: -100, addr: address(cString(path)), op_flags: flags }
          : { fd: -100, addr: address(cString(path)), off: address(openHow(flags, 0, 0)), len: 24 },
      );
    for (const first of [constants.O_RDONLY, constants.O_WRONLY]) {
      const alone = open(first);
      await tried(engine);
      expect(engine.inFlight).toBe(1);
      const other = first === constants.O_RDONLY ? constants.O_WRONLY : constants.O_RDONLY;
      const ends = await Promise.all([alone, open(other)]);
      for (const fd of ends) {
        expect(fd).toBeGreaterThan(2);
        expect(fcntl(fd, F_GETFL, 0) & O_NONBLOCK).toBe(0);
        closeSync(fd);
      }
    }
    // A writer that has come and gone was there; its bytes are.
    const reader = open(constants.O_RDONLY);
    await tried(engine);
    const writer = openSync(path, constants.O_WRONLY);
    writeSync(writer, 'gone');
    closeSync(writer);
    const fd = await reader;
    expect(readSync(fd, Buffer.alloc(10))).toBe(4);
    closeSync(fd);
  });
});
