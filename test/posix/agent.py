"""
The hands of the POSIX table: makes the calls of one row after another, in a process that a row can do with as it likes.

Reads a JSON object a line: {"id", "base", "script"}. Makes a directory in "base", which goes again at the end; a
worker, a process forked for this, enters the directory (as root, umask 022) and runs the script, a piece of Python whose names are those below. What it gave to `out` comes back as a JSON
object a line: {"id", "out"} or {"id", "error"}. A row that lasts longer than LIMIT is an error.

To fork for each row took 35 ms of CPU. So a worker goes on with the next row, where the last one has left it as it was: the same
credentials, limits, signals and threads, no child and no mapping (as_before). Else the next row gets a new one.

In a script:
  out(value, ...)          results, as JSON; bytes become text (latin-1)
  t(f, *args, **kw)        f's value ('ok' for None), or the name of the errno that it raised
  p(name, ...)             a path below the row's directory; relative names work too, it is the working directory
  write(name, data), read(name), ls(name)    a whole file, a sorted listing
  as_user(ids, f)          f's value (or 'ok'), made in a thread with these credentials and its own descriptors (in /proc/thread-self/fd): ROOT, ALICE, BOB,
                           ALICE_STAFF (Alice, whose primary group is 2000, which is Bob's supplementary one), or
                           (uid, gid, [groups]); an OSError becomes its errno's name
  spawn(f)                 a process that runs f and is there until `join(it)`, which gives f's value
  mode(name), stat_of(name, 'mode', 'nlink', ...)   of lstat; mode is octal text
  libc calls that Python has not: renameat2, fallocate, statx_btime, name_to_handle, open_handle, setlk, getlk, ...
All of os, fcntl, errno, stat, mmap, struct, select, time, signal, socket, ctypes is there, and os's O_ flags
(O_TMPFILE, O_PATH, O_NOATIME, O_DIRECT included), F_ and LOCK_ of fcntl without prefix.
"""

import ctypes
import errno
import fcntl
import gc
import json
import mmap
import os
import select
import shutil
import signal
import socket
import stat
import struct
import sys
import tempfile
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)
for module in (os, fcntl, mmap):
    for name in dir(module):
        if name[:2] in ('O_', 'F_') or name[:5] in ('LOCK_', 'SEEK_', 'PROT_', 'XATTR') or name[:4] == 'MAP_':
            globals()[name] = getattr(module, name)
AT_FDCWD, AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, AT_SYMLINK_FOLLOW = -100, 0x1000, 0x100, 0x400
RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT = 1, 2, 4
KEEP_SIZE, PUNCH_HOLE, COLLAPSE_RANGE, ZERO_RANGE, INSERT_RANGE, UNSHARE_RANGE = 1, 2, 8, 16, 32, 64
F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW = 36, 37, 38

ROOT = (0, 0, [])
ALICE = (12345, 12345, [12345, 3000])
BOB = (12346, 12346, [12346, 2000])
ALICE_STAFF = (12345, 2000, [2000, 3000])

# Python knows it by its older name.
errno.errorcode[errno.EDEADLK] = 'EDEADLK'
PR_SET_PDEATHSIG = 1
# What a row may take, in seconds, and how long after that nobody waits for it any more.
LIMIT, GRACE = 20, 5
UMASK = 0o022
# The first descriptor that is a row's: a worker has its two pipes below.
FIRST = 5
# Of /proc/self/status.
KEPT = {'Umask', 'Uid', 'Gid', 'Groups', 'Threads', 'SigPnd', 'ShdPnd', 'SigBlk', 'SigIgn', 'SigCgt', 'NoNewPrivs'} | {
    'Cap' + each for each in ('Inh', 'Prm', 'Eff', 'Bnd', 'Amb')
}

results = []


def plain(value):
    if isinstance(value, bytes):
        return value.decode('latin-1')
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {str(plain(key)): plain(each) for key, each in value.items()}
    if isinstance(value, str):
        return value.encode('utf-8', 'surrogateescape').decode('latin-1') if any('\ud800' <= c <= '\udfff' for c in value) else value
    return value


def out(*values):
    results.extend(plain(value) for value in values)


def name_of(error):
    return errno.errorcode.get(error.errno, str(error))


def t(f, *args, **named):
    try:
        value = f(*args, **named)
        return 'ok' if value is None else value
    except OSError as error:
        return name_of(error)


def checked(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def call(name, *args):
    """A libc function by name: bytes and text as char *, numbers as long."""
    f = getattr(libc, name)
    f.restype = ctypes.c_long
    made = [
        ctypes.c_char_p(os.fsencode(each)) if isinstance(each, (str, bytes)) else ctypes.c_long(each) if isinstance(each, int) else each
        for each in args
    ]
    result = f(*made)
    # Functions that return int leave the upper half undefined.
    return checked(ctypes.c_int(result & 0xFFFFFFFF).value if name not in LONG else result)


LONG = {'copy_file_range', 'lseek', 'lseek64', 'pread', 'pwrite', 'readlink', 'getxattr', 'fgetxattr', 'syscall'}


def p(*names):
    return os.path.join(os.getcwd(), *names)


def write(name, data=b''):
    with open(name, 'wb') as file:
        file.write(data.encode() if isinstance(data, str) else data)


def read(name):
    with open(name, 'rb') as file:
        return file.read()


def ls(name='.'):
    return sorted(os.listdir(name))


def mode(name):
    return oct(os.lstat(name).st_mode)


def stat_of(name, *members):
    found = os.fstat(name) if isinstance(name, int) else os.lstat(name)
    return [getattr(found, 'st_' + member) for member in members]


def forked(f):
    """Runs f in a child; a function that waits for it and gives its value."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # it does not outlive the row
            os.close(reader)
            try:
                value = ('value', plain(f()))
                if value[1] is None:
                    value = ('value', 'ok')
            except OSError as error:
                value = ('value', name_of(error))
            except BaseException as error:  # to the parent, whatever it was
                value = ('bug', repr(error))
            with os.fdopen(writer, 'w') as file:
                file.write(json.dumps(value))
            status = 0
        finally:
            os._exit(status)
    os.close(writer)

    def wait():
        with os.fdopen(reader) as file:
            text = file.read()
        os.waitpid(pid, 0)
        kind, value = json.loads(text or '["bug", "the process was killed"]')
        if kind == 'bug':
            raise RuntimeError(value)
        return value

    wait.pid = pid
    return wait


spawn = forked


def join(process):
    return process()


def become(ids):
    uid, gid, groups = ids
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


CLONE_FS, CLONE_FILES = 0x200, 0x400
# The kernel's own calls, which change one thread; libc's change all. setgroups, setresgid, setresuid.
SET_IDS = {'x86_64': (116, 119, 117), 'aarch64': (159, 149, 147)}[os.uname().machine]


def as_user(ids, f):
    """
    In a thread that shares neither working directory, umask nor descriptors: nearly a process, for 1 ms instead of 30. It is
    gone, and has closed what it opened, before its value is given. What it has open is in /proc/thread-self/fd.
    """
    found = []

    def body():
        try:
            call('unshare', CLONE_FS | CLONE_FILES)
            uid, gid, groups = ids
            for number, args in zip(SET_IDS, ((len(groups), (ctypes.c_uint32 * len(groups))(*groups)), (gid, gid, gid), (uid, uid, uid))):
                call('syscall', number, *args)
            value = plain(f())
            found.append('ok' if value is None else value)
        except OSError as error:
            found.append(name_of(error))
        except BaseException as error:  # to who asked, whatever it was
            found.extend((None, repr(error)))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    while os.path.exists(f'/proc/self/task/{thread.native_id}'):  # join() comes first
        os.sched_yield()
    if len(found) > 1:
        raise RuntimeError(found[1])
    return found[0]


def renameat2(old, new, flags):
    call('renameat2', AT_FDCWD, old, AT_FDCWD, new, flags)


def fallocate(fd, how, offset, length):
    call('fallocate', fd, how, offset, length)


def copy_range(source, off_in, target, off_out, length):
    """copy_file_range(2) until everything is copied or nothing more comes; the bytes copied."""
    done = 0
    while done < length:
        n = os.copy_file_range(source, target, length - done, off_in + done, off_out + done)
        if n == 0:
            break
        done += n
    return done


def statx(name, mask=0xFFF, flags=AT_SYMLINK_NOFOLLOW):
    """statx(2) as a dictionary: mask, btime, and what stat has."""
    buffer = ctypes.create_string_buffer(256)
    call('statx', AT_FDCWD, name, flags, mask, buffer)
    found, blksize = struct.unpack_from('<II', buffer, 0)
    nlink, uid, gid, mode_ = struct.unpack_from('<IIIH', buffer, 16)
    ino, size, blocks = struct.unpack_from('<QQQ', buffer, 32)
    times = {key: struct.unpack_from('<qI', buffer, at) for key, at in (('atime', 64), ('btime', 80), ('ctime', 96), ('mtime', 112))}
    return dict(mask=found, nlink=nlink, uid=uid, gid=gid, mode=mode_, size=size, blocks=blocks, **times)


def name_to_handle(name, flags=0):
    """name_to_handle_at(2): (type, bytes)."""
    buffer = ctypes.create_string_buffer(8 + 128)
    struct.pack_into('<Ii', buffer, 0, 128, 0)
    mount = ctypes.c_int()
    call('name_to_handle_at', AT_FDCWD, name, buffer, ctypes.byref(mount), flags)
    length, kind = struct.unpack_from('<Ii', buffer, 0)
    return kind, buffer.raw[8 : 8 + length]


def open_handle(handle, flags=os.O_RDONLY, mount='.'):
    """open_by_handle_at(2) in the mount of a directory: a descriptor."""
    kind, data = handle
    buffer = ctypes.create_string_buffer(struct.pack('<Ii', len(data), kind) + data)
    at = os.open(mount, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return call('open_by_handle_at', at, buffer, flags)
    finally:
        os.close(at)


def flock_struct(kind, start, length, whence=0):
    return struct.pack('<hh4xqqi4x', kind, whence, start, length, 0)


def setlk(fd, kind, start=0, length=0, command=fcntl.F_SETLK, whence=0):
    """fcntl(2) locks: kind F_RDLCK, F_WRLCK, F_UNLCK; command F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW."""
    fcntl.fcntl(fd, command, flock_struct(kind, start, length, whence))


def getlk(fd, kind, start=0, length=0, command=fcntl.F_GETLK):
    """(type, start, length) of the lock that is in the way, or ('UNLCK',)."""
    found, _, at, size, _pid = struct.unpack('<hh4xqqi4x', fcntl.fcntl(fd, command, flock_struct(kind, start, length)))
    if found == fcntl.F_UNLCK:
        return ['UNLCK']
    return [{fcntl.F_RDLCK: 'RDLCK', fcntl.F_WRLCK: 'WRLCK'}[found], at, size]


def run_row(row):
    os.chdir(row['dir'])
    os.umask(UMASK)
    signal.alarm(LIMIT)
    results.clear()
    exec(compile(row['script'], '<row>', 'exec'), dict(globals()))
    return list(results)


def state():
    """What a row may change in its process, but for what is put back below: a file's words that differ do so for good."""
    with open('/proc/self/status') as status, open('/proc/self/limits') as limits:
        kept = [line for line in status if line.split(':')[0] in KEPT]
        return kept, limits.read(), os.readlink('/proc/self/ns/mnt'), os.readlink('/proc/self/root')


def as_before(row, before):
    """Puts back what a row that is over has left; whether the process is what it was, and serves for another one."""
    signal.alarm(0)
    os.chdir('/')
    os.umask(UMASK)
    # Files that the row's functions keep are closed now: later that would be the next row's descriptor of that number.
    gc.collect()
    os.closerange(FIRST, 1 << 30)
    if 'mmap' in row['script']:  # what is mapped is not seen here
        return False
    try:
        os.waitpid(-1, os.WNOHANG)
        return False  # a child is left, or was
    except ChildProcessError:
        pass
    try:
        return state() == before
    except OSError:  # no descriptor may be left
        return False


def mistake(error):
    """A row's, told to whoever reads the test."""
    at = error.__traceback__.tb_next and error.__traceback__.tb_next.tb_next
    return {'error': f'{type(error).__name__}: {error} (line {getattr(at, "tb_lineno", "?")} of the row)'}


def work(rows, answers):
    """Runs rows as long as they leave the process as it was. What a fork of one is asked for, it never answers."""
    os.setsid()
    as_user(ROOT, os.getpid)  # libc takes a signal for itself with the first thread
    gc.freeze()  # what is there now is never garbage: a collection sees what rows made alone
    before, me = state(), os.getpid()
    for line in rows:
        row = json.loads(line)
        try:
            answer = {'out': run_row(row)}
        except BaseException as error:
            answer = mistake(error)
        if os.getpid() != me:
            return
        stays = 'out' in answer and as_before(row, before)
        answers.write(json.dumps({**answer, 'stays': stays}) + '\n')
        answers.flush()
        if not stays:
            return


class Worker:
    """A process for rows, in a session of its own. All that a row leaves running ends with it."""

    def __init__(self):
        rows, self.rows = os.pipe()
        self.answers, answers = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self.rows)
                os.close(self.answers)
                os.dup2(rows, 3)
                os.dup2(answers, 4)
                os.closerange(FIRST, 1 << 30)
                work(os.fdopen(3), os.fdopen(4, 'w'))
            finally:
                os._exit(0)
        os.close(rows)
        os.close(answers)

    def run(self, row):
        """A row's answer, and whether the worker has ended with it. Another process may still hold the pipe: its end is not waited for."""
        os.write(self.rows, (json.dumps(row) + '\n').encode())
        text, ended, late = b'', False, time.monotonic() + LIMIT + GRACE
        while not text.endswith(b'\n'):
            if select.select([self.answers], [], [], 0 if ended else 0.1)[0]:
                piece = os.read(self.answers, 1 << 16)
                text += piece
                if not piece:
                    break
            elif ended:  # and all that it wrote is read
                break
            else:
                ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
                if time.monotonic() > late:
                    os.killpg(self.pid, signal.SIGKILL)
        if text.endswith(b'\n'):
            answer = json.loads(text)
            return answer, not answer.pop('stays')
        return {'error': 'the row hung or was killed'}, True

    def end(self):
        os.close(self.rows)
        os.close(self.answers)
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        try:
            os.killpg(self.pid, signal.SIGKILL)  # what the row left running
        except ProcessLookupError:
            pass
        os.waitpid(self.pid, 0)


def main():
    worker = None
    for line in sys.stdin:
        row = json.loads(line)
        row['dir'] = tempfile.mkdtemp(prefix='row-', dir=row['base'])
        os.chmod(row['dir'], 0o755)
        worker = worker or Worker()
        answer, over = worker.run(row)
        if over:
            worker.end()
            worker = None
        shutil.rmtree(row['dir'], ignore_errors=True)
        print(json.dumps({'id': row['id'], **answer}), flush=True)
    if worker:
        worker.end()


if __name__ == '__main__':
    main()
