/** UnionFs without a mount: its methods called directly, as a kernel would, by path. */
import { O_RDWR, S_IFREG } from '../../src/abi/posix.ts';
import type { UnionFs } from '../../src/fs/index.ts';
import type { Connection } from '../../src/protocol/connection.ts';
import type { Dirent } from '../../src/protocol/dirent.ts';
import { at, Told } from './requests.ts';

export { at, Told };

/** A client that names files by path. */
export class Client {
  readonly fs: UnionFs;
  /** What the trace would show. */
  readonly notes: string[] = [];

  constructor(fs: UnionFs) {
    this.fs = fs;
    fs.init({ note: (message: string) => this.notes.push(message), warn: () => {} } as unknown as Connection);
  }
  entry(path: string) {
    let entry = { nodeid: 1 } as ReturnType<UnionFs['lookup']>;
    for (const name of path.split('/').filter(Boolean)) entry = this.fs.lookup(at(entry.nodeid), { name });
    return entry;
  }
  node(path: string): number {
    return this.entry(path).nodeid;
  }
  #parent(path: string) {
    const cut = path.lastIndexOf('/');
    return { parent: at(this.node(path.slice(0, Math.max(0, cut)))), name: path.slice(cut + 1) };
  }
  create(path: string, text = '', flags: number = O_RDWR): number {
    const { parent, name } = this.#parent(path);
    const { open } = this.fs.create(parent, { name, mode: S_IFREG | 0o644, umask: 0, flags, open_flags: 0 });
    if (text !== '') this.write(path, open.fh, 0, text);
    return open.fh;
  }
  /** Makes a file and closes it. */
  put(path: string, text = ''): void {
    this.close(path, this.create(path, text));
  }
  open(path: string, flags: number = O_RDWR) {
    return this.fs.open(at(this.node(path)), { flags, open_flags: 0 });
  }
  close(path: string, fh: number): void {
    this.fs.release(at(this.node(path)), { fh, flags: 0, release_flags: 0, lock_owner: undefined } as never);
  }
  write(path: string, fh: number, offset: number, text: string | Buffer): number {
    const data = Buffer.from(text as string);
    const args = { fh, offset, size: data.length, write_flags: 0, lock_owner: undefined, flags: 0, data };
    return this.fs.write(at(this.node(path)), args).size;
  }
  read(fh: number, size = 100, offset = 0): string {
    const reply = Buffer.alloc(size);
    const args = { fh, offset, size, read_flags: 0, lock_owner: undefined, flags: 0 };
    return reply.toString('latin1', 0, this.fs.read(at(1), args, reply));
  }
  mkdir(path: string, mode = 0o755): void {
    const { parent, name } = this.#parent(path);
    this.fs.mkdir(parent, { name, mode, umask: 0 });
  }
  unlink(path: string): void {
    const { parent, name } = this.#parent(path);
    this.fs.unlink(parent, { name });
  }
  rmdir(path: string): void {
    const { parent, name } = this.#parent(path);
    this.fs.rmdir(parent, { name });
  }
  rename(from: string, to: string, flags = 0): void {
    const [old, next] = [this.#parent(from), this.#parent(to)];
    const names = { oldname: old.name, newname: next.name, newdir: next.parent.nodeid };
    this.fs.rename(old.parent, { ...names, flags });
  }
  link(from: string, to: string) {
    const { parent, name } = this.#parent(to);
    return this.fs.link(parent, { oldnodeid: this.node(from), newname: name });
  }
  setattr(path: string, set: object) {
    return this.fs.setattr(at(this.node(path)), { fh: undefined, ...set } as never);
  }
  xattr(path: string, name: string): string {
    const reply = Buffer.alloc(4096);
    const value = this.fs.getxattr(at(this.node(path)), { name, size: reply.length } as never, reply);
    return typeof value === 'number' ? reply.toString('utf8', 0, value) : Buffer.from(value).toString();
  }
  setxattr(path: string, name: string, text: string): void {
    const value = Buffer.from(text);
    this.fs.setxattr(at(this.node(path)), { name, value, size: value.length, flags: 0, setxattr_flags: 0 } as never);
  }
  opendir(path: string): number {
    return this.fs.opendir(at(this.node(path))).fh;
  }
  /** Names from a cookie on, at most so many, with their numbers and cookies. */
  readdir(fh: number, offset = 0n, most = Number.POSITIVE_INFINITY): Dirent[] {
    const told = new Told(most);
    this.fs.readdir(at(1), { fh, offset } as never, told.reply);
    return told.entries;
  }
  list(path = ''): string[] {
    const fh = this.opendir(path);
    const names = this.readdir(fh).map(({ name }) => name);
    this.fs.releasedir(at(1), { fh } as never);
    return names.filter((name) => name !== '.' && name !== '..').sort();
  }
}
