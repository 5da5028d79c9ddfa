/** FUSE over io_uring against a played kernel: every word that goes out, every end that a command can have. */
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import {
  EAGAIN,
  ECONNABORTED,
  EINTR,
  EINVAL,
  EIO,
  ENOENT,
  ENOLCK,
  ENOTCONN,
  EPERM,
  ETIMEDOUT,
  SystemError,
} from '../../src/abi/errno.ts';
import type { Filesystem } from '../../src/protocol/filesystem.ts';
import { PARAMETER, whyNotOffered } from '../../src/uring/transport-system.ts';
import { encodeRequest, encodeStruct, rows } from '../protocol/support.ts';
import { until } from '../support.ts';
import { type Command, PlayedKernel } from './played-kernel.ts';

const REGISTER = 1;
const COMMIT_AND_FETCH = 2;
const URING_CMD = 46;
const attr = { ino: 7n, mode: 0o100644, size: 5 };
const statfs = (unique: bigint) => encodeRequest('STATFS', {}, { unique });
/** A handler that settles when the test says so. */
function held<T>() {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

describe('what is submitted', () => {
  test('first a REGISTER of each entry, one of each queue before a second of any, and nothing before the reply to INIT', async () => {
    await using kernel = await new PlayedKernel({}).begin();
    expect(kernel.commands.map(({ cmdOp, entry, qid, commitId }) => [cmdOp, entry, qid, commitId])).toEqual(
      Array.from({ length: 8 }, (_, i) => [REGISTER, i, i % 2, 0n]),
    );
    expect(kernel.transport.plan).toMatchObject({ queues: 2, depth: 4, payload: 1 << 20 });
    expect([kernel.session.transport, kernel.session.transportReason]).toEqual([
      'uring',
      '2 queues of 4 entries, 8.0 MiB reserved; at most 256, 512 MiB',
    ]);
  });

  test('all 32 words of it: what no command uses is zero', async () => {
    await using kernel = await new PlayedKernel({}).begin();
    const [command] = kernel.commands as [Command];
    const expected = new Array(32).fill(0);
    expected[0] = URING_CMD;
    expected[1] = command.fd;
    expected[2] = REGISTER;
    expected[4] = (command.addr % 2 ** 32) | 0;
    expected[5] = Math.floor(command.addr / 2 ** 32);
    expected[6] = 2;
    expected[8] = 3 << 24; // the subsystem; the entry is 0
    expect(command.words).toEqual(expected);
  });

  test('an entry has 288 bytes of headers and exactly the agreed payload, on pages of its own', async () => {
    await using kernel = await new PlayedKernel({}, { maxWrite: 8192 }).begin();
    const { payload, header } = kernel.buffers(3);
    expect([header.byteLength, payload.byteLength]).toEqual([288, 32 * 4096]);
    expect(payload.byteOffset % 4096).toBe(0);
  });

  test('a reply goes as one COMMIT_AND_FETCH with the id that came, all 64 bits of it', async () => {
    await using kernel = await new PlayedKernel({ statfs: () => ({ bsize: 512, namelen: 255 }) }).begin();
    const unique = 0x1234_5678_9abc_def0n;
    const commands = kernel.deliver(5, statfs(unique));
    expect(commands).toMatchObject([{ cmdOp: COMMIT_AND_FETCH, entry: 5, qid: 1, commitId: unique }]);
    const { error, unique: answered, body } = kernel.reply(5);
    expect([error, answered, body.length]).toEqual([0, unique, 80]);
    expect([body.readUInt32LE(40), body.readUInt32LE(44)]).toEqual([512, 255]);
  });

  test('replies of one turn go with one system call', async () => {
    await using kernel = await new PlayedKernel({}).begin();
    for (const entry of [0, 1, 2, 3]) {
      kernel.load(entry, statfs(BigInt(10 + entry * 2)));
      kernel.complete(entry);
    }
    const before = kernel.enters;
    kernel.ring.poll();
    expect(kernel.commands.slice(8).map(({ entry }) => entry)).toEqual([0, 1, 2, 3]);
    expect(kernel.enters - before).toBe(1);
  });

  test('what finds no place waits, and none is lost', async () => {
    await using kernel = new PlayedKernel({}, {}, { ringDepth: 200 });
    let refused = 0;
    kernel.refuse = (submit) => (submit > 0 && refused++ < 3 ? -EAGAIN.errno : undefined);
    await kernel.begin();
    await until(() => kernel.commands.length === 400, 'all entries');
    expect(new Set(kernel.commands.map(({ entry }) => entry)).size).toBe(400);
  });
});

describe('replies', () => {
  const filesystem: Filesystem = {
    lookup: (_, { name }) => {
      if (name !== 'file') throw ENOENT;
      return { nodeid: 2, attr };
    },
    read: (_, { size }, body) => {
      body.fill('r', 0, size);
      return size;
    },
    write: (_, { data }) => ({ size: data.length }),
    create: () => ({ entry: { nodeid: 3, attr }, open: { fh: 9 } }),
    readlink: () => 'target',
  };

  test('an error has no body', async () => {
    await using kernel = await new PlayedKernel(filesystem).begin();
    kernel.deliver(0, encodeRequest('LOOKUP', { name: 'absent' }, { unique: 4n }));
    expect(kernel.reply(0)).toEqual({ unique: 4n, error: -ENOENT.errno, body: Buffer.alloc(0) });
  });
  test('READ fills the payload itself', async () => {
    await using kernel = await new PlayedKernel(filesystem).begin();
    kernel.deliver(0, encodeRequest('READ', { fh: 1, size: 4096 }));
    expect(kernel.reply(0).body.equals(Buffer.alloc(4096, 'r'))).toBe(true);
  });
  test('one of 64 KiB or more goes before the others of its turn', async () => {
    await using kernel = await new PlayedKernel(filesystem).begin();
    for (const [entry, size] of [
      [0, 1 << 16],
      [1, 4096],
    ] as const) {
      kernel.load(entry, encodeRequest('READ', { fh: 1, size }, { unique: BigInt(4 + 2 * entry) }));
      kernel.complete(entry);
    }
    const before = kernel.enters;
    kernel.ring.poll();
    expect(kernel.enters - before).toBe(2);
  });
  test('WRITE gets its data from where it lies; two structs follow each other in the body', async () => {
    await using kernel = await new PlayedKernel(filesystem).begin();
    kernel.deliver(0, encodeRequest('WRITE', { fh: 1, data: Buffer.alloc(10_000) }));
    expect(kernel.reply(0).body.readUInt32LE(0)).toBe(10_000);
    kernel.deliver(1, encodeRequest('CREATE', { name: 'new' }, { unique: 6n }));
    expect(kernel.reply(1).body.length).toBe(rows.CREATE.out && 144);
    kernel.deliver(2, encodeRequest('READLINK', {}, { unique: 8n }));
    expect(kernel.reply(2).body.toString()).toBe('target');
  });
  test('NOTIFY_REPLY, whose struct lies before its data, reaches who asked, and its entry is committed without a body', async () => {
    await using kernel = await new PlayedKernel(filesystem).begin();
    const seen: { offset: number; data: string }[] = [];
    kernel.session.notify.retrieved = (_, offset, data) => seen.push({ offset, data: data.toString() }) > 0;
    const message = encodeRequest('NOTIFY_REPLY', { offset: 4096, data: Buffer.from('cached') }, { unique: 1n << 62n });
    const commands = kernel.deliver(2, message);
    expect(seen).toEqual([{ offset: 4096, data: 'cached' }]);
    expect(commands).toMatchObject([{ cmdOp: COMMIT_AND_FETCH, entry: 2, commitId: 1n << 62n }]);
    expect(kernel.reply(2)).toEqual({ unique: 1n << 62n, error: 0, body: Buffer.alloc(0) });
  });
});

describe('a handler that waits', () => {
  test('keeps its entry until it is done', async () => {
    const later = held<{ bsize: number; namelen: number }>();
    await using kernel = await new PlayedKernel({ statfs: () => later.promise }).begin();
    expect(kernel.deliver(0, statfs(4n))).toEqual([]);
    later.resolve({ bsize: 1024, namelen: 255 });
    await until(() => kernel.commands.length === 9, 'the commit');
    expect(kernel.reply(0).body.readUInt32LE(40)).toBe(1024);
  });

  test('brings further entries for its queue when half of them wait', async () => {
    await using kernel = await new PlayedKernel({ statfs: () => new Promise<never>(() => {}) }).begin();
    for (const entry of [0, 2]) expect(kernel.deliver(entry, statfs(BigInt(4 + entry)))).toEqual([]);
    const more = kernel.deliver(4, statfs(20n));
    expect(more.map(({ cmdOp, qid, entry }) => [cmdOp, qid, entry])).toEqual([8, 9, 10, 11].map((i) => [1, 0, i]));
  });

  test('over its time it is answered, whatever it still holds: the entry serves the next while it goes on', async () => {
    const reading = held<number>();
    let room: Buffer | undefined;
    await using kernel = await new PlayedKernel(
      {
        read: (_, _args, body) => {
          room = body;
          return reading.promise;
        },
        statfs: () => ({ bsize: 512, namelen: 255 }),
      },
      { handlerTimeout: 0.01 },
    ).begin();
    expect(kernel.deliver(0, encodeRequest('READ', { fh: 1, size: 100 }))).toEqual([]);
    await until(() => kernel.commands.length === 9, 'the answer');
    expect(kernel.reply(0).error).toBe(-ETIMEDOUT.errno);
    kernel.deliver(0, statfs(6n));
    const before = kernel.reply(0).body;
    room!.fill('x');
    expect(kernel.reply(0).body).toEqual(before);
    reading.resolve(100);
    await turn();
    expect(kernel.commands).toHaveLength(10);
  });

  const lock = (unique: bigint, type = 1) =>
    encodeRequest('SETLKW', { fh: 1, owner: unique, lk: { start: 0n, end: 9n, type, pid: 1 } }, { unique, nodeid: 2 });

  test('for a lock lets all queues have what they may have; past that the next is refused with ENOLCK, an unlock never', async () => {
    const locking: Filesystem = { setlk: () => new Promise<never>(() => {}) };
    await using kernel = await new PlayedKernel(locking, {}, { ringDepth: 2, ringLimit: 4 }).begin();
    expect(kernel.deliver(0, lock(4n)).map(({ qid }) => qid)).toEqual([0, 0, 1, 1]);
    expect(kernel.commands).toHaveLength(8);
    kernel.deliver(4, lock(6n));
    kernel.deliver(5, lock(8n));
    expect(kernel.warnings).toEqual([]);
    expect(kernel.deliver(2, lock(10n))).toMatchObject([{ cmdOp: COMMIT_AND_FETCH, entry: 2 }]);
    expect(kernel.reply(2).error).toBe(-ENOLCK.errno);
    expect(kernel.warnings).toEqual([expect.stringMatching(/^4 requests of CPU 0 wait: .* ENOLCK; ring_limit/u)]);
    expect(kernel.deliver(2, lock(12n, 2))).toEqual([]); // F_UNLCK comes as SETLKW too
    expect(kernel.session.inflight.map(({ unique }) => unique)).toEqual([4n, 6n, 8n, 12n]);
  });

  test('in the last entry of those that were there lets us make a request that empties the queue of its CPU', async () => {
    const locking: Filesystem = { setlk: () => new Promise<never>(() => {}) };
    await using kernel = await new PlayedKernel(locking, {}, { ringDepth: 2, ringLimit: 8 }).begin();
    kernel.deliver(1, lock(4n));
    expect(kernel.nudges).toEqual([]);
    kernel.deliver(3, lock(6n));
    expect(kernel.nudges).toHaveLength(1);
    const { cpu, message } = kernel.nudges[0]!;
    const unique = message.readBigUInt64LE(16);
    expect([cpu, message.readInt32LE(4), unique, message.readBigUInt64LE(24)]).toEqual([1, 5, (1n << 61n) + 2n, 2n]);
    const reply = encodeRequest('NOTIFY_REPLY', {}, { unique });
    expect(kernel.deliver(10, reply)).toMatchObject([{ cmdOp: COMMIT_AND_FETCH, commitId: unique, qid: 1 }]);
    expect(kernel.session.inflight).toHaveLength(2);
  });

  test('and where that request can not be made, the lock is refused', async () => {
    const locking: Filesystem = { setlk: () => new Promise<never>(() => {}) };
    const notify = () => {
      throw new SystemError(EINVAL.errno, 'sched_setaffinity');
    };
    await using kernel = await new PlayedKernel(locking, {}, { ringDepth: 2, ringLimit: 8 }, { notify }).begin();
    kernel.deliver(1, lock(4n));
    kernel.deliver(3, lock(6n));
    expect(kernel.reply(3).error).toBe(-ENOLCK.errno);
  });
});

describe('a command ends with', () => {
  test.each([EAGAIN, EINTR])('$code: it is submitted again', async ({ errno }) => {
    await using kernel = await new PlayedKernel({}).begin();
    kernel.complete(3, -errno);
    kernel.ring.poll();
    expect(kernel.commands.slice(8)).toMatchObject([{ cmdOp: REGISTER, entry: 3 }]);
    kernel.deliver(3, statfs(4n));
    kernel.complete(3, -errno);
    kernel.ring.poll();
    expect(kernel.commands.slice(9)).toMatchObject([
      { cmdOp: COMMIT_AND_FETCH, entry: 3, commitId: 4n },
      { cmdOp: COMMIT_AND_FETCH, entry: 3, commitId: 4n },
    ]);
  });

  test.each([
    [ENOTCONN, 'unmounted'],
    [ECONNABORTED, 'aborted'],
  ] as const)('$0.code: the connection is over, and that is no error', async ({ errno }, reason) => {
    await using kernel = await new PlayedKernel({}).begin();
    kernel.takeDown(-errno, [0, 1, 2, 3, 4, 5, 6, 7]);
    expect(await kernel.session.closed).toEqual({ reason });
    await kernel.session.gone;
    expect([kernel.warnings, kernel.errors]).toEqual([[], []]);
  });

  test.each([EINVAL, EPERM])('$code, a commit: a bug, told with the state of the entry', async ({ errno, code }) => {
    await using kernel = await new PlayedKernel({}).begin();
    kernel.deliver(4, statfs(4n));
    kernel.complete(4, -errno);
    kernel.ring.poll();
    const { reason, error } = await kernel.session.closed;
    expect([reason, (error as Error).message]).toEqual([
      'failed',
      `the FUSE ring failed: COMMIT_AND_FETCH of entry 4, queue 0: ${code} (answer 80, opcode 17, 0 of 3 waiting)`,
    ]);
  });

  test('ENOENT, a commit: what the reply gave is taken back, and another entry takes the place', async () => {
    const forgotten: unknown[] = [];
    const filesystem: Filesystem = {
      lookup: () => ({ nodeid: 5, attr }),
      forget: (_, { nodeid, nlookup }) => void forgotten.push([nodeid, nlookup]),
    };
    await using kernel = await new PlayedKernel(filesystem).begin();
    kernel.deliver(4, encodeRequest('LOOKUP', { name: 'file' }, { unique: 4n }));
    kernel.complete(4, -ENOENT.errno);
    kernel.ring.poll();
    expect(forgotten).toEqual([[5, 1]]);
    expect(kernel.commands.at(-1)).toMatchObject({ cmdOp: REGISTER, qid: 0, entry: 8 });
  });

  test.each([EINVAL, EPERM])(
    '$code, the first REGISTERs: asked for, the session fails and says why',
    async ({ errno, code }) => {
      await using kernel = await new PlayedKernel({}).begin();
      kernel.takeDown(-errno, [0, 2, 4, 6]);
      const { reason, error } = await kernel.session.closed;
      expect([reason, (error as Error).message]).toEqual([
        'failed',
        `FUSE over io_uring can't be had: REGISTER of entry 6, queue 0: ${code}`,
      ]);
    },
  );

  test('the same where it need not be: requests come over the device', async () => {
    await using kernel = await new PlayedKernel({}, { ring: 'try' }).begin();
    kernel.takeDown(-EPERM.errno, [1, 3, 5, 7]);
    expect([kernel.session.transport, kernel.session.transportReason]).toEqual([
      'device',
      'REGISTER of entry 7, queue 1: EPERM',
    ]);
    kernel.message(statfs(4n));
    await until(() => kernel.written() > 0, 'the reply');
  });

  test('an error for an entry that was registered later: there are no more, and it goes on', async () => {
    await using kernel = await new PlayedKernel({ statfs: () => new Promise<never>(() => {}) }).begin();
    for (const entry of [0, 2, 4]) kernel.deliver(entry, statfs(BigInt(4 + entry)));
    kernel.takeDown(-12, [8]);
    expect(kernel.warnings).toEqual(['no further entries for the FUSE ring: REGISTER of entry 8, queue 0: ENOMEM']);
    kernel.deliver(9, statfs(30n));
    expect(kernel.session.inflight).toHaveLength(4);
  });
});

describe('a ring that can not be had', () => {
  const faulty = {
    reserve: () => {
      throw new SystemError(12, 'mmap');
    },
  };
  test('for want of memory: the flag is left out of the reply, and the device serves', async () => {
    await using kernel = await new PlayedKernel({}, { ring: 'try' }, {}, faulty).begin();
    const { agreement, transport, transportReason } = kernel.session;
    expect([transport, transportReason]).toEqual(['device', expect.stringMatching(/^mmap: /u)]);
    expect(agreement!.agreed.has('OVER_IO_URING')).toBe(false);
    expect(agreement!.reply.flags2 & (1 << 9)).toBe(0);
  });
  test('asked for, the session fails and says why', async () => {
    await using kernel = new PlayedKernel({}, {}, {}, faulty);
    await expect(kernel.begin()).rejects.toThrow(/^FUSE over io_uring can't be had: mmap: /u);
  });
  test('because it is switched off: the reason is the command that would switch it on', async () => {
    await using kernel = new PlayedKernel({}, { ring: 'try' }, {}, { enabled: () => 'N' });
    await kernel.begin({ flags2: 0x1fd });
    expect(kernel.session.transport).toBe('device');
    expect(kernel.session.transportReason).toContain(`echo Y > ${PARAMETER}`);
  });
  test.each([
    [undefined, 'Linux 6.14'],
    ['N', PARAMETER],
    ['Y', 'does not offer'],
  ])('a parameter that is %s', (value, words) => expect(whyNotOffered({ enabled: () => value })).toContain(words));
  test('because of an option that can not be', async () => {
    await using kernel = new PlayedKernel({}, {}, { ringDepth: 5000 });
    await expect(kernel.begin()).rejects.toThrow('ringDepth is 5000');
  });
});

describe('hostile', () => {
  test('a payload that is longer than there is room: EIO, told once', async () => {
    await using kernel = await new PlayedKernel({}).begin();
    kernel.deliver(0, statfs(4n), 0xffff_ffff);
    expect(kernel.reply(0)).toMatchObject({ unique: 4n, error: -EIO.errno });
    expect(kernel.warnings).toHaveLength(1);
  });
  test('a completion for no entry, and one that comes twice', async () => {
    await using kernel = await new PlayedKernel({ statfs: () => new Promise<never>(() => {}) }).begin();
    kernel.complete(4711);
    kernel.load(1, statfs(6n));
    kernel.complete(1);
    kernel.complete(1);
    kernel.ring.poll();
    expect(kernel.session.inflight.map(({ unique }) => unique)).toEqual([6n]);
  });
  test.each(Object.keys(rows).filter((name) => name !== 'INIT'))(
    '%s whose payload is cut at any place',
    async (name) => {
      await using kernel = await new PlayedKernel({}).begin();
      const whole = encodeRequest(name as keyof typeof rows, {});
      for (const size of [0, 1, 7, 39, whole.length]) {
        const count = kernel.commands.length;
        kernel.deliver(0, whole, size);
        // Answered, each and at once: nothing of it waits.
        expect(kernel.commands.length).toBe(count + 1);
      }
      expect(kernel.session.inflight).toEqual([]);
    },
  );
  test('a NOTIFY_REPLY shorter than its struct', async () => {
    await using kernel = await new PlayedKernel({}).begin();
    const bytes = Buffer.concat([encodeStruct(rows.NOTIFY_REPLY.in!, { size: 100 })]);
    const message = encodeRequest('NOTIFY_REPLY', { data: bytes });
    expect(kernel.deliver(0, message, 3)).toHaveLength(1);
  });
});

describe('the end', () => {
  test('from within a handler: no commit follows, and the entries are given back', async () => {
    let end!: () => void;
    const filesystem: Filesystem = {
      statfs: () => {
        end();
        return { bsize: 1, namelen: 255 };
      },
    };
    await using kernel = await new PlayedKernel(filesystem).begin();
    end = () => kernel.session.end({ reason: 'failed', error: new Error('on purpose') });
    expect(kernel.deliver(0, statfs(4n))).toEqual([]);
    expect(await kernel.session.closed).toMatchObject({ reason: 'failed' });
  });
  test('with a handler that waits: its signal is aborted, and what it comes to is taken back', async () => {
    const waiting = held<{ nodeid: number; attr: typeof attr }>();
    const forgotten: number[] = [];
    await using kernel = await new PlayedKernel({
      lookup: () => waiting.promise,
      forget: (_, { nodeid }) => void forgotten.push(nodeid),
    }).begin();
    kernel.deliver(0, encodeRequest('LOOKUP', { name: 'a' }));
    kernel.takeDown(-ENOTCONN.errno, [1, 2, 3, 4, 5, 6, 7]);
    await kernel.session.closed;
    waiting.resolve({ nodeid: 9, attr });
    await until(() => forgotten.length === 1, 'the lookup to be taken back');
    expect(forgotten).toEqual([9]);
  });
  test('before INIT', async () => {
    await using kernel = new PlayedKernel({});
    kernel.session.end({ reason: 'unmounted' });
    await kernel.session.gone;
  });
});
