/** Requests to call a filesystem's methods with, without a kernel. */
import { FUSE_REC_ALIGN } from '../../src/abi/align.ts';
import { fuse_dirent, fuse_in_header } from '../../src/abi/fuse.ts';
import { FUSE_NAME_OFFSET } from '../../src/abi/fuse-constants.ts';
import type { DirectoryReply, Dirent } from '../../src/protocol/dirent.ts';
import { decodeName } from '../../src/protocol/names.ts';
import { Request } from '../../src/protocol/request.ts';

/** One about a node, by a user. */
export function at(nodeid: number, uid = 0, gid = 0): Request {
  const view = new DataView(new ArrayBuffer(fuse_in_header.size));
  fuse_in_header.encode(view, 0, { len: 40, opcode: 1, unique: 2n, nodeid, uid, gid, pid: 1, total_extlen: 0 });
  return new Request(view);
}

/** A READDIR's reply that keeps what it is told, so many entries at most. */
export class Told {
  readonly entries: Dirent[] = [];
  readonly #most: number;

  constructor(most = Number.POSITIVE_INFINITY) {
    this.#most = most;
  }
  add({ name, ino, off, type }: Dirent): boolean {
    return this.entries.length < this.#most && this.entries.push({ name, ino, off, type }) > 0;
  }
  addRecords(records: Uint8Array, at: number, end: number): void {
    const bytes = Buffer.from(records.buffer, records.byteOffset, records.length);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    while (at < end) {
      const { ino, off, namelen, type } = fuse_dirent.decode(view, at);
      const name = at + FUSE_NAME_OFFSET;
      if (!this.add({ name: decodeName(bytes, name, name + namelen), ino, off, type })) return;
      at += FUSE_REC_ALIGN(FUSE_NAME_OFFSET + namelen);
    }
  }
  get reply(): DirectoryReply {
    return this as unknown as DirectoryReply;
  }
}
