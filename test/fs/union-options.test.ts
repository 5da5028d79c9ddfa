/** The options of a union: written, read, from a file, at run time. */
import { mkdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EINVAL, ENODATA, EROFS } from '../../src/abi/errno.ts';
import { pageSize } from '../../src/abi/syscall.ts';
import { UnionFs } from '../../src/fs/index.ts';
import { FOREIGN } from '../../src/fs/union/foreign.ts';
import { FUNCTIONS, Options, optionHelp } from '../../src/fs/union/options.ts';
import { mountOptionsOf, servedOptions } from '../../src/fs/union/served.ts';
import { temporary } from '../support.ts';

let dir: string;
beforeAll(() => {
  dir = realpathSync(temporary());
  for (const name of ['a', 'b']) mkdirSync(join(dir, name));
});
afterAll(() => rmSync(dir, { recursive: true }));

test('each option reads as it was written, and has help', () => {
  const options = new Options();
  for (const name of Options.names) {
    const text = options.get(name)!;
    expect(text, name).toBeTypeOf('string');
    if (name !== 'branches' && name !== 'config') options.set(name, text);
    expect(options.get(name), name).toBe(text);
    if (name !== 'branches') expect(optionHelp[name]!.form).toContain(`${name}=`);
  }
  expect(options.values).toEqual(new Options().values);
});

test('what is set later wins, a category being all its functions', () => {
  const options = new Options();
  options.set('func.rmdir', 'rand');
  options.set('category.action', 'ff');
  expect(options.get('func.rmdir')).toBe('ff');
  options.set('func.rmdir', 'rand');
  expect([options.get('func.rmdir'), options.get('func.unlink'), options.get('category.action')]).toEqual([
    ...['rand', 'ff', 'ff,rand'],
  ]);
  const categories = Object.keys(FUNCTIONS).filter((name) => FUNCTIONS[name as keyof typeof FUNCTIONS] === 'search');
  expect(categories.sort()).toEqual(['access', 'getattr', 'getxattr', 'ioctl', 'listxattr', 'open', 'readlink']);
  options.set('flush_on_close', 'never'); // mergerfs takes both spellings
  expect(options.get('flush-on-close')).toBe('never');
});

test.each([
  ['nothing', 'x', 'unknown option nothing'],
  ['category.create', 'mostest', /^option category\.create is mostest: one of all, epall, .* is needed$/u],
  ['func.unlink', '', /^option func\.unlink is empty: one of /u],
  ['link-cow', 'maybe', 'option link-cow is maybe: true or false is needed'],
  ['minfreespace', '4X', /^option minfreespace is 4X: 4X is no size: a number is needed/u],
  ['cache.attr', '-1', 'option cache.attr is -1: a whole number of seconds is needed'],
  ['func.readdir', 'cosr:x', 'option func.readdir is cosr:x: seq, cosr[:N[:M]] or cor[:N[:M]] is needed'],
  ['passthrough.io', 'w', 'option passthrough.io is w: one of off, ro, wo, rw is needed'],
  ['xattr', 'none', 'option xattr is none: one of passthrough, noattr, nosys is needed'],
])('%s=%s is refused', (name, text, message) => expect(() => new Options().set(name, text)).toThrow(message));

describe('options that mergerfs has', () => {
  /** Of its versions 2.33.5 (the manual page) to 2.42 (config.cpp), by their names there. */
  const MERGERFS = `
    allow-idmap async-read atomic-o-trunc auto-cache big-writes branches branches-mount-timeout branches-mount-timeout-fail cache.attr
    cache.entry cache.files cache.files.process-names cache.negative-entry cache.open cache.readdir cache.statfs cache.symlinks
    cache.writeback category.action category.create category.search config debug defaults direct-io direct-io-allow-mmap dropcacheonclose
    export-support flush-on-close follow-symlinks fsname func.access func.chmod func.chown func.create func.getattr func.getxattr func.link
    func.listxattr func.mkdir func.mknod func.open func.readdir func.readlink func.removexattr func.rename func.rmdir func.setxattr
    func.symlink func.truncate func.unlink func.utimens fuse-msg-size gid gid-cache.expire-timeout gid-cache.remove-timeout handle-killpriv
    handle-killpriv-v2 hard-remove ignorepponrename inodecalc kernel-cache kernel-permissions-check lazy-umount-mountpoint link-cow
    link-exdev log.file log.metrics minfreespace mount mountpoint moveonenospc negative-entry never-forget-nodes nfsopenhack no-splice-move
    no-splice-read no-splice-write noforget nonempty nullrw parallel-direct-writes passthrough.io passthrough.max-stack-depth pid
    pin-threads posix-acl process-thread-count process-thread-queue-depth proxy-ioprio read-thread-count readahead remember remember-nodes
    rename-exdev scheduling-priority security-capability splice-move splice-read splice-write srcmounts statfs statfs-ignore symlinkify
    symlinkify-timeout threads uid umask use-ino version xattr
  `
    .trim()
    .split(/\s+/u);

  test('are options here, or taken, or it is said what to do', () => {
    const here = new Set<string>([...Options.names, ...Object.keys(FOREIGN)]);
    expect(MERGERFS.filter((name) => !here.has(name))).toEqual([]);
    expect(Object.keys(FOREIGN).filter((name) => !MERGERFS.includes(name) || Options.names.includes(name))).toEqual([]);
    for (const [name, { taken, instead }] of Object.entries(FOREIGN)) {
      const options = new Options();
      const before = { ...options.values };
      for (const text of taken === 'any' ? ['', 'true', '7'] : taken) options.set(name.replaceAll('-', '_'), text);
      expect(options.values).toEqual(before);
      if (taken === 'any') continue;
      expect(() => options.set(name, 'no such')).toThrow(`option ${name}=no such is not for a union: ${instead}`);
      expect(instead.length, name).toBeGreaterThan(10);
    }
    expect(new Options().get('use-ino'), 'is no option').toBe(undefined);
    expect(() => new Options().change('use-ino', 'true')).toThrow(ENODATA);
  });

  test.each([
    ['1', 1, 4096],
    ['256', 256, 1 << 20],
    ['2M', 512, 2 << 20],
    ['5000', 5000, 5000 * 4096],
    ['5000B', 2, 8192],
  ])('fuse-msg-size=%s is of pages, or a size', (text, count, size) => {
    const options = new Options();
    options.set('fuse-msg-size', text);
    expect(options.get('fuse-msg-size')).toBe(`${count}`);
    expect(mountOptionsOf(options)).toEqual({ maxWrite: size, maxPages: Math.ceil(size / pageSize) });
  });
  test('what is the mount’s is said', () => {
    expect(mountOptionsOf(new Options())).toEqual({});
    const fs = new UnionFs({ branches: join(dir, 'a'), options: { 'posix-acl': 'false', 'allow-idmap': 'true' } });
    expect([fs.mountOptions, fs.promises.includes('POSIX_ACL'), fs.promises.includes('ALLOW_IDMAP')]).toEqual([
      ...[{ defaultPermissions: true }, false, true],
    ]);
    fs.destroy();
    for (const wrong of ['0', '65536', '1X'])
      expect(() => new Options().set('fuse-msg-size', wrong)).toThrow(/^option fuse-msg-size is .* is needed/u);
  });
});

describe('a configuration file', () => {
  const file = (name: string, text: string) => {
    const path = join(dir, name);
    writeFileSync(path, text.replaceAll('%', dir));
    return path;
  };
  test('has an option a line, and may name others', () => {
    const inner = file('inner', 'category.create = mfs\n');
    const options = new Options();
    options.set(
      'config',
      file('outer', `# a comment\n\n  minfreespace = 10G\nconfig=${inner}\nfunc.mkdir=all\nlink-cow\nbranches=%/a\n`),
    );
    expect(
      ['minfreespace', 'func.create', 'func.mkdir', 'link-cow', 'branches', 'config'].map((each) => options.get(each)),
    ).toEqual([...['10G', 'mfs', 'all', 'true', `${dir}/a=RW`, join(dir, 'outer')]]);
  });
  test('is refused with the line that is wrong', () => {
    const wrong = file('wrong', 'link-cow=true\nxattr=some\n');
    expect(() => new Options().set('config', wrong)).toThrow(`${wrong}, line 2: option xattr is some: one of`);
    const own = file('own', 'config=%/own\n');
    expect(() => new Options().set('config', own)).toThrow('more than 5 files that name each other');
    expect(() => new Options().set('config', join(dir, 'absent'))).toThrow('ENOENT');
  });
});

describe('at run time', () => {
  test('what is fixed, unknown or wrong is refused, and nothing changes', () => {
    const { options } = servedOptions({ branches: join(dir, 'a') });
    const changed: string[] = [];
    options.changed = (name) => {
      changed.push(name);
      if (options.get('branches')!.includes('/b')) throw new Error('not that one');
    };
    const before = { ...options.values };
    expect(() => options.change('nothing', 'x')).toThrow(ENODATA);
    expect(() => options.change('cache.writeback', 'true')).toThrow(EROFS);
    expect(() => options.change('category.create', 'mostest')).toThrow(EINVAL);
    expect(() => options.change('branches', `+${dir}/b`)).toThrow(EINVAL);
    expect(options.values).toEqual(before);
    options.change('category.create', 'mfs');
    expect([options.get('func.mknod'), changed]).toEqual(['mfs', ['branches', 'category.create']]);
  });
});

test('files that the kernel reads and writes exclude what has to see that', () => {
  const served = (...options: string[][]) =>
    servedOptions({ branches: join(dir, 'a'), options: Object.fromEntries([['passthrough.io', 'ro'], ...options]) });
  for (const [name, text] of [
    ['moveonenospc', 'mfs'],
    ['nullrw', 'true'],
    ['cache.writeback', 'true'],
  ])
    expect(() => served([name!, text!])).toThrow(
      `passthrough.io=ro and ${name} exclude each other: the server sees no`,
    );
  // By default it is there, and gives way.
  expect(served().options.get('moveonenospc')).toBe('false');
  expect(served(['moveonenospc', 'false']).options.get('passthrough.io')).toBe('ro');
});

test('a branch inside the mount point is refused', () => {
  const served = (branches: string, mountpoint: string) => servedOptions({ branches, mountpoint });
  expect(() => served(join(dir, 'a'), dir)).toThrow(
    `branch ${dir}/a is inside the mount point ${dir}: it would be covered`,
  );
  expect(() => served(join(dir, 'a'), join(dir, 'a'))).toThrow('is inside the mount point');
  served(dir, join(dir, 'a'));
});
