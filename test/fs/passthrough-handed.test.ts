/** Which way the opens of a node go, where the kernel takes files and where it does not. */
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { ELOOP, EPERM, type Errno, SystemError } from '../../src/abi/errno.ts';
import { closeQuietly } from '../../src/abi/files.ts';
import { FOPEN_PASSTHROUGH, FUSE_ROOT_ID } from '../../src/abi/fuse-constants.ts';
import { Credentials } from '../../src/fs/passthrough/credentials.ts';
import { HandedFiles } from '../../src/fs/passthrough/handed.ts';
import { LowerNodes } from '../../src/fs/passthrough/nodes.ts';
import { Scratch } from '../../src/fs/passthrough/scratch.ts';
import { openSource } from '../../src/fs/passthrough/source.ts';
import type { BackingFiles } from '../../src/protocol/backing.ts';

const dir = mkdtempSync(join(tmpdir(), 'rawfuse-handed-'));
const source = openSource({ source: dir });
const nodes = new LowerNodes(source, new Scratch());
const credentials = new Credentials();
afterAll(() => {
  closeQuietly(source.root);
  rmdirSync(dir);
});

/** A kernel that gives numbers from 7 on, or refuses. */
class Kernel {
  readonly open_: number[] = [];
  readonly warnings: string[] = [];
  refuses: Errno | undefined;
  asked = 0;
  #next = 7;
  readonly backing = {
    open: () => {
      this.asked++;
      if (this.refuses) throw new SystemError(this.refuses.errno, 'ioctl');
      this.open_.push(this.#next);
      return this.#next++;
    },
    close: (id: number) => void this.open_.splice(this.open_.indexOf(id), 1),
  } as unknown as BackingFiles;
  readonly warn = (message: string) => void this.warnings.push(message);
}

const through = (id: number) => ({ open_flags: FOPEN_PASSTHROUGH, backing_id: id });

test('one number a node, from the first open to the last release, in any thread', () => {
  const kernel = new Kernel();
  // Two threads: each has one of its own over the same nodes.
  const [one, other] = [new HandedFiles(nodes, credentials, kernel), new HandedFiles(nodes, credentials, kernel)];
  expect([one.open(FUSE_ROOT_ID, 3), other.open(FUSE_ROOT_ID, 4)]).toEqual([through(7), through(7)]);
  one.release(FUSE_ROOT_ID);
  expect(kernel.open_).toEqual([7]);
  expect(one.open(FUSE_ROOT_ID, 3)).toEqual(through(7));
  for (const each of [other, other]) each.release(FUSE_ROOT_ID);
  expect(kernel.open_).toEqual([]);
  expect(other.open(FUSE_ROOT_ID, 3)).toEqual(through(8));
  one.release(FUSE_ROOT_ID);
  expect(kernel.open_).toEqual([]);
});

test('a node that was opened by requests stays so until its last release, though the kernel would take it now', () => {
  const kernel = new Kernel();
  kernel.refuses = ELOOP;
  const handed = new HandedFiles(nodes, credentials, kernel);
  expect(handed.open(FUSE_ROOT_ID, 3)).toBeUndefined();
  kernel.refuses = undefined;
  expect(handed.open(FUSE_ROOT_ID, 3)).toBeUndefined();
  handed.release(FUSE_ROOT_ID);
  handed.release(FUSE_ROOT_ID);
  expect(handed.open(FUSE_ROOT_ID, 3)).toEqual(through(7));
  handed.release(FUSE_ROOT_ID);
  expect(kernel.warnings, 'it was this file only').toEqual([]);
});

test('who may hand over nothing is told once, and asks no more', () => {
  const kernel = new Kernel();
  kernel.refuses = EPERM;
  const handed = new HandedFiles(nodes, credentials, kernel);
  for (let i = 0; i < 3; i++) {
    expect(handed.open(FUSE_ROOT_ID, 3)).toBeUndefined();
    handed.release(FUSE_ROOT_ID);
  }
  expect(kernel.asked).toBe(1);
  expect(kernel.warnings).toEqual([
    expect.stringMatching(/^files are read and written by requests, the kernel takes none: /u),
  ]);
});
