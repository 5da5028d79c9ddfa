/** The README is held to what it says: its program compiles and serves a real mount, its commands are those of CI. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, expect, test } from 'vitest';
import { mountAt } from '../src/mountinfo.ts';
import { compile, type Installed, install, ROOT } from './installed.ts';
import { kernelTest, sh, until } from './support.ts';

const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
const blocks = (language: string): string[] =>
  [...readme.matchAll(/^```(\w+)\n(.*?)^```$/gmsu)].filter(([, of]) => of === language).map(([, , code]) => code!);

/** The first screen of a page as a code host shows it: lines. */
const SCREEN = 60;

test('the first screen holds the two commands and the program', () => {
  const screen = readme.split('\n').slice(0, SCREEN).join('\n');
  expect(screen).toContain('npm ci && npm start');
  expect(screen).toContain('npm ci && npm test');
  expect(screen).toContain(blocks('ts')[0]);
});

test("its test command is CI's", () => {
  const ci = readFileSync(join(ROOT, '.ci/run'), 'utf8');
  expect(
    blocks('sh')
      .join('')
      .match(/^npm ci && npm test\b/gmu),
  ).toHaveLength(1);
  expect(ci).toContain("readme_test='npm ci && npm test'");
});

test('its program is examples/hello.ts, of some 20 lines', () => {
  const [program] = blocks('ts');
  expect(program).toBe(readFileSync(join(ROOT, 'examples/hello.ts'), 'utf8'));
  expect(program!.split('\n').filter((line) => line.trim() !== '').length).toBeLessThanOrEqual(22);
});

test('every file that it links to exists', () => {
  const links = [...readme.matchAll(/\]\((?!https?:)([^)#]+)/gu)].map(([, path]) => path!);
  expect(links.length).toBeGreaterThan(3);
  for (const path of links) expect(() => readFileSync(join(ROOT, path)), path).not.toThrow();
});

/** Starts a server, waits for the line that says so, uses it, interrupts it as Ctrl-C does, and sees it end well. */
async function served(
  command: string,
  args: string[],
  cwd: string,
  dir: string,
  said: string,
  use: () => Promise<void>,
) {
  const program = spawn(command, args, { cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = once(program, 'exit');
  const lines: string[] = [];
  for (const output of [program.stdout, program.stderr]) createInterface(output).on('line', (line) => lines.push(line));
  const told = () => lines.some((line) => line.includes(said));
  try {
    await until(() => told() || program.exitCode !== null, `${command} to mount`, 20_000);
    await use();
    process.kill(-program.pid!, 'SIGINT');
    // The shell between npm and the program gets the signal too, and may end of it when the program has ended.
    expect(['0,', ',SIGINT']).toContain(String(await ended));
    expect(lines.join('\n')).not.toContain('rawfuse:');
    await until(() => mountAt(dir) === undefined, 'the mount to go');
  } finally {
    if (program.exitCode === null) process.kill(-program.pid!, 'SIGKILL');
    if (mountAt(dir)) await sh(`umount -l ${dir}`, '/');
  }
}

let installed: Installed | undefined;
afterAll(() => installed?.remove());

kernelTest(
  "the README's program compiles against the package and serves a mount until Ctrl-C",
  async () => {
    installed ??= await install();
    const { project } = installed;
    writeFileSync(join(project, 'hello.ts'), blocks('ts')[0]!);
    expect(await compile(project, 'hello.ts')).toBe('');
    const dir = join(project, 'mnt');
    mkdirSync(dir);
    await served(process.execPath, ['hello.js', dir], project, dir, `Serving ${dir}; Ctrl-C unmounts.`, async () => {
      expect(await sh('ls; cat hello.txt; tail -c 5 hello.txt; cat absent 2>&1 || true', dir)).toMatch(
        /^hello\.txt\nHello from TypeScript\nript\n.*No such file/u,
      );
    });
  },
  60_000,
);

kernelTest(
  'npm start mounts ./mnt, says so, and unmounts at Ctrl-C',
  async () => {
    installed ??= await install();
    const dir = join(installed.tree, 'mnt');
    await served('npm', ['start'], installed.tree, dir, dir, async () => {
      expect(await sh('mkdir d; echo text > d/a; cat d/a; df --output=target .', dir)).toBe(
        `text\nMounted on\n${dir}\n`,
      );
    });
  },
  60_000,
);
