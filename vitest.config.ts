import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** What changes the machine for all. */
const ALONE = 'test/mount/alone/*.test.ts';
/** What names its transports itself, or has nothing to find out over another one. */
const BOTH_OR_ONE = ['threads', 'passthrough-slow', 'union-mergerfs'].map((name) => `test/mount/${name}.test.ts`);
/** What takes longest. */
const LONG = /\/(mount\/posix|mount\/threads|tools\/cli)\.test\.ts$/u;

/** Begins with what takes longest, or one process is left with it at the end. Vitest knows how long only where there was a run before, as in no CI. */
class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => Number(!LONG.test(moduleId));
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  test: {
    globalSetup: './test/global-setup.ts',
    // A process a file: what a test does to its process at exit, and the descriptors it leaks, stay its own.
    pool: 'forks',
    // Twice as many as the two processors of CI: a file waits for a third of its time.
    maxWorkers: 4,
    sequence: { sequencer: LongFirst },
    testTimeout: 30_000,
    hookTimeout: 30_000,
    reporters: ['default', './test/kernel-reporter.ts'],
    // Whatever mounts runs over both transports: test/transport.ts.
    projects: [
      {
        extends: true,
        test: {
          name: 'device',
          include: ['test/**/*.test.ts'],
          exclude: ['test/mount/uring*.test.ts', ALONE],
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'uring',
          include: ['test/mount/**/*.test.ts'],
          exclude: [ALONE, ...BOTH_OR_ONE],
          env: { RAWFUSE_TEST_TRANSPORT: 'uring' },
          sequence: { groupOrder: 0 },
        },
      },
      // When the others are done.
      { extends: true, test: { name: 'alone', include: [ALONE], sequence: { groupOrder: 1 } } },
    ],
  },
});
