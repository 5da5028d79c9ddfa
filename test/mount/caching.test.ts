/**
 * What the kernel keeps of a source that somebody else changes: the table of docs/caching.md, each cell found out on a mount. All rows of a
 * column are looked at by one client, before a change below, right after it, and when a timeout is over.
 */
import { chmodSync, mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { ROOT } from '../installed.ts';
import { native } from '../random/native.ts';
import { kernelTest, lacking, run } from '../support.ts';
import { TRANSPORT } from '../transport.ts';
import { passthrough, type Wishes } from './passthrough.ts';
import { Client } from './python.ts';

/** What is looked at: how it is made below, looked at above, changed below. `held` and `mapped` are open from the beginning. */
interface Row {
  readonly make: string;
  readonly look: string;
  readonly change: string;
}
const SAME_SIZE = { make: 'printf one', change: 'printf two' };
/** Rows of what is in a file. */
const DATA: Readonly<Record<string, Row>> = {
  'data, file opened anew': {
    make: `${SAME_SIZE.make} > anew`,
    look: "slurp('anew')",
    change: `${SAME_SIZE.change} > anew`,
  },
  'data, file open': {
    make: `${SAME_SIZE.make} > held`,
    look: 'os.pread(held, 9, 0).decode()',
    change: `${SAME_SIZE.change} 1<> held`,
  },
  'data, mapped': {
    make: `${SAME_SIZE.make} > mapped`,
    look: 'mapped[:3].decode()',
    change: `${SAME_SIZE.change} 1<> mapped`,
  },
  'data behind the old end': { make: 'printf one > grows', look: "slurp('grows')", change: 'printf more >> grows' },
};
const ROWS: Readonly<Record<string, Row>> = {
  'size and times': {
    make: 'printf one > size',
    look: "[os.stat(P('size')).st_size, os.stat(P('size')).st_mtime_ns]",
    change: 'printf longer > size',
  },
  'owner and mode': { make: 'touch mode', look: "os.stat(P('mode')).st_mode", change: 'chmod 700 mode' },
  'extended attributes': {
    make: 'touch xattr; setfattr -n user.a -v one xattr',
    look: "os.getxattr(P('xattr'), 'user.a').decode()",
    change: 'setfattr -n user.a -v two xattr',
  },
  ACLs: {
    make: 'touch acl; setfacl -m u:1:r acl',
    look: "os.getxattr(P('acl'), 'system.posix_acl_access').hex()",
    change: 'setfacl -m u:1:rw acl',
  },
  'a name that is removed': {
    make: 'touch gone',
    look: "result(lambda: os.stat(P('gone')).st_uid)",
    change: 'rm gone',
  },
  'a name that is another file now': {
    make: 'touch renamed other',
    look: "os.stat(P('renamed')).st_ino",
    change: 'mv other renamed',
  },
  'a name that is new': { make: 'true', look: "result(lambda: os.stat(P('new')).st_uid)", change: 'touch new' },
  'names in a directory': { make: 'mkdir dir', look: "sorted(os.listdir(P('dir')))", change: 'touch dir/new' },
  'the target of a symlink': { make: 'ln -s one link', look: "os.readlink(P('link'))", change: 'ln -sfn two link' },
  ...DATA,
};
/** Where the kernel reads files itself. */
const byTheKernel = (row: string): string => `${row}, by the kernel`;

/** What a client sees of each row. */
type Look = Readonly<Record<string, unknown>>;
/** How long something may be old: never, until a notification has come, until a timeout is over, or longer: docs/caching.md. */
const AGES = ['never', 'a moment', 'a second', 'long'] as const;
type Old = (typeof AGES)[number];
/** The timeouts stand for one second: what takes longer on a slow machine is not to be taken for a second that is over. */
const TIMEOUT = 4;
const timeouts = { entryTimeout: TIMEOUT, attrTimeout: TIMEOUT };
const COLUMNS: Readonly<Record<string, Wishes>> = {
  none: { cache: 'none' },
  auto: { cache: 'auto', mount: timeouts },
  always: { cache: 'always' },
  'always, watch': { cache: 'always', watch: true },
  writeback: { cache: 'auto', writeback: true, mount: timeouts },
};

/** What was found; where a timeout has to be over first, by one more look. */
interface Measuring extends AsyncDisposable {
  result(): Promise<Record<string, Old>>;
}
/** Looks in a directory of its own, and again in another where the first look took longer than what is kept for a second. */
async function measure(
  lower: string,
  { mount, ...wishes }: Wishes,
  rows: Readonly<Record<string, Row>>,
): Promise<Measuring> {
  const source = mkdtempSync(join(lower, 'source-'));
  const threads = TRANSPORT === 'uring' ? ({ threads: 'cpus' } as const) : {};
  const m = await passthrough({ ...wishes, source, mount: { ...mount, ...threads } });
  chmodSync(source, 0o755);
  /** By another process: of its own doing the server tells nobody. */
  const all = (of: 'make' | 'change') =>
    run('sh', ['-euc', [`cd ${source}`, ...Object.values(rows).map((row) => row[of])].join('\n')]);
  await all('make');
  const look = Object.entries(rows).map(([name, row]) => `${JSON.stringify(name)}: ${row.look}`);
  const script = `
import mmap
held = os.open(P('held'), os.O_RDONLY)
mapped = mmap.mmap(os.open(P('mapped'), os.O_RDWR), 3)
def look(): return {${look.join(', ')}}
look()
while True:
    say(look())
    told()`;
  const began = performance.now();
  const client = new Client(m.dir, script);
  const end = async () => {
    await client[Symbol.asyncDispose]();
    await m[Symbol.asyncDispose]();
  };
  const again = () => {
    client.tell();
    return client.said() as Promise<Look>;
  };
  const before = (await client.said()) as Look;
  const isOld = (name: string, look: Look) => JSON.stringify(look[name]) === JSON.stringify(before[name]);
  await all('change');
  const first = await again();
  const seen = performance.now();
  if (mount !== undefined && seen - began > TIMEOUT * 1000) {
    await end();
    return measure(lower, { mount, ...wishes }, rows);
  }
  let last = first;
  if (wishes.watch)
    for (let i = 0; i < 200 && Object.keys(rows).some((name) => isOld(name, last)); i++) {
      await sleep(20);
      last = await again();
    }
  const old = (name: string): Old => {
    if (isOld(name, last)) return 'long';
    if (wishes.watch) return 'a moment';
    return isOld(name, first) ? 'a second' : 'never';
  };
  return {
    async result() {
      if (!wishes.watch) {
        await sleep(Math.max(0, seen + (TIMEOUT + 0.2) * 1000 - performance.now()));
        last = await again();
      }
      return Object.fromEntries(Object.keys(rows).map((name) => [name, old(name)]));
    },
    [Symbol.asyncDispose]: end,
  };
}

/** The table of the page: by row and column. */
const page = readFileSync(join(ROOT, 'docs/caching.md'), 'utf8');
const [, table = ''] = /## What can be old\n.*?\n(\|.*?\n)\n/su.exec(page) ?? [];
const [head = [], , ...body] = table
  .trim()
  .split('\n')
  .map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('`', '')),
  );
const written = new Map(
  body.map(([row = '', ...cells]) => [row, new Map(cells.map((cell, i) => [head[i + 1], cell]))]),
);

test('docs/caching.md has a cell for each row and column, and no other', () => {
  expect(head.slice(1)).toEqual(Object.keys(COLUMNS));
  expect([...written.keys()]).toEqual([...Object.keys(ROWS), ...Object.keys(DATA).map(byTheKernel)]);
});

/** The columns that are measured. Over the ring, by threads, the two in which they could differ. */
const measured = TRANSPORT === 'uring' ? ['auto', 'always, watch'] : Object.keys(COLUMNS);

/** What the page says of a row; undefined where it says nothing. */
function expected(column: string, row: string): Old | undefined {
  const cells = written.get(row)!;
  const cell = cells.get(column) as Old | '';
  if (cell === '') return undefined;
  // Who watches looks until all is new: what is not kept in the first place was so at once.
  return COLUMNS[column]!.watch && cell === 'never' && cells.get('always') === 'never' ? 'a moment' : cell;
}

describe('for how long', () => {
  const found = new Map<string, Old | undefined>();
  /** Measures columns at once; what was found the oldest counts. */
  async function find(lower: string, columns: readonly string[]): Promise<void> {
    const measuring: (readonly [column: string, (row: string) => string, Measuring])[] = [];
    for (const column of columns) {
      const wishes = COLUMNS[column]!;
      const requests = await measure(lower, { ...wishes, kernelPassthrough: false }, ROWS);
      measuring.push([column, (row) => row, requests]);
      if (wishes.writeback) continue;
      measuring.push([column, byTheKernel, await measure(lower, { ...wishes, kernelPassthrough: true }, DATA)]);
    }
    for (const [column, named, each] of measuring)
      for (const [row, old] of Object.entries(await each.result())) {
        const before = found.get(`${column}: ${named(row)}`) ?? old;
        found.set(`${column}: ${named(row)}`, AGES.indexOf(before) > AGES.indexOf(old) ? before : old);
      }
    // The last one first: each is held to what there was when it began.
    for (const [, , each] of measuring.reverse()) await each[Symbol.asyncDispose]();
  }
  const rows = [...written.keys()];
  beforeAll(async () => {
    if (lacking !== undefined) return;
    await using lower = await native('ext4');
    await find(lower.dir, measured);
    // What it keeps the kernel may drop at any moment, for want of memory. Nothing makes it keep what it should not.
    const isLess = (column: string, row: string) => {
      const [now, written] = [found.get(`${column}: ${row}`), expected(column, row)];
      return now !== undefined && written !== undefined && AGES.indexOf(now) < AGES.indexOf(written);
    };
    const less = measured.filter((column) => rows.some((row) => isLess(column, row)));
    if (less.length > 0) console.log('once more:', less);
    await find(lower.dir, less);
  }, 90_000);
  for (const column of measured)
    for (const row of rows) {
      const cell = expected(column, row);
      if (cell === undefined) continue;
      kernelTest(`cache ${column}: ${row} can be old: ${written.get(row)!.get(column)}`, async () =>
        expect(found.get(`${column}: ${row}`)).toBe(cell),
      );
    }
});
