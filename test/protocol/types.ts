/**
 * What the compiler holds a filesystem to. Nothing here runs: `npm run typecheck` fails where a line that is
 * marked as an error compiles, and where one that is not marked does not.
 */
import { ENOENT } from '../../src/abi/errno.ts';
import type { Filesystem, Promised } from '../../src/protocol/filesystem.ts';
import type { Args, Result } from '../../src/protocol/operations.ts';
import type { Request } from '../../src/protocol/request.ts';

const attr = { ino: 1n, mode: 0o100644 };

/** Plain values, promises, thrown errors; defaults left out; arguments by their wire names. */
export const right: Filesystem = {
  promises: ['POSIX_LOCKS', 'FLOCK_LOCKS'],
  init({ agreed, notify, reply }) {
    if (agreed.has('HAS_EXPIRE_ONLY') && reply.max_write > 0) void notify.inval_entry(1, 'name', { expire: true });
  },
  lookup(request, { name }) {
    if (request.nodeid !== 1 || name.length > 255) throw ENOENT;
    return { nodeid: 2, attr };
  },
  getattr: async (_, { fh, getattr_flags }) => ({ attr_valid: (fh ?? 0) + getattr_flags, attr }),
  forget: (_, { nodeid, nlookup }) => void (nodeid + nlookup),
  read: (_, { offset, size, lock_owner }, reply) => reply.fill(Number(lock_owner ?? 0n), offset, size).length,
  write: (_, { data }) => ({ size: data.length }),
  readdir: (_, { offset }, reply) =>
    void reply.add({ name: 'a', ino: 1n, type: 8, off: offset + 1n }, () => ({ nodeid: 2, attr })),
  readlink: () => 'target',
  unlink: async () => {},
  create: (request) => ({
    entry: { nodeid: request.extensions?.groups[0] ?? 2, attr },
    open: { fh: 1, open_flags: 0 },
  }),
  setlk: (_, { sleep, lk, owner }) => void (sleep && lk.start === owner),
  rename: (_, { flags, newdir, oldname, newname }) => void [flags + newdir, oldname + newname],
  ioctl: (_, { data }) => ({ data }),
  statfs: () => ({ bsize: 512, namelen: 255, blocks: 5 }),
  statx: () => ({ stat: { ...attr, mask: 0, btime: { tv_sec: 5 } } }),
  copy_file_range: (_, { len }) => ({ bytes_copied: len }),
};

// A method that no operation has.
// @ts-expect-error lookupp
export const misspelt: Filesystem = { lookupp: () => ({ nodeid: 1, attr }) };
// @ts-expect-error batch_forget is the session's
export const session: Filesystem = { batch_forget: () => {} };

// Results.
// @ts-expect-error nothing comes back
export const nothing: Filesystem = { lookup: () => {} };
// @ts-expect-error attr is missing
export const missing: Filesystem = { lookup: () => ({ nodeid: 1 }) };
// @ts-expect-error within it, mode is
export const missingWithin: Filesystem = { lookup: () => ({ nodeid: 1, attr: { ino: 1n } }) };
// @ts-expect-error ino is a bigint
export const rounded: Filesystem = { getattr: () => ({ attr: { ino: 1, mode: 0 } }) };
// @ts-expect-error nodeid is a number
export const bigint: Filesystem = { lookup: () => ({ nodeid: 1n, attr }) };
// @ts-expect-error a promise of the wrong thing
export const promised: Filesystem = { lookup: async () => ({ nodeid: '1', attr }) };
// @ts-expect-error size is the answer itself: it has no default here
export const noSize: Filesystem = { write: () => ({}) };
// @ts-expect-error a string is not bytes
export const text: Filesystem = { read: () => 'text' };
// @ts-expect-error no such duty
export const unknown: Filesystem = { promises: ['ASYNC_READ'] };
// @ts-expect-error a member that no reply has; the literal says so, a variable of a wider type would not
export const excess: Result<'OPEN'> = { fh: 1, handle: 2 };

// Arguments.
// @ts-expect-error there is no such member
export const wrong: Filesystem = { lookup: (_, { filename }) => ({ nodeid: filename.length, attr }) };
// @ts-expect-error fh is there only with its flag
export const maybe: Filesystem = { getattr: (_, { fh }) => ({ attr: { ...attr, size: fh + 1 } }) };
// @ts-expect-error a cookie is a bigint
export const cookie: Filesystem = { readdir: (_, { offset }) => void (offset + 1) };
export const frozen: Filesystem = {
  mkdir(_, args) {
    // @ts-expect-error the arguments are not the handler's to change
    args.name = 'other';
    return { nodeid: 1, attr };
  },
};
export function request(asked: Request, of: Args<'SETATTR'>): number {
  // @ts-expect-error who asks is not the handler's to change either
  asked.uid = 0;
  // @ts-expect-error valid is always there, mode is not
  return of.valid + of.mode;
}
export const duty: Promised = 'ALLOW_IDMAP';
