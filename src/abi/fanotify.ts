/**
 * fanotify(7): what happens to the files of a filesystem, as events in which files are named by their handles. The system calls
 * return a descriptor, or 0, or the negated errno.
 */
import { FAN_EVENT_INFO_TYPE_DFID, FAN_EVENT_INFO_TYPE_DFID_NAME, FAN_EVENT_INFO_TYPE_FID } from './posix.ts';
import { i32, pad, struct, u8, u16, u32, u53 } from './struct.ts';
import { define, negated, SYS } from './syscall.ts';

const libc = {
  init: define('syscall', 'int64', ['int64', 'uint', 'uint']),
  mark: define('syscall', 'int64', ['int64', 'int', 'uint', 'uint64', 'int', 'uintptr_t']),
};

/** fanotify_init(2): a descriptor to read events from. EPERM without CAP_SYS_ADMIN; EINVAL for flags that the kernel does not have. */
export const fanotifyInit = (flags: number): number => negated(libc.init(SYS.fanotify_init, flags, 0));
/** fanotify_mark(2) of what a descriptor is of. EXDEV, EOPNOTSUPP, ENODEV where files of that filesystem can't be told by handles. */
export const fanotifyMark = (fd: number, flags: number, mask: number, of: number): number =>
  negated(libc.mark(SYS.fanotify_mark, fd, flags, mask, of, 0));

export const fanotify_event_metadata = struct({
  event_len: u32,
  vers: u8,
  reserved: pad(u8),
  metadata_len: u16,
  mask: u53,
  fd: i32,
  pid: i32,
});
export const fanotify_event_info_header = struct({ info_type: u8, pad: pad(u8), len: u16 });
/** A record that names a file: the header, the filesystem, and then a struct file_handle, and behind that perhaps a name with its NUL. */
export const fanotify_event_info_fid = struct({ hdr: fanotify_event_info_header, fsid: i32, fsid_2: i32 });

/** An event. Files are told by where their struct file_handle lies in the bytes that were read; absent, the event does not say. */
export interface FileEvent {
  readonly mask: number;
  /** The process that did it. */
  readonly pid: number;
  /** What it was done to. */
  readonly object: number | undefined;
  /** The directory that it was done in, and where in the bytes the name begins and ends: of what was done to the directory itself ".". */
  readonly directory: number | undefined;
  readonly name: readonly [begin: number, end: number] | undefined;
}

const { offset: AT, size: METADATA } = fanotify_event_metadata;
/** Bytes of a file_handle before the handle itself. */
const HANDLE_HEAD = 8;

/** The events in what read(2) gave: `length` bytes. */
export function* fileEvents(view: DataView, length: number): Generator<FileEvent> {
  for (let at = 0; at + METADATA <= length; ) {
    const end = at + view.getUint32(at + AT.event_len, true);
    let [object, directory]: (number | undefined)[] = [];
    let name: FileEvent['name'];
    for (let info = at + view.getUint16(at + AT.metadata_len, true); info < end; ) {
      const type = view.getUint8(info);
      const next = info + view.getUint16(info + fanotify_event_info_header.offset.len, true);
      const handle = info + fanotify_event_info_fid.size;
      if (type === FAN_EVENT_INFO_TYPE_FID) object = handle;
      else if (type === FAN_EVENT_INFO_TYPE_DFID) directory = handle;
      else if (type === FAN_EVENT_INFO_TYPE_DFID_NAME) {
        directory = handle;
        const begin = handle + HANDLE_HEAD + view.getUint32(handle, true);
        let nul = begin;
        while (nul < next && view.getUint8(nul) !== 0) nul++;
        name = [begin, nul];
      }
      info = next;
    }
    const { mask, pid } = fanotify_event_metadata.decode(view, at);
    yield { mask, pid, object, directory, name };
    at = end;
  }
}
