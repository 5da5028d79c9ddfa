/**
 * Durable appends of 4 KiB, for `npm run bench -- durable`: a process of its own that does what durable.c does. It reads how many,
 * a line each time, and says how many nanoseconds they took.
 *
 *   node durable-load.js FILE DURABILITY CALLERS [sqpoll | threads]
 */
import { createInterface } from 'node:readline';
import { DurableFile } from '../../src/uring/durable.ts';
import type { Durability } from '../../src/uring/durable-plan.ts';
import { UringFiles, type UringFilesOptions } from '../../src/uring/files.ts';
import { ThreadsEngine } from '../../src/uring/threads.ts';

const BLOCK = 4096;
/** Writes without an fsync, until V8 has compiled what all of them go through. Of one block: the disk gets no work by them. */
const WARM = 5000;

const [path, durability, callers, variant] = process.argv.slice(2) as [string, Durability, string, string?];
const engine = variant === 'threads' ? new ThreadsEngine() : undefined;
const options: UringFilesOptions = variant === 'sqpoll' ? { sqpoll: { idle: 100 } } : { engine };
{
  await using files = new UringFiles(options);
  await using file = await DurableFile.open(files, path, { durability });
  const buffers = Array.from({ length: Number(callers) }, () => Buffer.allocUnsafeSlow(BLOCK).fill('x'));
  files.registerBuffers(buffers);

  const appends = async (count: number): Promise<void> => {
    let left = count;
    await Promise.all(
      buffers.map(async (buffer) => {
        while (left-- > 0) await file.append(buffer);
      }),
    );
  };
  for (let i = 0; i < WARM; i++) await file.writeAt(buffers[0]!, 0, 'none');
  await file.truncate(0);
  for await (const line of createInterface({ input: process.stdin })) {
    const begin = process.hrtime.bigint();
    await appends(Number(line));
    console.log(`${process.hrtime.bigint() - begin}`);
  }
}
await engine?.close();
