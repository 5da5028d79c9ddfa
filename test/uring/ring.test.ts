/** The ring: that each completion reaches its owner and nobody else, whatever is full, late, cancelled or wrapped. */
import { once } from 'node:events';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { EAGAIN, EBUSY, ECANCELED, EINVAL, ENOSYS, EPERM, SystemError } from '../../src/abi/errno.ts';
import { Memory } from '../../src/abi/memory.ts';
import { close, eventfd, ioUringEnter } from '../../src/abi/syscall.ts';
import {
  IORING_CQE_F_32,
  IORING_CQE_F_MORE,
  IORING_NOP_CQE32,
  IORING_NOP_INJECT_RESULT,
  IORING_OP,
  IORING_POLL_ADD_MULTI,
  IORING_SETUP_SQ_AFF,
  IORING_SETUP_SQPOLL,
  IORING_SQ_TASKRUN,
} from '../../src/abi/uring-constants.ts';
import type { Sqe } from '../../src/uring/engine.ts';
import { Queues, type RingSystem } from '../../src/uring/queues.ts';
import { Ring } from '../../src/uring/ring.ts';
import { probe, setUp, TIERS, UringError } from '../../src/uring/setup.ts';
import { signal, Wake, type WakeHandle } from '../../src/uring/wake.ts';
import { compiled } from '../compiled.ts';
import { run, until } from '../support.ts';
import { forever, uring } from './support.ts';

/** One operation as a promise of its result. */
const one = (ring: Ring, ...[opcode, sqe]: [Parameters<Ring['submit']>[0], Sqe]): Promise<number> =>
  new Promise((resolve) => ring.submit(opcode, sqe, resolve));
const nops = (ring: Ring, count: number): Promise<number[]> =>
  Promise.all(Array.from({ length: count }, () => one(ring, 'NOP', {})));

uring('operations', () => {
  test('complete, each to its owner: reads at many places of a file', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'rawfuse-ring-'));
    const path = join(dir, 'file');
    writeFileSync(path, Buffer.from(Uint32Array.from({ length: 4096 }, (_, i) => i).buffer));
    const fd = openSync(path, 'r');
    const memory = new Memory(4096 * 4);
    const words = new Uint32Array(memory.buffer);
    await using ring = new Ring({ entries: 16 });
    const results = await Promise.all(
      Array.from({ length: 1000 }, (_, i) =>
        one(ring, 'READ', { fd, off: ((i * 37) % 4096) * 4, addr: memory.address + i * 4, len: 4 }),
      ),
    );
    expect(results.every((res) => res === 4)).toBe(true);
    for (let i = 0; i < 1000; i++) expect(words[i]).toBe((i * 37) % 4096);
    closeSync(fd);
    rmSync(dir, { recursive: true });
  });

  test('that fail say why', async () => {
    await using ring = new Ring({ entries: 4 });
    expect(await one(ring, 'READ', { fd: -1, len: 1 })).toBe(-9); // EBADF
    expect(await one(ring, 200, {})).toBe(-EINVAL.errno);
  });

  /** Counts the calls that submit something. */
  function counted() {
    const calls = { count: 0 };
    const system: RingSystem = {
      setUp,
      enter(...args) {
        if (args[1] > 0) calls.count++;
        return ioUringEnter(...args);
      },
    };
    return { calls, ring: new Ring({ entries: 64 }, system) };
  }

  test('never complete before submit returns, and all of a turn go with one system call', async () => {
    const { calls, ring } = counted();
    await using _ = ring;
    await nops(ring, 1); // completes at once: so the next need not go early
    calls.count = 0;
    let done = 0;
    for (let i = 0; i < 50; i++) ring.submit('NOP', {}, () => done++);
    expect([done, ring.inFlight, calls.count]).toEqual([0, 50, 0]);
    await until(() => done === 50, 'completions');
    expect(calls.count).toBe(1);
  });

  test('that take their time go to the kernel early, the fewer it has the sooner', async () => {
    const { calls, ring } = counted();
    await using _ = ring;
    const { sqe, memory } = forever();
    const told: number[] = [];
    for (let i = 1; i <= 32; i++) {
      const before = calls.count;
      ring.submit('TIMEOUT', sqe, () => {});
      if (calls.count > before) told.push(i);
    }
    expect(told).toEqual([1, 2, 4, 7, 11, 17, 26]);
    await ring.close();
    memory.free();
  });

  test('a chain goes early as one operation does, and as a whole', async () => {
    const { calls, ring } = counted();
    await using _ = ring;
    const { sqe, memory } = forever();
    const results: number[] = [];
    const done = (res: number) => void results.push(res);
    const [timeout] = ring.submitLinked([
      { opcode: 'TIMEOUT', sqe, done },
      { opcode: 'NOP', sqe: {}, done },
    ]);
    expect([calls.count, ring.queues.ready]).toEqual([1, 0]);
    ring.cancel(timeout!);
    await until(() => results.length === 2, 'the chain');
    expect(results).toEqual([-ECANCELED.errno, -ECANCELED.errno]);
    memory.free();
  });

  test('that a completion submits go on from there', async () => {
    await using ring = new Ring({ entries: 2 });
    let left = 5000;
    await new Promise<void>((resolve) => {
      const next = () => (left-- > 0 ? void ring.submit('NOP', {}, next) : resolve());
      next();
    });
    expect(ring.inFlight).toBe(0);
  });

  test('linked ones run in order, and what comes after a failure is cancelled', async () => {
    await using ring = new Ring({ entries: 8 });
    const seen: [number, number][] = [];
    const chain = [{}, { fd: -1, len: 1 }, {}].map((sqe, i) => ({
      opcode: i === 1 ? ('READ' as const) : ('NOP' as const),
      sqe,
      done: (res: number) => void seen.push([i, res]),
    }));
    ring.submitLinked(chain);
    await until(() => seen.length === 3, 'the chain');
    expect(seen.sort()).toEqual([
      [0, 0],
      [1, -9],
      [2, -ECANCELED.errno],
    ]);
    expect(() => ring.submitLinked(Array.from({ length: 9 }, () => chain[0]!))).toThrow(RangeError);
  });

  test('linked ones are never torn apart by a queue that is nearly full', async () => {
    await using ring = new Ring({ entries: 4 });
    const failed: number[] = [];
    let done = 0;
    for (let i = 0; i < 100; i++) {
      for (let j = 0; j < i % 4; j++) ring.submit('NOP', {}, () => done++);
      // The first fails: were the second not linked to it, it would succeed.
      ring.submitLinked([
        { opcode: 'READ', sqe: { fd: -1, len: 1 }, done: () => done++ },
        { opcode: 'NOP', sqe: {}, done: (res) => failed.push(res) },
      ]);
    }
    await until(() => failed.length === 100 && ring.inFlight === 0, 'all chains');
    expect(new Set(failed)).toEqual(new Set([-ECANCELED.errno]));
    expect(done).toBe(100 + 150);
  });

  test('a watched descriptor is told of while it is readable, until nobody watches or the ring is closed', async () => {
    const watched = eventfd();
    const ring = new Ring();
    let told = 0;
    const stop = ring.watch(watched, () => {
      if (++told === 3) readSync(watched, Buffer.alloc(8));
    });
    await nops(ring, 1);
    expect(told).toBe(0);
    signal(watched);
    await until(() => told === 3, 'to be told while it is readable');
    for (let i = 0; i < 10; i++) await nops(ring, 1);
    expect(told).toBe(3);
    stop();
    signal(watched);
    for (let i = 0; i < 10; i++) await nops(ring, 1);
    expect([told, ring.inFlight]).toEqual([3, 0]);
    readSync(watched, Buffer.alloc(8));
    ring.watch(watched, () => told++);
    await ring.close();
    signal(watched);
    expect([told, ring.inFlight]).toEqual([3, 0]);
    close(watched);
  });

  test('multishot ones keep their owner until the last completion', async () => {
    const { ends, close } = await pipe();
    await using ring = new Ring();
    const seen: number[] = [];
    const POLLIN = 1;
    const ticket = ring.submit(
      'POLL_ADD',
      { fd: ends.read, op_flags: POLLIN, len: IORING_POLL_ADD_MULTI },
      (res, flags) => seen.push(flags & IORING_CQE_F_MORE ? res : -1),
    );
    for (let i = 1; i <= 3; i++) {
      writeSync(ends.write, 'x');
      await until(() => seen.length === i, `event ${i}`);
      readSync(ends.read, Buffer.alloc(1)); // a pipe tells of what comes when it was empty
    }
    expect([seen, ring.inFlight]).toEqual([[POLLIN, POLLIN, POLLIN], 1]);
    ring.cancel(ticket);
    await until(() => ring.inFlight === 0, 'the end');
    expect(seen.at(-1)).toBe(-1);
    close();
  });
});

uring('queues that are full', () => {
  test('a submission queue of one entry carries 1,000 operations, in order', async () => {
    await using ring = new Ring({ entries: 1 });
    const order: number[] = [];
    for (let i = 0; i < 1000; i++) ring.submit('NOP', {}, () => order.push(i));
    await until(() => order.length === 1000, 'completions');
    expect(order).toEqual(Array.from({ length: 1000 }, (_, i) => i));
  });

  test('completions beyond their queue wait in the kernel, and none is lost', async () => {
    await using ring = new Ring({ entries: 64, completions: 64 });
    const pending = Array.from({ length: 200 }, () => forever());
    const tickets: ReturnType<Ring['submit']>[] = [];
    const ended: number[] = [];
    for (const { sqe } of pending) tickets.push(ring.submit('TIMEOUT', sqe, (res) => ended.push(res)));
    await nops(ring, 1);
    for (const ticket of tickets) ring.cancel(ticket); // 200 completions and 200 of the cancellations, in one turn
    await until(() => ended.length === 200, 'the cancelled');
    expect(new Set(ended)).toEqual(new Set([-ECANCELED.errno]));
    for (const { memory } of pending) memory.free();
  });

  test.each([EBUSY, EAGAIN])('$code from the kernel is tried again', async ({ errno }) => {
    let refuse = 5;
    const system: RingSystem = {
      setUp,
      enter: (fd, submit, complete, flags) =>
        submit > 0 && refuse-- > 0 ? -errno : ioUringEnter(fd, submit, complete, flags),
    };
    await using ring = new Ring({ entries: 4 }, system);
    expect(await nops(ring, 20)).toEqual(Array(20).fill(0));
    expect(refuse).toBeLessThan(0);
  });
});

uring('a kernel that says it holds something back', () => {
  test('and does not is asked once, not for ever', async () => {
    // IORING_SQ_TASKRUN is set after the work is added, by whom it is not: it may have been done by then.
    let memory!: ReturnType<typeof setUp>;
    let asked = 0;
    const played: RingSystem = {
      setUp(options) {
        memory = setUp(options);
        return memory;
      },
      enter(...args) {
        const n = ioUringEnter(...args);
        if (args[1] === 0 && ++asked > 1000) throw new Error('asked for ever');
        memory.words[memory.params.sq_off.flags >> 2]! |= IORING_SQ_TASKRUN;
        return n;
      },
    };
    const ring = new Ring({ entries: 4 }, played);
    expect(await nops(ring, 20)).toEqual(Array(20).fill(0));
    await ring.close();
    expect(asked).toBeGreaterThan(0);
    expect(asked).toBeLessThan(100);
  });
});

uring('a slot that is used again', () => {
  test('gets no completion of the operation before', async () => {
    await using ring = new Ring();
    const { sqe, memory } = forever();
    const ended: number[] = [];
    const ticket = ring.submit('TIMEOUT', sqe, (res) => ended.push(res));
    await nops(ring, 1);
    ring.cancel(ticket);
    await until(() => ended.length === 1, 'the end');
    const again: number[] = [];
    const next = ring.submit('TIMEOUT', sqe, (res) => again.push(res));
    expect([next.slot, next.generation]).toEqual([ticket.slot, ticket.generation + 1]);
    ring.cancel(ticket); // an old ticket is nobody's
    await nops(ring, 10);
    expect(again).toEqual([]);
    ring.cancel(next);
    await until(() => again.length === 1, 'the end');
    memory.free();
  });

  test('whose owner has gone gives its completion to the heir', async () => {
    await using ring = new Ring();
    const { sqe, memory } = forever();
    const seen: string[] = [];
    const ticket = ring.submit('TIMEOUT', sqe, () => seen.push('owner'));
    ring.disown(ticket, () => seen.push('heir'));
    ring.cancel(ticket);
    await until(() => seen.length === 1, 'the end');
    expect(seen).toEqual(['heir']);
    memory.free();
  });
});

uring('indexes', () => {
  test('wrap at 2^32', async () => {
    // A kernel begins at 0, so this one is played: both queues begin ten before the end.
    const NEAR = -10;
    let memory!: ReturnType<typeof setUp>;
    const played: RingSystem = {
      setUp(options) {
        memory = setUp(options);
        const { sq_off, cq_off } = memory.params;
        for (const at of [sq_off.head, sq_off.tail, cq_off.head, cq_off.tail]) memory.words[at >> 2] = NEAR;
        return memory;
      },
      enter(_fd, submit) {
        const { words, params } = memory;
        const { sq_off, cq_off } = params;
        const sqes = new Int32Array(memory.sqes);
        const mask = words[sq_off.ring_mask >> 2]!;
        for (let i = 0; i < submit; i++) {
          const at = (words[sq_off.head >> 2]! & mask) * 16;
          const to = (cq_off.cqes >> 2) + (words[cq_off.tail >> 2]! & words[cq_off.ring_mask >> 2]!) * 4;
          words.set([sqes[at + 8]!, sqes[at + 9]!, sqes[at + 6]!, 0], to); // answers with `len`
          words[sq_off.head >> 2]! = (words[sq_off.head >> 2]! + 1) | 0;
          words[cq_off.tail >> 2]! = (words[cq_off.tail >> 2]! + 1) | 0;
        }
        return submit;
      },
    };
    const ring = new Ring({ entries: 4 }, played);
    for (let round = 0; round < 10; round++) {
      const results = await Promise.all([1, 2, 3].map((len) => one(ring, 'NOP', { len })));
      expect(results).toEqual([1, 2, 3]);
    }
    expect(memory.words[memory.params.cq_off.head >> 2]).toBe(NEAR + 30);
    await ring.close();
  });
});

uring('entries of two sizes', () => {
  test('completions: a large one has its second half, and is not torn at the end of the queue', async () => {
    await using ring = new Ring({ entries: 4, completions: 8, cqe32: 'mixed' });
    const seen: [number, number[]][] = [];
    for (let i = 0; i < 100; i++)
      await new Promise<void>((resolve) => {
        const large = i % 3 !== 0;
        const op_flags = IORING_NOP_INJECT_RESULT | (large ? IORING_NOP_CQE32 : 0);
        ring.submit('NOP', { op_flags, len: i, off: 2 ** 40 + i, addr: 7 }, (res, flags) => {
          expect((flags & IORING_CQE_F_32) !== 0).toBe(large);
          seen.push([res, large ? [...ring.queues.extra] : []]);
          resolve();
        });
      });
    expect(seen).toEqual(
      Array.from({ length: 100 }, (_, i) => [i, i % 3 === 0 ? [] : [i, 256, 7, 0]]), // extra1 and extra2: off, addr
    );
  });

  test('submissions, on bytes: a large one takes two places, a NOP without a completion the last before them', () => {
    const sqes: number[][] = [];
    const played: RingSystem = {
      setUp: () => setUp({ entries: 4 }),
      enter: (_, submit) => submit, // takes nothing: the head stays, and the places can be read
    };
    const queues = new Queues({ sqe128: 'mixed' }, played);
    const words = queues.memory.words;
    const { head } = queues.memory.params.sq_off;
    const show = () => {
      for (let i = 0; i < queues.ready; i++) sqes.push([...queues.sqes.subarray(i * 16, i * 16 + 16)].slice(0, 10));
    };
    for (let i = 0; i < 3; i++) queues.put(IORING_OP.NOP, {}, 1, 1);
    words[head >> 2] = 3; // they are taken
    queues.ready = 0;
    expect([queues.space, queues.needs(IORING_OP.NOP), queues.needs(IORING_OP.URING_CMD128)]).toEqual([4, 1, 3]);
    queues.put(IORING_OP.URING_CMD128, { fd: 5, off: 6 }, 7, 8);
    expect([queues.ready, queues.space]).toEqual([3, 1]);
    show();
    const SKIP = 64 << 8;
    const filler = [...queues.sqes.subarray(48, 64)].slice(0, 10);
    expect(filler).toEqual([SKIP, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect(sqes[0]).toEqual([IORING_OP.URING_CMD128, 5, 6, 0, 0, 0, 0, 0, 7, 8]);
    expect(sqes[1]).toEqual(Array(10).fill(0));
    queues.memory.free();
  });
});

uring('a kernel thread that polls', () => {
  test('takes operations without a call, and is woken when it sleeps', async () => {
    await using ring = new Ring({ entries: 4, sqpoll: { idle: 1 } });
    expect(ring.tier).toBe('sqpoll');
    for (let round = 0; round < 5; round++) {
      expect(await nops(ring, 100)).toEqual(Array(100).fill(0));
      await new Promise((resolve) => setTimeout(resolve, 20)); // it sleeps by now
    }
    expect(ring.inFlight).toBe(0);
  });

  test('that can’t be had is done without', () => {
    const flags: number[] = [];
    const memory = setUp({ entries: 4, sqpoll: { cpu: 0 } }, (entries, params, call) => {
      flags.push(call.flags);
      if (call.flags & IORING_SETUP_SQPOLL) throw new SystemError(EPERM.errno, 'io_uring_setup');
      return call.make(entries, params);
    });
    expect(flags[0]! & IORING_SETUP_SQ_AFF).not.toBe(0);
    expect(memory.tier).toBe('cooperative');
    memory.free();
    expect(() => new Ring({ sqpoll: { idle: 0 } })).toThrow(RangeError);
  });
});

uring('a thread that waits', () => {
  /** Wakes a while later, from another thread. */
  const later = (how: 'wake' | 'end', { fd, over }: WakeHandle) =>
    new Worker(
      `const { workerData: { fd, over, how } } = require('node:worker_threads');
       setTimeout(() => { if (how === 'end') Atomics.store(over, 0, 1); require('node:fs').writeSync(fd, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0])); }, 50);`,
      { eval: true, workerData: { fd, over, how } },
    );

  test('gets completions, wake-ups and the end, and leaves nothing in flight', async () => {
    const wake = new Wake();
    const ring = new Ring({ entries: 2, blocking: wake.handle });
    expect(ring.tier).toBe('defer');
    const order: number[] = [];
    for (let i = 0; i < 20; i++) ring.submit('NOP', {}, () => order.push(i));
    while (ring.inFlight > 0) expect(ring.wait()).toBe(true);
    expect(order).toEqual(Array.from({ length: 20 }, (_, i) => i));

    const { sqe, memory } = forever();
    const ended: number[] = [];
    ring.submit('TIMEOUT', sqe, (res) => ended.push(res));
    const waker = later('wake', wake.handle);
    expect(ring.wait()).toBe(true); // nothing has completed: it was woken
    const ender = later('end', wake.handle);
    while (ring.wait());
    expect(ring.wait(), 'it never waits again').toBe(false);
    expect(ended).toEqual([]);
    await ring.close();
    expect(ended).toEqual([-ECANCELED.errno]);
    await Promise.all([once(waker, 'exit'), once(ender, 'exit')]);
    memory.free();
    wake.close();
  });

  test('on its event loop it is woken each time', async () => {
    const wake = new Wake();
    const ring = new Ring({ entries: 2, blocking: wake.handle });
    ring.attend(true);
    for (let i = 0; i < 5; i++) {
      await new Promise((resolve) => setTimeout(resolve, 20)); // nothing else goes on in the ring
      signal(wake.handle.fd);
      await until(() => ring.woken, `wake-up ${i}`, 2000);
      ring.woken = false;
    }
    await ring.close();
    wake.close();
  });
});

uring('the end', () => {
  test('comes with operations in flight: they are cancelled, and their completions arrive first', async () => {
    const ring = new Ring();
    const { sqe, memory } = forever();
    const ended: number[] = [];
    for (let i = 0; i < 10; i++) ring.submit('TIMEOUT', sqe, (res) => ended.push(res));
    await ring.close();
    expect(ended).toEqual(Array(10).fill(-ECANCELED.errno));
    expect(() => ring.submit('NOP', {}, () => {})).toThrow(ECANCELED);
    await ring.close(); // again
    memory.free();
  });

  test('of 1,000 rings leaves no descriptor and no map', async () => {
    const rings = () => readdirSync('/proc/self/fd').length;
    const maps = () => readFileSync('/proc/self/maps', 'utf8').split('io_uring').length;
    await new Ring().close();
    const before = [rings(), maps()];
    for (let i = 0; i < 1000; i++) {
      const ring = new Ring({ entries: 8 });
      if (i % 10 === 0) await nops(ring, 3);
      await ring.close();
    }
    expect([rings(), maps()]).toEqual(before);
  });

  test('a ring with nothing in flight keeps no process alive, one with something does', async () => {
    const script = (body: string) =>
      `import('${compiled('src/uring/ring.ts')}').then(({ Ring }) => { const ring = new Ring(); ${body} });`;
    await run(process.execPath, ['-e', script('')], { timeout: 10_000 });
    const said = await run(
      process.execPath,
      ['-e', script("ring.submit('NOP', {}, () => console.log('completed'));")],
      { timeout: 10_000 },
    );
    expect(said).toBe('completed\n');
  });
});

uring('setting up', () => {
  test('finds what the kernel has, once', () => {
    const { opcodes, tier, last, sqpoll } = probe();
    expect(sqpoll).toBe(true);
    expect(opcodes.has('READ')).toBe(true);
    expect(opcodes.has('URING_CMD')).toBe(true);
    expect(last).toBeGreaterThan(40);
    expect(TIERS.map(({ name }) => name)).toContain(tier);
    expect(probe()).toBe(probe());
    const ring = setUp({ entries: 1 });
    expect(ring.tier, 'nobody would be woken').not.toBe('defer');
    ring.free();
  });

  test('takes both sizes of entries', async () => {
    await using ring = new Ring({ sqe128: true, cqe32: true, entries: 4 });
    expect(await nops(ring, 30)).toEqual(Array(30).fill(0));
  });

  test.each([{ entries: 0 }, { entries: 40_000 }, { entries: 1.5 }, { completions: 70_000 }])('refuses %j', (options) =>
    expect(() => new Ring(options)).toThrow(RangeError),
  );

  test.each([
    [EPERM, /^(forbidden|disabled)$/],
    [ENOSYS, /^absent$/],
  ])('says why there is none: %s', ({ errno }, reason) => {
    const none: RingSystem = {
      setUp: (options) =>
        setUp(options, () => {
          throw new SystemError(errno, 'io_uring_setup');
        }),
      enter: ioUringEnter,
    };
    try {
      new Ring({}, none);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(UringError);
      expect((error as UringError).reason).toMatch(reason);
      expect((error as UringError).message).not.toContain('\n');
    }
  });

  test('falls back from one tier to the next where the kernel does not know its flags', () => {
    const flags: number[] = [];
    const older = setUp(
      { entries: 4 },
      (entries, params, call) => {
        flags.push(call.flags);
        if (flags.length < TIERS.length) throw new SystemError(EINVAL.errno, 'io_uring_setup');
        return call.make(entries, params);
      },
      [...TIERS],
    );
    expect(older.tier).toBe('plain');
    expect(flags).toHaveLength(TIERS.length);
    older.free();
  });
});

/** A pipe's two ends. */
async function pipe(): Promise<{ ends: { read: number; write: number }; close: () => void }> {
  const dir = mkdtempSync(join(tmpdir(), 'rawfuse-pipe-'));
  const path = join(dir, 'fifo');
  await run('mkfifo', [path]);
  const write = openSync(path, 'r+');
  const read = openSync(path, 'r');
  rmSync(dir, { recursive: true });
  return {
    ends: { read, write },
    close() {
      closeSync(read);
      closeSync(write);
    },
  };
}
