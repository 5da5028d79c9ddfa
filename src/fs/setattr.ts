/** What SETATTR means where its bits do not say it. */
import { FATTR_CTIME } from '../abi/fuse-constants.ts';

/**
 * Whether a SETATTR with these bits changes nothing that is said: a chown(2) with -1 for both ids, or a write on behalf of somebody without
 * privileges. What it asks for is that setuid, setgid and capabilities go. With a writeback cache the kernel tells the time of the
 * chown as well. @see fs/fuse/dir.c: fuse_setattr, iattr_to_fattr
 */
export const clearsAlone = (valid: number): boolean => (valid & ~FATTR_CTIME) === 0;
