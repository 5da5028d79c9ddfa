/**
 * Holds a tree in shared memory to all that is said of it: that names, links, parents, holds and counts agree, that each
 * block and each page belongs to one file, and that none is lost. For a world that is quiet: no request is being served.
 */
import { FUSE_ROOT_ID } from '../../../src/abi/fuse-constants.ts';
import { Directory } from './directory.ts';
import type { Node, SharedInode } from './inode.ts';
import { NAME_SIZE, type SharedTree } from './tree.ts';

/** Throws where an invariant does not hold, and says of which node. */
export function check(tree: SharedTree): void {
  tree.named(() => new Checker(tree).check());
}

class Checker {
  readonly #tree: SharedTree;
  readonly #inodes = new Map<number, SharedInode>();
  /** How many names each node has, by nodeid. */
  readonly #names = new Map<number, number>();
  readonly #blocks = new Set<number>();
  readonly #pages = new Set<number>();
  #reserved = 0;

  constructor(tree: SharedTree) {
    this.#tree = tree;
  }

  check(): void {
    const { nodes, store } = this.#tree;
    nodes.check();
    const all: Node[] = [...nodes.all()];
    for (const node of all)
      this.#inodes.set(
        node.nodeid,
        store.look(node, (inode) => inode),
      );
    const each = (use: (node: Node, inode: SharedInode) => void) => {
      for (const node of all)
        try {
          use(node, this.#inodes.get(node.nodeid)!);
        } catch (error) {
          throw new Error(`node ${node.nodeid}: ${(error as Error).message}`, { cause: error });
        }
    };
    each((node, inode) => this.#content(node, inode));
    each((node, inode) => this.#links(node, inode));
    if (all.length !== nodes.size) throw new Error(`${nodes.size} nodes are counted, ${all.length} are there`);
    if (all.length > this.#tree.inodes) throw new Error('there are more nodes than there may be');
    store.heap.check(this.#blocks);
    store.pages.check(this.#pages, this.#reserved);
  }

  /** What is in it, and that nobody else has it. */
  #content({ nodeid }: Node, inode: SharedInode): void {
    inode.xattrs.check();
    this.#reserved += inode.xattrs.pages;
    for (const block of inode.xattrs.blocks()) this.#own(this.#blocks, block);
    if (inode.isDirectory) this.#directory(nodeid, inode);
    else if (inode.isFile) {
      inode.content.check((page) => this.#own(this.#pages, page));
      this.#reserved += inode.content.count;
      for (const block of inode.content.blocks()) this.#own(this.#blocks, block);
    } else if (inode.body !== 0) this.#own(this.#blocks, inode.body);
  }
  #own(owned: Set<number>, one: number): void {
    if (owned.has(one)) throw new Error(`it has block or page ${one}, and so has another`);
    owned.add(one);
  }

  #directory(nodeid: number, inode: SharedInode): void {
    const directory = new Directory(this.#tree.store.heap, inode.body);
    directory.check();
    for (const block of directory.blocks()) this.#own(this.#blocks, block);
    let directories = 0;
    for (const { name, nodeid: of, type } of directory.entries()) {
      const child = this.#inodes.get(of);
      if (child === undefined) throw new Error(`its name ${name} means a node that is not there`);
      if (child.mode >> 12 !== type) throw new Error(`its name ${name} has type ${type}, the node another`);
      if (child.isDirectory && child.parent !== nodeid) throw new Error(`its directory ${name} says it is elsewhere`);
      if (child.isDirectory) directories++;
      this.#names.set(of, (this.#names.get(of) ?? 0) + 1);
    }
    // INVARIANT: a directory has a link for its name, one for ".", one for each "..".
    const wanted = inode.nlink > 0 ? 2 + directories : 0;
    if (inode.nlink !== wanted) throw new Error(`${inode.nlink} links, ${directories} directories in it`);
    if (inode.nlink === 0 && directory.size > 0) throw new Error('it was removed, and has names in it');
    if (inode.size !== directory.size * NAME_SIZE) throw new Error(`size ${inode.size}, ${directory.size} names`);
  }

  #links(node: Node, inode: SharedInode): void {
    const names = this.#names.get(node.nodeid) ?? 0;
    const root = node.nodeid === FUSE_ROOT_ID;
    const wanted = inode.isDirectory ? Number(inode.nlink > 0 && !root) : inode.nlink;
    if (names !== wanted) throw new Error(`${inode.nlink} links, ${names} names`);
    const { lookups, holds } = this.#tree.nodes.countsOf(node);
    // INVARIANT: a node is held once for each name, and the root for being it.
    if (holds !== names + Number(root)) throw new Error(`${holds} holds, ${names} names`);
    if (holds + lookups === 0) throw new Error('nobody needs it');
    if (inode.opens > 0 && lookups === 0 && !root) throw new Error('it is open, and the kernel has forgotten it');
    if (inode.opens > 2 ** 31) throw new Error('it was closed more often than opened');
  }
}
