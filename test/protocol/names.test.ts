/** Names: bytes on Linux, strings here, and every one of them there and back. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeName, encodeName } from '../../src/protocol/names.ts';
import { seeded } from '../abi/random.ts';

seeded();

const decode = (bytes: Uint8Array): string => {
  // In the midst of a message, as names come: what stands before and after is not theirs.
  const message = Buffer.concat([Buffer.of(0xe2, 0x82), bytes, Buffer.of(0xac, 0)]);
  return decodeName(message, 2, 2 + bytes.length);
};
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('valid UTF-8', () => {
  test.each([
    ['the empty name', '', ''],
    ['ASCII', '61 2e 74 78 74', 'a.txt'],
    ['all of ASCII that a name may hold', '01 1f 20 7e 7f', '\x01\x1f ~\x7f'],
    ['two bytes', 'c3 a9', 'é'],
    ['three bytes', 'e2 82 ac', '€'],
    ['four bytes: a surrogate pair of UTF-16', 'f0 9f 98 80', '😀'],
    ['a pair whose low half is among those that stand for bytes', 'f0 9f 92 a9', '\ud83d\udca9'],
    ['combining, not normalized', '65 cc 81', 'e\u0301'],
    ['the replacement character itself', 'ef bf bd', '\ufffd'],
    ['a byte-order mark at the start', 'ef bb bf 61', '\ufeffa'],
    ['the last code point', 'f4 8f bf bf', '\u{10ffff}'],
    ['next to the surrogates', 'ed 9f bf ee 80 80', '\ud7ff\ue000'],
  ])('%s', (_, bytes, name) => {
    expect(decode(hex(bytes))).toBe(name);
    expect(encodeName(name)).toEqual(hex(bytes));
  });
});

describe('a byte that is not UTF-8 is a lone surrogate U+DC80..U+DCFF', () => {
  test.each([
    ['ff, never valid', 'ff', '\udcff'],
    ['amid ASCII', '61 ff 62', 'a\udcffb'],
    ['a continuation by itself', '80', '\udc80'],
    ['a sequence cut after one of two bytes', 'c3', '\udcc3'],
    ['a sequence cut after two of three bytes', '61 e2 82', 'a\udce2\udc82'],
    ['a sequence cut after three of four bytes', 'f0 9f 98', '\udcf0\udc9f\udc98'],
    ['a sequence broken off by ASCII', 'e2 82 61', '\udce2\udc82a'],
    ['a sequence broken off by another', 'e2 c3 a9', '\udce2é'],
    ['overlong, two bytes for "/"', 'c0 af', '\udcc0\udcaf'],
    ['overlong, two bytes for NUL', 'c0 80', '\udcc0\udc80'],
    ['overlong, three bytes', 'e0 80 af', '\udce0\udc80\udcaf'],
    ['overlong, four bytes', 'f0 80 80 af', '\udcf0\udc80\udc80\udcaf'],
    ['a surrogate written as UTF-8', 'ed a0 80', '\udced\udca0\udc80'],
    ['a surrogate pair written as UTF-8 (CESU-8)', 'ed a0 bd ed b8 80', '\udced\udca0\udcbd\udced\udcb8\udc80'],
    ['what we write for ff, written as UTF-8', 'ed b3 bf', '\udced\udcb3\udcbf'],
    ['past the last code point', 'f4 90 80 80', '\udcf4\udc90\udc80\udc80'],
    ['five bytes, as UTF-8 once had', 'f8 88 80 80 80', '\udcf8\udc88\udc80\udc80\udc80'],
    ['Latin-1', '63 61 66 e9', 'caf\udce9'],
    ['valid UTF-8 around it stays what it is', 'c3 a9 ff e2 82 ac', 'é\udcff€'],
    ['a pair before it stays a pair', 'f0 9f 98 80 80', '😀\udc80'],
  ])('%s', (_, bytes, name) => {
    expect(decode(hex(bytes))).toBe(name);
    expect(encodeName(name)).toEqual(hex(bytes));
  });

  test('each of them alone', () => {
    for (let byte = 0x80; byte <= 0xff; byte++) {
      const name = decode(Uint8Array.of(byte));
      expect(name).toBe(String.fromCharCode(0xdc00 + byte));
      expect([...encodeName(name)]).toEqual([byte]);
    }
  });
});

/** Bytes of a name, and often ones that begin, go on with or break UTF-8. */
const someBytes = fc
  .array(
    fc.oneof(
      fc.integer({ min: 1, max: 255 }).map((byte) => [byte]),
      fc
        .constantFrom(0x61, 0x80, 0xbf, 0xc2, 0xe0, 0xe2, 0xed, 0xa0, 0xb3, 0xf0, 0x9f, 0xf4, 0xff)
        .map((byte) => [byte]),
      fc.string({ unit: 'binary', minLength: 1, maxLength: 2 }).map((text) => [...Buffer.from(text)]),
    ),
    { maxLength: 40 },
  )
  .map((parts) => Uint8Array.from(parts.flat().filter((byte) => byte !== 0)));

describe('any bytes without NUL', () => {
  test('come back as they were', () => {
    fc.assert(
      fc.property(someBytes, (bytes) => {
        expect([...encodeName(decode(bytes))]).toEqual([...bytes]);
      }),
      { numRuns: 5000 },
    );
  });

  test('give another name than any other bytes', () => {
    // All of one and two bytes, and of three a sample of what UTF-8 treats differently.
    const names = new Map<string, string>();
    const see = (...bytes: number[]) => {
      const name = decode(Uint8Array.from(bytes));
      const key = bytes.join(' ');
      const other = names.get(name);
      if (other !== undefined && other !== key) throw new Error(`${other} and ${key} are both ${JSON.stringify(name)}`);
      names.set(name, key);
    };
    const sample = [
      0x61, 0x80, 0x82, 0xa0, 0xac, 0xaf, 0xb3, 0xbf, 0xc0, 0xc3, 0xe0, 0xe2, 0xed, 0xef, 0xf0, 0xf4, 0xff,
    ];
    for (let a = 1; a < 256; a++) {
      see(a);
      for (let b = 1; b < 256; b++) see(a, b);
    }
    for (const a of sample) for (const b of sample) for (const c of sample) see(a, b, c);
    expect(names.size).toBe(255 + 255 * 255 + sample.length ** 3);
  });

  test('give another name than any other bytes, at random', () => {
    fc.assert(
      fc.property(someBytes, someBytes, (one, other) => {
        expect(decode(one) === decode(other)).toBe(Buffer.compare(one, other) === 0);
      }),
      { numRuns: 2000 },
    );
  });

  test('keep "." and "/" to themselves: no other bytes decode to a name with them', () => {
    fc.assert(
      fc.property(someBytes, (bytes) => {
        for (const [character, byte] of [
          ['/', 0x2f],
          ['.', 0x2e],
        ] as const)
          expect(decode(bytes).split(character).length).toBe([...bytes].filter((b) => b === byte).length + 1);
      }),
    );
  });
});

describe('strings that no name decodes to', () => {
  test('well-formed ones come back as they were', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (name) => {
        expect(decode(encodeName(name))).toBe(name);
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    ['a high surrogate', '\ud800'],
    ['a low one that stands for no byte', '\udc00'],
    ['one for a byte of ASCII', '\udc2f'],
    ['one past the last byte', '\udd00'],
  ])('%s becomes U+FFFD, as in Buffer.from', (_, name) => {
    expect(encodeName(`a${name}b`)).toEqual(Buffer.from('a\ufffdb'));
    expect(encodeName(`a${name}b\udcff`)).toEqual(Buffer.from([...Buffer.from('a\ufffdb'), 0xff]));
  });
});

describe('names of ASCII', () => {
  test('of every length up to the longest come back as they were', () => {
    for (let length = 0; length <= 255; length++) {
      const name = 'abcdefghij'.repeat(26).slice(0, length);
      expect(decode(Buffer.from(name))).toBe(name);
      expect(encodeName(name)).toEqual(Buffer.from(name));
    }
  });

  test('take the short way: only a byte beyond ASCII looks at UTF-8', () => {
    const bytes = Buffer.from('name');
    // The decoder of the long way, made to fail: what does not fail has not called it.
    bytes.utf8Slice = () => {
      throw new Error('decoded as UTF-8');
    };
    bytes.subarray = () => {
      throw new Error('took the long way');
    };
    expect(decodeName(bytes, 0, 4)).toBe('name');
    bytes[1] = 0xff;
    expect(() => decodeName(bytes, 0, 4)).toThrow('took the long way');
  });
});
