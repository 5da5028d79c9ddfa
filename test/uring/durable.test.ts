/**
 * A durable file holds what was written to it, in order, on every engine; what it tells the kernel for that; and what it makes
 * of what the kernel answers. The engines write to real files: some outcomes are played before them (faulty-engine.ts).
 */
import { appendFileSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { EBADF, EBUSY, ECANCELED, EFBIG, EIO, ENOENT, ENOSPC } from '../../src/abi/errno.ts';
import { IOSQE_FIXED_FILE } from '../../src/abi/uring-constants.ts';
import { DurableFile, type DurableFileOptions, PoisonedError } from '../../src/uring/durable.ts';
import type { Durability, SyncMethod } from '../../src/uring/durable-plan.ts';
import { UringFiles } from '../../src/uring/files.ts';
import { USES } from '../../src/uring/registered.ts';
import { Ring } from '../../src/uring/ring.ts';
import { ThreadsEngine } from '../../src/uring/threads.ts';
import { Random, seed } from '../random/random.ts';
import { FaultyEngine } from './faulty-engine.ts';
import { ENGINES, Fixture } from './files-support.ts';
import { uring } from './support.ts';

const METHODS: readonly SyncMethod[] = ['linked', 'separate', 'rwf_dsync'];
/** Bytes that say whose they are. */
const filled = (length: number, of: string): Buffer => Buffer.alloc(length, of);

for (const kind of ENGINES)
  (kind.name === 'threads' ? describe : uring)(`a durable file on ${kind.name}`, () => {
    const fixture = new Fixture(kind);
    const open = (options?: DurableFileOptions) => DurableFile.open(fixture.files, fixture.at('file'), options);
    const contents = () => readFileSync(fixture.at('file'), 'latin1');

    test.each([...METHODS, 'none'] as const)('appends with %s, one behind the other', async (durability) => {
      {
        await using file = await open({ durability });
        expect(await file.append(Buffer.from('one'))).toBe(0);
        expect(await file.append(Buffer.from('two'))).toBe(3);
        await file.writeAt(Buffer.from('X'), 1);
        await file.sync();
        expect([file.size, contents()]).toEqual([6, 'oXetwo']);
      }
      await using again = await open({ create: false });
      expect([again.size, await again.append(Buffer.from('!'))]).toEqual([6, 6]);
      expect(contents()).toBe('oXetwo!');
    });

    test.each(METHODS)('those who append together with %s come one behind the other', async (durability) => {
      await using file = await open({ durability });
      const parts = Array.from({ length: 100 }, (_, i) => Buffer.alloc(i % 7, String.fromCharCode(65 + (i % 26))));
      const offsets = await Promise.all(parts.map((part) => file.append(part)));
      expect(contents()).toBe(Buffer.concat(parts).toString());
      expect(offsets).toEqual(parts.map((_, i) => parts.slice(0, i).reduce((sum, { length }) => sum + length, 0)));
    });

    test('many writes at random, of all kinds, come out as if they were made one after the other', async () => {
      const random = new Random(seed);
      await using file = await open();
      let model = Buffer.alloc(0);
      const expected: number[] = [];
      const writes: Promise<number | undefined>[] = [];
      for (let i = 0; i < 300; i++) {
        const bytes = filled(random.below(300), String.fromCharCode(33 + (i % 90)));
        const durability = random.of<Durability>([...METHODS, 'none']);
        const at = random.below(3) > 0 ? model.length : random.below(2000);
        const appends = at === model.length;
        const size = bytes.length === 0 && !appends ? model.length : Math.max(model.length, at + bytes.length);
        const next = Buffer.alloc(size);
        model.copy(next);
        bytes.copy(next, at);
        model = next;
        expected.push(at);
        writes.push(appends ? file.append(bytes, durability) : file.writeAt(bytes, at, durability).then(() => at));
        if (random.below(20) === 0) await Promise.all(writes);
      }
      expect(await Promise.all(writes), `SEED=${seed}`).toEqual(expected);
      expect(readFileSync(fixture.at('file')).equals(model), `SEED=${seed}`).toBe(true);
      expect(file.size).toBe(model.length);
    });

    test('cuts, lengthens, and goes on where it ends', async () => {
      await using file = await open();
      await file.append(Buffer.from('0123456789'));
      await file.truncate(4);
      expect([contents(), await file.append(Buffer.from('x'))]).toEqual(['0123', 4]);
      await file.truncate(8);
      expect([contents(), file.size]).toEqual(['0123x\0\0\0', 8]);
      const appended = file.append(Buffer.from('y'));
      await expect(file.truncate(0)).rejects.toBe(EBUSY);
      expect(await appended).toBe(8);
      // When all are answered nothing is under way, though it waits whether more come.
      await Promise.all([1, 2, 3].map(() => file.append(Buffer.from('z'))));
      await file.truncate(1);
      expect([contents(), await file.append(Buffer.from('x'))]).toEqual(['0', 1]);
    });

    test('closes when all is done, and takes nothing more', async () => {
      const file = await open();
      const appended = [1, 2, 3].map(() => file.append(Buffer.from('abc')));
      const closed = file.close();
      await expect(file.append(Buffer.from('d'))).rejects.toBe(EBADF);
      await expect(file.truncate(0)).rejects.toBe(EBADF);
      expect(await Promise.all(appended)).toEqual([0, 3, 6]);
      await closed;
      await file.close(); // a second time is no matter
      expect(contents()).toBe('abcabcabc');
      await expect(file.sync()).rejects.toBe(EBADF);
    });

    test('O_DIRECT is held to the alignment before the kernel is', async () => {
      await using file = await open({ direct: true });
      const { memory, offset } = file.alignment!;
      expect(await file.append(file.buffer(2 * offset).fill('a'))).toBe(0);
      await Promise.all([file.append(file.buffer(offset).fill('b')), file.append(file.buffer(offset).fill('c'))]);
      await file.writeAt(file.buffer(offset).fill('d'), offset);
      expect(contents()).toBe(['a', 'd', 'b', 'c'].map((each) => each.repeat(offset)).join(''));
      const odd = file.buffer(offset + memory).subarray(1, offset + 1);
      await expect(file.append(odd)).rejects.toThrow(/address \d+ is no multiple of/u);
      await expect(file.append(file.buffer(offset - 1))).rejects.toThrow(/length \d+ is no multiple of/u);
      await expect(file.writeAt(file.buffer(offset), 1)).rejects.toThrow(/offset 1 is no multiple of/u);
      await expect(file.truncate(1)).rejects.toThrow(/size 1 is no multiple of/u);
      await file.close();
      writeFileSync(fixture.at('file'), 'x');
      await using uneven = await open({ direct: true });
      await expect(uneven.append(file.buffer(offset))).rejects.toThrow(/offset 1 is no multiple of/u);
    });

    test('bytes are lent until they are written', async () => {
      await using file = await open();
      const bytes = Buffer.allocUnsafeSlow(100).fill('a');
      const appended = file.append(bytes);
      await expect(file.file.read(bytes, 0)).rejects.toThrow('lent');
      await appended;
      await file.file.read(bytes, 0);
      const detachedMeanwhile = new Uint8Array(10);
      const [first, second] = [file.append(bytes), file.append(detachedMeanwhile)];
      structuredClone(detachedMeanwhile.buffer, { transfer: [detachedMeanwhile.buffer] });
      await expect(second).rejects.toThrow('detached');
      await first;
      expect(await file.append(Buffer.from('.'))).toBe(200);
    });

    test('says why it can not be opened, and leaves nothing open', async () => {
      await expect(open({ create: false })).rejects.toBe(ENOENT);
      symlinkSync('nowhere/file', fixture.at('file'));
      await expect(open()).rejects.toBe(ENOENT);
      expect(fixture.files.openFiles).toBe(0);
    });
  });

/** Results that a test wants to tell. */
const settled = (promises: readonly Promise<unknown>[]) =>
  Promise.allSettled(promises).then((all) =>
    all.map((each) => (each.status === 'fulfilled' ? each.value : each.reason)),
  );

for (const [name, make] of [
  ['a ring', () => new Ring({ entries: 32 })],
  ['threads', () => new ThreadsEngine()],
] as const)
  (name === 'threads' ? describe : uring)(`what a durable file tells the kernel, on ${name}`, () => {
    let real: Ring | ThreadsEngine;
    let engine: FaultyEngine;
    let files: UringFiles;
    beforeAll(() => {
      real = make();
    });
    afterAll(() => real.close());
    const fixture = new Fixture();
    beforeEach(() => {
      engine = new FaultyEngine(real);
      files = new UringFiles({ engine });
    });
    afterEach(() => files.close());
    const open = (durability: Durability = 'linked') => DurableFile.open(files, fixture.at('file'), { durability });
    const contents = () => readFileSync(fixture.at('file'), 'latin1');
    const EIGHT = [...'abcdefgh'].map((each) => filled(100, each));

    test('one submission each, however it is made durable', async () => {
      await using file = await open();
      for (const durability of ['none', 'separate', 'linked', 'rwf_dsync'] as const)
        await file.append(filled(10, 'a'), durability);
      expect(engine.lines).toEqual(['WRITE 0', 'WRITE 10', 'FSYNC', 'WRITE 20, FSYNC', 'WRITE|DSYNC 30']);
    });

    test('by default it is one write with RWF_DSYNC, also of many who come together', async () => {
      await using file = await DurableFile.open(files, fixture.at('file'));
      await file.append(filled(10, 'a'));
      await Promise.all([1, 2, 3].map(() => file.append(filled(10, 'b'))));
      expect(engine.lines).toEqual(['WRITE|DSYNC 0', 'WRITE|DSYNC 10', 'WRITEV|DSYNC 20']);
      expect(contents()).toBe(`${'a'.repeat(10)}${'b'.repeat(30)}`);
    });

    test('RWF_DSYNC is not enough where something before it is not durable', async () => {
      await using file = await open('rwf_dsync');
      await file.append(filled(10, 'a'), 'none');
      await file.append(filled(10, 'b'));
      await file.append(filled(10, 'c'));
      await Promise.all([
        file.writeAt(filled(10, 'd'), 0),
        file.writeAt(filled(1, 'e'), 5),
        file.writeAt(filled(1, 'f'), 9),
      ]);
      expect(engine.lines).toEqual([
        'WRITE 0',
        'WRITE 10, FSYNC',
        'WRITE|DSYNC 20',
        'WRITE|DSYNC 0',
        'WRITE 5, WRITE 9, FSYNC',
      ]);
    });

    test('64 callers share an fsync', async () => {
      await using file = await open();
      await Promise.all(
        Array.from({ length: 64 }, async () => {
          for (let i = 0; i < 5; i++) await file.append(filled(10, 'a'));
        }),
      );
      // The first who comes goes alone, and comes again with all the others.
      expect(engine.chains.length).toBeLessThanOrEqual(8);
      expect(engine.lines.every((line) => line.endsWith(', FSYNC'))).toBe(true);
      expect(contents().length).toBe(64 * 5 * 10);
    });

    test('a chain is as long as the engine takes it', async () => {
      engine.longestChain = 3;
      await using file = await open();
      await Promise.all([0, 20, 40, 60, 80].map((at) => file.writeAt(filled(10, 'a'), at)));
      expect(engine.lines).toEqual(['WRITE 0, FSYNC', 'WRITE 20, WRITE 40, FSYNC', 'WRITE 60, WRITE 80, FSYNC']);
      engine.longestChain = 1;
      engine.chains.length = 0;
      await Promise.all([0, 20, 40].map((at) => file.writeAt(filled(10, 'a'), at)));
      expect(engine.lines).toEqual(['WRITE 0', 'FSYNC', 'WRITE 20', 'FSYNC', 'WRITE 40', 'FSYNC']);
    });

    test('a short write is finished, and all of it synced', async () => {
      await using file = await open();
      engine.outcomes.push({ most: 30 }, undefined, { most: 50 });
      expect(await file.append(filled(100, 'a'))).toBe(0);
      expect(engine.lines).toEqual(['WRITE 0, FSYNC', 'WRITE 30, FSYNC', 'WRITE 80, FSYNC']);
      expect([contents(), file.size]).toEqual(['a'.repeat(100), 100]);
      engine.outcomes.push({ most: 1 });
      expect(await file.append(filled(9, 'b'), 'rwf_dsync')).toBe(100);
      expect(engine.lines.slice(3)).toEqual(['WRITE|DSYNC 100', 'WRITE|DSYNC 101']);
      engine.outcomes.push({ most: 1 });
      expect(await file.append(filled(9, 'c'), 'separate')).toBe(109);
      expect(engine.lines.slice(5)).toEqual(['WRITE 109', 'WRITE 110', 'FSYNC']);
    });

    test('one that is short in the middle of many is nobody’s loss', async () => {
      await using file = await open();
      engine.outcomes.push(undefined, undefined, { most: 250 });
      const offsets = await Promise.all(EIGHT.map((each) => file.append(each)));
      expect(offsets).toEqual(EIGHT.map((_, i) => 100 * i));
      expect(contents()).toBe(Buffer.concat(EIGHT).toString());
      expect(engine.lines).toEqual(['WRITE 0, FSYNC', 'WRITEV 100, FSYNC', 'WRITEV 350, FSYNC']);
    });

    test('a write that fails is one caller’s error, and the next takes its place', async () => {
      await using file = await open();
      // Of the seven that come together: 250 bytes, then there is no space.
      engine.outcomes.push(undefined, undefined, { most: 250 }, undefined, -ENOSPC.errno);
      expect(await settled(EIGHT.map((each) => file.append(each)))).toEqual([0, 100, 200, ENOSPC, 300, 400, 500, 600]);
      expect(contents()).toBe([...'abcefgh'].map((each) => each.repeat(100)).join(''));
      expect([file.poisoned, engine.lines.at(-1)]).toEqual([undefined, 'WRITEV 300, FSYNC']);
    });

    test('each of several places has its own result', async () => {
      await using file = await open();
      await file.append(filled(300, '.'));
      engine.outcomes.push(undefined, undefined, undefined, -EFBIG.errno);
      const writes = [0, 100, 150, 200].map((at, i) => file.writeAt(filled(10, `${i}`), at));
      expect(await settled(writes)).toEqual([undefined, undefined, EFBIG, undefined]);
      expect(engine.lines.slice(1)).toEqual([
        'WRITE 0, FSYNC',
        'WRITE 100, WRITE 150, WRITE 200, FSYNC',
        'WRITE 200, FSYNC',
      ]);
      expect([contents()[150], contents()[200]]).toEqual(['.', '3']);
    });

    test('a file that takes no bytes and gives no error is EIO', async () => {
      await using file = await open();
      engine.outcomes.push({ most: 0 });
      await expect(file.append(filled(10, 'a'))).rejects.toBe(EIO);
      expect(await file.append(filled(10, 'b'))).toBe(0);
    });

    test.each(['linked', 'separate'] as const)('an fsync that fails with %s poisons the file', async (durability) => {
      const file = await open(durability);
      await file.append(EIGHT[0]!);
      engine.outcomes.push(undefined, -EIO.errno);
      const [failed, waiting] = [file.append(EIGHT[1]!), file.append(EIGHT[2]!)];
      await expect(failed).rejects.toBe(EIO);
      await expect(waiting).rejects.toThrow(PoisonedError);
      const told = engine.chains.length;
      for (const refused of [file.append(EIGHT[3]!), file.writeAt(EIGHT[3]!, 0), file.sync(), file.truncate(0)])
        await expect(refused).rejects.toMatchObject({ name: 'PoisonedError', code: 'EIO', cause: EIO });
      expect([engine.chains.length, file.poisoned]).toEqual([told, EIO]); // not tried again: that would succeed
      await file.close();
      await using again = await open();
      expect([again.poisoned, await again.append(EIGHT[4]!)]).toEqual([undefined, 200]);
    });

    test('all who share the fsync that fails are told, but who asked for none', async () => {
      await using file = await open();
      engine.outcomes.push(undefined, undefined, undefined, -ENOSPC.errno);
      const how = ['linked', 'separate', 'none', 'rwf_dsync'] as const;
      const appended = how.map((durability, i) => file.append(EIGHT[i]!, durability));
      expect(await settled(appended)).toEqual([0, ENOSPC, 200, ENOSPC]);
      expect(file.poisoned).toBe(ENOSPC);
    });

    test('RWF_DSYNC: an error that may be of the sync poisons, one that can’t be does not', async () => {
      await using file = await open('rwf_dsync');
      engine.outcomes.push(-EFBIG.errno);
      await expect(file.append(EIGHT[0]!)).rejects.toBe(EFBIG);
      expect(await file.append(EIGHT[0]!)).toBe(0);
      // The file is no longer than before: it was the write that failed.
      for (const refusal of [ENOSPC, EIO]) {
        engine.outcomes.push(-refusal.errno);
        await expect(file.append(EIGHT[0]!)).rejects.toBe(refusal);
      }
      expect(await file.append(EIGHT[1]!)).toBe(100);
      engine.outcomes.push(-ENOSPC.errno);
      await expect(file.writeAt(EIGHT[0]!, 50)).rejects.toBe(ENOSPC);
      await expect(file.append(EIGHT[0]!)).rejects.toThrow(PoisonedError);
    });

    test('RWF_DSYNC: an append that made the file longer and failed poisons', async () => {
      await using file = await open('rwf_dsync');
      await file.append(EIGHT[0]!);
      appendFileSync(fixture.at('file'), 'x'); // of the write that fails
      engine.outcomes.push(-ENOSPC.errno);
      await expect(file.append(EIGHT[1]!)).rejects.toBe(ENOSPC);
      await expect(file.append(EIGHT[1]!)).rejects.toThrow(PoisonedError);
    });

    test('a truncation whose fsync fails poisons as well', async () => {
      await using file = await open();
      await file.append(EIGHT[0]!);
      engine.fsync = -EIO.errno;
      await expect(file.truncate(5)).rejects.toBe(EIO);
      engine.fsync = undefined;
      await expect(file.sync()).rejects.toThrow(PoisonedError);
    });

    test('closing the files ends what waits, and poisons nothing', async () => {
      const file = await open();
      const appended = EIGHT.map((each) => file.append(each));
      await files.close();
      const results = await settled(appended);
      expect(results.slice(1).every((each) => each === ECANCELED || typeof each === 'number')).toBe(true);
      expect([results.at(-1), file.poisoned]).toEqual([ECANCELED, undefined]);
      await file.close();
    });

    test('registered buffers and files are used', async () => {
      await using file = await open();
      const buffer = Buffer.allocUnsafeSlow(1000).fill('a');
      files.registerBuffers([buffer]);
      for (let i = 0; i < 2 * USES; i++) await file.append(buffer.subarray(0, 10));
      const { name: write, flags } = engine.chains.at(-1)![0]!;
      const registers = engine.register !== undefined;
      expect([write, flags & IOSQE_FIXED_FILE]).toEqual(registers ? ['WRITE_FIXED', IOSQE_FIXED_FILE] : ['WRITE', 0]);
      expect(contents()).toBe('a'.repeat(20 * USES));
    });
  });
