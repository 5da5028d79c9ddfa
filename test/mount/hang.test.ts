/** A server that hangs, and how its clients are freed: by what the watchdog of every mount test does. */
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { MemoryFs } from '../../src/fs/index.ts';
import { connectionDirectory, mountAt } from '../../src/mountinfo.ts';
import { client, kernelTest, mounted, until } from '../support.ts';
import { attempt, ServerProcess } from './servers/process.ts';

const GONE = /Transport endpoint is not connected|Software caused connection abort/;

kernelTest(
  'a server in an endless loop: aborting its connection frees the client, the process goes on spinning',
  async () => {
    await using server = new ServerProcess('server.ts', ['spin']);
    await server.says('spinning');
    let freed = false;
    const asking = attempt('stat', ['-f', server.dir]).finally(() => {
      freed = true;
    });
    const directory = connectionDirectory(mountAt(server.dir)!);
    await until(async () => (await attempt('cat', [`${directory}/waiting`])).out === '1\n', 'a request to wait');
    expect(freed).toBe(false);
    writeFileSync(`${directory}/abort`, '1');
    expect((await asking).err).toMatch(GONE);
    expect(server.process.exitCode).toBe(null);
  },
);

kernelTest(
  'a handler that never answers: the watchdog of the tests aborts, frees the client and fails the test',
  async () => {
    const filesystem = Object.assign(new MemoryFs(), { statfs: () => new Promise<never>(() => {}) });
    let asking: ReturnType<typeof attempt> | undefined;
    const use = async () => {
      await using m = await mounted(filesystem, {}, { watchdog: 1000 });
      asking = attempt('stat', ['-f', m.dir]);
      expect((await asking).err).toMatch(GONE);
      expect(await m.mount.closed).toEqual({ reason: 'aborted' });
    };
    await expect(use()).rejects.toThrow('the watchdog had to abort');
    expect((await asking!).ok).toBe(false);
  },
);

kernelTest('a handler that never answers holds up neither other requests nor timers', async () => {
  const filesystem = Object.assign(new MemoryFs(), { statfs: () => new Promise<never>(() => {}) });
  await using m = await mounted(filesystem, {}, { leaks: false });
  const asking = attempt('stat', ['-f', m.dir]);
  await until(() => m.mount.session.inflight.length === 1, 'STATFS');
  await sleep(1);
  expect(
    await client(m.dir, "fs.writeFileSync(join(dir, 'a'), 'x'); return fs.readFileSync(join(dir, 'a'), 'utf8')"),
  ).toBe('x');
  expect(m.mount.session.inflight).toMatchObject([{ operation: 'STATFS' }]);
  await m.mount.unmount({ force: true });
  expect((await asking).err).toMatch(GONE);
});
