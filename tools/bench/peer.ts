/** A FUSE server of somebody else's, in C, that a bench compares with: a program that is not part of this project, on a mount of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuTime, loadMount, mountPoint, removeMountPoint, type Timed } from './servers.ts';

export class Peer {
  readonly directory: string;
  readonly #child: ChildProcess;

  private constructor(directory: string, child: ChildProcess) {
    this.directory = directory;
    this.#child = child;
  }

  /** `args` are what comes before the directory. */
  static async start(program: string, args: readonly string[]): Promise<Peer> {
    const directory = await mountPoint();
    const child = spawn(program, [...args, directory], { stdio: ['ignore', 'ignore', 'inherit'] });
    let failed: Error | undefined;
    child.once('error', (error) => {
      failed = error;
    });
    child.once('exit', (code, signal) => {
      failed = new Error(`${program} ended with ${code ?? signal}`);
    });
    while (!(await isMounted(directory))) {
      if (failed !== undefined) {
        await removeMountPoint(directory);
        throw failed;
      }
      await sleep(10);
    }
    return new Peer(directory, child);
  }

  load(op: string, clients: number, seconds: number, patience?: number): Promise<Timed> {
    return loadMount(this.directory, () => cpuTime(this.#child.pid!), op, clients, seconds, patience);
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child.exitCode === null && child.signalCode === null) {
      const gone = once(child, 'exit');
      const late = setTimeout(() => child.kill('SIGKILL'), 2000);
      child.kill('SIGTERM');
      await gone;
      clearTimeout(late);
    }
    await removeMountPoint(this.directory);
  }
}

/** Looks into the table of mounts, for the mount itself may not answer yet. */
const isMounted = async (directory: string): Promise<boolean> =>
  (await readFile('/proc/self/mountinfo', 'utf8')).includes(` ${directory} `);
