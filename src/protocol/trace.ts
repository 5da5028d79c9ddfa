/**
 * What goes over the connection, as events with decoded fields, and one line of text for each as strace
 * prints system calls. Everything is decoded by walking the operations table: no operation has a printer.
 * A session without an observer has no Tracer, and pays for one test a request.
 */
import { errno } from '../abi/errno.ts';
import { fuse_dirent, fuse_entry_out, fuse_out_header } from '../abi/fuse.ts';
import { FUSE_NAME_OFFSET, FUSE_NAME_OFFSET_DIRENTPLUS, type InitFlag } from '../abi/fuse-constants.ts';
import { decodeExtensions } from './extensions.ts';
import type { Agreement } from './init.ts';
import { decodeName } from './names.ts';
import type { NotificationName } from './notify.ts';
import { type NotificationRow, notifications } from './notify.ts';
import { type Operation, type OperationName, operations } from './operations.ts';
import type { Slot } from './slot.ts';
import type { End } from './transport.ts';

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
    }
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
    this.#began.set(unique, performance.now());
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
    const began = this.#began.get(unique) ?? this.#began.get(unique & ~(1n << 63n)) ?? performance.now();
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

  agreed({ minor, offered, wanted, agreed }: Agreement): void {
    this.#setxattrExt = agreed.has('SETXATTR_EXT');
    this.#tell({ kind: 'agreed', minor, offered: [...offered], wanted: [...wanted], agreed: [...agreed] });
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
    if (end < at && row.shortest === undefined) return { malformed: true };
    const args = { ...(row.in?.decode(view, opAt) as Record<string, unknown> | undefined) };
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
        of.decode(items, at + i * of.size),
      );
    }
    if (row.extensions && end < slot.end) args.extensions = decodeExtensions(bytes, end, slot.end);
    return args;
  } catch (error) {
    return { malformed: String(error) };
  }
}

/** The body of a reply, decoded: a struct, directory entries, or how many bytes. */
function decodeResult(slot: Slot, row: Operation | undefined, size: number): object {
  const { out, outAt } = slot;
  if (row === undefined || size === 0) return {};
  if (row.reply === 'entries') return { entries: direntsIn(out, outAt, outAt + size, FUSE_NAME_OFFSET) };
  if (row.reply === 'entries plus')
    return { entries: direntsIn(out, outAt, outAt + size, FUSE_NAME_OFFSET_DIRENTPLUS) };
  if (typeof row.out === 'object') return row.out.decode(out, outAt) as object;
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
    at += (head + namelen + 7) & ~7;
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
  let open: { unique: bigint; line: string } | undefined;
  const waiting = new Set<bigint>();
  const suspend = () => {
    if (open === undefined) return;
    print(`${open.line} <unfinished ...>`);
    waiting.add(open.unique);
    open = undefined;
  };
  return (event) => {
    if (event.kind === 'reply') {
      const result = `${event.error ?? brief(event.result)}${event.error ? '' : ` ${event.bytes} bytes`} ${event.microseconds} µs`;
      if (open?.unique === event.unique) print(`${open.line} -> ${result}`);
      else {
        suspend();
        print(`<... ${event.operation} unique=${event.unique} resumed> -> ${result}`);
        waiting.delete(event.unique);
      }
      open = undefined;
      return;
    }
    suspend();
    if (event.kind === 'request') {
      const line = `${event.operation} unique=${event.unique} ${PARENT.has(event.operation) ? 'parent' : 'nodeid'}=${event.nodeid}${brief(event.args, ' ')}`;
      if ((operations as Readonly<Record<string, Operation>>)[event.operation]?.out === 'no reply') print(line);
      else open = { unique: event.unique, line };
    } else if (event.kind === 'notification')
      print(
        `NOTIFY_${event.operation}${brief(event.args, ' ')} ${event.bytes} bytes${event.error ? ` -> ${event.error}` : ''}`,
      );
    else if (event.kind === 'agreed')
      print(
        `agreed with FUSE 7.${event.minor}: ${event.agreed.join(' ')}; not offered: ${event.wanted.filter((flag) => !event.agreed.includes(flag)).join(' ') || 'none'}; not wanted: ${event.offered.filter((flag) => !event.wanted.includes(flag)).join(' ') || 'none'}`,
      );
    else print(`end: ${event.reason}${event.error ? ` (${event.error})` : ''}`);
  };
}
const PARENT = new Set(
  Object.entries(operations as Readonly<Record<string, Operation>>)
    .filter(([, row]) => row.names && row.names[0] !== undefined && !row.data && row.reply === undefined)
    .map(([name]) => name),
);

/** Members in few words: names in quotes, empty flags and the insides of attributes left out. */
function brief(value: unknown, before = ''): string {
  if (typeof value !== 'object' || value === null) return '';
  const parts: string[] = [];
  for (const [name, member] of Object.entries(value)) {
    if (NAMES.has(name)) parts.push(JSON.stringify(member));
    else if (name === 'attr' || name === 'stat') parts.push(attributes(member as Record<string, unknown>));
    else if (Array.isArray(member)) parts.push(`${name}=[${member.length}]`);
    else if (typeof member === 'object' && member !== null) parts.push(`${name}={${brief(member)}}`);
    else if (name === 'nodeid' || name === 'fh' || (member !== 0 && member !== 0n && member !== false))
      parts.push(`${name}=${name.endsWith('mode') && typeof member === 'number' ? `0${member.toString(8)}` : member}`);
  }
  return parts.length > 0 ? before + parts.join(' ') : '';
}
const NAMES = new Set(
  Object.values(operations as Readonly<Record<string, Operation>>).flatMap((row) => row.names ?? []),
);
const attributes = ({ ino, mode, size }: Record<string, unknown>) =>
  `ino=${ino} mode=0${(mode as number).toString(8)} size=${size}`;

/** An event as one line of JSON: 64-bit integers as decimal strings, because JSON readers round them. */
export const json = (event: TraceEvent): string =>
  JSON.stringify(event, (_, value) =>
    typeof value === 'bigint'
      ? value.toString()
      : value instanceof Uint8Array
        ? Buffer.from(value).toString('hex')
        : value,
  );
