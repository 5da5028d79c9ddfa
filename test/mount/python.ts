/**
 * Clients in Python: a process that makes exactly the system calls a test names. Python has most of them
 * by name, and the others through ctypes, so no helper has to be compiled.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { PYTHON } from '../interpreter.ts';
import { run } from '../support.ts';

/** Before every script: P(name) is a path in the mount, result(f, ...) what f gives, or the name of its errno. */
const PRELUDE = `
import ctypes, errno, fcntl, json, os, select, signal, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
DIR = os.fsencode(sys.argv[1])
def P(name=''):
    return os.path.join(DIR, os.fsencode(name)) if name else DIR
def say(value):
    print(json.dumps(value, default=os.fsdecode), flush=True)
def told():
    return sys.stdin.readline()
def result(f, *args, **named):
    try:
        value = f(*args, **named)
        return value.decode() if isinstance(value, bytes) else value
    except OSError as error:
        return errno.errorcode[error.errno]
def C(name, *args):
    value = getattr(libc, name)(*args)
    if value == -1:
        raise OSError(ctypes.get_errno(), name)
    return value
def slurp(name):
    with open(P(name), 'rb', buffering=0) as file:
        return file.read().decode()
`;

/** Runs a script to its end; what it said, one value a say(). */
export async function python(dir: string, script: string, timeout = 20_000): Promise<unknown[]> {
  const output = await run(PYTHON, ['-c', PRELUDE + script, dir], { timeout });
  return output
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

/** A script that goes on, and is talked with. */
export class Client implements AsyncDisposable {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #said: unknown[] = [];
  readonly #waiting: ((value: unknown) => void)[] = [];
  readonly #exited: Promise<string>;
  #errors = '';

  constructor(dir: string, script: string) {
    const child = spawn(PYTHON, ['-c', PRELUDE + script, dir], { stdio: 'pipe' });
    this.#child = child;
    this.pid = child.pid!;
    createInterface(child.stdout!).on('line', (line) => {
      const value = JSON.parse(line);
      const next = this.#waiting.shift();
      if (next) next(value);
      else this.#said.push(value);
    });
    child.stderr!.on('data', (chunk) => {
      this.#errors += chunk;
    });
    child.stdin!.on('error', () => {}); // it may be gone
    this.#exited = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        const how = signal ?? String(code);
        for (const next of this.#waiting.splice(0)) next(new Error(`the client ended (${how}): ${this.#errors}`));
        resolve(how);
      });
    });
  }

  /** What it says next. */
  async said(): Promise<unknown> {
    const value =
      this.#said.length > 0
        ? this.#said.shift()
        : await new Promise((resolve) => {
            if (this.#child.exitCode !== null) resolve(new Error(`the client is gone: ${this.#errors}`));
            this.#waiting.push(resolve);
          });
    if (value instanceof Error) throw value;
    return value;
  }
  /** Whether it has said something that nobody has asked for yet. */
  get saidMore(): boolean {
    return this.#said.length > 0;
  }
  /** Lets told() return. */
  tell(line = ''): void {
    this.#child.stdin!.write(`${line}\n`);
  }
  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
  /** How it ended: its status, or the signal's name. */
  get exited(): Promise<string> {
    return this.#exited;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL');
    await this.#exited;
  }
}
