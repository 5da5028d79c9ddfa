/**
 * Buffers that the kernel takes as it needs them: a group, told to it in a ring of their own. An operation names the
 * group instead of a buffer, and its completion says which one it filled; that is then given back, for another.
 * @see io_uring/kbuf.c
 */
import { EEXIST, Errno } from '../abi/errno.ts';
import { Memory } from '../abi/memory.ts';
import { pageSize } from '../abi/syscall.ts';
import { io_uring_buf, io_uring_buf_reg, io_uring_buf_ring } from '../abi/uring.ts';
import { IORING_REGISTER_PBUF_RING, IORING_UNREGISTER_PBUF_RING } from '../abi/uring-constants.ts';
import type { Engine } from './engine.ts';

type Register = NonNullable<Engine['register']>;
const GROUPS = 0x10000;

export class BufferRing {
  readonly group: number;
  readonly #register: Register;
  readonly #memory: Memory;
  readonly #view: DataView;
  readonly #halves: Uint16Array;
  readonly #bytes: Buffer;
  readonly #entries: number;
  readonly #size: number;
  readonly #at: number;
  #tail = 0;

  /** `entries` buffers, a power of two, of `size` bytes; undefined where the engine or the kernel (before Linux 5.19) has no such thing. */
  static make(engine: Engine, entries: number, size: number): BufferRing | undefined {
    if (!engine.register) return undefined;
    const register = engine.register.bind(engine);
    const memory = new Memory(Math.ceil((entries * io_uring_buf.size) / pageSize) * pageSize + entries * size);
    const argument = new Memory(io_uring_buf_reg.size);
    const view = new DataView(argument.buffer);
    try {
      for (let group = 0; group < GROUPS; group++) {
        const told = { ring_addr: BigInt(memory.address), ring_entries: entries, bgid: group, flags: 0, min_left: 0 };
        io_uring_buf_reg.encode(view, 0, told);
        try {
          register(IORING_REGISTER_PBUF_RING, argument.address, 1);
          return new BufferRing(register, group, memory, entries, size);
        } catch (error) {
          if (!(error instanceof Errno)) throw error;
          if (error.errno !== EEXIST.errno) break;
        }
      }
    } finally {
      argument.free();
    }
    memory.free();
    return undefined;
  }

  private constructor(register: Register, group: number, memory: Memory, entries: number, size: number) {
    this.group = group;
    this.#register = register;
    this.#memory = memory;
    this.#view = new DataView(memory.buffer);
    this.#halves = new Uint16Array(memory.buffer);
    this.#bytes = Buffer.from(memory.buffer);
    this.#entries = entries;
    this.#size = size;
    this.#at = memory.length - entries * size;
    for (let id = 0; id < entries; id++) this.give(id);
  }

  /** A copy of what is in a buffer. */
  copy(id: number, bytes: number): Buffer {
    const at = this.#at + id * this.#size;
    const chunk = Buffer.allocUnsafeSlow(bytes);
    this.#bytes.copy(chunk, 0, at, at + bytes);
    return chunk;
  }

  /** Gives a buffer to the kernel. */
  give(id: number): void {
    const at = (this.#tail & (this.#entries - 1)) * io_uring_buf.size;
    // Not through the table: where the first entry has a reserved member, the ring has its tail.
    this.#view.setBigUint64(at, BigInt(this.#memory.address + this.#at + id * this.#size), true);
    this.#view.setUint32(at + io_uring_buf.offset.len, this.#size, true);
    this.#view.setUint16(at + io_uring_buf.offset.bid, id, true);
    this.#tail = (this.#tail + 1) & 0xffff;
    Atomics.store(this.#halves, io_uring_buf_ring.offset.tail >> 1, this.#tail);
  }

  /** Takes all of it back. No operation may be in flight that names the group. */
  free(): void {
    const argument = new Memory(io_uring_buf_reg.size);
    const told = { ring_addr: 0n, ring_entries: 0, bgid: this.group, flags: 0, min_left: 0 };
    io_uring_buf_reg.encode(new DataView(argument.buffer), 0, told);
    try {
      this.#register(IORING_UNREGISTER_PBUF_RING, argument.address, 1);
    } catch (error) {
      if (!(error instanceof Errno)) throw error; // its ring is gone, and the group with it
    } finally {
      argument.free();
    }
    this.#memory.free();
  }
}
