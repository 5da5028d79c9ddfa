/**
 * What random tests of MemoryFs have in common: a seed, printed and taken from SEED, so that a run can be
 * repeated; how many operations a test makes, which OPERATIONS raises; and the numbers that follow from a seed.
 */

/** The seed of this file's run. */
export const seed = Number(process.env.SEED ?? Date.now() % 0x7fff_ffff);
if (!Number.isInteger(seed) || seed < 0) throw new Error(`SEED=${process.env.SEED} is not a whole number`);
console.log(`SEED=${seed}`);

/** How many operations to make: so many, or as OPERATIONS says. */
export function operations(usual: number): number {
  const count = Number(process.env.OPERATIONS ?? usual);
  if (!Number.isInteger(count) || count < 1) throw new Error(`OPERATIONS=${process.env.OPERATIONS} is not a count`);
  return count;
}

/** How long so many operations may take, in ms: far longer than they do. */
export const patience = (count: number): number => 60_000 + 5 * count;

export class Random {
  #state: number;

  constructor(from: number) {
    this.#state = from >>> 0;
  }

  /** 32 bits. The mixing of SplitMix: any state is as good as any other. */
  next(): number {
    this.#state = (this.#state + 0x9e37_79b9) >>> 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0_aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a_2d97);
    return (z ^ (z >>> 15)) >>> 0;
  }
  below(n: number): number {
    return this.next() % n;
  }
  chance(oneIn: number): boolean {
    return this.below(oneIn) === 0;
  }
  of<T>(all: readonly T[]): T {
    return all[this.below(all.length)]!;
  }
  /** Bytes, none of them zero: a hole in them shows. */
  bytes(n: number): Buffer {
    const made = Buffer.alloc(n);
    for (let i = 0; i < n; i++) made[i] = (this.next() & 0xff) | 1;
    return made;
  }
}
