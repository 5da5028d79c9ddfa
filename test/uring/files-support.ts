/** What the tests of files share: a directory and files for each test, on every engine there is. */
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import type { Engine } from '../../src/uring/engine.ts';
import { UringFiles, type UringFilesOptions } from '../../src/uring/files.ts';
import { Ring } from '../../src/uring/ring.ts';

/** An engine that has nothing registered, as those that are no ring of this thread. */
export function bare(ring = new Ring({ entries: 32 })): Engine {
  return {
    kind: 'shared',
    get inFlight() {
      return ring.inFlight;
    },
    submit: (...args) => ring.submit(...args),
    submitLinked: (operations) => ring.submitLinked(operations),
    cancel: (ticket) => ring.cancel(ticket),
    disown: (ticket, heir) => ring.disown(ticket, heir),
    close: () => ring.close(),
  };
}

/** On what files are tested. */
export const ENGINES: readonly { readonly name: string; readonly make: () => Engine | undefined }[] = [
  { name: 'a ring of their own', make: () => undefined },
  { name: 'an engine without registration', make: () => bare() },
];

export class Fixture {
  dir = '';
  files!: UringFiles;
  readonly #engine: () => Engine | undefined;
  readonly #made: Engine[] = [];

  /** Makes both before each test of the suite, and takes them away after it: no descriptor may be left. */
  constructor(engine: () => Engine | undefined = () => undefined) {
    this.#engine = engine;
    let before: number;
    beforeEach(() => {
      before = descriptors();
      this.dir = mkdtempSync(join(tmpdir(), 'rawfuse-files-'));
      this.files = this.make();
    });
    afterEach(async () => {
      await this.files.close();
      for (const engine of this.#made.splice(0)) await engine.close();
      rmSync(this.dir, { recursive: true });
      // Those that nobody waits for are closed soon.
      for (let tries = 0; descriptors() > before && tries < 200; tries++)
        await new Promise((resolve) => setTimeout(resolve, 5));
      if (descriptors() > before) throw new Error(`descriptors are left: ${names().join(' ')}`);
    });
  }

  /** Files with other options. They are the caller's to close. */
  make(options: UringFilesOptions = {}): UringFiles {
    const engine = options.engine ?? this.#engine();
    if (engine && !options.engine) this.#made.push(engine);
    return new UringFiles({ entries: 32, ...options, engine });
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
