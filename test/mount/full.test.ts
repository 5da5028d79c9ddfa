/**
 * A filesystem that gets full: no byte that a write() has acknowledged is lost, whoever else writes then; what
 * needs no room goes on working; and what is deleted is room again, to the last page.
 */
import { expect } from 'vitest';
import { MemoryFs } from '../../src/fs/index.ts';
import { forgotten, kernelTest, mounted, sh } from '../support.ts';
import { Client, python } from './python.ts';

const SEED = process.env.SEED === undefined ? Date.now() % 0x7fff_ffff : Number(process.env.SEED);
if (!Number.isInteger(SEED)) throw new Error(`SEED=${process.env.SEED} is not an integer`);
console.log(`SEED=${SEED}`);
/** Eight clients on two processors that others use too need their time. In ms. */
const TIMEOUT = 60_000;
const WATCHDOG = 55_000;

/** What statfs tells: blocks and inodes, those that are free, and those that are free for all. */
const ROOM = `
s = os.statvfs(DIR)
say([s.f_blocks, s.f_bfree, s.f_bavail, s.f_files, s.f_ffree, s.f_favail])
`;
const room = async (dir: string): Promise<number[]> => (await python(dir, ROOM))[0] as number[];

/**
 * Waits until a deleted file's room is there again. The server has it back when it is told that nobody uses the
 * file any more, by RELEASE or FORGET, and the kernel waits for neither. @see fs/fuse/file.c: fuse_file_put,
 * fs/fuse/dev.c: fuse_dev_do_read, which prefers requests to FORGET
 */
const ROOM_AGAIN = `
def room_again(what='f_bfree'):
    for _ in range(1000):
        if getattr(os.statvfs(DIR), what) > 0:
            return
        time.sleep(0.005)
    raise OSError(errno.ENOSPC, 'no room again')
`;

/** Size and sum of each file, as the server has them: past the page cache. */
const SUMS = `
import hashlib, mmap
buffer = mmap.mmap(-1, 1 << 20)
def content(name):
    fd, found, data = os.open(P(name), os.O_RDONLY | os.O_DIRECT), hashlib.md5(), b''
    while got := os.readv(fd, [buffer]):
        found.update(buffer[:got])
    size = os.fstat(fd).st_size
    os.close(fd)
    return [size, found.hexdigest()]
say({os.fsdecode(name): content(name) for name in os.listdir(DIR)})
`;

/** How a writer goes about it. */
const WAYS = ['plain', 'plain', 'synced', 'direct', 'direct', 'appended', 'scattered', 'allocated'] as const;

/**
 * Writes files of random sizes by writes of random sizes until there is no room for one byte in a new file, and
 * says size and sum of what was acknowledged: of each file exactly that must be there.
 */
const WRITER = `
import hashlib, mmap, random
rng = random.Random(SEED * 8 + WHICH)
aligned = mmap.mmap(-1, 1 << 17)
files = {}
flags = os.O_RDWR | os.O_CREAT | {'direct': os.O_DIRECT, 'appended': os.O_APPEND}.get(WAY, 0)

def write(fd, data, at):
    """One write, as the way has it; how much was acknowledged."""
    if WAY == 'direct':
        aligned[:len(data)] = data
        return os.pwritev(fd, [memoryview(aligned)[:len(data)]], at)
    done = os.write(fd, data) if WAY == 'appended' else os.pwrite(fd, data, at)
    if WAY == 'synced':
        os.fsync(fd)
    return done

def fill(fd, model, most):
    """Writes to a new file until it is large enough; whether there was room for all."""
    places = list(range(0, 1 << 18, 4096))
    rng.shuffle(places)
    if WAY == 'allocated':
        size = rng.randint(1, most)
        C('fallocate', fd, 0, ctypes.c_long(0), ctypes.c_long(size))
        model.extend(bytes(size))
        promised.append((fd, model))
        return True
    while len(model) < 200000 and places:
        data = rng.randbytes(rng.randint(1, most))
        at = places.pop() if WAY == 'scattered' else len(model)
        done = write(fd, data, at)
        model.extend(bytes(max(0, at + done - len(model))))
        model[at:at + done] = data[:done]
        if done < len(data):
            return False
    return True

most, promised = 1 << 17, []
while most > 0:
    name = f'{WAY}-{WHICH}-{len(files)}'
    fd = os.open(P(name), flags)
    files[name] = bytearray()
    try:
        more = fill(fd, files[name], most)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        more = False
    if not more:
        most //= 4
    if WAY != 'allocated':
        os.close(fd)
    if len(files) == 1: # so that everyone has something, the slow too
        say('ready')
        told()
# What was promised can be had, though nothing else is left.
for fd, model in promised:
    model[:] = rng.randbytes(len(model))
    for at in range(0, len(model), 50000):
        if os.pwrite(fd, model[at:at + 50000], at) != len(model[at:at + 50000]):
            raise OSError(errno.ENOSPC, 'a promise')
say({name: [len(model), hashlib.md5(model).hexdigest()] for name, model in files.items()})
`;

kernelTest(
  'full under 8 writers: every acknowledged byte is there, and what is deleted is room again',
  async () => {
    const filesystem = new MemoryFs({ size: 16 << 20 });
    await using m = await mounted(filesystem, {}, { watchdog: WATCHDOG });
    const before = await room(m.dir);
    expect(before.slice(0, 3)).toEqual([4096, 4096, 4096]);
    const writers = WAYS.map(
      (way, which) => new Client(m.dir, `SEED, WHICH, WAY = ${SEED}, ${which}, '${way}'\n${WRITER}`),
    );
    for (const each of writers) expect(await each.said()).toBe('ready');
    for (const each of writers) each.tell();
    const written = (await Promise.all(writers.map((each) => each.said()))) as Record<string, [number, string]>[];
    for (const each of writers) expect(await each.exited).toBe('0');
    const expected: Record<string, [number, string]> = Object.assign({}, ...written);
    for (const files of written) expect(Object.values(files).reduce((sum, [size]) => sum + size, 0)).toBeGreaterThan(0);

    expect((await python(m.dir, SUMS))[0]).toEqual(expected);
    expect((await room(m.dir)).slice(0, 3)).toEqual([4096, 0, 0]);
    expect(await sh('df --output=avail,pcent . | tail -1', m.dir)).toMatch(/^ +0 100%$/mu);
    filesystem.check();

    // What takes no room works. Names and attributes have room of their own, as on tmpfs.
    const [large, other] = Object.entries(expected)
      .filter(([, [size]]) => size > 8192)
      .map(([name]) => name);
    const free = `
big, other = ${JSON.stringify(large)}, ${JSON.stringify(other)}
os.mkdir(P('d'))
os.symlink('to', P('d/s'))
os.link(P(big), P('d/hard'))
os.chmod(P(big), 0o600)
os.rename(P(big), P('d/moved'))
os.unlink(P('d/moved'))
fd = os.open(P('d/hard'), os.O_RDWR)
say([os.pwrite(fd, b'again', 100), os.pread(fd, 5, 100)])
size = os.fstat(fd).st_size
say([result(os.pwrite, fd, b'more', size + 4096), os.fstat(fd).st_size - size])
say(result(os.truncate, P('d/hard'), 1 << 30))
say(result(os.truncate, P('d/hard'), size))
with open(P('empty'), 'w') as file: # a rename over what exists: how an editor saves
    pass
os.rename(P('empty'), P(other))
os.unlink(P('d/hard'))
os.close(fd)
room_again()
say([result(os.pwrite, os.open(P(other), os.O_RDWR), b'x' * 100, 0), os.stat(P(other)).st_size])
say(sorted(os.listdir(P('d'))))`;
    expect(await python(m.dir, ROOM_AGAIN + free)).toEqual([
      [5, 'again'],
      ['ENOSPC', 0],
      null,
      null,
      [100, 100],
      ['s'],
    ]);

    await sh('find . -mindepth 1 -delete', m.dir);
    await forgotten(filesystem, m.dir);
    expect(await room(m.dir)).toEqual(before);
    filesystem.check();
    await sh('head -c 16777216 /dev/zero > all; ! dd if=/dev/zero of=one bs=1 count=1 status=none 2>&1', m.dir);
    expect(await sh('stat -c %s all one; rm all; echo text > one; cat one', m.dir)).toBe('16777216\n0\ntext\n');
  },
  TIMEOUT,
);

/** Makes files of all kinds until no kind can be made any more; says their names by kind. */
const MAKER = `
kinds = {
    'mkdir': os.mkdir,
    'mknod': lambda path: os.mknod(path, 0o600 | 0o010000),
    'symlink': lambda path: os.symlink('target', path),
    'create': lambda path: os.close(os.open(path, os.O_CREAT | os.O_EXCL)),
    'tmpfile': lambda path: held.append(os.open(DIR, os.O_TMPFILE | os.O_RDWR)),
}
held, made, refused = [], {kind: 0 for kind in kinds}, {}
say('ready')
told()
while len(refused) < len(kinds):
    for kind, make in kinds.items():
        if kind not in refused:
            try:
                make(P(f'{WHICH}-{kind}-{made[kind]}'))
                made[kind] += 1
            except OSError as error:
                refused[kind] = errno.errorcode[error.errno]
say({'made': made, 'refused': refused})
told()
for n, fd in enumerate(held): # a file that is there gets a name
    C('linkat', -100, b'/proc/self/fd/%d' % fd, -100, P(f'{WHICH}-tmpfile-{n}'), 0x400)
say('linked')
`;
interface Made {
  made: Record<string, number>;
  refused: Record<string, string>;
}

kernelTest(
  'no more inodes: ENOSPC for whatever makes one, while names are made and nothing is lost',
  async () => {
    const filesystem = new MemoryFs({ nrInodes: 1000 });
    await using m = await mounted(filesystem, { dev: true }, { watchdog: WATCHDOG });
    const before = await room(m.dir);
    expect(before.slice(3)).toEqual([1000, 999, 999]);
    await sh('touch one two', m.dir);
    const makers = [1, 2, 3, 4].map((which) => new Client(m.dir, `WHICH = ${which}\n${MAKER}`));
    for (const each of makers) expect(await each.said()).toBe('ready');
    for (const each of makers) each.tell();
    const all = (await Promise.all(makers.map((each) => each.said()))) as Made[];
    const kinds = ['mkdir', 'mknod', 'symlink', 'create', 'tmpfile'];
    for (const { refused } of all) expect(refused).toEqual(Object.fromEntries(kinds.map((kind) => [kind, 'ENOSPC'])));
    const names = all.flatMap(({ made }, at) =>
      Object.entries(made).flatMap(([kind, count]) =>
        Array.from({ length: count }, (_, n) => `${at + 1}-${kind}-${n}`),
      ),
    );
    expect(names.length).toBe(997);
    expect((await room(m.dir)).slice(3)).toEqual([1000, 0, 0]);
    for (const each of makers) each.tell();
    for (const each of makers) expect(await each.said()).toBe('linked');
    for (const each of makers) await each.exited;
    expect((await sh('LC_ALL=C ls', m.dir)).trim().split('\n')).toEqual(['one', 'two', ...names].sort());
    filesystem.check();

    const rest = `
say([result(os.link, P('one'), P('hard')), result(C, 'renameat2', -100, P('hard'), -100, P('moved'), 4)])
say([result(os.mkdir, P('new')), result(os.stat, P('moved')), os.stat(P('hard')).st_nlink])
with open(P('hard'), 'w') as file:
    file.write('text')
os.rename(P('hard'), P('two'))
room_again('f_ffree')
say([result(os.mkdir, P('new')), result(os.mkdir, P('newer')), slurp('one')])`;
    expect(await python(m.dir, ROOM_AGAIN + rest)).toEqual([
      [null, 'ENOSPC'],
      ['ENOSPC', 'ENOENT', 2],
      [null, 'ENOSPC', 'text'],
    ]);
    filesystem.check();

    await sh('find . -mindepth 1 -delete', m.dir);
    await forgotten(filesystem, m.dir);
    expect(await room(m.dir)).toEqual(before);
    filesystem.check();
  },
  TIMEOUT,
);

/**
 * A page of a hole that is stored to by mmap: the kernel asks the server for room only when it writes the page
 * back, so that the store succeeds and msync(2) fails, once. What was stored stays in the page cache alone, until
 * it is dropped there: here by another open(2).
 */
const MAPPED = `
import mmap
with open(P('f'), 'w+b', buffering=0) as file:
    file.truncate(8192)
    pages = mmap.mmap(file.fileno(), 8192)
    pages[0:5] = b'there'
    say([result(pages.flush), pages[0:5].decode()])
    say(result(os.fsync, file.fileno()))
    direct, buffer = os.open(P('f'), os.O_RDONLY | os.O_DIRECT), mmap.mmap(-1, 8192)
    say([os.preadv(direct, [buffer], 0), buffer[0:5].hex(), pages[0:5].hex()])
    os.unlink(P('all'))
    room_again()
    pages[4096:4099] = b'now'
    say(result(pages.flush))
    say([os.preadv(direct, [buffer], 0), buffer[4096:4099].decode()])
`;

kernelTest(
  'a store by mmap into a hole of a full filesystem: msync says ENOSPC',
  async () => {
    const filesystem = new MemoryFs({ size: 1 << 20 });
    await using m = await mounted(filesystem, {}, { watchdog: WATCHDOG });
    await sh('fallocate -l 1M all', m.dir);
    expect(await python(m.dir, ROOM_AGAIN + MAPPED)).toEqual([
      ['ENOSPC', 'there'],
      null,
      [8192, '0000000000', '0000000000'],
      null,
      [8192, 'now'],
    ]);
    filesystem.check();
  },
  TIMEOUT,
);
