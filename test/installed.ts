/**
 * The package as a user gets it: packed from a copy of the tree (so that nothing is built into this one),
 * and installed into an empty project. Its one dependency is linked, not fetched: no network is needed.
 */
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { temporary } from './support.ts';

export const ROOT = join(import.meta.dirname, '..');
const execute = promisify(execFile);
const SOURCES = ['package.json', 'tsconfig.json', 'tsconfig.build.json', 'LICENSE', 'README.md', 'CHANGELOG.md'];

export interface Installed {
  /** The copy of the tree, as after npm ci. */
  readonly tree: string;
  /** The project, with the package in its node_modules. */
  readonly project: string;
  /** The package in there. */
  readonly package: string;
  /** What the tarball holds, as npm lists it. */
  readonly files: readonly string[];
  remove(): void;
}

/** Packs and installs. Takes some seconds: what needs it is in one test file. */
export async function install(): Promise<Installed> {
  const top = temporary('rawfuse-package-');
  const tree = join(top, 'tree');
  mkdirSync(tree);
  for (const name of [...SOURCES, 'src', 'tools', 'docs'])
    cpSync(join(ROOT, name), join(tree, name), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(tree, 'node_modules'));
  const { stdout } = await execute('npm', ['pack', '--json', '--silent', '--pack-destination', top], {
    cwd: tree,
    timeout: 100_000,
  }).catch((error) => {
    rmSync(top, { recursive: true });
    throw new Error(`npm pack failed:\n${error.stdout}${error.stderr}`);
  });
  // What the build prints may come first.
  const [{ filename, files }] = JSON.parse(stdout.slice(stdout.search(/^\[$/mu))) as [
    { filename: string; files: { path: string }[] },
  ];
  const project = join(top, 'project');
  const modules = join(project, 'node_modules');
  mkdirSync(join(modules, 'rawfuse'), { recursive: true });
  writeFileSync(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  await execute('tar', ['xzf', join(top, filename), '-C', join(modules, 'rawfuse'), '--strip-components=1']);
  for (const name of ['koffi', '@types']) symlinkSync(join(ROOT, 'node_modules', name), join(modules, name));
  return {
    tree,
    project,
    package: join(modules, 'rawfuse'),
    files: files.map(({ path }) => path),
    remove: () => rmSync(top, { recursive: true }),
  };
}

/** Compiles the project's TypeScript files to JavaScript beside them, as strictly as ours; the compiler's words if it refuses. */
export async function compile(project: string, ...files: string[]): Promise<string> {
  const options = '--strict --noUncheckedIndexedAccess --exactOptionalPropertyTypes --verbatimModuleSyntax';
  const target = '--target es2023 --module nodenext --types node';
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const args = [tsc, ...options.split(' '), ...target.split(' '), '--ignoreConfig', ...files];
  try {
    await execute(process.execPath, args, { cwd: project, timeout: 60_000 });
    return '';
  } catch (error) {
    return (error as { stdout: string }).stdout;
  }
}
