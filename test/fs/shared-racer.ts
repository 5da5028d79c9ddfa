/**
 * What a thread of the tests of shared memory does: `hold` takes the lock in word 0 and stays; `race` does with the
 * nodes of a table what filesystems do, at random, and at the end takes back what it was given.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { ESTALE } from '../../src/abi/errno.ts';
import { struct, u32 } from '../../src/abi/struct.ts';
import { type CellsHandle, SharedCells } from '../../src/fs/shared/cells.ts';
import type { NodesHandle } from '../../src/fs/shared/layout.ts';
import { acquire } from '../../src/fs/shared/lock.ts';
import { openNodes } from '../../src/fs/shared/nodes.ts';

export interface Race {
  readonly shared: NodesHandle;
  /** @see STOP, REMOVED, ADDED, BEGIN */
  readonly words: SharedArrayBuffer;
  readonly seed: number;
  /** Keys that all threads use. */
  readonly keys: number;
}
export interface Raced {
  readonly operations: number;
  /** How often it has counted under nodes' own locks. */
  readonly counted: number;
}
/** Words that threads share: when to begin and to stop, and how many nodes came and went. */
export const BEGIN = 0;
export const STOP = 1;
export const ADDED = 2;
export const REMOVED = 3;
export const RACE_LAYOUT = { key: struct({ key: u32 }), value: struct({ key: u32, uses: u32 }) };
/** The node that stays, and in whose value all threads count. */
export const KEPT = 1;

export const random =
  (seed: number) =>
  (below: number): number => {
    seed = (seed + 0x9e3779b9) | 0;
    let n = Math.imul(seed ^ (seed >>> 16), 0x21f0aaad);
    n = Math.imul(n ^ (n >>> 15), 0x735a2d97);
    return ((n ^ (n >>> 15)) >>> 0) % below;
  };

function race({ shared, words, seed, keys }: Race): Raced {
  const marks = new Int32Array(words);
  const pick = random(seed);
  const nodes = openNodes<{ key: number }, { key: number; uses: number }>(RACE_LAYOUT, shared, () => {
    Atomics.add(marks, REMOVED, 1);
  });
  /** What we were given and have not taken back, what key it has, and where it is in `held`, to be picked from. */
  const mine = new Map<number, { readonly key: number; count: number; at: number }>();
  const held: number[] = [];
  const old: number[] = [];
  let counted = 0;
  let operations = 0;
  const wrong = (why: string): never => {
    throw new Error(`${why}, after ${operations} operations with seed ${seed}`);
  };
  const given = ({ nodeid }: { readonly nodeid: number }, key: number) => {
    const known = mine.get(nodeid);
    if (known) known.count++;
    else mine.set(nodeid, { key, count: 1, at: held.push(nodeid) - 1 });
  };
  const back = (nodeid: number, nlookup: number) => {
    const known = mine.get(nodeid)!;
    known.count -= nlookup;
    if (known.count === 0) {
      mine.delete(nodeid);
      const last = held.pop()!;
      if (last !== nodeid) {
        held[known.at] = last;
        mine.get(last)!.at = known.at;
      }
      old[pick(64)] = nodeid;
    }
    nodes.forget({ nodeid, nlookup });
  };
  const enter = (key: number) => {
    const node = nodes.findOrAdd({ key }, { key, uses: 0 });
    if (node.added) Atomics.add(marks, ADDED, 1);
    if (node.key.key !== key || node.value.key !== key)
      wrong(`node ${node.nodeid} of key ${key} has ${node.value.key}`);
    given(node, key);
  };
  /** What was forgotten may be there by others' counts, or not: then it is ESTALE, and never another node. */
  const visit = (nodeid: number) => {
    try {
      const node = nodes.lookup(nodes.get(nodeid));
      given(node, node.value.key);
    } catch (error) {
      if (error !== ESTALE) throw error;
    }
  };

  for (; Atomics.load(marks, STOP) === 0; operations++) {
    const nodeid = held[pick(held.length || 1)] ?? 0;
    const { key, count } = mine.get(nodeid) ?? { key: 0, count: 0 };
    const what = pick(1000);
    if (what < 350 || count === 0) enter(1000 + pick(keys));
    else if (what < 500) given(nodes.lookup(nodes.get(nodeid)), key);
    else if (what < 800) back(nodeid, 1 + pick(count));
    else if (what < 850) {
      if (nodes.get(nodeid).value.key !== key) wrong(`node ${nodeid} is another's`);
      if (nodes.get(nodeid).nlookup < count) wrong(`node ${nodeid} has lost a count`);
    } else if (what < 900) nodes.removeKey(nodes.get(nodeid));
    else if (what < 940) visit(old[pick(64)] ?? 0);
    else if (what < 998) {
      nodes.locked(nodes.get(KEPT), (node) => {
        node.value = { key: 0, uses: node.value.uses + 1 };
      });
      counted++;
    } else {
      // A directory full of files: both memories grow, if they have not.
      const base = 1_000_000 * (1 + pick(8));
      for (let i = 0; i < 300; i++) enter(base + i);
    }
    if (held.length > 2000) for (const each of held.slice(0, 1500)) back(each, mine.get(each)!.count);
  }
  for (const each of [...held]) back(each, mine.get(each)!.count);
  return { operations, counted };
}

if (parentPort !== null) {
  const { hold, run } = workerData as { hold?: CellsHandle; run?: Race };
  if (hold) {
    acquire(new SharedCells(hold), 0);
    parentPort.postMessage('held');
    parentPort.on('message', () => {}); // until it is ended
  }
  if (run) {
    parentPort.postMessage('ready');
    Atomics.wait(new Int32Array(run.words), BEGIN, 0);
    parentPort.postMessage(race(run));
  }
}
