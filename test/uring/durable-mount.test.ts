/**
 * What a durable file makes a filesystem do, on every engine and with all that a ring may lack: seen by a filesystem that this
 * thread serves. And what an fsync that a filesystem refuses, and a write that it does in part, come to.
 */
import { join } from 'node:path';
import { expect } from 'vitest';
import { ECANCELED, EIO } from '../../src/abi/errno.ts';
import { FOPEN_DIRECT_IO } from '../../src/abi/fuse-constants.ts';
import { O_CREAT, O_RDWR } from '../../src/abi/posix.ts';
import { addressOf } from '../../src/abi/syscall.ts';
import { IORING_OP, IOSQE_ASYNC } from '../../src/abi/uring-constants.ts';
import { MemoryFs } from '../../src/fs/memory/memory.ts';
import { DurableFile, PoisonedError } from '../../src/uring/durable.ts';
import type { Engine } from '../../src/uring/engine.ts';
import { UringFiles, type UringFilesOptions } from '../../src/uring/files.ts';
import { Ring } from '../../src/uring/ring.ts';
import { SharedEngine, SharedRing } from '../../src/uring/shared.ts';
import { ThreadsEngine } from '../../src/uring/threads.ts';
import { kernelTest, mounted } from '../support.ts';
import { uring } from './support.ts';

/** A filesystem that says what it was asked for, and may be told how to answer. */
class Seen extends MemoryFs {
  lines: string[] = [];
  /** Bytes of a write that it takes at most. */
  most = Number.POSITIVE_INFINITY;
  fails = false;
  /** Files are opened for direct I/O. */
  direct = false;
  override create(...args: Parameters<MemoryFs['create']>) {
    const made = super.create(...args);
    if (!this.direct) return made;
    return { ...made, open: { ...made.open, open_flags: (made.open.open_flags ?? 0) | FOPEN_DIRECT_IO } };
  }
  override write(...[request, args]: Parameters<MemoryFs['write']>) {
    const data = args.data.subarray(0, this.most);
    this.lines.push(`WRITE ${args.offset} ${data.length}`);
    return super.write(request, { ...args, data, size: data.length });
  }
  fsync() {
    this.lines.push('FSYNC');
    if (this.fails) throw EIO;
  }
}
const quiet = { onWarning: () => {} }; // it warns of a process that uses its own mount

/** The engines, and what a ring may be without. */
const KINDS: Readonly<Record<string, () => UringFilesOptions | Promise<UringFilesOptions>>> = {
  'a ring': () => ({}),
  'a ring with SQPOLL': () => ({ sqpoll: { idle: 20 } }),
  'a ring without registered files': () => ({ registeredFiles: 0 }),
  'a ring of another thread': async () => {
    const ring = await SharedRing.start();
    const engine = new SharedEngine(ring.connect());
    void ring.close(); // which it is when the engine is
    return { engine };
  },
  threads: () => ({ engine: new ThreadsEngine() }),
};

uring('durable files in a mount', () => {
  kernelTest('the filesystem has synced what is acknowledged, whatever carries it out', async () => {
    const disk = new Seen();
    await using m = await mounted(disk, quiet);
    for (const [name, make] of Object.entries(KINDS)) {
      const options = await make();
      await using files = new UringFiles({ offload: options.engine === undefined, ...options });
      for (const durability of ['linked', 'separate', 'rwf_dsync'] as const) {
        await using file = await DurableFile.open(files, join(m.dir, name), { durability });
        for (let i = 0; i < 40; i++) {
          disk.lines = [];
          const at = await file.append(Buffer.alloc(100, 'x'));
          expect(disk.lines, `${name}, ${durability}`).toEqual([`WRITE ${at} 100`, 'FSYNC']);
        }
        disk.lines = [];
        await Promise.all([1, 2, 3, 4].map(() => file.append(Buffer.alloc(100, 'x'))));
        expect(disk.lines.at(-1), `${name}, ${durability}`).toBe('FSYNC');
        await file.append(Buffer.alloc(100, 'x'), 'none');
        expect(disk.lines.at(-1), `${name}, ${durability}`).toMatch(/^WRITE/u);
        await file.truncate(0);
        expect(disk.lines.at(-1), `${name}, ${durability}`).toBe('FSYNC');
      }
      await options.engine?.close();
    }
  });

  kernelTest('by default an fsync follows, also where files are opened for direct I/O', async () => {
    const disk = new Seen();
    disk.direct = true;
    await using m = await mounted(disk, quiet);
    await using files = new UringFiles({ offload: true });
    await using file = await DurableFile.open(files, join(m.dir, 'file'));
    disk.lines = [];
    await file.append(Buffer.alloc(100, 'x'));
    expect(disk.lines).toEqual(['WRITE 0 100', 'FSYNC']);
    // Which RWF_DSYNC would not have it do.
    disk.lines = [];
    await file.append(Buffer.alloc(100, 'x'), 'rwf_dsync');
    expect(disk.lines).toEqual(['WRITE 100 100']);
  });

  kernelTest('an fsync that the filesystem refuses poisons', async () => {
    const disk = new Seen();
    await using m = await mounted(disk, quiet);
    for (const engine of [new Ring(), new ThreadsEngine()]) {
      await using files = new UringFiles({ engine, offload: engine.kind === 'ring' });
      for (const durability of ['linked', 'separate', 'rwf_dsync'] as const) {
        const open = () => DurableFile.open(files, join(m.dir, 'file'), { durability });
        await using file = await open();
        disk.fails = true;
        await expect(file.append(Buffer.from('a'))).rejects.toBe(EIO);
        disk.fails = false;
        await expect(file.append(Buffer.from('b'))).rejects.toThrow(PoisonedError);
        disk.lines = [];
        await using again = await open();
        await again.append(Buffer.from('c'));
        disk.fails = true;
        await expect(open()).rejects.toBe(EIO);
        disk.fails = false;
      }
      await files.close();
      await engine.close();
    }
  });

  kernelTest('a short write ends a chain: the fsync behind it is not done', async () => {
    const disk = new Seen();
    await using m = await mounted(disk, quiet);
    for (const engine of [new Ring(), new ThreadsEngine()]) {
      await using files = new UringFiles({ engine, offload: engine.kind === 'ring' });
      await using plain = await files.open(join(m.dir, 'file'), O_RDWR | O_CREAT);
      disk.most = 60;
      expect(await chain(engine, plain.fd, Buffer.alloc(100, 'x'))).toEqual([60, -ECANCELED.errno]);

      await using file = await DurableFile.open(files, join(m.dir, 'other'), {});
      disk.lines = [];
      await file.append(Buffer.alloc(100, 'x'));
      expect(disk.lines, engine.kind).toEqual(['WRITE 0 60', 'WRITE 60 40', 'FSYNC']);
      disk.most = Number.POSITIVE_INFINITY;
      await file.truncate(0);
      await file.close();
      await plain.close();
      await files.close();
      await engine.close();
    }
  });
});

/** What a write and an fsync linked behind it give. */
function chain(engine: Engine, fd: number, bytes: Buffer): Promise<number[]> {
  const results: number[] = [];
  return new Promise((resolve) => {
    const done = (result: number) => {
      if (results.push(result) === 2) resolve(results);
    };
    const sqe = { fd, flags: IOSQE_ASYNC }; // this thread serves the mount
    engine.submitLinked([
      { opcode: IORING_OP.WRITE, sqe: { ...sqe, addr: addressOf(bytes), len: bytes.length }, done },
      { opcode: IORING_OP.FSYNC, sqe, done },
    ]);
  });
}
