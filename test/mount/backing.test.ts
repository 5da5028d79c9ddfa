/**
 * Files that the kernel reads and writes itself: that no request for their data comes, that what is written is in the backing file,
 * and what the kernel does where its rules are broken.
 */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { FOPEN_DIRECT_IO, FOPEN_KEEP_CACHE, FOPEN_PASSTHROUGH } from '../../src/abi/fuse-constants.ts';
import { S_IFREG } from '../../src/abi/posix.ts';
import type { Connection } from '../../src/protocol/connection.ts';
import type { Promised } from '../../src/protocol/filesystem.ts';
import type { Args } from '../../src/protocol/operations.ts';
import type { Request } from '../../src/protocol/request.ts';
import { kernelTest, mounted } from '../support.ts';
import { Client, python } from './python.ts';
import { Recorder, Tree } from './tree.ts';

/** Two files of a tree, both of which the kernel may have; `answers` says how an open is answered. */
class Backed extends Tree {
  readonly promises: readonly Promised[];
  readonly dir = mkdtempSync(join(tmpdir(), 'rawfuse-backing-'));
  connection!: Connection;
  ids: number[] = [];
  answers: (ids: readonly number[]) => { open_flags: number; backing_id?: number } = ([one]) => ({
    open_flags: FOPEN_PASSTHROUGH,
    backing_id: one!,
  });

  constructor(promises: readonly Promised[] = ['PASSTHROUGH']) {
    super({ file: 'above' });
    this.promises = promises;
    for (const name of ['one', 'two']) writeFileSync(join(this.dir, name), 'below');
  }
  init(connection: Connection) {
    this.connection = connection;
  }
  /** Registers a file of the directory. */
  register(name: string): number {
    const fd = openSync(join(this.dir, name), 'r+');
    try {
      return this.connection.backing.open(fd);
    } finally {
      closeSync(fd); // the kernel has its own reference
    }
  }
  open(_: Request, __: Args<'OPEN'>) {
    return { fh: 7, ...this.answers(this.ids) };
  }
  /** As the kernel asks after a write: the size is the backing file's. */
  override attr(node: Parameters<Tree['attr']>[0]) {
    const regular = (node.mode & S_IFREG) === S_IFREG;
    return { ...super.attr(node), ...(regular ? { size: readFileSync(join(this.dir, 'one')).length } : {}) };
  }
  [Symbol.dispose]() {
    rmSync(this.dir, { recursive: true });
  }
}

async function backed(filesystem: Backed) {
  const recorder = new Recorder(filesystem);
  const m = await mounted(recorder.filesystem);
  return { ...m, recorder, [Symbol.asyncDispose]: () => m[Symbol.asyncDispose]() };
}

kernelTest('what is read, written and mapped is the backing file, and no request for it comes', async () => {
  using filesystem = new Backed();
  await using m = await backed(filesystem);
  expect(filesystem.connection.agreed.has('PASSTHROUGH')).toBe(true);
  filesystem.ids = [filesystem.register('one')];
  expect(filesystem.ids[0]).toBeGreaterThan(0);
  const script = `
import mmap
file = os.open(P('file'), os.O_RDWR)
say(os.pread(file, 100, 0).decode())
say(os.pwrite(file, b'x' * (1 << 20), 5))
with mmap.mmap(file, 1 << 20) as mapped:
    mapped[0:5] = b'BELOW'
    mapped.flush()
os.fsync(file)
say(os.pread(file, 7, 0).decode())`;
  expect(await python(m.dir, script)).toEqual(['below', 1 << 20, 'BELOWxx']);
  const content = readFileSync(join(filesystem.dir, 'one'), 'latin1');
  expect([content.length, content.slice(0, 8)]).toEqual([5 + (1 << 20), 'BELOWxxx']);
  for (const operation of ['read', 'write'] as const) expect(m.recorder.of(operation), operation).toEqual([]);
});

kernelTest('a number is given back: opens with it fail, files that are open go on', async () => {
  using filesystem = new Backed();
  await using m = await backed(filesystem);
  const { backing } = filesystem.connection;
  filesystem.ids = [filesystem.register('one')];
  const script = `
held = os.open(P('file'), os.O_RDONLY)
say('open')
told()
say(os.pread(held, 9, 0).decode())
os.close(held)
say(result(lambda: os.close(os.open(P('file'), os.O_RDONLY))))`;
  await using client = new Client(m.dir, script);
  expect(await client.said()).toBe('open');
  backing.close(filesystem.ids[0]!);
  expect(() => backing.close(filesystem.ids[0]!)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  client.tell();
  expect(await client.said()).toBe('below');
  expect(await client.said()).toBe('EIO');
});

kernelTest('while a node is passed through, no other way to it is open, and the other way round', async () => {
  using filesystem = new Backed();
  await using m = await backed(filesystem);
  filesystem.ids = [filesystem.register('one'), filesystem.register('two')];
  const through = filesystem.answers;
  await using client = new Client(
    m.dir,
    `
held = None
while True:
    command = told().strip()
    if command == 'hold': held = os.open(P('file'), os.O_RDONLY)
    if command == 'drop': os.close(held)
    say(result(lambda: os.close(os.open(P('file'), os.O_RDONLY))) if command == 'try' else command)`,
  );
  const tell = (what: string) => {
    client.tell(what);
    return client.said();
  };
  const others: Record<string, Backed['answers']> = {
    cached: () => ({ open_flags: 0 }),
    'with another number': ([, two]) => ({ open_flags: FOPEN_PASSTHROUGH, backing_id: two! }),
    'kept in the cache': ([one]) => ({ open_flags: FOPEN_PASSTHROUGH | FOPEN_KEEP_CACHE, backing_id: one! }),
    'past the cache alone': () => ({ open_flags: FOPEN_DIRECT_IO }),
  };
  await tell('hold');
  expect(await tell('try')).toBeNull();
  const found: Record<string, unknown> = {};
  for (const [name, answers] of Object.entries(others)) {
    filesystem.answers = answers;
    found[name] = await tell('try');
  }
  expect(found).toEqual({
    ...{ cached: 'EIO', 'with another number': 'EIO', 'kept in the cache': 'EIO', 'past the cache alone': 'EIO' },
  });
  await tell('drop');
  filesystem.answers = () => ({ open_flags: 0 });
  await tell('hold');
  filesystem.answers = through;
  expect(await tell('try')).toBe('EIO');
});

kernelTest('what can not be registered is told by its errno', async () => {
  using filesystem = new Backed();
  await using _m = await backed(filesystem);
  const refused = (what: () => void) => {
    try {
      what();
      return undefined;
    } catch (error) {
      return (error as { code?: string }).code;
    }
  };
  const { backing } = filesystem.connection;
  expect(refused(() => backing.open(1 << 20))).toBe('EBADF');
  for (const [path, code] of [
    [filesystem.dir, 'EISDIR'],
    ['/dev/null', 'EINVAL'],
  ] as const) {
    const fd = openSync(path, 'r');
    expect(
      refused(() => backing.open(fd)),
      path,
    ).toBe(code);
    closeSync(fd);
  }

  using plain = new Backed([]);
  await using _n = await backed(plain);
  expect(
    refused(() => plain.register('one')),
    'not agreed',
  ).toBe('EPERM');
});
