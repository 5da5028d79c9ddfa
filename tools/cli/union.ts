/** The union filesystem as it is mounted from the command line; its options are those of mergerfs. */
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MNT_DETACH, UMOUNT_NOFOLLOW } from '../../src/abi/posix.ts';
import { umount2 } from '../../src/abi/syscall.ts';
import { UnionFs, type UnionOptions } from '../../src/fs/index.ts';
import { Options, optionHelp } from '../../src/fs/union/options.ts';
import { mountOptionsOf, type Served, servedOptions } from '../../src/fs/union/served.ts';
import { mountAt } from '../../src/mountinfo.ts';
import { mountOptions } from '../../src/options.ts';
import { Failure, mountPath, UsageError } from './command.ts';
import type { Mountable } from './mount.ts';

type Own = Readonly<Record<string, string>>;

const wishes = (options: Own, branches: string, directory: string): UnionOptions => ({
  ...{ branches, options, mountpoint: resolve(directory) },
});
/** Wrong usage, in one line, is what the options say of themselves. */
function checked(options: UnionOptions): Served {
  try {
    return servedOptions(options);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** How often branches are looked at that are to be mounted, in ms. */
const PATIENCE = 250;

export const union: Mountable = {
  name: 'union',
  title: 'a union',
  source: 'branches',
  options: optionHelp,
  module: new URL(`../../src/fs/union/union-module.${import.meta.url.split('.').at(-1)}`, import.meta.url),
  told: (own, branches, directory) => {
    const options = wishes(own, branches, directory);
    checked(options);
    return options;
  },
  // What the mount has by the same name is the mount's.
  spellings: Options.spellings.filter((name) => !Object.hasOwn(mountOptions, name)),
  mountOptions: (own, branches, directory) => mountOptionsOf(checked(wishes(own, branches, directory)).options),
  make(own, branches, directory) {
    const options = wishes(own, branches, directory);
    checked(options);
    try {
      return new UnionFs(options);
    } catch (error) {
      throw new Failure(`can't serve ${branches}: ${(error as Error).message}`);
    }
  },
  async prepare(own, branches, directory) {
    const { values } = checked(wishes(own, branches, directory)).options;
    const path = await mountPath(directory);
    // Whatever it is: of whoever serves it nothing is asked.
    if (values['lazy-umount-mountpoint'])
      while (mountAt(path) !== undefined) umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH);
    const end = performance.now() + values['branches-mount-timeout'] * 1000;
    for (;;) {
      const here = (await stat(path)).dev;
      const missing: string[] = [];
      for (const each of values.branches) if ((await stat(each.path)).dev === here) missing.push(each.path);
      if (missing.length === 0) return;
      if (performance.now() >= end) {
        if (values['branches-mount-timeout-fail'])
          throw new Failure(`nothing is mounted at ${missing.join(', ')}: it is the filesystem of ${path}`);
        return;
      }
      await sleep(PATIENCE);
    }
  },
};
