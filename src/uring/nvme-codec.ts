/**
 * NVMe in bytes: the two commands that are passed through, what Identify answers, and what a status means. No I/O.
 */
import {
  NVME_CTRL_VWC_PRESENT,
  NVME_ID_CNS_CTRL,
  NVME_ID_CNS_NS,
  NVME_IDENTIFY_DATA_SIZE,
  NVME_NS_FEAT_ATOMICS,
  nvme_admin_identify,
  nvme_cmd_flush,
  nvme_id_ctrl,
  nvme_id_ns,
  nvme_lbaf,
  nvme_passthru_cmd,
  nvme_uring_cmd,
} from '../abi/nvme.ts';

const NONE = {
  ...{ flags: 0, cdw2: 0, cdw3: 0, metadata: 0n, addr: 0n, metadata_len: 0, data_len: 0, cdw10: 0, cdw11: 0 },
  ...{ cdw12: 0, cdw13: 0, cdw14: 0, cdw15: 0, timeout_ms: 0 },
};

/** A flush of one namespace, for the ioctl. */
export function flushCommand(nsid: number): Buffer {
  const bytes = Buffer.alloc(nvme_passthru_cmd.size);
  nvme_passthru_cmd.encode(viewOf(bytes), 0, { ...NONE, opcode: nvme_cmd_flush, nsid, result: 0 });
  return bytes;
}
/** The same for IORING_OP_URING_CMD. */
export function flushUringCommand(nsid: number): Buffer {
  const bytes = Buffer.alloc(nvme_uring_cmd.size);
  nvme_uring_cmd.encode(viewOf(bytes), 0, { ...NONE, opcode: nvme_cmd_flush, nsid });
  return bytes;
}
/** Identify, of the namespace or of the controller behind it. Where its answer goes is for who sends it to fill in. */
export function identifyCommand(what: 'namespace' | 'controller', nsid: number): Buffer {
  const bytes = Buffer.alloc(nvme_passthru_cmd.size);
  const about = { opcode: nvme_admin_identify, data_len: NVME_IDENTIFY_DATA_SIZE, result: 0 };
  nvme_passthru_cmd.encode(viewOf(bytes), 0, {
    ...NONE,
    ...about,
    ...(what === 'namespace' ? { nsid, cdw10: NVME_ID_CNS_NS } : { nsid: 0, cdw10: NVME_ID_CNS_CTRL }),
  });
  return bytes;
}

/** A write that the device does as a whole, or not at all. */
export interface AtomicWrite {
  /** Bytes at most, while the power stays. */
  readonly normal: number;
  /** Bytes at most that are not torn by a power cut. */
  readonly powerFail: number;
  /** Whether they are the namespace's own, or its controller's. */
  readonly of: 'namespace' | 'controller';
  /** What it must not cross: a boundary at `offset` and at each multiple of so many bytes from there; undefined where there is none. */
  readonly boundary:
    | { readonly offset: number; readonly normal: number | undefined; readonly powerFail: number | undefined }
    | undefined;
}
export interface NvmeIdentity {
  /** Bytes in a logical block. */
  readonly blockSize: number;
  /** Logical blocks. */
  readonly blocks: bigint;
  readonly atomicWrite: AtomicWrite;
  /** There is a write cache that a power cut empties: without one a flush has nothing to do. */
  readonly volatileCache: boolean;
}

/** Units are told less one, so that 0xFFFF is 65,536 blocks. */
const units = (zeroBased: number): number => zeroBased + 1;

/** What Identify told of a namespace and its controller, 4096 bytes each. RangeError for fewer. */
export function parseIdentity(namespace: Uint8Array, controller: Uint8Array): NvmeIdentity {
  for (const { byteLength } of [namespace, controller])
    if (byteLength < NVME_IDENTIFY_DATA_SIZE) throw new RangeError(`${byteLength} bytes are no answer to Identify`);
  const ns = nvme_id_ns.decode(viewOf(namespace), 0);
  const ctrl = nvme_id_ctrl.decode(viewOf(controller), 0);
  // Four bits of the format's number, and two more where there are more than 16.
  const format = (ns.flbas & 0xf) | (ns.nlbaf > 15 ? (ns.flbas & 0x60) >> 1 : 0);
  const { ds } = nvme_lbaf.decode(viewOf(namespace), nvme_id_ns.offset.lbaf + format * nvme_lbaf.size);
  const blockSize = 2 ** ds;
  const own = (ns.nsfeat & NVME_NS_FEAT_ATOMICS) !== 0;
  const boundary = (told: number) => (told === 0 ? undefined : units(told) * blockSize);
  return {
    blockSize,
    blocks: ns.nsze,
    volatileCache: (ctrl.vwc & NVME_CTRL_VWC_PRESENT) !== 0,
    atomicWrite: {
      // Each by itself: one that is 0 is the controller's.
      normal: units(own && ns.nawun !== 0 ? ns.nawun : ctrl.awun) * blockSize,
      powerFail: units(own && ns.nawupf !== 0 ? ns.nawupf : ctrl.awupf) * blockSize,
      of: own && ns.nawupf !== 0 ? 'namespace' : 'controller',
      boundary:
        own && (ns.nabsn !== 0 || ns.nabspf !== 0)
          ? { offset: ns.nabo * blockSize, normal: boundary(ns.nabsn), powerFail: boundary(ns.nabspf) }
          : undefined,
    },
  };
}

/** By type and code. @see include/linux/nvme.h, enum of the status codes */
const STATUSES: Readonly<Record<number, string>> = {
  1: 'INVALID_OPCODE',
  2: 'INVALID_FIELD',
  3: 'CMDID_CONFLICT',
  4: 'DATA_XFER_ERROR',
  5: 'POWER_LOSS',
  6: 'INTERNAL',
  7: 'ABORT_REQ',
  8: 'ABORT_QUEUE',
  11: 'INVALID_NS',
  12: 'CMD_SEQ_ERROR',
  32: 'NS_WRITE_PROTECTED',
  33: 'CMD_INTERRUPTED',
  34: 'TRANSIENT_TR_ERR',
  128: 'LBA_RANGE',
  129: 'CAP_EXCEEDED',
  130: 'NS_NOT_READY',
  131: 'RESERVATION_CONFLICT',
  132: 'FORMAT_IN_PROGRESS',
  640: 'WRITE_FAULT',
  641: 'READ_ERROR',
  646: 'ACCESS_DENIED',
  769: 'ANA_PERSISTENT_LOSS',
  770: 'ANA_INACCESSIBLE',
  771: 'ANA_TRANSITION',
  880: 'HOST_PATH_ERROR',
  881: 'HOST_ABORTED_CMD',
};

/** The device refused: the positive result of the ioctl, or of the completion. */
export class NvmeError extends Error {
  override readonly name = 'NvmeError';
  /** Type and code, without the bits for more and for no retry. */
  readonly status: number;
  /** As the kernel calls it, without its NVME_SC_; `0x2A` or so where it has no name here. */
  readonly code: string;
  /** The device says that it is no use to try again. */
  readonly final: boolean;
  constructor(result: number, what: string) {
    const status = result & 0x7ff;
    const code = STATUSES[status] ?? `0x${status.toString(16)}`;
    super(`${what}: NVMe status ${code}`);
    this.status = status;
    this.code = code;
    this.final = (result & 0x4000) !== 0;
  }
}

const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, byteLength);
