/**
 * What serve() of src/protocol/dispatch.ts does, as a plain loop over the operations table: nothing is
 * generated here, and it is written to be read: this is the text for what an operation's line means. A test
 * (compiled.test.ts) holds the compiled form to it.
 */
import { EIO, ENOSYS, ERANGE, errnoNamed } from '../../src/abi/errno.ts';
import { fuse_entry_out, fuse_getxattr_out } from '../../src/abi/fuse.ts';
import type { AnyStruct } from '../../src/abi/struct.ts';
import { DirectoryReply } from '../../src/protocol/dirent.ts';
import type { Answer, Server } from '../../src/protocol/dispatch.ts';
import { decodeExtensions } from '../../src/protocol/extensions.ts';
import { decodeName, encodeName } from '../../src/protocol/names.ts';
import {
  DEFAULTS,
  type Operation,
  operations,
  type ReplyDefaults,
  WITHOUT_DEFAULTS,
} from '../../src/protocol/operations.ts';
import type { Slot } from '../../src/protocol/slot.ts';

type Values = Record<string, unknown>;
type Handler = (request: unknown, args: Values, reply?: unknown) => unknown;

/** Rows by opcode; SETXATTR's other form stands beside its own. */
const byCode = new Map<number, [string, Operation]>();
for (const [name, row] of Object.entries(operations) as [string, Operation][])
  if (!row.compat) byCode.set(row.code, [name, row]);
const compat: [string, Operation] = ['SETXATTR_COMPAT', operations.SETXATTR_COMPAT];

/** Serves the request in a slot. `setxattrExt`: whether SETXATTR_EXT was agreed. */
export function serveByTable(server: Server, slot: Slot, setxattrExt = true): Answer | Promise<Answer> {
  const { opcode } = slot.request;
  const [name, row] = (opcode === compat[1].code && !setxattrExt ? compat : byCode.get(opcode)) ?? [];
  if (name === undefined || row === undefined) {
    server.unknown(opcode);
    return -ENOSYS.errno;
  }
  const fail = (thrown: unknown): Answer => {
    const errno = server.failed(thrown, slot);
    if (row.out === 'no reply') return undefined;
    const added = slot.entries?.take() ?? 0;
    return added > 0 ? added : -errno;
  };
  try {
    const early = pastAnswer(slot, row);
    if (early !== undefined) return early;
    const args = decodeArguments(slot, row);
    const result = call(server, slot, name, row, args);
    if (result === NO_METHOD) return -ENOSYS.errno;
    if (result instanceof Promise) return result.then((value) => encodeResult(server, slot, row, value)).catch(fail);
    return encodeResult(server, slot, row, result);
  } catch (thrown) {
    return fail(thrown);
  }
}

const at = (row: Operation, slot: Slot, member: string): number => slot.opAt + row.in!.offset[member]!;

/** Whether a member means something in this message. */
function means(row: Operation, slot: Slot, member: string): boolean {
  const [flags, bit] = row.only?.[member] ?? [];
  return flags === undefined || (slot.view.getUint32(at(row, slot, flags), true) & bit!) !== 0;
}

/** Where what follows the struct begins and ends. Throws EIO where the message is too short for what it says. */
function bounds(slot: Slot, row: Operation): { begin: number; end: number } {
  const size = row.in?.size ?? 0;
  const begin = slot.tailAt + size * slot.structInBytes;
  if (slot.end < begin) {
    if (row.shortest === undefined || slot.end < begin - (size - row.shortest)) throw EIO;
    slot.bytes.fill(0, slot.end, begin);
    return { begin, end: begin };
  }
  const end = slot.end - (row.extensions ? slot.request.total_extlen * 8 : 0);
  if (end < begin) throw EIO;
  return { begin, end };
}

/** The answer of Linux to an offset or a size that no number holds. */
function pastAnswer(slot: Slot, row: Operation): Answer {
  bounds(slot, row); // a message that is too short is malformed before all else
  if (row.extensions) extensionsOf(slot, row);
  for (const [member, answer] of Object.entries(row.past ?? {})) {
    const value = slot.view.getBigUint64(at(row, slot, member), true);
    if (value <= Number.MAX_SAFE_INTEGER || !means(row, slot, member)) continue;
    if (answer !== 0) throw errnoNamed(answer);
    const size = typeof row.out === 'object' ? row.out.size : 0;
    slot.body.fill(0, 0, size);
    return size;
  }
  return undefined;
}

function extensionsOf(slot: Slot, row: Operation): void {
  const { end } = bounds(slot, row);
  if (slot.request.total_extlen > 0) slot.request.extensions = decodeExtensions(slot.bytes, end, slot.end);
}

/** The struct's members, then names, data or list: the wire grammar of operations.ts. */
function decodeArguments(slot: Slot, row: Operation): Values {
  let { begin, end } = bounds(slot, row);
  const { view, bytes } = slot;
  const without = Object.keys(row.only ?? {}).filter((member) => !means(row, slot, member));
  for (const member of without) {
    // Whatever the kernel left there, it is not to be read.
    const width = row.in!.fields[member]!.size;
    for (let i = 0; i < width; i++) view.setUint8(at(row, slot, member) + i, 0);
  }
  const names: Values = {};
  for (const name of row.names ?? []) {
    const nul = bytes.indexOf(0, begin);
    if (nul < 0 || nul >= end) throw EIO;
    names[name] = decodeName(bytes, begin, nul);
    begin = nul + 1;
  }
  const rest: Values = {};
  if (row.data) {
    if (end - begin !== view.getUint32(at(row, slot, row.length!), true)) throw EIO;
    rest[row.data] = bytes.subarray(begin, end);
  }
  if (row.list) {
    const { name, of, count } = row.list;
    const items: unknown[] = [];
    const stated = view.getUint32(at(row, slot, count), true);
    if (stated * of.size > end - begin) throw EIO;
    const list = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let i = 0; i < stated; i++) items.push(of.decode(list, begin + i * of.size));
    rest[name] = items;
  }
  const args: Values = { ...(row.in?.decode(view, slot.opAt) as Values | undefined), ...names, ...rest, ...row.also };
  for (const member of without) args[member] = undefined;
  for (const [member, most] of Object.entries(row.most ?? {})) args[member] = Math.min(args[member] as number, most);
  if (row.reply) args.size = Math.min(args.size as number, slot.body.length);
  return args;
}

const NO_METHOD = Symbol('ENOSYS');

/** The method, the one that stands in for it, or what an absent one answers. */
function call(server: Server, slot: Slot, name: string, row: Operation, args: Values): unknown {
  const target = (row.session ? server.own : server.filesystem) as Readonly<Record<string, Handler | undefined>>;
  const method = [row.method ?? name.toLowerCase(), row.or].find((m) => m !== undefined && target[m] !== undefined);
  if (method === undefined) {
    if (row.absent === undefined || (row.unless && server.promises(row.unless))) return NO_METHOD;
    return row.absent;
  }
  if (row.reply === undefined) return target[method]!(slot.request, args);
  if (row.reply === 'bytes') return target[method]!(slot.request, args, slot.body);
  slot.entries ??= new DirectoryReply(slot, (out, to, entry) =>
    fuse_entry_out.encode(out, to, filled(fuse_entry_out, entry, server.defaults) as never),
  );
  return target[method]!(slot.request, args, slot.entries.begin(args.size as number, row.reply === 'entries plus'));
}

function encodeResult(server: Server, slot: Slot, row: Operation, result: unknown): Answer {
  const { out } = row;
  if (out === 'no reply') return undefined;
  if (out === undefined) return 0;
  if (row.reply === 'bytes') {
    const size = slot.view.getUint32(at(row, slot, 'size'), true);
    const length = typeof result === 'number' ? result : (result as Uint8Array).length;
    if (row.sized && size === 0) {
      if (!Number.isInteger(length) || length < 0) throw new RangeError(`${length} is no size`);
      fuse_getxattr_out.encode(slot.out, slot.outAt, { size: length });
      return fuse_getxattr_out.size;
    }
    if (row.sized && length > size) return -ERANGE.errno;
    if (!(Number.isInteger(length) && length >= 0 && length <= Math.min(size, slot.body.length)))
      throw new RangeError(`${length} bytes`);
    if (typeof result !== 'number') slot.body.set(result as Uint8Array, 0);
    return length;
  }
  if (row.reply) return slot.entries!.take();
  if (out === 'bytes') return put(typeof result === 'string' ? encodeName(result) : (result as Uint8Array), slot, 0);
  for (const [member, asked] of Object.entries(row.limit ?? {})) {
    const most = (row.in!.decode(slot.view, slot.opAt) as Values)[asked] as number;
    const given = (result as Values)[member] as number;
    if (!(given >= 0 && given <= most)) throw new RangeError(`more than the ${most} asked for`);
  }
  const tail = row.tail ? (result as Values)[row.tail] : undefined;
  const length = tail === undefined ? 0 : put(tail as Uint8Array, slot, out.size);
  const values = WITHOUT_DEFAULTS.includes(out) ? result : filled(out, result, server.defaults);
  out.encode(slot.out, slot.outAt, values as never);
  return out.size + length;
}

function put(bytes: Uint8Array, { body }: Slot, to: number): number {
  if (bytes.length > body.length - to) throw new RangeError(`${bytes.length} bytes`);
  body.set(bytes, to);
  return bytes.length;
}

/** A result with its defaults in place of what it leaves out. */
function filled(out: AnyStruct, result: unknown, session: ReplyDefaults): Values {
  const values: Values = {};
  for (const [name, field] of Object.entries(out.fields)) {
    if (!field.read) continue; // padding
    const given = (result as Values)[name];
    if ('fields' in field)
      values[name] = filled(field as AnyStruct, given ?? (Object.hasOwn(DEFAULTS, name) ? {} : given), session);
    else values[name] = given ?? standsIn(name, session);
  }
  return values;
}

/** A default of the table: it is written as source there, because dispatch generates code with it. */
function standsIn(member: string, session: ReplyDefaults): unknown {
  const source = (DEFAULTS as Readonly<Record<string, string>>)[member];
  if (source === undefined) return undefined;
  if (source.startsWith('d.')) return session[source.slice(2) as keyof ReplyDefaults];
  return source.endsWith('n') ? BigInt(source.slice(0, -1)) : Number(source);
}
