/**
 * Finds a string in many files at once: `npx tsx examples/uring-grep.ts STRING PATH...`. Output and exit status are those
 * of `grep -rnFI`: `path:line:text`; 0 where the string was found, 1 where not, 2 where something failed.
 */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { O_RDONLY, UringFiles } from 'rawfuse/uring';

/** Files at once. */
const AT_ONCE = 32;
const CHUNK = 256 * 1024;
const LF = 10;

const [string, ...paths] = process.argv.slice(2);
if (string === undefined || paths.length === 0) fail('usage: uring-grep STRING PATH...');
if (string === '' || string!.includes('\n')) fail('STRING must have a character, and be of one line');
const wanted = Buffer.from(string!);

const stop = new AbortController();
process.once('SIGINT', () => stop.abort());
process.stdout.on('error', () => process.exit(141)); // whoever read it has gone, as in `| head -1`
await using files = new UringFiles();
let matched = false;
let failed = false;

/** Whatever is asked for by name; below a directory files alone, as symlinks may lead in circles and pipes never end. */
async function* walk(path: string): AsyncGenerator<string> {
  const entries = await attempt(path, () => readdir(path, { withFileTypes: true }));
  for (const entry of entries ?? []) {
    if (entry.isDirectory()) yield* walk(join(path, entry.name));
    else if (entry.isFile()) yield join(path, entry.name);
  }
}
async function* named(): AsyncGenerator<string> {
  for (const path of paths) {
    const what = await attempt(path, () => stat(path));
    if (what?.isDirectory()) yield* walk(path);
    else if (what) yield path;
  }
}

async function attempt<T>(path: string, work: () => Promise<T>): Promise<T | undefined> {
  if (stop.signal.aborted) return undefined;
  try {
    return await work();
  } catch (error) {
    if (stop.signal.aborted) return undefined;
    console.error(`uring-grep: ${path}: ${(error as Error).message}`);
    failed = true;
    return undefined;
  }
}

/** The lines of a file that have it. */
async function search(path: string): Promise<string[]> {
  const { signal } = stop;
  const found: string[] = [];
  await using file = await files.open(path, O_RDONLY, { signal });
  let buffer = Buffer.allocUnsafeSlow(CHUNK);
  let kept = 0; // the beginning of a line whose end has not been read
  let line = 1;
  for (let offset = 0; ; ) {
    if (kept === buffer.length) buffer = Buffer.concat([buffer], 2 * buffer.length); // a long line
    const { bytes } = await file.readExactly(buffer.subarray(kept), offset, { signal });
    if (buffer.subarray(kept, kept + bytes).includes(0)) return []; // no text
    offset += bytes;
    const last = kept + bytes < buffer.length; // the file has ended
    const all = buffer.subarray(0, kept + bytes);
    const end = last ? all.length : all.lastIndexOf(LF) + 1;
    const lines = all.subarray(0, end);
    let counted = 0; // up to here `line` counts
    for (let at = lines.indexOf(wanted); at >= 0; ) {
      line += newlines(lines, counted, at);
      const until = lines.indexOf(LF, at);
      counted = until < 0 ? lines.length : until;
      found.push(`${path}:${line}:${lines.toString('utf8', lines.lastIndexOf(LF, at) + 1, counted)}\n`);
      at = lines.indexOf(wanted, counted);
    }
    line += newlines(lines, counted, end);
    if (last) return found;
    kept = buffer.copy(buffer, 0, end, all.length);
  }
}
function newlines(bytes: Buffer, from: number, to: number): number {
  let count = 0;
  for (let at = bytes.indexOf(LF, from); at >= 0 && at < to; at = bytes.indexOf(LF, at + 1)) count++;
  return count;
}

// One walk, and so many takers of what it finds.
const found = named();
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    for await (const path of found) {
      const lines = await attempt(path, () => search(path));
      if (!lines || lines.length === 0) continue;
      matched = true;
      // A file's lines together; and no more of them in memory than is being written.
      await new Promise((resolve) => process.stdout.write(lines.join(''), resolve));
    }
  }),
);
process.exitCode = stop.signal.aborted ? 130 : failed ? 2 : matched ? 0 : 1;

function fail(message: string): never {
  console.error(`uring-grep: ${message}`);
  process.exit(2);
}
