"""
Random operations in step on two filesystems, which must answer the same.

  instep.py MOUNT NATIVE KIND SEED STEPS [EVERY [BRANCHES...]]

Both directories are roots of empty mounts of their own; KIND says what the native one is: tmpfs or ext4, with
"+merged" behind it where the mount is of several such directories as one, "+writeback" where the kernel gathers its
writes. Two processes, each in its directory by chroot(2), make the same operations: what they choose comes from the seed
and from what they were answered, so they stay in step for as long as the answers are equal. Each writes what it
did and saw, a line a step, and every EVERY steps (default 100) all of its tree. This process compares the lines,
and at the first difference prints the steps before it. With BRANCHES the mount is a union, whose branches are set to
the next of these every few steps: no client may see anything of that.

A step is one call, or a few that belong together, made as root or as one of two users (their effective ids
change, so the kernel checks their permissions); on paths of up to three of four names, so that they collide;
on descriptors that stay open, of files and directories that are gone too.

Left out of the comparison is what Linux does not promise, or FUSE makes different. Each has its reason where it
is left out: search for "Not compared".
"""

import errno
import hashlib
import json
import os
import signal
import stat
import sys
import traceback
from collections import deque

from steps import LONG_AGO, PAGE, USERS, WEIGHTS, Steps, code, digest, t


def when(time):
    """Nobody's two clocks agree: a time of day is just that; a time that was set is compared to the nanosecond."""
    return 'now' if time > LONG_AGO * 10**9 else str(time)


# After so many steps the branches of a union are set anew.
CHANGES = 10


class Side(Steps):
    """One of the two: what it does and sees."""

    def __init__(self, kind, seed, every, branches, say):
        super().__init__(kind, seed)
        self.every = every
        self.branches = branches
        self.say = say
        self.counts = {}

    # What is seen.

    def blocks(self, found):
        """
        Not compared: of anything but regular files; on ext4, which counts its metadata; of files that hold what was
        copied from a hole (FUSE sends COPY_FILE_RANGE and MemoryFs keeps the hole; tmpfs has no copy_file_range of
        its own, and the kernel copies zeros) or a hole that was read through a mapping (tmpfs gives it a page:
        mm/shmem.c: shmem_fault).
        """
        if not stat.S_ISREG(found.st_mode) or self.kind != 'tmpfs' or found.st_ino in self.mixed:
            return ''
        return f' blocks {found.st_blocks}'

    def risk(self, find):
        """
        To be called before what takes setgid away. Not compared: that bit, of files that the group may not execute,
        after such a call. Linux takes it from those too where the caller is not of the file's group
        (fs/attr.c: setattr_should_drop_sgid); a FUSE server is not told the caller's groups, and takes it only where
        the group may execute (include/uapi/linux/fuse.h: FUSE_HANDLE_KILLPRIV_V2).
        """
        found = t(find)
        if found is None or stat.S_ISDIR(found.st_mode):
            return
        if found.st_mode & stat.S_ISGID and not found.st_mode & stat.S_IXGRP:
            self.unsure.add(found.st_ino)

    def risky(self, find, call):
        self.risk(find)
        return call()

    def capable(self, find, name):
        """
        To be called before an xattr is set. Not compared: setuid and setgid of files that had capabilities once. A
        write by somebody with CAP_FSETID takes the capabilities alone; FUSE's SETATTR for it has no bit set, like that
        for chown(-1, -1), which takes setuid too (fs/inode.c: file_remove_privs; fs/fuse/dir.c: fuse_setattr).
        """
        found = t(find)
        if name == 'security.capability' and found is not None:
            self.empowered.add(found.st_ino)

    def mode_of(self, found):
        if stat.S_ISDIR(found.st_mode):
            return found.st_mode
        if found.st_ino in self.empowered:
            return found.st_mode & ~(stat.S_ISUID | stat.S_ISGID)
        # ext4 uses the numbers of inodes again, so they don't say which files are unsure.
        if self.kind == 'ext4' or found.st_ino in self.unsure:
            return found.st_mode & ~stat.S_ISGID
        return found.st_mode

    def describe(self, found):
        """
        Not compared: sizes of directories (each filesystem counts its own way); the mtime of fifos (FUSE sets
        S_NOCMTIME, so fs/pipe.c: pipe_write moves none); ctimes beyond their being there: see `when`. Links and times of
        merged directories: they are those of one of them, wherever a name came or went.
        """
        kind = stat.S_IFMT(found.st_mode)
        if self.merged and kind == stat.S_IFDIR:
            return f'{self.mode_of(found):o} {found.st_uid}:{found.st_gid}'
        size = '' if kind == stat.S_IFDIR else f' size {found.st_size}'
        mtime = '' if kind == stat.S_IFIFO else f' mtime {when(found.st_mtime_ns)}'
        return (
            f'{self.mode_of(found):o} links {found.st_nlink} {found.st_uid}:{found.st_gid}{size} rdev {found.st_rdev:x}'
            f'{mtime} atime {when(found.st_atime_ns)}{self.blocks(found)}'
        )

    def look(self, path, fd=None):
        try:
            return self.describe(os.lstat(path, dir_fd=fd))
        except OSError as error:
            return code(error)

    def look_at(self, fd):
        try:
            return self.describe(os.fstat(fd))
        except OSError as error:
            return code(error)

    def content(self, path, found):
        """A file's bytes without its zeros: a sparse file's size is no reason to read it all."""
        hashed = hashlib.blake2b(digest_size=8)
        fd = os.open(path, os.O_RDONLY | os.O_NOATIME | os.O_NOFOLLOW)
        try:
            at = 0
            while at < found.st_size:
                try:
                    start = os.lseek(fd, at, os.SEEK_DATA)
                except OSError as error:
                    if error.errno == errno.ENXIO:
                        break
                    raise
                at = os.lseek(fd, start, os.SEEK_HOLE)
                for place in range(start // PAGE * PAGE, at, PAGE):
                    page = os.pread(fd, PAGE, place)
                    if any(page):
                        hashed.update(f'{place}:'.encode() + page.rstrip(b'\0'))
        finally:
            os.close(fd)
        return hashed.hexdigest()

    def tree(self):
        """All there is, as root: a line for each name, and for each open file."""
        user = self.as_root()
        first = {}
        pending = ['/']
        while pending:
            path = pending.pop()
            found = os.lstat(path)
            # Not compared: numbers of merged directories. They are of the path, and below a directory that was renamed the
            # kernel goes on with those of before, which may be another one's by now, for as long as attributes are cached.
            merged = self.merged and stat.S_ISDIR(found.st_mode)
            same = path if merged else first.setdefault(found.st_ino, path)
            line = f'{path}: {self.describe(found)}' + ('' if same == path else f' is {same}')
            if stat.S_ISLNK(found.st_mode):
                line += f' -> {os.readlink(path)}'
            elif stat.S_ISREG(found.st_mode):
                line += f' content {self.content(path, found)}'
            # Sorted: no filesystem promises an order.
            names = sorted(os.listxattr(path, follow_symlinks=False))
            line += ''.join(f' {name}={digest(os.getxattr(path, name, follow_symlinks=False))}' for name in names)
            self.say('T ' + line)
            if stat.S_ISDIR(found.st_mode):
                pending += [os.path.join(path, name) for name in sorted(os.listdir(path), reverse=True)]
        for i, fd in enumerate(self.slots):
            if fd is not None:
                self.say(f'T [{i}]: {self.look_at(fd)}')
        self.user = user
        self.become()

    def as_root(self):
        """Who it was before."""
        user, self.user = self.user, 0
        self.become()
        return user

    def change(self, branches):
        """
        Sets those of the union, by its control file. The other side becomes root for a moment, too: a file that is open
        may be linked by who has the very credentials that opened it (fs/namei.c: path_init, LOOKUP_LINKAT_EMPTY).
        """
        user = self.as_root()
        if branches:
            os.setxattr('/.mergerfs', 'user.mergerfs.branches', os.fsencode(branches))
        self.user = user
        self.become()

    # The run.

    def step(self, i):
        # The first step is `renew`: an empty directory, and no xattr on it.
        name = self.random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0] if i > 0 else 'renew'
        choose = getattr(self, f'do_{name}')
        text, act, looks = choose()
        tried = self.counts.setdefault(name, [0, 0])
        tried[0] += 1
        try:
            result = act()
            tried[1] += 1
        except OSError as error:
            result = code(error)
        seen = ''.join(f' | {self.seen(look)}' for look in looks)
        # Names that are not UTF-8 go as escapes.
        line = f'S {i} {USERS[self.user][0]}: {name} {text} = {result}{seen}'
        self.say(line.encode('utf-8', 'backslashreplace').decode())

    def seen(self, look):
        try:
            return look()
        except OSError as error:
            return code(error)

    def run(self, steps):
        os.umask(0o022)
        for i in range(steps):
            if self.branches and i % CHANGES == 0:
                self.change(self.branches[i // CHANGES % len(self.branches)])
            self.step(i)
            if (i + 1) % self.every == 0 or i + 1 == steps:
                self.tree()
        self.say('C ' + json.dumps(self.counts))


def side(root, kind, seed, steps, every, branches):
    """A process that works in `root`: its id, and what it says, as a file."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        with os.fdopen(writer, 'w', errors='backslashreplace') as out:
            try:
                os.chroot(root)
                os.chdir('/')
                Side(kind, seed, every, branches, lambda line: out.write(line.replace('\n', '\\n') + '\n')).run(steps)
            except Exception as error:
                out.write('X ' + ''.join(traceback.format_exception(error)).replace('\n', '\\n') + '\n')
            out.flush()
            os._exit(0)
    os.close(writer)
    return pid, os.fdopen(reader, errors='backslashreplace')


def compare(ours, theirs, about):
    """The last line of both, where all others are equal; exits where one differs."""
    last = deque(maxlen=25)
    for our, their in zip(ours, theirs):
        if our != their or our[0] == 'X':
            print(about, 'the last steps:', *last, f'mount:  {our}native: {their}', sep='\n', file=sys.stderr)
            sys.exit(1)
        if our[0] == 'S':
            last.append(our[2:-1])
        elif our[0] == 'C':
            return our[2:-1]
    print(about, 'one of the two ended early', *last, sep='\n', file=sys.stderr)
    sys.exit(1)


def main():
    mount, native, kind, seed, steps, *rest = sys.argv[1:]
    every = int(rest[0]) if rest else 100
    about = f'SEED={seed} kind {kind}' + ('' if every == 1 else ', and EVERY=1 compares the whole trees after each step')
    (one, ours), (other, theirs) = [
        side(root, kind, int(seed), int(steps), every, branches)
        for root, branches in ((mount, rest[1:]), (native, ['' for _ in rest[1:]]))
    ]
    try:
        print(compare(ours, theirs, about))
    finally:
        for pid in (one, other):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


if __name__ == '__main__':
    main()
