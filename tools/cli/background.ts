/**
 * `--background`: the same command again, in a session of its own and without a terminal, which tells over a
 * channel what it would have printed until its mount answers. This process ends with what it is told.
 */
import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { printOptions } from '../../src/options.ts';
import { FAILED, Failure, OK } from './command.ts';
import type { MountRequest } from './mount.ts';

/** What the child says. Failures are told by cli.ts, the rest by foreground.ts. */
type Message = { line: string } | { mounted: string } | { failed: string; status: number };

export function background({ what, own, source, directory, options, debug }: MountRequest): Promise<number> {
  const descriptor = /^\/dev\/fd\/(\d+)$/u.exec(directory)?.[1];
  const written = [
    ...Object.entries(own).map(([name, value]) => (value === '' ? name : `${name}=${value}`)),
    printOptions(options),
  ]
    .filter((each) => each !== '')
    .join();
  const args = ['mount', what.name, ...(what.source ? [source] : [])];
  args.push(descriptor === undefined ? resolve(directory) : directory);
  if (written !== '') args.push(`--options=${written}`);
  if (debug) args.push('--debug');
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1]!, ...args], {
    detached: true,
    stdio: descriptors(descriptor === undefined ? undefined : Number(descriptor)),
  });
  return new Promise((done, failed) => {
    child.once('error', (error) => failed(new Failure(`cannot start the server: ${error.message}`)));
    child.once('exit', (status, signal) =>
      failed(new Failure(`the server ended (${signal ?? `status ${status}`}) before the mount answered`)),
    );
    child.on('message', (message: Message) => {
      if ('line' in message) console.log(message.line);
      else if ('mounted' in message) {
        console.log(message.mounted.replace(/; Ctrl-C .*$/u, `; process ${child.pid} serves it`));
        child.unref();
        done(OK);
      } else {
        console.error(`rawfuse: ${message.failed}`);
        done(message.status || FAILED);
      }
    });
  });
}

/** No terminal, a channel, and the descriptor to serve over under its own number. */
function descriptors(fd: number | undefined): ('ignore' | 'ipc' | number)[] {
  const channel = fd === 3 ? 4 : 3;
  return Array.from({ length: Math.max(channel, fd ?? 0) + 1 }, (_, i) =>
    i === fd ? i : i === channel ? 'ipc' : 'ignore',
  );
}
