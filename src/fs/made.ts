/**
 * What MKNOD, MKDIR, SYMLINK and LINK are answered with has to be of the type that was asked for. Else the kernel says EIO, and takes no lookup from the
 * answer: it sends no FORGET for it (6.18). Where names may change below that happens: what was made has another name by then, and another file has this one.
 * @see fs/fuse/dir.c: create_new_entry
 */
import { EEXIST } from '../abi/errno.ts';
import { S_IFMT } from '../abi/posix.ts';

/** The entry of what was made, with a lookup counted. EEXIST, and then none is, where it is of another type (S_IFMT). */
export function ofType<E extends { readonly nodeid: number; readonly attr: { readonly mode: number } }>(
  type: number,
  entry: E,
  nodes: { forget(one: { nodeid: number; nlookup: number }): void },
): E {
  if ((entry.attr.mode & S_IFMT) === type) return entry;
  nodes.forget({ nodeid: entry.nodeid, nlookup: 1 });
  throw EEXIST;
}
