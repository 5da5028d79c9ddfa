/** Hooks at exit: they run, whatever it was that ended the process, in order and all of them. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { compiled, fromSources } from '../compiled.ts';

const EXIT = [compiled('test/abi/fixtures/exit.ts')];
/** From the sources: its thread requires one. */
const LOADING = ['--import', 'tsx', fileURLToPath(new URL('./fixtures/exit-loading.ts', import.meta.url))];

/** Runs a program until it has ended as told. */
const end = (how: string, program = EXIT): Promise<{ status: unknown; stdout: string; stderr: string }> =>
  new Promise((resolve) => {
    const args = [...program, how];
    const options = { env: fromSources(), timeout: 20_000, killSignal: 'SIGKILL' } as const;
    execFile(process.execPath, args, options, (error, stdout, stderr) =>
      resolve({ status: error === null ? 0 : (error.code ?? error.signal), stdout, stderr }),
    );
  });

test.each([
  ['process.exit', 'exit', 3, undefined],
  ['nothing left to do', 'return', 0, undefined],
  ['an uncaught exception', 'throw', 1, 'Error: uncaught'],
  ['an uncaught exception in a timer', 'later', 1, 'Error: uncaught'],
  ['an unhandled rejection', 'reject', 1, 'Error: unhandled'],
])(
  'all hooks run in order after %s, one that throws is reported, and the status stays',
  async (_, how, status, said) => {
    const ended = await end(how);
    expect(ended.stdout.trim().split('\n')).toEqual(['first', 'last', 'once', 'after once']);
    expect(ended.stderr).toContain('rawfuse: at exit: Error: a hook that fails');
    if (said) expect(ended.stderr).toContain(said);
    expect(ended.status).toBe(status);
  },
);

test('an exit waits for a thread that loads koffi, which to stop would be a SIGABRT', async () => {
  const { status, stdout } = await end('during', LOADING);
  expect({ status, stdout }).toEqual({ status: 3, stdout: 'loaded\n' });
});

test('a thread that comes to load koffi when the process exits does not begin', async () => {
  const { status, stdout } = await end('before', LOADING);
  expect({ status, stdout }).toEqual({ status: 3, stdout: 'not begun\n' });
});
