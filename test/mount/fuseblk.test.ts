/**
 * Mounts of a block device (fuseblk): the only ones on which the kernel sends BMAP, SYNCFS and DESTROY. The
 * device is a loop device over a file of a few blocks.
 */
import { existsSync } from 'node:fs';
import { rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { connectionDirectory, isFuse, mountAt, mountEntries } from '../../src/mountinfo.ts';
import type { Args } from '../../src/protocol/operations.ts';
import type { Request } from '../../src/protocol/request.ts';
import { kernelTest, mounted, run, sh, temporary, until } from '../support.ts';
import { Client, python } from './python.ts';
import { Recorder, Tree } from './tree.ts';

/** A loop device over an empty file. */
async function loopDevice(): Promise<AsyncDisposable & { readonly device: string }> {
  const dir = temporary('rawfuse-loop-');
  const image = join(dir, 'image');
  await writeFile(image, '');
  await truncate(image, 1 << 20);
  if (!existsSync('/dev/loop-control')) await run('modprobe', ['loop']);
  const device = (await run('losetup', ['--find', '--show', image])).trim();
  return {
    device,
    async [Symbol.asyncDispose]() {
      await run('losetup', ['--detach', device]);
      await rm(dir, { recursive: true });
    },
  };
}

class Blocks extends Tree {
  ended = 0;
  constructor() {
    super({ file: 'x'.repeat(5000) });
  }
  bmap(_: Request, { block }: Args<'BMAP'>) {
    return { block: block === 0 ? 1000 : 0 };
  }
  syncfs() {}
  destroy() {
    this.ended++;
  }
}

kernelTest('BMAP, SYNCFS and DESTROY come from a mount of a block device', async () => {
  await using loop = await loopDevice();
  const blocks = new Blocks();
  const recorder = new Recorder(blocks);
  const operations: string[] = [];
  {
    await using m = await mounted(recorder.filesystem, {
      blkdev: true,
      fsname: loop.device,
      blksize: 1024,
      trace: (event) => {
        if (event.kind === 'request' || event.kind === 'reply')
          operations.push(`${event.kind} ${event.operation} ${(event.kind === 'reply' && event.error) || ''}`.trim());
      },
    });
    const entry = mountAt(m.dir)!;
    expect(entry).toMatchObject({ type: 'fuseblk.rawfuse', source: loop.device });
    expect(isFuse(entry)).toBe(true);

    const fibmap = `
FIBMAP = 1
def fibmap(block):
    return struct.unpack('i', fcntl.ioctl(file, FIBMAP, struct.pack('i', block)))[0]
file = os.open(P('file'), os.O_RDONLY)
say([os.fstat(file).st_blksize, fibmap(0), fibmap(2)])`;
    expect(await python(m.dir, fibmap)).toEqual([[1024, 1000, 0]]);
    const { nodeid } = blocks.at('file');
    // Linux 6.17 and 6.18 map in pages, whatever the blksize.
    expect(recorder.of('bmap').map((call) => [call.nodeid, call.args])).toEqual([
      [nodeid, { block: 0, blocksize: expect.any(Number) }],
      [nodeid, { block: 2, blocksize: expect.any(Number) }],
    ]);

    await sh('sync -f file', m.dir);
    expect(recorder.count('syncfs')).toBe(1);

    expect(operations).not.toContain('request DESTROY');
    expect(blocks.ended).toBe(0);
    await m.mount.unmount();
  }
  expect(operations.slice(-2)).toEqual(['request DESTROY', 'reply DESTROY']);
  expect(blocks.ended).toBe(1);
});

kernelTest('an ordinary mount sends none of the three', async () => {
  const recorder = new Recorder(new Blocks());
  const operations: string[] = [];
  {
    await using m = await mounted(recorder.filesystem, {
      trace: (event) => {
        if (event.kind === 'request') operations.push(event.operation);
      },
    });
    await sh('sync -f file', m.dir);
    const script = `say(list(fcntl.ioctl(os.open(P('file'), os.O_RDONLY), 1, struct.pack('i', 0))))`;
    expect(await python(m.dir, script)).toEqual([[0, 0, 0, 0]]); // no block: not asked for
    await m.mount.unmount();
  }
  for (const absent of ['BMAP', 'SYNCFS', 'DESTROY']) expect(operations).not.toContain(absent);
});

kernelTest('a mount of a block device is aborted through its number in fusectl', async () => {
  await using loop = await loopDevice();
  class Hanging extends Blocks {
    override lookup(request: Request, args: Args<'LOOKUP'>) {
      return args.name === 'hang' ? new Promise<never>(() => {}) : super.lookup(request, args);
    }
  }
  await using m = await mounted(new Hanging(), { blkdev: true, fsname: loop.device }, { leaks: false });
  const entry = mountAt(m.dir)!;
  expect(entry.major).toBeGreaterThan(0); // the device's numbers, not an anonymous one's
  expect(existsSync(connectionDirectory(entry))).toBe(true);
  await using client = new Client(m.dir, `say(result(os.stat, P('hang')))`);
  await until(() => m.mount.session.inflight.length === 1, 'a client that hangs');
  m.mount.abort();
  expect(await client.said()).toBe('ECONNABORTED');
  expect((await m.mount.closed).reason).toBe('aborted');
  expect(mountEntries().filter(({ path }) => path === m.dir)).toEqual([]);
});

kernelTest('a block device that is not there is one clear line', async () => {
  const failed = mounted(new Blocks(), { blkdev: true, fsname: '/dev/no-such-device' });
  await expect(failed).rejects.toThrow(/^cannot mount on .*: mount: /);
});
