/**
 * A thread that dies in the middle of an operation, alone or with a lock in shared memory that others wait for: the mount
 * ends, with a reason, and so do its clients.
 */
import { rmdirSync } from 'node:fs';
import { expect } from 'vitest';
import { usableCpus } from '../../src/abi/syscall.ts';
import { mount } from '../../src/mount.ts';
import type { End } from '../../src/protocol/transport.ts';
import { kernelTest, run, temporary, until } from '../support.ts';
import { over } from '../transport.ts';
import { attempt, ServerProcess } from './servers/process.ts';
import { allocate } from './shared-memory/module.ts';

const MODULE = new URL('./shared-memory/dying-module.ts', import.meta.url);
/** How long threads wait for a lock in vain, in ms. */
const PATIENCE = 300;
/** What a client of a connection that is over gets. */
const GONE = /Transport endpoint is not connected|Software caused connection abort/u;

/**
 * Clients of a mount: one that looks up `name`, and others that go on asking for the names of a directory, until there is no mount: the
 * thread that has the lock answers EIO, if it is that which gets their request. They go
 * elsewhere because the kernel lets nobody look up another name beside the first one. Each is on a CPU of its own: over a ring only the thread
 * of that CPU gets what it asks.
 */
async function clients(dir: string, name: string) {
  await run('mkdir', [`${dir}/d`]);
  const asking = attempt('stat', [`${dir}/${name}`]);
  const gone = 'endpoint is not connected|connection abort|No such file';
  const ask = `until { ls ${dir}/d && stat ${dir}/d; } 2>&1 | grep -qE '${gone}'; do :; done`;
  const cpus = usableCpus();
  const busy = [0, 1].map((i) => attempt('taskset', ['-c', `${cpus[i % cpus.length]}`, 'sh', '-c', ask]));
  return async () => {
    expect((await asking).err).toMatch(GONE);
    await Promise.all(busy);
  };
}

/** Mounts, has clients look `name` up, and others ask for other names; how the mount ends. */
async function ended(name: string): Promise<End> {
  const dir = temporary();
  const filesystem = { memory: allocate(), patience: PATIENCE };
  const onError = () => {}; // of a thread that goes on: that it waits for its own lock
  const mine = await mount(MODULE, dir, over({ threads: 2, entryTimeout: 600, attrTimeout: 0, filesystem, onError }));
  const gone = await clients(dir, name);
  const end = await mine.closed;
  await gone();
  rmdirSync(dir);
  return end;
}

kernelTest('a thread that hangs with a lock: those who wait for it end the mount, and say who holds it', async () => {
  const { reason, error } = await ended('hold and hang');
  expect(reason).toBe('failed');
  expect((error as Error).message).toMatch(/^thread \d+ has held a lock in shared memory for 0\.3 s/u);
});

for (const [name, why] of [
  ['hold and throw', 'thrown with the lock'],
  ['hold and exit', 'it ended with status 5'],
] as const)
  kernelTest(`a thread that ends by itself (${name}) is the end of the mount`, async () => {
    const { reason, error } = await ended(name);
    expect(reason).toBe('failed');
    expect((error as Error).message).toContain(why);
  });

for (const name of ['hang', 'hold and hang'])
  kernelTest(`a thread that is terminated (${name}) is the end of the mount, or of the process`, async () => {
    await using server = new ServerProcess('dying.ts');
    await server.says('ready');
    const gone = await clients(server.dir, name);
    await server.says('at it');
    server.process.kill('SIGUSR2');
    const end = await server.ended();
    await gone();
    // koffi ends the process with a thread that is stopped while it watches a descriptor: docs/threads.md.
    if (end.signal === null) expect(server.out).toMatch(/^closed: failed: thread \d/mu);
    else expect(end.signal).toBe('SIGABRT');
  });

for (const [name, why] of [
  ['spin', /^closed: failed: thread \d of the mount hangs: it has not come to its event loop for 10 s$/mu],
  ['hold and spin', /^closed: failed: thread \d+ has held a lock in shared memory for 0\.3 s/mu],
] as const)
  kernelTest(
    `a thread in a loop (${name}) is not waited for longer than some seconds at the end of the mount, and ends with the process`,
    async () => {
      await using server = new ServerProcess('dying.ts');
      await server.says('ready');
      const gone = await clients(server.dir, name);
      await server.says('at it');
      if (name === 'spin') server.process.kill('SIGUSR1');
      await until(() => /^closed/mu.test(server.out), 'the end of the mount', 40_000);
      expect(server.out).toMatch(why);
      expect(server.err).toMatch(/thread \d of the mount hangs/u);
      // Nothing holds the process any more. koffi ends it so with a thread that is stopped while a descriptor that it watches has something to tell.
      const { code, signal } = await server.ended();
      expect([0, 'SIGABRT']).toContain(signal ?? code);
      await gone();
    },
    60_000,
  );
