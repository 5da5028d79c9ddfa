/**
 * A session in the hands of a test: a message goes in, its reply comes out, over a transport that is a
 * pair of buffers. For filesystems that answer at once.
 */
import { expect } from 'vitest';
import type { Filesystem } from '../../src/protocol/filesystem.ts';
import { Session } from '../../src/protocol/session.ts';
import { Slot } from '../../src/protocol/slot.ts';
import { OPTIONS } from '../../tools/trace-record.ts';

const HEAD = 40;
const REPLY_HEAD = 16;
const ROOM = (1 << 20) + 4096;

/** Serves messages one at a time; each call gives the reply, undefined where none is due. */
export function player(filesystem: Filesystem): (request: Buffer) => Buffer | undefined {
  const [input, output] = [Buffer.alloc(ROOM), Buffer.alloc(ROOM)];
  const slot = new Slot(
    {
      view: new DataView(input.buffer, input.byteOffset, ROOM),
      bytes: input,
      out: new DataView(output.buffer, output.byteOffset, ROOM),
      body: output.subarray(REPLY_HEAD),
    },
    HEAD,
    HEAD,
    1,
    REPLY_HEAD,
  );
  let reply: Buffer | undefined;
  const session = new Session(filesystem, OPTIONS);
  session.attach({
    answer: (_, answer) => {
      const size = Math.max(0, answer);
      output.writeUInt32LE(REPLY_HEAD + size, 0);
      output.writeInt32LE(Math.min(0, answer), 4);
      output.writeBigUInt64LE(slot.request.unique, 8);
      reply = Buffer.from(output.subarray(0, REPLY_HEAD + size));
    },
    release: () => slot.request.reset(),
    park: () => expect.unreachable('the filesystem answers at once'),
    resume: () => {},
    resize: () => {},
    duplicate: () => expect.unreachable('nobody sends a notification'),
    close: () => {},
  });
  return (request) => {
    reply = undefined;
    slot.end = request.copy(input);
    session.serve(slot);
    return reply;
  };
}
