"""
The hands of the POSIX table: makes the calls of one row after another, each row in a process of its own.

Reads a JSON object a line: {"id", "base", "script"}. Makes a directory in "base", which goes again at the end, and
forks; the child enters the directory (as root, umask 022) and runs the script, a piece of Python whose names are those below. What it gave to `out` comes back as a JSON
object a line: {"id", "out"} or {"id", "error"}. A row that lasts longer than LIMIT is an error.

In a script:
  out(value, ...)          results, as JSON; bytes become text (latin-1)
  t(f, *args, **kw)        f's value ('ok' for None), or the name of the errno that it raised
  p(name, ...)             a path below the row's directory; relative names work too, it is the working directory
  write(name, data), read(name), ls(name)    a whole file, a sorted listing
  as_user(ids, f)          f's value (or 'ok'), made in a process with these credentials: ROOT, ALICE, BOB,
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


def as_user(ids, f):
    def body():
        become(ids)
        return f()

    return forked(body)()


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
    os.umask(0o022)
    signal.alarm(LIMIT)
    exec(compile(row['script'], '<row>', 'exec'), globals())
    return results


def answer_of(pid, reader):
    """What a row's process wrote, and how it ended. Another process may still hold the pipe: its end is not waited for."""
    text, ended, late = b'', False, time.monotonic() + LIMIT + GRACE
    while True:
        if select.select([reader], [], [], 0 if ended else 0.1)[0]:
            piece = os.read(reader, 1 << 16)
            text += piece
            if not piece:
                break
        elif ended:  # and all that it wrote is read
            break
        else:
            ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
            if time.monotonic() > late:
                os.killpg(pid, signal.SIGKILL)
    os.close(reader)
    _, status = os.waitpid(pid, 0)
    try:
        os.killpg(pid, signal.SIGKILL)  # what the row left running
    except ProcessLookupError:
        pass
    return text, status


def main():
    for line in sys.stdin:
        row = json.loads(line)
        row['dir'] = tempfile.mkdtemp(prefix='row-', dir=row['base'])
        os.chmod(row['dir'], 0o755)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            os.setsid()
            try:
                answer = {'out': run_row(row)}
            except BaseException as error:  # a row's mistake, told to whoever reads the test
                answer = {'error': f'{type(error).__name__}: {error} (line {getattr(error.__traceback__.tb_next and error.__traceback__.tb_next.tb_next, "tb_lineno", "?")} of the row)'}
            with os.fdopen(writer, 'w') as file:
                file.write(json.dumps(answer))
            os._exit(0)
        os.close(writer)
        text, status = answer_of(pid, reader)
        answer = json.loads(text) if text else {'error': f'the row ended with status {status}: it hung or was killed'}
        shutil.rmtree(row['dir'], ignore_errors=True)
        print(json.dumps({'id': row['id'], **answer}), flush=True)


if __name__ == '__main__':
    main()
