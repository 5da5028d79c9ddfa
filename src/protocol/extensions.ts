/**
 * What the kernel may append to CREATE, MKDIR, MKNOD, SYMLINK and TMPFILE: the security contexts for the
 * new file (SECURITY_CTX) and a group that the caller has beside its gid (CREATE_SUPP_GROUP).
 *
 * Each extension is a fuse_ext_header, its content, and padding to 8 bytes; `total_extlen` of the request's
 * header counts them all in units of 8 bytes.
 * @see fs/fuse/dir.c: get_create_ext, get_security_context, get_create_supp_group
 */
import { FUSE_REC_ALIGN } from '../abi/align.ts';
import { EIO } from '../abi/errno.ts';
import { fuse_ext_header, fuse_secctx, fuse_secctx_header, fuse_supp_groups } from '../abi/fuse.ts';
import { FUSE_EXT_GROUPS, FUSE_MAX_NR_SECCTX } from '../abi/fuse-constants.ts';
import { decodeName } from './names.ts';

export interface Extensions {
  /** Security contexts to store with the new file: the xattr's name (`security.selinux`) and its value. */
  readonly contexts: readonly { readonly name: string; readonly value: Buffer }[];
  /** Supplementary groups of the caller that matter here: at most one, the parent's gid. */
  readonly groups: readonly number[];
}

/** Decodes the extensions in bytes[at..end). The values are copies: they outlive the message. Malformed: EIO. */
export function decodeExtensions(bytes: Buffer, at: number, end: number): Extensions {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const contexts: { name: string; value: Buffer }[] = [];
  const groups: number[] = [];
  while (at < end) {
    if (end - at < fuse_ext_header.size) throw EIO;
    const { size, type } = fuse_ext_header.decode(view, at);
    if (size < fuse_ext_header.size || size > end - at) throw EIO;
    const stop = at + size;
    if (type <= FUSE_MAX_NR_SECCTX) decodeContexts(view, bytes, at, stop, contexts);
    else if (type === FUSE_EXT_GROUPS) decodeGroups(view, at + fuse_ext_header.size, stop, groups);
    // An extension of a later kernel is skipped: its size is known, its meaning not.
    at += FUSE_REC_ALIGN(size);
  }
  return { contexts, groups };
}

/** fuse_secctx_header has the shape of an ext header: its count stands where the type does. */
function decodeContexts(
  view: DataView,
  bytes: Buffer,
  at: number,
  end: number,
  into: { name: string; value: Buffer }[],
): void {
  const { nr_secctx } = fuse_secctx_header.decode(view, at);
  at += fuse_secctx_header.size;
  for (let i = 0; i < nr_secctx; i++) {
    if (end - at < fuse_secctx.size) throw EIO;
    const { size } = fuse_secctx.decode(view, at);
    at += fuse_secctx.size;
    const nul = bytes.indexOf(0, at);
    if (nul < 0 || nul >= end || size > end - nul - 1) throw EIO;
    into.push({ name: decodeName(bytes, at, nul), value: Buffer.from(bytes.subarray(nul + 1, nul + 1 + size)) });
    at += FUSE_REC_ALIGN(fuse_secctx.size + (nul + 1 - at) + size) - fuse_secctx.size;
  }
}

function decodeGroups(view: DataView, at: number, end: number, into: number[]): void {
  if (end - at < fuse_supp_groups.size) throw EIO;
  const { nr_groups } = fuse_supp_groups.decode(view, at);
  if (nr_groups > (end - at - fuse_supp_groups.size) / 4) throw EIO;
  for (let i = 0; i < nr_groups; i++) into.push(view.getUint32(at + fuse_supp_groups.size + i * 4, true));
}
