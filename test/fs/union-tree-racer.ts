/**
 * What a thread of the race over a union's tree does, without files: finds, moves, identifies and detaches names of its own in directories that all
 * threads use, and forgets nodes. So their short locks meet, which system calls between would keep apart.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { S_IFDIR, S_IFREG } from '../../src/abi/posix.ts';
import { type UnionNode, UnionTree } from '../../src/fs/union/tree.ts';
import { random } from './shared-racer.ts';
import type { Race } from './union-racer.ts';

const { shared, mark, me, seed } = workerData as Race;
const tree = new UnionTree(shared);
const below = random(seed);
const directories = ['d', 'e'].map((name) => tree.found(tree.root, name, S_IFDIR, undefined));
/** Names, each with its node and how often that was counted. */
const own = new Map<string, { readonly node: UnionNode; count: number }>();
let done = 0;

function step(): void {
  const at = below(2);
  const [parent, name] = [directories[at]!, `${me}-${below(5)}`];
  const key = `${at}/${name}`;
  const known = own.get(key);
  const what = below(4);
  if (known === undefined || what === 0) {
    const node = tree.found(parent, name, S_IFREG, undefined);
    if (known !== undefined && node.nodeid !== known.node.nodeid) throw new Error(`${key} is another node`);
    own.set(key, { node, count: (known?.count ?? 0) + 1 });
  } else if (what === 1) {
    const to = below(2);
    if (own.has(`${to}/${name}x`)) return;
    tree.move(parent, name, directories[to]!, `${name}x`);
    if (tree.path(known.node) !== `${'de'[to]}/${name}x`) throw new Error(`${key} is at ${tree.path(known.node)}`);
    tree.move(directories[to]!, `${name}x`, parent, name);
  } else if (what === 2) {
    tree.identify(known.node, `${below(6)}`); // which others take away
  } else {
    const node = tree.detach(parent, name);
    if (node?.nodeid !== known.node.nodeid) throw new Error(`${key} was ${node?.nodeid}, not ${known.node.nodeid}`);
    forget(key);
  }
  done++;
}
function forget(key: string): void {
  const { node, count } = own.get(key)!;
  tree.table.forget({ nodeid: node.nodeid, nlookup: count });
  own.delete(key);
}

parentPort!.postMessage('ready');
Atomics.wait(mark, 0, 0);
try {
  while (Atomics.load(mark, 0) === 1) for (let i = 0; i < 100; i++) step();
  for (const key of [...own.keys()]) forget(key);
  for (const { nodeid } of directories) tree.table.forget({ nodeid, nlookup: 1 });
  parentPort!.postMessage(done);
} catch (error) {
  parentPort!.postMessage(error);
}
