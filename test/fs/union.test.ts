/** UnionFs without a mount, its methods called directly: what is on which branch before and after. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EEXIST, EINVAL, ENODATA, ENOENT, ENOSYS, ENOTEMPTY, EROFS, ESTALE, EXDEV } from '../../src/abi/errno.ts';
import { FATTR_MODE, FATTR_SIZE } from '../../src/abi/fuse-constants.ts';
import {
  O_RDONLY,
  O_RDWR,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from '../../src/abi/posix.ts';
import { UnionFs, type UnionOptions } from '../../src/fs/index.ts';
import { temporary } from '../support.ts';
import { at, Client } from './union-support.ts';

let dir: string;
let made: UnionFs[];
beforeEach(() => {
  dir = realpathSync(temporary());
  made = [];
  for (const branch of 'abc') mkdirSync(join(dir, branch));
});
afterEach(() => {
  for (const fs of made) {
    fs.destroy();
    expect(fs.nodes.counted).toEqual([]);
  }
  rmSync(dir, { recursive: true });
});

const on = (path: string) => join(dir, path);
/** Makes files below: `{ 'a/d/f': 'text', 'b/e/': '' }`. */
function below(files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(path.endsWith('/') ? on(path) : dirname(on(path)), { recursive: true });
    if (!path.endsWith('/')) writeFileSync(on(path), text);
  }
}
/** What is below: files with what is in them, directories with a slash. */
function tree(): Record<string, string> {
  const all = readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((path) => path.length > 1);
  return Object.fromEntries(
    all.sort().map((path) => {
      const stat = lstatSync(on(path));
      if (stat.isDirectory()) return [`${path}/`, ''];
      return [path, stat.isSymbolicLink() ? `-> ${readlinkSync(on(path))}` : readFileSync(on(path), 'latin1')];
    }),
  );
}
function serve(options: Record<string, string> = {}, more: Partial<UnionOptions> = {}): Client {
  const branches = ['a', 'b', 'c'].map(on).join(':');
  const fs = new UnionFs({ branches, options: { minfreespace: '0', 'category.create': 'ff', ...options }, ...more });
  made.push(fs);
  return new Client(fs);
}
const modeOf = (path: string) => statSync(on(path)).mode & 0o7777;

describe('what is seen', () => {
  test('of what is a directory on one branch alone is what is in that', () => {
    below({ 'a/d/f': '', 'b/d': 'a file' });
    symlinkSync('nowhere', join(dir, 'c/d'));
    expect(serve().list('d')).toEqual(['f']);
  });
  test('is merged, each name once, by the first branch that has it', () => {
    below({ 'a/d/1': 'a1', 'b/d/1': 'b1', 'b/d/2': 'b2', 'c/d/3': 'c3', 'c/e/': '', 'b/f': 'f' });
    const u = serve();
    expect([u.list(), u.list('d'), u.list('e')]).toEqual([['d', 'e', 'f'], ['1', '2', '3'], []]);
    expect(['d/1', 'd/2', 'd/3'].map((path) => u.read(u.open(path, O_RDONLY).fh))).toEqual(['a1', 'b2', 'c3']);
    expect(() => u.entry('d/4')).toThrow(ENOENT);
    expect(u.entry('d').attr.mode & S_IFMT).toBe(S_IFDIR);
    expect(u.entry('d/1').attr.ino).not.toBe(u.entry('d/2').attr.ino);
  });

  test('a cookie goes on where it was, whatever comes and goes', () => {
    for (let i = 0; i < 30; i++) below({ [`${'abc'[i % 3]}/d/${i}`]: '', [`a/d/${i}`]: '' });
    const u = serve();
    const fh = u.opendir('d');
    const first = u.readdir(fh, 0n, 10);
    for (const { name } of first.slice(2, 5)) u.unlink(`d/${name}`);
    for (let i = 30; i < 60; i++) u.put(`d/${i}`);
    const rest = u.readdir(fh, first.at(-1)!.off);
    const names = [...first, ...rest].map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names.slice().sort()).toEqual(['.', '..', ...Array.from({ length: 30 }, (_, i) => `${i}`)].sort());
    expect(u.readdir(fh, first[4]!.off, 5).map(({ name }) => name)).toEqual(names.slice(5, 10));
    const anew = u.readdir(fh); // from its beginning it is read anew, and who is there still keeps his place
    expect(anew.length).toBe(59);
    const places = new Map([...first, ...rest].map(({ name, off }) => [name, off]));
    const kept = anew.filter(({ name }) => places.has(name));
    expect(kept.map(({ name, off }) => places.get(name) === off)).toEqual(kept.map(() => true));
    u.fs.releasedir(at(1), { fh } as never);
  });

  test('numbers in a listing are those of the files', () => {
    below({ 'a/d/f': '', 'b/d/g': '', 'c/d/e/': '' });
    for (const inodecalc of ['passthrough', 'path-hash', 'devino-hash32', 'hybrid-hash', 'path-hash32']) {
      const u = serve({ inodecalc });
      const fh = u.opendir('d');
      for (const { name, ino } of u.readdir(fh).slice(2)) {
        expect(u.entry(`d/${name}`).attr.ino, `${inodecalc} ${name}`).toBe(ino);
        if (inodecalc.endsWith('32')) expect(ino).toBeLessThan(2n ** 32n);
      }
      u.fs.releasedir(at(1), { fh } as never);
    }
  });

  test('a link has the number of its file, and is one node with it', () => {
    below({ 'b/f': 'x' });
    const u = serve();
    const f = u.entry('f').nodeid;
    u.link('f', 'g');
    expect(u.entry('g').nodeid).toBe(f);
    const h = serve({ inodecalc: 'path-hash' });
    expect(h.entry('g').attr.ino).not.toBe(h.entry('f').attr.ino);
    expect(h.entry('g').nodeid).not.toBe(h.node('f'));
  });

  test('no name leads out of the branches, and no symlink on one is followed', () => {
    below({ 'secret/s': 'secret', 'a/d/f': '' });
    symlinkSync('../secret', on('b/d'));
    const u = serve();
    expect(() => u.entry('d/s')).toThrow(ENOENT);
    expect(u.list('d')).toEqual(['f']);
    for (const name of ['d/f', '../secret', 'a\0b']) expect(() => u.fs.lookup(at(1), { name })).toThrow(EINVAL);
    expect(() => u.fs.unlink(at(1), { name: '..' })).toThrow(EINVAL);
    // Only who asks for it.
    const all = serve({ 'follow-symlinks': 'all' });
    expect(all.read(all.open('d/s', O_RDONLY).fh)).toBe('secret');
  });

  test('a directory that is renamed takes what is below it along', () => {
    below({ 'a/d/e/f': 'text' });
    const u = serve();
    const f = u.node('d/e/f');
    u.rename('d', 'moved');
    expect(u.fs.getattr(at(f), { fh: undefined, getattr_flags: 0 }).attr.size).toBe(4);
    expect(u.node('moved/e/f')).toBe(f);
  });

  test('what was removed is there for those who have it', () => {
    below({ 'a/f': 'text', 'b/d/': '' });
    const u = serve();
    const { fh } = u.open('f');
    const [f, d] = [u.node('f'), u.node('d')];
    u.unlink('f');
    u.rmdir('d');
    const attr = (nodeid: number) => u.fs.getattr(at(nodeid), { fh: undefined, getattr_flags: 0 }).attr;
    expect([attr(f).nlink, attr(f).size, attr(d).nlink, u.read(fh)]).toEqual([0, 4, 0, 'text']);
    expect(() => u.fs.lookup(at(d), { name: 'x' })).toThrow(ESTALE);
    u.put('f', 'another');
    expect([u.node('f') === f, u.read(fh)]).toEqual([false, 'text']);
    const g = u.node('f');
    u.put('h', 'third');
    u.rename('h', 'f');
    expect([attr(g).nlink, attr(g).size, u.entry('f').attr.size]).toEqual([0, 7, 5]);
    u.fs.release(at(f), { fh } as never);
    u.fs.forget(at(f), { nodeid: f, nlookup: 10 });
    expect(() => attr(f)).toThrow(ESTALE);
  });
});

describe('what is made', () => {
  test('goes to the branch of the policy, and takes its directory along with all that it is', () => {
    below({ 'b/d/e/': '', 'c/d/e/': '' });
    chmodSync(on('b/d/e'), 0o2750);
    chownSync(on('b/d/e'), 12, 34);
    chmodSync(on('b/d'), 0o711);
    utimesSync(on('b/d'), 1000, 2000);
    const u = serve();
    u.put('d/e/f', 'text');
    u.mkdir('d/e/g');
    expect(Object.keys(tree())).toEqual(['a/d/', 'a/d/e/', 'a/d/e/f', 'a/d/e/g/', 'b/d/', 'b/d/e/', 'c/d/', 'c/d/e/']);
    const { uid, gid } = statSync(on('a/d/e'));
    expect([modeOf('a/d'), modeOf('a/d/e'), uid, gid]).toEqual([0o711, 0o2750, 12, 34]);
  });

  test('is on all branches with the policy all, but for files', () => {
    below({ 'a/d/': '' });
    const u = serve({ 'category.create': 'all' });
    u.mkdir('d/e');
    u.put('d/f', 'x');
    u.fs.symlink(at(u.node('d')), { name: 'l', target: 't' });
    expect(Object.keys(tree())).toEqual([
      ...['a/d/', 'a/d/e/', 'a/d/f', 'a/d/l', 'b/d/', 'b/d/e/', 'b/d/l', 'c/d/', 'c/d/e/', 'c/d/l'],
    ]);
  });

  test('is refused by the worst that branches say', () => {
    const u = serve({ minfreespace: '9000P'.replace('9000', '7') });
    expect(() => u.put('f')).toThrow(/no space/u);
    const ro = serve({}, { branches: `${on('a')}=RO:${on('b')}=NC` });
    expect(() => ro.put('f')).toThrow(EROFS);
  });

  test('never opens what is there: the kernel has to look again', () => {
    below({ 'b/f': 'somebody’s', 'a/g': '' });
    const u = serve();
    expect(() => u.create('g')).toThrow(ESTALE);
    expect(u.entry('f').attr.size).toBeGreaterThan(0);
  });
});

describe('what is changed', () => {
  test('is changed on all branches that have it and may be changed', () => {
    below({ 'a/f': '123', 'b/f': '123', 'c/f': '123' });
    const u = serve({}, { branches: `${on('a')}:${on('b')}=RO:${on('c')}=NC` });
    u.setattr('f', { valid: FATTR_MODE, mode: S_IFREG | 0o600 });
    u.setattr('f', { valid: FATTR_SIZE, size: 1 });
    expect(['a', 'b', 'c'].map((branch) => modeOf(`${branch}/f`))).toEqual([0o600, 0o644, 0o600]);
    expect(tree()).toEqual({ 'a/f': '1', 'b/f': '123', 'c/f': '1' });
    u.unlink('f');
    expect(tree()).toEqual({ 'b/f': '123' });
    expect(() => u.unlink('f')).toThrow(EROFS);
  });

  test('is removed as a directory where all of it is empty', () => {
    below({ 'a/d/': '', 'b/d/f': '' });
    const u = serve();
    expect(() => u.rmdir('d')).toThrow(ENOTEMPTY);
    expect(Object.keys(tree())).toEqual(['a/d/', 'b/d/', 'b/d/f']);
    u.unlink('d/f');
    u.rmdir('d');
    expect(tree()).toEqual({});
  });
});

describe('rename', () => {
  test('stays on its branches, with the target’s directory cloned, and removes what it replaces elsewhere', () => {
    below({ 'b/f': 'b', 'c/f': 'c', 'a/d/g': 'old', 'b/d/g': 'old' });
    serve().rename('f', 'd/g');
    expect(tree()).toEqual({ 'a/d/': '', 'b/d/': '', 'b/d/g': 'b', 'c/d/': '', 'c/d/g': 'c' });
  });
  test('with a policy that keeps paths is EXDEV where the directory is not', () => {
    below({ 'b/f': 'b', 'a/d/': '' });
    const u = serve({ 'category.create': 'epff' });
    expect(() => u.rename('f', 'd/g')).toThrow(EXDEV);
    expect(Object.keys(tree())).toEqual(['a/d/', 'b/f']);
    u.fs.set('ignorepponrename', 'true');
    u.rename('f', 'd/g');
    expect(Object.keys(tree())).toEqual(['a/d/', 'b/d/', 'b/d/g']);
  });
  test('a directory does not replace one that has something on another branch', () => {
    below({ 'a/d/': '', 'b/e/f': '' });
    const u = serve();
    expect(() => u.rename('d', 'e')).toThrow(ENOTEMPTY);
    expect(() => u.rename('d', 'e', RENAME_NOREPLACE)).toThrow(EEXIST);
    expect(() => u.rename('d', 'x', 1 << 9)).toThrow(EINVAL);
  });
  test('exchanges names wherever they are', () => {
    below({ 'a/f': '1', 'b/d/g': '2', 'c/f': '3', 'c/d/g': '4' });
    const u = serve();
    const [f, g] = [u.node('f'), u.node('d/g')];
    u.rename('f', 'd/g', RENAME_EXCHANGE);
    expect(tree()).toEqual({
      ...{ 'a/d/': '', 'a/d/g': '1', 'b/d/': '', 'b/f': '2' },
      ...{ 'c/d/': '', 'c/d/g': '3', 'c/f': '4' },
    });
    expect([u.node('d/g'), u.node('f')]).toEqual([f, g]);
  });
  test.each(['rel-symlink', 'abs-symlink'])('across branches it leaves a symlink: %s', (how) => {
    below({ 'b/e/f': 'text', 'a/d/': '' });
    const u = serve({ 'category.create': 'epff', 'rename-exdev': how }, { mountpoint: on('mnt') });
    const f = u.node('e/f');
    u.rename('e/f', 'd/g');
    const away = '.mergerfs_rename_exdev/e/f';
    expect(tree()).toMatchObject({
      [`b/${away}`]: 'text',
      'a/d/g': `-> ${how === 'rel-symlink' ? `../${away}` : on(`mnt/${away}`)}`,
    });
    expect(existsSync(on('b/e/f'))).toBe(false);
    expect(u.fs.getattr(at(f), { fh: undefined, getattr_flags: 0 }).attr.size).toBe(4);
  });
});

describe('link', () => {
  test('is made on each branch, with the directory cloned', () => {
    below({ 'b/f': 'b', 'c/f': 'c', 'a/d/': '' });
    serve().link('f', 'd/g');
    expect(Object.keys(tree())).toEqual(['a/d/', 'b/d/', 'b/d/g', 'b/f', 'c/d/', 'c/d/g', 'c/f']);
    expect(statSync(on('b/d/g')).nlink).toBe(2);
  });
  test.each([
    ['rel-symlink', '-> ../f'],
    ['abs-base-symlink', '-> %b/f'],
    ['abs-pool-symlink', '-> %mnt/f'],
  ])('across branches it is a symlink: %s', (how, target) => {
    below({ 'b/f': 'b', 'a/d/': '' });
    const u = serve({ 'category.create': 'epff', 'link-exdev': how }, { mountpoint: on('mnt') });
    const entry = u.link('f', 'd/g');
    expect(entry.attr.mode & S_IFMT).toBe(S_IFREG); // what was linked, as the kernel wants it, for no time
    expect([entry.entry_valid, entry.attr_valid]).toEqual([0, 0]);
    expect(tree()['a/d/g']).toBe(target.replace('%', `${dir}/`));
    expect(u.entry('d/g').attr.mode & S_IFMT).toBe(S_IFLNK);
    u.fs.set('link-exdev', 'passthrough');
    expect(() => u.link('f', 'd/h')).toThrow(EXDEV);
  });
});

describe('what is made in a directory that its branch has not', () => {
  const acl = (path: string) => execFileSync('getfacl', ['-dcp', on(path)], { encoding: 'utf8' }).trim();

  test.runIf(process.geteuid?.() === 0)('finds a clone with the ACLs of the original, and no others', () => {
    below({ 'a/d/e/': '', 'b/d/': '' });
    for (const each of ['a/d', 'b/d']) execFileSync('setfacl', ['-d', '-m', 'u:1234:rwx', on(each)]);
    const u = serve();
    u.fs.set('branches', `${on('a')}=NC:${on('b')}`);
    u.put('d/e/f');
    expect(tree()).toMatchObject({ 'b/d/e/f': '' });
    expect([acl('b/d'), acl('b/d/e')]).toEqual([acl('a/d'), '']);
    expect(acl('b/d')).toContain('user:1234:rwx');
  });

  test('a file that gets its name later is on its branch still', () => {
    below({ 'a/': '', 'b/d/': '' });
    const u = serve();
    const made = u.fs.tmpfile(at(1), {
      mode: S_IFREG | 0o644,
      umask: 0,
      flags: O_RDWR,
      open_flags: 0,
      name: '',
    });
    const [{ nodeid }, { fh }] = [made.entry, made.open]; // what it answers with is filled again
    u.fs.link(at(u.node('d')), { oldnodeid: nodeid, newname: 'named' });
    u.write('d/named', fh, 0, 'text');
    expect(tree()).toEqual({ 'a/d/': '', 'a/d/named': 'text', 'b/d/': '' });
    u.close('d/named', fh);
  });
});

test('a file that is removed and closed is gone, though the kernel counts it', () => {
  below({ 'a/f': '' });
  const u = serve();
  const { nodeid } = u.entry('f');
  const { fh } = u.open('f');
  u.unlink('f');
  const again = () => u.fs.lookup(at(nodeid), { name: '.' });
  expect(again().nodeid).toBe(nodeid);
  u.fs.release(at(nodeid), { fh, flags: 0, release_flags: 0, lock_owner: undefined } as never);
  expect(again).toThrow(ESTALE);
});

describe('the control file', () => {
  test('is there and in no listing, and tells and takes options', () => {
    const u = serve();
    expect([u.entry('.mergerfs').attr.mode, u.list()]).toEqual([S_IFREG | 0o644, []]);
    expect(u.xattr('.mergerfs', 'user.mergerfs.category.create')).toBe('ff');
    u.setxattr('.mergerfs', 'user.mergerfs.category.create', 'mfs');
    expect(u.fs.get('func.create')).toBe('mfs');
    expect(() => u.setxattr('.mergerfs', 'user.mergerfs.nullrw', 'true')).toThrow(EROFS);
    expect(() => u.setxattr('.mergerfs', 'user.mergerfs.category.create', 'x')).toThrow(EINVAL);
    expect(() => u.setxattr('.mergerfs', 'user.mergerfs.cmd.nothing', '')).toThrow(ENODATA);
    u.setxattr('.mergerfs', 'user.mergerfs.cmd.gc', '');
    const names = Buffer.from(u.fs.listxattr(at(u.node('.mergerfs'))))
      .toString()
      .split('\0');
    expect(names).toContain('user.mergerfs.branches');
    for (const name of names.filter(Boolean)) u.xattr('.mergerfs', name);
  });

  test('changes branches, and what is open on one that goes lives on', () => {
    below({ 'a/f': 'a', 'b/g': 'b' });
    mkdirSync(on('new'));
    const u = serve();
    const { fh } = u.open('f');
    u.setxattr('.mergerfs', 'user.mergerfs.branches', '-<');
    expect([u.list(), u.read(fh)]).toEqual([['g'], 'a']);
    u.setxattr('.mergerfs', 'user.mergerfs.branches', `+<${on('new')}=RW,1K`);
    u.put('h');
    expect(existsSync(on('new/h'))).toBe(true);
    expect(u.xattr('.mergerfs', 'user.mergerfs.branches')).toBe(`${on('new')}=RW,1K:${on('b')}=RW:${on('c')}=RW`);
    expect(() => u.setxattr('.mergerfs', 'user.mergerfs.branches', '+/nowhere')).toThrow(EINVAL);
  });

  test('and each file tells where it is', () => {
    below({ 'b/d/f': '', 'c/d/f': '' });
    const u = serve();
    const told = ['basepath', 'relpath', 'fullpath', 'allpaths'].map((each) => u.xattr('d/f', `user.mergerfs.${each}`));
    expect(told).toEqual([on('b'), '/d/f', on('b/d/f'), `${on('b/d/f')}\0${on('c/d/f')}`]);
    expect(() => u.xattr('d/f', 'user.mergerfs.else')).toThrow(ENODATA);
  });
});

describe('options', () => {
  test('symlinkify shows old read-only files as symlinks to themselves', () => {
    below({ 'b/old': 'text', 'b/new': 'text', 'b/open': 'text' });
    for (const name of ['old', 'new']) chmodSync(on(`b/${name}`), 0o444);
    utimesSync(on('b/old'), 1000, 1000);
    const u = serve({ symlinkify: 'true', 'symlinkify-timeout': '0' });
    const types = () => ['old', 'open'].map((name) => u.entry(name).attr.mode & S_IFMT);
    expect(types()[1]).toBe(S_IFREG);
    const { attr, nodeid } = u.entry('old');
    if ((attr.mode & S_IFMT) === S_IFLNK) {
      expect(Buffer.from(u.fs.readlink(at(nodeid)) as Uint8Array).toString()).toBe(on('b/old'));
      expect(attr.size).toBe(on('b/old').length);
    }
    expect(serve({ symlinkify: 'true' }).entry('new').attr.mode & S_IFMT).toBe(S_IFREG);
  });

  test('link-cow breaks a link before it is written to', () => {
    below({ 'b/f': 'text' });
    const u = serve({ 'link-cow': 'true' });
    u.link('f', 'g');
    u.open('g', O_RDONLY);
    expect(statSync(on('b/g')).nlink).toBe(2);
    const { fh } = u.open('g');
    u.write('g', fh, 0, 'more');
    expect(tree()).toEqual({ 'b/f': 'text', 'b/g': 'more' });
  });

  test('nullrw reads and writes nothing', () => {
    below({ 'b/f': 'text' });
    const u = serve({ nullrw: 'true' });
    const { fh } = u.open('f');
    expect([u.write('f', fh, 0, 'more'), u.read(fh, 3), tree()['b/f']]).toEqual([4, '\0\0\0', 'text']);
  });

  test('xattr and security-capability', () => {
    below({ 'a/f': '' });
    const none = serve({ xattr: 'noattr' });
    expect(() => none.setxattr('f', 'user.x', '1')).toThrow(ENODATA);
    expect(() => none.xattr('f', 'user.x')).toThrow(ENODATA);
    expect(none.fs.listxattr(at(none.node('f'))).length).toBe(0);
    expect(none.xattr('f', 'user.mergerfs.relpath')).toBe('/f');
    expect(() => serve({ xattr: 'nosys' }).xattr('f', 'user.x')).toThrow(ENOSYS);
    expect(() => serve({ 'security-capability': 'false' }).xattr('f', 'security.capability')).toThrow(ENODATA);
  });

  test('cache.files says what the kernel keeps of an open file', () => {
    below({ 'a/f': 'x' });
    const flags = (how: string) => {
      const u = serve({ 'cache.files': how });
      return [u.open('f').open_flags, u.open('f').open_flags];
    };
    const modes = ['off', 'partial', 'full', 'auto-full', 'per-process'];
    expect(modes.map(flags)).toEqual([
      [65, 65],
      [0, 0],
      [2, 2],
      [0, 2],
      [65, 65],
    ]);
  });

  test('cache.negative-entry answers what is absent', () => {
    const u = serve({ 'cache.negative-entry': '7', 'cache.entry': '5' });
    expect(u.fs.lookup(at(1), { name: 'x' })).toMatchObject({ nodeid: 0, entry_valid: 7 });
    u.put('x');
    expect(u.entry('x').entry_valid).toBe(5);
  });

  test('statfs counts a filesystem once', () => {
    const u = serve();
    const { blocks, frsize } = u.fs.statfs(at(1)) as { blocks: number; frsize: number };
    const single = serve({}, { branches: on('a') }).fs.statfs(at(1)) as { blocks: number; frsize: number };
    expect([blocks, frsize]).toEqual([single.blocks, single.frsize]);
    expect(serve({ 'statfs-ignore': 'nc' }, { branches: `${on('a')}=NC` }).fs.statfs(at(1)).bavail).toBe(0);
  });
});

test('a path of more than PATH_MAX bytes works like another', () => {
  const u = serve();
  let path = '';
  for (let i = 0; i < 40; i++) {
    path += `${path && '/'}${'é'.repeat(60)}`;
    u.mkdir(path);
  }
  expect(u.list(path)).toEqual([]);
  expect(Buffer.byteLength(path)).toBeGreaterThan(4096);
  execFileSync('rm', ['-r', on('a')]); // node:fs can't
});

test('truncating by path goes to the file of the branch', () => {
  below({ 'c/f': 'text' });
  truncateSync(on('c/f'), 2);
  const u = serve();
  expect(u.read(u.open('f', O_RDWR).fh)).toBe('te');
});
