/**
 * What is mounted, from /proc/self/mountinfo (proc(5)). Reading it asks no filesystem anything, so it is
 * safe on the thread that serves one, and tells of a mount whose server is dead or hangs.
 */
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';

export interface MountEntry {
  readonly id: number;
  /** The id of the mount that this one is mounted on. */
  readonly parent: number;
  /** Device numbers of the superblock. */
  readonly major: number;
  readonly minor: number;
  readonly path: string;
  /** `fuse`, `fuse.subtype`, `fuseblk`, ext4, ... */
  readonly type: string;
  readonly source: string;
}

/** In the order of mounting: of two at one path the later is the visible one. */
export function mountEntries(): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of readFileSync('/proc/self/mountinfo', 'latin1').split('\n')) {
    const [before, after] = line.split(' - ');
    if (before === undefined || after === undefined) continue;
    const [id, parent, device, , path] = before.split(' ');
    const [type, source] = after.split(' ');
    const [major, minor] = device!.split(':');
    entries.push({
      id: Number(id),
      parent: Number(parent),
      major: Number(major),
      minor: Number(minor),
      path: unescaped(path!),
      type: unescaped(type!),
      source: unescaped(source!),
    });
  }
  return entries;
}

/** Spaces, tabs, newlines and backslashes are octal there; other bytes as they are. */
const unescaped = (text: string): string =>
  Buffer.from(
    text.replace(/\\([0-7]{3})/gu, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
    'latin1',
  ).toString();

export const isFuse = ({ type }: MountEntry): boolean => /^fuse(blk)?(\.|$)/u.test(type);

/** The visible mount at a path: of those there, the one on which no other stands. */
export function mountAt(path: string, entries = mountEntries()): MountEntry | undefined {
  const there = entries.filter((entry) => entry.path === path);
  return there.findLast(({ id }) => !there.some(({ parent }) => parent === id));
}

/** Where fusectl is mounted, if it is. */
export const CONNECTIONS = '/sys/fs/fuse/connections';
/** Where fusectl has the connection of a FUSE mount: its name there is the kernel's dev_t. */
export const connectionDirectory = ({ major, minor }: Pick<MountEntry, 'major' | 'minor'>): string =>
  `${CONNECTIONS}/${major * 0x10_0000 + minor}`;

/**
 * What tells a connection from a later one with the same number; undefined where fusectl is not mounted.
 * The kernel gives mount ids and device numbers out again at once: unmounted and mounted anew, both are
 * usually the same as before (seen). The inodes of fusectl count up.
 */
export function connectionInode(entry: Pick<MountEntry, 'major' | 'minor'>): number | undefined {
  return statSync(connectionDirectory(entry), { throwIfNoEntry: false })?.ino;
}

/**
 * The device numbers of the mount whose connection a descriptor of /dev/fuse is; undefined where the kernel
 * does not tell (before Linux 6.16), or the descriptor is another file.
 */
export function connectionOf(fd: number): { major: number; minor: number } | undefined {
  const number = /^fuse_connection:\t(\d+)$/mu.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1];
  return number === undefined ? undefined : { major: Number(number) >>> 20, minor: Number(number) & 0xf_ffff };
}

/** Ends a connection by force through fusectl: every request in it fails. False where fusectl is not mounted. */
export function abortConnection(entry: Pick<MountEntry, 'major' | 'minor'>): boolean {
  const file = `${connectionDirectory(entry)}/abort`;
  if (!existsSync(file)) return false;
  writeFileSync(file, '1');
  return true;
}

/** Whether a thread id is of this process. */
export const isOwnThread = (tid: number): boolean => existsSync(`/proc/self/task/${tid}`);
