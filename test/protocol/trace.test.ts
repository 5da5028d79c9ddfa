/** What an observer is told of a session, and how it is printed. See trace.ts. */
import { describe, expect, test } from 'vitest';
import { ENOENT } from '../../src/abi/errno.ts';
import * as c from '../../src/abi/fuse-constants.ts';
import type { Filesystem } from '../../src/protocol/filesystem.ts';
import { encodeNotification, type NotificationName } from '../../src/protocol/notify.ts';
import type { OperationName } from '../../src/protocol/operations.ts';
import type { SessionOptions } from '../../src/protocol/session.ts';
import { json, printer, type TraceEvent, Tracer } from '../../src/protocol/trace.ts';
import { golden, goldenNotifications } from './golden.ts';
import {
  connect,
  encodeContexts,
  encodeGroups,
  encodeRequest,
  type Head,
  hex,
  initRequest,
  operationNames,
  rows,
  SHAPES,
  type Shape,
} from './support.ts';

/** A traced session after INIT: the events and lines since then. */
function traced(filesystem: Filesystem, options: SessionOptions = {}) {
  const events: TraceEvent[] = [];
  const lines: string[] = [];
  const print = printer((line) => lines.push(line.replace(/\d+ µs/, 'N µs')));
  const trace = (event: TraceEvent) => {
    events.push(event);
    print(event);
  };
  const connected = connect(filesystem, { ...options, trace });
  events.length = 0;
  lines.length = 0;
  const send = (operation: OperationName, args = {}, head: Head = {}, shape: Shape = 'device') =>
    connected.deliver(encodeRequest(operation, args, { unique: 42n, ...head }), shape);
  return { ...connected, events, lines, send };
}
/** A request's line. */
function line(filesystem: object, operation: OperationName, args = {}, head: Head = {}): string {
  const { send, lines } = traced(filesystem as Filesystem);
  send(operation, args, head);
  expect(lines).toHaveLength(1);
  return lines[0]!;
}
const file = { ino: 7n, mode: 0o100644, size: 12 };

describe('events', () => {
  test('a request and its reply', () => {
    const { send, events } = traced({ lookup: () => ({ nodeid: 7, attr: file }) });
    send('LOOKUP', { name: 'a.txt' }, { nodeid: 3, uid: 11, gid: 12, pid: 13 });
    const about = { operation: 'LOOKUP', unique: 42n };
    expect(events).toEqual([
      { kind: 'request', ...about, nodeid: 3n, uid: 11, gid: 12, pid: 13, args: { name: 'a.txt' } },
      {
        kind: 'reply',
        ...about,
        bytes: 128,
        microseconds: expect.any(Number),
        result: expect.objectContaining({ nodeid: 7, entry_valid: 1 }),
      },
    ]);
  });

  test('an error is told by its name', () => {
    const { send, events } = traced({
      lookup: () => {
        throw ENOENT;
      },
    });
    send('LOOKUP', { name: 'a' });
    expect(events[1]).toEqual({
      kind: 'reply',
      operation: 'LOOKUP',
      unique: 42n,
      bytes: 0,
      microseconds: expect.any(Number),
      error: 'ENOENT',
    });
  });

  test('extensions, lists, and data by its size', () => {
    const { send, events } = traced({});
    const value = Buffer.from('ctx');
    const extensions = Buffer.concat([encodeContexts([{ name: 'security.x', value }]), encodeGroups([5])]);
    send('MKDIR', { name: 'd', mode: 0o755 }, { extensions });
    send('REMOVEMAPPING', { mappings: [{ moffset: 1, len: 2 }] });
    send('WRITE', { data: Buffer.alloc(100) });
    const args = events.flatMap((event) => (event.kind === 'request' ? event.args : []));
    expect(args).toEqual([
      { name: 'd', mode: 0o755, umask: 0, extensions: { contexts: [{ name: 'security.x', value }], groups: [5] } },
      { count: 1, mappings: [{ moffset: 1, len: 2 }] },
      { fh: 0, offset: 0, size: 100, write_flags: 0, flags: 0, data: '100 bytes' },
    ]);
  });

  test('directory entries', () => {
    const fill: Filesystem['readdir'] = (_, __, reply) => {
      reply.add({ name: '.', ino: 1n, type: 4, off: 1n });
      reply.add({ name: 'a\udcff', ino: 2n, type: 8, off: 2n ** 64n - 1n }, () => ({ nodeid: 9, attr: file }));
    };
    const { send, events } = traced({ readdir: fill });
    send('READDIR', { size: 4096 });
    send('READDIRPLUS', { size: 4096 });
    const plain = [
      { ino: 1n, off: 1n, type: 4, name: '.' },
      { ino: 2n, off: 2n ** 64n - 1n, type: 8, name: 'a\udcff' },
    ];
    expect(events[1]).toMatchObject({ result: { entries: plain } });
    expect(events[3]).toMatchObject({
      result: {
        entries: [
          { ...plain[0], nodeid: 0 },
          { ...plain[1], nodeid: 9 },
        ],
      },
    });
  });

  test.each(SHAPES)('every operation, in the shape of a %s', (shape) => {
    for (const operation of operationNames) {
      if (operation === 'INIT' || operation === 'DESTROY') continue;
      const { method, request, result, reply, entries, args } = golden[operation];
      const events: TraceEvent[] = [];
      const filesystem = {
        [method]: (_: unknown, __: unknown, sink: { add(...entry: unknown[]): void }) => {
          for (const [entry, found] of entries ?? []) sink.add(entry, found && (() => found));
          return result;
        },
      };
      const flags = operation === 'SETXATTR_COMPAT' ? { flags: 0x40000000 } : {}; // without SETXATTR_EXT
      const { deliver } = connect(filesystem as Filesystem, { trace: (event) => events.push(event) }, flags);
      events.length = 0;
      deliver(hex(request), shape);
      const [asked, answered] = events;
      const told = { ...(args as Record<string, unknown>) };
      const row = rows[operation];
      for (const member of Object.keys(row.also ?? {})) delete told[member];
      if (row.data) told[row.data] = expect.stringMatching(/^\d+ bytes$/);
      expect(asked, operation).toMatchObject({ operation: operation.replace('_COMPAT', ''), args: told });
      if (reply === undefined) expect(answered, operation).toBe(undefined);
      else expect(answered, operation).toMatchObject({ kind: 'reply', bytes: hex(reply).length });
      if (typeof row.out === 'object') {
        const { [row.tail!]: _, ...members } = result as Record<string, unknown>;
        if (reply !== undefined) expect(answered, operation).toMatchObject({ result: members });
      }
    }
  });

  test('what no number holds is told as it came', () => {
    const message = encodeRequest('READ', { size: 5 });
    message.writeBigUInt64LE(2n ** 60n, 48);
    const { deliver, events } = traced({});
    deliver(message);
    expect(events[0]).toMatchObject({ args: { fh: 0n, offset: 2n ** 60n, size: 5 } });
    expect(events[1]).toMatchObject({ bytes: 0, result: {} });
  });

  test('the members that a short init_in lacks are 0, whatever the buffer held before', () => {
    const events: TraceEvent[] = [];
    const { deliver } = connect({}, { trace: (event) => events.push(event) }, false);
    const message = initRequest({ minor: 31 }).subarray(0, 56);
    message.writeUInt32LE(56, 0);
    deliver(message);
    expect(events[0]).toMatchObject({ operation: 'INIT', args: { minor: 31, flags2: 0 } });
  });

  test('a malformed message is told as one, and traced all the same', () => {
    const { deliver, events } = traced({ lookup: () => ({ nodeid: 7, attr: file }) });
    deliver(encodeRequest('LOOKUP', { name: 'abc' }).subarray(0, 43));
    deliver(encodeRequest('GETATTR').subarray(0, 44));
    expect(
      events.map((event) => (event.kind === 'request' ? event.args : event.kind === 'reply' && event.error)),
    ).toEqual([{ malformed: true }, 'EIO', { malformed: true }, 'EIO']);
  });

  test('an unknown opcode is told by its number', () => {
    const message = encodeRequest('READLINK');
    message.writeUInt32LE(99, 4);
    const { deliver, events } = traced({});
    deliver(message);
    expect(events).toMatchObject([
      { operation: '99', args: { bytes: 40 } },
      { kind: 'warning', message: expect.stringMatching(/does not know: 99/u) },
      { operation: '99', error: 'ENOSYS' },
    ]);
  });

  test('what was agreed, by name', () => {
    const events: TraceEvent[] = [];
    const flags = 1 | (1 << 22); // ASYNC_READ, MAX_PAGES
    connect({ promises: ['WRITEBACK_CACHE'] }, { trace: (event) => events.push(event) }, { minor: 31, flags });
    const event = events.find((event) => event.kind === 'agreed');
    expect(event).toMatchObject({
      minor: 31,
      offered: ['ASYNC_READ', 'MAX_PAGES'],
      agreed: ['ASYNC_READ', 'MAX_PAGES'],
    });
    expect(event!.wanted).toContain('WRITEBACK_CACHE');
  });

  test('what the filesystem says of what it does', () => {
    let note: ((message: string) => void) | undefined;
    const init = (connection: { note: typeof note }) => {
      note = connection.note;
    };
    const { session, events, lines } = traced({ init });
    note!('a branch has said EIO');
    expect([events, lines]).toEqual([
      [{ kind: 'note', message: 'a branch has said EIO' }],
      ['  a branch has said EIO'],
    ]);
    session.end({ reason: 'unmounted' });
    connect({ init }).session.end({ reason: 'unmounted' });
    expect(note).toBe(undefined); // nobody traces
  });

  test('the end', async () => {
    const { session, events } = traced({});
    session.end({ reason: 'failed', error: new Error('gone') });
    session.end({ reason: 'unmounted' });
    await session.closed;
    expect(events).toEqual([{ kind: 'end', reason: 'failed', error: 'Error: gone' }]);
  });

  test('notifications, with what the kernel said', () => {
    const events: TraceEvent[] = [];
    const tracer = new Tracer((event) => events.push(event));
    for (const [name, { values, tail }] of Object.entries(goldenNotifications) as [
      NotificationName,
      { values: object; tail?: Buffer },
    ][]) {
      const message = encodeNotification(name, values, tail);
      tracer.notification(name, message, name === 'DELETE' ? 39 : 0);
      const event = events.pop();
      expect(event).toMatchObject({ kind: 'notification', operation: name, bytes: message.length, args: values });
      expect((event as { error?: string }).error, name).toBe(name === 'DELETE' ? 'ENOTEMPTY' : undefined);
      if (name === 'INVAL_ENTRY') expect(event).toMatchObject({ args: { name: 'aé\udcffz' } });
      if (name === 'PRUNE') expect(event).toMatchObject({ args: { nodeids: [0xc001n, 0xcb0a0f0e0d002n] } });
    }
  });

  test('an observer that throws harms nobody', () => {
    const { error } = console;
    const told: unknown[] = [];
    console.error = (...what) => told.push(...what);
    try {
      const { deliver, transport } = connect(
        { lookup: () => ({ nodeid: 7, attr: file }) },
        {
          trace: () => {
            throw new Error('the observer’s own');
          },
        },
      );
      deliver(encodeRequest('LOOKUP', { name: 'a' }));
      expect(transport.sent.map(({ error }) => error)).toEqual([0]);
    } finally {
      console.error = error;
    }
    expect(String(told)).toContain('the observer’s own');
  });

  test('a request that came again after RESEND is timed from when it came first', async () => {
    let answer: (target: string) => void = () => {};
    const { send, deliver, events } = traced({
      readlink: () =>
        new Promise<string>((resolve) => {
          answer = resolve;
        }),
    });
    send('READLINK');
    const first = performance.now();
    while (performance.now() - first < 5);
    deliver(encodeRequest('READLINK', {}, { unique: 42n | c.FUSE_UNIQUE_RESEND }));
    answer('x');
    await new Promise(setImmediate);
    const [reply, ...others] = events.filter((event) => event.kind === 'reply');
    expect(others).toEqual([]);
    expect(reply!.unique).toBe(42n | c.FUSE_UNIQUE_RESEND);
    expect(reply!.microseconds).toBeGreaterThanOrEqual(5000);
  });
});

describe('lines', () => {
  test('a lookup', () => {
    const lookup = () => ({ nodeid: 7, attr: file });
    expect(line({ lookup }, 'LOOKUP', { name: 'a.txt' })).toBe(
      'LOOKUP unique=42 parent=1 "a.txt" -> nodeid=7 entry_valid=1 attr_valid=1 ino=7 mode=0100644 size=12 128 bytes N µs',
    );
  });
  test('an error', () => {
    expect(line({}, 'LOOKUP', { name: 'a.txt' })).toBe('LOOKUP unique=42 parent=1 "a.txt" -> ENOSYS N µs');
  });
  test('a negative entry has no attributes', () => {
    const lookup = () => ({ nodeid: 0, entry_valid: 5, attr: { ino: 0n, mode: 0 } });
    expect(line({ lookup }, 'LOOKUP', { name: 'a' })).toBe(
      'LOOKUP unique=42 parent=1 "a" -> nodeid=0 entry_valid=5 attr_valid=1 128 bytes N µs',
    );
  });
  test('names keep to one line, and stray bytes can be told', () => {
    expect(line({}, 'UNLINK', { name: 'a"\n\udcff' })).toBe(
      'UNLINK unique=42 parent=1 "a\\"\\n\\udcff" -> ENOSYS N µs',
    );
  });
  test('an xattr’s name is in no directory', () => {
    const xattrs = ['SETXATTR', 'GETXATTR', 'REMOVEXATTR'] as const;
    for (const operation of xattrs)
      expect(line({}, operation, { name: 'user.a' }, { nodeid: 5 })).toContain(' nodeid=5 ');
  });
  test('data by its size, flags in hexadecimal, permissions in octal', () => {
    expect(
      line(
        { write: () => ({ size: 3 }) },
        'WRITE',
        { fh: 4, offset: 5, write_flags: 3, lock_owner: 0x1234n, data: Buffer.from('abc') },
        { nodeid: 9 },
      ),
    ).toBe(
      'WRITE unique=42 nodeid=9 fh=4 offset=5 size=3 write_flags=0x3 lock_owner=0x1234 data=[3 bytes] -> size=3 8 bytes N µs',
    );
    expect(line({}, 'MKDIR', { mode: 0o755, umask: 0o22, name: 'd' })).toBe(
      'MKDIR unique=42 parent=1 mode=0755 umask=022 "d" -> ENOSYS N µs',
    );
    expect(line({}, 'SETXATTR', { flags: 1, name: 'user.a', value: Buffer.from('xyz') })).toBe(
      'SETXATTR unique=42 nodeid=1 size=3 flags=0x1 "user.a" value=[3 bytes] -> ENOSYS N µs',
    );
  });
  test('members without a meaning are left out', () => {
    expect(line({}, 'SETATTR', { valid: c.FATTR_MODE, mode: 0o600, size: 77, uid: 5 })).toBe(
      'SETATTR unique=42 nodeid=1 valid=0x1 mode=0600 -> ENOSYS N µs',
    );
    expect(line({}, 'GETATTR', { getattr_flags: 1, fh: 0 })).toBe(
      'GETATTR unique=42 nodeid=1 getattr_flags=0x1 fh=0 -> ENOSYS N µs',
    );
  });
  test('a reply without a body, an xattr’s size, a symlink’s target, entries', () => {
    expect(line({ unlink: () => undefined }, 'UNLINK', { name: 'a' })).toBe(
      'UNLINK unique=42 parent=1 "a" -> 0 bytes N µs',
    );
    expect(line({ getxattr: () => Buffer.alloc(30) }, 'GETXATTR', { name: 'user.a' })).toBe(
      'GETXATTR unique=42 nodeid=1 "user.a" -> size=30 8 bytes N µs',
    );
    expect(line({ readlink: () => '../b' }, 'READLINK')).toBe('READLINK unique=42 nodeid=1 -> "../b" 4 bytes N µs');
    const readdir: Filesystem['readdir'] = (_, __, reply) => void reply.add({ name: 'a', ino: 1n, type: 4, off: 1n });
    expect(line({ readdir }, 'READDIR', { size: 4096, fh: 2 })).toBe(
      'READDIR unique=42 nodeid=1 fh=2 size=4096 -> entries=[1] 32 bytes N µs',
    );
  });
  test('a struct within a struct', () => {
    const create = () => ({ entry: { nodeid: 7, attr: file }, open: { fh: 3, open_flags: 2 } });
    expect(line({ create }, 'CREATE', { name: 'a', flags: 0o102, mode: 0o100600 })).toBe(
      'CREATE unique=42 parent=1 flags=0x42 mode=0100600 "a" -> entry={nodeid=7 entry_valid=1 attr_valid=1 ino=7 mode=0100644 size=12} open={fh=3 open_flags=0x2} 144 bytes N µs',
    );
  });
  test('a request without a reply stands alone', () => {
    expect(line({}, 'FORGET', { nlookup: 2 }, { nodeid: 9 })).toBe('FORGET unique=42 nodeid=9 nlookup=2');
    expect(line({}, 'INTERRUPT', { unique: 40n }, { nodeid: 0 })).toBe('INTERRUPT unique=42 nodeid=0 of=40');
  });

  test('requests that wait are unfinished, and resumed by name', async () => {
    const waiting = new Map<bigint, (target: string) => void>();
    const { send, lines } = traced({
      readlink: ({ unique }) => new Promise<string>((resolve) => waiting.set(unique, resolve)),
      unlink: () => undefined,
    });
    send('READLINK', {}, { unique: 2n });
    send('UNLINK', { name: 'a' }, { unique: 4n });
    send('READLINK', {}, { unique: 6n });
    waiting.get(6n)!('six');
    await new Promise(setImmediate);
    waiting.get(2n)!('two');
    await new Promise(setImmediate);
    expect(lines).toEqual([
      'READLINK unique=2 nodeid=1 <unfinished ...>',
      'UNLINK unique=4 parent=1 "a" -> 0 bytes N µs',
      'READLINK unique=6 nodeid=1 -> "six" 3 bytes N µs',
      '<... READLINK unique=2 resumed> -> "two" 3 bytes N µs',
    ]);
  });

  test('INIT, what was agreed, a notification, and the end', () => {
    const lines: string[] = [];
    const print = printer((line) => lines.push(line.replace(/\d+ µs/, 'N µs')));
    const { session } = connect(
      { promises: ['WRITEBACK_CACHE'] },
      { trace: print, maxWrite: 4096 },
      { minor: 31, flags: 3, flags2: 0 },
    );
    const tracer = new Tracer(print);
    const message = encodeNotification('INVAL_ENTRY', { parent: 1, namelen: 1, flags: 1 }, Buffer.from('a\0'));
    tracer.notification('INVAL_ENTRY', message, 0);
    tracer.notification('INVAL_ENTRY', message, 2);
    tracer.notification('RESEND', encodeNotification('RESEND', {}), 0);
    session.end({ reason: 'unmounted' });
    const sent = 'INIT unique=2 nodeid=0 major=7 minor=31 max_readahead=131072 flags=0x3';
    const got =
      'major=7 minor=45 max_readahead=131072 flags=0x1 max_background=64 congestion_threshold=48 max_write=4096 time_gran=1';
    expect(lines).toEqual([
      `${sent} -> ${got} 64 bytes N µs`,
      expect.stringMatching(
        /^agreed with FUSE 7\.31: ASYNC_READ; not offered: BIG_WRITES .* WRITEBACK_CACHE; not wanted: POSIX_LOCKS; transport: device$/,
      ),
      'NOTIFY_INVAL_ENTRY parent=1 namelen=1 flags=0x1 "a" 34 bytes',
      'NOTIFY_INVAL_ENTRY parent=1 namelen=1 flags=0x1 "a" 34 bytes -> ENOENT',
      'NOTIFY_RESEND 16 bytes',
      'end: unmounted',
    ]);
  });
});

test('JSON: one line each, 64-bit integers as strings, bytes in hexadecimal', () => {
  const { send, events } = traced({ mkdir: () => ({ nodeid: 7, attr: { ...file, ino: 2n ** 64n - 1n } }) });
  const extensions = encodeContexts([{ name: 'security.x', value: Buffer.of(0xab, 0xcd) }]);
  send('MKDIR', { name: 'a\n', mode: 0o755 }, { extensions, unique: 2n ** 63n });
  const lines = events.map(json);
  for (const line of lines) expect(line).not.toContain('\n');
  const [request, reply] = lines.map((line) => JSON.parse(line));
  expect(request).toEqual({
    ...{ kind: 'request', operation: 'MKDIR', unique: '9223372036854775808', nodeid: '1', uid: 0, gid: 0, pid: 0 },
    args: {
      mode: 0o755,
      umask: 0,
      name: 'a\n',
      extensions: { contexts: [{ name: 'security.x', value: 'abcd' }], groups: [] },
    },
  });
  expect(reply).toMatchObject({
    unique: '9223372036854775808',
    result: { nodeid: 7, attr: { ino: '18446744073709551615', size: 12 } },
  });
});
