/**
 * One session from INIT to its end: that every request gets exactly one answer whatever its handler does,
 * that nothing is left of it, and what becomes of interrupts, resent requests, refused replies and time
 * limits. Where the transport matters it is the real one over a socketpair (kernel.ts); elsewhere a fake.
 */
import { closeSync, openSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  EACCES,
  EAGAIN,
  EEXIST,
  EINTR,
  EIO,
  ENOENT,
  ENOSYS,
  EPROTO,
  Errno,
  ESTALE,
  ETIMEDOUT,
} from '../../src/abi/errno.ts';
import { FUSE_UNIQUE_RESEND } from '../../src/abi/fuse-constants.ts';
import { F_GETFL, F_SETFL, O_NONBLOCK } from '../../src/abi/posix.ts';
import { close, fcntl, socketpair, watch, writeBytes } from '../../src/abi/syscall.ts';
import type { Connection } from '../../src/protocol/connection.ts';
import type { Filesystem } from '../../src/protocol/filesystem.ts';
import { NegotiationError } from '../../src/protocol/init.ts';
import type { OperationName } from '../../src/protocol/operations.ts';
import type { Request } from '../../src/protocol/request.ts';
import type { SessionOptions } from '../../src/protocol/session.ts';
import type { Slot } from '../../src/protocol/slot.ts';
import { FatalError } from '../../src/protocol/thrown.ts';
import { serve } from '../../src/serve.ts';
import { temporary, until } from '../support.ts';
import { attr, entry, Gate, lending, lock, raise, untilAborted } from './handlers.ts';
import { TestKernel, turns } from './kernel.ts';
import { type Connected, connect, encodeRequest, initRequest } from './support.ts';

const RESENT = FUSE_UNIQUE_RESEND;

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

describe('exactly one answer', () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  const trap = {
    get code(): string {
      throw new Error('a getter that throws');
    },
  };
  const nothing = undefined as never;
  /** What a handler may do: the error that is answered (0: none), and whether it is a bug to report. */
  // biome-ignore format: a table, an outcome a line
  const outcomes: [string, () => unknown, number, boolean][] = [
    ['returns', () => ({ attr }), 0, false],
    ['throws an Errno', () => raise(EACCES), EACCES.errno, false],
    ['throws a Node system error', () => raise(Object.assign(new Error('gone'), { code: 'ENOENT' })), ENOENT.errno, false],
    ['throws an Error', () => raise(new Error('bug')), EIO.errno, true],
    ['throws an Error with a code that is no errno', () => raise(Object.assign(new Error('x'), { code: 'ERR_X' })), EIO.errno, true],
    ['throws an AbortError although nobody has aborted', () => raise(new DOMException('x', 'AbortError')), EIO.errno, true],
    ['throws undefined', () => raise(undefined), EIO.errno, true],
    ['throws null', () => raise(null), EIO.errno, true],
    ['throws a string', () => raise('ENOENT'), EIO.errno, true],
    ['throws a number', () => raise(-2), EIO.errno, true],
    ['throws a revoked proxy', () => raise(proxy), EIO.errno, true],
    ['throws something whose code throws', () => raise(trap), EIO.errno, true],
    ['throws an Errno of number 0', () => raise(new Errno('EZERO', 0, '')), EIO.errno, true],
    ['throws an Errno that the kernel does not take', () => raise(new Errno('EBIG', 512, '')), EIO.errno, true],
    ['throws an Errno that is not whole', () => raise(new Errno('EHALF', 1.5, '')), EIO.errno, true],
    ['returns nothing where attributes are due', () => nothing, EIO.errno, true],
    ['returns a value that does not fit', () => ({ attr: { ...attr, size: -1 } }), EIO.errno, true],
  ];
  test.each(outcomes)('when a handler %s, at once or later', async (_, act, error, bug) => {
    let later = false;
    await using kernel = await TestKernel.start({
      getattr: () => (later ? Promise.resolve().then(() => act() as never) : (act() as never)),
    });
    for (const reported of [1, 2]) {
      const unique = kernel.send('GETATTR');
      expect((await kernel.reply(unique)).error).toBe(-error || 0);
      expect((await kernel.ask('STATFS')).error).toBe(0); // the session lives
      await turns();
      expect(kernel.answers(unique)).toBe(1);
      expect(kernel.session.inflight).toEqual([]);
      expect(kernel.errors.length).toBe(bug ? reported : 0);
      later = true;
    }
    expect(kernel.malformed).toEqual([]);
  });

  test('when the error hook throws too', async () => {
    const printed = vi.spyOn(console, 'error').mockImplementation(() => {});
    const onError = () => raise(new Error('a hook that throws'));
    await using kernel = await TestKernel.start(
      { getattr: () => raise(new Error('bug')), statfs: () => Promise.reject(new Error('bug')) },
      { onError },
    );
    expect((await kernel.ask('GETATTR')).error).toBe(-EIO.errno);
    expect((await kernel.ask('STATFS')).error).toBe(-EIO.errno);
    expect((await kernel.ask('OPEN')).error).toBe(0);
    expect(printed).toHaveBeenCalledTimes(2);
  });

  test('when bytes are due and a count is not whole, negative or too large', async () => {
    const counts = [1.5, Number.NaN, -1, 11, Number.POSITIVE_INFINITY];
    await using kernel = await TestKernel.start({ read: () => counts.shift()! });
    for (const count of [...counts])
      expect((await kernel.ask('READ', { size: 10 })).error, String(count)).toBe(-EIO.errno);
    expect(kernel.errors.length).toBe(5);
    expect(kernel.malformed).toEqual([]);
  });

  test('a handler that never settles stays visible, and its signal tells the end of the session', async () => {
    let request: Request | undefined;
    const kernel = await TestKernel.start({
      lookup: (asked) => {
        request = asked;
        void asked.signal;
        return new Promise<never>(() => {});
      },
    });
    const unique = kernel.send('LOOKUP', { name: 'a' }, { nodeid: 5, pid: 77 });
    await until(() => request !== undefined, 'the handler');
    expect((await kernel.ask('STATFS')).error).toBe(0);
    expect(kernel.session.inflight).toMatchObject([{ operation: 'LOOKUP', unique, nodeid: 5, pid: 77 }]);
    const { signal } = request!;
    expect(signal.aborted).toBe(false);
    kernel.hangUp();
    await kernel.session.closed;
    expect(signal.reason).toMatchObject({ code: 'ENOTCONN' });
    expect(kernel.session.inflight).toEqual([]);
    expect(kernel.answers(unique)).toBe(0);
  });

  test('a bug is reported once, with its stack and its operation', async () => {
    const bug = new Error('the bug');
    await using kernel = await TestKernel.start({ mkdir: () => Promise.reject(bug) });
    expect((await kernel.ask('MKDIR', { name: 'd' })).error).toBe(-EIO.errno);
    await turns();
    expect(kernel.errors).toEqual([{ error: bug, operation: 'MKDIR' }]);
    expect((kernel.errors[0]!.error as Error).stack).toContain('session.test.ts');
  });

  test.each([
    ['at once', (error: Error) => raise(error)],
    ['later', (error: Error) => Promise.reject(error)],
  ])('a FatalError ends the session with itself as the reason, thrown %s', async (_, act) => {
    const fatal = new FatalError('the books are torn');
    const destroy = vi.fn();
    await using kernel = await TestKernel.start({ destroy, getattr: () => act(fatal) as never });
    kernel.send('GETATTR');
    expect(await kernel.session.closed).toEqual({ reason: 'failed', error: fatal });
    expect(destroy).toHaveBeenCalledTimes(1);
    expect(kernel.errors).toEqual([]); // `closed` has told it
  });

  test('a bug is printed where there is no hook', async () => {
    const printed = vi.spyOn(console, 'error').mockImplementation(() => {});
    const bug = new Error('the bug');
    await using kernel = await TestKernel.start({ getattr: () => raise(bug) }, { onError: undefined });
    await kernel.ask('GETATTR');
    expect(printed).toHaveBeenCalledExactlyOnceWith(expect.stringContaining('GETATTR'), bug);
  });

  test('a node that no number names is ESTALE, and no handler is asked', async () => {
    const statfs = vi.fn(() => Promise.resolve({ bsize: 512, namelen: 255, blocks: 0 }));
    const forget = vi.fn();
    await using kernel = await TestKernel.start({ statfs, forget });
    for (const nodeid of [1n << 53n, 1n << 63n, (1n << 64n) - 1n]) {
      const message = encodeRequest('STATFS', {}, { unique: kernel.unique() });
      message.writeBigUInt64LE(nodeid, 16);
      expect((await kernel.asked(message)).error).toBe(-ESTALE.errno);
      const silent = encodeRequest('FORGET', { nlookup: 1 }, { unique: kernel.unique() });
      silent.writeBigUInt64LE(nodeid, 16);
      kernel.post(silent);
    }
    const largest = encodeRequest('STATFS', {}, { unique: kernel.unique() });
    largest.writeBigUInt64LE((1n << 53n) - 1n, 16);
    expect((await kernel.asked(largest)).error).toBe(0);
    expect(statfs).toHaveBeenCalledTimes(1);
    expect(forget).not.toHaveBeenCalled();
    expect(kernel.replies.length).toBe(1 + 3 + 1); // INIT's, and none for FORGET
  });
});

describe('FORGET', () => {
  test('a forget that throws or rejects does not keep the others from being forgotten', async () => {
    const seen: number[] = [];
    const bug = new Error('bug');
    await using kernel = await TestKernel.start({
      forget: (_, { nodeid }) => {
        seen.push(nodeid);
        if (nodeid === 1) throw bug;
        if (nodeid === 2) throw ESTALE;
        if (nodeid === 3) return Promise.reject(bug) as never;
        return undefined;
      },
    });
    const forgets = [1, 2, 3, 4, 5].map((nodeid) => ({ nodeid, nlookup: 1 }));
    kernel.send('BATCH_FORGET', { forgets });
    kernel.send('FORGET', { nlookup: 1 }, { nodeid: 6 });
    await kernel.ask('STATFS');
    await turns();
    expect(seen).toEqual([1, 2, 3, 4, 5, 6]);
    expect(kernel.errors).toEqual([
      { error: bug, operation: 'FORGET' },
      { error: bug, operation: 'FORGET' },
    ]);
    expect(kernel.replies.length).toBe(2);
  });
  test('after one that is the end of all, no other is asked for', async () => {
    const seen: number[] = [];
    const forget = (_: unknown, { nodeid }: { nodeid: number }) => {
      seen.push(nodeid);
      if (nodeid === 2) throw new FatalError('the books are torn');
    };
    const forgets = [1, 2, 3].map((nodeid) => ({ nodeid, nlookup: 1 }));
    await using kernel = await TestKernel.start({ forget });
    kernel.send('BATCH_FORGET', { forgets });
    expect(await kernel.session.closed).toMatchObject({ reason: 'failed' });
    expect(seen).toEqual([1, 2]);
    await using other = await TestKernel.start({ forget });
    other.session.forget(Float64Array.from([1, 1, 2, 1, 3, 1]));
    expect(seen).toEqual([1, 2, 1, 2]);
  });
});

describe('INTERRUPT', () => {
  test('during its request aborts the signal, and a blocked SETLKW ends with EINTR', async () => {
    await using kernel = await TestKernel.start({
      setlk: (request, { sleep }) => (sleep ? untilAborted(request) : raise(EAGAIN)),
    });
    const unique = kernel.send('SETLKW', { lk: lock });
    expect((await kernel.ask('SETLK', { lk: lock })).error).toBe(-EAGAIN.errno);
    expect(kernel.answers(unique)).toBe(0);
    kernel.send('INTERRUPT', { unique }, { unique: unique | 1n });
    expect((await kernel.reply(unique)).error).toBe(-EINTR.errno);
    expect(kernel.session.inflight).toEqual([]);
    expect(kernel.answers(unique | 1n)).toBe(0);
  });

  test('whose AbortError comes back as EINTR', async () => {
    await using kernel = await TestKernel.start({
      lookup: async ({ signal }) => {
        await sleep(60_000, undefined, { signal });
        return entry(2);
      },
    });
    const unique = kernel.send('LOOKUP', { name: 'a' });
    kernel.send('INTERRUPT', { unique });
    expect((await kernel.reply(unique)).error).toBe(-EINTR.errno);
    expect(kernel.errors).toEqual([]);
  });

  test('before its request is kept for it', async () => {
    await using kernel = await TestKernel.start({ setlk: untilAborted });
    const unique = kernel.unique();
    kernel.send('INTERRUPT', { unique });
    expect((await kernel.ask('SETLKW', { lk: lock }, { unique })).error).toBe(-EINTR.errno);
  });

  test('after its answer changes nothing', async () => {
    await using kernel = await TestKernel.start({ lookup: () => Promise.resolve(entry(2)) });
    const unique = kernel.send('LOOKUP', { name: 'a' });
    await kernel.reply(unique);
    kernel.send('INTERRUPT', { unique });
    expect((await kernel.ask('LOOKUP', { name: 'b' })).error).toBe(0);
    expect(kernel.answers(unique)).toBe(1);
  });

  test('of a thousand that come early a bounded number is kept, the latest, with one timer', () => {
    const timers = vi.spyOn(globalThis, 'setTimeout');
    const { deliver } = connect({ setlk: untilAborted });
    const aborted = ({ request }: Slot) => request.aborted !== undefined;
    for (let i = 0; i < 1000; i++)
      deliver(encodeRequest('INTERRUPT', { unique: 1000n + BigInt(i) * 2n }, { unique: 1n }));
    expect(timers.mock.calls.length).toBe(1);
    const kept = Array.from({ length: 1000 }, (_, i) =>
      aborted(deliver(encodeRequest('SETLKW', { lk: lock }, { unique: 1000n + BigInt(i) * 2n }))),
    );
    expect(kept.filter(Boolean).length).toBe(128);
    expect(kept.slice(-128).every(Boolean)).toBe(true);
  });

  test('whose request has not come for ten seconds is dropped, and one that is younger is not', () => {
    vi.useFakeTimers();
    const { deliver } = connect({ setlk: untilAborted });
    const interrupt = (unique: bigint) => deliver(encodeRequest('INTERRUPT', { unique }, { unique: 1n }));
    const aborted = (unique: bigint) => deliver(encodeRequest('SETLKW', { lk: lock }, { unique })).request.aborted;
    interrupt(100n);
    vi.advanceTimersByTime(6_000);
    interrupt(200n);
    vi.advanceTimersByTime(6_000);
    interrupt(300n);
    expect([aborted(100n), aborted(200n), aborted(300n)]).toEqual([undefined, EINTR, EINTR]);
    vi.advanceTimersByTime(60_000);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('makes an AbortController only where a handler asks for its signal', async () => {
    let made = 0;
    const Real = AbortController;
    vi.stubGlobal(
      'AbortController',
      class extends Real {
        constructor() {
          super();
          made++;
        }
      },
    );
    const gate = new Gate<{ nodeid: number; attr: typeof attr }>();
    const { deliver, session } = connect({ lookup: gate.wait, setlk: untilAborted, getattr: () => ({ attr }) });
    for (let i = 0; i < 10; i++) {
      deliver(encodeRequest('GETATTR', {}, { unique: 100n + BigInt(i) }));
      deliver(encodeRequest('LOOKUP', { name: 'a' }, { unique: 200n + BigInt(i) }));
      deliver(encodeRequest('INTERRUPT', { unique: 200n + BigInt(i) }));
    }
    expect(made).toBe(0);
    expect(session.inflight.length).toBe(10);
    deliver(encodeRequest('SETLKW', { lk: lock }, { unique: 300n }));
    expect(made).toBe(1);
  });
});

describe('a time limit', () => {
  test('answers ETIMEDOUT once, and takes back what the late result carried', async () => {
    const gate = new Gate<never>();
    const calls: unknown[] = [];
    let request: Request | undefined;
    await using kernel = await TestKernel.start(
      {
        lookup: (asked) => {
          request = asked;
          return gate.wait();
        },
        forget: (_, { nodeid, nlookup }) => void calls.push(['forget', nodeid, nlookup]),
      },
      { handlerTimeout: 0.02 },
    );
    const unique = kernel.send('LOOKUP', { name: 'a' });
    expect((await kernel.reply(unique)).error).toBe(-ETIMEDOUT.errno);
    expect(request!.signal.reason).toBe(ETIMEDOUT);
    expect(kernel.session.inflight).toEqual([]);
    expect(calls).toEqual([]);
    gate.release(entry(9) as never);
    await turns();
    expect(calls).toEqual([['forget', 9, 1]]);
    expect(kernel.answers(unique)).toBe(1);
    expect((await kernel.ask('STATFS')).error).toBe(0);
  });

  test('takes back the handle and the lookup of a late CREATE', async () => {
    const gate = new Gate<never>();
    const calls: unknown[] = [];
    await using kernel = await TestKernel.start(
      {
        create: gate.wait,
        release: ({ nodeid }, { fh }) => void calls.push(['release', nodeid, fh]),
        forget: (_, { nodeid }) => void calls.push(['forget', nodeid]),
      },
      { handlerTimeout: 0.02 },
    );
    expect((await kernel.ask('CREATE', { name: 'a' })).error).toBe(-ETIMEDOUT.errno);
    gate.release({ entry: entry(9), open: { fh: 4 } } as never);
    await turns();
    expect(calls).toEqual([
      ['release', 9, 4],
      ['forget', 9],
    ]);
  });

  test('leaves the memory of a late handler alone until it is done', async () => {
    const gate = new Gate<number>();
    const fast = new Gate<number>();
    let held: Buffer | undefined;
    await using kernel = await TestKernel.start(
      {
        read: (_, { fh }, reply) => {
          reply.fill(fh);
          if (fh !== 1) return fast.wait();
          held = reply;
          return gate.wait();
        },
      },
      { handlerTimeout: 0.5 }, // for the fast ones, too, on a busy machine
    );
    const late = kernel.send('READ', { fh: 1, size: 4096 });
    expect((await kernel.reply(late)).error).toBe(-ETIMEDOUT.errno);
    for (let i = 2; i < 50; i++) {
      const next = kernel.ask('READ', { fh: i, size: 4096 });
      await until(() => fast.waiting.length > 0, 'the handler');
      held!.fill(0xee); // the late handler goes on writing into its reply
      fast.release(4096);
      expect((await next).body.equals(Buffer.alloc(4096, i))).toBe(true);
    }
    expect(kernel.answers(late)).toBe(1);
  });

  test('ends the oldest first, each in its own time', async () => {
    vi.useFakeTimers();
    const { deliver, transport, session } = connect(
      { lookup: () => new Promise<never>(() => {}) },
      { handlerTimeout: 10 },
    );
    deliver(encodeRequest('LOOKUP', { name: 'a' }, { unique: 10n }));
    vi.advanceTimersByTime(4_000);
    deliver(encodeRequest('LOOKUP', { name: 'b' }, { unique: 12n }));
    deliver(encodeRequest('LOOKUP', { name: 'a' }, { unique: 10n | RESENT })); // joined: its limit is the first one's
    expect(session.inflight.map(({ unique }) => unique)).toEqual([10n | RESENT, 12n]);
    vi.advanceTimersByTime(6_001);
    expect(transport.sent.map(({ unique, error }) => [unique, error])).toEqual([[10n | RESENT, -ETIMEDOUT.errno]]);
    vi.advanceTimersByTime(4_000);
    expect(transport.sent.map(({ unique }) => unique)).toEqual([10n | RESENT, 12n]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('longer than a timer can be does not fire at once', async () => {
    const warned = vi.fn();
    process.once('warning', warned);
    await using kernel = await TestKernel.start(
      { lookup: () => new Promise<never>(() => {}) },
      { handlerTimeout: 1e9 },
    );
    const unique = kernel.send('LOOKUP', { name: 'a' });
    await until(() => kernel.session.inflight.length === 1, 'the request');
    await sleep(20);
    expect(kernel.answers(unique)).toBe(0);
    expect(warned).not.toHaveBeenCalled();
    process.off('warning', warned);
  });
});

/** A transport whose every reply the kernel refuses with ENOENT. */
function refusing({ session, transport }: Connected): () => void {
  const { answer } = transport;
  transport.answer = (slot, size) => session.refused(slot, size);
  return () => {
    transport.answer = answer;
  };
}

// biome-ignore format: a table, an operation a line
const LENT: [OperationName, Record<string, unknown>, unknown[]][] = [
  ['LOOKUP', { name: 'a' }, [['forget', 21, 1]]],
  ['MKDIR', { name: 'a' }, [['forget', 22, 1]]],
  ['MKNOD', { name: 'a' }, [['forget', 23, 1]]],
  ['SYMLINK', { name: 'a', target: 'b' }, [['forget', 24, 1]]],
  ['LINK', { newname: 'a', oldnodeid: 25 }, [['forget', 25, 1]]],
  ['CREATE', { name: 'a' }, [['release', 26, 36], ['forget', 26, 1]]],
  ['TMPFILE', { name: '' }, [['release', 27, 37], ['forget', 27, 1]]],
  ['OPEN', {}, [['release', 5, 38]]],
  ['OPENDIR', {}, [['releasedir', 5, 39]]],
  ['READDIRPLUS', { size: 4096 }, [['forget', 42, 1], ['forget', 43, 1], ['forget', 44, 1]]],
  ['STATFS', {}, []],
];

describe('a refused reply', () => {
  test.each(LENT)('to %s gives back what it carried', (operation, args, expected) => {
    const { calls, filesystem } = lending();
    const connected = connect(filesystem);
    refusing(connected);
    connected.deliver(encodeRequest(operation, args, { unique: 10n, nodeid: 5 }));
    expect(calls).toEqual(expected);
    expect(connected.errors).toEqual([]);
  });

  test('that was an error, or a negative entry, gives nothing back', () => {
    const { calls, filesystem } = lending({ lookup: () => entry(0), mkdir: () => raise(EEXIST) });
    const connected = connect(filesystem);
    refusing(connected);
    connected.deliver(encodeRequest('LOOKUP', { name: 'a' }));
    connected.deliver(encodeRequest('MKDIR', { name: 'a' }));
    expect(calls).toEqual([]);
  });

  test('is given back whole though a method throws or rejects; only a bug is reported', async () => {
    const bug = new Error('bug');
    let failure: () => unknown = () => raise(bug);
    const { calls, filesystem } = lending({ release: () => failure() as never });
    const connected = connect(filesystem);
    refusing(connected);
    for (const fails of [failure, () => raise(EIO), () => Promise.reject(bug), () => Promise.reject(EIO)]) {
      failure = fails;
      connected.deliver(encodeRequest('CREATE', { name: 'a' }));
    }
    await turns();
    expect(calls).toEqual(Array.from({ length: 4 }, () => ['forget', 26, 1]));
    expect(connected.errors).toEqual([bug, bug]);
  });

  /** A session in which requests may come again. That a fake transport can't send the notification does not matter. */
  async function resent(filesystem: Filesystem, options: SessionOptions = {}): Promise<Connected> {
    const connected = connect(filesystem, options);
    await expect(connected.session.notify.resend()).rejects.toThrow(/no descriptor/);
    return connected;
  }

  test.each(LENT)('to %s is kept after a RESEND and given to the request that comes again', async (operation, args) => {
    let called = 0;
    const { calls, filesystem } = lending();
    const counted = new Proxy(filesystem, {
      get: (target, name) => {
        if (name === operation.toLowerCase()) called++;
        return Reflect.get(target, name);
      },
    });
    const connected = await resent(counted);
    const accept = refusing(connected);
    const head = { unique: 10n, nodeid: 5 };
    connected.deliver(encodeRequest(operation, args, head));
    expect(calls).toEqual([]);
    accept();
    const before = called;
    connected.deliver(encodeRequest(operation, args, { ...head, unique: 10n | RESENT }));
    expect(called).toBe(before);
    connected.deliver(encodeRequest(operation, args, { ...head, unique: 12n })); // what a handler answers
    const [again, plain] = connected.transport.sent;
    expect(again).toEqual({ ...plain, unique: 10n | RESENT });
    connected.session.end({ reason: 'unmounted' });
    expect(calls).toEqual([]);
  });

  test('that was an error is kept too: the handler is not started again', async () => {
    const mkdir = vi.fn(() => raise(EEXIST));
    const connected = await resent({ mkdir });
    const accept = refusing(connected);
    connected.deliver(encodeRequest('MKDIR', { name: 'a' }, { unique: 10n }));
    accept();
    connected.deliver(encodeRequest('MKDIR', { name: 'a' }, { unique: 10n | RESENT }));
    expect(connected.transport.sent).toMatchObject([{ unique: 10n | RESENT, error: -EEXIST.errno }]);
    expect(mkdir).toHaveBeenCalledTimes(1);
  });

  test('is given to a request that comes a third time', async () => {
    const mkdir = vi.fn(() => entry(22));
    const connected = await resent({ mkdir });
    const accept = refusing(connected);
    connected.deliver(encodeRequest('MKDIR', { name: 'a' }, { unique: 10n }));
    connected.deliver(encodeRequest('MKDIR', { name: 'a' }, { unique: 10n | RESENT }));
    accept();
    connected.deliver(encodeRequest('MKDIR', { name: 'a' }, { unique: 10n | RESENT }));
    expect(connected.transport.sent).toMatchObject([{ unique: 10n | RESENT, error: 0 }]);
    expect(mkdir).toHaveBeenCalledTimes(1);
  });

  test('whose request does not come again in five seconds, or before the end, is given back', async () => {
    const { calls, filesystem } = lending();
    const connected = await resent(filesystem);
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    refusing(connected);
    connected.deliver(encodeRequest('LOOKUP', { name: 'a' }, { unique: 10n }));
    vi.advanceTimersByTime(4_999);
    expect(calls).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(calls).toEqual([['forget', 21, 1]]);
    connected.deliver(encodeRequest('LOOKUP', { name: 'a' }, { unique: 12n }));
    connected.session.end({ reason: 'unmounted' });
    expect(calls).toEqual([
      ['forget', 21, 1],
      ['forget', 21, 1],
    ]);
    vi.advanceTimersByTime(10_000);
    expect(calls.length).toBe(2);
  });
});

describe('a request that comes again', () => {
  test('while its handler runs joins it: one handler, one answer, to the new id', async () => {
    const gate = new Gate<never>();
    await using kernel = await TestKernel.start({ lookup: gate.wait });
    const unique = kernel.send('LOOKUP', { name: 'a' });
    await until(() => gate.waiting.length === 1, 'the handler');
    const again = kernel.send('LOOKUP', { name: 'a' }, { unique: unique | RESENT });
    const twice = kernel.send('LOOKUP', { name: 'a' }, { unique: again }); // a second RESEND
    await kernel.ask('STATFS');
    expect(kernel.session.inflight).toMatchObject([{ unique: twice, operation: 'LOOKUP' }]);
    expect(gate.waiting.length).toBe(1);
    gate.release(entry(2) as never);
    expect((await kernel.reply(again)).error).toBe(0);
    await turns();
    expect([kernel.answers(unique), kernel.answers(again)]).toEqual([0, 1]);
    expect(kernel.session.inflight).toEqual([]);
  });

  test.each([
    ['the old id', 0n],
    ['the new id', RESENT],
  ])('can be interrupted under %s, before and after it has come', (_, bit) => {
    for (const resent of [true, false]) {
      const { deliver } = connect({ setlk: untilAborted });
      const slot = deliver(encodeRequest('SETLKW', { lk: lock }, { unique: 10n }));
      if (resent) deliver(encodeRequest('SETLKW', { lk: lock }, { unique: 10n | RESENT }));
      deliver(encodeRequest('INTERRUPT', { unique: 10n | bit }));
      expect(slot.request.aborted).toBe(EINTR);
    }
  });

  test('whose first was answered already is served like any other', async () => {
    const lookup = vi.fn(() => entry(2));
    await using kernel = await TestKernel.start({ lookup });
    expect((await kernel.ask('LOOKUP', { name: 'a' }, { unique: 50n | RESENT })).error).toBe(0);
    expect(lookup).toHaveBeenCalledTimes(1);
  });

  test('with the id but not the operation of one in flight is not it', async () => {
    const gate = new Gate<never>();
    await using kernel = await TestKernel.start({ lookup: gate.wait });
    const unique = kernel.send('LOOKUP', { name: 'a' });
    await until(() => gate.waiting.length === 1, 'the handler');
    kernel.send('FORGET', { nlookup: 1 }, { unique: unique | RESENT });
    expect((await kernel.ask('STATFS', {}, { unique: unique | RESENT })).error).toBe(0);
    gate.release(entry(2) as never);
    expect((await kernel.reply(unique)).error).toBe(0);
  });
});

describe('the beginning', () => {
  test('a request before INIT gets EIO, one without a reply none', async () => {
    const lookup = vi.fn();
    await using kernel = new TestKernel({ lookup });
    kernel.send('FORGET', { nlookup: 1 });
    expect((await kernel.ask('LOOKUP', { name: 'a' })).error).toBe(-EIO.errno);
    expect(lookup).not.toHaveBeenCalled();
    expect(kernel.replies.length).toBe(1);
    expect(kernel.errors).toEqual([]);
    expect((await kernel.asked(initRequest({}, kernel.unique()))).error).toBe(0);
    await kernel.session.ready;
  });

  test('a second INIT gets EIO and changes nothing', async () => {
    const init = vi.fn();
    await using kernel = await TestKernel.start({ init });
    const { agreement } = kernel.session;
    expect((await kernel.asked(initRequest({ minor: 31 }, kernel.unique()))).error).toBe(-EIO.errno);
    expect(kernel.session.agreement).toBe(agreement);
    expect(init).toHaveBeenCalledTimes(1);
    expect((await kernel.ask('STATFS')).error).toBe(0);
  });

  test('an older kernel is refused, and `ready` says why', async () => {
    const [init, destroy] = [vi.fn(), vi.fn()];
    const kernel = new TestKernel({ init, destroy });
    expect((await kernel.asked(initRequest({ minor: 30 }, 2n))).error).toBe(-EPROTO.errno);
    await expect(kernel.session.ready).rejects.toThrow(/7\.30.*7\.31/);
    expect(await kernel.session.closed).toEqual({ reason: 'failed', error: expect.any(NegotiationError) });
    expect(init).not.toHaveBeenCalled();
    expect(destroy).not.toHaveBeenCalled();
    kernel.hangUp();
  });

  test('a later major version is told ours, and its second INIT is served', async () => {
    const init = vi.fn();
    await using kernel = new TestKernel({ init });
    const first = await kernel.asked(initRequest({ major: 8, minor: 0 }, kernel.unique()));
    expect([first.error, first.body.readUInt32LE(0), first.body.readUInt32LE(4)]).toEqual([0, 7, 45]);
    expect(init).not.toHaveBeenCalled();
    expect(kernel.session.agreement).toBeUndefined();
    expect((await kernel.asked(initRequest({}, kernel.unique()))).error).toBe(0);
    await kernel.session.ready;
    expect(init).toHaveBeenCalledTimes(1);
  });

  test('`ready` resolves after the reply has gone out', async () => {
    await using kernel = new TestKernel({});
    kernel.post(initRequest({}, 2n));
    await kernel.session.ready;
    await turns(1);
    expect(kernel.answers(2n)).toBe(1);
  });

  test('an unknown operation gets ENOSYS and is named once with its number', async () => {
    await using kernel = await TestKernel.start({});
    for (const opcode of [99, 99, 100]) {
      const message = encodeRequest('STATFS', {}, { unique: kernel.unique() });
      message.writeUInt32LE(opcode, 4);
      expect((await kernel.asked(message)).error).toBe(-ENOSYS.errno);
    }
    expect(kernel.warnings).toEqual([expect.stringMatching(/\b99\b/), expect.stringMatching(/\b100\b/)]);
  });
});

describe('the end', () => {
  const both = () => ({ init: vi.fn<(connection: Connection) => void>(), destroy: vi.fn() });

  test('by the peer: init and destroy were called once each', async () => {
    const filesystem = both();
    const kernel = await TestKernel.start(filesystem);
    expect(filesystem.init.mock.calls[0]![0]).toMatchObject({ minor: 45, notify: kernel.session.notify });
    expect(filesystem.destroy).not.toHaveBeenCalled();
    kernel.hangUp();
    expect(await kernel.session.closed).toEqual({ reason: 'unmounted' });
    kernel.session.end({ reason: 'aborted' });
    await turns();
    expect([filesystem.init, filesystem.destroy].map(({ mock }) => mock.calls.length)).toEqual([1, 1]);
  });

  test('by the peer, with replies that it never read, is an abort', async () => {
    const kernel = await TestKernel.start({});
    kernel.ignore();
    kernel.send('STATFS');
    await turns();
    kernel.hangUp();
    expect((await kernel.session.closed).reason).toBe('aborted');
  });

  test('from this side: the same, and the peer sees it', async () => {
    const filesystem = both();
    const kernel = await TestKernel.start(filesystem);
    kernel.session.end({ reason: 'aborted' });
    expect(await kernel.session.closed).toEqual({ reason: 'aborted' });
    expect([filesystem.init, filesystem.destroy].map(({ mock }) => mock.calls.length)).toEqual([1, 1]);
    kernel.hangUp();
  });

  test('DESTROY is answered, and destroy called once, at the end', async () => {
    const filesystem = both();
    const kernel = await TestKernel.start(filesystem);
    expect((await kernel.ask('DESTROY')).error).toBe(0);
    expect(filesystem.destroy).not.toHaveBeenCalled();
    kernel.hangUp();
    await kernel.session.closed;
    expect(filesystem.destroy).toHaveBeenCalledTimes(1);
  });

  test('before INIT: neither is called, and `ready` rejects', async () => {
    const filesystem = both();
    const kernel = new TestKernel(filesystem);
    kernel.hangUp();
    expect((await kernel.session.closed).reason).toBe('unmounted');
    await expect(kernel.session.ready).rejects.toThrow(/before INIT/);
    expect([filesystem.init, filesystem.destroy].map(({ mock }) => mock.calls.length)).toEqual([0, 0]);
  });

  test('by an init that throws: destroy is called, and `ready` rejects with the error', async () => {
    const bug = new Error('no disk');
    const destroy = vi.fn();
    const init = vi.fn(() => raise(bug));
    const kernel = new TestKernel({ init, destroy });
    kernel.post(initRequest({}, 2n));
    kernel.post(initRequest({}, 4n));
    expect((await kernel.reply(2n)).error).toBe(-EIO.errno);
    await expect(kernel.session.ready).rejects.toBe(bug);
    expect(await kernel.session.closed).toEqual({ reason: 'failed', error: bug });
    expect([init.mock.calls.length, destroy.mock.calls.length]).toEqual([1, 1]);
    expect(kernel.errors).toEqual([{ error: bug, operation: 'INIT' }]);
    kernel.hangUp();
  });

  test('by a destroy that throws: it is reported, and the session closed', async () => {
    const bug = new Error('bug');
    const kernel = await TestKernel.start({ destroy: () => Promise.reject(bug) });
    kernel.hangUp();
    await kernel.session.closed;
    expect(kernel.errors).toEqual([{ error: bug, operation: 'DESTROY' }]);
  });

  test('by a handler, which goes on: its answer is dropped and taken back', async () => {
    for (const later of [false, true]) {
      const { calls, filesystem } = lending({
        mkdir: () => {
          kernel.session.end({ reason: 'aborted' });
          return later ? Promise.resolve(entry(22)) : entry(22);
        },
      });
      const kernel = await TestKernel.start(filesystem);
      kernel.send('MKDIR', { name: 'a' });
      expect((await kernel.session.closed).reason).toBe('aborted');
      expect(calls).toEqual([['forget', 22, 1]]);
      expect(kernel.warnings).toEqual([]); // it was not even tried to write it
      expect(kernel.session.inflight).toEqual([]);
      kernel.hangUp();
    }
  });

  test('by a handler that then waits: its signal tells it at once', async () => {
    let aborted: unknown;
    const kernel = await TestKernel.start({
      setlk: (request) => {
        kernel.session.end({ reason: 'aborted' });
        return untilAborted(request).catch((reason) => {
          aborted = reason;
        });
      },
    });
    kernel.send('SETLKW', { lk: lock });
    await kernel.session.closed;
    expect(aborted).toMatchObject({ code: 'ENOTCONN' });
    expect(kernel.session.inflight).toEqual([]);
    kernel.hangUp();
  });

  test('aborts every handler that still runs, before destroy, and takes back what it comes to', async () => {
    const order: string[] = [];
    const gate = new Gate<never>();
    const { calls, filesystem } = lending({
      lookup: (request) => {
        request.signal.addEventListener('abort', () => order.push('aborted'));
        return gate.wait();
      },
      destroy: () => void order.push('destroyed'),
    });
    const kernel = await TestKernel.start(filesystem);
    for (let i = 0; i < 3; i++) kernel.send('LOOKUP', { name: 'a' });
    await until(() => gate.waiting.length === 3, 'the handlers');
    kernel.hangUp();
    await kernel.session.closed;
    expect(order).toEqual(['aborted', 'aborted', 'aborted', 'destroyed']);
    gate.release(entry(21) as never);
    await turns();
    expect(calls).toEqual([
      ['forget', 21, 1],
      ['forget', 21, 1],
      ['forget', 21, 1],
    ]);
  });

  test('comes though somebody else has closed the descriptor', async () => {
    const destroy = vi.fn();
    const kernel = await TestKernel.start({ destroy });
    close(kernel.served);
    kernel.session.end({ reason: 'aborted' });
    expect(await kernel.session.closed).toEqual({ reason: 'aborted' });
    expect(destroy).toHaveBeenCalledTimes(1);
    kernel.hangUp();
  });

  test('a late answer is not written to the file that has the descriptor now', async () => {
    const gate = new Gate<never>();
    const kernel = await TestKernel.start({ lookup: gate.wait }, { handlerTimeout: 60 });
    kernel.send('LOOKUP', { name: 'a' });
    await until(() => gate.waiting.length === 1, 'the handler');
    kernel.hangUp();
    await kernel.session.closed;
    const directory = temporary();
    const file = join(directory, 'innocent');
    const opened: number[] = [];
    do opened.push(openSync(file, 'a'));
    while (opened.at(-1)! < kernel.served);
    expect(opened).toContain(kernel.served);
    gate.release(entry(2) as never);
    await turns();
    await expect(kernel.session.notify.inc_epoch()).rejects.toMatchObject({ code: 'ENOTCONN' });
    expect(statSync(file).size).toBe(0);
    for (const fd of opened) closeSync(fd);
    rmSync(directory, { recursive: true });
  });

  test('does not come because nobody holds the session', async () => {
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as () => void;
    const [fd, served] = socketpair(1 << 20);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0) | O_NONBLOCK);
    serve({ statfs: () => ({ blocks: 0, bsize: 512, namelen: 255 }) }, served);
    for (let i = 0; i < 10; i++) {
      gc();
      await turns();
    }
    const answered = new Promise<void>((resolve) => {
      const readable = watch(fd, { readable: true }, () => {
        readable.close();
        resolve();
      });
    });
    writeBytes(fd, initRequest());
    await answered;
    close(fd);
  });
});
