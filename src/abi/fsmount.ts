/**
 * A filesystem of one's own, mounted nowhere: made by fsopen(2) and its sisters, seen through a descriptor of its root alone, and gone with
 * it. Each call throws a SystemError where it fails; all of them are for CAP_SYS_ADMIN.
 * @see fsopen(2), fsconfig(2), fsmount(2), fspick(2); Linux 5.2
 */
import { SystemError } from './errno.ts';
import { define, negated, SYS } from './syscall.ts';

// <linux/mount.h>
const FSOPEN_CLOEXEC = 1;
const FSMOUNT_CLOEXEC = 1;
const FSPICK_CLOEXEC = 1;
const FSPICK_EMPTY_PATH = 8;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;
const FSCONFIG_CMD_RECONFIGURE = 7;
/** Each access moves the access time. */
export const MOUNT_ATTR_STRICTATIME = 0x20;

const libc = {
  fsopen: define('syscall', 'int64', ['int64', 'void *', 'uint']),
  set: define('syscall', 'int64', ['int64', 'int', 'uint', 'void *', 'void *', 'int']),
  command: define('syscall', 'int64', ['int64', 'int', 'uint', 'uintptr_t', 'uintptr_t', 'int']),
  fspick: define('syscall', 'int64', ['int64', 'int', 'void *', 'uint']),
  fsmount: define('syscall', 'int64', ['int64', 'int', 'uint', 'uint']),
};

function checked(call: string, result: number): number {
  if (result < 0) throw new SystemError(-result, call);
  return result;
}
const text = (characters: string): Uint8Array => Buffer.from(`${characters}\0`);

/** A context for a filesystem of a type: a descriptor. */
export const fsopen = (type: string): number =>
  checked('fsopen', negated(libc.fsopen(SYS.fsopen, text(type), FSOPEN_CLOEXEC)));

/** Sets an option, `key=value`, of what is to be made or made anew. EINVAL. */
export const fsSet = (context: number, key: string, value: string): void =>
  void checked('fsconfig', negated(libc.set(SYS.fsconfig, context, FSCONFIG_SET_STRING, text(key), text(value), 0)));

/** Makes the filesystem. */
export const fsCreate = (context: number): void => command(context, FSCONFIG_CMD_CREATE);
/** A context for a filesystem that is there, by a descriptor of its root. */
export const fspick = (root: number): number =>
  checked('fspick', negated(libc.fspick(SYS.fspick, root, text(''), FSPICK_CLOEXEC | FSPICK_EMPTY_PATH)));
/** Gives it the options that were set: what mount(8) calls a remount. EINVAL where they can't be, and the context is of no use then. */
export const fsReconfigure = (context: number): void => command(context, FSCONFIG_CMD_RECONFIGURE);
function command(context: number, which: number): void {
  checked('fsconfig', negated(libc.command(SYS.fsconfig, context, which, 0, 0, 0)));
}

/** Mounts it nowhere: a descriptor of its root, as of O_PATH. */
export const fsmount = (context: number, attributes: number): number =>
  checked('fsmount', negated(libc.fsmount(SYS.fsmount, context, FSMOUNT_CLOEXEC, attributes)));
