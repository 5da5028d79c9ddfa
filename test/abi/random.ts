/**
 * The seed of a file's random tests: printed, and given with SEED= to repeat a run.
 */
import fc from 'fast-check';

export function seeded(): void {
  const seed = process.env.SEED === undefined ? Date.now() % 0x7fff_ffff : Number(process.env.SEED);
  if (!Number.isInteger(seed)) throw new Error(`SEED=${process.env.SEED} is not an integer`);
  console.log(`SEED=${seed}`);
  fc.configureGlobal({ seed });
}
