/**
 * The thread that sleeps in an epoll (see polls.ts for why there is one). It hands over what came, as pairs of a descriptor and its
 * events, and goes on when that was taken. It ends with its wake-up, and closes what only it still uses.
 */
import { workerData } from 'node:worker_threads';
import { EPOLL_EVENT } from '../../abi/posix.ts';
import { addressOf, close, SYS, systemCall } from '../../abi/syscall.ts';
import { signal } from '../../uring/wake.ts';
import { CAME, type PollsThread } from './polls.ts';

const { epoll, tell, wake, came } = workerData as PollsThread;
const events = Buffer.allocUnsafeSlow(EPOLL_EVENT.size * CAME.most);
const address = addressOf(events);

while (Atomics.load(wake.over, 0) === 0) {
  const count = systemCall(SYS.epoll_pwait, epoll, address, CAME.most, -1, 0);
  if (count <= 0 || Atomics.load(wake.over, 0) !== 0) continue; // EINTR
  for (let i = 0; i < count; i++) {
    came[CAME.pairs + 2 * i] = events.readInt32LE(i * EPOLL_EVENT.size + EPOLL_EVENT.data);
    came[CAME.pairs + 2 * i + 1] = events.readInt32LE(i * EPOLL_EVENT.size);
  }
  Atomics.store(came, CAME.count, count);
  signal(tell);
  Atomics.wait(came, CAME.count, count);
}
for (const fd of [epoll, tell]) close(fd);
Atomics.store(came, CAME.ended, 1);
Atomics.notify(came, CAME.ended);
