/**
 * PassthroughFs with files that the kernel reads and writes itself: that no request for data comes, from any thread, and that all
 * else is as with requests.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { PassthroughFs } from '../../src/fs/index.ts';
import type { TraceEvent } from '../../src/protocol/trace.ts';
import { kernelTest, mounted, run, sh, temporary } from '../support.ts';
import { as, passthrough } from './passthrough.ts';
import { Client, python } from './python.ts';

/** What is asked of a server for what is in files. */
const DATA = new Set(['READ', 'WRITE']);

/** As it is by default. */
async function handing(threads?: 'cpus') {
  const asked: string[] = [];
  const trace = (event: TraceEvent) => {
    if (event.kind === 'request') asked.push(event.operation);
  };
  const m = await passthrough({
    kind: 'ext4',
    mount: { trace, ...(threads && { threads }) },
  });
  return { ...m, asked, [Symbol.asyncDispose]: () => m[Symbol.asyncDispose]() };
}

for (const [title, threads] of [
  ['on one thread', undefined],
  ['by threads', 'cpus'],
] as const) {
  kernelTest(`data of files that are there, new and unnamed takes no request, ${title}`, async () => {
    await using m = await handing(threads);
    writeFileSync(join(m.source, 'old'), 'old');
    const script = `
import mmap
say(slurp('old'))
for flags in [os.O_CREAT | os.O_EXCL, os.O_TRUNC, os.O_APPEND, os.O_DIRECT]:
    file = os.open(P('new'), os.O_RDWR | flags)
    block = mmap.mmap(-1, 4096)
    block[:] = b'x' * 4096
    say(os.writev(file, [block]))
    os.close(file)
file = os.open(P(), os.O_TMPFILE | os.O_RDWR)
os.write(file, b'unnamed')
say(os.pread(file, 10, 0).decode())
say([os.stat(P('new')).st_size, os.stat(P('old')).st_size])`;
    expect(await python(m.dir, script)).toEqual(['old', 4096, 4096, 4096, 4096, 'unnamed', [8192, 3]]);
    expect(readFileSync(join(m.source, 'new')).length).toBe(8192);
    expect(m.asked).toContain('OPEN');
    expect(m.asked.filter((each) => DATA.has(each))).toEqual([]);
  });

  kernelTest(`who opens a file again and again, at once, in any order, never gets EIO, ${title}`, async () => {
    await using m = await handing(threads);
    const script = `
import random
random.seed(int(told()))
held = []
for i in range(400):
    if held and random.random() < .5: os.close(held.pop(random.randrange(len(held))))
    else: held.append(os.open(P('f%d' % random.randrange(4)), os.O_RDWR | os.O_CREAT))
    for fd in held[-2:]: os.pwrite(fd, b'text', 0); os.pread(fd, 4, 0)
say('whole')`;
    const clients = [1, 2, 3, 4].map(() => new Client(m.dir, script));
    for (const [i, client] of clients.entries()) client.tell(`${i}`);
    for (const client of clients) expect(await client.said()).toBe('whole');
    for (const client of clients) await client[Symbol.asyncDispose]();
    expect(m.asked.filter((each) => DATA.has(each))).toEqual([]);
  });
}

kernelTest('a stranger who writes takes setuid, setgid and capabilities away', async () => {
  await using m = await handing();
  await sh('for f in a b; do echo x > $f; chmod 6777 $f; setcap cap_net_raw+ep $f; done', m.source);
  for (const name of ['a', 'b'])
    await as(65534, '', name === 'a' ? `echo more >> ${name}` : `truncate -s 1 ${name}`, m.dir);
  const left = (dir: string) => sh('stat -c %a a b; getcap a b', dir);
  expect(await left(m.source)).toBe('777\n777\n');
  expect(await left(m.dir)).toBe('777\n777\n');
});

kernelTest('who writes and reads an open file asks for nothing at all', async () => {
  await using m = await handing();
  await sh('echo x > f; chmod 666 f', m.source);
  const script = `
fd = os.open(P('f'), os.O_RDWR)
os.pwrite(fd, b'y', 0)
say('begin')
told()
for i in range(100): os.pwrite(fd, b'text', i); os.pread(fd, 4, i)
say('end')
told()`;
  await using one = new Client(m.dir, script);
  await one.said();
  const before = m.asked.length;
  one.tell();
  await one.said();
  expect(m.asked.slice(before)).toEqual([]);
});

kernelTest('so does root, who natively would not', async () => {
  await using m = await handing();
  const script = 'echo x > f; chmod 6777 f; echo more >> f';
  await sh(script, m.dir);
  expect(await sh('stat -c %a f', m.source)).toBe('777\n');
});

kernelTest('files of overlayfs go by requests, and made-up ones, and one line says why', async () => {
  const place = temporary();
  const warnings: string[] = [];
  const onWarning = (message: string) => void warnings.push(message);
  await run('mount', ['-t', 'tmpfs', 'rawfuse-test', place]);
  try {
    await sh('mkdir lower upper work merged; echo text > lower/f', place);
    await sh('mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none merged', place);
    await using m = await passthrough({ source: join(place, 'merged'), mount: { onWarning } });
    expect(await sh('cat f; echo more >> f; cat f f; echo new > g; cat g', m.dir)).toBe(
      'text\ntext\nmore\ntext\nmore\nnew\n',
    );
    expect(warnings).toEqual([
      'some files are read and written by requests, not by the kernel: they have no file handles, as on procfs and overlayfs',
    ]);
    expect(m.mount.session.warnings).toEqual(warnings);
  } finally {
    await run('umount', ['-l', join(place, 'merged')]).catch(() => {});
    await run('umount', ['-l', place]);
    rmSync(place, { recursive: true });
  }
  // They have read(2) alone, which the kernel can't make for us; and no size, so that only who reads past the page cache gets anything.
  await using made = await passthrough({ source: '/proc/self/net', cache: 'none', mount: { onWarning } });
  expect(await sh('head -c 5 route', made.dir)).toBe('Iface');
  expect(new Set(warnings).size).toBe(1);
});

kernelTest('where files must be handed over, and can not be, there is no mount', async () => {
  const dir = temporary();
  const filesystem = new PassthroughFs({ source: dir, kernelPassthrough: true });
  const init = filesystem.init.bind(filesystem);
  // As a kernel before Linux 6.9 has it.
  filesystem.init = (connection) => init({ ...connection, agreed: new Set() });
  await expect(mounted(filesystem)).rejects.toThrow(
    "kernelPassthrough can't be had: the kernel has no FUSE_PASSTHROUGH (Linux 6.9)",
  );
  rmSync(dir, { recursive: true });
});
