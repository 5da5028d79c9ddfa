/**
 * One message of every operation as the bytes that go over the wire, a comment a line, a different value in
 * every field: two fields that change places, a width or a byte order that is wrong, all show. Written out
 * from the layouts that a C compiler gave (test/abi/data/layout.json), not by the code under test.
 *
 * `request` is the whole message, `args` what its handler gets, `result` (or `entries`) what the handler
 * gives, `reply` the body of the answer: undefined where the kernel expects none.
 */
import type { Dirent } from '../../src/protocol/dirent.ts';
import type { Extensions } from '../../src/protocol/extensions.ts';
import type { NotificationName } from '../../src/protocol/notify.ts';
import type { OperationName, Result } from '../../src/protocol/operations.ts';
import { hex } from './support.ts';

export interface Golden {
  /** The method that serves it. */
  readonly method: string;
  readonly request: string;
  /** What the request says of itself. */
  readonly head: {
    readonly unique: bigint;
    readonly nodeid: number;
    readonly uid: number;
    readonly gid: number;
    readonly pid: number;
  };
  readonly args: object;
  readonly extensions?: Extensions;
  readonly result?: unknown;
  /** What a handler of READDIR or READDIRPLUS adds: an entry, and what a lookup of it answers. */
  readonly entries?: readonly (readonly [Dirent, Result<'LOOKUP'>?])[];
  readonly reply: string | undefined;
}

export const golden: Readonly<Record<OperationName, Golden>> = {
  LOOKUP: {
    method: 'lookup',
    request: `
      2e000000 01000000  # len 46, opcode 1
      02002a3b4c5d6e7f 0100574635241300  # unique 0x7f6e5d4c3b2a0002, nodeid 0x13243546570001
      01000100 01000200 01000300  # uid 0x10001, gid 0x20001, pid 0x30001
      0000 0000  # total_extlen 0, padding
      612e74787400  # name "a.txt" and its NUL
    `,
    head: { unique: 0x7f6e5d4c3b2a0002n, nodeid: 0x13243546570001, uid: 0x10001, gid: 0x20001, pid: 0x30001 },
    args: { name: 'a.txt' },
    result: {
      nodeid: 0x1a18161412101,
      generation: 0x2a28262422202,
      entry_valid: 0x3a38363432303,
      attr_valid: 0x4a48464442404,
      entry_valid_nsec: 0x65452505,
      attr_valid_nsec: 0x66462606,
      attr: {
        ino: 0xe7c7a78767472707n,
        size: 0x8a88868482808,
        blocks: 0x9a98969492909,
        atime: -0xaaa8a6a4a2a0a,
        mtime: -0xbab8b6b4b2b0b,
        ctime: -0xcac8c6c4c2c0c,
        atimensec: 0x6d4d2d0d,
        mtimensec: 0x6e4e2e0e,
        ctimensec: 0x6f4f2f0f,
        mode: 0x70503010,
        nlink: 0x71513111,
        uid: 0x72523212,
        gid: 0x73533313,
        rdev: 0x74543414,
        blksize: 0x75553515,
        flags: 0x76563616,
      },
    },
    reply: `
      0121416181a10100  # nodeid 0x1a18161412101
      0222426282a20200  # generation 0x2a28262422202
      0323436383a30300  # entry_valid 0x3a38363432303
      0424446484a40400  # attr_valid 0x4a48464442404
      05254565  # entry_valid_nsec 0x65452505
      06264666  # attr_valid_nsec 0x66462606
      0727476787a7c7e7  # attr.ino 0xe7c7a78767472707n
      0828486888a80800  # attr.size 0x8a88868482808
      0929496989a90900  # attr.blocks 0x9a98969492909
      f6d5b5957555f5ff  # attr.atime -0xaaa8a6a4a2a0a
      f5d4b4947454f4ff  # attr.mtime -0xbab8b6b4b2b0b
      f4d3b3937353f3ff  # attr.ctime -0xcac8c6c4c2c0c
      0d2d4d6d  # attr.atimensec 0x6d4d2d0d
      0e2e4e6e  # attr.mtimensec 0x6e4e2e0e
      0f2f4f6f  # attr.ctimensec 0x6f4f2f0f
      10305070  # attr.mode 0x70503010
      11315171  # attr.nlink 0x71513111
      12325272  # attr.uid 0x72523212
      13335373  # attr.gid 0x73533313
      14345474  # attr.rdev 0x74543414
      15355575  # attr.blksize 0x75553515
      16365676  # attr.flags 0x76563616
    `,
  },
  FORGET: {
    method: 'forget',
    request: `
      30000000 02000000  # len 48, opcode 2
      04002a3b4c5d6e7f 0200574635241300  # unique 0x7f6e5d4c3b2a0004, nodeid 0x13243546570002
      02000100 02000200 02000300  # uid 0x10002, gid 0x20002, pid 0x30002
      0000 0000  # total_extlen 0, padding
      0121416181a10100  # nlookup 0x1a18161412101
    `,
    head: { unique: 0x7f6e5d4c3b2a0004n, nodeid: 0x13243546570002, uid: 0x10002, gid: 0x20002, pid: 0x30002 },
    args: { nlookup: 0x1a18161412101 },
    reply: undefined,
  },
  GETATTR: {
    method: 'getattr',
    request: `
      38000000 03000000  # len 56, opcode 3
      06002a3b4c5d6e7f 0300574635241300  # unique 0x7f6e5d4c3b2a0006, nodeid 0x13243546570003
      03000100 03000200 03000300  # uid 0x10003, gid 0x20003, pid 0x30003
      0000 0000  # total_extlen 0, padding
      81000000  # getattr_flags 0x81
      00000000  # dummy
      0222426282a20200  # fh 0x2a28262422202
    `,
    head: { unique: 0x7f6e5d4c3b2a0006n, nodeid: 0x13243546570003, uid: 0x10003, gid: 0x20003, pid: 0x30003 },
    args: { getattr_flags: 0x81, fh: 0x2a28262422202 },
    result: {
      attr_valid: 0x1a18161412101,
      attr_valid_nsec: 0x62422202,
      attr: {
        ino: 0xe3c3a38363432303n,
        size: 0x4a48464442404,
        blocks: 0x5a58565452505,
        atime: -0x6a68666462606,
        mtime: -0x7a78767472707,
        ctime: -0x8a88868482808,
        atimensec: 0x69492909,
        mtimensec: 0x6a4a2a0a,
        ctimensec: 0x6b4b2b0b,
        mode: 0x6c4c2c0c,
        nlink: 0x6d4d2d0d,
        uid: 0x6e4e2e0e,
        gid: 0x6f4f2f0f,
        rdev: 0x70503010,
        blksize: 0x71513111,
        flags: 0x72523212,
      },
    },
    reply: `
      0121416181a10100  # attr_valid 0x1a18161412101
      02224262  # attr_valid_nsec 0x62422202
      00000000  # dummy
      0323436383a3c3e3  # attr.ino 0xe3c3a38363432303n
      0424446484a40400  # attr.size 0x4a48464442404
      0525456585a50500  # attr.blocks 0x5a58565452505
      fad9b9997959f9ff  # attr.atime -0x6a68666462606
      f9d8b8987858f8ff  # attr.mtime -0x7a78767472707
      f8d7b7977757f7ff  # attr.ctime -0x8a88868482808
      09294969  # attr.atimensec 0x69492909
      0a2a4a6a  # attr.mtimensec 0x6a4a2a0a
      0b2b4b6b  # attr.ctimensec 0x6b4b2b0b
      0c2c4c6c  # attr.mode 0x6c4c2c0c
      0d2d4d6d  # attr.nlink 0x6d4d2d0d
      0e2e4e6e  # attr.uid 0x6e4e2e0e
      0f2f4f6f  # attr.gid 0x6f4f2f0f
      10305070  # attr.rdev 0x70503010
      11315171  # attr.blksize 0x71513111
      12325272  # attr.flags 0x72523212
    `,
  },
  SETATTR: {
    method: 'setattr',
    request: `
      80000000 04000000  # len 128, opcode 4
      08002a3b4c5d6e7f 0400574635241300  # unique 0x7f6e5d4c3b2a0008, nodeid 0x13243546570004
      04000100 04000200 04000300  # uid 0x10004, gid 0x20004, pid 0x30004
      0000 0000  # total_extlen 0, padding
      ff0f0000  # valid 0xfff
      00000000  # padding
      0222426282a20200  # fh 0x2a28262422202
      0323436383a30300  # size 0x3a38363432303
      0424446484a4c4e4  # lock_owner 0xe4c4a48464442404n
      fbdaba9a7a5afaff  # atime -0x5a58565452505
      fad9b9997959f9ff  # mtime -0x6a68666462606
      f9d8b8987858f8ff  # ctime -0x7a78767472707
      08284868  # atimensec 0x68482808
      09294969  # mtimensec 0x69492909
      0a2a4a6a  # ctimensec 0x6a4a2a0a
      0b2b4b6b  # mode 0x6b4b2b0b
      00000000  # unused4
      0c2c4c6c  # uid 0x6c4c2c0c
      0d2d4d6d  # gid 0x6d4d2d0d
      00000000  # unused5
    `,
    head: { unique: 0x7f6e5d4c3b2a0008n, nodeid: 0x13243546570004, uid: 0x10004, gid: 0x20004, pid: 0x30004 },
    args: {
      valid: 0xfff,
      fh: 0x2a28262422202,
      size: 0x3a38363432303,
      lock_owner: 0xe4c4a48464442404n,
      atime: -0x5a58565452505,
      mtime: -0x6a68666462606,
      ctime: -0x7a78767472707,
      atimensec: 0x68482808,
      mtimensec: 0x69492909,
      ctimensec: 0x6a4a2a0a,
      mode: 0x6b4b2b0b,
      uid: 0x6c4c2c0c,
      gid: 0x6d4d2d0d,
    },
    result: {
      attr_valid: 0x1a18161412101,
      attr_valid_nsec: 0x62422202,
      attr: {
        ino: 0xe3c3a38363432303n,
        size: 0x4a48464442404,
        blocks: 0x5a58565452505,
        atime: -0x6a68666462606,
        mtime: -0x7a78767472707,
        ctime: -0x8a88868482808,
        atimensec: 0x69492909,
        mtimensec: 0x6a4a2a0a,
        ctimensec: 0x6b4b2b0b,
        mode: 0x6c4c2c0c,
        nlink: 0x6d4d2d0d,
        uid: 0x6e4e2e0e,
        gid: 0x6f4f2f0f,
        rdev: 0x70503010,
        blksize: 0x71513111,
        flags: 0x72523212,
      },
    },
    reply: `
      0121416181a10100  # attr_valid 0x1a18161412101
      02224262  # attr_valid_nsec 0x62422202
      00000000  # dummy
      0323436383a3c3e3  # attr.ino 0xe3c3a38363432303n
      0424446484a40400  # attr.size 0x4a48464442404
      0525456585a50500  # attr.blocks 0x5a58565452505
      fad9b9997959f9ff  # attr.atime -0x6a68666462606
      f9d8b8987858f8ff  # attr.mtime -0x7a78767472707
      f8d7b7977757f7ff  # attr.ctime -0x8a88868482808
      09294969  # attr.atimensec 0x69492909
      0a2a4a6a  # attr.mtimensec 0x6a4a2a0a
      0b2b4b6b  # attr.ctimensec 0x6b4b2b0b
      0c2c4c6c  # attr.mode 0x6c4c2c0c
      0d2d4d6d  # attr.nlink 0x6d4d2d0d
      0e2e4e6e  # attr.uid 0x6e4e2e0e
      0f2f4f6f  # attr.gid 0x6f4f2f0f
      10305070  # attr.rdev 0x70503010
      11315171  # attr.blksize 0x71513111
      12325272  # attr.flags 0x72523212
    `,
  },
  READLINK: {
    method: 'readlink',
    request: `
      28000000 05000000  # len 40, opcode 5
      0a002a3b4c5d6e7f 0500574635241300  # unique 0x7f6e5d4c3b2a000a, nodeid 0x13243546570005
      05000100 05000200 05000300  # uid 0x10005, gid 0x20005, pid 0x30005
      0000 0000  # total_extlen 0, padding
    `,
    head: { unique: 0x7f6e5d4c3b2a000an, nodeid: 0x13243546570005, uid: 0x10005, gid: 0x20005, pid: 0x30005 },
    args: {},
    result: 'to/\udcff',
    reply: `
      746f2fff  # "to/\xff"
    `,
  },
  SYMLINK: {
    method: 'symlink',
    request: `
      7b000000 06000000  # len 123, opcode 6
      0c002a3b4c5d6e7f 0600574635241300  # unique 0x7f6e5d4c3b2a000c, nodeid 0x13243546570006
      06000100 06000200 06000300  # uid 0x10006, gid 0x20006, pid 0x30006
      0900 0000  # total_extlen 9, padding
      6c696e6b00  # name "link" and its NUL
      2e2e2fc3a900  # target "../\xc3\xa9" and its NUL
      3800000001000000  # fuse_secctx_header: size 56, nr_secctx 1
      1100000000000000  # fuse_secctx: size 17, padding
      73656375726974792e73656c696e757800  # "security.selinux"
      73797374656d5f753a6f626a6563745f72  # its value
      000000000000  # to 8 bytes
      1000000020000000  # fuse_ext_header: size 16, type FUSE_EXT_GROUPS
      01000000  # nr_groups 1
      2d010000  # group 301
    `,
    head: { unique: 0x7f6e5d4c3b2a000cn, nodeid: 0x13243546570006, uid: 0x10006, gid: 0x20006, pid: 0x30006 },
    args: { name: 'link', target: '../é' },
    extensions: {
      contexts: [{ name: 'security.selinux', value: hex('73797374656d5f753a6f626a6563745f72') }],
      groups: [301],
    },
    result: {
      nodeid: 0x1a18161412101,
      generation: 0x2a28262422202,
      entry_valid: 0x3a38363432303,
      attr_valid: 0x4a48464442404,
      entry_valid_nsec: 0x65452505,
      attr_valid_nsec: 0x66462606,
      attr: {
        ino: 0xe7c7a78767472707n,
        size: 0x8a88868482808,
        blocks: 0x9a98969492909,
        atime: -0xaaa8a6a4a2a0a,
        mtime: -0xbab8b6b4b2b0b,
        ctime: -0xcac8c6c4c2c0c,
        atimensec: 0x6d4d2d0d,
        mtimensec: 0x6e4e2e0e,
        ctimensec: 0x6f4f2f0f,
        mode: 0x70503010,
        nlink: 0x71513111,
        uid: 0x72523212,
        gid: 0x73533313,
        rdev: 0x74543414,
        blksize: 0x75553515,
        flags: 0x76563616,
      },
    },
    reply: `
      0121416181a10100  # nodeid 0x1a18161412101
      0222426282a20200  # generation 0x2a28262422202
      0323436383a30300  # entry_valid 0x3a38363432303
      0424446484a40400  # attr_valid 0x4a48464442404
      05254565  # entry_valid_nsec 0x65452505
      06264666  # attr_valid_nsec 0x66462606
      0727476787a7c7e7  # attr.ino 0xe7c7a78767472707n
      0828486888a80800  # attr.size 0x8a88868482808
      0929496989a90900  # attr.blocks 0x9a98969492909
      f6d5b5957555f5ff  # attr.atime -0xaaa8a6a4a2a0a
      f5d4b4947454f4ff  # attr.mtime -0xbab8b6b4b2b0b
      f4d3b3937353f3ff  # attr.ctime -0xcac8c6c4c2c0c
      0d2d4d6d  # attr.atimensec 0x6d4d2d0d
      0e2e4e6e  # attr.mtimensec 0x6e4e2e0e
      0f2f4f6f  # attr.ctimensec 0x6f4f2f0f
      10305070  # attr.mode 0x70503010
      11315171  # attr.nlink 0x71513111
      12325272  # attr.uid 0x72523212
      13335373  # attr.gid 0x73533313
      14345474  # attr.rdev 0x74543414
      15355575  # attr.blksize 0x75553515
      16365676  # attr.flags 0x76563616
    `,
  },
  MKNOD: {
    method: 'mknod',
    request: `
      4d000000 08000000  # len 77, opcode 8
      0e002a3b4c5d6e7f 0700574635241300  # unique 0x7f6e5d4c3b2a000e, nodeid 0x13243546570007
      08000100 08000200 08000300  # uid 0x10008, gid 0x20008, pid 0x30008
      0200 0000  # total_extlen 2, padding
      01214161  # mode 0x61412101
      02224262  # rdev 0x62422202
      03234363  # umask 0x63432303
      00000000  # padding
      ff69666f00  # name "\xffifo" and its NUL
      1000000020000000  # fuse_ext_header: size 16, type FUSE_EXT_GROUPS
      01000000  # nr_groups 1
      2e010000  # group 302
    `,
    head: { unique: 0x7f6e5d4c3b2a000en, nodeid: 0x13243546570007, uid: 0x10008, gid: 0x20008, pid: 0x30008 },
    args: { mode: 0x61412101, rdev: 0x62422202, umask: 0x63432303, name: '\udcffifo' },
    extensions: { contexts: [], groups: [302] },
    result: {
      nodeid: 0x1a18161412101,
      generation: 0x2a28262422202,
      entry_valid: 0x3a38363432303,
      attr_valid: 0x4a48464442404,
      entry_valid_nsec: 0x65452505,
      attr_valid_nsec: 0x66462606,
      attr: {
        ino: 0xe7c7a78767472707n,
        size: 0x8a88868482808,
        blocks: 0x9a98969492909,
        atime: -0xaaa8a6a4a2a0a,
        mtime: -0xbab8b6b4b2b0b,
        ctime: -0xcac8c6c4c2c0c,
        atimensec: 0x6d4d2d0d,
        mtimensec: 0x6e4e2e0e,
        ctimensec: 0x6f4f2f0f,
        mode: 0x70503010,
        nlink: 0x71513111,
        uid: 0x72523212,
        gid: 0x73533313,
        rdev: 0x74543414,
        blksize: 0x75553515,
        flags: 0x76563616,
      },
    },
    reply: `
      0121416181a10100  # nodeid 0x1a18161412101
      0222426282a20200  # generation 0x2a28262422202
      0323436383a30300  # entry_valid 0x3a38363432303
      0424446484a40400  # attr_valid 0x4a48464442404
      05254565  # entry_valid_nsec 0x65452505
      06264666  # attr_valid_nsec 0x66462606
      0727476787a7c7e7  # attr.ino 0xe7c7a78767472707n
      0828486888a80800  # attr.size 0x8a88868482808
      0929496989a90900  # attr.blocks 0x9a98969492909
      f6d5b5957555f5ff  # attr.atime -0xaaa8a6a4a2a0a
      f5d4b4947454f4ff  # attr.mtime -0xbab8b6b4b2b0b
      f4d3b3937353f3ff  # attr.ctime -0xcac8c6c4c2c0c
      0d2d4d6d  # attr.atimensec 0x6d4d2d0d
      0e2e4e6e  # attr.mtimensec 0x6e4e2e0e
      0f2f4f6f  # attr.ctimensec 0x6f4f2f0f
      10305070  # attr.mode 0x70503010
      11315171  # attr.nlink 0x71513111
      12325272  # attr.uid 0x72523212
      13335373  # attr.gid 0x73533313
      14345474  # attr.rdev 0x74543414
      15355575  # attr.blksize 0x75553515
      16365676  # attr.flags 0x76563616
    `,
  },
  MKDIR: {
    method: 'mkdir',
    request: `
      60000000 09000000  # len 96, opcode 9
      10002a3b4c5d6e7f 0800574635241300  # unique 0x7f6e5d4c3b2a0010, nodeid 0x13243546570008
      09000100 09000200 09000300  # uid 0x10009, gid 0x20009, pid 0x30009
      0500 0000  # total_extlen 5, padding
      01214161  # mode 0x61412101
      02224262  # umask 0x62422202
      6772c3b6c39f6500  # name "gr\xc3\xb6\xc3\x9fe" and its NUL
      2800000001000000  # fuse_secctx_header: size 40, nr_secctx 1
      0300000000000000  # fuse_secctx: size 3, padding
      73656375726974792e73656c696e757800  # "security.selinux"
      637478  # its value
      00000000  # to 8 bytes
    `,
    head: { unique: 0x7f6e5d4c3b2a0010n, nodeid: 0x13243546570008, uid: 0x10009, gid: 0x20009, pid: 0x30009 },
    args: { mode: 0x61412101, umask: 0x62422202, name: 'größe' },
    extensions: { contexts: [{ name: 'security.selinux', value: hex('637478') }], groups: [] },
    result: {
      nodeid: 0x1a18161412101,
      generation: 0x2a28262422202,
      entry_valid: 0x3a38363432303,
      attr_valid: 0x4a48464442404,
      entry_valid_nsec: 0x65452505,
      attr_valid_nsec: 0x66462606,
      attr: {
        ino: 0xe7c7a78767472707n,
        size: 0x8a88868482808,
        blocks: 0x9a98969492909,
        atime: -0xaaa8a6a4a2a0a,
        mtime: -0xbab8b6b4b2b0b,
        ctime: -0xcac8c6c4c2c0c,
        atimensec: 0x6d4d2d0d,
        mtimensec: 0x6e4e2e0e,
        ctimensec: 0x6f4f2f0f,
        mode: 0x70503010,
        nlink: 0x71513111,
        uid: 0x72523212,
        gid: 0x73533313,
        rdev: 0x74543414,
        blksize: 0x75553515,
        flags: 0x76563616,
      },
    },
    reply: `
      0121416181a10100  # nodeid 0x1a18161412101
      0222426282a20200  # generation 0x2a28262422202
      0323436383a30300  # entry_valid 0x3a38363432303
      0424446484a40400  # attr_valid 0x4a48464442404
      05254565  # entry_valid_nsec 0x65452505
      06264666  # attr_valid_nsec 0x66462606
      0727476787a7c7e7  # attr.ino 0xe7c7a78767472707n
      0828486888a80800  # attr.size 0x8a88868482808
      0929496989a90900  # attr.blocks 0x9a98969492909
      f6d5b5957555f5ff  # attr.atime -0xaaa8a6a4a2a0a
      f5d4b4947454f4ff  # attr.mtime -0xbab8b6b4b2b0b
      f4d3b3937353f3ff  # attr.ctime -0xcac8c6c4c2c0c
      0d2d4d6d  # attr.atimensec 0x6d4d2d0d
      0e2e4e6e  # attr.mtimensec 0x6e4e2e0e
      0f2f4f6f  # attr.ctimensec 0x6f4f2f0f
      10305070  # attr.mode 0x70503010
      11315171  # attr.nlink 0x71513111
      12325272  # attr.uid 0x72523212
      13335373  # attr.gid 0x73533313
      14345474  # attr.rdev 0x74543414
      15355575  # attr.blksize 0x75553515
      16365676  # attr.flags 0x76563616
    `,
  },
  UNLINK: {
    method: 'unlink',
    request: `
      2d000000 0a000000  # len 45, opcode 10
      12002a3b4c5d6e7f 0900574635241300  # unique 0x7f6e5d4c3b2a0012, nodeid 0x13243546570009
      0a000100 0a000200 0a000300  # uid 0x1000a, gid 0x2000a, pid 0x3000a
      0000 0000  # total_extlen 0, padding
      676f6e6500  # name "gone" and its NUL
    `,
    head: { unique: 0x7f6e5d4c3b2a0012n, nodeid: 0x13243546570009, uid: 0x1000a, gid: 0x2000a, pid: 0x3000a },
    args: { name: 'gone' },
    reply: '',
  },
  RMDIR: {
    method: 'rmdir',
    request: `
      2e000000 0b000000  # len 46, opcode 11
      14002a3b4c5d6e7f 0a00574635241300  # unique 0x7f6e5d4c3b2a0014, nodeid 0x1324354657000a
      0b000100 0b000200 0b000300  # uid 0x1000b, gid 0x2000b, pid 0x3000b
      0000 0000  # total_extlen 0, padding
      656d70747900  # name "empty" and its NUL
    `,
    head: { unique: 0x7f6e5d4c3b2a0014n, nodeid: 0x1324354657000a, uid: 0x1000b, gid: 0x2000b, pid: 0x3000b },
    args: { name: 'empty' },
    reply: '',
  },
  RENAME: {
    method: 'rename',
    request: `
      3a000000 0c000000  # len 58, opcode 12
      16002a3b4c5d6e7f 0b00574635241300  # unique 0x7f6e5d4c3b2a0016, nodeid 0x1324354657000b
      0c000100 0c000200 0c000300  # uid 0x1000c, gid 0x2000c, pid 0x3000c
      0000 0000  # total_extlen 0, padding
      0121416181a10100  # newdir 0x1a18161412101
      6f6c6400  # oldname "old" and its NUL
      6e6577657200  # newname "newer" and its NUL
    `,
    head: { unique: 0x7f6e5d4c3b2a0016n, nodeid: 0x1324354657000b, uid: 0x1000c, gid: 0x2000c, pid: 0x3000c },
    args: { newdir: 0x1a18161412101, oldname: 'old', newname: 'newer', flags: 0 },
    reply: '',
  },
  LINK: {
    method: 'link',
    request: `
      37000000 0d000000  # len 55, opcode 13
      18002a3b4c5d6e7f 0c00574635241300  # unique 0x7f6e5d4c3b2a0018, nodeid 0x1324354657000c
      0d000100 0d000200 0d000300  # uid 0x1000d, gid 0x2000d, pid 0x3000d
      0000 0000  # total_extlen 0, padding
      0121416181a10100  # oldnodeid 0x1a18161412101
      7365636f6e6400  # newname "second" and its NUL
    `,
    head: { unique: 0x7f6e5d4c3b2a0018n, nodeid: 0x1324354657000c, uid: 0x1000d, gid: 0x2000d, pid: 0x3000d },
    args: { oldnodeid: 0x1a18161412101, newname: 'second' },
    result: {
      nodeid: 0x1a18161412101,
      generation: 0x2a28262422202,
      entry_valid: 0x3a38363432303,
      attr_valid: 0x4a48464442404,
      entry_valid_nsec: 0x65452505,
      attr_valid_nsec: 0x66462606,
      attr: {
        ino: 0xe7c7a78767472707n,
        size: 0x8a88868482808,
        blocks: 0x9a98969492909,
        atime: -0xaaa8a6a4a2a0a,
        mtime: -0xbab8b6b4b2b0b,
        ctime: -0xcac8c6c4c2c0c,
        atimensec: 0x6d4d2d0d,
        mtimensec: 0x6e4e2e0e,
        ctimensec: 0x6f4f2f0f,
        mode: 0x70503010,
        nlink: 0x71513111,
        uid: 0x72523212,
        gid: 0x73533313,
        rdev: 0x74543414,
        blksize: 0x75553515,
        flags: 0x76563616,
      },
    },
    reply: `
      0121416181a10100  # nodeid 0x1a18161412101
      0222426282a20200  # generation 0x2a28262422202
      0323436383a30300  # entry_valid 0x3a38363432303
      0424446484a40400  # attr_valid 0x4a48464442404
      05254565  # entry_valid_nsec 0x65452505
      06264666  # attr_valid_nsec 0x66462606
      0727476787a7c7e7  # attr.ino 0xe7c7a78767472707n
      0828486888a80800  # attr.size 0x8a88868482808
      0929496989a90900  # attr.blocks 0x9a98969492909
      f6d5b5957555f5ff  # attr.atime -0xaaa8a6a4a2a0a
      f5d4b4947454f4ff  # attr.mtime -0xbab8b6b4b2b0b
      f4d3b3937353f3ff  # attr.ctime -0xcac8c6c4c2c0c
      0d2d4d6d  # attr.atimensec 0x6d4d2d0d
      0e2e4e6e  # attr.mtimensec 0x6e4e2e0e
      0f2f4f6f  # attr.ctimensec 0x6f4f2f0f
      10305070  # attr.mode 0x70503010
      11315171  # attr.nlink 0x71513111
      12325272  # attr.uid 0x72523212
      13335373  # attr.gid 0x73533313
      14345474  # attr.rdev 0x74543414
      15355575  # attr.blksize 0x75553515
      16365676  # attr.flags 0x76563616
    `,
  },
  OPEN: {
    method: 'open',
    request: `
      30000000 0e000000  # len 48, opcode 14
      1a002a3b4c5d6e7f 0d00574635241300  # unique 0x7f6e5d4c3b2a001a, nodeid 0x1324354657000d
      0e000100 0e000200 0e000300  # uid 0x1000e, gid 0x2000e, pid 0x3000e
      0000 0000  # total_extlen 0, padding
      01214161  # flags 0x61412101
      02224262  # open_flags 0x62422202
    `,
    head: { unique: 0x7f6e5d4c3b2a001an, nodeid: 0x1324354657000d, uid: 0x1000e, gid: 0x2000e, pid: 0x3000e },
    args: { flags: 0x61412101, open_flags: 0x62422202 },
    result: { fh: 0x1a18161412101, open_flags: 0x62422202, backing_id: 0x63432303 },
    reply: `
      0121416181a10100  # fh 0x1a18161412101
      02224262  # open_flags 0x62422202
      03234363  # backing_id 0x63432303
    `,
  },
  READ: {
    method: 'read',
    request: `
      50000000 0f000000  # len 80, opcode 15
      1c002a3b4c5d6e7f 0e00574635241300  # unique 0x7f6e5d4c3b2a001c, nodeid 0x1324354657000e
      0f000100 0f000200 0f000300  # uid 0x1000f, gid 0x2000f, pid 0x3000f
      0000 0000  # total_extlen 0, padding
      0121416181a10100  # fh 0x1a18161412101
      0222426282a20200  # offset 0x2a28262422202
      34120000  # size 0x1234
      02010000  # read_flags 0x102
      0525456585a5c5e5  # lock_owner 0xe5c5a58565452505n
      06264666  # flags 0x66462606
      00000000  # padding
    `,
    head: { unique: 0x7f6e5d4c3b2a001cn, nodeid: 0x1324354657000e, uid: 0x1000f, gid: 0x2000f, pid: 0x3000f },
    args: {
      fh: 0x1a18161412101,
      offset: 0x2a28262422202,
      size: 0x1234,
      read_flags: 0x102,
      lock_owner: 0xe5c5a58565452505n,
      flags: 0x66462606,
    },
    result: hex('77686174207761732072656164'),
    reply: `
      77686174207761732072656164  # "what was read"
    `,
  },
  WRITE: {
    method: 'write',
    request: `
      5b000000 10000000  # len 91, opcode 16
      1e002a3b4c5d6e7f 0f00574635241300  # unique 0x7f6e5d4c3b2a001e, nodeid 0x1324354657000f
      10000100 10000200 10000300  # uid 0x10010, gid 0x20010, pid 0x30010
      0000 0000  # total_extlen 0, padding
      0121416181a10100  # fh 0x1a18161412101
      0222426282a20200  # offset 0x2a28262422202
      0b000000  # size 0xb
      07010000  # write_flags 0x107
      0525456585a5c5e5  # lock_owner 0xe5c5a58565452505n
      06264666  # flags 0x66462606
      00000000  # padding
      68656c6c6f20776f726c64  # data "hello world"
    `,
    head: { unique: 0x7f6e5d4c3b2a001en, nodeid: 0x1324354657000f, uid: 0x10010, gid: 0x20010, pid: 0x30010 },
    args: {
      fh: 0x1a18161412101,
      offset: 0x2a28262422202,
      size: 0xb,
      write_flags: 0x107,
      lock_owner: 0xe5c5a58565452505n,
      flags: 0x66462606,
      data: hex('68656c6c6f20776f726c64'),
    },
    result: { size: 0xa },
    reply: `
      0a000000  # size 0xa
      00000000  # padding
    `,
  },
  STATFS: {
    method: 'statfs',
    request: `
      28000000 11000000  # len 40, opcode 17
      20002a3b4c5d6e7f 1000574635241300  # unique 0x7f6e5d4c3b2a0020, nodeid 0x13243546570010
      11000100 11000200 11000300  # uid 0x10011, gid 0x20011, pid 0x30011
      0000 0000  # total_extlen 0, padding
    `,
    head: { unique: 0x7f6e5d4c3b2a0020n, nodeid: 0x13243546570010, uid: 0x10011, gid: 0x20011, pid: 0x30011 },
    args: {},
    result: {
      blocks: 0x1a18161412101,
      bfree: 0x2a28262422202,
      bavail: 0x3a38363432303,
      files: 0x4a48464442404,
      ffree: 0x5a58565452505,
      bsize: 0x66462606,
      namelen: 0x67472707,
      frsize: 0x68482808,
    },
    reply: `
      0121416181a10100  # blocks 0x1a18161412101
      0222426282a20200  # bfree 0x2a28262422202
      0323436383a30300  # bavail 0x3a38363432303
      0424446484a40400  # files 0x4a48464442404
      0525456585a50500  # ffree 0x5a58565452505
      06264666  # bsize 0x66462606
      07274767  # namelen 0x67472707
      08284868  # frsize 0x68482808
      00000000  # padding
      000000000000000000000000000000000000000000000000  # spare
    `,
  },
  RELEASE: {
    method: 'release',
    request: `
      40000000 12000000  # len 64, opcode 18
      22002a3b4c5d6e7f 1100574635241300  # unique 0x7f6e5d4c3b2a0022, nodeid 0x13243546570011
      12000100 12000200 12000300  # uid 0x10012, gid 0x20012, pid 0x30012
      0000 0000  # total_extlen 0, padding
      0121416181a10100  # fh 0x1a18161412101
      02224262  # flags 0x62422202
      03234363  # release_flags 0x63432303
      0424446484a4c4e4  # lock_owner 0xe4c4a48464442404n
    `,
    head: { unique: 0x7f6e5d4c3b2a0022n, nodeid: 0x13243546570011, uid: 0x10012, gid: 0x20012, pid: 0x30012 },
    args: { fh: 0x1a18161412101, flags: 0x62422202, release_flags: 0x63432303, lock_owner: 0xe4c4a48464442404n },
    reply: '',
  },
  FSYNC: {
    method: 'fsync',
    request: `
      38000000 14000000  # len 56, opcode 20
      24002a3b4c5d6e7f 1200574635241300  # unique 0x7f6e5d4c3b2a0024, nodeid 0x13243546570012
      14000100 14000200 14000300  # uid 0x10014, gid 0x20014, pid 0x30014
      0000 0000  # total_extlen 0, padding
      0121416181a10100  # fh 0x1a18161412101
      02224262  # fsync_flags 0x62422202
      00000000  # padding
    `,
    head: { unique: 0x7f6e5d4c3b2a0024n, nodeid: 0x13243546570012, uid: 0x10014, gid: 0x20014, pid: 0x30014 },
    args: { fh: 0x1a18161412101, fsync_flags: 0x62422202 },
    reply: '',
  },
  SETXATTR: {
    method: 'setxattr',
    request: `
      46000000 15000000  # len 70, opcode 21
      26002a3b4c5d6e7f 1300574635241300  # unique 0x7f6e5d4c3b2a0026, nodeid 0x13243546570013
      15000100 15000200 15000300  # uid 0x10015, gid 0x20015, pid 0x30015
      0000 0000  # total_extlen 0, padding
      05000000  # size 0x5
      02224262  # flags 0x62422202
      03234363  # setxattr_flags 0x63432303
      00000000  # padding
      757365722e6b657900  # name "user.key" and its NUL
      76006cff0a  # value "v\x00l\xff\x0a"
    `,
    head: { unique: 0x7f6e5d4c3b2a0026n, nodeid: 0x13243546570013, uid: 0x10015, gid: 0x20015, pid: 0x30015 },
    args: { size: 0x5, flags: 0x62422202, setxattr_flags: 0x63432303, name: 'user.key', value: hex('76006cff0a') },
    reply: '',
  },
  SETXATTR_COMPAT: {
    method: 'setxattr',
    request: `
      41000000 15000000  # len 65, opcode 21
      28002a3b4c5d6e7f 1400574635241300  # unique 0x7f6e5d4c3b2a0028, nodeid 0x13243546570014
      15000100 15000200 15000300  # uid 0x10015, gid 0x20015, pid 0x30015
      0000 0000  # total_extlen 0, padding
      06000000  # size 0x6
      02224262  # flags 0x62422202
      757365722e73686f727400  # name "user.short" and its NUL
      6265666f7265  # value "before"
    `,
    head: { unique: 0x7f6e5d4c3b2a0028n, nodeid: 0x13243546570014, uid: 0x10015, gid: 0x20015, pid: 0x30015 },
    args: { size: 0x6, flags: 0x62422202, name: 'user.short', value: hex('6265666f7265'), setxattr_flags: 0 },
    reply: '',
  },
  GETXATTR: {
    method: 'getxattr',
    request: `
      3a000000 16000000  # len 58, opcode 22
      2a002a3b4c5d6e7f 1500574635241300  # unique 0x7f6e5d4c3b2a002a, nodeid 0x13243546570015
      16000100 16000200 16000300  # uid 0x10016, gid 0x20016, pid 0x30016
      0000 0000  # total_extlen 0, padding
      01020000  # size 0x201
      00000000  # padding
      757365722e6d696d6500  # name "user.mime" and its NUL
    `,
    head: { unique: 0x7f6e5d4c3b2a002an, nodeid: 0x13243546570015, uid: 0x10016, gid: 0x20016, pid: 0x30016 },
    args: { size: 0x201, name: 'user.mime' },
    result: hex('746578742f706c61696e'),
    reply: `
      746578742f706c61696e  # "text/plain"
    `,
  },
  LISTXATTR: {
    method: 'listxattr',
    request: `
      30000000 17000000  # len 48, opcode 23
      2c002a3b4c5d6e7f 1600574635241300  # unique 0x7f6e5d4c3b2a002c, nodeid 0x13243546570016
      17000100 17000200 17000300  # uid 0x10017, gid 0x20017, pid 0x30017
      0000 0000  # total_extlen 0, padding
      02030000  # size 0x302
      00000000  # padding
    `,
    head: { unique: 0x7f6e5d4c3b2a002cn, nodeid: 0x13243546570016, uid: 0x10017, gid: 0x20017, pid: 0x30017 },
    args: { size: 0x302 },
    result: hex('757365722e6100757365722e6200'),
    reply: `
      757365722e6100757365722e6200  # "user.a\x00user.b\x00"
    `,
  },
  REMOVEXATTR: {
    method: 'removexattr',
    request: `
      31000000 18000000  # len 49, opcode 24
      2e002a3b4c5d6e7f 1700574635241300  # unique 0x7f6e5d4c3b2a002e, nodeid 0x13243546570017
      18000100 18000200 18000300  # uid 0x10018, gid 0x20018, pid 0x30018
      0000 0000  # total_extlen 0, padding
      757365722e6f6c6400  # name "user.old" and its NUL
    `,
    head: { unique: 0x7f6e5d4c3b2a002en, nodeid: 0x13243546570017, uid: 0x10018, gid: 0x20018, pid: 0x30018 },
    args: { name: 'user.old' },
    reply: '',
  },
  FLUSH: {
    method: 'flush',
    request: `
      40000000 19000000  # len 64, opcode 25
      30002a3b4c5d6e7f 1800574635241300  # unique 0x7f6e5d4c3b2a0030, nodeid 0x13243546570018
      19000100 19000200 19000300  # uid 0x10019, gid 0x20019, pid 0x30019
      0000 0000  # total_extlen 0, padding
      0121416181a10100  # fh 0x1a18161412101
      00000000  # unused
      00000000  # padding
      0222426282a2c2e2  # lock_owner 0xe2c2a28262422202n
    `,
    head: { unique: 0x7f6e5d4c3b2a0030n, nodeid: 0x13243546570018, uid: 0x10019, gid: 0x20019, pid: 0x30019 },
    args: { fh: 0x1a18161412101, lock_owner: 0xe2c2a28262422202n },
    reply: '',
  },
  INIT: {
    method: 'init',
    request: `
      68000000 1a000000  # len 104, opcode 26
      32002a3b4c5d6e7f 1900574635241300  # unique 0x7f6e5d4c3b2a0032, nodeid 0x13243546570019
      1a000100 1a000200 1a000300  # uid 0x1001a, gid 0x2001a, pid 0x3001a
      0000 0000  # total_extlen 0, padding
      01214161  # major 0x61412101
      02224262  # minor 0x62422202
      03234363  # max_readahead 0x63432303
      04244464  # flags 0x64442404
      05254565  # flags2 0x65452505
      0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000  # unused
    `,
    head: { unique: 0x7f6e5d4c3b2a0032n, nodeid: 0x13243546570019, uid: 0x1001a, gid: 0x2001a, pid: 0x3001a },
    args: { major: 0x61412101, minor: 0x62422202, max_readahead: 0x63432303, flags: 0x64442404, flags2: 0x65452505 },
    result: {
      major: 0x61412101,
      minor: 0x62422202,
      max_readahead: 0x63432303,
      flags: 0x64442404,
      max_background: 0x4505,
      congestion_threshold: 0x4606,
      max_write: 0x67472707,
      time_gran: 0x68482808,
      max_pages: 0x4909,
      map_alignment: 0x4a0a,
      flags2: 0x6b4b2b0b,
      max_stack_depth: 0x6c4c2c0c,
      request_timeout: 0x4d0d,
    },
    reply: `
      01214161  # major 0x61412101
      02224262  # minor 0x62422202
      03234363  # max_readahead 0x63432303
      04244464  # flags 0x64442404
      0545  # max_background 0x4505
      0646  # congestion_threshold 0x4606
      07274767  # max_write 0x67472707
      08284868  # time_gran 0x68482808
      0949  # max_pages 0x4909
      0a4a  # map_alignment 0x4a0a
      0b2b4b6b  # flags2 0x6b4b2b0b
      0c2c4c6c  # max_stack_depth 0x6c4c2c0c
      0d4d  # request_timeout 0x4d0d
      00000000000000000000000000000000000000000000  # unused
    `,
  },
  OPENDIR: {
    method: 'opendir',
    request: `
      30000000 1b000000  # len 48, opcode 27
      34002a3b4c5d6e7f 1a00574635241300  # unique 0x7f6e5d4c3b2a0034, nodeid 0x1324354657001a
      1b000100 1b000200 1b000300  # uid 0x1001b, gid 0x2001b, pid 0x3001b
      0000 0000  # total_extlen 0, padding
      01214161  # flags 0x61412101
      02224262  # open_flags 0x62422202
    `,
    head: { unique: 0x7f6e5d4c3b2a0034n, nodeid: 0x1324354657001a, uid: 0x1001b, gid: 0x2001b, pid: 0x3001b },
    args: { flags: 0x61412101, open_flags: 0x62422202 },
    result: { fh: 0x1a18161412101, open_flags: 0x62422202, backing_id: 0x63432303 },
    reply: `
      0121416181a10100  # fh 0x1a18161412101
      02224262  # open_flags 0x62422202
      03234363  # backing_id 0x63432303
    `,
  },
  READDIR: {
    method: 'readdir',
    request: `
      50000000 1c000000  # len 80, opcode 28
      36002a3b4c5d6e7f 1b00574635241300  # unique 0x7f6e5d4c3b2a0036, nodeid 0x1324354657001b
      1c000100 1c000200 1c000300  # uid 0x1001c, gid 0x2001c, pid 0x3001c
      0000 0000  # total_extlen 0, padding
      0121416181a10100  # fh 0x1a18161412101
      0222426282a2c2e2  # offset 0xe2c2a28262422202n
      00110000  # size 0x1100
      02020000  # read_flags 0x202
      0525456585a5c5e5  # lock_owner 0xe5c5a58565452505n
      06264666  # flags 0x66462606
      00000000  # padding
    `,
    head: { unique: 0x7f6e5d4c3b2a0036n, nodeid: 0x1324354657001b, uid: 0x1001c, gid: 0x2001c, pid: 0x3001c },
    args: {
      fh: 0x1a18161412101,
      offset: 0xe2c2a28262422202n,
      size: 0x1100,
      read_flags: 0x202,
      lock_owner: 0xe5c5a58565452505n,
      flags: 0x66462606,
    },
    entries: [
      [{ name: '.', ino: 0xe1c1a18161412101n, off: 0xe2c2a28262422202n, type: 4 }],
      [{ name: 'longer name', ino: 0xe3c3a38363432303n, off: 0xe4c4a48464442404n, type: 8 }],
    ],
    reply: `
      0121416181a1c1e1  # ino 0xe1c1a18161412101
      0222426282a2c2e2  # off 0xe2c2a28262422202
      01000000  # namelen 1
      04000000  # type 4
      2e  # "."
      00000000000000  # to 8 bytes
      0323436383a3c3e3  # ino 0xe3c3a38363432303
      0424446484a4c4e4  # off 0xe4c4a48464442404
      0b000000  # namelen 11
      08000000  # type 8
      6c6f6e676572206e616d65  # "longer name"
      0000000000  # to 8 bytes
    `,
  },
  RELEASEDIR: {
    method: 'releasedir',
    request: `
      40000000 1d000000  # len 64, opcode 29
      38002a3b4c5d6e7f 1c00574635241300  # unique 0x7f6e5d4c3b2a0038, nodeid 0x1324354657001c
      1d000100 1d000200 1d000300  # uid 0x1001d, gid 0x2001d, pid 0x3001d
      0000 0000  # total_extlen 0, padding
      0121416181a10100  # fh 0x1a18161412101
      02224262  # flags 0x62422202
      03234363  # release_flags 0x63432303
      0424446484a4c4e4  # lock_owner 0xe4c4a48464442404n
    `,
    head: { unique: 0x7f6e5d4c3b2a0038n, nodeid: 0x1324354657001c, uid: 0x1001d, gid: 0x2001d, pid: 0x3001d },
    args: { fh: 0x1a18161412101, flags: 0x62422202, release_flags: 0x63432303, lock_owner: 0xe4c4a48464442404n },
    reply: '',
  },
  FSYNCDIR: {
    method: 'fsyncdir',
    request: `
      38000000 1e000000  # len 56, opcode 30
      3a002a3b4c5d6e7f 1d00574635241300  # unique 0x7f6e5d4c3b2a003a, nodeid 0x1324354657001d
      1e000100 1e000200 1e000300  # uid 0x1001e, gid 0x2001e, pid 0x3001e
      0000 0000  # total_extlen 0, padding
      0121416181a10100  # fh 0x1a18161412101
      02224262  # fsync_flags 0x62422202
      00000000  # padding
    `,
    head: { unique: 0x7f6e5d4c3b2a003an, nodeid: 0x1324354657001d, uid: 0x1001e, gid: 0x2001e, pid: 0x3001e },
    args: { fh: 0x1a18161412101, fsync_flags: 0x62422202 },
    reply: '',
  },
  GETLK: {
    method: 'getlk',
    request: `
      58000000 1f000000  # len 88, opcode 31
      3c002a3b4c5d6e7f 1e00574635241300  # unique 0x7f6e5d4c3b2a003c, nodeid 0x1324354657001e
      1f000100 1f000200 1f000300  # uid 0x1001f, gid 0x2001f, pid 0x3001f
      0000 0000  # total_extlen 0, padding
      0121416181a10100  # fh 0x1a18161412101
      0222426282a2c2e2  # owner 0xe2c2a28262422202n
      0323436383a3c3e3  # lk.start 0xe3c3a38363432303n
      0424446484a4c4e4  # lk.end 0xe4c4a48464442404n
      05254565  # lk.type 0x65452505
      06264666  # lk.pid 0x66462606
      07274767  # lk_flags 0x67472707
      00000000  # padding
    `,
    head: { unique: 0x7f6e5d4c3b2a003cn, nodeid: 0x1324354657001e, uid: 0x1001f, gid: 0x2001f, pid: 0x3001f },
    args: {
      fh: 0x1a18161412101,
      owner: 0xe2c2a28262422202n,
      lk: { start: 0xe3c3a38363432303n, end: 0xe4c4a48464442404n, type: 0x65452505, pid: 0x66462606 },
      lk_flags: 0x67472707,
    },
    result: { lk: { start: 0xe1c1a18161412101n, end: 0xe2c2a28262422202n, type: 0x63432303, pid: 0x64442404 } },
    reply: `
      0121416181a1c1e1  # lk.start 0xe1c1a18161412101n
      0222426282a2c2e2  # lk.end 0xe2c2a28262422202n
      03234363  # lk.type 0x63432303
      04244464  # lk.pid 0x64442404
    `,
  },
  SETLK: {
    method: 'setlk',
    request: `
      58000000 20000000  # len 88, opcode 32
      3e002a3b4c5d6e7f 1f00574635241300  # unique 0x7f6e5d4c3b2a003e, nodeid 0x1324354657001f
      20000100 20000200 20000300  # uid 0x10020, gid 0x20020, pid 0x30020
      0000 0000  # total_extlen 0, padding
      0121416181a10100  # fh 0x1a18161412101
      0222426282a2c2e2  # owner 0xe2c2a28262422202n
      0323436383a3c3e3  # lk.start 0xe3c3a38363432303n
      0424446484a4c4e4  # lk.end 0xe4c4a48464442404n
      05254565  # lk.type 0x65452505
      06264666  # lk.pid 0x66462606
      07274767  # lk_flags 0x67472707
      00000000  # padding
    `,
    head: { unique: 0x7f6e5d4c3b2a003en, nodeid: 0x1324354657001f, uid: 0x10020, gid: 0x20020, pid: 0x30020 },
    args: {
      fh: 0x1a18161412101,
      owner: 0xe2c2a28262422202n,
      lk: { start: 0xe3c3a38363432303n, end: 0xe4c4a48464442404n, type: 0x65452505, pid: 0x66462606 },
      lk_flags: 0x67472707,
      sleep: false,
    },
    reply: '',
  },
  SETLKW: {
    method: 'setlk',
    request: `
      58000000 21000000  # len 88, opcode 33
      40002a3b4c5d6e7f 2000574635241300  # unique 0x7f6e5d4c3b2a0040, nodeid 0x13243546570020
      21000100 21000200 21000300  # uid 0x10021, gid 0x20021, pid 0x30021
      0000 0000  # total_extlen 0, padding
      0121416181a10100  # fh 0x1a18161412101
      0222426282a2c2e2  # owner 0xe2c2a28262422202n
      0323436383a3c3e3  # lk.start 0xe3c3a38363432303n
      0424446484a4c4e4  # lk.end 0xe4c4a48464442404n
      05254565  # lk.type 0x65452505
      06264666  # lk.pid 0x66462606
      07274767  # lk_flags 0x67472707
      00000000  # padding
    `,
    head: { unique: 0x7f6e5d4c3b2a0040n, nodeid: 0x13243546570020, uid: 0x10021, gid: 0x20021, pid: 0x30021 },
    args: {
      fh: 0x1a18161412101,
      owner: 0xe2c2a28262422202n,
      lk: { start: 0xe3c3a38363432303n, end: 0xe4c4a48464442404n, type: 0x65452505, pid: 0x66462606 },
      lk_flags: 0x67472707,
      sleep: true,
    },
    reply: '',
  },
  ACCESS: {
    method: 'access',
    request: `
      30000000 22000000  # len 48, opcode 34
      42002a3b4c5d6e7f 2100574635241300  # unique 0x7f6e5d4c3b2a0042, nodeid 0x13243546570021
      22000100 22000200 22000300  # uid 0x10022, gid 0x20022, pid 0x30022
      0000 0000  # total_extlen 0, padding
      01214161  # mask 0x61412101
      00000000  # padding
    `,
    head: { unique: 0x7f6e5d4c3b2a0042n, nodeid: 0x13243546570021, uid: 0x10022, gid: 0x20022, pid: 0x30022 },
    args: { mask: 0x61412101 },
    reply: '',
  },
  CREATE: {
    method: 'create',
    request: `
      9d000000 23000000  # len 157, opcode 35
      44002a3b4c5d6e7f 2200574635241300  # unique 0x7f6e5d4c3b2a0044, nodeid 0x13243546570022
      23000100 23000200 23000300  # uid 0x10023, gid 0x20023, pid 0x30023
      0c00 0000  # total_extlen 12, padding
      01214161  # flags 0x61412101
      02224262  # mode 0x62422202
      03234363  # umask 0x63432303
      04244464  # open_flags 0x64442404
      6d61646500  # name "made" and its NUL
      4800000002000000  # fuse_secctx_header: size 72, nr_secctx 2
      0a00000000000000  # fuse_secctx: size 10, padding
      73656375726974792e73656c696e757800  # "security.selinux"
      756e636f6e66696e6564  # its value
      0000000000  # to 8 bytes
      0100000000000000  # fuse_secctx: size 1, padding
      73656375726974792e736d61636b00  # "security.smack"
      5f  # its value
      1800000020000000  # fuse_ext_header: size 24, type FUSE_EXT_GROUPS
      02000000  # nr_groups 2
      2f010000  # group 303
      30010000  # group 304
      00000000  # to 8 bytes
    `,
    head: { unique: 0x7f6e5d4c3b2a0044n, nodeid: 0x13243546570022, uid: 0x10023, gid: 0x20023, pid: 0x30023 },
    args: { flags: 0x61412101, mode: 0x62422202, umask: 0x63432303, open_flags: 0x64442404, name: 'made' },
    extensions: {
      contexts: [
        { name: 'security.selinux', value: hex('756e636f6e66696e6564') },
        { name: 'security.smack', value: hex('5f') },
      ],
      groups: [303, 304],
    },
    result: {
      entry: {
        nodeid: 0x1a18161412101,
        generation: 0x2a28262422202,
        entry_valid: 0x3a38363432303,
        attr_valid: 0x4a48464442404,
        entry_valid_nsec: 0x65452505,
        attr_valid_nsec: 0x66462606,
        attr: {
          ino: 0xe7c7a78767472707n,
          size: 0x8a88868482808,
          blocks: 0x9a98969492909,
          atime: -0xaaa8a6a4a2a0a,
          mtime: -0xbab8b6b4b2b0b,
          ctime: -0xcac8c6c4c2c0c,
          atimensec: 0x6d4d2d0d,
          mtimensec: 0x6e4e2e0e,
          ctimensec: 0x6f4f2f0f,
          mode: 0x70503010,
          nlink: 0x71513111,
          uid: 0x72523212,
          gid: 0x73533313,
          rdev: 0x74543414,
          blksize: 0x75553515,
          flags: 0x76563616,
        },
      },
      open: { fh: 0x17b79777573717, open_flags: 0x78583818, backing_id: 0x79593919 },
    },
    reply: `
      0121416181a10100  # entry.nodeid 0x1a18161412101
      0222426282a20200  # entry.generation 0x2a28262422202
      0323436383a30300  # entry.entry_valid 0x3a38363432303
      0424446484a40400  # entry.attr_valid 0x4a48464442404
      05254565  # entry.entry_valid_nsec 0x65452505
      06264666  # entry.attr_valid_nsec 0x66462606
      0727476787a7c7e7  # entry.attr.ino 0xe7c7a78767472707n
      0828486888a80800  # entry.attr.size 0x8a88868482808
      0929496989a90900  # entry.attr.blocks 0x9a98969492909
      f6d5b5957555f5ff  # entry.attr.atime -0xaaa8a6a4a2a0a
      f5d4b4947454f4ff  # entry.attr.mtime -0xbab8b6b4b2b0b
      f4d3b3937353f3ff  # entry.attr.ctime -0xcac8c6c4c2c0c
      0d2d4d6d  # entry.attr.atimensec 0x6d4d2d0d
      0e2e4e6e  # entry.attr.mtimensec 0x6e4e2e0e
      0f2f4f6f  # entry.attr.ctimensec 0x6f4f2f0f
      10305070  # entry.attr.mode 0x70503010
      11315171  # entry.attr.nlink 0x71513111
      12325272  # entry.attr.uid 0x72523212
      13335373  # entry.attr.gid 0x73533313
      14345474  # entry.attr.rdev 0x74543414
      15355575  # entry.attr.blksize 0x75553515
      16365676  # entry.attr.flags 0x76563616
      1737577797b71700  # open.fh 0x17b79777573717
      18385878  # open.open_flags 0x78583818
      19395979  # open.backing_id 0x79593919
    `,
  },
  INTERRUPT: {
    method: 'interrupt',
    request: `
      30000000 24000000  # len 48, opcode 36
      46002a3b4c5d6e7f 2300574635241300  # unique 0x7f6e5d4c3b2a0046, nodeid 0x13243546570023
      24000100 24000200 24000300  # uid 0x10024, gid 0x20024, pid 0x30024
      0000 0000  # total_extlen 0, padding
      0121416181a1c1e1  # unique 0xe1c1a18161412101n
    `,
    head: { unique: 0x7f6e5d4c3b2a0046n, nodeid: 0x13243546570023, uid: 0x10024, gid: 0x20024, pid: 0x30024 },
    args: { unique: 0xe1c1a18161412101n },
    reply: undefined,
  },
  BMAP: {
    method: 'bmap',
    request: `
      38000000 25000000  # len 56, opcode 37
      48002a3b4c5d6e7f 2400574635241300  # unique 0x7f6e5d4c3b2a0048, nodeid 0x13243546570024
      25000100 25000200 25000300  # uid 0x10025, gid 0x20025, pid 0x30025
      0000 0000  # total_extlen 0, padding
      0121416181a10100  # block 0x1a18161412101
      02224262  # blocksize 0x62422202
      00000000  # padding
    `,
    head: { unique: 0x7f6e5d4c3b2a0048n, nodeid: 0x13243546570024, uid: 0x10025, gid: 0x20025, pid: 0x30025 },
    args: { block: 0x1a18161412101, blocksize: 0x62422202 },
    result: { block: 0x1a18161412101 },
    reply: `
      0121416181a10100  # block 0x1a18161412101
    `,
  },
  DESTROY: {
    method: 'destroy',
    request: `
      28000000 26000000  # len 40, opcode 38
      4a002a3b4c5d6e7f 2500574635241300  # unique 0x7f6e5d4c3b2a004a, nodeid 0x13243546570025
      26000100 26000200 26000300  # uid 0x10026, gid 0x20026, pid 0x30026
      0000 0000  # total_extlen 0, padding
    `,
    head: { unique: 0x7f6e5d4c3b2a004an, nodeid: 0x13243546570025, uid: 0x10026, gid: 0x20026, pid: 0x30026 },
    args: {},
    reply: '',
  },
  IOCTL: {
    method: 'ioctl',
    request: `
      4c000000 27000000  # len 76, opcode 39
      4c002a3b4c5d6e7f 2600574635241300  # unique 0x7f6e5d4c3b2a004c, nodeid 0x13243546570026
      27000100 27000200 27000300  # uid 0x10027, gid 0x20027, pid 0x30027
      0000 0000  # total_extlen 0, padding
      0121416181a10100  # fh 0x1a18161412101
      02224262  # flags 0x62422202
      03234363  # cmd 0x63432303
      0424446484a4c4e4  # arg 0xe4c4a48464442404n
      04000000  # in_size 0x4
      06264666  # out_size 0x66462606
      0a1b2c3d  # data "\x0a\x1b,="
    `,
    head: { unique: 0x7f6e5d4c3b2a004cn, nodeid: 0x13243546570026, uid: 0x10027, gid: 0x20027, pid: 0x30027 },
    args: {
      fh: 0x1a18161412101,
      flags: 0x62422202,
      cmd: 0x63432303,
      arg: 0xe4c4a48464442404n,
      in_size: 0x4,
      out_size: 0x66462606,
      data: hex('0a1b2c3d'),
    },
    result: { result: 0x61412101, flags: 0x62422202, in_iovs: 0x63432303, out_iovs: 0x64442404, data: hex('d3c2b1') },
    reply: `
      01214161  # result 0x61412101
      02224262  # flags 0x62422202
      03234363  # in_iovs 0x63432303
      04244464  # out_iovs 0x64442404
      d3c2b1  # data "\xd3\xc2\xb1"
    `,
  },
  POLL: {
    method: 'poll',
    request: `
      40000000 28000000  # len 64, opcode 40
      4e002a3b4c5d6e7f 2700574635241300  # unique 0x7f6e5d4c3b2a004e, nodeid 0x13243546570027
      28000100 28000200 28000300  # uid 0x10028, gid 0x20028, pid 0x30028
      0000 0000  # total_extlen 0, padding
      0121416181a10100  # fh 0x1a18161412101
      0222426282a2c2e2  # kh 0xe2c2a28262422202n
      03234363  # flags 0x63432303
      04244464  # events 0x64442404
    `,
    head: { unique: 0x7f6e5d4c3b2a004en, nodeid: 0x13243546570027, uid: 0x10028, gid: 0x20028, pid: 0x30028 },
    args: { fh: 0x1a18161412101, kh: 0xe2c2a28262422202n, flags: 0x63432303, events: 0x64442404 },
    result: { revents: 0x61412101 },
    reply: `
      01214161  # revents 0x61412101
      00000000  # padding
    `,
  },
  NOTIFY_REPLY: {
    method: 'notify_reply',
    request: `
      56000000 29000000  # len 86, opcode 41
      50002a3b4c5d6e7f 2800574635241300  # unique 0x7f6e5d4c3b2a0050, nodeid 0x13243546570028
      29000100 29000200 29000300  # uid 0x10029, gid 0x20029, pid 0x30029
      0000 0000  # total_extlen 0, padding
      0000000000000000  # dummy1
      0121416181a10100  # offset 0x1a18161412101
      06000000  # size 0x6
      00000000  # dummy2
      0000000000000000  # dummy3
      0000000000000000  # dummy4
      636163686564  # data "cached"
    `,
    head: { unique: 0x7f6e5d4c3b2a0050n, nodeid: 0x13243546570028, uid: 0x10029, gid: 0x20029, pid: 0x30029 },
    args: { offset: 0x1a18161412101, size: 0x6, data: hex('636163686564') },
    reply: undefined,
  },
  BATCH_FORGET: {
    method: 'batch_forget',
    request: `
      50000000 2a000000  # len 80, opcode 42
      52002a3b4c5d6e7f 2900574635241300  # unique 0x7f6e5d4c3b2a0052, nodeid 0x13243546570029
      2a000100 2a000200 2a000300  # uid 0x1002a, gid 0x2002a, pid 0x3002a
      0000 0000  # total_extlen 0, padding
      02000000  # count 0x2
      00000000  # dummy
      0222426282a20200  # forgets[0].nodeid 0x2a28262422202
      0323436383a30300  # forgets[0].nlookup 0x3a38363432303
      0424446484a40400  # forgets[1].nodeid 0x4a48464442404
      0525456585a50500  # forgets[1].nlookup 0x5a58565452505
    `,
    head: { unique: 0x7f6e5d4c3b2a0052n, nodeid: 0x13243546570029, uid: 0x1002a, gid: 0x2002a, pid: 0x3002a },
    args: {
      count: 0x2,
      forgets: [
        { nodeid: 0x2a28262422202, nlookup: 0x3a38363432303 },
        { nodeid: 0x4a48464442404, nlookup: 0x5a58565452505 },
      ],
    },
    reply: undefined,
  },
  FALLOCATE: {
    method: 'fallocate',
    request: `
      48000000 2b000000  # len 72, opcode 43
      54002a3b4c5d6e7f 2a00574635241300  # unique 0x7f6e5d4c3b2a0054, nodeid 0x1324354657002a
      2b000100 2b000200 2b000300  # uid 0x1002b, gid 0x2002b, pid 0x3002b
      0000 0000  # total_extlen 0, padding
      0121416181a10100  # fh 0x1a18161412101
      0222426282a20200  # offset 0x2a28262422202
      0323436383a30300  # length 0x3a38363432303
      04244464  # mode 0x64442404
      00000000  # padding
    `,
    head: { unique: 0x7f6e5d4c3b2a0054n, nodeid: 0x1324354657002a, uid: 0x1002b, gid: 0x2002b, pid: 0x3002b },
    args: { fh: 0x1a18161412101, offset: 0x2a28262422202, length: 0x3a38363432303, mode: 0x64442404 },
    reply: '',
  },
  READDIRPLUS: {
    method: 'readdirplus',
    request: `
      50000000 2c000000  # len 80, opcode 44
      56002a3b4c5d6e7f 2b00574635241300  # unique 0x7f6e5d4c3b2a0056, nodeid 0x1324354657002b
      2c000100 2c000200 2c000300  # uid 0x1002c, gid 0x2002c, pid 0x3002c
      0000 0000  # total_extlen 0, padding
      0121416181a10100  # fh 0x1a18161412101
      0222426282a2c2e2  # offset 0xe2c2a28262422202n
      00220000  # size 0x2200
      02030000  # read_flags 0x302
      0525456585a5c5e5  # lock_owner 0xe5c5a58565452505n
      06264666  # flags 0x66462606
      00000000  # padding
    `,
    head: { unique: 0x7f6e5d4c3b2a0056n, nodeid: 0x1324354657002b, uid: 0x1002c, gid: 0x2002c, pid: 0x3002c },
    args: {
      fh: 0x1a18161412101,
      offset: 0xe2c2a28262422202n,
      size: 0x2200,
      read_flags: 0x302,
      lock_owner: 0xe5c5a58565452505n,
      flags: 0x66462606,
    },
    entries: [
      [{ name: '.', ino: 0xe1c1a18161412101n, off: 0xe2c2a28262422202n, type: 4 }],
      [
        { name: 'file\udcff', ino: 0xf9d9b99979593919n, off: 0xfadaba9a7a5a3a1an, type: 8 },
        {
          nodeid: 0x3a38363432303,
          generation: 0x4a48464442404,
          entry_valid: 0x5a58565452505,
          attr_valid: 0x6a68666462606,
          entry_valid_nsec: 0x67472707,
          attr_valid_nsec: 0x68482808,
          attr: {
            ino: 0xe9c9a98969492909n,
            size: 0xaaa8a6a4a2a0a,
            blocks: 0xbab8b6b4b2b0b,
            atime: -0xcac8c6c4c2c0c,
            mtime: -0xdad8d6d4d2d0d,
            ctime: -0xeae8e6e4e2e0e,
            atimensec: 0x6f4f2f0f,
            mtimensec: 0x70503010,
            ctimensec: 0x71513111,
            mode: 0x72523212,
            nlink: 0x73533313,
            uid: 0x74543414,
            gid: 0x75553515,
            rdev: 0x76563616,
            blksize: 0x77573717,
            flags: 0x78583818,
          },
        },
      ],
    ],
    reply: `
      0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000  # entry_out: none, "." counts no lookup
      0121416181a1c1e1  # ino 0xe1c1a18161412101
      0222426282a2c2e2  # off 0xe2c2a28262422202
      01000000  # namelen 1
      04000000  # type 4
      2e  # "."
      00000000000000  # to 8 bytes
      0323436383a30300  # entry_out.nodeid 0x3a38363432303
      0424446484a40400  # entry_out.generation 0x4a48464442404
      0525456585a50500  # entry_out.entry_valid 0x5a58565452505
      0626466686a60600  # entry_out.attr_valid 0x6a68666462606
      07274767  # entry_out.entry_valid_nsec 0x67472707
      08284868  # entry_out.attr_valid_nsec 0x68482808
      0929496989a9c9e9  # entry_out.attr.ino 0xe9c9a98969492909n
      0a2a4a6a8aaa0a00  # entry_out.attr.size 0xaaa8a6a4a2a0a
      0b2b4b6b8bab0b00  # entry_out.attr.blocks 0xbab8b6b4b2b0b
      f4d3b3937353f3ff  # entry_out.attr.atime -0xcac8c6c4c2c0c
      f3d2b2927252f2ff  # entry_out.attr.mtime -0xdad8d6d4d2d0d
      f2d1b1917151f1ff  # entry_out.attr.ctime -0xeae8e6e4e2e0e
      0f2f4f6f  # entry_out.attr.atimensec 0x6f4f2f0f
      10305070  # entry_out.attr.mtimensec 0x70503010
      11315171  # entry_out.attr.ctimensec 0x71513111
      12325272  # entry_out.attr.mode 0x72523212
      13335373  # entry_out.attr.nlink 0x73533313
      14345474  # entry_out.attr.uid 0x74543414
      15355575  # entry_out.attr.gid 0x75553515
      16365676  # entry_out.attr.rdev 0x76563616
      17375777  # entry_out.attr.blksize 0x77573717
      18385878  # entry_out.attr.flags 0x78583818
      1939597999b9d9f9  # ino 0xf9d9b99979593919
      1a3a5a7a9abadafa  # off 0xfadaba9a7a5a3a1a
      05000000  # namelen 5
      08000000  # type 8
      66696c65ff  # "file\xff"
      000000  # to 8 bytes
    `,
  },
  RENAME2: {
    method: 'rename',
    request: `
      43000000 2d000000  # len 67, opcode 45
      58002a3b4c5d6e7f 2c00574635241300  # unique 0x7f6e5d4c3b2a0058, nodeid 0x1324354657002c
      2d000100 2d000200 2d000300  # uid 0x1002d, gid 0x2002d, pid 0x3002d
      0000 0000  # total_extlen 0, padding
      0121416181a10100  # newdir 0x1a18161412101
      02224262  # flags 0x62422202
      00000000  # padding
      6c65667400  # oldname "left" and its NUL
      726967687400  # newname "right" and its NUL
    `,
    head: { unique: 0x7f6e5d4c3b2a0058n, nodeid: 0x1324354657002c, uid: 0x1002d, gid: 0x2002d, pid: 0x3002d },
    args: { newdir: 0x1a18161412101, flags: 0x62422202, oldname: 'left', newname: 'right' },
    reply: '',
  },
  LSEEK: {
    method: 'lseek',
    request: `
      40000000 2e000000  # len 64, opcode 46
      5a002a3b4c5d6e7f 2d00574635241300  # unique 0x7f6e5d4c3b2a005a, nodeid 0x1324354657002d
      2e000100 2e000200 2e000300  # uid 0x1002e, gid 0x2002e, pid 0x3002e
      0000 0000  # total_extlen 0, padding
      0121416181a10100  # fh 0x1a18161412101
      0222426282a20200  # offset 0x2a28262422202
      03234363  # whence 0x63432303
      00000000  # padding
    `,
    head: { unique: 0x7f6e5d4c3b2a005an, nodeid: 0x1324354657002d, uid: 0x1002e, gid: 0x2002e, pid: 0x3002e },
    args: { fh: 0x1a18161412101, offset: 0x2a28262422202, whence: 0x63432303 },
    result: { offset: 0x1a18161412101 },
    reply: `
      0121416181a10100  # offset 0x1a18161412101
    `,
  },
  COPY_FILE_RANGE: {
    method: 'copy_file_range',
    request: `
      60000000 2f000000  # len 96, opcode 47
      5c002a3b4c5d6e7f 2e00574635241300  # unique 0x7f6e5d4c3b2a005c, nodeid 0x1324354657002e
      2f000100 2f000200 2f000300  # uid 0x1002f, gid 0x2002f, pid 0x3002f
      0000 0000  # total_extlen 0, padding
      0121416181a10100  # fh_in 0x1a18161412101
      0222426282a20200  # off_in 0x2a28262422202
      0323436383a30300  # nodeid_out 0x3a38363432303
      0424446484a40400  # fh_out 0x4a48464442404
      0525456585a50500  # off_out 0x5a58565452505
      7856347200000000  # len 0x72345678
      0727476787a7c7e7  # flags 0xe7c7a78767472707n
    `,
    head: { unique: 0x7f6e5d4c3b2a005cn, nodeid: 0x1324354657002e, uid: 0x1002f, gid: 0x2002f, pid: 0x3002f },
    args: {
      fh_in: 0x1a18161412101,
      off_in: 0x2a28262422202,
      nodeid_out: 0x3a38363432303,
      fh_out: 0x4a48464442404,
      off_out: 0x5a58565452505,
      len: 0x72345678,
      flags: 0xe7c7a78767472707n,
    },
    result: { bytes_copied: 0x61412101 },
    reply: `
      01214161  # bytes_copied 0x61412101
      00000000  # padding
    `,
  },
  SETUPMAPPING: {
    method: 'setupmapping',
    request: `
      50000000 30000000  # len 80, opcode 48
      5e002a3b4c5d6e7f 2f00574635241300  # unique 0x7f6e5d4c3b2a005e, nodeid 0x1324354657002f
      30000100 30000200 30000300  # uid 0x10030, gid 0x20030, pid 0x30030
      0000 0000  # total_extlen 0, padding
      0121416181a10100  # fh 0x1a18161412101
      0222426282a20200  # foffset 0x2a28262422202
      0323436383a30300  # len 0x3a38363432303
      0424446484a4c4e4  # flags 0xe4c4a48464442404n
      0525456585a50500  # moffset 0x5a58565452505
    `,
    head: { unique: 0x7f6e5d4c3b2a005en, nodeid: 0x1324354657002f, uid: 0x10030, gid: 0x20030, pid: 0x30030 },
    args: {
      fh: 0x1a18161412101,
      foffset: 0x2a28262422202,
      len: 0x3a38363432303,
      flags: 0xe4c4a48464442404n,
      moffset: 0x5a58565452505,
    },
    reply: '',
  },
  REMOVEMAPPING: {
    method: 'removemapping',
    request: `
      4c000000 31000000  # len 76, opcode 49
      60002a3b4c5d6e7f 3000574635241300  # unique 0x7f6e5d4c3b2a0060, nodeid 0x13243546570030
      31000100 31000200 31000300  # uid 0x10031, gid 0x20031, pid 0x30031
      0000 0000  # total_extlen 0, padding
      02000000  # count 0x2
      0222426282a20200  # mappings[0].moffset 0x2a28262422202
      0323436383a30300  # mappings[0].len 0x3a38363432303
      0424446484a40400  # mappings[1].moffset 0x4a48464442404
      0525456585a50500  # mappings[1].len 0x5a58565452505
    `,
    head: { unique: 0x7f6e5d4c3b2a0060n, nodeid: 0x13243546570030, uid: 0x10031, gid: 0x20031, pid: 0x30031 },
    args: {
      count: 0x2,
      mappings: [
        { moffset: 0x2a28262422202, len: 0x3a38363432303 },
        { moffset: 0x4a48464442404, len: 0x5a58565452505 },
      ],
    },
    reply: '',
  },
  SYNCFS: {
    method: 'syncfs',
    request: `
      30000000 32000000  # len 48, opcode 50
      62002a3b4c5d6e7f 3100574635241300  # unique 0x7f6e5d4c3b2a0062, nodeid 0x13243546570031
      32000100 32000200 32000300  # uid 0x10032, gid 0x20032, pid 0x30032
      0000 0000  # total_extlen 0, padding
      0000000000000000  # padding
    `,
    head: { unique: 0x7f6e5d4c3b2a0062n, nodeid: 0x13243546570031, uid: 0x10032, gid: 0x20032, pid: 0x30032 },
    args: {},
    reply: '',
  },
  TMPFILE: {
    method: 'tmpfile',
    request: `
      52000000 33000000  # len 82, opcode 51
      64002a3b4c5d6e7f 3200574635241300  # unique 0x7f6e5d4c3b2a0064, nodeid 0x13243546570032
      33000100 33000200 33000300  # uid 0x10033, gid 0x20033, pid 0x30033
      0300 0000  # total_extlen 3, padding
      01214161  # flags 0x61412101
      02224262  # mode 0x62422202
      03234363  # umask 0x63432303
      04244464  # open_flags 0x64442404
      2f00  # name "/" and its NUL
      0800000000000000  # fuse_secctx_header: size 8, nr_secctx 0
      1000000020000000  # fuse_ext_header: size 16, type FUSE_EXT_GROUPS
      01000000  # nr_groups 1
      31010000  # group 305
    `,
    head: { unique: 0x7f6e5d4c3b2a0064n, nodeid: 0x13243546570032, uid: 0x10033, gid: 0x20033, pid: 0x30033 },
    args: { flags: 0x61412101, mode: 0x62422202, umask: 0x63432303, open_flags: 0x64442404, name: '/' },
    extensions: { contexts: [], groups: [305] },
    result: {
      entry: {
        nodeid: 0x1a18161412101,
        generation: 0x2a28262422202,
        entry_valid: 0x3a38363432303,
        attr_valid: 0x4a48464442404,
        entry_valid_nsec: 0x65452505,
        attr_valid_nsec: 0x66462606,
        attr: {
          ino: 0xe7c7a78767472707n,
          size: 0x8a88868482808,
          blocks: 0x9a98969492909,
          atime: -0xaaa8a6a4a2a0a,
          mtime: -0xbab8b6b4b2b0b,
          ctime: -0xcac8c6c4c2c0c,
          atimensec: 0x6d4d2d0d,
          mtimensec: 0x6e4e2e0e,
          ctimensec: 0x6f4f2f0f,
          mode: 0x70503010,
          nlink: 0x71513111,
          uid: 0x72523212,
          gid: 0x73533313,
          rdev: 0x74543414,
          blksize: 0x75553515,
          flags: 0x76563616,
        },
      },
      open: { fh: 0x17b79777573717, open_flags: 0x78583818, backing_id: 0x79593919 },
    },
    reply: `
      0121416181a10100  # entry.nodeid 0x1a18161412101
      0222426282a20200  # entry.generation 0x2a28262422202
      0323436383a30300  # entry.entry_valid 0x3a38363432303
      0424446484a40400  # entry.attr_valid 0x4a48464442404
      05254565  # entry.entry_valid_nsec 0x65452505
      06264666  # entry.attr_valid_nsec 0x66462606
      0727476787a7c7e7  # entry.attr.ino 0xe7c7a78767472707n
      0828486888a80800  # entry.attr.size 0x8a88868482808
      0929496989a90900  # entry.attr.blocks 0x9a98969492909
      f6d5b5957555f5ff  # entry.attr.atime -0xaaa8a6a4a2a0a
      f5d4b4947454f4ff  # entry.attr.mtime -0xbab8b6b4b2b0b
      f4d3b3937353f3ff  # entry.attr.ctime -0xcac8c6c4c2c0c
      0d2d4d6d  # entry.attr.atimensec 0x6d4d2d0d
      0e2e4e6e  # entry.attr.mtimensec 0x6e4e2e0e
      0f2f4f6f  # entry.attr.ctimensec 0x6f4f2f0f
      10305070  # entry.attr.mode 0x70503010
      11315171  # entry.attr.nlink 0x71513111
      12325272  # entry.attr.uid 0x72523212
      13335373  # entry.attr.gid 0x73533313
      14345474  # entry.attr.rdev 0x74543414
      15355575  # entry.attr.blksize 0x75553515
      16365676  # entry.attr.flags 0x76563616
      1737577797b71700  # open.fh 0x17b79777573717
      18385878  # open.open_flags 0x78583818
      19395979  # open.backing_id 0x79593919
    `,
  },
  STATX: {
    method: 'statx',
    request: `
      40000000 34000000  # len 64, opcode 52
      66002a3b4c5d6e7f 3300574635241300  # unique 0x7f6e5d4c3b2a0066, nodeid 0x13243546570033
      34000100 34000200 34000300  # uid 0x10034, gid 0x20034, pid 0x30034
      0000 0000  # total_extlen 0, padding
      41000000  # getattr_flags 0x41
      00000000  # reserved
      0222426282a20200  # fh 0x2a28262422202
      03234363  # sx_flags 0x63432303
      04244464  # sx_mask 0x64442404
    `,
    head: { unique: 0x7f6e5d4c3b2a0066n, nodeid: 0x13243546570033, uid: 0x10034, gid: 0x20034, pid: 0x30034 },
    args: { getattr_flags: 0x41, fh: 0x2a28262422202, sx_flags: 0x63432303, sx_mask: 0x64442404 },
    result: {
      attr_valid: 0x1a18161412101,
      attr_valid_nsec: 0x62422202,
      flags: 0x63432303,
      stat: {
        mask: 0x64442404,
        blksize: 0x65452505,
        attributes: 0xe6c6a68666462606n,
        nlink: 0x67472707,
        uid: 0x68482808,
        gid: 0x69492909,
        mode: 0x4a0a,
        ino: 0xebcbab8b6b4b2b0bn,
        size: 0xcac8c6c4c2c0c,
        blocks: 0xdad8d6d4d2d0d,
        attributes_mask: 0xeeceae8e6e4e2e0en,
        atime: { tv_sec: -0xfaf8f6f4f2f0f, tv_nsec: 0x70503010 },
        btime: { tv_sec: -0x11b19171513111, tv_nsec: 0x72523212 },
        ctime: { tv_sec: -0x13b39373533313, tv_nsec: 0x74543414 },
        mtime: { tv_sec: -0x15b59575553515, tv_nsec: 0x76563616 },
        rdev_major: 0x77573717,
        rdev_minor: 0x78583818,
        dev_major: 0x79593919,
        dev_minor: 0x7a5a3a1a,
      },
    },
    reply: `
      0121416181a10100  # attr_valid 0x1a18161412101
      02224262  # attr_valid_nsec 0x62422202
      03234363  # flags 0x63432303
      00000000000000000000000000000000  # spare
      04244464  # stat.mask 0x64442404
      05254565  # stat.blksize 0x65452505
      0626466686a6c6e6  # stat.attributes 0xe6c6a68666462606n
      07274767  # stat.nlink 0x67472707
      08284868  # stat.uid 0x68482808
      09294969  # stat.gid 0x69492909
      0a4a  # stat.mode 0x4a0a
      0000  # stat.__spare0
      0b2b4b6b8babcbeb  # stat.ino 0xebcbab8b6b4b2b0bn
      0c2c4c6c8cac0c00  # stat.size 0xcac8c6c4c2c0c
      0d2d4d6d8dad0d00  # stat.blocks 0xdad8d6d4d2d0d
      0e2e4e6e8eaeceee  # stat.attributes_mask 0xeeceae8e6e4e2e0en
      f1d0b0907050f0ff  # stat.atime.tv_sec -0xfaf8f6f4f2f0f
      10305070  # stat.atime.tv_nsec 0x70503010
      00000000  # stat.atime.__reserved
      efceae8e6e4eeeff  # stat.btime.tv_sec -0x11b19171513111
      12325272  # stat.btime.tv_nsec 0x72523212
      00000000  # stat.btime.__reserved
      edccac8c6c4cecff  # stat.ctime.tv_sec -0x13b39373533313
      14345474  # stat.ctime.tv_nsec 0x74543414
      00000000  # stat.ctime.__reserved
      ebcaaa8a6a4aeaff  # stat.mtime.tv_sec -0x15b59575553515
      16365676  # stat.mtime.tv_nsec 0x76563616
      00000000  # stat.mtime.__reserved
      17375777  # stat.rdev_major 0x77573717
      18385878  # stat.rdev_minor 0x78583818
      19395979  # stat.dev_major 0x79593919
      1a3a5a7a  # stat.dev_minor 0x7a5a3a1a
      00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000  # stat.__spare2
    `,
  },
  COPY_FILE_RANGE_64: {
    method: 'copy_file_range',
    request: `
      60000000 35000000  # len 96, opcode 53
      68002a3b4c5d6e7f 3400574635241300  # unique 0x7f6e5d4c3b2a0068, nodeid 0x13243546570034
      35000100 35000200 35000300  # uid 0x10035, gid 0x20035, pid 0x30035
      0000 0000  # total_extlen 0, padding
      0121416181a10100  # fh_in 0x1a18161412101
      0222426282a20200  # off_in 0x2a28262422202
      0323436383a30300  # nodeid_out 0x3a38363432303
      0424446484a40400  # fh_out 0x4a48464442404
      0525456585a50500  # off_out 0x5a58565452505
      0626466686a60600  # len 0x6a68666462606
      0727476787a7c7e7  # flags 0xe7c7a78767472707n
    `,
    head: { unique: 0x7f6e5d4c3b2a0068n, nodeid: 0x13243546570034, uid: 0x10035, gid: 0x20035, pid: 0x30035 },
    args: {
      fh_in: 0x1a18161412101,
      off_in: 0x2a28262422202,
      nodeid_out: 0x3a38363432303,
      fh_out: 0x4a48464442404,
      off_out: 0x5a58565452505,
      len: 0x6a68666462606,
      flags: 0xe7c7a78767472707n,
    },
    result: { bytes_copied: 0x1a18161412101 },
    reply: `
      0121416181a10100  # bytes_copied 0x1a18161412101
    `,
  },
  CUSE_INIT: {
    method: 'cuse_init',
    request: `
      38000000 00100000  # len 56, opcode 4096
      6a002a3b4c5d6e7f 3500574635241300  # unique 0x7f6e5d4c3b2a006a, nodeid 0x13243546570035
      00100100 00100200 00100300  # uid 0x11000, gid 0x21000, pid 0x31000
      0000 0000  # total_extlen 0, padding
      01214161  # major 0x61412101
      02224262  # minor 0x62422202
      00000000  # unused
      03234363  # flags 0x63432303
    `,
    head: { unique: 0x7f6e5d4c3b2a006an, nodeid: 0x13243546570035, uid: 0x11000, gid: 0x21000, pid: 0x31000 },
    args: { major: 0x61412101, minor: 0x62422202, flags: 0x63432303 },
    result: {
      major: 0x61412101,
      minor: 0x62422202,
      flags: 0x63432303,
      max_read: 0x64442404,
      max_write: 0x65452505,
      dev_major: 0x66462606,
      dev_minor: 0x67472707,
      info: hex('4445564e414d453d68656c6c6f00'),
    },
    reply: `
      01214161  # major 0x61412101
      02224262  # minor 0x62422202
      00000000  # unused
      03234363  # flags 0x63432303
      04244464  # max_read 0x64442404
      05254565  # max_write 0x65452505
      06264666  # dev_major 0x66462606
      07274767  # dev_minor 0x67472707
      00000000000000000000000000000000000000000000000000000000000000000000000000000000  # spare
      4445564e414d453d68656c6c6f00  # info "DEVNAME=hello\x00"
    `,
  },
};

export const goldenNotifications: Readonly<
  Record<NotificationName, { readonly values: object; readonly tail?: Buffer; readonly message: string }>
> = {
  POLL: {
    values: { kh: 0xe1c1a18161412101n },
    message: `
      18000000 01000000  # len 24, error: the code, positive
      0000000000000000  # unique 0: no reply to anything
      0121416181a1c1e1  # kh 0xe1c1a18161412101n
    `,
  },
  INVAL_INODE: {
    values: { ino: 0x1a18161412101, off: 0x2a28262422202, len: 0x3a38363432303 },
    message: `
      28000000 02000000  # len 40, error: the code, positive
      0000000000000000  # unique 0: no reply to anything
      0121416181a10100  # ino 0x1a18161412101
      0222426282a20200  # off 0x2a28262422202
      0323436383a30300  # len 0x3a38363432303
    `,
  },
  INVAL_ENTRY: {
    values: { parent: 0x1a18161412101, namelen: 0x5, flags: 0x63432303 },
    tail: hex('61c3a9ff7a00'),
    message: `
      26000000 03000000  # len 38, error: the code, positive
      0000000000000000  # unique 0: no reply to anything
      0121416181a10100  # parent 0x1a18161412101
      05000000  # namelen 0x5
      03234363  # flags 0x63432303
      61c3a9ff7a00  # "a\xc3\xa9\xffz" and its NUL
    `,
  },
  STORE: {
    values: { nodeid: 0x1a18161412101, offset: 0x2a28262422202, size: 0x7 },
    tail: hex('636f6e74656e74'),
    message: `
      2f000000 04000000  # len 47, error: the code, positive
      0000000000000000  # unique 0: no reply to anything
      0121416181a10100  # nodeid 0x1a18161412101
      0222426282a20200  # offset 0x2a28262422202
      07000000  # size 0x7
      00000000  # padding
      636f6e74656e74  # "content"
    `,
  },
  RETRIEVE: {
    values: { notify_unique: 0xe1c1a18161412101n, nodeid: 0x2a28262422202, offset: 0x3a38363432303, size: 0x64442404 },
    message: `
      30000000 05000000  # len 48, error: the code, positive
      0000000000000000  # unique 0: no reply to anything
      0121416181a1c1e1  # notify_unique 0xe1c1a18161412101n
      0222426282a20200  # nodeid 0x2a28262422202
      0323436383a30300  # offset 0x3a38363432303
      04244464  # size 0x64442404
      00000000  # padding
    `,
  },
  DELETE: {
    values: { parent: 0x1a18161412101, child: 0x2a28262422202, namelen: 0x4 },
    tail: hex('676f6e6500'),
    message: `
      2d000000 06000000  # len 45, error: the code, positive
      0000000000000000  # unique 0: no reply to anything
      0121416181a10100  # parent 0x1a18161412101
      0222426282a20200  # child 0x2a28262422202
      04000000  # namelen 0x4
      00000000  # padding
      676f6e6500  # "gone" and its NUL
    `,
  },
  RESEND: {
    values: {},
    message: `
      10000000 07000000  # len 16, error: the code, positive
      0000000000000000  # unique 0: no reply to anything
    `,
  },
  INC_EPOCH: {
    values: {},
    message: `
      10000000 08000000  # len 16, error: the code, positive
      0000000000000000  # unique 0: no reply to anything
    `,
  },
  PRUNE: {
    values: { count: 0x2 },
    tail: hex('01c000000000000002d0e0f0a0b00c00'),
    message: `
      30000000 09000000  # len 48, error: the code, positive
      0000000000000000  # unique 0: no reply to anything
      02000000  # count 0x2
      00000000  # padding
      0000000000000000  # spare
      01c0000000000000  # nodeid 0xc001
      02d0e0f0a0b00c00  # nodeid 0xcb0a0f0e0d002
    `,
  },
};
