/**
 * `npm run trace:record`: mounts MemoryFs, lets real programs use it, and writes every message that went
 * over /dev/fuse as commented hex into test/protocol/wire, a file a session. test/protocol/replay.test.ts
 * plays them to a session without a mount; for people they are the protocol to read, line by line.
 *
 * The tap stands between session and transport, where whole messages pass in both directions: the
 * library has no hook for it and pays nothing.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmdirSync, writeFileSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { MS_NODEV, MS_NOSUID, O_CLOEXEC, O_NONBLOCK, O_RDWR } from '../src/abi/posix.ts';
import { mount, open } from '../src/abi/syscall.ts';
import { MemoryFs } from '../src/fs/index.ts';
import { DeviceTransport } from '../src/protocol/device.ts';
import { Session } from '../src/protocol/session.ts';
import type { Slot } from '../src/protocol/slot.ts';
import type { Transport } from '../src/protocol/transport.ts';
import { format, type Message } from './wire.ts';

/** What is recorded: shell scripts that run in the mount, each a session of its own. */
const SESSIONS = {
  files: `
    printf 'hello, world\\n' > a.txt
    cat a.txt
    chmod 640 a.txt
    truncate -s 5 a.txt
    ln a.txt b.txt
    mv b.txt c.txt
    stat -c %s c.txt
    rm a.txt c.txt`,
  directories: `
    mkdir d
    touch d/one d/two
    ln -s one d/link
    readlink d/link
    ls -l d
    mv d/two d/three
    ls d
    cat d/absent || true
    rmdir d || true
    stat -f -c %S d
    rm -r d`,
} as const;

/** The options of the recorded sessions. Pages are told so that nothing depends on this machine's. */
export const OPTIONS = { maxPages: 256, maxWrite: 1 << 20 } as const;

class RecordedSession extends Session {
  readonly messages: { message: Message; request: Buffer }[] = [];

  override attach(transport: Transport): void {
    super.attach({
      answer: (slot, answer) => {
        transport.answer(slot, answer);
        this.#reply(slot); // its header is there only now
      },
      release: (slot) => transport.release(slot),
      park: (slot, whole) => transport.park(slot, whole),
      resume: () => transport.resume(),
      resize: (sizes) => transport.resize(sizes),
      duplicate: () => transport.duplicate(),
      close: () => transport.close(),
    });
  }

  override serve(slot: Slot): void {
    const bytes = requestOf(slot);
    this.messages.push({ message: { kind: 'request', bytes }, request: bytes });
    super.serve(slot);
  }

  #reply(slot: Slot): void {
    const { buffer, byteOffset } = slot.out;
    const bytes = Buffer.from(Buffer.from(buffer, byteOffset, slot.out.getUint32(0, true)));
    this.messages.push({ message: { kind: 'reply', bytes }, request: requestOf(slot) });
  }
}
const requestOf = (slot: Slot): Buffer => Buffer.from(slot.bytes.subarray(0, slot.end));

async function record(script: string): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'rawfuse-record-'));
  const fd = open('/dev/fuse', O_RDWR | O_NONBLOCK | O_CLOEXEC);
  const data = `fd=${fd},rootmode=40000,user_id=${process.getuid!()},group_id=${process.getgid!()}`;
  mount('rawfuse', directory, 'fuse.rawfuse', MS_NOSUID | MS_NODEV, data);
  const session = new RecordedSession(new MemoryFs({ size: 1 << 30, generation: 7 }), OPTIONS);
  new DeviceTransport(fd, session).start();
  await session.ready;
  const run = promisify(execFile);
  try {
    // The umask and the locale are set, so that a recording is the same everywhere.
    await run('sh', ['-c', `cd "$1"; umask 022; export LC_ALL=C; ${script}`, 'sh', directory], { timeout: 30_000 });
  } finally {
    await run('umount', ['-l', directory]);
    await session.closed;
    rmdirSync(directory);
  }
  return session.messages.map(({ message, request }) => format(message, request)).join('\n');
}

if (process.argv[1] === import.meta.filename) {
  const wire = join(import.meta.dirname, '../test/protocol/wire');
  mkdirSync(wire, { recursive: true });
  for (const [name, script] of Object.entries(SESSIONS)) {
    const file = join(wire, `${name}.hex`);
    const head = [
      `# A session recorded on Linux ${release().match(/^\d+\.\d+/u)![0]} by npm run trace:record, which writes this file.`,
      '# A request or a reply is a line that says so and its bytes; what is behind # is for people.',
      '# In the mount ran:',
      ...script
        .trim()
        .split('\n')
        .map((line) => `#   ${line.trim()}`),
    ];
    writeFileSync(file, `${head.join('\n')}\n\n${await record(script)}`);
    console.log(file);
  }
}
