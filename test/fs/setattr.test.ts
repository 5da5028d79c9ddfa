/** SETATTR that says nothing, with the time of a chown(2) or without: it takes setuid and setgid, on every filesystem that comes with the library. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { FATTR_ATIME, FATTR_CTIME, FATTR_MTIME } from '../../src/abi/fuse-constants.ts';
import { O_RDWR, S_IFREG } from '../../src/abi/posix.ts';
import { MemoryFs, PassthroughFs, UnionFs } from '../../src/fs/index.ts';
import { temporary } from '../support.ts';
import { at } from './requests.ts';

const KINDS = {
  MemoryFs: () => new MemoryFs(),
  PassthroughFs: (source: string) => new PassthroughFs({ source }),
  UnionFs: (branches: string) => new UnionFs({ branches, options: { minfreespace: '0' } }),
} as const;
const TIMES = { ctime: 1, ctimensec: 2, atime: 3, atimensec: 4, mtime: 5, mtimensec: 6 };

test.each(Object.entries(KINDS))('%s', async (_, make) => {
  const dir = temporary();
  mkdirSync(join(dir, 'lower'));
  const fs = make(join(dir, 'lower'));
  try {
    const args = { name: 'f', mode: S_IFREG | 0o6755, umask: 0, flags: O_RDWR, open_flags: 0 };
    const modes: string[] = [];
    // The last is what a writeback cache tells of times: the bits are no matter of it.
    for (const [i, valid] of [0, FATTR_CTIME, FATTR_ATIME | FATTR_MTIME | FATTR_CTIME].entries()) {
      const { entry, open } = await fs.create(at(1), { ...args, name: `f${i}` });
      const { nodeid } = entry;
      const { attr } = await fs.setattr(at(nodeid), { valid, ...TIMES } as never);
      modes.push((attr.mode & 0o7777).toString(8));
      await fs.release(at(nodeid), { fh: open!.fh, flags: 0 } as never);
    }
    expect(modes).toEqual(['755', '755', '6755']);
  } finally {
    fs.destroy?.();
    rmSync(dir, { recursive: true });
  }
});
