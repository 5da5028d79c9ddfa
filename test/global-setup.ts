/**
 * What the machine needs before the tests, once for all of them, where root has kernel tests to run.
 *
 * fusectl is mounted where the machine did not do so at boot, as systemd does. Without it no test can abort a connection,
 * nor can the watchdog of one that hangs. It stays mounted: a second run on the machine may use it by the time this one
 * ends, and it is empty but for connections that are there.
 *
 * FUSE over io_uring is switched on for the mounts of the tests, and put back.
 *
 * What tests start is compiled (compiled.ts).
 */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { CONNECTIONS, mountAt } from '../src/mountinfo.ts';
import { PARAMETER } from '../src/uring/transport-system.ts';
import { compile } from './compiled.ts';
import { lacking } from './support.ts';

export default function setup(): () => void {
  const built = compile();
  const undo = lacking === undefined ? machine() : undefined;
  return () => {
    undo?.();
    rmSync(built, { recursive: true });
  };
}

function machine(): (() => void) | undefined {
  mountControl();
  return switchOn();
}

function mountControl(): void {
  try {
    closeSync(openSync('/dev/fuse', 'r+')); // loads the module, which makes the directory
    if (mountAt(CONNECTIONS)?.type !== 'fusectl')
      execFileSync('mount', ['-t', 'fusectl', 'fusectl', CONNECTIONS], { stdio: 'pipe' });
  } catch (error) {
    console.error(`fusectl can't be mounted, and tests that need it will fail: ${(error as Error).message}`);
  }
}

/** What is returned puts back what was there. */
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
