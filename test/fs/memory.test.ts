/** MemoryFs without a mount, its methods called directly: what a kernel would never ask, and its books. */
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import {
  EEXIST,
  EFBIG,
  EINVAL,
  EISDIR,
  EMLINK,
  ENAMETOOLONG,
  ENOENT,
  ENOSPC,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
  ESTALE,
} from '../../src/abi/errno.ts';
import { fuse_in_header } from '../../src/abi/fuse.ts';
import { FATTR_MODE, FATTR_SIZE } from '../../src/abi/fuse-constants.ts';
import {
  DT_DIR,
  DT_LNK,
  DT_REG,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  RENAME_WHITEOUT,
  S_IFREG,
} from '../../src/abi/posix.ts';
import { encodeAcl, MemoryFs, type MemoryOptions } from '../../src/fs/index.ts';
import { Directory } from '../../src/fs/memory/directory.ts';
import type { DirectoryReply, Dirent } from '../../src/protocol/dirent.ts';
import { Request } from '../../src/protocol/request.ts';

const ROOT = 1;
function at(nodeid: number, uid = 0, gid = 0): Request {
  const view = new DataView(new ArrayBuffer(fuse_in_header.size));
  fuse_in_header.encode(view, 0, { len: 40, opcode: 1, unique: 2n, nodeid, uid, gid, pid: 1, total_extlen: 0 });
  return new Request(view);
}

/** A MemoryFs with the calls written short; each counts its lookups as the kernel would be given them. */
class Short {
  readonly fs: MemoryFs;
  constructor(options: MemoryOptions = {}) {
    this.fs = new MemoryFs(options);
  }
  make(parent: number, name: string): number {
    return this.fs.mknod(at(parent), { name, mode: S_IFREG | 0o644, rdev: 0, umask: 0 }).nodeid;
  }
  mkdir(parent: number, name: string): number {
    return this.fs.mkdir(at(parent), { name, mode: 0o755, umask: 0 }).nodeid;
  }
  lookup(parent: number, name: string): number {
    return this.fs.lookup(at(parent), { name }).nodeid;
  }
  rename(from: number, oldname: string, newdir: number, newname: string, flags = 0): void {
    this.fs.rename(at(from), { oldname, newdir, newname, flags });
  }
  write(nodeid: number, offset: number, text: string): number {
    const data = Buffer.from(text);
    const rest = { fh: 0, size: data.length, write_flags: 0, lock_owner: undefined, flags: 0 };
    return this.fs.write(at(nodeid), { ...rest, offset, data } as never).size;
  }
  read(nodeid: number, offset: number, size: number): string {
    const reply = Buffer.alloc(size);
    const { fh } = this.fs.open(at(nodeid), { flags: 0, open_flags: 0 });
    const args = { fh, read_flags: 0, lock_owner: undefined, flags: 0, offset, size } as never;
    const count = this.fs.read(at(nodeid), args, reply);
    this.fs.release(at(nodeid), { fh, flags: 0, release_flags: 0, lock_owner: 0n });
    return reply.toString('latin1', 0, count);
  }
  truncate(nodeid: number, size: number): void {
    this.fs.setattr(at(nodeid), { valid: FATTR_SIZE, size } as never);
  }
  attr(nodeid: number) {
    return this.fs.getattr(at(nodeid)).attr;
  }
  forget(nodeid: number, nlookup = 1): void {
    this.fs.forget(at(ROOT), { nodeid, nlookup });
  }
  /** Entries behind a cookie, at most `most` of them; with `plus` each but the dots counts a lookup. */
  list(nodeid: number, offset = 0n, most = Number.POSITIVE_INFINITY, plus = false): Dirent[] {
    const entries: Dirent[] = [];
    const add = (entry: Dirent, lookup?: (entry: Dirent) => unknown): boolean => {
      if (entries.length >= most) return false;
      entries.push({ name: entry.name, ino: entry.ino, type: entry.type, off: entry.off });
      if (plus && entry.name !== '.' && entry.name !== '..') lookup?.(entry);
      return true;
    };
    const args = { fh: 0, offset, size: 4096, read_flags: 0, flags: 0 };
    const reply = { add } as unknown as DirectoryReply;
    if (plus) this.fs.readdirplus(at(nodeid), args as never, reply);
    else this.fs.readdir(at(nodeid), args as never, reply);
    return entries;
  }
}

describe('errors', () => {
  test('a node that is not there (any more) is ESTALE, whatever is asked of it', () => {
    const s = new Short();
    const gone = s.make(ROOT, 'gone');
    s.fs.unlink(at(ROOT), { name: 'gone' });
    s.forget(gone);
    for (const nodeid of [gone, 99]) {
      const asked = [
        () => s.lookup(nodeid, 'x'),
        () => s.attr(nodeid),
        () => s.truncate(nodeid, 0),
        () => s.make(nodeid, 'x'),
        () => s.mkdir(nodeid, 'x'),
        () => s.fs.readlink(at(nodeid)),
        () => s.fs.link(at(ROOT), { oldnodeid: nodeid, newname: 'x' }),
        () => s.fs.unlink(at(nodeid), { name: 'x' }),
        () => s.fs.rmdir(at(nodeid), { name: 'x' }),
        () => s.rename(nodeid, 'x', ROOT, 'y'),
        () => s.read(nodeid, 0, 1),
        () => s.write(nodeid, 0, 'x'),
        () => s.list(nodeid),
      ];
      for (const ask of asked) expect(ask, ask.toString()).toThrow(ESTALE);
    }
  });

  test('a file is found by its handle as long as it has a name or is open, although the kernel still counts it', () => {
    const s = new Short();
    const file = s.make(ROOT, 'file');
    const dir = s.mkdir(ROOT, 'dir');
    const { fh } = s.fs.open(at(file), { flags: 0, open_flags: 0 });
    expect([s.lookup(file, '.'), s.lookup(dir, '.'), s.lookup(ROOT, '.')]).toEqual([file, dir, ROOT]);
    s.fs.unlink(at(ROOT), { name: 'file' });
    s.fs.rmdir(at(ROOT), { name: 'dir' });
    expect(s.lookup(file, '.')).toBe(file);
    expect(() => s.lookup(dir, '.')).toThrow(ESTALE);
    s.fs.release(at(file), { fh, flags: 0, release_flags: 0, lock_owner: 0n });
    expect(() => s.lookup(file, '.')).toThrow(ESTALE);
    s.forget(file, 3);
    s.forget(dir, 2);
    expect(() => s.lookup(file, '.')).toThrow(ESTALE);
    expect(s.fs.nodes.counted).toEqual([]);
    s.fs.check();
  });

  test('a file is no directory', () => {
    const s = new Short();
    const file = s.make(ROOT, 'file');
    for (const ask of [() => s.lookup(file, 'x'), () => s.make(file, 'x'), () => s.list(file)])
      expect(ask, ask.toString()).toThrow(ENOTDIR);
    expect(() => s.fs.rmdir(at(ROOT), { name: 'file' })).toThrow(ENOTDIR);
    expect(() => s.rename(ROOT, 'file', file, 'x')).toThrow(ENOTDIR);
  });

  test('nothing is made in a directory that is gone', () => {
    const s = new Short();
    const dir = s.mkdir(ROOT, 'dir');
    const file = s.make(ROOT, 'file');
    s.fs.rmdir(at(ROOT), { name: 'dir' });
    expect(() => s.make(dir, 'x')).toThrow(ENOENT);
    expect(() => s.fs.link(at(dir), { oldnodeid: file, newname: 'x' })).toThrow(ENOENT);
    expect(() => s.rename(ROOT, 'file', dir, 'x')).toThrow(ENOENT);
    expect(s.list(dir).map(({ name }) => name)).toEqual(['.', '..']);
  });

  test('a directory is no file', () => {
    const s = new Short();
    const dir = s.mkdir(ROOT, 'dir');
    expect(() => s.truncate(dir, 0)).toThrow(EISDIR);
    expect(() => s.fs.unlink(at(ROOT), { name: 'dir' })).toThrow(EISDIR);
    expect(() => s.fs.link(at(ROOT), { oldnodeid: dir, newname: 'x' })).toThrow(EPERM);
  });

  test('a name of 256 bytes is refused wherever a name is taken, 255 are not', () => {
    const s = new Short();
    const file = s.make(ROOT, 'é'.repeat(127)); // 254 bytes
    expect(s.make(ROOT, '\udcff'.repeat(255))).toBeGreaterThan(file); // stray bytes, one each
    for (const long of ['x'.repeat(256), 'é'.repeat(128), '日'.repeat(86), '\udcff'.repeat(256)]) {
      expect(() => s.lookup(ROOT, long)).toThrow(ENAMETOOLONG);
      expect(() => s.make(ROOT, long)).toThrow(ENAMETOOLONG);
      expect(() => s.fs.symlink(at(ROOT), { name: long, target: 'x' })).toThrow(ENAMETOOLONG);
      expect(() => s.fs.link(at(ROOT), { oldnodeid: file, newname: long })).toThrow(ENAMETOOLONG);
      expect(() => s.rename(ROOT, 'é'.repeat(127), ROOT, long)).toThrow(ENAMETOOLONG);
    }
  });

  test('what exists is not made again, what does not is not found', () => {
    const s = new Short();
    const file = s.make(ROOT, 'file');
    expect(() => s.make(ROOT, 'file')).toThrow(EEXIST);
    expect(() => s.fs.symlink(at(ROOT), { name: 'file', target: 'x' })).toThrow(EEXIST);
    expect(() => s.fs.link(at(ROOT), { oldnodeid: file, newname: 'file' })).toThrow(EEXIST);
    for (const ask of [
      () => s.lookup(ROOT, 'absent'),
      () => s.fs.unlink(at(ROOT), { name: 'absent' }),
      () => s.fs.rmdir(at(ROOT), { name: 'absent' }),
      () => s.rename(ROOT, 'absent', ROOT, 'x'),
    ])
      expect(ask, ask.toString()).toThrow(ENOENT);
    expect(s.attr(file).nlink).toBe(1);
  });

  test('a file larger than a number can say exactly is EFBIG, and nothing has happened', () => {
    const s = new Short();
    const file = s.make(ROOT, 'file');
    expect(() => s.truncate(file, 2 ** 53)).toThrow(EFBIG);
    expect(() => s.write(file, 2 ** 53 - 3, 'xyz')).toThrow(EFBIG);
    expect(() => s.fs.fallocate(at(file), { fh: 0, offset: 2 ** 53 - 1, length: 1, mode: 0 })).toThrow(EFBIG);
    expect(s.attr(file).size).toBe(0);
    s.truncate(file, 2 ** 53 - 1);
    expect(s.read(file, 2 ** 53 - 3, 5)).toBe('\0\0');
    expect(s.attr(file)).toMatchObject({ size: 2 ** 53 - 1, blocks: 0 });
    s.fs.check();
  });
});

test('a link more than 32 bits count is EMLINK, and nothing has happened', () => {
  const s = new Short();
  const file = s.make(ROOT, 'file');
  s.fs.nodes.get(file).nlink = 2 ** 32 - 1;
  expect(() => s.fs.link(at(ROOT), { oldnodeid: file, newname: 'x' })).toThrow(EMLINK);
  s.fs.nodes.get(file).nlink = 1;
  s.fs.nodes.get(ROOT).nlink = 2 ** 32 - 1;
  expect(() => s.mkdir(ROOT, 'dir')).toThrow(EMLINK);
  s.fs.nodes.get(ROOT).nlink = 2;
  expect(s.list(ROOT).map(({ name }) => name)).toEqual(['.', '..', 'file']);
  s.fs.check();
});

describe('a directory with as many names as it can have', () => {
  /** Two files, another directory, and from here on no directory takes a name more. */
  const full = () => {
    const s = new Short();
    const dir = s.mkdir(ROOT, 'dir');
    const [a] = [s.make(ROOT, 'a'), s.make(dir, 'b')];
    const spy = vi.spyOn(Directory.prototype, 'full', 'get').mockReturnValue(true);
    onTestFinished(() => spy.mockRestore());
    return { s, dir, a };
  };
  const names = (s: Short, nodeid: number) => s.list(nodeid).map(({ name }) => name);

  test('takes no further one: ENOSPC, and nothing has happened', () => {
    const { s, dir, a } = full();
    for (const ask of [
      () => s.make(ROOT, 'new'),
      () => s.mkdir(ROOT, 'new'),
      () => s.fs.symlink(at(ROOT), { name: 'new', target: 'x' }),
      () => s.fs.create(at(ROOT), { name: 'new', mode: 0o644, umask: 0, flags: 0 } as never),
      () => s.fs.link(at(dir), { oldnodeid: a, newname: 'new' }),
      () => s.rename(dir, 'b', ROOT, 'new'),
      () => s.rename(ROOT, 'a', ROOT, 'new', RENAME_WHITEOUT),
    ])
      expect(ask, ask.toString()).toThrow(ENOSPC);
    expect([names(s, ROOT), names(s, dir)]).toEqual([
      ['.', '..', 'dir', 'a'],
      ['.', '..', 'b'],
    ]);
    expect(s.fs.nodes.size).toBe(4);
    s.fs.check();
  });

  test('goes on with those it has', () => {
    const { s, dir } = full();
    expect(() => s.make(ROOT, 'a')).toThrow(EEXIST);
    s.rename(ROOT, 'a', ROOT, 'c');
    s.rename(dir, 'b', ROOT, 'c', RENAME_WHITEOUT);
    s.rename(ROOT, 'c', dir, 'b', RENAME_EXCHANGE);
    expect([names(s, ROOT), names(s, dir)]).toEqual([
      ['.', '..', 'dir', 'c'],
      ['.', '..', 'b'],
    ]);
    s.fs.unlink(at(ROOT), { name: 'c' });
    s.fs.check();
  });
});

describe('rename', () => {
  test('refuses flags that it does not serve, and a target that is there with RENAME_NOREPLACE', () => {
    const s = new Short();
    s.make(ROOT, 'a');
    s.make(ROOT, 'b');
    expect(() => s.rename(ROOT, 'a', ROOT, 'b', 1 << 3)).toThrow(EINVAL);
    expect(() => s.rename(ROOT, 'a', ROOT, 'b', RENAME_NOREPLACE)).toThrow(EEXIST);
    s.rename(ROOT, 'a', ROOT, 'c', RENAME_NOREPLACE);
    expect(s.list(ROOT).map(({ name }) => name)).toEqual(['.', '..', 'b', 'c']);
  });

  test('refuses a directory into itself or below, at any depth', () => {
    const s = new Short();
    const a = s.mkdir(ROOT, 'a');
    const b = s.mkdir(a, 'b');
    for (const into of [a, b]) expect(() => s.rename(ROOT, 'a', into, 'x')).toThrow(EINVAL);
  });

  test('over a directory needs an empty one', () => {
    const s = new Short();
    s.mkdir(ROOT, 'a');
    const full = s.mkdir(ROOT, 'full');
    s.make(full, 'x');
    expect(() => s.rename(ROOT, 'a', ROOT, 'full')).toThrow(ENOTEMPTY);
    s.fs.unlink(at(full), { name: 'x' });
    s.rename(ROOT, 'a', ROOT, 'full');
    expect(s.attr(ROOT).nlink).toBe(3);
    expect(s.attr(full).nlink).toBe(0); // the kernel still knows it
  });

  test('what is replaced lives on while the kernel counts it', () => {
    const s = new Short();
    const a = s.make(ROOT, 'a');
    const b = s.make(ROOT, 'b');
    s.write(b, 0, 'old');
    s.rename(ROOT, 'a', ROOT, 'b');
    expect([s.lookup(ROOT, 'b'), s.read(b, 0, 10), s.attr(b).nlink]).toEqual([a, 'old', 0]);
    s.forget(b);
    expect(() => s.attr(b)).toThrow(ESTALE);
  });

  test.each([
    ['no page for its ACL', { size: 1, nrInodes: 10 }],
    ['no inode', { nrInodes: 4 }],
  ])('with a whiteout that can not be made (%s) is ENOSPC, and nothing has happened', (_, options) => {
    const s = new Short(options);
    const dir = s.mkdir(ROOT, 'dir');
    const [file, there] = [s.make(dir, 'file'), s.make(dir, 'there')];
    const id = 0xffff_ffff;
    const tags = [0x01, 0x02, 0x04, 0x10, 0x20]; // owner, a user, group, mask, others
    const value = encodeAcl(tags.map((tag) => ({ tag, perm: 7, id: tag === 0x02 ? 1000 : id })));
    s.fs.setxattr(at(dir), { name: 'system.posix_acl_default', value, flags: 0, setxattr_flags: 0 } as never);
    for (const newname of ['there', 'new'])
      expect(() => s.rename(dir, 'file', dir, newname, RENAME_WHITEOUT)).toThrow(ENOSPC);
    expect(s.list(dir).map(({ name, ino }) => [name, Number(ino)])).toEqual(
      Object.entries({ '.': dir, '..': ROOT, file, there }),
    );
    s.fs.check();
  });

  test('a whiteout has the place of the name that it stands for', () => {
    const s = new Short();
    for (const name of ['a', 'b', 'c']) s.make(ROOT, name);
    const before = s.list(ROOT);
    s.rename(ROOT, 'a', ROOT, 'd', RENAME_WHITEOUT);
    s.rename(ROOT, 'b', ROOT, 'c', RENAME_WHITEOUT);
    const after = s.list(ROOT);
    expect(after.map(({ name }) => name)).toEqual(['.', '..', 'a', 'b', 'c', 'd']);
    expect(after.slice(0, -1).map(({ off }) => off)).toEqual(before.map(({ off }) => off));
    s.fs.check();
  });
});

describe('content', () => {
  test('holes and what was cut off read as zeros', () => {
    const s = new Short();
    const file = s.make(ROOT, 'file');
    s.write(file, 5000, 'end');
    expect(s.read(file, 4998, 100)).toBe('\0\0end');
    s.write(file, 0, 'x'.repeat(5003));
    for (const kept of [4990, 10]) {
      s.truncate(file, kept);
      s.truncate(file, 5003);
      expect(s.read(file, 0, 6000)).toBe('x'.repeat(kept) + '\0'.repeat(5003 - kept));
      s.write(file, 0, 'x'.repeat(5003));
    }
  });

  test('there is nothing to read at the end and behind it', () => {
    const s = new Short();
    const file = s.make(ROOT, 'file');
    s.write(file, 0, 'text');
    for (const offset of [4, 5, 2 ** 40]) expect(s.read(file, offset, 10)).toBe('');
    expect(s.read(file, 3, 10)).toBe('t');
  });

  test('setattr keeps the type of a file, and what it is not told to change', () => {
    const s = new Short();
    const file = s.make(ROOT, 'file');
    s.write(file, 0, 'text');
    s.fs.setattr(at(file), { valid: FATTR_MODE, mode: 0o40_0777 } as never);
    expect(s.attr(file)).toMatchObject({ mode: S_IFREG | 0o777, size: 4, uid: 0 });
  });

  test('an inode belongs to who made it', () => {
    const s = new Short();
    const { attr } = s.fs.mkdir(at(ROOT, 12, 34), { name: 'dir', mode: 0o700, umask: 0 });
    expect(attr).toMatchObject({ uid: 12, gid: 34 });
  });
});

describe('readdir', () => {
  test('goes on behind any cookie, with types', () => {
    const s = new Short();
    s.mkdir(ROOT, 'dir');
    s.make(ROOT, 'file');
    s.fs.symlink(at(ROOT), { name: 'link', target: 'x' });
    const all = s.list(ROOT);
    expect(all.map(({ name, type }) => [name, type])).toEqual([
      ['.', DT_DIR],
      ['..', DT_DIR],
      ['dir', DT_DIR],
      ['file', DT_REG],
      ['link', DT_LNK],
    ]);
    for (const [i, { off }] of all.entries()) expect(s.list(ROOT, off)).toEqual(all.slice(i + 1));
  });

  test('neither misses nor repeats what stays, whatever comes and goes in between', () => {
    const s = new Short();
    for (let i = 0; i < 100; i++) s.make(ROOT, `${i}`);
    const seen: string[] = [];
    let offset = 0n;
    for (let i = 0; ; i++) {
      const some = s.list(ROOT, offset, 3);
      if (some.length === 0) break;
      seen.push(...some.map(({ name }) => name));
      offset = some.at(-1)!.off;
      if (i >= 20) continue;
      s.make(ROOT, `new ${i}`);
      s.fs.unlink(at(ROOT), { name: some.at(-1)!.name.startsWith('.') ? '99' : some.at(-1)!.name });
    }
    expect(new Set(seen).size).toBe(seen.length);
    for (let i = 0; i < 99; i++) expect(seen).toContain(`${i}`);
  });

  test('readdirplus counts a lookup for each entry, none for the dots, none for what did not fit', () => {
    const s = new Short();
    const nodes = ['a', 'b', 'c'].map((name) => s.make(ROOT, name));
    s.list(ROOT, 0n, 4, true);
    expect(s.fs.nodes.counted.map(({ nodeid, nlookup }) => [nodeid, nlookup])).toEqual([
      [nodes[0], 2],
      [nodes[1], 2],
      [nodes[2], 1],
    ]);
  });
});

test('everything removed and forgotten, nothing is left: no node, no byte', () => {
  const s = new Short();
  const seed = process.env.SEED === undefined ? Date.now() & 0x7fff_ffff : Number(process.env.SEED);
  console.log(`seed ${seed}: SEED=${seed} repeats it`);
  let state = seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return (state >>> 8) % below;
  };
  const free = s.fs.statfs().bfree;
  /** What the kernel has been given, and how often. */
  const given = new Map<number, number>();
  const give = (nodeid: number): number => {
    given.set(nodeid, (given.get(nodeid) ?? 0) + 1);
    return nodeid;
  };
  const directories = [ROOT];
  let done = 0;
  for (let i = 0; i < 5000; i++) {
    const parent = directories[random(directories.length)]!;
    const name = `${random(8)}`;
    const steps = [
      () => directories.push(give(s.mkdir(parent, name))),
      () => s.write(give(s.make(parent, name)), random(10_000), 'x'.repeat(random(9000))),
      () => give(s.fs.symlink(at(parent), { name, target: 't'.repeat(random(50)) }).nodeid),
      () => give(s.lookup(parent, name)),
      () => s.truncate(give(s.lookup(parent, name)), random(20_000)),
      () => give(s.fs.link(at(parent), { oldnodeid: [...given.keys()][random(given.size)]!, newname: name }).nodeid),
      () => s.fs.unlink(at(parent), { name }),
      () => s.fs.rmdir(at(parent), { name }),
      () => s.rename(parent, name, directories[random(directories.length)]!, `${random(8)}`),
      () => {
        const nodeid = [...given.keys()][random(given.size)]!;
        s.forget(nodeid, given.get(nodeid));
        given.delete(nodeid);
      },
    ];
    try {
      steps[random(steps.length)]!();
      done++;
    } catch (error) {
      if (!(error as Partial<NodeJS.ErrnoException>).code) throw error;
    }
  }
  expect(done).toBeGreaterThan(1000);
  const empty = (nodeid: number): void => {
    for (const { name, type } of s.list(nodeid).slice(2)) {
      if (type === DT_DIR) {
        empty(give(s.lookup(nodeid, name)));
        s.fs.rmdir(at(nodeid), { name });
      } else s.fs.unlink(at(nodeid), { name });
    }
  };
  empty(ROOT);
  expect(s.attr(ROOT).nlink).toBe(2);
  for (const [nodeid, nlookup] of given) s.forget(nodeid, nlookup);
  expect(s.fs.nodes.counted).toEqual([]);
  expect(s.fs.nodes.size).toBe(1);
  expect(s.fs.statfs().bfree).toBe(free);
  s.fs.check();
});
