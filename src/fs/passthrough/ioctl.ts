/** The ioctls that are the lower filesystem's to answer: attribute bits (chattr, lsattr), projects and generations. */
import { EINVAL, ENOTTY } from '../../abi/errno.ts';
import { ioctlAt } from '../../abi/files.ts';
import {
  FS_IOC_FSGETXATTR,
  FS_IOC_FSSETXATTR,
  FS_IOC_GETFLAGS,
  FS_IOC_GETVERSION,
  FS_IOC_SETFLAGS,
} from '../../abi/posix.ts';
import type { Args, Result } from '../../protocol/operations.ts';
import { done, type Scratch } from './scratch.ts';

const SERVED: ReadonlySet<number> = new Set([
  FS_IOC_GETFLAGS,
  FS_IOC_SETFLAGS,
  FS_IOC_GETVERSION,
  FS_IOC_FSGETXATTR,
  FS_IOC_FSSETXATTR,
]);
/** Bytes that the largest of them has room for. */
const MOST = 64;

/** Any other ioctl may take an address in it, which would be one of this process: ENOTTY. */
export function ioctl(fd: number, { cmd, data, out_size }: Args<'IOCTL'>, scratch: Scratch): Result<'IOCTL'> {
  if (!SERVED.has(cmd)) throw ENOTTY;
  if (data.length > MOST || out_size > MOST) throw EINVAL;
  const { bytes, wordsAt, words } = scratch;
  bytes.fill(0, wordsAt, wordsAt + MOST);
  bytes.set(data, wordsAt);
  const result = done(ioctlAt(fd, cmd, words));
  return { result, data: bytes.subarray(wordsAt, wordsAt + out_size) };
}
