/**
 * Every number of src/abi/ against C: FUSE's against the data of 7.45 and this system's header; errno and
 * the numbers of system calls against this system's headers.
 */
import { constants as fs } from 'node:fs';
import { constants as os } from 'node:os';
import { describe, expect, test } from 'vitest';
import { errnos } from '../../src/abi/errno.ts';
import * as fuse from '../../src/abi/fuse-constants.ts';
import * as posix from '../../src/abi/posix.ts';
import { systemCallsOf } from '../../src/abi/syscall.ts';
import { type Operation, operations } from '../../src/protocol/operations.ts';
import { compilerTest, lines, macros, preprocess } from './compiler.ts';
import { constants } from './data.ts';

type Numbers = ReadonlyMap<string, bigint>;

/** The exports of a module that are numbers. */
const numbersOf = (module: object): [string, bigint][] =>
  Object.entries(module).flatMap(([name, value]) =>
    typeof value === 'number' || typeof value === 'bigint' ? [[name, BigInt(value)]] : [],
  );

/** All of FUSE's numbers under the names of the header, from the three tables that hold them. */
const ours: Numbers = new Map<string, bigint>([
  ...numbersOf(fuse).filter(([name]) => name !== 'OLDEST_MINOR'), // the one that is a choice of this library
  ...Object.entries(fuse.INIT_FLAGS).map(([name, bit]) => [`FUSE_${name}`, 1n << BigInt(bit)] as [string, bigint]),
  ...opcodes().map(
    ([name, code]) => [name.startsWith('CUSE_') ? name : `FUSE_${name}`, BigInt(code)] as [string, bigint],
  ),
]);

/** The opcodes by name: every line of the table but the second forms of an opcode (`compat`). */
function opcodes(): [string, number][] {
  return Object.entries<Operation>(operations).flatMap(([name, { code, compat }]) => (compat ? [] : [[name, code]]));
}

/**
 * The header says `1 << 31` here, which in C is a negative int: as a number of 64 bits it comes with its sign
 * in all upper bits, where INIT flags of flags2 would be. The bit itself is what is meant.
 */
const bit31 = (name: string, value: bigint): bigint =>
  name === 'FUSE_INIT_RESERVED' ? BigInt.asUintN(32, value) : value;

describe('FUSE 7.45', () => {
  test('the data holds 182 numbers, the signed one as the compiler gave it', () => {
    expect(Object.keys(constants)).toHaveLength(182);
    expect(constants.FUSE_INIT_RESERVED).toBe('18446744071562067968');
    expect(fuse.FUSE_INIT_RESERVED).toBe(0x8000_0000n);
  });

  test('every number is declared with its value, and none is left over', () => {
    const expected = Object.entries(constants).map(([name, value]) => [name, bit31(name, BigInt(value))] as const);
    expect(Object.fromEntries([...ours].sort())).toEqual(Object.fromEntries([...expected].sort()));
  });

  test('no name is declared twice', () => {
    const count = numbersOf(fuse).length - 1 + Object.keys(fuse.INIT_FLAGS).length + opcodes().length;
    expect(ours.size).toBe(count);
  });

  compilerTest("this system's header has no other value for any of them", async () => {
    const headers = ['stddef.h', 'sys/ioctl.h', 'linux/fuse.h']; // it uses offsetof and _IOR and includes neither
    const found = new Map(await macros(headers, ours.keys()));
    // Opcodes and notification codes are enums, which the preprocessor can't ask for.
    const text = await preprocess('#include <linux/fuse.h>\n');
    const enums = [...ours.keys()].filter((name) => new RegExp(`^\\s*${name}\\s*=`, 'm').test(text));
    const values = await lines(`#include <stdio.h>
#include <linux/fuse.h>
int main(void) { ${enums.map((name) => `printf("${name} %lld\\n", (long long)${name});`).join('\n')} }`);
    for (const line of values) found.set(line.split(' ')[0]!, BigInt(line.split(' ')[1]!));
    const minor = found.get('FUSE_KERNEL_MINOR_VERSION')!;
    found.delete('FUSE_KERNEL_MINOR_VERSION'); // its own
    console.log(`compared ${found.size} numbers with the system's header, 7.${minor}`);
    expect(found.size).toBeGreaterThanOrEqual(120);
    for (const [name, value] of found) {
      // Bit 63 is the sign of the long long that C prints.
      expect(bit31(name, BigInt.asUintN(64, value)), name).toBe(ours.get(name));
    }
  });
});

describe('errno', () => {
  const numbers = Object.fromEntries([...errnos].map(([name, { errno }]) => [name, errno]));

  test("node's numbers are ours", () => {
    expect(numbers).toMatchObject(os.errno);
  });

  compilerTest("this system's <errno.h> has exactly our names, with our numbers", async () => {
    const text = await preprocess('#include <errno.h>\n', '-dM');
    const names = [...text.matchAll(/^#define (E[A-Z0-9]+) /gm)].map(([, name]) => name!);
    const found = Object.fromEntries([...(await macros(['errno.h'], names))].map(([n, value]) => [n, Number(value)]));
    expect(numbers).toEqual(found);
  });

  compilerTest('the messages are strerror(3)’s but for capitals', async () => {
    const codes = [...errnos].filter(([name, { code }]) => name === code);
    const found = await lines(`#include <stdio.h>
#include <string.h>
int main(void) { ${codes.map(([, { errno }]) => `puts(strerror(${errno}));`).join('\n')} }`);
    expect(codes.map(([name, { message }]) => `${name} ${message.toLowerCase()}`)).toEqual(
      codes.map(([name], i) => `${name} ${found[i]!.toLowerCase()}`),
    );
  });
});

describe('system calls', () => {
  compilerTest("every number is this system's", async () => {
    const names = numbersOf(posix).map(([name]) => name);
    // The library's headers hold most. The kernel's hold what it keeps for itself, and the true O_LARGEFILE,
    // which the library says is 0 where offsets have 64 bits anyway. The two sets can't meet in one program.
    const library = await macros(
      [
        'fcntl.h',
        'unistd.h',
        'dirent.h',
        'poll.h',
        'sys/stat.h',
        'sys/epoll.h',
        'sys/file.h',
        'sys/mman.h',
        'sys/mount.h',
        'sys/resource.h',
        'sys/socket.h',
        'sys/xattr.h',
        'stdio.h',
      ],
      names,
    );
    const kernel = await macros(
      [
        'linux/fcntl.h',
        'linux/limits.h',
        'linux/fs.h',
        'linux/falloc.h',
        'linux/stat.h',
        'linux/mount.h',
        'linux/openat2.h',
        'linux/capability.h',
        'linux/fanotify.h',
        'linux/xattr.h',
      ],
      names,
    );
    const found = new Map([...library, ...kernel]);
    found.set('OFFSET_MAX', 2n ** 63n - 1n); // the kernel's own <linux/fs.h>: the largest loff_t
    // Linux 5.10, 5.12, 6.9, 6.11, 6.14: older headers lack them.
    const younger = ['MS_NOSYMFOLLOW', 'RESOLVE_CACHED', 'RWF_NOAPPEND', 'RWF_ATOMIC', 'RWF_DONTCACHE'];
    const expected = numbersOf(posix).filter(([name]) => found.has(name) || !younger.includes(name));
    expect(Object.fromEntries(expected.sort())).toEqual(Object.fromEntries([...found].sort()));
  });

  compilerTest('calls have the numbers of both architectures', async () => {
    // What has no table of its own, as arm64, has the generic one.
    for (const [arch, header] of [
      [process.arch, 'sys/syscall.h'],
      ['arm64', 'asm-generic/unistd.h'],
    ] as const) {
      const expected = Object.entries(systemCallsOf(arch)).map(([name, number]) => [`__NR_${name}`, BigInt(number)]);
      const found = await macros(
        [header],
        expected.map(([name]) => name as string),
      );
      expect([arch, Object.fromEntries(found)]).toEqual([arch, Object.fromEntries(expected)]);
    }
  });

  test('four open flags differ on arm64', () => {
    // arch/arm64/include/uapi/asm/fcntl.h; the rest is include/uapi/asm-generic/fcntl.h, as on x86-64.
    const own = { O_DIRECTORY: 0o40000, O_NOFOLLOW: 0o100000, O_DIRECT: 0o200000, O_LARGEFILE: 0o400000 };
    // __O_TMPFILE | O_DIRECTORY: a number of its own, made of one that differs.
    const made = { O_TMPFILE: 0o20040000 };
    expect(posix.openFlagsOf('arm64')).toEqual({ ...posix.openFlagsOf('x64'), ...own, ...made });
  });

  test('the same four on x86-64', () => {
    // include/uapi/asm-generic/fcntl.h
    expect(posix.openFlagsOf('x64')).toMatchObject({
      O_DIRECT: 0o40000,
      O_LARGEFILE: 0o100000,
      O_DIRECTORY: 0o200000,
      O_NOFOLLOW: 0o400000,
      O_TMPFILE: 0o20200000,
    });
  });

  test("the open flags are those of this process's architecture", () => {
    expect(posix).toMatchObject(posix.openFlagsOf(process.arch));
    const { O_DIRECT, O_DIRECTORY, O_NOFOLLOW } = fs;
    expect(posix).toMatchObject({ O_DIRECT, O_DIRECTORY, O_NOFOLLOW });
  });
});
