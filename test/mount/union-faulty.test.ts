/**
 * UnionFs over branches that are mounts of another process: which fail with EIO while they are used, and recover; which take their time,
 * and are asked at once or in turn; which count what they are asked.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import type { TraceEvent } from '../../src/protocol/trace.ts';
import { kernelTest, lacking, temporary, until } from '../support.ts';
import { FaultyMounts } from './faulty.ts';
import { Client } from './python.ts';
import { type UnionMount, union } from './union.ts';

/** Each line is an expression of Python; its value, or the name of its errno, is said. `fds` keeps descriptors. */
const AGENT = `
fds = {}
def write(name, text, how=os.O_CREAT | os.O_TRUNC | os.O_WRONLY):
    fd = os.open(P(name), how, 0o644)
    try: return os.write(fd, text)
    finally: os.close(fd)
def ls(name=''):
    return sorted(os.listdir(P(name)))
say('here')
while line := told().strip():
    say(result(lambda: eval(line)))
`;

let faulty: FaultyMounts;
let plain: string;
let m: UnionMount;
let client: Client;
const events: TraceEvent[] = [];
/** What the trace has said since the last time. */
const notes = () => events.splice(0).flatMap((event) => (event.kind === 'note' ? [event.message] : []));
const ask = (expression: string) => {
  client.tell(expression);
  return client.said();
};
const on = (i: number, path: string) => join(m.branches[i]!, path);

beforeAll(async () => {
  if (lacking !== undefined) return;
  faulty = await FaultyMounts.start(2);
  plain = temporary();
  m = await union({
    branches: [...faulty.directories, plain],
    options: { 'category.create': 'ff', 'cache.entry': '0', 'cache.attr': '0', 'cache.files': 'off' },
    mount: { trace: (event) => event.kind === 'note' && events.push(event) },
  });
  client = new Client(m.dir, AGENT);
  expect(await client.said()).toBe('here');
}, 60_000);
afterAll(async () => {
  await client?.[Symbol.asyncDispose]();
  try {
    await m?.[Symbol.asyncDispose]();
  } finally {
    await faulty?.[Symbol.asyncDispose]();
    if (plain) rmSync(plain, { recursive: true });
  }
}, 60_000);

kernelTest('a branch that says EIO: what the client gets, that the others go on, and that it recovers', async () => {
  for (const i of [0, 1, 2]) mkdirSync(on(i, 'd'));
  writeFileSync(on(0, 'd/first'), 'first');
  writeFileSync(on(2, 'd/last'), 'last');
  for (const i of [0, 2])
    for (const name of ['both', 'gone', 'old']) writeFileSync(on(i, `d/${name}`), `${i}`.repeat(i + 1));
  const descriptors = () => readdirSync('/proc/self/fd').length;
  const before = descriptors();
  const text = (name: string) => `open(P('d/${name}'), 'rb').read()`;
  /** With these operations failing, what an expression gives; then without. */
  async function tried(fail: string, expression: string, after = expression) {
    await faulty.behave(0, { fail: fail.split(' ') });
    const [wrong, said] = [await ask(expression), notes()];
    await faulty.behave(0);
    return [wrong, said, await ask(after)];
  }
  const said = (what: string) => [expect.stringContaining(`${what}: ${m.branches[0]} says EIO of d`)];

  // What goes by an open file is that file's.
  expect(await ask("fds.update(f=os.open(P('d/first'), os.O_RDWR))")).toBeNull();
  expect(await tried('read', "os.pread(fds['f'], 9, 0)")).toEqual(['EIO', [], 'first']);
  expect(await tried('write', "os.pwrite(fds['f'], b'F', 0)")).toEqual(['EIO', [], 1]);
  expect(await tried('fsync', "os.fsync(fds['f'])")).toEqual(['EIO', [], null]);
  expect(await tried('setattr', "os.ftruncate(fds['f'], 4)")).toEqual(['EIO', [], null]);
  // The kernel asks by name, also of an open file. A branch that can't be asked has it not; and then it has it again.
  expect(await tried('getattr statx', "os.fstat(fds['f']).st_size")).toEqual(['ENOENT', [], 4]);
  expect(await tried('lookup', "os.stat(P('d/first')).st_size", "os.fstat(fds['f']).st_size")).toEqual([
    'ENOENT',
    [],
    4,
  ]);
  expect(await tried('flush', "os.close(fds['f'])", text('first'))).toEqual(['EIO', [], 'Firs']);
  // The first that has a name is that file, and its error the error; one that does not find it, whatever it says, has it not.
  expect(await tried('open', text('both'))).toEqual(['EIO', [], '0']);
  expect(await tried('getattr statx', "os.stat(P('d/both')).st_size")).toEqual([3, [], 1]);
  expect(await tried('lookup', text('both'))).toEqual(['222', [], '0']);
  expect(await tried('lookup', text('first'))).toEqual(['ENOENT', [], 'Firs']);
  // A directory has the names of those that can be read.
  const names = ['both', 'first', 'gone', 'last', 'old'];
  const rest = names.filter((name) => name !== 'first');
  for (const operation of ['opendir', 'readdir']) expect(await tried(operation, "ls('d')")).toEqual([rest, [], names]);
  await faulty.behave(1, { fail: ['opendir'] });
  expect(await tried('opendir', "ls('d')", "os.rmdir(P('d'))")).toEqual(['EIO', [], 'ENOTEMPTY']);
  await faulty.behave(1);
  // What changes a file on several branches is told by the one that is shown; what changes a name is done where one has done it.
  expect(await tried('setattr', "os.chmod(P('d/both'), 0o600)", "oct(os.stat(P('d/both')).st_mode)")).toEqual([
    ...['EIO', said('chmod'), '0o100644'],
  ]);
  expect(await tried('unlink', "os.unlink(P('d/gone'))", text('gone'))).toEqual([null, said('unlink'), '0']);
  expect(await tried('rename', "os.rename(P('d/old'), P('d/new'))", "ls('d')")).toEqual([
    ...[null, [expect.stringMatching(/^rename: .* keeps d\/old: EIO$/u)]],
    ['both', 'first', 'gone', 'last', 'new', 'old'],
  ]);
  expect(await ask("os.rename(P('d/old'), P('d/new'))")).toBeNull();
  // A new file is the chosen branch's matter; directories on all are made where they can be.
  expect(await tried('create', "write('d/made', b'x')")).toEqual(['EIO', [], 1]);
  expect(await tried('statfs', "write('d/elsewhere', b'x')", "ls('d')")).toEqual([
    ...[1, [], ['both', 'elsewhere', 'first', 'gone', 'last', 'made', 'new']],
  ]);
  m.filesystem.set('func.mkdir', 'all');
  expect(await tried('mkdir', "os.mkdir(P('d/e'))", "ls('d/e')")).toEqual([null, said('mkdir'), []]);
  m.filesystem.set('func.mkdir', 'ff');

  const all = [0, 1, 2].map((i) => readdirSync(on(i, 'd')).sort());
  expect(all).toEqual([
    ['both', 'first', 'gone', 'made', 'new'],
    ['e', 'elsewhere'],
    ['both', 'e', 'last'],
  ]);
  await until(() => m.filesystem.opened === 0 && descriptors() === before, 'what was opened to be closed');
  expect(
    await ask("[os.unlink(os.path.join(P('d'), n)) for n in ls('d') if n != b'e'] and os.rmdir(P('d/e'))"),
  ).toBeNull();
});

kernelTest(
  'func.readdir: directories of slow branches are opened in turn, at once, or opened and read at once',
  async () => {
    mkdirSync(on(0, 'slow'));
    mkdirSync(on(1, 'slow/in'), { recursive: true });
    writeFileSync(on(0, 'slow/a'), '');
    writeFileSync(on(1, 'slow/b'), '');
    const [alone, paired] = ['a while', 'for another'] as const;
    const ways = {
      seq: { opendir: alone, readdir: alone },
      cosr: { opendir: paired, readdir: alone },
      'cor:2': { opendir: paired, readdir: paired },
      'cor:1': { opendir: alone, readdir: alone },
    };
    const atOnce: Record<string, unknown> = {};
    for (const [way, slow] of Object.entries(ways)) {
      m.filesystem.set('func.readdir', way);
      for (const i of [0, 1]) await faulty.behave(i, { slow });
      expect(await ask("ls('slow')"), way).toEqual(['a', 'b', 'in']);
      atOnce[way] = (await faulty.behave(0)).atOnce;
    }
    expect(atOnce).toEqual({
      seq: { opendir: 1, readdir: 1 },
      cosr: { opendir: 2, readdir: 1 },
      'cor:2': { opendir: 2, readdir: 2 },
      'cor:1': { opendir: 1, readdir: 1 },
    });
    for (const i of [0, 1]) await faulty.behave(i);
    m.filesystem.set('func.readdir', 'seq');
  },
);

kernelTest('flush-on-close: close(2) is a close on the branch, for writers, for all, for nobody', async () => {
  await ask("write('flushed', b'x')");
  const flushes = async (how: string, flags: string) => {
    m.filesystem.set('flush-on-close', how);
    // What is closed at last, and nobody waits for, is a close there, too.
    await until(() => m.filesystem.opened === 0, 'files to be closed');
    await faulty.behave(0);
    await ask(`fds.update(f=os.open(P('flushed'), os.${flags}))`);
    await ask("os.close(os.dup(fds['f']))");
    const { asked } = await faulty.behave(0);
    await ask("os.close(fds['f'])");
    return asked[0]!.flush ?? 0;
  };
  const counts: Record<string, number[]> = {};
  for (const how of ['never', 'always', 'opened-for-write'])
    counts[how] = [await flushes(how, 'O_RDONLY'), await flushes(how, 'O_WRONLY')];
  expect(counts).toEqual({ never: [0, 0], always: [1, 1], 'opened-for-write': [0, 1] });
});

kernelTest(
  'nfsopenhack: a read-only file that the branch refuses to open is opened for all, in git’s directory, or not',
  async () => {
    await ask("os.makedirs(P('.git/objects'))");
    for (const path of ['.git/objects/x', 'y']) await ask(`write('${path}', b'x') and os.chmod(P('${path}'), 0o444)`);
    await faulty.behave(0, { likeNfs: true });
    const results: Record<string, unknown[]> = {};
    for (const how of ['off', 'git', 'all']) {
      m.filesystem.set('nfsopenhack', how);
      const write = (path: string) => ask(`write('${path}', b'more', os.O_WRONLY)`);
      results[how] = [await write('.git/objects/x'), await write('y')];
    }
    await faulty.behave(0);
    expect(results).toEqual({ off: ['EACCES', 'EACCES'], git: [4, 'EACCES'], all: [4, 4] });
    expect(await ask("[oct(os.stat(P(n)).st_mode) for n in ('.git/objects/x', 'y')]")).toEqual([
      '0o100444',
      '0o100444',
    ]);
    expect(readFileSync(on(0, 'y'), 'utf8')).toBe('more');
  },
);
