/** Mounts of a process of its own that fail, or take their time, when they are told to: branches for a union. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmdirSync } from 'node:fs';
import { mountAt } from '../../src/mountinfo.ts';
import { compiled } from '../compiled.ts';
import { run, temporary, until } from '../support.ts';
import type { Figures, Orders } from './servers/faulty.ts';

export class FaultyMounts implements AsyncDisposable {
  /** Where they are. */
  readonly directories: readonly string[];
  readonly #server: ChildProcess;

  /** So many, which answer. */
  static async start(count: number): Promise<FaultyMounts> {
    const mounts = new FaultyMounts(count);
    try {
      const [first] = await once(mounts.#server, 'message', { signal: AbortSignal.timeout(20_000) });
      if (first !== 'ready') throw new Error(`the server says ${first}`);
      return mounts;
    } catch (error) {
      await mounts[Symbol.asyncDispose]();
      throw error;
    }
  }
  private constructor(count: number) {
    this.directories = Array.from({ length: count }, () => temporary());
    const args = [compiled('test/mount/servers/faulty.ts'), ...this.directories];
    this.#server = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  }

  /** How one of them behaves from now on; what they were asked since the last time. */
  async behave(branch: number, how: Omit<Orders, 'branch'> = {}): Promise<Figures> {
    const figures = once(this.#server, 'message', { signal: AbortSignal.timeout(20_000) });
    this.#server.send({ ...how, branch } satisfies Orders);
    return (await figures)[0] as Figures;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server.connected) this.#server.disconnect();
    const over = () => this.#server.exitCode !== null || this.#server.signalCode !== null;
    await until(over, 'the server of branches to end').catch(async (error) => {
      this.#server.kill('SIGKILL');
      await until(over, 'the killed server to end');
      throw error;
    });
    for (const each of this.directories) {
      while (mountAt(each) !== undefined) await run('umount', ['--lazy', each]);
      rmdirSync(each);
    }
  }
}
