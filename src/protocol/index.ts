/** `rawfuse/protocol`: for those who build a server, a client or a test of their own from the parts. */
export * from '../abi/errno.ts';
export * as structs from '../abi/fuse.ts';
export * as constants from '../abi/fuse-constants.ts';
export { Memory } from '../abi/memory.ts';
export * from '../abi/struct.ts';
export { DeviceTransport } from './device.ts';
export { DirectoryReply, type Dirent } from './dirent.ts';
export { decodeExtensions, type Extensions } from './extensions.ts';
export type { Filesystem, Promised } from './filesystem.ts';
export { type Agreement, type ConnectionOptions, NegotiationError, negotiate, PROMISES } from './init.ts';
export { decodeName, encodeName } from './names.ts';
export { encodeNotification, Notifications, notifications } from './notify.ts';
export { type Args, type Operation, type OperationName, operations, type Result } from './operations.ts';
export { type CallerId, Request } from './request.ts';
export { type Connection, type InFlight, Session, type SessionOptions } from './session.ts';
export { type Buffers, Slot } from './slot.ts';
export { json, type Observer, printer, type TraceEvent } from './trace.ts';
export type { End, Transport } from './transport.ts';
