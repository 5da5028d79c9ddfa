/**
 * Listings that are remembered: told without reading, as long as they are what would be read. What is changed is changed on the branches,
 * behind the back of the union.
 */
import { spawnSync } from 'node:child_process';
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { EIO } from '../../src/abi/errno.ts';
import { fuse_statx } from '../../src/abi/fuse.ts';
import { UnionFs } from '../../src/fs/index.ts';
import { Scratch } from '../../src/fs/passthrough/scratch.ts';
import { Getdents } from '../../src/fs/union/reading.ts';
import type { Dirent } from '../../src/protocol/dirent.ts';
import { Random, seed } from '../random/random.ts';
import { openBelow } from '../support.ts';
import { at, Client, Told } from './union-support.ts';

const BRANCHES = ['a', 'b', 'c'];
const now = Date.now.bind(Date);
const { read } = Getdents.prototype;
/** Longer than what a directory must have been left alone. */
const LATER = 10_000;
let dir: string;
let u: Client;
/** Directories that were read on a branch since this was last looked at. */
let reads = 0;
const on = (path: string) => join(dir, path);
const serve = (branches = BRANCHES.map(on).join(':'), options: Record<string, string> = {}) =>
  new Client(new UnionFs({ branches, options: { minfreespace: '0', ...options } }));

/** Where branches are: in memory, and where temporary files lie. */
const PLACES = [...new Set(['/dev/shm', tmpdir()])];
let place = PLACES[0]!;
beforeEach(() => {
  dir = realpathSync(mkdtempSync(join(place, 'rawfuse-')));
  mkdirSync(on('outside'));
  writeFileSync(on('outside/empty'), '');
  for (const branch of BRANCHES) make(branch);
  for (const branch of 'ab') {
    make(`${branch}/d`);
    for (const name of ['x', 'both', `of ${branch}`]) writeFileSync(on(`${branch}/d/${name}`), '');
  }
  u = serve();
  reads = 0;
  vi.spyOn(Getdents.prototype, 'read').mockImplementation(function (this: Getdents, ...args) {
    reads++;
    read.apply(this, args);
  });
  later(LATER);
});
afterEach(() => {
  u.fs.destroy();
  expect(openBelow(dir)).toEqual([]);
  vi.restoreAllMocks();
  rmSync(dir, { recursive: true });
});
/** Makes a directory with so many names, of which this says nothing, that it is worth remembering. */
function make(path: string): void {
  mkdirSync(on(path), { recursive: true });
  for (let i = 0; i < 80; i++) linkSync(on('outside/empty'), on(`${path}/.${'n'.repeat(200)}${i}`));
}
/** As if all that is there had been left alone for so long, in ms. Before a change a tick of the filesystem's clock has to pass, all the same. */
function later(ms: number): void {
  vi.spyOn(Date, 'now').mockImplementation(() => now() + ms);
}
const entries = (fh: number) => {
  const told = new Told();
  u.fs.readdir(at(1), { fh, offset: 0n } as never, told.reply);
  return told.entries;
};
/** What a directory has, and on how many branches it was read for that. */
function listed(path = 'd') {
  const fh = u.opendir(path);
  reads = 0;
  const all = entries(fh);
  u.fs.releasedir(at(1), { fh } as never);
  return { all, reads, names: namesOf(all) };
}
const namesOf = (all: readonly Dirent[]) => all.map(({ name }) => name).filter((name) => !name.startsWith('.'));
/** What a union that remembers nothing lists. */
function fresh(path = 'd', branches?: string) {
  const before = u;
  u = serve(branches);
  try {
    return listed(path).all;
  } finally {
    u.fs.destroy();
    u = before;
  }
}

test('a directory that is as it was is not read again, and told as it was', () => {
  const first = listed();
  expect(first).toMatchObject({ reads: 2, names: ['x', 'both', 'of a', 'of b'].sort((a, b) => order(first, a, b)) });
  expect(listed()).toEqual({ ...first, reads: 0 });
  statSync(on('a/d/x')); // and looking at it, or into its files, is no change
  writeFileSync(on('a/d/x'), 'text');
  expect(listed()).toEqual({ ...first, reads: 0 });
  expect(listed('').reads).toBe(3);
  expect(listed('').reads).toBe(0);
});
const order = ({ names }: { names: string[] }, a: string, b: string) => names.indexOf(a) - names.indexOf(b);

/** Changes of a directory `d` that an earlier listing does not show, and of what they need before. */
const CHANGES: Readonly<Record<string, { before?: () => void; change: () => void }>> = {
  'a file is made': { change: () => writeFileSync(on('b/d/new'), '') },
  'a file is removed': { change: () => unlinkSync(on('b/d/of b')) },
  'a file is removed that another branch has': { change: () => unlinkSync(on('a/d/x')) },
  'a directory is made': { change: () => mkdirSync(on('a/d/new')) },
  'a directory is removed': { before: () => mkdirSync(on('a/d/old')), change: () => rmdirSync(on('a/d/old')) },
  'a symlink is made': { change: () => symlinkSync('x', on('a/d/new')) },
  'a fifo is made': { change: () => void spawnSync('mkfifo', [on('a/d/new')]) },
  'a name is added to a file': { change: () => linkSync(on('a/d/x'), on('a/d/new')) },
  'a file is renamed': { change: () => renameSync(on('a/d/of a'), on('a/d/new')) },
  'a file is renamed over another': { change: () => renameSync(on('a/d/of a'), on('a/d/x')) },
  'two are exchanged, a file and a directory': {
    before: () => mkdirSync(on('a/d/sub')),
    change: () => exchange(on('a/d/sub'), on('a/d/x')),
  },
  'two are exchanged with one elsewhere': {
    before: () => mkdirSync(on('outside/sub')),
    change: () => exchange(on('outside/sub'), on('a/d/x')),
  },
  'a file goes elsewhere': { change: () => renameSync(on('a/d/of a'), on('outside/y')) },
  'a file comes from elsewhere': {
    before: () => writeFileSync(on('outside/new'), ''),
    change: () => renameSync(on('outside/new'), on('b/d/new')),
  },
  'a file without a name gets one': {
    change: () =>
      void python(`
fd = os.open(${quoted(on('a/d'))}, os.O_TMPFILE | os.O_RDWR)
os.link(f'/proc/self/fd/{fd}', ${quoted(on('a/d/new'))}, src_dir_fd=0, follow_symlinks=True)`),
  },
  'the directory is another one': {
    before: () => {
      make('outside/d');
      writeFileSync(on('outside/d/new'), '');
    },
    change: () => {
      renameSync(on('a/d'), on('outside/gone'));
      renameSync(on('outside/d'), on('a/d'));
    },
  },
  'its times are put back': {
    before: () => void spawnSync('touch', ['-r', on('a/d'), on('outside/times')]),
    change: () => {
      writeFileSync(on('a/d/new'), '');
      spawnSync('touch', ['-r', on('outside/times'), on('a/d')]);
    },
  },
  'it goes on a branch': { change: () => rmSync(on('a/d'), { recursive: true }) },
  'it goes on all': {
    change: () => {
      for (const branch of 'ab') rmSync(on(`${branch}/d`), { recursive: true });
      mkdirSync(on('c/d'));
    },
  },
  'it comes on a branch': {
    change: () => {
      mkdirSync(on('c/d'));
      writeFileSync(on('c/d/new'), '');
    },
  },
  'on a branch there is a file in its place': {
    change: () => {
      renameSync(on('a/d'), on('outside/gone'));
      writeFileSync(on('a/d'), '');
    },
  },
};
const quoted = (text: string) => JSON.stringify(text);
function python(script: string): void {
  const { status, stderr } = spawnSync('python3', ['-c', `import os, ctypes\n${script}`], { encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(status).toBe(0);
}
const exchange = (one: string, other: string) =>
  python(`
libc = ctypes.CDLL(None, use_errno=True)
assert libc.renameat2(-100, ${quoted(one)}.encode(), -100, ${quoted(other)}.encode(), 2) == 0, ctypes.get_errno()`);

describe.each(PLACES)('what is not what it was is read, in %s', (where) => {
  beforeAll(() => {
    place = where;
  });
  afterAll(() => {
    place = PLACES[0]!;
  });
  test.each(Object.entries(CHANGES))('%s', async (_, { before, change }) => {
    before?.();
    const first = listed();
    expect(listed()).toEqual({ ...first, reads: 0 });
    await sleep(20);
    change();
    const again = listed();
    expect(again.reads).toBeGreaterThan(0);
    expect(again.all).toEqual(fresh());
    expect(again.all).not.toEqual(first.all);
  });

  test('another directory with the same times, whose parent has come there', () => {
    const times = (path: string) => {
      const { ctimeNs, mtimeNs } = statSync(on(path), { bigint: true });
      return [ctimeNs, mtimeNs];
    };
    let [one, other] = ['', ''];
    // Within one tick.
    for (let i = 0; one === '' || `${times(`c/${one}/d`)}` !== `${times(`c/${other}/d`)}`; i++) {
      [one, other] = [`one ${i}`, `other ${i}`];
      for (const each of [one, other]) make(`c/${each}/d`);
      linkSync(on('a/d/x'), on(`c/${other}/d/new`));
      mkdirSync(on(`c/${one}/d/old`));
    }
    const path = `${one}/d`;
    const first = listed(path);
    expect([first.names, listed(path)]).toEqual([['old'], { ...first, reads: 0 }]);
    renameSync(on(`c/${one}`), on('outside/gone'));
    renameSync(on(`c/${other}`), on(`c/${one}`));
    expect(listed(path)).toMatchObject({ reads: 1, names: ['new'] });
  });

  test('other branches, the same in another order, and numbers of another kind', () => {
    listed();
    u.fs.set('branches', `${on('b')}:${on('a')}:${on('c')}`);
    expect(listed()).toMatchObject({ reads: 2, all: fresh('d', `${on('b')}:${on('a')}:${on('c')}`) });
    u.fs.set('branches', '->');
    expect(listed()).toMatchObject({ reads: 2, all: fresh('d', `${on('b')}:${on('a')}`) });
    u.fs.set('branches', '->');
    expect(listed()).toMatchObject({ reads: 1, all: fresh('d', on('b')) });
    u.fs.set('branches', `${on('a')}:${on('b')}:${on('c')}`);
    listed();
    u.fs.set('branches', `-${on('a')}`);
    expect(listed()).toMatchObject({ reads: 1, all: fresh('d', `${on('b')}:${on('c')}`) });
    const { all } = listed();
    u.fs.set('inodecalc', 'passthrough');
    const own = listed();
    expect(own.reads).toBe(1);
    expect(own.names).toEqual(namesOf(all));
    expect(own.all).not.toEqual(all);
    expect(listed().reads).toBe(0);
  });

  test('what the union itself changes', async () => {
    listed();
    await sleep(20);
    u.put('d/new');
    expect(listed().names).toContain('new');
    await sleep(20);
    u.unlink('d/new');
    expect(listed().names).not.toContain('new');
  });

  test('at random', async () => {
    const random = new Random(seed);
    const some = <T>(from: readonly T[]) => from[random.next() % from.length]!;
    const any = () => `${some(BRANCHES)}/${some(['', 'd', 'd/e'])}/${some(['x', 'y', 'both', 'd', 'e'])}`;
    let remembered = 0;
    for (let i = 0; i < 60; i++) {
      const path = some(['', 'd', 'd/e', 'd/e/d']);
      const now = attempt(() => listed(path));
      if (typeof now === 'object' && now.reads === 0) remembered++;
      const expected = attempt(() => fresh(path));
      expect(typeof now === 'object' ? now.all : now, `seed ${seed}, step ${i}: ${path}`).toEqual(expected);
      await sleep(15);
      const made = any();
      const [from, to] = [on(any()), on(made)];
      const kind = random.next() % 6;
      attempt(() => {
        if (kind === 0) make(made);
        else if (kind === 1) writeFileSync(to, '');
        else if (kind === 2) renameSync(from, to);
        else if (kind === 3 && BRANCHES.every((branch) => from !== on(branch))) rmSync(from, { recursive: true });
        else if (kind === 4) linkSync(from, to);
      });
    }
    expect(remembered).toBeGreaterThan(0);
  });
});
function attempt<T>(call: () => T): T | string {
  try {
    return call();
  } catch (error) {
    return `${error}`;
  }
}

describe('what is not remembered', () => {
  const notTwice = (path = 'd') => {
    const { reads, all } = listed(path);
    expect(reads).toBeGreaterThan(0);
    expect(listed(path)).toMatchObject({ reads, all });
  };
  test('a directory that was changed just now: the next change may have the same time', () => {
    /** So many ms after the last change. */
    const after = (ms: number) => {
      const changed = Math.max(...['a/d', 'b/d'].map((path) => statSync(on(path)).ctimeMs));
      vi.spyOn(Date, 'now').mockReturnValue(changed + ms);
    };
    for (const ms of [-LATER, 0, 1, 2900]) {
      after(ms);
      notTwice();
    }
    after(3100);
    listed();
    expect(listed().reads).toBe(0);
    writeFileSync(on('a/d/new'), '');
    after(2900);
    notTwice();
  });
  const { statAt, statfsAt } = new Scratch();
  // As statx(2) and statfs(2) would say.
  const say = (at: number, what: (value: number) => number) => {
    const { getUint32 } = DataView.prototype;
    vi.spyOn(DataView.prototype, 'getUint32').mockImplementation(function (this: DataView, place, little) {
      const value = getUint32.call(this, place, little);
      return place === at ? what(value) : value;
    });
  };
  test('one on a filesystem that may not tell of changes', () => {
    say(statfsAt, () => 0x6573_5546); // FUSE
    notTwice();
  });
  test('one whose names are encrypted', () => {
    say(statAt + fuse_statx.offset.attributes, (value) => value | 0x800);
    notTwice();
  });
  test('a small one, which is read as fast', () => {
    for (const branch of 'ab') mkdirSync(on(`${branch}/d/small`));
    for (let i = 0; i < 50; i++) writeFileSync(on(`a/d/small/${i}`), '');
    notTwice('d/small');
  });
  test('one that can’t be read on a branch', () => {
    vi.mocked(Getdents.prototype.read).mockImplementationOnce(() => {
      throw EIO;
    });
    expect(listed().names).not.toContain('of a');
    expect(listed().names).toContain('of a');
  });
  test('the oldest, where there is more than there is room for', () => {
    const long = 'n'.repeat(200);
    for (let i = 0; i < 12; i++) {
      mkdirSync(on(`c/${i}`));
      for (let j = 0; j < 2000; j++) linkSync(on('a/d/x'), on(`c/${i}/${long}${j}`));
    }
    const every = () => Array.from({ length: 12 }, (_, i) => listed(`${i}`).reads);
    expect(every()).toEqual(new Array(12).fill(1));
    expect(listed('11').reads).toBe(0);
    expect(every().slice(0, 3)).toEqual([1, 1, 1]);
    // One that is asked for stays, whatever comes.
    for (let i = 0; i < 11; i++) {
      listed(`${i}`);
      expect(listed('11').reads, `${i}`).toBe(0);
    }
  });
  test('one that is larger than half of that', () => {
    mkdirSync(on('c/large'));
    for (let i = 0; i < 9000; i++) linkSync(on('a/d/x'), on(`c/large/${'n'.repeat(220)}${i}`));
    notTwice('large');
  });
  test('one that is read again through the same handle: its names keep their places', async () => {
    listed();
    const fh = u.opendir('d');
    const first = entries(fh);
    await sleep(20);
    unlinkSync(on('a/d/of a'));
    const rest = first.filter(({ name }) => name !== 'of a');
    expect(entries(fh)).toEqual(rest);
    listed();
    expect(listed()).toMatchObject({ reads: 0, names: namesOf(rest) });
    expect(entries(fh)).toEqual(rest);
    u.fs.releasedir(at(1), { fh } as never);
  });
});
