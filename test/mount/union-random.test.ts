/**
 * UnionFs under random load: operations in step on a mount of three branches and on a plain directory, by ../random/instep.py; what a client sees may not
 * differ. Meanwhile branches change their order, and whether new files may go there. Afterwards each name that the mount has lies on a branch, and each that a branch
 * has is in the mount.
 *
 * SEED repeats a run, OPERATIONS is how many, EVERY after how many the whole trees are compared.
 */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { PYTHON } from '../interpreter.ts';
import { native } from '../random/native.ts';
import { operations, patience, Random, seed } from '../random/random.ts';
import { kernelTest, run, sh } from '../support.ts';
import { TRANSPORT } from '../transport.ts';
import { union } from './union.ts';

const INSTEP = fileURLToPath(new URL('../random/instep.py', import.meta.url));
/** Files where chance has them, and directories with them or everywhere. */
const OPTIONS: Readonly<Record<string, string>> =
  TRANSPORT === 'uring'
    ? { 'category.create': 'rand', 'func.readdir': 'cor:2' }
    : { 'func.create': 'rand', 'func.mkdir': 'all', 'cache.files': 'auto-full' };

/** Lists of the same branches in other orders, some of which take no new files. RO would be seen: files there could not be changed. */
function settings(branches: readonly string[]): string[] {
  const random = new Random(seed);
  return Array.from({ length: 12 }, () => {
    const order = branches.map((path) => ({ path, place: random.next() })).sort((a, b) => a.place - b.place);
    return order.map(({ path }, i) => `${path}=${i > 0 && random.chance(2) ? 'NC' : 'RW'}`).join(':');
  });
}

kernelTest(
  'random operations give what they give in one directory, and lie on the branches',
  async () => {
    const steps = operations(1500);
    await using other = await native('ext4');
    await using m = await union({ kind: 'ext4', options: OPTIONS, seed });
    const how = ['ext4+merged', `${seed}`, `${steps}`, process.env.EVERY ?? '500', ...settings(m.branches)];
    const args = ['-B', INSTEP, m.dir, other.dir, ...how];
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
