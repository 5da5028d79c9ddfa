/**
 * rapidhash, version 3: 64 bits of any bytes, with a seed. What mergerfs makes inode numbers with.
 *
 * A listing hashes each of its names, so 64 bits are two halves here, as whole numbers below 2^32: the hash of a word takes 45 ns so, and
 * 210 ns in BigInts.
 * @see rapidhash.h of github.com/Nicoshev/rapidhash, which this gives the same results as
 */

/** 64 bits: the lower half, then the upper. */
export interface Halves {
  readonly lo: number;
  readonly hi: number;
}

const halves = (bits: bigint): Halves => ({ lo: Number(bits & 0xffff_ffffn), hi: Number(bits >> 32n) });
const SECRET = [
  ...[0x2d358dccaa6c78a5n, 0x8bb84b93962eacc9n, 0x4b33a62ed433d4a3n, 0x4d5a2da51de1aa47n],
  ...[0xa0761d6478bd642fn, 0xe7037ed1a0b428dbn, 0x90ed1765281c388cn, 0xaaaaaaaaaaaaaaaan],
].map(halves);
const [SECRET_1, SECRET_2, SECRET_7] = [SECRET[1]!, SECRET[2]!, SECRET[7]!];
/** Bytes that seven lanes take at once. */
const STRIPE = 112;
/** The secret of each pair of words that is left behind the stripes. */
const REST = [2, 2, 1, 1, 2, 1] as const;

const WORD = 2 ** 32;

/** What was made last: 128 bits of a product, or 64, the lowest first. In a typed array: a variable would have a new object for each number of 32 bits. */
const out = new Uint32Array(4);

/**
 * The upper half of a product of two halves, whose lower is known. A double keeps 53 of its 64 bits: what is wrong with it is
 * less than 2^12, and what the lower half leaves is a multiple of 2^32.
 */
const upper = (a: number, b: number, lower: number): number => ((a * b - lower) / WORD + 0.5) >>> 0;

const made = (): Halves => ({ lo: out[0]!, hi: out[1]! });
const either = (a: Halves, b: Halves): Halves => ({ lo: (a.lo ^ b.lo) >>> 0, hi: (a.hi ^ b.hi) >>> 0 });

/** All 128 bits of a product. */
function multiply(aLo: number, aHi: number, bLo: number, bHi: number): void {
  const low = Math.imul(aLo, bLo) >>> 0;
  const one = Math.imul(aHi, bLo) >>> 0;
  const other = Math.imul(aLo, bHi) >>> 0;
  const high = Math.imul(aHi, bHi) >>> 0;
  const second = upper(aLo, bLo, low) + one + other;
  const third = upper(aHi, bLo, one) + upper(aLo, bHi, other) + high + Math.floor(second / WORD);
  out[0] = low;
  out[1] = second;
  out[2] = third;
  out[3] = upper(aHi, bHi, high) + Math.floor(third / WORD);
}
/** Both halves of the product, one on the other. */
function mix(aLo: number, aHi: number, bLo: number, bHi: number): void {
  multiply(aLo, aHi, bLo, bHi);
  out[0]! ^= out[2]!;
  out[1]! ^= out[3]!;
}
/** The product's lower 64 bits, with the last secret, and its upper, with the second and the length: mixed, they are the hash. */
function finish(aLo: number, aHi: number, bLo: number, bHi: number, seed: Halves, length: number): Halves {
  multiply((aLo ^ SECRET_1.lo) >>> 0, (aHi ^ SECRET_1.hi) >>> 0, (bLo ^ seed.lo) >>> 0, (bHi ^ seed.hi) >>> 0);
  mix(
    (out[0]! ^ SECRET_7.lo) >>> 0,
    (out[1]! ^ SECRET_7.hi) >>> 0,
    (out[2]! ^ SECRET_1.lo ^ length) >>> 0,
    (out[3]! ^ SECRET_1.hi) >>> 0,
  );
  return made();
}

/** The seed as the hash begins with it: to be made once, where many hashes have the same. */
export function begin({ lo: seedLo, hi: seedHi }: Halves): Halves {
  mix((seedLo ^ SECRET_2.lo) >>> 0, (seedHi ^ SECRET_2.hi) >>> 0, SECRET_1.lo, SECRET_1.hi);
  return either({ lo: seedLo, hi: seedHi }, made());
}
const withLength = ({ lo, hi }: Halves, length: number): Halves => ({ lo: (lo ^ length) >>> 0, hi });

export function hash(bytes: Buffer, begun: Halves): Halves {
  const { length } = bytes;
  if (length > 16) return long(bytes, begun);
  const seed = length >= 4 ? withLength(begun, length) : begun;
  const half = (at: number) => bytes.readUInt32LE(at);
  if (length >= 8) return finish(half(0), half(4), half(length - 8), half(length - 4), seed, length);
  if (length >= 4) return finish(half(0), 0, half(length - 4), 0, seed, length);
  if (length === 0) return finish(0, 0, 0, 0, seed, 0);
  // The first byte 45 places up.
  return finish(bytes[length - 1]!, bytes[0]! * 2 ** 13, bytes[length >> 1]!, 0, seed, length);
}
/** The hash of one word: of its eight bytes. `seed` is a begun one with the length in it. @see seedOfWords */
export const hashWord = (wordLo: number, wordHi: number, seed: Halves): Halves =>
  finish(wordLo, wordHi, wordLo, wordHi, seed, 8);
/** What `hashWord` takes: to be made once. */
export const seedOfWords = (begun: Halves): Halves => withLength(begun, 8);

function long(bytes: Buffer, begun: Halves): Halves {
  const half = (at: number) => bytes.readUInt32LE(at);
  /** Mixes the two words at a place, one with a secret, one with a seed. */
  const pair = (at: number, secret: Halves, seed: Halves): Halves => {
    mix(
      (half(at) ^ secret.lo) >>> 0,
      (half(at + 4) ^ secret.hi) >>> 0,
      (half(at + 8) ^ seed.lo) >>> 0,
      (half(at + 12) ^ seed.hi) >>> 0,
    );
    return made();
  };
  let [seed, at] = [begun, 0];
  if (bytes.length > STRIPE) {
    const lanes = new Array<Halves>(7).fill(begun);
    for (; bytes.length - at > STRIPE; at += STRIPE)
      for (let i = 0; i < 7; i++) lanes[i] = pair(at + i * 16, SECRET[i]!, lanes[i]!);
    seed = lanes.reduce(either);
  }
  const left = bytes.length - at;
  for (let i = 0; left > (i + 1) * 16; i++) seed = pair(at + i * 16, SECRET[REST[i]!]!, seed);
  const end = bytes.length;
  return finish((half(end - 16) ^ left) >>> 0, half(end - 12), half(end - 8), half(end - 4), seed, left);
}
