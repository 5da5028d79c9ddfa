/** What mount() refuses: with one line that says what to do, and with nothing left mounted or open. */
import { readdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MemoryFs } from '../../src/fs/index.ts';
import { mount } from '../../src/mount.ts';
import { mountEntries } from '../../src/mountinfo.ts';
import type { MountOptions } from '../../src/options.ts';
import type { Filesystem } from '../../src/protocol/filesystem.ts';
import type { MountError } from '../../src/serve.ts';
import { kernelTest, temporary } from '../support.ts';
import { over } from '../transport.ts';
import { ServerProcess } from './servers/process.ts';

const state = () => ({
  mounts: mountEntries().filter(({ path }) => path.includes('rawfuse-refused')),
  devices: readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).includes('fuse');
    } catch {
      return false;
    }
  }),
});

/** The error of a mount that is refused, in a directory of its own, with a file and a link in it. */
async function refused(
  at: string,
  options: MountOptions = {},
  filesystem: Filesystem = new MemoryFs(),
): Promise<Error> {
  const dir = temporary('rawfuse-refused-');
  writeFileSync(join(dir, 'file'), '');
  symlinkSync('loop', join(dir, 'loop'));
  try {
    await mount(filesystem, join(dir, at), over(options));
  } catch (error) {
    expect(state()).toEqual({ mounts: [], devices: [] });
    (error as Error).message = (error as Error).message.replaceAll(dir, 'DIR');
    expect((error as Error).message).not.toContain('\n');
    return error as Error;
  } finally {
    rmSync(dir, { recursive: true });
  }
  throw new Error('it mounted');
}

const directories: Record<string, [at: string, Partial<MountError>]> = {
  'no such directory': ['absent', { reason: 'not-found', message: 'no such directory: DIR/absent' }],
  'a file': ['file', { reason: 'not-a-directory', message: 'DIR/file is not a directory' }],
  'below a file': ['file/below', { reason: 'not-a-directory', message: 'DIR/file/below is not a directory' }],
  'a symbolic link to itself': ['loop', { reason: 'failed' }],
};
for (const [name, [at, error]] of Object.entries(directories))
  test(`mount() refuses ${name}`, async () => {
    expect(await refused(at)).toMatchObject({ name: 'MountError', ...error });
  });

const wrong: Record<string, [options: object, filesystem: Filesystem, name: string, message: string | RegExp]> = {
  'an unknown option': [{ allowOthers: true }, {}, 'OptionError', /^unknown option allowOthers/],
  'an option under its other spelling': [{ allow_other: true }, {}, 'OptionError', /^unknown option allow_other/],
  'an option of another type': [{ ro: 'yes' }, {}, 'OptionError', /^option ro is .*: true or false is needed$/],
  'a number out of range': [{ maxBackground: 70000 }, {}, 'NegotiationError', /^maxBackground is 70000: /],
  'an unknown promise': [{}, { promises: ['NO_SUCH'] as never }, 'NegotiationError', 'unknown promise NO_SUCH'],
  'ALLOW_IDMAP without default_permissions': [
    {},
    { promises: ['ALLOW_IDMAP'] },
    'NegotiationError',
    /default_permissions/,
  ],
  'ALLOW_IDMAP with allow_root': [
    { allowRoot: true, defaultPermissions: true },
    { promises: ['ALLOW_IDMAP'] },
    'NegotiationError',
    /^allow_root and ALLOW_IDMAP exclude each other/,
  ],
  'PASSTHROUGH with writeback': [
    {},
    { promises: ['PASSTHROUGH', 'WRITEBACK_CACHE'] },
    'NegotiationError',
    'PASSTHROUGH and WRITEBACK_CACHE exclude each other',
  ],
  'both promises about file handles': [
    {},
    { promises: ['EXPORT_SUPPORT', 'NO_EXPORT_SUPPORT'] },
    'NegotiationError',
    /exclude each other/,
  ],
};
for (const [name, [options, filesystem, kind, message]] of Object.entries(wrong))
  test(`mount() refuses ${name}`, async () => {
    const error = await refused('.', options, filesystem);
    expect(error.name).toBe(kind);
    expect(error.message).toEqual(message instanceof RegExp ? expect.stringMatching(message) : message);
  });

/** What a process got that tried to mount, started by `wrap`. */
async function tried(wrap: readonly string[]): Promise<unknown> {
  await using server = new ServerProcess('try-mount.ts', [], wrap);
  expect(await server.ended(), server.err).toEqual({ code: 0, signal: null });
  expect(server.mounted).toBe(false);
  return JSON.parse(server.out);
}

kernelTest('a process that may mount leaves nothing open behind either', async () => {
  expect(await tried([])).toEqual({ left: [] });
});

kernelTest('mount() refuses who is not root', async () => {
  // The capability stays away too; the program must still be able to read itself.
  expect(
    await tried(['setpriv', '--reuid=65534', '--inh-caps=-all', '--clear-groups', '--bounding-set=+dac_read_search']),
  ).toEqual({
    name: 'MountError',
    reason: 'not-root',
    message: 'mounting needs root: run this as root, for example with sudo',
    left: [],
  });
});

const nothing = 'mount -t tmpfs none /dev && mknod /dev/null c 1 3 && mknod /dev/urandom c 1 9';
const devices: Record<string, [prepare: string, message: string | RegExp]> = {
  'no /dev/fuse': [
    nothing,
    'no /dev/fuse: load the module with modprobe fuse, or give it to the container with --device /dev/fuse',
  ],
  'a /dev/fuse without its driver': [`${nothing} && mknod /dev/fuse c 10 228`, /^no \/dev\/fuse: load the module/],
  'a /dev/fuse that is an ordinary file': [
    `${nothing} && : > /dev/fuse`,
    /^cannot mount on .*: mount: invalid argument$/,
  ],
};
for (const [name, [prepare, message]] of Object.entries(devices))
  kernelTest(`mount() refuses where there is ${name}`, async () => {
    const result = (await tried(['unshare', '-m', 'sh', '-c', `${prepare} && exec "$@"`, 'sh'])) as Partial<MountError>;
    expect(result).toMatchObject({ name: 'MountError', left: [] });
    expect(result.message).toEqual(message instanceof RegExp ? expect.stringMatching(message) : message);
  });
