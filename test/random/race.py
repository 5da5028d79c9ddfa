"""
Many processes that race for the same files of a mount, and a few of their own.

  race.py MOUNT SEED SECONDS CLIENTS

All clients work in the same three directories. There each has names of its own, of which it knows what they are:
whatever it does with those has to succeed, and to give what it left. And there are names that all of them make, link,
move and remove: of those nobody knows what they are, but each call that made or removed one is counted, so that at the
end it is known how many there are. Only such calls are made as say whether they did: RENAME_NOREPLACE and
RENAME_EXCHANGE, and no plain rename.

It prints what was done, as JSON; it fails with the first thing that is wrong, and says whose seed it was.
"""

import ctypes
import errno
import json
import os
import random
import stat
import sys
import time

NOREPLACE, EXCHANGE = 1, 2
DIRECTORIES = ['a', 'b', 'c']
SHARED = ['s0', 's1', 's2', 's3']
OWN = 5
TEXT = b'all of it or nothing'

libc = ctypes.CDLL(None, use_errno=True)


def renameat2(old, new, flags):
    if libc.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def read(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, 1000)
    finally:
        os.close(fd)


def count():
    """How many shared names there are."""
    return sum(name.startswith('s') for _, directories, files in os.walk('.') for name in directories + files)


class Client:
    def __init__(self, me, seed):
        self.me = me
        self.random = random.Random(f'{seed} {me}')
        self.done = {}
        self.made = 0
        # What own names are: files, each with its text and how many names it has.
        self.own = {}
        self.texts = 0

    # Names that all use.

    def shared(self):
        """A path of one shared name, or of two: the first may be a directory."""
        path = f'{self.random.choice(DIRECTORIES)}/{self.random.choice(SHARED)}'
        return path if self.random.random() < 0.7 else f'{path}/{self.random.choice(SHARED)}'

    def create(self):
        fd = os.open(self.shared(), os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        self.made += 1
        os.write(fd, TEXT)
        os.close(fd)

    def mkdir(self):
        os.mkdir(self.shared())
        self.made += 1

    def symlink(self):
        os.symlink('s0', self.shared())
        self.made += 1

    def link(self):
        os.link(self.shared(), self.shared(), follow_symlinks=False)
        self.made += 1

    def unlink(self):
        os.unlink(self.shared())
        self.made -= 1

    def rmdir(self):
        os.rmdir(self.shared())
        self.made -= 1

    def move(self):
        renameat2(self.shared(), self.shared(), NOREPLACE)

    def exchange(self):
        renameat2(self.shared(), self.shared(), EXCHANGE)

    def look(self):
        found = os.lstat(self.shared())
        if stat.S_ISLNK(found.st_mode) and found.st_size != 2:
            raise AssertionError(f'a link to s0 has {found.st_size} bytes')

    def read(self):
        text = read(self.shared())
        if text not in (b'', TEXT):
            raise AssertionError(f'a shared file has {text}')

    def list(self):
        """What is there all along is listed, once, whatever comes and goes meanwhile."""
        directory = self.random.choice(DIRECTORIES)
        own = [f'{directory}/{name}' for name in os.listdir(directory) if name.startswith(f'{self.me}-')]
        there = [path for path in self.own if path.startswith(f'{directory}/')]
        if sorted(own) != sorted(there):
            raise AssertionError(f'{own} are listed, not {there}')

    def keep(self):
        """Open while others remove its name."""
        path = self.shared()
        fd = os.open(path, os.O_RDONLY)
        for _ in range(3):
            os.fstat(fd)
        os.close(fd)

    # Names of its own.

    def mine(self):
        return f'{self.random.choice(DIRECTORIES)}/{self.me}-{self.random.randrange(OWN)}'

    def own_create(self, path):
        if path in self.own:
            return self.own_look(path)
        self.texts += 1
        file = {'text': b'%d of client %d' % (self.texts, self.me), 'names': 1}
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        os.write(fd, file['text'])
        os.close(fd)
        self.own[path] = file

    def own_look(self, path):
        file = self.own.get(path)
        if file is None:
            if os.path.lexists(path):
                raise AssertionError(f'{path} is there')
            return
        text, links = read(path), os.stat(path).st_nlink
        if text != file['text'] or links != file['names']:
            raise AssertionError(f'{path} has {text} and {links} links, not {file}')

    def own_unlink(self, path):
        if path not in self.own:
            return self.own_look(path)
        os.unlink(path)
        self.own.pop(path)['names'] -= 1

    def own_link(self, path):
        other = self.mine()
        if path not in self.own or other in self.own:
            return self.own_look(path)
        os.link(path, other)
        self.own[other] = self.own[path]
        self.own[path]['names'] += 1

    def own_rename(self, path):
        other = self.mine()
        if path not in self.own:
            return self.own_look(path)
        os.rename(path, other)
        if self.own.get(other) is self.own[path]:
            return
        if other in self.own:
            self.own[other]['names'] -= 1
        self.own[other] = self.own.pop(path)

    def run(self, seconds):
        shared = [self.create, self.mkdir, self.symlink, self.link, self.unlink, self.unlink, self.rmdir]
        shared += [self.move, self.move, self.exchange, self.look, self.look, self.read, self.list, self.keep]
        own = [self.own_create, self.own_create, self.own_look, self.own_unlink, self.own_link, self.own_rename]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.random.random() < 0.3:
                call = self.random.choice(own)
                call(self.mine())
            else:
                call = self.random.choice(shared)
                try:
                    call()
                except OSError as error:
                    if error.errno not in LOST:
                        raise
                    continue
            self.done[call.__name__] = self.done.get(call.__name__, 0) + 1
        for directory in DIRECTORIES:
            for i in range(OWN):
                self.own_look(f'{directory}/{self.me}-{i}')
        for path in list(self.own):
            self.own_unlink(path)


# What somebody who raced for a shared name may hear.
LOST = {getattr(errno, name) for name in ('ENOENT EEXIST EISDIR ENOTDIR ENOTEMPTY EPERM EINVAL ELOOP').split()}


def main(mount, seed, seconds, clients):
    os.chdir(mount)
    for directory in DIRECTORIES:
        os.makedirs(directory, exist_ok=True)
    before = count()
    pipes = []
    for me in range(clients):
        r, w = os.pipe()
        if os.fork() == 0:
            client = Client(me, seed)
            try:
                client.run(seconds)
                said = {'done': client.done, 'made': client.made}
            except BaseException as error:
                said = {'error': f'client {me}: {error!r}'}
            os.write(w, json.dumps(said).encode())
            os._exit(0)
        os.close(w)
        pipes.append(r)
    done, made = {}, 0
    for r in pipes:
        said = json.loads(b''.join(iter(lambda: os.read(r, 65536), b'')))
        if 'error' in said:
            sys.exit(f'SEED={seed}: {said["error"]}')
        made += said['made']
        for name, times in said['done'].items():
            done[name] = done.get(name, 0) + times
    found = count()
    if found != before + made:
        sys.exit(f'SEED={seed}: {before} names were there, {made} more were made, {found} are there')
    print(json.dumps({'done': done, 'names': found}))


main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
