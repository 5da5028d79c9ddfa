/** Requests to call a filesystem's methods with, without a kernel. */
import { fuse_in_header } from '../../src/abi/fuse.ts';
import { Request } from '../../src/protocol/request.ts';

/** One about a node, by a user. */
export function at(nodeid: number, uid = 0, gid = 0): Request {
  const view = new DataView(new ArrayBuffer(fuse_in_header.size));
  fuse_in_header.encode(view, 0, { len: 40, opcode: 1, unique: 2n, nodeid, uid, gid, pid: 1, total_extlen: 0 });
  return new Request(view);
}
