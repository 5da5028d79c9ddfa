/** The wrappers of system calls: what they return, what they throw, and a watch on a descriptor. */
import { execFileSync } from 'node:child_process';
import { fstatSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { EAGAIN, EBADF, Errno, SystemError } from '../../src/abi/errno.ts';
import { Memory } from '../../src/abi/memory.ts';
import { F_GETFL, F_SETFL, MADV_DONTNEED, O_NONBLOCK, O_RDONLY, O_WRONLY, PROT_READ } from '../../src/abi/posix.ts';
import {
  close,
  duplicate,
  fcntl,
  gettid,
  ioctl,
  madvise,
  mmap,
  mount,
  munmap,
  open,
  pageSize,
  read,
  socketpair,
  umount2,
  view,
  watch,
  write,
  writeBytes,
} from '../../src/abi/syscall.ts';

const opened: number[] = [];
afterEach(() => {
  for (const fd of opened.splice(0)) close(fd);
});
/** A pair of connected sockets that ends with the test. */
function pair(): [number, number] {
  const fds = socketpair(4096);
  opened.push(...fds);
  return fds;
}

function thrown(call: () => unknown): SystemError {
  try {
    call();
  } catch (error) {
    if (error instanceof SystemError) return error;
    throw error;
  }
  throw new Error('did not throw');
}

/** Past what any process has open. */
const NO_FD = 1_000_000;
/** A flag that umount2(2) has not: refused before anything else is looked at, for root and others. */
const NO_FLAG = 1 << 20;
const NOWHERE = '/rawfuse-test/not/there';

describe('a call that fails throws a SystemError with its errno, code and name', () => {
  test.each([
    ['open', 'ENOENT', 2, () => open(NOWHERE, O_RDONLY)],
    ['close', 'EBADF', 9, () => close(NO_FD)],
    ['fcntl', 'EBADF', 9, () => fcntl(NO_FD, F_GETFL, 0)],
    ['ioctl', 'EBADF', 9, () => ioctl(NO_FD, 0, 0)],
    ['mount', 'ENOENT', 2, () => mount('none', NOWHERE, 'tmpfs', 0, '')],
    ['umount2', 'EINVAL', 22, () => umount2(NOWHERE, NO_FLAG)],
    ['mmap', 'EBADF', 9, () => mmap(pageSize, PROT_READ, 1 /* MAP_SHARED */, NO_FD, 0)],
    ['munmap', 'EINVAL', 22, () => munmap(1, pageSize)],
    ['madvise', 'EINVAL', 22, () => madvise(1, pageSize, MADV_DONTNEED)],
  ] as const)('%s: %s', (syscall, code, errno, call) => {
    const error = thrown(call);
    expect(error).toBeInstanceOf(Errno);
    expect(error).toMatchObject({ syscall, code, errno });
    expect(error.message).toMatch(new RegExp(`^${syscall}: [a-z]`));
    expect(error.stack).toContain('syscall.test.ts');
  });
});

describe('read and write', () => {
  test('carry bytes from one address to another', () => {
    const [left, right] = pair();
    const from = new Memory(1);
    const to = new Memory(1);
    new Uint8Array(from.buffer).set([1, 2, 3, 4, 5]);
    expect(write(left, from.address + 1, 3)).toBe(3);
    expect(read(right, to.address + 10, 100)).toBe(3);
    expect([...new Uint8Array(to.buffer, 9, 5)]).toEqual([0, 2, 3, 4, 0]);
    from.free();
    to.free();
  });

  test('writeBytes sends bytes of the heap, of a view its own part only', () => {
    const [left, right] = pair();
    const to = new Memory(1);
    expect(writeBytes(left, Uint8Array.of(9, 8, 7, 6).subarray(1, 3))).toBe(2);
    expect(read(right, to.address, 100)).toBe(2);
    expect([...new Uint8Array(to.buffer, 0, 3)]).toEqual([8, 7, 0]);
    to.free();
  });

  test('return the errno, negated, and throw nothing', () => {
    const [fd] = pair();
    fcntl(fd, F_SETFL, O_NONBLOCK);
    const memory = new Memory(1);
    expect(read(fd, memory.address, 1)).toBe(-EAGAIN.errno);
    expect(read(NO_FD, memory.address, 1)).toBe(-EBADF.errno);
    expect(write(NO_FD, memory.address, 1)).toBe(-EBADF.errno);
    expect(writeBytes(NO_FD, Uint8Array.of(1))).toBe(-EBADF.errno);
    memory.free();
  });

  test('return 0 at the end', () => {
    const fd = open('/dev/null', O_RDONLY);
    opened.push(fd);
    const memory = new Memory(1);
    expect(read(fd, memory.address, 1)).toBe(0);
    memory.free();
  });
});

describe('descriptors', () => {
  test('open gives one that close ends', () => {
    const fd = open('/dev/null', O_WRONLY);
    expect(fstatSync(fd).isCharacterDevice()).toBe(true);
    close(fd);
    expect(() => fstatSync(fd)).toThrow('EBADF');
  });

  test('fcntl sets and gets flags', () => {
    const [fd] = pair();
    expect(fcntl(fd, F_GETFL, 0) & O_NONBLOCK).toBe(0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    expect(fcntl(fd, F_GETFL, 0) & O_NONBLOCK).toBe(O_NONBLOCK);
  });

  test('duplicate gives a second one of the same file, closed on exec', () => {
    const [fd] = pair();
    const second = duplicate(fd);
    opened.push(second);
    expect(second).not.toBe(fd);
    expect(fstatSync(second).ino).toBe(fstatSync(fd).ino);
    expect(fcntl(second, 1 /* F_GETFD */, 0)).toBe(1 /* FD_CLOEXEC */);
  });

  test('socketpair keeps message boundaries, and is closed on exec', () => {
    const [left, right] = pair();
    writeBytes(left, Uint8Array.of(1, 2));
    writeBytes(left, Uint8Array.of(3));
    const memory = new Memory(1);
    expect([read(right, memory.address, 100), read(right, memory.address, 100)]).toEqual([2, 1]);
    expect([left, right].map((fd) => fcntl(fd, 1 /* F_GETFD */, 0))).toEqual([1, 1]);
    memory.free();
  });
});

describe('this machine', () => {
  test('has the page size that getconf says', () => {
    expect(pageSize).toBe(Number(execFileSync('getconf', ['PAGESIZE'], { encoding: 'utf8' })));
  });

  test("has the process's first thread by the process's id", () => {
    expect(gettid()).toBe(process.pid);
  });

  test('shows the memory at an address, not a copy', () => {
    const memory = new Memory(1);
    const second = new Uint8Array(view(memory.address, 4));
    new Uint8Array(memory.buffer)[2] = 7;
    expect([...second]).toEqual([0, 0, 7, 0]);
    memory.free();
  });
});

describe('watch', () => {
  test('calls back when there is something to read, and no more once closed', async () => {
    const [left, right] = pair();
    const memory = new Memory(1);
    let calls = 0;
    let called = () => {};
    const watching = watch(right, { readable: true }, () => {
      read(right, memory.address, 100);
      calls++;
      called();
    });
    for (const expected of [1, 2]) {
      await new Promise<void>((resolve) => {
        called = resolve;
        writeBytes(left, Uint8Array.of(1));
      });
      expect(calls).toBe(expected);
    }
    watching.close();
    writeBytes(left, Uint8Array.of(1));
    // Two turns of the loop, in each of which a watch would have called.
    for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(calls).toBe(2);
    memory.free();
  });

  test('calls back when the other end closes', async () => {
    const [left, right] = socketpair(4096);
    await new Promise<void>((resolve) => {
      const watching = watch(right, { readable: true }, () => {
        watching.close();
        resolve();
      });
      close(left);
    });
    close(right);
  });
});
