/** What the subcommands share: their shape, exit codes, the errors they end with, the version. */
import { existsSync, readFileSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Command {
  /** One line for the list of commands. */
  readonly summary: string;
  /** The text of --help. */
  help(): string;
  /** Runs with the arguments that follow the command's name; the exit status. */
  run(args: readonly string[]): Promise<number>;
}

export const OK = 0;
export const FAILED = 1;
export const WRONG = 2;
export const EXIT_CODES = `Exit codes:
  ${OK}  it went well; of mount: it was unmounted, by Ctrl-C or by anybody
  ${FAILED}  it failed, or the mount was aborted
  ${WRONG}  wrong usage: an unknown command, option or value`;

/** The command line is wrong. One line. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
/** It can't be done. One line that says why and what to do. */
export class Failure extends Error {
  override readonly name = 'Failure';
}

/** Options that every command takes, for parseArgs. */
export const COMMON = {
  help: { type: 'boolean', short: 'h' },
  debug: { type: 'boolean' },
} as const;

/** The package's version. Its package.json is one directory up from the sources, and two from dist/tools. */
export function version(): string {
  for (let at = dirname(fileURLToPath(import.meta.url)); at !== dirname(at); at = dirname(at)) {
    const file = join(at, 'package.json');
    if (!existsSync(file)) continue;
    const { name, version: number } = JSON.parse(readFileSync(file, 'utf8')) as { name?: string; version: string };
    if (name === 'rawfuse') return number;
  }
  return 'unknown';
}

/** The absolute path that a mount at a directory has in mountinfo; neither a dead server nor a hung one is asked. */
export async function mountPath(directory: string): Promise<string> {
  const path = resolve(directory);
  try {
    return await realpath(path);
  } catch {
    return join(await realpath(dirname(path)).catch(() => dirname(path)), basename(path));
  }
}

/** Prints a line, and tells it to the parent of a background process. */
export function say(line: string, print: (line: string) => void = console.log): void {
  print(line);
  if (process.connected) process.send!({ line });
}
