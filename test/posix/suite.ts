/**
 * What Linux does, as a table of cases: each gets an empty directory and gives a value. A case is run on a
 * native filesystem first, so that what is expected of ours is not what somebody believed but what the
 * kernel did. So a value holds what POSIX or Linux promises alone: no inode numbers, no times of day.
 *
 * The calls are made by child processes, as for every mount that the tests' own thread serves.
 */
import { PYTHON } from '../interpreter.ts';
import { client, run, sh } from '../support.ts';

export type PosixCase = (dir: string) => Promise<unknown>;

/**
 * An array of results, of calls made one after another by one Node process: each line is an expression; its
 * value, or the code of the error it throws. `p` makes a path; undefined counts as 'ok'.
 */
const calls = (dir: string, ...lines: string[]): Promise<unknown[]> =>
  client(
    dir,
    `const p = (...names) => join(dir, ...names), { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_DIRECTORY, O_NOFOLLOW } = fs.constants;
     const write = (name, text) => fs.writeFileSync(p(name), text), read = (name) => fs.readFileSync(p(name), 'latin1'), ls = (...names) => fs.readdirSync(p(...names)).sort();
     const names = (...them) => them.map((name) => { try { return fs.lstatSync(p(name)).nlink; } catch (error) { return error.code; } });
     const shared = {}, results = [];
     for (const f of [${lines.map((line) => `() => (${line})`).join()}])
       try { results.push(f() ?? 'ok'); } catch (error) { if (!error.code) throw error; results.push(error.code); }
     return results;`,
  );

/** What a Python script prints: for calls that Node has not. `p(name)` makes a path, `t(f, ...)` tells the errno's name. */
const python = (dir: string, script: string): Promise<string> =>
  run(PYTHON, [
    '-c',
    `import ctypes, errno, mmap, os, sys\nlibc = ctypes.CDLL(None, use_errno=True)\np = lambda name: os.path.join(sys.argv[1], name)\ndef t(f, *a):\n  try:\n    return f(*a)\n  except OSError as e:\n    return errno.errorcode[e.errno]\ndef renameat2(a, b, flags):\n  if libc.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), flags) < 0: raise OSError(ctypes.get_errno(), '')\n  return 'ok'\n${script}`,
    dir,
  ]);

export const posix: Readonly<Record<string, PosixCase>> = {
  'open: what is not there, what is there, what is something else': (dir) =>
    calls(
      dir,
      "fs.openSync(p('absent'), O_RDONLY)",
      "fs.closeSync(fs.openSync(p('file'), O_CREAT | O_EXCL | O_RDWR))",
      "fs.openSync(p('file'), O_CREAT | O_EXCL | O_RDWR)",
      "fs.openSync(p('file'), O_RDONLY | O_DIRECTORY)",
      "fs.openSync(p('file', 'below'), O_RDONLY)",
      "fs.mkdirSync(p('dir'))",
      "fs.openSync(p('dir'), O_WRONLY)",
      "fs.openSync(p('dir'), O_CREAT | O_RDWR)",
      "fs.symlinkSync('file', p('link'))",
      "fs.openSync(p('link'), O_RDONLY | O_NOFOLLOW)",
      "fs.openSync(p('absent', 'x'), O_CREAT | O_RDWR)",
    ),
  'open: O_TRUNC empties, O_APPEND writes at the end wherever the file grew to': (dir) =>
    calls(
      dir,
      "write('file', 'something')",
      "fs.closeSync(fs.openSync(p('file'), O_WRONLY | O_TRUNC))",
      "fs.statSync(p('file')).size",
      "shared.a = fs.openSync(p('file'), O_WRONLY | O_APPEND), shared.b = fs.openSync(p('file'), O_WRONLY | O_APPEND), 0",
      "fs.writeSync(shared.a, 'one')",
      "fs.writeSync(shared.b, 'two')",
      "fs.writeSync(shared.a, 'three')",
      "read('file')",
    ),
  'open: the access mode binds reads and writes': (dir) =>
    calls(
      dir,
      "write('file', 'text')",
      "fs.readSync(fs.openSync(p('file'), O_WRONLY), Buffer.alloc(4))",
      "fs.writeSync(fs.openSync(p('file'), O_RDONLY), 'x')",
      "fs.ftruncateSync(fs.openSync(p('file'), O_RDONLY), 1)",
      "read('file')",
    ),
  'modes: the umask takes away, chmod sets, the type stays': (dir) =>
    calls(
      dir,
      'process.umask(0o027), 0',
      "fs.closeSync(fs.openSync(p('file'), O_CREAT | O_WRONLY, 0o666))",
      "fs.mkdirSync(p('dir'), 0o777)",
      "fs.statSync(p('file')).mode",
      "fs.statSync(p('dir')).mode",
      "fs.chmodSync(p('file'), 0o4751), fs.statSync(p('file')).mode",
      "fs.chmodSync(p('dir'), 0o1700), fs.statSync(p('dir')).mode",
      "fs.chmodSync(p('absent'), 0o600)",
    ),
  'chown changes owner and group, -1 leaves them': (dir) =>
    calls(
      dir,
      "write('file', '')",
      "fs.chownSync(p('file'), 12, 34)",
      "[fs.statSync(p('file')).uid, fs.statSync(p('file')).gid]",
      "fs.chownSync(p('file'), -1, 56)",
      "[fs.statSync(p('file')).uid, fs.statSync(p('file')).gid]",
    ),
  'names: 255 bytes are a name, 256 are not': (dir) =>
    calls(
      dir,
      "write('x'.repeat(255), 'long')",
      "read('x'.repeat(255))",
      "write('x'.repeat(256), 'longer')",
      "fs.mkdirSync(p('y'.repeat(256)))",
      "fs.lstatSync(p('z'.repeat(256)))",
      'ls().map((name) => name.length)',
    ),
  'names: any bytes but / and NUL': (dir) =>
    sh(
      `for n in $'\\xff' $'a\\xffb\\xfe' $'\\xed\\xb2\\x80' $'tab\\there' $'new\\nline' 'ü' 'u\u0308' '日本語' '🦔' '*' ' '; do echo "$n" > "./$n"; done
       ls -A | LC_ALL=C sort | od -An -c; for f in * ' '; do stat -c %s "$f"; done; rm -- * ; ls -A`,
      dir,
    ),
  'mkdir and rmdir: errors, and the links of the parent': (dir) =>
    calls(
      dir,
      "fs.mkdirSync(p('dir'))",
      "fs.mkdirSync(p('dir'))",
      "fs.mkdirSync(p('absent', 'dir'))",
      "fs.mkdirSync(p('dir', 'inner'))",
      "names('dir', 'dir/inner')",
      "fs.rmdirSync(p('dir'))",
      "fs.rmdirSync(p('dir', 'inner', '.'))",
      "fs.rmdirSync(p('dir') + '/inner/..')",
      "fs.rmdirSync(p('dir', 'inner'))",
      "names('dir', 'dir/inner')",
      "write('file', '')",
      "fs.rmdirSync(p('file'))",
      "fs.unlinkSync(p('dir'))",
      "fs.rmdirSync(p('dir'))",
      "fs.rmdirSync(p('dir'))",
      'ls()',
    ),
  'a directory that is gone but somebody is in it': (dir) =>
    sh(
      'mkdir d; cd d; rmdir ../d; ls -A; touch file 2>&1 | sed "s/.*: //"; mkdir x 2>&1 | sed "s/.*: //"; stat -c %h .',
      dir,
    ),
  'rename: over a file, whose open descriptor goes on': (dir) =>
    calls(
      dir,
      "write('a', 'a'), write('b', 'b')",
      "shared.b = fs.openSync(p('b'), O_RDWR), 0",
      "fs.renameSync(p('a'), p('b'))",
      "read('b')",
      "fs.readFileSync(shared.b, 'latin1')",
      'fs.fstatSync(shared.b).nlink',
      'ls()',
    ),
  'rename: files and directories onto each other': (dir) =>
    calls(
      dir,
      "write('file', ''), fs.mkdirSync(p('dir')), fs.mkdirSync(p('empty')), fs.mkdirSync(p('full')), write('full/x', '')",
      "fs.renameSync(p('file'), p('dir'))",
      "fs.renameSync(p('dir'), p('file'))",
      "fs.renameSync(p('dir'), p('full'))",
      "fs.renameSync(p('full'), p('empty'))",
      "ls('empty')",
      "fs.renameSync(p('absent'), p('file'))",
      "fs.renameSync(p('file'), p('absent', 'file'))",
      "fs.renameSync(p('file'), p('x'.repeat(256)))",
      "fs.renameSync(p('file'), p('file'))",
      'ls()',
    ),
  'rename: a directory into itself, or over what it is in': (dir) =>
    calls(
      dir,
      "fs.mkdirSync(p('a')), fs.mkdirSync(p('a/b')), fs.mkdirSync(p('a/b/c'))",
      "fs.renameSync(p('a'), p('a/x'))",
      "fs.renameSync(p('a'), p('a/b/c'))",
      "fs.renameSync(p('a/b/c'), p('a'))",
      "fs.renameSync(p('a/b'), p('a'))",
      "ls('a')",
    ),
  'rename: a directory moves with its contents, its parents count it': (dir) =>
    calls(
      dir,
      "fs.mkdirSync(p('from')), fs.mkdirSync(p('to')), fs.mkdirSync(p('from/dir')), write('from/dir/file', 'text')",
      "names('from', 'to')",
      "fs.renameSync(p('from/dir'), p('to/moved'))",
      "names('from', 'to', 'to/moved')",
      "read('to/moved/file')",
      "fs.statSync(p('to/moved/..')).ino === fs.statSync(p('to')).ino",
      "ls('from')",
    ),
  'rename: two names of one file, onto each other, stay both': (dir) =>
    calls(
      dir,
      "write('a', 'text'), fs.linkSync(p('a'), p('b'))",
      "fs.renameSync(p('a'), p('b'))",
      "names('a', 'b')",
      'ls()',
    ),
  'renameat2: RENAME_NOREPLACE, and flags that nobody knows': (dir) =>
    python(
      dir,
      `open(p('a'), 'w').close(); open(p('b'), 'w').close()
print(t(renameat2, p('a'), p('b'), 1), t(renameat2, p('a'), p('c'), 1), t(renameat2, p('c'), p('d'), 1 << 10), sorted(os.listdir(sys.argv[1])))`,
    ),
  'link: one file with two names': (dir) =>
    calls(
      dir,
      "write('a', 'text')",
      "fs.linkSync(p('a'), p('b'))",
      "names('a', 'b')",
      "fs.statSync(p('a')).ino === fs.statSync(p('b')).ino",
      "fs.appendFileSync(p('b'), ' more'), read('a')",
      "fs.unlinkSync(p('a'))",
      "names('a', 'b')",
      "read('b')",
    ),
  'link: what can have no second name': (dir) =>
    calls(
      dir,
      "fs.mkdirSync(p('dir')), write('a', ''), write('b', '')",
      "fs.linkSync(p('dir'), p('dir2'))",
      "fs.linkSync(p('a'), p('b'))",
      "fs.linkSync(p('absent'), p('c'))",
      "fs.linkSync(p('a'), p('dir', 'a')), ls('dir')",
    ),
  'link: a symbolic link itself': (dir) =>
    calls(
      dir,
      "fs.symlinkSync('nowhere', p('s'))",
      "fs.linkSync(p('s'), p('t'))",
      "fs.readlinkSync(p('t'))",
      "names('s', 't')",
    ),
  'symlink: target, size, dangling, loop, long': (dir) =>
    calls(
      dir,
      "fs.symlinkSync('some/where', p('link'))",
      "fs.readlinkSync(p('link'))",
      "fs.lstatSync(p('link')).size",
      "fs.lstatSync(p('link')).mode",
      "fs.statSync(p('link'))",
      "fs.symlinkSync('again', p('link'))",
      "fs.symlinkSync('b', p('a')), fs.symlinkSync('a', p('b'))",
      "fs.statSync(p('a'))",
      "write('file', 'x'), fs.readlinkSync(p('file'))",
      "fs.symlinkSync('x/'.repeat(2000), p('long')), fs.readlinkSync(p('long')).length",
      "fs.symlinkSync('', p('empty'))",
    ),
  'symlink: followed in the middle of a path, and at its end': (dir) =>
    calls(
      dir,
      "fs.mkdirSync(p('dir')), write('dir/file', 'text'), fs.symlinkSync('dir', p('way')), fs.symlinkSync('way/file', p('end'))",
      "read('way/file')",
      "read('end')",
      "write('end', 'new'), read('dir/file')",
      "fs.unlinkSync(p('end')), ls('dir')",
      "fs.rmdirSync(p('way'))",
    ),
  'truncate: what was cut off is zeros when the file grows again': (dir) =>
    calls(
      dir,
      "write('file', 'x'.repeat(10000))",
      "fs.truncateSync(p('file'), 10)",
      "read('file')",
      "fs.truncateSync(p('file'), 5000)",
      "read('file') === 'x'.repeat(10) + '\\0'.repeat(4990)",
      "fs.truncateSync(p('file'), 3), fs.writeSync(fs.openSync(p('file'), O_WRONLY), 'yy', 8), read('file')",
    ),
  'truncate: what has no size to change': (dir) =>
    calls(dir, "fs.mkdirSync(p('dir'))", "fs.truncateSync(p('dir'), 1)", "fs.truncateSync(p('absent'), 1)"),
  'a hole reads as zeros, and counts in the size': (dir) =>
    calls(
      dir,
      "shared.fd = fs.openSync(p('file'), O_CREAT | O_RDWR), 0",
      "fs.writeSync(shared.fd, 'end', 1000000)",
      'fs.fstatSync(shared.fd).size',
      "shared.b = Buffer.alloc(10, 'x'), fs.readSync(shared.fd, shared.b, 0, 10, 999995)",
      "shared.b.toString('hex')",
      'fs.readSync(shared.fd, shared.b, 0, 10, 1000003)',
      'fs.readSync(shared.fd, shared.b, 0, 10, 2 ** 40)',
    ),
  'an unlinked file lives until it is closed': (dir) =>
    calls(
      dir,
      "shared.fd = fs.openSync(p('file'), O_CREAT | O_RDWR), 0",
      "fs.writeSync(shared.fd, 'before ')",
      "fs.unlinkSync(p('file'))",
      "fs.writeSync(shared.fd, 'after')",
      'shared.b = Buffer.alloc(20), fs.readSync(shared.fd, shared.b, 0, 20, 0)',
      "shared.b.toString('latin1', 0, 12)",
      'fs.fstatSync(shared.fd).nlink',
      'fs.ftruncateSync(shared.fd, 3), fs.fstatSync(shared.fd).size',
      'fs.fchmodSync(shared.fd, 0o600), fs.fstatSync(shared.fd).mode',
      "write('file', 'other'), read('file')",
    ),
  'times: utimes keeps milliseconds, a write moves mtime, chmod only ctime': (dir) =>
    calls(
      dir,
      "write('file', 'x')",
      "fs.utimesSync(p('file'), 1000.125, 2000.25)",
      "[fs.statSync(p('file')).atimeMs, fs.statSync(p('file')).mtimeMs]",
      "fs.statSync(p('file')).ctimeMs > 1e12",
      "fs.chmodSync(p('file'), 0o600), fs.statSync(p('file')).mtimeMs",
      "fs.appendFileSync(p('file'), 'y'), fs.statSync(p('file')).mtimeMs > 1e12",
      "fs.utimesSync(p('file'), 1, 1), fs.truncateSync(p('file'), 1), fs.statSync(p('file')).mtimeMs > 1e12",
    ),
  'times: making and removing a name moves the mtime of its directory': (dir) =>
    calls(
      dir,
      "fs.mkdirSync(p('dir'))",
      ...["write('dir/a', '')", "fs.renameSync(p('dir/a'), p('dir/b'))", "fs.unlinkSync(p('dir/b'))"].map(
        (change) => `fs.utimesSync(p('dir'), 1, 1), ${change}, fs.statSync(p('dir')).mtimeMs > 1e12`,
      ),
      "fs.utimesSync(p('dir'), 1, 1), fs.chmodSync(p('dir'), 0o700), fs.statSync(p('dir')).mtimeMs",
    ),
  'readdir: every entry once, with its type, and . and ..': (dir) =>
    sh(
      'mkdir d; touch f; ln -s nowhere l; for i in {1..300}; do : > d/$i; done; find . | LC_ALL=C sort | md5sum; find . -type f | wc -l; find . -type d | wc -l; find . -type l; ls -a | tr "\\n" " "; ls -f d | wc -l',
      dir,
    ),
  'readdir: goes on after entries were removed meanwhile': (dir) =>
    python(
      dir,
      `for i in range(500): open(p('%03d' % i), 'w').close()
seen = []
with os.scandir(sys.argv[1]) as entries:
  for entry in entries:
    seen.append(entry.name); os.unlink(entry.path)
print(len(seen), len(set(seen)), os.listdir(sys.argv[1]))`,
    ),
  'mmap: what is written through a shared mapping is read, and a private one keeps to itself': (dir) =>
    python(
      dir,
      `fd = os.open(p('file'), os.O_RDWR | os.O_CREAT); os.ftruncate(fd, 10000)
m = mmap.mmap(fd, 10000); m[5000:5005] = b'hello'; m.flush(); m.close()
print(os.pread(fd, 7, 4999))
m = mmap.mmap(fd, 10000, mmap.MAP_PRIVATE); m[5000:5005] = b'other'; print(m[5000:5005], os.pread(fd, 5, 5000)); m.close()
m = mmap.mmap(fd, 10000); os.pwrite(fd, b'HELLO', 5000); print(m[5000:5005]); m.close(); os.close(fd)
print(open(p('file'), 'rb').read()[4999:5006], os.stat(p('file')).st_size)`,
    ),
  'seek: from the end, and before the start': (dir) =>
    python(
      dir,
      `fd = os.open(p('file'), os.O_RDWR | os.O_CREAT); os.write(fd, b'0123456789')
print(os.lseek(fd, -3, 2), os.read(fd, 10), os.lseek(fd, 0, 1), t(os.lseek, fd, -1, 0), os.lseek(fd, 5, 2), os.read(fd, 1), os.write(fd, b'x'), os.fstat(fd).st_size)`,
    ),
  'fsync of a file and of a directory; sync': (dir) =>
    python(
      dir,
      `fd = os.open(p('file'), os.O_RDWR | os.O_CREAT); os.write(fd, b'x'); print(os.fsync(fd), os.fdatasync(fd), os.fsync(os.open(sys.argv[1], os.O_RDONLY)))`,
    ),
  'statvfs: the longest name, and room': (dir) =>
    python(
      dir,
      `s = os.statvfs(sys.argv[1]); print(s.f_namemax, s.f_bavail > 1000, s.f_bfree <= s.f_blocks, s.f_files > 0)`,
    ),
  'blocks of a file: as many as its data needs': (dir) =>
    sh(
      'head -c 100000 /dev/zero | tr "\\0" x > f; sync f; : > e; stat -c "%s %b %B" e; test $(stat -c %b f) -ge 195',
      dir,
    ),
  'a deep path: 200 directories, by one path and by cd': (dir) =>
    sh(
      'p=$(printf "d/%.0s" {1..200}); mkdir -p $p; echo deep > $p/file; cat $p/file; find . | wc -l; cd $p; cat file; cd "$0"; rm -r d; ls -A',
      dir,
    ),
  'shell: append, here-document, redirection of both, test operators': (dir) =>
    sh(
      'echo a > f; echo b >> f; cat >> f <<< c; { echo d; echo e >&2; } >> f 2>&1; cat f; test -s f -a -f f -a -r f -a -w f; ! test -x f; chmod +x f; test -x f; test f -ef ./f; : > n; test f -nt nowhere; wc -c f',
      dir,
    ),
  'a file that two processes write by appending loses no line': (dir) =>
    sh(
      'for i in 1 2 3; do (for j in $(seq 100); do echo "$i $j" >> f; done) & done; wait; wc -l < f; sort -u f | wc -l',
      dir,
    ),
};
