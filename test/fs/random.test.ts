/**
 * MemoryFs, and the filesystem in shared memory that proves threads, without a mount: random calls of their methods,
 * as a kernel makes them, compared with the model of ../random/model.ts. After every call its own check of its invariants runs, and the figures of statfs, the
 * attributes of all nodes and the bytes of what was touched must be the model's.
 *
 * SEED repeats a run, OPERATIONS is how many.
 */
import { describe, expect, test } from 'vitest';
import { EEXIST, ENODATA, ENOENT, ENOSPC, ENXIO, Errno, ESTALE } from '../../src/abi/errno.ts';
import { fuse_in_header } from '../../src/abi/fuse.ts';
import { FATTR_FH, FATTR_MODE, FATTR_SIZE } from '../../src/abi/fuse-constants.ts';
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  O_RDWR,
  O_TRUNC,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  RENAME_WHITEOUT,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  S_ISGID,
  SEEK_DATA,
  SEEK_HOLE,
  XATTR_CREATE,
  XATTR_REPLACE,
} from '../../src/abi/posix.ts';
import { MemoryFs } from '../../src/fs/index.ts';
import type { DirectoryReply, Dirent } from '../../src/protocol/dirent.ts';
import { Request } from '../../src/protocol/request.ts';
import { Unmounted } from '../mount/shared-memory/unmounted.ts';
import { MOST, Model, type ModelNode, PAGE } from '../random/model.ts';
import { operations, patience, Random, seed } from '../random/random.ts';

const NAMES = ['a', 'b', 'c', 'd', 'e'];
const XATTRS = ['user.a', 'user.b', 'trusted.a', 'security.a'];
/** How long the last calls are remembered that a failure prints. */
const REMEMBERED = 15;

function at(nodeid: number): Request {
  const view = new DataView(new ArrayBuffer(fuse_in_header.size));
  fuse_in_header.encode(view, 0, { len: 40, opcode: 1, unique: 2n, nodeid, uid: 0, gid: 0, pid: 1, total_extlen: 0 });
  return new Request(view);
}

/** What a listing gave. */
interface Listed extends Dirent {
  readonly nodeid?: number | undefined;
}
/** Lists behind a cookie, at most so many entries; with `plus` each counts a lookup but the dots. */
function list(fs: Tested, nodeid: number, offset: bigint, most: number, plus = false): Listed[] {
  const entries: Listed[] = [];
  const add = (entry: Dirent, lookup?: (entry: Dirent) => { nodeid: number }): boolean => {
    if (entries.length >= most) return false;
    const { name, ino, type, off } = entry;
    const given = plus && name !== '.' && name !== '..' ? lookup!(entry).nodeid : undefined;
    entries.push({ name, ino, type, off, nodeid: given });
    return true;
  };
  const args = { fh: 0, offset, size: 1 << 20, read_flags: 0, flags: 0 } as never;
  const reply = { add } as unknown as DirectoryReply;
  if (plus) fs.readdirplus(at(nodeid), args, reply);
  else fs.readdir(at(nodeid), args, reply);
  return entries;
}

interface Limits {
  readonly size: number;
  readonly nrInodes: number;
}

type Tested = MemoryFs | Unmounted;
/** With contents in a tmpfs, where this process may have one. */
class InTmpfs extends MemoryFs {
  constructor(limits?: Limits) {
    super({ ...limits, kernelPassthrough: 'auto' });
  }
}
const TESTED = { MemoryFs, 'in shared memory': Unmounted };

/** A filesystem and the model, side by side. */
class Pair {
  readonly fs: Tested;
  readonly model: Model;
  readonly random: Random;
  readonly said: string[] = [];
  succeeded = 0;

  constructor(fs: new (limits: Limits) => Tested, options: Limits, from: number) {
    this.fs = new fs(options);
    this.model = new Model(options.size / PAGE, options.nrInodes);
    this.random = new Random(from);
  }

  /** One call: it must fail for one of the reasons where there is any, and then nothing follows. */
  try<T>(what: string, reasons: readonly (Errno | false | undefined)[], call: () => T, then: (value: T) => void): void {
    const why = reasons.filter((reason) => reason instanceof Errno);
    this.said.push(`${what}${why.length > 0 ? ` ! ${why.map(({ code }) => code)}` : ''}`);
    if (this.said.length > REMEMBERED) this.said.shift();
    let value: T;
    try {
      value = call();
    } catch (error) {
      if (!(error instanceof Errno)) throw error;
      expect(why, `${what} failed: ${error.code}`).toContain(error);
      return;
    }
    expect(why, `${what} succeeded`).toEqual([]);
    this.succeeded++;
    then(value);
  }

  /** A node that the kernel knows, of a type if one is asked for. */
  node(type?: number): ModelNode {
    const known = [...this.model.nodes].filter(
      (node) => (node.nlookup > 0 || node === this.model.root) && (type === undefined || (node.mode & S_IFMT) === type),
    );
    return known.length > 0 ? this.random.of(known) : this.model.root;
  }
  directory(): ModelNode {
    return this.random.chance(10) ? this.node() : this.node(S_IFDIR);
  }
  /** A regular file, or undefined where the kernel knows none. */
  file(): ModelNode | undefined {
    const node = this.node(S_IFREG);
    return node === this.model.root ? undefined : node;
  }
  name(): string {
    return this.random.of(NAMES);
  }
  offset(): number {
    const any = this.random.below(MOST);
    return this.random.chance(3) ? any - (any % PAGE) : any;
  }
  /** A range within what a file may be long. */
  range(): [offset: number, length: number] {
    const offset = this.offset();
    const most = Math.min(MOST - offset, this.random.of([20, PAGE, 5 * PAGE, MOST]));
    return [offset, 1 + this.random.below(most)];
  }

  lookup(): void {
    const [parent, name] = [this.directory(), this.name()];
    this.try(
      `lookup ${parent.nodeid} ${name}`,
      this.model.whyNotFound(parent, name),
      () => this.fs.lookup(at(parent.nodeid), { name }),
      ({ nodeid }) => {
        const node = parent.names.get(name)!;
        expect(nodeid).toBe(node.nodeid);
        node.nlookup++;
      },
    );
  }
  forget(): void {
    const node = this.node();
    if (node === this.model.root) return;
    const most = node.nlookup - (node.open.length > 0 ? 1 : 0);
    const nlookup = this.random.chance(2) ? most : this.random.below(most + 1);
    this.fs.forget(at(1), { nodeid: node.nodeid, nlookup });
    this.said.push(`forget ${node.nodeid} ${nlookup}`);
    node.nlookup -= nlookup;
    this.model.drop(node);
    if (!this.model.nodes.has(node)) expect(() => this.fs.getattr(at(node.nodeid))).toThrow(ESTALE);
  }

  mknod(): void {
    const [parent, name] = [this.directory(), this.name()];
    const mode = this.random.of([S_IFREG, S_IFREG, S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR]) | this.random.below(0o10000);
    this.try(
      `mknod ${parent.nodeid} ${name} ${mode.toString(8)}`,
      this.model.whyNotMade(parent, name),
      () => this.fs.mknod(at(parent.nodeid), { name, mode, rdev: 0x103, umask: 0 }),
      ({ nodeid }) => this.model.make(parent, name, nodeid, mode),
    );
  }
  mkdir(): void {
    const [parent, name] = [this.directory(), this.name()];
    this.try(
      `mkdir ${parent.nodeid} ${name}`,
      this.model.whyNotMade(parent, name),
      () => this.fs.mkdir(at(parent.nodeid), { name, mode: 0o755, umask: 0o022 }),
      ({ nodeid }) => this.model.make(parent, name, nodeid, S_IFDIR | 0o755 | (parent.mode & S_ISGID)),
    );
  }
  symlink(): void {
    const [parent, name, target] = [this.directory(), this.name(), 't'.repeat(1 + this.random.below(200))];
    this.try(
      `symlink ${parent.nodeid} ${name}`,
      this.model.whyNotMade(parent, name),
      () => this.fs.symlink(at(parent.nodeid), { name, target }),
      ({ nodeid }) => {
        const node = this.model.make(parent, name, nodeid, S_IFLNK | 0o777);
        node.target = target;
        node.size = target.length;
        expect(this.fs.readlink(at(nodeid))).toBe(target);
      },
    );
  }
  create(): void {
    const [parent, name] = [this.directory(), this.name()];
    this.try(
      `create ${parent.nodeid} ${name}`,
      this.model.whyNotMade(parent, name),
      () =>
        this.fs.create(at(parent.nodeid), { name, mode: S_IFREG | 0o666, flags: O_RDWR, umask: 0o022, open_flags: 0 }),
      ({ entry, open }) => this.model.make(parent, name, entry.nodeid, S_IFREG | 0o644).open.push(open.fh),
    );
  }
  tmpfile(): void {
    const parent = this.directory();
    this.try(
      `tmpfile ${parent.nodeid}`,
      [this.model.full && ENOSPC, ...this.model.whyNotPlaced(parent).filter((reason) => reason !== ENOENT)],
      () =>
        this.fs.tmpfile(at(parent.nodeid), {
          ...{ name: '/', mode: S_IFREG | 0o600, flags: O_RDWR, umask: 0, open_flags: 0 },
        }),
      ({ entry, open }) => this.model.add(entry.nodeid, S_IFREG | 0o600).open.push(open.fh),
    );
  }
  link(): void {
    const [node, parent, newname] = [this.node(), this.directory(), this.name()];
    this.try(
      `link ${node.nodeid} ${parent.nodeid} ${newname}`,
      this.model.whyNotLinked(node, parent, newname),
      () => this.fs.link(at(parent.nodeid), { oldnodeid: node.nodeid, newname }),
      ({ nodeid }) => {
        expect(nodeid).toBe(node.nodeid);
        node.nlookup++;
        this.model.link(node, parent, newname);
      },
    );
  }
  unlink(): void {
    const [parent, name] = [this.directory(), this.name()];
    this.try(
      `unlink ${parent.nodeid} ${name}`,
      this.model.whyNotUnlinked(parent, name),
      () => this.fs.unlink(at(parent.nodeid), { name }),
      () => this.model.remove(parent, name),
    );
  }
  rmdir(): void {
    const [parent, name] = [this.directory(), this.name()];
    this.try(
      `rmdir ${parent.nodeid} ${name}`,
      this.model.whyNotRemoved(parent, name),
      () => this.fs.rmdir(at(parent.nodeid), { name }),
      () => this.model.remove(parent, name),
    );
  }
  rename(): void {
    const [from, oldname, to, newname] = [this.directory(), this.name(), this.directory(), this.name()];
    // EXCHANGE goes with neither of the others: the kernel sees to that. fs/namei.c: do_renameat2
    const both = RENAME_NOREPLACE | RENAME_WHITEOUT;
    const flags = this.random.of([0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT, both]);
    this.try(
      `rename ${from.nodeid} ${oldname} ${to.nodeid} ${newname} ${flags}`,
      this.model.whyNotRenamed(from, oldname, to, newname, flags),
      () => this.fs.rename(at(from.nodeid), { oldname, newdir: to.nodeid, newname, flags }),
      () => this.model.rename(from, oldname, to, newname, flags, () => this.#nodeidOf(from, oldname)),
    );
  }
  /** A nodeid that nobody was given yet; the lookup is taken back. */
  #nodeidOf(parent: ModelNode, name: string): number {
    const { nodeid } = this.fs.lookup(at(parent.nodeid), { name });
    this.fs.forget(at(1), { nodeid, nlookup: 1 });
    return nodeid;
  }

  open(): void {
    const file = this.file();
    if (file === undefined) return;
    const flags = this.random.chance(6) ? O_RDWR | O_TRUNC : O_RDWR;
    this.try(
      `open ${file.nodeid} ${flags.toString(8)}`,
      [],
      () => this.fs.open(at(file.nodeid), { flags, open_flags: 0 }),
      ({ fh }) => {
        file.open.push(fh);
        if (flags & O_TRUNC) this.model.resize(file, 0);
      },
    );
  }
  release(): void {
    const file = this.file();
    const fh = file?.open.pop();
    if (file === undefined || fh === undefined) return;
    this.fs.flush(at(file.nodeid), { fh, lock_owner: 1n, unused: 0, padding: 0 } as never);
    this.fs.release(at(file.nodeid), { fh, flags: 0, release_flags: 0, lock_owner: 1n });
  }
  /** Compares a file's bytes, through a handle of its own. */
  read(file = this.file(), [offset, size] = this.range()): void {
    if (file === undefined) return;
    const { fh } = this.fs.open(at(file.nodeid), { flags: 0, open_flags: 0 });
    const reply = Buffer.alloc(size, 0xa5);
    const args = { fh, offset, size, read_flags: 0, lock_owner: undefined, flags: 0 };
    const count = this.fs.read(at(file.nodeid), args, reply);
    this.fs.release(at(file.nodeid), { fh, flags: 0, release_flags: 0, lock_owner: 1n });
    const wanted = file.content.bytes.subarray(offset, Math.max(offset, Math.min(offset + size, file.size)));
    expect(count, `bytes of ${file.nodeid} at ${offset}`).toBe(wanted.length);
    if (reply.subarray(0, count).equals(wanted)) return;
    const differs = reply.findIndex((byte, i) => byte !== wanted[i]);
    expect.fail(`byte ${offset + differs} of ${file.nodeid} differs`);
  }
  write(): void {
    const file = this.file();
    if (file === undefined) return;
    const [offset, length] = this.range();
    const data = this.random.bytes(length);
    const fits = this.model.fitting(file, offset, length);
    const args = { fh: 0, offset, data, size: length, write_flags: 0, lock_owner: undefined, flags: 0 } as never;
    this.try(
      `write ${file.nodeid} ${offset}+${length}, ${fits} fit`,
      [fits === 0 && ENOSPC],
      () => this.fs.write(at(file.nodeid), args),
      ({ size }) => {
        expect(size).toBe(fits);
        this.model.write(file, offset, data.subarray(0, fits));
      },
    );
    this.read(file, [Math.max(0, offset - PAGE), length + 2 * PAGE]);
  }
  truncate(): void {
    const file = this.file();
    if (file === undefined) return;
    const size = this.random.chance(4) ? file.size : this.offset();
    const valid = FATTR_SIZE | (this.random.chance(2) ? FATTR_FH : 0);
    this.try(
      `truncate ${file.nodeid} from ${file.size} to ${size}, valid ${valid}`,
      [],
      () => this.fs.setattr(at(file.nodeid), { valid, size } as never),
      () => this.model.resize(file, size),
    );
    this.read(file, [0, MOST]);
  }
  fallocate(): void {
    const file = this.file();
    if (file === undefined) return;
    const [offset, length] = this.range();
    const punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    // What is promised again is data in a tmpfs: fs/tmpfs.test.ts has that.
    const modes = this.fs instanceof InTmpfs ? [punch] : [0, FALLOC_FL_KEEP_SIZE, punch, punch, FALLOC_FL_ZERO_RANGE];
    const mode = this.random.of(modes);
    const lacking = mode === punch ? 0 : this.model.lacking(file, offset, length);
    this.try(
      `fallocate ${file.nodeid} mode ${mode} ${offset}+${length}`,
      [lacking > this.model.free && ENOSPC],
      () => this.fs.fallocate(at(file.nodeid), { fh: 0, offset, length, mode }),
      () => {
        if (mode === punch) return this.model.clear(file, offset, length, 'hole');
        this.model.promise(file, offset, length);
        if (mode === FALLOC_FL_ZERO_RANGE) this.model.clear(file, offset, length, 'promised');
        if (mode !== FALLOC_FL_KEEP_SIZE) file.size = Math.max(file.size, offset + length);
      },
    );
    this.read(file, [0, MOST]);
  }
  seek(): void {
    const file = this.file();
    if (file === undefined) return;
    const [offset, data] = [this.offset(), this.random.chance(2)];
    const found = offset < file.size ? this.model.seek(file, offset, data) : undefined;
    this.try(
      `seek ${file.nodeid} ${offset} ${data ? 'data' : 'hole'}`,
      [found === undefined && ENXIO],
      () => this.fs.lseek(at(file.nodeid), { fh: 0, offset, whence: data ? SEEK_DATA : SEEK_HOLE }),
      (answer) => expect(answer.offset).toBe(found),
    );
  }
  copy(): void {
    const [source, target] = [this.file(), this.file()];
    if (source === undefined || target === undefined || source === target) return;
    const [[off_in, length], off_out] = [this.range(), this.offset()];
    const there = Math.max(0, Math.min(length, source.size - off_in, MOST - off_out));
    const args = {
      ...{ fh_in: 0, off_in, nodeid_out: target.nodeid, fh_out: 0, off_out, len: Math.min(length, MOST - off_out) },
      flags: 0n,
    };
    const starts = source.content.pages[Math.floor(off_in / PAGE)] === 'data';
    const none = there > 0 && starts && this.model.fitting(target, off_out, 1) === 0;
    this.try(
      `copy ${source.nodeid} ${off_in}+${there} to ${target.nodeid} ${off_out}`,
      [none && ENOSPC],
      () => this.fs.copy_file_range(at(source.nodeid), args as never),
      ({ bytes_copied }) => {
        expect(bytes_copied).toBe(this.model.copy(source, off_in, target, off_out, there));
        target.size = Math.max(target.size, bytes_copied > 0 ? off_out + bytes_copied : 0);
      },
    );
    this.read(target, [0, MOST]);
  }

  setxattr(): void {
    const [node, name, flags] = [
      this.node(),
      this.random.of(XATTRS),
      this.random.of([0, 0, XATTR_CREATE, XATTR_REPLACE]),
    ];
    const value = this.random.bytes(this.random.of([0, 10, 3000, 9000]));
    const before = node.xattrs.get(name);
    const bytes = node.xattrBytes + value.length - (before ? before.length : -name.length);
    const more = Math.ceil(bytes / PAGE) - Math.ceil(node.xattrBytes / PAGE);
    this.try(
      `setxattr ${node.nodeid} ${name} +${value.length} ${flags}`,
      [
        before && flags === XATTR_CREATE ? EEXIST : undefined,
        !before && flags === XATTR_REPLACE && ENODATA,
        more > this.model.free && ENOSPC,
      ],
      () => this.fs.setxattr(at(node.nodeid), { name, value, flags, size: value.length, setxattr_flags: 0 } as never),
      () => node.xattrs.set(name, value),
    );
  }
  removexattr(): void {
    const [node, name] = [this.node(), this.random.of(XATTRS)];
    this.try(
      `removexattr ${node.nodeid} ${name}`,
      [!node.xattrs.has(name) && ENODATA],
      () => this.fs.removexattr(at(node.nodeid), { name }),
      () => node.xattrs.delete(name),
    );
  }
  chmod(): void {
    const [node, bits] = [this.node(), this.random.below(0o10000)];
    this.try(
      `chmod ${node.nodeid} ${bits.toString(8)}`,
      [],
      () => this.fs.setattr(at(node.nodeid), { valid: FATTR_MODE, mode: bits } as never),
      () => {
        node.mode = (node.mode & S_IFMT) | bits;
      },
    );
  }
  readdir(): void {
    const node = this.node(S_IFDIR);
    const [plus, most] = [this.random.chance(2), this.random.below(8)];
    const entries = list(this.fs, node.nodeid, 0n, most, plus);
    for (const { name, type, ino } of entries.slice(2)) {
      const child = node.names.get(name)!;
      expect([type, ino], name).toEqual([(child.mode & S_IFMT) >> 12, BigInt(child.nodeid)]);
      if (plus) child.nlookup++;
    }
    const names = entries.map(({ name }) => name);
    if (most >= 2 + node.names.size) expect(names.slice(2).sort()).toEqual([...node.names.keys()].sort());
    expect(names.slice(0, 2)).toEqual(['.', '..'].slice(0, most));
  }

  /** All that can be asked about without changing anything. */
  compare(): void {
    this.fs.check();
    const { blocks, bfree, files, ffree } = this.fs.statfs();
    expect({ blocks, bfree, files, ffree }).toEqual({
      ...{ blocks: this.model.limit, bfree: this.model.free },
      ...{ files: this.model.inodes, ffree: this.model.inodes - this.model.nodes.size },
    });
    for (const node of this.model.nodes) {
      const { attr } = this.fs.getattr(at(node.nodeid));
      const size = node.isDirectory ? attr.size : node.size; // a directory's is nobody's promise
      const is = `links ${attr.nlink} mode ${attr.mode.toString(8)} blocks ${attr.blocks} size ${attr.size}`;
      const was = `links ${node.links} mode ${node.mode.toString(8)} blocks ${8 * node.content.count} size ${size}`;
      if (is !== was) expect(is, `node ${node.nodeid}`).toBe(was);
    }
  }
  /** And every byte and xattr. */
  compareAll(): void {
    for (const node of this.model.nodes) {
      if ((node.mode & S_IFMT) === S_IFREG) this.read(node, [0, MOST]);
      const listed = this.fs.listxattr(at(node.nodeid)).toString().split('\0').slice(0, -1);
      expect(listed.sort()).toEqual([...node.xattrs.keys()].sort());
      for (const [name, value] of node.xattrs)
        expect(Buffer.compare(this.fs.getxattr(at(node.nodeid), { name, size: 0 } as never), value), name).toBe(0);
    }
  }

  step(): void {
    const name = this.random.of(STEPS);
    this[name]();
    this.compare();
  }
}

/** Each method as often as it stands here. */
const STEPS = [
  ...(['lookup', 'lookup', 'lookup', 'forget', 'forget', 'forget', 'mknod', 'mkdir', 'mkdir', 'symlink'] as const),
  ...(['create', 'create', 'tmpfile', 'link', 'link', 'unlink', 'unlink', 'rmdir', 'rename', 'rename'] as const),
  ...(['rename', 'open', 'release', 'read', 'write', 'write', 'write', 'truncate', 'fallocate'] as const),
  ...(['fallocate', 'seek', 'copy', 'setxattr', 'removexattr', 'chmod', 'readdir'] as const),
];

/** At this many nodes everything goes: to check them all after each step takes its time. */
const MANY = 80;

function run(pair: Pair, count: number): void {
  let step = 0;
  try {
    for (; step < count; step++) {
      pair.step();
      if (step % 100 === 99) pair.compareAll();
      if (pair.model.nodes.size >= MANY) empty(pair);
    }
    pair.compareAll();
  } catch (error) {
    const { message } = error as Error;
    throw new Error(`SEED=${seed}, step ${step}: ${message}\nafter\n  ${pair.said.join('\n  ')}`, { cause: error });
  }
}

/** Removes all names, closes all handles, forgets all lookups: nothing is left, no node and no byte. */
function empty({ fs, model }: Pair): void {
  const clear = (node: ModelNode): void => {
    for (const [name, child] of [...node.names]) {
      clear(child);
      if (child.isDirectory) fs.rmdir(at(node.nodeid), { name });
      else fs.unlink(at(node.nodeid), { name });
      model.remove(node, name);
    }
  };
  clear(model.root);
  for (const name of model.root.xattrs.keys()) fs.removexattr(at(1), { name });
  model.root.xattrs.clear();
  for (const node of [...model.nodes]) {
    for (const fh of node.open.splice(0))
      fs.release(at(node.nodeid), { fh, flags: 0, release_flags: 0, lock_owner: 1n });
    fs.forget(at(1), { nodeid: node.nodeid, nlookup: node.nlookup });
    node.nlookup = 0;
    model.drop(node);
  }
  fs.check();
  const { blocks, bfree, files, ffree } = fs.statfs();
  expect([fs.nodes.size, fs.nodes.counted, fs.opened]).toEqual([1, [], 0]);
  expect([bfree, ffree]).toEqual([blocks, files - 1]);
}

/** Plenty of everything; and so little that space, files, or both are gone again and again. */
const LIMITS: Readonly<Record<string, Limits>> = {
  plenty: { size: 1 << 28, nrInodes: 10_000 },
  'hardly any space': { size: 40 * PAGE, nrInodes: 10_000 },
  'hardly any files': { size: 1 << 20, nrInodes: 8 },
};
describe.each(Object.entries(TESTED))(
  'random calls of %s do what the model does, and nothing is lost or left',
  (_, fs) => {
    for (const [i, [name, limits]] of Object.entries(LIMITS).entries()) {
      const count = operations(3000);
      test(
        `with ${name}`,
        () => {
          const pair = new Pair(fs, limits, seed + i);
          run(pair, count);
          // Few inodes may be held for long: then nothing can be made.
          expect(pair.succeeded).toBeGreaterThan(count / (limits.nrInodes === 8 ? 10 : 5));
          empty(pair);
        },
        patience(count),
      );
    }
  },
);

test(
  'random calls of MemoryFs do so with contents in a tmpfs, too',
  () => {
    const count = operations(3000);
    const pair = new Pair(InTmpfs, LIMITS['hardly any space']!, seed);
    run(pair, count);
    expect(pair.succeeded).toBeGreaterThan(count / 5);
    empty(pair);
  },
  patience(operations(3000)),
);

/** A listing on its way: where it is, what it has seen, what has been there since it began. */
interface Listing {
  cookie: bigint;
  readonly seen: string[];
  readonly throughout: Set<string>;
}

test.each(Object.entries(TESTED))(
  'a listing of %s that goes on from any cookie sees each name once that is there all along',
  (_, Filesystem) => {
    const random = new Random(seed);
    const fs = new Filesystem();
    const there = new Set<string>();
    let listings: Listing[] = [];
    let ended = 0;
    let made = 0;
    const steps = operations(6000);
    /** A name has come or gone: it is not what was there all along. */
    const changed = (name: string): void => {
      for (const { throughout } of listings) throughout.delete(name);
    };
    const make = (): void => {
      const name = `${random.chance(2) ? made++ : random.below(made + 1)}`;
      if (there.has(name)) return;
      fs.mknod(at(1), { name, mode: S_IFREG, rdev: 0, umask: 0 });
      there.add(name);
      changed(name);
    };
    const remove = (): void => {
      const name = random.of([...there]);
      fs.unlink(at(1), { name });
      there.delete(name);
      changed(name);
    };
    const rename = (): void => {
      const [oldname, newname] = [random.of([...there]), `${random.below(made + 5)}`];
      if (oldname === newname) return;
      fs.rename(at(1), { oldname, newdir: 1, newname, flags: 0 });
      there.delete(oldname);
      changed(oldname);
      // The name that it replaces is there before, after, and in between.
      if (!there.has(newname)) changed(newname);
      there.add(newname);
    };
    const exchange = (): void => {
      const [oldname, newname] = [random.of([...there]), random.of([...there])];
      fs.rename(at(1), { oldname, newdir: 1, newname, flags: RENAME_EXCHANGE });
    };
    const begin = (): void => {
      if (listings.length < 5) listings.push({ cookie: 0n, seen: [], throughout: new Set(there) });
    };
    const goOn = (): void => {
      if (listings.length === 0) return;
      const listing = random.of(listings);
      const entries = list(fs, 1, listing.cookie, 1 + random.below(12), random.chance(2));
      if (entries.length > 0) {
        listing.seen.push(...entries.map(({ name }) => name));
        listing.cookie = entries.at(-1)!.off;
        return;
      }
      // A name that was removed and made again is a new one, and may be seen again.
      const often = [...listing.throughout].filter((name) => listing.seen.filter((each) => each === name).length !== 1);
      expect(often, `SEED=${seed}: names not seen once`).toEqual([]);
      expect(listing.seen.slice(0, 2)).toEqual(['.', '..']);
      listings = listings.filter((each) => each !== listing);
      ended++;
    };
    for (let i = 0; i < 40; i++) make();
    // Waves: for a while more come than go, and then the other way round, so that removed names pile up.
    for (let step = 0; step < steps; step++) {
      const growing = step % 1000 < 500;
      const change = random.of(growing ? [make, make, remove] : [make, remove, remove]);
      const act = random.of([change, change, rename, exchange, begin, goOn, goOn, goOn]);
      if (there.size > 2 || act === begin || act === goOn) act();
      else make();
      fs.check();
    }
    expect(ended).toBeGreaterThan(steps / 500);
  },
  patience(operations(6000)),
);
