/**
 * What a bench needs of the outside: the servers under test as processes of their own, started from a build by
 * plain node (tsx would slow them), and the load client, a C program that is compiled on first use. The bench
 * itself never touches a mount: a thread that serves or waits must not.
 */
import { type ChildProcess, execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Absent } from './canned.ts';
import type { Answered, Asked, Question, Transport, Which } from './server.ts';

const execute = promisify(execFile);
const here = fileURLToPath(new URL('.', import.meta.url));
const root = join(here, '../..');
const cache = join(root, 'node_modules/.cache/rawfuse-bench');

/** Compiles what is measured, as `npm run build` would. */
export async function build(): Promise<void> {
  await rm(join(cache, 'js'), { recursive: true, force: true });
  await mkdir(join(cache, 'js'), { recursive: true });
  // Below node_modules the project's package.json does not reach.
  await writeFile(join(cache, 'js/package.json'), '{ "type": "module" }\n');
  const tsc = join(root, 'node_modules/.bin/tsc');
  await execute(tsc, ['-p', join(here, 'tsconfig.json'), '--outDir', join(cache, 'js')]).catch((error) => {
    throw new Error(`tsc failed:\n${error.stdout}`);
  });
  await client();
}
/** Where the build has a script. */
export const built = (file: string): string => join(cache, 'js/tools/bench', file);

/** A program in C beside this file, compiled on first use. */
export async function compiled(name: string): Promise<string> {
  const program = join(cache, name);
  const source = join(here, `${name}.c`);
  const [made, written] = await Promise.all([stat(program).catch(() => undefined), stat(source)]);
  if (made === undefined || made.mtimeMs < written.mtimeMs)
    await execute('cc', ['-O2', '-Wall', '-pthread', '-o', program, source]);
  return program;
}
/** The load client's program. */
const client = (): Promise<string> => compiled('metabench');

/** What the load client measured. */
export interface Load {
  readonly ops: number;
  readonly ops_per_s: number;
  readonly p50_us: number;
  readonly p99_us: number;
  readonly client_cpu_us: number;
}

/** Operations per second, and the server's CPU time for each in us. */
export interface Loaded {
  readonly value: number;
  readonly cpu: number;
}
export interface Timed extends Loaded {
  /** How long an operation takes, in us. */
  readonly p50: number;
  readonly p99: number;
  /** The client's CPU time for each, in us. */
  readonly clientCpu: number;
}

/**
 * Loads a mount with an operation of the client, between two looks at what CPU time its server has used so far.
 * The client has `patience` ms for what it needs first.
 */
export async function loadMount(
  directory: string,
  cpu: () => Promise<number>,
  op: string,
  clients: number,
  seconds: number,
  patience = 30_000,
): Promise<Timed> {
  const before = await cpu();
  const { stdout } = await execute(await client(), [directory, op, `${clients}`, `${seconds}`], {
    timeout: patience + seconds * 1000,
    killSignal: 'SIGKILL',
  }).catch((error) => {
    throw new Error(`the load client failed at ${op}: ${error.stdout || error.message}`);
  });
  const { ops, ops_per_s, p50_us, p99_us, client_cpu_us } = JSON.parse(stdout) as Load;
  const times = { p50: p50_us, p99: p99_us, clientCpu: client_cpu_us };
  return { value: ops_per_s, cpu: ((await cpu()) - before) / ops, ...times };
}

/** A directory to mount on, with a name that is nobody else's. */
export const mountPoint = (): Promise<string> => mkdtemp(join(tmpdir(), 'rawfuse-bench-'));

/** The directory that a mount of PassthroughFs serves. */
export const sourceOf = (mountPoint: string): string => `${mountPoint}-source`;

/** The branches that a mount of a union merges, where `which` ends with how many. */
export const branchesOf = (mountPoint: string, which: string): string =>
  Array.from({ length: Number(which.split(' ').at(-1)) }, (_, i) => `${sourceOf(mountPoint)}/b${i}`).join(':');
/** Their options, and mergerfs': files by chance, so that directories are merged, and without a page cache above, so that reads and writes come to the server. */
export const UNION_OPTIONS = { 'category.create': 'rand', 'cache.files': 'off', minfreespace: '0' };

/** Removes it again, and first what is left of a mount whose server had to be killed. */
export async function removeMountPoint(directory: string): Promise<void> {
  await rmdir(directory).catch(async () => {
    await execute('umount', ['-l', directory]).catch(() => {});
    await rmdir(directory);
  });
}

/** Runs a script of the build by plain node; what it printed. */
export async function runBuilt(file: string, args: readonly string[]): Promise<string> {
  return (await execute(process.execPath, [built(file), ...args], { timeout: 300_000 })).stdout;
}

export class Server {
  readonly directory: string;
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (value: number) => void; reject: (error: Error) => void }>();
  #asked = 0;

  private constructor(directory: string, child: ChildProcess) {
    this.directory = directory;
    this.#process = child;
    child.on('message', ({ id, value }: Answered) => {
      this.#waiting.get(id)?.resolve(value);
      this.#waiting.delete(id);
    });
    child.once('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(this.#gone());
    });
  }

  static async start(
    which: Which,
    absent: Absent = 'errno',
    handlers: 'sync' | 'async' = 'sync',
    transport: Transport = 'device',
  ): Promise<Server> {
    const directory = await mountPoint();
    if (which.startsWith('passthrough')) await mkdir(sourceOf(directory));
    if (which.startsWith('union'))
      for (const branch of branchesOf(directory, which).split(':')) await mkdir(branch, { recursive: true });
    // No execArgv: this process may run under tsx.
    const child = fork(built('server.js'), [which, directory, absent, handlers, transport], { execArgv: profiling() });
    const ready = await Promise.race([once(child, 'message'), once(child, 'exit')]);
    if (ready[0] !== 'ready') throw new Error(`the ${which} server did not start`);
    return new Server(directory, child);
  }

  get pid(): number {
    return this.#process.pid!;
  }

  #gone(): Error {
    return new Error(`the server of ${this.directory} ended; was it unmounted by somebody else?`);
  }

  ask(question: Question, count = 0): Promise<number> {
    const id = this.#asked++;
    return new Promise((resolve, reject) => {
      if (!this.#process.connected) return reject(this.#gone());
      this.#waiting.set(id, { resolve, reject });
      this.#process.send({ id, question, count } satisfies Asked);
    });
  }

  load(op: string, clients: number, seconds: number, patience?: number): Promise<Timed> {
    return loadMount(this.directory, () => this.ask('cpu'), op, clients, seconds, patience);
  }

  /** CPU time in us a second while nobody asks for anything, not even this bench. */
  async idle(): Promise<number> {
    const before = await cpuTime(this.#process.pid!);
    await sleep(500);
    return 2 * ((await cpuTime(this.#process.pid!)) - before);
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const gone = once(this.#process, 'exit');
      const late = setTimeout(() => this.#process.kill('SIGKILL'), 5000);
      this.#process.disconnect();
      await gone;
      clearTimeout(late);
    }
    await removeMountPoint(this.directory);
    await rm(sourceOf(this.directory), { recursive: true, force: true });
  }
}

/** CPU time of all threads of a process in us. @see proc(5): schedstat */
export async function cpuTime(pid: number): Promise<number> {
  let ns = 0;
  for (const thread of await readdir(`/proc/${pid}/task`))
    ns += Number((await readFile(`/proc/${pid}/task/${thread}/schedstat`, 'utf8')).split(' ')[0]);
  return ns / 1000;
}

/** `BENCH_NODE_OPTIONS='--cpu-prof'` profiles what is measured. */
export const profiling = (): string[] => process.env.BENCH_NODE_OPTIONS?.split(' ') ?? [];
