/** The filesystem of shared-fs.ts, whose last thread gives the kernel ring entries that it refuses: their memory is nowhere. */
import { FUSE_IO_URING_CMD_REGISTER } from '../../../src/abi/fuse-constants.ts';
import type { Filesystem } from '../../../src/index.ts';
import type { WorkerContext } from '../../../src/threads/messages.ts';
import { Commands } from '../../../src/uring/transport-command.ts';
import shared, { type SharedFsOptions } from './shared-fs.ts';

export { share } from './shared-fs.ts';

export default function make(context: WorkerContext<SharedArrayBuffer, SharedFsOptions>): Filesystem {
  const { place } = Commands.prototype;
  if (context.index === context.count - 1)
    Commands.prototype.place = function (entry) {
      place.call(this, entry.command === FUSE_IO_URING_CMD_REGISTER ? Object.assign(entry, { iovecs: 0 }) : entry);
    };
  return shared(context);
}
