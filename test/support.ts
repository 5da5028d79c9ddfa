/**
 * What tests share: marking those that need the kernel, a mount with a watchdog and a leak check, clients
 * in processes of their own. The thread of a test serves the mounts it makes, so it must never make a
 * synchronous call into one: `run`, `sh` and `client` are the ways in.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { accessSync, constants, existsSync, mkdtempSync, readdirSync, readlinkSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import type { Mount } from '../src/mount.ts';
import { connectionDirectory, mountAt, mountEntries } from '../src/mountinfo.ts';
import type { MountOptions } from '../src/options.ts';
import type { Filesystem } from '../src/protocol/filesystem.ts';
import type { Hooks, ModuleOptions } from '../src/serve.ts';
import { lackingTransport, mountOver } from './transport.ts';

/** How the name of a test that needs the kernel begins. */
export const KERNEL = 'kernel: ';

/** What this machine lacks for a real mount; undefined if nothing. */
export const lacking: string | undefined = (() => {
  if (process.geteuid?.() !== 0) return 'not root';
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
    return lackingTransport;
  } catch {
    return 'no usable /dev/fuse';
  }
})();

/** A test that needs a real mount: skipped on a machine that can't have one, a failure there in CI. */
export function kernelTest(name: string, body: () => Promise<void>, timeout = 30_000): void {
  if (lacking === undefined) test(KERNEL + name, { timeout }, body);
  else if (process.env.CI === 'true')
    test(KERNEL + name, () => {
      throw new Error(`CI can't run kernel tests: ${lacking}`);
    });
  else test.skip(`${KERNEL}${name} (skipped: ${lacking})`, () => {});
}

const execute = promisify(execFile);
/**
 * Runs a program; its standard output. Rejects with its status and what it wrote to standard error. There is
 * no `cwd` on purpose: the child would change into a mount before it is a program of its own, while spawn()
 * blocks the thread that has to answer. Nor may the program itself lie in a mount of this process.
 */
export async function run(
  program: string,
  args: readonly string[],
  options: { timeout?: number; env?: NodeJS.ProcessEnv } = {},
): Promise<string> {
  const { stdout } = await execute(program, [...args], {
    maxBuffer: 64 << 20,
    timeout: 60_000,
    killSignal: 'SIGKILL',
    ...options,
  });
  return stdout;
}
/** Runs a shell script in a directory. */
export const sh = (script: string, dir: string, timeout = 60_000): Promise<string> =>
  run('bash', ['-euc', `cd "$0"; ${script}`, dir], { timeout });

/** Runs JavaScript (an async function's body; `dir` is its argument) in a Node process of its own; the value it returns, through JSON. */
export async function client<T>(dir: string, body: string, timeout = 60_000): Promise<T> {
  const script = `const fs = require('node:fs'); const { join } = require('node:path'); (async (dir) => { ${body} })(process.argv[1]).then((value) => process.stdout.write(JSON.stringify(value ?? null)), (error) => { console.error(error); process.exit(1); });`;
  return JSON.parse(await run(process.execPath, ['-e', script, dir], { timeout })) as T;
}

/** Starts a program that goes on; ends it at the latest when the test is over. */
export function start(
  program: string,
  args: readonly string[],
  { stdin = false, ...options }: { cwd?: string; env?: NodeJS.ProcessEnv; stdin?: boolean } = {},
): ChildProcess {
  return spawn(program, [...args], { stdio: [stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'], ...options });
}

/** A new empty directory. */
export const temporary = (name = 'rawfuse-'): string => mkdtempSync(join(tmpdir(), name));

/** What this process has open, of what has such a path. */
const openFiles = (is: (path: string) => boolean): string[] =>
  readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      return is(path) ? [path] : [];
    } catch {
      return []; // that by which they were listed
    }
  });
export const openBelow = (directory: string): string[] => openFiles((path) => path.startsWith(`${directory}/`));
const openDevices = (): string[] => openFiles((path) => path.includes('/dev/fuse'));

export interface TestMount extends AsyncDisposable {
  readonly mount: Mount;
  /** The directory it is mounted on. */
  readonly dir: string;
}

/** Something that has books of its nodes. */
export interface Counting {
  readonly nodes: { readonly counted: readonly unknown[] };
}
export interface Watch {
  /** In ms. */
  readonly watchdog?: number;
  /** Whether what is left at the end is an error. */
  readonly leaks?: boolean;
  readonly nodes?: Counting['nodes'] | undefined;
}

/** How long a mount test may last before its connection is aborted, in ms. */
const WATCHDOG = 25_000;

/**
 * Mounts for a test: `await using m = await mounted(fs)`. A watchdog aborts the connection when the test
 * hangs, and says what was in flight. At the end nothing is left: no mount, no descriptor, no request in flight,
 * and, of a filesystem with a `nodes` table, no lookup that the kernel has not taken back. A module has its table
 * elsewhere: `nodes` is it.
 */
export async function mounted(
  filesystem: Filesystem | URL,
  options: MountOptions & Hooks & ModuleOptions = {},
  { watchdog = WATCHDOG, leaks = true, nodes = (filesystem as Partial<Counting>).nodes }: Watch = {},
): Promise<TestMount> {
  const dir = temporary();
  const before = openDevices();
  const mine = await mountOver(filesystem, dir, options);
  // Not a timer: a thread that blocks on its own mount fires none. It says so first: its end may be seen after that of the mount.
  const bite = `${dir}-aborted`;
  const abort = `${connectionDirectory(mountAt(dir)!)}/abort`;
  const guard = spawn('sh', ['-c', `sleep ${watchdog / 1000 + 0.2}; : > ${bite}; echo 1 > ${abort}`], {
    stdio: 'ignore',
    detached: true,
  });
  const last = setTimeout(async () => {
    const inflight = (await mine.inFlight()).map(({ operation, unique, nodeid }) => ({ operation, unique, nodeid }));
    console.error('watchdog: in flight:', inflight);
  }, watchdog);
  return {
    mount: mine,
    dir,
    async [Symbol.asyncDispose]() {
      // What it finds is thrown at the end: first the mount goes, whatever is wrong with it.
      const leak =
        leaks && nodes && mountAt(dir) ? await forgotten({ nodes }, dir).catch((error: Error) => error) : undefined;
      const inflight = await mine.inFlight();
      await mine.unmount({ lazy: true });
      await mine.closed;
      clearTimeout(last);
      if (guard.exitCode === null) process.kill(-guard.pid!, 'SIGKILL'); // the group: sh and its sleep
      rmdirSync(dir);
      const bitten = existsSync(bite);
      rmSync(bite, { force: true });
      if (bitten) console.error(`watchdog: aborted ${dir}`);
      if (leak) throw leak;
      expect(bitten, 'the watchdog had to abort').toBe(false);
      if (!leaks) return;
      expect(inflight, 'requests in flight').toEqual([]);
      expect(
        mountEntries().filter(({ path }) => path === dir),
        'mounts',
      ).toEqual([]);
      expect(openDevices(), 'descriptors').toEqual(before);
    },
  };
}

/**
 * Makes the kernel forget what nobody uses in a mount: a remount drops its unused names, and their nodes. Not
 * drop_caches, which would do so, at any moment, to the mounts of all other tests.
 */
export const forgetUnused = (dir: string): Promise<string> => run('mount', ['-i', '-n', '-o', 'remount', dir]);

/** Holds the books of a filesystem to what the kernel has taken back: lookups end at exactly zero. */
export async function forgotten({ nodes }: Counting, dir: string): Promise<void> {
  for (let tries = 0; nodes.counted.length > 0 && tries < 50; tries++) {
    await forgetUnused(dir);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect(nodes.counted, 'nodes that the kernel was given and never forgot').toEqual([]);
}

/** Waits until a condition holds. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  timeout = 10_000,
): Promise<void> {
  for (const end = Date.now() + timeout; !(await condition()); ) {
    if (Date.now() > end) throw new Error(`waited ${timeout} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
