/**
 * What the code costs without a mount, in ns: a struct's codec against one written by hand and against closures,
 * and serve(), from a message to the body of its reply, against the raw loop's switch. Run by plain node from
 * the build; prints its timings as JSON.
 */
import { EOVERFLOW, Errno } from '../../src/abi/errno.ts';
import { fuse_attr, fuse_in_header } from '../../src/abi/fuse.ts';
import { type Fields, i53, type Struct, u16, u32, u53, u64 } from '../../src/abi/struct.ts';
import { serve, stepsFor } from '../../src/protocol/dispatch.ts';
import type { Filesystem } from '../../src/protocol/filesystem.ts';
import { Session } from '../../src/protocol/session.ts';
import { Slot } from '../../src/protocol/slot.ts';
import { canned } from './canned.ts';
import { paired } from './measure.ts';
import { handler } from './raw-loop.ts';

export interface Timing {
  readonly case: string;
  readonly ours: number;
  readonly baseline: number;
  readonly ratio: number;
  readonly target?: string;
}

const quick = process.argv.includes('--quick');
const ROUNDS = quick ? { rounds: 15, most: 500 } : { rounds: 41, most: 20_000 };
const CALLS = 20_000;

/** What is timed leaves its result here, so that no compiler finds it useless. */
const sink: { value: unknown } = { value: undefined };

/** A timer of one function, with a loop of its own: in a shared one, calls would be megamorphic. Calls get 0, 1, 2, ... */
function timer(f: (i: number) => unknown): () => { value: number } {
  const loop = new Function('f', 'sink', 'n', 'for(let i=0;i<n;i++)sink.value=f(i);');
  return () => {
    const start = performance.now();
    loop(f, sink, CALLS);
    return { value: ((performance.now() - start) * 1e6) / CALLS };
  };
}
function asyncTimer(f: (i: number) => unknown): () => Promise<{ value: number }> {
  const calls = CALLS / 4;
  return async () => {
    const start = performance.now();
    for (let i = 0; i < calls; i++) sink.value = await f(i);
    return { value: ((performance.now() - start) * 1e6) / calls };
  };
}

const timings: Timing[] = [];
async function compare(
  name: string,
  ours: ReturnType<typeof timer | typeof asyncTimer>,
  baseline: ReturnType<typeof timer | typeof asyncTimer>,
  target?: string,
): Promise<void> {
  for (let i = 0; i < 5; i++) for (const each of [ours, baseline]) await each(); // compiles
  const figures = await paired(ROUNDS, ours, baseline);
  const { ours: mine, baseline: theirs, ratio } = figures;
  timings.push({ case: name, ours: mine, baseline: theirs, ratio, ...(target === undefined ? {} : { target }) });
}

// By hand, with the checks that the tables make.

type Header = ReturnType<typeof fuse_in_header.decode>;
function headerByHand(v: DataView, o: number): Header {
  return {
    len: v.getUint32(o, true),
    opcode: v.getUint32(o + 4, true),
    unique: v.getBigUint64(o + 8, true),
    nodeid: number53(v, o + 16),
    uid: v.getUint32(o + 24, true),
    gid: v.getUint32(o + 28, true),
    pid: v.getUint32(o + 32, true),
    total_extlen: v.getUint16(o + 36, true),
  };
}
function number53(v: DataView, o: number): number {
  const high = v.getUint32(o + 4, true);
  if (high > 0x1f_ffff) throw EOVERFLOW;
  return high * 0x1_0000_0000 + v.getUint32(o, true);
}

type Attr = Parameters<typeof fuse_attr.encode>[2];
function attrByHand(v: DataView, o: number, x: Attr): void {
  if (x.ino < 0n || x.ino > 0xffff_ffff_ffff_ffffn) throw new RangeError('ino');
  v.setBigUint64(o, x.ino, true);
  setUnsigned(v, o + 8, x.size);
  setUnsigned(v, o + 16, x.blocks);
  setSigned(v, o + 24, x.atime);
  setSigned(v, o + 32, x.mtime);
  setSigned(v, o + 40, x.ctime);
  setWord(v, o + 48, x.atimensec);
  setWord(v, o + 52, x.mtimensec);
  setWord(v, o + 56, x.ctimensec);
  setWord(v, o + 60, x.mode);
  setWord(v, o + 64, x.nlink);
  setWord(v, o + 68, x.uid);
  setWord(v, o + 72, x.gid);
  setWord(v, o + 76, x.rdev);
  setWord(v, o + 80, x.blksize);
  setWord(v, o + 84, x.flags);
}
function setUnsigned(v: DataView, o: number, n: number): void {
  if (!(n >= 0 && Number.isSafeInteger(n))) throw new RangeError(`${n}`);
  v.setUint32(o, n, true);
  v.setUint32(o + 4, Math.floor(n / 0x1_0000_0000), true);
}
function setSigned(v: DataView, o: number, n: number): void {
  if (!Number.isSafeInteger(n)) throw new RangeError(`${n}`);
  v.setUint32(o, n, true);
  v.setInt32(o + 4, Math.floor(n / 0x1_0000_0000), true);
}
function setWord(v: DataView, o: number, n: number): void {
  if (n >>> 0 !== n && (n | 0) !== n) throw new RangeError(`${n}`);
  v.setUint32(o, n, true);
}

// A closure for each member: the way a table is usually interpreted.

type Codec = readonly [read: (v: DataView, o: number) => unknown, write: (v: DataView, o: number, n: never) => void];
const codecs = new Map<unknown, Codec>([
  [u16, [(v, o) => v.getUint16(o, true), (v, o, n: number) => v.setUint16(o, n, true)]],
  [u32, [(v, o) => v.getUint32(o, true), setWord]],
  [u53, [number53, setUnsigned]],
  [i53, [(v, o) => Number(v.getBigInt64(o, true)), setSigned]],
  [u64, [(v, o) => v.getBigUint64(o, true), (v, o, n: bigint) => v.setBigUint64(o, n, true)]],
]);
function closures({ fields, offset }: Struct<Fields>) {
  const members = Object.entries(fields).flatMap(([name, field]) => {
    const codec = codecs.get(field);
    return codec ? [{ name, at: offset[name]!, read: codec[0], write: codec[1] }] : [];
  });
  return {
    decode(v: DataView, o: number): object {
      const value: Record<string, unknown> = {};
      for (const { name, at, read } of members) value[name] = read(v, o + at);
      return value;
    },
    encode(v: DataView, o: number, value: object): void {
      for (const { name, at, write } of members) write(v, o + at, (value as Record<string, never>)[name]!);
    },
  };
}

const view = new DataView(new ArrayBuffer(4096));
for (let at = 0; at < 4096; at += 64) {
  const header = { len: 48, opcode: 3, unique: 4n, nodeid: at + 1, uid: 1000, gid: 1000, pid: 4242, total_extlen: 0 };
  fuse_in_header.encode(view, at, header);
}
const headerAt = (i: number) => (i & 63) * 64;
await compare(
  'fuse_in_header decode against by hand',
  timer((i) => fuse_in_header.decode(view, headerAt(i))),
  timer((i) => headerByHand(view, headerAt(i))),
  '<= 1.2',
);
const attrs = Array.from({ length: 64 }, (_, i): Attr => {
  const times = { atime: 1.7e9 + i, mtime: 1.7e9, ctime: 1.7e9, atimensec: i, mtimensec: 1, ctimensec: 2 };
  const ids = { uid: 1000, gid: 1000, rdev: 0, blksize: 4096, flags: 0 };
  return { ino: BigInt(i), size: i * 1e9, blocks: i, ...times, mode: 0o100644, nlink: 1, ...ids };
});
const attrOut = new DataView(new ArrayBuffer(64 * 88));
await compare(
  'fuse_attr encode against by hand',
  timer((i) => fuse_attr.encode(attrOut, (i & 63) * 88, attrs[i & 63]!)),
  timer((i) => attrByHand(attrOut, (i & 63) * 88, attrs[i & 63]!)),
  '<= 1.2',
);
const closedHeader = closures(fuse_in_header as unknown as Struct<Fields>);
await compare(
  'fuse_in_header decode by closures against by hand',
  timer((i) => closedHeader.decode(view, headerAt(i))),
  timer((i) => headerByHand(view, headerAt(i))),
);
const closedAttr = closures(fuse_attr as unknown as Struct<Fields>);
await compare(
  'fuse_attr encode by closures against by hand',
  timer((i) => closedAttr.encode(attrOut, (i & 63) * 88, attrs[i & 63]!)),
  timer((i) => attrByHand(attrOut, (i & 63) * 88, attrs[i & 63]!)),
);

/** A slot with a message in it, and a session whose INIT is over, without a transport. */
function prepared(filesystem: Filesystem, opcode: number, body: Uint8Array): { session: Session; slot: Slot } {
  const request = new ArrayBuffer(16 << 10);
  const reply = new ArrayBuffer(16 << 10);
  const slot = new Slot(
    {
      view: new DataView(request),
      bytes: Buffer.from(request),
      out: new DataView(reply),
      body: Buffer.from(reply, 16),
    },
    40,
    40,
    1,
    16,
  );
  slot.end = 40 + body.length;
  const header = { unique: 4n, nodeid: 1, uid: 0, gid: 0, pid: 4242, total_extlen: 0 };
  fuse_in_header.encode(slot.view, 0, { len: slot.end, opcode, ...header });
  slot.bytes.set(body, 40);
  const session = new Session(filesystem);
  session.steps = stepsFor(true);
  return { session, slot };
}

const io = new Uint8Array(40);
new DataView(io.buffer).setUint32(16, 4096, true);
const messages = [
  ['statfs', 17, new Uint8Array(0)],
  ['getattr', 3, new Uint8Array(16)],
  ['lookup', 1, Buffer.from('f0123\0')],
  ['read 4 KiB', 15, io],
  ['write 4 KiB', 16, Buffer.concat([io, Buffer.alloc(4096)])],
] as const;
for (const [name, opcode, body] of messages) {
  const { session, slot } = prepared(canned('errno'), opcode, body);
  const byHand = handler(slot.view, slot.out, 'errno');
  // What is compared must do the same work.
  const [ours, theirs] = [() => serve(session, slot) as number, byHand].map((answer) => {
    slot.body.fill(0);
    const size = answer();
    return slot.body.toString('hex', 0, size);
  });
  if (ours !== theirs) throw new Error(`${name}: the session answers ${ours}, the raw loop ${theirs}`);
  await compare(
    `serve() ${name} against the raw loop`,
    timer(() => serve(session, slot)),
    timer(() => byHand()),
  );
}

const absent = Buffer.from('x0\0');
const fresh = () => {
  throw new Errno('ENOENT', 2, 'no such file or directory');
};
const shared = canned('errno').lookup;
const [thrown, made] = [prepared({ lookup: shared }, 1, absent), prepared({ lookup: fresh }, 1, absent)];
await compare(
  'ENOENT thrown: the shared Errno against a new one',
  timer(() => serve(thrown.session, thrown.slot)),
  timer(() => serve(made.session, made.slot)),
);
const [rejected, remade] = [
  prepared({ lookup: async (...args) => shared(...args) }, 1, absent),
  prepared({ lookup: async () => fresh() }, 1, absent),
];
await compare(
  'ENOENT rejected: the shared Errno against a new one',
  asyncTimer(() => serve(rejected.session, rejected.slot)),
  asyncTimer(() => serve(remade.session, remade.slot)),
);
console.log(JSON.stringify(timings));
