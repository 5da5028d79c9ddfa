/** MemoryFs with files that the kernel reads and writes itself, beside one that does it by requests, in turns. */
import { paired, type Row } from './measure.ts';
import { Server } from './servers.ts';

/** Operations of the load client. What is gained has no target; what small files lose has one. */
// biome-ignore format: a table, an operation a line
const OPERATIONS = {
  small_file:       { title: 'create, write 4 KiB, close, unlink', target: '>= 0.8' },
  create_unlink:    { title: 'create + unlink' },
  open_close:       { title: 'open + close' },
  read4k:           { title: 'read 4 KiB, direct' },
  write4k:          { title: 'write 4 KiB, direct' },
  buffered_write4k: { title: 'write 4 KiB' },
  seqread:          { title: 'read sequentially' },
  seqwrite:         { title: 'write sequentially' },
} as const;

export async function* memoryHandedRows(quick: boolean): AsyncGenerator<Row> {
  const [kernel, requests] = [await Server.start('memory kernel'), await Server.start('memory')];
  const seconds = quick ? 0.1 : 0.5;
  try {
    for (const [op, wish] of Object.entries(OPERATIONS)) {
      for (const server of [kernel, requests]) await server.load(op, 1, 0.1); // makes the files, compiles
      const measured = await paired(
        { rounds: quick ? 3 : 15, most: quick ? 2_000 : 30_000 },
        () => kernel.load(op, 1, seconds),
        () => requests.load(op, 1, seconds),
      );
      yield {
        ...{ bench: 'memory', case: `${wish.title} by the kernel, against requests`, clients: 1, unit: 'ops/s' },
        ...measured,
        ...('target' in wish && { target: wish.target }),
      };
    }
  } finally {
    await Promise.all([kernel.stop(), requests.stop()]);
  }
}
