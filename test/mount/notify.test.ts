/**
 * Notifications on real mounts: each of the nine changes what a process sees, settles with the kernel's
 * answer, and is never in the way of the requests that it waits for. Names and attributes are cached for
 * an hour here, so that what a client sees changes only when it is told to.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { expect, test } from 'vitest';
import { EMFILE, EOPNOTSUPP } from '../../src/abi/errno.ts';
import { FOPEN_KEEP_CACHE, FUSE_POLL_SCHEDULE_NOTIFY, FUSE_UNIQUE_RESEND } from '../../src/abi/fuse-constants.ts';
import { POLLIN } from '../../src/abi/posix.ts';
import { pageSize } from '../../src/abi/syscall.ts';
import { Notifications } from '../../src/protocol/notify.ts';
import type { Args } from '../../src/protocol/operations.ts';
import type { Request } from '../../src/protocol/request.ts';
import type { TraceEvent } from '../../src/protocol/trace.ts';
import { kernelTest, mounted, type TestMount, until } from '../support.ts';
import { KERNEL_DIFFERS } from '../transport.ts';
import { Client, python } from './python.ts';
import { type Call, type Deferred, deferred, type Entries, Recorder, Tree } from './tree.ts';

const CACHED = { entryTimeout: 3600, attrTimeout: 3600 };
const failsWith = (code: string) => expect.objectContaining({ code });

/** A tree whose files keep their cached data from one open to the next. */
class CachedTree extends Tree {
  open(_: Request, __: Args<'OPEN'>) {
    return { fh: 1, open_flags: FOPEN_KEEP_CACHE };
  }
}

async function mountedTree(entries: Entries, options: Parameters<typeof mounted>[1] = {}) {
  const tree = new CachedTree(entries);
  const recorder = new Recorder(tree);
  const m = await mounted(recorder.filesystem, { ...CACHED, ...options });
  return {
    tree,
    recorder,
    ...m,
    notify: m.mount.session.notify,
    [Symbol.asyncDispose]: () => m[Symbol.asyncDispose](),
  };
}

kernelTest('INVAL_INODE makes a client see new data and attributes, which it had cached', async () => {
  await using m = await mountedTree({ file: 'old' });
  const { nodeid } = m.tree.at('file');
  await using client = new Client(m.dir, `while told(): say([slurp('file'), oct(os.stat(P('file')).st_mode & 0o777)])`);
  const seen = async () => {
    client.tell();
    return client.said();
  };
  expect(await seen()).toEqual(['old', '0o644']);
  const reads = m.recorder.count('read');
  m.tree.at('file').data = Buffer.from('new');
  m.tree.at('file').mode ^= 0o044;
  expect(await seen()).toEqual(['old', '0o644']);
  await m.notify.inval_inode(nodeid, -1); // attributes alone
  expect(await seen()).toEqual(['old', '0o600']);
  expect(m.recorder.count('read')).toBe(reads);
  await m.notify.inval_inode(nodeid);
  expect(await seen()).toEqual(['new', '0o600']);
  await expect(m.notify.inval_inode(4711)).rejects.toEqual(failsWith('ENOENT'));
});

kernelTest('INVAL_ENTRY drops a name, or has it looked up again, although it was cached for an hour', async () => {
  await using m = await mountedTree({ name: 'first', other: 'second' });
  await using client = new Client(
    m.dir,
    `
held = os.open(P('name'), os.O_RDONLY)
while told():
    say([os.stat(P('name')).st_ino, os.readlink('/proc/self/fd/%d' % held).endswith(' (deleted)')])`,
  );
  const seen = async () => {
    client.tell();
    return client.said();
  };
  const first = m.tree.at('name').nodeid;
  const second = m.tree.at('other').nodeid;
  expect(await seen()).toEqual([first, false]);
  const lookups = () => m.recorder.count('lookup', 1);
  const before = lookups();
  expect(await seen()).toEqual([first, false]);
  expect(lookups()).toBe(before);

  await m.notify.inval_entry(1, 'name', { expire: true });
  expect(lookups()).toBe(before); // at its next use, not before
  expect(await seen()).toEqual([first, false]);
  expect(lookups()).toBe(before + 1);

  m.tree.at('').entries.set('name', m.tree.at('other'));
  expect(await seen()).toEqual([first, false]);
  await m.notify.inval_entry(1, 'name');
  expect(await seen()).toEqual([second, true]);

  await expect(m.notify.inval_entry(1, 'never looked up')).rejects.toEqual(failsWith('ENOENT'));
  await expect(m.notify.inval_entry(4711, 'name')).rejects.toEqual(failsWith('ENOENT'));
});

kernelTest('DELETE removes a name and tells who watches the file', async () => {
  await using m = await mountedTree({ file: 'x', full: { child: 'y' }, another: '' });
  await using client = new Client(
    m.dir,
    `
IN_DELETE_SELF = 0x400
watches = C('inotify_init1', 0)
C('inotify_add_watch', watches, P('file'), IN_DELETE_SELF)
child = os.open(P('full/child'), os.O_RDONLY)
os.stat(P('another'))
say('watching')
_, mask, _, _ = struct.unpack('iIII', os.read(watches, 16)[:16])
say(mask & IN_DELETE_SELF != 0)
while told():
    say([result(os.lstat, P('file')) == 'ENOENT', os.listdir(P('full'))])`,
  );
  expect(await client.said()).toBe('watching');
  const { nodeid } = m.tree.at('file');
  const full = m.tree.at('full').nodeid;
  await expect(m.notify.delete(1, full, 'another')).rejects.toEqual(failsWith('ENOENT'));
  await expect(m.notify.delete(1, full, 'full')).rejects.toEqual(failsWith('ENOTEMPTY'));
  expect(client.saidMore).toBe(false);
  m.tree.at('').entries.delete('file');
  await m.notify.delete(1, nodeid, 'file');
  expect(await client.said()).toBe(true);
  client.tell();
  expect(await client.said()).toEqual([true, ['child']]);
});

kernelTest('STORE puts data where a client reads it without a READ', async () => {
  await using m = await mountedTree({ file: 'before' });
  await python(m.dir, `os.stat(P('file'))`);
  await m.notify.store(m.tree.at('file').nodeid, 0, Buffer.from('stored'));
  m.recorder.calls.length = 0;
  expect(await python(m.dir, `say(slurp('file'))`)).toEqual(['stored']);
  expect(m.recorder.count('read')).toBe(0);
  await expect(m.notify.store(4711, 0, Buffer.from('stored'))).rejects.toEqual(failsWith('ENOENT'));
});

kernelTest('RETRIEVE gives back what clients have read and written', async () => {
  const warnings: string[] = [];
  await using m = await mountedTree(
    { read: 'what was read', written: '' },
    { onWarning: (text) => warnings.push(text) },
  );
  const read = m.tree.at('read').nodeid;
  const written = m.tree.at('written').nodeid;
  await using client = new Client(
    m.dir,
    `
for name in 'read', 'written':
    os.stat(P(name))
say('known')
told()
say(slurp('read'))
file = os.open(P('written'), os.O_RDWR)
os.write(file, b'w' * (2 * os.sysconf('SC_PAGESIZE')))
say('done')
told()`,
  );
  expect(await client.said()).toBe('known');
  expect(await m.notify.retrieve(read, 0, 100)).toEqual({ offset: 0, data: Buffer.alloc(0) });
  client.tell();
  expect(await client.said()).toBe('what was read');
  expect(await client.said()).toBe('done');
  expect(await m.notify.retrieve(read, 5, 3)).toEqual({ offset: 5, data: Buffer.from('was') });
  expect(await m.notify.retrieve(written, 7, pageSize)).toEqual({ offset: 7, data: Buffer.alloc(pageSize, 'w') });
  await expect(m.notify.retrieve(4711, 0, 1)).rejects.toEqual(failsWith('ENOENT'));
  await m.notify.store(written, 0, Buffer.alloc(3 << 20, 's')); // more than one request holds
  const { offset, data } = await m.notify.retrieve(written, 100, 3 << 20);
  // Not by toEqual, which takes seconds for a megabyte.
  expect([offset, data.length, data.equals(Buffer.alloc((1 << 20) - 100, 's'))]).toEqual([100, (1 << 20) - 100, true]);
  expect(warnings, 'that this process uses its own mount: NOTIFY_REPLY comes from a thread of ours').toEqual([]);
});

kernelTest('POLL wakes a process that waits for a file to be ready', async () => {
  let ready = 0;
  class Readable extends Tree {
    poll({ nodeid }: Request, _: Args<'POLL'>) {
      return { revents: nodeid === 2 ? ready : 0 };
    }
  }
  const recorder = new Recorder(new Readable({ file: 'x' }));
  await using m = await mounted(recorder.filesystem);
  await using client = new Client(
    m.dir,
    `
poll = select.poll()
poll.register(os.open(P('file'), os.O_RDONLY | os.O_NONBLOCK), select.POLLIN)
say([events for _, events in poll.poll()])`,
  );
  await until(() => recorder.count('poll') > 0, 'a POLL');
  const { args } = recorder.last('poll');
  expect(args.flags & FUSE_POLL_SCHEDULE_NOTIFY).not.toBe(0);
  expect(args.events & POLLIN).toBe(POLLIN);
  expect(client.saidMore).toBe(false);
  ready = POLLIN;
  await m.mount.session.notify.poll(args.kh);
  expect(await client.said()).toEqual([POLLIN]);
});

/** Over a ring it would do nothing, and says so. */
const resending = KERNEL_DIFFERS.resends ? kernelTest : () => {};
if (!KERNEL_DIFFERS.resends)
  kernelTest('resend() says that it would do nothing over a ring, and sends nothing', async () => {
    const sent: TraceEvent[] = [];
    await using m = await mounted(new Tree({}), { trace: (event) => sent.push(event) });
    await expect(m.mount.session.notify.resend()).rejects.toBe(EOPNOTSUPP);
    expect(sent.filter(({ kind }) => kind === 'notification')).toEqual([]);
  });

resending('RESEND brings a request again: its handler is joined, and the client gets one answer', async () => {
  const held = deferred();
  class Slow extends Tree {
    override async mkdir(request: Request, args: Args<'MKDIR'>) {
      await held.promise;
      return super.mkdir(request, args);
    }
  }
  const tree = new Slow({});
  const recorder = new Recorder(tree);
  const events: TraceEvent[] = [];
  const deliveries = (kind: 'request' | 'reply') =>
    events.flatMap((event) => (event.kind === kind && event.operation === 'MKDIR' ? [event.unique] : []));
  await using m = await mounted(recorder.filesystem, { trace: (event) => events.push(event) });
  await using client = new Client(m.dir, `say(result(os.mkdir, P('new')))`);
  await until(() => recorder.count('mkdir') > 0, 'the MKDIR');
  const [first] = deliveries('request');
  const again = first! | FUSE_UNIQUE_RESEND;
  await m.mount.session.notify.resend();
  await until(() => deliveries('request').length === 2, 'a second delivery');
  expect(m.mount.session.inflight.map(({ unique }) => unique)).toEqual([again]);
  await m.mount.session.notify.resend();
  await until(() => deliveries('request').length === 3, 'a third delivery');
  expect(deliveries('request')).toEqual([first, again, again]);
  expect(m.mount.session.inflight.map(({ unique }) => unique)).toEqual([again]);
  held.resolve();
  expect(await client.said()).toBe(null);
  expect(deliveries('reply')).toEqual([again]);
  expect(recorder.count('mkdir')).toBe(1);
  expect(tree.at('new').nlookup).toBe(1);
});

resending('a reply that the kernel refuses because of a RESEND answers the second delivery', async () => {
  const held = deferred();
  class Slow extends Tree {
    override async mkdir(request: Request, args: Args<'MKDIR'>) {
      await held.promise;
      return super.mkdir(request, args);
    }
  }
  const tree = new Slow({});
  const recorder = new Recorder(tree);
  const replies: bigint[] = [];
  await using m = await mounted(recorder.filesystem, {
    trace: (event) => {
      if (event.kind === 'reply' && event.operation === 'MKDIR') replies.push(event.unique);
    },
  });
  await m.mount.session.notify.poll(0n); // from here on the writing thread is there
  await using client = new Client(m.dir, `say(result(os.mkdir, P('new')))`);
  await until(() => recorder.count('mkdir') > 0, 'the MKDIR');
  const { notify } = m.mount.session;
  const writes = () => /^syscw: (\d+)/mu.exec(readFileSync(`/proc/self/task/${notify.writer}/io`, 'latin1'))![1];
  const before = writes();
  const resent = notify.resend();
  // Nothing is read here before it is written: the request is on its way again when its first answer goes out.
  while (writes() === before);
  held.resolve();
  await resent;
  expect(await client.said()).toBe(null);
  const [{ unique }] = recorder.of('mkdir') as [Call];
  expect(replies).toEqual([unique, unique | FUSE_UNIQUE_RESEND]);
  expect(recorder.count('mkdir')).toBe(1);
  expect(tree.at('new').nlookup).toBe(1);
});

kernelTest('INC_EPOCH has every cached name looked up again', async () => {
  await using m = await mountedTree({ a: '', b: '' });
  const lookups = async () => {
    m.recorder.calls.length = 0;
    await python(m.dir, `os.stat(P('a')); os.stat(P('b'))`);
    return m.recorder.of('lookup').map(({ args }) => args.name);
  };
  expect(await lookups()).toEqual(['a', 'b']);
  expect(await lookups()).toEqual([]);
  await m.notify.inc_epoch();
  expect(await lookups()).toEqual(['a', 'b']);
  expect(await lookups()).toEqual([]);
});

kernelTest('PRUNE brings the FORGET of each node that nobody uses', async () => {
  await using m = await mountedTree({ open: '', used: '', unused: '', kept: '' });
  await using client = new Client(
    m.dir,
    `
for name in 'used', 'unused', 'kept':
    os.stat(P(name))
file = os.open(P('open'), os.O_RDONLY)
say('ready')
told()`,
  );
  expect(await client.said()).toBe('ready');
  const id = (name: string) => m.tree.at(name).nodeid;
  await m.notify.prune([id('open'), 4711, id('unused'), id('used')]);
  await until(() => m.recorder.count('forget') === 2, 'two FORGETs');
  expect(m.tree.nodes.counted.map(({ nodeid }) => nodeid)).toEqual([id('open'), id('kept')]);
  await expect(m.notify.prune([])).rejects.toEqual(failsWith('EINVAL'));
});

kernelTest('notifications are written in the order of the calls, and settle in it', async () => {
  const written: string[] = [];
  const trace = (event: TraceEvent) => {
    if (event.kind === 'notification') written.push(`${event.operation} ${event.error ?? 'done'}`);
  };
  await using m = await mountedTree({ file: 'x' }, { trace });
  await python(m.dir, `slurp('file')`);
  const settled: string[] = [];
  const { nodeid } = m.tree.at('file');
  const { notify } = m;
  const calls: [string, Promise<unknown>][] = [
    ['inval_inode', notify.inval_inode(nodeid)],
    ['inval_entry', notify.inval_entry(1, 'absent')],
    ['inc_epoch', notify.inc_epoch()],
    ['store', notify.store(4711, 0, Buffer.from('x'))],
    ['poll', notify.poll(99n)],
    ...(KERNEL_DIFFERS.resends ? [['resend', notify.resend()] as [string, Promise<void>]] : []),
  ];
  const watch = (name: string) => () => settled.push(name);
  await Promise.all(calls.map(([name, promise]) => promise.then(watch(name), watch(name))));
  expect(settled).toEqual(calls.map(([name]) => name));
  expect(written).toEqual([
    'INVAL_INODE done',
    'INVAL_ENTRY ENOENT',
    'INC_EPOCH done',
    'STORE ENOENT',
    'POLL done',
    ...(KERNEL_DIFFERS.resends ? ['RESEND done'] : []),
  ]);
});

kernelTest('a handler sends a notification for its own node, does not wait, and is answered', async () => {
  const sent: Promise<void>[] = [];
  let notify: Notifications | undefined;
  class Notifying extends CachedTree {
    override lookup(request: Request, args: Args<'LOOKUP'>) {
      if (notify) sent.push(notify.inval_entry(request.nodeid, 'b'), notify.inval_inode(request.nodeid));
      // Refused, and nobody looks: that must not end the process as an unhandled rejection.
      notify?.inval_inode(4711);
      notify?.prune([]);
      return super.lookup(request, args);
    }
    override read(request: Request, args: Args<'READ'>) {
      if (notify) sent.push(notify.inval_inode(request.nodeid));
      return super.read(request, args);
    }
  }
  await using m = await mounted(new Notifying({ a: 'content', b: '' }), CACHED);
  await python(m.dir, `os.stat(P('b'))`);
  notify = m.mount.session.notify;
  expect(await python(m.dir, `say(slurp('a'))`)).toEqual(['content']);
  expect(sent).toHaveLength(3);
  await Promise.all(sent);
});

/** Requests that a test leaves unanswered: LOOKUP of `slow` and MKDIR in a directory, READ of a file called `slow`. */
class Holding extends CachedTree {
  /** While it is there, such requests wait for it. */
  hold: Deferred<void> | undefined;
  override async lookup(request: Request, args: Args<'LOOKUP'>) {
    if (args.name === 'slow') await this.hold?.promise;
    return super.lookup(request, args);
  }
  override async mkdir(request: Request, args: Args<'MKDIR'>) {
    await this.hold?.promise;
    return super.mkdir(request, args);
  }
  override async read(request: Request, args: Args<'READ'>) {
    if (request.nodeid === this.at('dir/file').nodeid) await this.hold?.promise;
    return super.read(request, args);
  }
}

/** The request that is left unanswered, and what makes a client send it. */
const HOLDERS = {
  LOOKUP: `os.stat(P('dir/slow'))`,
  MKDIR: `os.mkdir(P('dir/new'))`,
  READ: `slurp('dir/file')`,
} as const;
type Holder = keyof typeof HOLDERS;
type Send = (tree: Tree, notify: Notifications) => Promise<unknown>;
const dir = (tree: Tree) => tree.at('dir').nodeid;
const file = (tree: Tree) => tree.at('dir/file').nodeid;
const other = (tree: Tree) => tree.at('dir/other').nodeid;
/** Each notification, for what the unanswered requests are about, and which of them it has to wait for. */
const ALL: Record<string, { readonly send: Send; readonly waitsFor: readonly Holder[] }> = {
  inval_inode: { send: (tree, notify) => notify.inval_inode(file(tree)), waitsFor: ['READ'] },
  store: { send: (tree, notify) => notify.store(file(tree), 0, Buffer.from('stored')), waitsFor: ['READ'] },
  inval_entry: {
    send: (tree, notify) => notify.inval_entry(dir(tree), 'other'),
    waitsFor: ['LOOKUP', 'MKDIR'],
  },
  delete: {
    send: (tree, notify) => notify.delete(dir(tree), tree.at('dir/gone').nodeid, 'gone'),
    waitsFor: ['LOOKUP', 'MKDIR'],
  },
  poll: { send: (_, notify) => notify.poll(1n), waitsFor: [] },
  retrieve: { send: (tree, notify) => notify.retrieve(file(tree), 0, 1), waitsFor: [] },
  ...(KERNEL_DIFFERS.resends && {
    resend: { send: (_: Tree, notify: Notifications) => notify.resend(), waitsFor: [] },
  }),
  inc_epoch: { send: (_, notify) => notify.inc_epoch(), waitsFor: [] },
  prune: { send: (tree, notify) => notify.prune([dir(tree), file(tree), other(tree)]), waitsFor: [] },
};

async function held(holder: Holder) {
  const tree = new Holding({ dir: { file: 'file', other: '', gone: '', slow: '' }, free: 'free' });
  const m = await mounted(tree, CACHED);
  await python(m.dir, `for name in 'file', 'other', 'gone': os.stat(P('dir/' + name))`);
  tree.hold = deferred();
  const client = new Client(m.dir, `say(result(lambda: (${HOLDERS[holder]}, 'done')[1]))`);
  await until(() => m.mount.session.inflight.some(({ operation }) => operation === holder), holder);
  return {
    ...m,
    tree,
    client,
    notify: m.mount.session.notify,
    async [Symbol.asyncDispose]() {
      tree.hold?.resolve();
      await client[Symbol.asyncDispose]();
      await m[Symbol.asyncDispose]();
    },
  };
}

for (const holder of Object.keys(HOLDERS) as Holder[]) {
  for (const [name, { send, waitsFor }] of Object.entries(ALL)) {
    if (!waitsFor.includes(holder)) continue;
    kernelTest(`${name} waits for an unanswered ${holder}, while other requests are answered`, async () => {
      await using m = await held(holder);
      let settled = false;
      const sent = send(m.tree, m.notify).finally(() => {
        settled = true;
      });
      const behind = m.notify.inval_entry(1, 'absent');
      behind.catch(() => {});
      await othersAreAnswered(m.dir);
      expect(settled).toBe(false);
      expect(m.mount.session.inflight.map(({ operation }) => operation)).toEqual([holder]);
      m.tree.hold!.resolve();
      expect(await m.client.said()).toBe('done');
      await sent;
      await expect(behind).rejects.toEqual(failsWith('ENOENT'));
    });
  }

  const others = Object.entries(ALL).filter(([, { waitsFor }]) => !waitsFor.includes(holder));
  kernelTest(`${others.map(([name]) => name).join(', ')} do not wait for an unanswered ${holder}`, async () => {
    await using m = await held(holder);
    for (const [, { send }] of others) await send(m.tree, m.notify);
    await othersAreAnswered(m.dir);
    expect(m.mount.session.inflight.map(({ operation }) => operation)).toEqual([holder]);
    m.tree.hold!.resolve();
    expect(await m.client.said()).toBe('done');
  });
}

async function othersAreAnswered(dir: string): Promise<void> {
  const script = `for i in range(3): say([slurp('free'), os.stat(P('free')).st_size, len(os.listdir(DIR))])`;
  expect(await python(dir, script)).toEqual(Array(3).fill(['free', 4, 2]));
}

/** Ways for a session to end, and the reason that `closed` then gives. */
const ENDS: [string, string, (m: TestMount) => unknown][] = [
  ['is aborted', 'aborted', ({ mount }) => mount.abort()],
  ['is unmounted by force', 'unmounted', ({ mount }) => mount.unmount({ force: true })],
  ['fails', 'failed', ({ mount }) => mount.session.end({ reason: 'failed' })],
  [
    'is lazily unmounted and then fails',
    'failed',
    async ({ mount }) => {
      await mount.unmount({ lazy: true });
      mount.session.end({ reason: 'failed' });
    },
  ],
];
for (const [how, reason, end] of ENDS)
  kernelTest(`a session that ${how} refuses the notifications that are not written, and leaves no thread`, async () => {
    await using m = await held('LOOKUP');
    const blocked = m.notify.inval_entry(m.tree.at('dir').nodeid, 'other');
    const queued = [m.notify.inc_epoch(), m.notify.poll(1n), m.notify.retrieve(1, 0, 1)];
    const all = Promise.allSettled([blocked, ...queued]);
    await othersAreAnswered(m.dir);
    await end(m);
    expect((await m.mount.closed).reason).toBe(reason);
    const refused = { status: 'rejected', reason: failsWith('ENOTCONN') };
    expect(await all).toEqual([refused, refused, refused, refused]);
    await expect(m.notify.resend()).rejects.toEqual(failsWith('ENOTCONN'));
    expect(await m.client.said()).toMatch(/^(ENOTCONN|ECONNABORTED)$/);
    expect(deviceDescriptors(), 'descriptors of the thread and of the session').toEqual([]);
  });

const deviceDescriptors = (): string[] =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === '/dev/fuse';
    } catch {
      return false; // the one that read the directory
    }
  });

test('a notification that cannot be written at all is refused, and so is the next', async () => {
  const none = new Notifications(() => {
    throw EMFILE;
  });
  await expect(none.poll(1n)).rejects.toBe(EMFILE);
  await expect(none.inc_epoch()).rejects.toBe(EMFILE);
  await expect(none.inval_inode(-1)).rejects.toThrow(RangeError); // no nodeid
  expect(none.writing).toBe(false);
});
