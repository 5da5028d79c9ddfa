/** Programs to which data is everything: fio, that writes and looks again, and sqlite3 with several writers. */
import { rmSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { kernelTest, sh, temporary } from '../support.ts';
import { PLACES } from './places.ts';

/** Programs that work a processor each, on a machine that has two: they need their time. In ms. */
const TIMEOUT = 60_000;
const WATCHDOG = 55_000;

/** A job a way to write: how, and what. Each makes files of 4 MiB, all at once, and then reads what it wrote. */
const JOBS = {
  buffered: ['ioengine=psync', 'rw=randrw bsrange=512-64k blockalign=512 numjobs=2'],
  sequential: ['ioengine=psync', 'rw=write bsrange=512-40k'],
  direct: ['ioengine=psync direct=1', 'rw=randwrite bsrange=4k-128k'],
  queued: ['ioengine=libaio direct=1 iodepth=16', 'rw=randrw bsrange=4k-32k'],
  mapped: ['ioengine=mmap', 'rw=randrw bs=4k'],
  synced: ['ioengine=psync fsync=8', 'rw=randwrite bs=16k'],
  allocated: ['ioengine=psync fallocate=keep', 'rw=randwrite bssplit=1k/50:7k/50'],
} as const;
const GLOBAL = 'thread size=4m verify=crc32c verify_fatal=1 verify_state_save=0 group_reporting';

/** fio's job file for the same data; `way` is how all jobs go about it, instead of each in its own. */
function jobFile(way?: string): string {
  const jobs = Object.entries(JOBS).map(([name, [how, what]]) => `[${name}] ${way ?? how} ${what}`);
  return [`[global] ${GLOBAL}`, ...jobs].join(' ').replaceAll(' ', '\n');
}

for (const { where, mount } of PLACES)
  kernelTest(
    `fio: what was written in one way is there when read in the same and in every other${where}`,
    async () => {
      const jobs = temporary();
      try {
        writeFileSync(join(jobs, 'own'), jobFile());
        writeFileSync(join(jobs, 'buffered'), jobFile('ioengine=psync'));
        writeFileSync(join(jobs, 'direct'), jobFile('ioengine=psync direct=1'));
        writeFileSync(join(jobs, 'mapped'), jobFile('ioengine=mmap'));
        await using m = await mount({}, { watchdog: WATCHDOG });
        /** What fio says of all jobs together: the errno that ended one, and how much was read. It has a group for them. */
        const fio = async (name: string, options = '') => {
          const command = `fio --output-format=json --directory="$PWD" ${options} ${join(jobs, name)} || true`;
          const out = await sh(command, m.dir);
          const said = JSON.parse(out.slice(out.search(/^\{/mu))) as {
            jobs: { error: number; read: { io_bytes: number } }[];
          };
          return said.jobs.map(({ error, read }) => ({ error, MiB: Math.floor(read.io_bytes / (1 << 20)) }));
        };
        const all = [{ error: 0, MiB: 32 }];
        expect(await fio('own')).toEqual(all);
        // What the server has, without the page cache; then with it, from nothing and by mmap.
        expect(await fio('direct', '--verify_only')).toEqual(all);
        await sh('for each in *; do dd if=$each iflag=nocache count=0 status=none; done', m.dir);
        expect(await fio('buffered', '--verify_only')).toEqual(all);
        expect(await fio('mapped', '--verify_only')).toEqual(all);
        // That a wrong byte would have been found.
        await sh(
          'for i in {1..6}; do printf XXXX | dd of=queued.0.0 bs=1 seek=$((i * 600000)) conv=notrunc status=none; done',
          m.dir,
        );
        expect(await fio('buffered', '--verify_only')).toEqual([
          { error: constants.errno.EILSEQ, MiB: expect.any(Number) },
        ]);
      } finally {
        rmSync(jobs, { recursive: true });
      }
    },
    TIMEOUT,
  );

/** What sqlite3 is told first: it says `wal`, the size of its map, and 100. */
const PRAGMAS = `.bail on
.timeout 20000
PRAGMA journal_mode = WAL; PRAGMA mmap_size = 67108864; PRAGMA wal_autocheckpoint = 100;\n`;

/**
 * What a writer does: transactions that leave a row with a sum of its own, and in the books a count that all
 * writers share. It says the id of a row when it is committed. Now and then it empties the log.
 */
function writer(which: number, transactions: number): string {
  let script = PRAGMAS;
  for (let i = 1; i <= transactions; i++) {
    const id = which * 10_000 + i;
    script += `BEGIN IMMEDIATE; INSERT INTO data VALUES (${id}, randomblob(1 + abs(random()) % 6000), NULL);
      UPDATE data SET sum = sha3(blob) WHERE id = ${id}; UPDATE books SET commits = commits + 1; COMMIT; SELECT ${id};\n`;
    if (i % 50 === 25) script += 'PRAGMA wal_checkpoint(TRUNCATE);\n';
  }
  return script;
}
const ids = (out: string): number[] => out.match(/^\d{5}$/gmu)?.map(Number) ?? [];

/** A reader: by how many the rows are more than what the books say. */
const READS = 2000;
const READER = `${PRAGMAS}${'SELECT (SELECT count(*) FROM data) - (SELECT commits FROM books);\n'.repeat(READS)}`;
const SOUND =
  'PRAGMA integrity_check; SELECT count(*) FROM data WHERE sum IS NOT sha3(blob); SELECT commits FROM books;';

for (const { where, mount } of PLACES)
  kernelTest(
    `sqlite3 with WAL and mmap: two writers, a reader, and a writer that is killed${where}`,
    async () => {
      const scripts = temporary();
      const script = (name: string, text: string): string => {
        writeFileSync(join(scripts, name), text);
        return join(scripts, name);
      };
      try {
        await using m = await mount({}, { watchdog: WATCHDOG });
        const sqlite = (name: string, text: string) => sh(`sqlite3 db < ${script(name, text)}`, m.dir);
        await sqlite(
          'make',
          `${PRAGMAS}CREATE TABLE data (id INTEGER PRIMARY KEY, blob BLOB, sum BLOB);
       CREATE TABLE books (commits INTEGER); INSERT INTO books VALUES (0);`,
        );
        const [read, ...written] = await Promise.all([
          sqlite('reader', READER),
          ...[1, 2].map((which) => sqlite(`writer${which}`, writer(which, 300))),
        ]);
        expect(read).toBe(`wal\n67108864\n100\n${'0\n'.repeat(READS)}`);
        for (const out of written) expect(ids(out).length).toBe(300);
        expect(await sqlite('sound', SOUND)).toBe('ok\n0\n600\n');

        // Killed while it works: what it said to be committed is there, whatever else is.
        const killed = await sh(
          `stdbuf -oL sqlite3 db < ${script('killed', writer(3, 5000))} > ${scripts}/said & pid=$!
       until [ "$(wc -l < ${scripts}/said)" -gt 100 ]; do sleep 0.01; done; kill -9 $pid; wait || true; cat ${scripts}/said`,
          m.dir,
        );
        const there = new Set(ids(await sqlite('ids', 'SELECT id FROM data;')));
        const said = [...written, killed].flatMap(ids);
        expect(said.length).toBeGreaterThan(690);
        expect(said.filter((id) => !there.has(id))).toEqual([]);
        expect(await sqlite('sound', SOUND)).toBe(`ok\n0\n${there.size}\n`);

        // The server has the same as the page cache, and is done with the log.
        expect(await sqlite('end', 'PRAGMA journal_mode = DELETE; VACUUM;')).toBe('delete\n');
        await sh(`dd if=db of=${scripts}/copy bs=1M iflag=direct status=none; cmp db ${scripts}/copy`, m.dir);
        expect(await sh(`ls; sqlite3 ${scripts}/copy < ${scripts}/sound`, m.dir)).toBe(`db\nok\n0\n${there.size}\n`);
      } finally {
        rmSync(scripts, { recursive: true });
      }
    },
    TIMEOUT,
  );
