/** The part of SETATTR that is the same for every file: owner, mode, times. In this order, for a change of the owner takes setuid away. */
import { chmod, chown, utimensat } from '../../abi/files.ts';
import {
  FATTR_ATIME,
  FATTR_ATIME_NOW,
  FATTR_GID,
  FATTR_MODE,
  FATTR_MTIME,
  FATTR_MTIME_NOW,
  FATTR_UID,
} from '../../abi/fuse-constants.ts';
import { AT_FDCWD, UTIME_NOW, UTIME_OMIT } from '../../abi/posix.ts';
import type { Args } from '../../protocol/operations.ts';
import { clearsAlone } from '../setattr.ts';
import { done, type Scratch } from './scratch.ts';

export const PERMISSIONS = 0o7777;
/** fchownat(2) leaves an id that is this as it is. */
const SAME_ID = 0xffff_ffff;
/** Bytes of a timespec. */
const TIMESPEC = 16;

export function setOwnerModeTimes(fd: number, set: Args<'SETATTR'>, scratch: Scratch): void {
  const { valid, mode, uid = SAME_ID, gid = SAME_ID, atime, atimensec, mtime, mtimensec } = set;
  const { empty, wordsAt, words } = scratch;
  if (valid & (FATTR_UID | FATTR_GID) || clearsAlone(valid)) done(chown(fd, empty, uid, gid));
  if (valid & FATTR_MODE) done(chmod(scratch.proc(fd), mode! & PERMISSIONS));
  if (valid & (FATTR_ATIME | FATTR_MTIME)) {
    putTime(scratch, wordsAt, valid & FATTR_ATIME, valid & FATTR_ATIME_NOW, atime, atimensec);
    putTime(scratch, wordsAt + TIMESPEC, valid & FATTR_MTIME, valid & FATTR_MTIME_NOW, mtime, mtimensec);
    done(utimensat(AT_FDCWD, scratch.proc(fd), words, 0));
  }
}

function putTime({ view }: Scratch, at: number, set: number, now: number, s = 0, ns = 0): void {
  view.setBigInt64(at, BigInt(s), true);
  view.setBigUint64(at + 8, BigInt(set ? (now ? UTIME_NOW : ns) : UTIME_OMIT), true);
}
