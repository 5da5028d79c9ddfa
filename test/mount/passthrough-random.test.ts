/**
 * PassthroughFs under random load: operations in step on a mount and on a directory of the same kind without FUSE, by
 * ../random/instep.py; reads and writes of all kinds beside a model, by exerciser.c; and fio, which verifies what it wrote.
 *
 * SEED repeats a run, OPERATIONS is how many, EVERY after how many the whole trees are compared.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { PYTHON } from '../interpreter.ts';
import { native } from '../random/native.ts';
import { operations, patience, seed } from '../random/random.ts';
import { kernelTest, run, temporary } from '../support.ts';
import { TRANSPORT } from '../transport.ts';
import { passthrough, type Wishes } from './passthrough.ts';

const at = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const every = process.env.EVERY ?? '500';
/**
 * Over the ring by several threads, over the device by one; data by requests, at once and when the kernel is pleased to. Where the kernel writes itself
 * root loses setuid bits: the exerciser of reads and writes has that.
 */
const WAYS: readonly Wishes[] =
  TRANSPORT === 'uring'
    ? [{ kind: 'ext4', kernelPassthrough: false, cache: 'always', mount: { threads: 'cpus' } }]
    : [
        { kind: 'ext4', kernelPassthrough: false },
        { kind: 'tmpfs', inodeHandles: 'descriptors', kernelPassthrough: false },
        { kind: 'ext4', writeback: true },
      ];

for (const way of WAYS) {
  const { kind = 'ext4', inodeHandles = 'handles', cache = 'auto', writeback, mount } = way;
  const title = `${kind}, ${inodeHandles}, threads ${mount?.threads}, cache ${cache}${writeback ? ', writeback' : ''}`;
  const steps = operations(way === WAYS[0] && TRANSPORT === 'device' ? 5000 : 1500);
  kernelTest(
    `random operations give what they give on ${title}, and leave the same`,
    async () => {
      await using other = await native(kind);
      await using m = await passthrough(way);
      const args = [
        '-B',
        at('../random/instep.py'),
        m.dir,
        other.dir,
        `${kind}${writeback ? '+writeback' : ''}`,
        `${seed}`,
        `${steps}`,
        every,
      ];
      const counts = Object.values(
        JSON.parse(await run(PYTHON, args, { timeout: patience(steps) })) as Record<string, [number, number]>,
      );
      const sum = (which: 0 | 1): number => counts.reduce((total, each) => total + each[which], 0);
      expect(sum(0)).toBe(steps);
      // Else the comparison is of errors alone.
      expect(sum(1)).toBeGreaterThan(steps / 4);
    },
    patience(steps) + 10_000,
  );
}

kernelTest('random reads and writes of all kinds find what they left, and fio what it wrote', async () => {
  const compiled = temporary('rawfuse-exerciser-');
  const program = join(compiled, 'exerciser');
  await run('cc', ['-O2', '-o', program, at('./exerciser.c')]);
  const count = operations(3000);
  await using m = await passthrough(TRANSPORT === 'device' ? { kind: 'ext4', kernelPassthrough: true } : WAYS[0]);
  expect(await run(program, [m.dir, `${seed}`, `${count}`], { timeout: patience(count) })).toBe(
    `${count} operations\n`,
  );
  rmSync(compiled, { recursive: true });
  const job = ['--name=job', `--directory=${m.dir}`, '--rw=randrw', '--bs=1k-64k', '--size=8m', '--numjobs=2'];
  const out = await run('fio', [
    ...job,
    '--verify=crc32c',
    '--do_verify=1',
    '--verify_state_save=0',
    '--group_reporting',
    '--minimal',
  ]);
  expect(out).toMatch(/^3;/u);
});
