/** What files in memory are made of: pages and their limits, holes, promises; and the clock of their times. */
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { ENOSPC } from '../../src/abi/errno.ts';
import { clock } from '../../src/fs/memory/clock.ts';
import { PagedContent } from '../../src/fs/memory/paged.ts';
import { PAGE, Pages } from '../../src/fs/memory/pages.ts';

/** A content with the size that a file would keep, and ways to look at it. */
class File {
  readonly content: PagedContent;
  size = 0;
  constructor(pages: Pages) {
    this.content = new PagedContent(pages);
  }
  write(offset: number, text: string | Buffer): number {
    const written = this.content.write(offset, Buffer.from(text));
    this.size = Math.max(this.size, offset + written);
    return written;
  }
  read(offset: number, length: number): string {
    const into = Buffer.alloc(length, '?');
    this.content.read(offset, into, length);
    return into.toString('latin1');
  }
  check(): void {
    this.content.check(this.size, () => {});
  }
  /** Where data begins and ends, in pages. */
  get map(): [number, number][] {
    const map: [number, number][] = [];
    for (let at = this.content.data(0); at < this.size; ) {
      const end = Math.min(this.size, this.content.hole(at));
      map.push([at / PAGE, end / PAGE]);
      at = this.content.data(end);
    }
    return map;
  }
}

describe('holes', () => {
  test('read as zeros and cost nothing', () => {
    const pages = new Pages(100);
    const file = new File(pages);
    file.write(2 ** 50, 'end');
    file.write(5 * PAGE + 10, 'x');
    expect(file.content.count).toBe(2);
    expect([pages.reserved, pages.taken]).toEqual([2, 2]);
    expect(file.read(2 ** 50 - 2, 6)).toBe('\0\0end\0');
    expect(file.read(5 * PAGE + 9, 3)).toBe('\0x\0');
    file.check();
  });

  test('are found, between data far apart, without looking at each page', () => {
    const file = new File(new Pages(100));
    file.write(0, 'a');
    file.write(700 * PAGE, Buffer.alloc(3 * PAGE, 'b'));
    file.write(2 ** 52, 'c');
    expect(file.map).toEqual([
      [0, 1],
      [700, 703],
      [2 ** 52 / PAGE, (2 ** 52 + 1) / PAGE],
    ]);
    expect(file.content.data(701 * PAGE + 5)).toBe(701 * PAGE + 5);
    expect(file.content.hole(701 * PAGE + 5)).toBe(703 * PAGE);
    expect(file.content.data(2 ** 52 + PAGE)).toBe(Number.POSITIVE_INFINITY);
  });

  test('are made by punching: whole pages go, parts become zeros', () => {
    const pages = new Pages(100);
    const file = new File(pages);
    file.write(0, Buffer.alloc(4 * PAGE, 'x'));
    file.content.punch(PAGE / 2, 2 * PAGE);
    expect(file.map).toEqual([
      [0, 1],
      [2, 4],
    ]);
    expect(file.read(PAGE / 2 - 1, 2)).toBe('x\0');
    expect(file.read(2.5 * PAGE - 1, 2)).toBe('\0x');
    file.content.punch(3 * PAGE + 5, 10); // within one page
    expect(file.read(3 * PAGE + 4, 12)).toBe(`x${'\0'.repeat(10)}x`);
    file.content.punch(0, 2 ** 52);
    expect([pages.reserved, pages.taken, file.content.count]).toEqual([0, 0, 0]);
    file.check();
  });

  test('stay holes when copied, and overwrite what was there', () => {
    const pages = new Pages(100);
    const [from, to] = [new File(pages), new File(pages)];
    from.write(2 * PAGE, 'data');
    to.write(0, Buffer.alloc(4 * PAGE, 'x'));
    expect(to.content.copy(from.content, 0, 0, 3 * PAGE)).toBe(3 * PAGE);
    expect(to.map).toEqual([[2, 4]]);
    expect(to.read(2 * PAGE, 5)).toBe('data\0');
    expect(to.content.copy(from.content, 2 * PAGE + 1, 1, 3)).toBe(3);
    expect(to.read(0, 5)).toBe('\0ata\0');
    to.check();
  });

  test('what is cut off reads as zeros when the file grows again', () => {
    const file = new File(new Pages(100));
    file.write(0, Buffer.alloc(3 * PAGE, 'x'));
    file.content.cut(PAGE + 1);
    file.size = PAGE + 1;
    file.check();
    expect(file.read(PAGE, 3)).toBe('x\0\0');
    expect(file.content.count).toBe(2);
  });
});

describe('space', () => {
  test('a write that fits in part writes that part, the next none', () => {
    const pages = new Pages(3);
    const file = new File(pages);
    expect(file.write(PAGE / 2, Buffer.alloc(5 * PAGE, 'x'))).toBe(2.5 * PAGE);
    expect(() => file.write(3 * PAGE, 'y')).toThrow(ENOSPC);
    expect(file.write(PAGE, 'over')).toBe(4); // what has its page needs no space
    expect(file.read(PAGE, 5)).toBe('overx');
    file.check();
  });

  test('a promise is kept on a full filesystem, takes no memory, and is a hole until then', () => {
    const pages = new Pages(4);
    const [promised, other] = [new File(pages), new File(pages)];
    promised.content.allocate(PAGE, 2 * PAGE);
    expect([pages.reserved, pages.taken]).toEqual([2, 0]);
    expect(other.write(0, Buffer.alloc(9 * PAGE, 'x'))).toBe(2 * PAGE);
    promised.size = 4 * PAGE;
    expect(promised.map).toEqual([]);
    expect(promised.write(PAGE, Buffer.alloc(2 * PAGE, 'y'))).toBe(2 * PAGE);
    expect(() => promised.write(0, 'z')).toThrow(ENOSPC);
    promised.content.cut(0);
    expect([pages.reserved, pages.taken]).toEqual([2, 2]);
  });

  test('a promise that can’t be given changes nothing, however large', () => {
    const pages = new Pages(4);
    const file = new File(pages);
    file.write(0, 'x');
    expect(() => file.content.allocate(0, 5 * PAGE)).toThrow(ENOSPC);
    expect(() => file.content.allocate(0, 2 ** 52)).toThrow(ENOSPC);
    expect(() => file.content.zero(0, 5 * PAGE)).toThrow(ENOSPC);
    expect([pages.reserved, file.content.count, file.read(0, 1)]).toEqual([1, 1, 'x']);
    file.content.allocate(0, 4 * PAGE);
    expect(file.content.count).toBe(4);
  });

  test('zeroing gives memory back and keeps the promise', () => {
    const pages = new Pages(4);
    const file = new File(pages);
    file.write(0, Buffer.alloc(4 * PAGE, 'x'));
    file.content.zero(PAGE - 1, 2 * PAGE + 2);
    expect([pages.reserved, pages.taken, file.content.count]).toEqual([4, 2, 4]);
    expect(file.read(PAGE - 2, 3)).toBe('x\0\0');
    expect(file.read(3 * PAGE, 3)).toBe('\0xx');
    file.check();
  });

  test('a copy that fits in part copies that part', () => {
    const pages = new Pages(5);
    const [from, to] = [new File(pages), new File(pages)];
    from.write(0, Buffer.alloc(3 * PAGE, 'x'));
    expect(to.content.copy(from.content, 0, 0, 3 * PAGE)).toBe(2 * PAGE);
    expect(() => to.content.copy(from.content, 0, 2 * PAGE, PAGE)).toThrow(ENOSPC);
  });

  test('pages go and come in order, so that a file that is written again is one piece', () => {
    const pages = new Pages(1000);
    const [first, second] = [new File(pages), new File(pages)];
    first.write(0, Buffer.alloc(100 * PAGE, 'x'));
    second.write(0, 'y');
    first.content.cut(0);
    first.write(0, Buffer.alloc(100 * PAGE, 'z'));
    const numbers: number[] = [];
    first.content.check(100 * PAGE, (page) => numbers.push(page));
    expect(numbers).toEqual(Array.from({ length: 100 }, (_, i) => numbers[0]! + i));
  });

  test('what was another file’s is not seen', () => {
    const pages = new Pages(1000);
    const [first, second] = [new File(pages), new File(pages)];
    first.write(0, Buffer.alloc(PAGE * 10, 'secret'));
    first.content.cut(0);
    for (let i = 0; i < 10; i++) second.write(i * PAGE + 100, '.');
    expect(second.read(0, 10 * PAGE)).not.toContain('s');
    second.check();
  });
});

test('more than one segment of memory: a file of 40 MiB, and its memory goes when it does', () => {
  const pages = new Pages(20_000);
  const file = new File(pages);
  const block = Buffer.alloc(1 << 20);
  for (let i = 0; i < 40; i++) {
    block.fill(i + 1);
    file.write(i << 20, block);
  }
  const rss = process.memoryUsage().rss;
  for (const i of [0, 15, 16, 39]) expect(file.read((i << 20) + 5, 1).charCodeAt(0)).toBe(i + 1);
  expect(file.read((16 << 20) - 1, 2)).toBe('\x10\x11');
  file.content.cut(0);
  expect(pages.taken).toBe(0);
  expect(process.memoryUsage().rss).toBeLessThan(rss - (30 << 20));
});

test('the clock has nanoseconds, runs forward and with the system’s', () => {
  let [seconds, nanoseconds] = [0, 0];
  const seen = new Set<number>();
  for (let i = 0; i < 10_000; i++) {
    clock.tick();
    expect(clock.seconds > seconds || (clock.seconds === seconds && clock.nanoseconds >= nanoseconds)).toBe(true);
    ({ seconds, nanoseconds } = clock);
    expect(nanoseconds).toBeLessThan(1e9);
    expect(Number.isInteger(nanoseconds) && nanoseconds >= 0).toBe(true);
    seen.add(nanoseconds % 1000);
  }
  expect(seen.size).toBeGreaterThan(100); // not microseconds with zeros behind
  expect(Math.abs(seconds * 1000 + nanoseconds / 1e6 - Date.now())).toBeLessThan(50);
});

test('a thread that is held up while it reads the clock does not take the clock for set anew', () => {
  let elapsed = 1_000_000;
  let held = 0;
  const origin = Date.now() + 5_000_000.25; // not what the clock has seen so far: it is set to this by the first tick
  const spies = [
    vi.spyOn(performance, 'now').mockImplementation(() => elapsed),
    vi.spyOn(Date, 'now').mockImplementation(() => {
      elapsed += held;
      held = 0;
      return Math.floor(origin + elapsed);
    }),
  ];
  onTestFinished(() => {
    for (const spy of spies) spy.mockRestore();
  });
  /** How far the clock is from the time, in ms. */
  const off = () => {
    const { seconds, nanoseconds } = clock.tick();
    return seconds * 1000 + nanoseconds / 1e6 - origin - elapsed;
  };
  const before = off();
  expect(Math.abs(before)).toBeLessThan(1);
  for (const ms of [0.7, 3, 30.3]) {
    held = ms;
    clock.tick();
    expect(off()).toBeCloseTo(before, 2);
  }
});
