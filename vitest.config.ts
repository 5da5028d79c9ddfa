import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    globalSetup: './test/global-setup.ts',
    // A process a file: what a test does to its process at exit, and the descriptors it leaks, stay its own.
    pool: 'forks',
    maxWorkers: 3,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    reporters: ['default', './test/kernel-reporter.ts'],
    // Whatever mounts runs over both transports: test/transport.ts.
    projects: [
      {
        extends: true,
        test: { name: 'device', include: ['test/**/*.test.ts'], exclude: ['test/mount/uring*.test.ts'] },
      },
      {
        extends: true,
        // That of threads names its transports itself.
        test: {
          name: 'uring',
          include: ['test/mount/**/*.test.ts'],
          exclude: ['test/mount/threads.test.ts'],
          env: { RAWFUSE_TEST_TRANSPORT: 'uring' },
        },
      },
    ],
  },
});
