/** The in-memory filesystem as it is mounted from the command line, and its own options. */
import { MemoryFs, type MemoryOptions } from '../../src/fs/index.ts';
import { memoryHere } from '../../src/fs/memory/memory.ts';
import { UsageError } from './command.ts';
import { HANDED, handed } from './handed.ts';
import type { Mountable } from './mount.ts';

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };
const ATIMES = ['relatime', 'strict', 'none'] as const;

/** `16m`, or where it is of something, `50%`. */
function amount(name: string, text: string, of?: number): number {
  const [, digits, unit] = /^(\d+)([kmgt]?|%)$/iu.exec(text) ?? [];
  const percent = unit === '%' && of !== undefined ? of / 100 : undefined;
  const value = Number(digits) * (percent ?? UNITS[unit?.toLowerCase() ?? ''] ?? Number.NaN);
  if (!Number.isSafeInteger(Math.floor(value)))
    throw new UsageError(
      `option ${name} is ${text}: a number is needed, with k, m, g${of ? ', t or %' : ' or t'} behind it or nothing`,
    );
  return Math.floor(value);
}

function chosen(text: string): (typeof ATIMES)[number] {
  const atime = ATIMES.find((each) => each === text);
  if (atime === undefined) throw new UsageError(`option atime is ${text}: one of ${ATIMES.join(', ')} is needed`);
  return atime;
}

export const memory: Mountable = {
  name: 'memory',
  title: 'an in-memory filesystem',
  options: {
    size: { form: 'size=N[k|m|g|t|%]', help: 'bytes of data at most (default 50% of the memory)' },
    nr_inodes: {
      form: 'nr_inodes=N[k|m|g]',
      help: 'files at most (default one for 4 KiB of size, at most 8,388,608)',
    },
    atime: {
      form: 'atime=relatime|strict|none',
      help: 'when reading moves access times (default as mounted, else relatime)',
    },
    kernel_passthrough: {
      form: HANDED,
      help: 'the kernel reads and writes open files itself (default off)',
    },
  },
  module: new URL(`../../src/fs/memory/memory-module.${import.meta.url.split('.').at(-1)}`, import.meta.url),
  told: ({ size, nr_inodes, atime, kernel_passthrough }) => {
    const options: MemoryOptions = {
      size: size === undefined ? undefined : amount('size', size, memoryHere()),
      nrInodes: nr_inodes === undefined ? undefined : amount('nr_inodes', nr_inodes),
      atime: atime === undefined ? undefined : chosen(atime),
      kernelPassthrough: handed(kernel_passthrough),
    };
    return options;
  },
  make(own) {
    try {
      return new MemoryFs(memory.told!(own, '', '') as MemoryOptions);
    } catch (error) {
      throw new UsageError((error as Error).message.replace('nrInodes', 'nr_inodes'));
    }
  },
};
