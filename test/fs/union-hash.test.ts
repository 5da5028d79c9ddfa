/** rapidhash against what its own C gives, for each way through it: lengths at the borders, two seeds. */
import { expect, test } from 'vitest';
import { begin, type Halves, hash, hashWord, seedOfWords } from '../../src/fs/union/hash.ts';
import { Random, seed } from '../random/random.ts';

const bytes = Buffer.from(Array.from({ length: 600 }, (_, i) => (i * 7 + 13) & 0xff));
const SEED = { lo: 0x89abcdef, hi: 0x01234567 };
const UNSEEDED = begin({ lo: 0, hi: 0 });
const whole = ({ lo, hi }: Halves): bigint => (BigInt(hi) << 32n) | BigInt(lo);

// biome-ignore format: a table, a length a line
const vectors: readonly (readonly [number, bigint, bigint])[] = [
  [0, 0x0338dc4be2cecdaen, 0x565ef32cd8efb3ddn],
  [1, 0xe8d3b882671125a6n, 0x5b1df253f5259b5an],
  [3, 0x7f237516b645abban, 0x8a24a9f9a5a17c0en],
  [4, 0x6e80a522803d1dabn, 0x3c8b66393189b5ffn],
  [7, 0x37858a89116068e2n, 0xc3e3423d7aaa2322n],
  [8, 0x465938d84d1556f8n, 0xebeecfaaa1abdf64n],
  [15, 0xd101c814ef358dadn, 0x2813f0be83844394n],
  [16, 0xb2488c99b08cae79n, 0x6393515470557e36n],
  [17, 0x50c60c9740115dd9n, 0x1d581c967260c6b8n],
  [33, 0xb71cf0706868871bn, 0x700def14ba9e5eafn],
  [48, 0xd169df1af7d8d65bn, 0x2567b0297302c1b1n],
  [49, 0x7df95b94a43ddd51n, 0x3a086da71d54477en],
  [64, 0xec7c17d7dfde4a50n, 0xae86f7b97abdb568n],
  [80, 0x7678e7b6983c7069n, 0xfd1235e2f27518ban],
  [81, 0x710e8391ad685ea5n, 0x063fdd57786af545n],
  [96, 0x10975e94b953fb3fn, 0x58cc5f9bc5a2a055n],
  [97, 0x90b15585d3f4dc42n, 0xe43ae08c36017219n],
  [112, 0x6099a2889a37d7d0n, 0xd8700deab59d644an],
  [113, 0x39e3859d31c0e9d5n, 0x929a45650edd49a2n],
  [225, 0x147abec766100b26n, 0x7079889cc41c3ef6n],
  [500, 0x8a17c7a2ce384f66n, 0xb0d7213875c29880n],
];

test.each(vectors)('%i bytes', (length, plain, seeded) => {
  const part = bytes.subarray(0, length);
  expect([hash(part, UNSEEDED), hash(part, begin(SEED))].map(whole)).toEqual([plain, seeded]);
});

/** The same of a word, in whole numbers of any length. */
function reference(word: bigint, begun: bigint): bigint {
  const [all, one, seven] = [2n ** 64n - 1n, 0x8bb84b93962eacc9n, 0xaaaaaaaaaaaaaaaan];
  const product = (word ^ one) * (word ^ begun ^ 8n);
  const mixed = ((product & all) ^ seven) * ((product >> 64n) ^ one ^ 8n);
  return (mixed & all) ^ (mixed >> 64n);
}
const ofWord = (lo: number, hi: number, seed: Halves): Halves => {
  const words = new Int32Array(4);
  hashWord(lo, hi, seed, words, 1);
  expect([words[0], words[3]]).toEqual([0, 0]);
  return { lo: words[1]! >>> 0, hi: words[2]! >>> 0 };
};
test('a product is exact, whatever its halves', () => {
  const halves = [0, 1, 2, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xffff_fffe, 0xffff_ffff];
  const random = new Random(seed);
  for (let i = 0; i < 2000; i++) halves.push(random.next());
  const begun = begin(SEED);
  for (const [i, lo] of halves.entries())
    for (const hi of [...halves.slice(0, 8), halves.at(-1 - i)!])
      expect(whole(ofWord(lo, hi, seedOfWords(begun))), `seed ${seed}`).toBe(
        reference(whole({ lo, hi }), whole(begun)),
      );
});

test('a word is its eight bytes', () => {
  const seeded = begin(SEED);
  const word = ofWord(bytes.readUInt32LE(0), bytes.readUInt32LE(4), seedOfWords(seeded));
  expect(word).toEqual(hash(bytes.subarray(0, 8), seeded));
  expect(whole(hash(Buffer.from('hello world'), UNSEEDED))).toBe(3_397_907_815_814_400_320n);
});
