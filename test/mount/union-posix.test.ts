/**
 * The POSIX table on mounts of UnionFs: what a row gives there is what it gives in a directory of the same kind without FUSE, with
 * directories on all branches and files on any by chance, or all kept to the branch of their directory.
 *
 * The table is long. Each of the ways takes another 32nd of it, and all of it with ROWS=all, as in `npm run soak`.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from '../installed.ts';
import { rows } from '../posix/rows.ts';
import type { Kind } from '../random/native.ts';
import { TRANSPORT } from '../transport.ts';
import { REFUSED_BELOW, rowsBeside } from './beside.ts';
import { union } from './union.ts';

const kept = ['ok', '0o2666', 'ok', '0o7767'];
const lost = ['ok', '0o666', 'ok', '0o1767'];
const WHY = 'Where it differs from a directory';
/** Rows that a union can't do as a directory does: what it gives, and the heading of docs/union.md that says why. */
const DIFFERS: Readonly<Record<string, { readonly out: readonly unknown[]; readonly why: string }>> = {
  ...Object.fromEntries(
    ['write', 'truncate', 'open O_TRUNC'].map((call) => [
      `${call}: takes S_ISGID where the group may not execute from whoever is not in the group`,
      { out: [kept, lost, lost, lost], why: WHY },
    ]),
  ),
  'a write through mmap: whether it leaves security.capability': { out: ['ok', false, 'ok', false], why: WHY },
  'rmdir: a directory made again under the same name is another one': {
    out: [true, [], ['file'], 'ENOENT'],
    why: WHY,
  },
};
/** Rows about times of directories, which are those of the one branch that `getattr` looks at: where chance puts files, they are for the other way. */
const OF_ONE_BRANCH = /^times: /u;

const CHANCE = { 'category.create': 'rand', 'func.mkdir': 'all' };
const KEPT = { 'category.create': 'epmfs', 'category.search': 'newest' };
const WAYS: readonly {
  readonly kind: Kind;
  readonly transport: string;
  readonly options: Readonly<Record<string, string>>;
  readonly threads?: 'cpus';
}[] = [
  { kind: 'ext4', transport: 'device', options: CHANCE },
  { kind: 'tmpfs', transport: 'uring', options: KEPT },
  { kind: 'tmpfs', transport: 'device', options: KEPT, threads: 'cpus' },
  { kind: 'ext4', transport: 'uring', options: CHANCE, threads: 'cpus' },
];

test('docs/union.md explains each difference', () => {
  const text = readFileSync(join(ROOT, 'docs/union.md'), 'utf8');
  for (const name of [...Object.keys(DIFFERS), REFUSED_BELOW]) expect(rows.map(([each]) => each)).toContain(name);
  for (const why of [WHY, ...Object.values(DIFFERS).map((each) => each.why)]) expect(text).toContain(`\n## ${why}\n`);
});

for (const [way, { kind, transport, options, threads }] of WAYS.entries()) {
  if (transport !== TRANSPORT) continue;
  const title = [kind, ...Object.values(options), ...(threads ? ['threads'] : [])].join();
  const chance = options['category.create'] === 'rand';
  rowsBeside({
    ...{ title, kind, share: 32, from: way },
    rows: rows.filter(([name]) => !chance || !OF_ONE_BRANCH.test(name)),
    mount: () => union({ kind, options, seed: 5, mount: { ...(threads && { threads }) } }),
    async differs(name, native, found) {
      const differs = DIFFERS[name];
      if (differs === undefined) return false;
      expect(native).not.toEqual(differs.out);
      expect(await found()).toEqual(differs.out);
      return true;
    },
  });
}
