/** Files: each operation as node:fs does it on the same tree, on every engine. */
import { execFileSync } from 'node:child_process';
import fs, { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  EBADF,
  EEXIST,
  EINVAL,
  EISDIR,
  ENAMETOOLONG,
  ENODATA,
  ENOENT,
  ENOTEMPTY,
  EOVERFLOW,
  ERANGE,
  EXDEV,
} from '../../src/abi/errno.ts';
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  POSIX_FADV_DONTNEED,
  POSIX_FADV_WILLNEED,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  RWF_APPEND,
  RWF_DSYNC,
  SYNC_FILE_RANGE_WAIT_AFTER,
  SYNC_FILE_RANGE_WRITE,
  XATTR_CREATE,
  XATTR_REPLACE,
} from '../../src/abi/posix.ts';
import type { UringFile } from '../../src/uring/file.ts';
import { run } from '../support.ts';
import { ENGINES, Fixture } from './files-support.ts';
import { uring } from './support.ts';

const text = (path: string) => fs.readFileSync(path, 'latin1');

uring('files', () => {
  describe.each(ENGINES)('on $name', (kind) => {
    const on = new Fixture(kind);
    const create = (name: string) => on.files.open(on.at(name), O_RDWR | O_CREAT);

    test('are made, written, read', async () => {
      await using file = await on.files.open(on.at('new'), O_RDWR | O_CREAT | O_EXCL, { mode: 0o640 });
      expect(await file.writeAll(Buffer.from('hello, world'), 3)).toMatchObject({ bytes: 12 });
      expect(text(on.at('new'))).toBe('\0\0\0hello, world');
      const buffer = Buffer.alloc(100);
      const read = await file.read(buffer, 8);
      expect(read).toEqual({ bytes: 7, buffer });
      expect(read.buffer).toBe(buffer);
      expect(buffer.toString('latin1', 0, 7)).toBe(', world');
      expect(await file.read(Buffer.alloc(5), 15)).toMatchObject({ bytes: 0 });
      expect(await file.read(Buffer.alloc(0), 15)).toMatchObject({ bytes: 0 });
      expect((await file.readExactly(Buffer.alloc(20), 0)).bytes).toBe(15);
      expect((fs.statSync(on.at('new')).mode & 0o7777).toString(8)).toBe('640');
      await using again = await on.files.create(on.at('new'));
      expect(text(on.at('new'))).toBe('');
      await expect(again.read(Buffer.alloc(1), 0)).rejects.toBe(EBADF); // it is for writing
    });

    test('are read and written at their own position, and at their end', async () => {
      await using file = await create('f');
      for (const part of ['one ', 'two ', 'three']) await file.writeAll(Buffer.from(part), null);
      await file.write(Buffer.from('!'), 0, { rwFlags: RWF_APPEND });
      await file.write(Buffer.from('O'), 0, { rwFlags: RWF_DSYNC });
      expect(text(on.at('f'))).toBe('One two three!');
    });

    test('take several buffers at once', async () => {
      await using file = await create('f');
      const parts = ['a', '', 'bcd', 'ef'].map((each) => Buffer.from(each));
      expect(await file.writev(parts, 2)).toEqual({ bytes: 6, buffers: parts });
      const buffers = [Buffer.alloc(3), Buffer.alloc(2), Buffer.alloc(10)];
      expect(await file.readv(buffers, 0)).toMatchObject({ bytes: 8 });
      expect(Buffer.concat(buffers).toString('latin1', 0, 8)).toBe('\0\0abcdef');
      await file.writev([Buffer.from('gh'), Buffer.from('i')], null);
      expect(text(on.at('f'))).toBe('ghibcdef');
      expect((await file.writev([], 0)).bytes).toBe(0);
      await expect(file.readv(new Array(1025).fill(buffers[0]), 0)).rejects.toBe(EINVAL);
      await expect(file.readv(buffers, 0.5)).rejects.toBe(EINVAL);
    });

    test('keep what they are told to keep', async () => {
      await using file = await create('f');
      await file.writeAll(Buffer.alloc(20_000, 'x'), 0);
      await file.syncFileRange(0, 8192, SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
      await file.fsync();
      await file.fdatasync();
      await file.fallocate(FALLOC_FL_KEEP_SIZE, 0, 1_000_000);
      expect(fs.statSync(on.at('f'))).toMatchObject({ size: 20_000 });
      expect(fs.statSync(on.at('f')).blocks * 512).toBeGreaterThanOrEqual(1_000_000);
      await file.fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096);
      await file.ftruncate(8193);
      expect(text(on.at('f'))).toBe(`${'x'.repeat(4096)}${'\0'.repeat(4096)}x`);
      await file.fadvise(0, 0, POSIX_FADV_DONTNEED);
      await file.fadvise(0, 4096, POSIX_FADV_WILLNEED);
      await expect(file.fadvise(0, 0, 77)).rejects.toBe(EINVAL);
      await expect(file.ftruncate(-1)).rejects.toBe(EINVAL);
      await expect(file.fallocate(0, 0, 0)).rejects.toBe(EINVAL);
    });

    test('are what node:fs says they are', async () => {
      await using file = await create('f');
      await file.writeAll(Buffer.alloc(12_345), 0);
      fs.chmodSync(on.at('f'), 0o4711);
      fs.chownSync(on.at('f'), 123, 456);
      fs.utimesSync(on.at('f'), 1e9 + 0.25, -1.5);
      fs.symlinkSync('f', on.at('l'));
      for (const [ours, theirs] of [
        [await file.statx(), fs.statSync(on.at('f'), { bigint: true })],
        [await on.files.statx(on.at('l')), fs.statSync(on.at('f'), { bigint: true })],
        [await on.files.statx(on.at('l'), { follow: false }), fs.lstatSync(on.at('l'), { bigint: true })],
        [await on.files.statx(on.dir), fs.statSync(on.dir, { bigint: true })],
      ] as const) {
        const { size, mode, uid, gid, nlink, blocks, ino, atimeNs, mtimeNs, ctimeNs, birthtimeNs } = ours;
        for (const [name, value] of Object.entries({ size, mode, uid, gid, nlink, blocks, ino }))
          expect([name, BigInt(value)]).toEqual([name, theirs[name as 'size']]);
        expect({ atimeNs, mtimeNs, ctimeNs, birthtimeNs }).toEqual({
          atimeNs: theirs.atimeNs,
          mtimeNs: theirs.mtimeNs,
          ctimeNs: theirs.ctimeNs,
          birthtimeNs: theirs.birthtimeNs,
        });
        expect([ours.isFile(), ours.isDirectory(), ours.isSymbolicLink()]).toEqual([
          theirs.isFile(),
          theirs.isDirectory(),
          theirs.isSymbolicLink(),
        ]);
      }
    });

    test('have names, made and removed from a directory that is open too', async () => {
      const { files } = on;
      await files.mkdir(on.at('sub'), { mode: 0o700 });
      await files.mkdir(on.at('other'));
      await using dir = await files.open(on.at('sub'), O_RDONLY | O_DIRECTORY);
      await using todir = await files.open(on.at('other'), O_PATH | O_DIRECTORY);
      await (await files.open('a', O_RDWR | O_CREAT, { dir })).close();
      await files.link('a', 'b', { dir });
      await files.symlink('a', 'l', { dir });
      await files.rename('b', 'c', { dir });
      expect(readdirSync(on.at('sub')).sort()).toEqual(['a', 'c', 'l']);
      expect(fs.readlinkSync(on.at('sub', 'l'))).toBe('a');
      expect((await files.statx('l', { dir, follow: false })).isSymbolicLink()).toBe(true);
      expect((await files.statx('l', { dir })).isFile()).toBe(true);
      await files.rename('a', 'l', { dir, flags: RENAME_EXCHANGE });
      expect(fs.lstatSync(on.at('sub', 'a')).isSymbolicLink()).toBe(true);
      await expect(files.rename('a', 'c', { dir, flags: RENAME_NOREPLACE })).rejects.toBe(EEXIST);
      await expect(files.rmdir(on.at('sub'))).rejects.toBe(ENOTEMPTY);
      await expect(files.unlink(on.at('sub'))).rejects.toBe(EISDIR);
      await files.rename('c', 'moved', { dir, todir });
      await files.link(on.at('other', 'moved'), 'again', { todir });
      await files.symlink('moved', 's', { dir: todir });
      await files.link('s', 'followed', { dir: todir, follow: true });
      await files.link('s', 'not', { dir: todir });
      expect(fs.lstatSync(on.at('other', 'followed'))).toMatchObject({ nlink: 4 });
      expect(fs.lstatSync(on.at('other', 'not')).isSymbolicLink()).toBe(true);
      expect(readdirSync(on.at('other'))).toEqual(['again', 'followed', 'moved', 'not', 's']);
      for (const name of ['a', 'l']) await files.unlink(name, { dir });
      await files.rmdir('sub', { dir: await adoptedTop() });
      expect(readdirSync(on.dir)).toEqual(['other']);
    });
    const adoptedTop = async (): Promise<UringFile> => {
      const top = on.files.adopt(fs.openSync(on.dir, O_RDONLY));
      setImmediate(() => top.close()); // it waits for what is done in it
      return top;
    };

    test('are opened where the path is to stay', async () => {
      await using dir = await on.files.open(on.dir, O_RDONLY | O_DIRECTORY);
      fs.symlinkSync('/etc/passwd', on.at('l'));
      const how = { flags: O_RDWR | O_CREAT, mode: 0o600, resolve: RESOLVE_BENEATH };
      await using made = await on.files.openat2('x', how, { dir });
      expect((await made.statx()).mode & 0o7777).toBe(0o600);
      await expect(on.files.openat2('../x', how, { dir })).rejects.toBe(EXDEV);
      await expect(on.files.openat2('l', { ...how, mode: 0, flags: 0 }, { dir })).rejects.toBe(EXDEV);
      await expect(on.files.openat2('l', { flags: 0, resolve: RESOLVE_NO_SYMLINKS }, { dir })).rejects.toMatchObject({
        code: 'ELOOP',
      });
    });

    test('have attributes, by path, from a directory and by descriptor', async () => {
      const { files } = on;
      await using file = await create('f');
      await using dir = await files.open(on.dir, O_RDONLY | O_DIRECTORY);
      const large = Buffer.alloc(3000, 'v');
      await file.setxattr('user.a', Buffer.from('one'));
      await files.setxattr(on.at('f'), 'user.b', large);
      await files.setxattr('f', 'user.c', Buffer.alloc(0), XATTR_CREATE, { dir });
      await expect(file.setxattr('user.a', large, XATTR_CREATE)).rejects.toBe(EEXIST);
      await expect(files.setxattr(on.at('f'), 'user.no', large, XATTR_REPLACE)).rejects.toBe(ENODATA);
      const theirs = execFileSync('getfattr', ['-d', '--only-values', '-n', 'user.a', on.at('f')], { stdio: 'pipe' });
      expect(theirs.toString('latin1')).toBe('one');
      for (const [name, value] of [
        ['user.a', Buffer.from('one')],
        ['user.b', large],
        ['user.c', Buffer.alloc(0)],
      ] as const) {
        expect(await file.getxattr(name)).toEqual(value);
        expect(await files.getxattr(on.at('f'), name)).toEqual(value);
        expect(await files.getxattr('f', name, { dir })).toEqual(value);
      }
      await expect(file.getxattr('user.no')).rejects.toBe(ENODATA);
      await expect(files.getxattr('absent', 'user.a', { dir })).rejects.toBe(ENOENT);
      await expect(file.getxattr('user.\0')).rejects.toBe(EINVAL);
      await expect(file.getxattr(`user.${'n'.repeat(300)}`)).rejects.toBe(ERANGE);
    });

    test('give their bytes to pipes, and take them, without a copy', async () => {
      await run('mkfifo', [on.at('fifo')]);
      await using pipe = await on.files.open(on.at('fifo'), O_RDWR);
      await using from = await create('from');
      await using to = await create('to');
      await from.writeAll(Buffer.from('0123456789'), 0);
      expect(await on.files.splice(from, pipe, 5, { from: 3 })).toBe(5);
      expect(await on.files.splice(pipe, to, 100, { to: 2 })).toBe(5);
      expect(text(on.at('to'))).toBe('\0\x0034567');
      await expect(on.files.splice(from, to, 5)).rejects.toBe(EINVAL); // neither is a pipe
    });

    test('that are not there, or not like that: errnos', async () => {
      const { files } = on;
      await expect(files.open(on.at('absent'), O_RDONLY)).rejects.toBe(ENOENT);
      await expect(files.open(on.at('a\0b'), O_RDWR | O_CREAT)).rejects.toBe(EINVAL);
      await expect(files.rename(on.at('a'), on.at('b\0'))).rejects.toBe(EINVAL);
      await expect(files.open(on.at('n'.repeat(256)), O_RDONLY)).rejects.toBe(ENAMETOOLONG);
      await expect(files.statx('/x'.repeat(3000))).rejects.toBe(ENAMETOOLONG);
      await expect(files.statx('')).rejects.toBe(ENOENT);
      await expect(files.open(on.dir, O_WRONLY)).rejects.toBe(EISDIR);
      expect(readdirSync(on.dir)).toEqual([]);
      const file = await create('f');
      for (const offset of [-1, 0.5, Number.NaN, 2 ** 53]) {
        await expect(file.read(Buffer.alloc(1), offset)).rejects.toBe(EINVAL);
        await expect(file.write(Buffer.alloc(1), offset)).rejects.toBe(EINVAL);
        await expect(file.fallocate(0, offset, 1)).rejects.toBe(EINVAL);
      }
      await expect(file.read(Buffer.alloc(2), 2 ** 53 - 2)).rejects.toBe(EOVERFLOW);
      await file.close();
      await expect(file.close()).rejects.toBe(EBADF);
      expect(() => file.fd).toThrow(EBADF);
      for (const operation of [
        () => file.read(Buffer.alloc(1), 0),
        () => file.writeAll(Buffer.alloc(1), 0),
        () => file.readv([Buffer.alloc(1)], 0),
        () => file.fsync(),
        () => file.ftruncate(0),
        () => file.statx(),
        () => file.getxattr('user.a'),
        () => file.setxattr('user.a', Buffer.alloc(1)),
        () => file.chunks().next(),
        () => files.splice(file, file, 1),
        () => files.unlink('x', { dir: file }),
      ])
        await expect(operation()).rejects.toBe(EBADF);
    });

    test('have names that are not UTF-8', async () => {
      const name = '\udcff\udc80x';
      await (await create(name)).close();
      await (await create('æ漢😀')).close();
      expect(readdirSync(on.dir, { encoding: 'buffer' }).sort(Buffer.compare)).toEqual([
        Buffer.from('æ漢😀'),
        Buffer.from([0xff, 0x80, 0x78]),
      ]);
      await on.files.unlink(on.at(name));
    });

    test('give what a pipe has, as it comes, to its end', async () => {
      await run('mkfifo', [on.at('fifo')]);
      const keep = await on.files.open(on.at('fifo'), O_RDWR);
      await using reader = await on.files.open(on.at('fifo'), O_RDONLY);
      const writer = await on.files.open(on.at('fifo'), O_WRONLY);
      await keep.close();
      const wanted = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7) % 251));
      const writing = (async () => {
        for (let at = 0; at < wanted.length; at += 1 + (at % 9000))
          await writer.writeAll(wanted.subarray(at, Math.min(wanted.length, at + 1 + (at % 9000))), null);
        await writer.close();
      })();
      const chunks: Buffer[] = [];
      for await (const chunk of reader.chunks({ size: 4096, count: 4 })) chunks.push(chunk);
      await writing;
      expect(chunks.every(({ length }) => length > 0 && length <= 4096)).toBe(true);
      expect(Buffer.concat(chunks).equals(wanted)).toBe(true);
    });

    test('end their chunks where the taker ends, the file is closed, or a signal says so', async () => {
      await run('mkfifo', [on.at('fifo')]);
      const fifo = await on.files.open(on.at('fifo'), O_RDWR);
      await fifo.writeAll(Buffer.from('one'), null);
      for await (const chunk of fifo.chunks()) {
        expect(chunk.toString()).toBe('one');
        break;
      }
      const waiting = fifo.chunks({ signal: AbortSignal.timeout(20) }).next();
      await expect(waiting).rejects.toMatchObject({ name: 'TimeoutError' });
      const last = fifo.chunks().next();
      await on.files.statx(on.dir);
      await fifo.close();
      expect(await last).toEqual({ done: true, value: undefined });
      // Of a regular file, what is there.
      fs.writeFileSync(on.at('f'), 'x'.repeat(100));
      await using file = await on.files.open(on.at('f'), O_RDONLY);
      const sizes: number[] = [];
      for await (const { length } of file.chunks({ size: 64 })) sizes.push(length);
      expect(sizes).toEqual([64, 36]);
      await expect(file.chunks({ count: 3 }).next()).rejects.toThrow(RangeError);
    });
  });
});
