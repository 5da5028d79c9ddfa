/**
 * The options of a mount: one table, from which the API's type, the parser of `-o`, the help text and
 * the flags for mount(2) follow. An option has libfuse's name in `-o` (`allow_other`) and the same in
 * camelCase in the API (`allowOther`).
 */
import { inspect } from 'node:util';
import {
  MS_DIRSYNC,
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_NOSYMFOLLOW,
  MS_RDONLY,
  MS_RELATIME,
  MS_STRICTATIME,
  MS_SYNCHRONOUS,
} from './abi/posix.ts';

/** How a value is written: not at all (a flag), as text, a whole number, seconds with a fraction, permission bits in octal, a transport, threads. */
type Kind = 'flag' | 'string' | 'number' | 'seconds' | 'octal' | 'transport' | 'threads';
/** What may be asked for: `auto` takes what serves best. */
export const TRANSPORTS = ['auto', 'device', 'uring'] as const;
export type TransportChoice = (typeof TRANSPORTS)[number];
interface Row {
  readonly kind: Kind;
  /** The flag's other form, which sets it to false. */
  readonly off?: string;
  /** mount(2)'s flag when it is on, or when it is off. */
  readonly on?: number;
  readonly whenOff?: number;
  readonly help: string;
}

// biome-ignore format: a table, an option a line
export const mountOptions = {
  fsname:               { kind: 'string',  help: 'what df and mount show as the source' },
  subtype:              { kind: 'string',  help: 'the file system type is shown as fuse.SUBTYPE' },
  blkdev:               { kind: 'flag',    help: 'mount as fuseblk, from the block device that fsname names' },
  blksize:              { kind: 'number',  help: 'block size of a fuseblk mount (default 512)' },
  allow_other:          { kind: 'flag',    help: 'let all users in, not only the one who mounted' },
  allow_root:           { kind: 'flag',    help: 'let root in beside the user who mounted, and nobody else' },
  default_permissions:  { kind: 'flag',    help: 'let the kernel check file modes' },
  ro:                   { kind: 'flag',    off: 'rw', on: MS_RDONLY, help: 'read-only' },
  suid:                 { kind: 'flag',    off: 'nosuid', whenOff: MS_NOSUID, help: 'honour setuid and setgid bits (default nosuid)' },
  dev:                  { kind: 'flag',    off: 'nodev', whenOff: MS_NODEV, help: 'allow device nodes (default nodev)' },
  exec:                 { kind: 'flag',    off: 'noexec', whenOff: MS_NOEXEC, help: 'allow programs to be run' },
  sync:                 { kind: 'flag',    off: 'async', on: MS_SYNCHRONOUS, help: 'synchronous writes' },
  dirsync:              { kind: 'flag',    off: 'nodirsync', on: MS_DIRSYNC, help: 'synchronous directory changes' },
  atime:                { kind: 'flag',    off: 'noatime', whenOff: MS_NOATIME, help: 'update access times' },
  diratime:             { kind: 'flag',    off: 'nodiratime', whenOff: MS_NODIRATIME, help: 'update access times of directories' },
  relatime:             { kind: 'flag',    off: 'norelatime', on: MS_RELATIME, help: 'update access times when they are old' },
  strictatime:          { kind: 'flag',    off: 'nostrictatime', on: MS_STRICTATIME, help: 'update access times always' },
  symfollow:            { kind: 'flag',    off: 'nosymfollow', whenOff: MS_NOSYMFOLLOW, help: 'follow symbolic links' },
  max_read:             { kind: 'number',  help: 'bytes in a read request at most' },
  max_write:            { kind: 'number',  help: 'bytes in a write request at most (default 1 MiB)' },
  max_readahead:        { kind: 'number',  help: 'bytes read ahead at most' },
  max_pages:            { kind: 'number',  help: 'pages in a request at most' },
  max_background:       { kind: 'number',  help: 'background requests at most (default 64)' },
  congestion_threshold: { kind: 'number',  help: 'background requests before the kernel holds back' },
  time_gran:            { kind: 'number',  help: 'resolution of times in nanoseconds' },
  async_read:           { kind: 'flag',    off: 'sync_read', help: 'parallel reads of one file (default)' },
  direct_io:            { kind: 'flag',    help: 'no page cache' },
  kernel_cache:         { kind: 'flag',    help: 'keep cached data when a file is opened' },
  auto_cache:           { kind: 'flag',    off: 'noauto_cache', help: 'keep cached data at open unless size or mtime changed' },
  entry_timeout:        { kind: 'seconds', help: 'how long names are cached (default 1)' },
  attr_timeout:         { kind: 'seconds', help: 'how long attributes are cached (default 1)' },
  ac_attr_timeout:      { kind: 'seconds', help: 'how long auto_cache trusts attributes (default attr_timeout)' },
  negative_timeout:     { kind: 'seconds', help: 'how long absent names are cached (default 0)' },
  uid:                  { kind: 'number',  help: 'show every file as owned by this user' },
  gid:                  { kind: 'number',  help: 'show every file as owned by this group' },
  umask:                { kind: 'octal',   help: 'take these bits out of every mode' },
  fmask:                { kind: 'octal',   help: 'take these bits out of the mode of files' },
  dmask:                { kind: 'octal',   help: 'take these bits out of the mode of directories' },
  request_timeout:      { kind: 'number',  help: 'seconds after which the kernel ends a connection that does not answer' },
  handler_timeout:      { kind: 'seconds', help: 'seconds after which a request is answered ETIMEDOUT' },
  remember:             { kind: 'seconds', help: 'keep nodes that the kernel has forgotten for so long' },
  noforget:             { kind: 'flag',    help: 'keep nodes that the kernel has forgotten until the end' },
  transport:            { kind: 'transport', help: 'auto (default), device (/dev/fuse) or uring (FUSE over io_uring)' },
  threads:              { kind: 'threads', help: 'threads that serve: a number, or cpus for one a CPU (default 1)' },
  max_threads:          { kind: 'number',  help: 'threads at most, where threads is cpus' },
  clone_fd:             { kind: 'flag',    help: 'a descriptor of its own for each thread, as always' },
  ring_depth:           { kind: 'number',  help: 'entries a CPU in the ring to begin with (default 2 to 4)' },
  ring_limit:           { kind: 'number',  help: 'entries a CPU in the ring at most (default 4 to 256)' },
} as const satisfies Record<string, Row>;

/**
 * Accepted in `-o` without effect: what a line of /etc/fstab holds for mount(8) and systemd, and mount(8)
 * may hand on to the helper. What begins with x- or X- is a comment by convention.
 */
const IGNORED =
  /^(defaults|auto|noauto|user|nouser|users|nousers|owner|noowner|group|nogroup|nofail|_netdev|comment=.*|[xX]-.*)$/su;

type Table = typeof mountOptions;
type Camel<S extends string> = S extends `${infer A}_${infer B}` ? `${A}${Capitalize<Camel<B>>}` : S;
type Value<K> = K extends 'flag'
  ? boolean
  : K extends 'string'
    ? string
    : K extends 'transport'
      ? TransportChoice
      : K extends 'threads'
        ? number | 'cpus'
        : number;
/** The options of a mount, as the API takes them. `rawfuse help mount` lists them with what they mean. */
export type MountOptions = {
  readonly [N in keyof Table as Camel<N>]?: Value<Table[N]['kind']> | undefined;
};

const rows: Readonly<Record<string, Row>> = mountOptions;
const camel = (name: string): string => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
const byCamel = new Map(Object.keys(rows).map((name) => [camel(name), name]));
/** What `-o` accepts for each option: its name and, for some flags, the other form. */
const bySpelling = new Map<string, { name: string; value: boolean }>();
for (const [name, { off }] of Object.entries(rows)) {
  bySpelling.set(name, { name, value: true });
  if (off) bySpelling.set(off, { name, value: false });
}

/** An option that is unknown or has a value that it can't have. One line, for the user. */
export class OptionError extends Error {
  override readonly name = 'OptionError';
}

/** Threads of one mount. */
const MOST_THREADS = 1024;

/**
 * The value that each kind takes: how it is written, what it must be, what is said to who gives another.
 * Times are finite: the kernel has no "for ever", and a million seconds does.
 */
const KINDS: Readonly<Record<Kind, { pattern: RegExp; fits: (value: unknown) => boolean; wanted: string }>> = {
  flag: { pattern: /^$/u, fits: (value) => typeof value === 'boolean', wanted: 'true or false' },
  string: {
    pattern: /^[^\0]+$/su,
    fits: (value) => typeof value === 'string' && /^[^\0]+$/su.test(value),
    wanted: 'text',
  },
  number: { pattern: /^\d+$/u, fits: (value) => isWhole(value, 0xffff_ffff), wanted: 'a whole number of 32 bits' },
  seconds: {
    pattern: /^(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/iu,
    fits: (value) => typeof value === 'number' && value >= 0 && Number.isFinite(value),
    wanted: 'a number of seconds',
  },
  transport: {
    pattern: /^\w+$/u,
    fits: (value) => TRANSPORTS.some((each) => each === value),
    wanted: `one of ${TRANSPORTS.join(', ')}`,
  },
  threads: {
    pattern: /^(\d+|cpus)$/u,
    fits: (value) => value === 'cpus' || (isWhole(value, MOST_THREADS) && value !== 0),
    wanted: `a number from 1 to ${MOST_THREADS}, or cpus,`,
  },
  octal: { pattern: /^[0-7]+$/u, fits: (value) => isWhole(value, 0o777), wanted: 'an octal number up to 777' },
};
const isWhole = (value: unknown, most: number): boolean =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most;

/**
 * `allow_other,max_read=65536` as the API's object; of an option given twice the later holds. A comma or
 * backslash in a value is written `\,` and `\\`.
 */
export function parseOptions(text: string): MountOptions {
  const options: Record<string, unknown> = {};
  for (const part of partsOf(text)) {
    const [, spelling, written] = /^([^=]*)(?:=(.*))?$/su.exec(part.replace(/\\(.)/gsu, '$1'))!;
    if (IGNORED.test(part)) continue;
    const found = bySpelling.get(spelling!);
    if (!found) throw new OptionError(`unknown option ${spelling || part}${suggestion(spelling!)}`);
    const { kind } = rows[found.name]!;
    if (kind === 'flag' && written !== undefined) throw new OptionError(`option ${spelling} takes no value`);
    if (kind !== 'flag' && !written) throw new OptionError(`option ${spelling} needs a value: ${spelling}=...`);
    options[camel(found.name)] = kind === 'flag' ? found.value : parseValue(spelling!, kind, written!);
  }
  return checkOptions(options);
}

/** What stands between the commas. */
const partsOf = (text: string): readonly string[] => text.match(/(?:\\.|[^\\,]|\\$)+/gsu) ?? [];

/**
 * Takes out of `-o` what is `name=value`, or `name` alone, with one of these names: a filesystem's own options. `rest` is
 * what is left for `parseOptions`.
 */
export function divideOptions(text: string, names: readonly string[]): { own: Record<string, string>; rest: string } {
  const own: Record<string, string> = {};
  const rest = partsOf(text).filter((part) => {
    const [, name, value = ''] = /^([^=]*)(?:=(.*))?$/su.exec(part)!;
    if (!names.includes(name!)) return true;
    delete own[name!]; // it stands where it was given last
    own[name!] = value;
    return false;
  });
  return { own, rest: rest.join() };
}

function parseValue(name: string, kind: Kind, text: string): string | number {
  const { pattern, fits, wanted } = KINDS[kind];
  const words = kind === 'string' || kind === 'transport' || (kind === 'threads' && text === 'cpus');
  const value = words ? text : kind === 'octal' ? Number.parseInt(text, 8) : Number(text);
  if (!pattern.test(text) || !fits(value)) throw new OptionError(`option ${name} is ${text}: ${wanted} is needed`);
  return value;
}

/** The other way round: what `-o` takes for these options. */
export function printOptions(options: MountOptions): string {
  const parts: string[] = [];
  for (const [name, { kind, off }] of Object.entries(rows)) {
    const value = (options as Readonly<Record<string, unknown>>)[camel(name)];
    if (value === undefined) continue;
    if (kind !== 'flag') {
      const text = kind === 'octal' ? `0${(value as number).toString(8)}` : String(value);
      parts.push(`${name}=${text.replace(/[\\,]/gu, '\\$&')}`);
    } else if (value === true) parts.push(name);
    else if (off !== undefined) parts.push(off);
  }
  return parts.join();
}

/** Checks options that did not come from `parseOptions`. */
export function checkOptions(options: object): MountOptions {
  for (const [key, value] of Object.entries(options)) {
    const name = byCamel.get(key);
    if (!name) throw new OptionError(`unknown option ${key}${suggestion(key)}`);
    const { fits, wanted } = KINDS[rows[name]!.kind];
    if (value !== undefined && !fits(value))
      throw new OptionError(`option ${key} is ${inspect(value)}: ${wanted} is needed`);
  }
  const { subtype, allowOther, allowRoot, blkdev, blksize, fsname } = options as MountOptions;
  if (subtype !== undefined && !/^[^,/\s]+$/u.test(subtype))
    throw new OptionError('option subtype can hold no comma, slash or space');
  if (allowOther && allowRoot) throw new OptionError('allow_other and allow_root exclude each other');
  if (blkdev && fsname === undefined) throw new OptionError('blkdev needs the block device: fsname=/dev/...');
  if (blksize !== undefined && !blkdev) throw new OptionError('blksize means something with blkdev alone');
  return options;
}

/** ": did you mean X?" for a name that is two letters off at most, or another style of the same. */
function suggestion(wrong: string): string {
  const plain = (name: string) => name.replaceAll(/[_-]/gu, '').toLowerCase();
  // A name in the style of the wrong one first: who writes camelCase wants camelCase.
  const names = /[A-Z]/u.test(wrong) ? [...byCamel.keys()] : [...bySpelling.keys()];
  let [near, least] = ['', 3];
  for (const name of names) {
    const far = distance(plain(wrong), plain(name));
    if (far < least && far < plain(name).length / 2) [near, least] = [name, far];
  }
  return near === '' ? '' : `: did you mean ${near}?`;
}

/** How many letters must be put in, taken out or changed to make one of the other. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++)
      next.push(Math.min(row[j + 1]! + 1, next[j]! + 1, row[j]! + (letter === b[j] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}

/** The flags argument of mount(2). nosuid and nodev unless asked otherwise, as for every FUSE mount. */
export function mountFlags(options: MountOptions): number {
  const values: Readonly<Record<string, unknown>> = {
    ...options,
    suid: options.suid ?? false,
    dev: options.dev ?? false,
  };
  let flags = 0;
  for (const [name, { on, whenOff }] of Object.entries(rows)) {
    const value = values[camel(name)];
    if (value === true) flags |= on ?? 0;
    if (value === false) flags |= whenOff ?? 0;
  }
  return flags;
}

/** The data argument of mount(2) beside the descriptor: what the kernel's FUSE itself is told. */
export function kernelOptions(options: MountOptions): string[] {
  const data: string[] = [];
  if (options.defaultPermissions) data.push('default_permissions');
  if (options.allowOther || options.allowRoot) data.push('allow_other');
  if (options.maxRead !== undefined) data.push(`max_read=${options.maxRead}`);
  if (options.blksize !== undefined) data.push(`blksize=${options.blksize}`);
  return data;
}

/** The options as lines of help. */
export const optionHelp = (): string[] =>
  Object.entries(rows).map(([name, { kind, off, help }]) => {
    const form =
      kind === 'flag'
        ? off
          ? `${name}, ${off}`
          : name
        : `${name}=${{ string: 'TEXT', number: 'N', seconds: 'SECONDS', octal: 'OCTAL', transport: 'NAME', threads: 'N|cpus' }[kind]}`;
    return `  ${form.padEnd(30)} ${help}`;
  });
