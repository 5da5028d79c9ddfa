/**
 * SharedMemoryFs as a module whose threads die, or nearly so, when a name is looked up that says how: with the lock of all
 * names, or with none.
 */
import { writeSync } from 'node:fs';
import { SharedCells } from '../../../src/fs/shared/cells.ts';
import { acquire } from '../../../src/fs/shared/lock.ts';
import type { Args } from '../../../src/protocol/operations.ts';
import type { Request } from '../../../src/protocol/request.ts';
import type { WorkerContext } from '../../../src/threads/messages.ts';
import { SharedMemoryFs } from './filesystem.ts';
import type { SharedMemoryOptions } from './module.ts';
import { NAMES, SharedTree, type TreeHandle } from './tree.ts';

export { share } from './module.ts';

/** A request that is never answered, and is told of. */
function never(): Promise<never> {
  console.log('at it');
  return new Promise(() => {});
}

/** A request that is never answered, by a thread that comes to nothing else; it is told of. */
function spin(): never {
  writeSync(1, 'at it\n'); // console.log would be of the event loop
  for (;;);
}

export default function make({
  shared,
  count,
  options: { patience },
}: WorkerContext<TreeHandle, SharedMemoryOptions>): SharedMemoryFs {
  const words = new SharedCells(shared.words);
  const ways: Readonly<Record<string, () => Promise<never>>> = {
    hang: never,
    spin,
    'hold and spin': () => {
      acquire(words, NAMES);
      return spin();
    },
    'hold and hang': () => {
      acquire(words, NAMES);
      return never();
    },
    'hold and throw': () => {
      acquire(words, NAMES);
      setImmediate(() => {
        throw new Error('thrown with the lock');
      });
      return never();
    },
    'hold and exit': () => {
      acquire(words, NAMES);
      return process.exit(5);
    },
  };
  return new (class extends SharedMemoryFs {
    override lookup(request: Request, args: Args<'LOOKUP'>) {
      return (ways[args.name]?.() as never) ?? super.lookup(request, args);
    }
  })(new SharedTree(shared, { patience }), count, undefined);
}
