/**
 * The commands of a FUSE ring, as SQEs of 128 bytes: REGISTER gives an entry to the kernel, COMMIT_AND_FETCH sends its reply
 * and lets it wait for the next request. What all have in common is written once, into every place of the queue;
 * afterwards only the words that differ are (with one client 6 % more requests).
 */
import { FUSE_IO_URING_CMD_REGISTER } from '../abi/fuse-constants.ts';
import { IORING_OP, IORING_REGISTER_FILES, IOSQE_FIXED_FILE } from '../abi/uring-constants.ts';
import { lowWord, type Queues, SUBSYSTEM } from './queues.ts';
import type { Ring } from './ring.ts';
import { type Entry, WORD } from './transport-entry.ts';
import type { TransportSystem } from './transport-system.ts';

/**
 * Has the ring hold the file of a descriptor: to take a descriptor's file anew for each command is work, and threads that
 * serve one connection would count the users of the same file, each on another CPU.
 */
export function holdFile(ring: Ring, fd: number, { reserve }: Pick<TransportSystem, 'reserve'>): void {
  const files = reserve(4);
  new DataView(files.buffer).setInt32(0, fd, true);
  ring.register(IORING_REGISTER_FILES, files.address, 1);
  files.free();
}

export class Commands {
  readonly #queues: Queues;
  /** The words that all commands begin with. */
  readonly #first: number;
  readonly #file: number;

  /** `fd` is a descriptor, or 'held' for the file that the ring holds. */
  constructor(queues: Queues, fd: number | 'held') {
    this.#queues = queues;
    this.#first = IORING_OP.URING_CMD | (fd === 'held' ? IOSQE_FIXED_FILE << 8 : 0);
    this.#file = fd === 'held' ? 0 : fd;
    for (let i = 0; i < queues.entries; i++) this.#blank(i * queues.stride);
  }

  #blank(at: number): void {
    const { sqes, stride } = this.#queues;
    sqes.fill(0, at, at + stride);
    sqes[at] = this.#first;
    sqes[at + 1] = this.#file;
  }

  /** Puts an entry's command into the next place. There must be space. */
  place(entry: Entry): void {
    const queues = this.#queues;
    const { sqes } = queues;
    const at = queues.place();
    if (sqes[at] !== this.#first) this.#blank(at); // another operation has been here
    sqes[at + 2] = entry.command; // cmd_op
    sqes[at + 8] = lowWord(SUBSYSTEM.fuse, entry.index); // user_data; its upper word stays 0
    if (entry.command === FUSE_IO_URING_CMD_REGISTER) {
      sqes[at + 4] = entry.iovecs; // addr
      sqes[at + 5] = entry.iovecs / 0x1_0000_0000;
      sqes[at + 6] = 2; // len: of iovecs
      sqes[at + 14] = 0; // commit_id
      sqes[at + 15] = 0;
    } else {
      const { words } = entry.buffers;
      sqes[at + 14] = words[WORD.commitLow]!;
      sqes[at + 15] = words[WORD.commitHigh]!;
    }
    sqes[at + 16] = entry.queue; // qid
  }
}
