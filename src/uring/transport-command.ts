/**
 * The commands of a FUSE ring, as SQEs of 128 bytes: REGISTER gives an entry to the kernel, COMMIT_AND_FETCH sends its reply
 * and lets it wait for the next request. What all have in common is written once, into every place of the queue;
 * afterwards only the words that differ are (with one client 6 % more requests).
 */
import { FUSE_IO_URING_CMD_REGISTER } from '../abi/fuse-constants.ts';
import { IORING_OP } from '../abi/uring-constants.ts';
import { lowWord, type Queues, SUBSYSTEM } from './queues.ts';
import { type Entry, WORD } from './transport-entry.ts';

/** Makes all places fit for commands on a descriptor. Nothing else may be placed there before the last command. */
export function prepareCommands({ sqes, stride, entries }: Queues, fd: number): void {
  sqes.fill(0);
  for (let i = 0; i < entries; i++) {
    sqes[i * stride] = IORING_OP.URING_CMD;
    sqes[i * stride + 1] = fd;
  }
}

/** Puts an entry's command into the next place. There must be space. */
export function placeCommand(queues: Queues, entry: Entry): void {
  const { sqes } = queues;
  const at = queues.place();
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
