/**
 * `npm run bench -- union`: UnionFs on one thread over the device, and on one and on one a CPU over io_uring, in turns with Debian's mergerfs with the same options on as many
 * branches of the same filesystem; and what 8 and 32 branches cost against 2, which policies that stop early should not.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Bench, paired, type Row } from './measure.ts';
import { Peer } from './peer.ts';
import { branchesOf, Server, type Timed, UNION_OPTIONS } from './servers.ts';

const OPERATIONS = [
  'statfs',
  'statx_sync',
  'open_close',
  'create_unlink',
  'mkdir_rmdir',
  'readdir',
  'list10000',
  'changed10000',
  'read4k',
  'write4k',
  'seqread',
  'seqwrite',
];
const WAYS = [
  { which: 'union 2', transport: 'device', title: 'device' },
  { which: 'union 2', transport: 'uring', title: 'io_uring' },
  { which: 'union threads 2', transport: 'uring', title: 'io_uring, threads' },
] as const;
/** Those that ask a policy. */
const CHOOSING = ['statx_sync', 'open_close', 'create_unlink'];
/** How long each of our servers is warmed up, in s. */
const WARM = 3;
/** How long the load client may take beside what is measured, in ms: it makes 10,000 files first. */
const PATIENCE = 60_000;

export const union: Bench = {
  name: 'union',
  async *rows(quick) {
    // mergerfs hands O_DIRECT on to the branch, where not every filesystem takes every memory.
    process.env.MB_NO_DIRECT = '1';
    const place = await mkdtemp(join(tmpdir(), 'rawfuse-bench-'));
    const theirs = await mergerfs(branchesOf(place, '2'));
    try {
      for (const { which, transport, title } of WAYS) {
        const ours = await Server.start(which, 'errno', 'sync', transport);
        try {
          for (const clients of [1, 4])
            for (const op of OPERATIONS)
              yield await row(quick, `${op}, ${title}, against mergerfs`, op, clients, ours, theirs);
        } finally {
          await ours.stop();
        }
      }
    } finally {
      await theirs.stop();
      await rm(`${place}-source`, { recursive: true, force: true });
      await rm(place, { recursive: true, force: true });
    }
    const two = await Server.start('union 2');
    try {
      for (const branches of [8, 32]) {
        const many = await Server.start(`union ${branches}`);
        try {
          for (const op of CHOOSING) yield await row(quick, `${op}, ${branches} branches against 2`, op, 1, many, two);
        } finally {
          await many.stop();
        }
      }
    } finally {
      await two.stop();
    }
  },
};

interface Served {
  load(op: string, clients: number, seconds: number, patience?: number): Promise<Timed>;
}
async function row(
  quick: boolean,
  title: string,
  op: string,
  clients: number,
  ours: Served,
  other: Served,
): Promise<Row> {
  const load = (of: Served) => of.load(op, clients, quick ? 0.1 : 0.4, PATIENCE);
  // Makes the files, and compiles: each thread for itself, some 10,000 calls of an operation.
  await other.load(op, clients, quick ? 0.1 : 0.4, PATIENCE);
  await ours.load(op, clients, quick ? 0.1 : WARM, PATIENCE);
  const figures = await paired(
    { rounds: quick ? 1 : 5, most: 20_000 },
    () => load(ours),
    () => load(other),
  );
  return { bench: 'union', case: title, clients, unit: op.startsWith('seq') ? 'MB/s' : 'ops/s', ...figures };
}

async function mergerfs(branches: string): Promise<Peer> {
  for (const each of branches.split(':')) await mkdir(each, { recursive: true });
  const options = Object.entries({ ...UNION_OPTIONS, allow_other: '' }).map(([name, value]) =>
    value ? `${name}=${value}` : name,
  );
  try {
    return await Peer.start('mergerfs', ['-f', '-o', options.join(), branches]);
  } catch (error) {
    throw new Error(`mergerfs does not start (apt-get install mergerfs): ${(error as Error).message}`);
  }
}
