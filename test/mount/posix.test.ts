/**
 * The POSIX table on real mounts, held to what native filesystems do: each row is run on tmpfs, on an ext4 of our
 * own, and on a mount of MemoryFs; what the mount gives must be what Linux gave. Then on mounts with other options,
 * which must not make a difference, and on the filesystem in shared memory that threads serve (shared-memory/).
 *
 * By default all rows are run; where options or threads must make no difference each third or tenth one, another part each time,
 * and all of them with ROWS=all, as in `npm run soak`.
 */
import { chmodSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MemoryFs, type MemoryOptions } from '../../src/fs/index.ts';
import type { MountOptions } from '../../src/options.ts';
import { ROOT } from '../installed.ts';
import { Agent } from '../posix/agent.ts';
import { rows } from '../posix/rows.ts';
import type { Row } from '../posix/table.ts';
import { kernelTest, lacking, mounted, run, type TestMount, temporary, type Watch } from '../support.ts';
import { TRANSPORT } from '../transport.ts';
import { sharedMemory, THREADS, type Threads } from './shared-memory/mounted.ts';

/** How long one mount may serve all rows, in ms. */
const WATCHDOG = 1_200_000;

/** A tmpfs and an ext4 of our own: what the machine has of them may be mounted noexec, or be missing. */
class Natives implements AsyncDisposable {
  readonly #dir = temporary();
  readonly tmpfs = join(this.#dir, 'tmpfs');
  readonly ext4 = join(this.#dir, 'ext4');

  async mount(): Promise<this> {
    chmodSync(this.#dir, 0o755); // rows run as other users, too
    for (const dir of [this.tmpfs, this.ext4]) mkdirSync(dir);
    const image = join(this.#dir, 'image');
    await run('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'none', this.tmpfs]);
    await run('truncate', ['--size=512M', image]);
    await run('mkfs.ext4', ['-q', '-F', '-E', 'lazy_itable_init=1,lazy_journal_init=1', image]);
    await run('mount', ['-o', 'loop,acl,user_xattr', image, this.ext4]);
    return this;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    for (const dir of [this.tmpfs, this.ext4]) await run('umount', ['--lazy', dir]).catch(() => {});
    rmSync(this.#dir, { recursive: true });
  }
}

/** A mount on which the table is run. */
interface Place {
  readonly title: string;
  readonly rows: typeof rows;
  /** Rows that FUSE makes a difference for in this place, where it is not the row's own. */
  readonly fuse?: typeof BY_THE_KERNEL;
  mount(watch: Watch): Promise<TestMount>;
  /** What a row gives where FUSE makes a difference: one of these. */
  differing(fuse: NonNullable<Row['fuse']>, native: unknown, name: string): readonly unknown[];
}

/** Each so-and-so-many-th row, from one on. */
const part = (of: number, from: number): typeof rows =>
  process.env.ROWS === 'all' ? rows : rows.filter((_, i) => i % of === from);

const BY_DEFAULT: MountOptions = {};
/** What the kernel keeps does not depend on the way that requests come: once is enough over the other. */
const mounts: readonly [string, MountOptions, typeof rows, MemoryOptions?][] = [
  ['by default', BY_DEFAULT, rows],
  ...(TRANSPORT === 'device'
    ? ([
        ['without caches', { entryTimeout: 0, attrTimeout: 0 }, part(3, 0)],
        ['with long timeouts', { entryTimeout: 600, attrTimeout: 600, negativeTimeout: 600 }, part(3, 1)],
      ] satisfies [string, MountOptions, typeof rows][])
    : []),
  ['by the kernel', {}, part(8, TRANSPORT === 'device' ? 3 : 7), { kernelPassthrough: true }],
];
/** What rows give where the kernel reads and writes files itself, and the heading of docs/posix.md that says why. */
const BY_THE_KERNEL: Readonly<Record<string, NonNullable<Row['fuse']>>> = Object.fromEntries(
  Object.entries({
    'pwritev2: RWF_NOAPPEND writes at its offset, O_APPEND or not': [2, 2, '0123456789abcd', 'EINVAL'],
    'write: an offset larger than files can be is EFBIG': [1, 1, 'EFBIG', 'EFBIG', 2 ** 53 - 1],
    'times: fcntl takes O_NOATIME for reads that follow': [['a']],
    'times: writing to a mapping moves mtime and ctime, by msync at the latest': [120, ['']],
  }).map(([name, out]) => [name, { out, why: 'Read and written by the kernel' }]),
);
const LIKE_A_DISK: MountOptions = { allowOther: true, dev: true, suid: true };

const memory = ([title, options, rows, own]: (typeof mounts)[number]): Place => ({
  ...{ title, rows },
  ...(own?.kernelPassthrough && { fuse: BY_THE_KERNEL }),
  async mount(watch) {
    const filesystem = new MemoryFs(own);
    const m = await mounted(filesystem, { ...LIKE_A_DISK, ...options }, watch);
    return {
      ...m,
      async [Symbol.asyncDispose]() {
        await m[Symbol.asyncDispose]();
        filesystem.check();
      },
    };
  },
  // By default FUSE must make the difference, or it is to be taken out of the table; other options may undo it.
  differing(fuse, native) {
    if (options !== BY_DEFAULT && !Object.values(BY_THE_KERNEL).includes(fuse)) return [fuse.out, native];
    expect(native).not.toEqual(fuse.out);
    return [fuse.out];
  },
});

/** Rows that give on the filesystem in shared memory what they give natively: it leaves record locks to the kernel, and tells no poll of news. */
const LEFT_TO_THE_KERNEL: readonly string[] = [
  'poll: a change of the content by another is news only on the mount',
  'fcntl F_GETLK: names no process for the lock of an open file',
  'fcntl F_OFD_SETLKW: processes each with an open file of its own wait for each other until one is killed',
];
const threaded = (threads: Threads): Place => ({
  title: `threads ${threads}`,
  rows: threads === 'cpus' ? part(3, TRANSPORT === 'device' ? 2 : 0) : part(10, threads),
  mount: (watch) => sharedMemory({ ...LIKE_A_DISK, threads }, {}, watch),
  differing: ({ out }, native, name) => [LEFT_TO_THE_KERNEL.includes(name) ? native : out],
});

const places: readonly Place[] = [...mounts.map(memory), ...THREADS.map(threaded)];

test('the table has 400 rows or more', () => expect(rows.length).toBeGreaterThanOrEqual(400));

test('the rows that are left to the kernel are there', () =>
  expect(rows.map(([name]) => name)).toEqual(
    expect.arrayContaining([...LEFT_TO_THE_KERNEL, ...Object.keys(BY_THE_KERNEL)]),
  ));

test('docs/posix.md explains each difference that FUSE makes', () => {
  const text = readFileSync(join(ROOT, 'docs/posix.md'), 'utf8');
  const headings = [...text.matchAll(/^#+ (.*)$/gmu)].map(([, heading]) => heading!);
  const all = [...rows.map(([, { fuse }]) => fuse), ...Object.values(BY_THE_KERNEL)];
  const reasons = all.flatMap((fuse) => (fuse ? [fuse.why] : []));
  expect(reasons.filter((why) => !headings.includes(why))).toEqual([]);
});

describe('as Linux does', () => {
  const expected = new Map<string, unknown>();
  let agent: Agent;
  let natives: Natives;
  beforeAll(async () => {
    agent = new Agent();
    if (lacking === undefined) natives = await new Natives().mount();
  });
  afterAll(async () => {
    await agent[Symbol.asyncDispose]();
    await natives?.[Symbol.asyncDispose]();
  });

  for (const [name, row] of rows)
    kernelTest(`natively: ${name}`, async () => {
      const { like = 'tmpfs' } = row;
      expected.set(name, await agent.run(row.script, natives[like]));
      // That has nothing to do with a transport.
      if (row.like === undefined && TRANSPORT === 'device')
        expect(await agent.run(row.script, natives.ext4), 'ext4 does as tmpfs').toEqual(expected.get(name));
    });

  for (const { title, rows, fuse: own, mount, differing } of places)
    describe(title, () => {
      let m: TestMount;
      beforeAll(async () => {
        if (lacking === undefined) m = await mount({ watchdog: WATCHDOG });
      });
      afterAll(async () => await m?.[Symbol.asyncDispose](), 60_000);
      for (const [name, { script, fuse = own?.[name] }] of rows)
        kernelTest(`${title}: ${name}`, async () => {
          const found = await agent.run(script, m.dir);
          const native = expected.get(name);
          if (fuse === undefined) expect(found).toEqual(native);
          else expect(differing(fuse, native, name)).toContainEqual(found);
        });
    });
});

kernelTest('the table can fail: a filesystem that loses what is written at the end of a file is found', async () => {
  const broken = new (class extends MemoryFs {
    override write(...[request, args]: Parameters<MemoryFs['write']>) {
      return super.write(request, args.offset > 0 ? { ...args, data: Buffer.from(args.data).fill(0) } : args);
    }
  })();
  await using m = await mounted(broken, { allowOther: true });
  await using agent = new Agent();
  const script = "write('a', 'one'); fd = os.open('a', O_WRONLY | O_APPEND); os.write(fd, b'two'); out(read('a'))";
  expect(await agent.run(script, m.dir)).not.toEqual(['onetwo']);
});
