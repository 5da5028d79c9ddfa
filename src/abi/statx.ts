/**
 * What statx(2) answers, with the names of <linux/stat.h>. FUSE's fuse_statx has the same members up to the devices; what the
 * system call tells beyond them stands here.
 */
import { i32, i53, pad, struct, u16, u32, u53, u64 } from './struct.ts';

export const statx_timestamp = struct({ tv_sec: i53, tv_nsec: u32, __reserved: pad(i32) });
export const statx = struct({
  stx_mask: u32,
  stx_blksize: u32,
  stx_attributes: u64,
  stx_nlink: u32,
  stx_uid: u32,
  stx_gid: u32,
  stx_mode: u16,
  __spare0: pad(u16),
  stx_ino: u64,
  stx_size: u53,
  stx_blocks: u53,
  stx_attributes_mask: u64,
  stx_atime: statx_timestamp,
  stx_btime: statx_timestamp,
  stx_ctime: statx_timestamp,
  stx_mtime: statx_timestamp,
  stx_rdev_major: u32,
  stx_rdev_minor: u32,
  stx_dev_major: u32,
  stx_dev_minor: u32,
  stx_mnt_id: u64,
  stx_dio_mem_align: u32,
  stx_dio_offset_align: u32,
  __spare3: pad(u64, 12),
});
