/** What a thread of the tests of shared memory does: `hold` takes the lock in word 0 and stays. */
import { parentPort, workerData } from 'node:worker_threads';
import { type CellsHandle, SharedCells } from '../../src/fs/shared/cells.ts';
import { acquire } from '../../src/fs/shared/lock.ts';

const { hold } = workerData as { hold?: CellsHandle };
if (hold) {
  acquire(new SharedCells(hold), 0);
  parentPort!.postMessage('held');
  parentPort!.on('message', () => {}); // until it is ended
}
