/** What a handler gets as its first argument. See request.ts and slot.ts. */
import { describe, expect, test } from 'vitest';
import { EINTR, ENOTCONN, ESTALE } from '../../src/abi/errno.ts';
import { FUSE_INVALID_UIDGID, FUSE_UNIQUE_RESEND } from '../../src/abi/fuse-constants.ts';
import { encodeRequest, load, viewOf } from './support.ts';

const about = { unique: FUSE_UNIQUE_RESEND | 6n, nodeid: 2 ** 53 - 1, uid: 11, gid: 12, pid: 13 };
const slotOf = (head = about) => load(encodeRequest('LOOKUP', { name: 'a' }, head), 'device');

describe('a request', () => {
  test('reads what the header says when it is asked', () => {
    const { request } = slotOf();
    const { len, opcode, unique, nodeid, uid, gid, pid, total_extlen } = request;
    expect({ len, opcode, unique, nodeid, uid, gid, pid, total_extlen }).toEqual({
      ...about,
      len: 42,
      opcode: 1,
      total_extlen: 0,
    });
  });

  test('has ids that name nobody where the kernel gives no caller', () => {
    const { request } = slotOf({ ...about, uid: FUSE_INVALID_UIDGID, gid: FUSE_INVALID_UIDGID });
    expect([request.uid, request.gid]).toEqual([0xffff_ffff, 0xffff_ffff]);
  });

  test('about a node whose id is no number of ours is stale', () => {
    const slot = slotOf();
    for (const nodeid of [2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
      slot.view.setBigUint64(16, nodeid, true);
      expect(() => slot.request.nodeid).toThrow(ESTALE);
    }
  });

  test('goes on being itself when its message moves to another buffer', () => {
    const slot = slotOf();
    const { request } = slot;
    const bytes = Buffer.from(slot.bytes);
    const out = Buffer.alloc(100);
    slot.use({ view: viewOf(bytes), bytes, out: viewOf(out), body: out.subarray(16) });
    slot.bytes.writeUInt32LE(99, 32);
    expect(request.pid).toBe(99);
    expect(slot.request).toBe(request);
  });
});

describe('the signal', () => {
  test('is aborted with the reason, which throwIfAborted throws', () => {
    const { request } = slotOf();
    const { signal } = request;
    expect(signal.aborted).toBe(false);
    request.abort(EINTR);
    expect(signal.reason).toBe(EINTR);
    expect(() => signal.throwIfAborted()).toThrow(EINTR);
    expect(request.signal).toBe(signal);
  });
  test('is aborted already where it is asked for after the abort, by the first reason', () => {
    const { request } = slotOf();
    request.abort(EINTR);
    request.abort(ENOTCONN);
    expect(request.signal.reason).toBe(EINTR);
  });
  test('of the next request in the slot is another one', () => {
    const { request } = slotOf();
    const { signal } = request;
    request.abort(EINTR);
    request.extensions = { contexts: [], groups: [1] };
    request.reset();
    expect(request.aborted).toBe(undefined);
    expect(request.extensions).toBe(undefined);
    expect(request.signal).not.toBe(signal);
    expect(request.signal.aborted).toBe(false);
  });
});
