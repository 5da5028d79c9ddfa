/**
 * Counts the tests that ran against the kernel (their names begin with `kernel: `), prints the number,
 * and with CI=true fails the run where one was skipped or where there are fewer than test/kernel-tests.min
 * says, so that a test that is deleted or filtered away shows.
 */
import { readFileSync } from 'node:fs';
import type { Reporter, TestCase, TestModule } from 'vitest/node';
import { KERNEL } from './support.ts';

const LEAST = new URL('./kernel-tests.min', import.meta.url);

export default class KernelReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const tests: TestCase[] = modules
      .flatMap((module) => [...module.children.allTests()])
      .filter((test) => test.name.startsWith(KERNEL));
    const ran = tests.filter((test) => test.result().state !== 'skipped');
    const skipped = tests.length - ran.length;
    console.log(`kernel tests: ${ran.length} ran, ${skipped} skipped`);
    if (process.env.CI !== 'true' || process.env.KERNEL_TESTS_ANY) return;
    const least = Number(readFileSync(LEAST, 'utf8'));
    if (skipped > 0 || ran.length < least) {
      console.error(`CI needs ${least} kernel tests or more, and none skipped`);
      process.exitCode = 1;
    }
  }
}
