/** File handles (name_to_handle_at(2)) when the kernel has forgotten what they name: it asks for "." and ".." then. */
import { expect } from 'vitest';
import { MemoryFs } from '../../src/fs/index.ts';
import type { TraceEvent } from '../../src/protocol/trace.ts';
import { Agent } from '../posix/agent.ts';
import { forgotten, kernelTest, mounted, sh } from '../support.ts';

/** Handles of a deep file, its directory, a file that will be gone, and the root: as text that `opened` takes. */
const take = `
base = ROOT_DIR
out([name_to_handle(os.path.join(base, name)) for name in ('a/b/file', 'a/b', 'gone', '.')])`;
const opened = `
base = ROOT_DIR
def use(kind, data):
    fd = open_handle((kind, data.encode('latin-1')), mount=base)
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        return [sorted(os.listdir(fd)), sorted(os.listdir(os.open('..', os.O_RDONLY, dir_fd=fd)))]
    return [os.read(fd, 100), os.fstat(fd).st_nlink]
for handle in HANDLES:
    out(t(use, *handle))`;

const withDir = (script: string, dir: string, handles?: unknown): string =>
  `ROOT_DIR = ${JSON.stringify(dir)}\nHANDLES = ${JSON.stringify(handles ?? null).replaceAll('null', 'None')}\n${script}`;

kernelTest('a handle opens its file after the kernel has forgotten it, and is ESTALE when it is gone', async () => {
  const fs = new MemoryFs();
  const events: TraceEvent[] = [];
  await using agent = new Agent();
  await using m = await mounted(fs, { trace: (event) => events.push(event) });
  await sh('mkdir -p a/b; echo deep > a/b/file; echo x > gone', m.dir);
  const [handles] = await agent.run(withDir(take, m.dir), '/tmp');
  await sh('rm gone', m.dir);
  await forgotten(fs, m.dir);
  events.length = 0;
  expect(await agent.run(withDir(opened, m.dir, handles), '/tmp')).toEqual([
    ['deep\n', 1],
    [['file'], ['b']],
    'ESTALE',
    [['a'], expect.anything()], // above the root is what it is mounted on
  ]);
  const asked = events.flatMap((event) =>
    event.kind === 'request' && event.operation === 'LOOKUP' ? [(event.args as { name: string }).name] : [],
  );
  expect(asked).toContain('.');
  // A directory is connected to the root by asking for its parents.
  expect(asked).toContain('..');
});

kernelTest('a handle of another filesystem that was mounted here before opens nothing', async () => {
  await using agent = new Agent();
  let handles: unknown;
  const base = '/tmp';
  {
    await using m = await mounted(new MemoryFs());
    await sh('mkdir -p a/b; echo deep > a/b/file; echo x > gone', m.dir);
    [handles] = await agent.run(withDir(take, m.dir), base);
  }
  const other = new MemoryFs();
  await using m = await mounted(other);
  await sh('mkdir -p a/b; echo secret > a/b/file; echo x > gone', m.dir);
  await forgotten(other, m.dir);
  const [file, directory, gone] = await agent.run(withDir(opened, m.dir, handles), base);
  expect([file, directory, gone]).toEqual(['ESTALE', 'ESTALE', 'ESTALE']);
});
