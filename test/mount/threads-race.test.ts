/**
 * Sixteen processes that race for the same names and nodes of the filesystem in shared memory (../random/race.py), while the
 * kernel is made to forget what nobody uses: lookup against forget against rename, create, link and unlink, by as many
 * threads as there are CPUs. At the end no lookup is left, the memory is as it should be, and so is the tree.
 *
 * SEED repeats what the clients choose, RACE is for how many seconds.
 */
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { PYTHON } from '../interpreter.ts';
import { seed } from '../random/random.ts';
import { forgetUnused, forgotten, kernelTest, run, sh, until } from '../support.ts';
import { sharedMemory } from './shared-memory/mounted.ts';

const program = fileURLToPath(new URL('../random/race.py', import.meta.url));
const CLIENTS = 16;
const SECONDS = Number(process.env.RACE ?? 5);
/** After so many seconds all stand still, and what is in the memory is checked. */
const ROUND = 2.5;
/** What has to have happened, each of it. */
const EACH = ['create', 'link', 'unlink', 'move', 'exchange', 'rmdir', 'read', 'own_rename'];

kernelTest(
  `${CLIENTS} clients race for the same nodes while they are forgotten: no count and no name is lost`,
  async () => {
    const timeout = (SECONDS + 60) * 1000;
    // So that the kernel asks each time.
    const options = { entryTimeout: 0, attrTimeout: 0, negativeTimeout: 0 };
    await using m = await sharedMemory(options, {}, { watchdog: timeout });
    const sums: Record<string, number> = {};
    const end = Date.now() + SECONDS * 1000;
    // A busy machine does little in a round: it goes on until all has happened, for so long at most.
    const last = end + 45_000;
    const missing = () => EACH.some((name) => sums[name] === undefined) && Date.now() < last;
    for (let round = 0; Date.now() < end || missing(); round++) {
      let racing = true;
      const args = ['-B', program, m.dir, `${seed + round}`, `${ROUND}`, `${CLIENTS}`];
      const race = run(PYTHON, args, { timeout }).finally(() => {
        racing = false;
      });
      const forgetting = (async () => {
        for (; racing; await new Promise((resolve) => setTimeout(resolve, 20))) await forgetUnused(m.dir);
      })();
      const { done } = JSON.parse(await race) as { done: Record<string, number> };
      await forgetting;
      await forgotten(m.tree, m.dir);
      m.check();
      for (const [name, times] of Object.entries(done)) sums[name] = (sums[name] ?? 0) + times;
    }
    console.log(`served ${m.mount.served.join(', ')}; ${JSON.stringify(sums)}`);
    for (const name of EACH) expect(sums[name], name).toBeGreaterThan(0);
    for (const served of m.mount.served) expect(served).toBeGreaterThan(0);
    await sh('rm -r a b c', m.dir);
    await forgotten(m.tree, m.dir);
    // A RELEASE may still be on its way.
    await until(() => m.tree.nodes.size === 1, 'all nodes but the root to be gone');
    expect(m.tree.store.pages.reserved).toBe(0);
  },
  (SECONDS + 90) * 1000,
);
