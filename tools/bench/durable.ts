/**
 * `npm run bench -- durable`: appends of 4 KiB that are on the disk when they return, one at a time, against a loop in C
 * (durable.c) that submits the same linked write and fdatasync, and against pwrite(2) and fdatasync(2) in C; and 64 callers who
 * share an fsync. What is measured is the disk of the directory for temporary files.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { inDirectory } from './directory.ts';
import { type Bench, median, paired, type Row, type Sample } from './measure.ts';
import { built, compiled } from './servers.ts';

const CALLERS = 64;
/** Appends in a turn. */
const TURN = 16;
const TMPFS = 0x0102_1994;

export const durable: Bench = {
  name: 'durable',
  unprivileged: true,
  rows: (quick) => inDirectory((directory) => measured(directory, quick)),
};

/** A process that appends: in short turns with another, since a disk's latency changes from one second to the next. */
class Appender {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(program: string, args: readonly string[]) {
    this.#process = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.#process.stdout! })[Symbol.asyncIterator]();
  }
  /** Microseconds for each. */
  async appends(count: number): Promise<Sample> {
    this.#process.stdin!.write(`${count}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.#process.spawnargs.join(' ')} ended`);
    return { value: Number(value) / count / 1000 };
  }
  end(): void {
    this.#process.stdin!.end();
  }
}
type Start = () => Appender;

async function* measured(directory: string, quick: boolean): AsyncGenerator<Row> {
  const rounds = quick ? { rounds: 20, most: 1000 } : { rounds: 60, most: 2500 };
  const processes = quick ? 1 : 3;
  if ((await statfs(directory)).type === TMPFS)
    console.error('temporary files are in memory, where nothing is durable: TMPDIR moves them');
  const program = await compiled('durable');
  let made = 0;
  const file = () => join(directory, `${made++}`);
  const c =
    (how: string): Start =>
    () =>
      new Appender(program, [file(), how]);
  const ours =
    (durability: string, callers = 1, ...variant: string[]): Start =>
    () =>
      new Appender(process.execPath, [built('durable-load.js'), file(), durability, `${callers}`, ...variant]);

  const rows: readonly (readonly [name: string, one: Start, other: Start, target?: string])[] = [
    ['durable append of 4 KiB, as by default, against linked in C', ours('rwf_dsync'), c('linked'), '<= 1.15'],
    ['the same against RWF_DSYNC in C', ours('rwf_dsync'), c('dsync')],
    ['linked, against C', ours('linked'), c('linked')],
    ['linked, against pwrite and fdatasync in C', ours('linked'), c('pwrite')],
    ['separate, against pwrite and fdatasync in C', ours('separate'), c('pwrite')],
    ['rwf_dsync, against pwrite and fdatasync in C', ours('rwf_dsync'), c('pwrite')],
    ['C: linked, against pwrite and fdatasync', c('linked'), c('pwrite'), '1 to 1.45'],
    ['C: RWF_DSYNC, against pwrite and fdatasync', c('dsync'), c('pwrite')],
    ['linked, against separate', ours('linked'), ours('separate')],
    ['linked, against rwf_dsync', ours('linked'), ours('rwf_dsync')],
    ['linked with SQPOLL, against without', ours('linked', 1, 'sqpoll'), ours('linked')],
    ['linked with SQPOLL, against C with SQPOLL', ours('linked', 1, 'sqpoll'), c('sqpoll')],
    ['by threads, against the ring', ours('linked', 1, 'threads'), ours('linked')],
  ];
  /** `scale`: appends of the first for each of the other. */
  const once = async (one: Start, other: Start, of: (sample: Sample) => Sample, scale: number) => {
    const [first, second] = [one(), other()];
    try {
      for (const each of [first, second]) await each.appends(TURN);
      const turn = (appender: Appender, count: number) => async () => of(await appender.appends(count));
      return await paired(rounds, turn(first, scale * TURN), turn(second, TURN));
    } finally {
      for (const each of [first, second]) each.end();
    }
  };
  /** Several processes of each side, one after the other: on which CPU one comes to be matters, and it stays there. */
  const compare = async (...what: Parameters<typeof once>) => {
    const all: Awaited<ReturnType<typeof once>>[] = [];
    for (let i = 0; i < processes; i++) all.push(await once(...what));
    const of = (name: 'ours' | 'baseline' | 'ratio') => median(all.map((each) => each[name]));
    return { ...all[0]!, ours: of('ours'), baseline: of('baseline'), ratio: of('ratio') };
  };
  const row = { bench: 'durable', clients: 0 };
  const plain = (sample: Sample) => sample;
  const rate = ({ value }: Sample): Sample => ({ value: 1e6 / value });
  const shared = await compare(ours('linked', CALLERS), ours('linked'), rate, CALLERS / 4);
  yield { ...row, ...shared, case: `${CALLERS} callers, against one`, unit: 'ops/s', target: '>= 8' };
  for (const [name, one, other, target] of rows)
    yield { ...row, ...(await compare(one, other, plain, 1)), case: name, unit: 'us', target };
}
