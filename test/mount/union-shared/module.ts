/** A UnionFs for each thread over what a test has made for them, so that the test sees it, too. */
import type { UnionShared } from '../../../src/fs/union/shared.ts';
import { UnionFs } from '../../../src/fs/union/union.ts';

export const share = (shared: UnionShared): UnionShared => shared;
export default function make({ shared }: { readonly shared: UnionShared }): UnionFs {
  return new UnionFs(shared);
}
