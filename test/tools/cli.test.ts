/**
 * The command `rawfuse`, run as its users run it: what it prints, what it ends with, and that whatever ends a
 * mount leaves nothing behind. It is compiled; one test runs it from the sources.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { mount as sysMount } from '../../src/abi/syscall.ts';
import { connectionDirectory, mountAt } from '../../src/mountinfo.ts';
import { mountOptions } from '../../src/options.ts';
import { compiled, fromSources } from '../compiled.ts';
import { kernelTest, run, sh, start, temporary, until } from '../support.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
const root = process.geteuid!() === 0;

const cli = compiled('tools/cli.ts');

/** The programs and mounts of the test that runs: whatever became of it, they go with it. */
const children: ChildProcess[] = [];
const places: string[] = [];
afterEach(async () => {
  for (const child of children.splice(0))
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  for (const place of places.splice(0)) {
    while (mountAt(join(place, 'mnt'))) await run('umount', ['-l', join(place, 'mnt')]);
    rmSync(place, { recursive: true, force: true });
  }
});

/** A new directory, and in it the path of one that is not there yet. */
function place(): { parent: string; mnt: string } {
  const parent = temporary();
  places.push(parent);
  return { parent, mnt: join(parent, 'mnt') };
}

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}
/** A program that goes on, with what it has printed so far and its end. */
function going(program: string, args: readonly string[], env = process.env) {
  const child = start(program, args, { cwd: ROOT, env });
  children.push(child);
  const output = { stdout: '', stderr: '' };
  child.stdout!.on('data', (text) => (output.stdout += text));
  child.stderr!.on('data', (text) => (output.stderr += text));
  const ended = new Promise<Ended>((done) => child.once('close', (status) => done({ status, ...output })));
  return { child, output, ended };
}
const end = (program: string, args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Ended> =>
  going(program, args, env).ended;
const rawfuse = (...args: string[]): Promise<Ended> => end(process.execPath, [cli, ...args]);
const rawfuseFromSources = (...args: string[]): Promise<Ended> =>
  end(process.execPath, ['--import', 'tsx', 'tools/cli.ts', ...args], fromSources());
/** As another user than root, who may read the sources wherever they are. */
const AS_NOBODY = [
  ...['--reuid=65534', '--regid=65534', '--clear-groups'],
  ...['--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search'],
];
const rawfuseAsUser = (...args: string[]): Promise<Ended> =>
  root ? end('setpriv', [...AS_NOBODY, process.execPath, cli, ...args]) : rawfuse(...args);

/** A mount by the command; resolves when the command says that it is there. */
const mounting = (mnt: string, ...args: string[]) => mountingWhat(['memory'], mnt, ...args);
async function mountingWhat(what: readonly string[], mnt: string, ...args: string[]) {
  const server = going(process.execPath, [cli, 'mount', ...what, mnt, ...args]);
  const { child, output } = server;
  await until(
    () => /^(mounted|serving) /mu.test(output.stdout + output.stderr) || child.exitCode !== null,
    'the mount',
  );
  expect(child.exitCode, output.stderr).toBeNull();
  return server;
}

/** A client that holds a file of the mount open until it is told to go on; it then writes, reads back and says what it got. */
async function holding(mnt: string) {
  const script = `exec 3<> "$0/held"; echo ready; read go; echo later >&3 && cat "/proc/self/fd/3" || echo failed`;
  const child = spawn('bash', ['-c', script, mnt], { stdio: ['pipe', 'pipe', 'ignore'] });
  children.push(child);
  let said = '';
  child.stdout.on('data', (text) => (said += text));
  await until(() => said === 'ready\n', 'the client');
  return async () => {
    child.stdin.end('go\n');
    await new Promise((done) => child.once('close', done));
    return said.replace('ready\n', '');
  };
}

describe('the command line', () => {
  const wrong: [string, RegExp][] = [
    ['', /^rawfuse: no command: rawfuse help lists them$/],
    ['frobnicate', /^rawfuse: unknown command frobnicate: rawfuse help lists them$/],
    ['constructor', /^rawfuse: unknown command constructor/],
    ['--frobnicate', /^rawfuse: Unknown option '--frobnicate': see rawfuse help$/],
    ['mount', /^rawfuse: mount takes a filesystem and a directory: rawfuse mount memory DIR$/],
    ['mount memory', /^rawfuse: mount takes a filesystem and a directory/],
    ['mount memory a b', /^rawfuse: mount takes a filesystem and a directory/],
    ['mount nfs a', /^rawfuse: unknown filesystem nfs: known are memory, passthrough, union$/],
    ['mount union a', /^rawfuse: mount union takes branches and a directory: rawfuse mount union A=RW:B=RO DIR$/],
    ['mount union /tmp=WR a', /^rawfuse: branch \/tmp=WR has the mode WR: one of RW, RO, NC is needed$/],
    [
      'mount union /tmp=RW,1X a',
      /^rawfuse: branch \/tmp=RW,1X: 1X is no size: a number is needed, with K, M, G, T or P/,
    ],
    ['mount union /tmp/absent a', /^rawfuse: branch \/tmp\/absent is not there, or no directory$/],
    ['mount union /tmp /', /^rawfuse: branch \/tmp is inside the mount point \/: it would be covered by the mount$/],
    [
      'mount union /tmp a -o category.create=most',
      /^rawfuse: option category\.create is most: one of all, epall, .* is needed$/,
    ],
    ['mount union /tmp a -o link_cow=some', /^rawfuse: option link_cow is some: true or false is needed$/],
    [
      'mount union /tmp a -o scheduling-priority=5',
      /^rawfuse: option scheduling-priority=5 is not for a union: start it with nice\(1\)$/,
    ],
    ['mount union /tmp a -o category.creat=mfs', /^rawfuse: unknown option category\.creat/],
    ['union df', /^rawfuse: union takes what to show, and a directory: rawfuse union df DIR$/],
    ['mount memory a --frob', /^rawfuse: Unknown option '--frob': see rawfuse help$/],
    ['mount memory a -o', /^rawfuse: Option '-o, --options <value>' argument missing: see rawfuse help$/],
    ['mount memory a -o alow_other', /^rawfuse: unknown option alow_other: did you mean allow_other\?$/],
    ['mount memory a -o ro -o max_read=x', /^rawfuse: option max_read is x: a whole number of 32 bits is needed$/],
    ['mount memory a -o allow_other -o allow_root', /^rawfuse: allow_other and allow_root exclude each other$/],
    ['mount memory a -o max_write=1', /^rawfuse: max_write is 1: a whole number from 4096 to \d+ is needed$/],
    ['mount memory a --transport pigeon', /^rawfuse: unknown transport pigeon: known are auto, device, uring$/],
    ['mount memory a --trace=xml', /^rawfuse: --trace=xml: --trace or --trace=json is needed$/],
    [
      'mount memory a -o size=lots',
      /^rawfuse: option size is lots: a number is needed, with k, m, g, t or % behind it or nothing$/,
    ],
    ['mount memory a -o size=', /^rawfuse: option size is : a number is needed/],
    [
      'mount memory a -o nr_inodes=5%',
      /^rawfuse: option nr_inodes is 5%: a number is needed, with k, m, g or t behind it/,
    ],
    ['mount memory a -o kernel_passthrough=no', /^rawfuse: option kernel_passthrough is no: one of auto, on, off/],
    ['mount memory a -o nr_inodes=0', /^rawfuse: nr_inodes is 0: a whole number from 1 to 8388608 is needed$/],
    ['mount memory a -o size=99999999t', /^rawfuse: option size is 99999999t: a number is needed/],
    [
      'mount memory a -o atime=sometimes',
      /^rawfuse: option atime is sometimes: one of relatime, strict, none is needed$/,
    ],
    ['mount memory a --background --trace', /^rawfuse: --background and --trace exclude each other/],
    ['mount memory a --background -d', /^rawfuse: --background and --trace exclude each other/],
    ['mount memory a --background -f', /^rawfuse: --background and -f exclude each other$/],
    ['mount passthrough a', /^rawfuse: mount passthrough takes two directories: rawfuse mount passthrough SOURCE DIR$/],
    ['mount passthrough a b c', /^rawfuse: mount passthrough takes two directories/],
    ['mount passthrough / a -o xdev=1', /^rawfuse: option xdev takes no value$/],
    ['mount passthrough / a -o squash_uid=me', /^rawfuse: option squash_uid is me: a number is needed$/],
    [
      'mount passthrough / a -o inode_handles=some',
      /^rawfuse: option inode_handles is some: one of auto, handles, descriptors is needed$/,
    ],
    ['mount passthrough / a -o cache=some', /^rawfuse: option cache is some: one of none, auto, always is needed$/],
    [
      'mount passthrough / a -o kernel_passthrough=no',
      /^rawfuse: option kernel_passthrough is no: one of auto, on, off/,
    ],
    [
      'mount passthrough / a -o writeback,kernel_passthrough',
      /^rawfuse: writeback and kernel_passthrough exclude each other: .*$/,
    ],
    ['mount passthrough / a -o idmap,caller_checks', /^rawfuse: idmap and caller_checks exclude each other: .*$/],
    ['mount passthrough / a -o idmap,squash_gid=1', /^rawfuse: idmap excludes squash_uid and squash_gid: .*$/],
    [
      'mount passthrough / a -o caller_checks,squash_uid=1',
      /^rawfuse: caller_checks excludes squash_uid and squash_gid/,
    ],
    ['unmount', /^rawfuse: unmount takes one directory: rawfuse unmount DIR$/],
    ['unmount a b', /^rawfuse: unmount takes one directory/],
    ['doctor now', /^rawfuse: doctor takes no arguments$/],
    ['help frobnicate', /^rawfuse: unknown command frobnicate: rawfuse help lists them$/],
    ['help mount unmount', /^rawfuse: help takes one command$/],
  ];
  test.each(wrong)('refuses "%s" with status 2 and one line', async (words, line) => {
    const { status, stdout, stderr } = await rawfuse(...words.split(' ').filter((word) => word !== ''));
    expect(stderr.trimEnd()).toMatch(line);
    expect({ status, stdout, lines: stderr.split('\n').length }).toEqual({ status: 2, stdout: '', lines: 2 });
    expect(existsSync('a')).toBe(false);
  });

  test('shows where an error came from with --debug alone', async () => {
    expect((await rawfuse('unmount', '/nowhere/at/all')).stderr).toBe(
      'rawfuse: nothing is mounted at /nowhere/at/all\n',
    );
    expect((await rawfuse('unmount', '/nowhere/at/all', '--debug')).stderr).toMatch(/\n {4}at /u);
  });

  test.each(['help', '--help', '-h'])('%s lists the commands and the exit codes', async (word) => {
    const { status, stdout, stderr } = await rawfuse(word);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const each of ['mount', 'unmount', 'union', 'doctor', 'help', '--version', 'Exit codes:'])
      expect(stdout).toContain(each);
  });
  test.each(['mount', 'unmount', 'union', 'doctor', 'help'])('help %s is what %s --help says', async (name) => {
    const { status, stdout } = await rawfuse('help', name);
    expect(status).toBe(0);
    expect(stdout).toMatch(new RegExp(`^Usage: rawfuse ${name}`, 'u'));
    expect((await rawfuse(name, '--help')).stdout).toBe(stdout);
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(120);
  });
  test('help mount tells every mount option', async () => {
    const { stdout } = await rawfuse('help', 'mount');
    for (const name of Object.keys(mountOptions)) expect(stdout).toMatch(new RegExp(`^  ${name}\\b`, 'mu'));
  });
  test.each(['--version', '-V', 'mount -V'])('%s tells the version', async (words) => {
    expect(await rawfuse(...words.split(' '))).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
  });
  test('runs from the sources too', async () => {
    expect(await rawfuseFromSources('-V')).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
  });
  test('does not mind a reader who has seen enough', async () => {
    const script = 'set -o pipefail; "$0" "$1" help mount | true';
    expect(await end('bash', ['-c', script, process.execPath, cli])).toEqual({ status: 0, stdout: '', stderr: '' });
  });
});

describe('what can’t be done ends with status 1 and one line', () => {
  test('no such directory', async () => {
    const { parent } = place();
    expect(await rawfuse('mount', 'memory', join(parent, 'no/such'))).toEqual({
      status: 1,
      stdout: '',
      stderr: `rawfuse: no such directory: ${parent}/no/such, nor the one it would be in\n`,
    });
  });
  test('not a directory', async () => {
    const { mnt } = place();
    writeFileSync(mnt, '');
    expect(await rawfuse('mount', 'memory', mnt)).toEqual({
      status: 1,
      stdout: '',
      stderr: `rawfuse: ${mnt} is not a directory\n`,
    });
  });
  test('not root; and the directory that was made for it is gone', async () => {
    const { parent, mnt } = place();
    chmodSync(parent, 0o777);
    expect(await rawfuseAsUser('mount', 'memory', mnt)).toEqual({
      status: 1,
      stdout: '',
      stderr: 'rawfuse: mounting needs root: run this as root, for example with sudo\n',
    });
    expect(existsSync(mnt)).toBe(false);
    expect(await rawfuseAsUser('mount', 'memory', mnt, '--background')).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^rawfuse: mounting needs root/u),
    });
  });
  test('a descriptor that is not open, or no device', async () => {
    for (const [file, line] of [
      ['', 'rawfuse: descriptor 97 is not open\n'],
      ['97< /proc/version', 'rawfuse: descriptor 97 is neither /dev/fuse nor a socket\n'],
    ])
      expect(await end('bash', ['-c', `"$0" "$1" mount memory /dev/fd/97 ${file}`, process.execPath, cli])).toEqual({
        status: 1,
        stdout: '',
        stderr: line,
      });
  });
  test('unmounting what is not mounted, or not FUSE', async () => {
    const { parent } = place();
    expect(await rawfuse('unmount', parent)).toMatchObject({
      status: 1,
      stderr: `rawfuse: nothing is mounted at ${parent}\n`,
    });
    expect(await rawfuse('unmount', '/proc')).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^rawfuse: \/proc is not a FUSE mount but proc/u),
    });
  });
});

describe('doctor', () => {
  test('tells each thing with its status and what to do, as any user', async () => {
    const { status, stdout, stderr } = await rawfuseAsUser('doctor', '--json');
    expect(stderr).toBe('');
    const findings = JSON.parse(stdout) as { status: string; check: string; found: string; advice?: string }[];
    for (const check of [
      'kernel',
      '/dev/fuse',
      'user_allow_other',
      'fusermount3',
      'fusectl',
      'io_uring',
      'FUSE over io_uring',
    ])
      expect(findings.map((each) => each.check)).toContain(check);
    for (const each of findings) {
      expect(['ok', 'warn', 'missing']).toContain(each.status);
      if (each.status !== 'ok') expect(each.advice, each.check).toMatch(/\S/u);
    }
    expect(status).toBe(findings.some((each) => each.status === 'missing') ? 1 : 0);
    expect((await rawfuseAsUser('doctor')).stdout).toMatch(/^(ok|warn|missing) +kernel: Linux \d/mu);
  });
});

kernelTest('doctor tells the kernel’s protocol and INIT flags, and names a dead mount', async () => {
  const { mnt } = place();
  const server = await mounting(mnt);
  server.child.kill('SIGKILL');
  await server.ended;
  const { status, stdout } = await rawfuse('doctor');
  expect(status).toBe(0);
  expect(stdout).toMatch(/^ok +kernel: Linux .*, FUSE 7\.\d+$/mu);
  expect(stdout).toMatch(/^ok +INIT flags offered: ASYNC_READ .*MAX_PAGES/mu);
  expect(stdout).toMatch(/^ok +kernel passthrough: the kernel reads and writes files itself$/mu);
  expect(stdout).toMatch(/^ok +fusectl: mounted at /mu);
  expect(stdout).toMatch(
    /^ok +io_uring: (defer|cooperative|plain) task running, (no )?SQPOLL, features 0x[0-9a-f]+$/mu,
  );
  expect(stdout).toMatch(/^ok +io_uring opcodes: \d+, all but /mu);
  expect(stdout).toContain(`mount ${mnt}: dead, its server is gone\n        clean it up: rawfuse unmount ${mnt}\n`);
});

kernelTest('mount makes the directory, serves it, and Ctrl-C takes both away', async () => {
  const { mnt } = place();
  const server = await mounting(mnt);
  expect(server.output.stdout).toBe(`mounted an in-memory filesystem at ${mnt}; Ctrl-C unmounts\n`);
  expect(await sh('echo hello > a; cat a', mnt)).toBe('hello\n');
  server.child.kill('SIGINT');
  expect(await server.ended).toMatchObject({ status: 0, stderr: '' });
  expect(mountAt(mnt)).toBeUndefined();
  expect(existsSync(mnt)).toBe(false);
});

for (const signal of ['SIGTERM', 'SIGHUP'] as const)
  kernelTest(`${signal} unmounts, and a directory that was there stays`, async () => {
    const { mnt } = place();
    mkdirSync(mnt);
    const server = await mounting(mnt);
    server.child.kill(signal);
    expect(await server.ended).toMatchObject({ status: 0, stderr: '' });
    expect(mountAt(mnt)).toBeUndefined();
    expect(existsSync(mnt)).toBe(true);
  });

kernelTest('Ctrl-C with files open detaches, says so, and serves until they are closed', async () => {
  const { mnt } = place();
  const server = await mounting(mnt);
  const go = await holding(mnt);
  server.child.kill('SIGINT');
  await until(() => mountAt(mnt) === undefined, 'the mount to be detached');
  expect(server.child.exitCode).toBeNull();
  expect(await go()).toBe('later\n');
  const { status, stderr } = await server.ended;
  expect(status).toBe(0);
  expect(stderr).toBe(
    `rawfuse: files are open in ${mnt}: detached it, and serving them until they are closed; Ctrl-C again ends at once\n`,
  );
  expect(existsSync(mnt)).toBe(false);
});

kernelTest('a second Ctrl-C ends at once', async () => {
  const { mnt } = place();
  const server = await mounting(mnt);
  const go = await holding(mnt);
  server.child.kill('SIGINT');
  await until(() => mountAt(mnt) === undefined && server.output.stderr !== '', 'the mount to be detached');
  // One that comes at once with the first is its echo: an impatient user goes on.
  await until(() => !server.child.kill('SIGINT') || server.child.exitCode !== null, 'the end');
  const { status, stderr } = await server.ended;
  expect(status).toBe(1);
  expect(stderr).toMatch(/\nrawfuse: ended at once: what was open has failed\n$/u);
  expect(await go()).toBe('failed\n');
});

const outside: [string, (mnt: string) => Promise<unknown>][] = [
  ['umount', (mnt) => run('umount', [mnt])],
  ['umount -l', (mnt) => run('umount', ['-l', mnt])],
  ['umount -f', (mnt) => run('umount', ['-f', mnt])],
  ['fusermount3 -u', (mnt) => run('fusermount3', ['-u', mnt])],
  [
    'rawfuse unmount',
    async (mnt) => expect(await rawfuse('unmount', mnt)).toMatchObject({ status: 0, stdout: `unmounted ${mnt}\n` }),
  ],
];
for (const [name, unmount] of outside)
  kernelTest(`unmounted by ${name}, the command ends with status 0`, async () => {
    const { mnt } = place();
    const server = await mounting(mnt);
    await sh('echo x > f', mnt);
    await unmount(mnt);
    expect(await server.ended).toMatchObject({ status: 0, stderr: '' });
    expect(mountAt(mnt)).toBeUndefined();
  });

describe('a union', () => {
  const tmpfs = (at: string) => run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'rawfuse-test', at]);

  kernelTest(
    'waits for its branches to be mounted, on threads too, and refuses where they are not if told to',
    async () => {
      const { parent, mnt } = place();
      const branch = join(parent, 'branch');
      for (const each of [branch, mnt]) mkdirSync(each);
      const options = (seconds: number) =>
        `branches-mount-timeout=${seconds},branches-mount-timeout-fail,minfreespace=0`;
      expect(await rawfuse('mount', 'union', branch, mnt, '-o', options(0))).toMatchObject({
        status: 1,
        stderr: `rawfuse: nothing is mounted at ${branch}: it is the filesystem of ${mnt}\n`,
      });
      const server = mountingWhat(['union', branch], mnt, '-o', options(20), '--threads', '2');
      await tmpfs(branch);
      try {
        const { child, ended } = await server;
        expect(await sh('echo text > f; cat f', mnt)).toBe('text\n');
        expect(readFileSync(join(branch, 'f'), 'utf8')).toBe('text\n');
        child.kill('SIGINT');
        expect(await ended).toMatchObject({ status: 0, stderr: '' });
      } finally {
        await run('umount', ['--lazy', branch]);
      }
    },
  );

  kernelTest(
    'lazy-umount-mountpoint takes away what is mounted there, fuse_msg_size is what the mount agrees to',
    async () => {
      const { parent, mnt } = place();
      const branch = join(parent, 'branch');
      for (const each of [branch, mnt]) mkdirSync(each);
      await tmpfs(mnt);
      const options = 'lazy_umount_mountpoint,fuse_msg_size=2,posix-acl=false,use_ino,big_writes,async-read=true';
      const { child, ended } = await mountingWhat(['union', branch], mnt, '-o', options, '--trace');
      child.kill('SIGINT');
      const { stdout } = await ended;
      expect(/ max_write=(\d+)/u.exec(stdout)?.[1]).toBe('8192');
      expect(mountAt(mnt), 'the tmpfs below').toBeUndefined();
    },
  );
});

kernelTest('aborted through fusectl it ends with status 1, says so, and leaves no dead mount', async () => {
  const { mnt } = place();
  const server = await mounting(mnt);
  await run('sh', ['-c', `echo 1 > ${connectionDirectory(mountAt(mnt)!)}/abort`]);
  const { status, stderr } = await server.ended;
  expect(status).toBe(1);
  expect(stderr).toMatch(/^rawfuse: the connection was aborted from outside.*\n$/u);
  expect(mountAt(mnt)).toBeUndefined();
});

kernelTest('an error that nobody expected is one line, and leaves no mount', async () => {
  const surprise = `process.on('SIGUSR2', () => { throw new TypeError('surprise') })`;
  for (const debug of [false, true]) {
    const { mnt } = place();
    const args = ['--import', `data:text/javascript,${surprise}`, cli, 'mount', 'memory', mnt];
    const { child, output, ended } = going(process.execPath, [...args, ...(debug ? ['--debug'] : [])]);
    await until(() => output.stdout !== '', 'the mount');
    child.kill('SIGUSR2');
    const { status, stderr } = await ended;
    expect(status).toBe(1);
    const [line, ...more] = stderr.trimEnd().split('\n');
    expect(line).toBe('rawfuse: unexpected TypeError: surprise; --debug shows where');
    expect(more.some((each) => /^ {4}at /u.test(each))).toBe(debug);
    expect(mountAt(mnt)).toBeUndefined();
    expect(existsSync(mnt)).toBe(false);
  }
});

kernelTest('rawfuse unmount refuses a busy mount, and --lazy detaches it', async () => {
  const { mnt } = place();
  const server = await mounting(mnt);
  const go = await holding(mnt);
  expect(await rawfuse('unmount', mnt)).toMatchObject({
    status: 1,
    stderr: `rawfuse: ${mnt} is busy, files are open in it: close them, or use --lazy\n`,
  });
  expect(await rawfuse('unmount', '--lazy', mnt)).toMatchObject({ status: 0, stdout: `unmounted ${mnt}\n` });
  expect(await go()).toBe('later\n');
  expect(await server.ended).toMatchObject({ status: 0 });
});

/** A mount whose server was killed, with a client that still holds a file open. */
async function dead(mnt: string) {
  // The kernel's caches must not make it look alive.
  const server = await mounting(mnt, '-o', 'entry_timeout=60,attr_timeout=60');
  const go = await holding(mnt);
  server.child.kill('SIGKILL');
  await server.ended;
  await expect(sh('ls', mnt)).rejects.toThrow(/not connected/);
  expect(mountAt(mnt)).toBeDefined();
  return go;
}

kernelTest('after kill -9 rawfuse unmount cleans up', async () => {
  const { mnt } = place();
  const go = await dead(mnt);
  expect(await rawfuse('unmount', mnt)).toEqual({
    status: 0,
    stdout: `cleaned up the dead mount at ${mnt}\n`,
    stderr: '',
  });
  expect(mountAt(mnt)).toBeUndefined();
  expect(await go()).toBe('failed\n');
});

kernelTest('after kill -9 mount at the same place cleans up first, and says so', async () => {
  const { mnt } = place();
  await dead(mnt);
  const server = await mounting(mnt);
  expect(server.output.stdout).toBe(
    `cleaned up the dead mount at ${mnt}: its server was gone\nmounted an in-memory filesystem at ${mnt}; Ctrl-C unmounts\n`,
  );
  expect(await sh('ls -A', mnt)).toBe('');
  server.child.kill('SIGINT');
  expect(await server.ended).toMatchObject({ status: 0 });
  expect(mountAt(mnt)).toBeUndefined();
});

kernelTest('a server that hangs keeps neither doctor, mount nor unmount waiting', async () => {
  const { mnt } = place();
  const server = await mounting(mnt);
  server.child.kill('SIGSTOP');
  const [doctor, mount] = await Promise.all([rawfuse('doctor'), rawfuse('mount', 'memory', mnt)]);
  expect(doctor.stdout).toContain(`mount ${mnt}: its server does not answer\n        detach it: `);
  expect(mount).toEqual({
    status: 1,
    stdout: '',
    stderr: `rawfuse: the server of the mount at ${mnt} does not answer: rawfuse unmount --lazy ${mnt} detaches it\n`,
  });
  expect(await rawfuse('unmount', '--lazy', mnt)).toMatchObject({ status: 0, stdout: `unmounted ${mnt}\n` });
  server.child.kill('SIGCONT');
  expect(await server.ended).toMatchObject({ status: 0 });
});

kernelTest('-o options are what /proc/mounts shows, the later of two', async () => {
  const { mnt } = place();
  const options = 'fsname=a\\,b,subtype=sub,noexec,noatime,ro,max_read=65536';
  const server = await mounting(mnt, '-o', options, '-o', 'rw,allow_other,default_permissions,x-comment', '-s');
  const line = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .find((each) => each.includes(` ${mnt} `))!;
  const [source, , type, flags] = line.split(' ');
  expect([source, type]).toEqual(['a,b', 'fuse.sub']);
  expect(flags!.split(',')).toEqual(
    expect.arrayContaining([
      'rw',
      'nosuid',
      'nodev',
      'noexec',
      'noatime',
      'allow_other',
      'default_permissions',
      'max_read=65536',
    ]),
  );
  server.child.kill('SIGINT');
  expect(await server.ended).toMatchObject({ status: 0 });
});

kernelTest('/dev/fd/N says so when nothing is mounted over it', async () => {
  const script = '"$0" "$1" mount memory /dev/fd/9 9<> /dev/fuse';
  expect(await end('bash', ['-c', script, process.execPath, cli])).toEqual({
    status: 1,
    stdout: '',
    stderr: 'rawfuse: nothing is mounted over descriptor 9: mount(2) comes first, with fd=9\n',
  });
});

for (const threads of [[], ['--threads', '1']])
  kernelTest(`/dev/fd/N serves over a descriptor that another program has mounted ${threads.join(' ')}`, async () => {
    const { mnt } = place();
    mkdirSync(mnt);
    const fd = openSync('/dev/fuse', 'r+');
    sysMount('helper', mnt, 'fuse.helper', 0, `fd=${fd},rootmode=40000,user_id=0,group_id=0`);
    const child = spawn(process.execPath, [cli, 'mount', 'memory', '/dev/fd/5', ...threads], {
      stdio: ['ignore', 'pipe', 'pipe', 'ignore', 'ignore', fd],
    });
    children.push(child);
    closeSync(fd);
    let said = '';
    child.stdout!.on('data', (text) => (said += text));
    const ended = new Promise((done) => child.once('close', done));
    await until(() => said !== '', 'the server');
    expect(said).toBe('serving an in-memory filesystem over descriptor 5; Ctrl-C ends it\n');
    expect(await sh('echo x > f; cat f', mnt)).toBe('x\n');
    await run('umount', [mnt]);
    expect(await ended).toBe(0);
  });

for (const flag of ['--trace', '-d'])
  kernelTest(`${flag} prints a line for each request`, async () => {
    const { mnt } = place();
    const server = await mounting(mnt, flag);
    await sh('! test -e a.txt', mnt);
    server.child.kill('SIGINT');
    const { status, stdout } = await server.ended;
    expect(status).toBe(0);
    expect(stdout).toMatch(/^agreed with FUSE 7\.\d+: .*MAX_PAGES/mu);
    expect(stdout).toMatch(/^LOOKUP unique=\d+ parent=1 "a\.txt" -> ENOENT \d+ µs$/mu);
    expect(stdout).toMatch(/^end: unmounted$/mu);
  });

kernelTest('--trace=json prints JSON lines and nothing else on stdout', async () => {
  const { mnt } = place();
  const server = await mounting(mnt, '--trace=json');
  await sh('! test -e a.txt', mnt);
  server.child.kill('SIGINT');
  const { status, stdout, stderr } = await server.ended;
  expect(status).toBe(0);
  expect(stderr).toBe(`mounted an in-memory filesystem at ${mnt}; Ctrl-C unmounts\n`);
  const events = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { kind: string; operation?: string });
  expect(events.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['agreed', 'request', 'reply', 'end']));
  expect(events.find(({ operation }) => operation === 'LOOKUP')).toMatchObject({
    args: { name: 'a.txt' },
    nodeid: '1',
  });
});

for (const transport of ['device', 'uring'])
  kernelTest(`--transport ${transport} serves over that, and the trace says so`, async () => {
    const { mnt } = place();
    const server = await mounting(mnt, '--trace=json', '--transport', transport);
    expect(await sh('mkdir d; echo x > d/f; cat d/f', mnt)).toBe('x\n');
    server.child.kill('SIGINT');
    const { status, stdout } = await server.ended;
    expect(status).toBe(0);
    const agreed = stdout.split('\n').find((line) => line.includes('"agreed"'));
    expect(JSON.parse(agreed!)).toMatchObject({ kind: 'agreed', transport });
  });

for (const sources of [false, true])
  kernelTest(
    `--background returns when the mount answers, and its server goes on alone${sources ? ', from the sources too' : ''}`,
    async () => {
      const { mnt } = place();
      const args = ['mount', 'memory', mnt, '--background', '-o', 'fsname=back'];
      const { status, stdout, stderr } = sources ? await rawfuseFromSources(...args) : await rawfuse(...args);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      const [, pid] = /^mounted an in-memory filesystem at \S+; process (\d+) serves it\n$/u.exec(stdout) ?? [];
      expect(pid, stdout).toBeDefined();
      expect(await sh('echo x > f; cat f', mnt)).toBe('x\n');
      expect(mountAt(mnt)!.source).toBe('back');
      // A session of its own, no terminal, and no directory that it holds busy.
      expect((await run('ps', ['-o', 'sid=,tty=', '-p', pid!])).trim().split(/\s+/u)).toEqual([pid, '?']);
      expect(
        await run('readlink', [`/proc/${pid}/fd/0`, `/proc/${pid}/fd/1`, `/proc/${pid}/fd/2`, `/proc/${pid}/cwd`]),
      ).toBe('/dev/null\n/dev/null\n/dev/null\n/\n');
      expect(await rawfuse('unmount', mnt)).toMatchObject({ status: 0 });
      await until(() => !existsSync(`/proc/${pid}`), 'the server to end');
      expect(existsSync(mnt)).toBe(false);
    },
  );

kernelTest('-o size, nr_inodes and atime are the filesystem’s, in the background too', async () => {
  const { mnt } = place();
  const options = 'size=1m,fsname=small,nr_inodes=10,atime=none';
  expect((await rawfuse('mount', 'memory', mnt, '--background', '-o', options)).status).toBe(0);
  expect(
    await sh(
      'df --output=source,size,itotal .; echo x > f; stat -c %X f > before; cat f; stat -c %X f | cmp - before',
      mnt,
    ),
  ).toMatch(/small +1024 +10\nx\n$/u);
  await expect(sh('head -c 2M /dev/zero > f', mnt)).rejects.toThrow(/No space left/u);
  expect((await rawfuse('unmount', mnt)).status).toBe(0);
});

for (const threads of [[], ['--threads', 'cpus']])
  kernelTest(`mount passthrough serves a directory, in the background too ${threads.join(' ')}`, async () => {
    const { parent, mnt } = place();
    await sh('mkdir source; echo below > source/file', parent);
    const args = ['mount', 'passthrough', join(parent, 'source'), mnt, ...threads, '--background', '-o'];
    const { status, stdout, stderr } = await rawfuse(...args, 'fsname=lower,inode_handles=descriptors,xdev');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^mounted a directory at /u);
    expect(mountAt(mnt)!.source).toBe('lower');
    expect(await sh('cat file; echo above > made; mkdir d; mv made d', mnt)).toBe('below\n');
    expect(await sh('cat source/d/made', parent)).toBe('above\n');
    expect(await rawfuse('unmount', mnt)).toMatchObject({ status: 0 });
  });

test('mount passthrough says in one line why a directory can’t be served', async () => {
  const { parent, mnt } = place();
  const { status, stderr } = await rawfuse('mount', 'passthrough', join(parent, 'absent'), mnt);
  expect(stderr).toMatch(/^rawfuse: can't serve \S+\/absent: open: no such file or directory\n$/u);
  expect(status).toBe(1);
  expect(existsSync(mnt)).toBe(false);
});

kernelTest('--background tells why there is no mount, with the child’s status', async () => {
  const { mnt } = place();
  expect(await rawfuse('mount', 'memory', join(mnt, 'a'), '--background')).toEqual({
    status: 1,
    stdout: '',
    stderr: `rawfuse: no such directory: ${mnt}/a, nor the one it would be in\n`,
  });
  await dead(mnt);
  expect((await rawfuse('mount', 'memory', mnt, '--background')).stdout).toMatch(
    /^cleaned up the dead mount at .*\nmounted /u,
  );
  expect(await rawfuse('unmount', mnt)).toMatchObject({ status: 0 });
});
