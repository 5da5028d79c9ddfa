/**
 * What a filesystem keeps with each node of a shared table, and the memory for it. A thread that is given the memory has to
 * come with the same layout: functions can't be sent.
 */
import { Buckets } from './buckets.ts';
import type { Cells, CellsHandle } from './cells.ts';
import { HEADER, Records } from './records.ts';

/** What of a `struct` is needed here. */
export interface Codec<T> {
  readonly size: number;
  readonly decode: (view: DataView, at: number) => T;
  readonly encode: (view: DataView, at: number, value: T) => void;
}
/** What a filesystem keeps with a node. */
export interface NodeLayout<K, V> {
  /** What a node is found by: the bytes of this struct. It does not change. */
  readonly key?: Codec<K>;
  readonly value: Codec<V>;
}
/** The memory of a table, to be given to other threads. */
export interface NodesHandle {
  readonly records: CellsHandle;
  readonly buckets: CellsHandle | undefined;
  readonly stripes: number;
}
/** The same, as a thread sees it. */
export interface NodesCells {
  readonly records: Cells;
  readonly buckets: Cells | undefined;
  readonly stripes: number;
}

/** Words that a struct fills. */
export const words = (codec: { readonly size: number } | undefined): number => ((codec?.size ?? 0) + 3) >> 2;

/**
 * Memory for a table of at most so many nodes: address space is reserved for them, and taken as they come. Stripes are
 * a power of two. Two threads that do nothing else are no slower with 1 than with 64; 64 are for many more, and cost 4 KiB.
 */
export function shareNodes(
  layout: { readonly key?: { readonly size: number }; readonly value: { readonly size: number } },
  { most, stripes = 64 }: { most?: number; stripes?: number } = {},
): NodesHandle {
  const row = HEADER + words(layout.key) + words(layout.value);
  const records = Records.reserve(row, most);
  const buckets = layout.key && Buckets.reserve(stripes, Math.floor(records.buffer.maxByteLength / row / 4));
  return { records, buckets, stripes };
}
