/**
 * Threads that serve a mount: that all of them do, that what they share stays whole, and every end that one of them, or the
 * process, can have. The filesystem is test/mount/threads/shared-fs.ts.
 */
import { once } from 'node:events';
import { openSync, readdirSync, readFileSync, readlinkSync, rmdirSync } from 'node:fs';
import { expect, vi } from 'vitest';
import { close, socketpair, mount as sysMount } from '../../src/abi/syscall.ts';
import { MemoryFs } from '../../src/fs/index.ts';
import { mount } from '../../src/mount.ts';
import { abortConnection, mountAt } from '../../src/mountinfo.ts';
import type { MountOptions } from '../../src/options.ts';
import type { TraceEvent } from '../../src/protocol/trace.ts';
import { type Hooks, serve } from '../../src/serve.ts';
import { linux } from '../../src/uring/transport-system.ts';
import { forgetUnused, kernelTest, run, sh, start, temporary, until } from '../support.ts';
import { attempt, ServerProcess } from './servers/process.ts';
import type { Behaviour } from './servers/threads.ts';
import { FILES, Files, type SharedFsOptions } from './threads/shared-fs.ts';

const MODULE = new URL('./threads/shared-fs.ts', import.meta.url);
/** What a client of a connection that is over gets. */
const GONE = /Transport endpoint is not connected|Software caused connection abort|connection abort|not connected/iu;

/** Left out where a machine has no ring for mounts; in CI they must run. */
const withRing = process.env.CI === 'true' || linux.enabled() === 'Y';
const transports = withRing ? (['device', 'uring'] as const) : (['device'] as const);
const counts = [1, 2, 'cpus'] as const;
const ways = transports.flatMap((transport) => counts.map((threads) => ({ transport, threads })));

/** A mount of the shared filesystem for a test, with what is to be seen of it. */
async function shared(
  options: MountOptions & Hooks,
  handlers: NonNullable<SharedFsOptions['handlers']> = 'sync',
  module = MODULE,
) {
  const dir = temporary();
  const filesystem: SharedFsOptions = { memory: Files.memory(), handlers };
  const mine = await mount(module, dir, { ...options, filesystem });
  return {
    mine,
    dir,
    files: new Files(filesystem.memory),
    async [Symbol.asyncDispose]() {
      await mine.unmount({ lazy: true });
      await mine.closed;
      rmdirSync(dir);
    },
  };
}

for (const { transport, threads } of ways)
  for (const handlers of threads === 2 ? (['sync', 'async', 'slow'] as const) : (['sync'] as const))
    kernelTest(`${transport}, threads ${threads}, ${handlers} handlers: all serve, and data is whole`, async () => {
      await using m = await shared({ transport, threads }, handlers);
      expect(m.mine.session.transport).toBe(transport);
      expect((await sh('ls | wc -l', m.dir)).trim()).toBe(`${FILES}`);
      // Four clients, each with files of its own, which are written, grown, read back.
      const script = (of: number) =>
        `for round in 1 2 3; do for i in 0 1 2 3 4 5 6 7; do f=f$((8 * ${of} + i)); printf '%s %s %s' ${of} $i $round > $f; [ "$(cat $f)" = "${of} $i $round" ] || { echo bad $f; exit 1; }; done; done`;
      await Promise.all([0, 1, 2, 3].map((of) => sh(script(of), m.dir)));
      const asked = () => sh('for i in 1 2 3 4 5 6 7 8 9; do stat -f . > /dev/null; done', m.dir);
      await until(async () => {
        await Promise.all([asked(), asked(), asked(), asked()]);
        return m.mine.served.every((count) => count > 0);
      }, 'every thread to serve');
      console.log(`${transport}, threads ${threads}, ${handlers}: served ${m.mine.served.join(', ')}`);
      expect(await m.mine.inFlight()).toEqual([]);
    });

for (const { transport, threads } of ways)
  kernelTest(`${transport}, threads ${threads}: every lookup is taken back, to the last one`, async () => {
    await using m = await shared({ transport, threads });
    const look = (turn: number) =>
      sh(`stat ${Array.from({ length: FILES }, (_, i) => `f${(i + turn * 16) % FILES}`).join(' ')} > /dev/null`, m.dir);
    await Promise.all([0, 1, 2, 3].map(look));
    const books = () => Array.from({ length: FILES }, (_, i) => m.files.lookups(i) - m.files.forgets(i));
    expect(m.files.lookups(0)).toBeGreaterThan(0);
    await until(async () => {
      await forgetUnused(m.dir);
      return books().every((left) => left === 0);
    }, 'the kernel to forget all');
  });

for (const transport of transports) {
  kernelTest(`${transport}: an interrupt finds its request, whichever thread has it`, async () => {
    await using m = await shared({ transport, threads: 2 });
    for (let i = 0; i < 6; i++) {
      const asking = attempt('timeout', ['-s', 'INT', '0.3', 'stat', `${m.dir}/interrupted`]);
      await asking;
      await until(async () => (await m.mine.inFlight()).length === 0, 'the request to end');
    }
    expect((await attempt('stat', [`${m.dir}/f0`])).ok).toBe(true);
  });

  kernelTest(`${transport}: what is in flight is seen, a bug told with its operation, a trace has all`, async () => {
    const errors: [unknown, string][] = [];
    const events: TraceEvent[] = [];
    await using m = await shared({
      ...{ transport, threads: 2 },
      onError: (...told) => errors.push(told),
      trace: (event) => events.push(event),
    });
    const hanging = attempt('stat', [`${m.dir}/hang`]);
    await until(async () => (await m.mine.inFlight()).length === 1, 'the request to hang');
    expect(await m.mine.inFlight()).toMatchObject([{ operation: 'LOOKUP', nodeid: 1 }]);
    // The directory is locked by the lookup: another name of it would wait too.
    await m.mine.unmount({ force: true });
    expect((await hanging).err).toMatch(GONE);
    expect(await m.mine.closed).toMatchObject({ reason: 'unmounted' });

    await using n = await shared({ transport, threads: 2, onError: (...told) => errors.push(told) });
    expect((await attempt('stat', [`${n.dir}/bug`])).err).toMatch(/Input\/output error/u);
    await until(() => errors.length === 1, 'the bug to be told');
    expect(errors[0]![0]).toMatchObject({ name: 'TypeError', message: 'a bug' });
    expect(errors[0]![1]).toBe('LOOKUP');
    expect(events.filter(({ kind }) => kind === 'agreed').length).toBe(1);
    expect(events.filter(({ kind }) => kind === 'end').length).toBe(1);
    expect(events.some((each) => each.kind === 'request' && each.operation === 'LOOKUP')).toBe(true);
  });

  kernelTest(`${transport}: a thread notifies, stores and retrieves through the mounting thread`, async () => {
    await using m = await shared({ transport, threads: 2 });
    await sh('stat f0 f2 > /dev/null; true > f1', m.dir);
    for (let i = 0; i < 4; i++) {
      await sh('true > f1; stat notify 2> /dev/null || true', m.dir);
      await until(() => m.files.size(1) === 1, 'the notification to be written');
    }
    await sh('exec 3< f2; printf xxxxxx > f2; true > f1; stat retrieve 2> /dev/null || true; sleep 0.2', m.dir);
    await until(() => m.files.size(1) > 1, 'what was stored to be retrieved');
    expect(m.files.size(1)).toBe(6);
  });

  kernelTest(`${transport}: threads serve over a descriptor that somebody else has mounted`, async () => {
    const dir = temporary();
    const filesystem: SharedFsOptions = { memory: Files.memory() };
    const fd = openSync('/dev/fuse', 'r+');
    sysMount('helper', dir, 'fuse.helper', 0, `fd=${fd},rootmode=40000,user_id=0,group_id=0`);
    const serving = await serve(MODULE, fd, { transport, threads: 2, filesystem });
    await serving.session.ready;
    expect(serving.session.transport).toBe(transport);
    await until(async () => {
      await Promise.all([0, 1, 2, 3].map((of) => sh(`echo ${of} > f${of}; stat -f . > /dev/null`, dir)));
      return serving.served.every((count) => count > 0);
    }, 'every thread to serve');
    expect(new Files(filesystem.memory).size(3)).toBe(2);
    const hanging = attempt('timeout', ['-s', 'INT', '1', 'stat', `${dir}/interrupted`]);
    await until(async () => (await serving.inFlight()).length === 1, 'a request to hang');
    await hanging;
    await run('umount', [dir]);
    expect(await serving.closed).toEqual({ reason: 'unmounted' });
    expect(await run('readlink', [`/proc/${process.pid}/fd/${fd}`]).catch(() => '')).not.toMatch(/fuse/u);
    rmdirSync(dir);
  });

  kernelTest(`${transport}: a filesystem that takes its time to be destroyed is waited for`, async () => {
    const dir = temporary();
    const destroyed = new SharedArrayBuffer(4);
    const filesystem: SharedFsOptions = { memory: Files.memory(), destroyed };
    const mine = await mount(MODULE, dir, { transport, threads: 2, filesystem });
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    let over = false;
    mine.closed.then(() => {
      over = true;
    });
    try {
      const unmounted = mine.unmount();
      await until(() => vi.getTimerCount() > 0, 'the end to be waited for');
      for (let second = 0; second < 30; second++) {
        vi.advanceTimersByTime(1000);
        await mine.inFlight(); // each has said something
      }
      expect(over).toBe(false);
      Atomics.store(new Int32Array(destroyed), 0, 1);
      await unmounted;
      expect(await mine.closed).toEqual({ reason: 'unmounted' });
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
    rmdirSync(dir);
  });

  for (const [what, error] of [
    ['throw', /thread \d of the mount failed: thread \d was told to throw/u],
    ['reject', /thread \d of the mount failed: thread \d was told to reject/u],
    ['exit', /thread \d of the mount failed: it ended with status 3/u],
  ] as const) {
    kernelTest(
      `${transport}: a thread's ${what} in a handler ends the mount with the reason, and its clients`,
      async () => {
        const dir = temporary();
        const filesystem: SharedFsOptions = { memory: Files.memory() };
        const mine = await mount(MODULE, dir, { transport, threads: 2, filesystem });
        const busy = attempt('sh', ['-c', `while stat -f -c %T ${dir} | grep -q fuse; do :; done`]);
        await attempt('stat', [`${dir}/${what}`]);
        const end = await mine.closed;
        expect(end.reason).toBe('failed');
        expect((end.error as Error).message).toMatch(error);
        await busy;
        expect((await run('stat', ['-f', '-c', '%T', dir])).trim()).not.toMatch(/fuse/u);
        rmdirSync(dir);
      },
    );
  }

  for (const [behaviour, signal, ends] of [
    ['serve', 'SIGKILL', { code: null, signal: 'SIGKILL' }],
    ['serve slowly', 'SIGKILL', { code: null, signal: 'SIGKILL' }],
    ['serve', 'SIGINT', { code: 0, signal: null }],
    ['serve slowly', 'SIGINT', { code: 0, signal: null }],
    ['exit', 'SIGUSR2', { code: 7, signal: null }],
    ['exit while slow', 'SIGUSR2', { code: 7, signal: null }],
    ['throw', 'SIGUSR2', { code: 1, signal: null }],
  ] as const satisfies readonly [Behaviour, NodeJS.Signals, object][])
    kernelTest(`${transport}: ${signal} to a process that would ${behaviour}, while clients ask`, async () => {
      await using server = new ServerProcess('threads.ts', [transport, '2', behaviour]);
      await server.says('ready');
      const script = `stat ${server.dir}/f1 > /dev/null && echo asks; while stat ${server.dir}/f1 > /dev/null; do :; done`;
      const asking = [1, 2, 3, 4].map(() => start('sh', ['-c', script]));
      const ended = asking.map((client) => once(client, 'exit'));
      // Not longer: they keep all processors busy.
      await Promise.all(asking.map(({ stdout }) => once(stdout!, 'data')));
      server.process.kill(signal);
      expect(await server.ended()).toEqual(ends);
      await Promise.all(ended);
      if (signal !== 'SIGKILL') expect(server.mounted).toBe(false);
    });
}

/** A mount whose ring the kernel refuses when it has agreed to it already. */
const REFUSED = new URL('./threads/refused-fs.ts', import.meta.url);
const REGISTER = /^REGISTER of entry \d+, queue \d+: EFAULT$/u;
for (const threads of withRing ? counts : [])
  kernelTest(`threads ${threads}: a ring that the kernel refuses is none, and all serve over the device`, async () => {
    const warnings: string[] = [];
    const onWarning = (message: string) => warnings.push(message);
    await using m = await shared({ threads, onWarning }, 'sync', REFUSED);
    expect(m.mine.session).toMatchObject({ transport: 'device', transportReason: expect.stringMatching(REGISTER) });
    expect(warnings).toEqual([expect.stringMatching(/^requests come over \/dev\/fuse: REGISTER/u)]);
    const each = (of: number) =>
      sh(`for i in 1 2 3 4 5 6 7 8; do echo $i > f$((8 * ${of} + $i)); stat -f . > /dev/null; done`, m.dir);
    await until(async () => {
      await Promise.all([0, 1, 2, 3].map(each));
      return m.mine.served.every((count) => count > 0);
    }, 'every thread to serve');
    for (const i of [1, 20, 32]) expect(Buffer.from(m.files.data(i).slice(0, 2)).toString()).toBe(`${i % 8 || 8}\n`);
    expect((await attempt('timeout', ['-s', 'INT', '0.3', 'stat', `${m.dir}/interrupted`])).ok).toBe(false);
    await until(async () => (await m.mine.inFlight()).length === 0, 'the request to end');
    await until(async () => {
      await forgetUnused(m.dir);
      return Array.from({ length: FILES }, (_, i) => m.files.lookups(i) - m.files.forgets(i)).every(
        (left) => left === 0,
      );
    }, 'the kernel to forget all');
    const end = threads === 2 ? 'aborted' : 'unmounted';
    if (end === 'aborted') abortConnection(mountAt(m.dir)!);
    else await m.mine.unmount();
    expect(await m.mine.closed).toEqual({ reason: end });
  });
for (const threads of withRing ? counts : [])
  kernelTest(`threads ${threads}: a ring that the kernel refuses is the end, where it was asked for`, async () => {
    const dir = temporary();
    const filesystem: SharedFsOptions = { memory: Files.memory() };
    await expect(mount(REFUSED, dir, { transport: 'uring', threads, filesystem })).rejects.toThrow(
      /^FUSE over io_uring can't be had: REGISTER of entry \d+, queue \d+: EFAULT$/u,
    );
    rmdirSync(dir);
  });

const MOUNTS = Number(process.env.MOUNTS ?? 6);
kernelTest(
  `${MOUNTS} mounts with threads leave no descriptor, thread or map`,
  async () => {
    const dir = temporary();
    const once = async (i: number) => {
      const { transport, threads } = ways[i % ways.length]!;
      const mine = await mount(MODULE, dir, { transport, threads, filesystem: { memory: Files.memory() } });
      await sh('stat f1 > /dev/null', dir);
      await mine.unmount();
    };
    const left = () => ({
      descriptors: readdirSync('/proc/self/fd').filter((fd) => {
        try {
          return /fuse|eventfd|io_uring/u.test(readlinkSync(`/proc/self/fd/${fd}`));
        } catch {
          return false;
        }
      }).length,
      threads: readdirSync('/proc/self/task').length,
      // Rings, and what V8 does not make: mappings of a page and 2 MiB of an entry's payloads.
      maps: readFileSync('/proc/self/maps', 'utf8')
        .split('\n')
        .filter((line) => /io_uring/u.test(line)).length,
    });
    for (let i = 0; i < ways.length; i++) await once(i);
    const before = left();
    for (let i = 0; i < MOUNTS; i++) await once(i);
    await until(() => left().threads <= before.threads, 'the threads to be gone');
    expect(left()).toEqual(before);
    rmdirSync(dir);
  },
  600_000,
);

kernelTest('a thread that makes no filesystem says why, also where its end is seen in the same turn', async () => {
  const dir = temporary();
  const module = new URL('../../src/fs/passthrough/passthrough-module.ts', import.meta.url);
  const threads = () => readdirSync('/proc/self/task').length;
  // Once, for the threads that stay.
  const why = 'lowerLocks needs one thread, which knows of all locks: threads is 2';
  const mounting = () => mount(module, dir, { threads: 2, filesystem: { source: dir, lowerLocks: true } });
  await expect(mounting()).rejects.toThrow(why);
  const before = threads();
  const refused = expect(mounting()).rejects.toThrow(why);
  await until(() => threads() > before, 'a thread');
  // No turn of ours until it has ended.
  for (let i = 0; threads() > before && i < 1000; i++) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
  await refused;
  rmdirSync(dir);
});

kernelTest('what can not be is refused in one line', async () => {
  const [one, other] = socketpair(1 << 20);
  await expect(serve(MODULE, one)).rejects.toThrow(/^descriptor \d+ is a socket, and threads need \/dev\/fuse/u);
  for (const each of [one, other]) close(each);
  const dir = temporary();
  await expect(mount(new MemoryFs(), dir, { threads: 2 })).rejects.toThrow(
    /^threads is 2, and this filesystem is an object/u,
  );
  await expect(mount(new URL('../../src/abi/errno.ts', import.meta.url), dir)).rejects.toThrow(
    /exports no function as its default/u,
  );
  rmdirSync(dir);
});
