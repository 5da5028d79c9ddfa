/** What a UnionFs is asked to serve, checked: branches, options, and where it is mounted. */
import { pageSize } from '../../abi/syscall.ts';
import { PAGE } from './kinds.ts';
import { Options, type Values } from './options.ts';

export interface UnionOptions {
  /** `A=RW:B=RO:C=NC,10G`: what is merged, in order. Patterns stand for the directories that match. Relative to the working directory. */
  readonly branches: string;
  /** Options with mergerfs' names, as they are written: `{ 'category.create': 'mfs' }`. In order, later wins. */
  readonly options?: Readonly<Record<string, string>> | undefined;
  /** Where it will be mounted: for symlinks that lead there, and so that no branch lies in it. */
  readonly mountpoint?: string | undefined;
  /** Makes what policies do by chance come again. */
  readonly seed?: number | undefined;
}
export interface Served {
  readonly options: Options;
  readonly mountpoint: string;
  /** RangeError where a branch lies within the mount point, or options exclude each other. */
  check(): void;
}

/** RangeError, in one line. */
export function servedOptions({ branches, options: written = {}, mountpoint = '' }: UnionOptions): Served {
  const options = new Options();
  for (const [name, text] of Object.entries(written)) options.set(name, text);
  options.set('branches', branches);
  if (options.values['passthrough.io'] !== 'off' && !options.given.has('moveonenospc'))
    options.values.moveonenospc = false;
  const served = servedAs(options, mountpoint);
  served.check();
  return served;
}
/** The same of options that were checked, in another thread. */
export function servedAs(options: Options, mountpoint: string): Served {
  const check = () => {
    checkPlaces(options.values, mountpoint);
    checkHanded(options.values);
  };
  return { options, mountpoint, check };
}

/** What of a union's options is the mount's: to be given to mount(), too. */
export interface UnionMountOptions {
  readonly maxPages?: number;
  readonly maxWrite?: number;
  readonly defaultPermissions?: boolean;
}
export function mountOptionsOf({ values, given }: Options): UnionMountOptions {
  const size = values['fuse-msg-size'] * PAGE;
  return {
    ...(given.has('fuse-msg-size') && { maxPages: Math.ceil(size / pageSize), maxWrite: size }),
    // With ACLs the kernel checks permissions in any case.
    ...(!values['posix-acl'] && { defaultPermissions: true }),
  };
}

function checkPlaces({ branches }: Values, mountpoint: string): void {
  if (mountpoint === '') return;
  for (const { path } of branches)
    if (`${path}/`.startsWith(mountpoint.endsWith('/') ? mountpoint : `${mountpoint}/`))
      throw new RangeError(`branch ${path} is inside the mount point ${mountpoint}: it would be covered by the mount`);
}

/** What needs to see reads and writes, which the kernel makes itself. */
function checkHanded(values: Values): void {
  const io = values['passthrough.io'];
  if (io === 'off') return;
  const excluded = (['moveonenospc', 'nullrw', 'cache.writeback'] as const).find((name) => values[name] !== false);
  if (excluded !== undefined)
    throw new RangeError(
      `passthrough.io=${io} and ${excluded} exclude each other: the server sees no reads and writes`,
    );
}
