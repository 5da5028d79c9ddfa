/** What the machine needs before the tests, once for all of them. */
import { readFileSync, writeFileSync } from 'node:fs';
import { PARAMETER } from '../src/uring/transport-system.ts';
import { lacking } from './support.ts';

export default function setup(): (() => void) | undefined {
  return lacking === undefined ? switchOn() : undefined;
}

/** Switches FUSE over io_uring on for the mounts of the tests; what is returned puts back what was there. */
function switchOn(): (() => void) | undefined {
  let before: string;
  try {
    before = readFileSync(PARAMETER, 'latin1');
    if (before.startsWith('Y')) return undefined;
    writeFileSync(PARAMETER, 'Y');
  } catch {
    return undefined; // the tests of that transport are skipped, and fail in CI
  }
  return () => writeFileSync(PARAMETER, before);
}
