/**
 * Which thread serves which queues and runs on which CPUs. The kernel has a queue for each CPU that the machine could
 * ever have, and puts a request into that of the CPU where its caller runs. So a thread that serves a CPU's queue is best on
 * that CPU: nothing crosses over. A pure function, so that machines that are not at hand can be looked at.
 */

export interface Part {
  /** The queues whose entries this thread registers and serves. */
  readonly queues: readonly number[];
  /** Where it may run; none: anywhere. */
  readonly cpus: readonly number[];
}

/**
 * Shares `queues` out among `threads`; `usable` are the CPUs that this process may run on. Each thread gets CPUs with
 * their queues, in turn; queues of CPUs that nobody of this process can be on, in turn as well, for other processes may
 * be there. More threads than queues are none: fewer parts come back.
 */
export function shareOut(queues: number, usable: readonly number[], threads: number): Part[] {
  const count = Math.max(1, Math.min(threads, queues));
  const parts = Array.from({ length: count }, () => ({ queues: [] as number[], cpus: [] as number[] }));
  const here = usable.filter((cpu) => cpu < queues);
  const there = Array.from({ length: queues }, (_, queue) => queue).filter((queue) => !here.includes(queue));
  for (const [i, queue] of [...here, ...there].entries()) {
    const part = parts[i % count]!;
    part.queues.push(queue);
    if (i < here.length) part.cpus.push(queue);
  }
  // One alone is left to the scheduler; so is one that has no CPU of its own.
  return parts.map(({ queues: mine, cpus }) => ({ queues: mine, cpus: count === 1 ? [] : cpus }));
}
