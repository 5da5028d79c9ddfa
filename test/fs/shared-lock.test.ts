/**
 * The lock, in every order of small cases. That the explorer would see a lock go wrong is seen by locks that do: the
 * same code in a memory that leaves something out.
 */
import { threadId } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { startWorker } from '../../src/abi/worker.ts';
import { type Cells, reserve, SharedCells } from '../../src/fs/shared/cells.ts';
import { acquire, holder, LockError, release } from '../../src/fs/shared/lock.ts';
import { acquireAlone, acquireShared, releaseAlone, releaseShared } from '../../src/fs/shared/rwlock.ts';
import { type Exploration, explore, type Operation } from './shared-explorer.ts';

const LOCK = 0;
const COUNTER = 1;
const CONTENDED = 1 << 30;

/** Adds to a counter under the lock; by two plain steps, between which nobody may come. */
const count: Operation = ([cells]) => {
  acquire(cells!, LOCK);
  cells!.set(COUNTER, cells!.get(COUNTER) + 1);
  release(cells!, LOCK);
};
/** A thread for each number, which counts so often. */
const counting = (...times: readonly number[]): Exploration => ({
  memories: [{ words: [0, 0] }],
  threads: times.map((each) => Array<Operation>(each).fill(count)),
  end: (results, [words]) => {
    for (const result of results.flat()) if (result instanceof Error) throw result;
    if (words![COUNTER] !== times.reduce((a, b) => a + b)) throw new Error(`counted to ${words![COUNTER]}`);
    if (words![LOCK] !== 0) throw new Error('the lock is still held');
  },
});

describe('in every order', { timeout: 120_000 }, () => {
  test.each([
    { times: [3, 3], spins: 0, coarse: false },
    { times: [3, 3], spins: 2, coarse: false },
    { times: [1, 1, 1], spins: 1, coarse: false },
    { times: [2, 1, 1], spins: 0, coarse: true },
  ])('one at a time, $times times each, spinning $spins times, and nobody is left asleep', ({ times, ...how }) => {
    const { schedules, longest, moments } = explore({ ...counting(...times), ...how });
    console.log(`${schedules.toExponential(1)} schedules of up to ${longest} steps, ${moments} moments`);
    expect(schedules).toBeGreaterThan(10_000);
  });

  test('who waits for one that has ended inside is told its name, and is not left asleep', () => {
    const { moments } = explore({
      ...counting(1, 1, 1),
      threads: [[([cells]) => acquire(cells!, LOCK)], [count], [count]],
      timeouts: true,
      end: ([, ...others]) => {
        for (const [result] of others) {
          // The one that comes first by one step, is first, and gives it back.
          if (result instanceof Error && !(result instanceof LockError && result.holder === 0)) throw result;
        }
        if (![...others.flat()].some((result) => result === 0 || result instanceof LockError))
          throw new Error('no end');
      },
    });
    expect(moments).toBeGreaterThan(100);
  });
});

/** Words behind a lock for many or one: they are always the same. */
const [ONE, OTHER] = [2, 3];
const look: Operation = ([cells]) => {
  acquireShared(cells!, LOCK);
  const same = cells!.get(ONE) === cells!.get(OTHER);
  releaseShared(cells!, LOCK);
  if (!same) throw new Error('one has changed, the other has not');
};
const change: Operation = ([cells]) => {
  acquireAlone(cells!, LOCK);
  for (const at of [ONE, OTHER]) cells!.set(at, cells!.get(at) + 1);
  releaseAlone(cells!, LOCK);
};
const manyOrOne = (changes: number, ...threads: readonly (readonly Operation[])[]): Exploration => ({
  memories: [{ words: [0, 0, 0, 0] }],
  threads,
  end: (results, [words]) => {
    for (const result of results.flat()) if (result instanceof Error) throw result;
    if (words!.join() !== [0, 0, changes, changes].join()) throw new Error(`it ends with ${words!.join()}`);
  },
});

describe('for many or one, in every order', { timeout: 120_000 }, () => {
  test.each([
    { spins: 0, coarse: false, changes: 1, threads: [[look, look], [change]] },
    { spins: 1, coarse: false, changes: 2, threads: [[change], [change]] },
    { spins: 0, coarse: true, changes: 1, threads: [[look], [look], [change]] },
    { spins: 0, coarse: true, changes: 2, threads: [[look], [change], [change]] },
  ])('$changes changes, spinning $spins times: nobody sees half of one, and nobody is left asleep', (how) => {
    const { schedules } = explore({ ...manyOrOne(how.changes, ...how.threads), spins: how.spins, coarse: how.coarse });
    expect(schedules).toBeGreaterThan(100);
  });
  test('who is in with others is seen by one who counts it first', () => {
    const blind: Operation = (cells, before) =>
      change([Object.assign(Object.create(cells[0]!), { load: () => 0 }) as Cells], before);
    expect(() => explore(manyOrOne(1, [look], [blind]))).toThrow(/data race/u);
  });
  test('who leaves and tells nobody leaves one asleep', () => {
    const silent: Operation = (cells, before) =>
      look([Object.assign(Object.create(cells[0]!), { notify: () => {} }) as Cells], before);
    expect(() => explore(manyOrOne(1, [silent], [change]))).toThrow('all sleep');
  });
  test('who is to be alone and waits in vain gives the lock back', () => {
    explore({
      ...manyOrOne(0, [([cells]) => acquireShared(cells!, LOCK)], [change]),
      timeouts: true,
      end: ([, results], [words]) => {
        const [result] = results!;
        // The one that comes first changes it, and is followed by the one that stays.
        if (result instanceof Error && !(result instanceof LockError && result.holder === undefined)) throw result;
        if (words![LOCK] !== 0) throw new Error('the lock is still held');
      },
    });
  });
});

describe('the explorer finds', () => {
  /** The same case in a memory in which something is done in another way. */
  const sabotaged = (change: (cells: Cells) => Partial<Cells>, threads = [2, 2]) => {
    const sound = counting(...threads);
    const spoil: (operation: Operation) => Operation = (operation) => (cells, before) =>
      operation(
        cells.map((each) => Object.assign(Object.create(each), change(each)) as Cells),
        before,
      );
    return () => explore({ ...sound, threads: sound.threads.map((operations) => operations.map(spoil)) });
  };

  test('nothing wrong with the memory that changes nothing', () => {
    expect(sabotaged(() => ({}))).not.toThrow();
  });
  test('a lock that forgets to notify', () => {
    expect(sabotaged(() => ({ notify: () => 0 }))).toThrow('all sleep');
  });
  test('a lock that is taken by looking and then writing', () => {
    const replace =
      ({ load, store }: Cells): Cells['replace'] =>
      (at, expected, value) => {
        const is = load(at) === expected;
        if (is) store(at, value);
        return is;
      };
    expect(sabotaged((cells) => ({ replace: replace(cells) }))).toThrow(/data race|counted to|not hold|all sleep/u);
  });
  test('a lock that is not said to be contended by one who has slept', () => {
    const replace =
      (cells: Cells): Cells['replace'] =>
      (at, expected, value) =>
        cells.replace(at, expected, expected === 0 ? value & ~CONTENDED : value);
    expect(sabotaged((cells) => ({ replace: replace(cells) }), [1, 1, 1])).toThrow('all sleep');
  });
  test('a lock whose sleeper does not look again before it sleeps', () => {
    const wait =
      (cells: Cells): Cells['wait'] =>
      (at, value, ms) => {
        void value;
        return cells.wait(at, cells.load(at), ms); // whatever is there, at some other moment
      };
    expect(sabotaged((cells) => ({ wait: wait(cells) }))).toThrow('all sleep');
  });
  test('a lock that is no lock: two change a word at once', () => {
    expect(sabotaged(() => ({ replace: () => true, exchange: () => 0 }))).toThrow(/data race/u);
  });
});

describe('among real threads', () => {
  const cells = () => {
    const handle = reserve(4, 4);
    return { handle, mine: new SharedCells(handle, { patience: 300 }) };
  };

  test('a thread that is ended inside is named by those who wait', async () => {
    const { handle, mine } = cells();
    const worker = startWorker(import.meta.url, './shared-racer', { workerData: { hold: handle } });
    await new Promise((resolve) => worker.once('message', resolve));
    const { threadId: theirs } = worker;
    await worker.terminate();
    expect(holder(mine, LOCK)).toBe(theirs);
    expect(() => acquire(mine, LOCK)).toThrow(
      new RegExp(`^thread ${theirs} has held a lock in shared memory for 0.3 s`, 'u'),
    );
    try {
      acquire(mine, LOCK);
    } catch (error) {
      expect((error as LockError).holder).toBe(theirs);
    }
  });

  test('who takes it twice, or gives back what it has not, is told', () => {
    const { mine } = cells();
    acquire(mine, LOCK);
    expect(holder(mine, LOCK)).toBe(threadId);
    expect(() => acquire(mine, LOCK)).toThrow('holds itself');
    release(mine, LOCK);
    expect(holder(mine, LOCK)).toBeUndefined();
    expect(() => release(mine, LOCK)).toThrow('did not hold');
  });
});
