/** What may follow CREATE, MKDIR, MKNOD, SYMLINK and TMPFILE: see extensions.ts. */
import { describe, expect, test } from 'vitest';
import { EIO } from '../../src/abi/errno.ts';
import { serve } from '../../src/protocol/dispatch.ts';
import { decodeExtensions, type Extensions } from '../../src/protocol/extensions.ts';
import type { Request } from '../../src/protocol/request.ts';
import { encodeContexts, encodeGroups, encodeRequest, FakeServer, hex, load, SHAPES } from './support.ts';

const decode = (bytes: Buffer): Extensions => decodeExtensions(bytes, 0, bytes.length);
const selinux = { name: 'security.selinux', value: Buffer.from('system_u:object_r:tmp_t:s0\0') };
const smack = { name: 'security.\udcff', value: Buffer.alloc(0) };

const groupsBytes = `
  18000000 20000000  # fuse_ext_header: size 24, type FUSE_EXT_GROUPS
  03000000  # nr_groups 3
  65000000 66000000 67000000  # 101, 102, 103
`;

test('one security context, as the kernel sends it', () => {
  const bytes = hex(`
    20000000 01000000  # fuse_secctx_header: size 32, nr_secctx 1
    05000000 00000000  # fuse_secctx: size 5, padding
    7365632e6100  # "sec.a"
    0102030405  # its value
    0000000000  # to 8 bytes
  `);
  expect(decode(bytes)).toEqual({ contexts: [{ name: 'sec.a', value: Buffer.of(1, 2, 3, 4, 5) }], groups: [] });
});

test('several security contexts, one with a stray byte in its name and without a value', () => {
  expect(decode(encodeContexts([selinux, smack, selinux]))).toEqual({
    contexts: [selinux, smack, selinux],
    groups: [],
  });
});

test('no security context: the kernel sends the header alone where there is no LSM', () => {
  expect(decode(hex('08000000 00000000'))).toEqual({ contexts: [], groups: [] });
});

test('groups', () => {
  expect(decode(hex(groupsBytes))).toEqual({ contexts: [], groups: [101, 102, 103] });
  expect(decode(encodeGroups([0xffff_ffff]))).toEqual({ contexts: [], groups: [0xffff_ffff] });
  expect(decode(encodeGroups([]))).toEqual({ contexts: [], groups: [] });
});

test('both, in either order', () => {
  const parts = [encodeContexts([selinux]), encodeGroups([7])];
  expect(decode(Buffer.concat(parts))).toEqual({ contexts: [selinux], groups: [7] });
  expect(decode(Buffer.concat(parts.reverse()))).toEqual({ contexts: [selinux], groups: [7] });
});

test('a type of a later kernel is skipped, with its padding', () => {
  const unknown = hex('0b000000 21000000 aabbcc 0000000000'); // size 11, type 33
  expect(decode(Buffer.concat([unknown, encodeGroups([8]), unknown]))).toEqual({ contexts: [], groups: [8] });
});

describe('malformed, hence EIO', () => {
  const spoiled = (bytes: Buffer, at: number, value: number): Buffer => {
    const copy = Buffer.from(bytes);
    copy.writeUInt32LE(value, at);
    return copy;
  };
  const contexts = encodeContexts([selinux]);
  const groups = hex(groupsBytes);
  test.each([
    ['a header that is cut', Buffer.alloc(7)],
    ['a header that is cut behind another', Buffer.concat([groups, Buffer.alloc(4)])],
    ['size 0', spoiled(groups, 0, 0)],
    ['a size smaller than the header', spoiled(groups, 0, 7)],
    ['a size smaller than the header, of a type that is skipped', hex('04000000 21000000')],
    ['a size past the end', spoiled(groups, 0, groups.length + 1)],
    ['a size of 32 bits', spoiled(groups, 0, 0xffff_ffff)],
    ['groups without their count', hex('08000000 20000000')],
    ['more groups than there is room for', spoiled(groups, 8, 4)],
    ['groups without end', spoiled(groups, 8, 0xffff_ffff)],
    ['a count of contexts without a context', hex('08000000 01000000')],
    ['fewer contexts than stated', spoiled(contexts, 4, 2)],
    ['a value longer than the context, by a byte', spoiled(contexts, 8, contexts.length - 8 - 8 - 17 + 1)],
    ['a value longer than the context, by far', spoiled(contexts, 8, selinux.value.length + 16)],
    ['a value of 32 bits', spoiled(contexts, 8, 0xffff_ffff)],
    ['a name without its NUL', Buffer.concat([hex('14000000 01000000 00000000 00000000'), Buffer.from('abcd')])],
  ])('%s', (_, bytes) => {
    expect(() => decode(bytes)).toThrow(EIO);
  });
  test('a NUL that lies behind the extension does not end its name', () => {
    const bytes = Buffer.concat([hex('18000000 01000000 00000000 00000000'), Buffer.from('abcdefgh'), Buffer.alloc(8)]);
    expect(() => decodeExtensions(bytes, 0, 24)).toThrow(EIO);
  });
});

describe.each(SHAPES)('on a request in the shape of a %s', (shape) => {
  const creations = [
    ['CREATE', { name: 'a' }],
    ['MKDIR', { name: 'a' }],
    ['MKNOD', { name: 'a' }],
    ['SYMLINK', { name: 'a', target: 'b' }],
    ['TMPFILE', { name: '/' }],
  ] as const;
  test.each(creations)('%s brings them, and its names end before them', (operation, args) => {
    let got: unknown;
    const handler = (request: Request, { name, target }: { name: string; target?: string }) => {
      got = [name, target, request.extensions];
    };
    const server = new FakeServer({ [operation.toLowerCase()]: handler });
    const extensions = Buffer.concat([encodeContexts([selinux, smack]), encodeGroups([9])]);
    serve(server, load(encodeRequest(operation, args, { extensions }), shape));
    expect(got).toEqual([
      args.name,
      'target' in args ? args.target : undefined,
      { contexts: [selinux, smack], groups: [9] },
    ]);
    serve(server, load(encodeRequest(operation, args), shape));
    expect(got).toEqual([args.name, 'target' in args ? args.target : undefined, undefined]);
  });
  test('the next request in the slot does not see them', () => {
    const seen: unknown[] = [];
    const server = new FakeServer({ mkdir: (request: Request) => void seen.push(request.extensions) });
    const slot = load(encodeRequest('MKDIR', { name: 'a' }, { extensions: encodeGroups([9]) }), shape);
    serve(server, slot);
    slot.request.reset();
    slot.view.setUint16(36, 0, true);
    slot.end -= encodeGroups([9]).length;
    serve(server, slot);
    expect(seen).toEqual([{ contexts: [], groups: [9] }, undefined]);
  });
  test('the values outlive the message', () => {
    let kept: Extensions | undefined;
    const server = new FakeServer({
      mkdir: (request: Request) => {
        kept = request.extensions;
      },
    });
    const slot = load(encodeRequest('MKDIR', { name: 'a' }, { extensions: encodeContexts([selinux]) }), shape);
    serve(server, slot);
    slot.bytes.fill(0);
    expect(kept!.contexts).toEqual([selinux]);
  });
});
