/**
 * The structs of io_uring as tables, with the names of <linux/io_uring.h>. Reserved members carry nothing and are zero. A
 * test compares every size and offset with what a C compiler said.
 *
 * C's unions have one member here, the first; what else a place is called stands in `aliases`. Only the sqe has many:
 * its operations give most of its places names of their own.
 */
import { i32, pad, room, struct, u8, u16, u32, u64 } from './struct.ts';

/** <linux/time_types.h>; also what IORING_OP_TIMEOUT takes. */
export const __kernel_timespec = struct({ tv_sec: u64, tv_nsec: u64 });
export const io_sqring_offsets = struct({
  head: u32,
  tail: u32,
  ring_mask: u32,
  ring_entries: u32,
  flags: u32,
  dropped: u32,
  array: u32,
  resv1: pad(u32),
  user_addr: u64,
});
export const io_cqring_offsets = struct({
  head: u32,
  tail: u32,
  ring_mask: u32,
  ring_entries: u32,
  overflow: u32,
  cqes: u32,
  flags: u32,
  resv1: pad(u32),
  user_addr: u64,
});
export const io_uring_params = struct({
  sq_entries: u32,
  cq_entries: u32,
  flags: u32,
  sq_thread_cpu: u32,
  sq_thread_idle: u32,
  features: u32,
  wq_fd: u32,
  resv: pad(u32, 3),
  sq_off: io_sqring_offsets,
  cq_off: io_cqring_offsets,
});
export const io_uring_sqe = struct({
  opcode: u8,
  flags: u8,
  ioprio: u16,
  fd: i32,
  off: u64,
  addr: u64,
  len: u32,
  rw_flags: i32,
  user_data: u64,
  buf_index: u16,
  personality: u16,
  splice_fd_in: i32,
  addr3: u64,
  __pad2: pad(u64, 1),
});
export const io_uring_cqe = struct({
  user_data: u64,
  res: i32,
  flags: u32,
  big_cqe: room(0),
});
export const io_timespec = struct({
  tv_sec: u64,
  tv_nsec: u64,
});
export const io_uring_attr_pi = struct({
  flags: u16,
  app_tag: u16,
  len: u32,
  addr: u64,
  seed: u64,
  rsvd: pad(u64),
});
export const io_uring_buf = struct({
  addr: u64,
  len: u32,
  bid: u16,
  resv: pad(u16),
});
export const io_uring_buf_reg = struct({
  ring_addr: u64,
  ring_entries: u32,
  bgid: u16,
  flags: u16,
  min_left: u32,
  resv: pad(u32, 5),
});
export const io_uring_buf_ring = struct({
  resv1: pad(u64),
  resv2: pad(u32),
  resv3: pad(u16),
  tail: u16,
});
export const io_uring_buf_status = struct({
  buf_group: u32,
  head: u32,
  resv: pad(u32, 8),
});
export const io_uring_clock_register = struct({
  clockid: u32,
  __resv: pad(u32, 3),
});
export const io_uring_clone_buffers = struct({
  src_fd: u32,
  flags: u32,
  src_off: u32,
  dst_off: u32,
  nr: u32,
  pad: pad(u32, 3),
});
export const io_uring_file_index_range = struct({
  off: u32,
  len: u32,
  resv: pad(u64),
});
export const io_uring_files_update = struct({
  offset: u32,
  resv: pad(u32),
  fds: u64,
});
export const io_uring_getevents_arg = struct({
  sigmask: u64,
  sigmask_sz: u32,
  min_wait_usec: u32,
  ts: u64,
});
export const io_uring_mem_region_reg = struct({
  region_uptr: u64,
  flags: u64,
  __resv: pad(u64, 2),
});
export const io_uring_napi = struct({
  busy_poll_to: u32,
  prefer_busy_poll: u8,
  pad: pad(u8, 3),
  resv: pad(u64),
});
export const io_uring_probe = struct({
  last_op: u8,
  ops_len: u8,
  resv: pad(u16),
  resv2: pad(u32, 3),
  ops: room(0, 8),
});
export const io_uring_probe_op = struct({
  op: u8,
  resv: pad(u8),
  flags: u16,
  resv2: pad(u32),
});
export const io_uring_recvmsg_out = struct({
  namelen: u32,
  controllen: u32,
  payloadlen: u32,
  flags: u32,
});
export const io_uring_reg_wait = struct({
  ts: __kernel_timespec,
  min_wait_usec: u32,
  flags: u32,
  sigmask: u64,
  sigmask_sz: u32,
  pad: pad(u32, 3),
  pad2: pad(u64, 2),
});
export const io_uring_region_desc = struct({
  user_addr: u64,
  size: u64,
  flags: u32,
  id: u32,
  mmap_offset: u64,
  __resv: pad(u64, 4),
});
export const io_uring_restriction = struct({
  opcode: u16,
  register_op: u8,
  resv: pad(u8),
  resv2: pad(u32, 3),
});
export const io_uring_rsrc_register = struct({
  nr: u32,
  flags: u32,
  resv2: pad(u64),
  data: u64,
  tags: u64,
});
export const io_uring_rsrc_update = struct({
  offset: u32,
  resv: pad(u32),
  data: u64,
});
export const io_uring_rsrc_update2 = struct({
  offset: u32,
  resv: pad(u32),
  data: u64,
  tags: u64,
  nr: u32,
  resv2: pad(u32),
});
export const io_uring_sync_cancel_reg = struct({
  addr: u64,
  fd: i32,
  flags: u32,
  timeout: __kernel_timespec,
  opcode: u8,
  pad: pad(u8, 7),
  pad2: pad(u64, 3),
});
export const io_uring_task_restriction = struct({
  flags: u16,
  nr_res: u16,
  resv: pad(u32, 3),
  restrictions: room(0, 8),
});
export const io_uring_zcrx_area_reg = struct({
  addr: u64,
  len: u64,
  rq_area_token: u64,
  flags: u32,
  dmabuf_fd: u32,
  __resv2: pad(u64, 2),
});
export const io_uring_zcrx_cqe = struct({
  off: u64,
  __pad: pad(u64),
});
export const io_uring_zcrx_offsets = struct({
  head: u32,
  tail: u32,
  rqes: u32,
  __resv2: pad(u32),
  __resv: pad(u64, 2),
});
export const io_uring_zcrx_ifq_reg = struct({
  if_idx: u32,
  if_rxq: u32,
  rq_entries: u32,
  flags: u32,
  area_ptr: u64,
  region_ptr: u64,
  offsets: io_uring_zcrx_offsets,
  zcrx_id: u32,
  rx_buf_len: u32,
  __resv: pad(u64, 3),
});
export const io_uring_zcrx_rqe = struct({
  off: u64,
  len: u32,
  __pad: pad(u32),
});
export const zcrx_ctrl_export = struct({
  zcrx_fd: u32,
  __resv1: pad(u32, 11),
});
export const zcrx_ctrl = struct({
  zcrx_id: u32,
  op: u32,
  __resv: pad(u64, 2),
  zc_export: zcrx_ctrl_export,
});
export const zcrx_ctrl_flush_rq = struct({
  __resv: pad(u64, 6),
});

/** The other names of a place, by struct: the member it is, and how many bytes into it. */
export const aliases: Readonly<Record<string, Readonly<Record<string, readonly [member: string, into: number]>>>> = {
  io_uring_sqe: {
    addr2: ['off', 0],
    cmd_op: ['off', 0],
    __pad1: ['off', 4],
    splice_off_in: ['addr', 0],
    level: ['addr', 0],
    optname: ['addr', 4],
    fsync_flags: ['rw_flags', 0],
    poll_events: ['rw_flags', 0],
    poll32_events: ['rw_flags', 0],
    sync_range_flags: ['rw_flags', 0],
    msg_flags: ['rw_flags', 0],
    timeout_flags: ['rw_flags', 0],
    accept_flags: ['rw_flags', 0],
    cancel_flags: ['rw_flags', 0],
    open_flags: ['rw_flags', 0],
    statx_flags: ['rw_flags', 0],
    fadvise_advice: ['rw_flags', 0],
    splice_flags: ['rw_flags', 0],
    rename_flags: ['rw_flags', 0],
    unlink_flags: ['rw_flags', 0],
    hardlink_flags: ['rw_flags', 0],
    xattr_flags: ['rw_flags', 0],
    msg_ring_flags: ['rw_flags', 0],
    uring_cmd_flags: ['rw_flags', 0],
    waitid_flags: ['rw_flags', 0],
    futex_flags: ['rw_flags', 0],
    install_fd_flags: ['rw_flags', 0],
    nop_flags: ['rw_flags', 0],
    pipe_flags: ['rw_flags', 0],
    buf_group: ['buf_index', 0],
    file_index: ['splice_fd_in', 0],
    zcrx_ifq_idx: ['splice_fd_in', 0],
    optlen: ['splice_fd_in', 0],
    addr_len: ['splice_fd_in', 0],
    __pad3: ['splice_fd_in', 2],
    attr_ptr: ['addr3', 0],
    attr_type_mask: ['__pad2', 0],
    optval: ['addr3', 0],
    cmd: ['addr3', 0],
  },
  io_uring_restriction: {
    sqe_op: ['register_op', 0],
    sqe_flags: ['register_op', 0],
  },
  zcrx_ctrl: {
    zc_flush: ['zc_export', 0],
  },
  io_uring_buf_ring: {
    bufs: ['resv1', 0],
  },
};
