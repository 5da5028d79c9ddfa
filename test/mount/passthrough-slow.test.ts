/**
 * A source that takes its time: some of what it is asked waits, and those who have asked for something else are served meanwhile, by
 * threads of which there are more than CPUs. The source is a mount of this process, whose threads do not serve the other one.
 */
import { chmodSync, rmdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect } from 'vitest';
import { MemoryFs } from '../../src/fs/index.ts';
import { mountAt } from '../../src/mountinfo.ts';
import type { Args } from '../../src/protocol/operations.ts';
import type { Request } from '../../src/protocol/request.ts';
import { compiled } from '../compiled.ts';
import { kernelTest, mounted, start, temporary, until } from '../support.ts';
import { TRANSPORT } from '../transport.ts';
import { Client } from './python.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const THREADS = 3;
/** How long the whole may take on a machine with much else to do, in ms. */
const PATIENCE = 80_000;

/** A filesystem in which whatever is looked up in `slow` waits for a gate. */
class SlowFs extends MemoryFs {
  waiting = 0;
  open_ = () => {};
  readonly #gate = new Promise<void>((resolve) => {
    this.open_ = resolve;
  });
  override lookup(request: Request, args: Args<'LOOKUP'>) {
    const { nodeid, uid, gid, pid } = request;
    if (nodeid !== this.files.nodeid('slow')) return super.lookup(request, args);
    this.waiting++;
    return this.#gate.then(() => super.lookup({ ...request, nodeid, uid, gid, pid } as Request, args)) as never;
  }
}

/** Each line is the path of a file to ask for. */
const ASK = `
say('here')
while path := told().strip():
    say([path, result(os.stat, P(path))])
`;
const WORK = `
say('here')
told()
os.setgid(1234)
os.setuid(1234)
for i in range(20):
    fd = os.open(P(f'fast/f{i}'), os.O_CREAT | os.O_RDWR)
    os.write(fd, b'served meanwhile')
    os.chmod(P(f'fast/f{i}'), 0o640)
    os.utime(P(f'fast/f{i}'), (1, 2))
    os.close(fd)
say([len(os.listdir(P('fast'))), os.stat(P('fast/f7')).st_uid, os.pread(os.open(P('fast/f7'), os.O_RDONLY), 99, 0).decode()])
`;

/** Over a ring each CPU has its thread, for whose requests no other one would do. */
if (TRANSPORT === 'device')
  kernelTest(
    'who waits for a slow source holds up nobody else, with threads for it',
    async () => {
      const fs = new SlowFs();
      await fs.files.mkdir('slow', { mode: 0o755 });
      await fs.files.mkdir('fast', { mode: 0o777 });
      await using source = await mounted(
        fs,
        { allowOther: true, entryTimeout: 0, attrTimeout: 0 },
        { watchdog: PATIENCE },
      );
      const dir = temporary();
      chmodSync(dir, 0o755);
      const command = [compiled('tools/cli.ts'), 'mount', 'passthrough', source.dir, dir, '-o', 'allow_other'];
      const how = ['--transport', 'device', '--threads', `${process.env.THREADS ?? THREADS}`];
      const server = start(process.execPath, [...command, ...how], { cwd: ROOT });
      try {
        await until(() => mountAt(dir) !== undefined, 'the mount', PATIENCE / 2);
        await using worker = new Client(dir, WORK);
        const askers = Array.from({ length: THREADS - 1 }, () => new Client(dir, ASK));
        try {
          for (const each of [worker, ...askers]) expect(await each.said()).toBe('here');
          for (const [i, asker] of askers.entries()) asker.tell(join('slow', `${i}`));
          await until(() => fs.waiting === askers.length, 'all who ask to wait');
          worker.tell();
          expect(await worker.said()).toEqual([20, 1234, 'served meanwhile']);
          expect(askers.map((asker) => asker.saidMore)).toEqual(askers.map(() => false));
          expect(fs.waiting).toBe(askers.length);
          fs.open_();
          for (const [i, asker] of askers.entries()) expect(await asker.said()).toEqual([`slow/${i}`, 'ENOENT']);
        } finally {
          fs.open_();
          for (const asker of askers) await asker[Symbol.asyncDispose]();
        }
      } finally {
        fs.open_();
        server.kill(); // it unmounts, also where it was about to mount
        await until(() => server.exitCode !== null || server.signalCode !== null, 'the server to end');
        rmdirSync(dir);
      }
    },
    PATIENCE + 10_000,
  );
