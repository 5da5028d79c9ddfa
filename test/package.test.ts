/** The package from outside: what it holds, what its entry points give, and that it runs without tsx. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compile, type Installed, install, ROOT } from './installed.ts';
import { run } from './support.ts';

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
