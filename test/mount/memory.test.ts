/** The filesystem of `npm start`, mounted for real and used by real programs. */
import { expect } from 'vitest';
import { MemoryFs } from '../../src/fs/index.ts';
import { kernelTest, mounted, sh } from '../support.ts';

kernelTest('a file is written, read, renamed and removed', async () => {
  await using m = await mounted(new MemoryFs());
  expect(await sh('echo hello > a; cat a; mkdir d; mv a d/b; cat d/b; rm -r d; ls -A', m.dir)).toBe('hello\nhello\n');
});
