/**
 * C structs as tables. `struct({ len: u32, unique: u64, ... })` gives, from that one table, the size,
 * the member offsets, a typed decode() and a typed encode(), both compiled once to straight-line code:
 * as fast as by hand, where a closure per member takes 7 to 11 times as long (`npm run bench -- protocol`).
 *
 * A 64-bit member is exact (`u64`, a bigint) or checked (`u53`, `i53`, a number), chosen in the table:
 * nothing is ever rounded or cut. Little-endian hosts only, which Linux on x86-64 and arm64 is.
 */
import { EOVERFLOW } from './errno.ts';

/**
 * Changes the source of one member while code is generated: given its name and the source that would
 * stand there, returns what shall stand there. This is how an operation makes a member optional.
 */
export type Rewrite = (member: string, source: string, at: number) => string;

/** A member type: its C size and alignment, and the source that reads or writes it in DataView `v` at `o + at`. */
export interface Field<T> {
  readonly size: number;
  readonly align: number;
  /** Absent for members that carry nothing: there is nothing to decode. */
  readonly read?: (at: number, rewrite?: Rewrite) => string;
  readonly write: (at: number, value: string, rewrite?: Rewrite) => string;
  /** Carries T for inference; never set. */
  readonly type?: T;
}
export type Infer<F> = F extends Field<infer T> ? T : never;

const scalar = <T>(size: number, type: string, check: string): Field<T> => ({
  size,
  align: size,
  read: (at) => `v.get${type}(o+${at},true)`,
  write: (at, value) => `v.set${type}(o+${at},${check}(${value}),true)`,
});

/** 64 bits as a number, in two halves; the sign of the upper half is the sign of the whole. */
const wide = (upper: 'Uint32' | 'Int32', check: string): Field<number> => ({
  size: 8,
  align: 8,
  read: (at) => `join(v.get${upper}(o+${at + 4},true),v.getUint32(o+${at},true))`,
  write: (at, n) =>
    `v.setUint32(o+${at},${check}(${n}),true),v.set${upper}(o+${at + 4},Math.floor(${n}/0x100000000),true)`,
});

export const u8 = scalar<number>(1, 'Uint8', 'byte');
export const u16 = scalar<number>(2, 'Uint16', 'half');
/** 32 bits. A negative number of 32 bits is taken as its bit pattern, which is what `1 << 31` gives. */
export const u32 = scalar<number>(4, 'Uint32', 'word');
export const i32 = scalar<number>(4, 'Int32', 'int');
/** All 64 bits, exact: request ids, inode numbers, lock owners, lock ranges, directory cookies. */
export const u64 = scalar<bigint>(8, 'BigUint64', 'all64');
/** A 64-bit quantity (size, offset, an id that we chose) as a number: EOVERFLOW if what arrives is past 2^53 - 1. */
export const u53 = wide('Uint32', 'unsigned');
/** The same with a sign, for times and relative offsets. */
export const i53 = wide('Int32', 'signed');

/** `count` members that carry nothing: absent from the value, zero on the wire. */
export const pad = ({ size, align }: Field<number> | Field<bigint>, count = 1): Field<never> => {
  const step = Math.min(size, 4);
  return {
    size: size * count,
    align,
    write: (at) =>
      Array.from({ length: (size * count) / step }, (_, i) => `v.setUint${step * 8}(o+${at + i * step},0,true)`).join(),
  };
};

/** `count` bytes with a structure of their own, or a flexible array (0): neither decoded nor encoded here. */
export const room = (count: number, align = 1): Field<never> => ({ size: count, align, write: () => '0' });

export type Fields = Readonly<Record<string, Field<unknown>>>;
type Value<F extends Fields> = {
  -readonly [K in keyof F as [Infer<F[K]>] extends [never] ? never : K]: Infer<F[K]>;
} & {};

/** A struct is itself a Field, so structs nest. */
export interface Struct<F extends Fields> extends Field<Value<F>> {
  readonly fields: F;
  readonly offset: { readonly [K in keyof F]: number };
  readonly read: (at: number, rewrite?: Rewrite) => string;
  readonly decode: (view: DataView, at: number) => Value<F>;
  readonly encode: (view: DataView, at: number, value: Value<F>) => void;
}
/** Any struct, where which one does not matter. */
export interface AnyStruct extends Field<unknown> {
  readonly fields: Fields;
  readonly offset: Readonly<Record<string, number>>;
  readonly read: (at: number, rewrite?: Rewrite) => string;
  decode(view: DataView, at: number): unknown;
  encode(view: DataView, at: number, value: never): void;
}

export function struct<const F extends Fields>(fields: F): Struct<F> {
  const members = Object.entries(fields);
  const align = Math.max(...members.map(([, field]) => field.align));
  const offset: Record<string, number> = {};
  let size = 0;
  for (const [name, field] of members) {
    if (size % field.align !== 0) throw hole(name);
    offset[name] = size;
    size += field.size;
  }
  if (size % align !== 0) throw hole('the end');
  const read = (base: number, rewrite: Rewrite = unchanged) =>
    `{${members.flatMap(([name, field]) => (field.read ? `${name}:${rewrite(name, field.read(base + offset[name]!, rewrite), base + offset[name]!)}` : []))}}`;
  const write = (base: number, value: string, rewrite: Rewrite = unchanged) =>
    members
      .map(([name, field]) => {
        const at = base + offset[name]!;
        return field.write(at, field.read ? rewrite(name, `${value}.${name}`, at) : '0', rewrite);
      })
      .join();
  // Now, not on the first call: all of FUSE's take 3 ms, while a wrapper that looks whether it has compiled yet
  // makes each later decode a quarter slower.
  const decode = generate<Struct<F>['decode']>(['v', 'o'], `return ${read(0)}`, helpers);
  const encode = generate<Struct<F>['encode']>(['v', 'o', 'x'], write(0, 'x'), helpers);
  return { fields, offset: offset as Struct<F>['offset'], size, align, read, write, decode, encode };
}

const unchanged: Rewrite = (_, source) => source;

/** The C compiler would pad silently; kernel structs, and so these tables, spell their padding out. */
const hole = (where: string) => new TypeError(`hole before ${where}: declare the padding`);

/** What generated code may call. Everything generated, here or for an operation, is compiled with these in scope. */
export const helpers = { join, byte, half, word, int, all64, unsigned, signed };

/** A function of generated source, with `scope` as its free names. */
export function generate<T>(parameters: readonly string[], body: string, scope: Readonly<Record<string, unknown>>): T {
  const names = Object.keys(scope);
  return new Function(...names, `return (${parameters.join()})=>{${body}}`)(...Object.values(scope)) as T;
}

function join(high: number, low: number): number {
  if (high > 0x1f_ffff || high < -0x20_0000) throw EOVERFLOW;
  const n = high * 0x1_0000_0000 + low;
  if (n === -0x20_0000_0000_0000) throw EOVERFLOW; // -2^53: representable, but not the only number that rounds to it
  return n;
}

// What we send is ours to get right: a value that does not fit is not an errno but a bug.
function byte(n: number): number {
  if (n !== (n & 0xff)) throw unfit(n, '8 bits');
  return n;
}
function half(n: number): number {
  if (n !== (n & 0xffff)) throw unfit(n, '16 bits');
  return n;
}
function word(n: number): number {
  if (n >>> 0 !== n && (n | 0) !== n) throw unfit(n, '32 bits');
  return n;
}
function int(n: number): number {
  if (n !== (n | 0)) throw unfit(n, '32 bits with a sign');
  return n;
}
function all64(n: bigint): bigint {
  if (n < 0n || n > 0xffff_ffff_ffff_ffffn) throw unfit(n, '64 bits without a sign');
  return n;
}
function unsigned(n: number): number {
  if (!(n >= 0 && Number.isSafeInteger(n))) throw unfit(n, '53 bits without a sign');
  return n;
}
function signed(n: number): number {
  if (!Number.isSafeInteger(n)) throw unfit(n, '53 bits');
  return n;
}
const unfit = (n: number | bigint, what: string) => new RangeError(`${n} is not an integer of ${what}`);
