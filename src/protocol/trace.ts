/**
 * What goes over the connection, as events with decoded fields, and one line of text for each as strace
 * prints system calls. Everything is decoded by walking the operations table: no operation has a printer.
 * A session without an observer has no Tracer, and pays for one test a request.
 */
import { FUSE_REC_ALIGN } from '../abi/align.ts';
import { errno } from '../abi/errno.ts';
import { fuse_dirent, fuse_entry_out, fuse_getxattr_out, fuse_out_header } from '../abi/fuse.ts';
import {
  FUSE_NAME_OFFSET,
  FUSE_NAME_OFFSET_DIRENTPLUS,
  FUSE_UNIQUE_RESEND,
  type InitFlag,
} from '../abi/fuse-constants.ts';
import type { AnyStruct } from '../abi/struct.ts';
import { decodeExtensions } from './extensions.ts';
import type { Agreement } from './init.ts';
import { decodeName } from './names.ts';
import type { NotificationName } from './notify.ts';
import { type NotificationRow, notifications } from './notify.ts';
import { type Operation, type OperationName, operations } from './operations.ts';
import type { Slot } from './slot.ts';
import type { End, TransportKind } from './transport.ts';

interface About {
  /** The opcode's name, or its number where there is none. */
  readonly operation: string;
  readonly unique: bigint;
}
export type TraceEvent =
  | ({
      readonly kind: 'request';
      readonly nodeid: bigint;
      readonly uid: number;
      readonly gid: number;
      readonly pid: number;
      readonly args: object;
    } & About)
  | ({
      readonly kind: 'reply';
      /** The errno's name; absent on success. */
      readonly error?: string;
      readonly result?: object;
      /** Bytes in the body. */
      readonly bytes: number;
      /** From the request to its reply, in microseconds. */
      readonly microseconds: number;
    } & About)
  | {
      readonly kind: 'notification';
      readonly operation: NotificationName;
      readonly args: object;
      readonly bytes: number;
      readonly error?: string;
    }
  | {
      readonly kind: 'agreed';
      readonly offered: readonly InitFlag[];
      readonly wanted: readonly InitFlag[];
      readonly agreed: readonly InitFlag[];
      readonly minor: number;
      readonly transport: TransportKind;
      /** Why that one. */
      readonly transportReason: string;
    }
  /** What the user is told, in one line. */
  | { readonly kind: 'warning'; readonly message: string }
  /** What the filesystem says of what it does. */
  | { readonly kind: 'note'; readonly message: string }
  | { readonly kind: 'end'; readonly reason: string; readonly error?: string };
export type Observer = (event: TraceEvent) => void;

const names = new Map<number, OperationName>();
for (const [name, { code, ...row }] of Object.entries(operations) as [OperationName, Operation][])
  if (!row.compat) names.set(code, name);

/** Makes events of what a session does. */
export class Tracer {
  readonly #observer: Observer;
  readonly #began = new Map<bigint, number>();
  #setxattrExt = true;

  constructor(observer: Observer) {
    this.#observer = observer;
  }

  request(slot: Slot): void {
    const { view } = slot;
    const opcode = view.getUint32(4, true);
    const unique = view.getBigUint64(8, true);
    // One that comes again began when it came first.
    const first = unique & ~FUSE_UNIQUE_RESEND;
    const began = this.#began.get(first) ?? performance.now();
    this.#began.delete(first);
    this.#began.set(unique, began);
    const operation = names.get(opcode) ?? String(opcode);
    const head = {
      nodeid: view.getBigUint64(16, true),
      uid: view.getUint32(24, true),
      gid: view.getUint32(28, true),
      pid: view.getUint32(32, true),
    };
    this.#tell({ kind: 'request', operation, unique, ...head, args: decodeArgs(slot, this.#row(operation)) });
    if (this.#row(operation)?.out === 'no reply') this.#began.delete(unique);
  }

  reply(slot: Slot, answer: number): void {
    const { view } = slot;
    const unique = view.getBigUint64(8, true);
    const began = this.#began.get(unique) ?? performance.now();
    this.#began.delete(unique);
    const operation = names.get(view.getUint32(4, true)) ?? String(view.getUint32(4, true));
    const about = {
      kind: 'reply',
      operation,
      unique,
      microseconds: Math.round((performance.now() - began) * 1000),
    } as const;
    if (answer < 0) this.#tell({ ...about, bytes: 0, error: errno(-answer).code });
    else this.#tell({ ...about, bytes: answer, result: decodeResult(slot, this.#row(operation), answer) });
  }

  notification(operation: NotificationName, message: Buffer, failed: number): void {
    const args = decodeNotification(operation, message);
    const event = { kind: 'notification', operation, args, bytes: message.length } as const;
    this.#tell(failed === 0 ? event : { ...event, error: errno(failed).code });
  }

  agreed(
    { minor, offered, wanted, agreed }: Agreement,
    { transport, transportReason }: { transport: TransportKind; transportReason: string },
  ): void {
    this.extended({ agreed });
    const flags = { offered: [...offered], wanted: [...wanted], agreed: [...agreed] };
    this.#tell({ kind: 'agreed', minor, ...flags, transport, transportReason });
  }

  /** What of an agreement the trace needs, where another thread has told of it. */
  extended({ agreed }: Pick<Agreement, 'agreed'>): void {
    this.#setxattrExt = agreed.has('SETXATTR_EXT');
  }

  warning(message: string): void {
    this.#tell({ kind: 'warning', message });
  }

  note(message: string): void {
    this.#tell({ kind: 'note', message });
  }

  ended({ reason, error }: End): void {
    this.#tell(error === undefined ? { kind: 'end', reason } : { kind: 'end', reason, error: String(error) });
  }

  #row(name: string): Operation | undefined {
    if (name === 'SETXATTR' && !this.#setxattrExt) return operations.SETXATTR_COMPAT;
    return (operations as Readonly<Record<string, Operation>>)[name];
  }

  #tell(event: TraceEvent): void {
    try {
      this.#observer(event);
    } catch (error) {
      console.error('rawfuse: the trace observer threw', error); // the request goes on
    }
  }
}

/** The arguments of the request in a slot, as its handler gets them, but for data: that is told by its size. */
export function decodeArgs(slot: Slot, row: Operation | undefined): Record<string, unknown> {
  const { view, opAt, bytes } = slot;
  if (row === undefined) return { bytes: slot.end };
  try {
    const fixed = row.in?.size ?? 0;
    let at = slot.tailAt + fixed * slot.structInBytes;
    const end = slot.end - view.getUint16(36, true) * 8;
    if (end < at) {
      if (row.shortest === undefined) return { malformed: true };
      bytes.fill(0, slot.end, at); // what an older kernel's form lacks, as dispatch has it
    }
    const args = row.in ? members(row.in, view, opAt) : {};
    for (const [member, [flags, bit]] of Object.entries(row.only ?? {}))
      if (((args[flags] as number) & bit) === 0) delete args[member];
    for (const name of row.names ?? []) {
      const nul = bytes.indexOf(0, at);
      if (nul < 0 || nul >= end) return { ...args, malformed: true };
      args[name] = decodeName(bytes, at, nul);
      at = nul + 1;
    }
    if (row.data) args[row.data] = `${end - at} bytes`;
    if (row.list) {
      const { of, name, count } = row.list;
      const items = new DataView(bytes.buffer, bytes.byteOffset, end);
      args[name] = Array.from({ length: Math.min(args[count] as number, Math.floor((end - at) / of.size)) }, (_, i) =>
        members(of, items, at + i * of.size),
      );
    }
    if (row.extensions && end < slot.end) args.extensions = decodeExtensions(bytes, end, slot.end);
    return args;
  } catch (error) {
    return { malformed: String(error) };
  }
}

/** A struct's members; where one is more than a number holds, as what came: integers without a sign. */
function members(of: AnyStruct, view: DataView, at: number): Record<string, unknown> {
  try {
    return { ...(of.decode(view, at) as Record<string, unknown>) };
  } catch {
    const raw: Record<string, unknown> = {};
    for (const [name, { size, read }] of Object.entries(of.fields)) {
      if (!read) continue;
      const offset = at + of.offset[name]!;
      raw[name] = size === 8 ? view.getBigUint64(offset, true) : view.getUint32(offset, true);
    }
    return raw;
  }
}

/** The body of a reply, decoded: a struct, directory entries, a symlink's target; nothing of other raw bytes. */
function decodeResult(slot: Slot, row: Operation | undefined, size: number): object {
  const { out, outAt } = slot;
  if (row === undefined || size === 0) return {};
  if (row.reply === 'entries') return { entries: direntsIn(out, outAt, outAt + size, FUSE_NAME_OFFSET) };
  if (row.reply === 'entries plus')
    return { entries: direntsIn(out, outAt, outAt + size, FUSE_NAME_OFFSET_DIRENTPLUS) };
  if (typeof row.out === 'object') return row.out.decode(out, outAt) as object;
  if (row.sized && slot.view.getUint32(slot.opAt, true) === 0) return fuse_getxattr_out.decode(out, outAt);
  if (row.reply === undefined) return { target: decodeName(slot.body, 0, size) };
  return {};
}

function direntsIn(out: DataView, at: number, end: number, head: number): object[] {
  const bytes = Buffer.from(out.buffer, out.byteOffset, out.byteLength);
  const entries: object[] = [];
  while (at < end) {
    const dirent = at + head - FUSE_NAME_OFFSET;
    const { namelen, ...rest } = fuse_dirent.decode(out, dirent);
    const entry = head === FUSE_NAME_OFFSET ? {} : { nodeid: fuse_entry_out.decode(out, at).nodeid };
    entries.push({ ...entry, ...rest, name: decodeName(bytes, at + head, at + head + namelen) });
    at += FUSE_REC_ALIGN(head + namelen);
  }
  return entries;
}

function decodeNotification(name: NotificationName, message: Buffer): object {
  const { out, tail }: NotificationRow = notifications[name];
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  const args = { ...(out?.decode(view, fuse_out_header.size) as object | undefined) };
  const at = fuse_out_header.size + (out?.size ?? 0);
  if (tail === 'name') return { ...args, name: decodeName(message, at, message.length - 1) };
  if (tail === 'nodeids')
    return {
      ...args,
      nodeids: Array.from({ length: (message.length - at) / 8 }, (_, i) => message.readBigUInt64LE(at + i * 8)),
    };
  return args;
}

/** One line a request with its reply, in the manner of strace: `print` gets the lines. */
export function printer(print: (line: string) => void): Observer {
  /** The request whose line has no end yet: the reply may follow on it. */
  let open: { unique: bigint; line: string } | undefined;
  let agreement = '';
  const suspend = () => {
    if (open !== undefined) print(`${open.line} <unfinished ...>`);
    open = undefined;
  };
  return (event) => {
    if (event.kind === 'agreed') {
      agreement = agreed(event); // told after the reply that it is in
      return;
    }
    if (event.kind !== 'reply' || open?.unique !== event.unique) suspend();
    if (event.kind === 'reply') {
      const { operation, unique } = event;
      print(`${open?.line ?? `<... ${operation} unique=${unique} resumed>`} -> ${outcome(event)}`);
      open = undefined;
      if (agreement) print(agreement);
      agreement = '';
    } else if (event.kind === 'request') {
      const { operation, unique, nodeid, args } = event;
      const line = words(
        operation,
        `unique=${unique}`,
        `${PARENT.has(operation) ? 'parent' : 'nodeid'}=${nodeid}`,
        brief(args),
      );
      if (rowOf(operation)?.out === 'no reply') print(line);
      else open = { unique, line };
    } else if (event.kind === 'notification')
      print(
        words(
          `NOTIFY_${event.operation}`,
          brief(event.args),
          `${event.bytes} bytes`,
          event.error && `-> ${event.error}`,
        ),
      );
    else if (event.kind === 'warning') print(`warning: ${event.message}`);
    else if (event.kind === 'note') print(`  ${event.message}`);
    else print(words(`end: ${event.reason}`, event.error && `(${event.error})`));
  };
}

const words = (...parts: (string | undefined)[]): string => parts.filter((part) => part).join(' ');
const rowOf = (name: string): Operation | undefined => (operations as Readonly<Record<string, Operation>>)[name];

const outcome = ({ error, result, bytes, microseconds }: Extract<TraceEvent, { kind: 'reply' }>): string =>
  words(error ?? brief(result), error === undefined ? `${bytes} bytes` : undefined, `${microseconds} µs`);

function agreed(event: Extract<TraceEvent, { kind: 'agreed' }>): string {
  const { minor, offered, wanted, agreed, transport, transportReason } = event;
  const missing = wanted.filter((flag) => !agreed.includes(flag));
  const left = offered.filter((flag) => !wanted.includes(flag));
  const list = (flags: readonly InitFlag[]) => flags.join(' ') || 'none';
  return `agreed with FUSE 7.${minor}: ${list(agreed)}; not offered: ${list(missing)}; not wanted: ${list(left)}; transport: ${words(transport, transportReason && `(${transportReason})`)}`;
}

/** Operations whose nodeid is the directory that a name of theirs is in. An xattr's name is in none. */
const PARENT = new Set(
  Object.keys(operations).filter((name) => rowOf(name)!.names !== undefined && !name.includes('XATTR')),
);
const NAMES = new Set(Object.keys(operations).flatMap((name) => rowOf(name)!.names ?? []));
const DATA = new Set(Object.keys(operations).flatMap((name) => rowOf(name)!.data ?? []));

/** Members in few words: names in quotes, zeros and most of the attributes left out. */
function brief(value: unknown): string {
  if (typeof value !== 'object' || value === null) return '';
  const absent = (value as { nodeid?: unknown }).nodeid === 0; // a negative entry: its attributes mean nothing
  return words(...Object.entries(value).map(([name, member]) => (absent && name === 'attr' ? '' : part(name, member))));
}

function part(name: string, member: unknown): string {
  if (NAMES.has(name)) return JSON.stringify(member);
  if (DATA.has(name)) return `${name}=[${member}]`;
  if (name === 'attr' || name === 'stat') {
    const { ino, mode, size } = member as Record<string, unknown>;
    return words(`ino=${ino}`, part('mode', mode), `size=${size}`);
  }
  if (Array.isArray(member)) return `${name}=[${member.length}]`;
  if (typeof member === 'object' && member !== null) return `${name}={${brief(member)}}`;
  const zero = member === 0 || member === 0n || member === undefined;
  if (zero && name !== 'nodeid' && name !== 'fh') return '';
  // INTERRUPT's: not the request's own.
  return `${name === 'unique' ? 'of' : name}=${digits(name, member)}`;
}

/** Permission bits in octal, other sets of bits in hexadecimal. */
function digits(name: string, member: unknown): string {
  if (typeof member !== 'number' && typeof member !== 'bigint') return String(member);
  if (/^(u?mask|mode)$/.test(name)) return `0${member.toString(8)}`;
  return /(flags2?|owner|sx_mask|cmd|^valid)$/.test(name) ? `0x${member.toString(16)}` : String(member);
}

/** An event as one line of JSON: 64-bit integers as decimal strings, because JSON readers round them; bytes in hex. */
export const json = (event: TraceEvent): string =>
  JSON.stringify(event, function (this: Readonly<Record<string, unknown>>, key, value) {
    const member = this[key]; // `value` is what a Buffer's toJSON made of it
    if (typeof member === 'bigint') return member.toString();
    return member instanceof Uint8Array ? Buffer.from(member).toString('hex') : value;
  });
