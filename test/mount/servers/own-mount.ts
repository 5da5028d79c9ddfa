/**
 * A program that uses its own mount: `own-mount.ts DIRECTORY sync` the wrong way, `async` the way that
 * works. What it got it prints as JSON.
 */
import { readdirSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MemoryFs } from '../../../src/fs/index.ts';
import { mountOver } from '../../transport.ts';

const [directory, how] = process.argv.slice(2) as [string, 'sync' | 'async'];
const warnings: string[] = [];
const mine = await mountOver(new MemoryFs(), directory, { onWarning: (message) => warnings.push(message) });
console.log('ready');

function wrong(): unknown {
  try {
    return readdirSync(directory); // waits for an answer that this very thread has to give
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
}

async function right(): Promise<unknown> {
  await writeFile(join(directory, 'file'), 'text');
  return [await readdir(directory), await readFile(join(directory, 'file'), 'utf8')];
}

const result = how === 'sync' ? wrong() : await right();
await mine.unmount({ lazy: true });
console.log(JSON.stringify({ result, warnings }));
