/**
 * UnionFs under random load: operations in step on a mount of three branches and on a plain directory, by ../random/instep.py; what a client sees may not
 * differ. Afterwards each name that the mount has lies on a branch, and each that a branch has is in the mount.
 *
 * SEED repeats a run, OPERATIONS is how many, EVERY after how many the whole trees are compared.
 */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { PYTHON } from '../interpreter.ts';
import { native } from '../random/native.ts';
import { operations, patience, seed } from '../random/random.ts';
import { kernelTest, run, sh } from '../support.ts';
import { TRANSPORT } from '../transport.ts';
import { union } from './union.ts';

const INSTEP = fileURLToPath(new URL('../random/instep.py', import.meta.url));
/** Files where chance has them, and directories with them or everywhere. */
const OPTIONS: Readonly<Record<string, string>> =
  TRANSPORT === 'uring'
    ? { 'category.create': 'rand' }
    : { 'func.create': 'rand', 'func.mkdir': 'all', 'cache.files': 'auto-full' };

kernelTest(
  'random operations give what they give in one directory, and lie on the branches',
  async () => {
    const steps = operations(1500);
    await using other = await native('ext4');
    await using m = await union({ kind: 'ext4', options: OPTIONS, seed });
    const args = ['-B', INSTEP, m.dir, other.dir, 'ext4+merged', `${seed}`, `${steps}`, process.env.EVERY ?? '500'];
    const counts = Object.values(
      JSON.parse(await run(PYTHON, args, { timeout: patience(steps) })) as Record<string, [number, number]>,
    );
    expect(counts.reduce((total, [tried]) => total + tried, 0)).toBe(steps);
    // Else the comparison is of errors alone.
    expect(counts.reduce((total, [, done]) => total + done, 0)).toBeGreaterThan(steps / 4);
    // Not readdirSync: it goes where symlinks lead.
    const names = async (directory: string) =>
      (await sh("find . -mindepth 1 -printf '%P\\n'", directory)).split('\n').filter(Boolean);
    const lower = new Set((await Promise.all(m.branches.map(names))).flat());
    expect((await names(m.dir)).sort()).toEqual([...lower].sort());
    expect(m.branches.filter((branch) => readdirSync(branch).length > 0).length).toBeGreaterThan(1);
  },
  patience(operations(1500)) + 10_000,
);
