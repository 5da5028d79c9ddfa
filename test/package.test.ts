/** The package from outside: what it holds, what its entry points give, that it runs without tsx, and serves the README's program. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { mountAt } from '../src/mountinfo.ts';
import { compile, type Installed, install, ROOT } from './installed.ts';
import { kernelTest, run, sh, until } from './support.ts';

let installed: Installed;
beforeAll(async () => {
  installed = await install();
}, 110_000);
afterAll(() => installed?.remove());

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  version: string;
  exports: Record<string, { types: string; default: string }>;
  bin: Record<string, string>;
  os: string[];
  cpu: string[];
};

test('is for Linux on x86-64 and arm64', () => {
  expect(manifest).toMatchObject({ os: ['linux'], cpu: ['x64', 'arm64'] });
  expect(existsSync(join(ROOT, '.editorconfig'))).toBe(true);
});

test('holds what a user needs and nothing else', () => {
  const wanted = [
    /^(package\.json|README\.md|LICENSE|CHANGELOG\.md)$/u,
    /^docs\/.+\.(md|svg)$/u,
    /^dist\/src\/.+\.(js|js\.map|d\.ts)$/u,
    /^dist\/tools\/(cli\.|cli\/).*(js|js\.map|d\.ts)$/u,
  ];
  expect(installed.files.filter((path) => !wanted.some((each) => each.test(path)))).toEqual([]);
  const needed = Object.values(manifest.exports).flatMap((entry) => Object.values(entry));
  for (const path of [...needed, 'LICENSE', 'README.md']) expect(installed.files).toContain(path.replace(/^\.\//u, ''));
});

test('every source is there compiled, with its declarations and a source map that holds the source', () => {
  const sources = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' }).filter((each) =>
    each.endsWith('.ts'),
  );
  expect(sources.length).toBeGreaterThan(20);
  for (const source of sources) {
    const stem = join(installed.package, 'dist/src', source.replace(/\.ts$/u, ''));
    expect(existsSync(`${stem}.d.ts`), stem).toBe(true);
    const map = JSON.parse(readFileSync(`${stem}.js.map`, 'utf8')) as { sourcesContent: string[] };
    expect(map.sourcesContent).toEqual([readFileSync(join(ROOT, 'src', source), 'utf8')]);
  }
});

test('its entry points import and type-check', async () => {
  const program = `
    import { ENOENT, type Filesystem, mount, type MountOptions, O_DIRECT, serve } from 'rawfuse';
    import { HandleTable, MemoryFs, NodeTable } from 'rawfuse/fs';
    import { operations, Session, struct, structs, u32 } from 'rawfuse/protocol';
    import { DurableFile, NvmeNamespace, O_RDWR, probe, RESOLVE_BENEATH, Ring, UringError, UringFile, UringFiles, type UringStat } from 'rawfuse/uring';

    const options: MountOptions = { allowOther: true };
    const filesystem: Filesystem = new MemoryFs();
    const pair = struct({ a: u32, b: u32 });
    new Session(filesystem, options);
    // @ts-expect-error: an attribute without ino and mode is none
    const wrong: Filesystem = { getattr: () => ({ attr: {} }) };
    console.log(typeof mount, typeof serve, typeof wrong, ENOENT.errno, O_DIRECT > 0, new HandleTable().size, NodeTable.name);
    console.log(operations.LOOKUP.code, structs.fuse_in_header.size, pair.size);
    const size = (stat: UringStat): number => stat.size;
    const open = (files: UringFiles): Promise<UringFile> => files.openat2('x', { flags: O_RDWR, resolve: RESOLVE_BENEATH });
    console.log(typeof probe, Ring.name, DurableFile.name, NvmeNamespace.name, new UringError('absent', '').reason, size.length, open.length);
  `;
  writeFileSync(join(installed.project, 'entry.ts'), program);
  expect(await compile(installed.project, 'entry.ts')).toBe('');
  expect(await run(process.execPath, [join(installed.project, 'entry.js')])).toBe(
    'function function object 2 true 0 NodeTable\n1 40 8\nfunction Ring DurableFile NvmeNamespace absent 1 1\n',
  );
});

test('what is no entry point can not be imported', async () => {
  const inside = `import('rawfuse/dist/src/mount.js').catch((error) => console.log(error.code))`;
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', inside], { cwd: installed.project });
  expect(stdout).toBe('ERR_PACKAGE_PATH_NOT_EXPORTED\n');
});

test('its command runs without tsx', async () => {
  const cli = join(installed.package, manifest.bin.rawfuse!);
  expect(readFileSync(cli, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/u);
  expect(await run(process.execPath, [cli, '--version'])).toContain(manifest.version);
  expect(await run(process.execPath, [cli, 'help'])).toMatch(/^ +mount +.*^ +unmount +.*^ +doctor +/msu);
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

kernelTest(
  "the README's program compiles against the package and serves a mount until Ctrl-C",
  async () => {
    const { project } = installed;
    // The README's program is this file: test/readme.test.ts holds it to that.
    writeFileSync(join(project, 'hello.ts'), readFileSync(join(ROOT, 'examples/hello.ts'), 'utf8'));
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
    const dir = join(installed.tree, 'mnt');
    await served('npm', ['start'], installed.tree, dir, dir, async () => {
      expect(await sh('mkdir d; echo text > d/a; cat d/a; df --output=target .', dir)).toBe(
        `text\nMounted on\n${dir}\n`,
      );
    });
  },
  60_000,
);
