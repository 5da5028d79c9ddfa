/** `rawfuse/fs`: the filesystems that come with the library, and what filesystems are built with. */
export { type Acl, type AclEntry, decodeAcl, encodeAcl } from './acl.ts';
export { CACHES, type Cache, Caching, type CachingOptions, checkCaching } from './caching.ts';
export { HandedFiles, type KernelPassthrough, type OpenBooks, type Opened, type Way } from './handed.ts';
export { Locks } from './locks.ts';
export type { MemoryFiles, MemoryStat } from './memory/files.ts';
export type { Atime } from './memory/inode.ts';
export { MemoryFs, type MemoryOptions } from './memory/memory.ts';
export { type Counted, HandleTable, type Node, type Nodes, NodeTable } from './nodes.ts';
export { INODE_HANDLES, type PassthroughOptions } from './passthrough/options.ts';
export { PassthroughFs } from './passthrough/passthrough.ts';
export { type NodeLayout, type NodesHandle, shareNodes } from './shared/layout.ts';
export { LockError } from './shared/lock.ts';
export { openNodes, type SharedNode, type SharedNodes } from './shared/nodes.ts';
export { POLICY_NAMES, type PolicyName } from './union/policies.ts';
export type { UnionOptions } from './union/served.ts';
export { UnionFs } from './union/union.ts';
