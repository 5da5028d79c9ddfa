/**
 * The recorded sessions of wire/ once more, without a mount: each request goes to a session over a
 * transport that is a pair of buffers, and each reply must be the recorded one, but for times and owners.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, describe as group, test } from 'vitest';
import { MemoryFs } from '../../src/fs/index.ts';
import { answersNothing } from '../../src/protocol/dispatch.ts';
import { describe, format, type Message, operationOf, parse } from '../../tools/wire.ts';
import { player } from './player.ts';

const WIRE = new URL('./wire/', import.meta.url);
/** What a clock or the user who replays decides. */
const VARIES = new Set(['atime', 'mtime', 'ctime', 'atimensec', 'mtimensec', 'ctimensec', 'uid', 'gid']);

/** The members of a message to compare: [name, value or hex]. */
const comparable = (message: Message, request: Buffer) =>
  describe(message, request).map(({ name, value, bytes }) => {
    const last = name.split('.').at(-1)!;
    return [name, VARIES.has(last) ? 'varies' : (value ?? bytes.toString('hex'))];
  });

const sessions = readdirSync(WIRE).filter((name) => name.endsWith('.hex'));

group.each(sessions)('wire/%s', (name) => {
  const text = readFileSync(new URL(name, WIRE), 'utf8');
  const messages = parse(text);

  test('begins with INIT and holds more than a dozen operations', () => {
    expect(operationOf(messages[0]!.bytes)).toBe('INIT');
    const requests = messages.filter(({ kind }) => kind === 'request').map(({ bytes }) => operationOf(bytes));
    expect(new Set(requests).size).toBeGreaterThan(12);
  });

  test('each message is as long as it says, and its text follows from its bytes', () => {
    const requests = new Map(
      messages.filter(({ kind }) => kind === 'request').map(({ bytes }) => [bytes.readBigUInt64LE(8), bytes]),
    );
    const written = messages.map((message) => {
      expect(message.bytes.readUInt32LE(0)).toBe(message.bytes.length);
      return format(message, requests.get(message.bytes.readBigUInt64LE(8)));
    });
    expect(`${text.slice(0, text.indexOf('\n\n'))}\n\n${written.join('\n')}`).toBe(text);
  });

  test('a fresh session gives the recorded replies', () => {
    const play = player(new MemoryFs({ size: 1 << 30, generation: 7 })); // as trace-record.ts
    const replies = messages.filter(({ kind }) => kind === 'reply');
    let compared = 0;
    for (const { kind, bytes: request } of messages) {
      if (kind !== 'request') continue;
      const recorded = replies.find(({ bytes }) => bytes.readBigUInt64LE(8) === request.readBigUInt64LE(8));
      const reply = play(request);
      if (answersNothing(request.readUInt32LE(4))) {
        expect(reply, operationOf(request)).toBeUndefined();
        continue;
      }
      expect(comparable({ kind: 'reply', bytes: reply! }, request), operationOf(request)).toEqual(
        comparable(recorded!, request),
      );
      compared++;
    }
    expect(compared).toBe(replies.length);
  });
});
