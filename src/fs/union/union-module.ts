/**
 * UnionFs as a module, for threads: `mount(url, directory, { threads: 'cpus', filesystem: { branches } })`. The mounting thread
 * finds the branches and reads the options; each serving thread has a UnionFs of its own over what they share.
 */
import type { UnionOptions } from './served.ts';
import { shareUnion, type UnionShared } from './shared.ts';
import { UnionFs } from './union.ts';

export const share = (options: UnionOptions): UnionShared => shareUnion(options);

export default function make({ shared }: { readonly shared: UnionShared }): UnionFs {
  return new UnionFs(shared);
}
