/**
 * What the kernel is told of files: attributes with the union's inode numbers, entries with their nodes, and for how long they hold. One
 * object of each is filled again for each answer, which is encoded before the next request is served.
 */
import { statx } from '../../abi/files.ts';
import { fuse_statx } from '../../abi/fuse.ts';
import { FUSE_ROOT_ID } from '../../abi/fuse-constants.ts';
import { AT_EMPTY_PATH, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, STATX_BASIC_STATS } from '../../abi/posix.ts';
import { encodeName } from '../../protocol/names.ts';
import type { Args, Result } from '../../protocol/operations.ts';
import { Attributes, deviceOf } from '../passthrough/attributes.ts';
import { done, type Scratch } from '../passthrough/scratch.ts';
import type { InodeNumbers } from './inodes.ts';
import type { Branch, Lower } from './lower.ts';
import type { Values } from './options.ts';
import type { UnionNode, UnionTree } from './tree.ts';

const { offset: AT } = fuse_statx;
const WRITABLE = 0o222;

/** What LOOKUP is answered with. */
export interface Entry {
  nodeid: number;
  generation: number;
  attr: Attributes;
  entry_valid: number;
  readonly entry_valid_nsec: number;
  attr_valid: number;
  readonly attr_valid_nsec: number;
}

export class Answers {
  readonly #values: Values;
  readonly #lower: Lower;
  readonly #scratch: Scratch;
  readonly #numbers: InodeNumbers;
  readonly #tree: UnionTree;
  readonly #attr = new Attributes();
  readonly #got = { attr: this.#attr, attr_valid: 0, attr_valid_nsec: 0 };
  readonly #entry: Entry = {
    ...{ nodeid: 0, generation: 0, attr: this.#attr },
    ...{ entry_valid: 0, entry_valid_nsec: 0, attr_valid: 0, attr_valid_nsec: 0 },
  };
  readonly #generation: number;

  constructor({
    values,
    lower,
    scratch,
    numbers,
    tree,
    generation,
  }: {
    values: Values;
    lower: Lower;
    scratch: Scratch;
    numbers: InodeNumbers;
    tree: UnionTree;
    generation: number;
  }) {
    this.#values = values;
    this.#lower = lower;
    this.#scratch = scratch;
    this.#numbers = numbers;
    this.#tree = tree;
    this.#generation = generation;
  }

  /** The attributes of an open file: good until the next are asked for. */
  attributes(fd: number, branch: Branch, path: string, node?: UnionNode): Attributes {
    this.#lower.stat(fd);
    const attr = this.#attr.read(this.#scratch.view, this.#scratch.statAt);
    const type = attr.mode & S_IFMT;
    // What has no path any more keeps its number.
    const kept = node?.held === undefined ? 0n : node.ino;
    attr.ino = kept === 0n ? this.#numbers.of(type, path, branch, attr.ino) : kept;
    if (node !== undefined) node.ino = attr.ino;
    if (type === S_IFREG && this.isLink(attr)) {
      attr.mode = (attr.mode & ~S_IFMT) | S_IFLNK;
      attr.size = encodeName(fullPath(branch, path)).length;
    }
    return attr;
  }
  /** Whether a regular file is shown as a symlink to itself on its branch: nobody may write to it, and nobody has for long. */
  isLink({ mode, mtime, ctime }: Pick<Attributes, 'mode' | 'mtime' | 'ctime'>): boolean {
    if (!this.#values.symlinkify || mode & WRITABLE) return false;
    const before = Date.now() / 1000 - this.#values['symlinkify-timeout'];
    return mtime < before && ctime < before;
  }
  got(attr: Attributes): Result<'GETATTR'> {
    this.#got.attr = attr;
    this.#got.attr_valid = this.#values['cache.attr'];
    return this.#got;
  }

  /** STATX: as the attributes, with the time of birth. */
  statx(
    fd: number,
    branch: Branch,
    path: string,
    node: UnionNode,
    { sx_flags, sx_mask }: Args<'STATX'>,
  ): Result<'STATX'> {
    const { ino, mode, size } = this.attributes(fd, branch, path, node);
    const { empty, stat, view, statAt } = this.#scratch;
    done(statx(fd, empty, AT_EMPTY_PATH | sx_flags, sx_mask | STATX_BASIC_STATS, stat));
    const whole = this.#attr.whole(view, statAt);
    Object.assign(whole.stat, { ino, mode, size });
    return { ...whole, attr_valid: this.#values['cache.attr'] };
  }

  /** The entry of a name, whose file this is: its node has a lookup counted. */
  enter(parent: UnionNode, name: string, fd: number, branch: Branch): Entry {
    const path = this.#tree.below(parent, name);
    const attr = this.attributes(fd, branch, path);
    const node = this.#tree.found(parent, name, attr.mode & S_IFMT, this.#identity(branch));
    node.ino = attr.ino;
    return this.given(node);
  }
  /** A file that has got a second name: whoever has this one is to be found by the other. */
  joins(node: UnionNode, fd: number, branch: Branch, path: string): void {
    this.attributes(fd, branch, path, node);
    const identity = this.#identity(branch);
    if (identity !== undefined) this.#tree.identify(node, identity);
  }
  /** What the file has in common with its other names, where it has some and they are one node. */
  #identity(branch: Branch): string | undefined {
    const { mode, nlink } = this.#attr;
    if (nlink < 2 || (mode & S_IFMT) === S_IFDIR || !this.#numbers.shared || this.#values['link-cow']) return undefined;
    const { view, statAt } = this.#scratch;
    return `${deviceOf(view, statAt)} ${view.getBigUint64(statAt + AT.ino, true)} ${branch.path}`;
  }
  /** The entry of a node that was counted, with the attributes that were read last. */
  given(node: UnionNode): Entry {
    const entry = this.#entry;
    entry.nodeid = node.nodeid;
    entry.generation = node.nodeid === FUSE_ROOT_ID ? 0 : this.#generation;
    entry.attr = this.#attr;
    entry.entry_valid = this.#values['cache.entry'];
    entry.attr_valid = this.#values['cache.attr'];
    return entry;
  }
  /** The control file, in place of the attributes of the root that were read last: anybody may read it, its owner write. */
  control(node: UnionNode): Entry {
    Object.assign(this.#attr, this.#control(node));
    return this.given(node);
  }
  /** The same where the root's STATX was asked for. */
  controlStatx(node: UnionNode, root: Result<'STATX'>): Result<'STATX'> {
    return { ...root, stat: { ...root.stat, ...this.#control(node), blocks: 0 } };
  }
  #control({ nodeid }: UnionNode) {
    const owner = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
    return { ino: BigInt(nodeid), mode: S_IFREG | 0o644, nlink: 1, size: 0, blocks: 0, rdev: 0, ...owner };
  }
  /** The entry of a name that is not there, where that may be believed for a while. */
  absent(): Entry | undefined {
    const valid = this.#values['cache.negative-entry'];
    if (valid === 0) return undefined;
    const entry = this.#entry;
    entry.nodeid = 0;
    entry.attr = this.#attr;
    entry.entry_valid = valid;
    return entry;
  }
}

/** Where a path is on a branch, as the machine sees it. */
export const fullPath = (branch: Branch, path: string): string =>
  path === '' ? branch.path : `${branch.path}/${path}`;
