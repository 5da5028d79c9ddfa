/** `rawfuse help [COMMAND]`. */
import { parseArgs } from 'node:util';
import { COMMON, type Command, EXIT_CODES, OK, UsageError } from './command.ts';
import { command as doctor } from './doctor.ts';
import { command as mount } from './mount.ts';
import { command as union } from './union-command.ts';
import { command as unmount } from './unmount.ts';

export const command: Command = {
  summary: 'tell about a command',
  help: () => `Usage: rawfuse help [COMMAND]

Tells what a command does and which options it takes.
`,
  async run(args) {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: COMMON,
      allowPositionals: true,
      strict: true,
    });
    const [about, ...more] = positionals;
    if (more.length > 0) throw new UsageError('help takes one command');
    if (about !== undefined && !Object.hasOwn(commands, about))
      throw new UsageError(`unknown command ${about}: rawfuse help lists them`);
    const text = values.help ? command.help() : about === undefined ? overview() : commands[about]!.help();
    process.stdout.write(text);
    return OK;
  },
};

const commands: Readonly<Record<string, Command>> = { mount, unmount, union, doctor, help: command };

const overview = () => `Usage: rawfuse COMMAND [ARGUMENT]...

The FUSE protocol in TypeScript, over raw /dev/fuse.

Commands:
${Object.entries(commands)
  .map(([name, { summary }]) => `  ${name.padEnd(10)}${summary}`)
  .join('\n')}

rawfuse help COMMAND tells more. Further options:
  --help, -h      this text; after a command, its text
  --version, -V   the version
  --debug         after a command: show the stack of an error

${EXIT_CODES}
`;
