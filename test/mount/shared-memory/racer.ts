/**
 * What a thread of the race without a mount does: at random what a kernel would ask, of names and nodes that all threads
 * use, without the locks by which a kernel keeps many of these calls apart. As a kernel it names no node but those that
 * it was given and has not forgotten, and at the end it forgets them all.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { EEXIST, EINVAL, EISDIR, ENODATA, ENOENT, ENOTDIR, ENOTEMPTY, EPERM, Errno } from '../../../src/abi/errno.ts';
import { fuse_in_header } from '../../../src/abi/fuse.ts';
import { FATTR_MODE, FATTR_SIZE } from '../../../src/abi/fuse-constants.ts';
import { S_IFDIR, S_IFMT, S_IFREG } from '../../../src/abi/posix.ts';
import type { DirectoryReply, Dirent } from '../../../src/protocol/dirent.ts';
import { Request } from '../../../src/protocol/request.ts';
import { random } from '../../fs/shared-racer.ts';
import { SharedMemoryFs } from './filesystem.ts';
import { SharedTree, type TreeHandle } from './tree.ts';

export interface Race {
  readonly memory: TreeHandle;
  /** 0 until the race begins, 1 while it runs, 2 when it is over. */
  readonly mark: Int32Array;
  readonly threads: number;
  readonly seed: number;
}

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f'];
/** What is written and read at once: more than a page, so that it shows where two do it at a time. */
const PIECE = 8192;
const PIECES = 4;
/** What somebody may hear whom another one has forestalled. ESTALE is not among it: who was given a node has it. */
const LOST: readonly unknown[] = [EEXIST, EINVAL, EISDIR, ENODATA, ENOENT, ENOTDIR, ENOTEMPTY, EPERM];

const header = new DataView(new ArrayBuffer(fuse_in_header.size));
const request = new Request(header);
function at(nodeid: number): Request {
  header.setBigUint64(16, BigInt(nodeid), true);
  return request;
}

/** What an answer gives that counts a lookup. */
interface Given {
  readonly nodeid: number;
  readonly attr: { readonly mode: number };
}

class Racer {
  readonly #fs: SharedMemoryFs;
  readonly #below: (n: number) => number;
  /** Lookups that were counted, by nodeid. */
  readonly #held = new Map<number, { count: number; readonly mode: number }>([[1, { count: 0, mode: S_IFDIR }]]);
  readonly #piece = Buffer.alloc(PIECE);
  succeeded = 0;

  constructor({ memory, threads, seed }: Race) {
    this.#fs = new SharedMemoryFs(new SharedTree(memory), threads, 'none');
    this.#below = random(seed);
  }

  #of<T>(all: readonly T[]): T {
    return all[this.#below(all.length)]!;
  }
  #given({ nodeid, attr }: Given): number {
    const held = this.#held.get(nodeid);
    if (held) held.count++;
    else this.#held.set(nodeid, { count: 1, mode: attr.mode });
    return nodeid;
  }
  #any(type?: number): number {
    const all = [...this.#held].filter(([, { mode }]) => type === undefined || (mode & S_IFMT) === type);
    return all.length === 0 ? 1 : this.#of(all)[0];
  }
  #directory = (): Request => at(this.#any(S_IFDIR));
  #name = (): string => this.#of(NAMES);

  /** Each as often as it stands here. */
  readonly #calls: readonly (() => unknown)[] = [
    () => this.#given(this.#fs.lookup(this.#directory(), { name: this.#name() })),
    () => this.#given(this.#fs.lookup(this.#directory(), { name: this.#name() })),
    () => this.#given(this.#fs.lookup(this.#directory(), { name: this.#name() })),
    () => this.#forget(this.#any()),
    () => this.#forget(this.#any()),
    () => this.#given(this.#fs.mknod(this.#directory(), { name: this.#name(), mode: S_IFREG, rdev: 0, umask: 0 })),
    () => this.#given(this.#fs.mkdir(this.#directory(), { name: this.#name(), mode: 0o755, umask: 0 })),
    () => this.#given(this.#fs.symlink(this.#directory(), { name: this.#name(), target: 'somewhere' })),
    () => this.#create(),
    () => this.#given(this.#fs.link(this.#directory(), { oldnodeid: this.#any(), newname: this.#name() })),
    () => this.#fs.unlink(this.#directory(), { name: this.#name() }),
    () => this.#fs.unlink(this.#directory(), { name: this.#name() }),
    () => this.#fs.rmdir(this.#directory(), { name: this.#name() }),
    () => this.#rename(),
    () => this.#rename(),
    () => this.#fs.getattr(at(this.#any())),
    () => this.#fs.setattr(at(this.#any()), { valid: FATTR_MODE, mode: this.#below(0o1000) } as never),
    () => this.#truncate(),
    () => this.#write(),
    () => this.#read(),
    () =>
      this.#fs.setxattr(at(this.#any()), { name: `user.${this.#name()}`, value: Buffer.alloc(9), flags: 0 } as never),
    () => this.#fs.removexattr(at(this.#any()), { name: `user.${this.#name()}` }),
    () => this.#list(),
  ];

  #forget(nodeid: number): void {
    const held = this.#held.get(nodeid)!;
    if (nodeid === 1) return;
    const nlookup = 1 + this.#below(held.count);
    held.count -= nlookup;
    if (held.count === 0) this.#held.delete(nodeid);
    this.#fs.forget(at(nodeid), { nodeid, nlookup });
  }
  #create(): void {
    const args = { name: this.#name(), mode: 0o644, umask: 0, flags: 0, open_flags: 0 };
    const nodeid = this.#given(this.#fs.create(this.#directory(), args).entry);
    this.#fs.release(at(nodeid));
  }
  #rename(): void {
    const args = { oldname: this.#name(), newdir: this.#any(S_IFDIR), newname: this.#name() };
    this.#fs.rename(this.#directory(), { ...args, flags: this.#of([0, 0, 1, 2, 4]) });
  }

  #file(): number | undefined {
    const nodeid = this.#any(S_IFREG);
    return nodeid === 1 ? undefined : nodeid;
  }
  #truncate(): void {
    const nodeid = this.#file();
    if (nodeid === undefined) return;
    const size = PIECE * this.#below(PIECES + 1);
    this.#fs.setattr(at(nodeid), { valid: FATTR_SIZE, size } as never);
  }
  #write(): void {
    const nodeid = this.#file();
    if (nodeid === undefined) return;
    const data = this.#piece.fill(1 + this.#below(255));
    this.#fs.write(at(nodeid), { offset: PIECE * this.#below(PIECES), data, write_flags: 0, flags: 0 } as never);
  }
  #read(): void {
    const nodeid = this.#file();
    if (nodeid === undefined) return;
    const args = { offset: PIECE * this.#below(PIECES), size: PIECE, flags: 0 } as never;
    const count = this.#fs.read(at(nodeid), args, this.#piece);
    if (this.#piece.subarray(0, count).some((byte) => byte !== this.#piece[0]))
      throw new Error('what was read is of two writes');
  }
  #list(): void {
    const names = new Set<string>();
    const add = (entry: Dirent, lookup?: (entry: Dirent) => Given): boolean => {
      if (names.has(entry.name)) throw new Error(`${entry.name} is listed twice`);
      names.add(entry.name);
      if (entry.name !== '.' && entry.name !== '..') this.#given(lookup!(entry));
      return true;
    };
    this.#fs.readdirplus(this.#directory(), { offset: 0n, flags: 0 } as never, { add } as unknown as DirectoryReply);
  }

  step(): void {
    try {
      this.#of(this.#calls)();
      this.succeeded++;
    } catch (error) {
      if (!(error instanceof Errno) || !LOST.includes(error)) throw error;
    }
    while (this.#held.size > 40) this.#forget(this.#any());
  }
  end(): void {
    for (const [nodeid, { count }] of this.#held)
      if (nodeid !== 1) this.#fs.forget(at(nodeid), { nodeid, nlookup: count });
  }
}

if (parentPort !== null) {
  const race = workerData as Race;
  const racer = new Racer(race);
  parentPort.postMessage('ready');
  Atomics.wait(race.mark, 0, 0);
  while (Atomics.load(race.mark, 0) === 1) racer.step();
  racer.end();
  parentPort.postMessage(racer.succeeded);
}
