/** What small programs tell of a mount: find, du, df, stat, lsattr, and one that watches it by inotify. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { MemoryFs } from '../../src/fs/index.ts';
import { kernelTest, mounted, sh } from '../support.ts';
import { python } from './python.ts';

/** What a script gives on tmpfs (or where the system keeps its temporary files), and on the mount. */
async function both<T>(
  m: { readonly dir: string },
  give: (dir: string) => Promise<T>,
): Promise<{ native: T; ours: T }> {
  const base = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'rawfuse-native-'));
  try {
    return { native: await give(base), ours: await give(m.dir) };
  } finally {
    rmSync(base, { recursive: true });
  }
}

const FIND = `
umask 022; mkdir -p d/e/f d/empty other; echo text > d/text; : > d/zero; head -c 100000 /dev/zero > d/e/large; ln d/text d/e/hard
ln -s text d/link; ln -s nowhere d/dangling; ln -s .. d/e/up; mkfifo d/fifo; mknod d/null c 1 3; truncate -s 5G d/e/f/sparse
chmod 4755 d/zero; chown 12345:2000 d/e; chmod 700 d/e/f; touch -d 2001-01-01 d/text; touch -d '2001-01-01 00:00:01' d/e/large
for test in '-type f' '-type d' '-type l' '-type p' '-type c' '-xtype l' '-xtype f' '-empty' '! -type d -size +1M' '! -type d -size 1' '! -type d -size 0' '-links 2' '-links +2' \
  '-perm -4000' '-perm 700' '-user 12345' '-group 2000' '-newer d/text' '! -newer d/text' '-newer d/e/large' '-samefile d/text' '-mtime +1000' \
  '-follow -name text' '-lname tex*' '-maxdepth 1' '-depth -name e*' '-path *e/f*' '-readable' '-inum 0'; do
  echo "== $test"; find d $test 2>&1 | LC_ALL=C sort
done
echo '== prune'; find d -path d/e -prune -o -print | LC_ALL=C sort
echo '== one filesystem'; find . -xdev | wc -l
find d -printf '%p %y %Y %m %n %s %l %d\\n' | grep -v ' d d ' | LC_ALL=C sort
find d -delete; ls -A`;

kernelTest('find: by kind, size, links, owner, mode and time the same as on a native directory', async () => {
  await using m = await mounted(new MemoryFs(), { dev: true, suid: true });
  const { native, ours } = await both(m, (dir) => sh(FIND, dir));
  expect(ours.split('\n')).toEqual(native.split('\n'));
  expect(native.split('\n').length).toBeGreaterThan(120);
});

kernelTest('du and df: what files take and what is left say the same, to the byte', async () => {
  const filesystem = new MemoryFs({ size: 32 << 20, nrInodes: 1000 });
  await using m = await mounted(filesystem);
  const out = await sh(
    `figures() { df --output=size,used,avail -B1 . | tail -1; df --output=itotal,iused,iavail . | tail -1; }
     figures; mkdir -p d/e; for size in 0 1 4096 4097 1000000; do head -c $size /dev/urandom > d/$size; done
     dd if=/dev/urandom of=d/e/sparse bs=4096 count=1 seek=1000 status=none; truncate -s 8M d/e/hole; fallocate -l 64K d/e/promised; ln d/4097 d/e/hard
     cd d; du -B1 --apparent-size 0 1 4096 4097 1000000 e/sparse e/hole e/promised
     du -B1 0 1 4096 4097 1000000 e/sparse e/hole e/promised; du -S -B1 . | tail -1; du -l -B1 e/hard 4097; du --inodes . | tail -1; cd ..; figures
     fallocate -p -l 500000 -o 4096 d/1000000; du -B1 d/1000000; truncate -s 1 d/1000000; du -B1 d/1000000; rm -r d`,
    m.dir,
  );
  const lines = out.split('\n').map((line) => line.trim().replace(/\s+/gu, ' '));
  const taken = 4096 + 4096 + 8192 + 1003520 + 4096 + 65536;
  expect(lines).toEqual([
    `${32 << 20} 0 ${32 << 20}`,
    '1000 1 999',
    ...[
      '0 0',
      '1 1',
      '4096 4096',
      '4097 4097',
      '1000000 1000000',
      '4100096 e/sparse',
      '8388608 e/hole',
      '65536 e/promised',
    ],
    ...['0 0', '4096 1', '4096 4096', '8192 4097', '1003520 1000000', '4096 e/sparse', '0 e/hole', '65536 e/promised'],
    expect.stringMatching(/^\d+ \.$/u),
    ...['8192 e/hard', '8192 4097'],
    '10 .',
    `${32 << 20} ${taken} ${(32 << 20) - taken}`,
    '1000 11 989',
    `${1003520 - 122 * 4096} d/1000000`,
    '4096 d/1000000',
    '',
  ]);
});

/** Ioctls that chattr, lsattr and others try: the name of the errno of each. */
const IOCTLS = `
os.mkdir(P('d'))
open(P('f'), 'w').close()
for name in ['f', 'd']:
    fd = os.open(P(name), os.O_RDONLY)
    say({
        'FS_IOC_GETFLAGS': result(fcntl.ioctl, fd, 0x80086601, bytes(8)),
        'FS_IOC_SETFLAGS': result(fcntl.ioctl, fd, 0x40086602, bytes(8)),
        'FS_IOC_FSGETXATTR': result(fcntl.ioctl, fd, 0x801c581f, bytes(28)),
        'FS_IOC_GETVERSION': result(fcntl.ioctl, fd, 0x80087601, bytes(8)),
        'TCGETS': result(fcntl.ioctl, fd, 0x5401, bytes(60)),
        'unknown': result(fcntl.ioctl, fd, 0x12345678, bytes(8)),
    })
`;

kernelTest('ioctls that a filesystem need not know are ENOTTY', async () => {
  await using m = await mounted(new MemoryFs());
  const none = {
    FS_IOC_GETFLAGS: 'ENOTTY',
    FS_IOC_SETFLAGS: 'ENOTTY',
    FS_IOC_FSGETXATTR: 'ENOTTY',
    FS_IOC_GETVERSION: 'ENOTTY',
    TCGETS: 'ENOTTY',
    unknown: 'ENOTTY',
  };
  expect(await python(m.dir, IOCTLS)).toEqual([none, none]);
});

/** Watches a directory and a file while things happen, and tells the events: where, mask, name. Cookies are told by their order. */
const WATCH = `
IN = { 'ACCESS': 1, 'MODIFY': 2, 'ATTRIB': 4, 'CLOSE_WRITE': 8, 'CLOSE_NOWRITE': 16, 'OPEN': 32, 'MOVED_FROM': 64, 'MOVED_TO': 128, 'CREATE': 256,
       'DELETE': 512, 'DELETE_SELF': 1024, 'MOVE_SELF': 2048, 'UNMOUNT': 8192, 'IGNORED': 32768, 'ISDIR': 1 << 30 }
inotify = C('inotify_init1', os.O_NONBLOCK)
watched, cookies = {}, {}
def watch(name):
    watched[C('inotify_add_watch', inotify, P(name), 0xfff)] = name
def events():
    found = []
    try:
        data = os.read(inotify, 1 << 16)
    except BlockingIOError:
        return found
    while data:
        wd, mask, cookie, length = struct.unpack_from('iIII', data)
        bits = ' '.join(each for each, bit in IN.items() if mask & bit)
        pair = cookies.setdefault(cookie, len(cookies)) if cookie else 0
        found.append([watched[wd], bits, pair, data[16:16 + length].rstrip(b'\\0').decode()])
        data = data[16 + length:]
    return found
def seen(what, f):
    f()
    say([what, events()])
def put(name, text, flags=0):
    fd = os.open(P(name), os.O_WRONLY | flags)
    os.write(fd, text)
    os.close(fd)
os.mkdir(P('d'))
os.mkdir(P('d/sub'))
os.mkdir(P('other'))
watch('d')
seen('create', lambda: put('d/f', b'text', os.O_CREAT))
watch('d/f')
seen('read', lambda: slurp('d/f'))
seen('write', lambda: put('d/f', b'more'))
seen('open to truncate', lambda: put('d/f', b'', os.O_TRUNC))
seen('truncate', lambda: os.truncate(P('d/f'), 10))
seen('chmod', lambda: os.chmod(P('d/f'), 0o600))
seen('chown', lambda: os.chown(P('d/f'), 1, 1))
seen('utimes', lambda: os.utime(P('d/f'), (1, 2)))
seen('setxattr', lambda: os.setxattr(P('d/f'), 'trusted.x', b'1'))
seen('allocate', lambda: (lambda fd: (os.posix_fallocate(fd, 0, 100), os.close(fd)))(os.open(P('d/f'), os.O_RDWR)))
seen('link', lambda: os.link(P('d/f'), P('d/hard')))
seen('rename', lambda: os.rename(P('d/f'), P('d/g')))
seen('rename out', lambda: os.rename(P('d/g'), P('other/g')))
seen('rename in, over another', lambda: [put('d/victim', b'', os.O_CREAT), os.rename(P('other/g'), P('d/victim'))])
seen('rename of a directory', lambda: os.rename(P('other'), P('d/other')))
seen('exchange', lambda: C('renameat2', -100, P('d/sub'), -100, P('d/other'), 2))
seen('symlink', lambda: os.symlink('x', P('d/s')))
seen('mkfifo', lambda: os.mkfifo(P('d/p')))
seen('list', lambda: os.listdir(P('d')))
seen('rmdir', lambda: os.rmdir(P('d/sub')))
seen('unlink', lambda: [os.unlink(P('d/' + each)) for each in ['s', 'p']])
watch('d/other')
seen('rmdir of what is watched', lambda: os.rmdir(P('d/other')))
watch('d')
watch('d/hard')
held = os.open(P('d/hard'), os.O_RDONLY)
seen('unlink of what is open', lambda: os.unlink(P('d/hard')))
seen('unlink of its last name', lambda: os.unlink(P('d/victim')))
seen('close', lambda: os.close(held))
seen('the directory itself', lambda: os.rmdir(P('d')))
`;

kernelTest('inotify: who watches sees the same events as in a native directory', async () => {
  await using m = await mounted(new MemoryFs());
  const { native, ours } = await both(m, (dir) => python(dir, WATCH));
  expect(ours).toEqual(native);
  expect(native.length).toBe(26);
});
