/**
 * Contents in a tmpfs: that they do what contents in pages do, whatever is done with them, and that what they take and what extended
 * attributes take is one room.
 */
import { readdirSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { withoutCapabilities } from '../../src/abi/credentials.ts';
import { ENOSPC, Errno } from '../../src/abi/errno.ts';
import { CAP_SYS_ADMIN } from '../../src/abi/posix.ts';
import type { Content, Store } from '../../src/fs/memory/content.ts';
import { PagedStore } from '../../src/fs/memory/paged.ts';
import { PAGE } from '../../src/fs/memory/pages.ts';
import { TmpfsStore } from '../../src/fs/memory/tmpfs.ts';
import { operations, patience, Random, seed } from '../random/random.ts';
import { kernelTest, until } from '../support.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** How large files get, and how many pages there are for three of them. */
const MOST = 16 * PAGE;
const LIMIT = 24;
const FILES = 3;

/** A file as its owner has it: with its size. */
class File {
  readonly content: Content;
  size = 0;
  constructor(store: Store, nodeid: number) {
    this.content = store.content({ nodeid, size: 0 });
  }
  grown(to: number): void {
    this.size = this.content.settle(Math.max(this.size, to));
  }
  get bytes(): Buffer {
    const bytes = Buffer.alloc(this.size, '?');
    this.content.read(0, bytes, this.size);
    return bytes;
  }
  /** Where data begins and ends. */
  get map(): [number, number][] {
    const map: [number, number][] = [];
    for (let at = this.content.data(0); at < this.size; ) {
      const end = Math.min(this.size, this.content.hole(at));
      map.push([at, end]);
      at = this.content.data(end);
    }
    return map;
  }
}

/** A store with files, and what is done to them, so that it can be done to another as well. */
class Side {
  readonly store: Store;
  readonly files: File[];
  /** What promises look like is not compared, see below; so nothing is copied from where there are some. */
  readonly promised = Array.from({ length: FILES }, () => false);
  #next = FILES + 1;
  #others = 0;
  constructor(store: Store) {
    this.store = store;
    this.files = Array.from({ length: FILES }, (_, i) => new File(store, i + 1));
  }

  write(which: number, offset: number, data: Buffer, whole: boolean): number {
    const file = this.files[which]!;
    const written = file.content.write(offset, data, whole);
    file.grown(offset + written);
    return written;
  }
  resize(which: number, size: number): void {
    const file = this.files[which]!;
    if (size <= file.size) file.content.cut(size);
    file.size = file.content.settle(size);
  }
  fallocate(which: number, how: 'punch' | 'zero' | 'allocate', offset: number, length: number, grows: boolean): void {
    const file = this.files[which]!;
    file.content[how](offset, length);
    if (how !== 'punch') this.promised[which] = true;
    file.grown(grows ? offset + length : 0);
  }
  copy(from: number, to: number, offset: number, target: number, length: number): number {
    const [source, file] = [this.files[from]!, this.files[to]!];
    const most = Math.min(length, source.size - offset);
    if (most <= 0 || this.promised[from]) return 0;
    const copied = file.content.copy(source.content, offset, target, most);
    file.grown(target + copied);
    return copied;
  }
  replace(which: number): void {
    this.promised[which] = false;
    this.files[which]!.content.free();
    this.files[which] = new File(this.store, this.#next++);
  }
  reserve(pages: number): void {
    this.store.reserve(pages);
    this.#others += pages;
  }
  unreserve(pages: number): void {
    const given = Math.min(pages, this.#others);
    this.store.unreserve(given);
    this.#others -= given;
  }

  /** All that anybody can see. */
  get seen(): unknown {
    const files = this.files.map((file) => ({
      ...{ size: file.size, count: file.content.count, bytes: file.bytes.toString('latin1') },
    }));
    return { files, free: this.store.free };
  }
  /**
   * What is data and what is not. Where space was promised a tmpfs calls it data when it is promised again or a part of it is punched: then
   * there may be more.
   */
  get maps(): [number, number][][] {
    return this.files.map(({ map }, i) => (this.promised[i] ? [] : map));
  }
  check(): void {
    const files = this.files.map(({ content, size }, i) => ({ nodeid: i, size, content }));
    this.store.check(files, this.#others);
  }
}

/** What a call gives, or the name of its errno. */
function result<T>(call: () => T): T | string {
  try {
    return call();
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    return error.code;
  }
}

const count = operations(1000);
kernelTest(
  'random calls do the same in a tmpfs and in pages, with room and without',
  async () => {
    const random = new Random(seed);
    const [paged, tmpfs] = [new Side(new PagedStore(LIMIT)), new Side(new TmpfsStore(LIMIT))];
    const offset = () => (random.chance(3) ? random.below(MOST / PAGE) * PAGE : random.below(MOST));
    const length = (from: number) => 1 + random.below(Math.min(MOST - from, random.of([20, PAGE, 5 * PAGE, MOST])));
    let refused = 0;
    for (let step = 0; step < count; step++) {
      const which = random.below(FILES);
      const at = offset();
      const long = length(at);
      const calls: [string, (side: Side) => unknown][] = [];
      const say = (what: string, call: (side: Side) => unknown) => calls.push([what, call]);
      const data = random.bytes(long);
      const whole = random.chance(4);
      say(`write ${which} ${at} ${long}${whole ? ' whole' : ''}`, (side) => side.write(which, at, data, whole));
      say(`write ${which} ${at} ${long}`, (side) => side.write(which, at, data, false));
      say(`resize ${which} ${at}`, (side) => side.resize(which, at));
      const how = random.of(['punch', 'punch', 'zero', 'allocate'] as const);
      const grows = how !== 'punch' && random.chance(2);
      say(`${how} ${which} ${at} ${long}`, (side) => side.fallocate(which, how, at, long, grows));
      const other = (which + 1 + random.below(FILES - 1)) % FILES;
      const target = Math.min(offset(), MOST - long);
      say(`copy ${which} ${other} ${at} ${target} ${long}`, (side) => side.copy(which, other, at, target, long));
      say(`replace ${which}`, (side) => side.replace(which));
      const pages = 1 + random.below(4);
      say(`reserve ${pages}`, (side) => side.reserve(pages));
      say(`unreserve ${pages}`, (side) => side.unreserve(pages));
      const [what, call] = random.of(calls);
      const [wanted, found] = [result(() => call(paged)), result(() => call(tmpfs))];
      const where = `SEED=${seed}, step ${step}: ${what}`;
      expect(found, where).toEqual(wanted);
      expect(tmpfs.seen, where).toEqual(paged.seen);
      expect(tmpfs.maps, where).toEqual(paged.maps);
      tmpfs.check();
      if (wanted === 'ENOSPC') refused++;
    }
    expect(refused).toBeGreaterThan(count / 100);
  },
  patience(count),
);

describe('room', () => {
  kernelTest('is one for contents and extended attributes, to the last page', async () => {
    const store = new TmpfsStore(10);
    const side = new Side(store);
    store.reserve(4);
    expect(store.free).toBe(6);
    expect(side.write(0, 0, Buffer.alloc(9 * PAGE, 'x'), false)).toBe(6 * PAGE);
    expect([store.free, side.files[0]!.content.count]).toEqual([0, 6]);
    expect(result(() => side.write(0, 6 * PAGE, Buffer.from('y'), false))).toBe('ENOSPC');
    expect(result(() => store.reserve(1))).toBe('ENOSPC');
    store.unreserve(4);
    expect(store.free).toBe(4);
    expect(side.write(1, 2 ** 52, Buffer.from('far'), false)).toBe(3);
    expect([side.files[1]!.content.data(0), side.files[1]!.content.hole(2 ** 52)]).toEqual([2 ** 52, 2 ** 52 + 3]);
    store.reserve(3);
    expect(store.free).toBe(0);
  });

  kernelTest('a file that had a size before it had a content has it still', async () => {
    const store = new TmpfsStore(10);
    const content = store.content({ nodeid: 1, size: 5000 });
    expect([content.seen(), content.count, content.data(0)]).toEqual([5000, 0, Number.POSITIVE_INFINITY]);
    expect(content.settle(4000), 'it has more, by who writes meanwhile').toBe(5000);
  });

  kernelTest('none is none, not without bounds', async () => {
    const side = new Side(new TmpfsStore(0));
    expect(side.store.free).toBe(0);
    expect(() => side.write(0, 0, Buffer.from('x'), false)).toThrow(ENOSPC);
    const one = new Side(new TmpfsStore(1));
    one.reserve(1);
    expect(() => one.write(0, 0, Buffer.from('x'), false)).toThrow(ENOSPC);
    one.check();
  });

  kernelTest('a file takes no descriptor, and the store’s own goes with it', async () => {
    const files = () => readdirSync('/proc/self/fd');
    const root = (() => {
      const store = new TmpfsStore(10);
      const before = files();
      new Side(store).write(0, 0, Buffer.from('text'), false);
      expect(files()).toEqual(before);
      return store.root;
    })();
    expect(files()).toContain(`${root}`);
    await until(() => {
      collect();
      return !files().includes(`${root}`);
    }, 'the store to be collected');
  });
});

test('without CAP_SYS_ADMIN there is none, and it says so', () => {
  if (process.geteuid?.() !== 0) return;
  const made = () => withoutCapabilities([CAP_SYS_ADMIN], () => new TmpfsStore(1));
  expect(made).toThrow('fsopen: operation not permitted');
});
