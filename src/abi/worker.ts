/**
 * Starts a thread on a module beside the caller's. From dist/ that is the compiled file; from the sources
 * Node 20 can't load a .ts file in a worker, so a line of JavaScript registers tsx there first (tsx is a
 * development dependency, and only the sources need it).
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Worker, type WorkerOptions } from 'node:worker_threads';
import { countThreads } from './critical.ts';
import { prepareExit } from './exit.ts';

/** `from` is the caller's import.meta.url, `module` the relative path without its extension; it may not await at its top level. */
export function startWorker(from: string, module: string, options: WorkerOptions = {}): Worker {
  prepareExit();
  countThreads();
  const source = from.endsWith('.ts');
  const url = new URL(`${module}${source ? '.ts' : '.js'}`, from);
  // Without the parent's flags: loaders (tsx, vitest) would be taken up a second time, --input-type=module refuses a file.
  const own = { ...options, execArgv: [] };
  if (!source) return new Worker(url, own);
  // As CommonJS: for what is imported tsx would start a thread and a process beside each of ours (0.65 s of CPU, not 0.22).
  const tsx = createRequire(from).resolve('tsx/cjs/api');
  const bootstrap = `require(${JSON.stringify(tsx)}).register(); require(${JSON.stringify(fileURLToPath(url))});`;
  return new Worker(bootstrap, { ...own, eval: true });
}

/** Imports a module of somebody else's in such a thread. From the sources one in TypeScript is loaded as they are. */
export async function importHere(url: string): Promise<unknown> {
  const here = import.meta.url;
  return here.endsWith('.ts') && url.endsWith('.ts') ? createRequire(here)(fileURLToPath(url)) : import(url);
}
