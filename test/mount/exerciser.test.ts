/**
 * exerciser.c on a mount: reads, writes, mappings, truncates and holes of a few files in random order, beside a
 * model. It asks for holes exactly: our filesystems know them to the page.
 *
 * SEED repeats a run, OPERATIONS is how many.
 */
import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect } from 'vitest';
import { MemoryFs } from '../../src/fs/index.ts';
import type { MountOptions } from '../../src/options.ts';
import type { Args } from '../../src/protocol/operations.ts';
import type { Request } from '../../src/protocol/request.ts';
import { operations, patience, seed } from '../random/random.ts';
import { kernelTest, lacking, mounted, run, type TestMount, temporary } from '../support.ts';
import { PLACES } from './places.ts';

const source = fileURLToPath(new URL('./exerciser.c', import.meta.url));
const compiled = temporary('rawfuse-exerciser-');
const program = join(compiled, 'exerciser');

beforeAll(async () => {
  if (lacking === undefined)
    await promisify(execFile)('cc', ['-O2', '-Wall', '-Wextra', '-Werror', '-o', program, source]);
});
afterAll(() => rmSync(compiled, { recursive: true }));

/** What the program said. What it has found is said in what it rejects with. */
const exercise = ({ dir }: TestMount, count: number): Promise<string> =>
  run(program, [dir, `${seed}`, `${count}`, 'exact'], { timeout: patience(count) });

/** By the defaults; and so that every request is short and nothing read ahead, and the cache outlives a close. */
const WAYS: Readonly<Record<string, MountOptions>> = {
  'as mounted by default': {},
  'with short requests and a cache that is kept': { maxWrite: 8192, maxRead: 8192, maxReadahead: 0, kernelCache: true },
};
for (const [name, options] of Object.entries(WAYS))
  for (const [i, { where, mount }] of PLACES.entries()) {
    const count = operations(i === 0 ? 20_000 : 5000);
    kernelTest(
      `random reads and writes of all kinds find what they left, ${name}${where}`,
      async () => {
        await using m = await mount(options, { watchdog: patience(count) });
        expect(await exercise(m, count)).toBe(`${count} operations\n`);
      },
      patience(count) + 10_000,
    );
  }

/** Loses the last byte of a write in a hundred. */
class Careless extends MemoryFs {
  #writes = 0;
  override write(request: Request, args: Args<'WRITE'>) {
    if (++this.#writes % 100 === 0) args.data[args.data.length - 1]! ^= 1;
    return super.write(request, args);
  }
}
/** Says of a hole that is asked for that it begins a page later. */
class Vague extends MemoryFs {
  override lseek(request: Request, args: Args<'LSEEK'>) {
    const { offset } = super.lseek(request, args);
    return { offset: offset > args.offset ? offset + 4096 : offset };
  }
}

kernelTest('a filesystem that loses a byte, or does not know its holes, is found out', async () => {
  for (const broken of [new Careless(), new Vague()]) {
    await using m = await mounted(broken);
    await expect(exercise(m, 20_000)).rejects.toThrow(/SEED=\d+ operation \d+: file\d: /u);
  }
});
