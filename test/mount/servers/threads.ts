/**
 * A process that serves a mount with threads, and ends as its test wants: `threads.ts DIRECTORY TRANSPORT THREADS BEHAVIOUR`.
 * It prints `ready` when the mount answers, and at the end how that was.
 */
import { once } from 'node:events';
import { mount } from '../../../src/mount.ts';
import { beside } from '../../compiled.ts';
import { Files, type SharedFsOptions } from '../threads/shared-fs.ts';

export type Behaviour = 'serve' | 'serve slowly' | 'exit' | 'exit while slow' | 'throw';

const [directory, transport, threads, behaviour] = process.argv.slice(2) as [
  string,
  'uring' | 'device',
  string,
  Behaviour,
];
const filesystem: SharedFsOptions = {
  memory: Files.memory(),
  handlers: behaviour.includes('slow') ? 'slow' : 'sync',
};
const mine = await mount(beside('../threads/shared-fs', import.meta.url), directory, {
  threads: threads === 'cpus' ? 'cpus' : Number(threads),
  transport,
  filesystem,
  allowOther: true,
});
mine.closed.then(({ reason, error }) => {
  console.log(`closed: ${reason}${error === undefined ? '' : `: ${(error as Error).message}`}`);
  console.log('over');
});
process.on('SIGINT', () => void mine.unmount({ lazy: true }));
console.log('ready');
if (behaviour !== 'serve' && behaviour !== 'serve slowly') {
  process.on('SIGUSR2', () => {
    if (behaviour === 'throw') throw new Error('thrown by the mounting thread');
    process.exit(7);
  });
  await once(process, 'never');
}
