/**
 * A kernel with fuse.enable_uring=N. The switch is the machine's, so this runs when all other tests are done
 * (vitest.config.ts), and puts it back.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect } from 'vitest';
import { MemoryFs } from '../../../src/fs/index.ts';
import { mount } from '../../../src/mount.ts';
import { PARAMETER } from '../../../src/uring/transport-system.ts';
import { kernelTest, mounted, run, sh, temporary } from '../../support.ts';

const read = () => readFileSync(PARAMETER, 'latin1').trim();
let before: string | undefined;
beforeAll(() => {
  try {
    before = read();
    writeFileSync(PARAMETER, 'N');
  } catch {
    before = undefined; // no such kernel: the tests say so
  }
});
afterAll(() => {
  if (before !== undefined) writeFileSync(PARAMETER, before);
});

kernelTest('fuse.enable_uring=N: a ring that was asked for is refused in one line that says what to do', async () => {
  expect(before, PARAMETER).toBeDefined();
  const dir = temporary();
  await expect(mount(new MemoryFs(), dir, { transport: 'uring' })).rejects.toThrow(
    /^[^\n]*switched off[^\n]*echo Y > \/sys\/module\/fuse\/parameters\/enable_uring[^\n]*$/u,
  );
  await run('rmdir', [dir]); // nothing is mounted on it
  expect(read(), 'the library never switches it').toBe('N');
});

kernelTest('fuse.enable_uring=N: by itself a mount takes the device', async () => {
  await using m = await mounted(new MemoryFs(), { transport: 'auto' });
  expect(m.mount.session.transport).toBe('device');
  expect(await sh('echo hello > file; cat file', m.dir)).toBe('hello\n');
});
