/** A thread of the pool: takes calls and makes them, until there are none and none will come. @see threads.ts */
import { workerData } from 'node:worker_threads';
import { EIO } from '../abi/errno.ts';
import { SYS, systemCall } from '../abi/syscall.ts';
import { HELD_FD, HELD_FILE_INDEX, PoolQueue, type Told } from './pool-queue.ts';
import { perform } from './system-calls.ts';
import { NOT_YET } from './waiting-calls.ts';

const { eventfd, memory } = workerData as { eventfd: number; memory: SharedArrayBuffer };
const queue = new PoolQueue(eventfd, memory);
const told: Told = {
  ...{ opcode: 0, fd: 0, off: 0, addr: 0, len: 0, op_flags: 0, buf_index: 0, personality: 0, file_index: 0 },
  ...{ addr3: 0, flags: 0, ioprio: 0, held: 0, insist: 0 },
};

for (let place = queue.take(told); place >= 0; place = queue.take(told)) {
  let res: number;
  try {
    res = perform(told);
  } catch (error) {
    console.error('rawfuse:', error);
    res = -EIO.errno;
  }
  if (res < NOT_YET) queue.change(place, told);
  else {
    if (told.held & HELD_FD) systemCall(SYS.close, told.fd);
    if (told.held & HELD_FILE_INDEX) systemCall(SYS.close, told.file_index);
  }
  queue.answer(place, res);
}
