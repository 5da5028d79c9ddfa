/**
 * The thread that writes notifications (see notify.ts for why there is one). It has a descriptor of its
 * own, so that a session that ends meanwhile can't hand its number to another file. A write that the kernel
 * holds up ends when the connection does, which `mount` sees to at exit.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { gettid, writeBytes } from '../abi/syscall.ts';

const { fd, tid } = workerData as { fd: number; tid: Int32Array };
tid[0] = gettid();
parentPort!.on('message', (message: Uint8Array | undefined) => {
  if (message === undefined) parentPort!.close();
  else parentPort!.postMessage(Math.max(0, -writeBytes(fd, message)));
});
