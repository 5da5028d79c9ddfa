/**
 * UnionFs on a real mount over tmpfs branches of different sizes: where policies put files, what happens when a branch is full, read-only or gone
 * in the middle, what the control file and the trace say.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { CATEGORIES, choose, POLICIES, type PolicyName } from '../../src/fs/union/policies.ts';
import { mountAt } from '../../src/mountinfo.ts';
import type { TraceEvent } from '../../src/protocol/trace.ts';
import { compiled } from '../compiled.ts';
import { kernelTest, lacking, run, sh, start, temporary, until } from '../support.ts';
import { python } from './python.ts';
import { type UnionMount, union } from './union.ts';

/** MiB. */
const SIZES = [3, 12, 6];
let lower: string;
let branches: string[];
let m: UnionMount;
const events: TraceEvent[] = [];
const notes = () => events.flatMap((event) => (event.kind === 'note' ? [event.message] : []));

beforeAll(async () => {
  if (lacking !== undefined) return;
  lower = temporary();
  branches = SIZES.map((_, i) => join(lower, `b${i}`));
  for (const [i, size] of SIZES.entries()) {
    mkdirSync(branches[i]!);
    await run('mount', ['-t', 'tmpfs', '-o', `size=${size}m,mode=755`, 'rawfuse-test', branches[i]!]);
  }
  const options = { 'cache.entry': '0', 'cache.attr': '0' };
  m = await union({ branches, options, mount: { trace: (event) => events.push(event) } });
});
afterAll(async () => {
  if (lacking !== undefined) return;
  await m[Symbol.asyncDispose]();
  for (const each of branches) await run('umount', ['--lazy', each]).catch(() => {});
  rmSync(lower, { recursive: true });
});
const on = (i: number, path: string) => join(branches[i]!, path);
const has = (path: string) =>
  branches.flatMap((each, i) => (readdirSync(each, { recursive: true, encoding: 'utf8' }).includes(path) ? [i] : []));

kernelTest('new files are where the policies say of what the branches have', async () => {
  mkdirSync(on(0, 'd'));
  mkdirSync(on(2, 'd'));
  writeFileSync(on(1, 'fill'), Buffer.alloc(4 << 20));
  const views = branches.map((path, i) => {
    const { bavail, blocks, bsize } = statfsSync(path);
    const space = { readonly: false, available: bavail * bsize, used: (blocks - bavail) * bsize };
    return {
      i,
      mode: 'RW' as const,
      minFreeSpace: 0,
      space,
      has: i !== 1,
      mtime: Math.trunc(i === 1 ? 0 : statSync(on(i, 'd')).mtimeMs / 1000),
    };
  });
  type View = (typeof views)[number];
  const sight = {
    exists: (view: View, path: string) => path === '' || view.has,
    space: (view: View) => view.space,
    mtime: (view: View) => view.mtime,
  };
  // Those first that clone no directory: it would be there for the next.
  const policies = (Object.keys(POLICIES) as PolicyName[])
    .filter((name) => !/rand|pfrd|erofs|newest/u.test(name))
    .sort((a, b) => Number(POLICIES[b].preserving) - Number(POLICIES[a].preserving));
  const expected = policies.map((name) => {
    const chosen = choose(name, 'create', { branches: views, path: 'd', sight, random: Math.random });
    return [name, [chosen[0]!.i]];
  });
  await python(
    m.dir,
    `
for name in ${JSON.stringify(policies)}:
    os.setxattr(P('.mergerfs'), 'user.mergerfs.category.create', name.encode())
    open(P('d/' + name), 'w').close()
os.setxattr(P('.mergerfs'), 'user.mergerfs.category.create', b'pfrd')
`,
  );
  expect(policies.map((name) => [name, has(`d/${name}`)])).toEqual(expected);
  expect(new Set(expected.map(([, where]) => String(where))).size).toBe(3); // or it would prove little
  rmSync(on(1, 'fill'));
  expect(CATEGORIES.map((each) => m.filesystem.get(`category.${each}`))).toEqual(['epall', 'pfrd', 'ff']);
});

kernelTest('a file that its branch has no space for moves, whoever has it open, with all that it is', async () => {
  const [said] = await python(
    m.dir,
    `
os.setxattr(P('.mergerfs'), 'user.mergerfs.category.create', b'ff')
os.setxattr(P('.mergerfs'), 'user.mergerfs.moveonenospc', b'mfs')
os.mkdir(P('full')); os.chmod(P('full'), 0o750)
f = os.open(P('full/big'), os.O_CREAT | os.O_RDWR, 0o640)
os.pwrite(f, b'begin', 0)
os.pwrite(f, b'after a hole', 1 << 20)
os.chown(P('full/big'), 12, 34)
os.setxattr(P('full/big'), 'user.x', b'value')
os.setxattr(P('full/big'), 'system.posix_acl_access', bytes.fromhex('0200000001000600ffffffff02000600e803000004000400ffffffff10000600ffffffff20000000ffffffff'))
ready, go = os.pipe()
child = os.fork()
if child == 0:
    g = os.open(P('full/big'), os.O_RDWR)
    os.write(go, b'x')
    os.close(go)
    time.sleep(0.3)
    while not os.path.exists(P('full/moved')): time.sleep(0.05)
    os.pwrite(g, b'child', 100)
    os._exit(0 if os.pread(g, 5, 0) == b'begin' else 1)
os.read(ready, 1)
before = os.fstat(f)
block, wrote = b'y' * (1 << 18), 0
for i in range(20):
    at = 0
    while at < len(block): at += os.pwrite(f, block[at:], (2 << 20) + i * len(block) + at)
    wrote += at
os.close(os.open(P('full/moved'), os.O_CREAT | os.O_WRONLY))
status = os.waitpid(child, 0)[1]
after = os.fstat(f)
say([status, wrote, os.pread(f, 5, 0).decode(), os.pread(f, 12, 1 << 20).decode(), os.pread(f, 5, 100).decode(), oct(after.st_mode), after.st_uid, after.st_gid,
     os.getxattr(P('full/big'), 'user.x').decode(), len(os.getxattr(P('full/big'), 'system.posix_acl_access')), after.st_blocks * 512 < after.st_size,
     os.getxattr(P('full/big'), 'user.mergerfs.basepath').decode()])
os.close(f)
os.setxattr(P('.mergerfs'), 'user.mergerfs.category.create', b'pfrd')
`,
  );
  const all = 20 << 18;
  expect(said).toEqual([0, all, 'begin', 'after a hole', 'child', '0o100660', 12, 34, 'value', 44, true, branches[1]]);
  expect([has('full/big'), statSync(on(1, 'full')).mode & 0o777]).toEqual([[1], 0o750]);
  expect(
    notes().some((note) => note.includes(`full/big moved from ${branches[0]} to ${branches[1]} after ENOSPC`)),
  ).toBe(true);
});

kernelTest('a file with several links stays where it is, and so does one that fits nowhere', async () => {
  const [said] = await python(
    m.dir,
    `
os.setxattr(P('.mergerfs'), 'user.mergerfs.category.create', b'ff')
def fill(name, size):
    f = os.open(P(name), os.O_CREAT | os.O_WRONLY)
    at = 0
    try:
        while at < size: at += os.pwrite(f, b'z' * 65536, at)
        return 'ok'
    except OSError as e: return errno.errorcode[e.errno]
    finally: os.close(f)
open(P('linked'), 'w').close(); os.link(P('linked'), P('linked2'))
got = [fill('linked', 4 << 20)]
os.unlink(P('linked')); os.unlink(P('linked2'))
got.append(fill('huge', 30 << 20))
got.append(os.stat(P('huge')).st_size > (3 << 20)) # it has moved as long as it could
os.unlink(P('huge'))
os.setxattr(P('.mergerfs'), 'user.mergerfs.moveonenospc', b'false')
got.append(fill('stays', 4 << 20))
os.setxattr(P('.mergerfs'), 'user.mergerfs.moveonenospc', b'true')
os.unlink(P('stays'))
os.setxattr(P('.mergerfs'), 'user.mergerfs.category.create', b'pfrd')
say(got)
`,
  );
  expect(said).toEqual(['ENOSPC', 'ENOSPC', true, 'ENOSPC']);
  expect(readdirSync(branches[0]!).filter((name) => name.startsWith('.'))).toEqual([]);
});

kernelTest('a branch that is read-only in the middle is marked so, and one that goes is not looked at', async () => {
  mkdirSync(on(0, 'ro/in'), { recursive: true });
  await run('mount', ['--bind', on(0, 'ro'), on(0, 'ro')]);
  await run('mount', ['-o', 'remount,bind,ro', on(0, 'ro')]);
  try {
    m.filesystem.set('category.create', 'ff');
    await sh('echo text > ro/in/file', m.dir);
    expect([has('ro/in/file'), m.filesystem.branches[0]!.mode]).toEqual([[1], 'RO']);
    expect(m.filesystem.get('branches')).toContain(`${branches[0]}=RO:`);
    expect(notes()).toContain(`create: ${branches[0]} is read-only, and RO from now on`);
  } finally {
    await run('umount', [on(0, 'ro')]);
    m.filesystem.set('branches', branches.join(':'));
  }
  // A whole filesystem that has become read-only is seen before it is tried.
  await run('mount', ['-o', 'remount,ro', branches[0]!]);
  await sh('echo > elsewhere', m.dir);
  expect([has('elsewhere'), m.filesystem.branches[0]!.mode]).toEqual([[1], 'RW']);
  await run('mount', ['-o', 'remount,rw', branches[0]!]);
  m.filesystem.set('category.create', 'pfrd');
});

kernelTest(
  'a branch whose server dies is an error there alone, and one that is unmounted is served until it is named anew',
  async () => {
    const place = temporary();
    const places = ['kept', 'dies', 'goes'].map((name) => join(place, name));
    for (const each of places) mkdirSync(each);
    const [, dies, goes] = places as [string, string, string];
    await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'rawfuse-test', goes]);
    const server = start(process.execPath, [compiled('tools/cli.ts'), 'mount', 'memory', dies]);
    await until(() => mountAt(dies) !== undefined, 'the mount of the branch', 20_000);
    try {
      await run('sh', ['-c', 'echo kept > "$0/kept/f"; echo dies > "$0/dies/d"; echo goes > "$0/goes/g"', place]);
      const options = { 'category.create': 'ff', 'cache.entry': '0', 'cache.attr': '0' };
      await using u = await union({ branches: places, options });
      expect(await sh('ls; cat f d g', u.dir)).toBe('d\nf\ng\nkept\ndies\ngoes\n');
      server.kill('SIGKILL');
      await until(() => server.signalCode !== null, 'the server to end');
      await run('umount', ['--lazy', goes]);
      expect(await sh('ls; cat f g; echo more > made; cat made', u.dir)).toBe('f\ng\nkept\ngoes\nmore\n');
      await expect(sh('cat d', u.dir)).rejects.toThrow(/not connected|No such file/u);
      u.filesystem.set('branches', `-${goes}:${dies}`);
      u.filesystem.set('branches', `+>${goes}`);
      expect(await sh('ls', u.dir)).toBe('f\nmade\n');
    } finally {
      await run('umount', ['--lazy', dies]).catch(() => {});
      await run('umount', ['--lazy', goes]).catch(() => {});
      rmSync(place, { recursive: true });
    }
  },
);

kernelTest('passthrough.io: the kernel reads and writes what was opened so first, on one branch for all', async () => {
  const requests: string[] = [];
  const trace = (event: TraceEvent) => {
    if (event.kind === 'request' && /^(READ|WRITE)$/u.test(event.operation)) requests.push(event.operation);
  };
  await using handed = await union({
    branches: 2,
    options: { 'passthrough.io': 'wo', 'category.create': 'ff', 'func.open': 'newest' },
    mount: { trace },
  });
  const [said] = await python(
    handed.dir,
    `
f = os.open(P('f'), os.O_CREAT | os.O_WRONLY)
os.write(f, b'by the kernel')
g = os.open(P('f'), os.O_RDWR) # for all who have it open it is the same
say([os.pread(g, 20, 3).decode(), os.pwrite(g, b'B', 0)])
`,
  );
  expect([said, requests]).toEqual([['the kernel', 1], []]);
  expect(readFileSync(join(handed.branches[0]!, 'f'), 'utf8')).toBe('By the kernel');
  expect(await sh('cat f', handed.dir)).toBe('By the kernel');
  expect(requests).toContain('READ'); // opened for reading first
});

kernelTest('the control file by its commands, and statfs as the sum', async () => {
  const get = (name: string, file = '.mergerfs') =>
    sh(`getfattr --absolute-names --only-values -n user.mergerfs.${name} ${file}`, m.dir);
  expect(await get('branches')).toBe(branches.map((each) => `${each}=RW`).join(':'));
  writeFileSync(on(2, 'who'), 'x');
  expect(await get('fullpath', 'who')).toBe(on(2, 'who'));
  await expect(sh('setfattr -n user.mergerfs.category.create -v nonsense .mergerfs', m.dir)).rejects.toThrow(
    'Invalid argument',
  );
  await expect(
    run('setpriv', [
      '--reuid=1000',
      '--clear-groups',
      'setfattr',
      '-n',
      'user.mergerfs.category.create',
      '-v',
      'ff',
      join(m.dir, '.mergerfs'),
    ]),
  ).rejects.toThrow('denied');
  const size = async (file: string) => {
    const [blocks, unit] = (await sh(`stat -f -c "%b %S" ${file}`, m.dir)).trim().split(' ').map(Number);
    return (blocks! * unit!) >> 20;
  };
  const all = SIZES.reduce((a, b) => a + b);
  expect([await size('.'), await size('who')]).toEqual([all, all]);
  m.filesystem.set('statfs', 'full');
  expect([await size('.'), await size('who')]).toEqual([all, SIZES[2]]);
  m.filesystem.set('statfs', 'base');
  const command = await run(process.execPath, [compiled('tools/cli.ts'), 'union', 'df', m.dir]);
  const lines = command.trim().split('\n');
  expect(lines[0]).toMatch(/^Branch +Mode +Size +Used +Avail +Keeps +New \(pfrd\)$/u);
  expect(lines.slice(1).map((line) => line.split(/ +/u).slice(0, 3))).toEqual(
    branches.map((each, i) => [each, 'RW', `${SIZES[i]}${SIZES[i]! < 10 ? '.0' : ''}M`]),
  );
  await expect(run(process.execPath, [compiled('tools/cli.ts'), 'union', 'df', lower])).rejects.toThrow(
    `${lower} is no mounted union: it has no control file .mergerfs`,
  );
  expect(readFileSync(on(2, 'who'), 'utf8')).toBe('x');
});
