/**
 * POSIX ACLs and the mode of a file, which say the same twice: the mode follows the access ACL, and chmod(2)
 * changes the ACL. Whether a caller may do a thing is not asked here. With POSIX_ACL the kernel checks all
 * permissions itself, from the mode and the ACLs that it gets from us.
 * @see acl(5); fs/posix_acl.c
 */
import { EACCES, EOPNOTSUPP } from '../../abi/errno.ts';
import { S_IFLNK, S_IFMT, S_ISGID } from '../../abi/posix.ts';
import { type Acl, decodeAcl, encodeAcl, inherit, modeOf, withMode } from '../acl.ts';

/** Extended attributes by name. */
export interface XattrStore {
  get(name: string): Uint8Array | undefined;
  /** `flags` are XATTR_CREATE and XATTR_REPLACE. EEXIST, ENODATA, ENOSPC. */
  set(name: string, value: Uint8Array, flags?: number): void;
  /** Whether it was there. */
  remove(name: string): boolean;
}
/** What a file with ACLs has. */
export interface Guarded {
  mode: number;
  readonly isDirectory: boolean;
  /** undefined where none was set yet. */
  readonly xattrs: XattrStore | undefined;
}

export const ACCESS_ACL = 'system.posix_acl_access';
export const DEFAULT_ACL = 'system.posix_acl_default';
export const isAcl = (name: string): boolean => name === ACCESS_ACL || name === DEFAULT_ACL;

const PERMISSIONS = 0o777;
/** The xattr of no ACL at all: a header without entries. */
const EMPTY = 4;

/** The mode, and the ACLs, that a new file gets: from its directory's default ACL, or else from the umask. */
export function inherited(parent: Guarded, mode: number, umask: number): { mode: number; access?: Acl | undefined } {
  if ((mode & S_IFMT) === S_IFLNK) return { mode };
  const defaults = parent.xattrs?.get(DEFAULT_ACL);
  return defaults ? inherit(decodeAcl(defaults), mode) : { mode: mode & ~umask };
}

/** Gives a new file the ACLs of `inherited`; `xattrsOf` makes what they are set in. ENOSPC. */
export function endow<N extends Guarded>(
  node: N,
  parent: N,
  access: Acl | undefined,
  xattrsOf: (node: N) => XattrStore,
): void {
  if (access) xattrsOf(node).set(ACCESS_ACL, encodeAcl(access));
  const defaults = node.isDirectory && parent.xattrs?.get(DEFAULT_ACL);
  if (defaults) xattrsOf(node).set(DEFAULT_ACL, defaults);
}

/** chmod(2): of `mode` only the twelve bits count that are not the type. */
export function changeMode(node: Guarded, mode: number): void {
  const access = node.xattrs?.get(ACCESS_ACL);
  if (access) node.xattrs!.set(ACCESS_ACL, encodeAcl(withMode(decodeAcl(access), mode)));
  node.mode = (node.mode & S_IFMT) | (mode & 0o7777);
}

/** Sets an ACL; one that says no more than a mode is not kept. `dropSetgid`: its owner is not of the file's group. EINVAL, EACCES, ENOSPC. */
export function setAcl<N extends Guarded>(
  node: N,
  name: string,
  value: Uint8Array,
  dropSetgid: boolean,
  xattrsOf: (node: N) => XattrStore,
): void {
  if ((node.mode & S_IFMT) === S_IFLNK) throw EOPNOTSUPP;
  if (name === DEFAULT_ACL && !node.isDirectory) throw EACCES;
  if (value.length <= EMPTY) return void node.xattrs?.remove(name);
  const acl = decodeAcl(value);
  if (name === DEFAULT_ACL) return xattrsOf(node).set(name, value);
  const { mode, extended } = modeOf(acl);
  if (extended) xattrsOf(node).set(name, value);
  else node.xattrs?.remove(name);
  node.mode = (node.mode & ~PERMISSIONS) | mode;
  if (dropSetgid) node.mode &= ~S_ISGID;
}
