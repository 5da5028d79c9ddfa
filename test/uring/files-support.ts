/** What the tests of files share: a directory and files for each test, on every engine there is. */
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import type { Engine } from '../../src/uring/engine.ts';
import { UringFiles, type UringFilesOptions } from '../../src/uring/files.ts';
import { SharedEngine, SharedRing } from '../../src/uring/shared.ts';
import { ThreadsEngine } from '../../src/uring/threads.ts';
import { until } from '../support.ts';

/** What files are tested on: one engine for all of a suite, or none where they make their own. */
export interface EngineKind {
  readonly name: string;
  start(): Promise<{ readonly engine?: Engine; stop?(): Promise<void> }>;
}

const own: EngineKind = { name: 'a ring of their own', start: async () => ({}) };
const shared: EngineKind = {
  name: 'a ring of another thread',
  async start() {
    const ring = await SharedRing.start({ entries: 32 });
    const engine = new SharedEngine(ring.connect());
    return {
      engine,
      async stop() {
        expect(engine.inFlight).toBe(0);
        await engine.close();
        await ring.close();
      },
    };
  },
};
const threads: EngineKind = {
  name: 'threads',
  async start() {
    const engine = new ThreadsEngine();
    return { engine, stop: () => engine.close() };
  },
};
/** On what files are tested. The first makes its own; only the last needs no io_uring. */
export const ENGINES: readonly EngineKind[] = [own, shared, threads];

export class Fixture {
  dir = '';
  files!: UringFiles;
  #engine: Engine | undefined;

  /** Makes both before each test of the suite, and takes them away after it: no descriptor may be left. */
  constructor(kind: EngineKind = own) {
    let before: number;
    let stop: (() => Promise<void>) | undefined;
    beforeAll(async () => {
      ({ engine: this.#engine, stop } = await kind.start());
    });
    afterAll(() => stop?.());
    beforeEach(() => {
      before = descriptors().length;
      this.dir = mkdtempSync(join(tmpdir(), 'rawfuse-files-'));
      this.files = this.make();
    });
    afterEach(async () => {
      await this.files.close();
      rmSync(this.dir, { recursive: true });
      // Those that nobody waits for are closed soon.
      await until(() => descriptors().length <= before, 'descriptors to be closed');
    });
  }

  /** Files with other options. They are the caller's to close. */
  make(options: UringFilesOptions = {}): UringFiles {
    return new UringFiles({ entries: 32, engine: this.#engine, ...options });
  }
  at(...path: string[]): string {
    return join(this.dir, ...path);
  }
}

/** The descriptors of this process that are of a test's files, or of rings: an engine's threads have others, once they start. */
export const descriptors = (): string[] =>
  readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return /rawfuse-files-|io_uring/u.test(target) ? [target] : [];
    } catch {
      return []; // the one that read the directory
    }
  });
