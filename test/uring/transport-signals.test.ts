/** Signals that come without an INTERRUPT: found in /proc, for those that wait, and for nobody else. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { EINTR } from '../../src/abi/errno.ts';
import { LostSignals } from '../../src/uring/transport-signals.ts';
import { start, until } from '../support.ts';

const waiting = (pid: number) => ({
  pid,
  aborted: undefined as Error | undefined,
  abort(reason: Error) {
    this.aborted ??= reason;
  },
});

test('a signal that is pending aborts what its thread waits for, as INTERRUPT would', async () => {
  // A stopped process takes no signal: it stays pending, as for one that waits in the kernel.
  const [signalled, other] = [start('sleep', ['60']), start('sleep', ['60'])];
  try {
    signalled.kill('SIGSTOP');
    await until(() => /^State:\s+T/mu.test(readFileSync(`/proc/${signalled.pid}/status`, 'latin1')), 'it to stop');
    const lost = new LostSignals();
    const [one, two, over, foreign] = [signalled.pid!, other.pid!, signalled.pid!, 0x7fff_ffff].map(waiting);
    for (const each of [one!, two!, over!, foreign!]) lost.add(each);
    signalled.kill('SIGTERM');
    lost.delete(over!);
    await until(() => one!.aborted !== undefined, 'the abort');
    expect([one, two, over, foreign].map((each) => each!.aborted)).toEqual([EINTR, undefined, undefined, undefined]);
    for (const each of [one!, two!, foreign!]) lost.delete(each);
  } finally {
    for (const child of [signalled, other]) child.kill('SIGKILL');
  }
});
