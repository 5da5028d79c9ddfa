/**
 * What makes, removes and moves names: on the branches that policies choose, and in the tree that says which node a name is. A node
 * that loses its last name is held by a descriptor, for those who have its file.
 */
import { EEXIST, EINVAL, ENAMETOOLONG, ENOENT, ENOTEMPTY, ESTALE, EXDEV } from '../../abi/errno.ts';
import { closeQuietly, linkat, mkdirat, mknodat, openat, symlinkat, unlinkat } from '../../abi/files.ts';
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_FOLLOW,
  NAME_MAX,
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_TMPFILE,
  RENAME_EXCHANGE,
  RENAME_WHITEOUT,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from '../../abi/posix.ts';
import { encodeName } from '../../protocol/names.ts';
import type { Args, Result } from '../../protocol/operations.ts';
import type { Request } from '../../protocol/request.ts';
import { ofType } from '../made.ts';
import type { Attributes } from '../passthrough/attributes.ts';
import type { Credentials } from '../passthrough/credentials.ts';
import { done, type Scratch } from '../passthrough/scratch.ts';
import { DEFAULT_ACL, type LowerXattrs } from '../passthrough/xattrs.ts';
import type { Across } from './across.ts';
import { type Answers, type Entry, fullPath } from './answers.ts';
import type { OpenFiles } from './files.ts';
import type { Listing } from './listing.ts';
import type { Branch, Lower } from './lower.ts';
import type { FunctionName } from './options.ts';
import { nameOf, parentOf } from './policies.ts';
import type { Renamer } from './rename.ts';
import type { Served } from './served.ts';
import type { UnionNode, UnionTree } from './tree.ts';

/** Groups that a request tells of, where it tells of none. */
const NO_GROUPS: readonly number[] = [];

/** What is needed to make a Names: the other parts of a union. */
export interface Parts {
  readonly served: Served;
  readonly scratch: Scratch;
  readonly tree: UnionTree;
  readonly lower: Lower;
  readonly across: Across;
  readonly answers: Answers;
  readonly renamer: Renamer;
  readonly listing: Listing;
  readonly files: OpenFiles;
  readonly xattrs: LowerXattrs;
  credentials(): Credentials;
}

export class Names {
  readonly #served: Served;
  readonly #scratch: Scratch;
  readonly #tree: UnionTree;
  readonly #lower: Lower;
  readonly #across: Across;
  readonly #answers: Answers;
  readonly #renamer: Renamer;
  readonly #listing: Listing;
  readonly #files: OpenFiles;
  readonly #xattrs: LowerXattrs;
  readonly #credentials: () => Credentials;

  constructor({ served, scratch, tree, lower, across, answers, renamer, listing, files, xattrs, credentials }: Parts) {
    this.#served = served;
    this.#scratch = scratch;
    this.#tree = tree;
    this.#lower = lower;
    this.#across = across;
    this.#answers = answers;
    this.#renamer = renamer;
    this.#listing = listing;
    this.#files = files;
    this.#xattrs = xattrs;
    this.#credentials = credentials;
  }
  get #values() {
    return this.#served.options.values;
  }
  #node(nodeid: number): UnionNode {
    return this.#tree.get(nodeid);
  }
  /** Finds a name on the branch that `getattr` looks at; counts a lookup. */
  enter(parent: UnionNode, name: string): Entry {
    return this.#across.searchPath('getattr', this.#tree.below(parent, name), (fd, branch) =>
      this.#answers.enter(parent, name, fd, branch),
    );
  }
  /** Answers with a node that is known; counts a lookup. */
  known(node: UnionNode): Entry {
    this.attributes(node);
    this.#tree.table.lookup(node.shared);
    return this.#answers.given(node);
  }
  /** The attributes of a node, good until the next are asked for. */
  attributes(node: UnionNode): Attributes {
    return this.#across.search('getattr', node, (fd, branch, path) => this.#answers.attributes(fd, branch, path, node));
  }

  /** Calls what makes a file that shall belong to the client. */
  #making<T>(request: Request, call: () => T): T {
    return this.#credentials().as(request.uid, request.gid, request.extensions?.groups ?? NO_GROUPS, call);
  }
  /** The mode to make a file with: the client's umask counts where the directory has no default ACL. */
  #mode(dirfd: number, mode: number, mask: number): number {
    return (mode & mask) === 0 || this.#xattrs.has(dirfd, DEFAULT_ACL) ? mode : mode & ~mask;
  }
  /** Makes a file by `make`, which may not follow the last name, and answers with it. */
  #made(request: Request, name: string, type: number, by: FunctionName, make: (dirfd: number) => number): Entry {
    component(name);
    const parent = this.#node(request.nodeid);
    const directory = this.#tree.path(parent);
    this.#across.make(by, directory, (branch, dirfd) => {
      done(this.#making(request, () => make(dirfd)));
      try {
        this.#label(request, branch, this.#tree.below(parent, name));
      } catch (error) {
        if (unlinkat(dirfd, this.#scratch.name(name), 0) < 0) unlinkat(dirfd, this.#scratch.name(name), AT_REMOVEDIR);
        throw error;
      }
    });
    return ofType(type, this.enter(parent, name), this.#tree.table);
  }
  /** Gives a new file the security contexts that came with the request. */
  #label({ extensions }: Request, branch: Branch, path: string): void {
    if (extensions === undefined || extensions.contexts.length === 0) return;
    const fd = this.#lower.look(branch, path);
    for (const context of extensions.contexts) this.#xattrs.set(fd, context.name, context.value, 0);
  }
  mknod(request: Request, { name, mode, rdev, umask: mask }: Args<'MKNOD'>) {
    return this.#made(request, name, mode & S_IFMT, 'mknod', (dirfd) =>
      mknodat(dirfd, this.#scratch.name(name), this.#mode(dirfd, mode, mask), rdev),
    );
  }
  mkdir(request: Request, { name, mode, umask: mask }: Args<'MKDIR'>) {
    return this.#made(request, name, S_IFDIR, 'mkdir', (dirfd) => {
      const made = this.#mode(dirfd, mode, mask);
      return mkdirat(dirfd, this.#scratch.name(name), made);
    });
  }
  symlink(request: Request, { name, target }: Args<'SYMLINK'>) {
    return this.#made(request, name, S_IFLNK, 'symlink', (dirfd) => {
      const path = this.#scratch.name(name);
      return symlinkat(this.#scratch.text(target), dirfd, path);
    });
  }
  /**
   * Always a new file: one that somebody else has made meanwhile was not asked about above, whether this client may
   * open it. ESTALE makes the kernel look again, and ask.
   */
  create(request: Request, { name, mode, umask: mask, flags }: Args<'CREATE'>): Result<'CREATE'> {
    component(name);
    const parent = this.#node(request.nodeid);
    const directory = this.#tree.path(parent);
    const lower = this.#files.lower(flags) | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    const act = (branch: Branch, dirfd: number) => {
      const made = this.#mode(dirfd, mode, mask);
      const fd = this.#making(request, () => openat(dirfd, this.#scratch.name(name), lower, made));
      if (fd === -EEXIST.errno && !(flags & O_EXCL)) throw ESTALE;
      try {
        return this.#born(request, branch, done(fd), flags, () => {
          this.#label(request, branch, this.#tree.below(parent, name));
          return this.#answers.enter(parent, name, fd, branch);
        });
      } catch (error) {
        if (fd >= 0) unlinkat(dirfd, this.#scratch.name(name), 0);
        throw error;
      }
    };
    return this.#across.make('create', directory, act, true);
  }
  /** Answers with a file that was just made and is open, with the entry that `enter` counts. Where that fails it is closed, and not counted. */
  #born(request: Request, branch: Branch, fd: number, flags: number, enter: () => Entry): Result<'CREATE'> {
    let entry: Entry;
    try {
      entry = enter();
    } catch (error) {
      closeQuietly(fd);
      throw error;
    }
    const { nodeid } = entry;
    try {
      return { entry, open: this.#files.opened(request, this.#node(nodeid), branch, fd, flags) };
    } catch (error) {
      this.#tree.table.forget({ nodeid, nlookup: 1 });
      throw error;
    }
  }
  tmpfile(request: Request, { mode, umask: mask, flags }: Args<'TMPFILE'>): Result<'TMPFILE'> {
    const parent = this.#node(request.nodeid);
    const lower = this.#files.lower(flags) | O_TMPFILE | (flags & O_EXCL) | O_CLOEXEC;
    const act = (branch: Branch, dirfd: number) => {
      const made = this.#mode(dirfd, mode, mask);
      const fd = done(this.#making(request, () => openat(dirfd, this.#scratch.name('.'), lower, made)));
      return this.#born(request, branch, fd, flags, () => {
        const held = done(this.#lower.reopen(fd, O_PATH));
        const node = this.#tree.add(S_IFREG);
        this.#tree.hold(node, held, branch.number);
        this.#answers.attributes(fd, branch, `#${node.nodeid}`, node);
        return this.#answers.given(node);
      });
    };
    const { held } = parent;
    if (held) return act(this.#lower.numbered(held.branch), held.fd);
    return this.#across.make('create', this.#tree.path(parent), act, true);
  }

  unlink({ nodeid }: Request, { name }: Args<'UNLINK'>) {
    component(name);
    this.#remove(this.#node(nodeid), name, 'unlink', 0);
  }
  /** A directory that is merged from several is empty where all of them are. */
  rmdir({ nodeid }: Request, { name }: Args<'RMDIR'>) {
    component(name);
    const parent = this.#node(nodeid);
    const path = this.#tree.below(parent, name);
    this.#remove(parent, name, 'rmdir', AT_REMOVEDIR, (chosen) => {
      // Of one that is on a single branch the filesystem there says it.
      const { branches } = this.#lower;
      const merged = chosen.length > 1 || branches.some((b) => !chosen.includes(b) && this.#isThere(b, path));
      if (merged && !this.#listing.isEmpty(path)) throw ENOTEMPTY;
    });
  }
  #isThere(branch: Branch, path: string): boolean {
    return !this.#lower.saidAbsent(branch) && this.#lower.during(() => this.#lower.exists(branch, path));
  }
  #remove(
    parent: UnionNode,
    name: string,
    by: 'unlink' | 'rmdir',
    flags: number,
    allowed?: (branches: readonly Branch[]) => void,
  ): void {
    this.#across.remove(
      by,
      this.#tree.below(parent, name),
      (dirfd, last) => done(unlinkat(dirfd, this.#scratch.name(last), flags)),
      (fd, branch) => this.#unnamed(this.#tree.detach(parent, name), fd, branch),
      allowed,
    );
  }
  /** A node that has lost its last name is held for those who have its file. */
  #unnamed(node: UnionNode | undefined, fd: number, branch: Branch): void {
    if (node !== undefined && this.#tree.hold(node, fd, branch.number)) this.#lower.keep(fd);
  }

  rename(request: Request, { newdir, oldname, newname, flags }: Args<'RENAME2'>) {
    component(oldname);
    component(newname);
    const [from, to] = [this.#node(request.nodeid), this.#node(newdir)];
    const [oldPath, newPath] = [this.#tree.below(from, oldname), this.#tree.below(to, newname)];
    this.#lower.during(() => {
      const replaced = flags & RENAME_EXCHANGE ? undefined : this.#held(this.#tree.child(to, newname), newPath);
      try {
        const rename = () => this.#renamer.rename(oldPath, newPath, flags);
        // A whiteout is made, and so belongs to the client.
        if (flags & RENAME_WHITEOUT) this.#making(request, rename);
        else rename();
      } catch (error) {
        if (error !== EXDEV || this.#values['rename-exdev'] === 'passthrough') throw error;
        return this.#renameToLink(from, oldname, newPath);
      }
      const [lost, moved] = [this.#tree.child(to, newname), this.#tree.child(from, oldname)];
      if (flags & RENAME_EXCHANGE) this.#tree.exchange(from, oldname, to, newname);
      else this.#tree.move(from, oldname, to, newname);
      // Two names of one file: nothing was renamed.
      if (replaced && lost?.nodeid !== moved?.nodeid) this.#unnamed(lost, replaced.fd, replaced.branch);
    });
  }
  /** The file of a node that is about to lose its name, for the operation. */
  #held(node: UnionNode | undefined, path: string) {
    if (node === undefined) return undefined;
    const found = this.#across.searchPath('getattr', path, (fd, branch) => ({ fd: this.#lower.keep(fd), branch }));
    this.#lower.hold(found.branch, found.fd);
    return found;
  }
  /** rename-exdev: the file is put away on its branches, and the new name is a symlink to it. */
  #renameToLink(from: UnionNode, oldname: string, newPath: string): void {
    const oldPath = this.#tree.below(from, oldname);
    const held = this.#held(this.#tree.child(from, oldname), oldPath);
    const away = this.#renamer.putAway(oldPath);
    const target = this.#values['rename-exdev'] === 'rel-symlink' ? relative(newPath, away) : this.#pool(away);
    try {
      this.#across.make('symlink', parentOf(newPath), (_, dirfd) => {
        const name = this.#scratch.name(nameOf(newPath));
        done(symlinkat(this.#scratch.text(target), dirfd, name));
      });
    } catch (error) {
      this.#renamer.bringBack(oldPath);
      throw error;
    }
    if (held) this.#unnamed(this.#tree.detach(from, oldname), held.fd, held.branch);
  }
  #pool(path: string): string {
    return `${this.#served.mountpoint}/${path}`;
  }

  link(request: Request, { oldnodeid, newname }: Args<'LINK'>): Entry {
    component(newname);
    const [node, parent] = [this.#node(oldnodeid), this.#node(request.nodeid)];
    const newPath = this.#tree.below(parent, newname);
    if (node.held !== undefined) return this.#linkHeld(node, parent, newname);
    const oldPath = this.#tree.path(node);
    try {
      this.#renamer.link(oldPath, newPath);
    } catch (error) {
      if (error !== EXDEV || this.#values['link-exdev'] === 'passthrough') throw error;
      return this.#linkToLink(request, node, oldPath, newPath);
    }
    this.#across.search('getattr', node, (fd, branch, path) => this.#answers.joins(node, fd, branch, path));
    return ofType(node.type, this.enter(parent, newname), this.#tree.table);
  }
  /** A file of O_TMPFILE gets a name, where it is. */
  #linkHeld(node: UnionNode, parent: UnionNode, name: string): Entry {
    const { fd, branch } = node.held!;
    return this.#across.makeOn(this.#lower.numbered(branch), this.#tree.path(parent), (dirfd) => {
      const path = this.#scratch.name(name);
      done(linkat(AT_FDCWD, this.#scratch.proc(fd), dirfd, path, AT_SYMLINK_FOLLOW));
      this.#tree.attach(parent, name, node);
      return this.known(node);
    });
  }
  /** link-exdev: the new name is a symlink. What is answered is the file, as the kernel asks for, and holds for no time. */
  #linkToLink(request: Request, node: UnionNode, oldPath: string, newPath: string): Entry {
    const how = this.#values['link-exdev'];
    const onBranch = () => this.#across.searchPath('open', oldPath, (_, branch) => fullPath(branch, oldPath));
    const pool = () => this.#pool(oldPath);
    const target =
      how === 'rel-symlink' ? relative(newPath, oldPath) : how === 'abs-base-symlink' ? onBranch() : pool();
    this.#across.make('symlink', parentOf(newPath), (_, dirfd) => {
      const name = this.#scratch.name(nameOf(newPath));
      const text = this.#scratch.text(target);
      done(this.#making(request, () => symlinkat(text, dirfd, name)));
    });
    const entry = this.known(node);
    entry.entry_valid = 0;
    entry.attr_valid = 0;
    return entry;
  }
}

/** A name of one component. ENOENT, EINVAL, ENAMETOOLONG: a path that is put together would hide what is wrong. */
export function component(name: string): void {
  if (name === '') throw ENOENT;
  if (/[\0/]/u.test(name) || name === '.' || name === '..') throw EINVAL;
  if (name.length > NAME_MAX || (name.length > NAME_MAX / 4 && encodeName(name).length > NAME_MAX)) throw ENAMETOOLONG;
}
/** The target of a symlink at one path to another. */
function relative(from: string, to: string): string {
  const [here, there] = [from.split('/').slice(0, -1), to.split('/')];
  while (here.length > 0 && here[0] === there[0]) {
    here.shift();
    there.shift();
  }
  return [...here.map(() => '..'), ...there].join('/');
}
