/**
 * What PassthroughFs promises beyond the POSIX table: that nothing which happens in the source makes a node another file, that
 * nothing leads out of the source, who owns what, and that nothing is lost when space runs out. With file handles, and with
 * descriptors. What threads change the other files of this name have.
 */
import { chmodSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { PYTHON } from '../interpreter.ts';
import { kernelTest, run, sh, temporary } from '../support.ts';
import { TRANSPORT } from '../transport.ts';
import { as, passthrough } from './passthrough.ts';
import { python } from './python.ts';

const ownerOf = (path: string) => {
  const { uid, gid, mode } = statSync(path);
  return `${uid}:${gid} ${(mode & 0o7777).toString(8)}`;
};

/** One way over each transport. */
const inodeHandles = TRANSPORT === 'device' ? 'handles' : 'descriptors';
describe(`held as ${inodeHandles}`, () => {
  const title = `${inodeHandles}: `;

  kernelTest(`${title}what happens in the source makes no file another one`, async () => {
    await using m = await passthrough({ inodeHandles });
    const lower = (name: string) => join(m.source, name);
    const [said] = await python(
      m.dir,
      `
import subprocess
def below(script): subprocess.run(['sh', '-euc', script], cwd='${m.source}', check=True)
def stat(f): s = os.fstat(f); return [s.st_size, s.st_nlink]
for name in 'abcd':
    with open(P(name), 'w') as f: f.write('content of ' + name)
os.mkdir(P('dir'))
with open(P('dir/inner'), 'w') as f: f.write('inner')
a, b, c, d = (os.open(P(name), os.O_RDWR) for name in 'abcd')
inside = os.open(P('dir'), os.O_RDONLY)
below('mv a elsewhere; echo another > a')                       # renamed, and another in its place
below('rm b; echo newer > b')                                   # removed, and another in its place
below('echo replacing > new; mv new c')                         # replaced
below('truncate -s 3 d')                                        # cut
below('mv dir moved; mkdir dir; echo wrong > dir/inner')
got = [os.pread(f, 100, 0).decode() for f in (a, b, c)]
os.pwrite(b, b'STILL', 0)
got.append(os.pread(b, 5, 0).decode())
time.sleep(1.2)                                                 # what the kernel believes is over
got.append(stat(d))
got.append(os.pread(d, 100, 0).decode())
got += [open(P(name)).read() for name in ('a', 'b', 'c', 'elsewhere', 'dir/inner', 'moved/inner')]
fd = os.open('inner', os.O_RDONLY, dir_fd=inside)
got.append(os.read(fd, 100).decode())
say(got)
`,
    );
    expect(said).toEqual([
      ...['content of a', 'content of b', 'content of c', 'STILL', [3, 1], 'con'],
      ...['another\n', 'newer\n', 'replacing\n', 'content of a', 'wrong\n', 'inner', 'inner'],
    ]);
    expect(readFileSync(lower('b'), 'latin1')).toBe('newer\n');
  });

  kernelTest(`${title}what was removed through the mount stays for who is in it`, async () => {
    await using m = await passthrough({ inodeHandles });
    const script = `mkdir d; cd d; rmdir ../d; stat -c %h .; ls -A; touch x 2>&1 || true`;
    expect(await sh(script, m.dir)).toMatch(/^0\ntouch: .*No such file or directory\n$/u);
    const [said] = await python(
      m.dir,
      `
f = os.open(P('f'), os.O_CREAT | os.O_RDWR)
p = os.open(P('f'), os.O_PATH)
os.close(f)
os.unlink(P('f'))
say(os.stat(f'/proc/self/fd/{p}').st_nlink)
`,
    );
    expect(said).toBe(0);
  });

  kernelTest(`${title}who makes a file owns it, and the thread is itself again`, async () => {
    await using m = await passthrough({ inodeHandles });
    chmodSync(m.source, 0o1777);
    await sh('mkdir shared; chown 0:4242 shared; chmod 2775 shared', m.source);
    const make = 'umask 027; echo > f; mkdir d; ln -s t l; mkfifo p; echo > shared/f; mkdir shared/d';
    await as(1234, '4242', make, m.dir);
    const owners = ['f', 'd', 'p', 'shared/f', 'shared/d'].map((name) => ownerOf(join(m.source, name)));
    expect(owners).toEqual(['1234:1234 640', '1234:1234 750', '1234:1234 640', '1234:4242 640', '1234:4242 2750']);
    expect((await run('stat', ['-c', '%u:%g', join(m.source, 'l')])).trim()).toBe('1234:1234');
    // Calls that fail are no exception.
    await expect(as(1234, '', 'mkdir d', m.dir)).rejects.toThrow(/exists/u);
    // The umask is still what it was.
    await sh('echo > as-root', m.dir);
    expect(ownerOf(join(m.source, 'as-root'))).toBe('0:0 644');
    if (m.filesystem === undefined) return;
    const status = readFileSync('/proc/thread-self/status', 'latin1');
    expect(/^Uid:\s+(.*)$/mu.exec(status)![1]).toBe('0\t0\t0\t0');
    expect(/^CapEff:\s+(.*)$/mu.exec(status)![1]).toBe(/^CapPrm:\s+(.*)$/mu.exec(status)![1]);
  });

  kernelTest(`${title}a full lower filesystem is ENOSPC, and loses nothing`, async () => {
    const small = temporary();
    await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'rawfuse-test', small]);
    try {
      await using m = await passthrough({ inodeHandles, source: small });
      const fill =
        'head -c 900k /dev/urandom > kept; md5sum < kept; head -c 900k /dev/zero 2>&1 > more || true; md5sum < kept';
      const [before, said, after] = (await sh(fill, m.dir)).split('\n');
      expect(said).toMatch(/No space left on device/u);
      expect(after).toBe(before);
      expect(await sh('stat -c %s more; rm more; echo fits > less; cat less', m.dir)).toMatch(/^[1-9]\d+\nfits\n$/u);
      expect(await run('cmp', [join(m.dir, 'kept'), join(small, 'kept')])).toBe('');
    } finally {
      await run('umount', ['--lazy', small]);
      rmSync(small, { recursive: true });
    }
  });

  kernelTest(`${title}no race of names leads out of the source`, async () => {
    const outside = temporary();
    const secret = join(outside, 'secret');
    writeFileSync(secret, 'SECRET', { mode: 0o600 });
    try {
      await using m = await passthrough({ inodeHandles, mount: { entryTimeout: 0, attrTimeout: 0 } });
      chmodSync(m.source, 0o777);
      const swap = `
import os, sys, time
os.chdir(sys.argv[1])
end = time.time() + 2
for name in ('x', 'd'):
    try: os.unlink(name)
    except OSError: pass
while time.time() < end:
    for make in (lambda: os.symlink('${secret}', 'next'), lambda: open('next', 'w').close()):
        try:
            make()
            os.rename('next', 'x')
        except OSError: pass
    try:
        os.mkdir('d')
        open('d/secret', 'w').close()
        os.rename('d', f'd{os.getpid()}')
        os.symlink('${outside}', 'd')
        os.unlink('d')
    except OSError: pass
`;
      const use = `
import os, sys, time
os.chdir(sys.argv[1])
end = time.time() + 2
seen = opened = 0
while time.time() < end:
    for path in ('x', 'd/secret'):
        for call in (lambda: os.open(path, os.O_RDWR), lambda: os.open(path, os.O_RDWR | os.O_CREAT, 0o666),
                     lambda: os.open(path, os.O_WRONLY | os.O_TRUNC)):
            try: fd = call()
            except OSError: continue
            opened += 1
            try:
                if b'SECRET' in os.read(fd, 100): seen += 1
                os.write(fd, b'attacked')
            except OSError: pass
            os.close(fd)
        for call in (lambda: os.truncate(path, 1), lambda: os.chmod(path, 0o666), lambda: os.unlink('d/secret')):
            try: call()
            except OSError: pass
print(opened, seen)
`;
      const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups', '--', PYTHON, '-c'];
      const [found] = await Promise.all([
        run('setpriv', [...nobody, use, m.dir]),
        run('setpriv', [...nobody, swap, m.dir]),
        run('setpriv', [...nobody, swap, m.source]),
      ]);
      const [opened, seen] = found.trim().split(' ').map(Number);
      expect(seen).toBe(0);
      expect(opened).toBeGreaterThan(10);
      expect(readFileSync(secret, 'latin1')).toBe('SECRET');
      expect(ownerOf(secret)).toBe('0:0 600');
    } finally {
      rmSync(outside, { recursive: true });
    }
  });
});
