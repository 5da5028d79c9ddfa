/**
 * Which path a nodeid means. A node is a name in a directory's node, up to the root, so that a directory that is renamed takes
 * along what is below it. A file with several names is one node where its number says so (`identity`), since the kernel keeps one
 * page cache a node. A node without a name, whose file was removed while somebody had it, is held by a descriptor.
 *
 * All of it is in shared memory, for the threads of a union: nodes in their table, names in a heap. What is here happens under one lock (WORDS.TREE), which is
 * held for a moment.
 *
 * INVARIANT: a node is in the table while the kernel counts it, a child of it is, or it is open: it is held once for each. A name is in
 * its parent's table and in the list of its node's names, and is taken out of both. A node leaves the table by the hands of one
 * thread, which then takes its names away (`#removed`); who meets such a name before that takes it out of the parent's
 * table, and marks it (it means no node), so that one of them lets go of the parent.
 */
import { ESTALE } from '../../abi/errno.ts';
import { closeQuietly } from '../../abi/files.ts';
import { FUSE_ROOT_ID } from '../../abi/fuse-constants.ts';
import { S_IFDIR } from '../../abi/posix.ts';
import type { Counted } from '../nodes.ts';
import { SharedCells } from '../shared/cells.ts';
import { Heap } from '../shared/heap.ts';
import { acquire, release } from '../shared/lock.ts';
import { Name, NameTable, OWN, TABLE } from '../shared/names.ts';
import { openNodes, type SharedNode, type SharedNodes } from '../shared/nodes.ts';
import type { UnionShared } from './shared.ts';
import { layout, VALUE, WORDS } from './words.ts';

/** Words of ours in a name: the directory's node, the next name of the same node. */
const PARENT = OWN; // and the next
const SIBLING = OWN + 2;
const OURS = 3;
/** Directories whose paths a thread remembers. */
const PATHS = 4096;

type Shared = SharedNode<undefined, number>;

/** A node, for the thread that asked for it, as long as it is there. */
export class UnionNode implements Counted {
  readonly nodeid: number;
  readonly shared: Shared;
  readonly #nodes: SharedNodes<undefined, number>;

  constructor(shared: Shared, nodes: SharedNodes<undefined, number>) {
    this.nodeid = shared.nodeid;
    this.shared = shared;
    this.#nodes = nodes;
  }
  get nlookup(): number {
    return this.shared.nlookup;
  }
  get linked(): boolean {
    return this.shared.linked;
  }
  /** A word of its value. */
  word(at: number): number {
    return this.#nodes.view.getInt32(this.shared.valueAt + at * 4, true);
  }
  put(at: number, value: number): void {
    this.#nodes.view.setInt32(this.shared.valueAt + at * 4, value, true);
  }
  wide(at: number): bigint {
    return this.#nodes.view.getBigUint64(this.shared.valueAt + at * 4, true);
  }
  putWide(at: number, value: bigint): void {
    this.#nodes.view.setBigUint64(this.shared.valueAt + at * 4, value, true);
  }

  /** The bits of S_IFMT. */
  get type(): number {
    return this.word(VALUE.TYPE);
  }
  /** How many names it has. */
  get names(): number {
    return this.word(VALUE.NAMES);
  }
  /** Handles that are open. */
  get opens(): number {
    return this.word(VALUE.OPENS);
  }
  /** How a file without a name is reached: a descriptor of O_PATH, and the number of the branch that it is on. */
  get held(): { readonly fd: number; readonly branch: number } | undefined {
    const held = this.word(VALUE.HELD);
    return held === 0 ? undefined : { fd: held - 1, branch: this.word(VALUE.BRANCH) };
  }
  /** The inode number that was shown last. */
  get ino(): bigint {
    return this.wide(VALUE.INO);
  }
  set ino(ino: bigint) {
    this.putWide(VALUE.INO, ino);
  }
  /** Whether size and time of modification are those of when it was last opened; from now on they are. */
  seen(size: bigint, mtime: bigint, nsec: number): boolean {
    const at = VALUE.VERSION;
    const same = this.wide(at) === size && this.wide(at + 2) === mtime && this.word(at + 4) >>> 0 === nsec;
    this.putWide(at, size);
    this.putWide(at + 2, mtime);
    this.put(at + 4, nsec);
    return same;
  }
}

export class UnionTree {
  readonly table: SharedNodes<undefined, number>;
  readonly root: UnionNode;
  readonly #heap: Heap;
  readonly #cells: SharedCells;
  /** For what needs only a name's block. */
  readonly #names: NameTable;
  /** The name that is looked for: another one with each call, under the lock. */
  readonly #name = new Name();
  /** Paths of directories, as of this count of WORDS.PATHS. */
  readonly #paths = new Map<number, string>();
  #known = 0;
  /** Parents that are to be let go of when the lock is free again: they may leave by that. */
  #later: Shared[] = [];

  constructor({ nodes, heap, words }: Pick<UnionShared, 'nodes' | 'heap' | 'words'>) {
    this.table = openNodes(layout, nodes, (node) => this.#removed(node));
    this.#heap = new Heap(heap);
    this.#cells = new SharedCells(words);
    this.#names = new NameTable(this.#heap, 0, OURS);
    this.root = this.get(FUSE_ROOT_ID);
  }

  /** ESTALE. */
  get(nodeid: number): UnionNode {
    return this.#of(this.table.get(nodeid));
  }
  #of(shared: Shared): UnionNode {
    return new UnionNode(shared, this.table);
  }

  /** Calls under the lock. What is called takes no other lock but those of the memories, and asks for no system call. */
  locked<T>(call: () => T): T {
    acquire(this.#cells, WORDS.TREE);
    let later: Shared[];
    try {
      return call();
    } finally {
      later = this.#later;
      if (later.length > 0) this.#later = [];
      release(this.#cells, WORDS.TREE);
      for (const node of later) this.table.letGo(node);
    }
  }

  /** Where a node is. ESTALE for one without a name. */
  path(node: UnionNode): string {
    return this.locked(() => this.#path(node));
  }
  /** Where a name in a directory is. */
  below(parent: UnionNode, name: string): string {
    const path = this.path(parent);
    return path === '' ? name : `${path}/${name}`;
  }
  #path(node: UnionNode): string {
    if (node.nodeid === FUSE_ROOT_ID) return '';
    if (node.type !== S_IFDIR) return this.#pathOf(node);
    const version = this.#cells.load(WORDS.PATHS);
    if (version !== this.#known || this.#paths.size > PATHS) this.#paths.clear();
    this.#known = version;
    let path = this.#paths.get(node.nodeid);
    if (path === undefined) {
      path = this.#pathOf(node);
      this.#paths.set(node.nodeid, path);
    }
    return path;
  }
  #pathOf(node: UnionNode): string {
    const first = node.word(VALUE.FIRST);
    if (first === 0) throw ESTALE;
    const above = this.#path(this.get(this.#heap.getWide(first + PARENT)));
    const name = this.#names.text(first);
    return above === '' ? name : `${above}/${name}`;
  }

  /** The directory that a node's first name is in; undefined of one without a name. */
  parent(node: UnionNode): UnionNode | undefined {
    return this.locked(() => {
      const first = node.word(VALUE.FIRST);
      return first === 0 ? undefined : this.get(this.#heap.getWide(first + PARENT));
    });
  }
  /** The node of a name, where it has one. */
  child(parent: UnionNode, name: string): UnionNode | undefined {
    return this.locked(() => {
      const at = this.#table(parent)?.find(this.#name.is(name)) ?? 0;
      return at === 0 ? undefined : this.#meant(at);
    });
  }
  /** All names, as the nodeid of the directory and the name in it. */
  names(): readonly (readonly [number, string])[] {
    return this.locked(() =>
      [...this.table.all()].flatMap((shared) => {
        const table = this.#table(this.#of(shared));
        return table === undefined ? [] : [...table.all()].map((at) => [shared.nodeid, table.text(at)] as const);
      }),
    );
  }

  /**
   * The node of a name, whose file has this type, with a lookup counted. `identity` is there where the file has several
   * names: then one of the others may have the node.
   */
  found(parent: UnionNode, name: string, type: number, identity: string | undefined): UnionNode {
    let held = 0;
    const found = this.locked(() => {
      const at = this.#table(parent)?.find(this.#name.is(name)) ?? 0;
      let node = at === 0 ? undefined : this.#counted(at);
      if (node !== undefined && (node.type !== type || (node.names > 1 && !this.#identified(node, identity)))) {
        this.#uncount(node);
        node = undefined;
      }
      if (node === undefined) {
        if (at !== 0) this.#detach(parent, at);
        node = (identity === undefined ? undefined : this.#byIdentity(identity)) ?? this.#new(type);
        held = this.#attach(parent, name, node);
      }
      if (identity !== undefined) this.#identify(node, identity);
      return node;
    });
    if (held !== 0) closeQuietly(held - 1);
    return found;
  }
  /** A node without a name, with a lookup counted. */
  add(type: number): UnionNode {
    return this.#new(type);
  }
  #new(type: number): UnionNode {
    return this.#of(this.table.lookup(this.table.add(type)));
  }
  /** What a name means, if that is still there. */
  #meant(at: number): UnionNode | undefined {
    const shared = this.table.peek(this.#names.nodeid(at));
    return shared && this.#of(shared);
  }
  /** The same with a lookup counted, so that it stays. */
  #counted(at: number): UnionNode | undefined {
    const node = this.#meant(at);
    return node !== undefined && this.table.count(node.shared) ? node : undefined;
  }
  /** Takes a lookup back when the lock is free again: the node may leave by that, and then it is needed. */
  #uncount(node: UnionNode): void {
    this.table.hold(node.shared);
    this.table.forget({ nodeid: node.nodeid, nlookup: 1 });
    this.#later.push(node.shared);
  }

  /** Says which file a node is of, for the other names of it to find. */
  identify(node: UnionNode, identity: string): void {
    this.locked(() => this.#identify(node, identity));
  }
  get #identities(): NameTable {
    return new NameTable(this.#heap, this.#cells.get(WORDS.IDENTITIES));
  }
  #identify(node: UnionNode, identity: string): void {
    if (this.#identified(node, identity)) return;
    this.#forgetIdentity(node);
    const identities = this.#identities;
    const name = this.#name.is(identity);
    let at = identities.find(name);
    if (at === 0) at = identities.add(name, node.nodeid);
    else {
      // Whose it was has none any more: the block goes with this node.
      this.#meant(at)?.put(VALUE.IDENTITY, 0);
      identities.turn(at, node.nodeid);
    }
    node.put(VALUE.IDENTITY, at);
  }
  /** Whether that is the identity that it has. */
  #identified(node: UnionNode, identity: string | undefined): boolean {
    const at = node.word(VALUE.IDENTITY);
    return at === 0 ? identity === undefined : this.#identities.text(at) === identity;
  }
  #byIdentity(identity: string): UnionNode | undefined {
    const at = this.#identities.find(this.#name.is(identity));
    return at === 0 ? undefined : this.#counted(at);
  }
  #forgetIdentity(node: UnionNode): void {
    const at = node.word(VALUE.IDENTITY);
    const identities = this.#identities;
    // One that is leaving may have lost it to another, which did not find it any more.
    if (at !== 0 && identities.nodeid(at) === node.nodeid) identities.remove(at);
    node.put(VALUE.IDENTITY, 0);
  }

  attach(parent: UnionNode, name: string, node: UnionNode): void {
    this.#closing(() => this.#attach(parent, name, node));
  }
  /** What is left to be closed: 1 more than a descriptor, or 0. */
  #attach(parent: UnionNode, name: string, node: UnionNode): number {
    const heap = this.#heap;
    const text = this.#name.is(name);
    const there = this.#table(parent)?.find(text) ?? 0;
    if (there !== 0) {
      if (this.#meant(there)?.nodeid === node.nodeid) return 0;
      this.#detach(parent, there);
    }
    this.table.hold(parent.shared);
    let at: number;
    try {
      if (parent.word(VALUE.CHILDREN) === 0) parent.put(VALUE.CHILDREN, heap.take(TABLE));
      at = this.#table(parent)!.add(text, node.nodeid);
    } catch (error) {
      this.#later.push(parent.shared);
      throw error;
    }
    heap.setWide(at + PARENT, parent.nodeid);
    heap.set(at + SIBLING, 0);
    let last = node.word(VALUE.FIRST);
    if (last === 0) node.put(VALUE.FIRST, at);
    else {
      while (heap.get(last + SIBLING) !== 0) last = heap.get(last + SIBLING);
      heap.set(last + SIBLING, at);
    }
    node.put(VALUE.NAMES, node.names + 1);
    this.#moved(node);
    const held = node.word(VALUE.HELD);
    node.put(VALUE.HELD, 0);
    return held;
  }
  /** Takes a name away; the node that it was of. */
  detach(parent: UnionNode, name: string): UnionNode | undefined {
    return this.locked(() => {
      const at = this.#table(parent)?.find(this.#name.is(name)) ?? 0;
      return at === 0 ? undefined : this.#detach(parent, at);
    });
  }
  #detach(parent: UnionNode, at: number): UnionNode | undefined {
    const node = this.#meant(at);
    const table = this.#table(parent)!;
    table.take(at);
    this.#later.push(parent.shared);
    if (node === undefined) {
      table.turn(at, 0); // the thread that removes its node gives the block back
      return undefined;
    }
    this.#unlist(node, at);
    this.#heap.give(at);
    this.#moved(node);
    return node;
  }
  #unlist(node: UnionNode, at: number): void {
    const heap = this.#heap;
    const next = heap.get(at + SIBLING);
    const first = node.word(VALUE.FIRST);
    if (first === at) node.put(VALUE.FIRST, next);
    else {
      let before = first;
      while (heap.get(before + SIBLING) !== at) before = heap.get(before + SIBLING);
      heap.set(before + SIBLING, next);
    }
    node.put(VALUE.NAMES, node.names - 1);
  }
  #moved(node: UnionNode): void {
    if (node.type === S_IFDIR) this.#cells.add(WORDS.PATHS, 1);
  }
  /** What is in a directory; undefined where nothing ever was. */
  #table(parent: UnionNode): NameTable | undefined {
    const at = parent.word(VALUE.CHILDREN);
    return at === 0 ? undefined : new NameTable(this.#heap, at, OURS);
  }

  /** A name is another one from now on, and what that was of has lost it. */
  move(parent: UnionNode, name: string, newParent: UnionNode, newName: string): void {
    this.#closing(() => {
      const [node] = this.#take(parent, name, newParent, newName);
      return node === undefined ? 0 : this.#attach(newParent, newName, node);
    });
  }
  /** Two names change places. */
  exchange(parent: UnionNode, name: string, newParent: UnionNode, newName: string): void {
    this.#closing(() => {
      const [one, other] = this.#take(parent, name, newParent, newName);
      const held = one === undefined ? 0 : this.#attach(newParent, newName, one);
      if (other !== undefined) this.#attach(parent, name, other);
      return held;
    });
  }
  /** Takes two names away; the nodes that they were of, which stay until the lock is free. */
  #take(parent: UnionNode, name: string, newParent: UnionNode, newName: string): (UnionNode | undefined)[] {
    const pairs = [[parent, name] as const, [newParent, newName] as const];
    const nodes = pairs.map(([directory, text]) => {
      const at = this.#table(directory)?.find(this.#name.is(text)) ?? 0;
      const node = at === 0 ? undefined : this.#counted(at);
      if (node !== undefined) this.#uncount(node);
      return node;
    });
    for (const [directory, text] of pairs) {
      const at = this.#table(directory)?.find(this.#name.is(text)) ?? 0;
      if (at !== 0) this.#detach(directory, at);
    }
    return nodes;
  }
  /** Calls under the lock, and closes what is left then: 1 more than a descriptor, or 0. */
  #closing(call: () => number): void {
    const held = this.locked(call);
    if (held !== 0) closeQuietly(held - 1);
  }

  /** A node whose file has lost its last name is reached by this descriptor from now on; whether it took it. */
  hold(node: UnionNode, fd: number, branch: number): boolean {
    return this.locked(() => {
      if (this.table.peek(node.nodeid) === undefined || node.names > 0 || node.held !== undefined) return false;
      node.put(VALUE.HELD, fd + 1);
      node.put(VALUE.BRANCH, branch);
      return true;
    });
  }
  /** How many are reached so. */
  get held(): number {
    return [...this.table.all()].filter((shared) => this.#of(shared).held !== undefined).length;
  }
  /** A handle more. */
  opened(node: UnionNode): void {
    this.table.hold(node.shared);
    this.locked(() => node.put(VALUE.OPENS, node.opens + 1));
  }
  /** A handle less. */
  closed(node: UnionNode): void {
    this.locked(() => node.put(VALUE.OPENS, node.opens - 1));
    this.table.letGo(node.shared);
  }

  #removed(shared: Shared): void {
    const node = this.#of(shared);
    const heap = this.#heap;
    this.#closing(() => {
      this.#forgetIdentity(node);
      const held = node.word(VALUE.HELD);
      for (let at = node.word(VALUE.FIRST), next = 0; at !== 0; at = next) {
        next = heap.get(at + SIBLING);
        if (this.#names.nodeid(at) !== 0) {
          const parent = this.get(heap.getWide(at + PARENT)); // which this name holds
          this.#table(parent)!.take(at);
          this.#later.push(parent.shared);
        }
        heap.give(at);
      }
      heap.give(node.word(VALUE.CHILDREN)); // empty: each would hold it
      return held;
    });
  }

  /** The kernel is gone, and with it all that it counted and had open. */
  forgetAll(): void {
    for (const shared of this.table.all()) {
      const node = this.#of(shared);
      for (let opens = node.opens; opens > 0; opens--) this.closed(node);
    }
    this.table.forgetAll();
  }
}
