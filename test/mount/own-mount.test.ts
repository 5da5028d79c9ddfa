/** What a program sees that uses its own mount: docs/own-mount.md, held to the truth. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { OWN_MOUNT_PAGE } from '../../src/mount.ts';
import { connectionDirectory, mountAt } from '../../src/mountinfo.ts';
import { kernelTest, until } from '../support.ts';
import { KERNEL_DIFFERS } from '../transport.ts';
import { ServerProcess } from './servers/process.ts';

const told = (server: ServerProcess): { result: unknown; warnings: string[] } =>
  JSON.parse(server.out.trim().split('\n').at(-1)!);

// Elsewhere the process could never be ended again.
const abortable = KERNEL_DIFFERS.ownCallCanBeAborted ? kernelTest : () => {};
abortable(
  'a synchronous call into the own mount hangs in request_wait_answer until the connection is aborted',
  async () => {
    await using server = new ServerProcess('own-mount.ts', ['sync']);
    await server.says('ready');
    const { pid } = server.process;
    // The kernel waits for the answer, and the program for the kernel: no time limit ends it.
    const wchan = () => readFileSync(`/proc/${pid}/wchan`, 'latin1');
    await until(() => wchan() === 'request_wait_answer', 'the main thread to wait for itself');
    const waiting = `${connectionDirectory(mountAt(server.dir)!)}/waiting`;
    expect(readFileSync(waiting, 'latin1')).toBe('1\n');
    expect(readFileSync(`/proc/${pid}/stat`, 'latin1')).toMatch(/^\d+ \(.*\) [SD] /);
    server.abort();
    expect(await server.ended()).toEqual({ code: 0, signal: null });
    expect(told(server).result).toMatch(/^(ECONNABORTED|ENOTCONN)$/);
  },
);

kernelTest(
  'asynchronous calls into the own mount work, and the session warns once, naming the documentation',
  async () => {
    await using server = new ServerProcess('own-mount.ts', ['async']);
    expect(await server.ended()).toEqual({ code: 0, signal: null });
    expect(told(server)).toEqual({
      result: [['file'], 'text'],
      warnings: [
        `this process uses its own mount at ${server.dir}: a synchronous call would wait for itself for ever; see docs/own-mount.md`,
      ],
    });
  },
);

test('the page that the warning names exists, and says what to look for', () => {
  const page = readFileSync(new URL(`../../${OWN_MOUNT_PAGE}`, import.meta.url), 'utf8');
  for (const word of ['request_wait_answer', '/sys/fs/fuse/connections/', 'umount -f', 'cwd'])
    expect(page).toContain(word);
});
