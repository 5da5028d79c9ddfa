/**
 * Which transport the tests of mounts run on: vitest.config.ts runs all of test/mount once over each. Everything that mounts
 * there asks here, the servers that are processes of their own and the commands that tests start too; and what
 * the kernel does differently over the one and over the other is named here and nowhere else.
 */
import type { Mount } from '../src/mount.ts';
import { mount } from '../src/mount.ts';
import type { MountOptions } from '../src/options.ts';
import type { Filesystem } from '../src/protocol/filesystem.ts';
import type { Session } from '../src/protocol/session.ts';
import type { TransportKind } from '../src/protocol/transport.ts';
import type { Hooks, ModuleOptions } from '../src/serve.ts';
import { linux, whyNotOffered } from '../src/uring/transport-system.ts';

/** The variable is inherited by what tests start. */
export const TRANSPORT: TransportKind = process.env.RAWFUSE_TEST_TRANSPORT === 'uring' ? 'uring' : 'device';

/** What differs between the transports in the kernel itself (6.18). */
export const KERNEL_DIFFERS = {
  /** RESEND sends what is unanswered again; over a ring it does nothing, so `notify.resend` refuses. */
  resends: TRANSPORT === 'device',
  /**
   * A synchronous call into the own mount ends when the connection is aborted. Over a ring the request waits for task work
   * of the very thread that waits for the request: that thread can't even be killed.
   */
  ownCallCanBeAborted: TRANSPORT === 'device',
  /** What a client hears of a server that was killed. A ring is taken down behind its back, and /dev/fuse with it: until then it is an abort. */
  dead:
    TRANSPORT === 'device'
      ? /Transport endpoint is not connected/
      : /Transport endpoint is not connected|Software caused connection abort/,
  /** How many may wait for a lock at once, WAITERS at most. A request that waits keeps its entry in a ring. */
  waiters: TRANSPORT === 'device' ? Number(process.env.WAITERS ?? 2000) : 200,
};

/** What this machine lacks for the transport; undefined if nothing. */
export const lackingTransport: string | undefined =
  TRANSPORT === 'uring' && linux.enabled() !== 'Y' ? `FUSE over io_uring: ${whyNotOffered()}` : undefined;

/** The transport as an option, unless the options name one. */
export const over = <T extends MountOptions>(options: T): T => ({ transport: TRANSPORT, ...options });

/** Holds a session to what was asked for: a silent fallback must not pass for a test of the ring. */
export function assertTransport(session: Session, { transport = TRANSPORT }: MountOptions = {}): void {
  if (transport !== 'auto' && session.transport !== transport)
    throw new Error(`served over ${session.transport} instead of ${transport}: ${session.transportReason}`);
}

/** mount(), over the transport that is tested. */
export async function mountOver(
  filesystem: Filesystem | URL,
  directory: string,
  options: MountOptions & Hooks & ModuleOptions = {},
): Promise<Mount> {
  const mounted = await mount(filesystem, directory, over(options));
  assertTransport(mounted.session, options);
  return mounted;
}
