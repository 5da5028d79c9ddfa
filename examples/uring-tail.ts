/**
 * Shows the last lines of a log and what is added to it: `npx tsx examples/uring-tail.ts [-n LINES] FILE`. As `tail -F`: a log
 * that is emptied is read from its beginning; one that is renamed, with another in its place, is read to its end and the
 * other from its beginning. Ctrl-C ends it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { O_RDONLY, type UringFile, UringFiles } from 'rawfuse/uring';

/** How often it looks, in ms. */
const EVERY = 100;
const LF = 10;

const { path, lines } = read(process.argv.slice(2));
const stop = new AbortController();
process.once('SIGINT', () => stop.abort());
process.stdout.on('error', () => process.exit(141)); // whoever read it has gone
const files = new UringFiles();
const buffer = Buffer.allocUnsafeSlow(64 * 1024);

const open = () => files.open(path, O_RDONLY);

/** Where the last lines begin: the file is read backwards. */
async function lastLines(file: UringFile): Promise<number> {
  const { size } = await file.statx();
  let left = lines;
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - buffer.length);
    const { bytes } = await file.readExactly(buffer.subarray(0, end - start), start);
    // The newline that ends the file ends its last line, and begins none.
    for (let at = start + bytes === size ? bytes - 2 : bytes - 1; at >= 0; at--)
      if (buffer[at] === LF && --left <= 0) return start + at + 1;
    end = start;
  }
  return 0;
}

/** Writes what is there from an offset on: where it ended. */
async function show(file: UringFile, offset: number): Promise<number> {
  for (;;) {
    const { bytes } = await file.read(buffer, offset);
    if (bytes === 0) return offset;
    // The buffer is written to again only when it is out.
    await new Promise((resolve) => process.stdout.write(buffer.subarray(0, bytes), resolve));
    offset += bytes;
  }
}

/** The file that has this path now, if it is another one. */
async function successor(of: UringFile): Promise<UringFile | undefined> {
  try {
    const [{ statx: was }, { statx: is }] = await Promise.all([of.statx(), files.statx(path)]);
    if (was.ino === is.ino && was.dev_major === is.dev_major && was.dev_minor === is.dev_minor) return undefined;
    return await open();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined; // renamed, and its successor not made yet
    throw error;
  }
}

try {
  let file = await open();
  let offset = lines === 0 ? (await file.statx()).size : await lastLines(file);
  while (!stop.signal.aborted) {
    offset = await show(file, offset);
    if ((await file.statx()).size < offset) {
      console.error(`uring-tail: ${path} was emptied`);
      offset = 0;
      continue;
    }
    const next = await successor(file);
    if (next !== undefined) {
      await show(file, offset); // what came before it was renamed
      await file.close();
      console.error(`uring-tail: ${path} is another file now`);
      [file, offset] = [next, 0];
      continue;
    }
    await sleep(EVERY, undefined, { signal: stop.signal }).catch(() => {});
  }
  await file.close();
  process.exitCode = 130;
} catch (error) {
  console.error(`uring-tail: ${path}: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  await files.close();
}

function read(args: string[]): { path: string; lines: number } {
  try {
    const { positionals, values } = parseArgs({
      args,
      allowPositionals: true,
      options: { lines: { type: 'string', short: 'n', default: '10' } },
    });
    if (positionals.length === 1 && /^\d+$/u.test(values.lines))
      return { path: positionals[0]!, lines: Number(values.lines) };
  } catch {
    // said below
  }
  console.error('uring-tail: usage: uring-tail [-n LINES] FILE');
  process.exit(2);
}
