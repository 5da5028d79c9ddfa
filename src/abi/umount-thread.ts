/**
 * umount2(2) on a thread of its own: it may wait for requests that the caller's thread has to answer.
 * Posts a message when it is ready, gets what to unmount (undefined: nothing), posts 0 or the errno.
 */
import { parentPort } from 'node:worker_threads';
import type { SystemError } from './errno.ts';
import { umount2 } from './syscall.ts';

parentPort!.once('message', (what: { target: string; flags: number } | undefined) => {
  if (what === undefined) return;
  let errno = 0;
  try {
    umount2(what.target, what.flags);
  } catch (error) {
    errno = (error as SystemError).errno;
  }
  parentPort!.postMessage(errno);
});
parentPort!.postMessage('ready');
