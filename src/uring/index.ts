/** `rawfuse/uring`: files as promises over io_uring, the ring below them, and the numbers and errors that they take and give. */
export * from '../abi/errno.ts';
export { Memory } from '../abi/memory.ts';
export * from '../abi/posix.ts';
export * as constants from '../abi/uring-constants.ts';
export { IORING_OP, type UringOpcode } from '../abi/uring-constants.ts';
export type { ChunkOptions } from './chunks.ts';
export { DurableFile, type DurableFileOptions, PoisonedError } from './durable.ts';
export type { Durability, SyncMethod } from './durable-plan.ts';
export type { Completed, Engine, Linked, Sqe, Ticket } from './engine.ts';
export { UringFile } from './file.ts';
export {
  type OpenOptions,
  type PathOptions,
  type SpliceOptions,
  type TwoPathsOptions,
  UringFiles,
  type UringFilesOptions,
} from './files.ts';
export { NVME_VARIABLE, NvmeNamespace } from './nvme.ts';
export { type AtomicWrite, NvmeError, type NvmeIdentity } from './nvme-codec.ts';
export { type NvmeDevice, NvmeUnsupported } from './nvme-sysfs.ts';
export type { OperationOptions, TransferOptions, Transferred } from './operation.ts';
export { Ring } from './ring.ts';
export { probe, type RingOptions, type Tier, UringError, type UringProbe } from './setup.ts';
export { SharedEngine, SharedRing, type SharedRingHandle, type SharedRingOptions } from './shared.ts';
export { type Alignment, UringStat } from './stat.ts';
export { ThreadsEngine, type ThreadsOptions } from './threads.ts';
export { Wake, type WakeHandle, wake } from './wake.ts';
