/**
 * The POSIX table on mounts of PassthroughFs: what a row gives there is what it gives in a directory of the same kind
 * without FUSE. With file handles over ext4 and with descriptors over tmpfs, on one thread and on one for each CPU.
 *
 * The table is long. Each of the ways takes another sixteenth of it, and all of it with ROWS=all, as in `npm run soak`.
 */
import { chmodSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TransportKind } from '../../src/protocol/transport.ts';
import { ROOT } from '../installed.ts';
import { Agent } from '../posix/agent.ts';
import { posix } from '../posix/rows.ts';
import type { Row } from '../posix/table.ts';
import { type Kind, native } from '../random/native.ts';
import { kernelTest, lacking } from '../support.ts';
import { TRANSPORT } from '../transport.ts';
import { type PassthroughMount, passthrough, type Wishes } from './passthrough.ts';

const rows = Object.entries(posix).map(([name, each]): [string, Row] => [
  name,
  typeof each === 'string' ? { script: each } : each,
]);

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

/** The same where the kernel reads and writes files itself. */
const BY_THE_KERNEL: typeof DIFFERS = {
  'pwritev2: RWF_NOAPPEND writes at its offset, O_APPEND or not': {
    out: [2, 2, '0123456789abcd', 'EINVAL'],
    why: 'Read and written by the kernel',
  },
};

/** One row in so many is run in each way. */
const SHARES = process.env.ROWS === 'all' ? 1 : 16;
interface Way extends Pick<Wishes, 'inodeHandles' | 'kernelPassthrough'> {
  readonly kind: Kind;
  readonly threads: 'cpus' | undefined;
  readonly transport: TransportKind;
}
/** Each kind of source, way to hold nodes and number of threads once; over the ring what does not come over the device. */
const WAYS = [
  { kind: 'ext4', inodeHandles: 'handles', threads: undefined, transport: 'device' },
  { kind: 'tmpfs', inodeHandles: 'descriptors', threads: 'cpus', transport: 'device' },
  { kind: 'ext4', inodeHandles: 'handles', threads: 'cpus', transport: 'uring' },
  { kind: 'ext4', inodeHandles: 'handles', threads: 'cpus', transport: 'device', kernelPassthrough: true },
] as const satisfies readonly Way[];

test('docs/passthrough.md explains each difference', () => {
  const text = readFileSync(join(ROOT, 'docs/passthrough.md'), 'utf8');
  for (const [name, { why }] of Object.entries({ ...DIFFERS, ...BY_THE_KERNEL })) {
    expect(rows.map(([each]) => each)).toContain(name);
    expect(text).toContain(`\n## ${why}\n`);
  }
});

for (const [way, { kind, threads, transport, ...wishes }] of (WAYS as readonly Way[]).entries()) {
  if (transport !== TRANSPORT) continue;
  const by = wishes.kernelPassthrough ? ', by the kernel' : '';
  const title = `${kind}, ${wishes.inodeHandles}, threads ${threads}${by}`;
  describe(`over ${title}`, () => {
    let agent: Agent;
    let mount: PassthroughMount;
    let beside: Awaited<ReturnType<typeof native>>;
    beforeAll(async () => {
      agent = new Agent();
      if (lacking !== undefined) return;
      beside = await native(kind);
      chmodSync(beside.dir, 0o755); // rows run as other users, too
      mount = await passthrough({ kind, ...wishes, mount: { threads } });
    });
    afterAll(async () => {
      await agent[Symbol.asyncDispose]();
      await mount?.[Symbol.asyncDispose]();
      await beside?.[Symbol.asyncDispose]();
    });
    const possible = rows.filter(([, { like }]) => like === undefined || like === kind);
    for (const [name, row] of possible.filter((_, i) => i % SHARES === way % SHARES)) {
      kernelTest(`${title}: ${name}`, async () => {
        const expected = await agent.run(row.script, beside.dir);
        const found = await agent.run(row.script, mount.dir);
        const differs = (wishes.kernelPassthrough ? BY_THE_KERNEL[name] : undefined) ?? DIFFERS[name];
        if (differs !== undefined) {
          expect(expected).not.toEqual(differs.out);
          return expect(found).toEqual(differs.out);
        }
        if (row.fuse === undefined) return expect(found).toEqual(expected);
        // Some of the differences are MemoryFs's way with FUSE, and not there where the kernel keeps the locks.
        expect([row.fuse.out, expected]).toContainEqual(found);
      });
    }
  });
}
