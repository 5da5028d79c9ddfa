/**
 * poll, select and epoll on a mount of files that tell of changes: a setting of the kernel's, whose news ends for who has asked, and a
 * cgroup's state, whose news ends for who has read. Both are files without a size, so the mount is one of direct I/O.
 */
import { accessSync, constants, mkdirSync, rmdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { POLLERR, POLLPRI } from '../../src/abi/posix.ts';
import { kernelTest, until } from '../support.ts';
import { TRANSPORT } from '../transport.ts';
import { passthrough } from './passthrough.ts';
import { Client } from './python.ts';

/**
 * Opens a file on each CPU in turn, and waits there: by poll, by select, by epoll, and by an epoll that is told of edges. Before
 * each it says what came without a change, and then what came.
 */
const WATCH = (name: string) => `
fd = None
def poll(timeout):
    it = select.poll()
    it.register(fd, select.POLLPRI)
    return [events for _, events in it.poll(timeout)]
def by_select(timeout):
    return [${POLLPRI | POLLERR}] if select.select([], [], [fd], timeout / 1000 if timeout >= 0 else None)[2] else []
def epoll(flags):
    def wait(timeout):
        with select.epoll() as it:
            it.register(fd, select.EPOLLPRI | flags)
            return [events for _, events in it.poll(timeout / 1000 if timeout >= 0 else None)]
    return wait
cpus = sorted(os.sched_getaffinity(0))
for i, way in enumerate((poll, by_select, epoll(0), epoll(select.EPOLLET))):
    os.sched_setaffinity(0, {cpus[i % len(cpus)]})
    fd = os.open(P('${name}'), os.O_RDONLY)
    os.read(fd, 4096)
    way(0) # what came before
    os.pread(fd, 4096, 0)
    say(way(20))
    say(way(-1))
    os.close(fd)
`;

/**
 * Sees that who waits is woken by a change, and with `silent` that before the first one nobody is. Somebody else may change the same.
 * `change` is Python, run in a process of its own as often as needed.
 */
async function wakes(dir: string, name: string, change: string, silent: boolean): Promise<void> {
  await using changer = new Client(dir, change);
  await using client = new Client(dir, WATCH(name));
  for (let way = 0; way < 4; way++) {
    const before = await client.said();
    if (silent && way === 0) expect(before, 'before the change').toEqual([]);
    // It may not be asleep yet; then there is another change.
    let said = false;
    const woken = client.said().then((value) => {
      said = true;
      return value;
    });
    await until(async () => {
      changer.tell('change');
      await changer.said();
      await new Promise((resolve) => setTimeout(resolve, 20));
      return said;
    }, `way ${way} to be woken`);
    expect(await woken, `way ${way}`).toEqual([POLLPRI | POLLERR]);
  }
  expect(await client.exited).toBe('0');
}

for (const threads of [undefined, availableParallelism()])
  kernelTest(`a change wakes who polls, ${threads === undefined ? 'by one thread' : 'by a thread a CPU'}`, async () => {
    const mount = { directIo: true, ...(threads === undefined ? {} : { threads }) };
    await using m = await passthrough({ source: '/proc/sys/kernel', mount });
    // In a namespace of its own, and told of everywhere.
    const change = `
import socket
C('unshare', 0x04000000)                                   # CLONE_NEWUTS
while told():
    socket.sethostname('rawfuse-test')
    say('changed')
`;
    await wakes(m.dir, 'hostname', change, false);
  });

/** Where cgroups of version 2 are, which there may be none of. */
const CGROUPS = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'].find((dir) => {
  try {
    accessSync(join(dir, 'cgroup.procs'), constants.W_OK);
    return true;
  } catch {
    return false;
  }
});
/** Once is enough. */
if (TRANSPORT === 'device')
  kernelTest('a cgroup that empties and fills wakes who polls, and is silent to who has read', async () => {
    if (CGROUPS === undefined) return console.log('no cgroups of version 2 here');
    const source = join(CGROUPS, `rawfuse-test-${process.pid}`);
    mkdirSync(source);
    try {
      await using m = await passthrough({ source, mount: { directIo: true } });
      const change = `
while told():
    pid = os.fork()
    if pid == 0:
        with open('${source}/cgroup.procs', 'w') as f: f.write(str(os.getpid()))
        os._exit(0)
    os.waitpid(pid, 0)
    say('changed')
`;
      await wakes(m.dir, 'cgroup.events', change, true);
    } finally {
      await until(() => {
        try {
          rmdirSync(source);
          return true;
        } catch {
          return false; // who was in there is not all gone
        }
      }, 'the cgroup to be empty');
    }
  });
