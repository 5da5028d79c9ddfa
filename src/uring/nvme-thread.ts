/**
 * The ioctls of NVMe, on a thread of their own: the call waits until the device has answered. Gets calls one by one, and ends
 * with `undefined`.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { Errno } from '../abi/errno.ts';
import { Memory } from '../abi/memory.ts';
import { nvme_passthru_cmd } from '../abi/nvme.ts';
import { O_CLOEXEC, O_RDONLY } from '../abi/posix.ts';
import { close, ioctl, open } from '../abi/syscall.ts';
import type { NvmeAnswer, NvmeCall } from './nvme.ts';

const { device } = workerData as { readonly device: string };
const port = parentPort!;

port.on('message', (call: NvmeCall | undefined) => {
  if (call === undefined) return port.close();
  port.postMessage(answer(call));
});

function answer({ request, command, length }: NvmeCall): NvmeAnswer {
  const memory = new Memory(command.length);
  const data = new Memory(Math.max(1, length));
  let fd = -1;
  try {
    new Uint8Array(memory.buffer).set(command);
    if (length > 0) new DataView(memory.buffer).setBigUint64(nvme_passthru_cmd.offset.addr, BigInt(data.address), true);
    fd = open(device, O_RDONLY | O_CLOEXEC);
    const result = ioctl(fd, request, memory.address);
    return { result, data: new Uint8Array(data.buffer.slice(0, length)) };
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    return { result: -error.errno, data: new Uint8Array(0) };
  } finally {
    if (fd >= 0) close(fd);
    memory.free();
    data.free();
  }
}
