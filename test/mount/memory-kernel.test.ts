/**
 * MemoryFs with files that the kernel reads and writes itself: that no request for data comes, that limits and books hold though nobody
 * asks us, and that what is told of a file is true while it is open.
 */
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { expect } from 'vitest';
import { MemoryFs, type MemoryOptions } from '../../src/fs/index.ts';
import type { MountOptions } from '../../src/options.ts';
import type { Connection } from '../../src/protocol/connection.ts';
import type { TraceEvent } from '../../src/protocol/trace.ts';
import { kernelTest, mounted, until } from '../support.ts';
import { as } from './passthrough.ts';
import { Client, python } from './python.ts';

/** What is asked of a server for what is in files. */
const DATA = new Set(['READ', 'WRITE']);

/** All there were: what is collected closes its descriptor, and tests count those. */
const kept: MemoryFs[] = [];
function memoryFs(options: MemoryOptions = {}): MemoryFs {
  const filesystem = new MemoryFs({ kernelPassthrough: true, ...options });
  kept.push(filesystem);
  return filesystem;
}
async function handing(options: MemoryOptions = {}, mount: MountOptions = {}) {
  const asked: string[] = [];
  const trace = (event: TraceEvent) => {
    if (event.kind === 'request') asked.push(event.operation);
  };
  const filesystem = memoryFs(options);
  const m = await mounted(filesystem, { allowOther: true, suid: true, trace, ...mount });
  return {
    ...{ ...m, filesystem, asked },
    data: () => asked.filter((each) => DATA.has(each)),
    async [Symbol.asyncDispose]() {
      await m[Symbol.asyncDispose]();
      filesystem.check();
    },
  };
}
/** Descriptors of this process but these. */
const descriptors = (before: readonly string[] = []): string[] =>
  readdirSync('/proc/self/fd').filter((fd) => !before.includes(fd));
/** Those of them that are of a root, of a tmpfs as well. */
const roots = (fds: readonly string[]): string[] =>
  fds.filter((fd) => existsSync(`/proc/self/fd/${fd}`) && readlinkSync(`/proc/self/fd/${fd}`) === '/');

kernelTest(
  'data of files that are there, new, mapped and unnamed takes no request, and the program sees it',
  async () => {
    await using m = await handing();
    await m.filesystem.files.writeFile('/old', 'old');
    const script = `
import mmap
say(slurp('old'))
for flags in [os.O_CREAT | os.O_EXCL, os.O_TRUNC, os.O_APPEND, os.O_DIRECT]:
    file = os.open(P('new'), os.O_RDWR | flags)
    block = mmap.mmap(-1, 4096)
    block[:] = b'x' * 4096
    say(os.writev(file, [block]))
    os.close(file)
file = os.open(P('new'), os.O_RDWR)
with mmap.mmap(file, 8192) as mapped:
    mapped[4096:4100] = b'MAPS'
say([os.pread(file, 6, 4094).decode(), os.fstat(file).st_size])
file = os.open(P(), os.O_TMPFILE | os.O_RDWR)
os.write(file, b'unnamed')
say(os.pread(file, 10, 0).decode())
say([os.stat(P('new')).st_size, os.stat(P('old')).st_size])`;
    expect(await python(m.dir, script)).toEqual([
      ...['old', 4096, 4096, 4096, 4096],
      ...[['xxMAPS', 8192], 'unnamed', [8192, 3]],
    ]);
    expect(m.asked).toContain('OPEN');
    expect(m.data()).toEqual([]);
    expect(m.filesystem.files.readFile('/new', 4094, 6).toString()).toBe('xxMAPS');
  },
);

kernelTest('what is told of a file is true while it is open, to all', async () => {
  await using m = await handing();
  const script = `
import mmap
fd = os.open(P('f'), os.O_RDWR | os.O_CREAT, 0o666)
say('open')
told()
os.write(fd, b'x' * 5000)
say(None)
told()
say([os.pread(fd, 3, 0).decode(), os.fstat(fd).st_size, os.lseek(fd, 0, os.SEEK_HOLE)])
told()
say(os.pread(fd, 9, 0).decode())
told()
C('fallocate', fd, 3, ctypes.c_long(0), ctypes.c_long(4096))
say([os.fstat(fd).st_blocks, result(os.lseek, fd, 0, os.SEEK_DATA), os.copy_file_range(fd, fd, 4, 0, 100)])
say(os.fstat(fd).st_size)
told()
os.unlink(P('f'))
os.pwrite(fd, b'later', 5000)
say([os.pread(fd, 5, 5000).decode(), os.fstat(fd).st_nlink])`;
  await using one = new Client(m.dir, script);
  const { files } = m.filesystem;
  const tell = async () => {
    one.tell();
    return await one.said();
  };
  expect(await one.said()).toBe('open');
  const before = files.stat('/f');
  await tell();
  // By the program, by a second process; before the file is closed.
  const after = files.stat('/f');
  expect([after.size, after.blocks]).toEqual([5000, 16]);
  expect(after.mtime * 1e9 + after.mtimensec).toBeGreaterThan(before.mtime * 1e9 + before.mtimensec);
  expect(after.ctime).toBe(after.mtime);
  expect(after.mtime).toBeGreaterThan(Date.now() / 1000 - 20);
  const told = `s = os.stat(P('f')); say([s.st_size, s.st_blocks]); os.truncate(P('f'), 3)`;
  expect(await python(m.dir, told)).toEqual([[5000, 16]]);
  expect(await tell()).toEqual(['xxx', 3, 3]);
  await files.writeFile('/f', 'by the program');
  expect(await tell()).toBe('by the pr');
  expect(await tell()).toEqual([0, 'ENXIO', 4]);
  expect(await one.said()).toBe(104);
  expect(await tell()).toEqual(['later', 0]);
  expect(m.data()).toEqual([]);
});

kernelTest('times: a write moves mtime and ctime, a read atime, and what is set stays', async () => {
  await using m = await handing();
  const script = `
def times():
    s = os.stat(P('f'))
    return [s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns]
def moved(what):
    before = times()
    time.sleep(0.02)
    what()
    return [a < b for a, b in zip(before, times())]
fd = os.open(P('f'), os.O_RDWR | os.O_CREAT)
say(moved(lambda: os.write(fd, b'text')))
say(moved(lambda: os.pread(fd, 4, 0)))
say(moved(lambda: os.pread(fd, 4, 0)))
say(moved(lambda: os.fchmod(fd, 0o600)))
say(moved(lambda: os.pread(fd, 4, 0)))
os.write(fd, b'more')
os.utime(fd, ns=(5, 7))
say(times()[:2])
say(moved(lambda: os.write(fd, b'more')))
os.utime(fd, ns=(5, 10 ** 19))
os.close(fd)
say(times()[:2])
fd = os.open(P('f'), os.O_RDWR)
os.write(fd, b'back from the future')
say(times()[1] < 10 ** 19)`;
  expect(await python(m.dir, script)).toEqual([
    [false, true, true],
    [true, false, false], // relatime: it was older than the write
    [false, false, false],
    [false, false, true],
    [true, false, false],
    [5, 7],
    [false, true, true],
    [5, 10 ** 19],
    true,
  ]);
});

kernelTest('full by what the kernel writes: ENOSPC, nothing is lost, and room comes back', async () => {
  await using m = await handing({ size: 1 << 20 });
  await m.filesystem.files.writeFile('/kept', Buffer.alloc(100 << 10, 'k'));
  await m.filesystem.files.setxattr('/kept', 'user.a', Buffer.alloc(100));
  const script = `
def free(): return os.statvfs(DIR).f_bfree
say([os.statvfs(DIR).f_blocks, free()])
fd = os.open(P('f'), os.O_RDWR | os.O_CREAT)
say([os.write(fd, b'x' * (2 << 20)), result(os.write, fd, b'y'), free()])
s = os.fstat(fd)
say([s.st_size, s.st_blocks, os.pread(fd, 2, s.st_size - 1).decode()])
say(result(os.setxattr, P('f'), 'user.b', b'x'))
say(result(os.posix_fallocate, fd, 1 << 20, 4096))
say(result(os.write, os.open(P('other'), os.O_WRONLY | os.O_CREAT), b'x'))
say([os.pwrite(fd, b'over', 0), slurp('kept') == 'k' * (100 << 10)])
os.ftruncate(fd, 4096)
say([free(), result(os.setxattr, P('f'), 'user.b', b'x'), free()])
os.close(fd)
os.unlink(P('f'))
for i in range(1000):
    if free() == 230: break
    time.sleep(0.005)
say(free())`;
  const room = 256 - 25 - 1;
  expect(await python(m.dir, script)).toEqual([
    [256, room],
    [room * 4096, 'ENOSPC', 0],
    [room * 4096, room * 8, 'x'],
    ...['ENOSPC', 'ENOSPC', 'ENOSPC'],
    [4, true],
    [room - 1, null, room - 2],
    room,
  ]);
  expect(m.data()).toEqual([]);
});

kernelTest('a mapping outlives its descriptor, and its file', async () => {
  await using m = await handing();
  const script = `
import mmap
say(os.statvfs(DIR).f_bfree)
fd = os.open(P('f'), os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 1 << 20)
address = ctypes.c_void_p
libc.mmap.restype = ctypes.c_void_p
at = libc.mmap(None, ctypes.c_size_t(1 << 20), 3, 1, fd, ctypes.c_long(0))
os.close(fd)
say('closed')
told()
ctypes.memset(at + 4096, ord('m'), 4)
say('stored')
told()
os.unlink(P('f'))
say('unlinked')
told()
ctypes.memset(at, ord('n'), 4)
say(ctypes.string_at(at + 4095, 5).decode())
told()`;
  await using one = new Client(m.dir, script);
  const free = (await one.said()) as number;
  expect(await one.said()).toBe('closed');
  await until(() => m.filesystem.opened === 0, 'the last release');
  one.tell();
  await one.said();
  // By another process, and in the books.
  const other = `s = os.stat(P('f')); say([s.st_blocks, slurp('f')[4096:4101], os.statvfs(DIR).f_bfree])`;
  expect(await python(m.dir, other)).toEqual([[8, 'mmmm\0', free - 1]]);
  one.tell();
  await one.said();
  one.tell();
  expect(await one.said()).toBe('\0mmmm');
  one.tell();
  await one.exited;
  expect((await python(m.dir, 'say(os.statvfs(DIR).f_bfree)'))[0]).toBe(free);
});

kernelTest('who writes without privileges takes setuid and capabilities away', async () => {
  await using m = await handing();
  await python(
    m.dir,
    `
for name in ['a', 'b', 'c']:
    os.close(os.open(P(name), os.O_CREAT))
    os.chmod(P(name), 0o6777)
    os.setxattr(P(name), 'security.capability', bytes.fromhex('0100000200200000000000000000000000000000'))`,
  );
  await as(65534, '', 'echo more >> a; truncate -s 1 b', m.dir);
  const script = `
for name in ['a', 'b', 'c']: say([oct(os.stat(P(name)).st_mode & 0o7777), os.listxattr(P(name))])`;
  const taken = ['0o777', []];
  expect(await python(m.dir, script)).toEqual([taken, taken, ['0o6777', ['security.capability']]]);
});

kernelTest('files that are open take no descriptor, and the mount leaves one, for what is in them', async () => {
  const before = descriptors();
  const filesystem = memoryFs();
  const [own] = roots(descriptors(before));
  {
    await using m = await mounted(filesystem);
    await using one = new Client(
      m.dir,
      `
fds = [os.open(P(str(i)), os.O_RDWR | os.O_CREAT) for i in range(300)]
for fd in fds: os.write(fd, b'text')
say('open')
told()`,
    );
    const others = descriptors(); // those of the mount, and of the client's pipes
    await one.said();
    expect(filesystem.opened).toBe(300);
    expect(descriptors(others).length).toBeLessThan(10);
    one.tell();
    await one.exited;
  }
  expect(roots(descriptors(before))).toEqual([own]);
  expect(filesystem.files.readFile('/299').toString()).toBe('text');
  await using again = await mounted(filesystem);
  expect(await python(again.dir, "say(slurp('7'))")).toEqual(['text']);
});

kernelTest('with direct_io data comes by requests, and is what others have mapped', async () => {
  await using m = await handing({ size: 1 << 20 }, { directIo: true });
  const script = `
import mmap
fd = os.open(P('f'), os.O_RDWR | os.O_CREAT)
say(os.write(fd, b'text' * 2000))
with mmap.mmap(fd, 8000) as mapped:
    say([mapped[4094:4098].decode(), os.pread(fd, 4, 0).decode()])
    mapped[0:4] = b'MAPS'
    say(os.pread(fd, 8, 0).decode())
say([result(os.pwrite, fd, b'x' * (2 << 20), 0), os.fstat(fd).st_size, os.statvfs(DIR).f_bfree])`;
  const full = 1 << 20;
  expect(await python(m.dir, script)).toEqual([8000, ['xtte', 'text'], 'MAPStext', [full, full, 0]]);
  expect(new Set(m.data())).toEqual(DATA);
});

kernelTest('served by a thread of its own, its descriptor goes with the thread', async () => {
  const before = descriptors();
  {
    const module = new URL('../../src/fs/memory/memory-module.ts', import.meta.url);
    await using m = await mounted(module, { threads: 1, filesystem: { kernelPassthrough: true } });
    expect(await python(m.dir, "open(P('f'), 'w').write('text'); say(slurp('f'))")).toEqual(['text']);
    expect(roots(descriptors(before))).toHaveLength(1);
  }
  expect(roots(descriptors(before))).toEqual([]);
});

kernelTest('where files must be handed over, and can not be, there is no mount; else it is said', async () => {
  const older = (filesystem: MemoryFs) => {
    const init = filesystem.init.bind(filesystem);
    // As a kernel before Linux 6.9 has it.
    filesystem.init = (connection: Connection) => init(Object.assign(Object.create(connection), { agreed: new Set() }));
    return filesystem;
  };
  await expect(mounted(older(memoryFs()))).rejects.toThrow(
    "kernelPassthrough can't be had: the kernel has no FUSE_PASSTHROUGH (Linux 6.9)",
  );
  const warnings: string[] = [];
  await using m = await mounted(older(memoryFs({ kernelPassthrough: 'auto' })), {
    onWarning: (message) => void warnings.push(message),
  });
  expect(await python(m.dir, "open(P('f'), 'w').write('text'); say(slurp('f'))")).toEqual(['text']);
  expect(warnings).toEqual([
    'files are read and written by requests, not by the kernel: the kernel has no FUSE_PASSTHROUGH (Linux 6.9)',
  ]);
});
