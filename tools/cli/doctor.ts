/**
 * `rawfuse doctor`: what this machine has for FUSE, what it lacks, and what to do about each. It changes
 * nothing: as root it mounts a filesystem in a temporary directory for a moment, to hear what the kernel offers.
 */
import { constants } from 'node:fs';
import { access, mkdtemp, open, readFile, rmdir, stat, unlink } from 'node:fs/promises';
import { release, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { parseArgs } from 'node:util';
import { INIT_FLAGS, type InitFlag } from '../../src/abi/fuse-constants.ts';
import { IORING_OP, type UringOpcode } from '../../src/abi/uring-constants.ts';
import { whyNotHanded } from '../../src/fs/handed.ts';
import { mount } from '../../src/mount.ts';
import { connectionDirectory, isFuse, mountEntries } from '../../src/mountinfo.ts';
import type { Connection } from '../../src/protocol/connection.ts';
import type { Filesystem } from '../../src/protocol/filesystem.ts';
import type { Agreement } from '../../src/protocol/init.ts';
import { probe, UringError, type UringProbe } from '../../src/uring/setup.ts';
import { describe, plan } from '../../src/uring/transport-plan.ts';
import { linux, PARAMETER, whyNotOffered } from '../../src/uring/transport-system.ts';
import { COMMON, type Command, EXIT_CODES, FAILED, OK, UsageError } from './command.ts';
import { ask, health } from './health.ts';

/** `missing` keeps a mount from working; `warn` costs something, or is needed by some. */
type Status = 'ok' | 'warn' | 'missing';
interface Finding {
  readonly status: Status;
  /** What was looked at. */
  readonly check: string;
  readonly found: string;
  /** What to do about it. */
  readonly advice?: string;
}
const finding = (status: Status, check: string, found: string, advice?: string): Finding =>
  advice === undefined ? { status, check, found } : { status, check, found, advice };

export const command: Command = {
  summary: 'tell what this machine has and lacks for FUSE',
  help: () => `Usage: rawfuse doctor [--json]

Looks at the kernel and its FUSE, /dev/fuse, /etc/fuse.conf, fusermount3, fusectl,
io_uring and the FUSE mounts there are, and says what to do about what is missing.
As root it mounts a filesystem in a temporary directory for a moment, to hear which
INIT flags the kernel offers. It changes nothing.

Options:
  --json       an array of {"status", "check", "found", "advice"}
  --help, -h   this text
  --debug      show the stack of an error

The status is ok, warn (something is slower, or missing for some uses) or missing
(no mount works), and the exit code ${FAILED} where anything is missing.

${EXIT_CODES}
`,
  async run(args) {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { ...COMMON, json: { type: 'boolean' } },
      allowPositionals: true,
      strict: true,
    });
    if (values.help) {
      process.stdout.write(command.help());
      return OK;
    }
    if (positionals.length > 0) throw new UsageError('doctor takes no arguments');
    const findings = (await Promise.all(CHECKS.map((check) => check()))).flat();
    if (values.json) console.log(JSON.stringify(findings, null, 2));
    else for (const each of findings) console.log(lines(each));
    return findings.some(({ status }) => status === 'missing') ? FAILED : OK;
  },
};

const lines = ({ status, check, found, advice }: Finding): string =>
  `${status.padEnd(8)}${check}: ${found}${advice === undefined ? '' : `\n        ${advice}`}`;

const CHECKS: readonly (() => Promise<Finding | Finding[]>)[] = [
  kernel,
  device,
  otherUsers,
  fusermount,
  fusectl,
  ioUring,
  fuseOverIoUring,
  mounts,
];

const read = (file: string): Promise<string | undefined> =>
  readFile(file, 'utf8').then(
    (text) => text.trim(),
    () => undefined,
  );

async function kernel(): Promise<Finding[]> {
  const version = `Linux ${release()}`;
  if (process.geteuid!() !== 0)
    return [finding('warn', 'kernel', version, 'run rawfuse doctor as root to see what its FUSE offers')];
  try {
    const { agreement, whyNotHanded } = await offer();
    const { minor, offered, offeredBits } = agreement;
    const names = [...offered].join(' ');
    const unnamed = [...bits(offeredBits)].filter((bit) => !NAMED.has(bit));
    const not = (Object.keys(INIT_FLAGS) as InitFlag[]).filter((flag) => !offered.has(flag)).join(' ');
    return [
      finding('ok', 'kernel', `${version}, FUSE 7.${minor}`),
      finding('ok', 'INIT flags offered', names + (unnamed.length > 0 ? ` and bits ${unnamed.join(' ')}` : '')),
      finding('ok', 'INIT flags not offered', not || 'none'),
      whyNotHanded === undefined
        ? finding('ok', 'kernel passthrough', 'the kernel reads and writes files itself')
        : finding('warn', 'kernel passthrough', whyNotHanded, HANDING),
    ];
  } catch (error) {
    const found = `${version}, but a mount failed: ${(error as Error).message}`;
    return [finding('missing', 'kernel', found, 'see /dev/fuse below; a container needs CAP_SYS_ADMIN to mount')];
  }
}
const HANDING =
  'data then goes by requests, slower; it needs Linux 6.9, CAP_SYS_ADMIN and files that are not on overlayfs';
const NAMED: ReadonlySet<number> = new Set(Object.values(INIT_FLAGS));
function* bits(set: bigint): Generator<number> {
  for (let bit = 0; bit < 64; bit++) if (set & (1n << BigInt(bit))) yield bit;
}

/** How the temporary directory's name begins. */
const TEMPORARY = 'rawfuse-doctor-';
/** What the kernel offers at INIT: a filesystem that serves nothing hears it. And why it takes no file of the temporary directory, if so. */
async function offer(): Promise<{ agreement: Agreement; whyNotHanded: string | undefined }> {
  const directory = await mkdtemp(join(tmpdir(), TEMPORARY));
  let connection: Connection | undefined;
  const nothing: Filesystem = {
    promises: ['PASSTHROUGH'],
    init(made) {
      connection = made;
    },
  };
  try {
    const mounted = await mount(nothing, directory, { fsname: 'rawfuse-doctor', handlerTimeout: 5 });
    const { agreement } = mounted.session;
    const why = whyNotHanded(connection!) ?? (await refusal(connection!));
    await mounted.unmount({ lazy: true });
    await mounted.closed;
    return { agreement: agreement!, whyNotHanded: why };
  } finally {
    await rmdir(directory);
  }
}
/** Why the kernel does not take a file; undefined where it does. */
async function refusal({ backing }: Connection): Promise<string | undefined> {
  const path = join(tmpdir(), `${TEMPORARY}${process.pid}`);
  const file = await open(path, 'wx');
  try {
    backing.close(backing.open(file.fd));
    return undefined;
  } catch (error) {
    return `the kernel takes no files of ${tmpdir()}: ${(error as Error).message}`;
  } finally {
    await file.close();
    await unlink(path);
  }
}

async function device(): Promise<Finding> {
  try {
    const { mode, uid, gid } = await stat('/dev/fuse');
    const found = `mode 0${(mode & 0o7777).toString(8)}, owner ${uid}:${gid}`;
    if ((mode & constants.S_IFMT) !== constants.S_IFCHR)
      return finding('missing', '/dev/fuse', 'not a device', 'make it: mknod /dev/fuse c 10 229');
    const usable = await access('/dev/fuse', constants.R_OK | constants.W_OK).then(
      () => true,
      () => false,
    );
    if (!usable)
      return finding(
        'missing',
        '/dev/fuse',
        `${found}: not yours to open`,
        'as root: chmod 666 /dev/fuse, or run this as root',
      );
    if ((mode & 0o006) !== 0o006)
      return finding('warn', '/dev/fuse', `${found}: for its owner only`, 'for other users too: chmod 666 /dev/fuse');
    return finding('ok', '/dev/fuse', found);
  } catch {
    return finding(
      'missing',
      '/dev/fuse',
      'not there',
      'load the module: modprobe fuse; in a container: --device /dev/fuse --cap-add SYS_ADMIN',
    );
  }
}

async function otherUsers(): Promise<Finding> {
  const conf = await read('/etc/fuse.conf');
  const on = conf?.split('\n').some((line) => line.trim() === 'user_allow_other');
  if (on) return finding('ok', 'user_allow_other', 'set in /etc/fuse.conf');
  return finding(
    'warn',
    'user_allow_other',
    conf === undefined ? 'no /etc/fuse.conf' : 'not set in /etc/fuse.conf',
    'only for mounts by users other than root that want allow_other: echo user_allow_other >> /etc/fuse.conf',
  );
}

async function fusermount(): Promise<Finding> {
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    const file = join(directory, 'fusermount3');
    const found = await stat(file).catch(() => undefined);
    if (found === undefined) continue;
    const { output } = await ask(file, ['--version']);
    const version = /version:? (\S+)/u.exec(output)?.[1] ?? 'of unknown version';
    if (found.uid === 0 && found.mode & constants.S_IXUSR && found.mode & 0o4000)
      return finding('ok', 'fusermount3', `${version}, ${file}`);
    return finding('warn', 'fusermount3', `${version}, ${file}, not setuid root`, `for users: chmod u+s ${file}`);
  }
  return finding(
    'warn',
    'fusermount3',
    'not installed',
    'only for users other than root: apt-get install fuse3, dnf install fuse3 or apk add fuse3',
  );
}

async function fusectl(): Promise<Finding> {
  const entry = mountEntries().find(({ type }) => type === 'fusectl');
  if (entry) return finding('ok', 'fusectl', `mounted at ${entry.path}`);
  return finding(
    'warn',
    'fusectl',
    'not mounted: a connection can be aborted by umount -f alone',
    'mount -t fusectl fusectl /sys/fs/fuse/connections',
  );
}

async function ioUring(): Promise<Finding[]> {
  const disabled = await read('/proc/sys/kernel/io_uring_disabled');
  let found: UringProbe;
  try {
    found = probe();
  } catch (error) {
    if (!(error instanceof UringError)) throw error;
    return [finding('warn', 'io_uring', error.message, ADVICE[error.reason])];
  }
  const { tier, features, opcodes, sqpoll } = found;
  const lacking = (Object.keys(IORING_OP) as UringOpcode[]).filter((name) => !opcodes.has(name));
  return [
    disabled === '1'
      ? finding('warn', 'io_uring', 'allowed for root and one group', ADVICE.disabled)
      : finding(
          'ok',
          'io_uring',
          `${tier} task running, ${sqpoll ? '' : 'no '}SQPOLL, features 0x${features.toString(16)}`,
        ),
    finding('ok', 'io_uring opcodes', `${opcodes.size}, all but ${lacking.join(' ') || 'none'}`),
  ];
}
const ADVICE: Readonly<Record<UringError['reason'], string>> = {
  disabled: 'allow it: sysctl kernel.io_uring_disabled=0',
  forbidden: 'allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile of the container',
  absent: 'it came with Linux 5.1; nothing here needs it',
  'too-old': 'it is used from Linux 5.6 on; nothing here needs it',
  failed: 'see ulimit -l and ulimit -n',
};

/** Whether FUSE can come over io_uring, and what would switch it on. This command does not. */
async function fuseOverIoUring(): Promise<Finding> {
  const check = 'FUSE over io_uring';
  if (linux.enabled() !== 'Y')
    return finding('warn', check, whyNotOffered().replace(/:.*/u, ''), ADVICE_RING[linux.enabled() ?? 'absent']);
  try {
    probe();
  } catch (error) {
    if (!(error instanceof UringError)) throw error;
    return finding('warn', check, `the kernel has it, but not io_uring: ${error.message}`, ADVICE[error.reason]);
  }
  return finding('ok', check, `on, for mounts with --transport uring: ${describe(plan(linux.cpus(), 1 << 20))}`);
}
const ADVICE_RING: Readonly<Record<string, string>> = {
  N: `for mounts made afterwards, as root: echo Y > ${PARAMETER}`,
  absent: 'it came with Linux 6.14; /dev/fuse does without',
};

/** The FUSE mounts there are, the dead and the hanging ones by name. */
async function mounts(): Promise<Finding[]> {
  const entries = mountEntries().filter((entry) => isFuse(entry) && !entry.path.includes(`/${TEMPORARY}`));
  const findings = await Promise.all(
    entries.map(async (entry) => {
      const check = `mount ${entry.path}`;
      const state = await health(entry.path);
      if (state === 'dead')
        return [finding('warn', check, 'dead, its server is gone', `clean it up: rawfuse unmount ${entry.path}`)];
      if (state === 'alive') return [];
      const advice = `detach it: rawfuse unmount --lazy ${entry.path}; free who waits: echo 1 > ${connectionDirectory(entry)}/abort`;
      return [finding('warn', check, 'its server does not answer', advice)];
    }),
  );
  const bad = findings.flat();
  return bad.length > 0 ? bad : [finding('ok', 'FUSE mounts', `${entries.length}, none of them dead`)];
}
