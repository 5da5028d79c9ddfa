/**
 * NVMe as the kernel passes it through: the commands of <linux/nvme_ioctl.h>, and of what Identify answers the members that
 * are read here, with the names of the kernel's <linux/nvme.h>. Little-endian, as NVMe is.
 * @see NVM Express NVM Command Set Specification 1.0: figures 97 (namespace), 276 of the base specification 2.0 (controller)
 */
import { pad, room, struct, u8, u16, u32, u64 } from './struct.ts';

const command = {
  opcode: u8,
  flags: u8,
  rsvd1: pad(u16),
  nsid: u32,
  cdw2: u32,
  cdw3: u32,
  metadata: u64,
  addr: u64,
  metadata_len: u32,
  data_len: u32,
  cdw10: u32,
  cdw11: u32,
  cdw12: u32,
  cdw13: u32,
  cdw14: u32,
  cdw15: u32,
  timeout_ms: u32,
};
/** What the ioctls take. */
export const nvme_passthru_cmd = struct({ ...command, result: u32 });
/** What IORING_OP_URING_CMD takes in the second half of its sqe. */
export const nvme_uring_cmd = struct({ ...command, rsvd2: pad(u32) });

export const NVME_IOCTL_ADMIN_CMD = 0xc048_4e41;
export const NVME_IOCTL_IO_CMD = 0xc048_4e43;
export const NVME_URING_CMD_IO = 0xc048_4e80;

/** Of the set for reading and writing. */
export const nvme_cmd_flush = 0x00;
/** Of the admin set. */
export const nvme_admin_identify = 0x06;
export const NVME_ID_CNS_NS = 0;
export const NVME_ID_CNS_CTRL = 1;
/** Bytes that Identify answers. */
export const NVME_IDENTIFY_DATA_SIZE = 4096;

/** nsfeat: the namespace has atomic write units of its own. */
export const NVME_NS_FEAT_ATOMICS = 1 << 1;
/** vwc: there is a write cache that loses what is in it. */
export const NVME_CTRL_VWC_PRESENT = 1 << 0;

export const nvme_lbaf = struct({ ms: u16, ds: u8, rp: u8 });
export const nvme_id_ns = struct({
  nsze: u64,
  ncap: u64,
  nuse: u64,
  nsfeat: u8,
  nlbaf: u8,
  flbas: u8,
  mc: u8,
  dpc: u8,
  dps: u8,
  nmic: u8,
  rescap: u8,
  fpi: u8,
  dlfeat: u8,
  nawun: u16,
  nawupf: u16,
  nacwu: u16,
  nabsn: u16,
  nabo: u16,
  nabspf: u16,
  noiob: u16,
  rest: room(80),
  lbaf: room(64 * nvme_lbaf.size, 2),
  vendor: room(3712, 8),
});
export const nvme_id_ctrl = struct({
  head: room(520),
  oncs: u16,
  fuses: u16,
  fna: u8,
  vwc: u8,
  awun: u16,
  awupf: u16,
  rest: room(3566),
});
