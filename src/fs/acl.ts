/**
 * POSIX access control lists: what the xattrs system.posix_acl_access and system.posix_acl_default hold, and how
 * they go together with a mode. Nothing here asks whether somebody may do a thing; the kernel does that.
 *
 * The nine permission bits of a mode are three entries of the list, seen from outside. The owner's bits are those
 * of USER_OBJ, the others' those of OTHER. The group's bits are those of MASK where there is one, for they bound
 * what any entry between owner and others grants; only where there is none are they GROUP_OBJ's. All that follows
 * comes down to this one correspondence, which is `shiftOf`.
 * @see acl(5); include/uapi/linux/posix_acl_xattr.h; fs/posix_acl.c
 */
import { EINVAL, EOPNOTSUPP } from '../abi/errno.ts';

export interface AclEntry {
  /** Whom it is about: one of the tags below. */
  readonly tag: number;
  /** Read 4, write 2, execute 1. */
  readonly perm: number;
  /** The uid of a USER, the gid of a GROUP, ACL_UNDEFINED_ID for all others. */
  readonly id: number;
}
/** In the order of their tags: owner, named users, group, named groups, mask, others. */
export type Acl = readonly AclEntry[];

// include/uapi/linux/posix_acl.h
export const ACL_USER_OBJ = 0x01;
export const ACL_USER = 0x02;
export const ACL_GROUP_OBJ = 0x04;
export const ACL_GROUP = 0x08;
export const ACL_MASK = 0x10;
export const ACL_OTHER = 0x20;
export const ACL_UNDEFINED_ID = 0xffff_ffff;

/** The xattr: u32 version, then for each entry u16 tag, u16 perm, u32 id; little-endian on every machine. */
const VERSION = 2;
const HEADER = 4;
const ENTRY = 8;

const RWX = 0o7;
const PERMISSIONS = 0o777;

const named = (tag: number): boolean => tag === ACL_USER || tag === ACL_GROUP;

/** An ACL from the value of its xattr. EINVAL, EOPNOTSUPP (of another version). @see posix_acl_from_xattr */
export function decodeAcl(value: Uint8Array): Acl {
  if (value.length < HEADER) throw EINVAL;
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  if (view.getUint32(0, true) !== VERSION) throw EOPNOTSUPP;
  if ((value.length - HEADER) % ENTRY !== 0) throw EINVAL;
  const acl: AclEntry[] = [];
  for (let at = HEADER; at < value.length; at += ENTRY) {
    const tag = view.getUint16(at, true);
    const id = named(tag) ? view.getUint32(at + 4, true) : ACL_UNDEFINED_ID; // anything may stand where no id belongs
    acl.push({ tag, perm: view.getUint16(at + 2, true), id });
  }
  check(acl);
  return acl;
}

export function encodeAcl(acl: Acl): Buffer {
  const value = Buffer.alloc(HEADER + acl.length * ENTRY);
  let at = value.writeUInt32LE(VERSION, 0);
  for (const { tag, perm, id } of acl) {
    at = value.writeUInt16LE(tag, at);
    at = value.writeUInt16LE(perm, at);
    at = value.writeUInt32LE(id, at);
  }
  return value;
}

/** An ACL as a word of its tags: `u` owner, `U` named user, `g` group, `G` named group, `m` mask, `o` others. */
const LETTERS: ReadonlyMap<number, string> = new Map([
  [ACL_USER_OBJ, 'u'],
  [ACL_USER, 'U'],
  [ACL_GROUP_OBJ, 'g'],
  [ACL_GROUP, 'G'],
  [ACL_MASK, 'm'],
  [ACL_OTHER, 'o'],
]);
/** A mask may always be there, and must where anybody is named. A user may be named twice: the first entry counts. */
const VALID = /^u(g|U*gG*m)o$/u;

/** EINVAL for what is no ACL. @see posix_acl_valid */
function check(acl: Acl): void {
  if (!VALID.test(acl.map(({ tag }) => LETTERS.get(tag) ?? '?').join(''))) throw EINVAL;
  for (const { tag, perm, id } of acl) {
    if (perm & ~RWX) throw EINVAL;
    if (named(tag) && id === ACL_UNDEFINED_ID) throw EINVAL; // -1 is nobody's id
  }
}

/** The tags that the mode shows, and how far to the left in it their three bits are. */
function placesIn(acl: Acl): ReadonlyMap<number, number> {
  const masked = acl.some(({ tag }) => tag === ACL_MASK);
  return new Map([
    [ACL_USER_OBJ, 6],
    [masked ? ACL_MASK : ACL_GROUP_OBJ, 3],
    [ACL_OTHER, 0],
  ]);
}

/** The nine bits that an ACL shows in the mode, and whether it says more than they do. @see posix_acl_equiv_mode */
export function modeOf(acl: Acl): { mode: number; extended: boolean } {
  const places = placesIn(acl);
  let mode = 0;
  for (const { tag, perm } of acl) {
    const place = places.get(tag);
    if (place !== undefined) mode |= perm << place;
  }
  return { mode, extended: acl.length > 3 };
}

/** The ACL after chmod(2): what the mode shows is as the mode says, the rest stays. @see __posix_acl_chmod_masq */
export function withMode(acl: Acl, mode: number): Acl {
  const places = placesIn(acl);
  return acl.map((entry) => {
    const place = places.get(entry.tag);
    return place === undefined ? entry : { ...entry, perm: (mode >> place) & RWX };
  });
}

/**
 * What a new file gets in a directory that has a default ACL: no more than the creating call asks for with `mode`,
 * no more than the default gives, and the umask does not come into it. Its type and special bits stay. `access` is
 * undefined where the mode says it all. @see posix_acl_create_masq
 */
export function inherit(defaults: Acl, mode: number): { mode: number; access: Acl | undefined } {
  const { mode: most, extended } = modeOf(defaults);
  const granted = mode & (most | ~PERMISSIONS);
  return { mode: granted, access: extended ? withMode(defaults, granted) : undefined };
}
