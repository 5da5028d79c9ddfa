/**
 * Contents in files of a tmpfs, so that the kernel can read, write and map them itself (../handed.ts). The tmpfs is ours alone: it is mounted
 * nowhere, seen through one descriptor, and gone when the store is collected. A file in it has its node's number as its name; so it
 * takes no descriptor but while it is being worked on, however many files there are.
 *
 * A content stays where it is, open or not. A mapping outlives the descriptor it was made of, and the last release: whoever moved the content then
 * would leave the mapping with pages that are no file's any more.
 *
 * INVARIANT: what the tmpfs may hold is what the limit leaves after the pages of extended attributes. So the kernel, which writes without
 * asking, gets ENOSPC where we would have said it, and both count on one book: that of the tmpfs. It has one page more, taken for good, because a
 * size of 0 would be no limit.
 *
 * What the kernel has done shows in the file's size, blocks and times. `look` takes that over, before anybody is told of a node.
 */
import { EINVAL, ENOSPC, ENXIO, Errno } from '../../abi/errno.ts';
import {
  closeQuietly,
  copyFileRange,
  fallocate,
  ftruncate,
  lseek,
  mknodat,
  openat,
  pread,
  pwrite,
  statx,
  unlinkat,
} from '../../abi/files.ts';
import { fsCreate, fsmount, fsopen, fspick, fsReconfigure, fsSet, MOUNT_ATTR_STRICTATIME } from '../../abi/fsmount.ts';
import { fuse_statx } from '../../abi/fuse.ts';
import { hold } from '../../abi/held.ts';
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  O_ACCMODE,
  O_CLOEXEC,
  O_NOATIME,
  O_RDWR,
  S_IFREG,
  SEEK_DATA,
  SEEK_HOLE,
  STATX_BASIC_STATS,
} from '../../abi/posix.ts';
import { pageSize } from '../../abi/syscall.ts';
import type { Opened, Way } from '../handed.ts';
import { done, Scratch } from '../passthrough/scratch.ts';
import { statfsOf } from '../passthrough/statfs.ts';
import { type Checked, Content, SECTORS, type Store } from './content.ts';
import type { Atime, Inode } from './inode.ts';
import { PAGE } from './pages.ts';

const { offset: AT } = fuse_statx;
/** Pages of ours in one of the machine. */
const RATIO = pageSize / PAGE;
/** The file with the page that is always taken. No node has this number. */
const BALLAST = '0';
const FILE = S_IFREG | 0o600;
const SECONDS = 8; // bytes, before the nanoseconds

export class TmpfsStore implements Store {
  readonly limit: number;
  readonly scratch = new Scratch();
  /** A descriptor of the root. */
  readonly root: number;
  /** Pages of extended attributes. */
  #others = 0;

  /** Of so many pages. SystemError: EPERM without CAP_SYS_ADMIN, ENOSYS before Linux 5.2. */
  constructor(limit: number) {
    this.limit = limit;
    const context = fsopen('tmpfs');
    try {
      for (const [key, value] of Object.entries({ nr_blocks: this.#blocks, nr_inodes: 0, huge: 'never', mode: 700 }))
        fsSet(context, key, `${value}`);
      fsCreate(context);
      // Each read of the kernel is to be seen; what it is worth inode.ts knows.
      this.root = fsmount(context, MOUNT_ATTR_STRICTATIME);
    } finally {
      closeQuietly(context);
    }
    hold(this, [this.root]);
    this.make(BALLAST);
    this.with(BALLAST, (fd) => done(fallocate(fd, 0, 0, 1)));
  }

  /** Blocks that the tmpfs may have. */
  get #blocks(): number {
    return Math.floor((this.limit - this.#others) / RATIO) + 1;
  }
  get free(): number {
    return statfsOf(this.root, this.scratch).bfree * RATIO;
  }

  reserve(pages: number): void {
    if (pages > this.free) throw ENOSPC;
    this.#others += pages;
    try {
      this.#resize();
    } catch (error) {
      this.#others -= pages;
      // The kernel has written in between.
      throw error instanceof Errno && error.errno === EINVAL.errno ? ENOSPC : error;
    }
  }
  unreserve(pages: number): void {
    this.#others -= pages;
    this.#resize();
  }
  #resize(): void {
    const context = fspick(this.root);
    try {
      fsSet(context, 'nr_blocks', `${this.#blocks}`);
      fsReconfigure(context);
    } finally {
      closeQuietly(context);
    }
  }

  content({ nodeid, size }: { readonly nodeid: number; readonly size: number }): TmpfsContent {
    return new TmpfsContent(this, `${nodeid}`, size);
  }

  /** Makes a file. */
  make(name: string): void {
    done(mknodat(this.root, this.scratch.name(name), FILE, 0));
  }
  remove(name: string): void {
    unlinkat(this.root, this.scratch.name(name), 0);
  }
  /** Asks about a file: into the scratch. */
  stat(name: string): void {
    const { stat } = this.scratch;
    done(statx(this.root, this.scratch.name(name), 0, STATX_BASIC_STATS, stat));
  }
  /** Calls with a descriptor of a file, which is closed afterwards. */
  with<T>(name: string, call: (fd: number) => T): T {
    const fd = done(openat(this.root, this.scratch.name(name), O_RDWR | O_NOATIME | O_CLOEXEC, 0));
    try {
      return call(fd);
    } finally {
      closeQuietly(fd);
    }
  }

  check(files: Iterable<Checked>, others: number): void {
    if (others !== this.#others) throw new Error(`${this.#others} pages are reserved, ${others} needed`);
    let used = 1;
    for (const { nodeid, size, content } of files) {
      const found = (content as TmpfsContent).seen();
      if (found !== size) throw new Error(`node ${nodeid}: size ${size}, ${found} in the tmpfs`);
      used += content.count / RATIO;
    }
    const { blocks, bfree } = statfsOf(this.root, this.scratch);
    // INVARIANT: see above.
    if (blocks !== this.#blocks) throw new Error(`the tmpfs may have ${blocks} blocks, not ${this.#blocks}`);
    if (blocks - bfree !== used) throw new Error(`${blocks - bfree} blocks are used, ${used} in files`);
  }
}

export class TmpfsContent extends Content {
  readonly #store: TmpfsStore;
  readonly #name: string;
  count = 0;
  /** How it is open through the mount. */
  readonly opened: Opened = { opens: 0, id: 0 };
  /** Whether it may be mapped by somebody, who need not have it open any more. */
  #mapped = false;
  /** The times that the file had when we asked last. */
  #mtime = 0;
  #mtimensec = 0;
  #atime = 0;
  #atimensec = 0;

  /** ENOMEM. */
  constructor(store: TmpfsStore, name: string, size: number) {
    super();
    this.#store = store;
    this.#name = name;
    store.make(name);
    if (size > 0) this.cut(size);
    this.seen();
  }
  #with<T>(call: (fd: number) => T): T {
    return this.#store.with(this.#name, call);
  }

  read(offset: number, into: Buffer, length: number): void {
    let at = 0;
    this.#with((fd) => {
      while (at < length) {
        const bytes = done(pread(fd, at === 0 ? into : into.subarray(at), length - at, offset + at));
        if (bytes === 0) return; // it was cut meanwhile
        at += bytes;
      }
    });
    into.fill(0, at, length);
  }

  write(offset: number, data: Uint8Array, whole = false): number {
    if (whole) this.allocate(offset, data.length);
    return this.#with((fd) => {
      let at = done(pwrite(fd, data, data.length, offset));
      while (at < data.length) {
        const more = pwrite(fd, data.subarray(at), data.length - at, offset + at);
        if (more <= 0) break;
        at += more;
      }
      return at;
    });
  }

  cut(size: number): void {
    this.#with((fd) => done(ftruncate(fd, size)));
  }
  punch(offset: number, length: number): void {
    this.#fallocate(FALLOC_FL_PUNCH_HOLE, offset, length);
  }
  /** Only who writes by the kernel at the same time may take the room between the two; then it is ENOSPC, and zeros. */
  zero(offset: number, length: number): void {
    this.allocate(offset, length);
    this.punch(offset, length);
    this.allocate(offset, length);
  }
  allocate(offset: number, length: number): void {
    this.#fallocate(0, offset, length);
  }
  #fallocate(mode: number, offset: number, length: number): void {
    this.#with((fd) => done(fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, offset, length)));
  }

  data(offset: number): number {
    return this.#seek(offset, SEEK_DATA, Number.POSITIVE_INFINITY);
  }
  hole(offset: number): number {
    return this.#seek(offset, SEEK_HOLE, offset);
  }
  /** `none` is the answer where nothing follows. */
  #seek(offset: number, whence: number, none: number): number {
    const found = this.#with((fd) => lseek(fd, offset, whence));
    return found === -ENXIO.errno ? none : done(found);
  }

  copy(source: TmpfsContent, from: number, to: number, length: number): number {
    let at = 0;
    while (at < length) {
      const next = Math.min(length, source.data(from + at) - from);
      if (next > at) {
        this.punch(to + at, next - at);
        at = next;
        continue;
      }
      const end = Math.min(length, source.hole(from + at) - from);
      const bytes = this.#copyData(source, from + at, to + at, end - at);
      if (bytes === -ENOSPC.errno && at > 0) return at;
      at += done(bytes);
      if (at < end) return at;
    }
    return length;
  }
  #copyData(source: TmpfsContent, from: number, to: number, length: number): number {
    const { view, wordsAt, words } = this.#store.scratch;
    view.setBigUint64(wordsAt, BigInt(from), true);
    view.setBigUint64(wordsAt + 8, BigInt(to), true);
    return source.#with((fd) => this.#with((target) => copyFileRange(fd, words, target, words + 8, length)));
  }

  /** Nobody writes by the kernel between the two: it keeps writers of a file out while we have a request that changes its size. */
  settle(size: number): number {
    const found = this.seen();
    if (found >= size) return found;
    this.cut(size);
    return this.seen();
  }
  free(): void {
    this.#store.remove(this.#name);
  }

  /**
   * Opens it through the mount: `hand` is called with a descriptor for the kernel, or where it is open already with none, and
   * says how it goes on.
   */
  open(flags: number, hand: (fd: number) => Way | undefined): Way | undefined {
    const way = this.opened.opens > 0 ? hand(-1) : this.#with(hand);
    if (way !== undefined && (flags & O_ACCMODE) === O_RDWR) this.#mapped = true;
    return way;
  }
  /** The mount is gone, and whoever has the file open still goes on without a word. */
  left(): void {
    this.opened.opens = 0;
    this.#mapped = true;
  }

  override look(inode: Inode, atime: Atime): boolean {
    if (!this.#mapped && (this.opened.opens === 0 || this.opened.id === 0)) return false;
    const [mtime, mtimensec, read, readns] = [this.#mtime, this.#mtimensec, this.#atime, this.#atimensec];
    inode.size = this.seen();
    inode.blocks = this.count * SECTORS;
    const written = mtime !== this.#mtime || mtimensec !== this.#mtimensec;
    if (written) inode.touchedAt(this.#mtime, this.#mtimensec);
    if (read !== this.#atime || readns !== this.#atimensec) inode.accessedAt(atime, this.#atime, this.#atimensec);
    return written;
  }

  /** Asks how the file is, and remembers it: its size. Past 2^53 - 1, where the kernel may write, it is that. */
  seen(): number {
    this.#store.stat(this.#name);
    const { view, statAt } = this.#store.scratch;
    this.count = wordAt(view, statAt + AT.blocks) / SECTORS;
    this.#mtime = wordAt(view, statAt + AT.mtime);
    this.#mtimensec = view.getUint32(statAt + AT.mtime + SECONDS, true);
    this.#atime = wordAt(view, statAt + AT.atime);
    this.#atimensec = view.getUint32(statAt + AT.atime + SECONDS, true);
    return Math.min(Number.MAX_SAFE_INTEGER, wordAt(view, statAt + AT.size));
  }
}

/** 64 bits that say less than 2^53; larger ones not exactly. */
const wordAt = (view: DataView, at: number): number =>
  view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
