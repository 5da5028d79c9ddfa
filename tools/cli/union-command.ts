/** `rawfuse union df DIR`: the branches of a mounted union, how full they are, and where a new file would go now. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { getxattr } from '../../src/abi/files.ts';
import { Scratch } from '../../src/fs/passthrough/scratch.ts';
import { UnionFs } from '../../src/fs/union/union.ts';
import { COMMON, type Command, EXIT_CODES, Failure, OK, UsageError } from './command.ts';

/** What the shares of branches are found with, where chance decides. */
const SAMPLES = 1000;
const UNITS = ['B', 'K', 'M', 'G', 'T', 'P'] as const;

export const command: Command = {
  summary: 'look at a mounted union',
  help: () => `Usage: rawfuse union df DIR

Shows the branches of the union that is mounted at DIR in order: mode, size, what is
used and available, what has to stay available for new files, and which part of the
files that are made in its root would go there now. What is shown comes from its
control file, DIR/.mergerfs, and so of mergerfs too.

Options:
  --help, -h            this text
  --debug               show the stack of an error

${EXIT_CODES}
`,
  async run(args) {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: COMMON,
      allowPositionals: true,
      strict: true,
    });
    if (values.help) {
      process.stdout.write(command.help());
      return OK;
    }
    const [what, directory, ...more] = positionals;
    if (what !== 'df' || directory === undefined || more.length > 0)
      throw new UsageError('union takes what to show, and a directory: rawfuse union df DIR');
    console.log(df(resolve(directory)));
    return OK;
  },
};

function df(directory: string): string {
  const option = reader(directory);
  const [branches, minfreespace, policy] = [option('branches'), option('minfreespace'), option('func.create')];
  const options = { minfreespace, 'func.create': policy, 'cache.statfs': '60' };
  let sample = 0;
  const filesystem = new UnionFs({ branches, options }, {}, () => (sample + 0.5) / SAMPLES);
  try {
    const hits = new Map<string, number>();
    let refusal = '';
    for (sample = 0; sample < SAMPLES; sample++) {
      try {
        for (const { path } of filesystem.wouldCreate().slice(0, 1)) hits.set(path, (hits.get(path) ?? 0) + 1);
      } catch (error) {
        refusal = (error as Error).message;
        break;
      }
    }
    const rows = filesystem
      .spaces()
      .map(({ path, mode, minFreeSpace, space }) => [
        ...[path, mode, size(space && space.used + space.available), size(space?.used), size(space?.available)],
        ...[size(minFreeSpace), share(hits.get(path))],
      ]);
    const table = [['Branch', 'Mode', 'Size', 'Used', 'Avail', 'Keeps', `New (${policy})`], ...rows];
    return [...aligned(table), ...(refusal ? [`a new file would be refused: ${refusal}`] : [])].join('\n');
  } finally {
    filesystem.destroy();
  }
}

/** Reads options of a mount from its control file. */
function reader(directory: string): (name: string) => string {
  const scratch = new Scratch();
  const value = Buffer.alloc(65_536);
  return (name) => {
    const file = Buffer.from(`${directory}/.mergerfs\0`);
    const at = scratch.dirents;
    file.copy(scratch.bytes, scratch.direntsAt);
    const length = getxattr(at, scratch.text(`user.mergerfs.${name}`), value, value.length);
    if (length < 0) throw new Failure(`${directory} is no mounted union: it has no control file .mergerfs`);
    return value.toString('utf8', 0, length);
  };
}

function size(bytes: number | undefined): string {
  if (bytes === undefined) return '?';
  let [shown, unit] = [bytes, 0];
  while (shown >= 1024 && unit < UNITS.length - 1) {
    shown /= 1024;
    unit++;
  }
  return `${shown < 10 && unit > 0 ? shown.toFixed(1) : Math.round(shown)}${UNITS[unit]}`;
}
const share = (hits = 0): string =>
  hits === 0 ? '-' : hits === SAMPLES ? 'all' : `${Math.round((hits / SAMPLES) * 100)} %`;

/** The first two columns begin together, the rest end so. */
function aligned(rows: readonly string[][]): string[] {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows.map((row) =>
    row
      .map((cell, i) => (i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('  ')
      .trimEnd(),
  );
}
