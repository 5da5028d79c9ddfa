/**
 * MemoryFs as a module, for `mount(url, directory, { threads: 1, filesystem: options })`: it is then served by a thread of its
 * own, and the mounting thread may be as busy as it likes. Its state lives in the heap of that thread, so there is one;
 * docs/threads.md says what speaks for that.
 */
import { MemoryFs, type MemoryOptions } from './memory.ts';

export const maxThreads = 1;

export default function make({ options }: { readonly options: MemoryOptions | undefined }): MemoryFs {
  return new MemoryFs(options);
}
