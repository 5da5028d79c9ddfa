/**
 * In whose name a call on the lower filesystem runs. Ids and capabilities belong to a thread, so each is changed for one
 * call, which returns no promise, and changed back whatever it does.
 *
 * - What a client makes belongs to it: fsuid and fsgid are the client's meanwhile, and the group of the parent is among the
 *   groups where the kernel says that the client has it. Whether the client may is the kernel's answer above and asked already, with
 *   groups that nobody tells us of; so the right to pass by permissions is kept.
 * - The umask is 0 meanwhile: the client's is applied where no default ACL is in its place. All threads of a process have one
 *   umask, which is why a thread that only serves takes one of its own, and keeps it at 0.
 * - What must clear setuid and setgid bits runs without CAP_FSETID, which would keep them.
 * - Who calls for a client does so without CAP_SYS_RESOURCE, which would pass by quotas.
 * - With `callerChecks` all runs as the client, with all its groups and no capability of ours.
 *
 * @see setfsuid(2): to leave 0 takes the capabilities for files out of the effective ones, to come back gives them back
 */
import { readFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { capget, capset, setfsgid, setfsuid, setgroups, umask, unshareFs } from '../../abi/credentials.ts';
import { EPERM } from '../../abi/errno.ts';
import { Memory } from '../../abi/memory.ts';
import {
  _LINUX_CAPABILITY_VERSION_3,
  CAP_CHOWN,
  CAP_DAC_OVERRIDE,
  CAP_DAC_READ_SEARCH,
  CAP_FOWNER,
  CAP_FSETID,
  CAP_LINUX_IMMUTABLE,
  CAP_MKNOD,
  CAP_SETGID,
  CAP_SETUID,
  CAP_SYS_RESOURCE,
} from '../../abi/posix.ts';
import type { Request } from '../../protocol/request.ts';
import { done } from './scratch.ts';

/** Where things lie, in bytes: the header of capset, three pairs of sets, groups. */
const HEADER = 0;
const OWN = 16;
const CLIENT = 48;
const NONE = 80;
const OWN_GROUPS = 1024;
const GROUPS = OWN_GROUPS + 4 * 65_536; // NGROUPS_MAX
const ROOM = GROUPS + 4 * 65_536;
/** The capabilities that go with fsuid 0. @see include/linux/capability.h: CAP_FS_MASK */
const FS_MASK = [
  ...[CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER],
  ...[CAP_FSETID, CAP_LINUX_IMMUTABLE, CAP_MKNOD],
].reduce((mask, capability) => mask | (1 << capability), 0);
/** No id at all. */
const NOBODY = 0xffff_ffff;

export class Credentials {
  readonly #memory = new Memory(ROOM);
  readonly #view = new DataView(this.#memory.buffer);
  readonly #uid: number;
  readonly #gid: number;
  readonly #ownGroups: number;
  /** Whether this thread may take other ids. */
  readonly changes: boolean;
  /** Whether it keeps setuid bits unless it gives that up. */
  readonly #keepsBits: boolean;
  /** Whether the umask of this thread is 0 in any case. */
  readonly #unmasked: boolean;

  /** Of the calling thread, and for it alone. */
  constructor() {
    const view = this.#view;
    this.#uid = process.geteuid?.() ?? 0;
    this.#gid = process.getegid?.() ?? 0;
    const groups = groupsOf('thread-self');
    this.#ownGroups = this.#putGroups(OWN_GROUPS, groups);
    view.setUint32(HEADER, _LINUX_CAPABILITY_VERSION_3, true);
    done(capget(this.#address(HEADER), this.#address(OWN)));
    const effective = view.getUint32(OWN, true);
    for (const at of [CLIENT, NONE])
      for (let i = 0; i < 24; i += 4) view.setUint32(at + i, view.getUint32(OWN + i, true), true);
    const reserved = (1 << CAP_FSETID) | (1 << CAP_SYS_RESOURCE);
    view.setUint32(CLIENT, effective & ~reserved, true);
    view.setUint32(NONE, effective & ~(FS_MASK | reserved), true);
    this.#unmasked = !isMainThread;
    if (this.#unmasked) {
      unshareFs(); // where a seccomp filter is against it, it is the process that has no umask
      umask(0);
    }
    const has = (capability: number) => (effective & (1 << capability)) !== 0;
    this.changes = has(CAP_SETUID) && has(CAP_SETGID) && has(CAP_DAC_OVERRIDE);
    this.#keepsBits = has(CAP_FSETID);
  }
  #address(at: number): number {
    return this.#memory.address + at;
  }
  #putGroups(at: number, groups: readonly number[]): number {
    groups.forEach((group, i) => {
      this.#view.setUint32(at + i * 4, group, true);
    });
    return groups.length;
  }

  /** Calls what makes a file that is to belong to these; `groups` as CREATE_SUPP_GROUP has them. EPERM where there are no such ids. */
  as<T>(uid: number, gid: number, groups: readonly number[], call: () => T): T {
    if (!this.changes || (uid === this.#uid && gid === this.#gid)) return this.unmasked(call);
    return this.unmasked(() => this.#changed(uid, gid, groups.length > 0 ? groups : undefined, CLIENT, call));
  }

  /** Calls what makes a file with exactly the mode that it says. */
  unmasked<T>(call: () => T): T {
    if (this.#unmasked) return call();
    const before = umask(0);
    try {
      return call();
    } finally {
      umask(before);
    }
  }

  /** Calls with the rights of who has sent the request. EPERM where the kernel does not say who, or the process is gone. */
  asCaller<T>(request: Request, call: () => T): T {
    const { uid, gid, pid } = request;
    if (!this.changes) return call();
    let groups: number[];
    try {
      groups = groupsOf(`${pid}`);
    } catch {
      throw EPERM;
    }
    return this.#changed(uid, gid, groups, uid === 0 ? OWN : NONE, call);
  }

  #changed<T>(uid: number, gid: number, groups: readonly number[] | undefined, sets: number, call: () => T): T {
    try {
      if (groups) done(setgroups(this.#putGroups(GROUPS, groups), this.#address(GROUPS)));
      setfsgid(gid);
      setfsuid(uid);
      // Neither says whether it came to be: what is asked for then, and can't be, tells what holds.
      if (setfsgid(NOBODY) !== gid || setfsuid(NOBODY) !== uid) throw EPERM;
      done(capset(this.#address(HEADER), this.#address(sets)));
      return call();
    } finally {
      setfsuid(this.#uid);
      setfsgid(this.#gid);
      done(capset(this.#address(HEADER), this.#address(OWN)));
      if (groups) done(setgroups(this.#ownGroups, this.#address(OWN_GROUPS)));
    }
  }

  /**
   * Calls what must clear setuid and setgid bits, where `clears`. A setgid bit without the right to execute is left to members of the
   * file's group; of the caller's groups the request has one.
   */
  clearing<T>({ gid }: Request, clears: boolean, call: () => T): T {
    if (!clears || !this.#keepsBits) return call();
    try {
      setfsgid(gid);
      done(capset(this.#address(HEADER), this.#address(CLIENT)));
      return call();
    } finally {
      setfsgid(this.#gid);
      done(capset(this.#address(HEADER), this.#address(OWN)));
    }
  }

  free(): void {
    this.#memory.free();
  }
}

/** The supplementary groups of a process or thread. */
function groupsOf(process: string): number[] {
  const status = readFileSync(`/proc/${process}/status`, 'latin1');
  return (/^Groups:[ \t]*(.*)$/mu.exec(status)?.[1] ?? '').split(' ').filter(Boolean).map(Number);
}
