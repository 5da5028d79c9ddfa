/** The options of PassthroughFs on real mounts, and what it does when descriptors run out or a tree is large. */
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'vitest';
import { O_DIRECT } from '../../src/abi/posix.ts';
import { PassthroughFs } from '../../src/fs/index.ts';
import { mountAt } from '../../src/mountinfo.ts';
import { NegotiationError } from '../../src/protocol/init.ts';
import { compiled } from '../compiled.ts';
import { PYTHON } from '../interpreter.ts';
import { client, forgetUnused, kernelTest, mounted, run, sh, start, temporary, until } from '../support.ts';
import { TRANSPORT } from '../transport.ts';
import { mountMapped } from './idmap.ts';
import { as, passthrough } from './passthrough.ts';
import { Client, python } from './python.ts';

const ROOT = resolve(import.meta.dirname, '../..');
/** A test of what has nothing to do with the way that requests come: once is enough. */
const once: typeof kernelTest = (...args) => (TRANSPORT === 'device' ? kernelTest(...args) : undefined);

/** A directory with a tmpfs mounted at `inside`. */
async function twoFilesystems() {
  const source = temporary();
  chmodSync(source, 0o755);
  mkdirSync(join(source, 'inside'));
  await run('mount', ['-t', 'tmpfs', 'rawfuse-test', join(source, 'inside')]);
  await sh('mkdir -p inside/d d; echo 1 > inside/a; ln inside/a inside/d/b; echo 2 > a; echo 3 > b', source);
  return {
    source,
    async [Symbol.asyncDispose]() {
      await run('umount', ['--lazy', join(source, 'inside')]);
      rmSync(source, { recursive: true });
    },
  };
}

once('files of other filesystems in the source have numbers of their own, and links stay links', async () => {
  await using two = await twoFilesystems();
  await using m = await passthrough({ source: two.source });
  const numbers = (await sh('stat -c %i . d a b inside inside/d inside/a inside/d/b', m.dir)).trim().split('\n');
  expect(new Set(numbers).size).toBe(7);
  expect(numbers[6]).toBe(numbers[7]);
  for (const number of numbers.slice(4)) expect(BigInt(number)).toBeGreaterThanOrEqual(1n << 63n);
  const lower = (await sh('stat -c %i . d a b', two.source)).trim().split('\n');
  expect(numbers.slice(0, 4)).toEqual(lower);
  // What readdir says is what stat says, within one filesystem.
  expect(await sh('ls -i inside/d | cut -d" " -f1', m.dir)).toBe(`${numbers[7]}\n`);
  expect(await sh('echo more >> inside/a; cat inside/d/b; mv a d; rm -r inside/d; ls inside', m.dir)).toBe(
    '1\nmore\na\n',
  );
  await expect(sh('ln b inside/c', m.dir)).rejects.toThrow(/cross-device/iu);
});

once('xdev stays on the filesystem of the source', async () => {
  await using two = await twoFilesystems();
  await using m = await passthrough({ source: two.source, xdev: true });
  await expect(sh('ls inside', m.dir)).rejects.toThrow(/cross-device/iu);
  expect(await sh('ls; cat a', m.dir)).toBe('a\nb\nd\ninside\n2\n');
  expect(await client(m.dir, 'return fs.readdirSync(dir).length')).toBe(4);
});

kernelTest('a mount within its own source is not entered, and nothing hangs', async () => {
  const source = temporary();
  const dir = join(source, 'mnt');
  mkdirSync(dir);
  writeFileSync(join(source, 'file'), 'here');
  const child = start(
    process.execPath,
    [compiled('tools/cli.ts'), 'mount', 'passthrough', source, dir, '--transport', TRANSPORT],
    { cwd: ROOT },
  );
  try {
    await until(() => mountAt(dir) !== undefined, 'the mount', 20_000);
    const said = await sh('cat file; stat mnt 2>&1 || true; ls -l 2>&1 | tail -1; ls -A', dir, 10_000);
    expect(said).toMatch(/^herestat: .*symbolic links/u);
    expect(said).toMatch(/file\nmnt\n$/u);
  } finally {
    await run('umount', ['-l', dir]);
    await until(() => child.exitCode !== null, 'the server to end');
    rmSync(source, { recursive: true });
  }
});

kernelTest('callerChecks: the lower filesystem says who may, with all groups of the caller', async () => {
  await using m = await passthrough({
    callerChecks: true,
    mount: { defaultPermissions: false },
  });
  await sh(
    'mkdir mine theirs; echo secret > mine/f; echo ours > theirs/f; chmod 700 mine; chmod 750 theirs; chmod 640 theirs/f; chgrp -R 4242 theirs',
    m.source,
  );
  // Root has been there: what the kernel has of it opens the way for nobody.
  expect(await sh('cat mine/f theirs/f', m.dir)).toBe('secret\nours\n');
  chmodSync(join(m.source, 'mine/f'), 0o666);
  await expect(as(1234, '', 'cat mine/f', m.dir)).rejects.toThrow(/Permission denied/u);
  await expect(as(1234, '77', 'cat theirs/f', m.dir)).rejects.toThrow(/Permission denied/u);
  expect(await as(1234, '77,4242', 'cat theirs/f', m.dir)).toBe('ours\n');
  await expect(as(1234, '4242', 'echo > theirs/new', m.dir)).rejects.toThrow(/Permission denied|cannot create/u);
  chmodSync(join(m.source, 'theirs'), 0o770);
  await as(1234, '4242', 'echo mine > theirs/new', m.dir);
  expect(statSync(join(m.source, 'theirs/new')).uid).toBe(1234);
  expect(await sh('cat mine/f', m.dir)).toBe('secret\n');
});

/**
 * Who holds a lock of a kind by one of two directories, who tries, and who waits, each a process of its own. Says of each
 * pair of directories whether the other was refused, got it before it was free, got it then, and kept it from the first.
 */
const LOCKS = `
import errno, fcntl, json, os, select, signal, sys, time
source, mount, kind = sys.argv[1:]
def take(dir, flags):
    (fcntl.flock if kind == 'flock' else fcntl.lockf)(os.open(dir + '/f', os.O_RDWR), fcntl.LOCK_EX | flags)
def refused(dir):
    pid = os.fork()
    if pid == 0:
        try: take(dir, fcntl.LOCK_NB)
        except OSError as error: os._exit(error.errno)
        os._exit(0)
    return os.WEXITSTATUS(os.waitpid(pid, 0)[1]) == errno.EAGAIN
def free(dir):
    for _ in range(300):
        if not refused(dir): return True
        time.sleep(0.01)
class Holder:
    def __init__(self, dir):
        self.said, say = os.pipe()
        hear, self.tell = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            take(dir, 0)
            os.write(say, b'x')
            os.read(hear, 1)
            os._exit(0)
    def has(self, seconds):
        return select.select([self.said], [], [], seconds)[0] != []
    def end(self):
        os.write(self.tell, b'x')
        os.waitpid(self.pid, 0)
found = []
for one, other in ((source, mount), (mount, source), (mount, mount)):
    first = Holder(one)
    assert first.has(10)
    row = [refused(other)]
    second = Holder(other)
    row.append(second.has(0.3))
    with open(mount + '/g', 'w') as file: file.write('served meanwhile')
    first.end()
    row += [second.has(10), refused(one)]
    second.end()
    found.append(row + [free(one)])
# A signal ends a wait for somebody outside, and leaves nothing.
first = Holder(source)
assert first.has(10)
second = Holder(mount)
assert not second.has(0.3)
os.kill(second.pid, signal.SIGTERM)
os.waitpid(second.pid, 0)
first.end()
print(json.dumps([found, free(source), free(mount)]))
`;
for (const kind of ['flock', 'fcntl'])
  once(`lowerLocks: ${kind} holds against who uses the source, in both directions`, async () => {
    await using m = await passthrough({ lowerLocks: true });
    writeFileSync(join(m.source, 'f'), '');
    const said = await run(PYTHON, ['-c', LOCKS, m.source, m.dir, kind]);
    const row = [true, false, true, true, true];
    expect(JSON.parse(said)).toEqual([[row, row, row], true, true]);
  });

kernelTest('lowerLocks with several threads is refused in one line', async () => {
  await expect(passthrough({ lowerLocks: true, mount: { threads: 2 } })).rejects.toThrow(
    'lowerLocks needs one thread, which knows of all locks: threads is 2',
  );
});

once('uid and gid: what is made belongs to them, whoever makes it', async () => {
  await using m = await passthrough({ uid: 3000, gid: 4000 });
  chmodSync(m.source, 0o777);
  await as(1234, '', 'echo > f; mkdir d', m.dir);
  await sh('echo > r', m.dir);
  for (const name of ['f', 'd', 'r']) {
    const { uid, gid } = statSync(join(m.source, name));
    expect([name, uid, gid]).toEqual([name, 3000, 4000]);
  }
});

once('a mount that is read-only changes nothing below', async () => {
  const source = temporary();
  writeFileSync(join(source, 'f'), 'kept');
  await using m = await passthrough({ source, mount: { ro: true } as never });
  for (const change of ['echo > f', 'rm f', 'touch f', 'mkdir d', 'mv f g', 'chmod 777 f', 'ln f g'])
    await expect(sh(change, m.dir)).rejects.toThrow(/Read-only file system/u);
  expect(await sh('cat f', m.dir)).toBe('kept');
  rmSync(source, { recursive: true });
});

kernelTest(
  'allowDirectIo: what is aligned goes past the page cache below, what is not through it, and both are one file',
  async () => {
    await using m = await passthrough({ kind: 'ext4', allowDirectIo: true, kernelPassthrough: false });
    await using holder = new Client(
      m.dir,
      `
import mmap
fd = os.open(P('f'), os.O_CREAT | os.O_RDWR | os.O_DIRECT)
page = mmap.mmap(-1, 8192)
page.write(b'a' * 8192)
got = [os.pwritev(fd, [page], 0), os.pwrite(fd, b'xyz', 4095), os.pwritev(fd, [page], 8192)]
got += [os.pread(fd, 5, 4094).decode(), os.preadv(fd, [page], 4096), page[:3].decode(), os.fstat(fd).st_size]
say(got)
told()
`,
    );
    expect(await holder.said()).toEqual([8192, 3, 8192, 'axyza', 8192, 'yza', 16_384]);
    // The descriptor that is for it: in the flags of fdinfo, which are octal.
    const flags = readdirSync('/proc/self/fd').flatMap((fd) => {
      try {
        return [Number.parseInt(/^flags:\s*(\d+)$/mu.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))![1]!, 8)];
      } catch {
        return []; // the one that read the directory
      }
    });
    expect(flags.filter((each) => each & O_DIRECT)).toHaveLength(1);
    expect(readFileSync(join(m.source, 'f')).subarray(4090, 4100).toString()).toBe('aaaaaxyzaa');
  },
);

kernelTest('idmap: an idmapped mount of the mount shows mapped owners above, and below are the real ones', async () => {
  await using m = await passthrough({ idmap: true });
  const target = temporary();
  chmodSync(m.source, 0o777);
  writeFileSync(join(m.source, 'f'), 'x');
  chownSync(join(m.source, 'f'), 1000, 1000);
  await mountMapped(m.dir, target, 1000, 5000);
  try {
    expect(await sh('stat -c %u:%g f', target)).toBe('5000:5000\n');
    expect(await sh('stat -c %u:%g f', m.dir)).toBe('1000:1000\n');
    await as(5000, '', 'echo > g; mkdir d', target);
    for (const name of ['g', 'd']) expect(statSync(join(m.source, name))).toMatchObject({ uid: 1000, gid: 1000 });
    expect(await sh('stat -c %u:%g g', target)).toBe('5000:5000\n');
  } finally {
    await run('umount', ['--lazy', target]);
    rmSync(target, { recursive: true });
  }
});
once('idmap with allow_root is refused in one line', async () => {
  const source = temporary();
  const filesystem = new PassthroughFs({ source, idmap: true });
  await expect(mounted(filesystem, { allowRoot: true, defaultPermissions: true })).rejects.toThrow(NegotiationError);
  filesystem.destroy();
  rmSync(source, { recursive: true });
});

once('a PassthroughFs is mounted once', async () => {
  const m = await passthrough();
  const { filesystem } = m;
  await m[Symbol.asyncDispose]();
  await expect(mounted(filesystem!, {})).rejects.toThrow(/make one for each mount/u);
});

const [major = 0, minor = 0] = release().split('.').map(Number);
/** Whether the kernel can be asked to forget nodes: Linux 6.18. */
const prunes = major > 6 || (major === 6 && minor >= 18);

once('when descriptors run out clients get ENFILE, the server says why, and it recovers', async () => {
  const source = temporary();
  const dir = temporary();
  for (let i = 0; i < 400; i++) writeFileSync(join(source, `f${i}`), `${i}`);
  const args = [compiled('tools/cli.ts'), 'mount', 'passthrough', source, dir, '--transport', TRANSPORT];
  const child = start(
    'sh',
    ['-c', 'ulimit -n 256; exec "$@"', '-', process.execPath, ...args, '-o', 'inode_handles=descriptors'],
    { cwd: ROOT },
  );
  let said = '';
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (text) => (said += text));
  try {
    await until(() => said.includes('mounted a directory'), 'the mount', 20_000);
    for (let round = 0; round < 2; round++) {
      // All in use at once, so that the kernel can forget none.
      const [failed] = await python(
        dir,
        `
held = [result(os.open, P(f'f{i}'), os.O_PATH) for i in range(400)]
say([len([fd for fd in held if fd == 'ENFILE']), result(os.listdir, P())[:0], slurp('f0')])
`,
      );
      expect(failed).toEqual([expect.any(Number), [], '0']);
      expect((failed as [number])[0]).toBeGreaterThan(150);
      await forgetUnused(dir);
      expect(await sh('cat f399; cat f398', dir)).toBe('399398');
    }
    // One after the other they are no trouble to a kernel that can be asked to forget.
    if (prunes) {
      const look = `
import time
def patient(name):
    for _ in range(50):
        if result(os.stat, P(name)) != 'ENFILE': return 0
        time.sleep(0.01)
    return 1
say(sum(patient(f'f{i}') for i in range(400)))
`;
      expect(await python(dir, look)).toEqual([0]);
    }
    expect(
      said.match(/a client got ENFILE: \d+ files are held as descriptors, and RLIMIT_NOFILE leaves room for no more/gu),
    ).toHaveLength(1);
  } finally {
    await run('umount', ['-l', dir]);
    await until(() => child.exitCode !== null, 'the server to end');
    for (const each of [source, dir]) rmSync(each, { recursive: true });
  }
});

const FILES = Number(process.env.FILES ?? 3000);
kernelTest(
  `${FILES.toLocaleString('en')} files are walked twice, in bounded memory and descriptors, and forgotten`,
  async () => {
    const source = temporary();
    await run(
      PYTHON,
      [
        '-c',
        `
import os, sys
os.chdir(sys.argv[1])
for d in range(${Math.ceil(FILES / 1000)}):
    os.mkdir(f'd{d}')
    for f in range(1000): os.mknod(f'd{d}/file-{f}')
`,
        source,
      ],
      { timeout: 60_000 + FILES },
    );
    const open = () => readdirSync('/proc/self/fd').length;
    try {
      await using m = await passthrough({ source, inodeHandles: 'auto' });
      const before = open();
      for (let walk = 0; walk < 2; walk++) {
        const found = await sh('ls -lR | grep -c file-', m.dir, 60_000 + FILES);
        expect(Number(found)).toBe(Math.ceil(FILES / 1000) * 1000);
        expect(m.filesystem!.nodes.size).toBeGreaterThan(Math.min(FILES / 2, 100_000));
        // Files by handle, and of directories a few.
        expect(open() - before).toBeLessThan(80);
        await until(
          async () => {
            await forgetUnused(m.dir);
            return m.filesystem!.nodes.size === 1;
          },
          'all to be forgotten',
          60_000,
        );
        expect(open() - before).toBeLessThan(5);
      }
      console.log(`${FILES} files: RSS ${Math.round(process.memoryUsage().rss / 2 ** 20)} MiB`);
    } finally {
      rmSync(source, { recursive: true });
    }
  },
  120_000 + 3 * FILES,
);
