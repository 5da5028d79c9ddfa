#!/usr/bin/env node
/**
 * The command `rawfuse`. This file finds the subcommand (each is a file of cli/, loaded when it is called) and
 * turns whatever it ends with into one line and an exit status. The thread that runs it is the one that serves
 * the mount: nothing here or below may make a synchronous call into it.
 */
import { parseArgs } from 'node:util';
import { type Command, FAILED, OK, UsageError, version, WRONG } from './cli/command.ts';

const commands: Readonly<Record<string, () => Promise<{ readonly command: Command }>>> = {
  mount: () => import('./cli/mount.ts'),
  unmount: () => import('./cli/unmount.ts'),
  union: () => import('./cli/union-command.ts'),
  doctor: () => import('./cli/doctor.ts'),
  help: () => import('./cli/help.ts'),
};

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined) throw new UsageError('no command: rawfuse help lists them');
  if (name.startsWith('-')) {
    const options = { help: { type: 'boolean', short: 'h' }, version: { type: 'boolean', short: 'V' } } as const;
    const { values } = parseArgs({ args: [...args], options, strict: true });
    if (!values.version) return main(['help']);
    console.log(version());
    return OK;
  }
  if (!Object.hasOwn(commands, name)) throw new UsageError(`unknown command ${name}: rawfuse help lists them`);
  const { command } = await commands[name]!();
  return command.run(rest);
}

/** One line that says what is wrong, and the exit status. Only errors that nobody expected are told by name. */
function verdict(error: unknown): { line: string; status: number } {
  const { name, code = '', message } = error as { name: string; code?: string; message: string };
  const line = message.split('\n', 1)[0]!;
  if (code.startsWith('ERR_PARSE_ARGS')) return { line: `${line.split('. ', 1)[0]}: see rawfuse help`, status: WRONG };
  if (name === 'UsageError' || name === 'OptionError') return { line, status: WRONG };
  if (EXPECTED.has(name)) return { line, status: FAILED };
  return { line: `unexpected ${name}: ${line}; --debug shows where`, status: FAILED };
}
const EXPECTED = new Set(['Failure', 'MountError', 'NegotiationError', 'SystemError']);

/** The end after an error: told on stderr, and to the parent of a background process. */
function fail(error: unknown): void {
  const { line, status } = verdict(error instanceof Error ? error : new Error(String(error)));
  console.error(`rawfuse: ${line}`);
  if (debug && error instanceof Error) console.error(error);
  if (process.connected) process.send!({ failed: line, status }, () => process.exit(status));
  else process.exit(status);
}

const debug = process.argv.includes('--debug');
// Who reads our output may go away: that ends neither a mount nor this command.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
process.on('uncaughtException', fail);
main(process.argv.slice(2)).then((status) => process.exit(status), fail);
