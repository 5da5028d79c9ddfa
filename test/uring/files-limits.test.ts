/** Who owns what while an operation lasts, and how many may last at once: cancelling, closing, waiting, collecting. */
import fs, { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { EAGAIN, EBADF, ECANCELED, EIO, EMFILE, ENOENT } from '../../src/abi/errno.ts';
import { O_CREAT, O_DIRECTORY, O_RDONLY, O_RDWR } from '../../src/abi/posix.ts';
import type { UringFile } from '../../src/uring/file.ts';
import { UringFiles } from '../../src/uring/files.ts';
import { ROOT } from '../installed.ts';
import { run, until } from '../support.ts';
import { descriptors, ENGINES, Fixture } from './files-support.ts';
import { uring } from './support.ts';

uring('files', () => {
  describe.each(ENGINES)('on $name', (kind) => {
    const on = new Fixture(kind);
    const create = (name: string) => on.files.open(on.at(name), O_RDWR | O_CREAT);
    const fifo = async (files = on.files): Promise<UringFile> => {
      await run('mkfifo', [on.at('fifo')]);
      return files.open(on.at('fifo'), O_RDWR);
    };

    test('that are closed wait for what is in flight on them, and for what is done from them', async () => {
      const file = await create('f');
      const writes = Array.from({ length: 100 }, (_, i) => file.write(Buffer.alloc(1000, i), i * 1000));
      await file.close();
      expect((await Promise.all(writes)).every(({ bytes }) => bytes === 1000)).toBe(true);
      expect(fs.readFileSync(on.at('f')).every((byte, i) => byte === Math.floor(i / 1000))).toBe(true);
      const dir = await on.files.open(on.dir, O_RDONLY | O_DIRECTORY);
      const opening = Promise.all(
        Array.from({ length: 20 }, (_, i) => on.files.open(`${i}`, O_RDWR | O_CREAT, { dir })),
      );
      await dir.close();
      for (const each of await opening) await each.close();
    });

    test('that are closed can cancel what is in flight on them', async () => {
      const pipe = await fifo();
      const reads = Promise.allSettled(Array.from({ length: 5 }, () => pipe.read(Buffer.alloc(10), null)));
      await on.files.statx(on.dir);
      await pipe.close({ cancel: true });
      for (const each of await reads) expect(each).toMatchObject({ reason: ECANCELED });
      expect([on.files.inFlight, on.files.openFiles]).toEqual([0, 0]);
    });

    test('that are closed are EBADF, whoever has their number now', async () => {
      // A thread that begins in that moment takes the number for something of its own, and keeps it: then with another.
      const replaced = async (left: number): Promise<{ file: UringFile; fd: number; next: UringFile }> => {
        const file = await create('f');
        const { fd } = file;
        await file.close();
        const next = await create('g');
        if (next.fd === fd || left === 0) return { file, fd, next };
        await next.close();
        return replaced(left - 1);
      };
      const { file, fd, next } = await replaced(20);
      expect(next.fd).toBe(fd);
      await expect(file.write(Buffer.from('x'), 0)).rejects.toBe(EBADF);
      await expect(file.close()).rejects.toBe(EBADF);
      expect(fs.readFileSync(on.at('g'), 'latin1')).toBe('');
      await next.close();
    });

    test('what is cancelled rejects at once, and is held until the kernel is done with it', async () => {
      const pipe = await fifo();
      const controller = new AbortController();
      const buffer = Buffer.alloc(10);
      const reading = pipe.read(buffer, null, { signal: controller.signal });
      await on.files.statx(on.dir); // the read is with the kernel now, and waits
      controller.abort(new Error('enough'));
      await expect(reading).rejects.toThrow('enough');
      expect(on.files.abandoned).toBe(1);
      await expect(pipe.read(buffer, null)).rejects.toThrow('lent');
      await until(() => on.files.abandoned === 0, 'its completion');
      await pipe.writeAll(Buffer.from('abc'), null);
      expect(await pipe.read(buffer, null)).toMatchObject({ bytes: 3 });
      await expect(pipe.read(buffer, null, { signal: AbortSignal.abort(EIO) })).rejects.toBe(EIO);
      expect(pipe.descriptor.busy).toBe(0);
      await pipe.close();
      expect(on.files.inFlight).toBe(0);
    });

    test('an open that is cancelled leaves no descriptor, whether it was done or not', async () => {
      await on.files.statx(on.dir);
      const before = descriptors().length;
      for (let i = 0; i < 50; i++) {
        const controller = new AbortController();
        const options = { signal: controller.signal, direct: i % 3 === 0 };
        const opening = on.files.open(on.at('f'), O_RDWR | O_CREAT, options);
        if (i % 2) await new Promise((resolve) => setImmediate(resolve));
        controller.abort(ECANCELED);
        await opening.then(
          (file) => file.close(),
          () => {},
        );
      }
      const over = () => on.files.abandoned === 0 && on.files.openFiles === 0 && descriptors().length === before;
      await until(over, 'all to be closed');
    });

    test('memory that is lent is not lent again, and not taken away without a word', async () => {
      const pipe = await fifo();
      const memory = new ArrayBuffer(100);
      const [one, other, both] = [new Uint8Array(memory, 0, 50), new Uint8Array(memory, 50), new Uint8Array(memory)];
      const reads = Promise.allSettled([pipe.read(one, null), pipe.read(other, null)]);
      await expect(pipe.read(both, null)).rejects.toThrow(TypeError);
      await expect(pipe.write(other, null)).rejects.toThrow('lent');
      await expect(pipe.read(new Uint8Array(memory, 49, 1), null)).rejects.toThrow('lent');
      await on.files.statx(on.dir);
      const moved = structuredClone(memory, { transfer: [memory] });
      await pipe.writeAll(Buffer.from('abc'), null);
      await pipe.writeAll(Buffer.from('def'), null);
      for (const each of await reads) expect(each).toMatchObject({ status: 'rejected', reason: expect.any(TypeError) });
      expect(Buffer.from(moved).toString('latin1')).toContain('abc');
      await expect(pipe.read(one, null)).rejects.toThrow('detached');
      // The same bytes may be written many times at once.
      await using file = await create('f');
      const same = Buffer.from('same');
      await Promise.all(Array.from({ length: 100 }, (_, i) => file.write(same, i * 4)));
      expect(fs.readFileSync(on.at('f'), 'latin1')).toBe('same'.repeat(100));
      await pipe.close();
    });

    test('a small array of V8’s own heap stays where the kernel was told it is', async () => {
      await using file = await create('f');
      await file.writeAll(Uint8Array.from([1, 2, 3, 4]), 0);
      const small = Array.from({ length: 2000 }, () => new Uint8Array(4));
      const reads = small.map((each) => file.read(each, 0));
      let litter: unknown;
      for (let i = 0; i < 50; i++) litter = Array.from({ length: 20_000 }, () => [litter === undefined]);
      await Promise.all(reads);
      expect(small.every((each) => each.join() === '1,2,3,4')).toBe(true);
    });

    test('the end with operations in flight: they fail with ECANCELED, files close still', async () => {
      const files = on.make({ maxInFlight: 2, maxFiles: 2 });
      const pipe = await fifo(files);
      const reads = Array.from({ length: 4 }, () => pipe.read(Buffer.alloc(10), null));
      const opens = Array.from({ length: 3 }, () => files.open(on.dir, O_RDONLY));
      const all = Promise.allSettled([...reads, ...opens]);
      await new Promise((resolve) => setTimeout(resolve, 20));
      await files.close();
      for (const each of await all) expect(each).toMatchObject({ status: 'rejected', reason: ECANCELED });
      expect([files.inFlight, files.waiting]).toEqual([0, 0]);
      await pipe.close();
      await expect(files.statx(on.dir)).rejects.toBe(ECANCELED);
      await expect(pipe.read(Buffer.alloc(1), null)).rejects.toBe(EBADF);
    });

    test('wait for their turn, in order, where too many are open', async () => {
      const files = on.make({ maxFiles: 1, maxInFlight: 2 });
      const order: number[] = [];
      const controller = new AbortController();
      const opens = Array.from({ length: 10 }, async (_, i) => {
        const file = await files.open(on.at(`${i}`), O_RDWR | O_CREAT, i === 5 ? { signal: controller.signal } : {});
        order.push(i);
        expect(files.openFiles).toBe(1);
        await file.write(Buffer.from([i]), 0);
        await file.close();
      });
      expect(files.waiting).toBe(9);
      controller.abort(ECANCELED);
      await expect(opens.splice(5, 1)[0]).rejects.toBe(ECANCELED);
      await Promise.all(opens);
      expect(order).toEqual([0, 1, 2, 3, 4, 6, 7, 8, 9]);
      expect(readdirSync(on.dir).sort()).toEqual([...order].map(String));
      for (let i = 0; i < 5; i++) await expect(files.open(on.at('absent'), O_RDONLY)).rejects.toBe(ENOENT);
      expect([files.openFiles, files.inFlight, files.waiting]).toEqual([0, 0, 0]);
      await files.close();
    });

    test('wait for their turn, in order, where too many operations are in flight', async () => {
      const files = on.make({ maxInFlight: 3 });
      const pipe = await fifo(files);
      const order: number[] = [];
      const reads = Array.from({ length: 10 }, async (_, i) => {
        await pipe.read(Buffer.alloc(1), null);
        order.push(i);
      });
      expect([files.inFlight, files.waiting]).toEqual([3, 7]);
      for (let i = 0; i < 10; i++) {
        fs.writeSync(pipe.fd, 'x');
        await until(() => order.length === i + 1, `read ${i}`);
      }
      expect(order.length).toBe(10);
      await Promise.all(reads);
      await pipe.close();
      await files.close();
    });

    test('fail instead of waiting, if asked to', async () => {
      const files = on.make({ maxFiles: 1, maxInFlight: 2, wait: false });
      const pipe = await fifo(files);
      await expect(files.open(on.dir, O_RDONLY)).rejects.toBe(EMFILE);
      expect(() => files.adopt(0)).toThrow(EMFILE);
      const reads = [pipe.read(Buffer.alloc(1), null), pipe.read(Buffer.alloc(1), null)];
      await expect(pipe.read(Buffer.alloc(1), null)).rejects.toBe(EAGAIN);
      await expect(pipe.fsync()).rejects.toBe(EAGAIN);
      fs.writeSync(pipe.fd, 'xy');
      await Promise.all(reads);
      await pipe.close();
      expect([files.openFiles, files.inFlight]).toEqual([0, 0]);
      await files.close();
    });

    test('queue depth 1 to 4096: all is read, each into its own buffer', { timeout: 60_000 }, async () => {
      const words = Uint32Array.from({ length: 1 << 16 }, (_, i) => i);
      fs.writeFileSync(on.at('f'), words);
      for (let depth = 1; depth <= 4096; depth *= 4) {
        const files = on.make({ entries: 64, maxInFlight: depth });
        const file = await files.open(on.at('f'), O_RDONLY);
        const buffers = Array.from({ length: depth }, () => new Uint32Array(4));
        for (let round = 0; round < 3; round++) {
          const from = (i: number) => ((i * 31 + round * 7) % (words.length / 4)) * 4;
          const reads = buffers.map((each, i) => file.read(new Uint8Array(each.buffer), from(i) * 4));
          expect(files.inFlight).toBe(depth);
          for (const { bytes } of await Promise.all(reads)) expect(bytes).toBe(16);
          expect(buffers.every((each, i) => each.every((word, j) => word === from(i) + j))).toBe(true);
        }
        await file.close();
        await files.close();
      }
    });

    test('a completion queue that overflows loses nothing', async () => {
      const files = on.make({ entries: 4, completions: 4, maxInFlight: 4096 });
      const file = await files.open(on.at('f'), O_RDWR | O_CREAT);
      await file.writeAll(Buffer.alloc(4096, 7), 0);
      for (let round = 0; round < 5; round++) {
        const reads = await Promise.all(Array.from({ length: 1000 }, (_, i) => file.read(Buffer.alloc(8), i * 4)));
        expect(reads.every(({ bytes, buffer }) => bytes === 8 && buffer[7] === 7)).toBe(true);
      }
      await file.close();
      await files.close();
    });
  });

  test('limits that are none are refused', () => {
    for (const options of [{ maxFiles: 0 }, { maxInFlight: 1.5 }, { registeredFiles: -1 }, { registeredFiles: 1e6 }])
      expect(() => new UringFiles(options)).toThrow(RangeError);
  });

  test('a file that is collected while it is open is told of, and closed', async () => {
    const script = `
      import { readdirSync, readlinkSync } from 'node:fs';
      import { UringFiles } from '${ROOT}/src/uring/files.ts';
      const files = new UringFiles();
      const warnings = [];
      process.on('warning', ({ message }) => warnings.push(message.replace(/[0-9]+/u, 'N')));
      const open = () => readdirSync('/proc/self/fd').filter((fd) => {
        try { return readlinkSync('/proc/self/fd/' + fd) === '/etc/passwd'; } catch { return false; }
      }).length;
      const count = [];
      await (async () => {
        const kept = await files.open('/etc/passwd', 0);
        for (const direct of [false, true]) await (await files.open('/etc/passwd', 0, { direct })).read(Buffer.alloc(1), 0);
        count.push(open(), files.openFiles);
        for (let i = 0; i < 100 && warnings.length < 2; i++) {
          gc();
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        for (let i = 0; i < 100 && files.openFiles > 1; i++) await new Promise((resolve) => setTimeout(resolve, 10));
        await kept.read(Buffer.alloc(1), 0);
        count.push(open(), files.openFiles);
        await kept.close();
      })();
      await files.close();
      console.log(JSON.stringify([count, warnings.sort()]));
    `;
    const out = await run(process.execPath, ['--expose-gc', '--import', 'tsx', '--input-type=module', '-e', script]);
    const told = (what: string) => `a UringFile was collected while it was open; its ${what} is closed now`;
    expect(JSON.parse(out)).toEqual([
      [2, 3, 1, 1],
      [told('descriptor N'), told('direct descriptor')],
    ]);
  });
});
