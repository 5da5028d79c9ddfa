/** Names in shared memory beside a Map: the same answers, and every block given back. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Heap } from '../../src/fs/shared/heap.ts';
import { Name, NameTable, OWN, TABLE } from '../../src/fs/shared/names.ts';
import { decodeName } from '../../src/protocol/names.ts';
import { seed } from '../random/random.ts';

const names = fc
  .uint8Array({ minLength: 1, maxLength: 9 })
  .map((bytes) => decodeName(Buffer.from(bytes), 0, bytes.length));

test('random names are added, turned and removed as in a Map', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom('add', 'turn', 'remove'), names, fc.integer({ min: 1, max: 2 ** 53 - 1 })), {
        maxLength: 200,
      }),
      (steps) => {
        const heap = new Heap(Heap.share());
        const at = heap.take(TABLE);
        const table = new NameTable(heap, at, 2);
        const model = new Map<string, number>();
        for (const [what, name, nodeid] of steps) {
          const place = table.find(new Name(name));
          expect(place !== 0).toBe(model.has(name));
          if (what === 'add' && place === 0) {
            const own = table.add(new Name(name), nodeid);
            heap.set(own + OWN, nodeid | 0);
            model.set(name, nodeid);
          } else if (what === 'turn' && place !== 0) {
            table.turn(place, nodeid);
            model.set(name, nodeid);
          } else if (what === 'remove' && place !== 0) {
            table.remove(place);
            model.delete(name);
          }
        }
        table.check();
        expect(new Map([...table.all()].map((each) => [table.text(each), table.nodeid(each)]))).toEqual(model);
        heap.check(new Set([at, ...table.blocks()]));
        for (const each of [...table.all()]) table.remove(each);
        heap.check(new Set([at]));
      },
    ),
    { seed, numRuns: 100 },
  );
});

test('a name that was taken out is found no more, and its block is the caller\u2019s', () => {
  const heap = new Heap(Heap.share());
  const table = new NameTable(heap, heap.take(TABLE));
  const [one, other] = ['one', 'other'].map((name, i) => table.add(new Name(name), i + 1)) as [number, number];
  table.take(one);
  expect([table.find(new Name('one')), table.find(new Name('other')), table.size]).toEqual([0, other, 1]);
  expect([table.text(one), table.nodeid(one)]).toEqual(['one', 1]);
  heap.give(one);
  expect(() => heap.give(one)).toThrow(/twice/u);
});
