/**
 * Interrupts on real mounts: a signal to a client that waits for an answer aborts its request's signal and
 * nobody else's, and what the handler makes of that is what the client sees.
 */
import { expect } from 'vitest';
import { EAGAIN, EINTR } from '../../src/abi/errno.ts';
import { FOPEN_DIRECT_IO, FUSE_LK_FLOCK, FUSE_RELEASE_FLOCK_UNLOCK } from '../../src/abi/fuse-constants.ts';
import { F_UNLCK } from '../../src/abi/posix.ts';
import type { Promised } from '../../src/protocol/filesystem.ts';
import type { Args } from '../../src/protocol/operations.ts';
import type { Request } from '../../src/protocol/request.ts';
import { kernelTest, mounted, until } from '../support.ts';
import { Client, python } from './python.ts';
import { Recorder, Tree } from './tree.ts';

/** Waits until the caller is interrupted. */
const interrupted = ({ signal }: Request): Promise<never> =>
  new Promise((_, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop);
  });

/** A tree in which opening and reading some files takes for ever, unless one is interrupted. */
class Waiting extends Tree {
  /** Why the signal of each request that waited was aborted. */
  readonly reasons: unknown[] = [];
  /** Requests that waited and were not interrupted. */
  readonly answers: (() => void)[] = [];

  constructor() {
    super({ open: '', read: 'content', plain: 'plain', deaf: 'deaf' });
  }
  async #wait(request: Request): Promise<void> {
    await Promise.race([interrupted(request), new Promise<void>((resolve) => this.answers.push(resolve))]).catch(
      (reason: unknown) => {
        this.reasons.push(reason);
        throw reason;
      },
    );
  }
  async open(request: Request, _: Args<'OPEN'>) {
    if (request.nodeid === this.at('open').nodeid) await this.#wait(request);
    return { fh: 1, open_flags: FOPEN_DIRECT_IO }; // a READ of the page cache is nobody's to interrupt
  }
  override async read(request: Request, args: Args<'READ'>) {
    if (request.nodeid === this.at('read').nodeid) await this.#wait(request);
    if (request.nodeid === this.at('deaf').nodeid) await new Promise<void>((resolve) => this.answers.push(resolve));
    return super.read(request, args);
  }
}

/** Raises in the main thread, so that the system call is not begun again. */
const HANDLER = `
class Hit(Exception): pass
def hit(*_): raise Hit
signal.signal(signal.SIGUSR1, hit)
def attempt(f, *args):
    try:
        return f(*args)
    except Hit:
        return 'interrupted'
`;
/** The errno of a bare system call: Python's own would begin it again. */
const BARE = `
signal.signal(signal.SIGUSR1, lambda *_: None)
signal.siginterrupt(signal.SIGUSR1, True)
`;

kernelTest('a signal ends an open and a read that wait, with EINTR, and aborts their requests alone', async () => {
  const tree = new Waiting();
  await using m = await mounted(tree);
  const script = (call: string) => `${BARE}
libc.open.argtypes = [ctypes.c_char_p, ctypes.c_int]
libc.pread.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_ssize_t]
fd = os.open(P('read'), os.O_RDONLY)
buffer = ctypes.create_string_buffer(8192)
say(result(C, ${call}))`;
  const opening = script(`'open', P('open'), 0`);
  const reading = script(`'pread', fd, ctypes.addressof(buffer), 100, 0`);
  await using hit = new Client(m.dir, opening);
  await until(() => tree.answers.length === 1, 'an OPEN');
  await using spared = new Client(m.dir, opening);
  await until(() => tree.answers.length === 2, 'another OPEN');
  await using reader = new Client(m.dir, reading);
  await until(() => tree.answers.length === 3, 'a READ');

  hit.kill('SIGUSR1');
  expect(await hit.said()).toBe('EINTR');
  expect(tree.reasons).toEqual([EINTR]);
  reader.kill('SIGUSR1');
  expect(await reader.said()).toBe('EINTR');
  expect(tree.reasons).toEqual([EINTR, EINTR]);
  expect(m.mount.session.inflight).toEqual([expect.objectContaining({ operation: 'OPEN', pid: spared.pid })]);
  tree.answers[1]!();
  expect(await spared.said()).toBeGreaterThan(2); // a descriptor
  expect(tree.reasons).toHaveLength(2);
});

kernelTest('a client that is killed ends its request', async () => {
  const tree = new Waiting();
  await using m = await mounted(tree);
  await using client = new Client(m.dir, `os.open(P('open'), 0)`);
  await until(() => tree.answers.length === 1, 'the OPEN');
  client.kill('SIGKILL');
  expect(await client.exited).toBe('SIGKILL');
  expect(tree.reasons).toEqual([EINTR]);
});

kernelTest('a handler that does not heed its signal still gives its answer to an interrupted client', async () => {
  const tree = new Waiting();
  const events: string[] = [];
  await using m = await mounted(tree, {
    trace: (event) => {
      if (event.kind === 'request') events.push(event.operation);
    },
  });
  await using client = new Client(
    m.dir,
    `${HANDLER}
fd = os.open(P('deaf'), os.O_RDONLY)
def read():
    say(os.pread(fd, 100, 0))
    time.sleep(10)
say(attempt(read))`,
  );
  await until(() => tree.answers.length === 1, 'the READ');
  client.kill('SIGUSR1');
  await until(() => events.includes('INTERRUPT'), 'the INTERRUPT');
  expect(m.mount.session.inflight).toHaveLength(1);
  tree.answers[0]!();
  expect(await client.said()).toBe('interrupted');
  expect(m.mount.session.inflight).toEqual([]);
});

kernelTest('requests that nobody interrupts are not aborted, before and after one that was', async () => {
  const aborted: boolean[] = [];
  class Looking extends Waiting {
    override async read(request: Request, args: Args<'READ'>) {
      const { signal } = request;
      const data = await super.read(request, args);
      aborted.push(signal.aborted);
      return data;
    }
  }
  const tree = new Looking();
  await using m = await mounted(tree);
  expect(await python(m.dir, `say(slurp('plain'))`)).toEqual(['plain']);
  await using client = new Client(m.dir, `${BARE}\nsay(result(C, 'open', P('open'), 0))`);
  await until(() => tree.answers.length === 1, 'the OPEN');
  client.kill('SIGUSR1');
  expect(await client.said()).toBe('EINTR');
  expect(await python(m.dir, `for i in range(50): slurp('plain')`)).toEqual([]);
  expect(aborted.length).toBeGreaterThan(50);
  expect(aborted).not.toContain(true);
});

/** Locks of whole files: enough to see one wait for another. */
class Locking extends Tree {
  readonly promises: readonly Promised[] = ['POSIX_LOCKS', 'FLOCK_LOCKS'];
  readonly #owners = new Map<string, bigint>();
  readonly #waiting = new Set<() => void>();

  constructor() {
    super({ file: 'locked' });
  }
  async setlk(request: Request, { owner, lk, lk_flags, sleep }: Args<'SETLKW'>): Promise<void> {
    const key = `${request.nodeid} ${lk_flags & FUSE_LK_FLOCK}`;
    if (lk.type === F_UNLCK) return this.#unlock(key, owner);
    for (;;) {
      const holder = this.#owners.get(key);
      if (holder === undefined || holder === owner) break;
      if (!sleep) throw EAGAIN;
      let wake!: () => void;
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      this.#waiting.add(wake);
      try {
        await Promise.race([woken, interrupted(request)]);
      } finally {
        this.#waiting.delete(wake);
      }
    }
    this.#owners.set(key, owner);
  }
  /** The kernel says no more than this when a file is closed: no SETLK comes. */
  flush({ nodeid }: Request, { lock_owner }: Args<'FLUSH'>) {
    this.#unlock(`${nodeid} 0`, lock_owner);
  }
  release({ nodeid }: Request, { release_flags, lock_owner }: Args<'RELEASE'>) {
    if (release_flags & FUSE_RELEASE_FLOCK_UNLOCK) this.#unlock(`${nodeid} ${FUSE_LK_FLOCK}`, lock_owner);
  }
  #unlock(key: string, owner: bigint): void {
    if (this.#owners.get(key) === owner) this.#owners.delete(key);
    for (const wake of this.#waiting) wake();
  }
}

for (const [name, lock] of [
  ['F_SETLKW', `fcntl.lockf(fd, fcntl.LOCK_EX)`],
  ['flock', `fcntl.flock(fd, fcntl.LOCK_EX)`],
] as const)
  kernelTest(`a blocked ${name} ends with EINTR when interrupted, and with the lock when that is free`, async () => {
    const recorder = new Recorder(new Locking());
    await using m = await mounted(recorder.filesystem);
    const script = (before = '') => `${HANDLER}
fd = os.open(P('file'), os.O_RDWR)
${before}
say(attempt(lambda: ${lock}))
told()`;
    const waiting = () => m.mount.session.inflight.filter(({ operation }) => operation === 'SETLKW').length;
    await using holder = new Client(m.dir, script());
    expect(await holder.said()).toBe(null);
    await using first = new Client(m.dir, script());
    await using second = new Client(m.dir, script());
    await until(() => waiting() === 2, 'two clients that wait for the lock');
    first.kill('SIGUSR1');
    expect(await first.said()).toBe('interrupted');
    expect(waiting()).toBe(1);
    expect(second.saidMore).toBe(false);
    holder.tell(); // it ends, and with it its lock
    expect(await second.said()).toBe(null);
    expect(recorder.of('setlk').every(({ args }) => args.lk_flags === (name === 'flock' ? FUSE_LK_FLOCK : 0))).toBe(
      true,
    );
  });
