/**
 * What the tests of the protocol on real mounts serve: a small tree whose nodeids and answers a test
 * chooses and changes behind the kernel's back, and a recorder of every call that reaches a filesystem.
 */
import { ENOENT } from '../../src/abi/errno.ts';
import { FATTR_MODE, FATTR_MTIME, FATTR_SIZE } from '../../src/abi/fuse-constants.ts';
import { DT_DIR, DT_REG, S_IFDIR, S_IFMT, S_IFREG } from '../../src/abi/posix.ts';
import type { DirectoryReply } from '../../src/protocol/dirent.ts';
import type { Extensions } from '../../src/protocol/extensions.ts';
import type { Filesystem } from '../../src/protocol/filesystem.ts';
import type { Args } from '../../src/protocol/operations.ts';
import type { Request } from '../../src/protocol/request.ts';

/** A directory by its entries, a file by its content. */
export interface Entries {
  readonly [name: string]: string | Entries;
}

export interface TreeNode {
  readonly nodeid: number;
  mode: number;
  uid: number;
  gid: number;
  data: Buffer;
  mtime: number;
  nlookup: number;
  readonly entries: Map<string, TreeNode>;
}

export class Tree implements Filesystem {
  readonly #nodes = new Map<number, TreeNode>();
  readonly nodes: { readonly counted: readonly TreeNode[] };

  constructor(entries: Entries) {
    const all = this.#nodes;
    this.nodes = {
      get counted() {
        return [...all.values()].filter(({ nlookup }) => nlookup > 0);
      },
    };
    this.add(entries);
  }

  /** A node that no directory names. */
  add(content: string | Entries): TreeNode {
    const directory = typeof content !== 'string';
    const node: TreeNode = {
      nodeid: this.#nodes.size + 1,
      mode: directory ? S_IFDIR | 0o755 : S_IFREG | 0o644,
      uid: 0,
      gid: 0,
      data: Buffer.from(directory ? '' : content),
      mtime: 1_700_000_000,
      nlookup: 0,
      entries: new Map(),
    };
    this.#nodes.set(node.nodeid, node);
    if (directory) for (const [name, each] of Object.entries(content)) node.entries.set(name, this.add(each));
    return node;
  }

  node(nodeid: number): TreeNode {
    const node = this.#nodes.get(nodeid);
    if (node === undefined) throw ENOENT;
    return node;
  }
  /** The node at a path: `dir/file`; the root is ''. */
  at(path: string): TreeNode {
    let node = this.node(1);
    for (const name of path.split('/').filter((each) => each !== '')) node = node.entries.get(name)!;
    return node;
  }

  attr({ nodeid, mode, uid, gid, data, mtime, entries }: TreeNode) {
    const nlink = (mode & S_IFMT) === S_IFDIR ? 2 + entries.size : 1;
    return { ino: BigInt(nodeid), mode, uid, gid, nlink, size: data.length, mtime, ctime: mtime, atime: mtime };
  }
  given(node: TreeNode) {
    node.nlookup++;
    return { nodeid: node.nodeid, attr: this.attr(node) };
  }

  lookup(
    { nodeid }: Request,
    { name }: Args<'LOOKUP'>,
  ): ReturnType<Tree['given']> | Promise<ReturnType<Tree['given']>> {
    const node = this.node(nodeid).entries.get(name);
    if (node === undefined) throw ENOENT;
    return this.given(node);
  }
  forget(_: Request, { nodeid, nlookup }: { nodeid: number; nlookup: number }) {
    if (nodeid !== 1) this.node(nodeid).nlookup -= nlookup;
  }
  getattr({ nodeid }: Request) {
    return { attr: this.attr(this.node(nodeid)) };
  }
  setattr({ nodeid }: Request, set: Args<'SETATTR'>) {
    const node = this.node(nodeid);
    if (set.valid & FATTR_SIZE) node.data = Buffer.concat([node.data], set.size!);
    if (set.valid & FATTR_MODE) node.mode = (node.mode & S_IFMT) | (set.mode! & 0o7777);
    if (set.valid & FATTR_MTIME) node.mtime = set.mtime!;
    return { attr: this.attr(node) };
  }
  mkdir({ nodeid }: Request, { name }: Args<'MKDIR'>): ReturnType<Tree['given']> | Promise<ReturnType<Tree['given']>> {
    const node = this.add({});
    this.node(nodeid).entries.set(name, node);
    return this.given(node);
  }
  read({ nodeid }: Request, { offset, size }: Args<'READ'>): Uint8Array | Promise<Uint8Array> {
    return this.node(nodeid).data.subarray(offset, offset + size);
  }
  write({ nodeid }: Request, { offset, data }: Args<'WRITE'>) {
    const node = this.node(nodeid);
    node.data = Buffer.concat([node.data], Math.max(node.data.length, offset + data.length));
    data.copy(node.data, offset);
    return { size: data.length };
  }
  readdir({ nodeid }: Request, { offset }: Args<'READDIR'>, reply: DirectoryReply): void {
    let off = 0n;
    for (const [name, node] of this.node(nodeid).entries) {
      const type = (node.mode & S_IFMT) === S_IFDIR ? DT_DIR : DT_REG;
      if (++off > offset && !reply.add({ name, ino: BigInt(node.nodeid), type, off })) return;
    }
  }
}

/** A call of a handler: copies, which stay when the request is answered. */
export interface Call {
  readonly method: string;
  readonly unique: bigint;
  readonly nodeid: number;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  readonly extensions: Extensions | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: a test names the members of the operation it looks at
  readonly args: any;
}

export class Recorder {
  readonly calls: Call[] = [];
  /** What to mount: the filesystem, with every call written down on its way. */
  readonly filesystem: Filesystem;

  constructor(filesystem: Filesystem) {
    this.filesystem = new Proxy(filesystem, {
      get: (target, method: string) => {
        const member = target[method as keyof Filesystem] as unknown;
        if (typeof member !== 'function') return member;
        if (method === 'init' || method === 'destroy') return member.bind(target);
        return (request: Request, args: object, ...rest: unknown[]) => {
          this.#record(method, request, args);
          return member.call(target, request, args, ...rest);
        };
      },
    });
  }

  #record(method: string, { unique, nodeid, uid, gid, pid, extensions }: Request, args: object): void {
    const copies = Object.entries(args ?? {}).map(([name, value]) => [
      name,
      Buffer.isBuffer(value) ? Buffer.from(value) : value,
    ]);
    this.calls.push({ method, unique, nodeid, uid, gid, pid, extensions, args: Object.fromEntries(copies) });
  }

  /** The calls of a method so far, of one node if given. */
  of(method: string, nodeid?: number): Call[] {
    return this.calls.filter((call) => call.method === method && (nodeid === undefined || call.nodeid === nodeid));
  }
  count(method: string, nodeid?: number): number {
    return this.of(method, nodeid).length;
  }
  /** The latest call of a method. */
  last(method: string): Call {
    const call = this.calls.findLast((each) => each.method === method);
    if (call === undefined)
      throw new Error(`${method} was not called; called were ${this.calls.map((each) => each.method)}`);
    return call;
  }
}

/** A promise that a test settles by hand. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}
export function deferred<T = void>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
