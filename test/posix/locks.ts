/**
 * Rows about locks: those of fcntl(2) that belong to a process and those that belong to an open file, lockf(3), flock(2),
 * and leases.
 */
import type { Table } from './table.ts';
import { py } from './words.ts';

/**
 * keep(f): a process that has run f, and stays until end(it), which gives f's value, or kill(it). waits(it): whether a
 * process, or the thread of an id, has come to wait in a call that may wait for a lock; false where it ended instead: a call
 * that may not can be seen asleep too, as it waits for its answer. No process stays longer than the row's own.
 */
const KEEP = py`
  def keep(f):
      ready, go = os.pipe(), os.pipe()
      def body():
          value = t(f)
          os.write(ready[1], b'x')
          os.read(go[0], 1)
          return value
      process = spawn(body)
      os.read(ready[0], 1)
      process.go = go[1]
      return process

  def end(process):
      os.write(process.go, b'x')
      return join(process)

  def kill(process):
      os.kill(process.pid, signal.SIGKILL)
      os.waitpid(process.pid, 0)

  def waits(who):
      at = f'/proc/{who if isinstance(who, int) else who.pid}'
      while True:
          try:
              call = read(at + '/syscall').split()
              state = read(at + '/stat').rsplit(b')', 1)[1].split()[0]
          except (FileNotFoundError, ProcessLookupError):
              return False
          if state == b'Z':
              return False
          if state == b'S' and call[0] in CALLS and CALLS[call[0]](int(call[2], 16)):
              return True
          time.sleep(0.001)

  waiting = (lambda command: command in (F_SETLKW, F_OFD_SETLKW), lambda operation: not operation & LOCK_NB)
  CALLS = dict(zip({'x86_64': (b'72', b'73'), 'aarch64': (b'25', b'32')}[os.uname().machine], waiting))
  rw = lambda name='f': os.open(name, O_RDWR | O_CREAT, 0o644)
  wait_for = lambda kind, start=0, length=0, name='f': spawn(lambda: setlk(rw(name), kind, start, length, F_SETLKW))
  get = lambda kind=F_WRLCK, start=0, length=0, name='f': spawn(lambda: getlk(rw(name), kind, start, length))
  other = lambda kind, start=0, length=0, name='f': join(spawn(lambda: setlk(rw(name), kind, start, length)))
  seen = lambda kind=F_WRLCK, start=0, length=0, name='f': join(get(kind, start, length, name))
`;

/** thread(f): a thread that runs f, with .value() to wait for what it gave, and .native_id. */
const THREAD = py`
  def thread(f):
      results = []
      made = threading.Thread(target=lambda: results.append(t(f)), daemon=True)
      made.start()
      made.value = lambda: (made.join(), results[0])[1]
      return made
`;

const records: Table = {
  'fcntl F_SETLK: readers share, and keep a writer out with EAGAIN': py`
    ${KEEP}
    one = keep(lambda: setlk(rw(), F_RDLCK))
    out(other(F_RDLCK), other(F_WRLCK), end(one), other(F_WRLCK))`,
  'fcntl F_SETLK: a writer keeps all others out': py`
    ${KEEP}
    setlk(rw(), F_WRLCK)
    out(other(F_RDLCK), other(F_WRLCK))`,
  'fcntl F_SETLK: a process is never in its own way': py`
    ${KEEP}
    a, b = rw(), rw()
    setlk(a, F_RDLCK)
    out(t(setlk, b, F_WRLCK), t(setlk, a, F_RDLCK), t(setlk, b, F_RDLCK), getlk(a, F_WRLCK), seen())`,
  'fcntl F_SETLK: conflicts are to the byte': py`
    ${KEEP}
    setlk(rw(), F_WRLCK, 10, 10)
    out(other(F_WRLCK, 0, 10), other(F_WRLCK, 20, 5), other(F_RDLCK, 0, 11), other(F_RDLCK, 19, 1), other(F_RDLCK, 12, 2), other(F_WRLCK, 20))`,
  'fcntl F_SETLK: length 0 goes to whatever the end will be': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_WRLCK, 5)
    os.ftruncate(fd, 1 << 20)
    out(seen(F_WRLCK), other(F_RDLCK, 1 << 40, 1), other(F_RDLCK, (1 << 63) - 1, 1), other(F_WRLCK, 0, 5))`,
  'fcntl F_SETLK: a negative length lies before the start': py`
    ${KEEP}
    setlk(rw(), F_WRLCK, 10, -4)
    out(seen(), other(F_WRLCK, 10, 1), other(F_WRLCK, 5, 1), other(F_WRLCK, 6, 1))`,
  'fcntl F_SETLK: SEEK_CUR counts from where the descriptor stands': py`
    ${KEEP}
    fd = rw()
    os.lseek(fd, 100, SEEK_SET)
    setlk(fd, F_WRLCK, 5, 10, F_SETLK, SEEK_CUR)
    setlk(fd, F_RDLCK, -5, 5, F_SETLK, SEEK_CUR)
    out(seen(F_RDLCK), seen(F_WRLCK), os.lseek(fd, 0, SEEK_CUR))`,
  'fcntl F_SETLK: SEEK_END counts from the size': py`
    ${KEEP}
    fd = rw()
    os.ftruncate(fd, 1000)
    setlk(fd, F_WRLCK, -10, 20, F_SETLK, SEEK_END)
    out(seen())
    os.ftruncate(fd, 2000)
    setlk(fd, F_WRLCK, -1, 0, F_SETLK, SEEK_END)
    out(seen(F_WRLCK, 1500), seen())`,
  'fcntl F_SETLK: the last byte that there can be': py`
    ${KEEP}
    fd, top = rw(), (1 << 63) - 1
    out(t(setlk, fd, F_WRLCK, top, 1), str(seen()), other(F_WRLCK, top, 1), other(F_WRLCK, 0, top))`,
  'fcntl F_SETLK: a range that ends behind the last byte is EOVERFLOW': py`
    ${KEEP}
    fd, top = rw(), (1 << 63) - 1
    out(t(setlk, fd, F_WRLCK, top, 2), t(setlk, fd, F_WRLCK, 2, top), t(getlk, fd, F_WRLCK, top, 2))
    os.lseek(fd, 10, SEEK_SET)
    out(t(setlk, fd, F_WRLCK, top, 1, F_SETLK, SEEK_CUR))`,
  'fcntl F_SETLK: a range that begins before the first byte is EINVAL': py`
    ${KEEP}
    fd = rw()
    out(t(setlk, fd, F_WRLCK, -1, 2), t(setlk, fd, F_WRLCK, 4, -5), t(setlk, fd, F_WRLCK, -1, 1, F_SETLK, SEEK_CUR), t(setlk, fd, F_WRLCK, -1, 1, F_SETLK, SEEK_END), t(getlk, fd, F_WRLCK, -1, 2))`,
  'fcntl F_SETLK: an unknown type or whence is EINVAL': py`
    ${KEEP}
    fd = rw()
    out(t(setlk, fd, 7), t(setlk, fd, -1), t(setlk, fd, F_WRLCK, 0, 0, F_SETLK, 7), t(setlk, fd, F_WRLCK, 0, 0, F_SETLK, -1))`,
  'fcntl F_SETLK: a bad address is EFAULT': py`
    ${KEEP}
    fd = rw()
    out(t(call, 'fcntl', fd, F_SETLK, 1), t(call, 'fcntl', fd, F_GETLK, 1), t(call, 'fcntl', fd, F_OFD_SETLK, 1))`,
  'fcntl F_SETLK: reading needs a descriptor that can read, writing one that can write: EBADF': py`
    ${KEEP}
    os.close(rw())
    r, w = os.open('f', O_RDONLY), os.open('f', O_WRONLY)
    out(t(setlk, r, F_WRLCK), t(setlk, w, F_RDLCK), t(setlk, r, F_RDLCK), t(setlk, w, F_WRLCK), t(setlk, r, F_UNLCK), t(getlk, r, F_WRLCK), t(getlk, w, F_RDLCK))`,
  'fcntl F_SETLK: what is no descriptor, or only a path, is EBADF': py`
    ${KEEP}
    os.close(rw())
    out(t(setlk, 999, F_RDLCK), t(getlk, 999, F_RDLCK), t(setlk, os.open('f', O_PATH), F_RDLCK), t(setlk, os.open('f', O_PATH), F_UNLCK), t(getlk, os.open('f', O_PATH), F_RDLCK))`,
  'fcntl F_SETLK: who may only read may lock for reading': py`
    ${KEEP}
    write('f', 'x')
    out(as_user(ALICE, lambda: setlk(os.open('f', O_RDONLY), F_RDLCK)), as_user(ALICE, lambda: setlk(os.open('f', O_RDONLY), F_WRLCK)))`,
  'fcntl F_SETLK: an unlock in the middle splits': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_WRLCK, 0, 30)
    setlk(fd, F_UNLCK, 10, 10)
    out(seen(), seen(F_WRLCK, 10), other(F_WRLCK, 10, 10), other(F_WRLCK, 9, 1), other(F_WRLCK, 20, 1))`,
  'fcntl F_SETLK: unlocking from the middle to the end, and what is not locked': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_WRLCK, 0, 30)
    setlk(fd, F_UNLCK, 10)
    out(seen(), t(setlk, fd, F_UNLCK, 100, 5), t(setlk, fd, F_UNLCK), t(setlk, fd, F_UNLCK), seen())`,
  'fcntl F_SETLK: ranges that touch or overlap become one': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_WRLCK, 0, 10)
    setlk(fd, F_WRLCK, 10, 10)
    out(seen())
    setlk(fd, F_WRLCK, 40, 10)
    setlk(fd, F_WRLCK, 15, 30)
    out(seen())`,
  'fcntl F_SETLK: a writer that turns to reading in the middle makes three': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_WRLCK, 0, 30)
    setlk(fd, F_RDLCK, 10, 10)
    out(seen(), seen(F_WRLCK, 10), seen(F_WRLCK, 20), seen(F_RDLCK, 10), other(F_RDLCK, 10, 10))
    setlk(fd, F_WRLCK, 10, 10)
    out(seen())`,
  'fcntl F_SETLK: one over many replaces them': py`
    ${KEEP}
    fd = rw()
    for i in range(0, 100, 10):
        setlk(fd, F_WRLCK if i % 20 else F_RDLCK, i, 5)
    setlk(fd, F_RDLCK, 2, 90)
    out(seen(), seen(F_WRLCK, 92), seen(F_RDLCK))`,
  'fcntl F_SETLK: a reader becomes the writer if it is alone, and stays reader if not': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_RDLCK)
    one = keep(lambda: setlk(rw(), F_RDLCK))
    out(t(setlk, fd, F_WRLCK), seen(F_WRLCK), end(one), t(setlk, fd, F_WRLCK), seen())`,
  'fcntl F_SETLK: holds for all names of a file, and for no other file': py`
    ${KEEP}
    setlk(rw(), F_WRLCK)
    os.link('f', 'g')
    os.symlink('f', 's')
    out(other(F_RDLCK, name='g'), other(F_RDLCK, name='s'), other(F_RDLCK, name='h'))`,
  'fcntl F_SETLK: goes with the file through rename and unlink': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_WRLCK)
    os.rename('f', 'g')
    out(other(F_RDLCK, name='g'), other(F_RDLCK, name='f'))
    again = os.open('g', O_RDWR)
    os.unlink('g')
    out(join(spawn(lambda: setlk(again, F_RDLCK))), other(F_RDLCK, name='g'))`,
  'fcntl F_SETLK: does not keep anybody from reading, writing or truncating': py`
    ${KEEP}
    write('f', 'abc')
    setlk(rw(), F_WRLCK)
    out(join(spawn(lambda: [read('f'), write('f', 'xy'), os.truncate('f', 1), read('f')])))`,
  'fcntl F_SETLK: a directory can be locked for reading': py`
    ${KEEP}
    fd = os.open('.', O_RDONLY)
    out(t(setlk, fd, F_RDLCK), t(setlk, fd, F_WRLCK), join(spawn(lambda: setlk(os.open('.', O_RDONLY), F_RDLCK))))`,
  'fcntl F_SETLK: closing any descriptor of the file drops all': py`
    ${KEEP}
    fd = rw()
    for how in (lambda: os.close(rw()), lambda: os.close(os.open('f', O_RDONLY)), lambda: os.close(os.dup(fd)), lambda: os.dup2(os.open('/dev/null', O_RDONLY), rw())):
        setlk(fd, F_WRLCK)
        before = seen()
        how()
        out(before, seen())`,
  'fcntl F_SETLK: closing a descriptor of another file drops nothing': py`
    ${KEEP}
    fd, g = rw(), rw('g')
    setlk(fd, F_WRLCK)
    setlk(g, F_WRLCK)
    os.close(rw('h'))
    os.close(g)
    out(seen(), seen(name='g'))`,
  'fcntl F_SETLK: closing a descriptor that is but a path drops nothing': py`
    ${KEEP}
    setlk(rw(), F_WRLCK)
    os.close(os.open('f', O_PATH))
    out(seen())`,
  'fcntl F_SETLK: reading the attributes, renaming, or truncating by name drops nothing': py`
    ${KEEP}
    setlk(rw(), F_WRLCK)
    os.stat('f'), os.truncate('f', 5), os.chmod('f', 0o600), os.rename('f', 'g'), os.rename('g', 'f')
    out(seen())`,
  'fcntl F_SETLK: a child does not inherit, and what it closes drops nothing of its parent': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_WRLCK)
    out(join(spawn(lambda: [t(setlk, fd, F_RDLCK), getlk(fd, F_RDLCK), os.close(fd)])), seen())`,
  'fcntl F_SETLK: what a child locks through an inherited descriptor belongs to the child': py`
    ${KEEP}
    fd = rw()
    child = keep(lambda: setlk(fd, F_WRLCK))
    out(t(setlk, fd, F_RDLCK), getlk(fd, F_RDLCK), t(setlk, fd, F_UNLCK), getlk(fd, F_RDLCK), end(child), getlk(fd, F_RDLCK))`,
  'fcntl F_SETLK: exec keeps the locks of descriptors that stay': py`
    ${KEEP}
    tell, go = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        fd = rw()
        setlk(fd, F_WRLCK)
        for each in (fd, tell[1], go[0]):
            os.set_inheritable(each, True)
        os.execvp('sh', ['sh', '-c', f'echo x >&{tell[1]}; read y <&{go[0]}'])
    os.read(tell[0], 1)
    out(seen())
    os.write(go[1], b'y\n')
    os.waitpid(pid, 0)
    out(seen())`,
  'fcntl F_SETLK: exec drops those of descriptors that it closes': py`
    ${KEEP}
    tell, go = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        setlk(rw(), F_WRLCK)
        for each in (tell[1], go[0]):
            os.set_inheritable(each, True)
        os.execvp('sh', ['sh', '-c', f'echo x >&{tell[1]}; read y <&{go[0]}'])
    os.read(tell[0], 1)
    out(seen())
    os.write(go[1], b'y\n')
    os.waitpid(pid, 0)`,
  'fcntl F_SETLK: exit and a kill drop what the process had': py`
    ${KEEP}
    one, two = keep(lambda: setlk(rw(), F_WRLCK, 0, 5)), keep(lambda: setlk(rw(), F_WRLCK, 5, 5))
    before = [seen(F_WRLCK, 0, 5), seen(F_WRLCK, 5)]
    out(before, end(one), seen())
    kill(two)
    out(seen())`,
  'fcntl F_SETLK: threads are one owner': py`
    ${KEEP}
    ${THREAD}
    setlk(rw(), F_WRLCK)
    out(thread(lambda: setlk(rw(), F_WRLCK)).value(), thread(lambda: getlk(rw(), F_WRLCK)).value())`,
  'fcntl F_SETLK: many ranges of many files': py`
    ${KEEP}
    a, b = rw('a'), rw('b')
    for i in range(200):
        setlk(a, F_WRLCK, 2 * i, 1)
        setlk(b, F_WRLCK, 2 * i + 1, 1)
    def probe():
        x, y = rw('a'), rw('b')
        return [sum(t(setlk, fd, F_RDLCK, i, 1) == 'ok' for i in range(400)) for fd in (x, y)]
    out(join(spawn(probe)))`,
};

const asking: Table = {
  'fcntl F_GETLK: tells of nothing where nothing is in the way, and leaves the rest of what it was given': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_WRLCK)
    out(struct.unpack('<hh4xqqi4x', fcntl.fcntl(fd, F_GETLK, struct.pack('<hh4xqqi4x', F_WRLCK, SEEK_SET, 5, 7, 77))))`,
  'fcntl F_GETLK: names the process, and counts from the start of the file': py`
    ${KEEP}
    one = keep(lambda: setlk(rw(), F_WRLCK, 100, 50))
    fd = rw()
    os.lseek(fd, 90, SEEK_SET)
    found = struct.unpack('<hh4xqqi4x', fcntl.fcntl(fd, F_GETLK, struct.pack('<hh4xqqi4x', F_RDLCK, SEEK_CUR, 0, 0, 0)))
    out(found[:4], found[4] == one.pid)`,
  'fcntl F_GETLK: tells of the lock that is in the way alone': py`
    ${KEEP}
    one = keep(lambda: [setlk(rw(), F_RDLCK, 0, 10), setlk(rw(), F_WRLCK, 20, 10)])
    fd = rw()
    out(getlk(fd, F_RDLCK), getlk(fd, F_WRLCK), getlk(fd, F_WRLCK, 10, 10), getlk(fd, F_RDLCK, 0, 20), getlk(fd, F_RDLCK, 25, 1))`,
  'fcntl F_GETLK: of several processes, whoever came first': py`
    ${KEEP}
    one = keep(lambda: setlk(rw(), F_RDLCK, 50, 10))
    two = keep(lambda: setlk(rw(), F_RDLCK, 0, 10))
    out(seen(), seen(F_WRLCK, 0, 20))
    end(one)
    out(seen())`,
  'fcntl F_GETLK: to ask about F_UNLCK is EINVAL': py`
    ${KEEP}
    out(t(getlk, rw(), F_UNLCK), t(getlk, rw(), 9))`,
  'fcntl F_GETLK: takes nothing and waits for nothing': py`
    ${KEEP}
    one = keep(lambda: getlk(rw(), F_WRLCK))
    out(seen(), end(one))`,
};

const waiting: Table = {
  'fcntl F_SETLKW: is done at once where nobody is in the way': py`
    ${KEEP}
    fd = rw()
    out(t(setlk, fd, F_WRLCK, 0, 0, F_SETLKW), t(setlk, fd, F_RDLCK, 0, 0, F_SETLKW), t(setlk, fd, F_UNLCK, 0, 0, F_SETLKW), seen())`,
  'fcntl F_SETLKW: waits until the holder unlocks': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_WRLCK)
    one = wait_for(F_WRLCK)
    out(waits(one))
    setlk(fd, F_UNLCK)
    out(join(one))`,
  'fcntl F_SETLKW: waits until the holder closes, or closes another descriptor of the file': py`
    ${KEEP}
    for how in (lambda fd: os.close(fd), lambda fd: os.close(os.dup(fd))):
        fd = rw()
        setlk(fd, F_WRLCK)
        one = wait_for(F_RDLCK)
        waited = waits(one)
        how(fd)
        out(waited, join(one))`,
  'fcntl F_SETLKW: waits until the holder exits, or is killed': py`
    ${KEEP}
    for how in (end, kill):
        holder = keep(lambda: setlk(rw(), F_WRLCK))
        one = wait_for(F_WRLCK)
        waited = waits(one)
        how(holder)
        out(waited, join(one))`,
  'fcntl F_SETLKW: a reader waits until the writer reads': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_WRLCK)
    one = wait_for(F_RDLCK)
    waited = waits(one)
    setlk(fd, F_RDLCK)
    out(waited, join(one))`,
  'fcntl F_SETLKW: waits for its own bytes alone': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_WRLCK, 0, 100)
    one, two = wait_for(F_WRLCK, 10, 5), wait_for(F_WRLCK, 90, 5)
    out(waits(one), waits(two))
    setlk(fd, F_UNLCK, 0, 50)
    out(join(one), waits(two))
    setlk(fd, F_UNLCK, 50, 50)
    out(join(two))`,
  'fcntl F_SETLKW: waits for all that is in the way': py`
    ${KEEP}
    one, two = keep(lambda: setlk(rw(), F_RDLCK, 0, 5)), keep(lambda: setlk(rw(), F_RDLCK, 5, 5))
    three = wait_for(F_WRLCK)
    out(waits(three), end(one), waits(three), end(two), join(three))`,
  'fcntl F_SETLKW: whoever came first is first': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_WRLCK)
    order = os.open('order', O_WRONLY | O_CREAT | O_APPEND)
    def mine(i):
        mine = rw()
        setlk(mine, F_WRLCK, 0, 0, F_SETLKW)
        os.write(order, b'%d' % i)
    queue = []
    for i in range(5):
        queue.append(spawn(lambda: mine(i)))
        waits(queue[-1])
    setlk(fd, F_UNLCK)
    out([join(each) for each in queue], read('order'))`,
  'fcntl F_SETLKW: readers that wait get it together': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_WRLCK)
    def both():
        setlk(rw(), F_RDLCK, 0, 0, F_SETLKW)
        os.write(a[1], b'x')
        os.read(b[0], 1)
    a, b = os.pipe(), os.pipe()
    one, two = spawn(both), spawn(both)
    out(waits(one), waits(two))
    setlk(fd, F_UNLCK)
    os.read(a[0], 1), os.read(a[0], 1)
    out(seen(F_RDLCK), seen())
    os.write(b[1], b'xx')
    out(join(one), join(two))`,
  'fcntl F_SETLKW: one that waits is in the way of nobody': py`
    ${KEEP}
    one = keep(lambda: setlk(rw(), F_RDLCK))
    two = wait_for(F_WRLCK)
    out(waits(two), other(F_RDLCK), seen(F_RDLCK), end(one), join(two))`,
  'fcntl F_SETLKW: what it has already stays while it waits to change it': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_RDLCK)
    def change():
        mine = rw()
        setlk(mine, F_RDLCK)
        setlk(mine, F_WRLCK, 0, 0, F_SETLKW)
        return getlk(mine, F_WRLCK)
    one = spawn(change)
    waited = waits(one)
    out(waited, t(setlk, fd, F_WRLCK), t(setlk, fd, F_UNLCK), join(one))`,
  'fcntl F_SETLKW: a signal ends it with EINTR': py`
    ${KEEP}
    setlk(rw(), F_WRLCK)
    def body():
        signal.signal(signal.SIGUSR1, lambda *_: None)
        signal.siginterrupt(signal.SIGUSR1, True)
        call('fcntl', rw(), F_SETLKW, flock_struct(F_WRLCK, 0, 0))
    one = spawn(body)
    waited = waits(one)
    os.kill(one.pid, signal.SIGUSR1)
    out(waited, join(one), seen())`,
  'fcntl F_SETLKW: a timer ends it with EINTR': py`
    ${KEEP}
    setlk(rw(), F_WRLCK)
    def body():
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.siginterrupt(signal.SIGALRM, True)
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        call('fcntl', rw(), F_SETLKW, flock_struct(F_RDLCK, 0, 0))
    out(join(spawn(body)))`,
  'fcntl F_SETLKW: a signal whose handler restarts calls lets it wait on': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_WRLCK)
    came = os.pipe()
    def body():
        os.set_blocking(came[1], False)
        signal.signal(signal.SIGUSR1, lambda *_: None)
        signal.siginterrupt(signal.SIGUSR1, False)
        signal.set_wakeup_fd(came[1])
        mine = rw()
        call('fcntl', mine, F_SETLKW, flock_struct(F_WRLCK, 0, 0))
        return getlk(mine, F_WRLCK)
    one = spawn(body)
    waited = waits(one)
    os.kill(one.pid, signal.SIGUSR1)
    os.read(came[0], 1)
    out(waited, waits(one))
    setlk(fd, F_UNLCK)
    out(join(one))`,
  'fcntl F_SETLKW: one that is killed while it waits leaves the queue': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_WRLCK)
    one = wait_for(F_WRLCK)
    two = waits(one) and wait_for(F_WRLCK)
    waited = waits(two)
    kill(one)
    setlk(fd, F_UNLCK)
    out(waited, join(two), seen())`,
  'fcntl F_SETLKW: two that wait for each other are a deadlock: EDEADLK': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_WRLCK, 0, 1)
    def body():
        mine = rw()
        setlk(mine, F_WRLCK, 1, 1)
        setlk(mine, F_WRLCK, 0, 1, F_SETLKW)
    one = spawn(body)
    waited = waits(one)
    out(waited, t(setlk, fd, F_WRLCK, 1, 1, F_SETLKW), seen(F_WRLCK, 0, 1))
    setlk(fd, F_UNLCK, 0, 1)
    out(join(one))`,
  'fcntl F_SETLKW: a deadlock of three, over three files': py`
    ${KEEP}
    fd = rw('0')
    setlk(fd, F_WRLCK)
    ready = os.pipe()
    def body(mine, next):
        setlk(rw(mine), F_WRLCK)
        os.write(ready[1], b'x')
        setlk(rw(next), F_WRLCK, 0, 0, F_SETLKW)
    two = spawn(lambda: body('2', '0'))
    os.read(ready[0], 1)
    one = spawn(lambda: body('1', '2'))
    os.read(ready[0], 1) # it has its own: what it is seen to wait for is the other
    out(waits(two), waits(one), t(setlk, rw('1'), F_WRLCK, 0, 0, F_SETLKW))
    os.close(fd)
    out(join(two), join(one))`,
  'fcntl F_SETLKW: two readers that both wait to write are a deadlock': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_RDLCK)
    def body():
        mine = rw()
        setlk(mine, F_RDLCK)
        setlk(mine, F_WRLCK, 0, 0, F_SETLKW)
    one = spawn(body)
    waited = waits(one)
    out(waited, t(setlk, fd, F_WRLCK, 0, 0, F_SETLKW), t(setlk, fd, F_UNLCK), join(one))`,
  'fcntl F_SETLKW: who shares a descriptor by fork can deadlock too': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_WRLCK, 0, 1)
    one = spawn(lambda: [setlk(fd, F_WRLCK, 1, 1), setlk(fd, F_WRLCK, 0, 1, F_SETLKW)])
    waited = waits(one)
    out(waited, t(setlk, fd, F_WRLCK, 1, 1, F_SETLKW), t(setlk, fd, F_UNLCK), join(one))`,
  'fcntl F_SETLKW: a circle is none without a wait, or when one of them does not wait': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_WRLCK, 0, 1)
    one = spawn(lambda: [setlk(rw(), F_WRLCK, 1, 1), setlk(rw(), F_WRLCK, 0, 1, F_SETLKW)])
    two = waits(one) and wait_for(F_WRLCK, 0, 2)
    out(waits(two), t(setlk, fd, F_WRLCK, 1, 1), t(setlk, fd, F_UNLCK), join(one), join(two))`,
};

const openFiles: Table = {
  'fcntl F_OFD_SETLK: two opens of one process are two owners': py`
    ${KEEP}
    a, b = rw(), rw()
    out(t(setlk, a, F_WRLCK, 0, 10, F_OFD_SETLK), t(setlk, b, F_RDLCK, 5, 1, F_OFD_SETLK), t(setlk, b, F_WRLCK, 10, 1, F_OFD_SETLK), t(setlk, a, F_UNLCK, 0, 0, F_OFD_SETLK), t(setlk, b, F_RDLCK, 5, 1, F_OFD_SETLK))`,
  'fcntl F_OFD_SETLK: what was duplicated is one owner': py`
    ${KEEP}
    a = rw()
    b = os.dup(a)
    setlk(a, F_WRLCK, 0, 10, F_OFD_SETLK)
    out(t(setlk, b, F_RDLCK, 0, 5, F_OFD_SETLK), seen(), seen(F_WRLCK, 5), t(setlk, b, F_UNLCK, 0, 0, F_OFD_SETLK), seen())`,
  'fcntl F_OFD_SETLK: ranges split and join as others do': py`
    ${KEEP}
    a = rw()
    setlk(a, F_WRLCK, 0, 30, F_OFD_SETLK)
    setlk(a, F_UNLCK, 10, 10, F_OFD_SETLK)
    out(seen(), seen(F_WRLCK, 10))
    setlk(a, F_WRLCK, 10, 10, F_OFD_SETLK)
    out(seen())`,
  'fcntl F_OFD_SETLK: a process and its own open file are two owners': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_WRLCK, 0, 1, F_OFD_SETLK)
    setlk(fd, F_WRLCK, 1, 1)
    out(t(setlk, fd, F_RDLCK, 0, 1), t(setlk, fd, F_RDLCK, 1, 1, F_OFD_SETLK), getlk(fd, F_RDLCK), getlk(fd, F_RDLCK, command=F_OFD_GETLK))`,
  'fcntl F_OFD_SETLK: closing another descriptor of the file drops nothing': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_WRLCK, 0, 0, F_OFD_SETLK)
    os.close(rw())
    os.close(os.dup(fd))
    out(seen())`,
  'fcntl F_OFD_SETLK: the last close drops it': py`
    ${KEEP}
    a = rw()
    b = os.dup(a)
    setlk(a, F_WRLCK, 0, 0, F_OFD_SETLK)
    os.close(a)
    before = seen()
    os.close(b)
    out(before, seen())`,
  'fcntl F_OFD_SETLK: the last close lets in who waits': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_WRLCK, 0, 0, F_OFD_SETLK)
    mine = rw()
    one = spawn(lambda: [os.close(fd), setlk(mine, F_WRLCK, 0, 0, F_OFD_SETLKW)])
    waited = waits(one)
    os.close(fd)
    out(waited, join(one))`,
  'fcntl F_OFD_SETLK: a child shares it: unlocks it, or keeps it when its parent closes': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_WRLCK, 0, 0, F_OFD_SETLK)
    out(join(spawn(lambda: [t(setlk, fd, F_RDLCK, 0, 5, F_OFD_SETLK), t(setlk, fd, F_UNLCK, 5, 0, F_OFD_SETLK)])), seen())
    child = keep(lambda: None)
    os.close(fd)
    before = seen()
    kill(child)
    out(before, seen())`,
  'fcntl F_OFD_SETLK: goes with a descriptor that is sent through a socket': py`
    ${KEEP}
    a, b = socket.socketpair()
    def sender():
        fd = rw()
        setlk(fd, F_WRLCK, 0, 0, F_OFD_SETLK)
        socket.send_fds(a, [b'x'], [fd])
    join(spawn(sender))
    before = seen()
    _, fds, _, _ = socket.recv_fds(b, 1, 1)
    out(before, t(setlk, fds[0], F_RDLCK, 0, 0, F_OFD_SETLK), seen(F_RDLCK), seen())
    os.close(fds[0])
    out(seen())`,
  'fcntl F_OFD_SETLK: exec keeps it where it keeps the descriptor': py`
    ${KEEP}
    tell, go = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        a, b = rw(), rw()
        setlk(a, F_WRLCK, 0, 5, F_OFD_SETLK)
        setlk(b, F_WRLCK, 5, 5, F_OFD_SETLK)
        for each in (a, tell[1], go[0]):
            os.set_inheritable(each, True)
        os.execvp('sh', ['sh', '-c', f'echo x >&{tell[1]}; read y <&{go[0]}'])
    os.read(tell[0], 1)
    out(seen())
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    out(seen())`,
  'fcntl F_OFD_SETLK: a process id in the request is EINVAL': py`
    ${KEEP}
    fd, request = rw(), struct.pack('<hh4xqqi4x', F_WRLCK, 0, 0, 0, os.getpid())
    out([t(fcntl.fcntl, fd, command, request) for command in (F_OFD_SETLK, F_OFD_SETLKW, F_OFD_GETLK)])`,
  'fcntl F_OFD_SETLK: an unknown type, whence or range is EINVAL, a wrong mode or descriptor EBADF': py`
    ${KEEP}
    fd = rw()
    r, w = os.open('f', O_RDONLY), os.open('f', O_WRONLY)
    out(t(setlk, fd, 7, 0, 0, F_OFD_SETLK), t(setlk, fd, F_RDLCK, 0, 0, F_OFD_SETLK, 7), t(setlk, fd, F_RDLCK, -1, 0, F_OFD_SETLK))
    out(t(setlk, r, F_WRLCK, 0, 0, F_OFD_SETLK), t(setlk, w, F_RDLCK, 0, 0, F_OFD_SETLK), t(setlk, r, F_RDLCK, 0, 0, F_OFD_SETLK), t(setlk, 999, F_RDLCK, 0, 0, F_OFD_SETLK))`,
  'fcntl F_OFD_GETLK: tells of what is in the way of the open file': py`
    ${KEEP}
    a, b = rw(), rw()
    setlk(a, F_WRLCK, 10, 10, F_OFD_SETLK)
    out(getlk(b, F_RDLCK, command=F_OFD_GETLK), getlk(a, F_RDLCK, command=F_OFD_GETLK), getlk(b, F_RDLCK, 0, 10, F_OFD_GETLK))`,
  'fcntl F_OFD_GETLK: asked about F_UNLCK it tells of what the open file itself has': py`
    ${KEEP}
    a, b = rw(), rw()
    setlk(a, F_WRLCK, 10, 10, F_OFD_SETLK)
    setlk(a, F_RDLCK, 40, 10, F_OFD_SETLK)
    def own(fd, start):
        kind, _, at, size, _ = struct.unpack('<hh4xqqi4x', fcntl.fcntl(fd, F_OFD_GETLK, flock_struct(F_UNLCK, start, 0)))
        return [kind, at, size]
    out(own(a, 0), own(a, 25), own(a, 60), own(b, 0))`,
  'fcntl F_GETLK: names no process for the lock of an open file': {
    script: py`
      ${KEEP}
      fd = rw()
      setlk(fd, F_WRLCK, 0, 0, F_OFD_SETLK)
      pid = struct.unpack('<hh4xqqi4x', fcntl.fcntl(fd, F_GETLK, flock_struct(F_RDLCK, 0, 0)))[4]
      out('mine' if pid == os.getpid() else pid)`,
    fuse: { out: ['mine'], why: 'Record locks' },
  },
  'fcntl F_OFD_SETLKW: waits for another open file of its process': py`
    ${KEEP}
    ${THREAD}
    a, b = rw(), rw()
    setlk(a, F_WRLCK, 0, 0, F_OFD_SETLK)
    one = thread(lambda: setlk(b, F_WRLCK, 0, 0, F_OFD_SETLKW))
    out(waits(one.native_id))
    setlk(a, F_UNLCK, 0, 0, F_OFD_SETLK)
    out(one.value(), seen())`,
  'fcntl F_OFD_SETLKW: a signal ends it with EINTR': py`
    ${KEEP}
    setlk(rw(), F_WRLCK, 0, 0, F_OFD_SETLK)
    def body():
        signal.signal(signal.SIGUSR1, lambda *_: None)
        signal.siginterrupt(signal.SIGUSR1, True)
        call('fcntl', rw(), F_OFD_SETLKW, flock_struct(F_WRLCK, 0, 0))
    one = spawn(body)
    waited = waits(one)
    os.kill(one.pid, signal.SIGUSR1)
    out(waited, join(one))`,
  'fcntl F_OFD_SETLKW: one that is killed while it waits leaves nothing': py`
    ${KEEP}
    fd = rw()
    setlk(fd, F_WRLCK, 0, 0, F_OFD_SETLK)
    one = spawn(lambda: setlk(rw(), F_WRLCK, 0, 0, F_OFD_SETLKW))
    waited = waits(one)
    kill(one)
    os.close(fd)
    out(waited, seen())`,
  'fcntl F_OFD_SETLKW: threads whose open files wait for each other wait, until a third unlocks': py`
    ${KEEP}
    ${THREAD}
    a, b = rw(), rw()
    setlk(a, F_WRLCK, 0, 1, F_OFD_SETLK)
    setlk(b, F_WRLCK, 1, 1, F_OFD_SETLK)
    one = thread(lambda: setlk(a, F_WRLCK, 1, 1, F_OFD_SETLKW))
    out(waits(one.native_id))
    two = thread(lambda: setlk(b, F_WRLCK, 0, 1, F_OFD_SETLKW))
    out(waits(two.native_id))
    setlk(a, F_UNLCK, 0, 1, F_OFD_SETLK)
    out(two.value())
    setlk(b, F_UNLCK, 0, 0, F_OFD_SETLK)
    out(one.value())`,
  'fcntl F_OFD_SETLKW: processes that share their open files wait for each other, until a third unlocks': py`
    ${KEEP}
    a, b = rw(), rw()
    setlk(a, F_WRLCK, 0, 1, F_OFD_SETLK)
    setlk(b, F_WRLCK, 1, 1, F_OFD_SETLK)
    one = spawn(lambda: setlk(a, F_WRLCK, 1, 1, F_OFD_SETLKW))
    out(waits(one))
    two = spawn(lambda: setlk(b, F_WRLCK, 0, 1, F_OFD_SETLKW))
    out(waits(two))
    setlk(a, F_UNLCK, 0, 1, F_OFD_SETLK)
    out(join(two))
    setlk(b, F_UNLCK, 0, 0, F_OFD_SETLK)
    out(join(one))`,
  'fcntl F_OFD_SETLKW: processes each with an open file of its own wait for each other until one is killed': {
    script: py`
      ${KEEP}
      def circle(mine, next, begin):
          own = rw()
          setlk(own, F_WRLCK, mine, 1, F_OFD_SETLK)
          os.write(ready[1], b'x')
          begin()
          setlk(own, F_WRLCK, next, 1, F_OFD_SETLKW)
      ready, go = os.pipe(), os.pipe()
      one = spawn(lambda: circle(0, 1, lambda: os.read(go[0], 1)))
      os.read(ready[0], 1)
      two = spawn(lambda: circle(1, 0, lambda: None))
      out(waits(two))
      os.write(go[1], b'x')
      waits(one)
      seen() # so that the answer to it, if there is one, is given
      kill(two)
      out(join(one))`,
    fuse: { out: [true, 'EDEADLK'], why: 'Record locks' },
  },
};

const lockf: Table = {
  'lockf: F_LOCK locks from where the descriptor stands, F_ULOCK unlocks': py`
    ${KEEP}
    fd = rw()
    os.lseek(fd, 10, SEEK_SET)
    out(os.lockf(fd, os.F_LOCK, 5), seen(), os.lockf(fd, os.F_ULOCK, 2), seen())`,
  'lockf: F_TLOCK of what another has is EAGAIN, F_TEST EACCES': py`
    ${KEEP}
    os.lockf(rw(), os.F_LOCK, 0)
    out(join(spawn(lambda: os.lockf(rw(), os.F_TLOCK, 0))), join(spawn(lambda: os.lockf(rw(), os.F_TEST, 0))))`,
  'lockf: F_TEST of what is free, or locked by oneself, is fine': py`
    ${KEEP}
    fd = rw()
    out(t(os.lockf, fd, os.F_TEST, 0))
    os.lockf(fd, os.F_LOCK, 0)
    out(t(os.lockf, fd, os.F_TEST, 0), seen(F_RDLCK))`,
  'lockf: a negative size lies before the offset': py`
    ${KEEP}
    fd = rw()
    os.lseek(fd, 10, SEEK_SET)
    os.lockf(fd, os.F_LOCK, -3)
    out(seen(), t(os.lockf, fd, os.F_LOCK, -11))`,
  'lockf: needs a descriptor for writing: EBADF; an unknown function is EINVAL': py`
    ${KEEP}
    fd = rw()
    out(t(os.lockf, os.open('f', O_RDONLY), os.F_LOCK, 0), t(os.lockf, 999, os.F_LOCK, 0), t(os.lockf, fd, 9, 0))`,
  'lockf: F_LOCK waits, and a deadlock is EDEADLK': py`
    ${KEEP}
    fd = rw()
    os.lockf(fd, os.F_LOCK, 1)
    def body():
        mine = rw()
        os.lseek(mine, 1, SEEK_SET)
        os.lockf(mine, os.F_TLOCK, 1) # not F_LOCK, whose wait for its answer would be taken for the wait that follows
        os.lseek(mine, 0, SEEK_SET)
        os.lockf(mine, os.F_LOCK, 1)
    one = spawn(body)
    waited = waits(one)
    os.lseek(fd, 1, SEEK_SET)
    out(waited, t(os.lockf, fd, os.F_LOCK, 1))
    os.lseek(fd, 0, SEEK_SET)
    out(t(os.lockf, fd, os.F_ULOCK, 1), join(one))`,
};

const FLOCK = py`
  ${KEEP}
  lock = fcntl.flock
  NB = LOCK_NB
  flocks = lambda how, name='f': join(spawn(lambda: lock(rw(name), how | NB)))
  flock_wait = lambda how, name='f': spawn(lambda: lock(rw(name), how))
`;

const whole: Table = {
  'flock: LOCK_SH is shared, LOCK_EX is not: EAGAIN with LOCK_NB': py`
    ${FLOCK}
    a, b, c = rw(), rw(), rw()
    out(t(lock, a, LOCK_SH), t(lock, b, LOCK_SH | NB), t(lock, c, LOCK_EX | NB), t(lock, a, LOCK_UN), t(lock, b, LOCK_UN), t(lock, c, LOCK_EX | NB), t(lock, a, LOCK_SH | NB), t(lock, a, LOCK_EX | NB))`,
  'flock: belongs to the open file: duplicates share it, and any of them unlocks': py`
    ${FLOCK}
    a = rw()
    b = os.dup(a)
    lock(a, LOCK_EX)
    out(t(lock, b, LOCK_EX | NB), flocks(LOCK_SH), t(lock, b, LOCK_UN), flocks(LOCK_EX))`,
  'flock: ends with the last close, not with an earlier or another': py`
    ${FLOCK}
    a = rw()
    b = os.dup(a)
    lock(a, LOCK_EX)
    os.close(a)
    os.close(rw())
    before = flocks(LOCK_SH)
    os.close(b)
    out(before, flocks(LOCK_EX))`,
  'flock: a child has it too: it unlocks it, changes it, and keeps it when its parent closes': py`
    ${FLOCK}
    fd = rw()
    lock(fd, LOCK_EX)
    out(join(spawn(lambda: lock(fd, LOCK_SH))), flocks(LOCK_SH), flocks(LOCK_EX), join(spawn(lambda: lock(fd, LOCK_UN))), flocks(LOCK_EX))
    lock(fd, LOCK_EX)
    child = keep(lambda: None)
    os.close(fd)
    before = flocks(LOCK_SH)
    kill(child)
    out(before, flocks(LOCK_SH))`,
  'flock: exec keeps it': py`
    ${FLOCK}
    tell, go = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        fd = rw()
        lock(fd, LOCK_EX)
        for each in (fd, tell[1], go[0]):
            os.set_inheritable(each, True)
        os.execvp('sh', ['sh', '-c', f'echo x >&{tell[1]}; read y <&{go[0]}'])
    os.read(tell[0], 1)
    out(flocks(LOCK_SH))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    out(flocks(LOCK_SH))`,
  'flock: exit and a kill end it': py`
    ${FLOCK}
    for how in (end, kill):
        one = keep(lambda: lock(rw(), LOCK_EX))
        before = flocks(LOCK_SH)
        how(one)
        out(before, flocks(LOCK_SH))`,
  'flock: does not see the locks of fcntl, nor they it': py`
    ${FLOCK}
    fd = rw()
    lock(fd, LOCK_EX)
    out(other(F_WRLCK), seen(), t(setlk, fd, F_WRLCK), t(setlk, rw(), F_RDLCK, 0, 0, F_OFD_SETLK), flocks(LOCK_SH), t(lock, fd, LOCK_UN), seen(), flocks(LOCK_EX))`,
  'flock: the mode of the descriptor does not matter': py`
    ${FLOCK}
    os.close(rw())
    out(t(lock, os.open('f', O_RDONLY), LOCK_EX | NB), flocks(LOCK_SH), t(lock, os.open('f', O_WRONLY), LOCK_SH | NB))`,
  'flock: who may only read locks for writing': py`
    ${FLOCK}
    write('f', 'x')
    out(as_user(ALICE, lambda: lock(os.open('f', O_RDONLY), LOCK_EX | NB)))`,
  'flock: a directory': py`
    ${FLOCK}
    a, b = os.open('.', O_RDONLY), os.open('.', O_RDONLY)
    out(t(lock, a, LOCK_EX), t(lock, b, LOCK_SH | NB), t(lock, a, LOCK_UN), t(lock, b, LOCK_SH | NB))`,
  'flock: what is no descriptor, or only a path, is EBADF': py`
    ${FLOCK}
    os.close(rw())
    out(t(lock, 999, LOCK_SH), t(lock, os.open('f', O_PATH), LOCK_SH), t(lock, os.open('f', O_PATH), LOCK_UN))`,
  'flock: an unknown operation is EINVAL': py`
    ${FLOCK}
    fd = rw()
    out(t(lock, fd, 0), t(lock, fd, NB), t(lock, fd, LOCK_SH | LOCK_EX), t(lock, fd, LOCK_SH | LOCK_UN), t(lock, fd, 64))`,
  'flock: to unlock what is not locked is fine, as is to lock again': py`
    ${FLOCK}
    fd = rw()
    out(t(lock, fd, LOCK_UN), t(lock, fd, LOCK_UN | NB), t(lock, fd, LOCK_EX), t(lock, fd, LOCK_EX | NB), t(lock, fd, LOCK_UN), flocks(LOCK_EX))`,
  'flock: is of the file, not of the name': py`
    ${FLOCK}
    lock(rw(), LOCK_EX)
    os.link('f', 'g')
    out(flocks(LOCK_SH, 'g'), flocks(LOCK_SH, 'h'))
    os.rename('f', 'k')
    out(flocks(LOCK_SH, 'k'), flocks(LOCK_SH))`,
  'flock: a change from shared to exclusive that fails loses the lock': py`
    ${FLOCK}
    a, b = rw(), rw()
    lock(a, LOCK_SH)
    lock(b, LOCK_SH)
    out(t(lock, a, LOCK_EX | NB), t(lock, b, LOCK_EX | NB), t(lock, a, LOCK_SH | NB))`,
  'flock: a change from exclusive to shared lets readers in': py`
    ${FLOCK}
    fd = rw()
    lock(fd, LOCK_EX)
    one = flock_wait(LOCK_SH)
    waited = waits(one)
    out(waited, t(lock, fd, LOCK_SH | NB), join(one), flocks(LOCK_EX))`,
  'flock: a change that has to wait lets go first, and others in': py`
    ${FLOCK}
    a, b = rw(), rw()
    lock(a, LOCK_SH)
    lock(b, LOCK_SH)
    one = spawn(lambda: lock(a, LOCK_EX))
    waited = waits(one)
    out(waited, t(lock, b, LOCK_EX | NB), flocks(LOCK_SH), t(lock, b, LOCK_UN), join(one), flocks(LOCK_SH))`,
  'flock: waits until it is unlocked, or closed': py`
    ${FLOCK}
    for how in (lambda fd: lock(fd, LOCK_UN), lambda fd: os.close(fd)):
        fd = rw()
        lock(fd, LOCK_EX)
        one = spawn(lambda: [os.close(fd), lock(rw(), LOCK_EX)])
        waited = waits(one)
        how(fd)
        out(waited, join(one))`,
  'flock: waits until the holder is killed': py`
    ${FLOCK}
    holder = keep(lambda: lock(rw(), LOCK_EX))
    one = flock_wait(LOCK_SH)
    waited = waits(one)
    kill(holder)
    out(waited, join(one))`,
  'flock: whoever came first is first': py`
    ${FLOCK}
    fd = rw()
    lock(fd, LOCK_EX)
    order = os.open('order', O_WRONLY | O_CREAT | O_APPEND)
    def mine(i):
        os.close(fd)
        lock(rw(), LOCK_EX)
        os.write(order, b'%d' % i)
    queue = []
    for i in range(5):
        queue.append(spawn(lambda: mine(i)))
        waits(queue[-1])
    lock(fd, LOCK_UN)
    out([join(each) for each in queue], read('order'))`,
  'flock: a signal ends the wait with EINTR': py`
    ${FLOCK}
    lock(rw(), LOCK_EX)
    def body():
        signal.signal(signal.SIGUSR1, lambda *_: None)
        signal.siginterrupt(signal.SIGUSR1, True)
        call('flock', rw(), LOCK_SH)
    one = spawn(body)
    waited = waits(one)
    os.kill(one.pid, signal.SIGUSR1)
    out(waited, join(one))`,
  'flock: one that is killed while it waits leaves the queue': py`
    ${FLOCK}
    fd = rw()
    lock(fd, LOCK_EX)
    one = flock_wait(LOCK_EX)
    waited = waits(one)
    kill(one)
    lock(fd, LOCK_UN)
    out(waited, flocks(LOCK_EX))`,
  'flock: nobody looks for deadlocks': py`
    ${FLOCK}
    def body(mine, next):
        lock(rw(mine), LOCK_EX)
        os.write(ready[1], b'x')
        os.read(go[0], 1)
        lock(rw(next), LOCK_EX)
    ready, go = os.pipe(), os.pipe()
    one, two = spawn(lambda: body('a', 'b')), spawn(lambda: body('b', 'a'))
    os.read(ready[0], 1), os.read(ready[0], 1)
    os.write(go[1], b'xx')
    out(waits(one), waits(two))
    kill(one)
    out(join(two))`,
};

const LEASE = py`
  ${KEEP}
  lease = lambda fd, kind: fcntl.fcntl(fd, F_SETLEASE, kind)
  kinds = {F_RDLCK: 'RDLCK', F_WRLCK: 'WRLCK', F_UNLCK: 'UNLCK'}
  leased = lambda fd: kinds[fcntl.fcntl(fd, F_GETLEASE)]
`;

const leases: Table = {
  'fcntl F_SETLEASE: for reading through a descriptor that only reads, for writing where nobody else has it open': py`
    ${LEASE}
    write('f', 'x')
    r = os.open('f', O_RDONLY)
    out(leased(r), t(lease, r, F_RDLCK), leased(r), t(lease, r, F_UNLCK), leased(r), t(lease, r, F_WRLCK), leased(r))`,
  'fcntl F_SETLEASE: is EAGAIN where somebody has it open in the way': py`
    ${LEASE}
    write('f', 'x')
    r, w = os.open('f', O_RDONLY), os.open('f', O_WRONLY)
    out(t(lease, r, F_RDLCK), t(lease, w, F_RDLCK), t(lease, w, F_WRLCK))
    os.close(w)
    also = os.open('f', O_RDONLY)
    out(t(lease, r, F_WRLCK), t(lease, r, F_RDLCK), t(lease, also, F_RDLCK))`,
  'fcntl F_SETLEASE: an unknown kind is EINVAL, as is a directory; what is no descriptor, or only a path, is EBADF': py`
    ${LEASE}
    write('f', 'x')
    out(t(lease, os.open('f', O_RDONLY), 9), t(lease, os.open('.', O_RDONLY), F_RDLCK), t(lease, 999, F_RDLCK), t(lease, os.open('f', O_PATH), F_RDLCK))`,
  'fcntl F_SETLEASE: of the file of another user is EACCES': py`
    ${LEASE}
    write('f', 'x')
    out(as_user(ALICE, lambda: lease(os.open('f', O_RDONLY), F_RDLCK)))
    os.chown('f', ALICE[0], -1)
    out(as_user(ALICE, lambda: lease(os.open('f', O_RDONLY), F_RDLCK)))`,
  'fcntl F_SETLEASE: a conflicting open signals the holder, and without waiting is EAGAIN': py`
    ${LEASE}
    write('f', 'x')
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
    r = os.open('f', O_RDONLY)
    lease(r, F_RDLCK)
    out(t(os.open, 'f', O_WRONLY | O_NONBLOCK), signal.sigwait([signal.SIGIO]) == signal.SIGIO, leased(r))
    lease(r, F_UNLCK)
    os.open('f', O_WRONLY | O_NONBLOCK)`,
  'fcntl F_SETLEASE: a conflicting open waits until the holder lets go': py`
    ${LEASE}
    write('f', 'x')
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
    r = os.open('f', O_RDONLY)
    lease(r, F_RDLCK)
    one = spawn(lambda: [os.close(r), write('f', 'new')])
    signal.sigwait([signal.SIGIO])
    before = read('f')
    lease(r, F_UNLCK)
    join(one)
    out(before, read('f'))`,
};

export const rows: Table = { ...records, ...asking, ...waiting, ...openFiles, ...lockf, ...whole, ...leases };
