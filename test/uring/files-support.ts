/** What the tests of files share: a directory and files for each test, on every engine there is. */
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import type { Engine } from '../../src/uring/engine.ts';
import { UringFiles, type UringFilesOptions } from '../../src/uring/files.ts';
import { SharedEngine, SharedRing } from '../../src/uring/shared.ts';

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
/** On what files are tested. The first makes its own. */
export const ENGINES: readonly EngineKind[] = [own, shared];

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
      before = descriptors();
      this.dir = mkdtempSync(join(tmpdir(), 'rawfuse-files-'));
      this.files = this.make();
    });
    afterEach(async () => {
      await this.files.close();
      rmSync(this.dir, { recursive: true });
      // Those that nobody waits for are closed soon.
      for (let tries = 0; descriptors() > before && tries < 200; tries++)
        await new Promise((resolve) => setTimeout(resolve, 5));
      if (descriptors() > before) throw new Error(`descriptors are left: ${names().join(' ')}`);
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

/** How many descriptors the process has. */
export const descriptors = (): number => readdirSync('/proc/self/fd').length;
const names = (): string[] =>
  readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return fd;
    }
  });
