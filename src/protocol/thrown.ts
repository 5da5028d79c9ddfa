/** What a handler may throw: which errno it stands for, if any, and what ends the session. */
import { Errno, errnoNamed } from '../abi/errno.ts';

/** The highest errno that the kernel takes in a reply. @see fs/fuse/dev.c: fuse_dev_do_write */
const MAX_ERRNO = 511;

/**
 * Thrown by a handler where nothing can go on: what the filesystem stands on is broken, and the next request would find it so
 * too. The session ends: `closed` says `failed`, with this error. All else that is no errno is EIO for the one request.
 */
export class FatalError extends Error {
  override readonly name: string = 'FatalError';
}

/** Whether something thrown is one, whatever it is. */
export function isFatal(thrown: unknown): thrown is FatalError {
  try {
    return thrown instanceof FatalError;
  } catch {
    return false; // a proxy that was revoked
  }
}

/** The errno that something thrown stands for, if any: one that the kernel takes. */
export function knownErrno(thrown: unknown, aborted: Error | undefined): number | undefined {
  if (thrown instanceof Errno) return fitting(thrown);
  if (thrown === null || typeof thrown !== 'object') return undefined;
  const { code, name } = thrown as { code?: unknown; name?: unknown };
  if (typeof code === 'string') {
    const known = errnoNamed(code);
    if (known !== undefined) return known.errno;
  }
  return name === 'AbortError' && aborted instanceof Errno ? fitting(aborted) : undefined;
}
const fitting = ({ errno }: Errno): number | undefined =>
  Number.isInteger(errno) && errno > 0 && errno <= MAX_ERRNO ? errno : undefined;
