/**
 * Setting a ring up: asking the kernel for one with the flags that serve best, and for fewer where it does not know
 * them; mapping its queues; and what the kernel said that it can. Where there is no io_uring to be had, UringError says
 * which of the reasons it is.
 * @see io_uring/io_uring.c: io_uring_create
 */
import { readFileSync } from 'node:fs';
import { EINVAL, ENOMEM, ENOSYS, EPERM, Errno, SystemError } from '../abi/errno.ts';
import { Memory } from '../abi/memory.ts';
import { MAP_POPULATE, MAP_SHARED, PROT_READ, PROT_WRITE } from '../abi/posix.ts';
import { close, ioUringRegister, ioUringSetup, mmap, munmap, view } from '../abi/syscall.ts';
import { io_uring_params, io_uring_probe, io_uring_probe_op } from '../abi/uring.ts';
import {
  IO_URING_OP_SUPPORTED,
  IORING_FEAT_NODROP,
  IORING_FEAT_SINGLE_MMAP,
  IORING_OFF_SQ_RING,
  IORING_OFF_SQES,
  IORING_OP,
  IORING_REGISTER_PROBE,
  IORING_SETUP_CLAMP,
  IORING_SETUP_COOP_TASKRUN,
  IORING_SETUP_CQE_MIXED,
  IORING_SETUP_CQE32,
  IORING_SETUP_CQSIZE,
  IORING_SETUP_DEFER_TASKRUN,
  IORING_SETUP_SINGLE_ISSUER,
  IORING_SETUP_SQ_AFF,
  IORING_SETUP_SQE_MIXED,
  IORING_SETUP_SQE128,
  IORING_SETUP_SQPOLL,
  IORING_SETUP_SUBMIT_ALL,
  IORING_SETUP_TASKRUN_FLAG,
  type UringOpcode,
} from '../abi/uring-constants.ts';
import type { WakeHandle } from './wake.ts';

/** Why there is no io_uring: one line for the user, and the kind of reason. */
export class UringError extends Error {
  override readonly name = 'UringError';
  /** `disabled` (kernel.io_uring_disabled), `forbidden` (seccomp, an LSM), `absent` (the kernel has none), `too-old`, `failed`. */
  readonly reason: 'disabled' | 'forbidden' | 'absent' | 'too-old' | 'failed';
  constructor(reason: UringError['reason'], message: string, cause?: unknown) {
    super(message, { cause });
    this.reason = reason;
  }
}

export interface RingOptions {
  /** Entries of the submission queue: 1 to 32,768, rounded up to a power of two. Default 256. */
  readonly entries?: number | undefined;
  /** Entries of the completion queue; default twice as many. More completions wait in the kernel. */
  readonly completions?: number | undefined;
  /** SQEs of 128 bytes, for IORING_OP_URING_CMD; `mixed`: of both sizes, the large for opcodes that end in 128 (Linux 6.19). Default false. */
  readonly sqe128?: boolean | 'mixed' | undefined;
  /** CQEs of 32 bytes, or of both sizes (Linux 6.18). Default false. @see Queues.extra */
  readonly cqe32?: boolean | 'mixed' | undefined;
  /**
   * A thread of the kernel's takes operations out by itself, and sleeps after `idle` milliseconds (default 1000) with none;
   * `cpu` pins it. Worth it where a CPU can be spared for it. Where it can't be had the ring is one without.
   */
  readonly sqpoll?: { readonly idle?: number | undefined; readonly cpu?: number | undefined } | undefined;
  /** For a thread that waits in the kernel instead of on its event loop: what wakes it. @see Ring.wait */
  readonly blocking?: WakeHandle | undefined;
}

/** How completions come: from best to plain. */
export const TIERS = [
  // Only when the submitter asks: no interruption of what it does, and several at once.
  { name: 'defer', flags: IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER }, // Linux 6.1
  // At the submitter's next system call, and the ring says that there is something.
  { name: 'cooperative', flags: IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG }, // 5.19
  // By interrupting the submitter.
  { name: 'plain', flags: 0 },
] as const;
/** Instead of all of them, where it is asked for: the kernel's thread has completions of its own. */
const SQPOLL = { name: 'sqpoll', flags: IORING_SETUP_SQPOLL } as const;
export type Tier = (typeof TIERS)[number]['name'] | 'sqpoll';
type TierFlags = { readonly name: Tier; readonly flags: number };
/**
 * Those that fit an event loop. With DEFER_TASKRUN nothing wakes who polls the ring's descriptor: only a thread that
 * waits in io_uring_enter(2) is woken. @see io_uring/io_uring.c: io_req_local_work_add
 */
const LOOP_TIERS = TIERS.filter(({ name }) => name !== 'defer');

const SIZES = {
  sqe: { false: 0, true: IORING_SETUP_SQE128, mixed: IORING_SETUP_SQE_MIXED },
  cqe: { false: 0, true: IORING_SETUP_CQE32, mixed: IORING_SETUP_CQE_MIXED },
} as const;
/** Milliseconds for which the kernel's thread looks for operations before it sleeps. */
const IDLE = 1000;

/** A ring's descriptor, its memory, and what the kernel said of it. */
export interface RingMemory {
  readonly fd: number;
  readonly tier: Tier;
  /** IORING_FEAT_ bits. */
  readonly features: number;
  readonly params: ReturnType<typeof io_uring_params.decode>;
  /** Both queues, in 32-bit words. */
  readonly words: Int32Array<ArrayBuffer>;
  /** The SQEs. */
  readonly sqes: ArrayBuffer;
  /** Gives all back. No view may be used afterwards. */
  free(): void;
}

/** What sets a ring up, and what it may call: a test refuses in its place. */
export type SetupCall = (
  entries: number,
  params: number,
  call: { readonly flags: number; make(entries: number, params: number): number },
) => number;
const call: SetupCall = (entries, params, { make }) => make(entries, params);

/** Sets a ring up, in the first of the tiers that the kernel takes. UringError; RangeError for options that can't be. */
export function setUp(
  { entries = 256, completions, sqe128 = false, cqe32 = false, sqpoll, blocking }: RingOptions,
  setup: SetupCall = call,
  tiers: readonly TierFlags[] = blocking ? TIERS : LOOP_TIERS,
): RingMemory {
  for (const [name, value, most] of [
    ['entries', entries, 32_768],
    ['completions', completions ?? 2 * entries, 65_536],
    ['sqpoll.idle', sqpoll?.idle ?? IDLE, 0x7fff_ffff],
  ] as const)
    if (!Number.isInteger(value) || value < 1 || value > most)
      throw new RangeError(`${name} is ${value}: a whole number from 1 to ${most} is needed`);
  const affinity = sqpoll?.cpu === undefined ? 0 : IORING_SETUP_SQ_AFF;
  const common = IORING_SETUP_CLAMP | SIZES.sqe[`${sqe128}`] | SIZES.cqe[`${cqe32}`];
  const room = completions === undefined ? 0 : IORING_SETUP_CQSIZE;
  const memory = new Memory(io_uring_params.size);
  const at = new DataView(memory.buffer);
  try {
    for (const { name, flags } of sqpoll ? [SQPOLL, ...tiers] : tiers) {
      // SUBMIT_ALL (5.18) is left out where the rest is, too.
      let all = flags === 0 ? common | room : common | room | flags | IORING_SETUP_SUBMIT_ALL;
      if (name === 'sqpoll') all = common | room | flags | affinity;
      new Uint8Array(memory.buffer).fill(0);
      at.setUint32(io_uring_params.offset.flags, all, true);
      at.setUint32(io_uring_params.offset.cq_entries, completions ?? 0, true);
      at.setUint32(io_uring_params.offset.sq_thread_cpu, sqpoll?.cpu ?? 0, true);
      at.setUint32(io_uring_params.offset.sq_thread_idle, sqpoll?.idle ?? IDLE, true);
      try {
        const fd = setup(entries, memory.address, { flags: all, make: ioUringSetup });
        return mapped(fd, name, io_uring_params.decode(at, 0), { sqe128, cqe32 });
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        if (error.errno === EINVAL.errno && flags !== 0) continue; // a kernel that does not know this tier
        if (name === 'sqpoll') continue; // refused to the unprivileged before Linux 5.11, and where threads are short
        throw refused(error);
      }
    }
  } finally {
    memory.free();
  }
  throw new UringError('too-old', 'io_uring of this kernel has not what is needed');
}

function mapped(
  fd: number,
  tier: Tier,
  params: RingMemory['params'],
  { sqe128, cqe32 }: { sqe128: boolean | 'mixed'; cqe32: boolean | 'mixed' },
): RingMemory {
  const { features, sq_entries, cq_entries, sq_off, cq_off } = params;
  if (!(features & IORING_FEAT_SINGLE_MMAP) || !(features & IORING_FEAT_NODROP)) {
    close(fd);
    throw new UringError('too-old', 'io_uring of this kernel is older than Linux 5.5');
  }
  const length = Math.max(sq_off.array + sq_entries * 4, cq_off.cqes + cq_entries * (cqe32 === true ? 32 : 16));
  const sqesLength = sq_entries * (sqe128 === true ? 128 : 64);
  const map = (bytes: number, offset: number) =>
    mmap(bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);
  const ring = map(length, IORING_OFF_SQ_RING);
  const sqes = map(sqesLength, IORING_OFF_SQES);
  const rounded = Math.floor(length / 4) * 4;
  return {
    ...{ fd, tier, features, params },
    words: new Int32Array(view(ring, rounded)),
    sqes: view(sqes, sqesLength),
    free() {
      munmap(ring, length);
      munmap(sqes, sqesLength);
      close(fd);
    },
  };
}

function refused(error: SystemError): UringError {
  const { errno } = error;
  if (errno === ENOSYS.errno) return new UringError('absent', 'this kernel has no io_uring', error);
  if (errno === ENOMEM.errno)
    return new UringError('failed', 'no memory for a ring: raise RLIMIT_MEMLOCK, or use fewer entries', error);
  if (errno !== EPERM.errno) return new UringError('failed', `io_uring_setup: ${error.message}`, error);
  const disabled = disabledBySysctl();
  return disabled > 0
    ? new UringError('disabled', `io_uring is switched off: kernel.io_uring_disabled is ${disabled}`, error)
    : new UringError('forbidden', 'io_uring is forbidden to this process, by seccomp or a security module', error);
}

/** 0: for everybody; 1: for the privileged; 2: for nobody. */
function disabledBySysctl(): number {
  try {
    return Number(readFileSync('/proc/sys/kernel/io_uring_disabled', 'utf8'));
  } catch {
    return 0; // before Linux 6.6
  }
}

/** What the running kernel's io_uring has. */
export interface UringProbe {
  /** The best that it takes. */
  readonly tier: Tier;
  /** IORING_FEAT_ bits. */
  readonly features: number;
  /** The opcodes that it serves. */
  readonly opcodes: ReadonlySet<UringOpcode>;
  /** Its highest opcode, which may be beyond those we know. */
  readonly last: number;
  /** Whether a thread of the kernel's may take operations out for this process (`RingOptions.sqpoll`). */
  readonly sqpoll: boolean;
}
let found: UringProbe | Error | undefined;

/** Asks the kernel once, and remembers. UringError. */
export function probe(): UringProbe {
  found ??= ask();
  if (found instanceof Error) throw found;
  return found;
}

const PROBED = 256;
function ask(): UringProbe | Error {
  let ring: RingMemory;
  try {
    ring = setUp({ entries: 1 }, call, [...TIERS]);
  } catch (error) {
    return error as Error;
  }
  const memory = new Memory(io_uring_probe.size + PROBED * io_uring_probe_op.size);
  try {
    ioUringRegister(ring.fd, IORING_REGISTER_PROBE, memory.address, PROBED);
    const at = new DataView(memory.buffer);
    const { last_op: last, ops_len } = io_uring_probe.decode(at, 0);
    const served = new Set<number>();
    for (let i = 0; i < ops_len; i++) {
      const { op, flags } = io_uring_probe_op.decode(at, io_uring_probe.size + i * io_uring_probe_op.size);
      if (flags & IO_URING_OP_SUPPORTED) served.add(op);
    }
    const names = (Object.keys(IORING_OP) as UringOpcode[]).filter((name) => served.has(IORING_OP[name]));
    const polled = setUp({ entries: 1, sqpoll: {} });
    polled.free();
    return {
      ...{ tier: ring.tier, features: ring.features, opcodes: new Set(names), last },
      sqpoll: polled.tier === 'sqpoll',
    };
  } catch (error) {
    if (error instanceof Errno || error instanceof SystemError)
      return new UringError('too-old', 'io_uring of this kernel can’t be asked what it has (Linux 5.6)', error);
    throw error;
  } finally {
    memory.free();
    ring.free();
  }
}
