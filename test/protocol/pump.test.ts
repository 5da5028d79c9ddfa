/**
 * The order in which the pump reads and answers: a promise that is there at once is answered before the next request
 * is read, and one that is not keeps nobody waiting.
 */
import { expect, test } from 'vitest';
import type { TraceEvent } from '../../src/protocol/trace.ts';
import { attr, Gate } from './handlers.ts';
import { TestKernel } from './kernel.ts';

/** What the session did from now on, a letter an event: a request read, or its reply. */
function recorded(): { readonly order: string[]; readonly trace: (event: TraceEvent) => void } {
  const order: string[] = [];
  const trace = (event: TraceEvent) => {
    if ((event.kind === 'request' || event.kind === 'reply') && event.operation !== 'INIT')
      order.push(`${event.kind} ${event.operation}`);
  };
  return { order, trace };
}

test('async handlers that are done at once are answered before the next request is read', async () => {
  const { order, trace } = recorded();
  await using kernel = await TestKernel.start({ getattr: async () => ({ attr }) }, { trace });
  const uniques = Array.from({ length: 50 }, () => kernel.send('GETATTR'));
  for (const unique of uniques) expect((await kernel.reply(unique)).error).toBe(0);
  expect(order).toEqual(uniques.flatMap(() => ['request GETATTR', 'reply GETATTR']));
});

test('a handler that is not done holds up no other request, of its own turn of the loop or a later one', async () => {
  const { order, trace } = recorded();
  const gate = new Gate<{ attr: typeof attr }>();
  await using kernel = await TestKernel.start({ getattr: gate.wait, access: async () => {} }, { trace });
  for (let round = 0; round < 3; round++) {
    const waiting = kernel.send('GETATTR');
    const others = Array.from({ length: 5 }, () => kernel.send('ACCESS', { mask: 4 }));
    for (const unique of others) expect((await kernel.reply(unique)).error).toBe(0);
    expect(order.filter((event) => event === 'reply GETATTR').length).toBe(round);
    gate.release({ attr });
    expect((await kernel.reply(waiting)).error).toBe(0);
  }
});

test('more requests at once than a turn of the loop serves are all answered, whatever their handlers are', async () => {
  let n = 0;
  await using kernel = await TestKernel.start({
    getattr: () => {
      n++;
      if (n % 3 === 0) return { attr };
      return n % 3 === 1 ? Promise.resolve({ attr }) : new Promise((resolve) => setImmediate(resolve, { attr }));
    },
  });
  const uniques = Array.from({ length: 1000 }, () => kernel.send('GETATTR'));
  for (const unique of uniques) expect((await kernel.reply(unique)).error).toBe(0);
  expect(kernel.session.inflight).toEqual([]);
});
