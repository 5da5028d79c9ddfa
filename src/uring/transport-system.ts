/** What a FUSE ring needs of the system, and why this one may have none. */
import { readFileSync } from 'node:fs';
import { SystemError } from '../abi/errno.ts';
import { Memory } from '../abi/memory.ts';
import { onCpu, writeBytes } from '../abi/syscall.ts';
import { Ring } from './ring.ts';
import type { RingOptions } from './setup.ts';
import { countCpus } from './transport-plan.ts';

/** Replaced by tests, which play the kernel or withhold what it would give. */
export interface TransportSystem {
  ring(options: RingOptions): Ring;
  reserve(bytes: number): Memory;
  /** CPUs that this machine could ever have: not those online, nor those that this process may run on. */
  cpus(): number;
  /** Writes a notification, on a CPU. SystemError. */
  notify(fd: number, message: Uint8Array, cpu: number): void;
  /** fuse.enable_uring: `Y`, `N`, or undefined where the kernel has no such parameter. */
  enabled(): string | undefined;
}
export const PARAMETER = '/sys/module/fuse/parameters/enable_uring';
export const linux: TransportSystem = {
  ring: (options) => new Ring(options),
  reserve: (bytes) => new Memory(bytes),
  cpus: () => countCpus(readFileSync('/sys/devices/system/cpu/possible', 'latin1')),
  notify(fd, message, cpu) {
    const n = onCpu(cpu, () => writeBytes(fd, message));
    if (n < 0) throw new SystemError(-n, 'write');
  },
  enabled() {
    try {
      return readFileSync(PARAMETER, 'latin1').trim();
    } catch {
      return undefined;
    }
  },
};

/** Why a kernel does not offer it, and what to do. One line. */
export function whyNotOffered({ enabled }: Pick<TransportSystem, 'enabled'> = linux): string {
  const parameter = enabled();
  if (parameter === undefined) return 'this kernel has none, it came with Linux 6.14';
  return parameter === 'Y'
    ? 'the kernel does not offer it'
    : `it is switched off: for mounts made afterwards, as root: echo Y > ${PARAMETER}`;
}
