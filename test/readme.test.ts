/** The README is held to what it says: its program is there, its commands are those of CI. That the program serves a mount is in package.test.ts. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from './installed.ts';

const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
const blocks = (language: string): string[] =>
  [...readme.matchAll(/^```(\w+)\n(.*?)^```$/gmsu)].filter(([, of]) => of === language).map(([, , code]) => code!);

/** The first screen of a page as a code host shows it: lines. */
const SCREEN = 60;

test('the first screen holds the two commands and the program', () => {
  const screen = readme.split('\n').slice(0, SCREEN).join('\n');
  expect(screen).toContain('npm ci && npm start');
  expect(screen).toContain('npm ci && npm test');
  expect(screen).toContain(blocks('ts')[0]);
});

test("its test command is CI's", () => {
  const ci = readFileSync(join(ROOT, '.ci/run'), 'utf8');
  expect(
    blocks('sh')
      .join('')
      .match(/^npm ci && npm test\b/gmu),
  ).toHaveLength(1);
  expect(ci).toContain("readme_test='npm ci && npm test'");
});

test('its program is examples/hello.ts, of some 20 lines', () => {
  const [program] = blocks('ts');
  expect(program).toBe(readFileSync(join(ROOT, 'examples/hello.ts'), 'utf8'));
  expect(program!.split('\n').filter((line) => line.trim() !== '').length).toBeLessThanOrEqual(22);
});

test('every file that it links to exists', () => {
  const links = [...readme.matchAll(/\]\((?!https?:)([^)#]+)/gu)].map(([, path]) => path!);
  expect(links.length).toBeGreaterThan(3);
  for (const path of links) expect(() => readFileSync(join(ROOT, path)), path).not.toThrow();
});
