/**
 * Options that mergerfs has and a union has not: each with the values that say what is so in any case, and with what to do in place of
 * others. So a line of /etc/fstab and a configuration file that were written for mergerfs are taken, or it is said what can't be.
 */
interface Foreign {
  /** Values that are taken, and change nothing; `any` is all of them. */
  readonly taken: readonly string[] | 'any';
  /** What to do in place of asking for another one. */
  readonly instead: string;
}
const ignored: Foreign = { taken: 'any', instead: '' };
const TRUE = ['true', ''];
const refused = (instead: string): Foreign => ({ taken: [], instead });
const only = (taken: readonly string[], instead: string): Foreign => ({ taken, instead });

const THREADS = refused('how many threads serve is for --threads to say');
const TRACE = refused('--trace shows what goes on');
const MOUNT = refused('branches and the mount point are said to the command');
const READ = refused('it can only be read, in mergerfs');
/** An option of the mount: by another name, or outside of a configuration file. */
const ofMount = (option: string): Foreign => refused(`that is ${option} of the mount, in -o`);

// biome-ignore format: a table, an option a line
export const FOREIGN: Readonly<Record<string, Foreign>> = {
  // mergerfs takes these, too, and does nothing with them.
  ...{ 'atomic-o-trunc': ignored, 'auto-cache': ignored, 'big-writes': ignored, 'cache.open': ignored, 'defaults': ignored },
  ...{ 'direct-io': ignored, 'hard-remove': ignored, 'kernel-cache': ignored, 'negative-entry': ignored, 'nonempty': ignored },
  ...{ 'splice-move': ignored, 'splice-read': ignored, 'splice-write': ignored, 'use-ino': ignored },
  ...{ 'no-splice-move': ignored, 'no-splice-read': ignored, 'no-splice-write': ignored },
  // There is no such cache: the kernel tells the groups of who makes a file.
  ...{ 'gid-cache.expire-timeout': ignored, 'gid-cache.remove-timeout': ignored },
  'async-read': only(TRUE, 'that is sync_read of the mount, in -o'),
  'debug': TRACE,
  'direct-io-allow-mmap': only(TRUE, 'files without page cache can be mapped wherever the kernel can'),
  'fsname': ofMount('fsname=TEXT'),
  'gid': ofMount('gid=N'),
  'handle-killpriv': only(TRUE, 'setuid and setgid bits go where they have to'),
  'handle-killpriv-v2': only(TRUE, 'setuid and setgid bits go where they have to'),
  'kernel-permissions-check': only(TRUE, 'permissions are for the kernel to check'),
  'log.file': TRACE,
  'log.metrics': TRACE,
  'mount': MOUNT,
  'mountpoint': MOUNT,
  'never-forget-nodes': only(['false'], 'that is noforget of the mount, in -o'),
  'noforget': ofMount('noforget'),
  'passthrough.max-stack-depth': only(['1'], 'what the kernel reads and writes itself lies on a filesystem that is stacked on no other'),
  'pid': READ,
  'pin-threads': THREADS,
  'process-thread-count': THREADS,
  'process-thread-queue-depth': THREADS,
  'proxy-ioprio': only(['false'], 'ionice(1) is for the whole server'),
  'read-thread-count': THREADS,
  'readahead': only(['0'], 'that is max_readahead of the mount, in -o, and blockdev(8) for branches'),
  'remember': ofMount('remember=SECONDS'),
  'remember-nodes': only(['0'], 'that is remember=SECONDS of the mount, in -o'),
  'scheduling-priority': refused('start it with nice(1)'),
  'srcmounts': MOUNT,
  'threads': THREADS,
  'uid': ofMount('uid=N'),
  'umask': ofMount('umask=OCTAL'),
  'version': READ,
};

/** Takes such an option. RangeError, in one line; false for an option that is none of these. */
export function takeForeign(name: string, text: string): boolean {
  if (!Object.hasOwn(FOREIGN, name)) return false;
  const { taken, instead } = FOREIGN[name]!;
  if (taken !== 'any' && !taken.includes(text))
    throw new RangeError(`option ${name}=${text} is not for a union: ${instead}`);
  return true;
}
