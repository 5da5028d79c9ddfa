/** What tests of the engines share: bytes at addresses, one operation as a promise, a picture of a tree. */
import { closeSync, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { O_CLOEXEC } from '../../src/abi/posix.ts';
import { addressOf, SYS, systemCall } from '../../src/abi/syscall.ts';
import type { UringOpcode } from '../../src/abi/uring-constants.ts';
import type { Engine, Sqe } from '../../src/uring/engine.ts';

/** One operation as a promise of its result. */
export const one = (engine: Engine, opcode: UringOpcode | number, sqe: Sqe): Promise<number> =>
  new Promise((resolve) => engine.submit(opcode, sqe, resolve));

/** What has been given to the kernel by its address stays for as long as the process. */
const held: Buffer[] = [];
/** Bytes that stay where they are. */
export function bytes(from: number | Uint8Array): Buffer {
  const buffer = Buffer.allocUnsafeSlow(typeof from === 'number' ? from : from.length);
  if (typeof from === 'number') buffer.fill(0);
  else buffer.set(from);
  held.push(buffer);
  return buffer;
}
export const address = (buffer: Buffer): number => addressOf(buffer);
export const cString = (text: string): Buffer => bytes(Buffer.from(`${text}\0`));
/** An array of struct iovec. */
export function iovecs(...parts: readonly Buffer[]): Buffer {
  const array = bytes(16 * parts.length);
  for (const [i, part] of parts.entries()) {
    array.writeBigUInt64LE(BigInt(address(part)), i * 16);
    array.writeBigUInt64LE(BigInt(part.length), i * 16 + 8);
  }
  return array;
}
/** struct open_how */
export function openHow(flags: number, mode: number, resolve: number): Buffer {
  const how = bytes(24);
  for (const [i, word] of [flags, mode, resolve].entries()) how.writeBigUInt64LE(BigInt(word), i * 8);
  return how;
}

/** A pipe, with the flags of pipe2(2). Children don't inherit it: their hold would keep it from ending. */
export function pipe(flags = 0): { read: number; write: number; close(): void } {
  const pair = Buffer.allocUnsafeSlow(8);
  if (systemCall(SYS.pipe2, addressOf(pair), flags | O_CLOEXEC) < 0) throw new Error('pipe2');
  const [read, write] = [pair.readInt32LE(0), pair.readInt32LE(4)];
  return {
    ...{ read, write },
    close() {
      closeSync(read);
      closeSync(write);
    },
  };
}

/** A tree, a line for each name in it: type and mode, links, size, and what it holds. */
export function snapshot(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const path = join(dir, name);
      const { mode, size, nlink } = lstatSync(path);
      const type = mode & 0o170000;
      const holds = type === 0o100000 ? readFileSync(path, 'latin1') : type === 0o120000 ? readlinkSync(path) : '';
      return `${name} ${mode.toString(8)} ${nlink} ${type === 0o040000 ? '' : size} ${holds}`;
    });
}
