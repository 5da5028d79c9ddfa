/** The bytes of every operation and notification, both ways, in the shape of either transport. */
import { describe, expect, test } from 'vitest';
import type { DirectoryReply } from '../../src/protocol/dirent.ts';
import { serve, stepsFor } from '../../src/protocol/dispatch.ts';
import { encodeNotification, type NotificationName, notifications } from '../../src/protocol/notify.ts';
import type { OperationName } from '../../src/protocol/operations.ts';
import type { Request } from '../../src/protocol/request.ts';
import { type Golden, golden, goldenNotifications } from './golden.ts';
import {
  bodyOf,
  encodeRequest,
  FakeServer,
  hex,
  initRequest,
  load,
  operationNames,
  rows,
  SHAPES,
  type Shape,
} from './support.ts';

/** Arguments as they were while the handler ran: in a ring the reply takes the place of the data. */
const kept = (args: object): object =>
  Object.fromEntries(
    Object.entries(args).map(([name, value]) => [name, Buffer.isBuffer(value) ? Buffer.from(value) : value]),
  );

/** Serves a golden message: what its handler got, and the reply's body. */
function play(operation: OperationName, { request, method, result, entries }: Golden, shape: Shape, later = false) {
  let got: object | undefined;
  const handler = (
    { unique, nodeid, uid, gid, pid, opcode, len, extensions }: Request,
    args: object,
    sink: DirectoryReply,
  ) => {
    got = { head: { unique, nodeid, uid, gid, pid }, opcode, len, args: kept(args), extensions };
    for (const [entry, found] of entries ?? []) expect(sink.add(entry, found && (() => found))).toBe(true);
    return later ? Promise.resolve(result) : result;
  };
  const setxattrExt = operation !== 'SETXATTR_COMPAT';
  const server = new FakeServer({ [method]: handler }, undefined, setxattrExt);
  const slot = load(hex(request), shape, { setxattrExt });
  const answer = serve(server, slot);
  expect(server.bugs).toEqual([]);
  return { got, answer, slot };
}

describe.each(SHAPES)('in the shape of a %s', (shape) => {
  test.each(operationNames)('%s: the bytes in, the arguments, the bytes out', (operation) => {
    const message = golden[operation];
    const { got, answer, slot } = play(operation, message, shape);
    expect(got).toStrictEqual({
      head: message.head,
      opcode: rows[operation].code,
      len: hex(message.request).length,
      args: message.args,
      extensions: message.extensions,
    });
    if (message.reply === undefined) expect(answer).toBe(undefined);
    else expect(bodyOf(slot, answer as number)).toEqual(hex(message.reply));
  });

  test.each(operationNames)('%s: a promise of the same result gives the same bytes', async (operation) => {
    const message = golden[operation];
    const { answer, slot } = play(operation, message, shape, true);
    expect(answer).toBeInstanceOf(Promise);
    const size = await answer;
    if (message.reply === undefined) expect(size).toBe(undefined);
    else expect(bodyOf(slot, size as number)).toEqual(hex(message.reply));
  });
});

describe('the table is complete', () => {
  test('there is one operation for each opcode from LOOKUP to COPY_FILE_RANGE_64, and CUSE_INIT', () => {
    const unused = new Set([7, 19]);
    const codes = Array.from({ length: 53 }, (_, i) => i + 1).filter((code) => !unused.has(code));
    expect(codes).toHaveLength(51);
    const steps = stepsFor(true);
    expect(Object.keys(steps).map(Number)).toEqual([...codes, 4096]);
    expect(new Set(operationNames.map((name) => rows[name].code))).toEqual(new Set([...codes, 4096]));
  });

  test('each row has its golden message, whose opcode is the row’s', () => {
    expect(Object.keys(golden).sort()).toEqual([...operationNames].sort());
    for (const name of operationNames) expect(hex(golden[name].request).readUInt32LE(4), name).toBe(rows[name].code);
  });

  test('each notification has its golden message', () => {
    expect(Object.keys(goldenNotifications).sort()).toEqual(Object.keys(notifications).sort());
  });
});

test.each(operationNames)('%s: the encoder that other tests use makes the golden request', (operation) => {
  const { args, head, request } = golden[operation];
  const bytes = hex(request);
  const extensions = bytes.subarray(bytes.length - bytes.readUInt16LE(36) * 8);
  expect(encodeRequest(operation, args as Record<string, unknown>, { ...head, extensions })).toEqual(bytes);
});

test.each(Object.keys(notifications) as NotificationName[])('notification %s goes out as its golden bytes', (name) => {
  const { values, tail, message } = goldenNotifications[name];
  expect(encodeNotification(name, values, tail)).toEqual(hex(message));
});

describe('short forms', () => {
  // Linux 5.4 to 5.16 (7.31 to 7.35): what lies beyond the 16 bytes is not read.
  const short = hex(`
    38000000 1a000000  # len 56, opcode INIT
    0200000000000000 0000000000000000  # unique 2, nodeid 0
    00000000 00000000 00000000  # uid, gid, pid
    0000 0000  # total_extlen, padding
    07000000  # major 7
    1f000000  # minor 31
    00000200  # max_readahead 0x20000
    fbff ff03  # flags 0x3fffffb
  `);

  test('an init_in of 16 bytes reads as one whose other members are 0', () => {
    let got: unknown;
    const server = new FakeServer({
      init: (_: Request, args: object) => {
        got = args;
        throw new Error('no reply is looked at');
      },
    });
    serve(server, load(short, 'device'));
    expect(got).toEqual({ major: 7, minor: 31, max_readahead: 0x20000, flags: 0x3fffffb, flags2: 0 });
  });

  test('an init_in of 15 bytes, and one of 63, are malformed or filled up', () => {
    const server = new FakeServer({ init: (_: Request, args: { flags2: number }) => server.bugs.push(args.flags2) });
    expect(serve(server, load(short.subarray(0, 55), 'device'))).toBe(-5);
    expect(server.bugs).toEqual([]);
    serve(server, load(initRequest().subarray(0, 103), 'device'));
    expect(server.bugs[0]).toBe(0x7fd);
  });

  test('a setxattr_in of 8 bytes is read as 16 where SETXATTR_EXT was agreed, and is then malformed', () => {
    const server = new FakeServer({ setxattr: () => undefined });
    const empty = encodeRequest('SETXATTR_COMPAT', { name: 'a', value: Buffer.alloc(0) });
    expect(serve(server, load(empty, 'device'))).toBe(-5);
    expect(serve(new FakeServer({ setxattr: () => undefined }, {}, false), load(empty, 'device'))).toBe(0);
  });
});
