/** Every end that a mount can have: from inside, from outside, by force, with its process. */
import { once } from 'node:events';
import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { MNT_DETACH } from '../../src/abi/posix.ts';
import { mount as sysMount, umount2 } from '../../src/abi/syscall.ts';
import { MemoryFs } from '../../src/fs/index.ts';
import type { Mount } from '../../src/mount.ts';
import { abortConnection, mountAt, mountEntries } from '../../src/mountinfo.ts';
import { client, kernelTest, lacking, mounted, run, start, temporary, until } from '../support.ts';
import { KERNEL_DIFFERS, mountOver } from '../transport.ts';
import { attempt, ServerProcess } from './servers/process.ts';
import type { Behaviour } from './servers/server.ts';

/** What a client of a connection that is over gets. */
const GONE = /Transport endpoint is not connected|Software caused connection abort/;

/** A directory inside of which a client sits, so that the mount is busy. */
async function busy(dir: string) {
  const sitter = start('sh', ['-c', `cd ${dir}; echo sits; exec sleep 100`]);
  await once(sitter.stdout!, 'data');
  return {
    async leave() {
      sitter.kill('SIGKILL');
      if (sitter.exitCode === null && sitter.signalCode === null) await once(sitter, 'exit');
    },
  };
}

let dir = '';
beforeAll(() => {
  dir = temporary();
});
afterAll(() => {
  if (lacking === undefined) expect(mountAt(dir)).toBeUndefined();
  rmdirSync(dir);
});

/** A bare mount at `dir`: these tests are about its end, which `mounted` would see to. */
const bare = (): Promise<Mount> => mountOver(new MemoryFs(), dir);

const outside: Record<string, readonly string[]> = {
  umount: ['umount'],
  'umount -l': ['umount', '-l'],
  'umount -f': ['umount', '-f'],
  'fusermount3 -u': ['fusermount3', '-u'],
};
for (const [name, [program, ...args]] of Object.entries(outside))
  kernelTest(`unmounted from outside by ${name}: closed says so`, async () => {
    const mine = await bare();
    await run(program!, [...args, dir]);
    expect(await mine.closed).toEqual({ reason: 'unmounted' });
    expect(mountAt(dir)).toBeUndefined();
  });

kernelTest('unmount() from inside: closed says unmounted, and a second time does nothing', async () => {
  const mine = await bare();
  await mine.unmount();
  expect(await mine.closed).toEqual({ reason: 'unmounted' });
  await mine.unmount();
  await mine.unmount({ force: true });
});

kernelTest('destroy is called once, before closed resolves, however the mount ends', async () => {
  const ends: Record<string, (mine: Mount) => unknown> = {
    unmount: (mine) => mine.unmount(),
    lazy: (mine) => mine.unmount({ lazy: true }),
    force: (mine) => mine.unmount({ force: true }),
    abort: (mine) => mine.abort(),
    'from outside': () => run('umount', [dir]),
  };
  for (const [name, end] of Object.entries(ends)) {
    let destroyed = 0;
    const mine = await mountOver(Object.assign(new MemoryFs(), { destroy: () => void destroyed++ }), dir);
    await end(mine);
    await mine.closed;
    expect(destroyed, name).toBe(1);
  }
});

kernelTest('a busy mount: unmount() is EBUSY and changes nothing', async () => {
  await using m = await mounted(new MemoryFs());
  const sitter = await busy(m.dir);
  await expect(m.mount.unmount()).rejects.toMatchObject({ code: 'EBUSY' });
  expect(await client(m.dir, 'return fs.readdirSync(dir)')).toEqual([]);
  await sitter.leave();
});

kernelTest('a busy mount: lazy detaches it and serves on until the last user is gone', async () => {
  const mine = await bare();
  const opener = start(
    process.execPath,
    [
      '-e',
      `const fs = require('node:fs'); const fd = fs.openSync(process.argv[1], 'w+'); console.log('open');
     process.stdin.once('data', () => { fs.writeSync(fd, 'still here'); console.log(fs.readFileSync('/proc/self/fd/' + fd, 'utf8')); process.exit(); });`,
      join(dir, 'file'),
    ],
    { stdin: true },
  );
  let out = '';
  opener.stdout!.on('data', (text) => {
    out += text;
  });
  await until(() => out === 'open\n', 'the file to be open');
  await mine.unmount({ lazy: true });
  expect(mountAt(dir)).toBeUndefined();
  let over = false;
  mine.closed.then(() => {
    over = true;
  });
  opener.stdin!.write('\n');
  await once(opener, 'exit');
  expect(out).toBe('open\nstill here\n');
  expect(await mine.closed).toEqual({ reason: 'unmounted' });
  await until(() => over, 'closed');
});

kernelTest('a busy mount: force fails what is in flight and detaches it', async () => {
  const mine = await mountOver(Object.assign(new MemoryFs(), { statfs: () => new Promise<never>(() => {}) }), dir);
  const asking = attempt('stat', ['-f', dir]);
  await until(() => mine.session.inflight.length > 0, 'STATFS');
  const sitter = await busy(dir);
  await mine.unmount({ force: true });
  expect(mountAt(dir)).toBeUndefined();
  expect(await mine.closed).toEqual({ reason: 'unmounted' });
  expect((await asking).err).toMatch(GONE);
  await sitter.leave();
});

kernelTest(
  'umount -f of a busy mount aborts it and says busy: the dead mount is detached, closed says aborted',
  async () => {
    const mine = await bare();
    const sitter = await busy(dir);
    expect((await attempt('umount', ['-f', dir])).ok).toBe(false);
    expect(await mine.closed).toEqual({ reason: 'aborted' });
    expect(mountAt(dir)).toBeUndefined();
    await sitter.leave();
  },
);

kernelTest('abort(): closed says aborted, and nothing stays mounted', async () => {
  const mine = await bare();
  mine.abort();
  mine.abort();
  expect(await mine.closed).toEqual({ reason: 'aborted' });
  expect(mountAt(dir)).toBeUndefined();
});

kernelTest('aborted through fusectl: closed says aborted, and nothing stays mounted', async () => {
  const mine = await bare();
  abortConnection(mountAt(dir)!);
  expect(await mine.closed).toEqual({ reason: 'aborted' });
  expect(mountAt(dir)).toBeUndefined();
});

kernelTest('await using unmounts at the end of the block, though it is busy', async () => {
  let closed: Mount['closed'];
  let sitter: Awaited<ReturnType<typeof busy>>;
  {
    await using mine = await bare();
    closed = mine.closed;
    sitter = await busy(dir);
  }
  expect(mountAt(dir)).toBeUndefined();
  await sitter.leave();
  expect(await closed).toEqual({ reason: 'unmounted' });
});

kernelTest('two mounts of one process live and end apart', async () => {
  await using one = await mounted(new MemoryFs(), {}, { leaks: false });
  {
    await using two = await mounted(new MemoryFs());
    await run('cp', ['/proc/version', join(one.dir, 'version')]);
    await run('cp', [join(one.dir, 'version'), join(two.dir, 'copy')]);
    expect(await client(two.dir, 'return fs.readdirSync(dir)')).toEqual(['copy']);
  }
  expect(await client(one.dir, 'return fs.readdirSync(dir)')).toEqual(['version']);
});

kernelTest('a directory is mounted again and again', async () => {
  for (let i = 0; i < 5; i++) {
    const mine = await bare();
    await run('touch', [join(dir, 'file')]);
    await mine.unmount();
  }
  expect(await client(dir, 'return fs.readdirSync(dir)')).toEqual([]);
});

kernelTest("another's mount on top of ours is never detached", async () => {
  const mine = await bare();
  await run('mount', ['-t', 'tmpfs', 'tmpfs', dir]);
  const top = mountAt(dir);
  for (const how of [{}, { lazy: true }]) await expect(mine.unmount(how)).rejects.toMatchObject({ code: 'EBUSY' });
  expect(mountAt(dir)).toEqual(top);
  const warnings: string[] = [];
  mine.session.warn = (message) => void warnings.push(message);
  mine.abort();
  expect(await mine.closed).toEqual({ reason: 'aborted' });
  expect(mountAt(dir)).toEqual(top);
  expect(warnings).toEqual([`${dir} stays behind as a dead mount, under another mount`]);
  await run('umount', [dir]);
  await run('umount', [dir]); // ours, dead
});

kernelTest('two of ours at one directory end in any order', async () => {
  const below = await bare();
  const above = await bare();
  await expect(below.unmount()).rejects.toMatchObject({ code: 'EBUSY' });
  await above.unmount();
  await below.unmount();
});

kernelTest('a mount that took our place, with our numbers, is not taken for ours', async () => {
  const numbers = ({ id, major, minor } = mountAt(dir)!) => `${id} ${major}:${minor}`;
  // The kernel gives the same numbers out again, unless somebody else on this machine mounts in between.
  for (let same = false, tries = 0; !same; tries++) {
    expect(tries).toBeLessThan(20);
    const mine = await bare();
    const before = numbers();
    await mine.unmount();
    const other = await bare();
    same = numbers() === before;
    await mine.unmount({ force: true });
    mine.abort();
    await mine[Symbol.asyncDispose]();
    expect(mountAt(dir), 'the mount in our place').toBeDefined();
    await run('touch', [join(dir, 'file')]); // in it, or the directory below would not be empty at the end
    await other.unmount();
  }
});

kernelTest('a mount that took our place while we were ending it is not detached', async () => {
  const numbers = ({ id, major, minor } = mountAt(dir)!) => `${id} ${major}:${minor}`;
  // Until it has our numbers too, which the kernel gives out again when it may.
  for (let same = false, tries = 0; !same && tries < 20; tries++) {
    const mine = await bare();
    const before = numbers();
    // Between two looks of ours: no turn of the loop in which the session could hear of its end. Neither call asks it anything.
    umount2(dir, MNT_DETACH);
    sysMount('other', dir, 'tmpfs', 0, '');
    same = numbers() === before;
    await mine.unmount({ force: true });
    expect(await mine.closed).toEqual({ reason: 'unmounted' });
    expect(mountAt(dir)).toMatchObject({ source: 'other' });
    await run('umount', [dir]);
  }
});

kernelTest('a mount that was moved is found at its new place', async () => {
  const place = temporary();
  await run('mount', ['-t', 'tmpfs', 'tmpfs', place]);
  await run('mount', ['--make-private', place]);
  mkdirSync(join(place, 'from'));
  mkdirSync(join(place, 'to'));
  const mine = await mountOver(new MemoryFs(), join(place, 'from'));
  await run('mount', ['--move', join(place, 'from'), join(place, 'to')]);
  await mine.unmount();
  expect(await mine.closed).toEqual({ reason: 'unmounted' });
  expect(mountEntries().filter(({ path }) => path.startsWith(`${place}/`))).toEqual([]);
  await run('umount', [place]);
  rmdirSync(place);
});

// With the process.

const ends: readonly [Behaviour, number][] = [
  ['exit', 0],
  ['throw', 1],
  ['exit while notifying', 0],
  ['throw while notifying', 1],
  ['exit while lazily unmounted', 0],
];
for (const [behaviour, code] of ends)
  kernelTest(`a server's end by ${behaviour}: it ends with ${code} and leaves no mount`, async () => {
    await using server = new ServerProcess('server.ts', [behaviour]);
    await server.says('ready');
    const looking = behaviour.includes('while') ? attempt('stat', [join(server.dir, 'never')]) : undefined;
    expect(await server.ended()).toEqual({ code, signal: null });
    expect(server.mounted).toBe(false);
    expect(server.err.includes('thrown on purpose')).toBe(code === 1);
    if (looking === undefined) return;
    expect(server.out).toContain('notifying\n');
    expect((await looking).err).toMatch(GONE);
  });

kernelTest(
  'exit while notifying over a descriptor that somebody else mounted: it ends, and leaves the mount to its owner',
  async () => {
    await using server = new ServerProcess('server.ts', ['exit while notifying', 'descriptor']);
    await server.says('ready');
    const looking = attempt('stat', [join(server.dir, 'never')]);
    expect(await server.ended()).toEqual({ code: 0, signal: null });
    expect(server.out).toContain('notifying\n');
    expect((await looking).err).toMatch(GONE);
    expect(server.mounted).toBe(true);
  },
);

for (const behaviour of ['exit while notifying', 'throw while notifying'] as const)
  kernelTest(`${behaviour} where fusectl is not mounted: the process ends all the same`, async () => {
    const wrap = ['unshare', '-m', 'sh', '-c', 'umount /sys/fs/fuse/connections; exec "$@"', 'sh'];
    await using server = new ServerProcess('server.ts', [behaviour], wrap);
    await server.says('ready');
    expect(server.mounted).toBe(false); // in its own namespace alone
    const inside = ['-t', String(server.process.pid), '-m'];
    const looking = attempt('nsenter', [...inside, 'stat', join(server.dir, 'never')]);
    expect(await server.ended()).toMatchObject({ signal: null });
    expect(server.out).toContain('notifying\n');
    expect((await looking).err).toMatch(GONE);
  });

kernelTest(
  'kill -9: a client that waits and one that comes later get ENOTCONN, and mount() names the dead mount',
  async () => {
    await using server = new ServerProcess('server.ts', ['serve']);
    await server.says('ready');
    const waiting = attempt('stat', [join(server.dir, 'never')]);
    await server.says('stuck');
    server.process.kill('SIGKILL');
    expect((await waiting).err).toMatch(GONE);
    expect((await attempt('ls', [server.dir])).err).toMatch(KERNEL_DIFFERS.dead);
    await expect(mountOver(new MemoryFs(), server.dir)).rejects.toMatchObject({
      reason: 'dead-mount',
      message: `${server.dir} is a dead mount, its server is gone: clean it with rawfuse unmount ${server.dir}`,
    });
  },
);

kernelTest('SIGTERM without a handler of its own runs no exit hook: the mount stays behind, dead', async () => {
  await using server = new ServerProcess('server.ts', ['serve']);
  await server.says('ready');
  server.process.kill('SIGTERM');
  expect(await server.ended()).toEqual({ code: null, signal: 'SIGTERM' });
  expect(server.mounted).toBe(true);
  expect((await attempt('ls', [server.dir])).err).toMatch(KERNEL_DIFFERS.dead);
});
