/** `rawfuse/fs`: the filesystems that come with the library, and what filesystems are built with. */
export { MemoryFs } from './memory/memory.ts';
export { HandleTable, type Node, NodeTable } from './nodes.ts';
