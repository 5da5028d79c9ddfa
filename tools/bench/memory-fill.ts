/**
 * A directory of many empty files, made as the load client (metabench.c) makes it, DIR/mb/listN with f0000000 and so
 * on, but from inside of the server: by calls of the filesystem's own methods, a million in seconds. The kernel learns
 * of the files when somebody lists them; what it was not told it can't forget, so each lookup is taken back here.
 */
import type { MemoryFs } from '../../src/fs/index.ts';
import { EEXIST, FUSE_ROOT_ID, S_IFREG } from '../../src/index.ts';
import { Request, structs } from '../../src/protocol/index.ts';

/** Makes DIR/mb/listN; answers N. */
export function fill(filesystem: MemoryFs, count: number): number {
  const mb = directory(filesystem, FUSE_ROOT_ID, 'mb');
  const list = by(directory(filesystem, mb, `list${count}`));
  for (let i = 0; i < count; i++) {
    const name = `f${`${i}`.padStart(7, '0')}`;
    const { nodeid } = filesystem.mknod(list, { name, mode: S_IFREG | 0o644, rdev: 0, umask: 0 });
    filesystem.forget(list, { nodeid, nlookup: 1 });
  }
  return count;
}

/** The node of a directory, which may be there already. The kernel knows neither, or has counted its own lookup. */
function directory(filesystem: MemoryFs, parent: number, name: string): number {
  const request = by(parent);
  const { nodeid } = made() ?? filesystem.lookup(request, { name });
  filesystem.forget(request, { nodeid, nlookup: 1 });
  return nodeid;

  function made(): { nodeid: number } | undefined {
    try {
      return filesystem.mkdir(request, { name, mode: 0o755, umask: 0 });
    } catch (error) {
      if (error === EEXIST) return undefined;
      throw error;
    }
  }
}

/** A request about a node as root makes it. */
function by(nodeid: number): Request {
  const view = new DataView(new ArrayBuffer(structs.fuse_in_header.size));
  const caller = { uid: 0, gid: 0, pid: 0 };
  structs.fuse_in_header.encode(view, 0, { len: 0, opcode: 0, unique: 0n, nodeid, ...caller, total_extlen: 0 });
  return new Request(view);
}
