/**
 * Which NVMe namespace a file is on, as sysfs tells it. A partition leads to its disk. What puts several devices together, or
 * one in place of another, has no one namespace to flush: device mapper, md, btrfs.
 */
import { access, readFile, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** There is no namespace to pass anything through to, and why. */
export class NvmeUnsupported extends Error {
  override readonly name = 'NvmeUnsupported';
  readonly code = 'unsupported';
}

export interface NvmeDevice {
  /** `nvme0n1`. */
  readonly name: string;
  /** The namespace's id, as its driver tells it. */
  readonly nsid: number;
  /** Its block device, which takes ioctls. */
  readonly block: string;
  /** Its character device, which takes IORING_OP_URING_CMD (Linux 5.19); undefined where it has none. */
  readonly generic: string | undefined;
}

/** The names of namespaces' own disks; not of a controller, nor of one path of several (nvme0c1n1). */
const NAMESPACE = /^nvme(\d+n\d+)$/u;
const OTHERS: readonly (readonly [name: RegExp, what: string])[] = [
  [/^dm-/u, 'device mapper'],
  [/^md/u, 'an md array'],
  [/^loop/u, 'a loop device'],
];

/** The namespace of a block device. NvmeUnsupported where it is none. `root` is where sysfs is. */
export async function findNvme(device: { major: number; minor: number }, root = '/sys'): Promise<NvmeDevice> {
  const number = `${device.major}:${device.minor}`;
  // Those without a device of their own, and btrfs, which may be on several.
  if (device.major === 0) throw new NvmeUnsupported(`${number} is no block device: btrfs, or no disk at all`);
  const link = join(root, 'dev/block', number);
  let disk = await realpath(link).catch(() => {
    throw new NvmeUnsupported(`there is no ${link}`);
  });
  if (await exists(join(disk, 'partition'))) disk = dirname(disk);
  const name = basename(disk);
  const instance = NAMESPACE.exec(name)?.[1];
  if (instance === undefined) {
    const what = OTHERS.find(([pattern]) => pattern.test(name))?.[1] ?? 'no NVMe namespace';
    throw new NvmeUnsupported(`${name} is ${what}`);
  }
  const told = await readFile(join(disk, 'nsid'), 'latin1').catch(() => '');
  const nsid = Number(told.trim() || Number.NaN);
  // 0 is none, and 0xffffffff all of the controller's.
  if (!Number.isInteger(nsid) || nsid < 1 || nsid >= 0xffff_ffff)
    throw new NvmeUnsupported(`sysfs does not say which namespace ${name} is`);
  const generic = (await exists(join(root, 'class/nvme-generic', `ng${instance}`))) ? `/dev/ng${instance}` : undefined;
  return { name, nsid, block: `/dev/${name}`, generic };
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
