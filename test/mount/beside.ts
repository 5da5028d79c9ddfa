/** The POSIX table on a mount that stands on directories, beside a directory of the same kind without FUSE: what a row gives in the one it gives in the other. */
import { chmodSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { Agent } from '../posix/agent.ts';
import type { Row } from '../posix/table.ts';
import { type Kind, native } from '../random/native.ts';
import { kernelTest, lacking } from '../support.ts';

/** What tmpfs itself refuses: a list of more bytes than a list may have. */
export const REFUSED_BELOW = 'listxattr: a size of 0 asks for the length, also of more than 65,536 bytes';

interface Beside {
  /** How the names of its tests begin. */
  readonly title: string;
  readonly kind: Kind;
  /** Those that can be run natively there are. */
  readonly rows: readonly (readonly [name: string, row: Row])[];
  /** One in so many, from one on; all with ROWS=all. */
  readonly share: number;
  readonly from: number;
  mount(): Promise<AsyncDisposable & { readonly dir: string }>;
  /** Holds what the mount gives for a row to what it is to be; true where that is for nobody else to say. */
  differs(name: string, native: unknown, found: () => Promise<unknown>): Promise<boolean>;
}

export function rowsBeside({ title, kind, rows, share, from, mount, differs }: Beside): void {
  const shares = process.env.ROWS === 'all' ? 1 : share;
  describe(`over ${title}`, () => {
    let agent: Agent;
    let mounted: Awaited<ReturnType<Beside['mount']>>;
    let beside: Awaited<ReturnType<typeof native>>;
    beforeAll(async () => {
      agent = new Agent();
      if (lacking !== undefined) return;
      beside = await native(kind);
      chmodSync(beside.dir, 0o755); // rows run as other users, too
      mounted = await mount();
    });
    afterAll(async () => {
      await agent[Symbol.asyncDispose]();
      await mounted?.[Symbol.asyncDispose]();
      await beside?.[Symbol.asyncDispose]();
    });
    const possible = rows.filter(
      ([name, { like }]) => (like === undefined || like === kind) && (kind !== 'tmpfs' || name !== REFUSED_BELOW),
    );
    for (const [name, row] of possible.filter((_, i) => i % shares === from % shares))
      kernelTest(`${title}: ${name}`, async () => {
        const expected = await agent.run(row.script, beside.dir);
        if (await differs(name, expected, () => agent.run(row.script, mounted.dir))) return;
        const found = await agent.run(row.script, mounted.dir);
        if (row.fuse === undefined) return expect(found).toEqual(expected);
        // Some of the differences are MemoryFs's way with FUSE, and not there where the kernel keeps the locks.
        expect([row.fuse.out, expected]).toContainEqual(found);
      });
  });
}
