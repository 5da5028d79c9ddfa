/**
 * `npm run bench -- protocol`: the session against a raw loop that does the same work without it. Rows with
 * clients go through a mount; those without time the code alone (micro.ts).
 */
import type { Absent } from './canned.ts';
import { type Bench, paired, type Row } from './measure.ts';
import type { Timing } from './micro.ts';
import { runBuilt, Server } from './servers.ts';

interface Load {
  readonly name: string;
  /** What the load client does (metabench.c). */
  readonly op: string;
  readonly absent?: Absent;
  /** What the ratio is held to with four clients. */
  readonly four: number;
  /** With one client: the loop sleeps after each request, where the session spins a little. Copying 1 MiB hides that. */
  readonly one: number;
}

const loads: readonly Load[] = [
  { name: 'statfs', op: 'statfs', four: 0.93, one: 1.7 },
  { name: 'lookup, absent: ENOENT thrown', op: 'stat_enoent', four: 0.85, one: 1.7 },
  { name: 'lookup, absent: negative entry', op: 'stat_enoent', absent: 'negative', four: 0.93, one: 1.7 },
  { name: 'getattr', op: 'statx_sync', four: 0.93, one: 1.7 },
  { name: 'read 4 KiB', op: 'read4k', four: 0.93, one: 1.7 },
  { name: 'write 4 KiB', op: 'write4k', four: 0.93, one: 1.7 },
  { name: 'read 1 MiB', op: 'seqread', four: 0.93, one: 0.93 },
  { name: 'write 1 MiB', op: 'seqwrite', four: 0.93, one: 0.93 },
];

export const protocol: Bench = {
  name: 'protocol',
  async *rows(quick) {
    const rounds = quick ? { rounds: 5, most: 1200 } : { rounds: 25, most: 20_000 };
    const seconds = quick ? 0.08 : 0.15;
    await using servers = new Servers();
    const row = (
      name: string,
      clients: number,
      figures: Awaited<ReturnType<typeof paired>>,
      unit: string,
      target?: string,
    ): Row => ({
      ...{ bench: 'protocol', case: name, clients },
      ...figures,
      ...{ unit, target },
    });
    for (const clients of [4, 1])
      for (const { name, op, absent = 'errno', four, one } of loads) {
        const [ours, loop] = [await servers.get('ours', absent), await servers.get('loop', absent)];
        for (const server of [ours, loop]) await server.load(op, clients, 0.1); // compiles
        const figures = await paired(
          rounds,
          () => ours.load(op, clients, seconds),
          () => loop.load(op, clients, seconds),
        );
        yield row(name, clients, figures, 'ops/s', `>= ${clients === 1 ? one : four}`);
      }

    const [ours, loop] = [await servers.get('ours', 'errno'), await servers.get('loop', 'errno')];
    const promising = await servers.get('ours', 'errno', 'async');
    for (const [name, op] of [
      ['async handlers against sync ones: statfs', 'statfs'],
      ['async handlers against sync ones: read 4 KiB', 'read4k'],
    ] as const) {
      await promising.load(op, 4, 0.3); // a server of its own: nothing of it is compiled yet
      const figures = await paired(
        rounds,
        () => promising.load(op, 4, seconds),
        () => ours.load(op, 4, seconds),
      );
      yield row(name, 4, figures, 'ops/s', '>= 0.8');
    }

    const gap = async (server: Server) => {
      await server.ask('gap');
      await server.load('statfs', 4, quick ? 0.5 : 1);
      return { value: await server.ask('worst gap') };
    };
    const gaps = await paired(
      { rounds: quick ? 2 : 5, most: 20_000 },
      () => gap(ours),
      () => gap(loop),
    );
    yield row('worst gap of a 1 ms timer', 4, gaps, 'ms', 'ours < 10');

    const idle = async (server: Server) => ({ value: await server.idle() });
    const idling = await paired(
      { rounds: quick ? 3 : 7, most: 20_000 },
      () => idle(ours),
      () => idle(loop),
    );
    yield row('idle: CPU time in a second', 0, idling, 'us', 'ours 0');

    for (const { target, ...timing } of JSON.parse(await runBuilt('micro.js', quick ? ['--quick'] : [])) as Timing[])
      yield { bench: 'protocol', clients: 0, ...timing, unit: 'ns', serverCpuUs: null, baselineCpuUs: null, target };
  },
};

/** The servers in use, each started when first asked for and stopped at the end. They idle when not loaded. */
class Servers {
  readonly #started = new Map<string, Server>();

  async get(...which: Parameters<typeof Server.start>): Promise<Server> {
    const key = which.join();
    const server = this.#started.get(key) ?? (await Server.start(...which));
    this.#started.set(key, server);
    return server;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#started.values()].map((server) => server.stop()));
  }
}
