"""
The steps that instep.py makes: how one is chosen, by random numbers and by what was answered before, and what it
is: a method do_NAME for each, in the table WEIGHTS with how often it comes.

What Linux does not promise, or FUSE makes different, is left out of the comparison here (and in instep.py where
things are looked at). Each has its reason where it is left out: search for "Not compared".
"""

import ctypes
import errno
import hashlib
import mmap
import os
import random
import stat
import struct
from collections import deque

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, AT_SYMLINK_FOLLOW, AT_FORCE_SYNC = -100, 0x1000, 0x100, 0x400, 0x2000
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
KEEP_SIZE, PUNCH_HOLE, COLLAPSE_RANGE, ZERO_RANGE, INSERT_RANGE, UNSHARE_RANGE = 1, 2, 8, 16, 32, 64
NAMES = 'abcd'
ODD = ['', '.', '/', 'a/.', 'a//b', '/a/b', 'a/../b', 'b/c/..', '../a', '\udcff\udcfe']
ODD += ['x' * 255, 'x' * 256, 'a/' + 'y' * 256]
# Name, user, group, further groups. 2000 is Bob's further group, and the first one of Alice as a member of it.
USERS = [
    ('root', 0, 0, []),
    ('alice', 12345, 12345, [12345, 3000]),
    ('bob', 12346, 12346, [12346, 2000]),
    ('alice-staff', 12345, 2000, [2000, 3000]),
]
MODES = [0o777, 0o777, 0o777, 0o755, 0o666, 0o644, 0o600, 0o700, 0o000, 0o4755, 0o2755, 0o2644, 0o6777, 0o1777, 0o2775]
# Types and numbers for mknod(2). Some of it is opened, so the devices do nothing (1:3 is /dev/null) or are not there.
DEVICES = [(stat.S_IFIFO, 0), (stat.S_IFIFO, 0), (stat.S_IFSOCK, 0), (stat.S_IFREG, 0), (0, 0), (stat.S_IFDIR, 0)]
DEVICES += [(stat.S_IFCHR, device) for device in (0, os.makedev(1, 3), os.makedev(1, 70000))]
DEVICES += [(stat.S_IFBLK, os.makedev(4000, 1))]
SLOTS = 10
PAGE = 4096
# Older than any run: a time before it was set by utimensat(2), one behind it is a time of day.
LONG_AGO = 1_500_000_000
CAPABILITY = struct.pack('<5I', 0x02000000, 1 << 10, 0, 0, 0)


def code(error):
    return errno.errorcode.get(error.errno, str(error.errno))


def libcall(name, *args):
    """A libc function that gives an int."""
    made = [os.fsencode(each) if isinstance(each, str) else each for each in args]
    result = getattr(libc, name)(*(ctypes.c_long(each) if isinstance(each, int) else each for each in made))
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def t(f, *args, **named):
    """What a call gives; None where it fails."""
    try:
        return f(*args, **named)
    except OSError:
        return None


def digest(data):
    return f'{len(data)}:{hashlib.blake2b(data, digest_size=6).hexdigest()}'


class Steps:
    """One side's operations. The other side is equal in all that is chosen by."""

    def __init__(self, kind, seed):
        self.kind, *more = kind.split('+')
        self.merged = 'merged' in more
        self.writeback = 'writeback' in more
        self.random = random.Random(seed)
        self.slots = [None] * SLOTS
        self.user = 0
        # Paths that were made lately: what is asked for by name is one of them mostly.
        self.known = deque(maxlen=30)
        # Files whose holes are no longer alike; and those whose blocks are, but not what is said of their holes: see
        # `blocks` and `do_lseek`.
        self.mixed = set()
        self.allocated = set()
        # Files whose setgid bit is no longer alike, and those whose setuid bit is not either: see `risk` and `capable`.
        self.unsure = set()
        self.empowered = set()

    # What is chosen.

    def chance(self, one_in):
        return self.random.randrange(one_in) == 0

    def path(self):
        if self.chance(40):
            return self.random.choice(ODD)
        path = '/'.join(self.random.choice(NAMES) for _ in range(self.random.choice((1, 1, 2, 2, 2, 3))))
        return path + '/' if self.chance(40) else path

    def there(self, want='any'):
        """A path that leads somewhere, mostly: made lately, or found; to a file or directory if `want` says so."""
        if self.chance(4):
            return self.path()
        if want == 'any' and self.known and self.chance(3):
            return self.random.choice(self.known)
        return self.found(want) or self.path()

    def found(self, want):
        """The path of something that is there, where a walk from the root got to."""
        path = ''
        for _ in range(3):
            try:
                with os.scandir('/' + path) as entries:
                    names = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
            except OSError:
                break
            if want == 'dir':
                names = [each for each in names if each[1]]
            if not names:
                break
            name, is_directory = self.random.choice(names)
            path = os.path.join(path, name)
            if not is_directory or (want != 'file' and self.chance(2)):
                break
        return path

    def new(self):
        """A path at which something can be made, mostly: one of the names, in a directory that is there."""
        if self.chance(3):
            return self.path()
        return os.path.join('' if self.chance(3) else self.found('dir'), self.random.choice(NAMES))

    def made(self, path, fd, call):
        """Makes something by a path."""
        result = call()
        if fd is None and len(path) < 20:
            self.known.append(path)
        return result

    def base(self):
        """(what is printed, directory descriptor or None): a path begins at the root or at an open directory."""
        slot = self.random.randrange(SLOTS)
        if self.chance(6) and self.slots[slot] is not None:
            return f'[{slot}]', self.slots[slot]
        return '', None

    def place(self, want='any'):
        """A path and where it begins: (text, path, dir_fd); `want`: any, file, dir for what may be there, or new."""
        text, fd = self.base()
        path = self.new() if want == 'new' else self.there(want)
        return f'{text}{path if len(path) < 20 else path[:2] + "*" + str(len(path))!s}', path, fd

    def open_slot(self):
        """A descriptor that is there, if any is: (text, fd); else one that is not."""
        there = [i for i, fd in enumerate(self.slots) if fd is not None]
        if not there or self.chance(60):
            return '[-]', 999
        i = self.random.choice(there)
        return f'[{i}]', self.slots[i]

    def offset(self):
        r = self.random
        at = r.choice((0, r.randrange(200), r.randrange(20_000), r.randrange(200_000)))
        if self.chance(3):
            at = at // PAGE * PAGE
        return at + self.random.choice((2**31, 2**40)) if self.chance(60) else at

    def length(self):
        n = self.random.choice((self.random.randrange(20), self.random.randrange(5000), self.random.randrange(70_000)))
        return (n // PAGE + 1) * PAGE if self.chance(3) else n

    def mode(self):
        return self.random.choice((*MODES, self.random.randrange(0o10000)))

    def owner(self):
        """
        Not compared: a user's chown(-1, -1). Of a setuid file that is not his Linux refuses it; FUSE's side of the
        kernel drops what was to be checked, and asks the server to clear the bit (fs/fuse/dir.c: fuse_setattr).
        """
        uid, gid = self.random.choice((-1, 0, 12345, 12346)), self.random.choice((-1, 0, 12345, 12346, 2000, 3000))
        return USERS[self.user][1] if uid < 0 and gid < 0 and self.user else uid, gid

    def acl(self):
        """An ACL's bytes, a valid one mostly. acl(5), include/uapi/linux/posix_acl_xattr.h"""
        r = self.random
        entries = [(1, r.randrange(8), 0xFFFFFFFF)]
        named = sorted(r.sample((12345, 12346), r.randrange(3)))
        entries += [(2, r.randrange(8), uid) for uid in named]
        entries += [(4, r.randrange(8), 0xFFFFFFFF)]
        groups = sorted(r.sample((2000, 3000), r.randrange(3)))
        entries += [(8, r.randrange(8), gid) for gid in groups]
        if named or groups or self.chance(4):
            entries.append((16, r.randrange(8), 0xFFFFFFFF))
        entries.append((32, r.randrange(8), 0xFFFFFFFF))
        if self.chance(12):
            del entries[r.randrange(len(entries))]
        if self.chance(12):
            entries.insert(r.randrange(len(entries)), r.choice(entries))
        version = 1 if self.chance(30) else 2
        return struct.pack('<I', version) + b''.join(struct.pack('<HHI', *each) for each in entries)

    def xattr(self):
        """A name and a value."""
        names = ('user.a', 'user.b', 'trusted.a', 'security.a', 'security.capability')
        name = self.random.choice(names if self.kind == 'tmpfs' else names[:-1])  # see `mode_of`
        if self.chance(5):
            name = self.random.choice(('user.', 'nowhere.a', 'user.' + 'n' * 250, 'user.' + 'n' * 251))
        if name == 'security.capability':
            return name, CAPABILITY if not self.chance(8) else b'invalid'
        # ext4 has room for a block of them, tmpfs as far as its inodes go, MemoryFs as far as its space: few are large.
        n = self.random.choice((0, 1, self.random.randrange(100), self.random.randrange(300)))
        if self.kind == 'tmpfs' and self.chance(20):
            n = self.random.choice((65536, 65537))
        return name, self.random.randbytes(n)

    def xattr_of(self, path, follow):
        """The name of an xattr that a file has, mostly."""
        names = sorted(t(os.listxattr, path, follow_symlinks=follow) or [])
        names = [name for name in names if not name.startswith('system')]
        return self.xattr()[0] if not names or self.chance(4) else self.random.choice(names)

    # What is done. Each gives (its arguments as text, a function to call, functions that look afterwards).

    def do_open(self):
        r = self.random
        creat = self.chance(2)
        text, path, fd = self.place('new' if creat and not self.chance(3) else 'file')
        access = (os.O_RDONLY, os.O_WRONLY, *[os.O_RDWR] * 4, 3 if self.chance(4) else os.O_RDWR)
        flags = r.choice(access)
        names = ['O_EXCL', 'O_TRUNC', 'O_APPEND', 'O_DIRECTORY', 'O_NOFOLLOW', 'O_NOATIME', 'O_SYNC', 'O_DSYNC']
        names.append('O_PATH')
        if self.kind == 'tmpfs':
            names.append('O_DIRECT')  # ext4 refuses what is not aligned, tmpfs and FUSE nothing
        chosen = [name for name, one_in in zip(names, (5, 6, 6, 10, 10, 12, 12, 12, 25, 10)) if self.chance(one_in)]
        if creat:
            chosen = ['O_CREAT', *(name for name in chosen if name != 'O_DIRECTORY')]
        for name in chosen:
            flags |= getattr(os, name)
        mode = self.mode()
        slot = r.randrange(SLOTS)
        text = f'{text} {flags & 3} {"|".join(chosen)} {mode:o} as [{slot}]'
        
        def act():
            if flags & os.O_TRUNC:
                self.risk(lambda: os.stat(path, dir_fd=fd))
            opened = flags | os.O_NONBLOCK  # for fifos
            return self.keep(slot, lambda: self.made(path, fd, lambda: os.open(path, opened, mode, dir_fd=fd)))

        return text, act, [lambda: self.look(path, fd)]

    def do_opendir(self):
        text, path, fd = self.place('dir')
        slot = self.random.randrange(SLOTS)
        return (
            f'{text} as [{slot}]',
            lambda: self.keep(slot, lambda: os.open(path, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)),
            [lambda: self.look(path, fd)],
        )

    def keep(self, slot, make):
        made = make()
        if self.slots[slot] is not None:
            os.close(self.slots[slot])
        self.slots[slot] = made
        return 'open'

    def do_tmpfile(self):
        text, path, fd = self.place('dir')
        mode, slot = self.mode(), self.random.randrange(SLOTS)
        flags = os.O_TMPFILE | os.O_RDWR | (os.O_EXCL if self.chance(5) else 0)
        return (
            f'{text} {flags:o} {mode:o} as [{slot}]',
            lambda: self.keep(slot, lambda: os.open(path, flags, mode, dir_fd=fd)),
            [lambda: self.look_at(self.slots[slot] or 999)],
        )

    def do_link_slot(self):
        slot, at = self.open_slot()
        text, path, fd = self.place('new')
        to = AT_FDCWD if fd is None else fd
        return (
            f'{slot} {text}',
            lambda: self.made(path, fd, lambda: libcall('linkat', at, '', to, path, AT_EMPTY_PATH)),
            [lambda: self.look(path, fd), lambda: self.look_at(at)],
        )

    def do_close(self):
        slot = self.random.randrange(SLOTS)

        def act():
            at, self.slots[slot] = self.slots[slot], None
            os.close(999 if at is None else at)

        return f'[{slot}]', act, []

    def do_read(self):
        slot, at = self.open_slot()
        n = self.length()
        return f'{slot} +{n}', lambda: digest(os.read(at, n)), []

    def do_write(self):
        slot, at = self.open_slot()
        data = self.random.randbytes(self.length())
        return (
            f'{slot} +{len(data)}',
            lambda: self.risky(lambda: os.fstat(at), lambda: os.write(at, data)),
            [lambda: self.look_at(at)],
        )

    def do_pread(self):
        slot, at = self.open_slot()
        n, offset = self.length(), self.offset()
        return f'{slot} {offset}+{n}', lambda: digest(os.pread(at, n, offset)), []

    def do_pwrite(self):
        slot, at = self.open_slot()
        data, offset = self.random.randbytes(self.length()), self.offset()
        return (
            f'{slot} {offset}+{len(data)}',
            lambda: self.risky(lambda: os.fstat(at), lambda: os.pwrite(at, data, offset)),
            [lambda: self.look_at(at)],
        )

    def do_lseek(self):
        slot, at = self.open_slot()
        offset = self.offset() - (10 if self.chance(10) else 0)
        how = self.random.choice((os.SEEK_SET, os.SEEK_CUR, os.SEEK_END, *[os.SEEK_DATA, os.SEEK_HOLE] * 2))

        def act():
            found = os.fstat(at)
            # A directory's positions are its own affair. A seek that is not compared must not move a position either.
            if stat.S_ISDIR(found.st_mode):
                return 'a directory'
            # Not compared: holes, where blocks are not, and of what was allocated: ext4 takes that for data when it was
            # read, tmpfs when it is allocated once more (mm/shmem.c: shmem_get_folio_gfp).
            if how >= os.SEEK_DATA and (self.kind != 'tmpfs' or self.is_unlike(found)):
                return 'not compared'
            return os.lseek(at, offset, how)

        return f'{slot} {offset} whence {how}', act, []

    def do_mmap(self):
        slot, at = self.open_slot()
        writing = self.chance(2)
        part, of = self.random.random(), self.random.random()
        data = self.random.randbytes(20_000)

        def act():
            found = os.fstat(at)
            if not stat.S_ISREG(found.st_mode) or found.st_size == 0 or found.st_size > 2**30:
                return 'nothing to map'
            begin = int(found.st_size * part) // PAGE * PAGE
            n = min(len(data), 1 + int((found.st_size - begin - 1) * of))
            access = mmap.PROT_READ | (mmap.PROT_WRITE if writing else 0)
            with mmap.mmap(at, n, mmap.MAP_SHARED, access, offset=begin) as mapped:
                if not writing:
                    self.mixed.add(found.st_ino)
                    return f'{begin} {digest(mapped[:])}'
                mapped[:] = data[:n]
                mapped.flush()
                return f'{begin}+{n}'

        return f'{slot} {"write" if writing else "read"}', act, [lambda: self.look_at(at)]

    def do_fsync(self):
        slot, at = self.open_slot()
        call = self.random.choice((os.fsync, os.fdatasync))
        return slot, lambda: call(at), []

    def size(self):
        """A size to give to a file, or None for the one that it has."""
        return None if self.chance(5) else self.offset() - (5 if self.chance(30) else 0)

    def do_truncate(self):
        path, size = self.there('file'), self.size()

        def act():
            self.risk(lambda: os.stat(path))
            found = t(os.stat, path)
            wanted = (found.st_size if found else 0) if size is None else size
            # Not compared: the mtime where nothing changes. ext4 moves it, as we do; tmpfs only where it finds pages
            # that it might have to free (mm/shmem.c: shmem_setattr).
            if self.kind == 'tmpfs' and found and stat.S_ISREG(found.st_mode) and wanted == found.st_size:
                if found.st_blocks == 0 or found.st_ino in self.mixed:
                    return 'not compared'
            # With a writeback cache it is the kernel's own, and moves only with the size (fs/fuse/dir.c: fuse_do_setattr).
            if self.writeback and found and stat.S_ISREG(found.st_mode) and wanted == found.st_size:
                return 'not compared'
            return os.truncate(path, wanted)

        return f'{path[:20]} {size}', act, [lambda: self.look(path)]

    def do_ftruncate(self):
        slot, at = self.open_slot()
        size = self.size()

        def act():
            self.risk(lambda: os.fstat(at))
            os.ftruncate(at, os.fstat(at).st_size if size is None else size)

        return f'{slot} {size}', act, [lambda: self.look_at(at)]

    def do_fallocate(self):
        slot, at = self.open_slot()
        modes = [0, 0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, PUNCH_HOLE]
        # What tmpfs refuses as FUSE does, and what ext4 can as FUSE can. Not compared: the rest.
        if self.kind == 'tmpfs':
            modes += [COLLAPSE_RANGE, INSERT_RANGE, UNSHARE_RANGE]
        else:
            modes += [ZERO_RANGE, ZERO_RANGE | KEEP_SIZE] * 2
        mode, offset, n = self.random.choice(modes), self.offset(), self.length()
        if self.chance(40):
            offset = -1

        def act():
            self.risk(lambda: os.fstat(at))
            if not mode & ~KEEP_SIZE:
                self.allocated.add(os.fstat(at).st_ino)
            return libcall('fallocate', at, mode, offset, n)

        return f'{slot} mode {mode} {offset}+{n}', act, [lambda: self.look_at(at)]

    def do_copy(self):
        source, at = self.open_slot()
        target, to = self.open_slot()
        from_, into, n = self.offset(), self.offset(), self.length()

        def act():
            self.risk(lambda: os.fstat(to))
            found, there = os.fstat(at), os.fstat(to)
            end = min(found.st_size, from_ + n)
            if self.kind == 'tmpfs' and stat.S_ISREG(found.st_mode) and from_ < end and stat.S_ISREG(there.st_mode):
                if self.is_unlike(found) or self.hole(at, from_) < end:
                    self.mixed.add(there.st_ino)
            return os.copy_file_range(at, to, n, from_, into)

        return f'{source} {from_}+{n} to {target} {into}', act, [lambda: self.look_at(to)]

    def is_unlike(self, found):
        return found.st_ino in self.mixed or found.st_ino in self.allocated

    def hole(self, fd, offset):
        """Where the first hole is; the position stays."""
        try:
            position = os.lseek(fd, 0, os.SEEK_CUR)
            found = os.lseek(fd, offset, os.SEEK_HOLE)
            os.lseek(fd, position, os.SEEK_SET)
            return found
        except OSError:
            return 0

    def do_mkdir(self):
        text, path, fd = self.place('new')
        mode = self.mode()
        return (
            f'{text} {mode:o}',
            lambda: self.made(path, fd, lambda: os.mkdir(path, mode, dir_fd=fd)),
            [lambda: self.look(path, fd)],
        )

    def do_rmdir(self):
        text, path, fd = self.place('dir')
        return text, lambda: os.rmdir(path, dir_fd=fd), [lambda: self.look(path, fd)]

    def do_unlink(self):
        text, path, fd = self.place('file')
        return text, lambda: os.unlink(path, dir_fd=fd), [lambda: self.look(path, fd)]

    def do_link(self):
        text, path, fd = self.place('file')
        new, newpath, newfd = self.place('new')
        follow = self.chance(3)

        def act():
            os.link(path, newpath, src_dir_fd=fd, dst_dir_fd=newfd, follow_symlinks=follow)

        return f'{text} {new} {follow}', lambda: self.made(newpath, newfd, act), [lambda: self.look(newpath, newfd)]

    def do_symlink(self):
        text, path, fd = self.place('new')
        long = 't' * self.random.randrange(1, 4096)
        target = self.random.choice((self.path(), '../' + self.path(), '/' + self.path(), long))
        return (
            f'{target[:20]} {text}',
            lambda: self.made(path, fd, lambda: os.symlink(target, path, dir_fd=fd)),
            [lambda: self.look(path, fd)],
        )

    def do_readlink(self):
        text, path, fd = self.place('file')
        return text, lambda: digest(os.fsencode(os.readlink(path, dir_fd=fd))), []

    def do_rename(self):
        text, path, fd = self.place()
        new, newpath, newfd = self.place(self.random.choice(('any', 'new', 'new')))
        # Not compared: on ext4 a WHITEOUT that fails has moved the directory's mtime. fs/ext4/namei.c: ext4_rename
        whiteouts = (4, 5, 6) if self.kind == 'tmpfs' else ()
        flags = self.random.choice((0, 0, 0, 0, 1, 2, 2, 3, 8, *whiteouts))
        at, to = AT_FDCWD if fd is None else fd, AT_FDCWD if newfd is None else newfd
        return (
            f'{text} {new} {flags}',
            lambda: self.made(newpath, newfd, lambda: libcall('renameat2', at, path, to, newpath, flags)),
            [lambda: self.look(path, fd), lambda: self.look(newpath, newfd)],
        )

    def do_mknod(self):
        text, path, fd = self.place('new')
        kind, device = self.random.choice(DEVICES)
        mode = self.mode()
        return (
            f'{text} {kind:o} {device:x} {mode:o}',
            lambda: self.made(path, fd, lambda: os.mknod(path, kind | mode, device, dir_fd=fd)),
            [lambda: self.look(path, fd)],
        )

    def do_chmod(self):
        text, path, fd = self.place()
        mode = self.mode()
        return f'{text} {mode:o}', lambda: os.chmod(path, mode, dir_fd=fd), [lambda: self.look(path, fd)]

    def do_fchmod(self):
        slot, at = self.open_slot()
        mode = self.mode()
        return f'{slot} {mode:o}', lambda: os.fchmod(at, mode), [lambda: self.look_at(at)]

    def do_chown(self):
        text, path, fd = self.place()
        uid, gid = self.owner()
        follow = self.chance(2)

        def act():
            self.risk(lambda: os.stat(path, dir_fd=fd))
            os.chown(path, uid, gid, dir_fd=fd, follow_symlinks=follow)

        return f'{text} {uid}:{gid} {follow}', act, [lambda: self.look(path, fd)]

    def do_fchown(self):
        slot, at = self.open_slot()
        uid, gid = self.owner()
        return (
            f'{slot} {uid}:{gid}',
            lambda: self.risky(lambda: os.fstat(at), lambda: os.fchown(at, uid, gid)),
            [lambda: self.look_at(at)],
        )

    def do_utimens(self):
        text, path, fd = self.place()
        r = self.random
        odd = ((-7, 5), (0, UTIME_NOW), (0, UTIME_OMIT), (5, 10**9))
        times = [r.choice(((r.randrange(LONG_AGO), r.randrange(10**9)), *odd)) for _ in range(2)]
        both = (ctypes.c_long * 4)(*times[0], *times[1]) if not self.chance(6) else None
        flags = self.random.choice((0, AT_SYMLINK_NOFOLLOW))
        return (
            f'{text} {times if both else "now"} {flags:x}',
            lambda: libcall('utimensat', AT_FDCWD if fd is None else fd, path, both, flags),
            [lambda: self.look(path, fd)],
        )

    def do_stat(self):
        text, path, fd = self.place()
        return text, lambda: self.describe(os.stat(path, dir_fd=fd)), []

    def do_statx(self):
        text, path, fd = self.place()
        buffer = ctypes.create_string_buffer(256)

        def act():
            libcall('statx', AT_FDCWD if fd is None else fd, path, AT_SYMLINK_NOFOLLOW | AT_FORCE_SYNC, 0xFFF, buffer)
            (found,) = struct.unpack_from('<I', buffer)
            nlink, uid, gid, mode = struct.unpack_from('<IIIH', buffer, 16)
            mode &= ~(stat.S_ISUID | stat.S_ISGID)  # `describe` compares these
            btime, ctime = struct.unpack_from('<qI', buffer, 80), struct.unpack_from('<qI', buffer, 96)
            right = LONG_AGO < btime[0] and btime <= ctime
            born = 'born before it changed' if right else f'born {btime}, changed {ctime}'
            # Not compared: links of merged directories, as in `describe`.
            links = '' if self.merged and stat.S_ISDIR(mode) else f' links {nlink}'
            return f'{found & 0xFFF:x}{links} {uid}:{gid} {mode:o} {born}'

        return text, act, []

    def do_access(self):
        text, path, fd = self.place()
        mode = self.random.randrange(8)
        return f'{text} {mode}', lambda: os.access(path, mode, dir_fd=fd, effective_ids=True), []

    def do_setxattr(self):
        path = self.there()
        name, value = self.xattr()
        flags, follow = self.random.choice((0, 0, 0, 0, 0, os.XATTR_CREATE, os.XATTR_REPLACE, 3)), self.chance(2)

        def act():
            self.capable(lambda: os.stat(path, follow_symlinks=follow), name)
            os.setxattr(path, name, value, flags, follow_symlinks=follow)

        return f'{path[:20]} {name[:20]} {digest(value)} {flags} {follow}', act, [lambda: self.look(path)]

    def do_fsetxattr(self):
        slot, at = self.open_slot()
        name, value = self.xattr()

        def act():
            self.capable(lambda: os.fstat(at), name)
            os.setxattr(at, name, value)

        return f'{slot} {name[:20]} {digest(value)}', act, [lambda: self.look_at(at)]

    def do_getxattr(self):
        path = self.there()
        follow = self.chance(2)
        name = self.xattr_of(path, follow)
        if self.chance(3):
            name = self.random.choice(('system.posix_acl_access', 'system.posix_acl_default', 'system.other'))
        return f'{path[:20]} {name[:20]} {follow}', lambda: digest(os.getxattr(path, name, follow_symlinks=follow)), []

    def do_listxattr(self):
        path, follow = self.there(), self.chance(2)
        return (
            f'{path[:20]} {follow}',
            lambda: [name[:20] for name in sorted(os.listxattr(path, follow_symlinks=follow))],
            [],
        )

    def do_removexattr(self):
        path, follow = self.there(), self.chance(2)
        name = self.xattr_of(path, follow)
        return (
            f'{path[:20]} {name[:20]} {follow}',
            lambda: os.removexattr(path, name, follow_symlinks=follow),
            [lambda: self.look(path)],
        )

    def do_setfacl(self):
        path = self.there()
        name, value = self.random.choice(('system.posix_acl_access', 'system.posix_acl_default')), self.acl()
        return (
            f'{path[:20]} {name} {value[4:].hex()}',
            lambda: os.setxattr(path, name, value),
            [lambda: self.look(path), lambda: digest(os.getxattr(path, name))],
        )

    def do_removefacl(self):
        path = self.there()
        name = self.random.choice(('system.posix_acl_access', 'system.posix_acl_default'))
        # Not compared: tmpfs takes setgid with an access ACL that is removed, ext4 and FUSE do not. fs/posix_acl.c:
        # simple_set_acl
        if self.kind == 'tmpfs' and self.user:
            name = 'system.posix_acl_default'
        return f'{path[:20]} {name}', lambda: os.removexattr(path, name), [lambda: self.look(path)]

    def do_readdir(self):
        text, path, fd = self.place('dir')

        def act():
            at = os.open(path, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
            try:
                return self.entries(at)
            finally:
                os.close(at)

        return text, act, []

    def do_readdir_slot(self):
        slot, at = self.open_slot()

        def act():
            if not stat.S_ISDIR(os.fstat(at).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, slot)
            os.lseek(at, 0, os.SEEK_SET)
            try:
                return self.entries(at)
            finally:
                os.lseek(at, 0, os.SEEK_SET)  # behind ext4's last entry even a read(2) fails otherwise

        return slot, act, []

    def entries(self, fd):
        """Names with their types, by getdents64(2)."""
        buffer = ctypes.create_string_buffer(1024)
        names = []
        while (n := libcall('getdents64', fd, buffer, 1024)) > 0:
            at = 0
            while at < n:
                size, kind = struct.unpack_from('<HB', buffer, at + 16)
                name = buffer.raw[at + 19 : at + size].split(b'\0', 1)[0]
                names.append(f'{os.fsdecode(name)[:9]}={kind}')
                at += size
        return sorted(names)

    def do_umask(self):
        mask = self.random.choice((0o022, 0o002, 0o077, 0, 0o027, 0o022, 0o000, 0o777))
        return f'{mask:o}', lambda: os.umask(mask), []

    def do_become(self):
        self.user = self.random.choice((0, 0, 0, 1, 2, 3))
        return USERS[self.user][0], self.become, []

    def do_renew(self):
        """Everything goes, and some directories come: else all of it ends up as files that nobody may touch."""

        def act():
            user, self.user = self.user, 0
            self.become()
            self.remove('/')
            for name in os.listxattr('/'):
                os.removexattr('/', name)
            os.chown('/', 0, 0)
            os.utime('/')
            os.chmod('/', self.random.choice((0o777, 0o1777, 0o2777)))
            for path in ('a', 'b', 'a/a', 'a/b', 'b/c', 'a/a/a'):
                os.mkdir(path)
                os.chmod(path, self.random.choice((0o777, 0o777, 0o755, 0o1777, 0o2777)))
                self.known.append(path)
            for path in self.known:
                t(os.utime, path, ns=(10**9, 2 * 10**9))  # so that it shows when one moves
            self.user = user
            self.become()

        return '', act, [lambda: self.look('/')]

    def remove(self, path):
        for name in sorted(os.listdir(path)):
            child = os.path.join(path, name)
            if stat.S_ISDIR(os.lstat(child).st_mode):
                self.remove(child)
                os.rmdir(child)
            else:
                os.unlink(child)

    def become(self):
        _, uid, gid, groups = USERS[self.user]
        os.seteuid(0)
        os.setgroups(groups)
        os.setegid(gid)
        os.seteuid(uid)


# How often each is chosen.
WEIGHTS = {
    'open': 12, 'tmpfile': 2, 'link_slot': 2, 'close': 3, 'read': 3, 'write': 4, 'pread': 4, 'pwrite': 5,
    'lseek': 4, 'mmap': 3, 'fsync': 1, 'truncate': 2, 'ftruncate': 3, 'fallocate': 5, 'copy': 3, 'mkdir': 5,
    'rmdir': 2, 'unlink': 3, 'link': 6, 'symlink': 4, 'readlink': 1, 'rename': 7, 'mknod': 4, 'chmod': 4,
    'fchmod': 2, 'chown': 4, 'fchown': 2, 'utimens': 5, 'stat': 2, 'statx': 2, 'access': 2, 'setxattr': 4,
    'fsetxattr': 2, 'getxattr': 2, 'listxattr': 2, 'removexattr': 2, 'setfacl': 5, 'removefacl': 1, 'readdir': 2,
    'readdir_slot': 2, 'opendir': 2, 'umask': 1, 'become': 6, 'renew': 0.6,
}  # fmt: skip
