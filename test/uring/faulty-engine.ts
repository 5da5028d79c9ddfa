/**
 * An engine before another, for tests of what is told to the kernel and of what it may answer: it writes down each chain, and
 * gives an operation of it the outcome that a test wants: an error, or fewer bytes. What ends a chain ends it here as in
 * the kernel: an error or a short transfer, but not an FSYNC that failed.
 */
import { ECANCELED } from '../../src/abi/errno.ts';
import { wordAt } from '../../src/abi/syscall.ts';
import { IORING_OP, type UringOpcode } from '../../src/abi/uring-constants.ts';
import type { Completed, Engine, Linked, Sqe, Ticket } from '../../src/uring/engine.ts';

/** A result in place of the operation's own; or so many bytes at most; or as it comes. */
export type Outcome = number | { readonly most: number } | undefined;

export interface Told {
  readonly name: UringOpcode;
  readonly off: number;
  readonly len: number;
  readonly op_flags: number;
  readonly flags: number;
}
const NAMES = new Map<number, UringOpcode>(
  (Object.keys(IORING_OP) as UringOpcode[]).map((name) => [IORING_OP[name], name]),
);

export class FaultyEngine implements Engine {
  readonly kind = 'ring';
  readonly #engine: Engine;
  longestChain: number;
  /** What was submitted as chains. */
  readonly chains: Told[][] = [];
  /** Of the operations of chains to come, in order. */
  readonly outcomes: Outcome[] = [];
  /** What an FSYNC by itself gives instead. */
  fsync: number | undefined;
  declare readonly register?: NonNullable<Engine['register']>;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.longestChain = engine.longestChain;
    if (engine.register) this.register = engine.register.bind(engine);
  }

  get inFlight(): number {
    return this.#engine.inFlight;
  }
  submit(opcode: UringOpcode | number, sqe: Sqe, done: Completed): Ticket {
    const { fsync } = this;
    if (opcode === IORING_OP.FSYNC && fsync !== undefined)
      return this.#engine.submit(IORING_OP.NOP, {}, (_, flags) => done(fsync, flags));
    return this.#engine.submit(opcode, sqe, done);
  }
  submitLinked(operations: readonly Linked[]): Ticket[] {
    if (operations.length > this.longestChain) throw new RangeError('too long');
    this.chains.push(operations.map(({ opcode, sqe }) => told(opcode as number, sqe)));
    const outcomes = operations.map(() => this.outcomes.shift());
    if (outcomes.every((each) => each === undefined)) return this.#engine.submitLinked(operations);
    void this.#play(operations, outcomes);
    return operations.map(() => ({ slot: 0, generation: -1 }));
  }
  cancel(ticket: Ticket): void {
    this.#engine.cancel(ticket);
  }
  disown(ticket: Ticket, heir: Completed): void {
    this.#engine.disown(ticket, heir);
  }
  close(): Promise<void> {
    return this.#engine.close();
  }

  /** All that was written in chains, and where an FSYNC was, as a line each. */
  get lines(): string[] {
    return this.chains.map((chain) =>
      chain
        .map(({ name, off, op_flags }) => (name === 'FSYNC' ? name : `${name}${op_flags ? '|DSYNC' : ''} ${off}`))
        .join(', '),
    );
  }

  async #play(operations: readonly Linked[], outcomes: readonly Outcome[]): Promise<void> {
    let ended = false;
    await Promise.resolve(); // no completion comes before the submission returns
    for (const [i, { opcode, sqe, done }] of operations.entries()) {
      const result: number = ended ? -ECANCELED.errno : await this.#one(opcode as number, sqe, outcomes[i]);
      if (opcode !== IORING_OP.FSYNC) ended ||= result !== lengthOf(opcode as number, sqe);
      done(result, 0);
    }
  }
  async #one(opcode: number, sqe: Sqe, outcome: Outcome): Promise<number> {
    if (typeof outcome === 'number') return outcome;
    const submit = (name: UringOpcode | number, what: Sqe) =>
      new Promise<number>((resolve) => this.#engine.submit(name, what, resolve));
    if (outcome === undefined) return submit(opcode, sqe);
    let done = 0;
    for (const [addr, length] of vectorsOf(opcode, sqe)) {
      const len = Math.min(length, outcome.most - done);
      if (len > 0) done += await submit('WRITE', { ...sqe, addr, len, off: sqe.off! + done, buf_index: 0 });
    }
    return done;
  }
}

const vectorsOf = (opcode: number, { addr = 0, len = 0 }: Sqe): [address: number, length: number][] =>
  opcode === IORING_OP.WRITEV
    ? Array.from({ length: len }, (_, i) => [wordAt(addr + 16 * i), wordAt(addr + 16 * i + 8)])
    : [[addr, len]];
const lengthOf = (opcode: number, sqe: Sqe): number =>
  vectorsOf(opcode, sqe).reduce((sum, [, length]) => sum + length, 0);

const told = (opcode: number, sqe: Sqe): Told => ({
  name: NAMES.get(opcode)!,
  off: sqe.off ?? 0,
  len: opcode === IORING_OP.FSYNC ? 0 : lengthOf(opcode, sqe),
  op_flags: opcode === IORING_OP.FSYNC ? 0 : (sqe.op_flags ?? 0),
  flags: sqe.flags ?? 0,
});
