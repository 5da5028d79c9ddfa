/**
 * Rows and how they are measured. Machines are noisy, and more so over minutes than over seconds: so what is
 * compared runs in turns, the order reversed each round, and a row's ratio is the median of the rounds' ratios,
 * not the ratio of the medians.
 */

/** One line of a bench. With `--json` this is what is printed. */
export interface Row {
  readonly bench: string;
  readonly case: string;
  /** Threads of the load client; 0 where there is no mount. */
  readonly clients: number;
  readonly ours: number;
  readonly baseline: number;
  /** ours / baseline: better above 1 for rates (ops/s), better below 1 for times (ns, us, ms). */
  readonly ratio: number;
  readonly unit: string;
  /** CPU time of our server per operation, in us; null where there is no server. */
  readonly serverCpuUs: number | null;
  /** The same of the baseline's. */
  readonly baselineCpuUs: number | null;
  /** What the ratio (or, where it says so, our figure) is held to; absent where a row only informs. */
  readonly target?: string | undefined;
  /** More figures by their names, ours and the baseline's, where a bench has some. */
  readonly details?: Readonly<Record<string, readonly [number, number]>> | undefined;
}

export interface Sample {
  readonly value: number;
  readonly cpu?: number;
}

export interface Bench {
  readonly name: string;
  /** It mounts nothing, and needs no root. */
  readonly unprivileged?: true;
  /** The rows as they are measured. `quick` is done within 40 seconds. */
  rows(quick: boolean): AsyncIterable<Row>;
}

export interface Rounds {
  readonly rounds: number;
  /** On a busy machine a bench rather makes fewer rounds than it takes longer. ms. */
  readonly most: number;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Measures two things in turns, for so many rounds, or fewer where they last longer than `most` ms together. */
export async function paired(
  { rounds, most }: Rounds,
  ours: () => Sample | Promise<Sample>,
  baseline: () => Sample | Promise<Sample>,
): Promise<Pick<Row, 'ours' | 'baseline' | 'ratio' | 'serverCpuUs' | 'baselineCpuUs'>> {
  const mine: Sample[] = [];
  const theirs: Sample[] = [];
  const end = performance.now() + most;
  for (let round = 0; round === 0 || (round < rounds && performance.now() < end); round++) {
    if (round % 2 === 1) mine.push(await ours());
    theirs.push(await baseline());
    if (round % 2 === 0) mine.push(await ours());
  }
  const values = (samples: Sample[]) => samples.map(({ value }) => value);
  const cpu = (samples: Sample[]) =>
    samples[0]?.cpu === undefined ? null : median(samples.map((sample) => sample.cpu ?? Number.NaN));
  return {
    ours: median(values(mine)),
    baseline: median(values(theirs)),
    ratio: median(mine.map(({ value }, i) => (value === theirs[i]!.value ? 1 : value / theirs[i]!.value))), // 0 is 0
    serverCpuUs: cpu(mine),
    baselineCpuUs: cpu(theirs),
  };
}
