/** Memory outside the heap: where it lies, what it holds, and that it goes. */
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { Memory } from '../../src/abi/memory.ts';
import { close, pageSize, read, socketpair, view, write } from '../../src/abi/syscall.ts';
import { until } from '../support.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Whether an address is mapped in this process. */
const mapped = (address: number): boolean =>
  readFileSync('/proc/self/maps', 'utf8')
    .trim()
    .split('\n')
    .map((line) => /^(\w+)-(\w+)/.exec(line)!)
    .some(([, from, to]) => address >= Number.parseInt(from!, 16) && address < Number.parseInt(to!, 16));

test('memory begins on a page and has whole pages', () => {
  for (const [bytes, pages] of [
    [1, 1],
    [pageSize, 1],
    [pageSize + 1, 2],
  ] as const) {
    const memory = new Memory(bytes);
    expect(memory.address % pageSize).toBe(0);
    expect(memory.length).toBe(pages * pageSize);
    expect(memory.buffer.byteLength).toBe(memory.length);
    memory.free();
  }
});

test('memory of no bytes is refused', () => {
  expect(() => new Memory(0)).toThrow('mmap: invalid argument');
});

test('what a system call writes to its address is seen in its buffer, and the other way', () => {
  const [left, right] = socketpair(4096);
  const memory = new Memory(2 * pageSize);
  const bytes = new Uint8Array(memory.buffer);
  bytes.set([1, 2, 3]);
  write(left, memory.address, 3);
  expect(read(right, memory.address + pageSize, 100)).toBe(3);
  expect([...bytes.subarray(pageSize, pageSize + 4)]).toEqual([1, 2, 3, 0]);
  memory.free();
  close(left);
  close(right);
});

test('its address viewed again is the same memory', () => {
  const memory = new Memory(pageSize);
  new Uint8Array(view(memory.address, pageSize)).fill(7);
  expect(new Uint8Array(memory.buffer).every((byte) => byte === 7)).toBe(true);
  memory.free();
});

test('new memory holds zeros, and cleared memory again, at the same address', () => {
  const memory = new Memory(3 * pageSize);
  const bytes = new Uint8Array(memory.buffer);
  expect(bytes.every((byte) => byte === 0)).toBe(true);
  bytes.fill(0xff);
  memory.clear();
  expect(bytes.every((byte) => byte === 0)).toBe(true);
  bytes[0] = 1;
  expect(bytes[0]).toBe(1);
  memory.free();
});

test('free unmaps, and a second time does nothing to what lies there by then', () => {
  const memory = new Memory(64 * pageSize);
  expect(mapped(memory.address)).toBe(true);
  memory.free();
  expect(mapped(memory.address)).toBe(false);
  // The kernel hands out the lowest or the highest hole that fits, so this is likely the same place.
  const next = new Memory(64 * pageSize);
  new Uint8Array(next.buffer)[0] = 1;
  memory.free();
  expect(mapped(next.address)).toBe(true);
  expect(new Uint8Array(next.buffer)[0]).toBe(1);
  next.free();
});

test('memory that is dropped stays as long as a view of it does, then goes', async () => {
  const views: Uint8Array[] = [];
  const address = (() => {
    const memory = new Memory(pageSize);
    views.push(new Uint8Array(memory.buffer, 8, 8));
    return memory.address;
  })();
  for (let turn = 0; turn < 5; turn++) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(mapped(address)).toBe(true);
  views[0]![0] = 1; // would crash if it were not
  views.pop();
  await until(() => {
    collect();
    return !mapped(address);
  }, 'the region to be unmapped');
});
