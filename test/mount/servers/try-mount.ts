/** Tries to mount at its DIRECTORY, and prints as JSON how that ended and what it left open. */
import { readdirSync, readlinkSync } from 'node:fs';
import { MemoryFs } from '../../../src/fs/index.ts';
import { mount } from '../../../src/mount.ts';
import type { MountError } from '../../../src/serve.ts';
import { umountElsewhere } from '../../../src/umount.ts';

const open = (): string[] =>
  readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return []; // the one that read the directory
    }
  });
// The thread that unmounts stays; who may not mount starts none.
if (process.geteuid!() === 0) await umountElsewhere(() => undefined);
const before = open();
let error: MountError | undefined;
try {
  await (await mount(new MemoryFs(), process.argv[2]!)).unmount();
} catch (thrown) {
  error = thrown as MountError;
}
console.log(
  JSON.stringify({
    name: error?.name,
    reason: error?.reason,
    message: error?.message,
    left: open().filter((each) => each.includes('fuse') || !before.includes(each)),
  }),
);
