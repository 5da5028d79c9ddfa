/**
 * Files that the ring knows by a number of its own, so that an operation need not look its descriptor up. The table is
 * made at the first need, with empty slots. A file gets a slot once it has been used so often that the call which
 * registers it pays, keeps it until it is closed, and loses it when another needs one and it is the one unused for
 * longest; never while an operation is in flight on it.
 *
 * Behind these slots are those of direct descriptors, which the kernel gives out itself when it opens a file: a range of
 * their own, so that neither takes the other's.
 */
import { Errno } from '../abi/errno.ts';
import { Memory } from '../abi/memory.ts';
import { io_uring_file_index_range, io_uring_files_update, io_uring_rsrc_register } from '../abi/uring.ts';
import {
  IORING_REGISTER_FILE_ALLOC_RANGE,
  IORING_REGISTER_FILES_UPDATE,
  IORING_REGISTER_FILES2,
  IORING_RSRC_REGISTER_SPARSE,
  IORING_UNREGISTER_FILES,
} from '../abi/uring-constants.ts';
import type { Descriptor } from './descriptor.ts';
import type { Engine } from './engine.ts';

/**
 * Uses of a file before it gets a slot. A use is cheaper by some 30 ns with one; to register and to take back costs
 * 1 to 2 us: so a file that is read once and closed costs nothing more, and one that is read on and on gains.
 */
export const USES = 32;

type Register = NonNullable<Engine['register']>;

export class RegisteredFiles {
  /** Calls of io_uring_register(2) so far. */
  calls = 0;
  readonly #register: Register;
  readonly #slots: (Descriptor | undefined)[];
  readonly #direct: number;
  readonly #memory = new Memory(4096);
  readonly #view = new DataView(this.#memory.buffer);
  /** Undefined until it is tried; false where the kernel has none for us. */
  #there: boolean | undefined;
  #clock = 0;

  /** `slots` for files with a descriptor, `direct` for files without. */
  constructor(register: Register, slots: number, direct: number) {
    this.#register = register;
    this.#slots = new Array<undefined>(slots).fill(undefined);
    this.#direct = direct;
  }

  /** Files that have a slot and a descriptor. */
  get registered(): number {
    return this.#slots.reduce((count, each) => (each ? count + 1 : count), 0);
  }

  /** Counts a use of a file, and sees whether it should have a slot. */
  use(file: Descriptor): void {
    file.used = ++this.#clock;
    if (file.slot < 0 && ++file.uses % USES === 0 && this.#make()) this.#fill(file);
  }

  /** The file is closed, or has had its time. */
  release(file: Descriptor): void {
    if (file.slot < 0 || file.direct) return;
    this.#slots[file.slot] = undefined;
    this.#update(file.slot, -1);
    file.slot = -1;
  }

  /** Whether there are slots for direct descriptors. */
  takesDirect(): boolean {
    return this.#make();
  }

  /** Gives the table back; `gone` where its ring is no more. */
  free(gone: boolean): void {
    if (this.#there && !gone) this.#call(IORING_UNREGISTER_FILES, 0, 0);
    this.#there = false;
    for (const file of this.#slots) if (file) file.slot = -1;
    this.#memory.free();
  }

  #fill(file: Descriptor): void {
    let slot = this.#slots.indexOf(undefined);
    if (slot < 0) {
      for (const [i, each] of this.#slots.entries())
        if (each!.busy === 0 && (slot < 0 || each!.used < this.#slots[slot]!.used)) slot = i;
      if (slot < 0) return; // all in use: it goes on with its descriptor
      this.#slots[slot]!.slot = -1;
    }
    // One call, which lets go of the file that had the slot.
    this.#slots[slot] = this.#update(slot, file.fd) ? file : undefined;
    if (this.#slots[slot]) file.slot = slot;
  }

  /** Puts a descriptor into a slot: whether the kernel did. Some files can't be registered: those of a ring, of io_uring itself. */
  #update(slot: number, fd: number): boolean {
    const fds = this.#memory.address + io_uring_files_update.size;
    io_uring_files_update.encode(this.#view, 0, { offset: slot, fds: BigInt(fds) });
    this.#view.setInt32(io_uring_files_update.size, fd, true);
    return this.#call(IORING_REGISTER_FILES_UPDATE, this.#memory.address, 1) === 1;
  }

  /** Makes the table, once: whether there is one. Not before Linux 5.19, nor beyond RLIMIT_NOFILE, nor on a ring that has one. */
  #make(): boolean {
    if (this.#there !== undefined) return this.#there;
    const { address } = this.#memory;
    const nr = this.#slots.length + this.#direct;
    io_uring_rsrc_register.encode(this.#view, 0, { nr, flags: IORING_RSRC_REGISTER_SPARSE, data: 0n, tags: 0n });
    this.#there = nr > 0 && this.#call(IORING_REGISTER_FILES2, address, io_uring_rsrc_register.size) >= 0;
    if (!this.#there || this.#direct === 0) return this.#there;
    io_uring_file_index_range.encode(this.#view, 0, { off: this.#slots.length, len: this.#direct });
    if (this.#call(IORING_REGISTER_FILE_ALLOC_RANGE, address, 0) < 0) {
      this.#call(IORING_UNREGISTER_FILES, 0, 0); // before Linux 6.0 the kernel would take any slot
      this.#there = false;
    }
    return this.#there;
  }

  /** What the call returned, or a negated errno. */
  #call(opcode: number, argument: number, count: number): number {
    this.calls++;
    try {
      return this.#register(opcode, argument, count);
    } catch (error) {
      if (error instanceof Errno) return -error.errno;
      throw error;
    }
  }
}

/** Slots that there may be. */
export function checkSlots(slots: number): void {
  if (!Number.isInteger(slots) || slots < 0 || slots > 32_768)
    throw new RangeError(`registeredFiles is ${slots}: a whole number from 0 to 32,768 is needed`);
}
