/**
 * Counts the tests that ran against the kernel (their names begin with `kernel: `), prints the number,
 * and with CI=true fails the run where one was skipped or where there are fewer than test/kernel-tests.min
 * says, so that a test that is deleted or filtered away shows. Its last line is what tools look for:
 * `N passed, N failed`, over all tests.
 */
import { readFileSync } from 'node:fs';
import type { Reporter, TestCase, TestModule } from 'vitest/node';
import { KERNEL, lacking } from './support.ts';

const LEAST = new URL('./kernel-tests.min', import.meta.url);

export default class KernelReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
    const all: TestCase[] = modules.flatMap((module) => [...module.children.allTests()]);
    const tests = all.filter((test) => test.name.startsWith(KERNEL));
    const ran = tests.filter((test) => test.result().state !== 'skipped');
    const skipped = tests.length - ran.length;
    console.log(
      `kernel tests: ${ran.length} ran, ${skipped} skipped${lacking ? `: ${lacking}` : ''}${perProject(ran)}`,
    );
    let few = false;
    if (process.env.CI === 'true') {
      const least = Number(readFileSync(LEAST, 'utf8'));
      few = skipped > 0 || ran.length < least;
      if (few) {
        console.error(`CI needs ${least} kernel tests or more (test/kernel-tests.min), and none skipped`);
        process.exitCode = 1;
      }
    }
    // A file that could not be loaded has no tests, and an error outside of any test fails the run too.
    const broken = modules.filter((module) => module.errors().length > 0).length + unhandled.length + Number(few);
    const of = (state: string) => all.filter((test) => test.result().state === state).length;
    console.log(`${of('passed')} passed, ${of('failed') + broken} failed`);
  }
}

/** How many ran over each transport, where there are several. */
function perProject(tests: readonly TestCase[]): string {
  const counts = new Map<string, number>();
  for (const { project } of tests) counts.set(project?.name ?? '', (counts.get(project?.name ?? '') ?? 0) + 1);
  const parts = [...counts].filter(([name]) => name !== '').map(([name, count]) => `${count} ${name}`);
  return parts.length > 0 ? ` (${parts.join(', ')})` : '';
}
