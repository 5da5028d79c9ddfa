/**
 * The codecs that struct() makes: every table there and back with random values, each member read again
 * from its bytes without the tables; and for each kind of member the promise that no bit is lost silently.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EOVERFLOW } from '../../src/abi/errno.ts';
import { fuse_attr, fuse_getattr_in, fuse_statx_out, fuse_write_out } from '../../src/abi/fuse.ts';
import {
  type AnyStruct,
  type Field,
  i32,
  i53,
  pad,
  room,
  type Struct,
  struct,
  u8,
  u16,
  u32,
  u53,
  u64,
} from '../../src/abi/struct.ts';
import { layouts, tables } from './data.ts';
import { seeded } from './random.ts';

seeded();

const SAFE = 2 ** 53 - 1;
const u64s = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

/** What each kind holds: its least and greatest value, and how to make one. */
const kinds = [
  { name: 'u8', kind: u8, min: 0, max: 0xff, any: fc.integer({ min: 0, max: 0xff }) },
  { name: 'u16', kind: u16, min: 0, max: 0xffff, any: fc.integer({ min: 0, max: 0xffff }) },
  { name: 'u32', kind: u32, min: 0, max: 2 ** 32 - 1, any: fc.integer({ min: 0, max: 2 ** 32 - 1 }) },
  { name: 'i32', kind: i32, min: -(2 ** 31), max: 2 ** 31 - 1, any: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }) },
  { name: 'u53', kind: u53, min: 0, max: SAFE, any: fc.integer({ min: 0, max: SAFE }) },
  { name: 'i53', kind: i53, min: -SAFE, max: SAFE, any: fc.integer({ min: -SAFE, max: SAFE }) },
] as const;

type Value = number | bigint | { readonly [member: string]: Value };
type Codec = { decode(view: DataView, at: number): Value; encode(view: DataView, at: number, value: Value): void };

/** Values of a field, of a struct within a struct too. */
function values(field: Field<unknown>): fc.Arbitrary<Value> {
  const number = kinds.find(({ kind }) => kind === field);
  if (number) return number.any;
  if (field === u64) return u64s;
  const members = Object.entries((field as unknown as AnyStruct).fields).filter(([, { read }]) => read);
  return fc.record(Object.fromEntries(members.map(([name, member]) => [name, values(member)])));
}

/** The scalars in a value, in the order of the members. */
const leaves = (value: Value): (number | bigint)[] =>
  typeof value === 'object' ? Object.values(value).flatMap(leaves) : [value];

/** The members of a struct as C lays them out, from the data and not from our tables. */
function members(name: string, base = 0): { offset: number; type: string; size: number; path: string[] }[] {
  return Object.entries(layouts[name]!.fields).flatMap(([member, { offset, size, type }]) => {
    const nested = /^struct (\w+)$/.exec(type)?.[1];
    const found = nested ? members(nested, base + offset) : [{ offset: base + offset, size, type, path: [] }];
    return found.map((each) => ({ ...each, path: [member, ...each.path] }));
  });
}

const GARBAGE = 0xa5;
/** Where structs are put: not at the beginning, and with room behind. */
const AT = 24;
const garbage = (size: number): DataView => new DataView(new Uint8Array(AT + size + 16).fill(GARBAGE).buffer);

describe.each(Object.entries(tables))('%s', (name, table) => {
  const codec = table as unknown as Codec;

  test('comes back as it was, and nothing around it changes', () => {
    fc.assert(
      fc.property(values(table), (value) => {
        const view = garbage(table.size);
        codec.encode(view, AT, value);
        expect(codec.decode(view, AT)).toEqual(value);
        const bytes = [...new Uint8Array(view.buffer)];
        expect([...bytes.slice(0, AT), ...bytes.slice(AT + table.size)]).toEqual(Array(AT + 16).fill(GARBAGE));
      }),
    );
  });

  // Our second forms have no layout of their own; layout.test.ts holds them against the bytes they lay out.
  if (!(name in layouts)) return;

  test('puts each of its different values where C has it, and zeros in the padding', () => {
    const distinct = fc.noBias(values(table)).filter((value) => new Set(leaves(value)).size === leaves(value).length);
    fc.assert(
      fc.property(distinct, (value) => {
        const view = garbage(table.size);
        codec.encode(view, AT, value);
        for (const { offset, size, type, path } of members(name)) {
          const expected = path.reduce<Value | undefined>((v, key) => (v as Record<string, Value>)?.[key], value);
          const bytes = new Uint8Array(view.buffer, AT + offset, size);
          if (expected !== undefined) {
            const got = bytes.reduceRight((n, byte) => (n << 8n) | BigInt(byte), 0n);
            expect(got, path.join('.')).toBe(BigInt.asUintN(size * 8, BigInt(expected as number | bigint)));
          } else if (/^u8\[128\]$/.test(type)) {
            expect(bytes.every((byte) => byte === GARBAGE)).toBe(true); // room for another struct: not ours to write
          } else {
            expect([...bytes], path.join('.')).toEqual(Array(size).fill(0));
          }
        }
      }),
      { numRuns: 20 },
    );
  });
});

/** What stands at the edges of all kinds, and what is no integer at all. */
const edges = [7, 8, 15, 16, 31, 32, 52, 53, 63, 64]
  .flatMap((n) => [2 ** n - 1, 2 ** n, 2 ** n + 1])
  .flatMap((n) => [n, -n])
  .concat(0, 0.5, -0.5, 1.5, 2 ** 32 + 0.5, 1e300, -1e300, Infinity, -Infinity, NaN);
const numbers = fc.oneof(fc.constantFrom(...edges), fc.double(), fc.maxSafeInteger(), fc.integer());

/** The edges of 64 bits as they come in, and any others. */
const edges64 = [31n, 32n, 52n, 53n, 63n, 64n]
  .flatMap((n) => [2n ** n - 1n, 2n ** n, 2n ** n + 1n, 2n ** n + 2n ** 32n])
  .flatMap((n) => [n, -n])
  .concat(0n)
  .map((n) => BigInt.asUintN(64, n));
const patterns = fc.oneof(
  fc.constantFrom(...edges64),
  u64s,
  fc.bigInt({ min: -(2n ** 54n), max: 2n ** 54n }).map((n) => BigInt.asUintN(64, n)),
);

describe.each(kinds)('$name', ({ kind, min, max }) => {
  const one: Struct<{ x: Field<number> }> = struct({ x: kind as Field<number> });
  const view = new DataView(new ArrayBuffer(8));
  const encode = (x: unknown) => one.encode(view, 0, { x: x as number });
  const decode = () => one.decode(view, 0).x;
  const fits = (n: number) => Number.isInteger(n) && n >= min && n <= max;

  // As documented: a negative number of 32 bits is the bit pattern that `1 << 31` gives.
  const isPattern = (n: number) => kind === u32 && n < 0 && (n | 0) === n;
  const check = (n: number) => {
    if (!fits(n) && !isPattern(n)) {
      expect(() => encode(n), String(n)).toThrow(RangeError);
      return;
    }
    encode(n);
    expect(decode()).toBe(isPattern(n) ? n >>> 0 : n + 0); // + 0: a negative zero is zero
  };

  test('takes what fits and gives it back; throws RangeError for all else', () => {
    edges.forEach(check);
    fc.assert(fc.property(numbers, check), { numRuns: 1000 });
  });

  test.each([undefined, null, '1', 1n, {}, [1]])('refuses %o, which is no number', (x) => {
    expect(() => encode(x)).toThrow();
  });

  test('a value that was refused has not changed the member', () => {
    encode(1);
    for (const n of edges.filter((n) => !fits(n) && !isPattern(n))) expect(() => encode(n)).toThrow();
    expect(decode()).toBe(1);
  });
});

describe.each([
  { name: 'u53', kind: u53, value: (bits: bigint) => bits },
  { name: 'i53', kind: i53, value: (bits: bigint) => BigInt.asIntN(64, bits) },
])('$name, decoding', ({ kind, value }) => {
  const one = struct({ x: kind });
  const view = new DataView(new ArrayBuffer(8));
  const check = (bits: bigint) => {
    view.setBigUint64(0, bits, true);
    const n = value(bits);
    if (n >= -SAFE && n <= SAFE) expect(BigInt(one.decode(view, 0).x)).toBe(n);
    else expect(() => one.decode(view, 0)).toThrow(EOVERFLOW);
  };

  test('gives all of 64 bits, or throws EOVERFLOW past 2^53 - 1', () => {
    edges64.forEach(check);
    fc.assert(fc.property(patterns, check), { numRuns: 1000 });
  });

  test('throws the shared errno, so a request with such a member is answered and not fatal', () => {
    view.setBigUint64(0, 2n ** 62n, true);
    let thrown: unknown;
    try {
      one.decode(view, 0);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBe(EOVERFLOW);
  });
});

describe('u64', () => {
  const one = struct({ x: u64 });
  const view = new DataView(new ArrayBuffer(8));

  test('keeps every bit', () => {
    fc.assert(
      fc.property(patterns, (n) => {
        one.encode(view, 0, { x: n });
        expect(view.getBigUint64(0, true)).toBe(n);
        expect(one.decode(view, 0).x).toBe(n);
      }),
      { numRuns: 1000 },
    );
  });

  test.each([-1n, 2n ** 64n, 2n ** 64n + 1n, -(2n ** 63n), 2n ** 200n])('refuses %d', (n) => {
    expect(() => one.encode(view, 0, { x: n })).toThrow(RangeError);
  });

  test.each([1, 0, NaN, undefined])('refuses %d, which is no bigint', (n) => {
    expect(() => one.encode(view, 0, { x: n as unknown as bigint })).toThrow(TypeError);
  });
});

describe('struct()', () => {
  test('refuses a hole before a member, by name', () => {
    expect(() => struct({ a: u32, b: u64 })).toThrow(new TypeError('hole before b: declare the padding'));
    expect(() => struct({ a: u8, inner: struct({ b: u16 }) })).toThrow('hole before inner');
  });

  test('refuses a hole at the end', () => {
    expect(() => struct({ a: u64, b: u32 })).toThrow('hole before the end');
    expect(struct({ a: u64, b: u32, c: pad(u32) }).size).toBe(16);
  });

  test('writes zeros over garbage where the padding is, of every width and count', () => {
    const table = struct({ a: u8, b: pad(u8, 3), c: pad(u32), d: pad(u64, 2), e: u16, f: pad(u16, 3) });
    const bytes = new Uint8Array(table.size).fill(0xff);
    table.encode(new DataView(bytes.buffer), 0, { a: 0x11, e: 0x2233 });
    expect([...bytes]).toEqual([0x11, ...Array(23).fill(0), 0x33, 0x22, ...Array(6).fill(0)]);
  });

  test('has no key for padding and room, neither way', () => {
    const view = new DataView(new ArrayBuffer(16));
    expect(Object.keys(fuse_write_out.decode(view, 0))).toEqual(['size']);
    expect(struct({ a: u32, b: room(4), c: u32 }).decode(view, 0)).toEqual({ a: 0, c: 0 });
  });

  test('leaves room as it is: its bytes are laid out by somebody else', () => {
    const bytes = new Uint8Array(8).fill(0xff);
    struct({ a: u32, b: room(4) }).encode(new DataView(bytes.buffer), 0, { a: 0 });
    expect([...bytes]).toEqual([0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
  });

  test('nests: offsets are those of the outer struct plus those of the inner', () => {
    const view = new DataView(new ArrayBuffer(fuse_statx_out.size));
    view.setBigInt64(fuse_statx_out.offset.stat + 96, -5n, true); // stat.ctime.tv_sec
    view.setUint32(fuse_statx_out.offset.stat + 96 + 8, 7, true);
    expect(fuse_statx_out.decode(view, 0).stat.ctime).toEqual({ tv_sec: -5, tv_nsec: 7 });
  });

  test('takes its alignment from its widest member, however deep', () => {
    expect([fuse_getattr_in.align, fuse_write_out.align, struct({ a: u16, b: u16 }).align]).toEqual([8, 4, 2]);
    expect(struct({ a: struct({ b: struct({ c: u64 }) }) }).align).toBe(8);
  });

  test('takes a value with more members than the table, as an attribute made from a larger object is', () => {
    const view = new DataView(new ArrayBuffer(8));
    const value = { size: 3, name: 'more' };
    fuse_write_out.encode(view, 0, value);
    expect(fuse_write_out.decode(view, 0)).toEqual({ size: 3 });
  });

  test('keeps times before 1970, although C declares them without a sign', () => {
    const view = new DataView(new ArrayBuffer(fuse_attr.size));
    view.setBigInt64(fuse_attr.offset.mtime, -86_400n, true);
    expect(fuse_attr.decode(view, 0).mtime).toBe(-86_400);
  });
});
