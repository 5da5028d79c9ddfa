/**
 * What threads share of a union, without threads: two UnionFs over the same memory, called by turns. What one does the other has to
 * know: nodes and their names, open files and directories, options, branches.
 */
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { EBADF, ENOENT, ENOSPC, ESTALE } from '../../src/abi/errno.ts';
import { O_RDWR, S_IFREG } from '../../src/abi/posix.ts';
import { UnionFs } from '../../src/fs/index.ts';
import { Data } from '../../src/fs/passthrough/data.ts';
import { SharedCells } from '../../src/fs/shared/cells.ts';
import { LockError } from '../../src/fs/shared/lock.ts';
import { acquireShared, releaseShared } from '../../src/fs/shared/rwlock.ts';
import { shareUnion, type UnionShared } from '../../src/fs/union/shared.ts';
import { Turns } from '../../src/fs/union/turns.ts';
import { WORDS } from '../../src/fs/union/words.ts';
import { check } from '../mount/union-shared/check.ts';
import { temporary } from '../support.ts';
import { at, Client } from './union-support.ts';

let dir: string;
let one: Client;
let other: Client;
let before: number;
let shared: UnionShared;
const descriptors = () => readdirSync('/proc/self/fd').length;
beforeEach(() => {
  dir = temporary();
  for (const branch of 'abc') mkdirSync(join(dir, branch));
  before = descriptors();
  begin();
});
afterEach(() => {
  vi.restoreAllMocks();
  one.fs.destroy();
  expect(other.fs.nodes.size, 'the first to end takes nothing from the other').toBeGreaterThan(0);
  other.fs.destroy();
  expect(other.fs.nodes.size, 'nodes but the root and the control file').toBe(2);
  expect(descriptors()).toBe(before);
  rmSync(dir, { recursive: true });
});
function begin(options: Record<string, string> = {}): void {
  const branches = ['a', 'b'].map((each) => join(dir, each)).join(':');
  shared = shareUnion({ branches, options: { minfreespace: '0', 'category.create': 'ff', ...options } });
  [one, other] = [new Client(new UnionFs(shared)), new Client(new UnionFs(shared))];
}
/** Ends those that are there, and begins with other options. */
function again(options: Record<string, string>): void {
  for (const each of [one, other]) each.fs.destroy();
  begin(options);
}

describe('nodes', () => {
  test('a name is the same node for both, and its lookups are counted together', () => {
    one.mkdir('d');
    one.put('d/f', 'text');
    const nodeid = one.node('d/f');
    expect(other.node('d/f')).toBe(nodeid);
    const { nlookup } = other.fs.nodes.get(nodeid);
    for (const fs of [one.fs, other.fs]) fs.forget(at(0), { nodeid, nlookup: 1 });
    expect(one.fs.nodes.get(nodeid).nlookup).toBe(nlookup - 2);
  });
  test('a directory that one renames has another path for the other, below it too', () => {
    one.mkdir('d');
    one.mkdir('d/e');
    one.put('d/e/f', 'text');
    const { nodeid } = other.entry('d/e/f');
    one.rename('d', 'moved');
    const { attr } = other.fs.getattr(at(nodeid), { fh: undefined, getattr_flags: 0 });
    expect(attr.size).toBe(4);
    expect(other.xattr('moved/e/f', 'user.mergerfs.relpath')).toBe('/moved/e/f');
    expect(() => other.entry('d')).toThrow(ENOENT);
  });
  test('what one removes while the other has it is held, by whoever is left', () => {
    one.put('f', 'text');
    const nodeid = other.node('f');
    const { fh } = other.open('f');
    one.unlink('f');
    expect(other.read(fh)).toBe('text');
    expect(one.fs.getattr(at(nodeid), { fh: undefined, getattr_flags: 0 }).attr.nlink).toBe(0);
    one.fs.release(at(nodeid), { fh, flags: 0 } as never);
    expect(() => other.read(fh)).toThrow(EBADF);
    const { nlookup } = one.fs.nodes.get(nodeid);
    other.fs.forget(at(0), { nodeid, nlookup });
    expect(() => one.fs.nodes.get(nodeid)).toThrow(ESTALE);
  });
  test('names of one file are one node, whoever looks them up', () => {
    one.put('f', 'text');
    one.link('f', 'g');
    expect(other.node('g')).toBe(one.node('f'));
    other.unlink('f');
    expect(one.xattr('g', 'user.mergerfs.relpath')).toBe('/g');
  });
  test('a file that was held is let go of when another of its names is found', () => {
    one.put('f', 'text');
    for (const name of ['g', 'h']) linkSync(join(dir, 'a/f'), join(dir, 'a', name));
    const nodeid = one.node('f');
    other.unlink('f');
    const open = descriptors();
    expect(one.fs.held).toBe(1);
    expect(other.node('g')).toBe(nodeid);
    expect([one.fs.held, descriptors()]).toEqual([0, open - 1]);
  });
  test('a node whose identity another one has got has none', () => {
    for (const name of ['f', 'g']) one.put(name, name);
    linkSync(join(dir, 'a/f'), join(dir, 'a/h'));
    const [f, g] = [one.node('f'), one.node('g')];
    rmSync(join(dir, 'a/g'));
    linkSync(join(dir, 'a/f'), join(dir, 'a/g')); // now it is f, and its node has been another one
    expect([one.node('f'), one.node('g')]).toEqual([f, g]);
    check(shared);
    expect(other.node('h')).toBe(g);
    for (const { nodeid, nlookup } of one.fs.nodes.counted) one.fs.forget(at(0), { nodeid, nlookup });
    check(shared);
  });
  test('two names change places for both', () => {
    one.mkdir('d');
    one.put('d/x', 'x');
    one.put('f', 'f');
    const [d, f] = [other.node('d'), other.node('f')];
    one.rename('d', 'f', 2);
    expect([other.node('f'), other.node('d')]).toEqual([d, f]);
    expect(other.list('f')).toEqual(['x']);
  });
  test('a node leaves with its last lookup, and its directories with it', () => {
    one.mkdir('d');
    one.mkdir('d/e');
    one.put('d/e/f', 'text');
    for (const each of other.fs.nodes.counted) other.fs.forget(at(0), { nodeid: each.nodeid, nlookup: each.nlookup });
    expect(one.fs.nodes.size).toBe(2);
    expect(one.list('d/e')).toEqual(['f']);
  });
});

describe('a lock that is not given back', () => {
  test('is waited for as long as no thread has ended, and no longer', () => {
    one.put('f', 'text');
    const cells = new SharedCells(shared.words);
    const waiting = new Client(new UnionFs(shared, {}, Math.random, { patience: 100, spins: 0 }));
    acquireShared(cells, WORDS.PATHS_LOCK); // by a thread that looks something up, and dies
    const { load } = SharedCells.prototype;
    let asked = 0;
    vi.spyOn(SharedCells.prototype, 'load').mockImplementation(function (this: SharedCells, at) {
      if (at !== WORDS.ENDING) return load.call(this, at);
      return ++asked < 3 ? 0 : 1;
    });
    expect(() => waiting.unlink('f')).toThrow(LockError);
    expect(asked).toBe(3);
    expect(existsSync(join(dir, 'a/f'))).toBe(true);
    vi.restoreAllMocks();
    releaseShared(cells, WORDS.PATHS_LOCK);
    waiting.unlink('f');
    waiting.fs.destroy();
  });
});

describe('what is open', () => {
  test('a file that one has made is read, written and closed by the other', () => {
    const fh = one.create('f', 'text');
    expect(other.read(fh)).toBe('text');
    other.write('f', fh, 4, ', more');
    expect(one.read(fh)).toBe('text, more');
    expect([one.fs.opened, other.fs.opened]).toEqual([1, 1]);
    other.close('f', fh);
    expect(one.fs.opened).toBe(0);
    expect(() => one.read(fh)).toThrow(EBADF);
  });
  test('a directory that one has opened is listed by the other, from where it was', () => {
    for (const name of ['f', 'g', 'h', 'sch\u00f6n', 'x\udcff']) one.put(name);
    writeFileSync(join(dir, 'b/i'), '');
    const fh = one.opendir('');
    const first = one.readdir(fh, 0n, 3);
    one.unlink('h');
    const rest = other.readdir(fh, first.at(-1)!.off);
    const all = [...first, ...rest].map(({ name }) => name).filter((name) => !/^\.+$/u.test(name));
    expect(all.sort()).toEqual(['f', 'g', 'h', 'i', 'sch\u00f6n', 'x\udcff']);
    expect(new Set([...first, ...rest].map(({ ino }) => ino)).size).toBe(all.length + 2 - 1); // "." and ".." of the root are one
    other.fs.releasedir(at(1), { fh } as never);
    expect(() => one.readdir(fh)).toThrow(EBADF);
    expect(one.fs.opened).toBe(0);
  });
  test('what was moved for want of space goes on where it is, for both', () => {
    again({ moveonenospc: 'ff' });
    const [first, second] = [one.create('f', 'text'), other.open('f').fh];
    const { write } = Data.prototype;
    let refused = false;
    vi.spyOn(Data.prototype, 'write').mockImplementation(function (this: Data, args) {
      if (!refused) {
        refused = true;
        throw ENOSPC;
      }
      return write.call(this, args);
    });
    one.write('f', first, 4, ', more');
    expect([readdirSync(join(dir, 'a')), readFileSync(join(dir, 'b/f'), 'utf8')]).toEqual([[], 'text, more']);
    other.write('f', second, 0, 'TEXT');
    expect(one.read(first)).toBe('TEXT, more');
    expect(other.xattr('f', 'user.mergerfs.basepath')).toBe(join(dir, 'b'));
    one.close('f', second);
    other.close('f', first);
  });
});

describe('options and branches', () => {
  test('a change by one is followed by the other at its next operation', () => {
    one.setxattr('.mergerfs', 'user.mergerfs.category.create', 'lus');
    other.list();
    expect(other.fs.get('func.create')).toBe('lus');
    other.fs.set('cache.attr', '7');
    expect(one.entry('.mergerfs').attr_valid).toBe(7);
    expect(() => one.fs.set('branches', join(dir, 'nowhere'))).toThrow();
    expect(other.fs.get('branches')).toBe(one.fs.get('branches'));
  });
  test('a branch that comes is served by both, one that goes lives on in open files', () => {
    const fh = one.create('f', 'text');
    one.fs.set('branches', `+>${join(dir, 'c')}`);
    writeFileSync(join(dir, 'c/g'), 'c');
    expect(other.list()).toEqual(['f', 'g']);
    other.fs.set('branches', `-${join(dir, 'a')}`);
    expect(one.list()).toEqual(['g']);
    expect(one.read(fh)).toBe('text');
    expect(one.fs.getattr(at(1), { fh, getattr_flags: 0 }).attr.size).toBe(4);
    expect([one, other].map(({ fs }) => fs.branches.map(({ path, number }) => [path.at(-1), number]))).toEqual([
      [
        ['b', 1],
        ['c', 2],
      ],
      [
        ['b', 1],
        ['c', 2],
      ],
    ]);
    one.fs.release(at(1), { fh, flags: 0 } as never);
    one.fs.set('branches', `+<${join(dir, 'a')}`);
    expect(other.list()).toEqual(['f', 'g']);
  });
  test('what is known of space is forgotten by both', () => {
    again({ 'cache.statfs': '1000' });
    const spaces = () => other.fs.spaces().map(({ space }) => space);
    const [known] = spaces();
    expect(spaces()[0]).toBe(known);
    one.setxattr('.mergerfs', 'user.mergerfs.cmd.gc', '');
    other.list();
    expect(spaces()[0]).not.toBe(known);
  });
  test('what needs a directory to be cloned is done alone, what does not is done with others', () => {
    one.mkdir('d');
    const { nodeid } = one.entry('d');
    const alone = vi.spyOn(Turns.prototype, 'alone');
    const create = (name: string) =>
      other.fs.create(at(nodeid), { name, mode: S_IFREG | 0o644, umask: 0, flags: O_RDWR, open_flags: 0 });
    create('f');
    expect(alone).not.toHaveBeenCalled();
    one.fs.set('branches', `=${join(dir, 'b')}:${join(dir, 'a')}`);
    create('g');
    expect(alone).toHaveBeenCalledOnce();
    expect(['a/d', 'b/d'].map((each) => readdirSync(join(dir, each)))).toEqual([['f'], ['g']]);
  });
});
