/** INIT: what is agreed with which kernel, and what is refused. See init.ts. */
import { describe, expect, test } from 'vitest';
import { fuse_init_out } from '../../src/abi/fuse.ts';
import { INIT_FLAGS, type InitFlag } from '../../src/abi/fuse-constants.ts';
import { pageSize } from '../../src/abi/syscall.ts';
import type { Filesystem, Promised } from '../../src/protocol/filesystem.ts';
import {
  bufferSizes,
  type ConnectionOptions,
  flagsIn,
  NegotiationError,
  negotiate,
  PROMISES,
} from '../../src/protocol/init.ts';
import { connect, initRequest, viewOf } from './support.ts';

const flags = Object.keys(INIT_FLAGS) as InitFlag[];
const bit = (flag: InitFlag) => 1n << BigInt(INIT_FLAGS[flag]);
const ALL = flags.reduce((bits, flag) => bits | bit(flag), 0n);

/** What a kernel sends that offers these bits. */
const offer = (bits = ALL, minor = 45, max_readahead = 0x20000) => ({
  ...{ major: 7, minor, max_readahead },
  ...{ flags: Number(bits & 0xffff_ffffn), flags2: Number(bits >> 32n) },
});
const agree = (filesystem: Filesystem = {}, options: ConnectionOptions = {}, bits = ALL, minor = 45) =>
  negotiate(offer(bits, minor), filesystem, options);
/** The bits of a reply. */
const bitsOf = ({ flags, flags2 }: { flags: number; flags2: number }) => BigInt(flags) | (BigInt(flags2) << 32n);

/** The library itself keeps what these promise. */
const DEFAULT: readonly InitFlag[] = [
  ...(['ASYNC_READ', 'BIG_WRITES', 'MAX_PAGES', 'PARALLEL_DIROPS', 'ASYNC_DIO', 'AUTO_INVAL_DATA'] as const),
  ...(['SETXATTR_EXT', 'INIT_EXT', 'CREATE_SUPP_GROUP', 'SECURITY_CTX', 'HAS_RESEND', 'HAS_EXPIRE_ONLY'] as const),
  ...(['DIRECT_IO_ALLOW_MMAP', 'ABORT_ERROR'] as const),
];
const promises = Object.keys(PROMISES) as Promised[];
/** What a promise needs so that it is not refused, and what else it changes. */
const needs = (flag: Promised): ConnectionOptions => (flag === 'ALLOW_IDMAP' ? { defaultPermissions: true } : {});
const alongWith: Partial<Record<InitFlag, readonly InitFlag[]>> = { POSIX_ACL: ['DONT_MASK'] };
const replaces: Partial<Record<InitFlag, InitFlag>> = { EXPLICIT_INVAL_DATA: 'AUTO_INVAL_DATA' };

describe('flags', () => {
  test('of a filesystem that promises nothing, those that the library keeps are agreed, and no other', () => {
    const { agreed, wanted, offered, reply } = agree();
    expect([...agreed].sort()).toEqual([...DEFAULT].sort());
    expect([...wanted].sort()).toEqual([...DEFAULT].sort());
    expect([...offered].sort()).toEqual([...flags].sort());
    expect(flagsIn(bitsOf(reply)).sort()).toEqual([...DEFAULT].sort());
  });

  test.each(DEFAULT)('%s is wanted by default, and not agreed where it is not offered', (flag) => {
    const { agreed, wanted, offered, reply } = agree({}, {}, ALL & ~bit(flag));
    expect([wanted.has(flag), offered.has(flag), agreed.has(flag)]).toEqual([true, false, false]);
    expect(bitsOf(reply) & bit(flag)).toBe(0n);
  });

  test.each(promises)('%s is agreed where it is promised and offered', (flag) => {
    const { agreed, wanted, reply } = agree({ promises: [flag] }, needs(flag));
    const expected = new Set([...DEFAULT, flag, ...(alongWith[flag] ?? [])]);
    if (replaces[flag]) expected.delete(replaces[flag]);
    expect(agreed).toEqual(expected);
    expect(wanted).toEqual(expected);
    expect(new Set(flagsIn(bitsOf(reply)))).toEqual(expected);
  });

  test.each(promises)('%s is not agreed where it is not offered', (flag) => {
    const { agreed, reply } = agree({ promises: [flag] }, needs(flag), ALL & ~bit(flag));
    expect(agreed.has(flag)).toBe(false);
    expect(bitsOf(reply) & bit(flag)).toBe(0n);
  });

  test('READDIRPLUS is asked for where it is served', () => {
    const served = { readdirplus: () => undefined };
    expect([...agree(served).agreed]).toEqual(expect.arrayContaining(['DO_READDIRPLUS', 'READDIRPLUS_AUTO']));
    expect(agree(served, {}, ALL & ~bit('DO_READDIRPLUS')).agreed, 'one without the other means nothing').not.toContain(
      'READDIRPLUS_AUTO',
    );
    expect(agree(served, {}, ALL & ~bit('READDIRPLUS_AUTO')).agreed).toContain('DO_READDIRPLUS');
    expect(agree({ readdir: () => undefined }).agreed).not.toContain('DO_READDIRPLUS');
  });

  test('asyncRead false asks for one read of a file at a time', () => {
    expect(agree({}, { asyncRead: false }).agreed).not.toContain('ASYNC_READ');
    expect(agree({}, { asyncRead: true }).agreed).toContain('ASYNC_READ');
  });

  test('each flag is either the library’s, a promise, tied to an option or never asked for', () => {
    const never = [
      'FILE_OPS',
      'SPLICE_WRITE',
      'SPLICE_MOVE',
      'SPLICE_READ',
      'MAP_ALIGNMENT',
      'SUBMOUNTS',
      'HAS_INODE_DAX',
      'OVER_IO_URING',
    ];
    const others = ['DO_READDIRPLUS', 'READDIRPLUS_AUTO', 'REQUEST_TIMEOUT'];
    expect([...DEFAULT, ...promises, ...others, ...never].sort()).toEqual([...flags].sort());
  });

  test('without INIT_EXT the upper 32 bits mean nothing', () => {
    const { offered, agreed, reply, offeredBits } = agree({ promises: ['PASSTHROUGH'] }, {}, ALL & ~bit('INIT_EXT'));
    expect([...offered].filter((flag) => INIT_FLAGS[flag] >= 32)).toEqual([]);
    expect([...agreed].filter((flag) => INIT_FLAGS[flag] >= 32)).toEqual([]);
    expect(reply.flags2).toBe(0);
    expect(offeredBits >> 32n).toBe(0n);
  });

  test('bits that have no name here are kept for people to see, and not asked for', () => {
    const { offeredBits, reply } = agree({}, {}, 2n ** 64n - 1n);
    expect(offeredBits).toBe(2n ** 64n - 1n);
    expect(new Set(flagsIn(bitsOf(reply)))).toEqual(new Set(DEFAULT));
    expect(bitsOf(reply) & ~ALL).toBe(0n);
  });

  test('ALLOW_IDMAP leans on POSIX_ACL for default_permissions only where that was offered', () => {
    const both: Filesystem = { promises: ['ALLOW_IDMAP', 'POSIX_ACL'] };
    expect(agree(both).agreed).toContain('ALLOW_IDMAP');
    expect(agree(both, {}, ALL & ~bit('POSIX_ACL')).agreed).not.toContain('ALLOW_IDMAP');
    expect(agree(both, { defaultPermissions: true }, ALL & ~bit('POSIX_ACL')).agreed).toContain('ALLOW_IDMAP');
  });
});

describe('versions', () => {
  test.each(Array.from({ length: 15 }, (_, i) => 31 + i))('7.%d is served, and answered with ours', (minor) => {
    const { reply, minor: theirs } = agree({}, {}, ALL, minor);
    expect([reply.major, reply.minor, theirs]).toEqual([7, 45, minor]);
  });
  test('a later minor is answered with ours', () => {
    const { reply, minor } = agree({}, {}, ALL, 46);
    expect([reply.minor, minor]).toEqual([45, 46]);
  });
  test.each([
    [7, 30],
    [7, 0],
    [6, 45],
    [0, 0],
  ])('%d.%d is refused with a line that says what is needed', (major, minor) => {
    expect(() => negotiate({ ...offer(), major, minor }, {}, {})).toThrow(
      new NegotiationError(`the kernel speaks FUSE ${major}.${minor}; rawfuse needs 7.31 (Linux 5.4) or later`),
    );
  });

  test('INIT of an older kernel is answered EPROTO, and the session ends with that line', async () => {
    const { session, transport } = connect({ init: () => expect.unreachable() }, {}, { minor: 30 });
    await expect(session.ready).rejects.toThrow('the kernel speaks FUSE 7.30');
    expect(await session.closed).toMatchObject({ reason: 'failed', error: expect.any(NegotiationError) });
    expect(transport.closed).toBe(true);
  });

  test('a later major is answered with our version alone; then its second INIT is served', async () => {
    let inits = 0;
    const { session, transport, deliver } = connect({ init: () => void inits++ }, {}, false);
    deliver(initRequest({ major: 8, minor: 3 }, 2n));
    const first = fuse_init_out.decode(viewOf(transport.sent[0]!.body), 0);
    expect(first).toEqual({ ...fuse_init_out.decode(new DataView(new ArrayBuffer(64)), 0), major: 7, minor: 45 });
    expect([inits, session.agreement, transport.sizes]).toEqual([0, undefined, undefined]);
    deliver(initRequest({}, 4n));
    const second = fuse_init_out.decode(viewOf(transport.sent[1]!.body), 0);
    expect([second.major, second.minor, second.max_write]).toEqual([
      7,
      45,
      Math.min(1 << 20, second.max_pages * pageSize),
    ]);
    expect(inits).toBe(1);
    expect((await session.ready).minor).toBe(45);
  });

  test('the reply’s bytes are what was agreed', () => {
    const { transport, session } = connect({}, { maxBackground: 20, congestionThreshold: 11, timeGran: 1000 });
    const { reply } = session.agreement!;
    expect(transport.sizes).toEqual(bufferSizes(reply));
    expect([reply.max_background, reply.congestion_threshold, reply.time_gran]).toEqual([20, 11, 1000]);
  });
});

describe('what the kernel would refuse is refused first, in one line', () => {
  const cases: [string, Filesystem, ConnectionOptions, string][] = [
    [
      'ALLOW_IDMAP without default_permissions',
      { promises: ['ALLOW_IDMAP'] },
      {},
      'ALLOW_IDMAP needs the mount option default_permissions: the filesystem is not told who calls',
    ],
    [
      'ALLOW_IDMAP with allow_root',
      { promises: ['ALLOW_IDMAP'] },
      { defaultPermissions: true, allowRoot: true },
      'allow_root and ALLOW_IDMAP exclude each other: the caller is hidden',
    ],
    [
      'PASSTHROUGH with WRITEBACK_CACHE',
      { promises: ['PASSTHROUGH', 'WRITEBACK_CACHE'] },
      {},
      'PASSTHROUGH and WRITEBACK_CACHE exclude each other',
    ],
    [
      'EXPORT_SUPPORT with NO_EXPORT_SUPPORT',
      { promises: ['EXPORT_SUPPORT', 'NO_EXPORT_SUPPORT'] },
      {},
      'EXPORT_SUPPORT and NO_EXPORT_SUPPORT exclude each other',
    ],
    ['a promise that is none', { promises: ['OVER_IO_URING' as Promised] }, {}, 'unknown promise OVER_IO_URING'],
    [
      'a congestion threshold above the limit',
      {},
      { maxBackground: 10, congestionThreshold: 11 },
      'congestion_threshold is above max_background',
    ],
    [
      'a congestion threshold above the default limit',
      {},
      { congestionThreshold: 65 },
      'congestion_threshold is above max_background',
    ],
    [
      'a time granularity that is no power of ten',
      {},
      { timeGran: 2000 },
      'timeGran is 2000: a power of ten is needed',
    ],
    ...(
      [
        ['maxWrite', 4096, 0xffff * 4096],
        ['maxReadahead', 0, 0xffff_ffff],
        ['maxPages', 1, 0xffff],
        ['maxBackground', 1, 0xffff],
        ['congestionThreshold', 1, 0xffff],
        ['timeGran', 1, 1e9],
        ['requestTimeout', 0, 0xffff],
      ] as const
    ).flatMap(([option, least, most]) =>
      [least - 1, most + 1, least + 0.5, Number.NaN, Number.POSITIVE_INFINITY].map(
        (value): [string, Filesystem, ConnectionOptions, string] => [
          `${option} ${value}`,
          {},
          { [option]: value },
          `${option} is ${value}: a whole number from ${least} to ${most} is needed`,
        ],
      ),
    ),
  ];
  test.each(cases)('%s', (_, filesystem, options, message) => {
    expect(() => agree(filesystem, options)).toThrow(new NegotiationError(message));
    expect(message).not.toContain('\n');
    // Already when the session is made: before anything is mounted.
    expect(() => connect(filesystem, options, false)).toThrow(new NegotiationError(message));
  });
  test('the ends of each range are allowed', () => {
    for (const options of [
      {
        maxWrite: 4096,
        maxReadahead: 0,
        maxPages: 1,
        maxBackground: 1,
        congestionThreshold: 1,
        timeGran: 1,
        requestTimeout: 0,
      },
      {
        maxWrite: 0xffff * 4096,
        maxReadahead: 0xffff_ffff,
        maxPages: 0xffff,
        maxBackground: 0xffff,
        congestionThreshold: 0xffff,
        timeGran: 1e9,
        requestTimeout: 0xffff,
      },
    ])
      expect(() => agree({}, options)).not.toThrow();
  });
});

describe('limits', () => {
  const reply = (options: ConnectionOptions, bits = ALL) => agree({}, options, bits).reply;

  test('by default writes are of 1 MiB, with the pages that they need', () => {
    const { max_write, max_pages, max_background, congestion_threshold, time_gran, max_readahead } = reply({});
    expect(max_write).toBe(1 << 20);
    expect(max_pages).toBe(Math.ceil((1 << 20) / pageSize));
    expect([max_background, congestion_threshold, time_gran, max_readahead]).toEqual([64, 48, 1, 0x20000]);
  });
  test('a smaller write needs fewer pages', () => {
    expect(reply({ maxWrite: 2 * pageSize + 1 })).toMatchObject({ max_write: 2 * pageSize + 1, max_pages: 3 });
  });
  test('fewer pages make smaller writes', () => {
    expect(reply({ maxPages: 2 })).toMatchObject({ max_write: 2 * pageSize, max_pages: 2 });
    expect(reply({ maxPages: 2, maxWrite: 1 << 20 })).toMatchObject({ max_write: 2 * pageSize, max_pages: 2 });
  });
  test('more pages than the write needs are for reads', () => {
    expect(reply({ maxPages: 300, maxWrite: 4096 })).toMatchObject({ max_write: 4096, max_pages: 300 });
  });
  test('a write larger than 1 MiB asks for the pages', () => {
    expect(reply({ maxWrite: 4 << 20 })).toMatchObject({ max_write: 4 << 20, max_pages: (4 << 20) / pageSize });
  });
  test('without MAX_PAGES 32 pages are the limit, and none are asked for', () => {
    expect(reply({}, ALL & ~bit('MAX_PAGES'))).toMatchObject({ max_write: 32 * pageSize, max_pages: 0 });
    expect(reply({ maxWrite: 4096 }, ALL & ~bit('MAX_PAGES'))).toMatchObject({ max_write: 4096, max_pages: 0 });
  });
  test('readahead is at most what the kernel offers', () => {
    expect(reply({ maxReadahead: 4096 }).max_readahead).toBe(4096);
    expect(reply({ maxReadahead: 1 << 30 }).max_readahead).toBe(0x20000);
    expect(reply({ maxReadahead: 0 }).max_readahead).toBe(0);
  });
  test('congestion begins at three quarters', () => {
    expect(reply({ maxBackground: 1 }).congestion_threshold).toBe(1);
    expect(reply({ maxBackground: 100 }).congestion_threshold).toBe(75);
    expect(reply({ maxBackground: 100, congestionThreshold: 100 }).congestion_threshold).toBe(100);
  });
  test('a request timeout goes out where it was agreed', () => {
    expect(agree({}, { requestTimeout: 30 })).toMatchObject({ reply: { request_timeout: 30 } });
    expect(agree({}, { requestTimeout: 30 }).agreed).toContain('REQUEST_TIMEOUT');
    expect(agree({}, { requestTimeout: 30 }, ALL & ~bit('REQUEST_TIMEOUT')).reply.request_timeout).toBe(0);
    expect(agree({}, { requestTimeout: 0 }).agreed).not.toContain('REQUEST_TIMEOUT');
    expect(agree().agreed).not.toContain('REQUEST_TIMEOUT');
  });
  test('a stack depth goes out with PASSTHROUGH alone', () => {
    expect(agree({ promises: ['PASSTHROUGH'] }).reply.max_stack_depth).toBe(1);
    expect(agree().reply.max_stack_depth).toBe(0);
  });
  test.each([
    [{}],
    [{ maxWrite: 4096 }],
    [{ maxPages: 1 }],
    [{ maxWrite: 4 << 20 }],
    [{ maxPages: 300, maxWrite: 4096 }],
  ])('buffers hold the largest request and reply: %j', (options) => {
    const agreed = reply(options);
    const { request, reply: body } = bufferSizes(agreed);
    expect(request).toBeGreaterThanOrEqual(8192); // FUSE_MIN_READ_BUFFER
    expect(request).toBeGreaterThanOrEqual(40 + 40 + agreed.max_write);
    expect(request, 'SETXATTR with the longest name and value').toBeGreaterThanOrEqual(40 + 16 + 256 + 65536);
    expect(body).toBeGreaterThanOrEqual(agreed.max_pages * pageSize);
    expect(body, 'a value of GETXATTR').toBeGreaterThanOrEqual(65536);
  });
});
