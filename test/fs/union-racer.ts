/**
 * What a thread of the race over a union without a mount does: at random what a kernel would ask, of names of its own in directories that all
 * threads use, while one of them renames these directories. As a kernel it makes no two calls at once for one name, and names no node but those that it
 * was given and has not forgotten. Of names of its own it knows what they are: whatever it does with them has to succeed.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { EXDEV } from '../../src/abi/errno.ts';
import { O_RDWR, S_IFREG } from '../../src/abi/posix.ts';
import type { UnionShared } from '../../src/fs/union/shared.ts';
import { UnionFs } from '../../src/fs/union/union.ts';
import { at, Told } from './requests.ts';
import { random } from './shared-racer.ts';

export interface Race {
  readonly shared: UnionShared;
  /** 0 until the race begins, 1 while it runs, 2 when it is over. */
  readonly mark: Int32Array;
  readonly me: number;
  readonly seed: number;
}
interface Own {
  readonly name: string;
  readonly parent: number;
  readonly nodeid: number;
  readonly text: string;
}
const NAMES = 6;
const MODE = S_IFREG | 0o644;

class Racer {
  readonly #fs: UnionFs;
  readonly #me: number;
  readonly #below: (n: number) => number;
  /** Lookups that were counted, by nodeid. */
  readonly #counted = new Map<number, number>();
  readonly #files = new Map<string, Own>();
  /** The directories, and what the first two are called in the root. */
  readonly #directories: number[];
  #texts = 0;
  #moved = [false, false];
  done = 0;

  constructor({ shared, me, seed }: Race) {
    this.#fs = new UnionFs(shared);
    this.#fs.init({ note: () => {}, warn: () => {} } as never);
    this.#me = me;
    this.#below = random(seed);
    const [d, e] = [this.#lookup(1, 'd'), this.#lookup(1, 'e')];
    this.#directories = [d, e, this.#lookup(d, 'x'), this.#lookup(e, 'y')];
  }
  #count(nodeid: number): number {
    this.#counted.set(nodeid, (this.#counted.get(nodeid) ?? 0) + 1);
    return nodeid;
  }
  #lookup(parent: number, name: string): number {
    return this.#count(this.#fs.lookup(at(parent), { name }).nodeid);
  }
  #of<T>(all: readonly T[]): T {
    return all[this.#below(all.length)]!;
  }
  #place(): { readonly parent: number; readonly name: string } {
    return { parent: this.#of(this.#directories), name: `${this.#me}-${this.#below(NAMES)}` };
  }
  #check(what: string, found: unknown, expected: unknown): void {
    if (found !== expected) throw new Error(`${what}: ${found}, and not ${expected}`);
  }
  #read(fh: number): string {
    const reply = Buffer.alloc(100);
    const args = { fh, offset: 0, size: 100, read_flags: 0, lock_owner: undefined, flags: 0 };
    return reply.toString('latin1', 0, this.#fs.read(at(1), args, reply));
  }
  #release(nodeid: number, fh: number): void {
    this.#fs.release(at(nodeid), { fh, flags: 0, release_flags: 0, lock_owner: undefined } as never);
  }

  create({ parent, name }: { parent: number; name: string }): void {
    const text = `${this.#me} wrote ${this.#texts++}`;
    const { entry, open } = this.#fs.create(at(parent), { name, mode: MODE, umask: 0, flags: O_RDWR, open_flags: 0 });
    const nodeid = this.#count(entry.nodeid);
    const data = Buffer.from(text);
    const args = { fh: open.fh, offset: 0, size: data.length, write_flags: 0, lock_owner: undefined, flags: 0, data };
    this.#fs.write(at(nodeid), args);
    this.#release(nodeid, open.fh);
    this.#files.set(`${parent}/${name}`, { name, parent, nodeid, text });
  }
  look({ name, parent, nodeid, text }: Own): void {
    this.#check('the node of a name', this.#lookup(parent, name), nodeid);
    const { attr } = this.#fs.getattr(at(nodeid), { fh: undefined, getattr_flags: 0 });
    this.#check('st_size', attr.size, text.length);
  }
  open({ nodeid, text }: Own): void {
    const { fh } = this.#fs.open(at(nodeid), { flags: O_RDWR, open_flags: 0 });
    this.#check('what is in a file', this.#read(fh), text);
    this.#release(nodeid, fh);
  }
  rename(own: Own): void {
    const { parent, name } = this.#place();
    if (this.#files.has(`${parent}/${name}`)) return;
    const names = { oldname: own.name, newname: name, newdir: parent, flags: 0 };
    this.#fs.rename(at(own.parent), names);
    this.#files.delete(`${own.parent}/${own.name}`);
    this.#files.set(`${parent}/${name}`, { ...own, parent, name });
  }
  exchange(own: Own): void {
    const other = this.#of([...this.#files.values()]);
    if (other === own) return;
    this.#fs.rename(at(own.parent), { oldname: own.name, newname: other.name, newdir: other.parent, flags: 2 });
    this.#files.set(`${own.parent}/${own.name}`, { ...other, parent: own.parent, name: own.name });
    this.#files.set(`${other.parent}/${other.name}`, { ...own, parent: other.parent, name: other.name });
  }
  link(own: Own): void {
    const { parent, name } = this.#place();
    if (this.#files.has(`${parent}/${name}`)) return;
    try {
      const entry = this.#fs.link(at(parent), { oldnodeid: own.nodeid, newname: name });
      this.#check('the node of a link', this.#count(entry.nodeid), own.nodeid);
      this.#files.set(`${parent}/${name}`, { ...own, parent, name });
    } catch (error) {
      if (error !== EXDEV) throw error;
    }
  }
  unlink({ name, parent, nodeid, text }: Own): void {
    const { fh } = this.#fs.open(at(nodeid), { flags: O_RDWR, open_flags: 0 });
    this.#fs.unlink(at(parent), { name });
    this.#files.delete(`${parent}/${name}`);
    const { attr } = this.#fs.getattr(at(nodeid), { fh: undefined, getattr_flags: 0 });
    this.#check('st_size of what was removed', attr.size, text.length);
    this.#check('what is in it', this.#read(fh), text);
    this.#release(nodeid, fh);
    if (![...this.#files.values()].some((each) => each.nodeid === nodeid)) this.#forget(nodeid);
  }
  list(): void {
    const parent = this.#of(this.#directories);
    const { fh } = this.#fs.opendir(at(parent));
    const told = new Told();
    this.#fs.readdir(at(parent), { fh, offset: 0n } as never, told.reply);
    this.#fs.releasedir(at(parent), { fh } as never);
    const names = told.entries.map(({ name }) => name);
    const own = names.filter((name) => name.startsWith(`${this.#me}-`)).sort();
    const known = [...this.#files.values()].filter((each) => each.parent === parent).map(({ name }) => name);
    this.#check('names that are listed', own.join(), known.sort().join());
  }
  /** A directory gets another name, and with it all that is below. */
  move(which: 0 | 1): void {
    const names = which === 0 ? ['d', 'D'] : ['e', 'E'];
    const [oldname, newname] = (this.#moved[which] ? names.toReversed() : names) as [string, string];
    this.#fs.rename(at(1), { oldname, newname, newdir: 1, flags: 0 });
    this.#moved[which] = !this.#moved[which];
  }
  #forget(nodeid: number, count = this.#counted.get(nodeid) ?? 0): void {
    if (count === 0) return;
    this.#fs.forget(at(0), { nodeid, nlookup: count });
    this.#counted.set(nodeid, this.#counted.get(nodeid)! - count);
  }

  step(): void {
    const place = this.#place();
    const own = this.#files.get(`${place.parent}/${place.name}`);
    const calls: (() => void)[] = own
      ? [
          ...[() => this.look(own), () => this.open(own), () => this.rename(own), () => this.exchange(own)],
          ...[() => this.link(own), () => this.unlink(own), () => this.list()],
          () => this.#forget(own.nodeid, (this.#counted.get(own.nodeid) ?? 1) - 1),
        ]
      : [() => this.create(place)];
    if (this.#me === 0) calls.push(() => this.move(this.#below(2) as 0 | 1));
    this.#of(calls)();
    this.done++;
  }
  end(): void {
    for (const [nodeid, count] of this.#counted) this.#forget(nodeid, count);
    this.#fs.destroy();
  }
}

const race = workerData as Race;
const racer = new Racer(race);
parentPort!.postMessage('ready');
Atomics.wait(race.mark, 0, 0);
try {
  while (Atomics.load(race.mark, 0) === 1) for (let i = 0; i < 20; i++) racer.step();
  racer.end();
  parentPort!.postMessage(racer.done);
} catch (error) {
  parentPort!.postMessage(error);
}
