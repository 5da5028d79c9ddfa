/** A directory for temporary files that is gone when a bench is done, however it ends. */
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Row } from './measure.ts';

/** The rows that are measured in it. */
export async function* inDirectory(measured: (directory: string) => AsyncIterable<Row>): AsyncGenerator<Row> {
  const directory = await mkdtemp(join(tmpdir(), 'rawfuse-bench-'));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  const interrupted = () => process.exit(130);
  process.on('exit', remove);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, interrupted);
  try {
    yield* measured(directory);
  } finally {
    remove();
    process.off('exit', remove);
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupted);
  }
}
