/**
 * System calls, and the only import of koffi. A wrapper returns what the call returned or throws a
 * SystemError (errno, code, syscall). The two on the path of every request, `read` and
 * `write`, return a negated errno instead: EAGAIN is an everyday answer there, not an exception.
 *
 * An address is a number: Linux gives user space at most 52 bits of it, and a number is the cheapest
 * argument koffi takes (read: 219 ns with a number, 262 with a Uint8Array). Every call here returns at
 * once or blocks the calling thread; none goes through koffi's async, whose pool is libuv's own of four.
 */
import { createRequire } from 'node:module';
import type Koffi from 'koffi';
import { enterCritical } from './critical.ts';
import { SystemError } from './errno.ts';
import { F_DUPFD_CLOEXEC } from './posix.ts';

const declared = enterCritical(); // before koffi, so that it can't be an import
const koffi = createRequire(import.meta.url)('koffi') as typeof Koffi;
const libc = koffi.load('libc.so.6');
// int64 results and size_t counts convert 35 ns faster than int ones. But only what C declares long, ssize_t or
// a pointer may be read as int64: of a function that returns int the upper half of the register is anything, and
// a -1 would look like 4294967295.
const libcRead = libc.func('int64 read(int fd, uintptr_t buffer, size_t count)');
const libcWrite = libc.func('int64 write(int fd, uintptr_t buffer, size_t count)');
const libcWriteBytes = libc.func('write', 'int64', ['int', 'void *', 'size_t']);
const libcOpen = libc.func('int open(const char *path, int flags, uint mode)');
const libcClose = libc.func('int close(int fd)');
const libcFcntl = libc.func('int fcntl(int fd, int command, int64 argument)');
const libcIoctl = libc.func('int ioctl(int fd, ulong request, uintptr_t argument)');
const libcMount = libc.func(
  'int mount(const char *source, const char *target, const char *type, ulong flags, const char *data)',
);
const libcUmount2 = libc.func('int umount2(const char *target, int flags)');
const libcMmap = libc.func(
  'int64 mmap(uintptr_t address, size_t length, int protection, int flags, int fd, int64 offset)',
);
const libcMunmap = libc.func('int munmap(uintptr_t address, size_t length)');
const libcMadvise = libc.func('int madvise(uintptr_t address, size_t length, int advice)');
const libcSysconf = libc.func('int64 sysconf(int name)');
const libcSocketpair = libc.func('int socketpair(int domain, int type, int protocol, _Out_ int *pair)');
const libcSetsockopt = libc.func('int setsockopt(int fd, int level, int name, int *value, uint length)');
const libcGettid = libc.func('int gettid()');
const libcGetaffinity = libc.func('int sched_getaffinity(int pid, size_t size, _Out_ uint8_t *mask)');
const libcSetaffinity = libc.func('int sched_setaffinity(int pid, size_t size, uint8_t *mask)');
const libcEventfd = libc.func('int eventfd(uint count, int flags)');
// glibc has no wrappers for io_uring; their numbers are the same on every architecture.
const libcUringSetup = libc.func('syscall', 'int64', ['int64', 'uint', 'uintptr_t']);
const libcUringEnter = libc.func('syscall', 'int64', ['int64', 'uint', 'uint', 'uint', 'uint', 'uintptr_t', 'size_t']);
const libcUringRegister = libc.func('syscall', 'int64', ['int64', 'uint', 'uint', 'uintptr_t', 'uint']);
const libcSyscall = libc.func('syscall', 'int64', ['int64', 'int64', 'int64', 'int64', 'int64', 'int64', 'int64']);
declared();

const SYS_IO_URING_SETUP = 425;
const SYS_IO_URING_ENTER = 426;
const SYS_IO_URING_REGISTER = 427;

/** The result of a call, or its errno thrown. koffi.errno() is live: any other call in between changes it. */
function checked(result: number, syscall: string): number {
  if (result < 0) throw new SystemError(koffi.errno(), syscall);
  return result;
}

/** The result of a call, its errno negated where it failed. To be asked at once: koffi.errno() is live. */
export const negated = (result: number): number => (result < 0 ? -koffi.errno() : result);

/** What may be given to a function of libc: numbers (addresses too), whole 64 bits, bytes. */
type Argument = number | bigint | Uint8Array;
/** Declares a function of libc, for the other files of this room. What C declares int is to be declared int (see above). */
export function define(name: string, result: 'int' | 'uint' | 'int64', parameters: string[]) {
  const leave = enterCritical();
  try {
    return libc.func(name, result, parameters) as (...given: Argument[]) => number;
  } finally {
    leave();
  }
}

/** read(2) to an address: the number of bytes, or a negated errno. */
export function read(fd: number, address: number, count: number): number {
  const n = libcRead(fd, address, count) as number;
  return n < 0 ? -koffi.errno() : n;
}

/** write(2) from an address: the number of bytes, or a negated errno. */
export function write(fd: number, address: number, count: number): number {
  const n = libcWrite(fd, address, count) as number;
  return n < 0 ? -koffi.errno() : n;
}

/** write(2) of bytes in the heap, where an address is not at hand: the number of bytes, or a negated errno. */
export function writeBytes(fd: number, bytes: Uint8Array): number {
  const n = libcWriteBytes(fd, bytes, bytes.length) as number;
  return n < 0 ? -koffi.errno() : n;
}

export const open = (path: string, flags: number, mode = 0): number => checked(libcOpen(path, flags, mode), 'open');
export const close = (fd: number): void => void checked(libcClose(fd), 'close');
export const fcntl = (fd: number, command: number, argument: number): number =>
  checked(libcFcntl(fd, command, argument), 'fcntl');
/** A second descriptor of the same open file. */
export const duplicate = (fd: number): number => fcntl(fd, F_DUPFD_CLOEXEC, 0);
export const ioctl = (fd: number, request: number, argument: number): number =>
  checked(libcIoctl(fd, request, argument), 'ioctl');

/** mount(2). Does not wait for the server: the kernel sends INIT and returns. */
export const mount = (source: string, target: string, type: string, flags: number, data: string): void =>
  void checked(libcMount(source, target, type, flags, data), 'mount');

/** umount2(2). May wait for the server of the mount: never call it on the thread that serves. */
export const umount2 = (target: string, flags: number): void => void checked(libcUmount2(target, flags), 'umount2');

/** mmap(2): the address. */
export const mmap = (length: number, protection: number, flags: number, fd: number, offset: number): number =>
  checked(libcMmap(0, length, protection, flags, fd, offset), 'mmap');
export const munmap = (address: number, length: number): void => void checked(libcMunmap(address, length), 'munmap');
export const madvise = (address: number, length: number, advice: number): void =>
  void checked(libcMadvise(address, length, advice), 'madvise');

/** The memory at an address as an ArrayBuffer, without a copy. Make one a region, once: a view costs 97 ns. */
export function view(address: number, length: number): ArrayBuffer {
  const leave = enterCritical();
  try {
    return koffi.view(BigInt(address), length);
  } finally {
    leave();
  }
}

/** io_uring_setup(2) with io_uring_params at an address: the ring's descriptor. */
export const ioUringSetup = (entries: number, params: number): number =>
  checked(libcUringSetup(SYS_IO_URING_SETUP, entries, params) as number, 'io_uring_setup');
/** io_uring_enter(2): how many were submitted, or a negated errno: EAGAIN, EBUSY and EINTR are everyday answers. */
export function ioUringEnter(fd: number, submit: number, complete: number, flags: number): number {
  const n = libcUringEnter(SYS_IO_URING_ENTER, fd, submit, complete, flags, 0, 0) as number;
  return n < 0 ? -koffi.errno() : n;
}
/** io_uring_register(2). */
export const ioUringRegister = (fd: number, opcode: number, argument: number, count: number): number =>
  checked(libcUringRegister(SYS_IO_URING_REGISTER, fd, opcode, argument, count) as number, 'io_uring_register');

/**
 * Numbers of system calls that are made without libc, whose wrappers stand in for what the kernel lacks.
 * @see arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h
 */
// biome-ignore format: a table
const NUMBERS = {
  //                 x86-64, arm64
  close:            [  3,  57],
  read:             [  0,  63],
  write:            [  1,  64],
  pread64:          [ 17,  67],
  pwrite64:         [ 18,  68],
  preadv2:          [327, 286],
  pwritev2:         [328, 287],
  recvmsg:          [ 47, 212],
  sendmsg:          [ 46, 211],
  fsync:            [ 74,  82],
  fdatasync:        [ 75,  83],
  sync_file_range:  [277,  84],
  fallocate:        [285,  47],
  ftruncate:        [ 77,  46],
  fadvise64:        [221, 223],
  madvise:          [ 28, 233],
  splice:           [275,  76],
  tee:              [276,  77],
  openat:           [257,  56],
  openat2:          [437, 437],
  statx:            [332, 291],
  renameat2:        [316, 276],
  linkat:           [265,  37],
  symlinkat:        [266,  36],
  unlinkat:         [263,  35],
  mkdirat:          [258,  34],
  getxattr:         [191,   8],
  setxattr:         [188,   5],
  fgetxattr:        [193,  10],
  fsetxattr:        [190,   7],
  fcntl:            [ 72,  25],
  ioctl:            [ 16,  29],
  pipe2:            [293,  59],
  ppoll:            [271,  73],
  epoll_create1:    [291,  20],
  epoll_ctl:        [233,  21],
  epoll_pwait:      [281,  22],
  getdents64:       [217,  61],
  faccessat2:       [439, 439],
  setfsuid:         [122, 151],
  setfsgid:         [123, 152],
  setgroups:        [116, 159],
  capget:           [125,  90],
  capset:           [126,  91],
  fanotify_init:    [300, 262],
  fanotify_mark:    [301, 263],
  memfd_create:     [319, 279],
  fsopen:           [430, 430],
  fsconfig:         [431, 431],
  fsmount:          [432, 432],
  fspick:           [433, 433],
} as const;
type SystemCallName = keyof typeof NUMBERS;
/** The numbers of an architecture. */
export const systemCallsOf = (arch: string) =>
  Object.fromEntries(Object.entries(NUMBERS).map(([name, row]) => [name, row[arch === 'arm64' ? 1 : 0]])) as {
    readonly [name in SystemCallName]: number;
  };
export const SYS = systemCallsOf(process.arch);

/** Any system call, by number: what the kernel answered, a negated errno where it failed. */
export function systemCall(number: number, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0): number {
  const result = libcSyscall(number, a, b, c, d, e, f) as number;
  return result < 0 ? -koffi.errno() : result;
}

/** The 64-bit word at an address. For what is known to be there: the kernel has just read it, say. */
export const wordAt = (address: number): number => Number(koffi.decode(BigInt(address), 'uint64'));

/**
 * Where bytes lie, for a call that does not return at once: they stay there as long as their ArrayBuffer is neither
 * collected nor detached nor resized, which is for the caller to see to. Asking for `buffer` moves small arrays out of
 * V8's heap, where they would move.
 */
export function addressOf(bytes: Uint8Array): number {
  void bytes.buffer;
  return Number(koffi.address(bytes));
}

const SC_PAGESIZE = 30;
/** Bytes in a page: 4096 on x86-64; 4096, 16384 or 65536 on arm64. */
export const pageSize: number = libcSysconf(SC_PAGESIZE);

/** The calling thread's id, which is what a request's `pid` holds when this thread made it. */
export const gettid = (): number => libcGettid();

/** Bytes of a set of CPUs: 8192 of them. */
const CPU_SET = 1024;
/** Calls on a CPU, where the calling thread stays for as long as that takes. EINVAL where it may not run there. */
export function onCpu<T>(cpu: number, call: () => T): T {
  const allowed = new Uint8Array(CPU_SET);
  checked(libcGetaffinity(0, CPU_SET, allowed), 'sched_getaffinity');
  const one = new Uint8Array(CPU_SET);
  one[cpu >> 3] = 1 << (cpu & 7);
  checked(libcSetaffinity(0, CPU_SET, one), 'sched_setaffinity');
  try {
    return call();
  } finally {
    libcSetaffinity(0, CPU_SET, allowed);
  }
}

const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;
/** eventfd(2): a counter that is readable while it is not 0. Neither reading nor writing waits. */
export const eventfd = (): number => checked(libcEventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), 'eventfd');

const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
/** A pair of connected sockets that keep message boundaries, as /dev/fuse does, with room for `bytes` of messages. */
export function socketpair(bytes: number): [number, number] {
  const pair: [number, number] = [-1, -1];
  checked(libcSocketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 'socketpair');
  for (const fd of pair) libcSetsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, [bytes], 4); // root only; else the default holds
  return pair;
}

/** The CPUs that the calling thread may run on. sched_getaffinity(2). */
export function usableCpus(): number[] {
  const mask = new Uint8Array(CPU_SET);
  checked(libcGetaffinity(0, CPU_SET, mask), 'sched_getaffinity');
  const cpus: number[] = [];
  for (let cpu = 0; cpu < CPU_SET * 8; cpu++) if (mask[cpu >> 3]! & (1 << (cpu & 7))) cpus.push(cpu);
  return cpus;
}
/** Lets the calling thread run on these CPUs alone. False where a cpuset or a seccomp filter has none of it. sched_setaffinity(2). */
export function pinTo(cpus: readonly number[]): boolean {
  const mask = new Uint8Array(CPU_SET);
  for (const cpu of cpus) mask[cpu >> 3]! |= 1 << (cpu & 7);
  return libcSetaffinity(0, CPU_SET, mask) === 0;
}

/** A watch on a descriptor. Hold it: collected, it silently stops; `close()` ends it. */
export interface Watch {
  close(): void;
  ref(): void;
  unref(): void;
}

/**
 * Calls back on every turn of the event loop in which the descriptor is readable (or writable) or broken.
 * The callback must not throw: koffi would end the watch without a word.
 */
export const watch = (fd: number, events: { readable?: boolean; writable?: boolean }, callback: () => void): Watch =>
  koffi.node.poll(fd, events, callback) as unknown as Watch;
