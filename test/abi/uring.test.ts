/** io_uring's tables and numbers against C: the data that a compiler gave for the header, and this system's header. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { AnyStruct } from '../../src/abi/struct.ts';
import * as uring from '../../src/abi/uring.ts';
import * as numbers from '../../src/abi/uring-constants.ts';
import { compilerTest, macros, preprocess } from './compiler.ts';
import type { Layout } from './data.ts';

const load = (name: string) => JSON.parse(readFileSync(new URL(`./data/${name}`, import.meta.url), 'utf8')).io_uring;
const layouts: Readonly<Record<string, Layout>> = load('layout.json');
const constants: Readonly<Record<string, number | string>> = load('constants.json');
const { aliases, ...tables } = uring;

/** All of our numbers under the names of the header. */
const ours = new Map<string, bigint>([
  ...Object.entries(numbers).flatMap(([name, value]) =>
    typeof value === 'object' ? [] : [[name, BigInt.asUintN(64, BigInt(value))] as [string, bigint]],
  ),
  ...Object.entries(numbers.IORING_OP).map(([name, code]) => [`IORING_OP_${name}`, BigInt(code)] as [string, bigint]),
]);

describe('io_uring of Linux 7.2', () => {
  test('the data holds 37 structs and 248 numbers', () => {
    expect([Object.keys(layouts).length, Object.keys(constants).length]).toEqual([37, 248]);
  });

  test('every struct is declared, and nothing else but the time it uses', () => {
    expect(Object.keys(tables).sort()).toEqual([...Object.keys(layouts), '__kernel_timespec'].sort());
  });

  test.each(Object.entries(layouts))('%s has the size of C, and each member its place and width', (name, layout) => {
    const table = (tables as Readonly<Record<string, AnyStruct>>)[name]!;
    expect(table.size).toBe(layout.size);
    for (const [member, { offset, size, type }] of Object.entries(layout.fields)) {
      const [host, into] = aliases[name]?.[member] ?? [member, 0];
      const field = table.fields[host];
      expect(field, `${name}.${member}`).toBeDefined();
      expect(table.offset[host]! + into, `${name}.${member}`).toBe(offset);
      if (into === 0 && host === member && !type.includes('[0]') && !/\[1\]$/u.test(type))
        expect(field!.size, `${name}.${member}`).toBe(size);
    }
    const known = new Set(Object.keys(layout.fields));
    expect(Object.keys(table.fields).filter((member) => !known.has(member))).toEqual([]);
    expect(Object.keys(aliases[name] ?? {}).filter((member) => !known.has(member))).toEqual([]);
  });

  test('every number is declared with its value, and none is left over', () => {
    const expected = Object.entries(constants).map(([name, value]) => [name, BigInt.asUintN(64, BigInt(value))]);
    expect(Object.fromEntries([...ours].sort())).toEqual(Object.fromEntries(expected.sort()));
  });

  test('there are 65 opcodes, one for each number', () => {
    expect(Object.values(numbers.IORING_OP)).toEqual(Array.from({ length: 65 }, (_, i) => i));
    expect(numbers.IORING_OP_LAST).toBe(65);
  });

  compilerTest("this system's header has no other value for any of them", async () => {
    const found = new Map(await macros(['linux/io_uring.h'], ours.keys()));
    const text = await preprocess('#include <linux/io_uring.h>\n');
    expect(text).toContain('IORING_OP_NOP');
    expect(found.size).toBeGreaterThanOrEqual(60);
    // What an older header counts to, the newer has passed.
    for (const [name, value] of found)
      if (!name.endsWith('_LAST')) expect(BigInt.asUintN(64, value), name).toBe(ours.get(name));
  });
});
