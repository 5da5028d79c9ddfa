/** A thread that opens and reads directories of branches, one after the other, until it is told nothing more. @see reading.ts */
import { parentPort } from 'node:worker_threads';
import { unmapAll } from '../../abi/memory.ts';
import { Dirents } from '../passthrough/directory.ts';
import { Scratch } from '../passthrough/scratch.ts';
import { Lower } from './lower.ts';
import { Options } from './options.ts';
import { type Answer, type Found, openDirectory, readDirectory, type Task } from './reading.ts';

const scratch = new Scratch();
const dirents = new Dirents(scratch);
const { values } = new Options();
const lower = new Lower(values, Math.random, scratch);

parentPort!.on('message', (task: Task | undefined) => {
  if (task !== undefined) return parentPort!.postMessage(answer(task));
  parentPort!.close();
  unmapAll();
});

function answer({ root, path, follow, read }: Task): Answer {
  values['follow-symlinks'] = follow;
  const fd = openDirectory(lower, { fd: root }, path);
  if (fd < 0 || !read) return fd;
  const all: Found[] = [];
  const failure = readDirectory(dirents, fd, ({ name, ino, type }) => all.push({ name, ino, type }) > 0);
  return failure === undefined ? all : -failure.errno;
}
