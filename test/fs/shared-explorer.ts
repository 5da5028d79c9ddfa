/**
 * Runs threads that share memory in every order there is: the code under test is the code at work, given another
 * `Cells`, each call of which is a step that somebody else may come before.
 *
 * A thread is a row of operations. One is run again from its beginning for each of its steps: what it has been answered
 * so far is its log, and where the log ends it says what it wants next and is thrown out of. So a thread is no more than
 * the results of its operations and the log of the one it is in, and a moment is the memory, the threads, and who
 * sleeps in which order. From a moment all continuations are followed; one that was reached before, by other ways, is
 * not followed again, only its schedules are counted again.
 *
 * In each moment: no two threads are about to touch the same word, one of them to change it, unless both do so by atomic
 * steps (a data race: without one, `get` and `set` mean at work what they mean here); no thread touches a word beyond
 * its view; and somebody can go on, or all have come to their ends (no wake-up is lost).
 *
 * `coarse` lets threads be interrupted before atomic steps only. Where there are no data races, which is to be seen
 * without it, the other orders give nothing new.
 */
import { ENOMEM } from '../../src/abi/errno.ts';
import type { Cells } from '../../src/fs/shared/cells.ts';

interface Step {
  readonly what:
    | 'get'
    | 'set'
    | 'load'
    | 'store'
    | 'add'
    | 'exchange'
    | 'replace'
    | 'wait'
    | 'notify'
    | 'look'
    | 'grow';
  readonly memory: number;
  readonly at: number;
  readonly a: number;
  readonly b: number;
}
/** Moments of a case at most: some 300 bytes each. */
const MOST = 1_000_000;
const PLAIN = new Set(['get', 'set']);
const CHANGING = new Set(['set', 'store', 'add', 'exchange', 'replace']);

/** A memory to begin with: its words, and how many it may become. */
export interface Memory {
  readonly words: readonly number[];
  readonly most?: number;
}
/** What an operation came to: a number, to be used by those that follow, or an error, after which none follows. */
export type Result = number | Error;
/** One operation of a thread; `before` are the results of those before it. */
export type Operation = (cells: readonly Cells[], before: readonly number[]) => number | void;
export interface Exploration {
  readonly memories: readonly Memory[];
  readonly threads: readonly (readonly Operation[])[];
  /** Throws where the threads have come to a wrong end. `words` are the memories. */
  readonly end?: (results: readonly (readonly Result[])[], words: readonly (readonly number[])[]) => void;
  /** Throws where a moment is wrong. */
  readonly always?: (words: readonly Int32Array[]) => void;
  readonly coarse?: boolean;
  /** When all sleep, one who sleeps is woken by time. Otherwise that is an error. */
  readonly timeouts?: boolean;
  readonly spins?: number;
}
export interface Explored {
  readonly moments: number;
  readonly schedules: number;
  readonly longest: number;
}

/** What a thread has been answered; the logs of a thread are a tree. */
class Log {
  readonly next = new Map<number, Log>();
  readonly id: number;
  readonly results: readonly Result[];
  readonly answers: readonly number[];
  /** What the thread then wants; undefined when it is done. */
  step: Step | undefined;
  constructor(id: number, results: readonly Result[], answers: readonly number[]) {
    this.id = id;
    this.results = results;
    this.answers = answers;
  }
}
/** What one who sleeps is answered when nobody has woken it. */
const TIMED_OUT = 1;
const STOP = Symbol('the log is at its end');

/** What a memory holds; the same contents are one object, and what a change makes of them is found once. */
class Words {
  readonly id: number;
  readonly words: Int32Array;
  readonly #changed = new Map<number, Words>();
  readonly #all: Map<string, Words>;

  constructor(words: Int32Array, all: Map<string, Words>) {
    this.id = all.size;
    this.words = words;
    this.#all = all;
    all.set(words.join(), this);
  }

  with(at: number, value: number): Words {
    const change = at * 2 ** 32 + (value >>> 0);
    const known = this.#changed.get(change);
    if (known !== undefined) return known;
    const words = this.words.with(at, value);
    const next = this.#all.get(words.join()) ?? new Words(words, this.#all);
    this.#changed.set(change, next);
    return next;
  }
}

interface Moment {
  readonly words: readonly Words[];
  readonly lengths: readonly number[];
  readonly logs: readonly Log[];
  /** Who sleeps, the longest first. */
  readonly asleep: readonly number[];
}

interface Ran {
  readonly next: Moment;
  /** What the thread was answered. */
  readonly result: number;
}

/** Follows every order. Throws at the first that goes wrong, with its steps. */
export function explore(exploration: Exploration): Explored {
  const { memories, threads, end, always, coarse = false, timeouts = false, spins = 0 } = exploration;
  let logs = 0;
  const begun = new Map<string, Log>();
  /** The thread when it has these results and begins with its next operation: however it came to them. */
  const begin = (thread: number, results: readonly Result[]): Log => {
    const key = `${thread};${results.map(String)}`;
    const log = begun.get(key) ?? replay(thread, results, []);
    begun.set(key, log);
    return log;
  };
  /** What the thread wants when it has been answered so far. */
  const replay = (thread: number, results: readonly Result[], answers: readonly number[]): Log => {
    const log = new Log(logs++, results, answers);
    const operation = threads[thread]![results.length];
    if (operation === undefined || results.at(-1) instanceof Error) return log;
    let used = 0;
    const ask = (what: Step['what'], memory: number, at: number, a = 0, b = 0): number => {
      if (log.step === undefined && used < answers.length) return answers[used++]!;
      log.step ??= { what, memory, at, a, b }; // `finally` asks again after it was thrown out
      throw STOP;
    };
    let result: Result;
    try {
      const cells = memories.map(({ words, most }, i) =>
        replayed(i, thread, words.length, most ?? words.length, spins, ask),
      );
      result = operation(cells, results as number[]) ?? 0;
    } catch (error) {
      result = error as Error;
    }
    return log.step === undefined ? begin(thread, [...results, result]) : log;
  };
  const answer = (moment: Moment, thread: number, result: number): Log => {
    const log = moment.logs[thread]!;
    const next = log.next.get(result) ?? replay(thread, log.results, [...log.answers, result]);
    log.next.set(result, next);
    return next;
  };

  const known = new Map<string, number>();
  const path: string[] = [];
  let longest = 0;
  const wrong = (why: string) => new Error(`${why}, after ${path.length} steps:\n${path.join('\n')}`);

  /** Takes a step; how many schedules follow. */
  const follow = (thread: number, moment: Moment, { next, result }: Ran): number => {
    const { what, memory, at, a, b } = moment.logs[thread]!.step!;
    path.push(`  ${'ABCDEFG'[thread]}: ${what} ${memory}:${at} ${a} ${b} -> ${result}`);
    const schedules = visit(next);
    path.pop();
    return schedules;
  };
  const visit = (moment: Moment): number => {
    const awake = moment.logs.flatMap(({ step }, thread) => (step && !moment.asleep.includes(thread) ? [thread] : []));
    const plain = coarse ? awake.find((thread) => PLAIN.has(moment.logs[thread]!.step!.what)) : undefined;
    if (plain !== undefined) return follow(plain, moment, run(moment, plain, memories, answer));

    const ids = [...moment.words.map(({ id }) => id), ...moment.logs.map(({ id }) => id)];
    const key = `${ids};${moment.asleep};${moment.lengths}`;
    const before = known.get(key);
    if (before !== undefined) return before;
    if (known.size > MOST) throw new Error(`more than ${MOST} moments: too large a case`);
    longest = Math.max(longest, path.length);
    checkRaces(moment, awake, wrong);
    try {
      always?.(moment.words.map(({ words }) => words));
    } catch (error) {
      throw wrong((error as Error).message);
    }
    let schedules = 0;
    for (const thread of awake) schedules += follow(thread, moment, run(moment, thread, memories, answer));
    if (awake.length === 0 && moment.asleep.length > 0) {
      if (!timeouts) throw wrong('all sleep');
      for (const thread of moment.asleep) {
        const logs = moment.logs.with(thread, answer(moment, thread, TIMED_OUT));
        const asleep = moment.asleep.filter((each) => each !== thread);
        schedules += follow(thread, moment, { next: { ...moment, logs, asleep }, result: TIMED_OUT });
      }
    } else if (awake.length === 0) {
      schedules = 1;
      try {
        end?.(
          moment.logs.map(({ results }) => results),
          moment.words.map(({ words }, i) => [...words.subarray(0, moment.lengths[i])]),
        );
      } catch (error) {
        throw wrong((error as Error).message);
      }
    }
    known.set(key, schedules);
    return schedules;
  };
  const schedules = visit({
    words: memories.map(({ words, most }) => {
      const all = new Int32Array(most ?? words.length);
      all.set(words);
      return new Words(all, new Map());
    }),
    lengths: memories.map(({ words }) => words.length),
    logs: threads.map((_, thread) => begin(thread, [])),
    asleep: [],
  });
  return { moments: known.size, schedules, longest };
}

/** A memory as a thread sees it that lives through its log. */
function replayed(
  memory: number,
  thread: number,
  length: number,
  most: number,
  spins: number,
  ask: (what: Step['what'], memory: number, at: number, a?: number, b?: number) => number,
): Cells {
  let view = length;
  const touch = (what: Step['what'], at: number, a = 0, b = 0): number => {
    if (!(at >= 0 && at < view))
      throw new Error(`${what} of word ${at} of memory ${memory}, where ${view} are in view`);
    return ask(what, memory, at, a, b);
  };
  return {
    me: thread + 1,
    spins,
    patience: 200,
    get: (at) => touch('get', at),
    set: (at, value) => void touch('set', at, value),
    load: (at) => touch('load', at),
    store: (at, value) => void touch('store', at, value),
    add: (at, value) => touch('add', at, value),
    exchange: (at, value) => touch('exchange', at, value),
    replace: (at, expected, value) => touch('replace', at, expected, value) === 1,
    wait: (at, value) => touch('wait', at, value) === TIMED_OUT,
    notify: (at, count) => void touch('notify', at, count),
    get view(): DataView {
      throw new Error('bytes are no steps');
    },
    reach: (words) => {
      if (words > view) view = ask('look', memory, -1);
      return words <= view;
    },
    grow: (words) => {
      if (words > most) throw ENOMEM;
      if (words > view) view = ask('grow', memory, -1, words);
    },
  };
}

/** One step of a thread. */
function run(
  moment: Moment,
  thread: number,
  memories: readonly Memory[],
  answer: (moment: Moment, thread: number, result: number) => Log,
): Ran {
  const { what, memory, at, a, b } = moment.logs[thread]!.step!;
  let { words, lengths, asleep } = moment;
  let logs = moment.logs;
  const old = words[memory]!.words[at] ?? 0;
  let result = old;
  const change = (value: number) => {
    if ((value | 0) !== old) words = words.with(memory, words[memory]!.with(at, value));
  };
  if (what === 'set' || what === 'store') {
    change(a);
    result = 0;
  } else if (what === 'add') change(old + a);
  else if (what === 'exchange') change(a);
  else if (what === 'replace') {
    result = old === (a | 0) ? 1 : 0;
    if (result) change(b);
  } else if (what === 'look') result = lengths[memory]!;
  else if (what === 'grow') {
    result = Math.max(lengths[memory]!, Math.min(a, memories[memory]!.most ?? 0));
    lengths = lengths.with(memory, result);
  } else if (what === 'wait') {
    if (old === (a | 0)) return { next: { ...moment, asleep: [...asleep, thread] }, result: 0 };
    result = 0;
  } else if (what === 'notify') {
    const here = (each: number) => {
      const { step } = logs[each]!;
      return step!.memory === memory && step!.at === at;
    };
    const woken = asleep.filter(here).slice(0, a);
    asleep = asleep.filter((each) => !woken.includes(each));
    for (const each of woken) logs = logs.with(each, answer(moment, each, 0));
    result = 0;
  }
  return { next: { words, lengths, logs: logs.with(thread, answer(moment, thread, result)), asleep }, result };
}

/** Two steps that could come at once, on one word, that are not both atomic and not both only looks. */
function checkRaces({ logs }: Moment, awake: readonly number[], wrong: (why: string) => Error): void {
  for (const [i, one] of awake.entries())
    for (const other of awake.slice(i + 1)) {
      const [a, b] = [logs[one]!.step!, logs[other]!.step!];
      if (a.memory !== b.memory || a.at !== b.at || a.at < 0 || a.what === 'notify' || b.what === 'notify') continue;
      if ((PLAIN.has(a.what) || PLAIN.has(b.what)) && (CHANGING.has(a.what) || CHANGING.has(b.what)))
        throw wrong(`a data race: ${a.what} and ${b.what} of word ${a.at} of memory ${a.memory}`);
    }
}
