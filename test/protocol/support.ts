/**
 * The kernel's side of the protocol, for tests on bytes: requests encoded from the same tables that decode
 * them, put into a slot in the shape of either transport, and served without a mount.
 *
 * `encodeRequest` makes a message, `load` puts it into a slot, `FakeServer` stands for a session where only
 * dispatch is tested, and `connect` makes a real Session over a transport that records what it is told.
 */
import { Errno } from '../../src/abi/errno.ts';
import {
  fuse_ext_header,
  fuse_in_header,
  fuse_secctx,
  fuse_secctx_header,
  fuse_supp_groups,
} from '../../src/abi/fuse.ts';
import { FUSE_EXT_GROUPS, type InitFlag } from '../../src/abi/fuse-constants.ts';
import type { AnyStruct } from '../../src/abi/struct.ts';
import { type Answer, type Server, type Steps, stepsFor } from '../../src/protocol/dispatch.ts';
import type { Filesystem } from '../../src/protocol/filesystem.ts';
import { encodeName } from '../../src/protocol/names.ts';
import { type Operation, type OperationName, operations, type ReplyDefaults } from '../../src/protocol/operations.ts';
import { Session, type SessionOptions } from '../../src/protocol/session.ts';
import { Slot } from '../../src/protocol/slot.ts';
import type { Transport } from '../../src/protocol/transport.ts';

/** The rows of the table without their literal types: what generic code walks. */
export const rows: Readonly<Record<OperationName, Operation>> = operations;
export const operationNames = Object.keys(operations) as OperationName[];

/** The seed of this run's random tests: `SEED=...` repeats one. */
export const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);

// Messages.

/** What a request's header says beside its length and opcode. */
export interface Head {
  readonly unique?: bigint;
  readonly nodeid?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly pid?: number;
  /** Bytes of extensions that follow everything else, a multiple of 8 long. */
  readonly extensions?: Uint8Array;
}

/** A struct's bytes. Members that are not given are 0. */
export function encodeStruct(of: AnyStruct, values: Readonly<Record<string, unknown>>): Buffer {
  const bytes = Buffer.alloc(of.size);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  of.encode(view, 0, { ...(of.decode(view, 0) as object), ...values } as never);
  return bytes;
}

/**
 * A request as the kernel writes it: header, struct, names, data, list, extensions. `args` are what its
 * handler shall get; lengths and counts follow from them unless they are given, and what is not given is 0.
 */
export function encodeRequest(
  operation: OperationName,
  args: Readonly<Record<string, unknown>> = {},
  { unique = 2n, nodeid = 1, uid = 0, gid = 0, pid = 0, extensions = new Uint8Array(0) }: Head = {},
): Buffer {
  const row = rows[operation];
  const names = (row.names ?? []).flatMap((name) => [encodeName((args[name] as string) ?? ''), Buffer.of(0)]);
  const data = row.data ? ((args[row.data] as Uint8Array) ?? new Uint8Array(0)) : new Uint8Array(0);
  const items = row.list ? ((args[row.list.name] as Record<string, unknown>[]) ?? []) : [];
  const counted = {
    ...(row.length ? { [row.length]: data.length } : {}),
    ...(row.list ? { [row.list.count]: items.length } : {}),
    ...args,
  };
  const parts = [
    ...(row.in ? [encodeStruct(row.in, counted)] : []),
    ...names,
    data,
    ...items.map((item) => encodeStruct(row.list!.of, item)),
    extensions,
  ];
  const len = fuse_in_header.size + parts.reduce((sum, part) => sum + part.length, 0);
  const total_extlen = extensions.length / 8;
  const head = { len, opcode: row.code, unique, nodeid, uid, gid, pid, total_extlen };
  return Buffer.concat([encodeStruct(fuse_in_header, head), ...parts]);
}

const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 7)]);

/** Security contexts as the kernel appends them; none at all is sent too, as a header alone. */
export function encodeContexts(contexts: readonly { name: string; value: Uint8Array }[]): Buffer {
  const parts = contexts.map(({ name, value }) =>
    padded(
      Buffer.concat([
        encodeStruct(fuse_secctx, { size: value.length }),
        encodeName(name),
        Buffer.of(0),
        Buffer.from(value),
      ]),
    ),
  );
  const size = fuse_secctx_header.size + parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([encodeStruct(fuse_secctx_header, { size, nr_secctx: contexts.length }), ...parts]);
}

/** The supplementary groups as the kernel appends them. */
export function encodeGroups(groups: readonly number[]): Buffer {
  const list = Buffer.alloc(groups.length * 4);
  for (const [i, group] of groups.entries()) list.writeUInt32LE(group, i * 4);
  const content = Buffer.concat([encodeStruct(fuse_supp_groups, { nr_groups: groups.length }), list]);
  const size = (fuse_ext_header.size + content.length + 7) & ~7;
  return padded(Buffer.concat([encodeStruct(fuse_ext_header, { size, type: FUSE_EXT_GROUPS }), content]));
}

// Slots.

/** The two ways a message lies in memory. */
export const SHAPES = ['device', 'ring'] as const;
export type Shape = (typeof SHAPES)[number];

const HEADER = fuse_in_header.size;
/** What memory holds where nothing was written: a member that nobody set shows. */
const JUNK = 0xa5;

/** What an earlier message left behind this one: a NUL at once, which must not end a name of this one. */
const LEFT = Buffer.alloc(64, JUNK).fill(0, 0, 1);

/** Bytes as one view, as the structs want them. */
export const viewOf = ({ buffer, byteOffset, length }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, length);

/** The size of the fixed struct of a message: SETXATTR has two forms. */
const fixedSize = (opcode: number, setxattrExt: boolean): number => {
  if (opcode === operations.SETXATTR.code)
    return (setxattrExt ? operations.SETXATTR : operations.SETXATTR_COMPAT).in.size;
  return Object.values(rows).find(({ code }) => code === opcode)?.in?.size ?? 0;
};

/**
 * A slot with a message in it. On the device the message is one buffer, and the reply another, 16 bytes for
 * its header first. In a ring header and struct lie apart from the payload, and the payload's memory is
 * where the reply goes too, as the kernel has it. `room` is how large a reply's body may be.
 */
export function load(message: Uint8Array, shape: Shape, { room = 1 << 16, setxattrExt = true } = {}): Slot {
  if (shape === 'device') {
    const bytes = Buffer.concat([message, LEFT]);
    const whole = Buffer.alloc(16 + room, JUNK);
    const slot = new Slot(
      { view: viewOf(bytes), bytes, out: viewOf(whole), body: whole.subarray(16) },
      HEADER,
      HEADER,
      1,
      16,
    );
    slot.end = message.length;
    return slot;
  }
  const fixed = Math.min(fixedSize(viewOf(message).getUint32(4, true), setxattrExt), message.length - HEADER);
  const head = Buffer.alloc(256, JUNK);
  head.set(message.subarray(0, HEADER), 0);
  head.set(message.subarray(HEADER, HEADER + fixed), 128);
  const rest = message.subarray(HEADER + fixed);
  const payload = Buffer.alloc(Math.max(room, rest.length + 64), JUNK);
  payload.set(rest, 0);
  payload.set(LEFT, rest.length);
  const body = payload.subarray(0, room);
  const slot = new Slot({ view: viewOf(head), bytes: payload, out: viewOf(body), body }, 128, 0, 0, 0);
  slot.end = rest.length;
  return slot;
}

/** The body of the reply that an answer left in the slot: a copy. */
export const bodyOf = (slot: Slot, answer: number): Buffer => Buffer.from(slot.body.subarray(0, Math.max(0, answer)));

// Servers.

/** What a reply gets where the result leaves it out: values that nothing else has. */
export const TIMES: ReplyDefaults = {
  entry_valid: 0xe1,
  entry_valid_nsec: 0xe2,
  attr_valid: 0xa1,
  attr_valid_nsec: 0xa2,
};

/** A session reduced to what dispatch asks of it. */
export class FakeServer implements Server {
  readonly filesystem: Filesystem;
  readonly own: object;
  readonly defaults = TIMES;
  readonly steps: Steps;
  /** What was thrown and is no errno. */
  readonly bugs: unknown[] = [];
  readonly unknowns: number[] = [];

  constructor(filesystem: object, own: object = filesystem, setxattrExt = true) {
    this.filesystem = filesystem;
    this.own = own;
    this.steps = stepsFor(setxattrExt);
  }
  promises(flag: InitFlag): boolean {
    return (this.filesystem.promises as readonly InitFlag[] | undefined)?.includes(flag) ?? false;
  }
  failed(thrown: unknown): number {
    if (thrown instanceof Errno) return thrown.errno;
    this.bugs.push(thrown);
    return 5;
  }
  unknown(opcode: number): void {
    this.unknowns.push(opcode);
  }
}

/** A reply as the transport was told it: `error` is 0 or a negated errno. */
export interface Sent {
  readonly unique: bigint;
  readonly error: number;
  readonly body: Buffer;
}

/** A transport without a kernel: delivers what a test hands it and records what the session does. */
export class FakeTransport implements Transport {
  readonly sent: Sent[] = [];
  readonly released: Slot[] = [];
  readonly parked: { readonly slot: Slot; readonly whole: boolean }[] = [];
  sizes: { request: number; reply: number } | undefined;
  resumed = 0;
  closed = false;

  answer(slot: Slot, answer: Answer & number): void {
    if (this.released.includes(slot)) throw new Error('answered after it was released');
    this.sent.push({ unique: slot.request.unique, error: Math.min(answer, 0), body: bodyOf(slot, answer) });
  }
  release(slot: Slot): void {
    if (this.released.includes(slot)) throw new Error('released twice');
    this.released.push(slot);
  }
  park(slot: Slot, whole: boolean): undefined {
    this.parked.push({ slot, whole });
  }
  resume(): void {
    this.resumed++;
  }
  resize(sizes: { request: number; reply: number }): void {
    this.sizes = sizes;
  }
  duplicate(): number {
    throw new Error('a fake transport has no descriptor');
  }
  close(): void {
    this.closed = true;
  }
}

/** A session over a fake transport. `deliver` serves a message in a slot of its own. */
export interface Connected {
  readonly session: Session;
  readonly transport: FakeTransport;
  /** What the session reported to onError and onWarning. */
  readonly errors: unknown[];
  readonly warnings: string[];
  deliver(message: Uint8Array, shape?: Shape): Slot;
}

/** The INIT of a kernel that speaks 7.45 and offers everything; `init` overrides. */
export const initRequest = (init: Readonly<Record<string, number>> = {}, unique = 2n): Buffer =>
  encodeRequest(
    'INIT',
    { major: 7, minor: 45, max_readahead: 0x20000, flags: 0x73ff_fffb, flags2: 0x7fd, ...init },
    { unique, nodeid: 0 },
  );

/** A session, with INIT done unless `init` is false. */
export function connect(
  filesystem: Filesystem,
  options: SessionOptions = {},
  init: Readonly<Record<string, number>> | false = {},
): Connected {
  const errors: unknown[] = [];
  const warnings: string[] = [];
  const session = new Session(filesystem, {
    onError: (error) => errors.push(error),
    onWarning: (message) => warnings.push(message),
    ...options,
  });
  const transport = new FakeTransport();
  session.attach(transport);
  const deliver = (message: Uint8Array, shape: Shape = 'device'): Slot => {
    const slot = load(message, shape, { setxattrExt: session.agreement?.agreed.has('SETXATTR_EXT') ?? true });
    session.serve(slot);
    return slot;
  };
  if (init) {
    deliver(initRequest(init));
    transport.sent.length = 0;
  }
  return { session, transport, errors, warnings, deliver };
}

/** The bytes of hex text: spaces and line ends mean nothing, and a `#` begins a comment. */
export const hex = (text: string): Buffer => Buffer.from(text.replace(/#.*/g, '').replace(/\s+/g, ''), 'hex');
