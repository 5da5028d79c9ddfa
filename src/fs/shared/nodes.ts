/**
 * The books of a filesystem that runs on several threads: what `NodeTable` keeps for one, in shared memory, and with
 * each node a key and a value that the filesystem lays out as structs. Each thread makes a SharedNodes of its own over
 * the same memory; all of them read and count nodes at once, without a message.
 *
 *     const layout = { key: struct({ dev: u64, ino: u64 }), value: struct({ fd: i32 }) };
 *     const shared = shareNodes(layout);                                         // once, for all threads
 *     const nodes = openNodes(layout, shared, ({ value }) => close(value.fd));   // in each
 *
 * INVARIANT: a node is there from `add` until its lookup count is 0 and nobody holds it, and it leaves by the hands of
 * one thread. Whether it is to leave is decided under the lock of its row (BOOKS), and under that of its
 * key's stripe before it. Who finds it by its key counts it under both: so it is counted before anybody can remove
 * it, or it is gone and not found. A node whose last count is taken back may be found again before it has been
 * removed; it then stays.
 *
 * Locks are taken in this order: nodes' own (`locked`), a stripe's, a row's or that of the places. Code of the
 * filesystem runs under the first alone.
 */
import { ESTALE } from '../../abi/errno.ts';
import { FUSE_ROOT_ID } from '../../abi/fuse-constants.ts';
import type { Counted, Nodes } from '../nodes.ts';
import { Buckets, hashOf, OUT } from './buckets.ts';
import { type Cells, SharedCells, type Waiting } from './cells.ts';
import { type NodeLayout, type NodesCells, type NodesHandle, words } from './layout.ts';
import { acquire, release } from './lock.ts';
import { HEADER, Records, WORD } from './records.ts';

/** A thread's way into the table. `removed` is told in the thread that removes a node, when nobody finds it any more. */
export function openNodes<K, V>(
  layout: NodeLayout<K, V>,
  { records, buckets, stripes }: NodesHandle,
  removed?: (node: SharedNode<K, V>) => void,
  waiting?: Waiting,
): SharedNodes<K, V> {
  const cells = {
    records: new SharedCells(records, waiting),
    buckets: buckets && new SharedCells(buckets, waiting),
    stripes,
  };
  return new SharedNodes(layout, cells, removed);
}

/** A node, for the thread that found it. It holds nothing and may be thrown away, or kept as long as the node is there. */
export class SharedNode<K, V> implements Counted {
  readonly nodeid: number;
  /** Whether `findOrAdd` has made it. */
  readonly added: boolean;
  /** Word of its record. */
  readonly at: number;
  readonly #nodes: SharedNodes<K, V>;

  constructor(nodes: SharedNodes<K, V>, nodeid: number, at: number, added: boolean) {
    this.nodeid = nodeid;
    this.added = added;
    this.at = at;
    this.#nodes = nodes;
  }

  /** How many lookups the kernel has not taken back yet. 0 for one that is not there any more. */
  get nlookup(): number {
    return this.#nodes.countsOf(this).lookups;
  }
  /** Whether the filesystem needs it without the kernel. @see SharedNodes.hold */
  get linked(): boolean {
    return this.#nodes.countsOf(this).holds > 0;
  }
  get key(): K {
    return this.#nodes.keyOf(this);
  }
  /** What the filesystem keeps of it. What changes is to be read and written under its lock: @see SharedNodes.locked */
  get value(): V {
    return this.#nodes.layout.value.decode(this.#nodes.view, this.valueAt);
  }
  set value(value: V) {
    this.#nodes.layout.value.encode(this.#nodes.view, this.valueAt, value);
  }
  /** Where the value begins in `SharedNodes.view`, for those who want one member of it. */
  get valueAt(): number {
    return (this.at + this.#nodes.valueAt) * 4;
  }
}

export class SharedNodes<K, V> implements Nodes<SharedNode<K, V>> {
  readonly layout: NodeLayout<K, V>;
  /** Word of a record where the value begins. */
  readonly valueAt: number;
  readonly #cells: Cells;
  readonly #records: Records;
  readonly #buckets: Buckets | undefined;
  readonly #removed: ((node: SharedNode<K, V>) => void) | undefined;
  /** A key and a value on their way into a record, or to be compared with one. */
  readonly #words: Int32Array;
  readonly #bytes: DataView;

  constructor(
    layout: NodeLayout<K, V>,
    { records, buckets, stripes }: NodesCells,
    removed?: (node: SharedNode<K, V>) => void,
  ) {
    this.layout = layout;
    this.valueAt = HEADER + words(layout.key);
    this.#cells = records;
    this.#records = new Records(records, this.valueAt + words(layout.value));
    this.#buckets = buckets && new Buckets(buckets, this.#records, stripes);
    this.#removed = removed;
    this.#words = new Int32Array(this.#records.row - HEADER);
    this.#bytes = new DataView(this.#words.buffer);
  }

  /** Puts in a node that is neither counted nor held yet. The first is the root, which never leaves. ENOMEM; an Error where the key is there. */
  add(value: V, key?: K): SharedNode<K, V> {
    if (key === undefined) return this.#node(this.#create(0, value, 0));
    const hash = this.#hash(key);
    const buckets = this.#keyed();
    buckets.lock(hash);
    try {
      if (buckets.find(hash, this.#same) !== 0) throw new Error('a node with this key is there already');
      return this.#node(this.#create(hash, value, 0, buckets));
    } finally {
      buckets.unlock(hash);
    }
  }

  /**
   * The node with a key, or else a new one with this value, in one step: of threads that ask at once all get the same. A
   * lookup is counted. Who has something that an older node does not need (a descriptor) looks at `added`. ENOMEM.
   */
  findOrAdd(key: K, value: V): SharedNode<K, V> {
    const hash = this.#hash(key);
    const buckets = this.#keyed();
    buckets.lock(hash);
    try {
      const at = buckets.find(hash, this.#same);
      if (at === 0) return this.#node(this.#create(hash, value, 1, buckets), true);
      const node = this.#node(at);
      this.#change(node, 1, 0);
      return node;
    } finally {
      buckets.unlock(hash);
    }
  }

  /** The node with a key; undefined if there is none. It is not counted, and so may be gone at once. */
  find(key: K): SharedNode<K, V> | undefined {
    const hash = this.#hash(key);
    const buckets = this.#keyed();
    buckets.lock(hash);
    try {
      const at = buckets.find(hash, this.#same);
      return at === 0 ? undefined : this.#node(at);
    } finally {
      buckets.unlock(hash);
    }
  }

  /** From now on the node is not found by its key, and another may be added with it: the file has been deleted. */
  removeKey(node: SharedNode<K, V>): void {
    const hash = this.#change(node, 0, 0)?.hash;
    if (hash === undefined) return;
    const buckets = this.#keyed();
    buckets.lock(hash);
    // It leaves under this lock only.
    if (this.#records.find(node.nodeid) !== 0) buckets.take(hash, node.at);
    buckets.unlock(hash);
  }

  get(nodeid: number): SharedNode<K, V> {
    const node = this.peek(nodeid);
    if (node === undefined) throw ESTALE;
    return node;
  }
  /** The same; undefined where there is none, or none any more. */
  peek(nodeid: number): SharedNode<K, V> | undefined {
    const at = this.#records.find(nodeid);
    return at === 0 ? undefined : new SharedNode(this, nodeid, at, false);
  }

  /** ESTALE where the node has left. */
  lookup(node: SharedNode<K, V>): SharedNode<K, V> {
    if (!this.count(node)) throw ESTALE;
    return node;
  }
  /** Counts a lookup of a node that may be about to leave; whether it was there. */
  count(node: SharedNode<K, V>): boolean {
    return this.#change(node, 1, 0) !== undefined;
  }

  forget({ nodeid, nlookup }: { readonly nodeid: number; readonly nlookup: number }): void {
    const at = this.#records.find(nodeid);
    if (at !== 0) this.#less({ nodeid, at }, -nlookup, 0);
  }

  drop(node: SharedNode<K, V>): void {
    this.#less(node, 0, 0);
  }

  /** The filesystem has a reason (one more) to keep the node when the kernel forgets it: a name, an open file. ESTALE. */
  hold(node: SharedNode<K, V>): void {
    if (this.#change(node, 0, 1) === undefined) throw ESTALE;
  }
  /** The filesystem has one reason less. */
  letGo(node: SharedNode<K, V>): void {
    this.#less(node, 0, -1);
  }

  /**
   * Runs `use` while no other thread is in `locked` with the node. It returns no promise, and takes no seconds: after ten
   * those who wait take this thread for dead. ESTALE where the node has left.
   */
  locked<T>(node: SharedNode<K, V>, use: (node: SharedNode<K, V>) => T): T {
    acquire(this.#cells, node.at + WORD.LOCK);
    try {
      if (this.#records.find(node.nodeid) === 0) throw ESTALE;
      return use(node);
    } finally {
      release(this.#cells, node.at + WORD.LOCK);
    }
  }
  /** The same with several at once, some of which may be the same one. Not to be nested: who takes two in turn may wait for ever. */
  lockedAll<T>(nodes: readonly SharedNode<K, V>[], use: () => T): T {
    const [first, ...rest] = [...new Map(nodes.map((node) => [node.at, node])).values()].sort((a, b) => a.at - b.at);
    return first === undefined ? use() : this.locked(first, () => this.lockedAll(rest, use));
  }

  get size(): number {
    return this.#records.taken;
  }

  *all(): Generator<SharedNode<K, V>> {
    for (const at of this.#records.all()) yield this.#node(at);
  }

  forgetAll(): void {
    for (const node of this.all()) this.#less(node, Number.NEGATIVE_INFINITY, 0);
  }

  get counted(): SharedNode<K, V>[] {
    return [...this.all()].filter((node) => node.nlookup > 0 && node.nodeid !== FUSE_ROOT_ID);
  }

  /** The memory of all values. Good until the next call of anything here. */
  get view(): DataView {
    return this.#cells.view;
  }
  /** @see SharedNode.key */
  keyOf({ at }: { readonly at: number }): K {
    const { key } = this.layout;
    if (key === undefined) throw new TypeError('these nodes have no keys');
    return key.decode(this.view, (at + HEADER) * 4);
  }
  /** @see SharedNode.nlookup */
  countsOf(node: { readonly nodeid: number; readonly at: number }): Counts {
    return this.#change(node, 0, 0) ?? { lookups: 0, holds: 0, hash: 0 };
  }

  /** Throws where an invariant does not hold, other threads going on meanwhile. */
  check(): void {
    this.#buckets?.check();
    for (const slot of this.#records.free())
      if (slot * this.#records.row === 0) throw new Error('the first record is no place');
  }

  #keyed(): Buckets {
    if (this.#buckets === undefined) throw new TypeError('these nodes have no keys');
    return this.#buckets;
  }

  #node(at: number, added = false): SharedNode<K, V> {
    return new SharedNode(this, this.#records.nodeid(at), at, added);
  }

  /** A key's hash. The key itself is left in #words. */
  #hash(key: K): number {
    this.layout.key?.encode(this.#bytes, 0, key);
    return hashOf(this.#words, this.valueAt - HEADER);
  }

  /** Whether a record has the key in #words. */
  readonly #same = (at: number): boolean => {
    for (let i = 0; i < this.valueAt - HEADER; i++)
      if (this.#cells.get(at + HEADER + i) !== this.#words[i]) return false;
    return true;
  };

  /** A record with the value, and the key in #words if it goes into buckets. Nothing has happened where it throws. */
  #create(hash: number, value: V, lookups: number, buckets?: Buckets): number {
    const cells = this.#cells;
    this.layout.value.encode(this.#bytes, (this.valueAt - HEADER) * 4, value);
    const at = this.#records.take();
    cells.set(at + WORD.LOOKUPS, lookups);
    cells.set(at + WORD.LOOKUPS_HIGH, 0);
    cells.set(at + WORD.HOLDS, 0);
    cells.set(at + WORD.HASH, hash);
    cells.set(at + WORD.NEXT, OUT);
    for (let i = 0; i < this.#words.length; i++) cells.set(at + HEADER + i, this.#words[i]!);
    buckets?.put(hash, at);
    this.#records.stamp(at);
    return at;
  }

  /** Changes a node's counts; what they then are. undefined if it is not there. */
  #change(
    { nodeid, at }: { readonly nodeid: number; readonly at: number },
    lookups: number,
    holds: number,
  ): Counts | undefined {
    const cells = this.#cells;
    acquire(cells, at + WORD.BOOKS);
    const counts = this.#records.find(nodeid) === at ? this.#counts(at, lookups, holds) : undefined;
    release(cells, at + WORD.BOOKS);
    return counts;
  }
  #counts(at: number, lookups: number, holds: number): Counts {
    const cells = this.#cells;
    const counts = {
      lookups: Math.max(
        0,
        cells.get(at + WORD.LOOKUPS_HIGH) * 2 ** 32 + (cells.get(at + WORD.LOOKUPS) >>> 0) + lookups,
      ),
      holds: Math.max(0, cells.get(at + WORD.HOLDS) + holds),
      hash: cells.get(at + WORD.HASH),
    };
    if (lookups !== 0) {
      cells.set(at + WORD.LOOKUPS, counts.lookups | 0);
      cells.set(at + WORD.LOOKUPS_HIGH, Math.floor(counts.lookups / 2 ** 32));
    }
    if (holds !== 0) cells.set(at + WORD.HOLDS, counts.holds);
    return counts;
  }

  /** Takes from a node's counts, and removes it where nothing is left of them. */
  #less(node: { readonly nodeid: number; readonly at: number }, lookups: number, holds: number): void {
    const counts = this.#change(node, lookups, holds);
    if (counts !== undefined && unneeded(counts) && node.nodeid !== FUSE_ROOT_ID) this.#remove(node, counts.hash);
  }

  /** Removes a node that was not needed a moment ago, if it is still there and still not. */
  #remove({ nodeid, at }: { readonly nodeid: number; readonly at: number }, hash: number): void {
    const cells = this.#cells;
    this.#buckets?.lock(hash);
    acquire(cells, at + WORD.BOOKS);
    const mine = this.#records.find(nodeid) === at && unneeded(this.#counts(at, 0, 0));
    if (mine) {
      this.#buckets?.take(hash, at);
      this.#records.unstamp(at);
    }
    release(cells, at + WORD.BOOKS);
    this.#buckets?.unlock(hash);
    if (!mine) return;
    try {
      this.#removed?.(new SharedNode(this, nodeid, at, false));
    } finally {
      this.#records.give(at);
    }
  }
}

interface Counts {
  readonly lookups: number;
  readonly holds: number;
  readonly hash: number;
}
const unneeded = ({ lookups, holds }: Counts): boolean => lookups === 0 && holds === 0;
