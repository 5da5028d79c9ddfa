/** A mount of UnionFs for a test, over directories of a filesystem of its own, or any. */
import { chmodSync, mkdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { UnionFs, type UnionOptions } from '../../src/fs/index.ts';
import { mountOptionsOf, servedOptions } from '../../src/fs/union/served.ts';
import { type Mount, mount } from '../../src/mount.ts';
import type { MountOptions } from '../../src/options.ts';
import type { Hooks } from '../../src/serve.ts';
import { type Kind, native } from '../random/native.ts';
import { mounted, openBelow, temporary } from '../support.ts';
import { assertTransport, over } from '../transport.ts';

/** How long one mount may serve, in ms. */
const WATCHDOG = 1_200_000;

export interface UnionMount extends AsyncDisposable {
  readonly dir: string;
  /** Directories of the branches. */
  readonly branches: readonly string[];
  /** Of a mount on one thread. */
  readonly filesystem: UnionFs;
  readonly mount: Mount;
}
const MODULE = new URL('../../src/fs/union/union-module.ts', import.meta.url);
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
  mount: mountOptions,
}: Wishes = {}): Promise<UnionMount> {
  const lower = kind === undefined ? empty() : await native(kind);
  try {
    chmodSync(lower.dir, 0o755); // clients are other users, too
    const directories =
      typeof branches === 'number' ? Array.from({ length: branches }, (_, i) => join(lower.dir, `b${i}`)) : branches;
    if (typeof branches === 'number') for (const each of directories) mkdirSync(each);
    const list = directories.map((each, i) => (settings[i] ? `${each}=${settings[i]}` : each)).join(':');
    const wishes: UnionOptions = {
      branches: list,
      options: { minfreespace: '0', ...options },
      ...(seed !== undefined && { seed }),
    };
    const own = mountOptionsOf(servedOptions(wishes).options);
    const all = { ...own, allowOther: true, defaultPermissions: true, dev: true, suid: true, ...mountOptions };
    const m = await (all.threads === undefined ? onThis(wishes, all) : onThreads(wishes, lower.dir, all));
    return {
      ...{ dir: m.dir, branches: directories, mount: m.mount },
      get filesystem() {
        if (m.filesystem === undefined) throw new Error('each thread has one of its own');
        return m.filesystem;
      },
      async [Symbol.asyncDispose]() {
        try {
          await m.end();
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

async function onThis(wishes: UnionOptions, options: MountOptions & Hooks) {
  const filesystem = new UnionFs(wishes);
  const m = await mounted(filesystem, options, { watchdog: WATCHDOG });
  const end = async () => {
    await m[Symbol.asyncDispose]();
    expect(filesystem.opened, 'files left open').toBe(0);
  };
  return { mount: m.mount, dir: m.dir, filesystem, end };
}
async function onThreads(filesystem: UnionOptions, directory: string, options: MountOptions & Hooks) {
  const dir = temporary();
  const m = await mount(MODULE, dir, { ...over(options), filesystem });
  assertTransport(m.session, options);
  const end = async () => {
    await m.unmount({ lazy: true });
    await m.closed;
    rmdirSync(dir);
    expect(openBelow(directory), 'descriptors left open').toEqual([]);
  };
  return { mount: m, dir, filesystem: undefined, end };
}
function empty() {
  const dir = temporary();
  return { dir, [Symbol.asyncDispose]: async () => rmSync(dir, { recursive: true }) };
}
