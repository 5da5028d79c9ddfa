/**
 * From a request to its reply. A handler gets no reply object to lose or to use twice: what it returns
 * is the reply, what it throws is the error, and serve() has one exit.
 *
 * Each operation is compiled from its line of the table into one function that decodes, calls and
 * encodes: 113 to 300 ns a request, where a generic loop over the table takes 259 to 611 when it is written
 * for speed, and ten times as long when it is written to be read. test/protocol/reference.ts is the latter, and a
 * test holds the two to the same answers. A plain value is answered without a promise on the way: an await
 * costs 12 to 16 % of a mount's throughput.
 */
import { EFBIG, EIO, ENOSYS, ENXIO, ERANGE } from '../abi/errno.ts';
import { fuse_entry_out, fuse_getxattr_out } from '../abi/fuse.ts';
import type { InitFlag } from '../abi/fuse-constants.ts';
import { type AnyStruct, generate, helpers, type Rewrite } from '../abi/struct.ts';
import { DirectoryReply, type EncodeEntry } from './dirent.ts';
import { decodeExtensions } from './extensions.ts';
import type { Filesystem } from './filesystem.ts';
import { decodeName, encodeName } from './names.ts';
import { DEFAULTS, type Operation, operations, type ReplyDefaults, WITHOUT_DEFAULTS } from './operations.ts';
import type { Slot } from './slot.ts';

/** The size of the body left in the slot, or a negated errno; undefined where no reply is due. */
export type Answer = number | undefined;

/** What dispatch needs of a session. */
export interface Server {
  readonly filesystem: Filesystem;
  /** Handlers of the operations that the session answers itself. */
  readonly own: object;
  readonly defaults: ReplyDefaults;
  readonly steps: Steps;
  promises(flag: InitFlag): boolean;
  /** The errno (positive) to answer when a handler threw: reports what is none. */
  failed(thrown: unknown, slot: Slot): number;
  /** An opcode without a line in the table arrived. */
  unknown(opcode: number): void;
}

type Step = (server: Server, slot: Slot) => Answer | Promise<Answer>;
type Encode = (server: Server, slot: Slot, result: unknown) => Answer;
/** The compiled operations by opcode. */
export type Steps = (Step | undefined)[];

/** What a malformed message is answered. */
const MALFORMED = EIO;

export function serve(server: Server, slot: Slot): Answer | Promise<Answer> {
  const opcode = slot.view.getUint32(4, true);
  try {
    const step = server.steps[opcode];
    if (step === undefined) {
      server.unknown(opcode);
      return -ENOSYS.errno;
    }
    return step(server, slot);
  } catch (thrown) {
    return failure(server, slot, thrown);
  }
}

/** What to answer when a handler threw. Directory entries that are in the reply already are not lost: their lookups count. */
function failure(server: Server, slot: Slot, thrown: unknown): Answer {
  const errno = server.failed(thrown, slot);
  const opcode = slot.view.getUint32(4, true);
  if (silent.has(opcode)) return undefined;
  const added = slot.entries?.take() ?? 0;
  return added > 0 ? added : -errno;
}

/** The end of a request whose handler returned a promise. */
async function finish(server: Server, slot: Slot, result: Promise<unknown>, encode: Encode): Promise<Answer> {
  try {
    return encode(server, slot, await result);
  } catch (thrown) {
    return failure(server, slot, thrown);
  }
}

const rows = Object.entries(operations) as [string, Operation][];
const silent = new Set(rows.filter(([, row]) => row.out === 'no reply').map(([, row]) => row.code));
export const answersNothing = (opcode: number): boolean => silent.has(opcode);

/** The table by opcode, compiled. `setxattrExt` chooses between the two forms of SETXATTR. */
export function stepsFor(setxattrExt: boolean): Steps {
  const steps: Steps = [];
  for (const [name, row] of rows) {
    const other = name === 'SETXATTR' ? !setxattrExt : row.compat === true && setxattrExt;
    if (!other) steps[row.code] = lazily(name, row);
  }
  return steps;
}

/** Before INIT no other request may come. */
export const beforeInit: Steps = stepsFor(true).map((step, code) =>
  code === operations.INIT.code || code === operations.CUSE_INIT.code
    ? step
    : () => {
        throw EIO;
      },
);

const compiled = new Map<string, Step>();
/** Compiled when the first such request comes: 51 operations at once would be 10 ms of start-up. */
function lazily(name: string, row: Operation): Step {
  return (server, slot) => {
    const step = compiled.get(name) ?? compile(name, row);
    compiled.set(name, step);
    server.steps[row.code] = step;
    return step(server, slot);
  };
}

/** Result members that may be absent get their default, unless the reply would then hide a mistake. */
const fillIn =
  (out: AnyStruct): Rewrite =>
  (member, source) =>
    !WITHOUT_DEFAULTS.includes(out) && Object.hasOwn(DEFAULTS, member)
      ? `(${source}??${DEFAULTS[member as keyof typeof DEFAULTS]})`
      : source;

function compile(name: string, row: Operation): Step {
  const scope = {
    ...helpers,
    ...{
      MALFORMED,
      EFBIG,
      ENXIO,
      findNul,
      decodeName,
      encodeName,
      decodeExtensions,
      decodeList,
      copy,
      put,
      sized,
      excess,
      entries,
      finish,
      failure,
    },
    ABSENT: row.absent,
    LIST: row.list?.of,
  };
  const encode = generate<Encode>(['c', 's', 'r'], encodeSource(row), scope);
  // Caught here as well as in serve(): a throw costs more for each frame that it passes (7 % of a lookup that finds nothing).
  const source = `try{${stepSource(name, row)}}catch(t){return failure(c,s,t);}`;
  return generate<Step>(['c', 's'], source, { ...scope, encode });
}

function stepSource(name: string, row: Operation): string {
  const fixed = row.in?.size ?? 0;
  const source = ['const v=s.view,o=s.opAt,b=s.bytes,q=s.request;'];
  source.push(`let at=s.tailAt+${fixed}*s.structInBytes,end=s.end;`);
  if (row.shortest === undefined) source.push('if(end<at)throw MALFORMED;');
  else source.push(`if(end<at){if(end<at-${fixed - row.shortest})throw MALFORMED;b.fill(0,end,at);at=end;}`);
  if (row.extensions) {
    source.push('const x=v.getUint16(36,true)*8;');
    source.push('if(x!==0){end-=x;if(end<at)throw MALFORMED;q.extensions=decodeExtensions(b,end,s.end);}');
  }
  source.push(...pastSource(row), ...argumentSource(row), ...callSource(name, row));
  source.push('if(r instanceof Promise)return finish(c,s,r,encode);', 'return encode(c,s,r);');
  return source.join('\n');
}

/** Whether a member means something in this message. */
const where = (row: Operation, member: string): string => {
  const flag = row.only?.[member];
  return flag ? `(v.getUint32(o+${row.in!.offset[flag[0]]},true)&${flag[1]})!==0` : 'true';
};

/** Offsets and sizes that no number holds, where Linux has an answer for them. */
function* pastSource(row: Operation): Generator<string> {
  for (const [member, answer] of Object.entries(row.past ?? {})) {
    const past = `v.getUint32(o+${row.in!.offset[member]! + 4},true)>0x1fffff&&${where(row, member)}`;
    const size = typeof row.out === 'object' ? row.out.size : 0;
    yield answer === 0 ? `if(${past}){s.body.fill(0,0,${size});return ${size};}` : `if(${past})throw ${answer};`;
  }
}

/** `const a={...}`: the fixed struct's members, then what follows it. */
function* argumentSource(row: Operation): Generator<string> {
  const members: string[] = [];
  for (const [i, name] of (row.names ?? []).entries()) {
    yield `const e${i}=findNul(b,at,end),n${i}=decodeName(b,at,e${i});at=e${i}+1;`;
    members.push(`${name}:n${i}`);
  }
  if (row.data) {
    yield `if(end-at!==v.getUint32(o+${row.in!.offset[row.length!]},true))throw MALFORMED;`;
    members.push(`${row.data}:b.subarray(at,end)`);
  }
  if (row.list) {
    const count = `v.getUint32(o+${row.in!.offset[row.list.count]},true)`;
    members.push(`${row.list.name}:decodeList(LIST,b,at,end,${count})`);
  }
  for (const [name, value] of Object.entries(row.also ?? {})) members.push(`${name}:${value}`);
  const rewrite: Rewrite = (member, source) => {
    if (row.only?.[member]) return `(${where(row, member)}?${source}:undefined)`;
    if (row.most?.[member]) return `Math.min(${source},${row.most[member]})`;
    return row.reply && member === 'size' ? `Math.min(${source},s.body.length)` : source;
  };
  const fixed = row.in?.read(0, rewrite).slice(1, -1);
  yield `const a={${[...(fixed ? [fixed] : []), ...members].join()}};`;
}

/** `let r=...`: the method, or what stands in for it. */
function* callSource(name: string, row: Operation): Generator<string> {
  const method = row.method ?? name.toLowerCase();
  const reply = {
    bytes: ',s.body',
    entries: ',entries(c,s,a.size,false)',
    'entries plus': ',entries(c,s,a.size,true)',
  };
  const call = (as: string) => `f.${as}(q,a${row.reply ? reply[row.reply] : ''})`;
  if (row.never) yield `if(c.promises('${row.never}'))return ${-ENOSYS.errno};`;
  yield row.session ? 'const f=c.own;' : 'const f=c.filesystem;';
  yield `let r;if(f.${method}!==undefined)r=${call(method)};`;
  if (row.or) yield `else if(f.${row.or}!==undefined)r=${call(row.or)};`;
  if (row.unless) yield `else if(c.promises('${row.unless}'))return ${-ENOSYS.errno};`;
  yield row.absent ? 'else r=ABSENT;' : `else return ${-ENOSYS.errno};`;
}

function encodeSource(row: Operation): string {
  const { out } = row;
  if (out === 'no reply') return 'return undefined;';
  if (out === undefined) return 'return 0;';
  if (row.sized) return 'return sized(s,r);';
  if (row.reply === 'bytes') return `return put(s,r,s.view.getUint32(s.opAt+${row.in!.offset.size},true));`;
  if (row.reply) return 'return s.entries.take();';
  if (out === 'bytes') return 'return copy(typeof r==="string"?encodeName(r):r,s.body,0);';
  const struct = `${limitSource(row)}const v=s.out,o=s.outAt,d=c.defaults;${out.write(0, 'r', fillIn(out))};`;
  if (!row.tail) return `${struct}return ${out.size};`;
  // The tail first: in a ring it may be the request's own data, which lies where the struct goes.
  return `const t=r.${row.tail}===undefined?0:copy(r.${row.tail},s.body,${out.size});${struct}return ${out.size}+t;`;
}

const limitSource = (row: Operation): string =>
  Object.entries(row.limit ?? {})
    .map(([member, asked]) => {
      const most = row.in!.fields[asked]!.read!(row.in!.offset[asked]!);
      return `{const v=s.view,o=s.opAt,most=${most};if(!(r.${member}>=0&&r.${member}<=most))throw excess(r.${member},most);}`;
    })
    .join('');

// What generated code calls.

const excess = (given: unknown, most: number) => new RangeError(`${given} where ${most} were asked for`);

function findNul(bytes: Buffer, at: number, end: number): number {
  for (let i = at; i < end; i++) if (bytes[i] === 0) return i;
  throw MALFORMED;
}

function decodeList(of: AnyStruct, bytes: Buffer, at: number, end: number, count: number): unknown[] {
  if (count > (end - at) / of.size) throw MALFORMED;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: count }, (_, i) => of.decode(view, at + i * of.size));
}

function copy(bytes: Uint8Array, body: Buffer, at: number): number {
  if (!ArrayBuffer.isView(bytes)) throw new TypeError(`${typeof bytes} where bytes are due`); // set() would take it as zeros
  if (bytes.length > body.length - at)
    throw new RangeError(`a reply of ${bytes.length} bytes where ${body.length - at} fit`);
  body.set(bytes, at);
  return bytes.length;
}

/** A handler's bytes, or how many it has put into the reply itself; at most `limit`. */
function put(slot: Slot, result: Uint8Array | number, limit: number): number {
  const length = typeof result === 'number' ? result : result.length;
  if (!(length >>> 0 === length && length <= limit && length <= slot.body.length))
    throw new RangeError(`${length} bytes for a request of ${limit}`);
  return typeof result === 'number' ? result : copy(result, slot.body, 0);
}

/** GETXATTR and LISTXATTR: the size where that was the question, ERANGE where the buffer is too small. */
function sized(slot: Slot, result: Uint8Array | number): number {
  const size = slot.view.getUint32(slot.opAt, true);
  const length = typeof result === 'number' ? result : result.length;
  if (size === 0) {
    if (length >>> 0 !== length) throw new RangeError(`${length} is no size`);
    fuse_getxattr_out.encode(slot.out, slot.outAt, { size: length });
    return fuse_getxattr_out.size;
  }
  if (length > size) return -ERANGE.errno;
  return put(slot, result, size);
}

/** The sink of a slot, made when the first READDIR comes to it. */
function entries(server: Server, slot: Slot, size: number, plus: boolean): DirectoryReply {
  slot.entries ??= new DirectoryReply(slot, entryEncoder(server));
  return slot.entries.begin(size, plus);
}

const encodeEntry = generate<(d: ReplyDefaults, v: DataView, o: number, r: unknown) => void>(
  ['d', 'v', 'o', 'r'],
  fuse_entry_out.write(0, 'r', fillIn(fuse_entry_out)),
  helpers,
);
const entryEncoder =
  (server: Server): EncodeEntry =>
  (out, at, entry) =>
    encodeEntry(server.defaults, out, at, entry);
