/**
 * PassthroughFs as a module, for threads: `mount(url, directory, { threads: 'cpus', filesystem: { source } })`. The mounting
 * thread opens the source; each serving thread has a PassthroughFs of its own over it.
 */
import type { PassthroughOptions } from './options.ts';
import { PassthroughFs } from './passthrough.ts';
import { openSource, type Source } from './source.ts';

export const share = (options: PassthroughOptions): Source => openSource(options);

export default function make({ shared, count }: { readonly shared: Source; readonly count: number }): PassthroughFs {
  if (shared.options.lowerLocks && count > 1)
    throw new RangeError(`lowerLocks needs one thread, which knows of all locks: threads is ${count}`);
  return new PassthroughFs(shared);
}
