/**
 * Names are bytes on Linux and strings in JavaScript. UTF-8 is decoded; a byte that is not part of valid
 * UTF-8 becomes the lone surrogate U+DC80..U+DCFF whose low bits are the byte (Python's surrogateescape,
 * PEP 383), and becomes that byte again on the way back. So names stay strings, keys of a Map, and every
 * name round-trips. A lone surrogate can't be mistaken: valid UTF-8 decodes to none.
 */
import { isUtf8 } from 'node:buffer';

declare global {
  /** Node's own decoders without the checks and the dispatch of toString: documented by their use alone, since Node 0.x. */
  interface Buffer {
    latin1Slice(start: number, end: number): string;
    utf8Slice(start: number, end: number): string;
  }
}

/** The string of bytes[at..end). */
export function decodeName(bytes: Buffer, at: number, end: number): string {
  for (let i = at; i < end; i++) if (bytes[i]! > 0x7f) return decodeBeyondAscii(bytes, at, end);
  // ASCII, and latin1 is the cheapest decoder that is right for it.
  return bytes.latin1Slice(at, end);
}

function decodeBeyondAscii(bytes: Buffer, at: number, end: number): string {
  const name = bytes.subarray(at, end);
  if (isUtf8(name)) return name.utf8Slice(0, name.length);
  let text = '';
  for (let i = 0; i < name.length; ) {
    const length = sequenceLength(name, i);
    if (length > 0) text += name.utf8Slice(i, i + length);
    else text += String.fromCharCode(0xdc00 | name[i]!);
    i += Math.max(length, 1);
  }
  return text;
}

/** The length of the valid UTF-8 sequence at `i`, or 0. */
function sequenceLength(bytes: Uint8Array, i: number): number {
  for (let n = 1; n <= 4 && i + n <= bytes.length; n++) if (isUtf8(bytes.subarray(i, i + n))) return n;
  return 0;
}

const STRAY = /[\udc80-\udcff]/;

/** The bytes of a name. A lone surrogate that no byte decodes to (a high one, say) becomes U+FFFD, as everywhere in Node. */
export function encodeName(name: string): Buffer {
  return STRAY.test(name) ? encodeStrays(name) : Buffer.from(name, 'utf8');
}

function encodeStrays(name: string): Buffer {
  const parts: Buffer[] = [];
  // By code points: a low surrogate that belongs to a pair comes together with its high one.
  for (const character of name) {
    const code = character.codePointAt(0)!;
    parts.push(code >= 0xdc80 && code <= 0xdcff ? Buffer.of(code & 0xff) : Buffer.from(character, 'utf8'));
  }
  return Buffer.concat(parts);
}
