/** A thread of the tests that uses a ring, a shared one or its own, as it is told. */
import { closeSync, openSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { addressOf } from '../../src/abi/syscall.ts';
import { Ring } from '../../src/uring/ring.ts';
import { SharedEngine, type SharedRingHandle } from '../../src/uring/shared.ts';

export interface Task {
  /** Absent: it has a ring of its own. */
  readonly handle?: SharedRingHandle;
  /** `read`: all of the file, in pieces of 4 bytes at random places. `abandon`: a read of it that waits, and then the end. */
  readonly what: 'read' | 'abandon';
  readonly path: string;
}

async function use({ handle, what, path }: Task): Promise<void> {
  const engine = handle ? new SharedEngine(handle) : new Ring();
  const fd = openSync(path, what === 'read' ? 'r' : 'r+');
  const words = new Uint32Array(4096);
  const bytes = new Uint8Array(words.buffer);
  const address = addressOf(bytes);
  if (what === 'read') {
    const sizes = await Promise.all(
      Array.from({ length: words.length }, (_, i) => {
        const off = ((i * 37) % words.length) * 4;
        return new Promise((done) => engine.submit('READ', { fd, off, addr: address + off, len: 4 }, done));
      }),
    );
    const wrong = words.findIndex((word, i) => word !== i || sizes[i] !== 4);
    await engine.close();
    parentPort!.postMessage(wrong);
  } else {
    engine.submit('READ', { fd, addr: address, len: 4, off: -1 }, (res) => parentPort!.postMessage(res));
    await new Promise((done) => engine.submit('NOP', {}, done)); // by now the read is with the kernel
    process.exit(); // of the thread
  }
  closeSync(fd);
}
use(workerData as Task);
