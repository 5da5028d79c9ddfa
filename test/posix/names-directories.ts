/**
 * The POSIX table: reading directories (getdents64(2), readdir(3) and its cookies) while they change; what may be a
 * name; deep trees; the working directory. An entry that is there all the time is read exactly once, whatever else
 * comes and goes (readdir in POSIX.1); of what comes and goes meanwhile nothing is promised, and nothing is compared.
 */
import { OPENS } from './names.ts';
import type { Table } from './table.ts';
import { py } from './words.ts';

/**
 * getdents64(2): `dents(fd)` is one call's [(name, type, number, cookie)], `names(fd)` the names of all that is left
 * to read, without "." and "..".
 */
const DENTS = py`
  def dents(fd, size=1024):
      buffer = ctypes.create_string_buffer(size)
      end, at, found = call('getdents64', fd, buffer, size), 0, []
      while at < end:
          number, cookie, length, kind = struct.unpack_from('<QqHB', buffer, at)
          found.append((buffer.raw[at + 19 : at + length].split(b'\0')[0].decode(), kind, number, cookie))
          at += length
      return found
  def names(fd, size=1024):
      found = []
      while batch := dents(fd, size):
          found += [entry[0] for entry in batch if entry[0] not in ('.', '..')]
      return found
  def directory(name='.'):
      return os.open(name, O_RDONLY | O_DIRECTORY)`;

/** readdir(3) with telldir and seekdir, as libc has them. */
const STREAM = py`
  pointer = ctypes.c_void_p
  functions = dict(
      opendir=(pointer, [ctypes.c_char_p]), readdir=(pointer, [pointer]), rewinddir=(None, [pointer]),
      telldir=(ctypes.c_long, [pointer]), seekdir=(None, [pointer, ctypes.c_long]))
  for name, (result, args) in functions.items():
      getattr(libc, name).restype, getattr(libc, name).argtypes = result, args
  class Stream:
      def __init__(self, name='.'):
          self.it = libc.opendir(os.fsencode(name))
      def read(self):
          entry = libc.readdir(self.it)
          return ctypes.string_at(entry + 19).decode() if entry else None
      def tell(self):
          return libc.telldir(self.it)
      def seek(self, where):
          libc.seekdir(self.it, where)
      def rewind(self):
          libc.rewinddir(self.it)
      def rest(self):
          return [name for name in iter(self.read, None) if name not in ('.', '..')]`;

/** `fill(n)` makes e0, e1, ...; `once(read, kept)` whether each of `kept` is in `read` once and only once. */
const FILL = py`
  def fill(count, prefix='e', where='.'):
      for i in range(count):
          os.mknod(f'{where}/{prefix}{i}')
  def once(read, kept):
      return sorted(name for name in read if name in kept) == sorted(kept)`;

export const rows: Table = {
  'getdents: an empty directory has "." and ".."': py`
    ${DENTS}
    os.mkdir('dir')
    fd = directory('dir')
    found = dents(fd)
    out(sorted((name, kind) for name, kind, _, _ in found))
    out(dict((e[0], e[2]) for e in found)['.'] == os.stat('dir').st_ino)
    out(dict((e[0], e[2]) for e in found)['..'] == os.stat('.').st_ino, dents(fd))`,
  'getdents: tells the type and the number of every entry': py`
    ${DENTS}
    write('file'); os.mkdir('dir'); os.mkfifo('fifo'); os.symlink('dir', 'link'); os.mknod('chr', stat.S_IFCHR, 0)
    os.mknod('blk', stat.S_IFBLK, 0); socket.socket(socket.AF_UNIX).bind('sock')
    found = dents(directory())
    out(sorted((name, kind) for name, kind, _, _ in found))
    out(all(number == os.lstat(name).st_ino for name, _, number, _ in found if name not in ('.', '..')))`,
  'getdents: the types follow what is exchanged and replaced': py`
    ${DENTS}
    write('a'); os.mkdir('b'); os.symlink('x', 'c'); os.mkfifo('d')
    renameat2('a', 'b', RENAME_EXCHANGE); os.rename('d', 'c'); renameat2('c', 'e', RENAME_WHITEOUT)
    out(sorted((name, kind) for name, kind, _, _ in dents(directory()) if name not in ('.', '..')))`,
  'getdents: a buffer too small for one entry is EINVAL': py`
    ${DENTS}
    os.mkdir('dir'); write('dir/' + 'n' * 255)
    fd = directory('dir')
    out(t(dents, fd, 8), t(dents, fd, 16))
    # ext4 lists by a hash of its own, so the two dots may come singly.
    while isinstance(found := t(dents, fd, 48), list): pass
    out(found, t(dents, fd, 272))
    out([len(entry[0]) for entry in dents(fd, 280)])`,
  'getdents: of a file is ENOTDIR, of no descriptor and of O_PATH EBADF, to no address EFAULT': py`
    ${DENTS}
    write('file')
    out(t(dents, os.open('file', O_RDONLY)), t(dents, 999), t(dents, os.open('.', O_PATH)))
    out(t(call, 'getdents64', directory(), 1, 1024))`,
  'getdents: a directory that is gone is ENOENT': py`
    ${DENTS}
    os.mkdir('dir')
    fd, begun = directory('dir'), directory('dir')
    out(len(dents(begun)))
    os.rmdir('dir')
    out(t(dents, fd), t(dents, begun), os.lseek(fd, 0, 0), t(dents, fd))`,
  'getdents: 2,000 entries in small and large buffers, each once': py`
    ${DENTS}
    ${FILL}
    fill(2000)
    wanted = sorted(f'e{i}' for i in range(2000))
    out([sorted(names(directory(), size)) == wanted for size in (80, 1024, 32768, 1 << 20)], len(ls()))`,
  'getdents: no two entries have the same cookie': py`
    ${DENTS}
    ${FILL}
    fill(300)
    fd = directory()
    found = []
    while batch := dents(fd):
        found += batch
    out(len(found), len({entry[3] for entry in found}), all(entry[3] >= 0 for entry in found))`,
  'getdents: at the end it stays, and sees no more until it is sought': py`
    ${DENTS}
    write('a')
    fd = directory()
    out(names(fd), dents(fd), dents(fd), os.lseek(fd, 0, 0), names(fd))
    write('b')
    out(os.lseek(fd, 0, 0), sorted(names(fd)))`,
  'getdents: lseek to the cookie of an entry goes on behind it': py`
    ${DENTS}
    ${FILL}
    fill(100)
    fd = directory()
    found = dents(fd, 1 << 16)
    order = [entry[0] for entry in found]
    def after(cookie):
        os.lseek(fd, cookie, 0)
        return [entry[0] for entry in dents(fd, 1 << 16)]
    out(len(order), all(after(entry[3]) == order[i + 1 :] for i, entry in enumerate(found)))`,
  'getdents: two descriptors of a directory are each at a place of its own, a dup is not': py`
    ${DENTS}
    ${FILL}
    fill(100)
    a, b = directory(), directory()
    c = os.dup(a)
    first = [entry[0] for entry in dents(a)]
    out([entry[0] for entry in dents(b)] == first)
    second = [entry[0] for entry in dents(c)]
    out(once(first + second + names(a), {f'e{i}' for i in range(100)}), names(c))`,
  'getdents: what was made since the open is read': py`
    ${DENTS}
    os.mkdir('dir')
    fd = directory('dir')
    write('dir/a'); os.mkdir('dir/b')
    join(spawn(lambda: write('dir/c')))
    out(sorted(names(fd)))`,
  'getdents: what was removed since the open is not': py`
    ${DENTS}
    ${FILL}
    fill(50)
    fd = directory()
    for i in range(0, 50, 2):
        os.unlink(f'e{i}')
    out(sorted(names(fd)) == sorted(f'e{i}' for i in range(1, 50, 2)))`,
  'getdents: entries that stay are read once while others are removed': py`
    ${DENTS}
    ${FILL}
    fill(1000)
    fd, read = directory(), []
    for i in range(1, 1000, 2):
        if i % 20 == 1:
            read += [entry[0] for entry in dents(fd)]
        os.unlink(f'e{i}')
    read += names(fd)
    kept = {f'e{i}' for i in range(0, 1000, 2)}
    out(once(read, kept), len(read) == len(set(read)), sorted(ls()) == sorted(kept))`,
  'getdents: entries that stay are read once while others are made': py`
    ${DENTS}
    ${FILL}
    fill(500)
    fd, read = directory(), []
    for i in range(500):
        if i % 20 == 0:
            read += [entry[0] for entry in dents(fd)]
        os.mknod(f'n{i}')
    read += names(fd)
    out(once(read, {f'e{i}' for i in range(500)}), len(read) == len(set(read)), len(ls()))`,
  'getdents: entries that stay are read once while others are renamed': py`
    ${DENTS}
    ${FILL}
    fill(600)
    fd, read = directory(), []
    for i in range(0, 600, 3):
        if i % 30 == 0:
            read += [entry[0] for entry in dents(fd)]
        os.rename(f'e{i}', f'renamed{i}')
    read += names(fd)
    out(once(read, {f'e{i}' for i in range(600) if i % 3}), len(ls()))`,
  'getdents: a directory is emptied by removing what is read as it is read': py`
    ${DENTS}
    ${FILL}
    fill(1000)
    os.mkdir('inner')
    fd, count = directory(), 0
    while batch := dents(fd, 512):
        for name, kind, _, _ in batch:
            if name not in ('.', '..'):
                (os.rmdir if kind == 4 else os.unlink)(name)
                count += 1
    out(count, ls(), stat_of('.', 'nlink'))`,
  'getdents: entries that stay are read once while other processes make and remove': py`
    ${DENTS}
    ${FILL}
    fill(500)
    def churn(mine):
        for i in range(200):
            os.mknod(f'{mine}{i}')
            if i >= 5:
                os.unlink(f'{mine}{i - 5}')
    them = [spawn(lambda mine=mine: churn(mine)) for mine in 'xy']
    kept = {f'e{i}' for i in range(500)}
    seen = [once(names(directory(), 512), kept) for _ in range(5)]
    out(seen, [join(each) for each in them], len(ls()))`,
  'readdir: telldir and seekdir go back to the same entry': py`
    ${STREAM}
    ${FILL}
    fill(200)
    stream, places = Stream(), []
    while True:
        place = stream.tell()
        name = stream.read()
        if name is None:
            break
        places.append((place, name))
    def at(place):
        stream.seek(place)
        return stream.read()
    out(len(places), all(at(place) == name for place, name in places))
    out(all(at(place) == name for place, name in reversed(places)))`,
  'readdir: cookies hold while entries come and go': py`
    ${STREAM}
    ${FILL}
    fill(200)
    stream, places = Stream(), []
    while True:
        place = stream.tell()
        name = stream.read()
        if name is None:
            break
        places.append((place, name))
    gone = {f'e{i}' for i in range(0, 200, 4)}
    for name in gone:
        os.unlink(name)
    fill(100, 'new')
    order = [name for _, name in places if name not in gone]
    def first_kept(place):
        stream.seek(place)
        return next(name for name in iter(stream.read, None) if not name.startswith('new'))
    out(all(first_kept(place) == name for place, name in places if name not in gone), len(order))`,
  'readdir: seekdir behind an entry that is removed meanwhile goes on with the next': py`
    ${STREAM}
    ${FILL}
    fill(100)
    stream = Stream()
    for _ in range(50):
        name = stream.read()
    place = stream.tell()
    rest = stream.rest()
    if name not in ('.', '..'):
        os.unlink(name)
    stream.seek(place)
    out(stream.rest() == rest, len(ls()) + (name not in ('.', '..')))`,
  'readdir: rewinddir begins again, with what is there now': py`
    ${STREAM}
    write('a'); write('b')
    stream = Stream()
    out(sorted(stream.rest()), stream.rest())
    write('c'); os.unlink('a')
    stream.rewind()
    out(sorted(stream.rest()))`,
  'readdir: a stream of a moved directory goes on': py`
    ${STREAM}
    ${FILL}
    os.mkdir('dir')
    fill(300, where='dir')
    stream = Stream('dir')
    read = [stream.read() for _ in range(100)]
    os.rename('dir', 'moved')
    out(once(read + stream.rest(), {f'e{i}' for i in range(300)}))`,
  'readdir: a user needs the read right, and no search right for the names': py`
    os.mkdir('names'); write('names/file'); os.chmod('names', 0o744)
    os.mkdir('search'); write('search/file'); os.chmod('search', 0o711)
    out(as_user(ALICE, lambda: [ls('names'), t(os.stat, 'names/file'), t(ls, 'search'),
        os.stat('search/file').st_size]))
    out(as_user(ALICE, lambda: sorted((entry.name, entry.is_file(follow_symlinks=False))
        for entry in os.scandir('names'))))`,
  'readdir: a descriptor reads on after the right is gone': py`
    ${DENTS}
    write('file')
    def user():
        become(ALICE)
        fd = directory()
        os.write(opened[1], b'x')
        os.read(closed[0], 1)
        return [names(fd), t(os.open, '.', O_RDONLY)]
    opened, closed = os.pipe(), os.pipe()
    it = spawn(user)
    os.read(opened[0], 1)
    os.chmod('.', 0o700)
    os.write(closed[1], b'x')
    out(join(it))`,
  'a directory of 1,000 entries made by four processes has them all': py`
    def make(mine):
        for i in range(250):
            write(f'{mine}{i}', mine)
    them = [spawn(lambda mine=mine: make(mine)) for mine in 'abcd']
    out([join(each) for each in them], len(ls()), ls() == sorted(f'{mine}{i}' for mine in 'abcd' for i in range(250)))
    out(read('d249'))`,
  'a name that processes make and remove at once gives EEXIST or ENOENT, nothing else': py`
    ${OPENS}
    def churn():
        seen = set()
        for _ in range(100):
            seen |= {t(makes, 'one', 0o666, O_EXCL), t(os.unlink, 'one')}
        return sorted(seen - {'ok', 'EEXIST', 'ENOENT'})
    them = [spawn(churn) for _ in range(3)]
    out([join(each) for each in them], ls())`,
  'a name that processes make and remove as a directory gives EEXIST, ENOENT or ENOTEMPTY': py`
    def churn(mine):
        seen = set()
        for _ in range(60):
            seen |= {t(os.mkdir, 'one'), t(os.mkdir, f'one/{mine}'), t(os.rmdir, f'one/{mine}'), t(os.rmdir, 'one')}
        return sorted(seen - {'ok', 'EEXIST', 'ENOENT', 'ENOTEMPTY'})
    them = [spawn(lambda mine=mine: churn(mine)) for mine in 'abc']
    out([join(each) for each in them], t(os.rmdir, 'one') in ('ok', 'ENOENT'), ls(), stat_of('.', 'nlink'))`,
  'names: any bytes but "/" and NUL': py`
    wanted = [bytes([c]) for c in range(1, 256) if bytes([c]) not in (b'/', b'.')]
    for name in wanted:
        write(name, name)
    out(sorted(os.listdir(b'.')) == sorted(wanted), all(read(name) == name for name in wanted))
    for name in wanted:
        os.unlink(name)
    out(ls())`,
  'names: neither UTF-8 nor text': py`
    wanted = [b'\xff\xfe', b'\xc3', b'\xed\xa0\x80', b'a\xffb', b'new\nline', b'back\\slash', b'\\', b'tab\t', b'\x7f',
        b'\x01', b'caf\xe9', b'\xf4\x90\x80\x80']
    for name in wanted:
        os.mkdir(name); write(name + b'/' + name, name)
        os.rename(name, name + b'2'); os.symlink(name, name)
    out(sorted(os.listdir(b'.')))
    out(all(read(name + b'2/' + name) == name and os.readlink(name) == name for name in wanted))`,
  'names: dots, blanks, dashes and what looks like an option': py`
    wanted = ['...', '..a', '.a', 'a.', ' ', '  ', '-', '-rf', '*', '?', '~', '$HOME', 'a b', '"', "'", ':', '|', ' . ']
    for name in wanted:
        write(name, name)
    out(ls() == sorted(wanted), all(read(name).decode() == name for name in wanted))`,
  'names: large and small letters are other names, and so are two ways to write an accent': py`
    for name in ('a', 'A', 'é', 'e\u0301', 'É', 'ß', 'ss', 'SS'):
        write(name, name)
    out(len(ls()), read('A'), read('é') == 'é'.encode(), read('e\u0301') == 'e\u0301'.encode())`,
  'names: that look like numbers and words of programs': py`
    wanted = ['0', '00', '-1', '1e3', 'NaN', 'undefined', 'null', '__proto__', 'constructor', 'toString',
        'hasOwnProperty', 'length']
    out([t(os.stat, name) for name in wanted], [t(os.unlink, name) for name in wanted])
    for name in wanted:
        os.mkdir(name); write(f'{name}/{name}', name)
    out(ls() == sorted(wanted), all(read(f'{name}/{name}').decode() == name for name in wanted))`,
  'names: one that is the beginning of another is another': py`
    for size in range(1, 256, 2):
        write('n' * size, str(size))
    out(len(ls()), all(int(read('n' * size)) == size for size in range(1, 256, 2)), t(os.stat, 'nn'))`,
  'names: 255 bytes in every call that takes one': py`
    name, other = 'n' * 255, 'o' * 255
    os.mkdir(name); os.symlink('x' * 255, f'{name}/{other}'); os.rename(f'{name}/{other}', other); os.rmdir(name)
    write(name, 'text'); os.unlink(other); os.link(name, other); os.unlink(name); os.mkfifo(name)
    renameat2(name, other, RENAME_EXCHANGE)
    out(read(name), mode(other), [len(each) for each in ls()])`,
  'paths: repeated slashes and dots do not matter': py`
    os.makedirs('a/b'); write('a/b/file', 'text')
    out([read(name) for name in ('a//b///file', './a/./b/././file', 'a/../a/b/../b/file', 'a/b/../../a/b/file')])
    out(t(os.stat, 'a/absent/../b/file'))`,
  'paths: a tree deeper than PATH_MAX, walked by steps': py`
    name, depth = 'd' * 40, 120
    for _ in range(depth):
        os.mkdir(name)
        os.chdir(name)
    write('file', 'text')
    out(read('file'), t(call, 'stat', '../' * depth + f'{name}/' * depth + 'file', ctypes.create_string_buffer(256)))
    out(t(ls, '../' * depth))
    os.unlink('file')
    for _ in range(depth):
        os.chdir('..')
        os.rmdir(name)
    out(ls(), stat_of('.', 'nlink'))`,
  'paths: a tree of 300 levels, by its path': py`
    path = '/'.join(['d'] * 300)
    os.makedirs(path)
    write(path + '/file', 'text')
    out(read(path + '/file'), ls(path), len([None for _ in os.walk('.')]))
    out(os.path.samestat(os.stat(path + '/..' * 300), os.stat('.')))`,
  'paths: symlinks on the way count to 40 in all': py`
    os.mkdir('dir'); os.symlink('.', 'dir/here'); write('dir/file', 'text')
    out(read('dir/' + 'here/' * 40 + 'file'), t(os.stat, 'dir/' + 'here/' * 41 + 'file'))
    out(oct(os.lstat('dir/' + 'here/' * 40 + 'here').st_mode))`,
  'chdir: into directories one may search, through symlinks, and nowhere else': py`
    os.mkdir('dir'); write('file'); os.symlink('dir', 'link'); os.mkdir('closed'); os.chmod('closed', 0o744)
    os.mkdir('search'); os.chmod('search', 0o711)
    here = os.getcwd()
    out(t(os.chdir, 'absent'), t(os.chdir, 'file'))
    out(as_user(ALICE, lambda: [t(os.chdir, 'closed'), t(os.chdir, 'search'), t(ls)]))
    os.chdir('link')
    out(os.path.relpath(os.getcwd(), here), t(os.chdir, '..'), os.getcwd() == here)`,
  'fchdir: to an open directory, wherever it is now': py`
    os.makedirs('a/b'); write('file')
    fd = os.open('a/b', O_RDONLY)
    os.rename('a/b', 'c')
    here = os.getcwd()
    out(t(os.fchdir, fd), os.path.relpath(os.getcwd(), here), t(os.fchdir, os.open('../file', O_RDONLY)))
    out(t(os.fchdir, 999))`,
  'fchdir: of a directory one may not search is EACCES': py`
    os.mkdir('dir'); os.chmod('dir', 0o744)
    fd = os.open('dir', O_RDONLY)
    out(as_user(ALICE, lambda: [t(os.fchdir, fd), ls(fd)]))`,
  'getcwd: follows renames, and is ENOENT in a directory that is gone': py`
    here = os.getcwd()
    os.makedirs('a/b'); os.chdir('a/b')
    os.rename('../../a', '../../x')
    out(os.path.relpath(os.getcwd(), here))
    os.rmdir('../b')
    out(t(os.getcwd), t(os.chdir, '.'), t(os.chdir, '..'), os.path.relpath(os.getcwd(), here))`,
};
