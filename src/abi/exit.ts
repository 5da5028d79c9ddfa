/**
 * What has to happen when the process exits, also after an uncaught exception. Node joins its threads at
 * exit and waits for ever for one inside a system call, so whoever lets a thread block in one registers
 * here what wakes it. Hooks run in the order they were registered, and must not block or throw.
 */
const hooks = new Set<() => void>();
let installed = false;

/** Registers a hook; what is returned takes it back. */
export function atExit(hook: () => void): () => void {
  if (!installed) {
    installed = true;
    process.on('exit', () => {
      for (const each of hooks) {
        try {
          each();
        } catch (error) {
          console.error('rawfuse: at exit:', error);
        }
      }
    });
  }
  hooks.add(hook);
  return () => void hooks.delete(hook);
}
