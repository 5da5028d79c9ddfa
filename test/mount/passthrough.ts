/** A mount of PassthroughFs for a test, over a filesystem of its own or any directory, on one thread or several. */
import { chmodSync, rmdirSync, rmSync } from 'node:fs';
import { expect } from 'vitest';
import { PassthroughFs, type PassthroughOptions } from '../../src/fs/index.ts';
import { type Mount, mount } from '../../src/mount.ts';
import type { MountOptions } from '../../src/options.ts';
import type { Hooks } from '../../src/serve.ts';
import { type Kind, native } from '../random/native.ts';
import { mounted, run, temporary } from '../support.ts';
import { assertTransport, over } from '../transport.ts';

/** Runs a script in a directory as a user without privileges, who is in these groups too. */
export const as = (uid: number, groups: string, script: string, dir: string): Promise<string> => {
  const ids = [`--reuid=${uid}`, `--regid=${uid}`, groups ? `--groups=${groups}` : '--clear-groups'];
  return run('setpriv', [...ids, '--', 'sh', '-c', `cd "$0" && { ${script}; }`, dir]);
};

const MODULE = new URL('../../src/fs/passthrough/passthrough-module.ts', import.meta.url);
/** How long one mount may serve, in ms. */
const WATCHDOG = 1_200_000;

export interface PassthroughMount extends AsyncDisposable {
  readonly mount: Mount;
  readonly dir: string;
  /** The directory that is served. */
  readonly source: string;
  /** On one thread. */
  readonly filesystem: PassthroughFs | undefined;
}
export interface Wishes extends Omit<PassthroughOptions, 'source'> {
  /** Over an empty filesystem of this kind, or over this directory; else over an empty directory of the machine's. */
  readonly kind?: Kind;
  readonly source?: string;
  readonly mount?: MountOptions & Hooks;
}

export async function passthrough({ kind, source, mount: options, ...own }: Wishes = {}): Promise<PassthroughMount> {
  const lower = source === undefined ? await (kind === undefined ? empty() : native(kind)) : undefined;
  if (lower !== undefined) chmodSync(lower.dir, 0o755); // clients are other users, too
  const wishes: PassthroughOptions = { ...own, source: source ?? lower!.dir };
  const all = { allowOther: true, defaultPermissions: true, dev: true, suid: true, ...options };
  try {
    const m = await (all.threads === undefined ? onThis(wishes, all) : onThreads(wishes, all));
    return {
      ...{ mount: m.mount, dir: m.dir, source: wishes.source, filesystem: m.filesystem },
      async [Symbol.asyncDispose]() {
        try {
          await m.end();
        } finally {
          await lower?.[Symbol.asyncDispose]();
        }
      },
    };
  } catch (error) {
    await lower?.[Symbol.asyncDispose]();
    throw error;
  }
}

async function empty() {
  const dir = temporary();
  return { dir, [Symbol.asyncDispose]: async () => rmSync(dir, { recursive: true }) };
}

async function onThis(wishes: PassthroughOptions, options: MountOptions & Hooks) {
  const filesystem = new PassthroughFs(wishes);
  const m = await mounted(filesystem, options, { watchdog: WATCHDOG });
  const end = async () => {
    await m[Symbol.asyncDispose]();
    expect({ held: filesystem.held, opened: filesystem.opened }, 'descriptors left').toEqual({ held: 0, opened: 0 });
  };
  return { mount: m.mount, dir: m.dir, filesystem, end };
}
async function onThreads(filesystem: PassthroughOptions, options: MountOptions & Hooks) {
  const dir = temporary();
  const m = await mount(MODULE, dir, { ...over(options), filesystem });
  assertTransport(m.session, options);
  const end = async () => {
    await m.unmount({ lazy: true });
    await m.closed;
    rmdirSync(dir);
  };
  return { mount: m, dir, filesystem: undefined, end };
}
