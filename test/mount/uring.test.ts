/** What is the ring's alone on a real kernel: its limit, its ends under load, and that nothing is left of it. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import { SystemError } from '../../src/abi/errno.ts';
import { O_CLOEXEC, O_RDWR } from '../../src/abi/posix.ts';
import { open, mount as sysMount } from '../../src/abi/syscall.ts';
import { MemoryFs } from '../../src/fs/index.ts';
import { abortConnection, mountAt } from '../../src/mountinfo.ts';
import { Session } from '../../src/protocol/session.ts';
import { UringTransport } from '../../src/uring/transport.ts';
import { linux, type TransportSystem } from '../../src/uring/transport-system.ts';
import { kernelTest, mounted, run, sh, temporary, until } from '../support.ts';
import { mountOver } from '../transport.ts';
import { Client, python } from './python.ts';
import { attempt, ServerProcess } from './servers/process.ts';

const MOUNTS = Number(process.env.MOUNTS ?? 200);
/** What a client of a connection that is over gets. */
const GONE = /^(ENOTCONN|ECONNABORTED)$/;

const own = () => ({
  descriptors: readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)].filter((target) => /fuse|io_uring/u.test(target));
    } catch {
      return [];
    }
  }),
  rings: readFileSync('/proc/self/maps', 'latin1')
    .split('\n')
    .filter((line) => line.includes('io_uring')).length,
});

kernelTest(
  `${MOUNTS} mounts, used and unmounted, leave no descriptor, no map and no connection`,
  async () => {
    const dir = temporary();
    const before = own();
    const connections: string[] = [];
    for (let i = 0; i < MOUNTS; i++) {
      const mine = await mountOver(new MemoryFs(), dir);
      connections.push(String(mountAt(dir)!.minor));
      if (i % 20 === 0) await run('touch', [`${dir}/file`]);
      await (i % 3 === 0 ? mine.unmount() : i % 3 === 1 ? mine.unmount({ lazy: true }) : mine.unmount({ force: true }));
      await mine.closed;
      expect(own()).toEqual(before);
    }
    expect(new Set(connections).size).toBeLessThan(MOUNTS / 2); // given out again: they were free
    expect(mountAt(dir)).toBeUndefined();
  },
  60_000 + MOUNTS * 500,
);

/** The session over a descriptor of ours, with a system that lacks something. */
async function without(system: Partial<TransportSystem>, ring: 'must' | 'try') {
  const dir = temporary();
  const fd = open('/dev/fuse', O_RDWR | O_CLOEXEC);
  sysMount('ring', dir, 'fuse', 0, `fd=${fd},rootmode=40000,user_id=0,group_id=0`);
  const session = new Session(new MemoryFs(), { ring });
  const transport = new UringTransport(fd, session, {}, { ...linux, ...system });
  transport.start();
  return {
    dir,
    session,
    async [Symbol.asyncDispose]() {
      await run('umount', ['-l', dir]).catch(() => {});
      await session.closed;
      await session.gone;
      await run('rmdir', [dir]);
    },
  };
}

const faulty: Record<string, [Partial<TransportSystem>, RegExp]> = {
  'its memory can not be had': [
    {
      reserve: () => {
        throw new SystemError(12, 'mmap');
      },
    },
    /^mmap: /u,
  ],
  'there is no io_uring': [
    {
      ring: () => {
        throw new Error('io_uring is switched off');
      },
    },
    /^io_uring is switched off$/u,
  ],
};
for (const [name, [system, reason]] of Object.entries(faulty))
  kernelTest(`where ${name} the flag is withdrawn, and the mount works over the device`, async () => {
    await using m = await without(system, 'try');
    const { agreed } = await m.session.ready;
    expect(agreed.has('OVER_IO_URING')).toBe(false);
    expect(m.session.transport).toBe('device');
    expect(m.session.transportReason).toMatch(reason);
    expect(await sh('echo text > a; cat a', m.dir)).toBe('text\n');
  });

kernelTest('more wait for a lock than there may be: the others are refused, and the filesystem goes on', async () => {
  const fs = new MemoryFs();
  const warnings: string[] = [];
  await using m = await mounted(fs, {
    ...{ ringDepth: 2, ringLimit: 6 },
    onWarning: (message) => warnings.push(message),
  });
  await fs.files.writeFile('f', '');
  const LOCKERS = 40;
  await using lockers = new Client(
    m.dir,
    `
import threading
holder = os.open(P('f'), os.O_RDWR)
fcntl.flock(holder, fcntl.LOCK_EX)
def lock(results):
    file = os.open(P('f'), os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        results.append('locked')
    except OSError as error:
        results.append(errno.errorcode[error.errno])
    os.close(file)
results = []
threads = [threading.Thread(target=lock, args=(results,)) for _ in range(${LOCKERS})]
for each in threads: each.start()
while len(results) < ${LOCKERS} - 12: time.sleep(0.01)
say('full')
told()
fcntl.flock(holder, fcntl.LOCK_UN)
for each in threads: each.join()
say([results.count('locked'), results.count('ENOLCK')])`,
  );
  expect(await lockers.said()).toBe('full');
  // From both CPUs there is an answer.
  for (const cpu of [0, 1])
    expect(await run('taskset', ['-c', String(cpu), 'sh', '-c', `cd ${m.dir}; echo x > g${cpu}; cat g${cpu}`])).toBe(
      'x\n',
    );
  lockers.tell();
  const [locked, refused] = (await lockers.said()) as [number, number];
  expect(locked).toBeGreaterThan(0);
  expect(locked + refused).toBe(LOCKERS);
  expect(fs.locks.waiting).toBe(0);
  expect(warnings.filter((each) => each.includes('ENOLCK'))).toHaveLength(1);
});

/** Clients that ask for as long as they get answers: what ended each of them. */
const LOAD = `
import threading
ends, times = [], []
root = os.open(DIR, os.O_RDONLY) # detached, the path is another directory's
def ask():
    try:
        while True:
            os.statvfs(root)
            try: os.stat('absent', dir_fd=root)
            except FileNotFoundError: pass
    except OSError as error:
        times.append(time.time())
        ends.append(errno.errorcode[error.errno])
threads = [threading.Thread(target=ask) for _ in range(4)]
for each in threads: each.start()
say('asking')
for each in threads: each.join()
say(ends)
say(max(times) * 1000)`;

const ends: Record<string, (server: ServerProcess) => unknown> = {
  'an abort': (server) => abortConnection(mountAt(server.dir)!),
  'kill -9': (server) => server.process.kill('SIGKILL'),
  'umount -f': (server) => attempt('umount', ['-f', server.dir]),
  'a server that exits': (server) => server.process.kill('SIGUSR2'),
};
for (const [name, end] of Object.entries(ends))
  kernelTest(`${name} in the midst of requests: every client is told that it is over, and none hangs`, async () => {
    const kernel = await warnings();
    await using server = new ServerProcess('server.ts', ['serve']);
    await server.says('ready');
    await using clients = new Client(server.dir, LOAD);
    expect(await clients.said()).toBe('asking');
    await sleep(50);
    const began = Date.now();
    await end(server);
    const told = (await clients.said()) as string[];
    const took = ((await clients.said()) as number) - began;
    console.log(`${name}: the last of four clients knew after ${took.toFixed(0)} ms`);
    expect(took, 'a second, and what a busy machine adds').toBeLessThan(4000);
    expect(told).toHaveLength(4);
    // A request may have been on its way to a ring that is gone with its process.
    for (const each of told) expect(each).toMatch(name === 'kill -9' ? /^(ENOTCONN|ECONNABORTED|ECANCELED)$/ : GONE);
    expect(await warnings()).toEqual(kernel);
  });

kernelTest('umount -l under load: who is inside goes on, and it ends with the last', async () => {
  await using m = await mounted(new MemoryFs(), {}, { leaks: false });
  await using inside = new Client(
    m.dir,
    `
os.chdir(DIR)
say('in')
told()
for i in range(200):
    open('f%d' % i, 'w').close()
    os.unlink('f%d' % i)
os.chdir('/')
say('out')`,
  );
  expect(await inside.said()).toBe('in');
  inside.tell();
  await run('umount', ['-l', m.dir]);
  expect(await inside.said()).toBe('out');
  expect(await m.mount.closed).toEqual({ reason: 'unmounted' });
});

kernelTest('a request that waits in its entry ends with the connection, whatever its handler does', async () => {
  const filesystem = Object.assign(new MemoryFs(), { read: () => new Promise<never>(() => {}) });
  await filesystem.files.writeFile('f', 'text');
  await using m = await mounted(filesystem, { directIo: true }, { leaks: false });
  await using client = new Client(m.dir, `say(result(lambda: slurp('f')))`);
  await until(() => m.mount.session.inflight.length === 1, 'the READ');
  m.mount.abort();
  expect(await client.said()).toMatch(GONE);
  await m.mount.closed;
});

kernelTest(
  'a RETRIEVE and an xattr are as large as they can be, and the kernel has nothing to complain of',
  async () => {
    const before = await warnings();
    const filesystem = new MemoryFs();
    await filesystem.files.writeFile('f', Buffer.alloc(2 << 20, 'x'));
    await using m = await mounted(filesystem, { maxWrite: 4096 });
    const [size] = await python(
      m.dir,
      `
slurp('f')
os.setxattr(P('f'), 'user.' + 'n' * 200, b'v' * 65536)
say(len(os.getxattr(P('f'), 'user.' + 'n' * 200)))`,
    );
    expect(size).toBe(65536);
    const { data } = await m.mount.session.notify.retrieve(2, 0, 1 << 20);
    expect(data.length).toBeLessThanOrEqual(128 << 10);
    expect(await warnings()).toEqual(before);
  },
);

/** What the kernel has warned of in its FUSE or io_uring. Nothing, where its log may not be read. */
async function warnings(): Promise<string[]> {
  try {
    const { stdout } = await promisify(execFile)('dmesg', { maxBuffer: 64 << 20 });
    return stdout.split('\n').filter((line) => /WARNING:|BUG:|unique mismatch|entry teardown/u.test(line));
  } catch {
    return [];
  }
}
