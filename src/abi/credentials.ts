/**
 * In whose name a thread's system calls run. In Linux these belong to a thread; libc's setgroups, setuid and their like
 * change all threads of a process, so that here is the kernel's own. Each returns what it did or its errno negated.
 */
import { SystemError } from './errno.ts';
import { Memory } from './memory.ts';
import { _LINUX_CAPABILITY_VERSION_3 } from './posix.ts';
import { define, negated, SYS } from './syscall.ts';

const two = define('syscall', 'int64', ['int64', 'uintptr_t', 'uintptr_t']);
const libcUmask = define('umask', 'uint', ['uint']);
const libcUnshare = define('unshare', 'int', ['int']);
const libcGetrlimit = define('getrlimit', 'int', ['int', 'uintptr_t']);

/** setfsuid(2): the one before. There is no error: to see whether it came to be, ask again. Takes effective capabilities away, and gives them back. */
export const setfsuid = (uid: number): number => two(SYS.setfsuid, uid, 0);
/** setfsgid(2). */
export const setfsgid = (gid: number): number => two(SYS.setfsgid, gid, 0);
/** setgroups(2): so many ids of 32 bits at an address. */
export const setgroups = (count: number, list: number): number => negated(two(SYS.setgroups, count, list));
/** capget(2): a header and the two halves of the sets, at addresses. */
export const capget = (header: number, data: number): number => negated(two(SYS.capget, header, data));
/** capset(2). */
export const capset = (header: number, data: number): number => negated(two(SYS.capset, header, data));

/** umask(2): the one before. It is the whole process's, but for threads that have one of their own. */
export const umask = (mask: number): number => libcUmask(mask);
/** getrlimit(2), into two words of 64 bits. */
export const getrlimit = (resource: number, limit: number): number => negated(libcGetrlimit(resource, limit));

const CLONE_FS = 0x200;
/** unshare(2): from now on the calling thread has a umask, and a working directory, of its own. EPERM where a seccomp filter is against it. */
export const unshareFs = (): number => negated(libcUnshare(CLONE_FS));

/** A header for capget(2), and behind it the sets: as they are, and as they are for a call. All effective sets first, in two words. */
const HEADER = 0;
const OWN = 16;
const LESS = 48;
let sets: { readonly address: number; readonly view: DataView } | undefined;
function ownSets() {
  if (sets === undefined) {
    const { address, buffer } = new Memory(80);
    sets = { address, view: new DataView(buffer) };
    sets.view.setUint32(HEADER, _LINUX_CAPABILITY_VERSION_3, true);
  }
  checked('capget', capget(sets.address + HEADER, sets.address + OWN));
  return sets;
}
function checked(call: string, result: number): void {
  if (result < 0) throw new SystemError(-result, call);
}

/** Whether the calling thread has a capability, one of the first 32: in its effective set. */
export const hasCapability = (capability: number): boolean =>
  (ownSets().view.getUint32(OWN, true) & (1 << capability)) !== 0;

/** Calls without some of the calling thread's capabilities, of the first 32; SystemError where they can't be laid down. The call returns no promise. */
export function withoutCapabilities<T>(capabilities: readonly number[], call: () => T): T {
  const { address, view } = ownSets();
  const effective = view.getUint32(OWN, true);
  const less = capabilities.reduce((left, each) => left & ~(1 << each), effective);
  if (less === effective >> 0) return call();
  for (let i = 4; i < 24; i += 4) view.setUint32(LESS + i, view.getUint32(OWN + i, true), true);
  view.setUint32(LESS, less, true);
  try {
    checked('capset', capset(address + HEADER, address + LESS));
    return call();
  } finally {
    view.setUint32(OWN, effective, true); // the call may have asked for the sets as well
    checked('capset', capset(address + HEADER, address + OWN));
  }
}
