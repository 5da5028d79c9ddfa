/** The example of a filesystem that looks at opens and leaves data to the kernel: that it tells, refuses, and is not asked for data. */
import { once } from 'node:events';
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { mountAt } from '../src/mountinfo.ts';
import { compiled } from './compiled.ts';
import { ROOT } from './installed.ts';
import { as } from './mount/passthrough.ts';
import { kernelTest, sh, start, temporary, until } from './support.ts';

kernelTest('audit.ts tells of each open, keeps files closed, and the kernel reads them', async () => {
  const place = temporary();
  chmodSync(place, 0o755);
  const [source, dir] = [join(place, 'source'), join(place, 'mnt')];
  for (const each of [source, dir]) mkdirSync(each);
  writeFileSync(join(source, 'open'), 'for all');
  writeFileSync(join(source, 'secret'), 'for root');
  mkdirSync(join(source, 'directory'));
  const args = [compiled('examples/audit.ts'), source, dir, '^secret$'];
  const child = start(process.execPath, args, { cwd: ROOT });
  let said = '';
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (text) => (said += text));
  try {
    await until(() => said.includes('Serving'), 'the mount', 20_000);
    expect(await sh('ls; cat open secret', dir)).toBe('open\nsecret\nfor allfor root');
    await expect(as(1234, '', 'cat secret', dir)).rejects.toThrow(/Permission denied/u);
    // The server stands still, and what is open is read.
    const stopped = `exec 3< open; kill -STOP ${child.pid}; cat <&3; kill -CONT ${child.pid}`;
    expect(await sh(stopped, dir)).toBe('for all');
    await until(() => said.includes('refused'), 'what it says of the refusal');
    expect(said).toMatch(/^secret opened by process \d+ of user 1234: refused$/mu);
    expect(said.match(/^open opened by process \d+ of user 0$/gmu)).toHaveLength(2);
    expect(said).not.toContain('rawfuse:');
    const ended = once(child, 'exit');
    child.kill('SIGINT');
    expect(await ended).toEqual([0, null]);
  } finally {
    child.kill('SIGKILL');
    if (mountAt(dir)) await sh(`umount -l ${dir}`, '/');
    rmSync(place, { recursive: true });
  }
});
