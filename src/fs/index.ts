/** `rawfuse/fs`: the filesystems that come with the library, and what filesystems are built with. */
export { type Acl, type AclEntry, decodeAcl, encodeAcl } from './acl.ts';
export { Locks } from './locks.ts';
export type { MemoryFiles, MemoryStat } from './memory/files.ts';
export { MemoryFs, type MemoryOptions } from './memory/memory.ts';
export type { Atime } from './memory/node.ts';
export { HandleTable, type Node, NodeTable } from './nodes.ts';
