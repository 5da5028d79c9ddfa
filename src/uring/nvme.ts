/**
 * The NVMe namespace that a file is on, asked directly: to flush its cache, and what it writes as a whole.
 *
 * A flush here makes durable what has reached the device, which is what was written with O_DIRECT into blocks that the file has
 * already: neither what is in the page cache, nor what the filesystem has yet to write about the file. It is a call of its own,
 * and never what DurableFile means by durable.
 *
 * Only the namespace's own devices are used. IORING_OP_URING_CMD on its character device where there is one and a ring can
 * be had, else an ioctl on a thread. Passthrough is root's (CAP_SYS_ADMIN).
 */
import { Errno, errno } from '../abi/errno.ts';
import { NVME_IDENTIFY_DATA_SIZE, NVME_IOCTL_ADMIN_CMD, NVME_IOCTL_IO_CMD, NVME_URING_CMD_IO } from '../abi/nvme.ts';
import { O_RDONLY, S_IFBLK, S_IFMT } from '../abi/posix.ts';
import { startWorker } from '../abi/worker.ts';
import type { UringFiles } from './files.ts';
import {
  flushCommand,
  flushUringCommand,
  identifyCommand,
  NvmeError,
  type NvmeIdentity,
  parseIdentity,
} from './nvme-codec.ts';
import { findNvme, type NvmeDevice, NvmeUnsupported } from './nvme-sysfs.ts';
import { Ring } from './ring.ts';
import { UringError } from './setup.ts';

/** Set to `off` or `0`, nothing is passed through: as if there were no NVMe. */
export const NVME_VARIABLE = 'RAWFUSE_NVME_PASSTHROUGH';

/** An ioctl for the thread, with so many bytes for what it answers; and what came of it. */
export interface NvmeCall {
  readonly request: number;
  readonly command: Uint8Array;
  readonly length: number;
}
export interface NvmeAnswer {
  readonly result: number;
  readonly data: Uint8Array;
}

/** What a namespace needs of the system: replaced by tests, which have no NVMe. */
export interface NvmeSystem {
  /** Where sysfs is. */
  readonly root: string;
  /** A thread that makes ioctls on a device. */
  thread(device: string): { call(call: NvmeCall): Promise<NvmeAnswer>; end(): Promise<void> };
  /** A ring whose entries have room for a command. UringError where there is none to be had. */
  ring(): Ring;
}
const linux: NvmeSystem = {
  root: '/sys',
  thread: ioctls,
  ring: () => new Ring({ entries: 8, sqe128: true, cqe32: true }),
};

export class NvmeNamespace implements AsyncDisposable {
  readonly device: NvmeDevice;
  readonly #files: UringFiles;
  readonly #system: NvmeSystem;
  #thread: ReturnType<NvmeSystem['thread']> | undefined;
  /** Undefined until it is tried; then the ring and the device on it, or none. */
  #ring:
    | Promise<{ readonly ring: Ring; readonly file: Awaited<ReturnType<UringFiles['open']>> } | undefined>
    | undefined;

  private constructor(files: UringFiles, device: NvmeDevice, system: NvmeSystem) {
    this.#files = files;
    this.device = device;
    this.#system = system;
  }

  /**
   * The namespace that a file lies on, or that a block device is. NvmeUnsupported, with the reason, where it is on none, or on
   * several, or where passthrough is switched off.
   */
  static async of(files: UringFiles, path: string, system: NvmeSystem = linux): Promise<NvmeNamespace> {
    const switched = process.env[NVME_VARIABLE];
    if (switched === 'off' || switched === '0') throw new NvmeUnsupported(`${NVME_VARIABLE} is ${switched}`);
    const { mode, statx } = await files.statx(path);
    const device =
      (mode & S_IFMT) === S_IFBLK
        ? { major: statx.rdev_major, minor: statx.rdev_minor }
        : { major: statx.dev_major, minor: statx.dev_minor };
    return new NvmeNamespace(files, await findNvme(device, system.root), system);
  }

  /** Until what has reached the device is durable. NvmeError where it refuses, Errno where the kernel does: EACCES without privileges. */
  async flush(): Promise<void> {
    this.#ring ??= this.#openRing();
    const opened = await this.#ring;
    if (opened === undefined) {
      const call = { request: NVME_IOCTL_IO_CMD, command: flushCommand(this.device.nsid), length: 0 };
      await this.#ioctl('flush', call);
      return;
    }
    const cmd = flushUringCommand(this.device.nsid);
    const sqe = { fd: opened.file.fd, off: NVME_URING_CMD_IO, cmd };
    const result = await new Promise<number>((resolve) => opened.ring.submit('URING_CMD', sqe, resolve));
    checked('flush', result);
  }

  /** What the namespace and its controller say of themselves. Errors as of `flush`. */
  async identify(): Promise<NvmeIdentity> {
    const ask = async (what: 'namespace' | 'controller') => {
      const command = identifyCommand(what, this.device.nsid);
      return this.#ioctl(`identify ${what}`, {
        request: NVME_IOCTL_ADMIN_CMD,
        command,
        length: NVME_IDENTIFY_DATA_SIZE,
      });
    };
    return parseIdentity(await ask('namespace'), await ask('controller'));
  }

  async close(): Promise<void> {
    const opened = await this.#ring;
    this.#ring = undefined;
    await opened?.file.close();
    await opened?.ring.close();
    await this.#thread?.end();
    this.#thread = undefined;
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #openRing() {
    const { generic } = this.device;
    if (generic === undefined) return undefined;
    try {
      const ring = this.#system.ring();
      try {
        return { ring, file: await this.#files.open(generic, O_RDONLY) };
      } catch (error) {
        await ring.close();
        throw error;
      }
    } catch (error) {
      // No ring, or no such device after all: the ioctl asks the same device for the same.
      if (error instanceof UringError || error instanceof Errno) return undefined;
      throw error;
    }
  }

  async #ioctl(what: string, call: NvmeCall): Promise<Uint8Array> {
    this.#thread ??= this.#system.thread(this.device.block);
    const { result, data } = await this.#thread.call(call);
    checked(what, result);
    return data;
  }
}

/** A negated errno is the kernel's, a positive result the device's. */
function checked(what: string, result: number): void {
  if (result < 0) throw errno(-result);
  if (result > 0) throw new NvmeError(result, what);
}

/** A thread for ioctls on a device, which is opened for each. */
export function ioctls(device: string): ReturnType<NvmeSystem['thread']> {
  const worker = startWorker(import.meta.url, './nvme-thread', { workerData: { device } });
  const waiting: { resolve(answer: NvmeAnswer): void; reject(error: unknown): void }[] = [];
  worker.unref();
  worker.on('message', (answer: NvmeAnswer) => {
    waiting.shift()!.resolve(answer);
    if (waiting.length === 0) worker.unref();
  });
  worker.on('error', (error) => {
    for (const { reject } of waiting.splice(0)) reject(error);
  });
  const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  return {
    call: (call) =>
      new Promise((resolve, reject) => {
        worker.ref();
        waiting.push({ resolve, reject });
        worker.postMessage(call);
      }),
    end() {
      worker.postMessage(undefined);
      return ended;
    },
  };
}
