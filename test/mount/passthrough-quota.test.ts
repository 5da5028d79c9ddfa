/** What clients hear of a used up quota: EDQUOT, of each call that has one. The system calls that the mount makes are played. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, vi } from 'vitest';
import { EDQUOT } from '../../src/abi/errno.ts';
import { kernelTest, sh } from '../support.ts';
import { passthrough } from './passthrough.ts';
import { python } from './python.ts';

const faults = vi.hoisted(() => ({ full: false }));
/** O_CREAT, and of O_TMPFILE what makes it. */
const MAKES = 0o100 | 0o20_000_000;
vi.mock('../../src/abi/files.ts', async (original) => {
  const real: Record<string, unknown> = await original();
  const made = ['pwrite', 'fallocate', 'mkdirat', 'mknodat', 'symlinkat', 'linkat', 'setxattr'];
  const faulty = made.map((name) => {
    const call = real[name] as (...args: unknown[]) => number;
    return [name, (...args: unknown[]) => (faults.full ? -EDQUOT.errno : call(...args))];
  });
  const openat = real.openat as (...args: number[]) => number;
  const creates = (...args: number[]) => (faults.full && args[2]! & MAKES ? -EDQUOT.errno : openat(...args));
  return { ...real, ...Object.fromEntries(faulty), openat: creates };
});

kernelTest('EDQUOT reaches the client, and the mount goes on', async () => {
  await using m = await passthrough({ kernelPassthrough: false });
  await sh('echo kept > kept', m.dir);
  faults.full = true;
  try {
    const [said] = await python(
      m.dir,
      `
fd = os.open(P('kept'), os.O_RDWR)
say([
  result(os.pwrite, fd, b'x' * 8192, 0), result(os.posix_fallocate, fd, 0, 1 << 20),
  result(os.open, P('f'), os.O_CREAT | os.O_RDWR), result(os.open, P(), os.O_TMPFILE | os.O_RDWR),
  result(os.mkdir, P('d')), result(os.mkfifo, P('p')), result(os.symlink, 'kept', P('l')),
  result(os.link, P('kept'), P('h')), result(os.setxattr, P('kept'), 'user.a', b'v'),
  os.listdir(P()), slurp('kept'),
])
`,
    );
    expect(said).toEqual([...Array(9).fill('EDQUOT'), ['kept'], 'kept\n']);
  } finally {
    faults.full = false;
  }
  await sh('echo more >> kept; mkdir d', m.dir);
  expect(readFileSync(join(m.source, 'kept'), 'latin1')).toBe('kept\nmore\n');
});
