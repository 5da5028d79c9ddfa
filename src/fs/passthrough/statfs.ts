/** struct statfs of statfs(2), as FUSE answers it. */
import { fstatfs } from '../../abi/files.ts';
import { struct, u64 } from '../../abi/struct.ts';
import { done, type Scratch } from './scratch.ts';

/** The members that FUSE carries, what lies between, and the flags. The same on x86-64 and arm64. */
const { offset: AT } = struct({
  f_type: u64,
  f_bsize: u64,
  f_blocks: u64,
  f_bfree: u64,
  f_bavail: u64,
  f_files: u64,
  f_ffree: u64,
  f_fsid: u64,
  f_namelen: u64,
  f_frsize: u64,
  f_flags: u64,
});
const ST_RDONLY = 1;

/** Of the filesystem that a descriptor, of O_PATH perhaps, is on. */
export function statfsOf(fd: number, { statfs, statfsAt, view }: Scratch) {
  done(fstatfs(fd, statfs));
  return statfsIn(view, statfsAt);
}
export const statfsIn = (view: DataView, at: number) => ({
  blocks: count(view, at + AT.f_blocks),
  bfree: count(view, at + AT.f_bfree),
  bavail: count(view, at + AT.f_bavail),
  files: count(view, at + AT.f_files),
  ffree: count(view, at + AT.f_ffree),
  bsize: count(view, at + AT.f_bsize),
  frsize: count(view, at + AT.f_frsize),
  namelen: count(view, at + AT.f_namelen),
});

/** What filesystem it is, as a number that is known of it. */
export const typeIn = (view: DataView, at: number): number => view.getUint32(at + AT.f_type, true);

/** Whether it is mounted read-only. */
export const readonlyIn = (view: DataView, at: number): boolean =>
  (view.getUint32(at + AT.f_flags, true) & ST_RDONLY) !== 0;

/** A filesystem without bounds says 2^63 or so: more than anybody counts. */
function count(view: DataView, at: number): number {
  const high = view.getUint32(at + 4, true);
  return high > 0x1f_ffff ? Number.MAX_SAFE_INTEGER : high * 2 ** 32 + view.getUint32(at, true);
}
