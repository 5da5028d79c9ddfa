/** CI counts kernel tests: a run with too few of them, or with one skipped, is a failure and says so. */
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { TestModule } from 'vitest/node';
import KernelReporter from './kernel-reporter.ts';
import { KERNEL } from './support.ts';

const least = Number(readFileSync(new URL('./kernel-tests.min', import.meta.url), 'utf8'));

/** What the reporter prints of a run with tests in these states, and the exit status that it leaves. */
function report(kernel: readonly string[], others: readonly string[] = [], ci = 'true') {
  const tests = [
    ...kernel.map((state) => ({ name: `${KERNEL}test`, result: () => ({ state }) })),
    ...others.map((state) => ({ name: 'test', result: () => ({ state }) })),
  ];
  vi.stubEnv('CI', ci);
  const module = { children: { allTests: () => tests }, errors: () => [] };
  new KernelReporter().onTestRunEnd([module as unknown as TestModule], []);
  return { lines: printed, status: process.exitCode };
}

let printed: string[];
const { exitCode } = process;
beforeEach(() => {
  printed = [];
  process.exitCode = 0;
  vi.spyOn(console, 'log').mockImplementation((line) => void printed.push(line));
  vi.spyOn(console, 'error').mockImplementation((line) => void printed.push(line));
});
afterEach(() => {
  process.exitCode = exitCode;
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

const enough = Array.from({ length: least }, () => 'passed');

test('enough kernel tests, none skipped: no failure', () => {
  const { lines, status } = report(enough, ['passed', 'skipped', 'failed']);
  expect(lines[0]).toMatch(`kernel tests: ${least} ran, 0 skipped`);
  expect(lines[1]).toBe(`${least + 1} passed, 1 failed`);
  expect(status).toBe(0);
});

test('one too few fails in CI', () => {
  const { lines, status } = report(enough.slice(1));
  expect(lines.join('\n')).toContain(`CI needs ${least} kernel tests or more`);
  expect(lines.at(-1)).toBe(`${least - 1} passed, 1 failed`);
  expect(status).toBe(1);
});

test('one skipped fails in CI', () => {
  expect(report([...enough, 'skipped']).status).toBe(1);
});

test('elsewhere neither fails', () => {
  const { lines, status } = report(['skipped'], ['passed'], '');
  expect(lines[0]).toMatch('kernel tests: 0 ran, 1 skipped');
  expect(lines.at(-1)).toBe('1 passed, 0 failed');
  expect(status).toBe(0);
});

test('the number kept in the repository is one', () => {
  expect(least).toBeGreaterThan(0);
});
