/** The documentation is held to the code: its bytes are what the codec makes, the files it names exist. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  FATTR_ATIME,
  FATTR_CTIME,
  FATTR_GID,
  FATTR_MODE,
  FATTR_MTIME,
  FATTR_UID,
  FUSE_ROOT_ID,
} from '../src/abi/fuse-constants.ts';
import { S_IFREG } from '../src/abi/posix.ts';
import { MemoryFs } from '../src/fs/index.ts';
import { Request } from '../src/protocol/request.ts';
import { format, type Message, parse } from '../tools/wire.ts';
import { ROOT } from './installed.ts';
import { player } from './protocol/player.ts';

const textOf = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

describe('docs/first-request.md', () => {
  const blocks = [...textOf('docs/first-request.md').matchAll(/^```hex\n(.*?)^```$/gmsu)].map(([, text]) => text!);
  const messages = parse(blocks.join('\n'));
  const request = messages[0]!.bytes;

  test('shows a LOOKUP, its reply and the reply for an absent name', () => {
    expect(blocks.map((text) => text.split('\n')[0])).toEqual(['request LOOKUP', 'reply LOOKUP', 'reply LOOKUP']);
  });

  test('explains each byte as the tables do', () => {
    expect(messages.map((message) => format(message, request))).toEqual(blocks);
  });

  test("quotes LOOKUP's line of the table as it is", () => {
    expect(textOf('src/protocol/operations.ts')).toContain(/^LOOKUP: .*$/mu.exec(textOf('docs/first-request.md'))![0]);
  });

  /** A session that has had its INIT, over a filesystem with or without the file of the page. */
  function session(withFile: boolean): (request: Buffer) => Buffer | undefined {
    const filesystem = new MemoryFs({ generation: 7 });
    if (withFile) {
      const header = new DataView(new ArrayBuffer(40));
      const about = new Request(header);
      header.setBigUint64(16, BigInt(FUSE_ROOT_ID), true);
      const { entry } = filesystem.create(about, { name: 'a.txt', mode: 0o644, flags: 0, umask: 0, open_flags: 0 });
      header.setBigUint64(16, BigInt(entry.nodeid), true);
      const data = Buffer.from('hello, world\n');
      const write = { fh: 0, offset: 0, size: data.length, write_flags: 0, lock_owner: undefined, flags: 0, data };
      filesystem.write(about, write);
      const valid = FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_ATIME | FATTR_MTIME | FATTR_CTIME;
      const times = { atime: 1_767_225_600, atimensec: 1, mtime: 1_767_225_660, mtimensec: 2, ctime: 1_767_225_720 };
      const rest = { fh: undefined, size: undefined, lock_owner: undefined };
      const owner = { mode: S_IFREG | 0o644, uid: 1000, gid: 100 };
      filesystem.setattr(about, { valid, ...rest, ...times, ctimensec: 3, ...owner });
    }
    const play = player(filesystem);
    play(parse(textOf('test/protocol/wire/files.hex'))[0]!.bytes);
    return play;
  }

  test('shows the replies that MemoryFs gives', () => {
    const replies = [session(true)(request), session(false)(request)].map((bytes) => ({ kind: 'reply', bytes }));
    expect(replies.map((reply) => format(reply as Message, request))).toEqual(blocks.slice(1));
  });
});

describe('docs', () => {
  const pages = [...readdirSync(join(ROOT, 'docs')).map((name) => `docs/${name}`), 'CONTRIBUTING.md', 'CHANGELOG.md'];

  test.each(pages.filter((page) => page.endsWith('.md')))('%s links to files that exist', (page) => {
    const links = [...textOf(page).matchAll(/\]\((?!https?:|#)([^)#]+)/gu)].map(([, path]) => path!);
    expect(links.filter((path) => !existsSync(join(ROOT, dirname(page), path)))).toEqual([]);
  });

  test.each(pages.filter((page) => page.endsWith('.md')))('%s names files that exist', (page) => {
    const named = [...textOf(page).matchAll(/`((?:src|tools|test|docs|examples)\/[\w./-]+\.\w+)`/gu)];
    expect(named.map(([, path]) => path!).filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  test('the commands that they name are scripts of the package', () => {
    const { scripts } = JSON.parse(textOf('package.json'));
    for (const page of [...pages.filter((each) => each.endsWith('.md')), 'README.md'])
      for (const [, name] of textOf(page).matchAll(/npm run ([\w:]+)/gu)) expect(scripts, page).toHaveProperty(name!);
  });
});
