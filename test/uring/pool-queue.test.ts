/** The queue between an engine and its threads, both sides of it on this thread. */
import { closeSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { eventfd, read } from '../../src/abi/syscall.ts';
import { PLACES, PoolQueue, type Told } from '../../src/uring/pool-queue.ts';
import { address, bytes } from './engines.ts';

let fd: number;
let queue: PoolQueue;
const told = {} as Told;
const count = bytes(8);
/** How often the submitter was told; -EAGAIN where it was not. */
const notified = (): number => {
  const n = read(fd, address(count), 8);
  return n === 8 ? Number(count.readBigUInt64LE()) : n;
};
const EAGAIN = -11;
beforeEach(() => {
  fd = eventfd();
  queue = new PoolQueue(fd);
});
afterEach(() => closeSync(fd));

test('a call comes out as it was put in, in order, and its result comes back', () => {
  for (let round = 0; round < 3 * PLACES; round++) {
    queue.put(5, round, { fd: -100, off: -1, addr: 2 ** 47, len: -100, op_flags: 2 ** 31, addr3: 7 }, 1, true);
    queue.put(round % 5, 1, { file_index: -1, ioprio: 3, flags: 4, buf_index: 6, personality: 9 }, 0, false);
    expect(queue.take(told)).toBe(5);
    expect(told).toEqual({
      ...{ opcode: round, fd: -100, off: -1, addr: 2 ** 47, len: 2 ** 32 - 100, op_flags: -(2 ** 31), addr3: 7 },
      ...{ buf_index: 0, personality: 0, file_index: 0, flags: 0, ioprio: 0, held: 1, insist: 1 },
    });
    queue.change(5, { ...told, fd: 77, held: 3 });
    queue.answer(5, -round);
    expect(queue.take(told)).toBe(round % 5);
    expect(told).toMatchObject({ file_index: -1, ioprio: 3, flags: 4, buf_index: 6, personality: 9, held: 0 });
    queue.answer(round % 5, 12);
    expect([notified(), notified()], 'once until it looks').toEqual([1, EAGAIN]);
    const answers: number[][] = [];
    queue.answers((place, res) => answers.push([place, res]));
    expect(answers).toEqual([
      [5, -round || 0],
      [round % 5, 12],
    ]);
    expect(queue.changed(5)).toEqual({ fd: 77, file_index: 0, held: 3 });
  }
});

test('what is taken back no thread gets, but its place comes back', () => {
  queue.put(1, 10, {}, 0, false);
  queue.put(2, 20, {}, 0, false);
  expect(queue.takeBack(1)).toBe(true);
  expect(queue.takeBack(1)).toBe(false);
  expect(queue.take(told)).toBe(2);
  expect(queue.takeBack(2)).toBe(false);
  const places: number[] = [];
  queue.answers((place) => places.push(place));
  expect(places).toEqual([1]);
});

test('the end comes after the last call, or at once', () => {
  queue.put(1, 10, {}, 0, false);
  queue.end();
  expect([queue.take(told), queue.take(told)]).toEqual([1, -1]);
  queue.put(1, 10, {}, 0, false);
  queue.end(true);
  expect(queue.take(told)).toBe(-1);
});

test('what tells of results is not collected', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let i = 0; i < 5; i++) {
    collect();
    // What was freed is something else now.
    const others = Array.from({ length: 10_000 }, () => Buffer.allocUnsafeSlow(8).fill(0));
    queue.put(1, 10, {}, 0, false);
    queue.take(told);
    queue.answer(1, 0);
    expect([others.length, notified()]).toEqual([10_000, 1]);
    queue.answers(() => {});
  }
});
