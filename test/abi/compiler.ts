/**
 * The system's C compiler and headers as a second source of every number. A machine without them skips
 * those tests and says so; in CI that is a failure.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { test } from 'vitest';

const execute = promisify(execFile);

/** What this machine lacks to ask C; undefined if nothing. */
const lacking: string | undefined = (() => {
  if (!(process.env.PATH ?? '').split(delimiter).some((dir) => existsSync(join(dir, 'cc'))))
    return 'no C compiler (cc)';
  if (!existsSync('/usr/include/linux/fuse.h')) return 'no /usr/include/linux/fuse.h (the package linux-libc-dev)';
  return undefined;
})();

/** A test that asks the C compiler: skipped on a machine without one, a failure there in CI. */
export function compilerTest(name: string, body: () => Promise<void>): void {
  if (lacking === undefined) test(name, body);
  else if (process.env.CI === 'true')
    test(name, () => {
      throw new Error(`CI can't ask C: ${lacking}`);
    });
  else test.skip(`${name} (skipped: ${lacking})`, () => {});
}

async function cc(source: string, ...options: string[]): Promise<{ dir: string; stdout: string }> {
  const dir = await mkdtemp(join(tmpdir(), 'rawfuse-cc-'));
  await writeFile(join(dir, 'main.c'), source);
  try {
    return {
      dir,
      ...(await execute('cc', [...options, 'main.c'], { cwd: dir, timeout: 60_000, maxBuffer: 64 << 20 })),
    };
  } catch (error) {
    await rm(dir, { recursive: true });
    throw error;
  }
}

/** What a C source looks like after the preprocessor; with '-dM', its macros instead. */
export async function preprocess(source: string, ...options: string[]): Promise<string> {
  const { dir, stdout } = await cc(source, '-E', '-P', ...options);
  await rm(dir, { recursive: true });
  return stdout;
}

/** What the compiler has to say against a C source: the messages of its errors, none if it compiles. */
export async function complaints(source: string): Promise<string[]> {
  try {
    const { dir } = await cc(source, '-fsyntax-only');
    await rm(dir, { recursive: true });
    return [];
  } catch (error) {
    const { stderr } = error as { stderr?: string };
    if (!stderr) throw error;
    const errors = stderr.match(/(?<=error: ).*/g);
    if (errors === null) throw error;
    return errors;
  }
}

/** Compiles and runs a C program: its output, line by line. */
export async function lines(source: string): Promise<string[]> {
  const { dir } = await cc(source, '-o', 'main');
  try {
    const { stdout } = await execute(join(dir, 'main'), { timeout: 10_000, env: { LC_ALL: 'C' } });
    return stdout.trim().split('\n');
  } finally {
    await rm(dir, { recursive: true });
  }
}

/** The values of integer macros, of those among `names` that the headers define. */
export async function macros(headers: readonly string[], names: Iterable<string>): Promise<Map<string, bigint>> {
  const output = await lines(`#define _GNU_SOURCE
${headers.map((header) => `#include <${header}>`).join('\n')}
#include <stdio.h>
int main(void) {
${[...names].map((name) => `#ifdef ${name}\nprintf("${name} %lld\\n", (long long)(${name}));\n#endif`).join('\n')}
  return 0;
}`);
  return new Map(output.map((line) => line.split(' ')).map(([name, value]) => [name!, BigInt(value!)]));
}
