/**
 * Starts a thread on a module beside the caller's. From dist/ that is the compiled file; from the sources
 * Node 20 can't load a .ts file in a worker, so a line of JavaScript registers tsx there first (tsx is a
 * development dependency, and only the sources need it).
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { Worker, type WorkerOptions } from 'node:worker_threads';
import { countThreads } from './critical.ts';
import { prepareExit } from './exit.ts';

/** `from` is the caller's import.meta.url, `module` the relative path without its extension. */
export function startWorker(from: string, module: string, options: WorkerOptions = {}): Worker {
  prepareExit();
  countThreads();
  const source = from.endsWith('.ts');
  const url = new URL(`${module}${source ? '.ts' : '.js'}`, from);
  // Without the parent's flags: loaders (tsx, vitest) would be taken up a second time, --input-type=module refuses a file.
  const own = { ...options, execArgv: [] };
  if (!source) return new Worker(url, own);
  // Not resolve('tsx/esm/api'): require's answer is the CommonJS form, which can't load itself here.
  const manifest = createRequire(from).resolve('tsx/package.json');
  const { exports } = JSON.parse(readFileSync(manifest, 'utf8')) as {
    exports: Record<string, { import: { default: string } }>;
  };
  const tsx = new URL(exports['./esm/api']!.import.default, pathToFileURL(manifest)).href;
  const bootstrap = `import(${JSON.stringify(tsx)}).then(({ register }) => { register(); return import(${JSON.stringify(url.href)}); });`;
  return new Worker(bootstrap, { ...own, eval: true });
}
