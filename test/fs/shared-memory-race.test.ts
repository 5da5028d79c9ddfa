/**
 * Threads that race for the same names and nodes of the filesystem in shared memory, without a mount: the kernel keeps
 * many calls apart that a filesystem with locks of its own need not, so that a mount (test/mount/threads-race.test.ts)
 * would not tell whether those locks are there. RACE is for how many seconds, SEED what the threads choose.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { startWorker } from '../../src/abi/worker.ts';
import { check } from '../mount/shared-memory/check.ts';
import { allocate } from '../mount/shared-memory/module.ts';
import type { Race } from '../mount/shared-memory/racer.ts';
import { SharedTree } from '../mount/shared-memory/tree.ts';
import { seed } from '../random/random.ts';

const SECONDS = Number(process.env.RACE ?? 3);
const THREADS = 4;

test('threads race for the same names: each call is whole, and nothing is lost or left', {
  timeout: (SECONDS + 60) * 1000,
}, async () => {
  const memory = allocate();
  const tree = new SharedTree(memory);
  const mark = new Int32Array(new SharedArrayBuffer(4));
  const workers = Array.from({ length: THREADS }, (_, i) => {
    const race: Race = { memory, mark, threads: THREADS, seed: seed + i };
    return startWorker(import.meta.url, '../mount/shared-memory/racer', { workerData: race });
  });
  const heard = (): Promise<unknown[]> =>
    Promise.all(
      workers.map(
        (worker) =>
          new Promise<unknown>((resolve, reject) => {
            worker.once('message', resolve);
            worker.once('error', reject);
          }),
      ),
    );
  await heard();
  const over = heard();
  Atomics.store(mark, 0, 1);
  Atomics.notify(mark, 0);
  try {
    await Promise.race([sleep(SECONDS * 1000), over]); // a thread that fails ends it
  } finally {
    Atomics.store(mark, 0, 2);
  }
  const succeeded = await over;
  console.log(`${succeeded} calls`);
  for (const calls of succeeded) expect(calls).toBeGreaterThan(0);
  expect(tree.nodes.counted).toEqual([]);
  check(tree);
});
