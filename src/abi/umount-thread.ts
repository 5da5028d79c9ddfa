/**
 * umount2(2) on a thread of its own: it may wait for requests that the caller's thread has to answer. Posts a message when it is
 * ready; then gets what to unmount, and posts 0 or the errno, until it gets nothing.
 */
import { parentPort } from 'node:worker_threads';
import type { SystemError } from './errno.ts';
import { umount2 } from './syscall.ts';

parentPort!.on('message', (what: { target: string; flags: number } | undefined) => {
  if (what === undefined) return parentPort!.close();
  let errno = 0;
  try {
    umount2(what.target, what.flags);
  } catch (error) {
    errno = (error as SystemError).errno;
  }
  parentPort!.postMessage(errno);
});
parentPort!.postMessage('ready');
