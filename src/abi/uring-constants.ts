/**
 * The numbers of io_uring, with the names of <linux/io_uring.h> (Linux 7.2; what a kernel has of them it tells, see
 * uring/probe.ts). A test holds every value against the header's.
 */

/** What an sqe asks for: io_uring_sqe.opcode. The kernel of the machine may know fewer. */
// biome-ignore format: a table
export const IORING_OP = {
  NOP: 0,
  READV: 1,
  WRITEV: 2,
  FSYNC: 3,
  READ_FIXED: 4,
  WRITE_FIXED: 5,
  POLL_ADD: 6,
  POLL_REMOVE: 7,
  SYNC_FILE_RANGE: 8,
  SENDMSG: 9,
  RECVMSG: 10,
  TIMEOUT: 11,
  TIMEOUT_REMOVE: 12,
  ACCEPT: 13,
  ASYNC_CANCEL: 14,
  LINK_TIMEOUT: 15,
  CONNECT: 16,
  FALLOCATE: 17,
  OPENAT: 18,
  CLOSE: 19,
  FILES_UPDATE: 20,
  STATX: 21,
  READ: 22,
  WRITE: 23,
  FADVISE: 24,
  MADVISE: 25,
  SEND: 26,
  RECV: 27,
  OPENAT2: 28,
  EPOLL_CTL: 29,
  SPLICE: 30,
  PROVIDE_BUFFERS: 31,
  REMOVE_BUFFERS: 32,
  TEE: 33,
  SHUTDOWN: 34,
  RENAMEAT: 35,
  UNLINKAT: 36,
  MKDIRAT: 37,
  SYMLINKAT: 38,
  LINKAT: 39,
  MSG_RING: 40,
  FSETXATTR: 41,
  SETXATTR: 42,
  FGETXATTR: 43,
  GETXATTR: 44,
  SOCKET: 45,
  URING_CMD: 46,
  SEND_ZC: 47,
  SENDMSG_ZC: 48,
  READ_MULTISHOT: 49,
  WAITID: 50,
  FUTEX_WAIT: 51,
  FUTEX_WAKE: 52,
  FUTEX_WAITV: 53,
  FIXED_FD_INSTALL: 54,
  FTRUNCATE: 55,
  BIND: 56,
  LISTEN: 57,
  RECV_ZC: 58,
  EPOLL_WAIT: 59,
  READV_FIXED: 60,
  WRITEV_FIXED: 61,
  PIPE: 62,
  NOP128: 63,
  URING_CMD128: 64,
} as const;
export type UringOpcode = keyof typeof IORING_OP;
/** One past the last opcode of the header. */
export const IORING_OP_LAST = 65;

// io_uring_params.flags: how a ring is set up
export const IORING_SETUP_IOPOLL = 1;
export const IORING_SETUP_SQPOLL = 2;
export const IORING_SETUP_SQ_AFF = 4;
export const IORING_SETUP_CQSIZE = 8;
export const IORING_SETUP_CLAMP = 16;
export const IORING_SETUP_ATTACH_WQ = 32;
export const IORING_SETUP_R_DISABLED = 64;
export const IORING_SETUP_SUBMIT_ALL = 128;
export const IORING_SETUP_COOP_TASKRUN = 0x100;
export const IORING_SETUP_TASKRUN_FLAG = 0x200;
export const IORING_SETUP_SQE128 = 0x400;
export const IORING_SETUP_CQE32 = 0x800;
export const IORING_SETUP_SINGLE_ISSUER = 0x1000;
export const IORING_SETUP_DEFER_TASKRUN = 0x2000;
export const IORING_SETUP_NO_MMAP = 0x4000;
export const IORING_SETUP_REGISTERED_FD_ONLY = 0x8000;
export const IORING_SETUP_NO_SQARRAY = 0x10000;
export const IORING_SETUP_HYBRID_IOPOLL = 0x20000;
export const IORING_SETUP_CQE_MIXED = 0x40000;
export const IORING_SETUP_SQE_MIXED = 0x80000;
export const IORING_SETUP_SQ_REWIND = 0x100000;

// io_uring_params.features: what the kernel says it has
export const IORING_FEAT_SINGLE_MMAP = 1;
export const IORING_FEAT_NODROP = 2;
export const IORING_FEAT_SUBMIT_STABLE = 4;
export const IORING_FEAT_RW_CUR_POS = 8;
export const IORING_FEAT_CUR_PERSONALITY = 16;
export const IORING_FEAT_FAST_POLL = 32;
export const IORING_FEAT_POLL_32BITS = 64;
export const IORING_FEAT_SQPOLL_NONFIXED = 128;
export const IORING_FEAT_EXT_ARG = 0x100;
export const IORING_FEAT_NATIVE_WORKERS = 0x200;
export const IORING_FEAT_RSRC_TAGS = 0x400;
export const IORING_FEAT_CQE_SKIP = 0x800;
export const IORING_FEAT_LINKED_FILE = 0x1000;
export const IORING_FEAT_REG_REG_RING = 0x2000;
export const IORING_FEAT_RECVSEND_BUNDLE = 0x4000;
export const IORING_FEAT_MIN_TIMEOUT = 0x8000;
export const IORING_FEAT_RW_ATTR = 0x10000;
export const IORING_FEAT_NO_IOWAIT = 0x20000;

// mmap(2) offsets of a ring
export const IORING_OFF_SQ_RING = 0x0;
export const IORING_OFF_PBUF_SHIFT = 0x10;
export const IORING_OFF_CQ_RING = 0x8000000;
export const IORING_OFF_SQES = 0x10000000;
export const IORING_OFF_PBUF_RING = 0x80000000;
export const IORING_OFF_MMAP_MASK = 0xf8000000;

// io_uring_enter(2)
export const IORING_ENTER_GETEVENTS = 1;
export const IORING_ENTER_SQ_WAKEUP = 2;
export const IORING_ENTER_SQ_WAIT = 4;
export const IORING_ENTER_EXT_ARG = 8;
export const IORING_ENTER_REGISTERED_RING = 16;
export const IORING_ENTER_ABS_TIMER = 32;
export const IORING_ENTER_EXT_ARG_REG = 64;
export const IORING_ENTER_NO_IOWAIT = 128;

// The flags words in the mapped rings
export const IORING_SQ_NEED_WAKEUP = 1;
export const IORING_SQ_CQ_OVERFLOW = 2;
export const IORING_SQ_TASKRUN = 4;
export const IORING_CQ_EVENTFD_DISABLED = 1;

// io_uring_sqe.flags
export const IOSQE_FIXED_FILE_BIT = 0;
export const IOSQE_FIXED_FILE = 1;
export const IOSQE_IO_DRAIN_BIT = 1;
export const IOSQE_IO_DRAIN = 2;
export const IOSQE_IO_LINK_BIT = 2;
export const IOSQE_IO_HARDLINK_BIT = 3;
export const IOSQE_ASYNC_BIT = 4;
export const IOSQE_IO_LINK = 4;
export const IOSQE_BUFFER_SELECT_BIT = 5;
export const IOSQE_CQE_SKIP_SUCCESS_BIT = 6;
export const IOSQE_IO_HARDLINK = 8;
export const IOSQE_ASYNC = 16;
export const IOSQE_BUFFER_SELECT = 32;
export const IOSQE_CQE_SKIP_SUCCESS = 64;

// io_uring_cqe.flags
export const IORING_CQE_F_BUFFER = 1;
export const IORING_CQE_F_MORE = 2;
export const IORING_CQE_F_SOCK_NONEMPTY = 4;
export const IORING_CQE_F_NOTIF = 8;
export const IORING_CQE_BUFFER_SHIFT = 16;
export const IORING_CQE_F_BUF_MORE = 16;
export const IORING_CQE_F_SKIP = 32;
export const IORING_CQE_F_32 = 0x8000;
export const IORING_CQE_F_TSTAMP_HW = 0x10000;

// io_uring_sqe members of single operations
export const IORING_ACCEPT_MULTISHOT = 1;
export const IORING_ACCEPT_DONTWAIT = 2;
export const IORING_ACCEPT_POLL_FIRST = 4;
export const IORING_ASYNC_CANCEL_ALL = 1;
export const IORING_ASYNC_CANCEL_FD = 2;
export const IORING_ASYNC_CANCEL_ANY = 4;
export const IORING_ASYNC_CANCEL_FD_FIXED = 8;
export const IORING_ASYNC_CANCEL_USERDATA = 16;
export const IORING_ASYNC_CANCEL_OP = 32;
export const IORING_FSYNC_DATASYNC = 1;
export const IORING_FILE_INDEX_ALLOC = 0xffffffff;
export const IORING_FIXED_FD_NO_CLOEXEC = 1;
export const IORING_LINK_TIMEOUT_UPDATE = 16;
export const IORING_MSG_DATA = 0;
export const IORING_MSG_RING_CQE_SKIP = 1;
export const IORING_MSG_SEND_FD = 1;
export const IORING_MSG_RING_FLAGS_PASS = 2;
export const IORING_NOP_INJECT_RESULT = 1;
export const IORING_NOP_CQE32 = 32;
export const IORING_NOTIF_USAGE_ZC_COPIED = 0x80000000;
export const IORING_POLL_ADD_MULTI = 1;
export const IORING_POLL_UPDATE_EVENTS = 2;
export const IORING_POLL_UPDATE_USER_DATA = 4;
export const IORING_POLL_ADD_LEVEL = 8;
export const IORING_RECVSEND_POLL_FIRST = 1;
export const IORING_RECV_MULTISHOT = 2;
export const IORING_RECVSEND_FIXED_BUF = 4;
export const IORING_RECVSEND_BUNDLE = 16;
export const IORING_SEND_ZC_REPORT_USAGE = 8;
export const IORING_SEND_VECTORIZED = 32;
export const IORING_RW_ATTR_FLAG_PI = 1;
export const IORING_TIMEOUT_ABS = 1;
export const IORING_TIMEOUT_UPDATE = 2;
export const IORING_TIMEOUT_BOOTTIME = 4;
export const IORING_TIMEOUT_REALTIME = 8;
export const IORING_TIMEOUT_CLOCK_MASK = 0xc;
export const IORING_TIMEOUT_UPDATE_MASK = 0x12;
export const IORING_TIMEOUT_ETIME_SUCCESS = 32;
export const IORING_TIMEOUT_MULTISHOT = 64;
export const IORING_TIMEOUT_IMMEDIATE_ARG = 128;
export const IORING_TIMESTAMP_HW_SHIFT = 16;
export const IORING_TIMESTAMP_TYPE_SHIFT = 17;
export const IORING_URING_CMD_FIXED = 1;
export const IORING_URING_CMD_MASK = 0x1;

// io_uring_register(2)
export const IORING_REGISTER_BUFFERS = 0;
export const IORING_REGISTER_SRC_REGISTERED = 1;
export const IORING_REGISTER_DST_REPLACE = 2;
export const IORING_REGISTER_FILES = 2;
export const IORING_REGISTER_EVENTFD = 4;
export const IORING_REGISTER_FILES_UPDATE = 6;
export const IORING_REGISTER_EVENTFD_ASYNC = 7;
export const IORING_REGISTER_PROBE = 8;
export const IORING_REGISTER_PERSONALITY = 9;
export const IORING_REGISTER_RESTRICTIONS = 11;
export const IORING_REGISTER_ENABLE_RINGS = 12;
export const IORING_REGISTER_FILES2 = 13;
export const IORING_REGISTER_FILES_UPDATE2 = 14;
export const IORING_REGISTER_BUFFERS2 = 15;
export const IORING_REGISTER_BUFFERS_UPDATE = 16;
export const IORING_REGISTER_IOWQ_AFF = 17;
export const IORING_REGISTER_IOWQ_MAX_WORKERS = 19;
export const IORING_REGISTER_RING_FDS = 20;
export const IORING_REGISTER_PBUF_RING = 22;
export const IORING_REGISTER_SYNC_CANCEL = 24;
export const IORING_REGISTER_FILE_ALLOC_RANGE = 25;
export const IORING_REGISTER_PBUF_STATUS = 26;
export const IORING_REGISTER_NAPI = 27;
export const IORING_REGISTER_CLOCK = 29;
export const IORING_REGISTER_CLONE_BUFFERS = 30;
export const IORING_REGISTER_SEND_MSG_RING = 31;
export const IORING_REGISTER_ZCRX_IFQ = 32;
export const IORING_REGISTER_RESIZE_RINGS = 33;
export const IORING_REGISTER_MEM_REGION = 34;
export const IORING_REGISTER_QUERY = 35;
export const IORING_REGISTER_ZCRX_CTRL = 36;
export const IORING_REGISTER_BPF_FILTER = 37;
export const IORING_REGISTER_LAST = 38;
export const IORING_REGISTER_USE_REGISTERED_RING = 0x80000000;
export const IORING_REGISTER_FILES_SKIP = -2;
export const IORING_UNREGISTER_BUFFERS = 1;
export const IORING_UNREGISTER_FILES = 3;
export const IORING_UNREGISTER_EVENTFD = 5;
export const IORING_UNREGISTER_PERSONALITY = 10;
export const IORING_UNREGISTER_IOWQ_AFF = 18;
export const IORING_UNREGISTER_RING_FDS = 21;
export const IORING_UNREGISTER_PBUF_RING = 23;
export const IORING_UNREGISTER_NAPI = 28;
export const IORING_RSRC_REGISTER_SPARSE = 1;
export const IORING_RESTRICTION_REGISTER_OP = 0;
export const IORING_RESTRICTION_SQE_OP = 1;
export const IORING_RESTRICTION_SQE_FLAGS_ALLOWED = 2;
export const IORING_RESTRICTION_SQE_FLAGS_REQUIRED = 3;
export const IORING_RESTRICTION_LAST = 4;
export const IORING_REG_WAIT_TS = 1;
export const IORING_MEM_REGION_REG_WAIT_ARG = 1;
export const IORING_MEM_REGION_TYPE_USER = 1;
export const IORING_ZCRX_AREA_DMABUF = 1;
export const IORING_ZCRX_AREA_SHIFT = 48;
export const IORING_ZCRX_AREA_MASK = 0xffff000000000000n;
export const IO_URING_OP_SUPPORTED = 1;
export const IO_WQ_BOUND = 0;
export const IO_WQ_UNBOUND = 1;
