/** Threads and what would wait for others: no thread does, and no descriptor becomes O_NONBLOCK for it. */
import { closeSync, constants, openSync, readdirSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EAGAIN, EIO, EPIPE } from '../../src/abi/errno.ts';
import { F_GETFL, O_NONBLOCK, RWF_NOWAIT, SPLICE_F_NONBLOCK } from '../../src/abi/posix.ts';
import { fcntl, ioctl, socketpair } from '../../src/abi/syscall.ts';
import type { UringOpcode } from '../../src/abi/uring-constants.ts';
import type { Engine, Sqe } from '../../src/uring/engine.ts';
import { Ring } from '../../src/uring/ring.ts';
import { ThreadsEngine } from '../../src/uring/threads.ts';
import { run, temporary, until } from '../support.ts';
import { address, bytes, cString, iovecs, one, openHow, pipe } from './engines.ts';
import { uring } from './support.ts';

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

/** A result; or that there is none without others' doing, in which case it is cancelled. */
async function outcome(engine: Engine, opcode: UringOpcode, sqe: Sqe): Promise<string> {
  let result: number | undefined;
  const ticket = engine.submit(opcode, sqe, (res) => {
    result = res;
  });
  // On a machine with much else to do time says little; but what was submitted later has been done by then, again and again.
  const waits = Date.now() + 200;
  for (let others = 0; result === undefined && (others < 50 || Date.now() < waits); others++) {
    await one(engine, 'NOP', {});
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  if (result !== undefined) return String(result);
  engine.cancel(ticket);
  await until(() => result !== undefined, 'the cancelled');
  return 'waits'; // and is cancelled; of a SPLICE the 6.18 ring says ERESTARTSYS then
}

uring('on what is no file', () => {
  test('an operation answers as a ring’s', async () => {
    const DATA = bytes(Buffer.from('some bytes'));
    const into = bytes(1 << 18);
    const outcomes: string[][] = [];
    for (const name of ['ring', 'threads']) {
      await using engine = name === 'ring' ? new Ring() : new ThreadsEngine();
      const { O_RDWR, O_RDONLY } = constants;
      const [empty, emptyToo, full, gone, unread, now] = [pipe(), pipe(), pipe(), pipe(), pipe(), pipe(O_NONBLOCK)];
      const [a, b] = socketpair(1 << 16);
      const file = openSync(join(root, name), 'w+');
      const [nothing, zero, fuller] = ['null', 'zero', 'full'].map((each) => openSync(`/dev/${each}`, O_RDWR));
      const dir = openSync(root, O_RDONLY);
      await one(engine, 'WRITE', { fd: full.write, addr: address(into), len: 1 << 18 });
      writeSync(gone.write, 'left');
      closeSync(gone.write);
      closeSync(unread.read);
      const seen: string[] = [];
      const row = async (what: string, opcode: UringOpcode, sqe: Sqe) =>
        seen.push(`${opcode} ${what}: ${await outcome(engine, opcode, sqe)}`);
      const r = { addr: address(into), len: 10 };
      const w = { addr: address(DATA), len: 10 };
      const nowait = { op_flags: RWF_NOWAIT };

      await row('empty pipe', 'READ', { fd: empty.read, ...r });
      await row('empty pipe, NOWAIT', 'READ', { fd: empty.read, ...r, ...nowait });
      await row('empty O_NONBLOCK pipe', 'READ', { fd: now.read, ...r });
      await row('writing end', 'READ', { fd: empty.write, ...r });
      await row('reading end', 'WRITE', { fd: empty.read, ...w });
      await row('pipe', 'WRITE', { fd: now.write, ...w, off: 77 });
      await row('pipe', 'READ', { fd: now.read, ...r, off: 5, len: 4 });
      await row('pipe', 'READ', { fd: now.read, ...r, off: -1, len: 400 });
      await row('full pipe', 'WRITE', { fd: full.write, ...w });
      await row('full pipe, NOWAIT', 'WRITE', { fd: full.write, ...w, ...nowait });
      await row('pipe without writers', 'READ', { fd: gone.read, ...r });
      await row('pipe without writers', 'READ', { fd: gone.read, ...r });
      await row('pipe without readers', 'WRITE', { fd: unread.write, ...w });
      await row('nothing from a pipe', 'READ', { fd: empty.read, ...r, len: 0 });
      await row('bad address', 'WRITE', { fd: now.write, addr: 8, len: 10 });
      await row('empty pipe', 'READV', { fd: empty.read, addr: address(iovecs(into)), len: 1 });
      await row('full pipe', 'WRITEV', { fd: full.write, addr: address(iovecs(DATA)), len: 1, off: 5 });

      await row('socket', 'READ', { fd: a, ...r });
      await row('socket, NOWAIT', 'READ', { fd: a, ...r, ...nowait });
      await row('socket', 'WRITE', { fd: b, ...w, off: 9 });
      await row('socket, less than there is', 'READ', { fd: a, ...r, len: 4, off: 9 });
      await row('socket, the rest is lost', 'READ', { fd: a, ...r });

      for (const [what, fd] of [
        ['null', nothing!],
        ['zero', zero!],
        ['full', fuller!],
        ['directory', dir],
      ] as const) {
        await row(what, 'READ', { fd, ...r });
        await row(`${what}, at a place`, 'READ', { fd, ...r, off: 100 });
        await row(`${what}, NOWAIT`, 'READ', { fd, ...r, ...nowait });
        await row(what, 'WRITE', { fd, ...w });
      }

      const s = { off: -1, addr: -1, len: 100 };
      const from = (file_index: number) => ({ ...s, file_index });
      await row('pipe to pipe', 'SPLICE', { fd: emptyToo.write, ...from(empty.read) });
      await row('pipe to pipe, NONBLOCK', 'SPLICE', {
        fd: emptyToo.write,
        ...from(empty.read),
        op_flags: SPLICE_F_NONBLOCK,
      });
      await row('O_NONBLOCK pipe to pipe', 'SPLICE', { fd: emptyToo.write, ...from(now.read) });
      await row('pipe to itself', 'SPLICE', { fd: empty.write, ...from(empty.read) });
      await row('pipe with a place', 'SPLICE', { fd: emptyToo.write, ...from(full.read), addr: 5 });
      await row('wrong end', 'SPLICE', { fd: emptyToo.write, ...from(full.write) });
      await row('ended pipe', 'SPLICE', { fd: emptyToo.write, ...from(gone.read) });
      await row('to a pipe without readers', 'SPLICE', { fd: unread.write, ...from(full.read) });
      await row('to a full pipe', 'SPLICE', { fd: full.write, ...from(file), addr: 0 });
      await row('pipe to file', 'SPLICE', { fd: file, ...from(full.read), off: 10, len: 5000 });
      await row('file to pipe', 'SPLICE', { fd: emptyToo.write, ...from(file), addr: 20, len: 3000 });
      await row('end of file to pipe', 'SPLICE', { fd: emptyToo.write, ...from(file), addr: 1 << 20 });
      await row('pipe to socket', 'SPLICE', { fd: a, ...from(emptyToo.read), len: 2000 });
      await row('pipe to null', 'SPLICE', { fd: nothing!, ...from(full.read), len: 2000 });
      await row('zero to pipe', 'SPLICE', { fd: emptyToo.write, ...from(zero!), len: 2000 });
      await row('socket to pipe', 'SPLICE', { fd: emptyToo.write, ...from(a), len: 2000 });
      await row('socket to file', 'SPLICE', { fd: file, ...from(a), off: 0, len: 2000 });
      const t = (file_index: number) => ({ file_index, len: 100 });
      await row('empty pipe', 'TEE', { fd: emptyToo.write, ...t(empty.read) });
      await row('pipe', 'TEE', { fd: empty.write, ...t(full.read) });
      await row('to a full pipe', 'TEE', { fd: full.write, ...t(empty.read) });
      await row('with a place', 'TEE', { fd: empty.write, ...t(full.read), off: 3 });
      await row('not there', 'TEE', { fd: empty.write, ...t(-1) });
      await row('to nowhere', 'TEE', { fd: -1, ...t(full.read) });

      for (const [what, fd] of [
        ['pipe', empty.read],
        ['socket', a],
        ['null', nothing!],
      ] as const) {
        await row(what, 'FSYNC', { fd });
        await row(what, 'SYNC_FILE_RANGE', { fd, len: 10 });
        await row(what, 'FALLOCATE', { fd, addr: 10 });
        await row(what, 'FTRUNCATE', { fd, off: 10 });
        await row(what, 'FADVISE', { fd, len: 10, op_flags: 1 });
        await row(what, 'FGETXATTR', { fd, addr: address(cString('user.x')) });
      }
      await row('socket', 'CLOSE', { fd: b });
      for (const fd of [a, file, nothing!, zero!, fuller!, dir, gone.read, unread.write]) closeSync(fd);
      for (const each of [empty, emptyToo, full, now]) each.close();
      outcomes.push(seen);
    }
    expect(outcomes[1]).toEqual(outcomes[0]);
    expect(outcomes[0]!.filter((each) => each.includes('waits')).length).toBeGreaterThan(5);
  });
});
