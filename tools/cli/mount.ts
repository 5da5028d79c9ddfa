/** `rawfuse mount FILESYSTEM DIR`: the command line, and its help. What then happens is in foreground.ts and background.ts. */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import {
  checkOptions,
  divideOptions,
  type MountOptions,
  optionHelp,
  parseOptions,
  TRANSPORTS,
} from '../../src/options.ts';
import type { Filesystem } from '../../src/protocol/filesystem.ts';
import { wishes } from '../../src/protocol/init.ts';
import { background } from './background.ts';
import { COMMON, type Command, EXIT_CODES, OK, UsageError, version } from './command.ts';
import { foreground } from './foreground.ts';
import { memory } from './memory.ts';
import { passthrough } from './passthrough.ts';
import { union } from './union.ts';

/** What can be mounted. */
export interface Mountable {
  readonly name: string;
  /** As it is called in a sentence. */
  readonly title: string;
  /** What it serves, where that is named before DIR: a directory, or a list of branches. */
  readonly source?: 'directory' | 'branches';
  /** Its own options in `-o`: the form they are written in, by name, and what they mean. */
  readonly options: Readonly<Record<string, { readonly form: string; readonly help: string }>>;
  /** What else it takes in `-o`, other spellings among them; absent where that is all. */
  readonly spellings?: readonly string[];
  /** What of its own options is the mount's; what `-o` says of the mount holds. UsageError. */
  mountOptions?(own: Readonly<Record<string, string>>, source: string, directory: string): MountOptions;
  /** Makes one from these options as they are written; absent where there is a module alone. UsageError. */
  make?(own: Readonly<Record<string, string>>, source: string, directory: string): Filesystem;
  /** What is to be done, or waited for, before it is made to be served. */
  prepare?(own: Readonly<Record<string, string>>, source: string, directory: string): Promise<void>;
  /** What threads load. */
  readonly module: URL;
  /** What the module is told of the options. */
  told?(own: Readonly<Record<string, string>>, source: string, directory: string): unknown;
}
const filesystems: readonly Mountable[] = [memory, passthrough, union];
const TRACES = ['text', 'json'] as const;

/** A module of the user's: a path, which says that it is one by a slash or its extension. */
function moduleAt(name: string): Mountable | undefined {
  if (!/\/|\.[cm]?[jt]s$/u.test(name)) return undefined;
  const path = resolve(name);
  return {
    name: path,
    title: `the filesystem of ${name}`,
    options: {},
    module: pathToFileURL(path),
  };
}
/** What `mount` is to serve: an object on this thread, or, where threads are asked for or there is nothing else, a module. */
export function served({ what, own, source, directory, options }: MountRequest) {
  const { make, module } = what;
  if (make !== undefined && options.threads === undefined)
    return { filesystem: what.make!(own, source, directory), told: undefined };
  return { filesystem: module, told: what.told?.(own, source, directory) };
}

export interface MountRequest {
  readonly what: Mountable;
  /** The options of the filesystem itself, as they are written. */
  readonly own: Readonly<Record<string, string>>;
  /** What is served: an absolute path, or branches as they are written; empty where there is no such thing. */
  readonly source: string;
  readonly directory: string;
  readonly options: MountOptions;
  readonly trace: (typeof TRACES)[number] | undefined;
  readonly debug: boolean;
}

const OPTIONS = {
  ...COMMON,
  options: { type: 'string', short: 'o', multiple: true },
  background: { type: 'boolean' },
  foreground: { type: 'boolean', short: 'f' },
  'single-thread': { type: 'boolean', short: 's' },
  'foreground-trace': { type: 'boolean', short: 'd' },
  trace: { type: 'string' },
  transport: { type: 'string' },
  threads: { type: 'string' },
  version: { type: 'boolean', short: 'V' },
} as const;

export const command: Command = {
  summary: 'mount a filesystem and serve it',
  help: () => `Usage: rawfuse mount memory DIR [-o OPTION[,OPTION]...]... [--background]
                            [--trace[=json]] [--transport NAME] [--threads N|cpus]
       rawfuse mount passthrough SOURCE DIR ...
       rawfuse mount union BRANCH[=MODE[,SIZE]][:BRANCH...]... DIR ...
       rawfuse mount ./MODULE.js DIR ...

Mounts a filesystem at DIR, as root, and serves it until it is unmounted:
  memory    a filesystem in memory: empty at first, gone at the end
  passthrough  the directory SOURCE, which exists, with all that is in it
  union     several directories as one, with mergerfs' options: modes are RW, RO and NC
            (no new files), SIZE is what must stay available (docs/union.md)
  ./X.js    one of your own: a module whose default export makes it, in each of the
            threads that serve it (docs/threads.md); a path has a slash or an extension

DIR is made if it does not exist but its parent does, and then removed at the end.
A dead mount at DIR, whose server is gone, is cleaned up first. With /dev/fd/N for
DIR it serves over descriptor N, an open /dev/fuse that somebody else has mounted:
that program also unmounts, and the options of mount(2) are its business.

Ctrl-C, SIGTERM and SIGHUP unmount. While files are open the mount is detached and
they are served until they are closed; a second Ctrl-C ends at once.

Options:
  -o OPTIONS            see below; -o may be repeated, and the later option holds
  --background          return when the mount answers; the server goes on alone
  --trace[=json]        print what goes between the kernel and the filesystem: a line a
                        request, or a JSON object a line (messages then go to stderr)
  --transport NAME      how to talk to the kernel: device (read and write on /dev/fuse),
                        uring (FUSE over io_uring, Linux 6.14, to be switched on; rawfuse
                        doctor says how), or auto, the default: for now the device
  --threads N|cpus      serve by threads of its own: so many, or one for each CPU, which over
                        io_uring is pinned there; memory takes 1 at most
  --help, -h            this text
  --debug               show the stack of an error
  -f                    stay in the foreground, as always without --background
  -s                    serve on one thread, whatever --threads says
  -d                    the same as -f --trace
  -V                    the version

Options of the in-memory filesystem, in -o too:
${ownHelp(memory)}

Options of passthrough:
${ownHelp(passthrough)}

Options of union:
${ownHelp(union)}

Mount options. A comma in a value is written \\, and a backslash \\\\.
${optionHelp().join('\n')}
  defaults, auto, noauto, user, users, owner, group, nofail, _netdev and their no-forms,
  comment=, x-* and X-* may stand in /etc/fstab, and are ignored.

${EXIT_CODES}
`,
  async run(args) {
    // parseArgs knows no optional values.
    const spelled = args.map((each) => (each === '--trace' ? '--trace=text' : each));
    const { values, positionals } = parseArgs({
      args: spelled,
      options: OPTIONS,
      allowPositionals: true,
      strict: true,
    });
    if (values.help || values.version) {
      process.stdout.write(values.help ? command.help() : `${version()}\n`);
      return OK;
    }
    const [name, ...places] = positionals;
    const names = filesystems.map((each) => each.name).join(', ');
    if (name === undefined) throw new UsageError('mount takes a filesystem and a directory: rawfuse mount memory DIR');
    const what = filesystems.find((each) => each.name === name) ?? moduleAt(name);
    if (what === undefined) throw new UsageError(`unknown filesystem ${name}: known are ${names}`);
    const { source, directory } = placesOf(what, places);
    const transport = TRANSPORTS.find((each) => each === values.transport);
    if (values.transport !== undefined && transport === undefined)
      throw new UsageError(`unknown transport ${values.transport}: known are ${TRANSPORTS.join(', ')}`);
    const trace = TRACES.find((each) => each === (values.trace ?? (values['foreground-trace'] ? 'text' : undefined)));
    if (values.trace !== undefined && trace === undefined)
      throw new UsageError(`--trace=${values.trace}: --trace or --trace=json is needed`);
    const divided = (values.options ?? []).map((text) =>
      divideOptions(text, what.spellings ?? Object.keys(what.options)),
    );
    const own: MountRequest['own'] = laterLast(divided.map((each) => each.own));
    const written = divided.map(({ rest }) => parseOptions(rest));
    const threads = values['single-thread'] && values.threads !== undefined ? '1' : values.threads;
    const options = checkOptions(
      Object.assign(
        { ...what.mountOptions?.(own, source, directory) },
        ...written,
        transport && { transport },
        threads && parseOptions(`threads=${threads}`),
      ),
    );
    if (what.make !== undefined) {
      const filesystem = what.make(own, source, directory);
      agreeable(filesystem, options);
      await filesystem.destroy?.(); // the one that serves is made when it is time
    }
    const request: MountRequest = { what, own, source, directory, options, trace, debug: values.debug ?? false };
    if (!values.background) return foreground(request);
    if (trace !== undefined)
      throw new UsageError('--background and --trace exclude each other: nobody would see the trace');
    if (values.foreground) throw new UsageError('--background and -f exclude each other');
    return background(request);
  },
};

/** What is served, and where: one directory or two. */
function placesOf({ name, source: takes }: Mountable, places: readonly string[]) {
  const [directory, source, ...more] = places.toReversed();
  if (takes) {
    if (!directory || !source || more.length > 0)
      throw new UsageError(
        takes === 'branches'
          ? `mount ${name} takes branches and a directory: rawfuse mount ${name} A=RW:B=RO DIR`
          : `mount ${name} takes two directories: rawfuse mount ${name} SOURCE DIR`,
      );
    return { source: takes === 'branches' ? source : resolve(source), directory };
  }
  if (!directory || source !== undefined)
    throw new UsageError('mount takes a filesystem and a directory: rawfuse mount memory DIR');
  return { source: '', directory };
}

/** Options that were given more than once stand where they were given last: some are settings of others. */
function laterLast(all: readonly Readonly<Record<string, string>>[]): Record<string, string> {
  const own: Record<string, string> = {};
  for (const [name, value] of all.flatMap((each) => Object.entries(each))) {
    delete own[name];
    own[name] = value;
  }
  return own;
}

function ownHelp({ options }: Mountable): string {
  return Object.values(options)
    .map(({ form, help }) => `  ${form.padEnd(30)} ${help}`)
    .join('\n');
}

/** What the kernel would refuse is wrong usage, in the spelling of -o. */
function agreeable(filesystem: Filesystem, options: MountOptions): void {
  try {
    wishes(filesystem, options);
  } catch (error) {
    const { message } = error as Error;
    throw new UsageError(
      message.replace(/^[a-z]+[A-Z]\w*/u, (name) => name.replace(/[A-Z]/gu, (each) => `_${each.toLowerCase()}`)),
    );
  }
}
