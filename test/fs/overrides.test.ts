/** What mount options make of a filesystem's answers: call by call, and as real programs see it. */
import { describe, expect, test } from 'vitest';
import { EACCES, EIO, ENOENT } from '../../src/abi/errno.ts';
import { fuse_in_header } from '../../src/abi/fuse.ts';
import {
  FOPEN_DIRECT_IO,
  FOPEN_KEEP_CACHE,
  FOPEN_NONSEEKABLE,
  FOPEN_PASSTHROUGH,
} from '../../src/abi/fuse-constants.ts';
import { S_IFDIR, S_IFLNK, S_IFREG } from '../../src/abi/posix.ts';
import { MemoryFs } from '../../src/fs/index.ts';
import { type Overrides, withOverrides } from '../../src/fs/overrides.ts';
import type { MountOptions } from '../../src/options.ts';
import type { DirectoryReply, Dirent } from '../../src/protocol/dirent.ts';
import type { Filesystem } from '../../src/protocol/filesystem.ts';
import { Request } from '../../src/protocol/request.ts';
import type { TraceEvent } from '../../src/protocol/trace.ts';
import { forgetUnused, kernelTest, mounted, run, sh, until } from '../support.ts';

/** The compiler: what overrides.ts calls an option is one, of that type. All are optional, so a plain assignment would let any name pass. */
true satisfies Pick<Required<MountOptions>, keyof Overrides> extends Required<Overrides> ? true : never;

function request({ nodeid = 7, uid = 0 } = {}): Request {
  const view = new DataView(new ArrayBuffer(fuse_in_header.size));
  fuse_in_header.encode(view, 0, { len: 40, opcode: 1, unique: 2n, nodeid, uid, gid: 0, pid: 1, total_extlen: 0 });
  return new Request(view);
}
const FILE = { ino: 7n, mode: S_IFREG | 0o4644, uid: 1, gid: 2, size: 5, mtime: 10, mtimensec: 11 };
const DIR = { ino: 8n, mode: S_IFDIR | 0o1750, uid: 1, gid: 2 };
const LINK = { ino: 9n, mode: S_IFLNK | 0o777, uid: 1, gid: 2 };
/** The methods of a wrapped filesystem, without the arguments that a test doesn't care about. */
type Loose = Record<string, (request?: unknown, args?: unknown, reply?: unknown) => unknown>;
const wrap = (filesystem: Filesystem, options: MountOptions) => withOverrides(filesystem, options) as unknown as Loose;

describe('the wrapper', () => {
  test('is the filesystem itself where no option needs one', () => {
    const filesystem = new MemoryFs();
    expect(withOverrides(filesystem, {})).toBe(filesystem);
    const off = {
      autoCache: false,
      directIo: false,
      kernelCache: false,
      allowRoot: false,
      noforget: false,
      remember: 0,
    };
    const others = { ro: true, fsname: 'x', entryTimeout: 3, attrTimeout: 4, allowOther: true, uid: undefined };
    expect(withOverrides(filesystem, { ...off, ...others })).toBe(filesystem);
  });

  test('keeps what is absent absent, the promises, and `this`', () => {
    class Small implements Filesystem {
      readonly promises = ['FLOCK_LOCKS'] as const;
      #target = 'there';
      readlink() {
        return this.#target;
      }
    }
    const all: MountOptions = { uid: 1, negativeTimeout: 1, remember: 1 };
    const small = withOverrides(new Small(), all);
    expect(Object.keys(small).sort()).toEqual(['promises', 'readlink']);
    expect(small.promises).toEqual(['FLOCK_LOCKS']);
    expect(small.readlink!(request(), {})).toBe('there');
  });
});

describe('uid, gid, umask, fmask, dmask', () => {
  const replies: Filesystem = {
    lookup: () => ({ nodeid: 7, generation: 3, entry_valid: 4, attr: FILE }),
    getattr: () => ({ attr: DIR, attr_valid: 9 }),
    setattr: () => ({ attr: LINK }),
    mkdir: () => ({ nodeid: 8, attr: DIR }),
    mknod: () => ({ nodeid: 7, attr: FILE }),
    symlink: () => ({ nodeid: 9, attr: LINK }),
    link: () => ({ nodeid: 7, attr: FILE }),
    create: () => ({ entry: { nodeid: 7, attr: FILE }, open: { fh: 5, open_flags: FOPEN_NONSEEKABLE } }),
    tmpfile: () => ({ entry: { nodeid: 7, attr: FILE }, open: { fh: 6 } }),
    statx: () => ({ stat: { mask: 1, ...FILE, btime: TIME, mtime: TIME, atime: TIME, ctime: TIME } }),
  };
  const TIME = { tv_sec: 1, tv_nsec: 2 };
  const options = { uid: 100, gid: 200, umask: 0o27, dmask: 0o77 };
  const own = { uid: 100, gid: 200 };
  const file = { ...own, mode: S_IFREG | 0o750 };
  const expected: [string, unknown][] = [
    ['lookup', { nodeid: 7, generation: 3, entry_valid: 4, attr: { ...file, size: 5, mtime: 10, mtimensec: 11 } }],
    ['getattr', { attr: { ...own, mode: S_IFDIR | 0o700 }, attr_valid: 9 }],
    ['setattr', { attr: { ...own, mode: S_IFLNK | 0o777 } }],
    ['mkdir', { attr: { ...own, mode: S_IFDIR | 0o700 } }],
    ['mknod', { attr: file }],
    ['symlink', { attr: { ...own, mode: S_IFLNK | 0o777 } }],
    ['link', { attr: file }],
    ['create', { entry: { attr: file }, open: { fh: 5, open_flags: FOPEN_NONSEEKABLE } }],
    ['tmpfile', { entry: { attr: file }, open: { fh: 6 } }],
    ['statx', { stat: { ...file, size: 5, btime: TIME } }],
  ];
  test.each(expected)('change what %s answers, and nothing else of it', (method, answer) => {
    const result = wrap(replies, options)[method]!(request());
    expect(result).toMatchObject(answer as object);
    expect(FILE.uid).toBe(1); // the filesystem's own attributes are left alone
    expect(FILE.mode).toBe(S_IFREG | 0o4644);
  });

  test.each(expected)('change what %s answers later', async (method, answer) => {
    const later = Object.fromEntries(
      Object.entries(replies).map(([name, call]) => [name, async () => (call as () => unknown)()]),
    );
    const result = wrap(later as Filesystem, options)[method]!(request());
    expect(result).toBeInstanceOf(Promise);
    expect(await result).toMatchObject(answer as object);
  });

  test('leave the mode as it is where no mask is given for it', () => {
    expect(wrap(replies, { uid: 0 }).lookup!(request())).toMatchObject({ attr: { uid: 0, gid: 2, mode: FILE.mode } });
    expect(wrap(replies, { fmask: 0 }).lookup!(request())).toMatchObject({ attr: { mode: S_IFREG | 0o777, uid: 1 } });
    expect(wrap(replies, { fmask: 0 }).getattr!(request())).toMatchObject({ attr: { mode: DIR.mode } });
    expect(wrap(replies, { dmask: 0 }).getattr!(request())).toMatchObject({ attr: { mode: S_IFDIR | 0o777 } });
    expect(wrap(replies, { dmask: 0 }).lookup!(request())).toMatchObject({ attr: { mode: FILE.mode } });
  });

  test('work on attributes that are computed when asked for', () => {
    class Computed {
      #size = 12;
      readonly ino = 1n;
      get mode() {
        return S_IFREG | 0o600;
      }
      get size() {
        return this.#size;
      }
    }
    const filesystem: Filesystem = { getattr: () => ({ attr: new Computed() }) };
    expect(wrap(filesystem, { uid: 3 }).getattr!(request())).toMatchObject({
      attr: { uid: 3, size: 12, mode: S_IFREG | 0o600 },
    });
  });

  test('change the entries of readdirplus, whose sink goes on to say when it is full', () => {
    const dirent: Dirent = { name: 'a', ino: 7n, type: 8, off: 3n };
    const filesystem: Filesystem = {
      readdirplus(_, __, reply) {
        expect(reply.add(dirent, () => ({ nodeid: 7, attr: FILE }))).toBe(true);
        expect(reply.length).toBe(160);
        expect(reply.add(dirent)).toBe(false);
        reply.addRecords(Buffer.of(9), 0, 1);
      },
    };
    const looked: unknown[] = [];
    const sink = {
      length: 0,
      add(entry: Dirent, lookup?: (entry: Dirent) => unknown) {
        looked.push(lookup?.(entry));
        this.length = 160;
        return looked.length === 1;
      },
      addRecords: (...of: unknown[]) => looked.push(of),
    };
    wrap(filesystem, options).readdirplus!(request(), { offset: 0n }, sink as unknown as DirectoryReply);
    expect(looked).toMatchObject([{ nodeid: 7, attr: file }, undefined, [Buffer.of(9), 0, 1]]);
    expect(looked.length).toBe(3);
  });
});

describe('negative_timeout', () => {
  const absent = { nodeid: 0, entry_valid: 2, entry_valid_nsec: 500_000_000 };
  const throwing = (error: unknown): Filesystem => ({
    lookup() {
      throw error;
    },
  });
  test('makes an answer that is remembered of ENOENT, thrown or rejected, ours or Node’s', async () => {
    const system = Object.assign(new Error('no such file'), { code: 'ENOENT', errno: -2 });
    expect(wrap(throwing(ENOENT), { negativeTimeout: 2.5 }).lookup!(request())).toMatchObject(absent);
    expect(wrap(throwing(system), { negativeTimeout: 2.5 }).lookup!(request())).toMatchObject(absent);
    const rejecting = { lookup: async () => Promise.reject(system) };
    expect(await wrap(rejecting, { negativeTimeout: 2.5 }).lookup!(request())).toMatchObject(absent);
  });
  test('leaves other errors and other answers alone', async () => {
    const bug = new TypeError('x');
    expect(() => wrap(throwing(EIO), { negativeTimeout: 1 }).lookup!(request())).toThrow(EIO);
    expect(() => wrap(throwing(bug), { negativeTimeout: 1 }).lookup!(request())).toThrow(bug);
    expect(() => wrap(throwing(undefined), { negativeTimeout: 1 }).lookup!(request())).toThrow();
    await expect(
      wrap({ lookup: async () => Promise.reject(EIO) }, { negativeTimeout: 1 }).lookup!(request()),
    ).rejects.toBe(EIO);
    const entry = { nodeid: 7, attr: FILE };
    expect(wrap({ lookup: () => entry }, { negativeTimeout: 1 }).lookup!(request())).toBe(entry);
  });
  test('of 0 remembers nothing', () => {
    expect(() => wrap(throwing(ENOENT), { negativeTimeout: 0 }).lookup!(request())).toThrow(ENOENT);
  });
  test('is the time of an absent name that the filesystem answers without one', () => {
    const attr = { ino: 0n, mode: 0 };
    const filesystem = (entry_valid?: number): Filesystem => ({ lookup: () => ({ nodeid: 0, attr, entry_valid }) });
    expect(wrap(filesystem(), { negativeTimeout: 2.5 }).lookup!(request())).toMatchObject(absent);
    expect(wrap(filesystem(), { negativeTimeout: 0 }).lookup!(request())).toMatchObject({ nodeid: 0, entry_valid: 0 });
    expect(wrap(filesystem(9), { negativeTimeout: 2 }).lookup!(request())).toMatchObject({ entry_valid: 9 });
  });
});

describe('direct_io and kernel_cache', () => {
  const filesystem: Filesystem = {
    open: () => ({ fh: 4, open_flags: FOPEN_NONSEEKABLE, backing_id: 3 }),
    create: async () => ({ entry: { nodeid: 7, attr: FILE }, open: { fh: 5 } }),
    tmpfile: () => ({ entry: { nodeid: 7, attr: FILE }, open: { fh: 6 } }),
  };
  test('add their flag to what open, create and tmpfile answer', async () => {
    for (const [options, flag] of [
      [{ directIo: true }, FOPEN_DIRECT_IO],
      [{ kernelCache: true }, FOPEN_KEEP_CACHE],
      [{ directIo: true, kernelCache: true }, FOPEN_DIRECT_IO | FOPEN_KEEP_CACHE],
    ] as const) {
      const served = wrap(filesystem, options);
      expect(served.open!(request())).toEqual({ fh: 4, open_flags: FOPEN_NONSEEKABLE | flag, backing_id: 3 });
      expect(await served.create!(request())).toMatchObject({ open: { fh: 5, open_flags: flag } });
      expect(served.tmpfile!(request())).toMatchObject({ open: { fh: 6, open_flags: flag } });
    }
  });
  test('speak for a filesystem without open too, and make no create', () => {
    const served = wrap({}, { kernelCache: true });
    expect(served.open!(request())).toMatchObject({ fh: 0, open_flags: FOPEN_KEEP_CACHE });
    expect(served.create).toBeUndefined();
  });
  test('leave one that needs no open without it, unless direct_io has to be said', () => {
    const stateless: Filesystem = { promises: ['NO_OPEN_SUPPORT'] };
    expect(wrap(stateless, { kernelCache: true }).open).toBeUndefined();
    expect(wrap(stateless, { autoCache: true }).open).toBeUndefined();
    expect(wrap(stateless, { directIo: true }).open!(request())).toMatchObject({ open_flags: FOPEN_DIRECT_IO });
  });
  test('do not keep the cache of a file that passes through: the kernel would answer EIO', () => {
    const through: Filesystem = { open: () => ({ fh: 1, open_flags: FOPEN_PASSTHROUGH, backing_id: 1 }) };
    expect(wrap(through, { kernelCache: true }).open!(request())).toMatchObject({ open_flags: FOPEN_PASSTHROUGH });
  });
});

describe('auto_cache', () => {
  const KEPT = FOPEN_KEEP_CACHE;
  /** A file that can change, and count how often getattr is asked. */
  const file = (async = false) => {
    const attr = { ...FILE };
    const state = { attr, asked: 0, fails: false };
    const now = () => {
      state.asked++;
      if (state.fails) throw EIO;
      return { attr: { ...attr } };
    };
    const filesystem: Filesystem = {
      lookup: () => ({ nodeid: 7, attr: { ...attr } }),
      getattr: async ? async () => now() : now,
      open: () => ({ fh: 1 }),
    };
    return { state, filesystem };
  };
  const flags = async (served: Loose) => ((await served.open!(request())) as { open_flags?: number }).open_flags ?? 0;

  test.each([false, true])('keeps the cache while size and mtime are what they were (async: %s)', async (async) => {
    const { state, filesystem } = file(async);
    const served = wrap(filesystem, { autoCache: true, acAttrTimeout: 0 });
    served.lookup!(request());
    expect(await flags(served)).toBe(0); // nothing is known to be cached yet
    expect(await flags(served)).toBe(KEPT);
    state.attr.mtimensec++;
    expect(await flags(served)).toBe(0);
    expect(await flags(served)).toBe(KEPT);
    state.attr.size++;
    expect(await flags(served)).toBe(0);
    expect(await flags(served)).toBe(KEPT);
    state.fails = true;
    expect(await flags(served)).toBe(0);
  });
  test('asks getattr only when the attributes are older than ac_attr_timeout', async () => {
    const { state, filesystem } = file();
    const trusting = wrap(filesystem, { autoCache: true, acAttrTimeout: 1000, attrTimeout: 0 });
    trusting.lookup!(request());
    await flags(trusting);
    state.attr.size++;
    expect(await flags(trusting)).toBe(KEPT);
    expect(state.asked).toBe(0);
    const asking = wrap(filesystem, { autoCache: true, attrTimeout: 0 }); // whose timeout is attr_timeout
    asking.lookup!(request());
    await flags(asking);
    await flags(asking);
    expect(state.asked).toBe(1);
  });
  test('sees a change in whatever answer tells it', async () => {
    const { state, filesystem } = file();
    const served = wrap(filesystem, { autoCache: true, acAttrTimeout: 1000 });
    served.lookup!(request());
    await flags(served);
    state.attr.size++;
    served.getattr!(request());
    expect(await flags(served)).toBe(0);
  });
  test('knows nothing of a node that was forgotten', async () => {
    const { filesystem } = file();
    const served = wrap(filesystem, { autoCache: true });
    served.lookup!(request());
    await flags(served);
    served.forget!(request(), { nodeid: 7, nlookup: 1 });
    expect(await flags(served)).toBe(0);
  });
  test('answers a plain value where the filesystem does', () => {
    const { filesystem } = file();
    const served = wrap(filesystem, { autoCache: true, acAttrTimeout: 0 });
    served.lookup!(request());
    expect(served.open!(request())).not.toBeInstanceOf(Promise);
    expect(served.open!(request())).not.toBeInstanceOf(Promise);
  });
});

describe('allow_root', () => {
  const me = process.getuid!();
  const stranger = { uid: 65534 };
  const calls: string[] = [];
  const open = ['read', 'write', 'flush', 'release', 'readdir', 'lseek', 'getattr', 'setattr', 'poll', 'setlk'];
  const filesystem = Object.fromEntries(
    ['lookup', 'unlink', 'readlink', 'copy_file_range', ...open].map((name) => [name, () => void calls.push(name)]),
  ) as Filesystem;
  const served = wrap(filesystem, { allowRoot: true });
  test('refuses what others look up, open or change, in place of absent methods too', () => {
    for (const name of ['lookup', 'getattr', 'setattr', 'unlink', 'readlink', 'open', 'opendir', 'statfs'])
      expect(() => served[name]!(request(stranger), { fh: undefined }), name).toThrow(EACCES);
    expect(calls).toEqual([]);
  });
  test('lets root and the mounting user in', () => {
    for (const uid of [0, me]) expect(served.lookup!(request({ uid }), {})).toBeUndefined();
    expect(served.open!(request({ uid: 0 }), {})).toEqual({ fh: 0 });
    expect(served.statfs!(request({ uid: 0 }), {})).toEqual({ bsize: 512, namelen: 255 });
    expect(calls).toEqual(['lookup', 'lookup']);
  });
  test('lets everybody use what is open', () => {
    calls.length = 0;
    for (const name of open) served[name]!(request(stranger), { fh: 0 });
    served.copy_file_range!(request(stranger), { fh_in: 0, fh_out: 0 });
    expect(calls).toEqual([...open, 'copy_file_range']);
  });
});

describe('remember and noforget', () => {
  test('pass forgets on later, once each, and the rest at the end', async () => {
    const forgot: unknown[] = [];
    let over = false;
    const filesystem: Filesystem = {
      forget: ({ nodeid }, one) => void forgot.push([nodeid, one]),
      destroy: () => {
        over = true;
      },
    };
    const served = wrap(filesystem, { remember: 0.05 });
    served.forget!(request(), { nodeid: 7, nlookup: 2 });
    served.forget!(request(), { nodeid: 8, nlookup: 1 });
    expect(forgot).toEqual([]);
    await until(() => forgot.length === 2, 'the forgets');
    expect(forgot).toEqual([
      [7, { nodeid: 7, nlookup: 2 }],
      [8, { nodeid: 8, nlookup: 1 }],
    ]);
    const slow = wrap(filesystem, { remember: 1e9 });
    slow.forget!(request(), { nodeid: 9, nlookup: 3 });
    slow.destroy!();
    expect(forgot.slice(2)).toEqual([[9, { nodeid: 9, nlookup: 3 }]]);
    expect(over).toBe(true);
  });
  test('noforget passes none on', () => {
    const forgot: unknown[] = [];
    const served = wrap({ forget: () => void forgot.push(1) }, { noforget: true, remember: 0.001 });
    served.forget!(request(), { nodeid: 7, nlookup: 1 });
    expect(forgot).toEqual([]);
  });
});

/** An observer that counts requests by operation. */
function counting() {
  const count: Record<string, number> = {};
  const trace = (event: TraceEvent) => {
    if (event.kind === 'request') count[event.operation] = (count[event.operation] ?? 0) + 1;
  };
  return { count, trace };
}
/** What came while `body` ran. */
async function during(count: Record<string, number>, operation: string, body: () => Promise<unknown>): Promise<number> {
  const before = count[operation] ?? 0;
  await body();
  return (count[operation] ?? 0) - before;
}
const asNobody = ['--reuid=65534', '--regid=65534', '--clear-groups'];

kernelTest('uid, gid, umask, fmask and dmask are what ls shows, of old files and new ones', async () => {
  const options = { uid: 1234, gid: 2345, umask: 0o137, dmask: 0o27 };
  await using m = await mounted(new MemoryFs(), options);
  await sh('echo x > f; mkdir d; ln -s f l; chmod 4777 f', m.dir);
  expect(await sh('stat -c "%u %g %a" f d .; stat -c "%a" l', m.dir)).toBe(
    '1234 2345 640\n1234 2345 750\n1234 2345 750\n777\n',
  );
  expect(await sh('ls -ln | awk "NR > 1 { print \\$1, \\$3, \\$4 }"', m.dir)).toBe(
    'drwxr-x--- 1234 2345\n-rw-r----- 1234 2345\nlrwxrwxrwx 1234 2345\n',
  );
});

kernelTest('negative_timeout spares the second LOOKUP of an absent name', async () => {
  for (const [options, lookups] of [
    [{ negativeTimeout: 60 }, 1],
    [{}, 2],
  ] as const) {
    const { count, trace } = counting();
    await using m = await mounted(new MemoryFs(), { ...options, trace });
    expect(await during(count, 'LOOKUP', () => sh('! test -e absent; ! test -e absent', m.dir))).toBe(lookups);
    expect(await sh('echo x > absent; cat absent', m.dir)).toBe('x\n');
  }
});

kernelTest('entry_timeout and attr_timeout are the times of answers that have none', async () => {
  const stats = 'stat f; stat f; stat f';
  for (const [options, lookups, getattrs] of [
    [{ entryTimeout: 60, attrTimeout: 60 }, 0, 0],
    [{ entryTimeout: 0, attrTimeout: 60 }, 3, 0],
    [{ entryTimeout: 60, attrTimeout: 0 }, 0, 3],
  ] as const) {
    const { count, trace } = counting();
    // With a layer in between the defaults are the session's all the same.
    await using m = await mounted(new MemoryFs(), { ...options, negativeTimeout: 0, trace });
    await sh('touch f; stat f', m.dir);
    const before = { ...count };
    await run('sh', ['-c', stats.replaceAll('f', `${m.dir}/f`)]);
    expect((count.LOOKUP ?? 0) - (before.LOOKUP ?? 0), 'LOOKUP').toBe(lookups);
    expect((count.GETATTR ?? 0) - (before.GETATTR ?? 0), 'GETATTR').toBe(getattrs);
  }
});

kernelTest(
  'kernel_cache keeps what was read, direct_io nothing, and without either each open reads again',
  async () => {
    const twice = 'cat f f > /dev/null';
    for (const [options, reads] of [
      [{ kernelCache: true }, 0],
      [{}, 2],
      [{ directIo: true }, 4], // each cat reads twice: the data, and that there is no more
    ] as const) {
      const { count, trace } = counting();
      await using m = await mounted(new MemoryFs(), { ...options, trace });
      await sh('echo x > f; cat f', m.dir);
      expect(await during(count, 'READ', () => sh(twice, m.dir)), JSON.stringify(options)).toBe(reads);
    }
  },
);

kernelTest('auto_cache reads again only what has changed behind the kernel', async () => {
  const { count, trace } = counting();
  const filesystem = new MemoryFs();
  await using m = await mounted(filesystem, { autoCache: true, attrTimeout: 0, trace });
  await sh('echo x > f; cat f f', m.dir); // the first open has nothing to compare with but the empty file that was made
  const cat = () => sh('cat f', m.dir);
  expect(await during(count, 'READ', cat)).toBe(0);
  const node = filesystem.nodes.get(filesystem.files.nodeid('f'));
  filesystem.tree.write(node, 0, Buffer.from('y')); // not through `files`, which would tell the kernel
  expect(await during(count, 'READ', async () => expect(await cat()).toBe('y\n'))).toBe(1);
  expect(await during(count, 'READ', cat)).toBe(0);
});

kernelTest('allow_root keeps other users out where allow_other lets them in', async () => {
  const nobody = (script: string, dir: string) => run('setpriv', [...asNobody, 'sh', '-c', script, 'sh', dir]);
  const prepare = 'echo x > f; chmod 666 f';
  {
    const { count, trace } = counting();
    await using m = await mounted(new MemoryFs(), { trace });
    await sh(`${prepare}; chmod 755 .`, m.dir);
    await expect(nobody('ls "$1"', m.dir)).rejects.toThrow(/Permission denied/);
    expect(count.OPENDIR ?? 0, 'the kernel itself refuses').toBe(0);
  }
  {
    await using m = await mounted(new MemoryFs(), { allowOther: true });
    await sh(prepare, m.dir);
    expect(await nobody('cat "$1/f"; ls "$1"', m.dir)).toBe('x\nf\n');
  }
  {
    await using m = await mounted(new MemoryFs(), { allowRoot: true, entryTimeout: 0, attrTimeout: 0 });
    await sh(prepare, m.dir);
    for (const script of ['cat "$1/f"', 'ls "$1"', 'echo y > "$1/f"', 'stat "$1/f"', 'touch "$1/g"'])
      await expect(nobody(script, m.dir), script).rejects.toThrow(/Permission denied/);
    expect(await sh('cat f; ls', m.dir)).toBe('x\nf\n');
    // What root has opened others may go on using.
    expect(await sh(`setpriv ${asNobody.join(' ')} sh -c 'read line; test $line = x && echo y' < f`, m.dir)).toBe(
      'y\n',
    );
  }
});

kernelTest('remember keeps nodes that the kernel has forgotten, at most until the end', async () => {
  const filesystem = new MemoryFs();
  const { count, trace } = counting();
  {
    await using m = await mounted(filesystem, { remember: 3600, trace }, { leaks: false });
    await sh('touch f', m.dir);
    await until(async () => {
      await forgetUnused(m.dir);
      return (count.FORGET ?? 0) + (count.BATCH_FORGET ?? 0) > 0;
    }, 'a FORGET');
    expect(filesystem.nodes.counted.length).toBe(1);
  }
  expect(filesystem.nodes.counted).toEqual([]);
});
