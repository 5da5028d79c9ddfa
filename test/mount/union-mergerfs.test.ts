/**
 * UnionFs beside Debian's mergerfs (2.33.5): the same operations on branches that are alike, for each policy where nothing is left to chance.
 * What each call gives, and what is on which branch afterwards, must be the same, but for what DIFFERS lists, with both results and the
 * reason; what is listed there and does not differ any more fails, too. Policies that 2.33.5 lacks are held to the model alone.
 */
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { UnionFs } from '../../src/fs/index.ts';
import { kernelTest, lacking, mounted, run, type TestMount, temporary } from '../support.ts';
import { TRANSPORT } from '../transport.ts';
import { python } from './python.ts';

/** Sizes of the branches in MiB: none is another's, nor is what is used of them (FILES). */
const SIZES = [12, 24, 18];
const OPTIONS = { minfreespace: '0', 'cache.attr': '0', 'cache.entry': '0', moveonenospc: 'false' };
const POLICIES = [
  ...['all', 'epall', 'epff', 'eplfs', 'eplus', 'epmfs', 'erofs', 'ff', 'lfs', 'lus', 'mfs'],
  ...['msplfs', 'msplus', 'mspmfs', 'newest'],
];
/** Policies that as searches find no root: erofs as it should be, and in 2.33.5 those of the least used space, too. */
const FINDS_NO_ROOT: readonly string[] = ['erofs', 'eplus', 'lus', 'msplus'];
/** What is on the branches before each policy; KiB of content. */
const FILES: Readonly<Record<string, number>> = {
  ...{ 'b0/one/f': 1, 'b0/two/f': 2, 'b0/three/g': 1, 'b0/fill': 700 },
  ...{ 'b1/one/f': 3, 'b1/deep/er/h': 1, 'b1/fill': 4000 },
  ...{ 'b2/two/f': 2, 'b2/deep/x': 1, 'b2/three/g': 2, 'b2/alone/only': 1, 'b2/fill': 100 },
};
/** By name: Python, whose value is the result. */
const OPERATIONS: Readonly<Record<string, string>> = {
  'create where one branch has the directory': "write('alone/new')",
  'create where two have it': "write('two/new')",
  'create in the root': "write('new')",
  'create deep': "write('deep/er/new')",
  'mkdir in the root': "os.mkdir('made')",
  'mkdir deep': "os.mkdir('deep/er/made')",
  'mkdir in what was made': "os.mkdir('made/in')",
  symlink: "os.symlink('target', 'two/link')",
  mknod: "os.mkfifo('one/fifo')",
  'chmod of a file on two branches': "os.chmod('two/f', 0o600)",
  'truncate of one on two': "os.truncate('one/f', 10)",
  'utime of one on two': "os.utime('three/g', (1000, 2000))",
  'chown of a directory on two': "os.chown('two', 12, 34)",
  'setxattr on two': "os.setxattr('two/f', 'user.x', b'1')",
  'read what is on two': "len(open('one/f').read())",
  'stat of it': "os.stat('two/f').st_mode",
  'list the root': "sorted(os.listdir('.'))",
  'list what is merged': "sorted(os.listdir('deep'))",
  'link in its directory': "os.link('alone/only', 'alone/second')",
  'link to a directory of other branches': "os.link('alone/only', 'one/second')",
  'link of a file on two branches': "os.link('two/f', 'three/f')",
  'rename in its directory': "os.rename('alone/second', 'alone/third')",
  'rename to a directory of other branches': "os.rename('deep/x', 'one/x')",
  'rename of a file on two branches': "os.rename('three/g', 'three/h')",
  'rename over a file that is elsewhere': "os.rename('alone/only', 'one/f')",
  'rename of a directory': "os.rename('two', 'moved')",
  'unlink on two branches': "os.unlink('three/h')",
  'rmdir of a directory with something on one branch': "os.rmdir('three')",
  'rmdir of what is not there': "os.rmdir('nowhere')",
  'open what is not there': "open('one/nothing')",
  'where a file is': "os.getxattr('one/f', 'user.mergerfs.relpath').decode()",
  'on which branches':
    "[p.split('/')[-3] for p in os.getxattr('moved/f', 'user.mergerfs.allpaths').decode().split(chr(0))]",
};

const MERGED = 'a merged directory is empty where all of its branches are';
interface Difference {
  readonly mergerfs: unknown;
  readonly ours: unknown;
  readonly why: string;
}
/** By policy and operation. */
const DIFFERS: Readonly<Record<string, Difference>> = {
  ...Object.fromEntries(
    ['all', 'ff', 'lfs', 'lus', 'mfs', 'newest'].map((policy) => [
      `${policy}: where a file is`,
      { mergerfs: '/one/f', ours: '/one/second', why: 'the names of one file are one node, which tells one of them' },
    ]),
  ),
  'newest: rmdir of a directory with something on one branch': { mergerfs: 'ok', ours: 'ENOTEMPTY', why: MERGED },
  'newest: leaves b2/three': { mergerfs: 'absent', ours: '40755 0', why: MERGED },
};

const absent = process.env.PATH!.split(':').every((each) => !readdirOr(each).includes('mergerfs'))
  ? 'no mergerfs'
  : undefined;
function readdirOr(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

interface Side {
  readonly lower: string;
  readonly dir: string;
}
let ours: Side & { mount: TestMount; filesystem: UnionFs };
let theirs: Side;
const skipped = lacking !== undefined || TRANSPORT !== 'device' || absent !== undefined;

async function branchesOf(): Promise<{ lower: string; list: string }> {
  const lower = temporary();
  chmodSync(lower, 0o755);
  for (const [i, size] of SIZES.entries()) {
    mkdirSync(join(lower, `b${i}`));
    await run('mount', ['-t', 'tmpfs', '-o', `size=${size}m,mode=755`, 'rawfuse-test', join(lower, `b${i}`)]);
  }
  return { lower, list: SIZES.map((_, i) => join(lower, `b${i}`)).join(':') };
}

beforeAll(async () => {
  if (skipped) return;
  const [mine, other] = [await branchesOf(), await branchesOf()];
  const filesystem = new UnionFs({ branches: mine.list, options: OPTIONS });
  const mount = await mounted(filesystem, { allowOther: true, dev: true }, { watchdog: 120_000 });
  ours = { lower: mine.lower, dir: mount.dir, mount, filesystem };
  theirs = { lower: other.lower, dir: temporary() };
  const options = Object.entries({ ...OPTIONS, allow_other: undefined }).map(([name, value]) =>
    value === undefined ? name : `${name}=${value}`,
  );
  await run('mergerfs', ['-o', options.join(), other.list, theirs.dir]);
}, 60_000);
afterAll(async () => {
  if (skipped) return;
  await ours.mount[Symbol.asyncDispose]();
  await run('umount', ['--lazy', theirs.dir]);
  rmdirSync(theirs.dir);
  for (const { lower } of [ours, theirs]) {
    for (const i of SIZES.keys()) await run('umount', ['--lazy', join(lower, `b${i}`)]);
    rmSync(lower, { recursive: true });
  }
}, 60_000);

/** All that is on the branches, made anew. */
function refill(lower: string): void {
  for (const i of SIZES.keys())
    for (const name of readdirSync(join(lower, `b${i}`))) rmSync(join(lower, `b${i}`, name), { recursive: true });
  for (const [path, size] of Object.entries(FILES)) {
    mkdirSync(dirname(join(lower, path)), { recursive: true });
    writeFileSync(join(lower, path), path[1]!.repeat(size * 1024));
  }
  // The newest are on branches that no other policy would choose first.
  for (const [i, path] of [...Object.keys(FILES).map(dirname), ...Object.keys(FILES)].entries())
    utimesSync(join(lower, path), 1000, 1000 + ((i * 7) % 31) + (path.startsWith('b1') ? 100 : 0));
}
function treeOf(lower: string): Record<string, string> {
  const paths = readdirSync(lower, { recursive: true, encoding: 'utf8' }).sort();
  return Object.fromEntries(
    paths.map((path) => {
      const { mode, size, uid, nlink } = lstatSync(join(lower, path));
      const isFile = (mode & 0o170000) === 0o100000;
      const text = isFile ? ` ${size} ${nlink} ${readFileSync(join(lower, path), 'latin1').slice(0, 1)}` : '';
      return [path, `${mode.toString(8)} ${uid}${text}`];
    }),
  );
}

async function results(side: Side, policy: string, search: string): Promise<unknown[]> {
  const lines = Object.values(OPERATIONS).map((each) => `t(lambda: ${each})`);
  const [out] = await python(
    side.dir,
    `
import errno
os.chdir(sys.argv[1])
for name, value in (('create', '${policy}'), ('action', '${policy}'), ('search', '${search}')):
    os.setxattr('.mergerfs', 'user.mergerfs.category.' + name, value.encode())
os.umask(0o022)
def write(name):
    with open(name, 'w') as f: f.write('x')
def t(f):
    try: return f()
    except OSError as e: return errno.errorcode[e.errno]
say([${lines.join(', ')}])
`,
  );
  return out as unknown[];
}

const found = new Map<string, Difference>();
async function compare(policy: string): Promise<void> {
  const sides = [ours, theirs];
  const all = await Promise.all(
    sides.map(async (side) => {
      refill(side.lower);
      const search = FINDS_NO_ROOT.includes(policy) ? 'ff' : policy;
      return { calls: await results(side, policy, search), tree: treeOf(side.lower) };
    }),
  );
  const [mine, other] = all as [(typeof all)[0], (typeof all)[0]];
  for (const [i, operation] of Object.keys(OPERATIONS).entries())
    note(operation, mine.calls[i] ?? 'ok', other.calls[i] ?? 'ok');
  for (const path of new Set([...Object.keys(mine.tree), ...Object.keys(other.tree)]))
    note(`leaves ${path}`, mine.tree[path], other.tree[path]);

  function note(what: string, mineIs: unknown, otherIs: unknown): void {
    if (JSON.stringify(mineIs) !== JSON.stringify(otherIs))
      found.set(`${policy}: ${what}`, { mergerfs: otherIs ?? 'absent', ours: mineIs ?? 'absent', why: '' });
  }
}

if (TRANSPORT === 'device') {
  if (absent !== undefined && process.env.CI === 'true')
    test('mergerfs is there', () => {
      throw new Error(`CI has to compare with mergerfs: ${absent}`);
    });
  else if (absent !== undefined) test.skip(`beside mergerfs (skipped: ${absent})`, () => {});
  else
    kernelTest(
      'does what mergerfs does, but for what is listed',
      async () => {
        for (const policy of POLICIES) await compare(policy);
        const listed = Object.fromEntries(
          Object.entries(DIFFERS).map(([key, { mergerfs, ours: mine }]) => [key, { mergerfs, ours: mine }]),
        );
        const seen = Object.fromEntries(
          [...found].map(([key, { mergerfs, ours: mine }]) => [key, { mergerfs, ours: mine }]),
        );
        expect(seen).toEqual(listed);
      },
      120_000,
    );
}
