/** The tables of structs that are neither FUSE's nor io_uring's, against what a C compiler said of the system's headers. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { nvme_passthru_cmd } from '../../src/abi/nvme.ts';
import { statx, statx_timestamp } from '../../src/abi/statx.ts';
import type { AnyStruct } from '../../src/abi/struct.ts';
import type { Layout } from './data.ts';

const layouts: Readonly<Record<string, Layout>> = JSON.parse(
  readFileSync(new URL('./data/layout.json', import.meta.url), 'utf8'),
).other;

test.each<[string, AnyStruct]>(Object.entries({ statx, statx_timestamp, nvme_passthru_cmd }))(
  '%s has the size of C, and each member its place and width',
  (name, table) => {
    const { size, fields } = layouts[name]!;
    const members = Object.entries(table.fields).map(([member, field]) => [member, table.offset[member], field.size]);
    expect([table.size, members]).toEqual([
      size,
      Object.entries(fields).map(([member, each]) => [member, each.offset, each.size]),
    ]);
  },
);
