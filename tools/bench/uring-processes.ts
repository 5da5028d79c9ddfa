/**
 * The two that are compared by `npm run bench -- uring`, as processes of their own that can be pinned to a CPU: ours and
 * Node's file API (uring-load.ts), and fio.
 */
import { type ChildProcess, execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Sample } from './measure.ts';
import { built, profiling } from './servers.ts';
import type { Answered, Asked, Load, Loaded } from './uring-load.ts';

const execute = promisify(execFile);

/** The last of the CPUs that this process may use: the first mostly has the interrupts. */
export function lastCpu(): number {
  const list = /^Cpus_allowed_list:\s*(\S+)$/mu.exec(readFileSync('/proc/self/status', 'utf8'))![1]!;
  return Number(list.split(/[,-]/u).at(-1));
}

/** A process that loads as it is told. */
export class Loader {
  readonly #process: ChildProcess;
  #asked = 0;

  private constructor(child: ChildProcess) {
    this.#process = child;
  }

  /** On one CPU, where it is given; `node` are options of node's. */
  static async start({ cpu, node = [] }: { cpu?: number; node?: readonly string[] } = {}): Promise<Loader> {
    const options = [...profiling(), ...node];
    const how =
      cpu === undefined
        ? { execArgv: options }
        : { execPath: 'taskset', execArgv: ['-c', `${cpu}`, process.execPath, ...options] };
    const child = fork(built('uring-load.js'), [], how);
    const ready = await Promise.race([once(child, 'message'), once(child, 'exit'), once(child, 'error')]);
    if (ready[0] !== 'ready') throw new Error('the loading process did not start');
    return new Loader(child);
  }

  async load(load: Load): Promise<Loaded> {
    const id = this.#asked++;
    const ended = new AbortController();
    const gone = once(this.#process, 'exit', { signal: ended.signal }).then(() => {
      throw new Error(`the loading process ended at ${load.what}`);
    });
    try {
      this.#process.send({ id, load } satisfies Asked);
      const [{ loaded, error }] = (await Promise.race([once(this.#process, 'message'), gone])) as [Answered];
      if (loaded === undefined) throw new Error(`${load.side}: ${load.what}: ${error}`);
      return loaded;
    } finally {
      ended.abort();
      gone.catch(() => {});
    }
  }

  /** As a sample: operations a second, CPU time of the process for each in us. */
  async rate(load: Load): Promise<Sample> {
    const { operations, seconds, cpuUs } = await this.load(load);
    return { value: operations / seconds, cpu: cpuUs / operations };
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const gone = once(this.#process, 'exit');
    const late = setTimeout(() => this.#process.kill('SIGKILL'), 5000);
    this.#process.disconnect();
    await gone;
    clearTimeout(late);
  }
}

interface FioJob {
  readonly read: { readonly iops: number; readonly total_ios: number };
  /** Of the run time, in per cent. */
  readonly usr_cpu: number;
  readonly sys_cpu: number;
  /** ms */
  readonly job_runtime: number;
}

export const hasFio = (): Promise<boolean> =>
  execute('fio', ['--version']).then(
    () => true,
    () => false,
  );

/** Reads blocks of 4 KiB at random with fio: operations a second, CPU time for each in us. */
export async function fio(path: string, ms: number, options: readonly string[], cpu?: number): Promise<Sample> {
  // A thread, not a process in a session of its own, to which the scheduler may give a share of its own.
  const args = [
    ...[
      '--thread',
      '--name=read',
      `--filename=${path}`,
      '--readonly',
      '--rw=randread',
      '--bs=4k',
      '--ioengine=io_uring',
    ],
    ...['--time_based', `--runtime=${ms}ms`, '--eta=never', '--output-format=json', ...options],
  ];
  const [program, ...rest] = cpu === undefined ? ['fio', ...args] : ['taskset', '-c', `${cpu}`, 'fio', ...args];
  const { stdout } = await execute(program!, rest, { timeout: 60_000 + ms }).catch((error) => {
    throw new Error(`fio failed: ${error.stderr || error.stdout || error.message}`);
  });
  const { jobs } = JSON.parse(stdout.slice(stdout.indexOf('{'))) as { jobs: [FioJob] };
  const [{ read, usr_cpu, sys_cpu, job_runtime }] = jobs;
  return { value: read.iops, cpu: ((usr_cpu + sys_cpu) * 10 * job_runtime) / read.total_ios };
}
