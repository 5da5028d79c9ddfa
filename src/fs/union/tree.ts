/**
 * Which path a nodeid means. A node is a name in a directory's node, up to the root, so that a directory that is renamed takes
 * along what is below it. A file with several names is one node where its number says so (`identity`), since the kernel keeps one
 * page cache a node. A node without a name, whose file was removed while somebody had it, is held by a descriptor.
 *
 * INVARIANT: a node is in the table while the kernel counts it, a child of it is, or it is open; its names are in its parents'
 * `children`, and nothing else is.
 */
import { ESTALE } from '../../abi/errno.ts';
import { closeQuietly } from '../../abi/files.ts';
import { FUSE_ROOT_ID } from '../../abi/fuse-constants.ts';
import { S_IFDIR } from '../../abi/posix.ts';
import { type Node, NodeTable } from '../nodes.ts';
import type { Branch } from './lower.ts';

export class UnionNode implements Node {
  readonly nodeid: number;
  /** The bits of S_IFMT. */
  readonly type: number;
  nlookup = 0;
  /** Handles that are open. */
  opens = 0;
  readonly names: { parent: UnionNode; name: string }[] = [];
  readonly children = new Map<string, UnionNode>();
  /** Branch and number of a file that has several names, or had. */
  identity: string | undefined;
  /** How a file without a name is reached: a descriptor of O_PATH, and the branch that it is on. */
  held: { readonly fd: number; readonly branch: Branch } | undefined;
  /** The inode number that was shown last. */
  ino = 0n;
  /** Size and time of modification when it was last opened. */
  version = '';

  constructor(nodeid: number, type: number) {
    this.nodeid = nodeid;
    this.type = type;
  }
  get linked(): boolean {
    return this.opens > 0 || this.children.size > 0;
  }
}

export class UnionTree {
  readonly table = new NodeTable<UnionNode>((node) => this.#removed(node));
  readonly #byIdentity = new Map<string, UnionNode>();
  readonly root = this.table.add((nodeid) => new UnionNode(nodeid, S_IFDIR));

  /** Where a node is. ESTALE for one without a name. */
  path(node: UnionNode): string {
    let path = '';
    for (let at = node; at.nodeid !== FUSE_ROOT_ID; ) {
      const named = at.names[0];
      if (named === undefined) throw ESTALE;
      path = path === '' ? named.name : `${named.name}/${path}`;
      at = named.parent;
    }
    return path;
  }
  /** Where a name in a directory is. */
  below(parent: UnionNode, name: string): string {
    const path = this.path(parent);
    return path === '' ? name : `${path}/${name}`;
  }

  /**
   * The node of a name, whose file has this type, with a lookup counted. `identity` is there where the file has several
   * names: then one of the others may have the node.
   */
  found(parent: UnionNode, name: string, type: number, identity: string | undefined): UnionNode {
    let node = parent.children.get(name);
    if (node !== undefined && (node.type !== type || (node.names.length > 1 && node.identity !== identity))) {
      this.detach(parent, name);
      node = undefined;
    }
    if (node === undefined) {
      node = (identity === undefined ? undefined : this.#byIdentity.get(identity)) ?? this.add(type);
      this.attach(parent, name, node);
    }
    if (identity !== undefined) this.identify(node, identity);
    return this.table.lookup(node);
  }
  /** Says which file a node is of, for the other names of it to find. */
  identify(node: UnionNode, identity: string): void {
    if (node.identity === identity) return;
    this.#forgetIdentity(node);
    node.identity = identity;
    this.#byIdentity.set(identity, node);
  }
  /** A node without a name. */
  add(type: number): UnionNode {
    return this.table.add((nodeid) => new UnionNode(nodeid, type));
  }
  attach(parent: UnionNode, name: string, node: UnionNode): void {
    const there = parent.children.get(name);
    if (there === node) return;
    if (there !== undefined) this.detach(parent, name);
    node.names.push({ parent, name });
    parent.children.set(name, node);
    if (node.held !== undefined) {
      closeQuietly(node.held.fd);
      node.held = undefined;
    }
  }
  /** Takes a name away; the node that it was of. */
  detach(parent: UnionNode, name: string): UnionNode | undefined {
    const node = parent.children.get(name);
    if (node === undefined) return undefined;
    parent.children.delete(name);
    node.names.splice(
      node.names.findIndex((each) => each.parent === parent && each.name === name),
      1,
    );
    this.table.drop(parent);
    return node;
  }
  /** A name is another one from now on, and what that was of has lost it. */
  move(parent: UnionNode, name: string, newParent: UnionNode, newName: string): void {
    const node = parent.children.get(name);
    this.detach(newParent, newName);
    if (node === undefined) return;
    this.attach(newParent, newName, node);
    this.detach(parent, name);
  }
  /** Two names change places. */
  exchange(parent: UnionNode, name: string, newParent: UnionNode, newName: string): void {
    const [one, other] = [this.detach(parent, name), this.detach(newParent, newName)];
    if (one) this.attach(newParent, newName, one);
    if (other) this.attach(parent, name, other);
  }

  #forgetIdentity(node: UnionNode): void {
    if (node.identity !== undefined && this.#byIdentity.get(node.identity) === node)
      this.#byIdentity.delete(node.identity);
  }
  #removed(node: UnionNode): void {
    this.#forgetIdentity(node);
    if (node.held !== undefined) closeQuietly(node.held.fd);
    for (const { parent, name } of node.names.splice(0)) {
      parent.children.delete(name);
      this.table.drop(parent);
    }
  }
}
