/**
 * Mounting and serving until the end, whichever end that is: a signal, umount from outside, an abort. The
 * exit status and the directory as it was before are seen to here; that no mount is left, in src/mount.ts.
 */
import { rmdirSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { EBUSY, EPERM } from '../../src/abi/errno.ts';
import { type Mount, mount, unmountPath } from '../../src/mount.ts';
import { isFuse, mountAt } from '../../src/mountinfo.ts';
import { json, printer } from '../../src/protocol/trace.ts';
import type { End } from '../../src/protocol/transport.ts';
import { type Hooks, serve } from '../../src/serve.ts';
import { FAILED, Failure, mountPath, OK, say } from './command.ts';
import { health } from './health.ts';
import { type MountRequest, served } from './mount.ts';

/** What ends a mount in order. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export async function foreground(request: MountRequest): Promise<number> {
  const { what, directory, trace } = request;
  const note = trace === 'json' ? console.error : console.log; // then stdout is JSON and nothing else
  const descriptor = /^\/dev\/fd\/(\d+)$/u.exec(directory)?.[1];
  const stopper = new Stopper();
  if (descriptor !== undefined) {
    const { filesystem, told } = served(request);
    const options = { ...request.options, ...hooks(request), filesystem: told };
    const serving = await serve(filesystem, Number(descriptor), options);
    stopper.serves(() => serving.session.end({ reason: 'unmounted' }));
    await serving.session.ready.catch((error) => {
      if (error?.errno !== EPERM.errno) throw error;
      throw new Failure(
        `nothing is mounted over descriptor ${descriptor}: mount(2) comes first, with fd=${descriptor}`,
      );
    });
    announce(`serving ${what.title} over descriptor ${descriptor}; Ctrl-C ends it`, note);
    return outcome(await serving.closed, stopper);
  }
  const place = resolve(directory);
  const made = await makeDirectory(directory);
  const remove = () => {
    try {
      if (made) rmdirSync(place); // asks the directory above, not the mount
    } catch {
      // something else has been put there
    }
  };
  try {
    const mounted = await mountCleanly(request, note);
    process.once('exit', remove); // an error that nobody expected ends the process: after the mount is gone
    stopper.serves((times) => unmount(mounted, times));
    announce(`mounted ${what.title} at ${mounted.path}; Ctrl-C unmounts`, note);
    return outcome(await mounted.closed, stopper);
  } finally {
    remove();
  }
}

/** How long after a signal another one is the same, in ms: npm and tsx pass on a Ctrl-C that has reached us already. */
const ECHO = 150;

/** Signals, counted: also those that come before there is anything to stop. */
class Stopper {
  times = 0;
  #last = Number.NEGATIVE_INFINITY;
  #stop: ((times: number) => unknown) | undefined;
  constructor() {
    for (const signal of SIGNALS)
      process.on(signal, () => {
        if (performance.now() - this.#last < ECHO) return;
        this.#last = performance.now();
        this.times++;
        if (this.#stop !== undefined) this.#stop(this.times);
        else if (this.times > 1) process.exit(FAILED);
      });
  }
  /** There is something to stop now. */
  serves(stop: (times: number) => unknown): void {
    this.#stop = stop;
    if (this.times > 0) stop(this.times);
  }
}

/** The first signal unmounts, lazily where files are open; the next ends the connection. */
async function unmount(mounted: Mount, times: number): Promise<void> {
  if (times > 1) return mounted.abort();
  try {
    await mounted.unmount();
  } catch (error) {
    if ((error as { errno?: unknown }).errno !== EBUSY.errno) throw error;
    console.error(
      `rawfuse: files are open in ${mounted.path}: detached it, and serving them until they are closed; Ctrl-C again ends at once`,
    );
    await mounted.unmount({ lazy: true });
  }
}

function outcome({ reason, error }: End, { times }: Stopper): number {
  if (reason === 'unmounted') return OK;
  if (times > 1) throw new Failure('ended at once: what was open has failed');
  if (reason === 'aborted')
    throw new Failure(
      'the connection was aborted from outside, through /sys/fs/fuse/connections; nothing is left mounted',
    );
  throw error;
}

/** The mount answers: says so, and lets go of the parent of a background process. */
function announce(line: string, print: (line: string) => void): void {
  print(line);
  if (!process.connected) return;
  process.chdir('/'); // not to keep busy the filesystem that we were started in
  process.send!({ mounted: line });
  process.disconnect();
}

const hooks = ({ trace, debug }: MountRequest): Hooks => ({
  onWarning: (message) => console.error(`rawfuse: ${message}`),
  onError: (error, operation) => {
    console.error(`rawfuse: ${operation} failed with an error that is no errno: ${error}`);
    if (debug) console.error(error);
  },
  ...(trace === 'text' && { trace: printer((line) => console.log(line)) }),
  ...(trace === 'json' && { trace: (event) => console.log(json(event)) }),
});

/** Makes the mount point where it is missing. Whether it did. */
async function makeDirectory(directory: string): Promise<boolean> {
  try {
    await mkdir(directory);
    return true;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    if (code === 'ENOENT') throw new Failure(`no such directory: ${directory}, nor the one it would be in`);
    throw new Failure(`cannot make the directory ${directory}: ${message}`);
  }
}

/** Mounts, and cleans up what dead servers have left there first. */
async function mountCleanly(request: MountRequest, note: (line: string) => void): Promise<Mount> {
  const path = await mountPath(request.directory);
  for (let entry = mountAt(path); entry !== undefined && isFuse(entry); entry = mountAt(path)) {
    const state = await health(path);
    if (state === 'alive') break;
    if (state === 'hangs')
      throw new Failure(
        `the server of the mount at ${path} does not answer: rawfuse unmount --lazy ${path} detaches it`,
      );
    await unmountPath(path, { lazy: true });
    say(`cleaned up the dead mount at ${path}: its server was gone`, note);
  }
  await request.what.prepare?.(request.own, request.source, request.directory);
  const { filesystem, told } = served(request);
  return mount(filesystem, request.directory, { ...request.options, ...hooks(request), filesystem: told });
}
