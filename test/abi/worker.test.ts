/**
 * Threads start from the sources, where Node 20 needs tsx to load them, and from the compiled package, where
 * there is no tsx. The thread that they start here is the one that unmounts, told to with a flag that
 * umount2(2) has not: refused before anything else is looked at, for root and others.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, expect, test, vi } from 'vitest';
import { EINVAL } from '../../src/abi/errno.ts';
import { BUILD, forThreads, startWorker } from '../../src/abi/worker.ts';
import { compiled, fromSources } from '../compiled.ts';

const execute = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));
const WRONG = { target: '/rawfuse-test/not/there', flags: 1 << 20 };

/** JavaScript that starts the thread with the startWorker of a module, and prints what it answers. */
const program = (module: string) => `
  const { startWorker } = await import('${module}');
  const worker = startWorker('${module}', './umount-thread');
  worker.on('message', (message) => {
    if (message === 'ready') return worker.postMessage(${JSON.stringify(WRONG)});
    console.log(message);
    worker.postMessage(undefined); // and so it ends
  });`;
const run = async (module: URL, ...flags: string[]): Promise<string> => {
  const args = [...flags, '--input-type=module', '-e', program(module.href)];
  const options = { cwd: root, env: fromSources(), timeout: 20_000, killSignal: 'SIGKILL' } as const;
  return (await execute(process.execPath, args, options)).stdout;
};

afterEach(() => {
  vi.unstubAllEnvs();
});

test.each([
  ['from the sources', undefined, '.ts'],
  ['from what is compiled', process.env[BUILD], '.js'],
])('a thread starts %s, under vitest', async (_, build, extension) => {
  vi.stubEnv(BUILD, build);
  expect(forThreads(new URL('../../src/abi/umount-thread.ts', import.meta.url)).href).toMatch(
    new RegExp(`/src/abi/umount-thread\\${extension}$`, 'u'),
  );
  const worker = startWorker(new URL('../../src/abi/worker.ts', import.meta.url).href, './umount-thread');
  const answer = new Promise((resolve, reject) => {
    worker.once('error', reject);
    worker.on('message', (message) => {
      if (message === 'ready') worker.postMessage(WRONG);
      else resolve(message);
    });
  });
  expect(await answer).toBe(EINVAL.errno);
  await worker.terminate();
});

test('a thread starts from the sources, under tsx', async () => {
  const module = new URL('../../src/abi/worker.ts', import.meta.url);
  expect(await run(module, '--import', 'tsx')).toBe(`${EINVAL.errno}\n`);
});

test('a thread starts from the compiled package, without tsx', async () => {
  expect(await run(pathToFileURL(compiled('src/abi/worker.ts')))).toBe(`${EINVAL.errno}\n`);
});

test('a module that is not there is an error of the thread, not silence', async () => {
  const worker = startWorker(import.meta.url, './fixtures/not-there');
  const error = await new Promise((resolve) => worker.once('error', resolve));
  expect(String(error)).toContain('not-there');
});

test("workerData and the other options reach the thread, and the parent's loader flags do not", async () => {
  const worker = startWorker(import.meta.url, './fixtures/echo', { workerData: { a: 1 }, env: { B: '2' } });
  const answer = await new Promise((resolve) => worker.once('message', resolve));
  expect(answer).toEqual({ data: { a: 1 }, env: { B: '2' }, execArgv: [] });
  await worker.terminate();
});
