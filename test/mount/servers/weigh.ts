/**
 * A server that tells what it weighs: `weigh.ts DIRECTORY` mounts a MemoryFs, prints `ready`, and for each
 * SIGUSR2 collects its garbage, has the filesystem check itself, and prints its figures as JSON.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MemoryFs } from '../../../src/fs/index.ts';
import { mountOver } from '../../transport.ts';

/** In bytes: what the process has in memory, and of it the objects of JavaScript and what lies outside of its heap. */
export interface Weight {
  readonly rss: number;
  readonly heap: number;
  readonly outside: number;
  /** Nodes in the filesystem's table. */
  readonly nodes: number;
}

const [directory] = process.argv.slice(2) as [string];
const filesystem = new MemoryFs();
await mountOver(filesystem, directory);

// As --expose-gc does, which can't be given to a process that somebody else starts.
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

process.on('SIGUSR2', () => {
  // Twice: the first takes what finalizers then let go of.
  collect();
  collect();
  filesystem.check();
  const { rss, heapUsed, external } = process.memoryUsage();
  const weight: Weight = { rss, heap: heapUsed, outside: external, nodes: filesystem.nodes.size };
  console.log(JSON.stringify(weight));
});
console.log('ready');
