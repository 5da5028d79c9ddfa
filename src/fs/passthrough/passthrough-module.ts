/**
 * PassthroughFs as a module, for threads: `mount(url, directory, { threads: 'cpus', filesystem: { source } })`. The mounting
 * thread opens the source; each serving thread has a PassthroughFs of its own over it.
 */

import type { Connection } from '../../protocol/connection.ts';
import { openNodes } from '../shared/nodes.ts';
import type { PassthroughOptions } from './options.ts';
import { PassthroughFs } from './passthrough.ts';
import { layout, openSource, type Source } from './source.ts';
import { watchSource } from './watch.ts';

export const share = (options: PassthroughOptions): Source => openSource(options);

/** Changes in the source are told of from the mounting thread. */
export function attend(source: Source, connection: Connection): (() => void) | undefined {
  const watch = watchSource(source, openNodes(layout, source.nodes), connection, true);
  return watch && (() => watch.close());
}

export default function make({ shared, count }: { readonly shared: Source; readonly count: number }): PassthroughFs {
  if (shared.options.lowerLocks && count > 1)
    throw new RangeError(`lowerLocks needs one thread, which knows of all locks: threads is ${count}`);
  return new PassthroughFs(shared);
}
