/** The passthrough filesystem as it is mounted from the command line, and its own options. */
import { CACHES, INODE_HANDLES, PassthroughFs, type PassthroughOptions } from '../../src/fs/index.ts';
import { checkPassthroughOptions } from '../../src/fs/passthrough/options.ts';
import { Failure, UsageError } from './command.ts';
import { HANDED, handed } from './handed.ts';
import type { Mountable } from './mount.ts';

type Own = Readonly<Record<string, string>>;

function flag(own: Own, name: string): true | undefined {
  const text = own[name];
  if (text === undefined) return undefined;
  if (text !== '') throw new UsageError(`option ${name} takes no value`);
  return true;
}
function id(own: Own, name: string): number | undefined {
  const text = own[name];
  if (text === undefined) return undefined;
  if (!/^\d+$/u.test(text)) throw new UsageError(`option ${name} is ${text}: a number is needed`);
  return Number(text);
}
function chosen<T extends string>(own: Own, name: string, known: readonly T[]): T | undefined {
  const text = own[name];
  const one = known.find((each) => each === text);
  if (text !== undefined && one === undefined)
    throw new UsageError(`option ${name} is ${text}: one of ${known.join(', ')} is needed`);
  return one;
}
/** What is said of an option of the API, in the spelling of -o. */
const spelled = (message: string): string =>
  message.replace(/\b(uid|gid)\b/gu, 'squash_$1').replace(/[A-Z](?=[a-z])/gu, (each) => `_${each.toLowerCase()}`);

function options(own: Own, source: string): PassthroughOptions {
  const wishes: PassthroughOptions = {
    source,
    cache: chosen(own, 'cache', CACHES),
    writeback: flag(own, 'writeback'),
    watch: flag(own, 'watch'),
    inodeHandles: chosen(own, 'inode_handles', INODE_HANDLES),
    xdev: flag(own, 'xdev'),
    lowerLocks: flag(own, 'lower_locks'),
    callerChecks: flag(own, 'caller_checks'),
    uid: id(own, 'squash_uid'),
    gid: id(own, 'squash_gid'),
    idmap: flag(own, 'idmap'),
    allowDirectIo: flag(own, 'allow_direct_io'),
    kernelPassthrough: handed(own.kernel_passthrough),
  };
  try {
    checkPassthroughOptions(wishes);
  } catch (error) {
    throw new UsageError(spelled((error as Error).message));
  }
  return wishes;
}

export const passthrough: Mountable = {
  name: 'passthrough',
  title: 'a directory',
  source: 'directory',
  options: {
    inode_handles: {
      form: 'inode_handles=WAY',
      help: 'hold files as handles or descriptors (default auto: handles where SOURCE has them)',
    },
    xdev: { form: 'xdev', help: 'stay on the filesystem of SOURCE' },
    lower_locks: { form: 'lower_locks', help: 'locks hold against processes that use SOURCE, too; one thread' },
    caller_checks: {
      form: 'caller_checks',
      help: 'the lower filesystem checks permissions, with all groups of the caller',
    },
    squash_uid: { form: 'squash_uid=N', help: 'what clients make belongs to this user (uid= is what is shown)' },
    squash_gid: { form: 'squash_gid=N', help: 'the same for the group' },
    idmap: { form: 'idmap', help: 'allow idmapped mounts of the mount' },
    cache: {
      form: 'cache=none|auto|always',
      help: 'what the kernel keeps: nothing, what is new (default), all for a day',
    },
    writeback: {
      form: 'writeback',
      help: 'the kernel keeps what is written, too; nobody else changes SOURCE',
    },
    watch: { form: 'watch', help: 'notice what changes in SOURCE, and have the kernel drop what it has of it' },
    kernel_passthrough: {
      form: HANDED,
      help: 'the kernel reads and writes open files itself (default auto: where it can)',
    },
    allow_direct_io: {
      form: 'allow_direct_io',
      help: 'O_DIRECT below too, for what is aligned',
    },
  },
  module: new URL(`../../src/fs/passthrough/passthrough-module.${import.meta.url.split('.').at(-1)}`, import.meta.url),
  told: options,
  make(own, source) {
    const wishes = options(own, source);
    try {
      return new PassthroughFs(wishes);
    } catch (error) {
      throw new Failure(`can't serve ${source}: ${(error as Error).message}`);
    }
  },
};
