/**
 * Random operations in step on a mount and on native filesystems, by ../random/instep.py: the same results, errnos,
 * contents and metadata. tmpfs is what our filesystems shall be like; ext4 has what tmpfs lacks.
 *
 * SEED repeats a run, OPERATIONS is how many, EVERY after how many the whole trees are compared.
 */
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { MemoryFs } from '../../src/fs/index.ts';
import type { MountOptions } from '../../src/options.ts';
import type { Args } from '../../src/protocol/operations.ts';
import type { Request } from '../../src/protocol/request.ts';
import { PYTHON } from '../interpreter.ts';
import { KINDS, type Kind, native } from '../random/native.ts';
import { operations, patience, seed } from '../random/random.ts';
import { kernelTest, mounted, run, type TestMount } from '../support.ts';
import { PLACES } from './places.ts';

const program = fileURLToPath(new URL('../random/instep.py', import.meta.url));
const every = process.env.EVERY ?? '100';
const usual: MountOptions = { allowOther: true, suid: true, dev: true };
/** The kernel believes for long what it was told once: what it should have forgotten shows. */
const believing: MountOptions = { entryTimeout: 600, attrTimeout: 600, negativeTimeout: 600, kernelCache: true };
const OPTIONS: Readonly<Record<Kind, MountOptions>> = { tmpfs: { ...usual, ...believing }, ext4: usual };

/** Calls made and calls that succeeded, by name. */
type Counts = Record<string, [made: number, succeeded: number]>;

async function inStep({ dir }: TestMount, kind: Kind, steps: number): Promise<Counts> {
  await using other = await native(kind);
  const args = ['-B', program, dir, other.dir, kind, `${seed}`, `${steps}`, every];
  return JSON.parse(await run(PYTHON, args, { timeout: patience(steps) }));
}

const steps = operations(3000);
for (const kind of KINDS)
  for (const { where, mount } of PLACES)
    kernelTest(
      `random operations give on a mount what they give on ${kind}, and leave the same${where}`,
      async () => {
        // Access times that nobody sets stand still on both sides: what the page cache answers moves none on ours.
        await using m = await mount(OPTIONS[kind], { watchdog: patience(steps) }, { atime: 'none' });
        const counts = Object.values(await inStep(m, kind, steps));
        const sum = (which: 0 | 1): number => counts.reduce((total, each) => total + each[which], 0);
        expect(sum(0)).toBe(steps);
        // Else the comparison is of errors alone.
        expect(sum(1)).toBeGreaterThan(steps / 4);
      },
      patience(steps) + 10_000,
    );

/** Forgets the sticky bit. */
class Careless extends MemoryFs {
  override setattr(request: Request, args: Args<'SETATTR'>) {
    return super.setattr(request, { ...args, mode: args.mode === undefined ? undefined : args.mode & ~0o1000 });
  }
}

kernelTest('a filesystem that forgets a bit is found out', async () => {
  await using m = await mounted(new Careless({ atime: 'none' }), OPTIONS.tmpfs);
  await expect(inStep(m, 'tmpfs', 3000)).rejects.toThrow(/SEED=\d+ kind tmpfs.*native: /su);
});
