/**
 * Files that are open through a union: which branch each handle is on, what `cache.files` has the kernel do with it, and what happens when it is
 * closed. Data goes the way of PassthroughFs (data.ts).
 */
import { readFileSync } from 'node:fs';
import { EACCES, EDQUOT, ENOSPC, EPERM, Errno } from '../../abi/errno.ts';
import { chmod, fadvise } from '../../abi/files.ts';
import { fuse_statx } from '../../abi/fuse.ts';
import {
  FOPEN_DIRECT_IO,
  FOPEN_KEEP_CACHE,
  FOPEN_NOFLUSH,
  FOPEN_PARALLEL_DIRECT_WRITES,
  FUSE_WRITE_KILL_SUIDGID,
} from '../../abi/fuse-constants.ts';
import { O_ACCMODE, O_DIRECT, O_RDONLY, O_RDWR, O_WRONLY, POSIX_FADV_DONTNEED } from '../../abi/posix.ts';
import type { Connection } from '../../protocol/connection.ts';
import type { Args, Result } from '../../protocol/operations.ts';
import type { Request } from '../../protocol/request.ts';
import { areHanded, HandedFiles, SharedBooks } from '../handed.ts';
import type { Credentials } from '../passthrough/credentials.ts';
import { Data } from '../passthrough/data.ts';
import { Descriptors } from '../passthrough/descriptors.ts';
import { done, type Scratch } from '../passthrough/scratch.ts';
import { PERMISSIONS } from '../passthrough/setattr.ts';
import { type Handle, Handles } from './handles.ts';
import type { Branch, Lower } from './lower.ts';
import type { Mover } from './move.ts';
import type { Values } from './options.ts';
import type { UnionShared } from './shared.ts';
import type { UnionNode, UnionTree } from './tree.ts';
import type { Turns } from './turns.ts';
import { VALUE } from './words.ts';

const { offset: AT } = fuse_statx;
/** What a client opened with O_DIRECT: several may then write to it at once. */
const DIRECT = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES;
const OWNER_WRITES = 0o200;
/** Whether the kernel is to have a file that is opened first with an access mode. */
const HANDED: Readonly<Record<Values['passthrough.io'], (access: number) => boolean>> = {
  off: () => false,
  ro: (access) => access === O_RDONLY,
  wo: (access) => access === O_WRONLY,
  rw: () => true,
};

/** Where in a node's value it stands how it is open, in bytes. */
const BOOKS = { opens: 4 * VALUE.HANDED, id: 4 * VALUE.BACKING };

export class OpenFiles {
  readonly #values: Values;
  readonly #lower: Lower;
  readonly #scratch: Scratch;
  readonly #tree: UnionTree;
  readonly #mover: Mover;
  readonly #turns: Turns;
  readonly #descriptors: Descriptors;
  readonly #handles: Handles;
  readonly data: Data;
  /** From `begin` on, with `passthrough.io` and where the kernel can. */
  #handed: HandedFiles | undefined;
  /** Tells the trace. */
  note: ((message: string) => void) | undefined;

  constructor(
    {
      values,
      lower,
      scratch,
      tree,
      mover,
      turns,
    }: { values: Values; lower: Lower; scratch: Scratch; tree: UnionTree; mover: Mover; turns: Turns },
    { descriptors, handles }: Pick<UnionShared, 'descriptors' | 'handles'>,
  ) {
    this.#values = values;
    this.#lower = lower;
    this.#scratch = scratch;
    this.#tree = tree;
    this.#mover = mover;
    this.#turns = turns;
    this.#descriptors = new Descriptors(descriptors);
    this.#handles = new Handles(handles, tree);
    const reopen = (fd: number, flags: number) => done(lower.reopen(fd, flags));
    this.data = new Data({ reopen, open: reopen }, this.#descriptors, scratch, {
      // With a writeback cache the kernel reads what it writes a part of.
      access: (flags) => (values['cache.writeback'] && (flags & O_ACCMODE) === O_WRONLY ? O_RDWR : flags & O_ACCMODE),
      file: (_nodeid, _fd, flags) => ({ open_flags: flags & O_DIRECT ? DIRECT : 0 }),
      release: () => {},
    });
  }

  /** From now on files are handed to the kernel, if they are to be. */
  begin(connection: Connection): void {
    if (areHanded(connection, this.#values['passthrough.io'] === 'off' ? false : 'auto'))
      this.#handed = new HandedFiles(connection, new SharedBooks(this.#tree.table, BOOKS));
  }

  get size(): number {
    return this.#descriptors.size;
  }
  /** EBADF. */
  get(fh: number): Handle {
    return this.#handles.get(this.#descriptors.get(fh));
  }
  /** The branch that a handle's file is on. EBADF. */
  branch(fh: number): Branch {
    return this.#lower.numbered(this.#handles.branch(this.#descriptors.get(fh)));
  }

  /** Opens a node's file on a branch by a descriptor of O_PATH. */
  open(request: Request, node: UnionNode, found: Branch, path: number, flags: number): Result<'OPEN'> {
    // The kernel has one file for all who have it open: where that is, policies have no say.
    const other = this.#handed && this.#handles.of(node)[0];
    const [branch, fd] = other ? [this.#lower.numbered(other.branch), other.fd] : [found, path];
    const lower = this.lower(flags);
    let opened: number;
    try {
      opened = this.data.reopen(fd, lower);
    } catch (error) {
      if ((error !== EACCES && error !== EPERM) || !this.#hacks(node, flags)) throw error;
      opened = this.#forced(fd, lower, error as Errno);
    }
    return this.opened(request, node, branch, opened, flags);
  }
  /** Whether `nfsopenhack` is for this. */
  #hacks(node: UnionNode, flags: number): boolean {
    const { nfsopenhack } = this.#values;
    if (nfsopenhack === 'off' || (flags & O_ACCMODE) === O_RDONLY) return false;
    return nfsopenhack === 'all' || (node.names > 0 && /(^|\/)\.git\//u.test(this.#tree.path(node)));
  }
  /** Opens a read-only file, which its maker may write to all the same, in a moment of other permissions. */
  #forced(fd: number, flags: number, error: Errno): number {
    this.#lower.stat(fd);
    const mode = this.#scratch.view.getUint16(this.#scratch.statAt + AT.mode, true) & PERMISSIONS;
    if (mode & OWNER_WRITES || chmod(this.#scratch.proc(fd), mode | OWNER_WRITES) < 0) throw error;
    try {
      return this.data.reopen(fd, flags);
    } finally {
      chmod(this.#scratch.proc(fd), mode);
    }
  }
  /** The flags to open on a branch with. */
  lower(flags: number): number {
    return this.data.lower(flags);
  }
  /** What OPEN answers for a descriptor, which is the handle's from now on, and closed where this throws. */
  opened(request: Request, node: UnionNode, branch: Branch, fd: number, flags: number): Result<'OPEN'> {
    const { fh, open_flags } = this.data.opened(node.nodeid, fd, flags);
    try {
      const cached = this.#caching(request, node, fd);
      const handed = this.#handed?.open(node.nodeid, fd, HANDED[this.#values['passthrough.io']](flags & O_ACCMODE));
      this.#handles.add(fd, node, branch.number, this.lower(flags));
      const unflushed = this.#flushes(flags) ? 0 : FOPEN_NOFLUSH; // a request less at each close
      return { ...handed, open_flags: (handed?.open_flags ?? open_flags | cached) | unflushed, fh };
    } catch (error) {
      this.#descriptors.release(fh);
      throw error;
    }
  }
  #caching({ pid }: Request, node: UnionNode, fd: number): number {
    const direct = FOPEN_DIRECT_IO | (this.#values['parallel-direct-writes'] ? FOPEN_PARALLEL_DIRECT_WRITES : 0);
    switch (this.#values['cache.files']) {
      case 'off':
        return direct;
      case 'partial':
        return 0;
      case 'full':
        return FOPEN_KEEP_CACHE;
      case 'per-process':
        return this.#values['cache.files.process-names'].split('|').includes(commandOf(pid)) ? 0 : direct;
      case 'auto-full': {
        this.#lower.stat(fd);
        const { view, statAt } = this.#scratch;
        const [size, mtime] = [AT.size, AT.mtime].map((at) => view.getBigUint64(statAt + at, true)) as [bigint, bigint];
        return node.seen(size, mtime, view.getUint32(statAt + AT.mtime + 8, true)) ? FOPEN_KEEP_CACHE : 0;
      }
    }
  }

  read(args: Args<'READ'>, reply: Buffer): number {
    if (!this.#values.nullrw) return this.data.read(args, reply);
    reply.fill(0, 0, args.size);
    return args.size;
  }
  write(request: Request, args: Args<'WRITE'>, credentials: Credentials): { size: number } {
    if (this.#values.nullrw) return { size: args.data.length };
    const branch = this.#handles.branch(this.#descriptors.get(args.fh));
    try {
      return this.#write(request, args, credentials);
    } catch (error) {
      if (!(error instanceof Errno) || (error.errno !== ENOSPC.errno && error.errno !== EDQUOT.errno)) throw error;
      if (!this.#turns.moving(() => this.#moved(args, branch, error))) throw error;
      return this.#write(request, args, credentials);
    }
  }
  #write(request: Request, args: Args<'WRITE'>, credentials: Credentials): { size: number } {
    const held = this.#beginChanging();
    try {
      if (!(args.write_flags & FUSE_WRITE_KILL_SUIDGID)) return this.data.write(args);
      return credentials.clearing(request, true, () => this.data.write(args));
    } finally {
      if (held) this.#turns.endChanging();
    }
  }
  /** Whether a file was moved from the branch on which there was no space for a write. */
  #moved({ fh, data }: Args<'WRITE'>, was: number, why: Errno): boolean {
    const { moveonenospc: policy } = this.#values;
    const { nodeid, branch: number } = this.get(fh);
    if (number !== was) return true; // by another thread
    const [node, branch] = [this.#tree.get(nodeid), this.#lower.numbered(number)];
    if (policy === false || node.names !== 1) return false;
    const path = this.#tree.path(node);
    // A handle of another branch is of another file, which has the same name and is none of this one's.
    const handles = this.#handles.of(node).filter((each) => each.branch === number);
    try {
      const to = this.#mover.move(path, branch, handles, data.length, policy);
      this.note?.(`moveonenospc: ${path} moved from ${branch.path} to ${to.path} after ${why.code}`);
      return true;
    } catch (error) {
      if (!(error instanceof Errno)) throw error;
      this.note?.(`moveonenospc: ${path} stays on ${branch.path}: ${error.code}`);
      return false;
    }
  }

  /** Calls what changes a file by its handle: it is not moved meanwhile. */
  changing<T>(call: () => T): T {
    const held = this.#beginChanging();
    try {
      return call();
    } finally {
      if (held) this.#turns.endChanging();
    }
  }
  #beginChanging(): boolean {
    return this.#values.moveonenospc !== false && this.#turns.beginChanging();
  }

  /** Whether closing a file that was opened so is to tell of what was written. */
  #flushes(flags: number): boolean {
    const how = this.#values['flush-on-close'];
    return how === 'always' || (how === 'opened-for-write' && (flags & O_ACCMODE) !== O_RDONLY);
  }
  flush(args: Args<'FLUSH'>): void {
    if (this.#flushes(this.get(args.fh).flags)) this.data.flush(args);
  }
  release(fh: number): void {
    const { nodeid } = this.get(fh);
    if (this.#values.dropcacheonclose) fadvise(fh, POSIX_FADV_DONTNEED);
    this.#handed?.release(nodeid);
    this.#handles.remove(fh); // before its number is somebody else's
    this.#descriptors.release(fh);
  }
  closeAll(): void {
    this.#descriptors.closeAll();
  }
}

/** The name of a process, of at most 15 letters; empty where it is gone. */
function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'latin1').trimEnd();
  } catch {
    return '';
  }
}
