/**
 * The POSIX table: how every call that takes a path walks it. The errors of the walk are the same for all calls
 * (path_resolution(7)), so the rows are a product: each call with each way in which a path can be bad. A row ends
 * with the call on a good name, so that no error is seen that comes from a call which never works.
 */
import type { Table } from './table.ts';
import { py } from './words.ts';

/**
 * Mounts that are the process's own, and go with it: nobody else sees them. `other(dir)` mounts another filesystem (a
 * tmpfs) at a directory, `bind(name, at)` one file over another; with `read_only()` the row's own cannot be written.
 */
export const MOUNTS = py`
  MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE, CLONE_NEWNS = 1, 32, 4096, 16384, 1 << 18, 0x20000
  def mount(source, target, kind, flags):
      call('mount', source, target, kind, flags, 0)
  def own_mounts():
      call('unshare', CLONE_NEWNS)
      mount('none', '/', 0, MS_REC | MS_PRIVATE)
  def other(directory):
      own_mounts()
      mount('none', directory, 'tmpfs', 0)
  def bind(source, target):
      own_mounts()
      mount(source, target, 0, MS_BIND)
  def read_only():
      here = os.getcwd()
      bind(here, here)
      mount('none', here, 0, MS_BIND | MS_REMOUNT | MS_RDONLY)
      os.chdir(here)`;

/** What the paths lead to: a file, an empty directory, one closed to all but root, a symlink to the file and a loop. */
const FIXTURE = py`
  write('file', 'text')
  os.mkdir('dir')
  os.mkdir('closed', 0o700)
  os.symlink('file', 'link')
  os.symlink('loop', 'loop')
  os.chmod('file', 0o666)
  buffer = ctypes.create_string_buffer(4096)
  def tried(*path):
      value = t(f, *path)
      return value if isinstance(value, str) else 'ok'`;

interface Call {
  /** The call on the path `n` (below the directory `at`), through libc: it takes addresses that are none, too. */
  readonly call: string;
  /** A name that it works on. */
  readonly on: 'file' | 'dir' | 'link' | 'absent';
  /** Needs a filesystem that can be written. */
  readonly writes?: true;
}

// biome-ignore format: a table, one call a line
const calls: Readonly<Record<string, Call>> = {
  'open O_RDONLY': { call: `call('open', n, O_RDONLY)`, on: 'file' },
  'open O_WRONLY': { call: `call('open', n, O_WRONLY)`, on: 'file', writes: true },
  'open O_CREAT': { call: `call('open', n, O_RDWR | O_CREAT, 0o644)`, on: 'absent', writes: true },
  'open O_TRUNC': { call: `call('open', n, O_RDONLY | O_TRUNC)`, on: 'file', writes: true },
  'open O_TMPFILE': { call: `call('open', n, O_RDWR | O_TMPFILE, 0o644)`, on: 'dir', writes: true },
  'open O_PATH': { call: `call('open', n, O_PATH)`, on: 'file' },
  creat: { call: `call('creat', n, 0o644)`, on: 'absent', writes: true },
  mkdir: { call: `call('mkdir', n, 0o755)`, on: 'absent', writes: true },
  rmdir: { call: `call('rmdir', n)`, on: 'dir', writes: true },
  unlink: { call: `call('unlink', n)`, on: 'file', writes: true },
  'link, the old name': { call: `call('link', n, 'new')`, on: 'file', writes: true },
  'link, the new name': { call: `call('link', 'file', n)`, on: 'absent', writes: true },
  'rename, the old name': { call: `call('rename', n, 'new')`, on: 'file', writes: true },
  'rename, the new name': { call: `call('rename', 'file', n)`, on: 'absent', writes: true },
  'renameat2 EXCHANGE': { call: `renameat2('dir', n, RENAME_EXCHANGE)`, on: 'file', writes: true },
  symlink: { call: `call('symlink', 'target', n)`, on: 'absent', writes: true },
  readlink: { call: `call('readlink', n, buffer, 4096)`, on: 'link' },
  mknod: { call: `call('mknod', n, stat.S_IFREG | 0o644, 0)`, on: 'absent', writes: true },
  mkfifo: { call: `call('mkfifo', n, 0o644)`, on: 'absent', writes: true },
  stat: { call: `call('stat', n, buffer)`, on: 'file' },
  lstat: { call: `call('lstat', n, buffer)`, on: 'link' },
  statx: { call: `call('statx', AT_FDCWD, n, 0, 0x7FF, buffer)`, on: 'file' },
  statfs: { call: `call('statfs', n, buffer)`, on: 'file' },
  access: { call: `call('access', n, os.F_OK)`, on: 'file' },
  'access W_OK': { call: `call('access', n, os.W_OK)`, on: 'file', writes: true },
  chdir: { call: `call('chdir', n)`, on: 'dir' },
  truncate: { call: `call('truncate', n, 1)`, on: 'file', writes: true },
  chmod: { call: `call('chmod', n, 0o600)`, on: 'file', writes: true },
  chown: { call: `call('chown', n, 0, 0)`, on: 'file', writes: true },
  lchown: { call: `call('lchown', n, 0, 0)`, on: 'link', writes: true },
  utimensat: { call: `call('utimensat', AT_FDCWD, n, 0, 0)`, on: 'file', writes: true },
  listxattr: { call: `call('listxattr', n, buffer, 4096)`, on: 'file' },
  setxattr: { call: `call('setxattr', n, 'trusted.a', 'value', 5, 0)`, on: 'file', writes: true },
};

/** The bad paths; `tried(path)` is the call on a path. */
// biome-ignore format: a table, one kind of path a line
const failures: Readonly<Record<string, string>> = {
  'a path through what is not there is ENOENT': `out(tried('absent/x'), tried('dir/absent/x'))`,
  'an empty path is ENOENT': `out(tried(''))`,
  'a path through a file is ENOTDIR': `out(tried('file/x'), tried('link/x'), tried('file/../x'))`,
  'a path through a symlink to itself is ELOOP': `out(tried('loop/x'))`,
  'a name of 256 bytes is ENAMETOOLONG': `out(tried('n' * 256), tried('dir/' + 'é' * 128), tried('n' * 256 + '/x'))`,
  'a path of 4,096 bytes is ENAMETOOLONG': `out(tried('./' * 2047 + 'xy'), tried('./' * 2048 + 'x'))`,
  'a path through a directory that may not be searched is EACCES': `out(as_user(ALICE, lambda: tried('closed/x')))`,
  'an address that is none is EFAULT': 'out(tried(1))',
};

/** A row that says what bad paths give, that they changed nothing, and that the call works on a good one. */
const row = ({ call, on }: Call, failure: string): string => py`
  ${FIXTURE}
  f = lambda n: ${call}
  ${failure}
  out(ls(), tried('${on}'))`;

const readOnly = ({ on }: Call): string => py`
  ${MOUNTS}
  def unwritable():
      read_only()
      return [tried('${on}'), read('file')]
  out(spawn(unwritable)())`;

function* product(): Generator<[string, string]> {
  for (const [name, call] of Object.entries(calls)) {
    for (const [failure, script] of Object.entries(failures)) yield [`${name}: ${failure}`, row(call, script)];
    if (call.writes) yield [`${name}: on a filesystem mounted read-only is EROFS`, row(call, readOnly(call))];
  }
}

// biome-ignore format: a table, one call a line
const callsAt: Readonly<Record<string, Call>> = {
  openat: { call: `call('openat', at, n, O_RDONLY)`, on: 'file' },
  'openat O_CREAT': { call: `call('openat', at, n, O_RDWR | O_CREAT, 0o644)`, on: 'absent' },
  mkdirat: { call: `call('mkdirat', at, n, 0o755)`, on: 'absent' },
  mknodat: { call: `call('mknodat', at, n, stat.S_IFREG | 0o644, 0)`, on: 'absent' },
  mkfifoat: { call: `call('mkfifoat', at, n, 0o644)`, on: 'absent' },
  unlinkat: { call: `call('unlinkat', at, n, 0)`, on: 'file' },
  'unlinkat AT_REMOVEDIR': { call: `call('unlinkat', at, n, 0x200)`, on: 'dir' },
  'linkat, the old name': { call: `call('linkat', at, n, AT_FDCWD, 'new', 0)`, on: 'file' },
  'linkat, the new name': { call: `call('linkat', here, 'file', at, n, 0)`, on: 'absent' },
  'renameat, the old name': { call: `call('renameat', at, n, AT_FDCWD, 'new')`, on: 'file' },
  'renameat, the new name': { call: `call('renameat', here, 'file', at, n)`, on: 'absent' },
  symlinkat: { call: `call('symlinkat', 'target', at, n)`, on: 'absent' },
  readlinkat: { call: `call('readlinkat', at, n, buffer, 4096)`, on: 'link' },
  fstatat: { call: `call('fstatat', at, n, buffer, 0)`, on: 'file' },
  faccessat: { call: `call('faccessat', at, n, 0, 0)`, on: 'file' },
  fchmodat: { call: `call('fchmodat', at, n, 0o600, 0)`, on: 'file' },
  fchownat: { call: `call('fchownat', at, n, 0, 0, 0)`, on: 'file' },
};

const rowAt = ({ call, on }: Call): string => py`
  ${FIXTURE}
  f = lambda at, n: ${call}
  file, here, closed = os.open('file', O_RDONLY), os.open('.', O_PATH), os.open('closed', O_PATH)
  out(tried(-1, '${on}'), tried(999, '${on}'), tried(file, '${on}'))
  out(as_user(ALICE, lambda: tried(closed, '${on}')), ls())
  os.chdir('closed')
  out(tried(here, '${on}'), ls('..'))`;

export const rows: Table = {
  ...Object.fromEntries(product()),
  ...Object.fromEntries(
    Object.entries(callsAt).map(([name, call]) => [
      `${name}: beside no descriptor is EBADF, beside a file ENOTDIR, beside a closed directory EACCES`,
      rowAt(call),
    ]),
  ),
};
