/** Options of UnionFs on a mount, as a client sees them, and its branches. */
import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import type { TraceEvent } from '../../src/protocol/trace.ts';
import { kernelTest, lacking, run, sh, temporary, until } from '../support.ts';
import { mountMapped } from './idmap.ts';
import { as } from './passthrough.ts';
import { type UnionMount, union } from './union.ts';

let m: UnionMount;
beforeAll(async () => {
  if (lacking !== undefined) return;
  const options = { 'category.create': 'ff', 'cache.entry': '0', 'cache.attr': '0' };
  m = await union({ kind: 'ext4', branches: 2, options });
});
afterAll(async () => {
  if (lacking === undefined) await m[Symbol.asyncDispose]();
});
const on = (i: number, path: string) => join(m.branches[i]!, path);

kernelTest('dropcacheonclose: what a branch’s file has in the page cache goes when it is closed', async () => {
  writeFileSync(on(0, 'cached'), Buffer.alloc(1 << 20, 'x'));
  await run('sync', [on(0, 'cached')]);
  const cached = async () =>
    Number(await run('fincore', ['--noheadings', '--bytes', '--output', 'RES', on(0, 'cached')]));
  m.filesystem.set('dropcacheonclose', 'false');
  await sh('cat cached > /dev/null', m.dir);
  await until(() => m.filesystem.opened === 0, 'it to be closed');
  expect(await cached()).toBe(1 << 20);
  m.filesystem.set('dropcacheonclose', 'true');
  await sh('cat cached > /dev/null', m.dir);
  await until(() => m.filesystem.opened === 0, 'it to be closed');
  expect(await cached()).toBe(0);
  m.filesystem.set('dropcacheonclose', 'false');
});

kernelTest('symlinkify, link-cow, follow-symlinks: what a client sees, and what becomes of the branch', async () => {
  const outside = temporary();
  try {
    writeFileSync(on(1, 'old'), 'text', { mode: 0o444 });
    writeFileSync(on(1, 'kept'), 'text', { mode: 0o644 });
    m.filesystem.set('symlinkify-timeout', '0');
    m.filesystem.set('symlinkify', 'true');
    expect(await sh('readlink old; cat old; stat -c "%F %s" old kept', m.dir)).toBe(
      `${on(1, 'old')}\ntextsymbolic link ${on(1, 'old').length}\nregular file 4\n`,
    );
    m.filesystem.set('symlinkify', 'false');
    expect(await sh('stat -c %F old; cat old', m.dir)).toBe('regular file\ntext');

    const names = () => sh('ln kept link; echo more >> link; stat -c %h kept link; cat kept link; rm link', m.dir);
    expect(await names()).toBe('2\n2\ntextmore\ntextmore\n');
    m.filesystem.set('link-cow', 'true');
    expect(await names()).toBe('1\n1\ntextmore\ntextmore\nmore\n');
    m.filesystem.set('link-cow', 'false');

    mkdirSync(join(outside, 'd'));
    writeFileSync(join(outside, 'd/in'), 'in');
    writeFileSync(join(outside, 'f'), 'f');
    for (const name of ['d', 'f']) symlinkSync(join(outside, name), on(1, `to ${name}`));
    symlinkSync('nowhere', on(1, 'to nothing'));
    const types: Record<string, string[]> = {};
    for (const how of ['never', 'directory', 'regular', 'all']) {
      m.filesystem.set('follow-symlinks', how);
      types[how] = (await sh('stat -c %F to\\ d to\\ f to\\ nothing', m.dir)).trim().split('\n');
    }
    expect(types).toEqual({
      never: ['symbolic link', 'symbolic link', 'symbolic link'],
      directory: ['directory', 'symbolic link', 'symbolic link'],
      regular: ['symbolic link', 'regular file', 'symbolic link'],
      all: ['directory', 'regular file', 'symbolic link'],
    });
    expect(await sh('ls to\\ d; cat to\\ d/in to\\ f; echo > to\\ d/new', m.dir)).toBe('in\ninf');
    m.filesystem.set('follow-symlinks', 'never');
    expect(readFileSync(on(1, 'old'), 'utf8')).toBe('text');
  } finally {
    rmSync(outside, { recursive: true });
  }
});

kernelTest('nullrw, fuse-msg-size, posix-acl, allow-idmap: what is agreed with the kernel', async () => {
  const sizes: number[] = [];
  const trace = (event: TraceEvent) => {
    if (event.kind === 'request' && event.operation === 'WRITE') sizes.push((event.args as { size: number }).size);
  };
  const options = {
    ...{ 'category.create': 'ff', 'cache.attr': '0', 'cache.files': 'off', nullrw: 'true', 'fuse-msg-size': '2' },
    ...{ 'posix-acl': 'false', 'allow-idmap': 'true' },
  };
  await using other = await union({ branches: 1, options, mount: { trace } });
  const below = (path: string) => join(other.branches[0]!, path);
  await sh('dd if=/dev/urandom of=f bs=64k count=1 status=none', other.dir);
  expect([statSync(below('f')).size, sizes]).toEqual([0, Array(8).fill(8192)]);
  writeFileSync(below('f'), 'text');
  expect(await sh('head -c 4 f | od -An -tx1', other.dir)).toBe(' 00 00 00 00\n');

  // An ACL counts above where that was asked for, and the permission bits alone where it was not.
  for (const [mount, acl] of [
    [m, true],
    [other, false],
  ] as const) {
    const file = join(mount.branches[0]!, 'acl');
    writeFileSync(file, 'text', { mode: 0o600 });
    await run('setfacl', ['-m', 'u:1234:r', file]);
    const read = as(1234, '', 'head -c 4 acl | wc -c', mount.dir);
    if (acl) expect(await read).toBe('4\n');
    else expect(await read).toBe('0\n');
  }

  const target = temporary();
  chmodSync(other.branches[0]!, 0o777);
  chownSync(below('f'), 1000, 1000);
  await mountMapped(other.dir, target, 1000, 5000);
  try {
    expect(await sh('stat -c %u:%g f', target)).toBe('5000:5000\n');
    await as(5000, '', 'echo > g; mkdir d', target);
    for (const name of ['g', 'd']) expect(statSync(below(name))).toMatchObject({ uid: 1000, gid: 1000 });
    mkdirSync(below('theirs'), { mode: 0o755 });
    await expect(as(5000, '', 'echo > theirs/h', target)).rejects.toThrow('Permission denied');
  } finally {
    await run('umount', ['--lazy', target]);
    rmSync(target, { recursive: true });
  }
});
