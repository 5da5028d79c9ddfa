/**
 * Says who opens the files of a directory, keeps some closed, and leaves what is in them to the kernel: `npx tsx examples/audit.ts SOURCE DIR
 * [KEPT]`. The files of SOURCE, not of directories in it, can be read at DIR; a line tells of each open, and a name that has the regular
 * expression KEPT in it is EACCES for all but root. The server hears of opens alone: no read comes to it, nor a page of a mapping.
 */
import { closeSync, lstatSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { DT_REG, EACCES, ENOENT, type Filesystem, mount, O_RDONLY, S_IFDIR } from 'rawfuse';
import { HandedFiles } from 'rawfuse/fs';

const [source, directory, kept] = process.argv.slice(2);
if (source === undefined || directory === undefined) {
  console.error('usage: audit SOURCE DIR [KEPT]');
  process.exit(2);
}
const closed = kept === undefined ? undefined : new RegExp(kept, 'u');

/** Names by nodeid, from 2 on: one that was looked up keeps its number for ever. */
const names = ['', ''];
const nodeidOf = (name: string): number => (names.includes(name) ? names.indexOf(name) : names.push(name) - 1);
const pathOf = (nodeid: number): string => join(source, names[nodeid]!);
const files = () => readdirSync(source, { withFileTypes: true }).filter((entry) => entry.isFile());

function attributes(nodeid: number) {
  const { ino, mode, size, nlink, uid, gid, mtimeMs } = lstatSync(pathOf(nodeid));
  return { ino: BigInt(ino), mode, size, nlink, uid, gid, mtime: Math.floor(mtimeMs / 1000) };
}

let handed: HandedFiles;
const audit: Filesystem = {
  promises: ['PASSTHROUGH'],
  init(connection) {
    handed = new HandedFiles(connection);
  },
  lookup(_, { name }) {
    if (!files().some((file) => file.name === name)) throw ENOENT;
    const nodeid = nodeidOf(name);
    return { nodeid, attr: attributes(nodeid) };
  },
  getattr: ({ nodeid }) => ({ attr: nodeid === 1 ? { ino: 1n, mode: S_IFDIR | 0o555 } : attributes(nodeid) }),
  readdir(_, { offset }, reply) {
    for (const [i, { name }] of files().entries())
      if (i >= offset && !reply.add({ name, ino: BigInt(nodeidOf(name)), type: DT_REG, off: BigInt(i + 1) })) return;
  },
  open({ nodeid, uid, pid }) {
    const allowed = uid === 0 || !closed?.test(names[nodeid]!);
    console.log(`${names[nodeid]} opened by process ${pid} of user ${uid}${allowed ? '' : ': refused'}`);
    if (!allowed) throw EACCES;
    const fd = openSync(pathOf(nodeid), O_RDONLY);
    return { fh: fd, ...handed.open(nodeid, fd) };
  },
  release({ nodeid }, { fh }) {
    closeSync(fh);
    handed.release(nodeid);
  },
  // Where the kernel does not take files: it says so, once.
  read: (_, { fh, offset, size }, reply) => readSync(fh, reply, 0, size, offset),
};

const mounted = await mount(audit, directory, { ro: true, allowOther: true, defaultPermissions: true });
process.on('SIGINT', () => mounted.unmount({ lazy: true }));
console.log(`Serving ${mounted.path}; Ctrl-C unmounts.`);
