/**
 * rapidhash, version 3: 64 bits of any bytes, with a seed. What mergerfs makes inode numbers with.
 *
 * A listing hashes each of its names, so 64 bits are two halves here, of 32 bits each: the hash of a word takes 35 ns so, and
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

/** What was made last, as bits whose sign means nothing: 128 of a product, or 64, the lowest first. In a typed array: nothing is allocated for a number. */
const out = new Int32Array(4);

/**
 * The upper half of a product of two halves, whose lower is known. A double keeps 53 of its 64 bits: what is wrong with it is
 * less than 2^12, and what the lower half leaves is a multiple of 2^32.
 */
const upper = (a: number, b: number, lower: number): number =>
  (((a >>> 0) * (b >>> 0) - (lower >>> 0)) / 2 ** 32 + 0.5) >>> 0;

const made = (): Halves => ({ lo: out[0]! >>> 0, hi: out[1]! >>> 0 });
const either = (a: Halves, b: Halves): Halves => ({ lo: (a.lo ^ b.lo) >>> 0, hi: (a.hi ^ b.hi) >>> 0 });

/** All 128 bits of a product. Columns are added by 16 bits: a carry is never a question, which would be guessed wrong every other time. */
function multiply(aLo: number, aHi: number, bLo: number, bHi: number): void {
  const low = Math.imul(aLo, bLo);
  const one = Math.imul(aHi, bLo);
  const other = Math.imul(aLo, bHi);
  const high = Math.imul(aHi, bHi);
  const above = upper(aLo, bLo, low);
  const [aboveOne, aboveOther] = [upper(aHi, bLo, one), upper(aLo, bHi, other)];
  const a = (above & 0xffff) + (one & 0xffff) + (other & 0xffff);
  const b = (above >>> 16) + (one >>> 16) + (other >>> 16) + (a >>> 16);
  const c = (high & 0xffff) + (aboveOne & 0xffff) + (aboveOther & 0xffff) + (b >>> 16);
  const d = (high >>> 16) + (aboveOne >>> 16) + (aboveOther >>> 16) + (c >>> 16);
  out[0] = low;
  out[1] = (b << 16) | (a & 0xffff);
  out[2] = (d << 16) | (c & 0xffff);
  out[3] = upper(aHi, bHi, high) + (d >>> 16);
}
/** Both halves of the product, one on the other. */
function mix(aLo: number, aHi: number, bLo: number, bHi: number): void {
  multiply(aLo, aHi, bLo, bHi);
  out[0]! ^= out[2]!;
  out[1]! ^= out[3]!;
}
/** The product's lower 64 bits, with the last secret, and its upper, with the second and the length: mixed, they are the hash. */
function finish(aLo: number, aHi: number, bLo: number, bHi: number, seed: Halves, length: number): void {
  multiply(aLo ^ SECRET_1.lo, aHi ^ SECRET_1.hi, bLo ^ seed.lo, bHi ^ seed.hi);
  mix(out[0]! ^ SECRET_7.lo, out[1]! ^ SECRET_7.hi, out[2]! ^ SECRET_1.lo ^ length, out[3]! ^ SECRET_1.hi);
}

/** The seed as the hash begins with it: to be made once, where many hashes have the same. */
export function begin({ lo: seedLo, hi: seedHi }: Halves): Halves {
  mix(seedLo ^ SECRET_2.lo, seedHi ^ SECRET_2.hi, SECRET_1.lo, SECRET_1.hi);
  return either({ lo: seedLo, hi: seedHi }, made());
}
const withLength = ({ lo, hi }: Halves, length: number): Halves => ({ lo: (lo ^ length) >>> 0, hi });

export function hash(bytes: Buffer, begun: Halves): Halves {
  const { length } = bytes;
  const seed = length >= 4 && length <= 16 ? withLength(begun, length) : begun;
  const half = (at: number) => bytes.readInt32LE(at);
  if (length > 16) long(bytes, begun);
  else if (length >= 8) finish(half(0), half(4), half(length - 8), half(length - 4), seed, length);
  else if (length >= 4) finish(half(0), 0, half(length - 4), 0, seed, length);
  else if (length === 0) finish(0, 0, 0, 0, seed, 0);
  // The first byte 45 places up.
  else finish(bytes[length - 1]!, bytes[0]! * 2 ** 13, bytes[length >> 1]!, 0, seed, length);
  return made();
}
/** Puts the hash of one word, of its eight bytes, into two. `seed` is a begun one with the length in it. @see seedOfWords */
export function hashWord(lo: number, hi: number, seed: Halves, words: Int32Array, at: number): void {
  finish(lo, hi, lo, hi, seed, 8);
  words[at] = out[0]!;
  words[at + 1] = out[1]!;
}
/** What `hashWord` takes: to be made once. */
export const seedOfWords = (begun: Halves): Halves => withLength(begun, 8);

function long(bytes: Buffer, begun: Halves): void {
  const half = (at: number) => bytes.readInt32LE(at);
  /** Mixes the two words at a place, one with a secret, one with a seed. */
  const pair = (at: number, secret: Halves, seed: Halves): Halves => {
    mix(half(at) ^ secret.lo, half(at + 4) ^ secret.hi, half(at + 8) ^ seed.lo, half(at + 12) ^ seed.hi);
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
  finish(half(end - 16) ^ left, half(end - 12), half(end - 8), half(end - 4), seed, left);
}
