/**
 * Words that several files of rows need and agent.py has not, as pieces of Python that a row interpolates; and
 * `py`, which lets a row's script stand indented where it is written.
 */

/**
 * A script without the indentation that its first line has. Backslashes are Python's; what is interpolated stands
 * as it is.
 */
export const py = ({ raw }: TemplateStringsArray, ...pieces: readonly string[]): string => {
  const indent = /^\n */.exec(raw[0] ?? '')?.[0] ?? '\n';
  return raw.map((part, i) => `${part.replaceAll(indent, '\n')}${pieces[i] ?? ''}`).join('');
};

/**
 * PAGE; pages(text): each letter a page full of it; pattern(n): n bytes that differ from page to page; layout(fd):
 * [start, end] of each piece of data, by SEEK_DATA and SEEK_HOLE.
 */
export const PAGES = py`
  PAGE = 4096

  def pages(text):
      return b''.join(letter.encode() * PAGE for letter in text)

  def pattern(length, seed=1):
      word = lambda i: struct.pack('<Q', (i * 0x9E3779B97F4A7C15 + seed) & 0xFFFFFFFFFFFFFFFF)
      return b''.join(map(word, range((length + 7) // 8)))[:length]

  def layout(fd):
      found, at = [], 0
      while True:
          try:
              start = os.lseek(fd, at, SEEK_DATA)
          except OSError as error:
              return found if error.errno == errno.ENXIO else name_of(error)
          at = os.lseek(fd, start, SEEK_HOLE)
          found.append([start, at])
`;

/** signal_of(f): the signal that ended a process which ran f, or 'none'. */
export const SIGNAL = py`
  def signal_of(f):
      import resource
      pid = os.fork()
      if pid == 0:
          resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
          try:
              f()
          finally:
              os._exit(0)
      _, status = os.waitpid(pid, 0)
      return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else 'none'
`;

/** file_limit(n): no file of this process may grow beyond n bytes. Python ignores SIGXFSZ: who tries gets EFBIG. */
export const LIMIT = py`
  def file_limit(size):
      import resource
      resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
`;

/**
 * moved(f, name, ...): for each name, what f moves to now: letters of 'amcb', b being birth; '?' after one that did
 * not become now. A name may be a descriptor, or (name before, name after).
 */
export const MOVED = py`
  OLD = 10**18

  def times(name):
      if isinstance(name, int):
          found = statx(f'/proc/self/fd/{name}', flags=0)
      else:
          found = statx(name)
      return {key[0]: found[key][0] * 10**9 + found[key][1] for key in ('atime', 'mtime', 'ctime', 'btime')}

  def moved(f, *names):
      pairs = [name if isinstance(name, tuple) else (name, name) for name in names]
      for name, _ in pairs:
          os.utime(name, ns=(OLD, OLD), **({} if isinstance(name, int) else {'follow_symlinks': False}))
      old = [times(name) for name, _ in pairs]
      time.sleep(0.02)
      start = time.time_ns()
      f()
      end = time.time_ns()
      new = [times(name) for _, name in pairs]
      near = lambda ns: start - 10**8 <= ns <= end + 10**8
      changes = lambda a, b: ''.join(key + ('' if near(b[key]) else '?') for key in 'amcb' if a[key] != b[key])
      return [changes(a, b) for a, b in zip(old, new)]

  def reading(name, how=lambda fd: os.read(fd, 100)):
      fd = os.open(name, O_RDONLY)
      try:
          how(fd)
      finally:
          os.close(fd)
`;
