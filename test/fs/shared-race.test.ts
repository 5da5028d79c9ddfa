/**
 * The shared node table under real threads: they find, add, look up, forget and unlink the same nodes for some seconds,
 * while this one checks the table's invariants. `RACE=60` makes it a minute, `SEED=` repeats a run's choices (not its
 * order, which is the machine's).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { startWorker } from '../../src/abi/worker.ts';
import { shareNodes } from '../../src/fs/shared/layout.ts';
import { openNodes } from '../../src/fs/shared/nodes.ts';
import { ADDED, BEGIN, KEPT, RACE_LAYOUT, type Race, type Raced, REMOVED, STOP } from './shared-racer.ts';

const SECONDS = Number(process.env.RACE ?? 3);
const THREADS = 4;

test('threads race for the same nodes: no count is lost, and none is left', {
  timeout: (SECONDS + 60) * 1000,
}, async () => {
  const seed = process.env.SEED === undefined ? Date.now() & 0x7fff_ffff : Number(process.env.SEED);
  const shared = shareNodes(RACE_LAYOUT, { stripes: 4 });
  const nodes = openNodes<{ key: number }, { key: number; uses: number }>(RACE_LAYOUT, shared);
  expect(nodes.add({ key: 0, uses: 0 }, { key: 0 }).nodeid).toBe(KEPT);
  const words = new SharedArrayBuffer(16);
  const marks = new Int32Array(words);
  const workers = Array.from({ length: THREADS }, (_, i) => {
    const run: Race = { shared, words, seed: seed + i, keys: 24 };
    return startWorker(import.meta.url, './shared-racer', { workerData: { run } });
  });
  const heard = <T>(): Promise<T[]> =>
    Promise.all(
      workers.map(
        (worker) =>
          new Promise<T>((resolve, reject) => {
            worker.once('message', resolve);
            worker.once('error', reject);
          }),
      ),
    );
  await heard();
  const over = heard<Raced>();
  Atomics.store(marks, BEGIN, 1);
  Atomics.notify(marks, BEGIN);
  let checks = 0;
  const end = Date.now() + SECONDS * 1000;
  try {
    while (Date.now() < end) {
      nodes.check();
      checks++;
      await Promise.race([sleep(30), over]); // a thread that fails ends it
    }
  } finally {
    Atomics.store(marks, STOP, 1);
  }
  const results = await over;
  nodes.check();
  console.log(
    `${results.map(({ operations }) => operations)} operations, ${marks[ADDED]} nodes added, ${checks} checks; SEED=${seed} repeats it`,
  );
  expect(nodes.counted).toEqual([]);
  expect([...nodes.all()].map(({ nodeid }) => nodeid)).toEqual([KEPT]);
  expect(nodes.size).toBe(1);
  expect(marks[REMOVED]).toBe(marks[ADDED]); // each that was added has been removed, once
  expect(nodes.get(KEPT).value.uses).toBe(results.reduce((sum, { counted }) => sum + counted, 0));
  for (const { operations } of results) expect(operations).toBeGreaterThan(0);
});
