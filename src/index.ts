/** `rawfuse`: mount a filesystem, the type of one, and the numbers and errors that one needs. */
export * from './abi/errno.ts';
export * from './abi/fuse-constants.ts';
export * from './abi/posix.ts';
export { type Hooks, type ModuleOptions, Mount, MountError, mount, type Serving, serve } from './mount.ts';
export { type MountOptions, OptionError, parseOptions } from './options.ts';
export type { BackingFiles } from './protocol/backing.ts';
export type { Connection } from './protocol/connection.ts';
export type { DirectoryReply, Dirent } from './protocol/dirent.ts';
export type { Filesystem, Promised } from './protocol/filesystem.ts';
export { NegotiationError } from './protocol/init.ts';
export type { Args, OperationName, Result } from './protocol/operations.ts';
export type { CallerId, Request } from './protocol/request.ts';
export type { InFlight, Session } from './protocol/session.ts';
export { FatalError } from './protocol/thrown.ts';
export { json, type Observer, printer, type TraceEvent } from './protocol/trace.ts';
export type { End, TransportKind } from './protocol/transport.ts';
export type { WorkerContext } from './threads/messages.ts';
export type { FilesystemModule } from './threads/module.ts';
