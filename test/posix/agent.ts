/**
 * Runs the rows of the POSIX table by a process (agent.py) that stays: a row costs a fork, not the start of
 * an interpreter. The agent makes all calls, so the thread of the tests never touches its own mount.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { PYTHON } from '../interpreter.ts';

const program = fileURLToPath(new URL('./agent.py', import.meta.url));

interface Answer {
  readonly id: number;
  readonly out?: unknown[];
  readonly error?: string;
}

export class Agent implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #next = 1;

  constructor() {
    this.#process = spawn(PYTHON, ['-u', program], { stdio: ['pipe', 'pipe', 'inherit'] });
    createInterface({ input: this.#process.stdout! }).on('line', (line) => {
      const answer = JSON.parse(line) as Answer;
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
    this.#process.once('exit', () => {
      for (const [id, resolve] of this.#waiting) resolve({ id, error: 'the agent ended' });
    });
  }

  /** Runs a script in a new directory in `base`; what it gave to `out`. Rejects when it fails otherwise than by an expected errno. */
  async run(script: string, base: string): Promise<unknown[]> {
    const id = this.#next++;
    const answered = new Promise<Answer>((resolve) => this.#waiting.set(id, resolve));
    this.#process.stdin!.write(`${JSON.stringify({ id, base, script })}\n`);
    const { out, error } = await answered;
    if (out === undefined) throw new Error(error);
    return out;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null) return;
    const gone = once(this.#process, 'exit');
    this.#process.stdin!.end();
    await gone;
  }
}
