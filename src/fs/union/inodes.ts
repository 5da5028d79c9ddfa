/**
 * Inode numbers: of a file's path in the union, of its branch and its number there, or, as is usual, of the path for directories,
 * which are on several branches at once, and of the branch for the rest, so that hard links have one number.
 */
import { S_IFDIR } from '../../abi/posix.ts';
import { encodeName } from '../../protocol/names.ts';
import { begin, type Halves, hash, hashWord, seedOfWords } from './hash.ts';
import type { Branch } from './lower.ts';
import type { Values } from './options.ts';

const UNSEEDED = begin({ lo: 0, hi: 0 });

interface Way {
  /** Files whose path is hashed: of the others it is the branch and the number there. */
  readonly byPath: 'all' | 'directories' | 'none';
  /** To 32 bits as mergerfs does, for programs that know no more. */
  readonly narrow: boolean;
  /** The number is the branch's own. */
  readonly own?: true;
}
const WAYS: Readonly<Record<Values['inodecalc'], Way>> = {
  passthrough: { byPath: 'none', narrow: false, own: true },
  'path-hash': { byPath: 'all', narrow: false },
  'path-hash32': { byPath: 'all', narrow: true },
  'devino-hash': { byPath: 'none', narrow: false },
  'devino-hash32': { byPath: 'none', narrow: true },
  'hybrid-hash': { byPath: 'directories', narrow: false },
  'hybrid-hash32': { byPath: 'directories', narrow: true },
};

export class InodeNumbers {
  readonly #values: Values;
  readonly #seeds = new WeakMap<Branch, Halves>();
  /** What was asked for last, and its row: a listing asks for each name. */
  #calc: Values['inodecalc'] = 'passthrough';
  #kept: Way = WAYS.passthrough;
  readonly #words = new Int32Array(2);

  constructor(values: Values) {
    this.#values = values;
  }
  get #way(): Way {
    const { inodecalc } = this.#values;
    if (inodecalc !== this.#calc) {
      this.#calc = inodecalc;
      this.#kept = WAYS[inodecalc];
    }
    return this.#kept;
  }

  /** Whether the names of a file with several have one number. */
  get shared(): boolean {
    return this.#way.byPath !== 'all';
  }
  /** Whether the number of a file of this type (S_IFMT) is made of its path. */
  byPath(type: number): boolean {
    const { byPath } = this.#way;
    return byPath === 'all' || (byPath === 'directories' && type === S_IFDIR);
  }
  /** The number to show of a file of this type, path, branch, and number there. */
  of(type: number, path: string, branch: Branch, ino: bigint): bigint {
    const words = this.#words;
    if (this.byPath(type)) this.putOfPath(encodeName(path), words, 0);
    else this.putOfFile(Number(ino & 0xffff_ffffn), Number(ino >> 32n), this.seed(branch), words, 0);
    return (BigInt(words[1]! >>> 0) << 32n) | BigInt(words[0]! >>> 0);
  }
  /** Puts it into two words, the lower first, where it is made of the path. */
  putOfPath(path: Buffer, words: Int32Array, at: number): void {
    const { lo, hi } = hash(path, UNSEEDED);
    words[at] = lo;
    words[at + 1] = hi;
    this.#show(words, at);
  }
  /** The same where it is made of the halves of the number on the branch, and of the branch: of its `seed`. */
  putOfFile(lo: number, hi: number, seed: Halves, words: Int32Array, at: number): void {
    if (this.#way.own) {
      words[at] = lo;
      words[at + 1] = hi;
    } else {
      hashWord(lo, hi, seed, words, at);
      this.#show(words, at);
    }
  }
  /** Makes what is shown of a hash. 0 is skipped by some programs. */
  #show(words: Int32Array, at: number): void {
    if (this.#way.narrow) {
      words[at] = Math.imul(words[at]! ^ words[at + 1]!, 0x9e37_79b9);
      words[at + 1] = 0;
    }
    if ((words[at]! | words[at + 1]!) === 0) words[at] = 1;
  }
  /** What numbers of a branch's files begin with. */
  seed(branch: Branch): Halves {
    let seed = this.#seeds.get(branch);
    if (seed === undefined) {
      seed = seedOfWords(begin(hash(encodeName(branch.path), UNSEEDED)));
      this.#seeds.set(branch, seed);
    }
    return seed;
  }
}
