/**
 * Files that the kernel reads, writes and maps itself (Linux 6.9): a filesystem that promises PASSTHROUGH registers a
 * descriptor of its own, gets a number for it, and answers an open with that number and FOPEN_PASSTHROUGH. What is read and
 * written through that open file comes to the server no more.
 *
 *     open({ nodeid }) {
 *       return { fh: 0, open_flags: FOPEN_PASSTHROUGH, backing_id: this.ids.get(nodeid) };
 *     }
 *
 * The kernel's rules are those of a node, not of an open file. While one open of it is passed through, all others have to be,
 * with the same number; while one goes through the page cache none may be: what breaks that fails with EIO. So the way is
 * chosen when a node is opened first, and stays until its last release. FOPEN_KEEP_CACHE and FOPEN_DIRECT_IO do not go with it.
 *
 * `HandedFiles` of rawfuse/fs keeps these books.
 *
 * The kernel uses the file with the credentials of the thread that has registered it, whoever writes. With CAP_FSETID, which
 * root has, setuid and setgid bits would survive the write of a stranger, and with CAP_SYS_RESOURCE it would pass by quotas: so a file is
 * registered without these two. Where a filesystem's files have no such bits and nobody has a quota, that can be spared: it is a third of
 * what registering costs.
 * @see fs/fuse/backing.c, fs/fuse/iomode.c
 */
import { withoutCapabilities } from '../abi/credentials.ts';
import { fuse_backing_map } from '../abi/fuse.ts';
import { FUSE_DEV_IOC_BACKING_CLOSE, FUSE_DEV_IOC_BACKING_OPEN } from '../abi/fuse-constants.ts';
import { Memory } from '../abi/memory.ts';
import { CAP_FSETID, CAP_SYS_RESOURCE } from '../abi/posix.ts';
import { close, ioctl } from '../abi/syscall.ts';

/** With what rights of this thread the kernel uses a file: without those that a stranger's write must not be made with, or with all. */
export type BackingRights = 'reduced' | 'whole';

/** What a stranger's write must not be made with. */
const RESERVED = [CAP_FSETID, CAP_SYS_RESOURCE];

export class BackingFiles {
  readonly #duplicate: () => number;
  /** A descriptor of the connection, from the first use on. */
  #fd = -1;
  #ended = false;
  /** What the kernel reads a call's argument from; made when it is first needed. */
  #argument: { readonly address: number; readonly view: DataView } | undefined;

  /** `duplicate` gives a descriptor of the connection that is closed here. @internal */
  constructor(duplicate: () => number) {
    this.#duplicate = duplicate;
  }

  /**
   * Registers a regular file: the number to answer opens with, from 1 on. The descriptor may be one of O_PATH, and may be closed
   * afterwards. SystemError: EPERM without CAP_SYS_ADMIN, or where PASSTHROUGH was not agreed; EBADF; EISDIR, and EINVAL for
   * what is no regular file else; ELOOP for one of a filesystem that is itself stacked on another; ENOTTY before Linux 6.9.
   */
  open(fd: number, rights: BackingRights = 'reduced'): number {
    const put = (argument: DataView) => fuse_backing_map.encode(argument, 0, { fd, flags: 0 });
    const ask = () => this.#ask(FUSE_DEV_IOC_BACKING_OPEN, put);
    return rights === 'whole' ? ask() : withoutCapabilities(RESERVED, ask);
  }

  /** Gives a number back. Files that are open with it stay as they are. SystemError: ENOENT for one that there is not. After the end all are back. */
  close(id: number): void {
    if (!this.#ended) this.#ask(FUSE_DEV_IOC_BACKING_CLOSE, (argument) => argument.setUint32(0, id, true));
  }

  #ask(request: number, put: (argument: DataView) => void): number {
    if (this.#fd < 0 && !this.#ended) this.#fd = this.#duplicate();
    if (this.#argument === undefined) {
      const { address, buffer } = new Memory(fuse_backing_map.size);
      this.#argument = { address, view: new DataView(buffer) };
    }
    put(this.#argument.view);
    return ioctl(this.#fd, request, this.#argument.address); // EBADF after the end
  }

  /** The connection is over, and the kernel has given all of them back. @internal */
  end(): void {
    this.#ended = true;
    if (this.#fd >= 0) close(this.#fd);
    this.#fd = -1;
  }
}
