/** Ctrl-C under a package manager: the terminal sends it to every process, and npm sends it on once more. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect } from 'vitest';
import { mountAt } from '../../src/mountinfo.ts';
import { compiled } from '../compiled.ts';
import { kernelTest, run, temporary, until } from '../support.ts';

kernelTest(
  'two SIGINTs at once are one: what is open goes on; a later one ends it',
  async () => {
    const dir = join(temporary(), 'mnt');
    mkdirSync(dir);
    const program = spawn(process.execPath, [compiled('tools/cli.ts'), 'mount', 'memory', dir], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const lines: string[] = [];
    for (const output of [program.stdout, program.stderr])
      createInterface(output).on('line', (line) => lines.push(line));
    const said = (what: string) => until(() => lines.some((line) => line.includes(what)), what, 20_000);
    const ended = once(program, 'exit');
    try {
      await said('mounted');
      const holder = spawn('bash', ['-c', 'exec > "$0/open"; echo held >&2; sleep 60', dir], {
        stdio: ['ignore', 'ignore', 'pipe'],
        detached: true,
      });
      await once(holder.stderr, 'data');
      try {
        program.kill('SIGINT');
        program.kill('SIGTERM'); // another signal: of two of the same, pending together, the kernel keeps one
        await said('detached');
        await new Promise((resolve) => setTimeout(resolve, 200));
        expect(program.exitCode).toBeNull();
        program.kill('SIGINT');
        expect(await ended, lines.join('\n')).toEqual([1, null]);
        expect(lines.at(-1)).toContain('ended at once');
      } finally {
        process.kill(-holder.pid!, 'SIGKILL');
      }
    } finally {
      if (program.exitCode === null) program.kill('SIGKILL');
      if (mountAt(dir)) await run('umount', ['-l', dir]);
    }
  },
  60_000,
);
