/**
 * Random operations on a tree of files, many at once, with random cancellation, against a model in memory: what each says
 * it did, the model does; what was cancelled was done or was not, and the file tells which. At the end the tree is read
 * by node:fs and compared. SEED= repeats a run, OPERATIONS= makes it longer, SECONDS= lets it go on for so long and
 * holds its memory to be flat.
 */
import fs from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ECANCELED, ENOENT } from '../../src/abi/errno.ts';
import { O_CREAT, O_RDWR } from '../../src/abi/posix.ts';
import type { UringFile } from '../../src/uring/file.ts';
import { operations, patience, Random, seed } from '../random/random.ts';
import { until } from '../support.ts';
import { ENGINES, Fixture } from './files-support.ts';
import { uring } from './support.ts';

const COUNT = operations(100_000);
const SECONDS = Number(process.env.SECONDS ?? 0);
/** Tasks, each with a file of its own: in which order those of one file run is the kernel's affair. */
const TASKS = 40;
/** Of a file's contents. */
const MOST = 40_000;
const MiB = 1 << 20;

/** One task: a name, what is to be in it, and the file while it is open. */
class Task {
  readonly #name: string;
  readonly #on: Fixture;
  readonly #random: Random;
  /** Undefined: there is no such file. */
  contents: Buffer | undefined;
  #file: UringFile | undefined;
  cancelled = 0;

  constructor(on: Fixture, name: string, random: Random) {
    this.#on = on;
    this.#name = name;
    this.#random = random;
  }
  get path(): string {
    return this.#on.at(this.#name);
  }

  async step(): Promise<void> {
    const random = this.#random;
    if (this.contents === undefined || this.#file === undefined) return this.#open();
    const offset = random.below(MOST);
    const length = random.below(random.chance(4) ? MOST - offset : 1 + (MOST - offset) / 20);
    switch (random.below(12)) {
      case 0:
      case 1:
      case 2: {
        const data = Buffer.alloc(length, 1 + random.below(255));
        return this.#change(
          (signal) => this.#file!.writeAll(data, offset, { signal }),
          () => this.#put(offset, data),
        );
      }
      case 3: {
        const parts = [Buffer.alloc(length, 'v'), Buffer.alloc(1 + random.below(100), 'w')];
        return this.#change(
          async (signal) => {
            const { bytes } = await this.#file!.writev(parts, offset, { signal });
            expect(bytes).toBe(parts[0]!.length + parts[1]!.length);
          },
          () => this.#put(offset, Buffer.concat(parts)),
        );
      }
      case 4: {
        const size = random.below(MOST);
        return this.#change(
          (signal) => this.#file!.ftruncate(size, { signal }),
          () => this.#resize(size),
        );
      }
      case 5:
        return this.#change(
          (signal) => this.#file!.fdatasync({ signal }),
          () => {},
        );
      case 6: {
        const { size } = await this.#file.statx();
        expect(size).toBe(this.contents.length);
        expect((await this.#on.files.statx(this.path)).size).toBe(size);
        return;
      }
      case 7: {
        await this.#file.close({ cancel: random.chance(2) });
        this.#file = undefined;
        if (random.chance(4)) {
          await this.#on.files.unlink(this.path);
          this.contents = undefined;
          // Not by `rejects`, which keeps each promise until the test is over.
          expect(await this.#on.files.statx(this.path).catch((error) => error)).toBe(ENOENT);
        }
        return;
      }
      case 8: {
        await this.#on.files.rename(this.path, `${this.path}-moved`);
        await this.#on.files.link(`${this.path}-moved`, this.path);
        return this.#on.files.unlink(`${this.path}-moved`);
      }
      default:
        return this.#read(offset, length);
    }
  }

  async #open(): Promise<void> {
    const direct = this.#random.chance(3);
    const opening = (signal?: AbortSignal) => this.#on.files.open(this.path, O_RDWR | O_CREAT, { direct, signal });
    try {
      this.#file = await opening(this.#signal());
      this.contents ??= Buffer.alloc(0);
    } catch (error) {
      expect(error).toBe(ECANCELED);
      await until(() => this.#on.files.abandoned === 0, 'the cancelled open');
      if (fs.existsSync(this.path)) this.contents ??= Buffer.alloc(0);
    }
  }

  async #read(offset: number, length: number): Promise<void> {
    const { contents } = this;
    const buffer = Buffer.alloc(length, 0xff);
    try {
      const { bytes } = await this.#file!.readExactly(buffer, offset, { signal: this.#signal() });
      const wanted = contents!.subarray(offset, offset + length);
      expect(bytes).toBe(wanted.length);
      expect(buffer.subarray(0, bytes).equals(wanted)).toBe(true);
    } catch (error) {
      if (error !== ECANCELED) throw error;
    }
  }

  /** Changes the file, and then the model, unless it was cancelled and had not been done. */
  async #change(change: (signal: AbortSignal | undefined) => Promise<unknown>, model: () => void): Promise<void> {
    try {
      await change(this.#signal());
      model();
    } catch (error) {
      if (error !== ECANCELED) throw error;
      // Until its completion has come it may still be done, wholly or in part.
      const { descriptor } = this.#file!;
      while (descriptor.busy > 0) await new Promise((resolve) => setImmediate(resolve));
      this.contents = fs.readFileSync(this.path);
    }
  }
  #put(offset: number, data: Buffer): void {
    if (data.length === 0) return;
    if (this.contents!.length < offset + data.length) this.#resize(offset + data.length);
    data.copy(this.contents!, offset);
  }
  #resize(size: number): void {
    const resized = Buffer.alloc(size);
    this.contents!.copy(resized);
    this.contents = resized;
  }

  /** One in eight is aborted, at once or a little later. */
  #signal(): AbortSignal | undefined {
    if (!this.#random.chance(8)) return undefined;
    const controller = new AbortController();
    const abort = () => {
      this.cancelled++;
      controller.abort(ECANCELED);
    };
    if (this.#random.chance(3)) queueMicrotask(abort);
    else if (this.#random.chance(2)) setImmediate(abort);
    else setTimeout(abort, this.#random.below(3));
    return controller.signal;
  }

  async end(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }
}

uring('random operations', () => {
  describe.each(ENGINES)('on $name', (kind) => {
    const on = new Fixture(kind);
    // The first engine does most: the others have the same files above them.
    const count = kind === ENGINES[0] ? COUNT : Math.ceil(COUNT / 10);

    test('leave what a model says', { timeout: patience(count) + SECONDS * 2000 }, async () => {
      const random = new Random(seed);
      const tasks = Array.from({ length: TASKS }, (_, i) => new Task(on, `f${i}`, new Random(random.next())));
      const over = kind === ENGINES[0] ? Date.now() + SECONDS * 1000 : 0;
      let left = count;
      const resident: number[] = [];
      const sampling = setInterval(() => resident.push(process.memoryUsage.rss()), SECONDS * 10 || 1e6);
      const more = () => left-- > 0 || Date.now() < over;
      await Promise.all(
        tasks.map(async (task) => {
          while (more()) {
            await task.step();
          }
          await task.end();
        }),
      );
      clearInterval(sampling);
      if (SECONDS > 0 && over > 0) {
        // Of a hundred samples: the last third is no higher than the second, but for the collector's moods.
        const third = Math.floor(resident.length / 3);
        const [warm, last] = [resident.slice(third, 2 * third), resident.slice(2 * third)].map((each) =>
          Math.max(...each),
        );
        console.log(
          `${count - left} operations; resident ${Math.round(warm! / MiB)}, then ${Math.round(last! / MiB)} MiB`,
        );
        expect(last!).toBeLessThan(1.2 * warm! + 16 * MiB);
      }
      await until(() => on.files.abandoned === 0 && on.files.openFiles === 0, 'what was cancelled');
      expect([on.files.inFlight, on.files.waiting]).toEqual([0, 0]);
      for (const { path, contents } of tasks)
        if (contents === undefined) expect(fs.existsSync(path)).toBe(false);
        else expect(fs.readFileSync(path).equals(contents), path).toBe(true);
      expect(tasks.reduce((sum, { cancelled }) => sum + cancelled, 0)).toBeGreaterThan(count / 50);
    });
  });
});
