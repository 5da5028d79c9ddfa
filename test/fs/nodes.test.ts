/** The books of a filesystem: lookup counts, nodeids, handles. Both kinds of books keep the same rules. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EBADF, ESTALE } from '../../src/abi/errno.ts';
import { struct, u32, u64 } from '../../src/abi/struct.ts';
import { type Counted, HandleTable, type Node, type Nodes, NodeTable } from '../../src/fs/nodes.ts';
import { shareNodes } from '../../src/fs/shared/layout.ts';
import { openNodes } from '../../src/fs/shared/nodes.ts';

class TestNode implements Node {
  nlookup = 0;
  linked = true;
  readonly nodeid: number;
  constructor(nodeid: number) {
    this.nodeid = nodeid;
  }
}

/** Some books, and how the filesystem makes a node with a name, and takes the name away. */
interface Kept<N extends Counted> {
  readonly nodes: Nodes<N>;
  readonly removed: number[];
  readonly add: () => N;
  readonly unlink: (node: N) => void;
}
function onOneThread(): Kept<TestNode> {
  const removed: number[] = [];
  const nodes = new NodeTable<TestNode>((node) => removed.push(node.nodeid));
  const add = () => nodes.add((nodeid) => new TestNode(nodeid));
  const unlink = (node: TestNode) => {
    node.linked = false;
    nodes.drop(node);
  };
  return { nodes, removed, add, unlink };
}
function inSharedMemory(keyed: boolean) {
  const removed: number[] = [];
  const value = struct({ number: u32 });
  const layout = keyed ? { key: struct({ ino: u64 }), value } : { value };
  const nodes = openNodes<{ ino: bigint }, { number: number }>(layout, shareNodes(layout), (node) =>
    removed.push(node.nodeid),
  );
  let ino = 0n;
  const add = () => {
    const node = keyed ? nodes.add({ number: 1 }, { ino: ino++ }) : nodes.add({ number: 1 });
    nodes.hold(node);
    return node;
  };
  return { nodes, removed, add, unlink: (node: ReturnType<typeof add>) => nodes.letGo(node) };
}
const table = (keep: () => Kept<Counted>) => {
  const kept = keep();
  return { ...kept, root: kept.add() };
};

describe.each<{ kind: string; keep: () => Kept<Counted> }>([
  { kind: 'NodeTable', keep: onOneThread as () => Kept<Counted> },
  { kind: 'SharedNodes', keep: () => inSharedMemory(false) as unknown as Kept<Counted> },
  { kind: 'SharedNodes with keys', keep: () => inSharedMemory(true) as unknown as Kept<Counted> },
])('$kind', ({ keep }) => {
  test('the first node is the root, and the others count up', () => {
    const { add, root } = table(keep);
    expect([root, add(), add()].map(({ nodeid }) => nodeid)).toEqual([1, 2, 3]);
  });

  test('a node stays as long as it has a lookup or a link, and leaves with the last of both', () => {
    const { nodes, removed, add, unlink } = table(keep);
    const [forgottenFirst, unlinkedFirst] = [add(), add()];
    for (const node of [forgottenFirst, unlinkedFirst]) nodes.lookup(nodes.lookup(node));

    nodes.forget({ nodeid: forgottenFirst.nodeid, nlookup: 2 });
    expect(nodes.get(forgottenFirst.nodeid).nodeid).toBe(forgottenFirst.nodeid);
    unlink(forgottenFirst);
    expect(() => nodes.get(forgottenFirst.nodeid)).toThrow(ESTALE);

    unlink(unlinkedFirst);
    nodes.forget({ nodeid: unlinkedFirst.nodeid, nlookup: 1 });
    expect(nodes.get(unlinkedFirst.nodeid).nodeid).toBe(unlinkedFirst.nodeid);
    nodes.forget({ nodeid: unlinkedFirst.nodeid, nlookup: 1 });
    expect(() => nodes.get(unlinkedFirst.nodeid)).toThrow(ESTALE);
    expect(removed).toEqual([forgottenFirst.nodeid, unlinkedFirst.nodeid]);
  });

  test('a nodeid never comes back', () => {
    const { add, unlink } = table(keep);
    const gone = add();
    unlink(gone);
    expect(add().nodeid).toBeGreaterThan(gone.nodeid);
  });

  test('the root stays, whatever is forgotten, and does not count', () => {
    const { nodes, root, unlink } = table(keep);
    nodes.lookup(root);
    expect(nodes.counted).toEqual([]);
    unlink(root);
    nodes.forget({ nodeid: 1, nlookup: 5 });
    expect(nodes.get(1).nodeid).toBe(root.nodeid);
  });

  test('forgetting what is not there, or more than was given, does no harm', () => {
    const { nodes, add } = table(keep);
    nodes.forget({ nodeid: 99, nlookup: 1 });
    const node = nodes.lookup(add());
    nodes.forget({ nodeid: node.nodeid, nlookup: 7 });
    expect([node.nlookup, nodes.size]).toEqual([0, 2]);
  });

  test('counted names the nodes that the kernel still holds', () => {
    const { nodes, add } = table(keep);
    const [a, b] = [nodes.lookup(add()), nodes.lookup(add())];
    expect(nodes.counted.map(({ nodeid }) => nodeid)).toEqual([a.nodeid, b.nodeid]);
    nodes.forget({ nodeid: a.nodeid, nlookup: 1 });
    expect(nodes.counted.map(({ nodeid }) => nodeid)).toEqual([b.nodeid]);
  });

  test('no order of lookups, forgets and unlinks loses or keeps a node that it should not', () => {
    const seed = process.env.SEED === undefined ? Date.now() & 0x7fff_ffff : Number(process.env.SEED);
    const step = fc.tuple(
      fc.constantFrom('add', 'lookup', 'forget', 'unlink'),
      fc.nat(30),
      fc.integer({ min: 1, max: 3 }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const { nodes, add, unlink } = table(keep);
        const model = new Map<number, { given: number; linked: boolean }>();
        const ids: number[] = [];
        for (const [what, pick, n] of steps) {
          const nodeid = ids[pick % Math.max(1, ids.length)];
          const known = nodeid === undefined ? undefined : model.get(nodeid);
          if (what === 'add') {
            const node = add();
            ids.push(node.nodeid);
            model.set(node.nodeid, { given: 0, linked: true });
          } else if (known === undefined) continue;
          else if (what === 'lookup') {
            nodes.lookup(nodes.get(nodeid!));
            known.given++;
          } else if (what === 'forget') {
            const nlookup = Math.min(n, known.given); // the kernel never takes back more
            nodes.forget({ nodeid: nodeid!, nlookup });
            known.given -= nlookup;
          } else {
            if (!known.linked) continue;
            known.linked = false;
            unlink(nodes.get(nodeid!));
          }
          for (const [id, { given, linked }] of model) if (given === 0 && !linked) model.delete(id);
        }
        expect(nodes.size).toBe(model.size + 1);
        expect(new Map(nodes.counted.map(({ nodeid, nlookup }) => [nodeid, nlookup]))).toEqual(
          new Map([...model].filter(([, { given }]) => given > 0).map(([id, { given }]) => [id, given])),
        );
      }),
      { seed, verbose: true },
    );
    console.log(`seed ${seed}: SEED=${seed} repeats it`);
  });
});

describe('HandleTable', () => {
  test('a handle gives what was kept, until it is released', () => {
    const handles = new HandleTable<string>();
    const [a, b] = [handles.add('a'), handles.add('b')];
    expect([handles.get(a), handles.get(b), handles.size]).toEqual(['a', 'b', 2]);
    expect(handles.release(a)).toBe('a');
    expect(() => handles.get(a)).toThrow(EBADF);
    expect(() => handles.release(a)).toThrow(EBADF);
    expect([handles.get(b), handles.size]).toEqual(['b', 1]);
  });

  test('0 is no handle, nor is a number that was never given', () => {
    const handles = new HandleTable<string>();
    handles.add('a');
    for (const fh of [0, 2, -1, 1.5, Number.MAX_SAFE_INTEGER]) expect(() => handles.get(fh)).toThrow(EBADF);
    expect(() => handles.release(0)).toThrow(EBADF);
  });

  test('a released handle is given again, and never one that is in use', () => {
    const handles = new HandleTable<number>();
    const open = new Set<number>();
    for (let i = 0; i < 1000; i++) {
      const fh = handles.add(i);
      expect(open.has(fh)).toBe(false);
      open.add(fh);
      if (i % 3 === 0) {
        const oldest = open.values().next().value!;
        handles.release(oldest);
        open.delete(oldest);
      }
    }
    expect(handles.size).toBe(open.size);
    expect(Math.max(...open)).toBeLessThan(1000);
  });

  test('a falsy thing is kept like any other', () => {
    const handles = new HandleTable<number>();
    expect(handles.release(handles.add(0))).toBe(0);
  });
});
