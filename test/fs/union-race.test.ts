/**
 * Threads that race for the nodes and names of a union, without a mount (union-racer.ts): so many more calls a second meet than through a
 * mount. RACE is for how many seconds, SEED what the threads choose.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startWorker } from '../../src/abi/worker.ts';
import { shareUnion, type UnionShared } from '../../src/fs/union/shared.ts';
import { UnionTree } from '../../src/fs/union/tree.ts';
import { UnionFs } from '../../src/fs/union/union.ts';
import { check } from '../mount/union-shared/check.ts';
import { seed } from '../random/random.ts';
import { temporary } from '../support.ts';
import type { Race } from './union-racer.ts';

const SECONDS = Number(process.env.RACE ?? 3);
const THREADS = 3;

/** Has threads race, each of which runs this module; how much each has done. */
async function race(module: string, shared: UnionShared, seconds: number): Promise<unknown[]> {
  const mark = new Int32Array(new SharedArrayBuffer(4));
  const workers = Array.from({ length: THREADS }, (_, me) => {
    const workerData: Race = { shared, mark, me, seed: seed + me };
    return startWorker(import.meta.url, module, { workerData });
  });
  const heard = (): Promise<unknown[]> =>
    Promise.all(
      workers.map(
        (worker) =>
          new Promise<unknown>((resolve, reject) => {
            worker.once('message', (told: unknown) =>
              told instanceof Error ? reject(new Error(told.message)) : resolve(told),
            );
            worker.once('error', reject);
          }),
      ),
    );
  try {
    await heard();
    const over = heard();
    Atomics.store(mark, 0, 1);
    Atomics.notify(mark, 0);
    await Promise.race([sleep(seconds * 1000), over]); // a thread that fails ends it
    Atomics.store(mark, 0, 2);
    const done = await over;
    console.log(`${done} calls`);
    for (const calls of done) expect(calls).toBeGreaterThan(0);
    return done;
  } finally {
    Atomics.store(mark, 0, 2);
    Atomics.notify(mark, 0);
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

let dir: string;
beforeEach(() => {
  dir = temporary();
  for (const branch of 'ab') mkdirSync(join(dir, branch));
});
afterEach(() => rmSync(dir, { recursive: true }));
const share = () =>
  shareUnion({
    branches: `${join(dir, 'a')}:${join(dir, 'b')}`,
    options: { minfreespace: '0', 'func.create': 'rand' },
    seed,
  });

const timeout = (SECONDS + 60) * 1000;
test('threads race for names while their directories are renamed: each call is whole, and nothing is lost or left', {
  timeout,
}, async () => {
  // Directories are on one branch at first, and cloned to the other by what is made in them.
  for (const each of ['a/d/x', 'b/e/y']) mkdirSync(join(dir, each), { recursive: true });
  const shared = share();
  const tree = new UnionTree(shared);
  const keeper = new UnionFs(shared); // so that a thread that ends is not the last one
  keeper.init({ note: () => {}, warn: () => {} } as never);
  try {
    await race('./union-racer', shared, SECONDS);
    expect(tree.table.counted).toEqual([]);
    expect(tree.table.size, 'the root, and the control file').toBe(2);
    check(shared);
  } finally {
    keeper.destroy();
  }
});

test('threads race for the tree alone, where their short locks meet', { timeout }, async () => {
  const shared = share();
  await race('./union-tree-racer', shared, 1);
  expect(new UnionTree(shared).table.size, 'the root, and the control file').toBe(2);
  check(shared);
});
