/** What may be asked of a PassthroughFs, and which wishes exclude each other. */
import type { Promised } from '../../protocol/filesystem.ts';
import { Caching, type CachingOptions, checkCaching } from '../caching.ts';

/** How the lower files of nodes are held: as file handles, as descriptors, or as handles where the source has them. */
export const INODE_HANDLES = ['auto', 'handles', 'descriptors'] as const;

export interface PassthroughOptions extends CachingOptions {
  /** The directory that is served. A symlink here is followed, and nowhere below. */
  readonly source: string;
  /**
   * How a file that the kernel knows is held. A file handle (name_to_handle_at(2)) costs no descriptor, but needs
   * CAP_DAC_READ_SEARCH and a source that has them; descriptors are bounded by RLIMIT_NOFILE. Default `auto`: handles where they work.
   */
  readonly inodeHandles?: (typeof INODE_HANDLES)[number] | undefined;
  /** Whether to stay on the source's filesystem: what is mounted inside is EXDEV then. Default false: it is served, but for mounts of FUSE. */
  readonly xdev?: boolean | undefined;
  /**
   * Whether locks hold against processes that use the source itself, too. Needs one thread. Default false: among users of the
   * mount only, which takes no request at all.
   */
  readonly lowerLocks?: boolean | undefined;
  /**
   * Whether the lower filesystem checks permissions, with all groups of the caller, in place of the kernel above. For sources
   * whose rules the kernel does not know. Every request then looks into /proc. Default false.
   */
  readonly callerChecks?: boolean | undefined;
  /** Whom what clients make belongs to, whoever they are. Default: them. */
  readonly uid?: number | undefined;
  /** The same for the group. */
  readonly gid?: number | undefined;
  /** Whether idmapped mounts of the mount work. The kernel then tells the caller with requests that make files only. Default false. */
  readonly idmap?: boolean | undefined;
  /** Whether a file that a client opens with O_DIRECT is opened so below, for what is aligned. Default false: by way of the page cache there. */
  readonly allowDirectIo?: boolean | undefined;
}

/** Options that name what can't be had together, each in one line. TypeError, RangeError. */
export function checkPassthroughOptions(options: PassthroughOptions): void {
  const { source, inodeHandles = 'auto', idmap, callerChecks, uid, gid, writeback } = options;
  if (typeof source !== 'string' || source === '' || source.includes('\0'))
    throw new TypeError('source is needed: the directory to serve');
  if (!INODE_HANDLES.includes(inodeHandles))
    throw new RangeError(`inodeHandles is ${inodeHandles}: one of ${INODE_HANDLES.join(', ')} is needed`);
  for (const [name, id] of [
    ['uid', uid],
    ['gid', gid],
  ] as const)
    if (id !== undefined && !(Number.isInteger(id) && id >= 0 && id < 0xffff_ffff))
      throw new RangeError(`${name} is ${id}: a whole number from 0 to 4294967294 is needed`);
  if (idmap && callerChecks)
    throw new RangeError('idmap and callerChecks exclude each other: the kernel does not tell the caller then');
  if (idmap && (uid !== undefined || gid !== undefined))
    throw new RangeError('idmap excludes uid and gid: what is made belongs to the caller as the mount maps it');
  if (callerChecks && (uid !== undefined || gid !== undefined))
    throw new RangeError('callerChecks excludes uid and gid: who is checked and who owns would be two');
  if (callerChecks && writeback)
    throw new RangeError(
      'callerChecks and writeback exclude each other: the kernel reads what a client may only write',
    );
  if (options.watch && inodeHandles === 'descriptors')
    throw new RangeError(
      'watch needs file handles, by which the kernel says what has changed: inodeHandles is descriptors',
    );
  checkCaching(options);
}

/** The duties that a filesystem with these options takes on. */
export function promisesOf(options: PassthroughOptions): Promised[] {
  const { callerChecks, idmap, lowerLocks } = options;
  const promises: Promised[] = [
    'ATOMIC_O_TRUNC',
    'EXPORT_SUPPORT',
    'HANDLE_KILLPRIV_V2',
    'HAS_IOCTL_DIR',
    'DONT_MASK',
    ...new Caching(options).promises,
  ];
  // With POSIX_ACL the kernel checks permissions itself.
  if (!callerChecks) promises.push('POSIX_ACL');
  if (idmap) promises.push('ALLOW_IDMAP');
  if (lowerLocks) promises.push('POSIX_LOCKS', 'FLOCK_LOCKS');
  return promises;
}
