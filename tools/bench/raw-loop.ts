/**
 * The baseline: what a server over /dev/fuse costs at least in this language. One buffer in, one buffer out,
 * a switch with every offset written by hand, no tables, no checks, no records; it reads until there is nothing
 * more and then sleeps. Nobody should write a filesystem like this: it is here to be compared with.
 */
import { EAGAIN, EINTR, ENODEV, ENOENT, ENOSYS } from '../../src/abi/errno.ts';
import { INIT_FLAGS, type InitFlag } from '../../src/abi/fuse-constants.ts';
import { Memory } from '../../src/abi/memory.ts';
import { O_CLOEXEC, O_NONBLOCK, O_RDWR } from '../../src/abi/posix.ts';
import { mount, open, read, watch, write } from '../../src/abi/syscall.ts';
import {
  type Absent,
  FILES_AT,
  isDirectory,
  KEPT,
  nodes,
  OPEN_FLAGS,
  RW_SIZE,
  SEQ_SIZE,
  THREADS_AT,
} from './canned.ts';

const MIB = 1 << 20;
const REQUEST = MIB + 4096;
const NOTHING = Number.NEGATIVE_INFINITY;
const FLAGS: readonly InitFlag[] = [
  'ASYNC_READ',
  'BIG_WRITES',
  'MAX_PAGES',
  'PARALLEL_DIROPS',
  'ASYNC_DIO',
  'AUTO_INVAL_DATA',
  'INIT_EXT',
];

/** Mounts on the directory and serves; `ended` is called when the connection is over. */
export function rawLoop(directory: string, absent: Absent, ended: () => void): void {
  const fd = open('/dev/fuse', O_RDWR | O_NONBLOCK | O_CLOEXEC);
  mount('raw-loop', directory, 'fuse.raw-loop', 0, `fd=${fd},rootmode=40000,user_id=0,group_id=0,allow_other`);
  const request = new Memory(REQUEST);
  const reply = new Memory(MIB + 16);
  const v = new DataView(request.buffer);
  const out = new DataView(reply.buffer);
  const answer = handler(v, out, absent);
  const at = request.address;
  const to = reply.address;
  const watching = watch(fd, { readable: true }, () => {
    for (;;) {
      const n = read(fd, at, REQUEST);
      if (n < 0) {
        if (n === -EAGAIN.errno) return;
        if (n === -EINTR.errno || n === -ENOENT.errno) continue;
        if (n !== -ENODEV.errno) console.error('raw loop: read failed:', n);
        watching.close();
        ended();
        return;
      }
      const size = answer();
      if (size === NOTHING) continue;
      const length = size < 0 ? 16 : 16 + size;
      out.setUint32(0, length, true);
      out.setInt32(4, size < 0 ? size : 0, true);
      out.setUint32(8, v.getUint32(8, true), true);
      out.setUint32(12, v.getUint32(12, true), true);
      write(fd, to, length);
    }
  });
}

/** A function that answers the request in `v` into `out`: the body's size, a negated errno, or NOTHING. */
export function handler(v: DataView, out: DataView, absent: Absent): () => number {
  const zero = (at: number, bytes: number) => {
    for (let i = 0; i < bytes; i += 4) out.setUint32(at + i, 0, true);
  };
  const attr = (at: number, nodeid: number) => {
    zero(at, 88);
    out.setUint32(at, 1, true);
    out.setUint32(at + 8, nodeid === nodes.rw64m ? RW_SIZE : nodeid === nodes.seq256m ? SEQ_SIZE : 0, true);
    out.setUint32(at + 60, isDirectory(nodeid) ? 0o40755 : 0o100644, true);
    out.setUint32(at + 64, 1, true);
    out.setUint32(at + 80, 4096, true);
  };
  /** By the first letters alone: `files` is f and a letter, f0123 f and a number. */
  const find = (): number => {
    const first = v.getUint8(40);
    if (first === 0x6d) return nodes.mb;
    if (first === 0x72) return nodes.rw64m;
    if (first === 0x73) return nodes.seq256m;
    if (first !== 0x66 && first !== 0x74) return 0;
    if (v.getUint8(41) > 0x39) return nodes.files;
    let number = 0;
    for (let i = 41, digit = v.getUint8(i); digit !== 0; digit = v.getUint8(++i)) number = number * 10 + digit - 0x30;
    return (first === 0x66 ? FILES_AT : THREADS_AT) + number;
  };
  return () => {
    switch (v.getUint32(4, true)) {
      case 1: {
        const nodeid = find();
        if (nodeid === 0 && absent === 'errno') return -2;
        const kept = nodeid === 0 ? 0 : KEPT;
        zero(16, 40);
        out.setUint32(16, nodeid, true);
        out.setUint32(32, kept, true);
        out.setUint32(40, kept, true);
        attr(56, nodeid);
        return 128;
      }
      case 2: // FORGET
      case 42: // BATCH_FORGET
        return NOTHING;
      case 3: // GETATTR
        zero(16, 16);
        out.setUint32(16, KEPT, true);
        attr(32, v.getUint32(16, true));
        return 104;
      case 14: // OPEN
        zero(16, 16);
        out.setUint32(16, 1, true);
        out.setUint32(24, OPEN_FLAGS, true);
        return 16;
      case 15: // READ
        return v.getUint32(56, true);
      case 16: // WRITE
        out.setUint32(16, v.getUint32(56, true), true);
        out.setUint32(20, 0, true);
        return 8;
      case 17: // STATFS
        zero(16, 80);
        out.setUint32(56, 4096, true);
        out.setUint32(60, 255, true);
        return 80;
      case 18: // RELEASE
        return 0;
      case 26: {
        let flags = 0;
        for (const flag of FLAGS) flags |= 1 << INIT_FLAGS[flag];
        zero(16, 64);
        out.setUint32(16, 7, true);
        out.setUint32(20, 45, true);
        out.setUint32(24, v.getUint32(48, true), true);
        out.setUint32(28, flags, true);
        out.setUint16(32, 64, true);
        out.setUint16(34, 48, true);
        out.setUint32(36, MIB, true);
        out.setUint32(40, 1, true);
        out.setUint16(44, 256, true);
        return 64;
      }
      default:
        return -ENOSYS.errno;
    }
  };
}
