/**
 * Where the programs of the mount suite are run: on MemoryFs, which the test's own thread serves, and on the filesystem in
 * shared memory, which a thread a CPU does. What a program finds may not differ.
 */
import { type Atime, MemoryFs } from '../../src/fs/index.ts';
import type { MountOptions } from '../../src/options.ts';
import { mounted, type TestMount, type Watch } from '../support.ts';
import { sharedMemory } from './shared-memory/mounted.ts';

export interface Place {
  /** Appended to the name of a test. */
  readonly where: string;
  mount(options?: MountOptions, watch?: Watch, filesystem?: { readonly atime?: Atime }): Promise<CheckedMount>;
}
export interface CheckedMount extends TestMount {
  /** Throws where an invariant of the filesystem does not hold. Nobody may use it meanwhile. At its end that is asked anyway. */
  check(): void;
}

export const PLACES: readonly Place[] = [
  {
    where: '',
    async mount(options, watch, of) {
      const filesystem = new MemoryFs(of);
      const m = await mounted(filesystem, options, watch);
      return {
        ...m,
        check: () => filesystem.check(),
        async [Symbol.asyncDispose]() {
          await m[Symbol.asyncDispose]();
          filesystem.check();
        },
      };
    },
  },
  { where: ', by threads', mount: (options, watch, of) => sharedMemory({ threads: 'cpus', ...options }, of, watch) },
];
