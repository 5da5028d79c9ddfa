/** The rules of dispatch that the table's lines stand for, each seen at the answer: see operations.ts. */
import { describe, expect, test } from 'vitest';
import { EACCES, EFBIG, EINTR, EIO, ENOENT, ENOSYS, ENXIO, ERANGE, type Errno } from '../../src/abi/errno.ts';
import { fuse_create_in, fuse_entry_out, fuse_kstatfs, fuse_statx_out } from '../../src/abi/fuse.ts';
import * as c from '../../src/abi/fuse-constants.ts';
import type { AnyStruct } from '../../src/abi/struct.ts';
import type { DirectoryReply } from '../../src/protocol/dirent.ts';
import { type Answer, serve } from '../../src/protocol/dispatch.ts';
import { DEFAULTS, type OperationName, WITHOUT_DEFAULTS } from '../../src/protocol/operations.ts';
import type { Request } from '../../src/protocol/request.ts';
import {
  bodyOf,
  connect,
  encodeRequest,
  encodeStruct,
  FakeServer,
  load,
  operationNames,
  rows,
  SHAPES,
  type Shape,
  TIMES,
  viewOf,
} from './support.ts';

const HUGE = [2n ** 53n, 2n ** 60n, 2n ** 63n - 1n, 2n ** 64n - 1n];

/** A filesystem whose one method records its arguments and gives `result`. */
function recorder(method: string, result?: unknown) {
  const calls: Record<string, unknown>[] = [];
  const filesystem = {
    [method]: (_: Request, args: Record<string, unknown>) => {
      calls.push(args);
      return result;
    },
  };
  return { calls, filesystem };
}

interface Served {
  readonly answer: Answer;
  readonly body: Buffer;
  readonly server: FakeServer;
}
/** Serves a message that is answered at once. */
function ask(filesystem: object, message: Buffer, shape: Shape = 'device'): Served {
  const server = new FakeServer(filesystem);
  const slot = load(message, shape);
  const answer = serve(server, slot) as Answer;
  expect(answer, 'a plain value needs no promise').not.toBeInstanceOf(Promise);
  return { answer, body: bodyOf(slot, answer ?? 0), server };
}
const failsWith = ({ errno }: Errno) => -errno;

/** A request in which one member of 64 bits has a value that no number holds. */
function withMember(operation: OperationName, member: string, value: bigint, args: object = {}): Buffer {
  const message = encodeRequest(operation, args as Record<string, unknown>);
  message.writeBigUInt64LE(value, 40 + rows[operation].in!.offset[member]!);
  return message;
}

describe.each(SHAPES)('in the shape of a %s', (shape) => {
  describe('an absent method', () => {
    const absent = (operation: OperationName, args = {}) => ask({}, encodeRequest(operation, args), shape);

    test.each(['OPEN', 'OPENDIR'] as const)('%s answers handle 0 and no flags', (operation) => {
      expect(absent(operation, { flags: 2 }).body).toEqual(Buffer.alloc(16));
    });
    test.each([
      ['OPEN', 'NO_OPEN_SUPPORT'],
      ['OPENDIR', 'NO_OPENDIR_SUPPORT'],
    ] as const)('%s answers ENOSYS where %s was promised', (operation, promise) => {
      expect(ask({ promises: [promise] }, encodeRequest(operation), shape).answer).toBe(failsWith(ENOSYS));
      const other = operation === 'OPEN' ? 'OPENDIR' : 'OPEN';
      expect(ask({ promises: [promise] }, encodeRequest(other), shape).answer).toBe(16);
    });
    test.each(['RELEASE', 'RELEASEDIR'] as const)('%s succeeds', (operation) => {
      expect(absent(operation, { fh: 5 }).answer).toBe(0);
    });
    test('STATFS answers zeros, blocks of 512 and names of 255', () => {
      const { body } = absent('STATFS');
      expect(body).toEqual(encodeStruct(fuse_kstatfs, { bsize: 512, namelen: 255 }));
    });
    const special = ['OPEN', 'OPENDIR', 'RELEASE', 'RELEASEDIR', 'STATFS'];
    const others = operationNames.filter(
      (name) => !special.includes(name) && !rows[name].session && !rows[name].compat,
    );
    test.each(others)('%s answers ENOSYS', (operation) => {
      const { answer, server } = absent(operation);
      expect(answer).toBe(failsWith(ENOSYS));
      expect(server.bugs).toEqual([]);
    });
    test.each(['FORGET', 'BATCH_FORGET'] as const)('forget: %s is not answered, and no bug', (operation) => {
      const { deliver, transport, errors } = connect({});
      const slot = deliver(encodeRequest(operation, { nlookup: 1, forgets: [{ nodeid: 3, nlookup: 4 }] }), shape);
      expect(transport.sent).toEqual([]);
      expect(errors).toEqual([]);
      expect(transport.released).toContain(slot);
    });
  });

  describe('two opcodes, one method', () => {
    test('rename serves RENAME with flags 0, and RENAME2 with its flags', () => {
      const { calls, filesystem } = recorder('rename');
      const names = { newdir: 7, oldname: 'a', newname: 'b' };
      expect(ask(filesystem, encodeRequest('RENAME', names), shape).answer).toBe(0);
      expect(ask(filesystem, encodeRequest('RENAME2', { ...names, flags: 2 }), shape).answer).toBe(0);
      expect(calls).toEqual([
        { ...names, flags: 0 },
        { ...names, flags: 2 },
      ]);
    });
    test('setlk serves SETLK, and SETLKW with sleep', () => {
      const { calls, filesystem } = recorder('setlk');
      const lock = {
        fh: 1,
        owner: 2n ** 64n - 1n,
        lk: { start: 3n, end: 2n ** 63n - 1n, type: 1, pid: 9 },
        lk_flags: 1,
      };
      ask(filesystem, encodeRequest('SETLK', lock), shape);
      ask(filesystem, encodeRequest('SETLKW', lock), shape);
      expect(calls).toEqual([
        { ...lock, sleep: false },
        { ...lock, sleep: true },
      ]);
    });
    test('copy_file_range serves both forms; the older one has no room for 4 GiB in its reply', () => {
      const { calls, filesystem } = recorder('copy_file_range', { bytes_copied: 0x1234 });
      const range = { fh_in: 1, off_in: 2, nodeid_out: 3, fh_out: 4, off_out: 5, len: 2 ** 40, flags: 0n };
      expect(ask(filesystem, encodeRequest('COPY_FILE_RANGE', range), shape).body.toString('hex')).toBe(
        '3412000000000000',
      );
      expect(ask(filesystem, encodeRequest('COPY_FILE_RANGE_64', range), shape).body.toString('hex')).toBe(
        '3412000000000000',
      );
      expect(calls.map(({ len }) => len)).toEqual([0xffff_f000, 2 ** 40]);
      const large = recorder('copy_file_range', { bytes_copied: 2 ** 40 }).filesystem;
      expect(ask(large, encodeRequest('COPY_FILE_RANGE_64', range), shape).body.readBigUInt64LE()).toBe(2n ** 40n);
      const over = ask(large, encodeRequest('COPY_FILE_RANGE', range), shape);
      expect([over.answer, over.server.bugs.length], 'more than was asked for').toEqual([failsWith(EIO), 1]);
    });
    test.each([
      ['readdir', 'READDIRPLUS', 152],
      ['readdirplus', 'READDIR', 24],
    ] as const)('%s serves %s where that has no method of its own', (method, operation, head) => {
      const filesystem = {
        [method]: (_: Request, __: object, reply: DirectoryReply) =>
          void reply.add({ name: 'abcdefgh', ino: 1n, type: 4, off: 1n }),
      };
      expect(ask(filesystem, encodeRequest(operation, { size: 4096 }), shape).answer).toBe(head + 8);
    });
    test('each of the two is served by its own method where there are both', () => {
      const called: string[] = [];
      const filesystem = { readdir: () => void called.push('plain'), readdirplus: () => void called.push('plus') };
      ask(filesystem, encodeRequest('READDIRPLUS', { size: 4096 }), shape);
      ask(filesystem, encodeRequest('READDIR', { size: 4096 }), shape);
      expect(called).toEqual(['plus', 'plain']);
    });
  });

  describe('a member that means nothing without its flag is undefined', () => {
    // Whatever stands in it: also what no number holds.
    const rules = operationNames.flatMap((operation) =>
      Object.entries(rows[operation].only ?? {}).map(([member, [flags, bit]]) => ({ operation, member, flags, bit })),
    );
    test.each(rules)('$operation $member', ({ operation, member, flags, bit }) => {
      const row = rows[operation];
      const { calls, filesystem } = recorder(row.method ?? operation.toLowerCase());
      const field = row.in!.fields[member]!;
      const at = 40 + row.in!.offset[member]!;
      const absent = encodeRequest(operation, { [flags]: ~bit >>> 0 });
      absent.fill(0xff, at, at + field.size);
      ask(filesystem, absent, shape);
      const present = encodeRequest(operation, { [flags]: bit });
      present[at] = 5;
      ask(filesystem, present, shape);
      expect(calls.map((args) => args[member])).toEqual([undefined, member === 'lock_owner' ? 5n : 5]);
    });
    test('these are: fh of GETATTR and STATX, the lock owner of READ, READDIR and WRITE, all of SETATTR but valid', () => {
      expect(rules.map(({ operation, member }) => `${operation} ${member}`).sort()).toEqual(
        [
          'GETATTR fh',
          'STATX fh',
          'READ lock_owner',
          'READDIR lock_owner',
          'READDIRPLUS lock_owner',
          'WRITE lock_owner',
          ...['fh', 'size', 'lock_owner', 'atime', 'atimensec', 'mtime', 'mtimensec', 'ctime', 'ctimensec', 'mode'].map(
            (member) => `SETATTR ${member}`,
          ),
          'SETATTR uid',
          'SETATTR gid',
        ].sort(),
      );
    });
  });

  test('LSEEK answers ENOSYS where the kernel has what is not written yet, whoever would serve it', () => {
    const lseek = () => ({ offset: 1 });
    expect(ask({ lseek }, encodeRequest('LSEEK'), shape).answer).toBe(8);
    expect(ask({ lseek, promises: ['WRITEBACK_CACHE'] }, encodeRequest('LSEEK'), shape).answer).toBe(failsWith(ENOSYS));
  });

  describe('past 2^53 the answer is that of Linux', () => {
    const everything = new Proxy(
      {},
      {
        get: (_, method) =>
          method === 'promises' ? undefined : () => expect.unreachable(`${String(method)} was called`),
      },
    );
    test.each(HUGE)('%d', (value) => {
      const given = (operation: OperationName, member: string, args = {}) =>
        ask(everything, withMember(operation, member, value, args), shape);
      // EIO would be what a method that was called has thrown.
      expect(given('READ', 'offset', { size: 10 }).answer, 'READ: no bytes').toBe(0);
      expect(given('LSEEK', 'offset').answer).toBe(failsWith(ENXIO));
      expect(given('WRITE', 'offset', { data: Buffer.from('x') }).answer).toBe(failsWith(EFBIG));
      expect(given('FALLOCATE', 'offset').answer).toBe(failsWith(EFBIG));
      expect(given('FALLOCATE', 'length').answer).toBe(failsWith(EFBIG));
      expect(given('SETATTR', 'size', { valid: c.FATTR_SIZE }).answer).toBe(failsWith(EFBIG));
      for (const operation of ['COPY_FILE_RANGE', 'COPY_FILE_RANGE_64'] as const) {
        expect(given(operation, 'off_in').body, 'nothing is copied from there').toEqual(Buffer.alloc(8));
        expect(given(operation, 'off_out').answer).toBe(failsWith(EFBIG));
        const both = withMember(operation, 'off_in', value);
        both.writeBigUInt64LE(value, 40 + rows[operation].in!.offset.off_out!);
        expect(ask(everything, both, shape).answer).toBe(failsWith(EFBIG));
      }
    });
    test('2^53 - 1 itself goes to the method', () => {
      const { calls, filesystem } = recorder('read', Buffer.alloc(0));
      ask(filesystem, withMember('READ', 'offset', 2n ** 53n - 1n), shape);
      expect(calls[0]!.offset).toBe(2 ** 53 - 1);
    });
    test('SETATTR without FATTR_SIZE does not look at the size', () => {
      const { calls, filesystem } = recorder('setattr', { attr: { ino: 1n, mode: 0 } });
      expect(
        ask(filesystem, withMember('SETATTR', 'size', 2n ** 64n - 1n, { valid: c.FATTR_MODE }), shape).answer,
      ).toBe(104);
      expect(calls[0]!.size).toBe(undefined);
    });
    test.each(['READDIR', 'READDIRPLUS'] as const)('%s keeps all 64 bits of the cookie', (operation) => {
      for (const cookie of [0n, 1n, ...HUGE]) {
        const { calls, filesystem } = recorder(operation.toLowerCase());
        ask(filesystem, encodeRequest(operation, { offset: cookie, size: 100 }), shape);
        expect(calls[0]!.offset).toBe(cookie);
      }
    });
    test('a handle that no number holds is EOVERFLOW, and the method is not called', () => {
      expect(ask(everything, withMember('FLUSH', 'fh', 2n ** 53n), shape).answer).toBe(-75);
    });
  });

  describe('bytes that go out', () => {
    const xattrs = ['GETXATTR', 'LISTXATTR'] as const;
    const value = Buffer.from('value');
    const fills = (_: Request, __: object, reply: Buffer) => value.copy(reply);

    test.each(xattrs)('%s of size 0 answers the size alone, however the value is given', (operation) => {
      for (const give of [() => value, fills]) {
        const { body } = ask({ [operation.toLowerCase()]: give }, encodeRequest(operation, { size: 0 }), shape);
        expect(body.toString('hex')).toBe('0500000000000000');
      }
    });
    test.each(xattrs)('%s with a size that is too small is ERANGE, and no bug', (operation) => {
      for (const give of [() => value, fills]) {
        const { answer, server } = ask(
          { [operation.toLowerCase()]: give },
          encodeRequest(operation, { size: 4 }),
          shape,
        );
        expect(answer).toBe(failsWith(ERANGE));
        expect(server.bugs).toEqual([]);
      }
    });
    test.each(xattrs)('%s with a size that fits exactly gives the value', (operation) => {
      for (const give of [() => value, fills]) {
        const { body } = ask({ [operation.toLowerCase()]: give }, encodeRequest(operation, { size: 5 }), shape);
        expect(body).toEqual(value);
      }
    });

    test('READ gives what the handler returned or put into the reply', () => {
      for (const read of [() => value, fills])
        expect(ask({ read }, encodeRequest('READ', { size: 5 }), shape).body).toEqual(value);
    });
    test.each([
      ['a longer array', () => Buffer.alloc(6)],
      ['a larger count', () => 6],
      ['a negative count', () => -1],
      ['no number', () => Number.NaN],
      ['nothing', () => undefined],
      ['a string', () => 'text'],
      ['an array', () => [1, 2]],
    ])('READ of 5 bytes answered with %s is EIO, and reported', (_, read) => {
      const { answer, server } = ask({ read }, encodeRequest('READ', { size: 5 }), shape);
      expect(answer).toBe(failsWith(EIO));
      expect(server.bugs).toHaveLength(1);
    });
    test.each([
      ['WRITE', 'write', 'size', { data: Buffer.from('12345') }],
      ['COPY_FILE_RANGE', 'copy_file_range', 'bytes_copied', { len: 5 }],
      ['COPY_FILE_RANGE_64', 'copy_file_range', 'bytes_copied', { len: 5 }],
    ] as const)('%s answered with more than was asked for is EIO, and reported', (operation, method, member, args) => {
      for (const [size, bugs] of [
        [0, 0],
        [5, 0],
        [6, 1],
        [-1, 1],
      ] as const) {
        const { answer, server } = ask({ [method]: () => ({ [member]: size }) }, encodeRequest(operation, args), shape);
        expect([answer, server.bugs.length], `${size} of 5`).toEqual([bugs ? failsWith(EIO) : 8, bugs]);
      }
    });
    test('the handler is told no more room than there is', () => {
      const { calls, filesystem } = recorder('read', 0);
      const server = new FakeServer(filesystem);
      serve(server, load(encodeRequest('READ', { size: 0xffff_ffff }), shape, { room: 4096 }));
      expect(calls[0]!.size).toBe(4096);
    });
    test('READLINK takes a string, with stray bytes as surrogates, or bytes', () => {
      expect(ask({ readlink: () => 'é\udcff' }, encodeRequest('READLINK'), shape).body.toString('hex')).toBe('c3a9ff');
      expect(ask({ readlink: () => Uint8Array.of(1, 2) }, encodeRequest('READLINK'), shape).body.toString('hex')).toBe(
        '0102',
      );
    });
    test('IOCTL may give its own data back', () => {
      const data = Buffer.from('0123456789abcdefghijklmnopqrstuvwxyz');
      const ioctl = (_: Request, args: { data: Buffer }) => ({ result: -3, data: args.data });
      const { body } = ask({ ioctl }, encodeRequest('IOCTL', { data, out_size: 64 }), shape);
      expect(body.subarray(0, 16).toString('hex')).toBe('fdffffff000000000000000000000000');
      expect(body.subarray(16).toString()).toBe(data.toString());
    });
    test('more than the reply holds is EIO, and reported', () => {
      const server = new FakeServer({ readlink: () => 'x'.repeat(101), ioctl: () => ({ data: Buffer.alloc(85) }) });
      for (const operation of ['READLINK', 'IOCTL'] as const)
        expect(serve(server, load(encodeRequest(operation), shape, { room: 100 }))).toBe(failsWith(EIO));
      expect(server.bugs).toHaveLength(2);
    });
  });

  describe('a malformed message is EIO', () => {
    const anything = new Proxy(
      {},
      {
        get: (_, method) =>
          method === 'promises' ? undefined : () => expect.unreachable(`${String(method)} was called`),
      },
    );
    const malformed = (message: Buffer) => {
      const { answer, server } = ask(anything, message, shape);
      expect(answer).toBe(failsWith(EIO));
      expect(server.bugs, 'a method that was called throws').toEqual([]);
    };

    test('a name without its NUL', () => {
      const lookup = encodeRequest('LOOKUP', { name: 'abc' });
      malformed(lookup.subarray(0, lookup.length - 1));
      malformed(lookup.subarray(0, 40));
    });
    test('the second of two names without its NUL', () => {
      const rename = encodeRequest('RENAME', { oldname: 'abc', newname: 'd' });
      malformed(rename.subarray(0, rename.length - 1));
      malformed(rename.subarray(0, rename.length - 2));
    });
    test('data of another length than stated', () => {
      for (const size of [0, 3, 5, 0xffff_ffff]) {
        malformed(encodeRequest('WRITE', { data: Buffer.alloc(4), size }));
        malformed(encodeRequest('SETXATTR', { name: 'n', value: Buffer.alloc(4), size }));
        malformed(encodeRequest('IOCTL', { data: Buffer.alloc(4), in_size: size }));
      }
    });
    test('a list with fewer items than stated', () => {
      const mappings = [
        { moffset: 1, len: 2 },
        { moffset: 3, len: 4 },
      ];
      malformed(encodeRequest('REMOVEMAPPING', { mappings, count: 3 }));
      malformed(encodeRequest('REMOVEMAPPING', { mappings, count: 0xffff_ffff }));
      malformed(encodeRequest('REMOVEMAPPING', { mappings }).subarray(0, -1));
    });
    test('extensions that begin before the names do', () => {
      const mkdir = encodeRequest('MKDIR', { name: 'a' });
      mkdir.writeUInt16LE(1, 36);
      malformed(mkdir);
      mkdir.writeUInt16LE(0xffff, 36);
      malformed(mkdir);
    });
    test('extensions with a size that is none', () => {
      malformed(encodeRequest('MKDIR', { name: 'a' }, { extensions: Buffer.from('0700000020000000', 'hex') }));
      malformed(encodeRequest('MKDIR', { name: 'a' }, { extensions: Buffer.from('0900000020000000', 'hex') }));
    });
    test('extensions where no operation has any are data that is too much, or not looked at', () => {
      const extensions = Buffer.alloc(8);
      malformed(encodeRequest('WRITE', { data: Buffer.alloc(4) }, { extensions }));
      expect(
        ask({ unlink: () => undefined }, encodeRequest('UNLINK', { name: 'a' }, { extensions }), shape).answer,
      ).toBe(0);
    });
  });
});

test.each(operationNames.filter((name) => rows[name].in && !rows[name].shortest && !rows[name].compat))(
  '%s with a struct that is a byte short is EIO (on the device: a ring always has room for the whole)',
  (operation) => {
    const row = rows[operation];
    const method = row.method ?? operation.toLowerCase();
    let called = false;
    const filesystem = { [method]: () => (called = true) };
    for (const length of [40, 40 + row.in!.size - 1]) {
      const message = encodeRequest(operation).subarray(0, length);
      expect(ask(filesystem, message).answer).toBe(row.out === 'no reply' ? undefined : failsWith(EIO));
    }
    expect(called).toBe(false);
  },
);

describe('results', () => {
  /** The members that have no default, each with a value. */
  function required(of: AnyStruct): Record<string, unknown> {
    const result: Record<string, unknown> = {};
    for (const [name, field] of Object.entries(of.fields)) {
      if (!field.read || Object.hasOwn(DEFAULTS, name)) continue;
      const exact =
        field.size === 8 && typeof (of.decode(viewOf(Buffer.alloc(of.size)), 0) as never)[name] === 'bigint';
      result[name] = 'fields' in field ? required(field as AnyStruct) : exact ? 77n : 77;
    }
    return result;
  }
  /** Members of a decoded reply with their path's last name. */
  function* members(value: object): Generator<[string, unknown]> {
    for (const [name, member] of Object.entries(value))
      if (typeof member === 'object') yield* members(member as object);
      else yield [name, member];
  }
  const stated = (member: string) => {
    if (Object.hasOwn(TIMES, member)) return TIMES[member as keyof typeof TIMES];
    if (member === 'nlink') return 1;
    return member.startsWith('attributes') ? 0n : 0;
  };
  const structs = operationNames.filter((name) => typeof rows[name].out === 'object');
  const lenient = structs.filter((name) => !WITHOUT_DEFAULTS.includes(rows[name].out as AnyStruct));

  test.each(lenient)('%s: each member with a default may be left out', (operation) => {
    const row = rows[operation];
    const out = row.out as AnyStruct;
    const result = required(out);
    const asked = Object.fromEntries(Object.values(row.limit ?? {}).map((member) => [member, 77]));
    const { answer, server, body } = ask(
      { [row.method ?? operation.toLowerCase()]: () => result },
      encodeRequest(operation, asked),
    );
    expect(server.bugs).toEqual([]);
    expect(answer).toBe(out.size);
    for (const [name, value] of members(out.decode(viewOf(body), 0) as object))
      expect(value, name).toBe(Object.hasOwn(DEFAULTS, name) ? stated(name) : typeof value === 'bigint' ? 77n : 77);
  });

  test.each(structs)('%s: nothing at all is a bug', (operation) => {
    const row = rows[operation];
    const { answer, server } = ask(
      { [row.method ?? operation.toLowerCase()]: () => undefined },
      encodeRequest(operation),
    );
    expect(answer).toBe(failsWith(EIO));
    expect(server.bugs).toHaveLength(1);
  });

  test('where a default would hide a mistake there is none', () => {
    for (const [filesystem, operation] of [
      [{ write: () => ({}) }, 'WRITE'],
      [{ getlk: () => ({ lk: {} }) }, 'GETLK'],
      [{ init: () => ({ major: 7, minor: 45 }) }, 'INIT'],
    ] as const) {
      const { answer, server } = ask(filesystem, encodeRequest(operation));
      expect([answer, server.bugs.length], operation).toEqual([failsWith(EIO), 1]);
    }
  });

  test('a value that its member can’t hold is a bug, not a cut number', () => {
    for (const attr of [
      { ino: 1n, mode: 2 ** 32 },
      { ino: 2n ** 64n, mode: 0 },
      { ino: -1n, mode: 0 },
      { ino: 1n, mode: 0, size: 2 ** 53 },
      { ino: 1n, mode: 0, size: -1 },
      { ino: 1n, mode: 0, nlink: 1.5 },
      { ino: 1, mode: 0 },
    ]) {
      const { answer, server } = ask({ getattr: () => ({ attr }) }, encodeRequest('GETATTR'));
      expect([answer, server.bugs.length]).toEqual([failsWith(EIO), 1]);
    }
  });

  test('times that a statx result gives in part are 0 in the rest', () => {
    const stat = { mask: 1, mode: 2, ino: 3n, atime: { tv_sec: 4 }, btime: { tv_sec: -5, tv_nsec: 6 } };
    const { body } = ask({ statx: () => ({ stat }) }, encodeRequest('STATX'));
    const { atime, btime, ctime } = fuse_statx_out.decode(viewOf(body), 0).stat;
    expect({ atime, btime, ctime }).toEqual({
      atime: { tv_sec: 4, tv_nsec: 0 },
      btime: { tv_sec: -5, tv_nsec: 6 },
      ctime: { tv_sec: 0, tv_nsec: 0 },
    });
  });

  test('timeouts that the filesystem does not give are the session’s, with their fractions', () => {
    const found = { nodeid: 2, attr: { ino: 2n, mode: 0o100644 } };
    const times = (options: object, result: object) => {
      const { transport, deliver } = connect({ lookup: () => result as typeof found }, options);
      deliver(encodeRequest('LOOKUP', { name: 'a' }));
      const { entry_valid, entry_valid_nsec, attr_valid, attr_valid_nsec } = fuse_entry_out.decode(
        viewOf(transport.sent[0]!.body),
        0,
      );
      return [entry_valid, entry_valid_nsec, attr_valid, attr_valid_nsec];
    };
    expect(times({}, found)).toEqual([1, 0, 1, 0]);
    expect(times({ entryTimeout: 1.5, attrTimeout: 0.25 }, found)).toEqual([1, 500_000_000, 0, 250_000_000]);
    expect(times({ entryTimeout: 1.5 }, { ...found, entry_valid: 0, entry_valid_nsec: 0 })).toEqual([0, 0, 1, 0]);
    expect(times({ entryTimeout: Number.POSITIVE_INFINITY }, found)[0]).toBe(Number.MAX_SAFE_INTEGER);
  });
});

describe('what a handler throws', () => {
  const lookup = encodeRequest('LOOKUP', { name: 'a' }, { unique: 10n });
  const interrupt = encodeRequest('INTERRUPT', { unique: 10n }, { unique: 11n });
  const nodeError = (code: string) => Object.assign(new Error('a system error of Node'), { code, syscall: 'open' });

  test.each([
    ['an errno', ENOENT, -2],
    ['a Node system error', nodeError('EACCES'), -EACCES.errno],
    ['a second name of an errno', nodeError('EWOULDBLOCK'), -11],
  ])('%s is that errno, and no bug', async (_, thrown, error) => {
    for (const filesystem of [
      {
        lookup: () => {
          throw thrown;
        },
      },
      { lookup: () => Promise.reject(thrown) },
    ]) {
      const { deliver, transport, errors } = connect(filesystem);
      deliver(lookup);
      await new Promise(setImmediate);
      expect(transport.sent).toEqual([{ unique: 10n, error, body: Buffer.alloc(0) }]);
      expect(errors).toEqual([]);
    }
  });

  test.each([
    ['another error', new TypeError('a bug')],
    ['an error with a code that is no errno', nodeError('ERR_INVALID_ARG_TYPE')],
    ['an AbortError of nobody’s', new DOMException('This operation was aborted', 'AbortError')],
    ['a string', 'ENOENT'],
    ['undefined', undefined],
    ['null', null],
    ['a number', 2],
  ])('%s is EIO, and reported once', async (_, thrown) => {
    for (const filesystem of [
      {
        lookup: () => {
          throw thrown;
        },
      },
      { lookup: () => Promise.reject(thrown) },
    ]) {
      const { deliver, transport, errors } = connect(filesystem);
      deliver(lookup);
      await new Promise(setImmediate);
      expect(transport.sent.map(({ error }) => error)).toEqual([-EIO.errno]);
      expect(errors).toEqual([thrown]);
    }
  });

  test('an AbortError after an INTERRUPT, as timers and fetch throw it, is EINTR', async () => {
    const { deliver, transport, errors } = connect({
      lookup: ({ signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(new DOMException('This operation was aborted', 'AbortError')));
        }),
    });
    deliver(lookup);
    deliver(interrupt);
    await new Promise(setImmediate);
    expect(transport.sent).toEqual([{ unique: 10n, error: -EINTR.errno, body: Buffer.alloc(0) }]);
    expect(errors).toEqual([]);
  });

  test('an onError that throws itself harms nobody', () => {
    const { deliver, transport } = connect(
      {
        lookup: () => {
          throw new TypeError('a bug');
        },
      },
      {
        onError: () => {
          throw new Error('worse');
        },
      },
    );
    const { error } = console;
    console.error = () => {};
    try {
      deliver(lookup);
    } finally {
      console.error = error;
    }
    expect(transport.sent.map(({ error }) => error)).toEqual([-EIO.errno]);
  });
});

describe('an unknown opcode', () => {
  const unknown = (opcode: number): Buffer => {
    const message = encodeRequest('READLINK');
    message.writeUInt32LE(opcode, 4);
    return message;
  };
  test.each([0, 7, 19, 54, 4095, 4097, 1048576, 436207616, 0xffff_ffff])('%d is ENOSYS', (opcode) => {
    const { answer, server } = ask({}, unknown(opcode));
    expect(answer).toBe(failsWith(ENOSYS));
    expect(server.unknowns).toEqual([opcode]);
  });
  test('is named once with its number', () => {
    const { deliver, warnings, transport } = connect({});
    for (const opcode of [99, 99, 100, 99]) deliver(unknown(opcode));
    expect(transport.sent.map(({ error }) => error)).toEqual(Array(4).fill(-ENOSYS.errno));
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toContain('99');
    expect(warnings[1]).toContain('100');
  });
});

describe('before and in place of the filesystem', () => {
  test('a request before INIT is EIO, and reaches no method', () => {
    const { deliver, transport, errors } = connect({ lookup: () => expect.unreachable() }, {}, false);
    deliver(encodeRequest('LOOKUP', { name: 'a' }));
    deliver(encodeRequest('STATFS'));
    expect(errors).toEqual([]);
    expect(transport.sent.map(({ error }) => error)).toEqual([-EIO.errno, -EIO.errno]);
  });
  test('DESTROY is answered by the session', () => {
    let destroyed = 0;
    const { deliver, transport } = connect({ destroy: () => void destroyed++ });
    deliver(encodeRequest('DESTROY'));
    expect(transport.sent.map(({ error }) => error)).toEqual([0]);
    expect(destroyed, 'the filesystem’s comes at the end').toBe(0);
  });
  test('forget serves FORGET and each item of BATCH_FORGET', () => {
    const forgotten: object[] = [];
    const { deliver, transport } = connect({
      forget: (_, { nodeid, nlookup }) => void forgotten.push({ nodeid, nlookup }),
    });
    deliver(encodeRequest('FORGET', { nlookup: 3 }, { nodeid: 17 }));
    const forgets = [
      { nodeid: 18, nlookup: 1 },
      { nodeid: 19, nlookup: 2 },
    ];
    deliver(encodeRequest('BATCH_FORGET', { forgets }));
    expect(forgotten).toEqual([{ nodeid: 17, nlookup: 3 }, ...forgets]);
    expect(transport.sent).toEqual([]);
  });
  test('a forget that throws is reported, the rest of the batch is forgotten, and nothing is answered', () => {
    const forgotten: number[] = [];
    const { deliver, transport, errors } = connect({
      forget: (_, { nodeid }) => {
        if (nodeid === 18) throw new TypeError('a bug');
        forgotten.push(nodeid);
      },
    });
    const forgets = [17, 18, 19].map((nodeid) => ({ nodeid, nlookup: 1 }));
    deliver(encodeRequest('BATCH_FORGET', { forgets }));
    expect(transport.sent).toEqual([]);
    expect(errors).toHaveLength(1);
    expect(forgotten).toEqual([17, 19]);
  });
  test('CREATE reads the struct that the header has', () => {
    const { calls, filesystem } = recorder('create', {
      entry: { nodeid: 2, attr: { ino: 2n, mode: 0o100600 } },
      open: { fh: 3 },
    });
    const args = { flags: 0o102, mode: 0o100644, umask: 0o22, open_flags: 1, name: 'new' };
    const { answer, server } = ask(filesystem, encodeRequest('CREATE', args));
    expect(server.bugs).toEqual([]);
    expect(answer).toBe(144);
    expect(calls).toEqual([args]);
    expect(fuse_create_in.size).toBe(16);
  });
});
