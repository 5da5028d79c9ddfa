/** All rows of the POSIX table. No name may be in two areas. */
import { rows as acl } from './acl.ts';
import { rows as data } from './data.ts';
import { rows as dataCopy } from './data-copy.ts';
import { rows as dataMmap } from './data-mmap.ts';
import { rows as dataSpace } from './data-space.ts';
import { rows as handles } from './handles.ts';
import { rows as locks } from './locks.ts';
import { rows as names } from './names.ts';
import { rows as namesDirectories } from './names-directories.ts';
import { rows as namesEntries } from './names-entries.ts';
import { rows as namesNodes } from './names-nodes.ts';
import { rows as namesPaths } from './names-paths.ts';
import { rows as namesRename } from './names-rename.ts';
import { rows as permissions } from './permissions.ts';
import type { Row, Table } from './table.ts';
import { rows as times } from './times.ts';
import { rows as timesSet } from './times-set.ts';
import { rows as xattrs } from './xattrs.ts';

const areas: readonly Table[] = [
  acl,
  data,
  dataCopy,
  dataMmap,
  dataSpace,
  handles,
  locks,
  names,
  namesDirectories,
  namesEntries,
  namesNodes,
  namesPaths,
  namesRename,
  permissions,
  times,
  timesSet,
  xattrs,
];

const posix: Table = Object.assign({}, ...areas);
if (Object.keys(posix).length !== areas.reduce((sum, area) => sum + Object.keys(area).length, 0))
  throw new Error('a name stands in two areas of the POSIX table');

export const rows = Object.entries(posix).map(([name, each]): [string, Row] => [
  name,
  typeof each === 'string' ? { script: each } : each,
]);
