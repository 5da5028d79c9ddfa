/**
 * Locks without a kernel: each rule by example, then random calls against a model that knows who has each single
 * byte and goes through its queue in the plainest way. SEED= repeats a run.
 */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EAGAIN, EDEADLK, EINTR, EINVAL, ENOTCONN, type Errno } from '../../src/abi/errno.ts';
import { FUSE_LK_FLOCK, FUSE_RELEASE_FLOCK_UNLOCK } from '../../src/abi/fuse-constants.ts';
import { F_RDLCK, F_UNLCK, F_WRLCK } from '../../src/abi/posix.ts';
import { Locks } from '../../src/fs/locks.ts';
import { Request } from '../../src/protocol/request.ts';
import { seeded } from '../abi/random.ts';

seeded();

const EOF = 0x7fff_ffff_ffff_ffffn;
const OWNER_HIGH = 0xffff_ffff_0000_0000n;
const FILE = 7;

let locks: Locks;
/** What became of each wait, by name, in that order. */
let ends: string[];
beforeEach(() => {
  locks = new Locks();
  ends = [];
});
afterEach(() => locks.check());

interface Asked {
  readonly type: number;
  readonly owner: number;
  readonly range?: readonly [start: number | bigint, end: number | bigint];
  readonly nodeid?: number;
  readonly fh?: number;
  readonly pid?: number;
  readonly flock?: boolean;
  readonly sleep?: boolean;
}

/** Owners are spread over 64 bits, so that none may be cut. Each has a handle and a process of its own unless said otherwise. */
function args({ type, owner, range = [0, EOF], fh = owner + 100, pid = owner + 1000, flock, sleep }: Asked) {
  return {
    fh,
    owner: OWNER_HIGH + BigInt(owner),
    lk: { start: BigInt(range[0]), end: BigInt(range[1]), type, pid },
    lk_flags: flock ? FUSE_LK_FLOCK : 0,
    sleep: sleep === true,
  };
}
function requestOf(nodeid: number): Request {
  const view = new DataView(new ArrayBuffer(40));
  view.setBigUint64(16, BigInt(nodeid), true);
  return new Request(view);
}
/** 'ok', 'waits', or the errno. What ends a wait goes to `ends`. */
function set(asked: Asked, name = String(asked.owner), request = requestOf(asked.nodeid ?? FILE)): string {
  try {
    const done = locks.setlk(request, args(asked));
    request.reset(); // the slot moves on: nothing of the request may be read any more
    request.view = new DataView(new ArrayBuffer(40));
    if (done === undefined) return 'ok';
    done.then(
      () => ends.push(name),
      (error: Errno) => ends.push(`${name}: ${error.code}`),
    );
    return 'waits';
  } catch (error) {
    return (error as Errno).code;
  }
}
const settled = () => new Promise((resolve) => setImmediate(resolve));

type Options = Omit<Asked, 'type' | 'owner' | 'range'>;
type Place = Asked['range'];
const read = (owner: number, range?: Place, options?: Options) =>
  set({ type: F_RDLCK, owner, ...(range && { range }), ...options });
const write = (owner: number, range?: Place, options?: Options) =>
  set({ type: F_WRLCK, owner, ...(range && { range }), ...options });
const unlock = (owner: number, range?: Place, options?: Options) =>
  set({ type: F_UNLCK, owner, ...(range && { range }), ...options });
const WAIT = { sleep: true };
const FLOCK = { flock: true };
const FLOCK_WAIT = { flock: true, sleep: true };

/** What an owner has in the file, as `r0-4 w5-9`: seen by an owner that has nothing, which is nobody's way to change it. */
function layout(owner: number, nodeid = FILE): string {
  const parts: string[] = [];
  for (let start = 0n; start <= EOF; ) {
    const { lk } = locks.getlk(nodeid, { ...args({ type: F_UNLCK, owner, range: [start, EOF] }) });
    if (lk.type === F_UNLCK) break;
    parts.push(`${lk.type === F_WRLCK ? 'w' : 'r'}${lk.start}-${lk.end === EOF ? '' : lk.end}`);
    start = lk.end + 1n;
  }
  return parts.join(' ');
}
const getlk = (owner: number, type: number, range: readonly [number, number]) =>
  locks.getlk(FILE, args({ type, owner, range })).lk;
const release = (fh: number, flockOwner?: number) =>
  locks.release(FILE, {
    fh,
    flags: 0,
    release_flags: flockOwner === undefined ? 0 : FUSE_RELEASE_FLOCK_UNLOCK,
    lock_owner: flockOwner === undefined ? 0n : OWNER_HIGH + BigInt(flockOwner),
  });
const flush = (owner: number, nodeid = FILE) => locks.flush(nodeid, OWNER_HIGH + BigInt(owner));

describe('record locks', () => {
  test('readers share, a writer is alone', () => {
    expect([read(1), read(2), write(3), write(1)]).toEqual(['ok', 'ok', 'EAGAIN', 'EAGAIN']);
    unlock(2);
    expect([write(1), read(2), write(2)]).toEqual(['ok', 'EAGAIN', 'EAGAIN']);
  });
  test('they conflict where they overlap, to the byte, and in one file', () => {
    write(1, [10, 19]);
    expect([write(2, [0, 9]), write(2, [20, EOF])]).toEqual(['ok', 'ok']);
    expect([write(3, [19, 19]), write(3, [0, 10]), write(3, [12, 13])]).toEqual(['EAGAIN', 'EAGAIN', 'EAGAIN']);
    expect(write(3, [12, 13], { nodeid: FILE + 1 })).toBe('ok');
  });
  test('an unlock in the middle splits', () => {
    write(1, [0, 9]);
    unlock(1, [3, 5]);
    expect(layout(1)).toBe('w0-2 w6-9');
  });
  test('touching and overlapping ones of one type join', () => {
    read(1, [0, 4]);
    read(1, [5, 9]);
    expect(layout(1)).toBe('r0-9');
    read(1, [20, 29]);
    read(1, [8, 21]);
    expect([layout(1), locks.held]).toEqual(['r0-29', 1]);
  });
  test('touching ones of two types do not', () => {
    read(1, [0, 4]);
    write(1, [5, 9]);
    expect(layout(1)).toBe('r0-4 w5-9');
  });
  test('a change of type in the middle makes three, and back one', () => {
    read(1, [0, 9]);
    write(1, [4, 5]);
    expect(layout(1)).toBe('r0-3 w4-5 r6-9');
    read(1, [4, 5]);
    expect(layout(1)).toBe('r0-9');
  });
  test('one over several replaces them', () => {
    read(1, [0, 1]);
    write(1, [4, 5]);
    read(1, [8, 9]);
    write(1, [1, 8]);
    expect(layout(1)).toBe('r0-0 w1-8 r9-9');
  });
  test('the last byte that there can be counts', () => {
    write(1, [EOF, EOF]);
    write(1, [EOF - 1n, EOF - 1n]);
    expect([layout(1), write(2, [0, EOF])]).toEqual([`w${EOF - 1n}-`, 'EAGAIN']);
  });
  test('unlocking what is not locked is nothing', () => {
    expect([unlock(1), unlock(1, [5, 9]), locks.held]).toEqual(['ok', 'ok', 0]);
  });
  test('getlk names the first in the way, and its process', () => {
    read(1, [10, 19], { pid: 4711 });
    write(2, [30, 39]);
    expect(getlk(3, F_WRLCK, [0, 99])).toEqual({ start: 10n, end: 19n, type: F_RDLCK, pid: 4711 });
    expect(getlk(3, F_RDLCK, [0, 99])).toEqual({ start: 30n, end: 39n, type: F_WRLCK, pid: 1002 });
    expect(getlk(3, F_RDLCK, [0, 29]).type).toBe(F_UNLCK);
    expect(getlk(2, F_RDLCK, [0, 99]).type).toBe(F_UNLCK);
  });
  test('a type that there is not is EINVAL', () => {
    expect(set({ type: 3, owner: 1 })).toBe(EINVAL.code);
  });
  test('an upgrade waits for the other readers and keeps what it has', async () => {
    read(1);
    read(2);
    expect([write(1, undefined, WAIT), write(3)]).toEqual(['waits', 'EAGAIN']);
    expect([layout(1), layout(2)]).toEqual(['r0-', 'r0-']);
    unlock(2);
    await settled();
    expect([ends, layout(1)]).toEqual([['1'], 'w0-']);
  });
  test('flush ends those of its owner in the file, and no others', () => {
    write(1, [0, 9]);
    write(1, [0, 9], { nodeid: FILE + 1 });
    write(2, [20, 29]);
    flush(1);
    expect([layout(1), layout(2), layout(1, FILE + 1)]).toEqual(['', 'w20-29', 'w0-9']);
    flush(99);
    flush(1, 4242);
  });
  test('release ends what came through its handle last, and no flush of another owner does', () => {
    write(1, [0, 9], { fh: 5 });
    write(2, [20, 29], { fh: 6 });
    write(3, [40, 49], { fh: 5 });
    write(3, [50, 59], { fh: 6 });
    flush(77);
    release(5);
    expect([layout(1), layout(2), layout(3)]).toEqual(['', 'w20-29', 'w40-59']);
    release(6);
    expect(locks.held).toBe(0);
  });
});

describe('waiting', () => {
  test('is for the range alone, in the order of asking', async () => {
    write(1, [0, 9]);
    for (const owner of [2, 3, 4]) expect(write(owner, [5, 5], WAIT)).toBe('waits');
    expect(write(5, [20, 20], WAIT)).toBe('ok');
    unlock(1, [0, 4]);
    await settled();
    expect(ends).toEqual([]);
    for (const owner of [1, 2, 3]) {
      unlock(owner);
      locks.check();
    }
    await settled();
    expect(ends).toEqual(['2', '3', '4']);
  });
  test('readers get it together, and past a writer that waits', async () => {
    write(1);
    read(2, undefined, WAIT);
    write(3, undefined, WAIT);
    read(4, undefined, WAIT);
    unlock(1);
    await settled();
    expect([ends, locks.waiting, read(5, undefined, WAIT)]).toEqual([['2', '4'], 1, 'ok']);
  });
  test('ends with a change from writing to reading', async () => {
    write(1);
    read(2, undefined, WAIT);
    expect(read(1)).toBe('ok');
    await settled();
    expect(ends).toEqual(['2']);
  });
  test('ends with flush, with release, and not with a lock of another file', async () => {
    write(1, [0, 9]);
    write(2, [10, 19]);
    write(3, [0, 9], WAIT);
    write(4, [10, 19], WAIT);
    flush(1, FILE + 1);
    await settled();
    expect(ends).toEqual([]);
    flush(1);
    release(102);
    await settled();
    expect(ends).toEqual(['3', '4']);
  });
  test('one that gets all does not keep its own other waits waiting, nor those beside it', async () => {
    write(1, [0, 9]);
    write(2, [0, 9], WAIT);
    read(2, [3, 3], WAIT); // another thread of it
    unlock(1);
    await settled();
    expect([ends, layout(2)]).toEqual([['2', '2'], 'w0-2 r3-3 w4-9']);
    ends = [];
    write(3, [7, 9], WAIT);
    write(4, [0, 2], WAIT);
    write(5, [4, 6], WAIT);
    unlock(2);
    await settled();
    expect(ends).toEqual(['3', '4', '5']);
  });
  test('what one gets may free what an older one waits for', async () => {
    write(1, [0, 0]);
    write(2, [1, 1]);
    write(3, [2, 2]);
    read(4, [1, 1], WAIT); // for 2
    read(2, [1, 2], WAIT); // for 3: will turn its writing to reading
    unlock(3);
    await settled();
    expect(ends).toEqual(['2', '4']);
  });
  test('an interrupt ends it with EINTR, and the others keep their places', async () => {
    write(1);
    write(2, undefined, WAIT);
    const request = requestOf(FILE);
    const done = locks.setlk(request, args({ type: F_WRLCK, owner: 3, sleep: true }));
    write(4, undefined, WAIT);
    request.abort(EINTR);
    await expect(done).rejects.toBe(EINTR);
    locks.check();
    for (const owner of [1, 2, 3]) unlock(owner);
    await settled();
    expect([ends, layout(3), layout(4)]).toEqual([['2', '4'], '', 'w0-']);
  });
  test('an interrupt that came before the request leaves nothing', async () => {
    write(1);
    const request = requestOf(FILE);
    request.abort(EINTR);
    await expect(locks.setlk(request, args({ type: F_WRLCK, owner: 2, sleep: true }))).rejects.toBe(EINTR);
    expect(locks.waiting).toBe(0);
    // What needs no waiting is done.
    expect(locks.setlk(request, args({ type: F_UNLCK, owner: 1, sleep: true }))).toBe(undefined);
    expect(locks.setlk(request, args({ type: F_WRLCK, owner: 2, sleep: true }))).toBe(undefined);
  });
  test('an interrupt that comes after the grant changes nothing', async () => {
    write(1);
    const request = requestOf(FILE);
    const done = locks.setlk(request, args({ type: F_WRLCK, owner: 2, sleep: true }));
    unlock(1);
    // The owner goes and comes again, so that nothing done for the wait may be undone.
    unlock(2);
    write(2);
    request.abort(EINTR);
    await done;
    locks.check();
    expect(layout(2)).toBe('w0-');
  });
  test('clear ends all, and leaves a table like new', async () => {
    write(1);
    write(2, undefined, WAIT);
    read(1, undefined, FLOCK);
    write(2, undefined, FLOCK_WAIT);
    locks.clear();
    await settled();
    expect([ends, locks.held, locks.waiting]).toEqual([[`2: ${ENOTCONN.code}`, `2: ${ENOTCONN.code}`], 0, 0]);
    expect([write(3), write(3, undefined, FLOCK)]).toEqual(['ok', 'ok']);
  });
});

describe('deadlocks', () => {
  test('two that wait for each other', () => {
    write(1, [0, 0]);
    write(2, [1, 1]);
    expect([write(1, [1, 1], WAIT), write(2, [0, 0], WAIT)]).toEqual(['waits', EDEADLK.code]);
    expect([layout(2), locks.waiting]).toEqual(['w1-1', 1]);
  });
  test('a refusal without waiting is none', () => {
    write(1, [0, 0]);
    write(2, [1, 1]);
    write(1, [1, 1], WAIT);
    expect(write(2, [0, 0])).toBe(EAGAIN.code);
  });
  test('two readers that both want to write', () => {
    read(1);
    read(2);
    expect([write(1, undefined, WAIT), write(2, undefined, WAIT)]).toEqual(['waits', EDEADLK.code]);
  });
  test('a circle of many, over many files', () => {
    const many = 500;
    for (let i = 0; i < many; i++) write(i, undefined, { nodeid: i + 1 });
    for (let i = 0; i < many - 1; i++) expect(write(i, undefined, { nodeid: i + 2, sleep: true })).toBe('waits');
    expect(write(many - 1, undefined, { nodeid: 1, sleep: true })).toBe(EDEADLK.code);
  });
  test('through the second of those in the way', () => {
    read(1, [0, 0]);
    read(2, [0, 0]);
    read(3, [1, 1]);
    expect([write(2, [1, 1], WAIT), write(3, [0, 0], WAIT)]).toEqual(['waits', EDEADLK.code]);
  });
  test('a chain that ends is none, nor is a wait that has ended', async () => {
    write(1, [0, 0]);
    write(2, [1, 1]);
    write(3, [2, 2]);
    expect([write(1, [1, 1], WAIT), write(2, [2, 2], WAIT)]).toEqual(['waits', 'waits']);
    unlock(3);
    await settled();
    unlock(2);
    await settled();
    expect([ends, write(2, [0, 0], WAIT)]).toEqual([['2', '1'], 'waits']);
  });
  test('open files of one process wait for each other: a third thread may unlock', () => {
    write(1, [0, 0], { pid: 50 });
    write(2, [1, 1], { pid: 50 });
    expect([write(1, [1, 1], { pid: 50, ...WAIT }), write(2, [0, 0], { pid: 50, ...WAIT })]).toEqual([
      'waits',
      'waits',
    ]);
  });
  test('so do two of one process that are not next to each other in the circle', () => {
    write(1, [0, 0], { pid: 50 });
    write(2, [1, 1], { pid: 60 });
    write(3, [2, 2], { pid: 50 });
    write(4, [3, 3], { pid: 70 });
    write(1, [1, 1], { pid: 50, ...WAIT });
    write(2, [2, 2], { pid: 60, ...WAIT });
    write(3, [3, 3], { pid: 50, ...WAIT });
    expect(write(4, [0, 0], { pid: 70, ...WAIT })).toBe('waits');
  });
  test('an open file that several processes use is no process', () => {
    write(1, [0, 0], { pid: 50 });
    write(1, [9, 9], { pid: 51 });
    write(2, [1, 1]);
    expect([write(2, [0, 0], WAIT), write(1, [1, 1], { pid: 50, ...WAIT })]).toEqual(['waits', 'waits']);
  });
  test('a process that the mount can not name is one all the same', () => {
    write(1, [0, 0], { pid: 0 });
    write(2, [1, 1], { pid: 0 });
    expect([write(1, [1, 1], { pid: 0, ...WAIT }), write(2, [0, 0], { pid: 0, ...WAIT })]).toEqual([
      'waits',
      'EDEADLK',
    ]);
  });
  test('an open file that is shared with a process that the mount can not name is no process', () => {
    write(1, [0, 0], { pid: 50 });
    write(1, [9, 9], { pid: 0 });
    write(2, [1, 1]);
    expect([write(2, [0, 0], WAIT), write(1, [1, 1], { pid: 50, ...WAIT })]).toEqual(['waits', 'waits']);
  });
  test('an unlock, which names no process, does not make an owner one of several', () => {
    write(1, [0, 5]);
    unlock(1, [3, 5], { pid: 0 });
    write(2, [6, 9]);
    expect([write(1, [6, 9], WAIT), write(2, [0, 0], WAIT)]).toEqual(['waits', EDEADLK.code]);
  });
});

describe('flock', () => {
  test('readers share, a writer is alone, and record locks are another matter', () => {
    expect([read(1, undefined, FLOCK), read(2, undefined, FLOCK), write(3, undefined, FLOCK)]).toEqual([
      'ok',
      'ok',
      'EAGAIN',
    ]);
    expect(write(3)).toBe('ok');
    expect(getlk(4, F_WRLCK, [0, 1]).pid).toBe(1003);
  });
  test('an exchange gives up the lock first, and loses it where it fails', async () => {
    read(1, undefined, FLOCK);
    read(2, undefined, FLOCK);
    write(3, undefined, FLOCK_WAIT);
    expect([write(1, undefined, FLOCK), write(2, undefined, FLOCK)]).toEqual(['EAGAIN', 'ok']);
    await settled();
    expect([ends, read(1, undefined, FLOCK)]).toEqual([[], 'EAGAIN']);
    unlock(2, undefined, FLOCK);
    await settled();
    expect(ends).toEqual(['3']);
  });
  test('an exchange that has to wait has given up its lock, and one that has not comes before who waits', async () => {
    read(1, undefined, FLOCK);
    read(2, undefined, FLOCK);
    expect([write(1, undefined, FLOCK_WAIT), locks.held, write(2, undefined, FLOCK)]).toEqual(['waits', 1, 'ok']);
    unlock(2, undefined, FLOCK);
    await settled();
    expect([ends, locks.held, locks.waiting]).toEqual([['1'], 1, 0]);
  });
  test('from writing to reading wakes readers', async () => {
    write(1, undefined, FLOCK);
    read(2, undefined, FLOCK_WAIT);
    expect(read(1, undefined, FLOCK)).toBe('ok');
    await settled();
    expect(ends).toEqual(['2']);
  });
  test('asking for what one has changes nothing', () => {
    write(1, undefined, FLOCK);
    expect([write(1, undefined, FLOCK), locks.held]).toEqual(['ok', 1]);
  });
  test('nobody looks for deadlocks', () => {
    write(1, undefined, FLOCK);
    write(2, undefined, { flock: true, nodeid: FILE + 1 });
    expect([write(1, undefined, { ...FLOCK_WAIT, nodeid: FILE + 1 }), write(2, undefined, FLOCK_WAIT)]).toEqual([
      'waits',
      'waits',
    ]);
  });
  test('ends with the release that says so', async () => {
    write(1, undefined, FLOCK);
    write(2, undefined, FLOCK_WAIT);
    flush(1);
    release(101);
    expect(locks.held).toBe(1);
    release(101, 1);
    await settled();
    expect([ends, locks.held]).toEqual([['2'], 1]);
  });
});

describe('ten thousand', () => {
  const MANY = 10_000;
  test.each([
    ['record locks', {}],
    ['flocks', FLOCK],
  ])('%s, one after the other', async (_, options) => {
    write(0, undefined, options);
    for (let i = 1; i <= MANY; i++) write(i, undefined, { ...options, sleep: true });
    expect(locks.waiting).toBe(MANY);
    for (let i = 0; i <= MANY; i++) unlock(i, undefined, options);
    await settled();
    expect([ends.length, ends.every((name, i) => name === String(i + 1))]).toEqual([MANY, true]);
    expect([locks.held, locks.waiting]).toEqual([0, 0]);
  });
  test('readers at once, and then the writer that waited for them', async () => {
    write(0);
    for (let i = 1; i <= MANY; i++) read(i, [i, EOF], WAIT);
    write(MANY + 1, undefined, WAIT);
    unlock(0);
    await settled();
    expect([ends.length, locks.held, locks.waiting]).toEqual([MANY, MANY, 1]);
    locks.check();
    for (let i = 1; i <= MANY; i++) release(i + 100);
    await settled();
    expect([ends.at(-1), locks.held]).toEqual([String(MANY + 1), 1]);
  });
  test('are interrupted all', async () => {
    write(0);
    const requests = Array.from({ length: MANY }, () => requestOf(FILE));
    const waits = requests.map((request, i) =>
      locks.setlk(request, args({ type: F_WRLCK, owner: i + 1, sleep: true })),
    );
    for (const request of requests) request.abort(EINTR);
    const results = await Promise.allSettled(waits);
    expect(results.every((result) => result.status === 'rejected' && result.reason === EINTR)).toBe(true);
    expect([locks.held, locks.waiting]).toEqual([1, 0]);
  });
});

/** Locks as they are defined: who may do what with each byte. Goes on nothing but that. */
class Model {
  static readonly BYTES = 41;
  /** By file and kind, by owner: its type for each byte. */
  readonly #held = new Map<string, Map<number, number[]>>();
  #queue: { key: string; asked: Asked; name: string }[] = [];
  readonly ends: string[] = [];

  #bytes(key: string, owner: number): number[] {
    const owners = this.#held.get(key) ?? new Map<number, number[]>();
    const bytes = owners.get(owner) ?? new Array<number>(Model.BYTES).fill(F_UNLCK);
    this.#held.set(key, owners.set(owner, bytes));
    return bytes;
  }
  #free(key: string, { owner, type, range }: Asked): boolean {
    for (const [other, bytes] of this.#held.get(key) ?? [])
      for (let at = Number(range![0]); other !== owner && at <= Number(range![1]); at++)
        if (bytes[at] === F_WRLCK || (bytes[at] === F_RDLCK && type === F_WRLCK)) return false;
    return true;
  }
  #put(key: string, { owner, type, range }: Asked): void {
    this.#bytes(key, owner).fill(type, Number(range![0]), Number(range![1]) + 1);
  }
  #wake(): void {
    for (;;) {
      const next = this.#queue.find(({ key, asked }) => this.#free(key, asked));
      if (!next) return;
      this.#queue.splice(this.#queue.indexOf(next), 1);
      this.#put(next.key, next.asked);
      this.ends.push(next.name);
    }
  }

  set(asked: Asked, name: string): string {
    const key = `${asked.nodeid} ${asked.flock}`;
    if (asked.type === F_UNLCK) {
      this.#put(key, asked);
      this.#wake();
      return 'ok';
    }
    if (asked.flock && this.#bytes(key, asked.owner)[0] !== asked.type) this.#put(key, { ...asked, type: F_UNLCK });
    const free = this.#free(key, asked);
    if (free) this.#put(key, asked);
    this.#wake();
    if (free) return 'ok';
    if (!asked.sleep) return 'EAGAIN';
    this.#queue.push({ key, asked, name });
    return 'waits';
  }
  drop(nodeid: number, owner: number, flock: boolean): void {
    this.set({ type: F_UNLCK, owner, nodeid, flock, range: [0, Model.BYTES - 1] }, '');
  }
  interrupt(name: string): void {
    if (this.#queue.some((each) => each.name === name)) this.ends.push(`${name}: EINTR`);
    this.#queue = this.#queue.filter((each) => each.name !== name);
  }
  /** Whether a wish would be waited for in a circle: whose owners wait, each for the next. */
  deadlocks({ owner, nodeid, type, range }: Asked): boolean {
    const edges = [...this.#queue, { key: `${nodeid} false`, asked: { owner, type, range } as Asked }].filter(
      ({ key }) => key.endsWith('false'),
    );
    const reached = new Set<number>();
    const todo = [owner];
    for (let from = todo.pop(); from !== undefined; from = todo.pop())
      for (const { key, asked } of edges)
        if (asked.owner === from)
          for (const other of this.#held.get(key)?.keys() ?? []) {
            const alone = { ...asked, owner: from };
            if (other === from || this.#freeOf(key, alone, other)) continue;
            if (other === owner) return true;
            if (!reached.has(other)) todo.push(other);
            reached.add(other);
          }
    return false;
  }
  #freeOf(key: string, { type, range }: Asked, other: number): boolean {
    return this.#bytes(key, other)
      .slice(Number(range![0]), Number(range![1]) + 1)
      .every((held) => held === F_UNLCK || (held === F_RDLCK && type === F_RDLCK));
  }
  layout(nodeid: number, owner: number): string {
    const bytes = this.#bytes(`${nodeid} false`, owner);
    const parts: string[] = [];
    for (let at = 0; at < Model.BYTES; at++) {
      const start = at;
      while (bytes[at + 1] === bytes[at]) at++;
      if (bytes[start] !== F_UNLCK) parts.push(`${bytes[start] === F_WRLCK ? 'w' : 'r'}${start}-${at}`);
    }
    return parts.join(' ');
  }
  get waiting(): number {
    return this.#queue.length;
  }
  flocks(nodeid: number): number {
    return [...(this.#held.get(`${nodeid} true`)?.values() ?? [])].filter((bytes) => bytes[0] !== F_UNLCK).length;
  }
}

describe('against the model', () => {
  const OWNERS = 6;
  const FILES = 2;
  const byte = fc.nat(Model.BYTES - 1);
  const range = fc.oneof(
    fc.tuple(byte, byte).map(([a, b]): [number, number] => [Math.min(a, b), Math.max(a, b)]),
    fc.tuple(byte, fc.nat(3)).map(([a, more]): [number, number] => [a, Math.min(a + more, Model.BYTES - 1)]),
  );
  const who = { owner: fc.nat(OWNERS - 1), nodeid: fc.integer({ min: 1, max: FILES }) };
  const type = fc.constantFrom(F_RDLCK, F_WRLCK, F_UNLCK);
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ kind: fc.constant('record' as const), ...who, type, range, sleep: fc.boolean() }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('flock' as const), ...who, type, sleep: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('flush' as const), ...who }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('release' as const), ...who }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('interrupt' as const), which: fc.nat(200) }) },
  );

  test('every answer, every wait and every byte is the same', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        locks = new Locks();
        ends = [];
        const model = new Model();
        const requests = new Map<string, Request>();
        for (const [i, each] of steps.entries()) {
          const name = String(i);
          if (each.kind === 'record' || each.kind === 'flock') {
            const flock = each.kind === 'flock';
            const asked = { range: [0, Model.BYTES - 1] as const, ...each, flock };
            const request = requestOf(each.nodeid);
            requests.set(name, request);
            let expected: string | undefined;
            if (asked.sleep && !flock && asked.type !== F_UNLCK && model.deadlocks(asked)) expected = 'EDEADLK';
            expected ??= model.set(asked, name);
            expect(setKept(asked, name, request)).toBe(expected);
          } else if (each.kind === 'flush') {
            model.drop(each.nodeid, each.owner, false);
            flush(each.owner, each.nodeid);
          } else if (each.kind === 'release') {
            model.drop(each.nodeid, each.owner, false);
            model.drop(each.nodeid, each.owner, true);
            const lock_owner = OWNER_HIGH + BigInt(each.owner);
            const release_flags = FUSE_RELEASE_FLOCK_UNLOCK;
            locks.release(each.nodeid, { fh: each.owner + 100, flags: 0, release_flags, lock_owner });
          } else {
            model.interrupt(String(each.which));
            requests.get(String(each.which))?.abort(EINTR);
          }
          locks.check();
          await Promise.resolve();
          await Promise.resolve();
          expect(ends).toEqual(model.ends);
          expect(locks.waiting).toBe(model.waiting);
          let held = 0;
          for (let nodeid = 1; nodeid <= FILES; nodeid++) {
            for (let owner = 0; owner < OWNERS; owner++) {
              const expected = model.layout(nodeid, owner);
              expect(layout(owner, nodeid)).toBe(expected);
              held += expected === '' ? 0 : expected.split(' ').length;
            }
            held += model.flocks(nodeid);
          }
          expect(locks.held).toBe(held);
        }
      }),
      { numRuns: 400 },
    );
  });
  /** As `set`, but the request stays in use: it is to be interrupted. */
  function setKept(asked: Asked, name: string, request: Request): string {
    try {
      const done = locks.setlk(request, args(asked));
      done?.then(
        () => ends.push(name),
        (error: Errno) => ends.push(`${name}: ${error.code}`),
      );
      return done ? 'waits' : 'ok';
    } catch (error) {
      return (error as Errno).code;
    }
  }
});
