/**
 * Whether a mount's server lives. A question to a hung one can't be taken back, and a thread of ours that had asked
 * it would keep this process from ending: so a process of its own asks, and is left behind if need be.
 */
import { spawn } from 'node:child_process';

/** How long a program may take to answer, in ms. */
const PATIENCE = 2_000;

/** What a program prints, if it ends in time. */
export function ask(program: string, args: readonly string[]): Promise<{ ended: boolean; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, LC_ALL: 'C' } });
    let output = '';
    const done = (ended: boolean) => {
      clearTimeout(timer);
      resolve({ ended, output });
    };
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      child.stdout.destroy();
      child.stderr.destroy();
      child.unref();
      done(false);
    }, PATIENCE);
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (text) => {
        output += text;
      });
    child.once('error', (error) => {
      output += error.message;
      done(true);
    });
    child.once('close', () => done(true));
  });
}

/** The state of the mount at a path. stat -f asks for statfs, which nothing caches. */
export async function health(path: string): Promise<'alive' | 'dead' | 'hangs'> {
  const { ended, output } = await ask('stat', ['-f', '--', path]);
  if (!ended) return 'hangs';
  return DEAD.test(output) ? 'dead' : 'alive';
}
/** strerror(3) of ENOTCONN, by glibc and by musl, and of ECONNABORTED. */
const DEAD = /Transport endpoint is not connected|Socket not connected|connection abort|Connection aborted/u;
