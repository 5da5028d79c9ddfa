/**
 * `npm run bench -- union`: UnionFs on one thread, over the device and over io_uring, against Debian's mergerfs with the same options on as many
 * branches of the same filesystem; and what 8 and 32 branches cost against 2, which policies that stop early should not.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Bench, median, type Row } from './measure.ts';
import {
  branchesOf,
  cpuTime,
  loadMount,
  mountPoint,
  removeMountPoint,
  Server,
  sourceOf,
  type Timed,
  UNION_OPTIONS,
} from './servers.ts';

const OPERATIONS = [
  'statfs',
  'statx_sync',
  'open_close',
  'create_unlink',
  'mkdir_rmdir',
  'readdir',
  'read4k',
  'write4k',
  'seqread',
  'seqwrite',
];
/** Those that ask a policy. */
const CHOOSING = ['statx_sync', 'open_close', 'create_unlink'];

export const union: Bench = {
  name: 'union',
  async *rows(quick) {
    // mergerfs hands O_DIRECT on to the branch, where not every filesystem takes every memory.
    process.env.MB_NO_DIRECT = '1';
    const theirs = await Mergerfs.start(2);
    try {
      for (const transport of ['device', 'uring'] as const) {
        const ours = await Server.start('union 2', 'errno', 'sync', transport);
        try {
          for (const clients of [1, 4])
            for (const op of OPERATIONS) {
              const mine = await measured(quick, (seconds) => ours.load(op, clients, seconds));
              const other = await measured(quick, (seconds) => theirs.load(op, clients, seconds));
              yield row(`${op}, ${transport}, against mergerfs`, clients, op, mine, other);
            }
        } finally {
          await ours.stop();
        }
      }
    } finally {
      await theirs.stop();
    }
    const two = await Server.start('union 2');
    try {
      for (const branches of [8, 32]) {
        const many = await Server.start(`union ${branches}`);
        try {
          for (const op of CHOOSING) {
            const [mine, other] = [
              await measured(quick, (s) => many.load(op, 1, s)),
              await measured(quick, (s) => two.load(op, 1, s)),
            ];
            yield row(`${op}, ${branches} branches against 2`, 1, op, mine, other);
          }
        } finally {
          await many.stop();
        }
      }
    } finally {
      await two.stop();
    }
  },
};

interface Measured {
  readonly value: number;
  readonly cpu: number;
}
const row = (title: string, clients: number, op: string, ours: Measured, baseline: Measured): Row => ({
  ...{ bench: 'union', case: title, clients, unit: op.startsWith('seq') ? 'MB/s' : 'ops/s' },
  ...{ ours: ours.value, baseline: baseline.value, ratio: ours.value / baseline.value },
  ...{ serverCpuUs: ours.cpu, baselineCpuUs: baseline.cpu },
});

/** The median of a few, after one that compiles. */
async function measured(quick: boolean, load: (seconds: number) => Promise<Timed>): Promise<Measured> {
  await load(quick ? 0.1 : 0.3);
  const loads: Timed[] = [];
  for (let i = 0; i < (quick ? 1 : 5); i++) loads.push(await load(quick ? 0.2 : 0.5));
  return { value: median(loads.map(({ value }) => value)), cpu: median(loads.map(({ cpu }) => cpu)) };
}

/** mergerfs as a process of its own. */
class Mergerfs {
  readonly #directory: string;
  readonly #process: ReturnType<typeof spawn>;
  private constructor(directory: string, child: ReturnType<typeof spawn>) {
    this.#directory = directory;
    this.#process = child;
  }
  static async start(count: number): Promise<Mergerfs> {
    const directory = await mountPoint();
    const branches = branchesOf(directory, `${count}`);
    for (const each of branches.split(':')) await mkdir(each, { recursive: true });
    const options = Object.entries({ ...UNION_OPTIONS, allow_other: '' }).map(([name, value]) =>
      value ? `${name}=${value}` : name,
    );
    const child = spawn('mergerfs', ['-f', '-o', options.join(), branches, directory], { stdio: 'ignore' });
    const failed = once(child, 'error').then(([error]) => error as Error);
    for (let tries = 0; !(await readFile('/proc/self/mountinfo', 'utf8')).includes(` ${directory} `); tries++) {
      const error = await Promise.race([failed, sleep(20)]);
      if (error || tries > 200)
        throw new Error(`mergerfs does not start (apt-get install mergerfs): ${error?.message ?? 'no mount'}`);
    }
    return new Mergerfs(directory, child);
  }
  load(op: string, clients: number, seconds: number): Promise<Timed> {
    return loadMount(this.#directory, () => cpuTime(this.#process.pid!), op, clients, seconds);
  }
  async stop(): Promise<void> {
    const gone = once(this.#process, 'exit');
    this.#process.kill();
    await gone;
    await removeMountPoint(this.#directory);
    await rm(sourceOf(this.#directory), { recursive: true, force: true });
  }
}
