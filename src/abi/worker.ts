/**
 * Starts a thread on a module beside the caller's. From dist/ that is the compiled file; from the sources
 * Node 20 can't load a .ts file in a worker, so a line of JavaScript registers tsx there first (tsx is a
 * development dependency, and only the sources need it). Where the tree has been compiled elsewhere, as for a run of the
 * tests, a thread of the sources starts from there.
 */
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker, type WorkerOptions } from 'node:worker_threads';
import { countThreads } from './critical.ts';
import { prepareExit } from './exit.ts';

/** The variable that says where the files of this tree are compiled, under the same names. */
export const BUILD = 'RAWFUSE_TEST_BUILD';
const TREE = new URL('../../', import.meta.url).href;

/** The file that threads load for a module: of a source its compiled one, if there is any, in 60 ms where tsx takes 140. */
export function forThreads(module: URL): URL {
  const build = process.env[BUILD];
  if (build === undefined || !module.href.endsWith('.ts') || !module.href.startsWith(TREE)) return module;
  return new URL(module.href.slice(TREE.length).replace(/\.ts$/u, '.js'), `${pathToFileURL(build)}/`);
}

/** `from` is the caller's import.meta.url, `module` the relative path without its extension; it may not await at its top level. */
export function startWorker(from: string, module: string, options: WorkerOptions = {}): Worker {
  prepareExit();
  countThreads();
  const url = forThreads(new URL(`${module}${from.endsWith('.ts') ? '.ts' : '.js'}`, from));
  // Without the parent's flags: loaders (tsx, vitest) would be taken up a second time, --input-type=module refuses a file.
  const own = { ...options, execArgv: [] };
  if (url.href.endsWith('.js')) return new Worker(url, own);
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
