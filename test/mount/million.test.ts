/**
 * Files in numbers: made, renamed and removed, after which the server has its memory back and statfs says what
 * it said before. 20,000 of them, or as many as FILES= says. What was measured is printed.
 */
import { expect } from 'vitest';
import { forgetUnused, kernelTest, until } from '../support.ts';
import { python } from './python.ts';
import { ServerProcess } from './servers/process.ts';
import type { Weight } from './servers/weigh.ts';

const FILES = process.env.FILES === undefined ? 20_000 : Number(process.env.FILES);
if (!Number.isInteger(FILES) || FILES < 1000) throw new Error(`FILES=${process.env.FILES} is no number from 1000 on`);
/** How many clients share the work, and work at the same time. */
const CLIENTS = 2;
/** In ms: half a second for a thousand files, where a tenth is enough. */
const TIMEOUT = 30_000 + FILES / 2;
const MiB = 1 << 20;

/** Makes files in a directory of the client's own; a few have content, few are links to others. */
const MAKE = `
os.mkdir(P(WHO))
os.chdir(P(WHO))
for n in range(COUNT):
    if n % 10 == 0:
        fd = os.open(f'file-{n}', os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        if n % 100 == 0:
            os.write(fd, b'content')
        os.close(fd)
    else:
        os.mknod(f'file-{n}')
`;
/** Gives every file a new name, in a directory that all clients use: most by renaming, some by link and unlink. */
const RENAME = `
os.chdir(P(WHO))
for n in range(COUNT):
    if n % 10 == 1:
        os.link(f'file-{n}', f'../all/{WHO}-{n}')
        os.unlink(f'file-{n}')
    else:
        os.rename(f'file-{n}', f'../all/{WHO}-{n}')
say(os.listdir('.'))
`;
const REMOVE = `
os.chdir(P('all'))
for n in range(COUNT):
    os.unlink(f'{WHO}-{n}')
os.rmdir(P(WHO))
`;
const STATFS = `
s = os.statvfs(DIR)
say([s.f_blocks, s.f_bfree, s.f_bavail, s.f_files, s.f_ffree, s.f_favail])
`;

/** What the server weighs, with no garbage. */
async function weigh(server: ServerProcess): Promise<Weight> {
  const said = () => server.out.match(/^\{.*\}$/gmu) ?? [];
  const before = said().length;
  server.process.kill('SIGUSR2');
  await until(() => said().length > before || server.err !== '', 'the weight', TIMEOUT);
  expect(server.err).toBe('');
  return JSON.parse(said().at(-1)!) as Weight;
}

const all = (server: ServerProcess, files: number, script: string): Promise<unknown[]> =>
  Promise.all(
    Array.from({ length: CLIENTS }, (_, at) =>
      python(server.dir, `WHO, COUNT = 'client-${at}', ${files / CLIENTS}\n${script}`, TIMEOUT),
    ),
  );

/** Makes, renames and removes so many files; what the server weighs before, with them, and after. */
async function round(server: ServerProcess, files: number): Promise<[Weight, Weight, Weight]> {
  const [room] = await python(server.dir, STATFS);
  const before = await weigh(server);
  await all(server, files, MAKE);
  const full = await weigh(server);
  const [used] = (await python(server.dir, STATFS)) as [number[]];
  expect((room as number[])[4]! - used[4]!).toBe(files + CLIENTS);
  await python(server.dir, "os.mkdir(P('all'))");
  expect(await all(server, files, RENAME)).toEqual(Array.from({ length: CLIENTS }, () => [[]]));
  await all(server, files, REMOVE);
  await python(server.dir, "os.rmdir(P('all'))");
  let after = await weigh(server);
  for (let tries = 0; after.nodes > 1 && tries < 50; tries++) {
    await forgetUnused(server.dir);
    after = await weigh(server);
  }
  expect(after.nodes).toBe(1);
  expect((await python(server.dir, STATFS))[0]).toEqual(room);
  return [before, full, after];
}

kernelTest(
  `${FILES.toLocaleString('en')} files made, renamed and removed leave nothing behind`,
  async () => {
    await using server = new ServerProcess('weigh.ts');
    await server.says('ready');
    await round(server, 5000); // what is loaded and compiled at the first use is no leak
    const [before, full, after] = await round(server, FILES);
    const each = (of: (weight: Weight) => number) =>
      [before, full, after].map((weight) => Math.round(of(weight) / MiB)).join(', ');
    const perFile = Math.round((full.rss - before.rss) / FILES);
    console.log(
      `${FILES} files: before, with them, after, in MiB: RSS ${each(({ rss }) => rss)};` +
        ` heap ${each(({ heap }) => heap)}; outside ${each(({ outside }) => outside)}; RSS per file ${perFile} bytes`,
    );
    // Of a file something stays when it is forgotten where it should be: far more than these 20 bytes each. What is
    // outside of the heap is the address space of the files' content, which is kept; the memory behind it is not.
    expect(full.heap - before.heap).toBeGreaterThan(100 * FILES);
    expect(after.heap - before.heap).toBeLessThan(MiB + 20 * FILES);
    // What the allocators keep for later is not given back at once: judged where there is much of it.
    expect(after.rss - before.rss).toBeLessThan(48 * MiB + (full.rss - before.rss) / 4);
  },
  3 * TIMEOUT,
);
