/**
 * The POSIX table: rename(2), renameat(2), and renameat2(2) with its three flags. What a bad path gives is in
 * names-paths.ts.
 */
import { MOUNTS } from './names-paths.ts';
import type { Table } from './table.ts';
import { py } from './words.ts';

/** `same` compares what two names (or descriptors) lead to. */
const SAME = py`
  def same(a, b):
      look = lambda each: os.fstat(each) if isinstance(each, int) else os.lstat(each)
      return os.path.samestat(look(a), look(b))`;

/** Two directories with something in them, to move between. */
const TWO = py`
  ${SAME}
  os.mkdir('a'), os.mkdir('b'), os.mkdir('a/dir'), os.mkdir('b/dir'), write('a/dir/in', 'a'), write('b/dir/in', 'b')
  write('a/file', 'file a'), write('b/file', 'file b')
  exchange = lambda old, new: renameat2(old, new, RENAME_EXCHANGE)`;

/** What RENAME_WHITEOUT leaves is a device 0:0 without permissions: WHITEOUT_DEV, WHITEOUT_MODE, include/linux/fs.h. */
const WHITEOUT = py`
  whiteout = lambda old, new: renameat2(old, new, RENAME_WHITEOUT)
  def look(name):
      return stat_of(name, 'mode', 'rdev', 'size', 'nlink')`;

export const rows: Table = {
  'rename: a file keeps all but its name': py`
    ${SAME}
    write('old', 'text')
    os.chmod('old', 0o640); os.chown('old', 5, 6)
    fd = os.open('old', O_RDWR)
    out(t(os.rename, 'old', 'new'), same(fd, 'new'), read('new'), mode('new'), stat_of('new', 'nlink', 'uid', 'gid'))
    out(ls())
    os.write(fd, b'TEXT')
    out(read('new'), t(os.stat, 'old'), t(os.rename, 'old', 'new'))`,
  'rename: a file takes the place of another, which lives on while it is open': py`
    ${SAME}
    write('old', 'old'); write('new', 'new'); os.link('new', 'other')
    fd, gone = os.open('new', O_RDWR), os.open('old', O_RDONLY)
    out(t(os.rename, 'old', 'new'), read('new'), same(gone, 'new'), same(fd, 'other'), stat_of(fd, 'nlink'), ls())
    os.rename('new', 'other')
    out(stat_of(fd, 'nlink'), os.read(fd, 10), os.pwrite(fd, b'x', 0), read('other'), ls())`,
  'rename: any kind of file takes the place of any other that is no directory': py`
    def fresh():
        write('file'); os.mkfifo('fifo'); os.symlink('absent', 'link'); os.mknod('null', stat.S_IFCHR, os.makedev(1, 3))
        socket.socket(socket.AF_UNIX).bind('sock')
    kinds = ('file', 'fifo', 'link', 'null', 'sock')
    for old in kinds:
        for new in kinds:
            fresh()
            kind = mode(old)
            out([t(os.rename, old, new), mode(new) == kind, len(ls())])
            for name in ls():
                os.unlink(name)`,
  'rename: a name to itself changes nothing': py`
    write('file', 'text'); os.mkdir('dir'); write('dir/in'); os.symlink('absent', 'link')
    out(t(os.rename, 'file', 'file'), t(os.rename, 'dir', 'dir'), t(os.rename, 'link', 'link'))
    out(t(os.rename, 'dir/in', './dir/../dir/in'), ls(), ls('dir'), read('file'))`,
  'rename: one name of a file to another of the same file leaves both': py`
    write('a', 'text'); os.link('a', 'b'); os.mkdir('dir'); os.link('a', 'dir/c')
    out(t(os.rename, 'a', 'b'), t(os.rename, 'b', 'dir/c'), stat_of('a', 'nlink'), ls(), ls('dir'))`,
  'rename: a symlink moves itself, and is itself replaced': py`
    write('file', 'text'); os.symlink('file', 'link'); os.symlink('absent', 'dangling')
    out(t(os.rename, 'link', 'moved'), os.readlink('moved'), t(os.rename, 'moved', 'dangling'), os.readlink('dangling'))
    out(read('dangling'))
    out(t(os.rename, 'file', 'dangling'), read('dangling'), oct(stat.S_IFMT(os.lstat('dangling').st_mode)), ls())`,
  'rename: a directory moves with what is in it': py`
    ${SAME}
    os.mkdir('old'); os.mkdir('old/inner'); write('old/inner/file', 'text')
    fd = os.open('old/inner', O_RDONLY)
    out(t(os.rename, 'old', 'new'), read('new/inner/file'), same(fd, 'new/inner'), os.listdir(fd), t(os.stat, 'old'))
    out(stat_of('.', 'nlink'))
    os.mkdir('other')
    out(t(os.rename, 'new/inner', 'other/inner'), same(fd, 'other/inner'), ls('new'), ls('other'))
    out([stat_of(name, 'nlink') for name in ('.', 'new', 'other')])`,
  'rename: ".." of a directory that has moved is its new parent': py`
    ${SAME}
    os.mkdir('a'); os.mkdir('b'); os.mkdir('a/dir')
    fd = os.open('a/dir', O_RDONLY)
    out(os.path.samestat(os.stat('..', dir_fd=fd), os.stat('a')))
    os.rename('a/dir', 'b/dir')
    out(os.path.samestat(os.stat('..', dir_fd=fd), os.stat('b')), same('b/dir/..', 'b'))
    out([entry for entry in sorted(os.listdir('b/dir/..'))])
    os.chdir('b/dir')
    out(ls('..'), os.path.basename(os.path.dirname(os.getcwd())))`,
  "rename: the working directory moves under one's feet": py`
    os.mkdir('old'); write('old/file', 'text'); os.chdir('old')
    os.rename('../old', '../new')
    out(os.path.basename(os.getcwd()), read('file'), ls('..'))
    write('more')
    out(ls('../new'))`,
  'rename: a directory takes the place of an empty one': py`
    ${SAME}
    os.mkdir('old'); write('old/file'); os.mkdir('new')
    fd, gone = os.open('old', O_RDONLY), os.open('new', O_RDONLY)
    out(t(os.rename, 'old', 'new'), ls('new'), same(fd, 'new'), stat_of(gone, 'nlink'), t(os.mkdir, 'x', dir_fd=gone))
    out(stat_of('.', 'nlink'), ls())`,
  'rename: onto a directory that is not empty is ENOTEMPTY': py`
    os.mkdir('old'); os.mkdir('new'); write('new/file'); os.mkdir('new/old')
    out(t(os.rename, 'old', 'new'), t(os.rename, 'new/old', 'new'), ls(), ls('new'), stat_of('.', 'nlink'))`,
  'rename: a file onto a directory is EISDIR': py`
    write('file'); os.mkdir('dir'); os.symlink('absent', 'link'); os.mkfifo('fifo')
    out([t(os.rename, name, 'dir') for name in ('file', 'link', 'fifo')], ls())`,
  'rename: a directory onto what is none is ENOTDIR': py`
    os.mkdir('dir'); os.mkdir('empty'); write('file'); os.mkfifo('fifo'); os.symlink('empty', 'link')
    os.symlink('absent', 'dangling')
    out([t(os.rename, 'dir', name) for name in ('file', 'fifo', 'link', 'dangling')], ls())`,
  'rename: a directory into itself, however deep, is EINVAL': py`
    os.makedirs('dir/a/b')
    out([t(os.rename, 'dir', name) for name in ('dir/new', 'dir/a', 'dir/a/b', 'dir/a/b/new')])
    out(t(os.rename, 'dir/a', 'dir/a/b/new'), ls(), ls('dir/a'))`,
  'rename: "." and ".." are EBUSY on either side': py`
    os.mkdir('dir'); os.mkdir('dir/in'); write('file')
    out([t(os.rename, name, 'new') for name in ('.', '..', 'dir/.', 'dir/in/..')])
    out([t(os.rename, 'dir', name) for name in ('.', '..', 'dir/.', 'dir/in/..')], ls())`,
  'rename: what is not there is ENOENT, though the new name be': py`
    write('file', 'text')
    out(t(os.rename, 'absent', 'new'), t(os.rename, 'absent', 'file'), t(os.rename, 'absent', 'absent'), read('file'))
    out(ls())`,
  'rename: slashes after the names are for directories only': py`
    write('file'); os.mkdir('dir'); os.mkdir('empty'); os.symlink('empty', 'link')
    out(t(os.rename, 'file/', 'new'), t(os.rename, 'file', 'new/'), t(os.rename, 'file', 'empty/'))
    out(t(os.rename, 'link/', 'new'), t(os.rename, 'dir', 'link/'))
    out(t(os.rename, 'dir/', 'new/'), t(os.rename, 'new', 'empty//'), ls())`,
  'rename: to another filesystem is EXDEV': py`
    ${MOUNTS}
    write('file'); os.mkdir('dir'); os.mkdir('there')
    other('there')
    write('there/file')
    out(t(os.rename, 'file', 'there/new'), t(os.rename, 'dir', 'there/dir'), t(os.rename, 'there/file', 'file'))
    out(t(renameat2, 'file', 'there/file', RENAME_EXCHANGE), ls())`,
  'rename: the directories of both names must be writable, or it is EACCES': py`
    os.mkdir('open'); os.chmod('open', 0o777); write('open/a'); os.mkdir('closed'); write('closed/a')
    os.chmod('closed/a', 0o666)
    out(as_user(ALICE, lambda: [t(os.rename, 'open/a', 'closed/b'), t(os.rename, 'closed/a', 'open/b'),
        t(os.rename, 'open/a', 'closed/a'), t(os.rename, 'open/a', 'open/b')]))
    out(ls('open'), ls('closed'))`,
  'rename: a directory goes to another parent only by whom may write it': py`
    os.mkdir('a'); os.mkdir('b'); os.chmod('a', 0o777); os.chmod('b', 0o777)
    os.mkdir('a/roots'); os.mkdir('a/open'); os.chmod('a/open', 0o777); write('a/file')
    out(as_user(ALICE, lambda: [t(os.rename, 'a/roots', 'a/same'), t(os.rename, 'a/same', 'b/roots'),
        t(os.rename, 'a/open', 'b/open'), t(os.rename, 'a/file', 'b/file')]))
    out(ls('a'), ls('b'))`,
  "rename: in a sticky directory neither takes nor replaces what is another one's: EPERM": py`
    os.chmod('.', 0o1777)
    write('hers'); os.chown('hers', 12345, 12345); write('his'); os.chown('his', 12346, 12346)
    out(as_user(BOB, lambda: [t(os.rename, 'hers', 'new'), t(os.rename, 'his', 'hers'),
        t(renameat2, 'his', 'hers', RENAME_EXCHANGE), t(os.rename, 'his', 'new')]))
    out(ls())
    out(as_user(ALICE, lambda: t(os.rename, 'hers', 'hers2')), t(os.rename, 'hers2', 'new'), ls())`,
  'rename: into a directory that is gone is ENOENT': py`
    write('file'); os.mkdir('dir'); os.mkdir('other')
    at = os.open('dir', O_RDONLY)
    os.rmdir('dir')
    out(t(os.rename, 'file', 'x', dst_dir_fd=at), t(os.rename, 'other', 'x', dst_dir_fd=at))
    out(t(os.rename, 'x', 'y', src_dir_fd=at), ls())`,
  'rename: what it replaces is never missing': py`
    write('target', 'x')
    def replace():
        for i in range(100):
            write('next', 'y' * (i % 7))
            os.rename('next', 'target')
    it = spawn(replace)
    seen = {t(lambda: os.stat('target') and 'there') for _ in range(500)}
    out(list(seen), join(it), ls())`,
  'rename: two processes that move directories into each other never make a circle': py`
    os.mkdir('a'); os.mkdir('b')
    def move(old, new):
        seen = set()
        for _ in range(50):
            seen |= {t(os.rename, old, new), t(os.rename, new, old)}
        return sorted(seen - {'ok', 'ENOENT', 'EINVAL', 'ENOTEMPTY'})
    them = [spawn(lambda: move('a', 'b/a')), spawn(lambda: move('b', 'a/b'))]
    out([join(each) for each in them])
    found = [name for _, directories, _ in os.walk('.') for name in directories]
    out(sorted(found))`,
  'rename: a file that is passed around by four processes is there once': py`
    for name in 'abcd':
        os.mkdir(name)
    write('a/file', 'text')
    def pass_on(old, new):
        return sorted({t(os.rename, f'{old}/file', f'{new}/file') for _ in range(50)} - {'ok', 'ENOENT'})
    them = [spawn(lambda pair=pair: pass_on(*pair)) for pair in ('ab', 'bc', 'cd', 'da')]
    out([join(each) for each in them])
    out(sum((ls(name) for name in 'abcd'), []))`,
  'rename: the moved file is a hard link still': py`
    write('a', 'text'); os.link('a', 'b'); os.mkdir('dir')
    os.rename('a', 'dir/c')
    write('b', 'new')
    out(read('dir/c'), stat_of('dir/c', 'nlink'), os.path.samestat(os.stat('b'), os.stat('dir/c')))`,
  'rename: a fifo moves while it is open': py`
    os.mkfifo('a')
    r = os.open('a', O_RDONLY | O_NONBLOCK)
    os.rename('a', 'b')
    w = os.open('b', O_WRONLY | O_NONBLOCK)
    out(os.write(w, b'text'), os.read(r, 10), ls())`,
  'renameat: names beside two descriptors': py`
    os.mkdir('a'); os.mkdir('b'); write('a/file', 'text')
    a, b = os.open('a', O_RDONLY), os.open('b', O_PATH)
    out(t(os.rename, 'file', 'moved', src_dir_fd=a, dst_dir_fd=b), read('b/moved'))
    out(t(os.rename, p('b/moved'), 'back', src_dir_fd=b, dst_dir_fd=a), ls('a'), ls('b'))`,
  'renameat2: flags that do not go together, and unknown ones, are EINVAL': py`
    write('a'); write('b')
    out([t(renameat2, 'a', 'b', flags) for flags in (3, 6, 7, 8, 1 << 31)], ls())`,
  'RENAME_NOREPLACE: what is there is EEXIST, whatever it is': py`
    def noreplace(old, new):
        renameat2(old, new, RENAME_NOREPLACE)
    write('a', 'text'); write('file', 'old'); os.mkdir('dir'); os.symlink('absent', 'dangling'); os.mkfifo('fifo')
    os.mkdir('empty')
    out([t(noreplace, 'a', name) for name in ('file', 'dir', 'dangling', 'fifo', 'a', '.', '..')])
    out(t(noreplace, 'empty', 'dir'), t(noreplace, 'absent', 'file'), t(noreplace, 'absent', 'new'))
    out(t(noreplace, 'a', 'b'), t(noreplace, 'empty', 'dir/new'), ls(), ls('dir'), read('b'), read('file'))`,
  'RENAME_NOREPLACE: of eight processes one gets the name': py`
    for i in range(8):
        write(f'f{i}')
    them = [spawn(lambda i=i: t(renameat2, f'f{i}', 'one', RENAME_NOREPLACE)) for i in range(8)]
    out(sorted(join(each) for each in them), len(ls()), 'one' in ls())`,
  'RENAME_NOREPLACE: another name of the same file is EEXIST': py`
    write('a'); os.link('a', 'b')
    out(t(renameat2, 'a', 'b', RENAME_NOREPLACE), t(os.rename, 'a', 'b'), ls())`,
  'RENAME_EXCHANGE: two files change places': py`
    ${TWO}
    first, second = os.open('a/file', O_RDONLY), os.open('b/file', O_RDONLY)
    out(t(exchange, 'a/file', 'b/file'), read('a/file'), read('b/file'), same(first, 'b/file'), same(second, 'a/file'))
    out(ls('a'), ls('b'), stat_of('a/file', 'nlink'))`,
  'RENAME_EXCHANGE: two directories change places, neither need be empty': py`
    ${TWO}
    os.mkdir('b/dir/more')
    out(t(exchange, 'a/dir', 'b/dir'), ls('a/dir'), ls('b/dir'), read('a/dir/in'), same('a/dir/..', 'a'))
    out(same('b/dir/..', 'b'))
    out([stat_of(name, 'nlink') for name in ('.', 'a', 'b', 'a/dir', 'b/dir')])`,
  'RENAME_EXCHANGE: a file and a directory, and the link counts of their parents follow': py`
    ${TWO}
    out(t(exchange, 'a/file', 'b/dir'), ls('a/file'), read('b/dir'), same('a/file/..', 'a'))
    out([stat_of(name, 'nlink') for name in ('.', 'a', 'b', 'a/file', 'b/dir')])
    out(t(exchange, 'a/file', 'b/dir'), ls('b/dir'), read('a/file'))
    out([stat_of(name, 'nlink') for name in ('.', 'a', 'b', 'b/dir')])`,
  'RENAME_EXCHANGE: in one directory': py`
    ${TWO}
    out(t(exchange, 'a/file', 'a/dir'), ls('a/file'), read('a/dir'), stat_of('a', 'nlink'), ls('a'))
    out(same('a/file/..', 'a'))`,
  'RENAME_EXCHANGE: any kind of entry with any other': py`
    write('file', 'text'); os.mkdir('dir'); os.mkfifo('fifo'); os.symlink('absent', 'link')
    os.mknod('null', stat.S_IFCHR, os.makedev(1, 3))
    for old in ls():
        for new in ls():
            before = mode(old), mode(new)
            out(t(renameat2, old, new, RENAME_EXCHANGE), (mode(new), mode(old)) == before)
    out(stat_of('.', 'nlink'), ls())`,
  'RENAME_EXCHANGE: both must be there, or it is ENOENT': py`
    ${TWO}
    out(t(exchange, 'a/file', 'absent'), t(exchange, 'absent', 'a/file'), t(exchange, 'absent', 'gone'), ls('a'),
        ls())`,
  'RENAME_EXCHANGE: a directory with one inside it is EINVAL, either way': py`
    ${TWO}
    os.mkdir('a/dir/deep')
    out(t(exchange, 'a', 'a/dir'), t(exchange, 'a/dir', 'a'), t(exchange, 'a', 'a/dir/deep'))
    out(t(exchange, 'a/dir/deep', 'a'), t(exchange, 'a', 'a/file'), t(exchange, 'a/file', 'a'), ls('a'))`,
  'RENAME_EXCHANGE: a name with itself, and two names of one file, change nothing': py`
    ${TWO}
    os.link('a/file', 'a/link')
    out(t(exchange, 'a/file', 'a/file'), t(exchange, 'a/dir', 'a/dir'), t(exchange, 'a/file', 'a/link'), ls('a'))
    out(stat_of('a/file', 'nlink'))`,
  'RENAME_EXCHANGE: a slash after what is no directory is ENOTDIR': py`
    ${TWO}
    out(t(exchange, 'a/file/', 'b/dir'), t(exchange, 'a/dir', 'b/file/'), t(exchange, 'a/dir/', 'b/dir/'))
    out(t(exchange, '.', 'a'), t(exchange, 'a', '..'), read('a/dir/in'))`,
  'RENAME_EXCHANGE: both directories must be writable, and directories that change parents themselves': py`
    ${TWO}
    os.chmod('a', 0o777)
    out(as_user(ALICE, lambda: [t(exchange, 'a/file', 'b/file'), t(exchange, 'b/file', 'a/file'),
        t(exchange, 'a/file', 'a/dir')]))
    os.chmod('b', 0o777)
    out(as_user(ALICE, lambda: [t(exchange, 'a/dir', 'b/dir'), t(exchange, 'a/dir', 'b/file'),
        t(exchange, 'b/file', 'a/dir')]))
    out(ls('a'), ls('b'))`,
  'RENAME_EXCHANGE: neither of the two is ever missing': py`
    write('a', 'a'); write('b', 'b')
    def change():
        for _ in range(100):
            renameat2('a', 'b', RENAME_EXCHANGE)
    it = spawn(change)
    seen = {t(lambda: os.stat(name) and 'there') for _ in range(250) for name in 'ab'}
    out(list(seen), join(it), read('a'), read('b'))`,
  'RENAME_WHITEOUT: leaves the device 0:0 under the old name': py`
    ${WHITEOUT}
    write('old', 'text')
    out(t(whiteout, 'old', 'new'), read('new'), look('old'), look('new'), ls(), t(os.open, 'old', O_RDONLY))
    out(t(os.unlink, 'old'))`,
  'RENAME_WHITEOUT: takes the place of what is there': py`
    ${WHITEOUT}
    write('old', 'text'); write('new', 'longer text')
    fd = os.open('new', O_RDONLY)
    out(t(whiteout, 'old', 'new'), read('new'), look('old'), stat_of(fd, 'nlink'), ls())
    out(t(whiteout, 'new', 'old'), read('old'), look('new'), ls())`,
  'RENAME_WHITEOUT: of a directory, whose link of the parent goes': py`
    ${WHITEOUT}
    os.mkdir('a'); os.mkdir('b'); os.mkdir('a/dir'); write('a/dir/file')
    out(t(whiteout, 'a/dir', 'b/dir'), ls('b/dir'), look('a/dir'), [stat_of(name, 'nlink') for name in ('.', 'a', 'b')])
    out(t(whiteout, 'b/dir', 'b/dir/in'), t(os.rmdir, 'a'), t(os.unlink, 'a/dir'), t(os.rmdir, 'a'))`,
  'RENAME_WHITEOUT: with NOREPLACE, and of what is not there': py`
    ${WHITEOUT}
    write('old'); write('there')
    out(t(renameat2, 'old', 'there', RENAME_WHITEOUT | RENAME_NOREPLACE), t(whiteout, 'absent', 'new'))
    out(t(renameat2, 'old', 'new', RENAME_WHITEOUT | RENAME_NOREPLACE), look('old'), ls())`,
  'RENAME_WHITEOUT: by a user, whose device 0:0 needs no CAP_MKNOD': py`
    ${WHITEOUT}
    os.mkdir('dir'); os.chmod('dir', 0o777)
    write('dir/old', 'text')
    out(as_user(ALICE, lambda: whiteout('dir/old', 'dir/new')), ls('dir'))
    out(stat_of('dir/old', 'mode', 'rdev', 'uid', 'gid'))`,
};
