/** The longer cases of test/posix/suite.ts, written in shell and JavaScript, on a real mount: held to what a native filesystem does. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { MemoryFs } from '../../src/fs/index.ts';
import { posix } from '../posix/suite.ts';
import { kernelTest, mounted } from '../support.ts';

/** A directory on tmpfs, or where the system keeps its temporary files: what Linux does, we expect. */
const native = (): string => mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'rawfuse-native-'));

for (const [name, check] of Object.entries(posix))
  kernelTest(`as a native filesystem does: ${name}`, async () => {
    const dir = native();
    let expected: unknown;
    try {
      expected = await check(dir);
    } finally {
      rmSync(dir, { recursive: true });
    }
    await using m = await mounted(new MemoryFs());
    expect(await check(m.dir)).toEqual(expected);
  });
