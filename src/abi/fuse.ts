/**
 * The structs of FUSE 7.45, one table each, in the order and with the names of <linux/fuse.h>
 * (include/uapi/linux/fuse.h). Both directions: the same table decodes a request and, for a test or
 * a simulator, encodes it. A test holds every size, offset and width against what a C compiler says.
 *
 * `u64` is a bigint, where all bits may be used (unique, inode numbers, lock owners and ranges, poll
 * handles, directory cookies); `u53` and `i53` are checked numbers (sizes, offsets, times, and the
 * ids that a filesystem chooses: nodeid, fh). Each table's name is also the type of its values.
 */
import { type Infer, i32, i53, pad, room, struct, u8, u16, u32, u53, u64 } from './struct.ts';

// biome-ignore-start format: tables, a struct a line

// What an inode looks like. Times are a time_t although C says u64.
export const fuse_attr = struct({
  ino: u64,
  size: u53,
  blocks: u53,
  atime: i53,
  mtime: i53,
  ctime: i53,
  atimensec: u32,
  mtimensec: u32,
  ctimensec: u32,
  mode: u32,
  nlink: u32,
  uid: u32,
  gid: u32,
  rdev: u32,
  blksize: u32,
  flags: u32,
});
export const fuse_sx_time = struct({ tv_sec: i53, tv_nsec: u32, __reserved: pad(i32) });
export const fuse_statx = struct({
  mask: u32,
  blksize: u32,
  attributes: u64,
  nlink: u32,
  uid: u32,
  gid: u32,
  mode: u16,
  __spare0: pad(u16),
  ino: u64,
  size: u53,
  blocks: u53,
  attributes_mask: u64,
  atime: fuse_sx_time,
  btime: fuse_sx_time,
  ctime: fuse_sx_time,
  mtime: fuse_sx_time,
  rdev_major: u32,
  rdev_minor: u32,
  dev_major: u32,
  dev_minor: u32,
  __spare2: pad(u64, 14),
});
export const fuse_kstatfs = struct({
  blocks: u53,
  bfree: u53,
  bavail: u53,
  files: u53,
  ffree: u53,
  bsize: u32,
  namelen: u32,
  frsize: u32,
  padding: pad(u32),
  spare: pad(u32, 6),
});
export const fuse_file_lock = struct({ start: u64, end: u64, type: u32, pid: u32 });

// Operations: what comes in, what goes out.
export const fuse_entry_out = struct({
  nodeid: u53,
  generation: u53,
  entry_valid: u53,
  attr_valid: u53,
  entry_valid_nsec: u32,
  attr_valid_nsec: u32,
  attr: fuse_attr,
});
export const fuse_forget_in = struct({ nlookup: u53 });
export const fuse_forget_one = struct({ nodeid: u53, nlookup: u53 });
export const fuse_batch_forget_in = struct({ count: u32, dummy: pad(u32) });
export const fuse_getattr_in = struct({ getattr_flags: u32, dummy: pad(u32), fh: u53 });
export const fuse_attr_out = struct({ attr_valid: u53, attr_valid_nsec: u32, dummy: pad(u32), attr: fuse_attr });
export const fuse_statx_in = struct({ getattr_flags: u32, reserved: pad(u32), fh: u53, sx_flags: u32, sx_mask: u32 });
export const fuse_statx_out = struct({
  attr_valid: u53,
  attr_valid_nsec: u32,
  flags: u32,
  spare: pad(u64, 2),
  stat: fuse_statx,
});
export const fuse_mknod_in = struct({ mode: u32, rdev: u32, umask: u32, padding: pad(u32) });
export const fuse_mkdir_in = struct({ mode: u32, umask: u32 });
export const fuse_rename_in = struct({ newdir: u53 });
export const fuse_rename2_in = struct({ newdir: u53, flags: u32, padding: pad(u32) });
export const fuse_link_in = struct({ oldnodeid: u53 });
export const fuse_setattr_in = struct({
  valid: u32,
  padding: pad(u32),
  fh: u53,
  size: u53,
  lock_owner: u64,
  atime: i53,
  mtime: i53,
  ctime: i53,
  atimensec: u32,
  mtimensec: u32,
  ctimensec: u32,
  mode: u32,
  unused4: pad(u32),
  uid: u32,
  gid: u32,
  unused5: pad(u32),
});
export const fuse_open_in = struct({ flags: u32, open_flags: u32 });
export const fuse_create_in = struct({ flags: u32, mode: u32, umask: u32, open_flags: u32 });
export const fuse_open_out = struct({ fh: u53, open_flags: u32, backing_id: i32 });
export const fuse_release_in = struct({ fh: u53, flags: u32, release_flags: u32, lock_owner: u64 });
export const fuse_flush_in = struct({ fh: u53, unused: pad(u32), padding: pad(u32), lock_owner: u64 });
export const fuse_read_in = struct({
  fh: u53,
  offset: u53,
  size: u32,
  read_flags: u32,
  lock_owner: u64,
  flags: u32,
  padding: pad(u32),
});
export const fuse_write_in = struct({
  fh: u53,
  offset: u53,
  size: u32,
  write_flags: u32,
  lock_owner: u64,
  flags: u32,
  padding: pad(u32),
});
export const fuse_write_out = struct({ size: u32, padding: pad(u32) });
export const fuse_statfs_out = struct({ st: fuse_kstatfs });
export const fuse_fsync_in = struct({ fh: u53, fsync_flags: u32, padding: pad(u32) });
export const fuse_setxattr_in = struct({ size: u32, flags: u32, setxattr_flags: u32, padding: pad(u32) });
export const fuse_getxattr_in = struct({ size: u32, padding: pad(u32) });
export const fuse_getxattr_out = struct({ size: u32, padding: pad(u32) });
export const fuse_lk_in = struct({ fh: u53, owner: u64, lk: fuse_file_lock, lk_flags: u32, padding: pad(u32) });
export const fuse_lk_out = struct({ lk: fuse_file_lock });
export const fuse_access_in = struct({ mask: u32, padding: pad(u32) });
export const fuse_init_in = struct({
  major: u32,
  minor: u32,
  max_readahead: u32,
  flags: u32,
  flags2: u32,
  unused: pad(u32, 11),
});
export const fuse_init_out = struct({
  major: u32,
  minor: u32,
  max_readahead: u32,
  flags: u32,
  max_background: u16,
  congestion_threshold: u16,
  max_write: u32,
  time_gran: u32,
  max_pages: u16,
  map_alignment: u16,
  flags2: u32,
  max_stack_depth: u32,
  request_timeout: u16,
  unused: pad(u16, 11),
});
export const cuse_init_in = struct({ major: u32, minor: u32, unused: pad(u32), flags: u32 });
export const cuse_init_out = struct({
  major: u32,
  minor: u32,
  unused: pad(u32),
  flags: u32,
  max_read: u32,
  max_write: u32,
  dev_major: u32,
  dev_minor: u32,
  spare: pad(u32, 10),
});
export const fuse_interrupt_in = struct({ unique: u64 });
export const fuse_bmap_in = struct({ block: u53, blocksize: u32, padding: pad(u32) });
export const fuse_bmap_out = struct({ block: u53 });
export const fuse_ioctl_in = struct({ fh: u53, flags: u32, cmd: u32, arg: u64, in_size: u32, out_size: u32 });
export const fuse_ioctl_iovec = struct({ base: u64, len: u53 });
export const fuse_ioctl_out = struct({ result: i32, flags: u32, in_iovs: u32, out_iovs: u32 });
export const fuse_poll_in = struct({ fh: u53, kh: u64, flags: u32, events: u32 });
export const fuse_poll_out = struct({ revents: u32, padding: pad(u32) });
export const fuse_fallocate_in = struct({ fh: u53, offset: u53, length: u53, mode: u32, padding: pad(u32) });
export const fuse_lseek_in = struct({ fh: u53, offset: u53, whence: u32, padding: pad(u32) });
export const fuse_lseek_out = struct({ offset: u53 });
export const fuse_copy_file_range_in = struct({
  fh_in: u53,
  off_in: u53,
  nodeid_out: u53,
  fh_out: u53,
  off_out: u53,
  len: u53,
  flags: u64,
});
export const fuse_copy_file_range_out = struct({ bytes_copied: u53 });
export const fuse_setupmapping_in = struct({ fh: u53, foffset: u53, len: u53, flags: u64, moffset: u53 });
export const fuse_removemapping_in = struct({ count: u32 });
export const fuse_removemapping_one = struct({ moffset: u53, len: u53 });
export const fuse_syncfs_in = struct({ padding: pad(u64) });

// Around every message.
export const fuse_in_header = struct({
  len: u32,
  opcode: u32,
  unique: u64,
  nodeid: u53,
  uid: u32,
  gid: u32,
  pid: u32,
  total_extlen: u16,
  padding: pad(u16),
});
export const fuse_out_header = struct({ len: u32, error: i32, unique: u64 });

// Directory entries. The cookie (`off`) is opaque and may use all bits: ext4's are hashes of 63.
export const fuse_dirent = struct({ ino: u64, off: u64, namelen: u32, type: u32, name: room(0) });
export const fuse_direntplus = struct({ entry_out: fuse_entry_out, dirent: fuse_dirent });

// Messages that the server begins.
export const fuse_notify_poll_wakeup_out = struct({ kh: u64 });
export const fuse_notify_inval_inode_out = struct({ ino: u53, off: i53, len: i53 }); // ino is a nodeid
export const fuse_notify_inval_entry_out = struct({ parent: u53, namelen: u32, flags: u32 });
export const fuse_notify_delete_out = struct({ parent: u53, child: u53, namelen: u32, padding: pad(u32) });
export const fuse_notify_store_out = struct({ nodeid: u53, offset: u53, size: u32, padding: pad(u32) });
export const fuse_notify_retrieve_out = struct({
  notify_unique: u64,
  nodeid: u53,
  offset: u53,
  size: u32,
  padding: pad(u32),
});
export const fuse_notify_retrieve_in = struct({
  dummy1: pad(u64),
  offset: u53,
  size: u32,
  dummy2: pad(u32),
  dummy3: pad(u64),
  dummy4: pad(u64),
});
export const fuse_notify_prune_out = struct({ count: u32, padding: pad(u32), spare: pad(u64) });

// Extensions at the end of a creating request.
export const fuse_ext_header = struct({ size: u32, type: u32 });
export const fuse_secctx = struct({ size: u32, padding: pad(u32) });
export const fuse_secctx_header = struct({ size: u32, nr_secctx: u32 });
export const fuse_supp_groups = struct({ nr_groups: u32, groups: room(0, 4) });

// ioctls of /dev/fuse, and FUSE over io_uring.
export const fuse_backing_map = struct({ fd: i32, flags: u32, padding: pad(u64) });
export const fuse_uring_ent_in_out = struct({
  flags: u64,
  commit_id: u64,
  payload_sz: u32,
  padding: pad(u32),
  reserved: pad(u64),
});
export const fuse_uring_req_header = struct({
  in_out: room(128),
  op_in: room(128),
  ring_ent_in_out: fuse_uring_ent_in_out,
});
export const fuse_uring_cmd_req = struct({ flags: u64, commit_id: u64, qid: u16, padding: pad(u8, 6) });

// Ours: what the header spells in comments, because one struct has two forms.
/** fuse_read_in as READDIR and READDIRPLUS send it: the offset is a cookie, so it keeps all its bits. */
export const fuse_readdir_in = struct({
  fh: u53,
  offset: u64,
  size: u32,
  read_flags: u32,
  lock_owner: u64,
  flags: u32,
  padding: pad(u32),
});
/** fuse_setxattr_in where SETXATTR_EXT was not agreed (FUSE_COMPAT_SETXATTR_IN_SIZE). */
export const fuse_setxattr_compat_in = struct({ size: u32, flags: u32 });
/** fuse_write_out as it answers COPY_FILE_RANGE: the same bytes, and the name that the 64-bit form has. */
export const fuse_copy_file_range_compat_out = struct({ bytes_copied: u32, padding: pad(u32) });
/** What answers CREATE and TMPFILE. */
export const fuse_create_out = struct({ entry: fuse_entry_out, open: fuse_open_out });
// biome-ignore-end format: .

export type fuse_attr = Infer<typeof fuse_attr>;
export type fuse_entry_out = Infer<typeof fuse_entry_out>;
export type fuse_forget_one = Infer<typeof fuse_forget_one>;
export type fuse_init_in = Infer<typeof fuse_init_in>;
export type fuse_init_out = Infer<typeof fuse_init_out>;
export type fuse_kstatfs = Infer<typeof fuse_kstatfs>;
export type fuse_file_lock = Infer<typeof fuse_file_lock>;
export type fuse_ioctl_iovec = Infer<typeof fuse_ioctl_iovec>;
export type fuse_removemapping_one = Infer<typeof fuse_removemapping_one>;
