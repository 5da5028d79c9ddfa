/**
 * A process that serves the filesystem in shared memory with two threads, and terminates one of them when it is told to
 * (SIGUSR2): that which holds the lock of names, if any does; or aborts the connection (SIGUSR1). `dying.ts DIRECTORY`. It says how the mount
 * ended, if it is still there to say so.
 */
import type { Worker } from 'node:worker_threads';
import { SharedCells } from '../../../src/fs/shared/cells.ts';
import { holder } from '../../../src/fs/shared/lock.ts';
import { mount } from '../../../src/mount.ts';
import { beside } from '../../compiled.ts';
import { over } from '../../transport.ts';
import { allocate } from '../shared-memory/module.ts';
import { NAMES } from '../shared-memory/tree.ts';

const workers: Worker[] = [];
process.on('worker', (worker) => workers.push(worker));
const filesystem = { memory: allocate(), patience: 300 };
const module = beside('../shared-memory/dying-module', import.meta.url);
const mine = await mount(module, process.argv[2]!, over({ threads: 2, entryTimeout: 600, attrTimeout: 0, filesystem }));
mine.closed.then(({ reason, error }) => console.log(`closed: ${reason}: ${(error as Error | undefined)?.message}`));
const words = new SharedCells(filesystem.memory.words);
process.on('SIGUSR2', () => {
  const holding = workers.find(({ threadId }) => threadId === holder(words, NAMES));
  (holding ?? workers[0])!.terminate();
});
process.on('SIGUSR1', () => mine.abort());
console.log('ready');
