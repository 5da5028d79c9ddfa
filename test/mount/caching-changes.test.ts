/**
 * What caching is for and what it must not lose: that what may be kept is not asked for, that written data gets where it belongs when
 * the kernel keeps it, and that changes in the source are told, all of them, and none that the kernel has made itself.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { PassthroughFs } from '../../src/fs/index.ts';
import type { TraceEvent } from '../../src/protocol/trace.ts';
import { PYTHON } from '../interpreter.ts';
import { native } from '../random/native.ts';
import { kernelTest, run, sh, temporary, until } from '../support.ts';
import { TRANSPORT } from '../transport.ts';
import { passthrough, type Wishes } from './passthrough.ts';
import { Client, python } from './python.ts';

/** On one thread over the device, on several over the ring. */
const threads = TRANSPORT === 'uring' ? ({ threads: 'cpus' } as const) : {};

/** A mount with what goes over its connection: operations that are asked for, and notifications. */
async function traced(wishes: Wishes) {
  const asked: string[] = [];
  const told: Extract<TraceEvent, { kind: 'notification' }>[] = [];
  const trace = (event: TraceEvent) => {
    if (event.kind === 'request') asked.push(event.operation);
    if (event.kind === 'notification') told.push(event);
  };
  const m = await passthrough({ kind: 'ext4', ...wishes, mount: { ...threads, ...wishes.mount, trace } });
  return { ...m, asked, told, [Symbol.asyncDispose]: () => m[Symbol.asyncDispose]() };
}

kernelTest('what may be kept is not asked for again: stat, open, read, readdir, readlink, absent names', async () => {
  const script = `
def use():
    os.stat(P('d/f'))
    result(os.stat, P('d/absent'))
    os.readlink(P('l'))
    os.listdir(P('d'))
    return slurp('d/f')
for i in range(3): use()
say('warm')
told()
for i in range(20): use()
say('done')
told()`;
  const counts: Record<string, Record<string, number>> = {};
  for (const kernelPassthrough of [false, true]) {
    await using m = await traced({ cache: 'always', kernelPassthrough });
    await sh('mkdir d; echo text > d/f; ln -s f l', m.source);
    await using client = new Client(m.dir, script);
    await client.said();
    const before = m.asked.length;
    client.tell();
    await client.said();
    const count: Record<string, number> = {};
    for (const operation of m.asked.slice(before)) count[operation] = (count[operation] ?? 0) + 1;
    for (const late of ['RELEASE', 'RELEASEDIR']) delete count[late]; // sent when nobody waits
    counts[`${kernelPassthrough}`] = count;
  }
  // A descriptor is what makes an open file here. Nothing else is asked; and by the kernel itself access times are new, which fstat(2) asks for.
  expect(counts.false).toEqual({ OPEN: 20, OPENDIR: 20 });
  expect(counts.true).toMatchObject({ OPEN: 20, OPENDIR: 20 });
  expect(Object.keys(counts.true!).filter((each) => !['OPEN', 'OPENDIR', 'GETATTR'].includes(each))).toEqual([]);
});

kernelTest('the mount’s timeouts hold before the policy’s', async () => {
  await using m = await traced({ cache: 'always', mount: { attrTimeout: 0, negativeTimeout: 0 } });
  await sh('echo > f', m.source);
  const use = "for i in range(5): os.stat(P('f')); result(os.stat, P('absent'))";
  await python(m.dir, use);
  const count = (operation: string) => m.asked.filter((each) => each === operation).length;
  expect([count('GETATTR') >= 4, count('LOOKUP') >= 6]).toEqual([true, true]);
  expect(count('LOOKUP'), 'the name that is there is kept').toBeLessThan(10);
});

kernelTest('writeback: what is written is kept, and below at fsync, at close and when it is cut', async () => {
  await using m = await traced({ writeback: true });
  const below = (name: string) => readFileSync(join(m.source, name), 'latin1');
  const script = `
import mmap
f = os.open(P('f'), os.O_CREAT | os.O_WRONLY, 0o600)
for i in range(100): os.pwrite(f, b'x' * 10, i * 10)
say(os.fstat(f).st_size)
told()
os.fsync(f)
say('synced')
told()
os.pwrite(f, b'MIDDLE', 500)                # reads what is around it, of a file that was opened for writing
os.ftruncate(f, 505)
os.close(f)
a = os.open(P('f'), os.O_WRONLY | os.O_APPEND)
os.write(a, b'end')
os.utime(P('f'), ns=(10**18, 10**18 + 5))
os.close(a)
say(os.stat(P('f')).st_mtime_ns)
told()
m = os.open(P('m'), os.O_CREAT | os.O_RDWR)
os.ftruncate(m, 8192)
with mmap.mmap(m, 8192) as mapped:
    mapped[4094:4098] = b'both'
    mapped.flush()
say('mapped')`;
  await using client = new Client(m.dir, script);
  const next = () => {
    client.tell();
    return client.said();
  };
  expect(await client.said()).toBe(1000);
  expect(m.asked.filter((each) => each === 'WRITE').length, 'a hundred small writes cost no request each').toBeLessThan(
    20,
  );
  expect(await next()).toBe('synced');
  expect(below('f')).toBe('x'.repeat(1000));
  expect(await next()).toBe(10 ** 18);
  expect(below('f')).toBe(`${'x'.repeat(500)}MIDDLend`);
  expect(statSync(join(m.source, 'f'), { bigint: true }).mtimeNs).toBe(10n ** 18n + 5n);
  expect(await next()).toBe('mapped');
  expect(below('m').slice(4092, 4100)).toBe('\0\0both\0\0');
});

kernelTest('writeback: what is still to be written is data to who looks for holes, and is copied', async () => {
  await using m = await traced({ writeback: true });
  const script = `
import shutil, subprocess
held = []
for name, size in [('short', 10), ('sparse', 1 << 20), ('long', 100_000)]:
    f = os.open(P(name), os.O_CREAT | os.O_RDWR)
    held.append(f)                      # close(2) would write it
    os.ftruncate(f, size)
    os.pwrite(f, b'text', size // 2)
    copy = P('copy of ' + name)
    subprocess.run(['cp', '--sparse=auto', P(name), copy], check=True)
    say([result(os.lseek, f, size // 2, os.SEEK_DATA) == size // 2, result(os.lseek, f, size, os.SEEK_DATA), os.lseek(f, 0, os.SEEK_HOLE) == size,
         slurp(copy) == slurp(name), slurp(name).count('text')])`;
  const all = [true, 'ENXIO', true, true, 1];
  expect(await python(m.dir, script)).toEqual([all, all, all]);
  expect(m.asked.filter((each) => each === 'LSEEK')).toHaveLength(1);
});

kernelTest(
  'writeback: two mounts of one source see what the other has closed, and lose nothing of their own',
  async () => {
    await using source = await native('ext4');
    await using one = await passthrough({ source: source.dir, writeback: true, mount: threads });
    await using two = await passthrough({ source: source.dir, writeback: true, mount: threads });
    await sh('head -c 300000 /dev/urandom > a', one.dir);
    await sh('head -c 300000 /dev/urandom > b', two.dir);
    expect(await run('cmp', [join(one.dir, 'a'), join(two.dir, 'a')])).toBe('');
    expect(await run('cmp', [join(one.dir, 'b'), join(two.dir, 'b')])).toBe('');
    // Both have one file open: what one writes where the other does not is in it in the end.
    await sh('truncate -s 8192 c', source.dir);
    const write = (dir: string, at: number) =>
      python(dir, `f = os.open(P('c'), os.O_RDWR); os.pwrite(f, b'${at}' * 4096, ${at} * 4096); os.fsync(f)`);
    await Promise.all([write(one.dir, 0), write(two.dir, 1)]);
    expect(readFileSync(join(source.dir, 'c'), 'latin1')).toBe('0'.repeat(4096) + '1'.repeat(4096));
  },
);

kernelTest('watch: what a client has changed through the mount is not told', async () => {
  await using m = await traced({ cache: 'always', watch: true, kernelPassthrough: false });
  await sh('mkdir d; echo a > d/f; mv d/f d/g; chmod 600 d/g; ln d/g d/h; rm d/h; setfattr -n user.a -v b d/g', m.dir);
  await run('touch', [join(m.source, 'outside')]);
  await until(() => m.told.length > 0, 'what was made outside');
  const names = m.told.flatMap(({ args }) => ('name' in args ? [args.name] : []));
  expect(names).toEqual(['outside']);
});

kernelTest('watch: what the kernel could not tell of is not believed any more', async () => {
  await using m = await traced({ cache: 'always', watch: true, mount: { threads: undefined } });
  await sh('mkdir d; echo one > d/f; touch d/gone', m.source);
  await using client = new Client(
    m.dir,
    `
held = os.open(P('d'), os.O_RDONLY)
def look(): return [os.stat(P('d/f')).st_size, result(lambda: os.stat(P('d/gone')).st_uid), result(lambda: os.stat(P('d/new')).st_uid), sorted(os.listdir(P('d'))), os.fstat(held).st_nlink]
while True:
    say(look())
    told()`,
  );
  expect(await client.said()).toEqual([4, 0, 'ENOENT', ['f', 'gone'], 2]);
  // This thread reads no events meanwhile: more of them come than the kernel keeps, and then what matters.
  const most = Number(readFileSync('/proc/sys/fs/fanotify/max_queued_events', 'latin1'));
  const flood = `
import os, sys
os.chdir(sys.argv[1])
os.mkdir('flood')
for i in range(${most} + 10): os.symlink('x', f'flood/{i}')
with open('d/f', 'w') as f: f.write('longer')
os.remove('d/gone')
os.mkdir('d/new')`;
  expect(spawnSync(PYTHON, ['-c', flood, m.source]).status).toBe(0);
  const now = [6, 'ENOENT', 0, ['f', 'new'], 3];
  let seen: unknown;
  await until(async () => {
    client.tell();
    seen = await client.said();
    return JSON.stringify(seen) === JSON.stringify(now);
  }, 'the news').catch(() => expect(seen).toEqual(now));
  expect(m.told.some(({ operation }) => operation === 'INC_EPOCH')).toBe(true);
});

kernelTest('watch: without file handles there is no mount, and one line that says why', async () => {
  expect(() => new PassthroughFs({ source: '/proc', watch: true })).toThrow(
    /^watch can't be had: \/proc has no file handles, by which the kernel says what has changed: /u,
  );
  const source = temporary();
  writeFileSync(join(source, 'f'), '');
  expect(() => new PassthroughFs({ source, watch: true, inodeHandles: 'descriptors' })).toThrow(
    /^watch needs file handles/u,
  );
  const open = () => readdirSync('/proc/self/fd').length;
  const before = open();
  const unmounted = new PassthroughFs({ source, watch: true });
  expect(open()).toBeGreaterThan(before);
  unmounted.destroy();
  expect(open(), 'one that was never mounted leaves nothing').toBe(before);
  rmSync(source, { recursive: true });
});
