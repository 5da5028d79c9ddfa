/**
 * What the POSIX table can't say of locks and of poll: ten thousand that wait at once, what is left in the server's
 * tables when clients end in any way, and who is woken when a file changes.
 */
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { MemoryFs } from '../../src/fs/index.ts';
import { kernelTest, lacking, mounted, run, start, temporary, until } from '../support.ts';
import { KERNEL_DIFFERS } from '../transport.ts';
import { Client } from './python.ts';

const MANY = KERNEL_DIFFERS.waiters;
/** In ms: ten thousand threads take some seconds, more on a busy machine. */
const LONG = 120_000;
const LONG_WATCHDOG = { watchdog: 110_000 };

/**
 * One thread per lock, each with an open file of its own: no owner but open files is as cheap as that.
 * The first holds the lock until a line comes. The others wait for it; who gets it alone looks whether it is alone, who shares it
 * stays until all have it. Says what happened.
 */
const CROWD = String.raw`
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

static const char *path;
static int flocks, shared;
static atomic_int inside, granted, together, failed;
static pthread_barrier_t all;

static void die(const char *what) { perror(what); exit(1); }

static int take(int exclusive) {
  int fd = open(path, O_RDWR);
  if (fd < 0) die("open");
  struct flock whole = { .l_type = exclusive ? F_WRLCK : F_RDLCK };
  int result = flocks ? flock(fd, exclusive ? LOCK_EX : LOCK_SH) : fcntl(fd, F_OFD_SETLKW, &whole);
  if (result < 0) failed++;
  return fd;
}

static void *one(void *unused) {
  int fd = take(!shared);
  granted++;
  if (inside++ > 0) together++;
  if (shared) pthread_barrier_wait(&all);
  inside--;
  if (close(fd) < 0) die("close");
  return unused;
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  path = argv[1];
  int many = atoi(argv[2]);
  flocks = strcmp(argv[3], "flock") == 0;
  shared = strcmp(argv[4], "shared") == 0;
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &files) < 0) die("setrlimit");
  pthread_barrier_init(&all, NULL, many);
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 64 << 10);
  pthread_t *threads = calloc(many, sizeof *threads);
  int holder = take(1);
  for (int i = 0; i < many; i++)
    if ((errno = pthread_create(&threads[i], &small, one, NULL)) != 0) die("pthread_create");
  if (getchar() == EOF) return 3;
  if (close(holder) < 0) die("close");
  for (int i = 0; i < many; i++) pthread_join(threads[i], NULL);
  printf("granted %d failed %d together %s\n", granted, failed, together > 0 ? "yes" : "no");
  return 0;
}
`;

let build: string;
let crowd: string;
beforeAll(async () => {
  if (lacking !== undefined) return;
  build = temporary();
  crowd = join(build, 'crowd');
  writeFileSync(`${crowd}.c`, CROWD);
  await run('cc', ['-O2', '-Wall', '-Wextra', '-Werror', '-pthread', '-o', crowd, `${crowd}.c`]);
});
afterAll(() => {
  if (build) rmSync(build, { recursive: true });
});

/** A mounted MemoryFs with a file `f`, and the client's many threads waiting for its lock. */
async function crowded(kind: 'record' | 'flock', how: 'exclusive' | 'shared') {
  const fs = new MemoryFs();
  const m = await mounted(fs, {}, LONG_WATCHDOG);
  await fs.files.writeFile('f', '');
  const client = start(crowd, [join(m.dir, 'f'), String(MANY), kind, how], { stdin: true });
  let said = '';
  client.stdout!.on('data', (chunk) => (said += chunk));
  client.stderr!.on('data', (chunk) => (said += chunk));
  const ended = once(client, 'close');
  await until(() => fs.locks.waiting === MANY || client.exitCode !== null, `${MANY} locks that wait`, LONG);
  expect([said, fs.locks.waiting, fs.locks.held]).toEqual(['', MANY, 1]);
  return {
    fs,
    client,
    ended,
    said: () => said,
    async [Symbol.asyncDispose]() {
      client.kill('SIGKILL');
      await ended;
      await m[Symbol.asyncDispose]();
    },
  };
}
/** RELEASE comes after close has returned. */
const empty = (fs: MemoryFs) =>
  until(() => fs.locks.held === 0 && fs.locks.waiting === 0 && fs.opened === 0, 'no locks');

for (const [kind, how, expected] of [
  ['record', 'exclusive', `granted ${MANY} failed 0 together no\n`],
  ['record', 'shared', `granted ${MANY} failed 0 together yes\n`],
  ['flock', 'exclusive', `granted ${MANY} failed 0 together no\n`],
  ['flock', 'shared', `granted ${MANY} failed 0 together yes\n`],
] as const)
  kernelTest(
    `${MANY} wait for a lock, ${kind}, ${how}, and all get it`,
    async () => {
      await using c = await crowded(kind, how);
      c.client.stdin!.write('\n');
      await c.ended;
      expect(c.said()).toBe(expected);
      await empty(c.fs);
      c.fs.check();
    },
    LONG,
  );

kernelTest(
  `a client with ${MANY} locks that wait is killed`,
  async () => {
    await using c = await crowded('record', 'exclusive');
    c.client.kill('SIGKILL');
    expect((await c.ended)[1]).toBe('SIGKILL');
    await empty(c.fs);
    c.fs.check();
  },
  LONG,
);

/** Opens a file and takes its lock, waiting if need be, by the function of one kind; says so, and stays. */
const taking = (kind: 'process' | 'open file' | 'flock'): string => `
fd = os.open(P('f'), os.O_RDWR)
whole = struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0)
say('begins')
${{ process: 'fcntl.fcntl(fd, fcntl.F_SETLKW, whole)', 'open file': 'fcntl.fcntl(fd, 38, whole)', flock: 'fcntl.flock(fd, fcntl.LOCK_EX)' }[kind]}
say('has it')
told()
`;

for (const kind of ['process', 'open file', 'flock'] as const)
  kernelTest(`${kind}: a kill ends the locks of who holds them, and the wait of who waits`, async () => {
    const fs = new MemoryFs();
    await using m = await mounted(fs);
    await fs.files.writeFile('f', '');
    await using holder = new Client(m.dir, taking(kind));
    expect([await holder.said(), await holder.said()]).toEqual(['begins', 'has it']);
    await using killed = new Client(m.dir, taking(kind));
    await until(() => fs.locks.waiting === 1, 'one that waits');
    await using next = new Client(m.dir, taking(kind));
    await until(() => fs.locks.waiting === 2, 'two that wait');

    killed.kill('SIGKILL');
    expect(await killed.exited).toBe('SIGKILL');
    expect([fs.locks.held, fs.locks.waiting]).toEqual([1, 1]);
    fs.check();
    holder.kill('SIGKILL');
    expect([await next.said(), await next.said()]).toEqual(['begins', 'has it']);
    expect([fs.locks.held, fs.locks.waiting]).toEqual([1, 0]);
    next.kill('SIGKILL');
    await empty(fs);
    expect([await holder.exited, await next.exited]).toEqual(['SIGKILL', 'SIGKILL']);
  });

kernelTest('an unmount with locks held and waited for leaves none', async () => {
  const fs = new MemoryFs();
  const m = await mounted(fs, {}, { leaks: false });
  await fs.files.writeFile('f', '');
  await using holder = new Client(m.dir, taking('process'));
  expect([await holder.said(), await holder.said()]).toEqual(['begins', 'has it']);
  await using waiter = new Client(m.dir, taking('process'));
  await until(() => fs.locks.waiting === 1, 'one that waits');
  await m.mount.unmount({ force: true });
  await m[Symbol.asyncDispose]();
  expect([fs.locks.held, fs.locks.waiting]).toEqual([0, 0]);
  expect(await waiter.exited).toBe('1');
});

/**
 * Opens a file, and at each line waits for POLLPRI alone and says what came, then reads, and says what comes at once. The
 * read may cause no READ: the kernel answers itself from the page cache, and for a file that it knows to be empty.
 */
const WATCH = `
fd = os.open(P('f'), os.O_RDONLY)
def watch(timeout=-1):
    it = select.poll()
    it.register(fd, select.POLLPRI)
    return [events for _, events in it.poll(timeout)]
say('open')
while told():
    say(watch())
    os.pread(fd, 4096, 0)
    say(watch(0))
`;
/** A filesystem with a file `f`, and how many polls wait for it. */
async function watched() {
  const fs = new MemoryFs();
  await fs.files.writeFile('f', 'old');
  const node = fs.nodes.get(fs.files.nodeid('f'));
  return { fs, asleep: () => node.waiting?.size ?? 0 };
}

kernelTest('a poll for POLLPRI alone wakes whenever the content has changed, and not before', async () => {
  const { fs, asleep } = await watched();
  await using m = await mounted(fs);
  await using watcher = new Client(m.dir, WATCH);
  await using writer = new Client(
    m.dir,
    `
while True:
    exec(told())
    say('done')
`,
  );
  expect(await watcher.said()).toBe('open');
  const changes = [
    `os.write(os.open(P('f'), os.O_WRONLY), b'new')`,
    `os.truncate(P('f'), 1)`,
    `os.posix_fallocate(os.open(P('f'), os.O_WRONLY), 0, 100)`,
    `os.open(P('f'), os.O_WRONLY | os.O_TRUNC)`,
  ];
  for (const change of changes) {
    watcher.tell();
    await until(() => asleep() === 1, `a poll that waits, before ${change}`);
    for (const other of [`os.chmod(P('f'), 0o600)`, `os.stat(P('f'))`, `os.read(os.open(P('f'), os.O_RDONLY), 9)`]) {
      writer.tell(other);
      expect(await writer.said()).toBe('done');
      expect([asleep(), watcher.saidMore]).toEqual([1, false]);
    }
    writer.tell(change);
    expect(await writer.said(), change).toBe('done');
    expect([await watcher.said(), await watcher.said()], change).toEqual([[2], []]);
  }
});

kernelTest('a poll wakes for a change that the owner makes', async () => {
  const { fs, asleep } = await watched();
  await using m = await mounted(fs);
  await using watcher = new Client(m.dir, WATCH);
  expect(await watcher.said()).toBe('open');
  watcher.tell();
  await until(() => asleep() === 1, 'a poll that waits');
  await fs.files.write('f', 'more');
  expect([await watcher.said(), await watcher.said()]).toEqual([[2], []]);
});

kernelTest('all who poll are woken, and who is killed is forgotten', async () => {
  const { fs, asleep } = await watched();
  await using m = await mounted(fs);
  await using one = new Client(m.dir, WATCH);
  await using two = new Client(m.dir, WATCH);
  await using killed = new Client(m.dir, WATCH);
  for (const each of [one, two, killed]) {
    expect(await each.said()).toBe('open');
    each.tell();
  }
  await until(() => asleep() === 3, 'three polls that wait');
  killed.kill('SIGKILL');
  await until(() => asleep() === 2, 'two polls that wait');
  await using writer = new Client(m.dir, `os.write(os.open(P('f'), os.O_WRONLY), b'new')`);
  expect(await writer.exited).toBe('0');
  for (const each of [one, two]) expect([await each.said(), await each.said()]).toEqual([[2], []]);
  expect(asleep()).toBe(0);
});

kernelTest('epoll for EPOLLPRI wakes at a change, and is silent without one', async () => {
  const { fs, asleep } = await watched();
  await using m = await mounted(fs);
  await using watcher = new Client(
    m.dir,
    `
fd = os.open(P('f'), os.O_RDONLY)
ep = select.epoll()
ep.register(fd, select.EPOLLPRI)
say(len(ep.poll(0)))
say([events for _, events in ep.poll()])
`,
  );
  expect(await watcher.said()).toBe(0);
  await until(() => asleep() === 1, 'a poll that waits');
  await fs.files.write('f', 'more');
  expect(await watcher.said()).toEqual([2]);
});
