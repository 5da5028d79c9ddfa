/**
 * Files that the kernel reads and writes itself, beside the same in the directory itself, in turns. What the server uses of the CPU
 * meanwhile is told as well: nothing.
 *
 * Buffered 4 KiB are what the kernel's own detour costs: a second open file, its locks, credentials changed there and back for each.
 */
import { paired, type Row } from './measure.ts';
import { loadMount, Server, sourceOf } from './servers.ts';

/** At least so much of the directory's own. */
const TARGET = 0.95;
/** Operations of the load client; one that is not held to the target informs. */
// biome-ignore format: a table, an operation a line
const OPERATIONS = {
  buffered_read1m:  { title: 'read 1 MiB',          held: true },
  buffered_write1m: { title: 'write 1 MiB',         held: true },
  read1m:           { title: 'read 1 MiB, direct',  held: true },
  write1m:          { title: 'write 1 MiB, direct', held: true },
  read4k:           { title: 'read 4 KiB, direct',  held: true },
  write4k:          { title: 'write 4 KiB, direct', held: true },
  buffered_read4k:  { title: 'read 4 KiB',          held: false },
  buffered_write4k: { title: 'write 4 KiB',         held: false },
} as const;

export async function* handedRows(quick: boolean): AsyncGenerator<Row> {
  const server = await Server.start('passthrough kernel');
  const seconds = quick ? 0.3 : 1;
  try {
    for (const [op, { title, held }] of Object.entries(OPERATIONS)) {
      await server.load(op, 1, 0.1); // makes the file, and what is compiled once
      const measured = await paired(
        { rounds: quick ? 3 : 9, most: quick ? 4_000 : 30_000 },
        () => server.load(op, 1, seconds),
        () => loadMount(sourceOf(server.directory), async () => 0, op, 1, seconds),
      );
      yield {
        ...{
          bench: 'passthrough',
          case: `${title} by the kernel, against the directory itself`,
          clients: 1,
          unit: 'ops/s',
        },
        ...measured,
        ...(held && { target: `>= ${TARGET}` }),
        baselineCpuUs: null, // there is no server
      };
    }
  } finally {
    await server.stop();
  }
}
