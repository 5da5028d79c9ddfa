/**
 * PassthroughFs as a module, for threads: `mount(url, directory, { threads: 'cpus', filesystem: { source } })`. The mounting
 * thread opens the source; each serving thread has a PassthroughFs of its own over it.
 */
import type { PassthroughOptions } from './options.ts';
import { PassthroughFs } from './passthrough.ts';
import { openSource, type Source } from './source.ts';

export const share = (options: PassthroughOptions): Source => openSource(options);

export default function make({ shared }: { readonly shared: Source }): PassthroughFs {
  return new PassthroughFs(shared);
}
