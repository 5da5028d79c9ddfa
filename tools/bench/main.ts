/**
 * `npm run bench [-- NAME...] [--quick] [--json]`: how fast it is, against what it could be. Each name is a file
 * beside this one and a line of the table below. docs/performance.md says how to read the rows.
 */
import { parseArgs } from 'node:util';
import { durable } from './durable.ts';
import type { Bench, Row } from './measure.ts';
import { memory } from './memory.ts';
import { passthrough } from './passthrough.ts';
import { protocol } from './protocol.ts';
import { build } from './servers.ts';
import { threads } from './threads.ts';
import { transports } from './transports.ts';
import { trees } from './trees.ts';
import { union } from './union.ts';
import { uring } from './uring.ts';

const benches: Readonly<Record<string, Bench>> = {
  ...{ protocol, memory, transports, threads, uring },
  ...{ passthrough, trees, union, durable },
};

const usage = `usage: npm run bench [-- NAME...] [--quick] [--json]

  NAME     ${Object.keys(benches).join(', ')}; all of them by default
  --quick  fewer and shorter rounds: at most 40 seconds a name
  --json   one JSON object a row`;

const columns: readonly [title: string, width: number, of: (row: Row) => string][] = [
  ['case', 52, (row) => row.case],
  ['clients', 7, (row) => (row.clients === 0 ? '' : `${row.clients}`)],
  ['ours', 11, (row) => figure(row.ours)],
  ['baseline', 11, (row) => figure(row.baseline)],
  ['unit', 6, (row) => row.unit],
  ['ratio', 7, (row) => row.ratio.toFixed(2)],
  ['target', 9, (row) => row.target ?? ''],
  ['CPU us/op', 10, (row) => (row.serverCpuUs === null ? '' : row.serverCpuUs.toFixed(2))],
  ['baseline', 10, (row) => (row.baselineCpuUs === null ? '' : row.baselineCpuUs.toFixed(2))],
];
const figure = (n: number): string =>
  n >= 1000 ? Math.round(n).toLocaleString('en') : n.toFixed(n >= 100 ? 0 : n >= 10 ? 1 : 2);
/** The first column to the left, the others to the right. */
const line = (cells: readonly string[]): string =>
  cells.map((cell, i) => (i === 0 ? cell.padEnd(columns[i]![1]) : cell.padStart(columns[i]![1]))).join('  ');

const details = ({ details = {} }: Row): string =>
  Object.entries(details)
    .map(([name, [ours, baseline]]) => `  ${name} ${ours.toFixed(1)} / ${baseline.toFixed(1)}`)
    .join('');

async function main(): Promise<number> {
  let names: string[];
  let options: { quick?: boolean | undefined; json?: boolean | undefined; help?: boolean | undefined };
  try {
    ({ positionals: names, values: options } = parseArgs({
      allowPositionals: true,
      options: { quick: { type: 'boolean' }, json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
    }));
  } catch (error) {
    console.error(`${(error as Error).message}\n${usage}`);
    return 2;
  }
  if (options.help) {
    console.log(usage);
    return 0;
  }
  const unknown = names.find((name) => !Object.hasOwn(benches, name));
  if (unknown !== undefined) {
    console.error(`no bench ${unknown}: there is ${Object.keys(benches).join(', ')}`);
    return 2;
  }
  const chosen = names.length > 0 ? names : Object.keys(benches);
  if (process.geteuid?.() !== 0 && chosen.some((name) => !benches[name]!.unprivileged)) {
    console.error('the bench mounts, so it needs root');
    return 1;
  }
  await build();
  for (const name of chosen) {
    if (!options.json) console.log(`${name}\n${line(columns.map(([title]) => title))}`);
    for await (const row of benches[name]!.rows(options.quick === true))
      console.log(options.json ? JSON.stringify(row) : line(columns.map(([, , of]) => of(row))) + details(row));
  }
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`bench: ${(error as Error).message}`);
  process.exitCode = 1;
}
