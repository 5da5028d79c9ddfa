/**
 * The transport over a descriptor, at the socketpair of kernel.ts: how its buffers are kept and moved, how
 * much it serves in a turn of the loop, what a full socket and a malformed message do to it.
 */
import { readFileSync, readSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { EIO } from '../../src/abi/errno.ts';
import { close, eventfd, pageSize } from '../../src/abi/syscall.ts';
import type { Connection } from '../../src/protocol/connection.ts';
import { until } from '../support.ts';
import { attr, entry, Gate, lending, lock } from './handlers.ts';
import { TestKernel, turns } from './kernel.ts';
import { encodeRequest } from './support.ts';

const mapped = () => Number(readFileSync('/proc/self/statm', 'latin1').split(' ')[0]) * pageSize;
const BIG = 64 << 10;

test('a thousand waiting SETLKW hold no large buffers; others are served meanwhile, and all are answered', async () => {
  const gate = new Gate<void>();
  await using kernel = await TestKernel.start({
    setlk: gate.wait,
    write: (_, { size }) => ({ size }),
    read: (_, { size }) => size,
  });
  await kernel.ask('WRITE', { data: Buffer.alloc(BIG) });
  const before = mapped();
  const uniques = Array.from({ length: 1000 }, () => kernel.send('SETLKW', { lk: lock }));
  await until(() => gate.waiting.length === 1000, 'the handlers');
  for (let i = 0; i < 20; i++) {
    expect((await kernel.ask('WRITE', { data: Buffer.alloc(BIG, i) })).error).toBe(0);
    expect((await kernel.ask('READ', { size: BIG })).body.length).toBe(BIG);
  }
  // A large buffer maps more than 2 MiB.
  expect(mapped() - before).toBeLessThan(300 << 20);
  expect(kernel.session.inflight.length).toBe(1000);
  gate.release();
  for (const unique of uniques) expect((await kernel.reply(unique)).error).toBe(0);
  await turns();
  expect(kernel.session.inflight).toEqual([]);
  expect(kernel.replies.length).toBe(1 + 1 + 1000 + 40);
  expect(kernel.malformed).toEqual([]);
});

test('a WRITE that waits keeps its data while a hundred others come', async () => {
  const gate = new Gate<{ size: number }>();
  const held: { data: Buffer; fh: number }[] = [];
  await using kernel = await TestKernel.start({
    write: (_, { fh, data, size }) => {
      if (fh === 0) return { size };
      held.push({ data, fh });
      return gate.wait();
    },
  });
  const uniques = [1, 2, 3].map((fh) => kernel.send('WRITE', { fh, data: Buffer.alloc(BIG, fh) }));
  for (let i = 0; i < 100; i++) await kernel.ask('WRITE', { fh: 0, data: Buffer.alloc(BIG, 100 + i) });
  expect(held.map(({ fh }) => fh)).toEqual([1, 2, 3]);
  for (const { data, fh } of held) expect(data.equals(Buffer.alloc(BIG, fh))).toBe(true);
  gate.release({ size: BIG });
  for (const unique of uniques) expect((await kernel.reply(unique)).body.readUInt32LE(0)).toBe(BIG);
});

test('a READ that waits keeps what it has put into the reply', async () => {
  const gate = new Gate<number>();
  await using kernel = await TestKernel.start({
    read: (_, { fh, size }, reply) => {
      reply.fill(fh, 0, size);
      return fh < 100 ? gate.wait() : size;
    },
  });
  const uniques = [1, 2, 3].map((fh) => kernel.send('READ', { fh, size: BIG }));
  for (let i = 0; i < 100; i++) await kernel.ask('READ', { fh: 100 + i, size: BIG });
  gate.release(BIG);
  for (const [i, unique] of uniques.entries())
    expect((await kernel.reply(unique)).body.equals(Buffer.alloc(BIG, i + 1))).toBe(true);
});

test('a request that waits and is small keeps its header and its names', async () => {
  const gate = new Gate<void>();
  const seen: unknown[] = [];
  await using kernel = await TestKernel.start({
    lookup: async (request, { name }) => {
      await gate.wait();
      seen.push([name, request.nodeid, request.uid, request.unique, request.opcode]);
      return entry(Number(name));
    },
  });
  const uniques = Array.from({ length: 200 }, (_, i) =>
    kernel.send('LOOKUP', { name: String(i + 2) }, { nodeid: i + 1, uid: i }),
  );
  await until(() => gate.waiting.length === 200, 'the handlers');
  gate.release();
  for (const [i, unique] of uniques.entries()) {
    expect((await kernel.reply(unique)).body.readBigUInt64LE(0)).toBe(BigInt(i + 2));
    expect(seen[i]).toEqual([String(i + 2), i + 1, i, unique, 1]);
  }
});

test('a full socket loses no reply, does not spin, and goes on when the peer reads', async () => {
  const served: number[] = [];
  const gate = new Gate<number>();
  await using kernel = await TestKernel.start({
    read: (_, { fh, size }, reply) => {
      served.push(fh);
      reply.fill(fh, 0, size);
      return fh % 10 === 9 ? gate.wait() : size;
    },
  });
  kernel.ignore();
  const uniques = Array.from({ length: 400 }, (_, i) => kernel.send('READ', { fh: i % 250, size: BIG }));
  let before: number;
  do {
    before = served.length;
    await turns(20);
  } while (served.length !== before);
  expect(served.length, 'requests read while replies wait').toBeLessThan(400);
  gate.release(BIG); // late answers that find the socket full
  await turns();
  kernel.post(Buffer.alloc(48, 1)); // a message with a wrong length, whose EIO has to wait too
  // Of five intervals, because the collector and the test runner take turns of their own.
  const idle: number[] = [];
  for (let i = 0; i < 5; i++) {
    const { loopCount } = performance.nodeTiming.uvMetricsInfo;
    await sleep(20);
    idle.push(performance.nodeTiming.uvMetricsInfo.loopCount - loopCount);
  }
  expect(Math.min(...idle), 'turns of the loop while nothing happens').toBeLessThan(20);
  kernel.listen();
  const drain = setInterval(() => gate.release(BIG), 1);
  for (const [i, unique] of uniques.entries()) {
    const { error, body } = await kernel.reply(unique);
    expect([error, body.length, body[0], body.at(-1)]).toEqual([0, BIG, i % 250, i % 250]);
  }
  clearInterval(drain);
  expect((await kernel.reply(0x0101_0101_0101_0101n)).error).toBe(-EIO.errno);
  expect(kernel.replies.length).toBe(1 + 400 + 1);
  expect(kernel.session.inflight).toEqual([]);
});

test('replies that wait for a full socket are taken back at the end', async () => {
  const { calls, filesystem } = lending({ read: (_, { size }) => size });
  const kernel = await TestKernel.start(filesystem);
  kernel.ignore();
  for (let i = 0; i < 400; i++) kernel.send('READ', { size: BIG });
  await turns(50);
  kernel.send('LOOKUP', { name: 'a' });
  await turns();
  kernel.session.end({ reason: 'aborted' });
  await kernel.session.closed;
  expect(calls).toEqual([]); // it was not even read: there was no room for its answer
  kernel.hangUp();

  const gate = new Gate<never>();
  const other = await TestKernel.start({ ...filesystem, lookup: gate.wait });
  other.send('LOOKUP', { name: 'a' });
  await until(() => gate.waiting.length === 1, 'the handler');
  other.ignore();
  for (let i = 0; i < 400; i++) other.send('READ', { size: BIG });
  await turns(50);
  gate.release(entry(21) as never);
  await turns();
  expect(calls).toEqual([]);
  other.session.end({ reason: 'aborted' });
  await other.session.closed;
  expect(calls).toEqual([['forget', 21, 1]]);
  other.hangUp();
});

test('serves at most 128 requests between two turns of the loop', async () => {
  let sinceTurn = 0;
  let most = 0;
  let served = 0;
  let late = false;
  await using kernel = await TestKernel.start({
    getattr: () => {
      served++;
      most = Math.max(most, ++sinceTurn);
      return late ? Promise.resolve({ attr }) : { attr };
    },
  });
  for (late of [false, true]) {
    served = 0;
    const turn = () => {
      sinceTurn = 0;
      if (served < 2000) setImmediate(turn);
    };
    for (let i = 0; i < 2000; i++) kernel.send('GETATTR');
    setImmediate(turn);
    await until(() => served === 2000, 'all requests');
    expect(most).toBeLessThanOrEqual(128);
  }
  expect(most, 'it does serve many a turn').toBeGreaterThan(1);
  await until(() => kernel.replies.length === 4001, 'all replies');
});

test('lets timers run though requests never end', async () => {
  let served = 0;
  let ticks = 0;
  await using kernel = await TestKernel.start({
    getattr: () => {
      served++;
      if (ticks < 10 && served < 200_000) kernel.send('GETATTR'); // there is always one more
      return { attr };
    },
  });
  const timer = setInterval(() => ticks++, 1);
  for (let i = 0; i < 200; i++) kernel.send('GETATTR');
  await until(() => ticks >= 10 || served >= 200_000, 'the flood to end');
  clearInterval(timer);
  expect(ticks).toBeGreaterThanOrEqual(10);
});

test('a message that is cut or lies about its length gets EIO, without a whole header nothing', async () => {
  const forget = vi.fn();
  await using kernel = await TestKernel.start({ forget });
  for (const length of [1, 16, 39])
    kernel.post(encodeRequest('STATFS', {}, { unique: kernel.unique() }).subarray(0, length));
  const short = encodeRequest('WRITE', { data: Buffer.alloc(100) }, { unique: kernel.unique() });
  expect((await kernel.asked(short.subarray(0, 80))).error).toBe(-EIO.errno);
  kernel.post(encodeRequest('FORGET', { nlookup: 1 }, { unique: kernel.unique() }).subarray(0, 44));
  expect((await kernel.ask('STATFS')).error).toBe(0);
  expect(kernel.replies.length).toBe(3);
  expect(forget).not.toHaveBeenCalled();
  expect(kernel.warnings.length).toBe(1);
});

test('looks out for a descriptor of the filesystem’s until that wants no more, or the connection is over', async () => {
  const mine = eventfd();
  const one = Buffer.from(new BigUint64Array([1n]).buffer);
  let told = 0;
  const ready = () => {
    told++;
    readSync(mine, Buffer.alloc(8));
  };
  let watch!: Connection['watch'];
  const kernel = await TestKernel.start({
    init: (connection) => {
      watch = connection.watch;
    },
  });
  const stop = watch(mine, ready);
  writeSync(mine, one);
  await until(() => told === 1, 'to be told');
  stop();
  writeSync(mine, one);
  await turns();
  expect(told).toBe(1);
  watch(mine, ready);
  await until(() => told === 2, 'to be told of what was there');
  await kernel[Symbol.asyncDispose]();
  writeSync(mine, one);
  await turns();
  expect(told).toBe(2);
  close(mine);
});

test('gives the notifications a descriptor of their own', async () => {
  await using kernel = await TestKernel.start({});
  await kernel.session.notify.resend();
  await until(() => kernel.notifications.length === 1, 'the notification');
  expect(kernel.notifications[0]!.readInt32LE(4)).toBe(7);
  expect(kernel.notifications[0]!.length).toBe(16);
});
