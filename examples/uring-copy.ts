/**
 * Copies a tree, many files at once: `npx tsx examples/uring-copy.ts SOURCE TARGET`. As `cp -r --preserve=mode,timestamps`:
 * files, directories and symlinks with their modes and times, not owners, attributes or hard links.
 *
 * Contents go over io_uring; what it has no operation for (listing, reading symlinks, modes, times) is node:fs's work.
 */
import { fchmod, futimes } from 'node:fs';
import { chmod, lstat, lutimes, readdir, readlink, utimes } from 'node:fs/promises';
import { join, relative, resolve, sep } from 'node:path';
import { promisify } from 'node:util';
import { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY, UringFiles, type UringStat } from 'rawfuse/uring';

/** Files at once. Each is two open ones, and a pool that waits for the second while it holds the first must not run dry: 64 may be open. */
const AT_ONCE = 24;
const CHUNK = 256 * 1024;

const [source, target, ...more] = process.argv.slice(2).map((path) => resolve(path));
if (source === undefined || target === undefined || more.length > 0) fail('usage: uring-copy SOURCE TARGET');
if (`${target}${sep}`.startsWith(`${source}${sep}`)) fail(`${target} lies in ${source}`);

const stop = new AbortController();
process.once('SIGINT', () => stop.abort());
await using files = new UringFiles();
const counts = { files: 0, bytes: 0, vanished: 0, failed: 0 };
/** Directories get mode and times when all is in them. */
const directories: [path: string, was: UringStat][] = [];

/** What is in a directory, and below. The copy of a directory is made before what is in it comes. */
async function* walk(path: string): AsyncGenerator<string> {
  const to = destination(path);
  const entries = await attempt(path, async () => {
    const was = await files.statx(path, { follow: false });
    await files.mkdir(to, { mode: 0o700 });
    directories.push([to, was]);
    return readdir(path, { withFileTypes: true });
  });
  for (const entry of entries ?? []) {
    if (entry.isDirectory()) yield* walk(join(path, entry.name));
    else yield join(path, entry.name);
  }
}
const destination = (path: string) => join(target!, relative(source!, path));

/** What `work` gives; undefined where it failed, which is told. */
async function attempt<T>(path: string, work: () => Promise<T>): Promise<T | undefined> {
  if (stop.signal.aborted) return undefined;
  try {
    return await work();
  } catch (error) {
    if (stop.signal.aborted) return undefined;
    const vanished = (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (vanished) counts.vanished++;
    else counts.failed++;
    console.error(`uring-copy: ${path}: ${vanished ? 'vanished' : (error as Error).message}`);
    return undefined;
  }
}

/** Node takes times in seconds: of a nanosecond's nine digits the last three are lost. */
const seconds = (ns: bigint) => Number(ns) / 1e9;

async function copyFile(path: string, was: UringStat, buffer: Buffer): Promise<void> {
  const { signal } = stop;
  const to = destination(path);
  await using from = await files.open(path, O_RDONLY | O_NOFOLLOW, { signal });
  await using into = await files.open(to, O_WRONLY | O_CREAT | O_EXCL, { mode: 0o600 });
  try {
    for (let offset = 0; ; ) {
      const { bytes } = await from.readExactly(buffer, offset, { signal });
      await into.writeAll(buffer.subarray(0, bytes), offset, { signal });
      offset += bytes;
      counts.bytes += bytes;
      if (bytes < buffer.length) break;
    }
    await promisify(fchmod)(into.fd, was.mode & 0o7777);
    await promisify(futimes)(into.fd, seconds(was.atimeNs), seconds(was.mtimeNs));
  } catch (error) {
    await files.unlink(to); // half of a file is worse than none
    throw error;
  }
  counts.files++;
}

async function copySymlink(path: string, was: UringStat): Promise<void> {
  await files.symlink(await readlink(path), destination(path));
  await lutimes(destination(path), seconds(was.atimeNs), seconds(was.mtimeNs));
}

const top = await lstat(source!).catch((error: Error) => fail(error.message));
if (!top.isDirectory()) fail(`${source} is no directory`);
if (await lstat(target!).catch(() => undefined)) fail(`${target} is there already`);
// One walk, and so many takers of what it finds.
const found = walk(source!);
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    const buffer = Buffer.allocUnsafeSlow(CHUNK);
    for await (const path of found)
      await attempt(path, async () => {
        const was = await files.statx(path, { follow: false });
        if (was.isSymbolicLink()) await copySymlink(path, was);
        else if (was.isFile()) await copyFile(path, was, buffer);
        else throw new Error('neither file nor directory nor symlink');
      });
  }),
);
for (const [path, was] of directories.reverse())
  await attempt(path, async () => {
    await utimes(path, seconds(was.atimeNs), seconds(was.mtimeNs));
    await chmod(path, was.mode & 0o7777);
  });
console.log(
  `${counts.files} files, ${counts.bytes} bytes, ${counts.vanished} vanished meanwhile, ${counts.failed} failed`,
);
process.exitCode = stop.signal.aborted ? 130 : counts.failed > 0 ? 1 : 0;

function fail(message: string): never {
  console.error(`uring-copy: ${message}`);
  process.exit(2);
}
