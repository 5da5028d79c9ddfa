/** Extended attributes: those of files, what is told of a file under `user.mergerfs.`, and the options of the control file. */
import { ENODATA, ENOSYS, type Errno } from '../../abi/errno.ts';
import { chmod } from '../../abi/files.ts';
import { FUSE_SETXATTR_ACL_KILL_SGID } from '../../abi/fuse-constants.ts';
import { S_ISGID } from '../../abi/posix.ts';
import { encodeName } from '../../protocol/names.ts';
import type { Args } from '../../protocol/operations.ts';
import { done, type Scratch } from '../passthrough/scratch.ts';
import { PERMISSIONS } from '../passthrough/setattr.ts';
import { ACCESS_ACL, type LowerXattrs } from '../passthrough/xattrs.ts';
import type { Across } from './across.ts';
import { fullPath } from './answers.ts';
import type { Control } from './control.ts';
import type { Lower } from './lower.ts';
import type { Values } from './options.ts';
import type { UnionNode, UnionTree } from './tree.ts';

const SECURITY_CAPABILITY = 'security.capability';
const ABOUT = 'user.mergerfs.';

export class UnionXattrs {
  readonly #values: Values;
  readonly #scratch: Scratch;
  readonly #tree: UnionTree;
  readonly #lower: Lower;
  readonly #across: Across;
  readonly #xattrs: LowerXattrs;
  readonly #control: Control;
  readonly #controlNode: number;

  constructor(
    parts: { values: Values; scratch: Scratch; tree: UnionTree; lower: Lower; across: Across; xattrs: LowerXattrs },
    control: Control,
    controlNode: number,
  ) {
    this.#values = parts.values;
    this.#scratch = parts.scratch;
    this.#tree = parts.tree;
    this.#lower = parts.lower;
    this.#across = parts.across;
    this.#xattrs = parts.xattrs;
    this.#control = control;
    this.#controlNode = controlNode;
  }

  /** What `xattr` and `security-capability` say of an attribute: the errno, or that it is as it is. */
  #refusal(name?: string): Errno | undefined {
    const { xattr } = this.#values;
    if (name === SECURITY_CAPABILITY && !this.#values['security-capability']) return ENODATA;
    return xattr === 'nosys' ? ENOSYS : xattr === 'noattr' ? ENODATA : undefined;
  }
  set(node: UnionNode, { name, value, flags, setxattr_flags }: Args<'SETXATTR'>) {
    if (node.nodeid === this.#controlNode) return this.#control.set(name, Buffer.from(value).toString());
    const refusal = this.#refusal(name);
    if (refusal) throw refusal;
    this.#across.change('setxattr', node, (fd) => {
      this.#xattrs.set(fd, name, value, flags);
      if (name !== ACCESS_ACL || !(setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID)) return;
      const mode = this.#lower.modeOf(fd);
      if (mode & S_ISGID) done(chmod(this.#scratch.proc(fd), mode & PERMISSIONS & ~S_ISGID));
    });
  }
  get(node: UnionNode, { name, size }: Args<'GETXATTR'>, reply: Buffer): number | Uint8Array {
    if (node.nodeid === this.#controlNode) return Buffer.from(this.#control.get(name));
    if (name.startsWith(ABOUT)) return this.#about(node, name.slice(ABOUT.length));
    const refusal = this.#refusal(name);
    if (refusal) throw refusal;
    return this.#across.search('getxattr', node, (fd) =>
      this.#xattrs.get(fd, name, reply, Math.min(size, reply.length)),
    );
  }
  /** Where a file is. ENODATA. */
  #about(node: UnionNode, what: string): Uint8Array {
    const path = this.#tree.path(node);
    const branch = () => this.#across.searchPath('getxattr', path, (_, found) => found);
    const all = () => this.#lower.during(() => this.#lower.branches.filter((each) => this.#lower.exists(each, path)));
    if (what === 'basepath') return encodeName(branch().path);
    if (what === 'relpath') return encodeName(`/${path}`);
    if (what === 'fullpath') return encodeName(fullPath(branch(), path));
    if (what === 'allpaths')
      return encodeName(
        all()
          .map((each) => fullPath(each, path))
          .join('\0'),
      );
    throw ENODATA;
  }
  list(node: UnionNode, uid: number): Uint8Array {
    if (node.nodeid === this.#controlNode) return this.#control.list();
    const refusal = this.#refusal();
    if (refusal === ENODATA) return Buffer.alloc(0);
    if (refusal) throw refusal;
    return this.#across.search('listxattr', node, (fd) => this.#xattrs.list(fd, uid === 0));
  }
  remove(node: UnionNode, { name }: Args<'REMOVEXATTR'>) {
    if (node.nodeid === this.#controlNode) return this.#control.remove();
    const refusal = this.#refusal(name);
    if (refusal) throw refusal;
    this.#across.change('removexattr', node, (fd) => this.#xattrs.remove(fd, name));
  }
}
