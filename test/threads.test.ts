/** How queues are shared out among threads, on machines that are not at hand. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { shareOut } from '../src/threads/share-out.ts';

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

describe('queues, shared out', () => {
  test('one a thread, each on its CPU', () => {
    expect(shareOut(4, [0, 1, 2, 3], 4)).toEqual([0, 1, 2, 3].map((cpu) => ({ queues: [cpu], cpus: [cpu] })));
  });
  test('64 queues among 8 threads: each serves those of its CPUs', () => {
    const parts = shareOut(64, numbers(0, 64), 8);
    expect(parts[3]).toEqual({ queues: [3, 11, 19, 27, 35, 43, 51, 59], cpus: [3, 11, 19, 27, 35, 43, 51, 59] });
  });
  test('of 64 possible CPUs 4 may be used: the queues of the others go round', () => {
    const parts = shareOut(64, [8, 9, 10, 11], 4);
    expect(parts.map(({ cpus }) => cpus)).toEqual([[8], [9], [10], [11]]);
    expect(parts.map(({ queues }) => queues.length)).toEqual([16, 16, 16, 16]);
  });
  test('one thread has all of them, and goes where the scheduler sends it', () => {
    expect(shareOut(3, [0, 1, 2], 1)).toEqual([{ queues: [0, 1, 2], cpus: [] }]);
  });
  test('whatever the machine, each queue has one thread, and no thread is without', () => {
    const machine = fc.record({
      queues: fc.integer({ min: 1, max: 512 }),
      usable: fc.uniqueArray(fc.nat(600), { minLength: 1, maxLength: 600 }),
      threads: fc.integer({ min: 1, max: 600 }),
    });
    fc.assert(
      fc.property(machine, ({ queues, usable, threads }) => {
        const parts = shareOut(queues, usable, threads);
        expect(parts.length).toBe(Math.min(threads, queues));
        expect(parts.flatMap((part) => part.queues).sort((a, b) => a - b)).toEqual(numbers(0, queues));
        for (const { queues: mine, cpus } of parts) {
          expect(mine.length).toBeGreaterThan(0);
          for (const cpu of cpus) expect(mine).toContain(cpu);
        }
      }),
    );
  });
});
