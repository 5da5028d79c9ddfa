import { DT_REG, ENOENT, type Filesystem, mount, S_IFDIR, S_IFREG } from 'rawfuse';

const text = Buffer.from('Hello from TypeScript\n');
const directory = { ino: 1n, mode: S_IFDIR | 0o755 };
const file = { ino: 2n, mode: S_IFREG | 0o444, size: text.length };

const hello: Filesystem = {
  lookup(_, { name }) {
    if (name !== 'hello.txt') throw ENOENT;
    return { nodeid: 2, attr: file };
  },
  getattr: (request) => ({ attr: request.nodeid === 1 ? directory : file }),
  readdir(_, { offset }, reply) {
    if (offset < 1n) reply.add({ name: 'hello.txt', ino: 2n, type: DT_REG, off: 1n });
  },
  read: (_, { offset, size }) => text.subarray(offset, offset + size),
};

const mounted = await mount(hello, process.argv[2] ?? './mnt');
process.on('SIGINT', () => mounted.unmount({ lazy: true }));
console.log(`Serving ${mounted.path}; Ctrl-C unmounts.`);
