/** Threads that can't be had: what was to be done says so, and the next operation tries again. */
import { Worker } from 'node:worker_threads';
import { expect, test, vi } from 'vitest';
import { ECANCELED, EIO } from '../../src/abi/errno.ts';
import { ThreadsEngine } from '../../src/uring/threads.ts';
import { one } from './engines.ts';

const failing = vi.hoisted(() => ({ yes: true }));
vi.mock('../../src/abi/worker.ts', async (original) => {
  const real = await original<typeof import('../../src/abi/worker.ts')>();
  return {
    startWorker: (...args: Parameters<typeof real.startWorker>) =>
      failing.yes ? new Worker('throw new Error("no thread")', { eval: true }) : real.startWorker(...args),
  };
});

test('operations of lost threads are EIO, or cancelled, and a warning says why', async () => {
  const warnings: string[] = [];
  const seen = ({ message }: Error) => void warnings.push(message);
  process.on('warning', seen);
  await using engine = new ThreadsEngine({ threads: 2 });
  const cancelled = new Promise<number>((resolve) => {
    engine.cancel(engine.submit('NOP', {}, resolve));
  });
  const results = Array.from({ length: 300 }, () => one(engine, 'NOP', {}));
  const chain = new Promise<number>((resolve) => {
    engine.submitLinked([
      { opcode: 'NOP', sqe: {}, done: () => {} },
      { opcode: 'NOP', sqe: {}, done: resolve },
    ]);
  });
  expect(new Set(await Promise.all(results))).toEqual(new Set([-EIO.errno]));
  expect([await cancelled, await chain]).toEqual([-ECANCELED.errno, -ECANCELED.errno]);
  expect(warnings).toContain('a thread for files has ended: no thread');
  expect([engine.inFlight, engine.threads]).toEqual([0, 0]);
  process.off('warning', seen);
  failing.yes = false;
  expect(await Promise.all(Array.from({ length: 300 }, () => one(engine, 'NOP', {})))).toEqual(Array(300).fill(0));
});
