/**
 * The kernel's side of FUSE over io_uring, played in memory: it takes what is submitted word by word, puts requests where
 * the REGISTER of an entry said, and completes what a test wants as it wants it. /dev/fuse is one end of a socket pair.
 */
import { expect } from 'vitest';
import { fuse_in_header, fuse_out_header } from '../../src/abi/fuse.ts';
import { Memory } from '../../src/abi/memory.ts';
import { close, duplicate, eventfd, read, socketpair, writeBytes } from '../../src/abi/syscall.ts';
import { io_uring_params } from '../../src/abi/uring.ts';
import type { Filesystem } from '../../src/protocol/filesystem.ts';
import { Session, type SessionOptions } from '../../src/protocol/session.ts';
import { lowWord, type RingSystem, SUBSYSTEM } from '../../src/uring/queues.ts';
import { Ring } from '../../src/uring/ring.ts';
import type { RingOptions } from '../../src/uring/setup.ts';
import { UringTransport } from '../../src/uring/transport.ts';
import type { PlanOptions } from '../../src/uring/transport-plan.ts';
import type { TransportSystem } from '../../src/uring/transport-system.ts';
import { initRequest, rows } from '../protocol/support.ts';

/** A command as it was submitted. */
export interface Command {
  readonly opcode: number;
  readonly fd: number;
  readonly cmdOp: number;
  readonly addr: number;
  readonly len: number;
  readonly entry: number;
  readonly commitId: bigint;
  readonly qid: number;
  readonly words: readonly number[];
}
/** What a commit brought: the reply, as the kernel would read it. */
export interface Reply {
  readonly unique: bigint;
  readonly error: number;
  readonly body: Buffer;
}

const SQ_ENTRIES = 256;
const CQ_ENTRIES = 1024;
const NOTIFY_REPLY = 41;
const URING_CMD = 46;

export class PlayedKernel implements AsyncDisposable {
  readonly session: Session;
  readonly transport: UringTransport;
  readonly warnings: string[] = [];
  readonly errors: unknown[] = [];
  /** All commands, in their order; a test may take out those that it has seen. */
  readonly commands: Command[] = [];
  /** What was written to /dev/fuse by `TransportSystem.notify`, and on which CPU. */
  readonly nudges: { readonly cpu: number; readonly message: Buffer }[] = [];
  ring!: Ring;
  /** Replaced by a test: what a submission gives instead. */
  refuse: ((submit: number) => number | undefined) | undefined;
  /** The last REGISTER of each entry. */
  readonly #registered = new Map<number, Command>();
  readonly #memories: Memory[] = [];
  #words!: Int32Array<ArrayBuffer>;
  #sqes!: Int32Array<ArrayBuffer>;
  readonly #device: number;
  readonly #probe: number;
  enters = 0;

  constructor(
    filesystem: Filesystem,
    options: SessionOptions = {},
    planned: PlanOptions = {},
    system: Partial<TransportSystem> = {},
  ) {
    const [ours, theirs] = socketpair(4 << 20);
    this.#device = theirs;
    this.#probe = duplicate(theirs);
    this.session = new Session(filesystem, {
      ring: 'must',
      onError: (error) => this.errors.push(error),
      onWarning: (message) => this.warnings.push(message),
      ...options,
    });
    this.transport = new UringTransport(ours, this.session, planned, {
      ring: (asked) => {
        this.ring = new Ring(asked, this.#system);
        return this.ring;
      },
      reserve: (bytes) => {
        const memory = new Memory(bytes);
        this.#memories.push(memory);
        return memory;
      },
      cpus: () => 2,
      notify: (_, message, cpu) => void this.nudges.push({ cpu, message: Buffer.from(message) }),
      enabled: () => 'Y',
      ...system,
    });
    this.transport.start();
  }

  /** INIT, up to the commands that register entries. */
  async begin(init: Readonly<Record<string, number>> = {}): Promise<this> {
    this.message(initRequest({ flags2: 0x7fd | (1 << 9), ...init }));
    await this.session.ready;
    return this;
  }

  /** A message over /dev/fuse. */
  message(bytes: Uint8Array): void {
    expect(writeBytes(this.#device, bytes)).toBe(bytes.length);
  }

  readonly #system: RingSystem = {
    setUp: (_: RingOptions) => {
      const params = io_uring_params.decode(new DataView(new ArrayBuffer(io_uring_params.size)), 0);
      // Six words for the indexes of both queues, their masks, then what they hold.
      const sq_off = { ...params.sq_off, head: 0, tail: 4, ring_mask: 16, flags: 24, array: 64 };
      const cq_off = { ...params.cq_off, head: 8, tail: 12, ring_mask: 20, cqes: 64 + 4 * SQ_ENTRIES };
      this.#words = new Int32Array(16 + SQ_ENTRIES + 4 * CQ_ENTRIES);
      this.#words[4] = SQ_ENTRIES - 1;
      this.#words[5] = CQ_ENTRIES - 1;
      const sqes = new ArrayBuffer(128 * SQ_ENTRIES);
      this.#sqes = new Int32Array(sqes);
      const fd = eventfd();
      return {
        ...{ fd, tier: 'cooperative', features: 0, words: this.#words, sqes },
        params: { ...params, sq_off, cq_off },
        free: () => close(fd),
      };
    },
    enter: (_fd, submit) => {
      this.enters++;
      const refused = this.refuse?.(submit);
      if (refused !== undefined) return refused;
      const words = this.#words;
      for (let i = 0; i < submit; i++) this.#take(words[16 + (words[0]! & (SQ_ENTRIES - 1))]!);
      return submit;
    },
  };

  #take(place: number): void {
    this.#words[0] = (this.#words[0]! + 1) | 0;
    const words = [...this.#sqes.subarray(place * 32, place * 32 + 32)];
    if (words[0] !== URING_CMD) return; // asks to cancel a command: that completes when the test ends
    const wide = (at: number) => (words[at]! >>> 0) + words[at + 1]! * 0x1_0000_0000;
    const command: Command = {
      ...{ opcode: words[0]!, fd: words[1]!, cmdOp: words[2]!, addr: wide(4), len: words[6]! },
      ...{ entry: words[8]! & 0xff_ffff, commitId: this.#sqe64(place, 14), qid: words[16]!, words },
    };
    this.commands.push(command);
    if (command.cmdOp === 1) this.#registered.set(command.entry, command);
  }
  #sqe64(place: number, word: number): bigint {
    return new DataView(this.#sqes.buffer).getBigUint64(place * 128 + word * 4, true);
  }

  /** Memory of the process at an address that a command named. */
  at(address: number, length: number): DataView {
    const memory = this.#memories.find((each) => address >= each.address && address < each.address + each.length)!;
    expect(address + length - memory.address).toBeLessThanOrEqual(memory.length);
    return new DataView(memory.buffer, address - memory.address, length);
  }

  /** Where an entry's headers and payload are, as its REGISTER said. */
  buffers(entry: number): { header: DataView; payload: DataView } {
    const { addr, len } = this.#registered.get(entry)!;
    expect(len).toBe(2);
    const iovecs = this.at(addr, 32);
    const [header, headerSize, payload, payloadSize] = [0, 8, 16, 24].map((at) =>
      Number(iovecs.getBigUint64(at, true)),
    ) as [number, number, number, number];
    expect(headerSize).toBeGreaterThanOrEqual(288);
    return { header: this.at(header, headerSize), payload: this.at(payload, payloadSize) };
  }

  /** Leaves in an entry's payload what no message has: where one ends, this begins. A struct has no length here, and so no end. */
  poison(entry: number, pattern: Uint8Array): void {
    const { payload } = this.buffers(entry);
    Buffer.from(payload.buffer, payload.byteOffset, Math.min(payload.byteLength, 1 << 15)).fill(pattern);
  }

  /** Puts a message into an entry, as the kernel would; `size` overrides what it says is in the payload. */
  load(entry: number, message: Buffer, size?: number): void {
    const { header, payload } = this.buffers(entry);
    const opcode = message.readUInt32LE(4);
    const row = Object.values(rows).find((each) => each.code === opcode && each.compat !== true);
    const struct = opcode === NOTIFY_REPLY ? 0 : (row?.in?.size ?? 0);
    const put = (view: DataView, at: number, bytes: Uint8Array) =>
      new Uint8Array(view.buffer, view.byteOffset + at, bytes.length).set(bytes);
    put(header, 0, message.subarray(0, fuse_in_header.size));
    const rest = message.subarray(fuse_in_header.size);
    put(header, 128, rest.subarray(0, struct));
    put(payload, 0, rest.subarray(struct));
    header.setBigUint64(256, 0n, true);
    header.setBigUint64(264, message.readBigUInt64LE(8), true);
    header.setUint32(272, size ?? Math.max(0, rest.length - struct), true);
  }

  /** Completes an entry's command. It is seen when the ring is. */
  complete(entry: number, res = 0): void {
    const words = this.#words;
    const at = (64 + 4 * SQ_ENTRIES) / 4 + (words[3]! & (CQ_ENTRIES - 1)) * 4;
    words[at] = lowWord(SUBSYSTEM.fuse, entry);
    words[at + 1] = 0;
    words[at + 2] = res;
    words[at + 3] = 0;
    words[3] = (words[3]! + 1) | 0;
  }

  /** A request comes to an entry and is served: what was submitted meanwhile. */
  deliver(entry: number, message: Buffer, size?: number): Command[] {
    const from = this.commands.length;
    this.load(entry, message, size);
    this.complete(entry);
    this.ring.poll();
    return this.commands.slice(from);
  }

  /** What stands in an entry that was committed. */
  reply(entry: number): Reply {
    const { header, payload } = this.buffers(entry);
    const { error, unique } = fuse_out_header.decode(header, 0);
    const size = header.getUint32(272, true);
    return { error, unique, body: Buffer.from(payload.buffer, payload.byteOffset, size) };
  }

  /** All that was written to /dev/fuse; the descriptor of the other end is closed by who ends the session. */
  written(): number {
    const memory = new Memory(1 << 16);
    const n = read(this.#probe, memory.address, memory.length);
    memory.free();
    return n;
  }

  /** The kernel takes down what it has: each entry's command ends with the error. */
  takeDown(res: number, entries: readonly number[]): void {
    for (const entry of entries) this.complete(entry, res);
    this.ring.poll();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.session.end({ reason: 'unmounted' });
    // As the kernel would, when it is asked to cancel.
    for (let i = 0; i < 3; i++) {
      await new Promise((resolve) => setImmediate(resolve));
      for (const entry of this.#registered.keys()) this.complete(entry, -107);
      this.ring?.poll();
    }
    await this.session.closed;
    await this.session.gone;
    close(this.#device);
    close(this.#probe);
  }
}
