/**
 * The shared node table in every order of small cases: lookup against forget, two who add the same, two who remove the
 * same, growth of nodes and of buckets under others' hands, places taken again.
 */
import { expect, test } from 'vitest';
import { struct, u32 } from '../../src/abi/struct.ts';
import { type Cells, SharedCells } from '../../src/fs/shared/cells.ts';
import { shareNodes } from '../../src/fs/shared/layout.ts';
import { type SharedNode, SharedNodes } from '../../src/fs/shared/nodes.ts';
import { WORD } from '../../src/fs/shared/records.ts';
import { explore, type Operation } from './shared-explorer.ts';

interface Key {
  readonly key: number;
}
interface Value {
  readonly value: number;
}
type Table = SharedNodes<Key, Value>;
const layout = { key: struct({ key: u32 }), value: struct({ value: u32 }) };
/** Words of a record, of a stripe before its buckets, and which of those says how many buckets there are. */
const ROW = 10;
const HEAD = 16;
const MORE = 2;
/** Memories of a case: records, buckets, and how many were removed and told of. */
const REMOVED = 2;

const tableOf = (cells: readonly Cells[], stripes: number): Table =>
  new SharedNodes<Key, Value>(layout, { records: cells[0]!, buckets: cells[1]!, stripes }, () => {
    cells[REMOVED]?.add(0, 1);
  });

/** A table on one thread, in the words of which a case begins or ends. */
function real(stripes: number, words?: readonly (readonly number[])[]) {
  const handle = shareNodes(layout, { stripes, most: 16 });
  const cells = [new SharedCells(handle.records), new SharedCells(handle.buckets!)];
  for (const [i, each] of (words ?? []).slice(0, 2).entries()) {
    cells[i]!.grow(each.length);
    for (const [at, word] of each.entries()) cells[i]!.set(at, word);
  }
  return { cells, nodes: tableOf(cells, stripes) };
}

type Results = readonly [readonly number[], readonly number[], ...(readonly number[])[]];
type Act = (nodes: Table, results: readonly number[]) => number | void;
interface Case {
  /** What is there before. */
  readonly before?: (nodes: Table) => void;
  /** Threads, and their operations. Results are numbers: mostly nodeids. */
  readonly threads: readonly (readonly Act[])[];
  /** What must be so in the end. */
  readonly end: (nodes: Table, results: Results, removed: number) => void;
  readonly stripes?: number;
  readonly coarse?: boolean;
}

/** Holds in every moment: no count is negative, and who has a stripe to himself finds nodes in it that are there. */
const always =
  (stripes: number) =>
  ([records, buckets]: readonly Int32Array[]): void => {
    for (let at = ROW; at < records!.length; at += ROW)
      if (records![at + WORD.LOOKUPS_HIGH]! < 0 || records![at + WORD.HOLDS]! < 0) throw new Error('a negative count');
    for (let stripe = 0; stripe < stripes; stripe++) {
      if (buckets![stripe * HEAD] !== 0) continue;
      for (let bucket = HEAD; bucket <= HEAD + buckets![stripe * HEAD + MORE]!; bucket++)
        for (let slot = buckets![bucket * stripes + stripe]!; slot !== 0; slot = records![slot * ROW + WORD.NEXT]!)
          if (!(records![slot * ROW]! & 1)) throw new Error(`place ${slot} is found, and not there`);
    }
  };

function every({ before, threads, end, stripes = 1, coarse = false }: Case): void {
  const first = real(stripes);
  before?.(first.nodes);
  // As small as it can be, so that the case has growth in it: what the nodes take, and the buckets there are.
  const used = Math.max(...[...first.nodes.all()].map(({ at }) => at / ROW), 0) + 1;
  const words = (i: number, count: number) => Array.from({ length: count }, (_, at) => first.cells[i]!.get(at));
  const more = Math.max(...Array.from({ length: stripes }, (_, i) => first.cells[1]!.get(i * HEAD + MORE)));
  const buckets = words(1, (HEAD + 1 + more) * stripes);
  const operation =
    (each: Act): Operation =>
    (cells, results) =>
      each(tableOf(cells, stripes), results);
  const { schedules, longest, moments } = explore({
    memories: [{ words: words(0, ROW * used), most: 10 * ROW }, { words: buckets, most: 64 * stripes }, { words: [0] }],
    threads: threads.map((operations) => operations.map(operation)),
    coarse,
    always: always(stripes),
    end: (results, ended) => {
      for (const result of results.flat()) if (result instanceof Error) throw result;
      const { nodes } = real(stripes, ended);
      nodes.check();
      const [kept, all] = [nodes.size, [...nodes.all()]];
      if (kept !== all.length) throw new Error(`${all.length} nodes, counted as ${kept}`);
      end(nodes, results as unknown as Results, ended[REMOVED]![0]!);
    },
  });
  console.log(`${schedules.toExponential(1)} schedules of up to ${longest} steps, ${moments} moments`);
  expect(schedules).toBeGreaterThan(1000);
}

const enter = (key: number) => (nodes: Table) => nodes.findOrAdd({ key }, { value: key }).nodeid;
const forget =
  (nodeid: number, nlookup = 1) =>
  (nodes: Table) =>
    nodes.forget({ nodeid, nlookup });
/** Takes back what the thread's operation `i` was given. */
const forgetResult = (i: number) => (nodes: Table, results: readonly number[]) =>
  nodes.forget({ nodeid: results[i]!, nlookup: 1 });
const errno = (use: () => SharedNode<Key, Value> | void): number => {
  try {
    use();
    return 0;
  } catch (error) {
    if ((error as { code?: string }).code === 'ESTALE') return 116;
    throw error;
  }
};
const state = (nodes: Table) => [...nodes.all()].map(({ nodeid, nlookup }) => [nodeid, nlookup]);
const root = (nodes: Table) => nodes.add({ value: 0 });
const rootAnd = (key: number, count: number) => (nodes: Table) => {
  root(nodes);
  for (let i = 0; i < count; i++) nodes.findOrAdd({ key }, { value: key });
};
const NEW = 2 ** 26 + 2;

test('a node that is looked up while its last count is taken back stays, or is gone and another comes', () => {
  every({
    before: rootAnd(7, 1),
    threads: [[forget(2)], [enter(7)]],
    end: (nodes, [, [given]], removed) => {
      expect(state(nodes)).toEqual([
        [1, 0],
        [given, 1],
      ]);
      expect([
        [2, 0],
        [NEW, 1],
        [3, 1],
      ]).toContainEqual([given, removed]);
    },
  });
});

test('of two who enter the same key both get the one node, counted twice', () => {
  every({
    before: root,
    threads: [[enter(7)], [enter(7)]],
    end: (nodes, [[a], [b]], removed) => expect([a, b, removed, ...state(nodes)]).toEqual([2, 2, 0, [1, 0], [2, 2]]),
  });
});

test('two who take back the last counts remove the node once', () => {
  every({
    before: rootAnd(7, 3),
    threads: [[forget(2, 2)], [forget(2, 1)]],
    end: (nodes, _, removed) => expect([state(nodes), removed]).toEqual([[[1, 0]], 1]),
  });
});

test('one who looks up a node that he holds is not disturbed by another who forgets his own', () => {
  every({
    before: rootAnd(7, 2),
    threads: [[forget(2)], [(nodes) => nodes.lookup(nodes.get(2)).nodeid]],
    end: (nodes) =>
      expect(state(nodes)).toEqual([
        [1, 0],
        [2, 2],
      ]),
  });
});

test('a stranger who looks up by number gets the node counted, or ESTALE', () => {
  every({
    before: rootAnd(7, 1),
    threads: [[forget(2)], [(nodes) => errno(() => nodes.lookup(nodes.get(2)))]],
    end: (nodes, [, [result]], removed) =>
      expect([result, removed, state(nodes).length]).toEqual(result === 0 ? [0, 0, 2] : [116, 1, 1]),
  });
});

test('a place that is taken again is not taken for what was in it', () => {
  every({
    before: rootAnd(7, 1),
    threads: [[forget(2), enter(8)], [(nodes) => errno(() => nodes.lookup(nodes.get(2)))]],
    end: (nodes, [[, given], [result]]) => {
      const mine = result === 0 ? [[2, 1]] : [];
      expect(state(nodes)).toEqual([[1, 0], ...mine, [given, 1]].sort((a, b) => (a[0]! % 2 ** 26) - (b[0]! % 2 ** 26)));
    },
  });
});

test.each([1, 2, 4])('nodes and buckets grow under the hands of others who add and find, in %i stripes', (stripes) => {
  every({
    before: rootAnd(7, 1),
    threads: [[enter(8)], [enter(9)]],
    end: (nodes, results) => {
      expect(results.flat().sort()).toEqual([3, 4]);
      expect([7, 8, 9].map((key) => nodes.find({ key })?.nodeid)).toEqual([2, ...results.flat()]);
    },
    stripes,
  });
});

test('a key that is taken away while it is entered belongs to the old node or to a new one', () => {
  every({
    before: rootAnd(7, 1),
    threads: [[(nodes) => nodes.removeKey(nodes.get(2))], [enter(7)]],
    end: (nodes, [, [given]]) => {
      expect(nodes.find({ key: 7 })?.nodeid).toBe(given === 2 ? undefined : 3);
      expect(state(nodes)).toEqual(
        given === 2
          ? [
              [1, 0],
              [2, 2],
            ]
          : [
              [1, 0],
              [2, 1],
              [3, 1],
            ],
      );
    },
  });
});

test('a key is taken away while the node is let go of and forgotten', () => {
  every({
    before: (nodes) => {
      rootAnd(7, 1)(nodes);
      nodes.hold(nodes.get(2));
    },
    threads: [
      [(nodes) => errno(() => nodes.removeKey(nodes.get(2)))],
      [(nodes) => nodes.letGo(nodes.get(2)), forget(2)],
    ],
    end: (nodes, _, removed) => expect([state(nodes), removed]).toEqual([[[1, 0]], 1]),
  });
});

test('two enter a key while a third forgets its node', { timeout: 120_000 }, () => {
  every({
    before: rootAnd(7, 1),
    threads: [[enter(7)], [enter(7)], [forget(2)]],
    end: (nodes, [[a], [b]], removed) => {
      expect(a === b || removed === 1).toBe(true);
      expect(state(nodes)).toEqual([
        [1, 0],
        [a, 2],
      ]);
    },
    coarse: true,
  });
});

test('two enter and forget one key: no count is left, and none missing', () => {
  every({
    before: root,
    threads: [
      [enter(7), forgetResult(0)],
      [enter(7), forgetResult(0)],
    ],
    end: (nodes, _, removed) => expect([state(nodes), removed === 1 || removed === 2]).toEqual([[[1, 0]], true]),
    coarse: true,
  });
});

test('the own lock of a node keeps others out, and is free for the next who has its place', () => {
  every({
    before: rootAnd(7, 1),
    threads: [[(nodes) => errno(() => nodes.locked(nodes.get(2), () => {}))], [forget(2), enter(8)]],
    end: (nodes, [, [, given]]) => {
      expect(state(nodes)).toEqual([
        [1, 0],
        [given, 1],
      ]);
      nodes.locked(nodes.get(given!), () => {});
    },
  });
});
