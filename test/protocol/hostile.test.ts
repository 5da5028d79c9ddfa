/**
 * A hostile kernel. Each message begins as a valid one of a random operation, made from the table, and then
 * one thing in it is changed; most go into a session as bytes, a part over a real socketpair, a part through the
 * buffers of a played io_uring. Whatever comes,
 * the session throws nothing, answers what wants an answer exactly once and in good form, and no handler sees
 * a byte that lies behind its message: there lies poison, or what an earlier message left there.
 *
 * SEED=n repeats a run, MESSAGES=n makes it longer or shorter.
 */
import { expect, test, vi } from 'vitest';
import { EIO, ENOENT, errnos } from '../../src/abi/errno.ts';
import { fuse_in_header } from '../../src/abi/fuse.ts';
import { FUSE_IO_URING_CMD_COMMIT_AND_FETCH, FUSE_UNIQUE_RESEND } from '../../src/abi/fuse-constants.ts';
import type { AnyStruct } from '../../src/abi/struct.ts';
import type { DirectoryReply } from '../../src/protocol/dirent.ts';
import { answersNothing } from '../../src/protocol/dispatch.ts';
import type { Filesystem } from '../../src/protocol/filesystem.ts';
import type { Operation, OperationName } from '../../src/protocol/operations.ts';
import type { Request } from '../../src/protocol/request.ts';
import { Session, type SessionOptions } from '../../src/protocol/session.ts';
import { Slot } from '../../src/protocol/slot.ts';
import type { Transport } from '../../src/protocol/transport.ts';
import { until } from '../support.ts';
import { PlayedKernel } from '../uring/played-kernel.ts';
import { TestKernel, turns } from './kernel.ts';
import { encodeContexts, encodeGroups, encodeRequest, initRequest, operationNames, rows, viewOf } from './support.ts';

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
const MESSAGES = Number(process.env.MESSAGES ?? 100_000);
vi.setConfig({ testTimeout: 30_000 + MESSAGES });
console.log(`hostile: SEED=${SEED} MESSAGES=${MESSAGES}`);

/** mulberry32: the same numbers for the same seed. */
class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed | 0;
  }
  /** From 0 up to, not including, `n`. */
  below(n: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  }
  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
  /** True once in `n` times. */
  once(n: number): boolean {
    return this.below(n) === 0;
  }
}

// Poison: what no valid message holds. With NULs, so that a name that lacks one would end in it, and as 64 bits,
// where it is aligned, a number like any other.
const PATTERN = Buffer.of(0xf5, 0x9a, 0xf5, 0x9a, 0xf5, 0, 0, 0);
const poison = (length: number) => Buffer.alloc(length, PATTERN);
const POISONED_TEXT = /\udcf5\udc9a|\udc9a\udcf5/;
const POISONED_WORDS = new Set([0x9af59af5, 0xf59af59a, 0x00f59af5, 0xf59af500]);
const isPoison = (word: number) => POISONED_WORDS.has(word >>> 0);

/** Throws where a handler was given bytes from behind its message. */
function tasteFor(value: unknown, path: string): void {
  let bad = false;
  if (typeof value === 'string') bad = POISONED_TEXT.test(value);
  else if (typeof value === 'number') bad = isPoison(value) || isPoison(Math.floor(value / 2 ** 32));
  else if (typeof value === 'bigint') bad = isPoison(Number(value & 0xffff_ffffn)) || isPoison(Number(value >> 32n));
  else if (Buffer.isBuffer(value)) bad = value.includes('f59af5', 0, 'hex');
  else if (value !== null && typeof value === 'object')
    for (const [name, member] of Object.entries(value)) tasteFor(member, `${path}.${name}`);
  if (bad) throw new Poisoned(`${path} is from behind the message`);
}
class Poisoned extends Error {}
/** Throws where a count and what it counts differ. */
function countOff(args: Record<string, unknown>, path: string): void {
  for (const [list, count] of [
    ['data', path === 'ioctl' ? 'in_size' : 'size'],
    ['value', 'size'],
    ['mappings', 'count'],
  ] as const) {
    const counted = args[list] as { length: number } | undefined;
    if (counted !== undefined && counted.length !== args[count])
      throw new Poisoned(`${path} has ${counted.length} ${list}, and ${count} says ${args[count]}`);
  }
}
/** What a handler throws on purpose, as a bug. */
class Deliberate extends Error {}

// Valid messages.

interface Member {
  readonly at: number;
  readonly size: number;
}
/** The members of a struct that carry something, those of structs within included. */
function membersOf(of: AnyStruct, base = 0): Member[] {
  return Object.entries(of.fields).flatMap(([name, field]) => {
    const at = base + of.offset[name]!;
    if ('fields' in field) return membersOf(field as AnyStruct, at);
    return field.read ? [{ at, size: field.size }] : [];
  });
}
const members = new Map(operationNames.map((name) => [name, rows[name].in ? membersOf(rows[name].in) : []]));

const LETTERS = Buffer.from('abcdefghijklmnopqrstuvwxyz.-_ \u00e9\u4e2d\xff', 'utf8');
function name(random: Random): Buffer {
  const length = random.once(20) ? 255 : random.once(20) ? 0 : 1 + random.below(20);
  return Buffer.from(Array.from({ length }, () => (random.once(50) ? 0xff : random.of([...LETTERS]))));
}
function data(random: Random): Buffer {
  return Buffer.alloc(random.once(10) ? random.below(8192) : random.below(64), random.below(0x80));
}

/** A valid message of an operation. Its numbers are small, so that offsets and sizes pass; what they are is random. */
function valid(random: Random, operation: OperationName, unique: bigint): Buffer {
  const row = rows[operation];
  const fixed = Buffer.alloc(row.in?.size ?? 0);
  for (const { at, size } of members.get(operation)!) {
    if (size === 8) fixed.writeUIntLE(random.below(2 ** 40), at, 6);
    else fixed.writeUIntLE(random.below(size === 4 ? 0x8000 : 2 ** (size * 7)), at, size);
  }
  const parts: Buffer[] = [fixed];
  for (const _ of row.names ?? []) parts.push(name(random), Buffer.of(0));
  if (row.data) {
    const bytes = data(random);
    parts.push(bytes);
    fixed.writeUInt32LE(bytes.length, row.in!.offset[row.length!]!);
  }
  if (row.list) {
    const count = random.below(20);
    for (let i = 0; i < count; i++)
      parts.push(
        Buffer.from(Array.from({ length: row.list.of.size }, (_, at) => (at % 8 < 6 ? random.below(0x80) : 0))),
      );
    fixed.writeUInt32LE(count, row.in!.offset[row.list.count]!);
  }
  const extensions =
    row.extensions && random.once(2)
      ? random.of([
          encodeContexts([{ name: 'security.selinux', value: Buffer.from('label') }]),
          encodeGroups([random.below(1000)]),
          Buffer.concat([encodeContexts([]), encodeGroups([1])]),
        ])
      : Buffer.alloc(0);
  parts.push(extensions);
  const header = Buffer.alloc(fuse_in_header.size);
  const message = Buffer.concat([header, ...parts]);
  message.writeUInt32LE(message.length, 0);
  message.writeUInt32LE(row.code, 4);
  message.writeBigUInt64LE(unique, 8);
  message.writeUInt32LE(1 + random.below(1000), 16);
  for (const at of [24, 28, 32]) message.writeUInt32LE(random.once(20) ? 0xffff_ffff : random.below(100_000), at);
  message.writeUInt16LE(extensions.length / 8, 36);
  return message;
}

// One thing changed.

const EXTREMES_32 = [0, 1, 2, 7, 8, 0x7fff_ffff, 0x8000_0000, 0xffff_fff0, 0xffff_ffff];
const EXTREMES_64 = [0n, 1n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 62n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n];
const KNOWN = new Map(operationNames.map((each) => [rows[each].code, each]));

/** A message that says how long it is. */
function sized(message: Buffer): Buffer {
  if (message.length >= 4) message.writeUInt32LE(message.length, 0);
  return message;
}
type Change = (random: Random, message: Buffer, operation: OperationName) => Buffer;
const changed =
  (change: (random: Random, message: Buffer, operation: OperationName) => void): Change =>
  (random, message, operation) => {
    change(random, message, operation);
    return message;
  };

/** What may be changed, one line each; the number is how often it is taken. */
// biome-ignore-start format: a table, a change a line or two
const CHANGES: [number, string, Change][] = [
  [30, 'nothing', (_, message) => message],
  [
    6,
    'a 64-bit member',
    changed((random, message, operation) => {
      const { at } = random.of([...members.get(operation)!.filter(({ size }) => size === 8), { at: 16 - 40 }]);
      message.writeBigUInt64LE(random.of(EXTREMES_64), 40 + at);
    }),
  ],
  [
    8,
    'a 32-bit member',
    changed((random, message, operation) => {
      const { at } = random.of([...members.get(operation)!.filter(({ size }) => size === 4), { at: 24 - 40 }]);
      message.writeUInt32LE(random.of(EXTREMES_32), 40 + at);
    }),
  ],
  [
    8,
    'an unknown flag',
    changed((random, message, operation) => {
      const { at } = random.of([...members.get(operation)!.filter(({ size }) => size === 4), { at: 32 - 40 }]);
      message[40 + at + random.below(4)]! ^= 1 << random.below(8);
    }),
  ],
  [3, 'nodeid', changed((random, message) => void message.writeBigUInt64LE(random.of(EXTREMES_64), 16))],
  [6, 'cut', (random, message) => sized(message.subarray(0, 40 + random.below(message.length - 39)))],
  [
    6,
    'cut by a few bytes',
    (random, message) => sized(message.subarray(0, Math.max(40, message.length - 1 - random.below(4)))),
  ],
  [
    6,
    'more bytes at the end',
    (random, message) => sized(Buffer.concat([message, Buffer.alloc(1 + random.below(64), random.below(0x80))])),
  ],
  [
    4,
    'a NUL that is missing',
    changed((_, message, operation) => {
      const at = message.indexOf(0, 40 + (rows[operation].in?.size ?? 0));
      if (at > 0) message[at] = 0x78;
    }),
  ],
  [
    3,
    'a NUL more',
    changed((random, message) => {
      if (message.length > 40) message[40 + random.below(message.length - 40)] = 0;
    }),
  ],
  [
    6,
    'a byte anywhere behind the header',
    changed((random, message) => {
      if (message.length > 40) message[40 + random.below(message.length - 40)] = random.below(0x80);
    }),
  ],
  [
    3,
    'total_extlen',
    changed((random, message) => void message.writeUInt16LE(random.of([1, 2, random.below(100), 0xffff]), 36)),
  ],
  [3, 'the padding of the header', changed((random, message) => void message.writeUInt16LE(random.below(0x8000), 38))],
  [
    3,
    'an operation that does not exist',
    changed(
      (random, message) =>
        void message.writeUInt32LE(random.of([0, 7, 19, 54, 55, 4095, 4097, 0x8000_0000, 0xffff_ffff]), 4),
    ),
  ],
  [
    2,
    'another operation',
    changed((random, message) => void message.writeUInt32LE(rows[random.of(operationNames)].code, 4)),
  ],
];
// biome-ignore-end format: .
const DRAWN = CHANGES.flatMap(([often, , change]) => Array.from({ length: often }, () => change));
/** The operations that a kernel sends; INIT and CUSE_INIT come seldom. */
const SENT = operationNames.filter((each) => !rows[each].compat);

function hostile(random: Random, unique: bigint, only?: OperationName): Buffer {
  let operation = only ?? random.of(SENT);
  if (only === undefined && operation.endsWith('INIT')) operation = random.once(10) ? operation : 'LOOKUP';
  return random.of(DRAWN)(random, valid(random, operation, unique), operation);
}

// Handlers.

/** A filesystem that serves everything: it answers now or later, fails or not, and looks at all it gets. */
class Victim {
  readonly filesystem: Filesystem;
  /** The messages that have reached a handler, by id. */
  readonly reached = new Set<bigint>();
  /** What handlers that answer later wait for. */
  readonly later: (() => void)[] = [];
  poisoned: unknown;

  constructor(random: Random) {
    const errors = [...errnos.values()];
    const attr = { ino: 7n, mode: 0o100644 };
    const entry = () => ({ nodeid: random.below(1000), attr });
    const bytes = (_: Request, { size }: { size: number }, reply: Buffer) =>
      random.once(3) ? reply.fill(1, 0, size).subarray(0, 0).length + size : Buffer.alloc(random.below(size + 1), 2);
    const list = (_: Request, __: unknown, reply: DirectoryReply) => {
      const more = () => reply.add({ name: 'n'.repeat(1 + random.below(200)), ino: 1n, type: 8, off: 1n }, entry);
      while (more());
    };
    const results: Record<string, (request: Request, args: never, reply: never) => unknown> = {
      ...{ lookup: entry, mknod: entry, mkdir: entry, symlink: entry, link: entry },
      ...{ getattr: () => ({ attr }), setattr: () => ({ attr }) },
      statx: () => ({ stat: { mask: 1, nlink: 1, uid: 0, gid: 0, mode: 1, ino: 7n, size: 0, blocks: 0, ...TIMES } }),
      ...{ open: () => ({ fh: 1 }), opendir: () => ({ fh: 1 }) },
      ...{ create: () => ({ entry: entry(), open: { fh: 1 } }), tmpfile: () => ({ entry: entry(), open: { fh: 1 } }) },
      ...{ read: bytes, getxattr: bytes, listxattr: bytes, readdir: list, readdirplus: list, readlink: () => 'target' },
      write: (_, { size }: { size: number }) => ({ size }),
      statfs: () => ({ blocks: 0, bsize: 512, namelen: 255 }),
      getlk: (_, { lk }: { lk: unknown }) => ({ lk }),
      bmap: () => ({ block: 1 }),
      ioctl: (_, { data }: { data: Buffer }) => ({ result: 0, data }),
      poll: () => ({ revents: 1 }),
      ...{
        lseek: () => ({ offset: 1 }),
        copy_file_range: (_, { len }: { len: number }) => ({ bytes_copied: Math.min(1, len) }),
      },
    };
    const handler = (method: string) => (request: Request, args: object, reply: unknown) => {
      this.reached.add(request.unique);
      try {
        tasteFor(args, method);
        countOff(args as Record<string, unknown>, method);
        tasteFor(request.extensions, `${method}.extensions`);
        tasteFor([request.nodeid, request.uid, request.gid, request.pid], `${method}'s request`);
      } catch (error) {
        this.poisoned ??= error;
      }
      if (method === 'forget') return undefined;
      const answer = () => {
        if (random.once(10)) throw random.of(errors);
        if (random.once(200)) throw new Deliberate();
        return results[method]?.(request, args as never, reply as never);
      };
      if (!random.once(4)) return answer();
      return new Promise((resolve, reject) => {
        if (random.once(10)) request.signal.addEventListener('abort', () => reject(request.signal.reason));
        this.later.push(() => {
          try {
            resolve(answer());
          } catch (error) {
            reject(error);
          }
        });
      });
    };
    const methods = new Map<string, unknown>();
    const own = new Set(['promises', 'init', 'destroy', 'cuse_init']);
    this.filesystem = new Proxy({} as Filesystem, {
      get: (_, method) => {
        if (typeof method !== 'string' || own.has(method)) return undefined;
        if (!methods.has(method)) methods.set(method, handler(method));
        return methods.get(method);
      },
    });
  }

  /** Lets the oldest handlers that wait come to their end, down to so many. */
  settle(left: number): void {
    while (this.later.length > left) this.later.shift()!();
  }
}
const time = { tv_sec: 1, tv_nsec: 2 };
const TIMES = { atime: time, btime: time, ctime: time, mtime: time };

// Books.

/** How many answers each request is due, and how many came. */
class Books {
  readonly #room: number;
  readonly #due = new Map<bigint, number>();
  /** What is wrong, in words. */
  readonly wrong: string[] = [];

  /** `room` is how many bytes a reply may have. */
  constructor(room: number) {
    this.#room = room;
  }

  due(unique: bigint, count = 1): void {
    const left = (this.#due.get(unique) ?? 0) + count;
    if (left === 0) this.#due.delete(unique);
    else this.#due.set(unique, left);
  }
  /** A reply has come. `row` is the operation's, where it has one. */
  came(unique: bigint, error: number, size: number, row: Operation | undefined): void {
    if (!this.#due.has(unique)) this.wrong.push(`${unique} was answered once too often`);
    else this.due(unique, -1);
    if (!(Number.isInteger(error) && error <= 0 && error > -512)) this.wrong.push(`${unique} got error ${error}`);
    if (error === 0 && row !== undefined && !fits(row, size, this.#room))
      this.wrong.push(`${unique}: ${size} bytes for ${row.code}`);
  }
  /** Requests that still wait for an answer. */
  get open(): bigint[] {
    return [...this.#due.keys()];
  }
}

/** Whether a body may have that size. */
function fits({ out, tail }: Operation, size: number, room: number): boolean {
  if (out === undefined) return size === 0;
  if (typeof out === 'object') return tail ? size >= out.size : size === out.size;
  return out === 'bytes' && size <= room;
}

const ROOM = 1 << 16;

/** A transport of two buffers a slot, with poison behind each message. */
class Wire implements Transport {
  readonly books = new Books(ROOM);
  readonly #free: Slot[] = [];
  readonly #used = new Set<Slot>();
  #answered = new Set<Slot>();
  closed = false;

  deliver(session: Session, message: Buffer): void {
    const slot = this.#free.pop() ?? this.#slot();
    slot.bytes.set(message, 0);
    slot.bytes.fill(PATTERN, message.length, Math.min(slot.bytes.length, message.length + 16384));
    slot.end = message.length;
    this.#used.add(slot);
    session.serve(slot);
  }
  #slot(): Slot {
    const [bytes, out] = [poison(2 * ROOM), Buffer.alloc(16 + ROOM)];
    return new Slot({ view: viewOf(bytes), bytes, out: viewOf(out), body: out.subarray(16) }, 40, 40, 1, 16);
  }
  answer(slot: Slot, answer: number): void {
    const { unique, opcode } = slot.request;
    if (this.closed) this.books.wrong.push(`${unique} was answered after the end`);
    if (!this.#used.has(slot)) this.books.wrong.push(`${unique} was answered from a slot that is free`);
    if (this.#answered.has(slot)) this.books.wrong.push(`${unique} was answered twice`);
    this.#answered.add(slot);
    this.books.came(unique, Math.min(0, answer), Math.max(0, answer), rows[KNOWN.get(opcode)!]);
  }
  release(slot: Slot): void {
    if (!this.#used.delete(slot)) this.books.wrong.push(`${slot.request.unique} was released twice`);
    this.#answered.delete(slot);
    slot.request.reset();
    this.#free.push(slot);
  }
  /** Slots that somebody still holds. */
  get held(): number {
    return this.#used.size;
  }
  park(): undefined {}
  resume(): void {}
  resize(): void {}
  duplicate(): number {
    throw ENOENT;
  }
  close(): void {
    this.closed = true;
  }
}

/** A session's options, and what it reports that a handler did not do on purpose. */
function watched(unexpected: unknown[]): SessionOptions {
  return {
    onError: (error) => {
      if (!(error instanceof Deliberate)) unexpected.push(error);
    },
    onWarning: () => {},
  };
}

/** How many go in as bytes, over a socket, in a ring, and as the first of a session. */
const SHARE = {
  bytes: Math.floor(MESSAGES * 0.39) * 2,
  socket: Math.floor(MESSAGES * 0.1),
  ring: Math.floor(MESSAGES * 0.1),
  first: 0,
};
SHARE.first = MESSAGES - SHARE.bytes - SHARE.socket - SHARE.ring;
let reached = 0;
let sent = 0;

test.each([
  ['of today', {}],
  ['of Linux 5.4', { minor: 31, flags: 0x00ff_ffff, flags2: 0 }],
])(`${SHARE.bytes / 2} messages from a kernel %s, as bytes`, async (_, init) => {
  const random = new Random(SEED + sent);
  const victim = new Victim(random);
  const unexpected: unknown[] = [];
  const session = new Session(victim.filesystem, watched(unexpected));
  const wire = new Wire();
  const { books } = wire;
  session.attach(wire);
  books.due(2n);
  wire.deliver(session, initRequest(init));
  await session.ready;
  let next = 4n;
  for (let i = 0; i < SHARE.bytes / 2; i++) {
    const unique = next;
    next += 2n;
    const message = hostile(random, unique);
    const { id, silent } = addressed(random, message, session, books);
    if (!silent) books.due(id);
    wire.deliver(session, message);
    sent++;
    if (random.once(5)) victim.settle(50 + random.below(100));
    if (random.once(20)) await turns(1);
    if (books.wrong.length + unexpected.length > 0 || victim.poisoned)
      expect.fail(`message ${i}: ${books.wrong[0]} ${unexpected[0]} ${victim.poisoned}: ${message.toString('hex')}`);
  }
  reached += victim.reached.size;
  await turns();
  expect(session.inflight.length).toBeGreaterThan(0);
  expect(books.open.length).toBe(session.inflight.length);
  session.end({ reason: 'aborted' });
  await session.closed;
  victim.settle(0);
  await turns();
  expect(books.wrong).toEqual([]);
  expect(unexpected).toEqual([]);
  expect(session.inflight).toEqual([]);
  expect(wire.held, 'slots').toBe(0);
});

test(`${SHARE.first} messages of which every other one is the first of its session`, async () => {
  const random = new Random(SEED ^ 0xaaaa);
  const victim = new Victim(random);
  const unexpected: unknown[] = [];
  const ends = new Map<string, number>();
  for (let i = 0; i < SHARE.first; i += 2) {
    const session = new Session(victim.filesystem, watched(unexpected));
    const wire = new Wire();
    session.attach(wire);
    const first = hostile(random, 2n, random.once(4) ? undefined : 'INIT');
    // Mostly the version of a kernel that we know, so that the session goes on.
    if (first.length >= 48 && random.once(2)) first.set(initRequest().subarray(40, 48), 40);
    for (const message of [first, valid(random, 'STATFS', 4n)]) {
      if (!answersNothing(message.readUInt32LE(4))) wire.books.due(message.readBigUInt64LE(8));
      wire.deliver(session, message);
      sent++;
    }
    victim.settle(0);
    await turns(2);
    expect(wire.books.wrong, first.toString('hex')).toEqual([]);
    expect(wire.books.open, first.toString('hex')).toEqual([]);
    expect(unexpected, first.toString('hex')).toEqual([]);
    const end = session.agreement ? 'agreed' : wire.closed ? 'refused' : 'waits for INIT';
    ends.set(end, (ends.get(end) ?? 0) + 1);
  }
  reached += victim.reached.size;
  expect(ends.get('agreed')).toBeGreaterThan(0);
  expect(ends.size, 'ways in which it went').toBeGreaterThan(1);
});

/** Gives some messages another id: that of one in flight, or one sent again. Who is to be answered then, and whether anybody. */
function addressed(random: Random, message: Buffer, session: Session, books: Books): { id: bigint; silent: boolean } {
  const opcode = message.readUInt32LE(4);
  const silent = answersNothing(opcode);
  if (random.once(30)) message.writeBigUInt64LE(random.of([1n, 1n << 62n, (1n << 63n) - 1n]), 8);
  if (random.once(30)) {
    const first = session.inflight.at(-1 - random.below(4));
    if (first !== undefined) {
      message.writeBigUInt64LE(random.once(2) ? first.unique : first.unique | FUSE_UNIQUE_RESEND, 8);
      if (KNOWN.get(opcode) === 'INTERRUPT' && message.length >= 48) message.writeBigUInt64LE(first.unique, 40);
    }
  }
  const id = message.readBigUInt64LE(8);
  if ((id & FUSE_UNIQUE_RESEND) !== 0n) {
    const running = (unique: bigint) => session.inflight.find((each) => each.unique === unique);
    const first = running(id) ?? running(id & ~FUSE_UNIQUE_RESEND);
    // Joined: the new id is answered in its place.
    if (first !== undefined && rows[first.operation].code === opcode) books.due(first.unique, -1);
  }
  return { id, silent };
}

test(`${SHARE.socket} messages over a socketpair`, async () => {
  const random = new Random(SEED ^ 0x5555);
  const victim = new Victim(random);
  const unexpected: unknown[] = [];
  await using kernel = await TestKernel.start(victim.filesystem, { ...watched(unexpected), maxWrite: ROOM });
  const books = new Books(ROOM);
  const operations = new Map<bigint, Operation | undefined>();
  /** Those that say another length than they have. */
  const liars = new Set<bigint>();
  let read = kernel.replies.length;
  const balance = () => {
    for (; read < kernel.replies.length; read++) {
      const { unique, error, body } = kernel.replies[read]!;
      books.came(unique, error, body.length, operations.get(unique));
      if (liars.has(unique) && error !== -EIO.errno) books.wrong.push(`${unique} lies, and got ${error}`);
      operations.delete(unique);
    }
  };
  for (let i = 0; i < SHARE.socket; i++) {
    // What lies behind later messages in the same buffer.
    if (i % 10 === 0) {
      const layer = Buffer.concat([encodeRequest('STATFS', {}, { unique: kernel.unique() }), poison(9000)]);
      layer.writeUInt32LE(60, 4); // no operation has this number
      books.due(layer.readBigUInt64LE(8));
      kernel.post(sized(layer));
    }
    let message = hostile(random, kernel.unique());
    const unique = message.readBigUInt64LE(8);
    const opcode = message.readUInt32LE(4);
    const silent = answersNothing(opcode);
    const lies = random.once(30);
    if (lies) liars.add(unique);
    if (lies) message.writeUInt32LE(message.length + random.of([-1, 1, 8, 1 << 20, -message.length]), 0);
    else if (random.once(30)) message = message.subarray(0, 1 + random.below(39));
    if (!silent && message.length >= 40) {
      books.due(unique);
      operations.set(unique, rows[KNOWN.get(opcode)!]);
    }
    kernel.post(message);
    sent++;
    if (i % 50 === 0) {
      victim.settle(random.below(100));
      await turns(4);
      balance();
    }
  }
  await until(() => {
    victim.settle(0);
    balance();
    return books.open.length === 0;
  }, 'the last answers');
  await turns(20);
  balance();
  reached += victim.reached.size;
  expect(books.wrong).toEqual([]);
  expect(kernel.malformed).toEqual([]);
  expect(unexpected).toEqual([]);
  expect(victim.poisoned).toBeUndefined();
  expect(kernel.session.inflight).toEqual([]);
  expect((await kernel.ask('DESTROY')).error).toBe(0);
});

test(`${SHARE.ring} messages in the buffers of a ring`, async () => {
  const random = new Random(SEED ^ 0x3333);
  const victim = new Victim(random);
  const unexpected: unknown[] = [];
  await using kernel = await new PlayedKernel(
    victim.filesystem,
    { ...watched(unexpected), maxWrite: ROOM },
    { ringDepth: 32 },
  ).begin();
  const room = kernel.buffers(0).payload.byteLength;
  const books = new Books(room);
  /** What is in each entry that a message lies in. */
  const inside = new Map<number, { unique: bigint; row: Operation | undefined; due: boolean; lies: boolean }>();
  const free = new Set<number>();
  const balance = () => {
    for (const { entry, cmdOp, commitId } of kernel.commands.splice(0)) {
      if (cmdOp === FUSE_IO_URING_CMD_COMMIT_AND_FETCH) {
        const { unique, row, due, lies } = inside.get(entry)!;
        const { error, unique: answered, body } = kernel.reply(entry);
        if (commitId !== unique || answered !== unique) books.wrong.push(`${unique} was committed as ${commitId}`);
        if (due) books.came(unique, error, body.length, row);
        else if ((error !== 0 && !lies) || body.length > 0)
          books.wrong.push(`${unique} has no reply, and got ${error}`);
        if (lies && error !== -EIO.errno) books.wrong.push(`${unique} lies, and got ${error}`);
        inside.delete(entry);
      }
      free.add(entry);
    }
  };
  balance();
  for (let i = 0, next = 4n; i < SHARE.ring; i++, next += 2n) {
    // Some wait, but never all: a kernel has nowhere to put the next one then.
    while (free.size === 0) {
      victim.settle(random.below(20));
      await turns(2);
      kernel.ring.poll();
      balance();
    }
    const entry = random.of([...free]);
    const message = hostile(random, next);
    const opcode = message.readUInt32LE(4);
    const row = rows[KNOWN.get(opcode)!];
    const due = !answersNothing(opcode);
    // Of what is there a part, or more than there is room for.
    const lies = random.once(30);
    const size = lies ? random.of([room + 1, 2 ** 31, 2 ** 32 - 1]) : undefined;
    free.delete(entry);
    inside.set(entry, { unique: next, row, due, lies });
    if (due) books.due(next);
    kernel.poison(entry, PATTERN);
    kernel.deliver(entry, message, size);
    sent++;
    balance();
    if (random.once(5)) victim.settle(random.below(20));
    if (random.once(20)) await turns(1);
    if (books.wrong.length + unexpected.length > 0 || victim.poisoned)
      expect.fail(`message ${i}: ${books.wrong[0]} ${unexpected[0]} ${victim.poisoned}: ${message.toString('hex')}`);
  }
  await until(() => {
    victim.settle(0);
    kernel.ring.poll();
    balance();
    return inside.size === 0;
  }, 'the last commits');
  reached += victim.reached.size;
  expect(books.wrong).toEqual([]);
  expect(books.open).toEqual([]);
  expect(unexpected).toEqual([]);
  expect(victim.poisoned).toBeUndefined();
  expect(kernel.session.inflight).toEqual([]);
});

test('of all these at least half have reached a handler', () => {
  console.log(`hostile: ${reached} of ${sent} messages have reached a handler`);
  expect(sent).toBeGreaterThanOrEqual(MESSAGES);
  expect(reached).toBeGreaterThan(sent / 2);
});
