/**
 * Where a record of FUSE ends that others follow: directory entries and extensions are padded to 8 bytes.
 * @see include/uapi/linux/fuse.h: FUSE_REC_ALIGN
 */
export const FUSE_REC_ALIGN = (end: number): number => (end + 7) & ~7;
