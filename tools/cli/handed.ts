/** `-o kernel_passthrough`, an option of more than one filesystem. */
import type { KernelPassthrough } from '../../src/fs/index.ts';
import { UsageError } from './command.ts';

export const HANDED = 'kernel_passthrough[=auto|on|off]';
const WISHES: Readonly<Record<string, KernelPassthrough>> = { '': true, on: true, auto: 'auto', off: false };

/** What is meant by it: alone it is "it must be". */
export function handed(text: string | undefined): KernelPassthrough | undefined {
  if (text === undefined) return undefined;
  if (!Object.hasOwn(WISHES, text))
    throw new UsageError(`option kernel_passthrough is ${text}: one of auto, on, off is needed`);
  return WISHES[text];
}
