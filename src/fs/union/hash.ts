/**
 * rapidhash, version 3: 64 bits of any bytes, with a seed. What mergerfs makes inode numbers with.
 * @see rapidhash.h of github.com/Nicoshev/rapidhash, which this gives the same results as
 */
const MASK = 0xffff_ffff_ffff_ffffn;
const SECRET = [
  ...[0x2d358dccaa6c78a5n, 0x8bb84b93962eacc9n, 0x4b33a62ed433d4a3n, 0x4d5a2da51de1aa47n],
  ...[0xa0761d6478bd642fn, 0xe7037ed1a0b428dbn, 0x90ed1765281c388cn, 0xaaaaaaaaaaaaaaaan],
] as const;
/** Bytes that seven lanes take at once. */
const STRIPE = 112;
/** The secret of each pair of words that is left behind the stripes. */
const REST = [2, 2, 1, 1, 2, 1] as const;

/** Both halves of the product, one on the other. */
function mix(a: bigint, b: bigint): bigint {
  const product = a * b;
  return (product & MASK) ^ (product >> 64n);
}

/** The seed as the hash begins with it: to be made once, where many hashes have the same. */
export const begin = (seed: bigint): bigint => seed ^ mix(seed ^ SECRET[2], SECRET[1]);

export function hash(bytes: Buffer, begun: bigint): bigint {
  const { length } = bytes;
  if (length > 16) return long(bytes, begun);
  const seed = length >= 4 ? begun ^ BigInt(length) : begun;
  if (length >= 8) return finish(bytes.readBigUInt64LE(0), bytes.readBigUInt64LE(length - 8), seed, length);
  if (length >= 4) return finish(BigInt(bytes.readUInt32LE(0)), BigInt(bytes.readUInt32LE(length - 4)), seed, length);
  if (length === 0) return finish(0n, 0n, seed, 0);
  const ends = (BigInt(bytes[0]!) << 45n) | BigInt(bytes[length - 1]!);
  return finish(ends, BigInt(bytes[length >> 1]!), seed, length);
}
/** The hash of one word: of its eight bytes. */
export const hashWord = (word: bigint, begun: bigint): bigint => finish(word, word, begun ^ 8n, 8);

function long(bytes: Buffer, begun: bigint): bigint {
  let [seed, at] = [begun, 0];
  const word = (offset: number) => bytes.readBigUInt64LE(offset);
  if (bytes.length > STRIPE) {
    const lanes = new Array<bigint>(7).fill(begun);
    for (; bytes.length - at > STRIPE; at += STRIPE)
      for (let i = 0; i < 7; i++) lanes[i] = mix(word(at + i * 16) ^ SECRET[i]!, word(at + i * 16 + 8) ^ lanes[i]!);
    seed = lanes.reduce((a, b) => a ^ b);
  }
  const left = bytes.length - at;
  for (let i = 0; left > (i + 1) * 16; i++)
    seed = mix(word(at + i * 16) ^ SECRET[REST[i]!]!, word(at + i * 16 + 8) ^ seed);
  const end = bytes.length;
  return finish(word(end - 16) ^ BigInt(left), word(end - 8), seed, left);
}

function finish(a: bigint, b: bigint, seed: bigint, length: number): bigint {
  const product = (a ^ SECRET[1]) * (b ^ seed);
  return mix((product & MASK) ^ SECRET[7], (product >> 64n) ^ SECRET[1] ^ BigInt(length));
}
