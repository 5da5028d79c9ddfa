/** The events of fanotify(7) as bytes: where a file's handle lies, and its name; and the structs against C. */
import { expect, test } from 'vitest';
import {
  fanotify_event_info_fid,
  fanotify_event_info_header,
  fanotify_event_metadata,
  fileEvents,
} from '../../src/abi/fanotify.ts';
import { FAN_CREATE, FAN_MODIFY, FAN_Q_OVERFLOW } from '../../src/abi/posix.ts';
import { compilerTest, lines } from './compiler.ts';

compilerTest('the structs are as in <linux/fanotify.h>', async () => {
  const structs = { fanotify_event_metadata, fanotify_event_info_header, fanotify_event_info_fid };
  const members = Object.entries(structs).flatMap(([name, { offset }]) =>
    Object.keys(offset)
      .filter((member) => member !== 'fsid_2') // two halves of one
      .map((member) => [name, member] as const),
  );
  const found = await lines(`#include <stddef.h>
#include <stdio.h>
#include <linux/fanotify.h>
int main(void) {
${members.map(([name, member]) => `printf("${name}.${member} %zu\\n", offsetof(struct ${name}, ${member}));`).join('\n')}
${Object.keys(structs)
  .map((name) => `printf("${name} %zu\\n", sizeof(struct ${name}));`)
  .join('\n')} }`);
  const ours = members.map(
    ([name, member]) => `${name}.${member} ${structs[name as keyof typeof structs].offset[member as never]}`,
  );
  // The handle is a member without a size there.
  const sizes = Object.entries(structs).map(([name, { size }]) => `${name} ${size}`);
  expect(found).toEqual([...ours, ...sizes]);
});

/** One event: 24 bytes, and its records. */
function event(mask: number, pid: number, ...records: string[]): Buffer {
  const rest = Buffer.from(records.join('').replaceAll(/\s/gu, ''), 'hex');
  const head = Buffer.alloc(24);
  head.writeUInt32LE(24 + rest.length, 0);
  head.writeUInt8(3, 4);
  head.writeUInt16LE(24, 6);
  head.writeUInt32LE(mask, 8);
  head.writeInt32LE(-1, 16);
  head.writeInt32LE(pid, 20);
  return Buffer.concat([head, rest]);
}
const FSID = '1111 2222 3333 4444';
/** A directory with the handle aabbccdd of type 1, and `hi` in it, filled up to a word. */
const NAMED = `02 00 1c00 ${FSID} 0400 0000 0100 0000 aabbccdd 686900 00`;
/** A file with a handle of 8 bytes. */
const FILE = `01 00 1c00 ${FSID} 0800 0000 8100 0000 0102 0304 0506 0708`;

test('names are told by directory, handle and where they lie; what comes behind is found', () => {
  const bytes = Buffer.concat([
    event(FAN_CREATE, 12, NAMED),
    event(FAN_MODIFY, 13, NAMED, FILE),
    event(FAN_Q_OVERFLOW, 0),
    event(FAN_MODIFY, 14, '04 00 0800 deadbeef', FILE), // a record of a kind that is unknown here
  ]);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const found = [...fileEvents(view, bytes.length)];
  const named = { directory: 36, name: [48, 50] };
  expect(found).toEqual([
    { mask: FAN_CREATE, pid: 12, object: undefined, ...named },
    { mask: FAN_MODIFY, pid: 13, object: 52 + 24 + 28 + 12, directory: 52 + 36, name: [52 + 48, 52 + 50] },
    { mask: FAN_Q_OVERFLOW, pid: 0, object: undefined, directory: undefined, name: undefined },
    { mask: FAN_MODIFY, pid: 14, object: 132 + 24 + 24 + 8 + 12, directory: undefined, name: undefined },
  ]);
  expect(bytes.subarray(found[0]!.name![0], found[0]!.name![1]).toString()).toBe('hi');
  expect(view.getUint32(found[1]!.object!, true)).toBe(8);
});
