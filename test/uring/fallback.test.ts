/** Files where there is no io_uring to be had: threads carry them out, and nobody has to ask for it. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { ENOENT } from '../../src/abi/errno.ts';
import { O_CREAT, O_RDONLY, O_RDWR } from '../../src/abi/posix.ts';
import { UringFiles } from '../../src/uring/files.ts';
import { UringError } from '../../src/uring/setup.ts';

/** What the ring's constructor throws. */
const thrown = vi.hoisted(() => ({ error: undefined as unknown }));
vi.mock('../../src/uring/ring.ts', () => ({
  Ring: class {
    constructor() {
      throw thrown.error;
    }
  },
}));

test.each(['disabled', 'forbidden', 'absent', 'too-old', 'failed'] as const)('io_uring is %s', async (reason) => {
  thrown.error = new UringError(reason, 'none in this test');
  const dir = mkdtempSync(join(tmpdir(), 'rawfuse-fallback-'));
  try {
    await using files = new UringFiles();
    await using file = await files.open(join(dir, 'f'), O_RDWR | O_CREAT, { mode: 0o600 });
    expect(files.engine.kind).toBe('threads');
    await file.writeAll(Buffer.from('hello'), 3);
    await file.fdatasync();
    expect((await file.readExactly(Buffer.alloc(10), 0)).bytes).toBe(8);
    expect((await file.statx()).size).toBe(8);
    expect(readFileSync(join(dir, 'f'), 'latin1')).toBe('\0\0\0hello');
    await expect(files.open(join(dir, 'absent'), O_RDONLY)).rejects.toBe(ENOENT);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('what is wrong with the options is told, and not worked around', () => {
  thrown.error = new RangeError('entries is 0');
  const files = new UringFiles({ entries: 0 });
  expect(() => files.engine).toThrow(RangeError);
});
