/**
 * The order in which the pump reads and answers: a promise that is there at once is answered before the next request
 * is read, and one that is not keeps nobody waiting.
 */
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { TraceEvent } from '../../src/protocol/trace.ts';
import { attr, Gate } from './handlers.ts';
import { TestKernel, turns } from './kernel.ts';

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

describe('what nobody waits for, beside a ring', () => {
  afterEach(() => void vi.useRealTimers());

  /** A connection that gathers, what it was told to forget, and how to make it so. */
  async function gathering() {
    const forgotten: number[] = [];
    const kernel = await TestKernel.start({ forget: ({ nodeid }) => void forgotten.push(nodeid) });
    await turns();
    kernel.device.gathering();
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const forget = async (...nodeids: number[]) => {
      for (const nodeid of nodeids) kernel.send('FORGET', { nlookup: 1 }, { nodeid });
      await turns();
    };
    const end = async () => {
      kernel.hangUp();
      vi.runAllTimers();
      return kernel.session.closed;
    };
    return { kernel, forgotten, forget, end, [Symbol.asyncDispose]: async () => void (await end()) };
  }

  test('the first is read at once, others gather meanwhile, and after a while without any the next is read at once', async () => {
    await using g = await gathering();
    await g.forget(2);
    expect(g.forgotten).toEqual([2]);
    await g.forget(3, 4, 5);
    expect(g.forgotten).toEqual([2]);
    vi.advanceTimersByTime(5);
    expect(g.forgotten).toEqual([2, 3, 4, 5]);
    await g.forget(6);
    vi.advanceTimersByTime(4);
    expect(g.forgotten.length).toBe(4);
    vi.advanceTimersByTime(1);
    expect(g.forgotten.at(-1)).toBe(6);
    vi.advanceTimersByTime(5);
    await g.forget(7);
    expect(g.forgotten.at(-1)).toBe(7);
  });

  test('more than a turn of the loop reads are no later for it', async () => {
    await using g = await gathering();
    await g.forget(...Array.from({ length: 300 }, (_, i) => i + 2));
    expect(g.forgotten.length).toBe(128);
    const before = performance.now();
    vi.advanceTimersToNextTimer();
    expect(g.forgotten.length).toBe(256);
    vi.advanceTimersToNextTimer();
    expect(g.forgotten.length).toBe(300);
    expect(performance.now() - before).toBeLessThan(5);
  });

  test('the end is seen while others gather, and what is ended waits for none', async () => {
    const g = await gathering();
    await g.forget(2);
    expect(await g.end()).toMatchObject({ reason: 'unmounted' });
    vi.useRealTimers();
    const h = await gathering();
    await h.forget(2);
    expect(vi.getTimerCount()).toBe(1);
    h.kernel.session.end({ reason: 'aborted' });
    expect(vi.getTimerCount()).toBe(0);
    await h.end();
  });
});
