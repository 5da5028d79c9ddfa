/** Files in a mount that this very thread serves: only the kernel's threads may wait for its answers. */
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { ENOENT } from '../../src/abi/errno.ts';
import { O_CREAT, O_RDWR } from '../../src/abi/posix.ts';
import { MemoryFs } from '../../src/fs/memory/memory.ts';
import { UringFiles } from '../../src/uring/files.ts';
import { USES } from '../../src/uring/registered.ts';
import { kernelTest, mounted } from '../support.ts';
import { uring } from './support.ts';

uring('files', () => {
  describe('with offload', () => {
    kernelTest('work in a mount of their own thread', async () => {
      await using m = await mounted(new MemoryFs());
      await using files = new UringFiles({ offload: true });
      for (const direct of [false, true]) {
        const path = join(m.dir, 'file');
        const file = await files.open(path, O_RDWR | O_CREAT, { direct });
        const data = Buffer.alloc(300_000, 'x');
        await file.writeAll(data, 0);
        await file.fsync();
        expect((await file.readExactly(Buffer.alloc(400_000), 0)).bytes).toBe(data.length);
        for (let i = 0; i < 2 * USES; i++) await file.read(Buffer.alloc(10), 0);
        expect((await files.statx(path)).size).toBe(data.length);
        await files.mkdir(join(m.dir, 'dir'));
        await files.rename(path, join(m.dir, 'dir', 'moved'));
        await expect(files.open(path, O_RDWR)).rejects.toBe(ENOENT);
        await file.ftruncate(5);
        await file.close();
        await files.unlink(join(m.dir, 'dir', 'moved'));
        await files.rmdir(join(m.dir, 'dir'));
      }
    });
  });
});
