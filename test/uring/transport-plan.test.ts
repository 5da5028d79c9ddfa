/** How many entries a FUSE ring has, for any number of CPUs: enough for each, and not gigabytes for many. */
import { describe, expect, test } from 'vitest';
import { pageSize } from '../../src/abi/syscall.ts';
import { countCpus, HEADERS, describe as inWords, MOST_ENTRIES, plan } from '../../src/uring/transport-plan.ts';

const MIB = 1 << 20;

test('every queue has two entries or more, and no number of queues reserves more than a GiB to begin with', () => {
  for (let queues = 1; queues <= 512; queues++) {
    const { depth, most, bytes, mostBytes, entry } = plan(queues, MIB);
    expect(entry).toBe(MIB + HEADERS);
    expect(depth).toBeGreaterThanOrEqual(2); // one may wait, and what ends its waiting comes to the other
    expect(depth).toBeLessThanOrEqual(4);
    expect(most).toBeGreaterThanOrEqual(4);
    expect(most).toBeLessThanOrEqual(256);
    expect(most).toBeGreaterThanOrEqual(depth);
    expect(bytes).toBe(queues * depth * entry);
    expect(mostBytes).toBe(queues * most * entry);
    expect(bytes).toBeLessThanOrEqual(1024 * entry);
    expect(mostBytes).toBeLessThanOrEqual(2048 * entry);
  }
});

test.each([
  [1, 4, 256],
  [2, 4, 256],
  [4, 4, 128],
  [16, 4, 32],
  [32, 2, 16],
  [128, 2, 4],
  [512, 2, 4],
])('%d CPUs: %d entries each, and at most %d', (queues, depth, most) => {
  expect(plan(queues, MIB)).toMatchObject({ queues, depth, most });
});

test('a payload is reserved in whole pages, and no byte more than agreed is told to the kernel', () => {
  expect(plan(2, 8192 + 1)).toMatchObject({ payload: 8193, entry: Math.ceil(8193 / pageSize) * pageSize + HEADERS });
});

describe('options', () => {
  test('are taken as they are', () => {
    expect(plan(2, MIB, { ringDepth: 16, ringLimit: 64 })).toMatchObject({ depth: 16, most: 64 });
    expect(plan(512, MIB, { ringDepth: 1 })).toMatchObject({ depth: 1, most: 4 });
  });
  test('a depth above the limit raises it, a limit below the default depth lowers that', () => {
    expect(plan(64, MIB, { ringDepth: 100 })).toMatchObject({ depth: 100, most: 100 });
    expect(plan(2, MIB, { ringLimit: 3 })).toMatchObject({ depth: 3, most: 3 });
  });
  test.each([0, -1, 1.5, MOST_ENTRIES + 1, Number.NaN])('%d is none', (value) => {
    expect(() => plan(2, MIB, { ringDepth: value })).toThrow(`ringDepth is ${value}: a whole number from 1 to`);
    expect(() => plan(2, MIB, { ringLimit: value })).toThrow(RangeError);
  });
});

test('in words', () => {
  expect(inWords(plan(2, MIB))).toBe('2 queues of 4 entries, 8.0 MiB reserved; at most 256, 512 MiB');
  expect(inWords(plan(1, 8192, { ringDepth: 1, ringLimit: 1 }))).toMatch(/^1 queue of 1 entries, 0\.0 MiB reserved/u);
});

test.each([
  ['0', 1],
  ['0-1\n', 2],
  ['0-127', 128],
  ['0,2-5,9', 6],
])('the CPUs %j are %d', (list, count) => expect(countCpus(list)).toBe(count));
test.each(['', 'x', '3-1'])('%j is no list of CPUs', (list) => expect(() => countCpus(list)).toThrow(RangeError));
