/** The table of mount options: what `-o` and the API accept, what they mean for mount(2), what the user is told. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
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
} from '../src/abi/posix.ts';
import { MemoryFs } from '../src/fs/index.ts';
import { connectionDirectory, mountAt } from '../src/mountinfo.ts';
import {
  checkOptions,
  kernelOptions,
  type MountOptions,
  mountFlags,
  mountOptions,
  OptionError,
  optionHelp,
  parseOptions,
  printOptions,
  TRANSPORTS,
} from '../src/options.ts';
import type { Request } from '../src/protocol/request.ts';
import { kernelTest, mounted, run, sh } from './support.ts';

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 0x7fff_ffff));

describe('the options that -o takes', () => {
  test('are the ones that users of libfuse and of mount know', () => {
    const expected =
      'fsname subtype blkdev blksize allow_other allow_root default_permissions ro suid dev exec sync dirsync atime diratime relatime strictatime symfollow max_read max_write max_readahead max_pages max_background congestion_threshold time_gran async_read direct_io kernel_cache auto_cache entry_timeout attr_timeout ac_attr_timeout negative_timeout uid gid umask fmask dmask request_timeout handler_timeout remember noforget transport threads max_threads clone_fd ring_depth ring_limit';
    expect(Object.keys(mountOptions).join(' ')).toBe(expected);
    expect(optionHelp().length).toBe(Object.keys(mountOptions).length);
  });

  test('become the API’s, each in its type', () => {
    expect(
      parseOptions(
        'allow_other,fsname=a=b,max_read=65536,entry_timeout=.5,attr_timeout=2.,umask=022,nosuid,rw,noatime',
      ),
    ).toEqual({
      allowOther: true,
      fsname: 'a=b',
      maxRead: 65536,
      entryTimeout: 0.5,
      attrTimeout: 2,
      umask: 0o22,
      suid: false,
      ro: false,
      atime: false,
    });
  });

  test('may be empty, have empty places, and be given twice: the later holds', () => {
    expect(parseOptions('')).toEqual({});
    expect(parseOptions(',ro,,rw,')).toEqual({ ro: false });
  });

  test('keep a comma and a backslash that are escaped', () => {
    expect(parseOptions(String.raw`fsname=a\,b\\,ro`)).toEqual({ fsname: 'a,b\\', ro: true });
    expect(parseOptions(String.raw`fsname=\\\\,ro`)).toEqual({ fsname: String.raw`\\`, ro: true });
    expect(parseOptions('fsname=end\\').fsname).toBe('end\\');
  });

  test('may hold what a line of fstab holds for others', () => {
    const fstab =
      'defaults,auto,noauto,user,users,nouser,owner,group,nofail,_netdev,comment=a b,x-systemd.automount,x-gvfs-name=a\\,b,X-mount.mkdir';
    expect(parseOptions(`${fstab},ro`)).toEqual({ ro: true });
  });

  test('print and parse to what they were', () => {
    fc.assert(
      fc.property(options, (given) => {
        expect(parseOptions(printOptions(given))).toEqual(given);
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });

  test('are never a crash, whatever the text', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(word).map((words) => words.join()),
        ),
        (text) => {
          try {
            expect(checkOptions(parseOptions(text))).toBeTypeOf('object');
          } catch (error) {
            expect(error).toBeInstanceOf(OptionError);
            expect((error as Error).message).not.toBe('');
          }
        },
      ),
      { seed: SEED, numRuns: 2000 },
    );
  });
});

/** Any valid options: each with a value of its kind. A flag without another form is there or not. */
const options = fc
  .record(
    Object.fromEntries(
      Object.entries(mountOptions).map(([name, row]) => [
        name.replace(/_(.)/gu, (_, letter: string) => letter.toUpperCase()),
        {
          flag: 'off' in row ? fc.boolean() : fc.constant(true),
          string: name === 'subtype' ? fc.stringMatching(/^[a-z.\\]+$/u) : fc.stringMatching(/^[^\0]+$/u),
          number: fc.nat(0xffff_ffff),
          seconds: fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }).map(Math.abs), // no -0
          octal: fc.nat(0o777),
          transport: fc.constantFrom(...TRANSPORTS),
          threads: fc.oneof(fc.constant('cpus' as const), fc.integer({ min: 1, max: 1024 })),
        }[row.kind],
      ]),
    ),
    { requiredKeys: [] },
  )
  .filter((given: MountOptions) => {
    try {
      checkOptions(given);
      return true;
    } catch {
      return false;
    }
  });
const word = fc
  .tuple(fc.constantFrom(...Object.keys(mountOptions), 'rw', 'x-a'), fc.string())
  .map((pair) => pair.join('='));

describe('what is refused', () => {
  const refused: [string, RegExp][] = [
    ['alow_other', /^unknown option alow_other: did you mean allow_other\?$/],
    ['allowother', /did you mean allow_other/],
    ['allowOther', /did you mean allowOther/],
    ['nosiud', /did you mean nosuid/],
    ['frobnicate', /^unknown option frobnicate$/],
    ['=3', /^unknown option =3$/],
    ['__proto__', /^unknown option __proto__$/],
    ['ro=1', /^option ro takes no value$/],
    ['max_read', /^option max_read needs a value: max_read=\.\.\.$/],
    ['fsname=', /needs a value/],
    ['max_read=64k', /^option max_read is 64k: a whole number of 32 bits is needed$/],
    ['max_read=-1', /whole number/],
    ['max_read=4294967296', /whole number/],
    ['umask=9', /octal/],
    ['umask=1777', /octal/],
    ['entry_timeout=1e999', /seconds/],
    ['entry_timeout=soon', /seconds/],
    ['subtype=a b', /^option subtype can hold no comma, slash or space$/],
    ['allow_other,allow_root', /exclude each other/],
    ['blkdev', /blkdev needs the block device/],
    ['blksize=512', /blkdev/],
  ];
  test.each(refused)('-o %s', (text, message) => {
    expect(() => parseOptions(text)).toThrow(OptionError);
    expect(() => parseOptions(text)).toThrow(message);
  });

  const wrong: [string, object, RegExp][] = [
    ['a name in the style of -o', { allow_other: true }, /^unknown option allow_other: did you mean/],
    ['a string for a flag', { ro: 'yes' }, /^option ro is 'yes': true or false is needed$/],
    ['a bigint for a number', { maxRead: 5n }, /^option maxRead is 5n: a whole number/],
    ['a fraction for a whole number', { maxRead: 1.5 }, /whole number/],
    ['for ever', { entryTimeout: Number.POSITIVE_INFINITY }, /seconds/],
    ['NaN', { attrTimeout: Number.NaN }, /seconds/],
    ['a NUL in a name', { fsname: 'a\0b' }, /text/],
    ['an empty name', { fsname: '' }, /text/],
    ['a symbol', { uid: Symbol('me') }, /Symbol\(me\)/],
    ['an object without a prototype', { uid: Object.create(null) }, /whole number/],
  ];
  test.each(wrong)('in the API: %s', (_, given, message) => {
    expect(() => checkOptions(given)).toThrow(OptionError);
    expect(() => checkOptions(given)).toThrow(message);
  });
  test('but undefined is as absent', () => {
    expect(() => checkOptions({ ro: undefined, uid: undefined })).not.toThrow();
    expect(mountFlags({ suid: undefined, dev: undefined, ro: undefined })).toBe(mountFlags({}));
    expect(printOptions({ ro: undefined })).toBe('');
  });
});

describe('what mount(2) gets', () => {
  test('is nosuid and nodev unless asked otherwise', () => {
    expect(mountFlags({})).toBe(MS_NOSUID | MS_NODEV);
    expect(mountFlags({ suid: true, dev: true })).toBe(0);
  });
  const flags: [string, number][] = [
    ['ro', MS_RDONLY],
    ['rw', 0],
    ['noexec', MS_NOEXEC],
    ['exec', 0],
    ['sync', MS_SYNCHRONOUS],
    ['async', 0],
    ['dirsync', MS_DIRSYNC],
    ['nodirsync', 0],
    ['noatime', MS_NOATIME],
    ['atime', 0],
    ['nodiratime', MS_NODIRATIME],
    ['relatime', MS_RELATIME],
    ['norelatime', 0],
    ['strictatime', MS_STRICTATIME],
    ['nostrictatime', 0],
    ['nosymfollow', MS_NOSYMFOLLOW],
    ['nosuid', MS_NOSUID],
    ['nodev', MS_NODEV],
  ];
  test.each(flags)('%s', (text, flag) => {
    expect(mountFlags({ suid: true, dev: true, ...parseOptions(text) })).toBe(flag);
  });
  test('tells FUSE’s own options', () => {
    expect(kernelOptions(parseOptions('ro,uid=5'))).toEqual([]);
    expect(kernelOptions(parseOptions('allow_root,default_permissions,max_read=4096'))).toEqual([
      'default_permissions',
      'allow_other',
      'max_read=4096',
    ]);
    expect(kernelOptions(parseOptions('blkdev,fsname=/dev/loop0,blksize=1024'))).toEqual(['blksize=1024']);
  });
});

/** With POSIX_ACL the kernel checks all permissions, whatever the options say. */
const withoutAcls = () =>
  new (class extends MemoryFs {
    override readonly promises = [];
  })();

/** The flags of a mount and of its superblock, as mountinfo shows them. */
const flagsOf = async (dir: string): Promise<string[]> => {
  const fields = (await run('grep', [` ${dir} `, '/proc/self/mountinfo'])).trim().split(' ');
  return [...fields[5]!.split(','), ...fields.at(-1)!.split(',')];
};
const shown: [string, string[], string[]][] = [
  ['', ['rw', 'nosuid', 'nodev', 'relatime'], ['noexec', 'noatime', 'sync', 'dirsync', 'nosymfollow', 'allow_other']],
  ['ro,suid,dev,noexec', ['ro', 'noexec'], ['nosuid', 'nodev']],
  ['sync,dirsync,noatime', ['sync', 'dirsync', 'noatime'], ['relatime']],
  ['nodiratime,strictatime,nosymfollow', ['nodiratime', 'nosymfollow'], ['relatime', 'noatime']],
  ['allow_root', ['allow_other'], ['default_permissions']],
  ['default_permissions,max_read=8192', ['default_permissions', 'max_read=8192'], ['allow_other']],
];
for (const [text, there, absent] of shown)
  kernelTest(`-o ${text || 'nothing'} mounts with ${there.join()}`, async () => {
    await using m = await mounted(withoutAcls(), parseOptions(text));
    const flags = await flagsOf(m.dir);
    expect(flags).toEqual(expect.arrayContaining(there));
    expect(flags.filter((each) => absent.includes(each))).toEqual([]);
  });

kernelTest('ro, noexec and nosymfollow keep programs from what they forbid', async () => {
  const filesystem = new MemoryFs();
  {
    await using m = await mounted(filesystem, {}, { leaks: false });
    await sh('printf "#!/bin/sh\\necho ran" > p; chmod 755 p; ln -s p l; cat l > /dev/null', m.dir);
  }
  await using m = await mounted(filesystem, parseOptions('ro,noexec,nosymfollow'), { leaks: false });
  await expect(sh('touch new', m.dir)).rejects.toThrow(/Read-only file system/);
  await expect(sh('./p', m.dir)).rejects.toThrow(/Permission denied/);
  await expect(sh('cat l', m.dir)).rejects.toThrow(/Too many levels of symbolic links/);
});

kernelTest('default_permissions makes the kernel check the mode', async () => {
  const read = 'setpriv --reuid=65534 --regid=65534 --clear-groups cat f';
  for (const defaultPermissions of [false, true]) {
    await using m = await mounted(withoutAcls(), { allowOther: true, defaultPermissions });
    await sh('echo x > f; chmod 600 f', m.dir);
    if (defaultPermissions) await expect(sh(read, m.dir)).rejects.toThrow(/Permission denied/);
    else expect(await sh(read, m.dir)).toBe('x\n');
  }
});

kernelTest('limits and times are what the kernel is told, and keeps to', async () => {
  const sizes: Record<string, number[]> = { READ: [], WRITE: [] };
  const text =
    'max_write=65536,max_read=16384,max_readahead=32768,max_pages=20,max_background=7,congestion_threshold=5,time_gran=1000000000,sync_read,request_timeout=60000';
  await using m = await mounted(new MemoryFs(), {
    ...parseOptions(text),
    trace: (event) => {
      if (event.kind === 'request') sizes[event.operation]?.push((event.args as { size: number }).size);
    },
  });
  const { reply, agreed, offered } = m.mount.session.agreement!;
  expect(reply).toMatchObject({
    max_write: 65536,
    max_readahead: 32768,
    max_pages: 20,
    max_background: 7,
    congestion_threshold: 5,
    time_gran: 1e9,
    request_timeout: offered.has('REQUEST_TIMEOUT') ? 60000 : 0,
  });
  expect(agreed.has('ASYNC_READ')).toBe(false);
  expect(agreed.has('REQUEST_TIMEOUT')).toBe(offered.has('REQUEST_TIMEOUT'));
  const connection = connectionDirectory(mountAt(m.dir)!);
  expect(await run('cat', [`${connection}/max_background`, `${connection}/congestion_threshold`])).toBe('7\n5\n');
  await sh('head -c 300000 /dev/zero | dd of=f bs=300000 iflag=fullblock status=none; cat f > /dev/null', m.dir);
  expect(Math.max(...sizes.WRITE!)).toBe(65536);
  expect(Math.max(...sizes.READ!)).toBe(16384);
  await sh('touch -d "2020-01-01 00:00:00.987654321Z" f', m.dir);
  expect(await sh('stat -c %.9Y f', m.dir)).toBe('1577836800.000000000\n');
});

kernelTest('async_read is asked for unless sync_read is given', async () => {
  await using m = await mounted(new MemoryFs(), parseOptions('async_read'));
  expect(m.mount.session.agreement!.agreed.has('ASYNC_READ')).toBe(true);
});

kernelTest('handler_timeout answers for a handler that does not', async () => {
  const filesystem = new MemoryFs();
  const stuck = {
    getattr: (request: Request) => filesystem.getattr(request),
    lookup: () => new Promise<never>(() => {}),
  };
  await using m = await mounted(stuck, { handlerTimeout: 0.2 });
  await expect(sh('stat f', m.dir)).rejects.toThrow(/Connection timed out/);
});
