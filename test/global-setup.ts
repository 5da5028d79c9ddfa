/**
 * Mounts fusectl, once before all tests, where root has kernel tests to run and the machine did not mount it at boot, as
 * systemd does. Without it no test can abort a connection, nor can the watchdog of one that hangs. It stays mounted: a
 * second run on the machine may use it by the time this one ends, and it is empty but for connections that are there.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { CONNECTIONS, mountAt } from '../src/mountinfo.ts';
import { lacking } from './support.ts';

export default function setup(): void {
  if (lacking !== undefined) return;
  try {
    closeSync(openSync('/dev/fuse', 'r+')); // loads the module, which makes the directory
    if (mountAt(CONNECTIONS)?.type !== 'fusectl')
      execFileSync('mount', ['-t', 'fusectl', 'fusectl', CONNECTIONS], { stdio: 'pipe' });
  } catch (error) {
    console.error(`fusectl can't be mounted, and tests that need it will fail: ${(error as Error).message}`);
  }
}
