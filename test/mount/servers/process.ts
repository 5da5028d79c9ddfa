/**
 * Servers that are processes of their own, for what a test can't do to itself: exit, be killed, hang.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { abortConnection, isFuse, mountAt } from '../../../src/mountinfo.ts';
import { compiled } from '../../compiled.ts';
import { run, temporary, until } from '../../support.ts';

/** How a process ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class ServerProcess {
  readonly process: ChildProcess;
  /** Empty before and, if all is well, after. */
  readonly dir = temporary();
  out = '';
  err = '';
  #ended: Ended | undefined;

  /** Starts `script` of this directory as `script DIR ...args`; `wrap` is a command that starts what follows it. */
  constructor(script: string, args: readonly string[] = [], wrap: readonly string[] = []) {
    const [program, ...rest] = [
      ...wrap,
      process.execPath,
      compiled(join('test/mount/servers', script)),
      this.dir,
      ...args,
    ];
    this.process = spawn(program!, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.process.stdout!.on('data', (text) => {
      this.out += text;
    });
    this.process.stderr!.on('data', (text) => {
      this.err += text;
    });
    this.process.once('exit', (code, signal) => {
      this.#ended = { code, signal };
    });
  }

  /** Waits until it has printed the line. */
  async says(line: string): Promise<void> {
    await until(() => this.out.split('\n').includes(line) || this.#ended !== undefined, `the server to say ${line}`);
    if (!this.out.split('\n').includes(line))
      throw new Error(`the server ended before it said ${line}: ${JSON.stringify(this.#ended)}\n${this.err}`);
  }

  /** Waits for its end: a process that hangs fails the test that waits. */
  async ended(): Promise<Ended> {
    await until(() => this.#ended !== undefined, 'the server to end');
    return this.#ended!;
  }

  /** Whether its mount is visible from here. */
  get mounted(): boolean {
    return mountAt(this.dir) !== undefined;
  }

  abort(): void {
    abortConnection(mountAt(this.dir)!);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const entry = mountAt(this.dir);
    if (entry && isFuse(entry)) abortConnection(entry); // a thread of it inside a system call outlives SIGKILL
    if (this.#ended === undefined) this.process.kill('SIGKILL');
    await until(() => this.#ended !== undefined, 'the killed server to end');
    if (mountAt(this.dir)) await run('umount', ['-l', this.dir]);
    rmdirSync(this.dir);
  }
}

/** A process that makes system calls a test waits for: its standard error, and whether it succeeded. */
export async function attempt(
  program: string,
  args: readonly string[],
): Promise<{ ok: boolean; err: string; out: string }> {
  try {
    return { ok: true, err: '', out: await run(program, args, { timeout: 20_000 }) };
  } catch (error) {
    const { stderr = '', stdout = '' } = error as { stderr?: string; stdout?: string };
    return { ok: false, err: stderr, out: stdout };
  }
}
