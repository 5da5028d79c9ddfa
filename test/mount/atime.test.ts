/** Access times, which the kernel leaves to the filesystem: by the rule of the filesystem, or of the mount. */
import { expect } from 'vitest';
import { type Atime, MemoryFs } from '../../src/fs/index.ts';
import { type MountOptions, parseOptions } from '../../src/options.ts';
import { client, kernelTest, mounted } from '../support.ts';

/** What moves when a file, a directory and a symlink are read: first with an old access time, then with one that is newer than the others. */
const script = `
  fs.writeFileSync(join(dir, 'file'), 'x'); fs.mkdirSync(join(dir, 'dir')); fs.symlinkSync('file', join(dir, 'link'));
  const read = { file: (p) => fs.readFileSync(p), dir: (p) => fs.readdirSync(p), link: (p) => fs.readlinkSync(p) };
  const moved = [];
  const later = Date.now() / 1000 + 3600;
  for (const [name, how] of Object.entries(read)) {
    const path = join(dir, name);
    for (const atime of name === 'link' ? [1] : [1, later]) {
      fs.lutimesSync(path, atime, 2);
      const before = fs.lstatSync(path, { bigint: true }).atimeNs;
      how(path);
      if (fs.lstatSync(path, { bigint: true }).atimeNs !== before) moved.push(name + (atime === 1 ? ' old' : ' new'));
    }
  }
  return moved;`;

const relatime = ['file old', 'dir old', 'link old'];
const strict = ['file old', 'file new', 'dir old', 'dir new', 'link old'];
const cases: readonly [Atime | undefined, string, string[]][] = [
  [undefined, '', relatime],
  [undefined, 'noatime', []],
  [undefined, 'strictatime', strict],
  [undefined, 'nodiratime', ['file old', 'link old']],
  ['relatime', 'nodiratime', relatime],
  ['strict', '', strict],
  ['none', '', []],
  ['relatime', 'noatime', relatime], // what the filesystem was told itself holds
  ['none', 'strictatime', []],
];
for (const [atime, text, expected] of cases)
  kernelTest(`access times: ${atime ?? 'nothing said'}, mounted with ${text || 'nothing'}`, async () => {
    const options: MountOptions = { ...parseOptions(text), attrTimeout: 0 };
    await using m = await mounted(new MemoryFs({ atime }), options);
    expect(await client(m.dir, script)).toEqual(expected);
  });
