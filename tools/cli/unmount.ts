/** `rawfuse unmount DIR`: also of a mount whose server is dead. */
import { parseArgs } from 'node:util';
import { unmountPath } from '../../src/mount.ts';
import { isFuse, mountAt } from '../../src/mountinfo.ts';
import { COMMON, type Command, EXIT_CODES, mountPath, OK, UsageError } from './command.ts';
import { health } from './health.ts';

export const command: Command = {
  summary: 'unmount a FUSE mount, or clean up a dead one',
  help: () => `Usage: rawfuse unmount DIR [--lazy]

Unmounts the FUSE filesystem at DIR, as root; whether rawfuse serves it or another
program does. A dead mount, whose server is gone, is always cleaned away.

Options:
  --lazy, -l   detach it although files are open in it: they go on being served
               until they are closed
  --help, -h   this text
  --debug      show the stack of an error

${EXIT_CODES}
`,
  async run(args) {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { ...COMMON, lazy: { type: 'boolean', short: 'l' } },
      allowPositionals: true,
      strict: true,
    });
    if (values.help) {
      process.stdout.write(command.help());
      return OK;
    }
    const [directory, ...more] = positionals;
    if (directory === undefined || more.length > 0)
      throw new UsageError('unmount takes one directory: rawfuse unmount DIR');
    const path = await mountPath(directory);
    const entry = mountAt(path);
    const dead = entry !== undefined && isFuse(entry) && (await health(path)) === 'dead';
    await unmountPath(path, { lazy: dead || (values.lazy ?? false) });
    console.log(dead ? `cleaned up the dead mount at ${path}` : `unmounted ${path}`);
    return OK;
  },
};
