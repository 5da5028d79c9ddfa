/** Files over a ring: each operation as node:fs does it on the same tree, and who owns what while it lasts. */
import fs, { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EBADF, ECANCELED, EEXIST, EINVAL, ENOENT, ENOTEMPTY, EXDEV } from '../../src/abi/errno.ts';
import {
  FALLOC_FL_KEEP_SIZE,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
} from '../../src/abi/posix.ts';
import { UringFiles } from '../../src/uring/files.ts';
import { probe } from '../../src/uring/setup.ts';
import { operations, Random, seed } from '../random/random.ts';
import { run, until } from '../support.ts';

/** Forbidden in many containers: skipped there, a failure in CI. */
const lacking = (() => {
  try {
    probe();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
})();

describe.skipIf(lacking !== undefined && process.env.CI !== 'true')('files', () => {
  let dir: string;
  let files: UringFiles;
  const at = (...names: string[]) => join(dir, ...names);
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'rawfuse-files-'));
    files = new UringFiles({ entries: 32 });
  });
  afterEach(async () => {
    await files.close();
    rmSync(dir, { recursive: true });
  });

  test('are made, written, read, and are what node:fs says they are', async () => {
    await using file = await files.open(at('new'), O_RDWR | O_CREAT | O_EXCL, { mode: 0o640 });
    expect(await file.writeAll(Buffer.from('hello, world'), 3)).toMatchObject({ bytes: 12 });
    expect(fs.readFileSync(at('new'), 'latin1')).toBe('\0\0\0hello, world');
    const buffer = Buffer.alloc(100);
    const read = await file.read(buffer, 8);
    expect(read).toEqual({ bytes: 7, buffer });
    expect(read.buffer).toBe(buffer);
    expect(buffer.toString('latin1', 0, 7)).toBe(', world');
    expect(await file.read(Buffer.alloc(5), 15)).toMatchObject({ bytes: 0 });
    expect((await file.readExactly(Buffer.alloc(20), 0)).bytes).toBe(15);
    await file.fsync();
    await file.fdatasync();
    await file.fallocate(FALLOC_FL_KEEP_SIZE, 0, 100_000);
    await file.ftruncate(5);
    const [ours, theirs] = [await file.statx(), fs.statSync(at('new'))];
    expect([ours.size, ours.mode, ours.isFile(), ours.isDirectory()]).toEqual([theirs.size, theirs.mode, true, false]);
    expect(Number(ours.statx.blocks)).toBe(theirs.blocks);
    expect(ours.statx.mtime.tv_sec * 1000 + Math.floor(ours.statx.mtime.tv_nsec / 1e6)).toBe(
      Math.floor(theirs.mtimeMs),
    );
  });

  test('names are made and removed, from a directory that is open too', async () => {
    await files.mkdir(at('sub'), { mode: 0o700 });
    await using sub = await files.open(at('sub'), O_RDONLY | O_DIRECTORY);
    await (await files.open('a', O_RDWR | O_CREAT, { dir: sub })).close();
    await files.link('a', 'b', { dir: sub });
    await files.symlink('a', 'l', { dir: sub });
    await files.rename('b', 'c', { dir: sub });
    expect(readdirSync(at('sub')).sort()).toEqual(['a', 'c', 'l']);
    expect((await files.statx('l', { dir: sub, follow: false })).isSymbolicLink()).toBe(true);
    expect((await files.statx('l', { dir: sub })).isFile()).toBe(true);
    expect((await files.statx(at('sub'))).isDirectory()).toBe(true);
    await files.rename('a', 'l', { dir: sub, flags: RENAME_EXCHANGE });
    expect(fs.lstatSync(at('sub', 'a')).isSymbolicLink()).toBe(true);
    await expect(files.rename('a', 'c', { dir: sub, flags: RENAME_NOREPLACE })).rejects.toBe(EEXIST);
    await expect(files.rmdir(at('sub'))).rejects.toBe(ENOTEMPTY);
    for (const name of ['a', 'c', 'l']) await files.unlink(name, { dir: sub });
    await files.rmdir(at('sub'));
    expect(readdirSync(dir)).toEqual([]);
  });

  test('errors are errnos', async () => {
    await expect(files.open(at('absent'), O_RDONLY)).rejects.toBe(ENOENT);
    await expect(files.open(at('a\0b'), O_RDWR | O_CREAT)).rejects.toBe(EINVAL);
    expect(readdirSync(dir)).toEqual([]);
    await using top = await files.open(dir, O_RDONLY | O_DIRECTORY);
    const RESOLVE_BENEATH = 8;
    await expect(files.openat2('../x', { flags: O_RDONLY, resolve: RESOLVE_BENEATH }, { dir: top })).rejects.toBe(
      EXDEV,
    );
    const made = await files.openat2(
      'x',
      { flags: O_RDWR | O_CREAT, mode: 0o600, resolve: RESOLVE_BENEATH },
      { dir: top },
    );
    await expect(made.read(Buffer.alloc(1), -1)).rejects.toBe(EINVAL);
    await expect(made.read(Buffer.alloc(1), 2 ** 53)).rejects.toBe(EINVAL);
    await made.close();
    await expect(made.read(Buffer.alloc(1), 0)).rejects.toBe(EBADF);
    await expect(made.close()).rejects.toBe(EBADF);
  });

  test('names that are not UTF-8 are the bytes that they are', async () => {
    const name = '\udcff\udc80x';
    await (await files.open(at(name), O_RDWR | O_CREAT)).close();
    expect(readdirSync(dir, { encoding: 'buffer' })).toEqual([Buffer.from([0xff, 0x80, 0x78])]);
    await files.unlink(at(name));
  });

  test('a file that is closed waits for what is in flight on it', async () => {
    const file = await files.open(at('f'), O_RDWR | O_CREAT);
    const writes = Array.from({ length: 100 }, (_, i) => file.write(Buffer.alloc(1000, i), i * 1000));
    await file.close();
    expect((await Promise.all(writes)).every(({ bytes }) => bytes === 1000)).toBe(true);
    expect(fs.readFileSync(at('f')).every((byte, i) => byte === Math.floor(i / 1000))).toBe(true);
  });

  test('what is cancelled rejects at once, and is held until the kernel is done with it', async () => {
    await run('mkfifo', [at('fifo')]);
    const fifo = await files.open(at('fifo'), O_RDWR);
    const controller = new AbortController();
    const reading = fifo.read(Buffer.alloc(10), 0, { signal: controller.signal });
    await files.statx(dir); // the read is with the kernel now, and waits
    controller.abort(new Error('enough'));
    await expect(reading).rejects.toThrow('enough');
    expect(files.abandoned).toBe(1);
    await until(() => files.abandoned === 0, 'its completion');
    await expect(fifo.read(Buffer.alloc(1), 0, { signal: AbortSignal.abort(ECANCELED) })).rejects.toBe(ECANCELED);
    await fifo.close();
    expect(files.engine.inFlight).toBe(0);
  });

  test('an open that is cancelled leaves no descriptor, whether it was done or not', async () => {
    const count = () => readdirSync('/proc/self/fd').length;
    await files.statx(dir);
    const before = count();
    for (let i = 0; i < 50; i++) {
      const controller = new AbortController();
      const opening = files.open(at('f'), O_RDWR | O_CREAT, { signal: controller.signal });
      if (i % 2) await new Promise((resolve) => setImmediate(resolve));
      controller.abort(ECANCELED);
      await opening.then(
        (file) => file.close(),
        () => {},
      );
    }
    await until(() => files.abandoned === 0 && count() === before, 'all to be closed');
  });

  test('the end with operations in flight: they fail with ECANCELED, files close still', async () => {
    await run('mkfifo', [at('fifo')]);
    const fifo = await files.open(at('fifo'), O_RDWR);
    const reading = fifo.read(Buffer.alloc(10), 0);
    await files.statx(dir);
    await Promise.all([files.close(), expect(reading).rejects.toBe(ECANCELED)]);
    await fifo.close();
    await expect(files.statx(dir)).rejects.toBe(ECANCELED);
  });

  test('random reads and writes with random cancellation leave what a model says', async () => {
    const random = new Random(seed);
    const SIZE = 64 << 10;
    await using file = await files.open(at('f'), O_RDWR | O_CREAT);
    const model = Buffer.alloc(SIZE);
    await file.writeAll(Buffer.from(model), 0);
    for (let round = 0; round < operations(3200) / 16; round++) {
      // Each has a block of its own: in which order they run is the kernel's affair.
      const block = SIZE / 16;
      await Promise.all(
        Array.from({ length: 16 }, async (_, i) => {
          const offset = i * block + random.below(block / 2);
          const data = Buffer.alloc(random.below(block / 2), random.below(256));
          const controller = new AbortController();
          if (random.chance(4)) setImmediate(() => controller.abort(ECANCELED));
          try {
            await file.writeAll(data, offset, { signal: controller.signal });
            data.copy(model, offset);
          } catch (error) {
            expect(error).toBe(ECANCELED);
            await until(() => files.abandoned === 0, 'the cancelled one');
            const now = await file.readExactly(Buffer.alloc(data.length), offset);
            now.buffer.copy(model, offset); // it was done or it was not
          }
        }),
      );
      const found = await file.readExactly(Buffer.alloc(SIZE), 0);
      expect(found.buffer.equals(model), `round ${round}`).toBe(true);
    }
  });
});
