/** The write-ahead log of the examples: what it says is durable is there again, whatever ended it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { compiled } from '../compiled.ts';
import { ROOT } from '../installed.ts';
import { temporary, until } from '../support.ts';

let dir: string;
const children: ChildProcess[] = [];
beforeEach(() => {
  dir = temporary('rawfuse-wal-');
});
afterEach(() => {
  for (const child of children.splice(0)) if (child.exitCode === null) child.kill('SIGKILL');
  rmSync(dir, { recursive: true });
});

const env = { ...process.env, WAL_SEGMENT: '1000' };

/** Starts the program; what it has said so far. */
function wal(...args: string[]) {
  const child = spawn(process.execPath, [compiled('examples/wal.ts'), ...args], {
    env,
    cwd: ROOT,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  children.push(child);
  const said = { out: '', err: '' };
  child.stdout.on('data', (chunk) => {
    said.out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    said.err += chunk;
  });
  child.stdin.on('error', () => {}); // it was killed
  return { child, said, ended: once(child, 'close').then(([status]) => status as number | null) };
}
/** Runs it to its end: what it said. */
async function run(args: readonly string[], input = ''): Promise<{ status: number | null; out: string; err: string }> {
  const { child, said, ended } = wal(...args);
  child.stdin!.end(input);
  return { status: await ended, ...said };
}
const list = () => run(['list', dir]);
const segments = () => readdirSync(dir).sort();
const numbered = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, i) => `line ${from + i} ${'x'.repeat((from + i) % 50)}`);
const textOf = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('');
/** The lines without their positions. */
const linesOf = (out: string): string[] =>
  out
    .split('\n')
    .slice(0, -1)
    .map((line) => line.replace(/^\d+ /u, ''));

describe('the write-ahead log', () => {
  test('lists what was appended, cuts off what was torn, drops what is before, and tells of damage', async () => {
    const lines = numbered(0, 300);
    const appended = await run(['append', dir], textOf(lines));
    expect([appended.status, appended.err, linesOf(appended.out)]).toEqual([0, '', lines]);
    expect(segments().length).toBeGreaterThan(3);

    // A record that was torn, in two ways; and one that is whole behind it, of which nobody was told.
    const last = join(dir, segments().at(-1)!);
    const { size } = statSync(last);
    const whole = readFileSync(join(dir, segments()[0]!)).subarray(0, 12 + lines[0]!.length);
    appendFileSync(last, Buffer.concat([Buffer.from([5, 0, 0, 0, 1, 2, 3]), Buffer.alloc(600), whole]));
    const after = await run(['append', dir], 'after\n');
    expect(after).toMatchObject({ status: 0, out: expect.stringMatching(/^\d+ after\n$/u) });
    // It went into that segment, or into a new one where that was long enough.
    expect(statSync(last).size).toBe(size < 1000 ? size + 12 + 'after'.length : size);

    const third = Number.parseInt(segments()[2]!, 10);
    expect(await run(['drop', dir, `${third + 1}`])).toMatchObject({ status: 0, out: '2 segments dropped\n' });
    const all = appended.out + after.out;
    expect((await list()).out).toBe(all.slice(all.indexOf(`\n${third} `) + 1));

    const path = join(dir, segments()[0]!);
    const bytes = readFileSync(path);
    bytes[100]! ^= 1;
    writeFileSync(path, bytes);
    const damage = expect.stringMatching(/^wal: what lies from \d+ to \d+ is damaged, or missing\n$/u);
    expect(await list()).toMatchObject({ status: 1, err: damage });
  });

  test('killed in the middle, again and again, it has all that it had said', async () => {
    const acknowledged: string[] = [];
    const fed: string[] = [];
    for (let round = 0; round < 2; round++) {
      const { child, said, ended } = wal('append', dir);
      const lines = numbered(1000 * round, 1000 * round + 1000);
      fed.push(...lines);
      child.stdin!.write(textOf(lines)); // and no end
      await until(() => said.out.split('\n').length > 100 + 300 * round, 'records', 20_000);
      child.kill('SIGKILL');
      await ended;
      acknowledged.push(...linesOf(said.out.slice(0, said.out.lastIndexOf('\n') + 1)));
    }
    const { status, out } = await list();
    expect(status).toBe(0);
    const found = linesOf(out);
    expect(acknowledged.length).toBeGreaterThan(400);
    expect(acknowledged.filter((line) => !found.includes(line))).toEqual([]);
    // Nothing but what was fed, once, in order.
    expect(found).toEqual(fed.filter((line) => found.includes(line)));
  });

  test('says what is wrong', async () => {
    const [usage, absent] = await Promise.all([run(['drop', dir, 'all']), run(['list', join(dir, 'absent')])]);
    expect(usage).toMatchObject({ status: 2, err: expect.stringMatching(/^wal: usage/u) });
    expect(absent).toMatchObject({ status: 1, err: expect.stringMatching(/^wal: ENOENT/u) });
  });
});
