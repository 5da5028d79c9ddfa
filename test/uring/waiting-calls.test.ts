/**
 * Calls that would wait, on a kernel that can't be asked not to: before Linux 6.5 RWF_NOWAIT is EOPNOTSUPP on pipes and
 * sockets. They are made on this thread, which would not come back from one that waits.
 */
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { beforeEach, expect, test, vi } from 'vitest';
import { EBADF, EOPNOTSUPP, EPIPE, ESPIPE } from '../../src/abi/errno.ts';
import { F_GETFL, O_CLOEXEC, O_NONBLOCK, RWF_NOWAIT } from '../../src/abi/posix.ts';
import { eventfd, fcntl, socketpair } from '../../src/abi/syscall.ts';
import { IORING_OP, type UringOpcode } from '../../src/abi/uring-constants.ts';
import type { Sqe } from '../../src/uring/engine.ts';
import { HELD_FD, type Told } from '../../src/uring/pool-queue.ts';
import { perform } from '../../src/uring/system-calls.ts';
import { NOT_YET, UNTIL_READABLE, UNTIL_WRITABLE } from '../../src/uring/waiting-calls.ts';
import { address, bytes, iovecs, pipe } from './engines.ts';

let refused = 0;
vi.mock('../../src/abi/syscall.ts', async (original) => {
  const real = await original<typeof import('../../src/abi/syscall.ts')>();
  return {
    ...real,
    systemCall(number: number, ...args: number[]): number {
      const asks = number === real.SYS.preadv2 || number === real.SYS.pwritev2;
      if (!asks || ((args[5] ?? 0) & RWF_NOWAIT) === 0) return real.systemCall(number, ...args);
      refused++;
      // It checks that the file is open for this first.
      const checked = real.systemCall(number, args[0], 0, 0, -1);
      return checked < 0 ? checked : -EOPNOTSUPP.errno;
    },
  };
});
beforeEach(() => {
  refused = 0;
});

/** Makes the call; what it changed is in `last`. */
let last: Told;
function call(opcode: UringOpcode, sqe: Sqe): number {
  last = {
    ...{ opcode: IORING_OP[opcode], fd: 0, off: 0, addr: 0, len: 0, op_flags: 0, buf_index: 0, personality: 0 },
    ...{ file_index: 0, addr3: 0, flags: 0, ioprio: 0, held: 0, insist: 0, ...sqe },
  };
  const res = perform(last);
  if (last.held & HELD_FD) {
    expect([res < NOT_YET, last.fd === sqe.fd]).toEqual([true, false]);
    closeSync(last.fd);
  }
  return res;
}
const into = bytes(1 << 20);
const addr = address(into);

test('a pipe is opened again to be asked: its flags stay', () => {
  const { read, write, close } = pipe();
  expect(call('READ', { fd: read, addr, len: 10 })).toBe(UNTIL_READABLE);
  expect(call('WRITE', { fd: write, addr, len: 1 << 20, off: 9 })).toBe(65536);
  expect(call('WRITE', { fd: write, addr, len: 10 })).toBe(UNTIL_WRITABLE);
  expect(call('WRITEV', { fd: write, addr: address(iovecs(into)), len: 1 })).toBe(UNTIL_WRITABLE);
  expect(call('READ', { fd: read, addr, len: 10, off: 9 })).toBe(10);
  expect(call('READV', { fd: read, addr: address(iovecs(into)), len: 1, off: -1 })).toBe(65526);
  expect(call('READ', { fd: write, addr, len: 10 })).toBe(-EBADF.errno);
  expect(call('READ', { fd: read, addr, len: 10, op_flags: RWF_NOWAIT })).toBe(-EOPNOTSUPP.errno);
  for (const fd of [read, write]) expect(fcntl(fd, F_GETFL, 0) & O_NONBLOCK).toBe(0);
  expect(refused).toBeGreaterThan(5);
  close();
});

test('a pipe whose other end has gone says so', () => {
  const [one, other] = [pipe(), pipe()];
  writeSync(one.write, 'left');
  closeSync(one.write);
  closeSync(other.read);
  expect(call('READ', { fd: one.read, addr, len: 10 })).toBe(4);
  expect(call('READ', { fd: one.read, addr, len: 10 })).toBe(0);
  expect(call('WRITE', { fd: other.write, addr, len: 10 })).toBe(-EPIPE.errno);
  closeSync(one.read);
  closeSync(other.write);
});

test('a socket is asked by a message’s flag', () => {
  const [a, b] = socketpair(1 << 16);
  expect(call('READ', { fd: a, addr, len: 10 })).toBe(UNTIL_READABLE);
  expect(call('WRITE', { fd: b, addr, len: 1000 })).toBe(1000);
  expect(call('READV', { fd: a, addr: address(iovecs(into.subarray(0, 10), into.subarray(10, 2000))), len: 2 })).toBe(
    1000,
  );
  expect(call('READ', { fd: a, addr, len: 10, off: 9 })).toBe(-ESPIPE.errno);
  let res: number;
  do res = call('WRITE', { fd: b, addr, len: 1000 });
  while (res === 1000);
  expect(res).toBe(UNTIL_WRITABLE);
  closeSync(b);
  while (call('READ', { fd: a, addr, len: 1000 }) > 0);
  closeSync(a);
});

test('what else there is, is polled first', () => {
  const fd = eventfd();
  fcntl(fd, 4, 0); // F_SETFL: one that waits
  expect(call('READ', { fd, addr, len: 8, off: -1 })).toBe(UNTIL_READABLE);
  into.writeBigUInt64LE(5n, 0);
  expect(call('WRITE', { fd, addr, len: 8, off: -1 })).toBe(8);
  expect(call('READ', { fd, addr, len: 8, off: -1 })).toBe(8);
  expect(into.readBigUInt64LE(0)).toBe(5n);
  closeSync(fd);
  const zero = openSync('/dev/zero', constants.O_RDWR | O_CLOEXEC);
  expect(call('READ', { fd: zero, addr, len: 8, off: 100 })).toBe(8);
  expect(call('WRITE', { fd: zero, addr, len: 8, off: 100 })).toBe(8);
  closeSync(zero);
});
