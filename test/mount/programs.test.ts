/** Our filesystems in memory under programs that people use, and under what they do to it all at once. */
import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { MemoryFs } from '../../src/fs/index.ts';
import { client, forgotten, kernelTest, mounted, run, sh, temporary } from '../support.ts';
import { PLACES } from './places.ts';
import { python } from './python.ts';

/** A directory outside of every mount, for a test's sources. */
async function withSources(body: (dir: string) => Promise<void>): Promise<void> {
  const dir = temporary();
  try {
    await body(dir);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

for (const { where, mount } of PLACES)
  kernelTest(`tar: a tree goes in and comes out with the same checksums, modes, times, links${where}`, () =>
    withSources(async (source) => {
      await sh(
        `mkdir -p tree/a/b/c tree/empty out
       for i in {1..50}; do head -c $((i * i * 112)) /dev/urandom > tree/a/file$i; done
       ln -s a/file1 tree/symbolic; ln tree/a/file2 tree/a/b/hard; chmod 4750 tree/a/file3; chmod 700 tree/a/b
       touch -d '2001-02-03 04:05:06.5' tree/a/file4; : > tree/zero; head -c 5000000 /dev/urandom > tree/large
       tar -cf tree.tar --format=posix tree`,
        source,
      );
      await using m = await mount();
      await run('tar', ['xf', join(source, 'tree.tar'), '-C', m.dir]);
      const sums = 'cd tree; find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum';
      const states = 'find . -mindepth 1 ! -type d -printf "%P %M %n %s %T@ %l\\n" | LC_ALL=C sort';
      expect(await sh(sums, m.dir)).toBe(await sh(sums, source));
      expect(await sh(`cd tree; ${states}`, m.dir)).toBe(await sh(`cd tree; ${states}`, source));
      await sh(`tar cf - tree | tar xf - -C ${join(source, 'out')}`, m.dir);
      expect(await sh(sums, join(source, 'out'))).toBe(await sh(sums, source));
    }),
  );

for (const { where, mount } of PLACES)
  kernelTest(`git: clone, fsck, commit, branch, merge, gc${where}`, () =>
    withSources(async (source) => {
      const identity =
        'export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b';
      await sh(
        `${identity}; git init -q -b main repository; cd repository
       for i in {1..8}; do mkdir -p d$i; for j in {1..20}; do echo "$i $j $RANDOM" > d$i/f$j; done; git add .; git commit -qm "commit $i"; done`,
        source,
      );
      await using m = await mount();
      const out = await sh(
        `${identity}; git clone -q --no-hardlinks ${join(source, 'repository')} clone; cd clone
       git fsck --full --strict; git log --oneline | wc -l; git status --porcelain
       git checkout -qb branch; echo new > d1/f1; git rm -q d2/f2; git mv d3/f3 d3/moved; git commit -qam change
       git checkout -q main; echo other > other; git add other; git commit -qm other; git merge -q branch -m merge
       git gc -q; git fsck --full --strict; git log --oneline | wc -l; cat d1/f1 other; ls d2/f2 2>/dev/null || echo gone; git status --porcelain`,
        m.dir,
      );
      expect(out).toBe('8\n11\nnew\nother\ngone\n');
    }),
  );

kernelTest('a C program is written, compiled, linked and run in the mount', async () => {
  await using m = await mounted(new MemoryFs());
  const out = await sh(
    `cat > twice.h <<< 'int twice(int);'
     cat > twice.c <<< '#include "twice.h"
     int twice(int n) { return 2 * n; }'
     cat > main.c <<< '#include <stdio.h>
     #include "twice.h"
     int main(void) { printf("%d\\n", twice(21)); return 0; }'
     cc -g -c twice.c; cc -g -c main.c; ar rcs libtwice.a twice.o; cc -o main main.o -L. -ltwice; ./main
     cc -shared -fPIC -o libtwice.so twice.c; rm libtwice.a; cc -o dynamic main.c -L. -ltwice -Wl,-rpath,"$PWD"; ./dynamic`,
    m.dir,
  );
  expect(out).toBe('42\n42\n');
});

/** A project of 16 modules that include each other's headers, a static and a shared library, and a program for each. */
const PROJECT = `
mkdir -p project/src project/include project/build; cd project
for i in {0..15}; do
  j=$(((i + 1) % 16)); k=$((i * 7 % 16))
  printf '#pragma once\\n#include "common.h"\\nstruct s%d { word values[%d]; };\\nword f%d(word n, struct s%d *);\\n' $i $((i + 1)) $i $i > include/m$i.h
  {
    printf '#include "m%d.h"\\n#include "m%d.h"\\n#include "m%d.h"\\n' $i $j $k
    for n in {0..19}; do printf 'static word g%d(word n, word *v) { for (word i = 0; i < n; i++) v[i %% %d] += i * %du ^ n; return v[0]; }\\n' $n $((i + 1)) $((n * i + 1)); done
    printf 'word f%d(word n, struct s%d *s) { word sum = sizeof(struct s%d) + sizeof(struct s%d);\\n' $i $i $j $k
    for n in {0..19}; do printf '  sum = sum * 31 + g%d(n + %d, s->values);\\n' $n $n; done
    printf '  return sum; }\\n'
  } > src/m$i.c
done
printf '#pragma once\\n#include <stdint.h>\\n#include <string.h>\\ntypedef uint32_t word;\\n' > include/common.h
{
  printf '#include <stdio.h>\\n'; for i in {0..15}; do printf '#include "m%d.h"\\n' $i; done
  printf 'int main(void) {\\n  word sum = 0;\\n'
  for i in {0..15}; do printf '  { struct s%d s; memset(&s, 0, sizeof s); sum = sum * 33 + f%d(100, &s); }\\n' $i $i; done
  printf '  printf("%%08x\\\\n", sum);\\n  return 0;\\n}\\n'
} > src/main.c
cat > Makefile <<'END'
CFLAGS = -g -fPIC -Iinclude -MMD
OBJECTS = $(patsubst src/%.c,build/%.o,$(filter-out src/main.c,$(wildcard src/*.c)))
all: build/static build/dynamic
build/%.o: src/%.c
	@echo $@
	@$(CC) $(CFLAGS) -c -o $@ $<
build/libmodules.a: $(OBJECTS)
	@$(AR) rcs $@ $^
build/libmodules.so: $(OBJECTS)
	@$(CC) -shared -o $@ $^
build/static: build/main.o build/libmodules.a
	@$(CC) -o $@ $^
build/dynamic: build/main.o build/libmodules.so
	@$(CC) -o $@ build/main.o -Lbuild -lmodules -Wl,-rpath,$(CURDIR)/build
-include $(wildcard build/*.d)
END
make -j4 | wc -l; build/static; build/dynamic; make -q && echo 'up to date'
touch include/m5.h; make -j4 | LC_ALL=C sort; rm build/m9.o; make -j4; build/static
ar t build/libmodules.a | wc -l; nm -D --defined-only build/libmodules.so | grep -c ' T f'; strip build/static; build/static
make -q && echo 'up to date'`;

kernelTest(
  'a C compile of 17 files: make -j4 builds what it should, and again no more than it should',
  () =>
    withSources(async (source) => {
      const filesystem = new MemoryFs();
      await using m = await mounted(filesystem, {}, { watchdog: 55_000 });
      const out = await sh(PROJECT, m.dir);
      await run('cp', ['-r', join(m.dir, 'project'), source]);
      const sum = await sh('cd project; cc -Iinclude src/*.c -o native; ./native', source);
      expect(sum).toMatch(/^[0-9a-f]{8}\n$/u);
      const include5 = ['m3', 'm4', 'm5', 'main'].map((name) => `build/${name}.o\n`).join('');
      const upToDate = 'up to date\n';
      expect(out).toBe(`17\n${sum}${sum}${upToDate}${include5}build/m9.o\n${sum}16\n16\n${sum}${upToDate}`);
      filesystem.check();
    }),
  60_000,
);

kernelTest('rm -r: a tree 200 directories deep, and one of 5,000 files', async () => {
  await using m = await mounted(new MemoryFs());
  const out = await sh(
    `p=$(printf 'deep/%.0s' {1..200}); mkdir -p $p; touch $p/file; find . | wc -l; rm -r deep
     mkdir wide; cd wide; seq -f 'file%.0f' 5000 | xargs touch; ls | wc -l; ls -f | sort -u | wc -l; cd ..; rm -r wide; ls -A`,
    m.dir,
  );
  expect(out).toBe('202\n5000\n5002\n');
});

kernelTest('rm -rf: a tree 2,000 directories deep, whose path no system call would take', async () => {
  const filesystem = new MemoryFs();
  await using m = await mounted(filesystem);
  const DEEP = `
os.chdir(DIR)
name = 'n' * 50
def below():
    for i in range(2000):
        os.mkdir(name)
        os.chdir(name)
        open('file', 'w').close()
    os.chdir(DIR)
    say(result(os.stat, '/'.join([name] * 100)))
below()`;
  expect(await python(m.dir, DEEP)).toEqual(['ENAMETOOLONG']);
  const out = await sh(
    `find . -type f | wc -l; mv n* moved; find moved -printf '%d\\n' | sort -n | tail -1; rm -rf moved; ls -A`,
    m.dir,
  );
  expect(out).toBe('2000\n2000\n');
  await forgotten(filesystem, m.dir);
  expect(filesystem.nodes.size).toBe(1);
  filesystem.check();
});

kernelTest('a file of 64 MiB keeps its checksum, cached and read anew', async () => {
  await using m = await mounted(new MemoryFs());
  // Not random, so that the expected sum comes from elsewhere; no two blocks alike.
  const hash = createHash('sha256');
  const block = Buffer.alloc(1 << 20);
  for (let i = 0; i < 64; i++) {
    for (let at = 0; at < block.length; at += 4) block.writeUInt32LE((i << 20) + at, at);
    hash.update(block);
  }
  const expected = hash.digest('hex');
  const made = await client<string>(
    m.dir,
    `const block = Buffer.alloc(1 << 20); const fd = fs.openSync(join(dir, 'large'), 'w');
     for (let i = 0; i < 64; i++) { for (let at = 0; at < block.length; at += 4) block.writeUInt32LE((i << 20) + at, at); fs.writeSync(fd, block); }
     fs.closeSync(fd); return require('node:crypto').createHash('sha256').update(fs.readFileSync(join(dir, 'large'))).digest('hex');`,
  );
  expect(made).toBe(expected);
  expect(await sh('dd if=large iflag=nocache count=0 status=none; sha256sum < large', m.dir)).toBe(`${expected}  -\n`);
  expect(await sh('dd if=large bs=1M iflag=direct status=none | sha256sum', m.dir)).toBe(`${expected}  -\n`);
});

kernelTest('readdir while others come and go: what is there all along is seen once, every time', async () => {
  await using m = await mounted(new MemoryFs());
  const { missed, repeated, rounds, made } = await client<{
    missed: string[];
    repeated: string[];
    rounds: number;
    made: number;
  }>(
    m.dir,
    `const { spawn } = require('node:child_process'), { once } = require('node:events');
     for (let i = 0; i < 1500; i++) fs.writeFileSync(join(dir, 'stays-' + i), '');
     const churn = spawn(process.execPath, ['-e', \`
       const fs = require('node:fs'), dir = process.argv[1]; let i = 0;
       process.on('SIGTERM', () => { console.log(i); process.exit(); });
       console.log('begun');
       (function some() {
         for (let n = 0; n < 20; n++, i++) { fs.writeFileSync(dir + '/comes-' + i % 700, ''); if (i >= 300) fs.rmSync(dir + '/comes-' + (i - 300) % 700); }
         if (i === 600) console.log('enough');
         setImmediate(some);
       })();
     \`, dir], { stdio: ['ignore', 'pipe', 'inherit'] });
     let said = ''; churn.stdout.on('data', (text) => { said += text; });
     while (!said.includes('begun')) await once(churn.stdout, 'data');
     const missed = [], repeated = []; let rounds = 0;
     for (; rounds < 40 || !said.includes('enough'); rounds++) {
       const seen = new Map(); const list = fs.opendirSync(dir, { bufferSize: 8 });
       for (let entry; (entry = list.readSync()); ) seen.set(entry.name, (seen.get(entry.name) ?? 0) + 1);
       list.closeSync();
       for (let i = 0; i < 1500; i++) { const n = seen.get('stays-' + i) ?? 0; if (n === 0) missed.push('stays-' + i); if (n > 1) repeated.push('stays-' + i); }
       await new Promise(setImmediate);
     }
     churn.kill(); await once(churn, 'close');
     return { missed, repeated, rounds, made: Number(said.trim().split('\\n').at(-1)) };`,
  );
  expect({ missed, repeated }).toEqual({ missed: [], repeated: [] });
  expect(rounds).toBeGreaterThanOrEqual(40);
  expect(made, 'files that came and went meanwhile').toBeGreaterThanOrEqual(600);
});

kernelTest('four clients that make, write, read, rename and remove at once', async () => {
  await using m = await mounted(new MemoryFs());
  const work = (id: number) =>
    sh(
      `mkdir w${id}; cd w${id}
       for i in {1..15}; do echo "${id} $i" > f$i; mv f$i g$i; test "$(cat g$i)" = "${id} $i"; ln g$i ../shared-${id}-$i; rm g$i; done; ls -A`,
      m.dir,
    );
  expect(await Promise.all([1, 2, 3, 4].map(work))).toEqual(['', '', '', '']);
  expect(await sh('ls | wc -l; cat shared-* | sort -u | wc -l; rm -r *; ls -A', m.dir)).toBe('64\n60\n');
});

kernelTest('what is removed is given back: statfs shows as much room as before', async () => {
  const filesystem = new MemoryFs();
  await using m = await mounted(filesystem);
  const free = 'stat -f -c "%f %c" .';
  const before = await sh(free, m.dir);
  await sh('mkdir d; head -c 3000000 /dev/zero > d/f; ln -s somewhere l', m.dir);
  expect(await sh(free, m.dir)).not.toBe(before);
  await sh('rm -r d l', m.dir);
  await forgotten(filesystem, m.dir);
  expect(await sh(free, m.dir)).toBe(before);
  expect(filesystem.nodes.size).toBe(1);
});

// The leak check itself.

class CountsDot extends MemoryFs {
  /** What several libraries got wrong: "." of READDIRPLUS counted, though the kernel takes no lookup for it. */
  override readdirplus(...args: Parameters<MemoryFs['readdirplus']>) {
    this.nodes.lookup(this.nodes.get(args[0].nodeid));
    return super.readdirplus(...args);
  }
}

kernelTest('the leak check finds a lookup counted too often', async () => {
  const filesystem = new CountsDot();
  const use = async () => {
    await using m = await mounted(filesystem);
    // A directory below the root: the root itself is never forgotten, so its count is not looked at.
    await sh('mkdir d; touch d/f; ls -l d', m.dir);
  };
  await expect(use()).rejects.toThrow('nodes that the kernel was given and never forgot');
});
