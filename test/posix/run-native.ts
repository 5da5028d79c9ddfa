/**
 * For whoever writes rows: `npx tsx test/posix/run-native.ts FILE [NAME...]` runs the rows of test/posix/FILE.ts
 * on tmpfs and on ext4 (or in $DIRS, by colons) and prints what each gave.
 */
import { Agent } from './agent.ts';
import type { Row, Table } from './table.ts';

const [, , file, ...names] = process.argv;
const { rows } = (await import(`./${file}.ts`)) as { rows: Table };
await using agent = new Agent();
const bases = (process.env.DIRS ?? '/dev/shm:/var/tmp').split(':');
let count = 0;
for (const [name, each] of Object.entries(rows)) {
  if (names.length > 0 && !names.some((part) => name.includes(part))) continue;
  const row: Row = typeof each === 'string' ? { script: each } : each;
  const outs: string[] = [];
  for (const base of bases) {
    outs.push(JSON.stringify(await agent.run(row.script, base).catch((error: Error) => `!!! ${error.message}`)));
  }
  count++;
  const same = outs.every((out) => out === outs[0]);
  console.log(
    `${same ? 'same' : row.like ? `like ${row.like}` : 'DIFFER'}: ${name}\n    ${(same ? outs.slice(0, 1) : outs).join('\n    ')}`,
  );
}
console.log(`${count} rows`);
