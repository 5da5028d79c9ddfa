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
const ONE: Halves = { lo: 1, hi: 0 };

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
    const { lo, hi } = this.byPath(type)
      ? this.ofPath(encodeName(path))
      : this.ofFile(branch, Number(ino & 0xffff_ffffn), Number(ino >> 32n));
    return (BigInt(hi) << 32n) | BigInt(lo);
  }
  /** The same where it is made of the path. */
  ofPath(path: Buffer): Halves {
    return this.#shown(hash(path, UNSEEDED));
  }
  /** The same where it is made of the branch and the halves of the number there. */
  ofFile(branch: Branch, lo: number, hi: number): Halves {
    return this.#way.own ? { lo, hi } : this.#shown(hashWord(lo, hi, this.#seed(branch)));
  }
  #shown({ lo, hi }: Halves): Halves {
    const shown = this.#way.narrow ? { lo: Math.imul(lo ^ hi, 0x9e37_79b9) >>> 0, hi: 0 } : { lo, hi };
    return shown.lo === 0 && shown.hi === 0 ? ONE : shown;
  }
  #seed(branch: Branch): Halves {
    let seed = this.#seeds.get(branch);
    if (seed === undefined) {
      seed = seedOfWords(begin(hash(encodeName(branch.path), UNSEEDED)));
      this.#seeds.set(branch, seed);
    }
    return seed;
  }
}
