/** A native filesystem of its own to compare with: mounted empty, without access times, and gone afterwards. */
import { rmdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, temporary } from '../support.ts';

export const KINDS = ['tmpfs', 'ext4'] as const;
export type Kind = (typeof KINDS)[number];

export async function native(kind: Kind): Promise<AsyncDisposable & { readonly dir: string }> {
  const dir = temporary(`rawfuse-${kind}-`);
  const beside = temporary('rawfuse-image-');
  if (kind === 'tmpfs') await run('mount', ['-t', 'tmpfs', '-o', 'noatime,size=256m', 'rawfuse-test', dir]);
  else {
    const image = join(beside, 'image');
    writeFileSync(image, '');
    truncateSync(image, 256 << 20);
    await run('mkfs.ext4', ['-q', '-b', '4096', image]);
    await run('mount', ['-o', 'loop,noatime', image, dir]);
    rmdirSync(join(dir, 'lost+found'));
  }
  return {
    dir,
    async [Symbol.asyncDispose]() {
      await run('umount', ['--lazy', dir]);
      rmdirSync(dir);
      rmSync(beside, { recursive: true });
    },
  };
}
