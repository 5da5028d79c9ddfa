/** The shared node table on one thread: keys, values, places, limits. What it shares with NodeTable is in nodes.test.ts. */
import { describe, expect, test } from 'vitest';
import { ENOMEM, ESTALE } from '../../src/abi/errno.ts';
import { i32, struct, u32, u53, u64 } from '../../src/abi/struct.ts';
import { reserve, SharedCells } from '../../src/fs/shared/cells.ts';
import { shareNodes } from '../../src/fs/shared/layout.ts';
import { holder } from '../../src/fs/shared/lock.ts';
import { openNodes } from '../../src/fs/shared/nodes.ts';
import { SLOTS, WORD } from '../../src/fs/shared/records.ts';

const layout = { key: struct({ dev: u64, ino: u64 }), value: struct({ fd: i32, flags: u32, size: u53 }) };
const key = (ino: number | bigint) => ({ dev: 2n ** 63n + 1n, ino: BigInt(ino) });
const value = (fd: number) => ({ fd, flags: 0xffff_ffff, size: Number.MAX_SAFE_INTEGER });
function tables(options = {}) {
  const shared = shareNodes(layout, options);
  const removed: number[] = [];
  const open = () => openNodes(layout, shared, ({ value: { fd } }) => removed.push(fd));
  const [nodes, others] = [open(), open()];
  const root = nodes.add(value(-1), key(0));
  return { nodes, others, removed, root, shared, cells: new SharedCells(shared.records) };
}

describe('keys and values', () => {
  test('are there for all who have opened the table', () => {
    const { nodes, others, root } = tables();
    const { nodeid } = nodes.add(value(-5), key(2n ** 64n - 1n));
    expect(others.get(nodeid).value).toEqual(value(-5));
    expect(others.get(nodeid).key).toEqual(key(2n ** 64n - 1n));
    expect(others.find(key(0))?.nodeid).toBe(root.nodeid);
    others.get(nodeid).value = { fd: 7, flags: 8, size: 9 };
    expect(nodes.get(nodeid).value).toEqual({ fd: 7, flags: 8, size: 9 });
    expect(nodes.get(nodeid).key).toEqual(key(2n ** 64n - 1n));
    const { valueAt } = nodes.get(nodeid);
    expect(nodes.view.getInt32(valueAt + layout.value.offset.fd, true)).toBe(7);
  });

  test('a key is entered once, and counted for each', () => {
    const { nodes, others, removed } = tables();
    const first = nodes.findOrAdd(key(1), value(10));
    const second = others.findOrAdd(key(1), value(11));
    expect([first.added, second.added, second.nodeid, second.nlookup]).toEqual([true, false, first.nodeid, 2]);
    expect(second.value.fd).toBe(10);
    expect(nodes.find(key(1))?.nlookup).toBe(2); // to find is not to count
    others.forget({ nodeid: first.nodeid, nlookup: 2 });
    expect([nodes.find(key(1)), first.nlookup, removed]).toEqual([undefined, 0, [10]]);
    expect(() => nodes.lookup(first)).toThrow(ESTALE);
    expect(() => nodes.hold(first)).toThrow(ESTALE);
    nodes.removeKey(first); // of one that is not there, nothing
    nodes.letGo(first);
    expect(() => nodes.add(value(1), key(0))).toThrow('there already');
    nodes.check();
  });

  test('a node without its key stays, and another can have it', () => {
    const { nodes } = tables();
    const old = nodes.findOrAdd(key(1), value(1));
    nodes.removeKey(old);
    nodes.removeKey(old);
    expect(nodes.find(key(1))).toBeUndefined();
    expect(nodes.get(old.nodeid).value.fd).toBe(1);
    const young = nodes.findOrAdd(key(1), value(2));
    expect(young.added).toBe(true);
    nodes.forget({ nodeid: old.nodeid, nlookup: 1 });
    expect(nodes.find(key(1))?.nodeid).toBe(young.nodeid);
    nodes.check();
  });

  test('in a table without keys there are none to ask for', () => {
    const plain = { value: struct({ number: u32 }) };
    const nodes = openNodes(plain, shareNodes(plain));
    const root = nodes.add({ number: 1 });
    for (const use of [() => nodes.find(1), () => nodes.findOrAdd(1, { number: 1 }), () => root.key])
      expect(use).toThrow('no keys');
    nodes.check();
  });

  test('a value that does not fit is a bug, and nothing has happened', () => {
    const { nodes } = tables();
    expect(() => nodes.findOrAdd(key(1), value(2 ** 40))).toThrow(RangeError);
    expect([nodes.find(key(1)), nodes.size]).toEqual([undefined, 1]);
    nodes.check();
  });
});

describe('places', () => {
  test('are taken again, under other nodeids', () => {
    const { nodes } = tables();
    const seen = new Set<number>();
    for (let i = 0; i < 1000; i++) {
      const { nodeid } = nodes.findOrAdd(key(i + 1), value(i));
      expect(seen.has(nodeid)).toBe(false);
      seen.add(nodeid);
      nodes.forget({ nodeid, nlookup: 1 });
      expect(() => nodes.get(nodeid)).toThrow(ESTALE);
    }
    expect(new Set([...seen].map((nodeid) => nodeid % SLOTS)).size).toBe(1);
    nodes.check();
  });

  test('whose generations are used up are left alone', () => {
    const { nodes, cells, root } = tables();
    const first = nodes.findOrAdd(key(1), value(1));
    nodes.forget({ nodeid: first.nodeid, nlookup: 1 });
    cells.store(first.at + WORD.STAMP, (2 ** 27 - 1) * 2);
    const last = nodes.findOrAdd(key(1), value(1));
    expect([last.at, last.nodeid]).toEqual([first.at, (2 ** 27 - 1) * SLOTS + 2]);
    expect(Number.isSafeInteger(last.nodeid)).toBe(true);
    expect(nodes.get(last.nodeid).at).toBe(last.at);
    nodes.forget({ nodeid: last.nodeid, nlookup: 1 });
    expect(nodes.findOrAdd(key(1), value(1)).nodeid).toBe(3);
    expect([...nodes.all()].map(({ nodeid }) => nodeid)).toEqual([root.nodeid, 3]);
    nodes.check();
  });

  test('numbers that were never given mean nothing', () => {
    const { nodes } = tables();
    for (const nodeid of [0, -1, 2, 1.5, Number.NaN, SLOTS, SLOTS + 1, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER]) {
      expect(() => nodes.get(nodeid)).toThrow(ESTALE);
      nodes.forget({ nodeid, nlookup: 1 });
    }
    expect(nodes.size).toBe(1);
  });

  test('are as many as was asked for; without one nothing has happened', () => {
    const { nodes, others } = tables({ most: 3 });
    const [a] = [nodes.findOrAdd(key(1), value(1)), nodes.findOrAdd(key(2), value(2))];
    expect(() => others.findOrAdd(key(3), value(3))).toThrow(ENOMEM);
    expect(() => others.add(value(3))).toThrow(ENOMEM);
    expect([others.find(key(3)), nodes.size]).toEqual([undefined, 3]);
    nodes.forget({ nodeid: a.nodeid, nlookup: 1 });
    expect(others.findOrAdd(key(3), value(3)).added).toBe(true);
    nodes.check();
  });

  test('come as they are needed, for all who have opened the table', { timeout: 60_000 }, () => {
    const { nodes, others, shared } = tables({ stripes: 8 });
    const MANY = 30_000;
    const numbers = Array.from({ length: MANY }, (_, i) => i + 1);
    const added = numbers.filter((i) => (i % 2 ? nodes : others).findOrAdd(key(i), value(i)).added);
    expect(added.length).toBe(MANY);
    expect(numbers.filter((i) => nodes.find(key(i))?.value.fd !== i)).toEqual([]);
    expect(shared.buckets!.buffer.byteLength).toBeGreaterThan(MANY * 4);
    expect(nodes.size).toBe(MANY + 1);
    nodes.check();
    const { nodeid } = others.find(key(MANY))!;
    others.forgetAll();
    expect([nodes.size, nodes.counted]).toEqual([1, []]);
    expect(() => nodes.get(nodeid)).toThrow(ESTALE);
    nodes.check();
  });

  test('are found by their keys even where there is no memory for more buckets', () => {
    const few = openNodes(layout, { ...shareNodes(layout), stripes: 1, buckets: reserve(20, 20) });
    for (let i = 0; i < 300; i++) few.findOrAdd(key(i), value(i));
    for (let i = 0; i < 300; i++) expect(few.find(key(i))?.value.fd).toBe(i);
    few.check();
  });

  test('address space for many tables is to be had', () => {
    const many = Array.from({ length: 200 }, () => tables());
    for (const { nodes } of many) expect(nodes.size).toBe(1);
  });
});

describe('counts', () => {
  test('go past 2^32, and back to zero exactly', () => {
    const { nodes, cells, removed } = tables();
    const node = nodes.findOrAdd(key(1), value(1));
    cells.set(node.at + WORD.LOOKUPS, -1); // 2^32 - 1
    expect(node.nlookup).toBe(2 ** 32 - 1);
    nodes.lookup(node);
    nodes.lookup(node);
    expect(node.nlookup).toBe(2 ** 32 + 1);
    cells.set(node.at + WORD.LOOKUPS_HIGH, 2 ** 20);
    expect(node.nlookup).toBe(2 ** 52 + 1);
    nodes.forget({ nodeid: node.nodeid, nlookup: 2 ** 52 });
    expect([node.nlookup, removed]).toEqual([1, []]);
    nodes.forget({ nodeid: node.nodeid, nlookup: 1 });
    expect(removed).toEqual([1]);
  });

  test('a node that is held twice is let go of twice', () => {
    const { nodes, removed } = tables();
    const node = nodes.findOrAdd(key(1), value(1));
    nodes.hold(node);
    nodes.hold(node);
    nodes.forget({ nodeid: node.nodeid, nlookup: 1 });
    nodes.letGo(node);
    expect([node.linked, removed]).toEqual([true, []]);
    nodes.letGo(node);
    expect([node.linked, removed]).toEqual([false, [1]]);
  });

  test('a node is removed even where telling of it fails', () => {
    const shared = shareNodes(layout, { most: 2 });
    const nodes = openNodes(layout, shared, () => {
      throw new Error('told');
    });
    nodes.add(value(0), key(0));
    for (let i = 0; i < 3; i++) {
      const { nodeid } = nodes.findOrAdd(key(1), value(1));
      expect(() => nodes.forget({ nodeid, nlookup: 1 })).toThrow('told');
    }
    expect(nodes.size).toBe(1);
    nodes.check();
  });
});

describe("a node's own lock", () => {
  test('is held while it is used, given back whatever happens, and no one has that of a node that has left', () => {
    const { nodes, cells } = tables();
    const node = nodes.findOrAdd(key(1), value(1));
    const held = () => holder(cells, node.at + WORD.LOCK) !== undefined;
    expect(nodes.locked(node, held)).toBe(true);
    expect(() =>
      nodes.locked(node, () => {
        throw new Error('inside');
      }),
    ).toThrow('inside');
    expect(held()).toBe(false);
    nodes.locked(node, () => nodes.findOrAdd(key(2), value(2))); // the table's locks come after it
    nodes.forget({ nodeid: node.nodeid, nlookup: 1 });
    expect(() => nodes.locked(node, held)).toThrow(ESTALE);
    expect(held()).toBe(false);
  });

  test('of several are taken in one order, and each once', () => {
    const { nodes, cells, root } = tables();
    const [a, b] = [nodes.findOrAdd(key(1), value(1)), nodes.findOrAdd(key(2), value(2))];
    const held = () => [root, a, b].map(({ at }) => holder(cells, at + WORD.LOCK) !== undefined);
    expect(nodes.lockedAll([b, a, nodes.get(b.nodeid)], held)).toEqual([false, true, true]);
    expect(nodes.lockedAll([], held)).toEqual([false, false, false]);
    expect(held()).toEqual([false, false, false]);
  });
});
