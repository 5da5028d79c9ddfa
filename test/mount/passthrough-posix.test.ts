/**
 * The POSIX table on mounts of PassthroughFs: what a row gives there is what it gives in a directory of the same kind
 * without FUSE. With file handles over ext4 and with descriptors over tmpfs, on one thread and on one for each CPU, with each
 * policy of caching, with data by requests and by the kernel.
 *
 * The table is long. Each of the ways takes another part of it, and all of it with ROWS=all, as in `npm run soak`.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { TransportKind } from '../../src/protocol/transport.ts';
import { ROOT } from '../installed.ts';
import { rows } from '../posix/rows.ts';
import type { Kind } from '../random/native.ts';
import { TRANSPORT } from '../transport.ts';
import { rowsBeside } from './beside.ts';
import { passthrough, type Wishes } from './passthrough.ts';

const kept = ['ok', '0o2666', 'ok', '0o7767'];
const lost = ['ok', '0o666', 'ok', '0o1767'];
/** Of root, of a member of the group by one of several, of an owner who is none, of another user. */
const SGID = { out: [kept, lost, lost, lost], why: 'Where it differs' };
/** Rows that a mount can't do as the directory itself does: what it gives, and the heading of docs/passthrough.md that says why. */
const DIFFERS: Readonly<Record<string, { readonly out: readonly unknown[]; readonly why: string }>> = {
  ...Object.fromEntries(
    ['write', 'truncate', 'open O_TRUNC'].map((call) => [
      `${call}: takes S_ISGID where the group may not execute from whoever is not in the group`,
      SGID,
    ]),
  ),
  'a write through mmap: whether it leaves security.capability': {
    out: ['ok', false, 'ok', false],
    why: 'Where it differs',
  },
};

/** Whoever writes, root too. */
const CLEARED = ['ok', '0o777', 'ok', '0o666', 'ok', '0o676', 'ok', '0o1757'];
/** Told when the kernel asks for attributes: not within a second, but with `none` at once. */
const ASKED_LATER = 'times: writing to a mapping moves mtime and ctime, by msync at the latest';
/** The same where the kernel reads and writes files itself; undefined is as natively. */
const BY_THE_KERNEL: Readonly<Record<string, (typeof DIFFERS)[string] | undefined>> = {
  'a write through mmap: whether it leaves security.capability': undefined,
  ...Object.fromEntries(
    ['write', 'write with O_APPEND', 'pwrite', 'writev', 'sendfile'].map((call) => [
      `${call}: what it leaves of S_ISUID, and of S_ISGID where the group may execute`,
      { out: [CLEARED, CLEARED, CLEARED, CLEARED], why: 'Read and written by the kernel' },
    ]),
  ),
  'write: takes S_ISGID where the group may not execute from whoever is not in the group': {
    out: [lost, lost, lost, lost],
    why: 'Read and written by the kernel',
  },
  [ASKED_LATER]: { out: [120, ['']], why: 'Read and written by the kernel' },
  'pwritev2: RWF_NOAPPEND writes at its offset, O_APPEND or not': {
    out: [2, 2, '0123456789abcd', 'EINVAL'],
    why: 'Read and written by the kernel',
  },
};

/** Rows that give something else where the kernel keeps what is written, in the words of docs/caching.md. */
const WRITTEN_BACK: Readonly<Record<string, readonly string[]>> = {
  'SEEK_DATA and SEEK_HOLE': [
    'lseek: a few bytes make a page of data',
    'lseek: data at 1 TiB',
    'lseek: SEEK_DATA and SEEK_HOLE move the offset, also of a descriptor for writing',
    'lseek: a file that is all hole',
    'lseek: data after a hole, a hole after data, by turns',
    'lseek: data, after truncate down and up',
    'lseek: SEEK_END is not moved by holes',
    'fallocate: what it allocates is a hole for lseek until written',
    'fallocate: KEEP_SIZE far past the end, then a write there',
    'fallocate: PUNCH_HOLE makes zeros, whole pages of them a hole',
    'fallocate: PUNCH_HOLE from within a page to within another',
    'fallocate: ZERO_RANGE of whole pages is a hole for lseek',
    'mmap: at 1 TiB',
    'mmap: writing to a hole takes space and makes data',
    'madvise: MADV_DONTNEED reads the file again, MADV_REMOVE punches a hole',
    'O_DIRECT: a write past the end leaves a hole of zeros',
  ],
  'blocks of a file': [
    'fallocate: PUNCH_HOLE gives the space back',
    'stat: st_blocks counts pages of data, not holes',
    'stat: st_blocks after writing the same again, and a page border',
    'stat: st_blocks after O_TRUNC, and of 1 MiB',
  ],
  'offset past the largest': ['write: an offset larger than files can be is EFBIG'],
  'setgid bit': ['write: takes S_ISGID where the group may not execute from whoever is not in the group'],
  'truncate to the size': [
    'times: truncate moves mtime and ctime, also to the size that the file has',
    'times: truncate of an empty file to nothing',
  ],
  'past the page cache': ['times: write with O_APPEND, O_SYNC or O_DIRECT moves mtime and ctime'],
};

/** What was written past the largest offset fails when it is written back, and the next syncfs(2) tells of it, whichever row that is in. */
const TELLS = { name: 'syncfs: by any descriptor, EBADF without one', out: ['EFBIG', 0, 'EBADF'] } as const;

interface Way extends Pick<Wishes, 'cache' | 'writeback' | 'kernelPassthrough'> {
  readonly kind: Kind;
  readonly threads: 'cpus' | undefined;
  readonly transport: TransportKind;
  /** One row in so many is run. */
  readonly share: number;
}
const [ext4, tmpfs] = [{ kind: 'ext4' }, { kind: 'tmpfs' }] as const;
const [one, cpus] = [{ threads: undefined }, { threads: 'cpus' }] as const;
const [device, uring] = [{ transport: 'device' }, { transport: 'uring' }] as const;
const [kernel, requests] = [{ kernelPassthrough: true }, { kernelPassthrough: false }] as const;
/** Each kind of source, number of threads, policy and way of data that may be together; over the ring what does not come over the device. */
const WAYS: readonly Way[] = [
  { ...ext4, ...one, ...device, ...requests, share: 16 },
  { ...tmpfs, ...cpus, ...device, ...requests, share: 16 },
  { ...ext4, ...cpus, ...uring, ...requests, share: 16 },
  { ...ext4, ...cpus, ...device, ...kernel, share: 16 },
  { ...ext4, ...one, ...device, ...requests, cache: 'none', share: 64 },
  { ...ext4, ...cpus, ...uring, ...kernel, cache: 'none', share: 64 },
  { ...tmpfs, ...cpus, ...device, ...requests, cache: 'always', share: 64 },
  { ...ext4, ...one, ...uring, ...kernel, cache: 'always', share: 64 },
  { ...ext4, ...one, ...device, ...requests, writeback: true, share: 64 },
  { ...ext4, ...cpus, ...uring, ...requests, writeback: true, cache: 'always', share: 64 },
];

test('docs/passthrough.md explains each difference', () => {
  const text = readFileSync(join(ROOT, 'docs/passthrough.md'), 'utf8');
  for (const [name, differs] of [...Object.entries(DIFFERS), ...Object.entries(BY_THE_KERNEL)]) {
    expect(rows.map(([each]) => each)).toContain(name);
    if (differs) expect(text).toContain(`\n## ${differs.why}\n`);
  }
  const caching = readFileSync(join(ROOT, 'docs/caching.md'), 'utf8');
  for (const [words, names] of Object.entries(WRITTEN_BACK)) {
    expect(caching).toContain(words);
    expect(rows.map(([each]) => each)).toEqual(expect.arrayContaining([...names]));
  }
});

for (const [way, { kind, threads, transport, share, ...wishes }] of WAYS.entries()) {
  if (transport !== TRANSPORT) continue;
  const inodeHandles = kind === 'ext4' ? 'handles' : 'descriptors';
  const { cache = 'auto', writeback, kernelPassthrough } = wishes;
  const title = `${kind}, ${inodeHandles}, threads ${threads}, cache ${cache}${writeback ? ', writeback' : ''}${kernelPassthrough ? ', by the kernel' : ''}`;
  rowsBeside({
    ...{ title, kind, rows, share, from: way },
    mount: () => passthrough({ kind, inodeHandles, ...wishes, mount: { threads } }),
    async differs(name, native, found) {
      if (writeback && Object.values(WRITTEN_BACK).flat().includes(name)) {
        expect(await found().catch(() => undefined)).not.toEqual(native);
        return true;
      }
      if (writeback && name === TELLS.name) {
        expect([native, TELLS.out]).toContainEqual(await found());
        return true;
      }
      const differs =
        cache === 'none' && name === ASKED_LATER
          ? undefined
          : (kernelPassthrough && name in BY_THE_KERNEL ? BY_THE_KERNEL : DIFFERS)[name];
      if (differs === undefined) return false;
      expect(native).not.toEqual(differs.out);
      expect(await found()).toEqual(differs.out);
      return true;
    },
  });
}
