/**
 * What MemoryFs is compared with: memfs_ll, the in-memory example of libfuse, C++ with up to ten threads. It is not part
 * of this project; the environment variable MEMFS_LL says where the program is. Without it there are the figures that
 * it was measured with once, which say little on another machine.
 *
 * It ends itself where it finds its books wrong, and at any rename: there it takes a lock that it has, and goes on with an
 * entry that it has freed (find_locked, add_child_locked and a new Dentry mend that). So a load that fails is tried again
 * on a new one, a few times.
 * @see libfuse/libfuse: example/memfs_ll.cc
 */
import { Peer } from './peer.ts';
import type { Loaded } from './servers.ts';

/** One line for who has not got it. */
export const HOW_TO_BUILD =
  'MEMFS_LL is not set: the baseline is what memfs_ll did elsewhere. It is example/memfs_ll.cc of libfuse 3.17: ' +
  'g++ -O2 -std=c++17 -pthread -o memfs_ll memfs_ll.cc $(pkg-config --cflags --libs fuse3)';

/** So often a load is tried. */
const TRIES = 4;

/** It has ended, or hung, at each try. */
export class MemfsFailed extends Error {
  override readonly name = 'MemfsFailed';
  constructor(op: string, clients: number, cause: unknown) {
    super(`memfs_ll ended or hung at ${op} with ${clients} clients: its figure in this row is from elsewhere`, {
      cause,
    });
  }
}

export class MemfsLl {
  readonly #program: string;
  readonly #options: string;
  #running: Peer | undefined;

  /** `options` as for `-o`. */
  constructor(program: string, options: string) {
    this.#program = program;
    this.#options = options;
  }

  async load(op: string, clients: number, seconds: number): Promise<Loaded> {
    for (let tries = 1; ; tries++) {
      this.#running ??= await Peer.start(this.#program, ['-f', '-o', this.#options]);
      try {
        if (tries > 1) await this.#running.load(op, clients, 0); // a new one: the files that the client makes are no part of what is measured
        return await this.#running.load(op, clients, seconds);
      } catch (error) {
        await this.stop();
        if (tries === TRIES) throw new MemfsFailed(op, clients, error);
      }
    }
  }

  async stop(): Promise<void> {
    await this.#running?.stop();
    this.#running = undefined;
  }
}

/**
 * Operations per second (of the sequential ones MiB) and CPU time of the server for each in us, of memfs_ll from libfuse
 * 3.19 on Linux 6.18, a Xeon of 2.5 GHz with two CPUs and nothing else to do, mounted by default.
 */
// biome-ignore format: a table, an operation a line
export const RECORDED: Readonly<Record<string, { readonly 1: Loaded; readonly 4: Loaded }>> = {
  statfs:        { 1: { value: 120_100, cpu: 4.6 },  4: { value: 255_800, cpu: 4.2 } },
  statx_sync:    { 1: { value: 24_500, cpu: 25.3 },  4: { value: 38_200, cpu: 30.1 } },
  open_close:    { 1: { value: 18_600, cpu: 34.8 },  4: { value: 41_000, cpu: 28.6 } },
  create_unlink: { 1: { value: 11_200, cpu: 57.4 },  4: { value: 23_900, cpu: 46.1 } },
  mkdir_rmdir:   { 1: { value: 12_900, cpu: 48.3 },  4: { value: 24_800, cpu: 45.0 } },
  rename:        { 1: { value: 11_400, cpu: 46.4 },  4: { value: 20_000, cpu: 59.9 } },
  readdir:       { 1: { value: 3_500, cpu: 197.2 },  4: { value: 4_700, cpu: 219.8 } },
  read4k:        { 1: { value: 54_100, cpu: 11.8 },  4: { value: 110_200, cpu: 11.1 } },
  write4k:       { 1: { value: 90_900, cpu: 6.8 },   4: { value: 73_100, cpu: 7.3 } },
  seqread:       { 1: { value: 1_814, cpu: 416.2 },  4: { value: 1_683, cpu: 575.8 } },
  seqwrite:      { 1: { value: 1_662, cpu: 342.9 },  4: { value: 1_364, cpu: 410.0 } },
};
