/** What the threads of a union share is as it should be: every name leads to a node that has it, and every block belongs to something. Nobody may use it meanwhile. */
import { SharedCells } from '../../../src/fs/shared/cells.ts';
import { Heap } from '../../../src/fs/shared/heap.ts';
import { NameTable, OWN } from '../../../src/fs/shared/names.ts';
import { openNodes } from '../../../src/fs/shared/nodes.ts';
import type { UnionShared } from '../../../src/fs/union/shared.ts';
import { UnionTree } from '../../../src/fs/union/tree.ts';
import { OPENED, openedLayout, VALUE, WORDS } from '../../../src/fs/union/words.ts';

/** Where State has its block, and a name its directory. */
const BLOCK = 2;
const PARENT = OWN;
const SIBLING = OWN + 2;

export function check(shared: UnionShared): void {
  const tree = new UnionTree(shared);
  const [heap, cells] = [new Heap(shared.heap), new SharedCells(shared.words)];
  const identities = cells.get(WORDS.IDENTITIES);
  const used = new Set([cells.get(WORDS.STATE + BLOCK), identities, ...new NameTable(heap, identities).blocks()]);
  for (const at of new NameTable(heap, identities).all()) {
    const nodeid = new NameTable(heap, identities).nodeid(at);
    if (tree.get(nodeid).word(VALUE.IDENTITY) !== at) throw new Error(`node ${nodeid} has another identity`);
  }
  const named = new Map<number, number>();
  for (const { nodeid } of tree.table.all()) {
    const node = tree.get(nodeid);
    const children = node.word(VALUE.CHILDREN);
    if (children === 0) continue;
    const table = new NameTable(heap, children, 3);
    table.check();
    for (const block of [children, ...table.blocks()]) used.add(block);
    for (const at of table.all()) {
      if (heap.getWide(at + PARENT) !== nodeid) throw new Error(`${table.text(at)} is said to be in another directory`);
      let own = tree.get(table.nodeid(at)).word(VALUE.FIRST);
      while (own !== 0 && own !== at) own = heap.get(own + SIBLING);
      if (own === 0) throw new Error(`${table.text(at)} is no name of the node that it means`);
      named.set(table.nodeid(at), (named.get(table.nodeid(at)) ?? 0) + 1);
    }
  }
  for (const { nodeid } of tree.table.all()) {
    const node = tree.get(nodeid);
    const { names } = node;
    const identity = node.word(VALUE.IDENTITY);
    if (identity !== 0 && new NameTable(heap, identities).nodeid(identity) !== nodeid)
      throw new Error(`node ${nodeid} has the identity of another`);
    if (names !== (named.get(nodeid) ?? 0)) throw new Error(`node ${nodeid} counts ${names} names, and has others`);
  }
  const directories = openNodes(openedLayout, shared.directories);
  for (const { valueAt } of directories.all()) {
    const block = directories.view.getInt32(valueAt + OPENED.BLOCK * 4, true);
    if (block !== 0) used.add(block);
  }
  heap.check(used);
}
