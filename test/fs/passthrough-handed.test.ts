/** Which way the opens of a node go, where the kernel takes files and where it does not. */
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { withoutCapabilities } from '../../src/abi/credentials.ts';
import { ELOOP, EPERM, type Errno, SystemError } from '../../src/abi/errno.ts';
import { closeQuietly } from '../../src/abi/files.ts';
import { FOPEN_PASSTHROUGH, FUSE_ROOT_ID } from '../../src/abi/fuse-constants.ts';
import { CAP_SYS_ADMIN } from '../../src/abi/posix.ts';
import { HandedFiles, whyNotHanded } from '../../src/fs/handed.ts';
import { LowerNodes } from '../../src/fs/passthrough/nodes.ts';
import { Scratch } from '../../src/fs/passthrough/scratch.ts';
import { openSource } from '../../src/fs/passthrough/source.ts';
import { booksOf } from '../../src/fs/passthrough/ways.ts';
import type { BackingFiles } from '../../src/protocol/backing.ts';

const dir = mkdtempSync(join(tmpdir(), 'rawfuse-handed-'));
const source = openSource({ source: dir });
const nodes = new LowerNodes(source, new Scratch());
const books = booksOf(nodes);
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
  const [one, other] = [new HandedFiles(kernel, books), new HandedFiles(kernel, books)];
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
  const handed = new HandedFiles(kernel, books);
  expect(handed.open(FUSE_ROOT_ID, 3)).toBeUndefined();
  kernel.refuses = undefined;
  expect(handed.open(FUSE_ROOT_ID, 3)).toBeUndefined();
  handed.release(FUSE_ROOT_ID);
  handed.release(FUSE_ROOT_ID);
  expect(handed.open(FUSE_ROOT_ID, 3)).toEqual(through(7));
  handed.release(FUSE_ROOT_ID);
  expect(kernel.warnings, 'it was this file only, and is told once').toEqual([
    'some files are read and written by requests, not by the kernel: they are on a filesystem that stands on another one, as overlayfs does',
  ]);
});

test('files that do not fit are never offered, and why not is told once', () => {
  const kernel = new Kernel();
  const handed = new HandedFiles(kernel, books, (fd) => (fd === 3 ? 'they are odd' : undefined));
  expect(handed.open(FUSE_ROOT_ID, 3)).toBeUndefined();
  expect(handed.open(FUSE_ROOT_ID, 4), 'nor another open of the node').toBeUndefined();
  for (let i = 0; i < 2; i++) handed.release(FUSE_ROOT_ID);
  expect(handed.open(FUSE_ROOT_ID, 3)).toBeUndefined();
  handed.release(FUSE_ROOT_ID);
  expect([kernel.asked, kernel.warnings]).toEqual([
    0,
    ['some files are read and written by requests, not by the kernel: they are odd'],
  ]);
});

test('a filesystem on one thread needs no books of its own', () => {
  const kernel = new Kernel();
  const handed = new HandedFiles(kernel);
  expect([handed.open(5, 3), handed.open(5, 4), handed.open(6, 5)]).toEqual([through(7), through(7), through(8)]);
  for (const nodeid of [5, 6, 5]) handed.release(nodeid);
  expect(kernel.open_).toEqual([]);
  expect(handed.open(5, 3)).toEqual(through(9));
});

test('without the agreement, or the right, there is a reason', () => {
  expect(whyNotHanded({ agreed: new Set() })).toBe('the kernel has no FUSE_PASSTHROUGH (Linux 6.9)');
  const agreed = new Set(['PASSTHROUGH'] as const);
  expect(withoutCapabilities([CAP_SYS_ADMIN], () => whyNotHanded({ agreed }))).toBe('that needs CAP_SYS_ADMIN');
  if (process.geteuid?.() === 0) expect(whyNotHanded({ agreed })).toBeUndefined();
});

test('who may hand over nothing is told once, and asks no more', () => {
  const kernel = new Kernel();
  kernel.refuses = EPERM;
  const handed = new HandedFiles(kernel, books);
  for (let i = 0; i < 3; i++) {
    expect(handed.open(FUSE_ROOT_ID, 3)).toBeUndefined();
    handed.release(FUSE_ROOT_ID);
  }
  expect(kernel.asked).toBe(1);
  expect(kernel.warnings).toEqual([
    expect.stringMatching(/^files are read and written by requests, not by the kernel: /u),
  ]);
});
