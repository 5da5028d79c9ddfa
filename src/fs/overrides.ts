/**
 * Mount options that change what a filesystem answers, whichever filesystem it is: whose files they are, what
 * the kernel may keep, who may enter, how long nodes stay. Each group of options is a layer, a function from the
 * methods of a filesystem to those that it puts in their place. An option that is not given adds no layer, and
 * without any the filesystem itself is served.
 *
 * What a filesystem does not serve stays absent, but for open where an option speaks through its reply. A plain
 * value stays one: nothing here awaits.
 */
import { EACCES, ENOENT } from '../abi/errno.ts';
import {
  fuse_attr,
  fuse_attr_out,
  fuse_create_out,
  fuse_entry_out,
  fuse_in_header,
  fuse_open_out,
  fuse_statx,
  fuse_statx_out,
} from '../abi/fuse.ts';
import { FOPEN_DIRECT_IO, FOPEN_KEEP_CACHE, FOPEN_PASSTHROUGH } from '../abi/fuse-constants.ts';
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../abi/posix.ts';
import type { AnyStruct } from '../abi/struct.ts';
import type { DirectoryReply, Dirent } from '../protocol/dirent.ts';
import type { Filesystem, Promised } from '../protocol/filesystem.ts';
import { type Operation, operations, type Result } from '../protocol/operations.ts';
import { Request } from '../protocol/request.ts';
import { wireTime } from '../protocol/times.ts';

type Seconds = number | undefined;
type Flag = boolean | undefined;
/**
 * The options of a mount that are seen to here: src/options.ts has them all, and what they mean. Declared here
 * too, because a room imports nothing that stands on it; test/fs/overrides.test.ts holds the names together.
 */
export interface Overrides {
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly umask?: number | undefined;
  readonly fmask?: number | undefined;
  readonly dmask?: number | undefined;
  readonly negativeTimeout?: Seconds;
  readonly attrTimeout?: Seconds;
  readonly acAttrTimeout?: Seconds;
  readonly remember?: Seconds;
  readonly noforget?: Flag;
  readonly directIo?: Flag;
  readonly kernelCache?: Flag;
  readonly autoCache?: Flag;
  readonly allowRoot?: Flag;
}

// biome-ignore lint/suspicious/noExplicitAny: a method of any operation, with that operation's arguments
type Method = (request: Request, args: any, reply: any) => any;
type Methods = Readonly<Record<string, Method | undefined>>;
type Layer = (inner: Methods, promises: readonly Promised[]) => Methods;

/** The filesystem as the options change it: itself, where they change nothing. */
export function withOverrides(filesystem: Filesystem, options: Overrides): Filesystem {
  const { promises = [], timeouts } = filesystem;
  const layers = layersFor({
    ...options,
    negativeTimeout: options.negativeTimeout ?? (timeouts?.negative || undefined),
  });
  if (layers.length === 0) return filesystem;
  const own: Record<string, Method> = {};
  for (const name of METHODS) {
    const method = (filesystem as unknown as Methods)[name];
    if (method !== undefined) own[name] = method.bind(filesystem);
  }
  let served: Methods = own;
  for (const layer of layers) served = { ...served, ...layer(served, promises) };
  return { ...served, promises, ...(timeouts && { timeouts }) };
}

/** The layers that the options need, the innermost first. */
function layersFor(options: Overrides): Layer[] {
  const { uid, gid, umask, fmask, dmask, negativeTimeout, directIo, kernelCache, autoCache, remember } = options;
  const layers: Layer[] = [];
  if (autoCache) layers.push(autoCaching(options.acAttrTimeout ?? options.attrTimeout ?? 1));
  if (kernelCache) layers.push(opening(FOPEN_KEEP_CACHE));
  if (directIo) layers.push(opening(FOPEN_DIRECT_IO));
  if ([uid, gid, umask, fmask, dmask].some((value) => value !== undefined)) layers.push(owning(options));
  if (negativeTimeout !== undefined) layers.push(rememberingAbsence(negativeTimeout));
  if (options.noforget) layers.push(() => ({ forget: () => undefined }));
  else if (remember) layers.push(remembering(remember));
  if (options.allowRoot) layers.push(admitting(process.getuid!()));
  return layers;
}

/** The operations that a filesystem serves, by the method's name. Two opcodes of one method are alike here. */
const rows = new Map<string, Operation>();
for (const [name, row] of Object.entries(operations as Readonly<Record<string, Operation>>))
  if (!row.session) rows.set(row.method ?? name.toLowerCase(), row);
const METHODS = [...rows.keys(), 'init', 'destroy', 'forget'];

/** What comes of a value, now or when its promise settles. */
const then = <T, R>(value: T | Promise<T>, next: (value: T) => R): R | Promise<R> =>
  value instanceof Promise ? value.then(next) : next(value);

/** A copy with some members changed. By the struct's members, because a filesystem may answer with getters. */
function changed<T extends object>(of: AnyStruct, value: T, changes: Partial<Record<string, unknown>>): T {
  const copy: Record<string, unknown> = {};
  for (const name of Object.keys(of.fields)) copy[name] = (value as Record<string, unknown>)[name];
  return Object.assign(copy, changes) as T;
}

type Entry = Result<'LOOKUP'>;
type Attributes = Entry['attr'];
/** Gets attributes that go out (a fuse_attr or a fuse_statx); gives those that shall: the same object, or another. */
type Change = <T extends { readonly mode: number }>(nodeid: number, attr: T, of: AnyStruct) => T;

/** The methods through which attributes go out, `change` seeing each. */
function attributesThrough(inner: Methods, change: Change): Methods {
  const entry = (value: Entry): Entry => {
    if (value.nodeid === 0) return value;
    const attr = change(value.nodeid, value.attr, fuse_attr);
    return attr === value.attr ? value : changed(fuse_entry_out, value, { attr });
  };
  /** By the struct of the reply. */
  // biome-ignore lint/suspicious/noExplicitAny: each gets what its struct says
  const results = new Map<unknown, (value: any, request: Request) => unknown>([
    [fuse_entry_out, entry],
    [fuse_create_out, (value: Result<'CREATE'>) => changed(fuse_create_out, value, { entry: entry(value.entry) })],
    [
      fuse_attr_out,
      (value: Result<'GETATTR'>, { nodeid }) =>
        changed(fuse_attr_out, value, { attr: change(nodeid, value.attr, fuse_attr) }),
    ],
    [
      fuse_statx_out,
      (value: Result<'STATX'>, { nodeid }) =>
        changed(fuse_statx_out, value, { stat: change(nodeid, value.stat, fuse_statx) }),
    ],
  ]);
  const methods: Record<string, Method> = {};
  for (const [name, row] of rows) {
    const call = inner[name];
    const result = results.get(row.out);
    if (call === undefined) continue;
    if (result)
      methods[name] = (request, args) => then(call(request, args, undefined), (value) => result(value, request));
    else if (row.reply === 'entries plus')
      methods[name] = (request, args, reply) => call(request, args, new ChangedEntries(reply, entry));
  }
  return methods;
}

/** Stands before a directory's reply, and changes what the lookups of its entries answer. */
class ChangedEntries implements Pick<DirectoryReply, 'add' | 'addRecords' | 'length'> {
  readonly #reply: DirectoryReply;
  readonly #change: (entry: Entry) => Entry;
  constructor(reply: DirectoryReply, change: (entry: Entry) => Entry) {
    this.#reply = reply;
    this.#change = change;
  }
  get length(): number {
    return this.#reply.length;
  }
  add<D extends Dirent>(entry: D, lookup?: (entry: D) => Entry): boolean {
    return this.#reply.add(entry, lookup && ((each) => this.#change(lookup(each))));
  }
  addRecords(records: Uint8Array, at: number, end: number): void {
    this.#reply.addRecords(records, at, end);
  }
}

/**
 * uid, gid: every file belongs to these. umask, fmask, dmask: every file has all permissions but these, and no
 * setuid, setgid or sticky bit, as with libfuse; where none applies the mode stays. So does that of a symlink,
 * whose permissions mean nothing.
 */
function owning({ uid, gid, umask, fmask = umask, dmask = umask }: Overrides): Layer {
  const owner = { ...(uid !== undefined && { uid }), ...(gid !== undefined && { gid }) };
  const change: Change = (_, attr, of) => {
    const type = attr.mode & S_IFMT;
    const mask = type === S_IFLNK ? undefined : type === S_IFDIR ? dmask : fmask;
    return changed(of, attr, mask === undefined ? owner : { ...owner, mode: type | (0o777 & ~mask) });
  };
  return (inner) => attributesThrough(inner, change);
}

/** negative_timeout: that a name is absent may be remembered for so long. */
function rememberingAbsence(seconds: number): Layer {
  const { s, ns } = wireTime(seconds);
  const absent: Entry = { nodeid: 0, entry_valid: s, entry_valid_nsec: ns, attr: { ino: 0n, mode: 0 } };
  const failed = (error: { code?: unknown } | undefined): Entry => {
    if (seconds > 0 && error?.code === ENOENT.code) return absent;
    throw error;
  };
  const found = (entry: Entry): Entry => (entry.nodeid === 0 && entry.entry_valid === undefined ? absent : entry);
  return ({ lookup }) => {
    if (lookup === undefined) return {};
    return {
      lookup(request, args, reply) {
        try {
          const entry = lookup(request, args, reply) as Entry | Promise<Entry>;
          return entry instanceof Promise ? entry.then(found, failed) : found(entry);
        } catch (error) {
          return failed(error as { code?: unknown });
        }
      },
    };
  };
}

/**
 * What opens a file: `open`, in the place of an absent one too, and with `created` create and tmpfile. A
 * filesystem that needs no open keeps it that way where all that is to be said is FOPEN_KEEP_CACHE: the kernel
 * then takes that for granted.
 */
function opening(flag: number): Layer {
  return (inner, promises) => {
    const skip = flag === FOPEN_KEEP_CACHE && inner.open === undefined && promises.includes('NO_OPEN_SUPPORT');
    const { create, tmpfile, open = absent('open') } = inner;
    const made =
      (call: Method): Method =>
      (request, args, reply) =>
        then(call(request, args, reply), ({ entry, open: opened }) => ({ entry, open: flagged(opened, flag) }));
    return {
      ...(!skip && { open: (request, args, reply) => then(open(request, args, reply), (each) => flagged(each, flag)) }),
      ...(create && { create: made(create) }),
      ...(tmpfile && { tmpfile: made(tmpfile) }),
    };
  };
}

const absent =
  (method: string): Method =>
  () =>
    rows.get(method)!.absent;

/** The kernel fails an open that asks to keep its cache and to bypass it (FOPEN_PASSTHROUGH) with EIO. */
function flagged(opened: Result<'OPEN'>, flag: number): Result<'OPEN'> {
  const { open_flags = 0 } = opened;
  if (flag === FOPEN_KEEP_CACHE && open_flags & FOPEN_PASSTHROUGH) return opened;
  return changed(fuse_open_out, opened, { open_flags: open_flags | flag });
}

/** What auto_cache knows of a file. */
interface Seen {
  size: number;
  mtime: number;
  mtimensec: number;
  /** When, as performance.now(): milliseconds. */
  at: number;
  /** Whether what the kernel has cached since an earlier open is of this size and time. */
  valid: boolean;
}

/**
 * auto_cache: cached data is kept at open when size and mtime are what they were at the open before. They are
 * seen in every answer that holds attributes; when that is longer ago than `seconds`, open asks getattr.
 */
function autoCaching(seconds: number): Layer {
  const files = new Map<number, Seen>();
  const see: Change = (nodeid, attr, of) => {
    if (of !== fuse_attr || (attr.mode & S_IFMT) !== S_IFREG) return attr;
    const { size = 0, mtime = 0, mtimensec = 0 } = attr as { readonly mode: number } & Partial<Attributes>;
    const last = files.get(nodeid);
    const same = last !== undefined && last.size === size && last.mtime === mtime && last.mtimensec === mtimensec;
    files.set(nodeid, { size, mtime, mtimensec, at: performance.now(), valid: same && last.valid });
    return attr;
  };
  return (inner, promises) => {
    if (inner.open === undefined && promises.includes('NO_OPEN_SUPPORT')) return {};
    const { open = absent('open'), forget } = inner;
    const seeing = attributesThrough(inner, see);
    const { getattr } = seeing;
    /** Whether to keep what is cached. What is read from now on is of the size and time seen last. */
    const keep = (nodeid: number): boolean => {
      const last = files.get(nodeid);
      const valid = last?.valid === true;
      if (last !== undefined) last.valid = true;
      return valid;
    };
    const doubt = (nodeid: number): boolean => {
      files.delete(nodeid);
      return false;
    };
    const current = (request: Request): boolean | Promise<boolean> => {
      const { nodeid } = request;
      const last = files.get(nodeid);
      if (last?.valid !== true || performance.now() - last.at <= seconds * 1000) return keep(nodeid);
      if (getattr === undefined) return doubt(nodeid);
      try {
        const asked = getattr(request, { getattr_flags: 0, fh: undefined }, undefined);
        if (!(asked instanceof Promise)) return keep(nodeid);
        return asked.then(
          () => keep(nodeid),
          () => doubt(nodeid),
        );
      } catch {
        return doubt(nodeid);
      }
    };
    return {
      ...seeing,
      open: (request, args, reply) =>
        then(open(request, args, reply), (opened) =>
          then(current(request), (kept) => (kept ? flagged(opened, FOPEN_KEEP_CACHE) : opened)),
        ),
      // The kernel forgets a node with all its lookups at once; if not, one cache is dropped for nothing.
      forget: (request, one, reply) => {
        files.delete(one.nodeid);
        forget?.(request, one, reply);
      },
    };
  };
}

/** The longest that a timer can run, in ms. */
const TIMER_MOST = 0x7fff_ffff;

/** remember: what the kernel forgets is passed on so much later, at the end of the session at the latest. */
function remembering(seconds: number): Layer {
  interface Forgotten {
    readonly nodeid: number;
    readonly nlookup: number;
    /** When to pass it on, as performance.now(). */
    readonly due: number;
  }
  return ({ forget, destroy }) => {
    if (forget === undefined) return {};
    const waiting = new Set<Forgotten>(); // the oldest first: all wait equally long
    let timer: NodeJS.Timeout | undefined;
    const passOn = (now: number) => {
      for (const one of waiting) {
        if (one.due > now) break;
        waiting.delete(one);
        try {
          forget(forgetting(one.nodeid), { nodeid: one.nodeid, nlookup: one.nlookup }, undefined);
        } catch (error) {
          console.error('rawfuse: FORGET failed:', error); // there is no request that could fail
        }
      }
    };
    const wait = () => {
      const [oldest] = waiting;
      if (timer !== undefined || oldest === undefined) return;
      const left = Math.ceil(oldest.due - performance.now());
      timer = setTimeout(
        () => {
          timer = undefined;
          passOn(performance.now());
          wait();
        },
        Math.min(Math.max(left, 1), TIMER_MOST),
      );
      timer.unref();
    };
    return {
      forget(_, { nodeid, nlookup }) {
        waiting.add({ nodeid, nlookup, due: performance.now() + seconds * 1000 });
        wait();
      },
      destroy(request, args, reply) {
        clearTimeout(timer);
        passOn(Number.POSITIVE_INFINITY);
        return destroy?.(request, args, reply);
      },
    };
  };
}

/** The kernel's own FORGET is long over: one like it. */
function forgetting(nodeid: number): Request {
  const view = new DataView(new ArrayBuffer(fuse_in_header.size));
  const len = fuse_in_header.size + operations.FORGET.in.size;
  const rest = { unique: 0n, uid: 0, gid: 0, pid: 0, total_extlen: 0 };
  fuse_in_header.encode(view, 0, { len, opcode: operations.FORGET.code, nodeid, ...rest });
  return new Request(view);
}

/**
 * allow_root: the kernel lets everybody in, and here all but root and the user who mounted get EACCES. Not where
 * a request is about an open file (it has a handle): that was allowed when it was opened, and the kernel asks for
 * the attributes of a file that is read. Names and attributes that the kernel has cached it still tells anybody.
 */
function admitting(owner: number): Layer {
  return (inner) => {
    const methods: Record<string, Method> = {};
    for (const [name, row] of rows) {
      const call = inner[name] ?? (row.absent && absent(name));
      if (call === undefined) continue;
      methods[name] = (request, args, reply) => {
        const { uid } = request;
        if (uid !== 0 && uid !== owner && args.fh === undefined && args.fh_in === undefined) throw EACCES;
        return call(request, args, reply);
      };
    }
    return methods;
  };
}
