/**
 * Messages as commented hex, for people and for tests: one line a member, its bytes first, then its name
 * and value behind a `#`. What a member is called and how long it is comes from the tables alone, so a new
 * operation needs nothing here. `describe` takes a message apart, `format` prints it, `parse` reads it back.
 */
import { errno } from '../src/abi/errno.ts';
import {
  fuse_dirent,
  fuse_entry_out,
  fuse_ext_header,
  fuse_getxattr_in,
  fuse_getxattr_out,
  fuse_in_header,
  fuse_init_in,
  fuse_init_out,
  fuse_out_header,
} from '../src/abi/fuse.ts';
import type { AnyStruct, Field } from '../src/abi/struct.ts';
import { flagsIn } from '../src/protocol/init.ts';
import { decodeName } from '../src/protocol/names.ts';
import { type Operation, operations } from '../src/protocol/operations.ts';

export interface Message {
  readonly kind: 'request' | 'reply';
  readonly bytes: Buffer;
}

/** A member of a message: where it lies, and what it says. */
export interface Member {
  /** `name`, or `attr.mode` for one of a nested struct. */
  readonly name: string;
  /** Absent for padding. */
  readonly value?: string;
  readonly bytes: Buffer;
}

const byCode = new Map<number, [string, Operation]>();
for (const [name, row] of Object.entries(operations) as [string, Operation][])
  if (row.compat !== true) byCode.set(row.code, [name, row]); // SETXATTR as with SETXATTR_EXT

export const operationOf = (request: Buffer): string => byCode.get(request.readUInt32LE(4))?.[0] ?? 'unknown';

/** A message's members in wire order; together their bytes are the message. A reply needs its request. */
export function describe(message: Message, request: Buffer = message.bytes): Member[] {
  const { bytes, kind } = message;
  const row = byCode.get(request.readUInt32LE(4))?.[1];
  const members = kind === 'request' ? requestMembers(bytes, row) : replyMembers(bytes, row, request);
  const found = [...members].filter((member) => member.bytes.length > 0);
  const at = found.reduce((sum, member) => sum + member.bytes.length, 0);
  return at < bytes.length ? [...found, { name: 'rest', bytes: bytes.subarray(at) }] : found;
}

function* requestMembers(bytes: Buffer, row: Operation | undefined): Generator<Member> {
  yield* structMembers(fuse_in_header, bytes, 0);
  if (row === undefined) return;
  const extensions = bytes.length - bytes.readUInt16LE(fuse_in_header.offset.total_extlen) * 8;
  let at = fuse_in_header.size;
  if (row.in) {
    yield* structMembers(row.in, bytes, at);
    at += row.in.size;
  }
  for (const name of row.names ?? []) {
    const nul = bytes.indexOf(0, at);
    yield { name, value: JSON.stringify(decodeName(bytes, at, nul)), bytes: bytes.subarray(at, nul + 1) };
    at = nul + 1;
  }
  if (row.list)
    for (; at < extensions; at += row.list.of.size) yield* structMembers(row.list.of, bytes, at, `${row.list.name}.`);
  if (row.data) yield* dataMembers(row.data, bytes.subarray(at, extensions));
  for (at = extensions; at < bytes.length; ) {
    yield* structMembers(fuse_ext_header, bytes, at, 'extension.');
    const next = at + ((bytes.readUInt32LE(at) + 7) & ~7);
    yield* dataMembers('extension', bytes.subarray(at + fuse_ext_header.size, next));
    at = next;
  }
}

function* replyMembers(bytes: Buffer, row: Operation | undefined, request: Buffer): Generator<Member> {
  yield* structMembers(fuse_out_header, bytes, 0);
  const at = fuse_out_header.size;
  if (row === undefined || at === bytes.length) return;
  if (row.sized && request.readUInt32LE(fuse_in_header.size + fuse_getxattr_in.offset.size) === 0)
    yield* structMembers(fuse_getxattr_out, bytes, at);
  else if (row.reply === 'entries' || row.reply === 'entries plus') yield* entryMembers(bytes, row.reply);
  else if (row.out === 'bytes') yield* dataMembers('data', bytes.subarray(at));
  else if (typeof row.out === 'object') {
    yield* structMembers(row.out, bytes, at);
    if (row.tail) yield* dataMembers(row.tail, bytes.subarray(at + row.out.size));
  }
}

function* entryMembers(bytes: Buffer, reply: 'entries' | 'entries plus'): Generator<Member> {
  for (let at = fuse_out_header.size; at < bytes.length; ) {
    const begin = at;
    if (reply === 'entries plus') {
      yield* structMembers(fuse_entry_out, bytes, at, 'entry.');
      at += fuse_entry_out.size;
    }
    yield* structMembers(fuse_dirent, bytes, at, 'dirent.');
    const name = at + fuse_dirent.size;
    const end = name + bytes.readUInt32LE(at + fuse_dirent.offset.namelen);
    yield {
      name: 'dirent.name',
      value: JSON.stringify(decodeName(bytes, name, end)),
      bytes: bytes.subarray(name, end),
    };
    at = begin + ((end - begin + 7) & ~7);
    yield { name: 'padding', bytes: bytes.subarray(end, at) };
  }
}

function* structMembers(struct: AnyStruct, bytes: Buffer, at: number, prefix = ''): Generator<Member> {
  // An older kernel's form may end early: what it lacks reads as 0, and has no bytes.
  const whole = Buffer.concat([bytes.subarray(at), Buffer.alloc(Math.max(0, at + struct.size - bytes.length))]);
  const values = struct.decode(new DataView(whole.buffer, whole.byteOffset, whole.length), 0);
  for (const [name, field] of Object.entries(struct.fields)) {
    const begin = at + struct.offset[name]!;
    if (isStruct(field)) {
      yield* structMembers(field, bytes, begin, `${prefix}${name}.`);
      continue;
    }
    const member = { name: prefix + name, bytes: bytes.subarray(begin, begin + field.size) };
    if (field.read === undefined) yield member;
    else yield { ...member, value: shown(struct, name, (values as Record<string, number | bigint>)[name]!) };
  }
}

function* dataMembers(name: string, bytes: Buffer): Generator<Member> {
  for (let at = 0; at < bytes.length; at += 16) {
    const piece = bytes.subarray(at, at + 16);
    yield { name, value: JSON.stringify(piece.toString('latin1')), bytes: piece };
  }
}

const isStruct = (field: Field<unknown>): field is AnyStruct => 'fields' in field;

/** A value as people write it: modes octal, flags hexadecimal, opcodes, errnos and INIT flags by name. */
function shown(struct: AnyStruct, name: string, value: number | bigint): string {
  if (struct === fuse_in_header && name === 'opcode')
    return `${value} ${byCode.get(value as number)?.[0] ?? ''}`.trim();
  if (struct === fuse_out_header && name === 'error')
    return value === 0 ? '0' : `${value} ${errno(-(value as number)).code}`;
  if (struct === (fuse_init_in as AnyStruct) || struct === (fuse_init_out as AnyStruct)) {
    const upper = name === 'flags2' ? 32n : 0n;
    if (name.startsWith('flags')) return [hex(value), ...flagsIn(BigInt(value) << upper)].join(' ');
  }
  if (name === 'mode' || name === 'umask') return value === 0 ? '0' : `0${value.toString(8)}`;
  if (/flags|valid$|owner/u.test(name) && !/^(entry|attr)_valid/u.test(name)) return hex(value);
  return String(value);
}
const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

/** Columns that the bytes take. */
const WIDTH = 16 * 3;

/** The message as text: a line that says what it is, then a line a member. */
export function format(message: Message, request: Buffer = message.bytes): string {
  const lines = describe(message, request).flatMap(({ name, value, bytes }) => {
    const note = value === undefined ? name : `${name} = ${value}`;
    const pieces = bytes.toString('hex').match(/.{1,32}/gu)!;
    return pieces.map((piece, i) => {
      const spaced = piece.match(/../gu)!.join(' ');
      return i === 0 ? `${spaced.padEnd(WIDTH)}# ${note}` : spaced;
    });
  });
  return `${message.kind} ${operationOf(request)}\n${lines.join('\n')}\n`;
}

/** The messages of a text: what is behind `#` is for people. */
export function parse(text: string): Message[] {
  const messages: { kind: Message['kind']; hex: string }[] = [];
  for (const line of text.split('\n')) {
    const [before] = line.split('#');
    const kind = /^(request|reply)\b/u.exec(before!)?.[1] as Message['kind'] | undefined;
    if (kind !== undefined) messages.push({ kind, hex: '' });
    else if (before!.trim() !== '') messages.at(-1)!.hex += before!.replaceAll(/\s/gu, '');
  }
  return messages.map(({ kind, hex }) => ({ kind, bytes: Buffer.from(hex, 'hex') }));
}
