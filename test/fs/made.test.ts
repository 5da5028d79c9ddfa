/** What was made is another file when it is looked at: the client is told so, and no lookup is counted that the kernel would never take back. */
import { existsSync, mkdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { EEXIST } from '../../src/abi/errno.ts';
import { S_IFIFO, S_IFREG } from '../../src/abi/posix.ts';
import { PassthroughFs, UnionFs } from '../../src/fs/index.ts';
import { LowerXattrs } from '../../src/fs/passthrough/xattrs.ts';
import { Renamer } from '../../src/fs/union/rename.ts';
import type { Connection } from '../../src/protocol/connection.ts';
import { temporary } from '../support.ts';
import { at } from './requests.ts';

const ROOT = 1;
let dir: string;
beforeEach(() => {
  dir = realpathSync(temporary());
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(dir, { recursive: true });
});

const FILESYSTEMS = {
  PassthroughFs: () => new PassthroughFs({ source: dir, inodeHandles: 'descriptors' }),
  UnionFs: () => new UnionFs({ branches: dir, options: { minfreespace: '0' } }),
};
const NEW = { name: 'new', umask: 0 };

test.each(Object.entries(FILESYSTEMS))('%s: somebody else has put a file in its place', (_, make) => {
  const fs = make();
  fs.init({ note: () => {}, warn: () => {}, agreed: new Set() } as unknown as Connection);
  mkdirSync(join(dir, 'd'));
  writeFileSync(join(dir, 'd/f'), '');
  const { nodeid } = fs.lookup(at(ROOT), { name: 'd' });
  const old = fs.lookup(at(nodeid), { name: 'f' }).nodeid;
  // Labels are given between the making and the looking.
  const request = at(nodeid);
  const contexts = [{ name: 'security.test', value: Buffer.from('x') }];
  Object.defineProperty(request, 'extensions', { value: { contexts, groups: [] } });
  const replaced = (by: () => void) =>
    vi.spyOn(LowerXattrs.prototype, 'set').mockImplementation(() => {
      rmSync(join(dir, 'd/new'), { recursive: true });
      by();
    });
  const counted = () => fs.nodes.counted.map((node) => [node.nodeid, node.nlookup]);
  const before = counted();
  const calls = {
    mknod: (mode: number) => fs.mknod(request, { ...NEW, mode, rdev: 0 }),
    mkdir: () => fs.mkdir(request, { ...NEW, mode: 0o755 }),
    symlink: () => fs.symlink(request, { name: 'new', target: 'f' }),
  };
  replaced(() => writeFileSync(join(dir, 'd/new'), ''));
  for (const call of [() => calls.mknod(S_IFIFO | 0o644), calls.mkdir, calls.symlink]) {
    expect(call).toThrow(EEXIST);
    expect(existsSync(join(dir, 'd/new')), 'it is somebody else’s').toBe(true);
    rmSync(join(dir, 'd/new'));
  }
  replaced(() => mkdirSync(join(dir, 'd/new')));
  expect(() => calls.mknod(S_IFREG | 0o644)).toThrow(EEXIST);
  if (fs instanceof UnionFs) {
    vi.spyOn(Renamer.prototype, 'link').mockImplementation(() => mkdirSync(join(dir, 'd/linked')));
    expect(() => fs.link(at(nodeid), { oldnodeid: old, newname: 'linked' })).toThrow(EEXIST);
  }
  expect(counted()).toEqual(before);
  fs.forget(at(ROOT), { nodeid: old, nlookup: 1 });
  fs.forget(at(ROOT), { nodeid, nlookup: 1 });
  expect(counted()).toEqual([]);
  fs.destroy();
});
