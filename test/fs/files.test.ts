/** MemoryFs's files as its owner uses them: by path, without a mount, and under a mount that must see what changes. */
import { describe, expect, test } from 'vitest';
import {
  EEXIST,
  EINVAL,
  EISDIR,
  ELOOP,
  ENODATA,
  ENOENT,
  ENOSPC,
  ENOTDIR,
  ENOTEMPTY,
  ESTALE,
} from '../../src/abi/errno.ts';
import { RENAME_EXCHANGE, S_IFIFO, S_IFMT, S_IFREG } from '../../src/abi/posix.ts';
import { MemoryFs } from '../../src/fs/index.ts';
import type { TraceEvent } from '../../src/protocol/trace.ts';
import { client, kernelTest, mounted, sh, until } from '../support.ts';

async function tree(): Promise<MemoryFs> {
  const fs = new MemoryFs();
  await fs.files.mkdir('/a/b/c', { recursive: true });
  await fs.files.writeFile('/a/b/file', 'hello');
  await fs.files.symlink('b/file', '/a/relative');
  await fs.files.symlink('/a/b', '/a/absolute');
  await fs.files.symlink('loop', '/loop');
  await fs.files.link('/a/b/file', '/hard');
  return fs;
}

describe('paths', () => {
  test('lead to nodes, through symlinks, dots and slashes', async () => {
    const { files } = await tree();
    const nodeid = files.nodeid('/a/b/file');
    for (const path of [
      'a/b/file',
      '//a//b/./file',
      '/a/b/c/../file',
      '/a/relative',
      '/a/absolute/file',
      '/hard',
      '/../hard',
    ])
      expect(files.nodeid(path), path).toBe(nodeid);
    expect(files.nodeid('/')).toBe(1);
    expect(files.nodeid('')).toBe(1);
    expect(files.lstat('/a/relative').nodeid).not.toBe(nodeid);
    expect(files.readlink('/a/relative')).toBe('b/file');
    expect(files.nodeid('/a/absolute/')).toBe(files.nodeid('/a/b'));
  });

  test('of a node are all of its hard links', async () => {
    const { files } = await tree();
    const nodeid = files.nodeid('/hard');
    expect(files.paths(nodeid).sort()).toEqual(['/a/b/file', '/hard']);
    expect(files.paths(files.nodeid('/a/b/c'))).toEqual(['/a/b/c']);
    expect(files.paths(1)).toEqual(['/']);
    await files.rename('/a/b', '/moved');
    expect(files.paths(nodeid).sort()).toEqual(['/hard', '/moved/file']);
    await files.rm('/hard');
    expect(files.paths(nodeid)).toEqual(['/moved/file']);
    expect(() => files.paths(99)).toThrow(ESTALE);
  });

  test('that lead nowhere say why', async () => {
    const { files } = await tree();
    expect(() => files.nodeid('/absent')).toThrow(ENOENT);
    expect(() => files.nodeid('/absent/x')).toThrow(ENOENT);
    expect(() => files.nodeid('/hard/x')).toThrow(ENOTDIR);
    expect(() => files.nodeid('/hard/')).toThrow(ENOTDIR);
    expect(() => files.nodeid('/loop')).toThrow(ELOOP);
    expect(() => files.readdir('/hard')).toThrow(ENOTDIR);
    expect(() => files.readFile('/a')).toThrow(EISDIR);
    expect(() => files.readlink('/a')).toThrow(EINVAL);
    await expect(files.rm('/')).rejects.toBe(EINVAL);
    await expect(files.rm('/absent')).rejects.toBe(ENOENT);
    await expect(files.rm('/a')).rejects.toBe(ENOTEMPTY);
    await expect(files.mkdir('/a')).rejects.toBe(EEXIST);
    await expect(files.mkdir('/x/y')).rejects.toBe(ENOENT);
    expect(files.exists('/absent')).toBe(false);
    expect(files.exists('/a')).toBe(true);
  });
});

describe('changes', () => {
  test('of content', async () => {
    const fs = await tree();
    const { files } = fs;
    await files.writeFile('/new', Buffer.from([1, 2, 3]), { mode: 0o600 });
    expect(files.stat('/new')).toMatchObject({ size: 3, mode: S_IFREG | 0o600, blocks: 8, nlink: 1 });
    await files.write('/new', 'end');
    await files.write('/new', 'X', 1);
    expect(files.readFile('/new').toString('latin1')).toBe('\x01X\x03end');
    expect(files.readFile('/new', 3, 2).toString()).toBe('en');
    expect(files.readFile('/new', 30, 2).length).toBe(0);
    await files.truncate('/new', 10_000);
    expect(files.readFile('/new').equals(Buffer.concat([Buffer.from('\x01X\x03end'), Buffer.alloc(9994)]))).toBe(true);
    await files.writeFile('/a/relative', 'through the link');
    expect(files.readFile('/hard').toString()).toBe('through the link');
    await expect(files.writeFile('/a', 'x')).rejects.toBe(EISDIR);
    await files.mknod('/fifo', S_IFIFO | 0o644);
    await expect(files.writeFile('/fifo', 'x')).rejects.toBe(EINVAL);
    expect(files.stat('/fifo').mode & S_IFMT).toBe(S_IFIFO);
    fs.check();
  });

  test('of attributes', async () => {
    const fs = await tree();
    const { files } = fs;
    await files.chmod('/hard', 0o4751);
    expect(files.stat('/a/b/file').mode).toBe(S_IFREG | 0o4751);
    await files.chown('/hard', 5, 6);
    expect(files.stat('/hard')).toMatchObject({ uid: 5, gid: 6, mode: S_IFREG | 0o751 });
    await files.utimes('/hard', 12.5, -0.25);
    expect(files.stat('/hard')).toMatchObject({ atime: 12, atimensec: 5e8, mtime: -1, mtimensec: 75e7 });
    await files.setxattr('/hard', 'user.x', Buffer.from('value'));
    expect(files.getxattr('/a/b/file', 'user.x').toString()).toBe('value');
    expect(files.listxattr('/hard')).toEqual(['user.x']);
    await files.removexattr('/hard', 'user.x');
    expect(() => files.getxattr('/hard', 'user.x')).toThrow(ENODATA);
    await expect(files.removexattr('/hard', 'user.x')).rejects.toBe(ENODATA);
    fs.check();
  });

  test('of names', async () => {
    const fs = await tree();
    const { files } = fs;
    const [hard, b] = [files.nodeid('/hard'), files.nodeid('/a/b')];
    await files.rename('/hard', '/a/b', RENAME_EXCHANGE);
    expect([files.nodeid('/a/b'), files.nodeid('/hard')]).toEqual([hard, b]);
    expect(files.readdir('/hard')).toEqual(['c', 'file']);
    await files.rm('/a', { recursive: true });
    expect(files.readdir('/')).toEqual(['loop', 'hard']);
    await files.rm('/hard', { recursive: true });
    await files.rm('/loop');
    expect(fs.nodes.size).toBe(1);
    expect(fs.statfs()).toMatchObject({ bfree: fs.statfs().blocks });
    fs.check();
  });

  test('that find no space say so, and keep what fitted', async () => {
    const fs = new MemoryFs({ size: 8192, nrInodes: 3 });
    await expect(fs.files.writeFile('/a', Buffer.alloc(10_000, 'x'))).rejects.toBe(ENOSPC);
    expect(fs.files.readFile('/a').equals(Buffer.alloc(8192, 'x'))).toBe(true);
    await fs.files.mkdir('/b');
    await expect(fs.files.mkdir('/c')).rejects.toBe(ENOSPC);
    expect(fs.files.readdir('/')).toEqual(['a', 'b']);
    fs.check();
  });
});

describe('limits', () => {
  test.each([
    [{ size: -1 }, /size is -1/],
    [{ size: Number.NaN }, /size is NaN/],
    [{ size: Number.POSITIVE_INFINITY }, /size is Infinity/],
    [{ nrInodes: 0 }, /nrInodes is 0/],
    [{ nrInodes: 2 ** 24 }, /nrInodes is 16777216/],
    [{ nrInodes: 1.5 }, /nrInodes is 1.5/],
    [{ kernelPassthrough: 'yes' as 'auto' }, /kernelPassthrough is yes: true, false or auto is needed/],
  ])('%j is refused', (options, message) => expect(() => new MemoryFs(options)).toThrow(message));
});

/** Long timeouts, so that only an invalidation can make a change seen. */
const cached = { entryTimeout: 600, attrTimeout: 600, negativeTimeout: 600, kernelCache: true };

kernelTest('what the owner changes is seen through the mount when its promise has settled', async () => {
  const fs = await tree();
  const { files } = fs;
  await using m = await mounted(fs, cached);
  const script = `const show = (name) => { try { const s = fs.lstatSync(join(dir, name)); return s.isDirectory() ? fs.readdirSync(join(dir, name)).sort().join() : s.isSymbolicLink() ? fs.readlinkSync(join(dir, name)) : [s.mode & 0o7777, s.nlink, s.uid, fs.readFileSync(join(dir, name), 'latin1')].join(); } catch (error) { return error.code; } };
    return ['', 'a', 'a/b', 'a/b/file', 'hard', 'new', 'a/relative', 'sub', 'sub/x'].map(show);`;
  const show = () => client<string[]>(m.dir, script);
  expect(await show()).toEqual([
    'a,hard,loop',
    'absolute,b,relative',
    'c,file',
    '420,2,0,hello',
    '420,2,0,hello',
    'ENOENT',
    'b/file',
    'ENOENT',
    'ENOENT',
  ]);
  await files.writeFile('/hard', 'changed');
  await files.chmod('/hard', 0o600);
  await files.writeFile('/new', 'new');
  await files.mkdir('/sub');
  await files.writeFile('/sub/x', 'x');
  expect(await show()).toEqual([
    'a,hard,loop,new,sub',
    'absolute,b,relative',
    'c,file',
    '384,2,0,changed',
    '384,2,0,changed',
    '420,1,0,new',
    'b/file',
    'x',
    '420,1,0,x',
  ]);
  await files.rm('/hard');
  await files.rm('/sub', { recursive: true });
  await files.rename('/new', '/a/b/file');
  await files.rm('/a/relative');
  await files.symlink('elsewhere', '/a/relative');
  await files.write('/a/b/file', '!');
  await files.chown('/a/b/file', 7, 7);
  expect(await show()).toEqual([
    'a,loop',
    'absolute,b,relative',
    'c,file',
    '420,1,7,new!',
    'ENOENT',
    'ENOENT',
    'elsewhere',
    'ENOENT',
    'ENOENT',
  ]);
  fs.check();
});

kernelTest('what comes through the mount sends no notification, and the owner sees it at once', async () => {
  const events: TraceEvent[] = [];
  const fs = new MemoryFs();
  await using m = await mounted(fs, { ...cached, trace: (event) => events.push(event) });
  await sh('mkdir d; echo x > d/f; ln d/f g; mv d/f d/h; chmod 600 g; truncate -s 5 g; ln -s d l; rm -r d', m.dir);
  expect(fs.files.readdir('/')).toEqual(['g', 'l']);
  expect(fs.files.readFile('/g').toString('latin1')).toBe('x\n\0\0\0');
  expect(events.filter(({ kind }) => kind === 'notification')).toEqual([]);
  await fs.files.writeFile('/g', 'y');
  expect(events.filter(({ kind }) => kind === 'notification').length).toBeGreaterThan(0);
});

kernelTest('inotify tells who watches a file that the owner removed it', async () => {
  const fs = new MemoryFs();
  await fs.files.writeFile('/f', 'x');
  await using m = await mounted(fs, cached);
  const watching = client<string>(
    m.dir,
    `return await new Promise((resolve) => {
       const watcher = fs.watch(join(dir, 'f'), (kind) => { if (kind === 'rename') { resolve(kind); watcher.close(); } });
       fs.mkdirSync(join(dir, 'ready'));
     });`,
  );
  await until(() => fs.files.exists('/ready'), 'the watcher');
  await fs.files.rm('/f');
  expect(await watching).toBe('rename');
});

kernelTest('a MemoryFs is mounted in one place at a time, and again with what is in it', async () => {
  const fs = new MemoryFs();
  {
    await using m = await mounted(fs);
    await sh('echo kept > f; exec 3> gone; rm gone; echo x >&3', m.dir);
    await expect(mounted(fs)).rejects.toThrow(/mounted already/);
    expect(await sh('cat f', m.dir)).toBe('kept\n');
  }
  fs.check();
  expect([fs.nodes.size, fs.opened, fs.locks.held]).toEqual([2, 0, 0]);
  await using m = await mounted(fs);
  expect(await sh('cat f; ls', m.dir)).toBe('kept\nf\n');
});
