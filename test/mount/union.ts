/** A mount of UnionFs for a test, over directories of a filesystem of its own, or any. */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { UnionFs } from '../../src/fs/index.ts';
import type { Hooks } from '../../src/mount.ts';
import type { MountOptions } from '../../src/options.ts';
import { type Kind, native } from '../random/native.ts';
import { mounted, temporary } from '../support.ts';

/** How long one mount may serve, in ms. */
const WATCHDOG = 1_200_000;

export interface UnionMount extends AsyncDisposable {
  readonly dir: string;
  /** Directories of the branches. */
  readonly branches: readonly string[];
  readonly filesystem: UnionFs;
}
export interface Wishes {
  /** Directories of one empty filesystem of this kind, or of the machine's. */
  readonly kind?: Kind;
  /** How many, or what they are. */
  readonly branches?: number | readonly string[];
  /** A mode, and more, behind each of them. */
  readonly settings?: readonly string[];
  readonly options?: Readonly<Record<string, string>>;
  readonly seed?: number;
  readonly mount?: MountOptions & Hooks;
}

export async function union({
  kind,
  branches = 3,
  settings = [],
  options,
  seed,
  mount,
}: Wishes = {}): Promise<UnionMount> {
  const lower = kind === undefined ? empty() : await native(kind);
  try {
    chmodSync(lower.dir, 0o755); // clients are other users, too
    const directories =
      typeof branches === 'number' ? Array.from({ length: branches }, (_, i) => join(lower.dir, `b${i}`)) : branches;
    if (typeof branches === 'number') for (const each of directories) mkdirSync(each);
    const list = directories.map((each, i) => (settings[i] ? `${each}=${settings[i]}` : each)).join(':');
    const filesystem = new UnionFs({
      branches: list,
      options: { minfreespace: '0', ...options },
      ...(seed !== undefined && { seed }),
    });
    const all = {
      ...filesystem.mountOptions,
      allowOther: true,
      defaultPermissions: true,
      dev: true,
      suid: true,
      ...mount,
    };
    const m = await mounted(filesystem, all, { watchdog: WATCHDOG });
    return {
      ...{ dir: m.dir, branches: directories, filesystem },
      async [Symbol.asyncDispose]() {
        try {
          await m[Symbol.asyncDispose]();
          expect(filesystem.opened, 'files left open').toBe(0);
        } finally {
          await lower[Symbol.asyncDispose]();
        }
      },
    };
  } catch (error) {
    await lower[Symbol.asyncDispose]();
    throw error;
  }
}

function empty() {
  const dir = temporary();
  return { dir, [Symbol.asyncDispose]: async () => rmSync(dir, { recursive: true }) };
}
