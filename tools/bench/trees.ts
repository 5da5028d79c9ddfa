/**
 * `npm run bench -- trees`: what people do with many files, through a mount of PassthroughFs and in the directory itself, in turns: `git status`
 * of 50,000 files, `tar x` of 70,000, `find -ls` over 200,000. TREES=0.1 takes a tenth of them. What is timed begins with nothing known to the
 * kernel of the mount, but for the rows that say again; the directory itself is known to it always.
 */
import { execFile } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { inDirectory } from './directory.ts';
import { type Bench, paired, type Row, type Sample } from './measure.ts';
import { Server, sourceOf } from './servers.ts';

const run = promisify(execFile);
/** Files in a directory. */
const EACH = 100;
const SCALE = Number(process.env.TREES ?? 1);

const WAYS = [
  { which: 'passthrough', transport: 'device' },
  { which: 'passthrough threads', transport: 'uring' },
] as const;

/** Makes that many small files, in directories of some. */
async function grow(tree: string, files: number): Promise<void> {
  for (let directory = 0; directory * EACH < files; directory++) {
    const path = join(tree, `d${directory}`);
    await mkdir(path, { recursive: true });
    const names = Array.from({ length: Math.min(EACH, files - directory * EACH) }, (_, i) =>
      join(path, `file-${i}.txt`),
    );
    await Promise.all(names.map((name) => writeFile(name, `${name}\n`)));
  }
}
const git = (tree: string, ...args: string[]) =>
  run('git', ['-C', tree, '-c', 'user.name=bench', '-c', 'user.email=bench@example.org', ...args], {
    env: { ...process.env, GIT_OPTIONAL_LOCKS: '0' },
    maxBuffer: 1 << 26,
  });

interface Work {
  readonly name: string;
  readonly files: number;
  /** Whether the kernel is to forget what it knows of the mount first. */
  readonly cold: boolean;
  /** Makes what is needed, in the source. */
  prepare(source: string, aside: string): Promise<void>;
  /** What is timed, in the source or in the mount. */
  work(directory: string, aside: string): Promise<unknown>;
  /** What is done after each, in the source. */
  after?(source: string): Promise<void>;
}
const many = (files: number): number => Math.max(EACH, Math.round((files * SCALE) / EACH) * EACH);
const status = {
  files: many(50_000),
  async prepare(source: string) {
    const tree = join(source, 'repository');
    await grow(tree, many(50_000));
    await git(tree, 'init', '--quiet');
    await git(tree, 'add', '--all');
    await git(tree, 'commit', '--quiet', '--message=all');
  },
  work: (directory: string) => git(join(directory, 'repository'), 'status', '--porcelain'),
};
const WORKS: readonly Work[] = [
  { name: 'git status', ...status, cold: true },
  { name: 'git status, again', ...status, cold: false, prepare: async () => {} },
  {
    ...{ name: 'tar x', files: many(70_000), cold: true },
    async prepare(_, aside) {
      await grow(join(aside, 'tree'), many(70_000));
      await run('tar', ['-cf', join(aside, 'tree.tar'), '-C', aside, 'tree']);
    },
    work: (directory, aside) => run('tar', ['-xf', join(aside, 'tree.tar'), '-C', directory]),
    after: (source) => rm(join(source, 'tree'), { recursive: true }),
  },
  {
    ...{ name: 'find -ls', files: many(200_000), cold: true },
    prepare: (source) => grow(join(source, 'listed'), many(200_000)),
    work: (directory) => run('sh', ['-c', 'find "$0" -ls > /dev/null', join(directory, 'listed')]),
  },
];

export const trees: Bench = {
  name: 'trees',
  rows: (quick) => inDirectory((aside) => measured(aside, quick)),
};

async function* measured(aside: string, quick: boolean): AsyncGenerator<Row> {
  for (const { which, transport } of WAYS) {
    const server = await Server.start(which, 'errno', 'sync', transport);
    const source = sourceOf(server.directory);
    try {
      for (const { name, files, cold, prepare, work, after } of WORKS) {
        await prepare(source, aside);
        const timed = async (directory: string, cpu: () => Promise<number>): Promise<Sample> => {
          if (cold) await run('mount', ['-i', '-n', '-o', 'remount', server.directory]);
          const [began, before] = [performance.now(), await cpu()];
          await work(directory, aside);
          const sample = { value: (performance.now() - began) / 1000, cpu: ((await cpu()) - before) / files };
          await after?.(source);
          return sample;
        };
        const figures = await paired(
          quick ? { rounds: 1, most: 20_000 } : { rounds: 3, most: 120_000 },
          () => timed(server.directory, () => server.ask('cpu')),
          () => timed(source, async () => 0),
        );
        const title = `${name}, ${files.toLocaleString('en')} files: ${transport}${which.endsWith('threads') ? ', threads' : ''}`;
        yield { bench: 'trees', case: title, clients: 1, ...figures, unit: 's', baselineCpuUs: null };
      }
    } finally {
      await server.stop();
    }
  }
}
