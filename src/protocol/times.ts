/** How long something is valid, for the kernel. */

/** Seconds with a fraction as the wire has them. Longer than a u53 of seconds holds is for ever. */
export function wireTime(seconds: number): { s: number; ns: number } {
  if (!(seconds >= 0)) throw new RangeError(`a timeout of ${seconds} seconds`);
  const whole = Math.min(Math.floor(seconds), Number.MAX_SAFE_INTEGER);
  return { s: whole, ns: Math.min(999_999_999, Math.round((seconds - whole) * 1e9)) };
}
