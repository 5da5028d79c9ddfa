/**
 * The POSIX table on mounts of PassthroughFs: what a row gives there is what it gives in a directory of the same kind
 * without FUSE. With file handles over ext4 and with descriptors over tmpfs, on one thread and on one for each CPU.
 */
import { chmodSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { Agent } from '../posix/agent.ts';
import { posix } from '../posix/rows.ts';
import type { Row } from '../posix/table.ts';
import { native } from '../random/native.ts';
import { kernelTest, lacking } from '../support.ts';
import { TRANSPORT } from '../transport.ts';
import { type PassthroughMount, passthrough } from './passthrough.ts';

const rows = Object.entries(posix).map(([name, each]): [string, Row] => [
  name,
  typeof each === 'string' ? { script: each } : each,
]);

/** Each kind of source, way to hold nodes and number of threads once; over the ring what does not come over the device. */
const WAYS = [
  { kind: 'ext4', inodeHandles: 'handles', threads: undefined, transport: 'device' },
  { kind: 'tmpfs', inodeHandles: 'descriptors', threads: 'cpus', transport: 'device' },
  { kind: 'ext4', inodeHandles: 'handles', threads: 'cpus', transport: 'uring' },
] as const;

for (const { kind, inodeHandles, threads } of WAYS.filter((each) => each.transport === TRANSPORT))
  describe(`over ${kind}, held as ${inodeHandles}, threads ${threads}`, () => {
    let agent: Agent;
    let mount: PassthroughMount;
    let beside: Awaited<ReturnType<typeof native>>;
    beforeAll(async () => {
      agent = new Agent();
      if (lacking !== undefined) return;
      beside = await native(kind);
      chmodSync(beside.dir, 0o755); // rows run as other users, too
      mount = await passthrough({ kind, inodeHandles, mount: { threads } });
    });
    afterAll(async () => {
      await agent[Symbol.asyncDispose]();
      await mount?.[Symbol.asyncDispose]();
      await beside?.[Symbol.asyncDispose]();
    });
    for (const [name, row] of rows) {
      if (row.like !== undefined && row.like !== kind) continue;
      kernelTest(`${kind}, ${inodeHandles}, threads ${threads}: ${name}`, async () => {
        const expected = row.fuse?.out ?? (await agent.run(row.script, beside.dir));
        expect(await agent.run(row.script, mount.dir)).toEqual(expected);
      });
    }
  });
