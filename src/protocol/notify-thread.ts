/**
 * The thread that writes notifications (see notify.ts for why there is one). It owns its descriptor, so
 * that a session that ends meanwhile can't hand its number to another file. A write that the kernel holds
 * up ends when the connection does, which `mount` sees to at exit.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { close, writeBytes } from '../abi/syscall.ts';

const { fd } = workerData as { fd: number };
parentPort!.on('message', (message: Uint8Array | undefined) => {
  if (message === undefined) {
    close(fd);
    parentPort!.close();
    return;
  }
  parentPort!.postMessage(Math.max(0, -writeBytes(fd, message)));
});
