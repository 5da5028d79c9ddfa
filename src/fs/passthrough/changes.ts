/** Where changes in the source are kept for who reads them (watch.ts): a descriptor that is opened with the source, and closed by who has claimed it. */
import { fanotifyInit, fanotifyMark } from '../../abi/fanotify.ts';
import { closeQuietly } from '../../abi/files.ts';
import {
  FAN_ATTRIB,
  FAN_CLOEXEC,
  FAN_CREATE,
  FAN_DELETE,
  FAN_MARK_ADD,
  FAN_MARK_FILESYSTEM,
  FAN_MODIFY,
  FAN_MOVE_SELF,
  FAN_MOVED_FROM,
  FAN_MOVED_TO,
  FAN_NONBLOCK,
  FAN_ONDIR,
  FAN_REPORT_DIR_FID,
  FAN_REPORT_FID,
  FAN_REPORT_NAME,
} from '../../abi/posix.ts';
import { done } from './scratch.ts';

/** A name in a directory came or went. */
export const NAMES = FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO;
/** Something was done to a file itself. */
export const ITSELF = FAN_MODIFY | FAN_ATTRIB | FAN_MOVE_SELF;

/** From here on changes in the source are kept for who reads them: a descriptor. An Error that says why not. */
export function openChanges(root: number): number {
  const refused = (what: string, result: number) => {
    try {
      return done(result);
    } catch (error) {
      throw new Error(`watch can't be had: ${what}: ${(error as Error).message}`);
    }
  };
  const flags = FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_FID | FAN_REPORT_DIR_FID | FAN_REPORT_NAME;
  const fd = refused('fanotify_init', fanotifyInit(flags)); // EINVAL before Linux 5.9
  try {
    refused('fanotify_mark', fanotifyMark(fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, NAMES | ITSELF | FAN_ONDIR, root));
    return fd;
  } catch (error) {
    closeQuietly(fd);
    throw error;
  }
}

/** The part of a Source that it takes. */
interface Changed {
  readonly changes: number;
  readonly counts: SharedArrayBuffer;
}
/** Word of `counts`: whether the descriptor has who closes it. */
export const WATCHED = 3;

/** Calls with the descriptor who is the first to ask for it, in any thread, and has to close it; else it is undefined. */
export function claimChanges<T>({ changes, counts }: Changed, use: (fd: number) => T): T | undefined {
  const first = changes >= 0 && Atomics.exchange(new Int32Array(counts), WATCHED, 1) === 0;
  return first ? use(changes) : undefined;
}
