/** statfs(2) of a union: the sum over its filesystems, each counted once, in the smallest of their blocks. */
import { fstatfs } from '../../abi/files.ts';
import { done, type Scratch } from '../passthrough/scratch.ts';
import { readonlyIn, statfsIn } from '../passthrough/statfs.ts';
import type { Branch, Lower } from './lower.ts';
import type { Values } from './options.ts';

type Numbers = ReturnType<typeof statfsIn>;

/** Of all branches, or with `statfs=full` of those that have the path. */
export function statfsOf(lower: Lower, values: Values, path: string, scratch: Scratch): Numbers {
  const { statfs, statfsAt, view } = scratch;
  const byDevice = new Map<number, Numbers>();
  lower.during(() => {
    for (const branch of lower.branches) {
      const full = values.statfs === 'full';
      if (full && !lower.exists(branch, path)) continue;
      const fd = full ? lower.descriptor(branch) : branch.fd;
      if (fstatfs(fd, statfs) < 0) continue;
      const numbers = statfsIn(view, statfsAt);
      if (ignores(values, branch, readonlyIn(view, statfsAt))) numbers.bavail = 0;
      const device = full ? lower.deviceOf(fd) : lower.device(branch);
      const known = byDevice.get(device);
      // Of two branches on one filesystem one that counts is enough.
      if (known === undefined || known.bavail < numbers.bavail) byDevice.set(device, numbers);
    }
  });
  const all = [...byDevice.values()];
  if (all.length === 0) done(fstatfs(lower.branches[0]!.fd, statfs));
  const least = (member: keyof Numbers) => Math.min(...all.map((each) => each[member]));
  const frsize = least('frsize');
  const sum = (member: keyof Numbers, unit: (of: Numbers) => number = () => 1) =>
    Math.min(
      all.reduce((total, each) => total + Math.floor(each[member] * unit(each)), 0),
      Number.MAX_SAFE_INTEGER,
    );
  const blocks = (of: Numbers) => of.frsize / frsize;
  return {
    ...{ blocks: sum('blocks', blocks), bfree: sum('bfree', blocks), bavail: sum('bavail', blocks) },
    ...{ files: sum('files'), ffree: sum('ffree') },
    ...{ bsize: least('bsize'), frsize, namelen: least('namelen') },
  };
}

function ignores(values: Values, { mode }: Branch, readonly: boolean): boolean {
  if (values['statfs-ignore'] === 'ro') return readonly || mode !== 'RW';
  return values['statfs-ignore'] === 'nc' && mode === 'NC';
}
