/**
 * Inode numbers: of a file's path in the union, of its branch and its number there, or, as is usual, of the path for directories,
 * which are on several branches at once, and of the branch for the rest, so that hard links have one number.
 */
import { S_IFDIR } from '../../abi/posix.ts';
import { encodeName } from '../../protocol/names.ts';
import { begin, hash, hashWord } from './hash.ts';
import type { Branch } from './lower.ts';
import type { Values } from './options.ts';

const UNSEEDED = begin(0n);
const HALF = 0xffff_ffffn;

export class InodeNumbers {
  readonly #values: Values;
  readonly #seeds = new WeakMap<Branch, bigint>();

  constructor(values: Values) {
    this.#values = values;
  }

  /** Whether the names of a file with several have one number. */
  get shared(): boolean {
    return !this.#values.inodecalc.startsWith('path-hash');
  }
  /** The number to show of a file of this type (S_IFMT), path, branch, and number there. */
  of(type: number, path: string, branch: Branch, ino: bigint): bigint {
    const { inodecalc } = this.#values;
    if (inodecalc === 'passthrough') return ino;
    const byPath = inodecalc.startsWith('path') || (inodecalc.startsWith('hybrid') && type === S_IFDIR);
    const hashed = byPath ? hash(encodeName(path), UNSEEDED) : hashWord(ino, this.#seed(branch));
    // To 32 bits as mergerfs does, for programs that know no more.
    const shown = inodecalc.endsWith('32') ? ((hashed ^ (hashed >> 32n)) * 0x9e37_79b9n) & HALF : hashed;
    return shown === 0n ? 1n : shown;
  }
  #seed(branch: Branch): bigint {
    let seed = this.#seeds.get(branch);
    if (seed === undefined) {
      seed = begin(hash(encodeName(branch.path), UNSEEDED));
      this.#seeds.set(branch, seed);
    }
    return seed;
  }
}
