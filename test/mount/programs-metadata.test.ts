/**
 * Programs that carry files with all that is known about them: tar, cp, rsync, setfacl. What they take in
 * must come out: from an ext4 of our own (a loop mount, so that it does not matter what the machine's temporary
 * directory can do) to the mount and back, and compared is all that a program can ask for.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { MemoryFs } from '../../src/fs/index.ts';
import { kernelTest, mounted, run, sh, temporary } from '../support.ts';
import { python } from './python.ts';

/** Several hundred small processes, where others work too: they need their time. In ms. */
const TIMEOUT = 60_000;
const WATCHDOG = 55_000;
/** As a disk is mounted: for all users, with devices and setuid programs. */
const LIKE_A_DISK = { allowOther: true, dev: true, suid: true };

/** An ext4 of 64 MiB for a test, with inodes that have room for nanoseconds. */
async function ext4(): Promise<AsyncDisposable & { readonly dir: string }> {
  const base = temporary('rawfuse-ext4-');
  const dir = join(base, 'mnt');
  await sh(
    `truncate -s 64M image; mkfs.ext4 -q -b 4096 -I 256 image; mkdir mnt; mount -o loop,user_xattr,acl image mnt
     rmdir mnt/lost+found; chmod 755 mnt`,
    base,
  );
  return {
    dir,
    async [Symbol.asyncDispose]() {
      await run('umount', ['-l', dir]);
      rmSync(base, { recursive: true });
    },
  };
}

/** A directory `tree` that has something of everything, and is not written to afterwards. */
const MAKE_TREE = `
umask 022; mkdir -p tree/plain tree/deep/a/b/c tree/empty tree/acl/inner tree/many; cd tree
for i in {1..40}; do head -c $((i * i * 11)) /dev/urandom > many/file$i; done
: > plain/zero; echo text > plain/text; head -c 300000 /dev/urandom > plain/large
for mode in 0 4755 2755 6711 1644 400 777; do echo $mode > plain/mode$mode; done
mkdir plain/setgid plain/sticky
ln plain/text deep/a/b/hard; ln plain/text plain/harder; ln plain/large deep/large
ln -s ../plain/text deep/a/symbolic; ln -s nowhere deep/dangling; ln -s / deep/root; ln deep/a/symbolic deep/same-symbolic
mkfifo -m 640 plain/fifo; mknod -m 666 plain/null c 1 3; mknod -m 660 plain/block b 7 99; mknod plain/far c 300 300000
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("plain/socket")'
touch "$(printf 'plain/\\xff\\xfe not utf-8')" $'plain/new\\nline' 'plain/ spaces ' plain/-dash "plain/$(printf 'n%.0s' {1..255})" plain/ünïcödé
for at in 0 1 5 9; do dd if=/dev/urandom of=plain/sparse bs=64K count=1 seek=$((at * 7)) conv=notrunc status=none; done
truncate -s 8M plain/sparse; truncate -s 3M plain/hole

chown 12345:2000 plain/text; chown 4000000000:3999999999 plain/zero; chown -h 12345:2000 deep/a/symbolic; chown 7:8 plain/fifo plain/null deep/a
for mode in 0 4755 2755 6711 1644 400 777; do chown 12345:2000 plain/mode$mode; chmod $mode plain/mode$mode; done
chmod 2775 plain/setgid; chmod 1777 plain/sticky; chmod 500 deep/a/b

setfattr -n user.text -v value plain/text; setfattr -n user.empty plain/text; setfattr -n user.zeros -v 0x0001000200 plain/text
setfattr -n user.large -v 0x$(printf 'ab%.0s' {1..3000}) plain/large; setfattr -n trusted.mark -v 1 plain/zero deep/a
setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 plain/mode777
setfattr -n user.on-directory -v 2 acl; setfattr -h -n trusted.on-symbolic -v 3 deep/dangling
setfacl -m u:12345:rwx,u:12346:r,g:3000:rx,m:rx plain/harder; setfacl -m d:u:12345:rwx,d:g:3000:x,d:o:- acl
touch acl/inherited; mkdir acl/inherited-too; setfacl -m g:2000:- acl/inner

touch -d '2001-02-03 04:05:06.123456789' plain/zero; touch -d '1960-01-02 03:04:05.987654321' plain/mode400
touch -d '2120-01-02 03:04:05.000000001' plain/mode0; touch -h -d '1999-12-31 23:59:59.999999999' deep/dangling plain/fifo plain/null
touch -a -d '2011-11-11 11:11:11.1' plain/text; touch -d '2002-02-02 02:02:02.020202020' deep/a/b deep/a empty plain .
`;

/**
 * What can be told of a tree, by name: kind and mode, owner, size, times, device, target, which names are one
 * file, all xattrs (ACLs among them), where data lies, content. Looking moves no access time that is told.
 */
const TELL = `
import hashlib, stat
O_LOOK = os.O_RDONLY | os.O_NOATIME | os.O_NONBLOCK | os.O_NOFOLLOW
def extents(fd, size):
    found, at = [], 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            break
        at = os.lseek(fd, start, os.SEEK_HOLE)
        found.append([start, at])
    os.lseek(fd, 0, os.SEEK_SET)
    return found
files, first = {}, {}
def look(name):
    s = os.lstat(name)
    it = files[name.decode('latin-1')] = {
        'mode': stat.filemode(s.st_mode), 'owner': [s.st_uid, s.st_gid], 'mtime': str(s.st_mtime_ns), 'nlink': s.st_nlink,
        'same': first.setdefault(s.st_ino, name).decode('latin-1'),
        'xattrs': {key: os.getxattr(name, key, follow_symlinks=False).hex() for key in sorted(os.listxattr(name, follow_symlinks=False))},
    }
    if not stat.S_ISLNK(s.st_mode):
        it['atime'] = str(s.st_atime_ns) # reading where a link leads moves its own
    if stat.S_ISDIR(s.st_mode):
        fd = os.open(name, O_LOOK)
        below = sorted(os.fsencode(each) for each in os.listdir(fd))
        os.close(fd)
        for each in below:
            look(os.path.join(name, each))
        return
    it['size'] = s.st_size
    if stat.S_ISLNK(s.st_mode):
        it['target'] = os.readlink(name).decode('latin-1')
    elif stat.S_ISREG(s.st_mode):
        fd = os.open(name, O_LOOK)
        it['data'] = extents(fd, s.st_size)
        with os.fdopen(fd, 'rb') as file:
            it['sum'] = hashlib.md5(file.read()).hexdigest()
    elif stat.S_ISCHR(s.st_mode) or stat.S_ISBLK(s.st_mode):
        it['device'] = [os.major(s.st_rdev), os.minor(s.st_rdev)]
os.chdir(DIR)
look(b'tree')
say(files)
`;
type Told = Record<string, Record<string, unknown>>;

/** What TELL says of `tree` in a directory, less the members that a program does not carry and names that it leaves out. */
async function tell(dir: string, without: readonly string[] = [], names = /./u): Promise<Told> {
  const [files] = (await python(dir, TELL)) as [Told];
  return Object.fromEntries(
    Object.entries(files)
      .filter(([name]) => names.test(name))
      .map(([name, it]) => [name, Object.fromEntries(Object.entries(it).filter(([key]) => !without.includes(key)))]),
  );
}

interface Way {
  readonly program: string;
  /** A script that copies the directory `tree` of $1 into $2. */
  readonly copy: string;
  /** A script that prints what the program itself finds to be different afterwards. */
  readonly differences?: string;
  /** What the program does not carry. */
  readonly without?: readonly string[];
  readonly names?: RegExp;
}
const ways: readonly Way[] = [
  {
    program: 'tar --xattrs --acls -S',
    copy: `flags="--format=posix --xattrs --xattrs-include=* --acls --numeric-owner -S"
           tar $flags --warning=no-file-ignored -cf - -C $1 tree | tar $flags -xpf - -C $2`,
    without: ['atime'],
    names: /^(?!.*\/socket$)/u,
  },
  { program: 'cp -a', copy: 'cp -a $1/tree $2/tree' },
  {
    program: 'rsync -aHAX',
    copy: 'rsync -aHAXS --numeric-ids --modify-window=-1 $1/tree $2/',
    differences: 'rsync -aHAXni --checksum --numeric-ids --modify-window=-1 $1/tree $2/',
    without: ['atime'],
  },
];

for (const { program, copy, differences, without, names } of ways)
  kernelTest(
    `${program}: a tree goes to the mount and back with all that is known about it`,
    async () => {
      await using native = await ext4();
      await sh(MAKE_TREE, native.dir);
      const expected = await tell(native.dir, without, names);
      expect(Object.keys(expected).length).toBeGreaterThan(80);
      const filesystem = new MemoryFs();
      await using m = await mounted(filesystem, LIKE_A_DISK, { watchdog: WATCHDOG });
      await run('bash', ['-euo', 'pipefail', '-c', copy, 'copy', native.dir, m.dir]);
      if (differences) expect(await run('bash', ['-euc', differences, 'copy', native.dir, m.dir])).toBe('');
      expect(await tell(m.dir, without, names)).toEqual(expected);
      const back = join(native.dir, 'back');
      await sh('mkdir back', native.dir);
      await run('bash', ['-euo', 'pipefail', '-c', copy, 'copy', m.dir, back]);
      expect(await tell(back, without, names)).toEqual(expected);
      filesystem.check();
    },
    TIMEOUT,
  );

/** What ACLs are set, changed and inherited by, with what is seen of it after each step. */
const ACLS = `
shopt -s nullglob; umask 022; mkdir acls; cd acls; step=0
see() { step=$((step + 1)); echo "== $step"; find . ! -type l -print0 | LC_ALL=C sort -z | xargs -0 getfacl -n; find . -printf '%P %M %U:%G\\n' | LC_ALL=C sort; }
fails() { if "$@" 2>&1; then echo "no failure: $*"; fi; }
as() { local who=$1; shift; if setpriv --reuid $who --regid $who --clear-groups "$@" 2>/dev/null; then echo "$who may: $*"; else echo "$who may not: $*"; fi; }
tries() { for who in 12345 12346 3000; do as $who cat $1; as $who sh -c "echo >> $1"; done; }

echo text > file; chmod 640 file; chown 7:8 file; mkdir dir; mkdir -p dir/a/b; touch dir/a/f dir/a/b/x; chmod +x dir/a/b/x; ln -s file link; see
setfacl -m u:12345:rw,g:3000:r file; see; tries file
setfacl -m u:12345:rwx,m::r file; see; tries file
chmod 600 file; see; tries file
chmod 666 file; see; tries file
setfacl -x u:12345 file; see
setfacl -m u::rwx,g::rw,o::- file; see
setfacl -n -m u:12346:rwx file; see
setfacl --mask -m u:12345:r file; see
setfacl -m u:12345:r link; see
setfacl -R -m u:12345:rX,g:3000:rwX dir; see
setfacl -d -m u:12345:rwx,g:3000:rx,m:rwx dir; see
umask 077; echo > dir/made; mkdir dir/made-dir; mkfifo dir/made-fifo; mknod dir/made-node c 1 3; ln -s file dir/made-link; echo > dir/made-dir/below; see
umask 027; mkdir -m 700 dir/mode700; mkdir -m 2777 dir/mode2777; install -m 755 /dev/null dir/installed; cp file dir/copied; cp -p file dir/preserved; see
mkdir umask; cd umask; echo > file; mkdir dir; setfacl -d -m o::-,g::- .; echo > under; mkdir under-dir; cd ..; see
mv file dir/moved; mv dir/moved file; ln file dir/hard; see
chown 12345:3000 file dir; see
chmod 2770 dir; setfacl -m g::rwx dir; see
setfacl -k dir; see
setfacl --set u::rwx,g::rx,o::-,u:12346:rw,g:2000:-,m:rwx dir/copied; see
getfacl -cp file | setfacl --set-file=- dir/made; see
getfacl -cp dir/copied | setfacl -d -M- dir; see
for each in u:12345 g:3000; do setfacl -R -x $each .; done; see
fails setfacl -m d:u:12345:rwx file
fails setfacl -m u:12345:rwq file
fails setfacl -m u:12345:r nothing
fails setfacl -x m:: dir/copied
as 12345 setfacl -m u:12345:rwx dir/copied; as 12345 setfacl -m u:12346:r file; as 12346 setfacl -b file; see
setfacl -m $(for i in {1..20}; do printf 'u:%d:r,' $((20000 + i)); done)g:9:x file; see
getfacl -R . > ../before; setfacl -R -b -k .; see; setfacl --restore=../before; see; getfacl -R . | diff ../before - && echo restored
setfacl -b file dir/copied; setfacl -k dir; see
find . ! -type l -print0 | LC_ALL=C sort -z | xargs -0 getfattr -hd -m system 2>&1 || true
`;

kernelTest(
  'setfacl and getfacl: after each step of a long script the same as on ext4',
  async () => {
    await using native = await ext4();
    const expected = await sh(ACLS, native.dir);
    expect(expected.match(/^== \d+$/gmu)?.length).toBe(28);
    expect(expected).toContain('restored\n');
    const filesystem = new MemoryFs();
    await using m = await mounted(filesystem, LIKE_A_DISK, { watchdog: WATCHDOG });
    expect((await sh(ACLS, m.dir)).split('\n')).toEqual(expected.split('\n'));
    filesystem.check();
  },
  TIMEOUT,
);
