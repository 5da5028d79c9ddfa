/** The examples of files over io_uring do what the programs do that they are modelled on, and end well. */
import { type ChildProcess, execFile } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { compiled } from '../compiled.ts';
import { ROOT } from '../installed.ts';
import { sh, start, temporary, until } from '../support.ts';

let dir: string;
const children: ChildProcess[] = [];
beforeEach(() => {
  dir = temporary('rawfuse-examples-');
});
afterEach(() => {
  for (const child of children.splice(0)) if (child.exitCode === null) child.kill('SIGKILL');
  rmSync(dir, { recursive: true });
});

const argsOf = (name: string, args: readonly string[]) => [compiled(`examples/uring-${name}.ts`), ...args];

interface Ended {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}
/** Runs an example to its end. */
const example = (name: string, ...args: string[]): Promise<Ended> =>
  new Promise((resolve) => {
    const child = execFile(process.execPath, argsOf(name, args), { timeout: 30_000 }, (_, out, err) =>
      resolve({ status: child.exitCode, out, err }),
    );
  });

/** Starts a program that goes on; what it has written so far. */
function going(program: string, args: readonly string[]) {
  const child = start(program, args);
  children.push(child);
  const said = { out: '', err: '' };
  child.stdout!.on('data', (chunk) => {
    said.out += chunk;
  });
  child.stderr!.on('data', (chunk) => {
    said.err += chunk;
  });
  return { child, said };
}
const exampleGoing = (name: string, ...args: string[]) => going(process.execPath, argsOf(name, args));
/** As Ctrl-C does; its exit status. */
async function interrupt(child: ChildProcess): Promise<number | null> {
  const ended = once(child, 'exit');
  child.kill('SIGINT');
  return (await ended)[0];
}

describe('uring-copy', () => {
  /** Names, kinds, modes, sizes, times and targets. */
  const listing = (tree: string) => sh("find . -printf '%P %y %m %s %T@ %l\\n' | LC_ALL=C sort", tree);

  test('copies as cp -a does', async () => {
    await sh(
      `mkdir -p tree/a/b/c tree/empty; cd tree
       for size in 0 1 4096 262143 262144 262145 3000000; do head -c $size /dev/urandom > a/$size; done
       for i in $(seq 300); do echo $i > a/b/$i; done
       ln -s ../a/1 a/b/link; ln -s nowhere a/dangling
       chmod 600 a/1; chmod 4755 a/4096; chmod 555 a/b/c; chmod 700 empty
       find . -depth -exec touch -h -d "2001-02-03 04:05:06.5" {} +
       touch -h -d "2002-02-03 04:05:06.25" a/dangling a/1 a/b/7; touch -d "2003-02-03 04:05:07.75" a/b/c empty a
       cp -a . ../expected`,
      dir,
    );
    const { status, out, err } = await example('copy', join(dir, 'tree'), join(dir, 'copy'));
    expect([status, err]).toEqual([0, '']);
    expect(out).toMatch(/^307 files, \d+ bytes, 0 vanished meanwhile, 0 failed\n$/u);
    expect(await listing(join(dir, 'copy'))).toBe(await listing(join(dir, 'expected')));
    expect(await sh('diff -r --no-dereference copy expected', dir)).toBe('');
  });

  test('copies the rest when files vanish meanwhile', async () => {
    await sh(
      'mkdir -p tree/goes/{1..9}; for d in tree/goes/*; do touch $d/{1..200}; done; mkdir tree/stays; for i in {1..300}; do echo $i > tree/stays/$i; done',
      dir,
    );
    const copying = example('copy', join(dir, 'tree'), join(dir, 'copy'));
    await until(() => readdirSync(dir).includes('copy'), 'the copying to begin');
    await sh('rm -r tree/goes', dir);
    const { status, err } = await copying;
    expect([status, err.replaceAll(/^uring-copy: .*\/tree\/goes\S*: vanished\n/gmu, '')]).toEqual([0, '']);
    expect(await sh('diff -r copy/stays tree/stays', dir)).toBe('');
  });

  test('interrupted, it leaves only whole files', async () => {
    await sh('mkdir tree; for i in {1..5000}; do echo $i > tree/$i; done', dir);
    const { child, said } = exampleGoing('copy', join(dir, 'tree'), join(dir, 'copy'));
    const ended = once(child, 'exit');
    await until(() => readdirSync(dir).includes('copy') || child.exitCode !== null, 'the copying to begin');
    child.kill('SIGINT');
    await ended;
    expect([0, 130]).toContain(child.exitCode); // it may have been done
    expect(said.err).toBe('');
    for (const name of readdirSync(join(dir, 'copy')))
      expect(readFileSync(join(dir, 'copy', name), 'utf8')).toBe(`${name}\n`);
  });

  test('refuses what can not be', async () => {
    writeFileSync(join(dir, 'file'), '');
    const wrong: [args: string[], says: RegExp][] = [
      [[], /^uring-copy: usage: /u],
      [[join(dir, 'absent'), join(dir, 'copy')], /no such file/u],
      [[join(dir, 'file'), join(dir, 'copy')], /is no directory$/mu],
      [[dir, join(dir, 'copy')], /lies in/u],
      [[ROOT, join(dir, 'file')], /is there already/u],
    ];
    await Promise.all(
      wrong.map(async ([args, says]) => {
        const { status, out, err } = await example('copy', ...args);
        expect([status, out, err.split('\n').length]).toEqual([2, '', 2]);
        expect(err).toMatch(says);
      }),
    );
  });
});

describe('uring-grep', () => {
  /** The same by grep: status and lines, in any order of files. */
  async function both(...args: string[]) {
    const lines = ({ out }: Ended) => out.split('\n').sort();
    const theirs = await new Promise<Ended>((resolve) => {
      const child = execFile(
        'grep',
        ['-rnFI', ...args],
        { env: { ...process.env, LC_ALL: 'C.UTF-8' } },
        (_, out, err) => resolve({ status: child.exitCode, out, err }),
      );
    });
    const ours = await example('grep', ...args);
    expect([ours.status, lines(ours)]).toEqual([theirs.status, lines(theirs)]);
    return ours;
  }

  test('finds what grep finds', async () => {
    await both('import', join(ROOT, 'src/abi'), join(ROOT, 'README.md'));
    await sh(
      `mkdir -p tree/sub; cd tree
       printf 'needle' > no-newline; printf 'needle\\n\\nneedle needle\\nno\\n' > some; printf 'a\\0needle\\n' > binary; : > empty
       ln -s some link; seq 100000 | sed 's/7777$/needle/' > sub/long
       { head -c 262140 /dev/zero | tr '\\0' x; printf 'needle\\n'; head -c 700000 /dev/zero | tr '\\0' y; printf '\\nneedle\\n'; } > sub/wide`,
      dir,
    );
    const { out, err } = await both('needle', join(dir, 'tree'), join(dir, 'tree/link'));
    expect([out.includes('long:17777:1needle'), err]).toEqual([true, '']);
    await both('not there', join(dir, 'tree'));
  });

  test('goes on after what it can not read, and says so', async () => {
    writeFileSync(join(dir, 'a'), 'needle\n');
    const { status, err } = await both('needle', join(dir, 'absent'), join(dir, 'a'));
    expect([status, err]).toEqual([2, expect.stringMatching(/^uring-grep: .*absent: .*no such file.*\n$/u)]);
    const wrong = await example('grep', 'needle');
    expect([wrong.status, wrong.err]).toEqual([2, 'uring-grep: usage: uring-grep STRING PATH...\n']);
  });

  test('ends at Ctrl-C, whatever it waits for', async () => {
    await sh('mkfifo pipe; echo needle > a', dir);
    const held = openSync(join(dir, 'pipe'), 'r+'); // so that the pipe never ends
    const { child, said } = exampleGoing('grep', 'needle', join(dir, 'pipe'), join(dir, 'a'));
    await until(() => said.out !== '', 'the other file');
    expect([await interrupt(child), said.err]).toEqual([130, '']);
    closeSync(held);
  });
});

describe('uring-tail', () => {
  test('shows the last lines, as tail does', async () => {
    await sh("seq 50000 > lines; printf 'one\\ntwo' > unfinished; : > empty; printf '\\n\\n\\n' > blank", dir);
    const cases: [lines: number, name: string][] = [
      [3, 'lines'],
      [20_000, 'lines'],
      [60_000, 'lines'],
      [1, 'unfinished'],
      [2, 'blank'],
      [10, 'empty'],
    ];
    await Promise.all(
      cases.map(async ([lines, name], i) => {
        const path = join(dir, `${i}`);
        const expected = await sh(`cp ${name} ${i}; tail -n ${lines} ${i}`, dir);
        const { child, said } = exampleGoing('tail', '-n', `${lines}`, path);
        await until(() => said.out.length >= expected.length, 'the lines', 20_000);
        appendFileSync(path, 'END\n');
        await until(() => said.out.endsWith('END\n'), 'what was added', 20_000);
        expect(said.out).toBe(`${expected}END\n`);
        expect([await interrupt(child), said.err]).toEqual([130, '']);
      }),
    );
  });

  test('shows only what is added, where no lines are asked for', async () => {
    const path = join(dir, 'log');
    writeFileSync(path, 'old\n');
    const { child, said } = exampleGoing('tail', '-n', '0', path);
    const added = () => {
      appendFileSync(path, 'new\n'); // it says nothing when it begins
      return said.out !== '';
    };
    await until(added, 'what was added', 20_000);
    expect(said.out).toMatch(/^(new\n)+$/u);
    expect([await interrupt(child), said.err]).toEqual([130, '']);
  });

  test('follows what is added, emptied and replaced, as tail -F does', async () => {
    const path = join(dir, 'log');
    writeFileSync(path, 'first\n');
    const ours = exampleGoing('tail', path);
    const theirs = going('tail', ['-F', path]);
    const both = (what: string) =>
      until(() => [ours, theirs].every(({ said }) => said.out.endsWith(`${what}\n`)), what, 20_000);
    await both('first');
    appendFileSync(path, 'second\nthird\n');
    await both('third');
    writeFileSync(path, 'emptied\n');
    await both('emptied');
    renameSync(path, `${path}.1`);
    appendFileSync(`${path}.1`, 'late\n');
    await until(() => ours.said.out.endsWith('late\n'), 'what came after the renaming');
    writeFileSync(path, 'replaced\n');
    await both('replaced');
    appendFileSync(path, 'last\n');
    await both('last');
    // tail lets the old file go at once.
    expect(ours.said.out.replace('late\n', '')).toBe(theirs.said.out.replace('late\n', ''));
    expect(ours.said.err).toMatch(/^uring-tail: .*log was emptied\nuring-tail: .*log is another file now\n$/u);
    expect(await interrupt(ours.child)).toBe(130);
  });

  test('says what is wrong', async () => {
    expect(await example('tail', join(dir, 'absent'))).toEqual({
      ...{ status: 1, out: '' },
      err: expect.stringMatching(/^uring-tail: .*absent: .*no such file.*\n$/u),
    });
    const wrong = [[], ['-n', 'x', 'file'], ['--what', 'file']].map((args) => example('tail', ...args));
    for (const each of await Promise.all(wrong))
      expect(each).toMatchObject({ status: 2, err: expect.stringMatching(/usage/u) });
  });
});
