/** What a filesystem has of the connection that it is served by. */
import type { BackingFiles } from './backing.ts';
import type { Agreement } from './init.ts';
import type { Notifications } from './notify.ts';

/** What a filesystem gets in `init`: what was agreed, and the way to tell the kernel of changes. */
export interface Connection extends Agreement {
  readonly notify: Notifications;
  /** Tells the user something, in one line: `onWarning` gets it. */
  warn(message: string): void;
  /** Puts a line into the trace; undefined where nobody traces. */
  readonly note: ((message: string) => void) | undefined;
  /** Files for the kernel to read and write itself. */
  readonly backing: BackingFiles;
  /**
   * Calls `ready`, which must not throw, on the serving thread while a descriptor is readable, until what is returned is called: before the
   * descriptor is closed. Also where that thread sleeps in a ring, and nothing of its event loop is looked at.
   */
  watch(fd: number, ready: () => void): () => void;
}
