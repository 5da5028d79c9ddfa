/** A thread that opens and reads directories of branches, one after the other, until it is told nothing more. @see reading.ts */
import { parentPort } from 'node:worker_threads';
import { unmapAll } from '../../abi/memory.ts';
import { Scratch } from '../passthrough/scratch.ts';
import { Lower } from './lower.ts';
import { Options } from './options.ts';
import { type Answer, closing, Getdents, openDirectory, type Task } from './reading.ts';

const getdents = new Getdents();
const { values } = new Options();
const lower = new Lower(values, Math.random, new Scratch());

parentPort!.on('message', (task: Task | undefined) => {
  if (task !== undefined) return parentPort!.postMessage(answer(task));
  parentPort!.close();
  unmapAll();
});

function answer({ root, path, follow, read }: Task): Answer {
  values['follow-symlinks'] = follow;
  const fd = openDirectory(lower, { fd: root }, path);
  if (fd < 0 || !read) return fd;
  const all: Uint8Array[] = [];
  const failure = closing(fd, () =>
    getdents.read(fd, (bytes, length) => all.push(Uint8Array.prototype.slice.call(bytes, 0, length))),
  );
  return failure === undefined ? Buffer.concat(all) : -failure.errno;
}
