/** The layouts and numbers that a C compiler gave for <linux/fuse.h> of FUSE 7.45, as data. */
import { readFileSync } from 'node:fs';
import * as fuse from '../../src/abi/fuse.ts';
import type { AnyStruct } from '../../src/abi/struct.ts';

export interface Member {
  readonly offset: number;
  /** Bytes; 0 for a flexible array. */
  readonly size: number;
  /** `u64`, `u32[6]`, `struct fuse_attr`. */
  readonly type: string;
}
export interface Layout {
  readonly size: number;
  readonly fields: Readonly<Record<string, Member>>;
}

const load = (name: string) => JSON.parse(readFileSync(new URL(`./data/${name}`, import.meta.url), 'utf8'));
export const layouts: Readonly<Record<string, Layout>> = load('layout.json').fuse;
/** Past 2^53 as strings. */
export const constants: Readonly<Record<string, number | string>> = load('constants.json').fuse;

/** The tables of src/abi/fuse.ts by name. */
export const tables: Readonly<Record<string, AnyStruct>> = fuse;
