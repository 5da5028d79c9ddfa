/** What the tests of the ring share. */
import { describe } from 'vitest';
import { Memory } from '../../src/abi/memory.ts';
import type { Sqe } from '../../src/uring/engine.ts';
import { probe } from '../../src/uring/setup.ts';

/** What this machine lacks for a ring; undefined if nothing. */
export const lacking = (() => {
  try {
    probe();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
})();

/** Tests that need a ring. Forbidden in many containers: skipped there, a failure in CI. */
export const uring = describe.skipIf(lacking !== undefined && process.env.CI !== 'true');

/** An operation that does not end by itself: a timeout of an hour. */
export function forever(): { sqe: Sqe; memory: Memory } {
  const memory = new Memory(16);
  new DataView(memory.buffer).setBigInt64(0, 3600n, true);
  return { sqe: { fd: -1, addr: memory.address, len: 1 }, memory };
}
