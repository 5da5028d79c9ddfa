/**
 * What has to happen when the process exits, also after an uncaught exception. Node joins its threads at
 * exit and waits for ever for one inside a system call, so whoever lets a thread block in one registers
 * here what wakes it. Hooks run in the order they were registered, and must not block or throw. After them the exit
 * waits until no thread is where it must not be stopped (critical.ts).
 */
import { awaitCritical } from './critical.ts';

const hooks = new Set<() => void>();
let installed = false;

/** Sees to it that an exit goes as is said above. */
export function prepareExit(): void {
  if (installed) return;
  installed = true;
  process.on('exit', () => {
    for (const each of hooks) {
      try {
        each();
      } catch (error) {
        console.error('rawfuse: at exit:', error);
      }
    }
    awaitCritical();
  });
}

/** Registers a hook; what is returned takes it back. */
export function atExit(hook: () => void): () => void {
  prepareExit();
  hooks.add(hook);
  return () => void hooks.delete(hook);
}
