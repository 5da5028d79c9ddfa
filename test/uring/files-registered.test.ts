/** What a ring knows by numbers of its own: files, buffers, who somebody is. The results are those of files without. */
import fs from 'node:fs';
import { describe, expect, test } from 'vitest';
import { EBADF, EBUSY, EFAULT, EOPNOTSUPP } from '../../src/abi/errno.ts';
import { Memory } from '../../src/abi/memory.ts';
import { O_CREAT, O_RDONLY, O_RDWR, POSIX_FADV_RANDOM } from '../../src/abi/posix.ts';
import { IORING_OP, IOSQE_ASYNC } from '../../src/abi/uring-constants.ts';
import type { Engine, Sqe } from '../../src/uring/engine.ts';
import type { UringFile } from '../../src/uring/file.ts';
import { USES } from '../../src/uring/registered.ts';
import { Ring } from '../../src/uring/ring.ts';
import { run, until } from '../support.ts';
import { ENGINES, Fixture } from './files-support.ts';
import { uring } from './support.ts';

/** A ring that says what it is told. */
class Listened extends Ring {
  readonly told: { opcode: number; sqe: Sqe }[] = [];
  override submit(...args: Parameters<Engine['submit']>): ReturnType<Engine['submit']> {
    const [opcode, sqe] = args;
    this.told.push({ opcode: typeof opcode === 'number' ? opcode : IORING_OP[opcode], sqe: { ...sqe } });
    return super.submit(...args);
  }
}

uring('registered', () => {
  const on = new Fixture();
  const create = (name: string, options = {}) => on.files.open(on.at(name), O_RDWR | O_CREAT, options);
  const often = async (file: UringFile, times = USES) => {
    for (let i = 0; i < times; i++) await file.read(Buffer.alloc(4), 0);
  };

  test('files: more of them than slots, with a count of register calls', async () => {
    const files = on.make({ registeredFiles: 4, maxFiles: 100 });
    const all: UringFile[] = [];
    const contents = new Map<UringFile, Buffer>();
    for (let i = 0; i < 10; i++) {
      const file = await files.open(on.at(`${i}`), O_RDWR | O_CREAT);
      await file.write(Buffer.alloc(4, i), 0);
      contents.set(file, Buffer.alloc(4, i));
      all.push(file);
    }
    const slots = () => all.filter(({ descriptor }) => descriptor.slot >= 0).map((file) => all.indexOf(file));
    expect(files.registerCalls).toBe(0); // each was used once
    const check = async (times: number, which: readonly number[]) => {
      for (let round = 0; round < times; round++)
        for (const i of which) {
          const { buffer } = await all[i]!.read(Buffer.alloc(4), 0);
          expect(buffer.equals(contents.get(all[i]!)!)).toBe(true);
        }
    };
    await check(USES, [0, 1, 2, 3]);
    expect(slots()).toEqual([0, 1, 2, 3]);
    expect(files.registerCalls).toBe(2 + 4); // the table and its range, and each of them once
    await check(10 * USES, [0, 1, 2, 3]);
    expect(files.registerCalls).toBe(2 + 4);
    await check(1, [1, 2, 3, 0]); // 1 is unused for longest
    await check(USES, [4]);
    expect([slots(), files.registerCalls]).toEqual([[0, 2, 3, 4], 2 + 5]);
    await all[4]!.close();
    expect([slots(), files.registerCalls]).toEqual([[0, 2, 3], 2 + 6]);
    all.splice(4, 1);
    for (let round = 0; round < 5; round++) await check(USES, [4]);
    // Round and round, each loses its slot before it is used again: one call for so many uses, not for each.
    const before = files.registerCalls;
    await check(3 * USES, [0, 1, 2, 3]);
    for (const file of all) await often(file, 4 * USES);
    expect(files.registerCalls - before).toBeLessThan(4 * all.length);
    for (const file of all) await file.close();
    await files.close();
  });

  test('files with an operation in flight keep their slot', async () => {
    const files = on.make({ registeredFiles: 1 });
    await run('mkfifo', [on.at('fifo')]);
    const fifo = await files.open(on.at('fifo'), O_RDWR);
    for (let i = 0; i < USES - 1; i++) await fifo.write(Buffer.from('x'), null);
    const reading = fifo.read(Buffer.alloc(100), null);
    expect(fifo.descriptor.slot).toBe(0);
    await reading;
    const waiting = fifo.read(Buffer.alloc(100), null);
    const other = await files.open(on.at('f'), O_RDWR | O_CREAT);
    await often(other, 2 * USES);
    expect([fifo.descriptor.slot, other.descriptor.slot]).toEqual([0, -1]);
    await fifo.write(Buffer.from('x'), null);
    await waiting;
    await often(other);
    expect([fifo.descriptor.slot, other.descriptor.slot]).toEqual([-1, 0]);
    await Promise.all([fifo.close(), other.close()]);
    await files.close();
  });

  test('a file that had a slot is closed for good when it is closed', async () => {
    const file = await create('f');
    await often(file);
    // What the ring has registered, it says.
    const told = () => fs.readFileSync(`/proc/self/fdinfo/${(on.files.engine as Ring).fd}`, 'latin1');
    const held = () => told().match(/^UserFiles:.*\n( +\d+: .*\n)*/mu)?.[0];
    expect(held()).toMatch(/ 0: .*\bf\n/u);
    await file.close();
    expect(held()).not.toMatch(/ 0: .*\bf\n/u);
  });

  test('direct files have no descriptor and do what others do', async () => {
    const before = fs.readdirSync('/proc/self/fd').length;
    await on.files.statx(on.dir);
    const rings = fs.readdirSync('/proc/self/fd').length;
    expect(rings).toBeGreaterThan(before);
    const file = await create('f', { direct: true });
    expect(fs.readdirSync('/proc/self/fd').length).toBe(rings);
    expect(() => file.fd).toThrow(EBADF);
    await expect(on.files.unlink('x', { dir: file })).rejects.toBe(EBADF);
    await file.writeAll(Buffer.from('direct'), 0);
    expect((await file.readExactly(Buffer.alloc(10), 0)).bytes).toBe(6);
    expect((await file.readv([Buffer.alloc(2), Buffer.alloc(9)], 1)).bytes).toBe(5);
    await file.setxattr('user.a', Buffer.from('b'));
    expect((await file.getxattr('user.a')).toString()).toBe('b');
    await file.fallocate(0, 0, 100);
    await file.fadvise(0, 0, POSIX_FADV_RANDOM);
    await file.ftruncate(50);
    await file.fsync();
    const stat = await file.statx();
    expect([stat.size, stat.ino]).toEqual([50, BigInt(fs.statSync(on.at('f')).ino)]);
    await run('mkfifo', [on.at('fifo')]);
    await using pipe = await on.files.open(on.at('fifo'), O_RDWR, { direct: true });
    expect(await on.files.splice(file, pipe, 6, { from: 0 })).toBe(6);
    for await (const chunk of pipe.chunks()) {
      expect(chunk.toString()).toBe('direct');
      break;
    }
    await file.close();
    await expect(file.read(Buffer.alloc(1), 0)).rejects.toBe(EBADF);
    const how = { flags: O_RDWR | O_CREAT, mode: 0o600 };
    await using by2 = await on.files.openat2(on.at('g'), how, { direct: true });
    await by2.write(Buffer.from('x'), 0);
    await until(() => fs.readdirSync('/proc/self/fd').length === rings, 'the descriptor of statx');
  });

  test('direct files and others do not take each other’s slots', async () => {
    const files = on.make({ registeredFiles: 3, maxFiles: 8 });
    for (let round = 0; round < 10; round++) {
      const all = await Promise.all(
        Array.from({ length: 8 }, (_, i) =>
          files.open(on.at(`${i}`), O_RDWR | O_CREAT, { direct: (i + round) % 2 === 0 }),
        ),
      );
      await Promise.all(all.map((file, i) => file.write(Buffer.from([i]), 0)));
      for (let i = 0; i < USES; i++)
        for (const [j, { bytes, buffer }] of (
          await Promise.all(all.map((file) => file.read(Buffer.alloc(2), 0)))
        ).entries())
          expect([bytes, buffer[0]]).toEqual([1, j]);
      await Promise.all(all.map((file) => file.close()));
    }
    expect(files.openFiles).toBe(0);
    await files.close();
  });

  describe.each(ENGINES)('buffers on $name', (kind) => {
    const on = new Fixture(kind);

    test('are read and written by parts, which have to be parts of them', async () => {
      await using file = await on.files.open(on.at('f'), O_RDWR | O_CREAT);
      const [one, other] = [Buffer.alloc(100, 'a'), new Uint8Array(new ArrayBuffer(200), 50, 100)];
      on.files.registerBuffers([one, other]);
      expect(() => on.files.registerBuffers([one])).toThrow(EBUSY);
      expect(await file.writeFixed(0, 90, 10, 0)).toMatchObject({ bytes: 10, buffer: one });
      expect(await file.readFixed(1, 5, 95, 4)).toMatchObject({ bytes: 6, buffer: other });
      expect(Buffer.from(other).toString('latin1', 5, 12)).toBe('aaaaaa\0');
      for (const [index, start, length] of [
        [0, 91, 10],
        [0, -1, 2],
        [1, 0, 101],
        [1, 0.5, 1],
        [1, 1, Number.NaN],
        [2, 0, 1],
      ] as const)
        await expect(file.readFixed(index, start, length, 0)).rejects.toThrow(RangeError);
      // An ordinary read within one is the same.
      expect((await file.read(one.subarray(0, 3), 0)).bytes).toBe(3);
      on.files.unregisterBuffers();
      await expect(file.readFixed(0, 0, 1, 0)).rejects.toThrow(RangeError);
      expect((await file.read(one, 0)).bytes).toBe(10);
      on.files.registerBuffers([new Uint8Array(new Memory(1 << 16).buffer)]);
      expect((await file.readFixed(0, 1000, 10, 0)).bytes).toBe(10);
    });
  });

  test('buffers are fixed ones for the kernel where they lie within, all or none', async () => {
    const ring = new Listened({ entries: 8 });
    const files = on.make({ engine: ring });
    const file = await files.open(on.at('f'), O_RDWR | O_CREAT);
    const memory = new ArrayBuffer(300);
    const part = (at: number, length: number) => new Uint8Array(memory, at, length);
    const huge = new Uint8Array(2 ** 30 + 1);
    expect(() => files.registerBuffers([part(0, 100), huge])).toThrow(EFAULT.message);
    expect(() => files.registerBuffers([part(0, 100), new Uint8Array(0)])).toThrow(RangeError);
    files.registerBuffers([part(0, 100), part(200, 100)]);
    const opcodes: number[] = [];
    for (const [at, length] of [
      [0, 100],
      [50, 51],
      [100, 100],
      [200, 100],
      [299, 1],
    ] as const) {
      await file.write(part(at, length), 0);
      opcodes.push(ring.told.at(-1)!.opcode);
    }
    const { WRITE, WRITE_FIXED } = IORING_OP;
    expect(opcodes).toEqual([WRITE_FIXED, WRITE, WRITE, WRITE_FIXED, WRITE_FIXED]);
    expect(ring.told.at(-1)!.sqe.buf_index).toBe(1);
    await file.close();
    await files.close();
    await ring.close();
  });

  test('an engine that was given has all back when the files are closed, and stays', async () => {
    const ring = new Ring({ entries: 8 });
    for (let i = 0; i < 3; i++) {
      const files = on.make({ engine: ring });
      files.registerBuffers([Buffer.alloc(100)]);
      const file = await files.open(on.at('f'), O_RDWR | O_CREAT);
      await often(file);
      expect(file.descriptor.slot).toBe(0); // there is a table anew
      const direct = await files.open(on.at('f'), O_RDONLY, { direct: true });
      expect(direct.descriptor.direct).toBe(true);
      await files.close();
      await Promise.all([file.close(), direct.close()]);
    }
    expect(ring.inFlight).toBe(0);
    await ring.close();
  });

  test('an offloading one sends all to the kernel’s threads', async () => {
    const ring = new Listened({ entries: 8 });
    const files = on.make({ engine: ring, offload: true });
    const file = await files.open(on.at('f'), O_RDWR | O_CREAT);
    await often(file);
    await file.writeAll(Buffer.from('x'), 0);
    await file.statx();
    await file.close();
    await files.unlink(on.at('f'));
    expect(ring.told.length).toBeGreaterThan(USES);
    expect(ring.told.filter(({ sqe }) => !((sqe.flags ?? 0) & IOSQE_ASYNC))).toEqual([]);
    await files.close();
    await ring.close();
  });

  describe('by an engine that can’t', () => {
    const on = new Fixture(ENGINES.find(({ name }) => name.includes('another thread')));
    test('personalities are refused', () => {
      expect(() => on.files.registerPersonality()).toThrow(EOPNOTSUPP);
    });
  });

  test('who a process was: operations are done as that one', async () => {
    const { files } = on;
    if (process.geteuid?.() !== 0) return expect(files.registerPersonality()).toBeGreaterThan(0);
    fs.writeFileSync(on.at('secret'), 'x', { mode: 0o600 });
    fs.chmodSync(on.dir, 0o755);
    const root = files.registerPersonality();
    process.seteuid?.(65_534);
    try {
      await expect(files.open(on.at('secret'), O_RDONLY)).rejects.toMatchObject({ code: 'EACCES' });
      const opened = await files.open(on.at('secret'), O_RDONLY, { personality: root });
      expect((await opened.read(Buffer.alloc(1), 0)).bytes).toBe(1);
      await opened.close();
      await expect(files.unlink(on.at('secret'))).rejects.toMatchObject({ code: 'EACCES' });
      await files.unlink(on.at('secret'), { personality: root });
    } finally {
      process.seteuid?.(0);
    }
    files.unregisterPersonality(root);
    await expect(files.statx(on.dir, { personality: root })).rejects.toMatchObject({ code: 'EINVAL' });
  });
});
