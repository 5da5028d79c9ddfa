/** Idmapped mounts of a mount. */
import { PYTHON } from '../interpreter.ts';
import { run } from '../support.ts';

/** mount_setattr(2), by a user namespace of a child. */
const IDMAP = `
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def C(number, *args):
    value = libc.syscall(number, *args)
    if value < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return value
source, target, lower, upper = sys.argv[1:]
ready, go = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    os.close(go[1])                                        # or it would wait for itself
    C(272, 0x10000000)                                     # unshare(CLONE_NEWUSER)
    os.write(ready[1], b'x'); os.read(go[0], 1); os._exit(0)
os.read(ready[0], 1)
for name in ('uid_map', 'gid_map'):
    with open(f'/proc/{child}/{name}', 'w') as f: f.write(f'{lower} {upper} 1\\n0 0 1\\n')
userns = os.open(f'/proc/{child}/ns/user', os.O_RDONLY)
tree = C(428, -100, source.encode(), 1 | os.O_CLOEXEC)     # open_tree(OPEN_TREE_CLONE)
attr = struct.pack('QQQQ', 0x00100000, 0, 0, userns)       # MOUNT_ATTR_IDMAP
C(442, tree, b'', 0x1000, attr, len(attr))                 # mount_setattr(AT_EMPTY_PATH)
C(429, tree, b'', -100, target.encode(), 4)                # move_mount(MOVE_MOUNT_F_EMPTY_PATH)
os.write(go[1], b'x'); os.waitpid(child, 0)
`;

/** Mounts a directory once more, with ids mapped: what is `lower` there is `upper` here. */
export const mountMapped = (dir: string, target: string, lower: number, upper: number): Promise<string> =>
  run(PYTHON, ['-c', IDMAP, dir, target, `${lower}`, `${upper}`]);
