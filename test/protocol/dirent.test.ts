/** Directory entries: what fits, what counts a lookup, which bytes go out. See dirent.ts. */
import { describe, expect, test, vi } from 'vitest';
import { ENOENT } from '../../src/abi/errno.ts';
import { type DirectoryReply, type Dirent, lookupsIn } from '../../src/protocol/dirent.ts';
import { serve } from '../../src/protocol/dispatch.ts';
import type { Request } from '../../src/protocol/request.ts';
import { bodyOf, encodeRequest, FakeServer, hex, load, SHAPES } from './support.ts';

const entry = (name: string, i = 1n): Dirent => ({ name, ino: i, type: 8, off: i });
const found = { nodeid: 9, attr: { ino: 9n, mode: 0o100644 } };
type Fill = (reply: DirectoryReply) => unknown;

describe.each(SHAPES)('in the shape of a %s', (shape) => {
  function list(operation: 'READDIR' | 'READDIRPLUS', size: number, fill: Fill, room?: number) {
    const handler = (_: Request, __: object, reply: DirectoryReply) => fill(reply);
    const server = new FakeServer({ [operation.toLowerCase()]: handler });
    const slot = load(encodeRequest(operation, { size }), shape, room ? { room } : {});
    const answer = serve(server, slot) as number;
    return { answer, body: bodyOf(slot, answer), server, slot };
  }

  describe.each([
    ['READDIR', 24],
    ['READDIRPLUS', 152],
  ] as const)('%s', (operation, head) => {
    test('an entry that fits exactly is taken, the next is not', () => {
      const lookup = vi.fn(() => found);
      const results: boolean[] = [];
      const { answer } = list(operation, 2 * (head + 8), (reply) => {
        for (let i = 1n; i <= 3n; i++) results.push(reply.add(entry('12345678', i), lookup));
      });
      expect(results).toEqual([true, true, false]);
      expect(answer).toBe(2 * (head + 8));
      expect(lookup).toHaveBeenCalledTimes(operation === 'READDIR' ? 0 : 2);
    });

    test('one that does not fit leaves no trace: no bytes, no lookup, and a smaller one still fits', () => {
      const lookup = vi.fn(() => found);
      const { answer, slot } = list(operation, head + 8, (reply) => {
        expect(reply.add(entry('123456789'), lookup)).toBe(false);
        expect(reply.length).toBe(0);
        expect(lookup).not.toHaveBeenCalled();
        expect(reply.add(entry('12345678'))).toBe(true);
      });
      expect(answer).toBe(head + 8);
      expect(slot.body.subarray(head + 8).every((byte) => byte === 0xa5)).toBe(true);
    });

    test('records that are encoded already go in as they are, as many as fit, wherever they lie', () => {
      const names = ['a', 'twelve bytes', '\udcff'.repeat(255), 'ä'];
      const { body: plain } = list('READDIR', 4096, (reply) => {
        for (const [i, name] of names.entries()) reply.add(entry(name, BigInt(i + 1)));
      });
      const records = Buffer.concat([Buffer.alloc(4, 0xee), plain, Buffer.alloc(4, 0xee)]);
      const [begin, end] = [4, 4 + plain.length];
      const all = list(operation, 4096, (reply) => {
        for (const [i, name] of names.entries()) reply.add(entry(name, BigInt(i + 1)));
      });
      for (let size = 0; size <= all.body.length; size += 8) {
        const one = list(operation, size, (reply) => {
          names.every((name, i) => reply.add(entry(name, BigInt(i + 1))));
        });
        const other = list(operation, size, (reply) => reply.addRecords(records, begin, end));
        expect(other.answer, `${size}`).toBe(one.answer);
        expect(other.slot.body.equals(one.slot.body), `${size}`).toBe(true);
      }
      const after = list(operation, 4096, (reply) => {
        reply.add(entry('first'));
        reply.addRecords(records, begin, end);
        reply.addRecords(records, end, end);
        reply.add(entry('last'));
      });
      expect(after.body.length).toBe(all.body.length + 2 * (head + 8));
      expect(after.body.subarray(head + 8, -head - 8)).toEqual(all.body);
    });

    test('none at all is an empty answer: the end of the directory', () => {
      expect(list(operation, 4096, () => undefined).answer).toBe(0);
      expect(list(operation, 0, (reply) => reply.add(entry('a'))).answer).toBe(0);
    });

    test('the limit is also the room that the reply has', () => {
      const { answer } = list(
        operation,
        0xffff_ffff,
        (reply) => {
          while (reply.add(entry('a'))) {
            /* until it is full */
          }
        },
        1000,
      );
      expect(answer).toBe(Math.floor(1000 / (head + 8)) * (head + 8));
    });

    test('padding is zeroed, and each entry begins at a multiple of 8', () => {
      const names = ['a', 'ab', 'abcdefgh', 'abcdefghi'];
      const { body } = list(operation, 4096, (reply) => {
        for (const [i, name] of names.entries()) reply.add(entry(name, BigInt(i + 1)));
      });
      let at = 0;
      for (const name of names) {
        const next = at + head + Math.ceil(name.length / 8) * 8;
        expect(body.subarray(at + head, next).toString('latin1')).toBe(name.padEnd(next - at - head, '\0'));
        at = next;
      }
      expect(body.length).toBe(at);
    });

    test('a name of 255 bytes, and one with a stray byte', () => {
      const long = '\udcff'.repeat(255);
      const { body } = list(operation, 4096, (reply) => expect(reply.add(entry(long))).toBe(true));
      expect(body.readUInt32LE(head - 24 + 16)).toBe(255);
      expect(body.subarray(head, head + 255)).toEqual(Buffer.alloc(255, 0xff));
    });

    test.each(['', '/', 'a/b', 'a\0b'])('a name that no entry can have is a bug, and no lookup: %j', (name) => {
      const lookup = vi.fn(() => found);
      const { answer, server } = list(operation, 4096, (reply) => reply.add(entry(name), lookup));
      expect(answer).toBe(-5);
      expect(server.bugs).toHaveLength(1);
      expect(lookup).not.toHaveBeenCalled();
    });

    test('an ino that is no bigint is a bug, and no lookup', () => {
      const lookup = vi.fn(() => found);
      const wrong = { name: 'a', ino: 1 as unknown as bigint, type: 8, off: 1n };
      const { answer, server } = list(operation, 4096, (reply) => reply.add(wrong, lookup));
      expect(answer).toBe(-5);
      expect(server.bugs).toHaveLength(1);
      expect(lookup).not.toHaveBeenCalled();
    });

    test('a name beyond ASCII goes out in UTF-8, and what it takes counts, not its length', () => {
      const lookup = vi.fn(() => found);
      const name = 'ä€\u{1f600}b'; // 2, 3, 4 and 1 bytes
      const { answer, body } = list(operation, head + 16, (reply) => expect(reply.add(entry(name), lookup)).toBe(true));
      expect(answer).toBe(head + 16);
      expect(body.readUInt32LE(head - 24 + 16)).toBe(10);
      expect(body.subarray(head).toString('hex')).toBe('c3a4e282acf09f988062000000000000');
      const counted = lookup.mock.calls.length;
      const short = list(operation, head + 8, (reply) => {
        expect(reply.add(entry(name), lookup)).toBe(false);
        expect(reply.add(entry('\u0080\u0080\u0080\u0080\u0080'), lookup)).toBe(false);
      });
      expect(short.answer).toBe(0);
      expect(lookup).toHaveBeenCalledTimes(counted);
    });

    test('a name beyond ASCII that does not fit leaves nothing in the entry that does', () => {
      const { answer, slot } = list(operation, head + 8, (reply) => {
        expect(reply.add(entry('äääää'))).toBe(false);
        expect(reply.add(entry('ä'))).toBe(true);
      });
      expect(answer).toBe(head + 8);
      expect(slot.body.subarray(head, head + 8).toString('hex')).toBe('c3a4000000000000');
      expect(slot.body.subarray(head + 8).every((byte) => byte === 0xa5)).toBe(true);
    });

    test('ino and cookie keep all 64 bits', () => {
      const all = 2n ** 64n - 1n;
      const { body } = list(operation, 4096, (reply) => reply.add({ name: 'a', ino: all, off: all - 1n, type: 15 }));
      expect(body.readBigUInt64LE(head - 24)).toBe(all);
      expect(body.readBigUInt64LE(head - 16)).toBe(all - 1n);
    });

    test('a handler that throws after some entries keeps them: their lookups count', () => {
      for (const thrown of [ENOENT, new TypeError('a bug')]) {
        const { answer, server } = list(operation, 4096, (reply) => {
          reply.add(entry('a'), () => found);
          throw thrown;
        });
        expect(answer).toBe(head + 8);
        expect(server.bugs).toEqual(thrown === ENOENT ? [] : [thrown]);
      }
    });

    test('a handler that throws before any entry is answered with its error', () => {
      const { answer } = list(operation, 4096, () => {
        throw ENOENT;
      });
      expect(answer).toBe(-2);
    });

    test('what a promise adds before it settles is in the answer', async () => {
      const { answer } = list(operation, 4096, async (reply) => {
        await undefined;
        reply.add(entry('a'));
      });
      expect(await answer).toBe(head + 8);
    });

    test('the next request begins with an empty reply', () => {
      const { slot, server } = list(operation, 4096, (reply) => reply.add(entry('a')));
      expect(serve(server, slot)).toBe(head + 8);
    });
  });

  test('plain READDIR never calls lookup', () => {
    const lookup = vi.fn(() => found);
    list('READDIR', 4096, (reply) => reply.add(entry('a'), lookup));
    expect(lookup).not.toHaveBeenCalled();
  });

  test('"." and ".." are never counted, and names like them are', () => {
    const looked: string[] = [];
    const { body } = list('READDIRPLUS', 8192, (reply) => {
      for (const name of ['.', '..', '...', '.a', '..a', 'a.'])
        reply.add(entry(name), ({ name }) => {
          looked.push(name);
          return { ...found, nodeid: 8 + looked.length };
        });
    });
    expect(looked).toEqual(['...', '.a', '..a', 'a.']);
    expect(body.subarray(0, 128), 'no entry for "."').toEqual(Buffer.alloc(128));
    const view = new DataView(body.buffer, body.byteOffset, body.length);
    expect([...lookupsIn(view, 0, body.length)]).toEqual([9, 10, 11, 12]);
  });

  test('an entry without a lookup tells the name alone', () => {
    const { body } = list('READDIRPLUS', 4096, (reply) => reply.add(entry('a')));
    expect(body.subarray(0, 128)).toEqual(Buffer.alloc(128));
    expect(body.length).toBe(160);
  });

  test('an entry whose lookup throws is not in the reply, and the ones before it are', () => {
    const { answer, server } = list('READDIRPLUS', 4096, (reply) => {
      reply.add(entry('a'), () => found);
      reply.add(entry('b'), () => {
        throw ENOENT;
      });
    });
    expect(answer).toBe(160);
    expect(server.bugs).toEqual([]);
  });

  test('the lookup’s answer gets the session’s defaults', () => {
    const { body } = list('READDIRPLUS', 4096, (reply) => reply.add(entry('a'), () => found));
    expect(body.subarray(0, 40)).toEqual(
      hex(`
        0900000000000000  # nodeid 9
        0000000000000000  # generation
        e100000000000000  # entry_valid
        a100000000000000  # attr_valid
        e2000000  # entry_valid_nsec
        a2000000  # attr_valid_nsec
      `),
    );
  });

  test('an entry added after the answer is refused, and does not become the answer of another request', () => {
    let late: DirectoryReply | undefined;
    const { slot, answer, body } = list('READDIR', 4096, (reply) => {
      late = reply;
      reply.add(entry('a'));
    });
    expect(late!.add(entry('b'), () => expect.unreachable())).toBe(false);
    expect(bodyOf(slot, answer)).toEqual(body);
    const server = new FakeServer({
      getattr: () => {
        throw ENOENT;
      },
    });
    slot.view.setUint32(4, 3, true); // the slot's next request: a GETATTR
    expect(serve(server, slot)).toBe(-2);
  });
});
