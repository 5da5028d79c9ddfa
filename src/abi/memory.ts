/**
 * Memory outside the JavaScript heap, for buffers that the kernel reads and writes: page-aligned, at an
 * address that never moves, seen as an ArrayBuffer. Pages take up memory only once they are touched.
 *
 * Freeing unmaps: any view that is still used afterwards would crash the process, so a region is freed
 * by the one who knows that no operation and no handler holds it any more. Whoever cannot know drops the
 * region instead; when the last view of it is collected, it is unmapped.
 */
import { isMainThread } from 'node:worker_threads';
import { MADV_DONTNEED, MAP_ANONYMOUS, MAP_NORESERVE, MAP_PRIVATE, PROT_READ, PROT_WRITE } from './posix.ts';
import { madvise, mmap, munmap, pageSize, view } from './syscall.ts';

interface Region {
  readonly address: number;
  readonly length: number;
}
const dropped = new FinalizationRegistry<Region>((region) => {
  regions.delete(region);
  munmap(region.address, region.length);
});
/** What this thread has mapped: a worker's heap goes without a word to the registry, and its regions would stay. */
const regions = new Set<Region>();

/** Unmaps all that this thread, a worker, has mapped. The last thing that it does: no view may be used afterwards. */
export function unmapAll(): void {
  for (const { address, length } of regions) munmap(address, length);
  regions.clear();
}

export class Memory {
  /** The address of the first byte; a multiple of the page size. */
  readonly address: number;
  /** Bytes, rounded up to whole pages. */
  readonly length: number;
  readonly buffer: ArrayBuffer;
  readonly #region: Region;
  #freed = false;

  constructor(bytes: number) {
    this.length = Math.ceil(bytes / pageSize) * pageSize;
    this.address = mmap(this.length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    this.buffer = view(this.address, this.length);
    this.#region = { address: this.address, length: this.length };
    dropped.register(this.buffer, this.#region, this);
    if (!isMainThread) regions.add(this.#region);
  }

  /** Gives the pages back and keeps the addresses: what is read next is zeros. */
  clear(): void {
    madvise(this.address, this.length, MADV_DONTNEED);
  }

  /** Unmaps. No view of the buffer may be used afterwards. A second call does nothing. */
  free(): void {
    if (this.#freed) return;
    this.#freed = true;
    dropped.unregister(this);
    regions.delete(this.#region);
    munmap(this.address, this.length);
  }
}
