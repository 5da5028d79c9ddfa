/**
 * NVMe without a device: commands and answers as vectors of bytes, written down by hand from the specification; namespaces in a
 * tree that looks like sysfs; a ring whose kernel is played. And what this machine's real kernel says to what is no NVMe.
 */
import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EACCES, ENOENT, ENOTTY, EOPNOTSUPP } from '../../src/abi/errno.ts';
import { nvme_id_ctrl, nvme_id_ns, nvme_passthru_cmd, nvme_uring_cmd } from '../../src/abi/nvme.ts';
import { O_RDONLY } from '../../src/abi/posix.ts';
import { close, eventfd } from '../../src/abi/syscall.ts';
import { io_uring_params } from '../../src/abi/uring.ts';
import { UringFiles } from '../../src/uring/files.ts';
import { ioctls, NVME_VARIABLE, type NvmeCall, NvmeNamespace, type NvmeSystem } from '../../src/uring/nvme.ts';
import {
  flushCommand,
  flushUringCommand,
  identifyCommand,
  NvmeError,
  parseIdentity,
} from '../../src/uring/nvme-codec.ts';
import { findNvme, NvmeUnsupported } from '../../src/uring/nvme-sysfs.ts';
import { Ring } from '../../src/uring/ring.ts';
import { UringError } from '../../src/uring/setup.ts';
import { temporary } from '../support.ts';
import { one } from './engines.ts';
import { uring } from './support.ts';

/** Bytes of hexadecimal digits, `*N` after a pair repeats it. */
const hex = (text: string): Buffer =>
  Buffer.concat(
    text
      .trim()
      .split(/\s+/u)
      .map((each) => {
        const [digits, times = '1'] = each.split('*') as [string, string?];
        return Buffer.concat(Array.from({ length: Number(times) }, () => Buffer.from(digits, 'hex')));
      }),
  );

describe('commands', () => {
  test('are of 72 bytes, whoever takes them', () => {
    expect([nvme_passthru_cmd.size, nvme_uring_cmd.size]).toEqual([72, 72]);
    expect([nvme_id_ns.size, nvme_id_ctrl.size]).toEqual([4096, 4096]);
  });
  test('flush', () => {
    const expected = hex('00 00 0000  04030201  00*64');
    expect(flushCommand(0x0102_0304)).toEqual(expected);
    expect(flushUringCommand(0x0102_0304)).toEqual(expected);
  });
  test('identify', () => {
    //                 opcode        nsid      cdw2, 3   metadata  addr  lengths             cdw10
    const expected = hex('06 00 0000  05000000  00*8      00*8      00*8  00000000 00100000   00000000  00*20  00*8');
    expect(identifyCommand('namespace', 5)).toEqual(expected);
    //                                                                                        cns 1: of no namespace
    const controller = hex('06 00 0000  00000000  00*8  00*8  00*8  00000000 00100000  01000000  00*20  00*8');
    expect(identifyCommand('controller', 5)).toEqual(controller);
  });
});

describe('what Identify answers', () => {
  /** A namespace of 0x1000 blocks with two formats, of 512 and of 4096 bytes. */
  const namespace = (nsfeat: string, flbas: string, from34to45: string, nlbaf = '01') =>
    hex(`0010000000000000 00*16  ${nsfeat} ${nlbaf} ${flbas} 00*7  ${from34to45}  00*82
         0000 09 00  0000 0c 00  00*56  0000 0c 00 00*60  00*3840`);
  /** AWUN 7, AWUPF 0. */
  const controller = (vwc = '01') => hex(`00*525 ${vwc} 0700 0000 00*3566`);
  const NOTHING = '0000 0000 0000 0000 0000 0000';
  //             nawun nawupf nacwu nabsn nabo nabspf
  const OWN = '1f00 0300 0000 3f00 0800 0f00';

  test.each([
    ['the controller’s units', '00', '00', NOTHING, 512, { normal: 8, powerFail: 1, of: 'controller' }, undefined],
    ['in blocks of its format', '00', '01', NOTHING, 4096, { normal: 8, powerFail: 1, of: 'controller' }, undefined],
    // Without bit 1 of NSFEAT they mean nothing.
    ['not its own without the bit', 'fd', '00', OWN, 512, { normal: 8, powerFail: 1, of: 'controller' }, undefined],
    ['its own with the bit', '02', '00', OWN, 512, { normal: 32, powerFail: 4, of: 'namespace' }, [8, 64, 16]],
    [
      'each that is 0 is the controller’s',
      '02',
      '00',
      '0000 0300 0000 0000 0000 0000',
      512,
      { normal: 8, powerFail: 4, of: 'namespace' },
      undefined,
    ],
    [
      '65,536 blocks',
      '02',
      '00',
      'ffff ffff 0000 0000 0000 ffff',
      512,
      { normal: 65_536, powerFail: 65_536, of: 'namespace' },
      [0, undefined, 65_536],
    ],
  ] as const)('%s', (_, nsfeat, flbas, fields, blockSize, unit, boundary) => {
    const { atomicWrite, ...rest } = parseIdentity(namespace(nsfeat, flbas, fields), controller());
    expect(rest).toEqual({ blockSize, blocks: 0x1000n, volatileCache: true });
    const blocks = (count: number | undefined) => (count === undefined ? undefined : count * blockSize);
    expect(atomicWrite).toEqual({
      ...{ of: unit.of, normal: blocks(unit.normal), powerFail: blocks(unit.powerFail) },
      boundary: boundary && {
        offset: blocks(boundary[0]),
        normal: blocks(boundary[1]),
        powerFail: blocks(boundary[2]),
      },
    });
  });
  test('a format beyond the 16th has its upper bits elsewhere', () => {
    expect(parseIdentity(namespace('00', '20', NOTHING, '11'), controller()).blockSize).toBe(4096);
    expect(parseIdentity(namespace('00', '20', NOTHING, '01'), controller()).blockSize).toBe(512);
  });
  test('no volatile cache', () =>
    expect(parseIdentity(namespace('00', '00', NOTHING), controller('06')).volatileCache).toBe(false));
  test('half an answer is none', () => {
    expect(() => parseIdentity(Buffer.alloc(4096), Buffer.alloc(512))).toThrow('512 bytes are no answer');
  });
});

test('a status has its name, and says whether to try again', () => {
  expect(new NvmeError(0x000b, 'flush')).toMatchObject({
    message: 'flush: NVMe status INVALID_NS',
    status: 0xb,
    final: false,
  });
  expect(new NvmeError(0x4280, 'flush')).toMatchObject({ code: 'WRITE_FAULT', status: 0x280, final: true });
  expect(new NvmeError(0x01c0, 'x')).toMatchObject({ code: '0x1c0', status: 0x1c0 });
});

let root: string;
beforeEach(() => {
  root = temporary('rawfuse-sysfs-');
});
afterEach(() => rmSync(root, { recursive: true }));

/** A block device in the tree: where it is, and its numbers. */
function disk(path: string, number: string, files: Readonly<Record<string, string>> = {}): void {
  const at = join(root, 'devices', path);
  mkdirSync(at, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(at, name), text);
  mkdirSync(join(root, 'dev/block'), { recursive: true });
  symlinkSync(`../../devices/${path}`, join(root, 'dev/block', number));
}
const NVME = 'pci0000:00/0000:00:04.0/nvme/nvme0';

describe('discovery', () => {
  const found = (major: number, minor: number) => findNvme({ major, minor }, root);

  test('a disk, and its partition', async () => {
    disk(`${NVME}/nvme0n1`, '259:0', { nsid: '7\n' });
    disk(`${NVME}/nvme0n1/nvme0n1p2`, '259:2', { partition: '2\n' });
    const expected = { name: 'nvme0n1', nsid: 7, block: '/dev/nvme0n1', generic: undefined };
    expect([await found(259, 0), await found(259, 2)]).toEqual([expected, expected]);
    mkdirSync(join(root, 'class/nvme-generic/ng0n1'), { recursive: true });
    expect(await found(259, 2)).toEqual({ ...expected, generic: '/dev/ng0n1' });
  });
  test('one that has several paths', async () => {
    disk('virtual/nvme-subsystem/nvme-subsys3/nvme3n12', '259:5', { nsid: '4294967294' });
    expect(await found(259, 5)).toMatchObject({ name: 'nvme3n12', nsid: 0xffff_fffe });
  });
  test.each([
    ['virtual/block/dm-0', {}, 'dm-0 is device mapper'],
    ['virtual/block/md127', {}, 'md127 is an md array'],
    ['virtual/block/loop3', {}, 'loop3 is a loop device'],
    ['pci0000:00/virtio3/block/vda', {}, 'vda is no NVMe namespace'],
    [`${NVME}/nvme0c1n1`, { nsid: '1' }, 'nvme0c1n1 is no NVMe namespace'], // one path of several
    [NVME, { nsid: '1' }, 'nvme0 is no NVMe namespace'],
    // No id is guessed.
    [`${NVME}/nvme0n1`, {}, 'does not say which namespace nvme0n1 is'],
    [`${NVME}/nvme0n1`, { nsid: '' }, 'does not say which'],
    [`${NVME}/nvme0n1`, { nsid: '0' }, 'does not say which'],
    [`${NVME}/nvme0n1`, { nsid: '4294967295' }, 'does not say which'],
  ] as [string, Record<string, string>, string][])('%s %o: %s', async (path, files, why) => {
    disk(path, '250:1', files);
    await expect(found(250, 1)).rejects.toThrow(NvmeUnsupported);
    await expect(found(250, 1)).rejects.toThrow(why);
  });
  test('what has no block device', async () => {
    await expect(found(0, 42)).rejects.toThrow('btrfs, or no disk at all');
    await expect(found(9, 9)).rejects.toThrow(/there is no .*9:9/u);
  });
});

/** A ring of SQE128 and CQE32 whose kernel answers each command with what `answer` gives. */
function playedRing(answer: (sqe: Buffer) => number, told: Buffer[]): Ring {
  const ENTRIES = 8;
  const words = new Int32Array(16 + ENTRIES + 8 * 2 * ENTRIES);
  const sqes = new ArrayBuffer(128 * ENTRIES);
  const fd = eventfd();
  return new Ring(
    { sqe128: true, cqe32: true },
    {
      setUp() {
        const params = io_uring_params.decode(new DataView(new ArrayBuffer(io_uring_params.size)), 0);
        words[4] = ENTRIES - 1;
        words[5] = 2 * ENTRIES - 1;
        const sq_off = { ...params.sq_off, head: 0, tail: 4, ring_mask: 16, flags: 24, array: 64 };
        const cq_off = { ...params.cq_off, head: 8, tail: 12, ring_mask: 20, cqes: 64 + 4 * ENTRIES };
        const memory = { fd, tier: 'cooperative', features: 0, words, sqes } as const;
        return { ...memory, params: { ...params, sq_off, cq_off }, free: () => close(fd) };
      },
      enter(_, submit) {
        for (let i = 0; i < submit; i++) {
          const sqe = Buffer.from(
            sqes.slice(128 * (words[0]! & (ENTRIES - 1)), 128 * ((words[0]! & (ENTRIES - 1)) + 1)),
          );
          words[0]!++;
          told.push(sqe);
          const at = 16 + ENTRIES + 8 * (words[3]! & (2 * ENTRIES - 1));
          words.set([sqe.readInt32LE(32), sqe.readInt32LE(36), answer(sqe), 0, 0, 0, 0, 0], at);
          words[3]!++;
        }
        return submit;
      },
    },
  );
}

describe('a namespace', () => {
  let files: UringFiles;
  let calls: (NvmeCall & { device: string })[];
  let result: number;
  let told: Buffer[];
  let made: (() => Ring) | undefined;
  let system: NvmeSystem;
  beforeEach(() => {
    files = new UringFiles();
    [calls, told, result, made] = [[], [], 0, undefined];
    system = {
      root,
      thread: (device) => ({
        async call(call) {
          calls.push({ ...call, device });
          return { result, data: Buffer.alloc(call.length) };
        },
        async end() {},
      }),
      ring() {
        if (made === undefined) throw new UringError('absent', 'none');
        return made();
      },
    };
  });
  afterEach(() => files.close());

  /** The file of the test on a namespace, as its own device tells. */
  async function namespace(generic?: string) {
    const path = join(root, 'file');
    writeFileSync(path, '');
    const { dev_major, dev_minor } = (await files.statx(path)).statx;
    if (!existsSync(join(root, 'dev'))) disk(`${NVME}/nvme0n1`, `${dev_major}:${dev_minor}`, { nsid: '9' });
    const of = await NvmeNamespace.of(files, path, system);
    return generic === undefined ? of : Object.assign(of, { device: { ...of.device, generic } });
  }

  test('is flushed by an ioctl on its own device where there is no other', async () => {
    await using of = await namespace();
    await of.flush();
    expect(calls).toEqual([{ device: '/dev/nvme0n1', request: 0xc048_4e43, command: flushCommand(9), length: 0 }]);
    result = 0x2002; // INVALID_FIELD, and more is to be had in the log
    await expect(of.flush()).rejects.toMatchObject({ name: 'NvmeError', code: 'INVALID_FIELD' });
    result = -EACCES.errno;
    await expect(of.flush()).rejects.toBe(EACCES);
  });

  test('is flushed by the ring where there is a device for that', async () => {
    made = () => playedRing(() => result, told);
    await using of = await namespace('/dev/null');
    await of.flush();
    const [sqe] = told as [Buffer];
    expect([sqe[0], sqe.readUInt32LE(8), sqe.readUInt32LE(12)]).toEqual([46, 0xc048_4e80, 0]);
    expect(sqe.subarray(48)).toEqual(Buffer.concat([flushUringCommand(9), Buffer.alloc(8)]));
    result = 0x4006;
    await expect(of.flush()).rejects.toMatchObject({ code: 'INTERNAL', final: true });
    result = -EOPNOTSUPP.errno;
    await expect(of.flush()).rejects.toBe(EOPNOTSUPP);
    expect(calls).toEqual([]);
  });

  test('is flushed by an ioctl where there is no ring, or not that device', async () => {
    await using without = await namespace('/dev/null');
    await without.flush();
    made = () => playedRing(() => 0, told);
    await using absent = await namespace('/dev/ng-absent');
    await absent.flush();
    expect([calls.length, told.length]).toEqual([2, 0]);
  });

  test('says what it is', async () => {
    await using of = await namespace();
    expect(await of.identify()).toMatchObject({ blockSize: 1, volatileCache: false });
    const asked = (['namespace', 'controller'] as const).map((what) => identifyCommand(what, 9));
    expect(calls.map(({ command }) => command)).toEqual(asked);
    expect(
      calls.every(
        ({ request, length, device }) => request === 0xc048_4e41 && length === 4096 && device === '/dev/nvme0n1',
      ),
    ).toBe(true);
  });

  test('is none where it is switched off', async () => {
    for (const value of ['off', '0']) {
      process.env[NVME_VARIABLE] = value;
      await expect(namespace()).rejects.toThrow(`${NVME_VARIABLE} is ${value}`);
    }
    delete process.env[NVME_VARIABLE];
    await using _ = await namespace();
  });

  test('is none where this machine has none', async () => {
    for (const path of ['/proc/self/stat', '/dev/null'])
      await expect(NvmeNamespace.of(files, path)).rejects.toThrow(NvmeUnsupported);
  });

  test('a thread makes the ioctl, and what the kernel says comes back', async () => {
    const thread = ioctls('/dev/null');
    const call = { request: 0xc048_4e43, command: flushCommand(1), length: 4096 };
    expect((await thread.call(call)).result).toBe(-ENOTTY.errno);
    await thread.end();
    const absent = ioctls(join(root, 'absent'));
    expect((await absent.call(call)).result).toBe(-ENOENT.errno);
    await absent.end();
  });
});

uring('URING_CMD', () => {
  test('reaches a file that has no such thing', async () => {
    await using ring = new Ring({ entries: 8, sqe128: true, cqe32: true });
    await using files = new UringFiles();
    await using file = await files.open('/proc/self/stat', O_RDONLY);
    const cmd = flushUringCommand(1);
    expect(await one(ring, 'URING_CMD', { fd: file.fd, off: 0xc048_4e80, cmd })).toBe(-EOPNOTSUPP.errno);
    expect(() => ring.submit('URING_CMD', { fd: file.fd, cmd: Buffer.alloc(81) }, () => {})).toThrow(RangeError);
  });
  test('has no room in a small ring', async () => {
    await using ring = new Ring({ entries: 8 });
    expect(() => ring.submit('URING_CMD', { cmd: flushUringCommand(1) }, () => {})).toThrow(
      'no room for a command of 72 bytes',
    );
  });
});
