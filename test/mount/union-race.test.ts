/**
 * Processes that race for the same names of a union (../random/race.py), which is served by as many threads as there are CPUs, while the
 * kernel is made to forget what nobody uses; and options that change meanwhile. At the end no lookup is left, what the threads share is as it should be, and each
 * thread has served.
 *
 * SEED repeats what the clients choose, RACE is for how many seconds.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { shareUnion } from '../../src/fs/union/shared.ts';
import { UnionTree } from '../../src/fs/union/tree.ts';
import { PYTHON } from '../interpreter.ts';
import { native } from '../random/native.ts';
import { seed } from '../random/random.ts';
import { forgetUnused, forgotten, kernelTest, mounted, run, sh, until } from '../support.ts';
import { check } from './union-shared/check.ts';

const MODULE = new URL('./union-shared/module.ts', import.meta.url);
const program = fileURLToPath(new URL('../random/race.py', import.meta.url));
const CLIENTS = 8;
const SECONDS = Number(process.env.RACE ?? 3);
/** What has to have happened, each of it. */
const EACH = ['create', 'own_link', 'unlink', 'move', 'exchange', 'rmdir', 'read', 'own_rename'];

kernelTest(
  `${CLIENTS} clients race for the names of a union on threads, which are forgotten and whose branches change`,
  async () => {
    const timeout = (SECONDS + 90) * 1000;
    await using lower = await native('tmpfs');
    const branches = ['a', 'b', 'c'].map((name) => join(lower.dir, name));
    for (const each of branches) mkdirSync(each);
    // So that the kernel asks each time; a file's names all on its branch, so that they can be linked and exchanged.
    const options = {
      ...{ minfreespace: '0', 'cache.entry': '0', 'cache.attr': '0', 'cache.statfs': '1' },
      ...{ 'func.create': 'rand', 'func.mkdir': 'all', 'func.symlink': 'rand' },
    };
    const shared = shareUnion({ branches: branches.join(':'), options, seed });
    const tree = new UnionTree(shared);
    const all = { allowOther: true, defaultPermissions: true, threads: 'cpus', filesystem: shared } as const;
    await using m = await mounted(MODULE, all, { watchdog: timeout });
    const sums: Record<string, number> = {};
    const end = Date.now() + SECONDS * 1000;
    const missing = () => EACH.some((name) => sums[name] === undefined) && Date.now() < end + 45_000;
    for (let round = 0; Date.now() < end || missing(); round++) {
      let racing = true;
      const args = ['-B', program, m.dir, `${seed + round}`, '1.5', `${CLIENTS}`];
      const race = run(PYTHON, args, { timeout }).finally(() => {
        racing = false;
      });
      const meanwhile = (async () => {
        for (let i = 0; racing; i++) {
          await forgetUnused(m.dir);
          const modes = i % 2 ? 'RW' : 'NC';
          const list = branches.map((each, at) => `${each}=${at === 1 ? modes : 'RW'}`).join(':');
          await sh(`setfattr -n user.mergerfs.branches -v '=${list}' .mergerfs`, m.dir);
        }
      })();
      const { done } = JSON.parse(await race) as { done: Record<string, number> };
      await meanwhile;
      await forgotten({ nodes: tree.table }, m.dir);
      check(shared);
      for (const [name, times] of Object.entries(done)) sums[name] = (sums[name] ?? 0) + times;
    }
    console.log(`served ${m.mount.served.join(', ')}; ${JSON.stringify(sums)}`);
    for (const name of EACH) expect(sums[name], name).toBeGreaterThan(0);
    for (const served of m.mount.served) expect(served).toBeGreaterThan(0);
    await sh('rm -r a b c', m.dir);
    await forgotten({ nodes: tree.table }, m.dir);
    // A RELEASE may still be on its way. The root and the control file stay.
    await until(() => tree.table.size === 2, 'all other nodes to be gone');
    check(shared);
    for (const each of branches) expect(existsSync(join(each, 'a'))).toBe(false);
  },
  (SECONDS + 120) * 1000,
);
