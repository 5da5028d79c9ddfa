/**
 * What tests start, compiled once for a run of them: the command, the examples, the servers, and the threads of mounts that the tests
 * themselves serve. A start from the sources takes 1.0 s of CPU, for tsx has to be loaded first; from here it takes 0.2 s. A thread
 * takes 0.06 s, not 0.14.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BUILD } from '../src/abi/worker.ts';

const ROOT = join(import.meta.dirname, '..');

/** Compiles everything, for the processes that are started from now on; the directory, which whoever asked for it removes. */
export function compile(): string {
  // Where koffi is found from, and nobody else looks. Not dist/: that is the user's.
  const cache = join(ROOT, 'node_modules/.cache');
  mkdirSync(cache, { recursive: true });
  const built = mkdtempSync(join(cache, 'rawfuse-test-'));
  chmodSync(built, 0o755); // programs run as other users, too
  const args = ['-p', 'tsconfig.json', '--noEmit', 'false', '--outDir', built, '--rootDir', '.', '--noCheck'];
  const imports = ['--allowImportingTsExtensions', 'false', '--rewriteRelativeImportExtensions'];
  execFileSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), ...args, ...imports], { cwd: ROOT });
  // The package that it is part of: examples import it by its name.
  writeFileSync(
    join(built, 'package.json'),
    readFileSync(join(ROOT, 'package.json'), 'utf8').replaceAll('./dist/', './'),
  );
  process.env[BUILD] = built;
  return built;
}

/** A compiled file by its source's path in the repository: `tools/cli.ts`. */
export function compiled(source: string): string {
  const built = process.env[BUILD];
  if (built === undefined) throw new Error('nothing is compiled: test/global-setup.ts does it');
  return join(built, source.replace(/\.ts$/u, '.js'));
}

/** The environment of a program whose threads are to start from the sources, as the program does. */
export const fromSources = (): NodeJS.ProcessEnv => ({ ...process.env, [BUILD]: undefined });

/** A module beside `from` (an import.meta.url) by its name without extension: the source's beside a source, else the compiled one. */
export const beside = (name: string, from: string): URL => new URL(`${name}.${from.split('.').at(-1)}`, from);
