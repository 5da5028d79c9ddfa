/** What the command does before a union is mounted: branches that are to be mounted are waited for, or not. */
import { mkdirSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { pageSize } from '../../src/abi/syscall.ts';
import { union } from '../../tools/cli/union.ts';
import { temporary } from '../support.ts';

let dir: string;
beforeEach(() => {
  dir = realpathSync(temporary());
  for (const name of ['branch', 'mnt']) mkdirSync(join(dir, name));
});
afterEach(() => rmSync(dir, { recursive: true }));
const prepared = async (options: Record<string, string>, branches = join(dir, 'branch')) => {
  const begin = performance.now();
  await union.prepare!(options, branches, join(dir, 'mnt'));
  return performance.now() - begin;
};

test('branches that are not mounted in time are served as they are, or refused', async () => {
  const late = { 'branches-mount-timeout': '1' };
  const fails = prepared({ ...late, 'branches-mount-timeout-fail': 'true' });
  await Promise.all([
    expect(prepared(late)).resolves.toBeGreaterThanOrEqual(1000),
    expect(fails).rejects.toThrow(
      `nothing is mounted at ${join(dir, 'branch')}: it is the filesystem of ${join(dir, 'mnt')}`,
    ),
  ]);
});
test('only those are named, and nobody waits for one that is on another filesystem', async () => {
  const options = { 'branches-mount-timeout': '0', 'branches-mount-timeout-fail': 'true' };
  await prepared({ ...options, 'branches-mount-timeout': '20' }, '/proc/self/task'); // no filesystem of ours
  await expect(prepared(options, `/proc/self/task:${join(dir, 'branch')}`)).rejects.toThrow(
    `nothing is mounted at ${join(dir, 'branch')}: it is`,
  );
});

test('what is the mount’s of its options is told the mount', () => {
  const of = (options: Record<string, string>) => union.mountOptions!(options, join(dir, 'branch'), join(dir, 'mnt'));
  expect(of({})).toEqual({});
  expect(of({ 'fuse-msg-size': '1M', posix_acl: 'false' })).toEqual({
    ...{ maxWrite: 1 << 20, maxPages: (1 << 20) / pageSize, defaultPermissions: true },
  });
  // What the mount has by the same name is the mount's; mergerfs' other names are the union's.
  for (const name of ['link-cow', 'link_cow', 'use_ino', 'use-ino', 'scheduling-priority'])
    expect(union.spellings, name).toContain(name);
  for (const name of ['threads', 'umask', 'async_read', 'direct_io']) expect(union.spellings, name).not.toContain(name);
});
