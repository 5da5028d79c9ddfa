/**
 * umount2(2) on a thread of its own: it may wait for requests that the caller's thread has to answer.
 * Posts 0, or the errno.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { SystemError } from './errno.ts';
import { umount2 } from './syscall.ts';

const { target, flags } = workerData as { target: string; flags: number };
let errno = 0;
try {
  umount2(target, flags);
} catch (error) {
  errno = (error as SystemError).errno;
}
parentPort!.postMessage(errno);
